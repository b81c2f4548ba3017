"""Times of a trading day: what is read, and when they next come, over early closes and changes of the clock."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.calendar import session_times
from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S
from papertape.core.schedule import TimeOfDay, time_of_day

NEW_YORK = ZoneInfo("America/New_York")


def ns(text: str) -> int:
    """UTC nanoseconds of a local time in New York."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * NS_PER_S


CALENDAR = session_times("XNYS", ns("2023-10-30T00:00"), ns("2024-03-15T00:00"))


def upcoming(text: str, now: str, count: int = 1) -> list[str]:
    """The next times after ``now``, as local texts."""
    found = time_of_day(text).upcoming(CALENDAR, ns(now))
    times = [next(found) for _ in range(count)]
    return [dt.datetime.fromtimestamp(ts / NS_PER_S, NEW_YORK).strftime("%Y-%m-%dT%H:%M:%S") for ts in times]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("09:35", TimeOfDay("midnight", 34_500)),
        ("9:35", TimeOfDay("midnight", 34_500)),
        (" 15:59:30 ", TimeOfDay("midnight", 57_570)),
        ("00:00", TimeOfDay("midnight", 0)),
        ("open", TimeOfDay("open", 0)),
        ("close", TimeOfDay("close", 0)),
        ("open+5m", TimeOfDay("open", 300)),
        ("open + 90 s", TimeOfDay("open", 90)),
        ("close-10m", TimeOfDay("close", -600)),
        ("close - 1h", TimeOfDay("close", -3600)),
    ],
)
def test_a_time_of_day_is_read(text: str, wanted: TimeOfDay) -> None:
    assert time_of_day(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "24:00", "12:60", "12:30:60", "noon", "9", "9:5", "09:35 pm", "open+", "open+1d", "close*2", "open 5m"]
)
def test_what_is_no_time_of_day_is_refused_with_what_is_needed(text: str) -> None:
    with pytest.raises(ConfigError, match="is needed"):
        time_of_day(text)


def test_the_next_time_is_today_where_it_has_not_passed() -> None:
    assert upcoming("09:35", "2024-01-03T08:00") == ["2024-01-03T09:35:00"]
    assert upcoming("09:35", "2024-01-03T09:34:59") == ["2024-01-03T09:35:00"]


def test_a_time_that_is_now_has_passed() -> None:
    assert upcoming("09:35", "2024-01-03T09:35") == ["2024-01-04T09:35:00"]


def test_days_without_a_session_are_left_out() -> None:
    # Friday, then Monday was Martin Luther King's day
    assert upcoming("open+5m", "2024-01-12T12:00", 2) == ["2024-01-16T09:35:00", "2024-01-17T09:35:00"]


def test_times_before_the_close_follow_an_early_close() -> None:
    assert upcoming("close-10m", "2023-11-23T12:00", 2) == ["2023-11-24T12:50:00", "2023-11-27T15:50:00"]


@pytest.mark.parametrize(("before", "after"), [("2024-03-08", "2024-03-11"), ("2023-11-03", "2023-11-06")])
def test_local_times_stay_local_over_a_change_of_the_clock(before: str, after: str) -> None:
    assert upcoming("09:35", f"{before}T09:00", 2) == [f"{before}T09:35:00", f"{after}T09:35:00"]
    assert upcoming("open+5m", f"{before}T09:00", 2) == [f"{before}T09:35:00", f"{after}T09:35:00"]


def test_times_outside_the_session_come_on_the_days_of_sessions() -> None:
    assert upcoming("close+30m", "2024-01-03T16:10", 2) == ["2024-01-03T16:30:00", "2024-01-04T16:30:00"]
    assert upcoming("18:00", "2024-01-03T17:00") == ["2024-01-03T18:00:00"]
    assert upcoming("open-2h", "2024-01-03T12:00") == ["2024-01-04T07:30:00"]


def test_after_the_last_session_nothing_comes() -> None:
    assert list(time_of_day("open").upcoming(CALENDAR, CALENDAR.open[-1])) == []


@given(
    st.sampled_from(["09:35", "open", "close-10m", "00:30", "23:59:59", "close+1h", "open-3h"]),
    st.integers(ns("2023-11-01T00:00"), ns("2024-03-01T00:00")),
)
def test_the_times_ascend_one_a_session_and_the_first_is_the_next(text: str, now: int) -> None:
    moment = time_of_day(text)
    every = [moment.on(CALENDAR, i) for i in range(len(CALENDAR.close))]
    assert list(moment.upcoming(CALENDAR, now)) == [ts for ts in every if ts > now]
    assert every == sorted(set(every))
