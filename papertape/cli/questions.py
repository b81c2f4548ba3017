"""A strategy's questions to the person at the terminal. Nothing waits for the answer but the handler that asked."""

from __future__ import annotations

import select
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext

from brokers.ib.events import Answered
from feeds.ib import confirmation
from papertape.cli.text import clean
from papertape.core.errors import ConfigError
from papertape.core.requests import ConfirmRequest
from papertape.live.inbox import Inbox
from papertape.live.screen import Screen

_YES = ("y", "yes")
_LOOK_EVERY_S = 0.2


class Questions:
    """Asks in a thread of its own; one question at a time has the terminal.

    ``patience_s`` is how long the run itself waits for an answer; None: as long as it takes, as a market does that is
    played in step. A question that nobody answered in that time is taken back, so that a word that comes too late is
    not taken for the answer to the next one.
    """

    def __init__(self, *, patience_s: float | None = None) -> None:
        """ConfigError where there is no terminal to ask on."""
        if not sys.stdin.isatty():
            raise ConfigError("--confirm ask needs a terminal; say yes, no or if-affordable where nobody sits at one")
        self._patience_s = patience_s
        self._inbox: Inbox | None = None
        self._screen: Screen | None = None
        self._turn = threading.Lock()

    def attach(self, inbox: Inbox, screen: Screen | None) -> None:
        """Answers go to ``inbox``; ``screen`` gives the terminal away meanwhile."""
        self._inbox, self._screen = inbox, screen

    def ask(self, request: ConfirmRequest) -> None:
        """Put a question; returns at once."""
        until_s = None if self._patience_s is None else time.monotonic() + self._patience_s
        threading.Thread(target=self._ask, args=(request, until_s), name="question", daemon=True).start()

    def _ask(self, request: ConfirmRequest, until_s: float | None) -> None:
        with self._turn, self._terminal():
            sys.stderr.write(f"{clean(request.question)} [y/N] ")
            sys.stderr.flush()
            typed = _line(until_s)
            if typed is None:
                sys.stderr.write("\nnobody answered in time: no\n")
                return
        assert self._inbox is not None, "it is attached before the run begins"
        self._inbox.put([Answered(confirmation(request, answer=typed.strip().lower() in _YES))])

    def _terminal(self) -> AbstractContextManager[None]:
        return nullcontext() if self._screen is None else self._screen.suspended()


def _line(until_s: float | None) -> str | None:
    """The line that is typed, empty at the end of the input; None where none was by then (``time.monotonic``)."""
    while until_s is not None and sys.platform != "win32":  # there a terminal can not be looked at without waiting
        left_s = until_s - time.monotonic()
        if left_s <= 0.0:
            return None
        if select.select([sys.stdin], [], [], min(left_s, _LOOK_EVERY_S))[0]:
            break
    return sys.stdin.readline()
