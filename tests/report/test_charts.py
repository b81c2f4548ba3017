from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource, HoverTool, Line, Plot
from bokeh.models.renderers import GlyphRenderer

from backtests.report.charts import SYMBOLS_MAX, RunCharts
from backtests.report.clock import run_clock
from backtests.report.palette import DARK, LIGHT, Role
from backtests.report.plots import Format, Height, add_hover, currency_text, value_plot


def drawn(record, *, is_short=False):
    charts = RunCharts(record, run_clock(record), is_short=is_short)
    found = [
        charts.equity(), charts.underwater(), charts.exposure(), charts.distribution(), charts.rolling_sharpe(),
        charts.slippage(), *charts.custom(),
    ]  # fmt: skip
    symbols, _ = charts.symbols()
    found += [chart for each in symbols for chart in each.charts]
    return {chart.key: chart for chart in found if chart is not None}


def plain(chart) -> Any:
    return json.loads(json.dumps(chart.as_plain("3.9.0"), allow_nan=False))


def read(chart) -> Any:
    """The chart as Bokeh's own models understand it; they refuse unknown names and values of a wrong kind."""
    (plot,) = Document.from_json(plain(chart)["doc"]).roots
    assert isinstance(plot, Plot)
    return plot


def line_of(chart, number=0):
    """(x, y) of the chart's line of that number, as drawn."""
    lines = [each for each in read(chart).renderers if isinstance(each, GlyphRenderer) and isinstance(each.glyph, Line)]
    data = lines[number].data_source.data
    return np.asarray(data["x"]), np.asarray(data["y"])


def test_bokehs_own_models_read_every_chart_of_every_run(short_record, year_record, idle_record, hostile_record):
    for record, is_short in ((short_record, True), (year_record, False), (idle_record, True), (hostile_record, True)):
        for key, chart in drawn(record, is_short=is_short).items():
            plot = read(chart)
            sources = list(plot.select({"type": ColumnDataSource}))
            assert sources, key
            for source in sources:
                assert len({len(column) for column in source.data.values()}) == 1
            tools = {tool.id for tool in plot.toolbar.tools}
            assert len(tools) == len(plot.toolbar.tools)


def test_each_run_has_the_charts_that_it_has_something_for(short_record, year_record, idle_record):
    assert set(drawn(year_record)) == {
        "equity", "underwater", "exposure", "distribution", "rolling_sharpe", "slippage", "price-0", "position-0",
        "price-1", "position-1",
    }  # fmt: skip
    assert set(drawn(short_record, is_short=True)) == {
        "equity", "underwater", "exposure", "distribution", "slippage", "custom-0", "price-0", "position-0",
        "price-1", "position-1",
    }  # fmt: skip
    assert set(drawn(idle_record, is_short=True)) == set()


def test_a_short_run_is_drawn_in_money_and_a_long_one_in_percent(short_record, year_record):
    short, long = drawn(short_record, is_short=True), drawn(year_record)
    assert (short["equity"].title, long["equity"].title) == ("Profit", "Equity")
    assert (short["underwater"].unit, long["underwater"].unit) == ("USD", "%")
    assert line_of(short["equity"])[1][0] == 0.0
    assert line_of(long["equity"])[1][0] == pytest.approx(year_record.starting_equity)
    assert line_of(long["underwater"], 1)[1].min() == pytest.approx(year_record.drawdown.depth * 100.0, rel=1e-6)
    money = short_record.drawdown.trough - short_record.drawdown.peak
    assert line_of(short["underwater"], 1)[1].min() == pytest.approx(money, rel=1e-6)


def test_the_guards_limit_is_drawn_below_the_peak(year_record):
    record, limit = copy.copy(year_record), -2.0 * year_record.drawdown.depth
    record.settings = {**record.settings, "guard": {**record.settings["guard"], "max_drawdown": limit}}
    chart = drawn(record)["underwater"]
    assert [entry.text for entry in chart.legend] == ["below the peak", "the guard trips below"]
    assert line_of(chart, 2)[1] == pytest.approx(-100.0 * limit, rel=1e-6)


def test_a_limit_of_the_guard_that_would_flatten_the_drawdown_is_said_instead_of_drawn(year_record):
    assert year_record.drawdown.depth > -0.1
    chart = drawn(year_record)["underwater"]
    assert [entry.text for entry in chart.legend] == ["below the peak"]
    assert "The guard would trip at -60.00 %" in chart.note


def test_the_benchmark_is_drawn_once_the_record_has_its_returns(year_record):
    record = copy.copy(year_record)
    record.daily = {**record.daily, "benchmark": np.full(len(record.daily["ts"]), 0.001)}
    record.settings = {**record.settings, "benchmark": "SPY"}
    before, after = drawn(year_record)["equity"], drawn(record)["equity"]
    assert "the same money in SPY" in [entry.text for entry in after.legend]
    assert len(after.plot.document("")["roots"][0]["attributes"]["renderers"]) == 1 + len(
        before.plot.document("")["roots"][0]["attributes"]["renderers"]
    )


