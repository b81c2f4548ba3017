"""The table of an order's life: total, final where it says so, and never surprised by what we ask ourselves."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.core.errors import PeerError
from papertape.core.lifecycle import TRANSITIONS, OrderEvent, next_status
from papertape.core.model import OrderStatus

FILLS = {OrderEvent.PART_FILLED, OrderEvent.FILLED}
OURS = {OrderEvent.CANCEL_SENT, OrderEvent.MODIFY_SENT, OrderEvent.CONNECTION_LOST}
"""Events that we or the line cause: the broker is never to blame for them."""
ENDS = {OrderEvent.CANCELLED, OrderEvent.REJECTED, OrderEvent.EXPIRED}


@pytest.mark.parametrize(("status", "event"), list(itertools.product(OrderStatus, OrderEvent)))
def test_every_pair_of_state_and_event_is_either_in_the_table_or_the_peers_error(
    status: OrderStatus, event: OrderEvent
) -> None:
    if event in TRANSITIONS[status]:
        assert next_status(status, event) is TRANSITIONS[status][event]
    else:
        with pytest.raises(PeerError, match=f"an order in state {status.name} can not be"):
            next_status(status, event)


def test_the_table_has_every_state() -> None:
    assert set(TRANSITIONS) == set(OrderStatus)


@pytest.mark.parametrize("status", [each for each in OrderStatus if each.is_final])
def test_a_final_state_is_left_only_by_a_fill_that_crossed_the_end_on_its_way(status: OrderStatus) -> None:
    assert set(TRANSITIONS[status]) <= FILLS
    for event, following in TRANSITIONS[status].items():
        assert following is (OrderStatus.FILLED if event is OrderEvent.FILLED else status)


def test_what_filled_completely_or_was_rejected_never_changes_again() -> None:
    assert TRANSITIONS[OrderStatus.FILLED] == {}
    assert TRANSITIONS[OrderStatus.REJECTED] == {}


@pytest.mark.parametrize("status", [each for each in OrderStatus if not each.is_final])
def test_what_we_or_the_line_cause_is_legal_in_every_state_that_works(status: OrderStatus) -> None:
    assert set(TRANSITIONS[status]) >= OURS
    for event in OURS:
        assert not next_status(status, event).is_final


@pytest.mark.parametrize("status", [each for each in OrderStatus if not each.is_final])
def test_an_order_that_works_may_fill_or_end_at_any_time(status: OrderStatus) -> None:
    assert set(TRANSITIONS[status]) >= FILLS | ENDS
    assert next_status(status, OrderEvent.FILLED) is OrderStatus.FILLED
    assert not next_status(status, OrderEvent.PART_FILLED).is_final
    for event in ENDS:
        assert next_status(status, event).is_final


def test_an_unknown_order_stays_unknown_until_the_broker_says_what_it_is() -> None:
    for event in OURS:
        assert next_status(OrderStatus.UNKNOWN, event) is OrderStatus.UNKNOWN
    assert next_status(OrderStatus.UNKNOWN, OrderEvent.ACKNOWLEDGED) is OrderStatus.SUBMITTED


def test_a_change_sent_after_a_cancel_does_not_hide_the_cancel() -> None:
    assert next_status(OrderStatus.PENDING_CANCEL, OrderEvent.MODIFY_SENT) is OrderStatus.PENDING_CANCEL
    assert next_status(OrderStatus.PENDING_CANCEL, OrderEvent.PART_FILLED) is OrderStatus.PENDING_CANCEL


@given(st.lists(st.sampled_from(OrderEvent), max_size=30))
def test_a_filled_order_is_never_seen_working_again(events: list[OrderEvent]) -> None:
    status = OrderStatus.PENDING_SUBMIT
    filled = False
    for event in events:
        if event not in TRANSITIONS[status]:
            continue
        status = next_status(status, event)
        filled = filled or event is OrderEvent.FILLED
        assert not filled or status is OrderStatus.FILLED
