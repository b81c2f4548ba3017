"""Market scans as a client of the simulated TWS gets them."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.scans import RANKINGS, ScanSource, evaluate
from gateway.clients import Client
from gateway.contracts import Refused
from gateway.protocol.replies import Error, Reply, ScannerData, ScannerXml
from gateway.protocol.requests import CancelScanner, ScannerParameters, ScannerSubscription
from gateway.scanners import read_scan
from gateway.settings import GatewaySettings, Limits
from papertape.core.model import NS_PER_S, Instrument, InstrumentType, ScanSpec
from papertape.core.requests import ScanRequest
from papertape.core.scanner import FILTERS
from tests.gateway.desk import Desk, errors
from tests.gateway.june import at, trades

SERIES = tuple(
    trades(
        name,
        [
            (at(3, "15:00:00"), 100.0, 10.0),
            (at(4, "9:30:00"), 100.0 + change, volume),
            (at(4, "9:31:00"), 100.0 - change, 10 * volume),
        ],
    )
    for name, change, volume in (("AAA", 1.0, 300.0), ("BBB", 2.0, 200.0), ("CCC", 3.0, 100.0))
)
INSTRUMENTS = (
    Instrument("AAA", con_id=11, exchange="NASDAQ", market_cap=5e8, average_volume=1e6),
    Instrument("BBB", con_id=22, market_cap=2e9, average_volume=2e6),
    Instrument("CCC", con_id=33, market_cap=9e9),
)
REFERENCE = frozenset({"market_cap", "average_volume"})


def opened(**settings: Any) -> tuple[Desk, Client]:
    played = Desk(
        *SERIES,
        settings=GatewaySettings(**settings),
        start=at(4, "9:29:55"),
        instruments=INSTRUMENTS,
        reference=REFERENCE,
    )
    client = played.client()
    played.play(at(4, "9:30:00.5"), client)
    return played, client


def scan(code: str = "TOP_PERC_GAIN", request: int = 1, **fields: Any) -> ScannerSubscription:
    given: dict[str, Any] = {"rows": 10, "instrument": "STK", "location": "STK.US.MAJOR", **fields}
    return ScannerSubscription(request, code=code, **given)


def names(replies: list[Reply]) -> list[list[str]]:
    return [[row.contract.symbol for row in reply.rows] for reply in replies if isinstance(reply, ScannerData)]


def test_rows_are_ranked_and_describe_their_contracts():
    played, client = opened()
    [data] = played.ask(scan(), client)
    assert isinstance(data, ScannerData)
    assert [(row.rank, row.contract.symbol, row.contract.con_id) for row in data.rows] == [
        (0, "CCC", 33), (1, "BBB", 22), (2, "AAA", 11),
    ]  # fmt: skip
    assert (data.rows[2].market_name, data.rows[2].contract.exchange) == ("NMS", "SMART")


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"above_price": 101.5}, ["CCC", "BBB"]),
        ({"below_price": 102.5}, ["BBB", "AAA"]),
        ({"above_volume": 150}, ["BBB", "AAA"]),
        ({"market_cap_above": 1000.0}, ["CCC", "BBB"]),
        ({"market_cap_above": 1000.0, "market_cap_below": 5000.0}, ["BBB"]),
        ({"filter_options": "avgVolumeAbove=500000;"}, ["BBB", "AAA"]),
        ({"filter_options": "avgVolumeAbove=500000;marketCapAbove1e6=1000;"}, ["BBB"]),
        ({"filter_options": "priceAbove=101.5"}, ["CCC", "BBB"]),
        ({"rows": 1}, ["CCC"]),
        ({"rows": None}, ["CCC", "BBB", "AAA"]),
        ({"rows": -1, "stock_type": "ALL"}, ["CCC", "BBB", "AAA"]),
    ],
)
def test_filters_hold(fields: dict[str, Any], found: list[str]):
    played, client = opened()
    assert names(played.ask(scan(**fields), client)) == [found]


def test_a_scan_is_sent_again_after_thirty_seconds_where_it_changed():
    played, client = opened()
    played.ask(scan(), client)
    assert names(played.play(at(4, "9:31:00"), client)) == []
    assert names(played.play(at(4, "9:31:30"), client)) == [["AAA", "BBB", "CCC"]]
    assert names(played.play(at(4, "9:40:00"), client)) == []


def test_a_scan_without_results_is_empty_and_says_so():
    played, client = opened()
    replies = played.ask(scan(above_price=1e6), client)
    assert names(replies) == [[]]
    assert errors(replies) == [165]


def test_what_is_no_stock_is_in_no_scan_of_stocks():
    played = Desk(*SERIES, start=at(4, "9:29:55"), instruments=(Instrument("CCC", InstrumentType.FUTURE),))
    client = played.client()
    played.play(at(4, "9:30:01"), client)
    assert names(played.ask(scan(rows=2), client)) == [["BBB", "AAA"]]


def test_cancelling_is_confirmed_with_an_error_and_done_once():
    played, client = opened()
    played.ask(scan(), client)
    [error] = played.ask(CancelScanner(1), client)
    assert isinstance(error, Error)
    assert (error.code, error.text.endswith("API scanner subscription cancelled: 1")) == (162, True)
    assert errors(played.ask(CancelScanner(1), client)) == [365]
    assert played.play(at(4, "9:35:00"), client) == []


def test_a_connection_that_ends_takes_its_scans_with_it():
    played, client = opened()
    played.ask(scan(), client)
    played.tws.disconnect(client)
    assert played.play(at(4, "9:35:00"), client) == []


def test_scans_are_limited_and_their_numbers_differ():
    played, client = opened(limits=Limits(scans=2))
    assert errors(played.ask(scan(request=1), client)) == []
    assert errors(played.ask(scan(request=1), client)) == [322]
    assert errors(played.ask(scan(request=2), client)) == []
    [error] = played.ask(scan(request=3), client)
    assert isinstance(error, Error)
    assert "Only 2 simultaneous API scanner subscriptions are allowed." in error.text


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"code": "HOT_BY_EVERYTHING"}, 162),
        ({"location": "STK.HK"}, 162),
        ({"instrument": "BOND"}, 162),
        ({"rows": 51}, 321),
        ({"rows": 0}, 321),
        ({"moody_above": "AAA"}, 321),
        ({"coupon_above": 2.0}, 321),
        ({"stock_type": "ETF"}, 321),
        ({"filter_options": "changePercAbove=3"}, 321),
        ({"filter_options": "priceAbove=high"}, 321),
        ({"filter_options": "priceAbove=nan"}, 321),
    ],
)
def test_what_is_not_simulated_is_refused_and_never_left_out(fields: dict[str, Any], code: int):
    played, client = opened()
    assert errors(played.ask(scan(**fields), client)) == [code]
    assert played.play(at(4, "9:35:00"), client) == []


def test_a_filter_that_the_tape_has_no_reference_data_for_is_refused():
    played = Desk(*SERIES, start=at(4, "9:29:55"))
    client = played.client()
    [error] = played.ask(scan(filter_options="avgVolumeAbove=1;"), client)
    assert isinstance(error, Error)
    assert (error.code, "average_volume" in error.text) == (162, True)


def test_the_parameters_name_exactly_what_is_taken():
    played, client = opened()
    [reply] = played.ask(ScannerParameters(), client)
    assert isinstance(reply, ScannerXml)
    root = ET.fromstring(reply.xml)
    assert {each.text for each in root.iter("scanCode")} == set(RANKINGS)
    assert {each.text for each in root.iter("code")} == set(FILTERS.values())
    for code in root.iter("scanCode"):
        for option in root.iter("code"):
            request = scan(code.text or "", filter_options=f"{option.text}=1")
            assert not isinstance(read_scan(request, 50), Refused)


@given(st.integers(0, 400), st.sampled_from(sorted(RANKINGS)))
def test_the_ranking_is_that_of_the_backtest_at_that_time(offset: int, code: str):
    played, client = opened()
    now = at(4, "9:30:01") + offset * NS_PER_S
    played.play(now, client)
    market = played.tws.market
    expected = evaluate(market.view, market.tape, ScanSource.DERIVED, ScanRequest(ScanSpec(code), 10), now)
    assert names(played.ask(scan(code), client)) == [list(expected.symbols)]


@given(st.text(max_size=40))
def test_no_text_of_filters_is_anything_but_read_or_refused(text: str):
    assert isinstance(read_scan(scan(filter_options=text), 50), ScanRequest | Refused)


def test_unset_fields_are_no_filters():
    found = read_scan(ScannerSubscription(1, code="MOST_ACTIVE", above_price=math.nan), 50)
    assert found == ScanRequest(ScanSpec("MOST_ACTIVE", {}), 50)
