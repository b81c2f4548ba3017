"""Processes that are killed for real while they write, and what they had said before.

A child says lines with :func:`say`, which is one write to its standard output: what was said is heard, whatever comes
after. It is killed from outside some time after a line (:func:`run_and_kill`), or kills itself when a :class:`Fuse` has
burnt down, which is at the same place each time. Both are SIGKILL: no handler, no flush, no exit function.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
KILLED = -signal.SIGKILL
SOAK = bool(os.environ.get("PAPERTAPE_SOAK"))
"""Whether to try every case (``make soak``), or a sample of them."""


def say(line: str) -> None:
    """Say a line to the parent, at once and whole."""
    os.write(1, f"{line}\n".encode())


class Fuse:
    """Kills its own process the ``length``-th time that something is about to happen; never where it is 0."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.burnt = 0

    def __call__(self, _: str = "") -> None:
        self.burnt += 1
        if self.burnt == self.length:
            os.kill(os.getpid(), signal.SIGKILL)


def run(module: str, arguments: Sequence[object]) -> tuple[list[str], int]:
    """Run ``python -m module arguments`` to its end, however it ends: (lines said, exit status; KILLED if killed)."""
    command = _command(module, arguments)
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=PATIENCE_S, check=False)
    return ended.stdout.decode().splitlines(), ended.returncode


def run_and_kill(module: str, arguments: Sequence[object], *, after_lines: int, after_s: float) -> list[str]:
    """Run ``python -m module arguments``, kill it ``after_s`` after its ``after_lines``-th line; all that it said."""
    child = subprocess.Popen(_command(module, arguments), cwd=ROOT, stdout=subprocess.PIPE, bufsize=0)
    assert child.stdout is not None
    said = b""
    with contextlib.closing(child.stdout):
        try:
            while said.count(b"\n") < after_lines and (more := child.stdout.read(1 << 16)):
                said += more
            time.sleep(after_s)
        finally:
            child.kill()
        while more := child.stdout.read(1 << 16):
            said += more
    assert child.wait(PATIENCE_S) == KILLED, f"it ended by itself after {said.count(10)} lines"
    return said.decode().splitlines()


def _command(module: str, arguments: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]
