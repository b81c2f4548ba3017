"""The server over real sockets on loopback: whatever a client does, the others go on, and nothing is waited for in vain."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

from gateway.assembly import make_server
from gateway.connection import Bounds
from gateway.protocol import replies, requests
from gateway.protocol.codec import encode_request
from gateway.protocol.handshake import ClientHandshake
from gateway.protocol.wire import REQUEST_BYTES_MAX, frame
from gateway.server import What
from gateway.settings import GatewaySettings
from papertape.core.errors import ConfigError, DataError
from papertape.core.model import NS_PER_S
from papertape.core.timers import NEVER
from tests.gateway.served import START, Served, Waiting, buy, eventually, tape, within

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
            again = await served.peer().start(1)
            assert isinstance(again.seen[0], replies.ManagedAccountsList)

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
