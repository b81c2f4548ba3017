"""``compare(...)``: runs in memory or on disk in, a :class:`Comparison` out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backtests.compare.comparison import Comparison, make_comparison, points_for
from backtests.compare.pairing import TOLERANCE_S, Pairing, pair_runs, why_unpaired
from backtests.compare.parity import Parity, parity_of
from papertape.core.errors import ConfigError
from papertape.core.record import RunRecord
from papertape.runs import Run, open_run
from papertape.store import load_outline, load_record

RUNS_MAX = 200

AnyRun = Run | RunRecord | str | Path


def compare(*runs: AnyRun, base: AnyRun | int | None = None, tolerance_s: float = TOLERANCE_S) -> Comparison:
    """Compare two runs or more, up to 200.

    A run is what ``backtest()`` or ``open_run()`` gave, a record, or the path of a run's folder. ``base`` is the run
    that differences are taken to: one of these or its number from 0; the first one unless told otherwise. Two runs of
    one strategy that overlap in time are paired as well, decision by decision: those that were decided at most
    ``tolerance_s`` apart can be the same. Raises ConfigError, and DataError for a run that cannot be read.
    """
    given = [_opened(run) for run in runs]
    number = _base(runs, base)
    if len(given) < 2:
        raise ConfigError("a comparison needs two runs or more")
    if len(given) > RUNS_MAX:
        raise ConfigError(f"{len(given)} runs: at most {RUNS_MAX} can be compared at once")
    if not 0.0 <= tolerance_s <= 86_400.0:
        raise ConfigError(f"a tolerance of {tolerance_s:g} s: 0 to 86400 is needed")
    points = points_for(len(given)) - 1  # the start is one more
    records = [run if isinstance(run, RunRecord) else load_outline(run, points=points) for run in given]
    pairing, note, parity = None, "", None
    if len(given) == 2:
        pairing, note, parity = _paired(given, records, number, tolerance_s)
    return make_comparison(records, _names(given), number, pairing=pairing, pairing_note=note, parity=parity)


def _opened(run: AnyRun) -> RunRecord | Path:
    """A record where there is one in memory, else the folder or file."""
    match run:
        case RunRecord():
            return run
        case Run():
            return run.record if run.path is None else run.path
        case str() | Path():
            opened = open_run(run)
            assert opened.path is not None, "it was opened from disk"
            return opened.path
    raise ConfigError(f"{type(run).__name__} is no run: give what backtest() or open_run() returned, or a path")


def _base(runs: Sequence[AnyRun], base: AnyRun | int | None) -> int:
    if base is None:
        return 0
    if isinstance(base, int):
        if not 0 <= base < len(runs):
            raise ConfigError(f"base={base}: the runs are numbered 0 to {len(runs) - 1}")
        return base
    for number, run in enumerate(runs):
        if run is base or (isinstance(run, str | Path) and isinstance(base, str | Path) and Path(run) == Path(base)):
            return number
    raise ConfigError("the base is not one of the runs that are compared")


def _names(runs: Sequence[RunRecord | Path]) -> list[str]:
    """A unique name for each run: that of its folder, or its strategy with a number."""
    names: list[str] = []
    for number, run in enumerate(runs, 1):
        name = f"{run.strategy}-{number}" if isinstance(run, RunRecord) else run.name
        names.append(name if name not in names else f"{name}-{number}")
    return names


def _paired(
    runs: Sequence[RunRecord | Path], outlines: Sequence[RunRecord], base: int, tolerance_s: float
) -> tuple[Pairing | None, str, Parity | None]:
    """The pairing of the base with the other run; the base is a, so that a cause above zero made the other better.

    With it, of runs of different modes, whether they are the same row by row.
    """
    first, second = base, 1 - base
    reason = why_unpaired(outlines[first], outlines[second])
    if reason:
        return None, reason, None
    full = [run if isinstance(run, RunRecord) else load_record(run) for run in (runs[first], runs[second])]
    reason = why_unpaired(*full)
    if reason:
        return None, reason, None
    names = _names(runs)
    labels = names[first], names[second]
    parity = parity_of(full[0], full[1], labels) if full[0].mode != full[1].mode else None
    return pair_runs(full[0], full[1], labels, tolerance_s=tolerance_s), "", parity
