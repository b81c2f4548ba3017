"""Daily returns of something to compare a run with: a symbol of the tape, or another file of prices."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass

import numpy as np

from feeds.load import DataOptions, load_tape
from feeds.point_in_time import PointInTime
from papertape.calendar import session_times
from papertape.core.errors import ConfigError, did_you_mean
from papertape.core.model import Instrument
from papertape.core.record import RunRecord
from papertape.core.series import F8, Tape


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One symbol of a tape, and the calendar by which its sessions count."""

    symbol: str
    tape: Tape
    calendar: str

    @classmethod
    def find(cls, name: str, tape: Tape, options: DataOptions) -> Benchmark:
        """What ``name`` means: a symbol of the tape, or a file with one symbol. Raises ConfigError and DataError."""
        if name in tape.symbols:
            return cls(name, tape, options.calendar)
        if not os.path.isfile(name):
            raise ConfigError(
                f'benchmark "{name}" is neither a symbol of the tape nor a file{did_you_mean(name, tape.symbols)}'
            )
        found = load_tape([name], options)
        if len(found.symbols) != 1:
            raise ConfigError(f"benchmark {name} holds {len(found.symbols)} symbols; one is needed")
        return cls(found.symbols[0], found, options.calendar)

    def returns(self, record: RunRecord) -> F8:
        """Price returns from one session's end to the next, one for each row of ``record.daily``, NaN where unknown.

        The last price at or before each time counts, adjusted for splits; dividends are not added. The first return is
        from the last price before the run, else from the first one in it.
        """
        only = tuple(series for series in self.tape.series if series.symbol == self.symbol and len(series))
        instrument = self.tape.instruments.get(self.symbol) or Instrument(self.symbol)
        calendar = session_times(self.calendar, record.start, record.end)
        view = PointInTime(Tape(only, {}, self.tape.actions), [instrument], calendar)
        times = [record.start, *record.daily["ts"].tolist()]
        if view.image(0, record.start) is None:
            times[0] = min((int(series.ts[0]) for series in only), default=record.end)
        returns = np.full(len(times) - 1, np.nan)
        for k, (then, now) in enumerate(itertools.pairwise(times)):
            before, after = view.image(0, then), view.image(0, now)
            if before is not None and after is not None and then < now:
                returns[k] = after.last / (before.last / view.split_factor(0, then, now)) - 1.0
        return returns
