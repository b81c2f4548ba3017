"""What is wrong with a CSV file, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from feeds import csv_codes as codes
from feeds.csv_columns import PRICES, Layout, split_fields
from papertape.core.errors import DataError

LISTED_MAX = 20
COUNTED_MAX = 10_000
"""A file with so many bad rows is not read to its end to count them all, unless they are skipped."""
FIX_ROW = "fix the row or pass --on-bad=skip"

_FORM_WORDS: Mapping[int, str] = {
    codes.EPOCH_S: "seconds",
    codes.EPOCH_MS: "milliseconds",
    codes.EPOCH_US: "microseconds",
    codes.EPOCH_NS: "nanoseconds",
    codes.NAIVE: "times without an offset",
    codes.AWARE: "times with an offset",
    codes.DATE_ONLY: "dates without a time of day",
}
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_SLASHED = re.compile(r"\s*\"?(\d\d?)/(\d\d?)/\d{4}")
_NOT_A_NUMBER = re.compile(r"[+-]?(nan|inf|infinity|na|n/a|null|none)", re.IGNORECASE)


class UnusableFileError(Exception):
    """The whole file can not be used, for what is said."""


@dataclass(slots=True)
class RowFaults:
    """The rows of one file that can not be used. ``listed`` are the first: (line, column, what and how to go on)."""

    count: int = 0
    listed: list[tuple[int, int, str]] = field(default_factory=list)
    _new: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, line: int, column: int, what: str) -> None:
        """A row of the stretch that is being read can not be used; ``line`` and ``column`` count from 1."""
        self.count += 1
        if self.count <= COUNTED_MAX:  # they come in the order of their checks, not of their lines
            self._new.append((line, column, what))

    def settle(self) -> None:
        """The stretch is read: keep its first faults for the list."""
        self._new.sort()
        self.listed += self._new[: LISTED_MAX - len(self.listed)]
        self._new.clear()

    def error(self, path: str, *, counted_all: bool) -> DataError:
        """All of them as one error."""
        lines = [f"{path}:{line}:{column}: {what}" for line, column, what in self.listed[1:]]
        if self.count > len(self.listed):
            more = f"{self.count - len(self.listed):,} more rows"
            lines.append(f"{path}: {more if counted_all else f'at least {more}'} cannot be used")
        line, column, what = self.listed[0]
        return DataError("\n".join([what, *lines]), path=path, line=line, column=column)


def shown(text: str) -> str:
    """A text from a file as a message may show it: short, one line, nothing that a terminal would obey."""
    short = text if len(text) <= 40 else f"{text[:40]}..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in short)


def describe(code: int, field_text: str, line_text: str, column: int, form: tuple[int, int], layout: Layout,
             delimiter: str, *, cut_short: bool, first_row: bool) -> str:  # fmt: skip
    """What is wrong with a row, for the code of an issue. Raises UnusableFileError where the whole file is to be refused.

    ``column`` is the position of the field among the columns, ``form`` the file's and the row's form of time.
    """
    fields = len(split_fields(line_text, delimiter))
    if cut_short and not first_row and fields < len(layout.names):  # what its time looks like says nothing of the file
        return f"the last row is cut short: {fields} fields where the header has {len(layout.names)}"
    _refuse_file(code, field_text, line_text, form, layout, delimiter, first_row=first_row)
    name = layout.names[column] if column < len(layout.names) else ""
    text = shown(field_text.strip().strip('"').strip())
    cells = dict(zip(layout.names, split_fields(line_text, delimiter), strict=False))
    of_column = f'(column "{shown(name)}")'

    def cell(position: int) -> str:
        return shown(cells.get(layout.names[layout.field_of[position]], ""))

    if code == codes.TOO_FEW_FIELDS:
        what = f"{fields} fields where the header has {len(layout.names)}"
        return f"the last row is cut short: {what}" if cut_short else what
    if code == codes.TOO_MANY_FIELDS:
        return f"{fields} fields where the header has {len(layout.names)}"
    if code in _WITH_CELLS:
        return f"{_WITH_CELLS[code].format(*(cell(j) for j in range(4)))} {of_column}"
    if code == codes.PRICE_NOT_POSITIVE:
        return f"price {text} is not above zero {of_column}"
    if code in (codes.BAD_NUMBER, codes.BLANK_NUMBER, codes.SLOW_NUMBER):
        return f"{_number_fault(text)} {of_column}"
    return f"{_WORDS[code].format(text=text)} {of_column}"


_WITH_CELLS: Mapping[int, str] = {
    codes.HIGH_BELOW_LOW: "high {1} is below low {2}",
    codes.OPEN_OUTSIDE: "open {0} is outside of low {2} to high {1}",
    codes.CLOSE_OUTSIDE: "close {3} is outside of low {2} to high {1}",
}
_WORDS: Mapping[int, str] = {
    codes.BAD_TIME: '"{text}" is not a time',
    codes.NO_SUCH_TIME: "{text} is no date or time that exists",
    codes.YEAR_OUT_OF_RANGE: "{text} is outside of the years 1970 to 2200",
    codes.TOO_FINE_TIME: "{text} is finer than a nanosecond",
    codes.NEGATIVE_SIZE: "{text} is negative",
    codes.EMPTY_QUOTE: "neither bid nor ask has a price",
}


def _number_fault(text: str) -> str:
    if not text:
        return "blank where a number should be"
    if _NOT_A_NUMBER.fullmatch(text):
        return f"{text} is not a finite number"
    if _THOUSANDS.fullmatch(text):
        return f'"{text}" has separators of thousands'
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return f"{text} is an integer beyond 64 bits"
    if not text.isascii() and any(c.isdigit() for c in text):
        return f'"{text}" has digits that are not ASCII'
    return f'"{text}" is not a number'


def _refuse_file(code: int, field_text: str, line_text: str, form: tuple[int, int], layout: Layout,
                 delimiter: str, *, first_row: bool) -> None:  # fmt: skip
    """Raise UnusableFileError where a row shows that the whole file is not what it should be."""
    if "\0" in line_text or code == codes.NUL_BYTE:
        raise UnusableFileError("a NUL byte; the file is damaged or UTF-16: save it as UTF-8 text")
    if code == codes.UNCLOSED_QUOTE or line_text.count('"') % 2:
        raise UnusableFileError("a quote is not closed on its line; fix the line")
    if code == codes.LONG_LINE or len(line_text) > codes.LINE_BYTES_MAX:
        raise UnusableFileError(f"a line is longer than {codes.LINE_BYTES_MAX:,} bytes; is this a CSV file?")
    if line_text.lstrip().startswith("#"):
        raise UnusableFileError("a comment line; remove it")
    fields = split_fields(line_text, delimiter)
    if [name.lower() for name in fields] == [name.lower() for name in layout.names]:
        raise UnusableFileError("the header is there again; remove it (are these several files in one?)")
    text = field_text.strip().strip('"')
    if code == codes.BAD_NUMBER and _DECIMAL_COMMA.fullmatch(text) and not _THOUSANDS.fullmatch(text):
        raise UnusableFileError(f'"{text}" has a decimal comma; write numbers with a point')
    if code == codes.TOO_MANY_FIELDS and delimiter == "," and first_row:
        values, extra = len(layout.field_of), len(fields) - len(layout.names)
        if extra in (PRICES[layout.kind], values) and all(part.isdecimal() for part in fields[-values - extra :]):
            raise UnusableFileError("more fields than columns: decimal commas, it seems; write numbers with a point")
    if code == codes.OTHER_TIME_FORM:
        words = " and ".join(_FORM_WORDS.get(each, "other times") for each in form)
        raise UnusableFileError(f"{words} mixed in one file; write all times in one way")
    slashed = _SLASHED.match(field_text)
    if code == codes.NO_SUCH_TIME and slashed is not None and int(slashed[1]) > 12 >= int(slashed[2]):
        raise UnusableFileError(f"the date {slashed[0].strip()} is day first; write dates as YYYY-MM-DD")
