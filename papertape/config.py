"""The configuration of a backtest: what may be set, and from where.

A value on the command line comes before one of the environment (``PAPERTAPE__GUARD__MAX_DRAWDOWN=5%``; double
underscores nest), which comes before one of a TOML file. Keys are the long options with underscores. Unknown keys are
refused. The check of files and of the environment needs pydantic, which is imported for them only.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from papertape.core.errors import ConfigError, did_you_mean

ENVIRONMENT_PREFIX = "PAPERTAPE__"
Moment = str | dt.datetime | dt.date
"""A time or a date; TOML has types of its own for them."""
Parameters = dict[str, Any]
_FORBID_UNKNOWN = {"extra": "forbid"}
_OWN_NAMES = {"parameters", "grid", "cash_floor", "balances"}
"""Sections whose keys the user makes up; they are merged key by key, as all sections are."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardConfig:
    """Limits of the guard; None is no limit. See :class:`papertape.GuardSettings`."""

    __pydantic_config__ = _FORBID_UNKNOWN

    max_drawdown: float | str | None = None
    basis: Literal["net_liquidation", "pnl", "stock_value", "daily_loss"] | None = None
    reference: Literal["start", "peak"] | None = None
    cash_floor: dict[str, float] = field(default_factory=dict)
    max_order_quantity: float | None = None
    max_order_value: float | None = None
    price_collar: float | str | None = None
    max_position: float | None = None
    max_orders_per_minute: int | None = None
    duplicate_s: float | None = None
    allowed_symbols: list[str] | None = None
    flatten: bool | None = None
    flatten_confirmed: bool | None = None
    disconnect: bool | None = None
    scope: Literal["run", "account"] | None = None
    stale_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConfig:
    """What ``papertape paper`` and ``papertape live`` take beside what a backtest does; a backtest passes over it."""

    __pydantic_config__ = _FORBID_UNKNOWN

    gateway: str | None = None
    account: str | None = None
    client_id: int | None = None
    duration: str | float | None = None
    until: str | dt.datetime | dt.time | None = None
    confirm: Literal["ask", "yes", "no", "if-affordable"] | None = None
    read_only: bool | None = None
    record: str | None = None
    notify: str | None = None
    trades: Literal["auto", "alllast", "rtvolume"] | None = None
    tick_by_tick: int | None = None
    delayed: bool | None = None
    at_end: Literal["cancel", "keep"] | None = None
    speed: str | float | None = None
    zone: str | None = None
    arm: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestConfig:
    """Everything that ``papertape backtest`` takes; None means that the default holds."""

    __pydantic_config__ = _FORBID_UNKNOWN

    strategy: str | None = None
    framework: Literal["papertape", "backtrader"] | None = None
    parameters: Parameters = field(default_factory=dict)
    grid: dict[str, list[Any]] = field(default_factory=dict)
    guard: GuardConfig = field(default_factory=GuardConfig)
    live: LiveConfig = field(default_factory=LiveConfig)
    data: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    start: Moment | None = None
    end: Moment | None = None
    tz: str | None = None
    bar_stamp: Literal["open", "close"] | None = None
    bar_interval_s: float | None = None
    signed: list[str] = field(default_factory=list)
    on_bad: Literal["refuse", "skip"] | None = None
    delimiter: str | None = None
    conflate: str | float | None = None
    calendar: str | None = None
    cache: bool | None = None
    cash: float | None = None
    currency: str | None = None
    balances: dict[str, float] = field(default_factory=dict)
    margin: float | None = None
    fees: str | None = None
    slippage: str | float | None = None
    latency: str | float | None = None
    request_latency: str | float | None = None
    limit_fill: Literal["through", "touch"] | None = None
    volume_share: float | None = None
    scans: str | None = None
    confirm: Literal["yes", "no", "if-affordable"] | None = None
    risk_free: float | None = None
    benchmark: str | None = None
    seed: int | None = None
    engine: Literal["papertape", "backtrader"] | None = None
    analyzers: list[str] = field(default_factory=list)
    sort: str | None = None
    workers: int | None = None
    out: str | None = None


_SECTIONS: Mapping[str, type] = {"guard": GuardConfig, "live": LiveConfig}
"""Sections with keys of their own."""


def configure(
    given: Mapping[str, Any], file: Path | None = None, environment: Mapping[str, str] | None = None
) -> BacktestConfig:
    """The configuration: ``given`` (of the command line), else ``environment`` (default: this process's), else ``file``.

    ``given`` has the fields of :class:`BacktestConfig`, sections as mappings. Raises ConfigError.
    """
    merged: dict[str, Any] = {}
    if file is not None:
        merged = _checked(_read_toml(file), str(file))
        _anchor(merged, file.parent)
    from_environment = read_environment(os.environ if environment is None else environment)
    if from_environment:
        merged = _overlaid(merged, _checked(from_environment, "environment"))
    return _built(BacktestConfig, _overlaid(merged, given))


def _read_toml(file: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}") from None


