"""A refused order is heard of before the next event, whatever else there is to hear."""

from __future__ import annotations

from typing import Any

import pytest

from papertape import backtest
from papertape.core.model import OrderUpdate, Trade
from papertape.core.series import Tape
from tests.brokers.tapes import Scripted, trades


class Orders(Scripted):
    """Keeps the order of events and refusals."""

    def on_start(self) -> None:
        self.order_of: list[Any] = []
        super().on_start()

    def on_trade(self, trade: Trade) -> None:
        self.order_of.append(trade.symbol)
        super().on_trade(trade)

    def on_order(self, update: OrderUpdate) -> None:
        self.order_of.append(update.status.name)


@pytest.mark.parametrize("symbols", ["A", "AB"])
def test_a_refusal_is_heard_before_the_next_event(symbols: str) -> None:
    strategy = Orders({1: lambda s: s.sell("A", 1)})
    series = tuple(trades(name, (1, 100), (2, 100), (3, 100)) for name in symbols)
    backtest(strategy, Tape(series, {}))
    assert strategy.order_of[:2] == ["A", "REJECTED"]
    assert len(strategy.order_of) == 3 * len(symbols) + 1
