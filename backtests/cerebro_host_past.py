"""What a process before this one has left to a backtrader strategy: positions as open trades, and working orders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import backtrader as bt

from brokers.backtrader_store import plain
from papertape.core.desk import Desk
from papertape.core.model import OrderStatus, OrderType, Side
from papertape.core.orders import OrderRequest

_EXECTYPES = {
    OrderType.MARKET: bt.Order.Market,
    OrderType.LIMIT: bt.Order.Limit,
    OrderType.STOP: bt.Order.Stop,
    OrderType.STOP_LIMIT: bt.Order.StopLimit,
    OrderType.TRAIL: bt.Order.StopTrail,
    OrderType.TRAIL_LIMIT: bt.Order.StopTrailLimit,
    OrderType.MARKET_ON_CLOSE: bt.Order.Close,
    OrderType.LIMIT_ON_CLOSE: bt.Order.Limit,
}


def adopt_positions(theirs: Any, broker: Any, datas: Sequence[Any]) -> None:
    """Make an open trade of each position, so that the trade that closes it is heard as closed."""
    for data in datas:
        position = broker.getposition(data)
        if not position.size:
            continue
        trade = bt.Trade(
            data=data, tradeid=0, size=position.size, price=position.price, historyon=theirs._tradehistoryon
        )
        trade.value = broker.getcommissioninfo(data).getvaluesize(position.size, position.price)
        trade.long = position.size > 0
        trade.isopen, trade.isclosed, trade.justopened = True, False, False
        trade.baropen, trade.dtopen, trade.status = 0, 0.0, trade.Open
        theirs._trades[data][0].append(trade)


def adopt_orders(theirs: Any, broker: Any, desk: Desk, datas: Mapping[str, Any]) -> None:
    """Make an order of each that still works; the strategy is told of it as accepted, or as filled in part."""
    for number in desk.book.working():
        request = desk.book.requests[number - 1]
        data = datas.get(request.symbol)
        if data is not None:
            order = _order_of(theirs, data, request)
            broker.adopt(number, request, order)
            row = desk.book.state.orders[number - 1]
            if row["filled"]:
                _execute(order, float(row["filled"]), float(row["value"]), float(row["fee"]), request.side)
            if OrderStatus(int(row["status"])) is OrderStatus.PARTIALLY_FILLED:
                order.partial()
            broker.notify(order)


def _order_of(theirs: Any, data: Any, request: OrderRequest) -> Any:
    kind = bt.order.BuyOrder if request.side is Side.BUY else bt.order.SellOrder
    limit = _known(request.limit_price)
    stop = _known(request.stop_price)
    order = kind(
        owner=theirs, data=data, size=plain(request.quantity), price=limit if stop is None else stop,
        pricelimit=limit if stop is not None else None, exectype=_EXECTYPES[request.type], simulated=True,
        trailamount=None if request.trail_is_fraction else _known(request.trail),
        trailpercent=_known(request.trail) if request.trail_is_fraction else None,
    )  # fmt: skip
    order.p.simulated = False  # it only said that there is no bar yet to take a price from
    return order


def _known(price: float) -> float | None:
    return None if math.isnan(price) else price


def _execute(order: Any, filled: float, value: float, fee: float, side: Side) -> None:
    """What was executed before, as one execution that opened all of it: what it closed is not known any more."""
    size = plain(filled if side is Side.BUY else -filled)
    order.execute(0.0, size, value / filled, 0, 0.0, 0.0, size, value, fee, None, 0.0, 0, 0.0)
    order.executed.markpending()
    order.executed.markpending()
