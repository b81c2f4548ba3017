"""What TWS shows of a working order's terms: a change that was asked for and taken, or one that TWS or a person made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from brokers.ib.order_entries import DUST, Entry
from brokers.ib.records import OrderRecord
from papertape.core.model import OrderType
from papertape.core.orders import OrderRequest

if TYPE_CHECKING:
    from brokers.ib.orders import IbOrders

_TRAILS = (OrderType.TRAIL, OrderType.TRAIL_LIMIT)


def compare(orders: IbOrders, entry: Entry, told: OrderRecord) -> None:
    """TWS shows a working order: what it shows is what it works on from now on.

    A change that is not shown yet is still on its way, also where its group took something off the order meanwhile:
    that would be undone by the change, which was made for the quantity before, so it is sent again for what is left.
    """
    if entry.change is None:
        if not _are_same(told, entry.terms):
            _take(orders, entry, entry.request, entry.terms, told)
        return
    request, terms = entry.change
    if _are_same(told, terms):
        entry.change = None
        _take(orders, entry, request, terms, told)
    elif _have_same_prices(told, entry.terms) and not _have_same_prices(terms, entry.terms):
        taken_off = entry.terms.quantity - told.quantity
        if abs(taken_off) > DUST:
            _take(orders, entry, entry.request, entry.terms, told)
        if taken_off > DUST and request.group and request.quantity - taken_off > entry.filled + DUST:
            orders.modify(entry.number, with_quantity(request, request.quantity - taken_off))
    elif not _are_same(told, entry.terms):  # taken otherwise than it was asked for
        entry.change = None
        _take(orders, entry, request, terms, told)


def with_quantity(request: OrderRequest, quantity: float) -> OrderRequest:
    """A request of another quantity; as it is where that is none."""
    return msgspec.structs.replace(request, quantity=quantity) if quantity > 0.0 else request


def _take(orders: IbOrders, entry: Entry, request: OrderRequest, terms: OrderRecord, told: OrderRecord) -> None:
    """The order works on what is told, where that differs from the terms that a request was sent as."""
    shown: dict[str, Any] = {}
    as_sent: dict[str, float] = {}
    for name, asked in (
        ("limit_price", "limit_price"),
        ("aux_price", "trail" if request.type in _TRAILS else "stop_price"),
        ("trailing_percent", "trail"),
        ("limit_offset", "stop_price"),
    ):
        value = getattr(told, name)
        if not _is_same(value, getattr(terms, name)):
            as_sent[name] = value
            shown[asked] = value / 100.0 if name == "trailing_percent" else value
    if told.quantity > 0.0:
        as_sent["quantity"] = shown["quantity"] = told.quantity
    entry.terms = msgspec.structs.replace(terms, **as_sent)
    orders.amend(entry, msgspec.structs.replace(request, **shown))


def _are_same(a: OrderRecord, b: OrderRecord) -> bool:
    """Whether two orders are of one quantity and of the same prices, as far as both name them."""
    return (_is_same(a.quantity, b.quantity) or not a.quantity > 0.0) and _have_same_prices(a, b)


def _have_same_prices(a: OrderRecord, b: OrderRecord) -> bool:
    names = ("limit_price", "aux_price", "trailing_percent", "limit_offset")
    return all(_is_same(getattr(a, name), getattr(b, name)) for name in names)


def _is_same(x: float, y: float) -> bool:
    return x != x or y != y or abs(x - y) <= DUST * max(1.0, abs(y))
