"""A strategy written for backtrader as one of papertape's: its class unchanged, in a Cerebro of its own.

Cerebro wants to own the loop, and so does a run. Here Cerebro runs in a greenlet on the strategy's thread: where it asks
for more than is known, control goes back to the run; where the run has something to tell, control goes back to Cerebro.
So guard, journal, fills, the two halves of a live run and lockstep are what they are for every strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import backtrader as bt
from greenlet import greenlet

from backtests.cerebro_broker import CerebroBroker
from backtests.cerebro_host_bars import Bars as PreparedBars
from backtests.cerebro_host_bars import interval_of, prepare
from backtests.cerebro_host_past import adopt_orders, adopt_positions
from brokers.backtrader_store import PapertapeStore, WallClock, timeframe_of
from brokers.backtrader_store_broker import PapertapeBroker
from brokers.backtrader_store_data import LiveData, RecordedData, session_of
from papertape.core.delivery import Bars
from papertape.core.errors import StrategyError
from papertape.core.model import FeedUpdate, Fill, OrderStatus, OrderUpdate, Trade
from papertape.core.orders import OrderRequest
from papertape.core.ports import Handlers
from papertape.core.timers import Priority
from strategies.base import Strategy
from strategies.parameters import Parameter

TICKS = "ticks"
"""What ``bars`` may be instead of a length: each trade is a bar of its own."""
LATE_NS = 10_000_000_000
"""A bar that is heard so long after its end, or its own length, is not called live."""
_STATUS = {
    "delayed": bt.feed.DataBase.DELAYED,
    "frozen": bt.feed.DataBase.DELAYED,
    "none": bt.feed.DataBase.NOTSUBSCRIBED,
    "lost": bt.feed.DataBase.CONNBROKEN,
    "down": bt.feed.DataBase.CONNBROKEN,
    "ready": bt.feed.DataBase.DELAYED,
    "failed": bt.feed.DataBase.DISCONNECTED,
}
"""State of the connection, or of one instrument's data -> what backtrader calls it; LIVE is told with the first bar."""


class HostCerebro(bt.Cerebro):
    """A Cerebro that starts and ends with its run."""

    host: CerebroHost

    def _runonce(self, runstrats: list[Any]) -> None:
        self._round_by_round(runstrats, super()._runonce)

    def _round_by_round(self, runstrats: list[Any], play: Callable[[list[Any]], None]) -> None:
        self.host.begin_round_by_round(runstrats[0])
        play(runstrats)
        if self._event_stop:
            self.host.catch_up()
        else:
            self.host.linger()
            if self._broker.notifs:  # what became of orders after the last bar
                self._brokernotify()
                runstrats[0]._notify()

    def _runnext(self, runstrats: list[Any]) -> None:
        if self.host.knows_all_bars:  # and an indicator that can not be computed over columns, as HeikinAshi
            self._round_by_round(runstrats, super()._runnext)
            return
        self.host.begin_bar_by_bar(runstrats[0])
        super()._runnext(runstrats)
        if not self._event_stop:
            self._brokernotify()  # what became of orders after the last bar

    def _add_timer(self, owner: Any, when: Any, *args: Any, **kwargs: Any) -> Any:
        """Times are the exchange's wall clock already: a zone can only be that one. Nobody sees a bar before it is over."""
        if kwargs.get("cheat"):
            raise StrategyError(
                "add_timer(cheat=True): its orders would fill within a bar that it has seen; leave cheat out"
            )
        zone = kwargs.get("tzdata")
        if zone is not None and not isinstance(zone, bt.feed.AbstractDataBase):
            known = str(self.host.wall_clock.zone)
            if str(getattr(zone, "key", zone)) != known:
                raise StrategyError(
                    f"add_timer(tzdata={zone}): times are those of {known}; leave tzdata out, or give a data"
                )
            kwargs["tzdata"] = None
        return super()._add_timer(owner, when, *args, **kwargs)


