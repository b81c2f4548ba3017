"""Bars of any size that TWS knows, made of a tape as it was known at a time.

Bars of trades are the tape's own where it has them in the interval, else made of its finest series; bars of bid, ask
and midpoint are made of quotes, and a tape without quotes has none. Inside a session bars begin at multiples of their
interval from midnight in the exchange's zone, so that bars of an hour of an exchange that opens at 9:30 begin at 9:30,
10:00, 11:00, ..., as Interactive Brokers' do (by public samples; not confirmed for bars of 2 hours and more).
"""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from zoneinfo import ZoneInfo

import numpy as np

from feeds.point_in_time import DAY_NS, PointInTime
from feeds.resample import resample
from papertape.core.model import NS_PER_S, EventKind, SessionTimes
from papertape.core.schedule import TimeOfDay
from papertape.core.series import F8, I8, Series

AVERAGE_DECIMALS = 8
"""Of average prices, as TWS sends those of RTVolume."""
UNKNOWN = -1.0
"""Volume, average and count of a bar that has none, as TWS sends them for bars of quotes."""
PRICES = ("TRADES", "BID", "ASK", "MIDPOINT")
WEEK, MONTH = "week", "month"
_MIDNIGHT = TimeOfDay("midnight", 0)
_HOUR_NS = 3_600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class BarSize:
    """An interval (ns; a day: sessions), or whole weeks or months of days."""

    ns: int
    span: str = ""

    @property
    def is_intraday(self) -> bool:
        """Whether it is shorter than a day."""
        return self.ns < DAY_NS


@dataclass(frozen=True, slots=True)
class BarRow:
    """A bar. ``start`` and ``end`` are UTC ns; the last one may be unfinished, then it is as of ``end``.

    ``average`` is weighted by volume: of trades, or an estimate from the typical prices of the bars that it is made of.
    ``count`` is the number of trades. Unknown ones are -1.
    """

    start: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float
    count: int


