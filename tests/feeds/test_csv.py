"""Reading CSV tape: kinds, aliases, times, symbols, bars, folders, and joining files."""

from __future__ import annotations

import os
import struct
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feeds import csv_codes, csv_finish, csv_numbers, csv_sources
from feeds.csv import BarStamp, CsvOptions, Loaded, read_csv
from feeds.csv_columns import symbol_of_name
from feeds.timestamps import iso
from papertape.calendar import session_times
from papertape.core.errors import DataError
from papertape.core.model import EventKind, Severity
from papertape.core.series import Series

EQKER = Path(os.environ.get("PAPERTAPE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "eqker"
OPEN_STAMP = CsvOptions(bar_stamp=BarStamp.OPEN)
CLOSE_STAMP = CsvOptions(bar_stamp=BarStamp.CLOSE)
BAR_HEADER = "ts,open,high,low,close,volume"
NS = 1_000_000_000


def write(folder: Path, name: str, *lines: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return file


def only(loaded: Loaded) -> Series:
    (series,) = loaded.series
    return series


def test_trades_quotes_and_bars_are_told_by_their_headers(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "ts,price,size", "1704207600,100.5,10")
    write(tmp_path, "b.csv", "ts,bid,ask,bid_size,ask_size", "1704207600,100.25,100.5,3,4")
    write(tmp_path, "c.csv", BAR_HEADER, "1704207600,1,2,0.5,1.5,7", "1704207660,1,2,0.5,1.5,7")
    trade, quote, bar = read_csv([tmp_path], OPEN_STAMP).series
    assert (trade.kind, [c.tolist() for c in trade.columns]) == (EventKind.TRADE, [[100.5], [10.0]])
    assert (quote.kind, [c[0] for c in quote.columns]) == (EventKind.QUOTE, [100.25, 100.5, 3.0, 4.0])
    assert (bar.kind, [c[0] for c in bar.columns]) == (EventKind.BAR, [1.0, 2.0, 0.5, 1.5, 7.0])
    assert [s.rank for s in (trade, quote, bar)] == [0, 1, 2]
    assert [s.symbol for s in (trade, quote, bar)] == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Timestamp,Last,Qty", "1704207600,100.5,10"),
        ("size,Price,ts_event", "10,100.5,1704207600"),
        ('"DateTime","Last Price","Trade Size"', '"2024-01-02T15:00:00Z","100.5","10"'),
        ("<DATE>,<TIME>,<LAST>,<VOL>", "20240102,150000,100.5,10"),
        ("date, time, price, quantity", "2024-01-02, 15:00:00, 100.5, 10"),
        ("exchange,ts,price,size,condition", "Q,1704207600,100.5,10,"),
    ],
)
def test_aliases_and_column_order_do_not_matter(tmp_path: Path, header: str, row: str) -> None:
    series = only(read_csv([write(tmp_path, "AIG.csv", header, row)], CsvOptions(tz="UTC")))
    assert series.ts.tolist() == [1704207600 * NS]
    assert [c.tolist() for c in series.columns] == [[100.5], [10.0]]


def test_databento_and_yahoo_headers_are_understood(tmp_path: Path) -> None:
    quotes = write(tmp_path, "q.csv", "ts_recv,ts_event,bid_px_00,ask_px_00,bid_sz_00,ask_sz_00,symbol",
                   "1,1704207600000000001,10.25,10.5,1,2,AIG")  # fmt: skip
    loaded = read_csv([quotes], CsvOptions())
    assert (only(loaded).symbol, only(loaded).ts[0]) == ("AIG", 1704207600000000001)
    assert [n.text for n in loaded.notes if n.code == "ignored-columns"] == [
        f"columns that are not read: ts_recv ({quotes})"
    ]
    daily = write(tmp_path, "aig.csv", "Date,Open,High,Low,Close,Adj Close,Volume", "2024-01-02,1,2,0.5,1.5,1.4,10")
    sessions = session_times("XNYS", 1704067200 * NS, 1706745600 * NS)
    assert [c[0] for c in only(read_csv([daily], CsvOptions(sessions=sessions))).columns] == [1.0, 2.0, 0.5, 1.5, 10.0]


MOMENT = 1704207600_000000000
TIMES = {
    "1704207600": MOMENT,
    "1704207600.25": MOMENT + 250_000_000,
    "1704207600000": MOMENT,
    "1704207600000000": MOMENT,
    "1704207600000000000": MOMENT,
    "2024-01-02T15:00:00Z": MOMENT,
    "2024-01-02T15:00:00.123456789Z": MOMENT + 123_456_789,
    "2024-01-02 10:00:00-05:00": MOMENT,
    "2024-01-02 10:00:00.5 -0500": MOMENT + 500_000_000,
    "2024-01-02T20:30+05:30": MOMENT,
    "2024-01-02 10:00": MOMENT,
    "2024-01-02 10:00:00": MOMENT,
    "2024/1/2 10:00:00": MOMENT,
    "20240102 10:00:00": MOMENT,
    "20240102-10:00:00": MOMENT,
    "01/22/2024 10:00:00": MOMENT + 20 * 86_400 * NS,
}


@pytest.mark.parametrize(("text", "ts"), TIMES.items(), ids=TIMES.keys())
def test_times_are_understood_to_the_nanosecond(tmp_path: Path, text: str, ts: int) -> None:
    file = write(tmp_path, "AIG.csv", "ts,price,size", f"{text},1,1")
    assert only(read_csv([file], CsvOptions(tz="America/New_York"))).ts.tolist() == [ts]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 12, 30)))  # noqa: DTZ001 - local on purpose
