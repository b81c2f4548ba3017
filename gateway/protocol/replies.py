"""What the server says, as plain data: one class a message. Texts are ready for the wire, times in their own units.

NaN and None are what the protocol calls unset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.protocol.contract import Contract
from gateway.protocol.order import Order


@dataclass(frozen=True, slots=True)
class NextValidId:
    """The lowest order id that the client may use."""

    order_id: int


@dataclass(frozen=True, slots=True)
class ManagedAccountsList:
    """Accounts, comma-separated."""

    accounts: str


@dataclass(frozen=True, slots=True)
class Time:
    """The server's time, in s."""

    seconds: int


@dataclass(frozen=True, slots=True)
class TimeMillis:
    """The server's time, in ms."""

    ms: int


@dataclass(frozen=True, slots=True)
class Error:
    """An error or a notice. ``request`` is -1 where it belongs to no request; ``ms`` is its time (from 194)."""

    request: int
    code: int
    text: str
    advanced: str = ""
    ms: int = 0


@dataclass(frozen=True, slots=True)
class AccountValue:
    """One value of an account."""

    key: str
    value: str
    currency: str
    account: str


@dataclass(frozen=True, slots=True)
class AccountTime:
    """When the account's values were as they are, ``hh:mm``."""

    time: str


@dataclass(frozen=True, slots=True)
class AccountDownloadEnd:
    """All values and positions were sent."""

    account: str


@dataclass(frozen=True, slots=True)
class PortfolioValue:
    """One position with its value."""

    contract: Contract
    position: float
    price: float
    value: float
    average_cost: float
    unrealised: float
    realised: float
    account: str


@dataclass(frozen=True, slots=True)
class AccountMulti:
    """One value of an account, by request."""

    request: int
    account: str
    model: str
    key: str
    value: str
    currency: str


@dataclass(frozen=True, slots=True)
class AccountMultiEnd:
    """All were sent."""

    request: int


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One position."""

    account: str
    contract: Contract
    position: float
    average_cost: float


@dataclass(frozen=True, slots=True)
class PositionEnd:
    """All were sent."""


@dataclass(frozen=True, slots=True)
class PositionMulti:
    """One position, by request."""

    request: int
    account: str
    contract: Contract
    position: float
    average_cost: float
    model: str = ""


@dataclass(frozen=True, slots=True)
class PositionMultiEnd:
    """All were sent."""

    request: int


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One value of the account summary."""

    request: int
    account: str
    tag: str
    value: str
    currency: str


@dataclass(frozen=True, slots=True)
class SummaryEnd:
    """All were sent."""

    request: int


@dataclass(frozen=True, slots=True)
class PnlUpdate:
    """Profit and loss of the account, in base currency."""

    request: int
    daily: float
    unrealised: float
    realised: float


@dataclass(frozen=True, slots=True)
class PnlSingleUpdate:
    """Profit and loss of a position."""

    request: int
    position: float
    daily: float
    unrealised: float
    realised: float
    value: float


@dataclass(frozen=True, slots=True)
class ScannerXml:
    """Scanner codes and filters."""

    xml: str


@dataclass(frozen=True, slots=True)
class ScannerRow:
    """One row of a scan."""

    rank: int
    contract: Contract
    market_name: str = ""
    distance: str = ""
    benchmark: str = ""
    projection: str = ""
    legs: str = ""


@dataclass(frozen=True, slots=True)
class ScannerData:
    """A scan's present result."""

    request: int
    rows: tuple[ScannerRow, ...]


@dataclass(frozen=True, slots=True)
class DataType:
    """Kind of market data that a request gets: 1 live, 2 frozen, 3 delayed, 4 delayed frozen."""

    request: int
    type: int


@dataclass(frozen=True, slots=True)
class TickParameters:
    """Smallest price step, exchange of bid and ask, snapshot permissions of a market data request."""

    request: int
    min_tick: float
    bbo_exchange: str
    permissions: int


@dataclass(frozen=True, slots=True)
class TickPrice:
    """A price with its size (0 where it has none)."""

    request: int
    type: int
    price: float
    size: float = 0.0
    mask: int = 0


@dataclass(frozen=True, slots=True)
class TickSize:
    """A size."""

    request: int
    type: int
    size: float


@dataclass(frozen=True, slots=True)
class TickGeneric:
    """A number."""

    request: int
    type: int
    value: float


@dataclass(frozen=True, slots=True)
class TickString:
    """A text: RTVolume (48), the last trade's time (45)."""

    request: int
    type: int
    value: str


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """A snapshot is complete."""

    request: int


@dataclass(frozen=True, slots=True)
class TickLast:
    """Tick by tick: a trade. ``kind`` 1 Last, 2 AllLast; ``time`` in s; ``mask`` 1 past limit, 2 unreported."""

    request: int
    kind: int
    time: int
    price: float
    size: float
    mask: int = 0
    exchange: str = ""
    conditions: str = ""


@dataclass(frozen=True, slots=True)
class TickBidAsk:
    """Tick by tick: a quote."""

    request: int
    time: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    mask: int = 0


@dataclass(frozen=True, slots=True)
class TickMid:
    """Tick by tick: the middle of bid and ask."""

    request: int
    time: int
    mid: float


@dataclass(frozen=True, slots=True)
class HistoricalBar:
    """One bar. ``date`` is text in the format that was asked for; ``count`` is the number of trades."""

    date: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float
    count: int


@dataclass(frozen=True, slots=True)
class HistoricalData:
    """All bars that were asked for. ``start`` and ``end`` are part of it below server version 196."""

    request: int
    start: str
    end: str
    bars: tuple[HistoricalBar, ...]


