"""A live run as a person sees it: its status, put together from both halves. Reads only, and never waits."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from brokers.ib.events import Event, LinkState, OrderChanged
from papertape.core.model import NS_PER_S, OrderStatus, OrderType, TimeInForce
from papertape.live.status import (
    DataLine,
    FillLine,
    LimitLine,
    LiveStatus,
    Log,
    LogKind,
    MoneyLine,
    OrderLine,
    PositionLine,
    RunState,
    ScanLine,
)

if TYPE_CHECKING:
    from papertape.live.assembly import LiveRun

BLOCKING_S = 0.25
"""A handler that runs for so long is shown as one that blocks."""
ENDS_MOST = 200
_ENDED_BY_TWS = (OrderStatus.REJECTED, OrderStatus.CANCELLED)
_KINDS = (("connection", LogKind.LINK), ("guard", LogKind.GUARD), ("halted", LogKind.HALT), ("order", LogKind.ORDER))


class Overview:
    """Puts a run's status together again and again; keeps what is needed for rates and for the log."""

    def __init__(self, run: LiveRun) -> None:
        self._run = run
        self._log = Log()
        self._ends: deque[OrderChanged] = deque(maxlen=ENDS_MOST)
        self._fills = 0
        self._told = 0
        self._lines = 0
        self._events = 0
        self._at_s = time.monotonic()
        self._rate = math.nan
        self._started = time.time_ns()

    def status(self) -> LiveStatus:
        """The run as it is now."""
        run, parts = self._run, self._run.parts
        adapter, side, ib = parts.adapter, parts.side, parts.adapter.ib
        supervisor = adapter.supervisor
        self._collect()
        now = parts.clock.now() or run.began_ts
        start = supervisor.start
        equity = supervisor.equity if start == start else math.nan
        busy = side.busy_since_s
        blocked_s = time.monotonic() - busy if busy else 0.0
        scans = side.session.log.scans
        unrealised, realised, fees = self._result()
        return LiveStatus(
            run=run.folder.name,
            strategy=type(run.strategy).__name__,
            mode=run.settings.mode.value,
            account=ib.account.id,
            gateway=str(run.address),
            ts=time.time_ns(),
            state=self._state(),
            pid=os.getpid(),
            started_ts=self._started,
            exchange_ts=now,
            zone=run.calendar.zone,
            currency=supervisor.ledger.base,
            link=ib.state.value,
            link_since=ib.since,
            link_text=ib.text,
            data=self._data(now),
            positions=self._positions(),
            orders=self._orders(now),
            fills=self._last_fills(),
            scan=ScanLine(scans[-1].ts, scans[-1].code, tuple(scans[-1].symbols), scans[-1].note) if scans else None,
            cash=tuple(MoneyLine(name, amount) for name, amount in ib.account.cash.items()),
            net_liquidation=equity,
            pnl=self._pnl(),
            unrealised=unrealised,
            realised=realised,
            fees=fees,
            account_pnl=ib.account.pnl.daily,
            orders_given=len(ib.orders.entries),
            fills_heard=self._fills,
            limits=self._limits(equity),
            guard=adapter.state.trip.text if adapter.state.trip is not None else "",
            guard_ts=adapter.state.trip.ts if adapter.state.trip is not None else 0,
            halt=adapter.state.halted,
            halt_ts=adapter.state.halted_ts,
            events=side.events,
            events_per_s=self._events_per_s(),
            lag_s=(now - side.heard_ts) / NS_PER_S if parts.inbox and side.heard_ts else 0.0,
            data_lost=parts.inbox.lost,
            blocking=side.busy_in if blocked_s > BLOCKING_S else "",
            blocking_s=blocked_s if blocked_s > BLOCKING_S else math.nan,
            read_only=run.settings.is_read_only,
            synthetic=run.source.synthetic or bool(run.source.fingerprint),
            log=self._log.tail(),
        )

    def _pnl(self) -> float:
        """The run's own, by the strategy's books: others may trade in the account. NaN before they are open."""
        state = self._run.parts.side.session.state
        return float(state.account["cash"][0] + state.tree[1]) - self._run.parts.side.starting_equity

    def _result(self) -> tuple[float, float, float]:
        """The run's own unrealised and realised P&L before fees, and fees, in base currency. NaN before books are open."""
        side = self._run.parts.side
        if not side.is_open:
            return math.nan, math.nan, math.nan
        session = side.session
        ledger, state = session.ledger, session.state
        records = state.instruments[: len(ledger.instruments)]
        is_traded = (records["quantity"] != 0.0) | (records["realised"] != 0.0) | (records["fees"] != 0.0)
        unrealised = realised = fees = 0.0
        for j in np.flatnonzero(is_traded).tolist():
            record, instrument = records[j], ledger.instruments[j]
            rate = float(state.rates[ledger.currencies.index(instrument.currency)])
            if record["quantity"] != 0.0:
                gained = float(record["mark"] - record["average_cost"]) * float(record["quantity"])
                unrealised += gained * instrument.multiplier * rate
            realised += float(record["realised"]) * rate
            fees += float(record["fees"]) * rate
        return unrealised, realised, fees

    def _state(self) -> RunState:
        run = self._run
        if run.engine.why:
            return RunState.ENDING
        if run.parts.adapter.state.halted or run.parts.adapter.supervisor.guard.blocked:
            return RunState.HALTED
        return RunState.RUNNING if run.parts.adapter.ib.state is LinkState.READY else RunState.STARTING

    def heard(self, happened: Sequence[Event]) -> None:
        """What has happened: orders that TWS did not take, or that it ended, are said with its words."""
        for event in happened:
            if isinstance(event, OrderChanged) and event.text and event.status in _ENDED_BY_TWS:
                self._ends.append(event)

    def _new_ends(self) -> Iterator[tuple[int, LogKind, str]]:
        while self._ends:
            event = self._ends.popleft()
            yield event.ts, LogKind.ORDER, f"order {event.number} {event.status.name.lower()}: {event.text}"

    def _collect(self) -> None:
        """New notices go to the log, then fills and lines of the strategy in the order of their times.

        Notices keep their own order: while the clock is being set by TWS's, times may go back.
        """
        found = [*self._new_lines(), *self._new_fills(), *self._new_ends()]
        for ts, kind, text in [*self._new_notices(), *sorted(found, key=lambda line: line[0])]:
            self._log.add(ts, kind, text)

    def _new_notices(self) -> Iterator[tuple[int, LogKind, str]]:
        adapter = self._run.parts.adapter
        new = adapter.notices_said - self._told
        self._told = adapter.notices_said
        for ts, text in adapter.state.notices[-new:] if new > 0 else ():
            yield ts, next((kind for begin, kind in _KINDS if text.startswith(begin)), LogKind.NOTICE), text

    def _new_fills(self) -> Iterator[tuple[int, LogKind, str]]:
        adapter = self._run.parts.adapter
        new = adapter.fills_heard - self._fills
        self._fills = adapter.fills_heard
        for ts, fill in adapter.state.fills[-new:] if new > 0 else ():
            request = adapter.ib.orders.entries[fill.number].request
            fee = f", fee {fill.fee:,.2f}" if fill.fee == fill.fee else ""
            text = f"{request.side.name} {fill.quantity:g} {request.symbol} at {fill.price:,.4f}{fee}"
            yield ts, LogKind.FILL, text

    def _new_lines(self) -> Iterator[tuple[int, LogKind, str]]:
        lines = self._run.parts.side.session.log.lines
        new = lines[self._lines :]
        self._lines += len(new)
        for ts, text in new:
            yield ts, LogKind.STRATEGY, text

    def _events_per_s(self) -> float:
        passed = time.monotonic() - self._at_s
        if passed >= 1.0:
            events = self._run.parts.side.events
            self._rate = (events - self._events) / passed
            self._events, self._at_s = events, time.monotonic()
        return self._rate

    def _data(self, now: int) -> tuple[DataLine, ...]:
        market = self._run.parts.adapter.ib.market
        is_followed = self._run.settings.in_lockstep  # what a tape holds is as fresh as can be
        within = 0 if is_followed else round(self._run.settings.guard.stale_s * NS_PER_S)
        index = self._run.parts.adapter.ib.registry.index
        lines = []
        for symbol, (kind, source, _) in list(market.describe().items()):
            j = index[symbol]
            is_stale = bool(within) and not market.is_fresh(j, now, within)
            lines.append(DataLine(symbol, kind.value, source.value, market.last_received(j), is_stale))
        return tuple(lines)

    def _positions(self) -> tuple[PositionLine, ...]:
        adapter = self._run.parts.adapter
        own = adapter.run_positions()
        ledger = adapter.supervisor.ledger
        lines = []
        for j in adapter.supervisor.held:
            record = adapter.supervisor.state.instruments[j]
            quantity, cost, mark = float(record["quantity"]), float(record["average_cost"]), float(record["mark"])
            instrument = ledger.instruments[j]
            unrealised = (mark - cost) * quantity * instrument.multiplier
            lines.append(
                PositionLine(
                    instrument.symbol,
                    quantity,
                    cost,
                    mark,
                    unrealised,
                    float(record["realised"]),
                    instrument.currency,
                    j in own,
                )
            )
        return tuple(lines)

    def _orders(self, now: int) -> tuple[OrderLine, ...]:
        lines = []
        for entry in self._run.parts.adapter.ib.orders.working():
            r = entry.request
            prices = [f"{price:g}" for price in (r.limit_price, r.stop_price, r.trail) if price == price]
            terms = " ".join([OrderType(r.type).name, *prices, TimeInForce(r.tif).name])
            lines.append(
                OrderLine(entry.number, r.symbol, r.side.name, r.quantity, entry.filled, terms, entry.status.name, now)
            )
        return tuple(lines)

    def _last_fills(self) -> tuple[FillLine, ...]:
        adapter = self._run.parts.adapter
        lines = []
        for ts, fill in adapter.state.fills[-20:]:
            r = adapter.ib.orders.entries[fill.number].request
            lines.append(FillLine(ts, r.symbol, r.side.name, fill.quantity, fill.price, fill.fee, fill.number))
        return tuple(lines)

    def _limits(self, equity: float) -> tuple[LimitLine, ...]:
        supervisor = self._run.parts.adapter.supervisor
        kept = supervisor.thresholds
        lines = []
        floor = max(kept.floor, kept.guard_peak * kept.peak_fraction if kept.peak_fraction else -math.inf)
        if floor > -math.inf:
            reference = kept.guard_peak if kept.peak_fraction else kept.start
            way = reference - floor
            lines.append(LimitLine("max_drawdown", equity, floor, (equity - floor) / way if way else math.nan))
        for name, amount in supervisor.settings.cash_floor.items():
            value = supervisor.cash(name)
            lines.append(
                LimitLine(f"cash_floor {name}", value, amount, (value - amount) / abs(amount) if amount else math.nan)
            )
        return tuple(lines)
