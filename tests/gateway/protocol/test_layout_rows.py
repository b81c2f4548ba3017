"""Messages and their fields, row by row, at the server versions where a layout changes.

Rows are written by hand from what the public clients send and read; ``|`` stands for the end of a field.
"""

from __future__ import annotations

import math

import pytest

from gateway.protocol import replies as say
from gateway.protocol import requests as ask
from gateway.protocol.codec import (
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    reply_tail,
    with_request,
)
from gateway.protocol.contract import Contract
from gateway.protocol.wire import ProtocolError, frame

AAPL = Contract(con_id=265598, symbol="AAPL", type="STK", exchange="SMART", currency="USD", local_symbol="AAPL", trading_class="NMS")  # fmt: skip
BARE = Contract(symbol="AAPL", type="STK", exchange="SMART", currency="USD")
FOUND = Contract(symbol="AAPL", type="STK", currency="USD")
C12 = "0|AAPL|STK||0|||SMART||USD|||"
ALL = (157, 163, 164, 166, 176, 178, 182, 187, 193, 196, 198, 200)
BAR = say.HistoricalBar("20261120", 1.0, 2.0, 0.5, 1.5, 100.0, 1.25, 9)
REJECTED = say.Error(5, 201, "no", "{}", 1763800000123)
UNTIMED = say.Error(5, 201, "no", "{}")
PLAIN = say.Error(5, 201, "no")
FILL = say.Execution(1, 2, AAPL, "x.01", "t", "DU1", "NASDAQ", "BOT", 1.0, 309.16, 12, 7, 1.0, 309.16)
MAX = "1.7976931348623157E308|"

