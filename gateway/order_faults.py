"""What a scenario may do to orders and fills: a port, and the one that does nothing."""

from __future__ import annotations

import math
from typing import Protocol


class OrderFaults(Protocol):
    """Asked at each order and fill; ``n`` counts them from 1."""

    def rejects(self, n: int, symbol: str) -> str:
        """Why the nth order is rejected; empty where it is not."""

    def splits(self, n: int) -> int:
        """Into how many executions the nth fill is cut; 1 for none."""

    def fills_after_cancel(self, n: int) -> bool:
        """Whether the nth order is reported cancelled at once while it may still fill for some seconds."""

    def corrects(self, n: int, price: float) -> float:
        """The price that the nth fill is corrected to a second later; NaN for none."""

    def busts(self, n: int) -> bool:
        """Whether the nth fill is busted a second later."""

    def rolled_back(self, client_id: int, order_id: int) -> int:
        """The next order id that a client is told; less than ``order_id`` where ids roll back."""


class NoFaults:
    """Nothing out of the ordinary."""

    def rejects(self, n: int, symbol: str) -> str:
        """None."""
        return ""

    def splits(self, n: int) -> int:
        """One execution a fill."""
        return 1

    def fills_after_cancel(self, n: int) -> bool:
        """Never."""
        return False

    def corrects(self, n: int, price: float) -> float:
        """Never."""
        return math.nan

    def busts(self, n: int) -> bool:
        """Never."""
        return False

    def rolled_back(self, client_id: int, order_id: int) -> int:
        """The true one."""
        return order_id


NO_FAULTS = NoFaults()


def parts(quantity: float, fee: float, n: int) -> list[tuple[float, float]]:
    """A fill in at most ``n`` parts, (quantity, fee) each, in whole units as far as it goes; their sums are exact."""
    n = max(1, min(n, int(quantity)))
    size = float(math.floor(quantity / n))
    found = [(size, fee * size / quantity) for _ in range(n - 1)]
    return [*found, (quantity - size * (n - 1), fee - sum(each for _, each in found))]
