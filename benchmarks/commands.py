"""The command line as benchmarks run it: in processes of its own, with a cache folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.hand import FEES, UP, HandResult, by_hand
from benchmarks.measure import Check, run_process
from benchmarks.tapes import SYMBOL, Ticks, ticks, write_csv
from papertape.core.compiled import kernel_folder, will_compile

PAPERTAPE = (sys.executable, "-P", "-m", "papertape")
"""What the console script does, for this interpreter."""


def environment(cache: Path) -> dict[str, str]:
    """The environment with another cache folder, and nothing of the user's configuration.

    Modules of a checkout keep their byte code too: those of installed packages were given theirs when they came.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAPERTAPE")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PAPERTAPE_CACHE": str(cache)}


def backtest_command(csv: Path, out: Path) -> list[str]:
    """Tick momentum on one file, with its result as JSON."""
    return [
        *PAPERTAPE, "backtest", "tick_momentum", "--data", str(csv), "--set", f"universe={SYMBOL}",
        "--set", f"up={UP}", "--fees", FEES, "--out", str(out), "--json",
    ]  # fmt: skip


def warm_up(folder: Path, cache: Path) -> None:
    """Have all kernels compiled and the calendar kept: what only the first run ever on a machine pays for.

    What the user's own cache has of them is copied first.
    """
    if not will_compile():
        shutil.copytree(kernel_folder(), cache / "kernels" / kernel_folder().name)
    tape = ticks(5_000, digits=4)
    path = folder / "warm" / f"{SYMBOL}.csv"
    path.parent.mkdir(exist_ok=True)
    write_csv(tape, path, 4)
    run_process(backtest_command(path, folder / "warm" / "runs"), environment(cache))


def check_output(output: str, tape: Ticks) -> dict[str, Any]:
    """What the command printed, compared with the loop by hand. Raises RuntimeError where they differ."""
    said: dict[str, Any] = json.loads(output)
    hand: HandResult = by_hand(tape)
    check = Check("command line")
    check.equal("events", said["events"], len(tape))
    check.equal("fills", said["fills"], len(hand.fills))
    check.equal("cash", float(said["cash"]), hand.cash, 1e-5)
    check.equal("drawdown", said["metrics"]["max_drawdown"], hand.depth, 1e-9)
    check.done()
    return said
