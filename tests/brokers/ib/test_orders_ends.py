"""How orders end at TWS: filled, cancelled, refused; what is refused or cancelled on its way is never sent again."""

from __future__ import annotations

import math

import msgspec
import pytest

from brokers.ib import commands as c
from brokers.ib import records as r
from brokers.ib.events import (
    Mismatch,
    Notice,
    OrderChanged,
)
from brokers.ib.orders import Entry
from papertape.core.model import OrderStatus, TimeInForce
from tests.brokers.ib.linked import Linked, request

Status = OrderStatus


def ready() -> Linked:
    linked = Linked()
    linked.connect()
    return linked


def statuses(linked: Linked, number: int = 1) -> list[OrderStatus]:
    return [each.status for each in linked.happened(OrderChanged) if each.number == number]


def now(entry: Entry) -> OrderStatus:
    """Status of an order as it is now."""
    return entry.status


def halts(linked: Linked) -> list[str]:
    return [each.text for each in linked.happened(Notice) if each.halts]


def error(entry: Entry, code: int, text: str = "text") -> r.ErrorMessage:
    return r.ErrorMessage(entry.order_id, code, text)


# -- the end of orders ----------------------------------------------------------------------------------------


def test_202_cancelled_ends_an_order_that_works() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    assert linked.ib.orders.cancel(1)
    assert not linked.ib.orders.cancel(1)
    linked.settle()
    assert [each.order_id for each in linked.sent_of(c.CancelOrder)] == [entry.order_id]
    placed = linked.tws.orders[entry.order_id]
    placed.status = "PendingCancel"
    linked.tell(placed.state())
    placed.status = "Cancelled"
    linked.tell(error(entry, 202, "Order Canceled - reason:"), placed.open_order(), placed.state())
    assert statuses(linked) == [Status.SUBMITTED, Status.PENDING_CANCEL, Status.CANCELLED]
    assert halts(linked) == []


@pytest.mark.parametrize("code", [201, 203, 10_289, 10_293, 321, 110])
def test_a_rejection_ends_the_order_with_what_tws_said(code: int) -> None:
    linked = ready()
    entry = linked.order()
    placed = linked.tws.orders[entry.order_id]
    placed.status = "Inactive"
    linked.tell(error(entry, code, "Order rejected - reason:no"), placed.open_order(), placed.state())
    assert statuses(linked) == [Status.REJECTED]
    assert linked.happened(OrderChanged)[0].text == f"{code}: Order rejected - reason:no"
    assert linked.ib.is_ready


@pytest.mark.parametrize("code", [10_349, 399, 404, 2_109])
def test_warnings_are_no_cancels(code: int) -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(error(entry, code, "a warning"))
    assert now(entry) is Status.SUBMITTED
    assert linked.ib.is_ready
    assert [each.text for each in linked.happened(Notice)] == ["order 1: a warning"]


def test_a_code_in_no_table_about_an_order_halts_and_leaves_the_order_as_it_is() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(error(entry, 55_555, "something new"))
    assert now(entry) is Status.SUBMITTED
    assert halts(linked) == ["order 1: something new"]


def test_103_duplicate_id_gives_the_order_another_one_and_it_works_once() -> None:
    linked = ready()
    linked.takes_orders = False
    entry = linked.order()
    first = entry.order_id
    linked.takes_orders = True
    linked.tell(error(entry, 103, "Duplicate order id"))
    linked.settle()
    assert entry.order_id > first
    assert [each.order_id for each in linked.sent_of(c.PlaceOrder)] == [first, entry.order_id]
    assert list(linked.tws.orders) == [entry.order_id]
    linked.tell(*linked.tws.fill(entry.order_id, 10.0))
    assert now(entry) is Status.FILLED


def test_103_again_and_again_ends_in_a_rejection() -> None:
    linked = ready()
    linked.takes_orders = False
    entry = linked.order()
    for _ in range(20):
        if entry.status.is_final:
            break
        linked.tell(error(entry, 103, "Duplicate order id"))
        linked.settle()
    assert now(entry) is Status.REJECTED
    assert len(linked.sent_of(c.PlaceOrder)) == 6


def test_103_about_an_order_that_tws_knows_is_never_sent_again() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(error(entry, 103, "Duplicate order id"))
    linked.settle()
    assert len(linked.sent_of(c.PlaceOrder)) == 1
    assert "which it knows" in halts(linked)[0]


