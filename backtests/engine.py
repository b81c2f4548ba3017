"""One run of one strategy over one tape: wires a session to a recorded feed and the simulated broker, drives it."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from backtests.outcome import RunParts, make_record, source_of
from backtests.settings import Engine, Settings, milliseconds, moment
from brokers.sim import SimBroker
from feeds.playback import RecordedFeed
from feeds.rates import rate_at
from feeds.scans import ScanSource
from feeds.streams import CHUNK
from papertape.calendar import session_times
from papertape.core.errors import ConfigError, DataError, did_you_mean
from papertape.core.guard import Guard
from papertape.core.ledger import Ledger
from papertape.core.model import Instrument, SessionTimes
from papertape.core.ports import WakeUp
from papertape.core.record import RunRecord
from papertape.core.series import Tape
from papertape.core.session import Session
from papertape.core.state import FIRST_BUCKET_NS, MAX_BUCKETS, State
from papertape.journal import MemoryJournal
from strategies.base import Strategy

if TYPE_CHECKING:
    from backtests.cerebro import CerebroEngine

Progress = Callable[[float, int], None]
"""Called with the part of the tape that was played (0 to 1) and the number of events that makes."""


def drive(session: Session, wakes: Iterable[WakeUp]) -> None:
    """Call each handler in turn, in this thread; a handler that awaits is given back to the session."""
    for handler, event in wakes:
        result = handler(event)
        if result is not None and inspect.iscoroutine(result):
            session.adopt(result)


def run_tape(
    strategy: Strategy,
    tape: Tape,
    settings: Settings,
    *,
    symbols: Sequence[str] = (),
    progress: Progress | None = None,
    keep_prices: bool = False,
    chunk: int | Callable[[], int] = CHUNK,
) -> RunRecord:
    """Run a strategy over a tape. ``symbols`` narrows what ``strategy.symbols`` holds, not what can be traded.

    The same tape, strategy and settings give a byte-identical journal, whatever ``chunk`` is.
    """
    began = time.perf_counter()
    instruments = _instruments(tape)
    known = _known(instruments, symbols)
    other = None if settings.engine is Engine.PAPERTAPE else cerebro_engine(settings, tape)
    first, last = _span(tape)
    calendar = session_times(settings.calendar, first, last)
    start = first if settings.start is None else moment(settings.start, calendar.zone, name="start")
    end = last if settings.end is None else moment(settings.end, calendar.zone, name="end", is_end=True)
    events = count_events(tape, start, end)
    if start > end or not events:
        raise ConfigError("the tape has no event between start and end; it spans " + _span_text(first, last))
    scan_source = _scan_source(settings)
    feed = RecordedFeed(
        tape, instruments, calendar, start, end, scan_source=scan_source, confirm=settings.confirm, chunk=chunk
    )
    currencies = tuple(dict.fromkeys([settings.currency, *settings.balances, *(each.currency for each in instruments)]))
    state = State(len(instruments), len(currencies))
    ledger = Ledger(state, instruments, currencies)
    rates = {name: rate_at(feed.view, name, settings.currency, start) for name in currencies}
    ledger.open({settings.currency: settings.cash, **settings.balances}, rates)
    guard = Guard(settings.guard, state, tuple(instruments), currencies, allow_short=strategy.allow_short)
    guard.arm()
    state.account["bucket_ns"] = bucket_width_ns(calendar, max(start, first), min(end, last))
    broker = _sim_broker(settings, strategy) if other is None else other.broker(allow_short=strategy.allow_short)
    journal = MemoryJournal(state)
    session = Session(
        handlers=strategy.handlers(),
        feed=feed,
        broker=broker,
        guard=guard,
        ledger=ledger,
        journal=journal,
        calendar=calendar,
        actions=[each for each in tape.actions if each.ts <= end],
        request_latency_ns=milliseconds(settings.request_latency, "request latency"),
        seed=settings.seed,
    )
    feed.available = lambda: float(state.cash[0])
    strategy.bind(session, list(symbols) or known)
    if settings.end is None:
        end = _end_of_day(session, last)
    with collecting_only_new():
        (play if other is None else other.play)(session, feed, start, end, progress, events)
    if session.ending:
        end = session.now
    if progress is not None:
        progress(1.0, events)
    parts = RunParts(
        strategy=strategy, source=source_of(tape), settings=settings.as_plain(), session=session, journal=journal,
        start=start, end=end, events=events, symbols=symbols, starting_equity=_starting_equity(settings, ledger),
        fees_text=broker.fees.describe(), risk_free=settings.risk_free, notes=broker.notes, texts=session.desk.texts,
    )  # fmt: skip
    record = make_record(parts, keep_prices=keep_prices, began=began)
    return record if other is None else other.add_to(record)


def _scan_source(settings: Settings) -> ScanSource:
    return ScanSource.DERIVED if settings.scans == "derived" else ScanSource.RECORDED


def _sim_broker(settings: Settings, strategy: Strategy) -> SimBroker:
    return SimBroker(settings.fee_model(), settings.fill_rules(allow_short=strategy.allow_short))


def _known(instruments: Sequence[Instrument], symbols: Sequence[str]) -> list[str]:
    """The tape's symbols. ConfigError where ``symbols`` names one that it does not have."""
    known = [each.symbol for each in instruments]
    for name in symbols:
        if name not in known:
            raise ConfigError(f'the tape has no "{name}"{did_you_mean(name, known)}')
    return known


