"""Sends requests for historical bars no faster than TWS takes them; what comes too soon waits its turn.

TWS allows 60 requests in ten minutes, fewer than 6 within two seconds for one contract, no identical one within 15
seconds, and 50 open at once, those that are kept up to date included. Who goes beyond gets error 162. All histories of
a connection go through one of these.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from brokers.ib.commands import AskHistory, Command
from papertape.core.model import NS_PER_S
from papertape.core.timers import NEVER


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """What TWS allows a connection; ``waiting`` is our own bound of what is held back."""

    requests: int = 60
    window_s: float = 600.0
    burst: int = 5
    burst_s: float = 2.0
    same_s: float = 15.0
    open: int = 50
    back_off_s: float = 15.0
    waiting: int = 500


class HistoryPacing:
    """A queue in front of ``send``. Requests are known by their request id."""

    def __init__(self, send: Callable[[Command], None], limits: HistoryLimits | None = None) -> None:
        self.limits = limits or HistoryLimits()
        self._send = send
        self._waiting: list[AskHistory] = []
        self._open: dict[int, AskHistory] = {}
        self._asked: deque[tuple[int, AskHistory]] = deque()
        self._not_before = 0

    def put(self, command: AskHistory, now: int) -> bool:
        """Send a request as soon as it may be; False where too many wait already, and it was not taken."""
        if len(self._waiting) >= self.limits.waiting:
            return False
        self._waiting.append(command)
        self.pass_time(now)
        return True

    def ended(self, request_id: int) -> bool:
        """A request was answered, refused, or is no longer wanted; whether it had been sent at all."""
        self._waiting = [each for each in self._waiting if each.request_id != request_id]
        return self._open.pop(request_id, None) is not None

    def refused(self, request_id: int, now: int) -> None:
        """TWS says that this one came too soon: it goes again, and everything else waits as well."""
        command = self._open.pop(request_id, None)
        if command is None:
            return
        self._not_before = max(self._not_before, now + round(self.limits.back_off_s * NS_PER_S))
        self._waiting.insert(0, command)

    def drop(self) -> None:
        """The connection has ended: nothing waits and nothing is open. What was asked still counts."""
        self._waiting.clear()
        self._open.clear()

    def pass_time(self, now: int) -> None:
        """Send what may be sent by now, in the order of asking."""
        if not self._waiting:
            return
        kept: list[AskHistory] = []
        for command in self._waiting:
            if self._allowed_at(command, now) <= now:
                self._asked.append((now, _key(command)))
                self._open[command.request_id] = command
                self._send(command)
            else:
                kept.append(command)
        self._waiting = kept

    def next_due(self, now: int) -> int:
        """When the first of those that wait may be sent (UTC ns); NEVER where time alone will not help."""
        return min((self._allowed_at(command, now) for command in self._waiting), default=NEVER)

    def _allowed_at(self, command: AskHistory, now: int) -> int:
        limits, asked = self.limits, self._asked
        window, burst, same = (
            round(seconds * NS_PER_S) for seconds in (limits.window_s, limits.burst_s, limits.same_s)
        )
        while asked and asked[0][0] <= now - window:
            asked.popleft()
        if len(self._open) >= limits.open:
            return NEVER
        allowed = self._not_before
        if len(asked) >= limits.requests:
            allowed = max(allowed, asked[-limits.requests][0] + window)
        key = _key(command)
        near = [ts for ts, known in asked if (known.contract, known.what) == (command.contract, command.what)]
        if len(near) >= limits.burst:
            allowed = max(allowed, near[-limits.burst] + burst)
        return max([allowed, *(ts + same for ts, known in asked if known == key)])


def _key(command: AskHistory) -> AskHistory:
    """What makes requests identical: everything but their number."""
    return msgspec.structs.replace(command, request_id=0)
