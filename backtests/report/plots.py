"""Parts of charts: a Bokeh plot in the page's manner, lines, areas, marks and bars on it, and what a hover shows.

Charts are made in the light colours of :mod:`backtests.report.palette`; names and other text from data are only ever
in columns of a source, never in a template, which is what keeps them text. Importing this imports Bokeh.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    CrosshairTool,
    DataRange1d,
    FixedTicker,
    Grid,
    HoverTool,
    Line,
    LinearAxis,
    NumeralTickFormatter,
    Plot,
    Quad,
    Range1d,
    Scatter,
    Toolbar,
    VArea,
    WheelZoomTool,
)
from bokeh.models.annotations import BoxAnnotation, Span
from bokeh.models.renderers import GlyphRenderer
from numpy.typing import NDArray

from backtests.report.clock import Clock
from backtests.report.palette import LIGHT, Role

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LEFT_PX = 68
"""Room for the labels of the value axis: the same in each chart, so that their time axes lie below each other."""


class Format(StrEnum):
    """How values are shown on an axis and in a hover (numbro's formats)."""

    MONEY = "0,0.[00]"
    MONEY_EXACT = "0,0.00"
    PRICE = "0,0.00[00]"
    PERCENT = "0,0.[00] %"
    PERCENT_EXACT = "0,0.00 %"
    BASIS_POINTS = "0,0.[0]"
    NUMBER = "0,0.[0000]"
    COUNT = "0,0"


class Mark(StrEnum):
    """How a legend shows an entry. The values are classes of the style sheet."""

    LINE = "line"
    DASHED = "dashed"
    AREA = "area"
    UP = "up"
    DOWN = "down"
    DOT = "dot"


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """One entry of a chart's legend, which is text of the page and not of the canvas."""

    text: str
    role: Role
    mark: Mark


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of a page: ``key`` is unique in it, ``note`` its one line of explanation, ``unit`` that of its values.

    ``clock`` names the page's clock that its time axis goes by, empty for a chart without one; charts of one clock
    show the same stretch of time.
    """

    key: str
    title: str
    note: str
    plot: Plot
    unit: str = ""
    clock: str = ""
    legend: tuple[LegendEntry, ...] = ()


def chart_json(chart: Chart) -> dict[str, Any]:
    """The chart's Bokeh document as JSON-able values, with the same identifiers in every process."""
    document = Document()
    document.add_root(chart.plot)
    numbered: dict[str, str] = {}
    result: dict[str, Any] = _renumbered(document.to_json(), f"{chart.key}:", numbered)
    document.remove_root(chart.plot)
    return result


def _renumbered(value: Any, prefix: str, numbered: dict[str, str]) -> Any:
    """The value with the identifiers of its models, which Bokeh counts up by process, counted from 1."""
    if isinstance(value, list):
        return [_renumbered(each, prefix, numbered) for each in value]
    if not isinstance(value, dict):
        return value
    is_model = isinstance(value.get("id"), str) and (value.get("type") == "object" or len(value) == 1)
    if is_model:
        value = {**value, "id": numbered.setdefault(value["id"], f"{prefix}{len(numbered) + 1}")}
    return {key: _renumbered(each, prefix, numbered) if key != "id" else each for key, each in value.items()}


def currency_text(currency: str) -> str:
    """A currency for a hover's template, where only a plain code may stand; empty for anything else."""
    return currency if re.fullmatch(r"[A-Z]{3,5}", currency) else ""


# --- plots


def time_plot(clock: Clock, *, height: int, values: Format, floor: float | None = None) -> Plot:
    """An empty plot over a clock's trading time: drag to zoom, ctrl and wheel to zoom.

    The page's script sets the ticks. ``floor`` is a value that the value axis always shows.
    """
    whole = (0.0, clock.end)
    x_range = Range1d(start=whole[0], end=whole[1], bounds=whole, min_interval=clock.end / 2_000)
    y_range = DataRange1d(range_padding=0.08)
    if floor is not None:
        y_range.update(range_padding=0.06)
    plot = _plot(x_range, y_range, height)
    axis = _axis(ticker=FixedTicker(ticks=[]))
    plot.add_layout(axis, "below")
    plot.add_layout(Grid(dimension=0, axis=axis, grid_line_color=LIGHT[Role.GRID]))
    _value_axis(plot, values)
    drag = BoxZoomTool(dimensions="width", overlay=_zoom_box())
    wheel = WheelZoomTool(dimensions="width", modifiers={"ctrl": True})
    cross = CrosshairTool(dimensions="height", line_color=LIGHT[Role.MUTED], line_alpha=0.45)
    plot.toolbar = Toolbar(
        tools=[drag, wheel, cross], logo=None, active_drag=drag, active_scroll=wheel, active_inspect="auto"
    )
    if floor is not None:
        plot.add_layout(_level(floor, Role.MUTED, dashed=False, alpha=0.55))
    return plot


def value_plot(*, height: int, across: Format, values: Format) -> Plot:
    """An empty plot of values over values, which does not zoom."""
    plot = _plot(DataRange1d(range_padding=0.02), DataRange1d(start=0, range_padding=0.08), height)
    axis = _axis(formatter=NumeralTickFormatter(format=across))
    plot.add_layout(axis, "below")
    _value_axis(plot, values)
    plot.toolbar = Toolbar(tools=[], logo=None)
    return plot


def _plot(x_range: Range1d | DataRange1d, y_range: DataRange1d, height: int) -> Plot:
    return Plot(
        x_range=x_range,
        y_range=y_range,
        window_axis="x",  # the value axis fits what is seen of the time
        height=height,
        sizing_mode="stretch_width",
        toolbar_location=None,
        min_border_left=LEFT_PX,
        min_border_right=14,
        min_border_top=8,
        min_border_bottom=36,
        outline_line_color=None,
        background_fill_color=None,
        border_fill_color=None,
        lod_threshold=None,
        title=None,
    )


def _axis(**parts: Any) -> LinearAxis:
    """An axis of labels alone; ``parts`` are its ticker or formatter."""
    axis = LinearAxis(
        axis_line_color=None,
        major_tick_line_color=None,
        minor_tick_line_color=None,
        major_label_text_color=LIGHT[Role.MUTED],
        major_label_text_font=FONT,
        major_label_text_font_size="11px",
        major_label_text_line_height=1.25,
        major_label_standoff=7,
    )
    axis.update(**parts)
    return axis


def _value_axis(plot: Plot, values: Format) -> None:
    axis = _axis(formatter=NumeralTickFormatter(format=values))
    axis.ticker.update(desired_num_ticks=5)
    plot.add_layout(axis, "left")
    plot.add_layout(Grid(dimension=1, axis=axis, grid_line_color=LIGHT[Role.GRID]))


def _zoom_box() -> BoxAnnotation:
    return BoxAnnotation(
        level="overlay",
        editable=False,
        visible=False,
        fill_color=LIGHT[Role.MAIN],
        fill_alpha=0.12,
        line_color=LIGHT[Role.MAIN],
        line_alpha=0.5,
        syncable=False,
    )


# --- what is drawn on them


def source(**columns: NDArray[Any] | Sequence[str]) -> ColumnDataSource:
    """Columns of a chart; numbers are sent as float32 or int32, whose steps are finer than a pixel."""
    return ColumnDataSource(data={name: _compact(column) for name, column in columns.items()})


def _compact(column: NDArray[Any] | Sequence[str]) -> Any:
    if not isinstance(column, np.ndarray):
        return list(column)
    return column.astype(np.int32 if column.dtype.kind == "i" else np.float32)


def add_line(
    plot: Plot, data: ColumnDataSource, y: str, role: Role, *, width: float = 1.6, dashed: bool = False, x: str = "x"
) -> GlyphRenderer[Line]:
    """A line through the columns ``x`` and ``y`` of a source."""
    line = Line(x=x, y=y, line_color=LIGHT[role], line_width=width, line_join="round")
    if dashed:
        line.line_dash = [6, 4]
    return plot.add_glyph(data, line)


def add_area(plot: Plot, data: ColumnDataSource, y: str, role: Role, *, alpha: float = 0.18) -> GlyphRenderer[VArea]:
    """The area between 0 and a column."""
    return plot.add_glyph(data, VArea(x="x", y1=0, y2=y, fill_color=LIGHT[role], fill_alpha=alpha))


def add_marks(plot: Plot, data: ColumnDataSource, y: str, mark: Mark, role: Role) -> GlyphRenderer[Scatter]:
    """Triangles up or down, or dots, with a rim in the page's colour that keeps them apart."""
    shape = {Mark.UP: "triangle", Mark.DOWN: "inverted_triangle"}.get(mark, "circle")
    size = 6 if mark is Mark.DOT else 9
    colour, rim = LIGHT[role], LIGHT[Role.SURFACE]
    return plot.add_glyph(
        data, Scatter(x="x", y=y, marker=shape, size=size, fill_color=colour, line_color=rim, line_width=0.8)
    )


def add_bars(plot: Plot, data: ColumnDataSource, role: Role) -> GlyphRenderer[Quad]:
    """Bars from 0 to ``top`` between ``left`` and ``right``."""
    return plot.add_glyph(
        data,
        Quad(left="left", right="right", top="top", bottom=0, fill_color=LIGHT[role], line_color=LIGHT[Role.SURFACE]),
    )


def _level(value: float, role: Role, *, dashed: bool, alpha: float = 1.0) -> Span:
    dash = [6, 4] if dashed else []
    return Span(
        location=value, dimension="width", line_color=LIGHT[role], line_dash=dash, line_alpha=alpha, level="underlay"
    )


def add_level(plot: Plot, value: float, role: Role, *, dashed: bool = True) -> None:
    """A horizontal line across the plot."""
    plot.add_layout(_level(value, role, dashed=dashed))


def add_upright(plot: Plot, place: float, role: Role) -> None:
    """A vertical line across the plot."""
    plot.add_layout(Span(location=place, dimension="height", line_color=LIGHT[role], line_dash=[6, 4]))


TIME_ROW = ("Time", "@t{%a %d %b %Y %H:%M:%S}")
"""The time of a point; the column ``t`` is put in by the page's script."""


def add_hover(
    plot: Plot,
    renderers: Sequence[GlyphRenderer[Any]],
    rows: Mapping[str, str],
    *,
    has_time: bool = True,
    along_line: bool = False,
) -> None:
    """A tooltip over marks or bars, or, ``along_line``, over the nearest point of a line.

    ``rows`` maps labels to templates of Bokeh, both literals of ours: ``@column{format}`` shows a column as text.
    """
    assert not any("{safe}" in template for template in rows.values()), "data is only ever shown as text"
    tooltips = [TIME_ROW, *rows.items()] if has_time else list(rows.items())
    tool = HoverTool(
        renderers=list(renderers),
        tooltips=tooltips,
        formatters={"@t": "datetime"},
        mode="vline" if along_line else "mouse",
        line_policy="nearest",
        point_policy="follow_mouse",
        show_arrow=False,
    )
    plot.add_tools(tool)
