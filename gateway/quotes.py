"""Market data: streaming and snapshots, delayed data, tick by tick.

A subscription gets the kind of its data (58), its parameters (81), an image of what is known, then changes: a trade as
last price with its size, or its size alone where the price is the same; a side of the quote likewise. The order of the
image is that of recorded snapshots. Real TWS sends aggregates of some 250 ms; here every trade goes out unless
the settings say ``conflate_ms``.

A tape of bars has no trades to send, so that neither RTVolume nor ticks of trades come. At each bar's end its close is
the last price, also where that is the one before, with the time and the volume so far: what is held can be marked, and
is known to be fresh. The size of that last trade is not known, and is sent as 0.

Delayed data are as old as the settings say and are looked up once a second. Of generic ticks RTVolume (233), RTTrdVolume
(375) and average volume (165) are simulated, the others that TWS knows are accepted and nothing is sent for them.
Historical ticks ahead of a tick-by-tick subscription are not sent. TWS's tick of delayed halts (90) is not sent.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.clients import Client
from gateway.contracts import Contracts, Refused, invalid
from gateway.fanout import Fanout
from gateway.images import Image, Images, MovingImage, known_by
from gateway.market import Market, Step
from gateway.protocol.replies import DataType, SnapshotEnd, TickParameters
from gateway.protocol.requests import (
    CancelMarketData,
    CancelTickByTick,
    MarketData,
    SetMarketDataType,
    TickByTick,
)
from gateway.settings import DataPermission, GatewaySettings
from gateway.ticks import (
    AVERAGE_VOLUME,
    DELAYED_TICKS,
    GENERIC_TICKS,
    LEGAL,
    LIVE_TICKS,
    SUMMARIES,
    differ,
    send_changes,
    send_image,
    send_side,
)
from papertape.core.model import NS_PER_MS, NS_PER_S, EventKind
from papertape.core.series import Batch

LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4
"""Kinds of market data."""


_SUBSCRIBE = "requires additional subscription for API. See link in 'Market Data Connections' dialog for more details."
_TRADE, _QUOTE = int(EventKind.TRADE), int(EventKind.QUOTE)  # a member is looked up slowly, and this is for each event

NOT_SUBSCRIBED = Refused(354, "Requested market data is not subscribed.")
ADDITIONAL = Refused(10089, f"Requested market data {_SUBSCRIBE}Delayed market data is available.")
DELAYED_OFF = Refused(10168, "Requested market data is not subscribed. Delayed market data is not enabled.")
SHOWING_DELAYED = Refused(10167, "Requested market data is not subscribed. Displaying delayed market data.")
TOO_MANY_LINES = Refused(101, "Max number of tickers has been reached")
TOO_MANY_TICKS = Refused(10190, "Max number of tick-by-tick requests has been reached.")
DUPLICATE = Refused(322, "Error processing request.-'bO' : cause - Duplicate ticker id")
SNAPSHOT_ONLY = invalid("Snapshot market data subscription is not applicable to generic ticks")


def not_found(request: int) -> Refused:
    """Error 300: there is no such subscription to cancel."""
    return Refused(300, f"Can't find EId with tickerId:{request}")


def refuse(client: Client, request: int, why: Refused, now: int) -> None:
    """Send a refusal."""
    client.error(request, why.code, why.text, now)


@dataclass(slots=True)
class _Watch:
    """Subscriptions to one instrument's live data, and the image that they were sent."""

    j: int
    image: Image
    exchange: str
    live: Fanout
    summaries: dict[int, Fanout]
    trades: dict[int, Fanout]
    quotes: Fanout
    prices: Fanout
    """Tick-by-tick quotes without changes of size alone."""
    middles: Fanout
    is_heard: bool = False
    """Whether trades go to anybody beside ``live``."""
    sent: Image = field(default_factory=Image)
    sent_ts: int = 0
    is_behind: bool = False
    bars: MovingImage | None = None
    """Where a tape of bars has come to; ``image`` is its image."""

    def fanouts(self) -> Iterator[Fanout]:
        """All of them."""
        yield self.live
        yield from self.summaries.values()
        yield from self.trades.values()
        yield self.quotes
        yield self.prices
        yield self.middles


