"""Runs side by side: what is best, what differs, what a difference can be put down to, and whether it is chance."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtests.compare.bootstrap import block_length, paired_difference
from backtests.compare.comparison import Comparison, correlations, make_comparison
from backtests.compare.content import difference_text, overview_table, warning_texts
from backtests.compare.curves import curve_of, decimated
from backtests.compare.opening import compare
from backtests.compare.plain import comparison_json
from backtests.definitions import DEFINITION_OF, DEFINITIONS
from papertape import Comparison as PublicComparison
from papertape import compare as public_compare
from papertape.core.errors import ConfigError, DataError
from papertape.core.record import (
    FILL_COLUMNS,
    ORDER_COLUMNS,
    POSITION_COLUMNS,
    Drawdown,
    RunRecord,
    empty_columns,
)
from papertape.runs import Run
from papertape.store import POINT_COLUMNS, load_outline, load_record, save_run

S = 1_000_000_000
DAY = 86_400 * S
T0 = 1_704_292_200 * S
FIRST_DATE = 19_725


def a_run(equity: list[float] | None = None, first: int = 0, **changes: Any) -> RunRecord:
    """A run of daily equity from 100, a value a session, the first session ``first`` days after the others' first."""
    values = np.array([101.0, 102.0] if equity is None else equity)
    dates = FIRST_DATE + first + np.arange(len(values))
    ts = T0 + (first + np.arange(len(values))) * DAY + 23_400 * S
    start = T0 + first * DAY
    fields: dict[str, Any] = {
        "strategy": "Sma", "mode": "backtest", "start": T0, "end": T0 + 400 * DAY, "events": 9, "currency": "USD",
        "starting_equity": 100.0, "final_equity": float(values[-1]), "cash": {"USD": float(values[-1])},
        "orders": empty_columns(ORDER_COLUMNS), "fills": empty_columns(FILL_COLUMNS),
        "positions": empty_columns(POSITION_COLUMNS), "points": empty_columns(POINT_COLUMNS),
        "equity": {"ts": ts, "last": values, "low": values - 1.0, "high": values + 1.0},
        "daily": {"date": dates, "ts": ts, "equity": values, "benchmark": np.full(len(values), np.nan)},
        "drawdown": Drawdown(0.0, 0, 0, 0, 100.0, 100.0), "time_in_market_ns": 0,
        "metrics": {each.key: None for each in DEFINITIONS} | {"net_profit": float(values[-1]) - 100.0, "trades": 3.0},
        "settings": {"parameters": {"fast": 5}, "cash": 100.0, "fees": "ib-fixed", "slippage": "0", "latency": "0ms",
                     "guard": {"max_drawdown": None}},
        "fingerprint": "aaaa", "code_hash": "cccc", "versions": {"numpy": "2.0", "python": "3.11"},
    }  # fmt: skip
    return RunRecord(**{**fields, "start": start, **changes})


def with_settings(record: RunRecord, **changes: Any) -> RunRecord:
    return replace(record, settings={**record.settings, **changes})


def with_metric(record: RunRecord, **values: float | None) -> RunRecord:
    return replace(record, metrics={**record.metrics, **values})


def compared(*records: RunRecord, base: int = 0) -> Comparison:
    return make_comparison(records, [f"run-{k}" for k in range(len(records))], base)


# --- metrics --------------------------------------------------------------------------------------------------------


def test_a_difference_is_the_value_less_that_of_the_base() -> None:
    comparison = compared(a_run([110.0]), a_run([104.0]), base=1)
    assert comparison.row("net_profit").values == (10.0, 4.0)
    assert comparison.row("net_profit").differences == (6.0, 0.0)


def test_what_one_of_the_two_does_not_know_has_no_difference() -> None:
    runs = compared(with_metric(a_run(), sharpe=None), with_metric(a_run(), sharpe=1.5))
    assert runs.row("sharpe").differences == (None, None)
    assert runs.row("sharpe").best == ()


@pytest.mark.parametrize(
    ("key", "values", "best"),
    [
        ("sharpe", (1.0, 3.0, 2.0), (1,)),
        ("volatility", (0.3, 0.1, 0.2), (1,)),
        ("max_drawdown", (-0.3, -0.1, -0.2), (1,)),
        ("trades", (1.0, 2.0, 3.0), ()),
        ("sharpe", (2.0, 2.0 + 1e-13, 1.0), (0, 1)),
        ("sharpe", (2.0, 2.0 + 1e-13, 2.0), ()),
        ("sharpe", (2.0, None, 1.0), (0,)),
        ("sharpe", (2.0, None, None), ()),
    ],
)
def test_the_best_is_marked_in_the_direction_that_is_better(
    key: str, values: tuple[float | None, ...], best: tuple[int, ...]
) -> None:
    runs = [with_metric(a_run(), **{key: value}) for value in values]
    assert compared(*runs).row(key).best == best


