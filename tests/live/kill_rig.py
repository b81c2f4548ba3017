"""A simulated gateway that lives on, runs beside it that are killed and resumed, and what must hold in the end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from brokers.fees import FeeModel
from feeds.load import load_tape
from gateway.settings import GatewaySettings, backtest_settings
from gateway.store import Saved, Store
from gateway.threaded import SimulatedGateway, serve_in_thread
from papertape.core.model import NS_PER_S
from papertape.core.series import Tape
from papertape.live import entries
from papertape.live.journal import FILE_NAME, read_journal
from tests.live.crashing import KILLED, PATIENCE_S
from tests.live.killed_run import RESULT, SYMBOLS

ROOT = Path(__file__).resolve().parents[2]
START = 1_717_421_400 * NS_PER_S
"""2024-06-03 09:30 in New York."""
CASH = 100_000.0
ACCOUNT = "DU1234567"


def tape(seconds: int = 40, seed: int = 1, drift: float = 0.0, begin: int = START) -> Tape:
    """Two symbols that wander about 10.00 and 20.00, each twice a second."""
    drawn = np.random.default_rng(seed)
    n = 2 * seconds
    ts = begin + np.arange(n, dtype=np.int64) * (NS_PER_S // 2)
    moves = drawn.integers(-2, 3, (2, n)) + drift
    prices = np.round(np.array([[10.0], [20.0]]) + np.cumsum(moves, axis=1) * 0.01, 2)
    sizes = np.full(n, 500.0)
    return load_tape({
        name: {"ts": ts + k * 1_000_000, "price": prices[k], "size": sizes} for k, name in enumerate(SYMBOLS)
    })  # fmt: skip


def account_settings() -> GatewaySettings:
    """The account of all gateways here."""
    return backtest_settings({"USD": CASH}, fees=FeeModel.parse("ib-fixed"), account=ACCOUNT)


def play_alone(store: Path, played: Tape) -> None:
    """A gateway goes on where it was, to the end of a tape, with nobody there."""
    end = max(int(series.ts[-1]) for series in played.series)
    with serve_in_thread(
        played, account_settings(), speed=None, end=end, store=store, hold=False, stop_at_end=True
    ) as gateway:
        assert gateway.wait(PATIENCE_S)


class Forks:
    """The process that executes runs in forks of itself, one at a time: it loads what takes long once."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.killed_run"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def execute(self, plan: Mapping[str, Any]) -> int:
        """Execute a plan; the exit status of its process, KILLED where it was."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(plan).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self._process.stdout.close()


class Rig:
    """A gateway in this process and runs in others. ``play`` executes one to its death or its end."""

    def __init__(self, forks: Forks, folder: Path, played: Tape, *, start: int | None = None, **settings: Any) -> None:
        self.folder = folder
        self.store = folder / "account.sqlite"
        self.last = max(int(series.ts[-1]) for series in played.series)
        speed = settings.get("speed")
        self.gateway: SimulatedGateway = serve_in_thread(
            played,
            account_settings(),
            speed=speed,
            lockstep=() if speed else [1],
            start=start,
            end=self.last + 5 * NS_PER_S,
            store=self.store,
            deadline_s=PATIENCE_S,
        )
        self.settings = settings
        self.kills = 0
        self._forks = forks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.gateway.stop()

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return next(self.folder.glob(f"*/{FILE_NAME}")).parent

    def plan(self, place: str = "", nth: int = 0, **settings: Any) -> dict[str, Any]:
        """A plan to begin the run, or to go on with it."""
        begun = next((str(each.parent) for each in self.folder.glob(f"*/{FILE_NAME}")), "")
        return {
            "port": self.gateway.port, "out": str(self.folder), "resume": begun, "place": place, "nth": nth,
            "now": self.gateway.now, "until": self.last + NS_PER_S, **self.settings, **settings,
        }  # fmt: skip

    def play(self, place: str = "", nth: int = 0, **settings: Any) -> dict[str, Any] | None:
        """Begin the run, or go on with it; None where it was killed, else what it came to."""
        status = self._forks.execute(self.plan(place, nth, **settings))
        self._wait_until_left()
        if status == KILLED:
            self.kills += 1
            return None
        assert status == 0, f"the process of the run ended with {status}"
        found: dict[str, Any] = json.loads((self.folder / RESULT).read_text())
        return found

    def play_to_its_end(self, **settings: Any) -> dict[str, Any]:
        """Go on with the run to its end."""
        found = self.play(**settings)
        assert found is not None, "nobody killed it"
        return found

    def _wait_until_left(self) -> None:
        """The gateway has noticed that the process is gone: its client id is free again."""
        deadline = time.monotonic() + PATIENCE_S
        while self._is_connected() and time.monotonic() < deadline:
            time.sleep(0.005)

    def _is_connected(self) -> bool:
        said = [each.text for each in list(self.gateway.events) if each.text.startswith("client 1 ")]
        return sum("connected" in text for text in said) > sum("has left" in text for text in said)

    def account(self) -> Saved:
        """What the gateway's account remembers, once it has stopped."""
        self.gateway.stop()
        store = Store.open(self.store, ACCOUNT)
        try:
            saved = store.load()
        finally:
            store.close()
        assert saved is not None
        return saved


def intended_refs(folder: Path) -> list[str]:
    """References of the orders whose intent a journal has, in order."""
    _, rows = read_journal(folder)
    decoded = (entries.decode(each.body) for each in rows)
    return [each.order_ref for each in decoded if isinstance(each, entries.Intended)]


def check_agrees(saved: Saved, result: Mapping[str, Any], folder: Path) -> None:
    """No order lost, none sent twice; positions, cash and fills of gateway, guard and strategy are one."""
    refs = Counter(each.order.order_ref for each in saved.orders)
    assert max(refs.values(), default=1) == 1, f"sent twice: {[ref for ref, n in refs.items() if n > 1]}"
    intended = intended_refs(folder)
    assert len(intended) == len(set(intended))
    assert set(refs) <= set(intended), "an order left before its intent was durable"
    books = result["orders"]
    assert set(books) == set(intended)
    for ref in set(intended) - set(refs):
        assert books[ref][0] == "REJECTED", f"{ref} is not at the gateway, and is {books[ref]} in the books"
    filled: dict[str, float] = defaultdict(float)
    for each in saved.executions:
        filled[each.execution.order_ref] += abs(each.quantity)
    for ref, (status, quantity, _) in books.items():
        assert quantity == filled[ref], f"{ref} has filled {filled[ref]:g}, and {quantity:g} in the books"
        assert status in ("FILLED", "CANCELLED", "REJECTED", "EXPIRED"), f"{ref} is left {status}"
    held = {each.symbol: each.quantity for each in saved.positions if each.quantity}
    assert held == result["positions"], (held, result["positions"])
    assert held == result["guarded_positions"], (held, result["guarded_positions"])
    assert abs(saved.balances.get("USD", CASH) - result["cash"]) < 1e-6
    assert abs(saved.balances.get("USD", CASH) - result["guarded_cash"]) < 0.02, "TWS tells cash in cents"
