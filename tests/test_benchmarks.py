"""The benchmarks run, both sides of each do the same, and the page is written. No time is judged here."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, main, measured
from benchmarks.hand import by_hand
from benchmarks.measure import Bound, Check, Direction, Plan, Row, Timing
from benchmarks.page import page
from benchmarks.tapes import ticks

LONG = {"csv", "memory", "report", "compare", "gateway", "flood"}
"""Benchmarks that take long however little they measure: `make soak` runs them, `make test` the others."""
_CASES = [
    pytest.param(
        name,
        marks=[pytest.mark.soak, pytest.mark.skipif(not os.environ.get("PAPERTAPE_SOAK"), reason="long: make soak")]
        if name in LONG
        else [],
    )
    for name in BENCHMARKS
]


@pytest.mark.parametrize("name", _CASES)
def test_a_benchmark_runs_and_both_of_its_sides_agree(name: str, tmp_path: Path) -> None:
    rows = measured([name], Plan(tmp_path, quick=True))
    assert rows
    for row in rows:
        assert row.note.startswith("needs the extra") if row.value is None else row.sides
    assert list(tmp_path.iterdir()) == []


def test_the_page_has_a_line_for_each_row(tmp_path: Path) -> None:
    target = tmp_path / "page.md"
    assert main(["filtered", "--quick", "--out", str(target)]) == 0
    text = target.read_text(encoding="utf-8")
    assert text.count("| tick momentum with its filter, 20,000 ticks") == 1
    assert "at least 0.5 of its speed" in text


def test_an_unknown_benchmark_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert 'no benchmark "nonsense"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("direction", "value", "verdict"),
    [
        (Direction.AT_LEAST, 0.4, "MISSED"),
        (Direction.AT_LEAST, 0.5, "reached, aim missed"),
        (Direction.AT_LEAST, 0.9, "aim reached"),
        (Direction.AT_MOST, 0.9, "MISSED"),
        (Direction.AT_MOST, 0.4, "aim reached"),
    ],
)
def test_a_bound_is_kept_or_missed(direction: Direction, value: float, verdict: str) -> None:
    required, aim = (0.5, 0.8) if direction is Direction.AT_LEAST else (0.5, 0.4)
    assert Row("it", Bound(direction, required, aim), value).verdict() == verdict


def test_what_could_not_be_measured_has_no_verdict_but_a_reason(tmp_path: Path) -> None:
    row = Row("it", Bound(Direction.AT_MOST, 1.0), None, note="needs a moon")
    assert row.verdict() == "not measured"
    assert "needs a moon" in page([row], Plan(tmp_path))


def test_sides_that_differ_make_no_ratio() -> None:
    check = Check("two loops")
    check.equal("cash", 1.0, 1.5, 0.1)
    check.equal("fills", [1.0, 2.0], [1.0], 0.1)
    with pytest.raises(RuntimeError, match=r"the two sides differ: cash: 1\.0 against 1\.5; fills"):
        check.done()


def test_the_middle_time_makes_the_ratio() -> None:
    timing = Timing("it", (3.0, 1.0, 2.0), 4)
    assert timing.median == 2.0
    assert timing.per_event == 0.5


def test_the_loop_by_hand_trades_the_jumps_by_the_rule() -> None:
    tape = ticks(1_000, jumps=2)
    flat = dataclasses.replace(tape, price=tape.price * 0.0 + 100.0)
    assert len(by_hand(flat).fills) == 0
    flat.price[10:20] = 106.0
    flat.price[20:] = 99.0
    result = by_hand(flat)
    assert result.fills.tolist() == [[11, 5], [21, -5]]
    assert result.cash == pytest.approx(100_000 - 5 * 106 - 1 + 5 * 99 - 1)
    assert result.depth == pytest.approx((100_000 - 5 * 7 - 2) / 100_000 - 1)
