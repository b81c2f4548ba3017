"""Timers: by time, then priority, then order of asking; and what is due is always known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.core.timers import NEVER, Priority, Timers


def nothing(ts: int) -> None:
    """What a timer does that is only looked at."""


def drain(timers: Timers) -> list[int]:
    """Pop all; the times in the order in which they came."""
    found = []
    while timers.due != NEVER:
        due = timers.due
        ts, action = timers.pop()
        assert ts == due
        action(ts)
        found.append(ts)
    return found


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(Priority))))
def test_timers_come_by_time_then_priority_then_order_of_asking(asked: list[tuple[int, Priority]]) -> None:
    timers = Timers()
    heard: list[tuple[int, Priority, int]] = []
    for k, (ts, priority) in enumerate(asked):
        timers.add(ts, priority, lambda at, p=priority, k=k: heard.append((at, p, k)))  # type: ignore[misc]
    drain(timers)
    assert heard == sorted((ts, priority, k) for k, (ts, priority) in enumerate(asked))


def test_at_one_time_bars_come_first_then_the_broker_the_session_the_replies_and_the_strategy() -> None:
    assert sorted(Priority) == [
        Priority.BARS, Priority.BROKER, Priority.SESSION, Priority.REPLY, Priority.STRATEGY,
    ]  # fmt: skip


def test_nothing_is_due_where_nothing_waits() -> None:
    timers = Timers()
    assert timers.due == NEVER
    timers.add(7, Priority.STRATEGY, nothing)
    assert timers.due == 7
    timers.clear()
    assert timers.due == NEVER


def test_a_timer_that_a_timer_sets_takes_its_place_among_the_others() -> None:
    timers = Timers()
    heard: list[int] = []

    def chain(ts: int) -> None:
        heard.append(ts)
        if ts < 9:
            timers.add(ts + 3, Priority.BROKER, chain)

    timers.add(0, Priority.BROKER, chain)
    timers.add(5, Priority.BROKER, heard.append)
    assert drain(timers) == [0, 3, 5, 6, 9] == heard


def test_timers_are_bounded() -> None:
    timers = Timers(most=2)
    timers.add(1, Priority.REPLY, nothing)
    timers.add(1, Priority.REPLY, nothing)
    with pytest.raises(AssertionError, match="more timers than a run can mean"):
        timers.add(1, Priority.REPLY, nothing)
