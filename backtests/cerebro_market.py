"""Inside Cerebro: feeds that a tape is handed to event by event, backtrader's broker, and a shell of a strategy.

Nothing here decides when what happens: :class:`Conductor` (``backtests/cerebro.py``) says what Cerebro's next step
shows, and hears when its broker is done with it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from brokers.fees import NO_REGULATORY, FeeModel, order_fee
from papertape.core.model import Instrument, OrderStatus, OrderType, Side
from papertape.core.orders import OrderRequest
from papertape.core.series import F8

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # escapes and modules that newer Pythons frown at, none of them ours to mend
    import backtrader as bt

VERSION = str(bt.__version__)
DAY_NS = 86_400_000_000_000
EPOCH_DAYS = 719_163
"""backtrader counts days from year 1; this is 1970-01-01."""

EXEC_TYPES: Mapping[OrderType, int] = {
    OrderType.MARKET: bt.Order.Market,
    OrderType.LIMIT: bt.Order.Limit,
    OrderType.STOP: bt.Order.Stop,
    OrderType.STOP_LIMIT: bt.Order.StopLimit,
}
_ENDS: Mapping[int, OrderStatus] = {
    bt.Order.Canceled: OrderStatus.CANCELLED,
    bt.Order.Expired: OrderStatus.EXPIRED,
    bt.Order.Margin: OrderStatus.REJECTED,
    bt.Order.Rejected: OrderStatus.REJECTED,
}
_FILLS = (bt.Order.Partial, bt.Order.Completed)


class Shown(NamedTuple):
    """An event that Cerebro is shown: prices of a bar, all equal for a trade. Times in UTC ns; a trade starts as it ends."""

    start: int
    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    is_bar: bool
    is_regular: bool
    """Whether it is of the exchange's session."""


class Told(NamedTuple):
    """What backtrader's broker has said of an order: a fill (quantity above 0), or its end."""

    number: int
    ts: int
    quantity: float
    price: float
    fee: float
    status: OrderStatus
    no_cash: bool


class Conductor(Protocol):
    """Who says what comes next."""

    def begin(self) -> None:
        """Cerebro is ready: its first step shows each instrument without a price."""

    def showing(self, j: int) -> Shown | None:
        """What the present step shows of an instrument."""

    @property
    def is_over(self) -> bool:
        """Whether there are no more steps."""

    def step_done(self) -> None:
        """Cerebro's broker has seen the step: let the strategy hear it, and prepare the next."""


def day_number(ts: int) -> float:
    """A time (UTC ns) as backtrader keeps it, days since year 1; its steps are 10 us wide in this century."""
    return EPOCH_DAYS + ts // DAY_NS + (ts % DAY_NS) / DAY_NS


class TapeFeed(bt.feed.DataBase):
    """One instrument, as a feed. Each step of Cerebro it has one event or none."""

    params = (("conductor", None), ("index", 0), ("clock", None))

    def next(self, datamaster: Any = None, ticks: bool = True) -> bool | None:
        """Whether the step has an event of this instrument; None where another one has, False where nothing follows."""
        conductor: Conductor = self.p.conductor
        if conductor.showing(self.p.index) is None:
            return False if conductor.is_over else None
        moved: bool = super().next(datamaster=datamaster, ticks=ticks)
        return moved

    def load(self) -> bool:
        """Take the step's event."""
        shown = self.p.conductor.showing(self.p.index)
        self.forward()
        lines = self.lines
        lines.datetime[0] = self.p.clock.at(shown.ts)
        lines.open[0], lines.high[0], lines.low[0], lines.close[0] = shown.open, shown.high, shown.low, shown.close
        lines.volume[0], lines.openinterest[0] = shown.volume, 0.0
        return True


class StepClock:
    """Cerebro's time: that of the tape, and later at every step, by the least that backtrader can tell apart.

    Two events within 10 us, or at the same time, stay two steps in their order.
    """

    def __init__(self) -> None:
        self._ts = -1
        self._step = -1
        self._last = 0.0
        self.step = 0
        """Number of the present step."""

    def at(self, ts: int) -> float:
        """Time of the present step, whose events are of ``ts``."""
        if self._step != self.step:
            self._step = self.step
            self._last = max(day_number(ts), math.nextafter(self._last, math.inf))
        return self._last


