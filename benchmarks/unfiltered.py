"""The same rule in Python for every tick, against a bare Python loop that makes an object and calls a method."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.hand import (
    ADD,
    CASH,
    DOWN,
    ENTRY,
    FEE_MINIMUM,
    FEE_PER_SHARE,
    FEES,
    SELL,
    UP,
    HandResult,
    by_hand,
    compare,
)
from benchmarks.measure import Bound, Check, Direction, Plan, Row, Timing, side_by_side
from benchmarks.tapes import SYMBOL, Ticks, ticks
from papertape import Trade, backtest
from strategies.tick_momentum import TickMomentum

BOUND = Bound(Direction.AT_LEAST, 1.0, 1.5, " of its speed")


class EveryTick(TickMomentum):
    """Tick momentum that hears every trade and looks at each in Python."""

    def follow(self, symbols: list[str]) -> None:
        """Hear everything."""
        self.rise, self.fall = 1.0 + self.up, 1.0 - self.down
        self.subscribe(symbols)

    def on_trade(self, trade: Trade) -> None:
        """The rule, for every trade."""
        price, previous = trade.price, trade.previous
        if price > previous * self.rise or price < previous * self.fall:
            super().on_trade(trade)


class _Tick:
    __slots__ = ("price", "size", "symbol", "ts")

    def __init__(self, symbol: str, ts: int, price: float, size: float) -> None:
        self.symbol = symbol
        self.ts = ts
        self.price = price
        self.size = size


class _Rule:
    """The rule alone: no fills, no money, no equity. What it decided is turned into fills when the loop is over."""

    def __init__(self) -> None:
        self.rise, self.fall = 1.0 + UP, 1.0 - DOWN
        self.previous = float("nan")
        self.held = 0
        self.decided: list[tuple[int, int]] = []

    def on_tick(self, tick: _Tick) -> None:
        price, previous = tick.price, self.previous
        if price > previous * self.rise:
            self.decide(tick.ts, ADD if self.held else ENTRY)
        elif price < previous * self.fall and self.held >= SELL:
            self.decide(tick.ts, -SELL)
        self.previous = price

    def decide(self, ts: int, quantity: int) -> None:
        self.held += quantity
        self.decided.append((ts, quantity))


def bare_loop(tape: Ticks) -> _Rule:
    """Make an object of every tick and call a method with it."""
    rule = _Rule()
    on_tick = rule.on_tick
    for ts, price, size in zip(tape.ts.tolist(), tape.price.tolist(), tape.size.tolist(), strict=True):
        on_tick(_Tick(SYMBOL, ts, price, size))
    return rule


def _booked(rule: _Rule, tape: Ticks, depth: float) -> HandResult:
    """What the decisions come to: each fills at the tick after it."""
    cash, position = CASH, 0.0
    fills = []
    for ts, quantity in rule.decided:
        at = int(np.searchsorted(tape.ts, ts, "right"))
        if at < len(tape):
            position += quantity
            cash -= quantity * float(tape.price[at]) + max(FEE_MINIMUM, FEE_PER_SHARE * abs(quantity))
            fills.append((at, quantity))
    return HandResult(np.array(fills, np.int64).reshape(-1, 2), cash, position, depth)


def measure(plan: Plan) -> Iterator[Row]:
    """Two million ticks: a Python loop takes the same time for each, however many there are."""
    tape = ticks(plan.size(2_000_000, 20_000))
    data = tape.data()
    run = backtest(EveryTick(universe=[SYMBOL]), data, fees=FEES)
    hand = by_hand(tape)
    compare("unfiltered", run, tape, hand)
    booked = _booked(bare_loop(tape), tape, hand.depth)  # the bare loop marks nothing, so it has no drawdown
    check = Check("bare loop")
    check.equal("fills", booked.fills.tolist(), hand.fills.tolist())
    check.equal("cash", booked.cash, hand.cash, 1e-6)
    check.done()
    times = side_by_side(
        {
            "ours": lambda: backtest(EveryTick(universe=[SYMBOL]), data, fees=FEES),
            "theirs": lambda: bare_loop(tape),
        },
        plan.repeats,
    )
    ours = Timing("backtest()", times["ours"], len(tape))
    theirs = Timing("bare loop", times["theirs"], len(tape))
    what = f"the same rule in an unfiltered on_trade, {len(tape):,} ticks, against a bare Python loop without marks"
    yield Row(what, BOUND, theirs.per_event / ours.per_event, (ours, theirs))