def check_engine(settings: Settings) -> None:
    """ConfigError where the engine that the settings name is not installed, or an analyzer of it is unknown."""
    if settings.engine is Engine.PAPERTAPE:
        return
    if importlib.util.find_spec("backtrader") is None:
        raise ConfigError("engine backtrader needs its package: pip install '.[backtrader]'")
    from backtests.cerebro_analyzers import chosen_analyzers

    chosen_analyzers(settings.analyzers)


def cerebro_engine(settings: Settings, tape: Tape) -> CerebroEngine:
    """The engine that is backtrader. ConfigError where it is not installed, or can not do what the settings ask for."""
    check_engine(settings)
    from backtests.cerebro import CerebroEngine

    return CerebroEngine(settings, tape, drive)


def _starting_equity(settings: Settings, ledger: Ledger) -> float:
    """What the run began with, in base currency."""
    rates = ledger.state.rates
    return settings.cash + sum(
        amount * float(rates[ledger.currencies.index(name)]) for name, amount in settings.balances.items()
    )


def bucket_width_ns(calendar: SessionTimes, start: int, end: int) -> int:
    """Width of equity's buckets to begin with, so that the sessions from ``start`` to ``end`` fill a quarter of the room.

    Each bucket costs time when it is closed, so none is made that would be merged later. A function of the window
    alone: where the tape is cut into batches changes nothing.
    """
    times = zip(calendar.open, calendar.close, strict=True)
    open_ns = sum(max(0, min(closing, end) - max(opening, start)) for opening, closing in times)
    width = FIRST_BUCKET_NS
    while open_ns > width * (MAX_BUCKETS // 4):
        width *= 2
    return width


_FROZEN_AT_FIRST = gc.get_freeze_count()
"""Objects that are frozen when this is imported: Python 3.12 freezes some of its own."""


@contextlib.contextmanager
def collecting_only_new() -> Iterator[None]:
    """Garbage collection leaves alone what exists already: Numba alone is half a million objects to walk, each time.

    Does nothing where the user's program has frozen objects itself, since they could not be told apart afterwards.
    """
    if gc.get_freeze_count() > _FROZEN_AT_FIRST:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def play(
    session: Session, feed: RecordedFeed, start: int, end: int, progress: Progress | None = None, events: int = 0
) -> None:
    """Drive a session over a recorded feed from ``start`` to ``end`` (UTC ns)."""
    drive(session, session.begin(start - 1))
    told = time.perf_counter()
    while not session.ending:
        batch = feed.next()
        if batch is not None:
            drive(session, session.step(batch))
            feed.consumed(batch, session.consumed)
        elif session.timers.due <= end:
            drive(session, session.pass_until(session.timers.due))
        else:
            break
        if progress is not None and time.perf_counter() - told > 0.1:
            told = time.perf_counter()
            part = min(1.0, max(0.0, (session.now - start) / max(end - start, 1)))
            progress(part, int(part * events))
    drive(session, session.finish(session.now if session.ending else end))


def _instruments(tape: Tape) -> list[Instrument]:
    """The tape's instruments, as the reference data know them, in the order of the tape."""
    return [tape.instruments.get(name) or Instrument(name) for name in tape.symbols]


def _span(tape: Tape) -> tuple[int, int]:
    """First and last time of the tape; a bar begins at its open."""
    held = [series for series in tape.series if len(series)]
    if not held:
        raise DataError("the tape holds no events")
    first = min(int((series.ts if series.start is None else series.start)[0]) for series in held)
    return first, max(int(series.ts[-1]) for series in held)


def _span_text(first: int, last: int) -> str:
    return f"{np.datetime64(first, 'ns')} to {np.datetime64(last, 'ns')} UTC"


def count_events(tape: Tape, start: int, end: int) -> int:
    """Number of the tape's events from ``start`` to ``end``, both included."""
    return sum(
        int(np.searchsorted(series.ts, end, "right") - np.searchsorted(series.ts, start, "left"))
        for series in tape.series
    )


def _end_of_day(session: Session, last: int) -> int:
    """The last event's session is played to its close, so that its day orders and timers end as they would."""
    for opening, closing in zip(session.calendar.open, session.calendar.close, strict=True):
        if opening <= last <= closing:
            return closing
    return last
