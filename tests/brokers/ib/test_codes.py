"""Each code of TWS is what it is: a notice is no cancel, a warning no end, and what nobody knows halts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from brokers.ib.codes import CODES, FARMS, CodeClass, Farm, classify, farm_name, meaning

C = CodeClass
GATEWAY = Path(__file__).resolve().parents[3] / "gateway"
SAID = re.compile(r"(?:Refused|Rejected)\(\s*(\d{3,5}),|rror\(\s*[\w.\-]+,\s*(\d{3,5}),|NOTICE_CODES?\s*=\s*(\d+)")


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (1100, "Connectivity between IB and Trader Workstation has been lost.", C.CONNECTION_LOST),
        (1101, "Connectivity has been restored- data lost.", C.RESTORED_DATA_LOST),
        (1102, "Connectivity has been restored- data maintained.", C.RESTORED),
        (2103, "Market data farm connection is broken:usfarm", C.FARM_DOWN),
        (2105, "HMDS data farm connection is broken:ushmds", C.FARM_DOWN),
        (2110, "Connectivity between Trader Workstation and server is broken.", C.FARM_DOWN),
        (2119, "Market data farm is connecting:usfarm", C.FARM_DOWN),
        (2157, "Sec-def data farm connection is broken:secdefnj", C.FARM_DOWN),
        (2104, "Market data farm connection is OK:usfarm", C.FARM_OK),
        (2106, "HMDS data farm connection is OK:ushmds", C.FARM_OK),
        (2158, "Sec-def data farm connection is OK:secdefnj", C.FARM_OK),
        (2107, "HMDS data farm connection is inactive but should be available upon demand.ushmds", C.FARM_IDLE),
        (2108, "Market data farm connection is inactive but should be available upon demand.usfuture", C.FARM_IDLE),
        (326, "Unable to connect as the client id is already in use.", C.ID_IN_USE),
        (10349, "Order TIF was set to DAY based on order preset.", C.WARNING),
        (399, "Order Message: Warning: your order will not be placed at the exchange until", C.WARNING),
        (404, "Order held while securities are located.", C.WARNING),
        (2109, "Outside Regular Trading Hours attribute is ignored.", C.WARNING),
        (201, "Order rejected - reason:The margin is insufficient", C.ORDER_REJECTED),
        (203, "The security is not available or allowed for this account.", C.ORDER_REJECTED),
        (10289, "You must set Cash Quantity for this order.", C.ORDER_REJECTED),
        (10293, "", C.ORDER_REJECTED),
        (110, "The price does not conform to the minimum price variation.", C.ORDER_REJECTED),
        (202, "Order Canceled - reason:", C.ORDER_CANCELLED),
        (103, "Duplicate order id", C.DUPLICATE_ORDER_ID),
        (104, "Cannot modify a filled order.", C.MODIFY_REFUSED),
        (161, "Cancel attempted when order is not in a cancellable state.", C.CANCEL_REFUSED),
        (10147, "OrderId 7 that needs to be cancelled is not found.", C.CANCEL_REFUSED),
        (10148, "OrderId 7 that needs to be cancelled cannot be cancelled, state: Filled.", C.CANCEL_REFUSED),
        (321, "Error validating request.-'bW' : cause - Please enter a valid security type", C.REQUEST_FAILED),
        (200, "No security definition has been found for the request", C.REQUEST_FAILED),
        (162, "Historical Market Data Service error message:Historical data request pacing violation", C.PACING),
        (162, "Historical Market Data Service error message:HMDS query returned no data: X@SMART Trades", C.NO_DATA),
        (162, "Historical Market Data Service error message:API scanner subscription cancelled: 7", C.REQUEST_ENDED),
        (162, "Historical Market Data Service error message:API historical data query cancelled: 7", C.REQUEST_ENDED),
        (
            162,
            "Historical Market Data Service error message:No market data permissions for NYSE STK",
            C.DATA_PERMISSION,
        ),
        (162, "Trading TWS session is connected from a different IP address", C.DATA_COMPETING),
        (162, "Historical Market Data Service error message:Scanner type with code X is disabled", C.REQUEST_FAILED),
        (165, "Historical Market Data Service query message:no items retrieved", C.NO_DATA),
        (165, "Historical Market Data Service query message:something", C.SCAN_WARNING),
        (492, "You are not subscribed to one of the scanner's data", C.SCAN_WARNING),
        (366, "No historical data query found for ticker id:7", C.REQUEST_ENDED),
        (322, "Error processing request.-'co' : cause - Only 50 simultaneous API historical data requests", C.LINES),
        (322, "Error processing request.-'bO' : cause - Duplicate ticker id", C.REQUEST_FAILED),
        (354, "Requested market data is not subscribed.", C.DATA_PERMISSION),
        (10089, "Requested market data requires additional subscription for API.", C.DATA_PERMISSION),
        (10168, "Requested market data is not subscribed. Delayed market data is not enabled.", C.DATA_PERMISSION),
        (10167, "Requested market data is not subscribed. Displaying delayed market data.", C.DATA_DELAYED),
        (10197, "No market data during competing live session", C.DATA_COMPETING),
        (100, "Max rate of messages per second has been exceeded:max=50 rec=51", C.PACING),
        (420, "Invalid Real-time Query:Historical data request pacing violation", C.PACING),
        (420, "Invalid Real-time Query:No market data permissions for NYSE STK", C.DATA_PERMISSION),
        (101, "Max number of tickers has been reached.", C.LINES),
        (10190, "Max number of tick-by-tick requests has been reached.", C.LINES),
        (10182, "Failed to request live updates (disconnected).", C.DATA_ENDED),
        (502, "Couldn't connect to TWS.", C.FATAL),
        (504, "Not connected", C.FATAL),
        (507, "Bad message length", C.FATAL),
        (1300, "TWS socket port has been reset and this connection is being dropped.", C.FATAL),
    ],
)
def test_a_code_with_its_text_is_of_one_class(code: int, text: str, expected: CodeClass) -> None:
    assert classify(code, text) is expected


@pytest.mark.parametrize("code", [0, 99, 999, 2111, 9999, 10301, 123456])
def test_a_code_in_no_table_is_a_class_of_its_own(code: int) -> None:
    assert classify(code, "whatever") is C.UNKNOWN
    assert "halted" in meaning(code).text


def test_every_code_that_the_simulated_gateway_says_is_known() -> None:
    said = {
        int(next(filter(None, found)))
        for path in GATEWAY.glob("*.py")
        for found in SAID.findall(path.read_text(encoding="utf-8"))
    }
    assert len(said) > 30
    assert {code for code in said if code not in CODES} == set()


def test_what_a_warning_says_never_ends_an_order() -> None:
    ends = {C.ORDER_REJECTED, C.ORDER_CANCELLED, C.REQUEST_FAILED}
    for code in (399, 404, 2109, 10349, 2104, 2106, 2158, 1100, 1102, 10167):
        assert classify(code, "Order cancelled, rejected") not in ends


def test_every_code_has_a_short_line_that_says_what_it_means() -> None:
    assert [code for code, each in CODES.items() if not 10 <= len(each.text) <= 100 or each.text.endswith(".")] == []
    assert meaning(162).text_decides
    assert not meaning(201).text_decides


def test_a_farm_and_what_it_delivers_are_told_from_its_notice() -> None:
    of_farms = {C.FARM_DOWN, C.FARM_OK, C.FARM_IDLE}
    assert {code for code, each in CODES.items() if each.of in of_farms} == set(FARMS)
    assert FARMS[2103] is FARMS[2104] is Farm.MARKET
    assert farm_name("Market data farm connection is OK:usfarm.nj") == "usfarm.nj"
    assert farm_name("Connectivity is broken.") == ""
