"""Random markets and programs of orders for two engines, made from a seed, within the rules that both have.

What docs/backtrader.md lists as different is left out here by construction: trades move by one step at a time, exits
lie further apart than a bar reaches, and no order of a group is cancelled by request.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtests.engine import run_tape
from backtests.settings import Settings
from papertape.core.model import EventKind, Side, Trade
from papertape.core.orders import Order
from papertape.core.record import RunRecord
from papertape.core.series import Series, Tape
from strategies.base import Strategy

S = 1_000_000_000
MS = 1_000_000
OPEN = 1_704_292_200 * S  # 2024-01-03 09:30 New York
DAY = 86_400 * S
STEP = 0.25
REACH = 4
"""Most steps that a bar moves by, within itself, and from the one before."""
FAR = 2 * REACH + 1
"""Steps from a price at which nothing of the next bar can be."""


@dataclass
class Case:
    """A market, and what is decided at each event that is heard."""

    bars: bool
    series: list[Series]
    plan: list[list[tuple[Any, ...]]]
    fees: str
    cash: float
    short: bool


class Planned(Strategy):
    """Does what the case plans, whatever becomes of it.

    Where cash is scarce: no order while another works, and sales of what is held only.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        self.given: list[Order] = []
        self.cancellable: list[Order] = []
        self.heard = 0
        self.done: Counter[str] = Counter()

    def on_start(self) -> None:
        self.subscribe(self.symbols)
        self.act()

    def act(self) -> None:
        """The next of the plan."""
        todo = self.case.plan[self.heard] if self.heard < len(self.case.plan) else []
        self.heard += 1
        for what, *rest in todo:
            self.done[what] += 1
            getattr(self, what)(*rest)

    def plain(self, symbol: str, side: int, quantity: float, terms: dict[str, Any]) -> None:
        if not self.case.short:
            held = self.position(symbol).quantity
            if self.working_orders() or (side < 0 and held < quantity):
                return
        if terms.get("tif") == "GTD":
            terms = {**terms, "until": self.now + terms["until"]}
        order = self.order(symbol, Side(side), quantity, **terms)
        self.given.append(order)
        self.cancellable.append(order)

    def exits(self, symbol: str, side: int, quantity: float, stop: float, limit: float, tif: str) -> None:
        group = self.new_group()
        self.given.append(self.order(symbol, Side(side), quantity, stop=stop, tif=tif, group=group))
        self.given.append(self.order(symbol, Side(side), quantity, limit=limit, tif=tif, group=group))

    def family(
        self, symbol: str, side: int, quantity: float, limit: float | None, stop: float, target: float | None
    ) -> None:
        made = self.bracket(symbol, Side(side), quantity, limit=limit, stop=stop, target=target)
        self.given += [each for each in made if each is not None]
        self.cancellable.append(made.entry)

    def take_back(self, place: int) -> None:
        if place < len(self.cancellable):
            self.cancel(self.cancellable[-1 - place])


class OnTrades(Planned):
    allow_short = True

    def on_trade(self, trade: Trade) -> None:
        self.act()


class OnBars(Planned):
    allow_short = True

    def on_bars(self, bars: Any) -> None:
        self.act()


class OnTradesLong(Planned):
    def on_trade(self, trade: Trade) -> None:
        self.act()


class OnBarsLong(Planned):
    def on_bars(self, bars: Any) -> None:
        self.act()


def make_case(seed: int, *, bars: bool, scarce: bool = False) -> Case:
    """Everything from one number."""
    rng = random.Random(seed)
    count = 1 if scarce else rng.choice([1, 2, 3])
    days = 1 if scarce else 2  # what can not be paid for is rejected at once by ours, at the next event by backtrader
    series = [make_bars(rng, j, days) if bars else make_trades(rng, j, days) for j in range(count)]
    plan: list[list[tuple[Any, ...]]] = []
    heard = np.sort(np.concatenate([each.ts for each in series]))
    for ts in [0, *(np.unique(heard) if bars else heard).tolist()]:  # 0: the start; bars of one time are heard at once
        todo: list[tuple[Any, ...]] = []
        while rng.random() < (0.5 if scarce else 0.35) and len(todo) < (1 if scarce else 3):
            todo.append(decision(rng, series, ts, scarce=scarce))
        plan.append(todo)
    if scarce:
        plan[-1] = []  # no event follows, at which backtrader would reject
    fees = "none" if scarce else rng.choice(["none", "per-share:0.01:1", "percent:0.1", "ib-fixed"])
    return Case(bars, series, plan, fees, rng.choice([700.0, 3_000.0]) if scarce else 1e8, not scarce)


