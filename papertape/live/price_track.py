"""Prices of a live run for its report: what the strategy's side heard, in buckets whose number is bounded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from papertape.core.model import NS_PER_S, EventKind
from papertape.core.record import Columns
from papertape.core.series import Batch
from papertape.core.session import Session

BUCKETS_MOST = 2_000
"""Most buckets of an instrument's price; where there are more, two and two become one."""
_TRADE, _QUOTE, _BAR = int(EventKind.TRADE), int(EventKind.QUOTE), int(EventKind.BAR)
_KINDS = (_TRADE, _BAR, _QUOTE)
"""Whose prices a chart shows, the first kind that there are."""
Extremes = tuple[float, float, float]
"""Lowest, highest and last price of an event."""


def _of_trade(batch: Batch, i: int) -> Extremes:
    price = float(batch.columns[0][i])
    return price, price, price


def _of_quote(batch: Batch, i: int) -> Extremes:
    middle = (float(batch.columns[0][i]) + float(batch.columns[1][i])) / 2.0
    return middle, middle, middle


def _of_bar(batch: Batch, i: int) -> Extremes:
    return float(batch.columns[2][i]), float(batch.columns[1][i]), float(batch.columns[3][i])


_EXTREMES: dict[int, Callable[[Batch, int], Extremes]] = {_TRADE: _of_trade, _QUOTE: _of_quote, _BAR: _of_bar}


class PriceTrack:
    """Buckets of one instrument's events of one kind. All buckets are equally long, and begin at multiples of that."""

    __slots__ = ("_high", "_last", "_low", "_ts", "_width_ns")

    def __init__(self) -> None:
        self._width_ns = NS_PER_S
        self._ts: list[int] = []
        self._last: list[float] = []
        self._low: list[float] = []
        self._high: list[float] = []

    def __len__(self) -> int:
        return len(self._ts)

    def add(self, ts: int, low: float, high: float, last: float) -> None:
        """Take in an event, at or after the one before it. A price that is unknown (NaN) is passed over."""
        if not low <= high:
            return
        if self._ts and self._ts[-1] // self._width_ns == ts // self._width_ns:
            self._ts[-1], self._last[-1] = ts, last
            self._low[-1], self._high[-1] = min(self._low[-1], low), max(self._high[-1], high)
            return
        if len(self._ts) == BUCKETS_MOST:
            self._widen()
            self.add(ts, low, high, last)
            return
        self._ts.append(ts)
        self._last.append(last)
        self._low.append(low)
        self._high.append(high)

    def _widen(self) -> None:
        """Double the width until there is room: buckets that are far apart do not become one at once."""
        while len(self._ts) > BUCKETS_MOST // 2:
            rows = list(zip(self._ts, self._low, self._high, self._last, strict=True))
            self._width_ns *= 2
            for column in (self._ts, self._low, self._high, self._last):
                column.clear()
            for row in rows:
                self.add(*row)

    def columns(self) -> Columns:
        """``ts`` (of the last event), ``last``, ``low``, ``high`` of each bucket."""
        return {
            "ts": np.array(self._ts, np.int64),
            "last": np.array(self._last, np.float64),
            "low": np.array(self._low, np.float64),
            "high": np.array(self._high, np.float64),
        }


class Prices:
    """Tracks of all instruments that are heard of: an order may come later than the prices that led to it."""

    def __init__(self) -> None:
        self._tracks: dict[tuple[int, int], PriceTrack] = {}

    def take(self, batch: Batch) -> None:
        """Take in a batch of the session's. Of wide batches (a history) every event counts, too."""
        tracks = self._tracks
        for i, (kind, j, ts) in enumerate(
            zip(batch.kind.tolist(), batch.instrument.tolist(), batch.ts.tolist(), strict=True)
        ):
            extremes = _EXTREMES.get(kind)
            if extremes is None:
                continue
            track = tracks.get((j, kind))
            if track is None:
                track = tracks[j, kind] = PriceTrack()
            track.add(ts, *extremes(batch, i))

    def of_traded(self, session: Session) -> dict[str, Columns]:
        """Symbol -> prices, as a run keeps them, of every instrument that an order was given for."""
        found: dict[str, Columns] = {}
        for j in sorted({request.instrument for request in session.desk.book.requests}):
            track = next((self._tracks[j, kind] for kind in _KINDS if (j, kind) in self._tracks), None)
            if track is not None and len(track):
                found[session.symbols[j]] = track.columns()
        return found
