"""From a tape and settings to a server: what ``papertape sim`` and the pytest fixture have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.connection import Bounds
from gateway.drivers import AsFast, Driver, InLockstep, Paced
from gateway.fault_kinds import Kind
from gateway.lockstep import Lockstep
from gateway.market import Market
from gateway.order_faults import NO_FAULTS
from gateway.planned_faults import PlannedOrderFaults
from gateway.scenario import Scenario
from gateway.server import LOOPBACK, GatewayServer, ServerEvent, What
from gateway.settings import GatewaySettings
from gateway.store import Store
from gateway.tws import Tws
from papertape.core.errors import ConfigError, DataError
from papertape.core.series import Tape
from papertape.moments import iso_utc

MAX = "max"
"""The speed that is as fast as clients can be written to."""


def parse_speed(text: str | float) -> float | None:
    """Exchange seconds in a second of the wall clock, None for as fast as possible. Raises ConfigError."""
    if text == MAX:
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f'speed "{text}": a number as 1 or 10, or max, is needed') from None


def draw_scenario(seed: int, market: Market) -> Scenario:
    """The faults that a seed draws for a market, in the hours of its sessions."""
    sessions = list(zip(market.calendar.open, market.calendar.close, strict=True))
    return Scenario.from_seed(seed, market.start, market.end, sessions)


def make_driver(tws: Tws, speed: float | None, lockstep: Sequence[int] = (), deadline_s: float = 60.0) -> Driver:
    """What lets time pass: the wall clock, or with ``speed`` None the clients. Raises ConfigError."""
    if lockstep:
        if speed is not None:
            raise ConfigError("lockstep plays as fast as its clients answer; leave the speed out, or say max")
        return InLockstep(Lockstep(tws, lockstep), deadline_s)
    return AsFast() if speed is None else Paced(speed)


def make_server(
    tape: Tape,
    settings: GatewaySettings,
    *,
    speed: float | None = 1.0,
    start: int | None = None,
    end: int | None = None,
    host: str = LOOPBACK,
    port: int = 0,
    scenario: Scenario | None = None,
    seed: int | None = None,
    lockstep: Sequence[int] = (),
    deadline_s: float = 60.0,
    store: Path | None = None,
    hold: bool = True,
    bounds: Bounds | None = None,
    told: Callable[[ServerEvent], None] | None = None,
) -> GatewayServer:
    """A server that plays ``tape`` from ``start`` to ``end`` (UTC ns, inclusive; None: all of it).

    ``seed`` draws the faults where no ``scenario`` is given. ``deadline_s`` is how long (wall time) a client in
    ``lockstep`` may take for an answer; ``store`` is a file in which the account lasts over restarts: without a
    ``start`` the market then goes on where it was. ``hold`` begins the market
    with the first client. Raises ConfigError and DataError.
    """
    servers: list[GatewayServer] = []

    def tell_fault(text: str) -> None:
        servers[0].tell(What.FAULT, text)

    with contextlib.ExitStack() as opened:
        kept = None if store is None else opened.enter_context(Store.open(store, settings.account))
        market = (
            Market(tape, settings.calendar, start, end) if kept is None else _resumed(tape, settings, kept, start, end)
        )
        if scenario is None and seed is not None:
            scenario = draw_scenario(seed, market)
        faults = NO_FAULTS if scenario is None else PlannedOrderFaults(scenario, tell_fault)
        tws = Tws(settings, market, kept, faults=faults)
        driver = make_driver(tws, speed, lockstep, deadline_s)
        closed = opened.pop_all().close
    server = GatewayServer(
        tws,
        driver,
        host=host,
        port=port,
        scenario=scenario,
        hold=hold,
        bounds=bounds,
        told=told,
        closed=closed,
    )
    servers.append(server)
    return server


def _resumed(tape: Tape, settings: GatewaySettings, kept: Store, start: int | None, end: int | None) -> Market:
    """The market from where an account's memory left it, unless a start is given. Raises ConfigError."""
    saved = kept.load()
    if start is not None or saved is None:
        return Market(tape, settings.calendar, start, end)
    last = max((int(series.ts[-1]) for series in tape.series if len(series)), default=saved.ts)
    if saved.ts >= (last if end is None else min(end, last)):
        raise DataError(
            f"the account has come to {iso_utc(saved.ts)}, and the tape has nothing after that; "
            "play later data, or name another file",
            path=str(kept.path),
        )
    return Market(tape, settings.calendar, saved.ts + 1, end)


def rerun_line(scenario: Scenario) -> str:
    """One line with which the same faults are had again."""
    kinds = len({fault.kind for fault in scenario.faults})
    return f"{len(scenario.faults)} faults of {kinds} of {len(Kind)} kinds; the same again with {scenario.rerun}"
