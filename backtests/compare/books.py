"""What a run traded within a window of time, in whole numbers: what the pairing of two runs is computed from.

Every float is a whole number of some power of two. A :class:`Grid` is fine enough for all numbers of both runs, hence
sums and products of them are sums and products of Python's integers: exact, in any order, and quick.
"""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np

from papertape.core.model import ActionKind
from papertape.core.record import RunRecord

_ACTION = b'["action",'
SIGN: Mapping[str, int] = {"BUY": 1, "SELL": -1}


@dataclass(frozen=True, slots=True)
class Split:
    """``ratio`` new units for one old of a symbol, at ``ts``."""

    ts: int
    symbol: str
    ratio: Fraction


class FillLine(msgspec.Struct, frozen=True, gc=False):
    """A fill. ``row`` is its place in the run's fills; quantity (> 0), price and fee (as money) are of the grid."""

    row: int
    ts: int
    quantity: int
    price: int
    fee: int


class Decision(msgspec.Struct):
    """An order with its fills within the window, oldest first.

    ``row`` is its place in the run's orders, -1 for fills of which the run has no order: then it is as if it had been
    decided when it filled. ``arrival`` is the price at the decision, of the grid; None unknown.
    """

    row: int
    ts: int
    kind: str
    quantity: float
    arrival: int | None
    fills: list[FillLine] = msgspec.field(default_factory=list)


@dataclass(slots=True)
class SymbolBook:
    """One symbol: decisions by side, what was held when the window began, and the marks at both its ends; of the grid.

    ``end_mark`` is None where nothing was ever traded; ``start_mark`` where nothing was held.
    """

    decisions: dict[str, list[Decision]] = field(default_factory=dict)
    carried: int = 0
    start_mark: int | None = None
    end_mark: int | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """A run's symbols; ``is_whole`` where no fill lies outside the window: then its stored result is that of the window.

    ``outside`` counts the fills that do. ``approximate`` names symbols that are marked at a stored price bucket,
    because the window ends or begins in the middle of the run. ``unexplained`` names symbols of which a whole run holds
    something else in the end than its fills add up to. ``unpriced`` counts fills whose fee the broker never told: they
    count without one, as in the run's own result.
    """

    symbols: dict[str, SymbolBook]
    outside: int
    approximate: tuple[str, ...]
    unexplained: tuple[str, ...] = ()
    unpriced: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all of the run's fills are within the window."""
        return self.outside == 0


def _splits_of(record: RunRecord) -> set[Split]:
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


