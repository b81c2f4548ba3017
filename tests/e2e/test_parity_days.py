"""Whole days in lockstep: backtest and paper run are the same from the open to the close, with each source of trades."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backtests.settings import Settings
from feeds.lean import import_lean
from feeds.load import DataOptions, load_tape
from papertape.core.series import Tape
from papertape.live.settings import TradesFrom
from strategies.tick_momentum import TickMomentum
from strategies.top_movers import TopMovers
from tests.e2e.conftest import DATA
from tests.e2e.paired import play_both
from tests.e2e.resting_orders import RestingOrders

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif("PAPERTAPE_SOAK" not in os.environ, reason="make soak plays whole days"),
]
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real data is not beside the repository")
pytest.importorskip("ibapi", reason="the client of TWS's API is not installed: pip install '.[ib]'")


@pytest.mark.parametrize("trades", list(TradesFrom), ids=str)
def test_tick_momentum_is_the_same_on_two_days_of_the_sample(sample: Tape, tmp_path: Path, trades: TradesFrom) -> None:
    both = play_both(
        lambda: TickMomentum(up=0.001, down=0.001, price_above=5, top=3), sample, Settings(), tmp_path, trades=trades
    )
    assert both.parity.is_same, both.shown
    assert both.parity.orders > 100


def test_resting_orders_are_the_same_on_two_days_of_the_sample(sample: Tape, tmp_path: Path) -> None:
    settings = Settings(volume_share=0.5, cash=1e6)
    both = play_both(lambda: RestingOrders(move=0.002), sample, settings, tmp_path)
    assert both.parity.is_same, both.shown
    assert both.parity.orders > 1_000


@needs_data
@pytest.mark.parametrize(
    ("trades", "end"),
    [(TradesFrom.AUTO, "16:00:30"), (TradesFrom.ALL_LAST, "10:00"), (TradesFrom.RT_VOLUME, "10:00")],
    ids=str,
)
def test_tick_momentum_is_the_same_on_a_real_day(tmp_path: Path, trades: TradesFrom, end: str) -> None:
    import_lean(DATA / "lean", tmp_path, symbols=["AIG", "BAC", "IBM"], resolutions=["tick"])
    tape = load_tape(tmp_path / "tick")
    settings = Settings(start="2013-10-08T09:30", end=f"2013-10-08T{end}")
    both = play_both(
        lambda: TickMomentum(universe=["AIG", "BAC", "IBM"], up=0.0005, down=0.0005), tape, settings, tmp_path / "runs",
        trades=trades,
    )  # fmt: skip
    assert both.parity.is_same, both.shown
    assert both.parity.orders > 100


@needs_data
def test_top_movers_is_the_same_on_real_days_of_minute_bars(tmp_path: Path) -> None:
    options = DataOptions(tz="America/New_York", bar_stamp="close", cache=False)
    tape = load_tape(f"{DATA}/eqker/*_1min.csv", options)
    both = play_both(
        lambda: TopMovers(market_cap_below_millions=None), tape,
        Settings(start="2019-02-12T09:30", end="2019-02-13T16:00:30"), tmp_path,
    )  # fmt: skip
    assert both.parity.is_same, both.shown
    assert both.parity.orders >= 4
