"""What tests of paper and live trading share: strategies that misbehave, a terminal, and TWS with known trades."""

from __future__ import annotations

import os
import pty
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brokers.ib.commands import PlaceOrder
from brokers.ib.gateway import IbGateway
from brokers.ib.records import ContractRecord, Execution, NextValidId, OrderRecord
from gateway.server import What
from gateway.threaded import SimulatedGateway
from papertape.core.record import RunRecord
from papertape.runs import Run, open_run

TIMEOUT_S = 20.0
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


def buy_as_somebody_else(gateway: SimulatedGateway, symbol: str, quantity: float, client_id: int) -> None:
    """Another program at the same TWS buys; returns when it was filled."""
    other = IbGateway()
    other.connect(gateway.host, gateway.port, client_id, TIMEOUT_S)
    try:
        _heard(other, NextValidId)
        contract = ContractRecord(symbol=symbol, type="STK", exchange="SMART", currency="USD")
        other.send(PlaceOrder(1, contract, OrderRecord("BUY", quantity, "MKT", order_ref="by hand")))
        _heard(other, Execution)
    finally:
        other.close()


def _heard(client: IbGateway, kind: type) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not any(isinstance(record, kind) for record in client.poll(0.2)):
        assert time.monotonic() < deadline_s, f"no {kind.__name__} in time"


def wait_for_order(gateway: SimulatedGateway) -> None:
    """Wait until somebody has given an order."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not any(each.what is What.ORDER for each in list(gateway.events)):
        assert time.monotonic() < deadline_s, "no order in time"
        time.sleep(0.02)


def notes(record: RunRecord) -> dict[str, str]:
    """Code -> text of what a run's record notes."""
    return {each.code: each.text for each in record.notes}


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