def test_local_times_become_the_utc_that_the_zone_database_gives(tmp_path: Path, local: datetime) -> None:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("America/New_York")
    moment = local.replace(tzinfo=zone)
    there_and_back = moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    clear = there_and_back == local and moment.utcoffset() == moment.replace(fold=1).utcoffset()
    file = write(tmp_path, "AIG.csv", "ts,price,size", f"{local.isoformat()},1,1")
    if not clear:
        with pytest.raises(DataError, match="the clocks change"):
            read_csv([file], CsvOptions(tz="America/New_York"))
        return
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert only(read_csv([file], CsvOptions(tz="America/New_York"))).ts.tolist() == [microseconds * 1000]


def test_offsets_that_change_as_those_of_the_named_zone_do_are_fine(tmp_path: Path) -> None:
    rows = ["2024-03-08T10:00:00-05:00,1,1", "2024-03-11T10:00:00-04:00,1,1"]
    file = write(tmp_path, "AIG.csv", "ts,price,size", *rows)
    assert len(only(read_csv([file], CsvOptions(tz="America/New_York")))) == 2
    with pytest.raises(DataError, match="not as in Europe/London"):
        read_csv([file], CsvOptions(tz="Europe/London"))


@pytest.mark.parametrize(
    ("name", "symbol", "interval_s"),
    [
        ("AAPL_1min.csv", "AAPL", 60.0),
        ("SPY_daily.csv", "SPY", 86_400.0),
        ("aig-trades.csv.gz", "AIG", None),
        ("BRK.B_15min.csv.zst", "BRK.B", 900.0),
        ("ibm_2024-01-02.csv", "IBM", None),
        ("ibm_trades_20240102.txt", "IBM", None),
        ("daily.csv", "DAILY", None),
        ("ES_1h_bars.csv", "ES", 3600.0),
    ],
)
def test_a_file_name_gives_symbol_and_interval(name: str, symbol: str, interval_s: float | None) -> None:
    assert symbol_of_name(name) == (symbol, interval_s)


def test_a_symbol_column_makes_a_series_a_symbol_that_remembers_its_rows(tmp_path: Path) -> None:
    rows = ["1704207600,IBM,1,1", "1704207600,AIG,2,1", "1704207600,IBM,3,1", "1704207601,AIG,4,1"]
    ibm, aig = read_csv([write(tmp_path, "day.csv", "ts,symbol,price,size", *rows)], CsvOptions()).series
    assert (ibm.symbol, ibm.columns[0].tolist(), ibm.row is not None and ibm.row.tolist()) == ("IBM", [1, 3], [0, 2])
    assert (aig.symbol, aig.columns[0].tolist(), aig.row is not None and aig.row.tolist()) == ("AIG", [2, 4], [1, 3])


