"""What was known of many instruments at one time, in one compiled pass over the columns where they lie.

A scan looks at every instrument of the tape. Columns of different instruments are different arrays, which compiled
code takes only one by one; so a table holds where each column begins in memory. Nothing is copied: what a question does
not touch is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from papertape.core.addresses import array_at
from papertape.core.compiled import compiled
from papertape.core.model import EventKind
from papertape.core.series import F8, I8, Series

LENGTH, TS, STAMP, OPEN, HIGH, LOW, LAST, VOLUME, CLOSED = range(9)
"""Columns of a table of places: number of events; addresses of seven columns; 1 where a close belongs to its session.

``STAMP`` is a bar's open time, a trade's time. A trade's price is its open, high, low and last.
"""
BEGIN, END, LAST_TS, BEFORE_TS = range(4)
"""Columns of what is found, int64: first event of the session, events known, times of the last one and of the prior close."""
F_OPEN, F_LAST, F_VOLUME, F_BEFORE = range(4)
"""Columns of what is found, float64; NaN unknown."""


def places(series: Sequence[Series | None]) -> tuple[I8, list[NDArray[Any]]]:
    """A table of places (int64, shape (instruments, 9)), and the arrays that must live as long as it is used.

    The row of an instrument without events is zeros.
    """
    table = np.zeros((len(series), 9), np.int64)
    kept: list[NDArray[Any]] = []
    for row, each in zip(table, series, strict=True):
        if each is None or not len(each):
            continue
        is_bar = each.kind >= EventKind.BAR
        values = each.columns if is_bar else (each.columns[0],) * 4 + (each.columns[1],)
        stamps = each.ts if each.start is None else each.start
        columns: list[NDArray[Any]] = [np.ascontiguousarray(column, np.int64) for column in (each.ts, stamps)]
        columns += [np.ascontiguousarray(column, np.float64) for column in values]
        assert all(len(column) == len(each) for column in columns), "columns of a series are of one length"
        row[LENGTH] = len(each)
        row[TS : VOLUME + 1] = [column.ctypes.data for column in columns]
        row[CLOSED] = 0 if is_bar else 1
        kept += columns
    return table, kept


@compiled
def known_by(ts: I8, bound: int) -> int:
    """Number of times at or before ``bound``."""
    low, high = 0, len(ts)
    while low < high:
        middle = (low + high) // 2
        if ts[middle] <= bound:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def back_to(stamps: I8, bound: int, end: int) -> int:
    """First of the events before ``end`` whose stamp is at or after ``bound``: looked for backwards, in growing steps."""
    high, step = end, 1
    low = 0
    while high > 0:
        probe = max(high - step, 0)
        if stamps[probe] < bound:
            low = probe + 1
            break
        high = probe
        step *= 2
    while low < high:
        middle = (low + high) // 2
        if stamps[middle] < bound:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def find_days(table: I8, members: I8, now: int, opening: int, close_before: int, found: I8, values: F8) -> None:
    """For each member (a row of ``table``): the session since ``opening`` as of ``now``, and the close before it.

    ``found`` (members, 4) and ``values`` (members, 4) are filled; END is 0 where nothing was ever received, and equals
    BEGIN where nothing was in this session. ``close_before`` is when the session before closed.
    """
    for m in range(len(members)):
        row = table[members[m]]
        n = row[LENGTH]
        found[m] = 0
        values[m] = np.nan
        if n == 0:
            continue
        ts = array_at(row[TS], n, np.int64)
        end = known_by(ts, now)
        if end == 0:
            continue
        begin = back_to(array_at(row[STAMP], n, np.int64), opening, end)
        last = array_at(row[LAST], n, np.float64)
        found[m, BEGIN], found[m, END], found[m, LAST_TS] = begin, end, ts[end - 1]
        values[m, F_LAST] = last[end - 1]
        if begin == end:
            continue
        values[m, F_OPEN] = array_at(row[OPEN], n, np.float64)[begin]
        volume = array_at(row[VOLUME], n, np.float64)
        total = 0.0
        for k in range(begin, end):
            total += volume[k]
        values[m, F_VOLUME] = total
        known = back_to(ts, close_before + 1, begin)
        if known > 0:
            found[m, BEFORE_TS] = ts[known - 1]
            values[m, F_BEFORE] = last[known - 1]


@compiled
def daily_bars(row: I8, opens: I8, closes: I8, first: int, last: int, now: int, times: I8, values: F8) -> int:
    """Bars of the sessions [first, last] of one instrument from what was known at ``now``; returns how many.

    ``times`` (sessions, 2): when each is known (not after ``now``), and its open. ``values`` (sessions, 5): open, high,
    low, close, volume. An event belongs to a session if its stamp does; sessions without events have no bar.
    """
    n = row[LENGTH]
    count = 0
    if n == 0:
        return count
    ts, stamps = array_at(row[TS], n, np.int64), array_at(row[STAMP], n, np.int64)
    open_, high, low = (
        array_at(row[OPEN], n, np.float64),
        array_at(row[HIGH], n, np.float64),
        array_at(row[LOW], n, np.float64),
    )
    close, volume = array_at(row[LAST], n, np.float64), array_at(row[VOLUME], n, np.float64)
    end = known_by(ts, now)
    k = back_to(stamps, opens[first], end)
    for s in range(first, last + 1):
        while k < end and stamps[k] < opens[s]:
            k += 1
        limit = closes[s] + row[CLOSED]
        if k == end or stamps[k] >= limit:
            continue
        known = closes[s]
        top, bottom, total = high[k], low[k], 0.0
        values[count, 0] = open_[k]
        while k < end and stamps[k] < limit:
            top = max(top, high[k])
            bottom = min(bottom, low[k])
            total += volume[k]
            known = max(known, ts[k])
            k += 1
        times[count, 0], times[count, 1] = min(known, now), opens[s]
        values[count, 1], values[count, 2], values[count, 3], values[count, 4] = top, bottom, close[k - 1], total
        count += 1
    return count
