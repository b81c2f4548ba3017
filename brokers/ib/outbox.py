"""What is to be sent, at the rate that TWS allows: orders and cancels first, everything in order otherwise. Bounded."""

from __future__ import annotations

from collections import deque

from brokers.ib.commands import CancelAll, CancelOrder, Command, PlaceOrder
from papertape.core.errors import PeerError
from papertape.core.model import NS_PER_S
from papertape.core.timers import NEVER

MESSAGES_PER_S = 45
"""TWS allows 50 over everything that is sent (IB.md section 3); some are kept in hand."""
MOST_WAITING = 10_000
_FIRST = (PlaceOrder, CancelOrder, CancelAll)


class Outbox:
    """``messages_per_s`` 0 is no limit, which only a simulated gateway in lockstep has: its clock stands still."""

    def __init__(self, messages_per_s: int = MESSAGES_PER_S) -> None:
        self._orders: deque[Command] = deque()
        self._others: deque[Command] = deque()
        self._rate = messages_per_s
        self._sent: deque[int] = deque(maxlen=messages_per_s or 1)

    def put(self, command: Command) -> None:
        """Have a command sent as soon as the rate allows."""
        queue = self._orders if isinstance(command, _FIRST) else self._others
        if len(queue) >= MOST_WAITING:
            raise PeerError(f"{MOST_WAITING} messages wait to be sent to TWS; it does not keep up")
        queue.append(command)

    def take(self, now: int) -> list[Command]:
        """What may be sent at ``now`` (ns of a clock that goes with real time)."""
        found: list[Command] = []
        while (self._orders or self._others) and self._may_send(now):
            found.append(self._orders.popleft() if self._orders else self._others.popleft())
            self._sent.append(now)
        return found

    def _may_send(self, now: int) -> bool:
        return not self._rate or len(self._sent) < self._rate or now - self._sent[0] >= NS_PER_S

    def due(self) -> int:
        """When something may be sent next; NEVER where nothing waits."""
        if not (self._orders or self._others):
            return NEVER
        return 0 if len(self._sent) < self._rate or not self._rate else self._sent[0] + NS_PER_S

    def clear(self) -> list[Command]:
        """Forget what was not sent, since there is nobody to send it to; returns it."""
        found = [*self._orders, *self._others]
        self._orders.clear()
        self._others.clear()
        return found

    def __len__(self) -> int:
        return len(self._orders) + len(self._others)
