"""The installed client, whatever its version: its classes, its shapes, and our commands said with it.

The one import name ``ibapi`` is many packages, 9.81 (2020) to 10.51 (2026). What differs is found out once, by looking at
what is there and not at the version: how the decoder is called, what ``cancelOrder`` and ``reqGlobalCancel`` take. Nothing
of the client is changed. It is used to write requests and to read replies; its threads, its socket and its queue are not,
so its defects there can not reach us, and ``MAX_CLIENT_VER`` need not be patched: the handshake is ours
(``brokers/ib/gateway.py``) and offers no more than :data:`SERVER_VERSION_MAX`.

Its loggers write a line for each message. Where nobody has given the logger ``ibapi`` a level, it is given CRITICAL: all
that it would say reaches the session as records. Who wants to read the lines sets a level before connecting.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Mapping
from copy import copy
from decimal import Decimal
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

import msgspec

from brokers.ib import commands as do
from brokers.ib.records import NO_REQUEST, ContractRecord, OrderRecord
from papertape.core.errors import ConfigError

SERVER_VERSION_MIN = 157
"""Oldest server version that is spoken (TWS of 2020): replies of older ones have layouts that nothing here was tried with."""
SERVER_VERSION_MAX = 200
"""Newest server version that is offered: up to here all is text."""
INSTALL = "pip install '.[ib]'"


class Ibapi(msgspec.Struct, frozen=True):
    """The installed client. Its classes are untyped, so they are Any here and nowhere else."""

    version: str
    server_version_min: int
    server_version_max: int
    """What is offered: the client's own newest, at most SERVER_VERSION_MAX."""
    client: Any
    decoder: Any
    contract: Any
    order: Any
    scanner: Any
    tag_value: Any
    execution_filter: Any
    number_apart: bool
    """Whether the decoder takes a message's number beside its fields (from 10.37), or as their first."""
    cancel_with: Callable[[], tuple[Any, ...]]
    """What ``cancelOrder`` takes behind the order's id: nothing, the time of a manual cancel, or an object."""
    cancel_all_with: Callable[[], tuple[Any, ...]]
    """What ``reqGlobalCancel`` takes."""

    def connected(self, wrapper: object, connection: object, server_version: int, client_id: int) -> Any:
        """A client that takes itself for connected and writes to ``connection``; no thread, no socket of its own."""
        client = self.client(wrapper)
        client.conn = connection
        client.serverVersion_ = server_version
        client.clientId = client_id
        client.setConnState(self.client.CONNECTED)
        return client


@cache
def load() -> Ibapi:
    """The installed client. ConfigError where there is none, or one that can not be loaded."""
    try:
        modules = {
            name: import_module(f"ibapi.{name}")
            for name in ("client", "decoder", "contract", "order", "scanner", "tag_value", "execution")
        }
    except ModuleNotFoundError as error:
        missing = "ibapi" if error.name in ("ibapi", None) else f"{error.name}, which ibapi needs,"
        raise ConfigError(f"{missing} is not installed: {INSTALL}") from None
    except Exception as error:  # protobuf refuses generated code that does not fit it, with an error of its own
        raise ConfigError(f"ibapi can not be loaded ({error}): {INSTALL}") from error
    log = logging.getLogger("ibapi")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)
    client = modules["client"].EClient
    decoder = modules["decoder"].Decoder
    return Ibapi(
        version=".".join(str(part) for part in import_module("ibapi").VERSION.values()),
        server_version_min=int(modules["client"].MIN_CLIENT_VER),
        server_version_max=min(int(modules["client"].MAX_CLIENT_VER), SERVER_VERSION_MAX),
        client=client,
        decoder=decoder,
        contract=modules["contract"].Contract,
        order=modules["order"].Order,
        scanner=modules["scanner"].ScannerSubscription,
        tag_value=modules["tag_value"].TagValue,
        execution_filter=modules["execution"].ExecutionFilter,
        number_apart=len(inspect.signature(decoder.interpret).parameters) == 3,
        cancel_with=_last_argument(client.cancelOrder, 2),
        cancel_all_with=_last_argument(client.reqGlobalCancel, 1),
    )


