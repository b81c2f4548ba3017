"""What the server says, as plain data: one class a message. Texts are ready for the wire, times in their own units.

NaN and None are what the protocol calls unset.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.protocol.contract import Contract
from gateway.protocol.market_replies import (
    ContractDetailsEnd,
    ContractDetailsRow,
    DataType,
    Fund,
    HeadTimestampReply,
    HistoricalBar,
    HistoricalData,
    HistoricalDataEnd,
    HistoricalDataUpdate,
    RealTimeBar,
    ScannerData,
    ScannerRow,
    ScannerXml,
    SnapshotEnd,
    SymbolSample,
    SymbolSamples,
    TickBidAsk,
    TickGeneric,
    TickLast,
    TickMid,
    TickParameters,
    TickPrice,
    TickSize,
    TickString,
)
from gateway.protocol.order_replies import (
    Allocation,
    Commission,
    CompletedOrder,
    CompletedOrdersEnd,
    Execution,
    ExecutionsEnd,
    OpenOrder,
    OpenOrdersEnd,
    OrderBound,
    OrderState,
    OrderStatus,
)

__all__ = [
    "AccountDownloadEnd",
    "AccountMulti",
    "AccountMultiEnd",
    "AccountTime",
    "AccountValue",
    "Allocation",
    "Commission",
    "CompletedOrder",
    "CompletedOrdersEnd",
    "ContractDetailsEnd",
    "ContractDetailsRow",
    "DataType",
    "Error",
    "Execution",
    "ExecutionsEnd",
    "Fund",
    "HeadTimestampReply",
    "HistoricalBar",
    "HistoricalData",
    "HistoricalDataEnd",
    "HistoricalDataUpdate",
    "ManagedAccountsList",
    "NewsBulletin",
    "NextValidId",
    "OpenOrder",
    "OpenOrdersEnd",
    "OrderBound",
    "OrderState",
    "OrderStatus",
    "PnlSingleUpdate",
    "PnlUpdate",
    "PortfolioValue",
    "PositionEnd",
    "PositionMulti",
    "PositionMultiEnd",
    "PositionRow",
    "RealTimeBar",
    "Reply",
    "ScannerData",
    "ScannerRow",
    "ScannerXml",
    "SnapshotEnd",
    "SummaryEnd",
    "SummaryRow",
    "SymbolSample",
    "SymbolSamples",
    "TickBidAsk",
    "TickGeneric",
    "TickLast",
    "TickMid",
    "TickParameters",
    "TickPrice",
    "TickSize",
    "TickString",
    "Time",
    "TimeMillis",
]


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
