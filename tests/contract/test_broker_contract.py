"""What every broker does with orders, as a session and its strategy see it: one suite, run on each broker.

A broker joins by a row in ``BENCHES``: a bench makes a session over it and plays a market to it, trade by trade.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtests.engine import drive
from brokers.fees import FeeModel
from brokers.sim import FillRules, SimBroker
from papertape.calendar import session_times
from papertape.core.guard import Guard, GuardSettings
from papertape.core.ledger import Ledger
from papertape.core.lifecycle import TRANSITIONS
from papertape.core.model import EventKind, Fill, Instrument, OrderStatus, OrderUpdate, Trade
from papertape.core.orders import Order, OrderRequest
from papertape.core.ports import Broker, Image
from papertape.core.requests import Reply, Request
from papertape.core.series import Batch
from papertape.core.session import Session
from papertape.core.state import State
from papertape.journal import MemoryJournal
from strategies.base import Strategy
from tests.contract.ib_bench import IbBench

OPEN = 1_704_292_200_000_000_000  # 2024-01-03 09:30 New York
S = 1_000_000_000
Status = OrderStatus


class PushedFeed:
    """Trades as the bench pushes them."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.instruments = instruments

    def watch(self, instrument: int, now: int) -> Image | None:
        return None

    def unwatch(self, instrument: int) -> None:
        """Whoever pushes knows."""

    def past_bars(self, instruments: Sequence[int], warmup: int, now: int) -> Batch | None:
        return None

    def watch_bars(self, instrument: int, interval_ns: int | None, now: int, warmup: int = 0) -> EventKind | None:
        return None

    def kinds(self, instrument: int) -> frozenset[EventKind]:
        return frozenset({EventKind.TRADE})

    def find(self, symbol: str) -> int | None:
        return None

    def ask(self, request: Request, now: int) -> Reply | None:
        return None

    @property
    def restarts(self) -> bool:
        return False


