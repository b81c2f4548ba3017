"""Strategies written for backtrader trade a day on the simulated gateway, over a socket, as they do in their backtests."""

from __future__ import annotations

import collections
import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("backtrader", reason="backtrader is not installed: pip install '.[backtrader]'")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install '.[backtrader]'")
pytest.importorskip("ibapi", reason="the client of TWS's API is not installed: pip install '.[ib]'")

from backtests.cerebro_hosted import hosted
from backtests.settings import Settings
from feeds.load import DataOptions, load_tape
from feeds.sample import write_sample
from papertape.core.model import EventKind
from papertape.core.series import Tape
from tests.backtests import backtrader_strategies as theirs
from tests.e2e.paired import Paired, play_both

SECOND = 1_000_000_000
pytestmark = pytest.mark.filterwarnings(r"ignore:datetime.*utc.* is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of one stock: trades and quotes."""
    path = tmp_path_factory.mktemp("backtrader") / "sample"
    write_sample(path, symbols=1, days=2, seed=7)
    return path


@pytest.fixture(scope="module")
def calm(folder: Path) -> Tape:
    """The same with a trade and a quote in 53 seconds at most, so that a day is played in seconds; bars are made of them."""
    tape = load_tape(folder, DataOptions(cache=False, conflate_ns=53 * SECOND))
    return dataclasses.replace(tape, series=tuple(each for each in tape.series if each.kind is not EventKind.BAR))


def played(tape: Tape, out: Path, name: str, end: str = "16:00:30", **parameters: Any) -> Paired:
    """A strategy's backtest and its paper run of the second day, up to a time."""
    kind = hosted(getattr(theirs, name))
    settings = Settings(start="2024-06-04T09:30", end=f"2024-06-04T{end}")
    return play_both(lambda: kind(bars="1m", **parameters), tape, settings, out)


def assert_same(both: Paired, orders: int, kinds: set[str]) -> None:
    """Nothing differs, orders of these types were given, some were filled, and the money is the same."""
    assert both.parity.is_same, both.shown
    assert both.parity.orders >= orders
    filled = collections.Counter(both.paper.orders["type"][both.paper.orders["status"] == "FILLED"].tolist())
    assert filled.keys() >= kinds
    assert both.paper.final_equity == pytest.approx(both.backtest.final_equity, abs=1e-6)


soak = [
    pytest.mark.soak,
    pytest.mark.skipif("PAPERTAPE_SOAK" not in os.environ, reason="make soak plays more days"),
]


@pytest.mark.parametrize(
    ("name", "parameters", "orders", "kinds"),
    [
        pytest.param("SmaCross", {"fast": 4, "slow": 12}, 12, {"MARKET"}),
        pytest.param("Brackets", {"valid": 15}, 20, {"LIMIT"}, marks=soak),
        pytest.param("OcoEntries", {}, 20, {"LIMIT", "MARKET"}, marks=soak),
        # A stop that is cancelled may fill until the broker has confirmed: the guard counts it, and the new one beside it
        # would be a short sale.
        pytest.param("AtrTrail", {"allow_short": True}, 12, {"MARKET", "STOP"}, marks=soak),
    ],
)
def test_a_backtrader_strategy_trades_a_day_on_paper_as_in_its_backtest(
    calm: Tape, tmp_path: Path, name: str, parameters: dict[str, Any], orders: int, kinds: set[str]
) -> None:
    assert_same(played(calm, tmp_path, name, **parameters), orders, kinds)


def test_brackets_trade_a_morning_on_paper_as_in_their_backtest(calm: Tape, tmp_path: Path) -> None:
    both = played(calm, tmp_path, "Brackets", end="11:30", every=9, away=0.002, valid=15)
    assert_same(both, 9, {"LIMIT", "STOP"})


@pytest.mark.parametrize("name", [pytest.param("SmaCross", marks=soak), pytest.param("OcoEntries", marks=soak)])
def test_a_backtrader_strategy_trades_every_trade_of_a_day_on_paper_as_in_its_backtest(
    folder: Path, tmp_path: Path, name: str
) -> None:
    assert_same(played(load_tape(folder, DataOptions(cache=False)), tmp_path, name), 8, set())
