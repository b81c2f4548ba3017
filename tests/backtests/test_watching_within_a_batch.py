"""Watching and unwatching in the middle of a batch, against what the tape holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from papertape import Strategy, Trade, backtest

OPEN = 1_704_983_400_000_000_000  # 2024-01-11 09:30 in New York
SECOND = 1_000_000_000


def tape(**seconds: list[int]) -> dict[str, Any]:
    """Trades at seconds after the open; each price is 100 plus its second."""
    return {
        name: {
            "ts": np.array([OPEN + second * SECOND for second in at]),
            "price": np.array([100.0 + second for second in at]),
            "size": np.full(len(at), 100.0),
        }
        for name, at in seconds.items()
    }


class AddsAnother(Strategy):
    """Hears B from the start, and A from B's second trade on."""

    def on_start(self) -> None:
        self.heard: list[tuple[str, float]] = []
        self.subscribe("B")

    def on_trade(self, trade: Trade) -> None:
        self.heard.append((trade.symbol, trade.price))
        if trade.symbol == "B" and trade.price == 103.0:
            self.subscribe("A")


def test_subscribing_to_an_instrument_that_comes_first_on_the_tape_repeats_and_skips_nothing() -> None:
    strategy = AddsAnother()
    backtest(strategy, tape(A=[2, 4, 6, 8], B=[1, 3, 5, 7]))
    assert strategy.heard == [
        ("B", 101.0), ("B", 103.0), ("A", 104.0), ("B", 105.0), ("A", 106.0), ("B", 107.0), ("A", 108.0),
    ]  # fmt: skip


class LeavesOne(Strategy):
    """Hears A and B, leaves A at its second trade."""

    def on_start(self) -> None:
        self.heard: list[tuple[str, float]] = []
        self.subscribe(["A", "B"])

    def on_trade(self, trade: Trade) -> None:
        self.heard.append((trade.symbol, trade.price))
        if trade.symbol == "A" and trade.price == 104.0:
            self.unsubscribe("A")


def test_unsubscribing_in_the_middle_of_a_batch_leaves_the_others_where_they_are() -> None:
    strategy = LeavesOne()
    backtest(strategy, tape(A=[2, 4, 6, 8], B=[1, 3, 5, 7]))
    assert strategy.heard == [("B", 101.0), ("A", 102.0), ("B", 103.0), ("A", 104.0), ("B", 105.0), ("B", 107.0)]
