"""Parts of charts: a plot in the page's manner, lines, areas, marks and bars on it, and what a hover shows.

Charts are Bokeh documents, written here in the JSON form that BokehJS reads: Bokeh's own Python models take tens of
milliseconds a chart to make and half a second to import. The tests read every chart back with those models, which check
each name and value.

Charts are made in the light colours of :mod:`backtests.report.palette`; names and other text from data are only ever
in columns of a source, never in a template, which is what keeps them text.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.report.clock import Clock
from backtests.report.palette import LIGHT, Role

Json = dict[str, Any]
Values = NDArray[Any] | Sequence[str]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LEFT_PX = 68
"""Room for the labels of the value axis: the same in each chart, so that their time axes lie below each other."""
ZOOM_MOST = 2_000
"""How much shorter than the whole the shortest stretch of time is that a chart zooms to."""

_DASH = [6, 4]


class Format(StrEnum):
    """How values are shown on an axis and in a hover (numbro's formats)."""

    MONEY = "0,0.[00]"
    MONEY_EXACT = "0,0.00"
    PRICE = "0,0.00[00]"
    PERCENT = "0,0.[00]"
    NUMBER = "0,0.[0000]"
    BASIS_POINTS = "0,0.[0]"
    COUNT = "0,0"


class Height(IntEnum):
    """Height of a plot in pixels. The names, in small letters, are classes of the style sheet."""

    LOW = 140
    MEDIUM = 220
    TALL = 320


class Mark(StrEnum):
    """How a mark looks, on a plot and in a legend. The values are classes of the style sheet."""

    LINE = "line"
    DASHED = "dashed"
    AREA = "area"
    UP = "up"
    DOWN = "down"


_SHAPES = {Mark.UP: "triangle", Mark.DOWN: "inverted_triangle"}


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """One entry of a chart's legend, which is text of the page and not of the canvas."""

    text: str
    role: Role
    mark: Mark


class Plot:
    """A plot under construction: models of Bokeh by name, each with an identifier that is unique in the document."""

    def __init__(self, height: Height, x_range: Json, y_range: Json) -> None:
        """``x_range`` and ``y_range`` are attributes; with a ``start`` and an ``end`` they are those, else what fits."""
        self._count = 0
        self._parts: dict[str, list[Json]] = {name: [] for name in ("renderers", "left", "below", "center")}
        self._tools: list[Json] = []
        self._active: Json = {}
        self._written: set[str] = set()
        self.height = height
        self._ranges = {
            name: self.model("Range1d" if "end" in given else "DataRange1d", **given)
            for name, given in (("x_range", x_range), ("y_range", y_range))
        }

    def model(self, name: str, **attributes: Any) -> Json:
        """A new model of Bokeh's class ``name``."""
        self._count += 1
        return {"type": "object", "name": name, "id": str(self._count), "attributes": attributes}

    def once(self, model: Json) -> Json:
        """The model the first time that it is asked for, a reference to it from then on."""
        if model["id"] in self._written:
            return reference(model)
        self._written.add(model["id"])
        return model

    def add(self, where: str, model: Json) -> Json:
        """Put a model on the plot: ``where`` is renderers, left, below or center."""
        self._parts[where].append(model)
        return model

    def add_tool(self, model: Json, active: str = "") -> None:
        """Add a tool; ``active`` names the kind of gesture that it listens to from the start."""
        self._tools.append(model)
        if active:
            self._active[f"active_{active}"] = reference(model)

    def document(self, version: str) -> Json:
        """The Bokeh document of this one plot, for BokehJS of that version."""
        toolbar = self.model("Toolbar", tools=self._tools, logo=None, **self._active)
        root = self.model(
            "Plot",
            **self._ranges,
            height=int(self.height),
            sizing_mode="stretch_width",
            **self._parts,  # before the tools, since a model must be written before it is referred to
            toolbar=toolbar,
            toolbar_location=None,
            min_border_left=LEFT_PX,
            min_border_right=14,
            min_border_top=10,
            min_border_bottom=38,
            outline_line_color=None,
            background_fill_color=None,
            border_fill_color=None,
            lod_threshold=None,
            title=None,
        )
        return {"version": version, "title": "", "config": self.model("DocumentConfig"), "roots": [root]}


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

    def as_plain(self, version: str) -> Json:
        """The chart as the page's script draws it with BokehJS of that version."""
        return {"clock": self.clock, "doc": _prefixed(self.plot.document(version), f"{self.key}:")}


def _prefixed(value: Any, prefix: str) -> Any:
    """The document with its identifiers made unique in the page."""
    if isinstance(value, list):
        return [_prefixed(each, prefix) for each in value]
    if not isinstance(value, dict):
        return value
    is_model = value.get("type") == "object" or value.keys() == {"id"}
    return {
        name: prefix + each if is_model and name == "id" else _prefixed(each, prefix) for name, each in value.items()
    }


def reference(model: Json) -> Json:
    """Another mention of a model that the document already holds."""
    return {"id": model["id"]}


def currency_text(currency: str) -> str:
    """A currency for a hover's template, where only a plain code may stand; empty for anything else."""
    return currency if re.fullmatch(r"[A-Z]{3,5}", currency) else ""


# Plots to draw on.


def time_plot(clock: Clock, *, height: Height, values: Format, base: float | None = None) -> Plot:
    """An empty plot over a clock's trading time: drag to zoom, ctrl and wheel to zoom.

    The page's script sets the ticks, and fits the value axis to what is seen of the time. ``base`` is a value that the
    axis then always shows, with a line.
    """
    bounds = [0.0, clock.end]
    x_range = {"start": 0.0, "end": clock.end, "bounds": bounds, "min_interval": clock.end / ZOOM_MOST}
    plot = Plot(height, x_range, {"start": 0.0, "end": 1.0})
    axis = plot.add("below", _axis(plot, ticker=plot.model("FixedTicker", ticks=[], minor_ticks=[])))
    plot.add("center", plot.model("Grid", dimension=0, axis=reference(axis), grid_line_color=LIGHT[Role.GRID]))
    _add_value_axis(plot, values)
    overlay = plot.model(
        "BoxAnnotation",
        level="overlay",
        visible=False,
        syncable=False,
        fill_color=LIGHT[Role.MAIN],
        fill_alpha=0.12,
        line_color=LIGHT[Role.MAIN],
        line_alpha=0.5,
    )
    plot.add_tool(plot.model("BoxZoomTool", dimensions="width", overlay=overlay), "drag")
    modifiers = {"type": "map", "entries": [["ctrl", True]]}
    plot.add_tool(plot.model("WheelZoomTool", dimensions="width", modifiers=modifiers), "scroll")
    plot.add_tool(plot.model("CrosshairTool", dimensions="height", line_color=LIGHT[Role.MUTED], line_alpha=0.5))
    if base is not None:
        add_level(plot, base, Role.MUTED, dashed=False, alpha=0.5)
        # The axis is fitted to lines; one without a width is seen by that alone.
        add_line(plot, source(plot, x=np.array(bounds), y=np.full(2, base)), "y", Role.MUTED, width=0.0)
    return plot


def value_plot(*, height: Height, across: Format, values: Format) -> Plot:
    """An empty plot of values over values, from 0 up, which does not zoom."""
    plot = Plot(height, {"range_padding": 0.02}, {"start": 0.0, "range_padding": 0.08})
    plot.add("below", _axis(plot, formatter=plot.model("NumeralTickFormatter", format=across)))
    _add_value_axis(plot, values)
    return plot


def _axis(plot: Plot, **parts: Json) -> Json:
    """An axis of labels alone; ``parts`` are its ticker or formatter where it has special ones."""
    return plot.model(
        "LinearAxis",
        ticker=parts.get("ticker")
        or plot.model("BasicTicker", desired_num_ticks=3 if plot.height == Height.LOW else 5, mantissas=[1, 2, 5]),
        formatter=parts.get("formatter") or plot.model("BasicTickFormatter"),
        axis_line_color=None,
        major_tick_line_color=None,
        minor_tick_line_color=None,
        major_label_text_color=LIGHT[Role.MUTED],
        major_label_text_font=FONT,
        major_label_text_font_size="11px",
        major_label_text_line_height=1.25,
        major_label_standoff=7,
    )


def _add_value_axis(plot: Plot, values: Format) -> None:
    axis = plot.add("left", _axis(plot, formatter=plot.model("NumeralTickFormatter", format=values)))
    plot.add("center", plot.model("Grid", dimension=1, axis=reference(axis), grid_line_color=LIGHT[Role.GRID]))


# What is drawn on them.


def source(plot: Plot, **columns: Values) -> Json:
    """Columns of a chart; numbers are sent as float32 or int32, whose steps are finer than a pixel."""
    entries = [[name, _packed(column)] for name, column in columns.items()]
    return plot.model("ColumnDataSource", data={"type": "map", "entries": entries})


def _packed(column: Values) -> Any:
    """A column as BokehJS reads it: numbers as packed bytes, texts as a list."""
    if not isinstance(column, np.ndarray):
        return list(column)
    numbers = column.astype("<i4" if column.dtype.kind == "i" else "<f4")
    # The fixed time keeps equal pages equal to the byte.
    data = base64.b64encode(gzip.compress(numbers.tobytes(), mtime=1)).decode()
    return {
        "type": "ndarray",
        "array": {"type": "bytes", "data": data},
        "shape": [len(numbers)],
        "dtype": "int32" if numbers.dtype.kind == "i" else "float32",
        "order": "little",
    }


def _glyph(plot: Plot, data: Json, name: str, **attributes: Any) -> Json:
    glyph = plot.model(name, **attributes)
    return plot.add("renderers", plot.model("GlyphRenderer", data_source=plot.once(data), glyph=glyph))


def _field(column: str) -> Json:
    return {"type": "field", "field": column}


def add_line(plot: Plot, data: Json, y: str, role: Role, *, width: float = 1.6, dashed: bool = False) -> Json:
    """A line through the columns ``x`` and ``y`` of a source."""
    return _glyph(
        plot, data, "Line", x=_field("x"), y=_field(y), line_color=LIGHT[role], line_width=width, line_join="round",
        line_dash=_DASH if dashed else [],
    )  # fmt: skip


def add_area(plot: Plot, data: Json, y: str, role: Role) -> Json:
    """The area between 0 and a column."""
    return _glyph(
        plot, data, "VArea", x=_field("x"), y1={"type": "value", "value": 0.0}, y2=_field(y), fill_color=LIGHT[role],
        fill_alpha=0.16,
    )  # fmt: skip


def add_marks(plot: Plot, data: Json, y: str, mark: Mark, role: Role, *, size: int = 9) -> Json:
    """Triangles up or down, with a rim in the page's colour that keeps them apart."""
    return _glyph(
        plot, data, "Scatter", x=_field("x"), y=_field(y), marker={"type": "value", "value": _SHAPES[mark]},
        size={"type": "value", "value": size}, fill_color=LIGHT[role], line_color=LIGHT[Role.SURFACE], line_width=0.8,
    )  # fmt: skip


def add_bars(plot: Plot, data: Json, role: Role) -> Json:
    """Bars from 0 to ``top`` between ``left`` and ``right``."""
    return _glyph(
        plot, data, "Quad", left=_field("left"), right=_field("right"), top=_field("top"),
        bottom={"type": "value", "value": 0.0}, fill_color=LIGHT[role], fill_alpha=0.85,
        line_color=LIGHT[Role.SURFACE], line_width=0.6,
    )  # fmt: skip


def add_level(plot: Plot, value: float, role: Role, *, dashed: bool = True, alpha: float = 1.0) -> None:
    """A horizontal line across the plot."""
    _add_span(plot, value, "width", role, dashed=dashed, alpha=alpha)


def add_upright(plot: Plot, place: float, role: Role) -> None:
    """A dashed vertical line across the plot."""
    _add_span(plot, place, "height", role, dashed=True, alpha=1.0)


def _add_span(plot: Plot, at: float, dimension: str, role: Role, *, dashed: bool, alpha: float) -> None:
    plot.add(
        "center",
        plot.model(
            "Span", location=float(at), dimension=dimension, line_color=LIGHT[role], line_alpha=alpha,
            line_dash=_DASH if dashed else [], level="annotation" if dashed else "underlay",
        ),
    )  # fmt: skip


TIME_ROW = ["Time", "@t{%a %d %b %Y %H:%M:%S}"]
"""The time of a point; the column ``t`` is put in by the page's script."""


def add_hover(
    plot: Plot,
    renderers: Sequence[Json],
    rows: Mapping[str, str],
    *,
    has_time: bool = True,
    along_line: bool = False,
) -> None:
    """A tooltip over marks or bars, or, ``along_line``, over the nearest point of a line.

    ``rows`` maps labels to templates of Bokeh, both literals of ours: ``@column{format}`` shows a column as text.
    """
    assert not any("safe" in template for template in rows.values()), "data is only ever shown as text"
    tooltips = [TIME_ROW] if has_time else []
    plot.add_tool(
        plot.model(
            "HoverTool",
            renderers=[reference(each) for each in renderers],
            tooltips=[*tooltips, *([label, template] for label, template in rows.items())],
            formatters={"type": "map", "entries": [["@t", "datetime"]]},
            mode="vline" if along_line else "mouse",
            line_policy="nearest",
            point_policy="follow_mouse",
            show_arrow=False,
        )
    )
