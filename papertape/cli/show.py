"""``papertape show``: what is inside a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from papertape.cli.find_run import find_run, opened_to_look_at
from papertape.core.errors import ConfigError

if TYPE_CHECKING:
    from papertape.listing import Rows


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

    if chosen == ["journal"]:
        from papertape.runs import open_run

        emit(open_run(find_run(run, Path(folder))).journal.decode("utf-8", "backslashreplace").rstrip("\n"))
        return 0
    opened = opened_to_look_at(run, Path(folder))
    if not chosen:
        show_run(opened, as_json=as_json)
    else:
        from papertape.listing import csv_text, list_rows

        layout = as_json_text if as_json else csv_text if as_csv else as_table_text
        emit(layout(list_rows(opened.record, chosen[0])))
    return 0


def as_json_text(listed: Rows) -> str:
    """A list as JSON: one object a row."""
    names, rows = listed
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2, allow_nan=False)


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
