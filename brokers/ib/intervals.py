"""When bars begin and end: what TWS calls a bar, as times of the exchange's sessions."""

from __future__ import annotations

import bisect
import datetime as dt
import math
from zoneinfo import ZoneInfo

from brokers.ib.times import bar_ts
from papertape.core.model import NS_PER_S, SessionTimes
from papertape.core.requests import Duration

DAY_NS = 86_400 * NS_PER_S
HOUR_NS = 3_600 * NS_PER_S
MINUTE_NS = 60 * NS_PER_S
REGULAR_NS = 23_400 * NS_PER_S
"""A session of six hours and a half, as most have it."""
_DAY_LENGTH = len("20240603")


def session_of(calendar: SessionTimes, ts: int) -> int:
    """Index of the session that ``ts`` lies in or follows; -1 before the first."""
    return bisect.bisect_right(calendar.open, ts) - 1


def bar_start(date_text: str, calendar: SessionTimes) -> int:
    """When a bar begins (UTC ns), from what TWS says: a time, or a day, which is that session's open.

    A day without a session begins at its midnight in the exchange's zone. PeerError where it is neither.
    """
    ts = bar_ts(date_text, calendar.zone)
    if len(date_text.strip()) != _DAY_LENGTH:
        return ts
    i = bisect.bisect_left(calendar.open, ts)
    return calendar.open[i] if i < len(calendar.open) and calendar.open[i] - ts < DAY_NS else ts


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


def warm_up_length(count: int, interval_ns: int) -> Duration:
    """A length of history that holds the last ``count`` bars that are over, whatever the time of day.

    TWS gives bars below a minute for some hours only, so those are asked for by the clock, from a day back at most.
    """
    if interval_ns < MINUTE_NS:
        return Duration(ns=min(max((count + 2) * interval_ns, HOUR_NS // 2), DAY_NS))
    if interval_ns >= DAY_NS:
        return Duration(sessions=count + 1)
    return Duration(sessions=1 + math.ceil(count * interval_ns / REGULAR_NS))


def interval_duration(interval_ns: int) -> Duration:
    """The interval as a duration: a day is a session."""
    return Duration(sessions=1) if interval_ns == DAY_NS else Duration(ns=interval_ns)
