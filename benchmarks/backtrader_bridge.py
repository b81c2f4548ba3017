"""A strategy written for backtrader: in Cerebro alone, through papertape, and its rule moved to papertape's own engine."""

from __future__ import annotations

import array
import importlib.util
from collections import deque
from collections.abc import Iterator
from itertools import islice
from math import fsum
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import Bound, Check, Direction, Plan, Row, Timing, side_by_side
from benchmarks.tapes import BAR_COLUMNS, F8, MINUTE_NS, Minutes, minutes
from papertape import Bar, Run, Strategy, backtest

BRIDGE_BOUND = Bound(Direction.AT_MOST, 1.1, 1.0, " times Cerebro's time")
NATIVE_BOUND = Bound(Direction.AT_LEAST, 10.0, None, " times its speed")
BRIDGE = "a backtrader strategy through papertape (--framework backtrader)"
NATIVE = "the same rule as a strategy of papertape's"
CASH = 100_000.0
SIZE = 10
FAST, SLOW = 10, 30
SESSIONS = 520
"""Of 390 minutes each."""
Fills = list[tuple[int, float, float]]
"""Which bar, price, signed quantity."""


class Crossing(Strategy):
    """The rule in papertape's words: averages summed as backtrader sums them, so that they are equal to the last bit."""

    def on_start(self) -> None:
        """Hear the tape's bars."""
        self.closes: deque[float] = deque(maxlen=SLOW)
        self.before = 0.0
        self.subscribe(self.symbols)

    def on_bar(self, bar: Bar) -> None:
        """In the market while the fast average is above the slow one."""
        closes = self.closes
        closes.append(bar.close)
        if len(closes) < SLOW:
            return
        gap = fsum(islice(closes, SLOW - FAST, None)) / FAST - fsum(closes) / SLOW
        before, self.before = self.before, gap or self.before
        if gap > 0.0 > before:
            if not self.position(bar.symbol).quantity:
                self.buy(bar.symbol, SIZE, tif="GTC")
        elif gap < 0.0 < before:
            held = self.position(bar.symbol).quantity
            if held:
                self.sell(bar.symbol, held, tif="GTC")


def crossing(backtrader: Any) -> type[Any]:
    """The rule as backtrader's users write it."""

    class SmaCross(backtrader.Strategy):  # type: ignore[misc]  # the package has no types
        def __init__(self) -> None:
            fast, slow = (backtrader.ind.SMA(period=period) for period in (FAST, SLOW))
            self.crossover = backtrader.ind.CrossOver(fast, slow)

        def next(self) -> None:
            if not self.position:
                if self.crossover > 0:
                    self.buy(size=SIZE)
            elif self.crossover < 0:
                self.close()

    return SmaCross


def heard(strategy: type[Any], fills: Fills) -> type[Any]:
    """The strategy, noting its fills: for the comparison before anything is timed."""

    class Heard(strategy):  # type: ignore[misc]  # a class of a package without types
        def notify_order(self, order: Any) -> None:
            if order.status == order.Completed:
                fills.append((len(self) - 1, order.executed.price, float(order.executed.size)))

    return Heard


class Alone:
    """Cerebro alone in its default mode, on bars that lie in memory as its lines keep them: nothing is parsed or copied."""

    def __init__(self, backtrader: Any, tape: Minutes) -> None:
        self.backtrader = backtrader
        (table,) = tape.tables.values()
        closes = pd.DatetimeIndex(np.asarray(table["ts"]) + MINUTE_NS, tz="UTC").tz_convert("America/New_York")
        times = [backtrader.date2num(each.to_pydatetime()) for each in closes.tz_localize(None)]
        columns: list[F8] = [np.array(times), *(np.asarray(table[name], np.float64) for name in BAR_COLUMNS[1:])]
        columns.append(np.zeros(len(times)))
        lines = [array.array("d", column.tobytes()) for column in columns]
        names = ("datetime", *BAR_COLUMNS[1:], "openinterest")

        class Preloaded(backtrader.feed.DataBase):  # type: ignore[misc]  # the package has no types
            def preload(self) -> None:
                for name, line in zip(names, lines, strict=True):
                    getattr(self.lines, name).array = line
                self.home()

        self.feed = Preloaded

    def run(self, strategy: type[Any]) -> float:
        """One run; the cash at its end."""
        backtrader = self.backtrader
        cerebro = backtrader.Cerebro(stdstats=False)
        cerebro.adddata(self.feed(timeframe=backtrader.TimeFrame.Minutes))
        cerebro.addstrategy(strategy)
        cerebro.broker.setcash(CASH)
        cerebro.run()
        return float(cerebro.broker.getcash())


def measure(plan: Plan) -> Iterator[Row]:
    """Two hundred thousand bars, three ways."""
    if any(importlib.util.find_spec(name) is None for name in ("backtrader", "greenlet")):
        for what, bound in ((BRIDGE, BRIDGE_BOUND), (NATIVE, NATIVE_BOUND)):
            yield Row(what, bound, None, (), "needs the extra bench")
        return
    from importlib.metadata import version

    import backtrader

    from backtests.cerebro_hosted import hosted

    tape = minutes(1, plan.size(SESSIONS, 3))
    bars = int(tape.bounds[-1])
    alone, strategy = Alone(backtrader, tape), crossing(backtrader)
    bridged = hosted(strategy)
    data = tape.tables

    def play(kind: type[Strategy]) -> Run:
        return backtest(kind(), data, cash=CASH, fees="none", bar_stamp="open")

    fills = same_fills(alone, play, strategy, tape)
    times = side_by_side(
        {"alone": lambda: alone.run(strategy), "bridge": lambda: play(bridged), "native": lambda: play(Crossing)},
        plan.repeats,
    )
    theirs = Timing(f"Cerebro of backtrader {version('backtrader')}", times["alone"], bars)
    ours, native = Timing("through papertape", times["bridge"], bars), Timing("papertape", times["native"], bars)
    at = f"{bars:,} bars of one symbol, averages of {FAST} and {SLOW} crossing, {fills} fills"
    yield Row(f"{BRIDGE}, {at}", BRIDGE_BOUND, ours.median / theirs.median, (ours, theirs))
    yield Row(f"{NATIVE}, against Cerebro", NATIVE_BOUND, theirs.median / native.median, (native, theirs))


def same_fills(alone: Alone, play: Any, strategy: type[Any], tape: Minutes) -> int:
    """How many fills there are. Raises RuntimeError where the three ways differ in one, or in cash."""
    from backtests.cerebro_hosted import hosted

    wanted: Fills = []
    cash = alone.run(heard(strategy, wanted))
    found: Fills = []
    (table,) = tape.tables.values()
    check = Check("backtrader's bridge")
    for kind in (hosted(heard(strategy, found)), Crossing):
        run = play(kind)
        name = kind.__name__
        at = np.searchsorted(np.asarray(table["ts"]), run.fills["ts"].astype("int64").to_numpy(), "right") - 1
        signed = run.fills["quantity"].to_numpy() * np.where(run.fills["side"] == "BUY", 1, -1)
        check.equal(f"{name}: bars of fills", at.tolist(), [each[0] for each in wanted])
        check.equal(f"{name}: prices of fills", run.fills["price"].tolist(), [each[1] for each in wanted], 1e-9)
        check.equal(f"{name}: quantities of fills", signed.tolist(), [each[2] for each in wanted])
        check.equal(f"{name}: cash", run.record.cash["USD"], cash, 1e-6)
    check.equal("what the strategy hears of its orders", np.array(found), np.array(wanted), 1e-9)
    check.done()
    return len(wanted)
