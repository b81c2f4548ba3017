"""A comparison as an HTML page that needs no network: a list of runs to sort and to choose curves from."""

from __future__ import annotations

import base64
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from backtests.compare.comparison import Comparison
from backtests.compare.content import (
    MATRIX_MAX,
    correlation_table,
    differences_table,
    headline,
    metrics_table,
    overview_table,
    settings_texts,
    warning_texts,
)
from backtests.compare.pairing import Pairing
from backtests.compare.pairing_tables import causes_table, counts_text, decisions_table, fills_table, symbols_table
from backtests.compare.parity import parity_table
from backtests.report.clock import Clock, make_clock
from backtests.report.page import Page, Section, empty_tables_html, escaped, joined, script_json, warnings_html
from backtests.report.palette import SERIES
from backtests.report.parts import Table
from backtests.report.plots import Chart, Format, Height, add_hover, add_line, source, time_plot
from papertape.calendar import session_times
from papertape.core.errors import UserError
from papertape.moments import time_text, zone_name

CLOCK = "compared"
CHOSEN_FIRST = 5
"""Most curves that are drawn when the page opens, where there are more runs than colours."""


def comparison_html(comparison: Comparison) -> str:
    """The comparison as one page of HTML. Writes nothing; equal comparisons give equal pages."""
    clock = _clock(comparison)
    title = headline(comparison)
    page = Page(
        f"{title} - papertape", clocks={CLOCK: clock}, script=_resource("choose.js"), style=_resource("page.css")
    )
    sections = [
        _runs(page, comparison),
        _curves(page, comparison, clock),
        Section("metrics", "Metrics", page.table(metrics_table(comparison), is_titled=False)),
        _differences(page, comparison),
        _pairing(page, comparison),
        _correlation(page, comparison),
    ]
    return page.render(_heading(comparison), [each for each in sections if each.body])


def _heading(comparison: Comparison) -> str:
    base = comparison.runs[comparison.base]
    start = min(run.start for run in comparison.runs)
    end = max(run.end for run in comparison.runs)
    span = f"{time_text(start, base.zone)} to {time_text(end, base.zone)} ({base.zone})"
    return joined(
        [
            f"<h1>{escaped(headline(comparison))}</h1>",
            f'<p class="subtitle">{escaped(f"Base {base.name}, {span}")}</p>',
            warnings_html(warning_texts(comparison)),
        ]
    )


def _clock(comparison: Comparison) -> Clock:
    """The time axis of all runs: the sessions of the base's calendar, and what was played outside of them."""
    base = comparison.runs[comparison.base]
    start, end = min(run.start for run in comparison.runs), max(run.end for run in comparison.runs)
    ts = np.unique(np.concatenate([run.curve.ts for run in comparison.runs]))
    try:
        calendar = session_times(str(base.inputs.get("calendar") or "XNYS"), start, end)
    except UserError:  # a run of another machine may name a calendar that this one has not
        return make_clock(ts, (), start, end, base.zone)
    sessions = [(a, b) for a, b in zip(calendar.open, calendar.close, strict=True) if b > start and a < end]
    return make_clock(ts, sessions, start, end, base.zone)


def _runs(page: Page, comparison: Comparison) -> Section:
    table = page.table(overview_table(comparison), is_titled=False)
    choosing = (
        '<div class="choosing"><button type="button" id="choose-top">Draw the first five, as sorted</button>'
        '<button type="button" id="choose-none">Draw none</button>'
        f'<output id="choosing-said"></output><span>At most {len(SERIES)} at once.</span></div>'
    )
    return Section("runs", "Runs", choosing + table)


def chosen_first(comparison: Comparison) -> list[int]:
    """The runs whose curves are drawn when the page opens: all, or the base and those with the highest return."""
    count = len(comparison.runs)
    if count <= len(SERIES):
        return list(range(count))
    values = comparison.row("total_return").values
    best = sorted(range(count), key=lambda k: (values[k] is None, -(values[k] or 0.0), k))
    others = [number for number in best if number != comparison.base]
    return [comparison.base, *others[: CHOSEN_FIRST - 1]]


