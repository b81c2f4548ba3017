"""A server that a test talks to over real sockets, and a client of the protocol to talk with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import numpy as np
import pytest

from feeds.load import load_tape
from gateway.assembly import make_server
from gateway.drivers import Paced
from gateway.protocol import replies, requests
from gateway.protocol.codec import decode_reply, encode_request
from gateway.protocol.contract import Contract
from gateway.protocol.handshake import ClientHandshake
from gateway.protocol.order import Order
from gateway.protocol.replies import Reply
from gateway.protocol.requests import Request
from gateway.protocol.wire import FrameReader
from gateway.scenario import Scenario
from gateway.server import GatewayServer, ServerEvent, What
from gateway.settings import GatewaySettings, Limits
from papertape.core.model import NS_PER_S
from papertape.core.series import Tape

START = 1_717_421_400 * NS_PER_S
"""2024-06-03 09:30 in New York."""
SECONDS = 120
WITHIN_S = 30.0
"""No test waits longer; what does not come by then does not come."""
EASY = Limits(messages_per_s=1_000_000)
AAA = Contract(symbol="AAA", type="STK", exchange="SMART", currency="USD")


def tape() -> Tape:
    """AAA at 10.00, ten trades a second."""
    n = SECONDS * 10
    ts = START + np.arange(n, dtype=np.int64) * (NS_PER_S // 10)
    return load_tape({"AAA": {"ts": ts, "price": np.full(n, 10.0), "size": np.full(n, 100.0)}})


class Peer:
    """A client of the protocol, as sound as it is told to be."""

    def __init__(self, server: GatewayServer, last_version: int = 200) -> None:
        self._server = server
        self._shake = ClientHandshake(last=last_version)
        self._frames = FrameReader(1 << 24)
        self.seen: list[Reply] = []
        self.writer: Any = None

    async def open(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(self._server.host, self._server.port)
        return self

    async def shake(self) -> Self:
        await self.open()
        self.writer.write(self._shake.greeting)
        while not self._shake.version:
            self._shake.feed(await self.reader.read(65_536) or await self._gone())
        assert self._shake.early == [], "nothing comes with the version"
        self.version = self._shake.version
        return self

    async def start(self, client_id: int = 1) -> Self:
        await self.shake()
        self.ask(requests.StartApi(client_id))
        await self.until(lambda each: isinstance(each, replies.NextValidId))
        return self

    async def _gone(self) -> bytes:
        raise ConnectionResetError("the server closed the connection")

    def ask(self, *asked: Request) -> None:
        self.writer.write(b"".join(encode_request(each, self.version) for each in asked))

    async def until(self, is_it: Callable[[Reply], bool]) -> Reply:
        """Read up to a reply; all are kept in ``seen``. ConnectionResetError at the end of the connection."""
        while True:
            data = await self.reader.read(65_536)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            found = [decode_reply(payload, self.version) for payload in self._frames.feed(data)]
            self.seen += found
            for each in found:
                if is_it(each):
                    return each

    async def error(self, code: int) -> replies.Error:
        found = await self.until(lambda each: isinstance(each, replies.Error) and each.code == code)
        assert isinstance(found, replies.Error)
        return found

    async def until_closed(self) -> None:
        with pytest.raises(ConnectionResetError):
            await self.until(lambda each: False)

    async def sound(self) -> None:
        """Whether the server answers."""
        self.ask(requests.CurrentTime())
        await self.until(lambda each: isinstance(each, replies.Time))

    def close(self) -> None:
        self.writer.close()

    async def shut(self) -> None:
        """Leave nothing open behind."""
        if self.writer is not None:
            self.writer.close()
            await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


class Served:
    """A server that runs while a test talks to it."""

    def __init__(self, scenario: str = "", *, stop_at_end: bool = False, **options: Any) -> None:
        self.events: list[ServerEvent] = []
        settings = options.pop("settings", GatewaySettings(limits=EASY))
        driver = options.pop("driver", None)
        self.server = make_server(
            options.pop("tape", None) or tape(),
            settings,
            scenario=Scenario.parse(scenario, "s.toml") if scenario else None,
            told=self.events.append,
            **{"speed": None, **options},
        )
        if driver is not None:
            self.server.driver = driver
        self._stop_at_end = stop_at_end
        self._peers: list[Peer] = []

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        self.running = asyncio.create_task(self.server.run(stop_at_end=self._stop_at_end))
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.server.stop()
        try:
            if exception[0] is None:
                await self.running
            else:
                await asyncio.gather(self.running, return_exceptions=True)
        finally:
            await self.server.close()
            for each in self._peers:
                await each.shut()

    def peer(self, last_version: int = 200) -> Peer:
        self._peers.append(Peer(self.server, last_version))
        return self._peers[-1]

    def said(self, what: What) -> list[str]:
        return [each.text for each in self.events if each.what is what]


def within(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WITHIN_S):
            await test()

    asyncio.run(bounded())


async def eventually(is_so: Callable[[], bool]) -> None:
    """Wait for what the server does by itself."""
    while not is_so():  # noqa: ASYNC110  # it has no event for a test
        await asyncio.sleep(0.001)


def buy(order_id: int, quantity: float = 100.0, **terms: Any) -> requests.PlaceOrder:
    return requests.PlaceOrder(order_id, AAA, Order("BUY", quantity, **{"type": "MKT", **terms}))


class Waiting(Paced):
    """Plays nothing by itself: the test does."""

    async def run(self, server: GatewayServer) -> None:
        await asyncio.Event().wait()
