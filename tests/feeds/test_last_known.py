"""What was known at a time, in one compiled pass, against plain looks at the columns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.last_known import places
from feeds.playback import RecordedFeed
from feeds.point_in_time import PointInTime
from feeds.resample import resample
from papertape.calendar import session_times
from papertape.core.addresses import array_at
from papertape.core.model import (
    NS_PER_S,
    ActionKind,
    CorporateAction,
    EventKind,
    Instrument,
    ScanSpec,
    SessionTimes,
)
from papertape.core.requests import ScanRequest, SnapshotRequest, duration
from papertape.core.series import Series, Tape

HOUR = 3_600 * NS_PER_S
DAY = 24 * HOUR
DAYS = 4


def calendar() -> SessionTimes:
    """Four sessions of 2024, the first week of January (New York)."""
    monday = 1_704_672_000_000_000_000
    return session_times("XNYS", monday, monday + DAYS * DAY)


TIMES = calendar()
OPENS, CLOSES = TIMES.open, TIMES.close


def at(session: int, hours: float) -> int:
    """A time, counted from a session's open."""
    return OPENS[session] + round(hours * HOUR)


def trades(symbol: str, ts: list[int], price: list[float], size: list[float]) -> Series:
    columns = (np.array(price, np.float64), np.array(size, np.float64))
    return Series(symbol, EventKind.TRADE, np.array(ts, np.int64), columns)


