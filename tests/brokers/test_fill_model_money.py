"""Rules of the simulated broker: cash, margin, short positions, corporate actions, marks."""

from __future__ import annotations

from typing import Any

import pytest

from papertape.core.model import ActionKind, CorporateAction, Instrument, InstrumentType, OrderStatus, Side
from tests.brokers.tapes import CLOSE, DAY, MINUTE, bars, ns, play, quotes, trades

# -- cash, margin, short positions ----------------------------------------------------------------------------------


def test_a_buy_that_the_cash_can_not_pay_for_is_rejected_when_it_is_given() -> None:
    played = play({1: lambda s: s.buy("A", 10)}, trades("A", (1, 100), (2, 100)), cash=999.0)
    assert (played.statuses, played.reasons, played.ended) == (["REJECTED"], ["not enough cash"], [1])


def test_cash_that_working_buys_need_is_not_there_for_another_buy() -> None:
    def give(s: Any) -> None:
        s.buy("A", 10, limit=99)
        s.buy("A", 10, limit=99)

    played = play({1: give}, trades("A", (1, 100), (2, 100)), cash=1500.0)
    assert played.statuses == ["EXPIRED", "REJECTED"]


def test_a_buy_that_has_become_too_dear_is_rejected_when_it_would_fill() -> None:
    played = play({1: lambda s: s.buy("A", 10)}, trades("A", (1, 100), (2, 120)), cash=1100.0)
    assert (played.fills, played.statuses, played.ended) == ([], ["REJECTED"], [2])


def test_the_fee_of_a_buy_must_be_paid_from_the_cash_too() -> None:
    script = {1: lambda s: s.buy("A", 10)}
    tape = trades("A", (1, 100), (2, 100))
    assert play(script, tape, cash=1000.0, fees="per-share:0.1").statuses == ["REJECTED"]
    assert play(script, tape, cash=1001.0, fees="per-share:0.1").statuses == ["FILLED"]


def test_a_margin_account_buys_up_to_a_multiple_of_its_net_liquidation() -> None:
    script = {1: lambda s: s.buy("A", 20), 2: lambda s: s.buy("A", 1)}
    played = play(script, trades("A", (1, 100), (2, 100), (3, 100)), cash=1000.0, margin=2.0)
    assert played.statuses == ["FILLED", "REJECTED"]
    assert played.reasons[1] == "it would exceed the margin multiple"
    assert played.record.cash["USD"] == -1000.0


def test_a_margin_account_whose_net_liquidation_is_unknown_buys_nothing_on_margin() -> None:
    tape = trades("A", (1, 100), (2, 100))
    known = play({1: lambda s: s.buy("A", 10)}, tape, cash=10_000.0, margin=2.0)
    unknown = play({1: lambda s: s.buy("A", 10)}, tape, cash=10_000.0, margin=2.0, balances={"JPY": 100_000.0})
    assert (known.statuses, unknown.statuses) == (["FILLED"], ["REJECTED"])
    assert unknown.reasons == ["net liquidation is unknown: an exchange rate is missing"]


def test_selling_what_is_not_held_is_refused_before_it_is_sent() -> None:
    played = play({1: lambda s: s.sell("A", 10)}, trades("A", (1, 100), (2, 100)))
    assert len(played.record.orders["number"]) == 0
    assert played.strategy.given[0].status is OrderStatus.REJECTED
    assert [each.rule for each in played.record.guard] == ["short"]


def test_a_sale_that_would_go_short_is_rejected_when_it_would_fill() -> None:
    def give(s: Any) -> None:
        s.sell("A", 10, stop=95, parent=s.given[0])
        s.sell("A", 10, stop=95, parent=s.given[0])

    played = play({1: lambda s: s.buy("A", 10), 2: give}, trades("A", (1, 100), (2, 100), (3, 94)))
    assert played.statuses == ["FILLED", "FILLED", "REJECTED"]
    assert played.reasons[2] == "it would go short"


def test_a_strategy_that_declares_it_may_go_short_up_to_its_net_liquidation() -> None:
    script = {1: lambda s: s.sell("A", 10), 2: lambda s: s.sell("A", 1)}
    played = play(script, trades("A", (1, 100), (2, 100), (3, 100)), cash=1000.0, short=True)
    assert played.statuses == ["FILLED", "REJECTED"]
    assert (played.held["A"], played.record.cash["USD"]) == (-10.0, 2000.0)


def test_a_fill_that_only_reduces_a_position_is_never_refused_for_money() -> None:
    script = {1: lambda s: s.sell("A", 10), 2: lambda s: s.buy("A", 10)}
    played = play(script, trades("A", (1, 100), (2, 100), (3, 300)), cash=1000.0, short=True)
    assert played.statuses == ["FILLED", "FILLED"]
    assert played.record.cash["USD"] == -1000.0


