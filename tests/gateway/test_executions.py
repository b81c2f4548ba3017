"""Orders after they were placed: who hears of them, what is asked about them, and what a scenario does to fills."""

from __future__ import annotations

import math

import pytest

from gateway.order_faults import NoFaults
from gateway.protocol import requests
from gateway.protocol.replies import Commission, CompletedOrder, Execution, NextValidId, OpenOrder
from tests.brokers.tapes import trades
from tests.gateway.desk import Desk, fills, order, statuses, told

FALLING_AND_RISING = trades("AAPL", (1, 100.0), (2, 101.0), (3, 99.0), (4, 98.0), (5, 97.0), (6, 103.0), (7, 104.0))


def test_each_client_hears_of_its_own_orders_and_the_master_of_all():
    desk = Desk(FALLING_AND_RISING, master_client=9)
    two, master = desk.client(2), desk.client(9)
    desk.at(1)
    desk.place(1, order("BUY", 10))
    desk.at(2)
    assert desk.heard(two) == []
    assert fills(desk.heard(master)) == [(10.0, 101.0)]


def test_orders_survive_a_disconnect_and_are_listed_to_the_client_that_comes_again():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=98.5))
    desk.tws.disconnect(desk.one)
    desk.at(4)
    again = desk.client(1)
    heard = desk.ask(requests.Executions(3), again)
    assert fills(heard) == [(10.0, 98.5)]
    assert [each.request for each in heard if isinstance(each, Execution)] == [3]
    assert told(heard) == ["execDetails", "commission", "ExecutionsEnd"]
    assert desk.ask(requests.NextId(), again) == [NextValidId(2)]


def test_open_orders_are_the_clients_own_and_all_open_orders_everybodys():
    desk = Desk(FALLING_AND_RISING)
    two = desk.client(2)
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=90.0))
    desk.place(1, order("BUY", 10, "LMT", limit_price=91.0), two)
    own = desk.ask(requests.OpenOrders())
    assert [(each.client_id, each.order.limit_price) for each in own if isinstance(each, OpenOrder)] == [(1, 90.0)]
    everybodys = desk.ask(requests.AllOpenOrders())
    assert [each.client_id for each in everybodys if isinstance(each, OpenOrder)] == [1, 2]
    assert told(everybodys)[-1] == "OpenOrdersEnd"


def test_completed_orders_say_how_and_when_they_ended():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    desk.place(1, order("BUY", 10))
    desk.place(2, order("BUY", 10, "LMT", limit_price=90.0))
    desk.at(2)
    desk.ask(requests.CancelOrder(2))
    done = [each for each in desk.ask(requests.CompletedOrders()) if isinstance(each, CompletedOrder)]
    assert [(each.state.status, each.state.completed_status) for each in done] == [
        ("Filled", "Filled Size: 10"), ("Cancelled", "Cancelled by Trader"),
    ]  # fmt: skip
    assert done[0].state.completed_time == "20240103 09:30:02 US/Eastern"


def test_executions_are_found_by_symbol_side_client_and_time():
    desk = Desk(FALLING_AND_RISING, trades("MSFT", (1, 50.0), (3, 51.0)))
    two = desk.client(2)
    desk.at(1)
    desk.place(1, order("BUY", 10))
    desk.place(1, order("SELL", 4), two, "MSFT")
    desk.at(4)
    desk.heard()

    def found(**wanted: object) -> list[tuple[float, float]]:
        return fills(desk.ask(requests.Executions(1, requests.ExecutionFilter(**wanted))))  # type: ignore[arg-type]

    assert found() == [(10.0, 101.0), (-4.0, 51.0)]
    assert found(symbol="MSFT") == [(-4.0, 51.0)]
    assert found(side="BUY") == [(10.0, 101.0)]
    assert found(client_id=2) == [(-4.0, 51.0)]
    assert found(time="20240103 09:30:03 US/Eastern") == [(-4.0, 51.0)]
    assert found(time="20240103-14:30:03") == [(-4.0, 51.0)]
    assert found(dates=(20240102,)) == []
    assert found(account="DU0") == []


