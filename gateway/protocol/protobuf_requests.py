"""What clients send as protobuf: for each request its message class of ``ibapi.protobuf`` and where its fields go.

Facts: the public client's message classes, and from which server version it sends each of them. Names of fields are
theirs. Tests read what the unmodified client sends.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.protocol import requests as ask
from gateway.protocol.protobuf_layouts import Items, Options, Unused, Value, Values, Within
from gateway.protocol.protobuf_order import ATTACHED, CONTRACT, CONTRACT_OF_ORDER, ORDER
from gateway.protocol.request_layouts import BY_NAME_ONLY
from gateway.protocol.wire import BOOL, FLOAT, ID, INT, OPTIONAL_COUNT, OPTIONAL_INT, TEXT


@dataclass(frozen=True, slots=True)
class ProtobufMessage:
    """A request's number, the message class that carries it, ours, and from which server version it is sent so."""

    number: int
    message: str
    of: type
    since: int
    items: Items = ()


@dataclass(frozen=True, slots=True)
class NamedMessage:
    """A request that is known by name only, with the same."""

    number: int
    message: str
    name: str
    since: int


REQUEST = Value("reqId", "request", ID)
MODEL: Items = (Value("account", "account", TEXT), Value("modelCode", "model", TEXT))
EXECUTION_FILTER = Within(
    "executionFilter",
    (
        Value("clientId", "filter.client_id", INT),
        Value("acctCode", "filter.account", TEXT),
        Value("time", "filter.time", TEXT),
        Value("symbol", "filter.symbol", TEXT),
        Value("secType", "filter.type", TEXT),
        Value("exchange", "filter.exchange", TEXT),
        Value("side", "filter.side", TEXT),
        Value("lastNDays", "filter.last_days", OPTIONAL_INT),
        Values("specificDates", "filter.dates", INT),
    ),
)
SCAN = Within(
    "scannerSubscription",
    (
        Value("numberOfRows", "rows", OPTIONAL_COUNT),
        Value("instrument", "instrument", TEXT),
        Value("locationCode", "location", TEXT),
        Value("scanCode", "code", TEXT),
        Value("abovePrice", "above_price", FLOAT),
        Value("belowPrice", "below_price", FLOAT),
        Value("aboveVolume", "above_volume", OPTIONAL_INT),
        Value("marketCapAbove", "market_cap_above", FLOAT),
        Value("marketCapBelow", "market_cap_below", FLOAT),
        Value("moodyRatingAbove", "moody_above", TEXT),
        Value("moodyRatingBelow", "moody_below", TEXT),
        Value("spRatingAbove", "sp_above", TEXT),
        Value("spRatingBelow", "sp_below", TEXT),
        Value("maturityDateAbove", "maturity_above", TEXT),
        Value("maturityDateBelow", "maturity_below", TEXT),
        Value("couponRateAbove", "coupon_above", FLOAT),
        Value("couponRateBelow", "coupon_below", FLOAT),
        Value("excludeConvertible", "exclude_convertible", BOOL),
        Value("averageOptionVolumeAbove", "average_option_volume_above", OPTIONAL_INT),
        Value("scannerSettingPairs", "settings", TEXT),
        Value("stockTypeFilter", "stock_type", TEXT),
        Options("scannerSubscriptionFilterOptions", "filter_options"),
        Options("scannerSubscriptionOptions", "subscription_options"),
    ),
)
CANCEL = (Value("extOperator", "ext_operator", TEXT), Value("manualOrderIndicator", "manual_indicator", OPTIONAL_INT))

EXECUTIONS = 201
ORDERS = 203
OPEN_ORDERS = 204
CONTRACTS = 205
MARKET_DATA = 206
ACCOUNTS = 207
HISTORY = 208
NEWS = 209
SCANS = 210
REST_1, REST_2, REST_3 = 211, 212, 213
"""Server versions from which the client sends a group of requests as protobuf."""

