"""Colours of a page by their role, light and dark: the one table that charts, style sheet and script go by.

After Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), whose hues people with any common colour vision
tell apart; wherever two of them mean opposite things, a shape or a sign says it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """What a colour is for. The values are the names of the style sheet's variables."""

    INK = "ink"
    PAGE = "page"
    MUTED = "muted"
    GRID = "grid"
    SURFACE = "surface"
    MAIN = "main"
    BENCHMARK = "benchmark"
    GAIN = "gain"
    LOSS = "loss"
    WARNING = "warning"
    SERIES_1 = "series-1"
    SERIES_2 = "series-2"
    SERIES_3 = "series-3"
    SERIES_4 = "series-4"
    SERIES_5 = "series-5"
    SERIES_6 = "series-6"
    SERIES_7 = "series-7"
    SERIES_8 = "series-8"
    SERIES_9 = "series-9"
    SERIES_10 = "series-10"


LIGHT: Mapping[Role, str] = {
    Role.INK: "#1b2025",
    Role.PAGE: "#f6f7f9",
    Role.MUTED: "#5c6670",
    Role.GRID: "#e7eaee",
    Role.SURFACE: "#fffffe",
    Role.MAIN: "#0b62a4",
    Role.BENCHMARK: "#8a5a83",
    Role.GAIN: "#00806a",
    Role.LOSS: "#bd4a06",
    Role.WARNING: "#8f5f00",
    Role.SERIES_1: "#0072b2",
    Role.SERIES_2: "#d55e00",
    Role.SERIES_3: "#009e73",
    Role.SERIES_4: "#b8578f",
    Role.SERIES_5: "#b07d00",
    Role.SERIES_6: "#3aa0dc",
    Role.SERIES_7: "#5b4b9a",
    Role.SERIES_8: "#7a7f85",
    Role.SERIES_9: "#8c3b1f",
    Role.SERIES_10: "#4f7f1f",
}
DARK: Mapping[Role, str] = {
    Role.INK: "#e8ebee",
    Role.PAGE: "#11151a",
    Role.MUTED: "#9aa5b1",
    Role.GRID: "#29303a",
    Role.SURFACE: "#191e25",
    Role.MAIN: "#5cb3f0",
    Role.BENCHMARK: "#d6a3cd",
    Role.GAIN: "#2fc7a4",
    Role.LOSS: "#ff9250",
    Role.WARNING: "#f0bf4c",
    Role.SERIES_1: "#56b4e9",
    Role.SERIES_2: "#f58b3c",
    Role.SERIES_3: "#2ecc9c",
    Role.SERIES_4: "#e59ac4",
    Role.SERIES_5: "#e8c34a",
    Role.SERIES_6: "#a9dbff",
    Role.SERIES_7: "#a99bea",
    Role.SERIES_8: "#b4bac1",
    Role.SERIES_9: "#e08a6a",
    Role.SERIES_10: "#a6d46b",
}
SERIES: tuple[Role, ...] = tuple(role for role in Role if role.startswith("series-"))
"""Roles for lines of equal standing, in the order in which they are given out."""


def style_variables(colours: Mapping[Role, str]) -> str:
    """The colours as declarations of CSS variables."""
    return "".join(f"--{role}:{colour};" for role, colour in colours.items())


def dark_of_light() -> dict[str, str]:
    """Light colour -> dark colour. Charts are made in light ones; the page's script exchanges them."""
    return {LIGHT[role]: DARK[role] for role in Role}
