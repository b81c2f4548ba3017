"""Orders over breaks of the connection: unknown is not failed, nothing is sent twice, and what TWS says then is true."""

from __future__ import annotations

import pytest

from brokers.ib import commands as c
from brokers.ib import records as r
from brokers.ib.events import (
    Mismatch,
    OrderAmended,
    OrderChanged,
)
from brokers.ib.orders import Entry
from papertape.core.model import OrderStatus, OrderType, Side, TimeInForce
from tests.brokers.ib.linked import Linked, contract, request

Status = OrderStatus


def ready() -> Linked:
    linked = Linked()
    linked.connect()
    return linked


def now(entry: Entry) -> OrderStatus:
    """Status of an order as it is now."""
    return entry.status


# -- breaks ---------------------------------------------------------------------------------------------------


def test_time_out_while_sending_makes_the_order_unknown_and_not_failed() -> None:
    linked = ready()
    entry = linked.order()
    linked.break_off("TWS took no request for 5 s; the state of the last is unknown")
    assert now(entry) is Status.UNKNOWN
    assert linked.ib.orders.working() == [entry]
    linked.come_back()
    assert now(entry) is Status.SUBMITTED
    assert len(linked.sent_of(c.PlaceOrder)) == 1


def test_crash_between_journal_and_send_never_sends_again_before_or_after_everything_was_asked() -> None:
    linked = Linked()
    entry = linked.ib.orders.admit(1, request())  # as a resumed run finds it in its journal
    entry.is_sent = True
    linked.connect()
    linked.wait(4)
    assert linked.sent_of(c.PlaceOrder) == []
    assert now(entry) is Status.REJECTED
    assert linked.happened(OrderChanged)[-1].text == "it never reached TWS"


def test_crash_between_send_and_acknowledgement_finds_the_order_open() -> None:
    linked = Linked()
    entry = linked.ib.orders.admit(1, request(limit_price=9.0), order_id=5)
    entry.is_sent = True
    linked.tws.place(c.PlaceOrder(5, contract(), entry.terms))
    linked.connect()
    assert now(entry) is Status.SUBMITTED
    assert linked.sent_of(c.PlaceOrder) == []


def test_an_order_that_had_not_left_when_the_connection_broke_never_did() -> None:
    linked = ready()
    entry = linked.ib.orders.admit(1, request())
    linked.ib.orders.send(entry)
    linked.break_off()
    linked.events += linked.ib.take_events()
    assert now(entry) is Status.REJECTED
    linked.come_back()
    assert linked.sent_of(c.PlaceOrder) == []


def test_a_parent_whose_exits_had_not_left_is_cancelled_after_the_break() -> None:
    linked = ready()
    parent = linked.ib.orders.admit(1, request(limit_price=9.0), transmit=False)
    linked.ib.orders.send(parent)
    linked.settle()
    child = linked.ib.orders.admit(2, request(Side.SELL, type=OrderType.STOP, stop_price=8.0, parent=1), transmit=True)
    linked.ib.orders.send(child)
    linked.break_off()
    assert now(child) is Status.REJECTED
    linked.come_back()
    assert [each.order_id for each in linked.sent_of(c.CancelOrder)] == [parent.order_id]


def test_a_cancel_that_could_not_be_sent_is_sent_after_the_break() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    linked.break_off()
    assert linked.ib.orders.cancel(1)
    assert linked.sent_of(c.CancelOrder) == []
    linked.come_back()
    assert [each.order_id for each in linked.sent_of(c.CancelOrder)] == [entry.order_id]


def test_a_cancel_that_a_break_may_have_swallowed_is_sent_again() -> None:
    linked = ready()
    linked.working_order(limit_price=9.0)
    linked.ib.orders.cancel(1)
    linked.settle()
    linked.break_off()
    linked.come_back()
    assert len(linked.sent_of(c.CancelOrder)) == 2


def test_an_order_that_ended_inside_a_break_ends_by_the_completed_orders() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    linked.break_off()
    linked.tws.orders[entry.order_id].status = "Cancelled"
    linked.come_back()
    assert now(entry) is Status.CANCELLED
    assert linked.ib.is_ready


def test_an_acknowledged_order_that_tws_no_longer_knows_halts() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    linked.break_off()
    linked.tws.forgets.add(entry.order_id)
    linked.come_back()
    assert linked.happened(Mismatch)[0].rows == (("order 1 (pt-run1-1)", "unknown", "unknown to TWS"),)
    assert now(entry) is Status.UNKNOWN


