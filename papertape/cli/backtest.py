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

GUARD_TRIPPED = 3
"""Exit status of a run that the guard ended."""
_GUARD_NAMES = {
    "max_drawdown": "max_drawdown", "guard_basis": "basis", "guard_reference": "reference", "cash_floor": "cash_floor",
    "max_order_quantity": "max_order_quantity", "max_order_value": "max_order_value", "max_position": "max_position",
    "price_collar": "price_collar", "max_orders_per_minute": "max_orders_per_minute", "flatten": "flatten",
}  # fmt: skip
"""Options that are limits of the guard -> their names in the configuration."""
_NOT_PASSED_ON = ("strategy", "parameters", "grid", "guard", "data", "symbols", "sort", "workers", "out")
"""Fields of the configuration that are no options of ``backtests.run.backtest``."""


def backtest(
    context: typer.Context,
    strategy: Annotated[
        str, typer.Argument(metavar="STRATEGY", help="tick_momentum, my_file.py, my_file.py:MyStrategy, or run.toml.")
    ],
    data: o.Data = None,
    parameter: o.Parameter = None,
    grid: o.Grid = None,
    symbols: o.Symbols = None,
    start: o.Start = None,
    end: o.End = None,
    tz: o.Zone = None,
    bar_stamp: o.BarStamp = None,
    on_bad: o.OnBad = None,
    delimiter: o.Delimiter = None,
    scans: o.Scans = None,
    conflate: o.Conflate = None,
    calendar: o.Calendar = None,
    no_cache: o.NoCache = False,
    cash: o.Cash = None,
    margin: o.Margin = None,
    fees: o.Fees = None,
    slippage: o.Slippage = None,
    latency: o.Latency = None,
    limit_fill: o.LimitFill = None,
    volume_share: o.VolumeShare = None,
    confirm: o.Confirm = None,
    seed: o.Seed = None,
    max_drawdown: o.MaxDrawdown = None,
    guard_basis: o.GuardBasis = None,
    guard_reference: o.GuardReference = None,
    cash_floor: o.CashFloor = None,
    max_order_quantity: o.MaxOrderQuantity = None,
    max_order_value: o.MaxOrderValue = None,
    max_position: o.MaxPosition = None,
    price_collar: o.PriceCollar = None,
    max_orders_per_minute: o.MaxOrdersPerMinute = None,
    flatten: o.Flatten = False,
    sort: o.Sort = None,
    workers: o.Workers = None,
    benchmark: o.Benchmark = None,
    risk_free: o.RiskFree = None,
    out: o.Out = None,
    as_json: o.AsJson = False,
) -> int:
    """Run a strategy over recorded data.

    Options can also stand in a TOML file (papertape backtest run.toml), with underscores for dashes,

    or in the environment (PAPERTAPE__CASH=50000, PAPERTAPE__GUARD__MAX_DRAWDOWN=5%).

    The command line comes first, then the environment, then the file. Status: 0 done, 2 a mistake, 3 the guard.
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
    said = {name: value for name, value in values.items() if value not in (None, False, (), [])}
    given: dict[str, Any] = {}
    for name, value in said.items():
        if name in _GUARD_NAMES:
            guard = given.setdefault("guard", {})
            guard[_GUARD_NAMES[name]] = _cash_floors(value) if name == "cash_floor" else value
        elif name == "parameter":
            given["parameters"] = dict(_assignment(each, "--set") for each in value)
        elif name == "grid":
            given["grid"] = {key: _values(key, text) for key, text in (_assignment(each, "--grid") for each in value)}
        elif name == "symbols":
            given["symbols"] = [part.strip() for part in value.split(",") if part.strip()]
        elif name == "no_cache":
            given["cache"] = False
        elif name not in ("strategy", "as_json"):
            given[name] = list(value) if isinstance(value, tuple) else value
    return given


def _assignment(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip().isidentifier():
        raise ConfigError(f'{option} "{text}": NAME=VALUE is needed, as up=0.03')
    return name.strip(), value


def _values(name: str, text: str) -> list[str]:
    values = [part.strip() for part in text.split(",")]
    if not all(values):
        raise ConfigError(f'--grid {name}="{text}": values with commas between them are needed, as {name}=0.01,0.02')
    return values


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


def prepare(config: BacktestConfig) -> Job:
    """The job that a configuration describes, with every value checked. Raises ConfigError."""
    if config.strategy is None:
        raise ConfigError('no strategy is named; write strategy = "my_strategy.py" in the file')
    if not config.data:
        raise ConfigError("no data are named; add --data PATH (papertape sample sample makes some)")
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
        symbols=tuple(config.symbols),
        guard={name: value for name, value in guard.items() if value is not None},
        options={name: value for name, value in given.items() if value not in (None, {})},
        out=config.out or "runs",
        sort=config.sort,
        workers=config.workers,
    )


def run_job(job: Job, *, as_json: bool) -> int:
    """Run it and print what came of it; returns the exit status."""
    from backtests.run import prepared
    from papertape.cli.strategy_source import load_strategy

    strategy_class = load_strategy(job.strategy)
    settings, _ = prepared(job.guard, job.options)
    settings.fee_model()
    settings.fill_rules(allow_short=False)
    settings.guard.loss_limit()
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
