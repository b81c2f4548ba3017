"""A strategy in backtrader alone, and what it heard: nothing of this project takes part but the bars it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import backtrader as bt
import numpy as np
import pandas as pd

from papertape.core.model import EventKind
from papertape.core.series import Series, Tape

ZONE = "America/New_York"


class OrderHeard(NamedTuple):
    """What ``notify_order`` was called with: when (of the bar then heard), which order, in which state."""

    when: Any
    order: int
    side: str
    kind: str
    status: str
    size: float
    executed: float
    price: float
    commission: float


class TradeHeard(NamedTuple):
    """What ``notify_trade`` was called with."""

    when: Any
    symbol: str
    status: int
    size: float
    price: float
    value: float
    pnl: float
    pnlcomm: float
    bars: int


class Bar(NamedTuple):
    """The state of things when a bar was heard: time, position of each data, cash, value, open orders."""

    when: Any
    positions: tuple[float, ...]
    cash: float
    value: float


@dataclass(slots=True)
class Heard:
    """All that one run of a strategy heard."""

    orders: list[OrderHeard] = field(default_factory=list)
    trades: list[TradeHeard] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    timers: list[Any] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)

    @property
    def fills(self) -> list[OrderHeard]:
        """The orders that were executed in whole or in part."""
        return [each for each in self.orders if each.status in ("Completed", "Partial")]


def listening(strategy: type[Any], heard: Heard) -> type[Any]:
    """The strategy, noting all that it hears; its own methods are called as ever."""

    class Listening(strategy):  # type: ignore[misc]  # a class of the package without types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.__first = 0

        def _noted(self) -> Any:
            return self.datetime.datetime(0) if len(self) else None

        def notify_order(self, order: Any) -> None:
            self.__first = self.__first or order.ref
            done = order.executed
            heard.orders.append(
                OrderHeard(
                    self._noted(), order.ref - self.__first, order.ordtypename(), order.getordername(),
                    order.getstatusname(), order.created.size, done.size, done.price, done.comm,
                )
            )  # fmt: skip
            super().notify_order(order)

        def notify_trade(self, trade: Any) -> None:
            heard.trades.append(
                TradeHeard(
                    self._noted(), trade.getdataname(), trade.status, trade.size, trade.price, trade.value, trade.pnl,
                    trade.pnlcomm, trade.barlen,
                )
            )  # fmt: skip
            super().notify_trade(trade)

        def notify_timer(self, timer: Any, when: Any, *args: Any, **kwargs: Any) -> None:
            heard.timers.append(when)
            super().notify_timer(timer, when, *args, **kwargs)

        def _take(self) -> None:
            sizes = tuple(float(self.getposition(data).size) for data in self.datas)
            heard.bars.append(Bar(self._noted(), sizes, self.broker.getcash(), self.broker.getvalue()))

        def prenext(self) -> None:
            self._take()
            super().prenext()

        def nextstart(self) -> None:
            self._take()
            super().nextstart()

        def next(self) -> None:
            if not heard.bars or heard.bars[-1].when != self._noted():  # nextstart calls next where it is not its own
                self._take()
            super().next()

    Listening.__name__ = Listening.__qualname__ = strategy.__name__
    return Listening


def bars_of(tape: Tape) -> dict[str, Series]:
    """The tape's bars by symbol."""
    return {each.symbol: each for each in tape.series if each.kind is EventKind.BAR}


def frame(bars: Series) -> pd.DataFrame:
    """Bars as backtrader's users have them: stamped at the close, in the exchange's time, naive."""
    stamps = pd.DatetimeIndex(bars.ts.astype("datetime64[ns]")).tz_localize("UTC").tz_convert(ZONE).tz_localize(None)
    table = pd.DataFrame(dict(zip(("open", "high", "low", "close", "volume"), bars.columns, strict=True)), index=stamps)
    table["openinterest"] = 0.0
    return table


def feed(bars: Series) -> Any:
    """The data feed of a symbol's bars: minutes, or days where they are as long."""
    assert bars.start is not None
    minutes = int(np.median(bars.ts - bars.start)) // 60_000_000_000
    daily = minutes > 300
    return bt.feeds.PandasDirectData(
        dataname=frame(bars), timeframe=bt.TimeFrame.Days if daily else bt.TimeFrame.Minutes,
        compression=1 if daily else minutes,
    )  # fmt: skip


def run_plain(
    strategy: type[Any],
    tape: Tape,
    symbols: Sequence[str],
    *,
    cash: float = 100_000.0,
    parameters: Mapping[str, Any] | None = None,
    runonce: bool = True,
    commission: Any = None,
) -> Heard:
    """Run a strategy in Cerebro with its own broker on the tape's bars."""
    heard = Heard()
    cerebro = bt.Cerebro(stdstats=False, runonce=runonce)
    bars = bars_of(tape)
    for symbol in symbols:
        cerebro.adddata(feed(bars[symbol]), name=symbol)
    cerebro.broker.setcash(cash)
    if commission is not None:
        cerebro.broker.addcommissioninfo(commission)
    cerebro.addstrategy(listening(strategy, heard), **(parameters or {}))
    cerebro.run()
    return heard
