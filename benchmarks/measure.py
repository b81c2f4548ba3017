"""Measuring two things side by side: timings, the bound that their ratio must keep, and the row that it makes."""

from __future__ import annotations

import gc
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    ``quick``: tiny sizes, once, to see that all works. ``full``: also what needs much disk. ``folder`` is where large
    files go for the time of the measurement.
    """

    folder: Path
    quick: bool = False
    full: bool = False

    @property
    def repeats(self) -> int:
        """How often each side is measured."""
        return 1 if self.quick else 5

    def size(self, usual: int, quick: int) -> int:
        """A number of events: the usual one, or that of a quick run."""
        return quick if self.quick else usual


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall-clock times of one side (s), and how many events each of them was for."""

    name: str
    seconds: tuple[float, ...]
    events: int = 0

    @property
    def median(self) -> float:
        """The middle one (s)."""
        return statistics.median(self.seconds)

    @property
    def per_event(self) -> float:
        """The middle one by event (s), or of the whole where events are not what is compared."""
        return self.median / max(self.events, 1)

    def __str__(self) -> str:
        rate = f", {_million(self.events / self.median)}/s" if self.events else ""
        return f"{self.name} {_time(min(self.seconds))} / {_time(self.median)}{rate}"


class Direction(Enum):
    """Which side of a bound is good."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True, slots=True)
class Bound:
    """What a value must reach, and what it aims at; None: no such thing."""

    direction: Direction
    required: float
    aim: float | None = None
    unit: str = ""

    def holds(self, value: float, bound: float | None) -> bool:
        """Whether a value keeps a bound."""
        if bound is None:
            return True
        return value >= bound if self.direction is Direction.AT_LEAST else value <= bound

    def text(self, bound: float | None) -> str:
        """A bound as the table shows it."""
        return "" if bound is None else f"{self.direction.value} {bound:g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``value`` is None where it could not be measured; ``note`` then says why."""

    what: str
    bound: Bound
    value: float | None
    sides: tuple[Timing, ...] = ()
    note: str = ""

    def verdict(self) -> str:
        """What the value is worth."""
        if self.value is None:
            return "not measured"
        if not self.bound.holds(self.value, self.bound.required):
            return "MISSED"
        if self.bound.aim is None:
            return "reached"
        return "aim reached" if self.bound.holds(self.value, self.bound.aim) else "reached, aim missed"


def side_by_side(sides: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, tuple[float, ...]]:
    """Seconds of each side, measured in turn so that what else the machine does falls on all of them alike."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, action in sides.items():
            gc.collect()
            began = time.perf_counter()
            action()
            found[name].append(time.perf_counter() - began)
    return {name: tuple(seconds) for name, seconds in found.items()}


@dataclass(frozen=True, slots=True)
class Process:
    """A program that has ended: wall-clock time (s) and what it printed."""

    seconds: float
    output: str


def run_process(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Process:
    """Run a program to its end. Raises RuntimeError with what it said where it fails."""
    began = time.perf_counter()
    done = subprocess.run(arguments, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)[:300]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return Process(seconds, done.stdout)


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1.0 else f"{seconds * 1e3:.1f} ms"


def _million(rate: float) -> str:
    return f"{rate / 1e6:.3g} M"


@dataclass(slots=True)
class Check:
    """Collects differences between two sides that must have done the same."""

    what: str
    differences: list[str] = field(default_factory=list)

    def equal(self, name: str, ours: Any, theirs: Any, tolerance: float = 0.0) -> None:
        """Note a difference of more than ``tolerance`` (absolute) of two values, or of two sequences of values."""
        if not tolerance:
            same = ours == theirs
        else:
            same = np.shape(ours) == np.shape(theirs) and bool(np.all(np.abs(np.subtract(ours, theirs)) <= tolerance))
        if not same:
            self.differences.append(f"{name}: {str(ours)[:200]} against {str(theirs)[:200]}")

    def done(self) -> None:
        """Raise RuntimeError where the sides differ: a ratio of different things means nothing."""
        if self.differences:
            raise RuntimeError(f"{self.what}: the two sides differ: {'; '.join(self.differences)}")
