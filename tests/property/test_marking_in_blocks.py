"""Trades are judged by the block where that can be done: what comes out is what comes out one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from backtests.engine import run_tape
from backtests.settings import Settings
from papertape.core.blocks import BLOCK, empty_blocks, survey
from papertape.core.filters import Before, moved
from papertape.core.guard import GuardSettings
from papertape.core.model import EventKind, Side
from papertape.core.series import Series, Tape
from strategies.base import Strategy

OPEN = 1_704_292_200_000_000_000  # 2024-01-03 09:30 New York
N = 4 * BLOCK + 77
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""No shrinking: a case is a tape, and a shorter way to draw one is no simpler."""


class Holder(Strategy):
    """Buys or sells short at the start; with a limit order that rests, and wakes at large moves."""

    allow_short = True
    side: int = 1
    limit: float = 0.0

    def on_start(self) -> None:
        self.subscribe("X", when=moved(0.02))
        self.order("X", Side(self.side), 10)
        if self.limit:
            self.order("X", Side(-self.side), 3, limit=self.limit, tif="GTC")

    def on_trade(self, trade):
        self.record("heard", trade.price)


@st.composite
def tapes(draw: st.DrawFn) -> Tape:
    """Prices of few values, so that peaks, troughs and recoveries are met again exactly; times alike or apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([2, 3, 5, 40]))
    calm = draw(st.sampled_from([0.0, 0.9, 0.999]))
    steps = np.where(rng.random(N) < calm, 0, rng.integers(-1, 2, N))
    price = 100.0 + np.abs(np.cumsum(steps)) % levels
    gaps = rng.choice([0, 1_000_000, 700_000_000], N, p=draw(st.sampled_from([(0.5, 0.5, 0.0), (0.1, 0.8, 0.1)])))
    return Tape((Series("X", EventKind.TRADE, OPEN + np.cumsum(gaps), (price, np.full(N, 50.0))),), {})


def outcome(tape: Tape, chunk: int, side: int, limit: float, guarded: bool) -> list[object]:
    guard = GuardSettings(max_drawdown="0.1%", flatten=True) if guarded else GuardSettings()
    strategy = Holder(side=side, limit=limit)
    record = run_tape(strategy, tape, Settings(cash=20_000.0, fees="none", margin=2.0, guard=guard), chunk=chunk)
    columns = [record.equity, record.points, record.fills]
    return [
        record.drawdown,
        record.final_equity,
        record.metrics,
        [(each.ts, each.kind) for each in record.guard],
        [{name: column.tolist() for name, column in each.items()} for each in columns],
    ]


@pytest.mark.parametrize("guarded", [False, True])
@settings(deadline=None, max_examples=15, phases=PHASES, print_blob=True)
@given(tapes(), st.sampled_from([1, -1]), st.sampled_from([0.0, 101.0, 103.0]), st.integers(2, 3 * BLOCK))
def test_blocks_leave_the_same_equity_drawdown_and_fills_as_single_trades(guarded, tape, side, limit, chunk):
    one_by_one = outcome(tape, 1, side, limit, guarded)
    assert outcome(tape, N, side, limit, guarded) == one_by_one
    assert outcome(tape, chunk, side, limit, guarded) == one_by_one


@settings(deadline=None, max_examples=50, phases=PHASES)
@given(tapes(), st.floats(0.001, 0.5), st.integers(0, 2 * BLOCK))
def test_a_filter_finds_by_blocks_what_it_finds_by_looking_at_each_trade(tape, size, begin):
    series = tape.series[0]
    ts, price = series.ts[begin:], series.columns[0][begin:]
    before = Before(int(ts[0]) - 1, 100.0)
    when = moved(size)
    found = np.flatnonzero(when.mask(ts, price, before)).tolist()
    blocks = empty_blocks(len(ts))
    assert survey(ts, price, *blocks)
    assert when.hits(ts, price, before, blocks).tolist() == found
    assert when.hits(ts, price, before).tolist() == found
