"""What we say to TWS, as data: one frozen command for each request of its API that we use."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from brokers.ib.records import NAN, ContractRecord, OrderRecord


class AskTime(msgspec.Struct, frozen=True):
    """TWS's clock: the heartbeat, and in lockstep the answer to a marker."""


class AskIds(msgspec.Struct, frozen=True):
    """The next valid order id."""


class FollowAccount(msgspec.Struct, frozen=True):
    """Stream an account's values and portfolio, or no longer."""

    account: str
    subscribe: bool = True


class AskPositions(msgspec.Struct, frozen=True):
    """Stream all positions."""


class StopPositions(msgspec.Struct, frozen=True):
    """No longer stream positions."""


class FollowPnl(msgspec.Struct, frozen=True):
    """Stream an account's P&L."""

    request_id: int
    account: str


class StopPnl(msgspec.Struct, frozen=True):
    """No longer stream P&L."""

    request_id: int


class AskOpenOrders(msgspec.Struct, frozen=True):
    """Tell the open orders of all clients, or of this client only."""

    all_clients: bool = True


class AskCompletedOrders(msgspec.Struct, frozen=True):
    """Tell orders that have ended today."""

    api_only: bool = False


class AskExecutions(msgspec.Struct, frozen=True):
    """Tell executions since midnight (TWS's zone); ``client_id`` 0 is of all clients."""

    request_id: int
    account: str = ""
    client_id: int = 0


class PlaceOrder(msgspec.Struct, frozen=True):
    """Give an order, or with an id that is in use replace its quantity and prices."""

    order_id: int
    contract: ContractRecord
    order: OrderRecord


class CancelOrder(msgspec.Struct, frozen=True):
    """Ask for an order's end."""

    order_id: int


class CancelAll(msgspec.Struct, frozen=True):
    """Ask for the end of every order of the account, whoever gave it."""


class SetMarketDataType(msgspec.Struct, frozen=True):
    """What lines may deliver: 1 live only, 3 delayed where live is not permitted, 4 the same, frozen when closed."""

    type: int


class FollowMarket(msgspec.Struct, frozen=True):
    """A market data line, or with ``snapshot`` its present state only."""

    request_id: int
    contract: ContractRecord
    generic_ticks: str = ""
    snapshot: bool = False


class StopMarket(msgspec.Struct, frozen=True):
    """End a market data line."""

    request_id: int


class FollowTicks(msgspec.Struct, frozen=True):
    """Tick-by-tick data: ``type`` is Last, AllLast, BidAsk or MidPoint."""

    request_id: int
    contract: ContractRecord
    type: str


class StopTicks(msgspec.Struct, frozen=True):
    """End tick-by-tick data."""

    request_id: int


class AskHistory(msgspec.Struct, frozen=True):
    """Bars up to ``end`` (empty: now), and with ``keep_up_to_date`` the present bar as it changes.

    ``duration`` is as "2 D", ``bar`` as "1 min", ``what`` as TRADES. Times come back as seconds since 1970.
    """

    request_id: int
    contract: ContractRecord
    duration: str
    bar: str
    what: str = "TRADES"
    end: str = ""
    regular_hours: bool = True
    keep_up_to_date: bool = False


class StopHistory(msgspec.Struct, frozen=True):
    """End a history that is kept up to date, or no longer wait for one."""

    request_id: int


class FollowBars(msgspec.Struct, frozen=True):
    """Bars of five seconds."""

    request_id: int
    contract: ContractRecord
    what: str = "TRADES"
    regular_hours: bool = False


class StopBars(msgspec.Struct, frozen=True):
    """End bars of five seconds."""

    request_id: int


class AskContract(msgspec.Struct, frozen=True):
    """The definitions of all contracts that fit a description."""

    request_id: int
    contract: ContractRecord


class FollowScan(msgspec.Struct, frozen=True):
    """A scanner subscription. ``options`` are generic filters as TWS names them (tag -> value as text)."""

    request_id: int
    code: str
    location: str = "STK.US.MAJOR"
    instrument: str = "STK"
    rows: int = 50
    above_price: float = NAN
    below_price: float = NAN
    above_volume: int | None = None
    market_cap_above: float = NAN
    """In millions."""
    market_cap_below: float = NAN
    average_option_volume_above: int | None = None
    stock_type: str = "ALL"
    options: Mapping[str, str] = {}


class StopScan(msgspec.Struct, frozen=True):
    """End a scanner subscription."""

    request_id: int


class AskScannerParameters(msgspec.Struct, frozen=True):
    """What can be scanned for."""


Command = (
    AskTime | AskIds | FollowAccount | AskPositions | StopPositions | FollowPnl | StopPnl | AskOpenOrders
    | AskCompletedOrders | AskExecutions | PlaceOrder | CancelOrder | CancelAll | SetMarketDataType | FollowMarket
    | StopMarket | FollowTicks | StopTicks | AskHistory | StopHistory | FollowBars | StopBars | AskContract | FollowScan
    | StopScan | AskScannerParameters
)  # fmt: skip
