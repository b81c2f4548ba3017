"""A run comes back from disk as it was, is complete or absent, and is readable with any SQLite tool."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import sqlite3
import string
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape import store
from papertape.core.errors import DataError
from papertape.core.model import Note, Scan, ScanRow, Severity
from papertape.core.record import (
    FILL_COLUMNS,
    ORDER_COLUMNS,
    POSITION_COLUMNS,
    TRADE_COLUMNS,
    Columns,
    Drawdown,
    GuardEvent,
    RunRecord,
)
from papertape.runs import Run, iso_utc, list_runs, open_run, to_json_summary
from papertape.store import DAILY_COLUMNS, EQUITY_COLUMNS, POINT_COLUMNS, load_outline, load_record, save_run

T0 = 1_772_461_800_000_000_001  # 2026-03-02T14:30:00.000000001Z


def columns(layout: Mapping[str, str], rows: list[tuple[Any, ...]]) -> Columns:
    """Rows as columns of the layout's types."""
    made = {name: np.empty(len(rows), dtype=code) for name, code in layout.items()}
    for number, row in enumerate(rows):
        for name, value in zip(layout, row, strict=True):
            made[name][number] = value
    return made


def a_record(**changes: Any) -> RunRecord:
    """A small run: one buy that is still held, a refused order, a scan with a result and one without."""
    nan = math.nan
    record = RunRecord(
        strategy="TickMomentum",
        mode="backtest",
        start=T0,
        end=T0 + 3_000_000_000,
        events=1_234,
        currency="USD",
        starting_equity=100_000.0,
        final_equity=100_009.0,
        cash={"USD": 99_499.0, "EUR": 5.0},
        orders=columns(
            ORDER_COLUMNS,
            [
                (1, T0, "AAPL", "BUY", "MARKET", 5.0, nan, nan, "DAY", "FILLED", 5.0, 100.0, 1.0, 99.9, T0 + 5, "", 0, 0, "in"),
                (2, T0, "BRK B", "SELL", "LIMIT", 1.0, 9.5, nan, "GTC", "REJECTED", 0.0, nan, 0.0, nan, 0, "no short", 1, 3, ""),
            ],
        ),
        fills=columns(FILL_COLUMNS, [(T0 + 5, "AAPL", "BUY", 5.0, 100.0, 1.0, 1, True)]),
        positions=columns(
            POSITION_COLUMNS,
            [("AAPL", "USD", 5.0, 100.2, 102.0, 510.0, 9.0, 0.0), ("IBM", "USD", 0.0, nan, 7.0, 0.0, 0.0, 1.0)],
        ),
        equity=columns(EQUITY_COLUMNS, [(T0, 100_000.0, 99_990.0, 100_001.0), (T0 + 9, 100_009.0, 100_000.0, 100_010.0)]),
        points=columns(POINT_COLUMNS, [(T0 + 5, 99_999.0)]),
        daily=columns(DAILY_COLUMNS, [(20_514, T0 + 9, 100_009.0, math.nan)]),
        drawdown=Drawdown(-0.0001, T0, T0 + 5, 0, 100_000.0, 99_990.0),
        time_in_market_ns=4,
        trades=columns(TRADE_COLUMNS, [("IBM", "LONG", 1.0, T0, T0 + 1, 6.0, 7.0, 0.0, 1.0, 1 / 6, nan, 0.5)]),
        metrics={"total_return": 0.00009, "sharpe": None},
        scans=[Scan("MOST_ACTIVE", T0, (ScanRow(0, "AAPL", 265598, "SMART"),), "derived"), Scan("EMPTY", T0, (), "derived", "too early")],
        custom={"spread": (np.array([T0, T0 + 1]), np.array([0.01, nan])), "never": (np.empty(0, np.int64), np.empty(0))},
        guard=[GuardEvent(T0, "refused", "order_quantity", "6 is more than 5", 2)],
        notes=[Note("gap", "a gap of a session", Severity.WARNING, 2), Note("bom", "a byte order mark")],
        log=[(T0, "hello")],
        journal=b'{"ts":1}\n{"ts":2}\n',
        prices={"AAPL": columns(EQUITY_COLUMNS, [(T0, 100.0, 99.0, 101.0)])},
        settings={"cash": 100_000, "fees": "ib-fixed", "up": [0.03, 0.05]},
        fingerprint="abc",
        versions={"numpy": "2"},
        elapsed_s=0.25,
    )  # fmt: skip
    return dataclasses.replace(record, **changes)


