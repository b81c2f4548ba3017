"""Unmodified clients: each in its own environment below ``.clients/``, or below the folder in PAPERTAPE_CLIENTS."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROBE = Path(__file__).with_name("client_probe.py")
TIMEOUT_S = 120
ENVIRONMENTS = {
    "v981": "ibapi-9.81",
    "v1019": "ibapi-10.19",
    "v1030": "ibapi-10.30",
    "v1037": "ibapi-10.37",
    "v1050": "ibapi-10.50",
    "vasync": "ib_async-2.1",
}
"""Folders that ``make clients`` makes."""


def interpreter(client: str) -> Path | None:
    """The Python that has the client; None where it is not installed."""
    elsewhere = os.environ.get("PAPERTAPE_CLIENTS")
    folder = Path(elsewhere) / client if elsewhere else ROOT / ".clients" / ENVIRONMENTS[client]
    python = folder / "bin" / "python"
    if python.exists():
        return python
    if client == "v1050" and importlib.util.find_spec("ibapi") is not None:
        return Path(sys.executable)
    return None


@cache
def _seen(client: str, work: str) -> dict[str, Any]:
    python = interpreter(client)
    if python is None:
        pytest.skip(f"the client {client} is not installed: make clients")
    ran = subprocess.run(
        [python, PROBE, "ib_async" if client == "vasync" else "ibapi"],
        input=work,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2_000:]
    seen: dict[str, Any] = json.loads(ran.stdout)
    return seen


@pytest.fixture(scope="session")
def probe() -> Callable[[str, int, list[Any], list[bytes]], dict[str, Any]]:
    """Run a client at a server version: what it sends for calls, and what it reads from payloads."""

    def run(client: str, version: int, calls: list[Any], payloads: list[bytes]) -> dict[str, Any]:
        work = {"version": version, "calls": calls, "payloads": [each.hex() for each in payloads]}
        return _seen(client, json.dumps(work))

    return run
