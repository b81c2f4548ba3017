"""The engine against a slow simulator that was written from docs/fill-model.md: event by event, in plain Python.

Both play one market and one list of decisions, made from a seed. A seed that fails is played again with
``python -m tests.property.test_engine_oracle SEED``.
"""

from __future__ import annotations

import math
import random
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from backtests.engine import run_tape
from backtests.settings import LimitFill, Settings
from papertape.core.filters import changed, moved
from papertape.core.guard import GuardSettings
from papertape.core.model import EventKind, Fill, Side, Trade
from papertape.core.record import RunRecord
from papertape.core.series import Series, Tape
from strategies.base import Strategy

OPEN = 1_704_292_200_000_000_000  # 2024-01-03 09:30 New York
MS = 1_000_000
FINAL = {"FILLED", "CANCELLED", "REJECTED", "EXPIRED"}


@dataclass
class Case:
    """A market, the rules it is played by, and what is decided at each event that is heard."""

    seed: int
    events: list[tuple[int, int, float, float]]
    """(ts, instrument, price, size) in the order in which they are played."""
    count: int
    plan: list[list[tuple[Any, ...]]]
    """For the k-th event heard: ("order", instrument, side, kind, quantity, level), ("cancel", k) or ("look",)."""
    hearing: str
    short: bool
    margin: float
    touch: bool
    share: float
    slippage: float
    latency_ms: int
    drawdown: float | None
    reference: str
    per_share: float
    minimum: float
    cash: float
    hears_fills: bool
    chunk: int


def make_case(seed: int) -> Case:
    """Everything from one number."""
    rng = random.Random(seed)
    count = rng.choice([1, 1, 2, 3, 5])
    per = rng.choice([8, 60, 300, 900]) // (1 if count == 1 else 2)
    events: list[tuple[int, int, float, float]] = []
    for j in range(count):
        ts, price = OPEN, 100.0
        flat = 0
        for _ in range(rng.randint(1, per)):
            ts += rng.choice([0, 0, 50, 100, 100, 1000]) * MS
            flat = flat - 1 if flat else (rng.randint(2, 30) if rng.random() < 0.03 else 0)
            if not flat:
                step = rng.gauss(0, 0.004) + (rng.choice([-0.06, 0.06]) if rng.random() < 0.02 else 0.0)
                price = round(max(price * math.exp(step), 1.0), 2)
            events.append((ts, j, price, float(rng.choice([0, 1, 7, 30, 100, 1000]))))
    events.sort(key=lambda each: each[:2])
    activity = rng.choice([0.03, 0.2, 0.5])
    plan: list[list[tuple[Any, ...]]] = []
    for _ in events:
        todo: list[tuple[Any, ...]] = []
        while rng.random() < activity and len(todo) < 3:
            kind = rng.choice(["market", "market", "limit", "stop", "stop", "cancel", "look"])
            if kind == "look":
                todo.append(("look",))
            elif kind == "cancel":
                todo.append(("cancel", rng.randint(0, 5)))
            else:
                at = rng.choice(events)[2]  # a price of the tape, so that levels are touched
                level = at if rng.random() < 0.5 else round(at * (1 + rng.gauss(0, 0.02)), 2)
                quantity = float(rng.choice([1, 10, 60, 200, 0.5]))
                todo.append(("order", rng.randrange(count), rng.choice([1, 1, -1]), kind, quantity, level))
        plan.append(todo)
    return Case(
        seed, events, count, plan, rng.choice(["all", "all", "changed", "moved"]), rng.random() < 0.4,
        rng.choice([1.0, 1.0, 2.0]), rng.random() < 0.5, rng.choice([0.0, 0.5]),
        rng.choice([0.0, 0.001]), rng.choice([0, 0, 70, 100]), rng.choice([None, 0.02, 0.1]),
        rng.choice(["peak", "start"]), rng.choice([0.0, 0.01]), rng.choice([0.0, 1.0]),
        rng.choice([10_000.0, 100_000.0]), rng.random() < 0.5, rng.choice([7, 65_536]),
    )  # fmt: skip


# -- the reference ------------------------------------------------------------------------------------------------


@dataclass
class RefOrder:
    """An order as the reference keeps it."""

    number: int
    j: int
    side: int
    kind: str
    quantity: float
    level: float
    active: int
    status: str = "SUBMITTED"
    filled: float = 0.0
    fee: float = 0.0
    is_new: bool = True

    @property
    def works(self) -> bool:
        return self.status not in FINAL


