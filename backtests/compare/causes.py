"""Why the result of one run is not that of another; docs/comparison.md has the formulas."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Cause(StrEnum):
    """Why the second run's result is not the first's. Definitions: docs/comparison.md, and ``CAUSE_TEXTS``."""

    PRICE = "price"
    TIMING = "timing"
    FEE = "fee"
    MISSED = "missed"
    EXTRA = "extra"
    CARRIED = "carried"
    MARK = "mark"
    OTHER = "other"


CAUSE_TEXTS: Mapping[Cause, str] = {
    Cause.PRICE: "another price for the same decision, beyond timing",
    Cause.TIMING: "the market moved between the times of the decisions",
    Cause.FEE: "another fee for the same quantity",
    Cause.MISSED: "filled in the first run only",
    Cause.EXTRA: "filled in the second run only",
    Cause.CARRIED: "held differently when the window began",
    Cause.MARK: "what was held was valued at other prices",
    Cause.OTHER: "not from fills: dividends, exchange rates, rounding",
}
"""Each cause in a few words, in the order in which causes are shown."""
