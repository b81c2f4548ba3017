"""The shipped class with its filter against a compiled loop by hand: from arrays to finished metrics."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.hand import FEES, by_hand, compare
from benchmarks.measure import Bound, Direction, Plan, Row, Timing, side_by_side
from benchmarks.tapes import SYMBOL, ticks
from papertape import backtest
from strategies.tick_momentum import TickMomentum

BOUND = Bound(Direction.AT_LEAST, 0.5, 0.8, " of its speed")


def measure(plan: Plan) -> Iterator[Row]:
    """Ten million ticks in memory."""
    tape = ticks(plan.size(10_000_000, 20_000))
    data = tape.data()
    run = backtest(TickMomentum(universe=[SYMBOL]), data, fees=FEES)
    compare("filtered", run, tape, by_hand(tape))
    times = side_by_side(
        {
            "ours": lambda: backtest(TickMomentum(universe=[SYMBOL]), data, fees=FEES),
            "theirs": lambda: by_hand(tape),
        },
        plan.repeats,
    )
    ours = Timing("backtest()", times["ours"], len(tape))
    theirs = Timing("Numba loop", times["theirs"], len(tape))
    what = f"tick momentum with its filter, {len(tape):,} ticks in memory, against a Numba loop by hand"
    yield Row(what, BOUND, theirs.per_event / ours.per_event, (ours, theirs), f"{len(run.record.fills['ts'])} fills")
