"""One order of a run as TWS and we see it, and what the orders that work add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from brokers.ib.records import OrderRecord
from papertape.core.model import OrderStatus, Side
from papertape.core.orders import OrderRequest
from papertape.core.timers import NEVER

DUST = 1e-9


@dataclass(slots=True)
class Fill:
    """An execution of an order of ours, in its latest revision. ``fee`` NaN is not known yet."""

    exec_id: str
    revision: int
    exchange_ts: int
    quantity: float
    price: float
    fee: float = math.nan
    is_told: bool = False
    held_until: int = NEVER


@dataclass(slots=True)
class Entry:
    """An order of the run. ``request`` and ``terms`` are those on which it works, as far as TWS has confirmed them."""

    number: int
    order_id: int
    order_ref: str
    request: OrderRequest
    terms: OrderRecord
    status: OrderStatus = OrderStatus.PENDING_SUBMIT
    is_sent: bool = False
    left_at: int = NEVER
    """When its bytes left, as far as it has not been acknowledged since."""
    is_acknowledged: bool = False
    """Whether TWS has said anything of it."""
    is_cancelling: bool = False
    """Whether its end was asked for."""
    is_cancel_lost: bool = False
    """Whether a break may have swallowed that, so that it has to be asked again."""
    change: tuple[OrderRequest, OrderRecord] | None = None
    """Terms that were asked for and are not confirmed yet."""
    new_ids: int = 0
    perm_ids: list[int] = field(default_factory=list)
    """TWS's own ids of it: usually one. Of several, which a change that crosses a break can leave, the last one counts."""
    children: list[int] = field(default_factory=list)
    fills: dict[str, Fill] = field(default_factory=dict)
    """Root of the execution's id -> its latest revision."""
    filled: float = 0.0
    """Quantity of all executions heard."""
    untold: int = 0
    """How many of them wait for their fee and were not told yet."""
    busted: float = 0.0
    """Quantity of executions that were taken back: statuses go on counting it."""
    presumed: float = 0.0
    """How much of that is only presumed: of executions that were heard of when they had been taken back already."""
    has_unheard_bust: bool = False
    """Whether there are such."""
    claimed: float = 0.0
    """The most that a status said has filled."""
    missing_since: int = NEVER
    """Since when a status tells of fills whose executions have not come."""
    searches: int = 0
    day_end: int = NEVER
    """When an order for the day is over for certain (UTC ns); NEVER where it lasts, or that is not known."""
    text: str = ""

    def is_superseded(self, perm_id: int) -> bool:
        """Whether a permanent id is one of those that no longer count: how its order ends is not how this one does."""
        return len(self.perm_ids) > 1 and perm_id != self.perm_ids[-1]

    @property
    def remaining(self) -> float:
        """What may still fill; of an order that is being changed, by the larger of both quantities."""
        quantity = self.request.quantity
        if self.change is not None:
            quantity = max(quantity, self.change[0].quantity)
        return max(0.0, quantity - self.filled - self.busted)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that we and the broker do not see alike."""

    what: str
    ours: str
    theirs: str


class Working:
    """Orders that can still fill, oldest first, and their quantities by instrument and side as running sums.

    As in the order table of a backtest, an order that waits for its parent does not count, and of a one-cancels-other
    group only the largest order counts.
    """

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self._counted: dict[int, float] = {}
        self._sums: dict[tuple[int, Side], float] = {}
        self._members: dict[tuple[int, Side], int] = {}
        self._groups: dict[tuple[int, Side, int], dict[int, float]] = {}

    def update(self, entry: Entry, parent: Entry | None) -> None:
        """An order is new, has filled, was changed or has ended."""
        number = entry.number
        if entry.status.is_final:
            self.entries.pop(number, None)
        else:
            self.entries.setdefault(number, entry)
        is_waiting = parent is not None and not parent.status.is_final
        counted = 0.0 if entry.status.is_final or is_waiting else entry.remaining
        before = self._counted.pop(number, 0.0)
        if counted:
            self._counted[number] = counted
        if counted == before:
            return
        request = entry.request
        key = (request.instrument, request.side)
        if request.group:
            self._add(key, *self._in_group((*key, request.group), number, counted))
        else:
            self._add(key, before, counted)

    def _in_group(self, key: tuple[int, Side, int], number: int, counted: float) -> tuple[float, float]:
        """What a group counted before, and now."""
        group = self._groups.setdefault(key, {})
        before = max(group.values(), default=0.0)
        if counted:
            group[number] = counted
        else:
            group.pop(number, None)
        if not group:
            del self._groups[key]
        return before, max(group.values(), default=0.0)

    def _add(self, key: tuple[int, Side], before: float, now: float) -> None:
        members = self._members.get(key, 0) + (now > 0.0) - (before > 0.0)
        if members:
            self._members[key] = members
            self._sums[key] = self._sums.get(key, 0.0) + now - before
        else:  # nothing works, so that rounding does not pile up
            self._members.pop(key, None)
            self._sums.pop(key, None)

    def quantities(self, instrument: int) -> tuple[float, float]:
        """(bought, sold) when all that works has filled."""
        return self._sums.get((instrument, Side.BUY), 0.0), self._sums.get((instrument, Side.SELL), 0.0)

    def __len__(self) -> int:
        return len(self.entries)
