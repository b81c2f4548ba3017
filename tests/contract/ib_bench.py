"""A session over the broker for Interactive Brokers, whose TWS is the simulated exchange, spoken to in records."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from brokers.fees import FeeModel
from brokers.ib import asks, commands
from brokers.ib import records as r
from brokers.ib.broker import IbBroker
from brokers.ib.events import AccountReady, Event
from brokers.ib.orders import IbOrders
from brokers.ib.registry import Registry
from brokers.sim import FillRules
from feeds.ib import IbFeed
from gateway.exchange import Exchange, Report
from papertape.calendar import session_times
from papertape.core.guard import Guard, GuardSettings
from papertape.core.guard import Refused as GuardRefused
from papertape.core.ledger import Ledger
from papertape.core.model import EventKind, Instrument, OrderStatus
from papertape.core.ports import Broker
from papertape.core.series import Batch
from papertape.core.session import Session
from papertape.core.state import REASON_TEXT, State
from papertape.journal import MemoryJournal
from papertape.live.inbox import Asks, Item
from papertape.live.sayings import Sayings
from papertape.live.strategy_side import StrategySide

ACCOUNT, CLIENT = "DU1", 7
_SHOWN = {
    OrderStatus.PENDING_SUBMIT: "PendingSubmit",
    OrderStatus.SUBMITTED: "Submitted",
    OrderStatus.PARTIALLY_FILLED: "Submitted",
    OrderStatus.PENDING_CANCEL: "PendingCancel",
    OrderStatus.FILLED: "Filled",
}


class IbBench:
    """Trades go to the exchange first, what it reports comes back as TWS's messages, then the strategy hears the trade."""

    resolution_ns = 1_000_000_000  # TWS tells the times of executions in whole seconds

    def __init__(self, client: Any, start: int) -> None:
        self.client = client
        self.now = start
        instruments = (Instrument("A", con_id=1), Instrument("B", con_id=2))
        calendar = session_times("XNYS", start, start + 86_400 * 1_000_000_000)
        self._registry = Registry()
        for each in instruments:
            self._registry.add(each, each.con_id or 0)
        self._exchange = Exchange(
            instruments=instruments, calendar=calendar, actions=(), cash={"USD": 10_000.0}, rates={"USD": 1.0},
            fees=FeeModel.parse("per-share:0.01"), rules=FillRules(volume_share=1.0), start=start,
        )  # fmt: skip
        for j in range(2):
            self._exchange.expect(j, {EventKind.TRADE})
        self._events: list[Event] = []
        self._commands: list[commands.Command] = []
        self._ids = iter(range(1, 100_000))
        self._orders = IbOrders(
            "bench", self._registry, send=self._commands.append, emit=self._events.append,
            next_id=lambda: next(self._ids), min_tick=lambda j: 0.01,
        )  # fmt: skip
        self._orders.account, self._orders.client_id = ACCOUNT, CLIENT
        self._placed: dict[int, int] = {}
        """Order id -> the exchange's number."""
        self._serial = 0
        self._asks = Asks()
        state = State(self._registry.most, 1)
        ledger = Ledger(state, (), ("USD",))
        broker = IbBroker(self._asks.post)
        feed = IbFeed(self._registry, self._asks.post, calendar)
        self.broker: Broker = broker
        memory = MemoryJournal(state)
        self.session = Session(
            handlers=client.handlers(), feed=feed, broker=broker, ledger=ledger, journal=memory,
            calendar=calendar,
            guard=Guard(GuardSettings(), state, self._registry.instruments, ("USD",), allow_short=False),
        )  # fmt: skip
        client.bind(self.session, ["A", "B"])
        self._side = StrategySide(
            self.session, broker, feed, self._registry, self._asks, lambda: None, Sayings(self.session, broker, memory)
        )
        self._side.play([AccountReady(True, {"USD": 10_000.0}, {"USD": 1.0})], start)
        self._answer()

    # -- the market -------------------------------------------------------------------------------------------

    def trade(
        self,
        second: float,
        price: float,
        size: float = 1000.0,
        then: Callable[[Any], Any] | None = None,
        symbol: str = "A",
    ) -> None:
        """A trade: the exchange matches it, then the strategy hears what it filled, then the trade itself."""
        if then is not None:
            self.client.todo.append(then)
        self._pass_to(second)
        none = np.zeros(1)
        batch = Batch(
            np.array([self.now], np.int64), np.array([EventKind.TRADE], np.uint8),
            np.array([self._registry.index[symbol]], np.int32), (np.array([price]), np.array([size]), none, none, none),
        )  # fmt: skip
        self._exchange.open_batch(batch)
        self._exchange.match(0, 1)
        self._report()
        self._play([batch])

    def settle(self, second: float) -> None:
        """Time passes."""
        self._pass_to(second)
        self._play([])

    def _pass_to(self, second: float) -> None:
        self.now = max(self.now, self.start + round(second * 1_000_000_000))
        self._exchange.pass_before(self.now)
        self._orders.pass_time(self.now)
        self._report()

    @property
    def start(self) -> int:
        """When the bench began (UTC ns)."""
        return self._side.began_ts

    def _play(self, items: list[Item]) -> None:
        heard, self._events[:] = [*self._events, *items], []
        self._side.play(heard, self.now)
        self._answer()

    # -- the adapter ------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        """What was asked for is done, what comes of it is heard, until nothing more is asked for."""
        while self._asks or self._events:
            while (group := self._asks.take()) is not None:
                for ask in group:
                    self._do(ask)
            self._serve()
            heard, self._events[:] = list(self._events), []
            self._side.play(heard, self.now)

    def _do(self, ask: object) -> None:
        match ask:
            case asks.SubmitOrder():
                self._orders.send(self._orders.admit(ask.number, ask.approved.request))
            case asks.CancelOrder():
                self._orders.cancel(ask.number)
            case asks.ModifyOrder():
                self._orders.modify(ask.number, ask.approved.request)

    # -- TWS --------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        sent, self._commands[:] = list(self._commands), []
        for command in sent:
            if isinstance(command, commands.PlaceOrder):
                self._orders.left(command, self.now)
                self._place(command)
            elif isinstance(command, commands.CancelOrder):
                self._exchange.cancel(self._placed[command.order_id], self.now)
            self._report()

    def _place(self, command: commands.PlaceOrder) -> None:
        entry = next(each for each in self._orders.entries.values() if each.order_id == command.order_id)
        terms = command.order
        old = self._placed.get(command.order_id)
        request = (
            entry.request
            if old is None
            else type(entry.request)(
                entry.request.instrument,
                entry.request.symbol,
                entry.request.side,
                terms.quantity,
                entry.request.type,
                terms.limit_price,
                terms.aux_price,
            )
        )
        found = (
            self._exchange.place(request, self.now) if old is None else self._exchange.modify(old, request, self.now)
        )
        if isinstance(found, GuardRefused):
            self._hear(r.ErrorMessage(command.order_id, 201, f"Order rejected - reason:{found.text}"))
        elif old is None:
            assert isinstance(found, int), "a new order has a number"
            self._placed[command.order_id] = found
            if not self._exchange.status(found).is_final:
                self._show(command.order_id, found)

    def _report(self) -> None:
        reports = self._exchange.take()
        by_number = {number: order_id for order_id, number in self._placed.items()}
        for report in reports:
            self._tell(report, by_number.get(report.number, next(reversed(self._orders.entries.values())).order_id))

    def _tell(self, report: Report, order_id: int) -> None:
        if report.is_fill:
            self._execute(report, order_id)
        elif report.status is OrderStatus.REJECTED:
            self._hear(r.ErrorMessage(order_id, 201, f"Order rejected - reason:{REASON_TEXT[report.reason]}"))
        elif report.status.is_final and report.status is not OrderStatus.FILLED:
            self._hear(r.ErrorMessage(order_id, 202, "Order Canceled - reason:"))
        elif order_id in self._placed:
            self._show(order_id, report.number)

    def _execute(self, report: Report, order_id: int) -> None:
        self._serial += 1
        entry = next(each for each in self._orders.entries.values() if each.order_id == order_id)
        exec_id = f"0000e0d5.{self._serial:08x}.01.01"
        side = "BOT" if entry.request.side > 0 else "SLD"
        text = np.datetime_as_string(np.datetime64(report.ts, "ns"), unit="s").replace("-", "").replace("T", "-")
        self._hear(
            r.Execution(
                r.NO_REQUEST,
                self._contract(report.instrument),
                exec_id,
                str(text),
                ACCOUNT,
                "SMART",
                side,
                report.quantity,
                report.price,
                1000 + order_id,
                CLIENT,
                order_id,
                0.0,
                report.price,
                entry.order_ref,
            )
        )
        self._hear(r.Commission(exec_id, report.fee, "USD", math.nan))

    def _show(self, order_id: int, number: int) -> None:
        row = self._exchange.state.orders[number - 1]
        entry = next(each for each in self._orders.entries.values() if each.order_id == order_id)
        terms = r.OrderRecord(
            action=entry.terms.action, quantity=float(row["quantity"]), type=entry.terms.type,
            limit_price=float(row["limit"]), aux_price=float(row["stop"]), tif=entry.terms.tif,
            order_ref=entry.order_ref, order_id=order_id, client_id=CLIENT, perm_id=1000 + order_id,
        )  # fmt: skip
        shown = _SHOWN[OrderStatus(int(row["status"]))]
        self._hear(r.OpenOrder(order_id, self._contract(int(row["instrument"])), terms, shown))

    def _contract(self, j: int) -> r.ContractRecord:
        return r.ContractRecord(con_id=j + 1, symbol=self._registry.symbols[j], type="STK", currency="USD")

    def _hear(self, record: r.Record) -> None:
        if isinstance(record, r.ErrorMessage):
            self._orders.refused(record, self.now)
        else:
            self._orders.receive(record, self.now)
