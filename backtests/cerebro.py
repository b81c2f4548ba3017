"""A run inside ``backtrader.Cerebro``: our session and strategy, backtrader's feeds and broker.

An independent check of our engine: matching, cash and positions are those of backtrader's own broker. The session, the
guard, the journal and the books around it are the ones of every run; books are made of what that broker reports, and
must agree with its cash and positions at every fill. ``docs/backtrader.md`` says where the two engines differ.

Cerebro drives. Each of its steps shows one trade, or the bars of one time; its broker matches; then the session hears
the same events, and whatever is due before the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from backtests.cerebro_analyzers import Findings, add_analyzers, findings_of
from backtests.cerebro_broker import CerebroBroker
from backtests.cerebro_market import VERSION, Market, Shown
from papertape.core.errors import ConfigError
from papertape.core.model import ActionKind, CorporateAction, EventKind
from papertape.core.series import Batch, Tape
from papertape.core.timers import Priority

if TYPE_CHECKING:
    from backtests.engine import Progress
    from backtests.settings import Settings
    from feeds.playback import RecordedFeed
    from papertape.core.ports import WakeUp
    from papertape.core.record import RunRecord
    from papertape.core.session import Session

    Drive = Callable[[Session, Iterable[WakeUp]], None]

QUOTE, BAR, BAR_VIEW = EventKind.QUOTE, EventKind.BAR, EventKind.BAR_VIEW
_ON = "leave out --engine for that"


def refuse(settings: Settings, tape: Tape) -> None:
    """ConfigError, in one line, for what Cerebro would do in another way than is asked for."""
    rules = settings.fill_rules(allow_short=False)
    doubts = (
        ("slippage", rules.slippage_price or rules.slippage_fraction, "Cerebro's stops at a bar's extremes"),
        ("latency", rules.latency_ns, "Cerebro's broker has none"),
        ("volume_share", rules.volume_share, "Cerebro gives each order a bar's volume anew"),
        ("margin", rules.margin_multiple > 1.0, "Cerebro's leverage is another thing"),
        ("balances", settings.balances, "Cerebro's broker has one currency"),
        ("fees", settings.fees.strip() == "ib-tiered", "their tiers need the month's volume, and who was first"),
    )
    for name, is_set, why in doubts:
        if is_set:
            raise ConfigError(f"engine backtrader has no {name}={getattr(settings, name)} ({why}); {_ON}")
    for series in tape.series:
        if series.kind is QUOTE and len(series):
            raise ConfigError(
                f"engine backtrader has no quotes, and the data have those of {series.symbol}; "
                "name the trades or bars with --data, or leave out --engine"
            )
        instrument = tape.instruments.get(series.symbol)
        if instrument is not None and instrument.currency != settings.currency:
            raise ConfigError(
                f"engine backtrader has one currency, {settings.currency}, and {series.symbol} is in "
                f"{instrument.currency}; leave it out, or leave out --engine"
            )


class CerebroPlayer:
    """Plays a session inside Cerebro; what ``play`` of ``backtests/engine.py`` is for our engine."""

    def __init__(
        self,
        session: Session,
        feed: RecordedFeed,
        broker: CerebroBroker,
        drive: Drive,
        *,
        cash: float,
        analyzers: Sequence[Any] = (),
        actions: Sequence[CorporateAction] = (),
    ) -> None:
        self._session = session
        self._feed = feed
        self._broker = broker
        self._drive_with = drive
        self._actions = actions
        self._market = broker.market = Market(self, feed.instruments, cash, broker.costs)
        self._added = add_analyzers(self._market.cerebro, analyzers)
        self._shown: dict[int, Shown] = {}
        self._step: Batch | None = None
        self._batch: Batch | None = None
        self._at = 0
        """Place of the first event of the batch that has not been played."""
        self._bars_of = 0
        """Time of bars that the session has applied and not heard yet; 0 for none."""
        self._end = 0
        self._start = 0
        self._progress: Progress | None = None
        self._events = 0
        self._told = 0.0
        self.is_over = False

    def play(self, start: int, end: int, progress: Progress | None = None, events: int = 0) -> Findings:
        """Run from ``start`` to ``end`` (UTC ns); returns what the analyzers found."""
        self._start, self._end = start, end
        self._progress, self._events = progress, events
        self._told = time.perf_counter()
        shell = self._market.run()
        self._drive(self._session.finish(end))
        return findings_of(shell, self._added)

    def _drive(self, wakes: Iterable[WakeUp]) -> None:
        self._drive_with(self._session, wakes)

    # -- what Cerebro asks ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The first step: each instrument without a price, so that orders can be given before its first event.

        No event comes with it, so nothing is matched in it.
        """
        for action in self._actions:
            is_to_come = action.symbol in self._session.index and action.ts >= self._start
            if action.kind is ActionKind.DIVIDEND and is_to_come:
                self._session.timers.add(action.ts - 1, Priority.BROKER, self._payment_of(action))
        nothing = Shown(self._start, self._start, 0.0, 0.0, 0.0, 0.0, 0.0, is_bar=True, is_regular=False)
        self._shown = dict.fromkeys(range(len(self._feed.instruments)), nothing)

    def _payment_of(self, action: CorporateAction) -> Callable[[int], None]:
        def pay(ts: int) -> None:
            j = self._session.index[action.symbol]
            amount = self._session.ledger.positions[j].quantity * action.value * self._session.instruments[j].multiplier
            if amount:
                self._market.deposit(amount)

        return pay

    def showing(self, j: int) -> Shown | None:
        """What the present step shows of an instrument."""
        return self._shown.get(j)

    def step_done(self) -> None:
        """Cerebro's broker has seen the step: the session hears it, then whatever is due before the next step."""
        if self._step is None:
            self._drive(self._session.begin(self._start - 1))
        else:
            self._play(self._step)
        self._step = self._next_step()
        self._broker.give_kept()
        self._market.clock.step += 1
        if self._step is None:
            self.is_over = True
            self._shown = {}
        else:
            self._shown = self._showings(self._step)
        self._say_progress()

    # -- the session's side -----------------------------------------------------------------------------------

    def _play(self, step: Batch) -> None:
        """Let the session hear a step, all of it: Cerebro has seen it already, whatever is watched meanwhile."""
        session = self._session
        while len(step):
            self._drive(session.step(step))
            assert session.consumed > 0, "what was due before the step has been played"
            step = piece(step, session.consumed, len(step))
            self._forget_if_changed()

    def _forget_if_changed(self) -> None:
        """What is watched has changed: the feed merges anew."""
        if self._session.watchlist.changed:
            self._batch = None

    def _next_step(self) -> Batch | None:
        """The next events for Cerebro, after all that is due before them; None at the end."""
        session, feed = self._session, self._feed
        while True:
            if self._batch is None:
                session.watchlist.changed = False
                self._batch, self._at = feed.next(), 0
            batch = self._batch
            upcoming = self._end + 1 if batch is None else int(batch.ts[self._at])
            if self._bars_of and self._bars_of < upcoming:
                due, self._bars_of = self._bars_of, 0
            else:
                due = session.timers.due
            if due < upcoming:
                self._drive(session.pass_until(due))
                self._forget_if_changed()
                continue
            if batch is None:
                return None
            step = piece(batch, self._at, self._at + step_size(batch, self._at))
            feed.consumed(step, len(step))
            self._at += len(step)
            if self._at == len(batch):
                self._batch = None
            kind = int(step.kind[0])
            if kind >= BAR:
                self._bars_of = int(step.ts[0])
            if kind < BAR_VIEW:
                return step
            self._play(step)

    def _showings(self, step: Batch) -> dict[int, Shown]:
        """What a step shows, by instrument."""
        account = self._session.state.account[0]
        opening, closing = int(account["session_open"]), int(account["session_close"])
        ts = int(step.ts[0])
        shown = {}
        for i in range(len(step)):
            j = int(step.instrument[i] if len(step.instrument) > 1 else step.instrument[0])
            c = step.columns
            if step.kind[0] == BAR:
                start = int(step.start[i])
                prices = (float(c[0][i]), float(c[1][i]), float(c[2][i]), float(c[3][i]))
                is_regular = start < closing and ts > opening
                shown[j] = Shown(start, ts, *prices, float(c[4][i]), is_bar=True, is_regular=is_regular)
            else:
                price = float(c[0][i])
                is_regular = opening <= ts <= closing
                shown[j] = Shown(
                    ts, ts, price, price, price, price, float(c[1][i]), is_bar=False, is_regular=is_regular
                )
        return shown

    def _say_progress(self) -> None:
        if self._progress is None or time.perf_counter() - self._told < 0.1:
            return
        self._told = time.perf_counter()
        part = min(1.0, max(0.0, (self._session.now - self._start) / max(self._end - self._start, 1)))
        self._progress(part, int(part * self._events))


