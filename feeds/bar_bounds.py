"""When bars begin and end, from one stamp each: a compiled walk along bars and sessions."""

from __future__ import annotations

from typing import Any

import numpy as np

from feeds.csv_options import BarStamp
from feeds.csv_validate import SessionArrays
from papertape.core.compiled import compiled
from papertape.core.series import I8

_NONE = np.empty(0, dtype=np.int64)


def bar_bounds(stamps: I8, interval_ns: int, stamp: BarStamp, sessions: SessionArrays | None) -> tuple[I8, I8]:
    """Closes and opens of one symbol's bars: (ts, start), int64 ns; the one that is the stamp is not copied.

    A bar neither begins before the one before it ends nor ends after its session does: the last hour of a session may
    be half an hour. Stamps that do not rise are taken as they come; whoever plays the bars refuses them.
    """
    opens, closes = (_NONE, _NONE) if sessions is None else (sessions.open, sessions.close)
    other = np.empty(len(stamps), dtype=np.int64)
    if stamp is BarStamp.CLOSE:
        fill_starts(stamps, interval_ns, opens, closes, other)
        return stamps, other
    fill_ends(stamps, interval_ns, opens, closes, other)
    return other, stamps


@compiled
def fill_starts(ts: Any, interval: Any, opens: Any, closes: Any, start: Any) -> None:
    """Starts of bars that end at ``ts``."""
    s = -1  # the last session that opens before the bar ends
    for i in range(len(ts)):
        begin = ts[i] - interval
        if i > 0:
            begin = max(begin, ts[i - 1])
            if ts[i] < ts[i - 1]:
                s = np.searchsorted(opens, ts[i]) - 1
        while s + 1 < len(opens) and opens[s + 1] < ts[i]:
            s += 1
        if s >= 0 and begin < opens[s] and ts[i] <= closes[s]:
            begin = opens[s]
        start[i] = begin


@compiled
def fill_ends(start: Any, interval: Any, opens: Any, closes: Any, ts: Any) -> None:
    """Ends of bars that start at ``start``: session by session, so that within one there is nothing to decide."""
    n = len(start)
    if n == 0:
        return
    i = 0
    count = 0
    while i < n:
        s = np.searchsorted(opens, start[i], side="right") - 1  # the last session that opens by the time that it starts
        close = closes[s] if s >= 0 else start[i]
        stop = min(i + count, n)  # most sessions have as many bars as the one before them
        if s + 1 < len(opens):
            is_stop = stop > i and start[stop - 1] < opens[s + 1] and (stop == n or start[stop] >= opens[s + 1])
            if not is_stop:
                stop = i + max(1, np.searchsorted(start[i:], opens[s + 1]))
        else:
            stop = n
        count = stop - i
        here, end = start[i:stop], ts[i:stop]
        for k in range(count - 1):
            e = min(here[k] + interval, here[k + 1])
            end[k] = close if here[k] < close < e else e
        last = start[stop - 1]
        e = last + interval if stop == n else min(last + interval, start[stop])
        ts[stop - 1] = close if last < close < e else e
        i = stop
