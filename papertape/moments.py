"""Times for people: in the exchange's zone, which is always named."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from papertape.core.model import NS_PER_MS, NS_PER_S

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NS_DIGITS = 9


def iso_utc(ns: int) -> str:
    """Nanoseconds since 1970-01-01 UTC as ISO-8601 text with nine decimals, ``2026-03-02T14:30:00.000000000Z``."""
    seconds, rest = divmod(int(ns), NS_PER_S)
    return f"{np.datetime64(seconds, 's')}.{rest:09}Z"


def _local(ns: int, zone: str) -> dt.datetime:
    return (_EPOCH + dt.timedelta(seconds=ns // NS_PER_S)).astimezone(ZoneInfo(zone))


def time_text(ns: int, zone: str) -> str:
    """``2024-06-03 09:30:00.125 EDT``; milliseconds only where there are some, nanoseconds cut."""
    when = _local(ns, zone)
    part = ns % NS_PER_S // NS_PER_MS
    return f"{when:%Y-%m-%d %H:%M:%S}{f'.{part:03}' if part else ''} {when:%Z}"


def clock_text(ns: int, zone: str) -> str:
    """The same without the zone's name, for a column whose header names it."""
    return time_text(ns, zone).rpartition(" ")[0]


def column_text(ns: int, zone: str, digits: int) -> str:
    """A time for a column whose header names the zone, with ``digits`` decimals (0 to 9) of a second, the rest cut."""
    part = f".{ns % NS_PER_S // 10 ** (_NS_DIGITS - digits):0{digits}}" if digits else ""
    return f"{_local(ns, zone):%Y-%m-%d %H:%M:%S}{part}"


def digits_needed(ns: NDArray[np.int64]) -> int:
    """Decimals of a second (0, 3, 6 or 9) with which whole seconds stay bare and unequal times look unequal."""
    if not (ns % NS_PER_S).any():
        return 0
    different = len(np.unique(ns))
    enough = (d for d in (3, 6) if len(np.unique(ns // 10 ** (_NS_DIGITS - d))) == different)
    return next(enough, _NS_DIGITS)


def zone_name(zone: str) -> str:
    """A zone as a header says it: the city of ``America/New_York``, else the zone's own name."""
    return zone.rpartition("/")[2].replace("_", " ")
