"""Strategies written for backtrader trade a day on the simulated gateway, over a socket, as they do in their backtests."""

from __future__ import annotations

import collections
import os
from pathlib import Path

import pytest

pytest.importorskip("backtrader", reason="backtrader is not installed: pip install '.[backtrader]'")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install '.[backtrader]'")
pytest.importorskip("ibapi", reason="the client of TWS's API is not installed: pip install '.[ib]'")

from backtests.cerebro_hosted import hosted
from backtests.settings import Settings
from feeds.load import DataOptions, load_tape
from feeds.sample import write_sample
from papertape.core.series import Tape
from tests.backtests import backtrader_strategies as theirs
from tests.e2e.paired import Paired, play_both

SECOND = 1_000_000_000
SETTINGS = Settings(start="2024-06-04T09:30", end="2024-06-04T16:00:30")
pytestmark = pytest.mark.filterwarnings(r"ignore:datetime.*utc.* is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of one stock: trades and quotes."""
    path = tmp_path_factory.mktemp("backtrader") / "sample"
    write_sample(path, symbols=1, days=2, seed=7)
    return path


@pytest.fixture(scope="module")
def calm(folder: Path) -> Tape:
    """The same with a trade and a quote in twenty seconds at most, so that a day is played in seconds."""
    return load_tape(folder, DataOptions(cache=False, conflate_ns=20 * SECOND))


def played(tape: Tape, out: Path, name: str, **parameters: object) -> Paired:
    """A strategy's backtest and its paper run of the second day."""
    kind = hosted(getattr(theirs, name))
    return play_both(lambda: kind(bars="1m", **parameters), tape, SETTINGS, out)


def assert_same(both: Paired, orders: int, kinds: set[str]) -> None:
    """Nothing differs, orders of these types were given, some were filled, and the money is the same."""
    assert both.parity.is_same, both.shown
    assert both.parity.orders >= orders
    filled = collections.Counter(both.paper.orders["type"][both.paper.orders["status"] == "FILLED"].tolist())
    assert filled.keys() >= kinds
    assert both.paper.final_equity == pytest.approx(both.backtest.final_equity, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "parameters", "orders", "kinds"),
    [
        ("SmaCross", {}, 10, {"MARKET"}),
        ("AtrTrail", {}, 10, {"MARKET", "STOP"}),
        ("Brackets", {"valid": 15}, 20, {"LIMIT"}),
        ("OcoEntries", {}, 20, {"LIMIT", "MARKET"}),
    ],
)
def test_a_backtrader_strategy_trades_a_day_on_paper_as_in_its_backtest(
    calm: Tape, tmp_path: Path, name: str, parameters: dict[str, object], orders: int, kinds: set[str]
) -> None:
    assert_same(played(calm, tmp_path, name, **parameters), orders, kinds)


@pytest.mark.soak
@pytest.mark.skipif("PAPERTAPE_SOAK" not in os.environ, reason="make soak plays every trade of the day")
@pytest.mark.parametrize("name", ["SmaCross", "AtrTrail", "Brackets", "OcoEntries", "MacdTarget", "TimedEntries"])
def test_a_backtrader_strategy_trades_every_trade_of_a_day_on_paper_as_in_its_backtest(
    folder: Path, tmp_path: Path, name: str
) -> None:
    assert_same(played(load_tape(folder, DataOptions(cache=False)), tmp_path, name), 8, set())