def _last_argument(method: Callable[..., Any], before: int) -> Callable[[], tuple[Any, ...]]:
    """What a method takes behind its first ``before`` arguments: nothing, a text, or an ``OrderCancel``."""
    parameters = list(inspect.signature(method).parameters.values())
    if len(parameters) == before:
        return tuple
    assert len(parameters) == before + 1, f"{method.__qualname__} has a form that no known client has"
    if parameters[before].annotation is str:
        return lambda: ("",)
    of = import_module("ibapi.order_cancel").OrderCancel
    return lambda: (of(),)


# -------------------------------------------------------------------------------------------------- objects of theirs

_CONTRACT_NAMES: Mapping[str, str] = {
    "con_id": "conId", "symbol": "symbol", "type": "secType", "expiry": "lastTradeDateOrContractMonth",
    "strike": "strike", "right": "right", "multiplier": "multiplier", "exchange": "exchange",
    "primary_exchange": "primaryExchange", "currency": "currency", "local_symbol": "localSymbol",
    "trading_class": "tradingClass",
}  # fmt: skip
_ORDER_NAMES: Mapping[str, str] = {
    "action": "action", "type": "orderType", "limit_price": "lmtPrice", "aux_price": "auxPrice", "tif": "tif",
    "oca_group": "ocaGroup", "oca_type": "ocaType", "account": "account", "order_ref": "orderRef",
    "transmit": "transmit", "parent_id": "parentId", "outside_hours": "outsideRth", "good_till": "goodTillDate",
    "trail_stop_price": "trailStopPrice", "trailing_percent": "trailingPercent", "limit_offset": "lmtPriceOffset",
    "what_if": "whatIf",
}  # fmt: skip
_SCAN_NAMES: Mapping[str, str] = {
    "code": "scanCode", "location": "locationCode", "instrument": "instrument", "rows": "numberOfRows",
    "above_price": "abovePrice", "below_price": "belowPrice", "above_volume": "aboveVolume",
    "market_cap_above": "marketCapAbove", "market_cap_below": "marketCapBelow",
    "average_option_volume_above": "averageOptionVolumeAbove", "stock_type": "stockTypeFilter",
}  # fmt: skip
_REFUSED_DEFAULTS = ("eTradeOnly", "firmQuoteOnly")
"""Attributes that 9.81 sets by default and TWS refuses today (10268, 10269); newer clients have none of them."""


def _fill(made: Any, record: msgspec.Struct, names: Mapping[str, str]) -> Any:
    """Set an object's attributes from a record; what is unknown stays as the client leaves it, unset."""
    for ours, theirs in names.items():
        value = getattr(record, ours)
        if value is not None and not (isinstance(value, float) and math.isnan(value)):
            setattr(made, theirs, value)
    return made


CONTRACTS_KEPT = 1024
"""The client's contracts that are kept, since one instrument's is asked for again and again."""


@lru_cache(CONTRACTS_KEPT)
def contract(api: Ibapi, record: ContractRecord) -> Any:
    """The client's contract, only to be read: the same record gives the same object."""
    return _fill(api.contract(), record, _CONTRACT_NAMES)


@cache
def _blank_order(api: Ibapi) -> Any:
    """An order of which nothing is set; making one takes the client longer than all else that is done to an order here."""
    made = api.order()
    for name in _REFUSED_DEFAULTS:
        if hasattr(made, name):
            setattr(made, name, False)
    return made


def order(api: Ibapi, record: OrderRecord) -> Any:
    """The client's order. The quantity is text without an exponent, which every version writes as it is."""
    made = _fill(copy(_blank_order(api)), record, _ORDER_NAMES)
    made.totalQuantity = format(Decimal(repr(float(record.quantity))), "f").removesuffix(".0")
    return made


# ----------------------------------------------------------------------------------------------------------- commands

