"""``papertape backtest``: what it prints, what it keeps, and with which status it ends."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from papertape.store import load_record
from tests.cli.conftest import write_trades

if TYPE_CHECKING:
    from tests.cli.conftest import Runner

KEYS = [
    "run", "strategy", "mode", "start", "end", "events", "orders", "fills", "fees", "starting_equity", "final_equity",
    "cash", "positions", "metrics", "guard", "warnings", "elapsed_s",
]  # fmt: skip


def test_json_is_the_one_object_of_the_specification_and_nothing_else(process: Runner) -> None:
    said = process("backtest", "my_jumps.py", "--data", "tape", "--fees", "none", "--json")
    assert said.status == 0, said.error
    summary = json.loads(said.out)
    assert list(summary) == KEYS
    assert summary["strategy"] == "Jumps"
    assert summary["orders"] == summary["fills"] == 3
    assert summary["positions"] == {"AAA": 20.0, "BBB": 10.0}
    assert summary["fees"] == 0.0
    assert summary["metrics"]["sharpe"] is None
    assert summary["guard"] == {"tripped": False, "count": 0, "events": []}
    assert said.error.count("heard") == 3, "what the strategy prints is kept off standard output"


def test_the_table_says_result_place_zone_and_currency(papertape: Runner, here: Path) -> None:
    said = papertape("backtest", "my_jumps.py", "--data", "tape", "--cash", "50000")
    assert said.status == 0
    assert "Starting equity  50,000.00 USD" in said.out
    assert "2024-06-03 09:30:00 EDT to 2024-06-03 16:00:00 EDT (America/New_York)" in said.out
    (run,) = (here / "runs").iterdir()
    assert said.out.rstrip().endswith(f"stored in {Path('runs') / run.name}")
    assert "SYNTHETIC" not in said.out
    assert "\x1b" not in said.out


def test_a_run_shorter_than_a_day_shows_nothing_annualised(papertape: Runner) -> None:
    said = papertape("backtest", "my_jumps.py", "--data", "tape")
    assert "Net profit" in said.out
    assert "Sharpe" not in said.out
    assert "CAGR" not in said.out


def test_a_generated_tape_is_called_synthetic_wherever_its_result_is_shown(papertape: Runner) -> None:
    assert papertape("sample", "made", "--symbols", 2, "--days", 1).status == 0
    assert "SYNTHETIC" in papertape("backtest", "my_jumps.py", "--data", "made").out
    assert "SYNTHETIC" in papertape("show", "last").out
    assert "synthetic" in papertape("runs").out
    grid = papertape("backtest", "my_jumps.py", "--data", "made", "--grid", "quantity=1,2", "--workers", 1)
    assert "SYNTHETIC" in grid.out


def test_a_trip_of_the_guard_ends_with_status_3_and_says_when(papertape: Runner) -> None:
    said = papertape("backtest", "my_jumps.py", "--data", "tape", "--max-drawdown", "0.1%")
    assert said.status == 3
    assert "TRIPPED at 2024-06-03 09:33:20 EDT: max_drawdown (net_liquidation)" in said.out


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--cash-floor", "99999"], "cash_floor BASE"),
        (["--cash-floor", "usd=99999"], "cash_floor USD"),
        (["--max-drawdown", "0.001", "--guard-reference", "start"], "max_drawdown (net_liquidation)"),
        (["--max-drawdown", "0.1%", "--guard-basis", "pnl"], "max_drawdown (pnl)"),
    ],
)
def test_every_limit_of_the_guard_reaches_it(papertape: Runner, options: list[str], rule: str) -> None:
    said = papertape("backtest", "my_jumps.py", "--data", "tape", "--json", *options)
    assert said.status == 3
    assert json.loads(said.out)["guard"]["events"][0]["rule"] == rule


@pytest.mark.parametrize(
    "options",
    [
        ["--max-order-quantity", "9"],
        ["--max-order-value", "100"],
        ["--max-position", "5"],
        ["--max-orders-per-minute", "1", "--set", "up=0.001", "--max-order-quantity", "9"],
        ["--allowed-symbols", "CCC, DDD"],
    ],
)
def test_orders_beyond_a_limit_are_refused_and_counted(papertape: Runner, options: list[str]) -> None:
    said = papertape("backtest", "my_jumps.py", "--data", "tape", *options)
    assert said.status == 0
    assert "refused 3 orders" in said.out


def test_flattening_closes_what_is_held(papertape: Runner) -> None:
    limits = ("--max-drawdown", "0.1%", "--flatten")
    summary = json.loads(papertape("backtest", "my_jumps.py", "--data", "tape", "--json", *limits).out)
    assert summary["positions"] == {}


def test_data_may_be_what_a_shell_makes_of_a_pattern(papertape: Runner) -> None:
    paths = ("tape/AAA.csv", "tape/BBB.csv")
    expanded = json.loads(papertape("backtest", "my_jumps.py", "--data", *paths, "--json").out)
    quoted = json.loads(papertape("backtest", "my_jumps.py", "--data", "tape/*.csv", "--json").out)
    assert expanded["events"] == quoted["events"] == 800


def test_symbols_name_what_the_strategy_follows(papertape: Runner) -> None:
    summary = json.loads(papertape("backtest", "my_jumps.py", "--data", "tape", "--symbols", "BBB", "--json").out)
    assert summary["positions"] == {"BBB": 10.0}


def test_a_slower_order_fills_later_and_slippage_costs(papertape: Runner) -> None:
    base = ("backtest", "my_jumps.py", "--data", "tape", "--symbols", "BBB", "--json")
    plain = json.loads(papertape(*base).out)
    worse = json.loads(papertape(*base, "--slippage", "1%").out)
    assert worse["cash"] < plain["cash"]
    assert papertape(*base, "--latency", "5s").status == 0
    late = papertape("show", "last", "--fills", "--json").out
    assert json.loads(late)[0]["ts"] == "2024-06-03T13:32:36.000000000Z", "an order is filled after its arrival"


def test_the_benchmark_may_be_a_symbol_of_the_tape_or_a_file(papertape: Runner) -> None:
    for benchmark in ("AAA", "tape/BBB.csv"):
        said = papertape("backtest", "my_jumps.py", "--data", "tape", "--benchmark", benchmark)
        assert said.status == 0, said.error
        assert "Beta" in said.out


def test_the_benchmarks_returns_are_kept_by_day_and_drawn_in_the_report(papertape: Runner, here: Path) -> None:
    commands = (("--benchmark", "AAA"), ("--benchmark", "AAA", "--grid", "quantity=5", "--workers", 1), ())
    for k, options in enumerate(commands):
        said = papertape("backtest", "my_jumps.py", "--data", "tape", "--out", f"runs-{k}", *options)
        assert said.status == 0, said.error
        (run,) = (here / f"runs-{k}").iterdir()
        (benchmark,) = load_record(run).daily["benchmark"]
        assert papertape("report", run, "--html", "page.html").status == 0
        page = (here / "page.html").read_text(encoding="utf-8")
        if options:
            assert benchmark == pytest.approx(1.06 * 0.8 * 1.06 - 1.0, abs=1e-3), "AAA's jumps of the day"
            assert "the same money in AAA" in page
        else:
            assert math.isnan(benchmark)
            assert "the same money in" not in page


def test_equal_runs_print_equal_journals(papertape: Runner) -> None:
    journals = []
    for _ in range(2):
        papertape("backtest", "my_jumps.py", "--data", "tape")
        journals.append(papertape("show", "last", "--journal").out)
    assert journals[0] == journals[1]
    assert journals[0].count('"order"') == 3


def test_nothing_of_a_terminal_reaches_a_file(process: Runner) -> None:
    said = process("backtest", "my_jumps.py", "--data", "tape")
    assert said.status == 0
    assert "\x1b" not in said.out + said.error
    assert "\r" not in said.out + said.error


def test_a_closed_pipe_is_no_error(here: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        f"'{sys.executable}' -m papertape strategies | head -n 1",
        shell=True, cwd=here, env={"PYTHONPATH": str(Path(__file__).parents[2])}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout == "tick_momentum\n"
    assert done.stderr == ""


def test_orders_that_still_work_at_the_end_are_said(papertape: Runner, here: Path) -> None:
    source = (here / "my_jumps.py").read_text().replace("self.quantity)", "self.quantity, limit=1.0, tif='GTC')")
    (here / "my_jumps.py").write_text(source)
    said = papertape("backtest", "my_jumps.py", "--data", "tape")
    line = next(line for line in said.out.splitlines() if "still working" in line)
    assert line.split()[-1] == "3"


def test_an_order_that_repeats_one_within_the_time_given_is_refused(papertape: Runner) -> None:
    base = ("backtest", "my_jumps.py", "--data", "tape", "--symbols", "AAA", "--duplicate-s")
    assert "refused 1 order" in papertape(*base, "201").out, "the jumps are 200 s apart"
    assert "nothing was refused" in papertape(*base, "199").out


def test_only_allowed_symbols_are_traded(papertape: Runner) -> None:
    said = papertape("backtest", "my_jumps.py", "--data", "tape", "--json", "--allowed-symbols", "BBB,CCC")
    assert json.loads(said.out)["positions"] == {"BBB": 10.0}


def test_cash_may_be_in_another_currency_than_the_base(papertape: Runner, here: Path) -> None:
    (here / "tape" / "instruments.csv").write_text("symbol,type,currency\nAAA,STK,USD\nBBB,STK,EUR\nEUR.USD,CASH,USD\n")
    write_trades(here / "tape" / "EUR.USD.csv", {}, price=1.25)
    base = ("backtest", "my_jumps.py", "--data", "tape", "--symbols", "AAA,BBB", "--fees", "none", "--json")
    summary = json.loads(papertape(*base, "--cash", "50000", "--balances", "EUR=4000").out)
    assert summary["starting_equity"] == 55_000.0
    assert summary["positions"] == {"AAA": 20.0, "BBB": 10.0}
    assert json.loads(papertape(*base).out)["positions"] == {"AAA": 20.0}, "without EUR nothing in EUR is bought"
    said = papertape(*base[:-1], "--currency", "EUR", "--balances", "USD=5000")
    assert "104,000.00 EUR" in said.out


ASKS = """
from papertape import Strategy

