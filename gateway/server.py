"""The shell of the simulated TWS: sockets on one side, a synchronous Tws on the other, a driver that lets time pass."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import errno
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from zoneinfo import ZoneInfo

from gateway.clients import UNSTARTED, Client
from gateway.connection import Bounds, Connection, all_writable
from gateway.drivers import Driver
from gateway.fault_kinds import name_of
from gateway.faults import FaultLayer, FindExchange, LoseExchange, Restart, ServerAction
from gateway.protocol.codec import decode_reply, encode_reply
from gateway.protocol.protobuf import check_server_version
from gateway.protocol.replies import Error, Execution, Reply
from gateway.protocol.requests import CancelOrder, GlobalCancel, PlaceOrder, Request, StartApi
from gateway.protocol.wire import PREFIX_BYTES
from gateway.scenario import Scenario
from gateway.tws import Tws
from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S
from papertape.core.timers import NEVER

LOOPBACK = "127.0.0.1"
_NOTICES = range(2100, 2200)
"""Codes that say how TWS is, not that something failed."""


class What(StrEnum):
    """What an event of the server is about."""

    MARKET = "market"
    CLIENT = "client"
    ORDER = "order"
    FILL = "fill"
    ERROR = "error"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """Something that whoever watches the server wants to know; ``ts`` is exchange time (UTC ns)."""

    ts: int
    what: What
    text: str


class GatewayServer:
    """Listens, and connects clients with a Tws whose market ``driver`` plays.

    Use it as ``async with GatewayServer(...) as server: await server.run()``. ``port`` 0 takes a free one, which is
    then in ``port``. With ``hold`` the market begins when the first client is ready. ``told`` hears of events,
    ``closed`` of the end. Raises ConfigError where it cannot listen, or cannot speak the server version.
    """

    def __init__(
        self,
        tws: Tws,
        driver: Driver,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        scenario: Scenario | None = None,
        hold: bool = True,
        bounds: Bounds | None = None,
        told: Callable[[ServerEvent], None] | None = None,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        check_server_version(tws.settings.server_version)
        self.tws = tws
        self.driver = driver
        self.host = host
        self.port = port
        self.bounds = bounds or Bounds()
        self.hold = hold
        self.scenario = scenario
        self._told = told
        self._closed = closed
        self._zone = ZoneInfo(tws.settings.zone)
        self._sockets: set[Connection] = set()
        self._by_number: dict[int, Connection] = {}
        self._listener: asyncio.Server | None = None
        self._reopening: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        """Set while no socket is open."""
        self._stop_at_end = False
        self.has_ended = False
        """Whether the tape has been played to its end."""
        self._failure: BaseException | None = None
        self._layer: FaultLayer | None = None
        if scenario is not None and scenario.faults:
            self._layer = FaultLayer(
                scenario,
                tws.now,
                tws.market.calendar.zone,
                encode_reply,
                _name_of,
                marked=frozenset(driver.waits_for),
                told=lambda ts, text: self.tell(What.FAULT, text, ts),
            )

    # -- life ---------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Listen."""
        await self._listen()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """End all connections and stop listening."""
        await self.close()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(lambda: Connection(self), self.host, self.port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"port {self.port} of {self.host} is in use; choose another, or 0 for a free one"
                ) from None
            raise ConfigError(f"cannot listen on {self.host} port {self.port}: {error.strerror or error}") from None
        self.port = self._listener.sockets[0].getsockname()[1]

    async def run(self, *, stop_at_end: bool = False) -> None:
        """Play the market and serve clients until :meth:`stop`, or with ``stop_at_end`` until the tape has ended; then end it.

        Raises PeerError where a lockstep client stops answering, and whatever is a fault of ours.
        """
        self._stop_at_end = stop_at_end
        playing = asyncio.create_task(self._play_market())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done() and not self._stop.is_set():
                playing.result()
                if not stop_at_end:
                    await stopping
        finally:
            for task in (playing, stopping):
                task.cancel()
            await asyncio.gather(playing, stopping, return_exceptions=True)
            await self.close()
        if self._failure is not None:
            raise self._failure

    async def _play_market(self) -> None:
        if self.hold:
            await self._ready.wait()
        self.say_market("the market begins")
        await self.driver.run(self)

    def stop(self) -> None:
        """Have :meth:`run` return. From another thread: ``loop.call_soon_threadsafe(server.stop)``."""
        self._stop.set()

    def fail(self, error: BaseException) -> None:
        """End the run with an error that is a fault of ours."""
        if self._failure is None:
            self._failure = error
        self._stop.set()

    async def close(self) -> None:
        """Stop listening and end all connections; what is written is sent where it goes quickly."""
        if self._reopening is not None:
            self._reopening.cancel()
        for task in self._tasks:
            task.cancel()
        if self._listener is not None:
            self._listener.close()
        self.pump()
        for each in list(self._sockets):
            each.end("the server stops")
        if self._sockets:
            self._gone.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.bounds.closing_s):
                    await self._gone.wait()
        for each in list(self._sockets):
            each.drop("the server stops")
        await asyncio.sleep(0)
        closed, self._closed = self._closed, lambda: None
        closed()

    # -- for drivers --------------------------------------------------------------------------------------------

    @property
    def next_ts(self) -> int:
        """Exchange time of what is to be played next, in the market or by the scenario; NEVER at the tape's end."""
        market = self.tws.next_ts
        return market if market == NEVER or self._layer is None else min(market, self._layer.next_ts)

    def play(self, until: int, most_steps: int) -> bool:
        """Play up to exchange time ``until`` (NEVER: to the end), but no more than so many steps; whether it got there."""
        for _ in range(most_steps):
            ts = self.next_ts
            if ts > until or ts == NEVER:
                if self.tws.now < until < NEVER:
                    self.tws.play(until)
                    self.apply_due()
                return True
            if self._layer is None:
                self.tws.play_next()
            else:
                self.tws.play(ts)
                self.apply_due()
                self.pump()
        return False

    @property
    def due_ts(self) -> int:
        """Exchange time of what the scenario does next; NEVER where it does nothing more."""
        return NEVER if self._layer is None else self._layer.next_ts

    def apply_due(self) -> bool:
        """Let happen what the scenario has for now; whether it has anything."""
        layer = self._layer
        if layer is None or layer.next_ts > self.tws.now:
            return False
        self.pump()
        due = layer.due(self.tws.now)
        for action in due.server:
            self._act(action)
        for number, actions in due.by_connection.items():
            connection = self._by_number.get(number)
            if connection is not None:
                connection.perform(actions)
        return True

    async def drained(self) -> None:
        """Wait until every client takes more; one that does not for long is dropped."""
        slow_s = self.bounds.slow_s
        await all_writable(
            list(self._by_number.values()), slow_s, lambda each: each.drop(f"it did not read for {slow_s:g} s")
        )

    def pump(self) -> None:
        """Write what is in the outboxes."""
        for connection in list(self._by_number.values()):
            client = connection.client
            if client is None:
                continue
            if client.outbox:
                self._write(connection, client, client.take())
            if client.closing and connection.is_open:
                connection.end_after_queue(client.closing)

    def ended(self) -> None:
        """The tape has ended; said once."""
        if self.has_ended:
            return
        self.has_ended = True
        self.say_market("the tape has ended")
        if self._stop_at_end:
            self._stop.set()

    def say_market(self, text: str) -> None:
        """Tell something about the market."""
        self.tell(What.MARKET, text)

    # -- for connections ----------------------------------------------------------------------------------------

    def time_text(self) -> str:
        """The exchange time as TWS gives it in the handshake."""
        epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        return f"{(epoch + dt.timedelta(seconds=self.tws.now // NS_PER_S)).astimezone(self._zone):%Y%m%d %H:%M:%S %Z}"

    def opened(self, connection: Connection) -> bool:
        """A socket was opened; False where there are too many."""
        if len(self._sockets) >= self.bounds.sockets:
            self.tell(What.CLIENT, f"{connection.peer} was refused: {self.bounds.sockets} sockets are open")
            return False
        self._sockets.add(connection)
        return True

    def shaken(self, connection: Connection, version: int) -> Client:
        """Its handshake is done."""
        client = self.tws.connect(version)
        self._by_number[client.number] = connection
        if self._layer is not None:
            self._layer.opened(client)
        return client

    def received(self, client: Client, request: Request) -> None:
        """A client asks for something."""
        if client.closing:
            return
        if isinstance(request, StartApi):
            self._start(client, request)
            return
        if self._told is not None and type(request) in _WORTH_TELLING:
            self.tell(What.ORDER, _request_text(client, request))
        self.driver.received(self, client, request)

    def _start(self, client: Client, request: StartApi) -> None:
        refusal = None
        if client.id == UNSTARTED and self._layer is not None:
            refusal = self._layer.refusal(request.client_id, self.tws.now)
        if refusal is not None:
            client.send(refusal)
            client.closing = f"client id {request.client_id} is said to be in use"
            return
        self.driver.received(self, client, request)
        if client.id != UNSTARTED and not client.closing:
            peer = self._by_number[client.number].peer
            self.tell(What.CLIENT, f"client {client.id} connected from {peer}, server version {client.version}")
            self._ready.set()

    def lost(self, connection: Connection) -> None:
        """A socket is gone."""
        self._sockets.discard(connection)
        if not self._sockets:
            self._gone.set()
        self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """For the Tws a client is gone."""
        client = connection.client
        if client is None or self._by_number.pop(client.number, None) is None:
            return
        if client.id != UNSTARTED and not connection.is_ended:
            self.tell(What.CLIENT, f"client {client.id} has left")
        self.tws.disconnect(client)
        self.driver.lost(self, client)
        if self._layer is not None:
            self._layer.closed(client)

    def said_end(self, connection: Connection, why: str) -> None:
        """A connection is ended by the server."""
        client = connection.client
        connection.is_ended = True
        who = connection.peer if client is None or client.id == UNSTARTED else f"client {client.id}"
        self.tell(What.CLIENT, f"{who} is disconnected: {why}")

    # -- writing ------------------------------------------------------------------------------------------------

    def _write(self, connection: Connection, client: Client, replies: list[Reply | bytes]) -> None:
        if self._told is not None:
            self._tell_replies(client, replies)
        if self._layer is not None:
            connection.perform(self._layer.pass_on(client, replies, self.tws.now))
            return
        version = client.version
        connection.send(
            b"".join([each if isinstance(each, bytes) else encode_reply(each, version) for each in replies])
        )

    def _act(self, action: ServerAction) -> None:
        match action:
            case Restart(seconds):
                self._restart(seconds)
            case LoseExchange():
                self.tws.orders.disconnect_exchange()
            case FindExchange(data_lost):
                self.tws.orders.connect_exchange(self.tws.now)
                if data_lost:
                    for client in self.tws.clients:
                        self.tws.data.drop(client)

    def _restart(self, seconds: float) -> None:
        """End all connections and the listener, which comes back on the same port."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for each in list(self._sockets):
            each.drop("a restart")
        if self._reopening is not None:
            self._reopening.cancel()
        self._reopening = asyncio.get_running_loop().call_later(seconds, self._reopen)

    def _reopen(self) -> None:
        async def listen() -> None:
            try:
                await self._listen()
            except ConfigError as error:
                self.fail(error)
            else:
                self.say_market(f"listening again on port {self.port}")

        task = asyncio.get_running_loop().create_task(listen())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- telling ------------------------------------------------------------------------------------------------

    def tell(self, what: What, text: str, ts: int | None = None) -> None:
        """Tell an event that happened now, or at ``ts``."""
        if self._told is not None:
            self._told(ServerEvent(self.tws.now if ts is None else ts, what, text))

    def _tell_replies(self, client: Client, replies: list[Reply | bytes]) -> None:
        """Fills, to their owner only, and errors."""
        for each in replies:
            kind = type(each)
            if kind is Execution:
                assert isinstance(each, Execution), "it is"
                if each.request == -1 and each.client_id == client.id:
                    self.tell(What.FILL, _fill_text(each))
            elif kind is Error:
                assert isinstance(each, Error), "it is"
                if each.code not in _NOTICES:
                    who = f"client {client.id}" if client.id != UNSTARTED else "a client"
                    about = "" if each.request == -1 else f" about {each.request}"
                    self.tell(What.ERROR, f"{each.code} to {who}{about}: {each.text}")


def _name_of(frame: bytes, version: int) -> str:
    """Kind of a message that is encoded already."""
    return name_of(decode_reply(frame[PREFIX_BYTES:], version))


_WORTH_TELLING = frozenset({PlaceOrder, CancelOrder, GlobalCancel})


def _fill_text(fill: Execution) -> str:
    return (
        f"order {fill.order_id} of client {fill.client_id}: {fill.side} {fill.shares:g} {fill.contract.symbol} "
        f"at {fill.price:g} ({fill.exec_id})"
    )


def _request_text(client: Client, request: Request) -> str:
    match request:
        case PlaceOrder(order_id, contract, order):
            prices = "".join(f" {price:g}" for price in (order.limit_price, order.aux_price) if price == price)
            kind = "what-if" if order.what_if else "order"
            return (
                f"{kind} {order_id} of client {client.id}: {order.action} {order.quantity:g} {contract.symbol} "
                f"{order.type}{prices} {order.tif or 'DAY'}"
            )
        case CancelOrder(order_id):
            return f"order {order_id} of client {client.id}: cancel"
        case _:
            return f"client {client.id} cancels all orders"
