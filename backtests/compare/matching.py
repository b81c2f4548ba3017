"""Fills of two runs matched quantity by quantity, and what fills of one run only come to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from backtests.compare.books import FillLine
from backtests.compare.causes import Cause


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A quantity (> 0) of a fill of a, of a fill of b, or of both, with its part of each fill's fee."""

    quantity: int
    a: FillLine | None
    b: FillLine | None
    fee_a: int = 0
    fee_b: int = 0


class _Left:
    """What is left of a list of fills while it is taken from the front."""

    def __init__(self, lines: list[FillLine]) -> None:
        self._rest = lines[::-1]
        self._begin()

    def _begin(self) -> None:
        self.line = self._rest.pop() if self._rest else None
        if self.line is not None:
            self.quantity, self.fee = self.line.quantity, self.line.fee

    def take(self, quantity: int) -> int:
        """Take a quantity, at most what is left of the first fill; returns its part of the fee.

        A part is cut to the grid and the last part is what remains, so they add up.
        """
        assert self.line is not None, "nothing is left"
        if quantity == self.quantity:
            fee = self.fee
            self._begin()
            return fee
        fee = self.line.fee * quantity // self.line.quantity
        self.quantity -= quantity
        self.fee -= fee
        return fee


def pieces(a: list[FillLine], b: list[FillLine]) -> Iterator[Piece]:
    """Two lists of fills, matched quantity by quantity as they come; then what one has more of."""
    left, right = _Left(a), _Left(b)
    while left.line is not None and right.line is not None:
        quantity = min(left.quantity, right.quantity)
        yield Piece(quantity, left.line, right.line, left.take(quantity), right.take(quantity))
    while left.line is not None:
        yield Piece(left.quantity, left.line, None, fee_a=left.take(left.quantity))
    while right.line is not None:
        yield Piece(right.quantity, None, right.line, fee_b=right.take(right.quantity))


class Alone(msgspec.Struct, frozen=True):
    """A fill of one run only, as a change of the difference between b's position and a's.

    ``direction`` is 1 where the difference grows. What the runs held unequally when the window began is one as well,
    with the cause CARRIED and no line in the table of fills.
    """

    ts: int
    direction: int
    quantity: int
    price: int
    cause: Cause
    line: list[Any] | None = None


def settled(carried: int, start_mark: int, fills: list[Alone], mark: int) -> Iterator[tuple[Alone, int]]:
    """What each fill of one run only contributes: pairs (fill, amount before the factor), several for one fill.

    Such a fill makes the positions differ until later ones, of either run, take the difference back, the oldest first;
    half of what that brought belongs to each of the two. What still differs in the end is valued at the mark. So a
    fill is judged by the prices of the time in which it mattered, not by where the price went weeks later.
    """
    queue: deque[tuple[Alone, int]] = deque()
    if carried:
        queue.append((Alone(0, 1 if carried > 0 else -1, abs(carried), start_mark, Cause.CARRIED), abs(carried)))
    for fill in sorted(fills, key=lambda each: (each.ts, each.price, each.quantity)):
        left = fill.quantity
        while left and queue and queue[0][0].direction != fill.direction:
            opened, rest = queue.popleft()
            quantity = min(left, rest)
            middle = (opened.price + fill.price) // 2
            yield opened, opened.direction * quantity * (middle - opened.price)
            yield fill, fill.direction * quantity * (middle - fill.price)
            left -= quantity
            if rest > quantity:
                queue.appendleft((opened, rest - quantity))
        if left:
            queue.append((fill, left))
    for opened, rest in queue:
        yield opened, opened.direction * rest * (mark - opened.price)
