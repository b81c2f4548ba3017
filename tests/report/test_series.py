from __future__ import annotations

import copy

import numpy as np
import pytest

from backtests.report import series
from backtests.run import backtest
from papertape import Strategy
from papertape.core.model import EventKind, Instrument
from papertape.core.record import Drawdown
from papertape.core.series import Series, Tape


class Once(Strategy):
    """Buys three of the first symbol that trades."""

    def on_start(self):
        self.subscribe(self.symbols)

    def on_trade(self, trade):
        if not self.position(trade.symbol).quantity and not self.working_orders(trade.symbol):
            self.buy(trade.symbol, 3)


def test_thinning_keeps_the_ends_and_every_peak_of_a_part():
    random = np.random.default_rng(1)
    x = np.sort(random.uniform(0, 1e6, 50_000))
    y = random.normal(size=50_000)
    y[31_234], y[77] = 99.0, -99.0
    kept = series.thinned(x, y, 400)
    assert len(kept) <= 400
    assert {0, 49_999, 31_234, 77} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    # The same in each part: no sample lies outside of what the kept ones of its part span.
    part = np.minimum(((x - x[0]) / (x[-1] - x[0]) * 133).astype(int), 132)
    for each in range(133):
        own = y[kept][part[kept] == each]
        assert own.min() <= y[part == each].min()
        assert own.max() >= y[part == each].max()


@pytest.mark.parametrize("n", [0, 1, 2, 10])
def test_thinning_leaves_a_short_series_as_it_is(n):
    assert series.thinned(np.arange(n), np.zeros(n), 10).tolist() == list(range(n))


def test_thinning_keeps_the_last_level_before_a_pause():
    x = np.concatenate((np.linspace(0.0, 10.0, 5_000), [1_000.0]))
    y = np.concatenate((np.tile([1.0, 0.0, 5.0, 3.0], 1_250), [3.0]))
    kept = series.thinned(x, y, 100)
    assert 4_999 in kept
    assert y[kept[-2]] == 3.0


def test_thinning_survives_samples_at_one_place():
    kept = series.thinned(np.zeros(5_000), np.arange(5_000.0), 100)
    assert kept.tolist() == [0, 4_999]


def test_a_line_through_buckets_touches_each_low_and_high_and_repeats_nothing():
    columns = {
        "ts": np.array([1, 2]),
        "low": np.array([9.0, 5.0]),
        "high": np.array([12.0, 5.0]),
        "last": np.array([12.0, 5.0]),
    }
    ts, values = series.bucket_line(columns)
    assert ts.tolist() == [1, 1, 2]
    assert values.tolist() == [9.0, 12.0, 5.0]


def test_equity_stays_as_it_was_while_there_are_no_buckets():
    ts = np.array([10, 20, 30, 1_000, 1_010])
    flat = np.array([1.0, 2.0, 3.0, 7.0, 8.0])
    found = series.with_pauses({"ts": ts, "last": flat, "low": flat, "high": flat})
    assert found["ts"].tolist() == [10, 20, 30, 999, 1_000, 1_010]
    assert found["low"].tolist() == [1.0, 2.0, 3.0, 3.0, 7.0, 8.0]


def test_the_drawdown_reaches_its_exact_depth_at_its_exact_time_and_never_below(year_record, short_record):
    for record in (year_record, short_record):
        found = series.underwater(record)
        assert found.fraction.min() == record.drawdown.depth
        assert int(found.ts[found.fraction.argmin()]) == record.drawdown.trough_ts
        assert found.money.min() == pytest.approx(record.drawdown.trough - record.drawdown.peak)
        assert (found.fraction <= 0.0).all()
        assert (np.diff(found.ts) >= 0).all()
        assert [int(found.ts[0]), int(found.ts[-1])] == [record.start, record.end]


