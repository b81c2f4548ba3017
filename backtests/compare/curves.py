"""Equity of a run as a small curve: rebased to its start, with the depth below its running maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.report.series import from_start, with_pauses
from papertape.core.record import Columns, RunRecord

F8 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Parallel arrays over time: as many points as were asked for at most, and one more for each stretch without any.

    ``ts`` in ns, ascending; ``growth`` is equity / starting equity - 1; ``depth`` is how far equity had fallen below
    its running maximum, a fraction <= 0. Empty where a run started with nothing.
    """

    ts: NDArray[np.int64]
    growth: F8
    depth: F8


def decimated(equity: Columns, points: int) -> Columns:
    """Equity in at most ``points`` buckets of as many of the given ones each; lows and highs survive."""
    count = len(equity["ts"])
    size = max(1, -(-count // max(1, points)))
    if size == 1:
        return equity
    first = np.arange(0, count, size)
    last = np.minimum(first + size, count) - 1
    return {
        "ts": equity["ts"][last],
        "last": equity["last"][last],
        "low": np.minimum.reduceat(equity["low"], first),
        "high": np.maximum.reduceat(equity["high"], first),
    }


def curve_of(record: RunRecord, points: int) -> Curve:
    """The run's curve, from its start on."""
    start = record.starting_equity
    equity: dict[str, NDArray[Any]] = decimated(record.equity, points - 1)
    if not start > 0.0 or not len(equity["ts"]):
        empty = np.empty(0)
        return Curve(np.empty(0, np.int64), empty, empty)
    equity = with_pauses(from_start(equity, record.start, start))
    low, high, last = (np.asarray(equity[name], np.float64) for name in ("low", "high", "last"))
    ts = np.concatenate(([min(record.start, int(equity["ts"][0]))], equity["ts"])).astype(np.int64)
    return Curve(
        ts, np.concatenate(([0.0], last / start - 1.0)), np.concatenate(([0.0], _depth(start, low, high, last)))
    )


def _depth(start: float, low: F8, high: F8, last: F8) -> F8:
    """Fall below the running maximum in each bucket, never more than there was.

    Of a bucket it is not known whether its low came before its high. Its low counts against the maximum of the
    buckets before it, its last value against its own maximum as well.
    """
    before = np.maximum.accumulate(np.concatenate(([start], high)))
    return np.minimum(np.minimum(low / before[:-1], last / before[1:]) - 1.0, 0.0)
