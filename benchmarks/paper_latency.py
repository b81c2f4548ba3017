"""From a tick's bytes to an order's bytes in a paper session, against a bare ibapi script in the same minute.

A scripted TWS in a process of its own (:mod:`benchmarks.paper_ticks`) stamps both. papertape has a guard and a journal on
the way, whose every order is on the disk before it leaves; so what is allowed is twice the script's time and one
write to this disk.
"""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.gateway_load import started
from benchmarks.measure import Bound, Direction, Plan, Row, Timing

REACTION = Bound(Direction.AT_MOST, 1.0, None, " of 2 x the script + one fdatasync")
ROUNDS = 25
TICKS = 100
COMMIT_BYTES = 3 * (4096 + 24)
"""What a commit of one order adds to SQLite's log: three pages with their headers (seen with strace)."""
NEEDS = "needs the extra ib (pip install '.[ib]')"


def measure(plan: Plan) -> Iterator[Row]:
    """Some thousand orders of each, in turns of a hundred."""
    rounds, ticks = plan.size(ROUNDS, 1), plan.size(TICKS, 20)
    what = f"paper: tick written to order read, {rounds * ticks:,} market orders of each side, p50"
    if not has_client():
        yield Row(what, REACTION, None, note=NEEDS)
        return
    with tempfile.TemporaryDirectory(prefix="paper-", dir=plan.folder) as folder:
        ours, bare, writes = times(rounds, ticks, Path(folder))
    allowed = 2.0 * float(np.median(bare)) + float(np.median(writes))
    load = f"load of the machine {os.getloadavg()[0]:.1f}"
    note = "<br>".join(
        (_spread("papertape", ours), _spread("bare ibapi script", bare), _spread("fdatasync", writes), load)
    )
    sides = (
        Timing("papertape", tuple(ours)),
        Timing("bare ibapi script", tuple(bare)),
        Timing("fdatasync", tuple(writes)),
    )
    yield Row(what, REACTION, float(np.median(ours)) / allowed, sides, note)


def has_client() -> bool:
    """Whether a client of TWS is installed."""
    return importlib.util.find_spec("ibapi") is not None


def times(rounds: int, ticks: int, folder: Path) -> tuple[list[float], list[float], list[float]]:
    """Seconds: papertape's, the script's, and of writes to the disk in between."""
    with started("benchmarks.paper_ticks", rounds, ticks, folder, COMMIT_BYTES) as peer:
        first = json.loads(peer.line())
        with (
            started("benchmarks.paper_ours", first["port"], first["now"], folder, "ticks") as ours,
            started("benchmarks.paper_bare", first["port"]) as bare,
        ):
            found = json.loads(peer.line())
            ours.end()
            bare.end()
            state = json.loads(ours.line())
    count = found["orders"][0]
    if state["halted"] or (state["orders"], state["fills"], state["heard"]) != (count, count, count):
        raise RuntimeError(f"{count} ticks were answered; the session knows of: {state}")
    return found["ours"], found["bare"], found["writes"]


def _spread(name: str, seconds: Sequence[float]) -> str:
    p10, p50, p99 = (1e3 * float(each) for each in np.quantile(seconds, [0.1, 0.5, 0.99]))
    return f"{name} p10 {p10:.2f} ms, p50 {p50:.2f} ms, p99 {p99:.2f} ms"
