"""Fees: the published examples, the real paper fills, and what must hold for every order."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers import fee_tables
from brokers.fees import (
    NO_REGULATORY,
    FeeKind,
    FeeModel,
    fill_fee,
    order_fee,
    regulatory_fee,
    regulatory_notes,
    regulatory_rates,
    regulatory_vector,
    tiered_commission,
)
from papertape.core.errors import ConfigError
from tests.brokers.tapes import DAY, play, trades

DATA = Path(os.environ.get("PAPERTAPE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
MODELS = ("ib-fixed", "ib-tiered", "per-share:0.005:1", "per-share:0.01", "percent:0.1", "none")
BUY, SELL = 1, -1


def fee(model, shares, price, side=BUY, day=date(2023, 6, 1), month=0.0, adds=False):
    return order_fee(FeeModel.parse(model).vector(), regulatory_vector(day), shares, shares * price, month, side, adds)


# --- against the world -------------------------------------------------------------------------------------------


def test_a_real_paper_buy_and_sell_come_out_to_a_millionth():
    path = DATA / "ib" / "paper_fill_pair.json"
    if not path.exists():
        pytest.skip(f"the recorded paper fills are not here ({path.name})")
    recorded = json.loads(path.read_text())
    day = date(2026, 8, 25)
    for name, side in (("buy", BUY), ("sell", SELL)):
        leg = recorded[name]
        charged = fee("ib-fixed", leg["shares"], leg["price"], side, day)
        assert charged == pytest.approx(leg["commission"], abs=1e-6)


def test_a_tiered_sale_comes_out_as_in_the_brokers_published_example():
    # Interactive Brokers' comparison of fixed and tiered pricing: sell 200,000 NASDAQ shares at 5, removing.
    model, rates = FeeModel.parse("ib-tiered").vector(), regulatory_vector(date(2023, 6, 1))
    total = order_fee(model, rates, 200_000.0, 1_000_000.0, 0.0, SELL, False)
    commission, exchange, clearing, sec, taf = 700.0, 600.0, 40.0, 8.0, 7.27
    assert total == pytest.approx(commission * (1 + 0.00056 + 0.000175) + exchange + clearing + sec + taf, abs=1e-9)
    assert total == pytest.approx(1355.78, abs=0.01)


def test_a_huge_tiered_sale_pays_each_tier_for_the_shares_that_fall_in_it():
    # The same page: 30 million shares cost 1,050 + 5,400 + 25,500 + 10,000 in commission.
    assert tiered_commission(FeeModel.parse("ib-tiered").vector(), 30e6, 0.0) == pytest.approx(41_950.0)
    assert fee("ib-tiered", 30e6, 5.0, SELL) == pytest.approx(139_188.1, abs=0.05)


def test_a_fixed_sale_comes_out_as_in_the_brokers_published_example():
    assert fee("ib-fixed", 200_000.0, 5.0, SELL) == pytest.approx(1015.27, abs=1e-9)
    assert fee("ib-fixed", 30e6, 5.0, SELL) == pytest.approx(151_207.27, abs=1e-6)


@pytest.mark.parametrize(
    ("shares", "price", "expected"),
    [(100, 25.0, 1.00), (1_000, 25.0, 5.00), (1_000, 0.25, 2.50), (10, 0.20, 0.02)],
)
def test_fixed_pricing_has_a_minimum_and_a_maximum_and_the_maximum_wins(shares, price, expected):
    assert fee("ib-fixed", shares, price, BUY) == pytest.approx(expected)


def test_the_months_earlier_volume_moves_an_order_into_a_cheaper_tier():
    model = FeeModel.parse("ib-tiered").vector()
    assert tiered_commission(model, 1_000.0, 0.0) == pytest.approx(3.5)
    assert tiered_commission(model, 1_000.0, 299_500.0) == pytest.approx(500 * 0.0035 + 500 * 0.0020)
    assert tiered_commission(model, 1_000.0, 300_000.0) == pytest.approx(2.0)
    assert tiered_commission(model, 1_000.0, 200e6) == pytest.approx(0.5)


def test_adding_liquidity_saves_the_exchanges_fee_and_earns_no_rebate():
    removing, adding = (fee("ib-tiered", 1_000, 50.0, adds=adds) for adds in (False, True))
    assert removing - adding == pytest.approx(1_000 * 0.0030)
    assert "earns no rebate" in FeeModel.parse("ib-tiered").describe()


def test_below_a_dollar_the_exchange_charges_a_share_of_the_value():
    removing, adding = (fee("ib-tiered", 10_000, 0.50, adds=adds) for adds in (False, True))
    assert removing - adding == pytest.approx(0.0030 * 5_000)


# --- regulatory rates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "sec_per_million", "taf", "cap", "cat"),
    [
        (date(2013, 10, 7), 17.40, 0.000119, 5.95, 0.0),
        (date(2019, 2, 15), 13.00, 0.000119, 5.95, 0.0),
        (date(2019, 4, 15), 13.00, 0.000119, 5.95, 0.0),
        (date(2019, 4, 16), 20.70, 0.000119, 5.95, 0.0),
        (date(2024, 10, 1), 27.80, 0.000166, 8.30, 0.000048),
        (date(2026, 8, 25), 20.60, 0.000195, 9.79, 0.000003),
    ],
)
def test_rates_are_those_in_force_on_the_trade_date(day, sec_per_million, taf, cap, cat):
    rates = regulatory_rates(day)
    assert rates.sec_per_dollar == pytest.approx(sec_per_million / 1e6)
    assert (rates.taf_per_share, rates.taf_cap, rates.cat_per_share) == (taf, cap, cat)
    assert not rates.estimated
    assert regulatory_notes([day]) == []


@pytest.mark.parametrize(
    ("day", "names"),
    [(date(1999, 1, 4), "$25.70 per million"), (date(2031, 1, 6), "$20.60 per million"), (date(2025, 3, 3), "CAT")],
)
def test_a_date_without_a_confirmed_rate_warns_once_and_names_the_rate_used(day, names):
    assert regulatory_rates(day).estimated
    (note,) = regulatory_notes([day, day.replace(day=day.day + 1)])
    assert names in note.text
    assert day.isoformat() in note.text
    assert note.severity == "warning"
    assert note.count == 2


def test_the_tables_are_in_order_of_their_dates_and_every_row_has_a_source():
    for rows in (fee_tables.SEC_ROWS, fee_tables.TAF_ROWS, fee_tables.CAT_ROWS):
        dates = [row.effective for row in rows]
        assert dates == sorted(set(dates))
        assert all(row.source for row in rows)


def test_the_activity_fee_is_capped_and_only_sales_pay_it():
    rates = regulatory_vector(date(2024, 2, 1))
    cat = float(rates[3]) * 1e6
    assert regulatory_fee(rates, 1e6, 0.0, SELL) - cat == pytest.approx(8.30)
    assert regulatory_fee(rates, 1e6, 5e6, BUY) == pytest.approx(cat)


def test_plain_models_pay_no_regulatory_fees():
    assert fee("per-share:0.005:1", 1_000, 50.0, SELL) == pytest.approx(5.0)
    assert fee("percent:0.1", 1_000, 50.0, SELL) == pytest.approx(50.0)
    assert fee("none", 1_000, 50.0, SELL) == 0.0
    assert not any(FeeModel.parse(text).is_regulated for text in ("per-share:1", "percent:1", "none"))


def test_per_share_has_no_cap():
    assert fee("per-share:0.005:1", 1, 0.10) == 1.0


# --- properties --------------------------------------------------------------------------------------------------

parts = st.lists(st.tuples(st.floats(0.01, 1e5), st.floats(0.01, 2_000.0), st.booleans()), min_size=1, max_size=12)


def charges(model, rates, fills, side, month=0.0):
    """What each of an order's fills is charged."""
    shares = value = 0.0
    for quantity, price, adds in fills:
        yield fill_fee(model, rates, shares, value, quantity, quantity * price, month, side, adds)
        shares += quantity
        value += quantity * price
        month += quantity


