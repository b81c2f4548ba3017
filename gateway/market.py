"""The market that is played: a tape cut into steps, each all events of one exchange time."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from feeds.point_in_time import PointInTime
from feeds.streams import Stream, consume, next_batch
from papertape.calendar import session_times
from papertape.core.errors import ConfigError, DataError
from papertape.core.model import Instrument, SessionTimes
from papertape.core.series import Batch, Tape
from papertape.core.timers import NEVER
from papertape.moments import iso_utc

PIECE = 4_096
"""Most events that are merged at once: small, so that looking at the next time costs little."""


class Step(NamedTuple):
    """Events [begin, end) of an open batch: all, or the next part of all, that happened at ``ts`` (UTC ns)."""

    ts: int
    batch: Batch
    begin: int
    end: int


class Market:
    """Plays a tape from ``start`` to ``end`` (UTC ns, inclusive; None: all of it).

    Of each instrument that is what also marks and fills: its quotes and trades, or, where it has neither, its finest
    bars. ``view`` looks up what was known at a time.
    """

    def __init__(self, tape: Tape, calendar: str = "XNYS", start: int | None = None, end: int | None = None) -> None:
        held = [series for series in tape.series if len(series)]
        if not held:
            raise DataError("the tape holds no events")
        first = min(int((series.ts if series.start is None else series.start)[0]) for series in held)
        last = max(int(series.ts[-1]) for series in held)
        self.tape = tape
        self.start = first if start is None else start
        self.end = last if end is None else end
        self.is_whole = end is None
        """Whether the last session is played to its close, beyond the last event."""
        self.instruments: tuple[Instrument, ...] = tuple(
            tape.instruments.get(name) or Instrument(name) for name in tape.symbols
        )
        self.calendar: SessionTimes = session_times(calendar, first, last)
        self.view = PointInTime(tape, self.instruments, self.calendar)
        self._streams = self._open(self.start, self.end)
        self._batch: Batch | None = None
        self._at = 0
        self._times: list[int] = []
        self._watched: Sequence[object | None] = ()
        self._loud: list[int] = []
        """Places in the batch of events of instruments that were watched when it was last looked."""
        self.next_ts = NEVER
        """Time of the next event; NEVER after the last."""
        self._fill()
        if self.next_ts == NEVER:
            spans = f"{iso_utc(first)} to {iso_utc(last)}"
            raise ConfigError(f"the tape has no event between start and end; it spans {spans}")

    def _open(self, start: int, end: int) -> list[Stream]:
        streams: list[Stream] = []
        for j in range(len(self.instruments)):
            for series in self.view.market(j):
                first = int(np.searchsorted(series.ts, start, "left"))
                beyond = int(np.searchsorted(series.ts, end, "right"))
                streams.append(Stream(series, j, series.kind, first, beyond))
        return sorted(streams, key=Stream.order)

    def _fill(self) -> None:
        """Take the next batch."""
        if self._batch is not None:
            consume(self._streams, self._batch, len(self._batch))
        self._batch, self._at = next_batch(self._streams, PIECE), 0
        self._times = [] if self._batch is None else self._batch.ts.tolist()
        self._watched = ()
        self.next_ts = self._times[0] if self._times else NEVER

    def next_part(self, most_ts: int = NEVER) -> Step | None:
        """The next events that carry one time, if that is at most ``most_ts``; None where there are none.

        Where the events of a time are in two batches they come as two parts with the same ``ts``.
        """
        ts, batch = self.next_ts, self._batch
        if ts > most_ts or batch is None:
            return None
        begin, times = self._at, self._times
        end, n = begin + 1, len(times)
        while end < n and times[end] == ts:
            end += 1
        if end < n:
            self._at, self.next_ts = end, times[end]
        else:
            self._fill()
        return Step(ts, batch, begin, end)

    def stretch(self, before_ts: int, watched: Sequence[object | None]) -> Step | None:
        """The next events before a time, up to the first of an instrument that is watched; None where there are none.

        ``watched`` has something that is not None for each instrument that is; another list for another state of that.
        They are not taken: :meth:`take` does. ``ts`` is that of the last of them.
        """
        batch, at = self._batch, self._at
        if batch is None or self.next_ts >= before_ts:
            return None
        if watched is not self._watched:
            self._watched = watched
            is_loud = np.array([each is not None for each in watched])[batch.instrument]
            self._loud = np.flatnonzero(np.broadcast_to(is_loud, len(batch))).tolist()
        following = bisect.bisect_left(self._loud, at)
        end = self._loud[following] if following < len(self._loud) else len(self._times)
        if end > at and self._times[end - 1] >= before_ts:
            end = bisect.bisect_left(self._times, before_ts, at, end)
        return Step(self._times[end - 1], batch, at, end) if end > at else None

    def take(self, end: int) -> int:
        """Take the events of the open batch up to ``end``; the time of the last of them."""
        ts = self._times[end - 1]
        if end < len(self._times):
            self._at, self.next_ts = end, self._times[end]
        else:
            self._fill()
        return ts
