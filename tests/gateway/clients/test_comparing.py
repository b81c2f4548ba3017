"""The comparison of recordings finds every difference that no version explains, and only those."""

from __future__ import annotations

import enum
import io
from decimal import Decimal
from types import SimpleNamespace

import pytest

from tests.gateway.clients.comparing import Difference, below, compare, of
from tests.gateway.clients.known_differences import same_moment, trade_in_lots
from tests.gateway.clients.recording import Callback, Head, Recorder, plain, read

NEW = Head("ibapi", "ibapi-stable 10.50.2", 200)
OLD = Head("ibapi", "ibapi 9.81.1.post1", 157)

TICK = Callback(10, 1, "tickPrice", (201, 1, 100.5, {}))
FILL = Callback(11, 1, "execDetails", (-1, {"symbol": "AAA"}, {"price": 100, "submitter": "me"}))


def changed(callback: Callback, place: int, value: object) -> Callback:
    arguments = list(callback.arguments)
    arguments[place] = value
    return Callback(callback.at, callback.client, callback.name, tuple(arguments))


def found(*second: Callback, first: tuple[Callback, ...] = (TICK, FILL), known: tuple[Difference, ...] = ()) -> str:
    return "\n".join(compare((NEW, first), (OLD, second), known).found)


def test_equal_recordings_do_not_differ() -> None:
    assert found(TICK, FILL) == ""


def test_another_value_is_found_with_its_place() -> None:
    assert found(changed(TICK, 2, 100.6), FILL) == "client 1 at 10: tickPrice 2: 100.5 against 100.6"


def test_a_value_deep_within_an_object_is_found() -> None:
    assert "execDetails 1.symbol: 'AAA' against 'BBB'" in found(TICK, changed(FILL, 1, {"symbol": "BBB"}))


def test_a_callback_that_one_did_not_hear_is_found() -> None:
    assert "heard 2 and 1 callbacks" in found(TICK)
    assert "against nothing" in found(TICK)


def test_another_order_of_callbacks_is_found() -> None:
    assert "tickPrice" in found(FILL, TICK)


def test_callbacks_at_another_time_are_found() -> None:
    later = Callback(12, 1, FILL.name, FILL.arguments)
    assert "11 execDetails" in found(TICK, later)


def test_connections_are_compared_each_by_itself() -> None:
    other = Callback(10, 2, "positionEnd", ())
    assert found(other, TICK, FILL, first=(TICK, FILL, other)) == ""
    assert "client 2" in found(TICK, FILL, first=(TICK, FILL, other))


def test_empty_and_absent_are_one() -> None:
    assert found(TICK, changed(FILL, 1, {"symbol": "AAA", "right": ""})) == ""


def test_zero_and_absent_are_not_one() -> None:
    assert "strike" in found(TICK, changed(FILL, 1, {"symbol": "AAA", "strike": 0}))


def test_a_known_difference_is_left_out_and_reported_as_met() -> None:
    known = Difference("execDetails", "2.submitter", below(198), "newer than that version")
    without = changed(FILL, 2, {"price": 100})
    compared = compare((NEW, [FILL]), (OLD, [without]), [known])
    assert (compared.found, compared.met) == ((), frozenset([known]))


def test_a_known_difference_does_not_excuse_recordings_that_both_have_the_field() -> None:
    known = Difference("execDetails", "2.submitter", below(150), "newer than that version")
    assert "submitter" in found(TICK, changed(FILL, 2, {"price": 100}), known=(known,))


def test_a_known_difference_of_one_field_excuses_no_other() -> None:
    known = Difference("execDetails", "2.submitter", below(198), "newer than that version")
    assert "price" in found(TICK, changed(FILL, 2, {"price": 101}), known=(known,))


def test_a_value_in_another_form_is_excused_only_where_it_means_the_same() -> None:
    lots = Difference("tickSize", "2", below(159), "in lots", lambda has, lacks: bool(has == 100 * lacks))
    shares, right, wrong = (Callback(10, 1, "tickSize", (201, 0, size)) for size in (400, 4, 5))
    assert found(right, first=(shares,), known=(lots,)) == ""
    assert "tickSize 2: 400 against 5" in found(wrong, first=(shares,), known=(lots,))


