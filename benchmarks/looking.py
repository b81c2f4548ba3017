"""Whole processes that look at stored runs: a report of one, and a comparison of two hundred."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from backtests.run import backtest
from benchmarks.commands import PAPERTAPE, environment
from benchmarks.hand import FEES, UP
from benchmarks.measure import Bound, Direction, Plan, Row, Timing, run_process, side_by_side
from benchmarks.tapes import SYMBOL, ticks
from strategies.tick_momentum import TickMomentum

REPORT = Bound(Direction.AT_MOST, 3.0, None, " times")
COMPARE = Bound(Direction.AT_MOST, 10.0, None, " times")
IMPORT = (sys.executable, "-c", "import bokeh, pandas")


def stored_runs(folder: Path, events: int, rises: Sequence[float]) -> list[str]:
    """Make and store a run of tick momentum for each rise that buys; returns their folders."""
    data = ticks(events, digits=4).data()
    runs = [
        backtest(TickMomentum(universe=SYMBOL, up=rise), data, fees=FEES, out=folder, cash=100_000.0) for rise in rises
    ]
    return [str(run.path) for run in runs]


def measure_report(plan: Plan) -> Iterator[Row]:
    """The report of one run, on the terminal and as a page."""
    folder = plan.folder / "report"
    events = plan.size(1_000_000, 20_000)
    (run,) = stored_runs(folder, events, [UP])
    page = folder / "page.html"
    commands = {
        "on the terminal": [*PAPERTAPE, "report", run],
        "as a page": [*PAPERTAPE, "report", run, "--html", str(page)],
    }
    for where, command in commands.items():
        yield _against_import(plan, command, f"`papertape report` of a run of {events:,} events, {where}", REPORT)
    if Path(run).name not in page.read_text(encoding="utf-8"):
        raise RuntimeError(f"the page is not of {run}")
    shutil.rmtree(folder)


def measure_compare(plan: Plan) -> Iterator[Row]:
    """The comparison of many runs of a grid, as lines and as a page."""
    folder = plan.folder / "compare"
    count = plan.size(200, 4)
    runs = stored_runs(folder, plan.size(100_000, 5_000), np.linspace(0.02, 0.06, count).tolist())
    page = folder / "page.html"
    command = [*PAPERTAPE, "compare", *runs, "--html", str(page)]
    yield _against_import(plan, command, f"`papertape compare` of {count} runs with its page", COMPARE)
    text = page.read_text(encoding="utf-8")
    missing = [run for run in runs if Path(run).name not in text]
    if missing:
        raise RuntimeError(f"{len(missing)} of {count} runs are not on the page")
    shutil.rmtree(folder)


def _against_import(plan: Plan, command: Sequence[str], what: str, bound: Bound) -> Row:
    own = environment(plan.folder / "looking-cache")
    sides = {"ours": lambda: run_process(command, own), "theirs": lambda: run_process(IMPORT, own)}
    side_by_side(sides, 1)  # libraries and runs into the system's memory
    times = side_by_side(sides, plan.repeats)
    ours, theirs = Timing(f"papertape {command[len(PAPERTAPE)]}", times["ours"]), Timing("import", times["theirs"])
    name = f"{what}, whole process; against the process `import bokeh, pandas`"
    return Row(name, bound, ours.median / theirs.median, (ours, theirs))
