"""What a replay makes of a journal's entries, one by one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from brokers.ib.orders import IbOrders
from brokers.ib.records import CompletedOrder, Execution, OpenOrder
from brokers.ib.registry import Registry
from papertape.core.errors import DataError
from papertape.core.guard import GuardSettings
from papertape.core.model import Instrument, OrderStatus, Side
from papertape.core.orders import OrderRequest
from papertape.live import entries, resume
from papertape.live.assembly import LiveRun, make_run
from papertape.live.entries import Armed, Began, Entry, Flowed, Intended, Known, Peak, Refusal, Tripped
from papertape.live.journal import FILE_NAME, Journal
from papertape.live.settings import Address, LiveSettings
from papertape.live.supervisor import Thresholds
from tests.live.kill_rig import ACCOUNT, START
from tests.live.killed_run import Busy

NOWHERE = Address("127.0.0.1", 1)
SETTINGS = LiveSettings(in_lockstep=True, guard=GuardSettings(max_drawdown=0.1))
AAA = Known(0, "AAA", "STK", "USD", "SMART", 0.01, 1.0, 7)
GUARDS = 1_000_000_000


def began(start: float = 1_000.0, floor: float = -math.inf) -> Began:
    return Began(ACCOUNT, "USD", {"USD": 1_000.0}, {"USD": 1.0}, {}, {}, floor, 0.9, start, start)


def buy(quantity: float, tag: str = "", side: Side = Side.BUY) -> OrderRequest:
    return OrderRequest(0, "AAA", side, quantity, tag=tag)


def intended(number: int, order_id: int, request: OrderRequest, *, by_guard: bool = False) -> Intended:
    return Intended(number, order_id, f"pt-00000000-{number}", request, START, 10.0, True, by_guard)


def replayed(folder: Path, *told: Entry) -> LiveRun:
    """A run that is resumed from a journal with these entries."""
    new = make_run(Busy(), SETTINGS, NOWHERE, out=folder, now=START)
    new.parts.journal.close()
    with Journal.open(new.folder / FILE_NAME) as journal:
        for at, entry in enumerate(told):
            journal.note(START + at, type(entry).__name__, entries.encode(entry))
    run = resume.resume_run(new.folder, Busy(), SETTINGS, NOWHERE, now=START)
    run.parts.journal.close()
    run.claim.release()
    return run


def tags(run: LiveRun) -> list[str]:
    return [each.tag for each in run.parts.side.session.desk.book.requests]


def test_orders_of_the_guard_take_the_numbers_that_the_strategy_did_not_give(tmp_path: Path) -> None:
    """The strategy decided its second order before it heard of the trip: the guard's came into the journal first."""
    run = replayed(
        tmp_path, AAA, began(), intended(1, 5, buy(10.0, "first")), Tripped("max_drawdown", "a drop"),
        intended(GUARDS, 6, buy(10.0, "guard", Side.SELL), by_guard=True),
        Refusal(2, "tripped", "the guard tripped", buy(3.0, "second"), START, 10.0),
    )  # fmt: skip
    assert tags(run) == ["first", "second", "guard"]
    broker = run.parts.side.broker
    assert broker.number_of(GUARDS) == 3
    assert broker.status(2) is OrderStatus.REJECTED
    assert run.parts.adapter.safeguard.next_number == GUARDS + 1


def test_the_next_order_has_an_id_above_all_that_were_used(tmp_path: Path) -> None:
    run = replayed(tmp_path, AAA, began(), intended(1, 41, buy(1.0)), intended(2, 40, buy(1.0)))
    assert run.parts.adapter.ib.take_id() == 42


def test_a_number_that_is_not_in_the_journal_is_an_order_that_was_never_sent(tmp_path: Path) -> None:
    run = replayed(tmp_path, AAA, began(), intended(2, 9, buy(1.0, "second")))
    assert len(tags(run)) == 2
    assert run.parts.side.broker.status(1) is OrderStatus.REJECTED
    assert set(run.parts.adapter.ib.orders.entries) == {2}


def test_limits_that_were_armed_late_are_kept(tmp_path: Path) -> None:
    """Net liquidation was not known when the account was first told."""
    run = replayed(
        tmp_path, AAA, began(math.nan), Armed(-math.inf, 0.9, 2_000.0, 2_000.0), Peak(2_500.0, 2_400.0, -math.inf, 0),
        Flowed("USD", 100.0), Flowed("USD", -30.0),
    )  # fmt: skip
    assert run.parts.adapter.kept == Thresholds(-math.inf, 0.9, 2_500.0, 2_000.0, {"USD": 70.0}, 0)