def test_money_of_several_currencies_is_neither_subtracted_nor_best() -> None:
    row = compared(a_run([110.0]), a_run([120.0], currency="EUR")).row("net_profit")
    assert row.differences == (None, None)
    assert row.best == ()


def test_differences_say_their_sign_and_unit_and_nothing_for_rounding() -> None:
    assert difference_text(DEFINITION_OF["total_return"], 0.0123) == "+1.23 pp"
    assert difference_text(DEFINITION_OF["total_return"], -1e-9) == "0.00 pp"
    assert difference_text(DEFINITION_OF["net_profit"], -1234.5) == "-1,234.50"
    assert difference_text(DEFINITION_OF["net_profit"], -0.001) == "0.00"
    assert difference_text(DEFINITION_OF["average_duration_s"], -90.0) == "-1.5 min"
    assert difference_text(DEFINITION_OF["sharpe"], None) == "n/a"


# --- inputs ---------------------------------------------------------------------------------------------------------


def test_one_input_that_differs_makes_the_result_attributable() -> None:
    other = with_settings(a_run(), parameters={"fast": 7})
    run = compared(a_run(), other).runs[1]
    assert run.differs_in == ("parameters.fast",)
    assert run.attributable_to == "parameters.fast"


def test_two_inputs_that_differ_do_not() -> None:
    other = with_settings(a_run(), parameters={"fast": 7}, fees="none")
    run = compared(a_run(), other).runs[1]
    assert set(run.differs_in) == {"parameters.fast", "fees"}
    assert run.attributable_to is None


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"fingerprint": "bbbb"}, "data"),
        ({"end": T0 + 5 * DAY}, "window"),
        ({"starting_equity": 50.0}, "cash"),
        ({"mode": "paper"}, "mode"),
        ({"currency": "EUR"}, "currency"),
        ({"code_hash": "dddd"}, "code"),
        ({"versions": {"numpy": "2.1", "python": "3.12"}}, "versions"),
    ],
)
def test_each_input_of_a_run_is_told_from_the_others(changes: dict[str, Any], key: str) -> None:
    record = replace(a_run(), **changes)
    if key == "cash":
        record = with_settings(record, cash=50.0)
    assert compared(a_run(), record).runs[1].differs_in == (key,)


def test_another_strategy_is_one_input_with_its_code_and_parameters() -> None:
    other = replace(with_settings(a_run(), parameters={"up": 0.1}), strategy="Jumps", code_hash="dddd")
    assert compared(a_run(), other).runs[1].attributable_to == "strategy"


def test_a_parameter_that_only_one_of_the_strategies_has_is_said_to_be_missing_in_the_other() -> None:
    other = with_settings(a_run(), parameters={"universe": None})
    found = {each.key: each.values for each in compared(a_run(), other).differences}
    assert found["parameters.universe"] == ("no such parameter", None)


def test_an_unknown_input_is_equal_to_none_and_attributes_nothing() -> None:
    run = compared(a_run(code_hash=""), a_run(code_hash="")).runs[1]
    assert run.differs_in == ("code",)
    assert run.attributable_to is None


def test_runs_of_the_same_inputs_differ_in_nothing() -> None:
    comparison = compared(a_run(), with_settings(a_run(), cash=100))
    assert comparison.differences == ()
    assert comparison.notes == ()


@pytest.mark.parametrize("name", ["fees", "slippage", "latency", "limit_fill", "margin"])
def test_what_makes_results_hard_to_compare_is_said_loudly(name: str) -> None:
    comparison = compared(a_run(), a_run(), with_settings(a_run(), **{name: "other"}))
    (note,) = comparison.notes
    assert note.key == name
    assert note.runs == (2,)
    assert any("other" in text for text in warning_texts(comparison))


def test_runs_that_are_all_of_a_synthetic_tape_say_so() -> None:
    assert any("SYNTHETIC" in text for text in warning_texts(compared(a_run(synthetic=True), a_run(synthetic=True))))


# --- curves ---------------------------------------------------------------------------------------------------------

EQUITIES = st.lists(st.floats(10.0, 200.0), min_size=1, max_size=60)


@given(EQUITIES, st.integers(1, 30))
def test_decimating_keeps_lows_highs_and_the_last_value(equity: list[float], points: int) -> None:
    columns = a_run(equity).equity
    thin = decimated(columns, points)
    assert len(thin["ts"]) <= points
    assert thin["low"].min() == columns["low"].min()
    assert thin["high"].max() == columns["high"].max()
    assert thin["last"][-1] == columns["last"][-1]
    assert thin["ts"][-1] == columns["ts"][-1]


