"""The kinds of faults, what each may say, and how that is spelled in a scenario."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, get_args
from zoneinfo import ZoneInfo

from gateway.protocol.replies import Reply, TickString
from gateway.ticks import SUMMARIES
from papertape.core.errors import did_you_mean
from papertape.core.model import NS_PER_MS, NS_PER_S

BYTES_MOST = 1 << 20
_LONGEST_NS = 1_000 * 3600 * NS_PER_S
ANY = "any"
"""The kind of message that is every message."""


class Kind(StrEnum):
    """What goes wrong. docs/simulated-gateway.md has a line on each."""

    DISCONNECT = "disconnect"
    HALF_OPEN = "half-open"
    RESTART = "restart"
    CONNECTIVITY = "connectivity"
    FARM = "farm"
    NOTICE = "notice"
    CLIENT_ID_BUSY = "client-id-busy"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    DROP = "drop"
    STALL = "stall"
    DRIP = "drip"
    FULL_READ = "full-read"
    GARBAGE = "garbage"
    IDS_BACK = "ids-back"
    REJECT = "reject"
    PARTIAL = "partial"
    LATE_FILL = "late-fill"
    CORRECT = "correct"
    BUST = "bust"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. Which fields its kind has, and their defaults, says ``SHAPES``.

    It is armed at ``at`` (a naive time is in the exchange's zone; a time of day is the first after the start), or
    ``after_ns`` from the start of the market, else at once. A fault of messages, orders or fills then meets the
    ``nth`` one that fits and the ``count - 1`` after it (0: all after it); any other happens when it is armed.
    """

    kind: Kind
    at: dt.datetime | dt.time | None = None
    after_ns: int | None = None
    client: int | None = None
    """Client id; None: any."""
    symbol: str = ""
    message: str = ""
    """A name of ``MESSAGES``, or "any"."""
    behind: str = ""
    """The kind of message that overtakes it."""
    nth: int = 1
    count: int = 1
    for_ns: int = 0
    """Exchange time."""
    wall_s: float = 0.0
    """Seconds of the client's clock; of a half-open connection 0 is for ever."""
    code: int = 0
    text: str = ""
    size: int = 0
    """Bytes: before a stall, in a drip's piece, of garbage."""
    parts: int = 0
    by: float = 0.0
    """What is added to a price, or taken off an order id."""
    data_lost: bool = False


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


MESSAGES: Mapping[str, type] = {_kebab(each.__name__): each for each in get_args(Reply)}
"""Kind of message as a scenario spells it -> class of the reply: order-status, execution, commission, ..."""
RT_VOLUME_NAME = "rt-volume"
"""A tick-string with a trade in it: a kind of its own, so that a scenario can count trades."""
_NAMES: Mapping[type, str] = {kind: name for name, kind in MESSAGES.items()}


def name_of(message: Reply) -> str:
    """Kind of a message as a scenario spells it."""
    if isinstance(message, TickString) and message.type in SUMMARIES.values():
        return RT_VOLUME_NAME
    return _NAMES[type(message)]


_UNITS: Mapping[str, int] = {
    "us": 1_000, "ms": NS_PER_MS, "s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3600 * NS_PER_S,
}  # fmt: skip


