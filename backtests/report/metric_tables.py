"""The metrics of a run in groups, each with its definition."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from backtests.definitions import DEFINITION_OF, NOT_AVAILABLE, Definition, Unit
from backtests.report.cells import amount_text, sign_tone
from backtests.report.parts import Align, Cell, Column, Table, Tone
from papertape.core.model import NS_PER_S
from papertape.core.record import RunRecord
from papertape.moments import time_text

SIGNED = frozenset({"net_profit", "total_return", "expectancy", "best_trade", "worst_trade"})
"""Metrics whose sign says whether money was made."""


class Group(Enum):
    """A group of metrics: its key, title, and the keys of its metrics in their order."""

    RESULT = ("result", "Result", ("net_profit", "total_return", "cagr"))
    RISK = (
        "risk",
        "Risk",
        ("max_drawdown", "max_drawdown_daily", "calmar", "volatility", "sharpe", "sortino", "var_95", "cvar_95", "skew",
         "excess_kurtosis"),
    )  # fmt: skip
    BENCHMARK = ("benchmark", "Against the benchmark", ("beta", "alpha", "correlation"))
    TRADES = (
        "trade_figures",
        "Trades",
        ("trades", "win_rate", "expectancy", "profit_factor", "average_win", "average_loss", "payoff", "best_trade",
         "worst_trade", "average_duration_s", "longest_win_streak", "longest_loss_streak", "average_mae",
         "average_mfe"),
    )  # fmt: skip
    COSTS = ("cost_figures", "Costs", ("fees", "slippage"))
    ACTIVITY = (
        "activity",
        "Activity",
        ("orders_submitted", "orders_filled", "orders_partly_filled", "orders_cancelled", "orders_rejected",
         "orders_expired", "open_positions", "exposure", "turnover"),
    )  # fmt: skip

    @property
    def key(self) -> str:
        """The table's key, without the prefix that tables of metrics have."""
        key: str = self.value[0]
        return key


NEEDS_DAYS = frozenset({*Group.RISK.value[2], "alpha", "cagr"} - {"max_drawdown"})
"""Metrics by the year or of daily returns: no word of them in the report of a run shorter than a day."""

_LONG = (Group.RESULT, Group.RISK, Group.BENCHMARK, Group.TRADES, Group.COSTS, Group.ACTIVITY)
_SHORT = (Group.RESULT, Group.TRADES, Group.COSTS, Group.RISK, Group.BENCHMARK, Group.ACTIVITY)
ANALYZERS = "backtrader."
"""What the names of metrics begin with that backtrader's analyzers found."""
ORDERS_ENDED = ("orders_filled", "orders_cancelled", "orders_rejected", "orders_expired")
STILL_WORKING = "Orders still working"
FILLS = "Fills"
"""Titles of rows that are no metrics."""

_COLUMNS = (
    Column("metric", "Metric", Align.LEFT),
    Column("value", "Value"),
    Column("definition", "Definition", Align.LEFT),
)
_Row = tuple[Cell, Cell, Cell]


def metric_tables(record: RunRecord, *, is_short: bool) -> list[Table]:
    """The groups of metrics, each as a table with key ``metrics_<group>``: what matters first for such a run first."""
    has_benchmark = bool(record.settings.get("benchmark"))
    groups = [each for each in (_SHORT if is_short else _LONG) if each is not Group.BENCHMARK or has_benchmark]
    return [_table(record, group, is_short=is_short) for group in groups] + _analyzers(record)


def _analyzers(record: RunRecord) -> list[Table]:
    """What backtrader's analyzers found, where a run had any: their own names, for their own definitions."""
    rows = []
    for name, value in record.metrics.items():
        if name.startswith(ANALYZERS):
            text = NOT_AVAILABLE if value is None else f"{value:,.6g}"
            rows.append(
                _row(name.removeprefix(ANALYZERS), text, value, "As backtrader's analyzer of that name says it.")
            )
    return [Table("metrics_analyzers", "backtrader's analyzers", _COLUMNS, tuple(rows))] if rows else []


def metric_text(definition: Definition, value: float | None, currency: str) -> str:
    """A metric as a report shows it, money with its currency."""
    if value is None:
        return NOT_AVAILABLE
    return f"{definition.show(value)} {currency}" if definition.unit is Unit.MONEY else definition.show(value)


def _table(record: RunRecord, group: Group, *, is_short: bool) -> Table:
    key, title, names = group.value
    rows: list[_Row] = list(_equity(record)) if group is Group.RESULT else []
    for name in names:
        if is_short and name in NEEDS_DAYS:
            continue
        rows.append(_metric(record, name))
        if name == "max_drawdown":
            rows += _drawdown(record)
        elif name == "orders_filled":
            rows.append(_count_row(FILLS, len(record.fills["ts"]), "Executions; an order may have several."))
        elif name == "orders_expired":
            rows.append(
                _count_row(STILL_WORKING, orders_working(record), "Orders that had not ended when the run did.")
            )
    return Table(f"metrics_{key}", title, _COLUMNS, tuple(rows))


def _metric(record: RunRecord, name: str) -> _Row:
    definition = DEFINITION_OF[name]
    value = record.metrics.get(name)
    tone = sign_tone(value) if value is not None and name in SIGNED else Tone.NONE
    shown = Cell(metric_text(definition, value, record.currency), value, tone)
    return Cell(definition.title, definition.title), shown, Cell(definition.text)


def orders_working(record: RunRecord) -> int:
    """How many orders had not ended when the run did."""
    ended = sum(record.metrics.get(key) or 0.0 for key in ORDERS_ENDED)
    return int((record.metrics.get("orders_submitted") or 0.0) - ended)


def _count_row(title: str, count: int, definition: str) -> _Row:
    return _row(title, f"{count:,}", float(count), definition)


def _row(title: str, text: str, sort: float | None, definition: str) -> _Row:
    return Cell(title, title), Cell(text, sort), Cell(definition)


def _money_row(record: RunRecord, title: str, value: float, definition: str) -> _Row:
    if value != value:
        return _row(title, NOT_AVAILABLE, None, definition)
    return _row(title, f"{amount_text(value)} {record.currency}", value, definition)


def _equity(record: RunRecord) -> Iterable[_Row]:
    yield _money_row(record, "Starting equity", record.starting_equity, "Net liquidation when the run began.")
    yield _money_row(
        record, "Final equity", record.final_equity, "Net liquidation at the end: cash and marked positions."
    )


def _drawdown(record: RunRecord) -> Iterable[_Row]:
    """When the deepest fall was, and what it was in money; nothing where equity never fell."""
    fall = record.drawdown
    if not fall.depth < 0.0:
        return
    yield _money_row(record, "Max drawdown in money", fall.trough - fall.peak, "Equity at the trough less at the peak.")
    began = fall.peak_ts or record.start  # 0: the peak was the starting equity
    for title, ts, definition in (
        ("Drawdown began", began, "When the peak before the deepest fall was."),
        ("Drawdown deepest", fall.trough_ts, "When equity was lowest."),
    ):
        yield _row(title, time_text(ts, record.zone), float(ts), definition)
    is_over = fall.recovery_ts != 0
    text = time_text(fall.recovery_ts, record.zone) if is_over else "not until the end"
    yield _row(
        "Drawdown recovered", text, float(fall.recovery_ts) if is_over else None, "When the peak was reached again."
    )
    lasted_s = ((fall.recovery_ts if is_over else record.end) - began) / NS_PER_S
    shown = DEFINITION_OF["average_duration_s"].show(lasted_s)
    yield _row("Drawdown lasted", shown, lasted_s, "From the peak to the recovery, else to the end of the run.")
