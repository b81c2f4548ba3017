"""The adapter's half: an order is judged, journaled and sent; the guard, halts and breaks are nobody's to delay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.ib import commands as c
from brokers.ib import records as r
from brokers.ib.account import IbAccount
from brokers.ib.asks import CancelOrder
from brokers.ib.events import FillCorrected, GuardOrdered, LinkState, OrderAmended, OrderChanged, OrderFilled
from brokers.ib.orders import IbOrders
from papertape.core.errors import JournalError
from papertape.core.model import OrderStatus, OrderType, Side
from papertape.core.series import Batch
from papertape.live import entries
from papertape.live.account_books import rates_in
from papertape.live.inbox import Inbox
from papertape.live.supervisor import Trip
from papertape.live.trip import TripStage
from tests.brokers.ib.linked import Placed, Tws, contract, request
from tests.live.adapted import Adapted, close_journals

Status = OrderStatus


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_journals()


def refused(adapted: Adapted, number: int) -> str:
    """Rule by which an order was refused; empty where it was not."""
    found = [each for each in adapted.journaled(entries.Refusal) if each.number == number]  # type: ignore[union-attr]
    return found[0].rule if found else ""  # type: ignore[union-attr]


# -- the way of an order --------------------------------------------------------------------------------------


def test_an_order_is_durable_in_the_journal_before_it_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted = Adapted(tmp_path)
    seen: list[int] = []
    send = IbOrders.send

    def look(self: IbOrders, entry: Any) -> None:
        kinds = [each.kind for each in adapted.journal.entries()]  # only what is durable
        seen.append(kinds.count("Intended"))
        send(self, entry)

    monkeypatch.setattr(IbOrders, "send", look)
    adapted.order(1)
    assert seen == [1]
    (intended,) = adapted.journaled(entries.Intended)
    assert (intended.number, intended.order_ref) == (1, "pt-run1-1")  # type: ignore[union-attr]
    assert [each.order.order_ref for each in adapted.sent_of(c.PlaceOrder)] == ["pt-run1-1"]


def test_what_can_not_be_journaled_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted = Adapted(tmp_path)

    def fail(*given: Any) -> int:
        raise JournalError("the disk is full")

    monkeypatch.setattr(adapted.journal, "commit", fail)
    with pytest.raises(JournalError):
        adapted.order(1)
    adapted.adapter.send_due()
    assert adapted.sent_of(c.PlaceOrder) == []


def test_orders_of_one_wake_up_count_for_one_another(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path, max_position=15.0)
    adapted.ask(adapted.submit(1, request()), adapted.submit(2, request()))
    assert [each.order.order_ref for each in adapted.sent_of(c.PlaceOrder)] == ["pt-run1-1"]
    assert refused(adapted, 2) == "max_position"


def test_two_sales_in_one_wake_up_never_go_short(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path, Tws(positions={"AAA": 10.0}))
    adapted.ask(adapted.submit(1, request(Side.SELL)), adapted.submit(2, request(Side.SELL)))
    assert len(adapted.sent_of(c.PlaceOrder)) == 1
    assert refused(adapted, 2) == "short"
    adapted.order(3, side=Side.SELL, quantity=1.0)
    assert refused(adapted, 3) == "short"  # what works counts as well


def test_the_exits_of_a_filled_parent_keep_their_shares_from_other_sales(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path)
    stop = request(Side.SELL, type=OrderType.STOP, stop_price=9.0, parent=1, group=1)
    target = request(Side.SELL, limit_price=12.0, parent=1, group=1)
    adapted.ask(adapted.submit(1, request()), adapted.submit(2, stop), adapted.submit(3, target))
    assert [each.order.transmit for each in adapted.sent_of(c.PlaceOrder)] == [False, False, True]
    adapted.fill(1)
    adapted.order(4, side=Side.SELL, quantity=1.0)
    assert refused(adapted, 4) == "short"


def test_a_family_is_sent_whole_or_not_at_all(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path, max_order_quantity=10.0)
    stop = request(Side.SELL, quantity=11.0, type=OrderType.STOP, stop_price=9.0, parent=1)
    adapted.ask(adapted.submit(1, request()), adapted.submit(2, stop))
    assert adapted.sent_of(c.PlaceOrder) == []
    assert (refused(adapted, 1), refused(adapted, 2)) == ("family", "max_order_quantity")
    adapted.ask(adapted.submit(3, request(Side.SELL, limit_price=12.0, parent=1)))
    assert refused(adapted, 3) == "parent"


def test_a_refused_change_tells_the_terms_on_which_the_order_works(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path, max_order_quantity=20.0)
    adapted.order(1, limit_price=9.0)
    adapted.modify(1, quantity=30.0, limit_price=9.0)
    (told,) = adapted.happened(OrderAmended)
    assert told.request.quantity == 10.0
    assert "max_order_quantity" in told.text
    adapted.modify(1, quantity=15.0, limit_price=9.0)
    assert adapted.adapter.ib.orders.entries[1].request.quantity == 15.0
    assert adapted.happened(OrderAmended)[-1].request.quantity == 15.0


def test_a_read_only_run_sends_nothing(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path, is_read_only=True)
    adapted.order(1)
    assert adapted.sent_of(c.PlaceOrder) == []
    assert refused(adapted, 1) == "read_only"


def test_no_order_leaves_while_tws_has_lost_the_exchange_and_fills_still_count(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path)
    adapted.order(1)
    adapted.gateway.say(r.ErrorMessage(-1, 1100, "lost"))
    adapted.turn()
    adapted.order(2)
    assert refused(adapted, 2) == "connection"
    adapted.fill(1)
    assert adapted.supervisor.quantity(0) == 10.0
    adapted.gateway.say(r.ErrorMessage(-1, 1102, "restored"))
    adapted.turn()
    adapted.order(3)
    assert refused(adapted, 3) == ""


def test_stale_data_of_what_is_held_block_what_adds_risk(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path, Tws(positions={"AAA": 10.0}), stale_s=10.0)
    adapted.order(1, j=1)
    assert refused(adapted, 1) == "stale"
    adapted.trade(10.0)
    adapted.order(2, j=1)
    assert refused(adapted, 2) == ""
    adapted.wait(11)
    adapted.order(3, j=1)
    adapted.order(4, side=Side.SELL)
    assert (refused(adapted, 3), refused(adapted, 4)) == ("stale", "")


# -- the account ----------------------------------------------------------------------------------------------


def test_the_guard_knows_of_a_fill_at_once_and_the_strategy_hears_it_with_its_fee(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path)
    adapted.order(1)
    entry = adapted.adapter.ib.orders.entries[1]
    execution, _, _, fee = adapted.tws.fill(entry.order_id, 10.0)
    adapted.gateway.say(execution, *adapted.tws.position_rows())
    adapted.turn()
    assert adapted.supervisor.quantity(0) == 10.0
    assert adapted.happened(OrderFilled) == []
    adapted.gateway.say(fee)
    adapted.turn()
    assert [each.fee for each in adapted.happened(OrderFilled)] == [1.0]
    assert adapted.supervisor.cash("USD") == pytest.approx(adapted.tws.cash)


def test_corrections_and_busts_move_the_account_to_what_is_true(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path)
    adapted.order(1)
    adapted.fill(1, 10.0, 10.0)
    adapted.gateway.say(*adapted.tws.correct(0, 10.0, 11.0, fee=1.5))
    adapted.turn()
    assert adapted.supervisor.cash("USD") == pytest.approx(adapted.tws.cash)
    adapted.gateway.say(*adapted.tws.correct(0, 0.0, 0.0, fee=0.0), *adapted.tws.position_rows())
    adapted.turn()
    assert adapted.supervisor.quantity(0) == 0.0
    assert adapted.supervisor.cash("USD") == pytest.approx(100_000.0)
    assert len(adapted.happened(FillCorrected)) == 2
    assert any("it never was" in text for text in adapted.said)


def test_a_persons_trade_counts_for_risk_and_not_for_the_run(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path, max_position=12.0)
    other = Placed(0, contract(), r.OrderRecord(action="BUY", quantity=5.0), 77, client_id=0)
    adapted.tws.orders[0] = other
    adapted.tws.fill(0, 5.0)
    adapted.gateway.say(*adapted.tws.position_rows())
    adapted.wait(5)
    assert adapted.supervisor.quantity(0) == 5.0
    assert adapted.adapter.run_positions() == {}
    adapted.order(1)
    assert refused(adapted, 1) == "max_position"
    assert any("not this run's: BUY 5 AAA at 10" in text for text in adapted.said)


def test_a_deposit_is_said_and_is_no_profit(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path, max_drawdown=0.1)
    before = adapted.supervisor.equity
    adapted.clock.pass_s(10)
    adapted.gateway.say(r.AccountValue("TotalCashBalance", "150000.0", "USD", "DU1"))
    adapted.wait(8)
    assert adapted.supervisor.equity == before
    assert any("50,000.00 USD came into the account without a trade" in text for text in adapted.said)
    (flowed,) = adapted.journaled(entries.Flowed)
    assert flowed.amount == 50_000.0  # type: ignore[union-attr]


def test_rates_are_turned_to_the_runs_base_currency() -> None:
    account = IbAccount()
    for key, value, currency in (
        ("NetLiquidation", "1", "EUR"),
        ("ExchangeRate", "0.8", "USD"),
        ("ExchangeRate", "1.2", "GBP"),
    ):
        account.receive(r.AccountValue(key, value, currency, ""), 1)
    assert rates_in("USD", account) == {"USD": 1.0, "GBP": pytest.approx(1.5), "EUR": pytest.approx(1.25)}


def test_a_mismatch_after_a_break_halts_with_a_table(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path)
    adapted.tws.positions["BBB"] = 3.0
    adapted.gateway.say(r.Disconnected("closed"))
    adapted.turn()
    adapted.wait(5)
    assert adapted.adapter.state.mismatch == (("position in BBB", "0", "3"),)
    assert "do not agree" in adapted.adapter.state.halted
    adapted.order(1)
    assert refused(adapted, 1) == "halted"


# -- trips ----------------------------------------------------------------------------------------------------


def holding(tmp_path: Path, **limits: Any) -> Adapted:
    """The run holds 100 AAA bought at 10 with 1,000 in cash, and has a buy of BBB working."""
    adapted = Adapted(tmp_path, Tws(cash=2_000.0), max_drawdown=0.1, reference="start", **limits)
    adapted.order(1, quantity=100.0)
    adapted.fill(1, 100.0, 10.0, 0.0)
    adapted.order(2, j=1, limit_price=5.0)
    adapted.trade(10.0)
    return adapted


def steps(adapted: Adapted) -> list[str]:
    return [each.step for each in adapted.journaled(entries.TripStep)]  # type: ignore[union-attr]


def test_a_trip_comes_before_the_event_that_crossed_and_cancels(tmp_path: Path) -> None:
    adapted = holding(tmp_path)
    adapted.heard.clear()
    adapted.trade(7.9)
    kinds = [type(each) for each in adapted.heard if isinstance(each, Trip | Batch)]
    assert kinds == [Trip, Batch]
    assert adapted.sent_of(c.CancelOrder)[0].order_id == adapted.adapter.ib.orders.entries[2].order_id
    assert adapted.adapter.ib.orders.entries[2].status is Status.CANCELLED
    assert steps(adapted) == ["block", "cancel", "confirm", "done"]
    adapted.order(3)
    assert refused(adapted, 3) == "tripped"


def test_a_trip_flattens_when_a_second_price_confirms_it(tmp_path: Path) -> None:
    adapted = holding(tmp_path, flatten=True)
    adapted.trade(7.9)
    assert adapted.happened(GuardOrdered) == []
    adapted.trade(7.8, seconds=0.1)
    (ordered,) = adapted.happened(GuardOrdered)
    assert (ordered.request.side, ordered.request.quantity) == (Side.SELL, 100.0)
    intended = adapted.journaled(entries.Intended)[-1]
    assert intended.by_guard  # type: ignore[union-attr]
    adapted.fill(ordered.number, 100.0, 7.8)
    adapted.turn(0.1)
    assert steps(adapted) == ["block", "cancel", "confirm", "flatten", "flatten", "done"]
    assert adapted.adapter.run_positions() == {}
    assert adapted.adapter.sequence.stage is TripStage.DONE


def test_half_a_second_of_breach_flattens_without_another_price(tmp_path: Path) -> None:
    adapted = holding(tmp_path, flatten=True)
    adapted.trade(7.9)
    adapted.turn(0.3)
    assert adapted.happened(GuardOrdered) == []
    adapted.turn(0.3)
    assert len(adapted.happened(GuardOrdered)) == 1


def test_one_bad_price_flattens_nothing(tmp_path: Path) -> None:
    adapted = holding(tmp_path, flatten=True)
    adapted.trade(7.9)
    adapted.trade(10.0, seconds=0.1)
    adapted.wait(2)
    assert adapted.happened(GuardOrdered) == []
    assert adapted.adapter.sequence.stage is TripStage.DONE


def test_a_trip_disconnects_where_that_is_configured_and_the_run_ends(tmp_path: Path) -> None:
    adapted = holding(tmp_path, disconnect=True)
    adapted.trade(7.9)
    adapted.turn(0.1)
    assert adapted.adapter.wants_end
    assert adapted.adapter.ib.state is LinkState.FAILED
    assert not adapted.gateway.is_open


def test_a_cancel_that_tws_never_confirms_is_asked_again_and_said(tmp_path: Path) -> None:
    adapted = holding(tmp_path)
    adapted.gateway.takes_orders = False
    adapted.trade(7.9)
    adapted.wait(21, 0.5)
    assert len(adapted.sent_of(c.CancelOrder)) == 2
    assert any("may still work: cancel them in TWS" in text for text in adapted.said)


def test_scope_run_leaves_what_others_hold_and_scope_account_closes_it(tmp_path: Path) -> None:
    for scope, closed in (("run", [0]), ("account", [0, 1])):
        folder = tmp_path / scope
        folder.mkdir()
        tws = Tws(cash=1_500.0, positions={"BBB": 5.0})
        adapted = Adapted(
            folder, tws, max_drawdown=0.1, reference="start", flatten=True, flatten_confirmed=False, scope=scope
        )
        stranger = Placed(55, contract("CCC"), r.OrderRecord(action="BUY", quantity=1.0), 4_242, client_id=0)
        tws.orders[55] = stranger
        adapted.gateway.say(stranger.open_order())
        adapted.trade(100.0, j=1)
        adapted.order(1, quantity=100.0)
        adapted.fill(1, 100.0, 10.0, 0.0)
        adapted.trade(10.0)
        adapted.trade(5.0)
        is_all = len(adapted.sent_of(c.CancelAll)) == 1
        assert is_all is (scope == "account")
        if is_all:
            adapted.wait(2)
            assert adapted.happened(GuardOrdered) == []  # somebody's order works still
            stranger.status = "Cancelled"
        adapted.wait(3)
        assert [each.request.instrument for each in adapted.happened(GuardOrdered)] == closed


def test_a_cash_floor_trips_on_the_fill_that_crosses_it_and_its_breach_lasts(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path, cash_floor={"USD": 99_950.0}, flatten=True)
    adapted.order(1)
    adapted.fill(1)
    assert adapted.adapter.state.trip is not None
    assert adapted.adapter.state.trip.rule == "cash_floor USD"
    adapted.turn(0.6)
    assert len(adapted.happened(GuardOrdered)) == 1


def test_a_trip_while_the_connection_is_down_cancels_as_soon_as_it_is_back(tmp_path: Path) -> None:
    adapted = holding(tmp_path)
    adapted.is_reachable = False
    adapted.gateway.say(r.Disconnected("closed"))
    adapted.turn()
    adapted.adapter.halt("by a person")
    assert adapted.sent_of(c.CancelOrder) == []
    adapted.is_reachable = True
    adapted.wait(5)
    assert [each.order_id for each in adapted.sent_of(c.CancelOrder)] == [adapted.adapter.ib.orders.entries[2].order_id]
    assert adapted.adapter.ib.orders.working() == []


# -- halts and failures ---------------------------------------------------------------------------------------


def test_a_halt_blocks_cancels_and_is_journaled_once(tmp_path: Path) -> None:
    adapted = holding(tmp_path)
    adapted.adapter.halt("by a person")
    adapted.adapter.halt("again")
    adapted.turn()
    assert [each.text for each in adapted.journaled(entries.Halted)] == ["by a person"]  # type: ignore[union-attr]
    assert adapted.adapter.ib.orders.entries[2].status is Status.CANCELLED
    adapted.order(3)
    assert refused(adapted, 3) == "halted"


def test_the_guard_of_a_halted_run_stays_on_watch_and_closes_what_is_held(tmp_path: Path) -> None:
    adapted = holding(tmp_path, flatten=True)
    adapted.adapter.halt("by a person")
    adapted.turn()
    adapted.trade(7.9)
    adapted.trade(7.8, seconds=0.1)
    (ordered,) = adapted.happened(GuardOrdered)
    assert (ordered.request.side, ordered.request.quantity) == (Side.SELL, 100.0)


def test_nothing_is_closed_by_orders_that_can_not_be_journaled(tmp_path: Path) -> None:
    adapted = holding(tmp_path, flatten=True)
    adapted.adapter.writer.give_up()
    sent = len(adapted.sent_of(c.PlaceOrder))
    adapted.trade(7.9)
    adapted.trade(7.8, seconds=0.1)
    assert len(adapted.sent_of(c.PlaceOrder)) == sent
    assert any("close what is held in TWS" in text for _, text in adapted.adapter.state.notices)


def test_a_halt_whose_journal_fails_cancels_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted = holding(tmp_path)

    def fail(*given: Any) -> int:
        raise JournalError("the disk is full")

    monkeypatch.setattr(adapted.journal, "commit", fail)
    monkeypatch.setattr(adapted.journal, "note", fail)
    with pytest.raises(JournalError):
        adapted.adapter.halt("by a person")
    adapted.adapter.send_due()
    assert len(adapted.sent_of(c.CancelOrder)) == 1


@pytest.mark.parametrize(
    "record", [r.Undecodable("bytes"), r.ErrorMessage(-1, 99_999, "what is this"), r.ErrorMessage(1, 99_998, "or this")]
)
def test_what_is_not_understood_halts(tmp_path: Path, record: r.Record) -> None:
    adapted = Adapted(tmp_path)
    adapted.gateway.say(record)
    adapted.turn()
    assert adapted.adapter.state.halted
    adapted.order(1)
    assert refused(adapted, 1) == "halted"


def test_a_connection_that_ended_is_closed_and_made_anew(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path)
    first = adapted.gateway
    first.say(r.Disconnected("TWS closed the connection"))
    adapted.turn()
    assert not first.is_open
    adapted.wait(3)
    assert len(adapted.gateways) == 2
    assert adapted.adapter.ib.is_ready


def test_a_strategy_that_never_listens_halts_the_run_and_memory_stays_bounded() -> None:
    inbox = Inbox(most=10)
    events: list[Any] = [OrderChanged(1, Status.SUBMITTED, 0)]
    from tests.live.test_supervisor import batch

    results = [inbox.put([batch([(k, 0, 1.0)]), *events]) for k in range(100)]
    assert results.index(False) == 10
    held = inbox.take()
    assert sum(isinstance(each, Batch) for each in held) == 21
    assert sum(isinstance(each, OrderChanged) for each in held) == 100
    assert inbox.lost == 79


def test_cancelling_what_was_never_given_or_has_ended_does_nothing(tmp_path: Path) -> None:
    adapted = Adapted(tmp_path)
    adapted.ask(CancelOrder(99, 1))
    adapted.order(1)
    adapted.fill(1)
    adapted.cancel(1)
    assert adapted.sent_of(c.CancelOrder) == []
