"""The example notebook in docs/ is kept executed: what it shows is what it does now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "example.ipynb"
BYTES_MAX = 60_000


def shown(output: Any) -> dict[str, str]:
    """What a reader sees of one output: its kind of text -> the text."""
    assert output.output_type != "error", output
    return {"stream": output.text} if output.output_type == "stream" else dict(output.data)


@pytest.fixture(scope="module")
def kept() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed() -> Any:
    spec = importlib.util.spec_from_file_location("execute_example", ROOT / "docs" / "execute_example.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.executed()


def test_every_output_of_the_notebook_still_holds(kept: Any, executed: Any) -> None:
    pairs = [(a, b) for a, b in zip(kept.cells, executed.cells, strict=True) if a.cell_type == "code"]
    assert len(pairs) > 5
    for was, now in pairs:
        assert [shown(each) for each in now.outputs] == [shown(each) for each in was.outputs], was.source


def test_every_cell_of_the_notebook_shows_something(kept: Any) -> None:
    silent = [cell.source for cell in kept.cells if cell.cell_type == "code" and not cell.outputs]
    assert silent == []


def test_the_notebook_is_small_and_asks_nothing_of_the_network(kept: Any) -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < BYTES_MAX
    assert "http" not in text