@dataclass(slots=True)
class _Late:
    """Subscriptions to one instrument's delayed data."""

    moving: MovingImage
    sent: Image
    fanout: Fanout


@dataclass(frozen=True, slots=True)
class _Line:
    """One client's subscription: the instrument and the streams that it gets."""

    j: int
    fanouts: tuple[Fanout, ...]


Lines = dict[int, dict[int, _Line]]
"""Connection -> request -> subscription."""


class QuotesDesk:
    """Answers requests for market data and sends what happens."""

    def __init__(self, settings: GatewaySettings, market: Market, contracts: Contracts) -> None:
        self.settings = settings
        self.market = market
        self.contracts = contracts
        self.images = Images(market.view)
        self._conflate_ns = round((settings.conflate_ms or 0.0) * NS_PER_MS)
        self._delay_ns = round(settings.delay_s * NS_PER_S)
        self._kinds: dict[int, int] = {}
        self._lines: Lines = {}
        self._ticks: Lines = {}
        self.watched: list[_Watch | None] = [None] * len(contracts)
        """Replaced whole whenever an instrument is watched or is no more."""
        self._late: dict[int, _Late] = {}
        self._behind: list[_Watch] = []
        self._batch: Batch | None = None

    # -- requests -----------------------------------------------------------------------------------------------

    def set_type(self, client: Client, request: SetMarketDataType, now: int) -> None:
        """Kind of data that later requests of this client get, where it may; TWS answers nothing."""
        if not LIVE <= request.type <= DELAYED_FROZEN:
            refuse(client, -1, invalid(f"Invalid market data type {request.type}"), now)
            return
        self._kinds[client.number] = request.type

    def subscribe(self, client: Client, request: MarketData, now: int) -> None:
        """Streaming data, or a snapshot."""
        is_snapshot = request.snapshot or request.regulatory_snapshot
        generic = [text.strip() for text in request.generic_ticks.split(",") if text.strip()]
        j = self._checked(client, request, generic, is_snapshot=is_snapshot)
        if isinstance(j, Refused):
            refuse(client, request.request, j, now)
            return
        kind = self._kind_of_data(client, j, now)
        if isinstance(kind, Refused):
            refuse(client, request.request, kind, now)
            return
        if kind >= DELAYED:
            refuse(client, request.request, SHOWING_DELAYED, now)
        client.send(DataType(request.request, kind))
        instrument = self.contracts.instruments[j]
        client.send(TickParameters(request.request, instrument.tick_size, "9c0001", 4 if kind >= DELAYED else 3))
        alone = Fanout(self.contracts.lot(j)).add(client, request.request)
        types = DELAYED_TICKS if kind >= DELAYED else LIVE_TICKS
        if is_snapshot:
            send_image(alone, self._image(j, kind, now), types)
            client.send(SnapshotEnd(request.request))
            return
        fanouts = self._late_fanouts(j, now) if kind >= DELAYED else self._live_fanouts(j, generic, now)
        late = self._late.get(j)
        send_image(alone, late.sent if kind >= DELAYED and late else self._image(j, kind, now), types)
        if "165" in generic and instrument.average_volume is not None:
            alone.volume(AVERAGE_VOLUME, instrument.average_volume)
        for fanout in fanouts:
            fanout.add(client, request.request)
        self._lines.setdefault(client.number, {})[request.request] = _Line(j, fanouts)

    def _checked(self, client: Client, request: MarketData, generic: list[str], *, is_snapshot: bool) -> int | Refused:
        """The instrument that is asked for, if all is well."""
        unknown = [each for each in generic if each.split(":")[0] not in LEGAL]
        if is_snapshot and generic:
            return SNAPSHOT_ONLY
        if unknown:
            legal = ",".join(f"{numbers}({name})" for numbers, name in GENERIC_TICKS.items())
            return invalid(
                f"Incorrect generic tick list of {request.generic_ticks}.  "
                f"Legal ones for ({request.contract.type or 'STK'}) are: {legal}"
            )
        lines = self._lines.get(client.number, {})
        if request.request in lines:
            return DUPLICATE
        if not is_snapshot and len(lines) >= self.settings.limits.market_data_lines:
            return TOO_MANY_LINES
        return self.contracts.one(request.contract)

    def permission(self, j: int) -> DataPermission:
        """Which data of an instrument the account may see."""
        symbol = self.contracts.instruments[j].symbol
        return self.settings.data.get(symbol, self.settings.permission)

    def _kind_of_data(self, client: Client, j: int, now: int) -> int | Refused:
        """The kind that a request gets, by what the client set and what the account may see."""
        asked = self._kinds.get(client.number, LIVE)
        permission = self.permission(j)
        is_frozen = asked in (FROZEN, DELAYED_FROZEN) and not self._is_open(now)
        if permission is DataPermission.LIVE:
            return FROZEN if is_frozen else LIVE
        if asked >= DELAYED:
            if permission is DataPermission.NONE:
                return DELAYED_OFF
            return DELAYED_FROZEN if is_frozen else DELAYED
        return NOT_SUBSCRIBED if permission is DataPermission.NONE else ADDITIONAL

    def _is_open(self, now: int) -> bool:
        calendar = self.market.calendar
        i = bisect.bisect_right(calendar.open, now) - 1
        return i >= 0 and now < calendar.close[i]

    def _known(self, now: int) -> int:
        return known_by(self.market.next_ts, now)

    def _image(self, j: int, kind: int, now: int) -> Image:
        """What is known of an instrument to who gets this kind of data."""
        watch = self.watched[j]
        if kind >= DELAYED:
            return self.images.at(j, min(self._known(now), now - self._delay_ns))
        if watch is None or not self.images.has_trades(j):
            return self.images.at(j, self._known(now))
        if self._known(now) >= watch.image.until:
            self.images.begin_session(watch.image, j, self._known(now))
        return watch.image

    def cancel(self, client: Client, request: CancelMarketData, now: int) -> None:
        """End a streaming subscription. A snapshot has ended when it was answered."""
        self._end(self._lines, client, request.request, now)

    def _end(self, lines: Lines, client: Client, number: int, now: int) -> None:
        line = lines.get(client.number, {}).pop(number, None)
        if line is None:
            refuse(client, number, not_found(number), now)
        else:
            self._close(line, client, number)

    def _close(self, line: _Line, client: Client, number: int) -> None:
        for fanout in line.fanouts:
            fanout.remove(client, number)
        watch, late = self.watched[line.j], self._late.get(line.j)
        if watch is not None:
            self._count(watch)
            if not any(watch.fanouts()):
                self._set_watch(line.j, None)
        if late is not None and not late.fanout:
            del self._late[line.j]

    def drop(self, client: Client) -> None:
        """A connection has ended, and its subscriptions with it."""
        self._kinds.pop(client.number, None)
        for lines in (self._lines, self._ticks):
            for number, line in lines.pop(client.number, {}).items():
                self._close(line, client, number)

    # -- tick by tick -------------------------------------------------------------------------------------------

    def subscribe_ticks(self, client: Client, request: TickByTick, now: int) -> None:
        """Single trades or quotes."""
        found = self._tick_fanout(client, request, now)
        if isinstance(found, Refused):
            refuse(client, request.request, found, now)
            return
        self._ticks.setdefault(client.number, {})[request.request] = found
        watch = self._watch(found.j, now)
        for fanout in found.fanouts:
            fanout.add(client, request.request)
        self._count(watch)

    def _tick_fanout(self, client: Client, request: TickByTick, now: int) -> _Line | Refused:
        ticks = self._ticks.get(client.number, {})
        if request.request in ticks:
            return DUPLICATE
        streams = _STREAMS.get(request.type)
        if streams is None:
            return invalid("Incorrect tick-by-tick type. Legal ones are: Last, AllLast, BidAsk, MidPoint")
        j = self.contracts.one(request.contract)
        if isinstance(j, Refused):
            return j
        wire = self.contracts.wire(j)
        if self.permission(j) is not DataPermission.LIVE:
            where = wire.primary_exchange or wire.exchange
            text = f"No market data permissions for {where} {wire.type}. Requested market data {_SUBSCRIBE}"
            return Refused(10189, f"Failed to request tick-by-tick data.{text}")
        has = self.images.has_trades(j) if request.type in ("Last", "AllLast") else self.images.has_quotes(j)
        if not has:
            text = f"{request.type} tick-by-tick requests are not supported for {wire.local_symbol}."
            return Refused(10189, f"Failed to request tick-by-tick data.{text}")
        limits = self.settings.limits
        if (
            len({line.j for line in ticks.values()} | {j}) > limits.tick_by_tick
            or len(ticks) >= limits.market_data_lines
        ):
            return TOO_MANY_TICKS
        return _Line(j, (streams(self._watch(j, now), request),))

    def cancel_ticks(self, client: Client, request: CancelTickByTick, now: int) -> None:
        """End that."""
        self._end(self._ticks, client, request.request, now)

    # -- subscriptions ------------------------------------------------------------------------------------------

    def _watch(self, j: int, now: int) -> _Watch:
        watch = self.watched[j]
        if watch is None:
            lot, wire = self.contracts.lot(j), self.contracts.wire(j)
            moving = MovingImage(self.images, j)
            watch = _Watch(
                j, moving.move(self._known(now)), wire.primary_exchange, Fanout(lot),
                {kind: Fanout(lot) for kind in SUMMARIES.values()}, {kind: Fanout(lot) for kind in (1, 2)},
                Fanout(lot), Fanout(lot), Fanout(lot),
            )  # fmt: skip
            if not (self.images.has_trades(j) or self.images.has_quotes(j)):
                watch.bars = moving
            watch.sent = dataclasses.replace(watch.image)
            self._set_watch(j, watch)
        return watch

    def _set_watch(self, j: int, watch: _Watch | None) -> None:
        self.watched = [watch if k == j else each for k, each in enumerate(self.watched)]

    def _count(self, watch: _Watch) -> None:
        watch.is_heard = any(watch.summaries.values()) or any(watch.trades.values())

    def _live_fanouts(self, j: int, generic: list[str], now: int) -> tuple[Fanout, ...]:
        watch = self._watch(j, now)
        summaries = [watch.summaries[kind] for number, kind in SUMMARIES.items() if number in generic]
        watch.is_heard = watch.is_heard or bool(summaries)
        return (watch.live, *summaries)

    def _late_fanouts(self, j: int, now: int) -> tuple[Fanout, ...]:
        late = self._late.get(j)
        if late is None:
            moving = MovingImage(self.images, j)
            image = moving.move(min(self._known(now), now - self._delay_ns))
            late = self._late[j] = _Late(moving, dataclasses.replace(image), Fanout(self.contracts.lot(j)))
        return (late.fanout,)

    # -- what happens -------------------------------------------------------------------------------------------

    def publish(self, part: Step, k: int, now: int) -> None:
        """Event ``k`` of an open batch has happened."""
        if part.batch is not self._batch:
            self._open(part.batch)
        watch = self.watched[self._instruments[k]]
        if watch is None:
            return
        kind = self._event_kinds[k]
        if kind == _TRADE:
            self._trade(watch, self._times[k], self._first[k], self._second[k])
        elif kind == _QUOTE:
            self._quote(watch, self._times[k], self._first[k], self._second[k], self._third[k], self._fourth[k])
        elif watch.bars is not None:
            watch.bars.move(self._times[k])
            self._mark(watch, self._times[k])

    def _open(self, batch: Batch) -> None:
        """Lists of a batch's columns: an element of an array costs ten times one of a list."""
        n = len(batch)
        self._batch = batch
        self._times: list[int] = batch.ts.tolist()
        self._instruments: list[int] = batch.instrument.tolist() * (n if len(batch.instrument) == 1 else 1)
        self._event_kinds: list[int] = batch.kind.tolist() * (n if len(batch.kind) == 1 else 1)
        self._first, self._second, self._third, self._fourth = (
            column.tolist() if len(column) == n else [math.nan] * n for column in batch.columns[:4]
        )

    def _trade(self, watch: _Watch, ts: int, price: float, size: float) -> None:
        image, live = watch.image, watch.live
        if ts >= image.until:
            self.images.begin_session(image, watch.j, ts)
            if live and image.close == image.close:
                live.price(LIVE_TICKS.close, image.close)
        last, last_ts, volume = image.last, image.last_ts, image.volume
        high, low = image.high, image.low
        is_first = image.open != image.open
        image.trade(ts, price, size)
        if live:
            if self._conflate_ns:
                self._mark(watch, ts)
            else:
                if price == last:
                    live.size(5, size)
                else:
                    live.price(4, price, size)
                if ts // NS_PER_S != last_ts // NS_PER_S:
                    live.string(45, str(ts // NS_PER_S))
                if image.volume // live.lot != volume // live.lot:
                    live.volume(8, image.volume)
                if image.high == image.high:
                    if image.high != high:
                        live.price(6, image.high)
                    if image.low != low:
                        live.price(7, image.low)
                    if is_first:
                        live.price(14, image.open)
        if watch.is_heard:
            self._tell_trade(watch, ts, price, size)

    def _tell_trade(self, watch: _Watch, ts: int, price: float, size: float) -> None:
        image = watch.image
        average = image.turnover / image.volume if image.volume else price
        for kind, fanout in watch.summaries.items():
            if fanout:
                fanout.trade_summary(kind, price, size, ts, image.volume, average)
        for kind, fanout in watch.trades.items():
            if fanout:
                fanout.trade(kind, ts, price, size, watch.exchange)

    def _quote(self, watch: _Watch, ts: int, bid: float, ask: float, bid_size: float, ask_size: float) -> None:
        image, live = watch.image, watch.live
        before = (image.bid, image.ask)
        is_moved = differ(bid, before[0]) or differ(ask, before[1])
        if live and not self._conflate_ns:
            if bid != before[0] or bid_size != image.bid_size:
                send_side(live, LIVE_TICKS.bid, LIVE_TICKS.bid_size, bid, bid_size, before[0], image.bid_size)
            if ask != before[1] or ask_size != image.ask_size:
                send_side(live, LIVE_TICKS.ask, LIVE_TICKS.ask_size, ask, ask_size, before[1], image.ask_size)
        image.bid, image.ask, image.bid_size, image.ask_size = bid, ask, bid_size, ask_size
        if live and self._conflate_ns:
            self._mark(watch, ts)
        if watch.quotes:
            watch.quotes.quote(ts, bid, ask, bid_size, ask_size)
        if is_moved:
            if watch.prices:
                watch.prices.quote(ts, bid, ask, bid_size, ask_size)
            middle = (bid + ask) / 2.0
            if watch.middles and middle == middle and differ(middle, (before[0] + before[1]) / 2.0):
                watch.middles.middle(ts, middle)

    # -- as of a time -------------------------------------------------------------------------------------------

    def _mark(self, watch: _Watch, ts: int) -> None:
        """Send what has changed, if the last time was long enough ago; else later."""
        if ts - watch.sent_ts >= self._conflate_ns:
            self._flush(watch, ts)
        elif not watch.is_behind:
            watch.is_behind = True
            self._behind.append(watch)

    def _flush(self, watch: _Watch, ts: int) -> None:
        send_changes(watch.live, watch.image, watch.sent, LIVE_TICKS)
        watch.sent = dataclasses.replace(watch.image)
        watch.sent_ts = ts

    def second(self, now: int) -> None:
        """A full second of exchange time: delayed data, and what was held back."""
        for watch in self._behind:
            watch.is_behind = False
            self._flush(watch, now)
        self._behind.clear()
        known = min(self._known(now), now - self._delay_ns)
        for late in self._late.values():
            image = late.moving.move(known)
            if image != late.sent:
                send_changes(late.fanout, image, late.sent, DELAYED_TICKS)
                late.sent = dataclasses.replace(image)


_STREAMS: Mapping[str, Callable[[_Watch, TickByTick], Fanout]] = {
    "Last": lambda watch, request: watch.trades[1],
    "AllLast": lambda watch, request: watch.trades[2],
    "BidAsk": lambda watch, request: watch.prices if request.ignore_size else watch.quotes,
    "MidPoint": lambda watch, request: watch.middles,
}
"""Type of tick-by-tick data -> the stream that it is."""

HANDLERS: Mapping[type, Callable[[QuotesDesk, Client, Any, int], None]] = {
    MarketData: QuotesDesk.subscribe,
    CancelMarketData: QuotesDesk.cancel,
    SetMarketDataType: QuotesDesk.set_type,
    TickByTick: QuotesDesk.subscribe_ticks,
    CancelTickByTick: QuotesDesk.cancel_ticks,
}
