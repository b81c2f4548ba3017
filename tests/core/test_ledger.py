"""The books: average cost, realised P&L, fees, cash by currency; against exact fractions for random fills."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.core.ledger import Ledger
from papertape.core.model import Instrument
from papertape.core.state import State

EUR_RATE = 1.25


def ledger(*instruments: Instrument, **balances: float) -> Ledger:
    """Books in USD and EUR over instruments; 10,000 dollars unless told."""
    state = State(len(instruments), 2)
    books = Ledger(state, instruments, ("USD", "EUR"))
    books.open({"USD": 10_000.0, **balances}, {"EUR": EUR_RATE})
    return books


def close(value: float, exact: Fraction | float) -> bool:
    return value == pytest.approx(float(exact), rel=1e-9, abs=1e-7)


def test_several_buys_have_their_average_as_cost_and_fees_are_apart() -> None:
    books = ledger(Instrument("A"))
    position = books.positions[0]
    books.book_fill(0, 10, 100.0, 1.0, 1)
    books.book_fill(0, 30, 104.0, 2.0, 2)
    assert (position.quantity, position.average_cost, position.fees) == (40, 103.0, 3.0)
    assert books.account.cash == 10_000 - 1_000 - 3_120 - 3
    assert position.realised == 0.0


def test_selling_a_part_realises_against_the_average_and_leaves_it_unchanged() -> None:
    books = ledger(Instrument("A"))
    position = books.positions[0]
    books.book_fill(0, 10, 100.0, 0.0, 1)
    books.book_fill(0, -4, 110.0, 0.0, 2)
    assert (position.quantity, position.average_cost, position.realised) == (6, 100.0, 40.0)
    books.book_fill(0, -6, 95.0, 0.0, 3)
    assert (position.quantity, position.average_cost, position.realised) == (0, 0.0, 10.0)
    assert not position


def test_a_fill_that_crosses_zero_closes_all_and_opens_the_rest_at_its_own_price() -> None:
    books = ledger(Instrument("A"))
    position = books.positions[0]
    books.book_fill(0, 10, 100.0, 0.0, 1)
    books.book_fill(0, -15, 90.0, 0.0, 2)
    assert (position.quantity, position.average_cost, position.realised) == (-5, 90.0, -100.0)
    books.book_fill(0, 8, 80.0, 0.0, 3)
    assert (position.quantity, position.average_cost, position.realised) == (3, 80.0, -50.0)


def test_a_short_position_gains_when_it_is_bought_back_for_less() -> None:
    books = ledger(Instrument("A"))
    books.book_fill(0, -10, 100.0, 1.0, 1)
    assert books.account.equity == 9_999.0
    books.book_fill(0, 10, 90.0, 1.0, 2)
    assert books.positions[0].realised == 100.0
    assert books.account.equity == 10_098.0


def test_a_multiplier_counts_in_cash_realised_and_unrealised() -> None:
    books = ledger(Instrument("F", multiplier=50.0))
    books.book_fill(0, 2, 40.0, 0.0, 1)
    assert books.account.cash == 6_000.0
    books.state.instruments["mark"] = 41.0
    assert books.positions[0].unrealised == 100.0
    books.book_fill(0, -1, 43.0, 0.0, 2)
    assert books.positions[0].realised == 150.0


def test_each_fill_is_booked_in_its_instruments_currency_and_equity_is_in_the_base() -> None:
    books = ledger(Instrument("A"), Instrument("E", currency="EUR"), EUR=1_000.0)
    assert books.account.equity == 10_000 + 1_000 * EUR_RATE
    books.book_fill(1, 5, 100.0, 2.0, 1)
    assert books.account.balances == {"USD": 10_000.0, "EUR": 498.0}
    assert books.account.equity == 10_000 + 998 * EUR_RATE


def test_a_new_exchange_rate_revalues_cash_and_positions_of_that_currency_only() -> None:
    books = ledger(Instrument("A"), Instrument("E", currency="EUR"), EUR=1_000.0)
    books.book_fill(0, 1, 100.0, 0.0, 1)
    books.book_fill(1, 5, 100.0, 0.0, 1)
    books.set_rate("EUR", 1.5)
    assert books.account.equity == 10_000 + 1_000 * 1.5
    assert books.account.cash == 9_900 + 500 * 1.5


def test_a_balance_without_a_rate_makes_cash_and_equity_unknown_and_not_zero() -> None:
    state = State(1, 2)
    books = Ledger(state, [Instrument("E", currency="EUR")], ("USD", "EUR"))
    books.open({"USD": 100.0, "EUR": 1.0}, {})
    assert math.isnan(books.account.cash)
    assert math.isnan(books.account.equity)
    books.set_rate("EUR", 2.0)
    assert books.account.equity == 102.0


def test_an_unknown_rate_of_a_currency_that_nobody_holds_does_not_matter() -> None:
    state = State(1, 2)
    books = Ledger(state, [Instrument("E", currency="EUR")], ("USD", "EUR"))
    books.open({"USD": 100.0}, {})
    assert books.account.equity == 100.0


def test_a_deposit_changes_cash_and_nothing_else() -> None:
    books = ledger(Instrument("A"))
    books.book_fill(0, 10, 100.0, 0.0, 1)
    books.deposit("USD", 25.0)
    books.deposit("EUR", -4.0)
    assert books.account.balances == {"USD": 9_025.0, "EUR": -4.0}
    assert (books.positions[0].realised, books.positions[0].average_cost) == (0.0, 100.0)
    assert books.account.equity == 10_000 + 25 - 4 * EUR_RATE


@pytest.mark.parametrize("ratio", [2.0, 0.1, 1.5])
def test_a_split_changes_units_and_prices_and_neither_value_nor_gain(ratio: float) -> None:
    books = ledger(Instrument("A"))
    position = books.positions[0]
    books.book_fill(0, 10, 100.0, 0.0, 1)
    books.note_image(0, 110.0, 109.0, 111.0, 2)
    books.split(0, ratio)
    assert close(position.quantity, 10 * ratio)
    assert close(position.average_cost, 100 / ratio)
    assert close(position.mark, 110 / ratio)
    assert close(position.unrealised, 100.0)
    assert close(books.account.equity, 10_100.0)
    books.book_fill(0, -10 * ratio, 110 / ratio, 0.0, 3)
    assert close(position.realised, 100.0)
    assert position.quantity == 0.0


def test_an_older_image_never_replaces_a_newer_price() -> None:
    books = ledger(Instrument("A"))
    books.note_image(0, 100.0, 99.0, 101.0, 5)
    books.note_image(0, 50.0, 49.0, 51.0, 4)
    assert books.positions[0].mark == 100.0


def test_time_in_the_market_runs_while_anything_is_held() -> None:
    books = ledger(Instrument("A"), Instrument("B"))
    for j, quantity, ts in ((0, 1, 10), (1, 1, 20), (0, -1, 30), (1, -1, 50), (0, 1, 90), (0, -2, 95), (0, 1, 99)):
        books.book_fill(j, quantity, 1.0, 0.0, ts)
    assert books.state.account["held_ns"][0] == 40 + 9


# -- against exact arithmetic ----------------------------------------------------------------------------------------


@dataclass
class ExactBooks:
    """The same books in rational numbers, written from the definitions: lots of one price, their average as cost."""

    multipliers: list[Fraction]
    currencies: list[str]
    cash: dict[str, Fraction]
    quantity: dict[int, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    cost: dict[int, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    """What the open quantity was paid (or received) in all, in price points, never negative."""
    realised: dict[int, Fraction] = field(default_factory=lambda: defaultdict(Fraction))

    def fill(self, j: int, signed: Fraction, price: Fraction, fee: Fraction) -> None:
        """Close first, then open with what is left."""
        self.cash[self.currencies[j]] -= signed * price * self.multipliers[j] + fee
        held = self.quantity[j]
        closing = Fraction(0)
        if held * signed < 0:
            closing = min(abs(held), abs(signed))
            average = self.cost[j] / abs(held)
            sign = 1 if held > 0 else -1
            self.realised[j] += sign * closing * (price - average) * self.multipliers[j]
            self.cost[j] -= closing * average
        self.cost[j] += (abs(signed) - closing) * price
        self.quantity[j] = held + signed


cents = st.integers(1, 100_000).map(lambda n: Fraction(n, 100))
amounts = st.one_of(st.integers(1, 500).map(Fraction), st.integers(1, 4_000).map(lambda n: Fraction(n, 8)))
fills = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([1, -1]), amounts, cents, st.integers(0, 500)), min_size=1, max_size=60
)


@given(fills)
def test_random_fills_come_out_as_in_exact_fractions(rows: list[tuple[int, int, Fraction, Fraction, int]]) -> None:
    instruments = (Instrument("A"), Instrument("F", multiplier=50.0), Instrument("E", currency="EUR"))
    books = ledger(*instruments, EUR=500.0)
    exact = ExactBooks(
        [Fraction(each.multiplier) for each in instruments],
        [each.currency for each in instruments],
        {"USD": Fraction(10_000), "EUR": Fraction(500)},
    )
    fees: dict[int, Fraction] = defaultdict(Fraction)
    for ts, (j, side, amount, price, fee_cents) in enumerate(rows, 1):
        fee = Fraction(fee_cents, 100)
        fees[j] += fee
        books.book_fill(j, float(side * amount), float(price), float(fee), ts)
        exact.fill(j, side * amount, price, fee)
        position = books.positions[j]
        assert close(position.quantity, exact.quantity[j])
        assert bool(position) == (exact.quantity[j] != 0)
        average = exact.cost[j] / abs(exact.quantity[j]) if exact.quantity[j] else Fraction(0)
        assert close(position.average_cost, average)
        assert position.realised == pytest.approx(float(exact.realised[j]), rel=1e-9, abs=1e-4)
        assert close(position.fees, fees[j])
    for name, balance in books.account.balances.items():
        assert balance == pytest.approx(float(exact.cash[name]), rel=1e-9, abs=1e-4)


@given(fills)
def test_equity_is_cash_plus_marks_and_gains_are_what_came_in(
    rows: list[tuple[int, int, Fraction, Fraction, int]],
) -> None:
    books = ledger(Instrument("A"), Instrument("B"), Instrument("C"))
    paid = 0.0
    for ts, (j, side, amount, price, fee_cents) in enumerate(rows, 1):
        books.book_fill(j, float(side * amount), float(price), fee_cents / 100, ts)
        books.note_image(j, float(price), math.nan, math.nan, ts)
        books.set_rate("USD", 1.0)
        paid += fee_cents / 100
    held = [each for each in books.positions if each]
    value = sum(each.quantity * each.mark for each in held)
    gains = sum(each.realised + each.unrealised for each in books.positions)
    assert books.account.equity == pytest.approx(books.account.cash + value, abs=1e-4)
    assert books.account.equity == pytest.approx(10_000 + gains - paid, rel=1e-9, abs=1e-4)
