"""Local times to UTC: the table of a zone's offsets, and a compiled look-up that refuses what a clock never showed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from papertape.core.compiled import compiled
from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S
from papertape.core.series import I8, U1

NS_PER_DAY = 86_400 * NS_PER_S

LOCAL_FINE, LOCAL_MISSING, LOCAL_TWICE = 0, 1, 2

_FIRST, _LAST = datetime(1969, 12, 30, tzinfo=UTC), datetime(2201, 1, 3, tzinfo=UTC)
_STRIDE = timedelta(days=5)  # no zone changes its clocks twice within five days
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class ZoneTable:
    """A zone's offsets from UTC, one entry a change of clocks, ascending; all arrays int64, in ns.

    ``offset`` holds local minus UTC from the change on; local times in [``from_local``, ``sure_local``) were skipped
    (``skipped`` 1) or shown twice (0). ``utc`` is when the change happened.
    """

    name: str
    utc: I8
    offset: I8
    from_local: I8
    sure_local: I8
    skipped: I8


def zone_named(name: str) -> ZoneInfo:
    """The zone of an IANA name ("America/New_York", "UTC"). Raises ConfigError for anything else."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ConfigError(f'no time zone "{name}"; name one as America/New_York or UTC') from error


@functools.lru_cache(maxsize=16)
def zone_table(name: str) -> ZoneTable:
    """The offsets of a zone from 1970 to 2200. Raises ConfigError for an unknown zone."""
    zone = zone_named(name)

    def offset_s(moment: datetime) -> int:
        offset = moment.astimezone(zone).utcoffset()
        return 0 if offset is None else round(offset.total_seconds())

    changes = [(_seconds(_FIRST), offset_s(_FIRST))]
    moment, before = _FIRST, offset_s(_FIRST)
    while moment < _LAST:
        following = moment + _STRIDE
        after = offset_s(following)
        if after != before:
            low, high = _seconds(moment), _seconds(following)
            while high - low > 1:
                middle = (low + high) // 2
                if offset_s(_EPOCH + timedelta(seconds=middle)) == before:
                    low = middle
                else:
                    high = middle
            changes.append((high, after))
        moment, before = following, after
    utc = np.array([at for at, _ in changes], dtype=np.int64)
    offset = np.array([value for _, value in changes], dtype=np.int64)
    previous = np.concatenate((offset[:1], offset[:-1]))
    return ZoneTable(
        name=name,
        utc=utc * NS_PER_S,
        offset=offset * NS_PER_S,
        from_local=(utc + np.minimum(offset, previous)) * NS_PER_S,
        sure_local=(utc + np.maximum(offset, previous)) * NS_PER_S,
        skipped=(offset > previous).astype(np.int64),
    )


def _seconds(moment: datetime) -> int:
    return int((moment - _EPOCH).total_seconds())


@compiled
def _localise(ts: Any, from_local: Any, sure_local: Any, offset: Any, skipped: Any, faults: Any) -> int:
    last = len(from_local) - 1
    k = 0
    bad = 0
    for i in range(len(ts)):
        local = ts[i]
        if local < from_local[k] or (k < last and local >= from_local[k + 1]):
            k = np.searchsorted(from_local, local, side="right") - 1
        if local < sure_local[k]:
            faults[i] = LOCAL_MISSING if skipped[k] else LOCAL_TWICE
            bad += 1
        else:
            ts[i] = local - offset[k]
    return bad


def to_utc(ts: I8, table: ZoneTable) -> U1 | None:
    """Turn local times (int64, ns) into UTC in place.

    Returns None where all could be turned, otherwise LOCAL_FINE, LOCAL_MISSING or LOCAL_TWICE for each; the times
    that could not are left as they were.
    """
    faults = np.zeros(len(ts), dtype=np.uint8)
    bad = _localise(ts, table.from_local, table.sure_local, table.offset, table.skipped, faults)
    return faults if bad else None


def offset_at(ts: I8, table: ZoneTable) -> I8:
    """Local minus UTC (ns) of a zone at UTC times."""
    return table.offset[np.searchsorted(table.utc, ts, side="right") - 1]


def iso(ts: int) -> str:
    """A UTC time for people: ``2024-01-02T14:30:00.25Z``."""
    seconds, ns = divmod(ts, NS_PER_S)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ns:09d}".rstrip("0") + "Z" if ns else f"{text}Z"


def iso_date(day: int) -> str:
    """A day counted from 1970-01-01 for people: ``2024-01-02``."""
    return (_EPOCH + timedelta(days=day)).strftime("%Y-%m-%d")
