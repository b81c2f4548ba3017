"""Small CSV files, row by row, with the place of every field: reference data, actions, recorded scans.

Files of market data are read by compiled code elsewhere; here clarity of the message comes first.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from feeds.timestamps import LOCAL_MISSING, offset_at, to_utc, zone_table
from papertape.core.errors import DataError, did_you_mean
from papertape.core.model import NS_PER_S, SYMBOL_PATTERN

T = TypeVar("T")

FILE_BYTES_MAX = 256 * 2**20
NS_PER_DAY = 86_400 * NS_PER_S
FIRST_YEAR, LAST_YEAR = 1970, 2200

_FIELD = re.compile(r'[ \t]*(?:"((?:[^"]|"")*)"[ \t]*|([^,"]*))(,|$)')
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(?:(Z)|([+-])([0-9]{2}):?([0-9]{2}))?"
)
_EPOCH_UNITS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (2**63, 1))
"""(an epoch number below this, is worth so many nanoseconds): seconds, milli-, micro- and nanoseconds."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field and where it is; the methods turn its text into a value or raise DataError at its place."""

    text: str
    name: str
    path: str
    line: int
    column: int

    def refused(self, what: str) -> DataError:
        """The error that ``what`` is wrong here."""
        return DataError(f'{what} (column "{self.name}")', path=self.path, line=self.line, column=self.column)

    @property
    def shown(self) -> str:
        """The text as a message may show it."""
        return shown(self.text)

    def number(self, *, above: float = -math.inf, least: float = -math.inf) -> float:
        """A finite number, greater than ``above`` and not below ``least``."""
        value = float(self.text) if _NUMBER.fullmatch(self.text) else math.nan
        if not math.isfinite(value):
            raise self.refused(f'"{self.shown}" is not a number')
        if value <= above or value < least:
            raise self.refused(f"{self.text} is {'not above ' + format(above, 'g') if value <= above else 'negative'}")
        return value

    def whole(self) -> int:
        """An integer in [0, 2**63)."""
        if not re.fullmatch("[0-9]{1,19}", self.text) or int(self.text) >= 2**63:
            raise self.refused(f'"{self.shown}" is not a whole number')
        return int(self.text)

    def symbol(self) -> str:
        """A symbol."""
        if not SYMBOL_PATTERN.fullmatch(self.text):
            raise self.refused(f'"{self.shown}" cannot be a symbol')
        return self.text

    def one_of(self, known: Mapping[str, T]) -> T:
        """The value of one of the known words, in any case."""
        word = self.text.lower()
        if word not in known:
            raise self.refused(f'"{self.shown}" is unknown{did_you_mean(word[:32], known)}')
        return known[word]

    def day(self) -> int:
        """An ISO date, as days since 1970-01-01."""
        try:
            day = date.fromisoformat(self.text) if _DATE.fullmatch(self.text) else None
        except ValueError:
            day = None
        if day is None:
            raise self.refused(f'"{self.shown}" is not a date; write it as 2024-06-03')
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            raise self.refused(f"{self.text} is not in {FIRST_YEAR} to {LAST_YEAR}")
        return (day - date(1970, 1, 1)).days

    def instant(self, tz: str | None) -> int:
        """An epoch number (s, ms, us or ns, told by its size) or an ISO-8601 time, as UTC nanoseconds.

        ``tz`` is the zone of times that name none.
        """
        if self.text.isdecimal() and self.text.isascii():
            number = self.whole()
            return number * next(unit for limit, unit in _EPOCH_UNITS if number < limit)
        match = _INSTANT.fullmatch(self.text)
        if match is None:
            raise self.refused(f'"{self.shown}" is not a time; write it as 2024-06-03T13:30:00Z')
        day, hour, minute, second, fraction, utc, sign, zone_hour, zone_minute = match.groups()
        clock = (int(hour), int(minute), int(second or 0))
        offset = (int(zone_hour or 0), int(zone_minute or 0))
        if clock[0] > 23 or max(clock[1:]) > 59 or offset[0] > 14 or offset[1] > 59:
            raise self.refused(f"there is no time {self.text}")
        seconds = clock[0] * 3600 + clock[1] * 60 + clock[2]
        days = Field(day, self.name, self.path, self.line, self.column).day()
        ts = days * NS_PER_DAY + seconds * NS_PER_S + int((fraction or "").ljust(9, "0"))
        if utc:
            return ts
        if sign:
            return ts - (1 if sign == "+" else -1) * (offset[0] * 3600 + offset[1] * 60) * NS_PER_S
        if tz is None:
            raise self.refused(f"the time {self.text} names no zone; say which with --tz")
        return self._in_zone(ts, tz)

    def midnight(self, zone: str) -> int:
        """The start of an ISO date in a zone, as UTC nanoseconds."""
        return self._in_zone(self.day() * NS_PER_DAY, zone)

    def midnight_of_instant(self, zone: str) -> int:
        """The start of the day in a zone on which a time (see ``instant``) falls, as UTC nanoseconds."""
        ts = self.instant(zone)
        local = ts + int(offset_at(np.array([ts], dtype=np.int64), zone_table(zone))[0])
        return self._in_zone(local // NS_PER_DAY * NS_PER_DAY, zone)

    def _in_zone(self, local: int, zone: str) -> int:
        """UTC of a local time. Raises DataError for a time that the zone's clocks skipped or showed twice."""
        ts = np.array([local], dtype=np.int64)
        faults = to_utc(ts, zone_table(zone))
        if faults is not None:
            did = "does not exist" if faults[0] == LOCAL_MISSING else "exists twice"
            raise self.refused(f"the local time {self.text} {did} in {zone}; write it in UTC")
        return int(ts[0])


Row = Mapping[str, Field]


def shown(text: str) -> str:
    """A piece of a file as a message may show it: short, and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:40])


def read_rows(path: Path, known: Mapping[str, str], required: frozenset[str]) -> tuple[frozenset[str], Iterator[Row]]:
    """The columns of a CSV file and an iterator over its rows.

    ``known`` maps accepted header names (lower case, with ``_`` for spaces) to columns. Columns that are neither known
    nor nearly so are ignored. Raises DataError for a file that can not be read, a header without a required column, a
    doubled or misspelled one, and rows with too few or too many fields. Blank lines are skipped.
    """
    lines = _lines(path)
    if not lines or not lines[0].strip():
        raise DataError("is empty; it needs a header", path=str(path))
    header: list[str | None] = []
    for text, at in _fields(lines[0], str(path), 1):
        name = re.sub(r"[ -]+", "_", text.strip().lower())
        column = known.get(name)
        if column is None and difflib.get_close_matches(name, known, n=1, cutoff=0.8):
            what = f'the column "{shown(name)}" is unknown{did_you_mean(name[:32], known)}'
            raise DataError(what, path=str(path), line=1, column=at)
        if column is not None and column in header:
            raise DataError(f'the column "{column}" is there twice', path=str(path), line=1, column=at)
        header.append(column)
    missing = sorted(required - set(header))
    if missing:
        raise DataError(f'there is no column "{missing[0]}"; name it in the header', path=str(path), line=1)
    return frozenset(name for name in header if name is not None), _rows(path, lines, header)


def _rows(path: Path, lines: list[str], header: list[str | None]) -> Iterator[Row]:
    """Rows after the header."""
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = _fields(line, str(path), number)
        if len(fields) != len(header):
            what = f"{len(fields)} fields where the header has {len(header)}"
            raise DataError(what, path=str(path), line=number)
        yield {
            name: Field(text.strip(), name, str(path), number, at)
            for name, (text, at) in zip(header, fields, strict=True)
            if name is not None
        }


def _fields(line: str, path: str, number: int) -> list[tuple[str, int]]:
    """The fields of a line and the column (from 1) at which each starts."""
    result = []
    at = 0
    while True:
        match = _FIELD.match(line, at)
        if match is None:
            raise DataError("a quote is not closed, or stands inside a field", path=path, line=number, column=at + 1)
        quoted, plain, end = match.groups()
        result.append((plain if quoted is None else quoted.replace('""', '"'), at + 1))
        at = match.end()
        if not end:
            return result


def _lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file with any line ends."""
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "there is no such file"
            raise DataError(what, path=str(path))
        if path.stat().st_size > FILE_BYTES_MAX:
            raise DataError(f"is larger than {FILE_BYTES_MAX >> 20} MB; that is no table of this kind", path=str(path))
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=str(path)) from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8 text; save it as UTF-8", path=str(path)) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError("holds a NUL byte; this is not a text file", path=str(path), line=line)
    return re.split("\r\n|\n|\r", text)