def test_10148_of_a_filled_order_resolves_into_its_fills() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.ib.orders.cancel(1)
    linked.tws.fill(entry.order_id, 10.0)  # nothing of that was told
    linked.tell(error(entry, 10_148, "OrderId 1 that needs to be cancelled cannot be cancelled, state: Filled."))
    linked.wait(3)
    assert now(entry) is Status.FILLED
    assert linked.fills == [(10.0, 10.0, 1.0)]


def test_10148_of_a_cancelled_order_resolves_into_its_end() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.ib.orders.cancel(1)
    linked.tell(error(entry, 10_148, "OrderId 1 that needs to be cancelled cannot be cancelled, state: Cancelled."))
    assert now(entry) is Status.CANCELLED


def test_10147_of_an_order_that_never_arrived_resolves_into_that() -> None:
    linked = ready()
    linked.takes_orders = False
    entry = linked.order()
    linked.ib.orders.cancel(1)
    linked.settle()
    linked.tell(error(entry, 10_147, "OrderId 1 that needs to be cancelled is not found."))
    linked.wait(8)
    assert now(entry) is Status.REJECTED
    assert statuses(linked)[-1] is Status.REJECTED
    assert linked.ib.is_ready


def test_161_leaves_an_order_working_that_could_not_be_cancelled() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.ib.orders.cancel(1)
    linked.tell(error(entry, 161, "Cancel attempted when order is not in a cancellable state."))
    assert linked.happened(OrderChanged)[-1].is_cancel_refused
    linked.wait(8)
    assert now(entry) is Status.SUBMITTED
    assert linked.ib.orders.cancel(1)


def test_a_fill_that_crosses_the_cancel_counts() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.ib.orders.cancel(1)
    linked.tell(error(entry, 202, "Order Canceled"))
    assert now(entry) is Status.CANCELLED
    linked.tell(*linked.tws.fill(entry.order_id, 10.0))
    assert linked.ib.orders.positions == {0: 10.0}
    assert linked.fills == [(10.0, 10.0, 1.0)]
    assert now(entry) is Status.FILLED
    assert halts(linked) == []


@pytest.mark.parametrize("tif", [TimeInForce.FOK, TimeInForce.IOC])
def test_inactive_of_a_fill_or_kill_is_a_cancel(tif: TimeInForce) -> None:
    linked = ready()
    entry = linked.order(tif=tif, limit_price=9.0)
    placed = linked.tws.orders[entry.order_id]
    placed.status = "Inactive"
    linked.tell(placed.open_order(), placed.state())
    assert now(entry) is Status.CANCELLED


def test_a_status_that_contradicts_an_end_is_asked_about_and_a_late_one_halts_nothing() -> None:
    linked = ready()
    entry = linked.working_order()
    late = linked.tws.orders[entry.order_id].state()
    linked.ib.orders.cancel(1)
    linked.tws.orders[entry.order_id].status = "Cancelled"
    linked.tell(linked.tws.orders[entry.order_id].state(), late)
    linked.wait(8)
    assert now(entry) is Status.CANCELLED
    assert linked.ib.is_ready
    assert halts(linked) == []


def test_an_order_that_works_although_tws_had_called_it_rejected_is_cancelled_and_halts() -> None:
    linked = ready()
    entry = linked.order()
    linked.tell(error(entry, 201, "Order rejected - reason:no"))
    linked.tell(linked.tws.orders[entry.order_id].state())
    linked.wait(8)
    assert [each.order_id for each in linked.sent_of(c.CancelOrder)] == [entry.order_id]
    assert linked.happened(Mismatch)[0].rows == (("order 1 (pt-run1-1)", "rejected", "Submitted"),)
    assert not linked.ib.is_ready


def test_a_bust_that_is_heard_before_its_fill_ends_the_order_that_tws_calls_filled() -> None:
    linked = ready()
    entry = linked.working_order()
    state = linked.tws.fill(entry.order_id, 10.0)[2]
    linked.tell(*linked.tws.correct(0, 0.0, 0.0, fee=0.0), state)
    linked.wait(12)
    assert now(entry) is Status.FILLED
    assert linked.ib.orders.positions == {}
    assert (halts(linked), linked.ib.orders.working()) == ([], [])
    linked.tell(state)
    linked.wait(12)
    assert halts(linked) == []


