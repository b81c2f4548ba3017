"""What TWS says, as data: one frozen record for each callback of its API that we use.

Numbers are plain ``float`` and ``int`` whatever the client's version hands out; a float that TWS left unset is NaN, an
unset integer None. Texts are as they came: :mod:`brokers.ib.translate` reads times and names.
"""

from __future__ import annotations

import math

import msgspec

NAN = math.nan
NO_REQUEST = -1
"""Request id of what belongs to no request (TWS sends -1, older ones 0 with some codes)."""


class ContractRecord(msgspec.Struct, frozen=True):
    """A contract as TWS names it."""

    con_id: int = 0
    symbol: str = ""
    type: str = ""
    expiry: str = ""
    strike: float = 0.0
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""


class OrderRecord(msgspec.Struct, frozen=True):
    """The terms of an order, both ways. ``trailing_percent`` is in percent (2.0 is 2 %). Times are text."""

    action: str = ""
    quantity: float = NAN
    type: str = ""
    limit_price: float = NAN
    aux_price: float = NAN
    """Stop price of a stop, amount of a trailing stop."""
    tif: str = "DAY"
    oca_group: str = ""
    oca_type: int = 0
    account: str = ""
    order_ref: str = ""
    transmit: bool = True
    parent_id: int = 0
    outside_hours: bool = False
    good_till: str = ""
    trail_stop_price: float = NAN
    trailing_percent: float = NAN
    limit_offset: float = NAN
    what_if: bool = False
    order_id: int = 0
    client_id: int = 0
    perm_id: int = 0


