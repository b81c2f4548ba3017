"""What follows a trip, step by step: block, cancel, confirm, flatten, disconnect; each with its deadline."""

from __future__ import annotations

import math
from typing import Any

import pytest

from papertape.core.model import NS_PER_S
from papertape.live.cash import CashWatch
from papertape.live.trip import Action, TripSequence, TripStage

T0 = 1_704_292_200 * NS_PER_S


class Tripped:
    """A sequence that has begun at net liquidation 90, and what it has done and told."""

    def __init__(self, *, flatten: bool = True, confirmed: bool = True, disconnect: bool = True, speed: float = 1.0):
        self.sequence = TripSequence(flatten=flatten, confirmed=confirmed, disconnect=disconnect, speed=speed)
        self.actions: list[Action] = []
        self.told: list[str] = []
        self._take(self.sequence.begin(T0, 90.0))

    def _take(self, found: Any) -> None:
        actions, told = found
        self.actions += actions
        self.told += [f"{each.step}: {each.text}" for each in told]

    def at(self, seconds: float, **now: Any) -> Tripped:
        state = {"working": 0, "held": 0, "equity": 90.0, "is_breached": True, **now}
        self._take(self.sequence.advance(T0 + round(seconds * NS_PER_S), **state))
        return self


def test_new_orders_are_blocked_and_every_working_one_is_cancelled_at_once() -> None:
    tripped = Tripped()
    assert tripped.actions == [Action.CANCEL]
    assert tripped.told == ["block: no new orders", "cancel: every working order"]


def test_without_flattening_it_ends_when_nothing_works() -> None:
    tripped = Tripped(flatten=False, disconnect=False).at(0.1, working=2, held=1)
    assert tripped.sequence.is_running
    tripped.at(0.2, held=1)
    assert tripped.actions == [Action.CANCEL]
    assert tripped.sequence.stage is TripStage.DONE


def test_disconnecting_is_the_last_step_and_only_where_configured() -> None:
    assert Tripped(flatten=False).at(0.1).actions == [Action.CANCEL, Action.DISCONNECT]
    assert Tripped(flatten=False, disconnect=False).at(0.1).actions == [Action.CANCEL]


def test_a_cancel_that_is_not_confirmed_is_asked_again_and_then_left_to_the_person() -> None:
    tripped = Tripped().at(9.9, working=1, held=1)
    assert tripped.actions == [Action.CANCEL]
    tripped.at(10.0, working=1, held=1)
    assert tripped.actions == [Action.CANCEL, Action.CANCEL]
    tripped.at(19.9, working=1, held=1)
    assert tripped.sequence.is_running
    tripped.at(20.0, working=1, held=1)
    assert tripped.actions == [Action.CANCEL, Action.CANCEL, Action.DISCONNECT]
    assert "confirm: 1 order(s) may still work: cancel them in TWS" in tripped.told
    assert Action.FLATTEN not in tripped.actions  # what still works could fill beside what closes


def test_a_second_price_that_says_the_same_confirms_the_breach() -> None:
    tripped = Tripped().at(0.1, held=1)
    assert Action.FLATTEN not in tripped.actions
    tripped.at(0.2, held=1, equity=89.0)
    assert tripped.actions == [Action.CANCEL, Action.FLATTEN]


def test_half_a_second_confirms_the_breach_without_a_second_price() -> None:
    tripped = Tripped().at(0.49, held=1)
    assert Action.FLATTEN not in tripped.actions
    assert Action.FLATTEN in tripped.at(0.5, held=1).actions


def test_a_breach_that_does_not_last_closes_nothing_and_stays_blocked() -> None:
    tripped = Tripped(disconnect=False).at(0.2, held=1, equity=101.0, is_breached=False)
    assert tripped.sequence.is_running
    tripped.at(0.6, held=1, equity=101.0, is_breached=False)
    assert tripped.actions == [Action.CANCEL]
    assert "flatten: not done: the breach did not last; new orders stay blocked" in tripped.told
    assert tripped.sequence.stage is TripStage.DONE


def test_a_net_liquidation_that_is_unknown_confirms_nothing_until_it_is_known() -> None:
    tripped = Tripped().at(1.0, held=1, equity=math.nan, is_breached=False)
    assert tripped.sequence.is_running
    assert Action.FLATTEN in tripped.at(2.0, held=1, equity=88.0).actions
    lost = Tripped().at(61.0, held=1, equity=math.nan, is_breached=False)
    assert Action.FLATTEN not in lost.actions
    assert any("net liquidation is unknown" in each for each in lost.told)


def test_closing_orders_that_end_without_closing_are_given_again_three_times_in_all() -> None:
    tripped = Tripped(confirmed=False).at(0.1, held=1)
    for k in range(60):
        tripped.at(0.5 + k, held=1)
    assert tripped.actions.count(Action.FLATTEN) == 3
    tripped.at(61.0, held=1)
    assert "flatten: 1 position(s) are still held: close them in TWS" in tripped.told
    assert tripped.actions[-1] is Action.DISCONNECT


def test_closing_waits_for_a_connection_and_for_its_own_orders() -> None:
    tripped = Tripped(confirmed=False).at(0.1, held=1, can_send=False)
    assert Action.FLATTEN not in tripped.actions
    tripped.at(5.0, held=1)
    assert tripped.actions.count(Action.FLATTEN) == 1
    tripped.at(8.0, held=1, working=1)
    assert tripped.actions.count(Action.FLATTEN) == 1
    tripped.at(9.0)
    assert "flatten: nothing is held any more" in tripped.told
    assert tripped.sequence.stage is TripStage.DONE


def test_deadlines_are_of_the_clock_on_the_wall_where_a_gateway_is_in_a_hurry() -> None:
    tripped = Tripped(speed=60.0).at(599.0, working=1)
    assert tripped.actions == [Action.CANCEL]
    assert tripped.at(600.0, working=1).actions == [Action.CANCEL, Action.CANCEL]


# -- cash that no trade explains ------------------------------------------------------------------------------


def looked(
    watch: CashWatch, told: float, told_at: float, now: float, books: float = 1_000.0
) -> list[tuple[str, float]]:
    at = T0 + round(now * NS_PER_S)
    return watch.look({"USD": told}, {"USD": T0 + round(told_at * NS_PER_S)}, {"USD": books}, at)


def test_cash_that_came_without_a_trade_is_found_when_it_stays() -> None:
    watch = CashWatch()
    watch.moved(T0)
    assert looked(watch, 1_500.0, 6, 6) == []
    assert looked(watch, 1_500.0, 6, 10) == []
    assert looked(watch, 1_500.0, 6, 11) == [("USD", 500.0)]


@pytest.mark.parametrize(("told_at", "told"), [(4.0, 1_500.0), (20.0, 1_000.005), (20.0, math.nan)])
def test_cash_that_is_older_than_the_last_fill_or_within_a_cent_or_unknown_is_no_flow(
    told_at: float, told: float
) -> None:
    watch = CashWatch()
    watch.moved(T0)
    assert [looked(watch, told, told_at, now) for now in (20, 26, 60)] == [[], [], []]


def test_a_fill_in_between_begins_anew() -> None:
    watch = CashWatch()
    assert looked(watch, 900.0, 1, 1) == []
    watch.moved(T0 + 3 * NS_PER_S)
    assert looked(watch, 900.0, 1, 7) == []
    assert looked(watch, 900.0, 9, 9) == []
    assert looked(watch, 900.0, 9, 14) == [("USD", -100.0)]