def _curves(page: Page, comparison: Comparison, clock: Clock) -> Section:
    """Two charts with a line a colour; the page's script gives lines the curves of the runs that are chosen."""
    charts = [
        _chart(
            clock, "growth", "Growth since the start", "Net liquidation against what each run began with.", Height.TALL
        ),
        _chart(clock, "depth", "Drawdown", "How far each run was below its highest value so far.", Height.MEDIUM),
    ]
    base, settings = comparison.base, settings_texts(comparison)
    data = {
        "clock": CLOCK,
        "roles": list(SERIES),
        "chosen": chosen_first(comparison),
        "runs": [
            {
                "label": run.label + (" (base)" if number == base else ""),
                "set": settings[number],
                "x": _packed(clock.at(run.curve.ts)),
                "growth": _packed(run.curve.growth * 100.0),
                "depth": _packed(run.curve.depth * 100.0),
            }
            for number, run in enumerate(comparison.runs)
        ],
    }
    zone = zone_name(comparison.runs[base].zone)
    controls = (
        '<div class="zoom" role="group" aria-label="Time shown">'
        '<button type="button" data-zoom="in">Zoom in</button><button type="button" data-zoom="out">Zoom out</button>'
        '<button type="button" data-zoom="left" aria-label="Earlier">&larr;</button>'
        '<button type="button" data-zoom="right" aria-label="Later">&rarr;</button>'
        '<button type="button" data-zoom="all">Whole time</button><output data-shown></output>'
        f'<span class="hint">Times in {escaped(zone)}, trading hours only. Drag across a chart to zoom both.</span></div>'
    )
    figures = joined(page.chart(each) for each in charts)
    body = (
        f'{controls}<div class="card stack"><ul class="legend chosen" id="chosen" aria-live="polite"></ul>{figures}</div>'
        f'<script type="application/json" id="compare-curves">{script_json(data)}</script>'
    )
    return Section("curves", "Curves", body)


def _chart(clock: Clock, key: str, title: str, note: str, height: Height) -> Chart:
    plot = time_plot(clock, height=height, values=Format.PERCENT, base=0.0)
    lines = []
    for slot, role in enumerate(SERIES):
        empty = np.empty(0)
        line = add_line(plot, source(plot, x=empty, y=empty, run=[]), "y", role)
        line["attributes"]["name"] = f"slot-{slot}"
        lines.append(line)
    add_hover(plot, lines, {"Run": "@run", title: f"@y{{{Format.MONEY_EXACT}}} %"})
    return Chart(key, title, note, plot, "%", CLOCK)


def _packed(values: NDArray[np.floating]) -> str:
    """Numbers as the page's script reads them: float32, little-endian, in base64."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _differences(page: Page, comparison: Comparison) -> Section:
    return Section("inputs", "Set differently", _table(page, differences_table(comparison)))


def _correlation(page: Page, comparison: Comparison) -> Section:
    found = correlation_table(comparison)
    if len(comparison.runs) > MATRIX_MAX:
        text = f'<p class="note">Left out for more than {MATRIX_MAX} runs; compare fewer to see it.</p>'
    else:
        text = "" if found is None else page.table(found, is_titled=False)
    return Section("correlation", "Correlation", text)


def _table(page: Page, table: Table) -> str:
    return page.table(table, is_titled=False) if table.rows else empty_tables_html([table])


def _pairing(page: Page, comparison: Comparison) -> Section:
    pairing = comparison.pairing
    if pairing is None:
        note = comparison.pairing_note
        body = f'<p class="card">Not paired: {escaped(note)}.</p>' if note else ""
        return Section("pairing", "Pairing", body)
    tables = [causes_table(pairing), symbols_table(pairing), fills_table(pairing), decisions_table(pairing)]
    if comparison.parity is not None:
        tables.insert(0, parity_table(comparison.parity))
    filled = joined(page.table(each) for each in tables if each.rows)
    return Section(
        "pairing",
        "Pairing",
        joined([_pairing_words(pairing), filled, empty_tables_html([each for each in tables if not each.rows])]),
    )


def _pairing_words(pairing: Pairing) -> str:
    span = f"{time_text(pairing.start, pairing.zone)} to {time_text(pairing.end, pairing.zone)}"
    first = (
        f"Decision by decision, {pairing.b} (second) against {pairing.a} (first), from {span}. Decisions up to "
        f"{pairing.tolerance_s:g} s apart can be the same."
    )
    texts = [first, counts_text(pairing).capitalize() + ".", *pairing.notes]
    return f'<div class="card">{joined(f"<p>{escaped(text)}</p>" for text in texts)}</div>'


@cache
def _resource(name: str) -> str:
    return (resources.files("backtests.compare") / name).read_text(encoding="utf-8")
