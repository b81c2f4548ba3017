"""Our engine against backtrader's broker: the same strategy on the same tape gives the same fills and the same cash.

A seed that fails is played again with ``python -m tests.property.test_cerebro_oracle SEED``.
"""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.property.cerebro_cases import fills_of, make_case, play

pytest.importorskip("backtrader", reason="needs the extra backtrader")

EXAMPLES = settings().max_examples // 2
"""Each example is two runs, and Cerebro takes about a millisecond an event."""


def check(seed: int, *, bars: bool, scarce: bool = False) -> tuple[Counter[str], Counter[str]]:
    """Play a seed by both and compare; returns what was decided and how orders ended."""
    case = make_case(seed, bars=bars, scarce=scarce)
    ours_strategy, ours = play(case, "papertape")
    theirs_strategy, theirs = play(case, "backtrader")
    assert ours_strategy.heard == theirs_strategy.heard
    assert fills_of(ours) == fills_of(theirs)
    assert ours.orders["fee"] == pytest.approx(theirs.orders["fee"], abs=1e-9)
    assert list(ours.orders["status"]) == list(theirs.orders["status"])
    assert ours.cash["USD"] == pytest.approx(theirs.cash["USD"], abs=0.005)
    assert ours.final_equity == pytest.approx(theirs.final_equity, abs=0.005)
    for name in ("ts", "last", "low", "high") if not scarce else ():  # a rejection, too, is a point of the curve
        assert ours.equity[name] == pytest.approx(theirs.equity[name], rel=1e-12)
    assert ours.drawdown.trough_ts == theirs.drawdown.trough_ts
    assert ours.drawdown.depth == pytest.approx(theirs.drawdown.depth, abs=1e-12)
    assert ours.positions["quantity"].tolist() == theirs.positions["quantity"].tolist()
    return ours_strategy.done, Counter(ours.orders["status"])


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32))
def test_both_engines_fill_alike_on_trades(seed: int) -> None:
    note(f"trades {seed}")
    check(seed, bars=False)


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32))
def test_both_engines_fill_alike_on_bars(seed: int) -> None:
    note(f"bars {seed}")
    check(seed, bars=True)


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32), st.booleans())
def test_both_engines_reject_alike_what_the_cash_can_not_pay_for(seed: int, bars: bool) -> None:
    note(f"scarce, bars={bars}, {seed}")
    check(seed, bars=bars, scarce=True)


def test_the_cases_reach_what_they_are_for() -> None:
    done: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for seed in range(12):
        for bars, scarce in ((True, False), (False, False), (seed % 2 == 0, True)):
            what, how = check(seed, bars=bars, scarce=scarce)
            done += what
            ended += how
    assert min(done[each] for each in ("plain", "exits", "family", "take_back")) > 20
    assert min(ended[each] for each in ("FILLED", "CANCELLED", "REJECTED", "EXPIRED")) > 5


if __name__ == "__main__":
    for given_seed in map(int, sys.argv[1:]):
        for on_bars, with_little in ((False, False), (True, False), (False, True), (True, True)):
            print(given_seed, on_bars, with_little, *check(given_seed, bars=on_bars, scarce=with_little))
