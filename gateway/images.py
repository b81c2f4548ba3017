"""What is known of an instrument's market at a time: last trade, best quote, the session so far."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

import numpy as np

from feeds.point_in_time import PointInTime
from papertape.core.model import EventKind
from papertape.core.schedule import TimeOfDay
from papertape.core.series import Series
from papertape.core.timers import NEVER

_MIDNIGHT = TimeOfDay("midnight", 0)
_UNKNOWN = math.nan


@dataclass(slots=True)
class Image:
    """Prices, sizes (units) and the session so far; NaN (``volume``, ``turnover``, times: 0) where unknown.

    A session counts from its open on, as the backtest's snapshots and scans do: what is traded before it moves ``last``
    only. ``close`` is the last price of the session before, adjusted for splits. ``turnover`` is the sum of price x
    size. ``last_ts`` is UTC ns. The session ends at ``until``: the midnight before the next one.
    """

    last: float = _UNKNOWN
    last_size: float = _UNKNOWN
    last_ts: int = 0
    bid: float = _UNKNOWN
    bid_size: float = _UNKNOWN
    ask: float = _UNKNOWN
    ask_size: float = _UNKNOWN
    open: float = _UNKNOWN
    high: float = _UNKNOWN
    low: float = _UNKNOWN
    close: float = _UNKNOWN
    volume: float = 0.0
    turnover: float = 0.0
    opening: int = NEVER
    until: int = 0

    def trade(self, ts: int, price: float, size: float) -> None:
        """Take in a trade that happened before ``until``."""
        self.last, self.last_size, self.last_ts = price, size, ts
        if ts >= self.opening:
            if self.open != self.open:  # NaN: the first one
                self.open = self.high = self.low = price
            elif price > self.high:
                self.high = price
            elif price < self.low:
                self.low = price
            self.volume += size
            self.turnover += price * size

    def begin_session(self, opening: int, until: int, close: float) -> None:
        """A new session: nothing of it is known yet."""
        self.opening, self.until, self.close = opening, until, close
        self.open = self.high = self.low = _UNKNOWN
        self.volume = self.turnover = 0.0


class Images:
    """Images of a tape's instruments as of any time. Nothing later than asked for is looked at."""

    def __init__(self, view: PointInTime) -> None:
        self.view = view
        self._midnights = [_MIDNIGHT.on(view.calendar, i) for i in range(len(view.calendar.open))]
        self._quotes: list[Series | None] = [
            next((series for series in view.market(j) if series.kind is EventKind.QUOTE), None)
            for j in range(len(view.instruments))
        ]

    def has_quotes(self, j: int) -> bool:
        """Whether the tape has quotes of an instrument."""
        return self._quotes[j] is not None

    def has_trades(self, j: int) -> bool:
        """Whether the tape has trades of an instrument."""
        finest = self.view.finest(j)
        return finest is not None and finest.kind is EventKind.TRADE

    def at(self, j: int, known: int) -> Image:
        """The image of instrument ``j`` as of ``known``."""
        return MovingImage(self, j).move(known)

    def begin_session(self, image: Image, j: int, known: int) -> None:
        """Begin the session that ``known`` lies in or follows, where the image has not."""
        calendar = self.view.calendar
        i = bisect.bisect_right(self._midnights, known) - 1
        until = self._midnights[i + 1] if i + 1 < len(self._midnights) else NEVER
        opening = calendar.open[i] if i >= 0 else NEVER
        if image.last_ts:  # a split takes effect between sessions
            factor = self.view.split_factor(j, image.last_ts, known)
            image.last, image.bid, image.ask = image.last / factor, image.bid / factor, image.ask / factor
        image.begin_session(opening, until, self._close_before(j, i, known))

    def _close_before(self, j: int, i: int, known: int) -> float:
        """The last price of the session before session ``i``, as of ``known``."""
        series = self.view.finest(j)
        if series is None or i < 1:
            return _UNKNOWN
        k = int(np.searchsorted(series.ts, self.view.calendar.close[i - 1], "right")) - 1
        if k < 0:
            return _UNKNOWN
        return float(_last(series)[k]) / self.view.split_factor(j, int(series.ts[k]), known)

    def quotes(self, j: int) -> Series | None:
        """Quotes of an instrument."""
        return self._quotes[j]


class MovingImage:
    """The image of one instrument, moved forward in time: each event is read once."""

    __slots__ = ("_images", "_j", "_next", "image")

    def __init__(self, images: Images, j: int) -> None:
        self.image = Image()
        self._images = images
        self._j = j
        self._next = 0

    def move(self, known: int) -> Image:
        """Take in all that was known at ``known``, which never decreases."""
        images, image, j = self._images, self.image, self._j
        series = images.view.finest(j)
        if known >= image.until:
            images.begin_session(image, j, known)
            if series is not None:
                stamps = series.ts if series.start is None else series.start
                self._next = int(np.searchsorted(stamps, image.opening, "left"))
        if series is not None:
            end = int(np.searchsorted(series.ts, known, "right"))
            if end > 0:
                self._take_last(series, end - 1, known)
            if end > self._next:
                self._take_in(series, self._next, end)
                self._next = end
        quotes = images.quotes(j)
        if quotes is not None:
            k = int(np.searchsorted(quotes.ts, known, "right")) - 1
            if k >= 0:
                factor = images.view.split_factor(j, int(quotes.ts[k]), known)
                bid, ask, bid_size, ask_size = (float(column[k]) for column in quotes.columns)
                image.bid, image.ask = bid / factor, ask / factor
                image.bid_size, image.ask_size = bid_size, ask_size
        return image

    def _take_last(self, series: Series, k: int, known: int) -> None:
        image, ts = self.image, int(series.ts[k])
        image.last = float(_last(series)[k]) / self._images.view.split_factor(self._j, ts, known)
        image.last_ts = ts
        if series.kind is EventKind.TRADE:
            image.last_size = float(series.columns[1][k])

    def _take_in(self, series: Series, begin: int, end: int) -> None:
        """Events [begin, end) of the session."""
        image = self.image
        columns = series.columns if series.kind >= EventKind.BAR else (series.columns[0],) * 4 + (series.columns[1],)
        first, high, low, last, volume = (column[begin:end] for column in columns)
        top, bottom = float(high.max()), float(low.min())
        if math.isnan(image.open):
            image.open, image.high, image.low = float(first[0]), top, bottom
        else:
            image.high, image.low = max(image.high, top), min(image.low, bottom)
        image.volume += float(volume.sum())
        image.turnover += float((last * volume).sum())


def _last(series: Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return series.columns[3] if series.kind >= EventKind.BAR else series.columns[0]


def known_by(next_ts: int, now: int) -> int:
    """Time up to which everything is known: ``now``, but nothing that has not been played (``next_ts`` is the next)."""
    return min(now, next_ts - 1)
