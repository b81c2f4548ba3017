"""A backtest and a paper run in lockstep on the simulated gateway, over a socket with the real client, are the same.

Order by order and fill by fill: sequence, symbol, side, type, quantity, prices, fees, statuses, what the guard did, and
times to the second, which is all that TWS tells of them.
"""

from __future__ import annotations

import collections
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backtests.compare.opening import compare
from backtests.compare.plain import comparison_json
from backtests.settings import Settings
from feeds.lean import import_lean
from feeds.load import DataOptions, load_tape
from gateway.scenario import Scenario
from papertape import Strategy
from papertape.cli.comparison_text import comparison_lines
from papertape.core.guard import GuardSettings
from papertape.core.model import OrderStatus
from papertape.core.record import RunRecord
from papertape.core.series import Tape
from papertape.live.settings import TradesFrom
from papertape.store import save_run
from strategies.tick_momentum import TickMomentum
from strategies.top_movers import TopMovers
from tests.e2e.clockwork import Clockwork
from tests.e2e.conftest import DATA
from tests.e2e.paired import Paired, play_both
from tests.e2e.resting_orders import RestingOrders

ROOT = Path(__file__).resolve().parents[2]
DAY = "2024-06-04"
ZONE = "America/New_York"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real data is not beside the repository")
pytest.importorskip("ibapi", reason="the client of TWS's API is not installed: pip install '.[ib]'")


def minutes(begin: str, end: str, **settings: object) -> Settings:
    """Settings for a part of the sample's second day, so that there is a day before it."""
    return Settings(start=f"{DAY}T{begin}", end=f"{DAY}T{end}", **settings)  # type: ignore[arg-type]


def counts(record: RunRecord, column: str) -> collections.Counter[str]:
    return collections.Counter(record.orders[column].tolist())


def assert_same(both: Paired, orders: int) -> None:
    """Nothing differs, and there was something that could have: at least so many orders, of both sides."""
    assert both.parity.is_same, both.shown
    assert both.parity.orders >= orders
    assert len(both.backtest.orders["ts"]) == both.parity.orders
    assert {"BUY", "SELL"} <= counts(both.paper, "side").keys()
    assert both.paper.final_equity == pytest.approx(both.backtest.final_equity, abs=1e-6)


@pytest.mark.parametrize("trades", list(TradesFrom), ids=str)
def test_tick_momentum_is_the_same_with_each_source_of_trades(sample: Tape, tmp_path: Path, trades: TradesFrom) -> None:
    def make() -> TickMomentum:
        return TickMomentum(up=0.0002, down=0.0002, top=3, price_above=5, scan_at="09:31")

    both = play_both(make, sample, minutes("09:30", "09:34"), tmp_path, trades=trades)
    assert_same(both, orders=100)
    said = " ".join(note.text for note in both.paper.notes if note.code.startswith("data_"))
    assert ("RTVolume" in said) is (trades is TradesFrom.RT_VOLUME)


@pytest.mark.parametrize(("count", "sources"), [(3, {"AllLast"}), (6, {"AllLast", "RTVolume"})])
def test_orders_that_rest_and_fill_in_parts_are_the_same(
    sample: Tape, tmp_path: Path, count: int, sources: set[str]
) -> None:
    settings = minutes("09:30", "09:32", volume_share=0.5, cash=1e6)
    both = play_both(RestingOrders, sample, settings, tmp_path, symbols=sample.symbols[:count])
    assert_same(both, orders=100 if count > 3 else 50)
    assert {"MARKET", "LIMIT", "STOP", "STOP_LIMIT", "TRAIL"} <= counts(both.paper, "type").keys()
    assert counts(both.paper, "status").keys() >= {OrderStatus.FILLED.name, OrderStatus.CANCELLED.name}
    assert len(both.paper.fills["ts"]) > len(set(both.paper.fills["order"].tolist())), "some fill in parts"
    said = {note.code.rpartition("_")[2] for note in both.paper.notes if note.code.startswith("data_")}
    assert said == sources, "three instruments tick by tick, and those beyond"


class CancelsAtTheEnd(Strategy):
    """Leaves two orders working, and asks for the end of one of them when the run ends."""

    def on_start(self) -> None:
        self.orders = [self.buy(self.symbols[0], 1, limit=limit, tif="GTC") for limit in (1.0, 2.0)]

    def on_stop(self) -> None:
        self.cancel(self.orders[0])


