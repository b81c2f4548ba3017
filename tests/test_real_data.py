"""Both reference strategies on real tapes: every fill against the raw files, by an independent reading of them."""

from __future__ import annotations

import itertools
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feeds.lean import import_lean
from feeds.load import load_tape
from papertape import backtest
from strategies.tick_momentum import TickMomentum
from strategies.top_movers import TopMovers

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LEAN = DATA / "lean"
EQKER = DATA / "eqker"
ZONE = "America/New_York"
UP, DOWN = 0.002, 0.002

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real data is not beside the repository")
Event = tuple[int, bool, float, float]
"""Time (UTC ns), whether it is a trade, the price for a buyer and the price for a seller."""
Fill = tuple[int, str, float, float]
"""Time (UTC ns), side, quantity, price."""
SESSIONS = [
    (pd.Timestamp(f"2013-10-{day:02} 09:30", tz=ZONE).value, pd.Timestamp(f"2013-10-{day:02} 16:00", tz=ZONE).value)
    for day in range(7, 12)
]


def raw_trades(symbol: str) -> pd.DataFrame:
    """All prints of a symbol, read from the zips: milliseconds since midnight, price x 10,000, ..., suspicious."""
    days = []
    for path in sorted((LEAN / "equity/usa/tick" / symbol.lower()).glob("*_trade.zip")):
        with zipfile.ZipFile(path) as packed:
            names = ["ms", "price", "size", "exchange", "condition", "suspicious"]
            day = pd.read_csv(packed.open(packed.namelist()[0]), header=None, names=names)
        midnight = pd.Timestamp(path.name[:8], tz=ZONE).value
        days.append(day[day["suspicious"] == 0].assign(ts=midnight + day["ms"] * 1_000_000))
    return pd.concat(days)


def events(symbol: str, quotes: Path) -> list[Event]:
    """Prints and, where there are any, quotes in time order; a quote goes before a trade of the same time."""
    trades = raw_trades(symbol)
    price = (trades["price"] / 10_000).tolist()
    rows = list(zip(trades["ts"].tolist(), itertools.repeat(True), price, price, strict=False))
    if quotes.is_file():
        table = pd.read_csv(quotes)
        columns = (table[name].tolist() for name in ("ask", "bid"))
        rows += zip(table["ts"].tolist(), itertools.repeat(False), *columns, strict=False)
    return sorted(rows, key=lambda row: row[:2])


def expected_fills(rows: list[Event]) -> list[Fill]:
    """The rule, played event by event: orders of the day fill at the first later event of a regular session."""
    fills: list[Fill] = []
    working: list[tuple[int, int]] = []  # when it was given, quantity with its sign
    held = 0
    previous = np.nan
    sessions = iter([*SESSIONS, (2**63, 2**63)])
    opening, closing = next(sessions)
    for ts, is_trade, buy_at, sell_at in rows:
        while ts > closing:
            working = [each for each in working if each[0] > closing]  # the rest has expired
            opening, closing = next(sessions)
        for given, quantity in list(working) if ts >= opening else []:
            price = buy_at if quantity > 0 else sell_at
            if given < ts and np.isfinite(price):
                fills.append((ts, "BUY" if quantity > 0 else "SELL", float(abs(quantity)), price))
                held += quantity
                working.remove((given, quantity))
        if not is_trade:
            continue
        if buy_at > previous * (1 + UP):
            working.append((ts, 3 if held + sum(q for _, q in working) else 5))
        elif buy_at < previous * (1 - DOWN) and held + sum(q for _, q in working if q < 0) >= 5:
            working.append((ts, -5))
        previous = buy_at
    return fills


@needs_data
def test_every_fill_of_tick_momentum_on_five_days_of_three_stocks_is_the_next_event_after_its_decision(
    tmp_path: Path,
) -> None:
    import_lean(LEAN, tmp_path, symbols=["AIG", "BAC", "IBM"], resolutions=["tick"])
    tape = load_tape(tmp_path / "tick")
    run = backtest(TickMomentum(universe=["AIG", "BAC", "IBM"], up=UP, down=DOWN), tape)
    assert len(run.fills) > 200
    for symbol in ("AIG", "BAC", "IBM"):
        made = run.fills[run.fills["symbol"] == symbol]
        found = zip(made["ts"].astype("int64"), made["side"], made["quantity"], made["price"], strict=True)
        assert list(found) == expected_fills(events(symbol, tmp_path / "tick" / "quotes" / f"{symbol}.csv"))


def best_of_the_day(bars: dict[str, pd.DataFrame], day: str, before: str) -> set[str]:
    """Best by dollars and by percent at ten o'clock, from bars indexed by the time of their close."""
    rows = []
    for symbol, table in bars.items():
        today, prior = table.loc[f"{day} 09:31" : f"{day} 10:00"], table.loc[f"{before} 09:31" : f"{before} 16:00"]
        if len(today) and len(prior) and today["volume"].sum() > 10_000 and today["close"].iloc[-1] > 1:
            last, opening = today["close"].iloc[-1], today["open"].iloc[0]
            gain = last / prior["close"].iloc[-1] - 1
            rows.append((gain, today["volume"].sum(), symbol, last - opening, last / opening - 1, last))
    first = pd.DataFrame(
        sorted(rows, reverse=True)[:5], columns=["gain", "volume", "symbol", "dollars", "percent", "last"]
    )
    best = {str(first["symbol"].iloc[first[name].argmax()]) for name in ("dollars", "percent") if first[name].max() > 0}
    cost = 100 * first[first["symbol"].isin(best)]["last"].sum()
    return best if cost <= 100_000 else set()


@needs_data
def test_top_movers_on_minute_bars_buys_what_pandas_finds_best_at_the_next_open_and_sells_before_the_close() -> None:
    bars = {
        path.name.split("_")[0]: pd.read_csv(path, index_col="datetime", parse_dates=True).sort_index()
        for path in EQKER.glob("*_1min.csv")
    }
    strategy = TopMovers(market_cap_below_millions=None)
    run = backtest(strategy, f"{EQKER}/*_1min.csv", tz=ZONE, bar_stamp="close")
    found = list(run.fills[["symbol", "ts", "side", "quantity", "price"]].itertuples(index=False, name=None))
    expected: list[tuple[str, pd.Timestamp, str, float, float]] = []
    days = ["2019-02-11", "2019-02-12", "2019-02-13", "2019-02-14", "2019-02-15"]
    for before, day in itertools.pairwise(days):
        for symbol in sorted(best_of_the_day(bars, day, before)):
            for side, after in (("BUY", "10:00"), ("SELL", "15:55")):
                later = bars[symbol].loc[f"{day} {after}" :]
                later = later[later.index > pd.Timestamp(f"{day} {after}")]
                opened = (later.index[0] - pd.Timedelta(minutes=1)).tz_localize(ZONE).tz_convert("UTC")
                expected.append((symbol, opened, side, 100.0, float(later["open"].iloc[0])))
    assert len(expected) >= 6
    assert sorted(found) == sorted(expected)
