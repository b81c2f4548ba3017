"""The scripts: a full day of everything that the simulated gateway can do, and short ones for single matters."""

from __future__ import annotations

from collections.abc import Mapping

from tests.gateway.clients.script import ACCOUNT, AGAIN_CALL, STOP_CALL, Made, OrderId, Row, order, row, sooner, stock

A = 1
"""The client that trades."""
B = 2
"""Another one of the same account."""

AAA, BBB, CCC, DDD = (stock(symbol) for symbol in ("AAA", "BBB", "CCC", "DDD"))

ACCOUNT_TAGS = "NetLiquidation,TotalCashValue,BuyingPower,GrossPositionValue,AvailableFunds,$LEDGER:ALL"


def _place(clock: str, n: int, contract: Made, placed: Made, client: int = A) -> Row:
    return row(clock, client, "placeOrder", OrderId(n), contract, placed)


def _cancel(clock: str, n: int, client: int = A) -> Row:
    return row(clock, client, "cancelOrder", OrderId(n))


def _history(clock: str, number: int, contract: Made, duration: str, bar: str, what: str, date_format: int = 1,
             keep: bool = False, end: str = "") -> Row:  # fmt: skip
    options: list[Made] = []
    return row(clock, A, "reqHistoricalData", number, contract, end, duration, bar, what, 1, date_format, keep, options)


_REFERENCE: tuple[Row, ...] = (
    row("09:28:05", A, "reqManagedAccts"),
    row("09:28:05", A, "reqIds", -1),
    row("09:28:05", A, "reqMarketDataType", 1),
    row("09:28:06", A, "reqContractDetails", 101, AAA),
    row("09:28:06", A, "reqContractDetails", 102, Made("Contract", {"conId": 7002})),
    row("09:28:06", A, "reqContractDetails", 103, stock("NOPE")),
    row("09:28:07", A, "reqMatchingSymbols", 104, "AA"),
    row("09:28:08", A, "reqScannerParameters"),
)

_ACCOUNT: tuple[Row, ...] = (
    row("09:28:10", A, "reqAccountUpdates", True, ACCOUNT),
    row("09:28:11", A, "reqPositions"),
    row("09:28:12", A, "reqAccountSummary", 111, "All", ACCOUNT_TAGS),
    row("09:28:13", A, "reqPnL", 112, ACCOUNT, ""),
    row("09:28:14", B, "reqAccountUpdatesMulti", 113, ACCOUNT, "", True),
    row("09:28:14", B, "reqPositionsMulti", 114, ACCOUNT, ""),
    row("09:35:00", A, "reqPnLSingle", 115, ACCOUNT, "", 7001),
    row("10:20:00", A, "cancelPnLSingle", 115),
    row("10:20:00", A, "cancelPnL", 112),
    row("10:20:01", A, "cancelAccountSummary", 111),
    row("10:20:01", A, "cancelPositions"),
    row("10:20:02", B, "cancelAccountUpdatesMulti", 113),
    row("10:20:02", B, "cancelPositionsMulti", 114),
    row("12:59:00", A, "reqAccountUpdates", False, ACCOUNT),
)

