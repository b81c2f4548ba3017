"""An order as the wire spells it: every field of placeOrder and openOrder from server version 157 to 226."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold before an order works, or before it is cancelled.

    ``type`` is 1 price, 3 time, 4 margin, 5 execution, 6 volume, 7 percent change; ``value`` is text as it came. Which
    of the other fields are sent depends on the type.
    """

    type: int = 1
    both: bool = True
    """Joined to the next condition by "and", else by "or"."""
    is_more: bool = False
    """The value is a least one, else a most one."""
    value: str = ""
    con_id: int = 0
    exchange: str = ""
    trigger_method: int = 0
    security_type: str = ""
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """Terms of an order. Unset floats are NaN, unset integers None.

    ``aux_price`` is the stop price of a stop, the trailing amount of a trailing order. Times are text as it came. Names
    are those of the public clients, in words; prices and amounts are in the contract's currency.
    """

    action: str = ""
    quantity: float = 0.0
    type: str = ""
    limit_price: float = math.nan
    aux_price: float = math.nan
    tif: str = "DAY"
    oca_group: str = ""
    oca_type: int = 0
    account: str = ""
    open_close: str = ""
    origin: int = 0
    order_ref: str = ""
    transmit: bool = True
    parent_id: int = 0
    outside_hours: bool = False
    good_after: str = ""
    good_till: str = ""
    trail_stop_price: float = math.nan
    trailing_percent: float = math.nan
    """In percent, as 2.0 for 2 %."""
    limit_offset: float = math.nan
    what_if: bool = False
    cash_quantity: float = math.nan
    algo_strategy: str = ""

    block: bool = False
    sweep_to_fill: bool = False
    display_size: int | None = None
    trigger_method: int = 0
    hidden: bool = False
    all_or_none: bool = False
    min_quantity: int | None = None
    percent_offset: float = math.nan
    discretionary_amount: float = 0.0
    override_constraints: bool = False
    rule_80a: str = ""
    auction_strategy: int = 0
    starting_price: float = math.nan
    stock_reference_price: float = math.nan
    delta: float = math.nan
    stock_range_lower: float = math.nan
    stock_range_upper: float = math.nan
    e_trade_only: bool = False
    """TWS refuses an order that has it (10268); the client of 2020 sets it unless it is told not to."""
    firm_quote_only: bool = False
    """The same."""
    nbbo_price_cap: float = math.nan

    fa_group: str = ""
    fa_method: str = ""
    fa_percentage: str = ""
    fa_profile: str = ""
    """Below server version 177."""
    model: str = ""
    short_sale_slot: int = 0
    designated_location: str = ""
    exempt_code: int = -1
    settling_firm: str = ""
    clearing_account: str = ""
    clearing_intent: str = ""

    volatility: float = math.nan
    volatility_type: int | None = None
    """1 daily, 2 annual."""
    delta_neutral_type: str = ""
    """Type of the hedging order. The fields ``delta_neutral_*`` are sent only where it is not empty."""
    delta_neutral_aux_price: float = math.nan
    delta_neutral_con_id: int = 0
    delta_neutral_settling_firm: str = ""
    delta_neutral_clearing_account: str = ""
    delta_neutral_clearing_intent: str = ""
    delta_neutral_open_close: str = ""
    delta_neutral_short_sale: bool = False
    delta_neutral_short_sale_slot: int = 0
    delta_neutral_designated_location: str = ""
    continuous_update: bool = False
    reference_price_type: int | None = None

    basis_points: float = math.nan
    """With its type only in what the server says."""
    basis_points_type: int | None = None
    leg_prices: tuple[float, ...] = ()
    """Prices of a combination's legs."""
    smart_routing: tuple[tuple[str, str], ...] = ()
    """Names and values."""

    scale_init_level_size: int | None = None
    scale_subs_level_size: int | None = None
    scale_price_increment: float = math.nan
    """The seven fields that follow are sent only where it is above 0."""
    scale_price_adjust_value: float = math.nan
    scale_price_adjust_interval: int | None = None
    scale_profit_offset: float = math.nan
    scale_auto_reset: bool = False
    scale_init_position: int | None = None
    scale_init_fill_quantity: int | None = None
    scale_random_percent: bool = False
    scale_table: str = ""
    active_start: str = ""
    active_stop: str = ""

    hedge_type: str = ""
    """D delta, B beta, F currency, P pair."""
    hedge_param: str = ""
    opt_out_smart: bool = False
    not_held: bool = False
    algo_params: tuple[tuple[str, str], ...] = ()
    """Names and values."""
    algo_id: str = ""
    misc_options: str = ""
    """``name=value;`` pairs."""
    solicited: bool = False
    randomize_size: bool = False
    randomize_price: bool = False

    reference_con_id: int = 0
    """This and the next four only where the type is PEG BENCH."""
    pegged_decrease: bool = False
    pegged_change: float = 0.0
    reference_change: float = 0.0
    reference_exchange: str = ""

    conditions: tuple[Condition, ...] = ()
    conditions_ignore_hours: bool = False
    conditions_cancel: bool = False
    """The conditions cancel the order, else they submit it."""

    adjusted_type: str = ""
    trigger_price: float = math.nan
    adjusted_stop_price: float = math.nan
    adjusted_stop_limit_price: float = math.nan
    adjusted_trailing_amount: float = math.nan
    adjustable_trailing_unit: int = 0

    ext_operator: str = ""
    soft_dollar_name: str = ""
    soft_dollar_value: str = ""
    soft_dollar_display: str = ""
    """Only in what the server says."""
    decision_maker: str = ""
    decision_algo: str = ""
    execution_trader: str = ""
    execution_algo: str = ""
    no_auto_price_for_hedge: bool = False
    oms_container: bool = False
    discretionary_up_to_limit: bool = False
    price_management: bool | None = None

    duration: int | None = None
    post_to_ats: int | None = None
    auto_cancel_parent: bool = False
    advanced_override: str = ""
    manual_time: str = ""
    min_trade_quantity: int | None = None
    min_compete_size: int | None = None
    compete_offset: float = math.nan
    """Infinite: up to the middle."""
    mid_offset_whole: float = math.nan
    mid_offset_half: float = math.nan
    customer_account: str = ""
    professional: bool = False
    external_user_id: str = ""
    """Server versions 187 to 189."""
    include_overnight: bool = False
    manual_indicator: int | None = None
    imbalance_only: bool = False

    deactivate: bool = False
    """This and the next ones up to ``profit_taker_type`` only in protobuf, from server versions 216 to 226."""
    post_only: bool = False
    allow_pre_open: bool = False
    ignore_open_auction: bool = False
    seek_price_improvement: bool | None = None
    what_if_type: int | None = None
    hedge_max_size: int | None = None
    conditions_overnight: bool = False
    stop_loss_id: int | None = None
    stop_loss_type: str = ""
    """With a preset stop loss attached; so the profit taker."""
    profit_taker_id: int | None = None
    profit_taker_type: str = ""

    bond_accrued_interest: str = ""
    """This and what follows only in what the server says."""
    submitter: str = ""
    auto_cancel_date: str = ""
    reference_futures_con_id: int = 0
    shareholder: str = ""
    route_marketable_to_bbo: bool = False
