"""When the market plays: with the wall clock, as fast as clients read, or in rounds with them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.drivers import Pace, Paced
from gateway.protocol import replies, requests
from gateway.server import What
from papertape.core.errors import ConfigError, PeerError
from papertape.core.model import NS_PER_S
from papertape.core.timers import NEVER
from tests.gateway.served import SECONDS, START, Served, buy, eventually, within


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
            for markers in range(1, 121):
                marker = await peer.until(lambda each: isinstance(each, replies.Time))
                new, at = peer.seen[at:], len(peer.seen)
                assert isinstance(marker, replies.Time)
                assert sum(isinstance(each, replies.Time) for each in new) == 1
                seen += [(marker.seconds, each.exec_id) for each in new if isinstance(each, replies.Execution)]
                if markers % 10 == 0:
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