class Grid:
    """The units in which two runs are counted: prices and quantities in 1 / ``size`` and of after all splits.

    Money in an instrument's currency is a quantity times a price, hence in 1 / ``size``^2. A factor to the base currency
    is in 1 / ``factor_size``; times that, money is in 1 / ``money_size``. Each has a bit to spare, so that the mean of two
    numbers is a number of the grid too.
    """

    def __init__(self, records: Sequence[RunRecord]) -> None:
        splits = set().union(*(_splits_of(record) for record in records))
        self._steps: dict[str, tuple[list[int], list[Fraction]]] = {}
        for split in sorted(splits, key=lambda each: (each.symbol, each.ts, each.ratio), reverse=True):
            times, factors = self._steps.setdefault(split.symbol, ([], []))
            times.insert(0, split.ts)
            factors.insert(0, split.ratio * (factors[0] if factors else 1))
        changes = [factor for _, factors in self._steps.values() for factor in factors]
        self._bits = max((_bits(values) for record in records for values in _numbers(record)), default=0)
        self.size = math.lcm(*(each.numerator for each in changes)) << (
            1 + self._bits + max((each.denominator.bit_length() for each in changes), default=0)
        )
        self.factor_size = 2 << (2 * self._bits)
        self.money_size = self.size * self.size * self.factor_size

    def whole(self, value: float) -> int:
        """A number, exactly, in 1 / ``size``."""
        numerator, denominator = value.as_integer_ratio()
        return numerator * (self.size // denominator)

    def factor(self, *values: float) -> int:
        """The product of at most two numbers, exactly, in 1 / ``factor_size``."""
        product = math.prod((Fraction(each) for each in values), start=Fraction(self.factor_size))
        return _exactly(product)

    def units(self, symbol: str, ts: int) -> Fraction | None:
        """Units of after all splits for one at ``ts``, None where it is 1; a split counts from its own time on."""
        steps = self._steps.get(symbol)
        if steps is None:
            return None
        place = bisect.bisect_right(steps[0], ts)
        return steps[1][place] if place < len(steps[0]) else None

    def price(self, symbol: str, ts: int, price: float) -> int:
        """A price at ``ts``."""
        units = self.units(symbol, ts)
        return self.whole(price) if units is None else _exactly(Fraction(price) / units * self.size)

    def quantity(self, symbol: str, ts: int, quantity: float) -> int:
        """A quantity at ``ts``."""
        units = self.units(symbol, ts)
        return self.whole(quantity) if units is None else _exactly(Fraction(quantity) * units * self.size)


def _exactly(value: Fraction) -> int:
    assert value.denominator == 1, "the grid is fine enough for every number of the runs"
    return value.numerator


def _numbers(record: RunRecord) -> Iterator[Any]:
    """All numbers of a run that are counted."""
    yield from (record.fills[name] for name in ("quantity", "price", "fee"))
    yield record.orders["arrival_price"]
    yield record.positions["last_price"]
    yield from (columns["last"] for columns in record.prices.values())
    yield np.array([record.starting_equity, record.final_equity])
    for name in ("multipliers", "rates"):
        yield np.array([math.nan if each is None else each for each in (record.settings.get(name) or {}).values()])


def _bits(values: Any) -> int:
    """A power of two whose reciprocal all finite values are multiples of: a float has 53 bits from its highest on."""
    used = values[np.isfinite(values) & (values != 0.0)]
    return max(0, 53 - int(np.frexp(used)[1].min(initial=53)))


def make_book(record: RunRecord, start: int, end: int, grid: Grid) -> Book:
    """The run's book of the window [start, end]."""
    symbols: dict[str, SymbolBook] = {}
    decisions = _decisions(record, start, end, grid, symbols)
    last_fill: dict[str, tuple[int, float]] = {}
    fills = record.fills
    outside = unpriced = 0
    columns = (fills[name].tolist() for name in ("ts", "symbol", "side", "quantity", "price", "fee", "order"))
    for row, (ts, symbol, side, quantity, price, fee, number) in enumerate(zip(*columns, strict=True)):
        if ts > end:
            outside += 1
            continue
        book = symbols.setdefault(symbol, SymbolBook())
        last_fill[symbol] = (ts, price)
        amount = grid.quantity(symbol, ts, quantity)
        if ts < start:
            outside += 1
            book.carried += SIGN[side] * amount
            book.start_mark = grid.price(symbol, ts, price)
            continue
        if math.isnan(fee):
            unpriced += 1
            fee = 0.0
        line = FillLine(row, ts, amount, grid.price(symbol, ts, price), grid.whole(fee) * grid.size)
        decision = decisions.get(number)
        if decision is None:
            decision = Decision(-1, ts, "", quantity, None)
            book.decisions.setdefault(side, []).append(decision)
        decision.fills.append(line)
    approximate = _set_marks(record, start, end, grid, symbols, last_fill, has_later=bool((fills["ts"] > end).any()))
    for book in symbols.values():
        for listed in book.decisions.values():
            listed.sort(key=lambda each: (each.ts, each.row))
    return Book(symbols, outside, approximate, () if outside else _unexplained(record, grid), unpriced)


def _unexplained(record: RunRecord, grid: Grid) -> tuple[str, ...]:
    """Symbols whose stored position is not what the run's fills, in units of after all splits, add up to."""
    held: dict[str, int] = {}
    columns = (record.fills[name].tolist() for name in ("ts", "symbol", "side", "quantity"))
    for ts, symbol, side, quantity in zip(*columns, strict=True):
        held[symbol] = held.get(symbol, 0) + SIGN[side] * grid.quantity(symbol, ts, quantity)
    stored = dict(zip(record.positions["symbol"].tolist(), record.positions["quantity"].tolist(), strict=True))
    found = []
    for symbol, total in held.items():
        quantity = total / grid.size / float(grid.units(symbol, record.end) or 1)
        if not math.isclose(quantity, stored.get(symbol, 0.0), rel_tol=1e-9, abs_tol=1e-6):
            found.append(symbol)
    return tuple(found)


def _decisions(
    record: RunRecord, start: int, end: int, grid: Grid, symbols: dict[str, SymbolBook]
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
        price = grid.price(symbol, ts, arrival) if math.isfinite(arrival) else None
        found[number] = decision = Decision(row, ts, kind, quantity, price)
        symbols.setdefault(symbol, SymbolBook()).decisions.setdefault(side, []).append(decision)
    return found


def _set_marks(
    record: RunRecord,
    start: int,
    end: int,
    grid: Grid,
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
            book.end_mark = grid.price(symbol, record.end, mark)
        else:
            ts_and_price = _price_at(record.prices.get(symbol), end) or last_fill.get(symbol)
            if ts_and_price is not None:
                book.end_mark = grid.price(symbol, *ts_and_price)
                approximate.append(symbol)
        if book.carried:
            found = _price_at(record.prices.get(symbol), start)
            if found is not None:
                book.start_mark = grid.price(symbol, *found)
            approximate.append(symbol)
    return tuple(dict.fromkeys(approximate))


def _price_at(buckets: Mapping[str, Any] | None, ts: int) -> tuple[int, float] | None:
    """Time and price of the last stored bucket that ended at or before ``ts``."""
    if buckets is None:
        return None
    place = int(np.searchsorted(buckets["ts"], ts, "right")) - 1
    return None if place < 0 else (int(buckets["ts"][place]), float(buckets["last"][place]))
