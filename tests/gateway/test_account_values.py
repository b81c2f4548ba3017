"""What account values are made of: names, formats, margins, futures, and what is not known."""

from __future__ import annotations

import math

import pytest

from gateway.margins import UNSET_TEXT, margin_fractions, money, what_if
from gateway.protocol import replies, requests
from tests.gateway.office import ACCOUNT, FUTURE, UPDATES, Office, of, values


def test_values_have_the_names_and_formats_of_a_real_account() -> None:
    office = Office(USD=99_000.5, EUR=1_000.0)
    office.fill(0, 100, 150.0, 1.0)
    office.mark(0, 160.0)
    got = values(office.ask(UPDATES))
    equity = 99_000.5 - 15_001 + 16_000 + 1_250
    assert got["NetLiquidation", "USD"] == f"{equity:.2f}" == "101249.50"
    assert got["TotalCashValue", "USD"] == got["CashBalance", "BASE"] == got["TotalCashBalance", "BASE"] == "85249.50"
    assert (got["CashBalance", "USD"], got["CashBalance", "EUR"]) == ("83999.50", "1000.00")
    assert (
        got["StockMarketValue", "USD"]
        == got["StockMarketValue", "BASE"]
        == got["GrossPositionValue", "USD"]
        == "16000.00"
    )
    assert (got["UnrealizedPnL", "USD"], got["RealizedPnL", "USD"]) == ("999.00", "0.00")
    assert (got["ExchangeRate", "EUR"], got["ExchangeRate", "USD"], got["ExchangeRate", "BASE"]) == (
        "1.25",
        "1.00",
        "1.00",
    )
    assert (got["InitMarginReq", "USD"], got["MaintMarginReq", "USD"]) == ("8000.00", "4000.00")
    assert got["AvailableFunds", "USD"] == f"{equity - 8000:.2f}"
    assert got["ExcessLiquidity", "USD"] == f"{equity - 4000:.2f}"
    assert got["BuyingPower", "USD"] == f"{2 * (equity - 8000):.2f}"
    assert got["Cushion", ""] == f"{(equity - 4000) / equity:.6f}"
    assert got["EquityWithLoanValue", "USD"] == got["NetLiquidation", "USD"] == got["NetLiquidationByCurrency", "BASE"]
    assert (got["AccountType", ""], got["AccountCode", ""], got["AccountReady", ""]) == ("INDIVIDUAL", ACCOUNT, "true")
    assert got["AccruedCash", "BASE"] == got["AccruedCash", "USD"] == "0.00"
    assert got["PreviousDayEquityWithLoanValue", "USD"] == "100250.50"


# -- what is not known ----------------------------------------------------------------------------------------------------


def unmarked(office: Office, j: int) -> None:
    """The instrument's price is not known (as after a restart)."""
    office.ledger.state.instruments["mark"][j] = math.nan
    office.ledger.state.instruments["last"][j] = math.nan
    office.mark(j, math.nan)


def test_an_unknown_mark_is_unset_and_what_needs_it_is_not_sent_until_it_is_known() -> None:
    office = Office()
    office.fill(0, 10, 100.0, 0.0)
    unmarked(office, 0)
    heard = office.ask(UPDATES)
    (row,) = of(replies.PortfolioValue, heard)
    assert (row.position, row.average_cost) == (10, 100.0)
    assert [math.isnan(each) for each in (row.price, row.value, row.unrealised)] == [True] * 3
    got = values(heard)
    hidden = ["NetLiquidation", "AvailableFunds", "BuyingPower", "InitMarginReq", "GrossPositionValue", "Cushion"]
    assert [key for key, _ in got if key in hidden] == []
    assert ("StockMarketValue", "USD") not in got
    assert got["CashBalance", "USD"] == got["TotalCashValue", "USD"] == "99000.00"
    assert got["StockMarketValue", "EUR"] == "0.00"
    assert "nan" not in "".join(got.values())
    (told,) = office.ask(requests.Pnl(1))
    assert [math.isnan(each) for each in (told.daily, told.unrealised)] == [True, True]
    assert told.realised == 0.0
    assert office.wait(2) == []
    office.mark(0, 101.0)
    heard = office.wait(178)
    assert of(replies.PnlUpdate, heard) == [replies.PnlUpdate(1, 10.0, 10.0, 0.0)]
    assert values(heard)["NetLiquidation", "USD"] == "100010.00"