class Client(Strategy):
    """Does what it is handed at a trade, and keeps what it hears, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.todo: list[Callable[[Client], Any]] = []
        self.heard: list[Fill | OrderUpdate] = []
        self.known: list[tuple[float, float]] = []

    def on_start(self) -> None:
        self.subscribe(self.symbols)

    def on_trade(self, trade: Trade) -> None:
        todo, self.todo = self.todo, []
        for action in todo:
            action(self)

    def on_fill(self, fill: Fill) -> None:
        self.heard.append(fill)
        self.known.append((self.position(fill.symbol).quantity, self.account.cash))

    def on_order(self, update: OrderUpdate) -> None:
        self.heard.append(update)


class Bench(Protocol):
    """A session over a broker, and the market that the broker fills from."""

    client: Client
    broker: Broker
    resolution_ns: int
    """How exactly the broker tells times."""

    def trade(self, second: float, price: float, size: float = 1000.0, then: Callable[[Client], Any] | None = None,
              symbol: str = "A") -> None:  # fmt: skip
        """A trade on the market; what the client does when it hears of it; and time for the broker to answer."""

    def settle(self, second: float) -> None:
        """Let time pass without a trade."""


class SimBench:
    """The simulated broker; with or without latency, with 10,000 in cash and a cap on the volume of a trade."""

    resolution_ns = 1

    def __init__(self, latency_ms: int) -> None:
        instruments = (Instrument("A"), Instrument("B"))
        state = State(2, 1)
        ledger = Ledger(state, instruments, ("USD",))
        ledger.open({"USD": 10_000.0}, {})
        self.broker: Broker = SimBroker(
            FeeModel.parse("per-share:0.01"), FillRules(volume_share=1.0, latency_ns=latency_ms * 1_000_000)
        )
        self.client = Client()
        self.session = Session(
            handlers=self.client.handlers(),
            feed=PushedFeed(instruments),
            broker=self.broker,
            guard=Guard(GuardSettings(), state, instruments, ("USD",), allow_short=False),
            ledger=ledger,
            journal=MemoryJournal(state),
            calendar=session_times("XNYS", OPEN, OPEN + 86_400 * S),
        )
        self.client.bind(self.session, ["A", "B"])
        drive(self.session, self.session.begin(OPEN))

    def trade(
        self,
        second: float,
        price: float,
        size: float = 1000.0,
        then: Callable[[Client], Any] | None = None,
        symbol: str = "A",
    ) -> None:
        if then is not None:
            self.client.todo.append(then)
        none = np.zeros(1)
        batch = Batch(
            np.array([OPEN + round(second * S)], np.int64), np.array([EventKind.TRADE], np.uint8),
            np.array([self.session.index[symbol]], np.int32), (np.array([price]), np.array([size]), none, none, none),
        )  # fmt: skip
        drive(self.session, self.session.step(batch))

    def settle(self, second: float) -> None:
        drive(self.session, self.session.pass_until(OPEN + round(second * S)))


BENCHES: dict[str, Callable[[], Bench]] = {
    "sim": lambda: SimBench(0),
    "sim with latency": lambda: SimBench(50),
    "interactive brokers": lambda: IbBench(Client(), OPEN),
}


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Bench:
    made = BENCHES[request.param]()
    made.trade(1, 100.0)
    return made


def give(bench: Bench, second: float, quantity: float = 10, **terms: Any) -> Order:
    """Have the client buy at a trade of 100, and give the broker half a second."""
    orders: list[Order] = []
    bench.trade(second, 100.0, 0.0, lambda client: orders.append(client.buy("A", quantity, **terms)))
    bench.settle(second + 0.5)
    return orders[0]


def fills(bench: Bench) -> list[Fill]:
    return [each for each in bench.client.heard if isinstance(each, Fill)]


def statuses(bench: Bench, number: int) -> list[OrderStatus]:
    """States of an order in the order in which they were heard, without repetitions."""
    heard = [each.status for each in bench.client.heard if isinstance(each, OrderUpdate) and each.order == number]
    return [status for status, _ in itertools.groupby(heard)]


def test_an_order_is_numbered_and_works_when_the_broker_has_it(bench: Bench) -> None:
    seen: list[OrderStatus] = []
    bench.trade(2, 100.0, 0.0, lambda client: seen.append(client.buy("A", 1, limit=90).status))
    assert seen[0] in (Status.PENDING_SUBMIT, Status.SUBMITTED)
    bench.settle(2.5)
    order = bench.client.working_orders()[0]
    assert (order.number, order.status) == (1, Status.SUBMITTED)
    assert give(bench, 3, limit=80).number == 2


def test_an_acknowledgement_is_heard_once_where_it_takes_time(bench: Bench) -> None:
    order = give(bench, 2, limit=90)
    bench.trade(3, 100.0)
    bench.trade(4, 100.0)
    heard = [each for each in bench.client.heard if isinstance(each, OrderUpdate)]
    assert [each.status for each in heard] in ([], [Status.SUBMITTED])
    assert order.is_working


def test_a_fill_is_heard_once_with_its_price_and_fee_when_the_books_have_it(bench: Bench) -> None:
    order = give(bench, 2)
    bench.trade(3, 101.0)
    bench.trade(4, 102.0)
    (fill,) = fills(bench)
    assert (fill.order, fill.symbol, fill.quantity, fill.price) == (1, "A", 10, 101.0)
    assert fill.fee == pytest.approx(0.1)
    assert order.book.state.orders["fee"][0] == pytest.approx(0.1)
    ((quantity, cash),) = bench.client.known
    assert quantity == 10
    assert cash == pytest.approx(10_000 - 1_010 - 0.1)
    assert (order.status, order.filled, order.average_price) == (Status.FILLED, 10, 101.0)
    assert statuses(bench, 1)[-1] is Status.FILLED


def test_parts_are_heard_in_order_and_add_up(bench: Bench) -> None:
    order = give(bench, 2)
    for second, size in ((3, 4.0), (4, 5.0), (5, 50.0)):
        bench.trade(second, 100.0 + second, size)
    assert [(each.quantity, each.price) for each in fills(bench)] == [(4, 103.0), (5, 104.0), (1, 105.0)]
    assert statuses(bench, 1)[-2:] == [Status.PARTIALLY_FILLED, Status.FILLED]
    assert order.filled == 10
    assert order.average_price == pytest.approx((4 * 103 + 5 * 104 + 105) / 10)


def test_a_cancelled_order_ends_once_and_never_fills(bench: Bench) -> None:
    order = give(bench, 2, limit=95)
    bench.trade(3, 100.0, 0.0, lambda client: client.cancel(order))
    bench.settle(3.5)
    bench.trade(4, 90.0, 1000.0, lambda client: client.cancel(order))
    bench.settle(5)
    assert (order.status, fills(bench)) == (Status.CANCELLED, [])
    ends = [each for each in bench.client.heard if isinstance(each, OrderUpdate) and each.status.is_final]
    assert [(each.order, each.reason) for each in ends] == [(1, "cancelled on request")]
    assert bench.client.working_orders() == []
    assert bench.client.position("A").committed == 0


def test_cancelling_what_has_filled_changes_nothing(bench: Bench) -> None:
    order = give(bench, 2)
    bench.trade(3, 100.0)
    bench.trade(4, 100.0, 1000.0, lambda client: client.cancel(order))
    bench.settle(5)
    assert order.status is Status.FILLED
    assert statuses(bench, 1)[-1] is Status.FILLED


def test_a_change_keeps_the_number_and_works_by_the_new_terms(bench: Bench) -> None:
    order = give(bench, 2, limit=90)
    bench.trade(3, 100.0, 0.0, lambda client: client.modify(order, limit=99.0, quantity=7))
    bench.settle(3.5)
    assert (order.number, order.status) == (1, Status.SUBMITTED)
    assert bench.client.position("A").committed == 7
    bench.trade(4, 98.0)
    assert [(each.order, each.quantity) for each in fills(bench)] == [(1, 7)]
    assert fills(bench)[0].price <= 99.0


def test_a_cancel_after_a_change_that_is_on_its_way_wins(bench: Bench) -> None:
    order = give(bench, 2, limit=90)

    def both(client: Client) -> None:
        client.modify(order, limit=99.0)
        client.cancel(order)
        client.modify(order, limit=99.5)

    bench.trade(3, 100.0, 0.0, both)
    bench.settle(4)
    bench.trade(5, 80.0)
    assert (order.status, fills(bench)) == (Status.CANCELLED, [])


def test_what_can_not_be_paid_for_is_rejected_once_with_a_reason(bench: Bench) -> None:
    order = give(bench, 2, quantity=1_000)
    bench.trade(3, 100.0)
    ends = [each for each in bench.client.heard if isinstance(each, OrderUpdate) and each.status.is_final]
    assert [(each.order, each.status) for each in ends] == [(1, Status.REJECTED)]
    assert "not enough cash" in ends[0].reason  # TWS says it among other words
    assert (order.status, fills(bench)) == (Status.REJECTED, [])


def test_an_order_for_what_has_no_price_yet_waits_and_is_not_rejected(bench: Bench) -> None:
    bench.trade(2, 100.0, 0.0, lambda client: client.buy("B", 1))
    bench.settle(3)
    (order,) = bench.client.working_orders("B")
    assert order.is_working
    bench.trade(4, 50.0, symbol="B")
    assert order.status is Status.FILLED


def test_what_no_guard_approved_can_not_be_sent(bench: Bench) -> None:
    with pytest.raises((AttributeError, TypeError, AssertionError)):
        bench.broker.submit(OrderRequest(0, "A", 1, 10), 1, OPEN)  # type: ignore[arg-type]
    bench.trade(2, 100.0)
    assert fills(bench) == []


actions = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "limit", "stop", "cancel", "modify", "nothing"]),
        st.integers(1, 40),
        st.integers(95, 105),
        st.integers(0, 30),
    ),
    min_size=1,
    max_size=25,
)


def act(client: Client, orders: list[Order], action: str, quantity: int, price: int) -> None:
    """One random step of a client."""
    if action in ("cancel", "modify") and orders:
        order = orders[quantity % len(orders)]
        if action == "cancel":
            client.cancel(order)
        elif order.number:
            client.modify(order, quantity=float(quantity))
    elif action in ("buy", "sell"):
        orders.append(getattr(client, action)("A", quantity))
    elif action in ("limit", "stop"):
        terms: dict[str, Any] = {action: float(price)}
        orders.append(client.buy("A", quantity, **terms))


@pytest.mark.parametrize("name", BENCHES)
@given(steps=actions)
def test_reports_of_any_script_are_in_order_legal_and_add_up(name: str, steps: list[tuple[str, int, int, int]]) -> None:
    bench = BENCHES[name]()
    orders: list[Order] = []
    bench.trade(1, 100.0)
    for k, (action, quantity, price, size) in enumerate(steps):
        step = lambda client, a=action, q=quantity, p=price: act(client, orders, a, q, p)  # noqa: E731
        bench.trade(2 + k * 0.03, float(price), float(size), step)
    bench.settle(60)
    heard = bench.client.heard
    times = [each.ts // bench.resolution_ns for each in heard]
    assert times == sorted(times)
    reachable = {status: {status, *TRANSITIONS[status].values()} for status in Status}
    for order in (each for each in orders if each.number):
        updates = [each for each in heard if isinstance(each, OrderUpdate) and each.order == order.number]
        for before, after in itertools.pairwise(updates):
            assert not before.status.is_final
            assert after.filled >= before.filled
            steps_between = {later for first in reachable[before.status] for later in reachable[first]}
            assert after.status in steps_between
        mine = [each for each in fills(bench) if each.order == order.number]
        assert sum(each.quantity for each in mine) == pytest.approx(order.filled)
        assert not order.status.is_final or updates[-1].status is order.status
    signed = sum(each.quantity * each.side for each in fills(bench))
    assert bench.client.position("A").quantity == pytest.approx(signed)
    assert bench.client.position("A").quantity >= 0
    spent = sum(each.quantity * each.side * each.price + each.fee for each in fills(bench))
    assert bench.client.account.cash == pytest.approx(10_000 - spent)
    assert bench.client.account.cash >= -1e-6
