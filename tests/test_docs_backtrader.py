"""The page on backtrader: both versions of its strategy do the same, also beside backtrader alone, and its table is right."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("backtrader", reason="backtrader is not installed: pip install '.[backtrader]'")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install '.[backtrader]'")

from backtests.cerebro_hosted import hosted
from feeds.load import DataOptions, load_tape
from feeds.sample import write_sample
from papertape import Run, Strategy, backtest, open_run
from papertape.cli.main import run as run_program
from papertape.core.series import Tape
from tests.backtests.plain_cerebro import run_plain
from tests.test_docs import ROOT, as_a_shell_reads, blocks, rows

PAGE = ROOT / "docs" / "backtrader.md"
THEIRS, OURS = "their_cross.py", "our_cross.py"
pytestmark = pytest.mark.filterwarnings(r"ignore:datetime.*utc.* is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like that of a reader: a sample, and the page's two files."""
    folder = tmp_path_factory.mktemp("page")
    write_sample(folder / "sample", symbols=10, days=3)
    python = [code for _, code in blocks(PAGE, "python")]
    (folder / THEIRS).write_text(next(code for code in python if "import backtrader as bt" in code), encoding="utf-8")
    (folder / OURS).write_text(next(code for code in python if "import Bar, Fill" in code), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tape(workplace: Path) -> Tape:
    """The sample's bars, of the symbols that cross most."""
    tape = load_tape(workplace / "sample" / "bars", DataOptions(cache=False))
    return dataclasses.replace(tape, actions=())


@pytest.fixture
def classes(workplace: Path) -> tuple[Any, type[Strategy]]:
    """Both classes of the page."""
    return class_in(workplace / THEIRS), class_in(workplace / OURS)


def class_in(path: Path) -> Any:
    """The class of a file, whose module is known by its name."""
    name = f"page_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Cross


def made(run: Run) -> tuple[list[Any], list[Any]]:
    """A run's orders and fills, without what each strategy calls itself."""
    orders = run.orders[["ts", "symbol", "side", "quantity", "type", "status", "average_price"]]
    fills = run.fills[["ts", "symbol", "side", "quantity", "price", "fee"]]
    return [tuple(map(str, row)) for row in orders.itertuples()], [tuple(map(str, row)) for row in fills.itertuples()]


def test_both_versions_of_the_pages_strategy_give_the_same_orders_and_fills(
    tape: Tape, classes: tuple[Any, type[Strategy]]
) -> None:
    fills = 0
    for symbol in tape.symbols[:4]:
        theirs = backtest(hosted(classes[0]), tape, symbols=[symbol])
        ours = backtest(classes[1], tape, symbols=[symbol])
        assert made(theirs) == made(ours)
        assert theirs.record.cash == ours.record.cash
        assert {"STOP", "LIMIT"} <= set(ours.orders["type"])
        fills += len(ours.fills)
    assert fills > 30


def test_backtrader_alone_gives_the_fills_of_the_pages_strategy(
    tape: Tape, classes: tuple[Any, type[Strategy]]
) -> None:
    fills = 0
    for symbol in tape.symbols[:4]:
        alone = run_plain(classes[0], tape, [symbol]).fills
        ours = backtest(classes[1], tape, symbols=[symbol], fees="none", limit_fill="touch").fills
        signed = [(abs(each.size), each.side.upper(), each.price) for each in alone]
        assert list(zip(ours["quantity"], ours["side"], ours["price"], strict=True)) == [
            (size, side, pytest.approx(price, abs=1e-9)) for size, side, price in signed
        ]
        fills += len(alone)
    assert fills > 30


def test_the_pages_commands_backtest_their_file_trade_it_on_paper_and_find_no_difference(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    lines = [line for _, text in blocks(PAGE, "sh") for line in text.splitlines()][:4]
    assert [line.split()[1] for line in lines] == ["sample", "backtest", "paper", "compare"]
    for line in lines[1:]:  # the sample is there
        assert run_program(as_a_shell_reads(line)[1:]) == 0, capsys.readouterr().err
        said = capsys.readouterr().out
        assert "Buy" in said or "compare" in line, "what their notify_order prints is seen"
    assert "the same, no difference in quantity, price, fee or second: " in " ".join(said.split())
    (theirs,) = (open_run(path) for path in Path("runs").glob("*-backtest-*"))
    ours = backtest(class_in(workplace / OURS), "sample", symbols=["ZIMAPA"], end="2024-06-03T11:30")
    assert made(theirs) == made(ours)
    assert len(ours.fills) >= 2


def test_the_table_of_the_page_names_what_both_have(classes: tuple[Any, type[Strategy]]) -> None:
    import backtrader as bt

    table = rows(PAGE, "Moving a strategy")
    assert len(table) > 40
    text = " ".join(cells[0] for cells in table)
    for name in ("buy_bracket", "order_target_percent", "add_timer", "setsizer", "cancel", "close", "notify_trade"):
        assert name in text
        assert hasattr(bt.Strategy, name)
    for name in ("bracket", "new_group", "at", "subscribe", "history", "record", "on_fill", "on_order", "on_bars"):
        assert any(f"{name}" in cells[1] + cells[2] for cells in table), name
        assert hasattr(Strategy, name)