@given(EQUITIES, st.integers(2, 30))
def test_a_curve_starts_at_nothing_and_is_never_deeper_than_the_run_was(equity: list[float], points: int) -> None:
    record = a_run(equity)
    curve = curve_of(record, points)
    assert curve.growth[0] == curve.depth[0] == 0.0
    assert curve.growth[-1] == equity[-1] / 100.0 - 1.0
    highs = np.maximum.accumulate(np.concatenate(([100.0], record.equity["high"])))[1:]
    deepest = float((record.equity["low"] / highs).min()) - 1.0
    assert curve.depth.min() >= min(deepest, 0.0) - 1e-12
    assert curve.depth.max() <= 0.0
    assert (np.diff(curve.ts) >= 0).all()


# --- daily returns --------------------------------------------------------------------------------------------------


def walk(seed: int, days: int = 60) -> list[float]:
    steps = np.random.default_rng(seed).normal(0.001, 0.01, days)
    return [float(each) for each in 100.0 * np.cumprod(1.0 + steps)]


def test_correlations_are_those_of_numpy_where_all_days_are_common() -> None:
    returns = np.random.default_rng(1).normal(0.0, 0.01, (5, 80))
    np.testing.assert_allclose(correlations(returns), np.corrcoef(returns), atol=1e-12)


def test_correlations_are_over_the_days_that_both_have() -> None:
    returns = np.random.default_rng(2).normal(0.05, 0.01, (3, 80))
    returns[0, :30] = np.nan
    returns[1, 60:] = np.nan
    returns[2, 10:] = np.nan
    found = correlations(returns)
    common = slice(30, 60)
    assert found[0, 1] == pytest.approx(np.corrcoef(returns[0, common], returns[1, common])[0, 1], abs=1e-9)
    assert math.isnan(found[0, 2])
    assert math.isnan(found[1, 2])


def test_returns_that_do_not_vary_correlate_with_nothing() -> None:
    returns = np.vstack((np.full(40, 0.001), np.random.default_rng(3).normal(0.0, 0.01, 40)))
    assert math.isnan(correlations(returns)[0, 1])


def test_a_daily_difference_is_of_common_sessions_only() -> None:
    equity = walk(1, 60)
    comparison = compared(a_run(equity), a_run(walk(2, 60), first=25))
    found = comparison.runs[1].daily_difference
    assert found is not None
    assert found.sessions == 35
    a = np.diff(equity) / equity[:-1]
    other = walk(2, 60)
    b = np.concatenate(([other[0] / 100.0 - 1.0], np.diff(other) / other[:-1]))
    assert found.mean == pytest.approx((b[:35] - a[24:59]).mean())


def test_few_sessions_say_nothing_of_chance() -> None:
    assert paired_difference(np.ones(19), np.zeros(19)) is None
    assert paired_difference(np.ones(20), np.zeros(20)) is not None


def test_equal_runs_differ_by_exactly_nothing() -> None:
    returns = np.random.default_rng(4).normal(0.0, 0.01, 50)
    found = paired_difference(returns, returns)
    assert found is not None
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)
    assert not found.is_beyond_chance


def test_a_seed_gives_one_interval_and_another_seed_another() -> None:
    a, b = np.random.default_rng(5).normal(0.0, 0.01, (2, 100))
    assert paired_difference(a, b, seed=1) == paired_difference(a, b, seed=1)
    assert paired_difference(a, b, seed=1) != paired_difference(a, b, seed=2)


def test_a_constant_difference_has_an_interval_of_no_width() -> None:
    base = np.random.default_rng(6).normal(0.0, 0.01, 47)
    found = paired_difference(base + 0.002, base)
    assert found is not None
    assert found.low == pytest.approx(0.002)
    assert found.high == pytest.approx(0.002)
    assert found.is_beyond_chance


def test_the_interval_of_independent_days_is_that_of_the_normal_distribution() -> None:
    difference = np.random.default_rng(7).normal(0.0, 0.01, 1_000)
    found = paired_difference(difference, np.zeros(1_000), resamples=4_000)
    assert found is not None
    assert found.block == block_length(1_000) == 10
    error = 1.96 * difference.std() / math.sqrt(1_000)
    assert found.high - found.low == pytest.approx(2.0 * error, rel=0.12)


def test_days_that_hang_together_have_a_wider_interval_than_the_same_days_shuffled() -> None:
    random = np.random.default_rng(8)
    noise = random.normal(0.0, 0.01, 1_200)
    hanging = np.convolve(noise, np.ones(8), "valid")
    shuffled = random.permutation(hanging)
    zero = np.zeros(len(hanging))
    wide, narrow = paired_difference(hanging, zero), paired_difference(shuffled, zero)
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > 1.7 * (narrow.high - narrow.low)


