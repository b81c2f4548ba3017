"""Orders as a client of the simulated TWS meets them."""

from __future__ import annotations

import math

import pytest

from brokers.sim import FillRules
from gateway.protocol import requests
from gateway.protocol.replies import Error, Execution, NextValidId, OpenOrder, OrderStatus
from tests.brokers.tapes import CLOSE, ns, quotes, trades
from tests.gateway.desk import Desk, errors, fills, order, statuses, stock, told

CASH = FillRules(margin_multiple=1.0, allow_short=False)
FALLING_AND_RISING = trades("AAPL", (1, 100.0), (2, 101.0), (3, 99.0), (4, 98.0), (5, 97.0), (6, 103.0), (7, 104.0))


def rising(*more: float) -> Desk:
    return Desk(trades("AAPL", *((k + 1, price) for k, price in enumerate((100.0, 101.0, 102.0, *more)))))


def test_a_market_order_is_told_in_the_order_that_a_real_gateway_was_recorded_with():
    desk = rising()
    desk.at(1)
    placed = told(desk.place(1, order("BUY", 10)))
    desk.at(2)
    assert placed + told(desk.heard()) == [
        "openOrder PreSubmitted", "orderStatus PreSubmitted", "execDetails", "openOrder Filled", "orderStatus Filled",
        "commission",
    ]  # fmt: skip


def test_the_other_recorded_order_of_messages_can_be_had_too():
    desk = Desk(trades("AAPL", (1, 100.0), (2, 101.0)), submits_directly=True)
    desk.at(1)
    placed = told(desk.place(1, order("BUY", 10)))
    desk.at(2)
    assert placed + told(desk.heard()) == [
        "openOrder Submitted", "orderStatus Submitted", "execDetails", "openOrder Filled", "orderStatus Filled",
        "commission",
    ]  # fmt: skip


def test_an_order_fills_on_a_later_event_of_its_instrument_never_on_the_one_it_was_placed_at():
    desk = Desk(trades("AAPL", (1, 100.0), (3, 105.0)), trades("MSFT", (2, 50.0)))
    desk.at(1)
    desk.place(1, order("BUY", 10))
    desk.at(2)
    assert fills(desk.heard()) == []
    desk.at(3)
    assert fills(desk.heard()) == [(10.0, 105.0)]


def test_a_resting_limit_is_submitted_and_fills_at_its_price_when_traded_through():
    desk = Desk(FALLING_AND_RISING)
    desk.at(2)
    assert told(desk.place(1, order("BUY", 10, "LMT", limit_price=98.5))) == [
        "openOrder PreSubmitted", "orderStatus PreSubmitted", "openOrder Submitted", "orderStatus Submitted",
    ]  # fmt: skip
    desk.at(3)
    assert desk.heard() == []
    desk.at(4)
    assert fills(desk.heard()) == [(10.0, 98.5)]


def test_a_resting_stop_is_presubmitted_and_held_for_its_trigger():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    heard = desk.place(1, order("SELL", 10, "STP", aux_price=98.0))
    status = [each for each in heard if isinstance(each, OrderStatus)]
    assert [(each.status, each.why_held) for each in status] == [("PreSubmitted", "trigger")]
    desk.at(4)
    assert fills(desk.heard()) == [(-10.0, 98.0)]


def test_a_stop_limit_that_is_triggered_is_shown_as_working():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    desk.place(1, order("SELL", 10, "STP LMT", aux_price=98.5, limit_price=102.0))
    desk.at(4)
    heard = desk.heard()
    assert statuses(heard, 1) == ["Submitted"]
    assert [each.why_held for each in heard if isinstance(each, OrderStatus)] == [""]
    desk.at(6)
    assert fills(desk.heard()) == [(-10.0, 102.0)]


