"""What tests of paper and live trading share: strategies that misbehave, a terminal, and TWS with known trades."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.threaded import SimulatedGateway
from papertape.runs import Run, open_run

STRATEGY = '''
import os, signal, time
from papertape import Strategy, parameter

class {name}(Strategy):
    """Does on a trade what a test wants done."""
    quantity: int = parameter(10, at_least=1)
    times: int = parameter(1, at_least=0)

    def on_start(self):
        self.given = 0
        self.subscribe(self.symbols)

    def on_trade(self, trade):
        if self.given < self.times:
            self.given += 1
            self.act(trade)

    def act(self, trade):
        self.buy(trade.symbol, self.quantity)
'''


def strategy_file(folder: Path, name: str, body: str = "") -> Path:
    """A file with the strategy above; ``body`` are methods that it has instead, as ``    def act(self, trade): ...``."""
    path = folder / f"{name}.py"
    path.write_text(STRATEGY.replace("{name}", name.title()) + f"\n{body}\n")
    return path


def address(gateway: SimulatedGateway) -> str:
    """Where it listens, as an option wants it."""
    return f"{gateway.host}:{gateway.port}"


def only_run(folder: Path) -> Run:
    """The one run in a folder of runs."""
    (found,) = (folder / "runs").iterdir()
    return open_run(found)


def no_run(folder: Path) -> bool:
    """Whether no run was left behind, nor a folder for runs."""
    return not (folder / "runs").exists()


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, *typed: str) -> Iterator[None]:
    """A real terminal as stdin, on which lines were typed ahead."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "r") as stdin:
        for line in typed:
            os.write(master, f"{line}\n".encode())
        try:
            with monkeypatch.context() as patched:
                patched.setattr(sys, "stdin", stdin)
                yield
        finally:
            os.close(master)
