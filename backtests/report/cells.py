"""Numbers, money and times as cells of a table: the unknown is n/a, and is sorted last."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from backtests.definitions import NOT_AVAILABLE
from backtests.report.parts import Align, Cell, Column, Tone
from papertape.moments import column_text, digits_needed, zone_name

UNKNOWN = Cell(NOT_AVAILABLE)
_PRICE_DECIMALS = (2, 3, 4)
_SMALL_PRICE_DECIMALS = 6


def words(values: Iterable[object]) -> list[Cell]:
    """Texts, sorted as texts."""
    return [Cell(text, text) for text in map(str, values)]


def sign_tone(value: float) -> Tone:
    """GOOD above zero, BAD below."""
    return Tone.GOOD if value > 0.0 else Tone.BAD if value < 0.0 else Tone.NONE


def amount_text(value: float, *, signed: bool = False) -> str:
    """Money to the cent, without its currency; what rounds to nothing has no sign."""
    value = round(value, 2) + 0.0
    return f"{value:+,.2f}" if signed and value else f"{value:,.2f}"


def quantity_text(value: float) -> str:
    """A quantity with the decimals that it has, at most six."""
    return f"{value:z,.6f}".rstrip("0").rstrip(".")


def _numbers(values: Iterable[float], text: str, *, scale: float = 1.0, end: str = "") -> list[Cell]:
    return [
        UNKNOWN if math.isnan(value) else Cell(format(value * scale, text) + end, value) for value in map(float, values)
    ]


def counts(values: Iterable[float]) -> list[Cell]:
    """Whole numbers."""
    return _numbers(values, "z,.0f")


def quantities(values: Iterable[float]) -> list[Cell]:
    """Quantities with the decimals that they have."""
    return [UNKNOWN if math.isnan(value) else Cell(quantity_text(value), value) for value in map(float, values)]


def prices(values: NDArray[np.float64]) -> list[Cell]:
    """Prices with as many decimals as the column needs: 2 to 4, or 6 where all are below 1."""
    known = values[np.isfinite(values)]
    fits = (d for d in _PRICE_DECIMALS if not len(known) or np.abs(known - np.round(known, d)).max() < 1e-9)
    most = _SMALL_PRICE_DECIMALS if len(known) and np.abs(known).max() < 1.0 else _PRICE_DECIMALS[-1]
    return _numbers(values, f"z,.{next(fits, most)}f")


def percents(values: Iterable[float]) -> list[Cell]:
    """Fractions as percent."""
    return _numbers(values, "z,.2f", scale=100.0, end=" %")


def basis_points(values: Iterable[float]) -> list[Cell]:
    """Fractions as hundredths of a percent."""
    return _numbers(values, "z,.1f", scale=1e4, end=" bp")


def money(
    name: str,
    title: str,
    values: Iterable[float],
    currencies: Sequence[str],
    *,
    signed: bool = False,
    help: str = "",  # noqa: A002
) -> tuple[Column, list[Cell]]:
    """A column of money: its currency stands in the title where all have the same, else behind each amount.

    ``signed`` amounts are gains and losses, and toned so. ``currencies`` has one for each value.
    """
    one = set(currencies)
    cells = []
    for value, currency in zip(map(float, values), currencies, strict=True):
        if math.isnan(value):
            cells.append(UNKNOWN)
            continue
        text = amount_text(value, signed=signed)
        cells.append(
            Cell(
                text if len(one) == 1 else f"{text} {currency}",
                value,
                sign_tone(round(value, 2)) if signed else Tone.NONE,
            )
        )
    return Column(name, f"{title} ({one.pop()})" if len(one) == 1 else title, Align.RIGHT, help), cells


def times(name: str, title: str, ns: NDArray[np.int64], zone: str, *, never: str = "") -> tuple[Column, list[Cell]]:
    """A column of times in a zone that its title names; a time of 0 has not come and is shown as ``never``."""
    come = ns[ns != 0]
    digits = digits_needed(come)
    cells = [Cell(column_text(at, zone, digits), float(at)) if at else Cell(never) for at in map(int, ns)]
    return Column(name, f"{title} ({zone_name(zone)})", Align.LEFT, f"In {zone}, the exchange's zone."), cells
