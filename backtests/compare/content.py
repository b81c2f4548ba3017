"""What a comparison says, as plain tables of texts: the page, the notebook and the terminal show these."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from backtests.compare.bootstrap import PairedDifference
from backtests.compare.comparison import ComparedRun, Comparison, MetricRow
from backtests.compare.inputs import InputDifference
from backtests.definitions import NOT_AVAILABLE, Definition, Unit
from backtests.report.cells import UNKNOWN as NO_CELL
from backtests.report.cells import words
from backtests.report.metric_tables import NEEDS_DAYS, SIGNED, metric_text
from backtests.report.parts import Align, Cell, Column, Table, Tone, from_columns
from backtests.report.tables import setting_text
from papertape.core.model import NS_PER_S
from papertape.moments import time_text

BEST = "★ "
"""Stands before the best value of a row, so that figures still align at their ends."""
COLUMNS_MAX = 6
"""Most runs that stand as columns; more are rows."""
PARAMETERS_MAX = 8
"""Most inputs that differ for which the list of many runs has columns of their own."""
LEGEND_MAX = 4
"""Most inputs that differ that stand beside each curve's name."""
NAMED_MAX = 5
"""Most runs that a warning names."""
MATRIX_MAX = 20
"""Most runs whose correlations with each other are all shown."""
MANY_INTERVALS = 20
"""From so many intervals of 95 % on one in twenty is beyond chance by chance: the note says so."""

_KEY_METRICS = ("net_profit", "total_return", "sharpe", "max_drawdown", "trades", "win_rate", "fees")
_DIFFERENCES = ("net_profit", "total_return", "sharpe", "max_drawdown")
_OWN_WORDS = {"data", "window", "code"}


def difference_text(definition: Definition, value: float | None) -> str:
    """A difference to the base, with its sign; of percentages in percentage points."""
    if value is None:
        return NOT_AVAILABLE
    if definition.unit is Unit.PERCENT:
        return f"{value * 100.0 + 0.0:+,.2f} pp" if round(value * 100.0, 2) else "0.00 pp"
    text = definition.show(abs(value))
    is_nothing = not any(digit in text for digit in "123456789")
    return text if is_nothing else ("+" if value > 0.0 else "-") + text


def interval_text(found: PairedDifference | None) -> str:
    """A mean daily difference with its interval, in basis points a day; n/a where there is none."""
    if found is None:
        return NOT_AVAILABLE
    mean, low, high = (1e4 * each + 0.0 for each in (found.mean, found.low, found.high))
    return f"{mean:+.2f} bp ({low:+.2f} to {high:+.2f})"


def attribution_text(run: ComparedRun) -> str:
    """What a run's difference to the base can be put down to."""
    if not run.differs_in:
        return "nothing: the same inputs"
    if run.attributable_to is not None:
        return f"{input_name(run.attributable_to)} alone"
    names = [input_name(key) for key in run.differs_in]
    if len(names) == 1:
        return f"{names[0]}, which is unknown"
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return f"{len(run.differs_in)} inputs: {shown}"


def input_name(key: str) -> str:
    """An input's name as it is given: parameters by theirs alone."""
    return key.removeprefix("parameters.")


def input_text(key: str, value: Any, zone: str) -> str:
    """The value of an input as a person reads it."""
    if value is None:
        return "none"
    if key == "window":
        return f"{time_text(value[0], zone)} to {time_text(value[1], zone)}"
    if key in _OWN_WORDS:
        return str(value)[:12]
    return f"{value:.10g}" if isinstance(value, float) else setting_text(value)


def shown_rows(comparison: Comparison) -> list[MetricRow]:
    """The metrics that are known for some run; none by the year where all runs are shorter than a day."""
    return [
        row
        for row in comparison.rows
        if any(value is not None for value in row.values)
        and not (comparison.is_short and row.definition.key in NEEDS_DAYS)
    ]


def overview_table(comparison: Comparison) -> Table:
    """One row a run: its key metrics, their differences to the base, and what it was set to where that differs."""
    runs = comparison.runs
    titles = [run.label + (" (base)" if number == comparison.base else "") for number, run in enumerate(runs)]
    columns = [(Column("run", "Run", Align.LEFT), words(titles))]
    if len({run.strategy for run in runs}) > 1:
        columns.append((Column("strategy", "Strategy", Align.LEFT), words(run.strategy for run in runs)))
    columns += _input_columns(comparison)
    for key in _KEY_METRICS:
        row = comparison.row(key)
        if row not in shown_rows(comparison):
            continue
        columns.append((Column(key, _title(row, runs), Align.RIGHT, row.definition.text), _values(row, runs)))
        if key in _DIFFERENCES:
            cells = [
                NO_CELL
                if each is None
                else Cell("-" if number == comparison.base else difference_text(row.definition, each), each)
                for number, each in enumerate(row.differences)
            ]
            title = f"{row.definition.title}, less base"
            columns.append((Column(f"{key}_difference", title, help="The run's value less the base's."), cells))
    columns += _against_base(comparison)
    return from_columns("overview", "Runs", columns, overview_note(comparison))


