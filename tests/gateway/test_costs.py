"""Costs and gains as Interactive Brokers accounts for them, against a real pair of fills and exact fractions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.costs import CostBasis, CostFill, Costs, DayStart


def test_a_real_paper_accounts_pair_of_fills_realises_what_it_reported() -> None:
    basis = CostBasis()
    assert math.isnan(basis.fill(1, 309.16, 1.000003))
    assert basis.average_cost == pytest.approx(310.160003, abs=1e-9)
    assert basis.fill(-1, 309.15, 1.006566) == pytest.approx(-2.016569, abs=1e-9)
    assert (basis.quantity, basis.average_cost) == (0.0, 0.0)


def test_commissions_make_a_long_position_dearer_and_a_short_one_cheaper() -> None:
    long, short = CostBasis(), CostBasis()
    long.fill(10, 100.0, 2.0)
    short.fill(-10, 100.0, 2.0)
    assert (long.average_cost, short.average_cost) == (100.2, 99.8)
    assert [long.unrealised(100.0), short.unrealised(100.0)] == pytest.approx([-2.0, -2.0])


def test_a_part_that_is_closed_realises_its_share_and_leaves_the_average_cost() -> None:
    basis = CostBasis()
    basis.fill(10, 100.0, 1.0)
    assert basis.fill(-4, 110.0, 0.5) == pytest.approx(4 * (110 - 100.1) - 0.5)
    assert [basis.quantity, basis.average_cost] == pytest.approx([6.0, 100.1])


def test_a_fill_through_zero_divides_its_commission_by_quantity() -> None:
    basis = CostBasis()
    basis.fill(10, 100.0, 0.0)
    assert basis.fill(-15, 90.0, 3.0) == pytest.approx(-100.0 - 2.0)
    assert basis.quantity == -5.0
    assert basis.average_cost == pytest.approx(90.0 - 1.0 / 5)


def test_a_short_position_that_is_bought_back_lower_gains() -> None:
    basis = CostBasis()
    basis.fill(-10, 100.0, 1.0)
    assert basis.fill(10, 90.0, 1.0) == pytest.approx(98.0)


def test_the_average_cost_is_times_the_multiplier_as_the_portfolio_shows_it() -> None:
    basis = CostBasis()
    basis.fill(2, 40.0, 3.0, 50.0)
    assert basis.average_cost == 2001.5
    assert basis.value(41.0, 50.0) == 4100.0
    assert basis.unrealised(41.0, 50.0) == pytest.approx(97.0)
    assert basis.fill(-1, 43.0, 1.5, 50.0) == pytest.approx(2150 - 2001.5 - 1.5)


def test_fractions_of_units_that_sum_to_nothing_leave_a_flat_position() -> None:
    basis = CostBasis()
    for _ in range(3):
        basis.fill(0.1, 10.0, 0.0)
    basis.fill(-0.3, 10.0, 0.0)
    assert (basis.quantity, basis.average_cost) == (0.0, 0.0)


@pytest.mark.parametrize("row", [(0.0, 1.0, 0.0), (1.0, math.nan, 0.0), (1.0, 1.0, math.nan), (math.inf, 1.0, 0.0)])
def test_what_is_no_fill_is_not_booked(row: tuple[float, float, float]) -> None:
    basis = CostBasis()
    with pytest.raises(ValueError, match="no fill"):
        basis.fill(*row)
    assert (basis.quantity, basis.flow, basis.traded) == (0.0, 0.0, False)


@pytest.mark.parametrize("ratio", [2.0, 0.1, 1.5])
def test_a_split_changes_units_and_neither_cost_nor_gain(ratio: float) -> None:
    costs = Costs([1.0])
    costs.fill(0, "1", 10, 100.0, 1.0)
    before = costs.basis(0).unrealised(105.0)
    costs.split(0, ratio)
    basis = costs.basis(0)
    assert basis.quantity == pytest.approx(10 * ratio)
    assert basis.unrealised(105.0 / ratio) == pytest.approx(before)
    assert basis.daily(105.0 / ratio) == pytest.approx(before)
    assert costs.fill(0, "2", -10 * ratio, 105.0 / ratio, 0.0) == pytest.approx(before)


def test_a_new_day_starts_from_the_position_and_counts_gains_anew() -> None:
    costs = Costs([1.0, 1.0])
    costs.fill(0, "1", 10, 100.0, 1.0)
    costs.fill(0, "2", -5, 110.0, 1.0)
    costs.fill(1, "3", 1, 10.0, 0.0)
    costs.fill(1, "4", -1, 10.0, 0.0)
    assert costs.known == [0, 1]
    costs.begin_day(lambda j: 120.0, 77)
    assert costs.known == [0]
    basis = costs.basis(0)
    assert basis.start == DayStart(5.0, 100.1, 600.0, 77)
    assert (basis.realised, basis.traded, costs.fills(0)) == (0.0, False, ())
    assert basis.daily(123.0) == pytest.approx(15.0)
    costs.fill(0, "1", -5, 124.0, 1.0)  # an id of another day
    assert costs.basis(0).realised == pytest.approx(5 * (124 - 100.1) - 1)
    assert costs.basis(0).daily(math.nan) == pytest.approx(19.0)


def test_the_days_gain_is_unknown_while_the_price_that_the_day_began_with_is() -> None:
    costs = Costs([1.0])
    costs.fill(0, "1", 10, 100.0, 0.0)
    costs.begin_day(lambda j: math.nan, 1)
    assert math.isnan(costs.basis(0).daily(101.0))
    assert costs.basis(0).unrealised(101.0) == 10.0


def test_unknown_prices_make_gains_unknown_and_a_flat_position_needs_none() -> None:
    basis = CostBasis()
    assert (basis.value(math.nan), basis.unrealised(math.nan), basis.daily(math.nan)) == (0.0, 0.0, 0.0)
    basis.fill(1, 10.0, 0.0)
    assert math.isnan(basis.value(math.nan))
    assert math.isnan(basis.unrealised(math.nan))
    assert math.isnan(basis.daily(math.nan))


def test_a_bust_leaves_what_would_be_without_the_execution() -> None:
    costs = Costs([1.0])
    for number, (quantity, price) in enumerate([(10, 100.0), (10, 104.0), (-5, 110.0)]):
        costs.fill(0, f"e{number}", quantity, price, 1.0)
    rebuilt = costs.bust("e1")
    assert rebuilt.instrument == 0
    assert list(rebuilt.realised) == ["e0", "e2"]
    assert rebuilt.realised["e2"] == pytest.approx(5 * (110 - 100.1) - 1)
    other = CostBasis()
    other.fill(10, 100.0, 1.0)
    other.fill(-5, 110.0, 1.0)
    basis = costs.basis(0)
    assert (basis.quantity, basis.average_cost, basis.realised) == (5.0, other.average_cost, other.realised)
    with pytest.raises(KeyError):
        costs.bust("e1")


def test_a_correction_takes_the_place_of_its_execution_under_its_own_id() -> None:
    costs = Costs([1.0])
    costs.fill(0, "x.01", 10, 100.0, 1.0)
    costs.fill(0, "y.01", -10, 110.0, 1.0)
    rebuilt = costs.correct("x.01", "x.02", 10, 101.0, 1.0)
    assert rebuilt.realised["y.01"] == pytest.approx(88.0)
    assert math.isnan(rebuilt.realised["x.02"])
    assert costs.fills(0)[0] == CostFill("x.02", 10, 101.0, 1.0)
    with pytest.raises(KeyError):
        costs.correct("x.01", "x.03", 10, 102.0, 1.0)
    with pytest.raises(ValueError, match="booked already"):
        costs.correct("y.01", "x.02", -10, 110.0, 1.0)


def test_an_execution_is_booked_once() -> None:
    costs = Costs([1.0])
    costs.fill(0, "1", 1, 10.0, 0.0)
    with pytest.raises(ValueError, match="booked already"):
        costs.fill(0, "1", 1, 10.0, 0.0)
    assert costs.basis(0).quantity == 1.0


def test_busting_everything_leaves_a_flat_position_that_is_still_shown() -> None:
    costs = Costs([1.0])
    costs.fill(0, "1", 1, 10.0, 1.0)
    costs.bust("1")
    assert costs.known == [0]
    assert (costs.basis(0).quantity, costs.basis(0).flow, costs.basis(0).traded) == (0.0, 0.0, False)


# -- against exact arithmetic ----------------------------------------------------------------------------------------


@dataclass
class ExactBasis:
    """The same in rational numbers, from the definitions: total cost instead of an average, never divided."""

    quantity: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    """What the open quantity cost (long) or brought (short) in all, signed like the quantity."""
    realised: Fraction = Fraction(0)
    flow: Fraction = Fraction(0)
    each: list[Fraction | None] = field(default_factory=list)

    def fill(self, signed: Fraction, price: Fraction, fee: Fraction, multiplier: int) -> None:
        """Close first, then open with what is left."""
        amount = signed * price * multiplier
        self.flow -= amount + fee
        closing = Fraction(0)
        gained = None
        if self.quantity * signed < 0:
            closing = min(abs(self.quantity), abs(signed)) / abs(signed)
            released = self.cost * closing * abs(signed) / abs(self.quantity)
            gained = -closing * amount - released - closing * fee
            self.realised += gained
            self.cost -= released
        self.cost += (1 - closing) * (amount + fee)
        self.quantity += signed
        self.each.append(gained)


prices = st.integers(1, 100_000).map(lambda n: Fraction(n, 100))
amounts = st.one_of(st.integers(1, 500).map(Fraction), st.integers(1, 4_000).map(lambda n: Fraction(n, 8)))
rows = st.lists(st.tuples(st.sampled_from([1, -1]), amounts, prices, st.integers(0, 500)), min_size=1, max_size=40)


@given(rows, st.sampled_from([1, 50]))
def test_random_fills_come_out_as_in_exact_fractions(
    fills: list[tuple[int, Fraction, Fraction, int]], multiplier: int
) -> None:
    basis, exact = CostBasis(), ExactBasis()
    for side, amount, price, cents in fills:
        fee = Fraction(cents, 100)
        realised = basis.fill(float(side * amount), float(price), float(fee), multiplier)
        exact.fill(side * amount, price, fee, multiplier)
        assert math.isnan(realised) == (exact.each[-1] is None)
        if exact.each[-1] is not None:
            assert realised == pytest.approx(float(exact.each[-1]), rel=1e-9, abs=1e-3)
        assert basis.quantity == pytest.approx(float(exact.quantity), abs=1e-9)
        assert basis.quantity * basis.average_cost == pytest.approx(float(exact.cost), rel=1e-9, abs=1e-3)
    assert basis.realised == pytest.approx(float(exact.realised), rel=1e-9, abs=1e-3)
    assert basis.flow == pytest.approx(float(exact.flow), rel=1e-9, abs=1e-3)


@given(rows, prices)
def test_what_was_realised_and_what_is_unrealised_is_the_cash_that_came_in_and_what_is_left(
    fills: list[tuple[int, Fraction, Fraction, int]], last: Fraction
) -> None:
    basis = CostBasis()
    cash = Fraction(0)
    for side, amount, price, cents in fills:
        basis.fill(float(side * amount), float(price), cents / 100)
        cash -= side * amount * price + Fraction(cents, 100)
    left = float(cash) + basis.quantity * float(last)
    assert basis.realised + basis.unrealised(float(last)) == pytest.approx(left, rel=1e-9, abs=1e-3)
    assert basis.daily(float(last)) == pytest.approx(left, rel=1e-9, abs=1e-3)


@given(rows, st.data())
def test_a_bust_and_a_correction_are_as_if_the_executions_had_been_so(
    fills: list[tuple[int, Fraction, Fraction, int]], data: st.DataObject
) -> None:
    booked = [
        CostFill(str(k), float(side * amount), float(price), cents / 100)
        for k, (side, amount, price, cents) in enumerate(fills)
    ]
    costs, wanted = Costs([5.0]), Costs([5.0])
    for each in booked:
        costs.fill(0, each.exec_id, each.quantity, each.price, each.fee)
    k = data.draw(st.integers(0, len(booked) - 1))
    if data.draw(st.booleans()):
        rebuilt = costs.bust(str(k))
        left = booked[:k] + booked[k + 1 :]
    else:
        rebuilt = costs.correct(str(k), "new", 3.0, 7.0, 0.5)
        left = [*booked[:k], CostFill("new", 3.0, 7.0, 0.5), *booked[k + 1 :]]
    realised = {each.exec_id: wanted.fill(0, each.exec_id, each.quantity, each.price, each.fee) for each in left}
    assert repr(rebuilt.realised) == repr(realised)
    a, b = costs.basis(0), wanted.basis(0)
    assert (a.quantity, a.average_cost, a.realised, a.flow) == (b.quantity, b.average_cost, b.realised, b.flow)
    assert costs.fills(0) == wanted.fills(0)
