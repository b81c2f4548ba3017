"""A run's tables for other programs: exact in CSV and Parquet, in the shapes that pyfolio and QuantStats document."""

from __future__ import annotations

import csv
import json
import math
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtests.definitions import DEFINITION_OF
from backtests.metrics import sharpe
from papertape.core.errors import ConfigError, DataError
from papertape.core.record import FILL_COLUMNS, ORDER_COLUMNS, POSITION_COLUMNS, RunRecord
from papertape.listing import LISTS, csv_text, list_rows
from papertape.run_html import run_html
from papertape.runs import Run
from papertape.store import DAILY_COLUMNS, EQUITY_COLUMNS
from tests.report.made_records import CLOSE, DAY, FIRST_DATE, NAN, OPEN, a_record, columns, many_sessions, order


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def a_rich_record(**changes: Any) -> RunRecord:
    """With custom series and prices."""
    record = a_record(**changes)
    record.custom = {"spread": (np.array([OPEN, OPEN + 1]), np.array([0.01, NAN]))}
    record.prices = {"AAA": columns(EQUITY_COLUMNS, [(OPEN, 100.0, 99.0, 101.0)])}
    return record


# --- CSV and Parquet ----------------------------------------------------------------------------------------------


def test_every_list_is_a_file_and_the_manifest_is_beside_them(tmp_path: Path) -> None:
    folder = Run(a_rich_record()).to_csv(tmp_path / "a" / "b")
    assert {path.name for path in folder.iterdir()} == {*(f"{name}.csv" for name in LISTS), "manifest.json"}
    assert json.loads((folder / "manifest.json").read_text())["strategy"] == "Jumps"


def test_csv_has_exact_numbers_iso_times_and_nothing_for_the_unknown(tmp_path: Path) -> None:
    record = a_rich_record(starting_equity=100_000.1)
    folder = Run(record).to_csv(tmp_path)
    assert [float(row["pnl"]) for row in rows_of(folder / "trades.csv")] == record.trades["pnl"].tolist()
    assert rows_of(folder / "fills.csv")[0]["ts"] == "2024-06-03T13:41:00.000000000Z"
    assert rows_of(folder / "custom.csv")[1] == {"name": "spread", "ts": "2024-06-03T13:30:00.000000001Z", "value": ""}
    assert rows_of(folder / "daily.csv")[0]["date"] == "2024-06-03"
    metrics = {row["name"]: row["value"] for row in rows_of(folder / "metrics.csv")}
    assert float(metrics["net_profit"]) == record.metrics["net_profit"]
    assert metrics["sharpe"] == ""


def test_a_text_that_a_spreadsheet_would_run_is_not_one(tmp_path: Path) -> None:
    fills = columns(FILL_COLUMNS, [(OPEN, "=cmd()", "BUY", 1.0, 1.0, 0.0, 1, False)])
    folder = Run(a_record(fills=fills)).to_csv(tmp_path)
    assert rows_of(folder / "fills.csv")[0]["symbol"] == "'=cmd()"


def test_parquet_gives_back_every_list_with_its_types(tmp_path: Path) -> None:
    record = a_rich_record()
    folder = Run(record).to_parquet(tmp_path)
    assert {path.stem for path in folder.glob("*.parquet")} == set(LISTS)
    for name in LISTS:
        frame = pd.read_parquet(folder / f"{name}.parquet")
        names, rows = list_rows(record, name)
        assert len(frame) == len(rows), name
        assert set(names) <= set(frame.columns), name
        if "ts" in names:
            assert str(frame["ts"].dtype) == "datetime64[ns, UTC]", name
    fills = pd.read_parquet(folder / "fills.parquet")
    assert fills["ts"].astype("int64").tolist() == record.fills["ts"].tolist()
    assert fills["price"].tolist() == record.fills["price"].tolist()


def test_an_empty_run_is_exported_too(tmp_path: Path) -> None:
    record = a_record(
        fills=columns(FILL_COLUMNS, []), orders=columns(ORDER_COLUMNS, []), daily=columns(DAILY_COLUMNS, []),
        equity=columns(EQUITY_COLUMNS, []), scans=[], guard=[], notes=[], log=[],
    )  # fmt: skip
    run = Run(record)
    assert len(rows_of(run.to_csv(tmp_path) / "prices.csv")) == 0
    assert len(pd.read_parquet(run.to_parquet(tmp_path) / "custom.parquet")) == 0
    assert list(run.returns) == []
    assert list(run.positions_daily.columns) == ["cash"]


