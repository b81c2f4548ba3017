"""``papertape cache``: what was kept of files that were parsed."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import typer

ENTRIES_SHOWN = 20


def cache(
    action: Annotated[Literal["list", "clear"], typer.Argument(help="What to do with it.")] = "list",
) -> int:
    """List or clear what was kept of files that were parsed.

    Clearing costs time at the next run, nothing else.
    """
    from feeds.cache import ColumnCache
    from papertape.cli.text import emit, size_text, table

    columns = ColumnCache()
    if action == "clear":
        emit(f"{size_text(columns.clear())} freed in {columns.folder}")
        return 0
    entries = columns.entries()
    if not entries:
        emit(f"nothing is kept in {columns.folder}")
        return 0
    rows = [
        (
            f"{dt.datetime.fromtimestamp(entry.used_ns / 1e9, dt.UTC):%Y-%m-%d %H:%M}",
            size_text(entry.size_bytes),
            entry.source,
        )
        for entry in entries[:ENTRIES_SHOWN]
    ]
    more = [f"  ... and {len(entries) - ENTRIES_SHOWN:,} more"] if len(entries) > ENTRIES_SHOWN else []
    total = size_text(sum(entry.size_bytes for entry in entries))
    emit(
        "\n".join(
            [*table(("last used (UTC)", "size", "of"), rows, left=("of",)), *more, f"{total} in {columns.folder}"]
        )
    )
    return 0
