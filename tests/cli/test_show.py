"""``papertape show`` and ``papertape runs``: what is inside runs, for people, spreadsheets and programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.cli.text import clean
from papertape.listing import csv_text

if TYPE_CHECKING:
    from tests.cli.conftest import Runner

LISTS = ("fills", "orders", "trades", "equity", "positions", "scans", "log", "notes", "guard")


@pytest.fixture
def run(papertape: Runner) -> Runner:
    assert papertape("backtest", "my_jumps.py", "--data", "tape").status == 0
    return papertape


def test_fills_carry_time_symbol_side_quantity_price_fee_and_order(run: Runner) -> None:
    (first, *_) = json.loads(run("show", "last", "--fills", "--json").out)
    assert first == {
        "ts": "2024-06-03T13:31:41.000000000Z",
        "symbol": "AAA",
        "side": "BUY",
        "quantity": 10.0,
        "price": 106.0,
        "fee": pytest.approx(1.0, abs=0.01),
        "order": 1,
        "ambiguous": False,
    }
    rows = list(csv.DictReader(io.StringIO(run("show", "last", "--fills", "--csv").out)))
    assert [row["ts"] for row in rows] == [
        "2024-06-03T13:31:41.000000000Z", "2024-06-03T13:32:31.000000000Z", "2024-06-03T13:35:01.000000000Z",
    ]  # fmt: skip
    assert [row["symbol"] for row in rows] == ["AAA", "BBB", "AAA"]


@pytest.mark.parametrize("name", LISTS)
def test_every_list_is_the_same_as_json_csv_and_text(run: Runner, name: str) -> None:
    as_json = json.loads(run("show", "last", f"--{name}", "--json").out)
    as_csv = list(csv.DictReader(io.StringIO(run("show", "last", f"--{name}", "--csv").out)))
    assert [[("" if value is None else str(value)) for value in row.values()] for row in as_json] == [
        list(row.values()) for row in as_csv
    ]
    text = run("show", "last", f"--{name}")
    assert text.status == 0
    assert text.out == "none\n" if not as_json else len(text.out.splitlines()) == len(as_json) + 1


def test_a_run_is_found_by_folder_start_end_and_last(run: Runner, here: Path) -> None:
    (folder,) = (here / "runs").iterdir()
    expected = run("show", "last").out.partition("stored in")[0]
    for name in (folder, folder / "run.sqlite", folder.name[:12], folder.name.rpartition("-")[2]):
        said = run("show", name)
        assert said.out.startswith(expected)
        assert folder.name in said.out


def test_a_start_that_two_runs_share_is_refused(run: Runner) -> None:
    assert run("backtest", "my_jumps.py", "--data", "tape").status == 0
    said = run("show", "20")
    assert said.status == 2
    assert "2 runs in runs begin so; name one, as " in said.error


def test_runs_are_listed_with_what_matters_most(run: Runner, here: Path) -> None:
    (folder,) = (here / "runs").iterdir()
    (listed,) = json.loads(run("runs", "--json").out)
    assert listed["run"] == folder.name
    assert listed["strategy"] == "Jumps"
    assert listed["orders_filled"] == 3
    assert folder.name[-6:] in run("runs").out


def test_a_damaged_run_does_not_hide_the_others(run: Runner, here: Path) -> None:
    (here / "runs" / "20200101T000000Z-x-backtest-000000").mkdir()
    (here / "runs" / "20200101T000000Z-x-backtest-000000" / "run.sqlite").write_text("no database")
    said = run("runs")
    assert said.status == 0
    assert "Jumps" in said.out
    assert "DAMAGED" in said.out
    assert "damaged: runs/20200101T000000Z-x-backtest-000000: not a run of papertape" in said.error


def test_show_prints_the_table_that_the_backtest_ended_with(papertape: Runner) -> None:
    said = papertape("backtest", "my_jumps.py", "--data", "tape").out
    table = said[said.index("Jumps  backtest") :]
    assert papertape("show", "last").out == table


cells = st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)


@given(st.lists(st.tuples(cells, cells), max_size=10))
def test_no_text_cell_of_a_csv_starts_a_formula(rows: list[tuple[object, object]]) -> None:
    text = csv_text((["a", "b"], [list(row) for row in rows]))
    found = list(csv.reader(io.StringIO(text + "\n", newline="")))[1:]
    assert len(found) == len(rows)
    for got, row in zip(found, rows, strict=True):
        for cell, value in zip(got, row, strict=True):
            if isinstance(value, str):
                assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
                assert cell.removeprefix("'") == value.removeprefix("'")
            elif value is not None:
                assert cell == str(value)


@given(st.text())
def test_shown_text_is_printable_and_plain_text_stays_as_it_is(text: str) -> None:
    assert clean(text).isprintable()
    if text.isprintable():
        assert clean(text) == text