class BarMaker:
    """Makes bars of a tape's instruments; ``known`` (UTC ns) bounds everything that is looked at."""

    def __init__(self, view: PointInTime) -> None:
        self.view = view
        self.calendar = view.calendar
        self.zone = ZoneInfo(view.calendar.zone)
        sessions = range(len(self.calendar.open))
        self.midnights = [_MIDNIGHT.on(self.calendar, i) for i in sessions]
        self._opens = np.array(self.calendar.open, np.int64)
        self._closes = np.array(self.calendar.close, np.int64)
        self._sessions: dict[int, SessionTimes] = {}
        ends = [*self.midnights[1:], 0]
        self._days = dataclasses.replace(
            self.calendar,
            open=tuple(self.midnights),
            close=tuple(min(a + DAY_NS, b) if b else a + DAY_NS for a, b in zip(self.midnights, ends, strict=True)),
        )

    def date(self, ts: int) -> dt.date:
        """The day of a time in the exchange's zone."""
        return dt.datetime.fromtimestamp(ts // NS_PER_S, self.zone).date()

    def session_begin(self, count: int, end: int, *, regular: bool) -> int:
        """When the first of ``count`` sessions begins, the last being the one that ``end`` lies in or follows.

        With regular hours a session begins with its open, else with its day. The calendar's first session bounds it.
        """
        times = self.calendar.open if regular else self.midnights
        i = bisect.bisect_right(times, end) - 1
        return times[max(i - count + 1, 0)] if i >= 0 else end

    def has(self, j: int, what: str) -> bool:
        """Whether the tape can show such bars at all."""
        return bool(self._sources(j, what))

    def first(self, j: int, what: str, known: int) -> int | None:
        """When the earliest event begins, None while nothing is known."""
        found = [
            int((series.ts if series.start is None else series.start)[0])
            for series in self._sources(j, what)
            if int(series.ts[0]) <= known
        ]
        return min(found, default=None)

    def last_close(self, j: int, what: str, since: int, before: int) -> float | None:
        """The last price at or after ``since`` and before ``before``; None where there is none."""
        for series in reversed(self._sources(j, what)):
            k = int(np.searchsorted(series.ts, before, "left")) - 1
            if k >= 0 and int(series.ts[k]) >= since:
                if series.kind is EventKind.QUOTE:
                    piece = _prices(_cut(series, k, k + 1), what)
                    return float(piece.columns[0][0]) if len(piece) else None
                column = series.columns[3] if series.kind >= EventKind.BAR else series.columns[0]
                return float(column[k])
        return None

    def rows(self, j: int, what: str, size: BarSize, begin: int, known: int, *, regular: bool) -> list[BarRow]:
        """Bars that start at or after ``begin``, oldest first; ``regular``: only those of regular trading hours."""
        if size.span:
            return self._spans(j, what, size.span, begin, known, regular=regular)
        calendar = self._sessions_for(size.ns) if size.is_intraday else self.calendar if regular else self._days
        made: list[BarRow] = []
        for series, until in self._sources_for(j, what, size, known):
            is_own = series.kind >= EventKind.BAR and typical_length(series) == size.ns
            since = made[-1].end if made else begin - size.ns
            rows = (
                self._own(j, series, since, until)
                if is_own
                else self._made(j, series, what, size, since, until, calendar)
            )
            made += [row for row in rows if not made or row.start > made[-1].start]
        found = [row for row in made if row.start >= begin]
        return [row for row in found if self.is_regular(row.start)] if regular and size.is_intraday else found

    def is_regular(self, start: int) -> bool:
        """Whether a time lies in a session."""
        i = bisect.bisect_right(self.calendar.open, start) - 1
        return i >= 0 and start < self.calendar.close[i]

    def _sources(self, j: int, what: str) -> list[Series]:
        """What such bars are made of, finest last."""
        if what != "TRADES":
            return [series for series in self.view.market(j) if series.kind is EventKind.QUOTE]
        finest = self.view.finest(j)
        if finest is None:
            return []
        return [*(series for series in reversed(self.view.bars(j)) if series is not finest), finest]

    def _sources_for(self, j: int, what: str, size: BarSize, known: int) -> Iterator[tuple[Series, int]]:
        """What bars of a size are made of, each up to a time: bars of that very size, what reaches back furthest, the rest."""
        sources = self._sources(j, what)
        if not sources:
            return
        finest = sources[-1]
        rest = [series for series in sources[:-1] if typical_length(series) <= size.ns]
        own = [series for series in rest if typical_length(series) == size.ns]
        yield from ((series, known) for series in own)
        before = min(known, int((finest.ts if finest.start is None else finest.start)[0]) - 1)
        yield from ((series, before) for series in rest[-1:] if series not in own and int(series.ts[0]) <= before)
        yield finest, known

    def _sessions_for(self, interval: int) -> SessionTimes:
        """The calendar with sessions cut where an interval from midnight ends first, if they open inside one."""
        if interval < _HOUR_NS:
            return self.calendar  # exchanges open at full or half hours
        if interval not in self._sessions:
            date: list[int] = []
            opens: list[int] = []
            closes: list[int] = []
            calendar = self.calendar
            for i, (opening, close) in enumerate(zip(calendar.open, calendar.close, strict=True)):
                midnight = self.midnights[i]
                cut = midnight + -(-(opening - midnight) // interval) * interval
                for a, b in ((opening, min(cut, close)), (cut, close)):
                    if a < b:
                        date.append(calendar.date[i])
                        opens.append(a)
                        closes.append(b)
            self._sessions[interval] = dataclasses.replace(
                calendar, date=tuple(date), open=tuple(opens), close=tuple(closes)
            )
        return self._sessions[interval]

    def _own(self, j: int, series: Series, since: int, known: int) -> list[BarRow]:
        assert series.start is not None, "bars have a start"
        a = int(np.searchsorted(series.start, since, "left"))
        b = int(np.searchsorted(series.ts, known, "right"))
        typical = _typical(series, a, b)
        count = np.full(b - a, -1, np.int64) if b > a else np.empty(0, np.int64)
        return self._listed(j, series, a, max(a, b), typical, count, known)

    def _made(
        self, j: int, series: Series, what: str, size: BarSize, since: int, known: int, calendar: SessionTimes
    ) -> list[BarRow]:
        """Bars made of a series' events from ``since`` on; none where it is coarser than they are."""
        is_bars = series.kind >= EventKind.BAR
        if is_bars and typical_length(series) > size.ns:
            return []
        stamps = series.ts if series.start is None else series.start
        a = int(np.searchsorted(stamps, since, "left"))
        b = int(np.searchsorted(series.ts, known, "right"))
        piece = _cut(series, a, max(a, b))
        if series.kind is EventKind.QUOTE:
            piece = _prices(piece, what)
        if not len(piece):
            return []
        stamps = piece.ts if piece.start is None else piece.start
        made = resample(piece, size.ns, _around(calendar, int(stamps[0]), known))
        if not len(made):
            return []
        assert made.start is not None, "bars have a start"
        first, last = _extents(piece, made, is_daily=not size.is_intraday)
        traded = piece.columns[-1]
        price = (piece.columns[1] + piece.columns[2] + piece.columns[3]) / 3.0 if is_bars else piece.columns[0]
        total, value = (np.concatenate(([0.0], np.cumsum(column))) for column in (traded, price * traded))
        with np.errstate(divide="ignore", invalid="ignore"):
            average = (value[last] - value[first]) / (total[last] - total[first])
        # Rounded, so that it does not depend on how many events before the bar were looked at.
        mean: F8 = np.where(np.isfinite(average), average, made.columns[3])
        average = mean.round(AVERAGE_DECIMALS)
        count = np.full(len(made), -1, np.int64) if is_bars else last - first
        return self._listed(j, made, 0, len(made), average, count, known)

    def _listed(self, j: int, bars: Series, a: int, b: int, average: F8, count: I8, known: int) -> list[BarRow]:
        assert bars.start is not None, "bars have a start"
        found: list[BarRow] = []
        starts, ends = bars.start[a:b].tolist(), bars.ts[a:b].tolist()
        columns = [column[a:b].tolist() for column in bars.columns]
        is_quoted = bars.source == _QUOTED
        for start, end, o, h, low, c, v, mean, n in zip(
            starts, ends, *columns, average.tolist(), count.tolist(), strict=True
        ):
            factor = self.view.split_factor(j, start, known)
            volume, weighted = (UNKNOWN, UNKNOWN) if is_quoted else (v * factor, mean / factor)
            prices = (o / factor, h / factor, low / factor, c / factor)
            found.append(BarRow(start, min(end, known), *prices, volume, weighted, -1 if is_quoted else n))
        return found

    def _spans(self, j: int, what: str, span: str, begin: int, known: int, *, regular: bool) -> list[BarRow]:
        """Weeks (Monday to Sunday) or calendar months of daily bars."""
        keys: dict[str, Callable[[dt.date], tuple[int, int]]] = {
            WEEK: lambda day: day.isocalendar()[:2],
            MONTH: lambda day: (day.year, day.month),
        }
        key = keys[span]
        days = self.rows(j, what, BarSize(DAY_NS), begin, known, regular=regular)
        return [_joined(list(group)) for _, group in groupby(days, lambda row: key(self.date(row.start)))]


def _cut(series: Series, a: int, b: int) -> Series:
    """Events [a, b) of a series."""
    return dataclasses.replace(
        series,
        ts=series.ts[a:b],
        columns=tuple(column[a:b] for column in series.columns),
        start=None if series.start is None else series.start[a:b],
        row=None,
    )


_QUOTED = "quotes"
"""Marks a series of prices that were made of quotes."""


def _prices(quotes: Series, what: str) -> Series:
    """The bids, asks or middles of quotes as if they were trades without size."""
    bid, ask = quotes.columns[0], quotes.columns[1]
    price = {"BID": bid, "ASK": ask, "MIDPOINT": (bid + ask) / 2.0}[what]
    known = np.isfinite(price)
    price = np.ascontiguousarray(price[known])
    return dataclasses.replace(
        quotes,
        kind=EventKind.TRADE,
        ts=quotes.ts[known],
        columns=(price, np.zeros(len(price))),
        row=None,
        source=_QUOTED,
    )


def _extents(piece: Series, made: Series, *, is_daily: bool) -> tuple[I8, I8]:
    """For each bar that was made, the first of the events that it holds and the first one that it does not."""
    assert made.start is not None, "bars have a start"
    stamps = piece.ts if piece.start is None else piece.start
    first = np.searchsorted(stamps, made.start, "left")
    following = np.append(first[1:], len(stamps))
    if not is_daily:
        return first, following
    # Events between sessions belong to no bar; a trade at the very close belongs to the one that it ends.
    ended = np.searchsorted(stamps, made.ts, "right" if piece.start is None else "left")
    return first, np.minimum(ended, following)


def _typical(series: Series, a: int, b: int) -> F8:
    high, low, close = (column[a:b] for column in series.columns[1:4])
    return np.asarray((high + low + close) / 3.0)


def typical_length(series: Series) -> int:
    """Length of a series' bars in ns; a day where they are as long as sessions."""
    assert series.start is not None, "bars have a start"
    usual = int(np.median(series.ts[:1000] - series.start[:1000]))
    return DAY_NS if usual > 3 * _HOUR_NS else usual


def _around(calendar: SessionTimes, begin: int, end: int) -> SessionTimes:
    """The sessions that matter between two times."""
    first = max(0, bisect.bisect_right(calendar.open, begin) - 2)
    last = bisect.bisect_right(calendar.open, end) + 1
    return dataclasses.replace(
        calendar,
        date=calendar.date[first:last],
        open=calendar.open[first:last],
        close=calendar.close[first:last],
    )


def _joined(rows: Sequence[BarRow]) -> BarRow:
    """One bar of several that follow each other. It starts where the last one does: that is the day TWS dates it."""
    volume = sum(row.volume for row in rows)
    has_volume = all(row.volume >= 0.0 for row in rows)
    average = rows[-1].close
    if volume > 0.0:
        average = sum(row.average * row.volume for row in rows) / volume
    return BarRow(
        rows[-1].start,
        rows[-1].end,
        rows[0].open,
        max(row.high for row in rows),
        min(row.low for row in rows),
        rows[-1].close,
        volume if has_volume else UNKNOWN,
        average if has_volume else UNKNOWN,
        sum(row.count for row in rows) if all(row.count >= 0 for row in rows) else -1,
    )


def sizes() -> Iterator[tuple[str, BarSize]]:
    """The bar sizes that TWS knows, as requests name them, in the order in which it lists them."""
    for unit, seconds, counts in (("sec", 1, (1, 5, 10, 15, 30)), ("min", 60, (1, 2, 3, 5, 10, 15, 20, 30))):
        for n in counts:
            plural = "s" if n > 1 or unit == "sec" else ""
            yield f"{n} {unit}{plural}", BarSize(n * seconds * NS_PER_S)
    for n in (1, 2, 3, 4, 8):
        yield f"{n} hour{'s' if n > 1 else ''}", BarSize(n * _HOUR_NS)
    yield "1 day", BarSize(DAY_NS)
    yield "1W", BarSize(DAY_NS, WEEK)
    yield "1M", BarSize(DAY_NS, MONTH)
