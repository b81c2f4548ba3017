"""The simulated TWS under load: every trade of fifty symbols to four clients, one of which trades."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Bound, Direction, Plan, Row, Timing

LOST = Bound(Direction.AT_MOST, 0.0, None, " messages")
MEMORY = Bound(Direction.AT_MOST, 10.0, None, " % more memory")
LATENESS = Bound(Direction.AT_MOST, 1.0, None, " s behind the clock")
CARRIED = Bound(Direction.AT_LEAST, 20_000.0, None, " ticks/s")
STEPS = Bound(Direction.AT_LEAST, 0.25, 0.5, " of their rate")
CLIENTS = 4
SYMBOLS = 50
RATE = 20_000
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Load:
    """What a server measured (times in s), and how many ticks each client received."""

    seconds: float
    memory_begin: int
    memory_end: int
    late: float
    reaction: tuple[float, float]
    fill: tuple[float, float]
    whole: tuple[float, float]
    fills: int
    received: tuple[int, ...]


def measure(plan: Plan) -> Iterator[Row]:
    """At the rate that must be carried, then as fast as it goes."""
    seconds = plan.size(60, 1)
    rate = plan.size(RATE, 1_000)
    load = run(rate, seconds, "1")
    expected = rate * seconds
    lost = sum(expected - each for each in load.received)
    what = f"simulated TWS: {rate:,} trades/s of {SYMBOLS} symbols to each of {CLIENTS} clients for {seconds} s"
    times = "; ".join(
        f"{name} p50 {1e3 * p50:.2f} ms, p99 {1e3 * p99:.2f} ms"
        for name, (p50, p99) in (
            ("tick written to order read", load.reaction), ("order read to fill written", load.fill),
            ("tick written to fill written", load.whole),
        )
    )  # fmt: skip
    gap = 1e3 * SYMBOLS / rate
    played = (Timing("server", (load.seconds,), expected),)
    yield Row(f"{what}: messages lost", LOST, float(lost), played, f"{sum(load.received):,} were received")
    yield Row(f"{what}: behind the clock at most", LATENESS, load.late, played)
    growth = 100.0 * (load.memory_end / load.memory_begin - 1.0) if load.memory_begin else 0.0
    note = f"{load.memory_begin / 1e6:.0f} MB in the first quarter, {load.memory_end / 1e6:.0f} MB in the last"
    yield Row(f"{what}: resident memory, last quarter against first", MEMORY, growth, played, note)
    most = run(rate, seconds, "max")
    carried = expected / most.seconds
    side = Timing("server", (most.seconds,), expected)
    note = f"{sum(expected - each for each in most.received)} messages lost; at {rate:,}/s and {load.fills} orders, of which a fill needs the symbol's next trade ({gap:.2f} ms apart): {times}"
    yield Row(f"simulated TWS: most trades/s, each to {CLIENTS} clients that read all", CARRIED, carried, (side,), note)
    yield lockstep(plan)


def lockstep(plan: Plan) -> Row:
    """Steps of one trade each, with one client that answers every marker; against bare round trips of as many bytes."""
    steps = plan.size(20_000, 1_000)
    ours, bare = [], []
    for _ in range(plan.repeats):
        load = run(steps // 2, 2, "lockstep", clients=1)
        if load.received != (steps,):
            raise RuntimeError(f"{steps} trades were played, {load.received} received")
        ours.append(load.seconds)
        with started("benchmarks.round_trips", steps) as process:
            bare.append(float(process.line()))
    what = "simulated TWS in lockstep, a trade, a marker and its answer a step: against bare round trips over the same loopback"
    sides = (Timing("lockstep", tuple(ours), steps), Timing("round trips", tuple(bare), steps))
    return Row(what, STEPS, sides[1].median / sides[0].median, sides)


class Running:
    """A process of ours that says lines and hears them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        self._stdin, self._stdout = process.stdin, process.stdout

    def line(self) -> str:
        """The next line that it says."""
        return self._stdout.readline()

    def tell(self, text: str) -> None:
        """Say a line to it."""
        self._stdin.write(text + "\n")
        self._stdin.flush()

    def end(self) -> None:
        """Say that nothing more will be said to it."""
        self._stdin.close()


@contextlib.contextmanager
def started(module: str, *arguments: object) -> Iterator[Running]:
    """A process of a module, ended with the block."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:  # fmt: skip
        try:
            yield Running(process)
        finally:
            process.terminate()


def run(rate: int, seconds: int, speed: str, clients: int = CLIENTS) -> Load:
    """One load: a server and its clients, each in a process."""
    mode = "lockstep" if speed == "lockstep" else "trade"
    with started("benchmarks.gateway_server", SYMBOLS, rate, seconds, speed) as server:
        port = json.loads(server.line())["port"]
        with started("benchmarks.gateway_clients", port, clients, SYMBOLS, rate * seconds, mode) as readers:
            if readers.line() != "ready\n":
                raise RuntimeError("the clients could not connect")
            server.tell("begin")
            said = json.loads(server.line())
            received = json.loads(readers.line())
    return Load(
        said["seconds"], said["memory_begin"], said["memory_end"], said["late"], tuple(said["reaction"]),
        tuple(said["fill"]), tuple(said["whole"]), said["fills"], tuple(received),
    )  # fmt: skip
