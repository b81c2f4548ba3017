"""What an order means: the wire's terms as a request to the exchange, or the error that TWS would answer."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.protocol.order import Order
from papertape.core.model import NS_PER_S, Instrument, OrderType, Side, TimeInForce
from papertape.core.orders import OrderRequest

WHOLE_SIZES_BELOW = 163
"""Server version from which sizes may be fractions."""
_FINE_TICK = 0.0001
"""Price step of stocks below 1 (Regulation NMS, rule 612)."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why an order, or a change of one, is not taken: TWS's code and text."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Terms:
    """An order understood. ``best`` is what a trailing order starts from, NaN for the market's next price.

    ``good_after`` is when it is sent on (UTC ns), 0 at once.
    """

    request: OrderRequest
    best: float = math.nan
    good_after: int = 0


_TYPES: Mapping[str, OrderType] = {
    "MKT": OrderType.MARKET,
    "LMT": OrderType.LIMIT,
    "STP": OrderType.STOP,
    "STP LMT": OrderType.STOP_LIMIT,
    "TRAIL": OrderType.TRAIL,
    "TRAIL LIMIT": OrderType.TRAIL_LIMIT,
    "MOC": OrderType.MARKET_ON_CLOSE,
    "LOC": OrderType.LIMIT_ON_CLOSE,
}
_TIFS: Mapping[str, TimeInForce] = {each.name: each for each in TimeInForce}
_SIDES: Mapping[str, Side] = {"BUY": Side.BUY, "SELL": Side.SELL, "SSHORT": Side.SELL}
_NEEDS_LIMIT = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_ON_CLOSE})
_NEEDS_STOP = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
_TRAILS = frozenset({OrderType.TRAIL, OrderType.TRAIL_LIMIT})
_ON_CLOSE = frozenset({OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE})

_INVALID = "Error validating request.-'%s' : cause - %s"


def invalid(where: str, cause: str) -> Rejected:
    """Error 321, as TWS words it."""
    return Rejected(321, _INVALID % (where, cause))


def understand(
    order: Order, j: int, instrument: Instrument, version: int, zone: str, now: int, group: int = 0, parent: int = 0
) -> Terms | Rejected:
    """An order of instrument ``j`` as a request, or why TWS would not take it. Prices are the wire's, times UTC ns."""
    side = _SIDES.get(order.action)
    if side is None:
        return invalid("bW", f"Invalid order action: {order.action}")
    kind = _TYPES.get(order.type)
    if kind is None:
        return Rejected(387, "Unsupported order type for this exchange and security type.")
    tif = _TIFS.get(order.tif or "DAY")
    if tif is None:
        return Rejected(201, f"Order rejected - reason:Invalid time in force: {order.tif}")
    refused = (
        _refused_attributes(order, version) or _refused_quantity(order, version) or _refused_kind(order, kind, tif)
    )
    if refused is not None:
        return refused
    prices = _prices(order, kind, side)
    if isinstance(prices, Rejected):
        return prices
    limit, stop, trail, best = prices
    checked = (limit, order.aux_price if kind in _NEEDS_STOP else math.nan)
    if any(not conforms(price, instrument) for price in checked):
        return Rejected(110, "The price does not conform to the minimum price variation for this contract.")
    expire, good_after = 0, 0
    if tif is TimeInForce.GTD:
        expire = moment(order.good_till, zone)
        if expire <= now:
            return invalid("bV", f"Invalid or past Good Till Date: '{order.good_till}'")
    if order.good_after:
        good_after = moment(order.good_after, zone)
        if good_after == 0:
            return invalid("bV", f"Invalid Good After Time: '{order.good_after}'")
    request = OrderRequest(
        instrument=j, symbol=instrument.symbol, side=side, quantity=order.quantity, type=kind, limit_price=limit,
        stop_price=stop, trail=trail, trail_is_fraction=order.trailing_percent == order.trailing_percent, tif=tif,
        expire_ts=expire, group=group, parent=parent, outside_hours=order.outside_hours, tag=order.order_ref,
    )  # fmt: skip
    return Terms(request, best, good_after if good_after > now else 0)


def _refused_attributes(order: Order, version: int) -> Rejected | None:
    """What old clients set by default and TWS no longer takes, and what is not simulated."""
    if order.e_trade_only:
        return Rejected(10268, "The 'EtradeOnly' order attribute is not supported.")
    if order.firm_quote_only:
        return Rejected(10269, "The 'FirmQuoteOnly' order attribute is not supported.")
    for name, value in (
        ("algo orders", order.algo_strategy),
        ("conditions", order.conditions),
        ("hedging orders", order.hedge_type),
        ("cash quantity orders", order.cash_quantity == order.cash_quantity and order.cash_quantity > 0.0),
        ("all-or-none orders", order.all_or_none),
        ("deactivated orders", order.deactivate),
        ("post-only orders", order.post_only),
        ("orders before the opening", order.allow_pre_open),
        ("orders that leave out the opening auction", order.ignore_open_auction),
        ("orders that seek price improvement", order.seek_price_improvement),
        ("types of what-if orders", order.what_if_type is not None),
        ("attached stop losses", order.stop_loss_id is not None or order.stop_loss_type),
        ("attached profit takers", order.profit_taker_id is not None or order.profit_taker_type),
    ):
        if value:
            return Rejected(201, f"Order rejected - reason:{name} are not simulated by this gateway")
    return None


