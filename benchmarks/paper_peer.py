"""A TWS that plays by a script, for one or two clients: it stamps when a tick's bytes leave and when an order's arrive.

It answers what a session asks before it trades (an account without positions), has quotes and tick-by-tick trades of a
few stocks, and fills every market order at once. It spends as little time as it can between a tick and an order, so that
what it measures is the client's. :mod:`benchmarks.paper_ticks` and :mod:`benchmarks.paper_load` drive it.
"""

from __future__ import annotations

import datetime as dt
import selectors
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from gateway.contracts import Contracts
from gateway.protocol import replies, requests
from gateway.protocol.codec import decode_request, encode_reply
from gateway.protocol.handshake import Handshake
from gateway.protocol.order_replies import OrderState
from gateway.protocol.wire import FrameReader
from papertape.core.model import NS_PER_S, Instrument

VERSION = 200
ACCOUNT = "DU1000001"
CASH = "1000000.00"
PRICE = 100.0
COMMISSION = 1.0
BEGIN = 1_704_294_000 * NS_PER_S
"""The market's time when the peer starts: Wednesday 2024-01-03, 10:00 in New York."""
ZONE = ZoneInfo("America/New_York")


class Peer:
    """One connection. ``orders`` are stamps (s, monotonic) of orders read, taken before anything is made of the bytes."""

    def __init__(self, connection: socket.socket, market: Market) -> None:
        self.connection = connection
        self.client_id = 0
        self.ticks: dict[int, int] = {}
        """Index of a stock -> its tick-by-tick request."""
        self.lines: dict[int, int] = {}
        """Index of a stock -> its market data request."""
        self.orders: list[float] = []
        self.fills = 0
        self.held: dict[int, float] = {}
        """Index of a stock -> how many the account holds of it."""
        self.follows_positions = False
        self.is_open = True
        self._market = market
        self._handshake = Handshake(VERSION, "20240103 10:00:00 EST")
        self._frames = FrameReader()

    def read(self) -> None:
        """Take what has come, and answer it."""
        try:
            data = self.connection.recv(65_536)
        except ConnectionError:
            data = b""
        now = time.perf_counter()
        if not data:
            self.is_open = False
            return
        if not self._handshake.done:
            self.connection.sendall(self._handshake.feed(data))
            data = self._handshake.early
        for payload in self._frames.feed(data):
            request = decode_request(payload, VERSION)
            if isinstance(request, requests.PlaceOrder):
                self.orders.append(now)
            answer = ANSWERS.get(type(request))
            said = answer(self, request) if answer is not None else []
            if said:
                self.connection.sendall(b"".join(encode_reply(each, VERSION) for each in said))

    def trade(self, j: int, price: float, size: float = 100.0) -> bytes:
        """The bytes of a trade of a stock."""
        return encode_reply(replies.TickLast(self.ticks[j], 2, self._market.seconds(), price, size), VERSION)

    def quote(self, j: int, bid: float, ask: float, size: float) -> bytes:
        """The bytes of a quote, a price and size a side."""
        request = self.lines[j]
        sides = (replies.TickPrice(request, 1, bid, size, 0), replies.TickPrice(request, 2, ask, size, 0))
        return b"".join(encode_reply(each, VERSION) for each in sides)

    # -- what it says -----------------------------------------------------------------------------------------

    def start(self, request: requests.StartApi) -> list[Any]:
        """The beginning of every session."""
        self.client_id = request.client_id
        return [replies.ManagedAccountsList(ACCOUNT), replies.NextValidId(1)]

    def account(self, request: requests.AccountUpdates) -> list[Any]:
        """An account in cash."""
        if not request.subscribe:
            return []
        values = {"NetLiquidation": CASH, "TotalCashBalance": CASH, "ExchangeRate": "1.00"}
        said = [replies.AccountValue(key, value, "USD", ACCOUNT) for key, value in values.items()]
        return [*said, replies.AccountDownloadEnd(ACCOUNT)]

    def definition(self, request: requests.ContractDetails) -> list[Any]:
        """What a stock is."""
        j = self._market.find(request.contract)
        row = replies.ContractDetailsRow(request.request, self._market.contracts.wire(j))
        return [row, replies.ContractDetailsEnd(request.request)]

    def positions(self, _: requests.Positions) -> list[Any]:
        """What the account holds, and from now on whenever that changes."""
        self.follows_positions = True
        wire = self._market.contracts.wire
        rows = [replies.PositionRow(ACCOUNT, wire(j), held, PRICE) for j, held in self.held.items() if held]
        return [*rows, replies.PositionEnd()]

    def line(self, request: requests.MarketData) -> list[Any]:
        """A line that is live; its ticks come when somebody has them sent."""
        self.lines[self._market.find(request.contract)] = request.request
        return [replies.DataType(request.request, 1)]

    def follow(self, request: requests.TickByTick) -> list[Any]:
        """Tick-by-tick trades: the same."""
        self.ticks[self._market.find(request.contract)] = request.request
        return []

    def fill(self, request: requests.PlaceOrder) -> list[Any]:
        """What TWS says of a market order that fills at once, in the order that was recorded."""
        number, order = request.order_id, request.order
        self.fills += 1
        j = self._market.find(request.contract)
        self.held[j] = self.held.get(j, 0.0) + (order.quantity if order.action == "BUY" else -order.quantity)
        contract = self._market.contracts.wire(j)
        permanent = self.client_id * 10_000_000 + number
        execution = f"0000e0d5.{self.client_id:04d}.{self.fills:06d}.01"

        def opened(status: str) -> replies.OpenOrder:
            return replies.OpenOrder(number, self.client_id, permanent, contract, order, OrderState(status))

        def stands(status: str, filled: float) -> replies.OrderStatus:
            rest = order.quantity - filled
            return replies.OrderStatus(
                number,
                status,
                filled,
                rest,
                PRICE if filled else 0.0,
                permanent,
                0,
                PRICE if filled else 0.0,
                self.client_id,
            )

        moved = [replies.PositionRow(ACCOUNT, contract, self.held[j], PRICE)] if self.follows_positions else []
        filled = replies.Execution(
            -1, number, contract, execution, self._market.time_text(), ACCOUNT, "IEX",
            "BOT" if order.action == "BUY" else "SLD", order.quantity, PRICE, permanent, self.client_id, order.quantity, PRICE,
            order.order_ref,
        )  # fmt: skip
        return [
            opened("PreSubmitted"), stands("PreSubmitted", 0.0), filled, opened("Filled"), stands("Filled", order.quantity),
            replies.Commission(execution, COMMISSION, "USD"), *moved,
        ]  # fmt: skip


