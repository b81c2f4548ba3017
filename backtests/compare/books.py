"""What a run traded within a window of time, as exact numbers: what the pairing of two runs is computed from."""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from papertape.core.model import ActionKind
from papertape.core.record import RunRecord

ZERO = Fraction(0)
_ACTION = b'["action",'
SIGN: Mapping[str, int] = {"BUY": 1, "SELL": -1}


@dataclass(frozen=True, slots=True)
class Split:
    """``ratio`` new units for one old of a symbol, at ``ts``."""

    ts: int
    symbol: str
    ratio: Fraction


@dataclass(frozen=True, slots=True)
class FillLine:
    """A fill in units of after all splits. ``row`` is its place in the run's fills; quantity > 0, fee as it was paid."""

    row: int
    ts: int
    quantity: Fraction
    price: Fraction
    fee: Fraction


@dataclass(slots=True)
class Decision:
    """An order with its fills within the window, oldest first.

    ``row`` is its place in the run's orders, -1 for fills of which the run has no order: then it is as if it had been
    decided when it filled. ``arrival`` is the price at the decision, in units of after all splits; None unknown.
    """

    row: int
    ts: int
    kind: str
    quantity: float
    arrival: Fraction | None
    fills: list[FillLine] = field(default_factory=list)


@dataclass(slots=True)
class SymbolBook:
    """One symbol: decisions by side, what was held when the window began, and the marks at both its ends.

    ``end_mark`` is None where nothing was ever traded; ``start_mark`` where nothing was held.
    """

    decisions: dict[str, list[Decision]] = field(default_factory=dict)
    carried: Fraction = ZERO
    start_mark: Fraction | None = None
    end_mark: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """A run's symbols; ``is_whole`` where no fill lies outside the window: then its stored result is that of the window.

    ``outside`` counts the fills that do. ``approximate`` names symbols that are marked at a stored price bucket,
    because the window ends or begins in the middle of the run.
    """

    symbols: dict[str, SymbolBook]
    outside: int
    approximate: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        return self.outside == 0


def splits_of(record: RunRecord) -> set[Split]:
    """The splits that a run's journal tells of."""
    found = set()
    start = record.journal.find(_ACTION)
    while start >= 0:
        end = record.journal.find(b"\n", start)
        _, ts, kind, symbol, value, *_ = json.loads(record.journal[start : end if end >= 0 else None])
        if kind == ActionKind.SPLIT:
            found.add(Split(int(ts), str(symbol), Fraction(value)))
        start = record.journal.find(_ACTION, start + 1)
    return found


class Units:
    """How many units of after all splits one unit at a time is."""

    def __init__(self, splits: set[Split]) -> None:
        self._steps: dict[str, tuple[list[int], list[Fraction]]] = {}
        for split in sorted(splits, key=lambda each: (each.symbol, each.ts, each.ratio), reverse=True):
            times, factors = self._steps.setdefault(split.symbol, ([], []))
            times.insert(0, split.ts)
            factors.insert(0, split.ratio * (factors[0] if factors else 1))

    def at(self, symbol: str, ts: int) -> Fraction | None:
        """The factor at ``ts``, None where it is 1; a split counts from its own time on."""
        steps = self._steps.get(symbol)
        if steps is None:
            return None
        place = bisect.bisect_right(steps[0], ts)
        return steps[1][place] if place < len(steps[0]) else None

    def price(self, symbol: str, ts: int, price: float) -> Fraction:
        """A price at ``ts`` in units of after all splits."""
        factor = self.at(symbol, ts)
        return Fraction(price) if factor is None else Fraction(price) / factor

    def quantity(self, symbol: str, ts: int, quantity: float) -> Fraction:
        """A quantity at ``ts`` in units of after all splits."""
        factor = self.at(symbol, ts)
        return Fraction(quantity) if factor is None else Fraction(quantity) * factor


