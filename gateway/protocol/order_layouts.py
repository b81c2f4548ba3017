"""An order's fields in placeOrder, openOrder and completedOrder.

Facts: the public clients' writers and readers. How TWS spells what is unset (nothing, 0 or the largest number) follows
logs that users published; no TWS has confirmed it for every field.
"""

from __future__ import annotations

from gateway.protocol.contract import ComboLeg, DeltaNeutral
from gateway.protocol.layouts import (
    Const,
    Field,
    Group,
    Items,
    Maybe,
    Pairs,
    Values,
    When,
    filled,
    infinite,
    one_of,
    positive,
)
from gateway.protocol.order import Condition
from gateway.protocol.order_replies import Allocation
from gateway.protocol.wire import (
    AMOUNT,
    BOOL,
    FLOAT,
    FLOAT_MAX,
    FLOAT_OR_ZERO,
    ID,
    INFINITE_FLOAT,
    INT,
    MONEY,
    NUMBER,
    OPTIONAL_BOOL,
    OPTIONAL_INT,
    OPTIONAL_INT_MAX,
    QUANTITY,
    TEXT,
    Kind,
)

PEG_BENCH = one_of("PEG BENCH", "PEGBENCH")
PEG_BEST = one_of("PEG BEST", "PEGBEST")
PEG_MID = one_of("PEG MID", "PEGMID")
MARGINS = tuple(
    f"{amount}_{when}" for when in ("before", "change", "after") for amount in ("init_margin", "maint_margin", "equity")
)

LEG: Items = (
    Field("con_id", INT),
    Field("ratio", INT),
    Field("action", TEXT),
    Field("exchange", TEXT),
    Field("open_close", INT),
    Field("short_sale_slot", INT),
    Field("designated_location", TEXT),
    Field("exempt_code", INT),
)
SHORT_SALE: Items = (
    Field("order.short_sale_slot", INT),
    Field("order.designated_location", TEXT),
    Field("order.exempt_code", INT),
)
BOX: Items = (
    Field("order.starting_price", FLOAT),
    Field("order.stock_reference_price", FLOAT),
    Field("order.delta", FLOAT),
    Field("order.stock_range_lower", FLOAT),
    Field("order.stock_range_upper", FLOAT),
)
VOLATILITY: Items = (
    Field("order.volatility", FLOAT),
    Field("order.volatility_type", OPTIONAL_INT),
    Field("order.delta_neutral_type", TEXT),
    Field("order.delta_neutral_aux_price", FLOAT),
)
HEDGE_SHORT_SALE: Items = (
    Field("order.delta_neutral_short_sale", BOOL),
    Field("order.delta_neutral_short_sale_slot", INT),
    Field("order.delta_neutral_designated_location", TEXT),
)
HEDGE_ORDER = When(
    "order.delta_neutral_type",
    filled,
    (
        Field("order.delta_neutral_con_id", INT),
        Field("order.delta_neutral_settling_firm", TEXT),
        Field("order.delta_neutral_clearing_account", TEXT),
        Field("order.delta_neutral_clearing_intent", TEXT),
        Field("order.delta_neutral_open_close", TEXT),
        *HEDGE_SHORT_SALE,
    ),
)
UPDATE_AND_TRAIL: Items = (
    Field("order.continuous_update", BOOL),
    Field("order.reference_price_type", OPTIONAL_INT),
    Field("order.trail_stop_price", FLOAT),
    Field("order.trailing_percent", FLOAT),
)
SCALE: Items = (
    Field("order.scale_init_level_size", OPTIONAL_INT_MAX),
    Field("order.scale_subs_level_size", OPTIONAL_INT_MAX),
    Field("order.scale_price_increment", FLOAT),
    When(
        "order.scale_price_increment",
        positive,
        (
            Field("order.scale_price_adjust_value", FLOAT),
            Field("order.scale_price_adjust_interval", OPTIONAL_INT),
            Field("order.scale_profit_offset", FLOAT),
            Field("order.scale_auto_reset", BOOL),
            Field("order.scale_init_position", OPTIONAL_INT),
            Field("order.scale_init_fill_quantity", OPTIONAL_INT),
            Field("order.scale_random_percent", BOOL),
        ),
    ),
)
HEDGE: Items = (
    Field("order.hedge_type", TEXT),
    When("order.hedge_type", filled, (Field("order.hedge_param", TEXT),)),
)
CLEARING: Items = (Field("order.clearing_account", TEXT), Field("order.clearing_intent", TEXT))
NOT_HELD_TO_ALGO: Items = (
    Field("order.not_held", BOOL),
    Maybe(
        "contract.delta_neutral", DeltaNeutral, (Field("con_id", INT), Field("delta", AMOUNT), Field("price", AMOUNT))
    ),
    Field("order.algo_strategy", TEXT),
    When("order.algo_strategy", filled, (Pairs("order.algo_params"),)),
)
RANDOMIZE: Items = (Field("order.randomize_size", BOOL), Field("order.randomize_price", BOOL))
BENCHMARK = When(
    "order.type",
    PEG_BENCH,
    (
        Field("order.reference_con_id", INT),
        Field("order.pegged_decrease", BOOL),
        Field("order.pegged_change", AMOUNT),
        Field("order.reference_change", AMOUNT),
        Field("order.reference_exchange", TEXT),
    ),
)