def test_a_trailing_order_starts_from_the_stop_that_was_given():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    desk.place(1, order("SELL", 10, "TRAIL", aux_price=3.0, trail_stop_price=99.5))
    desk.at(3)
    assert fills(desk.heard()) == [(-10.0, 99.0)]


@pytest.mark.parametrize(
    ("tif", "expected"),
    [("IOC", ["PendingCancel", "Cancelled"]), ("FOK", ["Inactive"])],
)
def test_what_can_not_fill_at_once_ends_as_tws_shows_it(tif: str, expected: list[str]):
    desk = rising()
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=90.0, tif=tif))
    desk.at(2)
    assert statuses(desk.heard(), 1) == expected


def test_partial_fills_are_told_one_by_one_with_what_remains():
    rules = FillRules(margin_multiple=2.0, allow_short=True, volume_share=0.1)
    desk = Desk(trades("AAPL", (1, 100.0, 100.0), (2, 101.0, 60.0), (3, 102.0, 400.0)), rules=rules)
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=110.0))
    desk.at(2)
    heard = desk.heard()
    assert told(heard) == ["execDetails", "openOrder Submitted", "orderStatus Submitted", "commission"]
    status = heard[2]
    assert isinstance(status, OrderStatus)
    assert (status.filled, status.remaining, status.average_price) == (6.0, 4.0, 101.0)
    desk.at(3)
    heard = desk.heard()
    assert told(heard) == ["execDetails", "openOrder Filled", "orderStatus Filled", "commission"]
    execution = heard[0]
    assert isinstance(execution, Execution)
    assert (execution.shares, execution.cumulative, execution.average_price) == (
        4.0,
        10.0,
        (6 * 101.0 + 4 * 110.0) / 10,
    )


def test_a_cancelled_order_is_pending_then_cancelled_with_notice_202():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=90.0))
    heard = desk.ask(requests.CancelOrder(1))
    assert told(heard) == ["orderStatus PendingCancel", "error 202", "orderStatus Cancelled"]
    assert desk.tws.exchange.is_idle


def test_cancelling_what_is_unknown_or_ended_says_so():
    desk = rising()
    desk.at(1)
    assert errors(desk.ask(requests.CancelOrder(7))) == [10147]
    desk.place(1, order("BUY", 10))
    desk.at(2)
    desk.heard()
    heard = desk.ask(requests.CancelOrder(1))
    assert errors(heard) == [10148]
    assert isinstance(heard[0], Error)
    assert heard[0].text.endswith("state: Filled.")


def test_an_order_id_is_used_once():
    desk = rising(103.0)
    desk.at(1)
    desk.place(5, order("BUY", 1, "LMT", limit_price=90.0))
    assert errors(desk.place(4, order("BUY", 1))) == [103]
    desk.ask(requests.CancelOrder(5))
    assert errors(desk.place(5, order("BUY", 1))) == [103]
    assert desk.ask(requests.NextId()) == [NextValidId(6)]
    desk.place(6, order("BUY", 1))
    desk.at(2)
    desk.heard()
    assert errors(desk.place(6, order("BUY", 2))) == [104]


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        (order("BUY", 0), 434),
        (order("BUY", -3), 321),
        (order("BUY", math.nan), 434),
        (order("HOLD", 1), 321),
        (order("BUY", 1, "PEG MID"), 387),
        (order("BUY", 1, "LMT", limit_price=100.001), 110),
        (order("BUY", 1, "STP", aux_price=100.001), 110),
        (order("BUY", 1, "LMT"), 321),
        (order("BUY", 1, "TRAIL"), 321),
        (order("BUY", 1, tif="NEVER"), 201),
        (order("BUY", 1, tif="GTD", good_till="20010101 10:00:00"), 321),
        (order("BUY", 1, "MOC", tif="IOC"), 201),
        (order("BUY", 1, "STP", aux_price=99.0, tif="OPG"), 201),
        (order("BUY", 1, e_trade_only=True), 10268),
        (order("BUY", 1, firm_quote_only=True), 10269),
        (order("BUY", 1, account="U7654321"), 321),
        (order("BUY", 1, parent_id=77), 135),
    ],
)
def test_what_tws_refuses_is_refused_with_its_code_and_uses_no_order_id(terms, code):
    desk = rising()
    desk.at(1)
    assert errors(desk.place(1, terms)) == [code]
    assert desk.ask(requests.NextId()) == [NextValidId(1)]
    assert desk.tws.exchange.is_idle


