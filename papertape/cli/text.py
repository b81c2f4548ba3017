"""Text for people: aligned columns and labelled values that read well at 80 columns, plain where nobody looks."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from backtests.report.parts import Tone

WIDTH = 80
INDENT = "  "


def clean(text: object) -> str:
    """Text as one harmless line: what could move a terminal's cursor or hide something is shown as an escape."""
    raw = str(text)
    if raw.isprintable():
        return raw
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in raw)


def emit(text: str, *, to_stderr: bool = False) -> None:
    """Print a line or lines; styles reach terminals only, and none where ``NO_COLOR`` is set."""
    typer.echo(text, err=to_stderr, color=False if os.environ.get("NO_COLOR") else None)


def heading(text: str) -> str:
    """A section's title."""
    return typer.style(text, bold=True)


def warn(text: str) -> str:
    """What must be seen."""
    return typer.style(text, fg="yellow", bold=True)


_TONES: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "good": {"fg": "green"},
    "bad": {"fg": "red"},
    "warn": {"fg": "yellow"},
}
"""Style of each Tone, by its value: a start of the program does not pay for the report."""


def toned(text: str, tone: Tone, *, is_bold: bool = False) -> str:
    """A text in the colour of what it means; its sign or words say the same without colour."""
    style = {**_TONES[tone.value], **({"bold": True} if is_bold else {})}
    return typer.style(text, **style) if style else text


def wrapped(text: str, *, first: str = INDENT, rest: str = "") -> list[str]:
    """A sentence wrapped to the terminal; one line where output goes elsewhere, so that it can be searched."""
    if not sys.stdout.isatty():
        return [first + text]
    width = min(100, max(40, shutil.get_terminal_size((WIDTH, 24)).columns))
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest or " " * len(first), break_long_words=False
    )


def labelled(pairs: Sequence[tuple[str, str]], *, indent: str = INDENT) -> list[str]:
    """Labels on the left, values in one column on the right."""
    left = max((len(label) for label, _ in pairs), default=0)
    right = max((len(value) for _, value in pairs), default=0)
    return [f"{indent}{label:<{left}}  {value:>{right}}" for label, value in pairs]


def beside(left: Sequence[str], right: Sequence[str], *, gap: int = 4) -> list[str]:
    """Two blocks side by side where both fit in 80 columns, else one below the other. Blocks are plain text."""
    width = max((len(line) for line in left), default=0)
    if width + gap + max((len(line) for line in right), default=0) > WIDTH:
        return [*left, *right]
    rows = max(len(left), len(right))
    pairs = zip([*left, *[""] * (rows - len(left))], [*right, *[""] * (rows - len(right))], strict=True)
    return [f"{a:<{width + gap}}{b}".rstrip() for a, b in pairs]


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[str] = ()) -> list[str]:
    """Aligned columns under a header; columns named in ``left`` (and only those) are text, the others numbers."""
    listed = [tuple(header), *(tuple(clean(cell) for cell in row) for row in rows)]
    widths = [max(len(row[k]) for row in listed) for k in range(len(header))]
    is_left = [name in left for name in header]
    lines = []
    for row in listed:
        cells = (
            f"{cell:<{width}}" if to_left else f"{cell:>{width}}"
            for cell, width, to_left in zip(row, widths, is_left, strict=True)
        )
        lines.append((INDENT + "  ".join(cells)).rstrip())
    lines[0] = typer.style(lines[0], dim=True)
    return lines


def size_text(count: float) -> str:
    """Bytes in the unit that fits."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
