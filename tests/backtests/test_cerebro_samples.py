"""Strategies written for backtrader give the same in backtrader alone and through papertape, on the same recorded bars.

The settings are those under which the two fill models agree (docs/backtrader.md): no fees, a limit filled by a touch, an
account that may be short. Everything that a strategy can hear is compared: each notification of an order and a trade, and
cash, value and positions at every bar.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("backtrader", reason="backtrader is not installed: pip install '.[backtrader]'")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install '.[backtrader]'")


import backtrader as bt

from backtests.cerebro_hosted import hosted
from backtests.engine import run_tape
from backtests.settings import Settings
from feeds.load import DataOptions, load_tape
from feeds.sample import write_sample
from papertape import open_run
from papertape.cli.main import run as run_program
from papertape.core.model import EventKind
from papertape.core.record import RunRecord
from papertape.core.series import Tape
from tests.backtests import backtrader_strategies as theirs
from tests.backtests.plain_cerebro import ZONE, Heard, OrderHeard, TradeHeard, listening, run_plain

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.filterwarnings(r"ignore:datetime.*utc.* is deprecated:DeprecationWarning:backtrader")
MONEY = 1e-6
"""What sums of cash may differ by: they are added up in another order."""
SYMBOLS = {"sample": ("ZABABA", "ZUSETE"), "minutes": ("SPY", "JPM"), "days": ("SPY", "JPM")}


def with_bars_only(tape: Tape, symbols: Sequence[str]) -> Tape:
    """The bars of some symbols, in regular hours, so that bars are what moves the market."""
    kept = [each for each in tape.series if each.kind is EventKind.BAR and each.symbol in symbols]
    return dataclasses.replace(tape, series=tuple(kept), actions=())


def real(length: str) -> Tape:
    """Recorded bars of two symbols."""
    if not DATA.is_dir():
        pytest.skip("the folder of real data is not beside the repository")
    options = DataOptions(tz=ZONE, bar_stamp="close", cache=False)
    return with_bars_only(
        load_tape([f"{DATA}/eqker/{name}_{length}.csv" for name in ("SPY", "JPM")], options), ("SPY", "JPM")
    )


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The generated sample, and real bars of a minute and of a day."""
    folder = tmp_path_factory.mktemp("bars") / "sample"
    write_sample(folder, symbols=2, days=2, seed=7)
    sample = load_tape(folder, DataOptions(cache=False))
    assert set(sample.symbols) == set(SYMBOLS["sample"])
    made = {"sample": lambda: with_bars_only(sample, SYMBOLS["sample"])}
    return {**made, "minutes": lambda: real("1min"), "days": lambda: real("daily")}


def run_hosted(
    strategy: type[Any], tape: Tape, symbols: Sequence[str], parameters: Mapping[str, Any] | None = None, **host: Any
) -> tuple[Heard, RunRecord]:
    """Run the class through papertape: what it heard, and the run's record."""
    heard = Heard()
    settings = Settings(fees="none", limit_fill="touch", margin=4.0)  # type: ignore[arg-type]  # texts are taken too
    run = hosted(listening(strategy, heard))(allow_short=True, **(parameters or {}), **host)
    return heard, run_tape(run, tape, settings, symbols=list(symbols))


def by_order(heard: Heard) -> dict[int, list[OrderHeard]]:
    """The notifications of each order. Those of one bar about different orders may come in another order."""
    found: dict[int, list[OrderHeard]] = {}
    for each in heard.orders:
        found.setdefault(each.order, []).append(each)
    return found


def by_symbol(heard: Heard) -> dict[str, list[TradeHeard]]:
    """The notifications of each symbol's trades."""
    found: dict[str, list[TradeHeard]] = {}
    for each in heard.trades:
        found.setdefault(each.symbol, []).append(each)
    return found


def assert_same(plain: Heard, ours: Heard) -> None:
    """Nothing that was heard differs, but for orders of the last bar: backtrader alone ends before it tells of them."""
    wanted, found = by_order(plain), by_order(ours)
    for number in found.keys() - wanted.keys():
        assert {(each.when, each.executed) for each in found.pop(number)} == {(plain.bars[-1].when, 0)}
    assert found.keys() == wanted.keys()
    for number, told in wanted.items():
        assert [each[:6] for each in found[number]] == [each[:6] for each in told]
        assert [each[6:] for each in found[number]] == [pytest.approx(each[6:], abs=MONEY) for each in told]
    assert by_symbol(ours).keys() == by_symbol(plain).keys()
    for symbol, trades in by_symbol(plain).items():
        assert [each[:4] for each in by_symbol(ours)[symbol]] == [each[:4] for each in trades]
        assert [each[4:] for each in by_symbol(ours)[symbol]] == [pytest.approx(each[4:], abs=MONEY) for each in trades]
    assert [each[:2] for each in ours.bars] == [each[:2] for each in plain.bars]
    found_money, wanted_money = (np.array([each[2:] for each in heard.bars]) for heard in (ours, plain))
    np.testing.assert_allclose(found_money, wanted_money, rtol=0.0, atol=MONEY)
    assert ours.timers == plain.timers


