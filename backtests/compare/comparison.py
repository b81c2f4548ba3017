"""N runs beside each other: the same metrics with their differences to a base, curves, correlation, and what was set.

Pure: records in, a frozen :class:`Comparison` out. Opening runs is in ``backtests/compare/opening.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.compare.bootstrap import PairedDifference, paired_difference
from backtests.compare.curves import Curve, curve_of
from backtests.compare.inputs import (
    InputDifference,
    LoudNote,
    attributable_to,
    differing_inputs,
    input_differences,
    inputs_of,
    loud_notes,
)
from backtests.compare.pairing import Pairing
from backtests.compare.parity import Parity
from backtests.definitions import DEFINITIONS, Better, Definition, Unit
from backtests.metrics import SESSIONS_MIN, daily_returns
from papertape.core.record import RunRecord

F8 = NDArray[np.float64]

POINTS_MAX = 1_000
POINTS_OF_ALL = 80_000
"""Points of all curves together, more or less: what keeps a page of 200 runs small."""
POINTS_MIN = 100
_NOISE = 1e-14
"""Spread of daily returns that is rounding, as in ``backtests/metrics.py``."""


@dataclass(frozen=True, slots=True, eq=False)
class ComparedRun:
    """One run of a comparison.

    ``label`` is short and unique, ``name`` that of its folder (the label for a run in memory). ``differs_in`` are the
    inputs in which it is not known to be as the base; ``attributable_to`` is the one where it is exactly one, and known.
    ``daily_difference`` is against the base, None where there are too few common sessions or for the base itself.
    """

    label: str
    name: str
    strategy: str
    mode: str
    start: int
    end: int
    zone: str
    currency: str
    sessions: int
    events: int
    starting_equity: float
    final_equity: float
    synthetic: bool
    guard_tripped: bool
    metrics: Mapping[str, float | None]
    curve: Curve
    inputs: Mapping[str, Any]
    differs_in: tuple[str, ...]
    attributable_to: str | None
    daily_difference: PairedDifference | None


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric of all runs, in their order. A difference is value - base's value, in the metric's unit.

    ``best`` are the numbers of the runs with the best value: none where no direction is better, where all are equal or
    unknown, or where money is in several currencies.
    """

    definition: Definition
    values: tuple[float | None, ...]
    differences: tuple[float | None, ...]
    best: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Runs side by side. ``base`` is the number of the run that differences are taken to, from 0.

    ``correlation`` is of daily returns over common sessions, shape (runs, runs); NaN where there are too few.
    ``differences`` are the inputs that are not the same in all runs. ``pairing`` says where two runs of one strategy
    parted; None with ``pairing_note`` saying why, where there is none. ``parity`` is there where two of them are of
    different modes, as a backtest and a paper run: whether they are the same.
    """

    runs: tuple[ComparedRun, ...]
    base: int
    rows: tuple[MetricRow, ...]
    differences: tuple[InputDifference, ...]
    notes: tuple[LoudNote, ...]
    correlation: F8
    pairing: Pairing | None = None
    pairing_note: str = ""
    parity: Parity | None = None

    @property
    def is_short(self) -> bool:
        """Whether every run is shorter than a day: then nothing by the year is shown."""
        return all(run.end - run.start < 86_400_000_000_000 for run in self.runs)

    def row(self, key: str) -> MetricRow:
        """The row of a metric, by its key."""
        return next(row for row in self.rows if row.definition.key == key)

    def __repr__(self) -> str:
        strategies = sorted({run.strategy for run in self.runs})
        paired = "" if self.pairing is None else f", paired: {self.pairing.difference:+,.2f} {self.pairing.currency}"
        base = self.runs[self.base]
        return f"Comparison({len(self.runs)} runs of {', '.join(strategies[:3])}, base {base.name}{paired})"

    def _repr_html_(self) -> str:
        from backtests.compare.notebook import notebook_html

        return notebook_html(self)

    def to_html(self) -> str:
        """One page that works by itself, without a network."""
        from backtests.compare.page import comparison_html

        return comparison_html(self)


def points_for(count: int) -> int:
    """Points of each curve, where ``count`` runs are compared."""
    return max(POINTS_MIN, min(POINTS_MAX, POINTS_OF_ALL // max(count, 1)))


def make_comparison(
    records: Sequence[RunRecord],
    names: Sequence[str],
    base: int = 0,
    *,
    pairing: Pairing | None = None,
    pairing_note: str = "",
    parity: Parity | None = None,
) -> Comparison:
    """Compare two runs or more; ``names`` are theirs, unique. Tables that are read: equity and daily."""
    inputs = [inputs_of(record) for record in records]
    returns = _daily(records)
    labels = _labels(records, names)
    points = points_for(len(records))
    runs = tuple(
        ComparedRun(
            label=labels[k],
            name=names[k],
            strategy=record.strategy,
            mode=str(record.mode),
            start=record.start,
            end=record.end,
            zone=record.zone,
            currency=record.currency,
            sessions=len(record.daily["date"]),
            events=record.events,
            starting_equity=record.starting_equity,
            final_equity=record.final_equity,
            synthetic=record.synthetic,
            guard_tripped=record.guard_tripped,
            metrics=record.metrics,
            curve=curve_of(record, points),
            inputs=inputs[k],
            differs_in=() if k == base else differing_inputs(inputs[base], inputs[k]),
            attributable_to=None if k == base else attributable_to(inputs[base], inputs[k]),
            daily_difference=None if k == base else _paired(returns[k], returns[base]),
        )
        for k, record in enumerate(records)
    )
    return Comparison(
        runs=runs,
        base=base,
        rows=_rows(runs, base),
        differences=input_differences(inputs),
        notes=loud_notes(inputs, base),
        correlation=correlations(returns),
        pairing=pairing,
        pairing_note=pairing_note,
        parity=parity,
    )


def _labels(records: Sequence[RunRecord], names: Sequence[str]) -> list[str]:
    """What tells runs apart in a narrow column: the last part of their names if these differ, else numbers."""
    ends = [name.rpartition("-")[2] for name in names]
    short = len(set(ends)) == len(ends) and all(1 <= len(end) <= 8 for end in ends)
    return ends if short else [str(number) for number in range(1, len(records) + 1)]


def _rows(runs: Sequence[ComparedRun], base: int) -> tuple[MetricRow, ...]:
    one_currency = len({run.currency for run in runs}) == 1
    rows = []
    for definition in DEFINITIONS:
        values = tuple(run.metrics.get(definition.key) for run in runs)
        comparable = one_currency or definition.unit is not Unit.MONEY
        anchor = values[base] if comparable else None
        differences = tuple(None if value is None or anchor is None else value - anchor for value in values)
        best = _best(values, definition.better) if comparable else ()
        rows.append(MetricRow(definition, values, differences, best))
    return tuple(rows)


def _best(values: Sequence[float | None], better: Better) -> tuple[int, ...]:
    known = [value for value in values if value is not None]
    if better is Better.NONE or len(known) < 2 or _is_equal(min(known), max(known)):
        return ()
    wanted = max(known) if better is Better.HIGHER else min(known)
    return tuple(number for number, value in enumerate(values) if value is not None and _is_equal(value, wanted))


def _is_equal(a: float, b: float) -> bool:
    """Whether two values differ by rounding at most: what was computed in another order is not better."""
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


# --- daily returns --------------------------------------------------------------------------------------------------


def _daily(records: Sequence[RunRecord]) -> F8:
    """The runs' daily returns on all sessions that any has, shape (runs, sessions); NaN where a run has none."""
    dates = np.unique(np.concatenate([np.asarray(record.daily["date"], np.int64) for record in records]))
    returns = np.full((len(records), len(dates)), np.nan)
    for k, record in enumerate(records):
        own = daily_returns(np.concatenate(([record.starting_equity], record.daily["equity"])))
        if own is not None:
            returns[k, np.searchsorted(dates, record.daily["date"])] = own
    return returns


