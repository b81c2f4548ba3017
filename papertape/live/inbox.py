"""The queues between the two halves of a live run. Both are bounded; neither side ever waits for the other."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any

from brokers.ib.asks import Ask
from brokers.ib.events import Event
from papertape.core.errors import StrategyError
from papertape.core.series import Batch
from papertape.live.entries import Said
from papertape.live.supervisor import Trip

Item = Batch | Event | Trip
"""What the strategy side hears: market events as batches, everything else one by one, in the order of happening."""
MOST_EVENTS_BEHIND = 500_000
"""Market events by which a strategy may be behind before the run is halted. As many again are kept; then they are lost."""
MOST_ASKS = 100_000
"""Requests of a strategy that may wait for the adapter side."""


def part(batch: Batch, begin: int, end: int) -> Batch:
    """Events [begin, end) of a batch."""

    def cut(column: Any) -> Any:
        return column[begin:end] if len(column) == len(batch) else column

    return Batch(
        cut(batch.ts), cut(batch.kind), cut(batch.instrument), tuple(cut(each) for each in batch.columns),
        cut(batch.start), None if batch.origin is None else cut(batch.origin),
        ends=None if batch.ends is None else cut(batch.ends),
    )  # fmt: skip


class Inbox:
    """From the adapter side to the strategy side."""

    def __init__(self, most: int = MOST_EVENTS_BEHIND) -> None:
        self.most = most
        self.behind = 0
        """Market events that wait."""
        self.lost = 0
        """Market events that were dropped, because nobody took them."""
        self._items: list[Item] = []
        self._lock = threading.Lock()
        self._bell: SimpleQueue[None] = SimpleQueue()
        """Rung when something was put; a condition would have the taker wait for the lock that who wakes him holds."""

    def put(self, items: list[Item]) -> bool:
        """Append what has happened; False where more than ``most`` market events wait.

        Up to twice as many are kept, what is about orders and the account always.
        """
        with self._lock:
            for each in items:
                if isinstance(each, Batch):
                    if self.behind > 2 * self.most:
                        self.lost += len(each)
                        continue
                    self.behind += len(each)
                self._items.append(each)
            is_timely = self.behind <= self.most
        self.wake()
        return is_timely

    def take(self, timeout_s: float = 0.0) -> list[Item]:
        """All that waits; after at most ``timeout_s`` nothing. For one taker, whom :meth:`wake` may have return earlier."""
        self.wait(timeout_s)
        with self._lock:
            found, self._items = self._items, []
            self.behind = 0
        return found

    def __bool__(self) -> bool:
        return bool(self._items)

    def wait(self, timeout_s: float) -> None:
        """Wait until there is something, or so long."""
        if self._items or timeout_s <= 0.0:
            if not self._bell.empty():  # there is one taker, and an error that says so costs much
                self._bell.get_nowait()  # before the items are taken: what is put after that rings anew
            return
        with contextlib.suppress(Empty):
            self._bell.get(timeout=timeout_s)

    def wake(self) -> None:
        """Have a waiting taker return. From any thread, also in the middle of a signal."""
        if self._bell.empty():
            self._bell.put(None)


class Asks:
    """From the strategy side to the adapter side.

    What one wake-up asked for arrives as one, so that families of orders are seen whole.
    """

    def __init__(self, most: int = MOST_ASKS) -> None:
        self._groups: deque[list[Ask | Said]] = deque()
        self._open: list[Ask | Said] = []
        self._most = most
        self._posted = self._taken = 0  # each is counted by one thread only

    def post(self, ask: Ask | Said) -> None:
        """Ask for something, with all else that this wake-up asks for. StrategyError where far too much waits already."""
        if self._posted - self._taken >= self._most:
            raise StrategyError(f"{self._most:,} requests wait to be sent: the strategy asks for more than TWS takes")
        self._posted += 1
        self._open.append(ask)

    def flush(self) -> bool:
        """The wake-up is over: hand on what it asked for. Whether there was anything."""
        if not self._open:
            return False
        self._groups.append(self._open)
        self._open = []
        return True

    def take(self) -> list[Ask | Said] | None:
        """What the next wake-up asked for; None where nothing waits."""
        try:
            group = self._groups.popleft()
        except IndexError:
            return None
        self._taken += len(group)
        return group

    def clear(self) -> None:
        """Forget all that was asked for: while a journal is replayed, it was done already."""
        self._groups.clear()
        self._open = []
        self._taken = self._posted

    def __bool__(self) -> bool:
        return bool(self._groups)
