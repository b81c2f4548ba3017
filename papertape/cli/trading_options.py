"""From the options of ``papertape paper`` and ``papertape live``, the environment and a TOML file to what is to be run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from papertape.cli.backtest import Job, given_options, prepare
from papertape.core.errors import ConfigError
from papertape.core.model import Mode
from papertape.core.timers import NEVER

if TYPE_CHECKING:
    from papertape.config import BacktestConfig
    from papertape.live.settings import LiveSettings

SIM = "sim"
LIVE_NAMES = {
    "gateway": "gateway", "account": "account", "client_id": "client_id", "duration": "duration", "until": "until",
    "confirm": "confirm", "read_only": "read_only", "record": "record", "notify": "notify", "trades": "trades",
    "tick_by_tick": "tick_by_tick", "delayed": "delayed", "at_end": "at_end", "speed": "speed", "tws_zone": "zone",
    "arm": "arm",
}  # fmt: skip
"""Options -> their keys in the section ``live``."""
LIVE_GUARD_NAMES = {
    "disconnect": "disconnect", "scope": "scope", "stale_s": "stale_s", "flatten_at_once": "flatten_confirmed",
}  # fmt: skip
"""Options -> limits of the guard that only a run with a connection has."""
_ONLY_HERE = ("strategy", "plain", "as_json", "resume", "scenario", "write_arm")
_OF_THE_SIMULATED = (
    "data", "start", "end", "tz", "bar_stamp", "bar_interval_s", "signed", "on_bad", "delimiter", "conflate", "no_cache",
    "cash", "currency", "balances", "margin", "fees", "slippage", "latency", "limit_fill", "volume_share", "scenario",
)  # fmt: skip
"""Options of the market and the account that a simulated gateway makes; TWS has its own."""


@dataclass(frozen=True, slots=True)
class Trading:
    """What is to be run. ``job`` has the strategy and, for the simulated gateway, the tape and the account.

    ``passed_over`` names what a file or the environment says that means nothing at TWS.
    """

    mode: Mode
    job: Job
    config: BacktestConfig
    settings: LiveSettings
    is_simulated: bool
    is_plain: bool
    as_json: bool
    resume: str | None
    scenario: str | None
    passed_over: tuple[str, ...] = ()

    @property
    def is_first_look(self) -> bool:
        """Whether nobody said what to play, nor how long: then it is a part of the sample."""
        config = self.config
        said = (config.start, config.end, config.live.until, config.live.duration)
        return self.is_simulated and not config.data and said == (None, None, None, None)


def read_options(mode: Mode, strategy: str, values: Mapping[str, Any]) -> Trading:
    """The configuration of a run from its options, the environment and a TOML file. Raises ConfigError."""
    from papertape.config import configure

    given = _given(values)
    file = Path(strategy) if strategy.endswith(".toml") else None
    if file is None:
        given["strategy"] = strategy
    config = configure(given, file)
    if config.grid:
        raise ConfigError("a grid is for backtests; set one value of each parameter with --set")
    is_simulated = _is_simulated(mode, config)
    if not is_simulated:
        _refuse_simulated(values)
    _check(mode, config)
    if is_simulated and values.get("resume") is not None:
        raise ConfigError(
            "a simulated market begins anew with each run; --resume is for a run at TWS, or at papertape sim --store FILE, "
            "with --gateway HOST:PORT"
        )
    data = config.data or ([_sample()] if is_simulated else ["-"])
    passed_over = [] if is_simulated else [name for name in _OF_THE_SIMULATED if getattr(config, name, None)]
    return Trading(
        mode=mode,
        job=prepare(replace(config, data=data)),
        config=config,
        settings=_settings(mode, config),
        is_simulated=is_simulated,
        is_plain=bool(values.get("plain")),
        as_json=bool(values.get("as_json")),
        resume=values.get("resume"),
        scenario=values.get("scenario"),
        passed_over=tuple(passed_over),
    )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the command line says, as the configuration names it; what was not given is left out."""
    rest: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {"live": {}, "guard": {}}
    for name, value in values.items():
        section = "live" if name in LIVE_NAMES else "guard" if name in LIVE_GUARD_NAMES else ""
        if not section:
            if name not in _ONLY_HERE:
                rest[name] = value
        elif _is_given(name, value):
            key = (LIVE_NAMES if section == "live" else LIVE_GUARD_NAMES)[name]
            sections[section][key] = not value if name == "flatten_at_once" else value
    given = given_options(rest)
    for section, own in sections.items():
        if own:
            given.setdefault(section, {}).update(own)
    return given


