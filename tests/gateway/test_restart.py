"""A simulated TWS that is started again goes on with its account."""

from __future__ import annotations

from pathlib import Path

import pytest

from brokers.sim import FillRules
from gateway.order_faults import NoFaults
from gateway.protocol import requests
from gateway.protocol.replies import Execution, NextValidId, OpenOrder, OrderStatus
from gateway.store import Store
from papertape.core.errors import ConfigError
from papertape.core.model import ActionKind, CorporateAction
from tests.brokers.tapes import CLOSE, DAY, ns, trades
from tests.gateway.desk import Desk, fills, order, statuses, told

TAPE = trades(
    "AAPL", (1, 100.0), (2, 101.0), (3, 99.0), (4, 98.0), (5, 97.0), (6, 103.0), (7, 104.0), (8, 103.0), (9, 90.0)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "account.sqlite"


def test_ids_positions_orders_and_executions_go_on_after_a_restart(path: Path):
    with Store.open(path, "DU1234567") as store:
        desk = Desk(TAPE, store=store, fees="per-share:0.01:1")
        desk.at(1)
        desk.place(1, order("BUY", 10, order_ref="first"))
        desk.place(2, order("SELL", 10, "LMT", limit_price=102.5))
        desk.place(3, order("BUY", 5, "LMT", limit_price=50.0))
        desk.ask(requests.CancelOrder(3))
        desk.at(4)
        cash = desk.tws.exchange.ledger.account.cash
        perm_id = desk.tws.orders.entries[1, 2].perm_id
    with Store.open(path, "DU1234567") as store:
        again = Desk(TAPE, start=ns(4.5), store=store, fees="per-share:0.01:1")
        assert again.tws.exchange.ledger.account.cash == pytest.approx(cash)
        assert again.tws.exchange.ledger.positions[0].quantity == 10.0
        assert again.ask(requests.NextId()) == [NextValidId(4)]
        opened = [each for each in again.ask(requests.OpenOrders()) if isinstance(each, OpenOrder)]
        assert [(each.order_id, each.perm_id, each.order.limit_price) for each in opened] == [(2, perm_id, 102.5)]
        heard = again.ask(requests.Executions(7))
        assert fills(heard) == [(10.0, 101.0)]
        assert [each.order_ref for each in heard if isinstance(each, Execution)] == ["first"]
        assert told(again.ask(requests.CompletedOrders())) == ["CompletedOrder", "CompletedOrder", "CompletedOrdersEnd"]
        again.at(6)
        heard = again.heard()
        assert fills(heard) == [(-10.0, 102.5)]
        last = list(again.tws.orders.executions)[-1]
        assert last.serial == 2
        assert last.realised == pytest.approx((102.5 - 101.0) * 10 - 2.0)


def test_a_stop_limit_that_was_triggered_works_on_and_children_of_a_filled_parent_too(path: Path):
    with Store.open(path, "DU1234567") as store:
        desk = Desk(TAPE, store=store)
        desk.at(1)
        desk.place(1, order("BUY", 10, transmit=False))
        desk.place(2, order("SELL", 10, "STP LMT", aux_price=98.5, limit_price=102.0, parent_id=1, transmit=True))
        desk.at(5)
        assert statuses(desk.heard(), 2)[-1] == "Submitted"
    with Store.open(path, "DU1234567") as store:
        again = Desk(TAPE, start=ns(5.5), store=store)
        again.at(7)
        assert fills(again.heard()) == [(-10.0, 103.0)]


def test_what_had_filled_in_part_fills_the_rest(path: Path):
    rules = FillRules(margin_multiple=2.0, allow_short=True, volume_share=0.01)
    with Store.open(path, "DU1234567") as store:
        desk = Desk(TAPE, store=store, rules=rules)
        desk.at(2)
        desk.place(1, order("BUY", 15, "LMT", limit_price=99.5))
        desk.at(3)
        assert fills(desk.heard()) == [(10.0, 99.0)]
    with Store.open(path, "DU1234567") as store:
        again = Desk(TAPE, start=ns(3.5), store=store, rules=rules)
        opened = [each for each in again.ask(requests.OpenOrders()) if isinstance(each, OrderStatus)]
        assert [(each.filled, each.remaining, each.average_price) for each in opened] == [(10.0, 5.0, 99.0)]
        again.at(4)
        heard = again.heard()
        assert fills(heard) == [(5.0, 98.0)]
        assert statuses(heard, 1) == ["Filled"]
        execution = next(each for each in heard if isinstance(each, Execution))
        assert execution.cumulative == 15.0
        assert execution.average_price == pytest.approx((990.0 + 490.0) / 15)


class Corrects(NoFaults):
    def corrects(self, n: int, price: float) -> float:
        return price - 1.0 if n == 1 else float("nan")

    def busts(self, n: int) -> bool:
        return n == 2


def test_corrected_and_busted_executions_are_remembered_as_they_are(path: Path):
    with Store.open(path, "DU1234567") as store:
        desk = Desk(TAPE, store=store, faults=Corrects())
        desk.at(1)
        desk.place(1, order("BUY", 10))
        desk.at(2)
        desk.place(2, order("BUY", 3))
        desk.at(5)
        cash = desk.tws.exchange.ledger.account.cash
    with Store.open(path, "DU1234567") as store:
        again = Desk(TAPE, start=ns(5.5), store=store)
        assert fills(again.ask(requests.Executions(7))) == [(10.0, 100.0)]
        assert again.tws.exchange.ledger.positions[0].quantity == 10.0
        assert again.tws.exchange.ledger.account.cash == pytest.approx(cash)


def test_a_split_while_tws_was_down_is_made_good_and_orders_of_before_it_end(path: Path):
    series = trades("AAPL", (1, 100.0), (2, 100.0), (DAY + 1, 50.0), (DAY + 2, 50.0))
    split = CorporateAction(ns(DAY - 34_200), "AAPL", ActionKind.SPLIT, 2.0)
    with Store.open(path, "DU1234567") as store:
        desk = Desk(series, store=store, actions=(split,))
        desk.at(1)
        desk.place(1, order("BUY", 10))
        desk.place(2, order("BUY", 10, "LMT", limit_price=90.0, tif="GTC"))
        desk.at(3)
    with Store.open(path, "DU1234567") as store:
        again = Desk(series, start=ns(DAY + 1.5), store=store, actions=(split,))
        assert again.tws.exchange.ledger.positions[0].quantity == 20.0
        assert again.tws.costs.basis(0).average_cost == pytest.approx(50.0)
        assert again.tws.exchange.ledger.account.equity == pytest.approx(1_000_000.0)
        assert told(again.ask(requests.OpenOrders())) == ["OpenOrdersEnd"]
        assert again.tws.orders.entries[1, 2].shown == "Cancelled"


def test_a_later_day_begins_anew_where_tws_starts_in_the_middle_of_it(path: Path):
    series = trades("AAPL", (1, 100.0), (2, 110.0), (DAY + 1, 110.0), (DAY + 2, 111.0))
    with Store.open(path, "DU1234567") as store:
        desk = Desk(series, store=store)
        desk.at(1)
        desk.place(1, order("BUY", 10))
        desk.at(2)
        desk.place(2, order("SELL", 4))
        desk.at(CLOSE)
    with Store.open(path, "DU1234567") as store:
        again = Desk(series, start=ns(DAY + 1.5), store=store)
        basis = again.tws.costs.basis(0)
        assert (basis.quantity, basis.realised, basis.start.quantity) == (10.0, 0.0, 10.0)


def test_an_account_does_not_go_back_in_time(path: Path):
    with Store.open(path, "DU1234567") as store:
        desk = Desk(TAPE, store=store)
        desk.at(4)
        desk.place(1, order("BUY", 10))
        desk.at(5)
    with Store.open(path, "DU1234567") as store, pytest.raises(ConfigError, match="starts before that"):
        Desk(TAPE, store=store)