def _paired(returns: F8, base: F8) -> PairedDifference | None:
    common = ~np.isnan(returns) & ~np.isnan(base)
    return paired_difference(returns[common], base[common])


def correlations(returns: F8) -> F8:
    """Pearson's correlation of each two rows over the columns that both have, shape (rows, rows).

    NaN below ``SESSIONS_MIN`` common columns, or where one of the two does not vary on them. Computed for all pairs at
    once from sums over common columns; each row is centred first, which leaves no digits to lose.
    """
    has = ~np.isnan(returns)
    count = has.sum(axis=1, keepdims=True)
    sums = np.where(has, returns, 0.0).sum(axis=1, keepdims=True)
    centred = np.where(has, returns - sums / np.maximum(count, 1), 0.0)
    mask = has.astype(np.float64)
    common = mask @ mask.T
    own = centred @ mask.T  # [i, j]: sum of i over the columns of j
    squares = (centred * centred) @ mask.T
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = centred @ centred.T - own * own.T / common
        variance = squares - own * own / common
        variance = np.where(variance > _NOISE * _NOISE * common, variance, np.nan)
        result: F8 = np.clip(covariance / np.sqrt(variance * variance.T), -1.0, 1.0)
    result[common < SESSIONS_MIN] = np.nan
    return result
