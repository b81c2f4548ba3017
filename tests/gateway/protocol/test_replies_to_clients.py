"""Unmodified clients read from what the server says what was meant, to the last field."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from gateway.protocol import replies as say
from gateway.protocol.codec import encode_reply
from gateway.protocol.contract import Contract
from gateway.protocol.order import Order

Probe = Callable[[str, int, list[Any], list[bytes]], dict[str, Any]]
Heard = list[list[Any]]

CASES = [
    ("v981", 157),
    *(("v1019", version) for version in (157, 163, 166, 176)),
    *(("v1030", version) for version in (178, 182, 187)),
    *(("v1037", version) for version in (187, 194, 200)),
    *(("v1050", version) for version in (157, 163, 164, 176, 178, 179, 182, 186, 193, 194, 195, 196, 198, 200)),
    *(("vasync", version) for version in (157, 163, 164, 176, 178)),
]
UNSET = object()
UNSET_VALUES = (None, 1.7976931348623157e308, 2147483647, float(2**127 - 1), "1.7976931348623157E308")
ANY = object()
CONTRACT = Contract(
    con_id=265598, symbol="AAPL", type="STK", expiry="20261218", strike=12.5, right="C", multiplier="100",
    exchange="SMART", primary_exchange="NASDAQ", currency="USD", local_symbol="AAPL ", trading_class="NMS",
)  # fmt: skip
NAMES = {
    "conId": "con_id", "symbol": "symbol", "secType": "type", "lastTradeDateOrContractMonth": "expiry",
    "strike": "strike", "right": "right", "multiplier": "multiplier", "exchange": "exchange",
    "primaryExchange": "primary_exchange", "currency": "currency", "localSymbol": "local_symbol",
    "tradingClass": "trading_class",
}  # fmt: skip


def contract(*without: str) -> dict[str, Any]:
    """The contract as a client has it."""
    return {theirs: getattr(CONTRACT, ours) for theirs, ours in NAMES.items() if theirs not in without}


def session(client: str, version: int) -> list[tuple[say.Reply, Heard]]:
    error: list[Any] = [5, 201, "Order rejected: a\\b “no”"]
    advanced = '{"reason": "a\\"b"}' if version >= 166 else ""
    if client == "v981":
        heard = error
    elif client in {"v1037", "v1050"}:
        heard = [5, 1763800000123 if version >= 194 else 0, *error[1:], advanced]
    else:
        heard = [*error, advanced]
    if client == "vasync":  # it does not resolve escapes
        heard = [5, 201, ANY, ANY]
    rows: list[tuple[say.Reply, Heard]] = [
        (say.NextValidId(17), [["nextValidId", [17]]]),
        (say.ManagedAccountsList("DU1,DU2"), [["managedAccounts", ["DU1,DU2"]]]),
        (say.Time(1763800000), [["currentTime", [1763800000]]]),
        (say.Error(5, 201, "Order rejected: a\\b “no”", '{"reason": "a\\"b"}', 1763800000123), [["error", heard]]),
        (say.NewsBulletin(1, 2, "text", "NYSE"), [["updateNewsBulletin", [1, 2, "text", "NYSE"]]]),
    ]
    if version >= 197:
        rows.append((say.TimeMillis(1763800000123), [["currentTimeInMillis", [1763800000123]]]))
    return rows


def account(client: str, version: int) -> list[tuple[say.Reply, Heard]]:
    named = contract("primaryExchange")
    cost = [11.0, 1.5, 16.5, 1.25, -2.5, UNSET]
    return [
        (say.AccountValue("Cash", "1.5", "USD", "DU1"), [["updateAccountValue", ["Cash", "1.5", "USD", "DU1"]]]),
        (say.AccountTime("10:31"), [["updateAccountTime", ["10:31"]]]),
        (say.AccountDownloadEnd("DU1"), [["accountDownloadEnd", ["DU1"]]]),
        (say.PortfolioValue(CONTRACT, 11.0, 1.5, 16.5, 1.25, -2.5, 3.5, "DU1"),
         [["updatePortfolio", [contract("exchange"), *cost[:5], 3.5, "DU1"]]]),
        (say.AccountMulti(1, "DU1", "m", "Cash", "1.5", "USD"),
         [["accountUpdateMulti", [1, "DU1", "m", "Cash", "1.5", "USD"]]]),
        (say.AccountMultiEnd(1), [["accountUpdateMultiEnd", [1]]]),
        (say.PositionRow("DU1", CONTRACT, -11.5, 1.25), [["position", ["DU1", named, -11.5, 1.25]]]),
        (say.PositionEnd(), [["positionEnd", []]]),
        (say.PositionMulti(2, "DU1", CONTRACT, 11.5, 1.25, "m"),
         [["positionMulti", [2, "DU1", "m", named, 11.5, 1.25]]]),
        (say.PositionMultiEnd(2), [["positionMultiEnd", [2]]]),
        (say.SummaryRow(3, "DU1", "Cash", "1.5", "USD"), [["accountSummary", [3, "DU1", "Cash", "1.5", "USD"]]]),
        (say.SummaryEnd(3), [["accountSummaryEnd", [3]]]),
        (say.PnlUpdate(4, 1.5, -2.5, math.nan), [["pnl", [4, 1.5, -2.5, UNSET]]]),
        (say.PnlSingleUpdate(5, 11.0, 1.5, -2.5, math.nan, 16.5), [["pnlSingle", [5, 11.0, 1.5, -2.5, UNSET, 16.5]]]),
    ]  # fmt: skip


def market(client: str, version: int) -> list[tuple[say.Reply, Heard]]:
    odd = 0.5 if version >= 163 else 0.0
    size = 100.0 + odd
    average = "average" if client in {"v981", "vasync"} else "wap"
    bar = {"date": ANY, "open": 1.0, "high": 2.5, "low": 0.5, "close": 2.0, "volume": size, average: 1.75,
           "barCount": 9}  # fmt: skip
    bars = (say.HistoricalBar("20261120  10:00:00", 1.0, 2.5, 0.5, 2.0, size, 1.75, 9),) * 2
    ends: Heard = [["historicalDataEnd", [1, "a", "b"]]] if version < 196 else []
    price: Heard = [["tickPrice", [2, 4, 309.16, ANY]], ["tickSize", [2, 5, size]]]
    last = [3, 1, 1763800000, 309.16, size, {"pastLimit": True, "unreported": False}, "NASDAQ", "I"]
    row = say.ScannerRow(0, CONTRACT, "NMS", "d", "b", "p", "l")
    details = {"contract": contract("multiplier", "primaryExchange"), "marketName": "NMS"}
    rows: list[tuple[say.Reply, Heard]] = [
        (say.ScannerXml('<a b="c"/>\n'), [["scannerParameters", ['<a b="c"/>\n']]]),
        (say.ScannerData(1, (row, row)),
         [["scannerData", [1, 0, details, "d", "b", "p", "l"]]] * 2 + [["scannerDataEnd", [1]]]),
        (say.DataType(1, 3), [["marketDataType", [1, 3]]]),
        (say.TickParameters(1, 0.01, "9c0001", 3), [["tickReqParams", [1, 0.01, "9c0001", 3]]]),
        (say.TickPrice(2, 4, 309.16, size, 1),
         [["priceSizeTick", [2, 4, 309.16, size]]] if client == "vasync" else price),
        (say.TickSize(2, 8, size), [["tickSize", [2, 8, size]]]),
        (say.TickGeneric(2, 49, 0.0), [["tickGeneric", [2, 49, 0.0]]]),
        (say.TickString(2, 48, "309.16;1;1763800000123;5;309.1;true"),
         [["tickString", [2, 48, "309.16;1;1763800000123;5;309.1;true"]]]),
        (say.SnapshotEnd(2), [["tickSnapshotEnd", [2]]]),
        (say.TickLast(3, 1, 1763800000, 309.16, size, 1, "NASDAQ", "I"), [["tickByTickAllLast", last]]),
        (say.TickBidAsk(3, 1763800000, 1.25, 1.5, size, 200.0, 2),
         [["tickByTickBidAsk", [3, 1763800000, 1.25, 1.5, size, 200.0, {"bidPastLow": False, "askPastHigh": True}]]]),
        (say.TickMid(3, 1763800000, 1.375), [["tickByTickMidPoint", [3, 1763800000, 1.375]]]),
        (say.HistoricalData(1, "a", "b", bars), [["historicalData", [1, bar]]] * 2 + ends),
        (say.HistoricalDataUpdate(1, bars[0]), [["historicalDataUpdate", [1, bar]]]),
        (say.RealTimeBar(4, 1763800000, 1.0, 2.5, 0.5, 2.0, size, 1.75, 9),
         [["realtimeBar", [4, 1763800000, 1.0, 2.5, 0.5, 2.0, size, 1.75, 9]]]),
        (say.HeadTimestampReply(5, "20200102  14:30:00"), [["headTimestamp", [5, "20200102  14:30:00"]]]),
        (say.ContractDetailsEnd(6), [["contractDetailsEnd", [6]]]),
    ]  # fmt: skip
    if version >= 196:
        rows.append((say.HistoricalDataEnd(1, "a", "b"), [["historicalDataEnd", [1, "a", "b"]]]))
    return rows


def contracts(client: str, version: int) -> list[tuple[say.Reply, Heard]]:
    fund = say.Fund("name", "family", "type", "1%", "2%", "1 y", "0.5%", True, False, True, "5", "6", "7", "s", "t",
                    "N", "000")  # fmt: skip
    ours = say.ContractDetailsRow(
        1, CONTRACT, "NMS", 0.01, "LMT,MKT", "SMART,NYSE", 1, 5, "APPLE INC", "202612", "Tech", "Computers", "Phones",
        "US/Eastern", "20261120:0930-20261120:1600", "20261120:0930-20261120:1600", "rule", 2,
        (("ISIN", "US0378331005"), ("CUSIP", "c")), 3, "U", "IND", "26,27", "20261219", "COMMON", 0.5, 0.25, 100.0,
        100, "20261217", fund, (("id", "why"),),
    )  # fmt: skip
    theirs: dict[str, Any] = {
        "contract": contract(), "marketName": "NMS", "minTick": 0.01, "orderTypes": "LMT,MKT",
        "validExchanges": "SMART,NYSE", "priceMagnifier": 1, "underConId": 5, "longName": "APPLE INC",
        "contractMonth": "202612", "industry": "Tech", "category": "Computers", "subcategory": "Phones",
        "timeZoneId": "US/Eastern", "tradingHours": "20261120:0930-20261120:1600",
        "liquidHours": "20261120:0930-20261120:1600", "evRule": "rule", "evMultiplier": 2,
        "secIdList": [{"tag": "ISIN", "value": "US0378331005"}, {"tag": "CUSIP", "value": "c"}], "aggGroup": 3,
        "underSymbol": "U", "underSecType": "IND", "marketRuleIds": "26,27", "realExpirationDate": "20261219",
        "stockType": "COMMON",
    }  # fmt: skip
    if client == "v981":
        theirs["mdSizeMultiplier"] = 100
    if version >= 164:
        theirs |= {"minSize": 0.5, "sizeIncrement": 0.25, "suggestedSizeIncrement": 100.0}
    if version >= 182:
        theirs["contract"] = {**theirs["contract"], "lastTradeDate": "20261217"}
    if version >= 186:
        theirs["ineligibilityReasonList"] = [{"id_": "id", "description": "why"}]
    of_fund = {**theirs, "contract": {"secType": "FUND"}}
    if version >= 179:
        of_fund |= {"fundName": "name", "fundFrontLoad": "1%", "fundClosedForNewInvestors": False,
                    "fundClosedForNewMoney": True, "fundBlueSkyTerritories": "t"}  # fmt: skip
    samples = (say.SymbolSample(CONTRACT, ("CFD", "OPT"), "APPLE INC", "e1"), say.SymbolSample(CONTRACT))
    sample = contract("exchange", "expiry", "strike", "right", "multiplier", "localSymbol", "tradingClass",
                      "lastTradeDateOrContractMonth")  # fmt: skip
    found = [
        {"contract": sample, "derivativeSecTypes": ["CFD", "OPT"]},
        {"contract": sample, "derivativeSecTypes": []},
    ]
    in_a_fund = Contract(**{**{f: getattr(CONTRACT, f) for f in NAMES.values()}, "type": "FUND"})
    rows: list[tuple[say.Reply, Heard]] = [
        (ours, [["contractDetails", [1, theirs]]]),
        (say.ContractDetailsRow(**{**{f: getattr(ours, f) for f in ours.__slots__}, "contract": in_a_fund}),
         [["contractDetails", [1, of_fund]]]),
    ]  # fmt: skip
    if client == "vasync" and version >= 176:
        return rows  # its reader of these knows neither descriptions nor issuers
    return [*rows, (say.SymbolSamples(2, samples), [["symbolSamples", [2, found]]])]


def orders(client: str, version: int) -> list[tuple[say.Reply, Heard]]:
    named = contract("primaryExchange")
    fill = say.Execution(
        1, 2, CONTRACT, "0000e0d5.01", "20261120-10:00:00", "DU1", "NASDAQ", "BOT", 1.5, 309.16, 987654321012, 7, 3.5,
        309.15, "ref", 1, "rule", 2.5, "m", 2, True, "me",
    )  # fmt: skip
    execution: dict[str, Any] = {
        "orderId": 2, "execId": "0000e0d5.01", "time": ANY, "acctNumber": "DU1", "exchange": "NASDAQ",
        "side": "BOT", "shares": 1.5, "price": 309.16, "permId": 987654321012, "clientId": 7, "cumQty": 3.5,
        "avgPrice": 309.15, "orderRef": "ref", "liquidation": 1, "evRule": "rule", "evMultiplier": 2.5,
        "modelCode": "m", "lastLiquidity": 2,
    }  # fmt: skip
    if version >= 178 and client != "vasync":
        execution["pendingPriceRevision"] = True
    if version >= 198:
        execution["submitter"] = "me"
    fees = "commissionAndFees" if client in {"v1037", "v1050"} else "commission"
    report: dict[str, Any] = {"execId": "0000e0d5.01", fees: 1.000003, "currency": "USD", "realizedPNL": UNSET}
    status = [2, "Submitted", 1.5, 2.5, 309.16, 987654321012, 3, 309.15, 7, "locate", 1.25]
    permanent: Heard = [["orderBound", [987654321012, 7, 2]]]
    return [
        (say.OrderStatus(2, "Submitted", 1.5, 2.5, 309.16, 987654321012, 3, 309.15, 7, "locate", 1.25),
         [["orderStatus", status]]),
        (say.OpenOrdersEnd(), [["openOrderEnd", []]]),
        (say.CompletedOrdersEnd(), [["completedOrdersEnd", []]]),
        (say.OrderBound(987654321012, 7, 2), permanent),
        (fill, [["execDetails", [1, named, execution]]]),
        (say.ExecutionsEnd(1), [["execDetailsEnd", [1]]]),
        (say.Commission("0000e0d5.01", 1.000003, "USD"), [[f"{fees}Report", [report]]]),
        (say.Commission("0000e0d5.01", 1.000003, "USD", -2.016569),
         [[f"{fees}Report", [{**report, "realizedPNL": -2.016569}]]]),
        *previews(client, version),
    ]  # fmt: skip


def previews(client: str, version: int) -> list[tuple[say.Reply, Heard]]:
    """What an order would cost, and how one ended."""
    margins = [float(number) for number in range(1, 10)]
    state = say.OrderState(
        "PreSubmitted", *(str(each) for each in margins), 1.5, 1.25, 1.75, "USD", "EUR", "why", "careful",
        "20261120 10:00:00 US/Eastern", "Filled Size: 1", *(each + 0.5 for each in margins), 7.0,
        (say.Allocation("DU1", 1.0, 2.0, 3.0, 4.0, 5.0, True), say.Allocation("DU2")),
    )  # fmt: skip
    amounts = [f"{name}{when}" for when in ("Before", "Change", "After")
               for name in ("initMargin", "maintMargin", "equityWithLoan")]  # fmt: skip
    fees = "ommissionAndFees" if client in {"v1037", "v1050"} else "ommission"
    said: dict[str, Any] = {
        "status": "PreSubmitted", **{name: str(each) for name, each in zip(amounts, margins, strict=True)},
        f"c{fees}": 1.5, f"minC{fees}": 1.25, f"maxC{fees}": 1.75, f"c{fees}Currency": "USD",
        "warningText": "careful",
    }  # fmt: skip
    if version >= 195:
        said |= {f"{name}OutsideRTH": each + 0.5 for name, each in zip(amounts, margins, strict=True)}
        said |= {"marginCurrency": "EUR", "suggestedSize": 7.0, "rejectReason": "why"}
        first = {"account": "DU1", "position": 1.0, "positionDesired": 2.0, "positionAfter": 3.0,
                 "desiredAllocQty": 4.0, "allowedAllocQty": 5.0, "isMonetary": True}  # fmt: skip
        said["orderAllocations"] = [first, {"account": "DU2", "position": UNSET, "isMonetary": False}]
    order = Order(
        "BUY", 3.0, "LMT", 1.5, what_if=True, soft_dollar_display="shown", basis_points=2.5, basis_points_type=3,
        bond_accrued_interest="0.5", submitter="me", auto_cancel_date="d", reference_futures_con_id=8,
        shareholder="s", route_marketable_to_bbo=True, imbalance_only=True, auto_cancel_parent=True,
        compete_offset=math.inf,
    )  # fmt: skip
    terms: dict[str, Any] = {
        "clientId": 7, "permId": 987654321012, "whatIf": True, "basisPoints": 2.5, "basisPointsType": 3,
        "softDollarTier": {"displayName": "shown"}, "auxPrice": UNSET, "minQty": UNSET, "triggerPrice": UNSET,
        "lmtPriceOffset": UNSET, "trailStopPrice": UNSET, "adjustedStopPrice": UNSET, "percentOffset": UNSET,
        "scaleInitLevelSize": UNSET,
    }  # fmt: skip
    terms |= {"bondAccruedInterest": "0.5"} if version >= 185 else {}
    terms |= {"submitter": "me"} if version >= 198 else {}
    terms |= {"duration": UNSET} if version >= 158 else {}
    terms |= {"minTradeQty": UNSET} if version >= 170 else {}
    if version >= 170 and client not in {"vasync", "v1019"}:
        terms["competeAgainstBestOffset"] = math.inf
    ended = {"permId": 987654321012, "parentPermId": 12, "filledQuantity": 2.5, "autoCancelDate": "d",
             "refFuturesConId": 8, "shareholder": "s", "routeMarketableToBbo": True, "imbalanceOnly": True,
             "autoCancelParent": True}  # fmt: skip
    end = {"completedTime": "20261120 10:00:00 US/Eastern", "completedStatus": "Filled Size: 1"}
    named = contract("primaryExchange")
    return [
        (say.OpenOrder(2, 7, 987654321012, CONTRACT, order, state), [["openOrder", [2, named, terms, said]]]),
        (say.CompletedOrder(987654321012, 12, CONTRACT, order, state, 2.5),
         [["completedOrder", [named, ended, end]]]),
    ]  # fmt: skip


def differences(meant: Any, heard: Any, where: str = "") -> list[str]:
    """Where what was heard is not what was meant; attributes that are not named are not compared."""
    if meant is ANY:
        return []
    if meant is UNSET:
        return [] if heard in UNSET_VALUES else [f"{where}: unset meant, {heard!r} heard"]
    if isinstance(meant, dict):
        return [d for key, value in meant.items() for d in differences(value, heard[key], f"{where}.{key}")]
    if isinstance(meant, list):
        if len(meant) != len(heard):
            return [f"{where}: {meant!r} meant, {heard!r} heard"]
        return [d for at, value in enumerate(meant) for d in differences(value, heard[at], f"{where}[{at}]")]
    return [] if meant == heard else [f"{where}: {meant!r} meant, {heard!r} heard"]


@pytest.mark.parametrize(("client", "version"), CASES)
@pytest.mark.parametrize("part", [session, account, market, contracts, orders])
def test_a_client_reads_what_was_meant(
    part: Callable[[str, int], list[tuple[say.Reply, Heard]]], client: str, version: int, probe: Probe
) -> None:
    parts = (session, account, market, contracts, orders)
    payloads = [encode_reply(reply, version)[4:] for each in parts for reply, _ in each(client, version)]
    before = sum(len(each(client, version)) for each in parts[: parts.index(part)])

    read = probe(client, version, [], payloads)["read"][before:]

    for (reply, meant), (heard, left) in zip(part(client, version), read, strict=False):
        assert differences(meant, heard) == [], reply
        if heard and not heard[0][0].startswith(UNWATCHED):
            assert left == 0, reply


UNWATCHED = (
    "nextValidId", "managedAccounts", "currentTime", "updateNewsBulletin", "updateAccount", "accountDownload",
    "accountUpdate", "accountSummary", "scannerParameters", "tickGeneric", "tickString", "tickSize", "tickSnapshotEnd",
    "contractDetailsEnd", "openOrderEnd", "execDetailsEnd", "positionEnd", "positionMultiEnd", "error",
    "completedOrdersEnd",
)  # fmt: skip
"""Callbacks whose fields clients count against their arguments instead of reading them one by one."""
