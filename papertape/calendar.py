"""Trading sessions of exchanges: when each opens and closes, early closes included.

The times come from the ``exchange-calendars`` package. Importing it (with pandas) takes about a second and a half,
far longer than reading a table of ten thousand sessions, so the table is kept on disk, one file a calendar and
version of the package, and a process that finds it imports neither.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import os
import re
import tempfile
import time
import warnings
import zlib
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import msgspec
import numpy as np

from papertape.core.errors import ConfigError, DataError, did_you_mean
from papertape.core.folders import cache_folder
from papertape.core.model import NS_PER_S, SessionTimes
from papertape.core.series import I8

DEFAULT_CALENDAR = "XNYS"
ALWAYS_OPEN = "24/7"
NS_PER_DAY = 86_400 * NS_PER_S
SESSIONS_BEFORE = 1
SESSIONS_AFTER = 10
"""Sessions that the result holds beyond the asked range, so that there are a prior close and a next open."""

_TABLE_START = date(1990, 1, 1)
_TABLE_YEARS_AHEAD = 2
_MARGIN_DAYS = 45
"""Days beyond the asked range that a table must reach so that it holds the margins, whatever the holidays."""
_MAGIC = b"papertape sessions 1\n"
_log = logging.getLogger("papertape")


class _Header(msgspec.Struct, frozen=True):
    """What precedes the three int64 columns (date, open, close) in a table's file. Days are since 1970-01-01."""

    name: str
    zone: str
    version: str
    asked: tuple[int, int]
    known: tuple[int, int]
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """All sessions of a range of days. Ranges are (first, last), inclusive, in days since 1970-01-01.

    ``asked`` is the range that was asked for, ``known`` the part of it for which the calendar has answers.
    """

    zone: str
    asked: tuple[int, int]
    known: tuple[int, int]
    date: I8
    open: I8
    close: I8


def session_times(name: str, start_ns: int, end_ns: int, *, folder: Path | None = None) -> SessionTimes:
    """The sessions of an exchange that touch [start_ns, end_ns], with margins on both sides.

    ``name`` is a name or alias that exchange-calendars knows ("XNYS", "NYSE", "XLON", ...) or "24/7" (each UTC day
    is a session). Times are UTC nanoseconds. At least ``SESSIONS_BEFORE`` sessions close before ``start_ns`` and
    ``SESSIONS_AFTER`` open after ``end_ns``, fewer only where the calendar itself begins or ends. Lunch breaks are
    ignored: such a session lasts from the first open to the last close. ``folder`` is where tables are kept (default:
    "calendars" in papertape's cache folder).

    Raises ConfigError for an unknown name, and DataError where the calendar does not reach as far as asked.
    """
    if start_ns > end_ns:
        raise ValueError(f"the range ends ({end_ns}) before it starts ({start_ns})")
    if name == ALWAYS_OPEN:
        return _utc_days(start_ns, end_ns)
    first_day, last_day = start_ns // NS_PER_DAY, end_ns // NS_PER_DAY
    table = _table(name, first_day, last_day, cache_folder() / "calendars" if folder is None else folder)
    if first_day < table.known[0] or last_day > table.known[1]:
        raise DataError(
            f"the calendar {name} is known from {_iso(table.known[0])} to {_iso(table.known[1])}, which does not hold "
            f'{_iso(first_day)} to {_iso(last_day)}; narrow the range, or choose the calendar "{ALWAYS_OPEN}"'
        )
    begin = int(np.searchsorted(table.close, start_ns, side="left")) - SESSIONS_BEFORE
    rows = slice(max(begin, 0), int(np.searchsorted(table.open, end_ns, side="right")) + SESSIONS_AFTER)
    return SessionTimes(
        date=tuple(table.date[rows].tolist()),
        open=tuple(table.open[rows].tolist()),
        close=tuple(table.close[rows].tolist()),
        zone=table.zone,
        name=name,
    )


