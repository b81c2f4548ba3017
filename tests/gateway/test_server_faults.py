"""Faults of a scenario, seen by a client over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from gateway.protocol import replies, requests
from gateway.protocol.codec import decode_reply
from gateway.protocol.wire import FrameReader
from gateway.server import What
from papertape.core.model import NS_PER_S
from tests.gateway.served import AAA, START, Served, Waiting, buy, eventually, within


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
            again = await served.peer().start(1)
            assert isinstance(again.seen[0], replies.ManagedAccountsList)

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
            assert sum(isinstance(each, replies.Time) for each in peer.seen) == 2

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


@pytest.mark.parametrize("data_lost", [True, False])
def test_market_data_go_on_after_an_outage_unless_they_are_lost(data_lost: bool) -> None:
    async def test() -> None:
        text = f'[[fault]]\nkind = "connectivity"\nafter = "5s"\nfor = "5s"\ndata_lost = {str(data_lost).lower()}'
        async with Served(text, driver=Waiting()) as served:
            server = served.server
            peer = await served.peer().start()
            peer.ask(requests.MarketData(9, AAA, "233"))

            async def ticks(until_s: int) -> int:
                """Play on; how many ticks that brought."""
                server.play(START + until_s * NS_PER_S, 1_000)
                server.pump()
                before = len(peer.seen)
                await peer.sound()
                return sum(isinstance(each, replies.TickString) for each in peer.seen[before:])

            assert await ticks(4) > 0
            await ticks(5)
            assert await ticks(9) == 0
            await ticks(10)
            assert (await ticks(20) > 0) is not data_lost
            peer.ask(requests.MarketData(10, AAA, "233"))
            assert await ticks(30) > 0

    within(test)
