"""``papertape backtest``: one run of a strategy over recorded data, or a grid of them."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from papertape.cli import options as o
from papertape.core.errors import ConfigError, UserError, did_you_mean

if TYPE_CHECKING:
    from backtests.engine import Progress
    from papertape.config import BacktestConfig
    from papertape.core.series import Tape
    from papertape.runs import Run
    from strategies.base import Strategy

PAPERTAPE = "papertape"
"""The framework that strategies are written for where nobody says another."""
GUARD_TRIPPED = 3
"""Exit status of a run that the guard ended."""
_GUARD_NAMES = {
    "max_drawdown": "max_drawdown", "guard_basis": "basis", "guard_reference": "reference", "cash_floor": "cash_floor",
    "max_order_quantity": "max_order_quantity", "max_order_value": "max_order_value", "max_position": "max_position",
    "price_collar": "price_collar", "max_orders_per_minute": "max_orders_per_minute", "duplicate_s": "duplicate_s",
    "allowed_symbols": "allowed_symbols", "flatten": "flatten",
}  # fmt: skip
"""Options that are limits of the guard -> their names in the configuration."""
_NOT_PASSED_ON = (
    "strategy",
    "framework",
    "parameters",
    "grid",
    "guard",
    "live",
    "data",
    "symbols",
    "sort",
    "workers",
    "out",
)
"""Fields of the configuration that are no options of ``backtests.run.backtest``."""


def backtest(
    context: typer.Context,
    strategy: Annotated[
        str, typer.Argument(metavar="STRATEGY", help="tick_momentum, my_file.py, my_file.py:MyStrategy, or run.toml.")
    ],
    data: o.Data = None,
    framework: o.Framework = None,
    parameter: o.Parameter = None,
    grid: o.Grid = None,
    symbols: o.Symbols = None,
    start: o.Start = None,
    end: o.End = None,
    tz: o.Zone = None,
    bar_stamp: o.BarStamp = None,
    bar_interval_s: o.BarInterval = None,
    signed: o.Signed = None,
    on_bad: o.OnBad = None,
    delimiter: o.Delimiter = None,
    scans: o.Scans = None,
    conflate: o.Conflate = None,
    calendar: o.Calendar = None,
    no_cache: o.NoCache = False,
    cash: o.Cash = None,
    currency: o.Currency = None,
    balances: o.Balances = None,
    margin: o.Margin = None,
    fees: o.Fees = None,
    slippage: o.Slippage = None,
    latency: o.Latency = None,
    request_latency: o.RequestLatency = None,
    limit_fill: o.LimitFill = None,
    volume_share: o.VolumeShare = None,
    confirm: o.Confirm = None,
    seed: o.Seed = None,
    engine: o.Engine = None,
    analyzers: o.Analyzers = None,
    max_drawdown: o.MaxDrawdown = None,
    guard_basis: o.GuardBasis = None,
    guard_reference: o.GuardReference = None,
    cash_floor: o.CashFloor = None,
    max_order_quantity: o.MaxOrderQuantity = None,
    max_order_value: o.MaxOrderValue = None,
    max_position: o.MaxPosition = None,
    price_collar: o.PriceCollar = None,
    max_orders_per_minute: o.MaxOrdersPerMinute = None,
    duplicate_s: o.Duplicate = None,
    allowed_symbols: o.AllowedSymbols = None,
    flatten: o.Flatten = False,
    sort: o.Sort = None,
    workers: o.Workers = None,
    benchmark: o.Benchmark = None,
    risk_free: o.RiskFree = None,
    out: o.Out = None,
    as_json: o.AsJson = False,
) -> int:
    """Run a strategy over recorded data.

    Options can also stand in a TOML file (cash = 50000) or in the environment (PAPERTAPE__CASH=50000).
    The command line comes first, then the environment, then the file.

    Exit status: 0 done, 2 a mistake that you can mend, 3 the guard tripped.
    """
    from papertape.config import configure

    given = given_options(context.params)
    file = Path(strategy) if strategy.endswith(".toml") else None
    if file is None:
        given["strategy"] = strategy
    job = prepare(configure(given, file))
    return run_job(job, as_json=as_json)


def given_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the command line says, as the configuration names it; what was not given is left out."""
    said = {name: value for name, value in values.items() if not (value is None or value is False or value in ((), []))}
    given: dict[str, Any] = {}
    for name, value in said.items():
        if name in _LISTS:
            value = _names(name, value)
        elif name in _AMOUNTS:
            value = _AMOUNTS[name](value)
        if name in _GUARD_NAMES:
            given.setdefault("guard", {})[_GUARD_NAMES[name]] = value
        elif name == "parameter":
            given["parameters"] = _assignments(value, "--set")
        elif name == "grid":
            given["grid"] = {key: _values(key, text) for key, text in _assignments(value, "--grid").items()}
        elif name == "no_cache":
            given["cache"] = False
        elif name not in ("strategy", "as_json"):
            given[name] = list(value) if isinstance(value, tuple) else value
    for name in set(given.get("parameters", ())) & set(given.get("grid", ())):
        raise ConfigError(f"{name} is given with --set and with --grid; keep one")
    return given


