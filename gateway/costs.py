"""What a position cost and what it gained, as Interactive Brokers accounts for it: commissions are part of the cost.

The average cost of a long position is what was paid per unit with commissions, of a short one what was received per
unit less commissions, each times the contract's multiplier; the realised P&L of a closing fill is net of the
commissions of both sides. A real paper account confirms it for one pair of fills: bought at 309.16 for 1.000003, sold
at 309.15 for 1.006566, realised -2.016569.

Not confirmed by a real account: where one fill closes a position and opens the opposite one, its commission is
divided by quantity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

DUST = 1e-9
"""Quantities below this are rounding, not units; the books of the core draw the same line."""


@dataclass(frozen=True, slots=True)
class CostFill:
    """One execution: ``quantity`` is signed, ``price`` per point, ``fee`` what it cost (positive)."""

    exec_id: str
    quantity: float
    price: float
    fee: float


@dataclass(frozen=True, slots=True)
class DayStart:
    """A position as the day found it: at ``ts`` (UTC ns), worth ``value`` in its currency (NaN: no price was known)."""

    quantity: float = 0.0
    average_cost: float = 0.0
    value: float = 0.0
    ts: int = 0


class CostBasis:
    """One instrument's position, with what the day brought.

    ``average_cost`` is per unit in currency: times the multiplier, commissions included, never negative but for
    prices that are; 0 when flat. ``realised`` and ``flow`` count from the day's start: ``flow`` is the cash that came
    in (positive) or went out, commissions included. ``traded``: whether there was a fill.
    """

    __slots__ = ("average_cost", "flow", "quantity", "realised", "start", "traded")

    def __init__(self, start: DayStart | None = None) -> None:
        self.start = start or DayStart()
        self.quantity = self.start.quantity
        self.average_cost = self.start.average_cost
        self.realised = 0.0
        self.flow = 0.0
        self.traded = False

    def fill(self, signed_quantity: float, price: float, fee: float, multiplier: float = 1.0) -> float:
        """Book an execution; returns what it realised, net of its commission, NaN where it closed nothing."""
        if signed_quantity == 0.0 or not math.isfinite(signed_quantity * price * multiplier + fee):
            raise ValueError(f"no fill: {signed_quantity} at {price} for {fee}, multiplier {multiplier}")
        self.traded = True
        worth = price * multiplier
        self.flow -= signed_quantity * worth + fee
        old = self.quantity
        is_closing = old * signed_quantity < 0.0
        closed = min(abs(old), abs(signed_quantity)) if is_closing else 0.0
        opened = abs(signed_quantity) - closed
        realised = math.nan
        if is_closing:
            direction = math.copysign(1.0, old)
            closing_fee = fee * (closed / abs(signed_quantity))
            realised = direction * closed * (worth - self.average_cost) - closing_fee
            self.realised += realised
        self.quantity = old + signed_quantity
        if abs(self.quantity) < DUST:
            self.quantity = self.average_cost = 0.0
        elif opened > 0.0:
            kept = abs(old) - closed
            opening_fee = fee * (opened / abs(signed_quantity)) * math.copysign(1.0, signed_quantity)
            self.average_cost = (kept * self.average_cost + opened * worth + opening_fee) / abs(self.quantity)
        return realised

    def split(self, ratio: float) -> None:
        """``ratio`` new units for one old: the quantity and the cost of a unit change, what it cost in all does not."""
        self.quantity *= ratio
        self.average_cost /= ratio
        start = self.start
        self.start = replace(start, quantity=start.quantity * ratio, average_cost=start.average_cost / ratio)

    def value(self, price: float, multiplier: float = 1.0) -> float:
        """What it is worth at a price; 0 when flat, NaN where the price is not known."""
        return self.quantity * price * multiplier if self.quantity != 0.0 else 0.0

    def unrealised(self, price: float, multiplier: float = 1.0) -> float:
        """Unrealised P&L at a price, commissions so far included; 0 when flat, NaN where the price is not known."""
        return self.value(price, multiplier) - self.quantity * self.average_cost

    def daily(self, price: float, multiplier: float = 1.0) -> float:
        """P&L since the day's start, commissions included; NaN where a price that it needs is not known."""
        return self.value(price, multiplier) - self.start.value + self.flow

    def begin_day(self, value: float, ts: int) -> None:
        """Start a day with the position as it is, worth ``value``: what was realised before no longer counts."""
        self.start = DayStart(self.quantity, self.average_cost, value, ts)
        self.realised = self.flow = 0.0
        self.traded = False


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """After a bust or a correction: the instrument, and what each of the day's executions realised now (NaN: nothing)."""

    instrument: int
    realised: dict[str, float]