REQUEST_ROWS: list[tuple[ask.Request, tuple[int, ...], str]] = [
    (ask.StartApi(7), ALL, "71|2|7||"),
    (ask.NextId(), ALL, "8|1|1|"),
    (ask.CurrentTime(), ALL, "49|1|"),
    (ask.CurrentTimeMillis(), (197, 200), "105|"),
    (ask.AccountUpdates(True, "DU1"), ALL, "6|2|1|DU1|"),
    (ask.AccountUpdatesMulti(3, "DU1", "", True), ALL, "76|1|3|DU1||1|"),
    (ask.Pnl(3, "DU1"), ALL, "92|3|DU1||"),
    (ask.MarketData(4, BARE, "233"), ALL, f"1|11|4|{C12}0|233|0|0||"),
    (ask.CancelMarketData(4), ALL, "2|2|4|"),
    (ask.TickByTick(5, BARE, "AllLast"), ALL, f"97|5|{C12}AllLast|0|0|"),
    (ask.HistoricalBars(6, BARE, "", "1 min", "1 D", True, "TRADES"), ALL, f"20|6|{C12}0||1 min|1 D|1|TRADES|1|0||"),
    (ask.RealTimeBars(7, BARE, 5, "TRADES", True), ALL, f"50|3|7|{C12}5|TRADES|1||"),
    (ask.ContractDetails(8, BARE), (157, 163, 166, 175), f"9|8|8|{C12}0|||"),
    (ask.ContractDetails(8, BARE), (176, 187, 200), f"9|8|8|{C12}0||||"),
    (ask.CancelOrder(9), (157, 168), "4|1|9|"),
    (ask.CancelOrder(9), (169, 186, 190, 191), "4|1|9||"),
    (ask.CancelOrder(9, "t", "o", 1, "u"), (187, 189), "4|1|9|t|o|u|1|"),
    (ask.CancelOrder(9, "t", "o", 1), (192, 200), "4|9|t|o|1|"),
    (ask.GlobalCancel(), (157, 191), "58|1|"),
    (ask.GlobalCancel(), (192, 200), "58|||"),
    (ask.Executions(10), (157, 199), "7|3|10|0|||||||"),
    (ask.Executions(10, ask.ExecutionFilter(last_days=3, dates=(20261120,))), (200,), "7|3|10|0|||||||3|1|20261120|"),
    (ask.CompletedOrders(True), ALL, "99|1|"),
]
REPLY_ROWS: list[tuple[say.Reply, tuple[int, ...], str]] = [
    (say.NextValidId(1), ALL, "9|1|1|"),
    (say.ManagedAccountsList("DU1"), ALL, "15|1|DU1|"),
    (PLAIN, (157, 165), "4|2|5|201|no|"),
    (UNTIMED, (166, 176, 193), "4|2|5|201|no|{}|"),
    (REJECTED, (194, 200), "4|5|201|no|{}|1763800000123|"),
    (say.AccountValue("Cash", "1", "USD", "DU1"), ALL, "6|2|Cash|1|USD|DU1|"),
    (say.PositionRow("DU1", AAPL, 100.0, 1.5), ALL, "61|3|DU1|265598|AAPL|STK||0|||SMART|USD|AAPL|NMS|100|1.5|"),
    (say.PnlUpdate(1, 1.5, math.nan, 0.0), ALL, f"94|1|1.5|{MAX}0.0|"),
    (say.TickPrice(1, 4, 309.16, 100.0), ALL, "1|6|1|4|309.16|100|0|"),
    (say.TickSize(1, 8, 1234.0), ALL, "2|6|1|8|1234|"),
    (say.TickSize(1, 8, 0.5), (163, 200), "2|6|1|8|0.5|"),
    (say.TickLast(1, 2, 17, 309.16, 100.0, 0, "NASDAQ"), ALL, "99|1|2|17|309.16|100|0|NASDAQ||"),
    (say.TickBidAsk(1, 17, 1.0, 2.0, 3.0, 4.0), ALL, "99|1|3|17|1.0|2.0|3|4|0|"),
    (say.TickMid(1, 17, 1.5), ALL, "99|1|4|17|1.5|"),
    (say.HistoricalData(1, "a", "b", (BAR,)), (157, 195), "17|1|a|b|1|20261120|1.0|2.0|0.5|1.5|100|1.25|9|"),
    (say.HistoricalData(1, bars=(BAR,)), (196, 200), "17|1|1|20261120|1.0|2.0|0.5|1.5|100|1.25|9|"),
    (say.HistoricalDataEnd(1, "a", "b"), (196, 200), "108|1|a|b|"),
    (say.HistoricalDataUpdate(1, BAR), ALL, "90|1|9|20261120|1.0|1.5|2.0|0.5|1.25|100|"),
    (say.RealTimeBar(1, 17, 1.0, 2.0, 0.5, 1.5, 100.0, 1.25, 9), ALL, "50|3|1|17|1.0|2.0|0.5|1.5|100|1.25|9|"),
    (say.OrderStatus(1, "Filled", 1.0, 0.0, 309.16, 12, 0, 309.16, 7), ALL, "3|1|Filled|1|0|309.16|12|0|309.16|7||0.0|"),
    (FILL, (157, 176),
     "11|1|2|265598|AAPL|STK||0|||SMART|USD|AAPL|NMS|x.01|t|DU1|NASDAQ|BOT|1|309.16|12|7|0|1|309.16|||||2|"),
    (FILL, (178, 196),
     "11|1|2|265598|AAPL|STK||0|||SMART|USD|AAPL|NMS|x.01|t|DU1|NASDAQ|BOT|1|309.16|12|7|0|1|309.16|||||2|0|"),
    (FILL, (198, 200),
     "11|1|2|265598|AAPL|STK||0|||SMART|USD|AAPL|NMS|x.01|t|DU1|NASDAQ|BOT|1|309.16|12|7|0|1|309.16|||||2|0||"),
    (say.Commission("x.01", 1.000003, "USD", -2.016569), ALL, f"59|1|x.01|1.000003|USD|-2.016569|{MAX}|"),
    (say.SymbolSamples(1, (say.SymbolSample(FOUND, ("CFD",)),)), (157, 166), "79|1|1|0|AAPL|STK||USD|1|CFD|"),
    (say.SymbolSamples(1, (say.SymbolSample(FOUND),)), (176, 200), "79|1|1|0|AAPL|STK||USD|0|||"),
    (say.CompletedOrdersEnd(), ALL, "102|"),
]  # fmt: skip
DETAILS = "AAPL|STK|{expiry}0||SMART|USD|AAPL|NMS|NMS|265598|0.01|{multiplier}|LMT|SMART|1|0|APPLE|NYSE|||||||||0|0|1||||||{tail}"
MICRO = say.ContractDetailsRow(
    2, Contract(con_id=265598, symbol="AAPL", type="STK", exchange="SMART", primary_exchange="NYSE", currency="USD",
                local_symbol="AAPL", trading_class="NMS"),
    "NMS", 0.01, "LMT", "SMART", long_name="APPLE", time_zone="", market_rules="", stock_type="",
)  # fmt: skip
DETAILS_ROWS = [
    (157, "10|8|2|", "|", "1|", ""),
    (163, "10|8|2|", "|", "1|", "1|"),
    (164, "10|2|", "|", "", "1|1|100|"),
    (182, "10|2|", "||", "", "1|1|100|"),
    (186, "10|2|", "||", "", "1|1|100|0|"),
]


