"""The connection made or asked again: with another login, before its handshake is done, while executions come."""

from __future__ import annotations

import math

import pytest

from brokers.ib import commands as c
from brokers.ib import records as r
from brokers.ib.events import LinkState, Mismatch, Notice
from tests.brokers.ib.linked import ACCOUNT, Linked, contract
from tests.brokers.ib.test_session import ready, state

# -- another login --------------------------------------------------------------------------------------------


def test_a_tws_that_comes_back_with_another_account_is_not_traded() -> None:
    linked = ready()
    linked.break_off()
    linked.ib.connecting(linked.now)
    linked.tell(r.Connected(200, ""), r.ManagedAccounts(("DU2",)), r.NextValidId(9))
    assert state(linked) is LinkState.FAILED
    assert linked.ib.text == f"this run trades account {ACCOUNT}, and TWS is now logged in to DU2"


def test_a_login_with_more_accounts_than_before_goes_on_with_the_runs() -> None:
    linked = ready()
    linked.break_off()
    linked.ib.connecting(linked.now)
    linked.tell(r.Connected(200, ""), r.ManagedAccounts(("DU2", ACCOUNT)), r.NextValidId(9))
    linked.settle()
    assert linked.ib.is_ready
    assert linked.ib.account.id == ACCOUNT


@pytest.mark.parametrize("lost_first", [True, False])
def test_1102_before_a_new_connections_handshake_asks_nothing_until_its_accounts_are_known(lost_first: bool) -> None:
    linked = ready()
    linked.break_off()
    linked.ib.connecting(linked.now)
    linked.tell(r.Connected(200, ""))
    if lost_first:
        linked.tell(r.ErrorMessage(-1, 1100, "lost"))
    linked.tell(r.ErrorMessage(-1, 1102, "restored"))
    assert state(linked) is LinkState.CONNECTING
    linked.tell(r.ManagedAccounts(("DU2",)), r.NextValidId(9))
    assert state(linked) is LinkState.FAILED


def test_what_waits_for_a_connection_is_asked_when_something_can_be_sent_and_not_at_the_first_id() -> None:
    linked = Linked()
    linked.ib.queries.know(0, linked.registry.instruments[0], 101, linked.now)
    linked.ib.connecting(linked.now)
    linked.tell(r.Connected(200, ""), r.NextValidId(1))
    linked.ib.pass_time(linked.now)
    linked.tell(r.ManagedAccounts((ACCOUNT,)))
    linked.ib.pass_time(linked.now)
    linked.settle()
    assert len(linked.sent_of(c.AskContract)) == 1


def test_a_position_of_which_tws_tells_no_quantity_agrees_with_nothing() -> None:
    linked = ready()
    linked.tell(r.PositionItem(ACCOUNT, contract("BBB"), math.nan, 0.0))
    linked.wait(3)
    assert "the position in BBB changed without an execution" in linked.happened(Notice)[0].text
    linked.tws.positions["BBB"] = math.nan
    linked.break_off()
    linked.come_back()
    assert linked.happened(Mismatch)[0].rows == (("position in BBB", "0", "nan"),)


# -- asking again ---------------------------------------------------------------------------------------------


def test_what_was_streamed_is_ended_before_it_is_asked_for_again_on_one_connection() -> None:
    linked = ready()
    assert linked.sent_of(c.StopPositions) == []
    first = len(linked.sent)
    linked.tell(r.ErrorMessage(-1, 1102, "restored"))
    linked.settle()
    kinds = [type(each) for each in linked.sent[first:]]
    assert kinds.index(c.StopPositions) < kinds.index(c.AskPositions)
    assert [each.subscribe for each in linked.sent[first:] if isinstance(each, c.FollowAccount)] == [False, True]
    linked.break_off()
    linked.come_back()
    assert len(linked.sent_of(c.StopPositions)) == 1


def test_an_execution_while_everything_is_told_has_it_asked_once_more() -> None:
    linked = ready()
    entry = linked.working_order()
    asked = len(linked.sent_of(c.AskPositions))
    linked.tell(r.ErrorMessage(-1, 1102, "restored"), *linked.tws.fill(entry.order_id, 4.0))
    linked.wait(3)
    assert len(linked.sent_of(c.AskPositions)) == asked + 2
    assert linked.ib.is_ready


def test_values_of_another_account_are_not_this_accounts() -> None:
    linked = ready()
    before = linked.ib.account.net_liquidation
    linked.tell(r.AccountValue("NetLiquidation", "7", "USD", "DU2"))
    linked.tell(r.PortfolioItem(contract(), 5.0, 1.0, 5.0, 1.0, 0.0, 0.0, "DU2"))
    linked.tell(r.PositionItem("DU2", contract(), 5.0, 1.0))
    assert linked.ib.account.net_liquidation == before
    assert (linked.ib.account.portfolio, linked.ib.account.positions) == ({}, {})


@pytest.mark.parametrize(
    ("version", "time_text", "is_said"),
    [
        (157, "20240604 10:00:00 CET", True),
        (157, "20240604 10:00:00 EST", False),
        (157, "20240604 10:00:00", False),
        (157, "20240604 10:00:00 Hora de verano", False),
        (176, "20240604 10:00:00 CET", False),
    ],
)
def test_times_without_a_zone_that_would_be_read_in_the_wrong_one_are_said(
    version: int, time_text: str, is_said: bool
) -> None:
    linked = Linked()
    linked.ib.connecting(linked.now)
    linked.tell(r.Connected(version, time_text))
    said = ["TWS's times are of Europe/Berlin and are read as of US/Eastern: --tws-zone names another"]
    assert [each.text for each in linked.happened(Notice)] == (said if is_said else [])
