"""A recording beside those who trade: they put events into a bounded queue, a thread of its own writes them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from brokers.ib.events import Event
from feeds.recorder import Recorder

QUEUE_MOST = 200_000
FLUSH_EVERY_S = 0.25
CLOSE_TIMEOUT_S = 10.0


class RecordThread:
    """Writes with a recorder, which from now on is this thread's alone.

    What does not fit into the queue is counted in ``dropped``; an error ends the recording, not the trading, and is in
    ``failure``.
    """

    def __init__(self, recorder: Recorder, *, most: int = QUEUE_MOST, flush_every_s: float = FLUSH_EVERY_S) -> None:
        self._recorder = recorder
        self._most = most
        self._flush_every_s = flush_every_s
        self._waiting: deque[Event] = deque()
        self._is_closing = threading.Event()
        self.dropped = 0
        self.failure = ""
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)
        self._thread.start()

    def put(self, events: Iterable[Event]) -> None:
        """Have events recorded; returns at once. For one thread."""
        waiting = self._waiting
        for event in events:
            if len(waiting) >= self._most or self.failure:
                self.dropped += 1
            else:
                waiting.append(event)

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> list[str]:
        """Write what is waiting, at most for so long; what is to be said of it, nothing where all is well."""
        self._is_closing.set()
        self._thread.join(timeout_s)
        said = [f"recording: {self.failure}"] if self.failure else []
        is_stuck = self._thread.is_alive()
        if is_stuck:
            said.append(f"recording: the disk did not take {len(self._waiting):,} events in {timeout_s:g} s")
        if self.dropped:
            said.append(f"recording: {self.dropped:,} events were not recorded")
        if not is_stuck:
            said += [f"recording: {count:,} {what}" for what, count in self._recorder.faults().items()]
        return said

    def _run(self) -> None:
        waiting = self._waiting
        take = self._recorder.take
        try:
            while True:
                is_last = self._is_closing.wait(self._flush_every_s)
                while waiting:
                    take(waiting.popleft())
                if is_last:
                    break
                self._recorder.flush()
            if self.dropped:
                self._recorder.note("dropped", events=self.dropped)
        except Exception as error:  # noqa: BLE001 - a disk or a bug here must not end those who trade
            self.failure = str(error) or type(error).__name__
            self._recorder.note("failed", text=self.failure)
        try:
            self._recorder.close()
        except OSError as error:
            self.failure = self.failure or str(error)