def _refused_quantity(order: Order, version: int) -> Rejected | None:
    quantity = order.quantity
    if quantity == 0.0 or not math.isfinite(quantity):
        return Rejected(434, "The order size cannot be zero.")
    if quantity < 0.0:
        return invalid("bV", f"Order size is negative: {quantity:g}")
    if quantity != int(quantity) and version < WHOLE_SIZES_BELOW:
        return Rejected(
            10243,
            "Fractional-sized order cannot be placed via API. Please use desktop version to place this order.",
        )
    return None


def _refused_kind(order: Order, kind: OrderType, tif: TimeInForce) -> Rejected | None:
    """Combinations that no exchange takes."""
    if kind in _ON_CLOSE and tif not in (TimeInForce.DAY, TimeInForce.GTC):
        return Rejected(201, f"Order rejected - reason:Invalid time in force {tif.name} for order type {order.type}")
    if tif is TimeInForce.OPG and kind not in (OrderType.MARKET, OrderType.LIMIT):
        return Rejected(201, f"Order rejected - reason:Invalid time in force OPG for order type {order.type}")
    return None


def _prices(order: Order, kind: OrderType, side: Side) -> tuple[float, float, float, float] | Rejected:
    """(limit, stop, trail, best) as the exchange takes them; prices that the type does not use are NaN."""
    limit = order.limit_price if kind in _NEEDS_LIMIT else math.nan
    stop = order.aux_price if kind in _NEEDS_STOP else math.nan
    if kind in _NEEDS_LIMIT and not math.isfinite(limit):
        return invalid("bV", f"Limit price is required for order type {order.type}")
    if kind in _NEEDS_STOP and not math.isfinite(stop):
        return invalid("bV", f"Stop price is required for order type {order.type}")
    if kind not in _TRAILS:
        return limit, stop, math.nan, math.nan
    by_percent = order.trailing_percent == order.trailing_percent
    trail = order.trailing_percent / 100.0 if by_percent else order.aux_price
    if not (math.isfinite(trail) and trail > 0.0):
        return invalid("bV", "Trailing amount or percent is required for a trailing order")
    best = math.nan
    start = order.trail_stop_price
    if math.isfinite(start):
        best = start / (1.0 + side * trail) if by_percent else start - side * trail
    if kind is OrderType.TRAIL_LIMIT:
        stop = order.limit_offset
        if not math.isfinite(stop) and math.isfinite(start) and math.isfinite(order.limit_price):
            stop = (order.limit_price - start) * side
        if not math.isfinite(stop):
            return invalid("bV", "Limit price offset is required for a trailing stop limit order")
    return math.nan, stop, trail, best


def conforms(price: float, instrument: Instrument) -> bool:
    """Whether a price is a multiple of the instrument's step; NaN is."""
    if price != price:
        return True
    tick = min(instrument.tick_size, _FINE_TICK) if abs(price) < 1.0 else instrument.tick_size
    if tick <= 0.0:
        return True
    steps = price / tick
    return abs(steps - round(steps)) <= 1e-6 * max(1.0, abs(steps))


_MOMENT = re.compile(r"(\d{8})(?:[ -]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:[ ]+(\S.*))?)?")


def moment(text: str, zone: str) -> int:
    """UTC ns of ``yyyymmdd hh:mm:ss zone``, ``yyyymmdd-hh:mm:ss`` (UTC) or ``yyyymmdd`` (the day's end); 0 unreadable.

    Without a zone the time is in TWS's own.
    """
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        return 0
    day, hour, minute, second, named = match.groups()
    is_utc = text.strip()[8:9] == "-"
    try:
        where = ZoneInfo("UTC" if is_utc else (named or zone))
        if hour is None:
            at = dt.datetime.strptime(day, "%Y%m%d").replace(hour=23, minute=59, second=59, tzinfo=where)
        else:
            at = dt.datetime.strptime(f"{day}{int(hour):02d}{minute}{second or '00'}", "%Y%m%d%H%M%S").replace(
                tzinfo=where
            )
    except (ValueError, ZoneInfoNotFoundError):
        return 0
    return int(at.timestamp()) * NS_PER_S


def wire_time(ts: int, zone: str, version: int) -> str:
    """A time as TWS writes it: with the zone's name from server version 174, with two spaces and none before."""
    at = dt.datetime.fromtimestamp(ts // NS_PER_S, ZoneInfo(zone))
    return f"{at:%Y%m%d %H:%M:%S} {zone}" if version >= 174 else f"{at:%Y%m%d  %H:%M:%S}"