def make_trades(rng: random.Random, j: int, days: int) -> Series:
    """Trades that move by one step at most, some at one time, over one or two days, some before the first open."""
    ts, price = OPEN - rng.choice([0, 2 * S]), 100 + j
    times, prices = [], []
    n = rng.randint(5, 45)
    for i in range(n):
        ts += rng.choice([0, 0, 1, 5_000, 100 * MS, 100 * MS, 700 * MS])
        if days == 2 and i == n // 2 and rng.random() < 0.5:
            ts = max(ts, OPEN + DAY + 5 * S)
        price += rng.choice([-1, -1, 0, 1, 1])
        times.append(ts)
        prices.append(price * STEP)
    size = np.full(n, 100.0)
    return Series(f"S{j}", EventKind.TRADE, np.array(times, np.int64), (np.array(prices), size))


def make_bars(rng: random.Random, j: int, days: int) -> Series:
    """Bars with gaps in time and price, of one or two minutes, over one or two days."""
    length = rng.choice([60, 120]) * S
    start, close = OPEN, 400 + j
    rows = []
    n = rng.randint(5, 40)
    for i in range(n):
        start += length * rng.choice([1, 1, 1, 2, 4]) if i else 0
        if days == 2 and i == n // 2 and rng.random() < 0.5:
            start = OPEN + DAY
        opening = close + rng.choice([0, 0, rng.randint(-REACH, REACH)])
        low = opening - rng.randint(0, REACH // 2)
        high = opening + rng.randint(0, REACH // 2)
        close = rng.randint(low, high)
        rows.append((start, start + length, opening, high, low, close))
    table = np.array(rows)
    columns = tuple(np.ascontiguousarray(table[:, c] * STEP) for c in range(2, 6))
    starts, ends = (np.ascontiguousarray(table[:, c]).astype(np.int64) for c in (0, 1))
    return Series(f"S{j}", EventKind.BAR, ends, (*columns, np.full(n, 1e6)), start=starts)


def decision(rng: random.Random, series: list[Series], ts: int, *, scarce: bool) -> tuple[Any, ...]:
    """Something to do at a time."""
    each = rng.choice(series)
    at = int(np.searchsorted(each.ts, ts, "right")) - 1
    column = each.columns[0 if each.kind is EventKind.TRADE else 3]
    last = float(column[max(at, 0)])
    side = rng.choice([1, -1])
    quantity = float(rng.choice([1, 7, 100]))
    if scarce:
        return ("plain", each.symbol, side, float(rng.choice([5, 20, 60])), {})
    tif = rng.choice(["DAY", "GTC"])
    what = rng.choice(["market", "market", "limit", "limit", "stop", "stop_limit", "exits", "family", "cancel"])
    near = last + rng.randint(-6, 6) * STEP
    far = FAR * STEP
    plain: dict[str, Any] = {"tif": tif, "outside_hours": rng.random() < 0.2}
    if rng.random() < 0.2:
        plain |= {"tif": "GTD", "until": rng.choice([1, 300 * MS, 90 * S, 400 * S])}
    match what:
        case "market":
            return ("plain", each.symbol, side, quantity, plain)
        case "limit":
            return ("plain", each.symbol, side, quantity, {"limit": near, **plain})
        case "stop":
            return ("plain", each.symbol, side, quantity, {"stop": near, **plain})
        case "stop_limit":
            apart = (1 if each.kind is EventKind.TRADE else FAR) * STEP
            return ("plain", each.symbol, side, quantity, {"stop": near, "limit": near - side * apart, **plain})
        case "exits":
            away = (2 if each.kind is EventKind.TRADE else FAR) * STEP
            return ("exits", each.symbol, side, quantity, last + side * away, last - side * away, tif)
        case "family":
            away = 2 * STEP if each.kind is EventKind.TRADE else 2 * far
            limit = rng.choice([None, last + rng.randint(-2, 2) * STEP])
            target = rng.choice([None, last + side * away])
            return ("family", each.symbol, side, quantity, limit, last - side * away, target)
    return ("take_back", rng.randint(0, 3))


def play(case: Case, engine: str) -> tuple[Planned, RunRecord]:
    """Run the case in an engine."""
    kinds = {(True, True): OnBars, (True, False): OnBarsLong, (False, True): OnTrades, (False, False): OnTradesLong}
    strategy = kinds[case.bars, case.short](case)
    settings = Settings(cash=case.cash, fees=case.fees, limit_fill="touch", engine=engine)  # type: ignore[arg-type]
    return strategy, run_tape(strategy, Tape(tuple(case.series), {}), settings)


def fills_of(record: RunRecord) -> list[tuple[Any, ...]]:
    """Fills by order: number, time, symbol, side, quantity, price."""
    f = record.fills
    columns = (f["order"], f["ts"], f["symbol"], f["side"], f["quantity"], f["price"])
    return sorted(tuple(row) for row in zip(*(column.tolist() for column in columns), strict=True))
