"""The life of orders at TWS, message by message: each fill counts once, with what it cost, and corrections replace it."""

from __future__ import annotations

import math

import msgspec
import pytest

from brokers.ib import commands as c
from brokers.ib import records as r
from brokers.ib.events import (
    Charged,
    Executed,
    FeeKnown,
    FillCorrected,
    Notice,
    OrderChanged,
    OrderFilled,
)
from brokers.ib.orders import Entry
from papertape.core.model import OrderStatus
from tests.brokers.ib.linked import Linked, contract, request

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
    assert now(entry) is Status.FILLED
    assert linked.ib.orders.working() == []
    assert linked.ib.orders.positions == {0: 10.0}


def test_statuses_that_are_missing_or_repeated_change_no_fill() -> None:
    linked = ready()
    entry = linked.working_order()
    execution, _, state, fee = linked.tws.fill(entry.order_id, 10.0)
    linked.tell(state, state, state, execution, execution, fee, fee, state)
    assert linked.fills == [(10.0, 10.0, 1.0)]
    assert now(entry) is Status.FILLED


def test_a_status_that_tells_of_fills_has_their_executions_asked_for() -> None:
    linked = ready()
    entry = linked.working_order()
    state = linked.tws.fill(entry.order_id, 10.0)[2]
    linked.tell(state)
    assert now(entry) is not Status.FILLED
    asked = len(linked.sent_of(c.AskExecutions))
    linked.wait(3)
    assert len(linked.sent_of(c.AskExecutions)) == asked + 1
    assert linked.fills == [(10.0, 10.0, 1.0)]
    assert now(entry) is Status.FILLED


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
    assert now(entry) is Status.FILLED


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
    strange = msgspec.structs.replace(
        bare, exec_id="0000e0d5.7.01.01", perm_id=5, order_id=entry.order_id, client_id=99
    )
    linked.tell(strange)
    assert linked.ib.orders.positions == {0: 4.0}


def test_what_another_account_of_the_login_does_is_not_this_accounts() -> None:
    linked = ready()
    entry = linked.working_order()
    execution = linked.tws.fill(entry.order_id, 4.0)[0]
    assert isinstance(execution, r.Execution)
    terms = r.OrderRecord(action="BUY", quantity=5.0, type="MKT", perm_id=70, account="DU2")
    linked.tell(
        msgspec.structs.replace(execution, account="DU2", order_ref="somebody", perm_id=5, order_id=0),
        r.OpenOrder(0, contract("BBB"), terms, "Submitted"),
    )
    assert (linked.happened(Executed), linked.ib.account.expected, linked.ib.orders.foreign) == ([], {}, {})
    linked.tell(r.OpenOrder(0, contract("BBB"), msgspec.structs.replace(terms, account="DU1"), "Submitted"), execution)
    assert list(linked.ib.orders.foreign) == [70]
    assert linked.ib.account.expected == {101: 4.0}


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
    assert now(entry) is Status.FILLED


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


def test_a_commission_of_a_fill_that_was_corrected_since_changes_nothing() -> None:
    linked = ready()
    entry = linked.working_order()
    first = linked.tws.fill(entry.order_id, 10.0, 10.0, fee=3.0)
    linked.tell(*first, *linked.tws.correct(0, 10.0, 10.25, fee=1.1), first[-1])
    assert sum(each.amount for each in linked.happened(Charged)) == pytest.approx(1.1)
    assert [each.fee for each in linked.happened(FeeKnown)] == [1.1]


def test_a_correction_costs_what_its_fill_did_until_tws_says_otherwise() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(*linked.tws.fill(entry.order_id, 10.0, 10.0, fee=3.0))
    correction, fee = linked.tws.correct(0, 10.0, 10.25, fee=3.0)
    linked.tell(correction, fee)
    assert linked.happened(FeeKnown) == []
    assert [each.amount for each in linked.happened(Charged)] == [3.0]


def test_a_change_of_an_order_that_tws_has_raises_no_doubt_about_its_arrival() -> None:
    linked = ready()
    linked.working_order(limit_price=9.0)
    linked.ib.orders.modify(1, request(limit_price=9.5))
    linked.settle()
    asked = len(linked.sent_of(c.AskPositions))
    linked.wait(40)
    assert len(linked.sent_of(c.AskPositions)) == asked
