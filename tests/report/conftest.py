"""Runs whose reports are looked at: real backtests on small generated tapes."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backtests.run import backtest
from papertape import Strategy, moved
from papertape.calendar import session_times
from papertape.core.model import Note, Severity
from papertape.core.record import RunRecord
from strategies.sma_cross import SmaCross

HOSTILE = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>@{y}{safe}"


class Jumps(Strategy):
    """Buys jumps, sells drops, and records what it hears."""

    up: float = 0.002

    def on_start(self):
        self.subscribe(self.symbols, when=moved(up=self.up, down=self.up))

    def on_trade(self, trade):
        self.record("jump", trade.change * 1e4)
        position = self.position(trade.symbol)
        if trade.change > 0:
            self.buy(trade.symbol, 10)
        elif position.sellable:
            self.sell(trade.symbol, position.sellable)


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


@pytest.fixture(scope="session")
def short_record(tmp_path_factory) -> RunRecord:
    """Half a day of trades in two symbols."""
    random = np.random.default_rng(3)
    n = 20_000
    ts = ns("2026-01-05T14:30:00") + np.arange(n) * (12_000_000_000_000 // n)
    data = {}
    for name in ("AAA", "BBB"):
        moves = random.normal(0.0, 2e-5, n)
        moves[random.choice(n, 80, replace=False)] += 0.004 * random.choice([-1, 1], 80)
        data[name] = {"ts": ts, "price": 100.0 * np.exp(np.cumsum(moves)), "size": np.ones(n)}
    return backtest(Jumps(), data, out=tmp_path_factory.mktemp("runs"), slippage="1bp").record


def year_of_bars(names=("AAA", "BBB")) -> dict[str, dict[str, np.ndarray]]:
    """A year of half-hour bars, a change to and from daylight saving among them."""
    calendar = session_times("XNYS", ns("2024-01-02T12:00:00"), ns("2024-12-31T22:00:00"))
    pairs = [pair for pair in zip(calendar.open, calendar.close, strict=True) if pair[0] > ns("2024-01-01")]
    ts = np.concatenate([np.arange(a, b, 1_800_000_000_000) for a, b in pairs])
    random = np.random.default_rng(11)
    data = {}
    for name in names:
        close = 50.0 * np.exp(np.cumsum(random.normal(5e-5, 0.004, len(ts))))
        before = np.concatenate(([50.0], close[:-1]))
        data[name] = {
            "ts": ts,
            "open": before,
            "high": np.maximum(before, close) * 1.001,
            "low": np.minimum(before, close) * 0.999,
            "close": close,
            "volume": np.full(len(ts), 1_000.0),
        }
    return data


@pytest.fixture(scope="session")
def year_record(tmp_path_factory) -> RunRecord:
    """A year of half-hour bars with a loss limit that is not reached."""
    run = backtest(
        SmaCross(fast=10, slow=40),
        year_of_bars(),
        out=tmp_path_factory.mktemp("runs"),
        bar_stamp="open",
        guard={"max_drawdown": "60%"},
    )
    return run.record


@pytest.fixture(scope="session")
def hostile() -> str:
    """A name that is markup, script and a template of Bokeh's at once."""
    return HOSTILE


@pytest.fixture(scope="session")
def hostile_record(short_record) -> RunRecord:
    """A run in which every text that can come from outside is hostile."""
    record: RunRecord = copy.deepcopy(short_record)
    record.strategy = HOSTILE
    for columns in (record.fills, record.orders, record.trades, record.positions):
        columns["symbol"][columns["symbol"] == "AAA"] = HOSTILE
    record.prices[HOSTILE] = record.prices.pop("AAA")
    record.custom = {HOSTILE: record.custom["jump"]}
    record.currency = "<b>$</b>"
    record.positions["currency"][:] = record.currency
    record.notes = [Note("x", HOSTILE, Severity.WARNING)]
    record.log = [(record.start, HOSTILE)]
    record.settings = {**record.settings, "parameters": {HOSTILE: HOSTILE}, "benchmark": HOSTILE}
    return record


@pytest.fixture(scope="session")
def idle_record() -> RunRecord:
    """A run without an order."""
    n = 1_000
    ts = ns("2026-01-05T14:30:00") + np.arange(n) * 1_000_000_000
    data = {"AAA": {"ts": ts, "price": np.full(n, 10.0), "size": np.ones(n)}}
    return backtest(Jumps(), data).record
