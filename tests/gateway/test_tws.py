"""The simulated TWS as a whole: connecting, time, the rate of messages, what it does not simulate."""

from __future__ import annotations

import pytest

from gateway.protocol import requests
from gateway.protocol.contract import Contract
from gateway.protocol.replies import Error, ManagedAccountsList, NextValidId, TickLast, Time, TimeMillis
from gateway.settings import GatewaySettings, Limits
from gateway.tws import MOST_CLIENTS
from papertape.core.timers import NEVER
from tests.brokers.tapes import CLOSE, DAY, OPEN, S, ns, trades
from tests.gateway.desk import VERSION, Desk, errors, order, stock, told

TAPE = trades("AAPL", (1, 100.0), (2, 101.0), (3.5, 102.0))


def test_a_client_that_starts_is_told_accounts_the_next_id_and_the_farms():
    desk = Desk(TAPE)
    client = desk.tws.connect(VERSION)
    heard = desk.ask(requests.StartApi(7), client)
    assert heard[:2] == [ManagedAccountsList("DU1234567"), NextValidId(1)]
    assert errors(heard) == [2104, 2106, 2158]
    assert [each.request for each in heard if isinstance(each, Error)] == [-1, -1, -1]


def test_a_client_id_that_is_in_use_is_refused_with_326_and_disconnected():
    desk = Desk(TAPE)
    assert not desk.one.closing
    second = desk.tws.connect(VERSION)
    assert errors(desk.ask(requests.StartApi(1), second)) == [326]
    assert "client id 1" in second.closing
    desk.tws.disconnect(second)
    assert desk.ask(requests.CurrentTime()) == [Time((OPEN - S) // S)], "the first client of that id stays"


def test_a_client_id_is_free_again_after_a_disconnect():
    desk = Desk(TAPE)
    desk.tws.disconnect(desk.one)
    assert desk.client(1).closing == ""


def test_what_comes_before_start_api_is_not_answered():
    desk = Desk(TAPE)
    client = desk.tws.connect(VERSION)
    assert errors(desk.ask(requests.Positions(), client)) == [504]


def test_more_clients_than_tws_takes_are_turned_away():
    desk = Desk(TAPE)
    for k in range(MOST_CLIENTS):
        assert not desk.client(k).closing
    assert desk.tws.connect(VERSION).closing == "too many clients"


def test_time_is_the_exchanges_and_passes_second_by_second():
    desk = Desk(TAPE)
    desk.at(2.25)
    assert desk.ask(requests.CurrentTime()) == [Time(ns(2) // S)]
    assert desk.ask(requests.CurrentTimeMillis()) == [TimeMillis(ns(2.25) // 1_000_000)]
    seen = []
    while desk.tws.next_ts <= ns(6):
        seen.append((desk.tws.next_ts - OPEN) / S)
        desk.tws.play_next()
    assert seen == [3.0, 3.5, 4.0, 5.0, 6.0]


def test_an_end_at_night_is_followed_by_a_second_that_says_so():
    desk = Desk(TAPE, end=OPEN + 14 * 3600 * S)
    while desk.tws.next_ts != NEVER:
        last = desk.tws.next_ts
        desk.tws.play_next()
    assert last == OPEN + (14 * 3600 + 1) * S


def test_the_play_ends_a_second_after_the_last_session_has_closed():
    desk = Desk(TAPE)
    while desk.tws.next_ts != NEVER:
        last = desk.tws.next_ts
        desk.tws.play_next()
    assert last == ns(CLOSE + 1)


def test_nights_are_passed_in_one_go_and_trading_days_second_by_second():
    desk = Desk(trades("AAPL", (1, 100.0), (DAY + 1, 101.0)), start=ns(CLOSE))
    night = []
    before = desk.tws.next_ts
    while desk.tws.next_ts < ns(DAY):
        desk.tws.play_next()
        if desk.tws.next_ts - before > S:
            night.append(((before - OPEN) // S, (desk.tws.next_ts - OPEN) // S))
        before = desk.tws.next_ts
    assert night == [(int(10.5 * 3600), DAY - int(5.5 * 3600))]


def test_messages_beyond_the_rate_are_refused_and_too_many_end_the_connection():
    desk = Desk(TAPE, limits=Limits(messages_per_s=5, violations=2))
    desk.at(1)
    for _ in range(5):
        assert errors(desk.ask(requests.CurrentTime())) == []
    assert errors(desk.ask(requests.CurrentTime())) == [100]
    desk.at(2.5)
    for _ in range(5):
        assert errors(desk.ask(requests.CurrentTime())) == []
    assert errors(desk.ask(requests.CurrentTime())) == [100]
    assert desk.one.closing
    assert desk.ask(requests.CurrentTime()) == []


def test_the_rate_counts_exchange_time_so_that_a_fast_replay_is_not_stricter():
    desk = Desk(TAPE, limits=Limits(messages_per_s=5))
    for k in range(40):
        desk.at(k / 4)
        assert errors(desk.ask(requests.CurrentTime())) == []


def test_what_is_not_simulated_is_refused_by_name():
    desk = Desk(TAPE)
    heard = desk.ask(requests.Unsupported(10, "reqMktDepth", 44))
    assert [(each.request, each.code) for each in heard if isinstance(each, Error)] == [(44, 321)]
    assert isinstance(heard[0], Error)
    assert "reqMktDepth" in heard[0].text


def test_a_fill_is_told_before_the_trade_that_filled_it():
    desk = Desk(TAPE)
    desk.tws.request(desk.one, requests.TickByTick(5, stock(), "AllLast"))
    desk.at(1)
    desk.heard()
    desk.place(1, order("BUY", 10))
    desk.tws.play(ns(2))
    taken = desk.one.take()
    frames = [k for k, each in enumerate(taken) if isinstance(each, bytes | TickLast)]
    execution = next(
        k for k, each in enumerate(taken) if not isinstance(each, bytes) and told([each]) == ["execDetails"]
    )
    assert frames[-1] == len(taken) - 1
    assert execution < frames[-1]


def test_subscriptions_end_with_their_client_and_nobody_else_hears_of_it():
    desk = Desk(TAPE)
    two = desk.client(2)
    desk.tws.request(two, requests.MarketData(1, Contract(symbol="AAPL", type="STK", exchange="SMART", currency="USD")))
    two.take()
    desk.tws.disconnect(two)
    desk.at(3)
    assert two.take() == []
    assert desk.one.take() == []


@pytest.mark.parametrize("version", [157, 176, 200])
def test_settings_offer_any_version_that_the_tables_describe(version: int):
    assert GatewaySettings(server_version=version).server_version == version


def test_a_play_that_is_given_an_end_stops_there():
    desk = Desk(TAPE, end=ns(3.6))
    while desk.tws.next_ts != NEVER:
        last = desk.tws.next_ts
        desk.tws.play_next()
    assert last == ns(4)
