"""Tick momentum written by hand: the loops that papertape is compared with. They know this rule and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Check
from benchmarks.tapes import Ticks

UP, DOWN = 0.05, 0.06
ENTRY, ADD, SELL = 5, 3, 5
CASH = 100_000.0
FEES = "per-share:0.005:1"
FEE_PER_SHARE, FEE_MINIMUM = 0.005, 1.0


@dataclass(frozen=True, slots=True, eq=False)
class HandResult:
    """What a loop by hand found. ``fills`` has rows of (index of the tick, signed quantity); depth is <= 0."""

    fills: NDArray[np.int64]
    cash: float
    position: float
    depth: float


def _momentum(price: Any, up: Any, down: Any, cash: Any, fills: Any) -> Any:
    """Rule, fills at the next tick, fees, equity and its deepest drawdown at every tick, in one pass.

    Ticks have different times, so the next tick is the first that an order may fill at. Depth needs a division only
    where equity falls below all that it was since its peak.
    """
    rise, fall = 1.0 + up, 1.0 - down
    position, pending, previous = 0.0, 0.0, price[0]
    peak, low, depth = cash, cash, 0.0
    count = 0
    for i in range(len(price)):
        p = price[i]
        if pending != 0.0:
            position += pending
            cash -= pending * p + max(FEE_MINIMUM, FEE_PER_SHARE * abs(pending))
            fills[count, 0] = i
            fills[count, 1] = pending
            count += 1
            pending = 0.0
        equity = cash + position * p
        if equity > peak:
            peak = equity
            low = equity
        elif equity < low:
            low = equity
            depth = min(depth, equity / peak - 1.0)
        if p > previous * rise:
            pending = ADD if position > 0.0 else ENTRY
        elif p < previous * fall and position >= SELL:
            pending = -SELL
        previous = p
    return count, cash, position, depth


momentum = numba.njit(error_model="numpy")(_momentum)


def by_hand(tape: Ticks) -> HandResult:
    """Run the compiled loop over a tape."""
    fills = np.empty((max(16, len(tape) // 100), 2), np.int64)
    count, cash, position, depth = momentum(tape.price, UP, DOWN, CASH, fills)
    return HandResult(fills[:count], cash, position, depth)


def compare(what: str, run: Any, tape: Ticks, theirs: HandResult, *, cash_tolerance: float = 1e-6) -> None:
    """Raise RuntimeError unless a papertape run has the same fills, cash, position and drawdown."""
    fills = run.record.fills
    check = Check(what)
    check.equal("number of fills", len(fills["ts"]), len(theirs.fills))
    if not check.differences:
        at = theirs.fills[:, 0]
        signed = np.where(fills["side"] == "BUY", fills["quantity"], -fills["quantity"])
        check.equal("times of fills", fills["ts"].tolist(), tape.ts[at].tolist())
        check.equal("prices of fills", fills["price"].tolist(), tape.price[at].tolist())
        check.equal("quantities of fills", signed.tolist(), theirs.fills[:, 1].tolist())
    check.equal("cash", run.record.cash["USD"], theirs.cash, cash_tolerance)
    check.equal("position", float(run.record.positions["quantity"].sum()), theirs.position)
    check.equal("drawdown", run.record.drawdown.depth, theirs.depth, 1e-9)
    check.done()
