"""Tapes that tests of whole runs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from feeds.load import DataOptions, load_tape
from feeds.sample import write_sample
from papertape.core.series import Tape

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Real data, where they are beside the repository."""


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    """Two days of six stocks of the generated sample: 2024-06-03 and 04."""
    folder = tmp_path_factory.mktemp("sample") / "tape"
    write_sample(folder, symbols=6, days=2, seed=7)
    return load_tape(folder, DataOptions(cache=False))
