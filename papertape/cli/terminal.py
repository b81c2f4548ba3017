"""A run on a terminal: the table that a backtest ends with, and the whole report; one look for both."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from backtests.definitions import DEFINITION_OF
from backtests.report.content import SYNTHETIC, cautions, note_text, report_content
from backtests.report.metric_tables import FILLS, STILL_WORKING, orders_working
from backtests.report.parts import Align, Cell, Content, Headline, Table
from backtests.report.tables import guard_limits, setting_text
from papertape.cli.run_charts import chart_lines, instrument_lines, period_lines
from papertape.cli.text import INDENT, WIDTH, beside, clean, heading, labelled, table, toned, warn, wrapped
from papertape.core.model import Severity
from papertape.core.record import RunRecord
from papertape.moments import clock_text, time_text
from papertape.runs import Run

POSITIONS_SHOWN = 10
ROWS_SHOWN = 8
ANALYZED_SHOWN = 60
PROVENANCE_SHOWN = 50
LOG_LINES_SHOWN = 12
HEADLINES_IN_A_ROW = 4
CUT_LEAST = 12
"""A text is cut to no less; a column with less room is left out."""

_BRIEF = (
    "net_profit", "total_return", "max_drawdown", "cagr", "volatility", "sharpe", "sortino", "calmar", "beta", "alpha",
    "correlation", "trades", "win_rate", "expectancy", "average_win", "average_loss", "best_trade", "worst_trade",
    "profit_factor", "average_duration_s", "fees", "slippage", "orders_submitted", "orders_filled", "open_positions",
    "exposure", "turnover",
)  # fmt: skip
"""Metrics at the end of a backtest; the report has all."""
_WHERE_ANY = ("orders_partly_filled", "orders_cancelled", "orders_rejected", "orders_expired")
"""Metrics that are left out at the end of a backtest where they are 0."""
_IN_THE_CHART = ("Max drawdown in money", "Drawdown began", "Drawdown deepest", "Drawdown recovered")
"""Rows of the metrics that the chart of the drawdown says in a sentence."""
_LEFT = ("metrics_result", "metrics_risk", "metrics_benchmark", "metrics_cost_figures")
_ANALYZERS = "metrics_analyzers"
"""Of backtrader, where a run had any."""
_RIGHT = ("metrics_trade_figures", "metrics_activity")


def brief_lines(run: Run) -> list[str]:
    """What a backtest ends with; styles are in the lines, and none is wider than 80 columns on a terminal."""
    record = run.record
    content = report_content(record)
    lines = [*_head(record), *_section(chart_lines(record, _width()))]
    lines += _section(_figures(record, content, is_brief=True))
    lines += wrapped(f"Fees as {clean(record.settings.get('fees_text', 'n/a'))}")
    for section in (_guard(record), _positions(content), _log(record), _notes(record)):
        lines += _section(section)
    return lines + _stored(run)


def full_lines(run: Run) -> list[str]:
    """The whole report of a run: headlines, charts, all metrics, and the tables that fit a terminal."""
    record = run.record
    content = report_content(record)
    lines = [*_head(record), *_section(_headlines(content.headlines))]
    sections = (
        chart_lines(record, _width()),
        period_lines(record, _width()),
        _figures(record, content, is_brief=False),
        *(_listed(each, ("metric", "value"), most=ANALYZED_SHOWN) for each in content.tables if each.key == _ANALYZERS),
        _trades(content.table("trades")),
        instrument_lines(record, _width()),
        _costs(record, content),
        _listed(content.table("orders"), ("outcome", "type", "orders", "quantity", "filled", "reason")),
        _listed(content.table("ambiguous"), ("ts", "symbol", "side", "quantity", "price", "order")),
        _listed(content.table("scans"), ("ts", "code", "results", "traded", "note")),
        _guard(record),
        _positions(content),
        _log(record),
        _notes(record),
        _listed(content.table("provenance"), ("name", "value"), most=PROVENANCE_SHOWN),
    )
    for section in sections:
        lines += _section(section)
    return lines + _stored(run)


def _width() -> int:
    """Columns to draw in: those of the terminal, at most WIDTH; WIDTH where output goes elsewhere."""
    if not sys.stdout.isatty():
        return WIDTH
    return max(40, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))


def _section(lines: Sequence[str]) -> list[str]:
    return ["", *lines] if lines else []


def _stored(run: Run) -> list[str]:
    return [] if run.path is None else ["", f"stored in {clean(run.path)}"]


def _head(record: RunRecord) -> list[str]:
    parameters = record.settings.get("parameters") or {}
    shown = ", ".join(f"{clean(name)} {clean(setting_text(value))}" for name, value in parameters.items())
    lines = [f"{heading(clean(record.strategy))}  {record.mode}"]
    if record.synthetic:
        lines.append(f"{INDENT}{warn(SYNTHETIC)}")
    if record.events:
        start, end = (time_text(ts, record.zone) for ts in (record.start, record.end))
        lines += wrapped(f"{start} to {end} ({record.zone})")
        speed = f" ({record.events / record.elapsed_s / 1e6:,.1f} million/s)" if record.elapsed_s > 0 else ""
        sessions = len(record.daily["ts"])
        lines.append(
            f"{INDENT}{sessions:,} session{'s' if sessions != 1 else ''}, {record.events:,} events"
            f" in {record.elapsed_s:,.2f} s{speed}"
        )
    else:
        lines.append(f"{INDENT}no events")
    return lines + (wrapped(shown, first=f"{INDENT}with ") if shown else [])


def _headlines(headlines: Sequence[Headline]) -> list[str]:
    """The figures that are seen first, in rows: titles above, values below."""
    room = (_width() - len(INDENT)) // HEADLINES_IN_A_ROW
    lines = []
    for k in range(0, len(headlines), HEADLINES_IN_A_ROW):
        row = headlines[k : k + HEADLINES_IN_A_ROW]
        lines.append((INDENT + "".join(f"{each.title:<{room}}" for each in row)).rstrip())
        values = "".join(toned(each.text, each.tone, is_bold=True) + " " * (room - len(each.text)) for each in row)
        lines += [(INDENT + values).rstrip(), ""]
    return lines[:-1]


# --- figures ------------------------------------------------------------------------------------------------------


def _figures(record: RunRecord, content: Content, *, is_brief: bool) -> list[str]:
    """The groups of metrics in two columns, their titles bold."""
    kept = {DEFINITION_OF[key].title for key in _BRIEF}
    kept |= {DEFINITION_OF[key].title for key in _WHERE_ANY if record.metrics.get(key)}
    kept |= {"Starting equity", "Final equity", FILLS, *([STILL_WORKING] if orders_working(record) else [])}
    if not is_brief:
        kept |= {row[0].text for group in content.tables for row in group.rows} - set(_IN_THE_CHART)
    blocks: dict[str, list[str]] = {}
    for group in content.tables:
        if group.key in (*_LEFT, *_RIGHT):
            pairs = [(row[0].text, row[1].text) for row in group.rows if row[0].text in kept]
            blocks[group.key] = [group.title, *labelled(pairs)]
    left, right = (_stacked(blocks[key] for key in keys if key in blocks) for keys in (_LEFT, _RIGHT))
    titles = [block[0] for block in blocks.values()]
    return [_with_bold(line, titles) for line in beside(left, right)]


def _stacked(blocks: Iterable[list[str]]) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        lines += _section(block) if lines else block
    return lines


def _with_bold(line: str, titles: Sequence[str]) -> str:
    """A line of blocks, the titles in it bold."""
    for title in sorted(titles, key=len, reverse=True):
        if line == title or line.startswith(f"{title}  ") or line.endswith(f"  {title}"):
            line = line.replace(title, heading(title), 1)
    return line


# --- tables -------------------------------------------------------------------------------------------------------


def _listed(source: Table, names: Sequence[str], *, most: int = 0) -> list[str]:
    """The first rows of a table under its title, in the named columns that fit and hold something; none without rows."""
    if not source.rows:
        return []
    rows = source.rows[: most or ROWS_SHOWN]
    more = f"{INDENT}... and {len(source.rows) - len(rows):,} more" if len(rows) < len(source.rows) else ""
    return [heading(source.title), *_fitted(source, names, rows), *([more] if more else [])]


def _fitted(source: Table, names: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> list[str]:
    """Rows in the named columns; empty ones are left out, and what is too wide is cut or left out from the right."""
    number = {column.name: k for k, column in enumerate(source.columns)}
    kept = [number[name] for name in names if any(row[number[name]].text for row in rows)]
    titles = [source.columns[k].title for k in kept]
    texts = [source.columns[k].title for k in kept if source.columns[k].align is Align.LEFT]
    body = [[row[k].text for k in kept] for row in rows]
    while (over := max(map(len, table(titles, body, left=texts)[1:])) - WIDTH) > 0 and len(titles) > 2:
        room = max(len(clean(row[-1])) for row in body) - over
        if titles[-1] in texts and room >= max(CUT_LEAST, len(titles[-1])):
            body = [[*row[:-1], _cut(clean(row[-1]), room)] for row in body]
        else:
            titles, body = titles[:-1], [row[:-1] for row in body]
    return table(titles, body, left=texts)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _trades(source: Table) -> list[str]:
    """The best and the worst trades."""
    at = [column.name for column in source.columns].index("pnl")
    ranked = sorted(source.rows, key=lambda row: -_number(row[at]))
    half = ROWS_SHOWN // 2
    shown = ranked if len(ranked) <= ROWS_SHOWN else [*ranked[:half], *ranked[-half:]]
    if not shown:
        return []
    title = "Trades, best first" if len(shown) == len(ranked) else f"The {half} best and the {half} worst trades"
    names = ("symbol", "side", "quantity", "exit_ts", "held", "pnl", "return", "mae", "mfe")
    more = [] if len(shown) == len(ranked) else [f"{INDENT}all: papertape show RUN --trades"]
    return [heading(title), *_fitted(source, names, shown), *more]


def _number(cell: Cell) -> float:
    return cell.sort if isinstance(cell.sort, float) else 0.0


def _costs(record: RunRecord, content: Content) -> list[str]:
    names = ("symbol", "fills", "value", "fees", "fees_part", "slippage", "slippage_part")
    lines = _listed(content.table("costs"), names)
    return lines + wrapped(f"Fees as {clean(record.settings.get('fees_text', 'n/a'))}") if lines else []


def _positions(content: Content) -> list[str]:
    names = ("symbol", "quantity", "average_cost", "last_price", "market_value", "unrealised")
    return _listed(content.table("positions"), names, most=POSITIONS_SHOWN)


# --- what was guarded, said and noted -----------------------------------------------------------------------------


def _guard(record: RunRecord) -> list[str]:
    limits = guard_limits(record)
    if not limits and not record.guard:
        return [f"{heading('Guard')}  no limits were set"]
    shown = ", ".join(f"{name} {clean(setting_text(value))}" for name, value in limits.items())
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
    lines += [f"{INDENT}{kind} {count:,} after the trip" for kind, count in after.items()]
    lines += [
        f"{INDENT}refused {count:,} order{'' if count == 1 else 's'}: {clean(rule)}" for rule, count in refused.items()
    ]
    if not record.guard:
        lines.append(f"{INDENT}nothing tripped, nothing was refused")
    return lines


def _log(record: RunRecord) -> list[str]:
    if not record.log:
        return []
    shown = record.log[-LOG_LINES_SHOWN:]
    which = f"  the last {len(shown)} of {len(record.log):,} lines," if len(shown) < len(record.log) else ""
    lines = [f"{heading('Log')}{which or ' '} times in {record.zone}"]
    for ts, text in shown:
        lines += wrapped(f"{clock_text(ts, record.zone)}  {clean(text)}", rest=" " * 23)
    return lines + ([f"{INDENT}all: papertape show RUN --log"] if which else [])


def _notes(record: RunRecord) -> list[str]:
    lines = []
    for text in cautions(record):
        first, *rest = wrapped(f"warning: {clean(text)}", rest="    ")
        lines += [first.replace("warning:", warn("warning:"), 1), *rest]
    for note in record.notes:
        if note.severity is not Severity.WARNING:
            lines += wrapped(clean(note_text(note)), rest="    ")
    return [heading("Notes"), *lines] if lines else []
