"""The aggregated feed of a broker: what it shows, and that it shows nothing before its time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.conflate import conflate
from papertape.core.errors import ConfigError
from papertape.core.model import EventKind
from papertape.core.series import Series

MS = 1_000_000


def trades(ts: list[int], price: list[float], size: list[float], row: list[int] | None = None) -> Series:
    rows = None if row is None else np.array(row, dtype=np.int64)
    return Series("A", EventKind.TRADE, np.array(ts, dtype=np.int64), (np.array(price), np.array(size)), row=rows)


def test_trades_of_one_interval_are_the_last_price_with_all_sizes_sent_at_its_end() -> None:
    tape = trades([0, 100 * MS, 249 * MS, 250 * MS, 900 * MS], [1.0, 2, 3, 4, 5], [10.0, 20, 30, 40, 50])
    result = conflate(tape)
    assert result.ts.tolist() == [250 * MS, 500 * MS, 1_000 * MS]
    assert [column.tolist() for column in result.columns] == [[3.0, 4.0, 5.0], [60.0, 40.0, 50.0]]


def test_of_quotes_the_last_is_sent_and_only_where_it_differs_from_the_one_sent_before() -> None:
    nan = float("nan")
    ts = np.array([0, 10, 300, 600, 800]) * MS
    bid = np.array([9.0, 10.0, 11.0, 10.0, nan])
    rest = np.ones(5)
    quotes = Series("A", EventKind.QUOTE, ts, (bid, rest, rest, rest))
    assert conflate(quotes).ts.tolist() == [250 * MS, 500 * MS, 750 * MS, 1_000 * MS]
    np.testing.assert_array_equal(conflate(quotes).columns[0], [10.0, 11.0, 10.0, nan])
    same = Series("A", EventKind.QUOTE, ts, (np.array([9.0, nan, nan, nan, nan]), rest, rest, rest))
    assert conflate(same).ts.tolist() == [250 * MS]


def test_times_before_1970_fall_into_the_interval_that_holds_them() -> None:
    assert conflate(trades([-1, 0], [1.0, 2.0], [1.0, 1.0])).ts.tolist() == [0, 250 * MS]


def test_the_place_in_the_source_is_that_of_the_last_event() -> None:
    row = conflate(trades([0, 1, 300 * MS], [1.0, 1, 1], [1.0, 1, 1], row=[4, 7, 9])).row
    assert row is not None
    assert row.tolist() == [7, 9]


def test_bars_are_left_as_they_are() -> None:
    one = np.array([1.0])
    bars = Series("A", EventKind.BAR, np.array([1]), (one,) * 5, start=np.array([0]))
    assert conflate(bars) is bars


@pytest.mark.parametrize("interval_ns", [0, -5, 61_000_000_000])
def test_an_interval_that_can_not_be_is_refused(interval_ns: int) -> None:
    with pytest.raises(ConfigError, match="cannot be conflated"):
        conflate(trades([0], [1.0], [1.0]), interval_ns)


@settings(max_examples=100, deadline=None)
@given(ts=st.lists(st.integers(0, 3_000), max_size=60), interval=st.integers(1, 700))
def test_nothing_is_sent_before_it_happened_and_no_volume_is_lost(ts: list[int], interval: int) -> None:
    times = sorted(ts)
    tape = trades(times, [float(i) for i in range(len(times))], [1.0] * len(times))
    result = conflate(tape, interval)
    price, size = result.columns
    assert size.sum() == len(times)
    assert (np.diff(result.ts) > 0).all()
    for sent, index in zip(result.ts.tolist(), price.astype(int).tolist(), strict=True):
        assert sent - interval <= times[index] < sent
        assert index + 1 == len(times) or times[index + 1] >= sent