def test_a_fill_after_a_bust_is_asked_for_where_only_its_status_came_and_leaves_the_rest_working() -> None:
    linked = ready()
    entry = linked.working_order(quantity=20.0)
    linked.tell(*linked.tws.fill(entry.order_id, 10.0))
    linked.tell(*linked.tws.correct(0, 0.0, 0.0, fee=0.0))
    state = linked.tws.fill(entry.order_id, 5.0)[2]
    asked = len(linked.sent_of(c.AskExecutions))
    linked.tell(state)
    assert linked.ib.orders.working_quantities(0) == (10.0, 0.0)
    linked.wait(3)
    assert len(linked.sent_of(c.AskExecutions)) == asked + 1
    assert linked.ib.orders.positions == {0: 5.0}
    assert linked.ib.orders.working_quantities(0) == (5.0, 0.0)


def test_a_status_after_a_bust_that_came_before_its_fill_does_not_swallow_the_fill_that_it_tells_of() -> None:
    linked = ready()
    entry = linked.working_order(quantity=20.0)
    first = linked.tws.fill(entry.order_id, 10.0)[2]
    linked.tell(*linked.tws.correct(0, 0.0, 0.0, fee=0.0), first)
    execution, _, second, fee = linked.tws.fill(entry.order_id, 5.0)
    linked.tell(second, execution, fee)
    assert now(entry) is Status.PARTIALLY_FILLED
    assert linked.ib.orders.working_quantities(0) == (5.0, 0.0)
    assert linked.ib.orders.positions == {0: 5.0}


def test_103_about_an_order_whose_end_was_asked_for_is_not_sent_again() -> None:
    linked = ready()
    linked.takes_orders = False
    entry = linked.order()
    linked.ib.orders.cancel(1)
    linked.settle()
    linked.tell(error(entry, 103, "Duplicate order id"), error(entry, 10_147, "OrderId 1 is not found."))
    linked.settle()
    assert now(entry) is Status.CANCELLED
    assert len(linked.sent_of(c.PlaceOrder)) == 1
    assert (halts(linked), linked.ib.is_ready) == ([], True)


@pytest.mark.parametrize("codes", [(201, 103), (103, 103), (201, 201)])
def test_an_order_that_is_refused_while_a_change_of_it_is_on_its_way_is_never_sent_again(
    codes: tuple[int, ...],
) -> None:
    linked = ready()
    linked.takes_orders = False
    entry = linked.order(limit_price=9.0)
    linked.ib.orders.modify(1, request(limit_price=9.5))
    linked.settle()
    for code in codes:
        linked.tell(error(entry, code, "no"))
    linked.wait(8)
    assert now(entry) is Status.REJECTED
    assert len(linked.sent_of(c.PlaceOrder)) == 2
    assert (halts(linked), linked.ib.is_ready) == ([], True)


@pytest.mark.parametrize(("quantity", "price"), [(math.nan, 10.0), (10.0, math.nan), (-1.0, 10.0)])
def test_an_execution_without_a_quantity_or_a_price_halts_and_moves_nothing(quantity: float, price: float) -> None:
    linked = ready()
    entry = linked.working_order()
    execution = linked.tws.fill(entry.order_id, 10.0)[0]
    assert isinstance(execution, r.Execution)
    linked.tell(msgspec.structs.replace(execution, quantity=quantity, price=price))
    assert linked.ib.orders.positions == {}
    assert "tells execution" in halts(linked)[0]
    linked.tell(execution)
    assert linked.ib.orders.positions == {0: 10.0}


# -- what leaves ----------------------------------------------------------------------------------------------


def test_prices_that_were_put_on_the_price_step_are_said_of_orders_and_of_changes() -> None:
    linked = ready()
    linked.working_order(limit_price=9.123)
    linked.ib.orders.modify(1, request(limit_price=9.25))
    linked.ib.orders.modify(1, request(limit_price=9.257))
    said = [each.text for each in linked.happened(Notice)]
    assert said == ["order 1: limit 9.123 sent as 9.12, the price step of AAA"]
    linked.settle()
    assert linked.happened(Notice)[-1].text == "order 1: limit 9.257 sent as 9.25, the price step of AAA"
    for number in range(2, 40):
        linked.order(number, limit_price=9.123)
    said = [each.text for each in linked.happened(Notice)]
    assert len(said) == 20
    assert "not said any more" in said[-1]
