"""The page around a report: one file that needs nothing else, whose Content-Security-Policy allows nothing else.

A page is made of sections of HTML; charts and tables are put into them by :class:`Page`, which remembers what its
script needs for them. Every text that comes from data goes through :func:`escaped` or :func:`script_json`.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from backtests.report.clock import Clock
from backtests.report.palette import DARK, LIGHT, dark_of_light, style_variables
from backtests.report.parts import Align, Cell, Headline, Table, Tone
from backtests.report.plots import Chart, LegendEntry

SORTABLE_FROM = 3
"""Rows from which on a table can be sorted."""
WRAPPED_FROM = 40
"""Letters from which on a column's text is wrapped."""
SCROLLS_FROM = 14
"""Rows from which on a table scrolls within itself on a screen."""


def escaped(text: object) -> str:
    """Text as HTML shows it, in an element or a quoted attribute; what cannot be seen is shown as an escape."""
    raw = str(text)
    if not raw.isprintable():
        raw = "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in raw)
    return html.escape(raw, quote=True)


def script_json(value: Any) -> str:
    """A value as JSON that may stand in a script element: nothing in it can end the element or begin another."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def joined(parts: Iterable[str]) -> str:
    """Pieces of HTML, one after the other."""
    return "\n".join(part for part in parts if part)


def term(text: str, meaning: str) -> str:
    """A text whose meaning is shown when it is pointed at or has the focus."""
    if not meaning:
        return escaped(text)
    return f'<span class="term" tabindex="0">{escaped(text)}<span class="tip" role="tooltip">{escaped(meaning)}</span></span>'


# Pieces of a page that need no script.

_TONE_SIGNS = {Tone.NONE: "", Tone.GOOD: " good", Tone.BAD: " bad", Tone.WARN: " warn"}


def headlines_html(headlines: Sequence[Headline]) -> str:
    """The figures that are seen first, as tiles."""
    tiles = (
        f'<div class="tile"><dt>{term(each.title, each.help)}</dt>'
        f'<dd class="figure{_TONE_SIGNS[each.tone]}">{escaped(each.text)}</dd></div>'
        for each in headlines
    )
    columns = next((each for each in (5, 4) if len(headlines) % each == 0), 0)  # rows that are full
    return f'<dl class="tiles by-{columns}">{joined(tiles)}</dl>'


def warnings_html(warnings: Sequence[str]) -> str:
    """What must be seen before any figure is believed."""
    if not warnings:
        return ""
    return f'<ul class="warnings" aria-label="Warnings">{joined(f"<li>{escaped(each)}</li>" for each in warnings)}</ul>'


def metrics_html(table: Table) -> str:
    """A table of metrics (columns metric, value, definition) as a card, definitions on demand."""
    names = [column.name for column in table.columns]
    metric, value, definition = (names.index(name) for name in ("metric", "value", "definition"))
    rows = (
        f'<tr><th scope="row">{term(row[metric].text, row[definition].text)}</th>'
        f'<td class="r{_TONE_SIGNS[row[value].tone]}">{escaped(row[value].text)}</td></tr>'
        for row in table.rows
    )
    note = f'<p class="note">{escaped(table.note)}</p>' if table.note else ""
    return f'<div class="card metrics"><h3>{escaped(table.title)}</h3><table>{joined(rows)}</table>{note}</div>'


def pairs_html(table: Table) -> str:
    """A table of names and values as a card."""
    rows = (
        f'<tr><th scope="row">{escaped(row[0].text)}</th><td>{escaped(row[1].text)}</td></tr>' for row in table.rows
    )
    return f'<div class="card pairs"><h3>{escaped(table.title)}</h3><table>{joined(rows)}</table></div>'


def columns_html(cards: Sequence[tuple[int, str]], count: int) -> str:
    """Cards, (rows, HTML), in at most ``count`` columns of about equal height, each card in the shortest so far."""
    heights = [0] * min(count, len(cards))
    columns: list[list[str]] = [[] for _ in heights]
    for rows, card in cards:
        shortest = heights.index(min(heights))
        heights[shortest] += rows + 3  # its title and margins
        columns[shortest].append(card)
    return f'<div class="cards">{joined(f"<div>{joined(each)}</div>" for each in columns)}</div>'


def empty_tables_html(tables: Iterable[Table]) -> str:
    """Tables without rows, as the one line that each has to say."""
    rows = [f"<div><dt>{escaped(each.title)}</dt><dd>{escaped(each.note)}</dd></div>" for each in tables]
    return f'<dl class="card nothing">{joined(rows)}</dl>' if rows else ""


def _legend_html(entries: Sequence[LegendEntry], unit: str) -> str:
    items = [
        f'<li><span class="mark {each.mark} {each.role}" aria-hidden="true"></span>{escaped(each.text)}</li>'
        for each in entries
    ]
    unit_item = f'<li class="unit">{escaped(unit)}</li>' if unit else ""
    return f'<ul class="legend">{joined([*items, unit_item])}</ul>'


# A page.


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a page: ``key`` is its anchor, ``body`` is HTML."""

    key: str
    title: str
    body: str


