"""Series behind a report's charts: pure NumPy over a run's columns, thinned so that every peak survives.

Times are UTC nanoseconds (int64), money is in the run's base currency, fractions are fractions (0.05 is five per cent).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.metrics import daily_returns
from papertape.core.record import Columns, RunRecord
from papertape.core.series import F8, I8
from papertape.holdings import multipliers

POINTS = 2_000
"""Points of a line that a chart draws at most: two for each pixel of a wide screen's half."""
PAUSE = 4.0
"""Buckets of equity further apart than this many times the usual were parted by a pause."""
BARS_MAX = 60
"""Bars of a histogram at most."""
TAILS = 6.0
"""Interquartile ranges beyond the quartiles that a histogram reaches; further out lies next to nothing."""


def thinned(x: NDArray[Any], values: F8, points: int = POINTS) -> I8:
    """Indices of at most ``points`` samples whose line looks like the line of all.

    Min-max decimation: the axis is cut into equal parts, and of each part its lowest, its highest and its last sample
    stay, as does the very first. So every extreme of the series is among them, and what stays the same for long is
    drawn level. ``x`` are places on the axis, ascending; ``values`` has no NaN.
    """
    n = len(x)
    if n <= points:
        return np.arange(n)
    parts = max(1, (points - 1) // 3)
    since = (x - x[0]).astype(np.float64)
    part = np.minimum((since / (since[-1] or 1.0) * parts).astype(np.int64), parts - 1)
    first = np.flatnonzero(np.diff(part, prepend=-1))
    last = np.append(first[1:], n) - 1
    # Sorted by (part, value), each part has its lowest sample first and its highest last.
    order = np.lexsort((values, part))
    found: I8 = np.unique(np.concatenate(([0], order[first], order[last], last)))
    return found


def bucket_line(columns: Columns) -> tuple[I8, F8]:
    """(times, values) of a line through buckets (``ts``, ``low``, ``high``, ``last``) that touches each extreme.

    A bucket gives its low, its high and its last value at its time; equal neighbours are given once.
    """
    ts = np.repeat(np.asarray(columns["ts"], np.int64), 3)
    values = np.column_stack((columns["low"], columns["high"], columns["last"])).ravel().astype(np.float64)
    known = np.isfinite(values)
    known[1:] &= ~((ts[1:] == ts[:-1]) & (values[1:] == values[:-1]))
    return ts[known], values[known]


def with_pauses(columns: Columns) -> Columns:
    """Buckets of equity, and in front of each that follows a pause one that says it stayed as it was.

    There are no buckets while nothing is held, since equity does not change then: a line drawn across such a pause
    would show a slope that never was.
    """
    ts = np.asarray(columns["ts"], np.int64)
    apart = np.diff(ts)
    after = np.flatnonzero(apart > PAUSE * np.median(apart)) + 1 if len(apart) else np.empty(0, np.int64)
    last = np.asarray(columns["last"], np.float64)
    result: Columns = {"ts": np.insert(ts, after, ts[after] - 1)}
    for name in ("last", "low", "high"):
        result[name] = np.insert(np.asarray(columns[name], np.float64), after, last[after - 1])
    return result


def from_start(equity: Columns, start: int, value: float) -> Columns:
    """Buckets of equity behind one of the run's start with its ``value``; there is none before anything is held."""
    ts = np.asarray(equity["ts"], np.int64)
    if not len(ts) or ts[0] <= start or not np.isfinite(value):
        return equity
    return {"ts": np.insert(ts, 0, start)} | {
        name: np.insert(np.asarray(equity[name], np.float64), 0, value) for name in ("last", "low", "high")
    }


def equity_line(record: RunRecord) -> tuple[I8, F8]:
    """(times, net liquidation) from the run's start to its end; the drawdown's exact extremes are among the points."""
    ts, values = bucket_line(with_pauses(from_start(record.equity, record.start, record.starting_equity)))
    fall = record.drawdown
    exact = [(t, v) for t, v in ((fall.peak_ts, fall.peak), (fall.trough_ts, fall.trough)) if t]
    more = [(record.start, record.starting_equity), *exact, (record.end, record.final_equity)]
    ts = np.concatenate((ts, np.array([t for t, _ in more], np.int64)))
    values = np.concatenate((values, np.array([v for _, v in more])))
    order = np.argsort(ts, kind="stable")
    return ts[order], values[order]


@dataclass(frozen=True, slots=True)
class Underwater:
    """How far equity is below its running maximum: ``fraction`` <= 0 of that maximum, ``money`` <= 0."""

    ts: I8
    fraction: F8
    money: F8


def underwater(record: RunRecord) -> Underwater:
    """The drawdown over time, from buckets of event-level equity.

    Within a bucket it is not known whether the low came before the high; its low is measured from the maximum before
    the bucket, so that no fall is invented. The deepest fall, which is known exactly, is put in as it is.
    """
    buckets = with_pauses(from_start(record.equity, record.start, record.starting_equity))
    ts, low, high = buckets["ts"], buckets["low"], buckets["high"]
    if not len(ts):
        return Underwater(ts, low, high)
    if record.end > ts[-1]:
        ts, low, high = np.append(ts, record.end), np.append(low, record.final_equity), np.append(high, 0.0)
    peak = np.maximum.accumulate(np.concatenate(([record.starting_equity], high)))[:-1]
    money = np.minimum(low - peak, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = np.where(peak > 0.0, np.maximum(money / peak, record.drawdown.depth), 0.0)
    fall = record.drawdown
    if fall.trough_ts:
        at = int(np.searchsorted(ts, fall.trough_ts))
        ts = np.insert(ts, at, fall.trough_ts)
        fraction = np.insert(fraction, at, fall.depth)
        money = np.insert(money, at, fall.trough - fall.peak)
    if record.start < ts[0]:
        ts, fraction, money = (
            np.insert(each, 0, first) for each, first in ((ts, record.start), (fraction, 0.0), (money, 0.0))
        )
    return Underwater(ts, fraction, money)


def guard_floor(record: RunRecord, ts: I8) -> F8 | None:
    """The equity below which the guard's loss limit trips, at times ``ts``; None where no loss limit was set.

    The bases are those of ``papertape.core.guard.Basis``; the running maximum and the sessions' openings are taken
    from the buckets of equity, hence are as exact as those.
    """
    from papertape.core.guard import Basis, Reference, fraction

    settings: Mapping[str, Any] = record.settings.get("guard") or {}
    given = settings.get("max_drawdown")
    if given is None or settings.get("basis") == Basis.STOCK_VALUE:
        return None
    limit = fraction(given, "max_drawdown")
    start = record.starting_equity
    if settings.get("basis") == Basis.DAILY_LOSS:
        closes = np.asarray(record.daily["ts"], np.int64)
        opened = np.concatenate(([start], record.daily["equity"]))
        return np.asarray(opened[np.searchsorted(closes, ts, "left")] * (1.0 - limit), np.float64)
    if settings.get("basis") == Basis.PNL or settings.get("reference") == Reference.START:
        return np.full(len(ts), start * (1.0 - limit))
    return running_peak(record, ts) * (1.0 - limit)


def running_peak(record: RunRecord, ts: I8) -> F8:
    """The highest equity up to each time, the starting one included; that of a bucket counts from its end on."""
    highs = np.concatenate(([record.starting_equity], np.asarray(record.equity["high"], np.float64)))
    return np.asarray(np.maximum.accumulate(highs)[np.searchsorted(record.equity["ts"], ts, "left")], np.float64)


# --- days and months


@dataclass(frozen=True, slots=True)
class Days:
    """Returns of sessions: ``date`` (days since 1970-01-01), ``ts`` of the session's last value, ``returns``."""

    date: I8
    ts: I8
    returns: F8


def session_returns(record: RunRecord) -> Days:
    """Return of each session, from the end of the one before (the first: from the starting equity).

    Empty where equity was not positive throughout, since returns do not exist then.
    """
    equity = np.concatenate(([record.starting_equity], np.asarray(record.daily["equity"], np.float64)))
    returns = daily_returns(equity)
    if returns is None:
        return Days(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    return Days(np.asarray(record.daily["date"], np.int64), np.asarray(record.daily["ts"], np.int64), returns)


def compounded(days: Days, unit: str) -> dict[int, float]:
    """Return of each month (``unit`` "M": months since 1970-01) or year ("Y": the year), compounded from its days."""
    dates = days.date.astype("M8[D]").astype(f"M8[{unit}]").astype(np.int64) + (1970 if unit == "Y" else 0)
    periods, first = np.unique(dates, return_index=True)
    if not len(periods):
        return {}
    growth = np.multiply.reduceat(1.0 + days.returns, first) - 1.0
    return dict(zip(periods.tolist(), growth.tolist(), strict=True))


def benchmark_line(record: RunRecord) -> tuple[I8, F8] | None:
    """(times, value) of the starting equity held in the benchmark, from ``record.daily["benchmark"]``.

    That column holds the benchmark's daily returns, NaN where unknown (a day without a price counts as unchanged).
    None where the run has no such column or nothing in it.
    """
    returns = record.daily.get("benchmark")
    if returns is None or not np.isfinite(returns).any():
        return None
    growth = np.cumprod(1.0 + np.nan_to_num(np.asarray(returns, np.float64)))
    ts = np.concatenate(([record.start], np.asarray(record.daily["ts"], np.int64)))
    return ts, record.starting_equity * np.concatenate(([1.0], growth))


@dataclass(frozen=True, slots=True)
class Histogram:
    """``count[k]`` values lie from ``edges[k]`` to ``edges[k + 1]``; 0 is an edge, so that each bar has one sign.

    ``beyond`` values lie outside and are counted in the outermost bars.
    """

    edges: F8
    count: I8
    beyond: int


def histogram(values: F8) -> Histogram:
    """Counts of finite values in bars of equal width: Freedman and Diaconis' width, at most ``BARS_MAX`` bars.

    The width, 2 x interquartile range / cube root of n, is the one of doi:10.1007/BF01025868. The bars reach
    ``TAILS`` interquartile ranges beyond the quartiles, or as far as there are values.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return Histogram(np.empty(0), np.empty(0, np.int64), 0)
    low, high = (float(each) for each in np.quantile(values, (0.25, 0.75)))
    reach = TAILS * (high - low)
    lowest, highest = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if reach > 0.0:
        lowest, highest = max(lowest, min(low - reach, 0.0)), min(highest, max(high + reach, 0.0))
    width = max(2.0 * (high - low) / len(values) ** (1 / 3), (highest - lowest) / (BARS_MAX - 2)) or 1.0
    first, last = math.floor(lowest / width), math.floor(highest / width) + 1
    bar = np.clip(np.floor(values / width), first, last - 1).astype(np.int64) - first
    beyond = int(np.count_nonzero((values < first * width) | (values > last * width)))
    return Histogram(np.arange(first, last + 1) * width, np.bincount(bar, minlength=last - first), beyond)


# --- positions


@dataclass(frozen=True, slots=True)
class Steps:
    """A value that changes in steps: from ``ts[k]`` on it is ``value[k]``; before the first it is 0."""

    ts: I8
    value: F8

    def at(self, ts: I8) -> F8:
        """The value at times ``ts``."""
        return np.concatenate(([0.0], self.value))[np.searchsorted(self.ts, ts, "right")]


def position_steps(fills: Columns, symbol: str) -> Steps:
    """The position in ``symbol`` after each of its fills, in units; splits in between are not known here."""
    here = np.flatnonzero(fills["symbol"] == symbol)
    signed = np.where(fills["side"][here] == "BUY", 1.0, -1.0) * fills["quantity"][here]
    return Steps(np.asarray(fills["ts"][here], np.int64), np.cumsum(signed.astype(np.float64)))


@dataclass(frozen=True, slots=True)
class Exposure:
    """Value of what was held: ``long`` >= 0, ``short`` <= 0, and ``equity``, all in base currency at ``ts``.

    ``left_out`` are symbols that are not in it: held in another currency, or split while they were held.
    """

    ts: I8
    long: F8
    short: F8
    equity: F8
    left_out: tuple[str, ...]


def exposure(record: RunRecord, points: int = POINTS) -> Exposure:
    """Exposure over time, from the fills and the prices that the run keeps (else from the prices of its fills)."""
    fills = record.fills
    times = [np.asarray(columns["ts"], np.int64) for columns in (record.equity, fills)]
    ends = np.array([record.start, record.end], np.int64)
    grid = np.unique(np.concatenate((ends, *(_spread(each, points // 2 - 1) for each in times))))
    columns = record.positions
    currency = dict(zip(columns["symbol"].tolist(), columns["currency"].tolist(), strict=True))
    held = dict(zip(columns["symbol"].tolist(), columns["quantity"].tolist(), strict=True))
    units = multipliers(record)
    long, short, left_out = np.zeros(len(grid)), np.zeros(len(grid)), []
    for symbol in dict.fromkeys(fills["symbol"].tolist()):
        steps = position_steps(fills, symbol)
        moved = float(np.abs(steps.value).max())
        if (
            currency.get(symbol, record.currency) != record.currency
            or abs(steps.value[-1] - held.get(symbol, 0.0)) > 1e-9 * moved
        ):
            left_out.append(symbol)
            continue
        value = steps.at(grid) * _price_at(record, symbol, grid) * units[symbol]
        long += np.maximum(value, 0.0)
        short += np.minimum(value, 0.0)
    equity = _last_at(record.equity["ts"], record.equity["last"], grid, record.starting_equity)
    return Exposure(grid, long, short, equity, tuple(left_out))


def stepped(x: NDArray[Any], values: F8) -> tuple[NDArray[Any], F8]:
    """A line of corners for a value that stays until the next place: each change is upright."""
    return np.repeat(x, 2)[1:], np.repeat(values, 2)[:-1]


def _spread(ts: I8, count: int) -> I8:
    """At most ``count`` of the times, evenly chosen, the first and last among them."""
    if len(ts) <= count:
        return ts
    chosen: I8 = ts[np.unique(np.linspace(0, len(ts) - 1, count).astype(np.int64))]
    return chosen


def _last_at(ts: NDArray[Any], values: NDArray[Any], at: I8, before: float) -> F8:
    """The last value at or before each time; ``before`` where there is none yet."""
    return np.concatenate(([before], np.asarray(values, np.float64)))[np.searchsorted(ts, at, "right")]


def _price_at(record: RunRecord, symbol: str, at: I8) -> F8:
    here = np.flatnonzero(record.fills["symbol"] == symbol)
    ts, price = record.fills["ts"][here], record.fills["price"][here]
    kept = record.prices.get(symbol)
    if kept is not None:
        # A fill's own price counts until the bucket it fell into has ended.
        ts = np.concatenate((kept["ts"], ts))
        price = np.concatenate((kept["last"], price))
        order = np.argsort(ts, kind="stable")
        ts, price = ts[order], price[order]
    return _last_at(ts, price, at, float(price[0]))


# --- fills


@dataclass(frozen=True, slots=True)
class Marks:
    """Fills of one side, those close together as one: their number, units, mean price and last time.

    ``price`` is weighted by quantity; ``text`` names the symbols, at most three.
    """

    ts: I8
    count: I8
    quantity: F8
    price: F8
    text: list[str]


def fill_marks(fills: Columns, side: str, place: Callable[[I8], NDArray[Any]], cells: int) -> Marks:
    """Fills of a side ("BUY" or "SELL"); where there are more than ``cells``, those close together as one mark.

    ``place`` gives the places of times on the axis, of which ``cells`` equal parts are made.
    """
    here = np.flatnonzero(fills["side"] == side)
    ts = np.asarray(fills["ts"][here], np.int64)
    first = np.arange(len(here))
    if len(here) > cells:
        x = place(ts).astype(np.float64)
        cell = ((x - x[0]) / (x[-1] - x[0] or 1.0) * cells).astype(np.int64)
        first = np.flatnonzero(np.diff(cell, prepend=-1))
    if not len(first):
        return Marks(ts, np.empty(0, np.int64), np.empty(0), np.empty(0), [])
    bounds = np.append(first[1:], len(here))
    quantity = np.asarray(fills["quantity"][here], np.float64)
    total = np.add.reduceat(quantity, first)
    value = np.add.reduceat(quantity * fills["price"][here], first)
    symbols = [list(dict.fromkeys(fills["symbol"][here[a:b]].tolist())) for a, b in zip(first, bounds, strict=True)]
    text = [", ".join(each[:3]) + (f" and {len(each) - 3} more" if len(each) > 3 else "") for each in symbols]
    return Marks(ts[bounds - 1], bounds - first, total, value / total, text)


@dataclass(frozen=True, slots=True)
class Slippage:
    """Cost of each fill against the price at the order's decision; positive is a cost, NaN where that is unknown.

    ``fraction`` is of the arrival price, ``money`` the whole fill's, in the instrument's currency. ``row`` is the
    fill's place among the run's fills.
    """

    row: I8
    ts: I8
    fraction: F8
    money: F8


def fill_slippage(record: RunRecord) -> Slippage:
    """Slippage of each fill whose order knew an arrival price."""
    fills, orders = record.fills, record.orders
    arrival = dict(zip(orders["number"].tolist(), orders["arrival_price"].tolist(), strict=True))
    reference = np.array([arrival.get(number, np.nan) for number in fills["order"].tolist()], np.float64)
    sign = np.where(fills["side"] == "BUY", 1.0, -1.0)
    worse = sign * (np.asarray(fills["price"], np.float64) - reference)
    units = multipliers(record)
    scale = np.array([units[symbol] for symbol in fills["symbol"].tolist()], np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = worse / reference
    row = np.flatnonzero(np.isfinite(fraction))
    money = worse * np.asarray(fills["quantity"], np.float64) * scale
    return Slippage(row, np.asarray(fills["ts"], np.int64)[row], fraction[row], money[row])
