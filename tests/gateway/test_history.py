"""Historical bars as a client of the simulated TWS gets them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clients import Client
from gateway.contracts import Refused
from gateway.history_terms import Dates, Span, earlier, read_end, read_span
from gateway.protocol.replies import (
    Error,
    HeadTimestampReply,
    HistoricalData,
    HistoricalDataEnd,
    HistoricalDataUpdate,
    RealTimeBar,
    Reply,
)
from gateway.protocol.requests import (
    CancelHeadTimestamp,
    CancelHistoricalBars,
    CancelRealTimeBars,
    HeadTimestamp,
    HistoricalBars,
    RealTimeBars,
)
from gateway.settings import DataPermission, GatewaySettings, Limits
from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_MS, NS_PER_S
from papertape.core.series import Series
from tests.gateway.desk import Desk, errors, stock
from tests.gateway.june import NEW_YORK, at, bars, quotes, trades

DAYS = trades(
    "AAA",
    [
        (at(3, "9:30:10"), 50.0, 1000.0),
        (at(3, "15:59:00"), 52.0, 300.0),
        (at(4, "8:00:00"), 40.0, 700.0),
        (at(4, "9:30:00"), 53.0, 500.0),
        (at(4, "9:30:01"), 51.0, 150.0),
        (at(4, "9:30:07"), 54.0, 200.0),
        (at(4, "9:31:02"), 55.0, 200.0),
    ],
)
QUOTES = quotes("AAA", [(at(4, "9:30:01"), 52.0, 54.0, 1.0, 1.0), (at(4, "9:30:02"), 50.0, 54.0, 1.0, 1.0)])


def minutes(request: int = 1, **fields: object) -> HistoricalBars:
    given = {"bar_size": "1 min", "duration": "1 D", "what": "TRADES", **fields}
    return HistoricalBars(request, stock("AAA"), **given)  # type: ignore[arg-type]


def data(replies: list[Reply]) -> HistoricalData:
    [found] = [reply for reply in replies if isinstance(reply, HistoricalData)]
    return found


def opened(now: str = "9:30:08", **settings: object) -> tuple[Desk, Client]:
    played = Desk(DAYS, QUOTES, settings=GatewaySettings(**settings), start=at(4, "9:29:50"))  # type: ignore[arg-type]
    client = played.client()
    played.play(at(4, now), client)
    return played, client


def test_bars_come_with_the_time_they_span_and_from_version_196_an_end_of_their_own():
    played, client = opened("9:31:30")
    first, end = played.ask(minutes(), client)
    assert isinstance(first, HistoricalData)
    [one, two] = first.bars
    assert (one.date, one.open, one.high, one.low, one.close) == (
        "20240604 09:30:00 US/Eastern",
        53.0,
        54.0,
        51.0,
        54.0,
    )
    assert (one.volume, one.count, two.close) == (850.0, 3, 55.0)
    assert one.average == pytest.approx((53.0 * 500 + 51.0 * 150 + 54.0 * 200) / 850)
    assert end == HistoricalDataEnd(1, "20240603 09:31:30 US/Eastern", "20240604 09:31:30 US/Eastern")
    old = played.client(2, 157)
    [only] = played.ask(minutes(), old)
    assert isinstance(only, HistoricalData)
    assert (only.start, only.bars[0].date, only.bars[0].volume) == ("20240603  09:31:30", "20240604  09:30:00", 8.0)


def test_dates_are_seconds_or_days_where_that_is_asked_for():
    played, client = opened()
    stamped = data(played.ask(minutes(date_format=2), client))
    assert stamped.bars[0].date == str(at(4, "9:30:00") // NS_PER_S)
    daily = data(played.ask(minutes(2, bar_size="1 day", duration="2 D", date_format=2), client))
    assert [bar.date for bar in daily.bars] == ["20240603", "20240604"]
    assert [bar.close for bar in daily.bars] == [52.0, 54.0]


def test_regular_hours_or_all_hours():
    played, client = opened()
    regular = data(played.ask(minutes(duration="2 D"), client))
    everything = data(played.ask(minutes(2, duration="2 D", regular_hours=False), client))
    assert [bar.close for bar in regular.bars] == [50.0, 52.0, 54.0]
    assert [bar.close for bar in everything.bars] == [50.0, 52.0, 40.0, 54.0]


@pytest.mark.parametrize(
    ("end", "closes"),
    [
        ("20240603 16:00:00", [50.0, 52.0]),
        ("20240603 16:00:00 US/Eastern", [50.0, 52.0]),
        ("20240603-20:00:00", [50.0, 52.0]),
        ("20240603 12:00:00 US/Eastern", [50.0]),
        ("20300101 00:00:00 US/Eastern", [54.0]),
        ("9:30:05", [51.0]),
        ("", [54.0]),
    ],
)
def test_an_end_is_read_in_every_form_and_is_never_later_than_now(end: str, closes: list[float]):
    played, client = opened()
    assert [bar.close for bar in data(played.ask(minutes(end=end), client)).bars] == closes


@pytest.mark.parametrize(
    ("size", "duration", "count"),
    [
        ("1 secs", "60 S", 2), ("5 secs", "60", 1), ("30 secs", "1 W", 3), ("1 hour", "1 M", 3), ("1 day", "1 Y", 2),
        ("1 week", "1 M", 1), ("1W", "1 y", 1), ("1 month", "1 Y", 1), ("1M", "3 M", 1), ("8 hours", "2 d", 2),
    ],
)  # fmt: skip
def test_sizes_and_durations_in_the_spellings_that_clients_use(size: str, duration: str, count: int):
    played, client = opened("9:30:05")
    assert len(data(played.ask(minutes(bar_size=size, duration=duration), client)).bars) == count


def test_bars_of_quotes_have_no_volume():
    played, client = opened()
    [bar] = data(played.ask(minutes(what="midpoint"), client)).bars
    assert (bar.open, bar.close, bar.volume, bar.average, bar.count) == (53.0, 52.0, -1.0, -1.0, -1)


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"bar_size": "7 mins"}, 321, "Legal ones are: 1 secs, 5 secs"),
        ({"duration": "1"}, 321, "Historical data requested duration is invalid."),
        ({"duration": ""}, 321, "duration not specified"),
        ({"duration": "1 fortnight"}, 321, "integer{SPACE}unit (S|D|W|M|Y)"),
        ({"duration": "90000 S"}, 321, "greater than 86400 seconds"),
        ({"duration": "60 M"}, 321, "longer than 12 months must be made in years"),
        ({"what": "EVERYTHING"}, 321, "What to show field"),
        ({"date_format": 0}, 321, "Date formatting selection of 0 rejected"),
        ({"end": "yesterday"}, 10314, "End Date/Time"),
        ({"end": "20240230 12:00:00"}, 10314, "End Date/Time"),
        ({"end": "20240603 12:00:00 Mars/Olympus"}, 10314, "End Date/Time"),
        ({"end": "20240603 12:00:00", "keep_up_to_date": True}, 321, "End date not supported with live updates"),
        ({"what": "FEE_RATE"}, 162, "HMDS query returned no data: AAA@SMART FEE_RATE"),
        ({"end": "20240601 12:00:00"}, 162, "HMDS query returned no data: AAA@SMART Trades"),
        ({"bar_size": "1 secs", "duration": "1 Y"}, 162, "Time length exceed max"),
    ],
)
def test_what_is_wrong_is_refused_with_the_code_and_text_of_tws(fields: dict[str, Any], code: int, text: str):
    played, client = opened()
    [error] = played.ask(minutes(**fields), client)
    assert isinstance(error, Error)
    assert error.code == code
    assert text in error.text


def test_an_unknown_contract_and_one_that_may_not_be_seen():
    played, client = opened(data={"AAA": DataPermission.DELAYED})
    assert errors(played.ask(HistoricalBars(1, stock("ZZZ"), "", "1 min", "1 D", what="TRADES"), client)) == [200]
    [error] = played.ask(minutes(), client)
    assert isinstance(error, Error)
    assert (error.code, "No market data permissions" in error.text) == (162, True)


# -- pacing -----------------------------------------------------------------------------------------------------


def test_the_same_request_within_fifteen_seconds_is_too_early():
    played, client = opened()
    assert errors(played.ask(minutes(1), client)) == []
    [error] = played.ask(minutes(2), client)
    assert isinstance(error, Error)
    assert (error.code, "pacing violation" in error.text) == (162, True)
    assert errors(played.ask(minutes(3, duration="2 D"), client)) == []
    played.play(at(4, "9:30:22.9"), client)
    assert errors(played.ask(minutes(4), client)) == [162]
    played.play(at(4, "9:30:23"), client)
    assert errors(played.ask(minutes(5), client)) == []


def test_six_requests_for_one_contract_within_two_seconds_are_too_many():
    played, client = opened()
    found = [errors(played.ask(minutes(n, duration=f"{n} D"), client)) for n in range(1, 7)]
    assert found == [[]] * 5 + [[162]]
    assert errors(played.ask(minutes(7, what="BID"), client)) == []
    played.play(at(4, "9:30:10"), client)
    assert errors(played.ask(minutes(8, duration="8 D"), client)) == []


def test_sixty_requests_within_ten_minutes_are_all_there_may_be():
    played, client = opened("9:30:08", limits=Limits(history_requests=3))
    for n in range(1, 4):
        assert errors(played.ask(minutes(n, duration=f"{n} D"), client)) == []
    assert errors(played.ask(minutes(4, duration="4 D"), client)) == [162]
    assert errors(played.ask(minutes(4, duration="4 D"), played.client(2))) == []
    played.play(at(4, "9:40:08"), client)
    assert errors(played.ask(minutes(5, duration="4 D"), client)) == []


# -- updates ----------------------------------------------------------------------------------------------------


def test_a_request_that_is_kept_up_to_date_hears_of_its_last_bar_and_of_new_ones():
    played, client = opened("9:30:02")
    first = data(played.ask(minutes(keep_up_to_date=True), client))
    assert first.bars[-1].close == 51.0
    updates = [reply.bar for reply in played.play(at(4, "9:31:10"), client) if isinstance(reply, HistoricalDataUpdate)]
    assert [(bar.date[9:17], bar.close, bar.volume) for bar in updates] == [
        ("09:30:00", 54.0, 850.0),
        ("09:31:00", 55.0, 200.0),
    ]
    [error] = played.ask(CancelHistoricalBars(1), client)
    assert isinstance(error, Error)
    assert (error.code, "query cancelled: 1" in error.text) == (162, True)
    assert errors(played.ask(CancelHistoricalBars(1), client)) == [366]


LAST_MINUTES = {day: at(day, "15:50:00") for day in (3, 4)}
DENSE = trades(
    "AAA",
    [
        (begin + k * 700 * NS_PER_MS, 100.0 + (k * 7 % 31) / 10, 100.0 + k % 5)
        for begin in LAST_MINUTES.values()
        for k in range(857)
    ]
    + [(at(4, "16:00:00"), 90.0, 1_000.0)],
)
"""Trades up to the close of two days, some exactly where bars end, the last one at the close."""
MINUTES = bars(
    "AAA",
    [
        (begin + k * 60 * NS_PER_S, begin + (k + 1) * 60 * NS_PER_S, 10.0, 12.0 + k, 9.0, 9.0 + k, 1e3)
        for begin in LAST_MINUTES.values()
        for k in range(10)
    ],
)
SIZES = {
    "5 secs": "1800 S", "30 secs": "1800 S", "1 min": "1 D", "5 mins": "2 D", "1 hour": "2 D", "1 day": "5 D",
}  # fmt: skip
CASES = [(DENSE, size) for size in SIZES] + [(MINUTES, size) for size in SIZES if "secs" not in size]


@pytest.mark.parametrize(("tape", "size"), CASES, ids=[f"{tape.kind.name}-{size}" for tape, size in CASES])
@pytest.mark.parametrize("asked", ["15:49:59", "15:50:00", "15:53:17.3", "15:55:00"])
def test_history_and_its_updates_join_without_gap_or_overlap(tape: Series, size: str, asked: str):
    played = Desk(tape, start=at(4, "15:49:50"))
    client, other = played.client(), played.client(2)
    played.play(at(4, asked), client)
    wanted = minutes(bar_size=size, duration=SIZES[size], keep_up_to_date=True)
    known: dict[str, Any] = {}
    for reply in [*played.ask(wanted, client), *played.play(at(4, "16:00:00"), client)]:
        heard = reply.bars if isinstance(reply, HistoricalData) else ()
        for bar in (reply.bar,) if isinstance(reply, HistoricalDataUpdate) else heard:
            assert not known or bar.date >= max(known), "a bar that is over never changes"
            known[bar.date] = bar
    whole = data(played.ask(minutes(bar_size=size, duration=SIZES[size]), other)).bars
    assert list(known.values()) == list(whole)


@pytest.mark.parametrize("tape", [DENSE, MINUTES], ids=["trades", "bars"])
def test_a_bar_is_whole_when_the_clock_says_that_it_is_over(tape: Series):
    played = Desk(tape, start=at(4, "15:49:50"))
    client = played.client()
    played.play(at(4, "15:50:20"), client)
    played.ask(minutes(keep_up_to_date=True), client)
    told: list[Any] = []
    for minute in (*range(51, 60), 60):
        clock = "16:00:00" if minute == 60 else f"15:{minute}:00"
        updates = [each.bar for each in played.play(at(4, clock), client) if isinstance(each, HistoricalDataUpdate)]
        told.append([bar for bar in updates if f"15:{minute - 1}:00" in bar.date][-1])
    assert told == list(data(played.ask(minutes(), played.client(2))).bars)


def test_what_is_kept_up_to_date_is_limited():
    played, client = opened(limits=Limits(history_open=1))
    assert errors(played.ask(minutes(1, keep_up_to_date=True), client)) == []
    assert errors(played.ask(minutes(1, duration="3 D", keep_up_to_date=True), client)) == [322]
    assert errors(played.ask(minutes(2, duration="2 D", keep_up_to_date=True), client)) == [322]
    assert errors(played.ask(minutes(3, duration="2 D"), client)) == []


def test_weeks_are_kept_up_to_date_too():
    played, client = opened("9:30:02")
    first = data(played.ask(minutes(bar_size="1W", duration="1 M", keep_up_to_date=True), client))
    updates = [reply.bar for reply in played.play(at(4, "9:30:10"), client) if isinstance(reply, HistoricalDataUpdate)]
    assert [(bar.date, bar.open, bar.close) for bar in [*first.bars, *updates]] == [
        ("20240604", 50.0, 51.0),
        ("20240604", 50.0, 54.0),
    ]


# -- bars of five seconds ---------------------------------------------------------------------------------------


def test_five_second_bars_end_every_five_seconds_and_are_flat_without_trades():
    played, client = opened("9:30:00")
    assert played.ask(RealTimeBars(1, stock("AAA"), 5, "TRADES", True), client) == []
    found = [reply for reply in played.play(at(4, "9:30:20"), client) if isinstance(reply, RealTimeBar)]
    opening = at(4, "9:30:00") // NS_PER_S
    assert [(bar.time - opening, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.count) for bar in found] == [
        (0, 53.0, 53.0, 51.0, 51.0, 650.0, 2),
        (5, 54.0, 54.0, 54.0, 54.0, 200.0, 1),
        (10, 54.0, 54.0, 54.0, 54.0, 0.0, 0),
        (15, 54.0, 54.0, 54.0, 54.0, 0.0, 0),
    ]
    assert played.ask(CancelRealTimeBars(1), client) == []
    assert errors(played.ask(CancelRealTimeBars(1), client)) == [300]


def test_five_second_bars_of_the_middle_price():
    played, client = opened("9:30:00")
    played.ask(RealTimeBars(1, stock("AAA"), 5, "MIDPOINT", False), client)
    [bar] = [reply for reply in played.play(at(4, "9:30:05"), client) if isinstance(reply, RealTimeBar)]
    assert (bar.open, bar.close, bar.volume) == (53.0, 52.0, -1.0)


def test_a_tape_of_bars_gives_each_of_its_bars_once_as_it_ends():
    rows = [(at(4, f"9:{m}:00"), at(4, f"9:{m + 1}:00"), 10.0, 12.0, 9.0, m / 1.0, 1000.0) for m in range(30, 34)]
    played = Desk(bars("AAA", rows), start=at(4, "9:30:00"))
    client = played.client()
    played.ask(RealTimeBars(1, stock("AAA"), 5, "TRADES", True), client)
    found = [reply for reply in played.play(at(4, "9:40:00"), client) if isinstance(reply, RealTimeBar)]
    assert [(bar.time, bar.close) for bar in found] == [
        (at(4, f"9:{m}:00") // NS_PER_S, float(m)) for m in range(30, 34)
    ]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (RealTimeBars(1, stock("AAA"), 5, "BID_ASK"), 321),
        (RealTimeBars(1, stock("ZZZ"), 5, "TRADES"), 200),
        (RealTimeBars(9, stock("AAA"), 5, "TRADES"), 322),
    ],
)
def test_a_wrong_request_for_five_second_bars_is_refused(request_: RealTimeBars, code: int):
    played, client = opened()
    played.ask(RealTimeBars(9, stock("AAA"), 5, "TRADES"), client)
    assert errors(played.ask(request_, client)) == [code]


def test_five_second_bars_need_permission():
    played, client = opened(permission=DataPermission.NONE)
    assert errors(played.ask(RealTimeBars(1, stock("AAA"), 5, "TRADES"), client)) == [420]


def test_a_connection_that_ends_hears_no_more():
    played, client = opened("9:30:00")
    played.ask(RealTimeBars(1, stock("AAA"), 5, "TRADES"), client)
    played.ask(minutes(keep_up_to_date=True), client)
    played.tws.disconnect(client)
    assert played.play(at(4, "9:31:00"), client) == []


# -- head timestamps --------------------------------------------------------------------------------------------


def test_a_head_timestamp_is_when_the_earliest_data_is():
    played, client = opened()
    assert played.ask(HeadTimestamp(1, stock("AAA"), True, "TRADES", 1), client) == [
        HeadTimestampReply(1, "20240603-13:30:10")
    ]
    seconds = str(at(4, "9:30:01") // NS_PER_S)
    assert played.ask(HeadTimestamp(2, stock("AAA"), True, "BID", 2), client) == [HeadTimestampReply(2, seconds)]
    assert errors(played.ask(HeadTimestamp(3, stock("ZZZ"), True, "TRADES", 1), client)) == [200]
    assert errors(played.ask(HeadTimestamp(4, stock("AAA"), True, "FEE_RATE", 1), client)) == [162]
    assert played.ask(CancelHeadTimestamp(1), client) == []


def test_a_zone_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match='there is no time zone "Mars/Olympus"'):
        Dates("Mars/Olympus")


# -- times ------------------------------------------------------------------------------------------------------


@given(st.text(max_size=30))
def test_no_text_of_an_end_or_a_duration_is_anything_but_read_or_refused(text: str):
    assert isinstance(read_span(text), Span | Refused)
    assert isinstance(read_end(text, at(4, "9:30:00"), NEW_YORK), int | None | Refused)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2 D", (2024, 6, 2)),
        ("1 W", (2024, 5, 28)),
        ("1 M", (2024, 5, 4)),
        ("12 M", (2023, 6, 4)),
        ("1 Y", (2023, 6, 4)),
    ],
)
def test_spans_go_back_by_the_calendar(text: str, day: tuple[int, int, int]):
    span = read_span(text)
    assert isinstance(span, Span)
    found = dt.datetime.fromtimestamp(earlier(at(4, "9:30:00"), span, NEW_YORK) // NS_PER_S, NEW_YORK)
    assert (found.year, found.month, found.day) == day
    assert (found.hour, found.minute) == (9, 30)
