"""Tick momentum, on tapes that are worked out by hand and on random ones."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtests.engine import run_tape
from backtests.settings import Settings
from feeds.load import load_tape
from papertape import Instrument, Run, backtest, errors
from papertape.core.series import Tape
from strategies.tick_momentum import TickMomentum

OPEN = 1_704_983_400_000_000_000  # 2024-01-11 09:30 in New York
DAY = 86_400 * 1_000_000_000
SECOND = 1_000_000_000


def trades(prices: list[float], first_s: float = 0, each_s: float = 1, size: float = 100) -> dict[str, Any]:
    """Trades ``each_s`` apart, from ``first_s`` after the open of 2024-01-11."""
    seconds = first_s + each_s * np.arange(len(prices))
    return {
        "ts": OPEN + (seconds * SECOND).astype(np.int64),
        "price": np.array(prices),
        "size": np.full(len(prices), size),
    }


def fills(run: Run) -> list[tuple[str, float, float]]:
    return list(run.fills[["side", "quantity", "price"]].itertuples(index=False, name=None))


def with_average_volume(tape: Tape, **volumes: float) -> Tape:
    known = {name: Instrument(name, average_volume=value) for name, value in volumes.items()}
    return replace(tape, instruments=known, reference_columns=frozenset({"average_volume"}))


def test_a_jump_buys_five_a_second_one_three_more_and_a_drop_sells_five_at_the_next_trades_price() -> None:
    prices = [100, 106, 106.5, 112, 112.1, 105, 105.2, 98, 98.1]
    run = backtest(TickMomentum(universe=["X"]), {"X": trades(prices)}, fees="none")
    # 106/100 = +6 %; 112/106.5 = +5.16 %; 105/112.1 = -6.33 %; 98/105.2 = -6.8 %, with only 3 held
    assert fills(run) == [("BUY", 5.0, 106.5), ("BUY", 3.0, 112.1), ("SELL", 5.0, 105.2)]
    assert set(run.orders["type"]) == {"MARKET"}
    assert set(run.orders["tif"]) == {"DAY"}
    assert run.record.final_equity == pytest.approx(100_000 - 5 * 106.5 - 3 * 112.1 + 5 * 105.2 + 3 * 98.1)


def test_a_move_of_exactly_the_threshold_is_not_more_than_it() -> None:
    run = backtest(TickMomentum(universe=["X"], up=0.5, down=0.5), {"X": trades([100, 150, 75, 75])})
    assert fills(run) == []


def test_a_drop_without_a_position_sells_nothing() -> None:
    run = backtest(TickMomentum(universe=["X"]), {"X": trades([100, 90, 80, 70])})
    assert len(run.orders) == 0


def test_only_what_the_scan_found_is_followed_and_only_from_then_on() -> None:
    jumps = [100.0, 110, 110, 110]  # before the scan
    later = [100.0, 100, 110, 110.5]  # after it
    data = {
        name: [trades(jumps, size=size), trades(later, first_s=400, size=size)]
        for name, size in (("BIG", 900.0), ("MIDDLE", 500.0), ("SMALL", 100.0), ("RARE", 1000.0))
    }
    volumes = {"BIG": 2e6, "MIDDLE": 2e6, "SMALL": 2e6, "RARE": 1e6}  # not above 1,000,000
    tape = with_average_volume(_joined(data), **volumes)
    run = backtest(TickMomentum(top=2), tape, fees="none")
    assert run.log["text"].tolist() == ["most active: BIG, MIDDLE"]
    assert run.fills["symbol"].tolist() == ["BIG", "MIDDLE"]
    assert set(run.fills["price"]) == {110.5}
    assert run.scans["source"].unique().tolist() == ["derived"]


def _joined(data: dict[str, list[dict[str, Any]]]) -> Tape:
    return load_tape(
        {name: {key: np.concatenate([each[key] for each in parts]) for key in parts[0]} for name, parts in data.items()}
    )


def test_a_scan_that_needs_average_volumes_names_the_column_where_there_is_none() -> None:
    with pytest.raises(errors.ConfigError, match="average_volume"):
        backtest(TickMomentum(), {"X": trades([100.0, 101], each_s=600)})


def test_a_scan_in_every_session_adds_symbols_and_leaves_positions_and_filters_alone() -> None:
    day = DAY / SECOND
    held = [
        trades([100.0], size=900),
        trades([100.0, 110, 110], first_s=400),  # bought
        trades([110.0], first_s=day, size=1),  # next morning far less active
        trades([103.0, 103.0], first_s=day + 301),  # -6.4 % right after the second scan
    ]
    fresh = [trades([50.0], size=1), trades([50.0], first_s=day, size=900), trades([50.0, 60, 60], first_s=day + 400)]
    tape = with_average_volume(_joined({"HELD": held, "FRESH": fresh}), HELD=2e6, FRESH=2e6)
    run = backtest(TickMomentum(top=1, rescan=True), tape, fees="none")
    assert run.log["text"].tolist() == ["most active: HELD", "most active: FRESH"]
    found = list(run.fills[["symbol", "side", "price"]].itertuples(index=False, name=None))
    assert found == [("HELD", "BUY", 110.0), ("HELD", "SELL", 103.0), ("FRESH", "BUY", 60.0)]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"up": 0}, "up=0"), ({"down": 1}, "down=1"), ({"entry_quantity": 0}, "entry"), ({"upp": 0.1}, 'mean "up"')],
)
def test_parameters_out_of_bounds_are_refused_before_anything_runs(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.ConfigError, match=words):
        TickMomentum(**parameters)


moves = st.lists(st.sampled_from([0.8, 0.9, 0.93, 0.99, 1.0, 1.0, 1.01, 1.07, 1.12, 1.25]), min_size=2, max_size=60)
pauses = st.lists(st.sampled_from([0.0, 0.001, 0.4, 3.0]), min_size=60, max_size=60)


def random_tape(moves_of: list[list[float]], waits: list[float]) -> Tape:
    data = {}
    for name, steps in zip("AB", moves_of, strict=True):
        seconds = np.cumsum(waits[: len(steps)])
        price = np.round(100 * np.cumprod(steps), 2)
        data[name] = {
            "ts": OPEN + (seconds * SECOND).astype(np.int64),
            "price": np.maximum(price, 0.01),
            "size": np.full(len(steps), 100.0),
        }
    return load_tape(data)


@given(first=moves, second=moves, waits=pauses, latency=st.sampled_from(["0ms", "500ms", "5s"]))
def test_it_is_never_short_and_never_has_two_entries_in_flight(
    first: list[float], second: list[float], waits: list[float], latency: str
) -> None:
    tape = random_tape([first, second], waits)
    run = backtest(TickMomentum(universe=["A", "B"]), tape, latency=latency, cash=1e9)
    for _, made in run.fills.groupby("symbol"):
        signed = made["quantity"].where(made["side"] == "BUY", -made["quantity"])
        assert signed.cumsum().min() >= 0
    assert (run.positions["quantity"] >= 0).all()
    assert len(run.guard) == 0  # no order that had to be refused
    for _, given_ in run.orders[run.orders["quantity"] == 5].query("side == 'BUY'").groupby("symbol"):
        ended = given_["ts_final"].shift()
        assert (given_["ts"].iloc[1:] >= ended.iloc[1:]).all()


@given(first=moves, second=moves, waits=pauses, seed=st.integers(0, 2**32), latency=st.sampled_from(["0ms", "1s"]))
def test_the_journal_is_the_same_however_the_tape_is_cut_into_batches(
    first: list[float], second: list[float], waits: list[float], seed: int, latency: str
) -> None:
    tape = random_tape([first, second], waits)
    chance = random.Random(seed)
    pieces: list[Any] = [65_536, 1, 3, lambda: chance.randint(1, 9)]
    journals = [
        run_tape(
            TickMomentum(universe=["A", "B"]), tape, Settings(latency=latency), chunk=each, keep_prices=True
        ).journal
        for each in pieces
    ]
    assert journals[1:] == journals[:1] * 3
