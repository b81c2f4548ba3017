"""Whole processes that look at stored runs: a report of one, and a comparison of two hundred."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from backtests.run import backtest
from benchmarks.commands import PAPERTAPE, environment
from benchmarks.hand import FEES, UP
from benchmarks.measure import Bound, Direction, Plan, Row, Timing, run_process, side_by_side
from benchmarks.tapes import SYMBOL, minutes, ticks
from feeds.load import DataOptions, load_tape
from strategies.sma_cross import SmaCross
from strategies.tick_momentum import TickMomentum

REPORT = Bound(Direction.AT_MOST, 3.0, None, " times")
COMPARE = Bound(Direction.AT_MOST, 10.0, None, " times")
IMPORT = (sys.executable, "-c", "import bokeh, pandas")


def measure_report(plan: Plan) -> Iterator[Row]:
    """The report of one run of tick momentum, on the terminal and as a page."""
    folder = plan.folder / "report"
    tape = ticks(plan.size(1_000_000, 20_000), digits=4)
    run = backtest(TickMomentum(universe=SYMBOL, up=UP), tape.data(), fees=FEES, out=folder).path
    assert run is not None, "it was stored"
    page = folder / "page.html"
    commands = {
        "on the terminal": [*PAPERTAPE, "report", str(run)],
        "as a page": [*PAPERTAPE, "report", str(run), "--html", str(page)],
    }
    for where, command in commands.items():
        yield _against_import(
            plan, folder / "cache", command, f"`papertape report` of a run of {len(tape):,} events, {where}", REPORT
        )
    if run.name not in page.read_text(encoding="utf-8"):
        raise RuntimeError(f"the page is not of {run}")
    shutil.rmtree(folder)


def measure_compare(plan: Plan) -> Iterator[Row]:
    """The comparison of a grid of average crosses on a year of minutes, as lines and as a page at once."""
    folder, page = plan.folder / "compare", plan.folder / "comparison.html"
    count, sessions = plan.size(200, 4), plan.size(252, 21)
    bars = minutes(1, sessions)
    tape = load_tape(bars.tables, DataOptions(bar_stamp="open"))
    for k in range(count):
        slow, fast = divmod(k, 10)
        backtest(SmaCross(fast=2 + fast, slow=13 + slow, bars="30m"), tape, fees=FEES, out=folder)
    runs = sorted(str(path) for path in folder.iterdir())
    command = [*PAPERTAPE, "compare", *runs, "--html", str(page)]
    what = f"`papertape compare` of {count} runs of {sessions} sessions and {len(bars):,} bars, with its page"
    yield _against_import(plan, folder / "cache", command, what, COMPARE)
    if f"{count} runs of SmaCross" not in page.read_text(encoding="utf-8"):
        raise RuntimeError(f"the page is not of {count} runs")
    page.unlink()
    shutil.rmtree(folder)


def _against_import(plan: Plan, cache: Path, command: Sequence[str], what: str, bound: Bound) -> Row:
    own = environment(cache)
    sides = {"ours": lambda: run_process(command, own), "theirs": lambda: run_process(IMPORT, own)}
    side_by_side(sides, 1)  # libraries and runs into the system's memory
    times = side_by_side(sides, plan.repeats)
    ours, theirs = Timing(f"papertape {command[len(PAPERTAPE)]}", times["ours"]), Timing("import", times["theirs"])
    name = f"{what}, whole process; against the process `import bokeh, pandas`"
    return Row(name, bound, ours.median / theirs.median, (ours, theirs))