class OrderCosts:
    """Fees of one order after the other by one of our models; what backtrader asks for in parts is one order's whole."""

    def __init__(self, model: FeeModel) -> None:
        self.regulatory: F8 = NO_REGULATORY.copy()
        """Rates of the trade date."""
        self._model = model.vector()
        self._month = 0.0
        self.begin()

    def begin(self) -> None:
        """The next order."""
        self._shares = self._value = self._charged = 0.0

    def part(self, size: float, value: float) -> float:
        """Fee of another part of the order: ``size`` units, signed, for ``value`` (>= 0)."""
        self._shares += abs(size)
        self._value += value
        side = Side.SELL if size < 0 else Side.BUY
        whole = float(order_fee(self._model, self.regulatory, self._shares, self._value, self._month, int(side), False))
        part, self._charged = whole - self._charged, whole
        return part


class TapeCommission(bt.CommInfoBase):
    """A stock's value and cost, with its multiplier, and fees by one of our models."""

    params = (("costs", None), ("stocklike", True), ("commtype", bt.CommInfoBase.COMM_FIXED))

    def getvaluesize(self, size: float, price: float) -> float:
        """Value of a holding, negative when short."""
        return float(size * price * self.p.mult)

    def getoperationcost(self, size: float, price: float) -> float:
        """Cash that an operation needs."""
        return abs(self.getvaluesize(size, price))

    def getcommission(self, size: float, price: float) -> float:
        """Fee of a part of an order that closes a holding or opens one."""
        costs: OrderCosts = self.p.costs
        return costs.part(size, abs(size * price * self.p.mult))

    def confirmexec(self, size: float, price: float) -> None:
        """An order was executed, for what was asked before."""


class TapeBroker(bt.brokers.BackBroker):
    """backtrader's broker. Of what it does, only *when* is ours: an event counts once, for orders given before it.

    An order's ``info`` has our ``number``, ``since`` (UTC ns; events that begin earlier are not for it), and whether it
    acts ``outside_hours``.

    Cerebro tries all working orders at each step of any feed, against whatever bar their own feed showed last. So an
    order that is given after that bar could fill at prices from before it was decided.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Told] = []
        self.events: Callable[[Any], Shown | None] = lambda feed: None
        """What the present step shows of a feed."""
        self.costs: OrderCosts | None = None

    def _try_exec(self, order: Any) -> None:
        shown = self.events(order.data)
        if shown is None:
            return
        since = order.info["since"]
        begins_after = shown.start >= since if shown.is_bar else shown.ts > since
        if begins_after and (shown.is_regular or order.info["outside_hours"]):
            super()._try_exec(order)

    def _execute(self, order: Any, *args: Any, **named: Any) -> Any:
        assert self.costs is not None, "the broker has its fees"
        self.costs.begin()
        return super()._execute(order, *args, **named)

    def notify(self, order: Any) -> None:
        """Something has become of an order: for Cerebro as ever, and at once for us."""
        super().notify(order)
        status = order.status
        if status not in _FILLS and status not in _ENDS:
            return
        number = order.info["number"]
        shown = self.events(order.data)
        if status in _FILLS:
            assert shown is not None, "fills come of events"
            bit = order.executed.exbits[-1]
            # Cerebro tells the bar only; what pays the bar's open was paid at its open.
            ts = shown.start if bit.price == shown.open else shown.ts
            self.told.append(Told(number, ts, abs(bit.size), bit.price, bit.comm, OrderStatus.FILLED, no_cash=False))
            if status == bt.Order.Completed:
                for child in self._pchildren.get(order.ref, ()):
                    child.info["since"] = max(child.info["since"], shown.ts)
        else:
            no_cash = status == bt.Order.Margin
            self.told.append(Told(number, 0, 0.0, math.nan, 0.0, _ENDS[status], no_cash))


class Shell(bt.Strategy):
    """What Cerebro takes for the strategy: it hands each step on."""

    params = (("conductor", None),)

    def start(self) -> None:
        """The run begins."""
        self.p.conductor.begin()

    def prenext(self) -> None:
        """The same as :meth:`next`: instruments that have shown nothing yet keep nobody waiting."""
        self.next()

    def next(self) -> None:
        """Cerebro's broker is done with a step."""
        self.p.conductor.step_done()


