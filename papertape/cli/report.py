"""The table at the end of a run, and of a run that is shown again: what came of it, and whether to believe it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from backtests.definitions import DEFINITION_OF, Unit
from papertape.cli.text import beside, clean, heading, labelled, table, warn, wrapped
from papertape.core.model import NS_PER_S, Severity
from papertape.core.record import RunRecord
from papertape.moments import clock_text, time_text
from papertape.runs import Run

DAY_NS = 86_400 * NS_PER_S
POSITIONS_SHOWN = 10
LOG_LINES_SHOWN = 12
SYNTHETIC = "SYNTHETIC TAPE: a generated market; the result says nothing about a real one"

_RESULT = ("net_profit", "total_return", "max_drawdown")
_LONG = ("cagr", "volatility", "sharpe", "sortino", "calmar")
"""Annualised: nothing for a run shorter than a day."""
_BENCHMARK = ("beta", "alpha", "correlation")
_TRADES = (
    "trades", "win_rate", "expectancy", "average_win", "average_loss", "best_trade", "worst_trade", "profit_factor",
    "average_duration_s",
)  # fmt: skip
_COSTS = ("fees", "slippage")
_ACTIVITY = ("orders_submitted", "orders_filled")
_ACTIVITY_WHERE_ANY = ("orders_partly_filled", "orders_cancelled", "orders_rejected", "orders_expired")
_ORDERS_ENDED = ("orders_filled", "orders_cancelled", "orders_rejected", "orders_expired")
_ACTIVITY_ENDS = ("open_positions", "exposure", "turnover")


def report_lines(run: Run) -> list[str]:
    """The whole table as lines; styles are in them, and nothing of it is wider than 80 columns on a terminal."""
    record = run.record
    is_short = record.end - record.start < DAY_NS
    lines = _head(record)
    money = [
        ("Starting equity", _money(record.starting_equity, record)),
        ("Final equity", _money(record.final_equity, record)),
    ]
    result = [*money, *_shown(record, _RESULT), *([] if is_short else _shown(record, _LONG))]
    if record.settings.get("benchmark"):
        result += _shown(record, _BENCHMARK)
    costs = _shown(record, _COSTS)
    trades = _shown(record, _TRADES)
    some = [key for key in _ACTIVITY_WHERE_ANY if record.metrics.get(key)]
    ended = sum(record.metrics.get(key) or 0.0 for key in _ORDERS_ENDED)
    working = int((record.metrics.get("orders_submitted") or 0.0) - ended)
    activity = [
        *_shown(record, _ACTIVITY), ("Fills", f"{len(record.fills['ts']):,}"), *_shown(record, some),
        *([("Orders still working", f"{working:,}")] if working else []), *_shown(record, _ACTIVITY_ENDS),
    ]  # fmt: skip
    left = [*_block("Result", result), "", *_block("Costs", costs)]
    right = [*_block("Trades", trades), "", *_block("Activity", activity)]
    titles = {"Result", "Costs", "Trades", "Activity"}
    lines += ["", *(_titled(line, titles) for line in beside(left, right))]
    lines += wrapped(f"Fees as {clean(record.settings.get('fees_text', 'n/a'))}")
    for section in (_guard(record), _positions(record), _log(record), _notes(record)):
        if section:
            lines += ["", *section]
    if run.path is not None:
        lines += ["", f"stored in {clean(run.path)}"]
    return lines


def _head(record: RunRecord) -> list[str]:
    label = f"  {warn(SYNTHETIC)}" if record.synthetic else ""
    parameters = record.settings.get("parameters") or {}
    shown = ", ".join(f"{name} {clean(_parameter(value))}" for name, value in parameters.items())
    lines = [f"{heading(clean(record.strategy))}  {record.mode}"]
    if label:
        lines.append(label)
    if record.events:
        lines += wrapped(
            f"{time_text(record.start, record.zone)} to {time_text(record.end, record.zone)} ({record.zone})"
        )
        speed = f" ({record.events / record.elapsed_s / 1e6:,.1f} million/s)" if record.elapsed_s > 0 else ""
        sessions = len(record.daily["ts"])
        lines.append(
            f"  {sessions:,} session{'s' if sessions != 1 else ''}, {record.events:,} events"
            f" in {record.elapsed_s:,.2f} s{speed}"
        )
    return lines + (wrapped(shown, first="  with ") if shown else [])


def _parameter(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _money(value: float, record: RunRecord) -> str:
    return "n/a" if value != value else f"{value:,.2f} {record.currency}"


def _shown(record: RunRecord, keys: Iterable[str]) -> list[tuple[str, str]]:
    """Title and value of metrics; money with its currency, n/a where there is none."""
    pairs = []
    for key in keys:
        definition = DEFINITION_OF[key]
        value = record.metrics.get(key)
        currency = f" {record.currency}" if definition.unit is Unit.MONEY and value is not None else ""
        pairs.append((definition.title, definition.show(value) + currency))
    return pairs


def _block(title: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [title, *labelled(pairs)]


def _titled(line: str, titles: set[str]) -> str:
    """A line of blocks with its titles made bold."""
    for title in titles & set(line.split()):
        if line.strip() == title or line.startswith(title + " ") or line.endswith("  " + title):
            line = line.replace(title, heading(title), 1)
    return line


def _guard(record: RunRecord) -> list[str]:
    limits = {
        name: value
        for name, value in (record.settings.get("guard") or {}).items()
        if value not in (None, {}, 0.0, False) and name not in ("basis", "reference")
    }
    if not limits and not record.guard:
        return [f"{heading('Guard')}  no limits were set"]
    shown = ", ".join(f"{name} {clean(_parameter(value))}" for name, value in limits.items())
    if "max_drawdown" in limits:
        shown += f" (of {record.settings['guard']['basis']}, against its {record.settings['guard']['reference']})"
    lines = [heading("Guard"), *wrapped(shown or "no limits were set")]
    refused: Counter[str] = Counter()
    for event in record.guard:
        if event.kind == "refused":
            refused[event.rule] += event.count
    for event in record.guard:
        if event.kind == "trip":
            text = f"TRIPPED at {time_text(event.ts, record.zone)}: {clean(event.text)}"
            lines += [warn(line) for line in wrapped(text)]
    after = Counter(event.kind for event in record.guard if event.kind in ("cancelled", "flattened"))
    lines += [f"  {kind} {count:,} after the trip" for kind, count in after.items()]
    lines += [f"  refused {count:,} orders: {clean(rule)}" for rule, count in refused.items()]
    if not record.guard:
        lines.append("  nothing tripped, nothing was refused")
    return lines


def _positions(record: RunRecord) -> list[str]:
    held = np.flatnonzero(record.positions["quantity"] != 0.0)
    if not len(held):
        return []
    columns = record.positions
    rows = [
        (
            str(columns["symbol"][k]), f"{columns['quantity'][k]:,g}", f"{columns['average_cost'][k]:,.4f}",
            f"{columns['last_price'][k]:,.4f}", f"{columns['market_value'][k]:,.2f}",
            f"{columns['unrealised'][k]:+,.2f}", str(columns["currency"][k]),
        )
        for k in held[:POSITIONS_SHOWN]
    ]  # fmt: skip
    header = ("symbol", "quantity", "cost", "last", "value", "unrealised", "in")
    more = [f"  ... and {len(held) - POSITIONS_SHOWN:,} more"] if len(held) > POSITIONS_SHOWN else []
    return [heading("Held at the end"), *table(header, rows, left=("symbol", "in")), *more]


def _log(record: RunRecord) -> list[str]:
    if not record.log:
        return []
    title = f"{heading('Log')}  times in {record.zone}"
    if len(record.log) > LOG_LINES_SHOWN:
        title += f"; the last {LOG_LINES_SHOWN} of {len(record.log):,} lines, all: papertape show RUN --log"
    lines = [title]
    for ts, text in record.log[-LOG_LINES_SHOWN:]:
        lines += wrapped(f"{clock_text(ts, record.zone)}  {clean(text)}", rest=" " * 23)
    return lines


def _notes(record: RunRecord) -> list[str]:
    if not record.notes:
        return []
    lines = [heading("Notes")]
    ordered = sorted(record.notes, key=lambda note: note.severity is not Severity.WARNING)
    for note in ordered:
        is_said = re.search(rf"\b{note.count:,}\b", note.text) is not None
        times = f" ({note.count:,} times)" if note.count > 1 and not is_said else ""
        if note.severity is Severity.WARNING:
            first, *rest = wrapped(f"warning: {clean(note.text)}{times}", rest="    ")
            lines += [first.replace("warning:", warn("warning:"), 1), *rest]
        else:
            lines += wrapped(f"{clean(note.text)}{times}", rest="    ")
    return lines