def make_book(record: RunRecord, start: int, end: int, units: Units) -> Book:
    """The run's book of the window [start, end]."""
    symbols: dict[str, SymbolBook] = {}
    decisions = _decisions(record, start, end, units, symbols)
    last_fill: dict[str, tuple[int, float]] = {}
    fills = record.fills
    outside = 0
    columns = (fills[name].tolist() for name in ("ts", "symbol", "side", "quantity", "price", "fee", "order"))
    for row, (ts, symbol, side, quantity, price, fee, number) in enumerate(zip(*columns, strict=True)):
        if ts > end:
            outside += 1
            continue
        book = symbols.setdefault(symbol, SymbolBook())
        last_fill[symbol] = (ts, price)
        amount = units.quantity(symbol, ts, quantity)
        if ts < start:
            outside += 1
            book.carried += SIGN[side] * amount
            book.start_mark = units.price(symbol, ts, price)
            continue
        line = FillLine(row, ts, amount, units.price(symbol, ts, price), Fraction(fee))
        decision = decisions.get(number)
        if decision is None:
            decision = Decision(-1, ts, "", quantity, None)
            book.decisions.setdefault(side, []).append(decision)
        decision.fills.append(line)
    approximate = _set_marks(record, start, end, units, symbols, last_fill, has_later=bool((fills["ts"] > end).any()))
    for book in symbols.values():
        for listed in book.decisions.values():
            listed.sort(key=lambda each: (each.ts, each.row))
    return Book(symbols, outside, approximate)


def _decisions(
    record: RunRecord, start: int, end: int, units: Units, symbols: dict[str, SymbolBook]
) -> dict[int, Decision]:
    """Order number -> its decision, for orders that were decided or filled within the window; ``symbols`` gets them."""
    orders, fills = record.orders, record.fills
    inside = (orders["ts"] >= start) & (orders["ts"] <= end)
    filled = fills["order"][(fills["ts"] >= start) & (fills["ts"] <= end)]
    wanted = np.flatnonzero(inside | np.isin(orders["number"], filled))
    found: dict[int, Decision] = {}
    names = ("number", "ts", "symbol", "side", "type", "quantity", "arrival_price")
    columns = (orders[name][wanted].tolist() for name in names)
    for row, (number, ts, symbol, side, kind, quantity, arrival) in zip(
        wanted.tolist(), zip(*columns, strict=True), strict=True
    ):
        price = units.price(symbol, ts, arrival) if math.isfinite(arrival) else None
        found[number] = decision = Decision(row, ts, kind, quantity, price)
        symbols.setdefault(symbol, SymbolBook()).decisions.setdefault(side, []).append(decision)
    return found


def _set_marks(
    record: RunRecord,
    start: int,
    end: int,
    units: Units,
    symbols: Mapping[str, SymbolBook],
    last_fill: Mapping[str, tuple[int, float]],
    *,
    has_later: bool,
) -> tuple[str, ...]:
    """Mark each symbol at both ends of the window; returns those for which a stored bucket had to do."""
    columns = record.positions
    at_end = dict(zip(columns["symbol"].tolist(), columns["last_price"].tolist(), strict=True))
    approximate = []
    for symbol, book in symbols.items():
        mark: float | None = None if has_later else at_end.get(symbol)
        if mark is not None and math.isfinite(mark):
            book.end_mark = units.price(symbol, record.end, mark)
        else:
            ts_and_price = _price_at(record.prices.get(symbol), end) or last_fill.get(symbol)
            if ts_and_price is not None:
                book.end_mark = units.price(symbol, *ts_and_price)
                approximate.append(symbol)
        if book.carried:
            found = _price_at(record.prices.get(symbol), start)
            if found is not None:
                book.start_mark = units.price(symbol, *found)
            approximate.append(symbol)
    return tuple(dict.fromkeys(approximate))


def _price_at(buckets: Mapping[str, Any] | None, ts: int) -> tuple[int, float] | None:
    """Time and price of the last stored bucket that ended at or before ``ts``."""
    if buckets is None:
        return None
    place = int(np.searchsorted(buckets["ts"], ts, "right")) - 1
    return None if place < 0 else (int(buckets["ts"][place]), float(buckets["last"][place]))
