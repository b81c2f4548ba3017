"""The causes by which two runs of a strategy differ add up to the difference, exactly, whatever the runs did."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtests.compare.alignment import Decisions, align
from backtests.compare.causes import Cause
from backtests.compare.pairing import Match, Pairing, pair_runs, why_unpaired
from papertape import Strategy, backtest, moved
from papertape.core.errors import DataError
from papertape.core.model import EventKind, Instrument
from papertape.core.record import (
    FILL_COLUMNS,
    ORDER_COLUMNS,
    POSITION_COLUMNS,
    Columns,
    Drawdown,
    RunRecord,
    empty_columns,
)
from papertape.core.series import Series, Tape
from papertape.store import DAILY_COLUMNS, EQUITY_COLUMNS, POINT_COLUMNS

S = 1_000_000_000
T0 = 1_704_292_200 * S  # 2024-01-03 09:30 New York
LAST = T0 + 1_000 * S
SAME_SIDE = {"BUY": 1, "SELL": -1}


def table(layout: Mapping[str, str], rows: list[tuple[Any, ...]]) -> Columns:
    made = {name: np.empty(len(rows), dtype=code) for name, code in layout.items()}
    for number, row in enumerate(rows):
        for name, value in zip(layout, row, strict=True):
            made[name][number] = value
    return made


def a_run(orders: list[tuple[Any, ...]], marks: Mapping[str, float] | None = None, **changes: Any) -> RunRecord:
    """A run of orders (ts, symbol, side, arrival price, [(ts, quantity, price, fee), ...]) that ends at the marks.

    Its final equity is computed here from cash and positions, as a broker's statement would be.
    """
    marks = marks or {"AAA": 100.0, "BBB": 50.0}
    multipliers: Mapping[str, float] = changes.get("settings", {}).get("multipliers", {})
    order_rows, fill_rows = [], []
    cash, held = Fraction(0), dict.fromkeys(marks, Fraction(0))
    for number, (ts, symbol, side, arrival, fills) in enumerate(sorted(orders, key=lambda order: order[0]), 1):
        quantity = sum(fill[1] for fill in fills) or 1.0
        order_rows.append(
            (number, ts, symbol, side, "MARKET", quantity, math.nan, math.nan, "DAY", "FILLED", quantity, 0.0, 0.0,
             arrival, ts, "", 0, 0, "")
        )  # fmt: skip
        for fill_ts, amount, price, fee in fills:
            fill_rows.append((fill_ts, symbol, side, amount, price, fee, number, False))
            sign = SAME_SIDE[side]
            held[symbol] += sign * Fraction(amount)
            cash -= sign * Fraction(amount) * Fraction(price) * Fraction(multipliers.get(symbol, 1.0)) + Fraction(fee)
    fill_rows.sort(key=lambda row: row[0])
    worth = sum(
        (held[name] * Fraction(marks[name]) * Fraction(multipliers.get(name, 1.0)) for name in marks), Fraction(0)
    )
    positions = [
        (name, "USD", float(held[name]), 0.0, marks[name], float(held[name]) * marks[name], 0.0, 0.0) for name in marks
    ]
    values: dict[str, Any] = {
        "strategy": "Jumps", "mode": "backtest", "start": T0, "end": LAST, "events": 10, "currency": "USD",
        "starting_equity": 0.0, "final_equity": float(cash + worth), "cash": {"USD": float(cash)},
        "orders": table(ORDER_COLUMNS, order_rows), "fills": table(FILL_COLUMNS, fill_rows),
        "positions": table(POSITION_COLUMNS, positions), "equity": empty_columns(EQUITY_COLUMNS),
        "points": empty_columns(POINT_COLUMNS), "daily": empty_columns(DAILY_COLUMNS),
        "drawdown": Drawdown(0.0, 0, 0, 0, 0.0, 0.0), "time_in_market_ns": 0,
    }  # fmt: skip
    return RunRecord(**{**values, **changes})


def assert_adds_up(pairing: Pairing) -> None:
    """The causes are exactly the difference, and as floats to an ulp of the largest of them each."""
    assert sum(pairing.exact.values()) == pairing.exact_difference
    largest = max(map(abs, [*pairing.causes.values(), pairing.difference]))
    assert abs(math.fsum(pairing.causes.values()) - pairing.difference) <= 8 * math.ulp(largest)


# --- by hand --------------------------------------------------------------------------------------------------------


def test_a_worse_price_is_the_price_that_the_same_decision_was_filled_at() -> None:
    a = a_run([(T0, "AAA", "BUY", 100.0, [(T0 + S, 10.0, 100.0, 1.0)])])
    b = a_run([(T0, "AAA", "BUY", 100.0, [(T0 + 2 * S, 10.0, 100.25, 1.0)])])
    pairing = pair_runs(a, b)
    assert pairing.causes[Cause.PRICE] == -2.5
    assert pairing.difference == -2.5
    assert {cause for cause, amount in pairing.causes.items() if amount} == {Cause.PRICE}


def test_what_the_market_moved_between_two_decisions_is_timing_and_the_rest_is_price() -> None:
    a = a_run([(T0, "AAA", "SELL", 100.0, [(T0 + S, 10.0, 99.9, 1.0)])])
    b = a_run([(T0 + 5 * S, "AAA", "SELL", 99.0, [(T0 + 6 * S, 10.0, 98.5, 1.5)])])
    pairing = pair_runs(a, b)
    assert pairing.causes[Cause.TIMING] == -10.0
    assert pairing.causes[Cause.PRICE] == pytest.approx(-4.0)
    assert pairing.causes[Cause.FEE] == -0.5
    assert pairing.difference == pytest.approx(-14.5)
    assert_adds_up(pairing)


def test_a_fill_that_the_second_run_has_not_is_missed_at_what_it_came_to_be_worth() -> None:
    a = a_run([(T0, "AAA", "BUY", 98.0, [(T0 + S, 10.0, 98.0, 1.0)])])
    pairing = pair_runs(a, a_run([]))
    assert pairing.causes[Cause.MISSED] == -19.0
    assert pairing.difference == -19.0
    assert pairing.count(pairing.orders, Match.ONLY_A) == 1


def test_a_fill_that_is_matched_in_part_is_split_with_its_fee() -> None:
    a = a_run([(T0, "AAA", "BUY", 99.0, [(T0 + S, 10.0, 99.0, 1.0)])])
    b = a_run([(T0, "AAA", "BUY", 99.0, [(T0 + S, 4.0, 99.5, 1.0)])])
    pairing = pair_runs(a, b)
    assert pairing.fills["match"].tolist() == [Match.MATCHED, Match.ONLY_A]
    assert pairing.fills["quantity"].tolist() == [4.0, 6.0]
    assert pairing.causes[Cause.PRICE] == -2.0
    assert pairing.causes[Cause.FEE] == pytest.approx(-0.6)
    assert pairing.causes[Cause.MISSED] == pytest.approx(-5.4)
    assert_adds_up(pairing)


def test_one_order_filled_in_several_pieces_is_matched_quantity_by_quantity() -> None:
    a = a_run([(T0, "AAA", "BUY", 99.0, [(T0 + S, 10.0, 99.0, 1.0)])])
    b = a_run([(T0, "AAA", "BUY", 99.0, [(T0 + S, 3.0, 99.0, 0.3), (T0 + 2 * S, 7.0, 100.0, 0.7)])])
    pairing = pair_runs(a, b)
    assert pairing.fills["quantity"].tolist() == [3.0, 7.0]
    assert pairing.fills["fill_b"].tolist() == [0, 1]
    assert pairing.causes[Cause.PRICE] == -7.0
    assert pairing.causes[Cause.MISSED] == pairing.causes[Cause.EXTRA] == 0.0


def test_positions_that_are_valued_at_other_prices_differ_by_their_marks() -> None:
    order = (T0, "AAA", "BUY", 100.0, [(T0 + S, 10.0, 100.0, 1.0)])
    pairing = pair_runs(a_run([order], {"AAA": 101.0}), a_run([order], {"AAA": 103.0}))
    assert pairing.causes[Cause.MARK] == 20.0
    assert pairing.difference == 20.0


def test_a_multiplier_counts_in_every_cause() -> None:
    settings_ = {"multipliers": {"AAA": 50.0}}
    a = a_run([(T0, "AAA", "BUY", 100.0, [(T0 + S, 2.0, 100.0, 1.0)])], settings=settings_)
    b = a_run([(T0, "AAA", "BUY", 100.0, [(T0 + S, 2.0, 100.5, 1.0)])], settings=settings_)
    assert pair_runs(a, b).causes[Cause.PRICE] == -50.0


def test_an_unknown_arrival_price_leaves_all_of_the_difference_to_price_and_says_so() -> None:
    a = a_run([(T0, "AAA", "BUY", math.nan, [(T0 + S, 1.0, 100.0, 0.0)])])
    b = a_run([(T0 + S, "AAA", "BUY", 101.0, [(T0 + 2 * S, 1.0, 101.0, 0.0)])])
    pairing = pair_runs(a, b)
    assert pairing.causes[Cause.TIMING] == 0.0
    assert pairing.causes[Cause.PRICE] == -1.0
    assert any("no price at the decision" in note for note in pairing.notes)


def test_fills_before_the_common_window_are_carried_into_it() -> None:
    long_ = a_run(
        [(T0, "AAA", "BUY", 90.0, [(T0 + S, 10.0, 90.0, 1.0)])],
        prices={"AAA": table(EQUITY_COLUMNS, [(T0 + 100 * S, 95.0, 90.0, 95.0), (T0 + 900 * S, 100.0, 95.0, 100.0)])},
    )
    short = a_run([], start=T0 + 200 * S)
    pairing = pair_runs(long_, short)
    assert pairing.profit_a == 50.0
    assert pairing.causes[Cause.CARRIED] == -50.0
    assert pairing.difference == -50.0
    assert any("outside the common window" in note for note in pairing.notes)
    assert_adds_up(pairing)


def test_decisions_on_either_side_of_a_split_are_in_the_same_units() -> None:
    split = json.dumps(["action", T0 + 10 * S, "split", "AAA", 2.0, 10.0]).encode() + b"\n"
    orders = [(T0, "AAA", "BUY", 200.0, [(T0 + S, 10.0, 200.0, 1.0)])]
    a = a_run(orders, {"AAA": 101.0}, journal=split, final_equity=19.0)
    b = a_run([*orders, (T0 + 20 * S, "AAA", "SELL", 100.0, [(T0 + 21 * S, 20.0, 100.5, 1.0)])], {"AAA": 101.0},
              journal=split, final_equity=8.0)  # fmt: skip
    pairing = pair_runs(a, b)
    assert pairing.causes[Cause.EXTRA] == pytest.approx(-11.0)
    assert pairing.causes[Cause.OTHER] == 0.0
    assert pairing.difference == -11.0
    assert_adds_up(pairing)


def test_a_position_that_no_fill_explains_is_said() -> None:
    run = a_run([(T0, "AAA", "BUY", 100.0, [(T0 + S, 10.0, 100.0, 0.0)])])
    assert pair_runs(run, run).notes == ()
    split = a_run([(T0, "AAA", "BUY", 100.0, [(T0 + S, 10.0, 100.0, 0.0)])])
    split.positions["quantity"][0] = 20.0
    (note,) = pair_runs(run, split).notes
    assert note.startswith("b holds something else in the end than its fills add up to")


def test_a_dividend_that_one_run_got_is_neither_price_nor_missed() -> None:
    orders = [(T0, "AAA", "BUY", 100.0, [(T0 + S, 10.0, 100.0, 0.0)])]
    plain = a_run(orders)
    paid = a_run(orders, final_equity=plain.final_equity + 5.0)
    assert pair_runs(plain, paid).causes == {**dict.fromkeys(Cause, 0.0), Cause.OTHER: 5.0}


def test_runs_that_cannot_be_paired_say_why() -> None:
    a = a_run([])
    assert why_unpaired(a, a_run([], strategy="Other")) == "the runs are of two strategies, Jumps and Other"
    assert why_unpaired(a, a_run([], start=LAST + 1, end=LAST + 2)) == "the runs have no time in common"
    assert why_unpaired(a, a_run([], currency="EUR")) == "one run is in USD, the other in EUR"
    euro = a_run([])
    euro.positions["currency"][:] = "EUR"
    assert why_unpaired(a, euro) == "the exchange rate of EUR is not stored"
    with pytest.raises(DataError, match="nothing to pair: the runs have no time in common"):
        pair_runs(a, a_run([], start=LAST + 1, end=LAST + 2))


# --- of any runs ----------------------------------------------------------------------------------------------------

QUANTITY = st.one_of(st.integers(1, 500).map(float), st.floats(0.001, 500.0))
PRICE = st.one_of(st.integers(1, 20_000).map(lambda cents: cents / 100), st.floats(0.01, 500.0))
FEE = st.one_of(st.just(0.0), st.floats(0.0, 10.0))
FILLS = st.lists(st.tuples(st.integers(0, 30), QUANTITY, PRICE, FEE), max_size=3)
ORDERS = st.lists(
    st.tuples(
        st.integers(0, 900), st.sampled_from(["AAA", "BBB"]), st.sampled_from(["BUY", "SELL"]),
        st.one_of(st.just(math.nan), PRICE), FILLS,
    ),
    max_size=8,
).map(
    lambda orders: [
        (T0 + ts * S, symbol, side, arrival, [(T0 + (ts + later) * S, *fill) for later, *fill in sorted(fills)])
        for ts, symbol, side, arrival, fills in orders
    ]
)  # fmt: skip
MARKS = st.fixed_dictionaries({"AAA": PRICE, "BBB": PRICE})
SPAN = st.tuples(st.integers(0, 500), st.integers(500, 1000))
RUNS = st.builds(
    lambda orders, marks, span, multiplier: a_run(
        orders, marks, start=T0 + span[0] * S, end=T0 + span[1] * S, settings={"multipliers": {"BBB": multiplier}}
    ),
    ORDERS, MARKS, SPAN, st.sampled_from([1.0, 50.0, 0.1]),
)  # fmt: skip


@st.composite
def variations(draw: st.DrawFn) -> tuple[RunRecord, RunRecord]:
    """A run, and one that decided much the same: later or not at all, filled in part, at other prices and fees."""
    orders = draw(ORDERS)
    varied = []
    for ts, symbol, side, arrival, fills in orders:
        if draw(st.integers(0, 4)):
            later = draw(st.integers(0, 3)) * S
            share, moved_by, fee = draw(st.sampled_from([1.0, 1.0, 0.5, 1.3])), draw(st.floats(-0.5, 0.5)), draw(FEE)
            changed = [
                (when + later, quantity * share, price + moved_by + 0.5, fee) for when, quantity, price, _ in fills
            ]
            varied.append((ts + later, symbol, side, arrival + draw(st.floats(0.0, 0.5)), changed))
    marks = draw(MARKS)
    return a_run(orders, marks), a_run(varied, draw(st.sampled_from([marks, {"AAA": 7.0, "BBB": 8.0}])))


NEGATED = (Cause.PRICE, Cause.TIMING, Cause.FEE, Cause.CARRIED, Cause.MARK, Cause.OTHER)


@given(st.one_of(st.tuples(RUNS, RUNS), variations()))
def test_the_causes_of_any_two_runs_add_up_to_their_difference(runs: tuple[RunRecord, RunRecord]) -> None:
    a, b = runs
    pairing = pair_runs(a, b)
    assert_adds_up(pairing)
    for symbol, causes in pairing.by_symbol.items():
        lines = pairing.fills["symbol"] == symbol
        scale = 1.0 + float(np.abs(pairing.fills["quantity"]).sum()) * 500.0 * 50.0
        for cause, column in ((Cause.PRICE, "price"), (Cause.TIMING, "timing"), (Cause.FEE, "fee")):
            assert math.fsum(pairing.fills[column][lines]) == pytest.approx(causes[cause], abs=1e-12 * scale)


@given(st.one_of(st.tuples(RUNS, RUNS), variations()))
def test_the_causes_of_the_window_are_the_profits_that_fills_and_marks_give(runs: tuple[RunRecord, RunRecord]) -> None:
    """The identity without its remainder: on runs whose stored result is that of their fills, OTHER is rounding."""
    a, b = runs
    pairing = pair_runs(a, b)
    if a.settings == b.settings:
        assert abs(pairing.causes[Cause.OTHER]) <= math.ulp(a.final_equity) + math.ulp(b.final_equity)


@given(st.one_of(st.tuples(RUNS, RUNS), variations()))
def test_swapping_the_runs_negates_each_cause_and_swaps_missed_and_extra(runs: tuple[RunRecord, RunRecord]) -> None:
    a, b = runs
    there, back = pair_runs(a, b), pair_runs(b, a)
    assert {cause: -there.exact[cause] for cause in NEGATED} == {cause: back.exact[cause] for cause in NEGATED}
    assert there.exact[Cause.MISSED] == -back.exact[Cause.EXTRA]
    assert there.exact[Cause.EXTRA] == -back.exact[Cause.MISSED]
    assert there.exact_difference == -back.exact_difference


@given(RUNS)
def test_a_run_paired_with_itself_differs_by_nothing(run: RunRecord) -> None:
    pairing = pair_runs(run, run)
    assert set(pairing.exact.values()) == {0}
    assert pairing.difference == 0.0
    assert set(pairing.orders["match"]) <= {Match.MATCHED}
    assert set(pairing.fills["match"]) <= {Match.MATCHED}


@given(st.one_of(st.tuples(RUNS, RUNS), variations()))
def test_every_fill_of_the_window_is_in_the_lines_with_all_of_its_quantity(runs: tuple[RunRecord, RunRecord]) -> None:
    a, b = runs
    pairing = pair_runs(a, b)
    for run, column in ((a, "fill_a"), (b, "fill_b")):
        inside = (run.fills["ts"] >= pairing.start) & (run.fills["ts"] <= pairing.end)
        for row in np.flatnonzero(inside).tolist():
            lines = pairing.fills["quantity"][pairing.fills[column] == row]
            assert math.fsum(lines) == pytest.approx(run.fills["quantity"][row], rel=1e-14)


# --- alignment ------------------------------------------------------------------------------------------------------


def decisions(times: list[int], kinds: list[int] | None = None, quantities: list[float] | None = None) -> Decisions:
    order = sorted(range(len(times)), key=lambda k: times[k])
    return Decisions(
        np.array([times[k] for k in order], np.int64),
        np.array([(kinds or [0] * len(times))[k] for k in order], np.int64),
        np.array([(quantities or [1.0] * len(times))[k] for k in order], np.float64),
    )


def closeness(a: Decisions, b: Decisions, i: int, j: int, tolerance: int) -> int:
    total = a.quantity[i] + b.quantity[j]
    unlike = int(abs(a.quantity[i] - b.quantity[j]) / total * (tolerance // 8)) if total else 0
    kind = tolerance // 4 if a.kind[i] != b.kind[j] else 0
    return int(tolerance + 1 - abs(a.ts[i] - b.ts[j]) - kind - unlike)


def best_by_trying_all(a: Decisions, b: Decisions, tolerance: int) -> int:
    """The greatest total closeness of any alignment without crossings."""
    best = 0
    for count in range(1, min(len(a), len(b)) + 1):
        for ours in itertools.combinations(range(len(a)), count):
            for theirs in itertools.combinations(range(len(b)), count):
                values = [closeness(a, b, i, j, tolerance) for i, j in zip(ours, theirs, strict=True)]
                if min(values) > 0:
                    best = max(best, sum(values))
    return best


SEQUENCES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 1), st.sampled_from([1.0, 3.0, 5.0])), max_size=6
).map(lambda rows: decisions([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]))


@given(SEQUENCES, SEQUENCES, st.sampled_from([0, 5, 16, 100]))
def test_no_alignment_is_closer_than_the_one_found(a: Decisions, b: Decisions, tolerance: int) -> None:
    pairs = align(a, b, tolerance)
    values = [closeness(a, b, i, j, tolerance) for i, j in pairs]
    assert all(value > 0 for value in values)
    assert all(x[0] < y[0] and x[1] < y[1] for x, y in itertools.pairwise(pairs))
    assert sum(values) == best_by_trying_all(a, b, tolerance)


@given(SEQUENCES, SEQUENCES, st.sampled_from([0, 5, 16, 100]))
def test_an_alignment_is_the_same_the_other_way_round(a: Decisions, b: Decisions, tolerance: int) -> None:
    assert align(b, a, tolerance) == [(j, i) for i, j in align(a, b, tolerance)]


def test_a_late_decision_is_paired_with_its_own_and_not_with_the_next() -> None:
    assert align(decisions([0, 100, 200]), decisions([90, 190, 290]), 100) == [(1, 0), (2, 1)]


def test_more_decisions_of_one_time_than_are_looked_at_are_paired_in_their_order() -> None:
    many = decisions([7] * 1_500)
    fewer = decisions([7] * 1_400)
    assert align(many, fewer, 10) == [(k, k) for k in range(1_400)]
    assert align(fewer, many, 10) == [(k, k) for k in range(1_400)]


# --- end to end -----------------------------------------------------------------------------------------------------


class Chaser(Strategy):
    """Buys each small rise, sells each small fall that it can cover."""

    def on_start(self) -> None:
        self.subscribe(self.symbols, when=moved(up=0.001, down=0.001))

    def on_trade(self, trade: Any) -> None:
        if trade.change > 0:
            self.buy(trade.symbol, 10)
        elif self.position(trade.symbol).sellable >= 10:
            self.sell(trade.symbol, 10)


def a_tape(without: slice = slice(0, 0)) -> Tape:
    """Two symbols, a trade every half second for half an hour, some of them removed."""
    series = []
    for number, symbol in enumerate(("AAA", "BBB")):
        random = np.random.default_rng(5 + number)
        prices = np.round(100.0 * np.exp(np.cumsum(random.normal(0.0, 0.0006, 3_600))), 2)
        ts = T0 + np.arange(3_600) * S // 2 + number
        keep = np.ones(3_600, bool)
        keep[without] = False
        columns = (prices[keep], np.full(int(keep.sum()), 100.0))
        series.append(Series(symbol, EventKind.TRADE, ts[keep], columns))
    instruments = {"AAA": Instrument("AAA"), "BBB": Instrument("BBB", multiplier=5.0)}
    return Tape(tuple(series), instruments, fingerprint=f"made-{without}", sources=("made",))


def run_chaser(tape: Tape, folder: Path, **options: Any) -> RunRecord:
    return backtest(Chaser, tape, out=folder, cash=10_000_000.0, **options).record


def test_latency_and_slippage_are_found_as_price_of_matched_decisions(tmp_path: Path) -> None:
    a = run_chaser(a_tape(), tmp_path)
    b = run_chaser(a_tape(), tmp_path, latency="700ms", slippage="0.02")
    pairing = pair_runs(a, b)
    assert len(a.orders["ts"]) > 100
    assert pairing.difference == pytest.approx(b.metrics["net_profit"] - a.metrics["net_profit"])  # type: ignore[operator]
    assert pairing.count(pairing.orders, Match.MATCHED) > 0.9 * len(a.orders["ts"])
    assert pairing.causes[Cause.PRICE] < 0.0
    assert abs(pairing.causes[Cause.OTHER]) < 1e-6
    assert_adds_up(pairing)
    slipped = run_chaser(a_tape(), tmp_path, slippage="0.02")
    only = pair_runs(a, slipped)
    assert only.count(only.orders, Match.MATCHED) == len(a.orders["ts"])
    shares = float((a.fills["quantity"] * np.where(a.fills["symbol"] == "BBB", 5.0, 1.0)).sum())
    assert only.causes[Cause.PRICE] == pytest.approx(-0.02 * shares)
    assert {cause for cause, amount in only.causes.items() if abs(amount) > 1e-6} <= {Cause.PRICE, Cause.FEE}


def test_a_tape_with_trades_removed_loses_the_decisions_of_that_time(tmp_path: Path) -> None:
    a = run_chaser(a_tape(), tmp_path)
    b = run_chaser(a_tape(slice(1_000, 1_400)), tmp_path)
    pairing = pair_runs(a, b)
    lost = pairing.orders["ts_a"][pairing.orders["match"] == Match.ONLY_A]
    gap = (lost >= T0 + 500 * S) & (lost < T0 + 760 * S)
    assert gap.sum() > 10
    assert gap.mean() > 0.9
    assert pairing.causes[Cause.MISSED] != 0.0
    assert abs(pairing.causes[Cause.OTHER]) < 1e-6
    assert pairing.difference == pytest.approx(b.metrics["net_profit"] - a.metrics["net_profit"])  # type: ignore[operator]
    assert_adds_up(pairing)
