"""`papertape compare`: what it prints for two runs, for a few and for many, and what it loads to do so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def stored(papertape, here):
    """Ids of three runs that were made one after the other: as it is, with slippage, with slippage and less to buy."""
    ids = []
    for more in ([], ["--slippage", "0.01"], ["--slippage", "0.01", "--set", "quantity=5"]):
        said = papertape("backtest", "my_jumps.py", "--data", "tape", "--json", *more)
        assert said.status == 0, said.error
        ids.append(json.loads(said.out)["run"].rpartition("-")[2])
    return ids


@pytest.fixture
def many(papertape, stored):
    """Ids of five runs."""
    ids = list(stored)
    for quantity in (100, 200):
        said = papertape("backtest", "my_jumps.py", "--data", "tape", "--json", "--set", f"quantity={quantity}")
        ids.append(json.loads(said.out)["run"].rpartition("-")[2])
    return ids


def test_two_runs_stand_beside_each_other_with_their_difference_and_its_causes(papertape, stored):
    said = papertape("compare", stored[0], stored[1])
    assert said.status == 0
    assert f"{stored[1]}: differs from the base in slippage alone" in said.out
    assert "the slippage differs" in said.out
    assert "exactly the sum of these" in said.out
    assert f"Why {stored[1]} differs from {stored[0]}" in said.out


def test_tables_fit_eighty_columns_and_hold_no_styles_when_piped(papertape, stored, many):
    for runs in (stored[:2], stored, many):
        said = papertape("compare", *runs)
        lines = said.out.splitlines()
        tables = [line for line in lines if re.search(r"\S {2,}\S", line) and "written" not in line]
        assert len(tables) > 8
        assert [line for line in tables if len(line) > 80] == []
        assert "\x1b" not in said.out


def test_the_causes_of_slippage_are_its_price(papertape, stored):
    found = json.loads(papertape("compare", stored[0], stored[1], "--json").out)
    causes = found["pairing"]["causes"]
    assert causes["price"] < 0.0
    assert sum(causes.values()) == pytest.approx(found["pairing"]["difference"], abs=1e-9)
    profits = found["metrics"]["net_profit"]["values"]
    assert found["pairing"]["difference"] == pytest.approx(profits[1] - profits[0])
    assert found["pairing"]["orders"] == {"matched": 3, "only_a": 0, "only_b": 0}


def test_the_base_can_be_another_run_and_is_added_where_it_is_not_named(papertape, stored):
    found = json.loads(papertape("compare", stored[0], stored[1], "--base", stored[1], "--json").out)
    assert found["base"].endswith(stored[1])
    assert found["metrics"]["net_profit"]["differences"][1] == 0.0
    added = json.loads(papertape("compare", stored[0], stored[1], "--base", stored[2], "--json").out)
    assert [run["name"].rpartition("-")[2] for run in added["runs"]] == [stored[2], stored[0], stored[1]]


def test_many_runs_are_rows_the_best_first(papertape, many):
    said = papertape("compare", *many)
    rows = [line.split() for line in said.out.splitlines()]
    listed = [row for row in rows if row and row[0] in many and "%" in " ".join(row)]
    returns = [float(next(word for word in row[1:] if re.fullmatch(r"-?[\d.]+", word))) for row in listed]
    assert len(listed) == 5
    assert returns == sorted(returns, reverse=True)
    assert len(set(returns)) > 2


def test_a_page_is_written_where_it_is_asked_for(papertape, stored, here):
    said = papertape("compare", *stored, "--html", "compared.html")
    assert said.out.rstrip().endswith("written to compared.html")
    assert "Content-Security-Policy" in (here / "compared.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["last"], "a comparison needs two runs or more"),
        (["last", "nothing"], "nothing: no such run in runs"),
        (["last", "last", "--tolerance", "-1"], "0 to 86400 is needed"),
        (["last", "last", "--html", "no/such/folder.html"], "cannot be written"),
    ],
)
def test_a_mistake_is_one_clear_line(papertape, stored, arguments, message):
    said = papertape("compare", *arguments)
    assert said.status == 2
    assert message in said.error
    assert said.error.count("\n") == 1


def test_comparing_loads_neither_numba_nor_pandas_nor_bokeh(stored, here):
    program = (
        "import sys; from papertape.cli.main import run;"
        "status = run(['compare', *sys.argv[1:], '--html', 'out.html']);"
        "print(status, sorted({'numba', 'pandas', 'bokeh'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *stored[:2]],
        cwd=here, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.strip() == "0 []"
