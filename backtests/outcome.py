"""From a session that has ended to the record that a run leaves."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import itertools
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache, lru_cache
from typing import Any

import numpy as np

from backtests.metrics import compute_metrics
from backtests.trades import match_trades
from feeds.mapped import release
from papertape.core.model import CorporateAction, Mode, Note, OrderStatus, OrderType, Severity, Side, TimeInForce
from papertape.core.record import Columns, Drawdown, RunRecord
from papertape.core.series import I8, Series, Tape
from papertape.core.session import Session
from papertape.core.state import REASON_TEXT, Reason
from papertape.journal import MemoryJournal
from strategies.base import Strategy

BUCKETS_AT_ONCE = 50
"""Buckets that are made before the memory of the events in them is given back."""
PRICE_POINTS = 2_000
"""Most buckets of an instrument's price that a run keeps for its report."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a run's market data came from, as far as its record says so; see :class:`papertape.core.series.Tape`."""

    fingerprint: str = ""
    synthetic: bool = False
    sources: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    actions: tuple[CorporateAction, ...] = ()


def source_of(tape: Tape) -> Source:
    """A tape as a source."""
    return Source(tape.fingerprint, tape.synthetic, tape.sources, tape.notes, tape.actions)


@dataclass(frozen=True, slots=True)
class RunParts:
    """What a run was made of, when it has ended.

    ``settings`` are plain values. ``notes`` are the broker's. ``texts`` are words of a broker's own about orders.
    """

    strategy: Strategy
    source: Source
    settings: Mapping[str, Any]
    session: Session
    journal: MemoryJournal
    start: int
    end: int
    events: int
    symbols: Sequence[str]
    starting_equity: float
    fees_text: str
    risk_free: float = 0.0
    mode: Mode = Mode.BACKTEST
    notes: Sequence[Note] = ()
    texts: Mapping[int, str] = field(default_factory=dict)
    prices: Mapping[str, Columns] | None = None
    """Prices that were kept while it ran; None: they are taken from the feed's tape."""


def make_record(parts: RunParts, *, keep_prices: bool, began: float) -> RunRecord:
    """The run's record, with its metrics. ``began`` is when it started (``time.perf_counter()``)."""
    session = parts.session
    state = session.state
    account = state.account[0]
    reports = state.reports[: int(account["reports"])]
    is_fill = reports["quantity"] > 0.0
    fills = reports[is_fill]
    equity_end = float(account["cash"] + state.tree[1])
    daily = _daily(parts, equity_end)
    multipliers = {each.symbol: each.multiplier for each in session.instruments if each.multiplier != 1.0}
    record = RunRecord(
        strategy=type(parts.strategy).__name__,
        mode=parts.mode,
        start=parts.start,
        end=parts.end,
        events=parts.events,
        currency=session.ledger.base,
        starting_equity=parts.starting_equity,
        final_equity=equity_end,
        cash=session.ledger.account.balances,
        orders=_orders(parts, reports[~is_fill]),
        fills=_fills(parts, fills),
        positions=_positions(parts),
        equity=_buckets(parts),
        points=_points(parts, fills),
        daily=daily,
        drawdown=_drawdown(parts),
        time_in_market_ns=_time_in_market(parts),
        scans=session.log.scans,
        custom={
            name: (np.array([ts for ts, _ in rows], np.int64), np.array([value for _, value in rows]))
            for name, rows in session.log.custom.items()
        },
        guard=session.log.guard,
        notes=_notes(parts),
        log=session.log.lines,
        journal=b"",
        settings={
            **parts.settings,
            "parameters": dict(parts.strategy.parameter_values),
            "symbols": list(parts.symbols),
            "multipliers": multipliers,
            "rates": _rates(parts),
            "fees_text": parts.fees_text,
            "sources": list(parts.source.sources),
        },
        fingerprint=parts.source.fingerprint,
        code_hash=code_hash(type(parts.strategy)),
        versions=dict(versions()),
        synthetic=parts.source.synthetic,
        zone=session.calendar.zone,
        guard_tripped=session.guard.blocked,
    )
    record.trades = match_trades(
        record.fills,
        multipliers,
        instrument=fills["instrument"],
        actions=parts.source.actions,
        low=np.ascontiguousarray(fills["low"]),
        high=np.ascontiguousarray(fills["high"]),
    )
    record.metrics = compute_metrics(record, risk_free=parts.risk_free, multipliers=multipliers)
    if keep_prices:
        record.prices = dict(parts.prices) if parts.prices is not None else _prices(parts, fills)
    record.journal = parts.journal.encode(session.symbols) if keep_prices else b""
    record.elapsed_s = time.perf_counter() - began
    return record


