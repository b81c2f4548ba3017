"""Settings of all tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from papertape.core.folders import cache_folder

# The same examples everywhere, so that a red build is red again; `make soak` looks for new ones.
settings.register_profile("default", derandomize=True, deadline=None, max_examples=60)
settings.register_profile("soak", deadline=None, max_examples=3_000)
settings.load_profile("default")

_CACHE: list[Path] = []


def pytest_configure() -> None:
    """Keep tapes of tests out of the user's cache, which each write looks through: it would grow with every run.

    What is compiled is shared with the user and between the workers, since compiling takes half a minute.
    """
    usual = cache_folder().resolve()
    own = Path(tempfile.mkdtemp(prefix="papertape-tests-"))
    for name in ("kernels", "calendars"):
        shared = usual / name
        shared.mkdir(exist_ok=True)
        (own / name).symlink_to(shared.resolve(), target_is_directory=True)
    _CACHE.append(own)
    os.environ["PAPERTAPE_CACHE"] = str(own)
    os.environ["PAPERTAPE_STATE"] = str(own / "state")  # accounts of tests are claimed apart from the user's
    cache_folder.cache_clear()


def pytest_unconfigure() -> None:
    """Remove that folder; what it links to stays."""
    while _CACHE:
        shutil.rmtree(_CACHE.pop(), ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def _few_cached_tapes() -> Iterator[None]:
    """Forget the tapes of a file's tests: each write looks through all there are."""
    yield
    for own in _CACHE:
        shutil.rmtree(own / "columns", ignore_errors=True)