def _utc_days(start_ns: int, end_ns: int) -> SessionTimes:
    """Each UTC day as a session, from midnight to midnight."""
    days = range(start_ns // NS_PER_DAY - SESSIONS_BEFORE, end_ns // NS_PER_DAY + SESSIONS_AFTER + 1)
    return SessionTimes(
        date=tuple(days),
        open=tuple(day * NS_PER_DAY for day in days),
        close=tuple((day + 1) * NS_PER_DAY for day in days),
        zone="UTC",
        name=ALWAYS_OPEN,
    )


def _table(name: str, first_day: int, last_day: int, folder: Path) -> _Table:
    """The table that is kept for a calendar if it reaches far enough, else a new one that is then kept."""
    version = _package_version()
    path = folder / f"{re.sub('[^A-Za-z0-9]', '-', name)}-{version}.sessions"
    want = (first_day - _MARGIN_DAYS, last_day + _MARGIN_DAYS)
    table = _read(path, name, version)
    if table is None or want[0] < table.asked[0] or table.asked[1] < want[1]:
        usual_last = int(time.time() // 86_400) + 366 * _TABLE_YEARS_AHEAD
        table = _build(name, min(_days(_TABLE_START) - _MARGIN_DAYS, want[0]), max(usual_last, want[1]))
        _write(path, name, version, table)
    return table


@functools.cache
def _package_version() -> str:
    return importlib.metadata.version("exchange-calendars")


def _build(name: str, first_day: int, last_day: int) -> _Table:
    """Ask exchange-calendars for the sessions from first_day to last_day, or as many of them as it knows."""
    import exchange_calendars  # slow, with pandas: only where no table is kept

    names = exchange_calendars.get_calendar_names()
    if name not in names:
        raise ConfigError(f'there is no calendar "{name[:32]}"{did_you_mean(name[:32], [*names, ALWAYS_OPEN])}')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own use of pandas: nothing that our user can mend
        usual = exchange_calendars.get_calendar(name)
        earliest, latest = usual.bound_min(), usual.bound_max()
        first = first_day if earliest is None else max(first_day, _days(earliest.date()))
        last = last_day if latest is None else min(last_day, _days(latest.date()))
        calendar = exchange_calendars.get_calendar(name, start=_iso(first), end=_iso(last))
        opens, closes = calendar.opens_nanos, calendar.closes_nanos
    return _Table(
        zone=str(calendar.tz.key),
        asked=(first_day, last_day),
        known=(first, last),
        date=calendar.sessions.to_numpy().astype("datetime64[D]").astype(np.int64),
        open=np.asarray(opens, dtype=np.int64),
        close=np.asarray(closes, dtype=np.int64),
    )


def _read(path: Path, name: str, version: str) -> _Table | None:
    """A kept table, or None where there is none or it is damaged (then it is built again)."""
    try:
        status = path.stat()
        return _parsed(path, status.st_mtime_ns, status.st_size, name, version)
    except OSError as error:
        _log.debug("no session table: %s", error)
        return None


@functools.lru_cache(maxsize=8)
def _parsed(path: Path, written_ns: int, size: int, name: str, version: str) -> _Table | None:
    """The same, read once for as long as the file is what it was."""
    content = path.read_bytes()
    checksum, _, rest = content.removeprefix(_MAGIC).partition(b"\n")
    head, _, body = rest.partition(b"\n")
    if not content.startswith(_MAGIC) or checksum != b"%08x" % zlib.crc32(rest):
        _log.info("the session table %s is damaged and is built again", path)
        return None
    header = msgspec.json.decode(head, type=_Header)
    if (header.name, header.version) != (name, version):
        return None  # two names that make one file name
    columns = np.frombuffer(body, dtype="<i8").reshape(3, header.rows)
    return _Table(header.zone, header.asked, header.known, columns[0], columns[1], columns[2])


def _write(path: Path, name: str, version: str, table: _Table) -> None:
    """Keep a table: whole or not at all. A disk that can not be written costs the next process time, no more."""
    body = np.stack((table.date, table.open, table.close)).astype("<i8").tobytes()
    header = _Header(name, table.zone, version, table.asked, table.known, len(table.date))
    rest = msgspec.json.encode(header) + b"\n" + body
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(_MAGIC + b"%08x\n" % zlib.crc32(rest) + rest)
        os.replace(file.name, path)
    except OSError as error:
        _log.warning("the session table of %s cannot be kept (%s)", name, error)


def _days(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - date(1970, 1, 1)).days


def _iso(day: int) -> str:
    """ISO date of a count of days since 1970-01-01."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
