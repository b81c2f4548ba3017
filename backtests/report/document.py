"""The report of one run as an HTML page."""

from __future__ import annotations

from collections.abc import Iterable

from backtests.report.charts import CLOCK, CUSTOM_MAX, RunCharts
from backtests.report.clock import run_clock
from backtests.report.content import report_content
from backtests.report.heatmap import day_table, month_table
from backtests.report.page import (
    Page,
    Section,
    columns_html,
    empty_tables_html,
    escaped,
    headlines_html,
    joined,
    metrics_html,
    pairs_html,
    warnings_html,
)
from backtests.report.parts import Content, Table
from backtests.report.plots import Chart
from backtests.report.series import session_returns
from papertape.core.record import RunRecord
from papertape.moments import zone_name

_PAIRS = ("parameters", "configuration", "guard_limits", "provenance")
_METRICS = "metrics_"


def report_html(record: RunRecord, *, run_name: str = "") -> str:
    """The report of a run as one page of HTML that needs no network and no other file. Writes nothing.

    ``run_name`` (a folder's name, say) tells it from other runs of the same strategy. Equal records give equal pages.
    """
    content = report_content(record)
    clock = run_clock(record)
    charts = RunCharts(record, clock, is_short=content.is_short)
    title = " ".join(filter(None, (content.title, run_name)))
    page = Page(f"{title} - papertape", clocks={CLOCK: clock})
    tables = {table.key: table for table in content.tables}
    sections = [
        _account(page, record, charts),
        _metrics(tables.values()),
        _returns(page, record, charts, content),
        _instruments(page, charts),
        _own_series(page, record, charts),
        _tables(page, "trades", "Trades", tables, ("trades", "positions")),
        _costs(page, charts, tables),
        _tables(page, "orders", "Orders and guard", tables, ("orders", "ambiguous", "guard", "scans")),
        _tables(page, "notes", "Input, notes and log", tables, ("input", "notes", "log")),
        _setup(tables),
    ]
    return page.render(_heading(content, run_name), [each for each in sections if each.body])


def _heading(content: Content, run_name: str) -> str:
    name = f' <span class="run">{escaped(run_name)}</span>' if run_name else ""
    return joined(
        [
            f"<h1>{escaped(content.title)}{name}</h1>",
            f'<p class="subtitle">{escaped(content.subtitle)}</p>',
            warnings_html(content.warnings),
            headlines_html(content.headlines),
        ]
    )


def _figures(page: Page, charts: Iterable[Chart | None]) -> str:
    return joined(page.chart(each) for each in charts if each is not None)


def _account(page: Page, record: RunRecord, charts: RunCharts) -> Section:
    figures = _figures(page, (charts.equity(), charts.underwater(), charts.exposure()))
    if not figures:
        return Section(
            "account", "Account", '<p class="card">Nothing was held at any time, so there is nothing to draw.</p>'
        )
    pauses = ", without the pauses of trading" if charts.clock.has_pauses else ""
    controls = (
        '<div class="zoom" role="group" aria-label="Time shown">'
        '<button type="button" data-zoom="in">Zoom in</button><button type="button" data-zoom="out">Zoom out</button>'
        '<button type="button" data-zoom="left" aria-label="Earlier">&larr;</button>'
        '<button type="button" data-zoom="right" aria-label="Later">&rarr;</button>'
        '<button type="button" data-zoom="all">Whole run</button><output data-shown></output>'
        f'<span class="hint">Times in {escaped(zone_name(record.zone))}{pauses}.'
        '<span class="by-drag"> Drag across a chart to zoom all of them.</span></span></div>'
    )
    return Section("account", "Account", f'{controls}<div class="card stack">{figures}</div>')


def _metrics(tables: Iterable[Table]) -> Section:
    shown = [each for each in tables if each.key.startswith(_METRICS) and each.rows]
    cards = [(len(each.rows), metrics_html(each)) for each in shown]
    return Section("metrics", "Metrics", columns_html(cards, 3) if cards else "")


def _returns(page: Page, record: RunRecord, charts: RunCharts, content: Content) -> Section:
    drawn = [each for each in (charts.distribution(), charts.rolling_sharpe()) if each is not None]
    figures = joined(f'<div class="card">{page.chart(each)}</div>' for each in drawn)
    days = session_returns(record)
    heat = [] if content.is_short else [month_table(days), day_table(days)]
    body = joined([f'<div class="pair">{figures}</div>' if figures else "", *heat])
    return Section("returns", "Returns", body)


def _instruments(page: Page, charts: RunCharts) -> Section:
    symbols, traded = charts.symbols()
    if not symbols:
        return Section("instruments", "Instruments", "")
    choices = [
        (f"{each.symbol} ({each.fills:,} fill{'s' if each.fills != 1 else ''})", _figures(page, each.charts))
        for each in symbols
    ]
    more = (
        f'<p class="note">The {len(symbols)} with the most fills, of {traded:,}.</p>' if traded > len(symbols) else ""
    )
    body = f'<div class="card stack">{page.chooser("symbol", "Instrument", choices)}{more}</div>'
    return Section("instruments", "Instruments", body)


def _own_series(page: Page, record: RunRecord, charts: RunCharts) -> Section:
    figures = _figures(page, charts.custom())
    if not figures:
        return Section("series", "Recorded series", "")
    count = len(record.custom)
    more = f'<p class="note">The first {CUSTOM_MAX} of {count:,} series.</p>' if count > CUSTOM_MAX else ""
    return Section("series", "Recorded series", f'<div class="card stack">{figures}{more}</div>')


def _costs(page: Page, charts: RunCharts, tables: dict[str, Table]) -> Section:
    figures = _figures(page, (charts.slippage(),))
    body = joined([f'<div class="card stack">{figures}</div>' if figures else "", _filled(page, tables, ("costs",))])
    return Section("costs", "Costs", body)


def _filled(page: Page, tables: dict[str, Table], keys: Iterable[str], title: str = "") -> str:
    """The tables of these keys; those without rows as one line each, after the others. ``title`` is said already."""
    found = [tables[key] for key in keys if key in tables]
    parts = [page.table(each, is_titled=each.title != title) for each in found if each.rows]
    return joined([*parts, empty_tables_html(each for each in found if not each.rows)])


def _tables(page: Page, key: str, title: str, tables: dict[str, Table], keys: Iterable[str]) -> Section:
    return Section(key, title, _filled(page, tables, keys, title))


def _setup(tables: dict[str, Table]) -> Section:
    shown = [tables[key] for key in _PAIRS if key in tables and tables[key].rows]
    cards = [(len(each.rows), pairs_html(each)) for each in shown]
    return Section("setup", "Setup", columns_html(cards, 2) if cards else "")
