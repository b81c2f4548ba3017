"""What a run does never depends on how its events were cut into batches: one batch, random ones, event by event."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from backtests.engine import run_tape
from backtests.settings import Settings
from papertape.core.filters import Filter, changed, every, moved
from papertape.core.guard import GuardSettings
from papertape.core.model import EventKind, Instrument, Side
from papertape.core.record import RunRecord
from papertape.core.series import Series, Tape
from strategies.base import Strategy

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""No shrinking: a case is a seed, and a smaller seed is no simpler."""
OPEN = 1_704_292_200_000_000_000  # 2024-01-03 09:30 New York
MINUTE = 60_000_000_000


def random_tape(seed: int, *, bars: bool, quotes: bool, symbols: int, n: int) -> Tape:
    """A small market with many equal times, over two sessions."""
    rng = np.random.default_rng(seed)
    series: list[Series] = []
    for k in range(symbols):
        symbol = f"S{k}"
        steps = rng.choice([0, 0, 1, 7, 60], n) * 1_000_000_000
        ts = OPEN + np.cumsum(steps)
        ts[n // 2 :] += 86_400_000_000_000
        price = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.004, n))), 2)
        size = rng.integers(1, 500, n).astype(float)
        series.append(Series(symbol, EventKind.TRADE, ts, (price, size), rank=k % 2, row=np.arange(n) * symbols + k))
        if quotes:
            shift = rng.choice([0, 1_000_000_000], n)
            qts = np.sort(ts + shift)
            series.append(Series(symbol, EventKind.QUOTE, qts, (price - 0.01, price + 0.01, size, size), rank=k))
        if bars:
            start = OPEN + np.arange(40) * MINUTE
            close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.004, 40))), 2)
            first = np.concatenate(([100.0], close[:-1]))
            high, low = np.maximum(first, close) + 0.05, np.minimum(first, close) - 0.05
            name = f"B{k}"
            series.append(
                Series(name, EventKind.BAR, start + MINUTE, (first, high, low, close, size[:40]), start=start)
            )
    names = dict.fromkeys(each.symbol for each in series)
    instruments = {name: Instrument(name, average_volume=1e6, market_cap=1e9) for name in names}
    return Tape(tuple(series), instruments, reference_columns=frozenset({"average_volume", "market_cap"}))


class Restless(Strategy):
    """Uses every callback and request there is, driven by its own seeded choices."""

    seed: int = 0
    filtered: int = 0
    busy: float = 0.05

    def on_start(self) -> None:
        self.chance = random.Random(self.seed)
        filters: list[Filter | None] = [None, moved(0.003), changed() & every(5)]
        self.when = filters[self.filtered]
        self.subscribe(self.symbols[::2], when=self.when)
        self.every("3m", label="tick")
        self.at("09:40", every="day")
        self.scan("MOST_ACTIVE", rows=2, at="09:35", every="day")

    def on_trade(self, trade):
        self.act(trade.symbol, trade.price)

    def on_quote(self, quote):
        self.act(quote.symbol, quote.mid)

    def on_bar(self, bar):
        self.act(bar.symbol, bar.close)

    def on_bars(self, bars):
        self.record("bars", len(bars))

    def on_scan(self, scan):
        self.log("scan", scan.symbols)
        self.subscribe(scan.symbols, when=self.when)

    async def on_time(self, time):
        snapshot = await self.snapshot(self.symbols)
        self.log("snapshot", sorted((name, each.last, each.volume) for name, each in snapshot.items()))
        history = await self.history(self.symbols[0], "1 D", "5m")
        self.log("history", [(bar.ts, bar.close) for bar in history.get(self.symbols[0], [])])
        if self.chance.random() < 0.3:
            self.unsubscribe(self.chance.choice(self.symbols))
        if self.chance.random() < 0.5:
            self.act(self.chance.choice(self.symbols), 100.0, busy=1.0)

    def on_fill(self, fill):
        self.log("fill", fill)

    def on_order(self, update):
        self.log("order", update)

    def act(self, symbol: str, price: float, busy: float | None = None) -> None:
        if self.chance.random() > (self.busy if busy is None else busy):
            return
        choice = self.chance.randrange(9)
        held = self.position(symbol)
        quantity = self.chance.randrange(1, 20)
        self.log("state", symbol, held.quantity, held.committed, held.sellable, self.account.equity, self.now)
        if choice == 0:
            self.buy(symbol, quantity)
        elif choice == 1 and held.sellable:
            self.sell(symbol, held.sellable)
        elif choice == 2:
            self.buy(symbol, quantity, limit=round(price * 0.998, 2), tif="GTC")
        elif choice == 3 and held.sellable:
            self.sell(symbol, held.sellable, stop=round(price * 0.997, 2))
        elif choice == 4:
            self.bracket(symbol, Side.BUY, quantity, stop=round(price * 0.995, 2), target=round(price * 1.005, 2))
        elif choice == 5 and held.sellable:
            self.sell(symbol, held.sellable, trail_fraction=0.003)
        elif choice == 6:
            for order in self.working_orders()[:2]:
                self.cancel(order)
        elif choice == 7:
            self.buy(symbol, quantity, tif="IOC", limit=round(price * 1.001, 2))
        else:
            self.buy(symbol, quantity, on_close=True)


