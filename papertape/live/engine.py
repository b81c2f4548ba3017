"""Drives the two halves of a live run: in turn in lockstep, or each in a thread of its own."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from brokers.ib.commands import AskTime
from brokers.ib.events import LinkState
from brokers.ib.records import CurrentTime, Disconnected, Record
from papertape.core.errors import JournalError, PeerError
from papertape.core.timers import NEVER
from papertape.live.adapter import Adapter
from papertape.live.clock import SteppedClock, WallClock
from papertape.live.inbox import Asks, Inbox
from papertape.live.journal import Journal
from papertape.live.strategy_side import StrategySide

POLL_S = 0.05
"""Longest wait for TWS: a halt from another process and the guard's deadlines are at most so late."""
ASIDE_S = 0.002
"""How long what is not urgent stands back for an answer of the strategy to what has just been heard."""
MARKER_S = 120.0
"""Longest wait for a marker in lockstep."""
LOCKSTEP_RETRY_S = 0.1
LOCKSTEP_RETRIES = 300
"""How often a lost connection is made again in lockstep: the market stands still meanwhile, so only the clock counts."""
END_S = 10.0
"""How long the end of a run waits for the broker to confirm that nothing works any more."""
DISTRESS_S = 5.0
"""The same, where the run ends because it can not go on."""
STOP_S = 5.0
"""How long the end of a run waits for a handler to return."""
LEAVE_S = 5.0
"""How long who does not want to wait for the end of orders waits for the thread that owns the connection to leave."""
SWITCH_S = 0.0005
"""How long a thread may keep Python to itself while another wants it: so long the guard waits for a handler that computes."""
MOST_TURNS = 10_000
"""Turns between the two halves at one time: more are a strategy that answers itself for ever."""


@dataclass(slots=True)
class Parts:
    """What a live run is made of."""

    adapter: Adapter
    side: StrategySide
    inbox: Inbox
    asks: Asks
    journal: Journal
    clock: SteppedClock | WallClock


