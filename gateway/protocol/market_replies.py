"""What the server says of markets and contracts: one class a message. ``gateway.protocol.replies`` has all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.protocol.contract import Contract


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
    start: str = ""
    end: str = ""
    bars: tuple[HistoricalBar, ...] = ()


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
class Fund:
    """What is known of a fund. Texts as they are shown, amounts with their currency."""

    name: str = ""
    family: str = ""
    type: str = ""
    front_load: str = ""
    back_load: str = ""
    back_load_interval: str = ""
    management_fee: str = ""
    closed: bool = False
    closed_for_new_investors: bool = False
    closed_for_new_money: bool = False
    notify_amount: str = ""
    minimum_initial_purchase: str = ""
    minimum_subsequent_purchase: str = ""
    blue_sky_states: str = ""
    blue_sky_territories: str = ""
    distribution_policy: str = ""
    asset_type: str = ""


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
    size_multiplier: int = 1
    """Shares in a unit of size, below server version 164."""
    last_trade_date: str = ""
    """From server version 182."""
    fund: Fund = field(default_factory=Fund)
    """Sent for security type FUND, from server version 179."""
    ineligibility: tuple[tuple[str, str], ...] = ()
    """Ids and descriptions of reasons why it may not be traded, from server version 186."""


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