def assert_same(a: object, b: object) -> None:
    """Equal in type and value at every depth; NaN equals NaN."""
    if isinstance(a, np.ndarray):
        assert isinstance(b, np.ndarray)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, Mapping):
        assert isinstance(b, Mapping)
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, tuple | list):
        assert type(a) is type(b)
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, float) and math.isnan(a):
        assert isinstance(b, float)
        assert math.isnan(b)
    else:
        assert type(a) is type(b)
        assert a == b


def assert_same_record(a: RunRecord, b: RunRecord) -> None:
    for field in dataclasses.fields(RunRecord):
        assert_same(getattr(a, field.name), getattr(b, field.name))


# --- any record comes back ----------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INTEGER = st.integers(-(2**63), 2**63 - 1)
REAL = st.floats(allow_nan=True, allow_infinity=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES: Mapping[str, st.SearchStrategy[Any]] = {"i8": INTEGER, "f8": REAL, "O": TEXT, "?": st.booleans()}
JSON = st.recursive(
    st.none() | st.booleans() | INTEGER | FINITE | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def tables(layout: Mapping[str, str]) -> st.SearchStrategy[Columns]:
    rows = st.lists(st.tuples(*(VALUES[code] for code in layout.values())), max_size=3)
    return rows.map(lambda found: columns(layout, found))


SERIES = tables({"ts": "i8", "value": "f8"}).map(lambda made: (made["ts"], made["value"]))
ROWS = st.lists(st.builds(ScanRow, INTEGER, TEXT, INTEGER, TEXT, TEXT), max_size=3).map(tuple)
RECORDS = st.builds(
    RunRecord,
    strategy=st.text(max_size=80),
    mode=st.sampled_from(["backtest", "paper", "live"]),
    start=INTEGER,
    end=INTEGER,
    events=st.integers(0, 2**62),
    currency=st.just("USD"),
    starting_equity=FINITE | st.just(math.nan),
    final_equity=FINITE | st.just(math.nan),
    cash=st.dictionaries(TEXT, FINITE | st.just(math.nan), max_size=3),
    orders=tables(ORDER_COLUMNS),
    fills=tables(FILL_COLUMNS),
    positions=tables(POSITION_COLUMNS),
    trades=tables(TRADE_COLUMNS),
    equity=tables(EQUITY_COLUMNS),
    points=tables(POINT_COLUMNS),
    daily=tables(DAILY_COLUMNS),
    drawdown=st.builds(Drawdown, FINITE | st.just(math.nan), INTEGER, INTEGER, INTEGER, FINITE, FINITE),
    time_in_market_ns=INTEGER,
    metrics=st.dictionaries(TEXT, FINITE | st.none(), max_size=3),
    scans=st.lists(st.builds(Scan, TEXT, INTEGER, ROWS, TEXT, TEXT), max_size=3),
    custom=st.dictionaries(TEXT, SERIES, max_size=3),
    guard=st.lists(st.builds(GuardEvent, INTEGER, TEXT, TEXT, TEXT, st.integers(1, 2**40)), max_size=3),
    notes=st.lists(st.builds(Note, TEXT, TEXT, st.sampled_from(Severity), st.integers(1, 2**40)), max_size=3),
    log=st.lists(st.tuples(INTEGER, TEXT), max_size=3),
    journal=st.lists(st.binary(max_size=8)).map(b"\n".join),
    prices=st.dictionaries(TEXT, tables(EQUITY_COLUMNS), max_size=3),
    settings=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    fingerprint=TEXT,
    code_hash=TEXT,
    versions=st.dictionaries(TEXT, TEXT, max_size=2),
    synthetic=st.booleans(),
    zone=TEXT,
    elapsed_s=st.floats(0, 1e9),
    guard_tripped=st.booleans(),
)


@given(RECORDS)
def test_any_run_comes_back_as_it_was_saved(record: RunRecord) -> None:
    with tempfile.TemporaryDirectory() as out:
        assert_same_record(record, load_record(save_run(record, Path(out))))


# --- writing ------------------------------------------------------------------------------------------------------


def test_a_run_is_one_folder_with_one_self_contained_file(tmp_path: Path) -> None:
    folder = save_run(a_record(), tmp_path / "runs")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder.name]
    assert [path.name for path in folder.iterdir()] == ["run.sqlite"]


@pytest.mark.parametrize("name", ["../../up", "a/b", "con:aux", "Größe <b>", "", "x" * 300, "-rf", ".hidden"])
def test_the_folder_is_named_safely_whatever_the_strategy_is_called(tmp_path: Path, name: str) -> None:
    folder = save_run(a_record(strategy=name), tmp_path)
    assert folder.parent == tmp_path
    assert set(folder.name) <= set(string.ascii_letters + string.digits + "_-")
    assert len(folder.name) < 110
    assert open_run(folder).strategy == name


def test_runs_that_are_saved_at_the_same_second_do_not_meet(tmp_path: Path) -> None:
    assert len({save_run(a_record(), tmp_path) for _ in range(5)}) == 5
    assert len(list_runs(tmp_path)) == 5


def test_a_name_that_is_taken_is_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = iter(["aaaaaa", "aaaaaa", "bbbbbb"])
    monkeypatch.setattr("papertape.store.secrets.token_hex", lambda _: next(digits))
    monkeypatch.setattr("papertape.store.time.gmtime", lambda: (2026, 3, 2, 14, 30, 0, 0, 61, 0))
    first = save_run(a_record(strategy="first"), tmp_path)
    first.rename(tmp_path / first.name.replace("first", "other"))
    assert save_run(a_record(strategy="other"), tmp_path).name.endswith("bbbbbb")


def test_a_run_that_fails_while_it_is_written_leaves_nothing(tmp_path: Path) -> None:
    record = a_record()
    record.fills["price"] = record.fills["price"][:0]  # columns of unequal length
    with pytest.raises(ValueError, match="zip"):
        save_run(record, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"^.*file.*: the run cannot be written here \(.*\); name another folder$"):
        save_run(a_record(), tmp_path / "file")


@pytest.mark.parametrize("rows", [63, 64, 65, 128, 200])
def test_tables_of_any_length_come_back_row_by_row(tmp_path: Path, rows: int) -> None:
    ts = T0 + np.arange(rows)
    values = np.where(ts % 3 == 0, math.nan, ts - T0 + 0.5)
    equity = {"ts": ts, "last": values, "low": values - 1, "high": values + 1}
    said = [(T0 + k, f"line {k}") for k in range(rows)]
    read = load_record(save_run(a_record(equity=equity, log=said), tmp_path))
    assert read.log == said
    for name, column in equity.items():
        np.testing.assert_array_equal(read.equity[name], column)


def test_text_that_is_no_unicode_does_not_lose_the_run(tmp_path: Path) -> None:
    folder = save_run(a_record(log=[(T0, "file \udcff.csv")]), tmp_path)
    assert load_record(folder).log == [(T0, "file ?.csv")]


def test_settings_that_json_cannot_hold_are_kept_as_what_comes_closest(tmp_path: Path) -> None:
    settings = {"limit": math.inf, "n": np.int64(3), "path": Path("a") / "b", "level": Severity.WARNING, 5: (1, 2)}
    kept = load_record(save_run(a_record(settings=settings), tmp_path)).settings
    assert kept == {"limit": None, "n": 3, "path": str(Path("a") / "b"), "level": "warning", "5": [1, 2]}


# --- what another SQLite tool sees ----------------------------------------------------------------------------------


def test_any_sqlite_tool_reads_times_as_text_and_unknown_numbers_as_null(tmp_path: Path) -> None:
    with sqlite3.connect(save_run(a_record(), tmp_path) / "run.sqlite") as database:
        fills = database.execute("SELECT ts, symbol, price, order_number, ambiguous FROM fills_iso").fetchall()
        orders = database.execute("SELECT number, ts_final, limit_price FROM orders_iso").fetchall()
        (daily,) = database.execute("SELECT date FROM daily_iso").fetchone()
        (settings,) = database.execute("SELECT value ->> '$.fees' FROM manifest WHERE key = 'settings'").fetchone()
        (sound,) = database.execute("PRAGMA integrity_check").fetchone()
    database.close()
    assert fills == [("2026-03-02T14:30:00.000000006Z", "AAPL", 100.0, 1, 1)]
    assert orders == [(1, "2026-03-02T14:30:00.000000006Z", None), (2, None, 9.5)]
    assert (daily, settings, sound) == ("2026-03-02", "ib-fixed", "ok")


def test_iso_text_has_nine_decimals_before_and_after_1970() -> None:
    assert iso_utc(T0) == "2026-03-02T14:30:00.000000001Z"
    assert iso_utc(-1) == "1969-12-31T23:59:59.999999999Z"


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_run_opens_by_its_folder_and_by_its_file(tmp_path: Path) -> None:
    folder = save_run(a_record(), tmp_path)
    for path in (folder, folder / "run.sqlite", str(folder)):
        assert open_run(path).path == folder
    shutil.copy(folder / "run.sqlite", tmp_path / "mine.db")
    assert_same_record(open_run(tmp_path / "mine.db").record, a_record())


def test_a_run_in_a_folder_that_cannot_be_written_can_be_read(tmp_path: Path) -> None:
    folder = save_run(a_record(), tmp_path)
    (folder / "run.sqlite").chmod(0o444)
    folder.chmod(0o555)
    try:
        assert_same_record(load_record(folder), a_record())
        assert [path.name for path in folder.iterdir()] == ["run.sqlite"]
    finally:
        folder.chmod(0o755)


def message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_record(open_run(path).path or path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_what_is_no_run_is_said_in_one_line(tmp_path: Path) -> None:
    assert "no such run" in message(tmp_path / "absent")
    assert "the folder holds no run.sqlite" in message(tmp_path)
    (tmp_path / "text").write_text("not a database, and longer than the header of one" * 10)
    assert "not a run of papertape" in message(tmp_path / "text")
    (tmp_path / "empty").touch()
    assert "not a run of papertape" in message(tmp_path / "empty")
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE t (x)").connection.close()
    assert "not a run of papertape" in message(tmp_path / "other.sqlite")


def test_a_folder_of_runs_is_answered_with_the_name_of_one(tmp_path: Path) -> None:
    folder = save_run(a_record(), tmp_path)
    assert f"name one of the 1 runs in it, the last is {folder.name}" in message(tmp_path)


def test_a_run_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    file = save_run(a_record(), tmp_path) / "run.sqlite"
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version = 99")
    database.close()
    assert "written by a newer papertape (format 99, this one reads up to 2); upgrade it" in message(file)


def test_a_run_of_the_first_format_has_no_benchmark_by_day_and_is_read_otherwise_as_it_is(tmp_path: Path) -> None:
    folder = save_run(a_record(), tmp_path)
    database = sqlite3.connect(folder / "run.sqlite")
    database.execute("DROP VIEW daily_iso")
    database.execute("ALTER TABLE daily DROP COLUMN benchmark")
    database.execute("PRAGMA user_version = 1")
    database.close()
    assert_same_record(load_record(folder), a_record())
    assert np.isnan(load_outline(folder, points=10).daily["benchmark"]).tolist() == [True]


def test_a_run_can_be_read_without_its_journal(tmp_path: Path) -> None:
    record = load_record(save_run(a_record(), tmp_path), journal=False)
    assert record.journal == b""
    assert_same_record(dataclasses.replace(record, journal=a_record().journal), a_record())


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE fills",
        "DELETE FROM manifest WHERE key = 'cash'",
        "UPDATE manifest SET value = '{' WHERE key = 'drawdown'",
        "UPDATE manifest SET value = '3' WHERE key = 'cash'",
        "UPDATE orders SET ts = 'yesterday'",
        "UPDATE notes SET severity = 'fatal'",
        "INSERT INTO custom VALUES ('unheard of', 1, 2.0)",
    ],
)
def test_a_damaged_run_is_said_in_one_line(tmp_path: Path, statement: str) -> None:
    file = save_run(a_record(), tmp_path) / "run.sqlite"
    with sqlite3.connect(file) as database:
        database.execute(statement)
    database.close()
    assert "the run is damaged (" in message(file)