def overview_note(comparison: Comparison) -> str:
    """What the reader of the list must know."""
    base = comparison.runs[comparison.base]
    text = f"Differences are to {base.label}. {BEST.strip()} marks the best of a column."
    if sum(run.daily_difference is not None for run in comparison.runs) >= MANY_INTERVALS:
        text += " Of so many intervals of 95 % about one in twenty leaves out zero by chance alone."
    shown, differ = _inputs_shown(comparison)
    if len(shown) < len(differ):
        text += (
            f" {len(shown)} of the {len(differ)} inputs that differ have columns here; all: what was set differently."
        )
    return text


def _title(row: MetricRow, runs: Sequence[ComparedRun]) -> str:
    currencies = {run.currency for run in runs}
    is_money = row.definition.unit is Unit.MONEY and len(currencies) == 1
    return f"{row.definition.title} ({currencies.pop()})" if is_money else row.definition.title


def _values(row: MetricRow, runs: Sequence[ComparedRun]) -> list[Cell]:
    """The values of a metric; money with its currency only where the runs have several."""
    many = len({run.currency for run in runs}) > 1
    cells = []
    for number, (value, run) in enumerate(zip(row.values, runs, strict=True)):
        if value is None:
            cells.append(NO_CELL)
            continue
        text = metric_text(row.definition, value, run.currency) if many else row.definition.show(value + 0.0)
        is_best = number in row.best
        tone = Tone.BAD if row.definition.key in SIGNED and value < 0.0 else Tone.GOOD if is_best else Tone.NONE
        cells.append(Cell(BEST + text if is_best else text, value, tone))
    return cells


def _inputs_shown(comparison: Comparison) -> tuple[list[InputDifference], list[InputDifference]]:
    """(inputs that have columns in the list of runs, all that could have): of too many the first parameters."""
    differ = [each for each in comparison.differences if each.key not in ("strategy", *_OWN_WORDS)]
    differ = [each for each in differ if not each.key.startswith("versions.")]
    differ.sort(key=lambda each: not each.key.startswith("parameters."))
    if len(differ) <= PARAMETERS_MAX:
        return differ, differ
    return [each for each in differ if each.key.startswith("parameters.")][:PARAMETERS_MAX], differ


def _input_columns(comparison: Comparison) -> list[tuple[Column, list[Cell]]]:
    """Inputs that differ as columns, parameters first."""
    columns = []
    for each in _inputs_shown(comparison)[0]:
        cells = []
        for value, run in zip(each.values, comparison.runs, strict=True):
            text = input_text(each.key, value, run.zone)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            cells.append(Cell(text, float(value) if is_number else text))
        numeric = all(isinstance(cell.sort, float) for cell in cells)
        columns.append((Column(each.key, input_name(each.key), Align.RIGHT if numeric else Align.LEFT), cells))
    return columns


def settings_texts(comparison: Comparison) -> list[str]:
    """For each run the inputs in which the runs differ, as a legend says them: ``fast 4, slow 48``."""
    columns = _input_columns(comparison)
    if len(columns) > LEGEND_MAX:
        return [""] * len(comparison.runs)
    named = [[f"{column.title} {cell.text}" for cell in cells] for column, cells in columns]
    return [", ".join(each[number] for each in named) for number in range(len(comparison.runs))]


def _against_base(comparison: Comparison) -> list[tuple[Column, list[Cell]]]:
    """How each run stands to the base: daily difference, correlation, and what it can be put down to."""
    columns = []
    if any(run.daily_difference is not None for run in comparison.runs):
        cells = [
            NO_CELL
            if (found := run.daily_difference) is None
            else Cell(interval_text(found), found.mean, _beyond(found))
            for run in comparison.runs
        ]
        text = "Mean of the daily return less the base's on common sessions, with its bootstrap interval of 95 %."
        columns.append((Column("daily", "Daily return, less base", help=text), cells))
        correlation = comparison.correlation[comparison.base]
        cells = [NO_CELL if math.isnan(each) else Cell(f"{each:.2f}", float(each)) for each in correlation]
        text = "Pearson's, of daily returns with the base's."
        columns.append((Column("correlation_with_base", "Correlation", help=text), cells))
    texts = ["" if number == comparison.base else attribution_text(run) for number, run in enumerate(comparison.runs)]
    text = "The inputs that are not as in the base. Only where it is one can the difference be put down to it."
    columns.append((Column("differs_in", "Differs from base in", Align.LEFT, text), words(texts)))
    return columns


def _beyond(found: PairedDifference) -> Tone:
    if not found.is_beyond_chance:
        return Tone.NONE
    return Tone.GOOD if found.mean > 0.0 else Tone.BAD


