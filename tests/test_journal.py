"""The journal in memory: what happened, in the order in which it happened, however much it is."""

from __future__ import annotations

import json

import pytest

from papertape import journal as subject
from papertape.core.model import OrderStatus
from papertape.core.state import State
from papertape.journal import MemoryJournal


def a_state(reports: int) -> State:
    """Reports in turn of an order's acceptance and its fill, on two instruments."""
    state = State(2, 1)
    for k in range(reports):
        row = state.reports[k]
        row["ts"], row["order"], row["instrument"] = 100 + k, k // 2, k % 2
        row["status"] = OrderStatus.FILLED if k % 2 else OrderStatus.SUBMITTED
        if k % 2:
            row["quantity"], row["price"], row["fee"] = 5.0, 10.0 + k, 1.0
    return state


def lines(journal: MemoryJournal) -> list[list[object]]:
    encoded = journal.encode(["AAPL", "IBM"])
    assert encoded.endswith(b"\n")
    return [json.loads(line) for line in encoded.splitlines()]


@pytest.mark.parametrize("at_once", [1, 2, 3, 4096])
def test_reports_stand_between_the_decisions_that_they_came_between(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(subject, "_AT_ONCE", at_once)
    journal = MemoryJournal(a_state(5))
    journal.write(("start", 1))
    journal.write_reports(0, 1)
    journal.write(("middle", 2))
    journal.write_reports(1, 4)
    journal.write(("end", 3))
    assert lines(journal) == [
        ["start", 1],
        ["status", 100, 1, "AAPL", "SUBMITTED", ""],
        ["middle", 2],
        ["fill", 101, 1, "IBM", "FILLED", 5.0, 11.0, 1.0],
        ["status", 102, 2, "AAPL", "SUBMITTED", ""],
        ["fill", 103, 2, "IBM", "FILLED", 5.0, 13.0, 1.0],
        ["end", 3],
    ]


def test_nothing_that_happened_is_no_bytes() -> None:
    assert MemoryJournal(a_state(0)).encode([]) == b""


def test_a_report_that_would_be_journaled_twice_is_a_fault() -> None:
    journal = MemoryJournal(a_state(4))
    journal.write_reports(0, 2)
    journal.write_reports(1, 3)
    with pytest.raises(AssertionError, match="each once"):
        journal.encode(["AAPL", "IBM"])
