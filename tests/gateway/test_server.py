"""The server over real sockets on loopback: whatever a client does, the others go on, and nothing is waited for in vain."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from feeds.load import load_tape
from gateway.assembly import make_server
from gateway.connection import Bounds
from gateway.drivers import Pace, Paced
from gateway.protocol import replies, requests
from gateway.protocol.codec import decode_reply, encode_request
from gateway.protocol.contract import Contract
from gateway.protocol.handshake import ClientHandshake
from gateway.protocol.order import Order
from gateway.protocol.replies import Reply
from gateway.protocol.requests import Request
from gateway.protocol.wire import REQUEST_BYTES_MAX, FrameReader, frame
from gateway.scenario import Scenario
from gateway.server import GatewayServer, ServerEvent, What
from gateway.settings import GatewaySettings, Limits
from papertape.core.errors import ConfigError, DataError, PeerError
from papertape.core.model import NS_PER_S
from papertape.core.series import Tape
from papertape.core.timers import NEVER

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


# -- handshake -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "server", "agreed"), [(226, 200, 200), (176, 200, 176), (157, 200, 157), (226, 163, 163)]
)
def test_the_older_of_both_versions_is_spoken(client: int, server: int, agreed: int) -> None:
    async def test() -> None:
        async with Served(settings=GatewaySettings(server_version=server)) as served:
            peer = await served.peer(client).start(7)
            assert peer.version == agreed
            assert peer.seen[0] == replies.ManagedAccountsList("DU1234567")
            assert any("client 7 connected" in each for each in served.said(What.CLIENT))

    within(test)


@pytest.mark.parametrize(
    "greeting",
    [b"GET / HTTP/1.1\r\n\r\n", b"API\0\xff\xff\xff\xff", b"API\0" + frame(b"v100..150"), b"API\0" + frame(b"x")],
)
def test_who_does_not_shake_hands_is_disconnected_and_others_are_not(greeting: bytes) -> None:
    async def test() -> None:
        async with Served() as served:
            sound = await served.peer().start()
            stranger = await served.peer().open()
            stranger.writer.write(greeting)
            assert await stranger.reader.read() == b""
            await sound.sound()
            assert any("no handshake" in each for each in served.said(What.CLIENT))

    within(test)


def test_who_says_nothing_is_disconnected_after_a_while() -> None:
    async def test() -> None:
        async with Served(bounds=Bounds(handshake_s=0.05)) as served:
            silent = await served.peer().open()
            assert await silent.reader.read() == b""

    within(test)


def test_a_client_that_sends_everything_at_once_is_answered() -> None:
    async def test() -> None:
        async with Served() as served:
            peer = await served.peer().open()
            hasty = ClientHandshake()
            peer.writer.write(hasty.greeting + encode_request(requests.StartApi(3), 200))
            while not hasty.version:
                hasty.feed(await peer.reader.read(65_536))
            assert hasty.early == []
            peer.version = hasty.version
            await peer.until(lambda each: isinstance(each, replies.NextValidId))

    within(test)


def test_sockets_beyond_the_bound_are_refused() -> None:
    async def test() -> None:
        async with Served(bounds=Bounds(sockets=2)) as served:
            one, _two = await served.peer().start(1), await served.peer().start(2)
            three = await served.peer().open()
            assert await three.reader.read() == b""
            await one.sound()

    within(test)


def test_the_33rd_client_is_disconnected() -> None:
    async def test() -> None:
        async with Served() as served:
            peers = [await served.peer().start(k) for k in range(32)]
            with pytest.raises(ConnectionResetError):
                await served.peer().start(99)
            await peers[0].sound()
            await peers[31].sound()

    within(test)


# -- bytes that make no sense --------------------------------------------------------------------------------------


def test_a_request_that_can_not_be_read_is_an_error_and_the_next_is_answered() -> None:
    async def test() -> None:
        async with Served() as served:
            peer = await served.peer().start()
            peer.writer.write(frame(b"2\0001\000x\0"))
            error = await peer.error(320)
            assert error.text.startswith("Error reading request.")
            await peer.sound()

    within(test)


def test_who_sends_too_many_unreadable_requests_is_disconnected() -> None:
    async def test() -> None:
        async with Served(bounds=Bounds(unreadable_frames=3)) as served:
            peer = await served.peer().start()
            peer.writer.write(frame(b"nonsense\0") * 5)
            await peer.until_closed()
            assert [each.code for each in peer.seen if isinstance(each, replies.Error)].count(320) == 3

    within(test)


def test_a_length_that_can_not_be_is_an_error_and_the_end() -> None:
    async def test() -> None:
        async with Served() as served:
            sound, peer = await served.peer().start(1), await served.peer().start(2)
            peer.writer.write((REQUEST_BYTES_MAX + 1).to_bytes(4, "big"))
            assert "bytes" in (await peer.error(320)).text
            await peer.until_closed()
            await sound.sound()

    within(test)


def test_no_bytes_of_any_client_hurt_the_server() -> None:
    """300 connections of mutated frames, cut anywhere; the seed is fixed, so that a failure comes again."""
    rng = random.Random(20_240_603)
    sound_frames = [
        encode_request(each, 200)
        for each in (requests.CurrentTime(), buy(5), requests.Positions(), requests.CancelOrder(5), requests.NextId())
    ]

    def mutated() -> bytes:
        data = bytearray(b"".join(rng.choices(sound_frames, k=rng.randint(1, 4))))
        for _ in range(rng.randint(0, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
            data = data or bytearray(b"\0")
        return bytes(data)

    async def attack(served: Served, number: int) -> None:
        peer = await served.peer().shake()
        peer.ask(requests.StartApi(number % 8))
        peer.writer.write(mutated())
        if number % 2:
            peer.writer.write_eof()
        await asyncio.sleep(0)
        peer.close()

    async def test() -> None:
        async with Served(hold=False) as served:
            for number in range(300):
                try:
                    await attack(served, number)
                except ConnectionError:
                    continue  # the server may be the first to close
            peer = await served.peer().start(99)
            await peer.sound()
            assert not served.running.done() or served.running.exception() is None

    within(test)


def test_who_does_not_read_is_dropped_when_too_much_is_unsent() -> None:
    async def test() -> None:
        async with Served(bounds=Bounds(unsent_bytes=1 << 20)) as served:
            sound, deaf = await served.peer().start(1), await served.peer().start(2)
            deaf.writer.transport.pause_reading()
            (client,) = (each for each in served.server.tws.clients if each.id == 2)
            for _ in range(300):
                client.send(replies.Error(-1, 2104, "x" * 100_000))
                served.server.pump()
                if client not in served.server.tws.clients:
                    break
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert client not in served.server.tws.clients
            assert any("client 2 is disconnected: it does not read" in each for each in served.said(What.CLIENT))
            await sound.sound()

    within(test)


def test_the_fastest_market_drops_who_does_not_read_for_long() -> None:
    async def test() -> None:
        bounds = Bounds(unsent_bytes=1 << 30, high_bytes=1_000, slow_s=0.05)
        async with Served(bounds=bounds, stop_at_end=True) as served:
            deaf = await served.peer().start(2)
            deaf.writer.transport.pause_reading()
            served.server.tws.clients[0].send(replies.Error(-1, 2104, "x" * 30_000_000))
            served.server.pump()
            await served.running
            assert "client 2 is disconnected: it did not read for 0.05 s" in served.said(What.CLIENT)

    within(test)


# -- clients -------------------------------------------------------------------------------------------------------


def test_a_client_id_in_use_is_refused_and_free_again_when_its_client_has_left() -> None:
    async def test() -> None:
        async with Served() as served:
            first = await served.peer().start(1)
            second = await served.peer().shake()
            second.ask(requests.StartApi(1))
            await second.error(326)
            await second.until_closed()
            await first.sound()
            first.close()
            await eventually(lambda: not served.server.tws.clients)
            await served.peer().start(1)

    within(test)


def test_an_order_is_filled_as_the_market_plays_and_survives_its_clients_connection() -> None:
    async def test() -> None:
        async with Served(driver=Waiting()) as served:
            peer = await served.peer().start()
            peer.ask(buy(1), buy(2, type="LMT", limit_price=5.0, tif="GTC"))
            await peer.until(lambda each: isinstance(each, replies.OrderStatus) and each.order_id == 2)
            assert served.server.play(NEVER, 5) is False
            served.server.pump()
            fill = await peer.until(lambda each: isinstance(each, replies.Execution))
            assert isinstance(fill, replies.Execution)
            assert (fill.shares, fill.price, fill.contract.symbol) == (100.0, 10.0, "AAA")
            assert any("BOT 100 AAA at 10" in each for each in served.said(What.FILL))
            assert served.said(What.ORDER)[0] == "order 1 of client 1: BUY 100 AAA MKT DAY"
            peer.close()
            await eventually(lambda: not served.server.tws.clients)
            again = await served.peer().start()
            again.ask(requests.OpenOrders())
            await again.until(lambda each: isinstance(each, replies.OpenOrdersEnd))
            assert [each.order_id for each in again.seen if isinstance(each, replies.OpenOrder)] == [2]

    within(test)


class Waiting(Paced):
    """Plays nothing by itself: the test does."""

    async def run(self, server: GatewayServer) -> None:
        await asyncio.Event().wait()


# -- time ----------------------------------------------------------------------------------------------------------


def test_pace_maps_wall_time_to_exchange_time_and_back() -> None:
    pace = Pace(START, 100.0, 10.0)
    assert pace.ts(100.0) == START
    assert pace.ts(101.5) == START + 15 * NS_PER_S
    assert pace.wait_s(START + 15 * NS_PER_S, 100.5) == 1.0
    assert pace.wait_s(START, 101.0) == 0.0


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_a_speed_that_can_not_be_meant_is_refused(speed: float) -> None:
    with pytest.raises(ConfigError, match="a number from"):
        Paced(speed)


def test_exchange_time_follows_the_wall_clock() -> None:
    clock = [50.0]

    async def test() -> None:
        async with Served(driver=Paced(2.0, lambda: clock[0])) as served:
            assert served.server.tws.now == START
            peer = await served.peer().start()
            await asyncio.sleep(0.01)
            clock[0] += 30.0
            peer.ask(requests.CurrentTime())
            answer = await peer.until(lambda each: isinstance(each, replies.Time))
            await eventually(lambda: served.server.tws.now >= START + 60 * NS_PER_S)
            assert isinstance(answer, replies.Time)
            assert START // NS_PER_S <= answer.seconds <= START // NS_PER_S + 60
            assert served.server.tws.now == START + 60 * NS_PER_S

    within(test)


def test_the_market_is_held_until_the_first_client_is_ready() -> None:
    async def test() -> None:
        async with Served(stop_at_end=True) as served:
            await served.peer().shake()
            await asyncio.sleep(0.01)
            assert served.server.tws.now == START
            await served.peer().start()
            await served.running
            assert served.server.next_ts == NEVER
            assert served.said(What.MARKET) == ["the market begins", "the tape has ended"]

    within(test)


def test_without_a_hold_the_market_plays_for_itself() -> None:
    async def test() -> None:
        async with Served(stop_at_end=True, hold=False) as served:
            await served.running
            assert served.server.tws.now >= START + (SECONDS - 1) * NS_PER_S

    within(test)


def test_in_lockstep_a_client_sees_every_step_and_acts_between_them() -> None:
    async def day() -> list[tuple[int, str]]:
        seen: list[tuple[int, str]] = []
        async with Served(lockstep=[1]) as served:
            peer = await served.peer().shake()
            peer.ask(requests.StartApi(1))
            at = 0
            for markers in range(1, 601):
                marker = await peer.until(lambda each: isinstance(each, replies.Time))
                new, at = peer.seen[at:], len(peer.seen)
                assert isinstance(marker, replies.Time)
                assert sum(isinstance(each, replies.Time) for each in new) == 1
                seen += [(marker.seconds, each.exec_id) for each in new if isinstance(each, replies.Execution)]
                if markers % 50 == 0:
                    peer.ask(buy(markers))
                peer.ask(requests.CurrentTime())
        return seen

    async def test() -> None:
        first, second = await day(), await day()
        assert first == second
        assert len(first) > 10

    within(test)


def test_a_lockstep_client_that_stops_answering_ends_the_run() -> None:
    async def test() -> None:
        async with Served(lockstep=[1], deadline_s=0.1) as served:
            peer = await served.peer().start()
            peer.ask(requests.CurrentTime())
            await peer.until_closed()

    with pytest.raises(PeerError, match=r"client 1 did not answer the marker for 0\.1 s"):
        within(test)


def test_a_lockstep_client_that_answers_twice_is_disconnected() -> None:
    async def test() -> None:
        async with Served(lockstep=[1, 2]) as served:
            peer = await served.peer().start(1)
            peer.ask(requests.CurrentTime(), requests.CurrentTime())
            assert "answered a marker twice" in (await peer.error(321)).text
            await peer.until_closed()

    within(test)


# -- life ----------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_one_clear_line() -> None:
    async def test() -> None:
        async with Served() as served:
            other = make_server(tape(), GatewaySettings(), port=served.server.port)
            with pytest.raises(ConfigError, match=rf"port {served.server.port} of 127\.0\.0\.1 is in use"):
                await other.__aenter__()

    within(test)


def test_stopping_ends_connections_and_frees_the_port() -> None:
    async def test() -> None:
        served = Served()
        async with served:
            peer = await served.peer().start()
        await peer.until_closed()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((served.server.host, served.server.port))
            assert other.getsockname()[1] == served.server.port

    within(test)


def test_a_fault_of_ours_ends_the_run_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        def broken(*arguments: object) -> None:
            raise ZeroDivisionError("ours")

        async with Served() as served:
            peer = await served.peer().start()
            monkeypatch.setattr(served.server.tws, "request", broken)
            peer.ask(requests.CurrentTime())
            await peer.until_closed()

    with pytest.raises(ZeroDivisionError):
        within(test)


def test_an_account_that_lasts_goes_on_where_it_was(tmp_path: Path) -> None:
    async def test() -> None:
        kept = tmp_path / "account.sqlite"
        async with Served(driver=Waiting(), store=kept) as served:
            peer = await served.peer().start()
            peer.ask(buy(1))
            await peer.until(lambda each: isinstance(each, replies.OpenOrder))
            served.server.play(START + 5 * NS_PER_S, 1_000)
            served.server.pump()
            await peer.until(lambda each: isinstance(each, replies.Execution))
        async with Served(driver=Waiting(), store=kept) as served:
            assert START < served.server.tws.now <= START + 5 * NS_PER_S
            peer = await served.peer().start()
            assert peer.seen[1] == replies.NextValidId(2)
            peer.ask(requests.Positions())
            row = await peer.until(lambda each: isinstance(each, replies.PositionRow))
            assert isinstance(row, replies.PositionRow)
            assert row.position == 100.0
        with pytest.raises(DataError, match="the tape has nothing after that; play later data, or name another file"):
            make_server(tape(), GatewaySettings(), end=START, store=kept)

    within(test)


# -- faults --------------------------------------------------------------------------------------------------------


def test_a_restart_ends_all_connections_and_comes_back_on_the_same_port() -> None:
    async def test() -> None:
        restart = '[[fault]]\nkind = "restart"\nafter = "5s"\nwall = "300ms"'
        async with Served(restart, driver=Waiting()) as served:
            peer = await served.peer().start()
            port = served.server.port
            served.server.play(START + 5 * NS_PER_S, 1_000)
            await peer.until_closed()
            with pytest.raises(ConnectionError):
                await served.peer().open()
            await eventually(lambda: any("listening again" in each for each in served.said(What.MARKET)))
            assert served.server.port == port
            await (await served.peer().start()).sound()

    within(test)


def test_a_half_open_connection_is_silent_and_its_client_may_come_again() -> None:
    async def test() -> None:
        hang = '[[fault]]\nkind = "half-open"\nafter = "5s"'
        async with Served(hang, driver=Waiting()) as served:
            peer = await served.peer().start(1)
            served.server.play(START + 5 * NS_PER_S, 1_000)
            peer.ask(requests.CurrentTime())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await peer.reader.read(1)
            assert not peer.reader.at_eof(), "the socket is open"
            await (await served.peer().start(1)).sound()

    within(test)


def test_a_connection_that_hangs_for_a_while_goes_on_where_it_was() -> None:
    async def test() -> None:
        hang = '[[fault]]\nkind = "half-open"\nmessage = "time"\nwall = "50ms"'
        async with Served(hang, driver=Waiting()) as served:
            peer = await served.peer().start()
            peer.ask(requests.CurrentTime(), requests.ManagedAccounts())
            await peer.until(lambda each: isinstance(each, replies.ManagedAccountsList))
            await peer.sound()
            kinds = [type(each) for each in peer.seen]
            assert kinds.index(replies.Time) < len(kinds) - 1

    within(test)


def test_a_busy_client_id_is_free_in_the_end() -> None:
    async def test() -> None:
        async with Served('[[fault]]\nkind = "client-id-busy"\ncount = 2') as served:
            for _ in range(2):
                peer = await served.peer().shake()
                peer.ask(requests.StartApi(1))
                await peer.error(326)
                await peer.until_closed()
            await served.peer().start(1)

    within(test)


def test_fills_while_connectivity_is_lost_are_told_when_it_is_restored() -> None:
    async def test() -> None:
        lost = '[[fault]]\nkind = "connectivity"\nafter = "1s"\nfor = "20s"'
        async with Served(lost, driver=Waiting()) as served:
            server = served.server
            peer = await served.peer().start()
            peer.ask(buy(1, type="LMT", limit_price=11.0, good_after=""))
            await peer.until(lambda each: isinstance(each, replies.OpenOrder))
            server.play(START + 10 * NS_PER_S, 1_000)
            peer.ask(buy(2), requests.CurrentTime())
            await peer.until(lambda each: isinstance(each, replies.Time))
            codes = [each.code for each in peer.seen if isinstance(each, replies.Error)]
            assert 1100 in codes
            server.play(START + 22 * NS_PER_S, 1_000)
            server.pump()
            found = await peer.until(lambda each: isinstance(each, replies.Execution) and each.order_id == 2)
            kinds = [each.code if isinstance(each, replies.Error) else type(each) for each in peer.seen]
            assert kinds.index(1100) < kinds.index(1102)
            assert found in peer.seen[kinds.index(1102) :], "what was asked in between waited in TWS"

    within(test)


def test_a_full_read_is_read_as_4096_bytes() -> None:
    """What makes the stock client lose messages: reads of exactly 4096 bytes."""

    async def test() -> None:
        async with Served('[[fault]]\nkind = "full-read"\nmessage = "time"') as served:
            peer = await served.peer().start()
            peer.ask(requests.Positions())
            await peer.until(lambda each: isinstance(each, replies.PositionEnd))
            peer.ask(requests.CurrentTime())
            data = await peer.reader.read(4_096)
            while len(data) < 4_096:
                data += await peer.reader.read(4_096 - len(data))
            payloads = FrameReader().feed(data)
            assert sum(len(each) + 4 for each in payloads) == 4_096
            assert isinstance(decode_reply(payloads[0], 200), replies.Time)

    within(test)


def test_a_stalled_message_arrives_whole_in_the_end() -> None:
    async def test() -> None:
        async with Served('[[fault]]\nkind = "stall"\nmessage = "time"\nwall = "50ms"') as served:
            peer = await served.peer().start()
            await peer.sound()
            await peer.sound()

    within(test)


def test_an_order_is_rejected_as_the_scenario_says() -> None:
    async def test() -> None:
        async with Served('[[fault]]\nkind = "reject"\ntext = "no such luck"', driver=Waiting()) as served:
            peer = await served.peer().start()
            peer.ask(buy(1))
            assert (await peer.error(201)).text.endswith("no such luck")
            assert served.said(What.FAULT) == ["reject text no such luck"]
            assert served.said(What.ERROR)[0].startswith("201 to client 1 about 1: ")

    within(test)


def test_a_disconnect_instead_of_an_execution_loses_it_and_a_request_finds_it_again() -> None:
    async def test() -> None:
        async with Served('[[fault]]\nkind = "disconnect"\nmessage = "execution"', driver=Waiting()) as served:
            peer = await served.peer().start()
            peer.ask(buy(1))
            await peer.until(lambda each: isinstance(each, replies.OpenOrder))
            served.server.play(START + NS_PER_S, 100)
            served.server.pump()
            await peer.until_closed()
            assert not any(isinstance(each, replies.Execution) for each in peer.seen)
            again = await served.peer().start()
            again.ask(requests.Executions(5))
            found = await again.until(lambda each: isinstance(each, replies.Execution))
            assert isinstance(found, replies.Execution)
            assert (found.order_id, found.shares) == (1, 100.0)

    within(test)
