"""Series being played: cursors, and merging of several in time order, in pieces of bounded size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from feeds.mapped import release
from papertape.core.blocks import LARGEST_BITS, empty_blocks, survey, survey_prices
from papertape.core.compiled import compiled
from papertape.core.errors import DataError
from papertape.core.model import EventKind
from papertape.core.series import COLUMNS, F8, I8, Batch, Blocks, Series, uniform_batch

CHUNK = 262_144
"""Most events in one batch. A batch of one instrument's trades is read once from memory, and looked at here and there."""
MERGED = 65_536
"""Most events in a batch of several series: its columns are copied, and stay in the processor's cache while played."""


class Stream:
    """A series being played for one instrument: the next event is ``cursor``, the last one before ``end``."""

    __slots__ = ("checked", "cursor", "end", "instrument", "kind", "released", "series")

    def __init__(self, series: Series, instrument: int, kind: EventKind, cursor: int, end: int) -> None:
        self.series = series
        self.instrument = instrument
        self.kind = kind
        self.cursor = cursor
        self.released = cursor
        self.end = end
        self.checked = cursor if not series.validated else end

    def order(self) -> tuple[int, int, int]:
        """What decides between streams for events of one time: kind, place of the source, instrument."""
        return (int(self.kind), self.series.rank, self.instrument)

    def release(self) -> None:
        """Give back the memory of what was played."""
        release(self.series, self.released, self.cursor)
        self.released = self.cursor

    def survey(self, batch: Batch) -> Blocks:
        """Blocks of the trades in a batch that begins at the cursor; finds good what :meth:`check` need not look at."""
        begin, end = self.cursor, self.cursor + len(batch)
        ts, price = batch.ts, batch.columns[0]
        blocks = empty_blocks(len(batch))
        if end <= self.checked:
            survey_prices(ts, price, *blocks)
        elif survey(ts, price, *blocks) and (begin == 0 or self.series.ts[begin - 1] <= ts[0]):
            self.checked = end
        return blocks

    def check(self, end: int) -> None:
        """Check events up to ``end`` that came from the user's program; DataError at the first bad one."""
        if end <= self.checked:
            return
        begin, self.checked = max(self.checked - 1, 0), end
        series = self.series
        k = int(first_out_of_order(series.ts[begin:end]))
        if k >= 0:
            raise DataError(
                f"{series.symbol}: time {series.ts[begin + k]} at index {begin + k} is before the one ahead of it; "
                "sort by time",
                path=series.source,
            )
        prices = 4 if self.kind >= EventKind.BAR else (2 if self.kind is EventKind.QUOTE else 1)
        for name, column in zip(COLUMNS[self.kind][:prices], series.columns, strict=False):
            k = int(first_not_positive(column[begin:end]))
            if k >= 0 and self.kind is EventKind.QUOTE:  # an unknown bid or ask is none of this
                values = column[begin:end]
                k = next(iter(np.flatnonzero(~((values > 0.0) & (values < np.inf) | np.isnan(values))).tolist()), -1)
            if k >= 0:
                raise DataError(
                    f"{series.symbol}: {name} {column[begin + k]} at index {begin + k} is not a finite price above 0",
                    path=series.source,
                )


@compiled
def first_out_of_order(ts: I8) -> int:
    """Index of the first time that is before its predecessor, -1 for none. Blocks are judged at once."""
    n = len(ts)
    i = 1
    while i < n:
        stop = min(i + 1024, n)
        late = ts[i:stop]
        early = ts[i - 1 : stop - 1]
        disorder = np.int64(0)
        for k in range(len(late)):
            disorder |= np.int64(late[k] < early[k])
        if disorder != 0:
            for k in range(len(late)):
                if late[k] < early[k]:
                    return i + k
        i = stop
    return -1


@compiled
def first_not_positive(column: F8) -> int:
    """Index of the first value that is not finite and above 0, -1 for none. Blocks are judged at once, as integers."""
    bits = column.view(np.int64)
    n = len(bits)
    i = 0
    while i < n:
        block = bits[i : min(i + 1024, n)]
        sign = np.int64(0)
        for k in range(len(block)):
            sign |= (block[k] - 1) | (LARGEST_BITS - block[k])
        if sign < 0:
            for k in range(len(block)):
                if block[k] < 1 or block[k] > LARGEST_BITS:
                    return i + k
        i += 1024
    return -1


@compiled
def merge_order(ts: I8, row: I8, bounds: I8, rank: I8, out: I8) -> None:
    """Order in which runs of a concatenation are played: by time, then rank of the run, then row, then run.

    ``bounds`` (k + 1) delimits the runs, each sorted by time; ``rank`` (k) is equal for runs of one source
    and kind. Writes the permutation to ``out``. A binary heap of runs.
    """
    k = len(rank)
    at = bounds[:-1].copy()
    heap = np.empty(k, np.int64)
    size = 0
    for s in range(k):
        if at[s] < bounds[s + 1]:
            heap[size] = s
            size += 1
            child = size - 1
            while child > 0:
                parent = (child - 1) // 2
                if not _before(ts, row, rank, at, heap[child], heap[parent]):
                    break
                heap[child], heap[parent] = heap[parent], heap[child]
                child = parent
    n = 0
    while size > 0:
        s = heap[0]
        out[n] = at[s]
        n += 1
        at[s] += 1
        if at[s] == bounds[s + 1]:
            size -= 1
            heap[0] = heap[size]
        parent = 0
        while True:
            child = 2 * parent + 1
            if child >= size:
                break
            if child + 1 < size and _before(ts, row, rank, at, heap[child + 1], heap[child]):
                child += 1
            if not _before(ts, row, rank, at, heap[child], heap[parent]):
                break
            heap[child], heap[parent] = heap[parent], heap[child]
            parent = child


