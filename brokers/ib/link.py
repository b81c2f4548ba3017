"""How the connection is kept, and what TWS must have told before orders may be sent."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from brokers.ib import codes
from brokers.ib.outbox import MESSAGES_PER_S
from brokers.ib.records import ErrorMessage


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How the connection is kept. ``account`` empty: the only one that the login manages.

    ``in_lockstep``: with a simulated gateway that waits for answers; there is no heartbeat, because the answer to its
    marker is the same message. ``first_order_id`` is one more than the highest that the journal knows.
    """

    client_id: int = 1
    account: str = ""
    allows_live: bool = False
    port_kind: str = ""
    """"paper" or "live" where the port is one of those that TWS uses for such an account; else empty."""
    in_lockstep: bool = False
    messages_per_s: int = MESSAGES_PER_S
    speed: float = 1.0
    """Of a simulated gateway: seconds of this session's time in a second of the clock, which the waits below count."""
    handshake_s: float = 15.0
    reconcile_s: float = 60.0
    heartbeat_s: float = 10.0
    silence_s: float = 25.0
    """With so long a silence, heartbeats included, the connection counts as half-open and is made anew."""
    backoff_s: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
    give_up_s: float = 6 * 3600.0
    """So long a nightly restart, a lost line or a login by somebody else may take."""
    first_order_id: int = 1
    is_read_only: bool = False
    """Whether no order is ever sent, so that a TWS which tells none is no hindrance."""


class Step(Enum):
    """What must have been told before the session is ready."""

    ACCOUNT = "account values"
    POSITIONS = "positions"
    OPEN_ORDERS = "open orders"
    COMPLETED_ORDERS = "completed orders"
    EXECUTIONS = "executions"


ABOUT_ORDERS = frozenset({Step.OPEN_ORDERS, Step.COMPLETED_ORDERS})
"""What TWS does not tell while its API is read-only, by users' reports: it answers with error 321, or not at all."""
READ_ONLY = (
    'TWS\'s "Read-Only API" is on, so it takes no orders and does not tell those that there are: switch it off (Global '
    "Configuration > API > Settings), or add --read-only to follow the market only"
)
UNTOLD = 'TWS\'s "Read-Only API" is on: which orders the account has is not told'
UNTOLD_OWN = (
    "TWS's \"Read-Only API\" is on, so what became of this run's orders is not told: switch it off (Global Configuration > "
    "API > Settings) and resume the run"
)


def is_read_only(record: ErrorMessage) -> bool:
    """Whether TWS refuses a request because its API is read-only."""
    return record.code == 321 and bool(codes.advice(record.code, record.text))


def late_text(waiting: Collection[Step]) -> str:
    """What to say where TWS has not told something in time."""
    names = ", ".join(sorted(each.value for each in waiting)) or "the handshake"
    hint = ' (is "Read-Only API" on, in Global Configuration > API > Settings?)'
    return f"TWS did not answer in time: {names}{hint if waiting and ABOUT_ORDERS.issuperset(waiting) else ''}"
