"""The one loop: events in, wake-ups out. Backtest, paper and live differ in feed, broker, clock and driver only.

``step(batch)`` yields wake-ups (a handler and what it is to hear) in order; whoever drives them calls the
handler and gives coroutines back with :meth:`Session.adopt`. Between wake-ups the broker's kernel walks the
events. The result never depends on how events were cut into batches.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import numpy as np

from papertape.core.delivery import BarGroup, ColumnLists, EventRun, HeardEvents, one_event, plays_in_runs
from papertape.core.desk import Desk
from papertape.core.errors import StrategyError, did_you_mean
from papertape.core.guard import Guard
from papertape.core.ledger import Ledger
from papertape.core.model import NS_PER_S, ActionKind, CorporateAction, EventKind, Instrument, SessionTimes, Severity
from papertape.core.ports import Broker, Feed, Handler, Handlers, Journal, WakeUp
from papertape.core.request_desk import RequestDesk
from papertape.core.requests import Reply, Request
from papertape.core.run_log import RunLog
from papertape.core.schedule import TimeOfDay
from papertape.core.series import I8, Batch
from papertape.core.state import State, Stop
from papertape.core.subscriptions import Wakes
from papertape.core.timers import NEVER, Priority, Timers
from papertape.core.watching import Watchlist

DAY_NS = 86_400 * NS_PER_S
BAR = int(EventKind.BAR)
END, TRIP = Stop.END, Stop.TRIP


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
        seed: int = 0,
    ) -> None:
        self.handlers = handlers
        self.feed = feed
        self.broker = broker
        self.guard = guard
        self.ledger = ledger
        self.state: State = ledger.state
        self.journal = journal
        self.calendar = calendar
        self.seed = seed
        self.instruments: tuple[Instrument, ...] = ledger.instruments
        self.index: dict[str, int] = {each.symbol: j for j, each in enumerate(self.instruments)}
        self.symbols = [each.symbol for each in self.instruments]
        self.timers = Timers()
        self.log = RunLog()
        hears_bars = handlers.bar is not None or handlers.bars is not None
        self.watchlist = Watchlist(
            feed, ledger, trades=handlers.trade is not None, quotes=handlers.quote is not None, bars=hears_bars
        )
        self.desk = Desk(
            handlers=handlers, broker=broker, guard=guard, ledger=ledger, journal=journal, watchlist=self.watchlist,
            log=self.log,
        )  # fmt: skip
        self.consumed = 0
        self.ending = ""  # why the strategy's side wants the run to end; whoever drives it then does so in order
        self.session_index = 0
        self.actions = actions
        self._now = 0
        self._run: EventRun | None = None
        self._batch: Batch | None = None
        self._wakes: Wakes | None = None
        self._heard: HeardEvents | None = None
        self._lists = ColumnLists()
        self._group: BarGroup | None = None
        self._ready: deque[WakeUp] = deque()
        self.requests = RequestDesk(
            feed, self.desk, journal, self.timers, self._ready, latency_ns=request_latency_ns, interrupt=self.interrupt
        )
        self._attention = False
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
        for action in self.actions:
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
        self.log.daily.append((self.calendar.date[self.session_index], ts, equity))
        self.session_index += 1
        self._enter_session()

    def _effect_of(self, action: CorporateAction) -> Callable[[int], None]:
        def take_effect(ts: int) -> None:
            j = self.index[action.symbol]
            position = self.ledger.positions[j]
            self.desk.write_reports()
            self.journal.write(("action", action.ts, action.kind, action.symbol, action.value, position.quantity))
            if action.kind is ActionKind.DIVIDEND:
                amount = position.quantity * action.value * self.instruments[j].multiplier
                if amount:
                    self.ledger.deposit(self.instruments[j].currency, amount)
                return
            self.ledger.split(j, action.value)
            self.broker.split(j, action.value, ts)

        return take_effect

    def add_instrument(self, instrument: Instrument) -> int:
        """One more instrument can be traded from now on; returns its index."""
        j = self.ledger.add(instrument)
        self.instruments = self.ledger.instruments
        self.index[instrument.symbol] = j
        self.symbols.append(instrument.symbol)
        return j

    def hear(self, ts: int) -> Iterator[WakeUp]:
        """The broker has reported something between market events: what was due before, then whoever hears of it."""
        yield from self._pass_time(ts)
        self._now = max(self._now, ts)
        yield from self._flush()

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
        if waiting := self.requests.waiting:
            self.log.note("unanswered", f"{waiting} handler(s) still waited for an answer at the end")
        if self.desk.past_orders:
            text = f"{self.desk.past_orders} order(s) or changes decided on bars of the past were not given"
            self.log.note("warm_up", text, Severity.INFO)
        self.desk.write_reports()

    # -- the loop -----------------------------------------------------------------------------------------

    def step(self, batch: Batch) -> Iterator[WakeUp]:
        """Play a batch. ``consumed`` afterwards says how many of its events were; fewer where watching changed."""
        if batch.is_past:
            self._hear_past(batch)
            self.consumed = len(batch)
            yield from self._flush()
            return
        watchlist = self.watchlist
        wakes = watchlist.subscriptions.open(batch)
        self._batch, self._wakes, self._heard = batch, wakes, None
        self.broker.open_batch(batch)
        self._lists.clear()
        watchlist.changed = False
        n = len(batch)
        last = int(batch.ts[n - 1])
        i = 0
        while i < n and not watchlist.changed:
            t = int(batch.ts[i])
            group = self._group
            if self.timers.due < t or (group is not None and group.ts < t):
                yield from self._pass_time(t)
                continue
            due = self.timers.due
            limit = n if due >= last else int(np.searchsorted(batch.ts, due, "right"))
            yield from self._walk(i, limit)
            i = self.consumed
        self.consumed = i
        if self._group is not None:
            self._group.keep()
        watchlist.subscriptions.close(i)
        self._batch = None
        if self._group is not None and batch.ends is not None:
            yield from self._close_group()  # a live feed tells bars of one time as a whole

    def _pass_time(self, t: int) -> Iterator[WakeUp]:
        """Everything that is due strictly before an event at ``t``: bars of a finished time, timers, replies."""
        while not self.watchlist.changed or self._batch is None:
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
                yield from self._flush()
            else:
                break

    def _walk(self, i: int, limit: int) -> Iterator[WakeUp]:
        """Play events [i, limit) of the open batch, none of them after the next timer; leaves ``consumed``."""
        batch, wakes = self._batch, self._wakes
        assert batch is not None, "no batch is open"
        assert wakes is not None, "no batch is open"
        if plays_in_runs(batch, wakes, self.handlers):
            yield from self._play_runs(i, limit)
            return
        if self._heard is None:
            self._heard = HeardEvents(batch, wakes, self.symbols, self.handlers)
        if self._heard.has_bars or self._group is not None:
            yield from self._walk_with_bars(batch, self._heard, i, limit)
        else:
            yield from self._walk_plain(self._heard, i, limit)

    def _walk_plain(self, heard: HeardEvents, i: int, limit: int) -> Iterator[WakeUp]:
        """Walk where no bars are heard, from one heard event to the next."""
        desk, advance, unheard = self.desk, self.broker.advance, self.watchlist.unheard
        stop_on_report, has_news = desk.stop_on_report, desk.has_news
        index, event_at = heard.index, heard.event
        trades, times, on_trade = heard.trades, heard.times, self.handlers.trade
        k, beyond = bisect.bisect_left(index, i), bisect.bisect_left(index, limit)
        due = self.timers.due
        while i < limit:
            stop = index[k] + 1 if k < beyond else limit
            i, why = advance(i, stop, stop_on_report)
            self.consumed = i
            is_quiet = True  # while nobody asks for anything, nothing that comes next can change
            if why is TRIP:
                is_quiet = False
                yield from self._trip()
            if (why is not END or unheard or desk.flattens) and has_news():
                assert self._batch is not None, "no batch is open"
                is_quiet = False
                self._now = int(self._batch.ts[i - 1])
                yield from self._flush()
            if i == stop and k < beyond:
                if trades and on_trade is not None:
                    self._now = times[k]
                    yield on_trade, trades[k]
                else:
                    handler, event, self._now = event_at(k)
                    if handler is not None:
                        yield handler, event
                k += 1
            if self._attention:
                is_quiet = False
                self._attention = False
                if self._ready or desk.ready or ((stop_on_report or unheard or desk.flattens) and has_news()):
                    yield from self._flush()
            if not is_quiet and (self.watchlist.changed or self.timers.due < due):
                return

    def _walk_with_bars(self, batch: Batch, heard: HeardEvents, i: int, limit: int) -> Iterator[WakeUp]:
        """Walk where bars are heard too: those of one time are gathered, and heard when their time has passed."""
        desk, advance = self.desk, self.broker.advance
        index = heard.index
        k = bisect.bisect_left(index, i)
        due = self.timers.due
        while i < limit and not self._is_cut_short(due):
            if self._group is not None and int(batch.ts[i]) > self._group.ts:
                break
            m = index[k] if k < len(index) and index[k] < limit else limit
            is_bar = m < limit and heard.is_bar(k)
            stop = self._end_of_bars(i, m) if is_bar else min(m + 1, limit)
            i, why = advance(i, stop, desk.stop_on_report)
            self.consumed = i
            if why is TRIP:
                yield from self._trip()
            if desk.has_news():
                self._now = int(batch.ts[i - 1])
                yield from self._flush()
            if m >= i:
                continue
            if is_bar:
                after = bisect.bisect_left(index, i, k)
                self._gather(batch, np.asarray(index[k:after]))
                k = after
                continue
            handler, event, self._now = heard.event(k)
            k += 1
            if handler is not None:
                yield handler, event
                if self._attention and (self._ready or desk.has_news()):
                    yield from self._flush()

    def _is_cut_short(self, due: int) -> bool:
        """Whether a handler changed what comes next: what is watched, or a timer before the one that was next."""
        return self.watchlist.changed or self.timers.due < due

    def _end_of_bars(self, i: int, m: int) -> int:
        """Where to advance to for the heard bar at ``m``: first to the bars of its time, then past all of them."""
        assert self._batch is not None, "no batch is open"
        ts = self._batch.ts
        return m if ts[m] > ts[i] else int(np.searchsorted(ts, ts[m], "right"))

    def _gather(self, batch: Batch, members: I8) -> None:
        """Keep applied bars until their time has passed; bars of one time may come in several batches."""
        ts = int(batch.ts[members[0]])
        if self._group is None:
            self._group = BarGroup(ts, batch, members)
        else:
            assert self._group.ts == ts, "bars of an earlier time were not heard yet"
            self._group.join(batch, members)

    def _play_runs(self, i: int, limit: int) -> Iterator[WakeUp]:
        """Let Python hear events in a tight loop while nothing else happens; leaves ``consumed`` as ``_walk`` does.

        The kernel runs ahead on a copy of its state, to the next event that may fill an order; that one is played
        by itself. Between events nothing but marks can have changed.
        """
        batch, wakes = self._batch, self._wakes
        assert batch is not None, "no batch is open"
        assert wakes is not None, "no batch is open"
        is_bars = batch.kind[0] >= BAR
        due = self.timers.due
        while i < limit and self._group is None and not self._is_cut_short(due):
            end, why = i + int(is_bars), END
            if limit - i > 1:  # one event, as a live feed often has, is not worth a copy of the state
                self._lists.open(batch, i)
                end, why = self.broker.run_ahead(i, min(limit, self._lists.end))
            if is_bars:
                end = i if why is TRIP else end - 1  # the last bar is judged when a later time comes
            elif why is TRIP:
                end -= 1
            if end > i:
                run = EventRun(self, batch, wakes, i, end, self._lists)
                self._run = run
                try:
                    yield run.play, None
                finally:
                    self._now = run.now()
                    self._run = None
                if run.stopped or why is TRIP or is_bars:
                    run.settle()
                else:
                    self.broker.take_ahead()
                    run.settled = end
                i = self.consumed = run.settled
                if self._attention:
                    yield from self._flush()
                if run.stopped or not is_bars:
                    continue
            if not self._is_cut_short(due):
                yield from self._hear_one(batch, i, is_bars=bool(is_bars))
                i = self.consumed

    def _hear_one(self, batch: Batch, i: int, *, is_bars: bool) -> Iterator[WakeUp]:
        """Play one event of a uniform batch whose every event is heard; it may fill orders."""
        assert self._wakes is not None, "no batch is open"
        desk = self.desk
        consumed, why = self.broker.advance(i, i + 1, desk.stop_on_report)
        self.consumed = consumed
        self._now = int(batch.ts[i])
        if why is TRIP:
            yield from self._trip()
        if desk.has_news():
            self._now = int(batch.ts[i])
            yield from self._flush()
        if consumed == i:
            return
        if is_bars:
            self._gather(batch, np.array([i]))
            return
        handler, event = one_event(batch, i, self._wakes, self.symbols, self.handlers)
        if handler is not None:
            yield handler, event
            if self._attention:
                yield from self._flush()

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
            if self._attention:
                yield from self._flush()

    def _trip(self) -> Iterator[WakeUp]:
        """The kernel found a threshold crossed: the guard acts as of that event, before the strategy hears of it."""
        self._now = int(self.state.account["trip_ts"][0])
        yield from self.desk.trip(self._now)

    def _flush(self) -> Iterator[WakeUp]:
        """What became ready while a handler ran: reports of its orders, replies without latency."""
        self._attention = False
        yield from self.desk.hear(self._now)
        while self._ready:
            yield self._ready.popleft()
            yield from self.desk.hear(self._now)

    # -- a run of events, interrupted -------------------------------------------------------------------------

    def settle(self) -> None:
        """Bring the marks up to the event that the strategy is hearing."""
        if self._run is not None:
            self._run.settle()

    def interrupt(self) -> int:
        """Something changes what comes next: stop hearing after the present event. Returns the time of it."""
        self._attention = True
        if self._run is None:
            return self._now
        self._run.stop()
        self._run.settle()
        return self._run.now()

    def instrument_index(self, symbol: str) -> int:
        """Index of an instrument; StrategyError where the run has none of that symbol."""
        try:
            return self.index[symbol]
        except KeyError:
            found = self.feed.find(symbol)
            if found is not None:
                return found
            raise StrategyError(f'no instrument "{symbol}" in this run{did_you_mean(symbol, self.symbols)}') from None

    # -- requests -------------------------------------------------------------------------------------------

    def adopt(self, coroutine: Coroutine[Request, Reply, None]) -> None:
        """Take over a handler that awaits: it is resumed when its reply has come."""
        self.requests.resume(coroutine, None)

    def ask(self, request: Request, then: Callable[[Reply], Any]) -> None:
        """Put a request; ``then(reply)`` is called when the reply has come, before the next market event."""
        self.requests.ask(request, then)

    def answered(self, reply: Reply, ts: int = 0) -> Iterator[WakeUp]:
        """A live feed's reply has come, to the very request object that it names (at ``ts``, if later): who waits goes on."""
        self._now = max(self._now, ts)
        if self.requests.answered(reply, self._now):
            yield from self._flush()
        else:
            self.log.note(
                "late_answer", f"an answer to a {type(reply.request).__name__} came when nobody waited for it"
            )

    def warm_up(self, instruments: Sequence[int], bars: int) -> None:
        """Have the strategy hear the last ``bars`` past bars of instruments that it subscribes to, before anything new."""
        batch = self.feed.past_bars(instruments, bars, self.interrupt())
        if batch is not None:
            self._hear_past(batch)

    def _hear_past(self, batch: Batch) -> None:
        """Make wake-ups of bars that were over before they were asked for; those of one time together."""
        wakes = self.watchlist.subscriptions.open_past(batch)
        self.requests.hear_past(batch, wakes, self.symbols, self.handlers)

    def wake(self, handler: Handler, argument: Any) -> None:
        """Have a handler called as soon as the present one has returned."""
        self._ready.append((handler, argument))

    def time_today(self, clock: TimeOfDay) -> int | None:
        """When a time of day is in the session of today (in the exchange's zone); None where there is none today."""
        i = self.session_index
        if i >= len(self.calendar.close) or not self.calendar.open[i] - DAY_NS // 2 <= self.now:
            return None
        return clock.on(self.calendar, i)