def _condition_type(text: str) -> int:
    if text in {"1", "3", "4", "5", "6", "7"}:
        return int(text)
    raise ValueError("a condition's type")


def _connector(text: str) -> bool:
    if text in {"a", "o"}:
        return text == "a"
    raise ValueError("a or o")


CONDITION_TYPE = Kind("type of a condition (1, 3 to 7)", _condition_type, str)
CONNECTOR = Kind("connector (a or o)", _connector, lambda both: "a" if both else "o")
CONDITIONS: Items = (
    Group(
        "order.conditions",
        Condition,
        (
            Field("type", CONDITION_TYPE),
            Field("both", CONNECTOR),
            When("type", frozenset({1, 3, 4, 6, 7}).__contains__, (Field("is_more", BOOL), Field("value", TEXT))),
            When("type", frozenset({1, 6, 7}).__contains__, (Field("con_id", INT), Field("exchange", TEXT))),
            When("type", frozenset({1}).__contains__, (Field("trigger_method", INT),)),
            When(
                "type",
                frozenset({5}).__contains__,
                (Field("security_type", TEXT), Field("exchange", TEXT), Field("symbol", TEXT)),
            ),
        ),
    ),
    When(
        "order.conditions",
        filled,
        (Field("order.conditions_ignore_hours", BOOL), Field("order.conditions_cancel", BOOL)),
    ),
)
HEDGE_PRICE_AND_CONTAINER: Items = (
    Field("order.no_auto_price_for_hedge", BOOL),
    Field("order.oms_container", BOOL),
)
PEG_OFFSETS_SAID: Items = (
    Field("order.min_trade_quantity", OPTIONAL_INT_MAX, since=170),
    Field("order.min_compete_size", OPTIONAL_INT_MAX, since=170),
    Field("order.compete_offset", INFINITE_FLOAT, since=170),
    Field("order.mid_offset_whole", FLOAT_MAX, since=170),
    Field("order.mid_offset_half", FLOAT_MAX, since=170),
)
CUSTOMER: Items = (Field("order.customer_account", TEXT, since=183), Field("order.professional", BOOL, since=184))
_MID_OFFSETS: Items = (Field("order.mid_offset_whole", FLOAT), Field("order.mid_offset_half", FLOAT))

