"""The time axis of a report: trading time, so that nights and weekends take no room, labelled in the exchange's zone.

``x`` is seconds of trading time since the run's start, small enough for float32 to be finer than a pixel. A clock is a
piecewise linear map between x and wall time; the page's script inverts it to label axes and to show times.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from papertape.calendar import session_times
from papertape.core.model import NS_PER_MS, NS_PER_S
from papertape.core.record import RunRecord
from papertape.core.series import F8, I8

GAP_MIN_NS = 2 * 3_600 * NS_PER_S
"""Events further apart than this, with no session between them, are a pause."""
SESSIONS_MAX = 600
"""With more sessions than this a night is no pixel wide, and time runs through."""
GAP_SHARE = 0.015
"""Room that a pause takes on the axis, as a share of the median stretch of trading."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """Knots of the map: ``ts`` (UTC ns, ascending), ``x`` (seconds, ascending), ``wall_ms`` (ms of the zone's clock).

    ``wall_ms`` is what a clock in ``zone`` shows, as if it were UTC. ``is_gap[k]`` says whether the stretch from knot
    k to the next is a pause.
    """

    ts: I8
    x: F8
    wall_ms: F8
    is_gap: NDArray[np.bool_]
    zone: str

    def at(self, ts: NDArray[Any]) -> NDArray[np.float32]:
        """Places of times on the axis; what is before the first knot or after the last is put there."""
        since = (np.asarray(ts, np.int64) - self.ts[0]).astype(np.float64)
        return np.asarray(np.interp(since, (self.ts - self.ts[0]).astype(np.float64), self.x), np.float32)

    @property
    def end(self) -> float:
        """The last place on the axis."""
        return float(self.x[-1])

    @property
    def has_pauses(self) -> bool:
        """Whether there are pauses that take next to no room."""
        return bool((self.is_gap[:-1] & (np.diff(self.ts) > GAP_MIN_NS)).any())

    def as_plain(self) -> dict[str, Any]:
        """The knots as JSON-able lists, and a name of the zone, for the page's script."""
        return {
            "x": [round(float(x), 3) for x in self.x],
            "wall": [round(float(wall)) for wall in self.wall_ms],
            "gap": self.is_gap.astype(int).tolist(),
            "zone": self.zone,
        }


def make_clock(ts: I8, sessions: Sequence[tuple[int, int]], start: int, end: int, zone: str) -> Clock:
    """The clock of a run from ``start`` to ``end`` (UTC ns) with something happening at times ``ts`` (ascending).

    ``sessions`` are (open, close). Trading time is sessions and whatever lies around events outside of them; the axis
    begins and ends with it. A change of the zone's offset from UTC gets a knot of its own.
    """
    stretches = _stretches(ts, sessions, start, end)
    widths = np.array([b - a for a, b in stretches], np.float64) / NS_PER_S
    gap = max(1.0, GAP_SHARE * float(np.median(widths))) if len(stretches) > 1 else 0.0
    zone_info = ZoneInfo(zone)
    knots: list[tuple[int, float, float, bool]] = []
    x = 0.0
    for a, b in stretches:
        for left, right in _by_offset(a, b, zone_info):
            knots.append((left, x, _wall_ms(left, zone_info), False))
            x += (right - left) / NS_PER_S
            knots.append((right, x, (right - left) / NS_PER_MS + knots[-1][2], True))
        x += gap
    ts_, x_, wall, is_gap = zip(*knots, strict=True)
    return Clock(np.array(ts_, np.int64), np.array(x_), np.array(wall), np.array(is_gap), zone)


def run_clock(*records: RunRecord) -> Clock:
    """The clock that one run, or several on one page, share: their sessions, and their events outside of them."""
    start, end = min(each.start for each in records), max(each.end for each in records)
    columns = [np.asarray(ts, np.int64) for each in records for ts in (each.equity["ts"], each.fills["ts"])]
    calendar = session_times(str(records[0].settings.get("calendar", "XNYS")), start, end)
    sessions = [(a, b) for a, b in zip(calendar.open, calendar.close, strict=True) if b > start and a < end]
    return make_clock(np.unique(np.concatenate(columns)), sessions, start, end, records[0].zone)


def _stretches(ts: I8, sessions: Sequence[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """Stretches of trading between pauses, at least one; all in one where they are too many to tell apart."""
    pauses = np.flatnonzero(np.diff(ts) > GAP_MIN_NS)
    bounds = [0, *(pauses + 1).tolist(), len(ts)] if len(ts) else []
    events = [(int(ts[a]), int(ts[b - 1])) for a, b in itertools.pairwise(bounds)]
    merged: list[tuple[int, int]] = []
    for a, b in sorted([*sessions, *events]):
        a, b = max(a, start), min(b, end)
        if merged and a <= merged[-1][1] + GAP_MIN_NS:
            merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
        else:
            merged.append((a, b))
    if not merged:
        merged = [(start, end)]
    if len(merged) > SESSIONS_MAX:
        merged = [(merged[0][0], merged[-1][1])]
    # A lone event still needs a place of its own.
    return [(a, max(b, a + NS_PER_S)) for a, b in merged]


def _offset_s(ns: int, zone: ZoneInfo) -> float:
    offset = (_EPOCH + dt.timedelta(seconds=ns // NS_PER_S)).astimezone(zone).utcoffset()
    return 0.0 if offset is None else offset.total_seconds()


def _wall_ms(ns: int, zone: ZoneInfo) -> float:
    return ns / NS_PER_MS + _offset_s(ns, zone) * 1_000.0


def _by_offset(start: int, end: int, zone: ZoneInfo) -> Iterator[tuple[int, int]]:
    """A stretch in pieces within which the zone's offset does not change; it is looked at once a day."""
    step = 86_400 * NS_PER_S
    a = left = start
    while left < end:
        right = min(left + step, end)
        if _offset_s(left, zone) != _offset_s(right, zone):
            low, high = left, right
            while high - low > NS_PER_S:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset_s(middle, zone) == _offset_s(left, zone) else (low, middle)
            yield a, high
            a = high
        left = right
    if a < end:
        yield a, end