@dataclass
class Reference:
    """The slow simulator: one instrument after the other, one order after the other, nothing kept that can be summed."""

    case: Case
    orders: list[RefOrder] = field(default_factory=list)
    alive: list[RefOrder] = field(default_factory=list)
    """The orders that may still work, oldest first."""
    fills: list[tuple[int, int, float, float, float]] = field(default_factory=list)
    looks: list[tuple[float, ...]] = field(default_factory=list)
    timers: list[tuple[int, int, RefOrder]] = field(default_factory=list)
    refused: int = 0
    tripped_at: int = 0
    depth: float = 0.0

    def __post_init__(self) -> None:
        self.cash = self.case.cash
        self.held = [0.0] * self.case.count
        self.last = [math.nan] * self.case.count
        self.mark = [math.nan] * self.case.count
        self.peak = self.case.cash
        self.heard = 0

    def equity(self) -> float:
        """Cash and all positions at their marks."""
        return self.cash + sum(q * m for q, m in zip(self.held, self.mark, strict=True) if q)

    def play(self) -> None:
        """All events, then the end of the day."""
        for ts, j, price, size in self.case.events:
            self.pass_time(ts)
            before = self.last[j]
            self.match(ts, j, price, size)
            self.last[j] = self.mark[j] = price
            self.judge(ts)
            if self.hears(before, price):
                for action in self.case.plan[self.heard]:
                    self.act(action, ts)
                self.heard += 1
        self.pass_time(2**62)
        for order in self.orders:
            if order.works:
                order.status = "EXPIRED"

    def hears(self, before: float, price: float) -> bool:
        """Whether the subscription's filter holds; a first event never signals."""
        if self.case.hearing == "all":
            return True
        if math.isnan(before):
            return False
        if self.case.hearing == "changed":
            return price != before
        return price > before * 1.01 or price < before * 0.99

    def pass_time(self, ts: int) -> None:
        """Cancels that arrived strictly before ``ts``."""
        for due, _, order in sorted(self.timers, key=lambda each: each[:2]):
            if due < ts and order.works:
                order.status = "CANCELLED"
        self.timers = [each for each in self.timers if each[0] >= ts]

    def match(self, ts: int, j: int, price: float, size: float) -> None:
        """Oldest first, out of one volume."""
        share = self.case.share
        available = share * size if share else math.inf
        self.alive = [order for order in self.alive if order.works]
        for order in self.alive:
            if order.j != j or not order.works or not order.active < ts:
                continue
            at = self.price(order, price)
            order.is_new = False
            if at is None:
                continue
            left = order.quantity - order.filled
            quantity = left if left <= available else float(math.floor(available))
            if quantity > 0:
                available -= quantity
                self.fill(order, quantity, at, ts)

    def price(self, order: RefOrder, price: float) -> float | None:
        """What the order gets from a trade; None for nothing. A stop that is reached becomes a market order."""
        worse = price + order.side * self.case.slippage * abs(price)
        if order.kind == "market":
            return worse
        beyond = (price - order.level) * order.side
        if order.kind == "stop":
            if beyond < 0:
                return None
            order.kind = "market"
            return worse
        if not (beyond < 0 or (self.case.touch and beyond == 0)):
            return None
        if not order.is_new:
            return order.level
        return min(worse, order.level) if order.side > 0 else max(worse, order.level)

    def fee(self, quantity: float) -> float:
        """Fee of an order that has filled so much in all."""
        return max(self.case.minimum, self.case.per_share * quantity) if quantity > 0 else 0.0

    def fill(self, order: RefOrder, quantity: float, price: float, ts: int) -> None:
        """Book it, or end the order where it can not be paid for."""
        signed = quantity * order.side
        j = order.j
        fee = max(self.fee(order.filled + quantity) - self.fee(order.filled), 0.0)
        if not self.payable(j, signed, price, fee):
            order.status = "REJECTED" if order.filled == 0 else "CANCELLED"
            return
        if math.isnan(self.mark[j]):
            self.mark[j] = price
        self.cash -= signed * price + fee
        self.held[j] += signed
        order.filled += quantity
        order.fee += fee
        order.status = "FILLED" if order.quantity - order.filled <= 1e-9 else "PARTIALLY_FILLED"
        self.fills.append((order.number, ts, quantity, price, fee))

    def payable(self, j: int, signed: float, price: float, fee: float) -> bool:
        """Short only where declared; what reduces always; cash for cash accounts; else the multiple of equity."""
        after = self.held[j] + signed
        if not self.case.short and signed < 0 and after < -1e-9:
            return False
        if self.held[j] * signed < 0 and abs(signed) <= abs(self.held[j]):
            return True
        if self.case.margin == 1.0 and signed > 0:
            return self.cash - signed * price - fee >= -1e-9
        others = sum(abs(q * m) for k, (q, m) in enumerate(zip(self.held, self.mark, strict=True)) if q and k != j)
        return others + abs(after * price) <= self.case.margin * (self.equity() - fee) + 1e-9

    def judge(self, ts: int) -> None:
        """Peak, drawdown, and the guard, strictly below its threshold."""
        equity = self.equity()
        self.peak = max(self.peak, equity)
        self.depth = min(self.depth, equity / self.peak - 1.0)
        limit = self.case.drawdown
        base = self.peak if self.case.reference == "peak" else self.case.cash
        if limit is not None and not self.tripped_at and equity < base * (1.0 - limit):
            self.tripped_at = ts
            for order in self.alive:
                self.cancel(order, ts)

    def cancel(self, order: RefOrder, ts: int) -> None:
        """At once, or when the latency has passed."""
        if not order.works:
            return
        if self.case.latency_ms:
            self.timers.append((ts + self.case.latency_ms * MS, len(self.timers), order))
        else:
            order.status = "CANCELLED"

    def working(self, j: int, side: int) -> float:
        """Quantity on its way."""
        return sum(o.quantity - o.filled for o in self.alive if o.works and o.j == j and o.side == side)

    def expected(self, order: RefOrder) -> float:
        """What a unit of a buy is expected to cost."""
        return self.last[order.j] if order.kind == "market" else order.level

    def act(self, action: tuple[Any, ...], ts: int) -> None:
        """Do what the plan says."""
        if action[0] == "look":
            held = list(self.held)
            sellable = [max(0.0, q - self.working(j, -1)) for j, q in enumerate(self.held)]
            self.looks.append((self.equity(), self.cash, self.peak, *held, *sellable))
        elif action[0] == "cancel":
            working = [order for order in self.alive if order.works]
            if working:
                self.cancel(working[action[1] % len(working)], ts)
        else:
            self.submit(action, ts)

    def submit(self, action: tuple[Any, ...], ts: int) -> None:
        """Guard, cash, book."""
        _, j, side, kind, quantity, level = action
        sellable = self.held[j] - self.working(j, -1)
        if self.tripped_at or (side < 0 and not self.case.short and quantity > sellable + 1e-9):
            self.refused += 1
            return
        active = ts + self.case.latency_ms * MS
        order = RefOrder(len(self.orders) + 1, j, side, kind, quantity, level, active)
        opening = quantity - max(0.0, -self.held[j])
        price = self.expected(order)
        if side > 0 and self.case.margin == 1.0 and opening > 0 and not math.isnan(price):
            need = opening * price
            for each in self.alive:
                cost = self.expected(each)
                if each.works and each.side > 0 and not math.isnan(cost):
                    need += (each.quantity - each.filled) * cost
            if need > self.cash + 1e-9:
                order.status = "REJECTED"
        self.orders.append(order)
        self.alive.append(order)


