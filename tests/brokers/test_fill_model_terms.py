"""Rules of the simulated broker: time in force, volume, groups, parents, and what a bar leaves open."""

from __future__ import annotations

from typing import Any

import pytest

from papertape.core.model import Side, TimeInForce
from tests.brokers.tapes import CLOSE, DAY, bars, ns, play, quotes, trades

NAN = float("nan")


# -- time in force --------------------------------------------------------------------------------------------------


def test_a_day_order_expires_at_the_close() -> None:
    tape = trades("A", (1, 100), (CLOSE, 99.5), (CLOSE + 1, 90), (DAY, 90))
    played = play({1: lambda s: s.buy("A", 10, limit=99)}, tape)
    assert (played.fills, played.statuses, played.ended) == ([], ["EXPIRED"], [CLOSE])


def test_a_day_order_given_at_or_after_the_close_works_for_the_next_session() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (DAY, 102, 105, 101, 104), (2 * DAY, 99, 99, 90, 91), length=CLOSE)
    assert play({CLOSE: lambda s: s.buy("A", 10)}, tape).fills == [(1, DAY, 10, 102)]
    resting = play({CLOSE: lambda s: s.buy("A", 10, limit=98)}, tape)
    assert (resting.fills, resting.statuses, resting.ended) == ([], ["EXPIRED"], [DAY + CLOSE])
    after = trades("A", (1, 100), (CLOSE + 60, 99), (DAY, 98), (DAY + CLOSE, 98))
    assert play({CLOSE + 60: lambda s: s.buy("A", 10)}, after).fills == [(1, DAY, 10, 98)]
    slow = trades("A", (1, 100), (CLOSE - 0.1, 99), (DAY, 98))
    assert play({CLOSE - 0.1: lambda s: s.buy("A", 10)}, slow, latency="250ms").fills == [(1, DAY, 10, 98)]


def test_a_good_till_cancelled_order_works_on_over_sessions() -> None:
    tape = trades("A", (1, 100), (CLOSE, 100), (DAY, 100), (DAY + 1, 98))
    assert play({1: lambda s: s.buy("A", 10, limit=99, tif="GTC")}, tape).fills == [(1, DAY + 1, 10, 99)]


def test_a_good_till_date_order_ends_at_its_time_after_the_events_of_that_time() -> None:
    def give(s: Any) -> None:
        s.buy("A", 10, limit=99, tif="GTD", until=ns(5))

    filled = play({1: give}, trades("A", (1, 100), (2, 100), (5, 98)))
    late = play({1: give}, trades("A", (1, 100), (2, 100), (5.001, 98)))
    assert filled.fills == [(1, 5, 10, 99)]
    assert (late.fills, late.statuses, late.ended) == ([], ["EXPIRED"], [5])


def test_an_immediate_or_cancel_order_takes_what_the_next_event_has_and_ends() -> None:
    tape = trades("A", (1, 100), (2, 100, 40), (3, 100))
    played = play({1: lambda s: s.buy("A", 100, tif="IOC")}, tape, volume_share=1.0)
    assert (played.fills, played.statuses, played.ended) == ([(1, 2, 40, 100)], ["CANCELLED"], [2])
    missed = play({1: lambda s: s.buy("A", 100, limit=99, tif="IOC")}, tape)
    assert (missed.fills, missed.statuses) == ([], ["CANCELLED"])


def test_an_immediate_or_cancel_order_has_the_open_of_the_next_bar_only() -> None:
    tape = bars("A", (0, 100, 101, 99, 100), (60, 100, 105, 97, 104))
    played = play({60: lambda s: s.buy("A", 10, limit=98, tif="IOC")}, tape)
    assert (played.fills, played.statuses, played.ended) == ([], ["CANCELLED"], [60])


def test_a_fill_or_kill_order_fills_completely_or_not_at_all() -> None:
    tape = trades("A", (1, 100), (2, 100, 40), (3, 100))
    killed = play({1: lambda s: s.buy("A", 41, tif="FOK")}, tape, volume_share=1.0)
    filled = play({1: lambda s: s.buy("A", 40, tif="FOK")}, tape, volume_share=1.0)
    assert (killed.fills, killed.statuses) == ([], ["CANCELLED"])
    assert filled.fills == [(1, 2, 40, 100)]


