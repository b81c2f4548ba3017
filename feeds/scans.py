"""Scans in a backtest: recorded ones as they were received, or derived from the tape as of the time of asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from feeds.point_in_time import Days, PointInTime
from papertape.core.errors import ConfigError, did_you_mean
from papertape.core.model import Instrument, Scan, ScanRow, ScanSpec
from papertape.core.requests import ScanRequest
from papertape.core.series import F8, Tape


class ScanSource(StrEnum):
    """Where a backtest's scans come from."""

    DERIVED = "derived"
    RECORDED = "recorded"


RANKINGS: Mapping[str, Callable[[Days], F8]] = {
    "MOST_ACTIVE": lambda days: days.volume,
    "TOP_PERC_GAIN": lambda days: days.last / days.previous_close - 1.0,
    "TOP_PERC_LOSE": lambda days: -(days.last / days.previous_close - 1.0),
    "TOP_OPEN_PERC_GAIN": lambda days: days.last / days.open - 1.0,
    "TOP_OPEN_PERC_LOSE": lambda days: -(days.last / days.open - 1.0),
}
"""Scan code -> what is ranked, greatest first; NaN (no prior close) leaves an instrument out."""

_AGAINST_PRIOR_CLOSE = ("TOP_PERC_GAIN", "TOP_PERC_LOSE")
"""Codes that rank nothing on a tape's first session."""

_REFERENCE: Mapping[str, str] = {
    "avg_volume_above": "average_volume",
    "market_cap_above_1e6": "market_cap",
    "market_cap_below_1e6": "market_cap",
}
"""Filter -> the column of instruments.csv that it needs, named as the field of an Instrument."""

_HOLDS: Mapping[str, Callable[[Days, F8, float], NDArray[np.bool_]]] = {
    "price_above": lambda days, _, bound: days.last > bound,
    "price_below": lambda days, _, bound: days.last < bound,
    "volume_above": lambda days, _, bound: days.volume > bound,
    "avg_volume_above": lambda days, value, bound: value > bound,
    "market_cap_above_1e6": lambda days, value, bound: value > bound * 1e6,
    "market_cap_below_1e6": lambda days, value, bound: value < bound * 1e6,
}
"""Filter -> whether it holds, of the day so far, the reference value (NaN unknown: never) and the bound."""


def check_scan(spec: ScanSpec, tape: Tape, source: ScanSource) -> None:
    """ConfigError where a scan can not be derived: an unknown code or filter, or a column that is not there."""
    if source is ScanSource.RECORDED:
        return
    if spec.code not in RANKINGS:
        raise ConfigError(f'scan "{spec.code}" can not be derived from a tape{did_you_mean(spec.code, RANKINGS)}')
    for name in spec.filters:
        if name not in _HOLDS:
            raise ConfigError(f'unknown scan filter "{name}"{did_you_mean(name, _HOLDS)}')
        if name in _REFERENCE and _REFERENCE[name] not in tape.reference_columns:
            column = _REFERENCE[name]
            raise ConfigError(
                f'scan filter {name} needs the column "{column}", which no instruments.csv beside the tape has'
            )


def evaluate(view: PointInTime, tape: Tape, source: ScanSource, request: ScanRequest, now: int) -> Scan:
    """The scan's result as of ``now``; empty with a note where there is nothing to rank."""
    check_scan(request.spec, tape, source)
    if source is ScanSource.RECORDED:
        return _recorded(tape, request, now)
    return _derived(view, request, now)


def _recorded(tape: Tape, request: ScanRequest, now: int) -> Scan:
    code = request.spec.code
    known = [scan for scan in tape.recorded_scans or () if scan.code == code and scan.ts <= now]
    if not known:
        return Scan(code, now, (), "recorded", "no such scan was recorded up to then")
    latest = max(known, key=lambda scan: scan.ts)
    rows = tuple(row for row in latest.rows if row.symbol in view_symbols(tape))[: request.rows]
    left_out = len(latest.rows[: request.rows]) - len(rows)
    note = f"{left_out} recorded row(s) have no tape" if left_out > 0 else ""
    return Scan(code, now, rows, "recorded", note)


def view_symbols(tape: Tape) -> frozenset[str]:
    """Symbols that the tape has events of."""
    return frozenset(tape.symbols)


def _derived(view: PointInTime, request: ScanRequest, now: int) -> Scan:
    spec = request.spec
    days = view.days(now)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = RANKINGS[spec.code](days)
    passing = days.is_today & ~np.isnan(score) & view.tradable
    for name, bound in spec.filters.items():
        passing &= _HOLDS[name](days, view.reference(_REFERENCE.get(name)), bound)
    chosen = np.flatnonzero(passing)
    best = np.lexsort((view.alphabetical[chosen], -days.volume[chosen], -score[chosen]))[: request.rows]
    rows = tuple(_row(k, view.instruments[j]) for k, j in enumerate(chosen[best].tolist()))
    note = ""
    if not rows:
        note = f"empty: {_why_empty(spec.code, days)}"
    return Scan(spec.code, now, rows, "derived", note)


def _why_empty(code: str, days: Days) -> str:
    if not days.is_today.any():
        return "nothing was traded yet in this session"
    if code in _AGAINST_PRIOR_CLOSE and np.isnan(days.previous_close[days.is_today]).all():
        return "the tape has no prior session's close to compare with yet"
    return "no instrument passed the filters"


def _row(rank: int, instrument: Instrument) -> ScanRow:
    return ScanRow(rank, instrument.symbol, instrument.con_id, instrument.exchange, instrument.currency)
