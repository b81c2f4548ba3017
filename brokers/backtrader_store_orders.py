"""A backtrader order as the request that papertape's guard judges; what can not be had is said in one line."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import Any

import backtrader as bt

from brokers.backtrader_store import WallClock
from papertape.core.errors import StrategyError
from papertape.core.model import OrderType, Side, TimeInForce
from papertape.core.orders import OrderRequest

OUTSIDE_HOURS = "outsideRth"
"""The one field of Interactive Brokers' order that may be given as a keyword."""
_FIELDS_OF_IB = frozenset(
    [
        "orderType",
        "totalQuantity",
        "lmtPrice",
        "auxPrice",
        "tif",
        "goodTillDate",
        "goodAfterTime",
        "trailStopPrice",
        "trailingPercent",
        "ocaGroup",
        "ocaType",
        "account",
        "faGroup",
        "faMethod",
        "faPercentage",
        "hidden",
        "displaySize",
        "allOrNone",
        "minQty",
        "percentOffset",
        "sweepToFill",
        "blockOrder",
        "triggerMethod",
        "whatIf",
        "algoStrategy",
        "algoParams",
        "discretionaryAmt",
        "eTradeOnly",
        "firmQuoteOnly",
        "nbboPriceCap",
        "openClose",
        "origin",
        "orderRef",
        "parentId",
        "overridePercentageConstraints",
        "rule80A",
        "settlingFirm",
        "clearingAccount",
        "clearingIntent",
        "notHeld",
        "activeStartTime",
        "activeStopTime",
        "scaleInitLevelSize",
        "hedgeType",
        "hedgeParam",
    ]
)
"""Keywords that backtrader's own store for Interactive Brokers would have put into the order."""


class UnavailableError(StrategyError):
    """An order that can not be given as it was asked for."""


def request_of(order: Any, index: int, clock: WallClock, now: int, *, parent: int = 0, group: int = 0) -> OrderRequest:
    """The request that an order makes for instrument ``index`` at ``now`` (UTC ns). UnavailableError says what is not possible."""
    symbol = order.data._name
    keywords = _checked_keywords(order)
    terms = _terms(order)
    quantity = abs(float(order.created.size))
    if not math.isfinite(quantity) or quantity <= 0.0:
        raise UnavailableError(f"a size of {order.created.size!r} is no number of units")
    for name, value in terms.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UnavailableError(f"{name.replace('_', ' ')} {value!r} is no price")
    tif, expire_ts = _lifetime(order, clock, now)
    return OrderRequest(
        instrument=index,
        symbol=symbol,
        side=Side.BUY if order.isbuy() else Side.SELL,
        quantity=quantity,
        tif=tif,
        expire_ts=expire_ts,
        group=group,
        parent=parent,
        outside_hours=bool(keywords.get(OUTSIDE_HOURS, False)),
        tag=_tag(order),
        **terms,
    )


def _tag(order: Any) -> str:
    return "" if not order.tradeid else f"tradeid {order.tradeid}"


def _checked_keywords(order: Any) -> Mapping[str, Any]:
    """Keywords of the order's own; those that would have changed it at Interactive Brokers must not be passed over."""
    keywords = {name.removeprefix("m_"): value for name, value in order.info.items()}
    for name in keywords:
        if name in _FIELDS_OF_IB:
            raise UnavailableError(
                f"{name}= is a field of Interactive Brokers' own; only {OUTSIDE_HOURS}= can be given"
            )
    return keywords


def _market(order: Any) -> dict[str, Any]:
    return {"type": OrderType.MARKET}


def _close(order: Any) -> dict[str, Any]:
    return {"type": OrderType.MARKET_ON_CLOSE}


def _limit(order: Any) -> dict[str, Any]:
    return {"type": OrderType.LIMIT, "limit_price": float(order.created.price)}


def _stop(order: Any) -> dict[str, Any]:
    return {"type": OrderType.STOP, "stop_price": float(order.created.price)}


def _stop_limit(order: Any) -> dict[str, Any]:
    return {
        "type": OrderType.STOP_LIMIT,
        "stop_price": float(order.created.price),
        "limit_price": float(order.created.pricelimit),
    }


def _trail(order: Any) -> dict[str, Any]:
    amount, fraction = order.trailamount, order.trailpercent
    if not amount and not fraction:
        raise UnavailableError("a trailing stop needs trailamount= or trailpercent=")
    return {"type": OrderType.TRAIL, "trail": float(amount or fraction), "trail_is_fraction": not amount}


def _trail_limit(order: Any) -> dict[str, Any]:
    beyond = -order._limitoffset if order.isbuy() else order._limitoffset
    if beyond < 0.0:
        raise UnavailableError(
            "the limit of a trailing stop must lie beyond its stop: above it to buy, below it to sell"
        )
    return {**_trail(order), "type": OrderType.TRAIL_LIMIT, "stop_price": float(beyond)}


_TERMS: Mapping[int, Callable[[Any], dict[str, Any]]] = {
    bt.Order.Market: _market,
    bt.Order.Close: _close,
    bt.Order.Limit: _limit,
    bt.Order.Stop: _stop,
    bt.Order.StopLimit: _stop_limit,
    bt.Order.StopTrail: _trail,
    bt.Order.StopTrailLimit: _trail_limit,
}


def _terms(order: Any) -> dict[str, Any]:
    """Type and prices."""
    found = _TERMS.get(order.exectype)
    if found is None:
        raise UnavailableError(f"{order.getordername()} orders can not be given to a broker")
    return found(order)


def _lifetime(order: Any, clock: WallClock, now: int) -> tuple[TimeInForce, int]:
    """Time in force and, for GTD, when it ends, of the ``valid`` that was given.

    None is GTC (a market-on-close order is for the day), ``Order.DAY`` and 0 are DAY, a date, a datetime, a length or a
    number in backtrader's days is GTD. A date is its beginning, as in backtrader.
    """
    valid = order.p.valid
    if valid is None:
        return (TimeInForce.DAY if order.exectype == bt.Order.Close else TimeInForce.GTC), 0
    if isinstance(valid, dt.datetime):
        until = clock.of_datetime(valid)
    elif isinstance(valid, dt.date):
        until = clock.of_datetime(dt.datetime.combine(valid, dt.time.min))  # the exchange's wall clock
    elif isinstance(valid, dt.timedelta):
        if not valid:
            return TimeInForce.DAY, 0
        until = now + round(valid.total_seconds() * 1e9)
    elif not valid:
        return TimeInForce.DAY, 0
    else:
        until = clock.instant(float(valid))
    if until <= now:
        raise UnavailableError(f"valid={valid} is not after now")
    return TimeInForce.GTD, until
