"""Small markets and scripted strategies, run by our engine and by backtrader's broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backtests.engine import run_tape
from backtests.settings import Settings
from papertape.core.model import EventKind, Instrument
from papertape.core.record import RunRecord
from papertape.core.series import Series, Tape
from strategies.base import Strategy

S = 1_000_000_000
OPEN = 1_704_292_200 * S  # 2024-01-03 09:30 New York
M = 60 * S

Act = Callable[["Scripted"], Any]
FREE = {"fees": "none", "limit_fill": "touch"}


class Scripted(Strategy):
    """Does what a script says: place of an event as heard, from 1 (0: the start) -> what to do."""

    def __init__(self, script: Mapping[int, Act]) -> None:
        super().__init__()
        self.script = script
        self.heard = 0
        self.made: list[Any] = []

    def on_start(self) -> None:
        self.subscribe(self.symbols)
        self.act(0)

    def act(self, place: int) -> None:
        made = self.script.get(place, lambda strategy: None)(self)
        self.made += made if isinstance(made, list | tuple) else [made]


class OnTrades(Scripted):
    def on_trade(self, trade: Any) -> None:
        self.heard += 1
        self.act(self.heard)


class OnBars(Scripted):
    def on_bars(self, bars: Any) -> None:
        self.heard += 1
        self.act(self.heard)


class OnTradesShort(OnTrades):
    allow_short = True


class OnBarsShort(OnBars):
    allow_short = True


def trades(prices: Sequence[float], symbol: str = "AAA", *, at: Sequence[float] = ()) -> Series:
    """Trades a second apart from the open, or ``at`` these seconds after it."""
    seconds = at or range(1, len(prices) + 1)
    ts = np.array([OPEN + round(each * S) for each in seconds], np.int64)
    return Series(symbol, EventKind.TRADE, ts, (np.array(prices, float), np.full(len(prices), 100.0)))


def bars(rows: Sequence[tuple[float, float, float, float]], symbol: str = "AAA") -> Series:
    """Bars of a minute from the open, one after the other: open, high, low, close."""
    start = OPEN + M * np.arange(len(rows), dtype=np.int64)
    columns = tuple(np.array([row[c] for row in rows], float) for c in range(4))
    return Series(symbol, EventKind.BAR, start + M, (*columns, np.full(len(rows), 1e6)), start=start)


def run(
    kind: type[Scripted],
    series: Series | Sequence[Series],
    script: Mapping[int, Act],
    engine: str,
    *,
    instruments: Mapping[str, Instrument] | None = None,
    actions: Any = (),
    **options: Any,
) -> tuple[Scripted, RunRecord]:
    """Run a script in one engine."""
    strategy = kind(script)
    several = (series,) if isinstance(series, Series) else tuple(series)
    tape = Tape(several, dict(instruments or {}), actions=tuple(actions))
    return strategy, run_tape(strategy, tape, Settings(**{**FREE, **options, "engine": engine}))


def both(kind: type[Scripted], series: Any, script: Mapping[int, Act], **options: Any) -> tuple[RunRecord, RunRecord]:
    """Run a script in our engine and in backtrader's."""
    return run(kind, series, script, "papertape", **options)[1], run(kind, series, script, "backtrader", **options)[1]


def fills(record: RunRecord) -> list[tuple[Any, ...]]:
    """(order, seconds after the open, quantity, price) of each fill."""
    f = record.fills
    columns = (f["order"].tolist(), ((f["ts"] - OPEN) / S).tolist(), f["quantity"].tolist(), f["price"].tolist())
    return list(zip(*columns, strict=True))


def ends(record: RunRecord) -> list[str]:
    """Status of each order at the end."""
    return list(record.orders["status"])
