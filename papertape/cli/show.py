"""``papertape show``: what is inside a run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from papertape.cli.find_run import find_run
from papertape.core.errors import ConfigError

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a text cell that begins so for a formula (OWASP, CSV injection)."""

Rows = tuple[list[str], list[list[Any]]]
"""Names of columns, and rows of plain values: numbers, texts, None."""


def _flag(option: str, text: str) -> Any:
    return typer.Option(option, help=text, rich_help_panel="What to print instead of the table")


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, the start or end of its name, or last.")],
    fills: Annotated[bool, _flag("--fills", "Every fill.")] = False,
    orders: Annotated[bool, _flag("--orders", "Every order.")] = False,
    trades: Annotated[bool, _flag("--trades", "Closed trades, first in first out.")] = False,
    equity: Annotated[bool, _flag("--equity", "Net liquidation over time.")] = False,
    positions: Annotated[bool, _flag("--positions", "Positions at the end.")] = False,
    scans: Annotated[bool, _flag("--scans", "Results of scans.")] = False,
    log: Annotated[bool, _flag("--log", "What the strategy said.")] = False,
    notes: Annotated[bool, _flag("--notes", "Notes and warnings.")] = False,
    guard: Annotated[bool, _flag("--guard", "What the guard did.")] = False,
    journal: Annotated[bool, _flag("--journal", "Decisions and fills, one JSON object a line.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    folder: Annotated[str, typer.Option("--in", metavar="DIR", help="Where runs are kept.")] = "runs",
) -> int:
    """Show a run's table again, or one of its lists.

    Times in lists are ISO-8601 in UTC, to the nanosecond.
    """
    asked = {
        "fills": fills, "orders": orders, "trades": trades, "equity": equity, "positions": positions, "scans": scans,
        "log": log, "notes": notes, "guard": guard, "journal": journal,
    }  # fmt: skip
    chosen = [name for name, wanted in asked.items() if wanted]
    if len(chosen) > 1:
        raise ConfigError(f"--{chosen[0]} and --{chosen[1]}: one list at a time")
    if as_json and as_csv:
        raise ConfigError("--json and --csv: one of them")
    if as_csv and chosen in ([], ["journal"]):
        raise ConfigError("--csv needs a list, as --fills")
    from papertape.cli.backtest import show_run
    from papertape.cli.text import emit
    from papertape.runs import open_run

    opened = open_run(find_run(run, Path(folder)))
    if not chosen:
        show_run(opened, as_json=as_json)
    elif chosen == ["journal"]:
        emit(opened.journal.decode("utf-8", "backslashreplace").rstrip("\n"))
    else:
        emit(_LAYOUTS[as_json, as_csv](list_rows(opened.record, chosen[0])))
    return 0


def list_rows(record: Any, name: str) -> Rows:
    """One of a run's lists: times as ISO-8601 (UTC), what is unknown as None."""
    from papertape.runs import iso_utc
    from papertape.store import is_time, plain

    rows: Iterable[Sequence[Any]]
    if name in ("fills", "orders", "trades", "positions", "equity"):
        columns = getattr(record, name)
        names, rows = list(columns), zip(*(columns[key].tolist() for key in columns), strict=True)
    elif name == "scans":
        names = ["ts", "code", "source", "rank", "symbol", "con_id", "exchange", "currency", "note"]
        rows = _scan_rows(record)
    elif name == "log":
        names, rows = ["ts", "text"], record.log
    elif name == "notes":
        names = ["severity", "count", "code", "text"]
        rows = [(n.severity.value, n.count, n.code, n.text) for n in record.notes]
    else:
        names = ["ts", "kind", "rule", "text", "count"]
        rows = [(e.ts, e.kind, e.rule, e.text, e.count) for e in record.guard]
    times = [is_time(each) for each in names]
    return names, [
        [
            (iso_utc(value) if value else None) if is_ts else plain(value)
            for value, is_ts in zip(row, times, strict=True)
        ]
        for row in rows
    ]


def _scan_rows(record: Any) -> list[tuple[Any, ...]]:
    """One row a ranked result; a scan without results has one row without a rank."""
    rows: list[tuple[Any, ...]] = []
    for scan in record.scans:
        ranked = [(r.rank, r.symbol, r.con_id, r.exchange, r.currency) for r in scan.rows] or [(None,) * 5]
        rows += [(scan.ts, scan.code, scan.source, *each, scan.note) for each in ranked]
    return rows


def as_json_text(listed: Rows) -> str:
    """A list as JSON: one object a row."""
    names, rows = listed
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2, allow_nan=False)


def as_csv_text(listed: Rows) -> str:
    """A list as CSV; a text that a spreadsheet would run as a formula gets an apostrophe before it."""
    names, rows = listed
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    return buffer.getvalue().rstrip("\n")


def _csv_cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return "" if value is None else value


def as_table_text(listed: Rows) -> str:
    """A list as aligned columns; columns in which nothing stands are left out."""
    from papertape.cli.text import table

    names, rows = listed
    if not rows:
        return "none"
    kept = [k for k in range(len(names)) if any(row[k] not in (None, "", 0) for row in rows)]
    texts = [names[k] for k in kept if any(isinstance(row[k], str) for row in rows)]
    body = [[_cell(row[k]) for k in kept] for row in rows]
    return "\n".join(table([names[k] for k in kept], body, left=texts))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    return "" if value is None else str(value)


_LAYOUTS: dict[tuple[bool, bool], Any] = {
    (False, False): as_table_text,
    (True, False): as_json_text,
    (False, True): as_csv_text,
}
