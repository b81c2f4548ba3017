"""What decides when the market plays: the wall clock, the speed of the clients, or their answers."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.clients import Client
from gateway.lockstep import Lockstep
from gateway.protocol.requests import Request
from papertape.core.errors import ConfigError, PeerError
from papertape.core.model import NS_PER_S
from papertape.core.timers import NEVER

if TYPE_CHECKING:
    from gateway.server import GatewayServer

SLICE_STEPS = 64
"""Steps between two looks at the sockets."""
_IDLE_S = 0.05
"""Longest sleep: what is due between two events, as an order's latency, is at most so late."""
_TICK_S = 0.001
"""Shortest sleep: events that are closer together are written together."""
_BEHIND_S = 1.0
_SAY_BEHIND_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Exchange time that follows wall time: ``start`` (UTC ns) was at ``began_s``, and it passes ``speed`` times as fast."""

    start: int
    began_s: float
    speed: float = 1.0

    def ts(self, now_s: float) -> int:
        """Exchange time (UTC ns) at wall time ``now_s``."""
        return self.start + round((now_s - self.began_s) * self.speed * NS_PER_S)

    def wait_s(self, ts: int, now_s: float) -> float:
        """Seconds of wall time from ``now_s`` until exchange time ``ts``; 0 where it is past."""
        return max(0.0, (ts - self.start) / NS_PER_S / self.speed - (now_s - self.began_s))


class Driver:
    """Plays a server's market. ``received`` and ``lost`` hear of clients; ``run`` plays until it is cancelled.

    ``run`` plays with ``server.play`` or the Tws itself, then calls ``server.pump`` and awaits ``server.drained``, so
    that what was played is written before more is; at the end of the tape it calls ``server.ended``, and then lets
    time follow the wall clock, so that what is still due happens and requests keep to their rates.
    """

    waits_for: tuple[int, ...] = ()
    """Ids of clients who are sent markers and must answer them."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._pace: Pace | None = None
        """Set while exchange time follows the wall clock."""
        self._said_behind_s = -math.inf

    def received(self, server: GatewayServer, client: Client, request: Request) -> None:
        """A request came: it takes effect at once, at the time that it came, unless a driver wants it otherwise."""
        if self._pace is not None:
            server.play(self._pace.ts(self._clock_s()), SLICE_STEPS)
        server.tws.request(client, request)

    def lost(self, server: GatewayServer, client: Client) -> None:
        """A client's connection has ended."""

    async def run(self, server: GatewayServer) -> None:
        """Play the tape."""
        await self.follow_clock(server, 1.0)

    async def follow_clock(self, server: GatewayServer, speed: float) -> None:
        """Let exchange time pass ``speed`` times as fast as the wall clock from now on, also after the tape's end."""
        self._pace = pace = Pace(server.tws.now, self._clock_s(), speed)
        while True:
            now_s = self._clock_s()
            is_there = server.play(pace.ts(now_s), SLICE_STEPS)
            server.pump()
            next_ts = server.next_ts
            if next_ts == NEVER:
                server.ended()
            if is_there:
                wait_s = _IDLE_S if next_ts == NEVER else pace.wait_s(next_ts, self._clock_s())
                await asyncio.sleep(min(max(wait_s, _TICK_S), _IDLE_S))
            else:
                self._say_behind(server, pace, now_s)
                await asyncio.sleep(0)

    def _say_behind(self, server: GatewayServer, pace: Pace, now_s: float) -> None:
        behind_s = (pace.ts(now_s) - server.tws.now) / NS_PER_S / pace.speed
        if behind_s > _BEHIND_S and now_s - self._said_behind_s >= _SAY_BEHIND_EVERY_S:
            self._said_behind_s = now_s
            server.say_market(
                f"the market is {behind_s:.1f} s late: this machine cannot play it {pace.speed:g} times as fast"
            )


class Paced(Driver):
    """Exchange time passes ``speed`` times as fast as the wall clock, from when the market begins."""

    def __init__(self, speed: float = 1.0, clock_s: Callable[[], float] = time.monotonic) -> None:
        if not 0.001 <= speed <= 100_000.0:
            raise ConfigError(f"speed {speed:g}: a number from 0.001 to 100000, or max, is needed")
        super().__init__(clock_s)
        self.speed = speed

    async def run(self, server: GatewayServer) -> None:
        """Play on as time passes."""
        await self.follow_clock(server, self.speed)


class AsFast(Driver):
    """Plays as fast as clients can be written to: it waits for each that is slow, up to a bound."""

    async def run(self, server: GatewayServer) -> None:
        """Play the tape, then follow the clock."""
        while server.next_ts != NEVER:
            server.play(NEVER, SLICE_STEPS)
            server.pump()
            await server.drained()
            await asyncio.sleep(0)
        await self.follow_clock(server, 1.0)


class InLockstep(Driver):
    """Plays in rounds (gateway/lockstep.py): after each step it waits for every client named.

    The last answer of a round makes the next turn at once: a switch of tasks would cost as much as the turn. A client
    that has been there and does not answer for ``deadline_s`` of wall time (inf: for ever) ends the run with PeerError.
    """

    def __init__(self, lockstep: Lockstep, deadline_s: float = 60.0) -> None:
        super().__init__()
        self._lockstep = lockstep
        self.waits_for = lockstep.ids
        self._deadline_s = deadline_s
        self._is_running = False
        self._over = asyncio.Event()

    def received(self, server: GatewayServer, client: Client, request: Request) -> None:
        """A request waits for its round, until the tape has ended."""
        if self._pace is not None:
            super().received(server, client, request)
            return
        try:
            self._lockstep.request(client, request)
        except PeerError as error:
            client.error(-1, 321, f"Error validating request.-'bN' : cause - {error}", server.tws.now)
            client.closing = str(error)
        if self._is_running:
            self._turn(server)

    def lost(self, server: GatewayServer, client: Client) -> None:
        """The market waits until it is there again."""
        self._lockstep.disconnected(client)

    def _turn(self, server: GatewayServer) -> None:
        lockstep = self._lockstep
        while lockstep.is_ready and not lockstep.is_over:
            lockstep.turn(server.apply_due, server.due_ts)
        server.pump()
        if lockstep.is_over:
            self._over.set()

    async def run(self, server: GatewayServer) -> None:
        """Play in rounds to the end of the tape, then follow the clock."""
        self._is_running = True
        self._turn(server)
        rounds = -1
        while not self._over.is_set():
            if rounds == self._lockstep.rounds > 0:
                missing = ", ".join(map(str, self._lockstep.waiting_for()))
                raise PeerError(
                    f"lockstep: client {missing} did not answer the marker for {self._deadline_s:g} s; "
                    f"the run ends, since going on without it would skip what it does"
                )
            rounds = self._lockstep.rounds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(self._deadline_s) else self._deadline_s):
                    await self._over.wait()
        await self.follow_clock(server, 1.0)
