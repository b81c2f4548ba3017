"""Real clients against the simulated gateway: where they are installed, and one script played by one of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.drivers import InLockstep
from gateway.lockstep import Lockstep
from gateway.market import Market
from gateway.server import GatewayServer
from gateway.settings import GatewaySettings
from gateway.store import Store
from gateway.tws import Tws
from papertape.core.model import NS_PER_S
from papertape.core.series import Tape
from papertape.testing import SimulatedGateway
from tests.gateway.clients.recording import Callback, Head, read
from tests.gateway.clients.script import seconds
from tests.gateway.clients.scripts import SCRIPTS

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
FOLDER = ROOT / ".clients"
PROGRAM_TIMEOUT_S = 300.0

Heard = tuple[Head, list[Callback]]


@dataclass(frozen=True)
class ClientPackage:
    """A client: its environment below .clients, the program that follows scripts with it, what version it announces."""

    name: str
    program: str
    newest: int


CLIENTS = (
    ClientPackage("ibapi-10.50", "ibapi_day.py", 226),
    ClientPackage("ibapi-9.81", "ibapi_day.py", 157),
    ClientPackage("ib_async-2.1", "ib_async_day.py", 178),
    ClientPackage("ibapi-10.19", "ibapi_day.py", 176),
    ClientPackage("ibapi-10.30", "ibapi_day.py", 187),
    ClientPackage("ibapi-10.37", "ibapi_day.py", 203),
    ClientPackage("ibapi-10.46", "ibapi_day.py", 225),
)
BY_NAME = {each.name: each for each in CLIENTS}


def at_length(*values: object) -> Any:
    """A case that ``make clients`` has and a usual test run leaves out, for its time."""
    is_short = os.environ.get("PAPERTAPE_ALL_CLIENTS") != "1"
    return pytest.param(*values, marks=pytest.mark.skipif(is_short, reason="takes its time: make clients"))


def interpreter(package: ClientPackage) -> Path:
    """The interpreter of a client's environment. The test skips where there is none."""
    folder = FOLDER / package.name
    if not (folder / ".installed").is_file():
        pytest.skip(f"{package.name} is not installed in .clients: make clients")
    return folder / "bin" / "python"


def start(
    tape: Tape,
    clients: Sequence[int],
    settings: GatewaySettings | None = None,
    store: Store | None = None,
    begin: str | None = None,
) -> SimulatedGateway:
    """A gateway that plays a tape in lockstep with these client ids, from a time of the day on."""
    chosen = settings or GatewaySettings()

    def make(told: object) -> GatewayServer:
        market = Market(tape, start=None if begin is None else seconds(begin) * NS_PER_S)
        tws = Tws(chosen, market, store)
        return GatewayServer(tws, InLockstep(Lockstep(tws, clients)))

    return SimulatedGateway(make, stop_at_end=False)


def follow(package: ClientPackage, port: int, script: str, target: Path) -> Heard:
    """Have a client follow a script on a port; returns what it heard. Fails where the program does."""
    command = [str(interpreter(package)), str(HERE / package.program), str(port), script, str(target)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PROGRAM_TIMEOUT_S
    )
    assert done.returncode == 0, f"{package.name} with script {script}: exit {done.returncode}: {done.stderr}"
    return read(target.read_text(encoding="utf-8").splitlines())


def play(
    package: ClientPackage,
    script: str,
    tape: Tape,
    folder: Path,
    settings: GatewaySettings | None = None,
    store: Store | None = None,
    begin: str | None = None,
) -> Heard:
    """Play a script with a client against a gateway of its own; returns what it heard."""
    interpreter(package)
    clients = sorted({row.client for row in SCRIPTS[script]})
    with start(tape, clients, settings, store, begin) as gateway:
        return follow(package, gateway.port, script, folder / f"{package.name}.jsonl")


def named(heard: Heard, name: str, client: int = 1) -> list[tuple[object, ...]]:
    """The arguments of all callbacks of one name, in order."""
    return [each.arguments for each in heard[1] if each.name == name and each.client == client]


def codes(heard: Heard, client: int = 1) -> list[tuple[object, object]]:
    """(number of the request, code) of every error that is not a notice."""
    return [(e[0], e[1]) for e in named(heard, "error", client) if not 2100 <= int(str(e[1])) < 2200]