PROTOBUF_REQUESTS: tuple[ProtobufMessage, ...] = (
    ProtobufMessage(7, "ExecutionRequest", ask.Executions, EXECUTIONS, (REQUEST, EXECUTION_FILTER)),
    ProtobufMessage(
        3, "PlaceOrderRequest", ask.PlaceOrder, ORDERS,
        (Value("orderId", "order_id", ID), CONTRACT_OF_ORDER, ORDER, ATTACHED),
    ),
    ProtobufMessage(
        4, "CancelOrderRequest", ask.CancelOrder, ORDERS,
        (
            Value("orderId", "order_id", ID),
            Within("orderCancel", (Value("manualOrderCancelTime", "manual_time", TEXT), *CANCEL)),
        ),
    ),
    ProtobufMessage(
        58, "GlobalCancelRequest", ask.GlobalCancel, ORDERS,
        (Within("orderCancel", (Unused(("manualOrderCancelTime",)), *CANCEL)),),
    ),
    ProtobufMessage(5, "OpenOrdersRequest", ask.OpenOrders, OPEN_ORDERS),
    ProtobufMessage(16, "AllOpenOrdersRequest", ask.AllOpenOrders, OPEN_ORDERS),
    ProtobufMessage(
        15, "AutoOpenOrdersRequest", ask.AutoOpenOrders, OPEN_ORDERS, (Value("autoBind", "bind", BOOL),)
    ),
    ProtobufMessage(
        99, "CompletedOrdersRequest", ask.CompletedOrders, OPEN_ORDERS, (Value("apiOnly", "api_only", BOOL),)
    ),
    ProtobufMessage(9, "ContractDataRequest", ask.ContractDetails, CONTRACTS, (REQUEST, CONTRACT)),
    ProtobufMessage(
        1, "MarketDataRequest", ask.MarketData, MARKET_DATA,
        (
            REQUEST,
            CONTRACT,
            Value("genericTickList", "generic_ticks", TEXT),
            Value("snapshot", "snapshot", BOOL),
            Value("regulatorySnapshot", "regulatory_snapshot", BOOL),
            Options("marketDataOptions", "options"),
        ),
    ),
    ProtobufMessage(2, "CancelMarketData", ask.CancelMarketData, MARKET_DATA, (REQUEST,)),
    ProtobufMessage(
        59, "MarketDataTypeRequest", ask.SetMarketDataType, MARKET_DATA, (Value("marketDataType", "type", INT),)
    ),
    ProtobufMessage(
        6, "AccountDataRequest", ask.AccountUpdates, ACCOUNTS,
        (Value("subscribe", "subscribe", BOOL), Value("acctCode", "account", TEXT)),
    ),
    ProtobufMessage(17, "ManagedAccountsRequest", ask.ManagedAccounts, ACCOUNTS),
    ProtobufMessage(61, "PositionsRequest", ask.Positions, ACCOUNTS),
    ProtobufMessage(64, "CancelPositions", ask.CancelPositions, ACCOUNTS),
    ProtobufMessage(
        62, "AccountSummaryRequest", ask.AccountSummary, ACCOUNTS,
        (REQUEST, Value("group", "group", TEXT), Value("tags", "tags", TEXT)),
    ),
    ProtobufMessage(63, "CancelAccountSummary", ask.CancelAccountSummary, ACCOUNTS, (REQUEST,)),
    ProtobufMessage(74, "PositionsMultiRequest", ask.PositionsMulti, ACCOUNTS, (REQUEST, *MODEL)),
    ProtobufMessage(75, "CancelPositionsMulti", ask.CancelPositionsMulti, ACCOUNTS, (REQUEST,)),
    ProtobufMessage(
        76, "AccountUpdatesMultiRequest", ask.AccountUpdatesMulti, ACCOUNTS,
        (REQUEST, *MODEL, Value("ledgerAndNLV", "ledger_and_nlv", BOOL)),
    ),
    ProtobufMessage(77, "CancelAccountUpdatesMulti", ask.CancelAccountUpdatesMulti, ACCOUNTS, (REQUEST,)),
    ProtobufMessage(
        20, "HistoricalDataRequest", ask.HistoricalBars, HISTORY,
        (
            REQUEST,
            CONTRACT,
            Value("endDateTime", "end", TEXT),
            Value("barSizeSetting", "bar_size", TEXT),
            Value("duration", "duration", TEXT),
            Value("useRTH", "regular_hours", BOOL),
            Value("whatToShow", "what", TEXT),
            Value("formatDate", "date_format", INT),
            Value("keepUpToDate", "keep_up_to_date", BOOL),
            Options("chartOptions", "options"),
        ),
    ),
    ProtobufMessage(25, "CancelHistoricalData", ask.CancelHistoricalBars, HISTORY, (REQUEST,)),
    ProtobufMessage(
        50, "RealTimeBarsRequest", ask.RealTimeBars, HISTORY,
        (
            REQUEST,
            CONTRACT,
            Value("barSize", "bar_size", INT),
            Value("whatToShow", "what", TEXT),
            Value("useRTH", "regular_hours", BOOL),
            Options("realTimeBarsOptions", "options"),
        ),
    ),
    ProtobufMessage(51, "CancelRealTimeBars", ask.CancelRealTimeBars, HISTORY, (REQUEST,)),
    ProtobufMessage(
        87, "HeadTimestampRequest", ask.HeadTimestamp, HISTORY,
        (
            REQUEST,
            CONTRACT,
            Value("useRTH", "regular_hours", BOOL),
            Value("whatToShow", "what", TEXT),
            Value("formatDate", "date_format", INT),
        ),
    ),
    ProtobufMessage(90, "CancelHeadTimestamp", ask.CancelHeadTimestamp, HISTORY, (REQUEST,)),
    ProtobufMessage(
        97, "TickByTickRequest", ask.TickByTick, HISTORY,
        (
            REQUEST,
            CONTRACT,
            Value("tickType", "type", TEXT),
            Value("numberOfTicks", "count", INT),
            Value("ignoreSize", "ignore_size", BOOL),
        ),
    ),
    ProtobufMessage(98, "CancelTickByTick", ask.CancelTickByTick, HISTORY, (REQUEST,)),
    ProtobufMessage(12, "NewsBulletinsRequest", ask.NewsBulletins, NEWS, (Value("allMessages", "all_messages", BOOL),)),
    ProtobufMessage(13, "CancelNewsBulletins", ask.CancelNewsBulletins, NEWS),
    ProtobufMessage(24, "ScannerParametersRequest", ask.ScannerParameters, SCANS),
    ProtobufMessage(22, "ScannerSubscriptionRequest", ask.ScannerSubscription, SCANS, (REQUEST, SCAN)),
    ProtobufMessage(23, "CancelScannerSubscription", ask.CancelScanner, SCANS, (REQUEST,)),
    ProtobufMessage(92, "PnLRequest", ask.Pnl, SCANS, (REQUEST, *MODEL)),
    ProtobufMessage(93, "CancelPnL", ask.CancelPnl, SCANS, (REQUEST,)),
    ProtobufMessage(94, "PnLSingleRequest", ask.PnlSingle, SCANS, (REQUEST, *MODEL, Value("conId", "con_id", INT))),
    ProtobufMessage(95, "CancelPnLSingle", ask.CancelPnlSingle, SCANS, (REQUEST,)),
    ProtobufMessage(
        81, "MatchingSymbolsRequest", ask.MatchingSymbols, REST_2, (REQUEST, Value("pattern", "pattern", TEXT))
    ),
    ProtobufMessage(8, "IdsRequest", ask.NextId, REST_3, (Value("numIds", "count", INT),)),
    ProtobufMessage(49, "CurrentTimeRequest", ask.CurrentTime, REST_3),
    ProtobufMessage(105, "CurrentTimeInMillisRequest", ask.CurrentTimeMillis, REST_3),
    ProtobufMessage(
        71, "StartApiRequest", ask.StartApi, REST_3,
        (Value("clientId", "client_id", ID), Value("optionalCapabilities", "capabilities", TEXT)),
    ),
    ProtobufMessage(14, "SetServerLogLevelRequest", ask.SetLogLevel, REST_3, (Value("logLevel", "level", INT),)),
)  # fmt: skip

