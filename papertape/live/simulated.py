"""Paper trading without an account: a run on the simulated gateway that plays a tape, beside it in this process."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from backtests.outcome import source_of
from backtests.settings import Settings, moment
from brokers.ib.translate import is_paper_account
from gateway.scenario import Scenario
from gateway.settings import NO_RATES, GatewaySettings, Limits, backtest_settings
from gateway.threaded import SimulatedGateway, serve_in_thread
from papertape.calendar import session_times
from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S, SessionTimes
from papertape.core.requests import ConfirmRequest
from papertape.core.series import Tape
from papertape.core.timers import NEVER
from papertape.live.assembly import LiveRun, make_run
from papertape.live.settings import Address, LiveSettings
from strategies.base import Strategy

NO_LIMIT = 0


def paper_settings(settings: LiveSettings, *, speed: float | None = None) -> LiveSettings:
    """Settings for the simulated gateway: in lockstep, or ``speed`` times as fast as the clock.

    In lockstep exchange time stands still while requests are answered, so rates have no meaning there; and a tape's
    data are never stale.
    """
    if speed is not None:
        return replace(settings, in_lockstep=False, speed=speed)
    return replace(settings, in_lockstep=True, messages_per_s=NO_LIMIT)


def serve_tape(
    tape: Tape,
    simulated: Settings,
    settings: LiveSettings,
    *,
    allow_short: bool,
    scenario: Scenario | None = None,
    store: Path | None = None,
) -> SimulatedGateway:
    """A simulated gateway for one paper run, with the account and the fill model of a backtest's settings."""
    zone = session_times(simulated.calendar, *tape_span(tape)).zone
    start = None if simulated.start is None else moment(simulated.start, zone, name="start")
    end = None if simulated.end is None else moment(simulated.end, zone, name="end", is_end=True)
    account = backtest_settings(
        cash={simulated.currency: simulated.cash, **simulated.balances},
        fees=simulated.fee_model(),
        rules=simulated.fill_rules(allow_short=allow_short),
        calendar=simulated.calendar,
        account=paper_account(settings.account),
        limits=NO_RATES if settings.in_lockstep else Limits(),
    )
    return serve_in_thread(
        tape,
        replace(account, zone=settings.zone, synthetic=tape.synthetic),
        speed=None if settings.in_lockstep else settings.speed,
        lockstep=(settings.client_id,) if settings.in_lockstep else (),
        start=start,
        end=end,
        scenario=scenario,
        store=store,
        deadline_s=math.inf,
    )


def paper_account(wanted: str) -> str:
    """The id of the simulated account: the one that is named, as it may stand in a file for TWS. ConfigError if live."""
    if not wanted:
        return GatewaySettings().account
    if not is_paper_account(wanted):
        raise ConfigError(
            f"account {wanted} is no paper account: these begin with D; leave --account out to simulate one"
        )
    return wanted


def tape_span(tape: Tape) -> tuple[int, int]:
    """First and last time of a tape (UTC ns); a bar begins at its open."""
    held = [series for series in tape.series if len(series)]
    first = min(int((series.ts if series.start is None else series.start)[0]) for series in held)
    return first, max(int(series.ts[-1]) for series in held)


def first_session_of(tape: Tape, simulated: Settings) -> Settings:
    """The settings with the close of the tape's first session as their end: a first look need not take five days."""
    first, _ = tape_span(tape)
    calendar = session_times(simulated.calendar, first, first)
    close = next((each for each in calendar.close if each >= first), None)
    if close is None:
        return simulated
    return replace(simulated, end=dt.datetime.fromtimestamp(close / NS_PER_S, dt.UTC).isoformat())


def end_of(gateway: SimulatedGateway, calendar: SessionTimes) -> int:
    """When a run on it ends: where its market does; without an ``end``, at the close of its last event's session."""
    last = gateway.last_ts
    if not gateway.server.tws.market.is_whole:
        return last
    for opening, closing in zip(calendar.open, calendar.close, strict=True):
        if opening <= last <= closing:
            return closing
    return last


def paper_run(
    strategy: Strategy,
    tape: Tape,
    gateway: SimulatedGateway,
    settings: LiveSettings,
    simulated: Settings,
    *,
    out: Path,
    symbols: Sequence[str] = (),
    until: int = NEVER,
    confirm: Callable[[ConfirmRequest], None] | None = None,
    look: Callable[[], None] = lambda: None,
) -> LiveRun:
    """A run on a simulated gateway that serves; it follows every symbol of the tape where none is named."""
    end = end_of(gateway, gateway.calendar)
    run = make_run(
        strategy,
        settings,
        Address(gateway.host, gateway.port),
        out=out,
        symbols=list(symbols) or list(gateway.symbols),
        now=gateway.first_ts,
        until=min(until, end),
        source=replace(source_of(tape), actions=()),
        simulated={**simulated.as_plain(), **settings.of_a_backtest()},
        named=symbols,
        confirm=confirm,
        look=look,
    )
    if end <= until:
        run.engine.why_until = "the tape is over"
    return run