def duration_ns(text: object) -> int:
    """Nanoseconds of ``"250ms"``, ``"1.5s"``, ``"2m"``, ``"1h"``. Raises ValueError that says what is needed."""
    match = re.fullmatch(r"\s*(\d{1,15})(?:\.(\d{1,9}))?\s*(us|ms|s|m|h)\s*", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('a length of time as "250ms", "30s" or "2m" is needed')
    unit = _UNITS[match[3]]
    part = match[2] or "0"
    length = int(match[1]) * unit + int(part) * unit // int(10 ** len(part))
    if length > _LONGEST_NS:
        raise ValueError("a length of at most 1000h is needed")
    return length


def duration_text(ns: int) -> str:
    """The text of a length of time; ``duration_ns`` reads it back (to the microsecond)."""
    for unit, length in (("h", 3600 * NS_PER_S), ("m", 60 * NS_PER_S), ("s", NS_PER_S), ("ms", NS_PER_MS)):
        if ns >= length and ns % length == 0:
            return f"{ns // length}{unit}"
    return f"{ns // 1_000}us"


def _moment(value: object) -> dt.datetime | dt.time:
    if isinstance(value, dt.datetime | dt.time):
        return value
    if isinstance(value, str):
        for read in (dt.time.fromisoformat, dt.datetime.fromisoformat):
            try:
                found: dt.datetime | dt.time = read(value.strip())
            except ValueError:
                continue
            if isinstance(found, dt.time) or len(value.strip()) > len("2026-01-05"):
                return found
    raise ValueError('a time as "10:30" or "2026-01-05T10:30" is needed')


def _integer(least: int, most: int, need: str) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{need} is needed")
        return value

    return read


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise ValueError("a number is needed")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or len(value) > 2_000:
        raise ValueError("a text of plain characters is needed")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is needed")  # noqa: TRY004  # readers say so of any wrong value
    return value


def _message(value: object) -> str:
    names = (ANY, RT_VOLUME_NAME, *MESSAGES)
    if value not in names:
        raise ValueError(f"no such kind of message{did_you_mean(str(value), names)}")
    return str(value)


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of a fault's table: the field it fills, and how a value is read and written."""

    field: str
    read: Callable[[object], Any]
    write: Callable[[Any], str]


def quoted(value: str) -> str:
    """A text as TOML writes it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _moment_text(value: dt.datetime | dt.time) -> str:
    return quoted(value.isoformat())


_SPAN = (duration_ns, lambda ns: quoted(duration_text(ns)))
KEYS: Mapping[str, _Key] = {
    "at": _Key("at", _moment, _moment_text),
    "after": _Key("after_ns", *_SPAN),
    "client": _Key("client", _integer(0, 2**31 - 1, "a client id"), str),
    "symbol": _Key("symbol", _text, quoted),
    "message": _Key("message", _message, quoted),
    "behind": _Key("behind", _message, quoted),
    "nth": _Key("nth", _integer(1, 10**9, "a whole number from 1"), str),
    "count": _Key("count", _integer(0, 10**9, "a whole number from 1, or 0 for all,"), str),
    "for": _Key("for_ns", *_SPAN),
    "wall": _Key("wall_s", lambda v: duration_ns(v) / NS_PER_S, lambda s: quoted(duration_text(round(s * NS_PER_S)))),
    "code": _Key("code", _integer(1, 99_999, "a code of a message, as 2103,"), str),
    "text": _Key("text", _text, quoted),
    "bytes": _Key("size", _integer(1, BYTES_MOST, f"a whole number of bytes from 1 to {BYTES_MOST:,}"), str),
    "parts": _Key("parts", _integer(2, 100, "a whole number from 2 to 100"), str),
    "by": _Key("by", _number, repr),
    "data_lost": _Key("data_lost", _flag, lambda value: str(value).lower()),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a kind's table holds: keys that it may have with their defaults, and keys of which it must have one each."""

    takes: Mapping[str, object]
    needs: tuple[tuple[str, ...], ...] = ()


_WHEN: Mapping[str, object] = {"at": None, "after": None}
_TIMED = (("at", "after"),)
_CONVERSATION: Mapping[str, object] = {**_WHEN, "client": None, "symbol": "", "message": "", "nth": 1}
_STARTED = (("at", "after", "message"),)
_OF_MESSAGES: Mapping[str, object] = {**_CONVERSATION, "count": 1}
_MESSAGE = (("message",),)
_COUNTED: Mapping[str, object] = {"nth": 1, "count": 1}
REJECTED_TEXT = "The simulated exchange was told to reject this order"
"""What follows "Order rejected - reason:"."""
SHAPES: Mapping[Kind, Shape] = {
    Kind.DISCONNECT: Shape(_CONVERSATION, _STARTED),
    Kind.HALF_OPEN: Shape({**_CONVERSATION, "wall": 0.0}, _STARTED),
    Kind.RESTART: Shape({**_WHEN, "wall": 5.0}, _TIMED),
    Kind.CONNECTIVITY: Shape({**_WHEN, "for": 30 * NS_PER_S, "data_lost": False}, _TIMED),
    Kind.FARM: Shape({**_WHEN, "for": 10 * NS_PER_S, "code": 2103, "text": ""}, _TIMED),
    Kind.NOTICE: Shape({**_WHEN, "client": None, "code": 0, "text": ""}, (*_TIMED, ("code",), ("text",))),
    Kind.CLIENT_ID_BUSY: Shape({**_WHEN, "client": None, "count": 3}),
    Kind.DELAY: Shape({**_OF_MESSAGES, "for": 0}, (*_MESSAGE, ("for",))),
    Kind.DUPLICATE: Shape(_OF_MESSAGES, _MESSAGE),
    Kind.REORDER: Shape({**_OF_MESSAGES, "behind": "", "for": 60 * NS_PER_S}, (*_MESSAGE, ("behind",))),
    Kind.DROP: Shape(_OF_MESSAGES, _MESSAGE),
    Kind.STALL: Shape({**_OF_MESSAGES, "bytes": 0, "wall": 2.0}, _MESSAGE),
    Kind.DRIP: Shape({**_OF_MESSAGES, "bytes": 7, "wall": 0.02}, _MESSAGE),
    Kind.FULL_READ: Shape(_OF_MESSAGES, _MESSAGE),
    Kind.GARBAGE: Shape({**_CONVERSATION, "bytes": 64}, _STARTED),
    Kind.IDS_BACK: Shape({"client": None, **_COUNTED, "by": 100.0}),
    Kind.REJECT: Shape({**_COUNTED, "symbol": "", "text": REJECTED_TEXT}),
    Kind.PARTIAL: Shape({**_COUNTED, "parts": 3}),
    Kind.LATE_FILL: Shape(_COUNTED),
    Kind.CORRECT: Shape({**_COUNTED, "by": -0.01}),
    Kind.BUST: Shape(_COUNTED),
}
"""Kind -> what its table may and must say. ``nth`` counts what fits: messages, orders, fills, or askings for an order id."""
FARMS: Mapping[int, tuple[str, int, str]] = {
    2103: ("Market data farm connection is broken:usfarm", 2104, "Market data farm connection is OK:usfarm"),
    2105: ("HMDS data farm connection is broken:ushmds", 2106, "HMDS data farm connection is OK:ushmds"),
    2108: (
        "Market data farm connection is inactive but should be available upon demand.usfarm",
        2104,
        "Market data farm connection is OK:usfarm",
    ),
    2110: (
        "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
        2104,
        "Market data farm connection is OK:usfarm",
    ),
    2157: ("Sec-def data farm connection is broken:secdefnj", 2158, "Sec-def data farm connection is OK:secdefnj"),
}
"""Code of a farm's failure -> its text, code and text of its recovery (worded as clients have reported them)."""

_PLAIN = {each.name: each.default for each in fields(Fault) if each.name != "kind"}
DEFAULTS: Mapping[Kind, Mapping[str, object]] = {
    kind: {**_PLAIN, **{KEYS[name].field: value for name, value in shape.takes.items()}}
    for kind, shape in SHAPES.items()
}


def said_of(fault: Fault) -> dict[str, str]:
    """What a file must say of a fault, beside its kind: key -> value, as TOML writes it."""
    shape = SHAPES[fault.kind]
    needed = {names[0] for names in shape.needs if len(names) == 1}
    values = {name: getattr(fault, KEYS[name].field) for name in shape.takes}
    return {
        name: KEYS[name].write(value)
        for name, value in values.items()
        if name in needed or value != DEFAULTS[fault.kind][KEYS[name].field]
    }


def fault_line(fault: Fault) -> str:
    """A fault as one line: its kind, and what was said of it."""
    said = (f"{name} {value.strip(chr(34))}" for name, value in said_of(fault).items())
    return f"{fault.kind} {', '.join(said)}".strip()


def armed_ts(fault: Fault, start: int, zone: str) -> int:
    """When a fault is armed (UTC ns) in a market that starts at ``start`` on an exchange in ``zone``."""
    if fault.after_ns is not None:
        return start + fault.after_ns
    if fault.at is None:
        return start
    if isinstance(fault.at, dt.datetime):
        when = fault.at if fault.at.tzinfo else fault.at.replace(tzinfo=ZoneInfo(zone))
        return _ns(when)
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    day = (epoch + dt.timedelta(seconds=start // NS_PER_S)).astimezone(ZoneInfo(zone)).date()
    found = _ns(dt.datetime.combine(day, fault.at, tzinfo=ZoneInfo(zone)))
    if found < start:
        found = _ns(dt.datetime.combine(day + dt.timedelta(days=1), fault.at, tzinfo=ZoneInfo(zone)))
    return found


def _ns(when: dt.datetime) -> int:
    since = when - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * 1_000
