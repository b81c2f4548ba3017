"""The terms of an order as a strategy writes them, and the request that they make."""

from __future__ import annotations

import datetime as dt
import math
import operator
from collections.abc import Mapping
from numbers import Real
from typing import TypedDict

from papertape.core.errors import StrategyError, did_you_mean
from papertape.core.model import NS_PER_S, OrderType, Side, TimeInForce
from papertape.core.orders import Order, OrderRequest


class OrderTerms(TypedDict, total=False):
    """What an order may be given besides instrument, side and quantity. Prices are in the instrument's currency."""

    limit: float
    """Worst acceptable price. With a trail: how far beyond its stop the limit lies."""
    stop: float
    """Price that triggers it."""
    trail: float
    """Distance of a trailing stop, in price."""
    trail_fraction: float
    """The same as a fraction of the best price."""
    tif: TimeInForce | str
    """DAY unless given; GTC, IOC, FOK, OPG (at the open), GTD (with ``until``)."""
    until: int
    """When a GTD order ends, UTC nanoseconds; later than now."""
    on_close: bool
    """At the session's close: market-on-close, or limit-on-close with ``limit``."""
    group: int
    """One cancels the other; from ``new_group()``."""
    parent: Order | None
    """The order that must fill first."""
    outside_hours: bool
    """May fill outside the regular session."""
    tag: str
    """Words of the strategy's own, kept with the order."""


_PRICES = ("limit", "stop", "trail", "trail_fraction")

_TYPES: Mapping[tuple[bool, bool, bool, bool], OrderType] = {
    # on_close, trail, stop, limit
    (False, False, False, False): OrderType.MARKET,
    (False, False, False, True): OrderType.LIMIT,
    (False, False, True, False): OrderType.STOP,
    (False, False, True, True): OrderType.STOP_LIMIT,
    (False, True, False, False): OrderType.TRAIL,
    (False, True, False, True): OrderType.TRAIL_LIMIT,
    (True, False, False, False): OrderType.MARKET_ON_CLOSE,
    (True, False, False, True): OrderType.LIMIT_ON_CLOSE,
}


def requested(j: int, symbol: str, side: Side, quantity: float, terms: OrderTerms, now: int = 0) -> OrderRequest:
    """The request that terms make for instrument ``j`` at ``now`` (UTC ns).

    StrategyError where they do not go together, and where the order would have ended by now.
    """
    for name in terms:
        if name not in OrderTerms.__annotations__:
            raise StrategyError(
                f'order for {symbol}: unknown term "{name}"{did_you_mean(name, OrderTerms.__annotations__)}'
            )
    for name in _PRICES:
        if name in terms:
            _check_price(name, terms[name], symbol)  # type: ignore[literal-required]
    limit, stop = terms.get("limit", math.nan), terms.get("stop", math.nan)
    trail, trail_fraction = terms.get("trail", math.nan), terms.get("trail_fraction", math.nan)
    until, parent = terms.get("until", 0), terms.get("parent")
    trails = trail == trail or trail_fraction == trail_fraction
    kind = _TYPES.get((terms.get("on_close", False), trails, stop == stop, limit == limit))
    if kind is None:
        raise StrategyError(f"order for {symbol}: stop, trail and on_close do not go together")
    tif = time_in_force(terms.get("tif", TimeInForce.DAY), symbol)
    if (tif is TimeInForce.GTD) != bool(until):
        raise StrategyError(f"order for {symbol}: GTD and until go together")
    if tif is TimeInForce.GTD:
        until = _later(until, now, symbol)
    is_trail_limit = kind is OrderType.TRAIL_LIMIT
    return OrderRequest(
        instrument=j,
        symbol=symbol,
        side=side,
        quantity=float(quantity),
        type=kind,
        limit_price=math.nan if is_trail_limit else float(limit),
        stop_price=float(limit) if is_trail_limit else float(stop),
        trail=float(trail) if trail == trail else float(trail_fraction),
        trail_is_fraction=trail_fraction == trail_fraction,
        tif=tif,
        expire_ts=until,
        group=terms.get("group", 0),
        parent=0 if parent is None else parent.number,
        outside_hours=terms.get("outside_hours", False),
        tag=terms.get("tag", ""),
    )


def _check_price(name: str, value: object, symbol: str) -> None:
    """StrategyError for what is no finite number: an unknown limit must not make a market order."""
    if not isinstance(value, Real) or not math.isfinite(value):
        raise StrategyError(f"order for {symbol}: {name}={value!r} is no price; leave {name} out for an order without")


def _later(until: object, now: int, symbol: str) -> int:
    """When an order ends, as UTC nanoseconds; StrategyError where that is no such time, or not after ``now``."""
    form = "give UTC nanoseconds, as self.now + 3600 * 1_000_000_000"
    try:
        ts = operator.index(until)  # type: ignore[arg-type]  # it is here that it is found out
    except TypeError:
        raise StrategyError(f"order for {symbol}: until={until!r} is no whole number; {form}") from None
    if ts <= now:
        ends = dt.datetime.fromtimestamp(max(ts, 0) // NS_PER_S, dt.UTC)
        raise StrategyError(f"order for {symbol}: until={ts} ({ends:%Y-%m-%d %H:%M:%S} UTC) is not after now; {form}")
    return ts


def time_in_force(given: TimeInForce | str, symbol: str) -> TimeInForce:
    """A time in force by its name."""
    if isinstance(given, TimeInForce):
        return given
    try:
        return TimeInForce[given]
    except KeyError:
        names = [each.name for each in TimeInForce]
        raise StrategyError(f'order for {symbol}: unknown tif "{given}"{did_you_mean(given, names)}') from None
