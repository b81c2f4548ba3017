"""What was known of an instrument at a time: last prices, the day so far, bars. Nothing later is ever looked at."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from feeds.last_known import (
    BEFORE_TS,
    BEGIN,
    END,
    F_BEFORE,
    F_LAST,
    F_OPEN,
    F_VOLUME,
    LAST_TS,
    daily_bars,
    find_days,
    places,
)
from feeds.resample import resample
from papertape.core.model import ActionKind, Bar, EventKind, Instrument, SessionTimes
from papertape.core.ports import Image
from papertape.core.requests import Duration, Snapshot
from papertape.core.series import F8, I8, Series, Tape

DAY_NS = 86_400 * 1_000_000_000


NEVER = -(2**62)
"""Before all times."""


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """Instruments' sessions so far, as parallel arrays with one entry an instrument; prices NaN where unknown.

    ``is_today``: something of this session was received. ``open`` and ``volume`` are the session's; ``last`` is the
    last price of all, ``ts`` its time (0: none ever). ``previous_close`` is the last price of the session before,
    adjusted for splits since.
    """

    is_today: NDArray[np.bool_]
    open: F8
    last: F8
    volume: F8
    previous_close: F8
    ts: I8


class PointInTime:
    """Looks up a tape by instrument and time (UTC ns); everything at or before the time counts as known."""

    def __init__(self, tape: Tape, instruments: Sequence[Instrument], calendar: SessionTimes) -> None:
        self.instruments = instruments
        self.calendar = calendar
        self.reference_columns = tape.reference_columns
        self.index = {each.symbol: j for j, each in enumerate(instruments)}
        by_symbol = sorted(range(len(instruments)), key=lambda j: instruments[j].symbol)
        self.alphabetical: I8 = np.argsort(np.array(by_symbol, np.int64))
        """Each instrument's place in the order of symbols: what ties are broken by, faster to compare than text."""
        self.tradable = np.array([each.tradable for each in instruments], np.bool_)
        self._reference: dict[str | None, F8] = {None: np.full(len(instruments), np.nan)}
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
        self._lengths = [[_nominal_length(series) for series in each] for each in self._bars]
        self._opens, self._closes = np.array(calendar.open, np.int64), np.array(calendar.close, np.int64)
        self._table: I8 | None = None
        self._kept: list[NDArray[Any]] = []
        self._all_days: Days | None = None
        self._all_days_at = 0
        self._splits: dict[int, list[tuple[int, float]]] = {}
        for action in tape.actions:
            if action.kind is ActionKind.SPLIT and action.symbol in self.index:
                self._splits.setdefault(self.index[action.symbol], []).append((action.ts, action.value))

    def reference(self, name: str | None) -> F8:
        """A number that is known of instruments ("market_cap", ...), in their order; NaN unknown, as all of None are."""
        if name is not None and name not in self._reference:
            values = (getattr(each, name) for each in self.instruments)
            self._reference[name] = np.array([np.nan if value is None else float(value) for value in values])
        return self._reference[name]

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
        last, ts = math.nan, 0
        series = self.finest(j)
        if series is not None:
            k = int(np.searchsorted(series.ts, now, "right")) - 1
            if k >= 0:
                ts = int(series.ts[k])
                last = float(_last(series)[k]) / self.split_factor(j, ts, now)
        bid, ask, quoted = self._quote(j, now)
        ts = max(ts, quoted)
        return Image(last, bid, ask, ts) if ts else None

    def _quote(self, j: int, now: int) -> tuple[float, float, int]:
        """Last bid and ask known at ``now``, and their time; NaN and 0 where there were none."""
        quotes = self._quotes[j]
        k = -1 if quotes is None else int(np.searchsorted(quotes.ts, now, "right")) - 1
        if quotes is None or k < 0:
            return math.nan, math.nan, 0
        ts = int(quotes.ts[k])
        factor = self.split_factor(j, ts, now)
        return float(quotes.columns[0][k]) / factor, float(quotes.columns[1][k]) / factor, ts

    def snapshots(self, members: Sequence[int], now: int) -> list[Snapshot | None]:
        """Last prices and the session's volume so far of each; None where nothing was ever received."""
        days, rows = self._all_days, members
        if days is None or self._all_days_at != now:  # else a scan has just looked at all
            days, rows = self._find_days(np.array(members, np.int64), now), range(len(members))
        last, volume, ts = days.last.tolist(), days.volume.tolist(), days.ts.tolist()
        found: list[Snapshot | None] = []
        for j, m in zip(members, rows, strict=True):
            latest, bid, ask = ts[m], math.nan, math.nan
            if self._quotes[j] is not None:
                bid, ask, quoted = self._quote(j, now)
                latest = max(latest, quoted)
            symbol = self.instruments[j].symbol
            found.append(Snapshot(symbol, last[m], bid, ask, volume[m], latest) if latest else None)
        return found

    def session_at(self, now: int) -> int:
        """Index of the session that ``now`` lies in or follows; -1 before the first."""
        return bisect.bisect_right(self.calendar.open, now) - 1

    def days(self, now: int) -> Days:
        """The session so far of all instruments, in their order.

        A session's day begins at midnight in the exchange's zone: before its open nothing of it was received.
        """
        if self._all_days is None or self._all_days_at != now:
            self._all_days = self._find_days(np.arange(len(self.instruments)), now)
            self._all_days_at = now
        return self._all_days

    def _find_days(self, members: I8, now: int) -> Days:
        i = bisect.bisect_right(self._midnights, now) - 1
        opening = self.calendar.open[i] if i >= 0 else -NEVER
        close_before = self.calendar.close[i - 1] if i > 0 else NEVER
        found = np.empty((len(members), 4), np.int64)
        values = np.empty((len(members), 4))
        find_days(self._places(), members, now, opening, close_before, found, values)
        for j in self._splits:
            for m in np.flatnonzero(members == j).tolist():
                values[m, F_LAST] /= self.split_factor(j, int(found[m, LAST_TS]), now)
                values[m, F_BEFORE] /= self.split_factor(j, int(found[m, BEFORE_TS]), now)
        return Days(
            is_today=found[:, END] > found[:, BEGIN],
            open=values[:, F_OPEN],
            last=values[:, F_LAST],
            volume=values[:, F_VOLUME],
            previous_close=values[:, F_BEFORE],
            ts=found[:, LAST_TS],
        )

    def _places(self) -> I8:
        if self._table is None:
            self._table, self._kept = places([self.finest(j) for j in range(len(self.instruments))])
        return self._table

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
        lengths = self._lengths[j]
        if interval in lengths:
            found = self._listed(j, self._bars[j][lengths.index(interval)], begin, now)
        elif interval == DAY_NS:
            return self._daily(j, begin, now)
        finest = self.finest(j)
        if finest is not None:
            since = found[-1].ts if found else begin
            made = self._resampled(finest, max(begin, since), now, interval)
            if made is not None:
                found += [each for each in self._listed(j, made, max(begin, since), now) if each.start >= since]
        return found

    def _daily(self, j: int, begin: int, now: int) -> list[Bar]:
        """Bars of the sessions that open at or after ``begin``, made of the finest series."""
        calendar = self.calendar
        first, last = bisect.bisect_left(calendar.open, begin), bisect.bisect_right(calendar.open, now) - 1
        if last < first:
            return []
        times, values = np.empty((last - first + 1, 2), np.int64), np.empty((last - first + 1, 5))
        n = daily_bars(self._places()[j], self._opens, self._closes, first, last, now, times, values)
        symbol = self.instruments[j].symbol
        found: list[Bar] = []
        for (ts, start), (o, h, low, c, v) in zip(times[:n].tolist(), values[:n].tolist(), strict=True):
            factor = self.split_factor(j, start, now)
            found.append(Bar(symbol, ts, o / factor, h / factor, low / factor, c / factor, v * factor, start))
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
                    series.symbol,
                    min(ts, now),
                    o / factor,
                    h / factor,
                    low / factor,
                    c / factor,
                    v * factor,
                    int(series.start[k]),
                )
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
    return float(np.median(series.ts[:1000] - series.start[:1000]))


def _nominal_length(series: Series) -> int:
    typical = int(_typical_length(series))
    return DAY_NS if typical > 3 * 3600 * 1_000_000_000 else typical
