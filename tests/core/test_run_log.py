"""What a strategy says is kept line by line, up to a bound that is said."""

from __future__ import annotations

import pytest

from papertape.core import run_log
from papertape.core.run_log import RunLog


def test_a_table_that_is_said_at_once_is_kept_line_by_line_with_its_time() -> None:
    log = RunLog()
    log.say(1, "before")
    log.say(2, "rank 0: A\nrank 1: B\nrank 2: C")
    log.say(3, "")
    assert log.lines == [(1, "before"), (2, "rank 0: A"), (2, "rank 1: B"), (2, "rank 2: C"), (3, "")]


def test_lines_beyond_the_bound_are_counted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "LOG_LINES", 2)
    log = RunLog()
    log.say(1, "a\nb\nc\nd")
    log.say(2, "e")
    assert log.lines == [(1, "a"), (1, "b")]
    assert log.notes["log_more"].count == 3