def fields(row: str) -> bytes:
    return row.replace("|", "\0").encode()


@pytest.mark.parametrize(("request_", "versions", "row"), REQUEST_ROWS)
def test_a_request_is_these_fields(request_: ask.Request, versions: tuple[int, ...], row: str) -> None:
    for version in versions:
        assert encode_request(request_, version) == frame(fields(row)), version
        assert repr(decode_request(fields(row), version)) == repr(request_), version


@pytest.mark.parametrize(("reply", "versions", "row"), REPLY_ROWS)
def test_a_reply_is_these_fields(reply: say.Reply, versions: tuple[int, ...], row: str) -> None:
    for version in versions:
        assert encode_reply(reply, version) == frame(fields(row)), version
        assert repr(decode_reply(fields(row), version)) == repr(reply), version


@pytest.mark.parametrize(("version", "head", "expiry", "multiplier", "tail"), DETAILS_ROWS)
def test_contract_details_grow_with_the_version(
    version: int, head: str, expiry: str, multiplier: str, tail: str
) -> None:
    row = head + DETAILS.format(expiry=expiry, multiplier=multiplier, tail=tail)
    assert encode_reply(MICRO, version) == frame(fields(row))
    assert repr(decode_reply(fields(row), version)) == repr(MICRO)


def test_a_reply_that_a_version_does_not_have_is_nothing() -> None:
    assert encode_reply(say.HistoricalDataEnd(1, "a", "b"), 195) == b""
    assert encode_reply(say.TimeMillis(1), 196) == b""


def test_a_size_is_written_whole_for_clients_that_read_integers() -> None:
    assert encode_reply(say.TickSize(1, 8, 100.9), 162) == frame(fields("2|6|1|8|100|"))
    assert encode_reply(say.TickSize(1, 8, 100.9), 163) == frame(fields("2|6|1|8|100.9|"))


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize(
    "reply",
    [
        say.TickPrice(77, 4, 309.16, 100.0),
        say.TickLast(77, 2, 17, 309.16, 100.0, 0, "NASDAQ"),
        say.TickString(77, 48, "309.16;1;17;5;309.1;true"),
        say.RealTimeBar(77, 17, 1.0, 2.0, 0.5, 1.5, 100.0, 1.25, 9),
        say.Error(77, 162, "none", ms=17),
    ],
)
def test_the_same_frame_is_made_from_its_parts(reply: say.Reply, version: int) -> None:
    head, tail = reply_tail(reply, version)
    assert with_request(head, 77, tail) == encode_reply(reply, version)


def test_what_answers_no_request_has_no_parts() -> None:
    with pytest.raises(ValueError, match="no request number"):
        reply_tail(say.PositionEnd(), 200)


@pytest.mark.parametrize(
    ("row", "version", "why", "request_number"),
    [
        ("", 200, "end with a NUL", -1),
        ("49|1", 200, "end with a NUL", -1),
        ("|1|", 200, "begins with its number", -1),
        ("abc|1|", 200, "begins with its number, not 'abc'", -1),
        ("208|1|", 200, "numbers above 200 are no text messages", -1),
        ("33|1|", 200, "message 33 is unknown at server version 200", -1),
        ("105|", 196, "message 105 is unknown at server version 196", -1),
        ("104|5|", 166, "message 104 is unknown at server version 166", -1),
        ("2|2|", 200, "it ends before request", -1),
        ("2|2|17|1|", 200, "it ends after 3 fields, but 4 came", 17),
        ("2|x|17|", 200, "the message's version is 'x', which is no integer", 17),
        (f"1|11|17|{C12.replace('0', 'zero', 1)}0|233|0|0||", 200, "contract.con_id is 'zero', which is no integer", 17),
        ("7|3|17|0|||||||3|1000000000|1|", 200, "the number of filter.dates is 1000000000, but 1 fields follow", 17),
        ("7|3|17|0|||||||3|-1|1|", 200, "the number of filter.dates is -1", 17),
        ("22|17|ten|", 200, "rows is 'ten', which is no count", 17),
        ("1|" * 10_001, 200, "10000 are allowed", -1),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_in_one_clear_line(row: str, version: int, why: str, request_number: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        decode_request(fields(row), version)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.request == request_number


def test_what_is_known_by_name_only_says_so_with_its_number() -> None:
    assert decode_request(fields("10|5|17|0|AAPL|anything|"), 200) == ask.Unsupported(10, "market depth", 17)
    assert decode_request(fields("80|"), 200) == ask.Unsupported(80, "family codes", -1)
    assert decode_request(fields("96|x|"), 200) == ask.Unsupported(96, "historical ticks", -1)
