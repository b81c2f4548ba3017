"""What was known of an instrument at a time: last prices, the day so far, bars. Nothing later is ever looked at."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import math
from collections.abc import Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from feeds.resample import resample
from papertape.core.model import ActionKind, Bar, EventKind, Instrument, SessionTimes
from papertape.core.ports import Image
from papertape.core.requests import Duration, Snapshot
from papertape.core.series import Series, Tape

DAY_NS = 86_400 * 1_000_000_000


class Day(NamedTuple):
    """An instrument's session so far: first price, last price, volume, and the last price of the session before.

    Prices are NaN where there was no trade; ``previous_close`` is adjusted for splits since.
    """

    open: float
    last: float
    volume: float
    previous_close: float
    ts: int


class PointInTime:
    """Looks up a tape by instrument and time (UTC ns); everything at or before the time counts as known."""

    def __init__(self, tape: Tape, instruments: Sequence[Instrument], calendar: SessionTimes) -> None:
        self.instruments = instruments
        self.calendar = calendar
        self.reference_columns = tape.reference_columns
        self.index = {each.symbol: j for j, each in enumerate(instruments)}
        self._midnights = _midnights(calendar)
        self._bars: list[list[Series]] = [[] for _ in instruments]
        self._trades: list[Series | None] = [None] * len(instruments)
        self._quotes: list[Series | None] = [None] * len(instruments)
        for series in tape.series:
            j = self.index.get(series.symbol)
            if j is None or not len(series):
                continue
            if series.kind is EventKind.TRADE:
                self._trades[j] = series
            elif series.kind is EventKind.QUOTE:
                self._quotes[j] = series
            else:
                self._bars[j].append(series)
        for each in self._bars:
            each.sort(key=_typical_length)
        self._splits: dict[int, list[tuple[int, float]]] = {}
        for action in tape.actions:
            if action.kind is ActionKind.SPLIT and action.symbol in self.index:
                self._splits.setdefault(self.index[action.symbol], []).append((action.ts, action.value))

    # -- series -----------------------------------------------------------------------------------------------

    def market(self, j: int) -> list[Series]:
        """The series that mark and fill: quotes and trades, else the finest bars."""
        found = [each for each in (self._quotes[j], self._trades[j]) if each is not None]
        return found or self._bars[j][:1]

    def bars(self, j: int) -> list[Series]:
        """The tape's own bars, finest first."""
        return self._bars[j]

    def finest(self, j: int) -> Series | None:
        """Trades, else the finest bars: what bars are made of."""
        return self._trades[j] or (self._bars[j][0] if self._bars[j] else None)

    # -- prices -------------------------------------------------------------------------------------------------

    def image(self, j: int, now: int) -> Image | None:
        """Last prices known at ``now``."""
        last, bid, ask, ts = math.nan, math.nan, math.nan, 0
        series = self.finest(j)
        if series is not None:
            k = int(np.searchsorted(series.ts, now, "right")) - 1
            if k >= 0:
                ts = int(series.ts[k])
                last = float(_last(series)[k]) / self.split_factor(j, ts, now)
        quotes = self._quotes[j]
        if quotes is not None:
            k = int(np.searchsorted(quotes.ts, now, "right")) - 1
            if k >= 0:
                factor = self.split_factor(j, int(quotes.ts[k]), now)
                bid, ask = float(quotes.columns[0][k]) / factor, float(quotes.columns[1][k]) / factor
                ts = max(ts, int(quotes.ts[k]))
        return Image(last, bid, ask, ts) if ts else None

    def snapshot(self, j: int, now: int) -> Snapshot | None:
        """Last prices and the session's volume so far; None where nothing was ever received."""
        image = self.image(j, now)
        if image is None:
            return None
        day = self.day(j, now)
        volume = math.nan if day is None else day.volume
        return Snapshot(self.instruments[j].symbol, image.last, image.bid, image.ask, volume, image.ts)

    def session_at(self, now: int) -> int:
        """Index of the session that ``now`` lies in or follows; -1 before the first."""
        return bisect.bisect_right(self.calendar.open, now) - 1

    def day(self, j: int, now: int) -> Day | None:
        """The session so far; None where nothing of it (or no session) was received.

        A session's day begins at midnight in the exchange's zone: before its open nothing of it was received.
        """
        series = self.finest(j)
        i = bisect.bisect_right(self._midnights, now) - 1
        if series is None or i < 0:
            return None
        opening = self.calendar.open[i]
        stamps = series.ts if series.start is None else series.start
        begin = int(np.searchsorted(stamps, opening, "left"))
        end = int(np.searchsorted(series.ts, now, "right"))
        if end <= begin:
            return None
        bars = series.kind >= EventKind.BAR
        first = series.columns[0][begin]
        volume = float(np.add.reduce(series.columns[4 if bars else 1][begin:end]))
        previous = math.nan
        if begin and i:
            known = int(np.searchsorted(series.ts, self.calendar.close[i - 1], "right")) - 1
            if known >= 0:
                ts = int(series.ts[known])
                previous = float(_last(series)[known]) / self.split_factor(j, ts, now)
        return Day(float(first), float(_last(series)[end - 1]), volume, previous, int(series.ts[end - 1]))

    def split_factor(self, j: int, then: int, now: int) -> float:
        """What a price of ``then`` is divided by to compare with one of ``now``: new units for one old, since."""
        factor = 1.0
        for ts, ratio in self._splits.get(j, ()):
            if then < ts <= now:
                factor *= ratio
        return factor

    # -- bars ---------------------------------------------------------------------------------------------------

    def history(self, j: int, length: Duration, bar: Duration, now: int) -> list[Bar]:
        """Bars over ``length`` up to ``now``, oldest first; the last one may be unfinished. Adjusted for splits.

        A length in sessions counts the present one. Bars are the tape's own where it has them in that
        interval, else made of its finest series.
        """
        begin = now - length.ns if length.ns else self._session_begin(length.sessions, now)
        interval = bar.ns or DAY_NS * bar.sessions
        found: list[Bar] = []
        for series in self._bars[j]:
            if _nominal_length(series) == interval:
                found = self._listed(j, series, begin, now)
                break
        finest = self.finest(j)
        if finest is not None:
            since = found[-1].ts if found else begin
            made = self._resampled(finest, max(begin, since), now, interval)
            if made is not None:
                found += [each for each in self._listed(j, made, max(begin, since), now) if each.start >= since]
        return found

    def _session_begin(self, count: int, now: int) -> int:
        i = self.session_at(now)
        return self.calendar.open[max(0, i - count + 1)] if i >= 0 else now

    def _resampled(self, series: Series, begin: int, now: int, interval: int) -> Series | None:
        stamps = series.ts if series.start is None else series.start
        a = int(np.searchsorted(stamps, begin, "left"))
        b = int(np.searchsorted(series.ts, now, "right"))
        if b <= a:
            return None
        piece = dataclasses.replace(
            series,
            ts=series.ts[a:b],
            columns=tuple(column[a:b] for column in series.columns),
            start=None if series.start is None else series.start[a:b],
            row=None,
        )
        first = max(0, bisect.bisect_right(self.calendar.open, int(stamps[a])) - 2)
        last = bisect.bisect_right(self.calendar.open, now) + 1
        window = SessionTimes(
            self.calendar.date[first:last], self.calendar.open[first:last], self.calendar.close[first:last],
            self.calendar.zone, self.calendar.name,
        )  # fmt: skip
        return resample(piece, interval, window)

    def _listed(self, j: int, series: Series, begin: int, now: int) -> list[Bar]:
        """Bars that start at or after ``begin``; one that is not over yet is known up to ``now`` only."""
        assert series.start is not None, "bars have a start"
        a = int(np.searchsorted(series.start, begin, "left"))
        b = int(np.searchsorted(series.ts, now, "right")) if series.kind is EventKind.BAR else len(series)
        found: list[Bar] = []
        for k in range(a, b):
            ts = int(series.ts[k])
            factor = self.split_factor(j, int(series.start[k]), now)
            o, h, low, c, v = (float(column[k]) for column in series.columns)
            found.append(
                Bar(
                    series.symbol, min(ts, now), o / factor, h / factor, low / factor, c / factor, v * factor,
                    int(series.start[k]),
                )  # fmt: skip
            )
        return found


def _midnights(calendar: SessionTimes) -> list[int]:
    """Start of each session's day in the exchange's zone, UTC ns."""
    zone = ZoneInfo(calendar.zone)
    first = dt.date(1970, 1, 1).toordinal()
    days = (dt.date.fromordinal(first + date) for date in calendar.date)
    return [int(dt.datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1_000_000_000 for day in days]


def _last(series: Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return series.columns[3] if series.kind >= EventKind.BAR else series.columns[0]


def _typical_length(series: Series) -> float:
    assert series.start is not None, "bars have a start"
    return float(np.median((series.ts - series.start)[:1000]))


def _nominal_length(series: Series) -> int:
    typical = int(_typical_length(series))
    return DAY_NS if typical > 3 * 3600 * 1_000_000_000 else typical
