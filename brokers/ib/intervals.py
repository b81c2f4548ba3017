"""When bars begin and end: what TWS calls a bar, as times of the exchange's sessions."""

from __future__ import annotations

import bisect
import datetime as dt
import math
from zoneinfo import ZoneInfo

from papertape.core.model import NS_PER_S, SessionTimes
from papertape.core.requests import Duration

DAY_NS = 86_400 * NS_PER_S
HOUR_NS = 3_600 * NS_PER_S
REGULAR_NS = 23_400 * NS_PER_S
"""A session of six hours and a half, where the calendar has none to measure."""


def session_of(calendar: SessionTimes, ts: int) -> int:
    """Index of the session that ``ts`` lies in or follows; -1 before the first."""
    return bisect.bisect_right(calendar.open, ts) - 1


def bar_start(date_text: str, calendar: SessionTimes) -> int:
    """When a bar begins (UTC ns), from seconds since 1970, or from a day as yyyymmdd: that session's open.

    A day without a session begins at its midnight in the exchange's zone. ValueError where it is neither.
    """
    text = date_text.strip()
    if len(text) != 8:
        return int(text) * NS_PER_S
    day = dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    number = (day - dt.date(1970, 1, 1)).days
    i = bisect.bisect_left(calendar.date, number)
    if i < len(calendar.date) and calendar.date[i] == number:
        return calendar.open[i]
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(calendar.zone)).timestamp()) * NS_PER_S


def bar_end(start: int, interval_ns: int, calendar: SessionTimes) -> int:
    """When a bar that begins at ``start`` is over: after its interval, or when its session closes.

    TWS's bars of an hour and more begin at multiples of their interval from midnight, so the first of a session is
    short.
    """
    i = session_of(calendar, start)
    is_inside = i >= 0 and start < calendar.close[i]
    if interval_ns >= DAY_NS:
        return calendar.close[i] if is_inside else start + DAY_NS
    end = start + interval_ns
    if interval_ns >= HOUR_NS:
        at = dt.datetime.fromtimestamp(start // NS_PER_S, ZoneInfo(calendar.zone))
        since = (at.hour * 3_600 + at.minute * 60 + at.second) * NS_PER_S
        end = start + interval_ns - since % interval_ns
    return min(end, calendar.close[i]) if is_inside else end


def sessions_for(count: int, interval_ns: int) -> Duration:
    """A length of history that holds ``count`` bars that are over, whatever the time of day."""
    if interval_ns >= DAY_NS:
        return Duration(sessions=count + 1)
    return Duration(sessions=1 + math.ceil(count * interval_ns / REGULAR_NS))


def interval_duration(interval_ns: int) -> Duration:
    """The interval as a duration: a day is a session."""
    return Duration(sessions=1) if interval_ns == DAY_NS else Duration(ns=interval_ns)