def test_what_a_strategy_asks_for_when_the_run_ends_is_done(sample: Tape, tmp_path: Path) -> None:
    both = play_both(CancelsAtTheEnd, sample, minutes("09:30", "09:30:05"), tmp_path)
    assert both.parity.is_same, both.shown
    assert both.paper.orders["status"].tolist() == ["CANCELLED", "SUBMITTED"]


def test_top_movers_is_the_same_on_the_sample(sample: Tape, tmp_path: Path) -> None:
    def make() -> TopMovers:
        return TopMovers(market_cap_below_millions=None, scan_at="09:32", exit_at="09:33:30")

    both = play_both(make, sample, minutes("09:30", "09:34"), tmp_path)
    assert_same(both, orders=2)
    assert log_of(both.paper) == log_of(both.backtest)


def log_of(record: RunRecord) -> list[tuple[int, str]]:
    """What the strategy wrote down, without orders' states: a broker takes a moment to confirm what it was sent."""
    return [(ts, text) for ts, text in record.log if not text.startswith("open order")]


# --- real days --------------------------------------------------------------------------------------------------------


@needs_data
def test_tick_momentum_is_the_same_on_a_real_morning(tmp_path: Path) -> None:
    import_lean(DATA / "lean", tmp_path, symbols=["AIG", "BAC", "IBM"], resolutions=["tick"])
    tape = load_tape(tmp_path / "tick")
    settings = Settings(start="2013-10-08T09:30", end="2013-10-08T09:31:30")

    def make() -> TickMomentum:
        return TickMomentum(universe=["AIG", "BAC", "IBM"], up=0.0002, down=0.0002)

    assert_same(play_both(make, tape, settings, tmp_path / "runs"), orders=100)


@needs_data
def test_top_movers_is_the_same_on_a_real_morning_of_minute_bars(tmp_path: Path) -> None:
    options = DataOptions(tz=ZONE, bar_stamp="close", cache=False)
    tape = load_tape(f"{DATA}/eqker/*_1min.csv", options)
    settings = Settings(start="2019-02-12T09:30", end="2019-02-12T09:52")

    def make() -> TopMovers:
        return TopMovers(market_cap_below_millions=None, scan_at="09:45", exit_at="09:50")

    both = play_both(make, tape, settings, tmp_path)
    assert_same(both, orders=2)
    assert log_of(both.paper) == log_of(both.backtest)


# --- the guard --------------------------------------------------------------------------------------------------------


def test_a_trip_of_the_guard_is_the_same_and_cancels_the_same_orders(sample: Tape, tmp_path: Path) -> None:
    guard = GuardSettings(max_drawdown=0.001)
    both = play_both(RestingOrders, sample, minutes("09:30", "09:32:30", volume_share=0.5, guard=guard), tmp_path)
    assert_same(both, orders=100)
    kinds = collections.Counter(event.kind for event in both.paper.guard)
    assert kinds["trip"] == 1
    assert kinds["cancelled"] > 3
    assert kinds["refused"] > 3


def test_a_trip_that_flattens_closes_the_same_positions_at_the_same_prices(sample: Tape, tmp_path: Path) -> None:
    guard = GuardSettings(max_drawdown=0.001, flatten=True, flatten_confirmed=False)
    both = play_both(RestingOrders, sample, minutes("09:30", "09:32:30", volume_share=0.5, guard=guard), tmp_path)
    # What the strategy is refused at the very event of the trip may differ: there the cancels are on their way still.
    assert [each for each in both.parity.differences if each.table != "refusals"] == [], both.shown
    assert sum(event.kind == "flattened" for event in both.paper.guard) > 1
    assert not both.paper.positions["quantity"].any()


# --- the comparison can fail ----------------------------------------------------------------------------------------


FAULTS = {
    "a trade is skipped": '[[fault]]\nkind = "drop"\nmessage = "tick-last"\nnth = 7',
    "two fills are swapped": "\n".join(
        f'[[fault]]\nkind = "reorder"\nmessage = "{name}"\nbehind = "{name}"\nnth = 3'
        for name in ("execution", "commission")
    ),
    "a commission is dropped": '[[fault]]\nkind = "drop"\nmessage = "commission"\nnth = 5',
}


