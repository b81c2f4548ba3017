"""What a newcomer types first: help, a sample, a project of their own, the demo, the list of strategies."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backtests.compare.opening import compare
from feeds.cache import CacheEntry, ColumnCache
from papertape.cli import demo, init
from papertape.cli.main import spread_data
from papertape.runs import open_run

if TYPE_CHECKING:
    from tests.cli.conftest import Runner

HEAVY = {"numpy", "numba", "pandas", "pydantic", "sqlite3", "exchange_calendars", "rich", "msgspec"}
LATE = {"pandas", "exchange_calendars", "rich"}


def test_the_printed_next_steps_of_a_new_project_work_as_they_stand(process: Runner, here: Path) -> None:
    said = process("init", "my project")
    assert said.status == 0
    steps = [shlex.split(line) for line in said.out.splitlines() if line.startswith("  ")]
    assert steps[0] == ["cd", "my project"]
    assert len(steps) >= 4
    for step in steps[1:]:
        assert step[0] == "papertape"
        done = process(*step[1:], folder=here / "my project")
        assert done.status == 0, (step, done.error)
    assert "BUY" in done.out, "the strategy trades on the sample"
    assert len((here / "my project" / "my_strategy.py").read_text().splitlines()) <= 30


def test_the_commands_in_a_new_projects_readme_are_verbs_that_there_are(papertape: Runner) -> None:
    for command in ("strategies", "runs", "show", "backtest", "sample", "init", "cache", "demo", "import"):
        said = papertape(command, "--help")
        assert said.status == 0
        assert "Usage: papertape" in said.out


def test_a_project_is_never_written_over_what_is_there(papertape: Runner, here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "run.toml").write_text("precious")
    said = papertape("init", "mine")
    assert said.status == 2
    assert "run.toml is there already" in said.error
    assert sorted(each.name for each in (here / "mine").iterdir()) == ["run.toml"]
    assert (here / "mine" / "run.toml").read_text() == "precious"
    assert papertape("init", "my_jumps.py").status == 2


def test_a_new_project_may_lie_in_a_folder_that_has_other_things(papertape: Runner, here: Path) -> None:
    assert papertape("init", ".").status == 0
    assert set(init.FILES) <= {each.name for each in here.iterdir()}


def test_the_demo_shows_both_strategies_and_says_what_is_next(
    papertape: Runner, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PAPER_END", "2024-06-03T10:00")  # half an hour of the day is enough for a test
    assert papertape("sample", "sample", "--symbols", 12, "--days", 2).status == 0
    said = papertape("demo")
    assert said.status == 0, said.error
    assert "TickMomentum  backtest" in said.out
    assert "TopMovers  backtest" in said.out
    assert "papertape init" in said.out
    assert re.search(r"the same, no difference in quantity, price, fee or second: [1-9]\d\d+ orders", said.out)
    assert "differences: 0" in said.out
    modes = [open_run(each).record.mode for each in sorted((here / "runs").iterdir())]
    assert sorted(modes) == ["backtest", "backtest", "backtest", "paper"]


@pytest.mark.parametrize(("end", "message"), [("2024-06-03T09:33", "differences: "), ("2024-06-03T09:31", "0 orders")])
def test_the_demo_does_not_call_the_same_what_differs_or_says_too_little(
    papertape: Runner, here: Path, capsys: pytest.CaptureFixture[str], end: str, message: str
) -> None:
    common = ("my_jumps.py", "--data", "tape", "--end", end)
    assert papertape("backtest", *common, "--out", "a").status == 0
    assert papertape("paper", *common, "--set", "quantity=11", "--out", "b").status == 0
    assert demo._verdict(compare(*(open_run(next((here / name).iterdir())) for name in "ab"))) == demo.DIFFERENT
    assert message in capsys.readouterr().err


def test_strategies_are_listed_with_defaults_bounds_and_help(papertape: Runner) -> None:
    said = papertape("strategies")
    for name in ("tick_momentum", "top_movers", "sma_cross", "opening_range_breakout"):
        assert name in said.out
    own = papertape("strategies", "my_jumps.py").out
    assert "Buys jumps." in own
    assert "up         0.05     > 0     rise that buys" in own


def test_the_cache_is_listed_and_cleared(papertape: Runner, here: Path) -> None:
    process = [sys.executable, "-m", "papertape"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PAPERTAPE_CACHE": str(here / "cache")}

    def said(*arguments: str) -> str:
        done = subprocess.run(
            [*process, *arguments], cwd=here, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert said("cache").startswith("nothing is kept in")
    said("sample", "made", "--symbols", "1", "--days", "1")
    assert "freed in" in said("cache", "clear")


def test_a_long_list_of_the_cache_is_cut_and_counted(papertape: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [CacheEntry(f"key{k}", f"tape/{k}.csv", 1_000_000, 10**18) for k in range(23)]
    monkeypatch.setattr(ColumnCache, "entries", lambda self: kept)
    lines = papertape("cache").out.splitlines()
    assert [line.split()[-1] for line in lines[1:21]] == [each.source for each in kept[:20]]
    assert lines[21] == "  ... and 3 more"
    assert lines[22].startswith("23.0 MB in ")


def test_the_version_is_one_line(papertape: Runner) -> None:
    said = papertape("--version")
    assert said.status == 0
    assert said.out.startswith("papertape ")
    assert said.out.count("\n") == 1


def modules_after(program: str, folder: Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nprint('MODULES', *sys.modules)"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.rpartition("MODULES ")[2].split())


def test_help_loads_nothing_heavy(here: Path) -> None:
    assert not HEAVY & modules_after("from papertape.cli.main import run; run(['--help'])", here)


def test_a_plain_backtest_loads_neither_pandas_nor_what_only_terminals_need(papertape: Runner, here: Path) -> None:
    papertape("backtest", "my_jumps.py", "--data", "tape")  # the calendar's table is made once
    program = "from papertape.cli.main import run; assert run(['backtest', 'my_jumps.py', '--data', 'tape']) == 0"
    assert not LATE & modules_after(program, here)


def test_words_after_data_are_data_only_where_the_strategy_came_first() -> None:
    assert spread_data(["backtest", "s.py", "--data", "a", "b", "--cash", "1"]) == [
        "backtest", "s.py", "--data", "a", "--data", "b", "--cash", "1",
    ]  # fmt: skip
    for left in (["backtest", "--data", "a", "s.py"], ["show", "x", "--data", "a", "b"], []):
        assert spread_data(left) == left
