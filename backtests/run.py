"""``backtest(...)``: a strategy and data in, a :class:`papertape.Run` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backtests.engine import Progress, run_tape
from backtests.settings import Settings
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
    :class:`feeds.load.DataOptions` (tz, bar_stamp, conflate, ...). Nothing is written unless ``out`` is given; then
    the run is stored in a new folder there. Raises UserError with one clear line.
    """
    settings_fields = set(Settings.__dataclass_fields__) - {"guard"}
    data_fields = set(DataOptions.__dataclass_fields__) - {"symbols"}
    for name in options:
        if name not in settings_fields | data_fields:
            raise ConfigError(f'unknown option "{name}"{did_you_mean(name, settings_fields | data_fields)}')
    limits = guard if isinstance(guard, GuardSettings) else GuardSettings(**(guard or {}))
    settings = Settings(
        guard=limits, **{name: value for name, value in options.items() if name in settings_fields}
    )
    instance = strategy if isinstance(strategy, Strategy) else strategy(**(parameters or {}))
    if isinstance(strategy, Strategy) and parameters:
        raise ConfigError("parameters go with a strategy class; an instance has its own already")
    if isinstance(data, Tape):
        tape = data
    else:
        chosen = {name: value for name, value in options.items() if name in data_fields}
        tape = load_tape(data, DataOptions(**{"calendar": settings.calendar, **chosen}))
    record = run_tape(
        instance, tape, settings, symbols=symbols, progress=progress, keep_prices=out is not None
    )
    run = Run(record)
    if out is not None:
        run.save(out)
    return run
