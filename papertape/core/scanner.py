"""Market scans: codes and filters, spelled as papertape spells them, with Interactive Brokers' names beside.

``scanner.MOST_ACTIVE.where(avg_volume_above=1_000_000, price_above=10)`` is what a strategy asks for.
"""

from __future__ import annotations

from collections.abc import Mapping

from papertape.core.errors import ConfigError, did_you_mean
from papertape.core.model import ScanSpec

FILTERS: Mapping[str, str] = {
    "price_above": "priceAbove",
    "price_below": "priceBelow",
    "volume_above": "volumeAbove",
    "avg_volume_above": "avgVolumeAbove",
    "market_cap_above_1e6": "marketCapAbove1e6",
    "market_cap_below_1e6": "marketCapBelow1e6",
}
"""Filter -> its name at Interactive Brokers. Market capitalisation is in millions of currency."""


class ScanCode:
    """A ranking. Use as it is, or narrow it with :meth:`where`."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code

    def where(self, **filters: float) -> ScanSpec:
        """The scan, of instruments for which every filter holds."""
        for name in filters:
            if name not in FILTERS:
                raise ConfigError(f'unknown scan filter "{name}"{did_you_mean(name, FILTERS)}')
        return ScanSpec(self.code, dict(sorted(filters.items())))

    def __repr__(self) -> str:
        return f"scanner.{self.code}"


MOST_ACTIVE = ScanCode("MOST_ACTIVE")
"""By the session's volume so far."""
TOP_PERC_GAIN = ScanCode("TOP_PERC_GAIN")
"""By the rise against the prior session's close."""
TOP_PERC_LOSE = ScanCode("TOP_PERC_LOSE")
"""By the fall against the prior session's close."""
TOP_OPEN_PERC_GAIN = ScanCode("TOP_OPEN_PERC_GAIN")
"""By the rise against today's open."""
TOP_OPEN_PERC_LOSE = ScanCode("TOP_OPEN_PERC_LOSE")
"""By the fall against today's open."""


def scan_spec(scan: ScanSpec | ScanCode | str) -> ScanSpec:
    """A specification from whatever names a scan."""
    if isinstance(scan, ScanSpec):
        return scan
    return ScanSpec(scan.code if isinstance(scan, ScanCode) else str(scan))
