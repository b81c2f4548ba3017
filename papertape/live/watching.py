"""Whoever looks at a run while it runs: a screen, other processes through its folder, a recorder, somebody to notify."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from brokers.ib.events import Event, LinkState
from feeds.record_thread import RecordThread
from feeds.recorder import Recorder
from papertape.live.assembly import LiveRun
from papertape.live.control import Control, Halt, RunFolderLock
from papertape.live.notify import Notable, Notification, Notifier, parse_target
from papertape.live.overview import Overview
from papertape.live.screen import open_screen

SHOW_EVERY_S = 0.25
HALT_S = 4.0
"""How long the broker may take to confirm the cancels of a halt before who asked for it is told that it has not."""


class Watching:
    """``look`` is called by the thread that owns the connection, again and again; it never waits for anybody."""

    def __init__(
        self,
        run: LiveRun,
        *,
        is_plain: bool = False,
        is_silent: bool = False,
        notify: str | None = None,
        record: str | None = None,
    ) -> None:
        self._run = run
        self._recorder = None if record is None else _recorder(run, Path(record))
        self._notifier = None if notify is None else Notifier(parse_target(notify))
        self._lock = RunFolderLock(run.folder)
        self._control = Control(self._lock)
        self._overview = Overview(run)
        self.screen = None if is_silent else open_screen(plain=is_plain)
        self.said: list[str] = []
        """What is to be said at the end: recordings and notifications that failed."""
        self._shown_s = 0.0
        self._halt: Halt | None = None
        self._halt_until = 0.0
        self._said_working = -1
        self._was_up = True
        """Whether the connection was there when somebody was told of it last; before the first time it is not missed."""
        self._has_been_up = False
        self._was_tripped = self._was_halted = self._was_mismatched = False

    def look(self) -> None:
        """Hear a halt; show, tell and notify where it is time for it."""
        halt = self._control.poll()
        adapter = self._run.parts.adapter
        if halt is not None:
            adapter.halt(halt.text())
            self._halt, self._halt_until = halt, time.monotonic() + HALT_S
        if self._halt is not None:
            self._answer_halt(self._halt)
        now_s = time.monotonic()
        if now_s - self._shown_s < SHOW_EVERY_S:
            return
        self._shown_s = now_s
        status = self._overview.status()
        if self.screen is not None:
            self.screen.show(status)
        self._control.tell(status, now_s)
        self._notify_changes()

    def _answer_halt(self, halt: Halt) -> None:
        """Say what became of the working orders: at once, and again when none works any more, or too late."""
        working = len(self._run.parts.adapter.ib.orders.working())
        if not working:
            self._control.answer(halt, "halted; no order works", is_done=True)
            self._halt = None
        elif time.monotonic() > self._halt_until:
            self._control.answer(halt, f"halted; {working} order(s) may still work: cancel them in TWS", is_done=True)
            self._halt = None
        elif self._said_working != working:
            self._said_working = working
            self._control.answer(halt, f"halted; {working} order(s) are being cancelled", is_done=False)

    def _notify_changes(self) -> None:
        adapter = self._run.parts.adapter
        state = adapter.state
        if state.trip is not None and not self._was_tripped:
            self._was_tripped = True
            self._send(Notable.GUARD_TRIP, state.trip.text)
        if state.mismatch and not self._was_mismatched:
            self._was_mismatched = True
            self._send(Notable.MISMATCH, state.halted)
        elif state.halted and not self._was_halted:
            self._send(Notable.HALT, state.halted)
        self._was_halted = bool(state.halted)
        link = adapter.ib.state
        is_up = link is LinkState.READY
        self._has_been_up |= is_up
        if self._has_been_up and is_up != self._was_up and link is not LinkState.RECONCILING:
            self._was_up = is_up
            self._send(Notable.LINK_BACK if is_up else Notable.LINK_LOST, adapter.ib.text)

    def _send(self, what: Notable, text: str) -> None:
        if self._notifier is None:
            return
        run = self._run
        self._notifier.send(
            Notification(
                what, time.time_ns(), text, run.folder.name, type(run.strategy).__name__, run.settings.mode.value,
                run.parts.adapter.ib.account.id,
            )
        )  # fmt: skip

    def heard(self, happened: Sequence[Event], now: int) -> None:
        """What has happened, for the recorder and the person."""
        self._overview.heard(happened)
        if self._recorder is not None:
            self._recorder.put(happened)

    def __enter__(self) -> Self:
        self._run.parts.adapter.observe = self.heard
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        why = str(error) if error is not None else self._run.engine.why
        try:
            if self._run.has_begun:
                self._send(Notable.END, why or "ended")
            self._show_last()
        finally:
            if self._recorder is not None:
                self.said += self._recorder.close()
            if self._notifier is not None:
                delivered = self._notifier.close().text()
                self.said += [delivered] if delivered else []
            self._lock.release()

    def _show_last(self) -> None:
        status = self._overview.status()
        self._control.tell(status, is_last=True)
        if self.screen is None:
            return
        if self._run.has_begun:
            self.screen.show(status)
        self.screen.close()
        if self.screen.failure:
            self.said.append(f"the screen: {self.screen.failure}; the run went on without it")


def _recorder(run: LiveRun, folder: Path) -> RecordThread:
    """A recorder of what the run hears, in a thread of its own."""
    recorder = Recorder(
        folder,
        run.parts.adapter.ib.registry,
        zone=run.calendar.zone,
        calendar=run.settings.calendar,
        synthetic=run.source.synthetic,
        origin=f"run {run.folder.name} at {run.address}",
    )
    return RecordThread(recorder)