def _rates(parts: RunParts) -> dict[str, float]:
    """Base currency per unit of each other currency, at the end."""
    ledger = parts.session.ledger
    return {name: float(ledger.state.rates[c]) for c, name in enumerate(ledger.currencies) if name != ledger.base}


def _objects(values: list[Any]) -> np.ndarray[Any, Any]:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def _orders(parts: RunParts, ends: Any) -> Columns:
    """Orders as ORDER_COLUMNS; ``ends`` are the reports that are not fills."""
    book = parts.session.desk.book
    requests = book.requests
    n = len(requests)
    rows = parts.session.state.orders[:n]
    multiplier = parts.session.state.instruments["multiplier"][rows["instrument"]]
    with np.errstate(divide="ignore", invalid="ignore"):
        average = np.where(rows["filled"] > 0.0, rows["value"] / rows["filled"] / multiplier, np.nan)
    ts_final = np.zeros(n, np.int64)
    reasons = [""] * n
    reports = parts.session.state.reports[: int(parts.session.state.account["reports"][0])]
    final = reports["status"] >= int(OrderStatus.FILLED)
    ts_final[reports["order"][final]] = reports["ts"][final]
    for x in ends:
        reasons[int(x["order"])] = REASON_TEXT[Reason(int(x["reason"]))]
    for number, text in parts.texts.items():
        reasons[number - 1] = text
    symbols = _objects(parts.session.symbols)
    return {
        "number": np.arange(1, n + 1),
        "ts": np.array(book.decided, np.int64),
        "symbol": symbols[rows["instrument"]],
        "side": _names(Side, rows["side"]),
        "type": _names(OrderType, rows["type"]),
        "quantity": np.array([r.quantity for r in requests], np.float64),
        "limit_price": np.array([r.limit_price for r in requests], np.float64),
        "stop_price": np.array([r.stop_price for r in requests], np.float64),
        "tif": _names(TimeInForce, rows["tif"]),
        "status": _names(OrderStatus, rows["status"]),
        "filled": rows["filled"].copy(),
        "average_price": average,
        "fee": rows["fee"].copy(),
        "arrival_price": np.array(book.arrival, np.float64),
        "ts_final": ts_final,
        "reason": _objects(reasons),
        "parent": np.array([r.parent for r in requests], np.int64),
        "group": np.array([r.group for r in requests], np.int64),
        "tag": _objects([r.tag for r in requests]),
    }


def _names(kind: type[IntEnum], values: Any) -> np.ndarray[Any, Any]:
    """Names of an enumeration's values, as objects."""
    least = min(kind)
    table = np.full(max(kind) - least + 1, None, dtype=object)
    for each in kind:
        table[each - least] = each.name
    names: np.ndarray[Any, Any] = table[values - least]
    return names


def _fills(parts: RunParts, fills: Any) -> Columns:
    symbols = _objects(parts.session.symbols)
    rows = parts.session.state.orders
    sides = rows["side"][fills["order"]]
    return {
        "ts": fills["ts"].copy(),
        "symbol": symbols[fills["instrument"]],
        "side": np.where(sides > 0, np.array("BUY", object), np.array("SELL", object)),
        "quantity": fills["quantity"].copy(),
        "price": fills["price"].copy(),
        "fee": fills["fee"].copy(),
        "order": fills["order"] + 1,
        "ambiguous": fills["ambiguous"] != 0,
    }


