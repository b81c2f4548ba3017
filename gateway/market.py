"""The market that is played: a tape cut into steps, each all events of one exchange time."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Step:
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
        self.instruments: tuple[Instrument, ...] = tuple(
            tape.instruments.get(name) or Instrument(name) for name in tape.symbols
        )
        self.calendar: SessionTimes = session_times(calendar, first, last)
        self.view = PointInTime(tape, self.instruments, self.calendar)
        self._streams = self._open(self.start, self.end)
        self._batch: Batch | None = None
        self._at = 0
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

    def _fill(self) -> Batch | None:
        if self._batch is not None and self._at >= len(self._batch):
            consume(self._streams, self._batch, len(self._batch))
            self._batch = None
        if self._batch is None:
            self._batch, self._at = next_batch(self._streams, PIECE), 0
        return self._batch

    @property
    def next_ts(self) -> int:
        """Time of the next event; NEVER after the last."""
        batch = self._fill()
        return NEVER if batch is None else int(batch.ts[self._at])

    def next_part(self, most_ts: int = NEVER) -> Step | None:
        """The next events that carry one time, if that is at most ``most_ts``; None where there are none.

        Where the events of a time are in two batches they come as two parts with the same ``ts``.
        """
        batch = self._fill()
        if batch is None:
            return None
        begin = self._at
        ts = int(batch.ts[begin])
        if ts > most_ts:
            return None
        self._at = int(np.searchsorted(batch.ts, ts, "right"))
        return Step(ts, batch, begin, self._at)
