"""A journal played into both halves of a run that are not connected: nothing is sent, and no handler is called.

What was sent and what TWS said of it goes through the same code as when it happened, so that orders, fills, positions,
cash and the guard's limits come to where they were. What has happened since, the ordinary reconciliation says.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from brokers.ib import codes, translate
from brokers.ib.codes import CodeClass
from brokers.ib.events import FeeKnown, FillCorrected, GuardOrdered, OrderAmended, OrderChanged, OrderFilled
from brokers.ib.records import ErrorMessage, OpenOrder
from brokers.ib.registry import Registry
from papertape.core.errors import DataError
from papertape.core.model import Instrument, InstrumentType, OrderStatus, SessionTimes
from papertape.core.orders import OrderRequest
from papertape.core.state import Reason
from papertape.live import entries
from papertape.live.adapter import Adapter
from papertape.live.entries import Entry
from papertape.live.safeguard import FIRST_GUARD_NUMBER
from papertape.live.strategy_side import StrategySide
from papertape.live.supervisor import Thresholds, Trip

_HEARD_BY_BOTH = (OrderChanged, OrderFilled, FeeKnown, FillCorrected, OrderAmended)
_SYSTEM = frozenset({
    CodeClass.CONNECTION_LOST, CodeClass.RESTORED, CodeClass.RESTORED_DATA_LOST, CodeClass.ID_IN_USE, CodeClass.FATAL,
})  # fmt: skip
"""Errors that are about the connection: entries of their own say what came of them."""
_NOT_SENT = "it is not in the journal, so it was never sent"


@dataclass(slots=True)
class Outline:
    """What must be known of a journal before its run is made anew."""

    account: str = ""
    highest_order_id: int = 0
    last_ts: int = 0
    resumed: int = 0
    """How often the run was resumed before."""
    code_hash: str | None = None
    """That of the strategy which traded last; None where it is the one of the header."""
    trip: str = ""
    """Why the guard has tripped; empty while it has not, or was reset."""
    halted: str = ""


def outline_of(played: Iterable[tuple[int, Entry]], run_id: str) -> Outline:
    """Read what is needed of (time, entry) pairs in order."""
    found = Outline()
    for ts, entry in played:
        found.last_ts = max(found.last_ts, ts)
        match entry:
            case entries.Began():
                found.account = entry.account
            case entries.Intended():
                found.highest_order_id = max(found.highest_order_id, entry.order_id)
            case entries.Heard(record=OpenOrder() as record):
                parsed = translate.parse_order_ref(record.order.order_ref)
                if parsed is not None and parsed[0] == run_id:  # one that TWS had seen before got another id
                    found.highest_order_id = max(found.highest_order_id, record.order_id)
            case entries.Resumed():
                found.resumed += 1
                found.code_hash = entry.code_hash
            case entries.Tripped():
                found.trip = entry.text
            case entries.Halted():
                found.halted = entry.text
            case entries.GuardReset():
                found.trip = found.halted = ""
    return found


@dataclass(frozen=True, slots=True)
class _Decided:
    request: OrderRequest
    decided: int
    arrival: float


class Replay:
    """Plays entries into an adapter and a strategy side that were just made."""

    def __init__(self, adapter: Adapter, side: StrategySide, registry: Registry, calendar: SessionTimes) -> None:
        self._adapter = adapter
        self._side = side
        self._registry = registry
        self._calendar = calendar
        self._orders = adapter.ib.orders
        self._decided: dict[int, _Decided] = {}
        """The strategy's orders, by number: known before they are played, because the guard's have numbers between."""
        self._ts = 0
        self._kept: Thresholds | None = None
        self._flows: dict[str, float] = {}
        self._is_begun = False

    def play(self, played: Iterable[tuple[int, Entry]]) -> None:
        """Play all of a journal. Raises DataError where it can not have been this run's."""
        listed = list(played)
        for _, entry in listed:
            if isinstance(entry, entries.Intended | entries.Refusal):
                self._decide(entry)
        for ts, entry in listed:
            self._ts = ts
            self._orders.pass_time(self._ts)
            self._pass_on()
            _PLAYED[type(entry)](self, entry)
            self._pass_on()
        self._orders.disconnected(self._ts, [])
        self._pass_on()
        self._end()

    def _decide(self, entry: entries.Intended | entries.Refusal) -> None:
        is_strategys = entry.number < FIRST_GUARD_NUMBER
        if is_strategys and entry.request is not None:
            self._decided[entry.number] = _Decided(entry.request, entry.decided, entry.arrival)

    def _end(self) -> None:
        """What only the whole journal says."""
        adapter, side = self._adapter, self._side
        adapter.kept = None if self._kept is None else replace(self._kept, flows=dict(self._flows))
        adapter.is_resumed = self._is_begun
        if adapter.state.trip is not None:
            adapter.supervisor.block(adapter.state.trip.rule)
        requests = side.session.desk.book.requests
        side.session.desk.continue_groups(max((each.group for each in requests), default=0))
        side.sayings.skip()

    def _pass_on(self) -> None:
        """Events of orders go to the strategy's books; what else happened has entries of its own."""
        happened = [each for each in self._adapter.ib.take_events() if isinstance(each, _HEARD_BY_BOTH)]
        if happened:
            self._hear(happened)

    def _hear(self, items: list[Any]) -> None:
        self._side.play(items, self._ts)
        self._side.asks.clear()

    # -- instruments and the account ----------------------------------------------------------------------------

    def _known(self, entry: entries.Known) -> None:
        instrument = Instrument(
            entry.symbol, InstrumentType(entry.type), currency=entry.currency, exchange=entry.exchange,
            tick_size=entry.tick_size, multiplier=entry.multiplier,
        )  # fmt: skip
        j, _ = self._registry.add(instrument, entry.con_id)
        if j != entry.index:
            raise DataError(f"the journal names {entry.symbol} twice; it can not be resumed, begin a new run")
        self._adapter.writer.known = len(self._registry)
        self._side.sync()

    def _began(self, entry: entries.Began) -> None:
        account = self._adapter.ib.account
        account.id = self._orders.account = entry.account
        account.expect(entry.positions)
        self._orders.known_executions.update(entry.executions)
        self._is_begun = True
        self._side.open(entry.cash, entry.rates)
        self._side.began_ts = self._ts
        if entry.start == entry.start:  # else they were armed later, when net liquidation was known
            self._kept = Thresholds(entry.floor, entry.peak_fraction, entry.guard_peak, entry.start)

    def _expected(self, entry: entries.Expected) -> None:
        self._orders.reconcile(self._ts)
        self._adapter.ib.account.expect(entry.positions)

    def _linked(self, entry: entries.Linked) -> None:
        if entry.state == "down":
            self._orders.disconnected(self._ts, [])
        elif entry.state == "reconciling":
            self._orders.begin_reconciling()

    def _resumed(self, entry: entries.Resumed) -> None:
        """The process before it was gone: what worked was unknown until it was asked for."""
        self._orders.disconnected(self._ts, [])

    # -- orders -------------------------------------------------------------------------------------------------

    def _intended(self, entry: entries.Intended) -> None:
        orders = self._orders
        sent = orders.admit(entry.number, entry.request, transmit=entry.transmit, order_id=entry.order_id)
        sent.day_end = self._adapter.submission.day_end(entry.request, entry.decided)
        orders.send(sent)
        if entry.by_guard:
            safeguard = self._adapter.safeguard
            safeguard.next_number = max(safeguard.next_number, entry.number + 1)
            self._place_before(self._free_number())
            self._hear([GuardOrdered(entry.number, entry.request, self._ts)])
        else:
            self._place_before(entry.number)
            self._place(entry.number)

    def _free_number(self) -> int:
        """The number that the strategy's side gave to an order of the guard's: the next that is not the strategy's."""
        number = len(self._side.session.desk.book) + 1
        while number in self._decided:
            number += 1
        return number

    def _place_before(self, number: int) -> None:
        """Numbers are rows of the order table: those before this one come first."""
        book = self._side.session.desk.book
        while len(book) + 1 < number:
            self._place(len(book) + 1)

    def _place(self, number: int) -> None:
        """Have an order in the strategy's order table, as when it was decided."""
        if number <= len(self._side.session.desk.book):
            return
        decided = self._decided.get(number)
        if decided is None:
            self._place_nothing(number)
            return
        self._enter_session(decided.decided)
        self._side.session.desk.restore(decided.request, decided.decided, decided.arrival)
        self._side.broker.place(decided.request, number, decided.decided)

    def _place_nothing(self, number: int) -> None:
        """A number without an entry: the order was lost with the process, and later ones were not."""
        following = self._decided[min(each for each in self._decided if each > number)]
        self._side.session.desk.restore(following.request, following.decided, following.arrival)
        self._side.broker.place(following.request, number, following.decided)
        self._hear([OrderChanged(number, OrderStatus.REJECTED, self._ts, _NOT_SENT)])

    def _enter_session(self, ts: int) -> None:
        """Orders for the day end with the session in which they were decided."""
        calendar = self._calendar
        at = bisect.bisect_left(calendar.close, ts)
        if at < len(calendar.close):
            self._side.broker.begin_session(calendar.date[at], calendar.open[at], calendar.close[at], 0)

    def _refused(self, entry: entries.Refusal) -> None:
        if entry.request is not None:
            self._place_before(entry.number)
            self._place(entry.number)
        if entry.number <= len(self._side.session.desk.book):
            self._hear([OrderChanged(entry.number, OrderStatus.REJECTED, self._ts, entry.text)])

    def _cancel_intended(self, entry: entries.CancelIntended) -> None:
        self._orders.cancel(entry.number, again=True)
        is_asked_by_strategy = entry.number < FIRST_GUARD_NUMBER and entry.reason == Reason.CANCEL_REQUESTED
        if is_asked_by_strategy and self._side.broker.status(entry.number) is not OrderStatus.PENDING_CANCEL:
            self._side.session.desk.cancel(entry.number, self._ts, Reason(entry.reason))
            self._side.asks.clear()

    def _change_intended(self, entry: entries.ChangeIntended) -> None:
        self._orders.modify(entry.number, entry.request)
        if not self._side.broker.status(entry.number).is_final:
            self._side.session.desk.restore_change(entry.number, entry.request, self._ts)
            self._side.broker.begin_change(entry.number)

    def _heard(self, entry: entries.Heard) -> None:
        record = entry.record
        if not isinstance(record, ErrorMessage):
            self._orders.receive(record, self._ts)
        elif codes.classify(record.code, record.text) not in _SYSTEM and self._orders.owns(record.request_id):
            self._orders.refused(record, self._ts)

    # -- the guard ----------------------------------------------------------------------------------------------

    def _tripped(self, entry: entries.Tripped) -> None:
        trip = Trip(self._ts, entry.rule, entry.text)
        self._adapter.state.trip = trip
        self._adapter.is_trip_done = False
        self._hear([trip])

    def _trip_step(self, entry: entries.TripStep) -> None:
        if entry.step == "done":
            self._adapter.is_trip_done = True

    def _peak(self, entry: entries.Peak) -> None:
        if self._kept is not None:
            peak = max(self._kept.guard_peak, entry.guard_peak)
            self._kept = replace(self._kept, guard_peak=peak, floor=entry.floor, session=entry.session)

    def _flowed(self, entry: entries.Flowed) -> None:
        self._flows[entry.currency] = self._flows.get(entry.currency, 0.0) + entry.amount

    def _armed(self, entry: entries.Armed) -> None:
        self._kept = Thresholds(entry.floor, entry.peak_fraction, entry.guard_peak, entry.start)

    def _halted(self, entry: entries.Halted) -> None:
        self._adapter.state.halted, self._adapter.state.halted_ts = entry.text, self._ts
        self._adapter.halt_cancels = entry.cancels

    def _reset(self, entry: entries.GuardReset) -> None:
        """What latched is let go, and the limits are armed anew from the account when the run goes on."""
        adapter = self._adapter
        adapter.state.trip, adapter.state.halted = None, ""
        adapter.is_trip_done, adapter.halt_cancels = True, False
        self._kept = None
        self._flows.clear()
        self._side.session.desk.note_reset(self._ts, entry.text)

    # -- what else was said -------------------------------------------------------------------------------------

    def _said(self, entry: entries.Said) -> None:
        self._side.sayings.restore(entry)
        self._side.events = entry.events
        self._side.began_ts = entry.began or self._side.began_ts

    def _nothing(self, entry: Entry) -> None:
        """It changes nothing that goes on."""


_PLAYED: Mapping[type, Callable[[Replay, Any], None]] = {
    entries.Known: Replay._known,
    entries.Began: Replay._began,
    entries.Intended: Replay._intended,
    entries.CancelIntended: Replay._cancel_intended,
    entries.ChangeIntended: Replay._change_intended,
    entries.Refusal: Replay._refused,
    entries.Heard: Replay._heard,
    entries.Linked: Replay._linked,
    entries.Expected: Replay._expected,
    entries.Tripped: Replay._tripped,
    entries.TripStep: Replay._trip_step,
    entries.Peak: Replay._peak,
    entries.Flowed: Replay._flowed,
    entries.Halted: Replay._halted,
    entries.GuardReset: Replay._reset,
    entries.Armed: Replay._armed,
    entries.Resumed: Replay._resumed,
    entries.Said: Replay._said,
    entries.Ended: Replay._nothing,
}
