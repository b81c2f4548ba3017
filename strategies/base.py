"""What every strategy is made of: callbacks to override, and requests to make of the session.

A strategy is a plain class. It never asks whether it runs on tape, on paper or live.
"""

from __future__ import annotations

import datetime as dt
import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Unpack, cast
from zoneinfo import ZoneInfo

import numpy as np

from papertape.core import scanner
from papertape.core.delivery import Bars
from papertape.core.errors import StrategyError
from papertape.core.filters import Filter
from papertape.core.ledger import Account, Position
from papertape.core.model import (
    NS_PER_S,
    Bar,
    Fill,
    OrderUpdate,
    Quote,
    Scan,
    ScanSpec,
    Severity,
    Side,
    TimeEvent,
    TimeInForce,
    Trade,
)
from papertape.core.orders import Order, OrderRequest
from papertape.core.ports import Handlers
from papertape.core.requests import (
    Awaited,
    ConfirmRequest,
    HistoryRequest,
    ScanRequest,
    SnapshotRequest,
    duration,
)
from papertape.core.schedule import time_of_day
from papertape.core.session import Session
from papertape.core.timers import Priority
from strategies.order_terms import OrderTerms, requested
from strategies.parameters import Parameter, checked_values, parameters_of

_BUY = Side.BUY
_SELL = Side.SELL
_CALLBACKS = ("start", "trade", "quote", "bar", "bars", "scan", "time", "order", "fill", "stop")


class Bracket(NamedTuple):
    """An entry with its two exits; filling one exit cancels the other."""

    entry: Order
    stop: Order
    target: Order | None


class _NotRunning:
    """Stands where the session will be, and says so to who asks it for anything."""

    def __init__(self, strategy: str) -> None:
        self._strategy = strategy

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copying and pickling ask of any object
            raise AttributeError(name)
        raise StrategyError(f"{self._strategy} is not running: requests can be made from on_start on")


