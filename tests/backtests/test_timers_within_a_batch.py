"""What is asked for while a batch is being played is due within that very batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtests.engine import run_tape
from backtests.settings import Settings
from feeds.load import load_tape
from feeds.playback import ConfirmPolicy
from papertape import Strategy, TimeEvent, Trade

OPEN = 1_704_983_400_000_000_000  # 2024-01-11 09:30 in New York
SECOND = 1_000_000_000


def tape(n: int) -> Any:
    """One trade a second."""
    ts = OPEN + np.arange(n) * SECOND
    return load_tape({"X": {"ts": ts, "price": 100.0 + np.arange(n), "size": np.full(n, 100.0)}})


class SetsATimer(Strategy):
    """Plain handlers: events are heard in runs."""

    def on_start(self) -> None:
        self.said: list[str] = []
        self.subscribe("X")

    def on_trade(self, trade: Trade) -> None:
        self.said.append(f"{trade.price:g}")
        if trade.price == 100:
            self.at("09:30:02")

    def on_time(self, time: TimeEvent) -> None:
        self.said.append("time")


class Asks(Strategy):
    """A handler that awaits: events are heard one by one."""

    def on_start(self) -> None:
        self.said: list[str] = []
        self.subscribe("X")

    async def on_trade(self, trade: Trade) -> None:
        self.said.append(f"{trade.price:g}")
        if trade.price == 100:
            await self.confirm("yes?")
            self.said.append("answer")


class Cancels(Strategy):
    """Cancels a limit order that would fill at 105 s, with half a second of latency."""

    def on_start(self) -> None:
        self.said: list[str] = []
        self.buy("X", 1)
        self.subscribe("X")

    def on_trade(self, trade: Trade) -> None:
        if trade.price == 101:
            self.order_ = self.sell("X", 1, limit=104.5)
        if trade.price == 102:
            self.cancel(self.order_)

    def on_stop(self) -> None:
        self.said.append(self.order_.status.name)


@pytest.mark.parametrize("chunk", [65_536, 3, 1])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (SetsATimer, ["100", "101", "102", "time", "103", "104", "105"]),
        (Asks, ["100", "101", "answer", "102", "103", "104", "105"]),
        (Cancels, ["CANCELLED"]),
    ],
)
def test_a_timer_a_reply_and_a_cancellation_take_effect_at_their_time(
    kind: type[Strategy], said: list[str], chunk: int
) -> None:
    strategy: Any = kind()
    settings = Settings(request_latency="1500ms", latency="500ms", confirm=ConfirmPolicy.YES)
    run_tape(strategy, tape(6), settings, chunk=chunk)
    assert strategy.said == said
