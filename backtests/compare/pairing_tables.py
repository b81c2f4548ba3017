"""Where two runs parted, as tables of texts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from backtests.compare.causes import CAUSE_TEXTS, Cause
from backtests.compare.content import seconds_text
from backtests.compare.pairing import Match, Pairing
from backtests.report.cells import UNKNOWN, amount_text, money, prices, quantities, sign_tone, times, words
from backtests.report.parts import Align, Cell, Column, Table, from_columns

LINES_MAX = 200
"""Most decisions and most fills that are listed, those that matter most; the counts are of all."""
SYMBOLS_MAX = 200

_MATCHES = {Match.MATCHED: "both", Match.ONLY_A: "first only", Match.ONLY_B: "second only"}


def causes_table(pairing: Pairing) -> Table:
    """The causes, and the difference that they add up to."""
    names = [*(cause.value for cause in Cause), "difference"]
    texts = [*CAUSE_TEXTS.values(), "net profit of the second run less that of the first"]
    amounts = [*(pairing.causes[cause] for cause in Cause), pairing.difference]
    column = money("amount", "Amount", amounts, [pairing.currency] * len(amounts), signed=True)
    return from_columns("causes", "Why the results differ", (
        (Column("cause", "Cause", Align.LEFT), words(names)),
        column,
        (Column("meaning", "What it is", Align.LEFT), words(texts)),
    ), "The causes add up to the difference exactly; shown to the cent, they may be a cent apart.")  # fmt: skip


def _amounts(values: Iterable[float]) -> list[Cell]:
    """Gains and losses, whose currency the table's note names."""
    return [Cell(amount_text(value, signed=True), value, sign_tone(round(value, 2))) for value in map(float, values)]


def symbols_table(pairing: Pairing) -> Table:
    """The causes by symbol, the largest differences first."""
    totals = {symbol: sum(causes.values()) for symbol, causes in pairing.by_symbol.items()}
    listed = sorted(totals, key=lambda symbol: (-abs(totals[symbol]), symbol))[:SYMBOLS_MAX]
    columns = [(Column("symbol", "Symbol", Align.LEFT), words(listed))]
    for cause in Cause:
        amounts = [pairing.by_symbol[symbol].get(cause, 0.0) for symbol in listed]
        if any(amounts):
            columns.append((Column(cause.value, cause.value), _amounts(amounts)))
    columns.append((Column("total", "total"), _amounts(totals[symbol] for symbol in listed)))
    more = len(totals) - len(listed)
    note = f"In {pairing.currency}." + (f" The {len(listed)} that matter most, of {len(totals):,}." if more else "")
    return from_columns("by_symbol", "By symbol", columns, note if listed else "Nothing was traded.")


def fills_table(pairing: Pairing) -> Table:
    """Fills side by side, those with the largest effect first."""
    fills = pairing.fills
    effect = fills["timing"] + fills["price"] + fills["fee"] + fills["unmatched"]
    rows = np.argsort(-np.abs(effect), kind="stable")[:LINES_MAX]
    rows = rows[np.abs(effect[rows]) > 0.0]
    part = {name: column[rows] for name, column in fills.items()}
    both = part["match"] == Match.MATCHED
    later = np.where(both, part["ts_b"] - part["ts_a"], 0).tolist()
    moved = np.where(both, part["price_b"] - part["price_a"], np.nan)
    columns = [
        (Column("match", "In", Align.LEFT), words(_MATCHES[Match(each)] for each in part["match"])),
        (Column("symbol", "Symbol", Align.LEFT), words(part["symbol"])),
        (Column("side", "Side", Align.LEFT), words(part["side"])),
        (Column("quantity", "Quantity"), quantities(part["quantity"])),
        times("ts", "Filled", np.where(part["ts_a"] != 0, part["ts_a"], part["ts_b"]), pairing.zone),
        (Column("later", "Second later by"), [
            Cell(seconds_text(ns), float(ns)) if known else UNKNOWN for ns, known in zip(later, both, strict=True)
        ]),
        (Column("price_a", "First's price"), prices(part["price_a"])),
        (Column("price_b", "Second's price"), prices(part["price_b"])),
        (Column("price_difference", "Difference"), prices(moved)),
    ]  # fmt: skip
    columns += [(Column(f"effect_{name}", name), _amounts(part[name])) for name in ("timing", "price", "fee")]
    columns.append((Column("unmatched", "missed or extra"), _amounts(part["unmatched"])))
    more = f" The {len(rows)} that matter most, of {len(effect):,} lines." if len(effect) > len(rows) else ""
    note = f"Effects in {pairing.currency}; above zero the second run did better.{more}"
    return from_columns("fill_pairs", "Fills side by side", columns, note if len(rows) else "No fill differs.")


def decisions_table(pairing: Pairing) -> Table:
    """Decisions of one run only, the first ones."""
    orders = pairing.orders
    rows = np.flatnonzero(orders["match"] != Match.MATCHED)
    count = len(rows)
    rows = rows[:LINES_MAX]
    part = {name: column[rows] for name, column in orders.items()}
    is_a = part["match"] == Match.ONLY_A
    columns = [
        (Column("match", "In", Align.LEFT), words(_MATCHES[Match(each)] for each in part["match"])),
        times("ts", "Decided", np.where(is_a, part["ts_a"], part["ts_b"]), pairing.zone),
        (Column("symbol", "Symbol", Align.LEFT), words(part["symbol"])),
        (Column("side", "Side", Align.LEFT), words(part["side"])),
        (Column("quantity", "Quantity"), quantities(np.where(is_a, part["quantity_a"], part["quantity_b"]))),
        (Column("arrival", "Price then"), prices(np.where(is_a, part["arrival_a"], part["arrival_b"]))),
        (Column("order", "Order"), [Cell(f"{n:,}", float(n)) for n in np.where(is_a, part["order_a"], part["order_b"])]),
    ]  # fmt: skip
    more = f"The first {len(rows)} of {count:,}." if count > len(rows) else ""
    return from_columns(
        "decisions", "Decisions of one run only", columns, more if count else "Every decision is in both runs."
    )


def counts_text(pairing: Pairing) -> str:
    """How many decisions and fills are in both runs, and how many in one only."""
    parts = []
    for name, table in (("decisions", pairing.orders), ("fills", pairing.fills)):
        both, first, second = (pairing.count(table, match) for match in Match)
        parts.append(f"{name}: {both:,} in both, {first:,} in the first only, {second:,} in the second only")
    return "; ".join(parts)
