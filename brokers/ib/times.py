"""Times as TWS writes them, as UTC nanoseconds, and back. Pure; the zone of a text without one is handed in.

Executions come as ``20240603 09:35:01 US/Eastern`` from server version 174, as ``20240603  09:35:01`` (two blanks, in
the zone of TWS's login) before, and as ``20240603-13:35:01`` where TWS is set to UTC. Times within the hour that is
lived twice in autumn are taken as the first of the two.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from papertape.core.errors import PeerError
from papertape.core.model import NS_PER_S

ZONES_SINCE = 174
"""First server version whose executions name their zone."""
_TIME = re.compile(r"(\d{8})(-| {1,2})(\d{1,2}):(\d{2}):(\d{2})(?: +(\S.*))?")
_DATE = re.compile(r"\d{8}")
_SECONDS = re.compile(r"\d{9,11}")
_SHORT_ZONES: Mapping[str, str] = {
    "EST": "America/New_York", "EDT": "America/New_York", "CST": "America/Chicago", "CDT": "America/Chicago",
    "MST": "America/Denver", "MDT": "America/Denver", "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles",
    "GMT": "Europe/London", "BST": "Europe/London", "MET": "Europe/Berlin", "CET": "Europe/Berlin",
    "CEST": "Europe/Berlin", "HKT": "Asia/Hong_Kong", "JST": "Asia/Tokyo",
}  # fmt: skip
"""Short names that TWS gives zones, which follow summer time there, as the zones they are short for."""


@lru_cache(maxsize=64)
def zone_named(name: str) -> ZoneInfo:
    """A zone by its name (``US/Eastern``), or by a short one of TWS (``EST``). PeerError for one that is unknown."""
    try:
        return ZoneInfo(_SHORT_ZONES.get(name, name))
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise PeerError(f'TWS names the time zone "{name}", which is unknown here') from None


def connection_zone(time_text: str) -> str:
    """The zone that TWS's first answer names (``20240603 09:30:00 EST``), as this program names it; empty where none is."""
    match = _TIME.fullmatch(time_text.strip())
    return "" if match is None or not match[6] else zone_named(match[6]).key


def unlike_zone(time_text: str, zone: str, now: int) -> str:
    """The zone that TWS's first answer names where its clocks do not go as those of ``zone``; empty where none is read."""
    try:
        told = connection_zone(time_text)
    except PeerError:  # Windows has names of its own for zones, in the user's language
        return ""
    at = dt.datetime.fromtimestamp(now // NS_PER_S, dt.UTC)
    is_same = not told or at.astimezone(zone_named(told)).utcoffset() == at.astimezone(zone_named(zone)).utcoffset()
    return "" if is_same else told


def execution_ts(time_text: str, zone: str) -> int:
    """UTC nanoseconds of an execution's time; ``zone`` is that of TWS, for texts that name none. PeerError if unreadable."""
    match = _TIME.fullmatch(time_text.strip())
    if match is None:
        raise PeerError(f'TWS sends the time "{time_text}", which is none')
    day, gap, hour, minute, second, named = match.groups()
    where = dt.UTC if gap == "-" and not named else zone_named(named or zone)
    try:
        at = dt.datetime(int(day[:4]), int(day[4:6]), int(day[6:]), int(hour), int(minute), int(second), tzinfo=where)
    except ValueError:
        raise PeerError(f'TWS sends the time "{time_text}", which is none') from None
    return int(at.timestamp()) * NS_PER_S


def bar_ts(date_text: str, zone: str) -> int:
    """UTC nanoseconds of the start of a bar: seconds since 1970, a time as of executions, or a date (its start in ``zone``)."""
    text = date_text.strip()
    if _SECONDS.fullmatch(text):
        return int(text) * NS_PER_S
    if _DATE.fullmatch(text):
        return execution_ts(f"{text} 00:00:00", zone)
    return execution_ts(text, zone)


def time_text(ts: int, zone: str = "") -> str:
    """A time as TWS reads it, whole seconds: ``20240603-13:35:01`` (UTC), or in a zone ``20240603 09:35:01 US/Eastern``."""
    if not zone:
        return f"{dt.datetime.fromtimestamp(ts // NS_PER_S, dt.UTC):%Y%m%d-%H:%M:%S}"
    return f"{dt.datetime.fromtimestamp(ts // NS_PER_S, zone_named(zone)):%Y%m%d %H:%M:%S} {zone}"
