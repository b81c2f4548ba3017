"""A comparison on a terminal: runs as columns when they are few, as rows when they are many; 80 columns wide."""

from __future__ import annotations

import re
from collections.abc import Sequence

from backtests.compare.causes import CAUSE_TEXTS, Cause
from backtests.compare.comparison import ComparedRun, Comparison, MetricRow
from backtests.compare.content import (
    attribution_text,
    difference_text,
    differences_table,
    headline,
    interval_text,
    shown_rows,
    warning_texts,
)
from backtests.compare.pairing import Pairing
from backtests.compare.pairing_tables import counts_text, symbols_table
from backtests.compare.parity import parity_table, parity_text
from backtests.definitions import NOT_AVAILABLE, Definition, Unit
from backtests.report.cells import amount_text
from papertape.cli.text import INDENT, WIDTH, clean, heading, table, warn, wrapped
from papertape.moments import time_text

COLUMNS_MAX = 4
"""Most runs that fit beside each other as columns."""
ROWS_OF_MANY = 200
PARITY_ROWS = 10
"""Values listed that are not the same in a backtest and a paper run."""
CUT = 26
"""Width that a value in a table of inputs is cut to."""

_MANY = ("total_return", "max_drawdown", "sharpe", "trades")
_STAR = "*"


def comparison_lines(comparison: Comparison) -> list[str]:
    """The comparison as lines; styles are in them, and nothing of a table is wider than 80 columns."""
    runs = comparison.runs
    lines = [f"{heading(clean(headline(comparison)))}  base {clean(runs[comparison.base].label)}"]
    lines += [warn(line) for text in warning_texts(comparison) for line in wrapped(clean(text), rest="    ")]
    beside = _metrics_of_few(comparison) if len(runs) <= COLUMNS_MAX else []
    few = bool(beside) and all(_width(line) <= WIDTH for line in beside)
    sections = [
        _row_by_row(comparison),
        _list_of_few(comparison) if few else [],
        beside if few else _metrics_of_many(comparison),
        _inputs(comparison),
        _daily(comparison) if few else [],
        _paired(comparison),
    ]
    for section in sections:
        if section:
            lines += ["", *section]
    return lines


def _list_of_few(comparison: Comparison) -> list[str]:
    rows = [
        (
            run.label, run.strategy[:20], run.mode, time_text(run.start, run.zone)[:10],
            time_text(run.end, run.zone)[:10], f"{run.sessions:,}", f"{run.events:,}",
        )
        for run in comparison.runs
    ]  # fmt: skip
    header = ("run", "strategy", "mode", "from", "to", "sessions", "events")
    return _fitted(header, rows, ("run", "strategy", "mode", "from", "to"), ("events", "sessions", "mode"))


def _metrics_of_few(comparison: Comparison) -> list[str]:
    """Metrics down, runs across; two runs have their difference beside them, more have it below each other."""
    runs, base = comparison.runs, comparison.base
    rows = [row for row in shown_rows(comparison) if any(row.values)]
    two = len(runs) == 2
    header = ["", *(_head(run, number == base) for number, run in enumerate(runs)), *(["difference"] if two else [])]
    body = []
    for row in rows:
        cells = [_title(row.definition, runs), *(_value(row, number) for number in range(len(runs)))]
        if two:
            cells.append(difference_text(row.definition, row.differences[1 - base]))
        body.append(cells)
    lines = [heading("Metrics"), *table(header, body, left=("",))]
    lines.append(f"{INDENT}{_STAR} the best of a row")
    return lines if two else [*lines, *_differences_of_few(comparison, rows, header)]


def _differences_of_few(comparison: Comparison, rows: Sequence[MetricRow], header: Sequence[str]) -> list[str]:
    """The differences to the base, of metrics in which there is one."""
    body = []
    for row in rows:
        cells = [difference_text(row.definition, each) for each in row.differences]
        if any(any(digit in cell for digit in "123456789") for cell in cells):
            cells[comparison.base] = ""
            body.append([_title(row.definition, comparison.runs), *cells])
    return ["", heading("Differences to the base"), *table(header, body, left=("",))] if body else []


