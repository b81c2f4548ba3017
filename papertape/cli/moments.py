"""Times for people: in the exchange's zone, which is always named."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from papertape.core.model import NS_PER_MS, NS_PER_S

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def time_text(ns: int, zone: str) -> str:
    """``2024-06-03 09:30:00.125 EDT``; milliseconds only where there are some, nanoseconds cut."""
    when = (_EPOCH + dt.timedelta(seconds=ns // NS_PER_S)).astimezone(ZoneInfo(zone))
    part = ns % NS_PER_S // NS_PER_MS
    return f"{when:%Y-%m-%d %H:%M:%S}{f'.{part:03}' if part else ''} {when:%Z}"


def clock_text(ns: int, zone: str) -> str:
    """The same without the zone's name, for a column whose header names it."""
    return time_text(ns, zone).rpartition(" ")[0]