def test_symbols_one_after_the_other_newest_first_come_out_oldest_first(tmp_path: Path) -> None:
    rows = ["1704207602,IBM,1,1", "1704207601,IBM,2,1", "1704207603,AIG,3,1", "1704207600,AIG,4,1"]
    loaded = read_csv([write(tmp_path, "day.csv", "ts,symbol,price,size", *rows)], CsvOptions())
    assert {s.symbol: s.columns[0].tolist() for s in loaded.series} == {"IBM": [2, 1], "AIG": [4, 3]}


def test_one_symbol_in_a_symbol_column_needs_no_rows(tmp_path: Path) -> None:
    file = write(tmp_path, "x.csv", "ts,ticker,price,size", "1704207600,brk b,1,1")
    assert (only(read_csv([file], CsvOptions())).symbol, only(read_csv([file], CsvOptions())).row) == ("brk b", None)


def test_a_quote_with_one_side_is_kept_and_one_without_sides_is_refused(tmp_path: Path) -> None:
    header = "ts,bid,ask,bid_size,ask_size"
    series = only(read_csv([write(tmp_path, "A.csv", header, "1704207600,,10.5,,3")], CsvOptions()))
    assert [str(c[0]) for c in series.columns] == ["nan", "10.5", "0.0", "3.0"]
    with pytest.raises(DataError, match="neither bid nor ask"):
        read_csv([write(tmp_path, "A.csv", header, "1704207600,,,,")], CsvOptions())


def bars_at(*stamps: str) -> list[str]:
    return [BAR_HEADER, *(f"{stamp},1,1,1,1,0" for stamp in stamps)]