def test_an_interval_leaves_out_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(9)
    misses = 0
    for _ in range(200):
        found = paired_difference(random.normal(0.0, 0.01, 250), np.zeros(250), resamples=400)
        assert found is not None
        misses += found.is_beyond_chance
    assert 3 <= misses <= 24  # 5 % of 200 is 10; blocks of few days miss somewhat more often


# --- opening --------------------------------------------------------------------------------------------------------


def test_an_outline_is_the_run_without_its_rows(tmp_path: Path) -> None:
    record = a_run(walk(1, 50))
    path = save_run(record, tmp_path)
    whole, outline = load_record(path), load_outline(path, points=1_000)
    for name in (
        "strategy",
        "start",
        "end",
        "settings",
        "fingerprint",
        "metrics",
        "drawdown",
        "starting_equity",
        "notes",
    ):
        assert getattr(outline, name) == getattr(whole, name)
    for table in ("equity", "daily"):
        for name, column in getattr(whole, table).items():
            np.testing.assert_array_equal(getattr(outline, table)[name], column)


@pytest.mark.parametrize("points", [1, 7, 50])
def test_the_equity_of_an_outline_is_decimated_as_in_memory(tmp_path: Path, points: int) -> None:
    record = a_run(walk(1, 50))
    outline = load_outline(save_run(record, tmp_path), points=points)
    for name, column in decimated(record.equity, points).items():
        np.testing.assert_array_equal(outline.equity[name], column)


def test_runs_can_be_given_in_memory_and_by_path(tmp_path: Path) -> None:
    first, second = a_run(walk(1)), with_settings(a_run(walk(2)), fees="none")
    path = save_run(second, tmp_path)
    comparison = compare(Run(first), path)
    assert [run.name for run in comparison.runs] == ["Sma-1", path.name]
    assert comparison.runs[1].attributable_to == "fees"
    assert compare(first, str(path), base=str(path)).base == 1
    assert public_compare(first, second, base=second).base == 1
    assert isinstance(comparison, PublicComparison)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare(a_run()), "a comparison needs two runs or more"),
        (lambda: compare(*[a_run()] * 201), "at most 200"),
        (lambda: compare(a_run(), a_run(), base=2), "numbered 0 to 1"),
        (lambda: compare(a_run(), a_run(), base=a_run()), "not one of the runs"),
        (lambda: compare(a_run(), 5), "int is no run"),  # type: ignore[arg-type]
        (lambda: compare(a_run(), a_run(), tolerance_s=-1.0), "0 to 86400"),
    ],
)
def test_what_cannot_be_compared_is_one_clear_line(call: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


def test_a_path_that_is_no_run_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such run"):
        compare(a_run(), tmp_path / "nothing")


# --- what is shown --------------------------------------------------------------------------------------------------


def test_the_list_of_runs_has_the_inputs_that_differ_as_columns_that_sort_as_numbers() -> None:
    runs = [with_settings(a_run([100.0 + k]), parameters={"fast": k}) for k in (5, 10, 7)]
    table = overview_table(compared(*runs))
    names = [column.title for column in table.columns]
    assert [row[names.index("fast")].sort for row in table.rows] == [5.0, 10.0, 7.0]
    assert [row[0].text for row in table.rows] == ["0 (base)", "1", "2"]


def test_inputs_that_have_no_column_in_the_list_of_runs_are_counted_in_its_note() -> None:
    many = {f"p{k}": k for k in range(12)}
    runs = [with_settings(a_run(), parameters={name: value + more for name, value in many.items()}) for more in (0, 1)]
    table = overview_table(compared(*runs))
    assert [column.title for column in table.columns if column.title in many] == list(many)[:8]
    assert "8 of the 12 inputs that differ have columns here" in table.note
    assert "have columns" not in overview_table(compared(a_run(), with_settings(a_run(), cash=5.0))).note


def test_the_guard_that_tripped_in_many_runs_is_one_warning() -> None:
    tripped = [
        text for text in warning_texts(compared(*(a_run(guard_tripped=k > 0) for k in range(9)))) if "guard" in text
    ]
    assert len(tripped) == 1
    assert tripped[0].endswith(", ... (8 runs)")


def test_exchange_rates_of_the_end_are_no_input_of_their_own() -> None:
    a, b = (
        with_settings(a_run(fingerprint=name), rates={"EUR": rate}) for name, rate in (("one", 1.1), ("other", 1.2))
    )
    assert compared(a, b).runs[1].attributable_to == "data"


def test_a_notebook_shows_hostile_names_as_text() -> None:
    hostile = "<script>alert(1)</script>"
    html = compared(a_run(strategy=hostile), with_settings(a_run(strategy=hostile), fees=hostile))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_json_has_no_number_that_is_not_one() -> None:
    import json

    found = comparison_json(compared(a_run(), a_run()))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["correlation_of_daily_returns"] == [[None, None], [None, None]]
