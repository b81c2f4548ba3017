"""What the client's decoder calls: each callback becomes one frozen record in a bounded list, and none ever raises.

The client reads a message and calls a method by its name. Here a table says which record each name makes; what the
client's versions do differently ends in it. It needs no base class of the client's, so this module can be imported where
none is installed.

Floats that are unset (1.7976931348623157e308, 2147483647, the largest decimals) become NaN. Request ids of system
messages are NO_REQUEST, whether TWS sent -1 or 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from brokers.ib import records as say
from brokers.ib.records import NAN, NO_REQUEST, Record

RECORDS_MAX = 1 << 20
"""Most records that wait to be taken; a frame of the largest size holds fewer."""

_UNSET_NUMBERS = frozenset(
    {1.7976931348623157e308, 2147483647.0, float(2**63 - 1), float(2**127 - 1), math.inf, -math.inf}
)
_UNSET_WHOLE = frozenset({2**31 - 1, 2**63 - 1})


def number(value: Any) -> float:
    """A plain float of an int, float or Decimal; NaN where it is unset or infinite."""
    if value is None:
        return NAN
    plain = float(value)
    return NAN if plain in _UNSET_NUMBERS else plain


def whole(value: Any) -> int:
    """A plain integer; 0 where it is unset."""
    plain = int(value or 0)
    return 0 if plain in _UNSET_WHOLE else plain


def text(value: Any) -> str:
    """A plain text; empty for None."""
    return "" if value is None else str(value)


def request(value: Any) -> int:
    """A request's id; NO_REQUEST for what belongs to none."""
    return value if value > 0 else NO_REQUEST


def contract(of: Any) -> say.ContractRecord:
    """A contract of the client's."""
    return say.ContractRecord(
        con_id=whole(of.conId),
        symbol=text(of.symbol),
        type=text(of.secType),
        expiry=text(of.lastTradeDateOrContractMonth),
        strike=float(of.strike or 0.0) if float(of.strike or 0.0) not in _UNSET_NUMBERS else 0.0,
        right=text(of.right),
        multiplier=text(of.multiplier),
        exchange=text(of.exchange),
        primary_exchange=text(of.primaryExchange),
        currency=text(of.currency),
        local_symbol=text(of.localSymbol),
        trading_class=text(of.tradingClass),
    )


def order(of: Any) -> say.OrderRecord:
    """An order of the client's."""
    return say.OrderRecord(
        action=text(of.action),
        quantity=number(of.totalQuantity),
        type=text(of.orderType),
        limit_price=number(of.lmtPrice),
        aux_price=number(of.auxPrice),
        tif=text(of.tif),
        oca_group=text(of.ocaGroup),
        oca_type=whole(of.ocaType),
        account=text(of.account),
        order_ref=text(of.orderRef),
        transmit=bool(of.transmit),
        parent_id=whole(of.parentId),
        outside_hours=bool(of.outsideRth),
        good_till=text(of.goodTillDate),
        trail_stop_price=number(of.trailStopPrice),
        trailing_percent=number(of.trailingPercent),
        limit_offset=number(of.lmtPriceOffset),
        what_if=bool(of.whatIf),
        order_id=whole(of.orderId),
        client_id=whole(of.clientId),
        perm_id=whole(of.permId),
    )


def _fees(of: Any) -> float:
    """``commission`` until 10.30, ``commissionAndFees`` from 10.37."""
    return number(of.commission if hasattr(of, "commission") else of.commissionAndFees)


def _error(request_id: int, *rest: Any) -> Record:
    """``code, text``; ``code, text, advanced``; or ``time, code, text, advanced``: the text tells which."""
    if not isinstance(rest[1], str):
        rest = rest[1:]
    return say.ErrorMessage(request(request_id), int(rest[0]), rest[1], text(rest[2]) if len(rest) > 2 else "")


def _accounts(accounts: str) -> Record:
    return say.ManagedAccounts(tuple(name for name in (part.strip() for part in accounts.split(",")) if name))


def _portfolio(
    of: Any, quantity: Any, price: Any, value: Any, cost: Any, unrealised: Any, realised: Any, account: str
) -> Record:
    return say.PortfolioItem(
        contract(of), number(quantity), number(price), number(value), number(cost), number(unrealised),
        number(realised), account,
    )  # fmt: skip


