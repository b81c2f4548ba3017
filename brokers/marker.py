"""The kernel's half of every broker: it marks what is held and, where a broker simulates, matches what works."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from brokers import kernel
from brokers.fees import NO_REGULATORY, FeeModel
from brokers.rules import ALLOW_SHORT, COMMANDS, MARGIN_MULTIPLE, ROOM_BESIDE, ROOM_PER_ORDER, RULES
from papertape.core.compiled import entry_point
from papertape.core.model import Instrument
from papertape.core.places import Places
from papertape.core.series import Batch
from papertape.core.state import State, Stop, Terms
from papertape.core.timers import Timers

_UNLIMITED = 1e9
"""The margin multiple of a table that only marks: what can be paid for is somebody else's to judge."""
_STOPS = tuple(Stop)
_FULL = Stop.FULL  # by a plain name: looking a member up on its class is slow in Python 3.11


def marking_terms() -> Terms:
    """Terms for a kernel that marks only."""
    rules = np.zeros(RULES)
    rules[MARGIN_MULTIPLE] = _UNLIMITED
    rules[ALLOW_SHORT] = 1.0
    return Terms(FeeModel.parse("none").vector(), NO_REGULATORY.copy(), np.zeros(1), rules)


class Marker:
    """Walks events over a state in compiled code. ``terms`` are those on which a simulated broker fills."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._commands_left = 0
        self._advance: Callable[..., int] = entry_point(kernel.advance, (0, 0, 0, False, False))

    def attach(self, state: State, timers: Timers, instruments: Sequence[Instrument]) -> None:
        """Be told of the state that is shared with the session."""
        self._state = state
        self._timers = timers
        self._instruments = instruments
        self._ahead = state.ahead()
        self._places = Places(state.books(), self._terms)
        self._ahead_places = Places(self._ahead.books(), self._terms)

    def open_batch(self, batch: Batch) -> None:
        """Make ready to advance over a batch."""
        self._events = self._places.put_batch(batch)
        self._is_ahead_open = False

    def _refresh(self) -> None:
        """Tables were replaced by larger ones: give the kernel those."""
        self._ahead = self._state.ahead()
        self._places.put_books(self._state.books())
        self._ahead_places.put_books(self._ahead.books())

    def advance(self, begin: int, end: int, stop_on_report: bool) -> tuple[int, Stop]:
        """Process events of the open batch; returns the first not processed, and why it stopped."""
        places = self._places
        if places.books.orders is not self._state.orders:
            self._refresh()
        while True:
            code = self._advance(places.address, begin, end, False, stop_on_report)
            begin = code >> 3
            stop = _STOPS[code & 7]
            if stop is not _FULL:
                return begin, stop
            self._grow_reports()

    def run_ahead(self, begin: int, end: int) -> tuple[int, Stop]:
        """The same on a copy of the state, up to before the first event that may touch an order."""
        if not self._is_ahead_open:
            self._is_ahead_open = True
            self._ahead_places.put_events(self._events)
        self._ahead.copy_marks_from(self._state)
        code = self._advance(self._ahead_places.address, begin, end, True, False)
        return code >> 3, _STOPS[code & 7]

    def take_ahead(self) -> None:
        """Make the state what it was when running ahead stopped."""
        self._state.copy_marks_from(self._ahead)

    def close_group(self) -> bool:
        """Mark bars that are applied but not marked; returns whether the guard tripped."""
        s = self._state
        return bool(kernel.mark_group(s.account, s.buckets, s.tree[1]))

    def mark_closed(self, ts: int) -> bool:
        """Mark what closing a position has made of the account, which no event of its instrument does from then on.

        Returns whether the guard tripped. Bars that wait to be marked together take it with them.
        """
        account = self._state.account
        if account["group_ts"][0]:
            return False
        account["group_ts"] = max(ts, int(account["open_ts"][0]))
        return self.close_group()

    def _grow_reports(self) -> None:
        state = self._state
        larger = np.zeros(2 * len(state.reports) + self._room_needed(), state.reports.dtype)
        larger[: len(state.reports)] = state.reports
        state.reports = larger
        self._refresh()

    def _room_needed(self) -> int:
        """Rows of the report table that must be free now, for an event and the commands up to the next look."""
        return ROOM_PER_ORDER * (int(self._state.account["working"][0]) + COMMANDS) + ROOM_BESIDE

    def _make_room(self, *, at_once: bool = False) -> None:
        """Room for an order and for the reports of one command; looked at now and then, for many commands ahead."""
        state = self._state
        if self._places.books.orders is not state.orders:
            self._refresh()
        self._commands_left -= 1
        if self._commands_left > 0 and not at_once:
            return
        self._commands_left = COMMANDS
        if len(state.reports) - int(state.account["reports"][0]) < self._room_needed():
            self._grow_reports()
