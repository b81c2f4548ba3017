"""The rules of the simulated broker, one test each; docs/fill-model.md has a line for every one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.brokers.tapes import CLOSE, DAY, bars, play, quotes, trades

NAN = float("nan")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "fill-model.md"


def test_the_document_lists_every_rule_and_no_other() -> None:
    listed = re.findall(r"`(test_\w+)`", DOCUMENT.read_text(encoding="utf-8"))
    files = sorted(Path(__file__).parent.glob("test_fill_model*.py"))
    rules = [name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)]
    assert sorted(listed) == sorted(set(rules) - {"test_the_document_lists_every_rule_and_no_other"})


# -- when an order may fill -----------------------------------------------------------------------------------------


def test_an_order_does_not_fill_on_the_event_that_it_was_decided_on() -> None:
    played = play({1: lambda s: s.buy("A", 10)}, trades("A", (1, 100), (2, 101)))
    assert played.fills == [(1, 2, 10, 101)]


def test_an_order_does_not_fill_on_another_event_of_the_time_it_was_decided_at() -> None:
    played = play({1: lambda s: s.buy("A", 10)}, trades("A", (1, 100), (1, 90), (1, 80), (2, 101)))
    assert played.fills == [(1, 2, 10, 101)]


def test_only_events_of_its_own_instrument_fill_an_order() -> None:
    played = play({1: lambda s: s.buy("A", 10)}, trades("A", (1, 100), (9, 101)), trades("B", (2, 50), (3, 51)))
    assert played.fills == [(1, 9, 10, 101)]


def test_an_order_acts_on_events_later_than_its_decision_and_the_latency() -> None:
    tape = trades("A", (1, 100), (1.2, 101), (1.25, 102), (1.3, 103))
    played = play({1: lambda s: s.buy("A", 10)}, tape, latency="250ms")
    assert played.fills == [(1, 1.3, 10, 103)]


def test_an_order_may_fill_until_its_cancel_has_arrived() -> None:
    script = {1: lambda s: s.buy("A", 10, limit=99), 2: lambda s: s.cancel(s.given[0])}
    in_flight = play(script, trades("A", (1, 100), (2, 100), (2.1, 98), (3, 97)), latency="250ms")
    too_late = play(script, trades("A", (1, 100), (2, 100), (3, 98)), latency="250ms")
    at_once = play(script, trades("A", (1, 100), (2, 100), (2.1, 98), (3, 97)))
    assert in_flight.fills == [(1, 2.1, 10, 99)]
    assert (too_late.fills, too_late.statuses, too_late.ended) == ([], ["CANCELLED"], [2.25])
    assert (at_once.fills, at_once.ended) == ([], [2])


def test_an_order_has_its_old_terms_until_its_change_has_arrived() -> None:
    script = {1: lambda s: s.buy("A", 10, limit=90), 2: lambda s: s.modify(s.given[0], limit=99)}
    played = play(script, trades("A", (1, 100), (2, 100), (2.2, 98), (2.3, 98)), latency="250ms")
    assert played.fills == [(1, 2.3, 10, 98)]


def test_new_terms_do_not_act_on_events_of_the_time_they_were_given_at() -> None:
    script = {1: lambda s: s.buy("A", 10, limit=90), 2: lambda s: s.modify(s.given[0], limit=99)}
    played = play(script, trades("A", (1, 100), (2, 100), (2, 95), (3, 94)))
    assert played.fills == [(1, 3, 10, 94)]


def test_a_new_price_that_is_marketable_gets_the_price_of_the_next_event() -> None:
    script = {3: lambda s: s.modify(s.given[0], limit=110), 1: lambda s: s.buy("A", 10, limit=90)}
    played = play(script, trades("A", (1, 100), (2, 100), (3, 100), (4, 101)))
    assert played.fills == [(1, 4, 10, 101)]


def test_an_order_whose_quantity_is_lowered_to_what_it_filled_is_done() -> None:
    script = {1: lambda s: s.buy("A", 100), 3: lambda s: s.modify(s.given[0], quantity=40)}
    played = play(script, trades("A", (1, 100), (2, 100, 40), (3, 100, 0), (4, 100)), volume_share=1.0)
    assert (played.fills, played.statuses) == ([(1, 2, 40, 100)], ["FILLED"])


def test_an_order_waits_while_the_exchange_is_closed() -> None:
    tape = trades("A", (-60, 90), (-30, 91), (0, 100), (1, 101))
    assert play({-60: lambda s: s.buy("A", 10)}, tape).fills == [(1, 0, 10, 100)]


def test_an_order_for_outside_hours_fills_while_the_exchange_is_closed() -> None:
    tape = trades("A", (-60, 90), (-30, 91), (0, 100))
    assert play({-60: lambda s: s.buy("A", 10, outside_hours=True)}, tape).fills == [(1, -30, 10, 91)]


def test_the_hours_are_those_of_the_calendar_with_its_early_closes() -> None:
    early = -40 * DAY  # Friday 2023-11-24: the exchange closes at 13:00
    tape = trades("A", (early, 100), (early + 3.4 * 3600, 101), (early + 3.6 * 3600, 102))
    played = play({early + 3.4 * 3600: lambda s: s.buy("A", 10)}, tape)
    assert (played.fills, played.statuses, played.ended) == ([], ["EXPIRED"], [early + 3.5 * 3600])


# -- market orders --------------------------------------------------------------------------------------------------


def test_a_market_order_fills_at_the_price_of_the_next_trade() -> None:
    script = {1: lambda s: s.buy("A", 10), 2: lambda s: s.sell("A", 10)}
    assert play(script, trades("A", (1, 100), (2, 101), (3, 99))).fills == [(1, 2, 10, 101), (2, 3, -10, 99)]


def test_a_market_order_buys_at_the_ask_and_sells_at_the_bid_of_the_next_quote() -> None:
    script = {1: lambda s: s.buy("A", 10), 2: lambda s: s.sell("A", 10)}
    tape = quotes("A", (1, 99, 101), (2, 100, 102), (3, 98, 103))
    assert play(script, tape).fills == [(1, 2, 10, 102), (2, 3, -10, 98)]


def test_where_a_tape_has_quotes_and_trades_whichever_comes_first_fills() -> None:
    script = {1: lambda s: s.buy("A", 10), 4: lambda s: s.sell("A", 10)}
    tape = (quotes("A", (1, 99, 101), (2, 100, 102), (6, 99, 101)), trades("A", (3, 100), (4, 100), (5, 100.5)))
    assert play(script, *tape).fills == [(1, 2, 10, 102), (2, 5, -10, 100.5)]


def test_a_side_of_a_quote_without_a_price_fills_nothing() -> None:
    tape = quotes("A", (1, 99, 101), (2, 100, NAN), (3, 98, 103))
    assert play({1: lambda s: s.buy("A", 10)}, tape).fills == [(1, 3, 10, 103)]


def test_a_market_order_fills_at_the_open_of_the_next_bar() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (60, 102, 105, 101, 104))
    assert play({60: lambda s: s.buy("A", 10)}, tape).fills == [(1, 60, 10, 102)]


def test_a_bar_that_began_before_the_order_arrived_does_not_fill_it() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (60, 102, 105, 101, 104), (120, 103, 105, 101, 104))
    assert play({"09:31:30": lambda s: s.buy("A", 10)}, tape).fills == [(1, 120, 10, 103)]
    assert play({60: lambda s: s.buy("A", 10)}, tape, latency="1ms").fills == [(1, 120, 10, 103)]


def test_a_bar_after_a_gap_in_the_tape_fills_at_its_own_open() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (600, 110, 111, 109, 110))
    assert play({60: lambda s: s.buy("A", 10)}, tape).fills == [(1, 600, 10, 110)]


@pytest.mark.parametrize(("slippage", "bought", "sold"), [("0.02", 101.02, 98.98), ("10bp", 101.101, 98.901)])
def test_slippage_makes_market_fills_worse(slippage: str, bought: float, sold: float) -> None:
    script = {1: lambda s: s.buy("A", 10), 2: lambda s: s.sell("A", 10)}
    played = play(script, trades("A", (1, 100), (2, 101), (3, 99)), slippage=slippage)
    assert [price for *_, price in played.fills] == [bought, sold]


# -- limit orders ---------------------------------------------------------------------------------------------------


def test_a_resting_limit_fills_only_when_the_price_trades_through_it() -> None:
    script = {1: lambda s: s.buy("A", 10, limit=99)}
    touched = trades("A", (1, 100), (2, 100), (3, 99), (4, 99))
    through = trades("A", (1, 100), (2, 100), (3, 99), (4, 98.99))
    assert play(script, touched).fills == []
    assert play(script, through).fills == [(1, 4, 10, 99)]


def test_a_resting_limit_fills_when_it_is_touched_where_the_run_says_so() -> None:
    tape = trades("A", (1, 100), (2, 100), (3, 99))
    assert play({1: lambda s: s.buy("A", 10, limit=99)}, tape, limit_fill="touch").fills == [(1, 3, 10, 99)]


def test_a_resting_limit_fills_at_its_limit_however_far_the_price_went() -> None:
    assert play({1: lambda s: s.buy("A", 10, limit=99)}, trades("A", (1, 100), (2, 100), (3, 90))).fills == [
        (1, 3, 10, 99)
    ]


def test_a_limit_that_is_marketable_on_arrival_fills_at_the_price_of_the_event() -> None:
    tape = trades("A", (1, 100), (2, 100.5))
    assert play({1: lambda s: s.buy("A", 10, limit=102)}, tape).fills == [(1, 2, 10, 100.5)]


def test_slippage_never_takes_a_limit_beyond_its_limit() -> None:
    script = {1: lambda s: s.buy("A", 10, limit=102), 2: lambda s: s.sell("A", 10, limit=99)}
    tape = trades("A", (1, 100), (2, 100.5), (3, 100))
    assert [price for *_, price in play(script, tape, slippage="1").fills] == [101.5, 99]
    assert [price for *_, price in play(script, tape, slippage="5").fills] == [102, 99]


def test_a_limit_fills_when_the_other_side_of_a_quote_reaches_it() -> None:
    script = {1: lambda s: s.buy("A", 10, limit=100), 3: lambda s: s.sell("A", 10, limit=101)}
    tape = quotes("A", (1, 99, 102), (2, 99, 101), (3, 98, 100), (4, 100, 103), (5, 101, 103))
    assert play(script, tape).fills == [(1, 3, 10, 100), (2, 5, -10, 101)]


def test_a_limit_that_the_open_of_a_bar_betters_fills_at_the_open() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (60, 97, 105, 96, 104))
    assert play({60: lambda s: s.buy("A", 10, limit=98)}, tape).fills == [(1, 60, 10, 97)]


def test_a_limit_inside_a_bar_fills_at_its_limit_at_the_end_of_the_bar() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (60, 100, 105, 97, 104))
    assert play({60: lambda s: s.buy("A", 10, limit=98)}, tape).fills == [(1, 120, 10, 98)]


def test_a_limit_that_a_bar_only_touches_does_not_fill() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (60, 100, 105, 98, 104))
    assert play({60: lambda s: s.buy("A", 10, limit=98)}, tape).fills == []
    assert play({60: lambda s: s.buy("A", 10, limit=98)}, tape, limit_fill="touch").fills == [(1, 120, 10, 98)]


# -- stops ----------------------------------------------------------------------------------------------------------


def test_a_stop_fills_at_the_price_of_the_trade_that_reaches_it() -> None:
    tape = trades("A", (1, 100), (2, 104.9), (3, 107), (4, 110))
    assert play({1: lambda s: s.buy("A", 10, stop=105)}, tape, slippage="0.1").fills == [(1, 3, 10, 107.1)]


def test_a_stop_is_reached_by_a_price_equal_to_it() -> None:
    script = {1: lambda s: s.buy("A", 10), 2: lambda s: s.sell("A", 10, stop=95)}
    assert play(script, trades("A", (1, 100), (2, 100), (3, 95.01), (4, 95))).priced(2) == [(4, 95)]


def test_quotes_do_not_trigger_stops_where_the_tape_has_trades() -> None:
    tape = (trades("A", (1, 100), (4, 105)), quotes("A", (1, 99, 101), (2, 106, 108), (3, 106, 108)))
    assert play({1: lambda s: s.buy("A", 10, stop=105)}, *tape).fills == [(1, 4, 10, 105)]


def test_quotes_trigger_stops_by_the_side_they_would_trade_with_where_there_are_no_trades() -> None:
    script = {1: lambda s: s.buy("A", 10, stop=105), 3: lambda s: s.sell("A", 10, stop=103)}
    tape = quotes("A", (1, 99, 101), (2, 105, 104.5), (3, 104, 106), (4, 103.5, 104), (5, 103, 106))
    assert play(script, tape).fills == [(1, 3, 10, 106), (2, 5, -10, 103)]


def test_a_stop_inside_a_bar_fills_at_its_price_with_slippage() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (60, 100, 107, 99, 104))
    assert play({60: lambda s: s.buy("A", 10, stop=105)}, tape, slippage="0.1").fills == [(1, 120, 10, 105.1)]


def test_a_stop_that_a_bar_opens_beyond_fills_at_the_open() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (60, 108, 109, 99, 104))
    assert play({60: lambda s: s.buy("A", 10, stop=105)}, tape, slippage="0.1").fills == [(1, 60, 10, 108.1)]


def test_a_triggered_stop_takes_any_price_for_what_is_left_of_it() -> None:
    tape = trades("A", (1, 100), (2, 105, 4), (3, 103, 100))
    played = play({1: lambda s: s.buy("A", 10, stop=105)}, tape, volume_share=1.0)
    assert played.fills == [(1, 2, 4, 105), (1, 3, 6, 103)]


def test_a_triggered_stop_takes_the_open_of_the_next_bar_for_what_is_left_of_it() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (60, 100, 107, 99, 101, 4), (120, 101, 102, 99, 100))
    played = play({60: lambda s: s.buy("A", 10, stop=105)}, tape, volume_share=1.0)
    assert played.fills == [(1, 120, 4, 105), (1, 120, 6, 101)]


def test_a_stop_limit_becomes_a_limit_that_arrives_when_the_stop_is_reached() -> None:
    script = {1: lambda s: s.buy("A", 10, stop=105, limit=106)}
    assert play(script, trades("A", (1, 100), (2, 105.5), (3, 105.7))).fills == [(1, 3, 10, 105.7)]
    assert play(script, trades("A", (1, 100), (2, 108), (3, 107), (4, 106), (5, 105))).fills == [(1, 5, 10, 106)]
    assert play(script, trades("A", (1, 100), (2, 104), (3, 104))).fills == []


def test_a_stop_limit_that_a_bar_triggers_acts_from_the_next_bar() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (60, 100, 106, 99, 104), (120, 104, 105, 103, 104))
    assert play({60: lambda s: s.buy("A", 10, stop=105, limit=105.5)}, tape).fills == [(1, 120, 10, 104)]


def test_a_trailing_stop_follows_the_best_price_by_its_distance() -> None:
    script = {1: lambda s: s.buy("A", 10), 2: lambda s: s.sell("A", 10, trail=5)}
    tape = trades("A", (1, 100), (2, 100), (3, 101), (4, 110), (5, 106), (6, 105.5), (7, 104))
    assert play(script, tape).priced(2) == [(7, 104)]


def test_a_trailing_stop_follows_the_best_price_by_a_fraction_of_it() -> None:
    script = {1: lambda s: s.buy("A", 10), 2: lambda s: s.sell("A", 10, trail_fraction=0.1)}
    tape = trades("A", (1, 100), (2, 100), (3, 100), (4, 200), (5, 181), (6, 180))
    assert play(script, tape).priced(2) == [(6, 180)]


def test_a_trailing_stop_starts_from_the_first_event_after_it_arrived() -> None:
    script = {1: lambda s: s.buy("A", 10), 2: lambda s: s.sell("A", 10, trail=5)}
    assert play(script, trades("A", (1, 100), (2, 200), (3, 100), (4, 96), (5, 95))).priced(2) == [(5, 95)]


def test_the_open_of_a_bar_moves_a_trailing_stop_before_the_rest_of_the_bar() -> None:
    script = {60: lambda s: s.buy("A", 10), 120: lambda s: s.sell("A", 10, trail=5)}
    tape = (
        bars("A", (0, 100, 101, 99, 100), (60, 100, 100, 100, 100), (120, 100, 101, 96, 100), (180, 110, 111, 104, 105))
    )  # fmt: skip
    assert play(script, tape).priced(2) == [(240, 105)]


def test_the_best_price_of_a_bar_moves_a_trailing_stop_only_for_the_next_bar() -> None:
    script = {60: lambda s: s.buy("A", 10), 120: lambda s: s.sell("A", 10, trail=5)}
    rows = ((0, 100, 101, 99, 100), (60, 100, 100, 100, 100), (120, 100, 109, 96, 108))
    assert play(script, bars("A", *rows)).priced(2) == []
    assert play(script, bars("A", *rows, (180, 108, 108, 104, 105))).priced(2) == [(240, 104)]
    assert play(script, bars("A", *rows, (180, 103, 108, 102, 105))).priced(2) == [(180, 103)]


def test_a_trailing_stop_limit_sets_its_limit_beyond_the_stop_that_was_reached() -> None:
    script = {1: lambda s: s.buy("A", 10), 2: lambda s: s.sell("A", 10, trail=5, limit=1)}
    tape = trades("A", (1, 100), (2, 100), (3, 110), (4, 104.5), (5, 103), (6, 104.2))
    assert play(script, tape).priced(2) == [(6, 104)]


# -- auctions -------------------------------------------------------------------------------------------------------


def test_a_market_on_close_order_fills_at_the_last_price_of_the_session() -> None:
    tape = trades("A", (1, 100), (CLOSE - 1, 105), (CLOSE, 106), (CLOSE + 1, 200))
    played = play({1: lambda s: s.buy("A", 10, on_close=True)}, tape, slippage="0.1")
    assert played.fills == [(1, CLOSE, 10, 106.1)]


def test_a_market_on_close_order_without_a_trade_in_the_session_ends_unfilled() -> None:
    tape = (trades("A", (1, 100), (DAY + 9, 100)), trades("B", (DAY + 1, 50), (DAY + CLOSE, 50)))
    played = play({"15:59": lambda s: s.script.update({DAY + 1.0: lambda t: t.buy("C", 1, on_close=True)})},
                  *tape, trades("C", (1, 10), (2 * DAY, 10)))  # fmt: skip
    assert (played.fills, played.statuses, played.ended) == ([], ["EXPIRED"], [DAY + CLOSE])


def test_a_limit_on_close_order_fills_at_the_close_where_that_betters_its_limit_and_ends_where_not() -> None:
    tape = trades("A", (1, 100), (CLOSE - 1, 105), (DAY, 90), (DAY + CLOSE, 90))
    good = play({1: lambda s: s.buy("A", 10, limit=106, on_close=True)}, tape)
    equal = play({1: lambda s: s.buy("A", 10, limit=105, on_close=True, tif="GTC")}, tape)
    touch = play({1: lambda s: s.buy("A", 10, limit=105, on_close=True)}, tape, limit_fill="touch")
    assert good.fills == touch.fills == [(1, CLOSE, 10, 105)]
    assert (equal.fills, equal.statuses, equal.ended) == ([], ["EXPIRED"], [CLOSE])


def test_an_on_close_order_given_at_the_close_waits_for_the_next_one() -> None:
    tape = trades("A", (1, 100), (CLOSE, 105), (DAY, 90), (DAY + CLOSE, 91))
    assert play({CLOSE: lambda s: s.buy("A", 10, on_close=True)}, tape).fills == [(1, DAY + CLOSE, 10, 91)]


def test_an_on_open_order_fills_at_the_first_price_of_the_next_session() -> None:
    tape = trades("A", (1, 100), (2, 101), (DAY - 60, 80), (DAY, 105), (DAY + 1, 106))
    assert play({1: lambda s: s.buy("A", 10, tif="OPG")}, tape).fills == [(1, DAY, 10, 105)]


def test_an_on_open_order_given_before_the_open_takes_that_open() -> None:
    tape = bars("A", (-60, 90, 91, 89, 90), (0, 100, 101, 99, 100), (60, 102, 103, 101, 102))
    assert play({0: lambda s: s.buy("A", 1, tif="OPG")}, tape).fills == []
    assert play({"09:29": lambda s: s.buy("A", 10, tif="OPG")}, bars("A", (-120, 90, 91, 89, 90), (0, 100, 101, 99, 100))).fills == [(1, 0, 10, 100)]  # fmt: skip


def test_an_on_open_limit_that_the_opening_price_does_not_reach_is_cancelled() -> None:
    tape = trades("A", (1, 100), (DAY, 105), (DAY + 1, 90))
    played = play({1: lambda s: s.buy("A", 10, limit=104, tif="OPG")}, tape)
    assert (played.fills, played.statuses, played.ended) == ([], ["CANCELLED"], [DAY])
    assert played.reasons == ["the opening price did not reach it"]
