"""Random numbers of a strategy: from the run's seed and from nothing else."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from backtests.engine import run_tape
from backtests.settings import Settings
from feeds.load import DataOptions, load_tape
from papertape import Strategy, Trade, backtest, errors

S = 1_000_000_000
OPEN = 1_704_292_200 * S  # 2024-01-03 09:30 New York


class Gambler(Strategy):
    """Buys at a twentieth of the trades, by chance."""

    def on_start(self) -> None:
        self.subscribe(self.symbols)

    def on_trade(self, trade: Trade) -> None:
        if self.random.random() < 0.05:
            self.buy(trade.symbol, int(self.random.integers(1, 10)))


def tape() -> dict[str, Any]:
    n = 2000
    return {"X": {"ts": OPEN + np.arange(n) * S, "price": np.full(n, 10.0), "size": np.full(n, 100.0)}}


def quantities(**options: Any) -> list[float]:
    orders: list[float] = backtest(Gambler, tape(), **options).orders["quantity"].to_list()
    return orders


def test_the_same_seed_draws_the_same_numbers_whatever_the_program_has_drawn() -> None:
    first = quantities(seed=7)
    np.random.seed(1)  # noqa: NPY002  # the global generator that must not matter
    assert quantities(seed=7) == first
    assert len(first) > 50
    generator = np.random.default_rng(7)
    drawn = [int(generator.integers(1, 10)) for _ in range(2000) if generator.random() < 0.05]
    assert first == drawn[: len(first)]


def test_another_seed_draws_others_and_none_is_the_seed_0() -> None:
    assert quantities(seed=7) != quantities(seed=8)
    assert quantities() == quantities(seed=0)


def test_what_is_drawn_does_not_depend_on_how_the_tape_is_cut() -> None:
    loaded = load_tape(tape(), DataOptions())
    journals = {run_tape(Gambler(), loaded, Settings(seed=3), chunk=chunk).journal for chunk in (1, 61, 65_536)}
    assert len(journals) == 1


def test_before_the_run_there_is_no_seed_to_draw_from() -> None:
    with pytest.raises(errors.StrategyError, match="Gambler is not running"):
        Gambler().random.random()


def test_a_strategy_may_have_a_generator_or_parameter_of_that_name_itself() -> None:
    class Own(Gambler):
        def on_start(self) -> None:
            self.random = np.random.default_rng(5)
            super().on_start()

    class Named(Strategy):
        random: float = 0.5  # type: ignore[assignment]

    run = backtest(Own, tape(), seed=9)
    assert run.orders["quantity"].to_list() == quantities(seed=5)
    assert Named(random=0.25).parameter_values == {"random": 0.25}


def test_a_strategy_that_has_not_run_can_be_copied():
    made = Gambler()
    for copied in (copy.deepcopy(made), copy.copy(made)):
        assert copied.parameter_values == made.parameter_values
        with pytest.raises(errors.StrategyError, match="Gambler is not running"):
            copied.now  # noqa: B018