def test_an_unknown_rate_hides_what_is_in_base_currency_and_no_more() -> None:
    office = Office(rate=math.nan)
    got = values(office.ask(UPDATES))
    assert got["NetLiquidation", "USD"] == got["CashBalance", "BASE"] == "100000.00"  # nothing is held in euros
    office.fill(1, 10, 40.0, 0.0)
    office.ask(requests.AccountUpdates(False))
    got = values(office.ask(UPDATES))
    assert ("NetLiquidation", "USD") not in got
    assert ("CashBalance", "BASE") not in got
    assert ("ExchangeRate", "EUR") not in got
    assert (got["CashBalance", "EUR"], got["StockMarketValue", "EUR"]) == ("-400.00", "400.00")


# -- futures, margins --------------------------------------------------------------------------------------------


def test_a_future_is_not_paid_for_and_its_gain_is_a_value_of_its_own() -> None:
    office = Office(FUTURE)
    office.fill(0, 2, 5000.0, 4.0)
    office.mark(0, 5010.0)
    got = values(office.ask(UPDATES))
    assert got["TotalCashValue", "USD"] == got["CashBalance", "USD"] == "99996.00"
    assert got["FuturesPNL", "USD"] == "1000.00"
    assert got["UnrealizedPnL", "USD"] == "996.00"
    assert got["NetLiquidation", "USD"] == got["NetLiquidationByCurrency", "BASE"] == "100996.00"
    assert got["GrossPositionValue", "USD"] == got["StockMarketValue", "USD"] == "0.00"
    (row,) = of(replies.PortfolioValue, office.ask(UPDATES))
    assert (row.average_cost, row.value) == (250_002.0, 501_000.0)


@pytest.mark.parametrize(
    ("multiple", "fractions"), [(1.0, (1.0, 1.0)), (2.0, (0.5, 0.25)), (4.0, (0.25, 0.25)), (6.0, (1 / 6, 1 / 6))]
)
def test_margins_are_those_of_regulation_t_made_general(multiple: float, fractions: tuple[float, float]) -> None:
    assert margin_fractions(multiple) == pytest.approx(fractions)


def test_a_what_if_tells_before_change_and_after_and_changes_nothing() -> None:
    office = Office()
    office.fill(0, 100, 100.0, 0.0)
    before = office.desk.figures()
    state = what_if(office.ledger, 0, 50.0, 100.0, 1.5, office.settings.rules)
    assert (state.init_margin_before, state.init_margin_change, state.init_margin_after) == (
        "5000.00",
        "2500.00",
        "7500.00",
    )
    assert (state.maint_margin_before, state.maint_margin_change, state.maint_margin_after) == (
        "2500.00",
        "1250.00",
        "3750.00",
    )
    assert (state.equity_before, state.equity_change, state.equity_after) == ("100000.00", "-1.50", "99998.50")
    assert (state.commission, state.commission_currency, state.margin_currency) == (1.5, "USD", "USD")
    assert state.status == "PreSubmitted"
    closing = what_if(office.ledger, 0, -100.0, 100.0, 1.5, office.settings.rules)
    assert (closing.init_margin_change, closing.init_margin_after) == ("-5000.00", "0.00")
    foreign = what_if(office.ledger, 1, -10.0, 40.0, 2.0, office.settings.rules)
    assert (foreign.init_margin_change, foreign.equity_change) == ("250.00", "-2.50")
    assert (foreign.commission, foreign.commission_currency, foreign.margin_currency) == (2.0, "EUR", "USD")
    assert office.desk.figures() == before


@pytest.mark.parametrize(("amount", "text"), [(-0.004, "0.00"), (-0.006, "-0.01"), (1e6, "1000000.00")])
def test_money_has_two_decimals_and_no_negative_zero(amount: float, text: str) -> None:
    assert money(amount) == text


def test_a_what_if_of_what_is_not_known_is_unset() -> None:
    office = Office(rate=math.nan)
    state = what_if(office.ledger, 1, 10.0, 40.0, 2.0, office.settings.rules)
    assert (state.init_margin_after, state.equity_after) == (UNSET_TEXT, UNSET_TEXT)
    assert state.equity_before == "100000.00"