def test_a_contract_that_nobody_knows_is_error_200():
    desk = rising()
    desk.at(1)
    assert errors(desk.place(1, order("BUY", 1), symbol="NOBODY")) == [200]


def test_what_can_not_be_paid_for_is_rejected_and_inactive():
    desk = Desk(trades("AAPL", (1, 100.0), (2, 101.0)), rules=CASH, cash={"USD": 500.0})
    desk.at(1)
    assert told(desk.place(1, order("BUY", 10))) == ["error 201", "openOrder Inactive", "orderStatus Inactive"]


def test_a_cash_account_does_not_go_short():
    desk = Desk(trades("AAPL", (1, 100.0), (2, 101.0)), rules=CASH)
    desk.at(1)
    heard = desk.place(1, order("SELL", 10))
    assert told(heard) == ["error 201", "openOrder Inactive", "orderStatus Inactive"]
    assert isinstance(heard[0], Error)
    assert "would go short" in heard[0].text


def test_more_working_orders_than_tws_takes_on_one_side_are_rejected():
    desk = Desk(trades("AAPL", (1, 100.0), (2, 101.0)))
    desk.at(1)
    most = desk.settings.limits.working_orders_a_side
    for k in range(most):
        assert errors(desk.place(k + 1, order("BUY", 1, "LMT", limit_price=90.0))) == []
    assert errors(desk.place(most + 1, order("BUY", 1, "LMT", limit_price=90.0))) == [201]
    assert errors(desk.place(most + 1, order("SELL", 1, "LMT", limit_price=110.0))) == []


def test_a_read_only_api_takes_no_order_and_no_cancel():
    desk = Desk(trades("AAPL", (1, 100.0), (2, 101.0)), read_only=True)
    desk.at(1)
    assert errors(desk.place(1, order("BUY", 1))) == [321]
    assert errors(desk.ask(requests.CancelOrder(1))) == [321]
    assert errors(desk.ask(requests.GlobalCancel())) == [321]


def test_a_read_only_api_may_keep_orders_to_itself():
    desk = Desk(trades("AAPL", (1, 100.0), (2, 101.0)), read_only=True, read_only_tells_orders=False)
    desk.at(1)
    for asked in (requests.OpenOrders(), requests.AllOpenOrders(), requests.CompletedOrders(api_only=False)):
        assert errors(heard := desk.ask(asked)) == [321]
        assert len(heard) == 1


def test_a_change_replaces_price_and_quantity_of_a_working_order():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=90.0))
    heard = desk.place(1, order("BUY", 5, "LMT", limit_price=98.5))
    assert told(heard) == ["openOrder Submitted", "orderStatus Submitted"]
    assert isinstance(heard[0], OpenOrder)
    assert (heard[0].order.quantity, heard[0].order.limit_price) == (5.0, 98.5)
    desk.at(4)
    assert fills(desk.heard()) == [(5.0, 98.5)]


def test_a_change_of_side_or_type_does_not_match_the_original():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=90.0))
    assert errors(desk.place(1, order("SELL", 10, "LMT", limit_price=110.0))) == [105]
    assert errors(desk.place(1, order("BUY", 10))) == [105]


def test_an_order_that_is_not_transmitted_is_not_sent_and_not_told():
    desk = rising()
    desk.at(1)
    assert desk.place(1, order("BUY", 10, transmit=False)) == []
    desk.at(2)
    assert desk.heard() == []
    desk.place(1, order("BUY", 10, transmit=True))
    desk.at(3)
    assert fills(desk.heard()) == [(10.0, 102.0)]


