"""The connection under all that goes wrong with it: every row of what happens live has a test that says it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from brokers.ib import commands as c
from brokers.ib import records as r
from brokers.ib.events import AccountReady, ForeignFill, LinkChanged, LinkState, Mismatch, Notice
from brokers.ib.link import Step
from brokers.ib.session import Wish
from papertape.core.model import OrderStatus, Side
from tests.brokers.ib.linked import ACCOUNT, CLIENT, Linked, Tws, contract


def states(linked: Linked) -> list[LinkState]:
    return [each.state for each in linked.happened(LinkChanged)]


def halts(linked: Linked) -> list[str]:
    return [each.text for each in linked.happened(Notice) if each.halts]


def wish(linked: Linked) -> Wish:
    """What the session wants now."""
    return linked.ib.wish


def state(linked: Linked) -> LinkState:
    """State of the connection now."""
    return linked.ib.state


def ready() -> Linked:
    linked = Linked()
    linked.connect()
    assert linked.ib.is_ready
    return linked


# -- connecting -----------------------------------------------------------------------------------------------


def test_nothing_is_sent_to_the_market_before_everything_was_told() -> None:
    linked = Linked()
    linked.ib.connecting(linked.now)
    linked.tell(r.Connected(200, ""), r.ManagedAccounts((ACCOUNT,)), r.NextValidId(1))
    assert state(linked) is LinkState.RECONCILING
    linked.settle()
    assert state(linked) is LinkState.READY
    assert linked.ib.is_ready
    assert states(linked) == [LinkState.CONNECTING, LinkState.RECONCILING, LinkState.READY]
    assert [each.is_first for each in linked.happened(AccountReady)] == [True]
    kinds = [type(each) for each in linked.sent[:6]]
    assert kinds == [
        c.AskTime, c.FollowAccount, c.AskPositions, c.AskOpenOrders, c.AskCompletedOrders, c.AskExecutions,
    ]  # fmt: skip


@pytest.mark.parametrize("first", ["accounts", "id"])
def test_connected_means_an_id_and_accounts_in_either_order(first: str) -> None:
    linked = Linked()
    linked.ib.connecting(linked.now)
    both = [r.ManagedAccounts((ACCOUNT,)), r.NextValidId(1)]
    linked.tell(r.Connected(200, ""), *(both if first == "accounts" else reversed(both)))
    assert state(linked) is LinkState.RECONCILING


@pytest.mark.parametrize(
    ("link", "accounts", "says"),
    [
        ({"account": "DU2"}, ("DU1",), "not among those of this TWS (DU1)"),
        ({}, ("DU1", "DU2"), "several accounts (DU1, DU2)"),
        ({}, ("U1",), "no paper account"),
        ({"port_kind": "live"}, ("DU1",), "the usual one of a live account"),
    ],
)
def test_an_account_that_may_not_be_traded_ends_the_session_for_good(
    link: dict[str, Any], accounts: tuple[str, ...], says: str
) -> None:
    linked = Linked(**link)
    linked.ib.connecting(linked.now)
    linked.tell(r.Connected(200, ""), r.ManagedAccounts(accounts), r.NextValidId(1))
    assert state(linked) is LinkState.FAILED
    assert says in linked.ib.text
    assert wish(linked) is Wish.DISCONNECT
    linked.tell(r.Disconnected("closed"))
    linked.wait(100)
    assert state(linked) is LinkState.FAILED


def test_326_client_id_in_use_backs_off_with_the_same_id() -> None:
    linked = Linked()
    linked.ib.connecting(linked.now)
    pauses = []
    for _ in range(8):
        linked.tell(r.Connected(200, ""), r.ErrorMessage(-1, 326, "client id is already in use"))
        linked.tell(r.Disconnected("closed"))
        began = linked.now
        while linked.ib.wish is not Wish.CONNECT:
            linked.wait(0.5)
        pauses.append((linked.now - began) / 1e9)
        linked.ib.connecting(linked.now)
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30.0
    assert linked.ib.settings.client_id == CLIENT
    assert all(str(CLIENT) in each.text for each in linked.happened(Notice))
    linked.connect()
    assert linked.ib.is_ready


def test_a_handshake_that_is_never_finished_ends_at_its_deadline() -> None:
    linked = Linked()
    linked.ib.connecting(linked.now)
    linked.tell(r.Connected(200, ""))
    linked.wait(16)
    assert wish(linked) is Wish.DISCONNECT
    assert "did not answer in time: the handshake" in linked.ib.text


@pytest.mark.parametrize(
    "hangs", ["PositionsEnd", "ExecutionsEnd", "CompletedOrdersEnd", "AccountEnd", "OpenOrdersEnd"]
)
def test_requests_that_hang_after_a_fine_handshake_end_at_a_deadline_that_names_them(
    hangs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Tws.answer
    monkeypatch.setattr(
        Tws, "answer", lambda self, command: [m for m in answer(self, command) if type(m).__name__ != hangs]
    )
    linked = Linked()
    linked.connect()
    assert not linked.ib.is_ready
    linked.wait(61)
    assert wish(linked) is Wish.DISCONNECT
    assert "did not answer in time" in linked.ib.text
    assert [each.name for each in Step if each.value in linked.ib.text] == [
        {"PositionsEnd": "POSITIONS", "ExecutionsEnd": "EXECUTIONS", "CompletedOrdersEnd": "COMPLETED_ORDERS",
         "AccountEnd": "ACCOUNT", "OpenOrdersEnd": "OPEN_ORDERS"}[hangs]
    ]  # fmt: skip


def test_half_open_socket_is_found_by_the_heartbeat_and_made_anew() -> None:
    linked = ready()
    linked.tws.is_silent = True
    linked.wait(20)
    assert linked.sent_of(c.AskTime)[1:]
    assert wish(linked) is Wish.NOTHING
    linked.wait(15)
    assert wish(linked) is Wish.DISCONNECT
    linked.tws.is_silent = False
    linked.break_off(linked.ib.text)
    linked.come_back()
    assert linked.ib.is_ready


def test_a_connection_that_answers_its_heartbeat_is_kept_for_ever() -> None:
    linked = ready()
    linked.wait(3_600, 5.0)
    assert wish(linked) is Wish.NOTHING
    assert linked.ib.is_ready


def test_nightly_restart_is_survived_with_back_off_and_everything_is_asked_again() -> None:
    linked = ready()
    linked.break_off()
    assert state(linked) is LinkState.DOWN
    for _ in range(20):  # nobody listens for a while
        linked.wait(31)
        assert wish(linked) is Wish.CONNECT
        linked.ib.connecting(linked.now)
        linked.tell(r.Disconnected("127.0.0.1:7497 can not be reached"))
    linked.come_back()
    assert linked.ib.is_ready
    assert len(linked.sent_of(c.AskPositions)) == 2
    assert [each.is_first for each in linked.happened(AccountReady)] == [True, False]


def test_no_connection_for_hours_ends_the_session_for_good() -> None:
    linked = ready()
    linked.break_off()
    linked.wait(6 * 3_600 + 60, 20.0)
    assert state(linked) is LinkState.FAILED
    assert "no connection for 6 hours" in linked.ib.text


def test_nextvalidid_that_goes_back_never_gives_an_id_twice() -> None:
    linked = ready()
    used = [linked.ib.take_id() for _ in range(5)]
    linked.break_off()
    linked.ib.pass_time(linked.now + 10**9)
    linked.connect(valid_id=1)
    assert linked.ib.take_id() > max(used)


def test_first_id_is_above_the_journals_and_above_the_servers() -> None:
    assert Linked(first_order_id=500).ib.take_id() == 500
    linked = Linked(first_order_id=5)
    linked.connect(valid_id=400)
    assert linked.ib.take_id() > 400


# -- 1100, 1101, 1102 -----------------------------------------------------------------------------------------


def test_1100_stops_new_orders_and_fills_are_still_taken() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(r.ErrorMessage(-1, 1100, "Connectivity between IB and TWS has been lost"))
    assert state(linked) is LinkState.LOST
    assert not linked.ib.is_ready
    linked.tell(*linked.tws.fill(entry.order_id, 10.0))
    assert linked.fills == [(10.0, 10.0, 1.0)]
    assert entry.status.name == "FILLED"


def test_1102_asks_for_everything_and_keeps_the_lines() -> None:
    linked = ready()
    linked.ib.market.watch(0, linked.now)
    linked.settle()
    lines = len(linked.sent_of(c.FollowMarket))
    linked.tell(r.ErrorMessage(-1, 1100, "lost"), r.ErrorMessage(-1, 1102, "restored, data maintained"))
    assert state(linked) is LinkState.RECONCILING
    linked.settle()
    assert linked.ib.is_ready
    assert len(linked.sent_of(c.FollowMarket)) == lines
    assert len(linked.sent_of(c.AskCompletedOrders)) == 2


def test_1101_subscribes_to_everything_again() -> None:
    linked = ready()
    linked.ib.market.watch(0, linked.now)
    linked.settle()
    lines = len(linked.sent_of(c.FollowMarket))
    linked.tell(r.ErrorMessage(-1, 1100, "lost"), r.ErrorMessage(-1, 1101, "restored, data lost"))
    linked.settle()
    assert linked.ib.is_ready
    assert len(linked.sent_of(c.FollowMarket)) == lines + 1


def test_1100_before_the_account_is_known_waits_and_then_begins() -> None:
    linked = Linked()
    linked.ib.connecting(linked.now)
    linked.tell(r.Connected(200, ""), r.ErrorMessage(-1, 1100, "lost"))
    linked.tell(r.ManagedAccounts((ACCOUNT,)), r.NextValidId(1))
    assert state(linked) is LinkState.LOST
    linked.tell(r.ErrorMessage(-1, 1102, "restored"))
    linked.settle()
    assert linked.ib.is_ready
    assert linked.ib.account.id == ACCOUNT


def test_fills_inside_an_outage_that_were_never_told_come_with_the_reconciliation() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(r.ErrorMessage(-1, 1100, "lost"))
    linked.tws.fill(entry.order_id, 10.0)
    linked.tell(r.ErrorMessage(-1, 1102, "restored"))
    linked.settle()
    assert linked.ib.is_ready
    assert linked.fills == [(10.0, 10.0, 1.0)]
    assert entry.status.name == "FILLED"


@pytest.mark.parametrize("code", [2103, 2104, 2105, 2106, 2107, 2108, 2110, 2119, 2157, 2158])
def test_farm_notices_never_tear_the_connection_down(code: int) -> None:
    linked = ready()
    linked.tell(r.ErrorMessage(-1, code, "Market data farm connection is broken:usfarm"))
    linked.wait(2)
    assert wish(linked) is Wish.NOTHING
    assert linked.ib.is_ready
    assert halts(linked) == []


# -- what is not understood -----------------------------------------------------------------------------------


def test_a_code_in_no_table_halts_new_orders_and_is_shown() -> None:
    linked = ready()
    linked.tell(r.ErrorMessage(-1, 77_777, "something new"))
    assert not linked.ib.is_ready
    assert halts(linked) == ["something new (a code that is in no table)"]


def test_200_fails_that_request_and_no_other() -> None:
    linked = ready()
    entry = linked.working_order()
    linked.tell(r.ErrorMessage(entry.order_id + 400, 200, "No security definition has been found"))
    assert linked.ib.is_ready
    assert entry.status.name == "SUBMITTED"
    other = linked.order(2)
    linked.tell(r.ErrorMessage(other.order_id, 200, "No security definition has been found"))
    assert (other.status, entry.status) == (OrderStatus.REJECTED, OrderStatus.SUBMITTED)
    assert halts(linked) == []


def test_an_unreadable_message_halts_new_orders() -> None:
    linked = ready()
    linked.tell(r.Undecodable("a message that can not be read"))
    assert not linked.ib.is_ready
    assert "could not be read" in halts(linked)[0]


def test_an_unreadable_value_within_a_message_halts_and_counts_nothing() -> None:
    linked = ready()
    entry = linked.working_order()
    execution = linked.tws.fill(entry.order_id, 10.0)[0]
    assert isinstance(execution, r.Execution)
    linked.tell(msgspec.structs.replace(execution, time_text="some time"))
    assert not linked.ib.is_ready
    assert linked.ib.orders.positions == {}
    linked.tell(execution)
    assert linked.ib.orders.positions == {0: 10.0}


# -- reconciliation -------------------------------------------------------------------------------------------


def test_a_position_that_no_execution_explains_halts_with_a_table() -> None:
    linked = ready()
    linked.break_off()
    linked.tws.positions["BBB"] = 7.0
    linked.come_back()
    assert not linked.ib.is_ready
    (mismatch,) = linked.happened(Mismatch)
    assert mismatch.rows == (("position in BBB", "0", "7"),)


def test_a_difference_that_is_gone_when_asked_again_halts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    linked = ready()
    entry = linked.working_order()
    linked.break_off()
    linked.tws.fill(entry.order_id, 10.0)
    tells = iter([False])
    rows = Tws.position_rows
    monkeypatch.setattr(Tws, "position_rows", lambda self: rows(self) if next(tells, True) else [])
    linked.come_back()
    assert linked.ib.is_ready
    assert linked.happened(Mismatch) == []
    assert len(linked.sent_of(c.AskPositions)) == 3


def test_a_persons_own_trade_is_found_by_the_position_and_counted_once() -> None:
    linked = ready()
    other = linked.tws.place(c.PlaceOrder(0, contract("BBB"), r.OrderRecord(action="BUY", quantity=5.0, type="MKT")))
    other.client_id = 0
    linked.tws.fill(0, 5.0)
    linked.tell(*linked.tws.position_rows())
    linked.wait(8)
    (fill,) = linked.happened(ForeignFill)
    assert (fill.instrument, fill.side, fill.quantity) == (1, Side.BUY, 5.0)
    assert linked.ib.is_ready
    assert linked.ib.orders.positions == {}
    assert linked.ib.account.expected == {102: 5.0}


def test_an_order_of_this_run_that_the_journal_does_not_know_halts() -> None:
    linked = ready()
    stranger = r.OrderRecord(action="BUY", quantity=5.0, type="MKT", order_ref="pt-run1-99")
    linked.tws.place(c.PlaceOrder(88, contract(), stranger))
    linked.break_off()
    linked.come_back()
    assert "that its journal does not" in halts(linked)[0]


def test_restarting_the_connection_many_times_changes_nothing() -> None:
    linked = ready()
    entry = linked.working_order(limit_price=9.0)
    filled = linked.working_order(2)
    linked.tell(*linked.tws.fill(filled.order_id, 10.0))
    placed = len(linked.sent_of(c.PlaceOrder))
    for _ in range(5):
        linked.break_off()
        assert entry.status.name == "UNKNOWN"
        linked.come_back()
        assert linked.ib.is_ready
        assert entry.status.name == "SUBMITTED"
    assert len(linked.sent_of(c.PlaceOrder)) == placed
    assert linked.fills == [(10.0, 10.0, 1.0)]
    assert linked.happened(Mismatch) == []


def test_ids_of_orders_and_requests_never_meet() -> None:
    linked = ready()
    for number in range(1, 6):
        linked.order(number, side=Side.BUY)
        linked.ib.market.watch(number % 3, linked.now)
    linked.settle()
    orders = [each.order_id for each in linked.sent_of(c.PlaceOrder)]
    requests = [each.request_id for each in linked.sent if hasattr(each, "request_id")]
    assert len({*orders, *requests}) == len(orders) + len(set(requests))