class Engine:
    """Runs until the clock passes ``until`` (UTC ns), somebody stops it, or it can not go on.

    ``look`` is called by the adapter's thread again and again: it looks for a halt and shows the status. ``cancels``:
    whether working orders are cancelled at the end.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        until: int = NEVER,
        cancels: bool = True,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self.parts = parts
        self.until = until
        self.cancels = cancels
        self.why = ""
        """Why the run ended."""
        self.why_until = "the time has come"
        """What it is said to have ended for at ``until``."""
        self.failure: BaseException | None = None
        """What the strategy or we ourselves raised."""
        self.remaining: list[int] = []
        """Numbers of orders that still worked at the end."""
        self.look = look
        self._owes_answer = False
        self._is_unseen = False
        """Whether something was heard since everything was last seen to."""
        self._seen_s = 0.0
        """When that was (monotonic)."""
        self._stop = threading.Event()
        self._leaves = threading.Event()
        """Whether the run ends at once: orders that work go on working."""
        self._strategy_done = threading.Event()
        self._adapter_done = threading.Event()
        self.owns_connection = False
        """Whether a thread of the run has the connection and the journal for itself."""
        parts.side.end = self.stop

    def stop(self, why: str) -> None:
        """Have the run end in order; from any thread."""
        if not self.why:
            self.why = why
        self._stop.set()
        self.parts.inbox.wake()
        gateway = self.parts.adapter.gateway
        if gateway is not None:
            gateway.wake()

    # -- lockstep ---------------------------------------------------------------------------------------------

    def run_lockstep(self) -> None:
        """Both halves in turn, in this thread, after each marker of a simulated gateway."""
        p = self.parts
        p.adapter.connect()
        try:
            while not self._stop.is_set():
                if not self._round():
                    break
            self._end_lockstep()
        except Exception as error:
            self.failure = error
            self.why = self.why or f"{type(error).__name__}: {error}"
            self._cancel_in_distress(error)
            raise
        finally:
            self._close()

    def _round(self) -> bool:
        """Everything up to one marker, and the answer to it; False where the run is over."""
        p = self.parts
        adapter = p.adapter
        records, is_marked = self._until_marker()
        self._owes_answer = is_marked
        for record in records:
            if isinstance(record, CurrentTime):
                p.clock.heard(record.ts_s, 0)
        adapter.take(records)
        adapter.pass_time()
        self._play()
        self.look()
        p.journal.flush_due(time.monotonic())
        if adapter.wants_end:
            self.why = self.why or adapter.ib.text
            return False
        if p.clock.now() > self.until:
            self.why = self.why or self.why_until
            return False
        if adapter.gateway is None:
            self._connect_again()
        adapter.send_due()
        self._answer()
        return True

    def _connect_again(self) -> None:
        """Exchange time, which pauses between attempts are counted in, stands still. Raises PeerError where all fail."""
        adapter = self.parts.adapter
        for _ in range(LOCKSTEP_RETRIES):
            adapter.connect()
            if adapter.gateway is not None or self._stop.wait(LOCKSTEP_RETRY_S):
                return
            self.look()
        raise PeerError(f"the simulated gateway was lost, and did not come back: {adapter.ib.text}")

    def _answer(self) -> None:
        """Answer the gateway's last marker, exactly once."""
        gateway = self.parts.adapter.gateway
        if self._owes_answer and gateway is not None:
            self._owes_answer = False
            gateway.send(AskTime())

    def _until_marker(self) -> tuple[list[Record], bool]:
        adapter = self.parts.adapter
        records: list[Record] = []
        deadline = time.monotonic() + MARKER_S
        while time.monotonic() < deadline and not self._stop.is_set():
            for record in adapter.poll(1.0):
                records.append(record)
                if isinstance(record, CurrentTime):
                    return records, True
                if isinstance(record, Disconnected):
                    return records, False
            if adapter.gateway is None:
                return records, False
            self.look()
        if self._stop.is_set():
            return records, False
        raise PeerError(f"the simulated gateway sent no marker for {MARKER_S:g} s")

    def _play(self) -> None:
        """Turns of both halves until neither has anything to do."""
        p = self.parts
        turns = 0
        while turns < MOST_TURNS:
            turns += not p.side.feed.has_questions
            now = p.clock.now()
            p.side.play(p.inbox.take(), now)
            was_asked = p.adapter.answer_asks()
            p.adapter.pass_on(now)
            if not was_asked and not p.inbox:
                if not p.side.feed.has_questions or self._stop.is_set():
                    return
                self.look()  # the market waits for the person's answer
                p.inbox.wait(POLL_S)
        raise AssertionError("a strategy that asks for something at every answer never lets time pass")

    def _end_lockstep(self) -> None:
        p = self.parts
        if not p.adapter.wants_end and self.failure is None:
            p.side.finish(min(p.clock.now(), self.until))
            self._play()
        if self.cancels:
            p.adapter.cancel_all()
        p.adapter.send_due()
        deadline = time.monotonic() + END_S
        while self._is_ending() and time.monotonic() < deadline:
            p.adapter.send_due()
            self._answer()
            records = p.adapter.poll(0.2)
            self._owes_answer = self._owes_answer or any(isinstance(each, CurrentTime) for each in records)
            p.adapter.take(records)
            self._play()
            if p.adapter.gateway is None:
                break

    # -- threads ----------------------------------------------------------------------------------------------

    def run_threads(self) -> None:
        """Each half in a thread of its own; returns when the run has ended. For the main thread: Ctrl-C ends it."""
        p = self.parts
        p.adapter.connect()
        with _switching_every(SWITCH_S):
            self._start("strategy", self._strategy_loop, self._strategy_done)
            self.owns_connection = True
            self._start("adapter", self._adapter_loop, self._adapter_done)
            self._wait_for_adapter()
        self.owns_connection = False
        if isinstance(self.failure, Exception):
            raise self.failure

    def _wait_for_adapter(self) -> None:
        """Until its thread has ended. Not by ``join``: Python 3.11 takes a thread for ended when that is interrupted."""
        is_over = False
        while not is_over:
            try:
                is_over = self._adapter_done.wait(0.2)
            except KeyboardInterrupt:
                if not self._stop.is_set():
                    self.stop("interrupted")
                    continue
                self._leaves.set()  # a second time: whoever asks does not want to wait for the orders' end
                self.stop("interrupted")
                self.owns_connection = not self._adapter_done.wait(LEAVE_S)  # two threads must not write the journal
                raise

    def _start(self, name: str, loop: Callable[[], None], done: threading.Event) -> None:
        threading.Thread(target=self._guarded(loop, done), name=name, daemon=True).start()

    def _guarded(self, loop: Callable[[], None], done: threading.Event) -> Callable[[], None]:
        def run() -> None:
            try:
                loop()
            except BaseException as error:  # noqa: BLE001  # it is raised in the main thread, after the orders' end
                self.failure = self.failure or error
                self.parts.side.is_silent = True
                self.stop(f"{type(error).__name__}: {error}")
            finally:
                done.set()

        return run

    def _strategy_loop(self) -> None:
        p = self.parts
        while not self._stop.is_set():
            due = p.side.session.timers.due
            wait_s = POLL_S if due == NEVER else min(POLL_S, max(0.0, (due - p.clock.now()) / 1e9))
            p.side.play(p.inbox.take(wait_s), p.clock.now())
        if self.failure is None:
            p.side.finish(p.clock.now())

    def _adapter_loop(self) -> None:
        p = self.parts
        try:
            while not self._stop.is_set():
                self._adapter_turn()
                if p.adapter.wants_end:
                    self.stop(p.adapter.ib.text)
                elif p.clock.now() > self.until:
                    self.stop(self.why_until)
            self._end_threads()
        except Exception as error:
            self.failure = self.failure or error
            self.stop(f"{type(error).__name__}: {error}")
            self._cancel_in_distress(error)
            raise
        finally:
            self._close()

    def _cancel_in_distress(self, error: Exception) -> None:
        """We can not go on, as where the journal can not be written: at least no order is left that nobody looks after."""
        adapter = self.parts.adapter
        if isinstance(error, JournalError):
            adapter.writer.give_up()
        deadline = time.monotonic() + DISTRESS_S

        def see_them_end() -> None:
            while adapter.ib.orders.working() and adapter.gateway is not None and self._may_wait(deadline):
                adapter.send_due()
                adapter.take(adapter.poll(POLL_S))
                adapter.pass_time()

        steps: tuple[Callable[[], None], ...] = (lambda: adapter.halt(self.why), adapter.cancel_all, see_them_end)
        for step in steps:
            try:
                step()
            except Exception as another:  # noqa: BLE001  # the first one is raised
                error.add_note(f"and while orders were being cancelled: {another}")

    def _adapter_turn(self) -> None:
        """Hear, let the guard judge, do what was asked; then, when nobody waits for that, everything else."""
        p = self.parts
        records = p.adapter.poll(self._wait_s())
        if records:
            p.adapter.take(records)
            self._is_unseen = True
        if p.adapter.answer_asks():
            p.adapter.send_due()  # an order leaves before anything else is seen to
            p.adapter.pass_on(p.clock.now())
        elif records and time.monotonic() - self._seen_s < ASIDE_S:
            p.adapter.send_due()
            return  # the strategy's thread is hearing of it, and has Python to itself while this one waits for its answer
        self._is_unseen = False
        self._seen_s = time.monotonic()
        p.adapter.pass_time()
        p.adapter.send_due()
        p.journal.flush_due(time.monotonic())
        self.look()

    def _wait_s(self) -> float:
        """How long the adapter's thread may wait for TWS and the strategy: until something is due."""
        p = self.parts
        if p.asks:
            return 0.0
        due = p.journal.due_in_s(time.monotonic())
        return min(ASIDE_S if self._is_unseen else POLL_S, POLL_S if due is None else due)

    def _end_threads(self) -> None:
        p = self.parts
        self._turn_until(self._strategy_done.is_set, STOP_S)
        if self._leaves.is_set():
            return
        if self.failure is not None:
            p.adapter.halt(self.why, cancels=False)
        p.adapter.answer_asks()  # what the last handler asked for comes before the end of orders, whichever was faster
        if self.cancels:
            p.adapter.cancel_all()
        p.adapter.send_due()
        if p.side.has_begun:  # a connection that is down now may come back in time to tell what has happened
            self._turn_until(self._is_settled, END_S)
        if self._strategy_done.is_set():  # what came in the meantime is part of the record
            p.side.play(p.inbox.take(), p.clock.now())

    def _is_settled(self) -> bool:
        """Whether what TWS knows is known here, and nothing works that was to end."""
        ib = self.parts.adapter.ib
        return ib.state is LinkState.READY and not self._is_ending()

    def _is_ending(self) -> bool:
        """Whether orders still work whose end was asked for, or TWS has not said yet that it has one."""
        working = self.parts.adapter.ib.orders.working()
        return any(self.cancels or each.is_cancelling or not each.is_acknowledged for each in working)

    def _turn_until(self, is_done: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_done() and self._may_wait(deadline):
            self._adapter_turn()
            if self.parts.adapter.ib.state is LinkState.FAILED:
                break

    def _may_wait(self, deadline: float) -> bool:
        return time.monotonic() < deadline and not self._leaves.is_set()

    # -- the end ----------------------------------------------------------------------------------------------

    def _close(self) -> None:
        adapter = self.parts.adapter
        self.remaining = [each.number for each in adapter.ib.orders.working()]
        if adapter.gateway is not None:
            adapter.gateway.close()
            adapter.gateway = None


@contextlib.contextmanager
def _switching_every(seconds: float) -> Iterator[None]:
    """Have Python's threads take turns so often. Its usual 5 ms are many times what an order takes."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, seconds))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
