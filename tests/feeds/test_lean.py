"""Importing LEAN's zip files: against the real ones where they are at hand, and against small ones made here."""

from __future__ import annotations

import csv
import gzip
import zipfile
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from feeds.lean import ImportSummary, import_lean
from feeds.lean_factors import read_factors
from feeds.reference import read_actions, read_instruments
from feeds.tape_writer import read_manifest
from papertape.core.errors import ConfigError, DataError
from papertape.core.model import ActionKind

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "lean"
real = pytest.mark.skipif(not REAL.is_dir(), reason="LEAN's sample data are not beside the project")
NEW_YORK = ZoneInfo("America/New_York")
NINE_THIRTY = 34_200_000


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * 10**9


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def lines_of(*path: str) -> list[list[str]]:
    """The lines of a real zip file, split by hand."""
    with zipfile.ZipFile(REAL.joinpath("equity", "usa", *path)) as archive:
        return [line.split(",") for line in archive.read(archive.namelist()[0]).decode().splitlines()]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> ImportSummary:
    return import_lean(REAL, tmp_path_factory.mktemp("lean") / "tapes")


@pytest.fixture
def lean(tmp_path: Path) -> Path:
    """A small data folder: two days of a stock that split 2:1 on the second, and its factor file."""
    pack(
        tmp_path / "equity/usa/tick/abc/20240605_trade.zip",
        f"{NINE_THIRTY},1000000,100,P,1,0",
        f"{NINE_THIRTY},1000000,100,P,1,0",
        f"{NINE_THIRTY + 1},9990000,1,P,1,1",
        f"{NINE_THIRTY + 2},1000100,50,Q,1,0",
    )
    pack(tmp_path / "equity/usa/tick/abc/20240606_trade.zip", f"{NINE_THIRTY},500100,200,P,1,0")
    factors = tmp_path / "equity/usa/factor_files/abc.csv"
    factors.parent.mkdir()
    factors.write_text("20240102,0.4,0.5,90\n20240605,0.98,0.5,100\n20501231,1,1,0\n")
    return tmp_path


def pack(path: Path, *lines: str, member: str = "data.csv") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "\n".join(lines) + "\n")


@real
@pytest.mark.parametrize("symbol", ["AIG", "BAC", "IBM"])
def test_every_real_trade_arrives_with_its_price_and_size(imported: ImportSummary, symbol: str) -> None:
    rows = rows_of(imported.folder / "tick" / "trades" / f"{symbol}.csv")
    source = [line for day in range(7, 12) for line in lines_of("tick", symbol.lower(), f"201310{day:02}_trade.zip")]
    assert len(rows) == len(source)
    assert [round(float(row["price"]) * 10_000) for row in rows] == [int(line[1]) for line in source]
    assert [int(row["size"]) for row in rows] == [int(line[2]) for line in source]
    assert int(rows[0]["ts"]) == ns("2013-10-07") + int(source[0][0]) * 1_000_000
    assert int(rows[-1]["ts"]) == ns("2013-10-11") + int(source[-1][0]) * 1_000_000


