"""A scan before the first trade of the day is empty, also on a day after others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from papertape import Scan, Strategy, backtest

OPEN = 1_704_983_400_000_000_000  # Thursday, 2024-01-11 09:30 in New York
SECOND = 1_000_000_000
DAY = 86_400 * SECOND


class Scans(Strategy):
    """Scans at a time of each day."""

    scan_at: str = "09:00"

    def on_start(self) -> None:
        self.found: list[tuple[list[str], str]] = []
        self.scan("MOST_ACTIVE", at=self.scan_at, every="day")

    def on_scan(self, scan: Scan) -> None:
        self.found.append((scan.symbols, scan.note))


@pytest.mark.parametrize(("at", "second_day"), [("09:00", []), ("09:30", []), ("09:35", ["X"]), ("16:30", ["X"])])
def test_a_scan_before_the_first_trade_of_the_second_day_does_not_show_the_first_day(
    at: str, second_day: list[str]
) -> None:
    ts = OPEN + np.array([1, 2, 3]) * SECOND
    day: dict[str, Any] = {"ts": np.concatenate([ts, ts + DAY]), "price": np.full(6, 10.0), "size": np.full(6, 5.0)}
    strategy = Scans(scan_at=at)
    backtest(strategy, {"X": day}, end="2024-01-12T23:59")
    assert strategy.found[-1][0] == second_day
