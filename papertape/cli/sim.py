"""``papertape sim``: a simulated TWS that plays a tape to any client of the TWS API."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from papertape.cli import options as o
from papertape.core.errors import ConfigError

if TYPE_CHECKING:
    from gateway.scenario import Scenario
    from gateway.server import GatewayServer, ServerEvent
    from gateway.settings import GatewaySettings
    from papertape.core.series import Tape

_PLAY = "Play"
_SERVE = "Server"
_ACCOUNT = "Account and fills"
_FAULTS = "Faults"
MARGIN = 2.0
CASH = 1_000_000.0
SPEED = "1"

Speed = Annotated[
    str | None,
    typer.Option(
        metavar="1|10|max", rich_help_panel=_PLAY, help="Times as fast as the clock (default 1); max: as clients read."
    ),
]
Lockstep = Annotated[
    str | None,
    typer.Option(metavar="ID,...", rich_help_panel=_PLAY, help="Wait for these clients after each step (with max)."),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", rich_help_panel=_PLAY, help="Begin at once, not with the first client.")
]
StopAtEnd = Annotated[
    bool, typer.Option("--stop-at-end", rich_help_panel=_PLAY, help="End with the tape, not with Ctrl-C.")
]
Port = Annotated[int, typer.Option(rich_help_panel=_SERVE, help="Where it listens; 0: a free port.")]
Host = Annotated[str, typer.Option(metavar="ADDRESS", rich_help_panel=_SERVE, help="Of this machine.")]
Expose = Annotated[
    bool, typer.Option("--expose", rich_help_panel=_SERVE, help="Needed for an address that others can reach.")
]
ServerVersion = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_SERVE, help="Newest to offer, 157 to 226; default 200.")
]
Account = Annotated[str, typer.Option(metavar="ID", rich_help_panel=_ACCOUNT, help="As clients see it.")]
Cash = Annotated[
    list[str] | None,
    typer.Option(metavar="[USD=]AMOUNT", rich_help_panel=_ACCOUNT, help="At the start; repeat for more currencies."),
]
Margin = Annotated[
    float, typer.Option(metavar="X", rich_help_panel=_ACCOUNT, help="Buying power / net liquidation; 1: cash account.")
]
Permission = Annotated[
    Literal["live", "delayed", "none"], typer.Option(rich_help_panel=_ACCOUNT, help="Market data that it may see.")
]
ReadOnly = Annotated[bool, typer.Option("--read-only", rich_help_panel=_ACCOUNT, help="No orders, as TWS can be set.")]
MasterClient = Annotated[
    int | None, typer.Option(metavar="ID", rich_help_panel=_ACCOUNT, help="This client hears of all orders.")
]
StoreFile = Annotated[
    str | None,
    typer.Option("--store", metavar="FILE", rich_help_panel=_ACCOUNT, help="Where the account lasts over restarts."),
]
ScenarioFile = Annotated[
    str | None, typer.Option("--scenario", metavar="FILE", rich_help_panel=_FAULTS, help="Faults, as a TOML file.")
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_FAULTS, help="Draws faults, always the same ones.")
]
PrintScenario = Annotated[
    bool, typer.Option("--print-scenario", rich_help_panel=_FAULTS, help="Print the faults as TOML and end.")
]


def sim(
    context: typer.Context,
    data: o.Data = None,
    speed: Speed = None,
    start: o.Start = None,
    end: o.End = None,
    lockstep: Lockstep = None,
    no_wait: NoWait = False,
    stop_at_end: StopAtEnd = False,
    host: Host = "127.0.0.1",
    port: Port = 7497,
    expose: Expose = False,
    server_version: ServerVersion = None,
    account: Account = "DU1234567",
    cash: Cash = None,
    margin: Margin = MARGIN,
    permission: Permission = "live",
    read_only: ReadOnly = False,
    master_client: MasterClient = None,
    store: StoreFile = None,
    fees: o.Fees = None,
    slippage: o.Slippage = None,
    latency: o.Latency = None,
    limit_fill: o.LimitFill = None,
    volume_share: o.VolumeShare = None,
    scenario: ScenarioFile = None,
    seed: Seed = None,
    print_scenario: PrintScenario = False,
    tz: o.Zone = None,
    bar_stamp: o.BarStamp = None,
    bar_interval_s: o.BarInterval = None,
    signed: o.Signed = None,
    on_bad: o.OnBad = None,
    delimiter: o.Delimiter = None,
    conflate: o.Conflate = None,
    calendar: o.Calendar = None,
    no_cache: o.NoCache = False,
) -> int:
    """Play a tape to clients of the TWS API.

    Any program that talks to TWS can connect to it: it keeps a paper account and fills orders from the tape. Without
    --data it plays the sample in ./sample, which is generated where it is missing.
    """
    server, tape_zone = _server(context.params)
    if print_scenario:
        from papertape.cli.text import emit

        emit("# no faults" if server.scenario is None else server.scenario.as_toml())
        return 0
    speed_text = "lockstep" if lockstep else speed or SPEED
    asyncio.run(_serve(server, speed_text=speed_text, zone=tape_zone, stop_at_end=stop_at_end))
    return 0


def _server(given: dict[str, Any]) -> tuple[GatewayServer, str]:
    """The server that the options describe, and the exchange's zone. Raises ConfigError and DataError."""
    from gateway.assembly import MAX, make_server, parse_speed

    _check_address(given["host"], given["port"], expose=given["expose"])
    ids = _client_ids(given["lockstep"])
    speed = parse_speed(given["speed"] or (MAX if ids else SPEED))
    settings = _settings(given)
    scenario = _scenario(given["scenario"], given["seed"])
    tape = _tape(given)
    zone = _zone(settings, tape)
    server = make_server(
        tape,
        replace(settings, synthetic=tape.synthetic),
        speed=speed,
        start=_moment(given["start"], zone, "start"),
        end=_moment(given["end"], zone, "end"),
        host=given["host"],
        port=given["port"],
        scenario=scenario,
        seed=given["seed"],
        lockstep=ids,
        store=None if given["store"] is None else Path(given["store"]),
        hold=not given["no_wait"],
        told=lambda event: _say(event, zone),
    )
    return server, zone