def test_limits_that_were_never_armed_are_armed_when_the_run_goes_on(tmp_path: Path) -> None:
    run = replayed(tmp_path, AAA, began(math.nan))
    assert run.parts.adapter.kept is None
    assert run.parts.adapter.is_resumed


def test_a_trip_whose_sequence_was_not_over_is_gone_on_with(tmp_path: Path) -> None:
    trip = Tripped("max_drawdown", "a drop")
    begun = entries.TripStep("cancel", "every working order")
    assert not replayed(tmp_path / "a", AAA, began(), trip, begun).parts.adapter.is_trip_done
    over = entries.TripStep("done", "the sequence is over")
    assert replayed(tmp_path / "b", AAA, began(), trip, begun, over).parts.adapter.is_trip_done


def test_an_entry_of_a_newer_version_is_said_to_be_one(tmp_path: Path) -> None:
    new = make_run(Busy(), SETTINGS, NOWHERE, out=tmp_path, now=START)
    new.parts.journal.close()
    with Journal.open(new.folder / FILE_NAME) as journal:
        journal.commit(START, "Strange", b'{"entry":"Strange"}')
    for look in (resume.latched, lambda folder: resume.resume_run(folder, Busy(), SETTINGS, NOWHERE)):
        with pytest.raises(DataError, match="an entry is not understood"):
            look(new.folder)


# -- orders of which TWS says nothing any more -------------------------------------------------------------------------


def asked_about(now: int, day_end: int) -> tuple[OrderStatus, list[Any]]:
    """An order that TWS had, and that it does not tell when it is asked at ``now``."""
    registry = Registry()
    registry.add(Instrument("AAA"), 7)
    orders = IbOrders(
        "00000000",
        registry,
        send=lambda command: None,
        emit=lambda event: None,
        next_id=lambda: 1,
        min_tick=lambda j: 0.01,
    )
    entry = orders.admit(1, buy(10.0))
    entry.day_end = day_end
    orders.send(entry)
    record = OpenOrder(1, orders._contract(entry), entry.terms, "Submitted")
    orders.receive(record, START)
    orders.disconnected(START + 1, [])
    orders.begin_reconciling()
    differences = orders.reconcile(now)
    return entry.status, differences


def test_an_order_for_a_day_that_is_over_has_expired_where_tws_does_not_tell_it() -> None:
    assert asked_about(START + 100, START + 50) == (OrderStatus.EXPIRED, [])


def test_an_order_that_may_still_work_is_a_difference_where_tws_does_not_tell_it() -> None:
    status, differences = asked_about(START + 100, START + 500)
    assert status is OrderStatus.UNKNOWN
    assert [each.theirs for each in differences] == ["unknown to TWS"]


def test_an_order_that_filled_while_its_change_was_on_its_way_has_filled() -> None:
    """TWS tells it as filled, by executions that were all heard: whether the change arrived does not matter any more."""
    registry = Registry()
    registry.add(Instrument("AAA"), 7)
    orders = IbOrders(
        "00000000",
        registry,
        send=lambda command: None,
        emit=lambda event: None,
        next_id=lambda: 1,
        min_tick=lambda j: 0.01,
    )
    entry = orders.admit(1, buy(10.0))
    orders.send(entry)
    contract = orders._contract(entry)
    orders.receive(OpenOrder(1, contract, entry.terms, "Submitted"), START)
    orders.modify(1, buy(4.0))
    orders.disconnected(START + 1, [])
    orders.begin_reconciling()
    told = Execution(
        5, contract, "0000.01.01.01", "20240603 09:30:01 US/Eastern", "", "", "BOT", 4.0, 10.0, 0, 0, 1, 4.0, 10.0, entry.order_ref
    )  # fmt: skip
    orders.receive(told, START + 2)
    orders.receive(CompletedOrder(contract, entry.terms, "Filled", filled=4.0), START + 2)
    assert orders.reconcile(START + 3) == []
    assert (entry.status, entry.filled, entry.request.quantity) == (OrderStatus.FILLED, 4.0, 4.0)