CASES = [
    ("SmaCross", "sample", {}, 10),
    ("SmaCross", "minutes", {}, 40),
    ("SmaCross", "days", {"fast": 3, "slow": 9}, 20),
    ("RsiReversal", "minutes", {}, 40),
    ("RsiReversal", "days", {}, 5),
    ("BollingerTouch", "sample", {}, 10),
    ("BollingerTouch", "minutes", {}, 40),
    ("MacdTarget", "minutes", {}, 40),
    ("MacdTarget", "days", {}, 5),
    ("AtrTrail", "sample", {}, 10),
    ("AtrTrail", "minutes", {}, 40),
    ("Brackets", "minutes", {}, 10),
    ("OcoEntries", "sample", {}, 10),
    ("OcoEntries", "minutes", {}, 20),
    ("Pair", "minutes", {}, 40),
    ("TimedEntries", "minutes", {}, 8),
    ("WarmUp", "minutes", {}, 40),
    ("WarmUp", "days", {}, 10),
    ("HeikinTurn", "minutes", {}, 40),
    ("ValueTarget", "minutes", {}, 20),
    ("ValueTarget", "days", {"every": 7}, 20),
]


@pytest.mark.parametrize(("name", "data", "parameters", "fills"), CASES, ids=[f"{each[0]}-{each[1]}" for each in CASES])
def test_a_strategy_hears_the_same_in_backtrader_alone_and_through_papertape(
    tapes: Mapping[str, Any], name: str, data: str, parameters: dict[str, Any], fills: int
) -> None:
    tape, strategy = tapes[data](), getattr(theirs, name)
    symbols = SYMBOLS[data] if name == "Pair" else SYMBOLS[data][:1]
    plain = run_plain(strategy, tape, symbols, parameters=parameters)
    ours, record = run_hosted(strategy, tape, symbols, parameters)
    assert_same(plain, ours)
    assert len(plain.fills) >= fills
    assert len(record.fills["ts"]) == len(plain.fills)


@pytest.mark.parametrize("data", ["sample", "minutes", "days"])
def test_backtraders_own_packaged_strategy_hears_the_same(tapes: Mapping[str, Any], data: str) -> None:
    tape, symbols = tapes[data](), SYMBOLS[data][:1]
    parameters = {"fast": 4, "slow": 9}
    plain = run_plain(bt.strategies.MA_CrossOver, tape, symbols, parameters=parameters)
    ours, _ = run_hosted(bt.strategies.MA_CrossOver, tape, symbols, parameters)
    assert_same(plain, ours)
    assert len(plain.fills) > 10


def test_backtraders_own_file_runs_by_the_command_with_the_fills_that_it_has_alone(
    tapes: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = run_plain(bt.strategies.MA_CrossOver, tapes["minutes"](), ["SPY"])
    monkeypatch.chdir(tmp_path)
    source = Path(bt.strategies.__file__).with_name("sma_crossover.py")
    command = f"backtest {source}:MA_CrossOver --framework backtrader --data {DATA}/eqker/SPY_1min.csv"
    status = run_program([*command.split(), "--bar-stamp", "close", "--tz", ZONE, "--fees", "none", "--no-cache"])
    assert status == 0, capsys.readouterr().err
    (folder,) = (tmp_path / "runs").iterdir()
    run = open_run(folder)
    assert run.manifest["strategy"] == "MA_CrossOver"
    made = list(zip(run.fills["side"], run.fills["quantity"], run.fills["price"], strict=True))
    assert made == [(each.side.upper(), abs(each.size), pytest.approx(each.price, abs=1e-9)) for each in plain.fills]
    assert len(made) > 50


@pytest.mark.parametrize(
    "name", ["SmaCross", "Brackets", "Pair"]
)  # one by one, what is heard of orders is heard earlier
def test_bars_that_come_one_by_one_give_the_fills_of_bars_that_are_known_beforehand(
    tapes: Mapping[str, Any], name: str
) -> None:
    symbols = SYMBOLS["minutes"] if name == "Pair" else SYMBOLS["minutes"][:1]
    runs = [
        run_hosted(getattr(theirs, name), tapes["minutes"](), symbols, preload=preload) for preload in (True, False)
    ]
    (at_once, all_fills), (by_bar, each_fill) = ((heard, record.fills) for heard, record in runs)
    assert {key: list(column) for key, column in all_fills.items()} == {
        key: list(column) for key, column in each_fill.items()
    }
    assert at_once.bars == by_bar.bars
    assert len(all_fills["ts"]) > 10
