"""Every shipped strategy on a synthetic market: the journal does not depend on how the tape is cut into batches."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from backtests.engine import run_tape
from backtests.settings import Settings
from feeds.load import DataOptions, load_tape
from feeds.sample import write_sample
from papertape import Strategy
from strategies.opening_range_breakout import OpeningRangeBreakout
from strategies.sma_cross import SmaCross
from strategies.tick_momentum import TickMomentum
from strategies.top_movers import TopMovers


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    write_sample(folder, symbols=4, days=2, seed=7)
    return folder


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: TickMomentum(up=0.002, down=0.002), "trades"),
        (lambda: TickMomentum(up=0.002, down=0.002), ""),  # quotes, trades and bars together
        (TopMovers, "bars"),
        (lambda: TopMovers(exit_at="11:00"), ""),
        (SmaCross, "bars"),
        (lambda: SmaCross(fast=2, slow=4, bars="7m"), "trades"),
        (OpeningRangeBreakout, "bars"),
        (OpeningRangeBreakout, "trades"),
        (lambda: OpeningRangeBreakout(exit_at="open+40m"), ""),
    ],
)
@pytest.mark.parametrize("latency", ["0ms", "300ms"])
def test_the_journal_is_the_same_in_any_pieces(
    make: Callable[[], Strategy], part: str, latency: str, market: Path
) -> None:
    tape = load_tape(market / part, DataOptions(cache=False))
    settings = Settings(latency=latency, request_latency=latency)
    chance = random.Random(1)
    whole, small, mixed = (
        run_tape(make(), tape, settings, chunk=chunk, keep_prices=True).journal
        for chunk in (65_536, 61, lambda: chance.choice([1, 2, 500, 3000]))
    )
    assert whole.count(b"order") > 0
    assert small == whole
    assert mixed == whole
