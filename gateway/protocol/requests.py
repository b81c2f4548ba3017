"""What clients ask, as plain data: one class a message. Times and dates are the text that came.

Integers that were left unset are None, floats NaN, texts empty. ``request`` is the client's number of the request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from gateway.protocol.contract import Contract
from gateway.protocol.order import Order


@dataclass(frozen=True, slots=True)
class StartApi:
    """The first message after the handshake."""

    client_id: int
    capabilities: str = ""


@dataclass(frozen=True, slots=True)
class NextId:
    """Ask for the next order id."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class CurrentTime:
    """Ask for the time, in seconds."""


@dataclass(frozen=True, slots=True)
class CurrentTimeMillis:
    """Ask for the time, in milliseconds (from 197)."""


@dataclass(frozen=True, slots=True)
class ManagedAccounts:
    """Ask for the accounts."""


@dataclass(frozen=True, slots=True)
class SetLogLevel:
    """Set the server's log level."""

    level: int = 2


@dataclass(frozen=True, slots=True)
class AccountUpdates:
    """Subscribe to, or no longer to, values and portfolio of an account."""

    subscribe: bool
    account: str = ""


@dataclass(frozen=True, slots=True)
class AccountUpdatesMulti:
    """Subscribe to the values of an account or model."""

    request: int
    account: str = ""
    model: str = ""
    ledger_and_nlv: bool = False


@dataclass(frozen=True, slots=True)
class CancelAccountUpdatesMulti:
    """End that."""

    request: int


@dataclass(frozen=True, slots=True)
class Positions:
    """Subscribe to positions of all accounts."""


@dataclass(frozen=True, slots=True)
class CancelPositions:
    """End that."""


@dataclass(frozen=True, slots=True)
class PositionsMulti:
    """Subscribe to positions of an account or model."""

    request: int
    account: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class CancelPositionsMulti:
    """End that."""

    request: int


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """Subscribe to account values by tag (comma-separated) of a group ("All")."""

    request: int
    group: str = ""
    tags: str = ""


@dataclass(frozen=True, slots=True)
class CancelAccountSummary:
    """End that."""

    request: int


@dataclass(frozen=True, slots=True)
class Pnl:
    """Subscribe to profit and loss of an account."""

    request: int
    account: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class CancelPnl:
    """End that."""

    request: int


@dataclass(frozen=True, slots=True)
class PnlSingle:
    """Subscribe to profit and loss of one position."""

    request: int
    account: str = ""
    model: str = ""
    con_id: int = 0


@dataclass(frozen=True, slots=True)
class CancelPnlSingle:
    """End that."""

    request: int


@dataclass(frozen=True, slots=True)
class ScannerParameters:
    """Ask for the XML that lists scanner codes and filters."""


@dataclass(frozen=True, slots=True)
class ScannerSubscription:
    """Subscribe to a market scan. Filters that are unset are NaN, None or empty."""

    request: int
    rows: int | None = None
    instrument: str = ""
    location: str = ""
    code: str = ""
    above_price: float = math.nan
    below_price: float = math.nan
    above_volume: int | None = None
    market_cap_above: float = math.nan
    market_cap_below: float = math.nan
    moody_above: str = ""
    moody_below: str = ""
    sp_above: str = ""
    sp_below: str = ""
    maturity_above: str = ""
    maturity_below: str = ""
    coupon_above: float = math.nan
    coupon_below: float = math.nan
    exclude_convertible: bool = False
    average_option_volume_above: int | None = None
    settings: str = ""
    stock_type: str = ""
    filter_options: str = ""
    """``name=value;`` pairs."""
    subscription_options: str = ""


@dataclass(frozen=True, slots=True)
class CancelScanner:
    """End that."""

    request: int


@dataclass(frozen=True, slots=True)
class MarketData:
    """Subscribe to prices and sizes of a contract, or ask for one snapshot."""

    request: int
    contract: Contract
    generic_ticks: str = ""
    snapshot: bool = False
    regulatory_snapshot: bool = False
    options: str = ""


@dataclass(frozen=True, slots=True)
class CancelMarketData:
    """End that."""

    request: int


@dataclass(frozen=True, slots=True)
class SetMarketDataType:
    """1 live, 2 frozen, 3 delayed, 4 delayed frozen."""

    type: int


@dataclass(frozen=True, slots=True)
class TickByTick:
    """Subscribe to single ticks: Last, AllLast, BidAsk or MidPoint."""

    request: int
    contract: Contract
    type: str = ""
    count: int = 0
    """Historical ticks to send first."""
    ignore_size: bool = False


