"""Daily returns of something to compare a run with: a symbol of the tape, or another file of prices."""

from __future__ import annotations

import os

import numpy as np

from feeds.load import DataOptions, load_tape
from feeds.point_in_time import PointInTime
from papertape.calendar import session_times
from papertape.core.errors import ConfigError, did_you_mean
from papertape.core.model import Instrument
from papertape.core.record import RunRecord
from papertape.core.series import F8, Tape


def benchmark_returns(name: str, tape: Tape, record: RunRecord, options: DataOptions) -> F8:
    """Price returns from one session's end to the next, one for each row of ``record.daily``, NaN where unknown.

    ``name`` is a symbol of the tape, or a file with one symbol, read with ``options``. The last price at or before
    each time counts, adjusted for splits; dividends are not added. The first return is from the last price before
    the run, else from the first one in it. Raises ConfigError and DataError.
    """
    symbol = name
    if name not in tape.symbols:
        if not os.path.isfile(name):
            raise ConfigError(
                f'benchmark "{name}" is neither a symbol of the tape nor a file{did_you_mean(name, tape.symbols)}'
            )
        tape = load_tape([name], options)
        if len(tape.symbols) != 1:
            raise ConfigError(f"benchmark {name} holds {len(tape.symbols)} symbols; one is needed")
        symbol = tape.symbols[0]
    instrument = tape.instruments.get(symbol) or Instrument(symbol)
    calendar = session_times(options.calendar, record.start, record.end)
    only = tuple(series for series in tape.series if series.symbol == symbol)
    view = PointInTime(Tape(only, {}, tape.actions), [instrument], calendar)
    times = [record.start, *record.daily["ts"].tolist()]
    if view.image(0, record.start) is None:
        first = min((int(series.ts[0]) for series in only if len(series)), default=record.end)
        times[0] = first
    returns = np.full(len(times) - 1, np.nan)
    for k in range(len(returns)):
        before, after = view.image(0, times[k]), view.image(0, times[k + 1])
        if before is not None and after is not None and times[k] < times[k + 1]:
            returns[k] = after.last / (before.last / view.split_factor(0, times[k], times[k + 1])) - 1.0
    return returns