def test_an_export_replaces_an_earlier_one_and_leaves_others_alone(tmp_path: Path) -> None:
    Run(many_sessions()).to_csv(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    Run(a_record()).to_csv(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert len(rows_of(tmp_path / "trades.csv")) == 1


@pytest.mark.parametrize("manifest", [None, "{}", "[]", "no json"])
def test_an_export_replaces_no_file_of_the_users(tmp_path: Path, manifest: str | None) -> None:
    (tmp_path / "trades.csv").write_text("ts,price,size")
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    before = sorted(path.read_text() for path in tmp_path.iterdir())
    with pytest.raises(DataError, match=r"it holds trades\.csv, which is of no export; name another folder"):
        Run(a_record()).to_csv(tmp_path)
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == before


def test_an_export_that_fails_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def fails_at_the_end(listed: Any) -> str:
        if "symbol" in listed[0] and "entry_ts" in listed[0]:
            raise OSError(28, "No space left on device")
        return csv_text(listed)

    monkeypatch.setattr("papertape.exports.csv_text", fails_at_the_end)
    with pytest.raises(DataError, match="No space left on device"):
        Run(a_record()).to_csv(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="the run cannot be exported here"):
        Run(a_record()).to_csv(tmp_path / "file")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="papertape\\[parquet\\]"):
        Run(a_record()).to_parquet(tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- frames -------------------------------------------------------------------------------------------------------


def test_returns_are_daily_and_not_cumulated_at_midnight_utc() -> None:
    run = Run(many_sessions(3))
    assert run.returns.index.equals(pd.date_range("2024-06-03", periods=3, tz="UTC", name="date"))
    equity = np.array([100_000.0, *run.daily["equity"]])
    np.testing.assert_allclose(run.returns.to_numpy(), equity[1:] / equity[:-1] - 1.0, rtol=1e-12)
    assert np.prod(1.0 + run.returns.to_numpy()) == pytest.approx(equity[-1] / equity[0])


def test_the_sharpe_ratio_of_the_returns_is_the_metric() -> None:
    run = Run(many_sessions())
    assert sharpe(np.asarray(run.returns, dtype=np.float64)) == pytest.approx(run.metrics["sharpe"])


def test_a_return_from_nothing_is_unknown() -> None:
    daily = columns(DAILY_COLUMNS, [(FIRST_DATE, CLOSE, 0.0, NAN), (FIRST_DATE + 1, CLOSE + DAY, 5.0, NAN)])
    returns = Run(a_record(daily=daily)).returns
    assert returns.iloc[0] == -1.0
    assert math.isnan(returns.iloc[1])


def test_transactions_are_signed_fills_by_time() -> None:
    transactions = Run(a_record()).transactions
    assert list(transactions.columns) == ["amount", "price", "symbol"]
    assert transactions["amount"].tolist() == [10.0, -10.0, 10.0]
    assert str(transactions.index.dtype) == "datetime64[ns, UTC]"


def test_positions_and_cash_add_up_to_the_equity_of_each_session() -> None:
    run = Run(a_record())
    assert run.positions_daily.to_dict("records") == [{"<b>BBB</b>": 1000.0, "AAA": 0.0, "cash": 99_097.0}]
    assert run.positions_daily.index.equals(run.returns.index)


def held_overnight(**changes: Any) -> RunRecord:
    """Ten AAA bought on the first of two days at 100, marked at 104 by its close and at 110 at the end."""
    second = OPEN + DAY
    return a_record(**{
        "end": CLOSE + DAY,
        "final_equity": 100_099.0,
        "orders": columns(ORDER_COLUMNS, [order(1, OPEN, "AAA", "BUY", 10.0)]),
        "fills": columns(FILL_COLUMNS, [(OPEN + 5, "AAA", "BUY", 10.0, 100.0, 1.0, 1, False)]),
        "positions": columns(POSITION_COLUMNS, [("AAA", "USD", 10.0, 100.0, 110.0, 1100.0, 100.0, 0.0)]),
        "daily": columns(DAILY_COLUMNS, [(FIRST_DATE, CLOSE, 100_039.0, NAN), (FIRST_DATE + 1, CLOSE + DAY, 100_099.0, NAN)]),
        "prices": {"AAA": columns(EQUITY_COLUMNS, [(CLOSE - 1, 104.0, 99.0, 105.0), (second, 120.0, 104.0, 121.0)])},
        **changes,
    })  # fmt: skip


def test_a_position_is_valued_at_its_last_price_by_the_close() -> None:
    frame = Run(held_overnight()).positions_daily
    assert frame["AAA"].tolist() == [1040.0, 1100.0]
    assert frame["cash"].tolist() == [98_999.0, 98_999.0]


def test_a_split_on_the_way_is_said_not_guessed() -> None:
    split = columns(POSITION_COLUMNS, [("AAA", "USD", 20.0, 50.0, 55.0, 1100.0, 100.0, 0.0)])
    with pytest.raises(DataError, match="the fills of AAA add up to 10, but 20 were held at the end"):
        Run(held_overnight(positions=split)).positions_daily  # noqa: B018


def test_a_foreign_currency_is_said_not_guessed() -> None:
    euros = columns(POSITION_COLUMNS, [("AAA", "EUR", 10.0, 100.0, 110.0, 1100.0, 100.0, 0.0)])
    with pytest.raises(DataError, match="AAA trades in EUR"):
        Run(held_overnight(positions=euros)).positions_daily  # noqa: B018


def test_a_night_without_known_prices_is_said_not_guessed() -> None:
    with pytest.raises(DataError, match="the run kept no prices of AAA"):
        Run(held_overnight(prices={})).positions_daily  # noqa: B018


# --- the view in a notebook ---------------------------------------------------------------------------------------


class Reading(HTMLParser):
    """Tags, attributes and text of a piece of HTML, and whether every tag that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def figures(record: RunRecord) -> dict[str, str]:
    """Title -> text of the headline figures."""
    texts = [text for text in Reading(run_html(record)).texts if text.strip()]
    titles = {*(each.title for each in DEFINITION_OF.values()), "Final equity"}
    return {text: texts[k + 1] for k, text in enumerate(texts) if text in titles}


def test_a_notebook_shows_the_figures_as_reports_do() -> None:
    record = many_sessions()
    shown = figures(record)
    by_title = {each.title: each for each in DEFINITION_OF.values()}
    assert {"Total return", "CAGR", "Sharpe", "Max drawdown", "Fees"} <= set(shown)
    for title, text in shown.items():
        if title in by_title:
            definition = by_title[title]
            assert text.removesuffix(" USD") == definition.show(record.metrics[definition.key])
    assert shown["Final equity"] == f"{record.final_equity:,.2f} USD"


def test_a_notebook_shows_nothing_by_the_year_of_a_short_run() -> None:
    assert {"CAGR", "Sharpe", "Total return"} & set(figures(a_record())) == set()
    assert "Expectancy" in figures(a_record())


@given(st.text(max_size=40), st.sampled_from(["strategy", "mode", "currency"]), st.text(max_size=20))
def test_every_text_from_data_is_escaped(text: str, field: str, place: str) -> None:
    plain = Reading(run_html(a_record(), "x"))
    hostile = Reading(run_html(a_record(**{field: f"<script>{text}</script>\"' onload=x"}), f"<img src=x>{place}"))
    assert hostile.tags == plain.tags
    assert hostile.attributes == plain.attributes


def test_the_view_asks_nothing_of_any_network_and_runs_nothing() -> None:
    text = Run(many_sessions())._repr_html_()
    assert [word for word in ("http", "<script", "url(", "src=", "href=") if word in text] == []
    assert len(text) < 20_000
    assert set(Reading(text).tags) <= {"div", "b", "dl", "dt", "dd", "svg", "title", "path", "polygon", "g", "text"}


def test_the_picture_holds_the_extremes_of_a_long_run() -> None:
    record = a_record()
    n = 20_000
    last = np.full(n, 100_000.0)
    low, high = last.copy(), last.copy()
    low[12_345], high[6_789] = 90_000.0, 111_111.0
    ts = OPEN + np.arange(n, dtype=np.int64)
    record.equity = {"ts": ts, "last": last, "low": low, "high": high}
    text = run_html(record)
    assert "Equity from 90,000.00 to 111,111.00 USD" in text
    heights = {pair.split(",")[1] for pair in text.split('points="')[1].split('"')[0].split()}
    assert {"4.0", "116.0"} <= heights


def test_a_run_without_equity_shows_no_picture() -> None:
    assert "<svg" not in run_html(a_record(equity=columns(EQUITY_COLUMNS, []), final_equity=NAN))
