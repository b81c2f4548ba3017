"""Top movers, on two sessions of bars that are worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from feeds.load import DataOptions, load_tape
from papertape import Instrument, Run, Scan, ScanRow, backtest, errors
from papertape.core.series import Tape
from strategies.top_movers import TopMovers

OPEN = 1_704_983_400_000_000_000  # 2024-01-11 09:30 in New York
MINUTE = 60 * 1_000_000_000
DAY = 24 * 60
BAR = ("open", "high", "low", "close", "volume")
OPTIONS: dict[str, Any] = {"bar_stamp": "close", "bar_interval_s": 60.0}


def bars(*rows: tuple[int, float, float]) -> dict[str, Any]:
    """One-minute bars: (minutes from the first open to the bar's start, open, close)."""
    start, o, c = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    values = dict(zip(BAR, (o, np.maximum(o, c), np.minimum(o, c), c, np.full(len(o), 20_000.0)), strict=True))
    return {"ts": (OPEN + (start + 1) * MINUTE).astype(np.int64), **values}


def two_days(prior_open: float, prior_close: float, opening: float, last: float, entry: float, leave: float) -> Any:
    """A prior session, and one that is scanned at 10:00 and left at 15:55."""
    return bars(
        (0, prior_open, prior_open), (389, prior_close, prior_close),
        (DAY, opening, opening), (DAY + 29, last, last), (DAY + 30, entry, entry), (DAY + 385, leave, leave),
    )  # fmt: skip


MARKET = {
    "DOLLARS": two_days(190, 200, 210, 231, 232, 240),  # +21, +10 %
    "PERCENT": two_days(9, 10, 11, 14, 14.5, 13),  # +3, +27 %; the top gainer
    "FADING": two_days(50, 50, 70, 65, 65, 65),  # far above the prior close, but below its own open
    "QUIET": two_days(30, 30, 30, 30.3, 30.3, 30.3),
}


def run(data: Any = MARKET, *, confirm: str = "if-affordable", cash: float = 100_000, **parameters: Any) -> Run:
    strategy = TopMovers(**{"market_cap_below_millions": None, **parameters})
    options: dict[str, Any] = {} if isinstance(data, Tape) else OPTIONS
    return backtest(strategy, data, fees="none", cash=cash, confirm=confirm, **options)


def fills(done: Run) -> list[tuple[str, str, float, float]]:
    return list(done.fills[["symbol", "side", "quantity", "price"]].itertuples(index=False, name=None))


def said(done: Run, words: str) -> list[str]:
    return [line for line in done.log["text"] if words in line]


def test_the_largest_rise_by_dollars_and_by_percent_are_bought_at_the_next_open_and_sold_at_the_exit_time() -> None:
    done = run()
    assert sorted(fills(done)) == [
        ("DOLLARS", "BUY", 100.0, 232.0),
        ("DOLLARS", "SELL", 100.0, 240.0),
        ("PERCENT", "BUY", 100.0, 14.5),
        ("PERCENT", "SELL", 100.0, 13.0),
    ]
    bought = done.orders[done.orders["side"] == "BUY"]
    assert bought["tif"].tolist() == ["GTC", "GTC"]
    assert bought["type"].tolist() == ["MARKET", "MARKET"]
    assert set(bought["ts"].dt.strftime("%F %T")) == {"2024-01-12 15:00:00"}  # 10:00 in New York
    assert done.record.final_equity == pytest.approx(100_000 + 100 * (240 - 232) + 100 * (13 - 14.5))


def test_the_table_of_prices_and_all_four_changes_are_in_the_log() -> None:
    done = run()
    ranks = said(done, "rank ")
    assert [line.split(": ")[1] for line in ranks] == ["PERCENT", "FADING", "DOLLARS", "QUIET"]
    assert ranks[0] == "rank 0: PERCENT: bid nan, ask nan, last 14.00"
    assert said(done, "DOLLARS: +") == [
        "DOLLARS: +41.00 or +21.58% since the open of the prior session: O 190.00 H 200.00 L 190.00 C 200.00",
        "DOLLARS: +21.00 or +10.00% since the open of today: O 210.00 H 231.00 L 210.00 C 231.00",
    ]
    assert said(done, "largest") == ["largest rise by dollars: DOLLARS", "largest rise by percent: PERCENT"]
    assert len(said(done, "open order:")) == 2


def test_one_metric_buys_one_symbol() -> None:
    assert {fill[0] for fill in fills(run(metric="dollars"))} == {"DOLLARS"}
    assert {fill[0] for fill in fills(run(metric="percent"))} == {"PERCENT"}


def test_only_the_first_rows_of_the_scan_are_compared() -> None:
    assert {fill[0] for fill in fills(run(top=2))} == {"PERCENT"}  # rank 2 is best by dollars


def test_a_symbol_that_is_best_by_both_is_bought_once_unless_told_twice() -> None:
    both = {"DOLLARS": MARKET["DOLLARS"]}
    assert fills(run(both, exit_at=None)) == [("DOLLARS", "BUY", 100.0, 232.0)]
    assert fills(run(both, exit_at=None, same_symbol="twice")) == [("DOLLARS", "BUY", 100.0, 232.0)] * 2


def test_nothing_is_bought_where_nothing_has_risen_since_the_open() -> None:
    done = run({"FADING": MARKET["FADING"]})
    assert fills(done) == []
    assert len(said(done, "nothing has risen since the open")) == 1


def test_nothing_is_bought_where_the_answer_is_no_or_the_cash_is_short() -> None:
    done = run(confirm="no")
    assert fills(done) == []
    assert said(done, "No.") == ["Buy 100 each of DOLLARS, PERCENT for about 24,500.00? No."]
    assert fills(run(cash=24_499)) == []  # 231 x 100 + 14 x 100 = 24,500
    assert len(fills(run(cash=25_000))) == 4
    assert len(fills(run(confirm="yes"))) == 4


def test_without_an_exit_time_the_positions_stay() -> None:
    done = run(exit_at="none")
    assert dict(zip(done.positions["symbol"], done.positions["quantity"], strict=True)) == {
        "DOLLARS": 100,
        "PERCENT": 100,
    }


def test_once_or_in_every_session() -> None:
    data = {name: _repeated(each) for name, each in MARKET.items()}
    days = run(data).fills["ts"].dt.strftime("%d").unique().tolist()
    assert days == ["12", "16"]  # a weekend and a holiday between
    assert run(data, daily=False).fills["ts"].empty  # its one scan comes on the first session, without a prior close


def _repeated(data: dict[str, Any]) -> dict[str, Any]:
    later = {**data, "ts": data["ts"] + 4 * DAY * MINUTE}
    second = data["ts"] > OPEN + DAY * MINUTE
    return {
        name: np.concatenate([data[name], later[name][second] if name == "ts" else data[name][second]]) for name in data
    }


def test_the_filter_on_market_capitalisation_names_the_column_that_is_missing() -> None:
    with pytest.raises(errors.ConfigError, match='market_cap_below_1e6 needs the column "market_cap"'):
        run(market_cap_below_millions=1_000)


def test_the_filter_on_market_capitalisation_is_in_millions() -> None:
    known = {"DOLLARS": Instrument("DOLLARS", market_cap=1.0e9), "PERCENT": Instrument("PERCENT", market_cap=0.99e9)}
    tape = load_tape(MARKET, DataOptions(**OPTIONS))
    tape = replace(tape, instruments=known, reference_columns=frozenset({"market_cap"}))
    assert {fill[0] for fill in fills(run(tape, market_cap_below_millions=1_000))} == {"PERCENT"}


def test_rows_without_prices_or_daily_bars_are_named_and_left_out() -> None:
    scanned = ("FRESH", "LATE", "DOLLARS")
    rows = tuple(ScanRow(rank, name) for rank, name in enumerate(scanned))
    at_ten = OPEN + (DAY + 30) * MINUTE
    data = {
        "DOLLARS": MARKET["DOLLARS"],
        "FRESH": bars((DAY, 10, 10), (DAY + 29, 90, 90), (DAY + 30, 90, 90)),  # no prior session
        "LATE": bars((DAY + 40, 10, 10), (DAY + 41, 11, 11)),  # no trade before the scan
    }
    tape = load_tape(data, DataOptions(**OPTIONS))
    tape = replace(tape, recorded_scans=(Scan("TOP_PERC_GAIN", at_ten - 1, rows, "recorded"),))
    strategy = TopMovers(market_cap_below_millions=None, exit_at=None)
    done = backtest(strategy, tape, fees="none", scans="recorded")
    assert fills(done) == [("DOLLARS", "BUY", 100.0, 232.0)]
    assert said(done, "left out") == [
        "rank 1: LATE: left out, no prices",
        "FRESH: left out, last price 90.00 and 1 of 2 daily bars",
    ]


def test_it_decides_on_nothing_that_comes_after_the_decision() -> None:
    changed = {name: dict(each) for name, each in MARKET.items()}
    for each in changed.values():
        after = each["ts"] > OPEN + (DAY + 30) * MINUTE
        for name in BAR[:4]:
            each[name] = np.where(after, each[name] * 3, each[name])
    log = [done.log["text"].tolist() for done in (run(), run(changed))]
    assert log[0] == log[1]


@pytest.mark.parametrize(
    ("name", "value"), [("metric", "euros"), ("same_symbol", "thrice"), ("quantity", 0), ("top", 51)]
)
def test_parameters_out_of_bounds_are_refused(name: str, value: object) -> None:
    with pytest.raises(errors.ConfigError, match=name):
        TopMovers(**{name: value})
