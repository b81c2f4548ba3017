"""From a strategy and settings to a run that trades: makes both halves, the journal and the locks, and saves the record."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backtests.outcome import RunParts, Source, code_hash, make_record
from brokers.ib.bars import BarSettings
from brokers.ib.broker import IbBroker
from brokers.ib.events import LinkState
from brokers.ib.gateway import IbGateway
from brokers.ib.lines import LineSettings
from brokers.ib.market import MarketSettings
from brokers.ib.registry import Registry
from brokers.ib.session import IbSession, LinkSettings
from feeds.ib import IbFeed
from feeds.playback import ConfirmPolicy
from papertape.calendar import session_times
from papertape.core.errors import ConfigError
from papertape.core.folders import state_folder
from papertape.core.guard import Guard, GuardSettings
from papertape.core.ledger import Ledger
from papertape.core.model import NS_PER_S, Mode, Note, OrderStatus, SessionTimes, Severity, TimeInForce
from papertape.core.orders import OrderRequest
from papertape.core.record import RunRecord
from papertape.core.requests import ConfirmRequest
from papertape.core.session import Session
from papertape.core.state import REASON_TEXT, Reason, State
from papertape.core.timers import NEVER
from papertape.journal import MemoryJournal
from papertape.live import entries
from papertape.live.adapter import Adapter
from papertape.live.clock import SteppedClock, WallClock
from papertape.live.engine import Engine, Parts
from papertape.live.inbox import Asks, Inbox
from papertape.live.journal import Journal
from papertape.live.lock import RunLock
from papertape.live.run_notes import data_notes, note_account, order_text
from papertape.live.sayings import Sayings
from papertape.live.settings import Address, AtEnd, LiveConfirm, LiveSettings
from papertape.live.strategy_side import StrategySide
from papertape.live.supervisor import Supervisor
from papertape.store import folder_name, save_into
from strategies.base import Strategy

CONNECT_S = 15.0
RECONNECT_S = 3.0
"""The same after a break: the adapter's thread waits for it, and so does a halt. Another attempt follows."""
JOURNAL_FILE = "journal.sqlite"
COMMON_CURRENCIES = (
    "USD", "EUR", "GBP", "CHF", "JPY", "CAD", "AUD", "HKD", "AED", "CNH", "CZK", "DKK", "HUF", "ILS", "KRW", "MXN", "NOK",
    "NZD", "PLN", "SAR", "SEK", "SGD", "TRY", "TWD", "ZAR",
)  # fmt: skip
"""Currencies that a run keeps books in, its base currency first: what the account holds in them can be marked."""
DAYS_BEFORE, DAYS_AFTER = 400, 40


