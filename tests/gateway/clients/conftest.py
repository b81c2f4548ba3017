"""What tests with real clients share: the day's tape, and recordings that are made once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.settings import LAST_SERVER_VERSION, GatewaySettings
from papertape.core.series import Tape
from tests.gateway.clients.playing import PROGRAM_TIMEOUT_S, ClientPackage, Heard, interpreter, play
from tests.gateway.clients.recording import read
from tests.gateway.clients.tape import day_tape

Recorded = Callable[..., Heard]


@pytest.fixture(scope="session")
def tape() -> Tape:
    """The scripted day's market."""
    return day_tape()


@pytest.fixture(scope="session")
def recorded(tape: Tape, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """``recorded(package, script, server_version)``: what a client hears, played once for all processes of a test run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "recordings"
    folder.mkdir(exist_ok=True)

    def get(package: ClientPackage, script: str, server_version: int = LAST_SERVER_VERSION) -> Heard:
        interpreter(package)
        own = folder / f"{package.name} {script} {server_version}"
        try:
            own.mkdir()
        except FileExistsError:
            _wait_for(own)
        else:
            try:
                play(package, script, tape, own, GatewaySettings(server_version=server_version))
            finally:
                (own / "done").touch()
        lines = (own / f"{package.name}.jsonl").read_text(encoding="utf-8").splitlines()
        return read(lines)

    return get


def _wait_for(folder: Path) -> None:
    """Wait until another process has made a recording."""
    deadline = time.monotonic() + PROGRAM_TIMEOUT_S
    while not (folder / "done").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody finished {folder.name}")
        time.sleep(0.1)
