"""``backtest(...)``: a strategy and data in, a :class:`papertape.Run` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backtests.benchmark import Benchmark
from backtests.engine import Progress, run_tape
from backtests.metrics import compute_metrics
from backtests.settings import Engine, LimitFill, Settings, guard_settings, milliseconds
from feeds.load import DataOptions, load_tape
from papertape.core.errors import ConfigError, did_you_mean
from papertape.core.guard import GuardSettings
from papertape.core.series import Tape
from papertape.runs import Run
from strategies.base import Strategy


def backtest(
    strategy: Strategy | type[Strategy],
    data: Any,
    *,
    symbols: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    guard: GuardSettings | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Run a strategy over recorded data and return the finished run.

    ``strategy`` is an instance (used once) or a class (made with ``parameters``). ``data`` is a path, a pattern, a
    list of them, a DataFrame, a mapping of symbol to DataFrame or to arrays (``ts``, ``price``, ``size``, or the
    columns of quotes or bars), or a :class:`Tape`. ``options`` are the fields of
    :class:`backtests.settings.Settings` (cash, fees, slippage, latency, ...) and of
    :class:`feeds.load.DataOptions` (tz, bar_stamp, on_bad, ...), and ``conflate="250ms"``. Nothing is written unless ``out`` is given; then
    the run is stored in a new folder there. Raises UserError with one clear line.
    """
    settings, data_options = prepared(guard, options)
    if isinstance(strategy, Strategy) and parameters:
        raise ConfigError("parameters go with a strategy class; an instance has its own already")
    instance = strategy if isinstance(strategy, Strategy) else strategy(**(parameters or {}))
    tape = data if isinstance(data, Tape) else load_tape(data, data_options)
    benchmark = None if settings.benchmark is None else Benchmark.find(settings.benchmark, tape, data_options)
    record = run_tape(instance, tape, settings, symbols=symbols, progress=progress, keep_prices=out is not None)
    if benchmark is not None:
        returns = benchmark.returns(record)
        record.daily["benchmark"] = returns
        record.metrics |= compute_metrics(
            record, risk_free=settings.risk_free, benchmark=returns, multipliers=record.settings["multipliers"]
        )
    run = Run(record)
    if out is not None:
        run.save(out)
    return run


def prepared(
    guard: GuardSettings | Mapping[str, Any] | None, options: Mapping[str, Any]
) -> tuple[Settings, DataOptions]:
    """The settings and data options that :func:`backtest` makes of its arguments. Raises ConfigError."""
    rest = dict(options)
    if "conflate" in rest:
        rest["conflate_ns"] = milliseconds(rest.pop("conflate"), "conflate")
    settings_fields = set(Settings.__dataclass_fields__) - {"guard"}
    data_fields = set(DataOptions.__dataclass_fields__) - {"symbols"}
    for name in rest:
        if name not in settings_fields | data_fields:
            raise ConfigError(f'unknown option "{name}"{did_you_mean(name, settings_fields | data_fields)}')
    settings = Settings(
        guard=guard_settings(guard), **{name: value for name, value in rest.items() if name in settings_fields}
    )
    if settings.engine is Engine.BACKTRADER and rest.get("limit_fill") == LimitFill.THROUGH:
        raise ConfigError("engine backtrader fills a limit that is just touched; leave out limit_fill, or the engine")
    chosen = {name: value for name, value in rest.items() if name in data_fields}
    if settings.scans not in ("derived", "recorded"):
        chosen.setdefault("scan_file", settings.scans)
    return settings, DataOptions(**{"calendar": settings.calendar, **chosen})
