"""What the tests of live runs share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.kill_rig import Forks


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """A process that executes runs which may be killed."""
    made = Forks()
    yield made
    made.close()