@dataclass(frozen=True, slots=True)
class CancelTickByTick:
    """End that."""

    request: int


@dataclass(frozen=True, slots=True)
class HistoricalBars:
    """Ask for bars, and with ``keep_up_to_date`` for their updates."""

    request: int
    contract: Contract
    end: str = ""
    bar_size: str = ""
    duration: str = ""
    regular_hours: bool = True
    what: str = ""
    date_format: int = 1
    keep_up_to_date: bool = False
    options: str = ""


@dataclass(frozen=True, slots=True)
class CancelHistoricalBars:
    """End that."""

    request: int


@dataclass(frozen=True, slots=True)
class HeadTimestamp:
    """Ask when the earliest data of a contract is."""

    request: int
    contract: Contract
    regular_hours: bool = True
    what: str = ""
    date_format: int = 1


@dataclass(frozen=True, slots=True)
class CancelHeadTimestamp:
    """End that."""

    request: int


@dataclass(frozen=True, slots=True)
class RealTimeBars:
    """Subscribe to bars of five seconds."""

    request: int
    contract: Contract
    bar_size: int = 5
    what: str = ""
    regular_hours: bool = False
    options: str = ""


@dataclass(frozen=True, slots=True)
class CancelRealTimeBars:
    """End that."""

    request: int


@dataclass(frozen=True, slots=True)
class ContractDetails:
    """Ask for all contracts that fit."""

    request: int
    contract: Contract


@dataclass(frozen=True, slots=True)
class MatchingSymbols:
    """Ask for contracts whose symbol or name begins like the text."""

    request: int
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Place an order, or change the one that has this id already."""

    order_id: int
    contract: Contract
    order: Order


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel an order."""

    order_id: int
    manual_time: str = ""
    ext_operator: str = ""
    manual_indicator: int | None = None
    external_user_id: str = ""
    """Server versions 187 to 189."""


@dataclass(frozen=True, slots=True)
class GlobalCancel:
    """Cancel every order of the account."""

    ext_operator: str = ""
    manual_indicator: int | None = None


@dataclass(frozen=True, slots=True)
class OpenOrders:
    """Ask for this client's open orders (client 0: and those of TWS itself)."""


@dataclass(frozen=True, slots=True)
class AllOpenOrders:
    """Ask for the open orders of all clients."""


@dataclass(frozen=True, slots=True)
class AutoOpenOrders:
    """Client 0 only: be told of orders that are placed in TWS itself, and own them."""

    bind: bool = False


@dataclass(frozen=True, slots=True)
class CompletedOrders:
    """Ask for orders that have ended today."""

    api_only: bool = False


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Which executions; unset fields hold for all. ``client_id`` 0 is all clients."""

    client_id: int = 0
    account: str = ""
    time: str = ""
    """Executions from then on, ``yyyymmdd-hh:mm:ss`` (UTC) or ``yyyymmdd hh:mm:ss zone``."""
    symbol: str = ""
    type: str = ""
    exchange: str = ""
    side: str = ""
    last_days: int | None = None
    dates: tuple[int, ...] = ()
    """Days as yyyymmdd."""


@dataclass(frozen=True, slots=True)
class Executions:
    """Ask for executions."""

    request: int
    filter: ExecutionFilter = field(default_factory=ExecutionFilter)


@dataclass(frozen=True, slots=True)
class NewsBulletins:
    """Subscribe to bulletins."""

    all_messages: bool = False


@dataclass(frozen=True, slots=True)
class CancelNewsBulletins:
    """End that."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A message of TWS that this gateway knows by name only."""

    id: int
    name: str
    request: int = -1
    """The client's number of the request, where the message has one."""


Request = (
    StartApi | NextId | CurrentTime | CurrentTimeMillis | ManagedAccounts | SetLogLevel | AccountUpdates
    | AccountUpdatesMulti | CancelAccountUpdatesMulti | Positions | CancelPositions | PositionsMulti
    | CancelPositionsMulti | AccountSummary | CancelAccountSummary | Pnl | CancelPnl | PnlSingle | CancelPnlSingle
    | ScannerParameters | ScannerSubscription | CancelScanner | MarketData | CancelMarketData | SetMarketDataType
    | TickByTick | CancelTickByTick | HistoricalBars | CancelHistoricalBars | HeadTimestamp | CancelHeadTimestamp
    | RealTimeBars | CancelRealTimeBars | ContractDetails | MatchingSymbols | PlaceOrder | CancelOrder | GlobalCancel
    | OpenOrders | AllOpenOrders | AutoOpenOrders | CompletedOrders | Executions | NewsBulletins | CancelNewsBulletins
    | Unsupported
)  # fmt: skip