class Market:
    """A Cerebro with a feed for each instrument. Orders go by our numbers."""

    def __init__(self, conductor: Conductor, instruments: Sequence[Instrument], cash: float, costs: OrderCosts) -> None:
        self.clock = StepClock()
        self.costs = costs
        self.cerebro = bt.Cerebro(stdstats=False, preload=False, runonce=False, exactbars=1)
        self.broker = TapeBroker()
        self.broker.set_cash(cash)
        self.broker.costs = costs
        self.broker.events = lambda feed: conductor.showing(feed.p.index)
        self.cerebro.setbroker(self.broker)
        self.feeds = []
        for j, each in enumerate(instruments):
            # Of days, so that analyzers go by days unless they are told otherwise.
            feed = TapeFeed(conductor=conductor, index=j, clock=self.clock, timeframe=bt.TimeFrame.Days)
            self.cerebro.adddata(feed, name=each.symbol)
            self.broker.addcommissioninfo(TapeCommission(costs=costs, mult=each.multiplier), name=each.symbol)
            self.feeds.append(feed)
        self.cerebro.addstrategy(Shell, conductor=conductor)
        self._orders: dict[int, Any] = {}
        self._leaders: dict[int, Any] = {}
        """One-cancels-other group -> its first order."""

    def run(self) -> Any:
        """Let Cerebro run from begin to end; returns the shell, which has the analyzers."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"backtrader(\.|$)")
            return self.cerebro.run()[0]

    def give(self, orders: Sequence[tuple[int, OrderRequest, int, float]]) -> None:
        """Give an order, or one with its children after it, as one.

        Each is its number, what was asked for, when (UTC ns), and the last price known, NaN unknown.
        """
        owner = self.cerebro.runningstrats[0]
        parent = None
        for place, (number, request, now, reference) in enumerate(orders):
            price, limit = prices_of(request, reference)
            given = self.broker.buy if request.side is Side.BUY else self.broker.sell
            order = given(
                owner, self.feeds[request.instrument], request.quantity, price=price, plimit=limit,
                exectype=EXEC_TYPES[request.type], parent=parent, transmit=place == len(orders) - 1,
                oco=self._leaders.get(request.group) if parent is None else None,
                number=number, since=now, outside_hours=request.outside_hours,
            )  # fmt: skip
            self._orders[number] = order
            if parent is None:
                parent = order
                if request.group:
                    self._leaders.setdefault(request.group, order)

    def cancel(self, number: int) -> None:
        """Take an order back; what ends with it is told."""
        self.broker.cancel(self._orders[number])

    def take_told(self) -> list[Told]:
        """What the broker has said since."""
        told, self.broker.told = self.broker.told, []
        for each in told:
            if each.status is not OrderStatus.FILLED:
                self._orders.pop(each.number, None)
        return told

    def deposit(self, amount: float) -> None:
        """Cash that is no trade."""
        self.broker.add_cash(amount)
        self.broker.getvalue(datas=self.feeds[:1])  # it is taken in when values are asked for

    @property
    def cash(self) -> float:
        """Cash of the broker."""
        return float(self.broker.getcash())

    def holding(self, j: int) -> float:
        """Units that the broker holds of an instrument."""
        return float(self.broker.getposition(self.feeds[j]).size)


def prices_of(request: OrderRequest, reference: float) -> tuple[float | None, float | None]:
    """An order's price and limit as backtrader names them.

    A market order's price is what its cost is expected by when it is taken in; None where no price is known.
    """
    match request.type:
        case OrderType.LIMIT:
            return request.limit_price, None
        case OrderType.STOP:
            return request.stop_price, None
        case OrderType.STOP_LIMIT:
            return request.stop_price, request.limit_price
    return (reference if reference == reference else None), None
