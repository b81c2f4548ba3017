"""Account values, portfolio, positions, summaries, profit and loss: what is sent, when, and what is left unsaid."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.sim import FillRules
from gateway.account import HANDLERS, REFRESH_NS, REQUESTS_OPEN, AccountDesk
from gateway.account_values import ledger_rows, multi_rows, update_rows
from gateway.clients import Client
from gateway.contracts import Contracts
from gateway.costs import Costs
from gateway.margins import UNSET_TEXT, margin_fractions, money, what_if
from gateway.protocol import replies, requests
from gateway.settings import GatewaySettings
from papertape.core.ledger import Ledger
from papertape.core.model import NS_PER_S, Instrument, InstrumentType
from papertape.core.state import State

ACCOUNT = "DU1234567"
NOON = 1_704_301_200 * NS_PER_S  # 2024-01-03 12:00 in New York
STOCKS = (
    Instrument("AAPL", con_id=265598, exchange="NASDAQ"),
    Instrument("SAP", currency="EUR", con_id=14204, exchange="IBIS"),
    Instrument("MSFT", con_id=272093, exchange="NASDAQ"),
)
FUTURE = Instrument("ESH24", InstrumentType.FUTURE, con_id=495512563, exchange="CME", multiplier=50.0)


class Office:
    """A desk with open books in USD (and EUR), and clients that hear from it."""

    def __init__(self, *instruments: Instrument, rate: float = 1.25, multiple: float = 2.0, **cash: float) -> None:
        instruments = instruments or STOCKS
        cash = cash or {"USD": 100_000.0}
        currencies = tuple(dict.fromkeys([*cash, *(each.currency for each in instruments)]))
        self.ledger = Ledger(State(len(instruments), len(currencies)), instruments, currencies)
        self.ledger.open(cash, {"EUR": rate})
        self.costs = Costs([each.multiplier for each in instruments])
        rules = FillRules(margin_multiple=multiple, allow_short=True)
        self.settings = GatewaySettings(ACCOUNT, cash, rules=rules)
        self.desk = AccountDesk(self.settings, self.ledger, Contracts(instruments), self.costs)
        self.now = NOON
        self._number = 0
        self.one = self.client()

    def client(self) -> Client:
        """One more client."""
        self._number += 1
        client = Client(self._number, 200)
        client.id = self._number
        return client

    def ask(self, request: object, client: Client | None = None) -> list[Any]:
        """What a request brings."""
        client = client or self.one
        HANDLERS[type(request)](self.desk, client, request, self.now)
        return client.take()

    def fill(self, j: int, quantity: float, price: float, fee: float = 1.0) -> list[Any]:
        """Book a fill and tell; what client 1 hears."""
        self._number += 1
        self.ledger.book_fill(j, quantity, price, fee, self.now)
        self.costs.fill(j, str(self._number), quantity, price, fee)
        self.mark(j, price)
        self.desk.filled(j, self.now)
        return self.one.take()

    def mark(self, j: int, price: float) -> None:
        """A trade in the market: the instrument is marked at its price."""
        self.ledger.note_image(j, price, math.nan, math.nan, self.now)
        instrument = self.ledger.instruments[j]
        rates = self.ledger.state.rates
        self.ledger.set_rate(instrument.currency, float(rates[self.ledger.currencies.index(instrument.currency)]))

    def wait(self, seconds: int) -> list[Any]:
        """Seconds pass one by one; what client 1 hears."""
        for _ in range(seconds):
            self.now += NS_PER_S
            self.desk.second(self.now)
        return self.one.take()


def of(kind: type, heard: Iterable[Any]) -> list[Any]:
    """Replies of one kind."""
    return [each for each in heard if type(each) is kind]


def values(heard: Iterable[Any]) -> dict[tuple[str, str], str]:
    """Account values as (key, currency) -> text."""
    found: dict[tuple[str, str], str] = {}
    for each in heard:
        if isinstance(each, replies.AccountValue | replies.AccountMulti):
            found[each.key, each.currency] = each.value
        elif isinstance(each, replies.SummaryRow):
            found[each.tag, each.currency] = each.value
    return found


UPDATES = requests.AccountUpdates(True, ACCOUNT)


# -- account updates -----------------------------------------------------------------------------------------------------


def test_account_updates_begin_with_all_values_and_end_with_time_and_end() -> None:
    heard = Office().ask(UPDATES)
    kinds = [type(each) for each in heard]
    n = kinds.count(replies.AccountValue)
    assert kinds == [replies.AccountValue] * n + [replies.AccountTime, replies.AccountDownloadEnd]
    assert heard[-2:] == [replies.AccountTime("12:00"), replies.AccountDownloadEnd(ACCOUNT)]
    keys = [(each.key, each.currency) for each in heard[:n]]
    assert keys == sorted(keys)
    assert len(set(keys)) == n
    assert {each.account for each in heard[:n]} == {ACCOUNT}


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


def test_the_portfolio_comes_after_the_values_each_row_with_a_time() -> None:
    office = Office()
    office.fill(0, 10, 100.0, 1.0)
    office.fill(1, -5, 40.0, 1.0)
    heard = office.ask(UPDATES)
    rest = heard[len(of(replies.AccountValue, heard)) :]
    assert [type(each).__name__ for each in rest] == [
        "PortfolioValue", "AccountTime", "PortfolioValue", "AccountTime", "AccountTime", "AccountDownloadEnd",
    ]  # fmt: skip
    apple = rest[0]
    assert (apple.contract.con_id, apple.contract.primary_exchange, apple.contract.exchange) == (265598, "NASDAQ", "")
    assert (apple.position, apple.price, apple.value) == (10, 100.0, 1000.0)
    assert (apple.average_cost, apple.unrealised, apple.realised) == (100.1, -1.0, 0.0)
    sap = rest[2]
    assert (sap.position, sap.value, sap.average_cost, sap.unrealised) == (-5, -200.0, 39.8, -1.0)


def test_a_fill_is_told_at_once_and_only_what_it_changed() -> None:
    office = Office()
    office.ask(UPDATES)
    heard = office.fill(0, 10, 100.0, 1.0)
    got = values(heard)
    assert got["CashBalance", "USD"] == "98999.00"
    assert ("AccountType", "") not in got
    assert ("CashBalance", "EUR") not in got
    (row,) = of(replies.PortfolioValue, heard)
    assert row.position == 10
    heard = office.fill(0, -10, 101.0, 1.0)
    (row,) = of(replies.PortfolioValue, heard)
    assert (row.position, row.value, row.average_cost, row.unrealised) == (0, 0.0, 0.0, 0.0)
    assert row.realised == pytest.approx(8.0)
    assert values(heard)["RealizedPnL", "BASE"] == "8.00"


def test_prices_are_told_every_three_minutes_of_exchange_time() -> None:
    office = Office()
    office.fill(0, 10, 100.0, 0.0)
    office.ask(UPDATES)
    office.mark(0, 105.0)
    assert office.wait(179) == []
    heard = office.wait(1)
    assert values(heard)["NetLiquidation", "USD"] == "100050.00"
    assert of(replies.PortfolioValue, heard)[0].price == 105.0
    assert heard[-1] == replies.AccountTime("12:03")
    assert office.wait(180) == [replies.AccountTime("12:06")]
    assert REFRESH_NS == 180 * NS_PER_S


def test_unsubscribing_ends_it_with_a_notice_and_once() -> None:
    office = Office()
    office.ask(UPDATES)
    heard = office.ask(requests.AccountUpdates(False, ACCOUNT))
    assert [(each.request, each.code) for each in heard] == [(-1, 2100)]
    assert office.ask(requests.AccountUpdates(False, ACCOUNT)) == []
    assert office.fill(0, 1, 1.0) == []
    assert office.wait(200) == []


def test_asking_again_sends_all_again() -> None:
    office = Office()
    office.fill(0, 10, 100.0)
    assert office.ask(UPDATES) == office.ask(replace(UPDATES, account=""))


def test_another_account_is_refused_in_the_words_of_tws() -> None:
    office = Office()
    asked = [
        requests.AccountUpdates(True, "U7"),
        requests.AccountUpdatesMulti(5, "U7"),
        requests.PositionsMulti(5, "U7"),
        requests.Pnl(5, "U7"),
        requests.PnlSingle(5, "U7", "", 265598),
    ]
    for request in asked:
        (error,) = office.ask(request)
        assert (error.request, error.code) == (getattr(request, "request", -1), 321)
        assert error.text.endswith("cause - Invalid account code")
    (error,) = office.ask(requests.Pnl(5, ACCOUNT, "model"))
    assert error.code == 321
    assert office.fill(0, 1, 1.0) == []
    assert office.wait(200) == []


# -- updates by request, summaries ---------------------------------------------------------------------------------------


def test_updates_by_request_end_and_then_bring_changes() -> None:
    office = Office()
    heard = office.ask(requests.AccountUpdatesMulti(7, ""))
    assert heard[-1] == replies.AccountMultiEnd(7)
    assert {(each.request, each.account, each.model) for each in heard[:-1]} == {(7, ACCOUNT, "")}
    everything = values(heard)
    assert everything["NetLiquidation", "USD"] == everything["CashBalance", "BASE"] == "100000.00"
    assert values(office.fill(0, 1, 10.0, 1.0))["NetLiquidation", "USD"] == "99999.00"
    assert office.ask(requests.CancelAccountUpdatesMulti(7)) == []
    assert office.fill(0, 1, 10.0, 1.0) == []


def test_updates_of_the_ledger_only_are_those_of_currencies_the_base_last() -> None:
    office = Office()
    heard = of(replies.AccountMulti, office.ask(requests.AccountUpdatesMulti(7, ledger_and_nlv=True)))
    assert list(dict.fromkeys(each.currency for each in heard)) == ["USD", "EUR", "BASE"]
    assert heard[0] == replies.AccountMulti(7, ACCOUNT, "", "Currency", "USD", "USD")
    assert values(heard)["NetLiquidationByCurrency", "BASE"] == "100000.00"


def test_a_summary_has_the_tags_that_were_asked_for_by_name() -> None:
    office = Office()
    tags = "TotalCashValue,NetLiquidation, BuyingPower,Nonsense,AccountType"
    heard = office.ask(requests.AccountSummary(3, "All", tags))
    assert heard == [
        replies.SummaryRow(3, ACCOUNT, "AccountType", "INDIVIDUAL", ""),
        replies.SummaryRow(3, ACCOUNT, "BuyingPower", "200000.00", "USD"),
        replies.SummaryRow(3, ACCOUNT, "NetLiquidation", "100000.00", "USD"),
        replies.SummaryRow(3, ACCOUNT, "TotalCashValue", "100000.00", "USD"),
        replies.SummaryEnd(3),
    ]


@pytest.mark.parametrize(
    ("tag", "currencies"),
    [("$LEDGER", ["BASE"]), ("$LEDGER:EUR", ["EUR"]), ("$LEDGER:ALL", ["USD", "EUR", "BASE"]), ("$LEDGER:CHF", [])],
)
def test_the_ledger_tag_names_currencies(tag: str, currencies: list[str]) -> None:
    heard = Office().ask(requests.AccountSummary(3, "All", f"NetLiquidation,{tag}"))
    assert list(dict.fromkeys(each.currency for each in heard[1:-1])) == currencies
    assert heard[0].tag == "NetLiquidation"


def test_a_third_summary_is_refused_until_one_was_cancelled() -> None:
    office = Office()
    for number in (1, 2):
        assert office.ask(requests.AccountSummary(number, "All", "NetLiquidation"))[-1] == replies.SummaryEnd(number)
    (error,) = office.ask(requests.AccountSummary(3, "All", "NetLiquidation"))
    assert (error.request, error.code) == (3, 322)
    assert "Maximum number of account summary requests exceeded" in error.text
    assert office.ask(requests.AccountSummary(2, "All", "Cushion"))[-1] == replies.SummaryEnd(2)
    office.ask(requests.CancelAccountSummary(1))
    assert office.ask(requests.AccountSummary(3, "All", "NetLiquidation"))[-1] == replies.SummaryEnd(3)
    other = office.client()
    assert office.ask(requests.AccountSummary(3, "All", "NetLiquidation"), other)[-1] == replies.SummaryEnd(3)


def test_a_summary_of_another_group_is_refused() -> None:
    (error,) = Office().ask(requests.AccountSummary(3, "Mine", "NetLiquidation"))
    assert (error.request, error.code) == (3, 321)


def test_a_summary_tells_changes_every_three_minutes_also_of_fills() -> None:
    office = Office()
    office.ask(requests.AccountSummary(3, "All", "NetLiquidation,AccountType"))
    assert office.fill(0, 10, 100.0, 1.0) == []
    assert office.wait(179) == []
    assert office.wait(1) == [replies.SummaryRow(3, ACCOUNT, "NetLiquidation", "99999.00", "USD")]
    assert office.wait(360) == []


# -- positions -----------------------------------------------------------------------------------------------------------


def test_positions_are_those_held_and_those_closed_today() -> None:
    office = Office()
    office.fill(0, 10, 100.0, 1.0)
    office.fill(2, 5, 10.0, 0.0)
    office.fill(2, -5, 10.0, 0.0)
    heard = office.ask(requests.Positions())
    assert heard[-1] == replies.PositionEnd()
    assert [(each.contract.symbol, each.position, each.average_cost) for each in heard[:-1]] == [
        ("AAPL", 10, 100.1),
        ("MSFT", 0, 0.0),
    ]
    assert heard[0].contract.exchange == "NASDAQ"
    office.desk.begin_session(office.now)
    assert [each.contract.symbol for each in office.ask(requests.Positions())[:-1]] == ["AAPL"]


def test_a_change_of_a_position_is_told_to_all_who_subscribed_until_they_cancel() -> None:
    office = Office()
    office.ask(requests.Positions())
    assert office.ask(requests.PositionsMulti(4, ACCOUNT)) == [replies.PositionMultiEnd(4)]
    heard = office.fill(0, -10, 100.0, 1.0)
    assert [type(each) for each in heard] == [replies.PositionRow, replies.PositionMulti]
    assert {(each.position, each.average_cost) for each in heard} == {(-10, 99.9)}
    assert (heard[1].request, heard[1].model) == (4, "")
    office.ask(requests.CancelPositions())
    assert [type(each) for each in office.fill(0, 10, 90.0)] == [replies.PositionMulti]
    office.ask(requests.CancelPositionsMulti(4))
    assert office.fill(0, 10, 90.0) == []


def test_a_position_that_did_not_change_is_not_told() -> None:
    office = Office()
    office.ask(requests.Positions())
    office.ask(UPDATES)
    office.fill(0, 10, 100.0, 1.0)
    office.desk.filled(0, office.now)
    office.desk.filled(2, office.now)
    assert of(replies.PositionRow, office.one.take()) == []


def test_a_bust_is_told_as_the_position_that_is_left() -> None:
    office = Office()
    office.ask(requests.Positions())
    office.fill(0, 10, 100.0, 1.0)
    office.costs.bust(office.costs.fills(0)[0].exec_id)
    office.desk.filled(0, office.now)
    (row,) = of(replies.PositionRow, office.one.take())
    assert (row.position, row.average_cost) == (0.0, 0.0)


# -- profit and loss -----------------------------------------------------------------------------------------------------


def test_profit_and_loss_comes_at_once_and_each_second_in_which_it_changed() -> None:
    office = Office()
    assert office.ask(requests.Pnl(1, ACCOUNT)) == [replies.PnlUpdate(1, 0.0, 0.0, 0.0)]
    office.fill(0, 10, 100.0, 1.0)
    office.fill(1, 10, 40.0, 0.0)
    assert office.wait(1) == [replies.PnlUpdate(1, -1.0, -1.0, 0.0)]
    office.mark(0, 103.0)
    office.mark(1, 42.0)
    (told,) = office.wait(1)
    assert (told.daily, told.unrealised, told.realised) == (29.0 + 20 * 1.25, 29.0 + 20 * 1.25, 0.0)
    assert office.wait(5) == []
    office.fill(0, -10, 103.0, 1.0)
    (told,) = office.wait(1)
    assert (told.unrealised, told.realised) == (pytest.approx(25.0), pytest.approx(28.0))
    office.ask(requests.CancelPnl(1))
    office.mark(1, 50.0)
    assert office.wait(2) == []


def test_a_new_day_counts_daily_and_realised_anew() -> None:
    office = Office()
    office.fill(0, 10, 100.0, 1.0)
    office.fill(0, -5, 110.0, 1.0)
    office.desk.begin_session(office.now)
    (told,) = office.ask(requests.Pnl(1))
    assert (told.daily, told.realised) == (0.0, 0.0)
    assert told.unrealised == pytest.approx(5 * (110 - 100.1))
    office.mark(0, 112.0)
    assert office.wait(1)[0].daily == pytest.approx(10.0)
    assert values(office.ask(UPDATES))["PreviousDayEquityWithLoanValue", "USD"] == "100098.00"


def test_one_positions_profit_and_loss_has_no_realised_part_where_it_was_not_traded_today() -> None:
    office = Office()
    office.fill(1, 10, 40.0, 1.0)
    office.desk.begin_session(office.now)
    (told,) = office.ask(requests.PnlSingle(9, ACCOUNT, "", 14204))
    assert (told.request, told.position, told.daily, told.unrealised, told.value) == (9, 10, 0.0, -1.0, 400.0)
    assert math.isnan(told.realised)
    assert office.wait(3) == []
    office.fill(1, -4, 41.0, 0.0)
    (told,) = office.wait(1)
    assert told.realised == pytest.approx(4 * (41 - 40.1))
    office.ask(requests.CancelPnlSingle(9))
    office.mark(1, 50.0)
    assert office.wait(2) == []


def test_profit_and_loss_of_what_nobody_knows_is_an_error_and_of_what_is_not_held_nothing() -> None:
    office = Office()
    (error,) = office.ask(requests.PnlSingle(9, ACCOUNT, "", 1))
    assert (error.request, error.code) == (9, 2150)
    (told,) = office.ask(requests.PnlSingle(9, ACCOUNT, "", 272093))
    assert (told.position, told.value) == (0.0, 0.0)


def test_a_request_id_that_is_in_use_is_refused() -> None:
    office = Office()
    for request in (requests.Pnl(1), requests.PnlSingle(1, "", "", 14204), requests.PositionsMulti(1)):
        office.ask(request)
        (error,) = office.ask(request)
        assert (error.request, error.code) == (1, 322)
        office.ask(request, office.client())


def test_a_client_cannot_open_requests_without_end() -> None:
    office = Office()
    heard = [office.ask(requests.Pnl(number)) for number in range(REQUESTS_OPEN + 1)]
    assert [type(each[0]) for each in heard] == [replies.PnlUpdate] * REQUESTS_OPEN + [replies.Error]


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


# -- futures, clients, margins --------------------------------------------------------------------------------------------


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


def test_a_client_that_is_gone_is_told_nothing_and_others_go_on() -> None:
    office = Office()
    other = office.client()
    opened = [
        UPDATES, requests.AccountUpdatesMulti(1), requests.AccountSummary(2, "All", "NetLiquidation"),
        requests.Positions(), requests.PositionsMulti(3), requests.Pnl(4), requests.PnlSingle(5, "", "", 265598),
    ]  # fmt: skip
    for request in opened:
        office.ask(request)
        office.ask(request, other)
    office.desk.drop(office.one)
    office.fill(0, 10, 100.0)
    assert office.wait(200) == []
    kinds = {type(each) for each in other.take()}
    assert kinds == {
        replies.AccountValue, replies.AccountMulti, replies.SummaryRow, replies.PositionRow, replies.PositionMulti,
        replies.PnlUpdate, replies.PnlSingleUpdate, replies.PortfolioValue, replies.AccountTime,
    }  # fmt: skip


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


# -- what always holds ----------------------------------------------------------------------------------------------------

moves = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-50, 50), st.integers(1, 50_000).map(lambda n: n / 100), st.integers(0, 300)),
    min_size=1,
    max_size=30,
)  # fmt: skip


@given(moves)
def test_gains_explain_the_equity_and_subscribers_hold_what_a_new_one_is_sent(
    rows: list[tuple[int, int, float, int]],
) -> None:
    office = Office()
    kept = values(office.ask(UPDATES))
    multi = values(office.ask(requests.AccountUpdatesMulti(1)))
    positions: dict[int, tuple[float, float]] = {}
    office.ask(requests.Positions())
    for j, quantity, price, cents in rows:
        if quantity:
            heard = office.fill(j, quantity, price, cents / 100)
        else:
            office.mark(j, price)
            heard = office.wait(180)
        kept.update(values(of(replies.AccountValue, heard)))
        multi.update(values(of(replies.AccountMulti, heard)))
        for each in of(replies.PositionRow, heard):
            positions[each.contract.con_id] = (each.position, each.average_cost)
    heard = office.wait(180)
    kept.update(values(of(replies.AccountValue, heard)))
    multi.update(values(of(replies.AccountMulti, heard)))
    other = office.client()
    assert kept == values(office.ask(UPDATES, other))
    assert multi == values(office.ask(requests.AccountUpdatesMulti(1), other))
    sent = office.ask(requests.Positions(), other)[:-1]
    assert positions == {each.contract.con_id: (each.position, each.average_cost) for each in sent}
    (told,) = office.ask(requests.Pnl(2), other)
    gained = office.ledger.account.equity - 100_000
    assert told.unrealised + told.realised == pytest.approx(gained, rel=1e-9, abs=1e-4)
    assert told.daily == pytest.approx(gained, rel=1e-9, abs=1e-4)
    f = office.desk.figures()
    assert sum(each.value for each in f.held if each.currency == "USD") == pytest.approx(
        f.by_currency["USD"].net_liquidation - f.by_currency["USD"].cash, abs=1e-6
    )
    assert {row.key for row in update_rows(f)} == {row.key for row in multi_rows(f, False)}
    assert multi_rows(f, True) == ledger_rows(f)
