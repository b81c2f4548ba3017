"""Small tapes and a strategy that follows a script, for tests of what the simulated broker does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backtests.run import backtest
from papertape.core.model import Bar, CorporateAction, EventKind, Fill, Instrument, OrderUpdate, Quote, TimeEvent, Trade
from papertape.core.orders import Order
from papertape.core.record import RunRecord
from papertape.core.series import Series, Tape
from strategies.base import Strategy

OPEN = 1_704_292_200_000_000_000  # Wednesday 2024-01-03, 09:30 in New York
S = 1_000_000_000
CLOSE = 23_400  # 16:00, in seconds after OPEN
DAY = 86_400  # the next session's open, in seconds after OPEN
MINUTE = 60

Action = Callable[[Any], Any]


def ns(second: float) -> int:
    """UTC nanoseconds of a number of seconds after OPEN."""
    return OPEN + round(second * S)


def _series(symbol: str, kind: EventKind, rows: Sequence[Sequence[float]], widths: Sequence[float]) -> Series:
    full = [[*row, *widths[len(row) - 1 :]] for row in rows]
    columns = tuple(np.array([row[k + 1] for row in full], float) for k in range(len(widths)))
    return Series(symbol, kind, np.array([ns(row[0]) for row in full], np.int64), columns)


def trades(symbol: str, *rows: Sequence[float]) -> Series:
    """Trades from (second, price[, size = 1000])."""
    return _series(symbol, EventKind.TRADE, rows, (math.nan, 1000.0))


def quotes(symbol: str, *rows: Sequence[float]) -> Series:
    """Quotes from (second, bid, ask[, bid size, ask size = 1000])."""
    return _series(symbol, EventKind.QUOTE, rows, (math.nan, math.nan, 1000.0, 1000.0))


def bars(symbol: str, *rows: Sequence[float], length: float = MINUTE) -> Series:
    """Bars of ``length`` seconds from (second of the start, open, high, low, close[, volume = 1000])."""
    made = _series(symbol, EventKind.BAR, rows, (math.nan, math.nan, math.nan, math.nan, 1000.0))
    return Series(symbol, EventKind.BAR, made.ts + round(length * S), made.columns, start=made.ts)


class Scripted(Strategy):
    """Hears everything, and at the times of a script does what it says; keeps the orders and what it heard."""

    def __init__(self, script: Mapping[Any, Action]) -> None:
        super().__init__()
        self.script = dict(script)
        self.given: list[Order] = []
        self.heard: list[Fill] = []
        self.updates: list[OrderUpdate] = []

    def follow(self, ts: int) -> None:
        """Do what the script says for a time."""
        action = self.script.pop((ts - OPEN) / S, None)
        if action is not None:
            action(self)

    def order(self, *args: Any, **terms: Any) -> Order:
        """Give an order and keep its handle."""
        order = super().order(*args, **terms)
        self.given.append(order)
        return order

    def on_start(self) -> None:
        self.subscribe(self.symbols)
        for key in [key for key in self.script if isinstance(key, str) and key != "start"]:
            self.at(key)
        if "start" in self.script:
            self.script.pop("start")(self)

    def on_trade(self, trade: Trade) -> None:
        self.follow(trade.ts)

    def on_quote(self, quote: Quote) -> None:
        self.follow(quote.ts)

    def on_bar(self, bar: Bar) -> None:
        self.follow(bar.ts)

    def on_time(self, time: TimeEvent) -> None:
        self.script.pop(time.label)(self)

    def on_fill(self, fill: Fill) -> None:
        self.heard.append(fill)

    def on_order(self, update: OrderUpdate) -> None:
        self.updates.append(update)


class ScriptedShort(Scripted):
    """The same, allowed to sell short."""

    allow_short = True


class Played:
    """What a played script left."""

    def __init__(self, strategy: Scripted, record: RunRecord) -> None:
        self.strategy = strategy
        self.record = record
        f = record.fills
        signs = [1.0 if side == "BUY" else -1.0 for side in f["side"]]
        self.fills: list[tuple[int, float, float, float]] = [
            (int(o), (int(ts) - OPEN) / S, sign * float(q), round(float(p), 9))
            for o, ts, sign, q, p in zip(f["order"], f["ts"], signs, f["quantity"], f["price"], strict=True)
        ]
        """(number of the order, second, signed quantity, price) of each fill."""
        self.ambiguous: list[bool] = [bool(each) for each in f["ambiguous"]]
        self.statuses: list[str] = list(record.orders["status"])
        self.reasons: list[str] = list(record.orders["reason"])
        self.ended: list[float] = [(int(ts) - OPEN) / S if ts else math.nan for ts in record.orders["ts_final"]]
        self.held: dict[str, float] = dict(zip(record.positions["symbol"], record.positions["quantity"], strict=True))

    def priced(self, order: int) -> list[tuple[float, float]]:
        """(second, price) of an order's fills."""
        return [(second, price) for number, second, _, price in self.fills if number == order]

    def note(self, code: str) -> int:
        """How often a note was made; 0 for never."""
        return sum(each.count for each in self.record.notes if each.code == code)


def play(
    script: Mapping[Any, Action],
    *series: Series,
    short: bool = False,
    instruments: Sequence[Instrument] = (),
    actions: Sequence[CorporateAction] = (),
    **options: Any,
) -> Played:
    """Backtest a script on a tape of these series; no fees and a million in cash unless ``options`` say otherwise.

    The script's keys are seconds after OPEN (done at the first event of that time), texts (session times, done by a
    timer) and ``"start"``.
    """
    tape = Tape(series, {each.symbol: each for each in instruments}, actions=tuple(actions))
    strategy = (ScriptedShort if short else Scripted)(script)
    run = backtest(strategy, tape, **{"fees": "none", "cash": 1_000_000.0, **options})
    return Played(strategy, run.record)
