"""What a client heard, as plain values that can be compared over client versions.

Runs under the interpreter of any client: standard library only. A recording is a file of JSON lines. An object says
which client it was (``Head``); a list is a callback: ``[time, client id, name, arguments]``, with the exchange time (s)
of the last marker before it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Protocol

UNSET_INTEGERS = (2**31 - 1, 2**63 - 1)
UNSET_FLOATS = (1.7976931348623157e308, float(2**127 - 1))
UNSET_TEXTS = ("1.7976931348623157E308", "1.7976931348623157e+308", "2147483647", "9223372036854775807")

RENAMED: Mapping[str, str] = {
    "commissionAndFees": "commission",
    "commissionAndFeesCurrency": "commissionCurrency",
    "minCommissionAndFees": "minCommission",
    "maxCommissionAndFees": "maxCommission",
    "average": "wap",
}
"""Fields that were renamed from one client version to the next -> the one name for both."""

CALLBACKS: Mapping[str, str] = {"commissionAndFeesReport": "commissionReport"}
"""Callbacks likewise."""

SIZE_OF_PRICE: Mapping[int, int] = {1: 0, 2: 3, 4: 5, 66: 69, 67: 70, 68: 71}
"""Tick type of a price -> that of the size tick which the stock client derives from the same message."""

EXACT_INTEGERS = 2.0**53


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers in one form whatever their type was, unset as None, objects by their fields.

    Empty fields of objects (None, False, texts and lists without content) are left out, for a version that has no such
    field cannot be told apart there from one that left it empty. Zero is not empty.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return None if value.name == "NoneItem" else value.name
    if isinstance(value, str):
        return None if value in UNSET_TEXTS else value
    if isinstance(value, int):
        return None if value in UNSET_INTEGERS else value
    if isinstance(value, float | Decimal):
        return _number(float(value))
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, list | tuple | set):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in sorted(value.items())}
    return fields_of(value)


def _number(value: float) -> float | int | None:
    if math.isnan(value) or value in UNSET_FLOATS:
        return None
    if value.is_integer() and abs(value) < EXACT_INTEGERS:
        return int(value)
    return value


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a client's object that have content, under the names that are the same for all versions."""
    names: Iterable[str]
    names = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else vars(value)
    made = {RENAMED.get(name, name): plain(getattr(value, name)) for name in names if not name.startswith("_")}
    return {name: each for name, each in sorted(made.items()) if each is not False and each not in (None, "", [], {})}


@dataclasses.dataclass(frozen=True)
class Head:
    """Which client made a recording, and the server version that it and the server agreed on."""

    client: str
    release: str
    server_version: int


@dataclasses.dataclass(frozen=True)
class Callback:
    """One callback: ``at`` is exchange time in s, ``client`` the client id of the connection."""

    at: int
    client: int
    name: str
    arguments: tuple[Any, ...]


class Lines(Protocol):
    """What a recording is written to."""

    def write(self, text: str, /) -> int:
        """Write whole lines."""
        ...


class Recorder:
    """Writes callbacks as they come."""

    def __init__(self, file: Lines) -> None:
        self._file = file

    def head(self, head: Head) -> None:
        """Say whose recording it is."""
        self._write(dataclasses.asdict(head))

    def callback(self, at: int, client: int, name: str, arguments: Iterable[Any]) -> None:
        """Write one callback."""
        self._write([at, client, CALLBACKS.get(name, name), [plain(each) for each in arguments]])

    def _write(self, row: Any) -> None:
        self._file.write(json.dumps(row, separators=(",", ":")) + "\n")


def read(lines: Iterable[str]) -> tuple[Head, list[Callback]]:
    """Read what a Recorder wrote. ValueError where it does not say whose it is: no client got so far."""
    rows = [json.loads(line) for line in lines]
    heads = [Head(**each) for each in rows if isinstance(each, dict)]
    if not heads:
        raise ValueError("the recording does not say which client it is from: none was connected")
    calls = [each for each in rows if isinstance(each, list)]
    return heads[0], [Callback(at, client, name, tuple(rest)) for at, client, name, rest in calls]
