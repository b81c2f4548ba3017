"""The one loop: events in, wake-ups out. Backtest, paper and live differ in feed, broker, clock and driver only.

``step(batch)`` yields wake-ups (a handler and what it is to hear) in order; whoever drives them calls the
handler and gives coroutines back with :meth:`Session.adopt`. Between wake-ups the broker's kernel walks the
events. The result never depends on how events were cut into batches.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from papertape.core.delivery import BarGroup, ColumnLists, EventRun, event_at, plays_in_runs
from papertape.core.errors import StrategyError, did_you_mean
from papertape.core.guard import Approved, Guard, Refused
from papertape.core.ledger import Ledger
from papertape.core.model import (
    NS_PER_S,
    ActionKind,
    CorporateAction,
    EventKind,
    Fill,
    Instrument,
    Note,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Scan,
    SessionTimes,
    Severity,
    Side,
)
from papertape.core.orders import OrderBook, OrderRequest
from papertape.core.ports import Broker, Feed, Journal
from papertape.core.record import GuardEvent
from papertape.core.requests import Reply, Request
from papertape.core.schedule import TimeOfDay
from papertape.core.series import I8, Batch
from papertape.core.state import REASON_TEXT, Reason, State, Stop
from papertape.core.subscriptions import Subscriptions, Wakes
from papertape.core.timers import NEVER, Priority, Timers

DAY_NS = 86_400 * NS_PER_S
LOG_LINES = 100_000
"""Most lines of a strategy's own that a run keeps."""
CUSTOM_POINTS = 1_000_000
"""Most values that a run keeps of one series of ``record()``."""

Handler = Callable[[Any], Any]
WakeUp = tuple[Handler, Any]


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