_TOOLS = (
    '<div class="tools"><button type="button" id="print">Print</button>'
    '<button type="button" id="theme" aria-pressed="false">Dark</button></div>'
)


class Page:
    """A page under construction. ``key`` must be unique among its charts, and among its tables."""

    def __init__(
        self, title: str, *, clocks: Mapping[str, Clock] | None = None, script: str = "", style: str = ""
    ) -> None:
        """``clocks`` are the time axes of its charts, by name. ``script`` is JavaScript of ours that runs last.

        ``style`` is CSS of ours that comes after the style sheet that all pages have.
        """
        self.title = title
        self._clocks = dict(clocks or {})
        self._script = script
        self._own_style = style
        self._charts: list[Chart] = []
        self._ranks: dict[str, list[list[int]]] = {}

    def chart(self, chart: Chart, *, level: int = 3) -> str:
        """HTML of a chart, which is drawn when it comes into view."""
        assert chart.key not in {each.key for each in self._charts}, f"two charts are called {chart.key}"
        self._charts.append(chart)
        key = escaped(chart.key)
        keys = " Arrow keys move along, + and - zoom, 0 shows the whole." if chart.clock else ""
        return (
            f'<figure class="chart" data-chart="{key}">'
            f"<figcaption><h{level}>{escaped(chart.title)}</h{level}>{_legend_html(chart.legend, chart.unit)}"
            f"<p>{escaped(chart.note)}</p></figcaption>"
            f'<div class="plot {chart.plot.height.name.lower()}" id="plot-{key}" tabindex="0" role="img" '
            f'aria-label="{escaped(chart.title)}. {escaped(chart.note)}{keys}"></div></figure>'
        )

    def table(self, table: Table, *, is_titled: bool = True) -> str:
        """HTML of a table, sortable by its columns where that makes sense; its title is left out on demand."""
        assert table.key not in self._ranks, f"two tables are called {table.key}"
        is_sortable = len(table.rows) >= SORTABLE_FROM
        if is_sortable:
            self._ranks[table.key] = [_ranks([row[k] for row in table.rows]) for k in range(len(table.columns))]
        head = joined(_head_cell(column.title, column.align, column.help, is_sortable) for column in table.columns)
        classes = [_column_class(table, k) for k in range(len(table.columns))]
        rows = joined(
            "<tr>" + "".join(_cell(cell, name) for cell, name in zip(row, classes, strict=True)) + "</tr>"
            for row in table.rows
        )
        key, title = escaped(table.key), escaped(table.title)
        note = f'<p class="note">{escaped(table.note)}</p>' if table.note else ""
        long = " long" if len(table.rows) >= SCROLLS_FROM else ""
        return (
            f'<div class="card wide">{f"<h3>{title}</h3>" if is_titled else ""}{note}'
            f'<div class="scroll{long}" tabindex="0" role="region" aria-label="{title}">'
            f'<table class="data" data-table="{key}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
            "</div></div>"
        )

    def chooser(self, name: str, label: str, choices: Sequence[tuple[str, str]]) -> str:
        """A list of choices, (text, HTML that is shown when it is chosen), of which the first is shown."""
        options = joined(f'<option value="{k}">{escaped(text)}</option>' for k, (text, _) in enumerate(choices))
        panels = joined(
            f'<div data-panel="{escaped(name)}" data-choice="{k}"{"" if k == 0 else " hidden"}>{body}</div>'
            for k, (_, body) in enumerate(choices)
        )
        if len(choices) == 1:
            return panels
        key = escaped(name)
        return (
            f'<p class="chooser"><label for="choose-{key}">{escaped(label)}</label> '
            f'<select id="choose-{key}" data-chooser="{key}">{options}</select></p>{panels}'
        )

    def render(self, heading: str, sections: Sequence[Section]) -> str:
        """The whole page; ``heading`` is the HTML above its sections."""
        version, library = _bokeh()
        # Ours comes first: what needs no chart works before Bokeh has been read.
        scripts = [_resource("page.js"), library, *([self._script] if self._script else [])]
        style = _style() + self._own_style
        settings = {
            "clocks": {name: clock.as_plain() for name, clock in self._clocks.items()},
            "dark": dark_of_light(),
            "ranks": self._ranks,
        }
        data = [("page-settings", settings), *((f"data-{c.key}", c.as_plain(version)) for c in self._charts)]
        links = joined(f'<a href="#{escaped(each.key)}">{escaped(each.title)}</a>' for each in sections)
        body = joined(
            f'<section id="{escaped(each.key)}"><h2>{escaped(each.title)}</h2>{each.body}</section>'
            for each in sections
        )
        return joined(
            [
                '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
                f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">',
                f"<title>{escaped(self.title)}</title>\n<style>{style}</style>\n</head>\n<body>",
                '<a class="skip" href="#main">Skip to the report</a>',
                f'<div class="bar"><nav aria-label="Sections">{links}</nav>{_TOOLS}</div>',
                f'<main id="main" tabindex="-1"><header>{heading}</header>\n{body}</main>',
                '<noscript><p class="noscript">Charts need JavaScript; the tables hold the exact figures.</p></noscript>',
                *(f'<script type="application/json" id="{escaped(k)}">{script_json(v)}</script>' for k, v in data),
                *(f"<script>{script}</script>" for script in scripts),
                "</body>\n</html>\n",
            ]
        )