def metrics_table(comparison: Comparison) -> Table:
    """Every metric: a row each with a column a run for few runs, else a row a run."""
    runs = comparison.runs
    rows = shown_rows(comparison)
    if len(runs) > COLUMNS_MAX:
        columns = [(Column("run", "Run", Align.LEFT), words(run.label for run in runs))]
        for row in rows:
            column = Column(row.definition.key, _title(row, runs), Align.RIGHT, row.definition.text)
            columns.append((column, _values(row, runs)))
        return from_columns("metrics", "All metrics", columns)
    columns = [(Column("metric", "Metric", Align.LEFT), words(_title(row, runs) for row in rows))]
    values = [_values(row, runs) for row in rows]
    for number, run in enumerate(runs):
        title = run.label + (" (base)" if number == comparison.base else "")
        columns.append((Column(f"run_{number}", title), [each[number] for each in values]))
        if number != comparison.base:
            cells = [Cell(difference_text(row.definition, row.differences[number])) for row in rows]
            columns.append((Column(f"difference_{number}", "less base"), cells))
    return from_columns("metrics", "All metrics", columns)


def differences_table(comparison: Comparison) -> Table:
    """The inputs that differ, a row each with a column a run; for many runs how many values there are."""
    found, runs = comparison.differences, comparison.runs
    columns = [(Column("input", "Input", Align.LEFT), words(each.key for each in found))]
    if len(runs) > COLUMNS_MAX:
        counts = [len({repr(value) for value in each.values}) for each in found]
        columns.append((Column("count", "Values"), [Cell(f"{count:,}", float(count)) for count in counts]))
        texts = []
        for each in found:
            distinct = dict.fromkeys(input_text(each.key, value, runs[0].zone) for value in each.values)
            texts.append(", ".join(list(distinct)[:8]) + (", ..." if len(distinct) > 8 else ""))
        columns.append((Column("values", "Which", Align.LEFT), words(texts)))
    else:
        for number, run in enumerate(runs):
            cells = words(input_text(each.key, each.values[number], run.zone) for each in found)
            columns.append((Column(f"run_{number}", run.label, Align.LEFT), cells))
    nothing = "Nothing: parameters, settings, data, code and versions are the same."
    return from_columns("differences", "What was set differently", columns, "" if found else nothing)


def correlation_table(comparison: Comparison) -> Table | None:
    """Correlations of daily returns of each run with each; None for two runs, for many, or where none is known."""
    runs, matrix = comparison.runs, comparison.correlation
    if not 2 < len(runs) <= MATRIX_MAX or not np.isfinite(matrix[~np.eye(len(runs), dtype=bool)]).any():
        return None
    columns = [(Column("run", "Run", Align.LEFT), words(run.label for run in runs))]
    for number, run in enumerate(runs):
        cells = [NO_CELL if math.isnan(each) else Cell(f"{each:.2f}", float(each)) for each in matrix[:, number]]
        columns.append((Column(f"run_{number}", run.label), cells))
    return from_columns("correlation", "Correlation of daily returns", columns, "Over the sessions that both played.")


def headline(comparison: Comparison) -> str:
    """The comparison in one line."""
    runs = comparison.runs
    strategies = sorted({run.strategy for run in runs})
    named = ", ".join(strategies[:3]) + (", ..." if len(strategies) > 3 else "")
    return f"{len(runs)} runs of {named}"


def warning_texts(comparison: Comparison) -> list[str]:
    """What must be seen before two figures are held against each other."""
    runs = comparison.runs
    found = []
    for note in comparison.notes:
        base, others = note.values[comparison.base], [note.values[k] for k in note.runs]
        values = dict.fromkeys(input_text(note.key, each, runs[0].zone) for each in (base, *others))
        shown = " / ".join(list(values)[:3]) + (" / ..." if len(values) > 3 else "")
        named = ", ".join(runs[k].label for k in note.runs[:NAMED_MAX])
        named += f", ... ({len(note.runs)} runs)" if len(note.runs) > NAMED_MAX else ""
        is_one = len(values) == 1  # two unknowns
        found.append(f"{note.text} (in {named}{'' if is_one else ': ' + shown})")
    if all(run.synthetic for run in runs):
        found.append("SYNTHETIC TAPE: a generated market; the results say nothing about a real one")
    tripped = [run.label for run in runs if run.guard_tripped]
    if tripped:
        more = f", ... ({len(tripped)} runs)" if len(tripped) > NAMED_MAX else ""
        found.append(f"the guard tripped in {', '.join(tripped[:NAMED_MAX])}{more}")
    return found


def seconds_text(ns: int) -> str:
    """A difference in time with its sign."""
    seconds = ns / NS_PER_S
    return f"{seconds:+,.3f} s" if abs(seconds) < 100.0 else f"{seconds:+,.0f} s"
