"""Data from the user's program: without copying where types fit, and with one clear line where they do not."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.bar_bounds import bar_bounds
from feeds.csv_options import BarStamp
from feeds.csv_validate import SessionArrays, bar_times
from feeds.frames import ArrayOptions, array_series
from feeds.parquet import read_parquet
from papertape.calendar import session_times
from papertape.core.errors import ConfigError, DataError
from papertape.core.model import EventKind
from papertape.core.series import Series

S = 1_000_000_000
NINE_THIRTY = 1_717_421_400 * S  # 2024-06-03 09:30 in New York
MINUTE = 60 * S
UTC = ArrayOptions(tz="UTC")


def ns(text: str, zone: str = "America/New_York") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * S


def trades(**changes: Any) -> dict[str, Any]:
    columns = {"ts": NINE_THIRTY + np.arange(3) * S, "price": np.array([1.0, 2, 3]), "size": np.array([4.0, 5, 6])}
    return {name: column for name, column in {**columns, **changes}.items() if column is not None}


def only(data: object, options: ArrayOptions | None = None) -> Series:
    (series,) = array_series(data, options)
    return series


def error_of(data: object, options: ArrayOptions | None = None) -> str:
    with pytest.raises(DataError) as caught:
        array_series(data, options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_arrays_of_fitting_types_are_not_copied() -> None:
    columns = trades()
    series = only({"AAA": columns})
    assert (series.symbol, series.kind, series.source) == ("AAA", EventKind.TRADE, 'data["AAA"]')
    assert np.shares_memory(series.ts, columns["ts"])
    assert np.shares_memory(series.columns[0], columns["price"])
    assert np.shares_memory(series.columns[1], columns["size"])
    assert not series.validated


def test_datetime64_times_of_nanoseconds_are_not_copied_where_they_are_utc() -> None:
    columns = trades(ts=(NINE_THIRTY + np.arange(3) * S).view("datetime64[ns]"))
    series = only({"AAA": columns}, UTC)
    assert np.shares_memory(series.ts, columns["ts"])
    assert series.ts[0] == NINE_THIRTY


def test_a_dataframes_columns_are_not_copied_where_they_fit() -> None:
    frame = pd.DataFrame(trades())
    series = only({"AAA": frame})
    assert np.shares_memory(series.columns[0], frame["price"].to_numpy())
    assert np.shares_memory(series.ts, frame["ts"].to_numpy())


@pytest.mark.parametrize(("unit", "divisor"), [("s", S), ("ms", 10**6), ("us", 1_000), ("ns", 1)])
def test_epochs_and_datetimes_of_every_unit_are_the_same_times(unit: str, divisor: int) -> None:
    whole = (NINE_THIRTY + np.arange(3) * S) // divisor
    assert only({"AAA": trades(ts=whole)}).ts.tolist() == [NINE_THIRTY, NINE_THIRTY + S, NINE_THIRTY + 2 * S]
    assert only({"AAA": trades(ts=whole.astype(f"datetime64[{unit}]"))}, UTC).ts[2] == NINE_THIRTY + 2 * S


def test_lists_and_other_number_types_are_converted() -> None:
    series = only({"AAA": {"ts": [NINE_THIRTY], "price": [1], "size": np.array([2], dtype=np.int32)}})
    assert [column.tolist() for column in series.columns] == [[1.0], [2.0]]
    assert all(column.dtype == np.float64 for column in series.columns)


def test_aliases_and_capitals_are_understood_as_in_csv_files() -> None:
    frame = pd.DataFrame(
        {"Ts_Event": [NINE_THIRTY], "Bid Price": [1.0], "ask_px": [2.0], "bidSize": [3], "ask_sz": [4]}
    )
    series = only({"AAA": frame})
    assert series.kind is EventKind.QUOTE
    assert [column.tolist() for column in series.columns] == [[1.0], [2.0], [3.0], [4.0]]


def test_naive_times_need_a_zone_and_are_converted_from_it() -> None:
    index = pd.to_datetime(["2024-06-03 09:30:00", "2024-06-03 09:30:01"])
    frame = pd.DataFrame({"price": [1.0, 2.0], "size": [1, 1]}, index=index)
    assert 'times without a zone; pass tz="UTC"' in error_of({"AAA": frame})
    assert only({"AAA": frame}, ArrayOptions(tz="America/New_York")).ts.tolist() == [NINE_THIRTY, NINE_THIRTY + S]


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_aware_times_need_no_zone_in_the_index_or_in_a_column(unit: Any) -> None:
    index = pd.to_datetime(["2024-06-03 09:30:00"]).tz_localize("America/New_York").as_unit(unit)
    frame = pd.DataFrame({"price": [1.0], "size": [1]}, index=index)
    assert only({"AAA": frame}).ts.tolist() == [NINE_THIRTY]
    named = frame.rename_axis("timestamp").reset_index()
    assert only({"AAA": named}, ArrayOptions(tz="Asia/Tokyo")).ts.tolist() == [NINE_THIRTY]


@pytest.mark.parametrize(
    ("time", "what"), [("2024-03-10 02:30", "does not exist"), ("2024-11-03 01:30", "exists twice")]
)
def test_a_local_time_that_the_clock_skipped_or_showed_twice_is_refused(time: str, what: str) -> None:
    frame = pd.DataFrame({"ts": pd.to_datetime([time]), "price": [1.0], "size": [1]})
    assert what in error_of({"AAA": frame}, ArrayOptions(tz="America/New_York"))


def test_a_symbol_column_makes_a_series_of_each_symbol_that_remembers_its_rows() -> None:
    frame = pd.DataFrame(
        {"ts": NINE_THIRTY, "symbol": ["B", "A", "B", "A"], "price": [1.0, 2, 3, 4], "size": [1, 1, 1, 1]}
    )
    for data in (frame, frame.to_records(index=False), [frame], frame.set_index(["symbol", "ts"])):
        series = array_series(data)
        assert [s.symbol for s in series] == ["B", "A"]
        assert [s.columns[0].tolist() for s in series] == [[1.0, 3.0], [2.0, 4.0]]
        assert [s.row.tolist() for s in series if s.row is not None] == [[0, 2], [1, 3]]


def test_a_structured_array_is_a_table() -> None:
    data = np.array([(NINE_THIRTY, 1.5, 2.0)], dtype=[("ts", "i8"), ("price", "f8"), ("size", "f8")])
    series = only({"AAA": data})
    assert (series.ts.tolist(), series.columns[0].tolist()) == ([NINE_THIRTY], [1.5])


def test_one_symbol_may_have_trades_and_quotes_and_the_order_of_sources_is_their_rank() -> None:
    quotes = {"ts": [NINE_THIRTY], "bid": [1.0], "ask": [1.1], "bid_size": [1.0], "ask_size": [1.0]}
    series = array_series({"B": [trades(), quotes], "A": trades()})
    assert [(s.symbol, s.kind, s.rank) for s in series] == [
        ("B", EventKind.TRADE, 0),
        ("B", EventKind.QUOTE, 1),
        ("A", EventKind.TRADE, 2),
    ]
    assert series[1].source == 'data["B"][1]'


def test_a_series_passes_through() -> None:
    series = only({"AAA": trades()})
    (again,) = array_series([series])
    assert again.ts is series.ts
    assert again.symbol == "AAA"


def bars(ts: Any, **changes: Any) -> dict[str, Any]:
    n = len(ts)
    return {"ts": ts, **{name: np.ones(n) for name in ("Open", "High", "Low", "Close", "Volume")}, **changes}


def test_bars_need_their_stamp_and_get_their_interval_from_their_times() -> None:
    ts = NINE_THIRTY + np.array([0, 1, 2, 5]) * MINUTE
    assert "bars need their stamp" in error_of({"AAA": bars(ts)})
    opened = only({"AAA": bars(ts)}, ArrayOptions(bar_stamp="open"))
    assert opened.start is not None
    assert opened.start.tolist() == ts.tolist()
    assert opened.ts.tolist() == (ts + MINUTE).tolist()
    closed = only({"AAA": bars(ts)}, ArrayOptions(bar_stamp="close"))
    assert closed.start is not None
    assert closed.ts.tolist() == ts.tolist()
    assert closed.start.tolist() == (ts - MINUTE).tolist()


@given(
    stamps=st.lists(st.integers(0, 3 * 1440), max_size=40, unique=True),
    interval=st.integers(1, 90),
    stamp=st.sampled_from(list(BarStamp)),
    opens=st.lists(st.integers(0, 3 * 1440), max_size=4, unique=True),
    length=st.integers(1, 500),
)
def test_bars_of_arrays_begin_and_end_when_those_of_csv_files_do(
    stamps: list[int], interval: int, stamp: BarStamp, opens: list[int], length: int
) -> None:
    ts = np.array(sorted(stamps), dtype=np.int64)
    open_ = np.array(sorted(opens), dtype=np.int64)
    close = np.minimum(open_ + length, np.append(open_[1:], 10**6)) if len(open_) else open_
    sessions = SessionArrays(open_ // 1440, open_, close, "made up")
    for expected, found in zip(
        bar_times(ts.copy(), interval, stamp, sessions), bar_bounds(ts, interval, stamp, sessions), strict=True
    ):
        assert found.tolist() == expected.tolist()


def test_one_bar_alone_needs_its_interval() -> None:
    data = {"AAA": bars(np.array([NINE_THIRTY]))}
    assert "pass bar_interval_s" in error_of(data, ArrayOptions(bar_stamp="open"))
    assert only(data, ArrayOptions(bar_stamp="open", bar_interval_s=900)).ts.tolist() == [NINE_THIRTY + 15 * MINUTE]


def test_an_unknown_stamp_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'bar_stamp is "opne"; did you mean "open"\?'):
        array_series({"AAA": bars(np.array([NINE_THIRTY]))}, ArrayOptions(bar_stamp="opne"))


@pytest.mark.parametrize("zone", [None, "America/New_York", "UTC"])
def test_daily_bars_are_sessions_whatever_the_zone_of_their_midnights(zone: str | None) -> None:
    index = pd.to_datetime(["2024-07-02", "2024-07-03", "2024-07-05"])
    if zone:
        index = index.tz_localize(zone)
    frame = pd.DataFrame(bars(index)).drop(columns="ts").set_index(index)
    sessions = session_times("XNYS", ns("2024-07-01"), ns("2024-07-06"))
    series = only({"AAA": frame}, ArrayOptions(sessions=sessions))
    assert series.start is not None
    assert series.start.tolist() == [ns(f"2024-07-0{day}T09:30") for day in (2, 3, 5)]
    assert series.ts.tolist() == [ns("2024-07-02T16:00"), ns("2024-07-03T13:00"), ns("2024-07-05T16:00")]


def test_a_daily_bar_of_a_day_without_a_session_is_refused() -> None:
    sessions = session_times("XNYS", ns("2024-07-01"), ns("2024-07-06"))
    data = {"AAA": bars(np.array(["2024-07-03", "2024-07-04"], dtype="datetime64[D]"))}
    assert "2024-07-04 is no session of XNYS" in error_of(data, ArrayOptions(sessions=sessions))
    assert "daily bars need the exchange's sessions" in error_of(data)


def test_newest_first_rows_are_turned_round() -> None:
    columns = {name: column[::-1] for name, column in trades().items()}
    series = only({"AAA": columns})
    assert series.ts.tolist() == [NINE_THIRTY, NINE_THIRTY + S, NINE_THIRTY + 2 * S]
    assert series.columns[0].tolist() == [1.0, 2.0, 3.0]


def test_rows_out_of_order_are_left_for_the_play_to_refuse() -> None:
    series = only({"AAA": trades(ts=np.array([NINE_THIRTY, NINE_THIRTY - S, NINE_THIRTY + S]))})
    assert not series.validated
    assert series.ts.tolist()[1] == NINE_THIRTY - S


def test_columns_that_are_not_contiguous_become_so() -> None:
    block = np.arange(12.0).reshape(3, 4) + 1
    series = only({"AAA": trades(price=block[:, 0], size=block[:, 1])})
    assert all(column.flags.c_contiguous for column in series.columns)
    assert series.columns[0].tolist() == [1.0, 5.0, 9.0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (trades(), "data: has no symbol column; name the symbol, as in"),
        ({}, "data: holds nothing"),
        ([], "data: holds nothing"),
        ("trades.csv", "data: is str, not a DataFrame"),
        ({"AAA": 3}, 'data["AAA"]: is int, not a DataFrame'),
        ({7: trades()}, "data: the key 7 is not a symbol"),
        ({"../x": trades()}, 'data["../x"]: "../x" is not a symbol: it is a path or a formula'),
        ({"AAA": trades(size=None)}, 'data["AAA"]: no column "size"; trades need ts, price, size'),
        ({"AAA": trades(ts=None)}, 'data["AAA"]: no column "ts"'),
        ({"AAA": trades(qty=np.ones(3))}, '"size" and "qty" both mean size'),
        ({"AAA": trades(size=np.ones(2))}, "not one-dimensional and of one length"),
        ({"AAA": trades(size=np.ones((3, 1)))}, "not one-dimensional and of one length"),
        ({"AAA": {name: column[:0] for name, column in trades().items()}}, 'data["AAA"]: holds no row'),
        ({"AAA": trades(price=["1", "2", "3"])}, 'column "price" holds <U1, not numbers; convert it to float64'),
        ({"AAA": trades(price=np.array([True, True, False]))}, 'column "price" holds bool, not numbers'),
        ({"AAA": trades(ts=np.array([1.5, 2.5, 3.5]))}, 'times in column "ts" are float64; convert them to int64 ns'),
        ({"AAA": trades(ts=["a", "b", "c"])}, 'times in column "ts" are <U1'),
        ({"AAA": trades(ts=-np.ones(3, dtype=np.int64))}, "are not in 1970 to 2200"),
        ({"AAA": {"foo": [1.0]}}, "not a header of trades (ts, price, size), quotes or bars"),
        ({"AAA": trades(date=np.ones(3), time=np.ones(3), ts=None)}, "has its times in two columns"),
    ],
)
def test_what_can_not_be_used_is_one_line_with_its_place(data: object, message: str) -> None:
    assert message in error_of(data)


def test_a_missing_time_is_not_read_as_a_time() -> None:
    frame = pd.DataFrame(
        {"ts": np.array(["NaT", "2024-06-03"], dtype="datetime64[ns]"), "price": [1.0, 2.0], "size": [1, 1]}
    )
    assert "not in 1970 to 2200" in error_of({"AAA": frame}, UTC)


def test_a_bad_symbol_in_a_column_is_refused_with_its_row() -> None:
    frame = pd.DataFrame({"ts": NINE_THIRTY, "symbol": ["A", "=cmd()"], "price": 1.0, "size": 1.0})
    assert error_of(frame).startswith('data:2: "=cmd()" is not a symbol')


def test_two_columns_of_one_name_are_refused() -> None:
    frame = pd.DataFrame([[NINE_THIRTY, 1.0, 2.0, 3.0]], columns=["ts", "price", "price", "size"])
    assert 'column "price" is there twice' in error_of({"AAA": frame})


def test_nullable_numbers_with_nothing_in_them_are_nan() -> None:
    frame = pd.DataFrame({"ts": [NINE_THIRTY, NINE_THIRTY], "price": [1.0, 2.0], "size": [1, 2]})
    frame["price"] = pd.array([1.0, None], dtype="Float64")
    np.testing.assert_array_equal(only({"AAA": frame}).columns[0], [1.0, np.nan])


def test_arrays_alone_do_not_import_pandas() -> None:
    code = (
        "import sys, numpy as np; from feeds.frames import array_series; "
        "array_series({'A': {'ts': np.array([1717421400000000000]), 'price': np.ones(1), 'size': np.ones(1)}}); "
        "print('pandas' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_parquet_without_pyarrow_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="install it where papertape is: pip install pyarrow"):
        read_parquet(tmp_path / "a.parquet")


def test_parquet_files_are_read_as_the_frames_that_were_written(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table(trades()), tmp_path / "aaa_trades.parquet")
    (series,) = read_parquet(tmp_path / "aaa_trades.parquet")
    assert (series.symbol, series.ts.tolist()) == ("AAA", trades()["ts"].tolist())
    assert [column.tolist() for column in series.columns] == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    moment = pa.array([NINE_THIRTY], pa.timestamp("ns", tz="America/New_York"))
    several = {"ts": moment, "symbol": pa.array(["B"]).dictionary_encode(), "price": [1.0], "size": [None]}
    pq.write_table(pa.table(several | {"size": pa.array([7], pa.int64())}), tmp_path / "x.parquet")
    (series,) = read_parquet(tmp_path / "x.parquet")
    assert (series.symbol, series.ts.tolist(), series.columns[1].tolist()) == ("B", [NINE_THIRTY], [7.0])


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"a\.parquet: is not a sound Parquet file"):
        read_parquet(tmp_path / "a.parquet")
