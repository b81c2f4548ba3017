"""The terms of an order that a strategy may not give, and what it is told."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from papertape import Side, Strategy, TimeInForce, Trade, backtest, errors
from strategies.order_terms import requested

NOW = 1_704_983_400_000_000_000  # 2024-01-11 09:30 in New York


def good_till(until: Any, now: int = NOW) -> int:
    return requested(0, "X", Side.BUY, 1, {"tif": "GTD", "until": until}, now).expire_ts


@pytest.mark.parametrize("until", [NOW + 1, np.int64(NOW + 1)])
def test_a_good_till_date_order_may_end_at_any_later_time(until: Any) -> None:
    assert good_till(until) == NOW + 1
    assert type(good_till(until)) is int


@pytest.mark.parametrize("until", [NOW, NOW - 1, NOW // 1_000_000_000, 1, -5])
def test_a_good_till_date_order_that_would_have_ended_by_now_is_refused(until: int) -> None:
    with pytest.raises(
        errors.StrategyError, match=rf"order for X: until={until} \(.* UTC\) is not after now; give UTC"
    ):
        good_till(until)


@pytest.mark.parametrize("until", ["15:30", 1.5, np.float64(NOW + 1.0)])
def test_a_time_that_is_no_whole_number_of_nanoseconds_is_refused(until: Any) -> None:
    with pytest.raises(errors.StrategyError, match="is no whole number; give UTC nanoseconds"):
        good_till(until)


@pytest.mark.parametrize("terms", [{"tif": "GTD"}, {"tif": TimeInForce.GTC, "until": NOW + 1}, {"until": NOW + 1}])
def test_gtd_and_until_go_together(terms: Any) -> None:
    with pytest.raises(errors.StrategyError, match="GTD and until go together"):
        requested(0, "X", Side.BUY, 1, terms, NOW)


@pytest.mark.parametrize("name", ["limit", "stop", "trail", "trail_fraction"])
@pytest.mark.parametrize("value", [math.nan, math.inf, None, "99", np.float64("nan")])
def test_a_price_that_is_unknown_makes_no_order_without_one(name: Any, value: Any) -> None:
    with pytest.raises(errors.StrategyError, match=rf"order for X: {name}=.* is no price; leave {name} out"):
        requested(0, "X", Side.BUY, 1, {name: value}, NOW)  # type: ignore[misc]


class Gives(Strategy):
    """Gives one order of some terms at the first trade."""

    def on_start(self) -> None:
        self.subscribe(self.symbols)

    def on_trade(self, trade: Trade) -> None:
        self.give(trade)

    def give(self, trade: Trade) -> None:
        self.buy(trade.symbol, 1, tif="GTD", until=trade.ts)


class Brackets(Gives):
    """Enters at the market and at a limit."""

    def give(self, trade: Trade) -> None:
        if trade.previous != trade.previous:
            self.bracket(trade.symbol, Side.BUY, 1, stop=9, target=12)
            self.bracket(trade.symbol, Side.BUY, 1, stop=9, limit=9.5)


def trades() -> dict[str, Any]:
    return {"X": {"ts": NOW + np.arange(3) * 1_000_000_000, "price": np.full(3, 10.0), "size": np.full(3, 1.0)}}


def test_a_strategy_that_gives_an_order_until_now_is_told_so() -> None:
    with pytest.raises(errors.StrategyError, match=r"until=.* is not after now"):
        backtest(Gives, trades())


def test_a_brackets_entry_is_at_the_market_unless_it_has_a_limit() -> None:
    orders = backtest(Brackets, trades()).orders
    assert orders["type"].to_list() == ["MARKET", "STOP", "LIMIT", "LIMIT", "STOP"]
