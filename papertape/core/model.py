"""The words of the field as plain data: instruments, market events, orders, fills, positions, scans.

Everything here is immutable. Times are UTC nanoseconds (``int``), prices and money ``float`` in the
instrument's currency, quantities ``float`` in units of the instrument (fractions allowed).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import msgspec

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

SYMBOL_PATTERN = re.compile(r"[A-Za-z0-9._/: -]{1,32}")
"""What may be a symbol; anything else is refused where it enters (``shared/BAD_INPUT.md``, hostile)."""


class EventKind(IntEnum):
    """Kind of a market event. The value is also the order of events that carry the same time."""

    QUOTE = 0
    TRADE = 1
    BAR = 2
    BAR_VIEW = 3
    """A bar that is derived from other events of its instrument: heard, but it never marks or fills."""


class InstrumentType(StrEnum):
    """Security type, spelled as Interactive Brokers spells it."""

    STOCK = "STK"
    FUTURE = "FUT"
    OPTION = "OPT"
    CASH = "CASH"
    INDEX = "IND"
    CRYPTO = "CRYPTO"


class Side(IntEnum):
    """Direction of an order; the value is the sign of the change in position."""

    BUY = 1
    SELL = -1


class OrderType(IntEnum):
    """How an order is priced; docs/fill-model.md says when each fills. On-open orders are MARKET or LIMIT with OPG."""

    MARKET = 0
    LIMIT = 1
    STOP = 2
    STOP_LIMIT = 3
    TRAIL = 4
    TRAIL_LIMIT = 5
    MARKET_ON_CLOSE = 6
    LIMIT_ON_CLOSE = 7


class TimeInForce(IntEnum):
    """How long an order works."""

    DAY = 0
    GTC = 1
    IOC = 2
    FOK = 3
    OPG = 4
    GTD = 5


class OrderStatus(IntEnum):
    """State of an order. The legal changes are the table in ``papertape/core/lifecycle.py``."""

    PENDING_SUBMIT = 0
    SUBMITTED = 1
    PARTIALLY_FILLED = 2
    PENDING_CANCEL = 3
    PENDING_MODIFY = 4
    UNKNOWN = 5
    FILLED = 6
    CANCELLED = 7
    REJECTED = 8
    EXPIRED = 9

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to the order."""
        return self >= OrderStatus.FILLED


class Mode(StrEnum):
    """How a run is executed."""

    BACKTEST = "backtest"
    PAPER = "paper"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Instrument:
    """Something that can be traded.

    ``tick_size`` is the smallest price step, ``multiplier`` the units of currency that one point of
    price is worth for a quantity of one. ``market_cap`` (in currency, not millions) and
    ``average_volume`` (units per session) are ``None`` where unknown.
    """

    symbol: str
    type: InstrumentType = InstrumentType.STOCK
    currency: str = "USD"
    con_id: int = 0
    exchange: str = "SMART"
    tick_size: float = 0.01
    multiplier: float = 1.0
    market_cap: float | None = None
    average_volume: float | None = None
    tradable: bool = True


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A print. ``previous`` is the price of the trade before it, as this subscription saw it; NaN for the first."""

    symbol: str
    ts: int
    price: float
    size: float
    previous: float = math.nan

    @property
    def change(self) -> float:
        """Change against the previous trade as a fraction (0.05 is +5 %); NaN for the first trade and after a price of 0."""
        try:
            return self.price / self.previous - 1.0
        except ZeroDivisionError:  # costs nothing where it is not raised, unlike a comparison
            return math.nan


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask. A side without a price is NaN."""

    symbol: str
    ts: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float

    @property
    def mid(self) -> float:
        """Middle of bid and ask."""
        return (self.bid + self.ask) / 2.0


class Bar(msgspec.Struct, frozen=True, gc=False):
    """An interval's prices. ``ts`` is the bar's close, when it becomes known; ``start`` its open."""

    symbol: str
    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    start: int


class ScanRow(msgspec.Struct, frozen=True):
    """One ranked result of a scan; ``rank`` counts from 0."""

    rank: int
    symbol: str
    con_id: int = 0
    exchange: str = ""
    currency: str = "USD"


class Scan(msgspec.Struct, frozen=True):
    """The result of one evaluation of a scan. ``source`` is "recorded", "derived" or "broker"."""

    code: str
    ts: int
    rows: tuple[ScanRow, ...]
    source: str
    note: str = ""
    """Why it is empty or shorter than asked, where that needs saying."""

    @property
    def symbols(self) -> list[str]:
        """The symbols, best rank first."""
        return [row.symbol for row in self.rows]


class Fill(msgspec.Struct, frozen=True):
    """An execution. ``quantity`` is positive, ``side`` gives the direction, ``fee`` is what it cost (positive)."""

    ts: int
    symbol: str
    side: Side
    quantity: float
    price: float
    fee: float
    order: int
    """Number of the order within the run, from 1."""


class TimeEvent(msgspec.Struct, frozen=True):
    """A timer that a strategy asked for. ``label`` is the one it gave, else the text of the time."""

    ts: int
    label: str


class OrderUpdate(msgspec.Struct, frozen=True):
    """A change in an order's state, as ``on_order`` hears it. ``reason`` says why, where it is not plain."""

    ts: int
    order: int
    symbol: str
    side: Side
    quantity: float
    filled: float
    status: OrderStatus
    reason: str = ""


class FeedUpdate(msgspec.Struct, frozen=True):
    """What a live run hears of its market has changed: of all, where ``symbol`` is empty, else of one instrument.

    ``state`` of all is that of the connection: down, connecting, reconciling, ready, lost, failed; of one instrument
    it is what its data are: live, delayed, frozen, none, unknown.
    """

    ts: int
    symbol: str
    state: str
    text: str


class ActionKind(StrEnum):
    """Kind of a corporate action."""

    SPLIT = "split"
    DIVIDEND = "dividend"


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """A split (``value`` new shares for one old) or a cash dividend (``value`` per share, in the instrument's currency).

    ``ts`` is when it takes effect: the start of the ex-date in the exchange's zone.
    """

    ts: int
    symbol: str
    kind: ActionKind
    value: float


class Severity(StrEnum):
    """How much a note matters to whoever reads the run."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Note:
    """Something about the input or the run that the report must say. ``count`` is how often it happened."""

    code: str
    text: str
    severity: Severity = Severity.INFO
    count: int = 1


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """Trading sessions of an exchange: parallel tuples, one entry a session, ascending.

    ``date`` is days since 1970-01-01, ``open`` and ``close`` are UTC nanoseconds.
    """

    date: tuple[int, ...]
    open: tuple[int, ...]
    close: tuple[int, ...]
    zone: str = "America/New_York"
    name: str = "XNYS"


@dataclass(frozen=True, slots=True)
class ScanSpec:
    """What to scan for: a scanner code and filters (name -> value), spelled as papertape spells them."""

    code: str
    filters: Mapping[str, float] = field(default_factory=dict)
    location: str = "STK.US.MAJOR"
