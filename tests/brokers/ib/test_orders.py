"""The life of orders at TWS, whatever messages come, in whichever order: each fill counts once, nothing is sent twice."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.ib import commands as c
from brokers.ib import records as r
from brokers.ib.events import (
    Charged,
    Executed,
    FeeKnown,
    FillCorrected,
    Mismatch,
    Notice,
    OrderAmended,
    OrderChanged,
    OrderFilled,
)
from brokers.ib.orders import Entry
from brokers.ib.records import Record
from papertape.core.model import OrderStatus, OrderType, Side, TimeInForce
from tests.brokers.ib.linked import Linked, contract, request

Status = OrderStatus


def ready() -> Linked:
    linked = Linked()
    linked.connect()
    return linked


def statuses(linked: Linked, number: int = 1) -> list[OrderStatus]:
    return [each.status for each in linked.happened(OrderChanged) if each.number == number]


def halts(linked: Linked) -> list[str]:
    return [each.text for each in linked.happened(Notice) if each.halts]


def error(entry: Entry, code: int, text: str = "text") -> r.ErrorMessage:
    return r.ErrorMessage(entry.order_id, code, text)


# -- a plain life ---------------------------------------------------------------------------------------------


def test_an_order_is_marked_with_its_run_and_number_and_sent_once() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    (sent,) = linked.sent_of(c.PlaceOrder)
    assert (sent.order.order_ref, sent.order_id) == ("pt-run1-1", entry.order_id)
    assert statuses(linked) == [Status.SUBMITTED]
    with pytest.raises(AssertionError):
        linked.ib.orders.send(entry)
    with pytest.raises(AssertionError):
        linked.ib.orders.admit(1, request())


@pytest.mark.parametrize("first", ["PreSubmitted", "Submitted"])
def test_the_recorded_order_of_messages_fills_once_with_its_fee(first: str) -> None:
    linked = ready()
    entry = linked.order()
    placed = linked.tws.orders[entry.order_id]
    placed.status = first
    linked.tell(placed.open_order(), placed.state())
    linked.tell(*linked.tws.fill(entry.order_id, 10.0, 10.5, 0.7))
    assert statuses(linked) == [Status.SUBMITTED]
    assert linked.fills == [(10.0, 10.5, 0.7)]
    assert entry.status is Status.FILLED
    assert linked.ib.orders.working() == []
    assert linked.ib.orders.positions == {0: 10.0}


def test_statuses_that_are_missing_or_repeated_change_no_fill() -> None:
    linked = ready()
    entry = linked.working_order()
    execution, _, state, fee = linked.tws.fill(entry.order_id, 10.0)
    linked.tell(state, state, state, execution, execution, fee, fee, state)
    assert linked.fills == [(10.0, 10.0, 1.0)]
    assert entry.status is Status.FILLED


def test_a_status_that_tells_of_fills_has_their_executions_asked_for() -> None:
    linked = ready()
    entry = linked.working_order()
    state = linked.tws.fill(entry.order_id, 10.0)[2]
    linked.tell(state)
    assert entry.status is not Status.FILLED
    asked = len(linked.sent_of(c.AskExecutions))
    linked.wait(3)
    assert len(linked.sent_of(c.AskExecutions)) == asked + 1
    assert linked.fills == [(10.0, 10.0, 1.0)]
    assert entry.status is Status.FILLED


def test_fills_that_tws_claims_and_never_tells_stop_new_orders() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tws.orders[entry.order_id].filled = 4.0
    linked.tell(linked.tws.orders[entry.order_id].state())
    linked.wait(12)
    assert halts(linked) == ["order 1: TWS says that 4 filled, and tells executions of 0"]


def test_an_execution_before_the_open_order_belongs_to_it_by_its_reference() -> None:
    linked = ready()
    entry = linked.order()
    placed = linked.tws.orders[entry.order_id]
    messages = linked.tws.fill(entry.order_id, 10.0)
    linked.tell(messages[0], messages[3], placed.open_order(), placed.state())
    assert linked.fills == [(10.0, 10.0, 1.0)]
    assert entry.status is Status.FILLED


def test_an_execution_under_an_unknown_order_id_is_never_made_an_order_of_ours() -> None:
    linked = ready()
    entry = linked.working_order()
    execution = linked.tws.fill(entry.order_id, 4.0)[0]
    assert isinstance(execution, r.Execution)
    other = msgspec.structs.replace(
        execution, exec_id="0000e0d5.99999999.01.01", order_id=4_711, perm_id=5, client_id=3, order_ref="somebody"
    )
    linked.tell(other)
    assert linked.fills == []
    assert linked.ib.orders.positions == {}
    assert [each.number for each in linked.happened(Executed)] == [0]


def test_an_execution_without_reference_is_ours_by_its_permanent_id_and_not_by_a_strangers_order_id() -> None:
    linked = ready()
    entry = linked.working_order()
    execution = linked.tws.fill(entry.order_id, 4.0)[0]
    assert isinstance(execution, r.Execution)
    bare = msgspec.structs.replace(execution, order_ref="", order_id=0)
    linked.tell(bare)
    strange = msgspec.structs.replace(bare, exec_id="0000e0d5.7.01.01", perm_id=5, order_id=entry.order_id, client_id=99)
    linked.tell(strange)
    assert linked.ib.orders.positions == {0: 4.0}


# -- what it costs --------------------------------------------------------------------------------------------


def test_a_commission_before_its_execution_is_joined_to_it() -> None:
    linked = ready()
    entry = linked.working_order()
    execution, _, _, fee = linked.tws.fill(entry.order_id, 10.0, fee=1.25)
    linked.tell(fee)
    assert linked.fills == []
    linked.tell(execution)
    assert linked.fills == [(10.0, 10.0, 1.25)]
    assert [each.amount for each in linked.happened(Charged)] == [1.25]


def test_a_commission_that_never_comes_holds_a_fill_back_for_half_a_second_and_no_longer() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(linked.tws.fill(entry.order_id, 10.0)[0])
    assert linked.fills == []
    assert linked.ib.orders.positions == {0: 10.0}  # the account's guard knows at once
    assert linked.ib.orders.working_quantities(0) == (0.0, 0.0)
    linked.wait(0.4, 0.1)
    assert linked.fills == []
    linked.wait(0.2, 0.1)
    ((quantity, _, fee),) = linked.fills
    assert quantity == 10.0
    assert math.isnan(fee)
    assert entry.status is Status.FILLED


def test_a_commission_that_comes_late_corrects_what_was_told() -> None:
    linked = ready()
    entry = linked.working_order()
    execution, _, _, fee = linked.tws.fill(entry.order_id, 10.0, fee=1.25)
    linked.tell(execution)
    linked.wait(1)
    linked.tell(fee, fee)
    assert [(each.exec_id, each.fee) for each in linked.happened(FeeKnown)] == [(execution.exec_id, 1.25)]  # type: ignore[union-attr]
    assert [each.amount for each in linked.happened(Charged)] == [1.25]


def test_a_commission_that_tws_does_not_know_yet_is_not_zero() -> None:
    linked = ready()
    entry = linked.working_order()
    execution = linked.tws.fill(entry.order_id, 10.0)[0]
    assert isinstance(execution, r.Execution)
    linked.tell(execution, r.Commission(execution.exec_id, math.nan, "USD"))
    assert linked.fills == []
    assert linked.happened(Charged) == []


def test_commissions_that_no_execution_ever_claims_are_bounded() -> None:
    linked = ready()
    for n in range(3_000):
        linked.tell(r.Commission(f"0000.{n}.01.01", 1.0, "USD"))
    assert len(linked.ib.orders.fills._early) == 1_000


# -- corrections ----------------------------------------------------------------------------------------------


def test_execution_01_then_02_replaces_and_is_not_added() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(*linked.tws.fill(entry.order_id, 10.0, 10.0))
    linked.tell(*linked.tws.correct(0, 10.0, 10.25, fee=1.1))
    assert linked.fills == [(10.0, 10.0, 1.0)]
    (correction,) = linked.happened(FillCorrected)
    assert (correction.quantity, correction.price, correction.old_price) == (10.0, 10.25, 10.0)
    assert [each.fee for each in linked.happened(FeeKnown)] == [1.1]
    assert linked.ib.orders.positions == {0: 10.0}
    moved = [(each.signed_quantity, each.price) for each in linked.happened(Executed)]
    assert moved == [(10.0, 10.0), (-10.0, 10.0), (10.0, 10.25)]
    assert sum(each.amount for each in linked.happened(Charged)) == pytest.approx(1.1)


def test_execution_02_alone_and_then_01_counts_the_correction_only() -> None:
    linked = ready()
    entry = linked.working_order()
    first = linked.tws.fill(entry.order_id, 10.0, 10.0)
    second = linked.tws.correct(0, 10.0, 10.25)
    linked.tell(*second, *first)
    assert linked.fills == [(10.0, 10.25, 1.0)]
    assert linked.happened(FillCorrected) == []
    assert linked.ib.orders.positions == {0: 10.0}


def test_a_bust_takes_the_fill_back() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(*linked.tws.fill(entry.order_id, 10.0))
    linked.tell(*linked.tws.correct(0, 0.0, 0.0, fee=0.0))
    assert linked.ib.orders.positions == {}
    assert linked.happened(FillCorrected)[0].quantity == 0.0
    assert sum(each.amount for each in linked.happened(Charged)) == 0.0
    linked.wait(12)
    assert halts(linked) == []


def test_a_correction_of_a_fill_that_waits_for_its_fee_tells_both_in_order() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(linked.tws.fill(entry.order_id, 10.0, 10.0)[0])
    linked.tell(linked.tws.correct(0, 10.0, 11.0)[0])
    assert [type(each) for each in linked.events if isinstance(each, OrderFilled | FillCorrected)] == [
        OrderFilled, FillCorrected,
    ]  # fmt: skip
    linked.wait(2)
    assert len(linked.fills) == 1


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
    assert entry.status is Status.SUBMITTED
    assert linked.ib.is_ready
    assert [each.text for each in linked.happened(Notice)] == ["order 1: a warning"]


def test_a_code_in_no_table_about_an_order_halts_and_leaves_the_order_as_it_is() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(error(entry, 55_555, "something new"))
    assert entry.status is Status.SUBMITTED
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
    assert entry.status is Status.FILLED


def test_103_again_and_again_ends_in_a_rejection() -> None:
    linked = ready()
    linked.takes_orders = False
    entry = linked.order()
    for _ in range(20):
        if entry.status.is_final:
            break
        linked.tell(error(entry, 103, "Duplicate order id"))
        linked.settle()
    assert entry.status is Status.REJECTED
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
    assert entry.status is Status.FILLED
    assert linked.fills == [(10.0, 10.0, 1.0)]


def test_10148_of_a_cancelled_order_resolves_into_its_end() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.ib.orders.cancel(1)
    linked.tell(error(entry, 10_148, "OrderId 1 that needs to be cancelled cannot be cancelled, state: Cancelled."))
    assert entry.status is Status.CANCELLED


def test_10147_of_an_order_that_never_arrived_resolves_into_that() -> None:
    linked = ready()
    linked.takes_orders = False
    entry = linked.order()
    linked.ib.orders.cancel(1)
    linked.settle()
    linked.tell(error(entry, 10_147, "OrderId 1 that needs to be cancelled is not found."))
    linked.wait(8)
    assert entry.status is Status.REJECTED
    assert statuses(linked)[-1] is Status.REJECTED
    assert linked.ib.is_ready


def test_161_leaves_an_order_working_that_could_not_be_cancelled() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.ib.orders.cancel(1)
    linked.tell(error(entry, 161, "Cancel attempted when order is not in a cancellable state."))
    assert linked.happened(OrderChanged)[-1].is_cancel_refused
    linked.wait(8)
    assert entry.status is Status.SUBMITTED
    assert linked.ib.orders.cancel(1)


def test_a_fill_that_crosses_the_cancel_counts() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.ib.orders.cancel(1)
    linked.tell(error(entry, 202, "Order Canceled"))
    assert entry.status is Status.CANCELLED
    linked.tell(*linked.tws.fill(entry.order_id, 10.0))
    assert linked.ib.orders.positions == {0: 10.0}
    assert linked.fills == [(10.0, 10.0, 1.0)]
    assert entry.status is Status.FILLED
    assert halts(linked) == []


@pytest.mark.parametrize("tif", [TimeInForce.FOK, TimeInForce.IOC])
def test_inactive_of_a_fill_or_kill_is_a_cancel(tif: TimeInForce) -> None:
    linked = ready()
    entry = linked.order(tif=tif, limit_price=9.0)
    placed = linked.tws.orders[entry.order_id]
    placed.status = "Inactive"
    linked.tell(placed.open_order(), placed.state())
    assert entry.status is Status.CANCELLED


def test_a_status_that_contradicts_an_end_is_asked_about_and_a_late_one_halts_nothing() -> None:
    linked = ready()
    entry = linked.working_order()
    late = linked.tws.orders[entry.order_id].state()
    linked.ib.orders.cancel(1)
    linked.tws.orders[entry.order_id].status = "Cancelled"
    linked.tell(linked.tws.orders[entry.order_id].state(), late)
    linked.wait(8)
    assert entry.status is Status.CANCELLED
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
    assert entry.status is Status.SUBMITTED
    assert (entry.request.quantity, entry.request.limit_price) == (10.0, 9.0)
    assert linked.happened(OrderAmended)[-1].request.quantity == 10.0
    linked.tell(*linked.tws.fill(entry.order_id, 5.0))
    assert entry.status is Status.PARTIALLY_FILLED
    linked.tell(*linked.tws.fill(entry.order_id, 5.0))
    assert entry.status is Status.FILLED


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
    linked.tell(first.open_order())
    assert linked.ib.orders.working_quantities(0) == (10.0, 0.0)


def test_what_a_group_takes_off_an_order_is_its_new_quantity() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0, group=1)
    placed = linked.tws.orders[entry.order_id]
    placed.order = msgspec.structs.replace(placed.order, quantity=6.0)
    linked.tell(placed.open_order())
    assert entry.request.quantity == 6.0
    linked.tell(*linked.tws.fill(entry.order_id, 6.0))
    assert entry.status is Status.FILLED


# -- breaks ---------------------------------------------------------------------------------------------------


def test_time_out_while_sending_makes_the_order_unknown_and_not_failed() -> None:
    linked = ready()
    entry = linked.order()
    linked.break_off("TWS took no request for 5 s; the state of the last is unknown")
    assert entry.status is Status.UNKNOWN
    assert linked.ib.orders.working() == [entry]
    linked.come_back()
    assert entry.status is Status.SUBMITTED
    assert len(linked.sent_of(c.PlaceOrder)) == 1


def test_crash_between_journal_and_send_never_sends_again_before_or_after_everything_was_asked() -> None:
    linked = Linked()
    entry = linked.ib.orders.admit(1, request())  # as a resumed run finds it in its journal
    entry.is_sent = True
    linked.connect()
    linked.wait(4)
    assert linked.sent_of(c.PlaceOrder) == []
    assert entry.status is Status.REJECTED
    assert linked.happened(OrderChanged)[-1].text == "it never reached TWS"


def test_crash_between_send_and_acknowledgement_finds_the_order_open() -> None:
    linked = Linked()
    entry = linked.ib.orders.admit(1, request(limit_price=9.0), order_id=5)
    entry.is_sent = True
    linked.tws.place(c.PlaceOrder(5, contract(), entry.terms))
    linked.connect()
    assert entry.status is Status.SUBMITTED
    assert linked.sent_of(c.PlaceOrder) == []


def test_an_order_that_had_not_left_when_the_connection_broke_never_did() -> None:
    linked = ready()
    entry = linked.ib.orders.admit(1, request())
    linked.ib.orders.send(entry)
    linked.break_off()
    linked.events += linked.ib.take_events()
    assert entry.status is Status.REJECTED
    linked.come_back()
    assert linked.sent_of(c.PlaceOrder) == []


def test_a_parent_whose_exits_had_not_left_is_cancelled_after_the_break() -> None:
    linked = ready()
    parent = linked.ib.orders.admit(1, request(limit_price=9.0), transmit=False)
    linked.ib.orders.send(parent)
    linked.settle()
    child = linked.ib.orders.admit(
        2, request(Side.SELL, type=OrderType.STOP, stop_price=8.0, parent=1), transmit=True
    )
    linked.ib.orders.send(child)
    linked.break_off()
    assert child.status is Status.REJECTED
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
    assert entry.status is Status.CANCELLED
    assert linked.ib.is_ready


def test_an_acknowledged_order_that_tws_no_longer_knows_halts() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    linked.break_off()
    linked.tws.forgets.add(entry.order_id)
    linked.come_back()
    assert linked.happened(Mismatch)[0].rows == (("order 1 (pt-run1-1)", "unknown", "unknown to TWS"),)
    assert entry.status is Status.UNKNOWN


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
    assert entry.status is Status.PENDING_SUBMIT
    linked.wait(8)
    assert entry.status is Status.REJECTED
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


# -- sums -----------------------------------------------------------------------------------------------------

lives = st.lists(
    st.tuples(
        st.sampled_from(["give", "fill", "cancel", "end", "change"]),
        st.integers(0, 9),
        st.integers(1, 30),
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(0, 2),
    ),
    max_size=40,
)


@given(steps=lives)
def test_running_sums_of_what_works_are_what_adding_it_up_gives(steps: list[tuple[str, int, int, Side, int]]) -> None:
    linked = ready()
    for what, k, quantity, side, group in steps:
        working = linked.ib.orders.working()
        if what == "give":
            number = len(linked.ib.orders.entries) + 1
            parent = working[k % len(working)].number if working and k > 7 else 0
            linked.working_order(number, side=side, quantity=float(quantity), group=group, parent=parent, j=k % 2)
        elif working:
            entry = working[k % len(working)]
            placed = linked.tws.orders[entry.order_id]
            if what == "fill":
                linked.tell(*linked.tws.fill(entry.order_id, min(float(quantity), entry.remaining)))
            elif what == "end":
                placed.status = "Cancelled"
                linked.tell(placed.state())
            elif what == "change":
                changed = msgspec.structs.replace(entry.request, quantity=entry.filled + quantity)
                linked.ib.orders.modify(entry.number, changed)
                linked.settle()
                linked.tell(placed.open_order())
            else:
                linked.ib.orders.cancel(entry.number)
    for j, side in itertools.product((0, 1), (Side.BUY, Side.SELL)):
        plain = 0.0
        groups: dict[int, float] = {}
        for entry in linked.ib.orders.working():
            asked = entry.request
            parent_entry = linked.ib.orders.entries.get(asked.parent)
            waits = parent_entry is not None and not parent_entry.status.is_final
            if (asked.instrument, asked.side) != (j, side) or waits:
                continue
            if asked.group:
                groups[asked.group] = max(groups.get(asked.group, 0.0), entry.remaining)
            else:
                plain += entry.remaining
        told = linked.ib.orders.working_quantities(j)[0 if side is Side.BUY else 1]
        assert told == pytest.approx(plain + sum(groups.values()))


# -- any order of messages ------------------------------------------------------------------------------------


@st.composite
def happenings(draw: st.DrawFn) -> tuple[list[int], str, dict[str, float], int]:
    """(parts of the fill, how it ends, share of dropped and doubled statuses, seed of the shuffle)."""
    parts = draw(st.lists(st.integers(1, 5), max_size=4))
    end = draw(st.sampled_from(["filled", "cancelled", "open"]))
    return parts, end, {"drop": draw(st.floats(0, 0.8)), "double": draw(st.floats(0, 0.8))}, draw(st.integers(0, 2**32))


@given(case=happenings(), corrects=st.booleans(), breaks=st.booleans())
def test_any_order_of_messages_ends_in_the_same_fills_position_and_status(
    case: tuple[list[int], str, dict[str, float], int], corrects: bool, breaks: bool
) -> None:
    """Statuses may be lost, doubled and come in any order, executions be doubled and late, fees before or after.

    When TWS was asked about everything once (a break), all that is true is known, and each thing once.
    """
    parts, end, shares, seed = case
    linked = ready()
    quantity = float(sum(parts)) if end == "filled" and parts else float(sum(parts) + 3)
    entry = linked.order(quantity=quantity, side=Side.BUY, limit_price=20.0)
    placed = linked.tws.orders[entry.order_id]
    messages: list[Record] = [placed.open_order(), placed.state()]
    for k, part in enumerate(parts):
        messages += linked.tws.fill(entry.order_id, float(part), 10.0 + k, 0.5 + k)
    if corrects and parts:
        messages += linked.tws.correct(0, float(parts[0]), 9.0, 0.25)
    if end == "cancelled":
        linked.ib.orders.cancel(1)
        linked.settle()
        placed.status = "Cancelled"
        messages += [error(entry, 202, "Order Canceled"), placed.open_order(), placed.state()]
    rng = random.Random(seed)
    told: list[Record] = []
    for message in messages:
        is_status = isinstance(message, r.OpenOrder | r.OrderState | r.ErrorMessage)
        if is_status and rng.random() < shares["drop"]:
            continue
        told += [message] * (2 if rng.random() < shares["double"] else 1)
    rng.shuffle(told)
    for message in told:
        linked.tell(message)
        if rng.random() < 0.3:
            linked.wait(rng.choice([0.1, 0.7, 3.0]))
    if breaks:
        linked.break_off()
        linked.come_back()
    linked.wait(12)
    if not breaks:
        linked.break_off()
        linked.come_back()
    expected = sum(parts)
    assert linked.ib.orders.positions == ({0: float(expected)} if expected else {})
    moved = sum(each.signed_quantity for each in linked.happened(Executed))
    assert moved == expected
    assert sum(each.amount for each in linked.happened(Charged)) == pytest.approx(sum(linked.tws.fees.values()))
    latest = {each.exec_id: (each.quantity, each.price) for each in linked.happened(OrderFilled)}
    for each in linked.happened(FillCorrected):
        del latest[each.replaces]
        latest[each.exec_id] = (each.quantity, each.price)
    true = {each.exec_id: (each.quantity, each.price) for each in linked.tws.executions.values()}
    assert latest == true
    assert max(Counter(each.exec_id for each in linked.happened(OrderFilled)).values(), default=1) == 1
    assert entry.status is _final(end, parts)
    assert [each.order_id for each in linked.sent_of(c.PlaceOrder)] == [entry.order_id]
    assert halts(linked) == []
    assert linked.happened(Mismatch) == []


def _final(end: str, parts: list[int]) -> OrderStatus:
    if end == "filled" and parts:
        return Status.FILLED
    if end == "cancelled":
        return Status.CANCELLED
    return Status.PARTIALLY_FILLED if parts else Status.SUBMITTED


def test_thousands_of_orders_leave_nothing_behind_that_each_message_walks_over() -> None:
    linked = Linked(messages_per_s=0)
    linked.connect()
    for number in range(1, 5_001):
        entry = linked.ib.orders.admit(number, request(j=number % 3))
        linked.ib.orders.send(entry)
        (sent,) = linked.ib.take_commands(linked.now)
        linked.tws.place(sent)
        linked.tell(*linked.tws.fill(entry.order_id, 10.0))
    orders = linked.ib.orders
    assert len(orders.entries) == 5_000
    assert (orders.working(), orders._unheard, orders._searched, orders.fills._held, orders.told.open) == (
        [], {}, {}, {}, {},
    )  # fmt: skip
    assert sum(orders.positions.values()) == 50_000.0
