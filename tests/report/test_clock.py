from __future__ import annotations

import numpy as np
import pytest

from backtests.report.clock import SESSIONS_MAX, make_clock, run_clock

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
START = int(np.datetime64("2024-03-04T14:30:00", "ns").astype(np.int64))


def sessions(count: int) -> list[tuple[int, int]]:
    return [(START + k * DAY, START + k * DAY + 6 * HOUR) for k in range(count)]


def test_nights_take_next_to_no_room_and_sessions_their_length():
    clock = make_clock(np.array([START + HOUR]), sessions(3), START, START + 3 * DAY, "America/New_York")
    assert clock.x[1] - clock.x[0] == pytest.approx(6 * 3_600)
    assert clock.end == pytest.approx(3 * 6 * 3_600, rel=0.05)
    assert (np.diff(clock.x) >= 0).all()
    assert clock.has_pauses
    one = make_clock(np.array([START + HOUR]), sessions(1), START, START + DAY, "America/New_York")
    assert not one.has_pauses


def test_what_happens_outside_of_sessions_has_a_place_of_its_own():
    night = START + 12 * HOUR
    clock = make_clock(np.array([night, night + HOUR]), sessions(2), START, START + 2 * DAY, "America/New_York")
    a, b = clock.at(np.array([night, night + HOUR]))
    assert b - a == pytest.approx(3_600, abs=0.1)


def test_the_wall_clock_follows_daylight_saving():
    clock = make_clock(np.empty(0, np.int64), sessions(14), START, START + 14 * DAY, "America/New_York")
    opens = clock.wall_ms[::2] / 1000 % 86_400 / 3_600
    assert opens[0] == pytest.approx(9.5)  # 14:30 UTC
    assert opens[-1] == pytest.approx(10.5)  # from 2024-03-10 on


def test_a_change_of_the_offset_within_a_stretch_gets_a_knot():
    first = int(np.datetime64("2024-03-01", "ns").astype(np.int64))
    clock = make_clock(np.arange(first, first + 20 * DAY, HOUR), [], first, first + 20 * DAY, "America/New_York")
    jump = int(np.datetime64("2024-03-10T07:00:00", "ns").astype(np.int64))
    assert np.abs(clock.ts - jump).min() <= 1_000_000_000
    shown = np.interp(clock.at(np.array([jump + HOUR])), clock.x, clock.wall_ms)[0]
    assert shown == pytest.approx((jump + HOUR) / 1e6 - 4 * 3.6e6, abs=2_000)


def test_places_and_times_go_back_and_forth(year_record):
    clock = run_clock(year_record)
    ts = np.asarray(year_record.equity["ts"])[::50]
    x = clock.at(ts).astype(np.float64)
    wall = np.interp(x, clock.x, clock.wall_ms)
    offset_h = (wall - ts / 1e6) / 3.6e6
    assert set(np.round(offset_h, 2)) == {-5.0, -4.0}


def test_time_runs_through_where_there_are_very_many_sessions():
    count = SESSIONS_MAX + 1
    clock = make_clock(np.empty(0, np.int64), sessions(count), START, START + count * DAY, "UTC")
    assert clock.end == pytest.approx((count - 1) * 86_400 + 6 * 3_600)
    assert len(clock.x) == 2


@pytest.mark.parametrize("ts", [np.empty(0, np.int64), np.array([START])])
def test_a_run_of_one_moment_or_none_has_an_axis(ts):
    clock = make_clock(ts, [], START, START, "UTC")
    assert clock.end > 0.0
    assert np.isfinite(clock.at(np.array([START, START + DAY]))).all()
