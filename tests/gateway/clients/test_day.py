"""What a client hears in the scripted day is what the script means to bring about."""

from __future__ import annotations

import pytest

from tests.gateway.clients.conftest import Recorded
from tests.gateway.clients.playing import BY_NAME, Heard, codes, named
from tests.gateway.clients.script import seconds

HEARD = frozenset({
    "accountDownloadEnd", "accountSummary", "accountSummaryEnd", "accountUpdateMulti", "accountUpdateMultiEnd",
    "commissionReport", "completedOrder", "completedOrdersEnd", "contractDetails", "contractDetailsEnd", "error",
    "execDetails", "execDetailsEnd", "headTimestamp", "historicalData", "historicalDataEnd", "historicalDataUpdate",
    "managedAccounts", "marketDataType", "nextValidId", "openOrder", "openOrderEnd", "orderStatus", "pnl", "pnlSingle",
    "position", "positionEnd", "positionMulti", "positionMultiEnd", "realtimeBar", "scannerData", "scannerDataEnd",
    "scannerParameters", "symbolSamples", "tickByTickAllLast", "tickByTickBidAsk", "tickByTickMidPoint", "tickGeneric",
    "tickPrice", "tickReqParams", "tickSize", "tickSnapshotEnd", "tickString", "updateAccountTime",
    "updateAccountValue", "updatePortfolio",
})  # fmt: skip

ENDS = {
    1: "Filled", 2: "Cancelled", 3: "Filled", 4: "Cancelled", 5: "Filled", 6: "Cancelled", 7: "Filled", 8: "Filled",
    9: "Filled", 10: "Cancelled", 11: "Cancelled", 12: "Inactive", 13: "Filled", 14: "Cancelled", 15: "Cancelled",
    16: "Cancelled", 17: "Filled", 18: "Filled", 19: "Filled", 20: "Cancelled", 22: "Inactive", 24: "Filled",
    25: "Filled", 26: "Filled", 27: "Cancelled", 28: "Cancelled", 29: "Filled",
}  # fmt: skip
"""Order id of client 1 -> the last status that it hears. 21 is a what-if, 23 of no type."""


@pytest.fixture(scope="module")
def day(recorded: Recorded) -> Heard:
    return recorded(BY_NAME["ibapi-10.50"], "day")


def test_everything_that_the_gateway_can_say_is_heard(day: Heard) -> None:
    assert {each.name for each in day[1]} == HEARD


def test_nothing_was_undecodable(day: Heard) -> None:
    assert [each for each in day[1] if each.client < 0] == []


def test_every_order_ends_as_the_script_means_it(day: Heard) -> None:
    statuses = named(day, "orderStatus")
    assert {a[0]: a[1] for a in statuses if a[8] == 1} == ENDS


def test_a_market_order_is_told_in_the_order_of_a_real_capture(day: Heard) -> None:
    mine = [
        (each.name, each.arguments[1] if each.name == "orderStatus" else "")
        for each in day[1]
        if each.client == 1
        and each.name in ("openOrder", "orderStatus", "execDetails", "commissionReport")
        and seconds("09:30:29") <= each.at <= seconds("09:30:40")
    ]
    assert mine == [
        ("openOrder", ""),
        ("orderStatus", "PreSubmitted"),
        ("execDetails", ""),
        ("openOrder", ""),
        ("orderStatus", "Filled"),
        ("commissionReport", ""),
    ]


def test_errors_are_those_that_the_script_asks_for(day: Heard) -> None:
    heard = codes(day)
    for expected in [
        (103, 200), (203, 200), (201, 322), (299, 300), (22, 200), (22, 110), (22, 434), (22, 201), (3, 104), (23, 387),
        (9_999, 10147), (3, 10148), (405, 200), (406, 321), (407, 162), (408, 162), (503, 162), (501, 162), (502, 162),
    ]:  # fmt: skip
        assert expected in heard
    assert (-1, 327) in codes(day, 2)


def test_each_of_fifty_snapshots_has_a_price_and_an_end(day: Heard) -> None:
    wanted = set(range(300, 350))
    assert {number for (number,) in named(day, "tickSnapshotEnd")} == wanted | {204}
    assert {a[0] for a in named(day, "tickPrice")} >= wanted


def test_trades_of_generic_tick_233_have_milliseconds(day: Heard) -> None:
    trades = [str(text).split(";") for number, kind, text in named(day, "tickString") if (number, kind) == (201, 48)]
    assert len(trades) > 100
    assert all(len(each) == 6 and len(each[2]) == 13 for each in trades)


def test_executions_have_one_commission_each(day: Heard) -> None:
    live = [str(a[2]["execId"]) for a in named(day, "execDetails") if a[0] == -1]  # type: ignore[index]
    paid = [str(a[0]["execId"]) for a in named(day, "commissionReport")]  # type: ignore[index]
    assert len(live) == len(set(live)) > 10
    assert set(live) <= set(paid)


def test_a_reconnect_finds_its_orders_and_goes_on_with_its_ids(day: Heard) -> None:
    again = seconds("10:04:00")
    mine = [each for each in day[1] if each.client == 1]
    assert [each.arguments[0] for each in mine if each.name == "nextValidId"] == [1, 1, 29, 29]
    opened = {each.arguments[0] for each in mine if each.name == "openOrder" and again <= each.at <= again + 2}
    assert opened == {6, 10, 14, 15, 19, 20, 27, 28}


def test_another_client_sees_orders_of_all_and_cancels_them(day: Heard) -> None:
    foreign = [a for a in named(day, "openOrder") if a[2]["clientId"] == 2]  # type: ignore[index]
    assert [a[2]["orderRef"] for a in foreign] == ["of another"]  # type: ignore[index]
    cancelled = [each for each in day[1] if each.client == 1 and each.at == seconds("12:58:00")]
    assert {each.arguments[0] for each in cancelled if each.arguments[1:2] == (202,)} >= {6, 10, 15}