class Connected(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """The handshake is done. ``time_text`` is TWS's, in its own zone."""

    server_version: int
    time_text: str


class Disconnected(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """The connection has ended; nothing more comes of it."""

    reason: str


class Undecodable(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A message that the client could not read. What it said is not known, so trading must stop."""

    text: str


class ManagedAccounts(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """The accounts that this login may trade."""

    accounts: tuple[str, ...]


class NextValidId(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """From where on order ids may be used."""

    order_id: int


class CurrentTime(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """TWS's clock, whole seconds since 1970 (UTC). In lockstep an unasked one is the marker."""

    ts_s: int


class ErrorMessage(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """An error, a warning or a notice; ``code`` says which (:mod:`brokers.ib.codes`)."""

    request_id: int
    code: int
    text: str
    advanced: str = ""


class AccountValue(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """One value of the account, as text, per currency or BASE."""

    key: str
    value: str
    currency: str
    account: str


class AccountTime(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """The time that account values are of, HH:MM in TWS's zone."""

    text: str


class AccountEnd(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """The first download of an account's values and portfolio is complete."""

    account: str


class PortfolioItem(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A position with its value. ``average_cost`` includes commissions and the multiplier."""

    contract: ContractRecord
    quantity: float
    price: float
    value: float
    average_cost: float
    unrealised: float
    realised: float
    account: str


class PositionItem(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A position of an account."""

    account: str
    contract: ContractRecord
    quantity: float
    average_cost: float


class PositionsEnd(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """The first download of positions is complete."""


class AccountPnl(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """P&L of the account in base currency; NaN unknown."""

    request_id: int
    daily: float
    unrealised: float
    realised: float


class OpenOrder(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """An order that works, or has just ended. ``commission`` NaN unknown."""

    order_id: int
    contract: ContractRecord
    order: OrderRecord
    status: str
    warning: str = ""
    commission: float = NAN


class OpenOrdersEnd(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """All open orders were told."""


class OrderState(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A change of an order's status. ``average_price`` is of what has filled."""

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


class CompletedOrder(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """An order that has ended. Its ``order.order_id`` is not told by TWS; its reference and permanent id are."""

    contract: ContractRecord
    order: OrderRecord
    status: str
    completed_status: str = ""
    completed_time: str = ""
    filled: float = NAN


class CompletedOrdersEnd(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """All completed orders were told."""


class Execution(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A fill. ``request_id`` is NO_REQUEST where it was not asked for. ``time_text`` is in TWS's zone or with its own."""

    request_id: int
    contract: ContractRecord
    exec_id: str
    time_text: str
    account: str
    exchange: str
    side: str
    quantity: float
    price: float
    perm_id: int
    client_id: int
    order_id: int
    cumulative_quantity: float
    average_price: float
    order_ref: str
    last_liquidity: int = 0


class ExecutionsEnd(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """All executions that were asked for were told."""

    request_id: int


class Commission(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """What an execution cost; joined to it by ``exec_id``, before or after it."""

    exec_id: str
    commission: float
    currency: str
    realised: float = NAN


class TickPrice(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A price of a market data line; ``type`` is TWS's tick type. -1 means that there is none."""

    request_id: int
    type: int
    price: float


class TickSize(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A size of a market data line."""

    request_id: int
    type: int
    size: float


class TickString(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A text of a market data line: 45 last timestamp (seconds), 48 RTVolume."""

    request_id: int
    type: int
    text: str


class TickGeneric(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A number of a market data line, as 49 halted."""

    request_id: int
    type: int
    value: float


class SnapshotEnd(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A snapshot is complete."""

    request_id: int


class MarketDataType(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """What a line delivers from now on: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""

    request_id: int
    type: int


class TickParameters(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """What a line begins with: the smallest price step."""

    request_id: int
    min_tick: float
    exchange: str
    permissions: int


class TickTrade(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A trade, tick by tick. ``ts_s`` is the exchange's time in whole seconds."""

    request_id: int
    ts_s: int
    price: float
    size: float
    exchange: str
    conditions: str
    past_limit: bool = False
    unreported: bool = False


class TickQuote(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A best bid and ask, tick by tick."""

    request_id: int
    ts_s: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float


class HistoryBar(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A bar that was asked for. ``date_text`` is seconds since 1970 with format 2, yyyymmdd for daily bars."""

    request_id: int
    date_text: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float
    count: int


class HistoryEnd(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """All bars up to now were told."""

    request_id: int
    start: str
    end: str


class HistoryUpdate(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """The present state of the last bar of a history that is kept up to date."""

    request_id: int
    date_text: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float
    count: int


class RealTimeBar(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A bar of five seconds; ``ts_s`` is its start."""

    request_id: int
    ts_s: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float
    count: int


class ContractDetails(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """A contract's definition."""

    request_id: int
    contract: ContractRecord
    market_name: str
    min_tick: float
    price_magnifier: int
    order_types: str
    valid_exchanges: str
    long_name: str
    time_zone: str
    trading_hours: str
    liquid_hours: str
    stock_type: str = ""
    min_size: float = NAN
    size_increment: float = NAN


class ContractDetailsEnd(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """All contracts that fit were told."""

    request_id: int


class ScannerRow(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """One row of a scan."""

    request_id: int
    rank: int
    contract: ContractRecord
    distance: str = ""
    benchmark: str = ""
    projection: str = ""
    legs: str = ""


class ScannerEnd(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """All rows of this delivery of a scan were told."""

    request_id: int


class ScannerParameters(msgspec.Struct, frozen=True, tag=True, tag_field="record"):
    """What can be scanned for, as XML."""

    xml: str


Record = (
    Connected | Disconnected | Undecodable | ManagedAccounts | NextValidId | CurrentTime | ErrorMessage | AccountValue
    | AccountTime | AccountEnd | PortfolioItem | PositionItem | PositionsEnd | AccountPnl | OpenOrder | OpenOrdersEnd
    | OrderState | CompletedOrder | CompletedOrdersEnd | Execution | ExecutionsEnd | Commission | TickPrice | TickSize
    | TickString | TickGeneric | SnapshotEnd | MarketDataType | TickParameters | TickTrade | TickQuote | HistoryBar
    | HistoryEnd | HistoryUpdate | RealTimeBar | ContractDetails | ContractDetailsEnd | ScannerRow | ScannerEnd
    | ScannerParameters
)  # fmt: skip
TICKS = frozenset({TickPrice, TickSize, TickString, TickGeneric, TickTrade, TickQuote})
"""Nearly all that comes, and nothing to do with orders or the account."""
