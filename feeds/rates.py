"""Exchange rates that a tape knows."""

from __future__ import annotations

import math

from feeds.point_in_time import PointInTime
from papertape.core.model import InstrumentType


def rate_at(view: PointInTime, currency: str, base: str, now: int) -> float:
    """Base currency per unit of a currency as known at ``now`` (UTC ns), of a pair such as ``EUR.USD``; NaN unknown."""
    for j, each in enumerate(view.instruments):
        if each.type is not InstrumentType.CASH:
            continue
        image = view.image(j, now)
        if image is None:
            continue
        price = image.last if image.last == image.last else (image.bid + image.ask) / 2.0
        if each.symbol == f"{currency}.{base}":
            return price
        if each.symbol == f"{base}.{currency}":
            return 1.0 / price
    return math.nan
