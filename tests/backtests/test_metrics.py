"""Metrics: an independent library where definitions coincide, cases worked by hand where they do not."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backtests import metrics
from backtests.definitions import DEFINITION_OF, DEFINITIONS, Better, Unit
from backtests.metrics import compute_metrics
from backtests.trades import match_trades
from papertape.core.record import (
    FILL_COLUMNS,
    ORDER_COLUMNS,
    POSITION_COLUMNS,
    TRADE_COLUMNS,
    Drawdown,
    RunRecord,
    empty_columns,
)

DAY = 86_400 * 10**9
HOUR = 3_600 * 10**9
RNG_SEED = 11


@pytest.fixture(scope="module")
def oracle():
    """The library empyrical-reloaded, which is a test dependency only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own imports are deprecated here and there
        return pytest.importorskip("empyrical")


def some_returns(seed, size=250):
    return np.random.default_rng(seed).normal(0.0005, 0.01, size)


def record(equity=(), *, start=100_000.0, days=None, **changes):
    """A run with these values at its session closes; one session a calendar day unless ``days`` says otherwise."""
    equity = np.array(equity, dtype=float)
    begin = 1_577_923_200 * 10**9
    end = begin + round((len(equity) if days is None else days) * DAY)
    ts = begin + (np.arange(len(equity), dtype=np.int64) + 1) * DAY
    series = np.concatenate(([start], equity))
    peak = np.maximum.accumulate(series)
    fields = {
        "strategy": "test",
        "mode": "backtest",
        "start": begin,
        "end": end,
        "events": 0,
        "currency": "USD",
        "starting_equity": start,
        "final_equity": float(series[-1]),
        "cash": {"USD": float(series[-1])},
        "orders": empty_columns(ORDER_COLUMNS),
        "fills": empty_columns(FILL_COLUMNS),
        "positions": empty_columns(POSITION_COLUMNS),
        "equity": {},
        "points": {},
        "daily": {"date": ts // DAY, "ts": ts, "equity": equity},
        "drawdown": Drawdown(float((series / peak - 1.0).min()), begin, end, 0, float(peak.max()), float(series.min())),
        "time_in_market_ns": 0,
    }
    return RunRecord(**(fields | changes))


def columns(layout, **values):
    """Columns of a layout: the values given, and zeros, empty words or NaN for the rest."""
    size = len(next(iter(values.values())))
    blank = {"O": "", "f8": math.nan, "i8": 0, "?": False}
    return {
        name: np.array(values.get(name, [blank[kind]] * size), dtype="O" if kind == "O" else kind)
        for name, kind in layout.items()
    }


def closed(*pnl, **values):
    return columns(TRADE_COLUMNS, pnl=list(pnl), **values)


# --- against empyrical -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("risk_free", [0.0, 0.03])
def test_sharpe_and_sortino_agree_with_empyrical(oracle, seed, risk_free):
    returns = some_returns(seed)
    assert metrics.sharpe(returns, risk_free) == pytest.approx(oracle.sharpe_ratio(returns, risk_free / 252))
    assert metrics.sortino(returns, risk_free) == pytest.approx(oracle.sortino_ratio(returns, risk_free / 252))


@pytest.mark.parametrize("seed", range(5))
def test_volatility_drawdown_and_tails_agree_with_empyrical(oracle, seed):
    returns = some_returns(seed)
    equity = np.concatenate(([1.0], np.cumprod(1.0 + returns)))
    assert metrics.volatility(returns) == pytest.approx(oracle.annual_volatility(returns))
    assert metrics.max_drawdown(equity) == pytest.approx(oracle.max_drawdown(returns))
    assert metrics.value_at_risk(returns) == pytest.approx(oracle.value_at_risk(returns))
    assert metrics.conditional_value_at_risk(returns) == pytest.approx(oracle.conditional_value_at_risk(returns))
    assert metrics.total_return(1.0, equity[-1]) == pytest.approx(oracle.cum_returns_final(returns))


@pytest.mark.parametrize("seed", range(5))
def test_beta_agrees_with_empyrical_and_alpha_is_its_daily_alpha_times_252(oracle, seed):
    benchmark = some_returns(seed + 100)
    returns = 0.7 * benchmark + some_returns(seed) / 2
    assert metrics.beta(returns, benchmark) == pytest.approx(oracle.beta(returns, benchmark))
    # empyrical compounds alpha over the year; with one period a year there is nothing to compound.
    daily = oracle.alpha(returns, benchmark, risk_free=0.02 / 252, annualization=1)
    assert metrics.alpha(returns, benchmark, 0.02) == pytest.approx(daily * 252)


def test_moments_agree_with_scipy(oracle):
    from scipy import stats

    returns = some_returns(3)
    assert metrics.skew(returns) == pytest.approx(stats.skew(returns))
    assert metrics.excess_kurtosis(returns) == pytest.approx(stats.kurtosis(returns))


def test_rolling_sharpe_agrees_with_the_sharpe_of_each_window(oracle):
    returns = some_returns(4, 100)
    rolled = metrics.rolling_sharpe(returns, risk_free=0.02)
    assert len(rolled) == len(returns)
    assert np.isnan(rolled[:59]).all()
    for last in (59, 60, 99):
        window = returns[last - 59 : last + 1]
        assert rolled[last] == pytest.approx(oracle.sharpe_ratio(window, 0.02 / 252))


# --- by hand -----------------------------------------------------------------------------------------------------


def test_growth_by_the_year_counts_calendar_days():
    assert metrics.cagr(100.0, 121.0, 2 * 365.25) == pytest.approx(0.10)
    assert metrics.cagr(100.0, 50.0, 365.25) == pytest.approx(-0.5)


def test_drawdown_sees_a_loss_in_the_first_bar():
    assert metrics.max_drawdown(np.array([100.0, 90.0, 120.0, 114.0])) == pytest.approx(-0.10)


def test_sortino_counts_all_days_in_its_downside():
    returns = np.array([0.02, -0.01, 0.02, -0.01])
    downside = math.sqrt((0.01**2 + 0.01**2) / 4)
    assert metrics.sortino(returns) == pytest.approx(0.005 * 252 / (downside * math.sqrt(252)))


def test_statistics_of_trades():
    found = metrics.trade_metrics(
        closed(
            10.0, 20.0, 0.0, 30.0, -15.0, -5.0,
            entry_ts=[0] * 6, exit_ts=[10**9] * 6, mae=[-1.0, -3.0, math.nan, math.nan, math.nan, math.nan],
        )
    )  # fmt: skip
    assert found["trades"] == 6
    assert found["win_rate"] == pytest.approx(3 / 6)
    assert found["profit_factor"] == pytest.approx(60 / 20)
    assert found["expectancy"] == pytest.approx(40 / 6)
    assert (found["average_win"], found["average_loss"]) == (20.0, -10.0)
    assert found["payoff"] == pytest.approx(2.0)
    assert (found["best_trade"], found["worst_trade"]) == (30.0, -15.0)
    assert found["average_duration_s"] == pytest.approx(1.0)
    assert (found["longest_win_streak"], found["longest_loss_streak"]) == (2, 2)
    assert (found["average_mae"], found["average_mfe"]) == (-2.0, None)


def test_a_trade_of_exactly_zero_ends_a_streak_and_is_neither_won_nor_lost():
    found = metrics.trade_metrics(closed(1.0, 0.0, 1.0))
    assert found["longest_win_streak"] == 1
    assert found["win_rate"] == pytest.approx(2 / 3)
    assert found["average_loss"] is None


def test_orders_are_counted_by_how_they_ended():
    orders = columns(
        ORDER_COLUMNS,
        number=[1, 2, 3, 4, 5, 6],
        side=["BUY"] * 6,
        quantity=[10.0] * 6,
        filled=[10.0, 4.0, 0.0, 0.0, 0.0, 3.0],
        status=["FILLED", "CANCELLED", "CANCELLED", "REJECTED", "EXPIRED", "PARTIALLY_FILLED"],
    )
    found = compute_metrics(record([100_000.0], orders=orders))
    assert found["orders_submitted"] == 6
    assert found["orders_filled"] == 1
    assert found["orders_partly_filled"] == 2
    assert found["orders_cancelled"] == 2
    assert found["orders_rejected"] == 1
    assert found["orders_expired"] == 1


def test_slippage_is_positive_when_fills_are_worse_than_the_arrival_price():
    orders = columns(
        ORDER_COLUMNS,
        symbol=["A", "A", "F", "A", "A"],
        side=["BUY", "SELL", "SELL", "BUY", "BUY"],
        quantity=[100.0, 100.0, 2.0, 100.0, 100.0],
        filled=[100.0, 50.0, 2.0, 100.0, 0.0],
        average_price=[10.05, 9.90, 101.0, 12.0, math.nan],
        arrival_price=[10.00, 10.00, 100.0, math.nan, 10.0],
    )
    assert metrics.slippage(orders) == pytest.approx(5.0 + 5.0 - 2.0)
    assert metrics.slippage(orders, {"F": 50.0}) == pytest.approx(5.0 + 5.0 - 100.0)
    assert metrics.slippage(empty_columns(ORDER_COLUMNS)) is None


def test_exposure_turnover_fees_and_open_positions():
    fills = columns(
        FILL_COLUMNS,
        symbol=["A", "A"],
        side=["BUY", "SELL"],
        quantity=[100.0, 50.0],
        price=[10.0, 12.0],
        fee=[1.0, 1.5],
    )
    positions = columns(POSITION_COLUMNS, symbol=["A", "B"], quantity=[50.0, 0.0])
    run = record([1_100.0, 900.0], start=1_000.0, fills=fills, positions=positions, time_in_market_ns=12 * HOUR)
    found = compute_metrics(run)
    assert found["exposure"] == pytest.approx(0.25)
    assert found["turnover"] == pytest.approx(1_600.0 / 1_000.0)
    assert found["fees"] == pytest.approx(2.5)
    assert found["open_positions"] == 1
    assert compute_metrics(run, multipliers={"A": 5.0})["turnover"] == pytest.approx(8.0)


def test_the_first_daily_return_starts_at_the_starting_equity():
    equity = 100_000.0 * np.cumprod(1.0 + some_returns(5, 40))
    found = compute_metrics(record(equity))
    returns = np.diff(np.concatenate(([100_000.0], equity))) / np.concatenate(([100_000.0], equity[:-1]))
    assert found["sharpe"] == pytest.approx(metrics.sharpe(returns))
    assert found["net_profit"] == pytest.approx(equity[-1] - 100_000.0)


def test_a_benchmark_is_compared_on_the_days_on_which_it_is_known():
    returns = some_returns(6, 60)
    benchmark = returns / 2
    benchmark[7] = math.nan
    found = compute_metrics(record(100_000.0 * np.cumprod(1.0 + returns)), benchmark=benchmark)
    assert found["beta"] == pytest.approx(2.0)
    assert found["correlation"] == pytest.approx(1.0)
    assert found["alpha"] == pytest.approx(0.0, abs=1e-9)


def test_a_benchmark_of_another_length_is_refused():
    with pytest.raises(ValueError, match="59 daily returns for 60 sessions"):
        compute_metrics(record(np.full(60, 1e5)), benchmark=np.zeros(59))


# --- what is undefined -------------------------------------------------------------------------------------------


def test_a_run_of_a_day_has_no_number_by_the_year():
    found = compute_metrics(record([101_000.0]))
    assert found["total_return"] == pytest.approx(0.01)
    hidden = ["cagr", "calmar", "volatility", "sharpe", "sortino", "var_95", "cvar_95", "skew", "beta", "alpha"]
    assert [found[key] for key in hidden] == [None] * len(hidden)


@pytest.mark.parametrize(("sessions", "shown"), [(19, False), (20, True)])
def test_sharpe_is_shown_from_twenty_sessions_on(sessions, shown):
    found = compute_metrics(record(100_000.0 * np.cumprod(1.0 + some_returns(7, sessions))))
    assert all((found[key] is not None) is shown for key in ("sharpe", "sortino", "volatility", "var_95"))
    assert found["cagr"] is None


@pytest.mark.parametrize(("days", "shown"), [(29.9, False), (30.0, True)])
def test_growth_by_the_year_is_shown_from_thirty_days_on(days, shown):
    found = compute_metrics(record(100_000.0 * np.cumprod(1.0 + some_returns(8, 22)), days=days))
    assert (found["cagr"] is not None) is shown
    assert (found["calmar"] is not None) is shown


def test_ratios_of_returns_that_never_vary_are_undefined():
    constant = np.full(250, 0.001)
    assert metrics.sharpe(constant) is None
    assert metrics.sortino(constant) is None
    assert metrics.skew(constant) is None
    assert metrics.excess_kurtosis(constant) is None
    assert metrics.beta(some_returns(1), constant) is None
    assert metrics.alpha(some_returns(1), constant) is None
    assert metrics.correlation(constant, some_returns(1)) is None
    steady = compute_metrics(record(100_000.0 * np.cumprod(1.0 + constant)))
    assert (steady["sharpe"], steady["sortino"], steady["calmar"]) == (None, None, None)
    assert steady["max_drawdown"] == 0.0


def test_a_run_without_trades_has_no_statistics_of_trades():
    found = compute_metrics(record(np.full(60, 100_000.0)))
    assert found["trades"] == 0
    assert all(found[key] is None for key in ("win_rate", "profit_factor", "expectancy", "payoff", "best_trade"))
    assert (found["longest_win_streak"], found["slippage"], found["sharpe"]) == (None, None, None)


def test_a_run_that_loses_everything_has_no_growth_and_no_ratios():
    found = compute_metrics(record(np.linspace(90_000.0, 0.0, 60)))
    assert found["total_return"] == -1.0
    assert found["max_drawdown"] == -1.0
    assert (found["cagr"], found["calmar"], found["sharpe"], found["volatility"]) == (None, None, None, None)


def test_a_run_without_a_session_close_still_has_its_totals():
    found = compute_metrics(record([], final_equity=100_500.0, days=0.1))
    assert found["total_return"] == pytest.approx(0.005)
    assert found["max_drawdown_daily"] is None


@pytest.mark.parametrize("size", [0, 1, 2])
def test_functions_take_arrays_of_any_length(size):
    returns = np.full(size, 0.01)
    for function in (metrics.sharpe, metrics.sortino, metrics.skew, metrics.excess_kurtosis):
        assert function(returns) is None
    assert (metrics.volatility(returns) is None) is (size < 2)
    assert (metrics.value_at_risk(returns) is None) is (size == 0)
    assert (metrics.conditional_value_at_risk(returns) is None) is (size == 0)
    assert metrics.beta(returns, returns) is None
    assert np.isnan(metrics.rolling_sharpe(returns)).all()
    assert metrics.max_drawdown(np.empty(0)) is None
    assert metrics.daily_returns(np.empty(0)) is None


# --- properties --------------------------------------------------------------------------------------------------

daily = hnp.arrays(np.float64, st.integers(2, 120), elements=st.integers(-2_000, 2_500).map(lambda bp: bp / 1e4))


@given(returns=daily, scale=st.sampled_from([0.25, 2.0, 1e6]))
def test_metrics_without_a_unit_do_not_depend_on_the_size_of_the_account(returns, scale):
    equity = 100_000.0 * np.cumprod(1.0 + returns)
    small, large = (compute_metrics(record(equity * f, start=100_000.0 * f, days=400)) for f in (1.0, scale))
    for each in DEFINITIONS:
        a, b = small[each.key], large[each.key]
        assert (a is None) == (b is None)
        if a is not None:
            expected = a * scale if each.unit is Unit.MONEY else a
            assert b == pytest.approx(expected, rel=1e-9, abs=1e-9 * (scale if each.unit is Unit.MONEY else 1.0))


@given(returns=daily)
def test_no_metric_is_ever_infinite_or_nan(returns):
    found = compute_metrics(record(100_000.0 * np.cumprod(1.0 + returns), days=60))
    assert all(value is None or math.isfinite(value) for value in found.values())


@given(returns=daily)
def test_the_worst_days_are_at_least_as_bad_as_the_value_at_risk(returns):
    at_risk, beyond = metrics.value_at_risk(returns), metrics.conditional_value_at_risk(returns)
    assert at_risk is not None
    assert beyond is not None
    assert beyond <= at_risk + 1e-15
    assert at_risk >= returns.min()


@given(returns=daily)
def test_the_benchmark_of_itself_has_beta_one_and_no_alpha(returns):
    slope = metrics.beta(returns, returns)
    if slope is not None:
        assert slope == pytest.approx(1.0)
        assert metrics.alpha(returns, returns, 0.05) == pytest.approx(0.0, abs=1e-6)


@given(flags=hnp.arrays(np.bool_, st.integers(0, 60)))
def test_the_longest_streak_is_that_of_a_plain_count(flags):
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    assert metrics.longest_streak(flags) == longest


def test_metrics_of_matched_trades_add_up_to_the_profit_of_the_run():
    rng = np.random.default_rng(RNG_SEED)
    count = 400
    fills = columns(
        FILL_COLUMNS,
        ts=np.arange(count) * 10**9,
        symbol=["A"] * count,
        side=["BUY", "SELL"] * (count // 2),
        quantity=np.full(count, 10.0),
        price=100.0 + rng.normal(0.0, 1.0, count),
        fee=np.full(count, 1.0),
    )
    trades = match_trades(fills)
    sign = np.where(fills["side"] == "BUY", -1.0, 1.0)
    profit = float((sign * fills["quantity"] * fills["price"] - fills["fee"]).sum())
    found = compute_metrics(record([100_000.0 + profit], fills=fills, trades=trades))
    assert found["trades"] == count // 2
    assert found["expectancy"] is not None
    assert found["expectancy"] * (count // 2) == pytest.approx(found["net_profit"], abs=1e-6)
    assert found["net_profit"] == pytest.approx(profit, abs=1e-6)


# --- the table of definitions ------------------------------------------------------------------------------------


def test_every_metric_has_one_definition_and_every_definition_a_metric():
    assert len(DEFINITION_OF) == len(DEFINITIONS)
    assert list(compute_metrics(record([100_000.0]))) == [each.key for each in DEFINITIONS]
    assert all(each.title and each.text.endswith(".") for each in DEFINITIONS)


def test_an_undefined_value_is_shown_as_not_available():
    assert {each.show(None) for each in DEFINITIONS} == {"n/a"}


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("total_return", 0.1234, "12.34 %"),
        ("max_drawdown", -0.05, "-5.00 %"),
        ("sharpe", 1.469, "1.47"),
        ("net_profit", -1234.5, "-1,234.50"),
        ("trades", 1700, "1,700"),
        ("average_duration_s", 42.0, "42.0 s"),
        ("average_duration_s", 5400.0, "1.5 h"),
    ],
)
def test_values_are_shown_in_their_unit(key, value, shown):
    assert DEFINITION_OF[key].show(value) == shown


def test_a_smaller_loss_is_better_and_a_smaller_cost_too():
    assert DEFINITION_OF["max_drawdown"].better is Better.HIGHER
    assert DEFINITION_OF["fees"].better is Better.LOWER
    assert DEFINITION_OF["trades"].better is Better.NONE