def bracket(desk: Desk, stop: float, target: float) -> list[str]:
    heard = desk.place(1, order("BUY", 10, transmit=False))
    heard += desk.place(2, order("SELL", 10, "LMT", limit_price=target, parent_id=1, transmit=False))
    heard += desk.place(3, order("SELL", 10, "STP", aux_price=stop, parent_id=1, transmit=True))
    return told(heard)


def test_a_bracket_is_sent_with_its_last_order_and_its_children_wait_for_the_parent():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    assert bracket(desk, 98.0, 110.0) == ["openOrder PreSubmitted", "orderStatus PreSubmitted"] * 3
    desk.at(2)
    heard = desk.heard()
    assert fills(heard) == [(10.0, 101.0)]
    assert statuses(heard, 2) == ["Submitted"]
    assert [each.why_held for each in heard if isinstance(each, OrderStatus) and each.order_id == 3] == ["trigger"]
    desk.at(4)
    heard = desk.heard()
    assert fills(heard) == [(-10.0, 98.0)]
    assert statuses(heard, 2) == ["Cancelled"]


def test_children_end_with_a_parent_that_is_cancelled():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=90.0, transmit=False))
    desk.place(2, order("SELL", 10, "LMT", limit_price=110.0, parent_id=1, transmit=True))
    heard = desk.ask(requests.CancelOrder(1))
    assert statuses(heard, 1) == ["PendingCancel", "Cancelled"]
    assert statuses(heard, 2) == ["Cancelled"]


def test_one_order_of_a_group_cancels_the_other():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=98.5, oca_group="pair", oca_type=1))
    desk.place(2, order("BUY", 10, "LMT", limit_price=90.0, oca_group="pair", oca_type=1))
    desk.at(4)
    heard = desk.heard()
    assert fills(heard) == [(10.0, 98.5)]
    assert statuses(heard, 2) == ["Cancelled"]


def test_a_partial_fill_reduces_a_group_of_type_2_and_ends_one_of_type_1():
    rules = FillRules(margin_multiple=2.0, allow_short=True, volume_share=0.1)
    for kind, expected in ((2, ["Submitted"]), (1, ["Cancelled"])):
        desk = Desk(trades("AAPL", (1, 100.0, 100.0), (2, 98.0, 60.0)), rules=rules)
        desk.at(1)
        desk.place(1, order("BUY", 10, "LMT", limit_price=99.0, oca_group="pair", oca_type=kind))
        desk.place(2, order("BUY", 10, "LMT", limit_price=90.0, oca_group="pair", oca_type=kind))
        desk.at(2)
        heard = desk.heard()
        assert fills(heard) == [(6.0, 98.0)]
        assert statuses(heard, 2) == expected
        if kind == 2:
            changed = [each for each in heard if isinstance(each, OpenOrder) and each.order_id == 2]
            assert [each.order.quantity for each in changed] == [4.0]


def test_children_of_a_parent_that_ends_with_a_part_filled_are_told_to_be_for_that_part():
    rules = FillRules(margin_multiple=2.0, allow_short=True, volume_share=0.1)
    desk = Desk(trades("AAPL", (1, 100.0, 100.0), (2, 98.0, 60.0)), rules=rules)
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=99.0, transmit=False))
    desk.place(2, order("SELL", 10, "LMT", limit_price=110.0, parent_id=1, transmit=True))
    desk.at(2)
    assert fills(desk.heard()) == [(6.0, 98.0)]
    heard = desk.ask(requests.CancelOrder(1))
    assert statuses(heard, 1) == ["PendingCancel", "Cancelled"]
    changed = [each.order.quantity for each in heard if isinstance(each, OpenOrder) and each.order_id == 2]
    assert changed[:1] == [6.0]


