"""From a tape and settings to a server: what ``papertape sim`` and the pytest fixture have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from gateway.tws import Tws
from papertape.core.errors import ConfigError
from papertape.core.series import Tape

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
    hold: bool = True,
    bounds: Bounds | None = None,
    told: Callable[[ServerEvent], None] | None = None,
) -> GatewayServer:
    """A server that plays ``tape`` from ``start`` to ``end`` (UTC ns, inclusive).

    ``seed`` draws the faults where no ``scenario`` is given. ``deadline_s`` is how long (wall time) a client in
    ``lockstep`` may take for an answer; ``hold`` begins the market with the first client. Raises ConfigError.
    """
    market = Market(tape, settings.calendar, start, end)
    if scenario is None and seed is not None:
        scenario = draw_scenario(seed, market)
    servers: list[GatewayServer] = []

    def tell_fault(text: str) -> None:
        servers[0].tell(What.FAULT, text)

    faults = NO_FAULTS if scenario is None else PlannedOrderFaults(scenario, tell_fault)
    tws = Tws(settings, market, faults=faults)
    driver = make_driver(tws, speed, lockstep, deadline_s)
    server = GatewayServer(
        tws, driver, host=host, port=port, scenario=scenario, hold=hold, bounds=bounds, told=told
    )  # fmt: skip
    servers.append(server)
    return server


def rerun_line(scenario: Scenario) -> str:
    """One line with which the same faults are had again."""
    kinds = len({fault.kind for fault in scenario.faults})
    return f"{len(scenario.faults)} faults of {kinds} of {len(Kind)} kinds; the same again with {scenario.rerun}"