def read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """What variables with our prefix say, as a file would: nested mappings, lists where a list is wanted."""
    found: dict[str, Any] = {}
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        keys = variable.removeprefix(ENVIRONMENT_PREFIX).split("__")
        if not all(keys):
            raise ConfigError(
                f"environment {variable}: a key is empty; write PAPERTAPE__CASH or PAPERTAPE__GUARD__FLATTEN"
            )
        names = [key.upper() if at and keys[at - 1].lower() in ("cash_floor", "balances") else key.lower()
                 for at, key in enumerate(keys)]  # fmt: skip
        section = found
        for name in names[:-1]:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise ConfigError(f"environment {variable}: {name} is both a value and a section")
        text = environment[variable]
        section[names[-1]] = _split(text) if _wants_list(names) else text
    return found


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _wants_list(names: list[str]) -> bool:
    """Whether a setting is a list: its field's type says so; every value of a grid is one."""
    if len(names) == 2 and names[0] == "grid":
        return True
    owner = _SECTIONS.get(names[0], BacktestConfig) if len(names) == 2 else BacktestConfig
    hint = get_type_hints(owner).get(names[-1]) if len(names) == 1 or owner is not BacktestConfig else None
    return any(get_origin(each) is list for each in (hint, *get_args(hint)))


def _checked(raw: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """``raw`` with every value of its field's type, only what was given. Raises ConfigError."""
    import pydantic

    raw = dict(raw)
    for name, parts in (("data", lambda text: [text]), ("symbols", _split), ("signed", _split)):
        if isinstance(raw.get(name), str):
            raw[name] = parts(raw[name])
    try:
        whole = pydantic.TypeAdapter(BacktestConfig).validate_python(raw)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{origin}: {_first_fault(error.errors())}") from None
    return _given(raw, whole)


def _given(raw: Mapping[str, Any], whole: Any) -> dict[str, Any]:
    """Of an object's fields those that ``raw`` names, sections as mappings."""
    return {
        name: _given(value, getattr(whole, name)) if name in _SECTIONS else getattr(whole, name)
        for name, value in raw.items()
    }


def _first_fault(faults: Any) -> str:
    """One line about what is wrong: an unknown key before anything else, since it explains the rest best."""
    unknown = [each for each in faults if each["type"] in ("unexpected_keyword_argument", "extra_forbidden")]
    fault = (unknown or faults)[0]
    key = ".".join(str(part) for part in fault["loc"] if str(part) in _all_names() or isinstance(part, str))
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 and not unknown else ""
    if unknown:
        owner = _SECTIONS.get(str(fault["loc"][0]), BacktestConfig) if len(fault["loc"]) > 1 else BacktestConfig
        return f'unknown key "{key}"{did_you_mean(str(fault["loc"][-1]), _names(owner))}'
    return f"{_key_of(fault['loc'])} = {fault['input']!r}: {_lower(fault['msg'])}{more}"


def _key_of(location: tuple[Any, ...]) -> str:
    """The key that a fault is in, without the names that pydantic gives to members of a union."""
    own = False
    parts = []
    for part in location:
        if own or str(part) in _all_names():
            parts.append(str(part))
        own = str(part) in _OWN_NAMES
    return ".".join(parts)


def _lower(text: str) -> str:
    return (text[:1].lower() + text[1:]).replace("input should be", "should be")


def _names(owner: type) -> list[str]:
    return [each.name for each in dataclasses.fields(owner)]


def _all_names() -> set[str]:
    return {*_names(BacktestConfig), *(name for owner in _SECTIONS.values() for name in _names(owner))}


def _anchor(values: dict[str, Any], folder: Path) -> None:
    """Paths in a file are meant from its folder."""
    if "data" in values:
        values["data"] = [str(folder / each) if each else "" for each in values["data"]]
    if "out" in values:
        values["out"] = str(folder / values["out"])
    live = values.get("live", {})
    for name in ("record", "arm"):
        if live.get(name):
            live[name] = str(folder / live[name])
    for name in ("scans", "benchmark"):
        if name in values and (folder / values[name]).is_file():
            values[name] = str(folder / values[name])
    strategy = values.get("strategy")
    if strategy is not None and (strategy.endswith(".py") or ".py:" in strategy):
        values["strategy"] = str(folder / strategy)


def _overlaid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with what comes before it; a parameter that is set there is no longer one of a grid."""
    result = _merged(base, over)
    set_now = set(over.get("parameters", {})) - set(over.get("grid", {}))
    if set_now & set(result.get("grid", {})):
        result["grid"] = {name: values for name, values in result["grid"].items() if name not in set_now}
    return result


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with what ``over`` says instead; sections are merged key by key."""
    result = dict(base)
    for name, value in over.items():
        before = result.get(name)
        result[name] = _merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return result


def _built(owner: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass of merged values; a section becomes the dataclass that its field is."""
    sections: dict[str, Any] = {name: _built(kind, values[name]) for name, kind in _SECTIONS.items() if name in values}
    return owner(**{**values, **sections})
