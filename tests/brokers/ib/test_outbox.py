"""What waits to be sent leaves in time, orders and cancels first."""

from __future__ import annotations

import pytest

from brokers.ib.commands import AskIds, AskTime, CancelOrder
from brokers.ib.outbox import MOST_WAITING, Outbox
from papertape.core.errors import PeerError
from papertape.core.model import NS_PER_S
from papertape.core.timers import NEVER


def test_orders_and_cancels_overtake_everything_else_and_keep_their_own_order() -> None:
    outbox = Outbox()
    for command in (AskTime(), AskIds(), CancelOrder(1), CancelOrder(2)):
        outbox.put(command)
    assert outbox.take(0) == [CancelOrder(1), CancelOrder(2), AskTime(), AskIds()]


def test_no_more_leaves_in_a_second_than_tws_takes_and_the_rest_as_soon_as_it_may() -> None:
    outbox = Outbox(messages_per_s=2)
    for number in range(5):
        outbox.put(CancelOrder(number))
    assert len(outbox.take(100)) == 2
    assert outbox.due() == 100 + NS_PER_S
    assert outbox.take(99 + NS_PER_S) == []
    assert outbox.take(100 + NS_PER_S) == [CancelOrder(2), CancelOrder(3)]
    assert outbox.take(100 + 2 * NS_PER_S) == [CancelOrder(4)]
    assert outbox.due() == NEVER


def test_without_a_rate_everything_leaves_at_once() -> None:
    outbox = Outbox(messages_per_s=0)
    for number in range(1_000):
        outbox.put(CancelOrder(number))
    assert len(outbox.take(0)) == 1_000


def test_what_has_not_left_when_the_connection_ends_is_handed_back_and_forgotten() -> None:
    outbox = Outbox()
    outbox.put(AskTime())
    outbox.put(CancelOrder(1))
    assert outbox.clear() == [CancelOrder(1), AskTime()]
    assert (len(outbox), outbox.take(0)) == (0, [])


def test_a_peer_that_does_not_keep_up_is_said_and_memory_stays_bounded() -> None:
    outbox = Outbox()
    for _ in range(MOST_WAITING):
        outbox.put(AskTime())
    with pytest.raises(PeerError, match="does not keep up"):
        outbox.put(AskTime())
