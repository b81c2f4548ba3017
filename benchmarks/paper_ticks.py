"""Ticks one by one, each answered with an order: ``python -m benchmarks.paper_ticks ROUNDS TICKS FOLDER BYTES``.

Two clients in turn, papertape (client id 1) and the bare script (2), in short rounds; between two rounds so many bytes are
made durable on the disk of FOLDER. Prints its port, and at the end what it measured, as lines of JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.paper_peer import PRICE, Desk, Peer

OURS, BARE = 1, 2
WARM_UP = 60
"""Orders of each client that are not counted."""
GAP_S = (0.003, 0.009)
"""Between what was said of an order and the next tick: drawn evenly."""
START_S = 240.0
"""A client may have to compile its kernels first."""
WAIT_S = 30.0
SYNCS = 10
"""Between two rounds."""
RESTART_BYTES = 1 << 20
"""From here on the file is written from its beginning again, as a journal's log is."""


class Disk:
    """What one durable write costs here."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._data = os.urandom(size)
        self._at = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def write(self) -> float:
        """Seconds of one write and fdatasync."""
        began = time.perf_counter()
        os.pwrite(self._file, self._data, self._at)
        os.fdatasync(self._file)
        self._at = 0 if self._at >= RESTART_BYTES else self._at + len(self._data)
        return time.perf_counter() - began

    def close(self) -> None:
        """Remove it."""
        os.close(self._file)
        self._path.unlink()


def react(desk: Desk, peer: Peer, price: float) -> float:
    """Seconds from a tick written to the order that answers it read."""
    data = peer.trade(0, price)
    count = len(peer.orders)
    began = time.perf_counter()
    peer.connection.sendall(data)
    desk.serve_until(lambda: len(peer.orders) > count, WAIT_S, f"an order of client {peer.client_id}")
    return peer.orders[count] - began


def play(rounds: int, ticks: int, folder: Path, size: int) -> None:
    """All rounds."""
    desk = Desk(1)
    say({"port": desk.port, "now": desk.market.now()})
    disk = Disk(folder / "durable", size)
    chance = random.Random(7)
    found: dict[int, list[float]] = {OURS: [], BARE: []}
    writes: list[float] = []
    for client in found:
        desk.serve_until(lambda client=client: desk.of(client, [0]) is not None, START_S, f"client {client}")  # type: ignore[misc]
    desk.serve_for(1.0)
    for nth in range(-1, rounds):
        for client, times in found.items():
            peer = desk.of(client, [0])
            assert peer is not None, "it is connected"
            for _ in range(WARM_UP if nth < 0 else ticks):
                took = react(desk, peer, PRICE + chance.randrange(100) / 100)
                if nth >= 0:
                    times.append(took)
                desk.serve_for(chance.uniform(*GAP_S))
        desk.serve_for(0.06)  # what is noted is durable, so that our journal is not written meanwhile
        writes += [disk.write() for _ in range(SYNCS)]
    disk.close()
    orders = {client: sum(len(each.orders) for each in desk.peers if each.client_id == client) for client in found}
    say({"ours": found[OURS], "bare": found[BARE], "writes": writes, "orders": [orders[OURS], orders[BARE]],
         "load": os.getloadavg()[0]})  # fmt: skip
    desk.serve_until(lambda: not any(each.is_open for each in desk.peers), WAIT_S, "the clients' end")
    desk.close()


def say(what: dict[str, Any]) -> None:
    """A line for the process that started this one."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    play(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
