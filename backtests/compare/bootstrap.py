"""Is one run better than another by more than chance: paired daily differences with a bootstrap interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtests.metrics import SESSIONS_MIN

F8 = NDArray[np.float64]

RESAMPLES = 2_000
LEVEL = 0.95
SEED = 20_260_101


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of the daily return of one run less that of another on the same sessions, with its interval.

    ``mean``, ``low`` and ``high`` are fractions a day; the interval covers ``level`` (0.95). ``sessions`` is the
    number of common sessions, ``block`` the length of the resampled blocks in sessions.
    """

    mean: float
    low: float
    high: float
    sessions: int
    block: int
    level: float = LEVEL

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0.0 or self.high < 0.0


def block_length(sessions: int) -> int:
    """Length of blocks for ``sessions`` days: n^(1/3), rounded.

    The rate is that of Hall, Horowitz and Jing, "On blocking rules for the bootstrap with dependent data",
    Biometrika 82 (1995) 561-574, for a variance; the constant is 1.
    """
    return max(1, round(math.cbrt(sessions)))


def paired_difference(
    returns: F8, base: F8, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = SEED
) -> PairedDifference | None:
    """How ``returns`` differ from ``base``, day by day; None below ``SESSIONS_MIN`` common days.

    Both are daily returns of the same sessions in the same order, shape (n,). The interval is the percentile interval
    of the circular block bootstrap: Politis and Romano, "A circular block-resampling procedure for stationary data",
    in LePage and Billard (eds.), Exploring the Limits of Bootstrap, Wiley 1992, 263-270. Blocks of consecutive days
    keep what days have to do with each other; the last block of a resample is cut, so that it has n days as well.
    The same seed gives the same interval. Raises ValueError where the lengths differ.
    """
    if len(returns) != len(base):
        raise ValueError(f"{len(returns)} daily returns against {len(base)}: they are not of the same sessions")
    days = len(returns)
    if days < SESSIONS_MIN:
        return None
    difference = returns - base
    mean = math.fsum(difference.tolist()) / days
    if not np.any(difference):
        return PairedDifference(0.0, 0.0, 0.0, days, block_length(days), level)
    means = _resampled_means(difference, resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return PairedDifference(mean, float(low), float(high), days, block_length(days), level)


def _resampled_means(values: F8, resamples: int, random: np.random.Generator) -> F8:
    """Means of resamples of as many values, drawn as blocks that run on from the end to the beginning."""
    days = len(values)
    block = block_length(days)
    blocks = -(-days // block)
    starts = random.integers(0, days, size=(resamples, blocks))
    sums = _block_sums(values, block)[starts[:, :-1]].sum(axis=1)
    sums += _block_sums(values, days - (blocks - 1) * block)[starts[:, -1]]
    means: F8 = sums / days
    return means


def _block_sums(values: F8, length: int) -> F8:
    """Sum of the ``length`` values from each place on, around the end."""
    around = np.concatenate((values, values[: length - 1]))
    sums: F8 = np.lib.stride_tricks.sliding_window_view(around, length).sum(axis=1)
    return sums
