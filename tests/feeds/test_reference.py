"""Instruments, corporate actions and recorded scans beside a tape, and the one line that a mistake in them gets."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from feeds.reference import read_actions, read_instruments, read_scans
from feeds.sample import write_sample
from papertape.core.errors import DataError
from papertape.core.model import ActionKind, CorporateAction, Instrument, InstrumentType, Scan, ScanRow

FULL = "symbol,type,currency,con_id,exchange,tick_size,multiplier,market_cap,average_volume,tradable\n"
SCANS = "ts_recv,scan_id,scan_code,location,rank,con_id,symbol,exchange,currency\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.csv"


def new_york(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9


def error_of(read: object, path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert callable(read)
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_every_column_of_an_instrument_is_read(file: Path) -> None:
    file.write_text(FULL + "ESZ4,FUT,USD,495512563,CME,0.25,50,,1.2e6,no\n")
    instruments, columns = read_instruments(file)
    assert instruments == {
        "ESZ4": Instrument("ESZ4", InstrumentType.FUTURE, "USD", 495512563, "CME", 0.25, 50.0, None, 1.2e6, False)
    }
    assert columns == frozenset(FULL.strip().split(","))


def test_what_is_not_said_is_the_default_and_unknown_stays_unknown(file: Path) -> None:
    file.write_text("symbol,market_cap\nAAA,\nBBB,5e9\n")
    instruments, columns = read_instruments(file)
    assert instruments["AAA"] == Instrument("AAA")
    assert instruments["AAA"].market_cap is None
    assert instruments["BBB"].market_cap == 5e9
    assert columns == {"symbol", "market_cap"}


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_byte_order_mark_line_ends_blank_lines_quotes_and_other_spellings_are_accepted(file: Path, ends: str) -> None:
    text = 'Ticker,Name,Avg Volume\nAAA,"Tin, Zinc ""&"" Co", 100\n\n"BRK B",x,2\n'
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", ends).encode())
    instruments, columns = read_instruments(file)
    assert {name: i.average_volume for name, i in instruments.items()} == {"AAA": 100.0, "BRK B": 2.0}
    assert columns == {"symbol", "average_volume"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": is empty; it needs a header"),
        ("symbol\n", ": holds no instrument; delete it or add rows"),
        ("currency\nUSD\n", ':1: there is no column "symbol"; name it in the header'),
        ("symbol,ticker\nA,A\n", ':1:8: the column "symbol" is there twice'),
        ("symbol,market_capp\n", ':1:8: the column "market_capp" is unknown; did you mean "market_cap"?'),
        ("symbol,type\nA,STOK\n", ':2:3: "STOK" is unknown; did you mean "stock"? (column "type")'),
        ("symbol,currency\nA,usd\n", ':2:3: "usd" is not a currency such as USD (column "currency")'),
        ("symbol,con_id\nA,-1\n", ':2:3: "-1" is not a whole number (column "con_id")'),
        ("symbol,con_id\nA,99999999999999999999\n", ':2:3: "99999999999999999999" is not a whole number'),
        ("symbol,tick_size\nA,0\n", ':2:3: 0 is not above 0 (column "tick_size")'),
        ("symbol,multiplier\nA,nan\n", ':2:3: "nan" is not a number (column "multiplier")'),
        ("symbol,market_cap\nA,1_000\n", ':2:3: "1_000" is not a number (column "market_cap")'),
        ("symbol,market_cap\nA,1e999\n", ':2:3: "1e999" is not a number'),
        ("symbol,average_volume\nA,-5\n", ':2:3: -5 is negative (column "average_volume")'),
        ("symbol,tradable\nA,QQQQ\n", ':2:3: "QQQQ" is unknown; known: 0, 1, false, no, true, yes'),
        ("symbol\nA\nB\nA\n", ':4:1: A is there twice; keep one row (column "symbol")'),
        ("symbol\n<script>\n", ':2:1: "<script>" cannot be a symbol (column "symbol")'),
        ("symbol,type\nA\n", ":2: 1 fields where the header has 2"),
        ("symbol,type\nA,STK,\n", ":2: 3 fields where the header has 2"),
        ('symbol,type\n"A,STK\n', ":2:1: a quote is not closed, or stands inside a field"),
        ('symbol,type\n"A,STK\nB",STK\n', ":2:1: a quote is not closed, or stands inside a field"),
        ("symbol\nA\n\0\n", ":3: holds a NUL byte; this is not a text file"),
        ("symbol\nÄ\n".encode("latin-1"), ": is not UTF-8 text; save it as UTF-8"),
        ("symbol\nA\n".encode("utf-16"), ": is not UTF-8 text; save it as UTF-8"),
    ],
)
def test_a_mistake_among_instruments_is_one_line_with_its_place(file: Path, content: str | bytes, message: str) -> None:
    assert error_of(read_instruments, file, content).startswith(message)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a file"):
        read_instruments(tmp_path)
    with pytest.raises(DataError, match="there is no such file"):
        read_instruments(tmp_path / "missing.csv")


def test_an_action_takes_effect_at_midnight_of_its_ex_date_in_the_exchanges_zone(file: Path) -> None:
    file.write_text("date,symbol,kind,value\n2014-06-09,AAPL,split,7\n2014-02-06,AAPL,dividend,3.05\n")
    assert read_actions(file) == (
        CorporateAction(new_york("2014-02-06T00:00"), "AAPL", ActionKind.DIVIDEND, 3.05),
        CorporateAction(new_york("2014-06-09T00:00"), "AAPL", ActionKind.SPLIT, 7.0),
    )
    (in_utc, _) = read_actions(file, zone="UTC")
    assert in_utc.ts % (86_400 * 10**9) == 0


@pytest.mark.parametrize("ts", ["2014-06-09T13:30:00Z", "2014-06-09T09:30:00-04:00", "1402320600", "2014-06-09T20:00"])
def test_an_action_with_a_time_takes_effect_at_the_start_of_that_day(file: Path, ts: str) -> None:
    file.write_text(f"ts,symbol,kind,value\n{ts},AAPL,Split,7\n")
    assert read_actions(file)[0].ts == new_york("2014-06-09T00:00")


def test_no_actions_are_fine(file: Path) -> None:
    file.write_text("date,symbol,kind,value\n")
    assert read_actions(file) == ()


def test_two_different_dividends_on_one_day_are_kept(file: Path) -> None:
    file.write_text("date,symbol,kind,value\n2014-06-09,A,dividend,1\n2014-06-09,A,dividend,2\n")
    assert [action.value for action in read_actions(file)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("2014-06-31,A,split,2", ':2:1: "2014-06-31" is not a date; write it as 2024-06-03 (column "date")'),
        ("06/09/2014,A,split,2", ':2:1: "06/09/2014" is not a date'),
        ("1914-06-09,A,split,2", ":2:1: 1914-06-09 is not in 1970 to 2200"),
        ("2014-06-09,A,spilt,2", ':2:14: "spilt" is unknown; did you mean "split"? (column "kind")'),
        ("2014-06-09,A,split,0", ':2:20: 0 is not above 0 (column "value")'),
        ("2014-06-09,A,split,7:1", ':2:20: "7:1" is not a number (column "value")'),
        ("2014-06-09,A,split,2\n2014-06-09,A,split,3", ":3:12: this split of A is there twice; keep one row"),
        ("2014-06-09,A,dividend,2\n2014-06-09,A,dividend,2", ":3:12: this dividend of A is there twice"),
    ],
)
def test_a_mistake_among_actions_is_one_line_with_its_place(file: Path, rows: str, message: str) -> None:
    assert error_of(read_actions, file, f"date,symbol,kind,value\n{rows}\n").startswith(message)


def test_actions_without_a_day_are_refused(file: Path) -> None:
    assert error_of(read_actions, file, "symbol,kind,value\n").startswith(':1: there is no column "date"')


def test_a_recorded_scan_has_its_rows_in_rank_order_and_the_time_of_its_last_row(file: Path) -> None:
    file.write_text(
        SCANS
        + "2024-06-03T13:35:00.1Z,7,TOP_PERC_GAIN,STK.US.MAJOR,0,11,AAA,NASDAQ,USD\n"
        + "2024-06-03T13:35:00.250000001Z,7,TOP_PERC_GAIN,STK.US.MAJOR,1,22,BBB,NYSE,USD\n"
    )
    assert read_scans(file) == (
        Scan(
            "TOP_PERC_GAIN",
            new_york("2024-06-03T09:35") + 250_000_001,
            (ScanRow(0, "AAA", 11, "NASDAQ", "USD"), ScanRow(1, "BBB", 22, "NYSE", "USD")),
            "recorded",
        ),
    )


def test_scans_of_several_requests_may_be_interleaved_and_repeated(file: Path) -> None:
    rows = ["10,1,A,,0,,X,,", "11,2,B,,0,,P,,", "12,1,A,,1,,Y,,", "13,2,B,,1,,Q,,", "20,1,A,,0,,Y,,", "21,1,A,,2,,X,,"]
    file.write_text(SCANS + "".join(f"17174214{row}\n" for row in rows))
    scans = read_scans(file)
    assert [(scan.code, scan.ts - 17174214 * 10**11, scan.symbols) for scan in scans] == [
        ("A", 12 * 10**9, ["X", "Y"]),
        ("B", 13 * 10**9, ["P", "Q"]),
        ("A", 21 * 10**9, ["Y", "X"]),
    ]


def test_an_evaluation_without_results_is_a_scan_of_no_rows(file: Path) -> None:
    file.write_text(SCANS + "1717421410,1,A,,,,,,\n1717421420,1,A,,,,,,\n1717421430,1,A,,0,,X,,\n")
    scans = read_scans(file)
    assert [(scan.symbols, scan.note) for scan in scans] == [
        ([], "the recorded scan had no results"),
        ([], "the recorded scan had no results"),
        (["X"], ""),
    ]


def test_a_naive_scan_time_needs_a_zone(file: Path) -> None:
    content = SCANS + "2024-06-03 09:35:00,1,A,,0,,X,,\n"
    assert "names no zone; say which with --tz" in error_of(read_scans, file, content)
    assert read_scans(file, tz="America/New_York")[0].ts == new_york("2024-06-03T09:35")


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("2024-03-10T02:30", ":2:1: the local time 2024-03-10T02:30 does not exist in America/New_York"),
        ("2024-11-03T01:30", ":2:1: the local time 2024-11-03T01:30 exists twice in America/New_York"),
        ("2024-06-03T25:00Z", ":2:1: there is no time 2024-06-03T25:00Z"),
        ("yesterday", ':2:1: "yesterday" is not a time; write it as 2024-06-03T13:30:00Z (column "ts_recv")'),
    ],
)
def test_a_time_that_never_was_is_refused(file: Path, time: str, message: str) -> None:
    content = SCANS + f"{time},1,A,,0,,X,,\n"
    assert error_of(lambda path: read_scans(path, tz="America/New_York"), file, content).startswith(message)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("10,1,A,,-1,,X,,", ':2:17: "-1" is not a whole number (column "rank")'),
        ("10,1,A,,0,,=1+2,,", ':2:20: "=1+2" cannot be a symbol'),
        ("10,1,most active,,0,,X,,", ':2:14: "most active" is not a scanner code such as MOST_ACTIVE'),
        ("20,1,A,,0,,X,,\n1717421410,1,A,,1,,Y,,", ":3:1: 1717421410 is before the row above it of the same scan"),
    ],
)
def test_a_mistake_among_scans_is_one_line_with_its_place(file: Path, rows: str, message: str) -> None:
    assert error_of(read_scans, file, SCANS + f"17174214{rows}\n").startswith(message)


def test_the_reference_data_of_the_sample_are_read_back(tmp_path: Path) -> None:
    summary = write_sample(tmp_path / "s", symbols=6, days=4)
    instruments, columns = read_instruments(tmp_path / "s" / "instruments.csv")
    assert list(instruments) == list(summary.symbols)
    assert {"market_cap", "average_volume"} < columns
    actions = read_actions(tmp_path / "s" / "actions.csv")
    assert {action.kind for action in actions} == set(ActionKind)
    assert all(action.symbol in instruments for action in actions)
