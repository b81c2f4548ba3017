"""Two runs of one strategy, decision by decision and fill by fill: where they parted, and what that was worth.

Amounts are whole numbers of a fine grid until they are shown (``backtests/compare/books.py``), so that the causes add up to the difference of the two
results exactly; docs/comparison.md has the formulas and says why they do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import numpy as np

from backtests.compare.alignment import Decisions, align
from backtests.compare.books import SIGN, Book, Decision, Grid, SymbolBook, make_book
from backtests.compare.causes import Cause
from backtests.compare.matching import Alone, Piece, pieces, settled
from papertape.core.errors import DataError
from papertape.core.model import NS_PER_S
from papertape.core.record import Columns, RunRecord
from papertape.holdings import multipliers

TOLERANCE_S = 60.0
"""How far apart in time two orders may be decided and still be the same decision, unless told otherwise."""


class Match(StrEnum):
    """Whether a line is of both runs."""

    MATCHED = "matched"
    ONLY_A = "only_a"
    ONLY_B = "only_b"


ORDER_PAIR_COLUMNS: Mapping[str, str] = {
    "match": "O",  # Match
    "symbol": "O",
    "side": "O",
    "order_a": "i8",  # number of the order, 0 for none
    "order_b": "i8",
    "ts_a": "i8",  # when it was decided; 0 for none
    "ts_b": "i8",
    "quantity_a": "f8",  # NaN for none
    "quantity_b": "f8",
    "arrival_a": "f8",  # price at the decision; NaN for none or unknown
    "arrival_b": "f8",
}
FILL_PAIR_COLUMNS: Mapping[str, str] = {
    "match": "O",
    "symbol": "O",
    "side": "O",
    "quantity": "f8",  # of this line: a fill that is matched in part is two lines. In units of after all splits
    "fill_a": "i8",  # place of the fill in the run's fills, -1 for none
    "fill_b": "i8",
    "ts_a": "i8",
    "ts_b": "i8",
    "price_a": "f8",  # in units of after all splits, as all prices here; NaN for none
    "price_b": "f8",
    "timing": "f8",  # the causes of this line in the base currency, from a's point of view: > 0, b did better
    "price": "f8",
    "fee": "f8",
    "unmatched": "f8",  # missed or extra
}
_UNMATCHED = list(FILL_PAIR_COLUMNS).index("unmatched")


@dataclass(frozen=True, slots=True, eq=False)
class Pairing:
    """Run b against run a of the same strategy, over the time that both played.

    ``start`` and ``end`` are the window's first and last ns. Amounts are in ``currency``; ``difference`` is ``profit_b
    - profit_a``, the net profit over the window, and is the sum of ``causes``, as it is of exact numbers: each is
    rounded once. ``by_symbol`` splits the causes (but OTHER) by symbol. ``orders`` has a line a decision
    (ORDER_PAIR_COLUMNS), ``fills`` one a matched or unmatched quantity (FILL_PAIR_COLUMNS), both by time.
    """

    a: str
    b: str
    start: int
    end: int
    zone: str
    currency: str
    tolerance_s: float
    profit_a: float
    profit_b: float
    difference: float
    causes: Mapping[Cause, float]
    exact: Mapping[Cause, Fraction]
    exact_difference: Fraction
    by_symbol: Mapping[str, Mapping[Cause, float]]
    orders: Columns
    fills: Columns
    notes: tuple[str, ...]

    def count(self, table: Columns, match: Match) -> int:
        """Lines of ``orders`` or ``fills`` that are matched, or of one run only."""
        return int(np.count_nonzero(table["match"] == match))


def why_unpaired(a: RunRecord, b: RunRecord) -> str:
    """Why two runs are not paired; empty where they can be."""
    if a.strategy != b.strategy:
        return f"the runs are of two strategies, {a.strategy} and {b.strategy}"
    if max(a.start, b.start) > min(a.end, b.end) or not (a.events and b.events):
        return "the runs have no time in common"
    if a.currency != b.currency:
        return f"one run is in {a.currency}, the other in {b.currency}"
    unknown = sorted(set(_unrated(a)) | set(_unrated(b)))
    return f"the exchange rate of {unknown[0]} is not stored" if unknown else ""


def pair_runs(
    a: RunRecord, b: RunRecord, labels: tuple[str, str] = ("a", "b"), *, tolerance_s: float = TOLERANCE_S
) -> Pairing:
    """Pair two runs; DataError where ``why_unpaired`` has a reason, ValueError for a tolerance beyond a day."""
    reason = why_unpaired(a, b)
    if reason:
        raise DataError(f"nothing to pair: {reason}")
    start, end = max(a.start, b.start), min(a.end, b.end)
    grid = Grid((a, b))
    books = make_book(a, start, end, grid), make_book(b, start, end, grid)
    lines = _Lines(grid)
    totals: dict[str, dict[Cause, int]] = {}
    results = [0, 0]
    for symbol in sorted(books[0].symbols.keys() | books[1].symbols.keys()):
        first, second = (book.symbols.get(symbol) or SymbolBook() for book in books)
        value = _SymbolPairing(symbol, first, second, _factors(symbol, a, b, grid), lines)
        totals[symbol] = value.causes(round(tolerance_s * NS_PER_S))
        results = [results[k] + value.result(k) for k in (0, 1)]
    profits = [_profit(*each, grid) for each in zip((a, b), books, results, strict=True)]
    amounts = {cause: sum(each.get(cause, 0) for each in totals.values()) for cause in Cause}
    amounts[Cause.OTHER] = (profits[1] - results[1]) - (profits[0] - results[0])
    exact = {cause: Fraction(amount, grid.money_size) for cause, amount in amounts.items()}
    difference = Fraction(profits[1] - profits[0], grid.money_size)
    orders, fills = lines.tables(a, b)
    return Pairing(
        a=labels[0],
        b=labels[1],
        start=start,
        end=end,
        zone=a.zone,
        currency=a.currency,
        tolerance_s=tolerance_s,
        profit_a=profits[0] / grid.money_size,
        profit_b=profits[1] / grid.money_size,
        difference=float(difference),
        causes={cause: float(amount) for cause, amount in exact.items()},
        exact=exact,
        exact_difference=difference,
        by_symbol={
            name: {cause: amount / grid.money_size for cause, amount in each.items()} for name, each in totals.items()
        },
        orders=orders,
        fills=fills,
        notes=_notes(labels, books, fills, lines.without_arrival),
    )


def _profit(record: RunRecord, book: Book, result: int, grid: Grid) -> int:
    """Net profit of the window: the stored one where no fill lies outside, else what comes of fills and marks."""
    if book.is_whole and np.isfinite(record.final_equity) and np.isfinite(record.starting_equity):
        money = grid.money_size // grid.size
        return (grid.whole(record.final_equity) - grid.whole(record.starting_equity)) * money
    return result


def _unrated(record: RunRecord) -> list[str]:
    """Currencies of instruments that were traded whose exchange rate is not known."""
    rates = record.settings.get("rates") or {}
    known = {name for name, rate in rates.items() if rate is not None and np.isfinite(rate)} | {record.currency}
    return [name for name in record.positions["currency"].tolist() if name not in known]


def _factors(symbol: str, a: RunRecord, b: RunRecord, grid: Grid) -> tuple[int, int]:
    """(base currency per point of price and unit, base currency per unit of the instrument's) of a symbol.

    The mean of the two runs' where they say something else.
    """
    found = []
    for record in (a, b):
        place = np.flatnonzero(record.positions["symbol"] == symbol)
        if len(place):
            currency = str(record.positions["currency"][place[0]])
            rate = 1.0 if currency == record.currency else float(record.settings["rates"][currency])
            multiplier = multipliers(record)[symbol]
            found.append((grid.factor(rate, multiplier), grid.factor(rate)))
    if not found:
        return grid.factor(), grid.factor()  # nothing was filled
    return sum(each[0] for each in found) // len(found), sum(each[1] for each in found) // len(found)


def _notes(labels: tuple[str, str], books: tuple[Book, Book], fills: Columns, without_arrival: int) -> tuple[str, ...]:
    notes = []
    for label, book in zip(labels, books, strict=True):
        if book.outside:
            some = "1 fill" if book.outside == 1 else f"{book.outside:,} fills"
            notes.append(f"{label} has {some} outside the common window: its result here is that of the window")
        if book.unpriced:
            some = "1 fill" if book.unpriced == 1 else f"{book.unpriced:,} fills"
            notes.append(f"{label} has {some} whose fee was never told: counted without one")
        if book.approximate:
            names = ", ".join(book.approximate[:5]) + (", ..." if len(book.approximate) > 5 else "")
            notes.append(f"{label} goes on beyond the window: marked at the last price stored before its ends: {names}")
        if book.unexplained:
            names = ", ".join(book.unexplained[:5]) + (", ..." if len(book.unexplained) > 5 else "")
            notes.append(
                f"{label} holds something else in the end than its fills add up to, as after a split that only a stored "
                f"run tells of: the causes of {names} are off, which {Cause.OTHER.value} makes up for"
            )
    if without_arrival:
        notes.append(
            f"{without_arrival:,} pairs have no price at the decision: all of their difference counts as price"
        )
    return tuple(notes)


# --- one symbol -----------------------------------------------------------------------------------------------------


class _Lines:
    """Rows of the two tables, as they are found."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.orders: list[tuple[str, str, Decision | None, Decision | None]] = []
        self.fills: list[list[Any]] = []
        self.without_arrival = 0

    def tables(self, a: RunRecord, b: RunRecord) -> tuple[Columns, Columns]:
        """(orders, fills) by time; of lines of the same time the order of finding."""
        numbers = a.orders["number"], b.orders["number"]
        arrivals = a.orders["arrival_price"], b.orders["arrival_price"]
        rows: list[tuple[Any, ...]] = []
        for symbol, side, *both in self.orders:
            cells: list[list[Any]] = [[], [], [], []]
            for k, each in enumerate(both):
                has = each is not None and each.row >= 0
                cells[0].append(int(numbers[k][each.row]) if each is not None and has else 0)
                cells[1].append(0 if each is None else each.ts)
                cells[2].append(np.nan if each is None else each.quantity)
                cells[3].append(float(arrivals[k][each.row]) if each is not None and has else np.nan)
            rows.append((_match(*both), symbol, side, *(value for pair in cells for value in pair)))
        return _table(rows, ORDER_PAIR_COLUMNS), _table(self.fills, FILL_PAIR_COLUMNS)


def _match(a: object | None, b: object | None) -> Match:
    return Match.ONLY_B if a is None else Match.ONLY_A if b is None else Match.MATCHED


def _table(rows: list[Any], layout: Mapping[str, str]) -> Columns:
    """Rows as columns, by the earlier of their two times (0 is none)."""
    a, b = (list(layout).index(name) for name in ("ts_a", "ts_b"))
    rows.sort(key=lambda row: min(row[a] or row[b], row[b] or row[a]))
    columns: Columns = {}
    for place, (name, code) in enumerate(layout.items()):
        columns[name] = np.empty(len(rows), dtype=code)
        columns[name][:] = [row[place] for row in rows]
    return columns


class _SymbolPairing:
    """The causes of one symbol. ``marks`` are each run's own; ``mark`` and ``start_mark`` are the common ones."""

    def __init__(self, symbol: str, a: SymbolBook, b: SymbolBook, factors: tuple[int, int], lines: _Lines) -> None:
        self.symbol = symbol
        self.books = (a, b)
        self.factor, self.rate = factors
        self.lines = lines
        self.mark, self.marks = _common(a.end_mark, b.end_mark)
        self.start_mark, self.start_marks = _common(a.start_mark, b.start_mark)
        self.alone: list[Alone] = []
        self.held = tuple(book.carried + _traded(book) for book in self.books)

    def result(self, k: int) -> int:
        """Run k's net profit of the window at its own marks: what it holds now less what it held and what it paid."""
        book = self.books[k]
        paid = fees = 0
        for side, decisions in book.decisions.items():
            for line in (line for decision in decisions for line in decision.fills):
                paid += SIGN[side] * line.quantity * line.price
                fees += line.fee
        value = self.held[k] * self.marks[k] - book.carried * self.start_marks[k] - paid
        return value * self.factor - fees * self.rate

    def causes(self, tolerance_ns: int) -> dict[Cause, int]:
        """What each cause but OTHER contributes to b's result less a's."""
        found: dict[Cause, int] = {cause: 0 for cause in Cause if cause is not Cause.OTHER}
        for side in SIGN:
            for one, other in _aligned(self.books[0], self.books[1], side, tolerance_ns):
                self.lines.orders.append((self.symbol, side, one, other))
                for cause, amount in self._of_decision(side, one, other):
                    found[cause] += amount
        a, b = self.books
        for alone, units in settled(b.carried - a.carried, self.start_mark, self.alone, self.mark):
            found[alone.cause] += units * self.factor
            if alone.line is not None:
                alone.line[_UNMATCHED] += units * self.factor / self.lines.grid.money_size
        found[Cause.MARK] = self.factor * (
            self.held[1] * (self.marks[1] - self.mark)
            - self.held[0] * (self.marks[0] - self.mark)
            - b.carried * (self.start_marks[1] - self.start_mark)
            + a.carried * (self.start_marks[0] - self.start_mark)
        )
        return found

    def _of_decision(self, side: str, a: Decision | None, b: Decision | None) -> Iterator[tuple[Cause, int]]:
        """The causes of one decision: its fills are paired quantity by quantity, in their order."""
        moved = 0
        if a is not None and b is not None:
            if a.arrival is not None and b.arrival is not None:
                moved = a.arrival - b.arrival
            elif a.fills and b.fills:
                self.lines.without_arrival += 1
        for piece in pieces(a.fills if a else [], b.fills if b else []):
            yield from self._of_piece(side, piece, moved)

    def _of_piece(self, side: str, piece: Piece, moved: int) -> list[tuple[Cause, int]]:
        a, b = piece.a, piece.b
        size, money = self.lines.grid.size, self.lines.grid.money_size
        scale = SIGN[side] * piece.quantity * self.factor
        fee = (piece.fee_a - piece.fee_b) * self.rate
        line: list[Any] = [
            _match(a, b), self.symbol, side, piece.quantity / size,
            -1 if a is None else a.row, -1 if b is None else b.row,
            0 if a is None else a.ts, 0 if b is None else b.ts,
            np.nan if a is None else a.price / size, np.nan if b is None else b.price / size,
            0.0, 0.0, 0.0, 0.0,
        ]  # fmt: skip
        self.lines.fills.append(line)
        if a is not None and b is not None:
            timing = scale * moved
            price = scale * (a.price - b.price) - timing
            line[_UNMATCHED - 3 : _UNMATCHED] = timing / money, price / money, fee / money
            return [(Cause.TIMING, timing), (Cause.PRICE, price), (Cause.FEE, fee)]
        fill, cause, sign = (a, Cause.MISSED, -1) if a is not None else (b, Cause.EXTRA, 1)
        assert fill is not None, "a piece is of one of the two"
        self.alone.append(Alone(fill.ts, sign * SIGN[side], piece.quantity, fill.price, cause, line))
        line[_UNMATCHED] = fee / money
        return [(cause, fee)]


def _common(a: int | None, b: int | None) -> tuple[int, tuple[int, int]]:
    """(the price that both are valued at, each one's own): the mean where both have one, else the only one for both."""
    if a is None or b is None:
        only = a if a is not None else b if b is not None else 0
        return only, (only, only)
    return (a + b) // 2, (a, b)


def _traded(book: SymbolBook) -> int:
    """What the fills of the window added to the position."""
    return sum(
        SIGN[side] * line.quantity
        for side, decisions in book.decisions.items()
        for each in decisions
        for line in each.fills
    )


def _aligned(
    a: SymbolBook, b: SymbolBook, side: str, tolerance_ns: int
) -> list[tuple[Decision | None, Decision | None]]:
    """The decisions of one side, paired or alone."""
    ours, theirs = a.decisions.get(side, []), b.decisions.get(side, [])
    kinds = {kind: number for number, kind in enumerate(sorted({each.kind for each in ours + theirs}))}
    pairs = align(_columns(ours, kinds), _columns(theirs, kinds), tolerance_ns)
    found: list[tuple[Decision | None, Decision | None]] = [(ours[i], theirs[j]) for i, j in pairs]
    paired_a, paired_b = {i for i, _ in pairs}, {j for _, j in pairs}
    found += [(each, None) for i, each in enumerate(ours) if i not in paired_a]
    found += [(None, each) for j, each in enumerate(theirs) if j not in paired_b]
    return found


def _columns(decisions: list[Decision], kinds: Mapping[str, int]) -> Decisions:
    return Decisions(
        np.array([each.ts for each in decisions], np.int64),
        np.array([kinds[each.kind] for each in decisions], np.int64),
        np.array([each.quantity for each in decisions], np.float64),
    )