@real
@pytest.mark.parametrize("day", ["07", "08", "09", "10", "11"])
def test_combined_real_quotes_end_each_minute_where_leans_own_quote_bars_do(imported: ImportSummary, day: str) -> None:
    midnight = ns(f"2013-10-{day}")
    closes = {}
    for row in rows_of(imported.folder / "tick" / "quotes" / "IBM.csv"):
        since = int(row["ts"]) - midnight
        if 0 <= since < 86_400 * 10**9:
            closes[since // 60_000_000_000 * 60_000] = (row["bid"], row["ask"])
    bars = {int(line[0]): (line[4], line[9]) for line in lines_of("minute", "ibm", f"201310{day}_quote.zip")}
    assert len(closes) > 400
    assert set(closes) - set(bars) <= {57_900_000}  # five past four: a closing quote, which LEAN's bars leave out
    state: dict[int, tuple[str, str]] = {}
    for minute in sorted(set(closes) | set(bars)):  # in a few minutes lines repeat what was known
        state[minute] = closes.get(minute) or state[max(state)]
    in_units = {m: tuple(str(round(float(side or 0) * 10_000)) for side in sides) for m, sides in state.items()}
    assert {m: in_units[m] for m in bars} == {m: tuple(side or "0" for side in sides) for m, sides in bars.items()}


@real
def test_suspicious_real_lines_are_dropped_and_halves_of_quotes_merged_and_both_are_counted(
    imported: ImportSummary,
) -> None:
    (quotes,) = [f for f in imported.files if (f.resolution, f.kind, f.symbol) == ("tick", "quotes", "IBM")]
    source = [line for day in range(7, 12) for line in lines_of("tick", "ibm", f"201310{day:02}_quote.zip")]
    assert quotes.dropped == sum(line[7] == "1" for line in source) == 3
    assert quotes.rows + quotes.dropped + quotes.merged == len(source)
    crossed = sum(float(r["bid"] or 0) > float(r["ask"] or 1e9) for r in rows_of(quotes.path))
    assert crossed < 0.001 * quotes.rows  # halves alone would cross where the other half is older


@real
@pytest.mark.parametrize(("symbol", "days"), [("aapl", ["20140605", "20140606", "20140609"]), ("goog", ["20151224"])])
def test_real_minute_bars_arrive_whole_and_are_stamped_at_their_close(
    imported: ImportSummary, symbol: str, days: list[str]
) -> None:
    rows = rows_of(imported.folder / "minute" / "bars" / f"{symbol.upper()}.csv")
    for day in days:
        midnight = ns(f"{day[:4]}-{day[4:6]}-{day[6:]}")
        mine = [row for row in rows if 0 < int(row["ts"]) - midnight <= 86_400 * 10**9]
        source = lines_of("minute", symbol, f"{day}_trade.zip")
        assert [(int(row["ts"]) - midnight) // 10**6 - 60_000 for row in mine] == [int(line[0]) for line in source]
        for at, name in enumerate(("open", "high", "low", "close"), start=1):
            assert [round(float(row[name]) * 10_000) for row in mine] == [int(line[at]) for line in source]
        assert sum(int(row["volume"]) for row in mine) == sum(int(line[5]) for line in source)


@real
def test_a_real_daily_bar_closes_with_its_session_also_on_a_short_day(imported: ImportSummary) -> None:
    rows = {int(row["ts"]): row for row in rows_of(imported.folder / "daily" / "bars" / "IBM.csv")}
    source = lines_of("daily", "ibm.zip")
    assert len(rows) == len(source)
    first = rows[ns("1998-01-02T16:00")]
    assert (first["open"], first["close"], first["volume"]) == ("104.50", "105.75", "2563200")
    assert ns("2015-12-24T13:00") in rows


@real
def test_real_factor_files_give_the_splits_and_dividends_that_apple_paid(imported: ImportSummary) -> None:
    actions = read_actions(imported.folder / "daily" / "actions.csv")
    apple = [action for action in actions if action.symbol == "AAPL"]
    splits = {action.ts: action.value for action in apple if action.kind is ActionKind.SPLIT}
    assert splits == {ns("2000-06-21"): 2, ns("2005-02-28"): 2, ns("2014-06-09"): 7, ns("2020-08-31"): 4}
    dividends = {action.ts: action.value for action in apple if action.kind is ActionKind.DIVIDEND}
    assert dividends[ns("2014-05-08")] == 3.29
    assert dividends[ns("2014-08-07")] == 0.47
    minute = read_actions(imported.folder / "minute" / "actions.csv")
    assert [(a.ts, a.value) for a in minute if a.symbol == "AAPL"] == [(ns("2014-06-09"), 7)]
    assert "FOXA" in imported.without_factors


@real
def test_adjusted_real_prices_do_not_jump_at_a_split(tmp_path: Path) -> None:
    import_lean(REAL, tmp_path / "raw", symbols=["aapl"], resolutions=["daily"])
    import_lean(REAL, tmp_path / "adjusted", symbols=["AAPL"], resolutions=["daily"], factors=True)
    change = {}
    for name in ("raw", "adjusted"):
        rows = {int(row["ts"]): float(row["close"]) for row in rows_of(tmp_path / name / "daily" / "bars" / "AAPL.csv")}
        change[name] = rows[ns("2014-06-09T16:00")] / rows[ns("2014-06-06T16:00")]
        assert (tmp_path / name / "daily" / "actions.csv").exists() == (name == "raw")
    assert change["raw"] == pytest.approx(93.70 / 645.57, abs=1e-4)
    assert change["adjusted"] == pytest.approx(93.70 * 7 / 645.57, abs=1e-4)


def test_equal_trades_of_one_millisecond_stay_two_and_suspicious_ones_go(lean: Path) -> None:
    summary = import_lean(lean, lean / "out")
    rows = rows_of(lean / "out" / "tick" / "trades" / "ABC.csv")
    start = ns("2024-06-05T09:30")
    assert [(int(row["ts"]) - start, row["price"], row["size"], row["sequence"]) for row in rows] == [
        (0, "100.00", "100", "1"),
        (0, "100.00", "100", "2"),
        (2_000_000, "100.01", "50", "4"),
        (86_400 * 10**9, "50.01", "200", "1"),
    ]
    assert [(file.rows, file.dropped, file.merged) for file in summary.files] == [(4, 1, 0)]


def test_raw_prices_come_with_the_actions_of_the_days_after_the_first(lean: Path) -> None:
    summary = import_lean(lean, lean / "out")
    actions = read_actions(lean / "out" / "tick" / "actions.csv")
    assert [(a.ts, a.kind, a.value) for a in actions] == [
        (ns("2024-06-06"), ActionKind.SPLIT, 2.0),
        (ns("2024-06-06"), ActionKind.DIVIDEND, 1.0),  # 100 x (1 - 0.98) a share before the split
    ]
    assert (summary.actions, summary.without_factors, summary.adjusted) == (2, (), False)
    manifest = read_manifest(lean / "out" / "tick")
    assert manifest is not None
    assert (manifest.adjusted, manifest.bar_stamp, manifest.synthetic) == (False, "close", False)


def test_with_factors_prices_are_multiplied_and_sizes_divided_and_there_are_no_actions(lean: Path) -> None:
    import_lean(lean, lean / "out", factors=True)
    rows = rows_of(lean / "out" / "tick" / "trades" / "ABC.csv")
    assert [(float(row["price"]), float(row["size"])) for row in rows] == [
        (49.0, 200.0), (49.0, 200.0), (49.0049, 100.0), (50.01, 200.0)
    ]  # fmt: skip
    assert not (lean / "out" / "tick" / "actions.csv").exists()
    manifest = read_manifest(lean / "out" / "tick")
    assert manifest is not None
    assert manifest.adjusted


def test_instruments_are_written_and_can_be_read_back(lean: Path) -> None:
    import_lean(lean / "equity", lean / "out")
    instruments, columns = read_instruments(lean / "out" / "tick" / "instruments.csv")
    assert list(instruments) == ["ABC"]
    assert columns == {"symbol", "type", "currency", "exchange"}


def test_bid_and_ask_lines_of_one_millisecond_are_one_update(lean: Path) -> None:
    pack(
        lean / "equity/usa/tick/abc/20240605_quote.zip",
        "100,0,0,1000500,5,P,1,0",  # only an ask: there is no bid yet
        "200,999000,1,0,0,P,1,0",
        "200,0,0,1000500,5,P,1,0",
        "300,1000600,2,0,0,Q,1,0",  # with the old ask this would be a crossed market that never was
        "300,0,0,1000700,6,Q,1,0",
        "300,1000600,2,0,0,N,1,0",  # another exchange, nothing new
        "300,0,0,1000700,6,Q,1,0",
        "400,0,0,0,0,Q,1,0",
        "500,1000650,3,1000680,7,Q,1,0",  # both sides in one line
        "600,1000660,4,0,0,Q,1,1",
        "700,1000660,4,0,0,Q,1,0",
        "701,0,0,1000690,8,Q,1,0",
    )
    summary = import_lean(lean, lean / "out")
    midnight = ns("2024-06-05")
    rows = rows_of(lean / "out" / "tick" / "quotes" / "ABC.csv")
    assert [((int(r["ts"]) - midnight) // 10**6, r["bid"], r["ask"], r["bid_size"], r["ask_size"]) for r in rows] == [
        (100, "", "100.05", "0", "5"),
        (200, "99.90", "100.05", "1", "5"),
        (300, "100.06", "100.07", "2", "6"),
        (500, "100.065", "100.068", "3", "7"),
        (700, "100.066", "100.068", "4", "7"),
        (701, "100.066", "100.069", "4", "8"),
    ]
    (quotes,) = [file for file in summary.files if file.kind == "quotes"]
    assert (quotes.rows, quotes.dropped, quotes.merged) == (6, 2, 4)


def test_a_blank_side_of_a_quote_bar_stays_without_a_price(lean: Path) -> None:
    pack(lean / "equity/usa/minute/abc/20240605_quote.zip", "0,1,2,1,900000,7,,,,,0", "60000,,,,,0,1,2,1,910000,9")
    import_lean(lean, lean / "out")
    rows = rows_of(lean / "out" / "minute" / "quotes" / "ABC.csv")
    assert [(r["bid"], r["ask"], r["bid_size"], r["ask_size"]) for r in rows] == [
        ("90.00", "", "7", "0"), ("", "91.00", "0", "9")
    ]  # fmt: skip


def test_hourly_bars_are_stamped_an_hour_after_their_start(lean: Path) -> None:
    pack(lean / "equity/usa/hour/abc.zip", "20240605 10:00,10000,10000,10000,10000,5")
    import_lean(lean, lean / "out", resolutions=["hour"])
    (row,) = rows_of(lean / "out" / "hour" / "bars" / "ABC.csv")
    assert int(row["ts"]) == ns("2024-06-05T11:00")
    assert [path.name for path in (lean / "out").iterdir()] == ["hour"]


def test_compressed_files_hold_the_same_rows(lean: Path) -> None:
    import_lean(lean, lean / "plain")
    import_lean(lean, lean / "packed", compress=True)
    packed = gzip.decompress((lean / "packed" / "tick" / "trades" / "ABC.csv.gz").read_bytes())
    assert packed == (lean / "plain" / "tick" / "trades" / "ABC.csv").read_bytes()


def test_a_tape_that_is_there_already_is_not_overwritten(lean: Path) -> None:
    import_lean(lean, lean / "out")
    with pytest.raises(ConfigError, match="is there already; delete it or choose another folder"):
        import_lean(lean, lean / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"symbols": ["ABD"]}, 'there is no symbol "ABD"; did you mean "ABC"'),
        ({"resolutions": ["ticks"]}, 'there is no resolution "ticks"; did you mean "tick"'),
    ],
)
def test_what_is_not_there_is_refused_by_name(lean: Path, arguments: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        import_lean(lean, lean / "out", **arguments)  # type: ignore[arg-type]
    assert not (lean / "out").exists()


def test_a_folder_without_lean_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no LEAN equity data"):
        import_lean(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("20240607_trade.zip", ["1,2,3"], "has 3 columns where LEAN has 6"),
        ("20240607_trade.zip", ["1,2,3,P,1,0", "1,x,3,P,1,0"], ':2: "x" is not a number \\(field 2\\)'),
        ("20240607_trade.zip", ["-5,2,3,P,1,0"], "not milliseconds of a day"),
        ("20240607_trade.zip", ["1,2,3,P,1,0", "1,2,3,P,1,0,7,8,9"], "is not CSV"),
        ("20240607_trade.zip", [""], "holds no line"),
        ("20240631_trade.zip", ["1,2,3,P,1,0"], "is not named after a date"),
        ("trades.zip", ["1,2,3,P,1,0"], "is not named as 20131007_trade.zip"),
    ],
)
def test_a_file_that_is_not_leans_is_named_and_nothing_is_left_behind(
    lean: Path, name: str, lines: list[str], message: str
) -> None:
    pack(lean / "equity/usa/tick/abc" / name, *lines)
    with pytest.raises(DataError, match=message) as caught:
        import_lean(lean, lean / "out")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list((lean / "out").iterdir()) == []


def test_a_damaged_zip_is_named(lean: Path) -> None:
    path = lean / "equity/usa/tick/abc/20240606_trade.zip"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"20240606_trade\.zip: is not a sound zip file"):
        import_lean(lean, lean / "out")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("20240606,0,1,1", ":2: has a factor that is not above 0"),
        ("20240101,1,1,1", ":2: has a factor that is not above 0, or a date that does not rise"),
        ("yesterday,1,1,1", ":2: is not date,price factor"),
    ],
)
def test_a_factor_file_that_can_not_be_used_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "abc.csv"
    path.write_text(f"20240102,0.5,0.5,90\n{line}\n")
    with pytest.raises(DataError, match=message):
        read_factors(path)
