"""Strategies in backtrader's documented style, none of which knows of papertape. ``Diary`` writes down what it hears."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import backtrader as bt


class Diary(bt.Strategy):
    """Gives the orders of ``plan`` (bar -> what is called with the strategy) and notes what it is told."""

    plan: ClassVar[dict[int, Callable[[Any], Any]]] = {}
    on_status: ClassVar[dict[tuple[int, str], Callable[[Any], Any]]] = {}
    last: ClassVar[Any] = None
    """The object that was made last; what a test looks at."""

    def __init__(self) -> None:
        type(self).last = self
        self.said: list[tuple[Any, ...]] = []
        self.orders: list[Any] = []
        self.first_ref = 0

    def give(self, *orders: Any) -> None:
        """Keep orders; they are numbered from 1 in what is noted."""
        self.orders += orders
        self.first_ref = self.first_ref or self.orders[0].ref

    def minute(self) -> str:
        return f"{self.data.datetime.time(0):%H:%M}" if len(self.data) else "-"

    def note(self, *what: Any) -> None:
        self.said.append((self.minute(), *what))

    def heard(self, kind: str) -> list[tuple[Any, ...]]:
        """What was noted of one kind, without its kind."""
        return [(minute, *rest) for minute, what, *rest in self.said if what == kind]

    def statuses(self, number: int) -> list[str]:
        """What one order went through."""
        return [status for _, n, status, *_ in self.heard("order") if n == number]

    def notify_order(self, order: Any) -> None:
        self.first_ref = self.first_ref or order.ref
        number = order.ref - self.first_ref + 1
        status = order.getstatusname()
        self.note("order", number, status, order.executed.size, round(order.executed.price, 4), order.executed.comm)
        if then := self.on_status.get((number, status)):
            then(self)

    def notify_trade(self, trade: Any) -> None:
        self.note("trade", "closed" if trade.isclosed else "open", round(trade.pnl, 4), round(trade.pnlcomm, 4))

    def notify_data(self, data: Any, status: int, *args: Any, **kwargs: Any) -> None:
        self.note("data", data._name, data._getstatusname(status))

    def notify_store(self, msg: str, *args: Any, **kwargs: Any) -> None:
        self.note("store", msg, *args)

    def notify_cashvalue(self, cash: float, value: float) -> None:
        self.note("cash", cash, value)

    def notify_timer(self, timer: Any, when: dt.datetime, *args: Any, **kwargs: Any) -> None:
        self.note("timer", when.time())

    def prenext(self) -> None:
        self.note("prenext")

    def nextstart(self) -> None:
        self.note("nextstart")
        self.next()

    def next(self) -> None:
        self.note("next", self.data.close[0], self.position.size)
        if then := self.plan.get(len(self)):
            then(self)

    def start(self) -> None:
        self.note("start")

    def stop(self) -> None:
        self.note("stop", self.position.size, len(self.broker.get_orders_open()))


def planned(plan: Mapping[int, Callable[[Any], Any]] | None = None, **attributes: Any) -> type[Diary]:
    """A diary of its own with a plan."""
    return type("Planned", (Diary,), {"plan": plan or {}, "__module__": __name__, "params": (), **attributes})


class Crosses(bt.Strategy):
    """Two moving averages; in and out, both ways if ``short``."""

    params = (("fast", 3), ("slow", 8), ("size", 10), ("short", False), ("name", "x"), ("limit", None), ("share", 0.5))

    def __init__(self) -> None:
        self.cross = bt.ind.CrossOver(bt.ind.SMA(period=self.p.fast), bt.ind.EMA(period=self.p.slow))

    def next(self) -> None:
        if self.cross[0] > 0:
            self.close()
            self.buy(size=self.p.size)
        elif self.cross[0] < 0 and self.position:
            self.close()
            if self.p.short:
                self.sell(size=self.p.size)