def _assignments(texts: Sequence[str], option: str) -> dict[str, str]:
    """Name -> value of repeated NAME=VALUE; the same name twice is a slip, since only one of them could hold."""
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        name = name.strip()
        if not sign or not name.isidentifier():
            raise ConfigError(f'{option} "{text}": NAME=VALUE is needed, as up=0.03')
        if name in found:
            more = f", as {option} {name}={found[name]},{value}" if option == "--grid" else ""
            raise ConfigError(f"{option} {name} is given twice; give it once{more}")
        found[name] = value
    return found


def _values(name: str, text: str) -> list[str]:
    values = [part.strip() for part in text.split(",")]
    if not all(values):
        raise ConfigError(f'--grid {name}="{text}": values with commas between them are needed, as {name}=0.01,0.02')
    return values


def _names(option: str, text: str) -> list[str]:
    """Symbols with commas between them; none at all is a shell's empty variable more often than a wish."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise ConfigError(f'--{option.replace("_", "-")} "{text}": symbols with commas between them are needed')
    return names


def _cash_floors(texts: Sequence[str]) -> dict[str, float]:
    """Currency -> amount; a bare amount is of all cash, in the base currency."""
    floors = {}
    for text in texts:
        currency, sign, amount = text.rpartition("=")
        try:
            floors[currency.strip().upper() if sign else "BASE"] = float(amount)
        except ValueError:
            raise ConfigError(f'--cash-floor "{text}": an amount is needed, as 1000 or USD=1000') from None
    return floors


def _balances(texts: Sequence[str]) -> dict[str, float]:
    """Currency -> amount."""
    balances = {}
    for text in texts:
        currency, _, amount = text.partition("=")
        try:
            balances[currency.strip().upper()] = float(amount)
        except ValueError:
            raise ConfigError(f'--balances "{text}": a currency and an amount are needed, as EUR=1000') from None
    return balances


_LISTS = ("symbols", "signed", "allowed_symbols")
"""Options that hold symbols with commas between them."""
_AMOUNTS = {"cash_floor": _cash_floors, "balances": _balances}
"""Repeated options of amounts by currency -> what reads them."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that a run needs but the tape; plain values, so that another process can be given one.

    ``options`` and ``guard`` are those of :func:`backtests.run.backtest`; ``grid`` maps a parameter to its values.
    """

    strategy: str
    data: tuple[str, ...]
    parameters: Mapping[str, Any]
    grid: Mapping[str, Sequence[Any]]
    symbols: tuple[str, ...]
    guard: Mapping[str, Any]
    options: Mapping[str, Any]
    out: str
    sort: str | None
    workers: int | None
    framework: str = PAPERTAPE


def prepare(config: BacktestConfig) -> Job:
    """The job that a configuration describes, with every value checked. Raises ConfigError."""
    if config.strategy is None:
        raise ConfigError('no strategy is named; write strategy = "my_strategy.py" in the file')
    if not config.data:
        raise ConfigError("no data are named; add --data PATH (papertape sample sample makes some)")
    if "" in config.data:
        raise ConfigError('data "": a path is needed; a variable of the shell may be empty')
    guard = {name: getattr(config.guard, name) for name in config.guard.__dataclass_fields__}
    given = {name: getattr(config, name) for name in config.__dataclass_fields__ if name not in _NOT_PASSED_ON}
    for name in ("slippage", "latency", "request_latency", "start", "end"):
        if given[name] is not None:
            given[name] = given[name].isoformat() if hasattr(given[name], "isoformat") else str(given[name])
    return Job(
        strategy=config.strategy,
        data=tuple(config.data),
        parameters=config.parameters,
        grid=config.grid,
        symbols=tuple(dict.fromkeys(config.symbols)),
        guard={name: value for name, value in guard.items() if value is not None},
        options={name: value for name, value in given.items() if value not in (None, {}, [])},
        out=config.out or "runs",
        sort=config.sort,
        workers=config.workers,
        framework=config.framework or PAPERTAPE,
    )


def run_job(job: Job, *, as_json: bool) -> int:
    """Run it and print what came of it; returns the exit status."""
    from backtests.engine import check_engine
    from backtests.run import prepared
    from papertape.cli.strategy_source import load_strategy

    strategy_class = load_strategy(job.strategy, job.framework)
    settings, _ = prepared(job.guard, job.options)
    settings.fee_model()
    settings.fill_rules(allow_short=False)
    settings.guard.loss_limit()
    check_engine(settings)
    if job.grid:
        from papertape.cli.grid import run_grid

        return run_grid(job, strategy_class, as_json=as_json)
    strategy = make_strategy(strategy_class, job.parameters)
    run = run_one(job, strategy, load(job), to_stderr=as_json)
    show_run(run, as_json=as_json)
    return GUARD_TRIPPED if run.record.guard_tripped else 0


def make_strategy(strategy_class: type[Strategy], parameters: Mapping[str, Any]) -> Strategy:
    """An instance with these parameters; those of the environment come in lower case, whatever the class's are."""
    from papertape.cli.failures import failure_in

    known = strategy_class.parameters()
    by_lower = {name.lower(): name for name in known}
    named = {name if name in known else by_lower.get(name, name): value for name, value in parameters.items()}
    for name in named:
        if name not in known:
            raise ConfigError(f'{strategy_class.__name__} has no parameter "{name}"{did_you_mean(name, known)}')
    try:
        return strategy_class(**named)
    except UserError:
        raise
    except Exception as error:
        raise failure_in(error, f"making {strategy_class.__name__}") from error


