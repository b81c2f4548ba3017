"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# The same examples everywhere, so that a red build is red again; `make soak` looks for new ones.
settings.register_profile("default", derandomize=True, deadline=None, max_examples=60)
settings.register_profile("soak", deadline=None, max_examples=3_000)
settings.load_profile("default")
