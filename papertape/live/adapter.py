"""The adapter's half of a live run: the connection, the account's guard and the journal, in one thread.

Nothing of it waits for a strategy. An order goes: judged on the account, journaled (durable), sent.
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
from brokers.ib.orders import Entry as OrderEntry
from brokers.ib.records import CurrentTime, Record
from brokers.ib.registry import Registry
from brokers.ib.session import IbSession, Wish
from feeds.ib import make_batches
from papertape.core.errors import PeerError
from papertape.core.guard import Approved, Refused, Scope
from papertape.core.model import NS_PER_S, OrderStatus, Side
from papertape.core.orders import OrderRequest
from papertape.core.series import Batch
from papertape.core.state import Reason
from papertape.core.timers import NEVER
from papertape.live import entries
from papertape.live.clock import SteppedClock, WallClock
from papertape.live.entries import HEARD
from papertape.live.inbox import Asks, Inbox, Item
from papertape.live.journal import Journal
from papertape.live.supervisor import Supervisor, Thresholds, Trip
from papertape.live.trip import Action, Told, TripSequence

FIRST_GUARD_NUMBER = 1_000_000_000
"""Numbers of orders of the guard's own begin here, above all that a strategy can give."""
PEAK_EVERY_NS = 10 * NS_PER_S
_MARKET = (events.TradeTick, events.QuoteTick, events.BarClosed)


