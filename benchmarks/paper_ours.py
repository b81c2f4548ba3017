"""A paper session of papertape against the scripted TWS: ``python -m benchmarks.paper_ours PORT NOW FOLDER STRATEGY``.

It is what ``papertape paper --gateway`` makes of a strategy: both threads, the account's guard, the durable journal, and
the status that other processes read. STRATEGY is ``ticks`` (answers every trade), or ``load SYMBOLS BEGAN_S BLOCKS`` (hears
everything, trades now and then, and after BLOCKS trades takes two seconds, once). Ends when its input does; prints what it knows of itself as a line of JSON.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from papertape import Quote, Strategy, Trade
from papertape.core.guard import GuardSettings
from papertape.core.model import Mode
from papertape.live.assembly import LiveRun, make_run
from papertape.live.settings import Address, AtEnd, LiveSettings
from papertape.live.watching import Watching

MESSAGES_PER_S = 10_000
"""The scripted TWS sets no rate."""
GUARD = GuardSettings(
    max_drawdown=0.5, max_order_quantity=100.0, max_order_value=100_000.0, max_position=1_000.0, price_collar=0.05,
    cash_floor={"USD": 1_000.0},
)  # fmt: skip
"""Limits that are checked at every event and every order, and never reached."""
LOAD_ORDER_EVERY_S = 0.5
BLOCKS_S = 2.0
"""How long one handler of the load takes, once."""


class EveryTrade(Strategy):
    """Buys and sells one share in turn, at every trade."""

    def on_start(self) -> None:
        """Follow the one stock."""
        self.is_long = False
        self.subscribe("S00")

    def on_trade(self, trade: Trade) -> None:
        """Answer it."""
        (self.sell if self.is_long else self.buy)(trade.symbol, 1)
        self.is_long = not self.is_long


class Listener(Strategy):
    """Counts all trades and quotes of all symbols, and buys and sells one share now and then."""

    blocks_after: int = 0
    """Trades after which the handler takes BLOCKS_S, once; 0: never."""
    began_s: float = 0.0
    """When the peer began (s, monotonic)."""

    def on_start(self) -> None:
        """Follow them all."""
        self.trades = self.quotes = 0
        self.lag_s = self.most_lag_s = self.lag_before_s = 0.0
        self.is_long = False
        self.next_order = 0.0
        self.subscribe(self.symbols)

    def on_quote(self, quote: Quote) -> None:
        """One more."""
        self.quotes += 1

    def on_trade(self, trade: Trade) -> None:
        """One more, and perhaps an order."""
        self.trades += 1
        now = time.monotonic()
        self.lag_s = now - self.began_s - trade.size / 1e3
        self.most_lag_s = max(self.most_lag_s, self.lag_s)
        if self.trades == self.blocks_after:
            self.lag_before_s = self.most_lag_s
            time.sleep(BLOCKS_S)
        if now >= self.next_order:
            self.next_order = now + LOAD_ORDER_EVERY_S
            (self.sell if self.is_long else self.buy)("S00", 1)
            self.is_long = not self.is_long


def session(port: int, now: int, folder: Path, strategy: Strategy, symbols: list[str]) -> LiveRun:
    """A paper run, not begun."""
    settings = LiveSettings(
        mode=Mode.PAPER, client_id=1, guard=GUARD, messages_per_s=MESSAGES_PER_S, at_end=AtEnd.CANCEL
    )
    return make_run(strategy, settings, Address("127.0.0.1", port), out=folder, symbols=symbols, now=now)


def rss_bytes() -> int:
    """Resident memory now, or the most there was where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def waited_s() -> float:
    """Seconds that this process's threads could have run and had no processor; NaN where the system does not tell."""
    try:
        tasks = [path.read_text(encoding="ascii") for path in Path("/proc/self/task").glob("*/schedstat")]
    except OSError:
        return math.nan
    return sum(int(text.split()[1]) for text in tasks) / 1e9 if tasks else math.nan


def state_of(run: LiveRun) -> dict[str, Any]:
    """What a run knows of itself."""
    adapter, side = run.parts.adapter, run.parts.side
    entries = adapter.ib.orders.entries.values()
    found: dict[str, Any] = {
        "orders": len(entries),
        "fills": sum(len(each.fills) for each in entries),
        "heard": side.events,
        "events": adapter.state.events,
        "behind": run.parts.inbox.behind,
        "halted": adapter.state.halted,
        "notices": [text for _, text in adapter.state.notices],
        "position": sum(adapter.run_positions().values()),
        "rss": rss_bytes(),
        "cpu_s": time.process_time(),
        "waited_s": waited_s(),
    }
    strategy = run.strategy
    if isinstance(strategy, Listener):
        found |= {"trades": strategy.trades, "quotes": strategy.quotes, "slow": side.slow_handlers,
                  "lag_s": strategy.lag_s, "most_lag_s": strategy.most_lag_s, "lag_before_s": strategy.lag_before_s}  # fmt: skip
    return found


def main(port: int, now: int, folder: Path, name: str, symbols: int = 1, began_s: float = 0.0, blocks: int = 0) -> None:
    """Trade until there is no more input. A line of input is answered with the state, as a line of JSON."""
    strategy = EveryTrade() if name == "ticks" else Listener(blocks_after=blocks, began_s=began_s)
    run = session(port, now, folder, strategy, [f"S{k:02d}" for k in range(symbols)])

    def listen() -> None:
        for _ in sys.stdin:
            say(state_of(run))
        run.engine.stop("the benchmark is over")

    with Watching(run, is_silent=True) as watching:
        run.engine.look = watching.look
        threading.Thread(target=listen, daemon=True).start()
        run.run()
    say({**state_of(run), "why": run.engine.why})


def say(what: dict[str, Any]) -> None:
    """A line for the process that started this one."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(
        int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4],
        *(kind(text) for kind, text in zip((int, float, int), sys.argv[5:], strict=False)),
    )  # fmt: skip