@pytest.mark.parametrize("text", MODELS)
@given(fills=parts, side=st.sampled_from([BUY, SELL]), month=st.floats(0.0, 2e8))
def test_an_order_costs_the_same_in_however_many_fills(text, fills, side, month):
    model, rates = FeeModel.parse(text).vector(), regulatory_vector(date(2026, 8, 25))
    fills = [(quantity, price, False) for quantity, price, _ in fills]
    shares = sum(quantity for quantity, _, _ in fills)
    value = sum(quantity * price for quantity, price, _ in fills)
    whole = order_fee(model, rates, shares, value, month, side, False)
    assert sum(charges(model, rates, fills, side, month)) == pytest.approx(whole, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("text", MODELS)
@given(fills=parts, side=st.sampled_from([BUY, SELL]), month=st.floats(0.0, 2e8))
def test_no_fill_has_a_negative_fee(text, fills, side, month):
    model, rates = FeeModel.parse(text).vector(), regulatory_vector(date(2024, 10, 1))
    assert min(charges(model, rates, fills, side, month)) >= 0.0


@given(count=st.integers(1, 50))
def test_the_minimum_is_charged_once_for_an_order(count):
    fills = [(1.0, 300.0, False)] * count
    model = FeeModel.parse("ib-fixed").vector()
    assert sum(charges(model, NO_REGULATORY, fills, BUY)) == pytest.approx(1.0)


def test_a_fill_that_adds_liquidity_gives_nothing_back_of_what_an_earlier_one_paid_for_removing():
    model = FeeModel.parse("ib-tiered").vector()
    taker, maker = charges(model, NO_REGULATORY, [(1_000.0, 50.0, False), (1_000.0, 50.0, True)], BUY)
    assert taker - maker == pytest.approx(1_000 * 0.0030)


def test_an_orders_own_fills_count_once_in_the_months_volume():
    model = FeeModel.parse("ib-tiered").vector()
    whole = sum(charges(model, NO_REGULATORY, [(400_000.0, 50.0, False)], BUY))
    halves = sum(charges(model, NO_REGULATORY, [(200_000.0, 50.0, False)] * 2, BUY))
    assert halves == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("text", MODELS)
def test_an_order_that_traded_nothing_costs_nothing(text):
    assert fee(text, 0.0, 100.0) == 0.0


# --- the user's words --------------------------------------------------------------------------------------------


def test_every_form_is_understood():
    assert FeeModel.parse("ib-fixed").kind is FeeKind.IB_FIXED
    assert FeeModel.parse(" IB-Tiered ").kind is FeeKind.IB_TIERED
    assert FeeModel.parse("none") == FeeModel(FeeKind.NONE)
    assert FeeModel.parse("per-share:0.005:1") == FeeModel(FeeKind.PER_SHARE, per_share=0.005, minimum=1.0)
    assert FeeModel.parse("per-share:0.005").minimum == 0.0
    assert FeeModel.parse("percent:0.1").value_rate == pytest.approx(0.001)
    assert FeeModel.parse("percent:0.1%") == FeeModel.parse("percent:0.1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ib-fixd", 'did you mean "ib-fixed"?'),
        ("pershare:1", "per-share:X[:MIN]"),
        ("", "known: ib-fixed, ib-tiered"),
        ("per-share", "form per-share:X[:MIN]"),
        ("per-share:1:2:3", "form per-share:X[:MIN]"),
        ("percent:x", '"x" is not a number'),
        ("percent:-1", "at least 0"),
        ("percent:nan", "at least 0"),
        ("per-share:inf", "at least 0"),
        ("none:1", "form none"),
    ],
)
def test_what_is_not_a_fee_model_is_refused_in_one_line_that_says_how_to_go_on(text, says):
    with pytest.raises(ConfigError) as refused:
        FeeModel.parse(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", MODELS)
def test_a_model_describes_itself_in_sentences(text):
    sentence = FeeModel.parse(text).describe()
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_the_vector_is_flat_float64_and_starts_with_the_kind():
    for text in MODELS:
        vector = FeeModel.parse(text).vector()
        assert vector.dtype == np.float64
        assert vector.ndim == 1
        assert vector[0] == FeeModel.parse(text).kind


def test_a_run_says_on_which_days_it_paid_fees_by_a_rate_that_is_not_confirmed():
    second = 425 * DAY + 1  # 2025-03-03, a day without a confirmed CAT fee
    tape = trades("A", (second, 100), (second + 1, 100), (second + DAY, 100))
    played = play({second: lambda s: s.buy("A", 10)}, tape, fees="ib-fixed")
    (note,) = [each for each in played.record.notes if each.code == "fee-rate-estimated"]
    assert note.text.startswith("no confirmed regulatory rate for 2025-03-03; the nearest known was used: CAT fee")
    assert note.count == 1