PLACE_ORDER: Items = (
    Field("order.action", TEXT),
    Field("order.quantity", QUANTITY),
    Field("order.type", TEXT),
    Field("order.limit_price", FLOAT),
    Field("order.aux_price", FLOAT),
    Field("order.tif", TEXT),
    Field("order.oca_group", TEXT),
    Field("order.account", TEXT),
    Field("order.open_close", TEXT),
    Field("order.origin", INT),
    Field("order.order_ref", TEXT),
    Field("order.transmit", BOOL),
    Field("order.parent_id", INT),
    Field("order.block", BOOL),
    Field("order.sweep_to_fill", BOOL),
    Field("order.display_size", OPTIONAL_INT),
    Field("order.trigger_method", INT),
    Field("order.outside_hours", BOOL),
    Field("order.hidden", BOOL),
    When(
        "contract.type",
        one_of("BAG"),
        (Group("contract.legs", ComboLeg, LEG), Values("order.leg_prices", FLOAT), Pairs("order.smart_routing")),
    ),
    Const(""),  # shares allocation, no longer used
    Field("order.discretionary_amount", AMOUNT),
    Field("order.good_after", TEXT),
    Field("order.good_till", TEXT),
    Field("order.fa_group", TEXT),
    Field("order.fa_method", TEXT),
    Field("order.fa_percentage", TEXT),
    Field("order.fa_profile", TEXT, before=177),
    Field("order.model", TEXT),
    *SHORT_SALE,
    Field("order.oca_type", INT),
    Field("order.rule_80a", TEXT),
    Field("order.settling_firm", TEXT),
    Field("order.all_or_none", BOOL),
    Field("order.min_quantity", OPTIONAL_INT),
    Field("order.percent_offset", FLOAT),
    Field("order.e_trade_only", BOOL),
    Field("order.firm_quote_only", BOOL),
    Field("order.nbbo_price_cap", FLOAT),
    Field("order.auction_strategy", INT),
    *BOX,
    Field("order.override_constraints", BOOL),
    *VOLATILITY,
    HEDGE_ORDER,
    *UPDATE_AND_TRAIL,
    *SCALE,
    Field("order.scale_table", TEXT),
    Field("order.active_start", TEXT),
    Field("order.active_stop", TEXT),
    *HEDGE,
    Field("order.opt_out_smart", BOOL),
    *CLEARING,
    *NOT_HELD_TO_ALGO,
    Field("order.algo_id", TEXT),
    Field("order.what_if", BOOL),
    Field("order.misc_options", TEXT),
    Field("order.solicited", BOOL),
    *RANDOMIZE,
    BENCHMARK,
    *CONDITIONS,
    Field("order.adjusted_type", TEXT),
    Field("order.trigger_price", FLOAT),
    Field("order.limit_offset", FLOAT),
    Field("order.adjusted_stop_price", FLOAT),
    Field("order.adjusted_stop_limit_price", FLOAT),
    Field("order.adjusted_trailing_amount", FLOAT),
    Field("order.adjustable_trailing_unit", INT),
    Field("order.ext_operator", TEXT),
    Field("order.soft_dollar_name", TEXT),
    Field("order.soft_dollar_value", TEXT),
    Field("order.cash_quantity", FLOAT),
    Field("order.decision_maker", TEXT),
    Field("order.decision_algo", TEXT),
    Field("order.execution_trader", TEXT),
    Field("order.execution_algo", TEXT),
    *HEDGE_PRICE_AND_CONTAINER,
    Field("order.discretionary_up_to_limit", BOOL),
    Field("order.price_management", OPTIONAL_BOOL),
    Field("order.duration", OPTIONAL_INT, since=158),
    Field("order.post_to_ats", OPTIONAL_INT, since=160),
    Field("order.auto_cancel_parent", BOOL, since=162),
    Field("order.advanced_override", TEXT, since=166),
    Field("order.manual_time", TEXT, since=169),
    When("contract.exchange", one_of("IBKRATS"), (Field("order.min_trade_quantity", OPTIONAL_INT),), since=170),
    When(
        "order.type",
        PEG_BEST,
        (
            Field("order.min_compete_size", OPTIONAL_INT),
            Field("order.compete_offset", INFINITE_FLOAT),
            When("order.compete_offset", infinite, _MID_OFFSETS),
        ),
        since=170,
    ),
    When("order.type", PEG_MID, _MID_OFFSETS, since=170),
    *CUSTOMER,
    Field("order.external_user_id", TEXT, since=187, before=190),
    Field("order.manual_indicator", OPTIONAL_INT, since=187, before=190),
    Field("order.include_overnight", BOOL, since=189),
    Field("order.manual_indicator", OPTIONAL_INT, since=192),
    Field("order.imbalance_only", BOOL, since=199),
)
"""Behind the order's number and the contract with its id."""

