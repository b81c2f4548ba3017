"""Orders of strategies written for backtrader in a backtest: what becomes of each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("backtrader", reason="backtrader is not installed: pip install '.[backtrader]'")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install '.[backtrader]'")

import backtrader as bt

from tests.backtests.hosted_runs import both, fills, flat, played
from tests.backtests.hosted_strategies import planned

# -- orders ------------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("give", "bar", "price"),
    [
        (lambda s: s.buy(size=5), (101.0, 102.0, 98.0, 100.0), 101.0),
        (lambda s: s.buy(size=5, exectype=bt.Order.Limit, price=99.0), (100.0, 100.5, 98.0, 100.0), 99.0),
        (lambda s: s.buy(size=5, exectype=bt.Order.Stop, price=101.0), (100.0, 102.0, 99.5, 100.0), 101.0),
        (
            lambda s: s.buy(size=5, exectype=bt.Order.StopLimit, price=101.0, plimit=103.0),
            (100.0, 102.0, 99.5, 101.5),
            100.0,  # it works as a limit from the bar after the one that triggered it on
        ),
        (lambda s: s.buy(size=5, exectype=bt.Order.StopTrail, trailamount=1.0), (100.0, 102.0, 100.0, 100.0), 101.0),
    ],
    ids=["market", "limit", "stop", "stop-limit", "trail"],
)
def test_an_order_of_each_type_fills_as_it_says(
    give: Callable[[Any], Any], bar: tuple[float, float, float, float], price: float, preload: bool
) -> None:
    them, found = played(planned({3: lambda s: s.give(give(s))}), flat((4, bar)), preload)
    assert fills(found) == [("BUY", 5.0, price)]
    assert them.statuses(1) == ["Submitted", "Accepted", "Completed"]
    assert them.position.size == 5


@both
def test_a_bracket_is_one_family_whose_second_exit_ends_when_the_first_fills(preload: bool) -> None:
    def give(s: Any) -> None:
        s.give(*s.buy_bracket(size=5, exectype=bt.Order.Market, stopprice=98.0, limitprice=103.0))

    them, found = played(planned({3: give}), flat((6, (102.0, 104.0, 101.0, 103.5))), preload)
    assert fills(found) == [("BUY", 5.0, 100.0), ("SELL", 5.0, 103.0)]
    assert [them.statuses(k)[-1] for k in (1, 2, 3)] == ["Completed", "Canceled", "Completed"]
    parents = found.record.orders["parent"].tolist()
    assert parents == [0, 1, 1]
    assert found.record.orders["group"].tolist()[0] == 0
    assert len(set(found.record.orders["group"].tolist()[1:])) == 1
    assert [each[1:] for each in them.heard("trade")] == [("open", 0.0, 0.0), ("closed", 15.0, 15.0)]


@both
def test_orders_that_name_each_other_with_oco_are_one_group_at_the_broker(preload: bool) -> None:
    def exits(s: Any) -> None:
        stop = s.sell(size=5, exectype=bt.Order.Stop, price=98.0)
        s.give(stop, s.sell(size=5, exectype=bt.Order.Limit, price=103.0, oco=stop))

    plan = {2: lambda s: s.give(s.buy(size=5)), 4: exits}
    them, found = played(planned(plan), flat((7, (98.5, 99.0, 97.0, 98.0))), preload)
    groups = found.record.orders["group"].tolist()
    assert groups[0] == 0
    assert groups[1] == groups[2] > 0
    assert [them.statuses(k)[-1] for k in (1, 2, 3)] == ["Completed", "Completed", "Canceled"]
    assert not [note for note in found.record.notes if note.code == "oco"]


@both
def test_an_oco_that_comes_later_than_its_order_is_kept_by_the_program_which_says_so(preload: bool) -> None:
    plan = {
        2: lambda s: s.give(s.buy(size=5)),
        4: lambda s: s.give(s.sell(size=5, exectype=bt.Order.Stop, price=98.0)),
        5: lambda s: s.give(s.sell(size=5, exectype=bt.Order.Limit, price=103.0, oco=s.orders[1])),
    }
    found_of = planned(plan)
    them, found = played(found_of, flat((7, (98.5, 99.0, 97.0, 98.0))), preload, allow_short=True)
    assert [them.statuses(k)[-1] for k in (1, 2, 3)] == ["Completed", "Completed", "Canceled"]
    assert [note.code for note in found.record.notes].count("oco") == 1


@both
def test_cancelling_one_of_a_group_cancels_the_others_as_in_backtrader(preload: bool) -> None:
    def exits(s: Any) -> None:
        stop = s.sell(size=5, exectype=bt.Order.Stop, price=98.0)
        s.give(stop, s.sell(size=5, exectype=bt.Order.Limit, price=103.0, oco=stop))

    plan = {2: lambda s: s.give(s.buy(size=5)), 4: exits, 6: lambda s: s.cancel(s.orders[1])}
    them, found = played(planned(plan), flat(), preload)
    assert [them.statuses(k)[-1] for k in (2, 3)] == ["Canceled", "Canceled"]
    assert len(fills(found)) == 1


@both
def test_an_order_given_and_cancelled_in_one_callback_is_never_sent(preload: bool) -> None:
    def give(s: Any) -> None:
        s.give(s.buy(size=5, exectype=bt.Order.Limit, price=99.0))
        s.cancel(s.orders[0])

    them, found = played(planned({2: give}), flat(), preload)
    assert them.statuses(1) == ["Submitted", "Canceled"]
    assert len(found.record.orders["ts"]) == 0


@both
def test_a_partial_execution_is_heard_as_one(preload: bool) -> None:
    plan = {2: lambda s: s.give(s.buy(size=150))}
    them, _ = played(planned(plan), flat(), preload, volume=100.0, volume_share=0.5)
    said = [(status, size) for _, _, status, size, *_ in them.heard("order")]
    assert said == [("Submitted", 0), ("Accepted", 0), ("Partial", 50), ("Partial", 100), ("Completed", 150)]


@both
def test_what_the_guard_refuses_is_rejected_with_its_reason(preload: bool) -> None:
    plan = {2: lambda s: s.give(s.buy(size=50)), 3: lambda s: s.give(s.sell(size=1))}
    them, found = played(planned(plan), flat(), preload, guard={"max_order_quantity": 20})
    assert them.statuses(1) == ["Submitted", "Rejected"]
    assert them.statuses(2) == ["Submitted", "Rejected"], "it may not go short unless it is told that it may"
    text = "\n".join(line for _, line in found.record.log)
    assert "BUY 50 X Market" in text
    assert "would go short" in text
    assert "20" in them.orders[0].info["reason"]


@both
def test_an_order_that_can_not_be_paid_is_a_margin_call(preload: bool) -> None:
    them, _ = played(planned({2: lambda s: s.give(s.buy(size=10_000))}), flat(), preload)
    assert them.statuses(1)[-1] == "Margin"


@both
@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"exectype": 7, "price": 1.0}, "Historical orders can not be given"),
        ({"exectype": 5}, "needs trailamount= or trailpercent="),
        ({"valid": dt.datetime(2020, 1, 1)}, "is not after now"),
        ({"orderType": "LIT"}, "orderType= is a field of Interactive Brokers' own"),
        ({"m_outsideRTH": True, "m_lmtPrice": 3.0}, "lmtPrice= is a field"),
        ({"exectype": 2, "price": float("nan")}, "limit price nan is no price"),
    ],
    ids=["historical", "trail without", "past", "field", "field of IbPy", "nan"],
)
def test_what_can_not_be_had_is_rejected_in_one_line(terms: dict[str, Any], words: str, preload: bool) -> None:
    them, found = played(planned({2: lambda s: s.give(s.buy(size=1, **terms))}), flat(), preload)
    assert len(found.record.orders["ts"]) == 0
    assert [line for _, line in found.record.log if words in line], found.record.log
    assert them.orders[0].status == bt.Order.Rejected


@both
def test_lifetimes_are_those_of_valid(preload: bool) -> None:
    limit = {"size": 1, "exectype": bt.Order.Limit, "price": 50.0}

    def give(s: Any) -> None:
        at = s.data.datetime.datetime(0) + dt.timedelta(minutes=2)
        for valid in (None, bt.Order.DAY, 0, dt.timedelta(minutes=3), at, bt.date2num(at), dt.date(2024, 2, 1)):
            s.give(s.buy(**limit, valid=valid))
        s.give(s.buy(size=1, exectype=bt.Order.Close))

    them, found = played(planned({2: give}), flat(), preload)
    assert found.record.orders["tif"].tolist() == ["GTC", "DAY", "DAY", "GTD", "GTD", "GTD", "GTD", "DAY"]
    assert [them.statuses(k)[-1] for k in (4, 5, 6)] == ["Expired"] * 3
    assert them.statuses(1)[-1] == "Accepted"


@both
def test_short_selling_and_reversing_keep_positions_and_trades(preload: bool) -> None:
    plan = {2: lambda s: s.give(s.sell(size=5)), 4: lambda s: s.give(s.buy(size=8))}
    bars = flat((5, (98.0, 98.5, 97.5, 98.0)))
    them, found = played(planned(plan), bars, preload, allow_short=True)
    assert [each[1:] for each in them.heard("trade")] == [("open", 0, 0), ("closed", 10.0, 10.0), ("open", 0, 0)]
    assert them.position.size == 3
    assert found.record.positions["quantity"].tolist() == [3.0]


@both
def test_what_is_given_and_cancelled_when_the_run_ends_reaches_the_broker(preload: bool) -> None:
    def stop(s: Any) -> None:
        s.cancel(s.orders[0])
        s.give(s.buy(size=2, exectype=bt.Order.Limit, price=50.0))

    plan = {2: lambda s: s.give(s.buy(size=1, exectype=bt.Order.Limit, price=50.0))}
    _, found = played(planned(plan, stop=stop), flat(), preload)
    assert found.record.orders["quantity"].tolist() == [1.0, 2.0]
    assert found.record.orders["status"].tolist() == ["CANCELLED", "SUBMITTED"]


@both
def test_commissions_are_the_runs(preload: bool) -> None:
    def give(s: Any) -> None:
        s.broker.setcommission(commission=0.5)
        s.give(s.buy(size=300))

    them, found = played(planned({2: give, 4: lambda s: s.give(s.close())}), flat(), preload, fees="per-share:0.01:0")
    assert [each[-1] for each in them.heard("order") if each[2] == "Completed"] == [3.0, 3.0]
    assert them.heard("trade")[-1][1:] == ("closed", 0.0, -6.0)
    assert [note.code for note in found.record.notes].count("commission") == 1


@both
def test_an_order_given_when_another_is_heard_of_takes_effect(preload: bool) -> None:
    def protect(s: Any) -> None:
        s.give(s.sell(size=5, exectype=bt.Order.Stop, price=98.0))

    strategy = planned({2: lambda s: s.give(s.buy(size=5))}, on_status={(1, "Completed"): protect})
    them, found = played(strategy, flat((6, (98.5, 99.0, 97.0, 98.0))), preload)
    assert fills(found) == [("BUY", 5.0, 100.0), ("SELL", 5.0, 98.0)]
    assert them.statuses(2)[-1] == "Completed"