class Session:
    """Runs one strategy over one stream of events."""

    def __init__(
        self,
        *,
        handlers: Handlers,
        feed: Feed,
        broker: Broker,
        guard: Guard,
        ledger: Ledger,
        journal: Journal,
        calendar: SessionTimes,
        actions: Sequence[CorporateAction] = (),
        request_latency_ns: int = 0,
    ) -> None:
        self.handlers = handlers
        self.feed = feed
        self.broker = broker
        self.guard = guard
        self.ledger = ledger
        self.state: State = ledger.state
        self.journal = journal
        self.calendar = calendar
        self.instruments: tuple[Instrument, ...] = ledger.instruments
        self.index: Mapping[str, int] = {each.symbol: j for j, each in enumerate(self.instruments)}
        self.symbols = [each.symbol for each in self.instruments]
        self.timers = Timers()
        self.book = OrderBook(self.state)
        self.subscriptions = Subscriptions()
        self.guard_events: list[GuardEvent] = []
        self.notes: dict[str, Note] = {}
        self.scans: list[Scan] = []
        self.log: list[tuple[int, str]] = []
        self.custom: dict[str, list[tuple[int, float]]] = {}
        self.daily: list[tuple[int, int, float]] = []
        self.splits: list[tuple[int, int, float]] = []
        self.consumed = 0
        self.session_index = 0
        self._actions = actions
        self._request_latency_ns = request_latency_ns
        self._now = 0
        self._run: EventRun | None = None
        self._batch: Batch | None = None
        self._wakes: Wakes | None = None
        self._group: BarGroup | None = None
        self._stale = False
        self._drained = 0
        self._journaled = 0
        self._watched: set[int] = set()
        self._ready: deque[WakeUp] = deque()
        self._waiting = 0
        self._groups = 0
        self._attention = False
        self._lists = ColumnLists()
        self._stop_on_report = bool(handlers.fill or handlers.order or guard.watches_cash)
        self.state.settle = self.settle
        broker.attach(self.state, self.timers, self.instruments)

    # -- time ---------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Time of what the strategy is hearing (UTC ns)."""
        return self._now if self._run is None else self._run.now()

    def begin(self, ts: int) -> Iterator[WakeUp]:
        """Start the run at ``ts``: the exchange's day, corporate actions to come, then ``on_start``."""
        self._now = ts
        closes = self.calendar.close
        self.session_index = bisect.bisect_left(closes, ts)
        self._enter_session()
        for action in self._actions:
            if action.symbol in self.index and action.ts > ts:
                self.timers.add(action.ts - 1, Priority.SESSION, self._effect_of(action))
        if self.handlers.start is not None:
            yield self.handlers.start, None
        yield from self._flush()

    def _enter_session(self) -> None:
        """Make the session at ``session_index`` the present (or next) one."""
        i = self.session_index
        if i >= len(self.calendar.close):
            return
        opening, closing = self.calendar.open[i], self.calendar.close[i]
        following = self.calendar.open[i + 1] if i + 1 < len(self.calendar.open) else NEVER
        self.broker.begin_session(self.calendar.date[i], opening, closing, following)
        self.timers.add(closing, Priority.SESSION, self._end_session)
        if opening > self._now:
            self.timers.add(opening - 1, Priority.SESSION, lambda ts: self.guard.open_session())

    def _end_session(self, ts: int) -> None:
        self.broker.end_session(ts)
        account = self.state.account[0]
        equity = float(account["cash"] + self.state.tree[1])
        self.daily.append((self.calendar.date[self.session_index], ts, equity))
        self.session_index += 1
        self._enter_session()

    def _effect_of(self, action: CorporateAction) -> Callable[[int], None]:
        def take_effect(ts: int) -> None:
            j = self.index[action.symbol]
            position = self.ledger.positions[j]
            self._write_reports()
            self.journal.write(("action", action.ts, action.kind, action.symbol, action.value, position.quantity))
            if action.kind is ActionKind.DIVIDEND:
                amount = position.quantity * action.value * self.instruments[j].multiplier
                if amount:
                    self.ledger.deposit(self.instruments[j].currency, amount)
                return
            self.splits.append((action.ts, j, action.value))
            self.ledger.split(j, action.value)
            self.broker.split(j, action.value, ts)

        return take_effect

    def pass_until(self, ts: int) -> Iterator[WakeUp]:
        """Time has come to ``ts`` without an event: whatever is due up to then, that included."""
        yield from self._pass_time(ts + 1)

    def finish(self, ts: int) -> Iterator[WakeUp]:
        """End the run at ``ts``: pending bars, timers up to then, replies, ``on_stop``."""
        yield from self._pass_time(ts + 1)
        self._now = max(self._now, ts)
        if self.handlers.stop is not None:
            yield self.handlers.stop, None
        yield from self._flush()
        if self._waiting:
            self.note("unanswered", f"{self._waiting} handler(s) still waited for an answer at the end")
        self._write_reports()

    # -- the loop -----------------------------------------------------------------------------------------

    def step(self, batch: Batch) -> Iterator[WakeUp]:
        """Play a batch. ``consumed`` afterwards says how many of its events were; fewer where watching changed."""
        self._batch = batch
        self._wakes = self.subscriptions.open(batch)
        self.broker.open_batch(batch)
        self._lists.clear()
        self._stale = False
        n = len(batch)
        i = 0
        while i < n and not self._stale:
            t = int(batch.ts[i])
            group = self._group
            if self.timers.due < t or (group is not None and group.ts < t):
                yield from self._pass_time(t)
                continue
            due = self.timers.due
            limit = n if due >= int(batch.ts[n - 1]) else int(np.searchsorted(batch.ts, due, "right"))
            for wake in self._walk(i, limit):
                yield wake
                if self._attention:
                    yield from self._flush()
            i = self.consumed
        self.consumed = i
        if self._group is not None:
            self._group.keep()
        self.subscriptions.close(i)
        self._batch = None

    def _pass_time(self, t: int) -> Iterator[WakeUp]:
        """Everything that is due strictly before an event at ``t``: bars of a finished time, timers, replies."""
        while not self._stale or self._batch is None:
            group = self._group
            due = self.timers.due
            if group is not None and group.ts < t and group.ts <= due:
                yield from self._close_group()
            elif due < t:
                if self.broker.close_group():
                    yield from self._trip()
                ts, action = self.timers.pop()
                self._now = max(self._now, ts)
                action(ts)
                yield from self._hear_reports()
                yield from self._flush()
            else:
                break

    def _walk(self, i: int, limit: int) -> Iterator[WakeUp]:
        """Play events [i, limit) of the open batch, none of them after the next timer; leaves ``consumed``."""
        batch, wakes = self._batch, self._wakes
        assert batch is not None, "no batch is open"
        assert wakes is not None, "no batch is open"
        n = len(batch)
        runs = plays_in_runs(batch, wakes, self.handlers)
        position = int(np.searchsorted(wakes.index, i)) if not wakes.is_all else 0
        index = [] if wakes.is_all else wakes.index[position:].tolist()
        previous = [] if wakes.is_all else wakes.previous[position:].tolist()
        at = 0
        while i < limit and not self._stale:
            if self._group is not None and int(batch.ts[i]) > self._group.ts:
                break
            if runs:
                begun = i
                i = yield from self._play_run(i, limit)
                if i > begun:
                    continue
            if wakes.is_all:
                m, price_before = i, np.nan
                if batch.kind[0] == EventKind.TRADE:
                    price_before = float(batch.columns[0][i - 1]) if i else wakes.before.price
            elif at < len(index):
                m, price_before = index[at], previous[at]
            else:
                m, price_before = n, np.nan
            stop = min(m + 1, limit)
            is_bar = m < limit and batch.kind[m if len(batch.kind) > 1 else 0] >= EventKind.BAR
            if is_bar:
                stop = int(np.searchsorted(batch.ts, batch.ts[m], "right"))
                if int(batch.ts[m]) > int(batch.ts[i]):
                    stop = m  # first what comes before the bars of that time
            i, why = self.broker.advance(i, stop, self._stop_on_report)
            self.consumed = i
            if self.state.account["reports"][0] != self._drained:
                self._now = int(batch.ts[i - 1])
                yield from self._hear_reports()
            if why is Stop.TRIP:
                self._now = int(batch.ts[max(i - 1, 0)])
                yield from self._trip()
            if m < i and not is_bar:
                at += 1
                self._now = int(batch.ts[m])
                handler, event = event_at(batch, m, price_before, self.symbols, self.handlers)
                if handler is not None:
                    yield handler, event
            elif is_bar and m < i:
                members = np.arange(m, i)
                if not wakes.is_all:
                    after = bisect.bisect_left(index, i, at)
                    members = np.asarray(index[at:after])
                    at = after
                self._gather(batch, members)
        self.consumed = i

    def _gather(self, batch: Batch, members: I8) -> None:
        """Keep applied bars until their time has passed; bars of one time may come in several batches."""
        ts = int(batch.ts[members[0]])
        if self._group is None:
            self._group = BarGroup(ts, batch, members)
        else:
            assert self._group.ts == ts, "bars of an earlier time were not heard yet"
            self._group.join(batch, members)

    def _play_run(self, i: int, limit: int) -> Iterator[Any]:
        """Let Python hear a run of events in a tight loop while nothing else happens; returns the next index."""
        batch, wakes = self._batch, self._wakes
        assert batch is not None, "no batch is open"
        assert wakes is not None, "no batch is open"
        self._lists.open(batch, i)
        end, why = self.broker.run_ahead(i, min(limit, self._lists.end))
        if why is Stop.TRIP:
            end = i if batch.kind[0] >= EventKind.BAR else end - 1
        elif batch.kind[0] >= EventKind.BAR:
            end -= 1  # the last bar is judged when a later time comes
        if end <= i:
            return i
        run = EventRun(self, batch, wakes, i, end, self._lists)
        self._run = run
        try:
            yield run.play, None
        finally:
            self._now = run.now()
            self._run = None
        if run.stopped or why is Stop.TRIP or batch.kind[0] >= EventKind.BAR:
            run.settle()
        else:
            self.broker.take_ahead()
            run.settled = end
        self.consumed = run.settled
        return run.settled

    def _close_group(self) -> Iterator[WakeUp]:
        """The bars of one time are complete: mark them, let the guard judge, then let the strategy hear them."""
        group = self._group
        assert group is not None, "no bars wait"
        self._group = None
        self._now = group.ts
        if self.broker.close_group():
            yield from self._trip()
        for handler, event in group.wake_ups(self.symbols, self.handlers):
            yield handler, event
            yield from self._flush()

    def _flush(self) -> Iterator[WakeUp]:
        """What became ready while a handler ran: reports of its orders, replies without latency."""
        self._attention = False
        yield from self._hear_reports()
        while self._ready:
            yield self._ready.popleft()
            yield from self._hear_reports()

    # -- a run of events, interrupted -------------------------------------------------------------------------

    def settle(self) -> None:
        """Bring the marks up to the event that the strategy is hearing."""
        if self._run is not None:
            self._run.settle()

    def interrupt(self) -> None:
        """Something changes what comes next: stop hearing after the present event."""
        self._attention = True
        if self._run is not None:
            self._run.stop()

    # -- orders -------------------------------------------------------------------------------------------

    def instrument_index(self, symbol: str) -> int:
        """Index of an instrument; StrategyError where the run has none of that symbol."""
        try:
            return self.index[symbol]
        except KeyError:
            raise StrategyError(f'no instrument "{symbol}" in this run{did_you_mean(symbol, self.symbols)}') from None

    def reference_price(self, j: int) -> float:
        """Middle of a fresh quote, else the last price; NaN unknown. What an order is compared with on arrival."""
        r = self.state.instruments[j]
        if r["quote_ts"] > 0 and self.now - r["quote_ts"] <= 10_000_000_000 and r["bid"] == r["bid"]:
            return float((r["bid"] + r["ask"]) / 2.0)
        return float(r["last"])

    def submit(self, request: OrderRequest) -> tuple[int, str]:
        """Have an order approved and sent; returns its number and, where the guard refused it, why (number 0)."""
        self.interrupt()
        self.settle()
        j = request.instrument
        now = self.now
        self._watch(j)
        reference = self.reference_price(j)
        outcome = self.guard.approve(request, now, reference)
        if isinstance(outcome, Refused):
            self._refused(request, outcome, now)
            return 0, outcome.text
        return self._send(outcome, now, reference), ""

    def _send(self, approved: Approved, now: int, reference: float) -> int:
        request = approved.request
        if not self.book.has_room():
            self.book.grow()
        number = self.book.add(request, now, reference)
        self._write_reports()
        self.journal.write(("order", now, number, *_order_values(request)))
        self.broker.submit(approved, number, now)
        return number

    def _refused(self, request: OrderRequest, refused: Refused, now: int) -> None:
        self._write_reports()
        self.journal.write(("refused", now, refused.rule, *_order_values(request)))
        events = self.guard_events
        text = f"{request.side.name} {request.quantity:g} {request.symbol}: {refused.text}"
        if len(events) < 1000:
            events.append(GuardEvent(now, "refused", refused.rule, text))
        else:
            self.note("refused_more", "more orders were refused by the guard than are listed")
        if self.handlers.order is not None:
            update = OrderUpdate(
                now, 0, request.symbol, request.side, request.quantity, 0.0, OrderStatus.REJECTED, refused.text
            )
            self.wake(self.handlers.order, update)

    def cancel(self, number: int, reason: Reason = Reason.CANCEL_REQUESTED) -> None:
        """Ask for a working order to be cancelled."""
        self.interrupt()
        self.settle()
        self._write_reports()
        self.journal.write(("cancel", self.now, number, REASON_TEXT[reason]))
        self.broker.cancel(number, self.now, reason)

    def modify(self, number: int, quantity: float | None, limit: float | None, stop: float | None) -> None:
        """Ask for an order's total quantity or prices to be replaced; the guard judges it as a new order."""
        self.interrupt()
        self.settle()
        if self.book.status(number).is_final:
            return
        old = self.book.requests[number - 1]
        given = {"quantity": quantity, "limit_price": limit, "stop_price": stop}
        changes = {name: float(value) for name, value in given.items() if value is not None}
        request = msgspec.structs.replace(old, **changes)
        outcome = self.guard.approve_change(request, old, self.now, self.reference_price(request.instrument))
        if isinstance(outcome, Refused):
            self._refused(request, outcome, self.now)
            return
        self.book.requests[number - 1] = request
        self._write_reports()
        self.journal.write(("modify", self.now, number, *_order_values(request)))
        self.broker.modify(outcome, number, self.now)

    def new_group(self) -> int:
        """A new number for a one-cancels-other group."""
        self._groups += 1
        return self._groups

    # -- what came of them --------------------------------------------------------------------------------------

    def _write_reports(self) -> None:
        count = int(self.state.account["reports"][0])
        if count != self._journaled:
            self.journal.write_reports(self._journaled, count)
            self._journaled = count

    def _hear_reports(self) -> Iterator[WakeUp]:
        """Let the guard and the strategy hear of new fills and status changes, each in its turn."""
        while self._drained < int(self.state.account["reports"][0]):
            x = self.state.reports[self._drained]
            self._drained += 1
            self._release(int(x["instrument"]))
            if self.guard.watches_cash and not self.guard.blocked and self.guard.tripped_rule():
                yield from self._trip()
            number = int(x["order"]) + 1
            request = self.book.requests[number - 1]
            ts = int(x["ts"])
            if x["quantity"] > 0.0 and self.handlers.fill is not None:
                fill = Fill(
                    ts, request.symbol, request.side, float(x["quantity"]), float(x["price"]), float(x["fee"]), number
                )
                yield self.handlers.fill, fill
            if self.handlers.order is not None:
                row = self.state.orders[number - 1]
                reason = REASON_TEXT[Reason(int(x["reason"]))]
                status = OrderStatus(int(x["status"]))
                yield (
                    self.handlers.order,
                    OrderUpdate(
                        ts, number, request.symbol, request.side, request.quantity, float(row["filled"]), status, reason
                    ),
                )

    def _trip(self) -> Iterator[WakeUp]:
        """The guard tripped: block, cancel what works, flatten if so configured; each step is noted."""
        guard = self.guard
        if guard.blocked:
            return
        rule = guard.tripped_rule()
        guard.blocked = True
        now = self._now
        account = self.state.account[0]
        text = f"{rule}: equity {float(account['equity']):,.2f}, cash {float(account['cash']):,.2f}"
        self._write_reports()
        self.journal.write(("guard", now, "trip", text))
        self.guard_events.append(GuardEvent(now, "trip", rule, text))
        self.interrupt()
        for number in self.book.working():
            self.journal.write(("cancel", now, number, REASON_TEXT[Reason.GUARD]))
            self.broker.cancel(number, now, Reason.GUARD)
            self.guard_events.append(GuardEvent(now, "cancelled", rule, f"order {number}"))
        if guard.settings.flatten:
            for j, position in enumerate(self.ledger.positions):
                if position.quantity:
                    side = Side.SELL if position.quantity > 0 else Side.BUY
                    request = OrderRequest(
                        j, position.symbol, side, abs(position.quantity), OrderType.MARKET, tag="guard"
                    )
                    self._send(guard.approve_flattening(request), now, self.reference_price(j))
                    self.guard_events.append(GuardEvent(now, "flattened", rule, f"{position.symbol}"))
        yield from self._hear_reports()

    # -- market data ----------------------------------------------------------------------------------------

    def _watch(self, j: int) -> None:
        """Have the feed deliver an instrument, because it is held, ordered or subscribed to."""
        if j in self._watched:
            return
        self._watched.add(j)
        image = self.feed.watch(j, self.now)
        if image is not None:
            self.ledger.note_image(j, image.last, image.bid, image.ask, image.ts)
        self.state.instruments["has_trades"][j] = EventKind.TRADE in self.feed.kinds(j)
        self._stale = self._stale or self.feed.restarts

    def _release(self, j: int) -> None:
        """Stop following an instrument that is neither held, nor ordered, nor subscribed to."""
        r = self.state.instruments[j]
        if j in self._watched and r["quantity"] == 0.0 and r["head"] < 0 and not self.subscriptions.hears(j):
            self._watched.discard(j)
            for name in ("last", "mark", "bid", "ask"):
                r[name] = np.nan  # nobody looks any more: unknown
            r["last_ts"] = 0
            r["quote_ts"] = 0
            self.feed.unwatch(j)
            self._stale = self._stale or self.feed.restarts

    def hear(self, j: int, when: Any, bars_ns: int | None) -> list[EventKind]:
        """Subscribe the strategy to an instrument; returns the kinds of event that it will hear of it."""
        self.interrupt()
        self.settle()
        self._watch(j)
        available = self.feed.kinds(j)
        heard: list[EventKind] = []
        if self.handlers.trade is not None and EventKind.TRADE in available:
            heard.append(EventKind.TRADE)
        if self.handlers.quote is not None and EventKind.QUOTE in available:
            heard.append(EventKind.QUOTE)
        if self.handlers.bar is not None or self.handlers.bars is not None:
            is_view = self.feed.watch_bars(j, bars_ns, self.now)
            heard.append(EventKind.BAR_VIEW if is_view else EventKind.BAR)
        for kind in heard:
            self.subscriptions.hear(kind, j, when)
        self._stale = self._stale or self.feed.restarts
        return heard

    def forget(self, j: int) -> None:
        """Unsubscribe the strategy from an instrument."""
        self.interrupt()
        self.settle()
        self.subscriptions.forget(j)
        self._stale = self._stale or self.feed.restarts
        self._release(j)

    # -- requests -------------------------------------------------------------------------------------------

    def adopt(self, coroutine: Coroutine[Request, Reply, None]) -> None:
        """Take over a handler that awaits: it is resumed when its reply has come."""
        self._resume(coroutine, None)

    def _resume(self, coroutine: Coroutine[Request, Reply, None], reply: Reply | None) -> None:
        try:
            request = coroutine.send(reply)  # type: ignore[arg-type]  # the first send takes None
        except StopIteration:
            return
        self._waiting += 1
        self.ask(request, lambda answer: self._answered(coroutine, answer))

    def _answered(self, coroutine: Coroutine[Request, Reply, None], reply: Reply) -> None:
        self._waiting -= 1
        self._resume(coroutine, reply)

    def ask(self, request: Request, then: Callable[[Reply], Any]) -> None:
        """Put a request; ``then(reply)`` is called when the reply has come, before the next market event."""
        self.interrupt()
        self.settle()
        asked = self.now

        def answer(ts: int) -> None:
            reply = self.feed.ask(request, ts)
            assert reply is not None, "a recorded feed answers at once"
            self._write_reports()
            self.journal.write(("reply", ts, type(request).__name__, *_reply_values(reply)))
            self._ready.append((then, reply))

        if self._request_latency_ns == 0:
            answer(asked)
        else:
            self.timers.add(asked + self._request_latency_ns, Priority.REPLY, answer)

    def wake(self, handler: Handler, argument: Any) -> None:
        """Have a handler called as soon as the present one has returned."""
        self._ready.append((handler, argument))

    def time_today(self, clock: TimeOfDay) -> int | None:
        """When a time of day is in the session of today (in the exchange's zone); None where there is none today."""
        i = self.session_index
        if i >= len(self.calendar.close) or not self.calendar.open[i] - DAY_NS // 2 <= self.now:
            return None
        return clock.on(self.calendar, i)

    def say(self, text: str) -> None:
        """Keep a line of the strategy's own, with its time."""
        if len(self.log) < LOG_LINES:
            self.log.append((self.now, text))
        else:
            self.note("log_more", f"the strategy logged more than {LOG_LINES} lines; the rest is not kept")

    def record(self, name: str, value: float) -> None:
        """Keep a value of a series of the strategy's own."""
        series = self.custom.setdefault(name, [])
        if len(series) < CUSTOM_POINTS:
            series.append((self.now, value))
        else:
            self.note("record_more", f"record({name!r}) was called more than {CUSTOM_POINTS} times; the rest is not kept")

    def note(self, code: str, text: str, severity: Severity = Severity.WARNING) -> None:
        """Note something that the report must say; equal codes are counted."""
        known = self.notes.get(code)
        count = 1 if known is None else known.count + 1
        self.notes[code] = Note(code, text, severity, count)


def _order_values(request: OrderRequest) -> tuple[Any, ...]:
    """What a journal line says of an order."""
    return (
        request.symbol, request.side.name, request.quantity, request.type.name, request.limit_price,
        request.stop_price, request.trail, request.tif.name, request.group, request.parent, request.tag,
    )  # fmt: skip


def _reply_values(reply: Reply) -> tuple[Any, ...]:
    """What a journal line says of a reply."""
    value = reply.value
    if isinstance(value, Scan):
        value = [value.code, value.symbols, value.source, value.note]
    return (sorted(reply.values), list(reply.missing), value)


__all__ = ["NEVER", "Handlers", "Session", "WakeUp"]
