"""What ``papertape paper`` and ``papertape live`` have in common: from options to a run that trades, shown and saved."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from papertape.cli.backtest import GUARD_TRIPPED, Job, given_options, make_strategy, prepare
from papertape.core.errors import ConfigError, PeerError, UserError
from papertape.core.model import Mode
from papertape.core.timers import NEVER

if TYPE_CHECKING:
    from gateway.threaded import SimulatedGateway
    from papertape.cli.questions import Questions
    from papertape.config import BacktestConfig
    from papertape.core.series import Tape
    from papertape.live.assembly import LiveRun
    from papertape.live.settings import LiveSettings
    from papertape.runs import Run
    from strategies.base import Strategy

SIM = "sim"
_LIVE_NAMES = {
    "gateway": "gateway", "account": "account", "client_id": "client_id", "duration": "duration", "until": "until",
    "confirm": "confirm", "read_only": "read_only", "record": "record", "notify": "notify", "trades": "trades",
    "tick_by_tick": "tick_by_tick", "delayed": "delayed", "at_end": "at_end", "speed": "speed", "tws_zone": "zone",
    "arm": "arm",
}  # fmt: skip
"""Options -> their keys in the section ``live``."""
_LIVE_GUARD = {"disconnect": "disconnect", "scope": "scope", "stale_s": "stale_s"}
_ONLY_HERE = ("strategy", "plain", "as_json", "resume", "scenario", "write_arm", "flatten_at_once")


@dataclass(frozen=True, slots=True)
class Trading:
    """What is to be run. ``job`` has the strategy and, for the simulated gateway, the tape and the account."""

    mode: Mode
    job: Job
    config: BacktestConfig
    settings: LiveSettings
    is_plain: bool
    as_json: bool
    resume: str | None
    scenario: str | None


def read_options(mode: Mode, strategy: str, values: Mapping[str, Any]) -> Trading:
    """The configuration of a live run from its options, the environment and a TOML file. Raises ConfigError."""
    from papertape.config import configure

    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    guard: dict[str, Any] = {}
    for name, value in values.items():
        is_given = not (value is None or value is False or value in ((), [])) or (name == "delayed" and value is False)
        if name in _LIVE_NAMES:
            if is_given:
                own[_LIVE_NAMES[name]] = value
        elif name in _LIVE_GUARD:
            if is_given:
                guard[_LIVE_GUARD[name]] = value
        elif name not in _ONLY_HERE:
            rest[name] = value
    if values.get("flatten_at_once"):
        guard["flatten_confirmed"] = False
    given = given_options(rest)
    if own:
        given["live"] = own
    if guard:
        given.setdefault("guard", {}).update(guard)
    file = Path(strategy) if strategy.endswith(".toml") else None
    if file is None:
        given["strategy"] = strategy
    config = configure(given, file)
    if config.grid:
        raise ConfigError("a grid is for backtests; set one value of each parameter with --set")
    is_simulated = mode is Mode.PAPER and (config.live.gateway or SIM) == SIM
    data = config.data if config.data or not is_simulated else [_sample()]
    job = prepare(replace(config, data=data or ["-"]))
    return Trading(
        mode, job, config, _settings(mode, config), bool(values.get("plain")), bool(values.get("as_json")),
        values.get("resume"), values.get("scenario"),
    )  # fmt: skip


def _sample() -> str:
    from papertape.cli.sim import sample_folder

    return sample_folder()


def _settings(mode: Mode, config: BacktestConfig) -> LiveSettings:
    """The settings that do not depend on where TWS is. Raises ConfigError."""
    from backtests.settings import guard_settings, member
    from papertape.live.settings import AtEnd, LiveConfirm, LiveSettings, TradesFrom

    live = config.live
    limits = {name: getattr(config.guard, name) for name in config.guard.__dataclass_fields__}
    confirm = live.confirm or config.confirm or LiveConfirm.IF_AFFORDABLE
    chosen: dict[str, Any] = {
        "account": live.account,
        "client_id": live.client_id,
        "calendar": config.calendar,
        "tick_by_tick": live.tick_by_tick,
        "delayed": (mode is Mode.PAPER) if live.delayed is None else live.delayed,
        "is_read_only": live.read_only,
        "risk_free": config.risk_free,
        "seed": config.seed,
        "zone": live.zone,
    }
    return LiveSettings(
        mode=mode,
        guard=guard_settings({name: value for name, value in limits.items() if value is not None}),
        confirm=member(LiveConfirm, confirm, "confirm"),
        trades=member(TradesFrom, live.trades or TradesFrom.AUTO, "trades"),
        at_end=member(AtEnd, live.at_end or AtEnd.CANCEL, "at_end"),
        **{name: value for name, value in chosen.items() if value is not None},
    )


def end_time(trading: Trading, now: int, zone: str) -> int:
    """When the run is to end (UTC ns), by ``--duration`` or ``--until``. Raises ConfigError."""
    import datetime as dt
    from zoneinfo import ZoneInfo

    from backtests.settings import moment
    from papertape.core.requests import duration

    live = trading.config.live
    if live.duration is not None and live.until is not None:
        raise ConfigError("--duration and --until say the same thing twice; give one")
    if live.duration is not None:
        length = duration(live.duration)
        if not length.ns:
            raise ConfigError(f'--duration "{live.duration}": a length as 30m or 2h is needed')
        return now + length.ns
    if live.until is None:
        return NEVER
    text = str(live.until)
    if len(text) <= 8:
        today = dt.datetime.fromtimestamp(now / 1e9, ZoneInfo(zone)).date()
        text = f"{today}T{text.zfill(5)}"
    until = moment(text, zone, name="until")
    if until <= now:
        raise ConfigError(f'--until "{live.until}": that is past')
    return until


def trade(trading: Trading) -> int:
    """Run it and print what came of it; returns the exit status."""
    from papertape.cli.strategy_source import load_strategy

    strategy = make_strategy(load_strategy(trading.job.strategy), trading.job.parameters)
    if trading.mode is Mode.PAPER and (trading.config.live.gateway or SIM) == SIM:
        run = _on_simulated(trading, strategy)
    else:
        run = _on_tws(trading, strategy)
    from papertape.cli.backtest import show_run

    show_run(run, as_json=trading.as_json)
    return GUARD_TRIPPED if run.record.guard_tripped else 0


def _on_simulated(trading: Trading, strategy: Strategy) -> Run:
    """A paper run on the simulated gateway, which is started for it in this process."""
    from backtests.run import prepared
    from gateway.assembly import parse_speed
    from gateway.scenario import Scenario
    from papertape.cli.backtest import load
    from papertape.cli.text import emit
    from papertape.live.simulated import paper_run, paper_settings, serve_tape

    speed = trading.config.live.speed
    settings = paper_settings(trading.settings, speed=None if speed in (None, "max") else parse_speed(str(speed)))
    simulated, _ = prepared(trading.job.guard, trading.job.options)
    questions = _questions(trading)
    tape = load(trading.job)
    scenario = None if trading.scenario is None else Scenario.read(Path(trading.scenario))
    with serve_tape(tape, simulated, settings, allow_short=strategy.allow_short, scenario=scenario) as gateway:
        if not trading.as_json:
            emit(_opening(trading, gateway, tape), to_stderr=trading.as_json)
        until = end_time(trading, gateway.first_ts, gateway.calendar.zone)
        run = paper_run(
            strategy, tape, gateway, settings, simulated, out=Path(trading.job.out), symbols=trading.job.symbols,
            until=until, confirm=None if questions is None else questions.ask,
        )  # fmt: skip
        return execute(trading, run, strategy, questions)


def _opening(trading: Trading, gateway: SimulatedGateway, tape: Tape) -> str:
    from papertape.moments import time_text

    zone = gateway.calendar.zone
    span = f"{time_text(gateway.first_ts, zone)} to {time_text(gateway.last_ts, zone)}"
    return (
        f"paper: {trading.job.strategy} on a simulated gateway that plays {', '.join(trading.job.data)}\n"
        f"       {len(tape.symbols)} symbols, {span}; use --gateway 127.0.0.1:7497 for TWS"
    )


def _on_tws(trading: Trading, strategy: Strategy) -> Run:
    """A run at TWS or IB Gateway."""
    from gateway.assembly import parse_speed
    from papertape.live.arming import check_arm, confirm_account
    from papertape.live.assembly import gateway_time, make_run
    from papertape.live.settings import Address

    live = trading.config.live
    if live.gateway is None:
        raise ConfigError("live trading needs --gateway HOST:PORT, as 127.0.0.1:7496 for TWS or 127.0.0.1:4001")
    if live.gateway == SIM:
        raise ConfigError("there is no simulated live trading; papertape paper has the simulated gateway")
    if trading.config.data:
        raise ConfigError("data are for the simulated gateway; at TWS the market is its own (leave --data out)")
    address = Address.parse(live.gateway)
    if trading.mode is Mode.LIVE:
        if not trading.settings.account:
            raise ConfigError("live trading needs --account ID, one of the login's accounts")
        if live.arm is not None:
            check_arm(Path(live.arm), trading.settings.account, fingerprint_of(trading, strategy))
        else:
            confirm_account(trading.settings.account)
    questions = _questions(trading)
    speed = trading.config.live.speed
    settings = trading.settings if speed is None else replace(trading.settings, speed=parse_speed(str(speed)) or 1.0)
    now = gateway_time(address, settings.client_id)
    run = make_run(
        strategy, settings, address, out=Path(trading.job.out), symbols=trading.job.symbols, now=now,
        until=end_time(trading, now, _zone(settings.calendar)),
        confirm=None if questions is None else questions.ask,
    )  # fmt: skip
    return execute(trading, run, strategy, questions)


def fingerprint_of(trading: Trading, strategy: Strategy) -> str:
    """What an arming file is bound to."""
    from backtests.outcome import code_hash

    kind = type(strategy)
    return trading.settings.fingerprint(kind.__name__, strategy.parameter_values, code_hash(kind))


def _zone(calendar: str) -> str:
    from papertape.calendar import session_times

    now = time.time_ns()
    return session_times(calendar, now, now).zone


def _questions(trading: Trading) -> Questions | None:
    from papertape.cli.questions import Questions
    from papertape.live.settings import LiveConfirm

    return Questions() if trading.settings.confirm is LiveConfirm.ASK else None


def execute(trading: Trading, run: LiveRun, strategy: Strategy, questions: Questions | None = None) -> Run:
    """Run it with a screen, notifications, recordings and an ear for halts; returns the run that was stored."""
    from papertape.cli.failures import explained
    from papertape.runs import open_run

    with _watched(trading, run, questions), _ended_by_signals(run):
        try:
            run.run()
        except PeerError as error:
            raise UserError(str(error)) from None
        except Exception as error:
            shown = explained(error, strategy)
            if shown is error:
                raise
            raise shown from error
    return open_run(run.folder)


@contextlib.contextmanager
def _ended_by_signals(run: LiveRun) -> Iterator[None]:
    """Ctrl-C, or a request to terminate, ends the run in order; a second one ends it at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, frame: FrameType | None) -> None:
        for each, handler in before.items():
            signal.signal(each, handler)
        run.engine.stop("interrupted")

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _watched(trading: Trading, run: LiveRun, questions: Questions | None) -> Iterator[None]:
    """Whoever looks at a run while it runs: the person, other processes, a recorder, somebody to notify."""
    from papertape.cli.text import emit, warn
    from papertape.live.watching import Watching

    with Watching(
        run, is_plain=trading.is_plain or trading.as_json, is_silent=trading.as_json,
        notify=trading.config.live.notify, record=trading.config.live.record,
    ) as watching:  # fmt: skip
        run.engine.look = watching.look
        if questions is not None:
            questions.attach(run.parts.inbox, watching.screen)
        yield
    for line in watching.said:
        emit(f"{warn('warning:')} {line}", to_stderr=True)
