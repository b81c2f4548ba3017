"""What a run does to the interpreter's garbage collection."""

from __future__ import annotations

import gc

import pytest

from backtests.engine import collecting_only_new


def test_what_existed_before_a_run_is_left_alone_during_it_only() -> None:
    before = gc.get_freeze_count()
    with collecting_only_new():
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() <= before


def test_a_run_that_fails_freezes_nothing_for_good() -> None:
    before = gc.get_freeze_count()
    with pytest.raises(ValueError, match="bad"), collecting_only_new():
        raise ValueError("bad")
    assert gc.get_freeze_count() <= before


def test_what_the_users_program_froze_stays_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with collecting_only_new():
            pass
        assert gc.get_freeze_count() == frozen
    finally:
        gc.unfreeze()
