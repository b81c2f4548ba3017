"""A backtrader broker over a papertape run: orders go past the guard to the run's broker, reports come back as orders.

Cash, value and positions are the run's. Orders that one callback gives are handed on together when it has returned, so
that brackets and one-cancels-other orders reach the broker as what they are.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import backtrader as bt

from brokers.backtrader_store import Host, PapertapeStore, WallClock, plain
from brokers.backtrader_store_orders import UnavailableError, request_of
from papertape.core.errors import StrategyError
from papertape.core.model import Fill, OrderStatus, OrderUpdate, Side
from papertape.core.orders import OrderRequest
from papertape.core.state import REASON_TEXT, Reason

_UNPAID = frozenset({REASON_TEXT[Reason.NO_CASH], REASON_TEXT[Reason.NO_MARGIN]})
"""Reasons that are a margin call in backtrader's words."""
_NOT_HERE = frozenset(
    [
        "set_cash",
        "setcash",
        "add_cash",
        "set_slippage_perc",
        "set_slippage_fixed",
        "set_filler",
        "set_checksubmit",
        "set_coc",
        "set_coo",
        "set_shortcash",
        "set_int2pnl",
        "set_eosbar",
        "seteosbar",
        "set_fundstartval",
    ]
)
"""What backtrader's simulated broker can be told, and a run is told by its options."""