def test_which_of_the_two_lacks_it_does_not_depend_on_their_order() -> None:
    lots = Difference("tickSize", "2", below(159), "in lots", lambda has, lacks: bool(has == 100 * lacks))
    shares, few = (Callback(10, 1, "tickSize", (201, 0, size)) for size in (400, 4))
    assert compare((OLD, [few]), (NEW, [shares]), [lots]).found == ()
    assert compare((OLD, [shares]), (NEW, [few]), [lots]).found != ()


def test_a_known_difference_may_hold_for_every_row_of_a_list() -> None:
    known = Difference("symbolSamples", "1.*.strike", of("9.81"), "0 by default")
    rows = [{"strike": None}, {"strike": None}]
    new = Callback(1, 1, "symbolSamples", (5, rows))
    old = Callback(1, 1, "symbolSamples", (5, [{"strike": 0}, {"strike": 0}]))
    assert found(old, first=(new,), known=(known,)) == ""


class Kind(enum.Enum):
    NoneItem = ("None", "None")
    SOME = ("1", "some")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal(2**127 - 1), None),
        (float(2**127 - 1), None),
        (Decimal("100.50"), 100.5),
        (Decimal(3), 3),
        (3.0, 3),
        (1.7976931348623157e308, None),
        (2**31 - 1, None),
        (2**63 - 1, None),
        (float("nan"), None),
        ("1.7976931348623157E308", None),
        ("3.0", "3.0"),
        (True, True),
        (Kind.NoneItem, None),
        (Kind.SOME, "SOME"),
        ([Decimal(1), 2.0], [1, 2]),
        ({1: Decimal(1)}, {"1": 1}),
    ],
)
def test_values_become_plain(value: object, expected: object) -> None:
    assert plain(value) == expected


def test_an_object_becomes_its_fields_that_have_content() -> None:
    value = SimpleNamespace(average=1.5, strike=0.0, right="", legs=[], tier=SimpleNamespace(name=""), _own=1)
    assert plain(value) == {"wap": 1.5, "strike": 0}


def test_what_was_recorded_is_read_again() -> None:
    file = io.StringIO()
    recorder = Recorder(file)
    recorder.callback(5, 1, "commissionAndFeesReport", [SimpleNamespace(commissionAndFees=1.0)])
    recorder.head(NEW)
    head, callbacks = read(file.getvalue().splitlines())
    assert (head, callbacks) == (NEW, [Callback(5, 1, "commissionReport", ({"commission": 1},))])


def test_a_recording_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="none was connected"):
        read([])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("20231124 09:30:00 US/Eastern", "20231124  09:30:00", True),
        ("20231124 09:30:00 US/Eastern", "2023-11-24T14:30:00+00:00", True),
        ("20231124 14:30:00 UTC", "20231124  09:30:00", True),
        ("20231124", "20231124", True),
        ("20231124 09:30:00 US/Eastern", "20231124  09:30:01", False),
        ("20231124 09:30:00 US/Eastern", "20231124  14:30:00", False),
        (None, None, False),
    ],
)
def test_times_are_the_same_in_all_spellings(one: str | None, other: str | None, same: bool) -> None:
    assert same_moment(one, other) is same


@pytest.mark.parametrize(
    ("shares", "lots", "same"),
    [
        ("100.02;200;1700836224000;29;100.01;true", "100.02;2;1700836224000;29;100.01;true", True),
        ("100.02;200.000;1700836224000;29.0;100.01;true", "100.02;2;1700836224000;29;100.01;true", True),
        ("100.02;200;1700836224000;29;100.01;true", "100.02;2;1700836224001;29;100.01;true", False),
        ("100.02;200;1700836224000;29;100.01;true", "100.03;2;1700836224000;29;100.01;true", False),
        ("100.02;200;1700836224000;29;100.01;true", "100.02;200;1700836224000;29;100.01;true", False),
        ("100.02;200;1700836224000;29;100.01;true", "100.02;2;1700836224000;29;100.01;false", False),
    ],
)
def test_a_trade_in_lots_is_compared_number_by_number(shares: str, lots: str, same: bool) -> None:
    assert trade_in_lots(shares, lots) is same
