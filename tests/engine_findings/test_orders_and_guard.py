"""The order desk and the guard: what a strategy may not hear first, and what a change may not bring back."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from papertape import Strategy, backtest
from papertape.core.model import ActionKind, CorporateAction, Fill, OrderStatus
from papertape.core.series import Tape
from tests.brokers.tapes import CLOSE, DAY, OPEN, S, Scripted, ns, play, trades


class LooksOnFill(Scripted):
    """Notes in ``on_fill`` what its other order is by then, and tries to buy more."""

    def on_fill(self, fill: Fill) -> None:
        super().on_fill(fill)
        if fill.order == 2:
            self.seen = (self.given[2].status, self.buy("A", 1).status)


def test_an_event_that_fills_and_trips_is_judged_before_the_strategy_hears_of_the_fill() -> None:
    def give(s: Any) -> None:
        s.sell("A", 10, stop=90)
        s.sell("A", 50, limit=150)

    strategy = LooksOnFill({1: lambda s: s.buy("A", 100), 2: give})
    tape = Tape((trades("A", (1, 100), (2, 100), (3, 80), (4, 80)),), {})
    run = backtest(strategy, tape, cash=10_000.0, fees="none", guard={"max_drawdown": 0.1})
    assert strategy.seen == (OrderStatus.CANCELLED, OrderStatus.REJECTED)
    assert [each.kind for each in run.record.guard] == ["trip", "cancelled", "refused"]


@pytest.mark.parametrize("latency", ["0ms", "100ms"])
def test_a_trip_flattens_after_its_cancels_have_arrived_and_leaves_nothing(latency: str) -> None:
    def give(s: Any) -> None:
        s.sell("A", 40, limit=81)
        s.buy("B", 5, limit=50)

    tape = (
        trades("A", (1, 100), (2, 100), (3, 80), (3.05, 82), (4, 80), (5, 80)),
        trades("B", (1, 60), (2, 60), (3.06, 49), (4, 49), (5, 49)),
    )
    script = {1: lambda s: s.buy("A", 100), 2: give}
    played = play(
        script, *tape, cash=11_000.0, latency=latency, short=True, guard={"max_drawdown": 0.1, "flatten": True}
    )
    assert {name: quantity for name, quantity in played.held.items() if quantity} == {}


def test_a_dividend_owed_that_takes_cash_below_its_floor_trips() -> None:
    owed = CorporateAction(ns(DAY - 5 * 3600), "A", ActionKind.DIVIDEND, 50.0)
    tape = trades("A", (1, 100), (2, 100), (CLOSE, 100), (DAY, 50), (DAY + 1, 50))
    script = {1: lambda s: s.sell("A", 10), DAY: lambda s: s.sell("A", 1)}
    settings = {"cash_floor": {"USD": 999.0}}
    kept = play(script, tape, cash=1_000.0, short=True, actions=[owed], guard=settings, margin=4.0)
    assert (kept.record.guard_tripped, len(kept.fills)) == (False, 2)
    owed = CorporateAction(owed.ts, "A", ActionKind.DIVIDEND, 101.0)
    played = play(script, tape, cash=1_000.0, short=True, actions=[owed], guard=settings, margin=4.0)
    assert (played.record.guard_tripped, len(played.fills)) == (True, 1)


def test_a_change_of_price_after_a_split_keeps_the_adjusted_quantity() -> None:
    split = CorporateAction(ns(DAY - 5 * 3600), "A", ActionKind.SPLIT, 2.0)
    script = {
        1: lambda s: s.buy("A", 10),
        2: lambda s: s.sell("A", 10, stop=90, tif="GTC"),
        DAY: lambda s: s.modify(s.given[1], stop=46),
    }
    tape = trades("A", (1, 100), (2, 100), (CLOSE, 100), (DAY, 50), (DAY + 1, 45.5))
    played = play(script, tape, actions=[split])
    assert played.fills[1:] == [(2, DAY + 1, -20, 45.5)]


def test_a_change_of_quantity_after_a_split_keeps_the_adjusted_price() -> None:
    split = CorporateAction(ns(DAY - 5 * 3600), "A", ActionKind.SPLIT, 2.0)
    script = {
        1: lambda s: s.buy("A", 10),
        2: lambda s: s.sell("A", 10, stop=90, tif="GTC"),
        DAY: lambda s: s.modify(s.given[1], quantity=15),
    }
    tape = trades("A", (1, 100), (2, 100), (CLOSE, 100), (DAY, 50), (DAY + 1, 47), (DAY + 2, 44))
    played = play(script, tape, actions=[split])
    assert played.fills[1:] == [(2, DAY + 2, -15, 44)]


def test_a_change_of_price_keeps_the_quantity_that_a_partial_fill_of_the_group_has_left() -> None:
    def exits(s: Any) -> None:
        group = s.new_group()
        s.sell("A", 10, limit=110, group=group)
        s.sell("A", 10, stop=90, group=group)

    script = {1: lambda s: s.buy("A", 10), 2: exits, 5: lambda s: s.modify(s.given[2], stop=95)}
    tape = trades("A", (1, 100), (2, 100), (3, 100), (4, 111, 4), (5, 100), (6, 94), (7, 94))
    played = play(script, tape, volume_share=1.0)
    assert played.fills[1:] == [(2, 4, -4, 110), (3, 6, -6, 94)]


def test_what_an_order_has_filled_is_not_counted_again_when_it_is_changed() -> None:
    script = {1: lambda s: s.buy("A", 100), 3: lambda s: s.modify(s.given[0], quantity=90)}
    tape = trades("A", (1, 100), (2, 100, 60), (3, 100, 0), (4, 100))
    played = play(script, tape, volume_share=1.0, guard={"max_position": 100})
    assert [quantity for _, _, quantity, _ in played.fills] == [60, 30]


class EverySecond(Strategy):
    """Asks for a timer by a number of seconds, as the signature allows."""

    def on_start(self) -> None:
        self.ticks: list[float] = []
        self.every(1.0)

    def on_time(self, time: object) -> None:
        self.ticks.append((self.now - OPEN) / S)


def test_an_interval_may_be_a_float_of_seconds() -> None:
    strategy = EverySecond()
    backtest(strategy, Tape((trades("A", (1, 100), (3.5, 100)),), {}), end="2024-01-03T09:30:04")
    assert strategy.ticks[:2] == [1, 2]


def test_a_class_variable_of_a_strategy_is_no_parameter_however_it_is_annotated() -> None:
    class Declares(Strategy):
        """Repeats the annotation of the base class."""

        allow_short: ClassVar[bool] = True

    assert Declares.parameters() == {}