CONTRACT_SAID: Items = (
    Field("contract.con_id", INT),
    Field("contract.symbol", TEXT),
    Field("contract.type", TEXT),
    Field("contract.expiry", TEXT),
    Field("contract.strike", NUMBER),
    Field("contract.right", TEXT),
    Field("contract.multiplier", TEXT),
    Field("contract.exchange", TEXT),
    Field("contract.currency", TEXT),
    Field("contract.local_symbol", TEXT),
    Field("contract.trading_class", TEXT),
)
"""A contract as orders, executions and positions name it."""
_TERMS: Items = (
    Field("order.action", TEXT),
    Field("order.quantity", QUANTITY),
    Field("order.type", TEXT),
    Field("order.limit_price", FLOAT),
    Field("order.aux_price", FLOAT),
    Field("order.tif", TEXT),
    Field("order.oca_group", TEXT),
    Field("order.account", TEXT),
    Field("order.open_close", TEXT),
    Field("order.origin", INT),
    Field("order.order_ref", TEXT),
)
_TIMES: Items = (
    Field("order.outside_hours", BOOL),
    Field("order.hidden", BOOL),
    Field("order.discretionary_amount", AMOUNT),
    Field("order.good_after", TEXT),
)
_ALLOCATION: Items = (
    Field("order.fa_group", TEXT),
    Field("order.fa_method", TEXT),
    Field("order.fa_percentage", TEXT),
    Field("order.fa_profile", TEXT, before=177),
    Field("order.model", TEXT),
    Field("order.good_till", TEXT),
    Field("order.rule_80a", TEXT),
    Field("order.percent_offset", FLOAT),
    Field("order.settling_firm", TEXT),
    *SHORT_SALE,
)
_COMBINATION: Items = (
    Field("contract.legs_description", TEXT),
    Group("contract.legs", ComboLeg, LEG),
    Values("order.leg_prices", FLOAT),
    Pairs("order.smart_routing"),
)
PREVIEW: Items = (
    Field("state.margin_currency", TEXT, since=195),
    *(Field(f"state.{name}_outside", FLOAT_MAX, since=195) for name in MARGINS),
    Field("state.suggested_size", QUANTITY, since=195),
    Field("state.reject_reason", TEXT, since=195),
    Group(
        "state.allocations",
        Allocation,
        (
            Field("account", TEXT),
            *(Field(name, QUANTITY) for name in ("position", "position_desired", "position_after")),
            *(Field(name, QUANTITY) for name in ("desired", "allowed")),
            Field("is_monetary", BOOL),
        ),
        since=195,
    ),
)
STATE: Items = (
    Field("state.status", TEXT),
    *(Field(f"state.{name}", MONEY) for name in MARGINS),
    Field("state.commission", FLOAT_MAX),
    Field("state.min_commission", FLOAT_MAX),
    Field("state.max_commission", FLOAT_MAX),
    Field("state.commission_currency", TEXT),
    *PREVIEW,
    Field("state.warning", TEXT),
)