def step_size(batch: Batch, at: int) -> int:
    """How many events from place ``at`` are one step: one trade, or bars of one time of different instruments."""
    kind = int(batch.kind[at if len(batch.kind) > 1 else 0])
    if kind < BAR or len(batch.instrument) == 1:
        return 1
    seen: set[int] = set()
    end = int(np.searchsorted(batch.ts, batch.ts[at], "right"))
    for i in range(at, end):
        j = int(batch.instrument[i])
        if j in seen or (len(batch.kind) > 1 and batch.kind[i] != kind):
            return i - at
        seen.add(j)
    return end - at


def piece(batch: Batch, begin: int, end: int) -> Batch:
    """Events [begin, end) of a batch, as a batch."""
    n = len(batch)

    def cut(values: Any) -> Any:
        return values[begin:end] if len(values) == n else values

    c = batch.columns
    return Batch(
        batch.ts[begin:end],
        cut(batch.kind),
        cut(batch.instrument),
        (cut(c[0]), cut(c[1]), cut(c[2]), cut(c[3]), cut(c[4])),
        cut(batch.start),
        None if batch.origin is None else cut(batch.origin),
    )


class CerebroEngine:
    """The engine of a run in Cerebro, as ``run_tape`` wires it. Raises ConfigError for what it can not do."""

    def __init__(self, settings: Settings, tape: Tape, drive: Drive) -> None:
        refuse(settings, tape)
        self._drive = drive
        self._settings = settings
        self._actions = tape.actions
        self._findings = Findings()

    def broker(self, *, allow_short: bool) -> CerebroBroker:
        """The broker port of the session."""
        return CerebroBroker(self._settings.fee_model(), allow_short=allow_short)

    def play(
        self,
        session: Session,
        feed: RecordedFeed,
        start: int,
        end: int,
        progress: Progress | None = None,
        events: int = 0,
    ) -> None:
        """Drive a session over a recorded feed from ``start`` to ``end`` (UTC ns), inside Cerebro."""
        broker = session.broker
        assert isinstance(broker, CerebroBroker), "its orders go to Cerebro"
        session.desk.texts = broker.texts
        player = CerebroPlayer(
            session, feed, broker, self._drive, cash=self._settings.cash, analyzers=self._settings.analyzers,
            actions=self._actions,
        )  # fmt: skip
        self._findings = player.play(start, end, progress, events)

    def add_to(self, record: RunRecord) -> RunRecord:
        """The record with what the analyzers found in its metrics and series, and backtrader's version."""
        record.metrics.update(self._findings.metrics)
        record.custom.update(self._findings.series)
        record.notes.extend(self._findings.notes)
        record.versions["backtrader"] = VERSION
        return record