@dataclass(slots=True)
class LiveRun:
    """A run that was made and not begun. ``run`` executes it and returns its record."""

    strategy: Strategy
    settings: LiveSettings
    address: Address
    folder: Path
    run_id: str
    parts: Parts
    engine: Engine
    symbols: Sequence[str]
    calendar: SessionTimes
    memory: MemoryJournal
    claim: Claim
    began_ts: int = 0
    """The exchange's time (UTC ns) when it was made."""
    is_new: bool = False
    """Whether nothing of it is older than this process: where it comes to nothing, nothing of it need stay."""
    source: Source = field(default_factory=Source)
    notes: list[Note] = field(default_factory=list)
    """What the record should say beside what the run says."""
    simulated: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the simulated gateway's account and fills, as a backtest's; empty at TWS."""
    named: Sequence[str] = ()
    """Symbols that the user named."""

    @property
    def gateway_text(self) -> str:
        """Where the run trades, in words."""
        return "simulated" if self.simulated else str(self.address)

    def run(self) -> RunRecord:
        """Execute it to its end. What the strategy raised is raised again, after orders were seen to and the run saved."""
        began = time.perf_counter()
        try:
            if self.settings.in_lockstep:
                self.engine.run_lockstep()
            else:
                self.engine.run_threads()
            self._note_end()
        finally:
            record = self.close(began)
        return record

    def close(self, began: float) -> RunRecord:
        """Save what there is of the run and let go of its journal and locks; returns the record."""
        with contextlib.ExitStack() as last:  # each of these happens whatever becomes of the others
            if not self.engine.owns_connection:  # else its thread hangs, and what it holds goes with the process
                last.callback(self.claim.release)
                last.callback(self.parts.journal.close)
                last.callback(self._note_rest)
            record = self.record(began)
            save_into(record, self.folder)
        return record

    @property
    def has_begun(self) -> bool:
        """Whether the strategy was started: the account was known, and agreed with what was expected."""
        return self.parts.side.has_begun

    @property
    def is_cut_short(self) -> bool:
        """Whether the guard, a halt or a connection that was lost for good has kept it from trading on."""
        adapter = self.parts.adapter
        return bool(adapter.state.trip or adapter.state.halted) or adapter.ib.state is LinkState.FAILED

    def discard(self) -> None:
        """Remove a run that never began, as if it had not been made."""
        assert self.is_new, "a run that is resumed has a past"
        assert not self.has_begun, "what a run did is never removed"
        self.parts.journal.close()
        remove_folder(self.folder)

    def remaining_texts(self) -> list[str]:
        """Orders that still worked at the end, in words."""
        entries = self.parts.adapter.ib.orders.entries
        return [order_text(number, entries[number].request, entries[number].filled) for number in self.engine.remaining]

    def _note_rest(self) -> None:
        """Journal what the strategy's side has said and not handed on: both halves have ended."""
        p = self.parts
        if p.adapter.writer.has_given_up:  # why is what is raised
            return
        while p.side.has_begun and (said := p.side.sayings.collect(p.side.events, p.side.began_ts)) is not None:
            p.journal.note(p.clock.now(), "Said", entries.encode(said))

    def _note_end(self) -> None:
        p = self.parts
        self._note_rest()
        ended = entries.Ended(self.engine.why, list(self.engine.remaining))
        p.journal.commit(p.clock.now(), "Ended", entries.encode(ended))

    def record(self, began: float) -> RunRecord:
        """What the run leaves."""
        p = self.parts
        session = p.side.session
        settings = {
            "fees": "as charged",
            **self.settings.of_a_backtest(),
            **self.simulated,
            "cash": p.side.starting_equity,
            "currency": session.ledger.base,
            "live": {
                **self.settings.of_the_connection(),
                "gateway": self.gateway_text,
                "account": p.adapter.ib.account.id or self.settings.account,
                "run_id": self.run_id,
                "server_version": p.adapter.ib.server_version,
                "why_ended": self.engine.why,
                "data": {
                    symbol: f"{kind}, trades from {source}"
                    for symbol, (kind, source, _) in p.adapter.ib.market.describe().items()
                },
            },
        }
        now = p.clock.now()
        parts = RunParts(
            strategy=self.strategy,
            source=self.source,
            settings=settings,
            session=session,
            journal=self.memory,
            start=p.side.began_ts or now,
            end=min(now, self.engine.until),
            events=p.side.events,
            symbols=self.named,
            starting_equity=p.side.starting_equity,
            fees_text="charged by the broker",
            risk_free=self.settings.risk_free,
            mode=self.settings.mode,
            notes=self._notes(),
            texts={**p.side.broker.texts, **self._ended_texts()},
            prices=p.side.prices.of_traded(session),
        )
        note_account(session.log, p.adapter.ib.account)
        return make_record(parts, keep_prices=True, began=began)

    def _ended_texts(self) -> dict[int, str]:
        """Words of orders that were cancelled because the run ended, as a backtest has them."""
        p = self.parts
        entries, text = p.adapter.ib.orders.entries, REASON_TEXT[Reason.RUN_ENDED]
        ended = [number for number in p.adapter.ended if entries[number].status is OrderStatus.CANCELLED]
        return {p.side.broker.number_of(number): text for number in ended}

    def _notes(self) -> list[Note]:
        notes = [*self.notes]
        notes += data_notes(self.parts.adapter.ib.market.describe(), delayed=self.settings.delayed)
        if self.settings.is_read_only:
            notes.append(Note("read_only", "the run was read-only: no order was sent"))
        roundings = self.parts.adapter.ib.orders.roundings
        if roundings:
            text = f"prices were put on the instrument's price step, the first: {'; '.join(roundings)}"
            notes.append(Note("rounded", text, count=len(roundings)))
        if self.engine.remaining:
            texts = "; ".join(self.remaining_texts())
            notes.append(Note("remaining", f"orders that still worked at the end: {texts}", Severity.WARNING))
        halted = self.parts.adapter.state.halted
        if halted:
            notes.append(Note("halted", f"halted: {halted}", Severity.WARNING))
        notes.append(Note("ended", f"ended: {self.engine.why}"))
        return notes


