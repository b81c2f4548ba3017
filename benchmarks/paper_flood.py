"""A paper session under load: a strategy that hears every trade and quote, and once takes two seconds for one.

The scripted TWS (:mod:`benchmarks.paper_load`) counts what it sends and stamps every trade; the session counts what its
strategy heard, when, and what the account's guard marked meanwhile.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gateway_load import Running, started
from benchmarks.measure import Bound, Direction, Plan, Row, Timing
from benchmarks.paper_latency import COMMIT_BYTES, NEEDS, has_client
from benchmarks.paper_ticks import Disk
from papertape.live.control import ask_to_halt, seen_runs, wait_for_answers

LOST = Bound(Direction.AT_MOST, 0.0, None, " events")
LAG = Bound(Direction.AT_MOST, 1.0, None, " s late")
MEMORY = Bound(Direction.AT_MOST, 10.0, None, " % more memory")
HALT = Bound(Direction.AT_MOST, 1.0, None, " s")
SYMBOLS = 3
"""As many as have tick-by-tick lines."""
RATE = 5_000
SETTLE_S = 60.0
ASK_EVERY_S = 0.5


@dataclass(slots=True)
class Flood:
    """What was sent and what was heard. ``states`` are the session's, twice a second."""

    sent: dict[str, Any]
    states: list[dict[str, Any]]
    last: dict[str, Any]
    guarded: int = 0
    """Events that the account's guard marked while the handler was at it."""
    halt_s: float = 0.0
    """How long a halt took meanwhile."""
    disk_s: float = 0.0
    """How long a durable write by somebody else took at most meanwhile: so long an order's entry may take, too."""

    @property
    def lost(self) -> int:
        """Events that were sent and not heard."""
        sent = self.sent["trades"] + self.sent["quotes"]
        return int(sent - self.last["trades"] - self.last["quotes"])


def measure(plan: Plan) -> Iterator[Row]:
    """A minute of it; then once more, shorter, with the slow handler and a halt in the middle of that."""
    rate, seconds = plan.size(RATE, 400), plan.size(60, 2)
    what = f"paper: {rate:,} trades and quotes/s of {SYMBOLS} symbols for {seconds} s to one strategy"
    if not has_client():
        yield Row(f"{what}: events lost", LOST, None, note=NEEDS)
        return
    flood = run(plan, rate, seconds, blocks=0)
    events = flood.sent["trades"] + flood.sent["quotes"]
    played = (Timing("sent in", (float(seconds),), events),)
    sender = f"the sender itself was {flood.sent['late_s']:.3f} s late at most"
    busy = (flood.last["cpu_s"] - flood.states[0]["cpu_s"]) / seconds
    note = f"{events:,} were sent, {flood.sent['orders']} orders read; the session took {100 * busy:.0f} % of a core"
    yield Row(f"{what}: events lost", LOST, float(flood.lost), played, note)
    waited = flood.last["waited_s"] - flood.states[0]["waited_s"]
    others = f"{sender}, the session's threads waited {waited:.1f} s for a processor, a durable write of somebody else took {flood.disk_s:.3f} s at most"
    end = f"{flood.last['lag_s']:.3f} s at the end; {others}; load of the machine {os.getloadavg()[0]:.1f}"
    yield Row(f"{what}: sent to heard at most", LAG, flood.last["most_lag_s"], played, end)
    quarter = max(1, len(flood.states) // 4)
    begin = max(each["rss"] for each in flood.states[:quarter])
    later = max(each["rss"] for each in flood.states[-quarter:])
    note = f"{begin / 1e6:.0f} MB in the first quarter, {later / 1e6:.0f} MB in the last"
    yield Row(
        f"{what}: resident memory, last quarter against first", MEMORY, 100.0 * (later / begin - 1.0), played, note
    )
    seconds = plan.size(15, 3)
    flood = run(plan, rate, seconds, blocks=rate // 4)
    played = (Timing("sent in", (float(seconds),), rate * seconds),)
    what = f"the same for {seconds} s, with a handler that once takes 2 s"
    guarded = f"the guard marked {flood.guarded:,} events meanwhile"
    caught = f"{flood.last['most_lag_s']:.3f} s late at most, {flood.last['lag_s']:.3f} s at the end"
    yield Row(f"{what}: events lost", LOST, float(flood.lost), played, f"{guarded}; {caught}")
    yield Row(f"{what}: a halt asked for meanwhile, until it is confirmed", HALT, flood.halt_s, played)


def run(plan: Plan, rate: int, seconds: int, blocks: int) -> Flood:
    """One load. ``blocks``: trades after which the handler is slow once, and a halt is asked for; 0: never."""
    with (
        tempfile.TemporaryDirectory(prefix="flood-", dir=plan.folder) as folder,
        started("benchmarks.paper_load", SYMBOLS, rate, seconds) as peer,
    ):
        first = json.loads(peer.line())
        session = (first["port"], first["now"], folder, "load", SYMBOLS, first["began_s"], blocks)
        with started("benchmarks.paper_ours", *session) as ours:
            peer.line()
            peer.tell("begin")
            flood = _watched(peer, ours, Path(folder), blocks)
            ours.end()
            last = json.loads(ours.line())
    if flood.last["halted"] and not blocks:
        raise RuntimeError(f"the session was halted: {flood.last['halted']}")
    if last["orders"] < flood.sent["orders"] or last["orders"] != last["fills"]:
        raise RuntimeError(f"{flood.sent['orders']} orders were read in time; the session knows of: {last}")
    return flood


def _watched(peer: Running, ours: Running, folder: Path, blocks: int) -> Flood:
    """Ask the session how it is until all was sent and it has heard all, or nothing more comes."""
    sent: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: sent.append(json.loads(peer.line())), daemon=True)
    waiting.start()
    states = [_state(ours)]
    guarded, halt_s, disk_s = 0, 0.0, 0.0
    disk = Disk(folder / "durable", COMMIT_BYTES)
    while waiting.is_alive():
        disk_s = max(disk_s, disk.write())
        waiting.join(ASK_EVERY_S if not blocks else 0.05)
        states.append(_state(ours))
        if blocks and not halt_s and states[-1]["trades"] >= blocks:
            guarded, halt_s = _halted(ours, folder)
    disk.close()
    deadline = time.monotonic() + SETTLE_S
    while (last := _state(ours))["trades"] + last["quotes"] < sent[0]["trades"] + sent[0]["quotes"]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return Flood(sent[0], states, last, guarded, halt_s, disk_s)


def _halted(ours: Running, folder: Path) -> tuple[int, float]:
    """(events marked, seconds) from a request to halt to its confirmation; the handler is at it all the time."""
    before = _state(ours)
    began = time.monotonic()
    [seen] = [each for each in seen_runs(folder) if each.is_alive]
    answers = wait_for_answers({seen.folder: ask_to_halt(seen, by="the benchmark", why="to see how long it takes")})
    took = time.monotonic() - began
    time.sleep(0.3)
    after = _state(ours)
    if not answers or not after["halted"]:
        raise RuntimeError("the halt was not confirmed")
    if after["trades"] != before["trades"]:
        raise RuntimeError("the handler had returned before the halt was confirmed")
    return int(after["events"] - before["events"]), took


def _state(ours: Running) -> dict[str, Any]:
    ours.tell("")
    found: dict[str, Any] = json.loads(ours.line())
    return found
