"""A strategy's questions to the person at the terminal. Nothing waits for the answer but the handler that asked."""

from __future__ import annotations

import sys
import threading
from contextlib import AbstractContextManager, nullcontext

from brokers.ib.events import Answered
from feeds.ib import confirmation
from papertape.core.errors import ConfigError
from papertape.core.requests import ConfirmRequest
from papertape.live.inbox import Inbox
from papertape.live.screen import Screen

_YES = ("y", "yes")


class Questions:
    """Asks in a thread of its own; one question at a time has the terminal."""

    def __init__(self) -> None:
        """ConfigError where there is no terminal to ask on."""
        if not sys.stdin.isatty():
            raise ConfigError("--confirm ask needs a terminal; say yes, no or if-affordable where nobody sits at one")
        self._inbox: Inbox | None = None
        self._screen: Screen | None = None
        self._turn = threading.Lock()

    def attach(self, inbox: Inbox, screen: Screen | None) -> None:
        """Answers go to ``inbox``; ``screen`` gives the terminal away meanwhile."""
        self._inbox, self._screen = inbox, screen

    def ask(self, request: ConfirmRequest) -> None:
        """Put a question; returns at once."""
        threading.Thread(target=self._ask, args=(request,), name="question", daemon=True).start()

    def _ask(self, request: ConfirmRequest) -> None:
        with self._turn, self._terminal():
            try:
                typed = input(f"{request.question} [y/N] ")
            except EOFError:
                typed = ""
        assert self._inbox is not None, "it is attached before the run begins"
        self._inbox.put([Answered(confirmation(request, answer=typed.strip().lower() in _YES))])

    def _terminal(self) -> AbstractContextManager[None]:
        return nullcontext() if self._screen is None else self._screen.suspended()
