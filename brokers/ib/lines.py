"""One instrument's market data: what TWS's ticks mean. Records and time in, trades, quotes and images out.

TWS sends prices and sizes one by one, and says neither what belongs together nor what is new. What is made of them:

- A *trade* comes from tick-by-tick data (AllLast), or from RTVolume (tick 48), which has price, size and time in one
  message. A price of type LAST alone is never one: it marks, as an image.
- A *quote* is one change of bid and ask. The parts of it (bid, its size, ask, its size) come in this order, so a part
  that is out of order begins the next quote. It goes out when something else comes, or when nothing more was read.
- An *image* is what was known before: the first values of a line within a short time of its first tick, and an
  RTVolume that repeats them.

What no real TWS has confirmed: how long the first values take, and whether RTVolume or AllLast repeat the last trade
when a line begins; both are allowed for.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from brokers.ib.events import DataKind, Event, PriceImage, QuoteTick, TradeSource, TradeTick
from brokers.ib.translate import rt_volume
from papertape.core.model import NS_PER_MS, NS_PER_S

NAN = math.nan
EARLY_MOST = 1024
"""Most trades of RTVolume that are kept while it is open whether AllLast delivers."""
REPEAT_NS = 10 * NS_PER_S
"""A first trade that is older than that is the one before the subscription."""
LATE_S = 2
"""Exchange seconds by which RTVolume may be ahead of AllLast without meaning that AllLast has stopped."""


class Part(IntEnum):
    """What a tick is about; for sides of the quote the order in which one change of it is sent."""

    BID = 0
    BID_SIZE = 1
    ASK = 2
    ASK_SIZE = 3
    LAST = 4
    LAST_SIZE = 5


PRICES = {1: Part.BID, 2: Part.ASK, 4: Part.LAST, 66: Part.BID, 67: Part.ASK, 68: Part.LAST}
"""Tick types of prices that are used; 66 and above are of delayed data."""
SIZES = {
    0: Part.BID_SIZE, 3: Part.ASK_SIZE, 5: Part.LAST_SIZE,
    69: Part.BID_SIZE, 70: Part.ASK_SIZE, 71: Part.LAST_SIZE,
}  # fmt: skip
"""Tick types of sizes that are used."""
TIMESTAMP = 45
RT_VOLUME = 48
FIRST_DELAYED, LAST_DELAYED = 66, 76


@dataclass(frozen=True, slots=True)
class LineSettings:
    """Times (seconds) by which ticks are judged. In lockstep ``image_s`` is 0: the marker after the request ends the image."""

    image_s: float = 0.5
    patience_s: float = 5.0
    """How long RTVolume may deliver trades that AllLast does not, before it takes over."""
    bare_s: float = 1.0
    """A LAST price that no trade follows within that time is an image."""


def real_price(price: float) -> float:
    """A price, or NaN where there is none: TWS says -1, or 0."""
    return NAN if price == -1.0 or price == 0.0 else price


class Line:
    """An instrument's line, from subscription to its end. A new subscription has a new one.

    ``size_unit`` is what one of TWS's sizes is worth in units. Prices and sizes are NaN where unknown.
    """

    def __init__(
        self, instrument: int, emit: Callable[[Event], None], settings: LineSettings, *, size_unit: float = 1.0
    ) -> None:
        self.instrument = instrument
        self.kind = DataKind.UNKNOWN
        self.source = TradeSource.NONE
        self.request = 0
        """Request id of the line; 0 where there is none."""
        self.ticks = 0
        """Request id of its tick-by-tick data; 0 where there are none."""
        self.received = 0
        """When a price, a size or a trade last came (UTC ns); 0 never."""
        self.has_events = False
        """Whether there was a trade or a quote."""
        self.lost_ticks = False
        """Whether RTVolume delivers what AllLast does not: the owner makes it the source."""
        self.is_asked = False
        """Whether the request has been sent, so that an image comes before the next marker of a gateway in lockstep."""
        self._emit = emit
        self._settings = settings
        self._size_unit = size_unit
        self._quote = [NAN, NAN, NAN, NAN]
        self._told = (NAN, NAN, NAN, NAN)
        self._last = self._last_size = NAN
        self._last_second = 0
        self._changes_of_last = 0
        self._seen: set[Part] = set()
        self._begun = 0
        self._is_image = True
        self._has_traded = False
        self._held = -1
        """The last part of a quote that is being put together; -1 where there is none."""
        self._has_image = False
        self._bare = 0
        self._early: deque[tuple[TradeTick, int]] = deque(maxlen=EARLY_MOST)
        self._ticks_second = 0

    # -- ticks ------------------------------------------------------------------------------------------------

    def price(self, tick: int, price: float, now: int) -> None:
        """A price of a tick type in :data:`PRICES`."""
        part = PRICES[tick]
        self._begin(now)
        value = real_price(price)
        if part is Part.LAST:
            self._last_price(value, now)
            return
        if part <= self._held:
            self._flush_quote(now)
        is_first = part not in self._seen
        self._seen.add(part)
        self._quote[part] = value
        if math.isnan(value):
            self._quote[part + 1] = NAN
        if is_first and self._is_image:
            self._has_image = True
            self._told = self._with(part, value)
        else:
            self._held = part

    def size(self, tick: int, size: float, now: int) -> None:
        """A size of a tick type in :data:`SIZES`."""
        part = SIZES[tick]
        self._begin(now)
        value = size * self._size_unit
        if part is Part.LAST_SIZE:
            self._flush_quote(now)
            self._last_size = value
            self._changes_of_last += 1
            return
        if math.isnan(self._quote[part - 1]):
            return  # the size of a side that is not there
        if part <= self._held:
            self._flush_quote(now)
        is_first = part not in self._seen
        self._seen.add(part)
        self._quote[part] = value
        if is_first and self._is_image and self._held < part - 1:
            self._told = self._with(part, value)
        else:
            self._held = part

    def _with(self, part: Part, value: float) -> tuple[float, float, float, float]:
        values = list(self._told)
        values[part] = value
        return values[0], values[1], values[2], values[3]

    def text(self, tick: int, text: str, now: int) -> None:
        """A text: the time of the last trade, or RTVolume."""
        if tick == TIMESTAMP:
            self._begin(now)
            self._last_second = int(text) if text.isdigit() else 0
        elif tick == RT_VOLUME:
            self._begin(now)
            found = rt_volume(text)
            if found is not None and not math.isnan(real_price(found.price)):
                ts = found.ts_ms * NS_PER_MS
                self._rt_volume(TradeTick(self.instrument, ts, now, found.price, found.size * self._size_unit))

    def _begin(self, now: int) -> None:
        self.received = now
        if not self._begun:
            self._begun = now

    def _last_price(self, price: float, now: int) -> None:
        self._flush_quote(now)
        self._last = price
        if Part.LAST not in self._seen and self._is_image:
            self._has_image = True
        elif price == price:
            self._bare = now
        self._seen.add(Part.LAST)

    # -- trades -----------------------------------------------------------------------------------------------

    def _rt_volume(self, trade: TradeTick) -> None:
        if self._repeats(trade):
            self._has_image = True
            self._last = trade.price
            return
        self._bare = 0
        if self.source is TradeSource.RT_VOLUME:
            self._trade(trade)
        elif self.source is TradeSource.ALL_LAST:
            second = trade.exchange_ts // NS_PER_S
            if second > self._ticks_second + (LATE_S if self._ticks_second else 0):
                self._early.append((trade, trade.received_ts))

    def _repeats(self, trade: TradeTick) -> bool:
        """Whether a line's first RTVolume is the trade that its image shows."""
        if self._has_traded or self._early or (self._settings.image_s == 0.0 and not self._is_image):
            return False
        if trade.received_ts - trade.exchange_ts > REPEAT_NS:
            return True
        is_same = trade.price == self._last and trade.size == self._last_size
        return is_same and self._changes_of_last <= 1 and trade.exchange_ts // NS_PER_S == self._last_second

    def tick_trade(self, ts_s: int, price: float, size: float, now: int) -> None:
        """A trade of AllLast; its size is in units at every server version."""
        if math.isnan(real_price(price)) or math.isnan(size):
            return
        if not self._has_traded and not self._ticks_second and now - ts_s * NS_PER_S > REPEAT_NS:
            return
        self._begin(now)
        self._bare = 0
        self._ticks_second = ts_s
        self._early.clear()
        if self.source is TradeSource.ALL_LAST:
            self._trade(TradeTick(self.instrument, ts_s * NS_PER_S, now, price, size))

    def _trade(self, trade: TradeTick) -> None:
        self.flush(trade.received_ts)
        self._has_traded = self.has_events = True
        self._last = trade.price
        self._emit(trade)

    def take_from_rt_volume(self, now: int) -> None:
        """AllLast does not deliver: what RTVolume has told meanwhile are the trades."""
        self.source = TradeSource.RT_VOLUME
        self.lost_ticks = False
        self.ticks = 0
        for trade, _ in self._early:
            self._trade(trade)
        self._early.clear()

    # -- what goes out ----------------------------------------------------------------------------------------

    def flush(self, now: int) -> None:
        """Something else comes, or nothing more was read: the quote and the image are complete."""
        if self._held >= 0:
            self._flush_quote(now)
        elif self._has_image:
            self._emit_image(now)

    def tell_known(self) -> None:
        """Tell the prices that are known as an image, as of when something last came."""
        if self._begun and not self._has_image:
            self._emit_image(self.received)

    def _emit_image(self, now: int) -> None:
        self._has_image = False
        self._emit(PriceImage(self.instrument, now, self._last, self._told[0], self._told[2]))

    def _flush_quote(self, now: int) -> None:
        """What of the quote was told is all of it. An image goes before it."""
        if self._held < 0:
            return
        if self._has_image:
            self._emit_image(now)
        self._held = -1
        bid, bid_size, ask, ask_size = self._quote
        if any(_differ(a, b) for a, b in zip(self._quote, self._told, strict=True)):
            self._told = (bid, bid_size, ask, ask_size)
            self.has_events = True
            self._emit(QuoteTick(self.instrument, now, bid, ask, bid_size, ask_size))

    def pass_time(self, now: int) -> None:
        """Everything that was read is in: the quote is complete, and perhaps the image."""
        self.flush(now)
        if self._is_image and self._is_image_over(now):
            self._is_image = False
        if self._bare and now >= self._bare_due():
            self._bare = 0
            self._emit_image(now)
        self.lost_ticks = bool(self._early) and now >= self._early_due()

    def _is_image_over(self, now: int) -> bool:
        """Whether what comes now is new. In lockstep that is so at the marker after the request, image or none."""
        if self._settings.image_s == 0.0 and self.is_asked:
            return True
        return self._begun > 0 and now >= self._begun + round(self._settings.image_s * NS_PER_S)

    def _bare_due(self) -> int:
        waits = self.source is not TradeSource.NONE
        return self._bare + (round(self._settings.bare_s * NS_PER_S) if waits else 0)

    def _early_due(self) -> int:
        return self._early[0][1] + round(self._settings.patience_s * NS_PER_S)

    def next_due(self, never: int) -> int:
        """When :meth:`pass_time` has something to do (UTC ns)."""
        due = never
        if self._held >= 0 or self._has_image:
            return 0
        if self._begun and self._is_image:
            due = self._begun + round(self._settings.image_s * NS_PER_S)
        if self._bare:
            due = min(due, self._bare_due())
        return min(due, self._early_due()) if self._early else due


@dataclass(slots=True)
class Watched:
    """An instrument that somebody watches. ``stale`` says why nothing comes; ``text`` is the last thing TWS said of it."""

    line: Line
    watchers: int = 1
    stale: str = ""
    is_refused: bool = False
    """TWS gave it no line; ``is_crowded`` where that was because all lines are in use."""
    is_crowded: bool = False
    no_ticks: bool = False
    retries: int = 0
    had_events: bool = False
    """Whether there were trades or quotes on an earlier line."""
    text: str = ""
    told: tuple[DataKind, TradeSource, str] | None = None


def _differ(a: float, b: float) -> bool:
    return a != b and (a == a or b == b)
