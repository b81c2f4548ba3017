"""What a bad CSV gets: every row of the table of bad input, each with the message that says how to go on."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zstandard

from feeds.csv import BarStamp, CsvOptions, Loaded, OnBad, read_csv
from papertape.calendar import session_times
from papertape.core.errors import DataError, UserError
from papertape.core.model import Severity

BAR_HEADER = "ts,open,high,low,close,volume"
SKIP = OnBad.SKIP
OPEN_STAMP = CsvOptions(bar_stamp=BarStamp.OPEN)
NEW_YORK = CsvOptions(tz="America/New_York", bar_stamp=BarStamp.OPEN)


def trades(*rows: str, header: str = "ts,price,size") -> str:
    return "\n".join((header, *rows)) + "\n"


def bars(*rows: str) -> str:
    return "\n".join((BAR_HEADER, *rows)) + "\n"


GOOD = trades("1704207600000000000,100.5,10", "1704207601000000000,100.75,20")


def load(tmp_path: Path, content: str | bytes, options: CsvOptions = OPEN_STAMP, name: str = "trades.csv") -> Loaded:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv([file], options)


def refusal(tmp_path: Path, content: str | bytes, options: CsvOptions = OPEN_STAMP, name: str = "trades.csv") -> str:
    with pytest.raises(DataError) as caught:
        load(tmp_path, content, options, name)
    return str(caught.value)


def codes(loaded: Loaded) -> dict[str, int]:
    return {note.code: note.count for note in loaded.notes}


NORMALISED = {
    "a byte order mark is passed over": (b"\xef\xbb\xbf" + GOOD.encode(), "byte-order-mark"),
    "CRLF line ends are read": (GOOD.replace("\n", "\r\n").encode(), "line-ends"),
    "CR line ends are read": (GOOD.replace("\n", "\r").encode(), "line-ends"),
    "mixed line ends are read": (GOOD.replace("\n", "\r\n", 1).encode(), "line-ends"),
    "scientific notation is read": (GOOD.replace("100.5", "1.005e2").encode(), "scientific-notation"),
    "blank lines are passed over": (GOOD.replace("\n", "\n\n").encode() + b"  \n", "blank-lines"),
    "gzip is told by its first bytes": (gzip.compress(GOOD.encode()), "packed"),
    "zstd is told by its first bytes": (zstandard.compress(GOOD.encode()), "packed"),
}


@pytest.mark.parametrize(("content", "code"), NORMALISED.values(), ids=NORMALISED.keys())
def test_what_is_normalised_is_read_exactly_and_noted(tmp_path: Path, content: bytes, code: str) -> None:
    loaded = load(tmp_path, content)
    assert code in codes(loaded)
    (series,) = loaded.series
    assert series.ts.tolist() == [1704207600000000000, 1704207601000000000]
    assert series.columns[0].tolist() == [100.5, 100.75]
    assert series.columns[1].tolist() == [10.0, 20.0]


def test_a_zip_file_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "AIG_trades.csv", "w") as archive:
        archive.writestr("whatever.csv", GOOD)
    (series,) = read_csv([tmp_path / "AIG_trades.csv"], CsvOptions()).series
    assert (series.symbol, len(series)) == ("AIG", 2)


def test_a_zip_file_with_several_members_is_several_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "day.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/AIG.csv", GOOD)
        archive.writestr("x/IBM.csv", GOOD)
        archive.writestr("x/readme.md", "nothing")
    assert [s.symbol for s in read_csv([tmp_path / "day.zip"], CsvOptions()).series] == ["AIG", "IBM"]


def test_a_file_that_is_strictly_newest_first_is_reversed(tmp_path: Path) -> None:
    loaded = load(tmp_path, trades("1704207602,3,1", "1704207601,2,1", "1704207600,1,1"))
    assert loaded.series[0].columns[0].tolist() == [1.0, 2.0, 3.0]
    assert codes(loaded)["newest-first"] == 1


def test_an_exact_repeat_of_a_row_is_dropped_and_counted(tmp_path: Path) -> None:
    loaded = load(tmp_path, trades("1704207600,1,1", "1704207600,1,1", "1704207600,1,2", "1704207601,1,2"))
    assert loaded.series[0].columns[1].tolist() == [1.0, 2.0, 2.0]
    assert codes(loaded)["repeated-rows"] == 1


def test_prints_that_differ_in_a_column_that_is_not_read_are_no_repeats(tmp_path: Path) -> None:
    rows = ("1704207600,1,1,a", "1704207600,1,1,b", "1704207600,1,1,b")
    loaded = load(tmp_path, trades(*rows, header="ts,price,size,trade_id"))
    assert len(loaded.series[0]) == 2
    assert codes(loaded)["repeated-rows"] == 1


def test_another_delimiter_is_read_if_given(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD.replace(",", ";"), CsvOptions(delimiter=";"))
    assert loaded.series[0].columns[0].tolist() == [100.5, 100.75]
    assert "delimiter" in codes(loaded)


NOISE = b"ts,price,size\n" + np.random.default_rng(1).bytes(20_000).hex().encode()


def damaged(packed: bytes) -> bytes:
    middle = len(packed) // 2
    return packed[:middle] + bytes(255 - byte for byte in packed[middle : middle + 200]) + packed[middle + 200 :]


FIRST, SECOND = GOOD.splitlines()[1:]
REFUSED_FILES = {
    "an empty file": (b"", "empty"),
    "a header without rows": (b"ts,price,size\n", "no rows"),
    "a header without a line end": (b"ts,price,size", "no rows"),
    "a file without a header": (f"{FIRST}\n{SECOND}\n", "no header"),
    "a header of something else": ("name,city\na,b\n", "not a header"),
    "a missing price column": ("ts,size\n1,2\n", 'no column "price"'),
    "a missing size column": ("ts,price\n1,2\n", 'no column "size"'),
    "a missing time column": ("price,size\n1,2\n", 'no column "ts"'),
    "a doubled column": ("ts,price,price,size\n1,2,2,3\n", 'column "price" is there twice'),
    "two names of one column": ("ts,price,last,size\n1,2,2,3\n", '"price" and "last" both mean price'),
    "trades and quotes in one": ("ts,price,size,bid,ask\n1,2,2,3,4\n", "both trades and quotes"),
    "UTF-16 with a mark": (GOOD.encode("utf-16"), "UTF-16"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "UTF-16"),
    "undecodable bytes in a header": (b"ts,price,size,caf\xe9\n1704207600,1,1,x\n", ":1: bytes that are not UTF-8"),
    "undecodable bytes in a column": (b"ts,price,size,x\n1704207600,1,1,\xe9\n", ":2: bytes that are not UTF-8"),
    "truncated gzip": (gzip.compress(GOOD.encode())[:-12], "cut short"),
    "damaged gzip": (damaged(gzip.compress(NOISE)), "gzip file is damaged"),
    "truncated zstd": (zstandard.compress(GOOD.encode())[:-4], "cut short"),
    "damaged zstd": (damaged(zstandard.ZstdCompressor(write_checksum=True).compress(NOISE)), "zstd file is damaged"),
    "a truncated zip": (b"PK\x03\x04" + b"\0" * 40, "zip file is"),
    "an unclosed quote": (trades(FIRST, '1704207601000000000,"100.75,20'), ":3: a quote is not closed"),
    "an unclosed quote in a column that is not read": (
        trades("1704207600,1,1,a", '1704207601,1,1,"b', header="ts,price,size,x"), ":3: a quote is not closed"),
    "a NUL byte in a number": (GOOD.replace("100.75", "100\0.75"), ":3: a NUL byte"),
    "a NUL byte in a column that is not read": (trades("1704207600,1,1,a\0b", header="ts,price,size,x"), "NUL byte"),
    "a decimal comma in quotes": (trades('1704207600,"100,5",10'), "decimal comma"),
    "decimal commas without quotes": (bars("1704207600,100,5,101,5,99,5,100,5,10"), "decimal commas"),
    "semicolons that were not given": (GOOD.replace(",", ";"), 'pass --delimiter ";"'),
    "a header that is there again": (GOOD + GOOD, ":4: the header is there again"),
    "a comment above the header": ("# from a vendor\n" + GOOD, "comment line"),
    "a comment between rows": (trades(FIRST, "# half time", SECOND), ":3: a comment line"),
    "a line over 1 MB": (trades(FIRST + "," + "x" * 1_000_100, header="ts,price,size,x"), "longer than 1,000,000"),
    "a first line over 8 MB": ("x" * 8_400_000, "longer than 1,000,000"),
    "seconds and milliseconds mixed": (trades("1704207600,1,1", "1704207601000,1,1"), ":3: seconds and milliseconds"),
    "times with and without an offset mixed": (
        trades("2024-01-02T15:00:00Z,1,1", "2024-01-02T15:00:01,1,1"), "times with an offset and times without"),
    "mixed offsets": (
        trades("2024-01-02T15:00:00Z,1,1", "2024-01-02T10:00:01-05:00,1,1"), "offsets from UTC are mixed"),
    "a date that may be day first": (
        trades("01/02/2024 15:00:00,1,1", "03/04/2024 15:00:00,1,1"), "month first or day first"),
    "a date that is day first": (trades("25/12/2024 15:00:00,1,1"), "day first"),
    "dates without times for trades": (trades("2024-01-02,1,1"), "without a time of day"),
}  # fmt: skip


@pytest.mark.parametrize("on_bad", [OnBad.REFUSE, OnBad.SKIP])
@pytest.mark.parametrize(("content", "what"), REFUSED_FILES.values(), ids=REFUSED_FILES.keys())
def test_the_file_is_refused_in_one_line(tmp_path: Path, content: str | bytes, what: str, on_bad: OnBad) -> None:
    message = refusal(tmp_path, content, CsvOptions(tz="UTC", bar_stamp=BarStamp.OPEN, on_bad=on_bad))
    assert what in message
    assert message.startswith(str(tmp_path / "trades.csv"))
    assert len(message.splitlines()) == 1


def test_naive_times_need_a_zone(tmp_path: Path) -> None:
    assert "--tz" in refusal(tmp_path, trades("2024-01-02 15:00:00,1,1"))


def test_bars_need_their_stamp(tmp_path: Path) -> None:
    assert "--bar-stamp open" in refusal(tmp_path, bars("1704207600,1,1,1,1,1"), CsvOptions())


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_compressed_file_that_unpacks_beyond_the_limit_is_refused(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    options = CsvOptions(unpacked_limit_bytes=1_000_000)
    content = "ts,price,size\n" + "\n" * 50_000_000
    assert "unpacks to more than 1,000,000 bytes" in refusal(tmp_path, pack(content.encode()), options)


def test_a_symlink_loop_a_pipe_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    with pytest.raises(DataError, match="cannot be opened"):
        read_csv([tmp_path / "loop.csv"], CsvOptions())
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="not a plain file"):
        read_csv([tmp_path / "pipe.csv"], CsvOptions())
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="holds no CSV file"):
        read_csv([tmp_path / "folder.csv"], CsvOptions())
    with pytest.raises(DataError, match="no such file"):
        read_csv([tmp_path / "missing.csv"], CsvOptions())
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "missing.csv")
    with pytest.raises(DataError, match="leads nowhere"):
        read_csv([tmp_path / "dangling.csv"], CsvOptions())


A, B = "1704207600,100,102,99,101,5", "1704207720,101,103,100,102,6"
BAD_ROWS = {
    "a bar with high below low is refused with its line and column": (
        bars(A, "1704207660,100,100,102,101,5", B), ':3:16: high 100 is below low 102 (column "high")'),
    "a bar whose open is outside of its range": (
        bars(A, "1704207660,98,102,99,101,5", B), ":3:12: open 98 is outside of low 99 to high 102"),
    "a bar whose close is outside of its range": (
        bars(A, "1704207660,100,102,99,103,5", B), ":3:23: close 103 is outside of low 99 to high 102"),
    "a row with too few fields": (bars(A, "1704207660,100,102,99,101", B), ":3:26: 5 fields where the header has 6"),
    "a row with too many fields": (
        bars(A, "1704207660,100,102.5,99,101,5,7", B), ":3:31: 7 fields where the header has 6"),
    "a truncated last row": (bars(A, B) + "1704207780,101,1", ":4:17: the last row is cut short: 3 fields"),
    "text in a number": (bars(A, "1704207660,#REF!,102,99,101,5", B), ':3:12: "#REF!" is not a number'),
    "an underscore in a number": (bars(A, "1704207660,1_015,102,99,101,5", B), '"1_015" is not a number'),
    "digits that are not ASCII": (bars(A, "1704207660,١٠٠,102,99,101,5", B), "digits that are not ASCII"),
    "quoted thousands": (bars(A, '1704207660,"1,015",102,99,101,5', B), '"1,015" has separators of thousands'),
    "an integer beyond 64 bits": (bars(A, "1704207660,100,102,99,101,99999999999999999999", B), "beyond 64 bits"),
    "an integer of 19 digits beyond 64 bits": (
        bars(A, "1704207660,100,102,99,101,9223372036854775808", B), "beyond 64 bits"),
    "a price that is NaN": (bars(A, "1704207660,nan,102,99,101,5", B), "nan is not a finite number"),
    "a blank price": (bars(A, "1704207660,,102,99,101,5", B), ":3:12: blank where a number should be"),
    "a blank size": (bars(A, "1704207660,100,102,99,101,", B), ":3:27: blank where a number should be"),
    "an infinite price": (bars(A, "1704207660,100,inf,99,101,5", B), "inf is not a finite number"),
    "a price too great for a double": (bars(A, "1704207660,100,1e400,99,101,5", B), "1e400"),
    "a price of zero": (bars(A, "1704207660,0,102,99,101,5", B), ":3:12: price 0 is not above zero"),
    "a negative price": (bars(A, "1704207660,100,102,-99,101,5", B), "price -99 is not above zero"),
    "a negative volume": (bars(A, "1704207660,100,102,99,101,-5", B), ":3:27: -5 is negative"),
    "a row out of order": (bars(A, B, "1704207660,100,102,99,101,5", "1704207780,1,1,1,1,1"), ":4:1: 2024-01-02T15:01"),
    "a second, different bar of one time": (bars(A, A.replace("101", "100"), B), ":3:1: a second, different bar"),
    "a date that does not exist": (bars(A, "2024-02-30T15:00:00Z,1,1,1,1,1", B), "no date or time that exists"),
    "an hour that does not exist": (bars(A, "2024-02-20T25:00:00Z,1,1,1,1,1", B), "no date or time that exists"),
    "a time that is text": (bars(A, "yesterday,1,1,1,1,1", B), '"yesterday" is not a time'),
    "a year after 2200": (bars(A, "7500000000,1,1,1,1,1", B), "outside of the years 1970 to 2200"),
    "a year before 1970": (bars(A, "1969-12-31T00:00:01Z,1,1,1,1,1", B), "outside of the years 1970 to 2200"),
    "a time before 1970 as a number": (bars(A, "-5,1,1,1,1,1", B), "is not a time"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "what"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_the_row_is_refused_with_its_place_and_can_be_skipped(tmp_path: Path, content: str, what: str) -> None:
    message = refusal(tmp_path, content)
    assert what in message
    assert message.startswith(f"{tmp_path / 'trades.csv'}:")
    assert message.endswith("; fix the row or pass --on-bad=skip")
    assert len(message.splitlines()) == 1

    options = CsvOptions(bar_stamp=BarStamp.OPEN, bar_interval_s=60, on_bad=SKIP)
    loaded = load(tmp_path, content, options)
    assert codes(loaded)["skipped-rows"] == 1
    kept = [int(row.split(",")[0]) * 10**9 for row in (A, B)]
    assert [ts for ts in loaded.series[0].start.tolist() if ts <= kept[1]] == kept  # type: ignore[union-attr]


def test_at_most_twenty_rows_are_listed_then_counted(tmp_path: Path) -> None:
    rows = [f"{1704207600 + i},{'x' if i % 2 else 1},1" for i in range(100)]
    lines = refusal(tmp_path, trades(*rows)).splitlines()
    assert len(lines) == 21
    assert [int(line.split(":")[1]) for line in lines[:20]] == list(range(3, 43, 2))
    assert lines[20].endswith("30 more rows cannot be used")


def test_a_file_whose_rows_are_all_bad_is_refused_even_if_rows_are_skipped(tmp_path: Path) -> None:
    message = refusal(tmp_path, trades("x,1,1", "y,1,1"), CsvOptions(on_bad=SKIP))
    assert "none of 2 rows can be used" in message


def test_lines_are_counted_across_blank_lines_and_pieces(tmp_path: Path) -> None:
    rows = [f"{1704207600000 + i},{100 + i % 7}.25,{i % 50}" for i in range(60_000)]
    rows[55_555] = "1704207655555,oops,1"
    content = trades(*rows).replace("\n", "\n\n", 1)
    assert ":55558:15:" in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("time", "why"), [("2024-03-10 02:30:00", "does not exist"), ("2024-11-03 01:30:00", "exists twice")]
)
def test_a_local_time_in_a_change_of_clocks_is_refused(tmp_path: Path, time: str, why: str) -> None:
    content = trades("2024-01-02 10:00:00,1,1", f"{time},1,1", "2024-12-02 10:00:00,1,1")
    message = refusal(tmp_path, content, NEW_YORK)
    assert ":3:1:" in message
    assert f"{time.replace(' ', 'T')} {why} in America/New_York" in message
    skipped = load(tmp_path, content, CsvOptions(tz="America/New_York", on_bad=SKIP))
    assert len(skipped.series[0]) == 2


def test_prices_of_zero_and_below_are_read_where_the_instrument_allows_them(tmp_path: Path) -> None:
    content = trades("1587392940,-37.63,1", "1587392941,0,1")
    options = CsvOptions(signed_symbols=frozenset({"CLK0"}))
    assert load(tmp_path, content, options, "CLK0.csv").series[0].columns[0].tolist() == [-37.63, 0.0]
    assert "price -37.63 is not above zero" in refusal(tmp_path, content, options, "CLM0.csv")


def test_a_price_fifty_times_its_neighbours_is_a_warning(tmp_path: Path) -> None:
    loaded = load(tmp_path, trades("1704207600,100,1", "1704207601,5100,1", "1704207602,101,1", "1704207603,1.5,1",
                                   "1704207604,101,1", "1704207605,4900,1", "1704207606,101,1"))  # fmt: skip
    (note,) = [note for note in loaded.notes if note.code == "far-price"]
    assert note.severity is Severity.WARNING
    assert note.count == 2
    assert "line 3" in note.text


def test_bars_outside_the_session_and_long_gaps_are_warnings(tmp_path: Path) -> None:
    sessions = session_times("XNYS", 1704067200 * 10**9, 1706745600 * 10**9)
    rows = [f"2024-01-{day:02d}T{time}:00-05:00,1,1,1,1,1" for day, time in
            [(2, "09:29"), (2, "09:30"), (2, "09:31"), (2, "15:59"), (2, "16:00"), (3, "09:30"), (5, "09:30")]]  # fmt: skip
    options = CsvOptions(bar_stamp=BarStamp.OPEN, bar_interval_s=60, sessions=sessions)
    found = codes(load(tmp_path, bars(*rows), options))
    assert found["outside-session"] == 2
    assert found["long-gap"] == 1


HOSTILE = ["<b>A</b>", "=1+1", "@SUM(A1)", "../../etc/passwd", "/dev/null", "CON", "nul", "COM1.csv", "-2-3",
           "A" * 33, "A\tB", "é", ""]  # fmt: skip


@pytest.mark.parametrize("symbol", HOSTILE)
def test_a_hostile_symbol_is_refused_as_a_symbol(tmp_path: Path, symbol: str) -> None:
    content = trades("1704207600,AAPL,1,1", f"1704207600,{symbol},1,1", header="ts,symbol,price,size")
    message = refusal(tmp_path, content)
    assert ":3:12:" in message
    assert "is not a symbol" in message
    assert "\t" not in message
    assert [s.symbol for s in load(tmp_path, content, CsvOptions(on_bad=SKIP)).series] == ["AAPL"]


def test_a_file_name_that_gives_no_symbol_is_refused(tmp_path: Path) -> None:
    assert "rename the file" in refusal(tmp_path, GOOD, name="<b>.csv")


def test_control_characters_of_a_file_never_reach_the_message(tmp_path: Path) -> None:
    message = refusal(tmp_path, trades("1704207600,\x1b[31mred,1"))
    assert "\x1b" not in message
    assert r"\x1b[31mred" in message


def test_an_unknown_zone_and_a_delimiter_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='no time zone "Mars/Base"'):
        load(tmp_path, trades("2024-01-02 15:00:00,1,1"), CsvOptions(tz="Mars/Base"))
    with pytest.raises(UserError, match="cannot be a delimiter"):
        load(tmp_path, GOOD, CsvOptions(delimiter="::"))


def test_damaged_tapes_end_in_a_refusal_or_in_valid_series_never_in_a_crash(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    base = bytearray(bars(A, "1704207660,100,102,99,101,5", B).encode())
    for _ in range(400):
        content = bytearray(base)
        for _ in range(int(rng.integers(1, 4))):
            content[int(rng.integers(len(content)))] = int(rng.choice(list(b'\0\r\n",;#-+.eE 019Zx\xff\xef')))
        try:
            loaded = load(tmp_path, bytes(content), OPEN_STAMP)
        except UserError:
            continue
        for series in loaded.series:
            opened, high, low, close, volume = series.columns
            assert (np.diff(series.ts) > 0).all()
            assert (high >= low).all()
            assert ((low > 0) & (opened <= high) & (opened >= low) & (close <= high) & (close >= low)).all()
            assert (volume >= 0).all()
