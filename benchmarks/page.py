"""The page that the measurements make: docs/benchmarks.md."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Plan, Row

_HEAD = """# Benchmarks

Ratios of two things measured side by side, in turn, in one run of `make bench`; they depend far less on the machine than
times do. Before anything is timed, both sides must have the same fills, cash and drawdown, or the benchmark fails.
Each side shows its shortest and its middle time ({repeats}); the ratio is of the middle ones.
"""
_TAIL = """
## What is compared

- The tape: trades of one symbol, 100 x exp(cumsum(normal(0, 2e-5))), 0.02 % of them jumping by 5.5 to 8 % up and down in
  turn, seed 7, 2 ms apart within one regular session; fees `per-share:0.005:1`. Comparisons with other engines use the
  same tape with prices of four decimals, and fewer ticks where an engine is slow: the time for a tick is compared.
- papertape marks equity, drawdown and the guard's limits at every event, checks the arrays that it is given, and ends
  with finished metrics. The Numba loop does rule, fills, fees, equity and drawdown, and nothing else.
- The bare Python loop makes an object with slots of every tick and calls a method with it: no equity, no drawdown; its
  decisions become fills after the loop.
- NautilusTrader: `BacktestEngine` of its pyo3 package, `run()` alone, without logging, analysis and risk checks, with
  a latency of 1 ns so that its market orders fill at the next trade. backtrader: no observers, no analyzers.
- The bridge: one strategy written for backtrader, on minute bars of one symbol, in Cerebro alone in its default mode
  (preloaded, indicators over columns) without observers and analyzers, and through `backtest()`, which also makes the bars,
  marks, journals, and ends with finished metrics. Cerebro's own feed is given its lines as it keeps them, so that reading
  data counts on neither side. The same rule for papertape's engine sums its averages as backtrader does.
- Reports and comparisons are of runs that were stored beforehand: tick momentum on that tape, and `sma_cross` on bars of
  30 minutes with 200 pairs of averages. The other side is a process that imports what such pages are usually made with.
- The load on the simulated TWS: trades of 50 symbols, evenly spaced, tick by tick to each of four clients (AllLast, limits
  lifted), one of which answers a tick with a market order every 20 ms; server and clients are a process each, on two cores.
  "The most" is the same tape as fast as the clients read it. A round trip is 20 bytes each way between an asyncio server
  and a client with a blocking socket: what this machine's loopback gives at best.
- Paper trading: a scripted TWS in a process of its own stamps a trade's bytes when they leave and an order's when they
  have come, for a paper session (both threads, the account's guard with five limits, the durable journal, the status for
  other processes) and for a script with the stock client that places the same order in its callback, in turns of a
  hundred, 3 to 9 ms apart. Between the turns as many bytes as SQLite adds for one order are written and made durable
  (fdatasync). The guard judges an order twice, and it leaves after its entry is on the disk.
- The load on a paper session: trades tick by tick and quotes in turn of three symbols, every 10 ms those that are due, to a
  strategy that hears them all and trades twice a second. A trade's size says when it was sent, so that how late it is
  heard is measured from end to end. Then once more with a handler that takes two seconds, and `papertape halt` meanwhile.
- Top movers: one decision a day at 10:00 from a scan and two daily bars as of then; the decisions are compared with
  ones found by looking at the columns directly.

## How to repeat

```
make bench                                    # all rows but the one that needs 9 GB of disk; writes this page
.venv/bin/python -m benchmarks --full         # that one too
.venv/bin/python -m benchmarks movers --out - # one row, to the terminal
```

NautilusTrader needs Python 3.12 or newer. Let nothing else run meanwhile.
"""


def page(rows: Sequence[Row], plan: Plan) -> str:
    """The whole page."""
    lines = [
        _HEAD.format(repeats="one measurement" if plan.repeats == 1 else f"of {plan.repeats}"),
        f"Measured on {dt.datetime.now(dt.UTC):%Y-%m-%d}: {machine()}.",
        "",
        "| what | must reach | aim | measured | verdict | shortest / middle time |",
        "|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
    ]
    return "\n".join(lines) + "\n" + _TAIL


def _line(row: Row) -> str:
    measured = "" if row.value is None else f"**{row.value:.3g}{row.bound.unit}**"
    sides = "<br>".join(str(side) for side in row.sides)
    details = "<br>".join(part for part in (sides, row.note) if part)
    bound = row.bound
    cells = (row.what, bound.text(bound.required), bound.text(bound.aim), measured, row.verdict(), details)
    return "| " + " | ".join(cells) + " |"


def machine() -> str:
    """Cores, processor and versions."""
    found = [f"{os.cpu_count()} cores", _processor(), f"{platform.system()}, Python {platform.python_version()}"]
    found += [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "numba", "pandas")]
    return ", ".join(found)


def _processor() -> str:
    """The processor's name as the system knows it."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