def test_the_equity_line_goes_from_the_start_to_the_end_of_the_run(year_record):
    ts, values = series.equity_line(year_record)
    assert [int(ts[0]), float(values[0])] == [year_record.start, year_record.starting_equity]
    assert [int(ts[-1]), float(values[-1])] == [year_record.end, year_record.final_equity]
    assert year_record.drawdown.trough in values


@pytest.mark.parametrize(
    ("basis", "reference", "floor"),
    [
        ("net_liquidation", "peak", [90.0, 180.0, 180.0]),
        ("net_liquidation", "start", [90.0, 90.0, 90.0]),
        ("pnl", "peak", [90.0, 90.0, 90.0]),
        ("daily_loss", "peak", [90.0, 90.0, 135.0]),
    ],
)
def test_the_guards_floor_is_that_of_its_basis(year_record, basis, reference, floor):
    record = copy.copy(year_record)
    record.settings = {"guard": {"max_drawdown": "10%", "basis": basis, "reference": reference}}
    record.starting_equity = 100.0
    values = np.array([200.0, 150.0])
    record.equity = {"ts": np.array([10, 20]), "last": values, "low": values, "high": values}
    record.daily = {"date": np.array([1]), "ts": np.array([20]), "equity": np.array([150.0])}
    found = series.guard_floor(record, np.array([10, 15, 30]))
    assert found is not None
    assert found.tolist() == pytest.approx(floor)


def test_without_a_loss_limit_there_is_no_floor(short_record):
    assert series.guard_floor(short_record, np.array([1])) is None


def test_months_and_years_compound_to_the_whole_run(year_record):
    days = series.session_returns(year_record)
    whole = year_record.daily["equity"][-1] / year_record.starting_equity
    for unit in ("M", "Y"):
        found = series.compounded(days, unit)
        assert np.prod([1.0 + value for value in found.values()]) == pytest.approx(whole)
    assert 2024 in series.compounded(days, "Y")
    assert (2024 - 1970) * 12 in series.compounded(days, "M")


def test_a_run_that_lost_everything_has_no_returns(year_record):
    record = copy.copy(year_record)
    record.daily = {**year_record.daily, "equity": np.append(year_record.daily["equity"][:-1], 0.0)}
    assert len(series.session_returns(record).returns) == 0


def test_the_benchmark_is_the_same_money_grown_by_its_returns(year_record):
    record = copy.copy(year_record)
    assert series.benchmark_line(record) is None
    returns = np.zeros(len(record.daily["ts"]))
    returns[:3] = [0.1, np.nan, -0.5]
    record.daily = {**record.daily, "benchmark": returns}
    line = series.benchmark_line(record)
    assert line is not None
    ts, values = line
    assert (values[:5] / record.starting_equity).tolist() == pytest.approx([1.0, 1.1, 1.1, 0.55, 0.55])
    assert ts[0] == record.start


def test_a_histogram_counts_everything_once_and_no_bar_holds_both_signs():
    random = np.random.default_rng(2)
    values = np.concatenate((random.normal(size=1_000), [500.0, -400.0, np.nan]))
    found = series.histogram(values)
    assert found.count.sum() == 1_002
    assert len(found.count) <= series.BARS_MAX
    assert np.abs(found.edges).min() < 1e-12
    assert found.beyond == 2
    assert found.count[found.edges[:-1] >= -1e-12].sum() == (values > 0).sum()


@pytest.mark.parametrize("values", [[], [np.nan], [0.0, 0.0], [3.0, 3.0, 3.0]])
def test_a_histogram_of_next_to_nothing_counts_what_there_is(values):
    assert series.histogram(np.array(values)).count.sum() == np.isfinite(values).sum()


def test_exposure_is_the_value_of_what_is_held(short_record):
    found = series.exposure(short_record)
    assert found.left_out == ()
    assert not found.short.any()
    held = short_record.positions
    assert found.long[-1] == pytest.approx(held["market_value"].sum(), rel=1e-3)
    assert found.long[0] == 0.0