class RunCommission(bt.CommInfoBase):
    """Values and profits of an instrument by its multiplier. What an execution costs comes with it."""

    params = (("commission", 0.0), ("stocklike", True), ("commtype", bt.CommInfoBase.COMM_FIXED))

    def getoperationcost(self, size: float, price: float) -> float:
        """What so many units are worth."""
        return float(abs(size) * price * self.p.mult)

    def getvaluesize(self, size: float, price: float) -> float:
        """The same with the size's sign."""
        return float(size * price * self.p.mult)

    def getsize(self, price: float, cash: float) -> int:
        """Whole units that cash pays for."""
        return int(cash // (price * self.p.mult))


@dataclass(slots=True, eq=False)
class _Entry:
    """One order and what is known of it. ``number`` is 0 until it was handed on, and after a refusal."""

    order: Any
    number: int = 0
    group: int = 0
    """The broker's one-cancels-other group; 0 for none."""
    peers: set[int] = field(default_factory=set)
    """References of the orders that it cancels and that cancel it."""
    watched: set[int] = field(default_factory=set)
    """Those of them that the broker does not know to belong to it."""


class PapertapeBroker(bt.BrokerBase):
    """What a strategy knows as ``self.broker``."""

    def __init__(self, host: Host, clock: WallClock) -> None:
        super().__init__()
        self.host = host
        self.clock = clock
        self.notifs: deque[Any] = deque()
        self.startingcash = self.startingvalue = 0.0
        self._commissions: dict[str, Any] = {}
        self._positions: dict[str, Any] = {}
        self._entries: dict[int, _Entry] = {}
        self._by_number: dict[int, _Entry] = {}
        self._held_back: dict[int, list[_Entry]] = {}
        """Reference of a family's first order -> its orders, until one says transmit."""
        self._outgoing: list[_Entry] = []
        self._unpaid: Counter[int] = Counter()
        """Number of an order -> of how many of its executions the fee is not known yet."""

    def start(self) -> None:
        """Take the account as it is."""
        super().start()
        self.startingcash, self.startingvalue = self.host.cash(), self.host.value()

    def __getattr__(self, name: str) -> Any:
        if name in _NOT_HERE:
            raise StrategyError(f"broker.{name} is for backtrader's own simulation; say it with the run's options")
        raise AttributeError(name)

    # -- what is known --------------------------------------------------------------------------------------------

    def getcash(self) -> float:
        """All cash."""
        return self.host.cash()

    get_cash = getcash

    def getvalue(self, datas: Iterable[Any] | None = None) -> float:
        """Net liquidation, or what is held of some datas."""
        if datas is None:
            return self.host.value()
        return float(sum(self.getcommissioninfo(d).getvaluesize(self.getposition(d).size, d.close[0]) for d in datas))

    get_value = getvalue

    def get_fundvalue(self) -> float:
        """Net liquidation: there is one share."""
        return self.host.value()

    fundvalue = property(get_fundvalue)

    def get_leverage(self) -> float:
        """Positions as a part of net liquidation."""
        value = self.host.value()
        return (value - self.host.cash()) / value if value else 0.0

    def getposition(self, data: Any, clone: bool = False) -> Any:
        """What is held of a data's instrument."""
        position = self._position(data._name)
        return position.clone() if clone else position

    def _position(self, symbol: str) -> Any:
        position = self._positions.get(symbol)
        if position is None:
            size, price = self.host.held(symbol)
            position = self._positions[symbol] = bt.Position(plain(size), price)
            position.datetime = None
        return position

    def get_orders_open(self, safe: bool = False) -> list[Any]:
        """Orders that can still fill."""
        alive = [each.order for each in self._entries.values() if each.order.alive()]
        return [each.clone() for each in alive] if safe else alive

    def orderstatus(self, order: Any) -> int:
        """Present status of an order."""
        entry = self._entries.get(order.ref)
        return int((order if entry is None else entry.order).status)

    def getcommissioninfo(self, data: Any) -> Any:
        """How values and profits of an instrument are reckoned. Commissions come with each execution."""
        return self._commission(data._name)

    def _commission(self, symbol: str) -> Any:
        multiplier = self.host.multiplier(symbol)
        known = self._commissions.get(symbol)
        if known is None or known.p.mult != multiplier:  # a broker may make it known after the start
            known = self._commissions[symbol] = RunCommission(mult=multiplier)
        return known

    def setcommission(self, *args: Any, **kwargs: Any) -> None:
        """Commissions are the run's; noted once."""
        self.host.note("commission", "setcommission has no effect: an execution's commission is what the broker takes")

    addcommissioninfo = setcommission

    # -- orders from the strategy ----------------------------------------------------------------------------------

    def buy(self, owner: Any, data: Any, size: float, price: float | None = None, plimit: float | None = None,
            **terms: Any) -> Any:  # fmt: skip
        """Give an order to buy."""
        return self._give(bt.order.BuyOrder, owner, data, size, price, plimit, **terms)

    def sell(self, owner: Any, data: Any, size: float, price: float | None = None, plimit: float | None = None,
             **terms: Any) -> Any:  # fmt: skip
        """Give an order to sell."""
        return self._give(bt.order.SellOrder, owner, data, size, price, plimit, **terms)

    def _give(
        self,
        kind: Any,
        owner: Any,
        data: Any,
        size: float,
        price: float | None,
        plimit: float | None,
        exectype: int | None = None,
        valid: Any = None,
        tradeid: int = 0,
        oco: Any = None,
        trailamount: float | None = None,
        trailpercent: float | None = None,
        parent: Any = None,
        transmit: bool = True,
        histnotify: bool = False,
        **keywords: Any,
    ) -> Any:
        order = kind(
            owner=owner, data=data, size=size, price=price, pricelimit=plimit, exectype=exectype, valid=valid,
            tradeid=tradeid, oco=oco, trailamount=trailamount, trailpercent=trailpercent, parent=parent,
            transmit=transmit, histnotify=histnotify,
        )  # fmt: skip
        order.addinfo(**keywords)
        order.addcomminfo(self.getcommissioninfo(data))
        entry = self._entries[order.ref] = _Entry(order)
        if oco is not None:
            self._join(entry, oco.ref)
        return self.submit(order)

    def _join(self, entry: _Entry, ref: int) -> None:
        """Have an order and all that are with another cancel each other."""
        other = self._entries.get(ref)
        if other is None or other is entry:
            return
        together = {ref, *other.peers, entry.order.ref, *entry.peers}
        for each in together:
            self._entries[each].peers = together - {each}

    def submit(self, order: Any) -> Any:
        """Hold an order back, or hand its family on at the end of the callback."""
        entry = self._entries[order.ref]
        family = getattr(order.parent, "ref", order.ref)
        if family != order.ref and family not in self._held_back:
            first = self._entries.get(family)
            if first is None or not first.order.alive():
                self._reject(entry, "its parent order is not there any more")
                return order
        waiting = self._held_back.setdefault(family, [])
        waiting.append(entry)
        if order.transmit:
            del self._held_back[family]
            for each in waiting:
                each.order.submit(self)
                self.notify(each.order)
            self._outgoing += waiting
        return order

    def cancel(self, order: Any) -> bool:
        """Ask for the end of an order, and of those that it cancels. Whether there was anything to end."""
        entry = self._entries.get(order.ref)
        if entry is None or not entry.order.alive():
            return False
        self._cancel(entry)
        self._cancel_peers(entry)
        return True

    def _cancel_peers(self, entry: _Entry) -> None:
        for ref in sorted(entry.peers):
            if self._entries[ref].order.alive():
                self._cancel(self._entries[ref])

    def _cancel(self, entry: _Entry) -> None:
        if entry.number:
            self.host.cancel(entry.number)
            return
        for waiting in (self._outgoing, *self._held_back.values()):
            if entry in waiting:
                waiting.remove(entry)
        entry.order.cancel()
        self.notify(entry.order)
        for child in self._children(entry):
            if child.order.alive():
                self._cancel(child)

    def _children(self, entry: _Entry) -> list[_Entry]:
        return [
            each
            for each in self._entries.values()
            if each.order.parent is not None and each.order.parent == entry.order
        ]

    # -- handing on --------------------------------------------------------------------------------------------------

    def next(self) -> None:
        """Cerebro has come to a new bar."""
        self.host.next_round()

    @property
    def has_orders(self) -> bool:
        """Whether orders wait to be handed on."""
        return bool(self._outgoing)

    def hand_on(self) -> None:
        """Give what the strategy has asked for to the run."""
        while self._outgoing:
            orders, self._outgoing = self._outgoing, []
            self._group(orders)
            for entry in orders:
                self._hand_on(entry)

    def _group(self, entries: list[_Entry]) -> None:
        """Number the groups of orders that cancel each other: siblings of one parent, and those named by ``oco``."""
        families: dict[int, list[_Entry]] = {}
        for entry in entries:
            if entry.order.parent is not None:
                families.setdefault(entry.order.parent.ref, []).append(entry)
        for siblings in families.values():
            for each in siblings[1:]:
                self._join(each, siblings[0].order.ref)
        here = {each.order.ref for each in entries}
        for entry in entries:
            if not entry.peers or entry.group:
                continue
            peers = [self._entries[ref] for ref in entry.peers]
            together = [each for each in peers if each.order.ref in here or each.group]
            group = next((each.group for each in together if each.group), 0)
            if not group and together:
                group = self.host.new_group()
            for each in (entry, *together):
                each.group = group
            for late in (each for each in peers if each not in together and each.order.alive()):
                self._watch(entry, late)

    def _watch(self, entry: _Entry, late: _Entry) -> None:
        """The broker knows one of them already, in no group: the other's end is asked for from here."""
        entry.watched.add(late.order.ref)
        late.watched.add(entry.order.ref)
        self.host.note(
            "oco",
            "an order was given oco= with one that was at the broker already: this program, not the broker, cancels one "
            "when the other ends; give both in the same callback to have the broker do it",
        )

    def _hand_on(self, entry: _Entry) -> None:
        order = entry.order
        parent = 0
        if order.parent is not None:
            first = self._entries[order.parent.ref]
            if not first.number:
                self._reject(entry, "its parent order was rejected")
                return
            parent = first.number
        try:
            index = self.host.instrument_index(order.data._name)
            request = request_of(order, index, self.clock, self.host.now, parent=parent, group=entry.group)
        except UnavailableError as error:
            self._reject(entry, str(error))
            return
        number, refusal = self.host.submit(request)
        if not number:
            self._reject(entry, refusal)
            return
        entry.number = number
        self._by_number[number] = entry
        if self.host.is_accepted(number):
            self._accept(order)

    def _accept(self, order: Any) -> None:
        """Every order is heard as accepted before it is heard as anything else."""
        if order.status in (bt.Order.Created, bt.Order.Submitted):
            order.accept(self)
            self.notify(order)

    def _reject(self, entry: _Entry, reason: str) -> None:
        order = entry.order
        order.reject(self)
        order.addinfo(reason=reason)
        self.host.say(f"order {order.ref} rejected: {_told(order)}: {reason}")
        self.notify(order)

    def notify(self, order: Any) -> None:
        """Have the strategy told of an order as it is now."""
        self.notifs.append(order.clone())

    def get_notification(self) -> Any:
        """The next order that the strategy is to be told of."""
        return self.notifs.popleft() if self.notifs else None

    # -- reports of the run --------------------------------------------------------------------------------------------

    def adopt(self, number: int, request: OrderRequest, order: Any) -> None:
        """Know an order of a process before this one, which no object of the strategy's stands for."""
        order.addcomminfo(self.getcommissioninfo(order.data))
        order.submit(self)
        order.accept(self)
        entry = _Entry(order, number, request.group)
        self._entries[order.ref] = self._by_number[number] = entry

    def filled(self, fill: Fill) -> None:
        """An execution: the order's and the position's books, as backtrader keeps them. Heard with the status after it."""
        position = self._position(fill.symbol)
        size = plain(fill.quantity if fill.side is Side.BUY else -fill.quantity)
        before = position.price
        number = self.clock.number(fill.ts)
        psize, pprice, opened, closed = position.update(size, fill.price, bt.num2date(number))
        entry = self._by_number.get(fill.order)
        if entry is None:
            return
        self._accept(entry.order)
        commission = self._commission(fill.symbol)
        fee = fill.fee
        if fee != fee:  # the broker says it later
            self._unpaid[fill.order] += 1
            fee = 0.0
        closed_fee = fee * closed / size
        entry.order.execute(
            number, size, fill.price,
            closed, commission.getoperationcost(closed, before), closed_fee,
            opened, commission.getoperationcost(opened, fill.price), fee - closed_fee,
            commission.margin, commission.profitandloss(-closed, before, fill.price), psize, pprice,
        )  # fmt: skip

    def follow(self) -> None:
        """Take over what changes without an execution: fees that come late, positions that a split or a correction changed."""
        for number in list(self._unpaid):
            self._pay(self._by_number[number])
        for symbol, position in self._positions.items():
            size, price = self.host.held(symbol)
            if size != position.size:
                position.fix(plain(size), price)

    def _pay(self, entry: _Entry) -> None:
        order = entry.order
        more = self.host.fee(entry.number) - order.executed.comm
        if not more:
            return
        self._unpaid[entry.number] -= 1
        if not self._unpaid[entry.number]:
            del self._unpaid[entry.number]
        order.executed.comm += more
        trades = order.owner._trades[order.data][order.tradeid]
        if trades:
            trades[-1].commission += more
            trades[-1].pnlcomm -= more

    def changed(self, update: OrderUpdate) -> None:
        """An order has another status."""
        entry = self._by_number.get(update.order)
        if entry is None:
            return
        order, status = entry.order, update.status
        if status is OrderStatus.SUBMITTED:
            self._accept(order)
            return
        if status is OrderStatus.PARTIALLY_FILLED:
            order.partial()
        elif status is OrderStatus.FILLED:
            order.completed()
        elif order.executed.p2 < len(order.executed):  # executed in part while its end was asked for
            order.partial()
        elif status in _ENDS:
            self._end(order, status, update.reason)
        else:
            return
        self.notify(order)
        if status in _ENDS:
            self._cancel_peers(entry)  # in backtrader any end ends the group, at a broker only an execution does
        self._cancel_watched(entry)

    def _end(self, order: Any, status: OrderStatus, reason: str) -> None:
        if reason:
            order.addinfo(reason=reason)
        if status is OrderStatus.CANCELLED:
            order.cancel()
        elif status is OrderStatus.EXPIRED:
            order.status = bt.Order.Expired
            order.executed.dt = order.data.datetime[0]
        elif reason in _UNPAID:
            order.margin()
            self.host.say(f"order {order.ref} not taken: {_told(order)}: {reason}")
        else:
            order.reject(self)
            self.host.say(f"order {order.ref} rejected: {_told(order)}: {reason}")

    def _cancel_watched(self, entry: _Entry) -> None:
        """One of a group that the broker does not know has been executed or has ended: so have the others to."""
        if not entry.watched or (entry.order.alive() and not entry.order.executed.size):
            return
        for ref in sorted(entry.watched):
            other = self._entries[ref]
            other.watched.discard(entry.order.ref)
            if other.order.alive():
                self._cancel(other)
        entry.watched.clear()


_ENDS = frozenset({OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.REJECTED})


def _told(order: Any) -> str:
    return f"{'BUY' if order.isbuy() else 'SELL'} {abs(order.created.size):g} {order.data._name} {order.getordername()}"


PapertapeStore.BrokerCls = PapertapeBroker
