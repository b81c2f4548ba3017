"""Matching of fills into trades: cases worked by hand, and what must hold for any fills."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtests.trades import LOT_COLUMNS, match_lots, match_trades
from papertape.core.model import ActionKind, CorporateAction
from papertape.core.record import FILL_COLUMNS, TRADE_COLUMNS, empty_columns

DAY = 86_400 * 10**9


def fills(*rows, symbol="A"):
    """Columns of fills from (signed quantity, price[, fee[, symbol]]); one second apart."""
    columns = empty_columns(FILL_COLUMNS)
    full = [(*row, *(0.0, symbol)[len(row) - 2 :]) for row in rows]
    columns["ts"] = np.arange(len(full), dtype=np.int64) * 10**9
    columns["symbol"] = np.array([row[3] for row in full], dtype=object)
    columns["side"] = np.array(["BUY" if row[0] > 0 else "SELL" for row in full], dtype=object)
    columns["quantity"] = np.array([abs(row[0]) for row in full], dtype=float)
    columns["price"] = np.array([row[1] for row in full], dtype=float)
    columns["fee"] = np.array([row[2] for row in full], dtype=float)
    columns["order"] = np.arange(1, len(full) + 1)
    columns["ambiguous"] = np.zeros(len(full), dtype=bool)
    return columns


def test_a_sale_closes_the_oldest_lot_first_and_fees_are_split_by_quantity():
    trades, lots = match_lots(fills((100, 10.0, 1.0), (100, 12.0, 2.0), (-150, 13.0, 3.0)))
    assert trades["quantity"].tolist() == [100.0, 50.0]
    assert trades["entry_price"].tolist() == [10.0, 12.0]
    assert trades["fees"].tolist() == pytest.approx([1.0 + 2.0, 1.0 + 1.0])
    assert trades["pnl"].tolist() == pytest.approx([300.0 - 3.0, 50.0 - 2.0])
    assert trades["return"].tolist() == pytest.approx([297.0 / 1000.0, 48.0 / 600.0])
    assert trades["side"].tolist() == ["LONG", "LONG"]
    assert trades["entry_ts"].tolist() == [0, 10**9]
    assert trades["exit_ts"].tolist() == [2 * 10**9] * 2
    assert (lots["quantity"].tolist(), lots["entry_price"].tolist(), lots["fees"].tolist()) == ([50.0], [12.0], [1.0])


def test_a_short_sale_earns_when_the_price_falls():
    trades = match_trades(fills((-10, 50.0, 0.5), (10, 45.0, 0.5)))
    assert trades["side"].tolist() == ["SHORT"]
    assert trades["pnl"].tolist() == pytest.approx([49.0])


def test_a_fill_that_crosses_zero_is_split_into_an_exit_and_a_new_entry():
    trades, lots = match_lots(fills((100, 10.0, 1.0), (-300, 11.0, 3.0), (50, 9.0, 0.5)))
    assert trades["side"].tolist() == ["LONG", "SHORT"]
    assert trades["quantity"].tolist() == [100.0, 50.0]
    assert trades["fees"].tolist() == pytest.approx([1.0 + 1.0, 0.5 + 0.5])
    assert trades["pnl"].tolist() == pytest.approx([100.0 - 2.0, 100.0 - 1.0])
    assert (lots["side"].tolist(), lots["quantity"].tolist()) == (["SHORT"], [150.0])


def test_symbols_do_not_mix_and_trades_come_in_the_order_of_their_exits():
    columns = fills((1, 10.0, 0.0, "A"), (1, 20.0, 0.0, "B"), (-1, 22.0, 0.0, "B"), (-1, 11.0, 0.0, "A"))
    trades = match_trades(columns)
    assert trades["symbol"].tolist() == ["B", "A"]
    assert trades["pnl"].tolist() == [2.0, 1.0]
    numbered = match_trades(columns, instrument=np.array([7, 2, 2, 7], dtype=np.int32))
    assert numbered["symbol"].tolist() == ["B", "A"]


def test_a_multiplier_scales_profit_and_leaves_the_return():
    columns = fills((2, 100.0), (-2, 110.0))
    plain, scaled = match_trades(columns), match_trades(columns, {"A": 50.0})
    assert scaled["pnl"].tolist() == [50.0 * plain["pnl"][0]] == [1000.0]
    assert scaled["return"].tolist() == plain["return"].tolist() == [0.1]
    by_number = match_trades(columns, {"A": 50.0}, instrument=np.array([3, 3]))
    assert by_number["pnl"].tolist() == [1000.0]


def test_fractions_that_do_not_add_up_in_binary_leave_no_lot():
    trades, lots = match_lots(fills((0.1, 10.0), (0.2, 10.0), (-0.3, 11.0)))
    assert len(lots["quantity"]) == 0
    assert trades["quantity"].sum() == pytest.approx(0.3)


def test_a_position_held_through_a_split_is_closed_whole():
    columns = fills((100, 300.0, 1.0), (-400, 80.0, 1.0))
    columns["ts"] = np.array([0, 2 * DAY])
    split = CorporateAction(ts=DAY, symbol="A", kind=ActionKind.SPLIT, value=4.0)
    trades, lots = match_lots(columns, actions=[split])
    assert len(lots["quantity"]) == 0
    assert (trades["quantity"].tolist(), trades["entry_price"].tolist()) == ([400.0], [75.0])
    assert trades["pnl"].tolist() == pytest.approx([400 * 5.0 - 2.0])


def test_a_lot_that_is_open_over_a_split_is_given_in_new_units():
    split = CorporateAction(ts=DAY, symbol="A", kind=ActionKind.SPLIT, value=2.0)
    _, lots = match_lots(fills((10, 100.0, 1.0)), actions=[split])
    assert (lots["quantity"].tolist(), lots["entry_price"].tolist(), lots["fees"].tolist()) == ([20.0], [50.0], [1.0])


def test_excursions_are_unknown_without_the_extremes_between_fills():
    trades = match_trades(fills((1, 10.0), (-1, 11.0)))
    assert np.isnan(trades["mae"]).all()
    assert np.isnan(trades["mfe"]).all()


def test_excursions_come_from_the_extremes_after_the_entry_until_the_exit():
    columns = fills((10, 100.0), (10, 105.0), (-10, 110.0), (-10, 95.0))
    low, high = np.array([1.0, 98.0, 104.0, 90.0]), np.array([999.0, 106.0, 120.0, 112.0])
    trades = match_trades(columns, low=low, high=high)
    assert trades["mae"].tolist() == pytest.approx([-20.0, -150.0])
    assert trades["mfe"].tolist() == pytest.approx([200.0, 150.0])


def test_excursions_of_a_short_are_turned_round():
    columns = fills((-10, 100.0), (10, 99.0))
    trades = match_trades(columns, low=np.array([100.0, 97.0]), high=np.array([100.0, 104.0]))
    assert (trades["mae"].tolist(), trades["mfe"].tolist()) == ([-40.0], [30.0])


def test_no_fills_give_empty_columns_of_the_right_layout():
    trades, lots = match_lots(empty_columns(FILL_COLUMNS))
    assert list(trades) == list(TRADE_COLUMNS)
    assert list(lots) == list(LOT_COLUMNS)
    assert len(trades["pnl"]) == len(lots["quantity"]) == 0


def test_columns_have_the_layout_of_a_record():
    trades = match_trades(fills((1, 10.0), (-1, 11.0)))
    assert list(trades) == list(TRADE_COLUMNS)
    assert {name: column.dtype.str[1:] for name, column in trades.items()} == {
        name: "O" if kind == "O" else kind for name, kind in TRADE_COLUMNS.items()
    }


def test_an_unknown_side_is_refused():
    columns = fills((1, 10.0))
    columns["side"] = np.array(["HOLD"], dtype=object)
    with pytest.raises(ValueError, match="'HOLD'"):
        match_trades(columns)


signed = st.one_of(st.integers(-50, 50).filter(bool).map(float), st.floats(0.01, 9.0), st.floats(-9.0, -0.01))
rows = st.lists(
    st.tuples(signed, st.floats(1.0, 500.0), st.floats(0.0, 5.0), st.sampled_from("ABC")), min_size=1, max_size=60
)


@given(rows=rows, multiplier=st.sampled_from([1.0, 50.0]))
def test_trades_and_open_lots_together_are_the_change_of_equity(rows, multiplier):
    columns = fills(*rows)
    trades, lots = match_lots(columns, dict.fromkeys("ABC", multiplier))
    last = {row[3]: row[1] for row in rows}
    cash = sum(-quantity * price * multiplier - fee for quantity, price, fee, _ in rows)
    held = sum(quantity * last[symbol] * multiplier for quantity, _, _, symbol in rows)
    sign = np.where(lots["side"] == "LONG", 1.0, -1.0)
    marks = np.array([last[symbol] for symbol in lots["symbol"]])
    unrealised = (sign * (marks - lots["entry_price"]) * lots["quantity"] * multiplier - lots["fees"]).sum()
    assert trades["pnl"].sum() + unrealised == pytest.approx(cash + held, rel=1e-9, abs=1e-6)


@given(rows=rows)
def test_fees_and_quantities_are_conserved(rows):
    columns = fills(*rows)
    trades, lots = match_lots(columns)
    assert trades["fees"].sum() + lots["fees"].sum() == pytest.approx(columns["fee"].sum(), abs=1e-9)
    assert 2 * trades["quantity"].sum() + lots["quantity"].sum() == pytest.approx(columns["quantity"].sum(), rel=1e-9)
    for symbol in "ABC":
        sides = set(lots["side"][lots["symbol"] == symbol])
        assert len(sides) <= 1


@given(rows=rows, data=st.data())
def test_excursions_are_the_extremes_of_a_plain_search(rows, data):
    columns = fills(*rows)
    prices = columns["price"]
    reach = np.array(data.draw(st.lists(st.floats(0.0, 50.0), min_size=len(rows), max_size=len(rows))))
    low, high = prices - reach, prices + reach / 2
    trades = match_trades(columns, low=low, high=high)
    for k in range(len(trades["pnl"])):
        begin, end = trades["entry_ts"][k], trades["exit_ts"][k]
        inside = (columns["ts"] > begin) & (columns["ts"] <= end) & (columns["symbol"] == trades["symbol"][k])
        ends = (trades["entry_price"][k], trades["exit_price"][k])
        below = min(low[inside].min(), *ends) - trades["entry_price"][k]
        above = max(high[inside].max(), *ends) - trades["entry_price"][k]
        worst, best = (below, above) if trades["side"][k] == "LONG" else (-above, -below)
        assert trades["mae"][k] == pytest.approx(min(worst, 0.0) * trades["quantity"][k], rel=1e-9, abs=1e-9)
        assert trades["mfe"][k] == pytest.approx(max(best, 0.0) * trades["quantity"][k], rel=1e-9, abs=1e-9)


@given(rows=rows, scale=st.sampled_from([0.5, 2.0, 1024.0]))
def test_twice_the_prices_and_fees_are_twice_the_profit(rows, scale):
    plain = match_trades(fills(*rows))
    scaled = match_trades(fills(*[(q, p * scale, f * scale, s) for q, p, f, s in rows]))
    assert scaled["pnl"] == pytest.approx(plain["pnl"] * scale, rel=1e-12, abs=1e-9)
    assert scaled["return"] == pytest.approx(plain["return"], rel=1e-9, abs=1e-12)
