"""The lists of a run as rows of plain values, and as CSV: what ``papertape show`` prints and an export writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from papertape.core.record import RunRecord
from papertape.moments import iso_utc
from papertape.store import is_time, plain

Rows = tuple[list[str], list[list[Any]]]
"""Names of columns, and rows of plain values: numbers, texts, None."""

COLUMN_LISTS = ("fills", "orders", "trades", "positions", "equity", "points", "daily")
"""Lists that are a record's own columns."""
LISTS = (*COLUMN_LISTS, "scans", "guard", "notes", "log", "metrics", "custom", "prices", "returns")
"""All lists."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a text cell that begins so for a formula (OWASP, CSV injection)."""


def list_rows(record: RunRecord, name: str) -> Rows:
    """One of a run's LISTS: times as ISO-8601 (UTC), dates as ``2026-03-02``, what is unknown as None."""
    if name in COLUMN_LISTS:
        columns = getattr(record, name)
        names = list(columns)
        rows: Iterable[Sequence[Any]] = zip(*(columns[key].tolist() for key in columns), strict=True)
    else:
        names, rows = _OTHERS[name](record)
    shown = [_shown_as(each) for each in names]
    return names, [[show(value) for value, show in zip(row, shown, strict=True)] for row in rows]


def _shown_as(column: str) -> Any:
    """How values of a column are shown, by its name."""
    if column == "date":
        return lambda days: str(np.datetime64(int(days), "D"))
    return (lambda ns: iso_utc(ns) if ns else None) if is_time(column) else plain


def _scans(record: RunRecord) -> tuple[list[str], list[tuple[Any, ...]]]:
    """One row a ranked result; a scan without results has one row without a rank."""
    rows: list[tuple[Any, ...]] = []
    for scan in record.scans:
        ranked: list[tuple[Any, ...]] = [(r.rank, r.symbol, r.con_id, r.exchange, r.currency) for r in scan.rows] or [
            (None,) * 5
        ]
        rows += [(scan.ts, scan.code, scan.source, *each, scan.note) for each in ranked]
    return ["ts", "code", "source", "rank", "symbol", "con_id", "exchange", "currency", "note"], rows


def _custom(record: RunRecord) -> tuple[list[str], list[tuple[Any, ...]]]:
    series = record.custom.items()
    rows = [(name, *row) for name, (ts, values) in series for row in zip(ts.tolist(), values.tolist(), strict=True)]
    return ["name", "ts", "value"], rows


def _prices(record: RunRecord) -> tuple[list[str], list[tuple[Any, ...]]]:
    names = ["ts", "last", "low", "high"]
    buckets = record.prices.items()
    rows = [
        (symbol, *row) for symbol, each in buckets for row in zip(*(each[name].tolist() for name in names), strict=True)
    ]
    return ["symbol", *names], rows


def _returns(record: RunRecord) -> tuple[list[str], list[tuple[Any, ...]]]:
    dates, returns = daily_returns(record)
    return ["date", "return"], list(zip(dates.tolist(), returns.tolist(), strict=True))


def daily_returns(record: RunRecord) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(dates, returns) of the sessions: days since 1970-01-01, and equity / that of the session before - 1.

    The first is against the starting equity. A return from equity that is not positive is NaN: there is none.
    """
    equity = np.concatenate(([record.starting_equity], np.asarray(record.daily["equity"], dtype=np.float64)))
    with np.errstate(all="ignore"):
        returns = np.where(equity[:-1] > 0.0, equity[1:] / equity[:-1] - 1.0, np.nan)
    return np.asarray(record.daily["date"], dtype=np.int64), returns


_OTHERS: dict[str, Callable[[RunRecord], tuple[list[str], list[Any]]]] = {
    "scans": _scans,
    "guard": lambda r: (
        ["ts", "kind", "rule", "text", "count"],
        [(e.ts, e.kind, e.rule, e.text, e.count) for e in r.guard],
    ),
    "notes": lambda r: (
        ["severity", "count", "code", "text"],
        [(n.severity.value, n.count, n.code, n.text) for n in r.notes],
    ),
    "log": lambda r: (["ts", "text"], r.log),
    "metrics": lambda r: (["name", "value"], list(r.metrics.items())),
    "custom": _custom,
    "prices": _prices,
    "returns": _returns,
}
"""List -> its names and rows."""


def csv_text(listed: Rows) -> str:
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
