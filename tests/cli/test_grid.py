"""A grid is its single runs, in processes that share one tape."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.cli.grid import Row, ordered
from papertape.cli.shared_tape import attach, share
from papertape.core.model import EventKind
from papertape.core.series import Series, Tape

if TYPE_CHECKING:
    from tests.cli.conftest import Runner

ROOT = Path(__file__).resolve().parents[2]
CHANGING = {"run", "elapsed_s"}


def test_every_run_of_a_grid_equals_the_single_run_with_its_parameters(papertape: Runner, here: Path) -> None:
    base = ("backtest", "my_jumps.py", "--data", "tape", "--json")
    said = papertape(*base, "--grid", "up=0.05,0.07", "--grid", "quantity=1,20", "--workers", "2")
    assert said.status == 0, said.error
    rows = json.loads(said.out)
    assert [tuple(row["parameters"].values()) for row in rows].count(("0.07", "20")) == 1
    assert len({tuple(row["parameters"].values()) for row in rows}) == 4
    assert len(list((here / "runs").iterdir())) == 4
    for row in rows:
        settings = [f"{name}={value}" for name, value in row["parameters"].items()]
        single = json.loads(papertape(*base, "--set", settings[0], "--set", settings[1]).out)
        assert {key: row[key] for key in single if key not in CHANGING} == {
            key: single[key] for key in single if key not in CHANGING
        }
        journals = [papertape("show", each, "--journal").out for each in (row["run"], single["run"])]
        assert journals[0] == journals[1]


def test_the_table_of_a_grid_is_best_first_and_leads_to_each_run(papertape: Runner) -> None:
    said = papertape("backtest", "my_jumps.py", "--data", "tape", "--grid", "quantity=1,20,5", "--workers", "1")
    assert said.status == 0, said.error
    lines = [line.split() for line in said.out.splitlines() if line.startswith("   ")]
    returns = [float(line[1]) for line in lines[1:]]
    assert returns == sorted(returns, reverse=True)
    assert papertape("show", lines[1][-1]).status == 0


def test_no_cache_shares_the_tape_all_the_same(papertape: Runner) -> None:
    base = ("backtest", "my_jumps.py", "--data", "tape", "--json", "--grid", "quantity=1,2", "--workers", "1")
    cached, uncached = (json.loads(papertape(*base, *more).out) for more in ((), ("--no-cache",)))
    assert [row["final_equity"] for row in cached] == [row["final_equity"] for row in uncached]


def test_a_trip_in_one_run_ends_the_grid_with_status_3(papertape: Runner) -> None:
    options = ("--max-drawdown", "0.1%", "--grid", "quantity=1,10", "--workers", "1")
    said = papertape("backtest", "my_jumps.py", "--data", "tape", *options)
    assert said.status == 3
    assert said.out.count("TRIPPED") == 1


values = st.none() | st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(values, values, values), max_size=20), st.sampled_from(["sharpe", "fees", None]))
def test_rows_are_ordered_best_first_with_the_unknown_last(
    metrics: list[tuple[float | None, float | None, float | None]], sort: str | None
) -> None:
    names = ("sharpe", "fees", "total_return")
    rows = [Row({"n": k}, {"metrics": dict(zip(names, each, strict=True))}) for k, each in enumerate(metrics)]
    result = ordered(rows, sort)
    assert sorted(row.parameters["n"] for row in result) == list(range(len(rows)))
    key = sort or ("sharpe" if any(each[0] is not None for each in metrics) else "total_return")
    found = [row.summary["metrics"][key] for row in result]
    known = [value for value in found if value is not None]
    assert found[: len(known)] == known
    assert known == sorted(known, reverse=key != "fees")


@given(begin=st.integers(0, 3000), length=st.integers(0, 3000), step=st.integers(1, 3))
def test_a_shared_tape_is_the_same_tape_wherever_its_columns_lay(
    begin: int, length: int, step: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("shared")
    whole = np.arange(6000, dtype=np.float64)
    whole.tofile(folder / "column")
    mapped = np.memmap(folder / "column", dtype=np.float64, mode="r", offset=8 * 600)
    columns = (mapped[begin : begin + length : step], whole[begin : begin + length : step] * 2.0)
    ts = np.arange(len(columns[0]), dtype=np.int64)
    (folder / "out").mkdir()
    share(Tape((Series("A", EventKind.TRADE, ts, columns),), {}, fingerprint="f"), folder / "out")
    found = attach(folder / "out")
    (series,) = found.series
    assert found.fingerprint == "f"
    np.testing.assert_array_equal(series.ts, ts)
    for got, expected in zip(series.columns, columns, strict=True):
        np.testing.assert_array_equal(got, expected)


SLOW = """
import time
from papertape import Strategy

class Slow(Strategy):
    n: int = 1
    def on_start(self):
        self.subscribe(self.symbols)
    def on_trade(self, trade):
        open(f"began{self.n}", "w").close()
        time.sleep(0.05)
"""


def children_of(parent: int) -> set[int]:
    """Processes whose parent is ``parent``."""
    return {pid for pid, of, _ in processes() if of == parent}


def processes() -> list[tuple[int, int, str]]:
    """The process table: (pid, parent, state)."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listed.splitlines())
    return [(int(pid), int(parent), state) for pid, parent, state in rows]


def heed_interrupts() -> None:
    """Undo what a shell does to jobs in the background, and what they hand on: interrupts are ignored there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
@pytest.mark.parametrize("options", [(), ("--grid", "n=1,2,3", "--workers", "2")], ids=["one run", "grid"])
def test_ctrl_c_ends_everything_with_status_130_and_leaves_nothing(here: Path, options: tuple[str, ...]) -> None:
    (here / "slow.py").write_text(SLOW)
    command = [sys.executable, "-m", "papertape", "backtest", "slow.py", "--data", "tape", *options]
    program = subprocess.Popen(
        command, cwd=here, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509  # runs between fork and exec, and only sets a signal's default
    )  # fmt: skip
    while not (here / "began1").exists():
        assert program.poll() is None
        time.sleep(0.05)
    workers = children_of(program.pid)
    os.killpg(program.pid, signal.SIGINT)
    _, error = program.communicate(timeout=60)
    assert program.returncode == 130
    assert error == "interrupted\n"
    assert not (here / "runs").exists() or not list((here / "runs").iterdir())
    deadline = time.monotonic() + 30
    while workers & {pid for pid, _, state in processes() if not state.startswith("Z")}:
        assert time.monotonic() < deadline, "a worker lives on"
        time.sleep(0.1)
