"""The adapter's half over records: a connection whose other end is a :class:`tests.brokers.ib.linked.Tws`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from brokers.ib import commands as c
from brokers.ib import records as r
from brokers.ib.asks import Ask, CancelOrder, ModifyOrder, SubmitOrder
from brokers.ib.market import MarketSettings
from brokers.ib.records import Record
from brokers.ib.registry import Registry
from brokers.ib.session import IbSession, LinkSettings
from papertape.core.errors import PeerError
from papertape.core.guard import Approved, Guard, GuardSettings
from papertape.core.model import NS_PER_S, Instrument
from papertape.core.orders import OrderRequest
from papertape.core.state import Reason, State
from papertape.live.adapter import Adapter
from papertape.live.clock import SteppedClock
from papertape.live.entries import Entry, decode
from papertape.live.inbox import Asks, Inbox
from papertape.live.journal import Journal
from papertape.live.supervisor import Supervisor
from tests.brokers.ib.asked import NOW, calendar
from tests.brokers.ib.linked import ACCOUNT, CLIENT, CON_IDS, RUN, SYMBOLS, Tws, contract, request

OPEN: list[Journal] = []
"""Journals that a test has opened."""


def close_journals() -> None:
    """Close them, whatever a test has done to them."""
    while OPEN:
        journal = OPEN.pop()
        if not journal._failure:
            Journal.close(journal)


class HandClock(SteppedClock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        super().__init__()
        self._now = NOW

    def heard(self, ts_s: int, asked_ns: int) -> None:
        """It is not moved by TWS."""

    def pass_s(self, seconds: float) -> None:
        """Time passes."""
        self._now += round(seconds * NS_PER_S)


class RecordGateway:
    """A connection to a :class:`Tws`, in records."""

    def __init__(self, tws: Tws) -> None:
        self.tws = tws
        self.is_open = True
        self.sent: list[c.Command] = []
        self.takes_orders = True
        self.lines: dict[int, int] = {}
        self.waiting: list[Record] = [
            r.Connected(200, ""), r.ManagedAccounts((ACCOUNT,)), r.NextValidId(tws.next_id),
        ]  # fmt: skip

    def poll(self, timeout_s: float) -> list[Record]:
        """What TWS has said."""
        found, self.waiting = self.waiting, []
        return found

    def send(self, command: c.Command) -> bool:
        """A request: TWS answers, takes orders and shows them working, and cancels them when asked."""
        if not self.is_open:
            return False
        self.sent.append(command)
        if isinstance(command, c.PlaceOrder) and self.takes_orders:
            placed = self.tws.place(command)
            self.waiting += [placed.open_order(), placed.state()]
        elif isinstance(command, c.CancelOrder) and self.takes_orders:
            placed = self.tws.orders[command.order_id]
            placed.status = "Cancelled"
            self.waiting += [r.ErrorMessage(command.order_id, 202, "Order Canceled"), placed.state()]
        elif isinstance(command, c.FollowMarket):
            j = [each.con_id for each in map(contract, SYMBOLS)].index(command.contract.con_id)
            self.lines[j] = command.request_id
        else:
            self.waiting += self.tws.answer(command)
        return True

    def say(self, *told: Record) -> None:
        """TWS says something by itself."""
        self.waiting += told

    def wake(self) -> None:
        """Nobody waits."""

    def close(self) -> None:
        """The connection ends."""
        self.is_open = False


class Adapted:
    """An adapter that is connected; ``turn`` does what the engine's thread does again and again."""

    def __init__(
        self, folder: Path, tws: Tws | None = None, *, allow_short: bool = False, is_read_only: bool = False,
        currencies: tuple[str, ...] = ("USD",), **limits: Any,
    ) -> None:  # fmt: skip
        self.tws = tws or Tws()
        self.clock = HandClock()
        self.registry = Registry()
        for symbol in SYMBOLS:
            self.registry.add(Instrument(symbol), CON_IDS[symbol])
        self.inbox, self.asks = Inbox(), Asks()
        self.journal = Journal.create(folder / "journal.sqlite", {"run_id": RUN})
        OPEN.append(self.journal)
        market = MarketSettings(calendar(), tick_by_tick=0)
        ib = IbSession(
            RUN, self.registry, LinkSettings(client_id=CLIENT, is_read_only=is_read_only), market, zone="US/Eastern"
        )
        limits.setdefault("stale_s", 0.0)
        self.supervisor = Supervisor(
            GuardSettings(**limits), self.registry, currencies, allow_short=allow_short, opens=calendar().open
        )
        self.gateways: list[RecordGateway] = []
        self.is_reachable = True
        self.heard: list[Any] = []
        self.adapter = Adapter(
            connect=self._connect,  # type: ignore[arg-type]  # as much of a gateway as an adapter needs
            ib=ib, supervisor=self.supervisor, registry=self.registry, journal=self.journal, clock=self.clock,
            inbox=self.inbox, asked=self.asks, is_read_only=is_read_only,
        )  # fmt: skip
        plain = Guard(GuardSettings(), State(8, 1), [Instrument(each) for each in SYMBOLS], ("USD",), allow_short=True)
        self._approve = plain.approve
        self.adapter.connect()
        self.turn()

    def _connect(self) -> RecordGateway:
        if not self.is_reachable:
            raise PeerError("127.0.0.1:7497 can not be reached")
        self.gateways.append(RecordGateway(self.tws))
        return self.gateways[-1]

    @property
    def gateway(self) -> RecordGateway:
        """The present connection's other end."""
        return self.gateways[-1]

    def turn(self, seconds: float = 0.0, turns: int = 6) -> None:
        """Time passes, and everything that follows from it."""
        self.clock.pass_s(seconds)
        for _ in range(turns):
            self.adapter.take(self.adapter.poll(0.0))
            self.adapter.pass_time()
            if self.adapter.answer_asks():
                self.adapter.pass_on(self.clock.now())
            self.adapter.send_due()
            self.heard += self.inbox.take()

    def wait(self, seconds: float, step_s: float = 0.25) -> None:
        """Time passes in small steps."""
        for _ in range(round(seconds / step_s)):
            self.turn(step_s, 2)

    def ask(self, *asked: Ask) -> None:
        """The strategy's side asks for something in one wake-up."""
        for each in asked:
            self.asks.post(each)
        self.asks.flush()
        self.turn()

    def submit(self, number: int, given: OrderRequest) -> SubmitOrder:
        """A request that the strategy's side has approved."""
        approved = self._approve(given, self.clock.now(), 10.0)
        assert isinstance(approved, Approved)
        return SubmitOrder(number, approved, self.clock.now(), 10.0)

    def order(self, number: int = 1, **terms: Any) -> None:
        """Have an order given."""
        self.ask(self.submit(number, request(**terms)))

    def cancel(self, number: int) -> None:
        """Have an order cancelled."""
        self.ask(CancelOrder(number, int(Reason.CANCEL_REQUESTED)))

    def modify(self, number: int, *, known_quantity: float = math.nan, **terms: Any) -> None:
        """Have an order changed, by a strategy that knows it to be of so much."""
        given = request(**terms)
        self.ask(ModifyOrder(number, self.submit(number, given).approved, known_quantity))

    def trade(self, price: float, j: int = 0, seconds: float = 1.0) -> None:
        """A trade on the market, heard on the instrument's line."""
        self.clock.pass_s(seconds)
        ms = self.clock.now() // 1_000_000
        self.gateway.say(r.TickString(self.gateway.lines[j], 48, f"{price};100;{ms};1000;{price};true"))
        self.turn()

    def fill(self, number: int, quantity: float = 10.0, price: float = 10.0, fee: float = 1.0) -> None:
        """An order fills."""
        entry = self.adapter.ib.orders.entries[number]
        self.gateway.say(*self.tws.fill(entry.order_id, quantity, price, fee), *self.tws.position_rows())
        self.turn()

    def journaled(self, kind: type[Any] | None = None) -> list[Entry]:
        """Entries so far."""
        self.journal.flush()
        found = [decode(each.body) for each in self.journal.entries()]
        return [each for each in found if kind is None or isinstance(each, kind)]

    def sent_of(self, kind: type[Any]) -> list[Any]:
        """Commands of a kind that left, over all connections."""
        return [each for gateway in self.gateways for each in gateway.sent if isinstance(each, kind)]

    def happened(self, kind: type[Any]) -> list[Any]:
        """What the strategy's side heard of a kind."""
        return [each for each in self.heard if isinstance(each, kind)]

    @property
    def said(self) -> list[str]:
        """What the person was told."""
        return [text for _, text in self.adapter.state.notices]