@dataclass(slots=True)
class AdapterState:
    """What others look at: everything here is replaced whole, never changed in place."""

    halted: str = ""
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
        """Whether all that follows a trip was done, also by a process before this one."""
        self.is_halted_with_cancels = False
        self.to_cancel: dict[int, int] = {}
        """Orders whose end was asked for by a process before this one -> the reason."""
        self.notices_said = 0
        self.fills_heard = 0
        self.sequence = TripSequence(
            flatten=supervisor.settings.flatten,
            confirmed=supervisor.settings.flatten_confirmed,
            disconnect=supervisor.settings.disconnect,
        )
        self.wants_end = False
        """Whether the run should end: the connection has failed for good, or the guard disconnects."""
        self._connect = connect
        self._registry = registry
        self._journal = journal
        self._clock = clock
        self._inbox = inbox
        self._asks = asked
        self.day_end = day_end
        """When an order for the day is over for certain."""
        self._claim = claim
        self._is_read_only = is_read_only
        self.observe = observe
        self.known = 0
        """Instruments that the journal has."""
        self.guard_number = FIRST_GUARD_NUMBER
        self._watched: set[int] = set()
        self._asked_ns = 0
        self._last_ts = 0
        self._peak_at = 0
        self._has_begun = False

    # -- the connection ---------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect (again). What goes wrong is a record of the session's, except the first time: PeerError then."""
        now = self._clock.now()
        self.ib.connecting(now)
        try:
            self.gateway = self._connect()
        except PeerError as error:
            self.gateway = None
            if not self.ib.server_version:
                raise
            from brokers.ib.records import Disconnected

            self._hear(Disconnected(str(error)), now)

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
            if isinstance(record, CurrentTime):
                self._clock.heard(record.ts_s, self._asked_ns)
                now = self._clock.now()
            self._hear(record, now)
        self.pass_on(now)

    def _hear(self, record: Record, now: int) -> None:
        if isinstance(record, HEARD):
            self._note_known(now)
            self._journal.note(now, "Heard", entries.encode(entries.Heard(record)))
        self.ib.receive(record, now)

    def _note_known(self, now: int) -> None:
        """Instruments that are new are journaled before anything that refers to them."""
        while self.known < len(self._registry):
            self._note_instrument(self.known, now)
            self.known += 1

    def _note_instrument(self, j: int, now: int) -> None:
        each = self._registry.instruments[j]
        entry = entries.Known(
            j, each.symbol, each.type.value, each.currency, each.exchange, each.tick_size, each.multiplier,
            self._registry.con_ids[j],
        )  # fmt: skip
        self._journal.note(now, "Known", entries.encode(entry))

    def pass_time(self) -> None:
        """What is due by the clock, and what the connection wants."""
        now = self._clock.now()
        self.ib.pass_time(now)
        if self.ib.wish is Wish.CONNECT and self.ib.state is LinkState.DOWN:
            self.connect()
        elif self.ib.wish is Wish.DISCONNECT:
            self.disconnect(self.ib.text)
        self.pass_on(now)
        self._advance_trip(now)
        if now - self._peak_at >= PEAK_EVERY_NS and self._has_begun:
            self._peak_at = now
            peak = entries.Peak(float(self.supervisor.state.account["guard_peak"][0]), self.supervisor.equity)
            self._journal.note(now, "Peak", entries.encode(peak))

    def disconnect(self, reason: str) -> None:
        """Close the connection; the session decides whether another is made."""
        from brokers.ib.records import Disconnected

        self.ib.wish = Wish.NOTHING
        if self.gateway is not None:
            self.gateway.close()
            self.gateway = None
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
        happened = self.ib.take_events()
        if not happened:
            return
        self.state.events += len(happened)
        self.observe(happened, now)
        self.supervisor.sync()
        items: list[Item] = []
        market: list[Any] = []
        for event in happened:
            if isinstance(event, _MARKET):
                market.append(event)
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
        if self.sequence.is_running:
            self._advance_trip(now)
        return items

    def _tripped(self, trip: Trip | None, now: int) -> list[Item]:
        if trip is None:
            return []
        self.state.trip = trip
        self.is_trip_done = False
        self._journal.commit(now, "Tripped", entries.encode(entries.Tripped(trip.rule, trip.text)))
        actions, told = self.sequence.begin(now, self.supervisor.equity)
        self._do(actions, told, now)
        return [trip]

    def _advance_trip(self, now: int) -> None:
        if not self.sequence.is_running:
            return
        account = self.supervisor.state.account[0]
        equity = self.supervisor.equity
        is_breached = not (equity >= account["floor"] and equity >= account["guard_peak"] * account["peak_fraction"])
        actions, told = self.sequence.advance(
            now, working=len(self._in_scope()), held=len(self._held_in_scope()), equity=equity, is_breached=is_breached
        )
        self._do(actions, told, now)
        if not self.sequence.is_running:
            self.is_trip_done = True
            self._journal.commit(now, "TripStep", entries.encode(entries.TripStep("done", "")))

    def _do(self, actions: list[Action], told: list[Told], now: int) -> None:
        for step in told:
            self._journal.commit(now, "TripStep", entries.encode(entries.TripStep(step.step, step.text)))
            self.say(now, f"guard: {step.step}: {step.text}")
        for action in actions:
            _ACTIONS[action](self, now)

    def _in_scope(self) -> list[OrderEntry]:
        return self.ib.orders.working()

    def run_positions(self) -> dict[int, float]:
        """What the run itself holds, by its fills: instrument -> signed quantity."""
        held: dict[int, float] = {}
        for entry in self.ib.orders.entries.values():
            if entry.fills:
                j = entry.request.instrument
                held[j] = held.get(j, 0.0) + entry.filled * entry.request.side
        return {j: quantity for j, quantity in held.items() if abs(quantity) > 1e-9}

    def _held_in_scope(self) -> dict[int, float]:
        if self.supervisor.settings.scope is Scope.ACCOUNT:
            return {j: self.supervisor.quantity(j) for j in self.supervisor.held}
        return self.run_positions()

    def _cancel_working(self, now: int) -> None:
        for entry in self._in_scope():
            entry.is_cancelling = False
            self._cancel(entry.number, Reason.GUARD, now)
        if self.supervisor.settings.scope is Scope.ACCOUNT and self.ib.orders.foreign:
            from brokers.ib.commands import CancelAll

            self.ib.send(CancelAll())

    def _flatten(self, now: int) -> None:
        for approved in self.supervisor.flattening(self._held_in_scope()):
            number, self.guard_number = self.guard_number, self.guard_number + 1
            self._inbox.put([events.GuardOrdered(number, approved.request, now)])
            self._place([(number, approved, now, math.nan)], now, by_guard=True)

    def _leave(self, now: int) -> None:
        self.ib.fail("the guard disconnected", now)

    # -- single events ----------------------------------------------------------------------------------------

    def _filled(self, event: events.OrderFilled, now: int) -> list[Item]:
        if not self._has_begun:
            return [event]  # the guard's books begin with what the account holds after it
        request = self.ib.orders.entries[event.number].request
        signed = event.quantity * request.side
        trip = self.supervisor.fill(request.instrument, signed, event.price, event.fee, now)
        self.state.fills = [*self.state.fills[-49:], (now, event)]
        self.fills_heard += 1
        self._watch(request.instrument, now)
        return [event, *self._tripped(trip, now)]

    def _fee(self, event: events.FeeKnown, now: int) -> list[Item]:
        if not self._has_begun:
            return [event]
        j = self.ib.orders.entries[event.number].request.instrument
        return [event, *self._tripped(self.supervisor.pay(j, event.fee, now), now)]

    def _corrected(self, event: events.FillCorrected, now: int) -> list[Item]:
        """An execution is replaced: the account's books go back by the old one and on by the new one."""
        self.say(now, f"order {event.number}: execution {event.replaces} was corrected by {event.exec_id}")
        if not self._has_begun:
            return [event]
        request = self.ib.orders.entries[event.number].request
        j, side = request.instrument, request.side
        trips = [self.supervisor.fill(j, -event.old_quantity * side, event.old_price, 0.0, now)]
        if event.quantity:
            trips.append(self.supervisor.fill(j, event.quantity * side, event.price, 0.0, now))
        return [event, *(item for trip in trips for item in self._tripped(trip, now))]

    def _foreign(self, event: events.ForeignFill, now: int) -> list[Item]:
        if not self._has_begun:
            return []
        self._watch(event.instrument, now)
        symbol = self._registry.symbols[event.instrument]
        whose = event.order_ref or "somebody else"
        self.say(now, f"not this run's: {event.side.name} {event.quantity:g} {symbol} at {event.price:g} ({whose})")
        trip = self.supervisor.fill(event.instrument, event.quantity * event.side, event.price, 0.0, now)
        return self._tripped(trip, now)

    def _instrument(self, event: events.InstrumentKnown, now: int) -> list[Item]:
        """TWS has defined an instrument; what the journal has of it may be without its contract id."""
        if not event.failure and event.instrument < self.known:
            self._note_instrument(event.instrument, now)
        return [event]

    def _image(self, event: events.PriceImage, now: int) -> list[Item]:
        self.supervisor.note_image(event.instrument, event.last, event.bid, event.ask, event.received_ts)
        return [event, *self._tripped(self.supervisor.check(now), now)]

    def _link(self, event: events.LinkChanged, now: int) -> list[Item]:
        entry = entries.Linked(event.state.value, event.text)
        self._journal.note(now, "Linked", entries.encode(entry))
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

    def _account_ready(self, event: events.AccountReady, now: int) -> list[Item]:
        expected = dict(self.ib.account.expected)
        if not self._has_begun:
            self._begin(now)
        self._journal.note(now, "Expected", entries.encode(entries.Expected(expected)))
        account = self.ib.account
        return [msgspec.structs.replace(event, cash=account.cash, rates=account.rates)]

    def _begin(self, now: int) -> None:
        """The account is known for the first time in this process: the guard's books begin."""
        self._claim(self.ib.account.id)
        self._has_begun = True
        account = self.ib.account
        positions: dict[int, tuple[float, float]] = {}
        for con_id, item in account.positions.items():
            j = self._registry.by_con_id(con_id)
            if j is None:
                from brokers.ib.orders import instrument_of_contract

                j, _ = self._registry.add(instrument_of_contract(item.contract), con_id)
            told = account.portfolio.get(con_id)
            positions[j] = (item.quantity, told.price if told is not None else math.nan)
        base = self.supervisor.ledger.base
        rates = {**account.rates, base: 1.0}
        self.supervisor.open(account.cash, rates, positions, now, self.kept, account.starting_stock_value)
        kept = self.supervisor.thresholds
        if self.is_resumed and self.kept is None:
            armed = entries.Armed(kept.floor, kept.peak_fraction, kept.guard_peak, kept.start)
            self._journal.commit(now, "Armed", entries.encode(armed))
        elif not self.is_resumed:
            began = entries.Began(
                account.id, base, account.cash, rates, {c: p.quantity for c, p in account.positions.items()},
                dict(self.ib.orders.known_executions), kept.floor, kept.peak_fraction, kept.guard_peak, kept.start,
            )  # fmt: skip
            self._note_known(now)
            self._journal.commit(now, "Began", entries.encode(began))
        for j in positions:
            self._watch(j, now)
        self._go_on(now)

    def _go_on(self, now: int) -> None:
        """What a process before this one had begun: cancels that may not have left, and what follows a trip."""
        if self.is_halted_with_cancels:
            self._cancel_working(now)
        for number, reason in self.to_cancel.items():
            entry = self.ib.orders.entries[number]
            if not entry.status.is_final:
                self._cancel(number, Reason(reason), now)
        self.to_cancel.clear()
        if not self.is_trip_done:
            actions, told = self.sequence.begin(now, self.supervisor.equity)
            self._do(actions, told, now)

    def _watch(self, j: int, now: int) -> None:
        """Follow the market of what the account holds, for its marks."""
        if j not in self._watched:
            self._watched.add(j)
            self.supervisor.sync()
            self.ib.know(j, self._registry.instruments[j], self._registry.con_ids[j], now)
            self.ib.market.watch(j, now)

    # -- what the strategy asks for ---------------------------------------------------------------------------

    def answer_asks(self) -> bool:
        """Do what the strategy side asked for; whether there was anything."""
        was_asked = False
        while (group := self._asks.take()) is not None:
            was_asked = True
            now = self._clock.now()
            orders: list[tuple[int, Approved, int, float]] = []
            for ask in group:
                if isinstance(ask, asks.SubmitOrder):
                    orders.append((ask.number, ask.approved, ask.decided, ask.arrival))
                    continue
                if orders:
                    self._submit(orders, now)
                    orders = []
                _ASKED[type(ask)](self, ask, now)
            if orders:
                self._submit(orders, now)
        return was_asked

    def _submit(self, orders: list[tuple[int, Approved, int, float]], now: int) -> None:
        """Judge orders on the account; those that are approved are journaled and sent, the others end here."""
        approved: list[tuple[int, Approved, int, float]] = []
        gone: set[int] = set()
        for number, given, decided, arrival in orders:
            request = given.request
            verdict = self._judge(request, now)
            if request.parent in gone:
                verdict = Refused("parent", "its parent order was refused")
            if isinstance(verdict, Refused):
                gone.add(number)
                self._refuse(number, verdict, now, request, decided, arrival)
            else:
                approved.append((number, verdict, decided, arrival))
        if approved:
            self._place(approved, now)

    def _judge(self, request: OrderRequest, now: int) -> Approved | Refused:
        ib = self.ib
        if self.state.halted:
            return Refused("halted", f"the run is halted: {self.state.halted}")
        if self._is_read_only:
            return Refused("read_only", "the run is read-only: nothing is sent")
        if not ib.is_ready:
            return Refused("connection", f"no orders while the connection is {ib.state.value}")
        buying, selling = self._working(request.instrument)
        return self.supervisor.approve(request, now, buying, 0.0 if request.group else selling, self.stale(now))

    def _working(self, j: int) -> tuple[float, float]:
        sums = {Side.BUY: 0.0, Side.SELL: 0.0}
        for entry in self.ib.orders.working():
            request = entry.request
            if request.instrument == j and not request.parent and not request.group:
                sums[request.side] += request.quantity - entry.filled
        return sums[Side.BUY], sums[Side.SELL]

    def stale(self, now: int) -> list[str]:
        """Symbols of what the account holds that have no fresh data; in lockstep a tape's data are as fresh as can be."""
        if isinstance(self._clock, SteppedClock):
            return []
        within = round(self.supervisor.settings.stale_s * NS_PER_S)
        if not within:
            return []
        market = self.ib.market
        return [self._registry.symbols[j] for j in self.supervisor.held if not market.is_fresh(j, now, within)]

    def _refuse(
        self, number: int, refused: Refused, now: int, request: OrderRequest, decided: int, arrival: float
    ) -> None:
        entry = entries.Refusal(number, refused.rule, refused.text, request, decided, arrival)
        self._journal.note(now, "Refusal", entries.encode(entry))
        self.say(now, f"order {number} refused ({refused.rule}): {refused.text}")
        self._inbox.put([events.OrderChanged(number, OrderStatus.REJECTED, now, refused.text)])

    def _place(self, orders: list[tuple[int, Approved, int, float]], now: int, *, by_guard: bool = False) -> None:
        """Journal what is about to be sent, all of it durable, then send it."""
        self._note_known(now)
        parents = {approved.request.parent for _, approved, _, _ in orders}
        admitted: list[OrderEntry] = []
        for at, (number, approved, decided, arrival) in enumerate(orders):
            request = approved.request
            # A family is held at TWS until its last member has come, so that a parent never works without its exits.
            is_held = number in parents or any(
                other.request.parent == request.parent and request.parent for _, other, _, _ in orders[at + 1 :]
            )
            entry = self.ib.orders.admit(number, request, transmit=not is_held)
            entry.day_end = self.day_end(request, decided)
            admitted.append(entry)
            intended = entries.Intended(
                number, entry.order_id, entry.order_ref, request, decided, arrival, not is_held, by_guard
            )
            body = entries.encode(intended)
            if at + 1 < len(orders):
                self._journal.note(now, "Intended", body)
            else:
                self._journal.commit(now, "Intended", body)
        for entry in admitted:
            self.ib.orders.send(entry)

    def _note_ended(self, ask: asks.NoteEnded, now: int) -> None:
        refusal = entries.Refusal(
            ask.number, "parent", "its parent order had ended", ask.request, ask.decided, ask.arrival
        )
        self._journal.note(now, "Refusal", entries.encode(refusal))

    def _said(self, said: entries.Said, now: int) -> None:
        self._journal.note(now, "Said", entries.encode(said))

    def _cancel_asked(self, ask: asks.CancelOrder, now: int) -> None:
        self._cancel(ask.number, Reason(ask.reason), now)

    def _cancel(self, number: int, reason: Reason, now: int) -> None:
        self._journal.note(now, "CancelIntended", entries.encode(entries.CancelIntended(number, int(reason))))
        self.ib.orders.cancel(number)

    def _modify_asked(self, ask: asks.ModifyOrder, now: int) -> None:
        entry = self.ib.orders.entries.get(ask.number)
        if entry is None or entry.status.is_final:
            return
        verdict: Approved | Refused = Refused("halted", self.state.halted or "no connection")
        if not self.state.halted and self.ib.is_ready and not self._is_read_only:
            verdict = self.supervisor.approve_change(ask.approved.request, entry.request, now, entry.filled)
        if isinstance(verdict, Refused):
            self.say(now, f"the change of order {ask.number} was refused ({verdict.rule}): {verdict.text}")
            return
        request = verdict.request
        self._journal.commit(now, "ChangeIntended", entries.encode(entries.ChangeIntended(ask.number, request)))
        self.ib.orders.modify(ask.number, request)

    def _know_asked(self, ask: asks.Know, now: int) -> None:
        self.supervisor.sync()
        self.ib.know(ask.instrument, ask.definition, ask.con_id, now)

    def _watch_asked(self, ask: asks.Watch, now: int) -> None:
        self.ib.market.watch(ask.instrument, now)

    def _unwatch_asked(self, ask: asks.Unwatch, now: int) -> None:
        self.ib.market.unwatch(ask.instrument, now)

    def _bars_asked(self, ask: asks.WatchBars, now: int) -> None:
        self.ib.market.watch_bars(ask.instrument, ask.interval_ns, ask.warmup, now)

    def _bars_ended(self, ask: asks.UnwatchBars, now: int) -> None:
        self.ib.market.stop_bars(ask.instrument, ask.interval_ns, now)

    def _put_asked(self, ask: asks.Put, now: int) -> None:
        self.ib.queries.put(ask.request, now)

    # -- stopping ---------------------------------------------------------------------------------------------

    def halt(self, text: str, *, cancels: bool = True) -> None:
        """No new orders from now on; what works is cancelled."""
        now = self._clock.now()
        if self.state.halted:
            return
        self.state.halted = text
        self.supervisor.block("halted")
        self._journal.commit(now, "Halted", entries.encode(entries.Halted(text, cancels)))
        self.say(now, f"halted: {text}")
        if cancels:
            self._cancel_working(now)

    def cancel_all(self) -> None:
        """The run ends: ask for the end of what works."""
        for entry in self.ib.orders.working():
            self._cancel(entry.number, Reason.RUN_ENDED, self._clock.now())

    def say(self, now: int, text: str) -> None:
        """Note something for the person."""
        self.state.notices = [*self.state.notices[-199:], (now, text)]
        self.notices_said += 1