@compiled
def _before(ts: I8, row: I8, rank: I8, at: I8, a: int, b: int) -> bool:
    i = at[a]
    j = at[b]
    if ts[i] != ts[j]:
        return bool(ts[i] < ts[j])
    if rank[a] != rank[b]:
        return bool(rank[a] < rank[b])
    if row[i] != row[j]:
        return bool(row[i] < row[j])
    return a < b


def next_batch(streams: list[Stream], most: int) -> Batch | None:
    """The next events of streams that are sorted by ``order()``, at most about ``most``; None at the end of all."""
    live = [each for each in streams if each.cursor < each.end]
    if not live:
        return None
    if len(live) == 1:
        only = live[0]
        return _uniform(streams, only, min(only.cursor + most, only.end))
    return _merged(streams, live, min(most, MERGED))


def _uniform(streams: list[Stream], stream: Stream, end: int) -> Batch:
    """The next events of one stream, up to ``end``."""
    batch = uniform_batch(stream.series, stream.instrument, stream.cursor, end)
    batch.kind[0] = stream.kind
    batch.origin = np.array([streams.index(stream)], np.int32)
    if stream.kind is EventKind.TRADE:
        batch.blocks = stream.survey(batch)
    stream.check(end)
    return batch


def _merged(streams: list[Stream], live: list[Stream], most: int) -> Batch:
    each_most = max(most // len(live), 1)
    horizon = min(int(each.series.ts[min(each.cursor + each_most, each.end) - 1]) for each in live)
    pieces: list[tuple[Stream, int, int]] = []
    for stream in live:
        n = int(np.searchsorted(stream.series.ts[stream.cursor : stream.end], horizon, "right"))
        if n:
            pieces.append((stream, stream.cursor, stream.cursor + n))
    if len(pieces) == 1:
        stream, _, end = pieces[0]
        return _uniform(streams, stream, end)
    for stream, _, end in pieces:
        stream.check(end)
    lengths = np.array([end - begin for _, begin, end in pieces])
    bounds = np.concatenate(([0], np.cumsum(lengths)))
    n = int(bounds[-1])
    ts = np.concatenate([stream.series.ts[a:b] for stream, a, b in pieces])
    row = np.zeros(n, np.int64)
    for (stream, a, b), at in zip(pieces, bounds[:-1], strict=True):
        if stream.series.row is not None:
            row[at : at + b - a] = stream.series.row[a:b]
    sources = {key: k for k, key in enumerate(sorted({stream.order()[:2] for stream, _, _ in pieces}))}
    rank = np.array([sources[stream.order()[:2]] for stream, _, _ in pieces], np.int64)
    order = np.empty(n, np.int64)
    merge_order(ts, row, bounds, rank, order)
    origin = np.repeat([streams.index(stream) for stream, _, _ in pieces], lengths).astype(np.int32)[order]
    kinds = np.repeat([int(stream.kind) for stream, _, _ in pieces], lengths).astype(np.uint8)[order]
    instruments = np.repeat([stream.instrument for stream, _, _ in pieces], lengths).astype(np.int32)[order]
    return Batch(ts[order], kinds, instruments, _columns(pieces, n, order), _starts(pieces, n, order), origin)


def _columns(pieces: list[tuple[Stream, int, int]], n: int, order: NDArray[np.int64]) -> tuple[F8, F8, F8, F8, F8]:
    found: list[F8] = []
    for c in range(5):
        parts = [
            stream.series.columns[c][a:b] if c < len(stream.series.columns) else np.zeros(b - a)
            for stream, a, b in pieces
        ]
        found.append(np.concatenate(parts)[order])
    return (found[0], found[1], found[2], found[3], found[4])


def _starts(pieces: list[tuple[Stream, int, int]], n: int, order: NDArray[np.int64]) -> I8:
    parts = [
        stream.series.start[a:b] if stream.series.start is not None else np.zeros(b - a, np.int64)
        for stream, a, b in pieces
    ]
    return np.concatenate(parts)[order]


def consume(streams: list[Stream], batch: Batch, count: int) -> None:
    """Move the cursors past the first ``count`` events of a batch made by :func:`next_batch`."""
    assert batch.origin is not None, "the batch has no origin"
    if len(batch.origin) == 1:
        streams[int(batch.origin[0])].cursor += count
        return
    counts = np.bincount(batch.origin[:count], minlength=len(streams))
    for stream, n in zip(streams, counts.tolist(), strict=True):
        stream.cursor += n