_MARKET_DATA: tuple[Row, ...] = (
    row("09:30:20", A, "reqMktData", 201, AAA, "233", False, False, []),
    row("09:30:20", A, "reqMktData", 202, BBB, "", False, False, []),
    row("09:30:20", A, "reqMktData", 203, stock("NOPE"), "", False, False, []),
    row("09:30:21", A, "reqMktData", 204, DDD, "", True, False, []),
    row("09:30:22", A, "reqMktData", 201, AAA, "", False, False, []),  # a number that is in use: 322
    row("09:30:30", B, "reqTickByTickData", 211, AAA, "AllLast", 0, False),
    row("09:30:30", B, "reqTickByTickData", 212, AAA, "BidAsk", 0, True),
    row("09:30:30", B, "reqTickByTickData", 213, BBB, "Last", 0, False),
    row("09:30:30", B, "reqTickByTickData", 214, BBB, "MidPoint", 0, False),
    row("09:30:31", A, "reqRealTimeBars", 221, AAA, 5, "TRADES", True, []),
    row("09:30:31", A, "reqRealTimeBars", 222, AAA, 5, "MIDPOINT", False, []),
    row("09:33:00", A, "cancelRealTimeBars", 221),
    row("09:33:00", A, "cancelRealTimeBars", 222),
    row("09:40:00", B, "cancelTickByTickData", 211),
    row("09:40:00", B, "cancelTickByTickData", 212),
    row("09:40:00", B, "cancelTickByTickData", 213),
    row("09:40:00", B, "cancelTickByTickData", 214),
    row("09:45:00", A, "cancelMktData", 202),
    row("09:45:00", A, "cancelMktData", 299),  # never asked for: 300
    row("09:46:00", A, "reqMarketDataType", 3),
    row("09:46:01", A, "reqMktData", 205, BBB, "", False, False, []),
    row("09:47:00", A, "cancelMktData", 205),
    row("09:47:00", A, "reqMarketDataType", 1),
    row("10:10:00", A, "cancelMktData", 201),
    *(
        row(
            f"10:21:{2 * (number // 10):02d}",
            A,
            "reqMktData",
            300 + number,
            stock(f"S{number:02d}"),
            "",
            True,
            False,
            [],
        )
        for number in range(50)
    ),
    row("12:55:00", A, "reqMktData", 206, AAA, "233", False, False, []),
    row("13:00:30", A, "cancelMktData", 206),
)

_HISTORY: tuple[Row, ...] = (
    _history("10:11:00", 401, AAA, "1800 S", "1 min", "TRADES"),
    _history("10:11:02", 402, AAA, "600 S", "30 secs", "MIDPOINT"),
    _history("10:11:04", 403, DDD, "1 D", "5 mins", "TRADES", 2),
    _history("10:11:06", 404, BBB, "1 D", "1 day", "TRADES"),
    _history("10:11:08", 405, stock("NOPE"), "1 D", "1 hour", "TRADES"),
    _history("10:11:10", 406, AAA, "1800 S", "7 parsecs", "TRADES"),
    _history("10:11:11", 407, AAA, "1800 S", "1 min", "TRADES"),  # the same within 15 s: pacing
    _history("10:11:20", 408, AAA, "600 S", "1 min", "TRADES", 1, True),
    row("10:16:00", A, "cancelHistoricalData", 408),
    _history("10:17:00", 409, AAA, "1 D", "1 hour", "BID_ASK", end="20231124 10:00:00 US/Eastern"),
    row("10:18:00", A, "reqHeadTimeStamp", 411, AAA, "TRADES", 1, 1),
    row("10:18:00", A, "reqHeadTimeStamp", 412, DDD, "TRADES", 1, 2),
    row("10:18:01", A, "cancelHeadTimeStamp", 411),
)

_SCANS: tuple[Row, ...] = (
    row(
        "10:19:00", A, "reqScannerSubscription", 501,
        Made("ScannerSubscription",
             {"numberOfRows": 10, "instrument": "STK", "locationCode": "STK.US.MAJOR", "scanCode": "MOST_ACTIVE"}),
        [], [],
    ),
    row(
        "10:19:00", A, "reqScannerSubscription", 502,
        Made("ScannerSubscription",
             {"numberOfRows": 5, "instrument": "STK", "locationCode": "STK.US.MAJOR", "scanCode": "TOP_OPEN_PERC_GAIN",
              "abovePrice": 15.0}),
        [], [Made("TagValue", {"tag": "priceBelow", "value": "60"})],
    ),
    row(
        "10:19:01", A, "reqScannerSubscription", 503,
        Made("ScannerSubscription",
             {"numberOfRows": 5, "instrument": "STK", "locationCode": "STK.US.MAJOR", "scanCode": "NO_SUCH_SCAN"}),
        [], [],
    ),
    row("10:19:40", A, "cancelScannerSubscription", 501),
    row("10:19:40", A, "cancelScannerSubscription", 502),
)  # fmt: skip