@pytest.mark.parametrize(("fault", "table"), list(zip(FAULTS, ("orders", "fills", "fills"), strict=True)))
def test_the_comparison_is_not_empty_where(sample: Tape, tmp_path: Path, fault: str, table: str) -> None:
    settings = minutes("09:30", "09:30:40")
    both = play_both(Clockwork, sample, settings, tmp_path, scenario=Scenario.parse(FAULTS[fault], "test"))
    assert any(each.table == table for each in both.parity.differences), both.shown


def test_without_a_fault_the_same_run_has_no_differences(sample: Tape, tmp_path: Path) -> None:
    assert_same(play_both(Clockwork, sample, minutes("09:30", "09:30:40"), tmp_path), orders=50)


@pytest.mark.parametrize("trades", [TradesFrom.ALL_LAST, TradesFrom.RT_VOLUME], ids=str)
def test_the_first_trades_of_a_tape_are_heard_though_nothing_was_known_before_them(
    sample: Tape, tmp_path: Path, trades: TradesFrom
) -> None:
    settings = Settings(end="2024-06-03T09:30:20")
    assert_same(play_both(Clockwork, sample, settings, tmp_path, trades=trades), orders=20)


# --- the oldest client ----------------------------------------------------------------------------------------------


def oldest_client() -> Path:
    """Where ibapi 9.81 is installed; skips where it is not."""
    elsewhere = os.environ.get("PAPERTAPE_CLIENTS")
    environment = Path(elsewhere) / "v981" if elsewhere else ROOT / ".clients" / "ibapi-9.81"
    found = sorted(environment.glob("lib/python*/site-packages"))
    if not found:
        pytest.skip("the client ibapi-9.81 is not installed: make clients")
    return found[0]


@pytest.mark.skipif("PAPERTAPE_CLIENT_OF_TEST" in os.environ, reason="this is that run")
def test_with_the_oldest_client_runs_are_the_same_too() -> None:
    """With trades tick by tick: to such clients RTVolume counts round lots, and trades of less than one are lost."""
    path = os.pathsep.join([str(oldest_client()), str(ROOT)])
    environment = {**os.environ, "PAPERTAPE_CLIENT_OF_TEST": "9.81", "PYTHONPATH": path}
    chosen = "(rest_and_fill and 3) or top_movers_is_the_same_on_the_sample or (each_source and alllast)"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-W", "ignore::SyntaxWarning",
               __file__, "-k", chosen, "--durations=5"]  # fmt: skip
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stdout[-3_000:] + ran.stderr[-1_000:]
    assert "3 passed" in ran.stdout


# --- what the user sees -----------------------------------------------------------------------------------------------


def test_papertape_compare_says_of_a_paper_run_and_its_backtest_that_nothing_differs(
    sample: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = minutes("09:30", "09:30:40")
    both = play_both(Clockwork, sample, settings, tmp_path / "paper")
    (paper,) = (tmp_path / "paper").iterdir()
    backtest = save_run(both.backtest, tmp_path / "backtest")
    comparison = compare(backtest, paper)
    assert comparison.parity is not None
    assert comparison.parity.is_same
    assert comparison.parity.orders == len(both.backtest.orders["ts"]) > 50
    text = " ".join(" ".join(comparison_lines(comparison)).split())
    assert "times to the second: differences: 0" in text
    assert "differences: 0" in comparison.to_html()
    assert comparison_json(comparison)["row_by_row"]["differences"] == 0


def test_papertape_compare_lists_what_differs(sample: Tape, tmp_path: Path) -> None:
    fault = Scenario.parse(FAULTS["a commission is dropped"], "test")
    both = play_both(Clockwork, sample, minutes("09:30", "09:30:40"), tmp_path / "paper", scenario=fault)
    comparison = compare(both.backtest, both.paper)
    text = "\n".join(comparison_lines(comparison))
    assert "differences: 0" not in " ".join(text.split())
    assert any(line.split()[:3] == ["orders", "5", "fee"] for line in text.splitlines()), text
    assert comparison.parity is not None
    assert comparison_json(comparison)["row_by_row"]["differences"] == len(comparison.parity.differences) > 0
