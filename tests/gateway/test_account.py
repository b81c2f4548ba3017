"""Account values, portfolio, positions, summaries, profit and loss: what is sent, and when."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.account import REFRESH_NS, REQUESTS_OPEN
from gateway.account_values import ledger_rows, multi_rows, update_rows
from gateway.protocol import replies, requests
from gateway.protocol.codec import decode_reply, encode_reply
from papertape.core.model import NS_PER_S
from tests.gateway.office import ACCOUNT, UPDATES, Office, of, values

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


def test_a_day_that_goes_on_after_a_restart_keeps_the_equity_that_it_began_with() -> None:
    office = Office()
    office.desk.resume(123_456.0)
    assert values(office.ask(UPDATES))["PreviousDayEquityWithLoanValue", "USD"] == "123456.00"
    office.desk.resume(math.nan)
    assert ("PreviousDayEquityWithLoanValue", "USD") not in values(office.ask(UPDATES, office.client()))


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


@pytest.mark.parametrize("version", [157, 176, 200])
def test_all_that_is_sent_comes_through_the_wire_as_it_is(version: int) -> None:
    office = Office()
    office.fill(0, 10, 100.0)
    office.fill(1, -5, 40.0)
    office.ledger.state.instruments["last"][1] = math.nan
    office.ledger.state.instruments["mark"][1] = math.nan
    asked = [
        UPDATES, requests.AccountUpdatesMulti(1), requests.AccountSummary(2, "All", "Cushion,AccountType,$LEDGER:ALL"),
        requests.Positions(), requests.PositionsMulti(3), requests.Pnl(4), requests.PnlSingle(5, "", "", 14204),
        requests.PnlSingle(6, "", "", 272093), requests.AccountUpdates(True, "U7"),
    ]  # fmt: skip
    for reply in [each for request in asked for each in office.ask(request)]:
        if isinstance(reply, replies.Error):
            reply = replace(reply, ms=0)  # earlier versions do not say when
        frame = encode_reply(reply, version)
        assert repr(decode_reply(frame[4:], version)) == repr(reply)
        unknown = repr(reply).count("nan")
        assert frame.count(b"1.7976931348623157E308") == unknown  # never empty: that is read as 0


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