def test_the_interval_is_the_most_frequent_pause_and_the_stamp_decides_which_end(tmp_path: Path) -> None:
    stamps = [1704207600, 1704207900, 1704208200, 1704210000]
    file = write(tmp_path, "A.csv", *bars_at(*map(str, stamps)))
    opened, closed = only(read_csv([file], OPEN_STAMP)), only(read_csv([file], CLOSE_STAMP))
    assert opened.start is not None
    assert closed.start is not None
    assert (opened.start // NS).tolist() == stamps
    assert (opened.ts // NS).tolist() == [s + 300 for s in stamps]
    assert (closed.ts // NS).tolist() == stamps
    assert (closed.start // NS).tolist() == [s - 300 for s in stamps]


def test_a_file_name_confirms_the_interval_of_a_quiet_instrument(tmp_path: Path) -> None:
    stamps = ("1704207600", "1704207720", "1704207840")
    file = write(tmp_path, "UGA_1min.csv", *bars_at(*stamps))
    assert only(read_csv([file], OPEN_STAMP)).ts[0] == 1704207660 * NS
    odd = write(tmp_path, "UGA_5min.csv", *bars_at(*stamps))
    loaded = read_csv([odd], OPEN_STAMP)
    assert only(loaded).ts[0] == 1704207720 * NS
    assert [n.severity for n in loaded.notes if n.code == "bar-interval"] == [Severity.WARNING]


def test_one_bar_needs_its_interval(tmp_path: Path) -> None:
    file = write(tmp_path, "A.csv", *bars_at("1704207600"))
    with pytest.raises(DataError, match="interval"):
        read_csv([file], OPEN_STAMP)
    options = CsvOptions(bar_stamp=BarStamp.OPEN, bar_interval_s=5)
    assert only(read_csv([file], options)).ts[0] == 1704207605 * NS


def test_the_last_hour_of_a_session_ends_when_the_session_does(tmp_path: Path) -> None:
    stamps = [f"2024-01-02T{hour:02d}:30:00-05:00" for hour in range(9, 16)]
    sessions = session_times("XNYS", 1704067200 * NS, 1706745600 * NS)
    options = CsvOptions(bar_stamp=BarStamp.OPEN, sessions=sessions)
    loaded = read_csv([write(tmp_path, "A_1h.csv", *bars_at(*stamps))], options)
    assert iso(int(only(loaded).ts[-1])) == "2024-01-02T21:00:00Z"
    assert not [n for n in loaded.notes if n.code == "outside-session"]


def test_daily_bars_last_as_long_as_their_sessions(tmp_path: Path) -> None:
    sessions = session_times("XNYS", 1719792000 * NS, 1722470400 * NS)
    rows = bars_at("2024-07-02", "2024-07-03", "2024-07-05")
    series = only(read_csv([write(tmp_path, "A.csv", *rows)], CsvOptions(sessions=sessions)))
    assert [iso(int(ts)) for ts in series.ts] == [
        "2024-07-02T20:00:00Z", "2024-07-03T17:00:00Z", "2024-07-05T20:00:00Z"]  # fmt: skip
    assert series.start is not None
    assert [iso(int(ts)) for ts in series.start][1] == "2024-07-03T13:30:00Z"


def test_midnights_are_dates_and_days_without_a_session_are_refused(tmp_path: Path) -> None:
    sessions = session_times("XNYS", 1719792000 * NS, 1722470400 * NS)
    rows = bars_at("2024-07-02 00:00:00", "2024-07-03 00:00:00")
    options = CsvOptions(sessions=sessions)
    assert iso(int(only(read_csv([write(tmp_path, "A.csv", *rows)], options)).ts[1])) == "2024-07-03T17:00:00Z"
    with pytest.raises(DataError, match="2024-07-04 is no session of XNYS"):
        read_csv([write(tmp_path, "A.csv", *bars_at("2024-07-03", "2024-07-04"))], options)
    with pytest.raises(DataError, match="sessions"):
        read_csv([write(tmp_path, "A.csv", *rows)], CsvOptions())
    with pytest.raises(DataError, match="weekly"):
        read_csv([write(tmp_path, "A.csv", *bars_at("2024-07-01", "2024-07-08", "2024-07-15"))], options)


def test_a_first_piece_of_midnights_does_not_make_times_dates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_sources, "FIRST_PIECE_BYTES", 60)
    rows = bars_at("2024-07-02T00:00:00Z", "2024-07-02T00:01:00Z", "2024-07-02T00:02:00Z", "2024-07-02T00:03:00Z")
    assert (only(read_csv([write(tmp_path, "A.csv", *rows)], OPEN_STAMP)).ts // NS % 86_400).tolist() == [
        60, 120, 180, 240]  # fmt: skip


def test_a_folder_is_read_recursively_in_order_without_its_reference_files(tmp_path: Path) -> None:
    row = "1704207600,1,1"
    for name in ("b/IBM.csv", "a/AIG.csv", "a/notes.md", "a/instruments.csv", "actions.csv", "scans-2024.csv"):
        write(tmp_path, name, "ts,price,size", row)
    assert [s.symbol for s in read_csv([tmp_path], CsvOptions()).series] == ["AIG", "IBM"]
    assert [s.symbol for s in read_csv([tmp_path / "*" / "*M.csv"], CsvOptions()).series] == ["IBM"]
    both = read_csv([tmp_path / "b" / "IBM.csv", tmp_path], CsvOptions())
    assert [(s.symbol, s.rank) for s in both.series] == [("IBM", 0), ("AIG", 1)]


def test_files_of_one_symbol_become_one_series_in_time_order(tmp_path: Path) -> None:
    late = write(tmp_path, "AIG_20240103.csv", "ts,price,size", "1704294000,3,1", "1704294001,4,1")
    early = write(tmp_path, "AIG_20240102.csv", "ts,price,size", "1704207600,1,1", "1704207601,2,1")
    series = only(read_csv([late, early], CsvOptions()))
    assert series.columns[0].tolist() == [1, 2, 3, 4]
    assert (series.rank, series.row) == (0, None)


def test_files_of_one_symbol_that_overlap_are_refused_naming_both(tmp_path: Path) -> None:
    one = write(tmp_path, "AIG_1min.csv", "ts,price,size", "1704207600,1,1", "1704207610,2,1")
    two = write(tmp_path, "AIG_trades.csv", "ts,price,size", "1704207605,1,1")
    with pytest.raises(DataError) as caught:
        read_csv([one, two], CsvOptions())
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_rows_of_joined_files_keep_rising_and_share_their_rank(tmp_path: Path) -> None:
    header = "ts,symbol,price,size"
    write(tmp_path, "1.csv", header, "1704207600,A,1,1", "1704207600,B,1,1")
    write(tmp_path, "2.csv", header, "1704207601,B,1,1", "1704207601,C,1,1", "1704207602,A,1,1")
    found = {
        s.symbol: (s.rank, s.row is not None and s.row.tolist()) for s in read_csv([tmp_path], CsvOptions()).series
    }
    assert found == {"A": (0, [0, 4]), "B": (0, [1, 2]), "C": (0, [3])}


def test_progress_goes_from_something_to_all(tmp_path: Path) -> None:
    for name in ("AIG.csv", "IBM.csv"):
        write(tmp_path, name, "ts,price,size", *(f"{1704207600 + i},1,{i}" for i in range(1000)))
    heard: list[tuple[int, int]] = []
    read_csv([tmp_path], CsvOptions(), progress=lambda done, total: heard.append((done, total)))
    total = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert heard[-1] == (total, total)
    assert all(a[0] <= b[0] for a, b in pairwise(heard))


def test_the_fingerprint_follows_the_content_not_the_place(tmp_path: Path) -> None:
    lines = ("ts,price,size", "1704207600,1,1")
    one = read_csv([write(tmp_path, "a/AIG.csv", *lines)], CsvOptions()).fingerprint
    assert read_csv([write(tmp_path, "b/AIG.csv", *lines)], CsvOptions()).fingerprint == one
    assert read_csv([write(tmp_path, "b/IBM.csv", *lines)], CsvOptions()).fingerprint != one
    assert read_csv([write(tmp_path, "a/AIG.csv", *lines, "1704207600,1,2")], CsvOptions()).fingerprint != one


def test_pieces_of_any_size_give_the_same_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    stamps = 1704207600000 + np.cumsum(rng.integers(0, 3, 3000))
    rows = [f"{t},{['AB', 'CD'][i % 2]},{p:.4f},{s}" for i, (t, p, s) in
            enumerate(zip(stamps.tolist(), rng.uniform(1, 2, 3000).tolist(), rng.integers(0, 99, 3000).tolist(),
                          strict=True))]  # fmt: skip
    file = tmp_path / "x.csv"
    file.write_bytes("\r\n".join(["ts,symbol,price,size", *rows, rows[-2], ""]).encode())
    whole = read_csv([file], CsvOptions())
    for size in (37, 64, 1000):
        monkeypatch.setattr(csv_sources, "FIRST_PIECE_BYTES", size)
        monkeypatch.setattr(csv_sources, "PIECE_BYTES", size)
        pieces = read_csv([file], CsvOptions())
        for one, other in zip(whole.series, pieces.series, strict=True):
            assert one.ts.tobytes() == other.ts.tobytes()
            assert [c.tobytes() for c in one.columns] == [c.tobytes() for c in other.columns]
            assert one.row is not None
            assert other.row is not None
            assert one.row.tobytes() == other.row.tobytes()
        assert pieces.fingerprint == whole.fingerprint
        assert [(n.code, n.count) for n in pieces.notes] == [(n.code, n.count) for n in whole.notes]


@pytest.mark.parametrize("newest_first", [False, True])
def test_rows_are_arranged_by_symbol_in_stretches_of_any_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest_first: bool
) -> None:
    expected: dict[str, list[int]] = {}
    rows = []
    for i in range(100):
        symbol = "ABC"[i * i % 3]
        expected.setdefault(symbol, []).append(i + 1)
        rows.append(f"{1704207600 + i},{symbol},{i + 1},1")
    file = write(tmp_path, "x.csv", "ts,symbol,price,size", *(rows[::-1] if newest_first else rows))
    monkeypatch.setattr(csv_finish, "CHUNK_ROWS", 7)
    loaded = read_csv([file], CsvOptions())
    assert {s.symbol: s.columns[0].tolist() for s in loaded.series} == expected
    assert all(s.row is not None and (s.row + 1 == s.columns[0]).all() for s in loaded.series)


def test_a_bar_never_begins_before_the_one_before_it_ends(tmp_path: Path) -> None:
    stamps = [1704207600, 1704207900, 1704208200, 1704208260]
    file = write(tmp_path, "A.csv", *bars_at(*map(str, stamps)))
    closed, opened = only(read_csv([file], CLOSE_STAMP)), only(read_csv([file], OPEN_STAMP))
    assert closed.start is not None
    assert closed.start[-1] == 1704208200 * NS
    assert opened.ts[-2] == 1704208260 * NS


def parsed(text: str) -> float | None:
    data = np.frombuffer(text.encode() + b",\n", dtype=np.uint8)
    value, end, status = csv_numbers.read_number(data, 0, ord(","))
    assert status in (csv_codes.FINE, csv_codes.SLOW_NUMBER)
    assert status != csv_codes.FINE or end == len(text)
    return float(value) if status == csv_codes.FINE else None


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


DECIMALS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(1e-9, 1e15).map(repr),
    st.from_regex(r"[+-]?[0-9]{1,18}(\.[0-9]{0,18})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.from_regex(r"[+-]?\.[0-9]{1,20}", fullmatch=True),
    # Halves between two doubles, where rounding to even decides.
    st.integers(2**53, 2**57).map(lambda m: str(2 * m + 1)),
)


@settings(max_examples=max(500, settings().max_examples), deadline=None)  # make soak: thousands
@given(DECIMALS)
def test_a_decimal_is_converted_to_the_very_double_that_python_makes_of_it(text: str) -> None:
    value = parsed(text)
    if value is not None:
        assert bits(value) == bits(float(text))


def test_decimals_of_seventeen_digits_need_no_help_from_python() -> None:
    rng = np.random.default_rng(11)
    for value in rng.uniform(0.0001, 10_000, 20_000).tolist():
        assert parsed(repr(value)) == value


PRICE = st.floats(1e-6, 1e9).filter(lambda v: v > 0)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 10**12), st.sampled_from(["A", "BRK.B", "x y"]), PRICE, st.floats(0, 1e12)),
        min_size=1, max_size=40),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    quoted=st.booleans(),
    final=st.booleans(),
)  # fmt: skip
def test_any_tape_of_trades_comes_back_exactly(
    tmp_path: Path, rows: list[tuple[int, str, float, float]], ending: str, quoted: bool, final: bool
) -> None:
    mark = '"' if quoted else ""
    ts = 1704207600 * NS
    lines = [f"ts{mark},symbol,price,size".replace(mark, "")]
    expected: dict[str, list[tuple[int, float, float]]] = {}
    for pause, symbol, price, size in rows:
        ts += pause + 1
        lines.append(f"{mark}{ts}{mark},{mark}{symbol}{mark},{mark}{price!r}{mark},{size!r}")
        expected.setdefault(symbol, []).append((ts, price, size))
    file = tmp_path / "tape.csv"
    file.write_bytes((ending.join(lines) + (ending if final else "")).encode())
    loaded = read_csv([file], CsvOptions())
    got = {s.symbol: list(zip(s.ts.tolist(), *(c.tolist() for c in s.columns), strict=True)) for s in loaded.series}
    assert got == expected


