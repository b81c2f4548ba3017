"""Requests that a strategy awaits, and their replies.

A request is data; whoever answers it (the recorded feed, a broker adapter, a person) gives a :class:`Reply`.
The session suspends the handler that awaits it and resumes it when the reply's time has come.
"""

from __future__ import annotations

import re
from collections.abc import Generator, ItemsView, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any

import msgspec

from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S, Bar, ScanSpec


class Duration(msgspec.Struct, frozen=True):
    """A length of time: ``ns`` nanoseconds, or a number of trading sessions (the present one included)."""

    ns: int = 0
    sessions: int = 0


_SECONDS: Mapping[str, int] = {
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "mins": 60, "minute": 60,
    "minutes": 60, "h": 3600, "hour": 3600, "hours": 3600,
}  # fmt: skip
_SESSIONS: Mapping[str, int] = {"d": 1, "day": 1, "days": 1, "w": 5, "week": 5, "weeks": 5}


def duration(text: str | float) -> Duration:
    """Read ``"30 s"``, ``"5m"``, ``"1 hour"``, ``"0.5 s"``, ``"2 D"``, ``"day"``; a number is seconds."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)?\s*([A-Za-z]*)\s*", str(text))
    if match is not None and (match[1] or match[2]):
        amount = float(match[1] or 1)
        unit = (match[2] or "s").lower()
        if unit in _SECONDS and (ns := round(amount * _SECONDS[unit] * NS_PER_S)) > 0:
            return Duration(ns=ns)
        if unit in _SESSIONS and amount >= 1 and amount == int(amount):
            return Duration(sessions=int(amount) * _SESSIONS[unit])
    raise ConfigError(f'duration "{text}": a number and a unit are needed, as "30 s", "5 m", "1 h" or "2 D"')


class SnapshotRequest(msgspec.Struct, frozen=True):
    """Last prices of many instruments at once."""

    symbols: tuple[str, ...]


class HistoryRequest(msgspec.Struct, frozen=True):
    """Bars of many instruments at once, over ``duration`` up to now."""

    symbols: tuple[str, ...]
    duration: Duration
    bar: Duration


class ConfirmRequest(msgspec.Struct, frozen=True):
    """A question to the person. ``cost`` (base currency) is what a yes is expected to need."""

    question: str
    cost: float = 0.0


class ScanRequest(msgspec.Struct, frozen=True):
    """One evaluation of a scan."""

    spec: ScanSpec
    rows: int


Request = SnapshotRequest | HistoryRequest | ConfirmRequest | ScanRequest


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """An instrument's prices as of a time. What is unknown is NaN. ``ts`` is the last trade's or bar's time."""

    symbol: str
    last: float
    bid: float
    ask: float
    volume: float
    ts: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request: a value for each symbol that has one, and the symbols that have none.

    It reads as a mapping of symbol to value, over the symbols that arrived, in the order of asking.
    ``value`` is the answer where it is not one for each symbol (a scan, a yes or no). ``if await self.confirm(...)`` asks
    for a yes.
    """

    request: Request
    by_symbol: Mapping[str, Any]
    missing: tuple[str, ...] = ()
    value: Any = None

    def __getitem__(self, symbol: str) -> Any:
        return self.by_symbol[symbol]

    def __contains__(self, symbol: str) -> bool:
        return symbol in self.by_symbol

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_symbol)

    def __len__(self) -> int:
        return len(self.by_symbol)

    def __bool__(self) -> bool:
        """The answer to a question is true where it is yes; else whether anything arrived."""
        return bool(self.value) if self.value is not None else bool(self.by_symbol)

    def get(self, symbol: str, default: Any = None) -> Any:
        """The symbol's value, or ``default`` where none arrived."""
        return self.by_symbol.get(symbol, default)

    def keys(self) -> KeysView[str]:
        """The symbols that arrived."""
        return self.by_symbol.keys()

    def values(self) -> ValuesView[Any]:
        """What arrived."""
        return self.by_symbol.values()

    def items(self) -> ItemsView[str, Any]:
        """Pairs of symbol and value."""
        return self.by_symbol.items()


History = Mapping[str, list[Bar]]


class Awaited:
    """What ``await`` is given: it hands the request to the session and returns the reply."""

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = request

    def __await__(self) -> Generator[Request, Reply, Reply]:
        return (yield self.request)
