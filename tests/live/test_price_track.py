"""Prices that a live run keeps for its report: bounded, and nothing between them is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from papertape.core.model import NS_PER_S
from papertape.live.price_track import BUCKETS_MOST, PriceTrack

rows = st.lists(
    st.tuples(st.integers(0, 90_000), st.floats(1.0, 1_000.0)), min_size=1, max_size=400
).map(lambda found: sorted(found, key=lambda row: row[0]))  # fmt: skip


def track_of(prices: list[tuple[int, float]]) -> PriceTrack:
    track = PriceTrack()
    for at_s, price in prices:
        track.add(at_s * NS_PER_S, price, price, price)
    return track


@given(rows)
def test_each_second_is_a_bucket_while_there_are_few(prices: list[tuple[int, float]]) -> None:
    columns = track_of(prices).columns()
    by_second: dict[int, list[float]] = {}
    for at_s, price in prices:
        by_second.setdefault(at_s, []).append(price)
    assert columns["ts"].tolist() == [at_s * NS_PER_S for at_s in by_second]
    assert columns["last"].tolist() == [each[-1] for each in by_second.values()]
    assert columns["low"].tolist() == [min(each) for each in by_second.values()]
    assert columns["high"].tolist() == [max(each) for each in by_second.values()]


def test_a_long_run_keeps_its_extremes_and_its_end_in_a_bounded_number_of_buckets() -> None:
    price = 100.0 + np.cumsum(np.random.default_rng(3).normal(0.0, 0.1, 30_000))
    track = track_of(list(enumerate(price.tolist())))
    assert BUCKETS_MOST / 2 <= len(track) <= BUCKETS_MOST
    columns = track.columns()
    assert columns["low"].min() == price.min()
    assert columns["high"].max() == price.max()
    assert columns["last"][-1] == price[-1]
    assert (np.diff(columns["ts"]) > 0).all()
    assert ((columns["low"] <= columns["last"]) & (columns["last"] <= columns["high"])).all()


def test_a_price_that_is_unknown_is_passed_over() -> None:
    track = PriceTrack()
    track.add(NS_PER_S, float("nan"), float("nan"), float("nan"))
    assert len(track) == 0


def test_events_that_are_far_apart_are_never_one_bucket_before_they_must_be() -> None:
    track = track_of([(at * 3_600, float(at + 1)) for at in range(BUCKETS_MOST + 1)])
    assert len(track) <= BUCKETS_MOST
    assert track.columns()["last"][-1] == BUCKETS_MOST + 1
