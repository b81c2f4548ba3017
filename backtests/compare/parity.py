"""Two runs that should be the same, held against each other row by row: orders, fills and what the guard did.

A backtest and a paper run of the same tape on the simulated gateway agree in everything that TWS's messages can tell.
These tell times in whole seconds, so times are compared to the second. Why two runs came out differently, and what
that was worth, is the pairing's to say (``pairing.py``); this only says whether they are the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backtests.report.cells import words
from backtests.report.parts import Align, Column, Table, from_columns
from papertape.core.model import NS_PER_S, OrderStatus
from papertape.core.record import Columns, GuardEvent, RunRecord
from papertape.core.state import REASON_TEXT, Reason
from papertape.moments import time_text

ROWS_MAX = 200
"""Most differences that are listed; the count is of all."""
TOLERANCE = 1e-9
"""How far apart two amounts may be and be the same: that of sums made in another order, far below any price's step."""
NO_ROW = "none"

_ORDER_COLUMNS = (
    "ts", "symbol", "side", "type", "quantity", "limit_price", "stop_price", "tif", "parent", "group", "filled", "status",
    "average_price", "fee",
)  # fmt: skip
_FILL_COLUMNS = ("ts", "order", "symbol", "side", "quantity", "price", "fee")
_WORKS = "WORKS"
"""An order that worked when a run ended: TWS may call that one thing and the fill model another."""
_AT_THE_END = REASON_TEXT[Reason.RUN_ENDED]
"""Why it was cancelled then, where the run was told to cancel what works."""

_REFUSED = "refused"
"""Refusals are a table of their own: a strategy may be refused while a broker still confirms what a trip cancels."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that is not the same in both runs. ``row`` counts the rows of ``table`` from 1."""

    table: str
    row: int
    column: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Parity:
    """How many rows were compared, the more of both runs, and all values that differ in them."""

    a: str
    b: str
    orders: int
    fills: int
    guard_events: int
    refusals: int
    differences: tuple[Difference, ...]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def parity_of(a: RunRecord, b: RunRecord, labels: tuple[str, str] = ("a", "b")) -> Parity:
    """Hold two runs against each other, row by row in the order of happening, over the time that both played."""
    first, last = max(a.start, b.start) // NS_PER_S, min(a.end, b.end) // NS_PER_S
    counts: dict[str, int] = {}
    found: list[Difference] = []
    for table, rows_of in _TABLES.items():
        rows = [[row for row in rows_of(record) if first <= row["ts"] <= last] for record in (a, b)]
        counts[table] = max(map(len, rows))
        for number, (one, other) in enumerate(itertools.zip_longest(*rows), 1):
            found += _differences(table, number, one, other)
    return Parity(
        *labels, counts["orders"], counts["fills"], counts["guard"], counts["refusals"], differences=tuple(found)
    )


def _differences(table: str, number: int, a: Row | None, b: Row | None) -> Iterator[Difference]:
    if a is None or b is None:
        yield Difference(table, number, "row", _row_text(a), _row_text(b))
        return
    for name, value in a.items():
        if not _is_same(value, b[name]):
            yield Difference(table, number, name, _text(name, value), _text(name, b[name]))


def _is_same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return (a != a and b != b) or math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(a == b)


def _text(name: str, value: Any) -> str:
    if name == "ts":
        return time_text(value * NS_PER_S, "UTC")
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _row_text(row: Row | None) -> str:
    if row is None:
        return NO_ROW
    shown = ("ts", "kind", "symbol", "side", "quantity", "price", "rule")
    return " ".join(_text(name, row[name]) for name in shown if name in row)


# --- rows -----------------------------------------------------------------------------------------------------------


def _second(record: RunRecord, ts: int) -> int:
    """A time in whole seconds. In a backtest ``on_start`` is heard just before the first event: that is its time."""
    return max(ts, record.start) // NS_PER_S


def _rows(record: RunRecord, columns: Columns, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for values in zip(*(columns[name].tolist() for name in names), strict=True):
        row = dict(zip(names, values, strict=True))
        row["ts"] = _second(record, row["ts"])
        yield row


def _orders(record: RunRecord) -> Iterator[Row]:
    reasons = record.orders["reason"].tolist()
    for row, reason in zip(_rows(record, record.orders, _ORDER_COLUMNS), reasons, strict=True):
        if not OrderStatus[row["status"]].is_final or reason == _AT_THE_END:
            row["status"] = _WORKS
        yield row


def _fills(record: RunRecord) -> Iterator[Row]:
    return _rows(record, record.fills, _FILL_COLUMNS)


def _guard_events(record: RunRecord) -> Iterator[Row]:
    return (_guard_row(record, event) for event in record.guard if event.kind != _REFUSED)


def _refusals(record: RunRecord) -> Iterator[Row]:
    return (_guard_row(record, event) for event in record.guard if event.kind == _REFUSED)


def _guard_row(record: RunRecord, event: GuardEvent) -> Row:
    return {
        "ts": _second(record, event.ts),
        **{name: getattr(event, name) for name in ("kind", "rule", "text", "count")},
    }


_TABLES: Mapping[str, Callable[[RunRecord], Iterator[Row]]] = {
    "orders": _orders,
    "fills": _fills,
    "guard": _guard_events,
    "refusals": _refusals,
}


# --- texts ----------------------------------------------------------------------------------------------------------


def parity_text(parity: Parity) -> str:
    """One line: whether they are the same, what was compared, and how many values differ."""
    verdict = "the same, no difference in quantity, price, fee or second" if parity.is_same else "not the same"
    compared = (
        f"{verdict}: {parity.orders:,} orders, {parity.fills:,} fills, {parity.guard_events:,} events of the guard, "
        f"{parity.refusals:,} refusals"
    )
    return f"{compared}, one by one, times to the second: differences: {len(parity.differences):,}"


def parity_table(parity: Parity) -> Table:
    """The values that differ, the first ones."""
    listed = parity.differences[:ROWS_MAX]
    columns = [
        (Column("table", "Table", Align.LEFT), words(each.table for each in listed)),
        (Column("row", "Row"), words(each.row for each in listed)),
        (Column("column", "Value", Align.LEFT), words(each.column for each in listed)),
        (Column("a", parity.a, Align.LEFT), words(each.a for each in listed)),
        (Column("b", parity.b, Align.LEFT), words(each.b for each in listed)),
    ]
    count = len(parity.differences)
    more = f" The first {len(listed)} of {count:,}." if count > len(listed) else ""
    return from_columns("parity", "Row by row", columns, parity_text(parity) + more)
