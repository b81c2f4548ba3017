"""Columns of market events: what feeds produce and the engine walks over.

A :class:`Series` is one instrument's events of one kind, in time order. A :class:`Tape` is all that a
recorded source holds. A :class:`Batch` is a stretch of several series merged in time order, the only
thing a session is ever fed; it may hold one event or a million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from papertape.core.model import CorporateAction, EventKind, Instrument, Note, Scan

I8 = NDArray[np.int64]
I4 = NDArray[np.int32]
U1 = NDArray[np.uint8]
F8 = NDArray[np.float64]

COLUMNS: Mapping[EventKind, tuple[str, ...]] = {
    EventKind.QUOTE: ("bid", "ask", "bid_size", "ask_size"),
    EventKind.TRADE: ("price", "size"),
    EventKind.BAR: ("open", "high", "low", "close", "volume"),
    EventKind.BAR_VIEW: ("open", "high", "low", "close", "volume"),
}
"""Names of a series' value columns, in the order in which ``Series.columns`` holds them."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One instrument's events of one kind.

    ``ts`` (int64, ns, shape (n,)) never decreases; for bars it is the close. ``columns`` are float64 of
    shape (n,), named by ``COLUMNS[kind]``. ``start`` (bars only) is each bar's open time. ``row`` is the
    event's position in its source where several symbols share one, ``None`` where the source holds one
    symbol: it decides the order of events that carry the same time. ``rank`` is the source's place among
    the sources, in the order in which the user named them. All arrays are C-contiguous and read-only by
    convention (they may be memory-mapped).
    """

    symbol: str
    kind: EventKind
    ts: I8
    columns: tuple[F8, ...]
    start: I8 | None = None
    row: I8 | None = None
    rank: int = 0
    source: str = ""
    validated: bool = True
    """False where the arrays come from the user's program and are checked while they are played."""

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """A recorded source: series, and what is known about their instruments.

    ``fingerprint`` identifies the content (hex digest). ``recorded_scans`` is None where the tape has
    none. ``synthetic`` is True for generated data and is shown wherever results are.
    ``reference_columns`` are the columns that an ``instruments.csv`` had, empty where there was none.
    """

    series: tuple[Series, ...]
    instruments: Mapping[str, Instrument]
    actions: tuple[CorporateAction, ...] = ()
    recorded_scans: tuple[Scan, ...] | None = None
    notes: tuple[Note, ...] = ()
    fingerprint: str = ""
    synthetic: bool = False
    reference_columns: frozenset[str] = frozenset()
    sources: tuple[str, ...] = ()

    @property
    def symbols(self) -> list[str]:
        """Symbols in the order in which they first appear."""
        return list(dict.fromkeys(s.symbol for s in self.series))


class Blocks(NamedTuple):
    """Lowest and highest price and last time of each block of consecutive trades (see :mod:`papertape.core.blocks`).

    Of shape (blocks,); prices as the integers of their bit patterns (int64). Empty where nobody looked.
    """

    low: I8
    high: I8
    last_ts: I8


NO_BLOCKS = Blocks(*(np.empty(0, np.int64) for _ in Blocks._fields))


class Events(NamedTuple):
    """A batch's arrays as kernels take them, so that they are one argument; what they hold is said at Batch."""

    kind: U1
    instrument: I4
    ts: I8
    c0: F8
    c1: F8
    c2: F8
    c3: F8
    c4: F8
    start: I8
    block_low: I8
    block_high: I8
    block_ts: I8


_NO_I8 = np.zeros(1, dtype=np.int64)
_NO_F8 = np.zeros(1, dtype=np.float64)


@dataclass(slots=True, eq=False)
class Batch:
    """A stretch of events in time order.

    ``kind`` and ``instrument`` have shape (n,), or (1,) where all events share the value (``uniform``).
    ``columns`` are five arrays of shape (n,) (or (1,), unused): for a quote bid, ask, bid size, ask size;
    for a trade price and size; for a bar open, high, low, close, volume. ``start`` is the open time of
    bars, and ``ends`` their close where ``ts`` is when a live feed got them instead. ``origin`` is the feed's own number of the series each event came from (shape as ``kind``). ``blocks``
    is there, where a feed looked, for trades of one instrument only.
    """

    ts: I8
    kind: U1
    instrument: I4
    columns: tuple[F8, F8, F8, F8, F8]
    start: I8 = field(default_factory=lambda: _NO_I8)
    origin: I4 | None = None
    blocks: Blocks = NO_BLOCKS
    ends: I8 | None = None
    is_past: bool = False
    """Bars that were over before they were asked for: they are heard, and change nothing else."""
    cells: bytes | None = None
    """The events' rows in a table of places, once they were in one (see :mod:`papertape.core.places`)."""

    def __len__(self) -> int:
        return len(self.ts)

    def events(self) -> Events:
        """The arrays for a kernel."""
        return Events(self.kind, self.instrument, self.ts, *self.columns, self.start, *self.blocks)

    @property
    def uniform(self) -> bool:
        """Whether all events are of one kind and one instrument."""
        return len(self.kind) == 1 and len(self.instrument) == 1


def uniform_batch(series: Series, instrument: int, begin: int, end: int) -> Batch:
    """A batch that is a view of ``series[begin:end]``: nothing is copied."""
    values: list[F8] = [column[begin:end] for column in series.columns]
    values += [_NO_F8] * (5 - len(values))
    return Batch(
        ts=series.ts[begin:end],
        kind=np.array([series.kind], dtype=np.uint8),
        instrument=np.array([instrument], dtype=np.int32),
        columns=(values[0], values[1], values[2], values[3], values[4]),
        start=_NO_I8 if series.start is None else series.start[begin:end],
    )


def series_events(series: Sequence[Series]) -> int:
    """Number of events in all the series."""
    return sum(len(s) for s in series)