@dataclass(frozen=True, slots=True)
class HistoricalDataEnd:
    """Start and end of the bars, from server version 196 in a message of its own."""

    request: int
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class HistoricalDataUpdate:
    """The present bar of a request that is kept up to date."""

    request: int
    bar: HistoricalBar


@dataclass(frozen=True, slots=True)
class RealTimeBar:
    """A bar of five seconds; ``time`` is its start, in s."""

    request: int
    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float
    count: int


@dataclass(frozen=True, slots=True)
class HeadTimestampReply:
    """When the earliest data is."""

    request: int
    time: str


@dataclass(frozen=True, slots=True)
class ContractDetailsRow:
    """A contract that fits, with what is known of it. ``size_min`` to ``size_suggested`` from server version 164."""

    request: int
    contract: Contract
    market_name: str = ""
    min_tick: float = 0.01
    order_types: str = ""
    valid_exchanges: str = ""
    price_magnifier: int = 1
    under_con_id: int = 0
    long_name: str = ""
    contract_month: str = ""
    industry: str = ""
    category: str = ""
    subcategory: str = ""
    time_zone: str = "US/Eastern"
    trading_hours: str = ""
    liquid_hours: str = ""
    ev_rule: str = ""
    ev_multiplier: int = 0
    ids: tuple[tuple[str, str], ...] = ()
    agg_group: int = 1
    under_symbol: str = ""
    under_type: str = ""
    market_rules: str = "26"
    real_expiry: str = ""
    stock_type: str = "COMMON"
    size_min: float = 1.0
    size_increment: float = 1.0
    size_suggested: float = 100.0


@dataclass(frozen=True, slots=True)
class ContractDetailsEnd:
    """All were sent."""

    request: int


@dataclass(frozen=True, slots=True)
class SymbolSample:
    """A contract whose symbol or name begins like the text."""

    contract: Contract
    derivatives: tuple[str, ...] = ()
    description: str = ""
    issuer_id: str = ""


@dataclass(frozen=True, slots=True)
class SymbolSamples:
    """All of them."""

    request: int
    samples: tuple[SymbolSample, ...]


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """State of an order."""

    order_id: int
    status: str
    filled: float
    remaining: float
    average_price: float
    perm_id: int
    parent_id: int
    last_price: float
    client_id: int
    why_held: str = ""
    cap_price: float = 0.0


@dataclass(frozen=True, slots=True)
class OrderState:
    """State, and for a what-if its margin and commission. Money as text, empty or unset where it is not known."""

    status: str
    init_margin_before: str = ""
    maint_margin_before: str = ""
    equity_before: str = ""
    init_margin_change: str = ""
    maint_margin_change: str = ""
    equity_change: str = ""
    init_margin_after: str = ""
    maint_margin_after: str = ""
    equity_after: str = ""
    commission: float = math.nan
    min_commission: float = math.nan
    max_commission: float = math.nan
    commission_currency: str = ""
    margin_currency: str = ""
    reject_reason: str = ""
    warning: str = ""
    completed_time: str = ""
    completed_status: str = ""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order with its terms and state."""

    order_id: int
    client_id: int
    perm_id: int
    contract: Contract
    order: Order
    state: OrderState


@dataclass(frozen=True, slots=True)
class OpenOrdersEnd:
    """All were sent."""


@dataclass(frozen=True, slots=True)
class CompletedOrder:
    """An order that has ended."""

    perm_id: int
    parent_perm_id: int
    contract: Contract
    order: Order
    state: OrderState
    filled: float


@dataclass(frozen=True, slots=True)
class CompletedOrdersEnd:
    """All were sent."""


@dataclass(frozen=True, slots=True)
class OrderBound:
    """An order of another owner was given an API order id."""

    perm_id: int
    client_id: int
    order_id: int


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill. ``request`` is -1 where nobody asked for it. ``side`` is BOT or SLD."""

    request: int
    order_id: int
    contract: Contract
    exec_id: str
    time: str
    account: str
    exchange: str
    side: str
    shares: float
    price: float
    perm_id: int
    client_id: int
    cumulative: float
    average_price: float
    order_ref: str = ""
    liquidation: int = 0
    ev_rule: str = ""
    ev_multiplier: float = math.nan
    model: str = ""
    liquidity: int = 2
    """1 added, 2 removed, 3 routed out."""
    pending_price_revision: bool = False
    submitter: str = ""


@dataclass(frozen=True, slots=True)
class ExecutionsEnd:
    """All were sent."""

    request: int


@dataclass(frozen=True, slots=True)
class Commission:
    """What an execution cost; ``realised`` is NaN where it opened a position."""

    exec_id: str
    commission: float
    currency: str
    realised: float = math.nan
    yield_: float = math.nan
    yield_date: int = 0


@dataclass(frozen=True, slots=True)
class NewsBulletin:
    """A bulletin."""

    id: int
    type: int
    text: str
    exchange: str = ""


Reply = (
    NextValidId | ManagedAccountsList | Time | TimeMillis | Error | AccountValue | AccountTime
    | AccountDownloadEnd | PortfolioValue | AccountMulti | AccountMultiEnd | PositionRow | PositionEnd
    | PositionMulti | PositionMultiEnd | SummaryRow | SummaryEnd | PnlUpdate | PnlSingleUpdate | ScannerXml
    | ScannerData | DataType | TickParameters | TickPrice | TickSize | TickGeneric | TickString | SnapshotEnd
    | TickLast | TickBidAsk | TickMid | HistoricalData | HistoricalDataEnd | HistoricalDataUpdate | RealTimeBar
    | HeadTimestampReply | ContractDetailsRow | ContractDetailsEnd | SymbolSamples | OrderStatus | OpenOrder
    | OpenOrdersEnd | CompletedOrder | CompletedOrdersEnd | OrderBound | Execution | ExecutionsEnd | Commission
    | NewsBulletin
)  # fmt: skip
