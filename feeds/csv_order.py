"""Compiled checks of rows against the rows before them: time order, repeats, prices far from their neighbours.

The state is an array with one line a symbol, so that a file is checked in pieces of any size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from papertape.core.compiled import compiled
from papertape.core.series import F8, I8

KEEP, REPEATED, OUT_OF_ORDER, CONFLICTING = 0, 1, 2, 3

ROWS_SEEN, LAST_TS, LAST_HASH, ROW_HERE = 0, 1, 2, 3
_WHOLE_WIDTH = 4
_VALUES_MAX = 5
_BEFORE_LOW, _BEFORE_HIGH, _LAST_LOW, _LAST_HIGH = 5, 6, 7, 8
_REAL_WIDTH = 9

JUMP = 50.0
"""A price this many times its neighbours, or its neighbours this many times the price, is worth a warning."""


def new_state(symbols: int) -> tuple[I8, F8]:
    """The state for so many symbols before their first row: (whole numbers, values)."""
    whole = np.zeros((symbols, _WHOLE_WIDTH), dtype=np.int64)
    whole[:, ROW_HERE] = -1
    return whole, np.full((symbols, _REAL_WIDTH), np.nan)


def grown_state(state: tuple[I8, F8], symbols: int) -> tuple[I8, F8]:
    """The same state with room for more symbols."""
    fresh = new_state(symbols)
    for old, new in zip(state, fresh, strict=True):
        new[: len(old)] = old
    return fresh


@compiled
def count_steps(ts: Any, symbols: Any, last: Any) -> Any:
    """How many rows are later and how many earlier than the row before them of their symbol.

    ``symbols`` (int32) is empty where all rows are of one symbol; ``last`` is scratch of -1 for each symbol.
    """
    later = 0
    earlier = 0
    for i in range(len(ts)):
        s = symbols[i] if len(symbols) else 0
        before = last[s]
        if before >= 0:
            if ts[i] > ts[before]:
                later += 1
            elif ts[i] < ts[before]:
                earlier += 1
        last[s] = i
    return later, earlier


@compiled
def _line_hash(data: Any, begin: int) -> Any:
    """A hash of the line that begins there, without its end."""
    h = np.int64(1469598103934665603)
    at = begin
    while data[at] != 10 and data[at] != 13:
        h = (h ^ np.int64(data[at])) * np.int64(1099511628211)
        at += 1
    return h


@compiled
def _far(low: float, high: float, other_low: float, other_high: float) -> int:
    """1 where [low, high] reaches JUMP times above the other range, -1 where below, 0 otherwise or unknown."""
    if other_high > 0.0 and high > JUMP * other_high:
        return 1
    if low > 0.0 and low * JUMP < other_low:
        return -1
    return 0


@compiled
def check_order(
    data: Any, line_at: Any, ts: Any, symbols: Any, values: Any, low_column: int, high_column: int, step: int,
    is_bar: bool, by_line: bool, whole: Any, real: Any, verdicts: Any,
) -> Any:  # fmt: skip
    """Judge each row against its symbol's rows before it: KEEP, REPEATED, OUT_OF_ORDER or CONFLICTING.

    ``step`` is 1 where times should not fall, -1 where the file is newest-first. A repeat has the time and the values
    of the row before it and, where the file has more columns than are read (``by_line``), the very same line. Bars of
    one time with different values conflict. Returns (rows not kept, prices far from both neighbours, row of the first
    such, -1 if none; -2 if it is the last row of the piece before).
    """
    columns = values.shape[0]
    dropped = 0
    far = 0
    first_far = -1
    for i in range(len(ts)):
        s = symbols[i] if len(symbols) else 0
        verdicts[i] = KEEP
        here = whole[s, ROW_HERE]
        if whole[s, ROWS_SEEN] > 0:
            gone = (ts[i] - whole[s, LAST_TS]) * step
            if gone < 0:
                verdicts[i] = OUT_OF_ORDER
                dropped += 1
                continue
            if gone == 0:
                same = True
                for j in range(columns):
                    if values[j, i] != real[s, j] and not (np.isnan(values[j, i]) and np.isnan(real[s, j])):
                        same = False
                if same and by_line:
                    before = _line_hash(data, line_at[here]) if here >= 0 else whole[s, LAST_HASH]
                    same = _line_hash(data, line_at[i]) == before
                if same or is_bar:
                    verdicts[i] = REPEATED if same else CONFLICTING
                    dropped += 1
                    continue
        low, high = values[low_column, i], values[high_column, i]
        side = _far(real[s, _LAST_LOW], real[s, _LAST_HIGH], low, high)
        if side != 0 and side == _far(
            real[s, _LAST_LOW], real[s, _LAST_HIGH], real[s, _BEFORE_LOW], real[s, _BEFORE_HIGH]
        ):
            if far == 0:
                first_far = here if here >= 0 else -2
            far += 1
        real[s, _BEFORE_LOW], real[s, _BEFORE_HIGH] = real[s, _LAST_LOW], real[s, _LAST_HIGH]
        real[s, _LAST_LOW], real[s, _LAST_HIGH] = low, high
        for j in range(columns):
            real[s, j] = values[j, i]
        whole[s, ROWS_SEEN] += 1
        whole[s, LAST_TS] = ts[i]
        whole[s, ROW_HERE] = i
    for s in range(len(whole)):
        here = whole[s, ROW_HERE]
        if here >= 0:
            if by_line:
                whole[s, LAST_HASH] = _line_hash(data, line_at[here])
            whole[s, ROW_HERE] = -1
    return dropped, far, first_far


def no_symbols() -> NDArray[np.int32]:
    """What stands for the symbols where a file has one."""
    return np.empty(0, dtype=np.int32)