def test_times_on_an_axis_are_the_runs_and_ascend(year_record):
    for key, chart in drawn(year_record).items():
        if chart.clock:
            x, _ = line_of(chart)
            assert (np.diff(x) >= 0).all(), key
            assert 0.0 <= x.min() <= x.max() <= run_clock(year_record).end * (1 + 1e-6)


def test_exposure_and_position_end_as_the_run_ended(short_record):
    charts = drawn(short_record, is_short=True)
    held = dict(zip(short_record.positions["symbol"], short_record.positions["quantity"], strict=True))
    for number in (0, 1):
        symbol = charts[f"price-{number}"].title.partition(":")[0]
        assert line_of(charts[f"position-{number}"], 1)[1][-1] == held[symbol]
    value = short_record.positions["market_value"].sum()
    assert line_of(charts["exposure"], 1)[1][-1] == pytest.approx(value, rel=1e-3)


def test_buys_and_sells_differ_in_shape_and_colour(short_record):
    plot = read(drawn(short_record, is_short=True)["price-0"])
    marks = [each.glyph for each in plot.renderers if type(each.glyph).__name__ == "Scatter"]
    assert [(mark.marker.value, mark.fill_color) for mark in marks] == [
        ("triangle", LIGHT[Role.GAIN]),
        ("inverted_triangle", LIGHT[Role.LOSS]),
    ]


def test_every_line_is_thin_enough_for_a_page_of_many_runs(short_record, year_record):
    for record in (short_record, year_record):
        for chart in drawn(record).values():
            assert len(json.dumps(plain(chart))) < 60_000
            for source in read(chart).select({"type": ColumnDataSource}):
                assert all(len(column) <= 2_010 for column in source.data.values())


def test_text_from_data_is_in_columns_only_and_never_in_a_template(hostile_record):
    for key, chart in drawn(hostile_record, is_short=True).items():
        plot = read(chart)
        for tool in plot.toolbar.tools:
            if isinstance(tool, HoverTool):
                text = json.dumps(tool.tooltips)
                assert "img" not in text, key
                assert "<b>" not in text, key
                assert "safe" not in text, key
        for source in plot.select({"type": ColumnDataSource}):
            source.data = {}
        assert "img" not in json.dumps(Document.to_json(plot.document, deferred=False)), key


def test_a_template_that_would_show_markup_is_refused():
    plot = value_plot(height=Height.LOW, across=Format.COUNT, values=Format.COUNT)
    with pytest.raises(AssertionError, match="only ever shown as text"):
        add_hover(plot, [], {"Symbol": "@symbol{safe}"})


@pytest.mark.parametrize(
    ("given", "shown"), [("USD", "USD"), ("USDT", "USDT"), ("usd", ""), ("<b>", ""), ("@{x}", ""), ("", "")]
)
def test_only_a_plain_code_of_a_currency_gets_into_a_template(given, shown):
    assert currency_text(given) == shown


def test_the_symbols_with_the_most_fills_are_drawn_and_the_others_counted(short_record):
    record = copy.copy(short_record)
    names = np.array([f"S{k % 50:02}" for k in range(len(record.fills["ts"]))], dtype=object)
    record.fills = {**record.fills, "symbol": names}
    charts = RunCharts(record, run_clock(record), is_short=True)
    shown, traded = charts.symbols()
    assert traded == len(set(names))
    assert len(shown) == min(SYMBOLS_MAX, traded)
    assert [each.fills for each in shown] == sorted((each.fills for each in shown), reverse=True)


def test_without_kept_prices_the_fills_are_joined_and_that_is_said(short_record):
    record = copy.copy(short_record)
    record.prices = {}
    chart = drawn(record, is_short=True)["price-0"]
    assert "kept no prices" in chart.note
    assert len(line_of(chart)[0]) == (record.fills["symbol"] == chart.title.partition(":")[0]).sum()


def test_each_colour_has_one_role_so_that_a_theme_can_exchange_it():
    assert len(set(LIGHT.values())) == len(LIGHT) == len(Role)
    assert len(set(DARK.values())) == len(DARK) == len(Role)
    assert not set(LIGHT.values()) & set(DARK.values())


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colours", [LIGHT, DARK])
@pytest.mark.parametrize("ground", [Role.SURFACE, Role.PAGE])
@pytest.mark.parametrize("role", [Role.INK, Role.MUTED, Role.GAIN, Role.LOSS, Role.WARNING])
def test_text_has_the_contrast_that_wcag_asks_for(colours, ground, role):
    bright, dim = sorted((luminance(colours[role]), luminance(colours[ground])), reverse=True)
    assert (bright + 0.05) / (dim + 0.05) >= 4.5