def test_a_file_that_lost_its_end_is_damaged(tmp_path: Path) -> None:
    file = save_run(a_record(journal=b"line\n" * 50_000), tmp_path) / "run.sqlite"
    file.write_bytes(file.read_bytes()[:-100_000])
    assert "the run is damaged (" in message(file)


def test_runs_are_listed_oldest_first_and_unfinished_ones_are_not(tmp_path: Path) -> None:
    for name in ("20260302T1430-b-paper-1", "20260101T0000-a-backtest-2", ".20260101T0000-a-backtest-3.partial"):
        save_run(a_record(strategy=name[-1]), tmp_path / "made").rename(tmp_path / name)
    assert [run.strategy for run in list_runs(tmp_path)] == ["2", "1"]
    with pytest.raises(DataError, match="no such folder of runs"):
        list_runs(tmp_path / "absent")


# --- as pandas objects ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["in memory", "from disk"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """The same run before and after it was stored."""
    return Run(a_record()) if request.param == "in memory" else open_run(save_run(a_record(), tmp_path))


def test_tables_have_utc_times_and_named_columns(run: Run) -> None:
    assert list(run.fills.columns) == list(FILL_COLUMNS)
    assert str(run.fills["ts"].dtype) == "datetime64[ns, UTC]"
    assert run.fills["ts"][0].isoformat() == "2026-03-02T14:30:00.000000006+00:00"
    assert run.fills["ambiguous"].tolist() == [True]
    assert run.orders["ts_final"].isna().tolist() == [False, True]
    assert math.isnan(run.orders["limit_price"][0])
    assert str(run.trades["exit_ts"].dtype) == "datetime64[ns, UTC]"
    assert run.positions["quantity"].tolist() == [5.0, 0.0]


