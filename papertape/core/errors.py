"""The errors papertape raises, and who is at fault in each.

    PapertapeError
    ├── UserError            the user can mend it: one clear line, exit status 2
    │   ├── DataError        something in a file: ``file:line:column: what, and how to go on``
    │   ├── ConfigError      an option, a parameter or a configuration key
    │   └── StrategyError    a strategy asked for something that it may not or cannot have
    ├── PeerError            a broker or a feed misbehaved: trading stops and says so
    └── JournalError         a run's memory can not be kept: what was to follow from it is not done, trading stops

Our own bugs are assertions, never one of these.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PapertapeError(Exception):
    """Base of all errors that papertape raises on purpose."""


class UserError(PapertapeError):
    """The user can mend it. The message is one line and says how to go on."""


class DataError(UserError):
    """Input data that can not be used.

    ``path`` is the file as the user named it; ``line`` and ``column`` count from 1, 0 means unknown.
    """

    def __init__(self, what: str, *, path: str = "", line: int = 0, column: int = 0) -> None:
        self.what = what
        self.path = path
        self.line = line
        self.column = column
        where = path
        if line:
            where += f":{line}"
            if column:
                where += f":{column}"
        super().__init__(f"{where}: {what}" if where else what)


class ConfigError(UserError):
    """An option, parameter or configuration key is unknown or out of bounds."""


class StrategyError(UserError):
    """A strategy asked for something that it may not or cannot have."""


class PeerError(PapertapeError):
    """A broker or a feed broke its protocol; what follows from it can not be trusted."""


class JournalError(PapertapeError):
    """The journal of a paper or live run can not be written: the disk is full or fails.

    What was to be journaled may or may not be found there later. An order whose intent it was must not be sent.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The ending of a message about an unknown word: ``; did you mean "up"?`` or the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known: {', '.join(names)}" if names else ""
