"""What a person sees while it works: a bar on a terminal, a line where machine code is being made, else nothing."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from papertape.cli.text import emit

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_APPEARS_AFTER_S = 0.25
"""What is done sooner shows no bar, and does not pay for loading one."""
_SHOWN_EVERY_S = 0.1


class Bar:
    """A progress bar on stderr, made when there is something to show and stderr is a terminal."""

    def __init__(self, title: str, unit: str) -> None:
        self._title = title
        self._unit = unit
        self._began = time.monotonic()
        self._rich: Progress | None = None
        self._task: TaskID | None = None
        self._shown_s = 0.0
        self._is_terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.stop()

    def show(self, part: float, count: int) -> None:
        """Show that a part (0 to 1) is done, ``count`` units so far."""
        elapsed = time.monotonic() - self._began
        if not self._is_terminal or elapsed < max(_APPEARS_AFTER_S, self._shown_s + _SHOWN_EVERY_S):
            return
        self._shown_s = elapsed
        if self._rich is None:
            self._start()
        assert self._rich is not None, "it was started"
        assert self._task is not None, "it was started"
        rate = f"{count / elapsed / 1e6:,.1f} M {self._unit}/s" if count >= elapsed * 1e5 else f"{count:,} {self._unit}"
        self._rich.update(self._task, completed=part, rate=rate)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(24),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        self._rich = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._rich.add_task(self._title, total=1.0, rate="")
        self._rich.start()


_announced = False


def announce_compiling() -> None:
    """Say so, once, when compiled code is not there yet and has to be made."""
    from papertape.core import compiled

    def say(_: str) -> None:
        global _announced  # noqa: PLW0603  (a process compiles once, whoever asks for it)
        if _announced:
            return
        _announced = True
        if compiled.will_compile():
            emit("compiling the engine, once per machine (about a minute) ...", to_stderr=True)
        elif sys.stderr.isatty():
            emit("compiling a part of the engine that is used for the first time ...", to_stderr=True)

    compiled.on_compiling(say)
