"""What a kernel finds in a table of places is what was put there, field by field."""

from __future__ import annotations

import numpy as np
import pytest

from papertape.core.model import EventKind
from papertape.core.places import Places, books_at, events_at, terms_at
from papertape.core.series import Blocks, Series, uniform_batch
from papertape.core.state import State, Terms


def batch_of(n: int):
    ts = np.arange(n)
    batch = uniform_batch(Series("X", EventKind.TRADE, ts, (np.ones(n), np.ones(n))), 0, 0, n)
    batch.blocks = Blocks(np.full(n, 1), np.full(n + 1, 2), np.full(n + 2, 3))
    return batch


def check_same(found, given) -> None:
    assert found._fields == given._fields
    for name, mine, theirs in zip(given._fields, found, given, strict=True):
        there = (mine.ctypes.data, mine.dtype.itemsize, mine.dtype.kind, len(mine))
        assert there == (theirs.ctypes.data, theirs.dtype.itemsize, theirs.dtype.kind, len(theirs)), name


def test_each_array_is_found_where_it_was_put_and_its_successor_after_it_was_replaced():
    state, terms = State(3, 2), Terms(np.ones(2), np.ones(3), np.ones(1), np.ones(4))
    places = Places(state.books(), terms)
    for n in (5, 9):
        events = batch_of(n).events()
        places.put_events(events)
        state.orders = np.zeros(100 * n, state.orders.dtype)
        places.put_books(state.books())
        check_same(books_at(places.address), state.books())
        check_same(terms_at(places.address), terms)
        check_same(events_at(places.address), events)


def test_an_array_of_another_type_or_with_gaps_is_not_taken():
    state = State(1, 1)
    places = Places(state.books(), Terms(*(np.ones(1) for _ in Terms._fields)))
    events = batch_of(4).events()
    with pytest.raises(AssertionError, match="misread"):
        places.put_events(events._replace(ts=np.ones(4)))
    with pytest.raises(AssertionError, match="misread"):
        places.put_events(events._replace(c0=np.ones(8)[::2]))


def test_a_batch_that_was_in_one_table_is_found_through_another_without_being_looked_at_again():
    terms = Terms(*(np.ones(1) for _ in Terms._fields))
    first, second = Places(State(1, 1).books(), terms), Places(State(1, 1).books(), terms)
    for n in (1, 4, 2):
        batch = batch_of(n)
        batch.kind.setflags(write=False)
        for places in (first, second):
            put = places.put_batch(batch)
            check_same(events_at(places.address), put)
            check_same(put, batch.events())
    check_same(events_at(first.address), batch.events())
    check_same(books_at(second.address), second.books)


def test_an_array_keeps_being_found_when_only_its_neighbours_were_replaced():
    places = Places(State(1, 1).books(), Terms(*(np.ones(1) for _ in Terms._fields)))
    events = batch_of(3).events()
    places.put_events(events)
    changed = events._replace(c1=np.full(3, 7.0), block_low=np.zeros(0, np.int64))
    places.put_events(changed)
    check_same(events_at(places.address), changed)
