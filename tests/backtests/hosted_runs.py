"""What tests of hosted strategies share: bars, runs of both kinds, and the same in a Cerebro of its own."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np
import pytest

from backtests.cerebro_hosted import hosted
from papertape import Run, backtest
from tests.backtests.hosted_strategies import Diary
from tests.strategies.test_sma_cross import MINUTE, OPEN

Bars = list[tuple[float, float, float, float]]
MODES = {"all bars at once": True, "bar by bar": False}
both = pytest.mark.parametrize("preload", MODES.values(), ids=MODES.keys())


def tape(*symbols: str, bars: Bars | None = None, n: int = 60, volume: float = 1000.0) -> dict[str, Any]:
    """Minute bars from 9:30 on: given ones, or ones that wander, of each symbol in its own way."""
    data: dict[str, Any] = {}
    for k, symbol in enumerate(symbols or ("X",)):
        if bars is None:
            close = np.round(100.0 + 3.0 * np.sin(np.arange(n) / 3.0 + k) + np.arange(n) * 0.05, 2)
            first = np.concatenate(([close[0]], close[:-1]))
            columns = [first, np.maximum(first, close) + 0.5, np.minimum(first, close) - 0.5, close]
        else:
            columns = [np.array(each, float) for each in zip(*bars, strict=True)]
        names = ("open", "high", "low", "close")
        size = len(columns[0])
        data[symbol] = {
            "ts": OPEN + MINUTE * np.arange(1, size + 1),
            **dict(zip(names, columns, strict=True)),
            "volume": np.full(size, volume),
        }
    return data


def flat(*changed: tuple[int, tuple[float, float, float, float]], n: int = 12) -> Bars:
    """Bars around 100, but for some of them (counted from 1)."""
    bars = [(100.0, 100.5, 99.5, 100.0)] * n
    for k, bar in changed:
        bars[k - 1] = bar
    return bars


def run(strategy: type, data: Any = None, *, parameters: dict[str, Any] | None = None, **options: Any) -> Run:
    given = {"fees": "none", "bar_stamp": "close", "bar_interval_s": 60, **options}
    return backtest(hosted(strategy), tape() if data is None else data, parameters=parameters, **given)


def plain(strategy: type, data: dict[str, Any], *, cash: float = 100_000.0, **parameters: Any) -> Any:
    """The same in a Cerebro of its own; its broker and the strategy."""
    import pandas as pd

    cerebro = bt.Cerebro(stdstats=False)
    for symbol, columns in data.items():
        index = pd.DatetimeIndex(columns["ts"], tz="UTC").tz_convert("America/New_York").tz_localize(None)
        frame = pd.DataFrame({name: columns[name] for name in ("open", "high", "low", "close", "volume")}, index=index)
        feed = bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes)
        cerebro.adddata(feed, name=symbol)
    cerebro.broker.setcash(cash)
    cerebro.addstrategy(strategy, **parameters)
    return cerebro.run()[0]


def fills(found: Run) -> list[tuple[str, float, float]]:
    table = found.record.fills
    columns = (table[name].tolist() for name in ("side", "quantity", "price"))
    return list(zip(*columns, strict=True))


def played(strategy: type[Diary], bars: Bars, preload: bool, **options: Any) -> tuple[Any, Run]:
    parameters = {"preload": preload, "allow_short": options.pop("allow_short", False)}
    found = run(strategy, tape(bars=bars, volume=options.pop("volume", 1000.0)), parameters=parameters, **options)
    return strategy.last, found
