"""What it takes to say hello: ``papertape --help`` against an interpreter that does nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import environment
from benchmarks.measure import Bound, Direction, Plan, Row, Timing, run_process, side_by_side

ALLOWED_S = 0.25


def measure(plan: Plan) -> Iterator[Row]:
    """Three times an empty process plus a quarter of a second; the row shows the part of that which is used."""
    script = shutil.which("papertape", path=str(Path(sys.executable).parent))
    ours = [script] if script else [sys.executable, "-P", "-m", "papertape"]
    own = environment(plan.folder)
    sides = {
        "ours": lambda: run_process([*ours, "--help"], own),
        "theirs": lambda: run_process([sys.executable, "-c", "pass"], own),
    }
    side_by_side(sides, 1)  # libraries into the system's memory
    times = side_by_side(sides, plan.repeats)
    help_, pass_ = Timing("papertape --help", times["ours"]), Timing("python -c pass", times["theirs"])
    allowed = 3.0 * pass_.median + ALLOWED_S
    bound = Bound(Direction.AT_MOST, 1.0, None, " of 3 x + 0.25 s")
    note = f"{allowed:.3f} s are allowed"
    yield Row("`papertape --help`, against `python -c pass`", bound, help_.median / allowed, (help_, pass_), note)