class Market:
    """The stocks, and the time there."""

    def __init__(self, symbols: int) -> None:
        instruments = [Instrument(f"S{k:02d}") for k in range(symbols)]
        self.contracts = Contracts(instruments)
        self._began = time.monotonic_ns()

    @property
    def began_s(self) -> float:
        """When it started (s, monotonic): the same clock for all processes of a machine."""
        return self._began / 1e9

    def now(self) -> int:
        """The time (UTC ns)."""
        return BEGIN + time.monotonic_ns() - self._began

    def seconds(self) -> int:
        """The same in whole seconds."""
        return self.now() // NS_PER_S

    def time_text(self) -> str:
        """The same as an execution has it."""
        return f"{dt.datetime.fromtimestamp(self.seconds(), ZONE):%Y%m%d %H:%M:%S} US/Eastern"

    def find(self, contract: Any) -> int:
        """Index of a stock."""
        return self.contracts.find(contract)[0]


class Desk:
    """Listens, and serves all clients while somebody waits for one of them."""

    def __init__(self, symbols: int) -> None:
        self.market = Market(symbols)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.peers: list[Peer] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)

    def serve(self, timeout_s: float) -> None:
        """Answer what comes within so long; returns after the first that did."""
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            peer = key.data
            if peer is None:
                connection, _ = self._listening.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer = Peer(connection, self.market)
                self.peers.append(peer)
                self._selector.register(connection, selectors.EVENT_READ, peer)
                continue
            peer.read()
            if not peer.is_open:
                self._selector.unregister(peer.connection)
                peer.connection.close()

    def serve_for(self, seconds: float) -> None:
        """Answer what comes, for so long."""
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0.0:
            self.serve(left)

    def serve_until(self, is_done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Answer what comes until something is so. RuntimeError after ``timeout_s``."""
        until = time.perf_counter() + timeout_s
        while not is_done():
            left = until - time.perf_counter()
            if left <= 0.0:
                raise RuntimeError(f"{what} did not happen within {timeout_s:g} s")
            self.serve(min(left, 0.1))

    def of(self, client_id: int, symbols: Sequence[int]) -> Peer | None:
        """The connection of a client that follows all these stocks; None while there is none."""
        return next(
            (
                each
                for each in self.peers
                if each.is_open
                and each.client_id == client_id
                and all(j in each.ticks or j in each.lines for j in symbols)
            ),
            None,
        )

    def close(self) -> None:
        """End all connections."""
        for peer in self.peers:
            peer.connection.close()
        self._listening.close()
        self._selector.close()


ANSWERS: Mapping[type, Callable[[Peer, Any], list[Any]]] = {
    requests.StartApi: Peer.start,
    requests.AccountUpdates: Peer.account,
    requests.Positions: Peer.positions,
    requests.OpenOrders: lambda peer, request: [replies.OpenOrdersEnd()],
    requests.AllOpenOrders: lambda peer, request: [replies.OpenOrdersEnd()],
    requests.CompletedOrders: lambda peer, request: [replies.CompletedOrdersEnd()],
    requests.Executions: lambda peer, request: [replies.ExecutionsEnd(request.request)],
    requests.ContractDetails: Peer.definition,
    requests.MarketData: Peer.line,
    requests.TickByTick: Peer.follow,
    requests.CurrentTime: lambda peer, request: [replies.Time(peer._market.seconds())],
    requests.PlaceOrder: Peer.fill,
}
"""Request -> its answer; what is not here (what is cancelled) has none."""
