"""The strategy's half of a live run: the session of a backtest, fed from a queue.

It has books of its own, so that a handler sees the state as of its wake-up, whatever has happened since.
"""

from __future__ import annotations

import inspect
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from brokers.ib.broker import IbBroker
from brokers.ib.events import (
    AccountReady,
    Answered,
    DataChanged,
    DataKind,
    FeeKnown,
    FillCorrected,
    GuardOrdered,
    InstrumentKnown,
    LinkChanged,
    OrderAmended,
    OrderChanged,
    OrderFilled,
    PastBars,
    PriceImage,
)
from brokers.ib.registry import Registry
from feeds.ib import IbFeed, past_batch
from papertape.core.model import FeedUpdate, Severity
from papertape.core.ports import WakeUp
from papertape.core.requests import ConfirmRequest, Reply
from papertape.core.series import Batch
from papertape.core.session import Session
from papertape.live.inbox import Asks, Item
from papertape.live.price_track import Prices
from papertape.live.sayings import Sayings
from papertape.live.supervisor import Trip

SLOW_HANDLER_S = 0.05
"""A handler that takes longer is reported (DESIGN section 5)."""

_RUNS = {"play": "a handler of market events"}
"""What a session calls where several events are heard in a row."""


class StrategySide:
    """Plays what comes out of the queue. ``busy_since_s`` is set (monotonic) while a handler runs, else 0."""

    def __init__(
        self,
        session: Session,
        broker: IbBroker,
        feed: IbFeed,
        registry: Registry,
        asks: Asks,
        wake: Callable[[], None],
        sayings: Sayings,
    ) -> None:
        self.session = session
        self.feed = feed
        self.broker = broker
        self.asks = asks
        self.sayings = sayings
        self.busy_since_s = 0.0
        self.busy_in = ""
        self.slow_handlers = 0
        self.events = 0
        self.has_begun = False
        self.is_silent = False
        """Whether no handler is called any more, since one has failed: books go on."""
        self.is_open = False
        self.began_ts = 0
        self.starting_equity = math.nan
        self.prices = Prices()
        self._now = 0
        self.end: Callable[[str], None] = lambda why: None
        """Has the run end in order."""
        self._owes_wake = False
        """Whether the adapter's thread does not know yet that something was asked for."""
        self._registry = registry
        self._wake = wake
        feed.sync = self.sync
        feed.available = lambda: float(session.state.cash[0])
        session.desk.texts = broker.texts
        broker.arrival = lambda number: session.desk.book.arrival[number - 1]

    # -- driving ----------------------------------------------------------------------------------------------

    def _drive(self, wakes: Iterable[WakeUp]) -> None:
        """Call each handler in turn; what it asked for is handed on when it has returned, before another.

        Before it has begun a strategy hears nothing: what a resumed run's orders did meanwhile is in its books.
        """
        if not self.has_begun or self.is_silent:
            deque(wakes, maxlen=0)
            return
        for handler, event in wakes:
            if self._owes_wake:
                self._wake_adapter()
            began = self.busy_since_s = time.monotonic()
            name = getattr(handler, "__name__", "a handler")
            self.busy_in = _RUNS.get(name, name)
            try:
                result = handler(event)
                if result is not None and inspect.iscoroutine(result):
                    self.session.adopt(result)
            finally:
                self.busy_since_s = 0.0
            if time.monotonic() - began > SLOW_HANDLER_S:
                self._slow(time.monotonic() - began)
            self._owes_wake = self.asks.flush() or self._owes_wake
        self._owes_wake = self.asks.flush() or self._owes_wake

    def _wake_adapter(self) -> None:
        """Have the adapter's thread look at what was asked for. It wants Python then, so this is the last thing done."""
        self._owes_wake = False
        self._wake()

    def _slow(self, took_s: float) -> None:
        self.slow_handlers += 1
        text = f"{self.busy_in} took more than {SLOW_HANDLER_S * 1000:g} ms (the last time {took_s * 1000:.0f} ms)"
        self.session.log.note("slow_handler", f"{text}: market data wait meanwhile, the guard does not")

    def _ready(self, event: AccountReady) -> None:
        """The account is known: the first time the books open, and the strategy starts."""
        self.open(event.cash, event.rates)
        if not self.has_begun:
            self._watch_what_is_there()
            self.has_begun = True
            self.began_ts = self.began_ts or self._now
            self._drive(self.session.begin(self._now))

    def _watch_what_is_there(self) -> None:
        """Have what a resumed run holds or has ordered delivered, as it was before."""
        records = self.session.state.instruments
        for j in range(len(self.session.symbols)):
            if records["quantity"][j] != 0.0 or records["head"][j] >= 0:
                self.session.watchlist.watch(j, self._now)

    def open(self, cash: Mapping[str, float], rates: Mapping[str, float]) -> None:
        """Open the books with the account's cash, once."""
        if not self.is_open:
            self.is_open = True
            ledger = self.session.ledger
            ledger.open(dict(cash), {**rates, ledger.base: 1.0})
            self.starting_equity = ledger.account.cash

    def play(self, items: Iterable[Item], now: int) -> None:
        """Everything that has happened, in order, and then whatever is due by ``now``."""
        self._now = now
        self.sync()
        is_unheard = False
        for item in items:
            if isinstance(item, _OF_ORDERS):  # what has come of orders together is known before any of it is heard
                self._take(item)
                is_unheard = True
                continue
            if is_unheard:
                self._hear()
                is_unheard = False
            if isinstance(item, Batch):
                self.events += len(item)
                self.prices.take(item)
                self._drive(self.session.step(item))
            else:
                take = _TAKEN.get(type(item))
                if take is not None:
                    take(self, item)
        if is_unheard:
            self._hear()
        if self.feed.next_due() <= now:
            for reply in self.feed.overdue(now):
                self._drive(self.session.answered(reply))
        if self.has_begun and self.session.timers.due <= now:
            self._drive(self.session.pass_until(now))
        if self._owes_wake:
            self._wake_adapter()
        if self.has_begun and self.sayings.due(now):
            self._say()
        if self.session.ending:
            self.end(self.session.ending)

    def _say(self) -> None:
        """Have what is new of log, series and equity journaled."""
        said = self.sayings.collect(self.events, self.began_ts)
        if said is not None:
            self.asks.post(said)
            if self.asks.flush():
                self._wake()

    def finish(self, now: int) -> None:
        """End the strategy: ``on_stop``."""
        if self.has_begun:
            self._drive(self.session.finish(now))
            if self._owes_wake:
                self._wake_adapter()

    @property
    def heard_ts(self) -> int:
        """When it last took what had happened (UTC ns); 0 never."""
        return self._now

    def sync(self) -> None:
        """Know every instrument that the run has come to know."""
        while len(self.session.symbols) < len(self._registry):
            self.session.add_instrument(self._registry.instruments[len(self.session.symbols)])

    # -- what is no market event ------------------------------------------------------------------------------

    def _take(self, event: OrderChanged | OrderAmended | OrderFilled | FeeKnown | FillCorrected) -> None:
        self.broker.take(event)
        if isinstance(event, OrderAmended) and event.text:  # a change was refused; the terms are the old ones again
            self.session.desk.book.requests[self.broker.number_of(event.number) - 1] = event.request

    def _hear(self) -> None:
        """Whoever hears of orders hears what the broker was told of them."""
        self._drive(self.session.hear(max(self._now, self.session.now)))

    def _answered(self, event: Answered) -> None:
        reply: Reply | None = event.reply
        if isinstance(event.reply.request, ConfirmRequest):  # a person's answer, which may have come too late
            reply = self.feed.answer(event.reply.request, answer=bool(event.reply.value))
        if reply is not None:
            self._drive(self.session.answered(reply))

    def _image(self, event: PriceImage) -> None:
        if event.instrument in self.session.watchlist.watched:
            self.session.ledger.note_image(event.instrument, event.last, event.bid, event.ask, event.received_ts)

    def _past(self, event: PastBars) -> None:
        for j, failure in event.failures:
            self.session.log.note("no_bars", f"{self.session.symbols[j]}: {failure}")
        batch = past_batch(event)
        if batch is not None:
            self._drive(self.session.step(batch))

    def _known(self, event: InstrumentKnown) -> None:
        if event.failure:
            symbol = self.session.symbols[event.instrument]
            self.session.log.note(f"unknown_{symbol}", event.failure, Severity.WARNING)

    def _data(self, event: DataChanged) -> None:
        if event.kind not in (DataKind.LIVE, DataKind.UNKNOWN):  # where live data come from, the run says at its end
            symbol = self.session.symbols[event.instrument]
            self.session.log.note(f"data_{symbol}", f"{symbol}: {event.text}")
        self._tell(self.session.symbols[event.instrument], event.kind, event.text)

    def _link(self, event: LinkChanged) -> None:
        self._tell("", event.state, event.text)

    def _tell(self, symbol: str, state: str, text: str) -> None:
        """Have whoever listens hear that the connection or an instrument's data have changed."""
        handler = self.session.handlers.feed
        if handler is not None and self.has_begun:
            ts = max(self._now, self.session.now)
            self.session.wake(handler, FeedUpdate(ts, symbol, str(state), text))
            self._hear()

    def _trip(self, trip: Trip) -> None:
        self._drive(self.session.desk.note_trip(trip.ts, trip.rule, trip.text))

    def _guard_order(self, event: GuardOrdered) -> None:
        self.sync()
        number = self.session.desk.adopt(event.request, event.ts)
        self.broker.adopt(event.request, number, event.number, event.ts)


_OF_ORDERS = (OrderChanged, OrderAmended, OrderFilled, FeeKnown, FillCorrected)
_TAKEN: Mapping[type, Callable[[StrategySide, Any], None]] = {
    Answered: StrategySide._answered,
    PriceImage: StrategySide._image,
    PastBars: StrategySide._past,
    InstrumentKnown: StrategySide._known,
    DataChanged: StrategySide._data,
    Trip: StrategySide._trip,
    AccountReady: StrategySide._ready,
    GuardOrdered: StrategySide._guard_order,
    LinkChanged: StrategySide._link,
}
