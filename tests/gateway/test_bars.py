"""Bars of any size, made of a tape as it was known at a time."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.point_in_time import DAY_NS, PointInTime
from gateway.bars import MONTH, UNKNOWN, WEEK, BarMaker, BarSize, sizes
from papertape.calendar import session_times
from papertape.core.model import NS_PER_S, ActionKind, CorporateAction, EventKind, Instrument
from papertape.core.series import Series, Tape

NEW_YORK = ZoneInfo("America/New_York")
MINUTE = BarSize(60 * NS_PER_S)
HOUR = BarSize(3_600 * NS_PER_S)
DAY = BarSize(DAY_NS)


def at(day: int, clock: str, month: int = 6) -> int:
    """UTC ns of a time of 2024 in New York."""
    hour, minute, second = (int(part) for part in clock.split(":"))
    return int(dt.datetime(2024, month, day, hour, minute, second, tzinfo=NEW_YORK).timestamp()) * NS_PER_S


def trades(rows: list[tuple[int, float, float]]) -> Series:
    ts, price, size = zip(*rows, strict=True)
    return Series("AAA", EventKind.TRADE, np.array(ts, np.int64), (np.array(price, float), np.array(size, float)))


def quotes(rows: list[tuple[int, float, float]]) -> Series:
    ts, bid, ask = zip(*rows, strict=True)
    ones = np.ones(len(ts))
    columns = (np.array(bid, float), np.array(ask, float), ones, ones)
    return Series("AAA", EventKind.QUOTE, np.array(ts, np.int64), columns)


def bars_of(rows: list[tuple[int, int, float, float, float, float, float]]) -> Series:
    start, end, *values = zip(*rows, strict=True)
    columns = tuple(np.array(each, float) for each in values)
    return Series("AAA", EventKind.BAR, np.array(end, np.int64), columns, start=np.array(start, np.int64))


def maker(*series: Series, actions: tuple[CorporateAction, ...] = ()) -> BarMaker:
    first, last = min(int(each.ts[0]) for each in series), max(int(each.ts[-1]) for each in series)
    tape = Tape(series, {}, actions=actions)
    return BarMaker(PointInTime(tape, (Instrument("AAA"),), session_times("XNYS", first, last)))


def test_a_bar_has_volume_average_price_and_number_of_its_trades():
    made = maker(
        trades([(at(3, "9:30:10"), 10.0, 100.0), (at(3, "9:30:20"), 13.0, 200.0), (at(3, "9:31:00"), 9.0, 1.0)])
    )
    rows = made.rows(0, "TRADES", MINUTE, at(3, "9:30:00"), at(3, "10:00:00"), regular=True)
    assert [(row.start, row.count, row.volume) for row in rows] == [
        (at(3, "9:30:00"), 2, 300.0),
        (at(3, "9:31:00"), 1, 1.0),
    ]
    assert rows[0].average == pytest.approx((10.0 * 100 + 13.0 * 200) / 300)
    assert (rows[0].open, rows[0].high, rows[0].low, rows[0].close) == (10.0, 13.0, 10.0, 13.0)


def test_bars_of_an_hour_begin_at_full_hours_but_for_the_first():
    made = maker(trades([(at(3, f"{hour}:{minute}:00"), 10.0, 1.0) for hour in range(10, 16) for minute in (0, 45)]))
    early = maker(trades([(at(3, "9:30:00"), 10.0, 1.0), (at(3, "9:59:59"), 10.0, 1.0), (at(3, "10:00:00"), 1.0, 1.0)]))
    starts = [row.start for row in made.rows(0, "TRADES", HOUR, at(3, "9:30:00"), at(3, "16:00:00"), regular=True)]
    assert starts == [at(3, f"{hour}:00:00") for hour in range(10, 16)]
    rows = early.rows(0, "TRADES", HOUR, at(3, "9:30:00"), at(3, "16:00:00"), regular=True)
    assert [(row.start, row.count) for row in rows] == [(at(3, "9:30:00"), 2), (at(3, "10:00:00"), 1)]


def test_an_unfinished_bar_is_as_of_now():
    made = maker(trades([(at(3, "9:30:10"), 10.0, 1.0), (at(3, "9:30:40"), 99.0, 1.0)]))
    rows = made.rows(0, "TRADES", MINUTE, at(3, "9:30:00"), at(3, "9:30:30"), regular=True)
    assert [(row.high, row.end) for row in rows] == [(10.0, at(3, "9:30:30"))]


def test_regular_hours_leave_out_what_was_traded_before_and_after():
    rows = [
        (at(3, "8:00:00"), 1.0, 5.0),
        (at(3, "9:30:00"), 2.0, 7.0),
        (at(3, "16:00:00"), 3.0, 9.0),
        (at(3, "17:00:00"), 4.0, 2.0),
    ]
    made = maker(trades(rows))
    regular = made.rows(0, "TRADES", DAY, at(3, "9:30:00"), at(3, "18:00:00"), regular=True)
    whole = made.rows(0, "TRADES", DAY, at(3, "0:00:00"), at(3, "18:00:00"), regular=False)
    assert [(row.open, row.close, row.volume, row.count) for row in regular] == [(2.0, 3.0, 16.0, 2)]
    assert regular[0].average == pytest.approx((2.0 * 7 + 3.0 * 9) / 16)
    assert [(row.open, row.close, row.volume, row.count) for row in whole] == [(1.0, 4.0, 23.0, 4)]
    minutes = made.rows(0, "TRADES", MINUTE, at(3, "0:00:00"), at(3, "18:00:00"), regular=True)
    assert [row.close for row in minutes] == [2.0, 3.0]


def test_bars_of_quotes_have_no_volume_and_trades_make_none():
    made = maker(quotes([(at(3, "9:30:10"), 9.0, 11.0), (at(3, "9:30:20"), np.nan, 12.0)]))
    by_price = {
        what: made.rows(0, what, MINUTE, at(3, "9:30:00"), at(3, "9:40:00"), regular=True)
        for what in ("BID", "ASK", "MIDPOINT")
    }
    assert {what: (rows[0].high, rows[0].close) for what, rows in by_price.items()} == {
        "BID": (9.0, 9.0),
        "ASK": (12.0, 12.0),
        "MIDPOINT": (10.0, 10.0),
    }
    assert {(rows[0].volume, rows[0].average, rows[0].count) for rows in by_price.values()} == {(UNKNOWN, UNKNOWN, -1)}
    assert made.rows(0, "TRADES", MINUTE, at(3, "9:30:00"), at(3, "9:40:00"), regular=True) == []


def test_bars_of_a_bar_tape_are_its_own_and_longer_ones_are_made_of_them():
    minutes = [(at(3, f"9:{m}:00"), at(3, f"9:{m + 1}:00"), 10.0, 12.0, 9.0, 11.0, 100.0) for m in range(30, 40)]
    made = maker(bars_of(minutes))
    own = made.rows(0, "TRADES", MINUTE, at(3, "9:30:00"), at(3, "9:35:30"), regular=True)
    assert [row.end for row in own] == [at(3, f"9:{m}:00") for m in range(31, 36)]
    five = made.rows(0, "TRADES", BarSize(300 * NS_PER_S), at(3, "9:30:00"), at(3, "10:00:00"), regular=True)
    assert [(row.start, row.volume, row.count) for row in five] == [
        (at(3, "9:30:00"), 500.0, -1),
        (at(3, "9:35:00"), 500.0, -1),
    ]
    assert five[0].average == pytest.approx((12.0 + 9.0 + 11.0) / 3)
    assert made.rows(0, "TRADES", BarSize(5 * NS_PER_S), at(3, "9:30:00"), at(3, "10:00:00"), regular=True) == []


def test_daily_bars_of_the_tape_reach_back_beyond_its_trades_and_the_present_day_is_made_of_these():
    days = [(at(d, "9:30:00"), at(d, "16:00:00"), 1.0, 1.0, 1.0, 1.0, float(d)) for d in (3, 4, 5)]
    made = maker(
        bars_of(days),
        trades([(at(5, "10:00:00"), 5.0, 5.0), (at(6, "9:31:00"), 6.0, 60.0), (at(6, "9:50:00"), 7.0, 1.0)]),
    )
    rows = made.rows(0, "TRADES", DAY, at(3, "9:30:00"), at(6, "9:40:00"), regular=True)
    assert [row.volume for row in rows] == [3.0, 4.0, 5.0, 60.0]


def test_finer_bars_reach_back_beyond_trades_for_bars_of_any_size():
    minutes = [(at(3, f"9:{m}:00"), at(3, f"9:{m + 1}:00"), 10.0, 12.0, 9.0, 11.0, 100.0) for m in range(30, 40)]
    made = maker(bars_of(minutes), trades([(at(3, "9:36:00"), 5.0, 7.0), (at(3, "9:50:30"), 5.0, 8.0)]))
    rows = made.rows(0, "TRADES", BarSize(300 * NS_PER_S), at(3, "9:30:00"), at(3, "10:00:00"), regular=True)
    assert (rows[0].start, rows[0].volume) == (at(3, "9:30:00"), 500.0)
    assert [row.start for row in rows] == sorted({row.start for row in rows})
    assert rows[-1].volume == 8.0


def test_weeks_and_months_join_days_and_are_dated_by_the_last():
    made = maker(
        trades([(at(d, "10:00:00"), float(d), 1.0) for d in (3, 4, 7, 10, 11)] + [(at(1, "10:00:00", 7), 99.0, 1.0)])
    )
    now = at(1, "16:00:00", 7)
    weeks = made.rows(0, "TRADES", BarSize(DAY_NS, WEEK), at(3, "9:30:00"), now, regular=True)
    assert [(row.open, row.close, made.date(row.start).day) for row in weeks] == [
        (3.0, 7.0, 7),
        (10.0, 11.0, 11),
        (99.0, 99.0, 1),
    ]
    months = made.rows(0, "TRADES", BarSize(DAY_NS, MONTH), at(3, "9:30:00"), now, regular=True)
    assert [(row.open, row.close, row.volume) for row in months] == [(3.0, 11.0, 5.0), (99.0, 99.0, 1.0)]


def test_prices_before_a_split_are_as_of_now():
    split = CorporateAction(at(4, "0:00:00"), "AAA", ActionKind.SPLIT, 2.0)
    made = maker(trades([(at(3, "10:00:00"), 100.0, 10.0), (at(4, "10:00:00"), 50.0, 20.0)]), actions=(split,))
    rows = made.rows(0, "TRADES", DAY, at(3, "9:30:00"), at(4, "16:00:00"), regular=True)
    assert [(row.close, row.volume, row.average) for row in rows] == [(50.0, 20.0, 50.0), (50.0, 20.0, 50.0)]
    before = made.rows(0, "TRADES", DAY, at(3, "9:30:00"), at(3, "16:00:00"), regular=True)
    assert [row.close for row in before] == [100.0]


SECONDS = st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 50)), min_size=1, max_size=60)


@given(SECONDS, st.integers(0, 25_000), st.sampled_from([size for _, size in sizes()]), st.booleans())
def test_nothing_later_than_now_is_ever_in_a_bar(
    rows: list[tuple[int, int]], offset: int, size: BarSize, regular: bool
):
    opening = at(3, "8:30:00")
    events = [(opening + s * NS_PER_S, float(price), 1.0) for s, price in sorted(rows)]
    known = opening + offset * NS_PER_S
    known_events = [event for event in events if event[0] <= known]
    full = maker(trades(events)).rows(0, "TRADES", size, opening - DAY_NS, known, regular=regular)
    assert all(row.end <= known for row in full)
    if not known_events:
        assert full == []
        return
    cut = maker(trades(known_events)).rows(0, "TRADES", size, opening - DAY_NS, known, regular=regular)
    assert full == cut
    if not regular and size.is_intraday:
        assert sum(row.volume for row in full) == len(known_events)
        assert sum(row.count for row in full) == len(known_events)


def test_the_sizes_are_those_that_tws_lists():
    assert [name for name, _ in sizes()] == [
        "1 secs", "5 secs", "10 secs", "15 secs", "30 secs", "1 min", "2 mins", "3 mins", "5 mins", "10 mins", "15 mins",
        "20 mins", "30 mins", "1 hour", "2 hours", "3 hours", "4 hours", "8 hours", "1 day", "1W", "1M",
    ]  # fmt: skip
