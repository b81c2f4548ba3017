"""Compiled kernels on disk: a second process compiles nothing, and a changed source never meets old machine code."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import environment
from benchmarks.measure import Bound, Check, Direction, Plan, Row, Timing, run_process

ROOT = Path(__file__).resolve().parents[1]
CHANGED = "brokers/pricing.py"
"""A helper of the kernels that lies in another file than the functions that call it."""
_RUN = """
import json, numpy as np
from papertape import backtest
from papertape.core.compiled import compile_counts
from strategies.tick_momentum import TickMomentum
n = 1000
price = np.where(np.arange(n) % 100 < 50, 100.0, 110.0)
data = {"X": {"ts": 1_704_292_200_000_000_001 + np.arange(n) * 2_000_000, "price": price, "size": np.ones(n)}}
run = backtest(TickMomentum(universe=["X"]), data, fees="none")
print(json.dumps([*compile_counts(), run.record.cash["USD"], __import__("papertape").__file__]))
"""
_ONE = """
import json, numpy as np
from papertape.core.compiled import compile_counts
from papertape.core.marking import base_cash
cash = base_cash(np.array([1.0]), np.array([1.0]))
print(json.dumps([*compile_counts(), cash, __import__("papertape").__file__]))
"""


def measure(plan: Plan) -> Iterator[Row]:
    """Three processes on a copy of the program: fresh, again, and after a source was changed."""
    folder, cache = plan.folder / "kernels", plan.folder / "kernels-cache"
    for name in ("papertape", "strategies", "feeds", "brokers", "backtests", "gateway"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    program = _ONE if plan.quick else _RUN
    own = {**environment(cache), "PYTHONPATH": str(folder)}

    def run() -> tuple[list[float], float]:
        done = run_process([sys.executable, "-c", program], own, cwd=folder)
        hits, misses, cash, where = json.loads(done.output)
        if not Path(where).is_relative_to(folder):
            raise RuntimeError(f"the copy was not used, but {where}")
        return [hits, misses, cash], done.seconds

    fresh, fresh_s = run()
    again, again_s = run()
    with (folder / CHANGED).open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    changed, changed_s = run()
    shutil.rmtree(folder)
    shutil.rmtree(cache)
    check = Check("kernels")
    check.equal("the first process compiled", fresh[1] > 0, True)
    check.equal("signatures after a change of a source: compiled anew", changed[:2], fresh[:2])
    check.equal("results", (again[2], changed[2]), (fresh[2], fresh[2]))
    check.done()
    sides = (Timing("first process", (fresh_s,)), Timing("second", (again_s,)), Timing("source changed", (changed_s,)))
    bound = Bound(Direction.AT_MOST, 0.0, None, " compiled")
    note = (
        f"{fresh[1]:.0f} signatures compiled by the first, {changed[1]:.0f} after {CHANGED} changed, none found stale"
    )
    yield Row("kernels on disk: what a second process compiles", bound, again[1], sides, note)