class Asks(Strategy):
    def on_start(self):
        self.at("09:31")
    async def on_time(self, time):
        await self.snapshot(self.symbols)
        self.log("answered")
"""


def test_an_answer_comes_after_the_request_latency(papertape: Runner, here: Path) -> None:
    (here / "asks.py").write_text(ASKS)
    assert papertape("backtest", "asks.py", "--data", "tape", "--request-latency", "1.5s").status == 0
    assert "T13:31:01.500000000Z  answered" in papertape("show", "last", "--log").out


def test_the_length_of_a_lone_bar_is_said_on_the_command_line(papertape: Runner, here: Path) -> None:
    (here / "AAA.csv").write_text("ts,open,high,low,close,volume\n2024-06-03T13:35:00Z,1,2,1,2,5\n")
    base = ("backtest", "my_jumps.py", "--data", "AAA.csv", "--bar-stamp", "close")
    assert papertape(*base).status == 2
    assert papertape(*base, "--bar-interval-s", "300").status == 0


def test_zero_is_a_value_like_any_other_and_comes_before_the_environment(papertape: Runner) -> None:
    base = ("backtest", "my_jumps.py", "--data", "tape", "--json")
    assert papertape(*base, PAPERTAPE__VOLUME_SHARE="0.01").status == 0
    shared = json.loads(papertape(*base, PAPERTAPE__VOLUME_SHARE="0.01").out)["fills"]
    whole = json.loads(papertape(*base, "--volume-share", "0", PAPERTAPE__VOLUME_SHARE="0.01").out)["fills"]
    assert shared > whole == 3
