"""What unmodified clients send is read as what was meant, at server versions from 157 to 200."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest

from gateway.protocol import requests as ask
from gateway.protocol.codec import decode_request, encode_reply, encode_request
from gateway.protocol.contract import ComboLeg, Contract, DeltaNeutral
from gateway.protocol.order import Condition, Order
from gateway.protocol.replies import CompletedOrder, OpenOrder, OrderState
from gateway.protocol.wire import FrameReader

Probe = Callable[[str, int, list[Any], list[bytes]], dict[str, Any]]
Call = tuple[ask.Request, str, list[Any]]

CASES = [
    ("v981", 157),
    *(("v1019", version) for version in (157, 163, 166, 170, 176)),
    *(("v1030", version) for version in (177, 184, 187)),
    *(("v1037", version) for version in (176, 189, 191, 200)),
    *(("v1050", version) for version in (157, 158, 160, 162, 166, 169, 170, 176, 177, 183, 187, 190, 192, 198, 199, 200)),
    *(("vasync", version) for version in (157, 163, 164, 170, 176, 178)),
]  # fmt: skip
OLD = {"v981", "v1019", "vasync"}
"""Clients whose order still has a profile of an adviser."""
EVERYBODY = {"v981", "v1019", "v1030", "v1037", "v1050", "vasync"}
IBAPI = EVERYBODY - {"vasync"}

SIMPLE: list[tuple[str, str, int, set[str]]] = [
    (client, ours, 157, EVERYBODY)
    for client, ours in {
        "action": "action", "totalQuantity": "quantity", "lmtPrice": "limit_price", "auxPrice": "aux_price",
        "tif": "tif", "ocaGroup": "oca_group", "ocaType": "oca_type", "account": "account",
        "openClose": "open_close", "origin": "origin", "orderRef": "order_ref", "transmit": "transmit",
        "parentId": "parent_id", "blockOrder": "block", "sweepToFill": "sweep_to_fill",
        "displaySize": "display_size", "triggerMethod": "trigger_method", "outsideRth": "outside_hours",
        "hidden": "hidden", "discretionaryAmt": "discretionary_amount", "goodAfterTime": "good_after",
        "goodTillDate": "good_till", "faGroup": "fa_group", "faMethod": "fa_method",
        "faPercentage": "fa_percentage", "modelCode": "model", "shortSaleSlot": "short_sale_slot",
        "designatedLocation": "designated_location", "exemptCode": "exempt_code", "rule80A": "rule_80a",
        "settlingFirm": "settling_firm", "allOrNone": "all_or_none", "minQty": "min_quantity",
        "percentOffset": "percent_offset", "auctionStrategy": "auction_strategy",
        "startingPrice": "starting_price", "stockRefPrice": "stock_reference_price", "delta": "delta",
        "stockRangeLower": "stock_range_lower", "stockRangeUpper": "stock_range_upper",
        "overridePercentageConstraints": "override_constraints", "volatilityType": "volatility_type",
        "deltaNeutralAuxPrice": "delta_neutral_aux_price", "continuousUpdate": "continuous_update",
        "referencePriceType": "reference_price_type", "trailStopPrice": "trail_stop_price",
        "trailingPercent": "trailing_percent", "scaleInitLevelSize": "scale_init_level_size",
        "scaleSubsLevelSize": "scale_subs_level_size", "scaleTable": "scale_table",
        "activeStartTime": "active_start", "activeStopTime": "active_stop", "optOutSmartRouting": "opt_out_smart",
        "clearingAccount": "clearing_account", "clearingIntent": "clearing_intent", "notHeld": "not_held",
        "algoId": "algo_id", "whatIf": "what_if", "solicited": "solicited", "randomizeSize": "randomize_size",
        "randomizePrice": "randomize_price", "adjustedOrderType": "adjusted_type",
        "triggerPrice": "trigger_price", "lmtPriceOffset": "limit_offset",
        "adjustedStopPrice": "adjusted_stop_price", "adjustedStopLimitPrice": "adjusted_stop_limit_price",
        "adjustedTrailingAmount": "adjusted_trailing_amount",
        "adjustableTrailingUnit": "adjustable_trailing_unit", "extOperator": "ext_operator",
        "cashQty": "cash_quantity", "mifid2DecisionMaker": "decision_maker",
        "mifid2DecisionAlgo": "decision_algo", "mifid2ExecutionTrader": "execution_trader",
        "mifid2ExecutionAlgo": "execution_algo", "dontUseAutoPriceForHedge": "no_auto_price_for_hedge",
        "isOmsContainer": "oms_container", "discretionaryUpToLimitPrice": "discretionary_up_to_limit",
        "usePriceMgmtAlgo": "price_management",
    }.items()
]  # fmt: skip
SIMPLE += [
    ("faProfile", "fa_profile", 157, OLD),
    ("eTradeOnly", "e_trade_only", 157, {"v981", "vasync"}),
    ("firmQuoteOnly", "firm_quote_only", 157, {"v981", "vasync"}),
    ("nbboPriceCap", "nbbo_price_cap", 157, {"v981", "vasync"}),
    ("duration", "duration", 158, EVERYBODY),
    ("postToAts", "post_to_ats", 160, EVERYBODY),
    ("autoCancelParent", "auto_cancel_parent", 162, EVERYBODY),
    ("advancedErrorOverride", "advanced_override", 166, EVERYBODY),
    ("manualOrderTime", "manual_time", 169, EVERYBODY),
    ("customerAccount", "customer_account", 183, EVERYBODY),
    ("professionalCustomer", "professional", 184, EVERYBODY),
    ("externalUserId", "external_user_id", 187, {"v1030"}),
    ("manualOrderIndicator", "manual_indicator", 187, {"v1030"}),
    ("includeOvernight", "include_overnight", 189, EVERYBODY),
    ("manualOrderIndicator", "manual_indicator", 192, {"v1037", "v1050"}),
    ("imbalanceOnly", "imbalance_only", 199, EVERYBODY),
]
BRANCHES: list[tuple[dict[str, Any], dict[str, Any], int]] = [
    ({"orderType": "LMT"}, {"type": "LMT"}, 157),
    (
        {"orderType": "VOL", "volatility": 0.2, "deltaNeutralOrderType": "MKT", "deltaNeutralConId": 8,
         "deltaNeutralSettlingFirm": "F", "deltaNeutralClearingAccount": "A", "deltaNeutralClearingIntent": "IB",
         "deltaNeutralOpenClose": "O", "deltaNeutralShortSale": True, "deltaNeutralShortSaleSlot": 2,
         "deltaNeutralDesignatedLocation": "L"},
        {"type": "VOL", "volatility": 0.2, "delta_neutral_type": "MKT", "delta_neutral_con_id": 8,
         "delta_neutral_settling_firm": "F", "delta_neutral_clearing_account": "A",
         "delta_neutral_clearing_intent": "IB", "delta_neutral_open_close": "O", "delta_neutral_short_sale": True,
         "delta_neutral_short_sale_slot": 2, "delta_neutral_designated_location": "L"},
        157,
    ),
    (
        {"orderType": "REL", "scalePriceIncrement": 0.05, "scalePriceAdjustValue": 0.01,
         "scalePriceAdjustInterval": 60, "scaleProfitOffset": 0.5, "scaleAutoReset": True, "scaleInitPosition": 3,
         "scaleInitFillQty": 4, "scaleRandomPercent": True},
        {"type": "REL", "scale_price_increment": 0.05, "scale_price_adjust_value": 0.01,
         "scale_price_adjust_interval": 60, "scale_profit_offset": 0.5, "scale_auto_reset": True,
         "scale_init_position": 3, "scale_init_fill_quantity": 4, "scale_random_percent": True},
        157,
    ),
    ({"orderType": "MKT", "hedgeType": "B", "hedgeParam": "beta=1"},
     {"type": "MKT", "hedge_type": "B", "hedge_param": "beta=1"}, 157),
    ({"orderType": "MKT", "algoStrategy": "Twap", "algoParams": [["strategyType", "Marketable"], ["allowPastEndTime", "1"]]},
     {"type": "MKT", "algo_strategy": "Twap",
      "algo_params": (("strategyType", "Marketable"), ("allowPastEndTime", "1"))}, 157),
    ({"orderType": "MKT", "algoStrategy": "Adaptive"}, {"type": "MKT", "algo_strategy": "Adaptive"}, 157),
    (
        {"orderType": "PEG BENCH", "referenceContractId": 9, "isPeggedChangeAmountDecrease": True,
         "peggedChangeAmount": 0.1, "referenceChangeAmount": 0.2, "referenceExchangeId": "ISLAND"},
        {"type": "PEG BENCH", "reference_con_id": 9, "pegged_decrease": True, "pegged_change": 0.1,
         "reference_change": 0.2, "reference_exchange": "ISLAND"},
        157,
    ),
    ({"orderType": "PEG MID", "midOffsetAtWhole": 0.01, "midOffsetAtHalf": 0.005},
     {"type": "PEG MID", "mid_offset_whole": 0.01, "mid_offset_half": 0.005}, 170),
    ({"orderType": "PEG BEST", "minCompeteSize": 100, "competeAgainstBestOffset": 0.02},
     {"type": "PEG BEST", "min_compete_size": 100, "compete_offset": 0.02}, 170),
    ({"orderType": "PEG BEST", "minCompeteSize": 100, "competeAgainstBestOffset": math.inf, "midOffsetAtWhole": 0.01,
      "midOffsetAtHalf": 0.005},
     {"type": "PEG BEST", "min_compete_size": 100, "compete_offset": math.inf, "mid_offset_whole": 0.01,
      "mid_offset_half": 0.005}, 170),
    ({"orderType": "LMT", "softDollarTier": ["n", "v", ""]},
     {"type": "LMT", "soft_dollar_name": "n", "soft_dollar_value": "v"}, 157),
    ({"orderType": "LMT", "orderMiscOptions": [["a", "b"]]}, {"type": "LMT", "misc_options": "a=b;"}, 157),
]  # fmt: skip
STOCK = Contract(con_id=265598, symbol="AAPL", type="STK", exchange="SMART", primary_exchange="NASDAQ", currency="USD",
                 local_symbol="AAPL", trading_class="NMS", id_type="ISIN", id="US0378331005")  # fmt: skip
STOCK_OF_CLIENT = {"conId": 265598, "symbol": "AAPL", "secType": "STK", "exchange": "SMART",
                   "primaryExchange": "NASDAQ", "currency": "USD", "localSymbol": "AAPL", "tradingClass": "NMS",
                   "secIdType": "ISIN", "secId": "US0378331005", "strike": 0.0}  # fmt: skip
OPTION = Contract(symbol="SPX", type="OPT", expiry="20261218", strike=5012.5, right="C", multiplier="100",
                  exchange="CBOE", currency="USD", include_expired=True)  # fmt: skip
OPTION_OF_CLIENT = {"symbol": "SPX", "secType": "OPT", "lastTradeDateOrContractMonth": "20261218", "strike": 5012.5,
                    "right": "C", "multiplier": "100", "exchange": "CBOE", "currency": "USD",
                    "includeExpired": True}  # fmt: skip
BAG = Contract(symbol="A,B", type="BAG", exchange="SMART", currency="USD",
               legs=(ComboLeg(1, 2, "BUY", "SMART", 1, 2, "X", 3), ComboLeg(4, 1, "SELL", "ISLAND")),
               delta_neutral=DeltaNeutral(5, 0.5, 12.25))  # fmt: skip
BAG_OF_CLIENT = {"symbol": "A,B", "secType": "BAG", "exchange": "SMART", "currency": "USD", "strike": 0.0,
                 "deltaNeutralContract": {"conId": 5, "delta": 0.5, "price": 12.25},
                 "comboLegs": [{"conId": 1, "ratio": 2, "action": "BUY", "exchange": "SMART", "openClose": 1,
                                "shortSaleSlot": 2, "designatedLocation": "X", "exemptCode": 3},
                               {"conId": 4, "ratio": 1, "action": "SELL", "exchange": "ISLAND"}]}  # fmt: skip


def short_legs(contract: Contract) -> Contract:
    """A combination as requests for data name it: no more than four fields a leg."""
    legs = tuple(ComboLeg(leg.con_id, leg.ratio, leg.action, leg.exchange) for leg in contract.legs)
    return dataclasses.replace(contract, legs=legs)


def distinct(ours: str, number: int) -> Any:
    """A value of the field's type that no other field has."""
    kind = {f.name: f.type for f in dataclasses.fields(Order)}[ours]
    default = {f.name: f.default for f in dataclasses.fields(Order)}[ours]
    if kind in {"bool", "bool | None"}:
        return not default
    if kind == "float":
        return number + 0.25
    return number if kind in {"int", "int | None"} else f"t{number}"


