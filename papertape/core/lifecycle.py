"""The life of an order as a table: which event leads from which state to which. What is not listed is illegal."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from papertape.core.errors import PeerError
from papertape.core.model import OrderStatus as S


class OrderEvent(IntEnum):
    """What can happen to an order."""

    ACKNOWLEDGED = 0
    PART_FILLED = 1
    FILLED = 2
    CANCEL_SENT = 3
    CANCEL_REFUSED = 4
    CANCELLED = 5
    MODIFY_SENT = 6
    REJECTED = 7
    EXPIRED = 8
    CONNECTION_LOST = 9


E = OrderEvent

_FILLS = {E.PART_FILLED: S.PARTIALLY_FILLED, E.FILLED: S.FILLED}
_ENDS = {E.CANCELLED: S.CANCELLED, E.REJECTED: S.REJECTED, E.EXPIRED: S.EXPIRED}
_ASKS = {E.CANCEL_SENT: S.PENDING_CANCEL, E.MODIFY_SENT: S.PENDING_MODIFY}
_LOST = {E.CONNECTION_LOST: S.UNKNOWN}

TRANSITIONS: Mapping[S, Mapping[OrderEvent, S]] = {
    S.PENDING_SUBMIT: {E.ACKNOWLEDGED: S.SUBMITTED, **_ASKS, **_FILLS, **_ENDS, **_LOST},
    S.SUBMITTED: {E.ACKNOWLEDGED: S.SUBMITTED, **_ASKS, **_FILLS, **_ENDS, **_LOST},
    S.PARTIALLY_FILLED: {E.ACKNOWLEDGED: S.PARTIALLY_FILLED, **_ASKS, **_FILLS, **_ENDS, **_LOST},
    S.PENDING_CANCEL: {
        E.ACKNOWLEDGED: S.PENDING_CANCEL,
        E.CANCEL_SENT: S.PENDING_CANCEL,
        E.CANCEL_REFUSED: S.SUBMITTED,
        E.MODIFY_SENT: S.PENDING_CANCEL,  # the cancel is on its way and ends it
        E.PART_FILLED: S.PENDING_CANCEL,
        E.FILLED: S.FILLED,
        **_ENDS,
        **_LOST,
    },
    S.PENDING_MODIFY: {
        E.ACKNOWLEDGED: S.SUBMITTED,
        E.CANCEL_SENT: S.PENDING_CANCEL,
        E.MODIFY_SENT: S.PENDING_MODIFY,
        E.PART_FILLED: S.PENDING_MODIFY,
        E.FILLED: S.FILLED,
        **_ENDS,
        **_LOST,
    },
    S.UNKNOWN: {
        E.ACKNOWLEDGED: S.SUBMITTED,
        E.PART_FILLED: S.PARTIALLY_FILLED,
        E.FILLED: S.FILLED,
        E.CANCEL_SENT: S.UNKNOWN,  # asked for blindly: what comes of it is as unknown as the order
        E.CANCEL_REFUSED: S.UNKNOWN,
        E.MODIFY_SENT: S.UNKNOWN,
        E.CONNECTION_LOST: S.UNKNOWN,
        **_ENDS,
    },
    S.FILLED: {},
    S.CANCELLED: {E.FILLED: S.FILLED, E.PART_FILLED: S.CANCELLED},  # a fill that crossed the cancel on its way
    S.REJECTED: {},
    S.EXPIRED: {E.FILLED: S.FILLED, E.PART_FILLED: S.EXPIRED},
}
"""state -> event -> next state. A state without entries is the end."""


def next_status(status: S, event: OrderEvent) -> S:
    """State after ``event``; PeerError where the table has no such change."""
    try:
        return TRANSITIONS[status][event]
    except KeyError:
        raise PeerError(f"an order in state {status.name} can not be {event.name.lower().replace('_', ' ')}") from None
