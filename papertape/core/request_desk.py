"""Requests that handlers await: puts them to the feed, and resumes who waits when the reply has come."""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from papertape.core.delivery import past_wake_ups
from papertape.core.desk import Desk
from papertape.core.errors import StrategyError
from papertape.core.ports import Feed, Handler, Handlers, Journal, WakeUp
from papertape.core.requests import Reply, Request, ScanRequest
from papertape.core.series import Batch
from papertape.core.subscriptions import Wakes
from papertape.core.timers import Priority, Timers

MOST_EXPECTED = 1_000
"""Requests that may wait for an answer of a live feed."""


class RequestDesk:
    """Every request of a run goes through here, and its reply. What is due to be called is appended to ``ready``.

    ``interrupt`` stops hearing after the present event, and tells its time.
    """

    def __init__(
        self,
        feed: Feed,
        desk: Desk,
        journal: Journal,
        timers: Timers,
        ready: deque[WakeUp],
        *,
        latency_ns: int,
        interrupt: Callable[[], int],
    ) -> None:
        self._feed = feed
        self._desk = desk
        self._journal = journal
        self._timers = timers
        self._ready = ready
        self._latency_ns = latency_ns
        self._interrupt = interrupt
        self._handlers = 0
        self._expected: list[tuple[Request, Callable[[Reply], Any]]] = []
        """Requests that the feed answers later, oldest first, and who waits for each."""
        self._past: set[Coroutine[Request, Reply, None]] = set()
        """Handlers of bars of the past that await something."""

    @property
    def waiting(self) -> int:
        """Handlers that wait for an answer, and scans that were not answered yet."""
        return self._handlers + sum(isinstance(request, ScanRequest) for request, _ in self._expected)

    def resume(self, coroutine: Coroutine[Request, Reply, None], reply: Reply | None) -> None:
        """Let a handler go on to where it awaits something, or to its end."""
        self._desk.is_past = coroutine in self._past
        try:
            request = coroutine.send(reply)  # type: ignore[arg-type]  # the first send takes None
        except StopIteration:
            self._past.discard(coroutine)
            return
        finally:
            self._desk.is_past = False
        self._handlers += 1
        self.ask(request, lambda answer: self._answer(coroutine, answer))

    def _answer(self, coroutine: Coroutine[Request, Reply, None], reply: Reply) -> None:
        self._handlers -= 1
        self.resume(coroutine, reply)

    def ask(self, request: Request, then: Callable[[Reply], Any]) -> None:
        """Put a request, now or after the latency; ``then(reply)`` is called when the reply has come."""
        asked = self._interrupt()

        def put(ts: int) -> None:
            if len(self._expected) >= MOST_EXPECTED:
                raise StrategyError(f"{MOST_EXPECTED} requests wait for an answer; ask for less at once")
            reply = self._feed.ask(request, ts)
            if reply is None:
                self._expected.append((request, then))
            else:
                self._take(reply, then, ts)

        if self._latency_ns == 0:
            put(asked)
        else:
            self._timers.add(asked + self._latency_ns, Priority.REPLY, put)

    def _take(self, reply: Reply, then: Callable[[Reply], Any], ts: int) -> None:
        self._desk.write_reports()
        self._journal.write(("reply", ts, type(reply.request).__name__, reply))
        self._ready.append((then, reply))

    def answered(self, reply: Reply, ts: int) -> bool:
        """A reply has come to a request that the feed took; False where nobody waits for it (any more)."""
        for k, (request, then) in enumerate(self._expected):
            if request is reply.request:
                del self._expected[k]
                self._take(reply, then, ts)
                return True
        return False

    def hear_past(self, batch: Batch, wakes: Wakes, symbols: Sequence[str], handlers: Handlers) -> None:
        """Have bars of the past heard as soon as the present handler has returned."""
        for handler, event in past_wake_ups(batch, wakes, symbols, handlers):
            self._ready.append((functools.partial(self._call_past, handler), event))

    def _call_past(self, handler: Handler, event: Any) -> Any:
        """Call a handler with a bar of the past: no order comes of it, not even after it has awaited something."""
        self._desk.is_past = True
        try:
            result = handler(event)
        finally:
            self._desk.is_past = False
        if inspect.iscoroutine(result):
            self._past.add(result)
        return result