def simple_terms(client: str, version: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """All terms that an order may have at a server version, with values that tell them apart."""
    theirs, ours = {}, {}
    for number, (attribute, name, since, clients) in enumerate(SIMPLE, 100):
        if (
            version >= since
            and client in clients
            and not (attribute == "manualOrderIndicator" and 190 <= version < 192)
        ):
            theirs[attribute] = ours[name] = distinct(name, number)
    return theirs, ours


def placed_orders(client: str, version: int) -> list[Call]:
    theirs, ours = simple_terms(client, version)
    calls: list[Call] = []
    for number, (their_branch, our_branch, since) in enumerate(BRANCHES, 1):
        if version < since:
            continue
        order = Order(**{**ours, **our_branch})
        calls.append(
            (ask.PlaceOrder(number, STOCK, order), "placeOrder",
             [number, {"Contract": STOCK_OF_CLIENT}, {"Order": {**theirs, **their_branch}}])
        )  # fmt: skip
    ats, ats_of_client = dataclasses.replace(STOCK, exchange="IBKRATS"), {**STOCK_OF_CLIENT, "exchange": "IBKRATS"}
    if version >= 170:
        calls.append(
            (ask.PlaceOrder(20, ats, Order(**{**ours, "type": "LMT", "min_trade_quantity": 5})), "placeOrder",
             [20, {"Contract": ats_of_client}, {"Order": {**theirs, "orderType": "LMT", "minTradeQty": 5}}])
        )  # fmt: skip
    calls.append(
        (ask.PlaceOrder(21, BAG, Order(**{**ours, "type": "LMT", "leg_prices": (1.5, math.nan),
                                          "smart_routing": (("NonGuaranteed", "1"),)})), "placeOrder",
         [21, {"Contract": BAG_OF_CLIENT},
          {"Order": {**theirs, "orderType": "LMT", "orderComboLegs": [1.5, 1.7976931348623157e308],
                     "smartComboRoutingParams": [["NonGuaranteed", "1"]]}}])
    )  # fmt: skip
    bare = Order(action="SELL", quantity=7.0, type="MKT", display_size=0, tif="")
    if client == "v981":
        bare = dataclasses.replace(bare, e_trade_only=True, firm_quote_only=True)
    if client == "vasync":
        bare = dataclasses.replace(bare, open_close="O", price_management=False)
    calls.append(
        (ask.PlaceOrder(22, STOCK, bare), "placeOrder",
         [22, {"Contract": STOCK_OF_CLIENT}, {"Order": {"action": "SELL", "totalQuantity": 7, "orderType": "MKT"}}])
    )  # fmt: skip
    calls.append(conditional(client, ours, theirs))
    return calls


def conditional(client: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Call:
    """An order with a condition of every kind."""
    conditions = (
        Condition(1, True, True, "309.16", 265598, "SMART", 2),
        Condition(3, False, False, "20261122 10:00:00 US/Eastern"),
        Condition(4, True, True, "30"),
        Condition(5, False, security_type="STK", exchange="SMART", symbol="MSFT"),
        Condition(6, True, False, "1000", 8314, "NYSE"),
        Condition(7, True, True, "1.5", 8314, "NYSE"),
    )
    of_client: list[dict[str, Any]] = [
        {"type": 1, "both": True, "isMore": True, "price": 309.16, "conId": 265598, "exchange": "SMART",
         "triggerMethod": 2},
        {"type": 3, "both": False, "isMore": False, "time": "20261122 10:00:00 US/Eastern"},
        {"type": 4, "both": True, "isMore": True, "percent": 30},
        {"type": 5, "both": False, "secType": "STK", "exchange": "SMART", "symbol": "MSFT"},
        {"type": 6, "both": True, "isMore": False, "volume": 1000, "conId": 8314, "exchange": "NYSE"},
        {"type": 7, "both": True, "isMore": True, "changePercent": 1.5, "conId": 8314, "exchange": "NYSE"},
    ]  # fmt: skip
    for one in of_client:
        both = one.pop("both")
        if client == "vasync":
            one |= {"conjunction": "a" if both else "o"} | ({"exch": one.pop("exchange")} if "exchange" in one else {})
        else:
            one["isConjunctionConnection"] = both
    order = Order(**{**ours, "type": "LMT", "conditions": conditions, "conditions_cancel": True,
                     "conditions_ignore_hours": False})  # fmt: skip
    terms = {**theirs, "orderType": "LMT", "conditions": of_client, "conditionsCancelOrder": True}
    return ask.PlaceOrder(23, STOCK, order), "placeOrder", [23, {"Contract": STOCK_OF_CLIENT}, {"Order": terms}]


def requests_for_data(client: str, version: int) -> list[Call]:
    scan = {"numberOfRows": 10, "instrument": "STK", "locationCode": "STK.US.MAJOR", "scanCode": "TOP_PERC_GAIN",
            "abovePrice": 1.5, "belowPrice": 20.0, "aboveVolume": 100000, "marketCapAbove": 1e6, "marketCapBelow": 1e9,
            "moodyRatingAbove": "A", "moodyRatingBelow": "B", "spRatingAbove": "C", "spRatingBelow": "D",
            "maturityDateAbove": "E", "maturityDateBelow": "F", "couponRateAbove": 2.5, "couponRateBelow": 3.5,
            "excludeConvertible": True, "averageOptionVolumeAbove": 7, "scannerSettingPairs": "Annual,true",
            "stockTypeFilter": "ALL"}  # fmt: skip
    contract = dataclasses.replace(STOCK, id_type="", id="")
    wide = dataclasses.replace(OPTION, include_expired=False)
    calls: list[Call] = [
        (ask.ScannerSubscription(
            1, 10, "STK", "STK.US.MAJOR", "TOP_PERC_GAIN", 1.5, 20.0, 100_000, 1e6, 1e9, "A", "B", "C", "D", "E", "F",
            2.5, 3.5, True, 7, "Annual,true", "ALL", "priceAbove=1;volumeAbove=2;", "x=y;"),
         "reqScannerSubscription",
         [1, {"ScannerSubscription": scan}, [["x", "y"]], [["priceAbove", "1"], ["volumeAbove", "2"]]]),
        (ask.ScannerSubscription(2, None, "STK", "STK.US", "MOST_ACTIVE"), "reqScannerSubscription",
         [2, {"ScannerSubscription": {"instrument": "STK", "locationCode": "STK.US", "scanCode": "MOST_ACTIVE",
                                      **({} if client != "vasync" else {"numberOfRows": 2147483647})}}, [], []]),
        (ask.CancelScanner(1), "cancelScannerSubscription", [1]),
        (ask.ScannerParameters(), "reqScannerParameters", []),
        (ask.MarketData(3, contract, "233,165", True, False, ""), "reqMktData",
         [3, {"Contract": STOCK_OF_CLIENT}, "233,165", True, False, []]),
        (ask.MarketData(4, short_legs(BAG), "", False, True, ""), "reqMktData",
         [4, {"Contract": BAG_OF_CLIENT}, "", False, True, []]),
        (ask.CancelMarketData(3), "cancelMktData", [3]),
        (ask.SetMarketDataType(3), "reqMarketDataType", [3]),
        (ask.TickByTick(5, wide, "AllLast", 9, True), "reqTickByTickData",
         [5, {"Contract": OPTION_OF_CLIENT}, "AllLast", 9, True]),
        (ask.CancelTickByTick(5), "cancelTickByTickData", [5]),
        (ask.HistoricalBars(6, OPTION, "20261120 16:00:00 US/Eastern", "1 min", "1 D", True, "TRADES", 2, False, ""),
         "reqHistoricalData", [6, {"Contract": OPTION_OF_CLIENT}, "20261120 16:00:00 US/Eastern", "1 D", "1 min",
                               "TRADES", 1, 2, False, []]),
        (ask.HistoricalBars(7, dataclasses.replace(short_legs(BAG), delta_neutral=None), "", "5 secs", "60 S", False,
                            "MIDPOINT", 1, True, "a=b;"),
         "reqHistoricalData",
         [7, {"Contract": BAG_OF_CLIENT}, "", "60 S", "5 secs", "MIDPOINT", 0, 1, True, [["a", "b"]]]),
        (ask.CancelHistoricalBars(6), "cancelHistoricalData", [6]),
        (ask.HeadTimestamp(8, OPTION, True, "TRADES", 1), "reqHeadTimeStamp",
         [8, {"Contract": OPTION_OF_CLIENT}, "TRADES", 1, 1]),
        (ask.CancelHeadTimestamp(8), "cancelHeadTimeStamp", [8]),
        (ask.RealTimeBars(9, contract, 5, "TRADES", True, ""), "reqRealTimeBars",
         [9, {"Contract": STOCK_OF_CLIENT}, 5, "TRADES", True, []]),
        (ask.CancelRealTimeBars(9), "cancelRealTimeBars", [9]),
        (ask.ContractDetails(10, dataclasses.replace(STOCK, issuer_id="e123" if version >= 176 else "")),
         "reqContractDetails",
         [10, {"Contract": {**STOCK_OF_CLIENT, **({"issuerId": "e123"} if version >= 176 else {})}}]),
        (ask.MatchingSymbols(11, "AAP"), "reqMatchingSymbols", [11, "AAP"]),
    ]  # fmt: skip
    return calls


def requests_of_accounts(client: str, version: int) -> list[Call]:
    theirs = {"clientId": 3, "acctCode": "DU1", "time": "20261122-10:00:00", "symbol": "AAPL", "secType": "STK",
              "exchange": "SMART", "side": "BUY"}  # fmt: skip
    ours = ask.ExecutionFilter(3, "DU1", "20261122-10:00:00", "AAPL", "STK", "SMART", "BUY")
    if version >= 200:
        theirs |= {"lastNDays": 2, "specificDates": [20261119, 20261120]}
        ours = dataclasses.replace(ours, last_days=2, dates=(20261119, 20261120))
    calls: list[Call] = [
        (ask.StartApi(7, ""), "startApi", []),
        (ask.NextId(1), "reqIds", [1]),
        (ask.CurrentTime(), "reqCurrentTime", []),
        (ask.ManagedAccounts(), "reqManagedAccts", []),
        (ask.SetLogLevel(5), "setServerLogLevel", [5]),
        (ask.AccountUpdates(True, "DU1"), "reqAccountUpdates", [True, "DU1"]),
        (ask.AccountUpdatesMulti(1, "DU1", "m", True), "reqAccountUpdatesMulti", [1, "DU1", "m", True]),
        (ask.CancelAccountUpdatesMulti(1), "cancelAccountUpdatesMulti", [1]),
        (ask.Positions(), "reqPositions", []),
        (ask.CancelPositions(), "cancelPositions", []),
        (ask.PositionsMulti(2, "DU1", "m"), "reqPositionsMulti", [2, "DU1", "m"]),
        (ask.CancelPositionsMulti(2), "cancelPositionsMulti", [2]),
        (ask.AccountSummary(3, "All", "NetLiquidation,BuyingPower"), "reqAccountSummary",
         [3, "All", "NetLiquidation,BuyingPower"]),
        (ask.CancelAccountSummary(3), "cancelAccountSummary", [3]),
        (ask.Pnl(4, "DU1", "m"), "reqPnL", [4, "DU1", "m"]),
        (ask.CancelPnl(4), "cancelPnL", [4]),
        (ask.PnlSingle(5, "DU1", "m", 265598), "reqPnLSingle", [5, "DU1", "m", 265598]),
        (ask.CancelPnlSingle(5), "cancelPnLSingle", [5]),
        (ask.OpenOrders(), "reqOpenOrders", []),
        (ask.AllOpenOrders(), "reqAllOpenOrders", []),
        (ask.AutoOpenOrders(True), "reqAutoOpenOrders", [True]),
        (ask.CompletedOrders(True), "reqCompletedOrders", [True]),
        (ask.Executions(6, ours), "reqExecutions", [6, {"ExecutionFilter": theirs}]),
        (ask.Executions(7), "reqExecutions", [7, {"ExecutionFilter": {}}]),
        (ask.NewsBulletins(True), "reqNewsBulletins", [True]),
        (ask.CancelNewsBulletins(), "cancelNewsBulletins", []),
    ]  # fmt: skip
    if version >= 197 and client != "vasync":
        calls.append((ask.CurrentTimeMillis(), "reqCurrentTimeInMillis", []))
    return [*calls, *cancels(client, version)]


def cancels(client: str, version: int) -> list[Call]:
    time = "20261122-10:00:00" if version >= 169 else ""
    if client == "v981":
        return [(ask.CancelOrder(1), "cancelOrder", [1]), (ask.GlobalCancel(), "reqGlobalCancel", [])]
    if client in {"v1019", "vasync"}:
        return [(ask.CancelOrder(1, time), "cancelOrder", [1, time]), (ask.GlobalCancel(), "reqGlobalCancel", [])]
    theirs: dict[str, Any] = {"manualOrderCancelTime": time}
    ours = ask.CancelOrder(1, time)
    everything = ask.GlobalCancel()
    if client == "v1030" and version >= 187:
        theirs |= {"extOperator": "o", "externalUserId": "u", "manualOrderIndicator": 1}
        ours = dataclasses.replace(ours, ext_operator="o", external_user_id="u", manual_indicator=1)
    if version >= 192:
        theirs |= {"extOperator": "o", "manualOrderIndicator": 1}
        ours = dataclasses.replace(ours, ext_operator="o", manual_indicator=1)
        everything = ask.GlobalCancel("o", 1)
    cancel = {"OrderCancel": theirs}
    return [
        (ours, "cancelOrder", [1, cancel]),
        (everything, "reqGlobalCancel", [] if client == "v1030" else [cancel]),
    ]


def by_name_only(client: str) -> list[Call]:
    option = {"Contract": OPTION_OF_CLIENT}
    calls: list[Call] = [
        (ask.Unsupported(11, "cancel market depth", 1), "cancelMktDepth", [1, False]),
        (ask.Unsupported(10, "market depth", 1), "reqMktDepth", [1, option, 5, False, []]),
        (ask.Unsupported(18, "financial advisor configuration", -1), "requestFA", [1]),
        (ask.Unsupported(19, "replace financial advisor configuration", 2), "replaceFA", [2, 1, "<x/>"]),
        (ask.Unsupported(54, "implied volatility", 3), "calculateImpliedVolatility", [3, option, 1.0, 2.0, []]),
        (ask.Unsupported(57, "cancel option price", 3), "cancelCalculateOptionPrice", [3]),
        (ask.Unsupported(78, "option chain parameters", 4), "reqSecDefOptParams", [4, "SPX", "", "IND", 416904]),
        (ask.Unsupported(79, "soft dollar tiers", 5), "reqSoftDollarTiers", [5]),
        (ask.Unsupported(80, "family codes", -1), "reqFamilyCodes", []),
        (ask.Unsupported(82, "market depth exchanges", -1), "reqMktDepthExchanges", []),
        (ask.Unsupported(83, "smart components", 6), "reqSmartComponents", [6, "a6"]),
        (ask.Unsupported(84, "news article", 7), "reqNewsArticle", [7, "BRFG", "x", []]),
        (ask.Unsupported(85, "news providers", -1), "reqNewsProviders", []),
        (ask.Unsupported(88, "histogram", 8), "reqHistogramData", [8, option, True, "3 days"]),
        (ask.Unsupported(89, "cancel histogram", 8), "cancelHistogramData", [8]),
        (ask.Unsupported(91, "market rule", -1), "reqMarketRule", [26]),
        (ask.Unsupported(96, "historical ticks", 9), "reqHistoricalTicks",
         [9, option, "", "20261120 16:00:00", 100, "TRADES", 1, True, []]),
        (ask.Unsupported(67, "display groups", 10), "queryDisplayGroups", [10]),
        (ask.Unsupported(70, "cancel display group events", 10), "unsubscribeFromGroupEvents", [10]),
    ]  # fmt: skip
    return calls if client in IBAPI else []


@pytest.mark.parametrize(("client", "version"), CASES)
def test_what_a_client_sends_is_what_was_asked(client: str, version: int, probe: Probe) -> None:
    calls = [
        *requests_of_accounts(client, version),
        *requests_for_data(client, version),
        *placed_orders(client, version),
        *by_name_only(client),
    ]
    seen = probe(client, version, [[method, args] for _, method, args in calls], [])

    payloads = FrameReader().feed(b"".join(bytes.fromhex(each) for each in seen["sent"]))

    assert seen["refused"] == []
    assert len(payloads) == len(calls)
    for payload, (meant, method, _) in zip(payloads, calls, strict=True):
        at_version = decode_request(encode_request(meant, version)[4:], version)
        assert repr(decode_request(payload, version)) == repr(at_version), method


@pytest.mark.parametrize(("client", "version"), [("v981", 157), ("v1050", 176), ("v1050", 200)])
def test_terms_that_a_version_has_reach_the_order(client: str, version: int, probe: Probe) -> None:
    calls = placed_orders(client, version)
    seen = probe(client, version, [[method, args] for _, method, args in calls], [])
    _, ours = simple_terms(client, version)

    first = decode_request(bytes.fromhex(seen["sent"][0])[4:], version)

    assert isinstance(first, ask.PlaceOrder)
    assert {name: getattr(first.order, name) for name in ours} == ours
    assert {len(bytes.fromhex(each)[4:].split(b"\0")) - 2 for each in seen["sent"][:1]} == {
        {157: 109, 176: 114, 200: 118}[version]
    }


NEVER_SAID = {
    "transmit", "overridePercentageConstraints", "scaleTable", "activeStartTime", "activeStopTime", "algoId",
    "orderMiscOptions", "mifid2DecisionMaker", "mifid2DecisionAlgo", "mifid2ExecutionTrader", "mifid2ExecutionAlgo",
    "advancedErrorOverride", "manualOrderTime", "externalUserId",
}  # fmt: skip
SAID_SINCE = {"extOperator": 193, "manualOrderIndicator": 193}
NEVER_COMPLETED = NEVER_SAID | {
    "extOperator", "manualOrderIndicator", "parentId", "blockOrder", "auctionStrategy", "eTradeOnly",
    "firmQuoteOnly", "nbboPriceCap", "optOutSmartRouting", "whatIf", "triggerPrice", "adjustedOrderType",
    "adjustedStopPrice", "adjustedStopLimitPrice", "adjustedTrailingAmount", "adjustableTrailingUnit",
    "softDollarTier", "discretionaryUpToLimitPrice", "usePriceMgmtAlgo", "duration", "postToAts",
    "includeOvernight", "deltaNeutralSettlingFirm", "deltaNeutralClearingAccount", "deltaNeutralClearingIntent",
    "deltaNeutralOpenClose",
}  # fmt: skip


def repeated(terms: dict[str, Any], version: int, never: set[str]) -> dict[str, Any]:
    """Terms of a client's order as it should find them in what the server says."""
    said = {k: v for k, v in terms.items() if k not in never and version >= SAID_SINCE.get(k, 157)}
    if version >= 177:
        said.pop("faProfile", None)
    if "conditions" in said:
        said["conditions"] = [{k: v for k, v in one.items() if k != "type"} for one in said["conditions"]]
    if "softDollarTier" in said:
        said["softDollarTier"] = dict(zip(("name", "val", "displayName"), said["softDollarTier"], strict=True))
    for pairs in ("algoParams", "smartComboRoutingParams"):
        if pairs in said:
            said[pairs] = [{"tag": tag, "value": value} for tag, value in said[pairs]]
    if "orderComboLegs" in said:
        said["orderComboLegs"] = [{"price": price} for price in said["orderComboLegs"]]
    return said


def differences(meant: Any, heard: Any, where: str = "") -> list[str]:
    """Where what a client heard is not what was meant, of what is named."""
    if isinstance(meant, dict):
        return [d for key, value in meant.items() for d in differences(value, heard[key], f"{where}.{key}")]
    if isinstance(meant, list):
        if len(meant) != len(heard):
            return [f"{where}: {len(meant)} meant, {len(heard)} heard"]
        return [d for at, value in enumerate(meant) for d in differences(value, heard[at], f"{where}[{at}]")]
    return [] if meant == heard else [f"{where}: {meant!r} meant, {heard!r} heard"]


@pytest.mark.parametrize(("client", "version"), [case for case in CASES if case != ("vasync", 158)])
def test_an_order_comes_back_as_it_was_placed(client: str, version: int, probe: Probe) -> None:
    calls = placed_orders(client, version)
    sent = probe(client, version, [[method, args] for _, method, args in calls], [])["sent"]
    placed = [decode_request(bytes.fromhex(each)[4:], version) for each in sent]
    state = OrderState("Submitted")
    frames = []
    for each in placed:
        assert isinstance(each, ask.PlaceOrder)
        frames.append(encode_reply(OpenOrder(each.order_id, 7, 9, each.contract, each.order, state), version))
        frames.append(encode_reply(CompletedOrder(9, 0, each.contract, each.order, state, 3.0), version))

    read = probe(client, version, [], [each[4:] for each in frames])["read"]

    for number, (_, _, (order_id, contract, order)) in enumerate(calls):
        (said, left), (completed, completed_left) = read[2 * number], read[2 * number + 1]
        terms = order["Order"]
        heard = {name: value for name, value in contract["Contract"].items()
                 if name not in {"primaryExchange", "secIdType", "secId"}}  # fmt: skip
        assert [name for name, _ in said + completed] == ["openOrder", "completedOrder"], said
        assert (left, completed_left) == (0, 0)
        assert said[0][1][0] == order_id
        meant = [order_id, heard, repeated(terms, version, NEVER_SAID), {"status": "Submitted"}]
        assert differences(meant, said[0][1]) == []
        meant = [heard, repeated(terms, version, NEVER_COMPLETED), {"status": "Submitted"}]
        assert differences(meant, completed[0][1]) == []