def outcome(tape: Tape, strategy: Strategy, settings_: Settings, chunk: int | Callable[[], int]) -> RunRecord:
    return run_tape(strategy, tape, settings_, keep_prices=True, chunk=chunk)


def assert_same(one: RunRecord, other: RunRecord) -> None:
    first, second = one.journal.splitlines(), other.journal.splitlines()
    for a, b in zip(first, second, strict=False):
        assert a == b
    assert len(first) == len(second)
    assert one.log == other.log
    assert one.drawdown == other.drawdown
    assert one.final_equity == other.final_equity
    for name in one.equity:
        np.testing.assert_array_equal(one.equity[name], other.equity[name])
    assert one.time_in_market_ns == other.time_in_market_ns


CASES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "bars": st.booleans(),
        "quotes": st.booleans(),
        "symbols": st.integers(1, 3),
        "filtered": st.integers(0, 2),
        "latency": st.sampled_from(["0ms", "1500ms"]),
        "guarded": st.booleans(),
    }
)


def check(case: dict) -> None:
    tape = random_tape(case["seed"], bars=case["bars"], quotes=case["quotes"], symbols=case["symbols"], n=120)
    options = Settings(
        cash=20_000,
        latency=case["latency"],
        request_latency=case["latency"],
        guard=GuardSettings(max_drawdown=0.002 if case["guarded"] else None, flatten=case["seed"] % 2 == 0),
    )
    sizes = random.Random(case["seed"])

    def strategy() -> Restless:
        return Restless(seed=case["seed"], filtered=case["filtered"], busy=0.2)

    whole = outcome(tape, strategy(), options, 1_000_000)
    assert_same(whole, outcome(tape, strategy(), options, lambda: sizes.randrange(1, 40)))
    assert_same(whole, outcome(tape, strategy(), options, 1))


@settings(max_examples=max(20, settings().max_examples // 10), deadline=None, phases=PHASES)  # make soak: hundreds
@given(CASES)
def test_one_batch_random_batches_and_single_events_give_the_same_journal(case):
    check(case)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_run_twice_gives_the_same_bytes(seed):
    tape = random_tape(seed, bars=True, quotes=True, symbols=2, n=150)
    runs = [outcome(tape, Restless(seed=seed, busy=0.3), Settings(), 65_536) for _ in range(2)]
    assert runs[0].journal == runs[1].journal
    assert len(runs[0].fills["ts"]) > 3


class Plain(Strategy):
    """Hears everything, in plain handlers that can be driven in runs; trades now and then."""

    seed: int = 0

    def on_start(self) -> None:
        self.chance = random.Random(self.seed)
        self.subscribe(self.symbols)

    def on_trade(self, trade):
        self.maybe(trade.symbol, trade.price)

    def on_bar(self, bar):
        self.maybe(bar.symbol, bar.close)

    def maybe(self, symbol: str, price: float) -> None:
        value = self.chance.random()
        if value < 0.02:
            self.buy(symbol, 3)
        elif value < 0.04 and self.position(symbol).sellable >= 3:
            self.sell(symbol, 3)
        elif value < 0.05:
            self.buy(symbol, 2, limit=round(price * 0.997, 2))
        elif value < 0.07:
            self.log(self.account.equity, self.position(symbol).unrealised, self.now)


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(st.integers(0, 10**6), st.booleans())
def test_events_heard_in_runs_are_heard_as_one_by_one(seed, bars):
    tape = random_tape(seed, bars=bars, quotes=False, symbols=1, n=400)
    if bars:
        tape = Tape(tape.series[1:], {})
    sizes = random.Random(seed)
    whole = outcome(tape, Plain(seed=seed), Settings(), 1_000_000)
    assert_same(whole, outcome(tape, Plain(seed=seed), Settings(), 1))
    assert_same(whole, outcome(tape, Plain(seed=seed), Settings(), lambda: sizes.randrange(1, 50)))