def test_a_completed_order_that_filled_more_than_its_executions_halts() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    linked.break_off()
    linked.tws.fill(entry.order_id, 10.0)
    linked.tws.executions.clear()
    linked.tws.positions.clear()
    linked.come_back()
    assert "executions that it does not tell" in linked.happened(Mismatch)[0].rows[0][2]


def test_an_order_of_which_nothing_is_heard_is_asked_about() -> None:
    linked = ready()
    linked.takes_orders = False
    entry = linked.order()
    linked.wait(9)
    assert now(entry) is Status.PENDING_SUBMIT
    linked.wait(8)
    assert now(entry) is Status.REJECTED
    assert linked.ib.is_ready


def test_orders_that_wait_for_the_rate_are_not_taken_for_lost() -> None:
    linked = Linked(messages_per_s=2)
    linked.connect()
    linked.wait(10)
    for number in range(1, 61):
        linked.ib.orders.send(linked.ib.orders.admit(number, request(limit_price=9.0)))
    sent = len(linked.sent_of(c.PlaceOrder))
    for _ in range(80):
        linked.wait(0.5)
        for placed in linked.tws.orders.values():
            linked.tell(placed.open_order())
    assert len(linked.sent_of(c.PlaceOrder)) == sent + 60
    assert all(each.status is Status.SUBMITTED for each in linked.ib.orders.working())
    assert len(linked.ib.orders.working()) == 60


def test_a_cancel_that_tws_did_not_hear_while_it_had_lost_the_exchange_is_asked_again() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    linked.tell(r.ErrorMessage(-1, 1100, "lost"))
    linked.ib.orders.cancel(1)
    linked.settle()
    linked.tell(r.ErrorMessage(-1, 1102, "restored"))
    linked.settle()
    assert [each.order_id for each in linked.sent_of(c.CancelOrder)] == [entry.order_id] * 2
    linked.tws.orders[entry.order_id].status = "PendingCancel"
    linked.tell(r.ErrorMessage(-1, 1102, "restored"))
    linked.settle()
    assert len(linked.sent_of(c.CancelOrder)) == 2


@pytest.mark.parametrize(
    ("tif", "filled", "ends"),
    [
        (TimeInForce.DAY, 0.0, Status.REJECTED),
        (TimeInForce.DAY, 4.0, Status.CANCELLED),
        (TimeInForce.FOK, 0.0, Status.CANCELLED),
    ],
)
def test_an_order_that_tws_lists_as_completed_and_inactive_was_rejected_unless_something_filled(
    tif: TimeInForce, filled: float, ends: OrderStatus
) -> None:
    linked = ready()
    entry = linked.order(tif=tif, limit_price=9.0)
    linked.break_off()
    if filled:
        linked.tws.fill(entry.order_id, filled)
    linked.tws.orders[entry.order_id].status = "Inactive"
    linked.come_back()
    told = linked.happened(OrderChanged)[-1]
    assert (told.status, told.text) == (ends, "Inactive")
    assert linked.ib.is_ready


@pytest.mark.parametrize(("is_acknowledged", "ends"), [(False, Status.REJECTED), (True, Status.EXPIRED)])
def test_an_order_for_a_day_that_is_over_expired_only_if_tws_ever_had_it(is_acknowledged: bool, ends: Status) -> None:
    linked = ready()
    entry = linked.order(limit_price=9.0)
    entry.day_end = linked.now + 1
    if is_acknowledged:
        linked.tell(linked.tws.orders[entry.order_id].open_order())
    linked.break_off()
    linked.tws.forgets.add(entry.order_id)
    linked.come_back()
    assert now(entry) is ends
    assert linked.ib.is_ready


def test_a_cancelled_order_of_which_a_fill_was_busted_is_explained_by_both() -> None:
    linked = ready()
    entry = linked.working_order(quantity=20.0)
    linked.tell(*linked.tws.fill(entry.order_id, 10.0))
    linked.tell(*linked.tws.correct(0, 0.0, 0.0, fee=0.0))
    linked.break_off()
    linked.tws.orders[entry.order_id].status = "Cancelled"  # 10 filled, says TWS of it
    linked.come_back()
    assert now(entry) is Status.CANCELLED
    assert linked.ib.is_ready


def test_a_change_that_had_not_left_when_the_connection_broke_is_taken_back_at_once() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    linked.ib.orders.modify(1, request(limit_price=9.5))
    linked.break_off()
    assert linked.happened(OrderAmended)[-1].text == "the connection was lost before the change was sent"
    assert entry.change is None
    assert now(entry) is Status.UNKNOWN
    linked.come_back()
    assert linked.tws.orders[entry.order_id].order.limit_price == 9.0
