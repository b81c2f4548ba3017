"""The strategy side's broker: what it asks of the adapter."""

from __future__ import annotations

import math

import pytest

from brokers.ib.asks import Ask, ModifyOrder
from brokers.ib.broker import IbBroker
from brokers.ib.events import FeeKnown, OrderAmended, OrderChanged, OrderFilled
from papertape.core.guard import Approved, Guard, GuardSettings
from papertape.core.ledger import Ledger
from papertape.core.model import Instrument, OrderStatus, Side
from papertape.core.state import State
from papertape.core.timers import Timers
from tests.brokers.ib.linked import request


def test_a_change_says_for_how_much_the_strategy_knew_the_order_to_be() -> None:
    asked: list[Ask] = []
    broker = IbBroker(asked.append)
    state, instruments = State(4, 1), [Instrument("AAA")]
    broker.attach(state, Timers(), instruments)
    guard = Guard(GuardSettings(), state, instruments, ("USD",), allow_short=True)
    given = request(limit_price=9.0, group=1)
    broker.place(given, 1, 5)
    broker.take(OrderChanged(1, OrderStatus.SUBMITTED, 6))
    changed = guard.approve(request(quantity=8.0, limit_price=9.5, group=1), 7, 10.0)
    assert isinstance(changed, Approved)
    broker.modify(changed, 1, 7)
    broker.take(OrderAmended(1, request(quantity=6.0, limit_price=9.0, group=1), 8))
    broker.modify(changed, 1, 9)
    assert [each.known_quantity for each in asked if isinstance(each, ModifyOrder)] == [10.0, 6.0]


def test_what_closing_a_position_brought_is_in_equity_and_drawdown_though_no_event_marks_it_any_more() -> None:
    broker = IbBroker(lambda ask: None)
    state, instruments = State(4, 1), [Instrument("AAA")]
    Ledger(state, instruments, ("USD",)).open({"USD": 1000.0}, {"USD": 1.0})
    broker.attach(state, Timers(), instruments)
    state.account["peak"] = 1000.0
    broker.place(request(quantity=9.0), 1, 5)
    broker.take(OrderFilled(1, "bought", 5, 9.0, 100.0, 0.0))
    broker.place(request(quantity=9.0, side=Side.SELL), 2, 6)
    broker.take(OrderFilled(2, "sold", 6, 9.0, 50.0, math.nan))
    broker.take(FeeKnown(2, "sold", 1.0))
    assert float(state.account["equity"][0]) == 549.0
    assert float(state.account["depth"][0]) == pytest.approx(549.0 / 1000.0 - 1.0)