class Costs:
    """The cost bases of an account's instruments, by their index, and the day's executions, which can be taken back.

    ``multipliers`` has one entry an instrument. Memory: the executions of one day.
    """

    def __init__(self, multipliers: Sequence[float]) -> None:
        self.multipliers = tuple(float(each) for each in multipliers)
        self._bases: dict[int, CostBasis] = {}
        self._fills: dict[int, list[CostFill]] = {}
        self._owner: dict[str, int] = {}
        self._day_ts = 0

    def basis(self, j: int) -> CostBasis:
        """An instrument's; flat and empty where it is neither held nor was traded today."""
        return self._bases.get(j) or CostBasis(DayStart(ts=self._day_ts))

    @property
    def known(self) -> list[int]:
        """Instruments that are held or were traded today, ascending."""
        return sorted(self._bases)

    def fills(self, j: int) -> tuple[CostFill, ...]:
        """An instrument's executions of the day, oldest first."""
        return tuple(self._fills.get(j, ()))

    def fill(self, j: int, exec_id: str, signed_quantity: float, price: float, fee: float) -> float:
        """Book an execution; returns what it realised, NaN where it closed nothing. An execution id comes once."""
        if exec_id in self._owner:
            raise ValueError(f"execution {exec_id} is booked already")
        basis = self.basis(j)
        realised = basis.fill(signed_quantity, price, fee, self.multipliers[j])
        self._bases[j] = basis
        self._fills.setdefault(j, []).append(CostFill(exec_id, signed_quantity, price, fee))
        self._owner[exec_id] = j
        return realised

    def bust(self, exec_id: str) -> Rebuilt:
        """Take an execution of the day back, as if it had never been. Raises KeyError where there is none."""
        return self._replay(exec_id, lambda fill: [])

    def correct(self, exec_id: str, new_id: str, signed_quantity: float, price: float, fee: float) -> Rebuilt:
        """Replace an execution of the day in its place by one with a new id. Raises KeyError where there is none."""
        if new_id != exec_id and new_id in self._owner:
            raise ValueError(f"execution {new_id} is booked already")
        return self._replay(exec_id, lambda fill: [CostFill(new_id, signed_quantity, price, fee)])

    def _replay(self, exec_id: str, becomes: Callable[[CostFill], list[CostFill]]) -> Rebuilt:
        j = self._owner[exec_id]
        fills: list[CostFill] = []
        for fill in self._fills[j]:
            fills += becomes(fill) if fill.exec_id == exec_id else [fill]
        return Rebuilt(j, self.restore(j, self.basis(j).start, fills))

    def restore(self, j: int, start: DayStart, fills: Sequence[CostFill]) -> dict[str, float]:
        """Make an instrument what a day's start and executions since make it; returns what each realised."""
        basis = CostBasis(start)
        realised = {
            each.exec_id: basis.fill(each.quantity, each.price, each.fee, self.multipliers[j]) for each in fills
        }
        for each in self._fills.get(j, ()):
            del self._owner[each.exec_id]
        self._owner.update(dict.fromkeys(realised, j))
        self._fills[j] = list(fills)
        self._bases[j] = basis
        self._day_ts = max(self._day_ts, start.ts)
        return realised

    def split(self, j: int, ratio: float) -> None:
        """``ratio`` new units for one old, in the position and in the day's executions behind it."""
        if j in self._bases:
            self._bases[j].split(ratio)
            self._fills[j] = [
                replace(each, quantity=each.quantity * ratio, price=each.price / ratio) for each in self.fills(j)
            ]

    def begin_day(self, price: Callable[[int], float], ts: int) -> None:
        """Start a day at ``ts``: positions are worth ``price(j)`` (NaN unknown); those that are flat are forgotten."""
        held = {j: basis for j, basis in self._bases.items() if basis.quantity != 0.0}
        for j, basis in held.items():
            basis.begin_day(basis.value(price(j), self.multipliers[j]), ts)
        self._bases = held
        self._day_ts = ts
        self._fills = {}
        self._owner = {}
