"""Peak resident memory of a run over a hundred million ticks that are in the cache."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator

from benchmarks.commands import backtest_command, check_output, environment, warm_up
from benchmarks.measure import Bound, Direction, Plan, Row, Timing, run_process
from benchmarks.tapes import SYMBOL, ticks, write_csv

BOUND = Bound(Direction.AT_MOST, 1.0, None, " GB")
DIGITS = 4
NEEDED_BYTES = 9_000_000_000
JUMPS = 2_000
"""As many as on ten million ticks: each pair of them loses half a per cent, and the price has to stay above 0."""
INTERVAL_NS = 200_000
_LAUNCHER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
output = child.stdout.read().decode()
_, status, usage = os.wait4(child.pid, 0)
child.returncode = os.waitstatus_to_exitcode(status)
peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([child.returncode, peak, time.perf_counter() - began, output]))
"""
"""A process counts the memory of the one that started it until it has begun: so a small one starts it."""


def measure(plan: Plan) -> Iterator[Row]:
    """Only where asked for: it needs 9 GB of disk and some minutes."""
    what = "100 M ticks from the cache: peak resident memory of the process"
    if not plan.full and not plan.quick:
        yield Row(what, BOUND, None, (), "measured with --full")
        return
    if not plan.quick and shutil.disk_usage(plan.folder).free < NEEDED_BYTES:
        yield Row(what, BOUND, None, (), f"needs {NEEDED_BYTES / 1e9:.0f} GB of free disk")
        return
    count = plan.size(100_000_000, 20_000)
    tape = ticks(count, jumps=plan.size(JUMPS, 4), interval_ns=INTERVAL_NS, digits=DIGITS)
    folder, cache = plan.folder / "memory", plan.folder / "memory-cache"
    folder.mkdir()
    path = folder / f"{SYMBOL}.csv"
    write_csv(tape, path, DIGITS)
    warm_up(folder, cache)
    command, own = backtest_command(path, folder / "runs"), environment(cache)
    first = _launched(command, own)
    again = _launched(command, own)
    for output in (first[2], again[2]):
        check_output(output, tape)
    shutil.rmtree(folder)
    shutil.rmtree(cache)
    side = Timing("papertape backtest", (again[1],), count)
    note = f"{again[0] / 1e6:.0f} MB; the run that parsed the file took {first[1]:.0f} s and {first[0] / 1e6:.0f} MB"
    yield Row(
        what if not plan.quick else f"{count:,} ticks from the cache: memory", BOUND, again[0] / 1e9, (side,), note
    )


def _launched(command: list[str], own: dict[str, str]) -> tuple[float, float, str]:
    """(peak resident bytes, seconds, what it printed) of a process."""
    said = run_process([sys.executable, "-c", _LAUNCHER, *command], own)
    status, peak, seconds, output = json.loads(said.output)
    if status != 0:
        raise RuntimeError(f"{' '.join(command)[:300]} ended with {status}")
    return float(peak), float(seconds), str(output)