class Strategy:
    """Base of all strategies. Parameters are typed class attributes and keyword arguments of the constructor."""

    allow_short: ClassVar[bool] = False
    """Whether it may sell what it does not hold."""

    symbols: Sequence[str] = ()
    """The instruments named for the run, or all that the tape has; set before ``on_start``."""

    def __init__(self, **parameters: Any) -> None:
        values = checked_values(self.parameters(), parameters)
        for name, value in values.items():
            setattr(self, name, value)
        self.parameter_values: Mapping[str, Any] = values
        self._session = cast(Session, _NotRunning(type(self).__name__))  # a plain attribute: it is read at every event

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """The class's parameters by name."""
        return parameters_of(cls, Strategy)

    # -- callbacks: override what you need ------------------------------------------------------------------

    def on_start(self) -> Any:
        """The run starts: subscribe, scan, set timers. A callback may be ``async def``."""

    def on_trade(self, trade: Trade) -> Any:
        """A print of a subscribed instrument for which the subscription's filter holds."""

    def on_quote(self, quote: Quote) -> Any:
        """A new best bid and ask."""

    def on_bar(self, bar: Bar) -> Any:
        """A bar has closed."""

    def on_bars(self, bars: Bars) -> Any:
        """All subscribed bars that closed at one time, as columns; after ``on_bar`` of each."""

    def on_scan(self, scan: Scan) -> Any:
        """A scan was evaluated; called once for each evaluation, with zero rows too."""

    def on_time(self, time: TimeEvent) -> Any:
        """A timer of :meth:`at` or :meth:`every` is due."""

    def on_order(self, update: OrderUpdate) -> Any:
        """An order of this run changed its state."""

    def on_fill(self, fill: Fill) -> Any:
        """An order of this run was executed, in whole or in part."""

    def on_stop(self) -> Any:
        """The run ends."""

    # -- what is known now ------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Time of what is being heard, UTC nanoseconds."""
        return self._session.now

    @property
    def clock(self) -> dt.datetime:
        """The same in the exchange's zone, to the microsecond."""
        return dt.datetime.fromtimestamp(self.now / NS_PER_S, ZoneInfo(self._session.calendar.zone))

    @functools.cached_property
    def random(self) -> np.random.Generator:
        """Random numbers that depend on the run's ``seed`` alone: the same run draws the same ones again."""
        return np.random.default_rng(self._session.seed)

    @property
    def account(self) -> Account:
        """Cash, net liquidation, peak."""
        return self._session.ledger.account

    def position(self, symbol: str) -> Position:
        """The position in an instrument, counting what is in flight; flat where nothing is held."""
        session = self._session
        found = session.ledger.by_symbol.get(symbol)
        return session.ledger.positions[session.instrument_index(symbol)] if found is None else found

    @property
    def positions(self) -> list[Position]:
        """All positions that are not flat."""
        return [each for each in self._session.ledger.positions if each.quantity]

    def working_orders(self, symbol: str | None = None) -> list[Order]:
        """Orders that can still fill, of one instrument or of all, oldest first."""
        session = self._session
        j = None if symbol is None else session.instrument_index(symbol)
        book = session.desk.book
        return [Order(book, number, book.requests[number - 1]) for number in book.working(j)]

    # -- market data ------------------------------------------------------------------------------------------

    def subscribe(
        self,
        symbols: str | Iterable[str],
        *,
        when: Filter | None = None,
        bars: str | float | None = None,
        warmup: int = 0,
    ) -> None:
        """Hear instruments from now on, only where the filter ``when`` holds.

        Trades go to ``on_trade``, quotes to ``on_quote``, bars to ``on_bar``/``on_bars``. ``bars`` is their
        interval (``"5m"``, ``"1h"``, ``"1d"`` or seconds); without it the tape's own bars are heard.

        ``warmup``: hear the last so many bars that are over already first, in order, of all the symbols together, so
        that what is computed of them stands where it would. No order can be given on them.
        """
        session = self._session
        length = None if bars is None else duration(bars)
        bars_ns = None
        if length is not None:
            bars_ns = length.ns or 86_400 * NS_PER_S
            if length.sessions > 1:
                raise StrategyError(f"bars of {bars}: up to one session is possible")
        if warmup < 0:
            raise StrategyError(f"warmup={warmup}: it is a number of bars, 0 or more")
        now = session.interrupt()
        names = [symbols] if isinstance(symbols, str) else list(symbols)
        indices = [session.instrument_index(symbol) for symbol in names]
        heard = [session.watchlist.hear(j, when, bars_ns, now, warmup) for j in indices]
        deaf = [symbol for symbol, kinds in zip(names, heard, strict=True) if not kinds]
        hears_bars = session.handlers.bar is not None or session.handlers.bars is not None
        if deaf and hears_bars and session.handlers.trade is None and session.handlers.quote is None:
            raise StrategyError(f'there are no bars of {deaf[0]}; subscribe(..., bars="1m") makes them from trades')
        if deaf:
            text = f"{deaf[0]} (and {len(deaf) - 1} more)" if len(deaf) > 1 else deaf[0]
            session.log.note("nothing_to_hear", f"the tape has no events of {text} that the strategy's callbacks hear")
        if warmup and hears_bars:
            session.warm_up(list(dict.fromkeys(indices)), warmup)

    def unsubscribe(self, symbols: str | Iterable[str]) -> None:
        """Hear nothing more of instruments."""
        for symbol in [symbols] if isinstance(symbols, str) else list(symbols):
            self._session.interrupt()
            self._session.watchlist.forget(self._session.instrument_index(symbol))

    def scan(
        self,
        scan: ScanSpec | scanner.ScanCode | str,
        rows: int = 50,
        *,
        at: str | None = None,
        every: str | float | None = None,
    ) -> None:
        """Evaluate a scan once, at the session time ``at`` (at once if that has passed today, or without it).

        ``every`` repeats it: ``"day"`` at the same time of each session, else an interval. Each evaluation
        calls ``on_scan`` exactly once.
        """
        session = self._session
        request = ScanRequest(scanner.scan_spec(scan), rows)

        def evaluate(ts: int) -> None:
            session.ask(request, self._heard_scan)

        self._repeat(evaluate, at, every, at_once=True)

    def _heard_scan(self, reply: Any) -> Any:
        scan: Scan = reply.value
        self._session.log.scans.append(scan)
        if scan.note:
            self._session.log.note("scan", f"scan {scan.code}: {scan.note}", Severity.INFO)
        return self.on_scan(scan)

    def snapshot(self, symbols: Iterable[str]) -> Awaited:
        """``await`` it: last prices of many instruments at once, by symbol; ``.missing`` names what did not come."""
        return Awaited(SnapshotRequest(self._known(symbols)))

    def history(self, symbols: str | Iterable[str], length: str, bar: str) -> Awaited:
        """``await`` it: lists of bars by symbol over ``length`` (``"2 D"``, ``"3 h"``) up to now; ``.missing`` too."""
        names = self._known([symbols] if isinstance(symbols, str) else symbols)
        return Awaited(HistoryRequest(names, duration(length), duration(bar)))

    def confirm(self, question: str, cost: float = 0.0) -> Awaited:
        """``await`` it: ``.value`` is whether the person (elsewhere: the configuration) says yes."""
        return Awaited(ConfirmRequest(question, cost))

    def _known(self, symbols: Iterable[str]) -> tuple[str, ...]:
        names = tuple(symbols)
        for name in names:
            self._session.instrument_index(name)
        return names

    # -- orders -------------------------------------------------------------------------------------------------

    def buy(self, symbol: str, quantity: float, **terms: Unpack[OrderTerms]) -> Order:
        """Buy at the market, or by the terms of :meth:`order`."""
        return self.order(symbol, _BUY, quantity, **terms) if terms else self.order(symbol, _BUY, quantity)

    def sell(self, symbol: str, quantity: float, **terms: Unpack[OrderTerms]) -> Order:
        """Sell at the market, or by the terms of :meth:`order`."""
        return self.order(symbol, _SELL, quantity, **terms) if terms else self.order(symbol, _SELL, quantity)

    def order(self, symbol: str, side: Side, quantity: float, **terms: Unpack[OrderTerms]) -> Order:
        """Give an order: at the market for the day, or by its terms (see :class:`OrderTerms`).

        What is given of ``limit``, ``stop``, ``trail`` and ``on_close`` makes its type. A refused order comes back
        with status REJECTED and a reason.
        """
        session = self._session
        j = session.index.get(symbol, -1)
        if j < 0:
            j = session.instrument_index(symbol)
        if terms:
            request = requested(j, symbol, side, quantity, terms, session.now)
            parent = terms.get("parent")
            if parent is not None and parent.number == 0:
                return Order(session.desk.book, 0, request, "its parent order was refused")
        else:
            request = OrderRequest(j, symbol, side, float(quantity))
        desk = session.desk
        number, reason = desk.submit(request, session.interrupt())
        return Order(desk.book, number, request, reason)

    def bracket(
        self,
        symbol: str,
        side: Side,
        quantity: float,
        *,
        stop: float,
        target: float | None = None,
        limit: float | None = None,
        tif: TimeInForce | str = TimeInForce.GTC,
        tag: str = "",
    ) -> Bracket:
        """An entry at the market (or ``limit``, DAY) with a protective stop and, if given, a target, as one."""
        group = self.new_group() if target is not None else 0
        terms: OrderTerms = {"tag": tag} if limit is None else {"tag": tag, "limit": limit}
        entry = self.order(symbol, side, quantity, **terms)
        away = Side(-side)
        guard = self.order(symbol, away, quantity, stop=stop, tif=tif, group=group, parent=entry, tag=tag)
        profit = None
        if target is not None:
            profit = self.order(symbol, away, quantity, limit=target, tif=tif, group=group, parent=entry, tag=tag)
        return Bracket(entry, guard, profit)

    def new_group(self) -> int:
        """A new one-cancels-other group for :meth:`order`."""
        return self._session.desk.new_group()

    def cancel(self, order: Order) -> None:
        """Ask for an order to be cancelled; cancelling what has ended does nothing."""
        if order.is_working:
            self._session.desk.cancel(order.number, self._session.interrupt())

    def modify(
        self, order: Order, *, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> None:
        """Ask for a working order's total quantity or prices to be replaced."""
        self._session.desk.modify(order.number, quantity, limit, stop, self._session.interrupt())

    # -- time -----------------------------------------------------------------------------------------------------

    def at(self, time: str, *, every: str | float | None = None, label: str = "") -> None:
        """Have ``on_time`` called at the next ``"15:55"``, ``"open+5m"`` or ``"close-5m"``; every session with ``"day"``."""
        event_label = label or time
        self._repeat(lambda ts: self._tick(ts, event_label), time, every, at_once=False)

    def every(self, interval: str | float, *, label: str = "") -> None:
        """Have ``on_time`` called at each multiple of an interval (``"5m"``, seconds), from the epoch."""
        event_label = label or str(interval)
        self._repeat(lambda ts: self._tick(ts, event_label), None, interval, at_once=False)

    def _tick(self, ts: int, label: str) -> None:
        self._session.wake(self.on_time, TimeEvent(ts, label))

    def _repeat(self, action: Any, at: str | None, every: str | float | None, *, at_once: bool) -> None:
        """Arrange for ``action(ts)`` at a session time and then as often as ``every`` says."""
        session = self._session
        now = session.interrupt()
        each_day = every == "day"
        length = None if every is None or each_day else duration(every)
        if length is not None and length.sessions:
            each_day, length = True, None

        def again(ts: int) -> None:
            action(ts)
            if length is not None:
                following = (ts // length.ns + 1) * length.ns
                session.timers.add(following, Priority.STRATEGY, again)
            elif each_day and clock is not None:
                next_day = next((t for t in clock.upcoming(session.calendar, ts)), None)
                if next_day is not None:
                    session.timers.add(next_day, Priority.STRATEGY, again)

        clock = time_of_day(at) if at is not None else (time_of_day("open") if each_day else None)
        if clock is None:
            if at_once or length is None:
                again(now)
            else:
                session.timers.add((now // length.ns + 1) * length.ns, Priority.STRATEGY, again)
            return
        today = session.time_today(clock)
        if at_once and today is not None and today <= now:
            again(now)
            return
        first = next((t for t in clock.upcoming(session.calendar, now)), None)
        if first is not None:
            session.timers.add(first, Priority.STRATEGY, again)

    # -- saying things ----------------------------------------------------------------------------------------------

    def log(self, *words: object) -> None:
        """Say something; it is kept with the run and shown with its time."""
        self._session.log.say(self.now, " ".join(map(str, words)))

    def record(self, name: str, value: float) -> None:
        """A value of a series of the strategy's own, for the report."""
        self._session.log.record(self.now, name, float(value))

    # -- for the session ----------------------------------------------------------------------------------------------

    @property
    def has_begun(self) -> bool:
        """Whether its run has begun."""
        return not isinstance(self._session, _NotRunning)

    def bind(self, session: Session, symbols: Sequence[str]) -> None:
        """Attach to the session that runs it; once in a strategy's life, so that no state leaks between runs."""
        if self.has_begun:
            raise StrategyError(f"this {type(self).__name__} has run already; make a new one for another run")
        self._session = session
        self.symbols = list(symbols)

    def handlers(self) -> Handlers:
        """The callbacks that the class overrides."""
        found = {}
        for name in _CALLBACKS:
            if getattr(type(self), f"on_{name}") is not getattr(Strategy, f"on_{name}"):
                method = getattr(self, f"on_{name}")
                found[name] = _without_argument(method) if name in ("start", "stop") else method
        return Handlers(**found)


def _without_argument(method: Any) -> Any:
    if inspect.iscoroutinefunction(method):

        async def call_async(_: None) -> None:
            await method()

        return call_async
    return lambda _: method()