def test_equity_is_a_series_over_utc_time(run: Run) -> None:
    assert run.equity.tolist() == [100_000.0, 100_009.0]
    assert str(run.equity.index.dtype) == "datetime64[ns, UTC]"
    assert run.equity_buckets["low"].tolist() == [99_990.0, 100_000.0]
    assert run.points["equity"].tolist() == [99_999.0]
    assert [str(day)[:10] for day in run.daily.index] == ["2026-03-02"]
    assert run.custom["spread"].index[1].value == T0 + 1
    assert len(run.custom["never"]) == 0
    assert run.prices["AAPL"]["high"].tolist() == [101.0]


def test_a_scan_without_results_is_a_row_without_a_rank(run: Run) -> None:
    assert run.scans["code"].tolist() == ["MOST_ACTIVE", "EMPTY"]
    assert run.scans["rank"].isna().tolist() == [False, True]
    assert run.scans["symbol"][0] == "AAPL"
    assert run.scans["note"][1] == "too early"


def test_guard_notes_log_and_journal_are_tables_and_bytes(run: Run) -> None:
    assert run.guard["text"].tolist() == ["6 is more than 5"]
    assert run.notes["severity"].tolist() == ["warning", "info"]
    assert run.log["text"].tolist() == ["hello"]
    assert run.journal == b'{"ts":1}\n{"ts":2}\n'


