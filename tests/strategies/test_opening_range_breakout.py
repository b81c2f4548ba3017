"""The opening range breakout, on bars that are worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from papertape import Run, backtest
from strategies.opening_range_breakout import OpeningRangeBreakout

OPEN = 1_704_983_400_000_000_000  # 2024-01-11 09:30 in New York
MINUTE = 60 * 1_000_000_000
Rows = list[tuple[float, float, float, float, float]]


def bars(rows: Rows) -> dict[str, Any]:
    """Five-minute bars: (minutes from the open of 2024-01-11 to the bar's start, open, high, low, close)."""
    start, o, h, low, c = (np.array(column) for column in zip(*rows, strict=True))
    return {
        "ts": (OPEN + (start + 5) * MINUTE).astype(np.int64),
        "open": o, "high": h, "low": low, "close": c, "volume": np.full(len(o), 1e6),
    }  # fmt: skip


def run(rows: Rows, kind: type[OpeningRangeBreakout] = OpeningRangeBreakout, **parameters: Any) -> Run:
    strategy = kind(**parameters)
    return backtest(strategy, {"X": bars(rows)}, fees="none", bar_stamp="close", bar_interval_s=300)


def fills(done: Run) -> list[tuple[str, float, float]]:
    return list(done.fills[["side", "quantity", "price"]].itertuples(index=False, name=None))


FIRST = (0.0, 100.0, 102.0, 99.0, 101.0)
SECOND = (5.0, 101.5, 103.0, 101.0, 102.0)
# 1 % of 100,000 is 1,000; from 101 to the stop at 99 are 2 a share: 500 shares, which 95 % of the cash can pay for


def test_a_rising_first_bar_is_bought_at_the_open_of_the_second_and_stopped_at_the_low_of_the_first() -> None:
    done = run([FIRST, SECOND, (10.0, 102.0, 102.5, 98.5, 100.0), (15.0, 100.0, 101.0, 99.5, 100.0)])
    assert fills(done) == [("BUY", 500.0, 101.5), ("SELL", 500.0, 99.0)]
    assert done.fills["ambiguous"].tolist() == [False, False]


def test_without_a_stop_it_leaves_at_the_set_time_and_takes_the_stop_away() -> None:
    done = run(
        [FIRST, SECOND, (10.0, 102.0, 105.0, 101.5, 104.0), (15.0, 104.5, 105.0, 104.0, 104.0)], exit_at="open+15m"
    )
    assert fills(done) == [("BUY", 500.0, 101.5), ("SELL", 500.0, 104.5)]
    stop = done.orders[done.orders["tag"] == "stop"].iloc[0]
    assert (stop["status"], stop["filled"]) == ("CANCELLED", 0.0)


def test_a_falling_or_unchanged_first_bar_is_left_alone() -> None:
    falling = (0.0, 101.0, 102.0, 99.0, 100.0)
    unchanged = (0.0, 101.0, 102.0, 99.0, 101.0)
    assert fills(run([falling, SECOND])) == []
    assert fills(run([unchanged, SECOND])) == []


class BothWays(OpeningRangeBreakout):
    allow_short = True


def test_a_subclass_that_may_sell_short_follows_a_falling_first_bar() -> None:
    falling = (0.0, 101.0, 102.0, 99.0, 100.0)
    rows = [
        falling,
        (5.0, 99.5, 100.0, 98.0, 98.5),
        (10.0, 98.5, 102.5, 98.0, 102.0),
        (15.0, 102.0, 103.0, 101.0, 102.0),
    ]
    assert fills(run(rows, BothWays)) == [("SELL", 500.0, 99.5), ("BUY", 500.0, 102.0)]


def test_a_narrow_first_bar_is_bought_with_no_more_than_the_cash_can_pay_for() -> None:
    narrow = (0.0, 100.9, 101.0, 100.8, 101.0)
    done = run([narrow, (5.0, 101.0, 103.0, 101.0, 102.0), (10.0, 102.0, 103.0, 101.5, 102.0)])
    assert fills(done)[0] == ("BUY", 940.0, 101.0)  # 95,000 / 101


def test_a_symbol_whose_first_bar_comes_late_has_no_opening_range() -> None:
    assert fills(run([(5.0, *FIRST[1:]), (10.0, *SECOND[1:])])) == []


def test_every_session_has_its_own_opening_range() -> None:
    day = 24.0 * 60
    rows = [FIRST, SECOND, (385.0, 103.0, 103.0, 103.0, 103.0)]
    done = run([*rows, *((start + day, o, h, low, c) for start, o, h, low, c in rows)])
    assert [side for side, _, _ in fills(done)] == ["BUY", "SELL", "BUY", "SELL"]
    assert fills(done)[1] == ("SELL", 500.0, 103.0)  # five minutes before the close