def test_a_commission_names_its_execution_and_what_the_position_realised():
    desk = Desk(trades("AAPL", (1, 309.0), (2, 309.16), (3, 309.15)), fees="per-share:1:1")
    desk.at(1)
    desk.place(1, order("BUY", 1))
    desk.at(2)
    opened = [each for each in desk.heard() if isinstance(each, Execution | Commission)]
    desk.place(2, order("SELL", 1))
    desk.at(3)
    closed = [each for each in desk.heard() if isinstance(each, Execution | Commission)]
    assert isinstance(opened[0], Execution)
    assert isinstance(opened[1], Commission)
    assert opened[1].exec_id == opened[0].exec_id
    assert opened[1].commission == 1.0
    assert math.isnan(opened[1].realised)
    assert isinstance(closed[1], Commission)
    assert closed[1].realised == pytest.approx(-0.01 - 2.0)


class Splits(NoFaults):
    def splits(self, n: int) -> int:
        return 3


def test_a_fill_in_parts_adds_up_in_quantity_and_fee():
    desk = Desk(trades("AAPL", (1, 100.0), (2, 101.0)), faults=Splits(), fees="per-share:0.01:1")
    desk.at(1)
    desk.place(1, order("BUY", 10))
    desk.at(2)
    heard = desk.heard()
    assert fills(heard) == [(3.0, 101.0), (3.0, 101.0), (4.0, 101.0)]
    assert statuses(heard, 1) == ["Submitted", "Submitted", "Filled"]
    assert sum(each.commission for each in heard if isinstance(each, Commission)) == pytest.approx(1.0)


class LateFill(NoFaults):
    def fills_after_cancel(self, n: int) -> bool:
        return True


def test_a_fill_may_come_after_the_cancel_was_told():
    desk = Desk(FALLING_AND_RISING, faults=LateFill())
    desk.at(2)
    desk.place(1, order("BUY", 10, "LMT", limit_price=98.5))
    assert statuses(desk.ask(requests.CancelOrder(1)), 1) == ["PendingCancel", "Cancelled"]
    desk.at(4)
    heard = desk.heard()
    assert told(heard) == ["execDetails", "commission"]
    assert fills(heard) == [(10.0, 98.5)]


class Corrects(NoFaults):
    def corrects(self, n: int, price: float) -> float:
        return price - 1.0


class Busts(NoFaults):
    def busts(self, n: int) -> bool:
        return True


def test_a_corrected_execution_has_the_same_id_but_for_its_revision_and_the_money_follows():
    desk = Desk(FALLING_AND_RISING, faults=Corrects())
    desk.at(1)
    before = desk.tws.exchange.ledger.account.cash
    desk.place(1, order("BUY", 10))
    desk.at(5)
    executions = [each for each in desk.heard() if isinstance(each, Execution)]
    assert [each.price for each in executions] == [101.0, 100.0]
    assert [each.exec_id[-2:] for each in executions] == ["01", "02"]
    assert executions[0].exec_id[:-2] == executions[1].exec_id[:-2]
    assert desk.tws.exchange.ledger.account.cash == pytest.approx(before - 1000.0)
    assert desk.tws.exchange.ledger.positions[0].average_cost == pytest.approx(100.0)
    assert fills(desk.ask(requests.Executions(1))) == [(10.0, 100.0)]


def test_a_busted_execution_is_taken_back():
    desk = Desk(FALLING_AND_RISING, faults=Busts())
    desk.at(1)
    before = desk.tws.exchange.ledger.account.cash
    desk.place(1, order("BUY", 10))
    desk.at(5)
    executions = [each for each in desk.heard() if isinstance(each, Execution)]
    assert [(each.shares, each.price) for each in executions] == [(10.0, 101.0), (0.0, 0.0)]
    assert desk.tws.exchange.ledger.account.cash == pytest.approx(before)
    assert desk.tws.exchange.ledger.positions[0].quantity == 0.0