def test_an_immediate_stop_has_its_chance_when_its_price_is_reached() -> None:
    tape = trades("A", (1, 100), (2, 101), (3, 105, 4), (4, 106))
    played = play({1: lambda s: s.buy("A", 10, stop=105, tif="IOC")}, tape, volume_share=1.0)
    assert (played.fills, played.statuses, played.ended) == ([(1, 3, 4, 105)], ["CANCELLED"], [3])


def test_the_terms_of_an_order_can_be_named_by_text_or_member() -> None:
    def give(s: Any) -> None:
        s.buy("A", 1, limit=99, tif="IOC")
        s.buy("A", 1, limit=99, tif=TimeInForce.IOC)

    assert play({1: give}, trades("A", (1, 100), (2, 100))).statuses == ["CANCELLED", "CANCELLED"]


# -- volume ---------------------------------------------------------------------------------------------------------


def test_an_event_fills_whole_units_up_to_the_share_of_its_volume() -> None:
    tape = trades("A", (1, 100), (2, 100, 39), (3, 101, 9), (4, 102, 500))
    played = play({1: lambda s: s.buy("A", 10)}, tape, volume_share=0.1)
    assert played.fills == [(1, 2, 3, 100), (1, 4, 7, 102)]


def test_the_share_of_an_event_is_given_to_the_oldest_order_first() -> None:
    tape = trades("A", (1, 100), (2, 100, 50), (3, 101, 50), (4, 102, 50))

    def give(s: Any) -> None:
        s.buy("A", 60)
        s.buy("A", 30)

    assert play({1: give}, tape, volume_share=1.0).fills == [
        (1, 2, 50, 100), (1, 3, 10, 101), (2, 3, 30, 101),
    ]  # fmt: skip


def test_the_volume_of_a_quote_is_the_size_of_the_side_that_is_taken() -> None:
    script = {1: lambda s: s.buy("A", 50), 3: lambda s: s.sell("A", 50)}
    tape = quotes("A", (1, 99, 101), (2, 99, 101, 7, 20), (3, 99, 101, 7, 30), (4, 99, 101, 20, 7), (5, 99, 101))
    assert [(q, p) for _, _, q, p in play(script, tape, volume_share=1.0).fills] == [
        (20, 101), (30, 101), (-20, 99), (-30, 99),
    ]  # fmt: skip


def test_an_unknown_volume_fills_nothing_under_a_volume_share() -> None:
    tape = trades("A", (1, 100), (2, 100, NAN), (3, 101))
    assert play({1: lambda s: s.buy("A", 10)}, tape, volume_share=1.0).fills == [(1, 3, 10, 101)]


def test_the_minimum_fee_is_charged_once_for_an_order_however_many_fills_it_takes() -> None:
    tape = trades("A", (1, 100), (2, 100, 5), (3, 100, 5), (4, 100, 90))
    played = play({1: lambda s: s.buy("A", 100)}, tape, volume_share=1.0, fees="per-share:0.02:1")
    assert [float(fee) for fee in played.record.fills["fee"]] == pytest.approx([1.0, 0.0, 1.0])


# -- groups ---------------------------------------------------------------------------------------------------------


def exits(s: Any, quantity: float = 10, target: float = 110, stop: float = 90) -> None:
    """A target and a stop of which one cancels the other."""
    group = s.new_group()
    s.sell("A", quantity, limit=target, group=group)
    s.sell("A", quantity, stop=stop, group=group)


def test_a_fill_cancels_the_other_orders_of_its_group() -> None:
    script = {1: lambda s: s.buy("A", 10), 2: exits}
    played = play(script, trades("A", (1, 100), (2, 100), (3, 111), (4, 111), (5, 80)))
    assert played.priced(2) == [(3, 111)]
    assert played.statuses == ["FILLED", "FILLED", "CANCELLED"]
    assert played.reasons[2] == "another order of its group filled"


