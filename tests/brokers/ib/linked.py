"""A session with TWS over records: TWS's end keeps the truth about an account, and tells as much of it as a test wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from brokers.ib import commands as c
from brokers.ib import records as r
from brokers.ib.events import Event, OrderFilled
from brokers.ib.market import MarketSettings
from brokers.ib.order_entries import Entry
from brokers.ib.records import Record
from brokers.ib.registry import Registry
from brokers.ib.session import IbSession, LinkSettings, Wish
from papertape.core.model import NS_PER_S, Instrument, OrderType, Side
from papertape.core.orders import OrderRequest
from tests.brokers.ib.asked import NOW, calendar

ACCOUNT = "DU1"
CLIENT = 7
RUN = "run1"
SYMBOLS = ("AAA", "BBB", "CCC")
CON_IDS = {"AAA": 101, "BBB": 102, "CCC": 103}


def contract(symbol: str = "AAA") -> r.ContractRecord:
    """A stock as TWS names it."""
    return r.ContractRecord(
        con_id=CON_IDS[symbol], symbol=symbol, type="STK", exchange="SMART", currency="USD", local_symbol=symbol
    )


def request(side: Side = Side.BUY, quantity: float = 10.0, j: int = 0, **terms: Any) -> OrderRequest:
    """An order as a strategy decides it; with ``limit_price`` a limit order."""
    kind = OrderType.LIMIT if "limit_price" in terms else OrderType.MARKET
    return OrderRequest(j, SYMBOLS[j], side, quantity, terms.pop("type", kind), **terms)


@dataclass(slots=True)
class Placed:
    """An order as TWS has it."""

    order_id: int
    contract: r.ContractRecord
    order: r.OrderRecord
    perm_id: int
    client_id: int = CLIENT
    status: str = "Submitted"
    filled: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it works."""
        return self.status not in ("Filled", "Cancelled", "Inactive")

    def open_order(self) -> r.OpenOrder:
        """The message of its terms."""
        order = msgspec.structs.replace(
            self.order, perm_id=self.perm_id, client_id=self.client_id, order_id=self.order_id
        )
        return r.OpenOrder(self.order_id, self.contract, order, self.status)

    def state(self) -> r.OrderState:
        """The message of its status."""
        left = self.order.quantity - self.filled
        return r.OrderState(self.order_id, self.status, self.filled, left, 0.0, self.perm_id, 0, 0.0, self.client_id)

    def completed(self) -> r.CompletedOrder:
        """The message of its end."""
        order = msgspec.structs.replace(self.order, perm_id=self.perm_id, client_id=self.client_id)
        return r.CompletedOrder(self.contract, order, self.status, self.status, "", self.filled)


