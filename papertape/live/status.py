"""What a person needs to know of a run that trades, as one immutable object: the screen and ``status.json`` show it.

Times are UTC nanoseconds, 0 where there is none: the gateway's clock, but for ``ts`` and ``started_ts``. Money is in the base currency unless a field says otherwise. What is
not known is NaN, never 0; in JSON it is null.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from papertape.core.errors import DataError

NAN = math.nan
LOG_LINES = 200
"""Lines of the log that a status carries; whoever shows all of them must look before so many more have come."""
STATUS_BYTES_MAX = 4 << 20

T = TypeVar("T")


class RunState(StrEnum):
    """How far a run is."""

    STARTING = "starting"
    """It connects, warms up or reconciles: no orders yet."""
    RUNNING = "running"
    HALTED = "halted"
    """It lives and watches, and gives no more orders."""
    ENDING = "ending"
    ENDED = "ended"


class LogKind(StrEnum):
    """What a line of the log is about."""

    FILL = "fill"
    ORDER = "order"
    GUARD = "guard"
    LINK = "link"
    DATA = "data"
    SCAN = "scan"
    HALT = "halt"
    NOTICE = "notice"
    """Something TWS said, or the program itself."""
    STRATEGY = "log"
    """What the strategy said."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something that happened. ``number`` counts all lines of a run from 1."""

    number: int
    ts: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class DataLine:
    """How fresh an instrument's data are. ``kind`` is a ``DataKind``, ``source`` a ``TradeSource`` of brokers.ib.events."""

    symbol: str
    kind: str
    source: str
    received_ts: int = 0
    """When something of it was received last."""
    is_stale: bool = False
    """Whether orders that raise the risk in it are refused for the age of its data."""


@dataclass(frozen=True, slots=True)
class PositionLine:
    """A position, in its instrument's ``currency``. ``is_own`` is False for what the account holds beside the run."""

    symbol: str
    quantity: float
    average_cost: float
    mark: float
    unrealised: float
    realised: float
    currency: str = "USD"
    is_own: bool = True


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A working order. ``terms`` are its type and prices in words, as ``LMT 10.50 GTC``."""

    number: int
    symbol: str
    side: str
    quantity: float
    filled: float
    terms: str
    status: str
    ts: int


@dataclass(frozen=True, slots=True)
class FillLine:
    """An execution; ``fee`` NaN until it is known."""

    ts: int
    symbol: str
    side: str
    quantity: float
    price: float
    fee: float = NAN
    order: int = 0


@dataclass(frozen=True, slots=True)
class ScanLine:
    """The last evaluation of a scan."""

    ts: int
    code: str
    symbols: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class LimitLine:
    """A limit of the guard: where the value is, where it trips or refuses, and how far away that is.

    ``headroom`` is the part of the way that is left: 1.0 untouched, 0.0 at the threshold, below 0.0 beyond it.
    """

    name: str
    value: float
    threshold: float
    headroom: float


@dataclass(frozen=True, slots=True)
class MoneyLine:
    """Cash in a currency."""

    currency: str
    amount: float


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """A run as it is now. Lists hold what a person can read, newest last."""

    run: str
    strategy: str
    mode: str
    account: str
    gateway: str
    """host:port."""
    ts: int
    """When this was put together, by this machine's clock."""
    state: str = RunState.STARTING
    pid: int = 0
    started_ts: int = 0
    exchange_ts: int = 0
    """The gateway's clock."""
    zone: str = "America/New_York"
    currency: str = "USD"
    link: str = "down"
    """A ``LinkState`` of brokers.ib.events."""
    link_since: int = 0
    link_text: str = ""
    data: tuple[DataLine, ...] = ()
    positions: tuple[PositionLine, ...] = ()
    orders: tuple[OrderLine, ...] = ()
    fills: tuple[FillLine, ...] = ()
    scan: ScanLine | None = None
    cash: tuple[MoneyLine, ...] = ()
    net_liquidation: float = NAN
    pnl: float = NAN
    """Of the run, realised and not, net of fees."""
    unrealised: float = NAN
    """Of the run, before fees."""
    realised: float = NAN
    fees: float = NAN
    account_pnl: float = NAN
    """Of the whole account, today, as TWS tells it."""
    orders_given: int = 0
    fills_heard: int = 0
    limits: tuple[LimitLine, ...] = ()
    guard: str = ""
    """Why the guard has tripped; empty while it has not."""
    guard_ts: int = 0
    halt: str = ""
    """Why no more orders are given; empty while they are."""
    halt_ts: int = 0
    events: int = 0
    """Market events heard so far."""
    events_per_s: float = NAN
    lag_s: float = NAN
    """How far the strategy is behind what was received."""
    blocking: str = ""
    """The handler that does not return, as ``on_trade``; empty while none is late."""
    blocking_s: float = NAN
    data_lost: int = 0
    """Events that a full queue had to drop, in recordings and notices too."""
    read_only: bool = False
    synthetic: bool = False
    """Whether the market is simulated."""
    log: tuple[LogLine, ...] = ()

    @property
    def now(self) -> int:
        """The time that ages of what happened count to: the gateway's, or this machine's while that is unknown."""
        return self.exchange_ts or self.ts


