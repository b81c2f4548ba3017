"""The recorded feed: plays what is watched of a tape, and answers requests as of the time they are made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import numpy as np

from feeds.past import past_batch
from feeds.point_in_time import PointInTime
from feeds.resample import resample
from feeds.scans import ScanSource, evaluate
from feeds.streams import CHUNK, Stream, consume, next_batch
from papertape.core.model import NS_PER_S, EventKind, Instrument, Scan, SessionTimes
from papertape.core.ports import Image
from papertape.core.requests import ConfirmRequest, HistoryRequest, Reply, Request, ScanRequest, SnapshotRequest
from papertape.core.series import Batch, Series, Tape

DAY_NS = 86_400 * NS_PER_S
FIRST_CHUNK = 1_024
"""Events of the first batch after what is watched has changed: whoever trades soon changes it soon again."""


RELEASED_AT_ONCE = 2_000_000
"""Events that are played before the memory of their columns is given back."""


class ConfirmPolicy(StrEnum):
    """Who answers a strategy's questions where no person sits at a terminal."""

    YES = "yes"
    NO = "no"
    IF_AFFORDABLE = "if-affordable"


class RecordedFeed:
    """A tape between ``start`` and ``end`` (UTC ns, inclusive), as a feed.

    An instrument's market events are its quotes and trades, or, where it has neither, its finest bars; other
    bars of it are only heard. ``available`` tells the cash that ``if-affordable`` compares with. ``chunk`` is the most
    events of a batch, or gives it anew for each; no result depends on it.
    """

    def __init__(
        self,
        tape: Tape,
        instruments: Sequence[Instrument],
        calendar: SessionTimes,
        start: int,
        end: int,
        *,
        scan_source: ScanSource = ScanSource.DERIVED,
        confirm: ConfirmPolicy = ConfirmPolicy.IF_AFFORDABLE,
        chunk: int | Callable[[], int] = CHUNK,
    ) -> None:
        self.instruments = instruments
        self.calendar = calendar
        self.start = start
        self.end = end
        self.chunk = chunk
        self.available: Callable[[], float] = lambda: math.inf
        self.view = PointInTime(tape, instruments, calendar)
        self._tape = tape
        self._scan_source = scan_source
        self._confirm = confirm
        self._streams: list[Stream] = []
        self._playing = self._streams
        self._most = FIRST_CHUNK
        self._unreleased = 0
        self._resampled: dict[tuple[int, int], Series] = {}
        self._heard_bars: dict[int, Series] = {}
        """Instrument -> the bars that its subscription hears."""

    @property
    def restarts(self) -> bool:
        """Watching changes the merge, so the rest of a batch is void."""
        return True

    # -- playing ------------------------------------------------------------------------------------------

    def next(self) -> Batch | None:
        """The next events of what is watched; None where there are none up to the end."""
        if self._playing is not self._streams:
            self._playing, self._most = self._streams, FIRST_CHUNK
        most = min(self._most, self.chunk if isinstance(self.chunk, int) else self.chunk())
        self._most = min(4 * self._most, CHUNK)
        return next_batch(self._playing, most)

    def consumed(self, batch: Batch, count: int) -> None:
        """The first ``count`` events of the batch were played."""
        consume(self._playing, batch, count)
        self._unreleased += count
        if self._unreleased >= RELEASED_AT_ONCE:
            self._unreleased = 0
            for stream in self._streams:
                stream.release()

    def progress(self) -> float:
        """Part of the watched events that was played, 0 to 1."""
        total = sum(stream.end for stream in self._streams)
        return sum(stream.cursor for stream in self._streams) / total if total else 0.0

    def watch(self, instrument: int, now: int) -> Image | None:
        """Deliver the instrument's market events that come after ``now``."""
        for series in self.view.market(instrument):
            self._add(series, instrument, series.kind, now)
        return self.view.image(instrument, now)

    def unwatch(self, instrument: int) -> None:
        """No longer deliver the instrument's market events."""
        self._streams = [each for each in self._streams if each.instrument != instrument]

    def _add(self, series: Series, instrument: int, kind: EventKind, now: int) -> None:
        cursor = int(np.searchsorted(series.ts, max(now, self.start - 1), "right"))
        end = int(np.searchsorted(series.ts, self.end, "right"))
        # a new list: the batch being played refers to the streams by their places in the old one
        self._streams = sorted([*self._streams, Stream(series, instrument, kind, cursor, end)], key=Stream.order)

    def find(self, symbol: str) -> int | None:
        """None: a tape has what it has."""
        return None

    def kinds(self, instrument: int) -> frozenset[EventKind]:
        """Kinds of market events that the instrument has."""
        return frozenset(series.kind for series in self.view.market(instrument))

    def watch_bars(self, instrument: int, interval_ns: int | None, now: int, warmup: int = 0) -> EventKind | None:
        """Deliver bars of an interval (None: the tape's own); BAR where the market events are those bars.

        None where the tape has no bars of its own, and nothing to make bars of the interval of.
        """
        market = self.view.market(instrument)
        if EventKind.BAR in {series.kind for series in market} and interval_ns in (None, bar_interval(market[0])):
            self._heard_bars[instrument] = market[0]
            return EventKind.BAR
        series = self._bars(instrument, interval_ns)
        if series is None:
            return None
        self._heard_bars[instrument] = series
        self._streams = [
            each for each in self._streams if each.instrument != instrument or each.kind is not EventKind.BAR_VIEW
        ]
        self._add(series, instrument, EventKind.BAR_VIEW, now)
        return EventKind.BAR_VIEW

    def _bars(self, instrument: int, interval_ns: int | None) -> Series | None:
        for series in self.view.bars(instrument):
            if interval_ns in (None, bar_interval(series)):
                return dataclasses.replace(series, kind=EventKind.BAR_VIEW)
        finest = self.view.finest(instrument)
        if interval_ns is None or finest is None:
            return None
        key = (instrument, interval_ns)
        if key not in self._resampled:
            self._resampled[key] = resample(finest, interval_ns, self.calendar)
        return self._resampled[key]

    def own_bars(self, instrument: int) -> Series | None:
        """All bars of an instrument whose market events they are: of the whole tape, so not for a strategy's eyes."""
        market = self.view.market(instrument)
        return market[0] if [series.kind for series in market] == [EventKind.BAR] else None

    def past_bars(self, instruments: Sequence[int], warmup: int, now: int) -> Batch | None:
        """The last ``warmup`` bars of each that are over at ``now``, adjusted for splits since."""
        at = max(now, self.start - 1)  # bars from there on are delivered
        pieces: list[tuple[int, Series, int, int]] = []
        for j in instruments:
            series = self._heard_bars.get(j)
            if series is not None:
                end = int(np.searchsorted(series.ts, at, "right"))
                pieces.append((j, series, max(0, end - warmup), end))
        return past_batch(pieces, lambda j, then: self.view.split_factor(j, then, at))

    # -- answering --------------------------------------------------------------------------------------------

    def ask(self, request: Request, now: int) -> Reply:
        """Answer as of ``now``: only what had been received by then."""
        return _ANSWERS[type(request)](self, request, now)

    def _snapshot(self, request: SnapshotRequest, now: int) -> Reply:
        found = self.view.snapshots([self.view.index[name] for name in request.symbols], now)
        there = {each.symbol: each for each in found if each is not None}
        return Reply(request, there, tuple(name for name in request.symbols if name not in there))

    def _history(self, request: HistoryRequest, now: int) -> Reply:
        found = {
            name: self.view.history(self.view.index[name], request.duration, request.bar, now)
            for name in request.symbols
        }
        there = {name: bars for name, bars in found.items() if bars}
        return Reply(request, there, tuple(name for name in request.symbols if name not in there))

    def _confirmed(self, request: ConfirmRequest, now: int) -> Reply:
        answer = self._confirm is ConfirmPolicy.YES
        if self._confirm is ConfirmPolicy.IF_AFFORDABLE:
            answer = request.cost <= self.available()
        return Reply(request, {}, value=answer)

    def _scanned(self, request: ScanRequest, now: int) -> Reply:
        scan: Scan = evaluate(self.view, self._tape, self._scan_source, request, now)
        return Reply(request, {}, value=scan)


_ANSWERS: Mapping[type, Callable[..., Reply]] = {
    SnapshotRequest: RecordedFeed._snapshot,
    HistoryRequest: RecordedFeed._history,
    ConfirmRequest: RecordedFeed._confirmed,
    ScanRequest: RecordedFeed._scanned,
}


def bar_interval(series: Series) -> int:
    """Length of a series' bars (ns): the most frequent one of the first bars; a session's bars count as one day."""
    assert series.start is not None, "bars have a start"
    lengths, counts = np.unique((series.ts - series.start)[:1000], return_counts=True)
    typical = int(lengths[int(np.argmax(counts))])
    return DAY_NS if typical > 3 * 3600 * NS_PER_S else typical
