"""A simulated TWS beside a program: in lockstep or by the clock, to the end of its tape or to Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest

from brokers.fees import FeeModel
from feeds.load import load_tape
from gateway.protocol import replies, requests
from gateway.protocol.requests import CurrentTime, HistoricalBars, Request
from gateway.settings import Limits, backtest_settings
from gateway.threaded import SimulatedGateway, serve_in_thread
from papertape.core.errors import ConfigError, DataError, PeerError
from papertape.core.model import NS_PER_S
from tests.gateway.served import AAA, START, WITHIN_S, Peer, buy

SECONDS = 20
TAPE = load_tape({
    "AAA": {"ts": START + np.arange(SECONDS) * NS_PER_S, "price": np.full(SECONDS, 10.0), "size": np.full(SECONDS, 5e3)}
})  # fmt: skip
LAST = START + (SECONDS - 1) * NS_PER_S
SETTINGS = backtest_settings({"USD": 1_000.0}, fees=FeeModel.parse("ib-fixed"))


def talk(gateway: SimulatedGateway, conversation: Callable[[Peer], Awaitable[None]]) -> None:
    """Have a client of id 7 talk with it."""

    async def bounded() -> None:
        peer = Peer(gateway.server)
        try:
            async with asyncio.timeout(WITHIN_S):
                await conversation(await peer.start(7))
        finally:
            await peer.shut()

    asyncio.run(bounded())


async def follow(gateway: SimulatedGateway, peer: Peer, asked: Sequence[Request] = ()) -> list[int]:
    """Answer each marker, to the end of the tape, the third one with requests; the seconds that they told."""
    answered = 0
    while not gateway.is_over:
        markers = [each.seconds for each in peer.seen if isinstance(each, replies.Time)]
        if len(markers) > answered:
            answered += 1
            if answered == 3:
                peer.ask(*asked)
            peer.ask(CurrentTime())
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(peer.until(lambda each: isinstance(each, replies.Time)), 0.1)
    return markers


def is_listening(port: int) -> bool:
    with socket.socket() as peer:
        return peer.connect_ex(("127.0.0.1", port)) == 0


def test_a_program_plays_a_tape_to_its_end_in_lockstep_and_can_ask_on() -> None:
    async def play(peer: Peer) -> None:
        seen = await follow(gateway, peer)
        assert seen == [START // NS_PER_S + k for k in range(SECONDS + 1)]
        peer.ask(requests.Positions())
        await peer.until(lambda each: isinstance(each, replies.PositionEnd))

    with serve_in_thread(TAPE, SETTINGS, speed=None, lockstep=[7], end=LAST) as gateway:
        assert (gateway.first_ts, gateway.last_ts, gateway.symbols) == (START, LAST, ("AAA",))
        assert gateway.calendar.zone == "America/New_York"
        assert gateway.account == "DU1234567"
        talk(gateway, play)
        assert gateway.is_over
        assert gateway.now >= LAST
        assert gateway.is_running
    assert gateway.wait(0.0)
    assert not is_listening(gateway.port)


def test_it_can_end_with_its_tape_once_the_last_marker_was_answered() -> None:
    async def play(peer: Peer) -> None:
        with contextlib.suppress(ConnectionResetError):  # the end may be seen before it is said
            await follow(gateway, peer)
        await peer.until_closed()

    with serve_in_thread(TAPE, SETTINGS, speed=None, lockstep=[7], end=LAST, stop_at_end=True) as gateway:
        talk(gateway, play)
        assert gateway.wait(WITHIN_S)
    assert gateway.is_over


def test_ctrl_c_in_the_main_thread_stops_it() -> None:
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))

    def wait(gateway: SimulatedGateway) -> None:
        with gateway:
            timer.start()
            gateway.wait(WITHIN_S)

    gateway = serve_in_thread(TAPE, SETTINGS, speed=None, lockstep=[7])
    with pytest.raises(KeyboardInterrupt):
        wait(gateway)
    assert not gateway.is_running
    assert not is_listening(gateway.port)


def test_what_went_wrong_inside_does_not_hide_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), _without_an_answer():
        raise KeyboardInterrupt


def test_what_went_wrong_inside_explains_an_error() -> None:
    with pytest.raises(PeerError, match="did not answer"), _without_an_answer():
        raise ConnectionResetError("the other side closed")


def _without_an_answer() -> SimulatedGateway:
    """A gateway whose client answered once and no more."""

    async def once(peer: Peer) -> None:
        peer.ask(CurrentTime())
        await peer.until_closed()

    gateway = serve_in_thread(TAPE, SETTINGS, speed=None, lockstep=[7], deadline_s=0.05)
    talk(gateway, once)
    gateway.wait(WITHIN_S)
    return gateway


def test_a_client_may_be_waited_for_without_end() -> None:
    async def slow(peer: Peer) -> None:
        for _ in range(3):
            peer.ask(CurrentTime())
            await peer.until(lambda each: isinstance(each, replies.Time))
            await asyncio.sleep(0.06)
        assert gateway.is_running

    with serve_in_thread(TAPE, SETTINGS, speed=None, lockstep=[7], deadline_s=math.inf) as gateway:
        talk(gateway, slow)
        assert gateway.is_running  # a deadline that had passed would have ended it


def test_a_mistake_is_raised_where_it_is_started() -> None:
    with pytest.raises(ConfigError, match="lockstep plays as fast as its clients answer"):
        serve_in_thread(TAPE, SETTINGS, speed=2.0, lockstep=[1])
    with pytest.raises((ConfigError, DataError), match="no event between start and end"):
        serve_in_thread(TAPE, SETTINGS, start=LAST + 1)


def test_by_the_clock_time_passes_as_fast_as_is_said() -> None:
    before = time.monotonic()
    with serve_in_thread(TAPE, SETTINGS, speed=200.0, end=LAST, hold=False, stop_at_end=True) as gateway:
        assert gateway.wait(WITHIN_S)
    assert time.monotonic() - before >= (SECONDS - 1) / 200.0
    assert gateway.is_over


def test_the_account_is_a_backtests_by_default_and_lockstep_is_not_hindered_by_rates() -> None:
    """A cash account that pays a backtest's fees; sixty times the same request within no exchange time."""

    async def play(peer: Peer) -> None:
        asked: list[Request] = [
            *(HistoricalBars(k, AAA, "", "5 secs", "60 S", True, "TRADES", 1, k == 1_000) for k in range(1_000, 1_060)),
            buy(1, 90.0), buy(2, 20.0), requests.CancelHistoricalBars(1_000),
        ]  # fmt: skip
        await follow(gateway, peer, asked)
        heard = [each for each in peer.seen if isinstance(each, replies.Error) and each.code in (100, 162, 201)]
        assert [(each.code, each.request) for each in heard] == [(201, 2), (162, 1_000)]
        fees = [each.commission for each in peer.seen if isinstance(each, replies.Commission)]
        assert fees == [pytest.approx(1.0, abs=0.01)]

    assert Limits().messages_per_s == 50
    with serve_in_thread(TAPE, SETTINGS, speed=None, lockstep=[7], end=LAST) as gateway:
        talk(gateway, play)
