"""Which decision of one run is which of the other: two sequences in time order, aligned without crossing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

I8 = NDArray[np.int64]
F8 = NDArray[np.float64]

NEIGHBOURS_MAX = 64
"""Most decisions of the other run, on either side in rank, that one is held against: it bounds time and memory."""
TOLERANCE_MAX_NS = 86_400 * 1_000_000_000
"""A day; sums of closeness of 100,000 pairs then still fit an int64."""


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """Decisions of one run on one symbol and side, by time: parallel arrays. ``kind`` numbers the order types."""

    ts: I8
    kind: I8
    quantity: F8

    def __len__(self) -> int:
        return len(self.ts)


def align(a: Decisions, b: Decisions, tolerance_ns: int) -> list[tuple[int, int]]:
    """Pairs (place in ``a``, place in ``b``), both ascending: the alignment of the greatest total closeness.

    The closeness of a pair is tolerance + 1 - |difference in time|, less a quarter of the tolerance where the order
    types differ, and less up to an eighth for different quantities; only pairs with a positive closeness are made.
    That is the same as the least sum of distances where each decision left over costs half the tolerance. Found by
    dynamic programming over the pairs within the tolerance (and within ``NEIGHBOURS_MAX`` places), one row a decision
    of ``a``. Of equally good alignments one is chosen by a rule that treats both alike, so that ``align(b, a)`` gives
    the same pairs the other way round. Raises ValueError for a tolerance outside 0 to ``TOLERANCE_MAX_NS``.
    """
    if not 0 <= tolerance_ns <= TOLERANCE_MAX_NS:
        raise ValueError(f"a tolerance of {tolerance_ns} ns is not within 0 and a day")
    if len(a) == len(b) and all(
        np.array_equal(x, y) for x, y in ((a.ts, b.ts), (a.kind, b.kind), (a.quantity, b.quantity))
    ):
        return [(k, k) for k in range(len(a))]  # nothing is closer than this
    rank_a, rank_b, tie_a, tie_b = _ranks(a.ts, b.ts)
    low, high = _window(a.ts, b.ts, rank_a, rank_b, tolerance_ns)
    first, last = _neighbours(rank_b, rank_a)
    choices = _choices(a, b, low, high, first, last, tolerance_ns)
    keys_a = list(zip(a.ts.tolist(), a.kind.tolist(), a.quantity.tolist(), tie_a.tolist(), strict=True))
    keys_b = list(zip(b.ts.tolist(), b.kind.tolist(), b.quantity.tolist(), tie_b.tolist(), strict=True))
    return _traced(choices, low.tolist(), high.tolist(), keys_a, keys_b)


def _ranks(a: I8, b: I8) -> tuple[I8, I8, I8, I8]:
    """Places of both in one order by time and then by number among those of the same time; and these numbers."""
    tie_a = np.arange(len(a)) - np.searchsorted(a, a)
    tie_b = np.arange(len(b)) - np.searchsorted(b, b)
    times = np.unique(np.concatenate((a, b)))
    size = 1 + int(max(tie_a.max(initial=0), tie_b.max(initial=0)))
    return np.searchsorted(times, a) * size + tie_a, np.searchsorted(times, b) * size + tie_b, tie_a, tie_b


def _neighbours(own: I8, other: I8) -> tuple[I8, I8]:
    """For each of ``own`` the range of places of ``other`` that are near in rank."""
    first = np.searchsorted(other, own, "left") - NEIGHBOURS_MAX
    last = np.searchsorted(other, own, "right") + NEIGHBOURS_MAX
    return np.maximum(first, 0), np.minimum(last, len(other))


def _window(a: I8, b: I8, rank_a: I8, rank_b: I8, tolerance: int) -> tuple[I8, I8]:
    """For each of ``a`` the range [low, high) of places of ``b`` that it can be paired with; both ascend."""
    first, last = _neighbours(rank_a, rank_b)
    low = np.maximum(np.searchsorted(b, a - tolerance, "left"), first)
    high = np.minimum(np.searchsorted(b, a + tolerance, "right"), last)
    return low, np.maximum(low, high)


_PAIR, _SKIP_A, _SKIP_B = 1, 2, 4


def _choices(
    a: Decisions, b: Decisions, low: I8, high: I8, first: I8, last: I8, tolerance: int
) -> list[NDArray[np.uint8] | None]:
    """For each decision of ``a`` and each length low + 1 .. high of the head of ``b``: which steps back are best.

    The row before holds the greatest closeness of ``a``'s head with heads of ``b`` of ``begin`` to ``end`` decisions;
    longer heads have no more than ``end``, and shorter ones are not asked for again, because windows ascend.
    """
    rows: list[NDArray[np.uint8] | None] = []
    best = np.zeros(1, np.int64)
    begin = end = 0
    lows, highs, times = low.tolist(), high.tolist(), a.ts.tolist()
    for i in range(len(a)):
        L, H = lows[i], highs[i]  # noqa: N806  (the limits of the window)
        if L == H:
            rows.append(None)
            continue
        before = np.full(H - L + 1, best[-1])
        if end > L:
            known = best[L - begin : H - begin + 1]
            before[: len(known)] = known
        closeness = tolerance + 1 - np.abs(b.ts[L:H] - times[i])
        closeness -= np.where(b.kind[L:H] != a.kind[i], tolerance // 4, 0)
        closeness -= _unlike(b.quantity[L:H], a.quantity[i], tolerance // 8)
        possible = (closeness > 0) & (first[L:H] <= i) & (i < last[L:H])
        paired = np.where(possible, before[:-1] + closeness, -1)
        now = np.maximum.accumulate(np.concatenate((before[:1], np.maximum(before[1:], paired))))
        reached = now[1:]
        choice = (reached == paired) * _PAIR | (reached == before[1:]) * _SKIP_A | (reached == now[:-1]) * _SKIP_B
        rows.append(choice.astype(np.uint8))
        best, begin, end = now, L, H
    return rows


def _unlike(quantities: F8, quantity: float, most: int) -> I8:
    """0 for equal quantities, up to ``most`` for very different ones; symmetric."""
    total = np.abs(quantities) + abs(quantity)
    share = np.abs(quantities - quantity) / np.where(total > 0.0, total, 1.0)
    return (share * most).astype(np.int64)


def _traced(
    choices: Sequence[NDArray[np.uint8] | None],
    low: Sequence[int],
    high: Sequence[int],
    keys_a: Sequence[tuple[float, ...]],
    keys_b: Sequence[tuple[float, ...]],
) -> list[tuple[int, int]]:
    """The pairs, from the last back. Where several steps are best the later of the two decisions is left over.

    So of equally good partners the earliest is taken. Decisions that are equal in all are a pair.
    """
    pairs = []
    i, j = len(keys_a), len(keys_b)
    while i and j:
        row = choices[i - 1]
        if row is None or j <= low[i - 1]:
            i -= 1
        elif j > high[i - 1]:
            j = high[i - 1]
        else:
            choice, ours, theirs = row[j - low[i - 1] - 1], keys_a[i - 1], keys_b[j - 1]
            if choice == _PAIR or (choice & _PAIR and ours == theirs):
                i, j = i - 1, j - 1
                pairs.append((i, j))
            elif choice & _SKIP_A and (not choice & _SKIP_B or ours > theirs):
                i -= 1
            else:
                j -= 1
    return pairs[::-1]
