"""The adapter's half of a live run: the connection, the account's guard and the journal, in one thread.

Nothing of it waits for a strategy. An order goes: judged on the account, journaled (durable), sent
(:mod:`papertape.live.submission`); what follows a trip is in :mod:`papertape.live.safeguard`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from brokers.ib import asks, events
from brokers.ib.commands import AskTime, Command
from brokers.ib.events import Event, LinkState
from brokers.ib.gateway import IbGateway
from brokers.ib.records import TICKS, CurrentTime, Disconnected, Record
from brokers.ib.registry import Registry
from brokers.ib.session import IbSession, Wish
from feeds.ib import make_batches
from papertape.core.errors import JournalError, PeerError, UserError
from papertape.core.guard import Refused
from papertape.core.model import NS_PER_S
from papertape.core.orders import OrderRequest
from papertape.core.state import Reason
from papertape.core.timers import NEVER
from papertape.live import entries
from papertape.live.account_books import AccountBooks
from papertape.live.clock import SteppedClock, WallClock
from papertape.live.entries import HEARD
from papertape.live.inbox import Asks, Inbox, Item, part
from papertape.live.journal import Journal
from papertape.live.safeguard import Safeguard
from papertape.live.submission import Decided, Submission
from papertape.live.supervisor import Supervisor, Thresholds, Trip
from papertape.live.trip import TripSequence
from papertape.live.writer import EntryWriter

LOOK_EVERY_NS = NS_PER_S
_MARKET = (events.TradeTick, events.QuoteTick, events.BarClosed)


@dataclass(slots=True)
class AdapterState:
    """What others look at: everything here is replaced whole, never changed in place."""

    halted: str = ""
    halted_ts: int = 0
    trip: Trip | None = None
    mismatch: tuple[tuple[str, str, str], ...] = ()
    notices: list[tuple[int, str]] = field(default_factory=list)
    fills: list[tuple[int, events.OrderFilled]] = field(default_factory=list)
    events: int = 0


class Adapter:
    """Owns the connection. ``connect`` makes a new one: a fresh client for each, since a client's queue survives."""

    def __init__(
        self,
        *,
        connect: Callable[[], IbGateway],
        ib: IbSession,
        supervisor: Supervisor,
        registry: Registry,
        journal: Journal,
        clock: SteppedClock | WallClock,
        inbox: Inbox,
        asked: Asks,
        is_read_only: bool = False,
        day_end: Callable[[OrderRequest, int], int] = lambda request, decided: NEVER,
        claim: Callable[[str], None] = lambda account: None,
        observe: Callable[[Sequence[Event], int], None] = lambda happened, now: None,
    ) -> None:
        self.ib = ib
        self.supervisor = supervisor
        self.state = AdapterState()
        self.gateway: IbGateway | None = None
        self.kept: Thresholds | None = None
        """What the guard's limits were set to before this process; None: they are set from the account as it is."""
        self.is_resumed = False
        self.is_trip_done = True
        """Whether all that follows a trip of a process before this one was done."""
        self.halt_cancels = False
        """Whether a halt of a process before this one was to cancel what works."""
        self.notices_said = 0
        self.fills_heard = 0
        self.ended: set[int] = set()
        """Orders whose end was asked for because the run ended."""
        self.wants_end = False
        """Whether the run should end: the connection has failed for good, or the guard disconnects."""
        self.observe = observe
        self.writer = EntryWriter(journal, registry)
        self.submission = Submission(
            ib=ib, supervisor=supervisor, registry=registry, writer=self.writer, inbox=inbox,
            refuses=self._refuses, say=self.say, day_end=day_end,
        )  # fmt: skip
        self.safeguard = Safeguard(
            ib=ib, supervisor=supervisor, submission=self.submission, writer=self.writer, inbox=inbox,
            say=self.say, leave=lambda now: ib.fail("the guard disconnected", now),
        )  # fmt: skip
        self.books = AccountBooks(
            account=ib.account, orders=ib.orders, supervisor=supervisor, registry=registry, writer=self.writer,
            say=self.say, is_ready=lambda: ib.is_ready, speed=1.0 if ib.settings.in_lockstep else ib.settings.speed,
        )  # fmt: skip
        self._claim = claim
        self._connect = connect
        self._registry = registry
        self._clock = clock
        self._inbox = inbox
        self._asks = asked
        self._is_read_only = is_read_only
        self._watched: set[int] = set()
        self._asked_ns = 0
        self._last_ts = 0
        self._looked_at = 0
        self._has_begun = False
        registry.currencies = frozenset(supervisor.ledger.currencies)

    @property
    def sequence(self) -> TripSequence:
        """What follows a trip."""
        return self.safeguard.sequence

    # -- the connection ---------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect (again). What goes wrong is a record of the session's, except the first time: PeerError, UserError."""
        now = self._clock.now()
        self.ib.connecting(now)
        try:
            self.gateway = self._connect()
        except (PeerError, UserError) as error:  # also a name that can not be resolved while the network is down
            self.gateway = None
            if not self.ib.server_version:
                raise
            self._hear(Disconnected(str(error)), self._clock.now())

    def poll(self, timeout_s: float) -> list[Record]:
        """What TWS has said, waiting at most so long for it."""
        if self.gateway is None:
            time.sleep(min(timeout_s, 0.05))
            return []
        return self.gateway.poll(timeout_s)

    def take(self, records: Sequence[Record]) -> None:
        """Take in what was read, and pass on what follows from it."""
        now = self._clock.now()
        for record in records:
            if type(record) in TICKS:  # nearly all that comes, and it needs nothing of what follows
                self.ib.receive(record, now)
                continue
            if isinstance(record, CurrentTime):
                self._clock.heard(record.ts_s, self._asked_ns)
                now = self._clock.now()
            self._hear(record, now)
            if self.ib.events and isinstance(self.ib.events[-1], events.AccountReady):
                self.pass_on(now)  # the guard's books begin with the account as it is here, before what comes next
        self.pass_on(now)

    def _hear(self, record: Record, now: int) -> None:
        if isinstance(record, HEARD):
            self.writer.note(now, entries.Heard(record))
        elif isinstance(record, Disconnected):
            self._close()
        self.ib.receive(record, now)

    def _close(self) -> None:
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            gateway.close()

    def pass_time(self) -> None:
        """What is due by the clock, and what the connection wants."""
        now = self._clock.now()
        self.ib.pass_time(now)
        if self.ib.wish is Wish.CONNECT and self.ib.state is LinkState.DOWN:
            self.pass_on(now)  # what has happened does not wait until somebody answers
            self.connect()
        elif self.ib.wish is Wish.DISCONNECT:
            self.disconnect(self.ib.text)
        self.pass_on(now)
        if not self._has_begun:
            return
        self.books.note_limits(now, at_once=self.supervisor.pass_time(now))
        self.safeguard.advance(now)
        if now - self._looked_at >= LOOK_EVERY_NS:
            self._looked_at = now
            self._look_at_account(now)

    def disconnect(self, reason: str) -> None:
        """Close the connection; the session decides whether another is made."""
        self.ib.wish = Wish.NOTHING
        self._close()
        if self.ib.state is LinkState.FAILED:
            self.wants_end = True
        else:
            self._hear(Disconnected(reason), self._clock.now())

    def send_due(self) -> bool:
        """Send what may be sent; whether anything was."""
        sent = False
        for command in self.ib.take_commands(self._clock.now()):
            sent = True
            self._send(command)
        return sent

    def _send(self, command: Command) -> None:
        if isinstance(command, AskTime):
            self._asked_ns = time.monotonic_ns()
        if self.gateway is not None:
            self.gateway.send(command)  # a failure closes the connection, which the next poll tells

    # -- what has happened ------------------------------------------------------------------------------------

    def pass_on(self, now: int) -> None:
        """Let the guard judge what has happened, then let the strategy hear of it."""
        if not self.ib.events:
            return
        happened = self.ib.take_events()
        self.state.events += len(happened)
        self.observe(happened, now)
        self.supervisor.sync()
        items: list[Item] = []
        market: list[Any] = []
        has_marked = False
        for event in happened:
            if isinstance(event, _MARKET):
                market.append(event)
                has_marked = True
                continue
            if market:
                items += self._mark(market, now)
                market = []
            handle = _HANDLERS.get(type(event))
            if handle is not None:
                items += handle(self, event, now)
            else:
                items.append(event)
        if market:
            items += self._mark(market, now)
        if not self._inbox.put(items) and not self.state.halted:
            self.halt(f"the strategy is more than {self._inbox.most:,} market events behind")
        if (
            has_marked and self.sequence.is_running
        ):  # the strategy hears of a trip before it hears of the guard's own orders
            self.safeguard.advance(now)

    def _mark(self, market: list[Any], now: int) -> list[Item]:
        """Mark the account on market events; a trip comes before the event that crossed."""
        items: list[Item] = []
        for batch in make_batches(market, self._last_ts):
            self._last_ts = int(batch.ts[-1])
            trip = self.supervisor.mark(batch)
            if trip is None:
                items.append(batch)
                continue
            if trip.at:
                items.append(part(batch, 0, trip.at))
            items += self._tripped(trip, now)
            items.append(part(batch, trip.at, len(batch)))
        return items

    def _tripped(self, trip: Trip | None, now: int) -> list[Item]:
        if trip is None:
            return []
        self.state.trip = trip
        self.writer.commit(now, entries.Tripped(trip.rule, trip.text))
        self.safeguard.begin(now)
        return [trip]

    def run_positions(self) -> dict[int, float]:
        """What the run itself holds, by its executions: instrument -> signed quantity."""
        return dict(self.ib.orders.positions)

    # -- single events ----------------------------------------------------------------------------------------

    def _executed(self, event: events.Executed, now: int) -> list[Item]:
        """An execution moved the account: its books follow at once, whoever's it is."""
        if not self._has_begun:
            return []
        self.books.moved(now)
        self._watch(event.instrument, now)
        return self._tripped(
            self.supervisor.fill(event.instrument, event.signed_quantity, event.price, math.nan, now), now
        )

    def _charged(self, event: events.Charged, now: int) -> list[Item]:
        if not self._has_begun:
            return []
        self.books.moved(now)
        return self._tripped(self.supervisor.pay(event.instrument, event.amount, event.currency, now), now)

    def _filled(self, event: events.OrderFilled, now: int) -> list[Item]:
        self.state.fills = [*self.state.fills[-49:], (now, event)]
        self.fills_heard += 1
        return [event]

    def _corrected(self, event: events.FillCorrected, now: int) -> list[Item]:
        was = f"{event.old_quantity:g} at {event.old_price:g}"
        text = f"it is {event.quantity:g} at {event.price:g}" if event.quantity else "it never was"
        self.say(now, f"order {event.number}: an execution ({was}) was corrected: {text}")
        return [event]

    def _foreign(self, event: events.ForeignFill, now: int) -> list[Item]:
        if self._has_begun:
            symbol = self._registry.symbols[event.instrument]
            whose = event.order_ref or "somebody else"
            self.say(now, f"not this run's: {event.side.name} {event.quantity:g} {symbol} at {event.price:g} ({whose})")
        return []

    def _image(self, event: events.PriceImage, now: int) -> list[Item]:
        self.supervisor.note_image(event.instrument, event.last, event.bid, event.ask, event.received_ts)
        return [event, *self._tripped(self.supervisor.check(now), now)]

    def _instrument(self, event: events.InstrumentKnown, now: int) -> list[Item]:
        self.writer.note_instrument(event.instrument, now)
        if event.failure:
            self.say(now, event.failure)
        return [event]

    def _link(self, event: events.LinkChanged, now: int) -> list[Item]:
        self.writer.note(now, entries.Linked(event.state.value, event.text))
        self.say(now, f"connection: {event.state.value}: {event.text}")
        if event.state is LinkState.FAILED:
            self.wants_end = True
        return [event]

    def _notice(self, event: events.Notice, now: int) -> list[Item]:
        text = f"{event.code}: {event.text}" if event.code else event.text
        self.say(now, text)
        if event.halts:
            self.halt(text)
        return [event]

    def _mismatch(self, event: events.Mismatch, now: int) -> list[Item]:
        self.state.mismatch = event.rows
        rows = "; ".join(f"{what}: ours {ours}, theirs {theirs}" for what, ours, theirs in event.rows)
        self.halt(f"the account and the journal do not agree: {rows}")
        return [event]

    # -- the account ------------------------------------------------------------------------------------------

    def _account_ready(self, event: events.AccountReady, now: int) -> list[Item]:
        if not self._has_begun:
            self._claim(self.ib.account.id)
            self._has_begun = True
            for j in self.books.begin(self.kept, now, is_resumed=self.is_resumed):
                self._watch(j, now)
            self._go_on(now)
        self.writer.note(now, entries.Expected(dict(self.ib.account.expected)))
        return [msgspec.structs.replace(event, cash=self.ib.account.cash, rates=self.books.rates())]

    def _go_on(self, now: int) -> None:
        """What a process before this one had begun, beside cancels, which are asked for again by themselves."""
        if self.state.halted and self.halt_cancels:
            self.safeguard.cancel_working(now)
        if not self.is_trip_done:
            self.safeguard.begin(now)

    def _watch(self, j: int, now: int) -> None:
        """Follow the market of what the account holds, for its marks."""
        if j not in self._watched:
            self._watched.add(j)
            self.supervisor.sync()
            self.ib.queries.know(j, self._registry.instruments[j], self._registry.con_ids[j], now)
            self.ib.market.watch(j, now)

    def _look_at_account(self, now: int) -> None:
        items = [item for trip in self.books.look(now) for item in self._tripped(trip, now)]
        if items:
            self._inbox.put(items)

    # -- what the strategy asks for ---------------------------------------------------------------------------

    def answer_asks(self) -> bool:
        """Do what the strategy side asked for; whether there was anything."""
        was_asked = False
        while (group := self._asks.take()) is not None:
            was_asked = True
            now = self._clock.now()
            orders: list[Decided] = []
            for ask in group:
                if isinstance(ask, asks.SubmitOrder):
                    orders.append(Decided(ask.number, ask.approved, ask.decided, ask.arrival))
                    continue
                if orders:
                    self.submission.submit(orders, now)
                    orders = []
                _ASKED[type(ask)](self, ask, now)
            if orders:
                self.submission.submit(orders, now)
        return was_asked

    def _refuses(self) -> Refused | None:
        """Why no order may be sent now, whatever it is."""
        if self.state.halted:
            return Refused("halted", f"the run is halted: {self.state.halted}")
        if self._is_read_only:
            return Refused("read_only", "the run is read-only: nothing is sent")
        if not self.ib.is_ready:
            return Refused("connection", f"no orders while the connection is {self.ib.state.value}")
        if not self._has_begun:
            return Refused("connection", "the account is not known yet")
        return None

    def _cancel_asked(self, ask: asks.CancelOrder, now: int) -> None:
        self.submission.cancel(ask.number, Reason(ask.reason), now)

    def _modify_asked(self, ask: asks.ModifyOrder, now: int) -> None:
        self.submission.modify(ask, now)

    def _know_asked(self, ask: asks.Know, now: int) -> None:
        self.supervisor.sync()
        self.ib.queries.know(ask.instrument, ask.definition, ask.con_id, now)

    def _watch_asked(self, ask: asks.Watch, now: int) -> None:
        self.ib.market.watch(ask.instrument, now)

    def _unwatch_asked(self, ask: asks.Unwatch, now: int) -> None:
        self.ib.market.unwatch(ask.instrument, now)

    def _bars_asked(self, ask: asks.WatchBars, now: int) -> None:
        self.ib.market.watch_bars(ask.instrument, ask.interval_ns, ask.warmup, now)

    def _bars_given_up(self, ask: asks.UnwatchBars, now: int) -> None:
        self.ib.market.stop_bars(ask.instrument, ask.interval_ns, now)

    def _note_ended(self, ask: asks.NoteEnded, now: int) -> None:
        why = ("parent", "its parent order had ended")
        self.writer.note(now, entries.Refusal(ask.number, *why, ask.request, ask.decided, ask.arrival))

    def _put_asked(self, ask: asks.Put, now: int) -> None:
        self.ib.queries.put(ask.request, now)

    # -- stopping ---------------------------------------------------------------------------------------------

    def halt(self, text: str, *, cancels: bool = True) -> None:
        """No new orders from now on; what works is cancelled. Raises JournalError, after the cancels.

        The guard stays on watch: a trip of a halted run still closes what is held, where it is set to.
        """
        now = self._clock.now()
        if self.state.halted:
            return
        self.state.halted, self.state.halted_ts = text, now
        self.say(now, f"halted: {text}")
        failure: JournalError | None = None
        try:
            self.writer.commit(now, entries.Halted(text, cancels))
        except JournalError as error:
            failure = error
            self.writer.give_up()
        if cancels:
            self.safeguard.cancel_working(now)
        if failure is not None:
            raise failure

    def cancel_all(self) -> None:
        """The run ends: ask for the end of what works."""
        now = self._clock.now()
        for entry in self.ib.orders.working():
            self.ended.add(entry.number)
            self.submission.cancel(entry.number, Reason.RUN_ENDED, now)

    def say(self, now: int, text: str) -> None:
        """Note something for the person."""
        self.state.notices = [*self.state.notices[-199:], (now, text)]
        self.notices_said += 1


_HANDLERS: Mapping[type, Callable[[Adapter, Any, int], list[Item]]] = {
    events.Executed: Adapter._executed,
    events.Charged: Adapter._charged,
    events.OrderFilled: Adapter._filled,
    events.FillCorrected: Adapter._corrected,
    events.ForeignFill: Adapter._foreign,
    events.PriceImage: Adapter._image,
    events.InstrumentKnown: Adapter._instrument,
    events.LinkChanged: Adapter._link,
    events.Notice: Adapter._notice,
    events.Mismatch: Adapter._mismatch,
    events.AccountReady: Adapter._account_ready,
}
_ASKED: Mapping[type, Callable[[Adapter, Any, int], None]] = {
    asks.NoteEnded: Adapter._note_ended,
    entries.Said: lambda adapter, said, now: adapter.writer.note(now, said),
    asks.CancelOrder: Adapter._cancel_asked,
    asks.ModifyOrder: Adapter._modify_asked,
    asks.Know: Adapter._know_asked,
    asks.Watch: Adapter._watch_asked,
    asks.Unwatch: Adapter._unwatch_asked,
    asks.WatchBars: Adapter._bars_asked,
    asks.UnwatchBars: Adapter._bars_given_up,
    asks.Put: Adapter._put_asked,
}
