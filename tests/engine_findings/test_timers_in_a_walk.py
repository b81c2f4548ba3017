"""Things that become due in the middle of a batch, because a handler of that batch asked for them."""

from __future__ import annotations

import pytest

from papertape import Strategy, Trade, backtest
from papertape.core.series import Tape
from tests.brokers.tapes import OPEN, Played, S, ns, play, trades


def test_a_cancel_takes_effect_before_the_first_event_after_its_latency() -> None:
    script = {1: lambda s: s.buy("A", 10, limit=99), 2: lambda s: s.cancel(s.given[0])}
    played = play(script, trades("A", (1, 100), (2, 100), (3, 98)), latency="250ms")
    assert (played.fills, played.statuses, played.ended) == ([], ["CANCELLED"], [2.25])


def test_a_good_till_date_order_ends_before_the_first_event_after_its_time() -> None:
    script = {1: lambda s: s.buy("A", 10, limit=99, tif="GTD", until=ns(5))}
    played = play(script, trades("A", (1, 100), (2, 100), (5.001, 98)))
    assert (played.fills, played.ended) == ([], [5])


class AsksInTheMiddle(Strategy):
    """Sets a repeating timer from within a handler."""

    def on_start(self) -> None:
        self.seen: list[float] = []
        self.subscribe("A")

    def on_trade(self, trade: Trade) -> None:
        self.seen.append((trade.ts - OPEN) / S)
        if len(self.seen) == 1:
            self.every("1 s")

    def on_time(self, time: object) -> None:
        self.seen.append(-(self.now - OPEN) / S)


@pytest.mark.parametrize("others", [0, 1])
def test_a_timer_that_a_handler_sets_comes_between_the_events_around_it(others: int) -> None:
    strategy = AsksInTheMiddle()
    series = [trades("A", (1, 100), (2.5, 100), (3.5, 100))]
    if others:
        series.append(trades("B", (1.5, 50), (3.2, 50)))
    backtest(strategy, Tape(tuple(series), {}), end="2024-01-03T09:30:04")
    assert strategy.seen == [1, -2, 2.5, -3, 3.5, -4]


def test_replies_with_latency_come_before_later_events() -> None:
    heard: list[float] = []

    class Asks(Strategy):
        def on_start(self) -> None:
            self.subscribe("A")

        async def on_trade(self, trade: Trade) -> None:
            heard.append((trade.ts - OPEN) / S)
            if len(heard) == 1:
                await self.snapshot(["A"])
                heard.append(-(self.now - OPEN) / S)

    backtest(Asks(), Tape((trades("A", (1, 100), (2, 100), (3, 100)),), {}), request_latency="500ms")
    assert heard == [1, -1.5, 2, 3]


def test_the_helpers_of_these_tests_play_what_they_are_told() -> None:
    played: Played = play({1: lambda s: s.buy("A", 1)}, trades("A", (1, 100), (2, 100)))
    assert played.statuses == ["FILLED"]