def _column_class(table: Table, k: int) -> str:
    """Right, left, or left and wrapped, where a column holds sentences."""
    if table.columns[k].align is Align.RIGHT:
        return "r"
    return "w" if any(len(row[k].text) > WRAPPED_FROM for row in table.rows) else "l"


def _cell(cell: Cell, name: str) -> str:
    return f'<td class="{name}{_TONE_SIGNS[cell.tone]}">{escaped(cell.text)}</td>'


def _head_cell(title: str, align: Align, meaning: str, is_sortable: bool) -> str:
    name = "r" if align is Align.RIGHT else "l"
    tip = f' title="{escaped(meaning)}"' if meaning else ""
    inner = f'<button type="button" class="sort">{escaped(title)}</button>' if is_sortable else escaped(title)
    return f'<th scope="col" class="{name}"{tip}>{inner}</th>'


def _ranks(cells: Sequence[Cell]) -> list[int]:
    """The place of each cell among those of its column, equal ones the same; -1 where it is unknown."""

    def key(cell: Cell) -> tuple[bool, Any]:
        return isinstance(cell.sort, str), cell.sort

    known = sorted({key(cell) for cell in cells if cell.sort is not None})
    place = {each: number for number, each in enumerate(known)}
    return [-1 if cell.sort is None else place[key(cell)] for cell in cells]


def _sha256(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _policy(scripts: Sequence[str]) -> str:
    """Nothing from anywhere; of scripts only those that are in the page, known by their hashes."""
    assert not any("</script" in script.lower() or "<!--" in script for script in scripts)
    allowed = {
        "default-src": "'none'",
        "script-src": " ".join(map(_sha256, scripts)),
        "style-src": "'unsafe-inline'",  # BokehJS writes style sheets of its own into each chart
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


@cache
def _resource(name: str) -> str:
    return (resources.files("backtests.report") / name).read_text(encoding="utf-8")


@cache
def _style() -> str:
    """The style sheet with the palette: dark where the reader's system is, unless the page's switch says otherwise."""
    light, dark = style_variables(LIGHT), style_variables(DARK)
    return (
        f":root{{color-scheme:light;{light}}}"
        f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n"
        + _resource("page.css")
    )


@cache
def _bokeh() -> tuple[str, str]:
    """(version, JavaScript) of Bokeh as it is installed, found without importing it."""
    found = importlib.util.find_spec("bokeh")
    assert found is not None, "a dependency of papertape"
    assert found.origin is not None, "Bokeh is a package with a file of its own"
    script = Path(found.origin).parent / "server" / "static" / "js" / "bokeh.min.js"
    return importlib.metadata.version("bokeh"), script.read_text(encoding="utf-8")
