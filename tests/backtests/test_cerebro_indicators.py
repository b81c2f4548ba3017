"""Every indicator that backtrader has gives the same values in backtrader alone and through papertape, to the last bit.

All of them stand in one strategy, which writes down each line of each at every bar. Backtrader computes indicators in one
of two ways, over whole columns or bar by bar, which differ for two of them; papertape has both, and both are held
against the same way of backtrader's.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
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
from papertape.core.model import EventKind
from papertape.core.series import Tape
from tests.backtests.plain_cerebro import ZONE, run_plain
from tests.e2e.conftest import DATA

pytestmark = pytest.mark.filterwarnings(
    r"ignore:datetime.*utc.* is deprecated:DeprecationWarning", "ignore::RuntimeWarning:backtrader"
)
IS_SOAK = bool(os.environ.get("PAPERTAPE_SOAK"))
BARS = 320 if IS_SOAK else 130
"""Bar by bar it takes long: ``make soak`` plays enough for every indicator."""
WITHOUT_VALUES = {"ZeroLagIndicatorEnvelope.top", "ZeroLagIndicatorEnvelope.bot"} | (set() if IS_SOAK else {"DV2.dv2"})
"""Lines that are never a number: two by the package itself, one that needs more bars."""
OF_TWO_DATAS = {"CrossDown", "CrossOver", "CrossUp", "NonZeroDifference"}
"""Indicators that compare two lines."""
NOT_BY_DEFAULT = {
    "ApplyN": "needs a function",
    "BaseApplyN": "a base of others",
    "CointN": "needs statsmodels",
    "ExponentialSmoothingDynamic": "needs a line as its alpha",
    "FindFirstIndex": "needs a function",
    "FindLastIndex": "needs a function",
    "Indicator": "the base of all",
    "MovingAverageBase": "a base of others",
    "OLS_BetaN": "needs a function that pandas no longer has",
    "OLS_Slope_InterceptN": "needs statsmodels",
    "OLS_TransformationN": "needs statsmodels",
    "OperationN": "a base of others",
    "Oscillator": "needs an indicator",
    "OscillatorMixIn": "a base of others",
    "PeriodN": "a base of others",
    "ReduceN": "needs a function",
}
"""Indicators that can not be made without more than data -> why."""


def indicators() -> dict[str, type[Any]]:
    """All indicator classes of the package by name, each once whatever its aliases are."""
    found = {}
    for name in dir(bt.indicators):
        each = getattr(bt.indicators, name)
        if isinstance(each, type) and issubclass(each, bt.Indicator) and not vars(each).get("aliased"):
            found[each.__name__] = each
    return found


def sweep(rows: list[list[float]], names: list[str]) -> type[Any]:
    """A strategy with all indicators, which writes down their values: one row a bar, one column a line."""
    known = indicators()

    class Sweep(bt.Strategy):  # type: ignore[misc]  # the package has no types
        def __init__(self) -> None:
            made = {
                name: each(self.data.close, self.data.open) if name in OF_TWO_DATAS else each()
                for name, each in sorted(known.items())
                if name not in NOT_BY_DEFAULT
            }
            self.found = [line for each in made.values() for line in each.lines]
            names[:] = [f"{name}.{line}" for name, each in made.items() for line in each.lines.getlinealiases()]

        def prenext(self) -> None:
            rows.append([line[0] if len(line) else math.nan for line in self.found])

        def next(self) -> None:
            self.prenext()

    return Sweep


def first_bars(tape: Tape, symbol: str) -> Tape:
    """The first bars of one symbol."""
    (series,) = (each for each in tape.series if each.kind is EventKind.BAR and each.symbol == symbol)
    assert series.start is not None
    columns = tuple(column[:BARS] for column in series.columns)
    cut = dataclasses.replace(series, ts=series.ts[:BARS], start=series.start[:BARS], columns=columns)
    return dataclasses.replace(tape, series=(cut,), actions=())


@pytest.fixture(params=["sample", "real"])
def tape(request: pytest.FixtureRequest, tmp_path: Any) -> Tape:
    """Minute bars of one symbol."""
    if request.param == "sample":
        write_sample(tmp_path / "sample", symbols=1, days=1, seed=11)
        sample = load_tape(tmp_path / "sample", DataOptions(cache=False))
        return first_bars(sample, sample.symbols[0])
    if not DATA.is_dir():
        pytest.skip("the folder of real data is not beside the repository")
    options = DataOptions(tz=ZONE, bar_stamp="close", cache=False)
    return first_bars(load_tape(f"{DATA}/eqker/JPM_1min.csv", options), "JPM")


@pytest.mark.parametrize("at_once", [True, False], ids=["over whole columns", "bar by bar"])
def test_every_indicator_has_the_same_values_in_backtrader_alone_and_through_papertape(
    tape: Tape, at_once: bool
) -> None:
    plain: list[list[float]] = []
    ours: list[list[float]] = []
    names: list[str] = []
    run_plain(sweep(plain, names), tape, tape.symbols, runonce=at_once)
    run_tape(hosted(sweep(ours, names))(preload=at_once), tape, Settings(), symbols=tape.symbols)
    wanted, found = np.array(plain), np.array(ours)
    assert wanted.shape == found.shape
    same = np.array([np.array_equal(a, b, equal_nan=True) for a, b in zip(wanted.T, found.T, strict=True)])
    assert [name for name, is_same in zip(names, same, strict=True) if not is_same] == []
    known = np.isfinite(wanted).any(axis=0)
    assert {name for name, is_known in zip(names, known, strict=True) if not is_known} == WITHOUT_VALUES
    assert len(names) > 170


def test_every_indicator_of_the_package_is_in_the_sweep_or_has_a_reason_not_to_be() -> None:
    assert NOT_BY_DEFAULT.keys() | OF_TWO_DATAS <= indicators().keys()
    assert len(indicators()) - len(NOT_BY_DEFAULT) > 110
    needing = [name for name, reason in NOT_BY_DEFAULT.items() if reason == "needs statsmodels"]
    assert len(needing) == 3
    assert importlib.util.find_spec("statsmodels") is None, "then these three can be in the sweep"