class Log:
    """The tail of what happened, numbered. For one thread; :meth:`tail` may be handed to others."""

    __slots__ = ("_lines", "count")

    def __init__(self, most: int = LOG_LINES) -> None:
        self._lines: deque[LogLine] = deque(maxlen=most)
        self.count = 0

    def add(self, ts: int, kind: LogKind, text: str) -> None:
        """Something happened."""
        self.count += 1
        self._lines.append(LogLine(self.count, ts, kind.value, text))

    def tail(self) -> tuple[LogLine, ...]:
        """The last lines."""
        return tuple(self._lines)


# -- as JSON -------------------------------------------------------------------------------------------------------

_LINES: dict[str, type] = {
    "data": DataLine,
    "positions": PositionLine,
    "orders": OrderLine,
    "fills": FillLine,
    "cash": MoneyLine,
    "limits": LimitLine,
    "log": LogLine,
}
"""Field of a status -> what it is a list of."""


def plain(value: Any) -> Any:
    """A status, or a part of one, as JSON-able data; what is not known or not finite is None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, StrEnum) else value


def status_bytes(status: LiveStatus) -> bytes:
    """The content of ``status.json``. It is made by the thread that owns the connection, so it is made fast."""
    try:
        return msgspec.json.format(msgspec.json.encode(status), indent=1) + b"\n"
    except UnicodeEncodeError:  # half a character, in what TWS or a strategy said
        return json.dumps(plain(status), allow_nan=False, indent=1).encode() + b"\n"


def read_status(path: Path) -> LiveStatus | None:
    """The status in a file, None where there is none. Raises DataError where it can not be understood.

    Keys that are not known, as of a newer version, are passed over.
    """
    try:
        if path.stat().st_size > STATUS_BYTES_MAX:
            raise DataError("is larger than a status can be; delete it", path=str(path))
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=str(path)) from None
    try:
        return status_from(json.loads(content))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise DataError(f"is not the status of a run ({error}); delete it", path=str(path)) from None


def status_from(given: Any) -> LiveStatus:
    """The status that :func:`plain` made data of. Raises ValueError, TypeError or AttributeError for anything else."""
    fields = dict(given.items())
    for name, kind in _LINES.items():
        fields[name] = tuple(_made(kind, each) for each in fields.get(name) or ())
    scan = fields.get("scan")
    if scan is not None:
        found = _made(ScanLine, scan)
        fields["scan"] = dataclasses.replace(found, symbols=tuple(map(str, found.symbols)))
    return _made(LiveStatus, fields)


_CHECKS: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def _made(kind: type[T], given: Any) -> T:
    """An object of a dataclass from the keys that it knows; null is NaN where a number is meant."""
    values = {}
    for each in dataclasses.fields(kind):  # type: ignore[arg-type]
        if each.name not in given:
            continue
        value = given[each.name]
        if each.type == "float" and value is None:
            value = NAN
        if not isinstance(value, _CHECKS.get(str(each.type), object)):
            raise TypeError(f"{each.name} is {str(value)[:40]}")
        values[each.name] = value
    return kind(**values)