def new_run_id() -> str:
    """Eight characters that mark a run's orders."""
    return secrets.token_hex(4)


def make_run(
    strategy: Strategy,
    settings: LiveSettings,
    address: Address,
    *,
    out: Path,
    symbols: Sequence[str] = (),
    now: int | None = None,
    until: int = NEVER,
    source: Source | None = None,
    simulated: Mapping[str, Any] | None = None,
    named: Sequence[str] | None = None,
    confirm: Callable[[ConfirmRequest], None] | None = None,
    connect: Callable[[], IbGateway] | None = None,
    look: Callable[[], None] = lambda: None,
    locks: Path | None = None,
) -> LiveRun:
    """Make a run; nothing is connected yet. ``now`` (UTC ns) is the exchange's time where that is not this machine's.

    The account and client id are claimed for this process in ``locks`` (None: the user's state folder), unless
    ``simulated`` says that the gateway is this process's own, which nobody else trades at. An account that is not named
    is claimed when TWS has named it. Raises UserError for what the user can mend.
    """
    run_id = new_run_id()
    folder = out / folder_name(type(strategy).__name__, settings.mode.value)
    claim = Claim(locks, settings.client_id, folder, is_needed=not simulated)
    if settings.account:
        claim(settings.account)
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror}); name another folder with --out") from None
    present = time.time_ns() if now is None else now
    header = {
        "run_id": run_id,
        "strategy": type(strategy).__name__,
        "parameters": {name: str(value) for name, value in strategy.parameter_values.items()},
        "symbols": list(symbols),
        "mode": settings.mode.value,
        "gateway": str(address),
        "settings": settings.as_plain(),
        "code_hash": code_hash(type(strategy)),
        "created": time.time_ns(),
    }
    journal = Journal.create(folder / JOURNAL_FILE, header)
    try:
        run = assemble(
            strategy, settings, address, folder=folder, run_id=run_id, journal=journal, symbols=symbols, now=present,
            until=until, source=source, confirm=confirm, connect=connect, look=look, claim=claim,
        )  # fmt: skip
    except BaseException:
        journal.close()
        claim.release()
        remove_folder(folder)
        raise
    run.is_new = True
    run.simulated = simulated or {}
    run.named = symbols if named is None else named
    return run