OPEN_ORDER: Items = (
    Field("order_id", ID),
    *CONTRACT_SAID,
    *_TERMS,
    Field("client_id", ID),
    Field("perm_id", ID),
    *_TIMES,
    Const(""),  # shares allocation, no longer used
    *_ALLOCATION,
    Field("order.auction_strategy", INT),
    *BOX,
    Field("order.display_size", OPTIONAL_INT_MAX),
    Field("order.block", BOOL),
    Field("order.sweep_to_fill", BOOL),
    Field("order.all_or_none", BOOL),
    Field("order.min_quantity", OPTIONAL_INT),
    Field("order.oca_type", INT),
    Field("order.e_trade_only", BOOL),
    Field("order.firm_quote_only", BOOL),
    Field("order.nbbo_price_cap", FLOAT),
    Field("order.parent_id", INT),
    Field("order.trigger_method", INT),
    *VOLATILITY,
    HEDGE_ORDER,
    *UPDATE_AND_TRAIL,
    Field("order.basis_points", FLOAT),
    Field("order.basis_points_type", OPTIONAL_INT),
    *_COMBINATION,
    *SCALE,
    *HEDGE,
    Field("order.opt_out_smart", BOOL),
    *CLEARING,
    *NOT_HELD_TO_ALGO,
    Field("order.solicited", BOOL),
    Field("order.what_if", BOOL),
    *STATE,
    *RANDOMIZE,
    BENCHMARK,
    *CONDITIONS,
    Field("order.adjusted_type", TEXT),
    Field("order.trigger_price", FLOAT_MAX),
    Field("order.trail_stop_price", FLOAT_MAX),
    Field("order.limit_offset", FLOAT_MAX),
    Field("order.adjusted_stop_price", FLOAT_MAX),
    Field("order.adjusted_stop_limit_price", FLOAT_MAX),
    Field("order.adjusted_trailing_amount", FLOAT_MAX),
    Field("order.adjustable_trailing_unit", INT),
    Field("order.soft_dollar_name", TEXT),
    Field("order.soft_dollar_value", TEXT),
    Field("order.soft_dollar_display", TEXT),
    Field("order.cash_quantity", FLOAT_OR_ZERO),
    *HEDGE_PRICE_AND_CONTAINER,
    Field("order.discretionary_up_to_limit", BOOL),
    Field("order.price_management", OPTIONAL_BOOL),
    Field("order.duration", OPTIONAL_INT_MAX, since=158),
    Field("order.post_to_ats", OPTIONAL_INT_MAX, since=160),
    Field("order.auto_cancel_parent", BOOL, since=162),
    *PEG_OFFSETS_SAID,
    *CUSTOMER,
    Field("order.bond_accrued_interest", TEXT, since=185),
    Field("order.include_overnight", BOOL, since=189),
    Field("order.ext_operator", TEXT, since=193),
    Field("order.manual_indicator", OPTIONAL_INT_MAX, since=193),
    Field("order.submitter", TEXT, since=198),
    Field("order.imbalance_only", BOOL, since=199),
)

COMPLETED_ORDER: Items = (
    *CONTRACT_SAID,
    *_TERMS,
    Field("perm_id", ID),
    *_TIMES,
    *_ALLOCATION,
    *BOX,
    Field("order.display_size", OPTIONAL_INT_MAX),
    Field("order.sweep_to_fill", BOOL),
    Field("order.all_or_none", BOOL),
    Field("order.min_quantity", OPTIONAL_INT),
    Field("order.oca_type", INT),
    Field("order.trigger_method", INT),
    *VOLATILITY,
    When("order.delta_neutral_type", filled, (Field("order.delta_neutral_con_id", INT), *HEDGE_SHORT_SALE)),
    *UPDATE_AND_TRAIL,
    *_COMBINATION,
    *SCALE,
    *HEDGE,
    *CLEARING,
    *NOT_HELD_TO_ALGO,
    Field("order.solicited", BOOL),
    Field("state.status", TEXT),
    *RANDOMIZE,
    BENCHMARK,
    *CONDITIONS,
    Field("order.trail_stop_price", FLOAT_MAX),
    Field("order.limit_offset", FLOAT_MAX),
    Field("order.cash_quantity", FLOAT_OR_ZERO),
    *HEDGE_PRICE_AND_CONTAINER,
    Field("order.auto_cancel_date", TEXT),
    Field("filled", QUANTITY),
    Field("order.reference_futures_con_id", INT),
    Field("order.auto_cancel_parent", BOOL),
    Field("order.shareholder", TEXT),
    Field("order.imbalance_only", BOOL),
    Field("order.route_marketable_to_bbo", BOOL),
    Field("parent_perm_id", ID),
    Field("state.completed_time", TEXT),
    Field("state.completed_status", TEXT),
    *PEG_OFFSETS_SAID,
    *CUSTOMER,
    Field("order.submitter", TEXT, since=198),
)
