"""The lists of a run as tables for people: bounded, with a note of how many more there are and where to get them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from backtests.definitions import DEFINITION_OF
from backtests.report.cells import basis_points, counts, money, percents, prices, quantities, times, words
from backtests.report.parts import Align, Cell, Column, Table, Tone, from_columns
from papertape.core.guard import GuardSettings
from papertape.core.model import NS_PER_S, Note, Scan, Severity
from papertape.core.record import Columns, RunRecord
from papertape.holdings import currency_of, multipliers

ROWS_SHOWN = 500
"""Rows of a list that a report holds at most; the run has all."""
SYMBOLS_SHOWN = 10
"""Symbols of a scan that its row names."""

INPUT_CODES = frozenset({
    "byte-order-mark", "blank-lines", "ignored-columns", "delimiter", "packed", "far-price", "repeated-rows",
    "skipped-rows", "line-ends", "scientific-notation", "newest-first", "outside-session", "bar-interval", "long-gap",
    "conflated", "cache",
})  # fmt: skip
"""Codes of the notes about what was read, and what of it was left out (feeds)."""

_TEXT = Align.LEFT
_Key = TypeVar("_Key", bound=Hashable)


def more_note(shown: int, total: int, what: str, option: str) -> str:
    """How many more there are than are shown, and where; empty where all are shown."""
    if shown >= total:
        return ""
    return f"{shown:,} of {total:,} {what}; all: papertape show RUN --{option}"


def _first(columns: Columns, rows: NDArray[Any] | slice) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


def _join(*sentences: str) -> str:
    return " ".join(f"{each[0].upper()}{each[1:]}." for each in sentences if each)


# --- what was traded ----------------------------------------------------------------------------------------------


def trades_table(record: RunRecord) -> Table:
    """Closed lots; of too many, those with the largest profit or loss, in the order of their exits."""
    total = len(record.trades["symbol"])
    columns = record.trades
    if total > ROWS_SHOWN:
        size = np.abs(columns["pnl"])
        columns = _first(columns, np.sort(np.argsort(-size, kind="stable")[:ROWS_SHOWN]))
    known = currency_of(record)
    currencies = [known[each] for each in columns["symbol"]]
    held_s = (columns["exit_ts"] - columns["entry_ts"]) / NS_PER_S
    duration = DEFINITION_OF["average_duration_s"]
    sides = words(columns["side"])
    largest = "those with the largest profit or loss" if total > ROWS_SHOWN else ""
    return from_columns("trades", "Trades", (
        (Column("symbol", "Symbol", _TEXT), words(columns["symbol"])),
        (Column("side", "Side", _TEXT), sides),
        (Column("quantity", "Quantity"), quantities(columns["quantity"])),
        times("entry_ts", "Entry", columns["entry_ts"], record.zone),
        times("exit_ts", "Exit", columns["exit_ts"], record.zone),
        (Column("held", "Held", help="From entry to exit."), [Cell(duration.show(s), s) for s in held_s.tolist()]),
        (Column("entry_price", "Entry price"), prices(columns["entry_price"])),
        (Column("exit_price", "Exit price"), prices(columns["exit_price"])),
        money("fees", "Fees", columns["fees"], currencies),
        money("pnl", "Profit", columns["pnl"], currencies, signed=True, help="After fees."),
        (
            Column("return", "Return", help="Profit / (entry price x quantity x multiplier)."),
            percents(columns["return"]),
        ),
        money("mae", "MAE", columns["mae"], currencies, help="Worst unrealised profit while it was open, before fees."),
        money("mfe", "MFE", columns["mfe"], currencies, help="Best unrealised profit while it was open, before fees."),
    ), _join(
        more_note(min(total, ROWS_SHOWN), total, "trades", "trades"), largest,
        "" if total else "No position was closed",
    ))  # fmt: skip


def positions_table(record: RunRecord) -> Table:
    """What was held at the end."""
    held = np.flatnonzero(record.positions["quantity"])
    by_value = held[np.argsort(-np.abs(record.positions["market_value"][held]), kind="stable")]
    columns = _first(record.positions, by_value[:ROWS_SHOWN])
    currencies = columns["currency"].tolist()
    is_all = "" if len(held) else "Nothing was held at the end"
    counted = "their unrealised profit is in the equity, not in the trades" if len(held) else ""
    return from_columns("positions", "Open at the end", (
        (Column("symbol", "Symbol", _TEXT), words(columns["symbol"])),
        (Column("quantity", "Quantity", help="Below zero: sold short."), quantities(columns["quantity"])),
        (Column("average_cost", "Average cost"), prices(columns["average_cost"])),
        (Column("last_price", "Last price"), prices(columns["last_price"])),
        money("market_value", "Value", columns["market_value"], currencies),
        money("unrealised", "Unrealised", columns["unrealised"], currencies, signed=True),
        money("realised", "Realised", columns["realised"], currencies, signed=True),
    ), _join(more_note(len(by_value[:ROWS_SHOWN]), len(held), "positions", "positions"), is_all, counted))  # fmt: skip


def costs_table(record: RunRecord) -> Table:
    """What trading each instrument cost: fees, and slippage against the arrival price; the most traded first."""
    fills, orders, known, units = record.fills, record.orders, currency_of(record), multipliers(record)
    arrived = (orders["filled"] > 0.0) & ~np.isnan(orders["arrival_price"])
    names, numbers = _numbered([*fills["symbol"].tolist(), *orders["symbol"][arrived].tolist()])
    which, at = numbers[: len(fills["symbol"])], numbers[len(fills["symbol"]) :]
    unit = np.array([units[each] for each in names])
    value = _sums(np.abs(fills["quantity"] * fills["price"]) * unit[which], which, len(names))
    fees, lots = _sums(fills["fee"], which, len(names)), _sums(np.ones(len(which)), which, len(names))
    sign = np.where(np.asarray(orders["side"][arrived] == "BUY", dtype=np.bool_), 1.0, -1.0)
    amount = orders["filled"][arrived] * unit[at]
    lost = _sums(sign * (orders["average_price"] - orders["arrival_price"])[arrived] * amount, at, len(names))
    measured = _sums(orders["average_price"][arrived] * amount, at, len(names))
    with np.errstate(divide="ignore", invalid="ignore"):
        slipped = np.where(measured > 0.0, lost, np.nan)
        parts = (np.abs(fees) / np.where(value > 0.0, value, np.nan) * np.sign(fees), slipped / measured)
    order = np.argsort(-value, kind="stable")[:ROWS_SHOWN]
    currencies = [known[names[k]] for k in order]
    arrival = "Against the mid, else the last price, at the decision; positive is a cost."
    return from_columns("costs", "Costs by instrument", (
        (Column("symbol", "Symbol", _TEXT), words(names[k] for k in order)),
        (Column("fills", "Fills"), counts(lots[order])),
        money("value", "Value traded", value[order], currencies),
        money("fees", "Fees", fees[order], currencies),
        (Column("fees_part", "of value", help="Fees / value traded, in hundredths of a percent."), basis_points(parts[0][order])),
        money("slippage", "Slippage", slipped[order], currencies, help=arrival),
        (Column("slippage_part", "of value", help="Slippage / value traded."), basis_points(parts[1][order])),
    ), _join(
        more_note(len(order), len(names), "instruments", "fills"),
        f"Fees as {record.settings['fees_text'].rstrip('.')}" if record.settings.get("fees_text") else "",
        "" if names else "Nothing was traded",
    ))  # fmt: skip


def _numbered(items: Sequence[_Key]) -> tuple[list[_Key], NDArray[np.int64]]:
    """The different items in the order in which they come, and for each given one which of them it is."""
    number = {each: k for k, each in enumerate(dict.fromkeys(items))}
    return list(number), np.fromiter(map(number.__getitem__, items), dtype=np.int64, count=len(items))


def _sums(values: NDArray[np.float64], which: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = np.bincount(which, weights=values, minlength=count).astype(np.float64)
    return sums


# --- orders and fills ---------------------------------------------------------------------------------------------

_OUTCOMES = {
    "FILLED": "filled", "PARTIALLY_FILLED": "working, partly filled", "CANCELLED": "cancelled", "REJECTED": "rejected",
    "EXPIRED": "expired", "SUBMITTED": "working", "PENDING_SUBMIT": "sent, not yet acknowledged",
    "PENDING_CANCEL": "cancel sent", "PENDING_MODIFY": "change sent", "UNKNOWN": "unknown",
}  # fmt: skip
_BAD_OUTCOMES = ("REJECTED", "UNKNOWN")


def orders_table(record: RunRecord) -> Table:
    """How orders ended, by outcome and reason; the most frequent first."""
    orders = record.orders
    has_fill = (orders["filled"] > 0.0).tolist()
    keys = zip(orders["status"].tolist(), has_fill, orders["type"].tolist(), orders["reason"].tolist(), strict=True)
    found, which = _numbered(list(keys))
    lots = _sums(np.ones(len(which)), which, len(found))
    shown = np.argsort(-lots, kind="stable")[:ROWS_SHOWN]
    ordered = [found[k] for k in shown]
    total = len(orders["number"])
    return from_columns("orders", "Orders by outcome", (
        (Column("outcome", "Outcome", _TEXT), [_outcome(status, has) for status, has, _, _ in ordered]),
        (Column("type", "Type", _TEXT), words(each[2].lower().replace("_", " ") for each in ordered)),
        (Column("reason", "Reason", _TEXT), words(each[3] for each in ordered)),
        (Column("orders", "Orders"), counts(lots[shown])),
        (Column("quantity", "Ordered"), quantities(_sums(orders["quantity"], which, len(found))[shown])),
        (Column("filled", "Filled"), quantities(_sums(orders["filled"], which, len(found))[shown])),
    ), _join(f"{total:,} order{'s' if total != 1 else ''}; each of them: papertape show RUN --orders" if total
             else "The strategy gave no orders"))  # fmt: skip


def _outcome(status: str, has_fill: bool) -> Cell:
    text = _OUTCOMES.get(status, status.lower())
    if has_fill and status in ("CANCELLED", "EXPIRED"):
        text += " after a part filled"
    return Cell(text, text, Tone.WARN if status in _BAD_OUTCOMES else Tone.NONE)


def ambiguous_table(record: RunRecord) -> Table:
    """Fills whose place in a bar was not known; each was resolved against the strategy."""
    which = np.flatnonzero(record.fills["ambiguous"])
    columns = _first(record.fills, which[:ROWS_SHOWN])
    known = currency_of(record)
    total = len(record.fills["ts"])
    share = f"{len(which):,} of {total:,} fills, each resolved against the strategy" if len(which) else ""
    return from_columns("ambiguous", "Ambiguous fills", (
        times("ts", "Time", columns["ts"], record.zone),
        (Column("symbol", "Symbol", _TEXT), words(columns["symbol"])),
        (Column("side", "Side", _TEXT), words(columns["side"])),
        (Column("quantity", "Quantity"), quantities(columns["quantity"])),
        (Column("price", "Price"), prices(columns["price"])),
        money("fee", "Fee", columns["fee"], [known[each] for each in columns["symbol"]]),
        (Column("order", "Order"), counts(columns["order"])),
    ), _join(
        share, more_note(len(columns["ts"]), len(which), "ambiguous fills", "fills"),
        "" if len(which) else "No fill was ambiguous",
    ))  # fmt: skip


# --- what was read, said and guarded ------------------------------------------------------------------------------


def _notes_table(key: str, title: str, notes: Iterable[Note], none: str) -> Table:
    listed = sorted(notes, key=lambda note: note.severity is not Severity.WARNING)
    tones = [Tone.WARN if each.severity is Severity.WARNING else Tone.NONE for each in listed]
    kinds = [Cell(each.severity.value, each.severity.value, tone) for each, tone in zip(listed, tones, strict=True)]
    return from_columns(key, title, (
        (Column("severity", "Kind", _TEXT), kinds),
        (Column("text", "What", _TEXT), words(each.text for each in listed)),
        (Column("count", "Times"), counts(each.count for each in listed)),
    ), _join("" if listed else none))  # fmt: skip


def input_table(record: RunRecord) -> Table:
    """What was skipped, dropped or doubted of the input."""
    notes = [each for each in record.notes if each.code in INPUT_CODES]
    return _notes_table("input", "Skipped and doubtful input", notes, "Nothing of the input was skipped")


def notes_table(record: RunRecord) -> Table:
    """What else the reader must know."""
    notes = [each for each in record.notes if each.code not in INPUT_CODES]
    return _notes_table("notes", "Notes", notes, "Nothing to note")


_GUARD_TONES = {"trip": Tone.BAD, "refused": Tone.WARN}


def guard_table(record: RunRecord) -> Table:
    """What the guard did: trips first, then the rest in time order."""
    events = sorted(record.guard, key=lambda event: event.kind != "trip")
    shown = events[:ROWS_SHOWN]
    kinds = [Cell(each.kind, each.kind, _GUARD_TONES.get(each.kind, Tone.NONE)) for each in shown]
    none = "The guard did nothing" if guard_limits(record) else "No limits were set"
    return from_columns("guard", "Guard", (
        times("ts", "Time", np.array([each.ts for each in shown], dtype=np.int64), record.zone),
        (Column("kind", "What", _TEXT), kinds),
        (Column("rule", "Limit", _TEXT), words(each.rule for each in shown)),
        (Column("text", "Why", _TEXT), words(each.text for each in shown)),
        (Column("count", "Times"), counts(each.count for each in shown)),
    ), _join(more_note(len(shown), len(events), "events", "guard"), "" if events else none))  # fmt: skip


def guard_limits(record: RunRecord) -> dict[str, Any]:
    """The limits that were set, by name; what is as it is by itself is none."""
    given: Mapping[str, Any] = record.settings.get("guard") or {}
    usual = GuardSettings()
    return {
        name: value
        for name, value in given.items()
        if value not in (None, {}, 0.0, False)
        and name not in ("basis", "reference")
        and value != getattr(usual, name, None)
    }


def log_table(record: RunRecord) -> Table:
    """What the strategy said; the end of it where it is long."""
    lines = record.log[-ROWS_SHOWN:]
    total = len(record.log)
    return from_columns("log", "Log of the strategy", (
        times("ts", "Time", np.array([ts for ts, _ in lines], dtype=np.int64), record.zone),
        (Column("text", "Said", _TEXT), words(text for _, text in lines)),
    ), _join(
        f"The last {len(lines):,} of {total:,} lines; all: papertape show RUN --log" if total > len(lines) else "",
        "" if lines else "The strategy logged nothing",
    ))  # fmt: skip


# --- scans --------------------------------------------------------------------------------------------------------


def scans_table(record: RunRecord) -> Table:
    """Scans, and which of their symbols were then traded."""
    shown = record.scans[:ROWS_SHOWN]
    traded = [_picked(record, number) for number in range(len(shown))]
    return from_columns("scans", "Scans, and what was traded of them", (
        times("ts", "Time", np.array([each.ts for each in shown], dtype=np.int64), record.zone),
        (Column("code", "Scan", _TEXT), words(each.code for each in shown)),
        (Column("source", "Source", _TEXT, "recorded: from a file; derived: from the tape up to that time."),
         words(each.source for each in shown)),
        (Column("results", "Results"), counts(len(each.rows) for each in shown)),
        (Column("traded", "Traded, with rank", _TEXT,
                "Symbols of the scan with an order that was decided after it and before the next scan of the same "
                "code, and filled. The first rank is 0."),
         [Cell(text, text) for text in traded]),
        (Column("ranked", "Results in their order", _TEXT), words(_ranked(each) for each in shown)),
        (Column("note", "Note", _TEXT), words(each.note for each in shown)),
    ), _join(more_note(len(shown), len(record.scans), "scans", "scans"), "" if shown else "The strategy scanned for nothing"))  # fmt: skip


def picked_symbols(record: RunRecord, number: int) -> list[tuple[int, str]]:
    """(rank, symbol) of a scan's results that were then traded, by rank; ``number`` counts ``record.scans`` from 0.

    Traded: an order for it was decided at or after the scan, before the next scan of the same code, and filled at
    least in part.
    """
    scan = record.scans[number]
    until = next((each.ts for each in record.scans[number + 1 :] if each.code == scan.code), None)
    orders = record.orders
    first = int(np.searchsorted(orders["ts"], scan.ts, "left"))
    last = len(orders["ts"]) if until is None else int(np.searchsorted(orders["ts"], until, "left"))
    filled = orders["filled"][first:last] > 0.0
    bought = set(orders["symbol"][first:last][filled].tolist())
    return [(each.rank, each.symbol) for each in scan.rows if each.symbol in bought]


def _picked(record: RunRecord, number: int) -> str:
    return ", ".join(f"{symbol} ({rank})" for rank, symbol in picked_symbols(record, number)) or "none"


def _ranked(scan: Scan) -> str:
    names = [each.symbol for each in scan.rows]
    more = f" and {len(names) - SYMBOLS_SHOWN:,} more" if len(names) > SYMBOLS_SHOWN else ""
    return ", ".join(names[:SYMBOLS_SHOWN]) + more


# --- how it was made ----------------------------------------------------------------------------------------------


_EXACT = 2.0**53
"""Below it every whole number is a float of its own."""


def setting_text(value: Any) -> str:
    """A parameter or setting as a person writes it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {setting_text(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(setting_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "none"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < _EXACT else f"{value:g}"
    return str(value)


def _pairs(key: str, title: str, pairs: Iterable[tuple[str, str]], names: tuple[str, str], note: str = "") -> Table:
    listed = list(pairs)
    return from_columns(key, title, (
        (Column("name", names[0], _TEXT), words(name for name, _ in listed)),
        (Column("value", names[1], _TEXT), words(value for _, value in listed)),
    ), note)  # fmt: skip


_ELSEWHERE = ("parameters", "symbols", "sources", "fees_text", "guard")


def setup_tables(record: RunRecord) -> list[Table]:
    """Parameters, configuration, limits of the guard, and what the result was made from."""
    settings = record.settings
    parameters = (settings.get("parameters") or {}).items()
    limits = guard_limits(record)
    given = settings.get("guard") or {}
    if "max_drawdown" in limits:
        limits |= {name: given[name] for name in ("basis", "reference") if name in given}
    return [
        _pairs("parameters", "Parameters", ((name, setting_text(value)) for name, value in parameters),
               ("Parameter", "Value"), _join("" if parameters else "The strategy has none")),
        _pairs("configuration", "Configuration",
               ((name, setting_text(value)) for name, value in settings.items() if name not in _ELSEWHERE),
               ("Setting", "Value")),
        _pairs("guard_limits", "Limits of the guard", ((name, setting_text(value)) for name, value in limits.items()),
               ("Limit", "Value"), _join("" if limits else "No limits were set")),
        _pairs("provenance", "What it was made from", _provenance(record), ("What", "Value")),
    ]  # fmt: skip


def _some(values: Iterable[Any], what: str, *, none: str) -> str:
    listed = [str(each) for each in values]
    if not listed:
        return none
    more = f" and {len(listed) - SYMBOLS_SHOWN:,} more" if len(listed) > SYMBOLS_SHOWN else ""
    return f"{len(listed):,} {what}{'s' if len(listed) != 1 else ''}: {', '.join(listed[:SYMBOLS_SHOWN])}{more}"


def _provenance(record: RunRecord) -> Iterable[tuple[str, str]]:
    yield "data", _some(record.settings.get("sources") or (), "source", none="in memory")
    yield "symbols", _some(record.settings.get("symbols") or (), "symbol", none="all that the data has")
    yield "data fingerprint", record.fingerprint or "none"
    yield "tape", "SYNTHETIC: a generated market" if record.synthetic else "recorded"
    yield "strategy's code hash", record.code_hash or "no source to read"
    yield "events", f"{record.events:,}"
    yield "time to compute", f"{record.elapsed_s:,.2f} s"
    yield from record.versions.items()
