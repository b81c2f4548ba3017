"""Prices of zero and below: refused unless the instrument is named as one that has them, and then played as they are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from feeds.load import DataOptions, load_tape
from papertape import Strategy, Trade, backtest, crossed, errors

S = 1_000_000_000
OPEN = 1_704_292_200 * S  # 2024-01-03 09:30 New York
PRICES = [2.0, 1.0, 0.5, 0.0, -1.0, -3.0, -2.0, 0.0, 1.0, 2.0]


def csv(folder: Path, prices: list[float]) -> Path:
    lines = [f"{OPEN + k * S},{price},1000" for k, price in enumerate(prices)]
    (folder / "SPREAD.csv").write_text("\n".join(["ts,price,size", *lines]) + "\n")
    return folder / "SPREAD.csv"


def arrays(prices: Any) -> dict[str, Any]:
    n = len(prices)
    return {"SPREAD": {"ts": OPEN + np.arange(n) * S, "price": np.array(prices), "size": np.full(n, 1000.0)}}


class Through(Strategy):
    """Buys 100 for 0.50, sells 150 at -1, buys the rest back at 0."""

    allow_short = True
    ORDERS: ClassVar = {1: 100, 3: -150, 6: 50}

    def on_start(self) -> None:
        self.subscribe(self.symbols)

    def on_trade(self, trade: Trade) -> None:
        quantity = self.ORDERS.get((trade.ts - OPEN) // S)
        self.record("change", trade.change)
        if quantity is not None:
            (self.buy if quantity > 0 else self.sell)(trade.symbol, abs(quantity))


@pytest.mark.parametrize("source", ["csv", "arrays"])
def test_a_run_over_a_price_that_crosses_zero_is_the_one_worked_out_by_hand(tmp_path: Path, source: str) -> None:
    data = str(csv(tmp_path, PRICES)) if source == "csv" else arrays(PRICES)
    run = backtest(Through, data, signed=["SPREAD"], fees="none", cash=1000, cache=False)
    fills = list(run.fills[["side", "quantity", "price"]].itertuples(index=False, name=None))
    assert fills == [("BUY", 100.0, 0.5), ("SELL", 150.0, -1.0), ("BUY", 50.0, 0.0)]
    # cash: 1000 - 50, then 150 paid for selling at -1, then 50 for nothing; the short of 50 was at -3 and -2 between
    assert run.equity.to_list() == [1000, 950, 850, 950, 900, 800]
    assert run.metrics["max_drawdown"] == pytest.approx(-0.2)
    assert run.trades["pnl"].to_list() == [-150, -50]
    assert run.trades["mfe"].to_list() == [0, 100]


def test_the_change_after_a_price_of_zero_is_unknown() -> None:
    changes = backtest(Through, arrays(PRICES), signed=["SPREAD"]).custom["change"].to_list()
    assert math.isnan(changes[4])
    assert math.isnan(changes[8])
    assert changes[1] == -0.5


class Holds(Strategy):
    """Buys 10 before the first trade and hears one crossing only, so that the rest is walked in blocks."""

    def on_start(self) -> None:
        self.buy("SPREAD", 10)
        self.subscribe("SPREAD", when=crossed(0))

    def on_trade(self, trade: Trade) -> None:
        self.record("crossed", trade.price)
        self.unsubscribe("SPREAD")


def test_equity_and_drawdown_of_a_long_walk_through_zero_are_those_of_its_prices() -> None:
    prices = np.round(3 + np.cumsum(np.random.default_rng(7).normal(-0.001, 0.05, 20_000)), 2)
    assert prices.min() < -1 < 1 < prices.max()
    run = backtest(Holds, arrays(prices), signed=["SPREAD"], fees="none", cash=1000)
    equity = 1000 + 10 * (prices - prices[0])
    assert run.metrics["max_drawdown"] == pytest.approx((equity / np.maximum.accumulate(equity) - 1).min())
    assert run.metrics["net_profit"] == pytest.approx(equity[-1] - 1000)
    assert run.custom["crossed"].to_list() == [prices[np.flatnonzero(prices <= 0)[0]]]


def test_a_guard_trips_on_the_price_below_zero_that_crosses_its_limit() -> None:
    run = backtest(
        Holds, arrays([1.0, 1.0, -1.0, -4.0, -5.0]), signed=["SPREAD"], fees="none", cash=1000,
        guard={"max_drawdown": 0.04, "reference": "start"},
    )  # fmt: skip
    trip = run.guard[run.guard["kind"] == "trip"]
    assert [stamp.value for stamp in trip["ts"]] == [OPEN + 3 * S]


@pytest.mark.parametrize("source", ["csv", "arrays"])
def test_a_price_of_zero_or_below_is_refused_where_the_instrument_is_not_named(tmp_path: Path, source: str) -> None:
    data = str(csv(tmp_path, PRICES)) if source == "csv" else arrays(PRICES)
    with pytest.raises(errors.DataError, match=r"is not above zero|is not a finite price above 0"):
        backtest(Through, data, cache=False)


def test_the_others_of_a_file_are_refused_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text(f"ts,symbol,price,size\n{OPEN},SPREAD,-1,5\n{OPEN},AAPL,-1,5\n")
    with pytest.raises(errors.DataError, match=r"all.csv:3:26: price -1 is not above zero"):
        load_tape(path, DataOptions(signed=["SPREAD", "AAPL"][:1], cache=False))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"price": [1.0, np.nan]}, "price nan at index 1 is not a finite price"),
        ({"price": [1.0, -np.inf]}, "price -inf at index 1 is not a finite price"),
        (
            {"ts": [OPEN, OPEN + S, OPEN], "price": [1.0, 2.0, 3.0], "size": [1.0, 1.0, 1.0]},
            "at index 2 is before the one ahead of it",
        ),
    ],
)
def test_arrays_of_a_signed_instrument_are_checked_for_all_else(change: dict[str, Any], text: str) -> None:
    data = {"SPREAD": {**arrays([1.0, -1.0])["SPREAD"], **{name: np.array(each) for name, each in change.items()}}}
    with pytest.raises(errors.DataError, match=text):
        load_tape(data, DataOptions(signed=["SPREAD"]))


@pytest.mark.parametrize(("signed", "text"), [(["SPRAED"], 'did you mean "SPREAD"'), ("SPREAD", "a list of symbols")])
def test_what_is_named_must_be_there(signed: Any, text: str) -> None:
    with pytest.raises(errors.ConfigError, match=text):
        load_tape(arrays(PRICES), DataOptions(signed=signed))
