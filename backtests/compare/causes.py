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
    Cause.PRICE: "the same decision was filled at another price, beyond what the market had moved between the decisions",
    Cause.TIMING: "the market moved between the two times at which the same decision was taken",
    Cause.FEE: "the same quantity cost another fee",
    Cause.MISSED: "filled in the first run only",
    Cause.EXTRA: "filled in the second run only",
    Cause.CARRIED: "held when the window began",
    Cause.MARK: "what was held at the ends of the window was valued at other prices",
    Cause.OTHER: "not from fills: dividends, exchange rates, deposits, rounding",
}