def test_a_run_shows_what_it_is_in_one_line(run: Run) -> None:
    shown = repr(run)
    assert shown.startswith("Run(TickMomentum, backtest, 2026-03-02..2026-03-02, 1,234 events, equity 100,000.00")
    assert "-> 100,009.00 USD, max drawdown -0.01%" in shown
    assert (run.path is not None) == (str(run.path) in shown)


def test_a_run_of_nothing_has_empty_tables() -> None:
    bare = a_record(
        events=0, scans=[], guard=[], notes=[], log=[], custom={}, prices={},
        **{name: columns(layout, []) for name, layout in store._COLUMN_TABLES.items()},
    )  # fmt: skip
    run = Run(bare)
    for name in ("orders", "fills", "trades", "positions", "equity", "daily", "scans", "guard", "notes", "log"):
        assert len(getattr(run, name)) == 0
    assert "no events" in repr(run)
    summary = to_json_summary(run)
    assert (summary["start"], summary["fees"], summary["positions"]) == (None, 0.0, {})


def test_a_run_in_memory_is_saved_where_asked_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run(a_record())
    assert run.equity is run.equity
    assert list(tmp_path.iterdir()) == []
    folder = run.save("kept")
    assert run.path == folder
    assert_same_record(load_record(folder), a_record())


# --- as JSON --------------------------------------------------------------------------------------------------------


def test_the_summary_has_the_agreed_keys_and_is_json(run: Run) -> None:
    summary = to_json_summary(run)
    assert list(summary) == [
        "run", "strategy", "mode", "start", "end", "events", "orders", "fills", "fees", "starting_equity",
        "final_equity", "cash", "positions", "metrics", "guard", "warnings", "elapsed_s",
    ]  # fmt: skip
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert (summary["orders"], summary["fills"], summary["fees"]) == (2, 1, 1.0)
    assert (summary["cash"], summary["positions"]) == (99_499.0, {"AAPL": 5.0})
    assert summary["metrics"] == {"total_return": 0.00009, "sharpe": None}
    assert summary["start"] == "2026-03-02T14:30:00.000000001Z"
    assert summary["warnings"] == ["a gap of a session (2 times)"]
    assert summary["guard"]["events"][0]["rule"] == "order_quantity"


def test_numbers_that_are_not_finite_are_null_in_json() -> None:
    run = Run(a_record(final_equity=math.nan, metrics={"profit_factor": math.inf}))
    summary = to_json_summary(run)
    assert summary["final_equity"] is None
    assert summary["metrics"] == {"profit_factor": None}


def test_reading_the_names_of_runs_does_not_import_pandas(tmp_path: Path) -> None:
    folder = save_run(a_record(), tmp_path)
    program = f"import sys, papertape.runs as r; r.open_run({str(folder)!r}).record; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