class CerebroHost(Strategy):
    """Runs the class ``hosted_class``; its subclasses are made by :func:`backtests.cerebro_hosted.hosted`."""

    hosted_class: ClassVar[Any]
    own_names: ClassVar[Mapping[str, str]]
    """The host's parameters -> their names beside those of the hosted class."""
    all_parameters: ClassVar[Mapping[str, Parameter]]

    hosted: Any = None
    """Their object, once Cerebro has made it."""

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """The host's parameters, then those of the hosted class."""
        return dict(cls.all_parameters)

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        for name in self.parameter_values.keys() - {"parameter_values", "_session"}:
            del vars(self)[name]  # theirs may be called as a method of ours is: value, cash, log
        own = {name: self.parameter_values[given] for name, given in self.own_names.items()}
        self.bars: str | None = own["bars"]
        self.backfill: int | None = own["backfill"]
        self.preload: bool = own["preload"]
        self.allow_short = own["allow_short"]  # type: ignore[misc]  # here each object has its own
        values = self.parameter_values
        self._theirs = {name: value for name, value in values.items() if name not in self.own_names.values()}
        # a class or a function as its name, which is the same in the next process
        self.parameter_values = {name: getattr(value, "__qualname__", value) for name, value in values.items()}
        self._datas: dict[str, Any] = {}
        self._prepared: PreparedBars | None = None
        """The bars, where all are known beforehand."""
        self._past_rounds = 0
        self._round = -1
        """Place, within the prepared times, of the bars that Cerebro has come to."""
        self._valued_round = -1
        """The round that ``_value`` was found at."""
        self._value = 0.0
        self._holdings: list[tuple[Any, Any, float, float]] = []
        """Where bars are known beforehand: each data's closes and position, its multiplier and its currency's rate."""
        self._is_behind = False
        """Whether the run has not come as far as Cerebro."""
        self._unannounced: list[Any] = []
        """Datas that were not said to be live yet."""
        self._is_over = False
        """Whether Cerebro has ended."""
        self._has_ended = False
        """Whether the run has."""

    def handlers(self) -> Handlers:
        """Trades are heard where each is a bar; otherwise bars."""
        is_ticks = self.bars == TICKS
        return Handlers(
            start=lambda _: self.on_start(),
            stop=lambda _: self.on_stop(),
            trade=self.on_trade if is_ticks else None,
            bars=None if is_ticks else self.on_bars,
            order=self.on_order,
            fill=self.on_fill,
            feed=self.on_feed,
        )

    # -- the run tells ------------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Make Cerebro, and let it come to where it needs the first bar."""
        if not self.symbols:
            raise StrategyError("no symbols: name them, as --symbols AAPL,MSFT")
        if isinstance(self._session.broker, CerebroBroker):
            raise StrategyError("a backtrader strategy has a Cerebro of its own; leave out engine backtrader")
        self.wall_clock = WallClock(self._session.calendar.zone)
        if self.preload and self.bars != TICKS:
            self._prepared = prepare(self._session, self.symbols, self.bars, self.wall_clock)
        if self._prepared is not None:
            for symbol in self.symbols:
                self._session.watchlist.follow(self._session.instrument_index(symbol), self._session.interrupt())
        self._greenlet = greenlet(self._make_cerebro().run, greenlet.getcurrent())
        self._resume()
        if self._prepared is None and not self._is_over:
            self._subscribe()

    def _subscribe(self) -> None:
        if self.bars == TICKS:
            self.subscribe(self.symbols)
            return
        backfill = self._backfill()
        if backfill:
            for data in self._datas.values():
                data.put_notification(data.DELAYED)
        self.subscribe(self.symbols, bars=self.bars, warmup=backfill)

    def on_bars(self, bars: Bars) -> None:
        """The bars of one time."""
        if self._is_over:
            return
        self.broker.follow()
        number = self.wall_clock.number(bars.ts)
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        is_late = self._session.now - bars.ts > self._late_ns  # as of bars that a broken connection has held up
        is_live = not self._session.desk.is_past and not is_late
        for symbol, *values in zip(bars.symbols, *(each.tolist() for each in columns), strict=True):
            self._datas[symbol].rows.append((is_live, (number, *values)))
        self._resume()

    def on_round(self, _: int) -> None:
        """The run has come to where Cerebro waits for it."""
        self.broker.follow()
        self._is_behind = False
        self._resume()

    def on_trade(self, trade: Trade) -> None:
        """A trade, as a bar of one price."""
        if self._is_over:
            return
        self.broker.follow()
        price = trade.price
        row = (self.wall_clock.number(trade.ts), price, price, price, price, trade.size)
        self._datas[trade.symbol].rows.append((True, row))
        self._resume()

    def on_fill(self, fill: Fill) -> None:
        """An execution; the order's status comes right after it."""
        self.broker.filled(fill)

    def on_order(self, update: OrderUpdate) -> None:
        """An order has another status."""
        self.broker.changed(update)
        self._resume_for_news()

    def on_feed(self, update: FeedUpdate) -> None:
        """The connection, or what is delivered of one instrument, has changed."""
        text = f"{update.symbol}: {update.text}" if update.symbol else update.text
        self.store.put_notification(text, update.state)
        status = _STATUS.get(update.state)
        datas = [self._datas[update.symbol]] if update.symbol in self._datas else list(self._datas.values())
        for data in datas:
            if not update.symbol:
                data.is_cut = update.state != "ready"
            else:
                data.is_late = update.state in ("delayed", "frozen")
            if status is not None:
                data.put_notification(status, update.text)
        self._resume_for_news()

    def _resume_for_news(self) -> None:
        """Where bars are known beforehand, orders are heard with the next one, as in any Cerebro that preloads."""
        if self._prepared is None and not self._is_over and self.store.has_work():
            self._resume()

    def on_stop(self) -> None:
        """Let Cerebro come to its end."""
        self.broker.follow()
        self._has_ended = self.store.ended = True
        for data in self._datas.values():
            data.ended = True
        while not self._is_over:
            self._resume()
        self.broker.hand_on()  # what it gave when it was stopped
        for name, analyzer in () if self.hosted is None else self.hosted.analyzers.getitems():
            self.log(f"{name}: {analyzer.get_analysis()}")

    # -- Cerebro ------------------------------------------------------------------------------------------------------

    def _make_cerebro(self) -> HostCerebro:
        cerebro = HostCerebro(stdstats=False, quicknotify=self._prepared is None)
        cerebro.host = self
        self.store = PapertapeStore(self)
        cerebro.addstore(self.store)
        self.broker = PapertapeBroker(self, self.wall_clock)
        self.store.broker = self.broker
        cerebro.setbroker(self.broker)
        session = self._session
        opening, closing = session_of(session.calendar, self.wall_clock, self.now)
        interval_ns = None if self.bars == TICKS else interval_of(session, self.symbols[0], self.bars)
        self._late_ns = max(interval_ns or 0, LATE_NS)
        timeframe, compression = timeframe_of(interval_ns)
        for symbol in self.symbols:
            kind: Any = LiveData if self._prepared is None else RecordedData
            data = kind(
                dataname=symbol, name=symbol, timeframe=timeframe, compression=compression,
                sessionstart=opening, sessionend=closing,
            )  # fmt: skip
            data._store = self.store
            if self._prepared is not None:
                data.columns = self._prepared.columns[symbol]
            self._datas[symbol] = data
            cerebro.adddata(data, name=symbol)
        cerebro.addstrategy(type(self).hosted_class, **self._theirs)
        self.cerebro = cerebro
        return cerebro

    def _backfill(self) -> int:
        """Bars of the past to hear first: as many as were asked for, else one less than the indicators need."""
        if self.backfill is not None:
            return self.backfill
        return int(max(self.hosted._minperiods)) - 1

    def _resume(self) -> None:
        """Let Cerebro go on; it comes back when it needs more, or when it has ended."""
        try:
            self._greenlet.switch()
        finally:
            self._is_over = self._greenlet.dead
        if self._is_over and not self._has_ended:
            self._end_run("the strategy ended the run")

    def _end_run(self, why: str) -> None:
        """Have the run end in order as soon as the present handler has returned; the rest of a tape's batch is void."""
        session = self._session
        session.ending = why
        session.watchlist.changed = session.watchlist.changed or session.feed.restarts
        session.interrupt()

    # -- for Cerebro --------------------------------------------------------------------------------------------------

    @property
    def knows_all_bars(self) -> bool:
        """Whether the bars of the run are known beforehand."""
        return self._prepared is not None

    def begin_bar_by_bar(self, theirs: Any) -> None:
        """Their object is made: what a process before this one has left is made known to it."""
        self.hosted = theirs
        adopt_positions(theirs, self.broker, list(self._datas.values()))
        adopt_orders(theirs, self.broker, self._session.desk, self._datas)

    def begin_round_by_round(self, theirs: Any) -> None:
        """The same where bars are known beforehand: those of the past that its indicators need go in front of them."""
        self.hosted = theirs
        assert self._prepared is not None, "bars are known beforehand"
        self.store.waits = False
        guard = self._session.guard.settings
        self._is_watched = guard.max_drawdown is not None or bool(guard.cash_floor) or bool(self._session.actions)
        account = self._session.state.account
        self._read_cash, self._read_working = account["cash"].item, account["working"].item  # asked at every bar
        self._holdings = [self._holding(symbol, data) for symbol, data in self._datas.items()]
        self._unannounced = list(self._datas.values())
        self._past_rounds = self._prepared.put_in_front(self._session, self._backfill(), self._datas)
        if self._past_rounds:
            for data in self._datas.values():
                data.put_notification(data.DELAYED)

    def next_round(self) -> None:
        """Cerebro has come to the bars of the next time: so does the run, where these are not of the past."""
        if self._prepared is None:
            return
        is_past = self._past_rounds > 0
        if self.broker.has_orders:
            self._hand_on_in_time()
        if is_past:
            self._past_rounds -= 1
        else:
            self._round += 1
            self._is_behind = True
            if self._must_follow():
                self.catch_up()
        if self._unannounced:
            self._announce(is_past=is_past)

    def _hand_on_in_time(self) -> None:
        """Give what was asked for at the bar before, as of its close; on bars of the past no order can be given."""
        desk = self._session.desk
        if self._round >= 0:
            self.catch_up()
        desk.is_past = self._round < 0
        try:
            self.broker.hand_on()
        finally:
            desk.is_past = False

    def _must_follow(self) -> bool:
        """Whether anything can happen in the run that Cerebro has to know of: an order executed, a limit crossed."""
        if self._read_working(0):
            return True
        return self._is_watched and any(each.quantity for each in self._session.ledger.positions)

    def catch_up(self) -> None:
        """Let the run come to the bars that Cerebro has come to."""
        if self._is_behind and not self._has_ended:
            assert self._prepared is not None, "bars are known beforehand"
            self._session.interrupt()
            self._session.timers.add(self._prepared.times[self._round], Priority.BARS, self._due)
            self._greenlet.parent.switch()

    def _due(self, ts: int) -> None:
        self._session.wake(self.on_round, ts)

    def _announce(self, *, is_past: bool) -> None:
        """Have the strategy told of datas that are delayed or live, as it is in any other mode."""
        if not is_past:
            for data in [each for each in self._unannounced if len(each) > each.past]:
                data.put_notification(data.LIVE)
                self._unannounced.remove(data)
        self.cerebro._datanotify()

    def proceed(self) -> None:
        """Hand on what was asked for, and let the run go on."""
        self.broker.hand_on()
        if not self._has_ended:
            self._greenlet.parent.switch()

    def linger(self) -> None:
        """Cerebro has no more bars: the run goes on to its end."""
        if self.broker.has_orders:
            self._hand_on_in_time()
        self._is_behind = False
        while not self._has_ended:
            self._greenlet.parent.switch()

    # -- for the broker -----------------------------------------------------------------------------------------------

    def submit(self, request: OrderRequest) -> tuple[int, str]:
        """Give an order; its number, or 0 and why it was refused."""
        return self._session.desk.submit(request, self._session.interrupt())

    def is_accepted(self, number: int) -> bool:
        """Whether the broker has an order already."""
        return self._session.desk.book.status(number) is OrderStatus.SUBMITTED

    def cancel(self, number: Any) -> None:
        """Ask for an order's end."""
        self._session.desk.cancel(number, self._session.interrupt())

    def fee(self, number: int) -> float:
        """What an order has cost so far."""
        return float(self._session.state.orders["fee"][number - 1])

    def instrument_index(self, symbol: str) -> int:
        """Index of an instrument within the run."""
        return self._session.instrument_index(symbol)

    def multiplier(self, symbol: str) -> float:
        """Units of currency that one point of price is worth for a quantity of one."""
        return self._session.instruments[self._session.instrument_index(symbol)].multiplier

    def cash(self) -> float:
        """All cash, in base currency."""
        return float(self._read_cash(0)) if self._is_behind else self.account.cash

    def value(self) -> float:
        """Net liquidation, in base currency; where the run is not asked, by the bars that Cerebro has come to."""
        if not self._is_behind:
            return self.account.equity
        if self._valued_round != self._round:  # backtrader asks several times a round, and nothing happens within one
            self._valued_round = self._round
            worth = 0.0
            for closes, position, multiplier, rate in self._holdings:
                if position.size:
                    worth += position.size * closes[0] * multiplier * rate
            self._value = self._read_cash(0) + worth
        return self._value

    def _holding(self, symbol: str, data: Any) -> tuple[Any, Any, float, float]:
        session = self._session
        j = session.instrument_index(symbol)
        rate = float(session.state.instruments["rate"][j])
        return data.lines.close, self.broker.getposition(data), session.instruments[j].multiplier, rate

    @property
    def now(self) -> int:
        """Time of what is being heard, UTC nanoseconds."""
        if self._is_behind and self._prepared is not None:
            return self._prepared.times[self._round]
        return self._session.now

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