# -- options -------------------------------------------------------------------------------------------------------


def _check_address(host: str, port: int, *, expose: bool) -> None:
    """Refuse what cannot be meant, and an address that others can reach unless that is spelled out."""
    from papertape.cli.text import emit, warn

    if not 0 <= port <= 65_535:
        raise ConfigError(f"--port {port}: 0 (a free one) to 65535 is needed")
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ConfigError(f'--host "{host}": an IP address of this machine is needed, as 127.0.0.1') from None
    if is_loopback:
        return
    if not expose:
        raise ConfigError(f"--host {host} lets others trade in this account; add --expose if that is wanted")
    emit(f"{warn('warning:')} {host} can be reached by others; the TWS API knows no passwords", to_stderr=True)


def _client_ids(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise ConfigError(f'--lockstep "{text}": client ids with commas between them are needed, as 1,2')
    return tuple(int(part) for part in parts)


def _cash(texts: Sequence[str]) -> dict[str, float]:
    """Currency -> amount; a bare amount is USD."""
    found: dict[str, float] = {}
    for text in texts:
        name, sign, amount = text.rpartition("=")
        currency = name.strip().upper() if sign else "USD"
        try:
            value = float(amount)
        except ValueError:
            value = float("nan")
        if not abs(value) < float("inf") or len(currency) != 3 or not currency.isalpha():
            raise ConfigError(f'--cash "{text}": an amount is needed, as 50000 or EUR=50000')
        if currency in found:
            raise ConfigError(f"--cash {currency} is given twice; give it once")
        found[currency] = value
    return found or {"USD": CASH}


def _settings(given: dict[str, Any]) -> GatewaySettings:
    """The gateway's settings, every value checked."""
    from backtests.settings import Settings
    from gateway.protocol.protobuf import check_server_version
    from gateway.settings import LAST_SERVER_VERSION, DataPermission, GatewaySettings

    version = given["server_version"]
    if version is None:
        version = LAST_SERVER_VERSION
    check_server_version(version, "--server-version")
    account = given["account"]
    if not (account.isascii() and account.isalnum() and len(account) <= 20):
        raise ConfigError(f'--account "{account}": letters and digits are needed, as DU1234567')
    names = ("fees", "slippage", "latency", "limit_fill", "volume_share", "calendar")
    fills = Settings(margin=given["margin"], **{name: given[name] for name in names if given[name] is not None})
    return GatewaySettings(
        account=account,
        cash=_cash(given["cash"] or ()),
        fees=fills.fee_model(),
        rules=fills.fill_rules(allow_short=fills.margin > 1.0),
        calendar=fills.calendar,
        server_version=version,
        read_only=given["read_only"],
        master_client=given["master_client"],
        permission=DataPermission(given["permission"]),
    )


def _scenario(file: str | None, seed: int | None) -> Scenario | None:
    """The scenario of a file; a seed beside it is of what is random in it."""
    from gateway.scenario import Scenario, with_seed

    if seed is not None and not 0 <= seed < 2**63:
        raise ConfigError(f"--seed {seed}: a whole number from 0 is needed")
    if file is None:
        return None
    found = Scenario.read(Path(file))
    return found if seed is None else with_seed(found, seed)


def _tape(given: dict[str, Any]) -> Tape:
    """The tape that the options name; the sample where they name none."""
    from backtests.settings import milliseconds
    from feeds.load import DataOptions, load_tape
    from papertape.cli.progress import Bar, announce_compiling

    data = list(given["data"] or ()) or [sample_folder()]
    if "" in data:
        raise ConfigError('data "": a path is needed; a variable of the shell may be empty')
    names = ("tz", "bar_stamp", "bar_interval_s", "on_bad", "delimiter", "calendar")
    options = {name: given[name] for name in names if given[name] is not None}
    if given["conflate"] is not None:
        options["conflate_ns"] = milliseconds(given["conflate"], "conflate")
    if given["signed"] is not None:
        options["signed"] = [part.strip() for part in given["signed"].split(",") if part.strip()]
    announce_compiling()
    with Bar("reading", "bytes") as bar:
        return load_tape(
            data,
            DataOptions(cache=not given["no_cache"], **options),
            progress=lambda done, of: bar.show(done / max(of, 1), done),
        )


def sample_folder() -> str:
    """The sample's folder; made where it is missing."""
    from feeds.tape_writer import MANIFEST
    from papertape.cli.demo import DAYS, SAMPLE, SEED, SYMBOLS
    from papertape.cli.sample import make_sample, sample_lines
    from papertape.cli.text import emit

    if not (Path(SAMPLE) / MANIFEST).is_file():
        emit("\n".join(sample_lines(make_sample(Path(SAMPLE), SYMBOLS, DAYS, SEED))[:-2]) + "\n")
    return SAMPLE


def _zone(settings: GatewaySettings, tape: Tape) -> str:
    """The exchange's zone."""
    from papertape.calendar import session_times

    ends = [int(series.ts[-1]) for series in tape.series if len(series)]
    return session_times(settings.calendar, min(ends, default=0), max(ends, default=0)).zone


def _moment(text: str | None, zone: str, name: str) -> int | None:
    from backtests.settings import moment

    return None if text is None else moment(text, zone, name=f"--{name}", is_end=name == "end")


# -- serving -------------------------------------------------------------------------------------------------------


async def _serve(server: GatewayServer, *, speed_text: str, zone: str, stop_at_end: bool) -> None:
    """Serve until the tape's end or a signal; what it said is printed as it happens."""
    from papertape.cli.text import emit

    loop = asyncio.get_running_loop()
    async with server:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C then interrupts the program
                loop.add_signal_handler(number, server.stop)
        emit("\n".join(_opening_lines(server, speed_text, zone)))
        await server.run(stop_at_end=stop_at_end)
    emit("stopped")


def _opening_lines(server: GatewayServer, speed_text: str, zone: str) -> list[str]:
    """What is played, to whom, and where."""
    from gateway.assembly import rerun_line
    from papertape.cli.text import clean, heading, warn
    from papertape.moments import time_text

    tws, settings = server.tws, server.tws.settings
    market = tws.market
    synthetic = f"  {warn('SYNTHETIC')}" if settings.synthetic else ""
    cash = ", ".join(f"{currency} {amount:,.2f}" for currency, amount in settings.cash.items())
    speeds = {"max": "as fast as clients read", "lockstep": "in lockstep with its clients"}
    pairs = [
        ("tape", f"{len(market.instruments):,} instruments, {time_text(market.start, zone)}"),
        ("to", time_text(market.end, zone)),
        ("speed", speeds.get(speed_text, f"{speed_text} times the clock")),
        ("begins", "with the first client" if server.hold else "now"),
        ("account", f"{settings.account}, {cash}"),
        ("market data", settings.permission.value),
        ("listening", f"{server.host} port {server.port}, server version {settings.server_version}"),
    ]
    if settings.read_only:
        pairs.append(("orders", "none: read-only"))
    width = max(len(label) for label, _ in pairs)
    lines = [
        f"{heading('Simulated TWS')}{synthetic}",
        *(f"  {label:<{width}}  {clean(value)}" for label, value in pairs),
    ]
    if server.scenario is not None:
        lines.append(f"  {'scenario':<{width}}  {clean(rerun_line(server.scenario))}")
    return [*lines, "", "Ctrl-C ends it", ""]


_STYLES = {"fault": "yellow", "error": "red", "fill": "green"}


def _say(event: ServerEvent, zone: str) -> None:
    """Print one line of what happened, in exchange time."""
    from papertape.cli.text import clean, emit
    from papertape.moments import clock_text

    what = typer.style(f"{event.what:<6}", fg=_STYLES.get(event.what.value))
    emit(f"{clock_text(event.ts, zone)}  {what}  {clean(event.text)}")