def _head(run: ComparedRun, is_base: bool) -> str:
    return f"{run.label} (base)" if is_base else run.label


def _title(definition: Definition, runs: Sequence[ComparedRun]) -> str:
    currencies = {run.currency for run in runs}
    return (
        f"{definition.title}, {currencies.pop()}"
        if definition.unit is Unit.MONEY and len(currencies) == 1
        else definition.title
    )


def _value(row: MetricRow, number: int) -> str:
    value = row.values[number]
    if value is None:
        return NOT_AVAILABLE
    return row.definition.show(value + 0.0) + (_STAR if number in row.best else " ")


def _metrics_of_many(comparison: Comparison) -> list[str]:
    """A row a run, the best first by the Sharpe ratio, else by the total return."""
    runs = comparison.runs
    by = comparison.row("sharpe")
    if all(value is None for value in by.values):
        by = comparison.row("total_return")
    order = sorted(range(len(runs)), key=lambda k: (by.values[k] is None, -(by.values[k] or 0.0), k))
    keys = [key for key in _MANY if any(value is not None for value in comparison.row(key).values)]
    rows = []
    for number in order[:ROWS_OF_MANY]:
        run = runs[number]
        change = comparison.row("total_return").differences[number]
        cells = [_head(run, number == comparison.base), *(_value(comparison.row(key), number) for key in keys)]
        cells.insert(2, "" if number == comparison.base else _points(change))
        rows.append([*cells, "" if number == comparison.base else _short(run)])
    titles = [comparison.row(key).definition.title.lower().replace("total ", "").replace("max ", "") for key in keys]
    header = ["run", titles[0], "less base", *titles[1:], "daily, less base"]
    note = f"{_STAR} the best of a column; daily in basis points with its interval of 95 %; ! beyond chance"
    return [heading("Runs, the best first"), *_fitted(header, rows, ("run",), ("trades", "drawdown")), *wrapped(note)]


_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def _width(line: str) -> int:
    """Columns that a line takes on a terminal."""
    return len(_STYLE.sub("", line))


def _fitted(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str], spare: Sequence[str]
) -> list[str]:
    """A table of at most 80 columns: while it is wider, the first of the ``spare`` columns goes."""
    lines = table(header, rows, left=left)
    for name in spare:
        if max(_width(line) for line in lines) <= WIDTH or name not in header:
            continue
        place = list(header).index(name)
        header = [*header[:place], *header[place + 1 :]]
        rows = [[*row[:place], *row[place + 1 :]] for row in rows]
        lines = table(header, rows, left=left)
    return lines


def _points(change: float | None) -> str:
    return NOT_AVAILABLE if change is None else f"{round(change * 100, 2) + 0.0:+,.2f}"


def _short(run: ComparedRun) -> str:
    found = run.daily_difference
    if found is None:
        return NOT_AVAILABLE
    mark = "!" if found.is_beyond_chance else " "
    return f"{found.mean * 1e4:+.1f} ({found.low * 1e4:+.1f}..{found.high * 1e4:+.1f}){mark}"


