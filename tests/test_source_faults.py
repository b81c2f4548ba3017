"""The faults of the two source systems that concern a backtest, each made impossible: one test a fault.

The numbers are those of the list in the source systems' description. What concerns a connection only (10: an empty
error handler) is tested where the connection is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from papertape import Fill, OrderUpdate, Run, Strategy, Trade, backtest, errors, moved
from papertape.core.guard import Basis
from strategies.tick_momentum import TickMomentum

OPEN = 1_704_983_400_000_000_000  # 2024-01-11 09:30 in New York
SECOND = 1_000_000_000


def trades(*prices: float, first_s: float = 0) -> dict[str, Any]:
    """Trades a second apart."""
    ts = OPEN + (np.arange(len(prices)) * SECOND) + int(first_s * SECOND)
    return {"ts": ts, "price": np.array(prices, dtype=float), "size": np.full(len(prices), 100.0)}


def seconds(run: Run, column: str = "ts", table: str = "fills") -> list[float]:
    times = getattr(run, table)[column]
    return [(ns - OPEN) / SECOND for ns in times.astype("int64")]


class BuysAtOnce(Strategy):
    """Buys 500 on the first trade that it hears."""

    quantity: float = 500.0

    def on_start(self) -> None:
        self.heard: list[tuple[float, bool]] = []
        self.refused: list[str] = []
        self.subscribe(self.symbols)

    def on_trade(self, trade: Trade) -> None:
        order = self.buy(trade.symbol, self.quantity) if not self.position(trade.symbol).committed else None
        self.heard.append((trade.price, order is not None and order.number > 0))
        if order is not None and order.reason:
            self.refused.append(order.reason)


# -- 1 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [5, 5.0, "5", 1.0, 0.0, -0.05, "500%", "five", float("nan")])
def test_1_a_loss_limit_that_is_no_fraction_between_0_and_1_is_refused(loss: Any) -> None:
    with pytest.raises(errors.ConfigError, match=r"max_drawdown=.* as 0\.05 or 5%"):
        backtest(BuysAtOnce, {"X": trades(100, 100)}, guard={"max_drawdown": loss})


def test_1_five_per_cent_is_the_fraction_0_05_and_fires() -> None:
    data = {"X": trades(100, 100, 95, 90, 89.9, 89.8)}  # 500 shares: 89.9 is a loss of 5,050 of 100,000
    runs = [backtest(BuysAtOnce, data, fees="none", guard={"max_drawdown": each}) for each in (0.05, "5%", "5 %")]
    for run in runs:
        assert run.record.guard_tripped
        assert seconds(run, table="guard")[0] == 4.0


# -- 2 ---------------------------------------------------------------------------------------------------------


def test_2_a_change_in_percent_is_now_over_then_minus_one() -> None:
    assert Trade("X", OPEN, 123.0, 1.0, 100.0).change == pytest.approx(0.23)


# -- 3 ---------------------------------------------------------------------------------------------------------


class BuysAndSells(Strategy):
    """In and out again at the same price."""

    def on_start(self) -> None:
        self.subscribe(self.symbols)

    def on_trade(self, trade: Trade) -> None:
        position = self.position(trade.symbol)
        if position.sellable:
            self.sell(trade.symbol, position.sellable)
        elif not position.committed:
            self.buy(trade.symbol, 500)


def test_3_the_guard_does_not_fire_when_shares_are_merely_sold() -> None:
    run = backtest(BuysAndSells, {"X": trades(*[100.0] * 9)}, fees="none", guard={"max_drawdown": 0.001})
    assert run.fills["side"].tolist() == ["BUY", "SELL"] * 4
    assert not run.record.guard_tripped


def test_3_the_basis_of_stock_value_is_refused_where_the_account_starts_flat() -> None:
    with pytest.raises(errors.ConfigError, match=r"no stock is held at the start.*use basis net_liquidation"):
        backtest(BuysAtOnce, {"X": trades(100, 100)}, guard={"max_drawdown": 0.05, "basis": Basis.STOCK_VALUE})


# -- 4 ---------------------------------------------------------------------------------------------------------


def test_4_the_guard_marks_on_every_trade_and_judges_before_the_strategy_hears() -> None:
    strategy = BuysAtOnce(quantity=400.0)
    run = backtest(strategy, {"X": trades(100, 100, 87.49, 100, 100)}, fees="none", guard={"max_drawdown": 0.05})
    assert seconds(run, table="guard") == [2.0]  # one print below, and prices are back on the next
    assert run.record.drawdown.depth == pytest.approx(-0.05004)


def test_4_an_order_on_the_very_event_that_crosses_is_refused() -> None:
    class BuysMore(BuysAtOnce):
        def on_trade(self, trade: Trade) -> None:
            order = self.buy(trade.symbol, 400 if trade.price == 100 else 1)
            self.heard.append((trade.price, order.number > 0))

    strategy = BuysMore()
    backtest(strategy, {"X": trades(100, 87, 87)}, fees="none", guard={"max_drawdown": 0.03})
    # filled at 87; the guard trips on 84 below
    assert strategy.heard == [(100.0, True), (87.0, True), (87.0, True)]
    strategy = BuysMore()
    backtest(strategy, {"X": trades(100, 100, 84)}, fees="none", guard={"max_drawdown": 0.03})
    assert strategy.heard == [(100.0, True), (100.0, True), (84.0, False)]


# -- 5 ---------------------------------------------------------------------------------------------------------


def test_5_quotes_are_not_trades_and_never_signal_a_jump_of_the_trade_price() -> None:
    quotes = {
        "ts": OPEN + np.arange(6) * SECOND + SECOND // 2,
        "bid": np.array([99.0, 150, 60, 99, np.nan, 99]), "ask": np.array([101.0, 152, 61, 101, 101, 101]),
        "bid_size": np.full(6, 1.0), "ask_size": np.full(6, 1.0),
    }  # fmt: skip
    run = backtest(TickMomentum(universe=["X"]), {"X": [trades(100, 100, 100, 100, 100, 100), quotes]})
    assert len(run.orders) == 0


class Looks(Strategy):
    """Takes a snapshot on every trade of A."""

    def on_start(self) -> None:
        self.seen: list[Any] = []
        self.subscribe("A")

    async def on_trade(self, trade: Trade) -> None:
        self.seen.append(await self.snapshot(self.symbols))


def test_5_last_bid_and_ask_are_three_things_and_no_price_is_a_state_not_a_number() -> None:
    quotes = {
        "ts": np.array([OPEN + SECOND // 2]), "bid": np.array([np.nan]), "ask": np.array([101.0]),
        "bid_size": np.array([0.0]), "ask_size": np.array([3.0]),
    }  # fmt: skip
    strategy = Looks()
    backtest(strategy, {"A": [trades(100, 100.5), quotes]})
    first, second = (each["A"] for each in strategy.seen)
    assert (first.last, np.isnan(first.bid), np.isnan(first.ask)) == (100.0, True, True)
    assert (second.last, np.isnan(second.bid), second.ask) == (100.5, True, 101.0)


# -- 6 ---------------------------------------------------------------------------------------------------------


class HearsMoves(Strategy):
    """Follows X, and follows it again after the third trade."""

    def on_start(self) -> None:
        self.heard: list[float] = []
        self.subscribe("X", when=moved(0.05))
        self.buy("X", 10)
        self.at("09:30:02")

    def on_time(self, time: Any) -> None:
        self.subscribe("X", when=moved(0.05))
        self.held = self.position("X").quantity

    def on_trade(self, trade: Trade) -> None:
        self.heard.append(trade.price)


def test_6_the_first_trade_after_subscribing_never_signals_and_subscribing_again_leaves_a_position_alone() -> None:
    strategy = HearsMoves()
    run = backtest(strategy, {"X": trades(100, 100, 100, 150, 200, 201)})
    assert strategy.heard == [200.0]  # 150 is the first after the second subscription
    assert strategy.held == 10.0
    assert run.positions["quantity"].tolist() == [10.0]


# -- 7 ---------------------------------------------------------------------------------------------------------


def test_7_two_fast_jumps_make_one_entry_and_two_fast_drops_sell_once() -> None:
    data = {"X": trades(100, 110, 121, 121, 121, 110, 99, 99, 99)}
    run = backtest(TickMomentum(universe=["X"]), data, latency="1500ms", fees="none")
    orders = list(run.orders[["side", "quantity"]].itertuples(index=False, name=None))
    # the entry is still on its way at the second jump, the sale of five of the eight held at the second drop
    assert orders == [("BUY", 5.0), ("BUY", 3.0), ("SELL", 5.0)]
    assert seconds(run) == [3.0, 4.0, 7.0]


# -- 8 ---------------------------------------------------------------------------------------------------------


class Numbers(Strategy):
    """Scans twice, and buys every row."""

    def on_start(self) -> None:
        self.ranks: list[int] = []
        self.orders: list[int] = []
        for at in ("09:30:03", "09:30:05"):
            self.scan("MOST_ACTIVE", at=at)

    def on_scan(self, scan: Any) -> None:
        for row in scan.rows:
            self.ranks.append(row.rank)
            self.orders.append(self.buy(row.symbol, 1).number)


def test_8_every_order_has_a_number_of_its_own_whatever_ranks_repeat() -> None:
    strategy = Numbers()
    run = backtest(strategy, {"A": trades(*[10.0] * 9), "B": trades(*[20.0] * 9)})
    assert strategy.ranks == [0, 1, 0, 1]
    assert strategy.orders == run.orders["number"].tolist() == [1, 2, 3, 4]
    assert sorted(run.fills["order"]) == [1, 2, 3, 4]


# -- 9 ---------------------------------------------------------------------------------------------------------


def test_9_a_snapshot_is_complete_with_what_there_is_and_names_what_is_missing() -> None:
    strategy = Looks()
    backtest(strategy, {"A": trades(100), "B": trades(50, first_s=-1), "LATE": trades(10, first_s=60)})
    reply = strategy.seen[0]
    assert {name: reply[name].last for name in reply} == {"A": 100.0, "B": 50.0}
    assert reply.missing == ("LATE",)


# -- 11 --------------------------------------------------------------------------------------------------------
# the same symbol best by dollars and by percent: tests/strategies/test_top_movers.py

# -- 12 --------------------------------------------------------------------------------------------------------


class Asks(Strategy):
    """Asks before it buys, and goes on hearing."""

    def on_start(self) -> None:
        self.said: list[str] = []
        self.subscribe("X")

    async def on_trade(self, trade: Trade) -> None:
        self.said.append(f"trade {trade.price:g}")
        if trade.price == 100:
            answer = await self.confirm("buy?", cost=100.0)
            self.said.append(f"answer {answer.value}")
            self.buy("X", 1)

    def on_fill(self, fill: Fill) -> None:
        self.said.append(f"fill {fill.price:g}")


def test_12_a_question_blocks_nothing_and_is_answered_when_its_time_has_come() -> None:
    strategy = Asks()
    backtest(strategy, {"X": trades(100, 101, 102, 103)}, request_latency="1500ms", confirm="yes", fees="none")
    assert strategy.said == ["trade 100", "trade 101", "answer True", "fill 102", "trade 102", "trade 103"]


# -- 13 --------------------------------------------------------------------------------------------------------


class LeavesOrders(Strategy):
    """Holds X, and keeps a limit order working."""

    def on_start(self) -> None:
        self.updates: list[OrderUpdate] = []
        self.buy("X", 500)
        self.resting = self.buy("X", 10, limit=80.0, tif="GTC")

    def on_order(self, update: OrderUpdate) -> None:
        self.updates.append(update)


@pytest.mark.parametrize("latency", ["0ms", "500ms"])
def test_13_a_trip_cancels_working_orders_and_the_strategy_hears_that_it_is_confirmed(latency: str) -> None:
    strategy = LeavesOrders()
    data = {"X": trades(100, 100, 89, 88, 79, 79)}
    run = backtest(strategy, data, fees="none", latency=latency, guard={"max_drawdown": 0.05})
    assert run.orders["status"].tolist() == ["FILLED", "CANCELLED"]  # 79 would have filled it
    assert [(each.order, each.status.name) for each in strategy.updates if each.status.is_final] == [
        (1, "FILLED"),
        (2, "CANCELLED"),
    ]
    assert "guard" in strategy.updates[-1].reason
    assert run.guard["kind"].tolist() == ["trip", "cancelled"]


def test_13_a_trip_that_flattens_closes_what_is_held_after_it_has_cancelled_what_works() -> None:
    guard = {"max_drawdown": 0.05, "flatten": True}
    run = backtest(LeavesOrders(), {"X": trades(100, 100, 89, 88, 79, 79)}, fees="none", guard=guard)
    assert run.guard["kind"].tolist() == ["trip", "cancelled", "flattened"]
    assert run.fills["price"].tolist() == [100.0, 88.0]
    assert run.positions["quantity"].tolist() in ([], [0.0])
