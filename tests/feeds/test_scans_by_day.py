"""A scan before the first trade of the day is empty, also on a day after others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from papertape import Scan, Strategy, backtest, scanner

OPEN = 1_704_983_400_000_000_000  # Thursday, 2024-01-11 09:30 in New York
SECOND = 1_000_000_000
DAY = 86_400 * SECOND


class Scans(Strategy):
    """Scans at a time of each day."""

    scan_at: str = "09:00"
    code: str = "MOST_ACTIVE"
    price_above: float = 0.0

    def on_start(self) -> None:
        self.found: list[tuple[list[str], str]] = []
        self.scan(scanner.ScanCode(self.code).where(price_above=self.price_above), at=self.scan_at, every="day")

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


@pytest.mark.parametrize("code", ["TOP_PERC_GAIN", "TOP_PERC_LOSE"])
def test_a_scan_against_the_prior_close_says_on_the_first_day_that_there_is_none(code: str) -> None:
    ts = OPEN + np.array([1, 2, 3]) * SECOND
    day: dict[str, Any] = {"ts": np.concatenate([ts, ts + DAY]), "price": np.full(6, 10.0), "size": np.full(6, 5.0)}
    strategy = Scans(scan_at="09:35", code=code)
    backtest(strategy, {"X": day}, end="2024-01-12T23:59")
    assert strategy.found == [
        ([], "empty: the tape has no prior session's close to compare with yet"),
        (["X"], ""),
    ]


def test_a_scan_whose_filters_nothing_passes_says_so_on_the_first_day_too() -> None:
    day: dict[str, Any] = {"ts": OPEN + np.arange(1, 4) * SECOND, "price": np.full(3, 10.0), "size": np.full(3, 5.0)}
    strategy = Scans(scan_at="09:35", code="TOP_OPEN_PERC_GAIN", price_above=50.0)
    backtest(strategy, {"X": day})
    assert strategy.found == [([], "empty: no instrument passed the filters")]