def _inputs(comparison: Comparison) -> list[str]:
    """What was set differently, and what a difference can be put down to."""
    if not comparison.differences:
        return [
            heading("Set differently"),
            f"{INDENT}nothing: parameters, settings, data, code and versions are the same",
        ]
    found = differences_table(comparison)
    room = max(8, min(CUT, (WIDTH - 28) // max(len(found.columns) - 1, 1) - 2))
    rows = [[_cut(row[0].text, 26), *(_cut(cell.text, room) for cell in row[1:])] for row in found.rows]
    lines = [
        heading("Set differently"),
        *table([column.title for column in found.columns], rows, left=[column.title for column in found.columns]),
    ]
    if len(comparison.runs) <= COLUMNS_MAX:
        for number, run in enumerate(comparison.runs):
            if number != comparison.base:
                lines += wrapped(f"{run.label}: {_attribution(run)}", rest="    ")
    return lines


def _attribution(run: ComparedRun) -> str:
    text = clean(attribution_text(run))
    if run.attributable_to is not None:
        return f"differs from the base in {text}: what came out differently is attributable to it"
    return f"differs from the base in {text}" + (": not attributable to one of them" if len(run.differs_in) > 1 else "")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _daily(comparison: Comparison) -> list[str]:
    """Whether the daily returns differ by more than chance."""
    lines = [heading("Daily return, less that of the base")]
    for number, run in enumerate(comparison.runs):
        if number == comparison.base:
            continue
        found = run.daily_difference
        text = interval_text(found)
        if found is not None:
            text += (
                f" over {found.sessions:,} sessions: {'beyond chance' if found.is_beyond_chance else 'may be chance'}"
            )
        else:
            text += ": too few sessions in common"
        lines += wrapped(f"{run.label}  {text}", rest="    ")
    return lines


def _row_by_row(comparison: Comparison) -> list[str]:
    """Whether runs of two modes are the same, and the first values in which they are not."""
    parity = comparison.parity
    if parity is None:
        return []
    lines = wrapped(parity_text(parity), rest="    ")
    found = parity_table(parity)
    rows = [[clean(cell.text)[:CUT] for cell in row] for row in found.rows[:PARITY_ROWS]]
    titles = ["table", "row", "value", *(_label(comparison, name) for name in (parity.a, parity.b))]
    return [*lines, *table(titles, rows, left=("table", "value"))] if rows else lines


def _paired(comparison: Comparison) -> list[str]:
    pairing = comparison.pairing
    if pairing is None:
        return [f"{heading('Pairing')}  none: {clean(comparison.pairing_note)}"] if comparison.pairing_note else []
    first, second = clean(_label(comparison, pairing.a)), clean(_label(comparison, pairing.b))
    lines = [heading(f"Why {second} differs from {first}")]
    lines += wrapped(
        f"{time_text(pairing.start, pairing.zone)} to {time_text(pairing.end, pairing.zone)} ({pairing.zone}); decisions "
        f"up to {pairing.tolerance_s:g} s apart can be the same"
    )
    for text in counts_text(pairing).split("; "):
        lines += wrapped(text, rest="    ")
    lines += _causes(pairing, first, second)
    for note in pairing.notes:
        lines += wrapped(clean(note), rest="    ")
    by_symbol = symbols_table(pairing)
    if len(by_symbol.rows) > 1 and any(pairing.causes.values()):
        rows = [[cell.text for cell in row] for row in by_symbol.rows[:10]]
        more = [f"{INDENT}... and {len(by_symbol.rows) - 10:,} more"] if len(by_symbol.rows) > 10 else []
        lines += ["", heading(f"By symbol, in {clean(pairing.currency)}")]
        titles = [column.title for column in by_symbol.columns]
        sums = {name: abs(pairing.causes[name]) for name in CAUSE_TEXTS}
        spare = sorted((name.value for name in sums if name in titles), key=lambda name: sums[Cause(name)])
        lines += [*_fitted(titles, rows, ("Symbol",), spare), *more]
    return lines


def _label(comparison: Comparison, name: str) -> str:
    return next((run.label for run in comparison.runs if run.name == name), name)


def _causes(pairing: Pairing, first: str, second: str) -> list[str]:
    """The causes as a sum."""
    amounts = [(cause.value, pairing.causes[cause], CAUSE_TEXTS[cause]) for cause in CAUSE_TEXTS]
    rows = [(name, amount_text(amount, signed=True), text) for name, amount, text in amounts if amount]
    rows.append(("difference", amount_text(pairing.difference, signed=True), "exactly the sum of these"))
    profits = f"net profit {amount_text(pairing.profit_a)} of {first}, {amount_text(pairing.profit_b)} of {second}"
    return [*wrapped(profits), *table(("cause", clean(pairing.currency), ""), rows, left=("cause", ""))]
