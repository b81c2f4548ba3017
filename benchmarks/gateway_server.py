"""A simulated TWS under load, in a process of its own: ``python -m benchmarks.gateway_server SYMBOLS RATE SECONDS SPEED``.

Prints its port, and after the tape what it measured, as lines of JSON.
"""

from __future__ import annotations

import asyncio
import json
import math
import resource
import sys
import time
from typing import Any

import numpy as np

from gateway.clients import Client
from gateway.connection import Connection
from gateway.drivers import AsFast, Driver, InLockstep, Paced
from gateway.lockstep import Lockstep
from gateway.market import Market
from gateway.protocol.replies import Execution, Reply
from gateway.protocol.requests import PlaceOrder, Request
from gateway.server import GatewayServer
from gateway.settings import GatewaySettings, Limits
from gateway.tws import Tws
from papertape.core.model import NS_PER_S, EventKind, Instrument
from papertape.core.series import Series, Tape

OPEN = 1_704_292_200 * NS_PER_S  # Wednesday 2024-01-03, 09:30 in New York
TRADER = 1
"""The client whose orders are timed."""


def load_tape(symbols: int, rate: int, seconds: int) -> Tape:
    """Trades of so many symbols in turn, ``rate`` of them a second in all, evenly."""
    rng = np.random.default_rng(7)
    each = rate * seconds // symbols
    gap = NS_PER_S * symbols // rate
    series = []
    for k in range(symbols):
        ts = OPEN + NS_PER_S + np.arange(each, dtype=np.int64) * gap + k * (gap // symbols)
        price = np.round(100.0 + np.cumsum(rng.normal(0, 0.01, each)), 2)
        size = rng.integers(1, 10, each).astype(float) * 100.0
        series.append(Series(f"S{k:02d}", EventKind.TRADE, ts, (price, size)))
    return Tape(tuple(series), {f"S{k:02d}": Instrument(f"S{k:02d}") for k in range(symbols)}, synthetic=True)


class Stamped(GatewayServer):
    """Notes when ticks and fills are written to the trader, and when its orders are read (s, monotonic)."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.tick_written = np.zeros(0)
        """Of each tick; made before the play, so that it does not look like growing memory."""
        self.ticks = 0
        self.reactions: list[float] = []
        self.read: dict[int, float] = {}
        self.fills: list[float] = []
        self.whole: list[float] = []
        self._tick_of: dict[int, int] = {}

    def received(self, client: Client, request: Request) -> None:
        """A request; the reference of an order is the number of the tick that it answers."""
        if isinstance(request, PlaceOrder):
            now = time.perf_counter()
            nth = int(request.order.order_ref)
            self.reactions.append(now - float(self.tick_written[nth]))
            self.read[request.order_id] = now
            self._tick_of[request.order_id] = nth
        super().received(client, request)

    def _write(self, connection: Connection, client: Client, replies: list[Reply | bytes]) -> None:
        super()._write(connection, client, replies)
        if client.id != TRADER:
            return
        now = time.perf_counter()
        for each in replies:
            if isinstance(each, bytes):
                self.tick_written[self.ticks] = now
                self.ticks += 1
            elif isinstance(each, Execution):
                self.fills.append(now - self.read[each.order_id])
                self.whole.append(now - float(self.tick_written[self._tick_of[each.order_id]]))


def quantiles(values: list[float]) -> list[float]:
    """p50 and p99 (s); NaN where there are none."""
    return [float(each) for each in np.quantile(values, [0.5, 0.99])] if values else [math.nan, math.nan]


def rss_bytes() -> int:
    """Resident memory now, or the most there was where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def serve(symbols: int, rate: int, seconds: int, speed: str) -> None:
    """Play the tape once; ``speed`` as ``papertape sim`` takes it, or "lockstep" with the trader."""
    lines = 4 * symbols
    limits = Limits(market_data_lines=lines, tick_by_tick=lines, messages_per_s=10_000)
    market = Market(load_tape(symbols, rate, seconds), end=OPEN + (seconds + 2) * NS_PER_S)
    tws = Tws(GatewaySettings(limits=limits), market)
    driver: Driver
    match speed:
        case "max":
            driver = AsFast()
        case "lockstep":
            driver = InLockstep(Lockstep(tws, (TRADER,)))
        case _:
            driver = Paced(float(speed))
    server = Stamped(tws, driver)
    server.tick_written = np.ones(rate * seconds + symbols)
    memory: list[int] = []
    late: list[float] = []

    async def watch() -> None:
        while True:
            await asyncio.sleep(1.0)
            memory.append(rss_bytes())
            if speed not in ("max", "lockstep"):
                passed = (server.tws.now - market.start) / NS_PER_S / float(speed)
                late.append(time.perf_counter() - began - passed)

    async with server:
        say({"port": server.port})
        server.hold = False
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)  # all clients have subscribed
        began = time.perf_counter()
        watching = asyncio.create_task(watch())
        await server.run(stop_at_end=True)
        took = time.perf_counter() - began
        watching.cancel()
        await asyncio.sleep(1.0)
    quarter = max(1, len(memory) // 4)
    say({
        "seconds": took, "memory_begin": max(memory[:quarter], default=0), "memory_end": max(memory[-quarter:], default=0),
        "late": max(late, default=0.0), "reaction": quantiles(server.reactions), "fill": quantiles(server.fills),
        "whole": quantiles(server.whole), "orders": len(server.reactions), "fills": len(server.fills),
    })  # fmt: skip


def say(what: dict[str, Any]) -> None:
    """A line for the process that started this one."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