def test_a_partial_fill_is_taken_off_the_other_orders_of_its_group() -> None:
    script = {1: lambda s: s.buy("A", 10), 2: exits}
    tape = trades("A", (1, 100), (2, 100), (3, 100), (4, 111, 4), (5, 89), (6, 120))
    played = play(script, tape, volume_share=1.0)
    assert played.fills == [(1, 2, 10, 100), (2, 4, -4, 110), (3, 5, -6, 89)]
    assert played.held["A"] == 0


def test_a_group_cancels_across_instruments() -> None:
    def give(s: Any) -> None:
        group = s.new_group()
        s.buy("A", 10, stop=105, group=group)
        s.buy("B", 10, stop=55, group=group)

    played = play({1: give}, trades("A", (1, 100), (4, 106)), trades("B", (1, 50), (3, 56), (5, 57)))
    assert played.fills == [(2, 3, 10, 56)]
    assert played.statuses == ["CANCELLED", "FILLED"]


def test_a_group_counts_once_in_what_is_working_at_its_largest() -> None:
    seen = []

    def give(s: Any) -> None:
        group = s.new_group()
        for quantity in (5, 8, 10):
            s.sell("A", quantity, limit=110 + quantity, group=group)
        seen.append((s.position("A").sellable, s.position("A").committed))

    play({1: lambda s: s.buy("A", 20), 2: give}, trades("A", (1, 100), (2, 100), (3, 100)))
    assert seen == [(10, 10)]


def test_the_children_of_an_order_that_its_group_cancelled_end_with_it() -> None:
    def give(s: Any) -> None:
        group = s.new_group()
        up = s.buy("A", 10, stop=105, group=group)
        s.sell("A", 10, stop=100, parent=up, tif="GTC")
        other = s.buy("A", 10, limit=95, group=group)
        s.sell("A", 10, stop=90, parent=other, tif="GTC")

    played = play({1: give}, trades("A", (1, 100), (2, 106), (3, 107)))
    assert played.statuses == ["FILLED", "SUBMITTED", "CANCELLED", "CANCELLED"]
    assert played.reasons[3] == "its parent order ended without filling"


# -- parents and brackets -------------------------------------------------------------------------------------------


def test_the_exits_of_a_bracket_wait_for_the_entry() -> None:
    script = {1: lambda s: s.bracket("A", Side.BUY, 10, limit=99, stop=90, target=110)}
    played = play(script, trades("A", (1, 100), (2, 111), (3, 85), (4, 112)))
    assert played.fills == [(1, 3, 10, 99), (3, 4, -10, 112)]
    assert played.statuses == ["FILLED", "CANCELLED", "FILLED"]


def test_a_child_does_not_act_on_the_event_that_filled_its_parent() -> None:
    script = {1: lambda s: s.bracket("A", Side.BUY, 10, stop=95)}
    assert play(script, trades("A", (1, 100), (2, 90), (3, 94), (4, 93))).fills == [(1, 2, 10, 90), (2, 3, -10, 94)]


def test_waiting_children_are_not_working() -> None:
    seen = []

    def give(s: Any) -> None:
        s.bracket("A", Side.BUY, 10, limit=90, stop=80, target=110)
        seen.append((s.position("A").committed, s.position("A").sellable))

    play({1: give}, trades("A", (1, 100), (2, 100)))
    assert seen == [(10, 0)]


def test_children_of_a_parent_that_ends_unfilled_are_cancelled_with_theirs() -> None:
    def give(s: Any) -> None:
        parent = s.buy("A", 10, limit=90)
        child = s.sell("A", 10, limit=110, parent=parent, tif="GTC")
        s.buy("A", 10, limit=80, parent=child, tif="GTC")

    played = play({1: give, 2: lambda s: s.cancel(s.given[0])}, trades("A", (1, 100), (2, 100), (3, 85)))
    assert (played.statuses, played.fills) == (["CANCELLED"] * 3, [])


