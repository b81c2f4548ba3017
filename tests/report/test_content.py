"""What a report says: every figure with its definition and unit, lists bounded, nothing invented where nothing is known."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtests.definitions import DEFINITION_OF, DEFINITIONS
from backtests.report.content import Content, Tone, report_content
from backtests.report.metric_tables import NEEDS_DAYS
from backtests.report.parts import Table
from backtests.report.tables import INPUT_CODES, ROWS_SHOWN, picked_symbols, setting_text
from papertape.core.model import NS_PER_S, Note, Scan, ScanRow, Severity
from papertape.core.record import (
    FILL_COLUMNS,
    ORDER_COLUMNS,
    POSITION_COLUMNS,
    TRADE_COLUMNS,
    Drawdown,
    GuardEvent,
    RunRecord,
    empty_columns,
)
from papertape.holdings import multipliers
from papertape.moments import column_text, digits_needed, zone_name
from papertape.store import DAILY_COLUMNS, EQUITY_COLUMNS
from tests.report.made_records import CLOSE, DAY, MINUTE, NAN, OPEN, a_record, columns, many_sessions, order


def column(table: Table, name: str) -> list[str]:
    k = [each.name for each in table.columns].index(name)
    return [row[k].text for row in table.rows]


def metric(content: Content, title: str) -> str:
    found = [row[1].text for table in content.tables for row in table.rows if row[0].text == title]
    assert len(found) == 1, f"{title} is said {len(found)} times"
    return found[0]


def metric_titles(content: Content) -> list[str]:
    return [row[0].text for table in content.tables if table.key.startswith("metrics_") for row in table.rows]


def an_empty_record() -> RunRecord:
    return a_record(
        start=0, end=0, events=0, final_equity=100_000.0, orders=empty_columns(ORDER_COLUMNS),
        fills=empty_columns(FILL_COLUMNS), positions=empty_columns(POSITION_COLUMNS),
        trades=empty_columns(TRADE_COLUMNS), equity=columns(EQUITY_COLUMNS, []), daily=columns(DAILY_COLUMNS, []),
        drawdown=Drawdown(0.0, 0, 0, 0, 100_000.0, 100_000.0), time_in_market_ns=0, scans=[], guard=[], notes=[],
        log=[], settings={}, fingerprint="", code_hash="", versions={},
    )  # fmt: skip


def test_every_metric_is_in_a_long_report_once_with_its_definition() -> None:
    record = many_sessions()
    record.settings["benchmark"] = "SPY"
    content = report_content(record)
    rows = {row[0].text: row for table in content.tables if table.key.startswith("metrics_") for row in table.rows}
    titles = metric_titles(content)
    assert [titles.count(each.title) for each in DEFINITIONS] == [1] * len(DEFINITIONS)
    for each in DEFINITIONS:
        assert rows[each.title][1].text.startswith(each.show(record.metrics[each.key]))
        assert rows[each.title][2].text == each.text


def test_money_carries_its_currency_and_what_is_unknown_is_not_available() -> None:
    content = report_content(a_record())
    assert metric(content, "Net profit") == "97.00 USD"
    assert metric(content, "Average loss") == "n/a"
    assert report_content(a_record(final_equity=NAN)).headlines[0].text == "n/a"


def test_a_run_shorter_than_a_day_has_no_annualised_number_and_money_first() -> None:
    content = report_content(a_record())
    hidden = {DEFINITION_OF[key].title for key in NEEDS_DAYS}
    assert content.is_short
    assert hidden & {*metric_titles(content), *(each.title for each in content.headlines)} == set()
    assert [each.title for each in content.headlines][:3] == ["Final equity", "Net profit", "Expectancy"]
    assert {"CAGR", "Sharpe", "Alpha", "Volatility"} <= hidden
    long = report_content(many_sessions())
    assert not long.is_short
    assert {"CAGR", "Sharpe"} <= {each.title for each in long.headlines}


def test_gains_and_losses_are_toned_by_their_sign() -> None:
    (profit,) = (each for each in report_content(a_record()).headlines if each.title == "Net profit")
    (loss,) = (each for each in report_content(a_record(final_equity=99_000.0)).headlines if each.title == "Net profit")
    assert (profit.tone, loss.tone) == (Tone.GOOD, Tone.BAD)


def test_the_drawdown_is_told_with_its_times_and_its_money() -> None:
    content = report_content(a_record())
    assert metric(content, "Max drawdown in money") == "-90.00 USD"
    assert metric(content, "Drawdown began") == "2024-06-03 09:50:00 EDT"
    assert metric(content, "Drawdown deepest") == "2024-06-03 16:00:00 EDT"
    assert metric(content, "Drawdown recovered") == "not until the end"
    assert metric(content, "Drawdown lasted") == "6.2 h"


def test_a_drawdown_from_the_starting_equity_began_with_the_run() -> None:
    record = a_record(drawdown=Drawdown(-0.01, 0, OPEN + MINUTE, OPEN + 2 * MINUTE, 100_000.0, 99_000.0))
    content = report_content(record)
    assert metric(content, "Drawdown began") == "2024-06-03 09:30:00 EDT"
    assert metric(content, "Drawdown lasted") == "2.0 min"


def test_trades_come_with_excursions_times_in_the_exchanges_zone_and_money() -> None:
    table = report_content(a_record()).table("trades")
    titles = {each.name: each.title for each in table.columns}
    assert titles["entry_ts"] == "Entry (New York)"
    assert titles["pnl"] == "Profit (USD)"
    assert column(table, "entry_ts") == ["2024-06-03 09:41:00"]
    assert (column(table, "pnl"), column(table, "mae"), column(table, "mfe")) == (["+98.00"], ["-5.00"], ["120.00"])
    assert column(table, "return") == ["9.80 %"]


def test_of_too_many_trades_the_largest_are_shown_in_the_order_of_their_exits() -> None:
    count = ROWS_SHOWN + 100
    rows = [
        ("AAA", "LONG", 1.0, OPEN + k, OPEN + k + 1, 1.0, 1.0, 0.0, float(k if k % 2 else -k), 0.0, NAN, NAN)
        for k in range(count)
    ]
    table = report_content(a_record(trades=columns(TRADE_COLUMNS, rows))).table("trades")
    shown = [float(text.replace(",", "")) for text in column(table, "pnl")]
    assert [abs(value) for value in shown] == list(range(100, count))
    assert table.note.startswith("500 of 600 trades; all: papertape show RUN --trades.")


def test_currencies_stand_behind_amounts_where_a_column_has_several() -> None:
    positions = columns(
        POSITION_COLUMNS,
        [("AAA", "USD", 1.0, 5.0, 5.0, 5.0, 0.0, 0.0), ("EEE", "EUR", 2.0, 5.0, 5.0, 10.0, 0.0, 0.0)],
    )
    table = report_content(a_record(positions=positions)).table("positions")
    assert column(table, "market_value") == ["10.00 EUR", "5.00 USD"]
    assert {each.name: each.title for each in table.columns}["market_value"] == "Value"


def test_costs_are_summed_by_instrument_against_the_arrival_price() -> None:
    table = report_content(a_record()).table("costs")
    assert column(table, "symbol") == ["AAA", "<b>BBB</b>"], "the most traded first"
    assert column(table, "value") == ["2,100.00", "1,000.00"]
    assert column(table, "fees") == ["2.00", "1.00"]
    assert column(table, "slippage") == ["15.00", "10.00"], "10 x (100 - 99) + 10 x (110.5 - 110), and 10 x (100 - 99)"
    assert column(table, "fees_part") == ["9.5 bp", "10.0 bp"]


def test_the_slippage_of_all_instruments_is_the_metric() -> None:
    record = a_record()
    cells = [row[5].sort for row in report_content(record).table("costs").rows]
    assert sum(cells) == pytest.approx(record.metrics["slippage"])  # type: ignore[arg-type]


def test_a_contracts_multiplier_is_the_one_that_the_run_keeps_and_counts_in_its_costs() -> None:
    record = a_record()
    record.settings["multipliers"] = {"AAA": 50.0}
    found = multipliers(record)
    assert (found["AAA"], found["<b>BBB</b>"]) == (50.0, 1.0)
    table = report_content(record).table("costs")
    assert column(table, "value") == ["105,000.00", "1,000.00"]
    assert column(table, "slippage") == ["750.00", "10.00"]


def test_orders_are_grouped_by_outcome_type_and_reason() -> None:
    orders = columns(ORDER_COLUMNS, [
        order(1, OPEN, "A", "BUY", 1.0), order(2, OPEN, "A", "BUY", 2.0),
        order(3, OPEN, "A", "BUY", 4.0, status="CANCELLED", filled=1.0, reason="cancelled on request", type="LIMIT"),
        order(4, OPEN, "A", "BUY", 4.0, status="SUBMITTED", filled=0.0, type="STOP_LIMIT"),
    ])  # fmt: skip
    table = report_content(a_record(orders=orders)).table("orders")
    assert column(table, "outcome") == ["filled", "cancelled after a part filled", "working"]
    assert column(table, "type") == ["market", "limit", "stop limit"]
    assert column(table, "quantity") == ["3", "4", "4"]
    assert column(table, "filled") == ["3", "1", "0"]


def test_orders_that_still_work_are_counted() -> None:
    orders = columns(ORDER_COLUMNS, [order(1, OPEN, "A", "BUY", 4.0, status="SUBMITTED", filled=0.0)])
    assert metric(report_content(a_record(orders=orders)), "Orders still working") == "1"
    assert metric(report_content(a_record()), "Orders still working") == "0"


def test_ambiguous_fills_are_listed_and_their_share_is_said() -> None:
    table = report_content(a_record()).table("ambiguous")
    assert column(table, "symbol") == ["<b>BBB</b>"]
    assert table.note == "1 of 3 fills, each resolved against the strategy."


def test_a_scan_names_what_was_traded_of_it_before_the_next_of_its_code() -> None:
    record = a_record()
    assert picked_symbols(record, 0) == [(1, "AAA")]
    assert picked_symbols(record, 1) == [(1, "<b>BBB</b>")], "the refused order for AAA is no trade"
    assert column(report_content(record).table("scans"), "traded") == ["AAA (1)", "<b>BBB</b> (1)"]


def test_scans_of_another_code_do_not_end_what_counts_as_traded() -> None:
    record = a_record()
    scans = [record.scans[0], Scan("TOP_PERC_GAIN", OPEN + 6 * MINUTE, (ScanRow(0, "ZZZ"),), "derived")]
    table = report_content(dataclasses.replace(record, scans=scans)).table("scans")
    assert column(table, "traded") == ["AAA (1)", "none"]


def test_what_was_skipped_of_the_input_stands_apart_from_other_notes() -> None:
    content = report_content(a_record())
    assert column(content.table("input"), "text") == ["rows that could not be used, skipped (t.csv)"]
    assert column(content.table("input"), "count") == ["7"]
    assert column(content.table("notes"), "text") == ["something else"]


def test_every_note_of_a_feed_is_about_the_input() -> None:
    feeds = Path(__file__).parents[2] / "feeds"
    texts = "\n".join(path.read_text(encoding="utf-8") for path in sorted(feeds.glob("*.py")))
    codes = set(re.findall(r'(?:findings\.add|\bNote)\(\s*"([\w-]+)"', texts))
    assert {"skipped-rows", "conflated"} <= codes
    assert codes - INPUT_CODES == set()


def test_warnings_say_synthetic_trips_warning_notes_and_too_few_trades() -> None:
    trip = GuardEvent(OPEN, "trip", "max_drawdown", "equity fell")
    warnings = report_content(a_record(synthetic=True, guard=[trip], guard_tripped=True)).warnings
    assert warnings[0].startswith("SYNTHETIC TAPE")
    assert warnings[1] == "guard tripped at 2024-06-03 09:30:00 EDT: equity fell"
    assert warnings[2] == "rows that could not be used, skipped (t.csv) (7 times)"
    assert warnings[3] == "only 1 closed trade: averages over trades say little"
    assert len(report_content(many_sessions(notes=[])).warnings) == 0


def test_the_guard_tells_trips_first() -> None:
    events = [GuardEvent(OPEN, "refused", "a", "x", 2), GuardEvent(OPEN + 1, "trip", "b", "y")]
    assert column(report_content(a_record(guard=events)).table("guard"), "kind") == ["trip", "refused"]


def test_what_a_run_was_made_from_is_told() -> None:
    table = report_content(a_record()).table("provenance")
    pairs = dict(zip(column(table, "name"), column(table, "value"), strict=True))
    assert pairs["data fingerprint"] == "f00d"
    assert pairs["strategy's code hash"] == "c0de"
    assert pairs["data"] == "1 source: t.csv"
    assert pairs["python"] == "3.11"


def test_configuration_and_parameters_are_told_as_a_person_writes_them() -> None:
    content = report_content(a_record())
    assert column(content.table("parameters"), "value") == ["0.05", "none"]
    assert column(content.table("guard_limits"), "name") == ["max_order_quantity"]
    values: tuple[object, ...] = (1_000_000.0, 0.1, None, True, [], [1.0, 2.5], {"USD": 3.0}, "x", 1e300)
    shown = ["1000000", "0.1", "none", "yes", "none", "1, 2.5", "USD 3", "x", "1e+300"]
    assert [setting_text(value) for value in values] == shown


def test_a_run_of_nothing_has_a_report_too() -> None:
    content = report_content(an_empty_record())
    assert content.subtitle == "backtest, no events"
    assert metric(content, "Win rate") == "n/a"
    lists = ("trades", "positions", "costs", "orders", "ambiguous", "guard", "scans", "input", "log")
    assert [key for key in lists if content.table(key).rows or not content.table(key).note] == []


def test_nothing_of_a_hostile_name_is_changed_or_interpreted() -> None:
    assert "<b>BBB</b>" in column(report_content(a_record()).table("positions"), "symbol")


def test_a_table_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        report_content(a_record()).table("nothing")


def test_the_content_is_made_without_numba_and_pandas() -> None:
    code = "import sys, backtests.report.content; print(sorted({'numba', 'pandas', 'bokeh'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- times --------------------------------------------------------------------------------------------------------


def test_times_have_the_decimals_that_tell_them_apart() -> None:
    assert digits_needed(np.array([OPEN, OPEN + NS_PER_S])) == 0
    assert digits_needed(np.array([OPEN, OPEN + 1_000_000])) == 3
    assert digits_needed(np.array([OPEN, OPEN + 1_000])) == 6
    assert digits_needed(np.array([OPEN, OPEN + 1])) == 9
    assert digits_needed(np.array([OPEN + 7, OPEN + 7])) == 3, "equal times look equal anyway"
    assert digits_needed(np.empty(0, dtype=np.int64)) == 0
    assert column_text(OPEN + 1_500_000, "America/New_York", 3) == "2024-06-03 09:30:00.001"
    assert column_text(OPEN, "America/New_York", 0) == "2024-06-03 09:30:00"


@given(st.lists(st.integers(OPEN, OPEN + 10 * DAY), min_size=1, max_size=20))
def test_unequal_times_never_look_equal(times: list[int]) -> None:
    digits = digits_needed(np.array(times, dtype=np.int64))
    texts = {column_text(each, "America/New_York", digits) for each in times}
    assert len(texts) == len(set(times))


def test_a_zone_is_named_by_its_city() -> None:
    assert (zone_name("America/New_York"), zone_name("UTC")) == ("New York", "UTC")


amounts = st.floats(-1e9, 1e9, allow_nan=False) | st.just(math.nan)


@given(st.lists(st.tuples(amounts, amounts, st.text(max_size=5)), max_size=5), st.sampled_from(Severity))
def test_any_amounts_and_texts_make_a_report_without_nan_or_minus_zero(rows, severity) -> None:
    trades = [(s, "LONG", 1.0, OPEN, CLOSE, 1.0, 2.0, 0.0, a, b, b, a) for a, b, s in rows]
    notes = [Note(s, s, severity) for _, _, s in rows]
    record = a_record(trades=columns(TRADE_COLUMNS, trades), notes=notes, metrics={"net_profit": -0.0})
    content = report_content(record)
    cells = [cell.text for row in content.table("trades").rows for cell in row[2:]]
    assert not {"nan", "-0.00", "+nan", "+0.00", "-0.00 %"} & set(cells)
    assert metric(content, "Net profit") == "0.00 USD"
