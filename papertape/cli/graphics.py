"""Small charts of characters: sparklines, areas and bars, in blocks where the stream can show them, else in ASCII."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ink:
    """Characters to draw with. ``rising`` goes from nothing to a full cell, in equal steps."""

    rising: str
    full: str
    left_half: str
    """The left half of a cell; a full one where there is no half."""
    right_half: str
    axis: str


BLOCKS = Ink(" ▁▂▃▄▅▆▇█", "█", "▌", "▐", "│")
ASCII = Ink(" .:|", "#", "#", "#", "|")


def ink_for(stream: TextIO | None = None) -> Ink:
    """Blocks where the stream (standard output) can encode them, else ASCII."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "ascii"
    try:
        f"{BLOCKS.rising}{BLOCKS.full}{BLOCKS.left_half}{BLOCKS.right_half}{BLOCKS.axis}".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def in_columns(x: F8, values: F8, end: float, width: int) -> F8:
    """Values along an axis from 0 to ``end`` as one for each of ``width`` equal spans: the last in or before each.

    ``x`` ascends. Shape (width,). Spans before the first value get that; NaN where there are no values.
    """
    if not len(x):
        return np.full(width, np.nan)
    edges = np.linspace(0.0, end, width + 1)[1:]
    at = np.maximum(np.searchsorted(x, edges, "right") - 1, 0)
    return np.asarray(values[at], dtype=np.float64)


def deepest_in_columns(x: F8, values: F8, end: float, width: int) -> F8:
    """The lowest value of each span; a span without values has the last one before it. See ``in_columns``."""
    found = in_columns(x, values, end, width)
    if len(x) and end > 0.0:
        np.fmin.at(found, np.clip((x * (width / end)).astype(np.int64), 0, width - 1), values)
    return found


def area(values: F8, height: int, ink: Ink, *, low: float | None = None) -> list[str]:
    """A filled curve of ``height`` lines, one column for each value; the lowest value (or ``low``) still shows.

    Values that are not finite leave a gap. All equal values are drawn at half height.
    """
    known = values[np.isfinite(values)]
    steps = len(ink.rising) - 1
    if not len(known):
        return [" " * len(values)] * height
    floor = float(known.min()) if low is None else low
    span = float(known.max()) - floor
    most = height * steps
    levels = []
    for value in values.tolist():
        if not math.isfinite(value):
            levels.append(0)
        elif low is not None:
            levels.append(round((value - floor) / span * most) if span > 0.0 else 0)
        else:
            levels.append(1 + round((value - floor) / span * (most - 1)) if span > 0.0 else (most + 1) // 2)
    rows = range(height - 1, -1, -1)
    return ["".join(ink.rising[min(max(level - row * steps, 0), steps)] for level in levels) for row in rows]


def sparkline(values: F8, ink: Ink) -> str:
    """A filled curve of one line from zero; values below zero show nothing."""
    return area(np.maximum(values, 0.0), 1, ink, low=0.0)[0]


def histogram(values: F8, bins: int, ink: Ink) -> str:
    """How often values lie in each of ``bins`` equal spans from the least to the largest; one that is met shows."""
    if not len(values):
        return " " * bins
    found = np.histogram(values, bins)[0]
    steps = len(ink.rising) - 1
    return "".join(ink.rising[math.ceil(each / found.max() * steps)] for each in found.tolist())


def bars(values: Sequence[float], width: int, ink: Ink) -> list[str]:
    """One bar a value from a common axis, losses to its left and gains to its right; ``width`` columns in all.

    Without losses (or gains) their side takes no room. Values that are not finite have no bar.
    """
    known = [value for value in values if math.isfinite(value)]
    most = max((abs(value) for value in known), default=0.0)
    has_loss, has_gain = any(value < 0.0 for value in known), any(value > 0.0 for value in known)
    room = max(1, (width - 1) // (2 if has_loss and has_gain else 1))
    left, right = (room if has_loss else 0), (room if has_gain else 0)
    lines = []
    for value in values:
        halves = math.ceil(abs(value) / most * room * 2) if math.isfinite(value) and most > 0.0 else 0
        whole, half = divmod(halves, 2)
        below = (ink.right_half * half + ink.full * whole) if value < 0.0 else ""
        above = (ink.full * whole + ink.left_half * half) if value > 0.0 else ""
        lines.append(f"{below:>{left}}{ink.axis}{above:<{right}}")
    return lines
