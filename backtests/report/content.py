"""What the report of one run says, whatever it is shown on: figures, warnings and tables, all as text.

No HTML, no terminal, no pandas: a pure function of the record.
"""

from __future__ import annotations

import re

from backtests.definitions import DEFINITION_OF
from backtests.report.cells import amount_text, sign_tone
from backtests.report.metric_tables import SIGNED, metric_tables, metric_text
from backtests.report.parts import Align, Cell, Column, Content, Headline, Table, Tone
from backtests.report.tables import (
    ambiguous_table,
    costs_table,
    guard_table,
    input_table,
    log_table,
    notes_table,
    orders_table,
    positions_table,
    scans_table,
    setup_tables,
    trades_table,
)
from papertape.core.model import NS_PER_S, Note, Severity
from papertape.core.record import RunRecord
from papertape.moments import time_text

__all__ = [
    "Align",
    "Cell",
    "Column",
    "Content",
    "Headline",
    "Table",
    "Tone",
    "covers_less_than_a_day",
    "report_content",
]

SYNTHETIC = "SYNTHETIC TAPE: a generated market; the result says nothing about a real one"
FEW_TRADES = 30
"""Below so many closed trades their averages are said to say little: the usual least size of a sample."""

_DAY_NS = 86_400 * NS_PER_S
_LONG = ("net_profit", "total_return", "cagr", "max_drawdown", "sharpe", "trades", "win_rate", "profit_factor", "fees")
_SHORT = ("net_profit", "expectancy", "trades", "win_rate", "best_trade", "worst_trade", "max_drawdown", "fees")
_OFTEN_UNKNOWN = ("cagr", "sharpe", "profit_factor")
"""No headline where they are n/a; the tables have them."""


def covers_less_than_a_day(record: RunRecord) -> bool:
    """Whether the run is so short that nothing of it is annualised, and money comes before percent."""
    return record.end - record.start < _DAY_NS


def report_content(record: RunRecord) -> Content:
    """All that the report of a run says."""
    is_short = covers_less_than_a_day(record)
    return Content(
        title=record.strategy,
        subtitle=subtitle(record),
        headlines=_headlines(record, is_short=is_short),
        warnings=_warnings(record),
        tables=(
            *metric_tables(record, is_short=is_short),
            trades_table(record),
            positions_table(record),
            costs_table(record),
            orders_table(record),
            ambiguous_table(record),
            guard_table(record),
            scans_table(record),
            input_table(record),
            notes_table(record),
            log_table(record),
            *setup_tables(record),
        ),
        is_short=is_short,
    )


def subtitle(record: RunRecord) -> str:
    """Mode, time and size of a run in one line."""
    if not record.events:
        return f"{record.mode}, no events"
    span = f"{time_text(record.start, record.zone)} to {time_text(record.end, record.zone)} ({record.zone})"
    sessions = len(record.daily["ts"])
    return f"{record.mode}, {span}, {sessions:,} session{'s' if sessions != 1 else ''}, {record.events:,} events"


def _headlines(record: RunRecord, *, is_short: bool) -> tuple[Headline, ...]:
    equity, start = record.final_equity, record.starting_equity
    shown = "n/a" if equity != equity else f"{amount_text(equity)} {record.currency}"
    began = f"Net liquidation at the end; it began with {amount_text(start)} {record.currency}."
    found = [Headline("Final equity", shown, Tone.NONE, began)]
    for key in _SHORT if is_short else _LONG:
        value = record.metrics.get(key)
        if value is None and key in _OFTEN_UNKNOWN:
            continue
        definition = DEFINITION_OF[key]
        tone = sign_tone(value) if value is not None and key in SIGNED else Tone.NONE
        found.append(Headline(definition.title, metric_text(definition, value, record.currency), tone, definition.text))
    if record.guard_tripped:
        found.append(Headline("Guard", "tripped", Tone.BAD, "A limit was crossed; the run placed no orders after it."))
    return tuple(found)


def _warnings(record: RunRecord) -> tuple[str, ...]:
    """What must be seen before any figure is believed."""
    found = [SYNTHETIC] if record.synthetic else []
    trips = (each for each in record.guard if each.kind == "trip")
    found += [f"guard tripped at {time_text(each.ts, record.zone)}: {each.text}" for each in trips]
    return (*found, *cautions(record))


def cautions(record: RunRecord) -> list[str]:
    """What the notes warn of, and too few trades: warnings other than a synthetic tape and trips of the guard."""
    found = [note_text(each) for each in record.notes if each.severity is Severity.WARNING]
    trades = len(record.trades["symbol"])
    if 0 < trades < FEW_TRADES:
        found.append(f"only {trades} closed trade{'s' if trades > 1 else ''}: averages over trades say little")
    return found


def note_text(note: Note) -> str:
    """A note with how often it happened, where its text does not say so itself."""
    is_said = re.search(rf"\b{note.count:,}\b", note.text) is not None
    return f"{note.text} ({note.count:,} times)" if note.count > 1 and not is_said else note.text
