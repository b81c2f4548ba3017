"""Where our engine and backtrader's broker differ: each line of docs/backtrader.md with both results."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from papertape.core.model import Side
from tests.backtests.two_engines import (
    OnBars,
    OnBarsShort,
    OnTrades,
    OnTradesShort,
    S,
    Scripted,
    bars,
    both,
    ends,
    fills,
    run,
    trades,
)

bt = pytest.importorskip("backtrader", reason="needs the extra backtrader")

BUY, SELL = Side.BUY, Side.SELL
PAGE = Path(__file__).parents[2] / "docs" / "backtrader.md"


def test_every_difference_of_the_page_is_shown_here_and_the_other_way_round() -> None:
    section = PAGE.read_text(encoding="utf-8").split("## Where the two engines differ")[1].split("\n## ")[0]
    named = set(re.findall(r"`(test_\w+)`", section))
    here = {name for name in globals() if name.startswith("test_") and "every_difference" not in name}
    assert named == here


# -- prices -----------------------------------------------------------------------------------------------------------


def test_a_limit_that_a_trade_jumps_through_pays_its_limit_here_and_the_trade_there() -> None:
    ours, theirs = both(OnTrades, trades([10.0, 10.0, 9.0]), {1: lambda s: s.buy("AAA", 1, limit=9.5)})
    assert fills(ours) == [(1, 3.0, 1.0, 9.5)]
    assert fills(theirs) == [(1, 3.0, 1.0, 9.0)]


def test_a_limit_that_is_touched_fills_there_and_here_where_the_run_says_so() -> None:
    market, script = trades([10.0, 10.0, 9.5]), {1: lambda s: s.buy("AAA", 1, limit=9.5)}
    ours, theirs = both(OnTrades, market, script)
    assert fills(ours) == fills(theirs) == [(1, 3.0, 1.0, 9.5)]
    strict = run(OnTrades, market, script, "papertape", limit_fill="through")[1]
    assert fills(strict) == []


def test_a_stop_limit_may_fill_on_the_trade_that_triggers_it_there_and_on_the_next_here() -> None:
    script = {1: lambda s: s.buy("AAA", 1, stop=11.0, limit=12.0)}
    ours, theirs = both(OnTrades, trades([10.0, 11.0, 11.5]), script)
    assert fills(ours) == [(1, 3.0, 1.0, 11.5)]
    assert fills(theirs) == [(1, 2.0, 1.0, 11.0)]


def test_a_stop_limit_may_fill_in_the_bar_that_triggers_it_there_and_from_the_next_here() -> None:
    market = bars([(10, 10, 10, 10), (10, 12, 10, 12), (12, 12, 11.5, 12)])
    ours, theirs = both(OnBars, market, {1: lambda s: s.buy("AAA", 1, stop=11.0, limit=12.5)})
    assert fills(ours) == [(1, 120.0, 1.0, 12.0)]
    assert fills(theirs) == [(1, 120.0, 1.0, 11.0)]  # the end of the bar that triggered it


# -- what a bar leaves open -------------------------------------------------------------------------------------------


def test_exits_act_in_the_bar_of_their_entry_here_and_from_the_next_there() -> None:
    market = bars([(10, 10, 10, 10), (10, 10, 8, 9), (9, 9, 9, 9), (8.5, 8.5, 8, 8)])
    script = {1: lambda s: s.bracket("AAA", BUY, 1, stop=8.5, target=20.0)}
    ours, theirs = both(OnBars, market, script)
    assert fills(ours) == [(1, 60.0, 1.0, 10.0), (2, 120.0, 1.0, 8.5)]
    assert fills(theirs) == [(1, 60.0, 1.0, 10.0), (2, 180.0, 1.0, 8.5)]


def test_a_bar_that_holds_stop_and_target_fills_the_stop_here_and_the_older_there() -> None:
    def exits(s: Scripted) -> list[object]:
        group = s.new_group()
        return [s.sell("AAA", 1, limit=11.0, group=group), s.sell("AAA", 1, stop=9.0, group=group)]

    ours, theirs = both(OnBarsShort, bars([(10, 10, 10, 10), (10, 11.5, 8.5, 10)]), {1: exits})
    assert fills(ours) == [(2, 120.0, 1.0, 9.0)]
    assert fills(theirs) == [(1, 120.0, 1.0, 11.0)]


def test_what_one_bar_time_has_cash_for_goes_by_instrument_here_and_by_the_older_order_there() -> None:
    market = [bars([(10, 10, 10, 10), (11, 11, 11, 11)], name) for name in ("AAA", "BBB")]
    script = {1: lambda s: [s.buy("BBB", 5), s.buy("AAA", 5)]}
    ours, theirs = both(OnBars, market, script, cash=100.0)
    assert fills(ours) == [(2, 60.0, 5.0, 11.0)]
    assert fills(theirs) == [(1, 60.0, 5.0, 11.0)]


# -- groups and families ----------------------------------------------------------------------------------------------


def test_cancelling_one_of_a_group_leaves_the_others_here_and_ends_them_there() -> None:
    def group(s: Scripted) -> list[object]:
        number = s.new_group()
        return [s.sell("AAA", 1, limit=12.0, group=number), s.sell("AAA", 1, stop=9.0, group=number)]

    script = {1: group, 2: lambda s: s.cancel(s.made[1])}
    ours, theirs = both(OnTradesShort, trades([10.0, 10.0, 9.0, 9.0]), script)
    assert ends(ours) == ["CANCELLED", "FILLED"]
    assert ends(theirs) == ["CANCELLED", "CANCELLED"]
    assert list(theirs.orders["reason"]) == [
        "cancelled on request",
        "backtrader ends orders of one group or bracket together",
    ]


def test_cancelling_one_exit_of_a_bracket_leaves_the_other_here_and_ends_it_there() -> None:
    script = {
        1: lambda s: s.bracket("AAA", BUY, 1, stop=9.0, target=12.0),
        3: lambda s: s.cancel(s.made[-2]),  # the target; nothing was made at 2
    }
    ours, theirs = both(OnTrades, trades([10.0, 10.0, 10.0, 9.0, 9.0]), script)
    assert ends(ours) == ["FILLED", "FILLED", "CANCELLED"]
    assert ends(theirs) == ["FILLED", "CANCELLED", "CANCELLED"]


def test_the_day_of_one_of_a_group_ends_it_alone_here_and_all_of_them_there() -> None:
    def group(s: Scripted) -> list[object]:
        number = s.new_group()
        return [s.sell("AAA", 1, limit=12.0, group=number), s.sell("AAA", 1, stop=9.0, tif="GTC", group=number)]

    ours, theirs = both(OnTradesShort, trades([10.0, 10.0, 9.0], at=[1, 2, 86_401]), {1: group})
    assert ends(ours) == ["EXPIRED", "FILLED"]
    assert ends(theirs) == ["EXPIRED", "CANCELLED"]


# -- cash -------------------------------------------------------------------------------------------------------------


def test_what_can_not_be_paid_for_is_rejected_at_once_here_and_at_the_next_event_there() -> None:
    ours, theirs = both(OnTrades, trades([10.0, 10.0]), {1: lambda s: s.buy("AAA", 11)}, cash=100.0)
    assert ends(ours) == ends(theirs) == ["REJECTED"]
    assert list(ours.orders["reason"]) == list(theirs.orders["reason"]) == ["not enough cash"]
    assert theirs.orders["ts_final"][0] - ours.orders["ts_final"][0] == S


def test_a_buy_must_find_its_fee_when_it_is_given_there_and_when_it_fills_here() -> None:
    market, script = trades([10.0, 9.0]), {1: lambda s: s.buy("AAA", 10)}
    ours, theirs = both(OnTrades, market, script, cash=100.0, fees="percent:1")
    assert ends(ours) == ["FILLED"]
    assert ends(theirs) == ["REJECTED"]


def test_cash_that_working_buys_need_is_kept_for_them_here_and_not_there() -> None:
    script = {1: lambda s: s.buy("AAA", 6, limit=9.0), 2: lambda s: s.buy("AAA", 6, limit=9.5)}
    ours, theirs = both(OnTrades, trades([10.0, 10.0, 9.5]), script, cash=100.0)
    assert ends(ours) == ["EXPIRED", "REJECTED"]
    assert ends(theirs) == ["EXPIRED", "FILLED"]


def test_a_stop_limit_is_expected_to_cost_its_limit_here_and_its_stop_there() -> None:
    script = {1: lambda s: s.buy("AAA", 9, stop=11.0, limit=12.0)}
    ours, theirs = both(OnTrades, trades([10.0, 11.0]), script, cash=100.0)
    assert ends(ours) == ["REJECTED"]
    assert ends(theirs) == ["FILLED"]


def test_an_order_that_can_not_be_paid_for_takes_along_those_given_with_it_there() -> None:
    script = {1: lambda s: s.buy("AAA", 1), 2: lambda s: [s.buy("AAA", 1_000), s.sell("AAA", 1)]}
    ours, theirs = both(OnTrades, trades([10.0, 10.0, 10.0, 10.0]), script, cash=100.0)
    assert ends(ours) == ["FILLED", "REJECTED", "FILLED"]
    assert ends(theirs) == ["FILLED", "REJECTED", "REJECTED"]


def test_short_sales_are_limited_by_net_liquidation_here_and_by_nothing_there() -> None:
    ours, theirs = both(OnTradesShort, trades([10.0, 10.0]), {1: lambda s: s.sell("AAA", 1_000)}, cash=100.0)
    assert ends(ours) == ["REJECTED"]
    assert ends(theirs) == ["FILLED"]


def test_a_sale_that_goes_short_against_the_strategys_word_is_rejected_here_and_noted_there() -> None:
    held = {1: lambda s: s.bracket("AAA", BUY, 1, stop=9.0), 3: lambda s: s.order("AAA", SELL, 1, group=7)}
    ours, theirs = both(OnTrades, trades([10.0, 10.0, 10.0, 10.0, 9.0]), held)
    assert ends(ours) == ["FILLED", "REJECTED", "FILLED"]
    assert ends(theirs) == ["FILLED", "FILLED", "FILLED"]
    assert theirs.positions["quantity"].tolist() == [-1.0]
    assert [each.code for each in theirs.notes if each.severity == "warning"] == ["went_short"]


def test_an_order_that_closes_and_opens_without_the_cash_is_rejected_here_and_closes_there() -> None:
    script = {1: lambda s: s.sell("AAA", 5), 2: lambda s: s.buy("AAA", 12)}
    market = trades([10.0, 10.0, 20.0])
    ours, theirs = both(OnTradesShort, market, script, cash=100.0)
    assert ends(ours) == ["FILLED", "REJECTED"]
    assert ends(theirs) == ["FILLED", "CANCELLED"]
    assert fills(theirs)[1:] == [(2, 3.0, 5.0, 20.0)]


# -- when ---------------------------------------------------------------------------------------------------------------


def test_an_order_never_fills_by_what_was_before_it_here_which_cerebro_alone_would_do() -> None:
    class Late(bt.Strategy):  # type: ignore[misc, name-defined]  # it has no types
        def next(self) -> None:
            if len(self.data1) == 2 and not getattr(self, "given", None):
                self.given = self.buy(data=self.data0, size=1, price=10.0, exectype=bt.Order.Limit)

    cerebro = bt.Cerebro(stdstats=False)
    days = bt.feeds.PandasData
    import pandas as pd

    columns = ["open", "high", "low", "close", "volume"]
    first = pd.DataFrame([[9.0] * 5, [20.0] * 5], columns=columns, index=pd.to_datetime(["2024-01-02", "2024-01-08"]))
    index = pd.to_datetime(["2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"])
    second = pd.DataFrame([[50.0] * 5] * 4, columns=columns, index=index)
    cerebro.adddata(days(dataname=first))
    cerebro.adddata(days(dataname=second))
    cerebro.addstrategy(Late)
    order = cerebro.run()[0].given
    assert bt.num2date(order.executed.dt).day == 2  # given on the 4th, it has the price of the 2nd
    assert order.executed.price == 9.0

    market = [trades([9.0, 20.0], at=[1, 5]), trades([50.0] * 4, "BBB", at=[2, 3, 4, 5])]
    ours, theirs = both(OnTrades, market, {3: lambda s: s.buy("AAA", 1, limit=10.0)})
    assert fills(ours) == fills(theirs) == []
