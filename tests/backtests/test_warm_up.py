"""Bars of the past, heard first: in a backtest that begins in the middle of a tape, and in the middle of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape import Bar, Bars, Run, Strategy, TimeEvent, backtest, changed, errors
from strategies.sma_cross import SmaCross
from tests.strategies.test_sma_cross import MINUTE, OPEN, minutes


def tape(*symbols: str, n: int = 60) -> dict[str, Any]:
    """Minute bars from 9:30 on that wander up and down, of each symbol in its own way."""
    data: dict[str, Any] = {}
    for k, symbol in enumerate(symbols or ("X",)):
        close = 100.0 + 3.0 * np.sin(np.arange(n) / 3.0 + k)
        data[symbol] = {
            "ts": OPEN + MINUTE * np.arange(1, n + 1),
            "open": close, "high": close + 1, "low": close - 1, "close": close, "volume": np.full(n, 1000.0),
        }  # fmt: skip
    return data


def run(strategy: Strategy, data: Any, **options: Any) -> Run:
    return backtest(strategy, data, fees="none", bar_stamp="close", bar_interval_s=60, **options)


LATE = {"start": "2024-01-11T10:00:00.5"}
"""After the thirtieth bar."""


class Hears(Strategy):
    """Writes down the minutes, since the open, at which its bars end, and when it heard them."""

    warmup: int = 0
    when_changed: bool = False

    def on_start(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.groups: list[tuple[int, list[str]]] = []
        self.subscribe(self.symbols, warmup=self.warmup, when=changed() if self.when_changed else None)

    def on_bar(self, bar: Bar) -> None:
        self.heard.append((bar.symbol, (bar.ts - OPEN) // MINUTE))

    def on_bars(self, bars: Bars) -> None:
        self.groups.append(((bars.ts - OPEN) // MINUTE, bars.symbols))


def test_the_last_bars_that_are_over_are_heard_first_then_each_new_one_once() -> None:
    strategy = Hears(warmup=3)
    run(strategy, tape(), **LATE)
    assert [minute for _, minute in strategy.heard] == list(range(28, 61))


def test_without_a_warm_up_only_new_bars_are_heard() -> None:
    strategy = Hears()
    run(strategy, tape(), **LATE)
    assert [minute for _, minute in strategy.heard] == list(range(31, 61))


def test_there_may_be_fewer_past_bars_than_asked_for_and_none_at_the_start_of_a_tape() -> None:
    few, none = Hears(warmup=1000), Hears(warmup=1000)
    run(few, tape(), **LATE)
    run(none, tape())
    assert [minute for _, minute in few.heard] == [minute for _, minute in none.heard] == list(range(1, 61))


def test_past_bars_of_several_symbols_are_heard_together_by_time() -> None:
    strategy = Hears(warmup=2)
    run(strategy, tape("X", "Y"), **LATE)
    assert strategy.heard[:6] == [("X", 29), ("Y", 29), ("X", 30), ("Y", 30), ("X", 31), ("Y", 31)]
    assert strategy.groups[:3] == [(29, ["X", "Y"]), (30, ["X", "Y"]), (31, ["X", "Y"])]


def test_past_bars_that_are_made_of_trades_are_the_same() -> None:
    def on_trades(**options: Any) -> list[int]:
        strategy = HearsMade()
        seconds = np.arange(120) * 30 + 15
        data = {"X": {"ts": OPEN + seconds * 1_000_000_000, "price": np.arange(120.0) + 1, "size": np.full(120, 10.0)}}
        backtest(strategy, data, fees="none", **options)
        return strategy.heard

    assert on_trades(**LATE) == list(range(27, 60)), "the last one ends after the tape"
    assert on_trades() == list(range(1, 60))


class HearsMade(Strategy):
    """The minutes at which bars end that are made of trades."""

    def on_start(self) -> None:
        self.heard: list[int] = []
        self.subscribe(self.symbols, bars="1m", warmup=4)

    def on_bar(self, bar: Bar) -> None:
        self.heard.append((bar.ts - OPEN) // MINUTE)


def test_a_filter_holds_for_past_bars_and_goes_on_from_them() -> None:
    data = tape()
    data["X"]["close"] = np.repeat(np.arange(20.0), 3) + 100.0
    data["X"]["high"], data["X"]["low"] = data["X"]["close"] + 9, data["X"]["close"] - 9
    data["X"]["open"] = data["X"]["close"]
    strategy = Hears(warmup=5, when_changed=True)
    run(strategy, data, **LATE)
    assert [minute for _, minute in strategy.heard] == [28, 31, *range(34, 61, 3)]


class BuysAlways(Strategy):
    """Buys at every bar, past or not, one of two awaiting something first."""

    awaits: bool = False

    def on_start(self) -> None:
        self.statuses: list[tuple[int, str]] = []
        self.subscribe(self.symbols, warmup=3)

    async def on_bar(self, bar: Bar) -> None:
        if self.awaits:
            await self.snapshot(self.symbols)
        order = self.buy(bar.symbol, 1)
        self.statuses.append(((bar.ts - OPEN) // MINUTE, order.status.name))


@pytest.mark.parametrize("awaits", [False, True])
def test_no_order_can_be_given_on_a_bar_of_the_past_and_the_run_says_so(awaits: bool) -> None:
    strategy = BuysAlways(awaits=awaits)
    done = run(strategy, tape(n=33), **LATE)
    assert strategy.statuses[:3] == [(28, "REJECTED"), (29, "REJECTED"), (30, "REJECTED")]
    assert [status != "REJECTED" for _, status in strategy.statuses[3:]] == [True] * 3
    assert len(done.orders) == 3
    assert any("3 order(s)" in text for text in done.notes["text"])


class SubscribesLater(Strategy):
    """Subscribes by a timer, while it hears another symbol already."""

    def on_start(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.subscribe("X")
        self.at("open+5m")

    def on_time(self, time: TimeEvent) -> None:
        self.subscribe("Y", warmup=2)

    def on_bar(self, bar: Bar) -> None:
        self.heard.append((bar.symbol, (bar.ts - OPEN) // MINUTE))


def test_a_warm_up_in_the_middle_of_a_run_comes_before_anything_new() -> None:
    strategy = SubscribesLater()
    run(strategy, tape("X", "Y", n=7))
    assert strategy.heard == [
        *(("X", k) for k in range(1, 6)), ("Y", 4), ("Y", 5), ("X", 6), ("Y", 6), ("X", 7), ("Y", 7),
    ]  # fmt: skip


def test_past_bars_before_a_split_are_heard_at_prices_that_compare_with_those_of_now(tmp_path: Path) -> None:
    class Closes(Strategy):
        def on_start(self) -> None:
            self.closes: list[float] = []
            self.subscribe(self.symbols, warmup=12)

        def on_bar(self, bar: Bar) -> None:
            self.closes.append(bar.close)

    found = []
    for k, split in enumerate((1.0, 2.0)):
        strategy = Closes()
        backtest(
            strategy,
            minutes(tmp_path / str(k), split=split),
            fees="none",
            bar_stamp="open",
            start="2024-01-12T09:35:30",
        )
        found.append(strategy.closes)
    assert found[1] == pytest.approx([close / 2.0 for close in found[0]])


def test_a_negative_warm_up_is_refused() -> None:
    with pytest.raises(errors.StrategyError, match="warmup=-1: it is a number of bars"):
        run(Hears(warmup=-1), tape())


def test_sma_cross_started_in_the_middle_trades_as_if_it_had_run_since_the_open() -> None:
    def orders(**options: Any) -> list[tuple[int, str]]:
        done = run(SmaCross(fast=4, slow=9), tape(n=200), **options)
        return [(ts.value, side) for ts, side in done.fills[["ts", "side"]].itertuples(index=False, name=None)]

    from_the_open, late = orders(), orders(**LATE)
    after = [each for each in from_the_open if each[0] > OPEN + 30 * MINUTE]
    if after[0][1] == "SELL":  # of what was bought before: the late one is flat
        after = after[1:]
    assert late == after
    assert len(late) > 10
