"""What the compiled fill model reads as numbers: codes of orders and reports, and places in the rule vector."""

from __future__ import annotations

from papertape.core.model import OrderStatus, OrderType, Side, TimeInForce
from papertape.core.state import Reason

MARKET = int(OrderType.MARKET)
LIMIT = int(OrderType.LIMIT)
STOP = int(OrderType.STOP)
STOP_LIMIT = int(OrderType.STOP_LIMIT)
TRAIL = int(OrderType.TRAIL)
TRAIL_LIMIT = int(OrderType.TRAIL_LIMIT)
MARKET_ON_CLOSE = int(OrderType.MARKET_ON_CLOSE)
LIMIT_ON_CLOSE = int(OrderType.LIMIT_ON_CLOSE)

BUY = int(Side.BUY)

IOC = int(TimeInForce.IOC)
FOK = int(TimeInForce.FOK)
OPG = int(TimeInForce.OPG)

SUBMITTED = int(OrderStatus.SUBMITTED)
PARTIALLY_FILLED = int(OrderStatus.PARTIALLY_FILLED)
PENDING_SUBMIT = int(OrderStatus.PENDING_SUBMIT)
PENDING_CANCEL = int(OrderStatus.PENDING_CANCEL)
PENDING_MODIFY = int(OrderStatus.PENDING_MODIFY)
FILLED = int(OrderStatus.FILLED)
CANCELLED = int(OrderStatus.CANCELLED)
REJECTED = int(OrderStatus.REJECTED)
EXPIRED = int(OrderStatus.EXPIRED)

GROUP_FILLED = int(Reason.GROUP_FILLED)
IMMEDIATE_UNFILLED = int(Reason.IMMEDIATE_UNFILLED)
KILLED = int(Reason.KILLED)
TIME_ENDED = int(Reason.EXPIRED)
NO_CASH = int(Reason.NO_CASH)
PARENT_ENDED = int(Reason.PARENT_ENDED)
OPENING_MISSED = int(Reason.OPENING_MISSED)
NO_MARGIN = int(Reason.NO_MARGIN)
MODIFIED = int(Reason.MODIFIED)
WOULD_GO_SHORT = int(Reason.WOULD_GO_SHORT)
NO_EQUITY = int(Reason.NO_EQUITY)

# Where each rule parameter lies in the vector that the kernel is given.
SLIPPAGE_PRICE = 0
SLIPPAGE_FRACTION = 1
TOUCH = 2
VOLUME_SHARE = 3
MARGIN_MULTIPLE = 4
ALLOW_SHORT = 5
RULES = 6

# Phases of a bar.
AT_OPEN = 0
INSIDE_STOPS = 1
INSIDE_LIMITS = 2
INSIDE_WOKEN = 3
"""Stops of children whose parent filled inside the bar: the price went on to them after it."""

DUST = 1e-9
"""Quantities and amounts below this are rounding, not units or money."""

COMMANDS = 64
"""Commands between two looks at the room in the report table."""
ROOM_PER_ORDER = 4
ROOM_BESIDE = 8 * (COMMANDS + 1)
"""Rows that must be free in the report table before an event is matched: so many a working order, and so many beside.

Matching an event reports each working order twice at most (a fill and an end). What then is left must do for all the
commands up to the next look: each reports itself, and every order that works or that a command adds can end once.
"""
