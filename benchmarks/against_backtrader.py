"""The unfiltered rule against backtrader: next-tick market orders, the same commission, no observers, no analyzers."""

from __future__ import annotations

import datetime as dt
import importlib.util
from collections.abc import Iterator
from typing import Any

from benchmarks.hand import ADD, CASH, DOWN, ENTRY, FEE_MINIMUM, FEE_PER_SHARE, FEES, SELL, UP, by_hand, compare
from benchmarks.measure import Bound, Check, Direction, Plan, Row, Timing, side_by_side
from benchmarks.tapes import SYMBOL, Ticks, ticks
from benchmarks.unfiltered import EveryTick
from papertape import backtest

BOUND = Bound(Direction.AT_LEAST, 80.0, None, " times its speed")


def _feed(backtrader: Any, tape: Ticks) -> Any:
    """The tape as a data feed that puts each trade straight into the lines."""
    days = [
        backtrader.date2num(dt.datetime.fromtimestamp(ts / 1e9, dt.UTC).replace(tzinfo=None)) for ts in tape.ts.tolist()
    ]

    class TradeFeed(backtrader.feed.DataBase):  # type: ignore[misc]  # the package has no types
        def start(self) -> None:
            super().start()
            self.source = zip(days, tape.price.tolist(), tape.size.tolist(), strict=True)

        def _load(self) -> bool:
            row = next(self.source, None)
            if row is None:
                return False
            lines = self.lines
            lines.datetime[0], price, lines.volume[0] = row
            lines.open[0] = lines.high[0] = lines.low[0] = lines.close[0] = price
            lines.openinterest[0] = 0.0
            return True

    return TradeFeed(timeframe=backtrader.TimeFrame.Ticks)


def _strategy(backtrader: Any) -> Any:
    """The rule, written as that engine's users write one."""

    class Momentum(backtrader.Strategy):  # type: ignore[misc]  # the package has no types
        def __init__(self) -> None:
            self.rise, self.fall = 1.0 + UP, 1.0 - DOWN
            self.previous = float("nan")
            self.held = 0
            self.fills: list[tuple[int, float, int]] = []

        def next(self) -> None:
            price, previous = self.data.close[0], self.previous
            if price > previous * self.rise:
                quantity = ADD if self.held else ENTRY
                self.held += quantity
                self.buy(size=quantity)
            elif price < previous * self.fall and self.held >= SELL:
                self.held -= SELL
                self.sell(size=SELL)
            self.previous = price

        def notify_order(self, order: Any) -> None:
            if order.status == order.Completed:
                self.fills.append((len(self) - 1, order.executed.price, round(order.executed.size)))

    return Momentum


def run_backtrader(backtrader: Any, tape: Ticks) -> tuple[list[tuple[int, float, int]], float]:
    """Fills as (index of the tick, price, signed quantity), and the cash at the end."""

    class PerShare(backtrader.CommInfoBase):  # type: ignore[misc]  # the package has no types
        params = (("stocklike", True), ("commtype", backtrader.CommInfoBase.COMM_FIXED))

        def _getcommission(self, size: float, price: float, pseudoexec: bool) -> float:
            return max(FEE_MINIMUM, FEE_PER_SHARE * abs(size))

    cerebro = backtrader.Cerebro(stdstats=False)
    cerebro.adddata(_feed(backtrader, tape))
    cerebro.addstrategy(_strategy(backtrader))
    cerebro.broker.setcash(CASH)
    cerebro.broker.addcommissioninfo(PerShare())
    strategy = cerebro.run()[0]
    return strategy.fills, cerebro.broker.getcash()


def measure(plan: Plan) -> Iterator[Row]:
    """Fifty thousand ticks for backtrader, a million for papertape; what is compared is the time for a tick."""
    if importlib.util.find_spec("backtrader") is None:
        yield Row("the same, against backtrader", BOUND, None, (), "needs the extra bench")
        return
    from importlib.metadata import version

    import backtrader

    few, many = ticks(plan.size(50_000, 20_000)), ticks(plan.size(1_000_000, 20_000))
    hand = by_hand(few)
    compare("unfiltered", backtest(EveryTick(universe=[SYMBOL]), few.data(), fees=FEES), few, hand)
    fills, cash = run_backtrader(backtrader, few)
    check = Check("backtrader")
    check.equal("ticks of fills", [at for at, _, _ in fills], hand.fills[:, 0].tolist())
    check.equal("prices of fills", [price for _, price, _ in fills], few.price[hand.fills[:, 0]].tolist(), 1e-9)
    check.equal("quantities of fills", [quantity for _, _, quantity in fills], hand.fills[:, 1].tolist())
    check.equal("cash", cash, hand.cash, 1e-6)
    check.done()
    data = many.data()
    times = side_by_side(
        {
            "ours": lambda: backtest(EveryTick(universe=[SYMBOL]), data, fees=FEES),
            "theirs": lambda: run_backtrader(backtrader, few),
        },
        plan.repeats,
    )
    ours = Timing("backtest()", times["ours"], len(many))
    theirs = Timing(f"backtrader {version('backtrader')}", times["theirs"], len(few))
    what = f"the same, {len(many):,} ticks, against backtrader's {len(few):,}, by tick"
    yield Row(what, BOUND, theirs.per_event / ours.per_event, (ours, theirs), f"{len(fills)} fills on the shorter tape")
