"""A strategy written for backtrader as one of papertape's: its class unchanged, in a Cerebro of its own.

Cerebro wants to own the loop, and so does a run. Here Cerebro runs in a greenlet on the strategy's thread: where it asks
for more than is known, control goes back to the run; where the run has something to tell, control goes back to Cerebro.
So guard, journal, fills, the two halves of a live run and lockstep are what they are for every strategy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import backtrader as bt
from greenlet import greenlet

from brokers.backtrader_store import DAY_NS, PapertapeStore, WallClock, timeframe_of
from brokers.backtrader_store_broker import PapertapeBroker
from brokers.backtrader_store_data import LiveData, RecordedData, session_of
from feeds.playback import RecordedFeed, bar_interval
from papertape.core.delivery import Bars
from papertape.core.errors import StrategyError
from papertape.core.model import Bar, EventKind, Fill, OrderStatus, OrderUpdate, Trade
from papertape.core.orders import OrderRequest
from papertape.core.ports import Handlers
from papertape.core.requests import duration
from papertape.core.series import F8, I8, Series
from strategies.base import Strategy
from strategies.parameters import Parameter

TICKS = "ticks"
"""What ``bars`` may be instead of a length: each trade is a bar of its own."""
_DELAYED = bt.feed.DataBase.DELAYED


class HostCerebro(bt.Cerebro):
    """A Cerebro that ends when its run does."""

    host: CerebroHost

    def _runonce(self, runstrats: list[Any]) -> None:
        self.host.warm_up_columns(runstrats)
        super()._runonce(runstrats)
        self.host.linger()
        self._brokernotify()
        for strategy in runstrats:
            strategy._notify()

    def _add_timer(self, owner: Any, when: Any, *args: Any, **kwargs: Any) -> Any:
        zone = kwargs.get("tzdata")
        if zone is not None and not isinstance(zone, bt.feed.AbstractDataBase):
            if str(getattr(zone, "key", zone)) != str(self.host.clock_of_run.zone):
                raise StrategyError(
                    f"add_timer(tzdata={zone}): times are the exchange's ({self.host.clock_of_run.zone}); "
                    "leave tzdata out, or give a data"
                )
            kwargs["tzdata"] = None  # its own wall clock
        return super()._add_timer(owner, when, *args, **kwargs)


class CerebroHost(Strategy):
    """Runs the class ``hosted_class``; made by :func:`backtests.cerebro_hosted.hosted`."""

    hosted_class: ClassVar[Any]
    own_names: ClassVar[Mapping[str, str]] = {
        "bars": "bars",
        "backfill": "backfill",
        "preload": "preload",
        "allow_short": "allow_short",
    }
    """The host's parameters -> their names beside those of the hosted class."""

    hosted: Any = None
    """The strategy object, once Cerebro has made it."""
    clock_of_run: WallClock

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """The host's parameters, then those of the hosted class."""
        raise NotImplementedError

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        for name in self.parameter_values.keys() - {"parameter_values", "_session"}:
            del vars(self)[name]  # theirs may be called as a method of ours is: value, cash, log
        values = {name: self.parameter_values[given] for name, given in self.own_names.items()}
        self.bars: str | None = values["bars"]
        self.backfill: int | None = values["backfill"]
        self.preload: bool = values["preload"]
        self.allow_short = values["allow_short"]  # type: ignore[misc]  # each object has its own
        self._greenlet: Any = None
        self._datas: dict[str, Any] = {}
        self._is_preloaded = False
        self._is_over = False
        self._has_ended = False
        self._is_subscribed = False
        self._session_handlers: Handlers | None = None

    def handlers(self) -> Handlers:
        """Trades are heard where each is a bar; otherwise bars."""
        market = {"trade": self.on_trade} if self.bars == TICKS else {"bars": self.on_bars}
        return Handlers(
            start=lambda _: self.on_start(),
            stop=lambda _: self.on_stop(),
            order=self.on_order,
            fill=self.on_fill,
            **market,
        )

    # -- the run tells ------------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Make Cerebro and let it come to where it needs the first bar."""
        if not self.symbols:
            raise StrategyError("no symbols: name them with --symbols, as --symbols AAPL,MSFT")
        self.clock_of_run = WallClock(self._session.calendar.zone)
        self._is_preloaded = self._can_preload()
        if self._is_preloaded:
            self.subscribe(self.symbols, bars=self.bars)
        cerebro = self._make_cerebro()
        main = greenlet.getcurrent()
        self._greenlet = greenlet(cerebro.run, main)
        self._resume()
        self._subscribe()

    def _subscribe(self) -> None:
        if not self._is_preloaded and not self._is_over:
            bars = None if self.bars == TICKS else self.bars
            backfill = self._backfill()
            for data in self._datas.values():
                if backfill:
                    data.put_notification(_DELAYED)
            self.subscribe(self.symbols, bars=bars, warmup=0 if self.bars == TICKS else backfill)

    def on_bars(self, bars: Bars) -> None:
        """The bars of one time."""
        if self._is_over:
            return
        if not self._is_preloaded:
            self._take(bars)
        self._resume()

    def _take(self, bars: Bars) -> None:
        number = self.clock_of_run.number(bars.ts)
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        is_live = not self._session.desk.is_past
        for symbol, *values in zip(bars.symbols, *(each.tolist() for each in columns), strict=True):
            data = self._datas[symbol]
            data.rows.append((is_live, (number, *values)))

    def on_trade(self, trade: Trade) -> None:
        """A trade, as a bar of one price."""
        if self._is_over:
            return
        data = self._datas[trade.symbol]
        price = trade.price
        data.rows.append((True, (self.clock_of_run.number(trade.ts), price, price, price, price, trade.size)))
        self._resume()

    def on_fill(self, fill: Fill) -> None:
        """An execution; the order's status comes right after it."""
        self.cerebro_broker.filled(fill)

    def on_order(self, update: OrderUpdate) -> None:
        """An order has another status."""
        self.cerebro_broker.changed(update)
        if not self._is_preloaded and not self._is_over and self.cerebro_broker.notifs:
            self._resume()

    def on_stop(self) -> None:
        """Let Cerebro come to its end."""
        self._has_ended = True
        self.store.ended = True
        for data in self._datas.values():
            data.ended = True
        while not self._is_over:
            self._resume()

    # -- Cerebro ------------------------------------------------------------------------------------------------------

    def _can_preload(self) -> bool:
        """Whether the bars are a tape's own, so that nothing happens between them."""
        feed = self._session.feed
        if not self.preload or self.bars == TICKS or not isinstance(feed, RecordedFeed):
            return False
        wanted = None if self.bars is None else duration(self.bars).ns or DAY_NS
        for symbol in self.symbols:
            series = feed.own_bars(self._session.instrument_index(symbol))
            if series is None or wanted not in (None, bar_interval(series)):
                return False
        return True

    def _interval_ns(self) -> int | None:
        if self.bars == TICKS:
            return None
        if self.bars is not None:
            return duration(self.bars).ns or DAY_NS
        feed = self._session.feed
        if isinstance(feed, RecordedFeed):
            series = feed.own_bars(self._session.instrument_index(self.symbols[0]))
            return 60_000_000_000 if series is None else bar_interval(series)
        return int(getattr(feed, "own_bars_ns", 60_000_000_000))

    def _make_cerebro(self) -> HostCerebro:
        session = self._session
        cerebro = HostCerebro(stdstats=False, quicknotify=not self._is_preloaded)
        cerebro.host = self
        self.store = PapertapeStore(self)
        self.store._cerebro = cerebro
        cerebro.addstore(self.store)
        self.cerebro_broker = PapertapeBroker(self, self.clock_of_run)
        self.cerebro_broker.waits_each_round = self._is_preloaded
        self.store.broker = self.cerebro_broker
        cerebro.setbroker(self.cerebro_broker)
        timeframe, compression = timeframe_of(self._interval_ns())
        opening, closing = session_of(session.calendar, self.clock_of_run, self.now)
        for symbol in self.symbols:
            kind = RecordedData if self._is_preloaded else LiveData
            data = kind(
                dataname=symbol, name=symbol, timeframe=timeframe, compression=compression,
                sessionstart=opening, sessionend=closing,
            )  # fmt: skip
            data._store = self.store
            if self._is_preloaded:
                data.columns = self._columns(self._series(symbol))
            self._datas[symbol] = data
            cerebro.adddata(data, name=symbol)
        theirs = {name: value for name, value in self.parameter_values.items() if name not in self.own_names.values()}
        cerebro.addstrategy(type(self).hosted_class, **theirs)
        self.cerebro = cerebro
        return cerebro

    def _series(self, symbol: str) -> Series:
        feed = self._session.feed
        assert isinstance(feed, RecordedFeed), "only a tape's bars are known beforehand"
        series = feed.own_bars(self._session.instrument_index(symbol))
        assert series is not None, "it was looked at before"
        return series

    def _columns(self, series: Series) -> tuple[F8, ...]:
        feed = self._session.feed
        assert isinstance(feed, RecordedFeed), "only a tape's bars are known beforehand"
        begin, beyond = series.ts.searchsorted(feed.start, "left"), series.ts.searchsorted(feed.end, "right")
        ts: I8 = series.ts[begin:beyond]
        return (self.clock_of_run.numbers(ts), *(column[begin:beyond] for column in series.columns))

    def warm_up_columns(self, strategies: Sequence[Any]) -> None:
        """Bars are known beforehand: put the ones that the strategy needs before the first in front of them."""

    def _backfill(self) -> int:
        """Bars of the past to hear first: as many as were asked for, else one less than the strategy's indicators need."""
        if self.backfill is not None:
            return self.backfill
        return max(0, max(getattr(self.strategy, "_minperiods", [1])) - 1)

    @property
    def strategy(self) -> Any:
        """Their object."""
        return self.cerebro.runningstrats[0]

    def _resume(self) -> None:
        """Let Cerebro go on; it comes back when it needs more, or when it has ended."""
        self._greenlet.switch()
        if self._greenlet.dead:
            self._is_over = True

    # -- for store, broker and data -----------------------------------------------------------------------------------

    def proceed(self) -> None:
        """Called by Cerebro: hand on what was asked for, and let the run go on."""
        self.cerebro_broker.hand_on()
        if not self._has_ended:
            self._greenlet.parent.switch()

    def linger(self) -> None:
        """Cerebro has no more bars: the run goes on to its end."""
        while not self._has_ended:
            self.proceed()

    def submit(self, request: OrderRequest) -> tuple[int, str]:
        """Give an order; its number, or 0 and why it was refused."""
        return self._session.desk.submit(request, self._session.interrupt())

    def is_accepted(self, number: int) -> bool:
        """Whether the broker has an order already."""
        return self._session.desk.book.status(number) is OrderStatus.SUBMITTED

    def cancel(self, number: Any) -> None:
        """Ask for an order's end."""
        self._session.desk.cancel(number, self._session.interrupt())

    def instrument_index(self, symbol: str) -> int:
        """Index of an instrument within the run."""
        return self._session.instrument_index(symbol)

    def multiplier(self, symbol: str) -> float:
        """Units of currency that one point of price is worth for a quantity of one."""
        return self._session.instruments[self._session.instrument_index(symbol)].multiplier

    def cash(self) -> float:
        """All cash, in base currency."""
        return self.account.cash

    def value(self) -> float:
        """Net liquidation, in base currency."""
        return self.account.equity

    def held(self, symbol: str) -> tuple[float, float]:
        """Signed quantity held and its average cost."""
        position = self.position(symbol)
        return position.quantity, position.average_cost

    def say(self, text: str) -> None:
        """Something for the run's log."""
        self.log(text)

    def note(self, code: str, text: str) -> None:
        """Something that whoever reads the run should know."""
        self._session.log.note(code, text)


__all__ = ["TICKS", "Bar", "CerebroHost", "EventKind", "HostCerebro", "math"]
