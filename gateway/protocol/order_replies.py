"""What the server says of orders and fills: one class a message. ``gateway.protocol.replies`` has all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.protocol.contract import Contract
from gateway.protocol.order import Order


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """State of an order."""

    order_id: int
    status: str
    filled: float
    remaining: float
    average_price: float
    perm_id: int
    parent_id: int
    last_price: float
    client_id: int
    why_held: str = ""
    cap_price: float = 0.0


@dataclass(frozen=True, slots=True)
class Allocation:
    """An account's part of an order. Quantities are signed as positions are; NaN where they are not known."""

    account: str = ""
    position: float = math.nan
    position_desired: float = math.nan
    position_after: float = math.nan
    desired: float = math.nan
    allowed: float = math.nan
    is_monetary: bool = False


@dataclass(frozen=True, slots=True)
class OrderState:
    """State, and for a what-if its margin and commission. Money as text, empty or unset where it is not known."""

    status: str
    init_margin_before: str = ""
    maint_margin_before: str = ""
    equity_before: str = ""
    init_margin_change: str = ""
    maint_margin_change: str = ""
    equity_change: str = ""
    init_margin_after: str = ""
    maint_margin_after: str = ""
    equity_after: str = ""
    commission: float = math.nan
    min_commission: float = math.nan
    max_commission: float = math.nan
    commission_currency: str = ""
    margin_currency: str = ""
    reject_reason: str = ""
    warning: str = ""
    completed_time: str = ""
    completed_status: str = ""
    init_margin_before_outside: float = math.nan
    """This and what follows from server version 195: margins outside regular hours, in the margin's currency."""
    maint_margin_before_outside: float = math.nan
    equity_before_outside: float = math.nan
    init_margin_change_outside: float = math.nan
    maint_margin_change_outside: float = math.nan
    equity_change_outside: float = math.nan
    init_margin_after_outside: float = math.nan
    maint_margin_after_outside: float = math.nan
    equity_after_outside: float = math.nan
    suggested_size: float = math.nan
    allocations: tuple[Allocation, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order with its terms and state."""

    order_id: int
    client_id: int
    perm_id: int
    contract: Contract
    order: Order
    state: OrderState


@dataclass(frozen=True, slots=True)
class OpenOrdersEnd:
    """All were sent."""


@dataclass(frozen=True, slots=True)
class CompletedOrder:
    """An order that has ended."""

    perm_id: int
    parent_perm_id: int
    contract: Contract
    order: Order
    state: OrderState
    filled: float


@dataclass(frozen=True, slots=True)
class CompletedOrdersEnd:
    """All were sent."""


@dataclass(frozen=True, slots=True)
class OrderBound:
    """An order of another owner was given an API order id."""

    perm_id: int
    client_id: int
    order_id: int


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill. ``request`` is -1 where nobody asked for it. ``side`` is BOT or SLD."""

    request: int
    order_id: int
    contract: Contract
    exec_id: str
    time: str
    account: str
    exchange: str
    side: str
    shares: float
    price: float
    perm_id: int
    client_id: int
    cumulative: float
    average_price: float
    order_ref: str = ""
    liquidation: int = 0
    ev_rule: str = ""
    ev_multiplier: float = math.nan
    model: str = ""
    liquidity: int = 2
    """1 added, 2 removed, 3 routed out."""
    pending_price_revision: bool = False
    submitter: str = ""


@dataclass(frozen=True, slots=True)
class ExecutionsEnd:
    """All were sent."""

    request: int


@dataclass(frozen=True, slots=True)
class Commission:
    """What an execution cost; ``realised`` is NaN where it opened a position."""

    exec_id: str
    commission: float
    currency: str
    realised: float = math.nan
    yield_: float = math.nan
    yield_date: int = 0
