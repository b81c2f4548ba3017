"""An order as TWS keeps and shows it: ids, state, and the messages that tell of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gateway.protocol.contract import Contract
from gateway.protocol.order import Order
from gateway.protocol.replies import CompletedOrder, OpenOrder, OrderState, OrderStatus
from papertape.core.orders import OrderRequest


class Shown(StrEnum):
    """States of an order, spelled as TWS spells them."""

    PENDING_SUBMIT = "PendingSubmit"
    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    PENDING_CANCEL = "PendingCancel"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    API_CANCELLED = "ApiCancelled"
    INACTIVE = "Inactive"


ENDED = frozenset({Shown.FILLED, Shown.CANCELLED, Shown.API_CANCELLED, Shown.INACTIVE})


@dataclass(slots=True, eq=False)
class Entry:
    """One order. ``number`` is its number at the exchange, 0 while it was not sent there.

    ``order.quantity`` is what was ordered; ``value`` is the sum of quantity times price of what filled.
    """

    client_id: int
    order_id: int
    perm_id: int
    instrument: int
    contract: Contract
    order: Order
    version: int
    request: OrderRequest
    best: float = math.nan
    good_after: int = 0
    group: int = 0
    number: int = 0
    shown: Shown = Shown.PENDING_SUBMIT
    why_held: str = ""
    filled: float = 0.0
    value: float = 0.0
    last_price: float = 0.0
    fills: int = 0
    parent: Entry | None = None
    children: list[Entry] = field(default_factory=list)
    late_fill: bool = False
    """The client was told that it is cancelled, and may still hear of a fill."""
    completed_time: str = ""
    completed_status: str = ""
    ended: int = 0
    """When it ended (UTC ns), 0 while it is open."""
    warning: str = ""
    carried: float = 0.0
    """What it had filled before a restart of TWS: the exchange's order is of the rest."""
    was_triggered: bool = False
    """Whether its stop was triggered before a restart."""

    @property
    def key(self) -> tuple[int, int]:
        """Whose it is, and the owner's id of it."""
        return self.client_id, self.order_id

    @property
    def is_ended(self) -> bool:
        """Whether it can not change any more."""
        return self.shown in ENDED

    @property
    def average_price(self) -> float:
        """Average price of what filled, 0 while nothing did."""
        return round(self.value / self.filled, 8) if self.filled else 0.0

    def status(self) -> OrderStatus:
        """The message of its state."""
        return OrderStatus(
            order_id=self.order_id, status=self.shown.value, filled=self.filled,
            remaining=max(0.0, self.order.quantity - self.filled),
            average_price=self.average_price, perm_id=self.perm_id,
            parent_id=self.order.parent_id, last_price=self.last_price, client_id=self.client_id,
            why_held=self.why_held,
        )  # fmt: skip

    def open_order(self, account: str) -> OpenOrder:
        """The message of its terms and state."""
        order = replace(self.order, account=account)
        state = OrderState(self.shown.value, warning=self.warning)
        return OpenOrder(self.order_id, self.client_id, self.perm_id, self.contract, order, state)

    def completed(self, account: str) -> CompletedOrder:
        """The message of its end."""
        order = replace(self.order, account=account)
        state = OrderState(self.shown.value, completed_time=self.completed_time, completed_status=self.completed_status)
        parent = self.parent.perm_id if self.parent is not None else 0
        return CompletedOrder(self.perm_id, parent, self.contract, order, state, self.filled)