_ORDERS: tuple[Row, ...] = (
    _place("09:28:30", 0, AAA, order("BUY", 100, "MKT", "OPG", orderRef="at the open")),
    _place("09:28:31", 1, AAA, order("BUY", 10, "LMT", "OPG", lmtPrice=90.0)),
    _place("09:30:30", 2, AAA, order("BUY", 10, "MKT")),
    _place("09:31:00", 3, AAA, order("BUY", 4, "LMT", lmtPrice=99.5, orderRef="to be changed")),
    _place("09:32:00", 3, AAA, order("BUY", 6, "LMT", lmtPrice=99.6, orderRef="to be changed")),
    row("09:32:30", A, "reqOpenOrders"),
    _cancel("09:33:00", 3),
    _place("09:33:30", 4, AAA, order("SELL", 5, "LMT", lmtPrice=100.4)),
    _place("09:33:31", 5, AAA, order("SELL", 5, "STP", auxPrice=99.0)),
    _place("09:33:32", 6, AAA, order("BUY", 5, "STP", auxPrice=100.6)),
    _place("09:33:33", 7, AAA, order("BUY", 5, "STP LMT", auxPrice=100.7, lmtPrice=100.75)),
    _place("09:40:00", 8, AAA, order("SELL", 5, "TRAIL", auxPrice=0.2)),
    _place("09:40:01", 9, AAA, order("SELL", 5, "TRAIL", trailingPercent=5.0)),
    _place("09:41:00", 10, AAA, order("BUY", 5, "LMT", "IOC", lmtPrice=99.0)),
    _place("09:41:10", 11, AAA, order("BUY", 5, "LMT", "FOK", lmtPrice=99.0)),
    _place("09:41:20", 12, AAA, order("BUY", 5, "LMT", "IOC", lmtPrice=102.0)),
    _place(
        "09:41:30", 13, AAA, order("BUY", 5, "LMT", "GTD", lmtPrice=99.0, goodTillDate="20231124 10:05:00 US/Eastern")
    ),
    _place("09:41:40", 14, AAA, order("BUY", 5, "LMT", "GTC", lmtPrice=98.0, outsideRth=True)),
    _place("09:50:00", 15, AAA, order("SELL", 5, "LMT", lmtPrice=101.5, ocaGroup="either", ocaType=1)),
    _place("09:50:00", 16, AAA, order("SELL", 5, "STP", auxPrice=100.3, ocaGroup="either", ocaType=1)),
    _place("09:59:00", 17, BBB, order("BUY", 10, "LMT", lmtPrice=50.4, transmit=False)),
    _place("09:59:00", 18, BBB, order("SELL", 10, "LMT", lmtPrice=50.8, parentId=OrderId(17), transmit=False)),
    _place("09:59:00", 19, BBB, order("SELL", 10, "STP", auxPrice=49.0, parentId=OrderId(17), transmit=True)),
    _place("10:00:10", 20, AAA, order("BUY", 100, "MKT", whatIf=True)),
    _place("10:00:20", 21, stock("NOPE"), order("BUY", 1, "MKT")),
    _place("10:00:21", 21, AAA, order("BUY", 1, "LMT", lmtPrice=100.003)),
    _place("10:00:22", 21, AAA, order("BUY", 0, "MKT")),
    _place("10:00:23", 21, AAA, order("BUY", 1_000_000, "MKT")),
    _place("10:00:24", 2, AAA, order("BUY", 10, "MKT")),  # filled long ago
    _place("10:00:25", 22, AAA, order("BUY", 10, "NO TYPE")),
    _place("10:00:26", 23, CCC, order("SELL", 20, "MKT")),
    _place("10:00:27", 24, DDD, order("BUY", 20, "MKT")),
    row("10:00:30", A, "cancelOrder", 9_999),
    _cancel("10:00:31", 2),
    _place("10:00:40", 25, AAA, order("BUY", 3, "MKT", goodAfterTime="20231124 10:02:00 US/Eastern")),
    _place("10:00:41", 26, AAA, order("SELL", 3, "MOC")),
    _place("10:00:42", 27, AAA, order("SELL", 3, "LOC", lmtPrice=120.0)),
    _place("10:01:00", 0, BBB, order("BUY", 7, "LMT", lmtPrice=49.0, orderRef="of another"), B),
    _place("10:01:00", 1, BBB, order("SELL", 7, "MKT"), B),
    row("10:02:30", A, "reqAllOpenOrders"),
    row("10:02:31", B, "reqOpenOrders"),
    row("10:02:32", B, "reqAutoOpenOrders", False),
    row("10:03:00", A, "reqExecutions", 601, Made("ExecutionFilter")),
    row("10:03:01", A, "reqExecutions", 602, Made("ExecutionFilter", {"clientId": B})),
    row("10:03:02", B, "reqExecutions", 603, Made("ExecutionFilter", {"symbol": "AAA", "side": "SELL"})),
    row("10:03:03", B, "reqExecutions", 604, Made("ExecutionFilter", {"time": "20231124-14:45:00"})),
    row("10:03:10", A, "reqCompletedOrders", True),
    row("10:03:11", B, "reqCompletedOrders", False),
    row("10:04:00", A, AGAIN_CALL),
    row("10:04:01", A, "reqIds", 1),
    row("10:04:01", A, "reqOpenOrders"),
    row("10:04:02", A, "reqPositions"),
    row("10:04:03", A, "reqAccountUpdates", True, ACCOUNT),
    row("10:04:03", A, "reqExecutions", 605, Made("ExecutionFilter", {"clientId": A})),
    row("12:58:00", B, "reqGlobalCancel"),
    _place("12:58:30", 28, AAA, order("SELL", 2, "MOC")),
    row("13:00:10", A, "reqCompletedOrders", False),
    row("13:00:12", A, "reqExecutions", 606, Made("ExecutionFilter")),
    row("13:00:14", B, "reqPositions"),
)

