"""What the session with TWS has to tell those who trade: market events, orders, fills, the account, the connection.

``instrument`` is the index of an instrument within the run. ``exchange_ts`` is the exchange's time of an event,
``received_ts`` when it came here; both UTC nanoseconds, kept apart.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from papertape.core.model import OrderStatus, Side
from papertape.core.orders import OrderRequest
from papertape.core.requests import Reply


class TradeSource(StrEnum):
    """Where an instrument's trades come from; never a bare last price."""

    NONE = "none"
    ALL_LAST = "AllLast"
    RT_VOLUME = "RTVolume"


class DataKind(StrEnum):
    """What a market data line delivers."""

    UNKNOWN = "unknown"
    LIVE = "live"
    FROZEN = "frozen"
    DELAYED = "delayed"
    NONE = "none"


class TradeTick(msgspec.Struct, frozen=True, gc=False):
    """A print."""

    instrument: int
    exchange_ts: int
    received_ts: int
    price: float
    size: float


class QuoteTick(msgspec.Struct, frozen=True, gc=False):
    """A best bid and ask. A side without a price is NaN."""

    instrument: int
    received_ts: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float


class PriceImage(msgspec.Struct, frozen=True, gc=False):
    """Last known prices, for marking and snapshots only: a line's first values, or a bare last price. NaN unknown."""

    instrument: int
    received_ts: int
    last: float
    bid: float
    ask: float


class BarClosed(msgspec.Struct, frozen=True, gc=False):
    """A bar is over. ``ts`` is its end, ``start`` its beginning; ``is_history`` where it was over before we asked.

    ``marks``: the instrument has neither trades nor quotes of its own, so that its bars are what it is marked by.
    """

    instrument: int
    interval_ns: int
    start: int
    ts: int
    received_ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    is_history: bool = False
    marks: bool = False


class PastBars(msgspec.Struct, frozen=True):
    """Bars that were over before they were asked for, of all instruments asked for at one time; in order of time.

    ``failures`` are the instruments that have no such bars, now or later, with what TWS said of each.
    """

    interval_ns: int
    bars: tuple[BarClosed, ...]
    failures: tuple[tuple[int, str], ...] = ()


class DataChanged(msgspec.Struct, frozen=True):
    """What is delivered of an instrument has changed: its kind, its source of trades, or that it has stopped."""

    instrument: int
    kind: DataKind
    source: TradeSource
    text: str


class InstrumentKnown(msgspec.Struct, frozen=True):
    """TWS has defined an instrument (or, with ``failure``, does not know it)."""

    instrument: int
    con_id: int
    min_tick: float
    multiplier: float
    currency: str
    exchange: str
    primary_exchange: str
    failure: str = ""


class Answered(msgspec.Struct, frozen=True):
    """The answer to a strategy's request has come, in full or at its deadline."""

    reply: Reply


class OrderChanged(msgspec.Struct, frozen=True):
    """An order of this run has another status. ``number`` is the run's own."""

    number: int
    status: OrderStatus
    ts: int
    text: str = ""
    is_cancel_refused: bool = False
    """Whether the order works on because its cancel was refused."""


class OrderAmended(msgspec.Struct, frozen=True):
    """An order works on these terms from now on: TWS took a change, refused one (``text``), or made one itself."""

    number: int
    request: OrderRequest
    ts: int
    text: str = ""


class OrderFilled(msgspec.Struct, frozen=True):
    """An order of this run was executed. ``exchange_ts`` is in whole seconds. ``fee`` NaN: not known yet."""

    number: int
    exec_id: str
    exchange_ts: int
    quantity: float
    price: float
    fee: float


class FeeKnown(msgspec.Struct, frozen=True):
    """What an execution cost has come after it."""

    number: int
    exec_id: str
    fee: float


class FillCorrected(msgspec.Struct, frozen=True):
    """An execution is replaced by a correction of it (quantity 0: it never was)."""

    number: int
    exec_id: str
    replaces: str
    quantity: float
    price: float
    old_quantity: float
    old_price: float


class Executed(msgspec.Struct, frozen=True):
    """An execution moved the account, whoever's it is: heard at once, without its fee, for the account's guard.

    A correction is two of these: the old one back, then the new one. ``number`` is 0 where it is not this run's order.
    """

    instrument: int
    exec_id: str
    signed_quantity: float
    price: float
    number: int = 0


class Charged(msgspec.Struct, frozen=True):
    """What the account paid for an execution, whoever's, or by how much that changed (negative: given back)."""

    instrument: int
    amount: float
    currency: str


class ForeignFill(msgspec.Struct, frozen=True):
    """An execution in the account that is not this run's: it moves the account's risk, not the run's position."""

    instrument: int
    exec_id: str
    side: Side
    quantity: float
    price: float
    order_ref: str


class GuardOrdered(msgspec.Struct, frozen=True):
    """The account's guard closes what the run holds. ``number`` is not the run's own: it lies above all of those."""

    number: int
    request: OrderRequest
    ts: int


class LinkState(StrEnum):
    """State of the way to the exchange."""

    DOWN = "down"
    """No connection to TWS."""
    CONNECTING = "connecting"
    RECONCILING = "reconciling"
    """Connected; positions, orders and executions are being asked: nothing is sent yet."""
    READY = "ready"
    LOST = "lost"
    """Connected to TWS, which has lost IB: no new orders, fills may still come."""
    FAILED = "failed"
    """Ended for good: the text says why."""


class LinkChanged(msgspec.Struct, frozen=True):
    """The way to the exchange has another state."""

    state: LinkState
    text: str


class Notice(msgspec.Struct, frozen=True):
    """Something TWS said that a person should see. ``halts``: new orders must stop until it is understood."""

    code: int
    text: str
    halts: bool = False


class Mismatch(msgspec.Struct, frozen=True):
    """The broker and our journal do not agree: each row is what, ours, theirs. Nothing may be sent any more."""

    rows: tuple[tuple[str, str, str], ...]


class AccountReady(msgspec.Struct, frozen=True):
    """The account's values, positions, orders and executions were told, and agree with what is expected.

    ``cash`` is by currency, ``rates`` base currency per unit of each; filled in by whoever passes it on.
    """

    is_first: bool
    cash: dict[str, float] = {}
    rates: dict[str, float] = {}


Event = (
    TradeTick | QuoteTick | PriceImage | BarClosed | PastBars | DataChanged | InstrumentKnown | Answered | OrderChanged
    | OrderAmended | OrderFilled | FeeKnown | FillCorrected | Executed | Charged | ForeignFill | GuardOrdered | LinkChanged | Notice
    | Mismatch | AccountReady
)  # fmt: skip
