"""The strategy side's broker: what it asks of the adapter."""

from __future__ import annotations

from brokers.ib.asks import Ask, ModifyOrder
from brokers.ib.broker import IbBroker
from brokers.ib.events import OrderAmended, OrderChanged
from papertape.core.guard import Approved, Guard, GuardSettings
from papertape.core.model import Instrument, OrderStatus
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