_ENDS: tuple[Row, ...] = (row("13:01:00", A, STOP_CALL), row("13:01:00", B, STOP_CALL))

_BULLETINS: tuple[Row, ...] = (
    row("10:22:00", A, "reqNewsBulletins", True),
    row("10:22:01", A, "cancelNewsBulletins"),
    row("10:22:02", A, "reqNewsProviders"),  # nothing that this gateway has
)

_DAY = (*_REFERENCE, *_ACCOUNT, *_MARKET_DATA, *_HISTORY, *_SCANS, *_ORDERS, *_BULLETINS, *_ENDS)

_READ_ONLY: tuple[Row, ...] = (
    row("09:30:05", A, "reqOpenOrders"),
    _place("09:30:06", 0, AAA, order("BUY", 1, "MKT")),
    _cancel("09:30:07", 0),
    row("09:30:08", A, "reqGlobalCancel"),
    row("09:30:09", A, "reqPositions"),
    row("09:30:10", A, "reqContractDetails", 101, AAA),
    row("09:30:15", A, STOP_CALL),
)

_BEFORE: tuple[Row, ...] = (
    _place("09:30:05", 0, AAA, order("BUY", 10, "MKT", orderRef="first")),
    _place("09:30:06", 1, AAA, order("SELL", 10, "LMT", "GTC", lmtPrice=100.3, orderRef="survives")),
    _place("09:30:07", 2, AAA, order("BUY", 10, "LMT", lmtPrice=90.0)),
    _cancel("09:30:20", 2),
    row("09:30:30", A, STOP_CALL),
)
_AFTER: tuple[Row, ...] = (
    row("09:31:05", A, "reqOpenOrders"),
    row("09:31:06", A, "reqPositions"),
    row("09:31:07", A, "reqExecutions", 601, Made("ExecutionFilter")),
    row("09:31:08", A, "reqCompletedOrders", True),
    _place("09:31:10", 0, AAA, order("BUY", 1, "MKT")),
    row("09:36:00", A, STOP_CALL),
)

SCRIPTS: Mapping[str, tuple[Row, ...]] = {
    "day": _DAY,
    "hour": sooner(_DAY, 6, "09:28:00", "10:30:00"),
    "visit": (row("09:28:01", A, STOP_CALL),),
    "read only": _READ_ONLY,
    "before the restart": _BEFORE,
    "after the restart": _AFTER,
    "old flags": (
        _place("09:30:05", 0, AAA, order("BUY", 1, "MKT", eTradeOnly=True)),
        _place("09:30:06", 0, AAA, order("BUY", 1, "MKT", firmQuoteOnly=True)),
        row("09:30:10", A, STOP_CALL),
    ),
}
"""Every script by its name. "hour" is the day's first hour in ten minutes: all that there is to ask, quickly asked."""
