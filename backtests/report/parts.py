"""What a report is made of, before it is a page or a screen: texts in cells, with how to sort and to colour them.

Texts are as they came, from data too: whoever shows them escapes them for where they go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Align(StrEnum):
    """Where a column's texts stand."""

    LEFT = "left"
    RIGHT = "right"


class Tone(StrEnum):
    """What a text means to the reader, beyond its words."""

    NONE = "none"
    GOOD = "good"
    BAD = "bad"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. ``name`` is for programs, ``title`` for people; ``help`` says what it holds, or is empty."""

    name: str
    title: str
    align: Align = Align.RIGHT
    help: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One text. Rows are sorted by ``sort``, numbers before texts and None (unknown) last, whatever the direction."""

    text: str
    sort: float | str | None = None
    tone: Tone = Tone.NONE


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, one cell for each column. ``note`` says what the reader must know of the whole, or is empty.

    A table without rows says in its note what that means. The column named ``definition`` of a table of metrics is
    the help for its row.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), f"{self.key}: a row has other columns"


@dataclass(frozen=True, slots=True)
class Headline:
    """One figure that is seen first."""

    title: str
    text: str
    tone: Tone = Tone.NONE
    help: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """All that a report of one run says. ``is_short``: it covers less than a day, so nothing is annualised."""

    title: str
    subtitle: str
    headlines: tuple[Headline, ...]
    warnings: tuple[str, ...]
    tables: tuple[Table, ...]
    is_short: bool

    def table(self, key: str) -> Table:
        """The table of a key. Raises KeyError where the report has none."""
        for each in self.tables:
            if each.key == key:
                return each
        raise KeyError(key)


def from_columns(key: str, title: str, columns: Iterable[tuple[Column, Sequence[Cell]]], note: str = "") -> Table:
    """A table from columns of equally many cells."""
    listed = list(columns)
    rows = tuple(zip(*(cells for _, cells in listed), strict=True))
    return Table(key, title, tuple(column for column, _ in listed), rows, note)