def load(job: Job) -> Tape:
    """Read the job's data, with a progress bar."""
    from backtests.run import prepared
    from feeds.load import load_tape
    from papertape.cli.progress import Bar, announce_compiling

    announce_compiling()
    _, data_options = prepared(job.guard, job.options)
    with Bar("reading", "bytes") as bar:
        return load_tape(list(job.data), data_options, progress=lambda done, of: bar.show(done / max(of, 1), done))


def run_one(job: Job, strategy: Strategy, tape: Tape, *, to_stderr: bool, progress: Progress | None = None) -> Run:
    """Run one instance over a tape and store the run, with a bar where no ``progress`` is to hear of it.

    ``to_stderr`` sends there what the strategy itself prints.
    """
    from backtests.run import backtest as run_backtest
    from papertape.cli.failures import explained
    from papertape.cli.progress import Bar

    with Bar(type(strategy).__name__, "events") as bar, _printing(to_stderr=to_stderr):
        try:
            return run_backtest(
                strategy,
                tape,
                symbols=job.symbols,
                guard=job.guard,
                out=job.out,
                progress=progress or bar.show,
                **job.options,
            )
        except Exception as error:
            shown = explained(error, strategy)
            if shown is error:
                raise
            raise shown from error


@contextlib.contextmanager
def _printing(*, to_stderr: bool) -> Iterator[None]:
    if to_stderr:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    else:
        yield


def show_run(run: Run, *, as_json: bool) -> None:
    """Print a run as its table, or as one JSON object."""
    from papertape.cli.text import emit
    from papertape.runs import to_json_summary

    if as_json:
        emit(json.dumps(to_json_summary(run), indent=2, allow_nan=False))
        return
    from papertape.cli.terminal import brief_lines

    emit("\n".join(brief_lines(run)))
