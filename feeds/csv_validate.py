"""Times of bars, and what is said about times as a whole: gaps, and bars outside the sessions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feeds.csv_options import BarStamp
from feeds.timestamps import NS_PER_DAY
from papertape.core.model import SessionTimes
from papertape.core.series import I8

_LONG_NS = 3 * 3600 * 10**9  # shorter than any session: a shorter pause can not hold a whole one


@dataclass(frozen=True, slots=True, eq=False)
class SessionArrays:
    """SessionTimes as arrays (int64): day numbers since 1970 and UTC ns."""

    date: I8
    open: I8
    close: I8
    name: str

    def digest(self, first_ts: int, last_ts: int) -> str:
        """Hex digest of the sessions that matter to times in [first_ts, last_ts]."""
        begin = max(0, int(np.searchsorted(self.close, first_ts - 2 * NS_PER_DAY)))
        end = int(np.searchsorted(self.open, last_ts + 2 * NS_PER_DAY))
        parts = b"".join(column[begin:end].tobytes() for column in (self.date, self.open, self.close))
        return hashlib.sha256(self.name.encode() + parts).hexdigest()[:16]


_arrays_made: list[tuple[SessionTimes, SessionArrays]] = []
"""What was asked for last: known by identity, since to compare thousands of sessions for each symbol costs more."""


def session_arrays(sessions: SessionTimes) -> SessionArrays:
    """The arrays of sessions."""
    for asked, made in _arrays_made:
        if asked is sessions:
            return made
    made = SessionArrays(
        np.array(sessions.date, dtype=np.int64),
        np.array(sessions.open, dtype=np.int64),
        np.array(sessions.close, dtype=np.int64),
        sessions.name,
    )
    _arrays_made[:] = [(sessions, made)]
    return made


@dataclass(slots=True)
class GapCounts:
    """How often each pause between neighbouring bars occurs (ns -> number)."""

    counts: dict[int, int]

    def add(self, stamps: I8) -> None:
        """Count the pauses of one symbol's bars."""
        values, numbers = np.unique(np.diff(stamps), return_counts=True)
        for value, number in zip(values.tolist(), numbers.tolist(), strict=True):
            self.counts[value] = self.counts.get(value, 0) + number

    @property
    def most_frequent_ns(self) -> int | None:
        """The most frequent pause, the shortest of several; None where there is none."""
        if not self.counts:
            return None
        return min(self.counts, key=lambda gap: (-self.counts[gap], gap))


def bar_times(stamps: I8, interval_ns: int, stamp: BarStamp, sessions: SessionArrays | None) -> tuple[I8, I8]:
    """Closes and opens of one symbol's bars: (ts, start), int64 ns.

    A bar neither begins before the one before it ends nor ends after its session does: the last hour of a session
    may be half an hour.
    """
    if stamp is BarStamp.CLOSE:
        ts = stamps
        start = stamps - interval_ns
        start[1:] = np.maximum(start[1:], ts[:-1])
        if sessions is not None and len(sessions.open):
            at = np.searchsorted(sessions.open, ts, side="left") - 1  # the session that opened last before the close
            opened = sessions.open[np.maximum(at, 0)]
            start = np.where((at >= 0) & (start < opened) & (ts <= sessions.close[np.maximum(at, 0)]), opened, start)
        return ts, start
    start = stamps
    ts = stamps + interval_ns
    ts[:-1] = np.minimum(ts[:-1], start[1:])
    if sessions is not None and len(sessions.open):
        at = np.maximum(np.searchsorted(sessions.open, start, side="right") - 1, 0)
        closed = sessions.close[at]
        ts = np.where((start >= sessions.open[at]) & (start < closed) & (ts > closed), closed, ts)
    return ts, start


def daily_times(days: I8, sessions: SessionArrays) -> tuple[I8, I8, NDArray[np.bool_]]:
    """Closes and opens of the sessions on days since 1970: (ts, start, whether there is such a session)."""
    at = np.minimum(np.searchsorted(sessions.date, days), len(sessions.date) - 1)
    return sessions.close[at], sessions.open[at], sessions.date[at] == days


def outside_sessions(ts: I8, start: I8, sessions: SessionArrays) -> NDArray[np.bool_]:
    """Which bars begin before the session they end in opens, or end after it closes."""
    at = np.searchsorted(sessions.open, start, side="right") - 1
    inside = (at >= 0) & (ts <= sessions.close[np.maximum(at, 0)])
    return ~inside


def long_gaps(begin: I8, end: I8, sessions: SessionArrays) -> NDArray[np.intp]:
    """Rows after which at least one whole session lies without an event.

    ``begin`` and ``end`` are each event's first and last moment (the same for trades and quotes).
    """
    rows = np.flatnonzero(begin[1:] - end[:-1] > _LONG_NS)
    first = np.searchsorted(sessions.open, end[:-1][rows], side="left")
    beyond = np.searchsorted(sessions.close, begin[1:][rows], side="right")
    return rows[beyond > first]
