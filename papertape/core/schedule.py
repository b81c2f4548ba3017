"""Times of a trading day: ``09:35``, ``15:59:30``, ``open``, ``open+5m``, ``close-10m``, and when they next come."""

from __future__ import annotations

import bisect
import datetime as dt
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import msgspec

from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S, SessionTimes
from papertape.core.requests import duration


class TimeOfDay(msgspec.Struct, frozen=True):
    """A time in each session: ``seconds`` after midnight local time, after the open or after the close."""

    anchor: str
    seconds: int

    def on(self, calendar: SessionTimes, i: int) -> int:
        """The time (UTC ns) in the calendar's session ``i``."""
        if self.anchor == "open":
            return calendar.open[i] + self.seconds * NS_PER_S
        if self.anchor == "close":
            return calendar.close[i] + self.seconds * NS_PER_S
        day = dt.date(1970, 1, 1) + dt.timedelta(days=calendar.date[i])
        clock = dt.time(self.seconds // 3600, self.seconds // 60 % 60, self.seconds % 60)
        local = dt.datetime.combine(day, clock, ZoneInfo(calendar.zone))
        return int(local.timestamp()) * NS_PER_S

    def upcoming(self, calendar: SessionTimes, now: int) -> Iterator[int]:
        """The times after ``now``, session by session, to the end of the calendar."""
        first = max(0, bisect.bisect_left(calendar.close, now) - 1)
        for i in range(first, len(calendar.close)):
            ts = self.on(calendar, i)
            if ts > now:
                yield ts


def time_of_day(text: str) -> TimeOfDay:
    """Read a time of day; ConfigError where it is none."""
    clock = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", text.strip())
    if clock:
        hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
        if hour < 24 and minute < 60 and second < 60:
            return TimeOfDay("midnight", hour * 3600 + minute * 60 + second)
    anchored = re.fullmatch(r"(open|close)(?:\s*([+-])\s*(.+))?", text.strip())
    if anchored:
        if not anchored[3]:
            return TimeOfDay(anchored[1], 0)
        length = duration(anchored[3])
        if length.ns and length.ns % NS_PER_S == 0:
            return TimeOfDay(anchored[1], length.ns // NS_PER_S * (1 if anchored[2] == "+" else -1))
    raise ConfigError(f'time "{text}": HH:MM, HH:MM:SS, open+5m or close-5m is needed (exchange time)')
