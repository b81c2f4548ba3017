"""What a scenario does to orders and fills, as the order desk asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from gateway.fault_kinds import Fault, Kind, fault_line
from gateway.scenario import Scenario


def hits(fault: Fault, n: int) -> bool:
    """Whether a fault meets the nth of what it counts (from 1)."""
    return fault.nth <= n and (fault.count == 0 or n < fault.nth + fault.count)


class Counted:
    """A fault that counts what fits it."""

    __slots__ = ("fault", "seen", "ts")

    def __init__(self, fault: Fault, ts: int) -> None:
        self.fault = fault
        self.ts = ts
        self.seen = 0

    def meets_next(self) -> bool:
        """Count one more; whether the fault meets it."""
        self.seen += 1
        return hits(self.fault, self.seen)


class PlannedOrderFaults:
    """What a scenario does to orders and fills: the port of the order desk (gateway/order_faults.py).

    ``rejects`` and ``rolled_back`` count their callers, so that they are asked once an order and once an id.
    ``told(text)`` hears of each fault that is met.
    """

    def __init__(self, scenario: Scenario, told: Callable[[str], None] = lambda text: None) -> None:
        self._of: Mapping[Kind, list[Counted]] = {
            kind: [Counted(fault, 0) for fault in scenario.faults if fault.kind is kind] for kind in Kind
        }
        self._told = told

    def _met(self, kind: Kind, n: int) -> Fault | None:
        for each in self._of[kind]:
            if hits(each.fault, n):
                self._told(fault_line(each.fault))
                return each.fault
        return None

    def rejects(self, n: int, symbol: str) -> str:
        """Why the nth order is rejected; empty where it is not. A fault with a symbol counts the orders of that."""
        found = ""
        for each in self._of[Kind.REJECT]:
            if each.fault.symbol in ("", symbol) and each.meets_next() and not found:
                self._told(fault_line(each.fault))
                found = each.fault.text
        return found

    def splits(self, n: int) -> int:
        """Into how many executions the nth fill is cut; 1 for none."""
        fault = self._met(Kind.PARTIAL, n)
        return 1 if fault is None else fault.parts

    def fills_after_cancel(self, n: int) -> bool:
        """Whether the nth order may still fill after it was reported cancelled."""
        return self._met(Kind.LATE_FILL, n) is not None

    def corrects(self, n: int, price: float) -> float:
        """The price that the nth fill is corrected to; NaN for none. It never becomes 0 or less."""
        fault = self._met(Kind.CORRECT, n)
        if fault is None or price + fault.by <= 0.0:
            return math.nan
        return round(price + fault.by, 10)

    def busts(self, n: int) -> bool:
        """Whether the nth fill is busted."""
        return self._met(Kind.BUST, n) is not None

    def rolled_back(self, client_id: int, order_id: int) -> int:
        """The next order id that a client is told, at least 1."""
        for each in self._of[Kind.IDS_BACK]:
            if each.fault.client in (None, client_id) and each.meets_next():
                self._told(fault_line(each.fault))
                return max(1, order_id - round(each.fault.by))
        return order_id
