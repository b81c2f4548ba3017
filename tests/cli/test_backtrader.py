"""Strategies written for backtrader from the command line: how they are named, what is refused, what is stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("backtrader", reason="backtrader is not installed: pip install '.[backtrader]'")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install '.[backtrader]'")

from feeds.load import DataOptions, load_tape
from gateway.threaded import SimulatedGateway
from papertape.testing import start_gateway
from tests.cli.conftest import write_trades
from tests.cli.trading_room import address, notes, only_run

if TYPE_CHECKING:
    from tests.cli.conftest import Runner, Said

SPEED = 5.0
THEIRS = '''
import backtrader as bt


class {name}(bt.Strategy):
    """Buys, and keeps an order that rests."""

    params = (("size", 10), ("at", 2), ("price", 1.0))

    def __init__(self):
        self.told = 0
        print("trades", self.p.size)

    def notify_order(self, order):
        print("heard", order.getstatusname(), order.created.size, order.created.price)

    def next(self):
        if len(self) == self.p.at and not self.position:
            self.buy(size=self.p.size)
            self.buy(size=1, exectype=bt.Order.Limit, price=self.p.price)
{more}
'''


def their_file(folder: Path, name: str = "theirs", more: str = "") -> Path:
    path = folder / f"{name}.py"
    path.write_text(THEIRS.replace("{name}", name.title()).replace("{more}", more))
    return path


@pytest.fixture
def data(here: Path) -> Path:
    folder = here / "tape"
    (folder / "BBB.csv").unlink()
    return folder


def backtest(papertape: Runner, *options: str, strategy: str = "theirs.py") -> Said:
    common = (strategy, "--framework", "backtrader", "--data", "tape", "--set", "bars=ticks")
    return papertape("backtest", *common, *options)


def test_a_backtrader_strategy_is_backtested_and_stored_as_any_other(papertape: Runner, here: Path, data: Path) -> None:
    their_file(here)
    said = backtest(papertape, "--set", "size=7")
    assert said.status == 0, said.error
    assert "Theirs" in said.out
    assert "heard Completed 7" in said.out
    record = only_run(here).record
    assert (record.strategy, record.mode) == ("Theirs", "backtest")
    assert record.fills["quantity"].tolist() == [7.0]
    assert record.settings["parameters"]["size"] == 7
    assert record.settings["parameters"]["bars"] == "ticks"
    assert record.code_hash


def test_it_is_compared_with_its_paper_run_in_lockstep(papertape: Runner, here: Path, data: Path) -> None:
    pytest.importorskip("ibapi")
    their_file(here)
    assert backtest(papertape, "--end", "2024-06-03T09:31").status == 0
    said = papertape("paper", "theirs.py:Theirs", "--framework", "backtrader", "--data", "tape", "--set", "bars=ticks", "--end", "2024-06-03T09:31", "--at-end", "keep")  # fmt: skip
    assert said.status == 0, said.error
    runs = sorted(str(each) for each in (here / "runs").iterdir())
    compared = papertape("compare", *runs)
    assert "differences: 0" in " ".join(compared.out.split()), compared.out


def test_its_parameters_can_be_a_grid(papertape: Runner, here: Path, data: Path) -> None:
    their_file(here)
    said = backtest(papertape, "--grid", "size=1,2", "--workers", "1")
    assert said.status == 0, said.error
    assert "grid of 2 runs" in said.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--set", "siz=3"), 'Theirs has no parameter "siz"; did you mean "size"'),
        (("--set", "size=many"), "size='many'"),
        (("--set", "backfill=-1"), "backfill='-1'"),
        (("--engine", "backtrader"), "a backtrader strategy has a Cerebro of its own; leave out engine backtrader"),
    ],
)
def test_a_parameter_that_is_wrong_is_said_in_one_line(
    options: tuple[str, ...], words: str, papertape: Runner, here: Path, data: Path
) -> None:
    their_file(here)
    said = backtest(papertape, *options)
    assert said.status == 2
    assert words in said.error, said.error
    assert len(said.error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("strategy", "framework", "words"),
    [
        ("theirs.py", (), "Theirs is written for backtrader; add --framework backtrader"),
        ("theirs.py:Theirs", (), "Theirs is written for backtrader; add --framework backtrader"),
        ("ours.py", ("--framework", "backtrader"), "Ours is written for papertape; leave out --framework backtrader"),
        ("sma_cross", ("--framework", "backtrader"), "sma_cross is written for papertape; leave out --framework"),
        ("theirs.py:Their", ("--framework", "backtrader"), 'has no class "Their"; did you mean "Theirs"'),
        ("none.py", ("--framework", "backtrader"), "none.py defines no backtrader strategy"),
        ("two.py", ("--framework", "backtrader"), "two.py defines One, Two; name one as two.py:One"),
    ],
)
def test_which_framework_a_file_needs_is_said_in_one_line(
    strategy: str, framework: tuple[str, ...], words: str, papertape: Runner, here: Path, data: Path
) -> None:
    their_file(here)
    (here / "ours.py").write_text("from papertape import Strategy\nclass Ours(Strategy):\n    pass\n")
    (here / "none.py").write_text("import backtrader as bt\n")
    (here / "two.py").write_text(
        "import backtrader as bt\nclass One(bt.Strategy): pass\nclass Two(bt.Strategy): pass\n"
    )
    said = papertape("backtest", strategy, *framework, "--data", "tape")
    assert said.status == 2
    assert words in said.error, said.error
    assert len(said.error.strip().splitlines()) == 1


@pytest.mark.parametrize("missing", ["backtrader", "greenlet"])
def test_without_the_package_one_line_says_what_to_install(
    missing: str, papertape: Runner, here: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    their_file(here)
    for name in [each for each in sys.modules if each.startswith(("backtests.cerebro", "brokers.backtrader_store"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    said = backtest(papertape)
    assert said.status == 2
    assert "pip install '.[backtrader]'" in said.error
    assert len(said.error.strip().splitlines()) == 1


def test_a_mistake_is_shown_with_its_line_and_where_in_the_run_it_was(
    papertape: Runner, here: Path, data: Path
) -> None:
    their_file(here, more="        if len(self) == 5:\n            self.nothing.there")
    said = backtest(papertape)
    assert said.status == 2
    assert "self.nothing.there" in said.error
    assert "AttributeError" in said.error
    assert "Theirs.next at 2" in said.error
    assert "cerebro" not in said.error


def test_a_module_can_be_named_too(papertape: Runner, here: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    their_file(here, "modular")
    monkeypatch.syspath_prepend(str(here))
    said = backtest(papertape, strategy="modular:Modular")
    assert said.status == 0, said.error


# -- at a TWS that goes on -------------------------------------------------------------------------------------------


@pytest.fixture
def gateway(here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("ibapi")
    monkeypatch.setenv("PAPERTAPE_STATE", str(tmp_path_factory.mktemp("state")))
    folder = tmp_path_factory.mktemp("tape")
    write_trades(folder / "AAA.csv", {100: 0.06})
    started = start_gateway(load_tape(folder, DataOptions(cache=False)), speed=SPEED)
    yield started
    started.stop()


def test_a_resumed_run_finds_its_position_and_its_order(
    papertape: Runner, here: Path, gateway: SimulatedGateway
) -> None:
    more = (
        "    def start(self):\n        print('starts with', self.position.size)\n\n"
        "    def notify_trade(self, trade):\n        print('trade', trade.isclosed, trade.size)\n"
    )
    their_file(here, more=more)
    common = ("theirs.py", "--framework", "backtrader", "--set", "bars=ticks", "--gateway", address(gateway), "--speed", str(SPEED), "--symbols", "AAA", "--duration", "8s", "--at-end", "keep")  # fmt: skip
    first = papertape("paper", *common)
    assert first.status == 0, first.error
    assert "heard Completed 10" in first.out
    said = papertape("paper", *common, "--resume", "last")
    assert said.status == 0, said.error
    assert "starts with 10" in said.out, said.out
    assert "heard Accepted 1 1.0" in said.out, said.out
    record = only_run(here).record
    assert record.fills["quantity"].tolist() == [10.0], "it holds already what it would have bought"
    assert notes(record)["resumed"].startswith("resumed once")