# -- the engine ---------------------------------------------------------------------------------------------------


class Planned(Strategy):
    """Does what the case's plan says at each event that it hears."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        self.heard = 0
        self.looks: list[tuple[float, ...]] = []
        self.refused = 0

    def on_start(self) -> None:
        when = {"all": None, "changed": changed(), "moved": moved(0.01)}[self.case.hearing]
        self.subscribe(self.symbols, when=when)

    def on_trade(self, trade: Trade) -> None:
        todo = self.case.plan[self.heard]
        self.heard += 1
        for action in todo:
            if action[0] == "look":
                positions = [self.position(symbol) for symbol in self.symbols]
                account = self.account
                amounts = [each.quantity for each in positions] + [each.sellable for each in positions]
                self.looks.append((account.equity, account.cash, account.peak, *amounts))
            elif action[0] == "cancel":
                working = self.working_orders()
                if working:
                    self.cancel(working[action[1] % len(working)])
            else:
                _, j, side, kind, quantity, level = action
                terms = {} if kind == "market" else {kind: level}
                order = self.order(self.symbols[j], Side(side), quantity, **terms)
                self.refused += order.number == 0


class PlannedShort(Planned):
    """The same, allowed to sell short."""

    allow_short = True


def listening(base: type[Planned]) -> type[Planned]:
    """The same, hearing its fills."""

    class Listening(base):  # type: ignore[misc,valid-type]  # a class made for each base
        """Notes its fills."""

        def on_fill(self, fill: Fill) -> None:
            self.filled = [*getattr(self, "filled", []), (fill.order, fill.ts, fill.quantity, fill.price, fill.fee)]

    return Listening


def run_engine(case: Case) -> tuple[Planned, RunRecord]:
    """The case, played by the engine."""
    series = []
    for j in range(case.count):
        rows = [each for each in case.events if each[1] == j]
        ts = np.array([each[0] for each in rows], np.int64)
        price = np.array([each[2] for each in rows])
        series.append(Series(f"S{j}", EventKind.TRADE, ts, (price, np.array([each[3] for each in rows]))))
    made = PlannedShort if case.short else Planned
    strategy = (listening(made) if case.hears_fills else made)(case)
    settings = Settings(
        cash=case.cash,
        fees=f"per-share:{case.per_share}:{case.minimum}",
        slippage=f"{case.slippage * 100}%",
        latency=f"{case.latency_ms}ms",
        limit_fill=LimitFill.TOUCH if case.touch else LimitFill.THROUGH,
        volume_share=case.share,
        margin=case.margin,
        guard=GuardSettings(max_drawdown=case.drawdown, reference=case.reference),  # type: ignore[arg-type]
    )
    return strategy, run_tape(strategy, Tape(tuple(series), {}), settings, chunk=case.chunk)


def near(value: float | tuple[float, ...]) -> Any:
    """What is equal but for the order of additions."""
    return pytest.approx(value, rel=1e-9, abs=1e-9)


def check(seed: int) -> tuple[Reference, RunRecord]:
    """Play a seed by both and compare everything."""
    case = make_case(seed)
    reference = Reference(case)
    reference.play()
    strategy, record = run_engine(case)
    f = record.fills
    columns = (f["order"], f["ts"], f["quantity"], f["price"], f["fee"])
    fills = [(int(o), int(t), float(q), float(p), float(e)) for o, t, q, p, e in zip(*columns, strict=True)]
    assert [each[:3] for each in fills] == [each[:3] for each in reference.fills]
    assert [each[3:] for each in fills] == [near(each[3:]) for each in reference.fills]
    if case.hears_fills and fills:
        assert getattr(strategy, "filled", None) == fills
    assert strategy.heard == reference.heard
    assert strategy.refused == reference.refused
    assert list(record.orders["status"]) == [order.status for order in reference.orders]
    assert list(record.orders["fee"]) == [near(order.fee) for order in reference.orders]
    held = dict(zip(record.positions["symbol"], record.positions["quantity"], strict=True))
    assert [held.get(f"S{j}", 0.0) for j in range(case.count)] == [near(q) for q in reference.held]
    assert record.cash["USD"] == near(reference.cash)
    assert record.final_equity == near(reference.equity())
    assert record.drawdown.depth == near(reference.depth)
    assert strategy.account.peak == near(reference.peak)
    assert [each.ts for each in record.guard if each.kind == "trip"] == [reference.tripped_at] * bool(
        reference.tripped_at
    )
    assert [near(each) for each in reference.looks] == strategy.looks
    equity = record.equity
    assert np.all(equity["low"] <= equity["last"])
    assert np.all(equity["last"] <= equity["high"])
    return reference, record


@given(st.integers(0, 2**32))
def test_the_engine_does_what_a_slow_simulator_does(seed: int) -> None:
    note(f"python -m tests.property.test_engine_oracle {seed}")
    check(seed)


def test_the_cases_reach_what_they_are_for() -> None:
    statuses: set[str] = set()
    trips = fills = parts = refused = 0
    for seed in range(60):
        reference, _ = check(seed)
        statuses |= {order.status for order in reference.orders}
        trips += bool(reference.tripped_at)
        fills += len(reference.fills)
        parts += any(0 < order.filled < order.quantity for order in reference.orders)
        refused += reference.refused
    assert statuses == {"FILLED", "CANCELLED", "REJECTED", "EXPIRED"}
    assert min(trips, parts, refused) >= 3
    assert fills > 200


if __name__ == "__main__":
    for given_seed in map(int, sys.argv[1:]):
        print(given_seed, len(check(given_seed)[0].fills), "fills, equal")