def _status(
    order_id: int, status: str, filled: Any, remaining: Any, average: Any, perm_id: Any, parent_id: Any, last: Any,
    client_id: Any, why_held: Any, *_: Any,
) -> Record:  # fmt: skip
    return say.OrderState(
        order_id, status, number(filled), number(remaining), number(average), whole(perm_id), whole(parent_id),
        number(last), whole(client_id), text(why_held),
    )  # fmt: skip


def _open_order(order_id: int, of: Any, terms: Any, state: Any) -> Record:
    return say.OpenOrder(order_id, contract(of), order(terms), state.status, text(state.warningText), _fees(state))


def _completed(of: Any, terms: Any, state: Any) -> Record:
    filled = number(terms.filledQuantity)
    if state.status == "Filled" and not filled:
        filled = NAN  # 9.81 reads a quantity that was not told as 0
    return say.CompletedOrder(
        contract(of), order(terms), state.status, text(state.completedStatus), text(state.completedTime), filled
    )


def _execution(request_id: int, of: Any, it: Any) -> Record:
    return say.Execution(
        request(request_id), contract(of), it.execId, it.time, it.acctNumber, it.exchange, it.side, number(it.shares),
        number(it.price), whole(it.permId), whole(it.clientId), whole(it.orderId), number(it.cumQty),
        number(it.avgPrice), text(it.orderRef), whole(it.lastLiquidity),
    )  # fmt: skip


def _commission(of: Any) -> Record:
    return say.Commission(of.execId, _fees(of), of.currency, number(of.realizedPNL))


def _bar(make: type[say.HistoryBar | say.HistoryUpdate]) -> Callable[[int, Any], Record]:
    """A bar's average price is ``average`` in 9.81 and ``wap`` later."""

    def bar(request_id: int, of: Any) -> Record:
        average = of.wap if hasattr(of, "wap") else of.average
        return make(
            request_id, text(of.date), number(of.open), number(of.high), number(of.low), number(of.close),
            number(of.volume), number(average), int(of.barCount),
        )  # fmt: skip

    return bar


def _real_time_bar(
    request_id: int, ts_s: int, open_: Any, high: Any, low: Any, close: Any, volume: Any, average: Any, count: Any
) -> Record:
    return say.RealTimeBar(
        request_id, int(ts_s), number(open_), number(high), number(low), number(close), number(volume), number(average),
        int(count),
    )  # fmt: skip


def _tick_trade(
    request_id: int, _: int, ts_s: int, price: Any, size: Any, attributes: Any, exchange: str, conditions: str
) -> Record:
    return say.TickTrade(
        request_id, ts_s, number(price), number(size), exchange, conditions, bool(attributes.pastLimit),
        bool(attributes.unreported),
    )  # fmt: skip


def _definition(request_id: int, of: Any) -> Record:
    return say.ContractDetails(
        request_id, contract(of.contract), text(of.marketName), number(of.minTick), whole(of.priceMagnifier),
        text(of.orderTypes), text(of.validExchanges), text(of.longName), text(of.timeZoneId), text(of.tradingHours),
        text(of.liquidHours), text(of.stockType), number(getattr(of, "minSize", NAN)),
        number(getattr(of, "sizeIncrement", NAN)),
    )  # fmt: skip


def _scan_row(request_id: int, rank: int, of: Any, distance: Any, benchmark: Any, projection: Any, legs: Any) -> Record:
    return say.ScannerRow(
        request_id, rank, contract(of.contract), text(distance), text(benchmark), text(projection), text(legs)
    )


