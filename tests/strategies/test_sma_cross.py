"""The moving average cross, on bars that are worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from papertape import Run, backtest, errors
from strategies.sma_cross import SmaCross

OPEN = 1_704_983_400_000_000_000  # 2024-01-11 09:30 in New York
MINUTE = 60 * 1_000_000_000


def bars(opens: list[float], closes: list[float]) -> dict[str, Any]:
    """One-minute bars from the open of 2024-01-11."""
    o, c = np.array(opens), np.array(closes)
    return {
        "ts": OPEN + MINUTE * np.arange(1, len(o) + 1),
        "open": o, "high": np.maximum(o, c), "low": np.minimum(o, c), "close": c, "volume": np.full(len(o), 1000.0),
    }  # fmt: skip


def run(data: dict[str, Any], **parameters: Any) -> Run:
    strategy = SmaCross(**{"fast": 2, "slow": 3, "invest": 0.5, **parameters})
    return backtest(strategy, data, fees="none", bar_stamp="close", bar_interval_s=60, cash=1_000)


def fills(done: Run) -> list[tuple[str, float, float]]:
    return list(done.fills[["side", "quantity", "price"]].itertuples(index=False, name=None))


CLOSES = [10.0, 10, 10, 13, 14, 9, 8, 8]
OPENS = [10.0, 10, 10, 11, 12.5, 13, 8.5, 8]
# averages of 2 and 3 from the third close on: 10/10, 11.5/11 (up), 13.5/12.33, 11.5/12 (down), 8.5/10.33, 8/8.33


def test_it_buys_at_the_open_after_the_cross_and_sells_all_at_the_open_after_the_cross_back() -> None:
    # half of 1000 at a close of 13 buys 38
    assert fills(run({"X": bars(OPENS, CLOSES)})) == [("BUY", 38.0, 12.5), ("SELL", 38.0, 8.5)]


def test_what_is_invested_is_split_over_the_symbols() -> None:
    done = run({"X": bars(OPENS, CLOSES), "Y": bars(OPENS, [10.0] * 8)})
    assert fills(done) == [("BUY", 19.0, 12.5), ("SELL", 19.0, 8.5)]


def test_averages_that_start_out_crossed_have_not_crossed() -> None:
    assert fills(run({"X": bars([1.0, 2, 3, 4, 5], [2.0, 3, 4, 5, 6])})) == []


def test_bars_are_made_of_trades_where_a_length_is_given() -> None:
    seconds = np.arange(8) * 60 + 30
    trades = {"ts": OPEN + seconds * 1_000_000_000, "price": np.array(CLOSES), "size": np.full(8, 10.0)}
    done = run({"X": trades}, bars="1m")
    assert fills(done) == [("BUY", 38.0, 14.0), ("SELL", 38.0, 8.0)]  # at the first trade after the bar


def test_a_fast_average_that_is_not_faster_is_refused() -> None:
    with pytest.raises(errors.ConfigError, match="fast=3 is not below slow=3"):
        run({"X": bars(OPENS, CLOSES)}, fast=3)


def minutes(folder: Path, *, split: float) -> Path:
    """Three sessions of ten climbing bars at prices as they traded; a split takes effect on the second day."""
    folder.mkdir()
    lines = ["ts,open,high,low,close,volume"]
    for day, date in enumerate(("2024-01-11", "2024-01-12", "2024-01-16")):
        begin = pd.Timestamp(f"{date} 09:30", tz="America/New_York")
        for k in range(10):
            close = (100 + 10 * day + k) / 10 / (split if day else 1.0)
            lines.append(f"{(begin + pd.Timedelta(minutes=k)).isoformat()}{4 * f',{close:.10g}'},1000")
    (folder / "X.csv").write_text("\n".join(lines) + "\n")
    if split != 1.0:
        (folder / "actions.csv").write_text(f"date,symbol,kind,value\n2024-01-12,X,split,{split:g}\n")
    return folder


@pytest.mark.parametrize("split", [2.0, 0.1])
@pytest.mark.parametrize("bars", [None, "2m", "1d"])
def test_a_split_crosses_no_averages(tmp_path: Path, split: float, bars: str | None) -> None:
    averages = {"fast": 1, "slow": 2} if bars == "1d" else {"fast": 2, "slow": 4}
    heard = []
    for name, ratio in (("whole", 1.0), ("split", split)):
        strategy = SmaCross(**averages, bars=bars)
        done = backtest(
            strategy, str(minutes(tmp_path / name, split=ratio)), fees="none", bar_stamp="open", cache=False
        )
        assert done.orders.empty, "prices only climb, so that the averages never cross"
        heard.append([close * (ratio if name == "split" else 1.0) for close in strategy.closes["X"]])
    assert heard[1] == pytest.approx(heard[0])


def test_what_is_held_through_a_split_is_not_sold_for_it(tmp_path: Path) -> None:
    folder = minutes(tmp_path / "split", split=2.0)
    lines = (folder / "X.csv").read_text().splitlines()
    lines[3:5] = [line.split(",")[0] + 4 * ",9" + ",1000" for line in lines[3:5]]  # a dip, then a cross upwards
    (folder / "X.csv").write_text("\n".join(lines) + "\n")
    done = backtest(SmaCross(fast=2, slow=4), str(folder), fees="none", bar_stamp="open", cache=False)
    bought = 8653  # at a close of 10.40, whose averages are 9.70 and 9.625; the bar before had 9 and 9.525
    assert fills(done) == [("BUY", bought, 10.5)]
    assert done.positions["quantity"].to_list() == [2 * bought]
