"""Charts of characters: what is largest is tallest, peaks survive, and a stream that knows no blocks gets ASCII."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.cli.graphics import (
    ASCII,
    BLOCKS,
    Ink,
    area,
    bars,
    deepest_in_columns,
    histogram,
    in_columns,
    ink_for,
    sparkline,
)

inks = pytest.mark.parametrize("ink", [BLOCKS, ASCII], ids=["blocks", "ascii"])
finite = st.floats(-1e12, 1e12, allow_nan=False)


def heights(lines: list[str], ink: Ink) -> list[int]:
    """How many steps of ink each column of an area has, from the bottom."""
    return [sum(ink.rising.index(line[k]) for line in lines) for k in range(len(lines[0]))]


def test_a_sparkline_rises_in_eighths() -> None:
    assert sparkline(np.arange(9.0), BLOCKS) == " ▁▂▃▄▅▆▇█"
    assert sparkline(np.arange(4.0), ASCII) == " .:|"


def test_a_sparkline_of_nothing_but_zeros_is_empty() -> None:
    assert sparkline(np.zeros(5), BLOCKS) == "     "


def test_an_area_is_filled_from_below() -> None:
    assert area(np.array([0.0, 1.0]), 2, BLOCKS) == [" █", "▁█"]


def test_an_area_of_equal_values_is_half_high() -> None:
    assert area(np.array([7.0, 7.0]), 3, BLOCKS) == ["  ", "▄▄", "██"]


def test_what_is_unknown_leaves_a_gap() -> None:
    assert area(np.array([np.nan, 1.0, 2.0]), 1, BLOCKS) == [" ▁█"]
    assert area(np.full(3, np.nan), 2, BLOCKS) == ["   ", "   "]


@inks
@given(st.lists(finite, min_size=1, max_size=40), st.integers(1, 6))
def test_higher_values_are_never_drawn_lower_and_columns_have_no_holes(ink, values, height) -> None:
    lines = area(np.array(values), height, ink)
    assert [len(line) for line in lines] == [len(values)] * height
    drawn = heights(lines, ink)
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(drawn)[order]) >= 0).all()
    assert min(drawn) >= 1
    for k in range(len(values)):
        column = [ink.rising.index(line[k]) for line in reversed(lines)]
        assert column == sorted(column, reverse=True)


def test_columns_take_the_last_value_of_their_span_or_before_it() -> None:
    x, values = np.array([0.0, 1.0, 2.0, 9.0]), np.array([1.0, 2.0, 3.0, 4.0])
    assert in_columns(x, values, 10.0, 5).tolist() == [3.0, 3.0, 3.0, 3.0, 4.0]
    assert np.isnan(in_columns(np.empty(0), np.empty(0), 10.0, 3)).all()


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1, 0)), min_size=1, max_size=50), st.integers(1, 30))
def test_the_deepest_fall_survives_any_width(points, width) -> None:
    points = sorted(points)
    x, depth = np.array([at for at, _ in points]), np.array([value for _, value in points])
    assert deepest_in_columns(x, depth, 100.0, width).min() == depth.min()


def test_bars_stand_on_one_axis_losses_left_and_gains_right() -> None:
    assert bars([2.0, -1.0, 0.0, 0.5], 9, BLOCKS) == ["    │████", "  ██│    ", "    │    ", "    │█   "]
    assert bars([2.0, -1.0], 9, ASCII) == ["    |####", "  ##|    "]


def test_gains_alone_take_the_whole_width() -> None:
    assert bars([4.0, 1.0], 9, BLOCKS) == ["│████████", "│██      "]


def test_bars_of_nothing_known_are_an_axis() -> None:
    assert bars([float("nan"), 0.0], 9, BLOCKS) == ["│", "│"]


@inks
@given(st.lists(finite | st.just(float("nan")), min_size=1, max_size=20), st.integers(5, 80))
def test_bars_are_all_equally_wide_and_no_wider_than_asked(ink, values, width) -> None:
    drawn = bars(values, width, ink)
    assert len({len(line) for line in drawn}) == 1
    assert len(drawn[0]) <= width
    assert len({line.index(ink.axis) for line in drawn}) == 1 or ink is ASCII


def test_a_histogram_shows_even_what_is_met_once() -> None:
    assert histogram(np.array([0.0] * 80 + [10.0]), 4, BLOCKS) == "█  ▁"
    assert histogram(np.empty(0), 4, BLOCKS) == "    "


def test_a_stream_that_cannot_show_blocks_gets_ascii() -> None:
    assert ink_for(io.TextIOWrapper(io.BytesIO(), encoding="ascii")) is ASCII
    assert ink_for(io.TextIOWrapper(io.BytesIO(), encoding="latin-1")) is ASCII
    assert ink_for(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) is BLOCKS
