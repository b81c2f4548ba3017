"""What clients send: a layout for each class of ``gateway.protocol.requests``.

Facts: the writers of the public clients at their versions; tests decode what the unmodified clients send. Which version
number a message has of its own is taken from them too, and only TWS knows whether it matters.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.protocol import requests as ask
from gateway.protocol.contract import ComboLeg, DeltaNeutral
from gateway.protocol.layouts import Const, Field, Group, Items, Maybe, Message, Values, When, one_of
from gateway.protocol.order_layouts import PLACE_ORDER
from gateway.protocol.wire import (
    AMOUNT,
    BOOL,
    BOOL_OR_EMPTY,
    FIRST_VERSION,
    FLOAT,
    ID,
    INT,
    NUMBER,
    OPTIONAL_COUNT,
    OPTIONAL_INT,
    TEXT,
)

REQUEST = Field("request", ID)
CONTRACT: Items = (
    Field("contract.con_id", INT),
    Field("contract.symbol", TEXT),
    Field("contract.type", TEXT),
    Field("contract.expiry", TEXT),
    Field("contract.strike", NUMBER),
    Field("contract.right", TEXT),
    Field("contract.multiplier", TEXT),
    Field("contract.exchange", TEXT),
    Field("contract.primary_exchange", TEXT),
    Field("contract.currency", TEXT),
    Field("contract.local_symbol", TEXT),
    Field("contract.trading_class", TEXT),
)
LEGS = When(
    "contract.type",
    one_of("BAG"),
    (
        Group(
            "contract.legs",
            ComboLeg,
            (Field("con_id", INT), Field("ratio", INT), Field("action", TEXT), Field("exchange", TEXT)),
        ),
    ),
)
DELTA_NEUTRAL = Maybe(
    "contract.delta_neutral", DeltaNeutral, (Field("con_id", INT), Field("delta", AMOUNT), Field("price", AMOUNT))
)
CME_TAGGING = 192
RFQ = 187
UNDO_RFQ = 190

REQUESTS: tuple[Message, ...] = (
    Message(71, ask.StartApi, (Const("2"), Field("client_id", ID), Field("capabilities", TEXT))),
    Message(8, ask.NextId, (Const("1"), Field("count", INT))),
    Message(49, ask.CurrentTime, (Const("1"),)),
    Message(105, ask.CurrentTimeMillis, since=197),
    Message(17, ask.ManagedAccounts, (Const("1"),)),
    Message(14, ask.SetLogLevel, (Const("1"), Field("level", INT))),
    Message(6, ask.AccountUpdates, (Const("2"), Field("subscribe", BOOL), Field("account", TEXT))),
    Message(
        76,
        ask.AccountUpdatesMulti,
        (Const("1"), REQUEST, Field("account", TEXT), Field("model", TEXT), Field("ledger_and_nlv", BOOL)),
    ),
    Message(77, ask.CancelAccountUpdatesMulti, (Const("1"), REQUEST)),
    Message(61, ask.Positions, (Const("1"),)),
    Message(64, ask.CancelPositions, (Const("1"),)),
    Message(74, ask.PositionsMulti, (Const("1"), REQUEST, Field("account", TEXT), Field("model", TEXT))),
    Message(75, ask.CancelPositionsMulti, (Const("1"), REQUEST)),
    Message(62, ask.AccountSummary, (Const("1"), REQUEST, Field("group", TEXT), Field("tags", TEXT))),
    Message(63, ask.CancelAccountSummary, (Const("1"), REQUEST)),
    Message(92, ask.Pnl, (REQUEST, Field("account", TEXT), Field("model", TEXT))),
    Message(93, ask.CancelPnl, (REQUEST,)),
    Message(94, ask.PnlSingle, (REQUEST, Field("account", TEXT), Field("model", TEXT), Field("con_id", INT))),
    Message(95, ask.CancelPnlSingle, (REQUEST,)),
    Message(24, ask.ScannerParameters, (Const("1"),)),
    Message(
        22,
        ask.ScannerSubscription,
        (
            REQUEST,
            Field("rows", OPTIONAL_COUNT),
            Field("instrument", TEXT),
            Field("location", TEXT),
            Field("code", TEXT),
            Field("above_price", FLOAT),
            Field("below_price", FLOAT),
            Field("above_volume", OPTIONAL_INT),
            Field("market_cap_above", FLOAT),
            Field("market_cap_below", FLOAT),
            Field("moody_above", TEXT),
            Field("moody_below", TEXT),
            Field("sp_above", TEXT),
            Field("sp_below", TEXT),
            Field("maturity_above", TEXT),
            Field("maturity_below", TEXT),
            Field("coupon_above", FLOAT),
            Field("coupon_below", FLOAT),
            Field("exclude_convertible", BOOL_OR_EMPTY),
            Field("average_option_volume_above", OPTIONAL_INT),
            Field("settings", TEXT),
            Field("stock_type", TEXT),
            Field("filter_options", TEXT),
            Field("subscription_options", TEXT),
        ),
    ),
    Message(23, ask.CancelScanner, (Const("1"), REQUEST)),
    Message(
        1,
        ask.MarketData,
        (
            Const("11"),
            REQUEST,
            *CONTRACT,
            LEGS,
            DELTA_NEUTRAL,
            Field("generic_ticks", TEXT),
            Field("snapshot", BOOL),
            Field("regulatory_snapshot", BOOL),
            Field("options", TEXT),
        ),
    ),
    Message(2, ask.CancelMarketData, (Const("2"), REQUEST)),
    Message(59, ask.SetMarketDataType, (Const("1"), Field("type", INT))),
    Message(
        97,
        ask.TickByTick,
        (REQUEST, *CONTRACT, Field("type", TEXT), Field("count", INT), Field("ignore_size", BOOL)),
    ),
    Message(98, ask.CancelTickByTick, (REQUEST,)),
    Message(
        20,
        ask.HistoricalBars,
        (
            REQUEST,
            *CONTRACT,
            Field("contract.include_expired", BOOL),
            Field("end", TEXT),
            Field("bar_size", TEXT),
            Field("duration", TEXT),
            Field("regular_hours", BOOL),
            Field("what", TEXT),
            Field("date_format", INT),
            LEGS,
            Field("keep_up_to_date", BOOL),
            Field("options", TEXT),
        ),
    ),
    Message(25, ask.CancelHistoricalBars, (Const("1"), REQUEST)),
    Message(
        87,
        ask.HeadTimestamp,
        (
            REQUEST,
            *CONTRACT,
            Field("contract.include_expired", BOOL),
            Field("regular_hours", BOOL),
            Field("what", TEXT),
            Field("date_format", INT),
        ),
    ),
    Message(90, ask.CancelHeadTimestamp, (REQUEST,)),
    Message(
        50,
        ask.RealTimeBars,
        (
            Const("3"),
            REQUEST,
            *CONTRACT,
            Field("bar_size", INT),
            Field("what", TEXT),
            Field("regular_hours", BOOL),
            Field("options", TEXT),
        ),
    ),
    Message(51, ask.CancelRealTimeBars, (Const("1"), REQUEST)),
    Message(
        9,
        ask.ContractDetails,
        (
            Const("8"),
            REQUEST,
            *CONTRACT,
            Field("contract.include_expired", BOOL),
            Field("contract.id_type", TEXT),
            Field("contract.id", TEXT),
            Field("contract.issuer_id", TEXT, since=176),
        ),
    ),
    Message(81, ask.MatchingSymbols, (REQUEST, Field("pattern", TEXT))),
    Message(
        3,
        ask.PlaceOrder,
        (
            Field("order_id", ID),
            *CONTRACT,
            Field("contract.id_type", TEXT),
            Field("contract.id", TEXT),
            *PLACE_ORDER,
        ),
    ),
    Message(
        4,
        ask.CancelOrder,
        (
            Const("1", before=CME_TAGGING),
            Field("order_id", ID),
            Field("manual_time", TEXT, since=169),
            Field("ext_operator", TEXT, since=RFQ, before=UNDO_RFQ),
            Field("external_user_id", TEXT, since=RFQ, before=UNDO_RFQ),
            Field("manual_indicator", OPTIONAL_INT, since=RFQ, before=UNDO_RFQ),
            Field("ext_operator", TEXT, since=CME_TAGGING),
            Field("manual_indicator", OPTIONAL_INT, since=CME_TAGGING),
        ),
    ),
    Message(
        58,
        ask.GlobalCancel,
        (
            Const("1", before=CME_TAGGING),
            Field("ext_operator", TEXT, since=CME_TAGGING),
            Field("manual_indicator", OPTIONAL_INT, since=CME_TAGGING),
        ),
    ),
    Message(5, ask.OpenOrders, (Const("1"),)),
    Message(16, ask.AllOpenOrders, (Const("1"),)),
    Message(15, ask.AutoOpenOrders, (Const("1"), Field("bind", BOOL))),
    Message(99, ask.CompletedOrders, (Field("api_only", BOOL),)),
    Message(
        7,
        ask.Executions,
        (
            Const("3"),
            REQUEST,
            Field("filter.client_id", INT),
            Field("filter.account", TEXT),
            Field("filter.time", TEXT),
            Field("filter.symbol", TEXT),
            Field("filter.type", TEXT),
            Field("filter.exchange", TEXT),
            Field("filter.side", TEXT),
            Field("filter.last_days", OPTIONAL_INT, since=200),
            Values("filter.dates", INT, since=200),
        ),
    ),
    Message(12, ask.NewsBulletins, (Const("1"), Field("all_messages", BOOL))),
    Message(13, ask.CancelNewsBulletins, (Const("1"),)),
)


@dataclass(frozen=True, slots=True)
class NameOnly:
    """A request that is known by name. ``request_at`` is the place of its number (0: the message's own), -1: none."""

    number: int
    name: str
    request_at: int
    since: int = FIRST_VERSION


BY_NAME_ONLY: tuple[NameOnly, ...] = (
    NameOnly(10, "market depth", 2),
    NameOnly(11, "cancel market depth", 2),
    NameOnly(18, "financial advisor configuration", -1),
    NameOnly(19, "replace financial advisor configuration", 4),
    NameOnly(21, "exercise options", 2),
    NameOnly(52, "fundamental data", 2),
    NameOnly(53, "cancel fundamental data", 2),
    NameOnly(54, "implied volatility", 2),
    NameOnly(55, "option price", 2),
    NameOnly(56, "cancel implied volatility", 2),
    NameOnly(57, "cancel option price", 2),
    NameOnly(65, "verify", -1),
    NameOnly(66, "verify message", -1),
    NameOnly(67, "display groups", 2),
    NameOnly(68, "display group events", 2),
    NameOnly(69, "update display group", 2),
    NameOnly(70, "cancel display group events", 2),
    NameOnly(72, "verify and authorize", -1),
    NameOnly(73, "verify and authorize message", -1),
    NameOnly(78, "option chain parameters", 1),
    NameOnly(79, "soft dollar tiers", 1),
    NameOnly(80, "family codes", -1),
    NameOnly(82, "market depth exchanges", -1),
    NameOnly(83, "smart components", 1),
    NameOnly(84, "news article", 1),
    NameOnly(85, "news providers", -1),
    NameOnly(86, "historical news", 1),
    NameOnly(88, "histogram", 1),
    NameOnly(89, "cancel histogram", 1),
    NameOnly(91, "market rule", -1),
    NameOnly(96, "historical ticks", 1),
    NameOnly(100, "Wall Street Horizon metadata", 1, since=161),
    NameOnly(101, "cancel Wall Street Horizon metadata", 1, since=161),
    NameOnly(102, "Wall Street Horizon events", 1, since=161),
    NameOnly(103, "cancel Wall Street Horizon events", 1, since=161),
    NameOnly(104, "user info", 1, since=167),
)