Encode = Callable[[Ibapi, Any, Any], None]


def _history(api: Ibapi, client: Any, it: do.AskHistory) -> None:
    seconds_since_1970 = 2
    client.reqHistoricalData(
        it.request_id, contract(api, it.contract), it.end, it.duration, it.bar, it.what, int(it.regular_hours),
        seconds_since_1970, it.keep_up_to_date, [],
    )  # fmt: skip


def _executions(api: Ibapi, client: Any, it: do.AskExecutions) -> None:
    wanted = api.execution_filter()
    wanted.acctCode, wanted.clientId = it.account, it.client_id
    client.reqExecutions(it.request_id, wanted)


def _scan(api: Ibapi, client: Any, it: do.FollowScan) -> None:
    subscription = _fill(api.scanner(), it, _SCAN_NAMES)
    options = [api.tag_value(tag, value) for tag, value in it.options.items()]
    client.reqScannerSubscription(it.request_id, subscription, [], options)


def _open_orders(api: Ibapi, client: Any, it: do.AskOpenOrders) -> None:
    (client.reqAllOpenOrders if it.all_clients else client.reqOpenOrders)()


ENCODE: Mapping[type, Encode] = {
    do.AskTime: lambda _, client, __: client.reqCurrentTime(),
    do.AskIds: lambda _, client, __: client.reqIds(1),
    do.FollowAccount: lambda _, client, it: client.reqAccountUpdates(it.subscribe, it.account),
    do.AskPositions: lambda _, client, __: client.reqPositions(),
    do.StopPositions: lambda _, client, __: client.cancelPositions(),
    do.FollowPnl: lambda _, client, it: client.reqPnL(it.request_id, it.account, ""),
    do.StopPnl: lambda _, client, it: client.cancelPnL(it.request_id),
    do.AskOpenOrders: _open_orders,
    do.AskCompletedOrders: lambda _, client, it: client.reqCompletedOrders(it.api_only),
    do.AskExecutions: _executions,
    do.PlaceOrder: lambda api, client, it: client.placeOrder(
        it.order_id, contract(api, it.contract), order(api, it.order)
    ),
    do.CancelOrder: lambda api, client, it: client.cancelOrder(it.order_id, *api.cancel_with()),
    do.CancelAll: lambda api, client, _: client.reqGlobalCancel(*api.cancel_all_with()),
    do.SetMarketDataType: lambda _, client, it: client.reqMarketDataType(it.type),
    do.FollowMarket: lambda api, client, it: client.reqMktData(
        it.request_id, contract(api, it.contract), it.generic_ticks, it.snapshot, False, []
    ),
    do.StopMarket: lambda _, client, it: client.cancelMktData(it.request_id),
    do.FollowTicks: lambda api, client, it: client.reqTickByTickData(
        it.request_id, contract(api, it.contract), it.type, 0, False
    ),
    do.StopTicks: lambda _, client, it: client.cancelTickByTickData(it.request_id),
    do.AskHistory: _history,
    do.StopHistory: lambda _, client, it: client.cancelHistoricalData(it.request_id),
    do.FollowBars: lambda api, client, it: client.reqRealTimeBars(
        it.request_id, contract(api, it.contract), 5, it.what, it.regular_hours, []
    ),
    do.StopBars: lambda _, client, it: client.cancelRealTimeBars(it.request_id),
    do.AskContract: lambda api, client, it: client.reqContractDetails(it.request_id, contract(api, it.contract)),
    do.FollowScan: _scan,
    do.StopScan: lambda _, client, it: client.cancelScannerSubscription(it.request_id),
    do.AskScannerParameters: lambda _, client, __: client.reqScannerParameters(),
}
"""How each command is said with the client."""


def id_of(command: do.Command) -> int:
    """The id that an answer to a command bears: of its request or order; NO_REQUEST where it has none."""
    number: int = getattr(command, "request_id", getattr(command, "order_id", NO_REQUEST))
    return number
