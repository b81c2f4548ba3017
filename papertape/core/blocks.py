"""Blocks of trades: one pass finds each block's lowest and highest price, and what comes after skips blocks by them.

A check of the data, a filter and marking a position each ask something of every price that a block's two extremes
mostly answer. Columns are large and read from memory, so they are read once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from papertape.core.compiled import compiled
from papertape.core.series import F8, I8, Blocks

BLOCK = 256
"""Trades in a block: few enough that looking into one costs little, and that a filter finds most of them silent."""

LARGEST_BITS = np.int64(0x7FEF_FFFF_FFFF_FFFF)
"""Bit pattern of the largest finite double; the patterns of positive doubles are ordered as they are."""


@compiled
def survey_prices(ts: I8, price: F8, low: I8, high: I8, last_ts: I8) -> bool:
    """Write each block's extremes, as bit patterns, and last time; whether all prices are finite and above 0.

    Patterns of positive doubles are ordered as the doubles are, and a compiler compares four of them at a time.
    """
    bits = price.view(np.int64)
    good = True
    for b in range(len(low)):
        end = min((b + 1) * BLOCK, len(bits))
        block = bits[b * BLOCK : end]
        lowest = block[0]
        highest = block[0]
        for k in range(len(block)):
            lowest = min(lowest, block[k])
            highest = max(highest, block[k])
        low[b] = lowest
        high[b] = highest
        last_ts[b] = ts[end - 1]
        good = good and lowest > 0 and highest <= LARGEST_BITS
    return good


@compiled
def survey(ts: I8, price: F8, low: I8, high: I8, last_ts: I8) -> bool:
    """The same, and whether times never decrease."""
    bits = price.view(np.int64)
    good = True
    for b in range(len(low)):
        begin = b * BLOCK
        end = min(begin + BLOCK, len(bits))
        block = bits[begin:end]
        late = ts[max(begin, 1) : end]
        early = ts[max(begin, 1) - 1 : end - 1]
        lowest = block[0]
        highest = block[0]
        disorder = np.int64(0)
        for k in range(len(block)):
            lowest = min(lowest, block[k])
            highest = max(highest, block[k])
        for k in range(len(late)):
            disorder |= np.int64(late[k] < early[k])
        low[b] = lowest
        high[b] = highest
        last_ts[b] = ts[end - 1]
        good = good and disorder == 0 and lowest > 0 and highest <= LARGEST_BITS
    return good


@compiled
def block_extremes(low: I8, high: I8, price: F8, begin: int, end: int) -> Any:
    """Lowest and highest price of trades [begin, end) of one block, as bit patterns: looked up for a whole block."""
    b = begin // BLOCK
    if b < len(low) and begin % BLOCK == 0 and (end - begin == BLOCK or end == len(price)):
        return low[b], high[b]
    block = price.view(np.int64)[begin:end]  # a slice: indices from 0 let the compiler use vector instructions
    lowest = block[0]
    highest = block[0]
    for k in range(len(block)):
        lowest = min(lowest, block[k])
        highest = max(highest, block[k])
    return lowest, highest


def empty_blocks(count: int) -> Blocks:
    """Room for the blocks of ``count`` trades."""
    n = -(-count // BLOCK)
    return Blocks(*(np.empty(n, np.int64) for _ in Blocks._fields))