_ONLY_PROTOBUF = {
    106: "cancel contract details",
    107: "cancel historical ticks",
    108: "configuration",
    109: "change configuration",
}
_NAMES = {each.number: each.name for each in BY_NAME_ONLY} | _ONLY_PROTOBUF
NAMES_ONLY: tuple[NamedMessage, ...] = tuple(
    NamedMessage(number, message, _NAMES[number], since)
    for number, message, since in (
        (10, "MarketDepthRequest", MARKET_DATA),
        (11, "CancelMarketDepth", MARKET_DATA),
        (88, "HistogramDataRequest", HISTORY),
        (89, "CancelHistogramData", HISTORY),
        (96, "HistoricalTicksRequest", HISTORY),
        (84, "NewsArticleRequest", NEWS),
        (85, "NewsProvidersRequest", NEWS),
        (86, "HistoricalNewsRequest", NEWS),
        (100, "WshMetaDataRequest", NEWS),
        (101, "CancelWshMetaData", NEWS),
        (102, "WshEventDataRequest", NEWS),
        (103, "CancelWshEventData", NEWS),
        (18, "FARequest", REST_1),
        (19, "FAReplace", REST_1),
        (21, "ExerciseOptionsRequest", REST_1),
        (54, "CalculateImpliedVolatilityRequest", REST_1),
        (55, "CalculateOptionPriceRequest", REST_1),
        (56, "CancelCalculateImpliedVolatility", REST_1),
        (57, "CancelCalculateOptionPrice", REST_1),
        (78, "SecDefOptParamsRequest", REST_2),
        (79, "SoftDollarTiersRequest", REST_2),
        (80, "FamilyCodesRequest", REST_2),
        (83, "SmartComponentsRequest", REST_2),
        (91, "MarketRuleRequest", REST_2),
        (104, "UserInfoRequest", REST_2),
        (65, "VerifyRequest", REST_3),
        (66, "VerifyMessageRequest", REST_3),
        (67, "QueryDisplayGroupsRequest", REST_3),
        (68, "SubscribeToGroupEventsRequest", REST_3),
        (69, "UpdateDisplayGroupRequest", REST_3),
        (70, "UnsubscribeFromGroupEventsRequest", REST_3),
        (82, "MarketDepthExchangesRequest", REST_3),
        (106, "CancelContractData", 215),
        (107, "CancelHistoricalTicks", 215),
        (108, "ConfigRequest", 219),
        (109, "UpdateConfigRequest", 221),
    )
)
