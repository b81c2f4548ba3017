"""The table of places: where the arrays lie that a kernel works on, so that a call hands over one number.

A kernel's arrays are the same from call to call, and a call may process one event only: taking some twenty arrays
apart would cost more than the event (docs/decisions.md). The table is written when arrays are replaced.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from papertape.core.addresses import array_at
from papertape.core.compiled import compiled
from papertape.core.series import I8, Batch, Events
from papertape.core.state import ACCOUNT, BUCKET, INSTRUMENT, ORDER, REPORT, Books, Terms

_F8, _I8, _I4, _U1 = np.dtype("f8"), np.dtype("i8"), np.dtype("i4"), np.dtype("u1")
_BOOKS = Books(ACCOUNT, INSTRUMENT, _F8, _F8, _F8, ORDER, REPORT, BUCKET)  # type: ignore[arg-type]
_TERMS = Terms(_F8, _F8, _F8, _F8)  # type: ignore[arg-type]
_EVENTS = Events(_U1, _I4, _I8, _F8, _F8, _F8, _F8, _F8, _I8, _I8, _I8, _I8)  # type: ignore[arg-type]
_BYTE = ctypes.c_char
TERMS_AT = len(_BOOKS)
EVENTS_AT = TERMS_AT + len(_TERMS)
ARRAYS = EVENTS_AT + len(_EVENTS)
"""Rows of the table, an array each: first those of the books, then those of the terms, then those of the events."""


class Places:
    """A table of places and the arrays in them, which live as long as it does. ``address`` is what kernels take."""

    __slots__ = ("_arrays", "_cells", "_event_bytes", "_table", "address", "books")

    def __init__(self, books: Books, terms: Terms) -> None:
        self._table: I8 = np.zeros((ARRAYS, 2), np.int64)
        self._cells = memoryview(self._table.reshape(-1))  # type: ignore[arg-type]  # typed as a buffer from 3.12 on
        self._event_bytes = self._cells[2 * EVENTS_AT :].cast("B")
        self._arrays: list[NDArray[Any] | None] = [None] * ARRAYS
        self.address = int(self._table.ctypes.data)
        self.put_books(books)
        self._put(TERMS_AT, terms, _TERMS)

    def put_books(self, books: Books) -> None:
        """Work on these books from now on."""
        self.books = books
        self._put(0, books, _BOOKS)

    def put_events(self, events: Events) -> None:
        """Work on these events from now on."""
        self._put(EVENTS_AT, events, _EVENTS)

    def put_batch(self, batch: Batch) -> Events:
        """Work on a batch's events from now on; returns them. Another table that gets the same batch has less to do."""
        events = batch.events()
        if batch.cells is None:
            self._put(EVENTS_AT, events, _EVENTS)
            batch.cells = bytes(self._event_bytes)
        else:
            self._arrays[EVENTS_AT:] = events
            self._event_bytes[:] = batch.cells
        return events

    def _put(self, begin: int, arrays: Sequence[NDArray[Any]], types: Sequence[Any]) -> None:
        cells, held = self._cells, self._arrays
        for k, (array, dtype) in enumerate(zip(arrays, types, strict=True), begin):
            if held[k] is array:  # it is there, and an array that somebody holds never moves
                continue
            assert array.dtype == dtype, "an array of another type would be misread"
            assert array.flags.c_contiguous, "an array with gaps would be misread"
            held[k] = array
            cells[2 * k] = address_of(array)
            cells[2 * k + 1] = len(array)


def address_of(array: NDArray[Any]) -> int:
    """Where an array's values lie. ``array.ctypes.data`` says it too, and takes four times as long."""
    try:
        return ctypes.addressof(_BYTE.from_buffer(array))  # type: ignore[arg-type]  # the same
    except (TypeError, ValueError):  # it can not be written to, or it is empty
        return int(array.ctypes.data)


@compiled
def books_at(places: int) -> Books:
    """The books that a table names."""
    table = array_at(places, 2 * ARRAYS, np.int64)
    return Books(
        array_at(table[0], table[1], ACCOUNT),
        array_at(table[2], table[3], INSTRUMENT),
        array_at(table[4], table[5], np.float64),
        array_at(table[6], table[7], np.float64),
        array_at(table[8], table[9], np.float64),
        array_at(table[10], table[11], ORDER),
        array_at(table[12], table[13], REPORT),
        array_at(table[14], table[15], BUCKET),
    )


@compiled
def terms_at(places: int) -> Terms:
    """The terms that a table names."""
    table = array_at(places, 2 * ARRAYS, np.int64)[2 * TERMS_AT :]
    return Terms(
        array_at(table[0], table[1], np.float64),
        array_at(table[2], table[3], np.float64),
        array_at(table[4], table[5], np.float64),
        array_at(table[6], table[7], np.float64),
    )


@compiled
def events_at(places: int) -> Events:
    """The events that a table names."""
    table = array_at(places, 2 * ARRAYS, np.int64)[2 * EVENTS_AT :]
    return Events(
        array_at(table[0], table[1], np.uint8),
        array_at(table[2], table[3], np.int32),
        array_at(table[4], table[5], np.int64),
        array_at(table[6], table[7], np.float64),
        array_at(table[8], table[9], np.float64),
        array_at(table[10], table[11], np.float64),
        array_at(table[12], table[13], np.float64),
        array_at(table[14], table[15], np.float64),
        array_at(table[16], table[17], np.int64),
        array_at(table[18], table[19], np.int64),
        array_at(table[20], table[21], np.int64),
        array_at(table[22], table[23], np.int64),
    )
