"""Session times: against the exchange's own published hours, and with tables that are kept on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from papertape.calendar import SESSIONS_AFTER, session_times
from papertape.core.errors import ConfigError, DataError
from papertape.core.model import SessionTimes

NEW_YORK = ZoneInfo("America/New_York")


def ns(text: str, zone: ZoneInfo = NEW_YORK) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 1_000_000_000


def dates(times: SessionTimes) -> list[str]:
    return [(date(1970, 1, 1) + timedelta(days=day)).isoformat() for day in times.date]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calendars")


def test_a_regular_new_york_session_lasts_from_half_past_nine_to_four(folder: Path) -> None:
    times = session_times("XNYS", ns("2013-10-07T10:00"), ns("2013-10-07T15:00"), folder=folder)
    at = dates(times).index("2013-10-07")
    assert (times.open[at], times.close[at]) == (ns("2013-10-07T09:30"), ns("2013-10-07T16:00"))
    assert (times.zone, times.name) == ("America/New_York", "XNYS")


def test_an_early_close_is_known(folder: Path) -> None:
    times = session_times("XNYS", ns("2015-12-23T10:00"), ns("2015-12-28T10:00"), folder=folder)
    at = dates(times).index("2015-12-24")
    assert times.close[at] == ns("2015-12-24T13:00")
    assert "2015-12-25" not in dates(times)


def test_the_clock_change_moves_the_open_in_utc(folder: Path) -> None:
    times = session_times("XNYS", ns("2024-03-08T10:00"), ns("2024-03-11T10:00"), folder=folder)
    opens = {
        day: datetime.fromtimestamp(open_ // 10**9, UTC).hour
        for day, open_ in zip(dates(times), times.open, strict=True)
    }
    assert (opens["2024-03-08"], opens["2024-03-11"]) == (14, 13)


def test_there_is_a_session_before_the_range_and_several_after_it(folder: Path) -> None:
    start, end = ns("2019-02-11T03:00"), ns("2019-02-15T21:00")
    times = session_times("XNYS", start, end, folder=folder)
    assert times.close[0] < start
    assert sum(open_ > end for open_ in times.open) == SESSIONS_AFTER
    assert dates(times)[:7] == [f"2019-02-{day:02}" for day in (8, 11, 12, 13, 14, 15)] + ["2019-02-19"]


def test_a_range_that_starts_inside_a_session_holds_the_whole_session_and_the_one_before(folder: Path) -> None:
    times = session_times("XNYS", ns("2019-02-12T12:00"), ns("2019-02-12T12:00"), folder=folder)
    assert dates(times)[:2] == ["2019-02-11", "2019-02-12"]


def test_a_year_before_the_packages_own_default_start_is_known(folder: Path) -> None:
    times = session_times("XNYS", ns("1998-01-02T10:00"), ns("1998-01-02T11:00"), folder=folder)
    assert dates(times)[:2] == ["1997-12-31", "1998-01-02"]


def test_dates_before_the_usual_table_widen_it(folder: Path, tmp_path: Path) -> None:
    times = session_times("XNYS", ns("1975-03-03T10:00"), ns("1975-03-03T11:00"), folder=tmp_path)
    assert dates(times)[:2] == ["1975-02-28", "1975-03-03"]


def test_a_calendar_that_never_closes_has_utc_days(folder: Path) -> None:
    utc = ZoneInfo("UTC")
    times = session_times("24/7", ns("2024-03-09T12:00", utc), ns("2024-03-10T12:00", utc), folder=folder)
    assert dates(times)[:3] == ["2024-03-08", "2024-03-09", "2024-03-10"]
    assert times.close[:-1] == times.open[1:]
    assert times.open[1] == ns("2024-03-09T00:00", utc)


def test_an_alias_has_the_sessions_of_its_calendar(folder: Path) -> None:
    start, end = ns("2019-02-11T03:00"), ns("2019-02-15T21:00")
    assert session_times("NYSE", start, end, folder=folder).open == session_times("XNYS", start, end).open


def test_an_unknown_calendar_is_refused_with_the_nearest_name(folder: Path) -> None:
    with pytest.raises(ConfigError, match='no calendar "XNYSE"; did you mean "XNYS"'):
        session_times("XNYSE", 0, 1, folder=folder)


def test_a_name_that_is_a_path_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no calendar"):
        session_times("../../etc/passwd", 0, 1, folder=tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []


def test_a_range_beyond_what_a_calendar_knows_is_refused_with_what_it_knows(folder: Path) -> None:
    with pytest.raises(DataError, match="XHKG is known from 1989-11-17 to 2049-12-31"):
        session_times("XHKG", ns("2049-12-01T00:00"), ns("2050-02-01T00:00"), folder=folder)


def test_a_calendar_that_ends_soon_gives_the_sessions_that_it_knows(folder: Path) -> None:
    times = session_times("XHKG", ns("2049-12-30T00:00"), ns("2049-12-30T12:00"), folder=folder)
    assert dates(times)[-1] == "2049-12-31"


def test_a_damaged_table_is_built_again(folder: Path, tmp_path: Path) -> None:
    start, end = ns("2019-02-11T03:00"), ns("2019-02-15T21:00")
    expected = session_times("XNYS", start, end, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], b"\xff" * 99):
        path.write_bytes(damaged)
        assert session_times("XNYS", start, end, folder=tmp_path) == expected
        assert path.read_bytes() == whole


def test_a_folder_that_can_not_be_written_costs_only_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    times = session_times("XNYS", ns("2019-02-12T12:00"), ns("2019-02-12T13:00"), folder=in_the_way / "calendars")
    assert "2019-02-12" in dates(times)
    assert "cannot be kept" in caplog.text


def test_a_table_of_another_package_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session_times("XNYS", ns("2019-02-12T12:00"), ns("2019-02-12T13:00"), folder=tmp_path)
    monkeypatch.setattr("papertape.calendar._package_version", lambda: "9.9.9")
    session_times("XNYS", ns("2019-02-12T12:00"), ns("2019-02-12T13:00"), folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_second_process_imports_neither_pandas_nor_the_calendar_package(tmp_path: Path) -> None:
    code = (
        "import sys; from papertape.calendar import session_times; "
        "print(len(session_times('XNYS', 1_549_900_000 * 10**9, 1_550_000_000 * 10**9).date), "
        "'pandas' in sys.modules, 'exchange_calendars' in sys.modules)"
    )
    environment = os.environ | {"PAPERTAPE_CACHE": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    first, second = (run.split() for run in runs)
    assert first == [first[0], "True", "True"]
    assert second == [first[0], "False", "False"]
