"""Bars from trades and from finer bars: what belongs to which, when it is known, and what never mixes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.resample import resample
from papertape.core.errors import ConfigError, DataError
from papertape.core.model import EventKind, SessionTimes
from papertape.core.series import Series

S = 1_000_000_000
MINUTE = 60 * S
HOUR = 60 * MINUTE
DAY = 24 * HOUR
OPEN, CLOSE = 14 * HOUR + 30 * MINUTE, 21 * HOUR

WEEK = SessionTimes(
    date=(0, 1, 2),
    open=(OPEN, DAY + OPEN, 2 * DAY + OPEN),
    close=(CLOSE, DAY + 18 * HOUR, 2 * DAY + CLOSE),  # the second day closes early
)
ALWAYS = SessionTimes(date=(0, 1, 2), open=(0, DAY, 2 * DAY), close=(DAY, 2 * DAY, 3 * DAY), zone="UTC", name="24/7")


def trades(*rows: tuple[int, float, float]) -> Series:
    table = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    ts = np.array([row[0] for row in rows], dtype=np.int64)
    return Series("A", EventKind.TRADE, ts, (table[1].copy(), table[2].copy()))


def bars(series: Series) -> list[tuple[Any, ...]]:
    assert series.start is not None
    columns = [series.start.tolist(), series.ts.tolist(), *(column.tolist() for column in series.columns)]
    return list(zip(*columns, strict=True))


def test_a_bar_has_open_high_low_close_and_volume_of_its_trades_and_is_stamped_at_its_end() -> None:
    tape = trades(
        (OPEN, 10, 1), (OPEN + 30 * S, 12, 2), (OPEN + 40 * S, 9, 3), (OPEN + 59 * S, 11, 4), (OPEN + 60 * S, 20, 5)
    )
    result = resample(tape, MINUTE, WEEK)
    assert result.kind is EventKind.BAR_VIEW
    assert bars(result) == [
        (OPEN, OPEN + MINUTE, 10, 12, 9, 11, 10),
        (OPEN + MINUTE, OPEN + 2 * MINUTE, 20, 20, 20, 20, 5),
    ]


def test_intervals_count_from_the_open_and_the_last_one_ends_with_the_session() -> None:
    early = DAY + OPEN
    tape = trades((early + 5 * MINUTE, 1, 1), (early + HOUR, 2, 1), (DAY + 17 * HOUR + 45 * MINUTE, 3, 1))
    assert [bar[:2] for bar in bars(resample(tape, HOUR, WEEK))] == [
        (early, early + HOUR),
        (early + HOUR, early + 2 * HOUR),
        (DAY + 17 * HOUR + 30 * MINUTE, DAY + 18 * HOUR),
    ]


def test_the_closing_print_belongs_to_the_last_bar_and_what_follows_does_not() -> None:
    tape = trades((CLOSE - 1, 1, 1), (CLOSE, 2, 100), (CLOSE + 1, 3, 1))
    assert bars(resample(tape, HOUR, WEEK)) == [
        (CLOSE - 30 * MINUTE, CLOSE, 1, 2, 1, 2, 101),
        (CLOSE, CLOSE + HOUR, 3, 3, 3, 3, 1),
    ]


def test_where_a_session_opens_as_another_closes_a_trade_belongs_to_the_new_one() -> None:
    tape = trades((DAY - 1, 1, 1), (DAY, 2, 1))
    assert [bar[:2] for bar in bars(resample(tape, DAY, ALWAYS))] == [(0, DAY), (DAY, 2 * DAY)]


def test_a_bar_of_one_day_is_the_session_without_what_happens_outside_of_it() -> None:
    tape = trades((OPEN - 1, 99, 1), (OPEN, 10, 1), (CLOSE - 1, 11, 2), (CLOSE + HOUR, 1, 1), (DAY + OPEN + HOUR, 5, 7))
    assert bars(resample(tape, DAY, WEEK)) == [
        (OPEN, CLOSE, 10, 11, 10, 11, 3),
        (DAY + OPEN, DAY + 18 * HOUR, 5, 5, 5, 5, 7),
    ]


def test_before_the_open_intervals_count_from_midnight_utc_and_end_at_the_open() -> None:
    tape = trades((14 * HOUR + 1, 1, 1), (OPEN - 1, 2, 1), (OPEN, 3, 1))
    assert [bar[:2] for bar in bars(resample(tape, HOUR, WEEK))] == [
        (14 * HOUR, OPEN),
        (OPEN, OPEN + HOUR),
    ]


def test_an_interval_that_does_not_divide_the_day_starts_anew_at_midnight() -> None:
    tape = trades((DAY - 1, 1, 1), (DAY, 2, 1))
    seven = 7 * HOUR
    assert [bar[:2] for bar in bars(resample(tape, seven, WEEK))] == [(CLOSE, DAY), (DAY, DAY + seven)]


def test_finer_bars_make_the_same_bars_as_their_trades() -> None:
    rng = np.random.default_rng(3)
    ts = np.sort(rng.integers(0, 3 * DAY, 5_000))
    ts = ts[(ts != CLOSE) & (ts != DAY + 18 * HOUR)]
    tape = trades(*((int(t), float(p), 1.0) for t, p in zip(ts, rng.uniform(1, 2, len(ts)), strict=True)))
    for interval in (5 * MINUTE, HOUR, DAY):
        assert bars(resample(resample(tape, MINUTE, WEEK), interval, WEEK)) == bars(resample(tape, interval, WEEK))


def test_a_source_bar_that_reaches_beyond_the_interval_delays_the_bar_until_it_is_known() -> None:
    one = np.array([1.0])
    source = Series(
        "A", EventKind.BAR, np.array([CLOSE + 30 * MINUTE]), (one,) * 5, start=np.array([CLOSE - 30 * MINUTE])
    )
    (bar,) = bars(resample(source, HOUR, WEEK))
    assert bar[:2] == (CLOSE - 30 * MINUTE, CLOSE + 30 * MINUTE)


def test_bars_can_not_be_made_into_shorter_ones() -> None:
    one = np.array([1.0])
    source = Series("A", EventKind.BAR, np.array([OPEN + HOUR]), (one,) * 5, start=np.array([OPEN]))
    with pytest.raises(DataError, match="bars of 3600 s of A cannot be made into bars of 60 s"):
        resample(source, MINUTE, WEEK)


def test_quotes_make_no_bars() -> None:
    one = np.array([1.0])
    with pytest.raises(DataError, match="not of quotes"):
        resample(Series("A", EventKind.QUOTE, np.array([OPEN]), (one,) * 4), MINUTE, WEEK)


@pytest.mark.parametrize("interval", [0, -1, DAY + 1])
def test_an_interval_that_can_not_be_is_refused(interval: int) -> None:
    with pytest.raises(ConfigError, match="cannot be made"):
        resample(trades((OPEN, 1, 1)), interval, WEEK)


def test_no_events_make_no_bars() -> None:
    assert len(resample(trades(), MINUTE, WEEK)) == 0


def one_by_one(series: Series, interval: int, sessions: SessionTimes) -> list[list[float]]:
    """The rule again, a trade at a time and without any state."""
    result: dict[tuple[int, int], list[float]] = {}
    for t, price, size in zip(series.ts.tolist(), *(column.tolist() for column in series.columns), strict=True):
        inside = [
            (o, c)
            for o, c in zip(sessions.open, sessions.close, strict=True)
            if o <= t < c or t == c not in sessions.open
        ]
        if inside:
            ((o, c),) = inside
            edges = [o, c] if interval == DAY else [*range(o, c, interval), c]
        elif interval == DAY:
            continue
        else:
            midnight = t - t % DAY
            stops = {e for pair in (sessions.open, sessions.close) for e in pair if midnight < e < midnight + DAY}
            edges = sorted({*range(midnight, midnight + DAY, interval), midnight + DAY, *stops})
        begin = max(e for e in edges[:-1] if e <= t)
        bar = result.setdefault((begin, min(e for e in edges if e > begin)), [price, price, price, price, 0.0])
        bar[1:] = [max(bar[1], price), min(bar[2], price), price, bar[4] + size]
    return [[*key, *values] for key, values in result.items()]


@settings(max_examples=200, deadline=None)
@given(
    times=st.lists(
        st.one_of(
            st.integers(0, 3 * DAY - 1),
            st.sampled_from([*WEEK.open, *WEEK.close]).flatmap(lambda e: st.integers(e - 2, e + 2)),
        ),
        min_size=1,
        max_size=40,
    ),
    interval=st.sampled_from([MINUTE, 7 * MINUTE, HOUR, 5 * HOUR, DAY]),
)
def test_the_compiled_bars_are_those_of_the_rule_applied_one_by_one(times: list[int], interval: int) -> None:
    tape = trades(*((t, 1.0 + (t % 97), 1.0) for t in sorted(times)))
    assert [list(bar) for bar in bars(resample(tape, interval, WEEK))] == one_by_one(tape, interval, WEEK)