def test_a_global_cancel_ends_the_orders_of_all_clients():
    desk = Desk(FALLING_AND_RISING)
    two = desk.client(2)
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=90.0))
    desk.place(1, order("BUY", 10, "LMT", limit_price=91.0), two)
    assert statuses(desk.ask(requests.GlobalCancel()), 1) == ["PendingCancel", "Cancelled"]
    assert statuses(desk.heard(two), 1) == ["PendingCancel", "Cancelled"]


def test_day_orders_end_with_the_session_and_others_do_not():
    desk = Desk(trades("AAPL", (1, 100.0), (CLOSE - 1, 101.0)))
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=90.0))
    desk.place(2, order("BUY", 10, "LMT", limit_price=90.0, tif="GTC"))
    desk.at(CLOSE + 1)
    heard = desk.heard()
    assert statuses(heard, 1) == ["Cancelled"]
    assert statuses(heard, 2) == []


def test_an_order_outside_hours_is_held_with_a_warning_and_works_from_the_open():
    desk = Desk(trades("AAPL", (-100, 99.0), (1, 100.0), (2, 101.0)), start=ns(-120.0))
    desk.at(-60)
    heard = desk.place(1, order("BUY", 10, "LMT", limit_price=90.0))
    assert told(heard) == ["error 399", "openOrder PreSubmitted", "orderStatus PreSubmitted"]
    assert isinstance(heard[0], Error)
    assert "until 2024-01-03 09:30:00 US/Eastern" in heard[0].text
    desk.at(0)
    assert statuses(desk.heard(), 1) == ["Submitted"]


def test_an_order_is_sent_on_at_its_good_after_time():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    heard = desk.place(1, order("BUY", 10, good_after="20240103 09:30:04 US/Eastern"))
    assert told(heard) == ["openOrder PreSubmitted", "orderStatus PreSubmitted"]
    desk.at(5)
    assert fills(desk.heard()) == [(10.0, 97.0)]


def test_what_a_what_if_costs_is_told_and_nothing_is_placed():
    desk = rising()
    desk.at(1)
    heard = desk.place(1, order("BUY", 10, what_if=True))
    assert told(heard) == ["openOrder PreSubmitted"]
    assert isinstance(heard[0], OpenOrder)
    assert float(heard[0].state.init_margin_change) == pytest.approx(10 * 100.0 / 2.0)
    assert desk.ask(requests.NextId()) == [NextValidId(1)]
    desk.at(2)
    assert desk.heard() == []


def test_orders_wait_in_tws_while_the_exchange_can_not_be_reached_and_fills_go_on():
    desk = Desk(FALLING_AND_RISING)
    desk.at(1)
    desk.place(1, order("BUY", 10, "LMT", limit_price=98.5))
    desk.tws.orders.disconnect_exchange()
    heard = desk.place(2, order("BUY", 3))
    assert statuses(heard, 2) == ["PendingSubmit"]
    desk.at(4)
    assert fills(desk.heard()) == [(10.0, 98.5)]
    desk.tws.orders.connect_exchange(desk.tws.now)
    desk.at(5)
    assert fills(desk.heard()) == [(3.0, 97.0)]


def test_a_quote_fills_a_market_order_at_its_far_side():
    desk = Desk(quotes("AAPL", (1, 99.0, 101.0), (2, 99.5, 101.5)))
    desk.at(1)
    desk.place(1, order("BUY", 10))
    desk.at(2)
    assert fills(desk.heard()) == [(10.0, 101.5)]


def test_the_contract_of_an_order_is_told_in_full():
    desk = rising()
    desk.at(1)
    opened = desk.place(1, order("BUY", 1))[0]
    assert isinstance(opened, OpenOrder)
    assert opened.contract == desk.tws.contracts.wire(0)
    assert opened.contract.con_id > 0
    assert opened.order.account == "DU1234567"
    assert stock().con_id == 0
