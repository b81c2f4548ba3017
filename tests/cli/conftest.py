"""A small tape with known jumps, strategies of a user's own, and ways to run the program on them."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from papertape.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
OPEN = dt.datetime(2024, 6, 3, 13, 30, tzinfo=dt.UTC)
TRADES = 400

JUMPS = '''
from papertape import Strategy, moved, parameter

class Jumps(Strategy):
    """Buys jumps."""
    up: float = parameter(0.05, above=0, help="rise that buys")
    quantity: int = parameter(10, at_least=1)
    Label: str = "x"

    def on_start(self):
        self.subscribe(self.symbols, when=moved(up=self.up, down=0.9))

    def on_trade(self, trade):
        print("heard", trade.symbol)
        self.log(f"jump of {trade.symbol}")
        self.buy(trade.symbol, self.quantity)
'''

Runner = Callable[..., "Said"]


@dataclass(frozen=True)
class Said:
    """How a run of the program ended."""

    status: int
    out: str
    error: str


def write_trades(path: Path, jumps: dict[int, float], price: float = 100.0) -> None:
    """Trades a second apart at one price, but for factors by which it changes for good at some of them."""
    lines = ["ts,price,size"]
    for k in range(TRADES):
        price *= 1.0 + jumps.get(k, 0.0)
        lines.append(f"{(OPEN + dt.timedelta(seconds=k)).isoformat()},{price:.2f},100")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, the current one: a tape of AAA and BBB in tape/, and my_jumps.py."""
    (tmp_path / "tape").mkdir()
    write_trades(tmp_path / "tape" / "AAA.csv", {100: 0.06, 200: -0.2, 300: 0.06})
    write_trades(tmp_path / "tape" / "BBB.csv", {150: 0.10})
    (tmp_path / "my_jumps.py").write_text(JUMPS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # a user's folder is added to it
    for module in ("mine", "my_jumps"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    for name in [name for name in os.environ if name.startswith("PAPERTAPE__")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def papertape(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run the program in this process."""

    def run_it(*arguments: object, **environment: str) -> Said:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        status = run([str(each) for each in arguments])
        said = capsys.readouterr()
        for name in environment:
            monkeypatch.delenv(name)
        return Said(status, said.out, said.err)

    return run_it


@pytest.fixture
def process(here: Path) -> Runner:
    """Run the program in a process of its own, from the user's folder."""

    def run_it(*arguments: object, folder: Path | None = None) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "papertape", *map(str, arguments)],
            cwd=folder or here,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run_it
