"""What a strategy hears: for each instrument and kind of event a filter, and which events of a batch it holds for."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from papertape.core.filters import NOTHING_BEFORE, Before, Filter
from papertape.core.model import EventKind
from papertape.core.series import F8, I8, Batch


@dataclass(slots=True, eq=False)
class Wakes:
    """The events of a batch that a strategy hears. ``index`` (int64, ascending) points into the batch.

    ``previous`` (float64, the same shape) is the price of the trade before each, NaN for a first. ``is_all``:
    the batch is uniform and every event is heard; then both are empty and ``before`` is what came before it.
    """

    index: I8
    previous: F8
    is_all: bool = False
    before: Before = NOTHING_BEFORE


_NOTHING = Wakes(np.empty(0, np.int64), np.empty(0))


def prices(batch: Batch, kind: int, where: NDArray[np.int64] | slice) -> F8:
    """The one price that a filter sees of each event: trade price, quote mid, bar close."""
    c = batch.columns
    if kind == EventKind.TRADE:
        return c[0][where]
    if kind == EventKind.QUOTE:
        middle: F8 = (c[0][where] + c[1][where]) / 2.0
        return middle
    return c[3][where]


class Subscriptions:
    """Filters by (kind, instrument), and the last event of each that was played."""

    def __init__(self) -> None:
        self._filters: dict[tuple[int, int], Filter | None] = {}
        self._before: dict[tuple[int, int], Before] = {}
        self._ends: list[tuple[tuple[int, int], I8, F8, NDArray[np.int64] | None]] = []

    def hear(self, kind: int, instrument: int, when: Filter | None) -> None:
        """Hear an instrument's events of a kind where ``when`` holds (None: all), from the next one on."""
        self._filters[kind, instrument] = when
        self._before[kind, instrument] = Before()
        self._ends = [end for end in self._ends if end[0] != (kind, instrument)]

    def forget(self, instrument: int) -> None:
        """Hear nothing more of an instrument."""
        for key in [key for key in self._filters if key[1] == instrument]:
            del self._filters[key]

    def hears(self, instrument: int) -> bool:
        """Whether anything of an instrument is heard."""
        return any(key[1] == instrument for key in self._filters)

    def open(self, batch: Batch) -> Wakes:
        """The events of a batch to wake for."""
        self._ends = []
        if not self._filters:
            return _NOTHING
        if batch.uniform:
            return self._open_uniform(batch, (int(batch.kind[0]), int(batch.instrument[0])))
        return self._open_mixed(batch)

    def _open_uniform(self, batch: Batch, key: tuple[int, int]) -> Wakes:
        if key not in self._filters:
            return _NOTHING
        price = prices(batch, key[0], slice(None))
        before = self._before[key]
        self._ends.append((key, batch.ts, price, None))
        when = self._filters[key]
        if when is None:
            return Wakes(_NOTHING.index, _NOTHING.previous, is_all=True, before=before)
        index = when.hits(batch.ts, price, before, batch.blocks)
        return Wakes(index, _previous(price, index, before))

    def _open_mixed(self, batch: Batch) -> Wakes:
        n = len(batch)
        kinds = np.broadcast_to(batch.kind, n)
        instruments = np.broadcast_to(batch.instrument, n)
        keys = instruments.astype(np.uint32) * 4 + kinds
        order = np.argsort(keys.astype(np.uint16) if keys.max() < 65_536 else keys, kind="stable")
        ordered = keys[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        bounds = np.append(starts, n)
        indexes: list[I8] = []
        previous: list[F8] = []
        for a, b in itertools.pairwise(bounds):
            instrument, kind = divmod(int(ordered[a]), 4)
            key = (kind, instrument)
            if key not in self._filters:
                continue
            where = order[a:b]
            price = prices(batch, kind, where)
            ts = batch.ts[where]
            before = self._before[key]
            self._ends.append((key, ts, price, where))
            when = self._filters[key]
            hits = np.arange(b - a) if when is None else when.hits(ts, price, before)
            indexes.append(where[hits])
            previous.append(_previous(price, hits, before))
        if not indexes:
            return _NOTHING
        index = np.concatenate(indexes)
        sort = np.argsort(index, kind="stable")
        return Wakes(index[sort], np.concatenate(previous)[sort])

    def open_past(self, batch: Batch) -> Wakes:
        """The events to wake for of a batch of the past, beside the one that is open; they count as played."""
        kept = self._ends
        wakes = self.open(batch)
        self.close(len(batch))
        self._ends = kept
        return wakes

    def close(self, consumed: int) -> None:
        """The first ``consumed`` events of the open batch were played: remember the last of each kind."""
        for key, ts, price, where in self._ends:
            n = consumed if where is None else int(np.searchsorted(where, consumed))
            if n and key in self._filters:
                self._before[key] = Before(int(ts[n - 1]), float(price[n - 1]))
        self._ends = []


def _previous(price: F8, index: I8, before: Before) -> F8:
    found = price[index - 1] if len(index) else np.empty(0)
    if len(index) and index[0] == 0:
        found[0] = before.price if before.ts else math.nan
    return found