def part(batch: Batch, begin: int, end: int) -> Batch:
    """Events [begin, end) of a batch."""

    def cut(column: Any) -> Any:
        return column[begin:end] if len(column) == len(batch) else column

    return Batch(
        cut(batch.ts), cut(batch.kind), cut(batch.instrument), tuple(cut(each) for each in batch.columns),
        cut(batch.start), None if batch.origin is None else cut(batch.origin),
        ends=None if batch.ends is None else cut(batch.ends),
    )  # fmt: skip


_HANDLERS: Mapping[type, Callable[[Adapter, Any, int], list[Item]]] = {
    events.OrderFilled: Adapter._filled,
    events.FeeKnown: Adapter._fee,
    events.FillCorrected: Adapter._corrected,
    events.ForeignFill: Adapter._foreign,
    events.InstrumentKnown: Adapter._instrument,
    events.PriceImage: Adapter._image,
    events.LinkChanged: Adapter._link,
    events.Notice: Adapter._notice,
    events.Mismatch: Adapter._mismatch,
    events.AccountReady: Adapter._account_ready,
}
_ASKED: Mapping[type, Callable[[Adapter, Any, int], None]] = {
    asks.NoteEnded: Adapter._note_ended,
    entries.Said: Adapter._said,
    asks.CancelOrder: Adapter._cancel_asked,
    asks.ModifyOrder: Adapter._modify_asked,
    asks.Know: Adapter._know_asked,
    asks.Watch: Adapter._watch_asked,
    asks.Unwatch: Adapter._unwatch_asked,
    asks.WatchBars: Adapter._bars_asked,
    asks.UnwatchBars: Adapter._bars_ended,
    asks.Put: Adapter._put_asked,
}
_ACTIONS: Mapping[Action, Callable[[Adapter, int], None]] = {
    Action.CANCEL: Adapter._cancel_working,
    Action.FLATTEN: Adapter._flatten,
    Action.DISCONNECT: Adapter._leave,
}