class Claim:
    """Claims an account and client id for this process, once: the first account stays.

    ``run`` is the run's folder, ``locks`` that of such claims, None the user's state folder. Where not ``is_needed``, nothing is claimed.
    """

    def __init__(self, locks: Path | None, client_id: int, run: Path, *, is_needed: bool = True) -> None:
        self._locks = locks
        self._is_needed = is_needed
        self._client_id = client_id
        self._run = run
        self._lock: RunLock | None = None

    def __call__(self, account: str) -> None:
        """Take the account. Raises UserError where another process of this user trades it with the same client id."""
        if self._is_needed and self._lock is None:
            name, place = self._run.name, str(self._run.resolve())
            self._lock = RunLock(self._locks or state_folder(), account, self._client_id, run=name, place=place)

    def release(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def remove_folder(folder: Path) -> None:
    """Remove a run that came to nothing, and the folder of runs where it was the only one."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # other runs are in it
        folder.parent.rmdir()


def assemble(
    strategy: Strategy,
    settings: LiveSettings,
    address: Address,
    *,
    folder: Path,
    run_id: str,
    journal: Journal,
    symbols: Sequence[str],
    now: int,
    until: int,
    source: Source | None,
    confirm: Callable[[ConfirmRequest], None] | None,
    connect: Callable[[], IbGateway] | None,
    look: Callable[[], None],
    claim: Claim,
    first_order_id: int = 1,
) -> LiveRun:
    """Wire both halves over a journal that is open. ``first_order_id`` is above all that the journal knows."""
    day = 86_400 * NS_PER_S
    calendar = session_times(settings.calendar, now - DAYS_BEFORE * day, now + DAYS_AFTER * day)
    registry = Registry()
    inbox, asks = Inbox(), Asks()
    clock: SteppedClock | WallClock = SteppedClock() if settings.in_lockstep else WallClock(settings.speed, now)
    market = MarketSettings(
        calendar=calendar,
        tick_by_tick=settings.tick_lines,
        delayed_allowed=settings.delayed,
        lines=LineSettings(image_s=0.0) if settings.in_lockstep else LineSettings(),
        bars=BarSettings(grace_s=0.0) if settings.in_lockstep else BarSettings(),
    )
    link = LinkSettings(
        client_id=settings.client_id,
        account=settings.account,
        allows_live=settings.mode is Mode.LIVE,
        port_kind=address.kind,
        in_lockstep=settings.in_lockstep,
        messages_per_s=settings.messages_per_s,
        first_order_id=first_order_id,
        is_read_only=settings.is_read_only,
        speed=settings.speed,
    )
    ib = IbSession(run_id, registry, link, market, zone=settings.zone)
    currencies = _currencies(settings.guard)
    supervisor = Supervisor(settings.guard, registry, currencies, allow_short=strategy.allow_short, opens=calendar.open)

    def open_connection() -> IbGateway:
        gateway = IbGateway()
        seconds = RECONNECT_S if ib.server_version else CONNECT_S
        gateway.connect(address.host, address.port, settings.client_id, seconds)
        return gateway

    adapter = Adapter(
        connect=connect or open_connection, ib=ib, supervisor=supervisor, registry=registry, journal=journal,
        clock=clock, inbox=inbox, asked=asks, is_read_only=settings.is_read_only, claim=claim,
        day_end=DayEnds(calendar),
    )  # fmt: skip

    def wake() -> None:
        gateway = adapter.gateway
        if gateway is not None and not settings.in_lockstep:
            gateway.wake()

    side, memory = _strategy_side(strategy, settings, registry, calendar, currencies, asks, wake, symbols, confirm)
    parts = Parts(adapter, side, inbox, asks, journal, clock)
    engine = Engine(parts, until=until, cancels=settings.at_end is AtEnd.CANCEL, look=look)
    return LiveRun(
        strategy, settings, address, folder, run_id, parts, engine, symbols, calendar, memory, claim,
        began_ts=now, source=source or Source(),
    )  # fmt: skip


def _currencies(guard: GuardSettings) -> tuple[str, ...]:
    """Those that a run keeps books in, its base currency first."""
    floors = [name for name in guard.cash_floor if name != "BASE"]
    return tuple(dict.fromkeys([*COMMON_CURRENCIES, *floors]))


class DayEnds:
    """When orders for the day are over for certain: some hours after the close, with those outside regular hours."""

    AFTER_CLOSE_NS = 6 * 3600 * NS_PER_S

    def __init__(self, calendar: SessionTimes) -> None:
        self._closes = calendar.close

    def __call__(self, request: OrderRequest, decided: int) -> int:
        """The time (UTC ns) by which a day order that was decided then has ended; NEVER for an order that lasts."""
        at = bisect.bisect_left(self._closes, decided)
        if request.tif in (TimeInForce.GTC, TimeInForce.GTD) or at >= len(self._closes):
            return NEVER
        return self._closes[at] + self.AFTER_CLOSE_NS


def _strategy_side(
    strategy: Strategy,
    settings: LiveSettings,
    registry: Registry,
    calendar: SessionTimes,
    currencies: tuple[str, ...],
    asks: Asks,
    wake: Callable[[], None],
    symbols: Sequence[str],
    confirm: Callable[[ConfirmRequest], None] | None,
) -> tuple[StrategySide, MemoryJournal]:
    state = State(registry.most, len(currencies))
    ledger = Ledger(state, (), currencies)
    limits = _pre_trade_only(settings.guard)
    guard = Guard(limits, state, registry.instruments, currencies, allow_short=strategy.allow_short)
    broker = IbBroker(asks.post)
    policy = None if settings.confirm is LiveConfirm.ASK else ConfirmPolicy(settings.confirm.value)
    feed = IbFeed(
        registry, asks.post, calendar, currency=currencies[0], confirm=policy, ask_person=confirm,
        confirm_s=settings.confirm_s * (1.0 if settings.in_lockstep else settings.speed),
    )  # fmt: skip
    memory = MemoryJournal(state)
    session = Session(
        handlers=strategy.handlers(), feed=feed, broker=broker, guard=guard, ledger=ledger, journal=memory,
        calendar=calendar, seed=settings.seed,
    )  # fmt: skip
    side = StrategySide(session, broker, feed, registry, asks, wake, Sayings(session, broker, memory))
    strategy.bind(session, list(symbols))
    return side, memory


def _pre_trade_only(settings: GuardSettings) -> GuardSettings:
    """The limits that are judged on the strategy side too; thresholds are the account's guard's."""
    return dataclasses.replace(settings, max_drawdown=None, cash_floor={}, flatten=False)
