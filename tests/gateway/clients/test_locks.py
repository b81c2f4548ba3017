"""The clients' environments are made from locks that pin and hash everything and name no place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.gateway.clients.playing import CLIENTS, ROOT

LOCKS = ROOT / "requirements-clients"


def requirements(lock: Path) -> list[str]:
    """The requirements of a lock, each with its hashes in one line."""
    joined = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    return [each for each in joined.splitlines() if re.match(r"[a-z0-9]", each)]


@pytest.mark.parametrize("name", ["build", *(each.name for each in CLIENTS)])
def test_a_clients_lock_names_no_place_and_hashes_everything(name: str) -> None:
    lock = LOCKS / f"{name}.lock"
    assert not re.search(
        r"https?:|file:|--index|--extra-index|--find-links|--trusted", lock.read_text(encoding="utf-8")
    )
    found = requirements(lock)
    assert found
    assert [each[:60] for each in found if "==" not in each or "--hash=sha256:" not in each] == []


def test_every_lock_is_that_of_a_client_and_every_client_has_one() -> None:
    names = {each.name for each in CLIENTS} | {"build"}
    assert {each.stem for each in LOCKS.glob("*.lock")} == {each.stem for each in LOCKS.glob("*.in")} == names