def test_a_position_that_fills_do_not_explain_is_left_out_by_name(short_record):
    record = copy.copy(short_record)
    record.positions = {**record.positions, "quantity": record.positions["quantity"] + 5.0}
    assert set(series.exposure(record).left_out) == {"AAA", "BBB"}


def test_exposure_and_slippage_of_a_contract_are_in_money_not_in_points(short_record):
    n = 2_000
    ts = short_record.start + np.arange(n) * 1_000_000_000
    price = np.where(np.arange(n) < 500, 100.0, 101.0)
    series_ = (Series("ES", EventKind.TRADE, ts, (price, np.ones(n))),)
    tape = Tape(series_, {"ES": Instrument("ES", multiplier=50.0)})
    record = backtest(Once(), tape, slippage="1", cash=1e6).record
    assert record.settings["multipliers"] == {"ES": 50.0}
    assert series.exposure(record).long[-1] == pytest.approx(record.positions["market_value"][0])
    assert series.fill_slippage(record).money.tolist() == [3 * 50.0]
    assert record.metrics["slippage"] == pytest.approx(3 * 50.0)


def test_fills_close_together_become_one_mark_and_none_is_lost(short_record):
    fills = short_record.fills
    marks = series.fill_marks(fills, "BUY", lambda ts: ts - ts[0], 10)
    bought = fills["side"] == "BUY"
    assert len(marks.ts) <= 11
    assert marks.count.sum() == bought.sum()
    assert marks.quantity.sum() == pytest.approx(fills["quantity"][bought].sum())
    value = (fills["quantity"] * fills["price"])[bought].sum()
    assert (marks.quantity * marks.price).sum() == pytest.approx(value)
    assert len(marks.text) == len(marks.ts)


def test_slippage_of_fills_adds_up_to_that_of_the_run(short_record):
    found = series.fill_slippage(short_record)
    assert found.money.sum() == pytest.approx(short_record.metrics["slippage"])
    assert len(found.row) == len(short_record.fills["ts"])


def test_a_fill_whose_arrival_price_is_unknown_has_no_slippage(short_record):
    record = copy.copy(short_record)
    arrival = record.orders["arrival_price"].copy()
    arrival[0] = np.nan
    record.orders = {**record.orders, "arrival_price": arrival}
    assert 0 not in series.fill_slippage(record).row


def test_steps_go_up_and_down_uprightly():
    x, y = series.stepped(np.array([0.0, 1.0, 2.0]), np.array([5.0, 7.0, 6.0]))
    assert list(zip(x, y, strict=True)) == [(0.0, 5.0), (1.0, 5.0), (1.0, 7.0), (2.0, 7.0), (2.0, 6.0)]


def test_a_run_without_events_of_its_account_has_an_empty_drawdown(idle_record):
    assert idle_record.drawdown == Drawdown(0.0, 0, 0, 0, 100_000.0, 100_000.0)
    assert len(series.underwater(idle_record).ts) == 0


def test_equity_is_flat_until_something_is_held():
    one = np.array([99.0, 98.0])
    equity = {"ts": np.array([1_000, 1_010], np.int64), "last": one, "low": one, "high": one}
    found = series.from_start(equity, 0, 100.0)
    assert found["ts"].tolist() == [0, 1_000, 1_010]
    assert found["last"].tolist() == found["low"].tolist() == found["high"].tolist() == [100.0, 99.0, 98.0]
    assert series.from_start(equity, 1_000, 100.0) is equity
    held = {"ts": np.arange(1_000, 1_100, 10), **dict.fromkeys(("last", "low", "high"), np.full(10, 99.0))}
    drawn = series.with_pauses(series.from_start(held, 0, 100.0))
    assert drawn["ts"][:3].tolist() == [0, 999, 1_000]
    assert drawn["last"][:3].tolist() == [100.0, 100.0, 99.0]
