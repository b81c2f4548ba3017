"""A simulated TWS on a small tape, asked and heard without sockets."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from brokers.fees import FeeModel
from gateway.clients import Client
from gateway.market import Market
from gateway.order_faults import NO_FAULTS, OrderFaults
from gateway.protocol import replies, requests
from gateway.protocol.codec import decode_reply
from gateway.protocol.contract import Contract
from gateway.protocol.order import Order
from gateway.protocol.replies import Error, Execution, OpenOrder, OrderStatus, Reply
from gateway.protocol.requests import Request
from gateway.protocol.wire import PREFIX_BYTES
from gateway.settings import GatewaySettings
from gateway.store import Store
from gateway.tws import Tws
from papertape.core.model import CorporateAction, Instrument
from papertape.core.series import Series, Tape
from tests.brokers.tapes import ns

VERSION = 200
BEFORE_OPEN = ns(-1.0)


def stock(symbol: str = "AAPL", **fields: Any) -> Contract:
    """A stock as a client names it."""
    return Contract(symbol=symbol, **{"type": "STK", "exchange": "SMART", "currency": "USD", **fields})


def order(action: str, quantity: float, type_: str = "MKT", **terms: Any) -> Order:
    """An order's terms."""
    return Order(action=action, quantity=quantity, type=type_, **terms)


class Desk:
    """A TWS that plays ``series`` from ``start`` to ``end`` (UTC ns, inclusive), asked and heard without sockets.

    ``start`` None is the first event; by default it is a second before the session's open. Settings are given whole, or
    one by one, then without fees.
    """

    def __init__(
        self,
        *series: Series,
        start: int | None = BEFORE_OPEN,
        end: int | None = None,
        settings: GatewaySettings | None = None,
        fees: str = "none",
        faults: OrderFaults = NO_FAULTS,
        instruments: Sequence[Instrument] = (),
        actions: tuple[CorporateAction, ...] = (),
        reference: frozenset[str] = frozenset(),
        store: Store | None = None,
        **given: Any,
    ) -> None:
        known = {each.symbol: Instrument(each.symbol) for each in series} | {each.symbol: each for each in instruments}
        tape = Tape(series, known, actions=actions, reference_columns=reference)
        self.settings = settings or GatewaySettings(fees=FeeModel.parse(fees), **given)
        self.tws = Tws(self.settings, Market(tape, start=start, end=end), store, faults=faults)

    @functools.cached_property
    def one(self) -> Client:
        """Client 1, connected when it is first needed."""
        return self.client()

    def client(self, client_id: int = 1, version: int = VERSION) -> Client:
        """Another client; what it was told at the start is taken already."""
        client = self.tws.connect(version)
        self.tws.request(client, requests.StartApi(client_id))
        client.take()
        return client

    def at(self, second: float) -> None:
        """Play up to a time in seconds after the session's open, that included, for client 1 to hear."""
        assert self.one.id == 1, "it is there from now on"
        self.tws.play(ns(second))

    def play(self, until: int, client: Client | None = None) -> list[Reply]:
        """Play up to a time (UTC ns), that included; what a client was told since the last time."""
        self.tws.play(until)
        return self.heard(client)

    def ask(self, request: Request, client: Client | None = None) -> list[Reply]:
        """Ask something; what the client was told since the last time."""
        client = client or self.one
        self.tws.request(client, request)
        return self.heard(client)

    def place(self, order_id: int, terms: Order, client: Client | None = None, symbol: str = "AAPL") -> list[Reply]:
        """Place an order; what the client was told."""
        return self.ask(requests.PlaceOrder(order_id, stock(symbol), terms), client)

    def heard(self, client: Client | None = None) -> list[Reply]:
        """What a client was told since the last time."""
        client = client or self.one
        return [
            decode_reply(each[PREFIX_BYTES:], client.version) if isinstance(each, bytes) else each
            for each in client.take()
        ]


def told(heard: list[Reply]) -> list[str]:
    """Messages as words: ``openOrder Submitted``, ``orderStatus Filled``, ``execDetails``, ``error 201``."""
    words: list[str] = []
    for each in heard:
        match each:
            case OpenOrder():
                words.append(f"openOrder {each.state.status}")
            case OrderStatus():
                words.append(f"orderStatus {each.status}")
            case Execution():
                words.append("execDetails")
            case replies.Commission():
                words.append("commission")
            case Error():
                words.append(f"error {each.code}")
            case _:
                words.append(type(each).__name__)
    return words


def statuses(heard: list[Reply], order_id: int) -> list[str]:
    """The states that an order went through."""
    return [each.status for each in heard if isinstance(each, OrderStatus) and each.order_id == order_id]


def fills(heard: list[Reply]) -> list[tuple[float, float]]:
    """(shares, price) of executions; shares negative for sales."""
    return [
        (each.shares if each.side == "BOT" else -each.shares, each.price)
        for each in heard
        if isinstance(each, Execution)
    ]


def errors(heard: list[Reply]) -> list[int]:
    """Codes of errors and notices."""
    return [each.code for each in heard if isinstance(each, Error)]
