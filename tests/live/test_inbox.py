"""The queue to the strategy side: nothing put is missed, nothing is waited for in vain, and a wake-up wakes."""

from __future__ import annotations

import threading
import time

from brokers.ib.events import TradeTick
from feeds.ib import make_batches
from papertape.live.inbox import Inbox, Item
from papertape.live.supervisor import Trip


def trades(count: int) -> list[Item]:
    return [*make_batches([TradeTick(0, k, k + 1, 100.0, 1.0) for k in range(count)], 0)]


def test_what_was_put_is_taken_in_order_at_once() -> None:
    inbox = Inbox()
    trip = Trip(1, "max_drawdown", "too much")
    put = [*trades(2), trip, *trades(1)]
    inbox.put(put[:1])
    inbox.put(put[1:])
    assert inbox.behind == 3
    assert inbox.take(60.0) == put
    assert inbox.behind == 0
    assert inbox.take() == []


def test_what_is_put_after_something_was_taken_ends_the_next_wait() -> None:
    inbox = Inbox()
    for _ in range(100):
        first, second = trades(1), trades(1)
        inbox.put(first)
        assert inbox.take() == first
        inbox.put(second)
        inbox.wait(60.0)
        assert inbox.take(60.0) == second
    assert not inbox


def test_a_taker_in_another_thread_gets_everything_once() -> None:
    inbox = Inbox()
    taken: list[Item] = []

    def take() -> None:
        while len(taken) < 2_000:
            taken.extend(inbox.take(60.0))

    taker = threading.Thread(target=take)
    taker.start()
    put = [Trip(k, "", "") for k in range(2_000)]
    for k, each in enumerate(put):
        inbox.put([each])
        if k % 100 == 0:
            time.sleep(0.001)  # so that the taker waits now and then
    taker.join(60.0)
    assert not taker.is_alive()
    assert taken == put


def test_a_wake_up_ends_a_wait_with_nothing() -> None:
    inbox = Inbox()
    inbox.wake()
    inbox.wake()
    assert inbox.take(60.0) == []
    waiting = threading.Thread(target=lambda: inbox.take(60.0))
    waiting.start()
    inbox.wake()
    waiting.join(60.0)
    assert not waiting.is_alive()


def test_market_events_beyond_twice_the_most_are_counted_as_lost_and_all_else_is_kept() -> None:
    inbox = Inbox(most=2)
    assert inbox.put(trades(2))
    assert not inbox.put(trades(3))
    trip = Trip(1, "", "")
    assert not inbox.put([*trades(4), trip])
    assert inbox.lost == 4
    assert inbox.take()[-1] is trip