def test_a_buy_is_paid_in_the_currency_of_its_instrument() -> None:
    instruments = [Instrument("A", currency="EUR"), Instrument("EUR.USD", InstrumentType.CASH)]
    tape = (trades("A", (1, 100), (2, 100), (3, 100)), trades("EUR.USD", (0, 1.25)))
    script = {1: lambda s: s.buy("A", 10), 2: lambda s: s.buy("A", 1)}
    played = play(script, *tape, instruments=instruments, balances={"EUR": 1000.0})
    assert played.statuses == ["FILLED", "REJECTED"]
    assert played.record.cash == {"USD": 1_000_000.0, "EUR": 0.0}
    assert played.record.final_equity == 1_000_000.0 + 1000.0 * 1.25


def test_without_an_exchange_rate_nothing_is_bought() -> None:
    played = play({1: lambda s: s.buy("A", 10)}, trades("A", (1, 100), (2, 100)),
                  instruments=[Instrument("A", currency="EUR")], margin=2.0)  # fmt: skip
    assert (played.fills, played.statuses) == ([], ["REJECTED"])


def test_a_multiplier_counts_in_value_and_cash() -> None:
    played = play({1: lambda s: s.buy("A", 2)}, trades("A", (1, 100), (2, 100), (3, 101)),
                  instruments=[Instrument("A", multiplier=50.0)])  # fmt: skip
    assert played.record.cash["USD"] == 990_000.0
    assert played.record.final_equity == 1_000_100.0


# -- corporate actions ----------------------------------------------------------------------------------------------


def split(ratio: float) -> CorporateAction:
    return CorporateAction(ns(DAY - 5 * 3600), "A", ActionKind.SPLIT, ratio)


def test_a_split_changes_quantity_and_cost_and_not_the_value_of_a_position() -> None:
    tape = trades("A", (1, 100), (2, 100), (CLOSE, 110), (DAY, 55), (DAY + 1, 55))
    played = play({1: lambda s: s.buy("A", 10)}, tape, actions=[split(2.0)])
    assert played.held == {"A": 20.0}
    assert float(played.record.positions["average_cost"][0]) == 50.0
    assert played.record.final_equity == 1_000_100.0
    assert played.record.drawdown.depth == 0.0


def test_a_split_keeps_the_value_of_working_orders() -> None:
    script = {1: lambda s: s.buy("A", 10), 2: lambda s: s.sell("A", 10, stop=90, tif="GTC")}
    tape = trades("A", (1, 100), (2, 100), (CLOSE, 100), (DAY, 50), (DAY + 1, 44.5))
    played = play(script, tape, actions=[split(2.0)])
    assert played.fills[1:] == [(2, DAY + 1, -20, 44.5)]


@pytest.mark.parametrize(("short", "paid"), [(False, 5.0), (True, -5.0)])
def test_a_dividend_is_paid_to_who_held_before_its_date_and_owed_by_who_was_short(short: bool, paid: float) -> None:
    dividend = CorporateAction(ns(DAY - 5 * 3600), "A", ActionKind.DIVIDEND, 0.5)

    def give(s: Any) -> None:
        s.order("A", Side.SELL if short else Side.BUY, 10)

    tape = trades("A", (1, 100), (2, 100), (DAY, 100), (DAY + 1, 100))
    assert play({1: give}, tape, actions=[dividend], short=short).record.final_equity == 1_000_000.0 + paid
    assert play({DAY: give}, tape, actions=[dividend], short=short).record.final_equity == 1_000_000.0


# -- marking --------------------------------------------------------------------------------------------------------


def test_a_position_is_marked_at_the_last_trade_within_a_fresh_quote() -> None:
    marks = []

    def look(s: Any) -> None:
        marks.append(s.position("A").mark)

    tape = (
        trades("A", (1, 100), (2, 100), (3, 101), (30, 101)),
        quotes("A", (4, 98, 99), (5, 102, 103), (6, 100, 102), (7, 97, 98)),
    )
    script = {1: lambda s: s.buy("A", 10), 3: look, 4: look, 5: look, 6: look, 7: look, 30: look}
    play(script, *tape)
    assert marks == [101, 99, 102, 101, 98, 101]


def test_bars_of_one_time_are_marked_together_at_their_closes() -> None:
    def give(s: Any) -> None:
        s.buy("A", 10)
        s.buy("B", 10)

    first = bars("A", (0, 100, 101, 99, 100), (MINUTE, 100, 200, 10, 150), (2 * MINUTE, 150, 150, 150, 150))
    second = bars("B", (0, 100, 101, 99, 100), (MINUTE, 100, 200, 10, 50), (2 * MINUTE, 50, 50, 50, 50))
    played = play({MINUTE: give}, first, second)
    assert played.record.drawdown.depth == 0.0
    assert played.record.final_equity == 1_000_000.0