def test_children_of_a_parent_that_was_rejected_are_cancelled() -> None:
    script = {1: lambda s: s.bracket("A", Side.BUY, 10, stop=90, target=110)}
    played = play(script, trades("A", (1, 100), (2, 100)), cash=500.0)
    assert played.statuses == ["REJECTED", "CANCELLED", "CANCELLED"]


def test_children_of_a_parent_that_ends_partly_filled_act_for_what_it_filled() -> None:
    script = {1: lambda s: s.bracket("A", Side.BUY, 10, stop=90), 3: lambda s: s.cancel(s.given[0])}
    tape = trades("A", (1, 100), (2, 100, 4), (3, 100, 0), (4, 89))
    played = play(script, tape, volume_share=1.0)
    assert played.fills == [(1, 2, 4, 100), (2, 4, -4, 89)]
    assert played.statuses == ["CANCELLED", "FILLED"]


def test_a_child_may_be_of_another_instrument_than_its_parent() -> None:
    def give(s: Any) -> None:
        s.buy("B", 10, parent=s.buy("A", 10))

    assert play({1: give}, trades("A", (1, 100), (3, 101)), trades("B", (1, 50), (2, 51), (4, 52))).fills == [
        (1, 3, 10, 101), (2, 4, 10, 52),
    ]  # fmt: skip


# -- what a bar leaves open -----------------------------------------------------------------------------------------


def test_a_bar_that_holds_stop_and_target_fills_the_stop_and_is_counted() -> None:
    script = {60: lambda s: s.buy("A", 10), 120: exits}
    tape = bars("A", (0, 100, 101, 99, 100), (60, 100, 100, 100, 100), (120, 100, 112, 88, 100))
    played = play(script, tape)
    assert played.priced(3) == [(180, 90)]
    assert played.statuses[1] == "CANCELLED"
    assert (played.ambiguous, played.note("ambiguous")) == ([False, True], 1)


def test_a_bar_that_opens_beyond_the_target_fills_the_target() -> None:
    script = {60: lambda s: s.buy("A", 10), 120: exits}
    tape = bars("A", (0, 100, 101, 99, 100), (60, 100, 100, 100, 100), (120, 111, 112, 88, 100))
    played = play(script, tape)
    assert (played.priced(2), played.note("ambiguous")) == ([(120, 111)], 0)


def test_the_stop_of_a_limit_entry_acts_in_the_bar_of_the_entry_and_is_certain() -> None:
    script = {60: lambda s: s.bracket("A", Side.BUY, 10, limit=95, stop=90)}
    played = play(script, bars("A", (0, 100, 101, 99, 100), (60, 100, 101, 88, 92)))
    assert played.fills == [(1, 120, 10, 95), (2, 120, -10, 90)]
    assert played.ambiguous == [False, False]


def test_the_stop_of_a_stop_entry_acts_in_the_bar_of_the_entry_and_is_counted() -> None:
    def give(s: Any) -> None:
        s.sell("A", 10, stop=98, parent=s.buy("A", 10, stop=105), tif="GTC")

    played = play({60: give}, bars("A", (0, 100, 101, 99, 100), (60, 102, 107, 97, 106)))
    assert played.fills == [(1, 120, 10, 105), (2, 120, -10, 98)]
    assert played.ambiguous == [False, True]


def test_the_target_of_an_entry_inside_a_bar_waits_for_the_next_bar() -> None:
    script = {60: lambda s: s.bracket("A", Side.BUY, 10, limit=95, stop=80, target=99)}
    tape = bars("A", (0, 100, 101, 99, 100), (60, 97, 101, 94, 100), (120, 98, 99.5, 97, 98))
    assert play(script, tape).fills == [(1, 120, 10, 95), (3, 180, -10, 99)]


def test_the_exits_of_an_entry_at_the_open_act_in_the_same_bar() -> None:
    script = {60: lambda s: s.bracket("A", Side.BUY, 10, stop=95, target=105)}
    tape = bars("A", (0, 100, 101, 99, 100), (60, 100, 106, 99, 104))
    assert play(script, tape).fills == [(1, 60, 10, 100), (3, 120, -10, 105)]
