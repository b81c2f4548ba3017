"""Requests that a strategy awaits, and their replies.

A request is data; whoever answers it (the recorded feed, a broker adapter, a person) gives a :class:`Reply`.
The session suspends the handler that awaits it and resumes it when the reply's time has come.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S, Bar, ScanSpec


class Unit(StrEnum):
    """Unit of a duration."""

    SECOND = "s"
    SESSION = "d"


class Duration(msgspec.Struct, frozen=True):
    """A length of time: seconds, or trading sessions (the present one included)."""

    count: int
    unit: Unit

    @property
    def ns(self) -> int:
        """Nanoseconds; only for seconds."""
        assert self.unit is Unit.SECOND, "sessions have no fixed length"
        return self.count * NS_PER_S


_UNITS: Mapping[str, tuple[int, Unit]] = {
    "s": (1, Unit.SECOND), "sec": (1, Unit.SECOND), "secs": (1, Unit.SECOND), "second": (1, Unit.SECOND),
    "seconds": (1, Unit.SECOND), "m": (60, Unit.SECOND), "min": (60, Unit.SECOND), "mins": (60, Unit.SECOND),
    "minute": (60, Unit.SECOND), "minutes": (60, Unit.SECOND), "h": (3600, Unit.SECOND), "hour": (3600, Unit.SECOND),
    "hours": (3600, Unit.SECOND), "d": (1, Unit.SESSION), "day": (1, Unit.SESSION), "days": (1, Unit.SESSION),
    "w": (5, Unit.SESSION), "week": (5, Unit.SESSION), "weeks": (5, Unit.SESSION),
}  # fmt: skip


def duration(text: str | float) -> Duration:
    """Read ``"30 s"``, ``"5m"``, ``"1 hour"``, ``"2 D"``, ``"day"``; a bare number is seconds."""
    match = re.fullmatch(r"\s*(\d+)?\s*([A-Za-z]*)\s*", str(text))
    unit = _UNITS.get((match[2] or "s").lower()) if match else None
    if match is None or unit is None or not (match[1] or match[2]) or match[1] == "0":
        raise ConfigError(f'duration "{text}": a number and a unit are needed, as "30 s", "5 m", "1 h" or "2 D"')
    factor, kind = unit
    return Duration(int(match[1] or 1) * factor, kind)


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


class Snapshot(msgspec.Struct, frozen=True):
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

    Mapping-like: ``reply[symbol]``, ``symbol in reply``, iteration over the symbols that arrived.
    ``value`` is the answer where it is not one for each symbol (a scan, a yes or no).
    """

    request: Request
    values: Mapping[str, Any]
    missing: tuple[str, ...] = ()
    value: Any = None

    def __getitem__(self, symbol: str) -> Any:
        return self.values[symbol]

    def __contains__(self, symbol: str) -> bool:
        return symbol in self.values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def get(self, symbol: str, default: Any = None) -> Any:
        """The symbol's value, or ``default`` where none arrived."""
        return self.values.get(symbol, default)


History = Mapping[str, list[Bar]]


class Awaited:
    """What ``await`` is given: it hands the request to the session and returns the reply."""

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = request

    def __await__(self) -> Generator[Request, Reply, Reply]:
        return (yield self.request)