def _is_given(name: str, value: Any) -> bool:
    """Whether an option was named; ``--no-delayed`` is the one flag whose False is a word."""
    return not (value is None or value in ((), [])) and (value is not False or name == "delayed")


def _is_simulated(mode: Mode, config: BacktestConfig) -> bool:
    named = config.live.gateway
    if mode is Mode.PAPER:
        return named is None or named.strip().lower() == SIM
    if named is None:
        raise ConfigError("live trading needs --gateway HOST:PORT, as 127.0.0.1:7496 for TWS or 127.0.0.1:4001")
    if named.strip().lower() == SIM:
        raise ConfigError("there is no simulated live trading; papertape paper has the simulated gateway")
    return False


def _refuse_simulated(values: Mapping[str, Any]) -> None:
    """What was typed for the simulated gateway would silently mean nothing at TWS."""
    for name in _OF_THE_SIMULATED:
        if _is_given(name, values.get(name)):
            option = name.replace("_", "-")
            raise ConfigError(
                f"--{option} is for the simulated gateway; TWS has its own market and account: leave it out"
            )


def _check(mode: Mode, config: BacktestConfig) -> None:
    """What can be known to be wrong before anything is read or connected. Raises ConfigError."""
    from gateway.assembly import parse_speed
    from papertape.live.notify import parse_target
    from papertape.live.settings import Address

    live = config.live
    if mode is Mode.LIVE and not live.account:
        raise ConfigError("live trading needs --account ID, one of the login's accounts")
    if mode is Mode.LIVE and live.speed is not None:
        raise ConfigError("speed is for a simulated gateway; live trading goes by the clock")
    if not _is_simulated(mode, config):
        Address.parse(str(live.gateway))
    if live.notify is not None:
        parse_target(live.notify)
    if live.speed is not None and (speed := parse_speed(live.speed)) is not None and not 0.0 < speed < float("inf"):
        raise ConfigError(f'speed "{live.speed}": a number above 0, or max, is needed')
    if live.duration is not None and live.until is not None:
        raise ConfigError("--duration and --until say the same thing twice; give one")
    if live.duration is not None:
        _length_ns(live.duration)
    if live.record is not None and Path(live.record).exists() and not Path(live.record).is_dir():
        raise ConfigError(f"--record {live.record}: is no folder")


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
    guard = guard_settings({name: value for name, value in limits.items() if value is not None})
    guard.loss_limit()
    return LiveSettings(
        mode=mode,
        guard=guard,
        confirm=member(LiveConfirm, confirm, "confirm"),
        trades=member(TradesFrom, live.trades or TradesFrom.AUTO, "trades"),
        at_end=member(AtEnd, live.at_end or AtEnd.CANCEL, "at_end"),
        **{name: value for name, value in chosen.items() if value is not None},
    )


def end_time(trading: Trading, now: int, zone: str) -> int:
    """When the run is to end (UTC ns), by ``--duration`` or ``--until``. ``now`` is the exchange's. Raises ConfigError."""
    from zoneinfo import ZoneInfo

    from backtests.settings import moment

    live = trading.config.live
    if live.duration is not None:
        return now + _length_ns(live.duration)
    if live.until is None:
        return NEVER
    text = live.until if isinstance(live.until, str) else live.until.isoformat()
    if len(text) <= len("15:55:00"):
        today = dt.datetime.fromtimestamp(now / 1e9, ZoneInfo(zone)).date()
        text = f"{today}T{text.zfill(5)}"
    until = moment(text, zone, name="until")
    if until <= now:
        raise ConfigError(f'--until "{live.until}": that is past; at the exchange it is {_clock(now, zone)}')
    return until


def _clock(now: int, zone: str) -> str:
    from papertape.moments import time_text

    return time_text(now, zone)


def _length_ns(text: str | float) -> int:
    from papertape.core.requests import duration

    length = duration(text)
    if not length.ns:
        raise ConfigError(f'--duration "{text}": a length as 30m or 2h is needed')
    return length.ns