def hourly(symbol: str, starts: list[int], seed: int = 0) -> Series:
    rng = np.random.default_rng(seed)
    start = np.array(starts, np.int64)
    columns = np.exp(rng.normal(3.0, 0.1, (4, len(start))))
    volume = rng.integers(1, 100, len(start)).astype(np.float64)
    values = (columns[0], columns.max(axis=0), columns.min(axis=0), columns[3], volume)
    return Series(symbol, EventKind.BAR, start + HOUR // 2, values, start)


def view_of(*series: Series, actions: tuple[CorporateAction, ...] = ()) -> PointInTime:
    names = list(dict.fromkeys(each.symbol for each in series))
    return PointInTime(Tape(series, {}, actions), [Instrument(name) for name in names], TIMES)


MOMENTS = st.integers(min_value=OPENS[0] - 20 * HOUR, max_value=CLOSES[DAYS] + 10 * HOUR)
TAPES = st.lists(st.tuples(MOMENTS, st.integers(1, 50), st.integers(1, 9)), max_size=60)


def looked_up(series: Series, now: int, session: int) -> tuple[Any, ...]:
    """(something today, open, last, volume, previous close, time of the last) by masks over the whole columns."""
    ts, (price, size) = series.ts, series.columns
    known = ts <= now
    today = known & (ts >= OPENS[session])
    before = ts <= CLOSES[session - 1] if session else ts < 0
    last = price[known][-1] if known.any() else np.nan
    if not today.any():
        return False, np.nan, last, np.nan, np.nan, int(ts[known][-1]) if known.any() else 0
    previous = price[before][-1] if before.any() else np.nan
    return True, price[today][0], last, size[today].sum(), previous, int(ts[known][-1])


@given(TAPES, TAPES, MOMENTS)
def test_days_so_far_are_what_a_look_at_all_events_finds(first: Any, second: Any, now: int) -> None:
    # A tape's empty series count as none, and the calendar reaches back before the tape.
    tapes = [
        trades(name, *map(list, zip(*sorted(rows), strict=True)))
        for name, rows in (("A", first), ("B", second))
        if rows
    ]
    if not tapes:
        return
    view = view_of(*tapes)
    zone_midnight = 5 * HOUR  # New York in January
    session = max((k for k, date in enumerate(TIMES.date) if date * DAY + zone_midnight <= now), default=-1)
    days = view.days(now)
    for j, series in enumerate(tapes):
        expected = looked_up(series, now, session)
        found = (days.is_today[j], days.open[j], days.last[j], days.volume[j], days.previous_close[j], days.ts[j])
        np.testing.assert_array_equal(np.array(found, np.float64), np.array(expected, np.float64))


@given(TAPES, MOMENTS, st.integers(1, 4))
def test_daily_bars_of_trades_are_those_that_resampling_makes(rows: Any, now: int, count: int) -> None:
    if not rows:
        return
    series = trades("A", *map(list, zip(*sorted(rows), strict=True)))
    assert_daily_bars(series, now, count)


@given(st.sets(st.integers(-10, 24 * DAYS), min_size=1), MOMENTS, st.integers(1, 4), st.integers(0, 5))
def test_daily_bars_of_bars_are_those_that_resampling_makes(hours: set[int], now: int, count: int, seed: int) -> None:
    assert_daily_bars(hourly("A", [OPENS[0] + hour * HOUR for hour in sorted(hours)], seed), now, count)


def assert_daily_bars(series: Series, now: int, count: int) -> None:
    """``history`` by sessions, against resampling only what was known."""
    found = view_of(series).history(0, duration(f"{count} D"), duration("1 day"), now)
    known = int(np.searchsorted(series.ts, now, "right"))
    expected = []
    present = max((k for k, opening in enumerate(OPENS) if opening <= now), default=-1)
    if known and present >= 0:
        piece = dataclasses.replace(
            series,
            ts=series.ts[:known],
            columns=tuple(column[:known] for column in series.columns),
            start=None if series.start is None else series.start[:known],
        )
        made = resample(piece, DAY, TIMES)
        assert made.start is not None
        for k in range(len(made)):
            if made.start[k] >= OPENS[max(0, present - count + 1)]:
                values = [float(column[k]) for column in made.columns]
                expected.append((min(int(made.ts[k]), now), *values, int(made.start[k])))
    assert [(b.ts, b.open, b.high, b.low, b.close, b.volume, b.start) for b in found] == expected


def test_prices_before_a_split_are_adjusted_wherever_they_are_shown() -> None:
    series = trades("A", [at(1, 1.0), at(2, 1.0), at(2, 2.0)], [100.0, 51.0, 52.0], [1.0, 1.0, 1.0])
    split = CorporateAction(at(2, -9.5), "A", ActionKind.SPLIT, 2.0)
    view = view_of(series, trades("B", [at(1, 1.0)], [7.0], [1.0]), actions=(split,))
    now = at(2, 3.0)
    assert view.days(now).previous_close[0] == 50.0
    assert view.days(now).last.tolist() == [52.0, 7.0]
    before_any_trade = at(2, 0.5)
    first = view.snapshots([0, 1], before_any_trade)
    assert first[0] is not None
    assert first[0].last == 50.0
    bars = view.history(0, duration("2 D"), duration("1 day"), now)
    assert [(bar.open, bar.volume) for bar in bars] == [(50.0, 2.0), (51.0, 2.0)]


def test_a_snapshot_after_a_scan_is_the_same_as_one_without(monkeypatch: pytest.MonkeyPatch) -> None:
    tapes = [hourly(name, [at(k, h) for k in range(3) for h in range(6)], seed) for seed, name in enumerate("ABC")]
    quote = Series(
        "C", EventKind.QUOTE, np.array([at(2, 2.2)]), tuple(np.array([x]) for x in (9.0, 9.5, 1.0, 2.0)), None
    )
    tape = Tape((*tapes, quote), {})
    instruments = [Instrument(name) for name in "ABC"]
    now = at(2, 2.6)
    request = SnapshotRequest(("C", "A"))
    alone = RecordedFeed(tape, instruments, TIMES, OPENS[0], now).ask(request, now)
    feed = RecordedFeed(tape, instruments, TIMES, OPENS[0], now)
    scan = feed.ask(ScanRequest(ScanSpec("TOP_PERC_GAIN"), 3), now).value
    assert sorted(scan.symbols) == ["A", "B", "C"]
    monkeypatch.setattr(feed.view, "_find_days", None)  # the snapshot that follows makes do with what the scan found
    after = feed.ask(request, now)
    assert repr(after.by_symbol) == repr(alone.by_symbol)
    assert after["C"].bid == 9.0
    assert after["A"].ts == at(2, 2.5)


def test_instruments_without_events_are_known_to_be_unknown() -> None:
    view = PointInTime(Tape((), {}), [Instrument("A")], TIMES)
    assert view.snapshots([0], at(1, 1.0)) == [None]
    assert view.history(0, duration("2 D"), duration("1 day"), at(1, 1.0)) == []
    assert not view.days(at(1, 1.0)).is_today.any()


def test_columns_that_are_not_contiguous_are_read_all_the_same() -> None:
    wide = np.arange(1.0, 9.0)
    series = Series("A", EventKind.TRADE, np.array([at(0, 1.0), at(0, 2.0)]), (wide[::4], wide[1::4]))
    view = view_of(series)
    assert view.days(at(0, 3.0)).last.tolist() == [5.0]
    assert view.days(at(0, 3.0)).volume.tolist() == [2.0 + 6.0]


def test_places_lead_to_the_columns() -> None:
    series = trades("A", [at(0, 1.0), at(0, 2.0)], [3.0, 4.0], [1.0, 1.0])
    table, kept = places([None, series])
    assert table[0].tolist() == [0] * 9
    assert len(kept) == 7
    assert array_at(int(table[1, 1]), 2, np.int64).tolist() == series.ts.tolist()
    assert array_at(int(table[1, 3]), 2, np.float64).tolist() == [3.0, 4.0]