MAKERS: Mapping[str, Callable[..., Record]] = {
    "error": _error,
    "managedAccounts": _accounts,
    "nextValidId": say.NextValidId,
    "currentTime": say.CurrentTime,
    "updateAccountValue": say.AccountValue,
    "updateAccountTime": say.AccountTime,
    "accountDownloadEnd": say.AccountEnd,
    "updatePortfolio": _portfolio,
    "position": lambda account, of, quantity, cost: say.PositionItem(
        account, contract(of), number(quantity), number(cost)
    ),
    "positionEnd": say.PositionsEnd,
    "pnl": lambda request_id, daily, unrealised, realised: say.AccountPnl(
        request_id, number(daily), number(unrealised), number(realised)
    ),
    "openOrder": _open_order,
    "openOrderEnd": say.OpenOrdersEnd,
    "orderStatus": _status,
    "completedOrder": _completed,
    "completedOrdersEnd": say.CompletedOrdersEnd,
    "execDetails": _execution,
    "execDetailsEnd": say.ExecutionsEnd,
    "commissionReport": _commission,
    "commissionAndFeesReport": _commission,
    "tickPrice": lambda request_id, type_, price, _: say.TickPrice(request_id, type_, number(price)),
    "tickSize": lambda request_id, type_, size: say.TickSize(request_id, type_, number(size)),
    "tickString": say.TickString,
    "tickGeneric": lambda request_id, type_, value: say.TickGeneric(request_id, type_, number(value)),
    "tickSnapshotEnd": say.SnapshotEnd,
    "marketDataType": say.MarketDataType,
    "tickReqParams": lambda request_id, step, exchange, permissions: say.TickParameters(
        request_id, number(step), text(exchange), whole(permissions)
    ),
    "tickByTickAllLast": _tick_trade,
    "tickByTickBidAsk": lambda request_id, ts_s, bid, ask, bid_size, ask_size, _: say.TickQuote(
        request_id, ts_s, number(bid), number(ask), number(bid_size), number(ask_size)
    ),
    "historicalData": _bar(say.HistoryBar),
    "historicalDataEnd": say.HistoryEnd,
    "historicalDataUpdate": _bar(say.HistoryUpdate),
    "realtimeBar": _real_time_bar,
    "contractDetails": _definition,
    "bondContractDetails": _definition,
    "contractDetailsEnd": say.ContractDetailsEnd,
    "scannerData": _scan_row,
    "scannerDataEnd": say.ScannerEnd,
    "scannerParameters": say.ScannerParameters,
}
"""Callback -> what makes its record."""

IGNORED = frozenset(
    {
        "accountSummary", "accountSummaryEnd", "accountUpdateMulti", "accountUpdateMultiEnd", "connectAck",
        "connectionClosed", "currentTimeInMillis", "deltaNeutralValidation", "displayGroupList",
        "displayGroupUpdated", "familyCodes", "fundamentalData", "headTimestamp", "histogramData",
        "historicalNews", "historicalNewsEnd", "historicalSchedule", "historicalTicks", "historicalTicksBidAsk",
        "historicalTicksLast", "marketRule", "mktDepthExchanges", "newsArticle", "newsProviders", "orderBound",
        "pnlSingle", "positionMulti", "positionMultiEnd", "receiveFA", "replaceFAEnd", "rerouteMktDataReq",
        "rerouteMktDepthReq", "securityDefinitionOptionParameter", "securityDefinitionOptionParameterEnd",
        "smartComponents", "softDollarTiers", "symbolSamples", "tickByTickMidPoint", "tickEFP", "tickNews",
        "tickOptionComputation", "updateMktDepth", "updateMktDepthL2", "updateNewsBulletin", "userInfo",
        "verifyAndAuthCompleted", "verifyAndAuthMessageAPI", "verifyCompleted", "verifyMessageAPI", "winError",
        "wshEventData", "wshMetaData",
    }
)  # fmt: skip
"""Callbacks that are heard and dropped: what we never ask for, or need not know."""


class Callbacks:
    """The object that the decoder and the encoder call, with a method for each name of MAKERS and of IGNORED.

    ``records`` waits to be taken; ``heard`` counts callbacks, so that a message which made none is noticed. What the
    encoder complains about while ``is_sending`` goes to ``complaints``: it is no message of TWS.
    """

    def __init__(self, most: int = RECORDS_MAX) -> None:
        self.records: list[Record] = []
        self.complaints: list[say.ErrorMessage] = []
        self.heard = 0
        self.is_sending = False
        self.overflowed = False
        """Whether a record had no room; then what follows can not be trusted."""
        self._most = most
        for name, make in MAKERS.items():
            setattr(self, name, self._callback(name, make))
        for name in IGNORED:
            setattr(self, name, self._ignore)

    def add(self, record: Record) -> None:
        """Append a record, where there is room."""
        if len(self.records) < self._most:
            self.records.append(record)
        else:
            self.overflowed = True

    def take(self) -> list[Record]:
        """All records since the last time."""
        taken, self.records = self.records, []
        return taken

    def _callback(self, name: str, make: Callable[..., Record]) -> Callable[..., None]:
        def callback(*arguments: Any) -> None:
            self.heard += 1
            try:
                record = make(*arguments)
            except Exception as error:  # noqa: BLE001  # the client's reader would end with it, and nobody would hear more
                record = say.Undecodable(f"{name}: {type(error).__name__}: {error}")
            if self.is_sending and isinstance(record, say.ErrorMessage):
                self.complaints.append(record)
            else:
                self.add(record)

        return callback

    def _ignore(self, *_: Any) -> None:
        self.heard += 1