@dataclass(slots=True)
class Tws:
    """TWS's end: what is true. Its methods change that, and return the messages that say so."""

    orders: dict[int, Placed] = field(default_factory=dict)
    executions: dict[str, r.Execution] = field(default_factory=dict)
    """Root -> latest revision."""
    fees: dict[str, float] = field(default_factory=dict)
    positions: dict[str, float] = field(default_factory=dict)
    cash: float = 100_000.0
    next_id: int = 1
    next_perm: int = 9_001
    is_silent: bool = False
    forgets: set[int] = field(default_factory=set)
    """Order ids that are told neither as open nor as completed."""

    def place(self, command: c.PlaceOrder) -> Placed:
        """Take an order, or a change of one."""
        placed = self.orders.get(command.order_id)
        if placed is not None:
            placed.order = command.order
        else:
            placed = Placed(command.order_id, command.contract, command.order, self.next_perm)
            self.orders[command.order_id] = placed
            self.next_perm += 1
        return placed

    def fill(self, order_id: int, quantity: float, price: float = 10.0, fee: float = 1.0) -> list[Record]:
        """An execution: the messages in the order of a real TWS."""
        placed = self.orders[order_id]
        placed.filled += quantity
        if placed.filled >= placed.order.quantity - 1e-9:
            placed.status = "Filled"
        root = f"0000e0d5.{len(self.executions) + 1:08x}.01"
        execution = self._execution(placed, f"{root}.01", quantity, price)
        self.executions[root] = execution
        self.fees[root] = fee
        self._move(placed, quantity, price, fee)
        return [execution, placed.open_order(), placed.state(), r.Commission(execution.exec_id, fee, "USD")]

    def _execution(self, placed: Placed, exec_id: str, quantity: float, price: float) -> r.Execution:
        side = "BOT" if placed.order.action == "BUY" else "SLD"
        return r.Execution(
            r.NO_REQUEST, placed.contract, exec_id, "20240604 10:00:01 US/Eastern", ACCOUNT, "SMART", side, quantity,
            price, placed.perm_id, placed.client_id, placed.order_id, placed.filled, price, placed.order.order_ref,
        )  # fmt: skip

    def _move(self, placed: Placed, quantity: float, price: float, fee: float) -> None:
        sign = 1.0 if placed.order.action == "BUY" else -1.0
        symbol = placed.contract.symbol
        self.positions[symbol] = self.positions.get(symbol, 0.0) + sign * quantity
        self.cash -= sign * quantity * price + fee

    def correct(self, n: int, quantity: float, price: float, fee: float = 1.0) -> list[Record]:
        """The nth execution is replaced; a quantity of 0 is a bust."""
        root = list(self.executions)[n]
        old = self.executions[root]
        placed = self.orders[old.order_id]
        revision = int(old.exec_id.rsplit(".", 1)[1]) + 1
        new = self._execution(placed, f"{root}.{revision:02d}", quantity, price)
        self.executions[root] = new
        self._move(placed, -old.quantity, old.price, -self.fees[root])
        self._move(placed, quantity, price, fee)
        self.fees[root] = fee
        return [new, r.Commission(new.exec_id, fee, "USD")]

    def answer(self, command: c.Command) -> list[Record]:
        """What TWS says to a request."""
        if self.is_silent:
            return []
        match command:
            case c.AskTime():
                return [r.CurrentTime(NOW // NS_PER_S)]
            case c.AskIds():
                return [r.NextValidId(self.next_id)]
            case c.FollowAccount(subscribe=True):
                return [
                    r.AccountValue("NetLiquidation", str(self.cash), "USD", ACCOUNT),
                    r.AccountValue("TotalCashBalance", str(self.cash), "USD", ACCOUNT),
                    r.AccountValue("ExchangeRate", "1.00", "USD", ACCOUNT),
                    r.AccountEnd(ACCOUNT),
                ]
            case c.AskPositions():
                return [*self.position_rows(), r.PositionsEnd()]
            case c.AskOpenOrders():
                told = [each for each in self.orders.values() if each.is_open and each.order_id not in self.forgets]
                return [*(m for each in told for m in (each.open_order(), each.state())), r.OpenOrdersEnd()]
            case c.AskCompletedOrders():
                done = [each for each in self.orders.values() if not each.is_open and each.order_id not in self.forgets]
                return [*(each.completed() for each in done), r.CompletedOrdersEnd()]
            case c.AskExecutions(request_id=number):
                rows = [
                    m
                    for root, each in self.executions.items()
                    for m in (
                        msgspec.structs.replace(each, request_id=number),
                        r.Commission(each.exec_id, self.fees[root], "USD"),
                    )
                ]
                return [*rows, r.ExecutionsEnd(number)]
        return []

    def position_rows(self) -> list[Record]:
        """Positions as they are."""
        return [r.PositionItem(ACCOUNT, contract(symbol), held, 0.0) for symbol, held in self.positions.items() if held]


class Linked:
    """An :class:`IbSession` and TWS's end. What is sent is kept; ``settle`` has TWS answer what was asked."""

    def __init__(self, tws: Tws | None = None, *, symbols: Sequence[str] = SYMBOLS, **link: Any) -> None:
        self.registry = Registry()
        for symbol in symbols:
            self.registry.add(Instrument(symbol), CON_IDS[symbol])
        self.tws = tws or Tws()
        chosen = LinkSettings(client_id=CLIENT, **link)
        self.ib = IbSession(RUN, self.registry, chosen, MarketSettings(calendar()), zone="US/Eastern")
        self.now = NOW
        self.sent: list[c.Command] = []
        self.events: list[Event] = []
        self.takes_orders = True
        """Whether orders that are sent arrive at TWS."""

    def connect(self, *, valid_id: int | None = None) -> None:
        """A connection is made, and everything that is asked then is answered."""
        self.ib.connecting(self.now)
        first = self.tws.next_id if valid_id is None else valid_id
        self.tell(r.Connected(200, ""), r.ManagedAccounts((ACCOUNT,)), r.NextValidId(first))
        self.settle()

    def tell(self, *told: Record) -> None:
        """TWS says something."""
        for record in told:
            self.ib.receive(record, self.now)
        self.events += self.ib.take_events()

    def settle(self) -> None:
        """Everything that waits is sent and answered, until nothing more is asked."""
        for _ in range(50):
            found = self.ib.take_commands(self.now)
            if not found:
                break
            self.sent += found
            for command in found:
                if isinstance(command, c.PlaceOrder) and self.takes_orders:
                    self.tws.place(command)
                self.tell(*self.tws.answer(command))
        self.events += self.ib.take_events()

    def wait(self, seconds: float, step_s: float = 0.5) -> None:
        """Time passes, and TWS answers meanwhile."""
        end = self.now + round(seconds * NS_PER_S)
        while self.now < end:
            self.now = min(end, self.now + round(step_s * NS_PER_S))
            self.ib.pass_time(self.now)
            self.settle()

    def break_off(self, reason: str = "TWS closed the connection") -> None:
        """The connection ends."""
        self.tell(r.Disconnected(reason))

    def come_back(self) -> None:
        """It is made anew as soon as the session wishes."""
        for _ in range(200):
            self.now += NS_PER_S // 4
            self.ib.pass_time(self.now)
            if self.ib.wish is Wish.CONNECT:
                break
        assert self.ib.wish is Wish.CONNECT, "the session never wished to connect"
        self.connect()
        self.wait(4)

    def order(self, number: int = 1, **terms: Any) -> Entry:
        """Give an order, which TWS takes."""
        entry = self.ib.orders.admit(number, request(**terms))
        self.ib.orders.send(entry)
        self.settle()
        return entry

    def working_order(self, number: int = 1, **terms: Any) -> Entry:
        """The same, and TWS says that it works."""
        entry = self.order(number, **terms)
        placed = self.tws.orders[entry.order_id]
        self.tell(placed.open_order(), placed.state())
        return entry

    def happened(self, kind: type[Any]) -> list[Any]:
        """Events of a kind so far."""
        return [each for each in self.events if isinstance(each, kind)]

    def sent_of(self, kind: type[Any]) -> list[Any]:
        """Commands of a kind so far."""
        return [each for each in self.sent if isinstance(each, kind)]

    @property
    def fills(self) -> list[tuple[float, float, float]]:
        """(quantity, price, fee) of the fills that were told."""
        return [(each.quantity, each.price, each.fee) for each in self.happened(OrderFilled)]
