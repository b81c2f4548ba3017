"""backtrader's analyzers on our runs: found by name, attached to Cerebro, and what they found as numbers and series."""

from __future__ import annotations

import datetime as dt
import inspect
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from papertape.core.errors import ConfigError, did_you_mean
from papertape.core.model import NS_PER_S, Note

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # as in backtests/cerebro_market.py
    import backtrader as bt

PREFIX = "backtrader."
"""What the names of an analyzer's metrics and series begin with."""
VALUES_MAX = 1_000
"""Most single numbers that are kept of one analyzer."""
POINTS_MAX = 200_000
"""Most points of a series that are kept of one analyzer: the last ones."""
_SHORT = {"sharpe": "SharpeRatio", "trades": "TradeAnalyzer"}


@dataclass(slots=True)
class Findings:
    """What analyzers found: numbers by dotted name (None: does not apply), series of (UTC ns, value), and remarks."""

    metrics: dict[str, float | None] = field(default_factory=dict)
    series: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


def known_analyzers() -> dict[str, type]:
    """The analyzers of backtrader by the names of their classes."""
    found = inspect.getmembers(bt.analyzers, lambda each: inspect.isclass(each) and issubclass(each, bt.Analyzer))
    return {name: each for name, each in found if each.__module__.startswith("backtrader.analyzers.")}


def analyzer_class(given: Any) -> type:
    """An analyzer by its name, in capitals or not, or the class itself. ConfigError where there is none."""
    if inspect.isclass(given) and issubclass(given, bt.Analyzer):
        return given
    known = known_analyzers()
    by_lower = {name.lower(): each for name, each in known.items()}
    wanted = _SHORT.get(str(given).lower(), str(given)).lower()
    if wanted not in by_lower:
        raise ConfigError(f'backtrader has no analyzer "{given}"{did_you_mean(str(given), known)}')
    return by_lower[wanted]


def chosen_analyzers(given: Iterable[Any]) -> dict[str, type]:
    """Analyzers by the names that their findings get. ConfigError for one that is unknown, or named twice."""
    found: dict[str, type] = {}
    for each in given:
        kind = analyzer_class(each)
        name = kind.__name__.lower()
        if name in found:
            raise ConfigError(f'the analyzer "{kind.__name__}" is named twice; once is enough')
        found[name] = kind
    return found


def add_analyzers(cerebro: Any, given: Iterable[Any]) -> list[str]:
    """Attach analyzers; returns their names. Those that go by the year unless told otherwise go by the day."""
    chosen = chosen_analyzers(given)
    for name, kind in chosen.items():
        by_years = getattr(getattr(kind, "params", None), "timeframe", None) == bt.TimeFrame.Years
        cerebro.addanalyzer(kind, _name=name, **({"timeframe": bt.TimeFrame.Days} if by_years else {}))
    return list(chosen)


def findings_of(shell: Any, names: Sequence[str]) -> Findings:
    """What the analyzers of a run found."""
    found = Findings()
    for name in names:
        _take(found, name, getattr(shell.analyzers, name).get_analysis())
    return found


def _take(found: Findings, name: str, analysis: Any) -> None:
    values: dict[str, float | None] = {}
    points: dict[str, list[tuple[int, float]]] = {}
    left_out = 0
    for keys, value in flattened(analysis, ()):
        ts = next((_time(key) for key in keys if isinstance(key, dt.date)), None)
        words = [name, *(str(key) for key in keys if not isinstance(key, dt.date))]
        if not _is_number(value):
            left_out += 1
        elif ts is not None:
            points.setdefault(PREFIX + ".".join(words), []).append((ts, math.nan if value is None else float(value)))
        else:
            values[PREFIX + ".".join(words)] = None if value is None or value != value else float(value)
    for each in list(values)[VALUES_MAX:]:
        del values[each]
        left_out += 1
    found.metrics.update(values)
    for series, rows in points.items():
        rows.sort(key=lambda row: row[0])
        left_out += max(0, len(rows) - POINTS_MAX)
        ts_of, value_of = zip(*rows[-POINTS_MAX:], strict=True)
        found.series[series] = np.array(ts_of, np.int64), np.array(value_of, np.float64)
    if left_out:
        text = f"the analyzer {name} found {left_out:,} values that are no numbers or too many; they are not kept"
        found.notes.append(Note("analyzer", text))


def flattened(value: Any, keys: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The leaves of nested mappings and sequences, each with the keys (or places) that lead to it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flattened(inner, (*keys, key))
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            yield from flattened(inner, (*keys, place))
    else:
        yield keys, value


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, Real)


def _time(day: dt.date) -> int:
    """A key that is a date or time, which backtrader means in UTC, as nanoseconds."""
    moment = day if isinstance(day, dt.datetime) else dt.datetime.combine(day, dt.time.min)
    since = moment.replace(tzinfo=dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * 1_000
