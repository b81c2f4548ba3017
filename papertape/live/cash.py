"""The account's cash as TWS tells it against the books: what came into the account, or left it, without a trade.

TWS refreshes account values when a position changes and otherwise every three minutes, so what it says is older than
what was heard of executions. Only a value that was told well after the last of those counts, and only when it stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from papertape.core.model import NS_PER_S

QUIET_NS = 5 * NS_PER_S
"""How long after the last execution or fee a value must have been told; and how long it must then stay as it is."""
CENT = 0.01


@dataclass(slots=True)
class _Seen:
    amount: float
    since: int


class CashWatch:
    """Compares, and says what no trade explains. ``speed`` is that of a simulated gateway."""

    def __init__(self, speed: float = 1.0) -> None:
        self._quiet_ns = round(QUIET_NS * speed)
        self._moved_at = 0
        self._seen: dict[str, _Seen] = {}

    def moved(self, now: int) -> None:
        """An execution or a fee was booked."""
        self._moved_at = now
        self._seen.clear()

    def look(
        self, told: Mapping[str, float], told_at: Mapping[str, int], books: Mapping[str, float], now: int
    ) -> list[tuple[str, float]]:
        """(currency, amount) of what came in (positive) or left. ``told_at`` is when each value was told (UTC ns)."""
        found = []
        for currency, amount in told.items():
            if currency not in books or told_at.get(currency, 0) < self._moved_at + self._quiet_ns:
                continue
            difference = amount - books[currency]
            if not abs(difference) > CENT:  # also where it is unknown
                self._seen.pop(currency, None)
                continue
            seen = self._seen.get(currency)
            if seen is None or abs(seen.amount - difference) > CENT:
                self._seen[currency] = _Seen(difference, now)
            elif now - seen.since >= self._quiet_ns:
                del self._seen[currency]
                found.append((currency, difference))
        return found
