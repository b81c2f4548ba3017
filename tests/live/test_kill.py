"""Runs that are killed with SIGKILL at every place that matters, resumed, and killed again: nothing is lost or doubled."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from papertape.core.model import NS_PER_S
from papertape.runs import open_run
from tests.live.crashing import SOAK
from tests.live.kill_rig import START, Forks, Rig, check_agrees, tape
from tests.live.killed_run import ONCE, PLACES, TRIP_PLACES

pytestmark = pytest.mark.soak
SEEDS = range(20) if SOAK else range(1)
KILLS = 12
TRIPS: dict[str, Any] = {"strategy": "Falling", "guard": {"max_drawdown": 0.0005, "flatten": True}}


def play_with_kills(rig: Rig, drawn: random.Random, places: Sequence[str], turns: int = 0) -> dict[str, Any]:
    """Execute a run to its end, with a kill at each of the places on the way, or at a turn where that does not come."""
    for place in places:
        nth = 1 if place in ONCE else drawn.randint(1, 4)
        result = rig.play(place, nth, turns=turns and drawn.randint(turns // 2, turns))
        if result is not None:
            return result
    return rig.play_to_its_end()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_that_is_killed_again_and_again_ends_as_the_gateway_says(seed: int, forks: Forks, tmp_path: Path) -> None:
    drawn = random.Random(seed)
    places = drawn.sample(PLACES, len(PLACES))
    with Rig(forks, tmp_path, tape(30, seed)) as rig:
        result = play_with_kills(rig, drawn, places[:KILLS], turns=24)
        assert result.get("error") is None
        assert result["halted"] == result["trip"] == ""
        assert rig.kills >= 6
        assert result["numbers"] >= 20, "a run that hardly trades shows nothing"
        saved = rig.account()
        check_agrees(saved, result, rig.run)
        run = open_run(rig.run).record
        assert len(run.fills["ts"]) == len([each for each in saved.executions if each.quantity])
        starts = [text for _, text in run.log if text.startswith("started with")]
        assert len(starts) >= 2, "what processes before the last one said is in the record"
        assert run.custom["price"][0][0] < START + 20 * NS_PER_S
        assert run.equity["ts"][0] < START + 20 * NS_PER_S


@pytest.mark.parametrize("seed", SEEDS)
def test_what_follows_a_trip_is_finished_after_kills_in_the_middle_of_it(
    seed: int, forks: Forks, tmp_path: Path
) -> None:
    drawn = random.Random(seed)
    places = [*TRIP_PLACES, *drawn.sample(TRIP_PLACES[2:], 2), "before sending order", "after sending order"]
    with Rig(forks, tmp_path, tape(30, seed, drift=-2.0), **TRIPS) as rig:
        result = play_with_kills(rig, drawn, places)
        assert result.get("error") is None
        assert result["trip"], "the guard was to trip"
        assert rig.kills >= 3
        assert result["positions"] == {}, result["notices"]
        check_agrees(rig.account(), result, rig.run)


@pytest.mark.parametrize("seed", range(6) if SOAK else range(1))
def test_killed_at_any_moment_while_the_market_goes_on(seed: int, forks: Forks, tmp_path: Path) -> None:
    """Both halves in their threads, and a market that does not wait for anybody."""
    drawn = random.Random(seed)
    seconds, speed = (280, 8) if SOAK else (64, 8)
    with Rig(forks, tmp_path, tape(seconds, seed), speed=speed) as rig:
        while rig.gateway.now < rig.last - 44 * NS_PER_S:
            assert rig.play(after_s=drawn.uniform(0.3, 1.2)) is None
        result = rig.play_to_its_end()
        assert result.get("error") is None
        assert result["halted"] == result["trip"] == ""
        assert rig.kills >= 2
        check_agrees(rig.account(), result, rig.run)