@pytest.mark.skipif(not EQKER.is_dir(), reason="the real data are not on this machine")
class TestRealBars:
    OPTIONS = CsvOptions(
        tz="America/New_York",
        bar_stamp=BarStamp.CLOSE,
        sessions=session_times("XNYS", 1483228800 * NS, 1577836800 * NS) if EQKER.is_dir() else None,
    )

    def test_minutes_of_twenty_four_symbols_are_read_oldest_first(self) -> None:
        loaded = read_csv([EQKER / "*_1min.csv"], self.OPTIONS)
        assert len(loaded.series) == 24
        aapl = loaded.series[0]
        assert aapl.start is not None
        assert (iso(int(aapl.start[0])), iso(int(aapl.ts[-1]))) == ("2019-02-11T14:30:00Z", "2019-02-15T21:00:00Z")
        assert [column[-1] for column in aapl.columns] == [170.23, 170.42, 170.21, 170.38, 427888.0]
        assert all((np.diff(s.ts) > 0).all() for s in loaded.series)
        vix = next(s for s in loaded.series if s.symbol == "VIX")
        assert not vix.columns[4].any()
        uga = next(s for s in loaded.series if s.symbol == "UGA")
        assert uga.start is not None
        assert (uga.ts - uga.start == 60 * NS).all()

    def test_days_get_their_sessions(self) -> None:
        spy = only(read_csv([EQKER / "SPY_daily.csv"], self.OPTIONS))
        closes = {iso(int(ts)) for ts in spy.ts}
        assert "2018-07-03T17:00:00Z" in closes  # an early close
        assert "2018-07-05T20:00:00Z" in closes

    def test_minutes_quarters_and_days_together_overlap_and_are_refused(self) -> None:
        with pytest.raises(DataError, match="overlaps"):
            read_csv([EQKER], self.OPTIONS)
