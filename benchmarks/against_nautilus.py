"""The unfiltered rule against NautilusTrader's new engine (the ``BacktestEngine`` of its pyo3 package).

Its side is set up as its fastest: no logging, no analysis, risk checks bypassed; making its tick objects and adding
them to the engine is not counted. A latency of one nanosecond makes its market orders fill at the next trade, and a
fixed commission is what the rule's quantities pay per order, so both sides have the same fills and the same cash.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.hand import ADD, CASH, DOWN, ENTRY, FEE_MINIMUM, FEES, SELL, UP, by_hand, compare
from benchmarks.measure import Bound, Check, Direction, Plan, Row, Timing, side_by_side
from benchmarks.tapes import SYMBOL, Ticks, ticks
from benchmarks.unfiltered import EveryTick
from papertape import backtest

BOUND = Bound(Direction.AT_LEAST, 6.0, None, " times its speed")
DIGITS = 4


def _strategy(nautilus: Any, instrument: Any) -> Any:
    """An instance of the rule, written as that engine's users write one."""
    buy, sell = nautilus.OrderSide.BUY, nautilus.OrderSide.SELL

    class Momentum(nautilus.Strategy):  # type: ignore[misc]  # the package has no types
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.rise, self.fall = 1.0 + UP, 1.0 - DOWN
            self.previous = float("nan")
            self.held = 0
            self.fills: list[tuple[int, float, int]] = []

        def on_start(self) -> None:
            self.subscribe_trades(instrument)

        def on_trade(self, tick: Any) -> None:
            price, previous = tick.price.as_double(), self.previous
            if price > previous * self.rise:
                self.send(buy, ADD if self.held else ENTRY)
            elif price < previous * self.fall and self.held >= SELL:
                self.send(sell, SELL)
            self.previous = price

        def send(self, side: Any, quantity: int) -> None:
            self.held += quantity if side == buy else -quantity
            self.submit_order(self.order_factory.market(instrument, side, nautilus.Quantity(quantity, 0)))

        def on_order_filled(self, event: Any) -> None:
            sign = 1 if event.order_side == buy else -1
            quantity = round(event.last_qty.as_double())
            self.fills.append((event.ts_event, event.last_px.as_double(), sign * quantity))

    return Momentum(nautilus.StrategyConfig(strategy_id=nautilus.StrategyId("MOMENTUM-001"), log_events=False))


def _objects(nautilus: Any, instrument: Any, tape: Ticks) -> list[Any]:
    """The tape as that engine's ticks."""
    size, side = nautilus.Quantity(100, 0), nautilus.AggressorSide.NO_AGGRESSOR
    return [
        nautilus.TradeTick(instrument, nautilus.Price(price, DIGITS), size, side, nautilus.TradeId(str(k)), ts, ts)
        for k, (ts, price) in enumerate(zip(tape.ts.tolist(), tape.price.tolist(), strict=True))
    ]


def _engine(nautilus: Any, instrument: Any, objects: list[Any]) -> tuple[Any, Any]:
    """An engine that is ready to run, and its strategy."""
    usd = nautilus.Currency.from_str("USD")
    config = nautilus.BacktestEngineConfig(
        bypass_logging=True,
        run_analysis=False,
        logging=nautilus.LoggerConfig(bypass_logging=True, print_config=False),
        risk_engine=nautilus.RiskEngineConfig(bypass=True),
    )
    engine = nautilus.BacktestEngine(config)
    engine.add_venue(
        nautilus.Venue("SIM"),
        nautilus.OmsType.NETTING,
        nautilus.AccountType.CASH,
        [nautilus.Money(CASH, usd)],
        base_currency=usd,
        fee_model=nautilus.FixedFeeModel(nautilus.Money(FEE_MINIMUM, usd)),
        latency_model=nautilus.StaticLatencyModel(base_latency_nanos=1),
    )
    engine.add_instrument(
        nautilus.Equity(instrument, nautilus.Symbol(SYMBOL), usd, DIGITS, nautilus.Price(10.0**-DIGITS, DIGITS), 0, 0)
    )
    strategy = _strategy(nautilus, instrument)
    engine.add_strategy(strategy)
    engine.add_data(objects)
    return engine, strategy


def measure(plan: Plan) -> Iterator[Row]:
    """Half a million ticks with prices of four decimals: both sides take the same time for each tick."""
    if importlib.util.find_spec("nautilus_trader") is None:
        yield Row("the same, against NautilusTrader's new engine", BOUND, None, (), "needs the extra bench")
        return
    from importlib.metadata import version

    from nautilus_trader.core import nautilus_pyo3 as nautilus

    tape = ticks(plan.size(500_000, 20_000), digits=DIGITS)
    data = tape.data()
    instrument = nautilus.InstrumentId.from_str(f"{SYMBOL}.SIM")
    objects = _objects(nautilus, instrument, tape)
    compare("unfiltered", backtest(EveryTick(universe=[SYMBOL]), data, fees=FEES), tape, by_hand(tape))

    seconds: list[float] = []

    def run_theirs() -> None:
        engine, strategy = _engine(nautilus, instrument, objects)
        began = time.perf_counter()
        engine.run()
        seconds.append(time.perf_counter() - began)
        _same_fills(engine, nautilus, strategy, tape)
        engine.dispose()

    times = side_by_side(
        {"ours": lambda: backtest(EveryTick(universe=[SYMBOL]), data, fees=FEES), "theirs": run_theirs}, plan.repeats
    )
    ours = Timing("backtest()", times["ours"], len(tape))
    theirs = Timing(f"nautilus {version('nautilus_trader')}", tuple(seconds), len(tape))
    what = f"the same, {len(tape):,} ticks, against NautilusTrader's new engine (its run() alone)"
    yield Row(what, BOUND, theirs.per_event / ours.per_event, (ours, theirs), f"{len(by_hand(tape).fills)} fills")


def _same_fills(engine: Any, nautilus: Any, strategy: Any, tape: Ticks) -> None:
    hand = by_hand(tape)
    check = Check("nautilus")
    at = hand.fills[:, 0]
    check.equal("number of fills", len(strategy.fills), len(hand.fills))
    check.equal("prices", [price for _, price, _ in strategy.fills], tape.price[at].tolist())
    check.equal("quantities", [quantity for _, _, quantity in strategy.fills], hand.fills[:, 1].tolist())
    check.equal("ticks", np.searchsorted(tape.ts, [ts for ts, _, _ in strategy.fills]).tolist(), at.tolist())
    account = engine.cache.account_for_venue(nautilus.Venue("SIM"))
    balance = account.balance_total(nautilus.Currency.from_str("USD")).as_double()
    check.equal("cash", balance, hand.cash, 0.01 * max(1, len(hand.fills)))  # it rounds each amount to the cent
    check.done()