def _positions(parts: RunParts) -> Columns:
    held = parts.session.state.instruments
    ledger = parts.session.ledger
    touched = np.flatnonzero((held["quantity"] != 0.0) | (held["fees"] != 0.0) | (held["realised"] != 0.0))
    rows = held[touched]
    value = np.where(rows["quantity"] == 0.0, 0.0, rows["quantity"] * rows["mark"] * rows["multiplier"])
    cost = rows["quantity"] * rows["average_cost"] * rows["multiplier"]
    return {
        "symbol": _objects([parts.session.symbols[j] for j in touched]),
        "currency": _objects([ledger.instruments[j].currency for j in touched]),
        "quantity": rows["quantity"].copy(),
        "average_cost": rows["average_cost"].copy(),
        "last_price": rows["mark"].copy(),
        "market_value": value,
        "unrealised": np.where(rows["quantity"] == 0.0, 0.0, value - cost),
        "realised": rows["realised"].copy(),
    }


def _buckets(parts: RunParts) -> Columns:
    state = parts.session.state
    account = state.account[0]
    n = int(account["buckets"])
    is_open = account["open_ts"] != 0

    def column(name: str) -> Any:
        closed = state.buckets[name][:n]
        return np.append(closed, account[f"open_{name}"]) if is_open else closed.copy()

    return {name: column(name) for name in ("ts", "last", "low", "high")}


def _points(parts: RunParts, fills: Any) -> Columns:
    daily = parts.session.log.daily
    account = parts.session.state.account[0]
    extremes = [
        (int(account["deep_peak_ts"]), float(account["deep_peak"])),
        (int(account["deep_trough_ts"]), float(account["deep_trough"])),
        (int(account["peak_ts"]), float(account["peak"])),
    ]
    extra = [(ts, value) for ts, value in extremes if ts] + [(ts, value) for _, ts, value in daily]
    ts = np.concatenate((fills["ts"], np.array([t for t, _ in extra], np.int64)))
    equity = np.concatenate((fills["equity"], np.array([value for _, value in extra])))
    order = np.argsort(ts, kind="stable")
    return {"ts": ts[order], "equity": equity[order]}


def _daily(parts: RunParts, equity_end: float) -> Columns:
    session = parts.session
    rows = [row for row in session.log.daily if session.calendar.open[session.calendar.date.index(row[0])] <= parts.end]
    rows = [row for row in rows if row[1] > parts.start]
    i = session.session_index
    if i < len(session.calendar.open) and session.calendar.open[i] < parts.end:
        rows.append((session.calendar.date[i], parts.end, equity_end))
    return {
        "date": np.array([row[0] for row in rows], np.int64),
        "ts": np.array([row[1] for row in rows], np.int64),
        "equity": np.array([row[2] for row in rows], np.float64),
        "benchmark": np.full(len(rows), np.nan),  # set where there is one, when the run has ended
    }


def _drawdown(parts: RunParts) -> Drawdown:
    a = parts.session.state.account[0]
    if a["depth"] == 0.0:
        peak = float(a["peak"])
        return Drawdown(0.0, 0, 0, 0, peak, peak)
    return Drawdown(
        float(a["depth"]), int(a["deep_peak_ts"]), int(a["deep_trough_ts"]), int(a["recovery_ts"]),
        float(a["deep_peak"]), float(a["deep_trough"]),
    )  # fmt: skip


def _time_in_market(parts: RunParts) -> int:
    a = parts.session.state.account[0]
    return int(a["held_ns"]) + (max(0, parts.end - int(a["held_since"])) if a["held"] else 0)


