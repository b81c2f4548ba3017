"""What a person sees of a live run: a screen on a terminal, plain lines elsewhere.

Whoever trades hands over an immutable status and goes on; a thread of the screen's own looks at the newest one a few
times a second. A terminal that does not take what is written stops that thread and nothing else.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from papertape.core.model import NS_PER_S
from papertape.live.screen_lines import clock, log_line, screen_lines, summary_line
from papertape.live.status import LiveStatus

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

FRAMES_PER_S = 4.0
SUMMARY_EVERY_S = 60.0
CLOSE_TIMEOUT_S = 2.0
"""How long the end waits for a terminal that does not take the last lines."""


class Painter(Protocol):
    """Puts a status where it can be seen. Called from the screen's thread only."""

    def paint(self, status: LiveStatus) -> None:
        """Show the status."""

    def suspend(self) -> None:
        """Leave the terminal to somebody else until the next status."""

    def end(self, status: LiveStatus | None) -> None:
        """Show the last status for good."""


class LinePainter:
    """Lines for a pipe or a file: each line of the log once, and a summary a minute.

    Times are the run's: the summary counts by the status's own clock. ``write`` takes lines without their ends.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._number = 0
        self._summary_ts = 0
        self._state = ""

    def paint(self, status: LiveStatus) -> None:
        """Say what is new."""
        for line in status.log:
            if line.number <= self._number:
                continue
            if line.number > self._number + 1:
                self._write(f"... {line.number - self._number - 1:,} lines that came too fast are only in the run")
            self._number = line.number
            self._write(log_line(line, status.zone).plain)
        is_due = status.ts - self._summary_ts >= SUMMARY_EVERY_S * NS_PER_S
        if is_due or status.state != self._state:
            self._say(status)

    def _say(self, status: LiveStatus) -> None:
        self._summary_ts, self._state = status.ts, status.state
        self._write(f"{clock(status.exchange_ts or status.ts, status.zone)} {summary_line(status)}")

    def suspend(self) -> None:
        """Lines are in nobody's way."""

    def end(self, status: LiveStatus | None) -> None:
        """Say what is new, and how it ended."""
        if status is not None:
            self.paint(status)
            if status.ts != self._summary_ts:
                self._say(status)


class TerminalPainter:
    """A screen that is drawn anew, on the terminal's other page, so that what was there before comes back."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def paint(self, status: LiveStatus) -> None:
        """Draw the status."""
        from rich.console import Group
        from rich.live import Live

        width, height = self._console.size
        picture = Group(*screen_lines(status, width, height - 1))
        if self._live is None:
            self._live = Live(picture, console=self._console, screen=True, auto_refresh=False, redirect_stderr=False,
                              redirect_stdout=False)  # fmt: skip
            self._live.start(refresh=True)
        else:
            self._live.update(picture, refresh=True)

    def suspend(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def end(self, status: LiveStatus | None) -> None:
        """Leave the last screen on the ordinary page, without the cut of its height."""
        self.suspend()
        if status is not None:
            for line in screen_lines(status, self._console.size.width, 40):
                self._console.print(line, highlight=False, soft_wrap=True)


class Screen:
    """Shows the newest status at most ``FRAMES_PER_S`` times a second, from a thread of its own.

    A painter that fails (a pipe that is closed) ends the showing; ``failure`` then says why, and trading goes on.
    """

    def __init__(self, painter: Painter, *, frames_per_s: float = FRAMES_PER_S) -> None:
        self._painter = painter
        self._pause_s = 1.0 / frames_per_s
        self._newest: LiveStatus | None = None
        self._wake = threading.Event()
        self._is_closing = False
        self._turn = threading.Lock()
        self.failure = ""
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self._thread.start()

    def show(self, status: LiveStatus) -> None:
        """Show a status soon; returns at once."""
        self._newest = status
        self._wake.set()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """The terminal belongs to somebody else meanwhile, as to a question."""
        with self._turn:
            self._painter.suspend()
            yield

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
        """Show the last status for good; whether that could be done within the time."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self.failure

    def __enter__(self) -> Self:
        """It shows already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the terminal back, however it ends."""
        self.close()

    def _run(self) -> None:
        try:
            while not self._is_closing:
                self._wake.wait()
                self._wake.clear()
                status = self._newest
                if status is not None and not self._is_closing:
                    with self._turn:
                        self._painter.paint(status)
                    time.sleep(self._pause_s)
            with self._turn:
                self._painter.end(self._newest)
        except Exception as error:  # noqa: BLE001 - a closed pipe, or a bug here: nobody looks any more, trading goes on
            self.failure = str(error) or type(error).__name__


def open_screen(out: TextIO | None = None, *, plain: bool = False) -> Screen:
    """A screen where ``out`` (default: stdout) is a terminal, else lines; ``plain`` asks for lines."""
    from rich.console import Console

    stream = out or sys.stdout
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if plain or not stream.isatty() or console.is_dumb_terminal:

        def write(line: str) -> None:
            stream.write(line + "\n")
            stream.flush()

        return Screen(LinePainter(write))
    return Screen(TerminalPainter(console))
