"""Things that are to happen at a time: a heap of them, in order of time, then priority, then of being asked for."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import IntEnum

NEVER = 2**63 - 1


class Priority(IntEnum):
    """What goes first at one time: who waits for its bars, the broker, the exchange's day, replies, the strategy's timers."""

    BARS = -1
    BROKER = 0
    SESSION = 1
    REPLY = 2
    STRATEGY = 3


class Timers:
    """``due`` is the time (ns) of the first entry, ``NEVER`` while there is none. Bounded by ``most``."""

    __slots__ = ("_count", "_heap", "due", "most")

    def __init__(self, most: int = 1_000_000) -> None:
        self._heap: list[tuple[int, int, int, Callable[[int], None]]] = []
        self._count = 0
        self.due = NEVER
        self.most = most

    def add(self, ts: int, priority: Priority, action: Callable[[int], None]) -> None:
        """Have ``action(ts)`` called when time passes ``ts``: after every event up to and at that time."""
        assert len(self._heap) < self.most, "more timers than a run can mean"
        self._count += 1
        heapq.heappush(self._heap, (ts, priority, self._count, action))
        self.due = self._heap[0][0]

    def pop(self) -> tuple[int, Callable[[int], None]]:
        """Take the first entry."""
        ts, _, _, action = heapq.heappop(self._heap)
        self.due = self._heap[0][0] if self._heap else NEVER
        return ts, action

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
        self.due = NEVER