def _notes(parts: RunParts) -> list[Note]:
    notes = [*parts.source.notes, *parts.session.log.notes.values(), *parts.notes]
    if parts.source.synthetic:
        notes.insert(0, Note("synthetic", "the tape is synthetic: a generated market, not a recorded one"))
    ambiguous = int(np.count_nonzero(parts.session.state.reports["ambiguous"][: _reports(parts)]))
    if ambiguous:
        text = "fills inside a bar that left open what came first; each was resolved against the strategy"
        notes.append(Note("ambiguous", text, Severity.WARNING, ambiguous))
    if not len(parts.session.desk.book):
        notes.append(Note("no_orders", "the strategy gave no orders", Severity.WARNING))
    return notes


def _reports(parts: RunParts) -> int:
    return int(parts.session.state.account["reports"][0])


def _prices(parts: RunParts, fills: Any) -> dict[str, Columns]:
    """Price of each instrument that was traded, in at most PRICE_POINTS buckets of as many events each."""
    found: dict[str, Columns] = {}
    view = getattr(parts.session.feed, "view", None)
    assert view is not None, "a backtest has a recorded feed"
    for j in np.unique(fills["instrument"]).tolist():
        series = view.finest(j)
        if series is None:
            continue
        a = int(np.searchsorted(series.ts, parts.start, "left"))
        b = int(np.searchsorted(series.ts, parts.end, "right"))
        bounds = np.unique(np.linspace(a, b, min(PRICE_POINTS, b - a) + 1).astype(np.int64))
        if len(bounds) > 1:
            found[parts.session.symbols[j]] = _price_buckets(series, bounds)
    return found


def _price_buckets(series: Series, bounds: I8) -> Columns:
    """Time and price of the last event, lowest and highest price in each bucket [bounds[k], bounds[k + 1])."""
    price = series.columns[0] if len(series.columns) == 2 else series.columns[3]
    n = len(bounds) - 1
    ts, last, low, high = np.empty(n, np.int64), np.empty(n), np.empty(n), np.empty(n)
    for k in range(0, n, BUCKETS_AT_ONCE):
        part = bounds[k : k + BUCKETS_AT_ONCE + 1]
        begin, end = int(part[0]), int(part[-1])
        these = slice(k, k + len(part) - 1)
        piece, starts = price[begin:end], part[:-1] - begin
        ts[these], last[these] = series.ts[part[1:] - 1], price[part[1:] - 1]
        low[these] = np.minimum.reduceat(piece, starts)
        high[these] = np.maximum.reduceat(piece, starts)
        release(series, begin, end)
    return {"ts": ts, "last": last, "low": low, "high": high}


def code_hash(strategy: type) -> str:
    """Hex digest of the strategy's source, with that of its own bases; empty where there is no source to read."""
    digest = hashlib.sha256()
    for each in _written_for(strategy):
        source = _source(each)
        if not source:
            return ""
        digest.update(source.encode())
    return digest.hexdigest()[:16]


def _written_for(strategy: type) -> list[type]:
    """A strategy's class and its own bases; of one that hosts another framework's, that one and its bases."""
    theirs = getattr(strategy, "hosted_class", None)
    if theirs is not None:
        return [each for each in theirs.__mro__ if each is not object and not each.__module__.startswith("backtrader.")]
    return list(itertools.takewhile(lambda each: each is not Strategy, strategy.__mro__))


@lru_cache(maxsize=64)
def _source(of: type) -> str:
    """A class's source, as it was when its first run ended; empty where it was typed at a prompt."""
    try:
        return inspect.getsource(of)
    except (OSError, TypeError):
        return ""


@cache
def versions() -> tuple[tuple[str, str], ...]:
    """Versions of what a run's numbers depend on."""
    names = ("papertape", "numpy", "numba", "msgspec")
    found = [("python", platform.python_version())]
    for name in names:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append((name, "unknown"))
    return tuple(found)
