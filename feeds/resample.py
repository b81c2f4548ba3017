"""Bars made of trades or of finer bars, by interval or by session.

A bar covers [start, end) and is known at its end. Inside a session intervals count from the session's open, and the
last one ends with the session, however short that makes it; a trade stamped exactly at the close belongs to it, since
that is where exchanges stamp the closing auction. Outside sessions intervals count from midnight UTC and end where a
session opens; a bar never holds events from inside and outside of a session. Bars of one day are sessions: what
happens outside of them is not part of any, as in a broker's daily bars of regular trading hours. Intervals without
events have no bar.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from papertape.core.compiled import compiled
from papertape.core.errors import ConfigError, DataError
from papertape.core.model import NS_PER_S, EventKind, SessionTimes
from papertape.core.series import F8, I8, Series

NS_PER_DAY = 86_400 * NS_PER_S


def resample(series: Series, interval_ns: int, sessions: SessionTimes) -> Series:
    """Bars of ``interval_ns`` nanoseconds (one day: of sessions) from trades or from finer bars.

    The result is a BAR_VIEW: ``ts`` is when each bar is known (its end, or the end of a source bar that reaches
    further), ``start`` its interval's start; open, high, low, close of the events in it, volume their sum. A source
    bar belongs to the interval in which it starts. ``sessions`` must cover the series.

    Raises ConfigError for an interval that is not positive or longer than a day, DataError for quotes and for bars
    that are longer than the interval.
    """
    if not 0 < interval_ns <= NS_PER_DAY:
        raise ConfigError(f"bars of {interval_ns / NS_PER_S:g} s cannot be made; choose more than 0 s and up to 1 day")
    if series.kind is EventKind.QUOTE:
        raise DataError(f"bars of {series.symbol} are made of trades or finer bars, not of quotes", path=series.source)
    if series.kind is EventKind.TRADE:
        price, size = series.columns
        at = series.ts
        values: tuple[F8, ...] = (price, price, price, price, size)
        closed = 1
    else:
        at, values = _bar_starts(series, interval_ns), series.columns
        closed = 0
    opens = np.array(sessions.open, dtype=np.int64)
    closes = np.array(sessions.close, dtype=np.int64)
    is_daily = interval_ns == NS_PER_DAY
    n = count_bars(at, opens, closes, interval_ns, is_daily, closed)
    ts, start = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    columns = tuple(np.empty(n) for _ in range(5))
    fill_bars(at, series.ts, values, opens, closes, interval_ns, is_daily, closed, ts, start, columns)
    return dataclasses.replace(series, kind=EventKind.BAR_VIEW, ts=ts, columns=columns, start=start, row=None)


def _bar_starts(series: Series, interval_ns: int) -> I8:
    """The starts of a series of bars, which must not be longer than the interval."""
    if series.start is None:
        raise ValueError(f"bars of {series.symbol} have no start")
    if len(series) and float(np.median(series.ts - series.start)) > interval_ns:
        length = float(np.median(series.ts - series.start)) / NS_PER_S
        raise DataError(
            f"bars of {length:g} s of {series.symbol} cannot be made into bars of {interval_ns / NS_PER_S:g} s; "
            "ask for longer ones or load finer data",
            path=series.source,
        )
    return series.start


@compiled
def interval_of(t: Any, s: Any, opens: Any, closes: Any, interval: Any, is_daily: Any, closed: Any) -> Any:
    """(start, end) of the interval of time t, where s is the last session that opens at or before t (-1: none).

    (0, 0) where no bar holds it. ``closed`` is 1 where the time of a session's close belongs to the session.
    """
    if s >= 0 and t < closes[s] + closed:
        if is_daily:
            return opens[s], closes[s]
        begin = opens[s] + min(t - opens[s], closes[s] - opens[s] - 1) // interval * interval
        return begin, min(begin + interval, closes[s])
    if is_daily:
        return 0, 0
    midnight = t // 86_400_000_000_000 * 86_400_000_000_000
    begin = midnight + (t - midnight) // interval * interval
    end = min(begin + interval, midnight + 86_400_000_000_000)
    if s >= 0:
        begin = max(begin, closes[s])
    if s + 1 < len(opens):
        end = min(end, opens[s + 1])
    return begin, end


@compiled
def count_bars(at: Any, opens: Any, closes: Any, interval: Any, is_daily: Any, closed: Any) -> int:
    """Number of bars that events at times ``at`` make."""
    n = 0
    begin, end = 0, 0
    s = -1
    for i in range(len(at)):
        t = at[i]
        if begin <= t < end:
            continue  # as most are: a division by a variable for each would take most of the time
        while s + 1 < len(opens) and opens[s + 1] <= t:
            s += 1
        b, e = interval_of(t, s, opens, closes, interval, is_daily, closed)
        if e > b and (b != begin or e != end):
            n += 1
            begin, end = b, e
    return n


@compiled
def fill_bars(
    at: Any, known: Any, values: Any, opens: Any, closes: Any, interval: Any, is_daily: Any, closed: Any,
    ts: Any, start: Any, columns: Any,
) -> None:  # fmt: skip
    """Fill ``ts``, ``start`` and ``columns`` with the bars of events at times ``at`` that are known at ``known``."""
    source_open, source_high, source_low, source_close, source_volume = values
    open_, high, low, close, volume = columns
    n = -1
    begin, end = 0, 0
    s = -1
    top, bottom, last, total, latest = 0.0, 0.0, 0.0, 0.0, 0
    for i in range(len(at)):
        t = at[i]
        if not begin <= t < end:
            while s + 1 < len(opens) and opens[s + 1] <= t:
                s += 1
            b, e = interval_of(t, s, opens, closes, interval, is_daily, closed)
            if e <= b:
                continue
            if b != begin or e != end:
                if n >= 0:
                    ts[n], high[n], low[n], close[n], volume[n] = latest, top, bottom, last, total
                n += 1
                begin, end = b, e
                start[n], open_[n] = b, source_open[i]
                top, bottom, total, latest = source_high[i], source_low[i], 0.0, e
        top = max(top, source_high[i])
        bottom = min(bottom, source_low[i])
        last = source_close[i]
        total += source_volume[i]
        latest = max(latest, known[i])
    if n >= 0:
        ts[n], high[n], low[n], close[n], volume[n] = latest, top, bottom, last, total
