"""Changes of orders: they count when TWS shows them, and what is refused or lost leaves the order as it was."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from brokers.ib import commands as c
from brokers.ib import records as r
from brokers.ib.events import (
    OrderAmended,
)
from brokers.ib.orders import Entry
from papertape.core.model import OrderStatus, OrderType
from tests.brokers.ib.linked import Linked, request

Status = OrderStatus


def ready() -> Linked:
    linked = Linked()
    linked.connect()
    return linked


def now(entry: Entry) -> OrderStatus:
    """Status of an order as it is now."""
    return entry.status


def is_changing(entry: Entry) -> bool:
    """Whether a change of an order is on its way."""
    return entry.change is not None


def error(entry: Entry, code: int, text: str = "text") -> r.ErrorMessage:
    return r.ErrorMessage(entry.order_id, code, text)


# -- changes --------------------------------------------------------------------------------------------------


def test_a_change_counts_when_tws_shows_it() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    linked.ib.orders.modify(1, request(quantity=20.0, limit_price=9.5))
    old = linked.tws.orders[entry.order_id].open_order()
    linked.settle()
    linked.tell(old)
    assert entry.request.quantity == 10.0
    assert linked.ib.orders.working_quantities(0) == (20.0, 0.0)  # the guard counts the larger
    linked.tell(linked.tws.orders[entry.order_id].open_order())
    assert (entry.request.quantity, entry.request.limit_price) == (20.0, 9.5)
    (amended,) = linked.happened(OrderAmended)
    assert (amended.request.quantity, amended.text) == (20.0, "")


@pytest.mark.parametrize("code", [201, 104, 105, 2_102])
def test_a_change_that_is_refused_leaves_the_order_as_it_was(code: int) -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    linked.takes_orders = False
    linked.ib.orders.modify(1, request(quantity=5.0, limit_price=9.5))
    linked.settle()
    linked.tell(error(entry, code, "no"))
    linked.settle()
    assert now(entry) is Status.SUBMITTED
    assert (entry.request.quantity, entry.request.limit_price) == (10.0, 9.0)
    assert linked.happened(OrderAmended)[-1].request.quantity == 10.0
    linked.tell(*linked.tws.fill(entry.order_id, 5.0))
    assert now(entry) is Status.PARTIALLY_FILLED
    linked.tell(*linked.tws.fill(entry.order_id, 5.0))
    assert now(entry) is Status.FILLED


def test_a_change_that_a_break_swallowed_is_taken_back() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    linked.takes_orders = False
    linked.ib.orders.modify(1, request(quantity=5.0, limit_price=9.5))
    linked.settle()
    linked.break_off()
    linked.come_back()
    assert entry.change is None
    assert entry.request.quantity == 10.0
    assert linked.ib.is_ready


def test_a_change_that_fills_before_it_is_shown_ends_the_order() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    linked.ib.orders.modify(1, request(quantity=12.0, limit_price=11.0))
    linked.settle()
    execution, _, _, fee = linked.tws.fill(entry.order_id, 12.0)
    linked.tell(execution, fee)
    assert now(entry) is Status.FILLED
    assert linked.ib.orders.working() == []


def test_two_permanent_ids_under_one_reference_leave_only_the_last() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    first = linked.tws.orders[entry.order_id]
    linked.break_off()
    again = linked.tws.place(c.PlaceOrder(entry.order_id + 1, first.contract, first.order))
    assert again.perm_id != first.perm_id
    linked.come_back()
    assert [each.order_id for each in linked.sent_of(c.CancelOrder)] == [first.order_id]
    assert len(entry.perm_ids) == 2
    assert entry.order_id == again.order_id
    first.status = "Cancelled"
    linked.tell(first.open_order(), first.state())
    assert linked.ib.orders.working_quantities(0) == (10.0, 0.0)
    assert now(entry) is Status.SUBMITTED


def test_what_a_group_takes_off_an_order_is_its_new_quantity() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0, group=1)
    placed = linked.tws.orders[entry.order_id]
    placed.order = msgspec.structs.replace(placed.order, quantity=6.0)
    linked.tell(placed.open_order())
    assert entry.request.quantity == 6.0
    linked.tell(*linked.tws.fill(entry.order_id, 6.0))
    assert now(entry) is Status.FILLED


def test_a_group_that_takes_something_off_while_a_change_is_on_its_way_is_not_undone_by_it() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0, group=1)
    placed = linked.tws.orders[entry.order_id]
    linked.ib.orders.modify(1, request(limit_price=9.5, group=1))
    reduced = msgspec.structs.replace(placed.order, quantity=6.0)
    placed.order = reduced
    first = placed.open_order()  # TWS took 4 off before the change arrived, which puts them back
    linked.settle()
    assert placed.order.quantity == 10.0
    second = placed.open_order()
    linked.tell(first)
    assert (entry.request.quantity, entry.request.limit_price) == (6.0, 9.0)
    assert is_changing(entry)
    linked.settle()
    assert (placed.order.quantity, placed.order.limit_price) == (6.0, 9.5)
    linked.tell(second, placed.open_order())
    assert (entry.request.quantity, entry.request.limit_price) == (6.0, 9.5)
    assert not is_changing(entry)
    assert linked.ib.orders.working_quantities(0) == (6.0, 0.0)


def test_a_refused_change_of_an_order_that_its_group_made_smaller_leaves_the_smaller_order_at_its_price() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0, group=1)
    placed = linked.tws.orders[entry.order_id]
    linked.takes_orders = False
    linked.ib.orders.modify(1, request(limit_price=9.5, group=1))
    linked.settle()
    placed.order = msgspec.structs.replace(placed.order, quantity=6.0)
    linked.tell(placed.open_order(), error(entry, 201, "no"))
    linked.settle()
    assert entry.change is None
    assert (entry.request.quantity, entry.request.limit_price) == (6.0, 9.0)


def test_a_change_that_another_change_follows_at_once_ends_on_the_last_one_that_tws_shows() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    placed = linked.tws.orders[entry.order_id]
    linked.ib.orders.modify(1, request(limit_price=9.5))
    linked.settle()
    shown = placed.open_order()
    linked.takes_orders = False
    linked.ib.orders.modify(1, request(limit_price=9.7))
    linked.settle()
    linked.tell(shown)
    assert entry.request.limit_price == 9.5
    linked.tell(error(entry, 201, "no"))
    assert entry.request.limit_price == 9.5


@pytest.mark.parametrize(
    ("terms", "by_hand", "shows"),
    [
        ({"limit_price": 9.0}, {"limit_price": 8.5}, {"limit_price": 8.5}),
        ({"type": OrderType.STOP, "stop_price": 12.0}, {"aux_price": 12.5}, {"stop_price": 12.5}),
        ({"type": OrderType.TRAIL, "trail": 0.5}, {"aux_price": 0.75}, {"trail": 0.75}),
        (
            {"type": OrderType.TRAIL, "trail": 0.02, "trail_is_fraction": True},
            {"trailing_percent": 3.0},
            {"trail": 0.03},
        ),
        (
            {"type": OrderType.TRAIL_LIMIT, "trail": 0.5, "stop_price": 0.1},
            {"limit_offset": 0.2},
            {"stop_price": 0.2},
        ),
        ({"limit_price": 9.0}, {"quantity": 4.0}, {"quantity": 4.0, "limit_price": 9.0}),
    ],
)
def test_an_order_that_a_person_changes_in_tws_works_on_what_tws_shows(
    terms: dict[str, Any], by_hand: dict[str, float], shows: dict[str, float]
) -> None:
    linked = ready()
    entry = linked.working_order(**terms)
    placed = linked.tws.orders[entry.order_id]
    linked.tell(placed.open_order())
    assert linked.happened(OrderAmended) == []
    placed.order = msgspec.structs.replace(placed.order, **by_hand)
    linked.tell(placed.open_order(), placed.open_order())
    assert {name: getattr(entry.request, name) for name in shows} == pytest.approx(shows)
    (amended,) = linked.happened(OrderAmended)
    assert amended.request == entry.request


def test_a_changed_limit_offset_counts_when_tws_shows_it() -> None:
    linked = ready()
    entry = linked.working_order(type=OrderType.TRAIL_LIMIT, trail=0.5, stop_price=0.1)
    old = linked.tws.orders[entry.order_id].open_order()
    linked.ib.orders.modify(1, request(type=OrderType.TRAIL_LIMIT, trail=0.5, stop_price=0.2))
    linked.settle()
    linked.tell(old)
    assert entry.request.stop_price == 0.1
    linked.tell(linked.tws.orders[entry.order_id].open_order())
    assert entry.request.stop_price == 0.2


def test_a_change_is_not_sent_again_where_the_group_has_filled_what_it_asks_for() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0, group=1)
    placed = linked.tws.orders[entry.order_id]
    linked.takes_orders = False
    linked.ib.orders.modify(1, request(quantity=4.0, limit_price=9.5, group=1))
    linked.settle()
    sent = len(linked.sent_of(c.PlaceOrder))
    placed.order = msgspec.structs.replace(placed.order, quantity=5.0)
    linked.tell(placed.open_order())
    linked.settle()
    assert len(linked.sent_of(c.PlaceOrder)) == sent
