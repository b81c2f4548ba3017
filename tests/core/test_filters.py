"""Filters over columns against a plain Python loop, however the columns are cut."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.core.errors import ConfigError
from papertape.core.filters import Before, Filter, changed, condition, crossed, every, moved

Rule = Callable[[float, float, int, int], bool]
S = 1_000_000_000


def jumped(price: float, previous: float, ts: int, previous_ts: int) -> bool:
    """A user's own rule."""
    return abs(price - previous) > 1.0 and ts - previous_ts < 2 * S


def jumps(price: float, previous: float) -> bool:
    """What ``moved(0.01)`` means."""
    return price > previous * 1.01 or price < previous * 0.99


FILTERS: dict[str, tuple[Filter, Rule]] = {
    "moved": (moved(0.01, 0.02), lambda p, b, t, u: p > b * 1.01 or p < b * 0.98),
    "moved one way": (moved(0.01), lambda p, b, t, u: p > b * 1.01 or p < b * 0.99),
    "crossed": (crossed(100.0), lambda p, b, t, u: (b < 100.0 <= p) or (b > 100.0 >= p)),
    "changed": (changed(), lambda p, b, t, u: p != b),
    "every": (every(2.0), lambda p, b, t, u: t // (2 * S) != u // (2 * S)),
    "condition": (condition(jumped), jumped),
    "both": (moved(0.01) & every(2.0), lambda p, b, t, u: jumps(p, b) and t // (2 * S) != u // (2 * S)),
    "either": (crossed(100.0) | moved(0.01), lambda p, b, t, u: (b < 100.0 <= p) or (b > 100.0 >= p) or jumps(p, b)),
}

events = st.lists(
    st.tuples(st.sampled_from([0, 1, S // 2, S, 3 * S]), st.integers(9_700, 10_300).map(lambda n: n / 100)),
    min_size=1, max_size=40,
)  # fmt: skip


def columns(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    ts = 1_704_292_200 * S + np.cumsum(np.array([gap for gap, _ in rows], np.int64))
    return ts, np.array([price for _, price in rows])


@pytest.mark.parametrize("name", FILTERS)
@given(rows=events, cuts=st.sets(st.integers(1, 39), max_size=4))
def test_a_filter_holds_exactly_where_the_plain_rule_does(
    name: str, rows: list[tuple[int, float]], cuts: set[int]
) -> None:
    made, rule = FILTERS[name]
    ts, price = columns(rows)
    n = len(ts)
    wanted = [False] + [bool(rule(price[i], price[i - 1], int(ts[i]), int(ts[i - 1]))) for i in range(1, n)]
    before = Before()
    found: list[bool] = []
    bounds = [0, *sorted(cut for cut in cuts if cut < n), n]
    for a, b in itertools.pairwise(bounds):
        found += made.mask(ts[a:b], price[a:b], before).tolist()
        before = Before(int(ts[b - 1]), float(price[b - 1]))
    assert found == wanted


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("price", [1e-6, 100.0, 1e9])
def test_the_first_event_never_signals(name: str, price: float) -> None:
    assert FILTERS[name][0].mask(np.array([5 * S]), np.array([price]), Before()).tolist() == [False]


def test_moved_is_strictly_more_than_its_fraction() -> None:
    ts = np.array([S, 2 * S, 3 * S])
    assert moved(0.5).mask(ts, np.array([100.0, 150.0, 75.0]), Before()).tolist() == [False, False, False]
    assert moved(0.5).mask(ts, np.array([100.0, 150.01, 75.0]), Before()).tolist() == [False, True, True]


def test_an_unknown_price_signals_nothing_and_nothing_is_compared_with_it() -> None:
    ts = np.arange(1, 5) * S
    price = np.array([100.0, math.nan, 200.0, 200.0])
    for made in (moved(0.01), crossed(150.0), changed()):
        assert made.mask(ts, price, Before()).tolist() == [False, False, False, False]


def test_a_plain_function_is_compiled(caplog: pytest.LogCaptureFixture) -> None:
    made = condition(jumped)
    assert made.is_compiled  # type: ignore[attr-defined]
    assert caplog.messages == []


def test_a_function_that_cannot_be_compiled_runs_as_python_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[dict[str, float]] = []

    def remembers(price: float, previous: float, ts: int, previous_ts: int) -> bool:
        seen.append({"price": price})
        return price > previous

    made = condition(remembers)
    ts = np.array([S, 2 * S, 3 * S])
    assert made.mask(ts, np.array([1.0, 2.0, 1.5]), Before()).tolist() == [False, True, False]
    made.mask(ts, np.array([1.0, 2.0, 1.5]), Before())
    assert not made.is_compiled  # type: ignore[attr-defined]
    assert len(caplog.messages) == 1
    assert "remembers can not be compiled" in caplog.messages[0]
    assert "it runs as Python" in caplog.messages[0]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: moved(0.0), lambda: moved(-0.1), lambda: moved(math.nan), lambda: moved(math.inf),
        lambda: moved(0.05, 1.0), lambda: moved(0.05, 6.0), lambda: moved(5.0), lambda: every(0.0),
        lambda: every(-1.0), lambda: every(math.nan), lambda: every(math.inf), lambda: every(1e-10),
        lambda: crossed(math.nan), lambda: condition(lambda price: price > 1.0),  # type: ignore[arg-type,misc]
    ],
)  # fmt: skip
def test_a_filter_that_could_never_mean_anything_is_refused(wrong: Callable[[], Filter]) -> None:
    with pytest.raises(ConfigError):
        wrong()


def test_filters_say_what_they_are() -> None:
    assert repr(moved(0.05, 0.06) & (crossed(100) | every(2.0))) == (
        "(moved(up=0.05, down=0.06) & (crossed(100.0) | every(2)))"
    )
