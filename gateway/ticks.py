"""Numbers of ticks, and images of a market as ticks. The order is that of recorded snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.fanout import Fanout
from gateway.images import Image
from papertape.core.model import NS_PER_S


class TickTypes(NamedTuple):
    """Numbers of the ticks of one kind of data."""

    bid: int
    ask: int
    last: int
    bid_size: int
    ask_size: int
    last_size: int
    high: int
    low: int
    volume: int
    close: int
    open: int
    timestamp: int


LIVE_TICKS = TickTypes(1, 2, 4, 0, 3, 5, 6, 7, 8, 9, 14, 45)
DELAYED_TICKS = TickTypes(66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 88)
HALTED, AVERAGE_VOLUME, RT_VOLUME, RT_TRADE_VOLUME = 49, 21, 48, 77
CAN_EXECUTE = 1
NO_PRICE = -1.0
"""How TWS sends a side of the quote that is no longer there."""

GENERIC_TICKS: Mapping[str, str] = {
    "100": "Option Volume", "101": "Option Open Interest", "105": "Average Opt Volume", "106": "impvolat",
    "165": "Misc. Stats", "221/220": "Creditman Mark Price", "225": "Auction", "232/221": "Pl Price", "233": "RTVolume",
    "236": "inventory", "258/47": "Fundamentals", "292": "Wide_news", "293": "TradeCount", "294": "TradeRate",
    "295": "VolumeRate", "318": "LastRTHTrade", "375": "RTTrdVolume", "411": "rthistvol", "456/59": "IBDividends",
    "460": "Bond Factor Multiplier", "576": "EtfNavBidAsk(navbidask)", "577": "EtfNavLast(navlast)",
    "578": "EtfNavClose(navclose)", "586": "IPOHLMPRC", "587": "Pl Price Delayed", "588": "Futures Open Interest",
    "595": "Short-Term Volume X Mins", "614": "EtfNavMisc(high/low)", "619": "Creditman Slow Mark Price",
    "623": "EtfFrozenNavLast(fznavlast)",
}  # fmt: skip
"""What TWS lists as legal for stocks: number (or two that mean the same) -> name."""
LEGAL = frozenset(number for numbers in GENERIC_TICKS for number in numbers.split("/")) | {"mdoff"}
"""What a list of generic ticks may hold."""

SUMMARIES: Mapping[str, int] = {"233": RT_VOLUME, "375": RT_TRADE_VOLUME}


def differ(value: float, before: float) -> bool:
    """Whether a price changed; unknown stays unknown."""
    return value != before and (value == value or before == before)


def send_side(
    fanout: Fanout, price_type: int, size_type: int, price: float, size: float, price_before: float, size_before: float
) -> None:
    """One side of the quote, as far as it changed."""
    if differ(price, price_before):
        if price == price:
            fanout.price(price_type, price, size, CAN_EXECUTE)
        else:
            fanout.price(price_type, NO_PRICE)
    elif differ(size, size_before) and price == price:
        fanout.size(size_type, size)


def send_changes(fanout: Fanout, image: Image, sent: Image, types: TickTypes) -> None:
    """What two images of one instrument differ in. A last price without a size, a bar's close, is told each time."""
    if not fanout:
        return
    is_later = image.last_ts != sent.last_ts
    if differ(image.last, sent.last) or (is_later and image.last_size != image.last_size):
        fanout.price(types.last, image.last, image.last_size)
    elif differ(image.last_size, sent.last_size) or is_later:
        fanout.size(types.last_size, image.last_size)
    if image.last_ts // NS_PER_S != sent.last_ts // NS_PER_S:
        fanout.string(types.timestamp, str(image.last_ts // NS_PER_S))
    for number, value, before in (
        (types.high, image.high, sent.high),
        (types.low, image.low, sent.low),
    ):
        if value == value and value != before:
            fanout.price(number, value)
    if image.volume // fanout.lot != sent.volume // fanout.lot:
        fanout.volume(types.volume, image.volume)
    for number, value, before in ((types.close, image.close, sent.close), (types.open, image.open, sent.open)):
        if value == value and value != before:
            fanout.price(number, value)
    send_side(fanout, types.bid, types.bid_size, image.bid, image.bid_size, sent.bid, sent.bid_size)
    send_side(fanout, types.ask, types.ask_size, image.ask, image.ask_size, sent.ask, sent.ask_size)


def send_image(fanout: Fanout, image: Image, types: TickTypes) -> None:
    """All that is known, as the first ticks of a subscription or the ticks of a snapshot."""
    send_changes(fanout, image, Image(), types)
    if types is LIVE_TICKS and image.last == image.last:
        fanout.generic(HALTED, 0.0)
