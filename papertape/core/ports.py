"""What a session needs of the world around it: a strategy's handlers, a feed, a broker, a journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from papertape.core.guard import Approved
from papertape.core.model import EventKind, Instrument
from papertape.core.requests import Reply, Request
from papertape.core.series import Batch
from papertape.core.state import State, Stop
from papertape.core.timers import Timers

Handler = Callable[[Any], Any]
WakeUp = tuple[Handler, Any]
"""A handler and what it is to hear."""


class Handlers(NamedTuple):
    """A strategy's callbacks; None where it does not override one, which then costs nothing."""

    start: Handler | None = None
    trade: Handler | None = None
    quote: Handler | None = None
    bar: Handler | None = None
    bars: Handler | None = None
    scan: Handler | None = None
    time: Handler | None = None
    order: Handler | None = None
    fill: Handler | None = None
    stop: Handler | None = None
    feed: Handler | None = None
    """Hears a :class:`papertape.core.model.FeedUpdate` where a live run's connection or data change; for hosts of
    strategies that other frameworks tell of it. Ours do not ask how they are run."""


class Image(NamedTuple):
    """An instrument's last known prices when it is subscribed to; NaN unknown. ``ts`` is when they were known."""

    last: float
    bid: float
    ask: float
    ts: int


class Feed(Protocol):
    """Market data. Yields only what is watched, in time order, each event once."""

    instruments: Sequence[Instrument]

    def watch(self, instrument: int, now: int) -> Image | None:
        """Deliver the instrument's market events that come after ``now``; returns what is known of it already."""

    def unwatch(self, instrument: int) -> None:
        """No longer deliver the instrument's market events."""

    def watch_bars(self, instrument: int, interval_ns: int | None, now: int, warmup: int = 0) -> EventKind | None:
        """Deliver bars of an interval (None: the tape's own); returns their kind, None where there are none.

        ``warmup`` is how many past ones :meth:`past_bars` will be asked for.
        """

    def past_bars(self, instruments: Sequence[int], warmup: int, now: int) -> Batch | None:
        """The last ``warmup`` bars of each that are over at ``now``, of those that it delivers; in order of time.

        None where there are none, or where they come later, as a batch that ``is_past``.
        """

    def kinds(self, instrument: int) -> frozenset[EventKind]:
        """Kinds of market events that the instrument has."""

    def find(self, symbol: str) -> int | None:
        """Index of an instrument that the run does not know yet but can have; None where it can not."""

    def ask(self, request: Request, now: int) -> Reply | None:
        """Answer a request as of ``now``, or None where the answer comes later."""

    @property
    def restarts(self) -> bool:
        """Whether watching changes what comes next, so that the rest of the present batch is void."""


class Broker(Protocol):
    """Takes approved orders, reports what became of them, and owns the kernel that marks (and may match)."""

    def attach(self, state: State, timers: Timers, instruments: Sequence[Instrument]) -> None:
        """Be told of the state that is shared with the session."""

    def submit(self, approved: Approved, number: int, now: int) -> None:
        """Send an order."""

    def cancel(self, number: int, now: int, reason: int) -> None:
        """Ask for an order to be cancelled; ending it is reported."""

    def modify(self, approved: Approved, number: int, now: int) -> None:
        """Ask for an order's quantity and prices to be replaced."""

    def open_batch(self, batch: Batch) -> None:
        """Make ready to advance over a batch."""

    def advance(self, begin: int, end: int, stop_on_report: bool) -> tuple[int, Stop]:
        """Process events of the open batch; returns the first not processed, and why it stopped."""

    def run_ahead(self, begin: int, end: int) -> tuple[int, Stop]:
        """The same on a copy of the state, up to before the first event that may touch an order."""

    def take_ahead(self) -> None:
        """Make the state what it was when running ahead stopped."""

    def close_group(self) -> bool:
        """Mark bars that are applied but not marked; returns whether the guard tripped."""

    def begin_session(self, date: int, session_open: int, session_close: int, next_open: int) -> None:
        """The exchange's next (or present) session, and when the one after it opens."""

    def end_session(self, ts: int) -> None:
        """The session closes: on-close orders fill, day orders expire."""

    def split(self, instrument: int, ratio: float, ts: int) -> None:
        """Adjust working orders for a split."""


class Journal(Protocol):
    """Where decisions and what came of them are written, in order."""

    @property
    def write(self) -> Callable[[tuple[Any, ...]], None]:
        """Append a decision: its kind, then its values (see ``papertape/journal.py``)."""

    def write_reports(self, begin: int, end: int) -> None:
        """Append the state's reports [begin, end)."""
