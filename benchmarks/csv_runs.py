"""Whole processes on a CSV file of ten million trades: the first run parses and caches it, the second maps the cache."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import backtest_command, check_output, environment, warm_up
from benchmarks.measure import Bound, Direction, Plan, Row, Timing, run_process
from benchmarks.tapes import SYMBOL, ticks, write_csv

FIRST = Bound(Direction.AT_MOST, 2.5, 1.5, " times")
AGAIN = Bound(Direction.AT_MOST, 3.0, 1.5, " times")
DIGITS = 4


def _columns(cache: Path) -> Path:
    return cache / "columns"


def measure(plan: Plan) -> Iterator[Row]:
    """First and second run, in turn with the processes that they are compared with."""
    tape = ticks(plan.size(10_000_000, 20_000), digits=DIGITS)
    folder, cache = plan.folder / "csv", plan.folder / "csv-cache"
    folder.mkdir()
    path = folder / f"{SYMBOL}.csv"
    write_csv(tape, path, DIGITS)
    warm_up(folder, cache)
    command, own = backtest_command(path, folder / "runs"), environment(cache)
    read = [sys.executable, "-c", f"import numba, pandas; pandas.read_csv({str(path)!r})"]
    start = [sys.executable, "-c", "import numba, pandas"]
    run_process(read)  # the file and the libraries are in the system's memory from here on, for both sides
    seconds: dict[str, list[float]] = {"first": [], "read": [], "again": [], "start": []}
    for _ in range(plan.repeats):
        shutil.rmtree(_columns(cache), ignore_errors=True)
        first = run_process(command, own)
        check_output(first.output, tape)
        seconds["first"].append(first.seconds)
        seconds["read"].append(run_process(read).seconds)
        again = run_process(command, own)
        check_output(again.output, tape)
        seconds["again"].append(again.seconds)
        seconds["start"].append(run_process(start).seconds)
    size = path.stat().st_size
    shutil.rmtree(folder)
    shutil.rmtree(cache)
    first_ours = Timing("papertape backtest", tuple(seconds["first"]))
    first_theirs = Timing("read_csv", tuple(seconds["read"]))
    again_ours = Timing("papertape backtest", tuple(seconds["again"]))
    again_theirs = Timing("import", tuple(seconds["start"]))
    yield Row(
        f"first run on a CSV of {len(tape):,} trades ({size / 1e6:.0f} MB), whole process: parse, validate, cache, "
        "backtest, store the run; against the process `import numba, pandas; pandas.read_csv(F)`",
        FIRST,
        first_ours.median / first_theirs.median,
        (first_ours, first_theirs),
    )
    yield Row(
        "the second run, from the cache, whole process; against the process `import numba, pandas`",
        AGAIN,
        again_ours.median / again_theirs.median,
        (again_ours, again_theirs),
    )
