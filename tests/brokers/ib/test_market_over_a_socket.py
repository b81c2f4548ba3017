"""Market data and queries against the simulated gateway, over a real socket with the real client, in lockstep.

What comes is compared with the tape, as a backtest reads it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from brokers.ib.commands import AskTime
from brokers.ib.events import Answered, BarClosed, DataChanged, PastBars, QuoteTick, TradeSource, TradeTick
from brokers.ib.gateway import IbGateway
from brokers.ib.intervals import MINUTE_NS
from brokers.ib.records import CurrentTime
from feeds.point_in_time import PointInTime
from feeds.resample import resample
from gateway.settings import DataPermission, GatewaySettings, Limits
from papertape.core import scanner
from papertape.core.model import NS_PER_MS, NS_PER_S, Bar, EventKind, Instrument, Scan
from papertape.core.requests import HistoryRequest, Reply, Request, ScanRequest, Snapshot, SnapshotRequest, duration
from papertape.core.series import Series, Tape
from papertape.testing import start_gateway
from tests.brokers.ib.asked import Asked, calendar
from tests.gateway.june import at, quotes, trades

pytest.importorskip("ibapi")

SYMBOLS = ("AAA", "BBB", "CCC")
BEGIN, END = at(4, "9:30:00"), at(4, "9:34:00")
QUIET = at(4, "9:33:05")
"""In the middle of ten seconds without events."""
EASY = Limits(messages_per_s=1_000_000)


def times(rng: np.random.Generator, n: int) -> list[int]:
    """Times in whole milliseconds of four minutes of today, none of them near QUIET."""
    ms = np.unique(rng.integers(0, 240_000, n))
    return [BEGIN + int(each) * NS_PER_MS for each in ms if not 180_000 <= each < 190_000]


def make_tape() -> Tape:
    rng = np.random.default_rng(5)
    series: list[Series] = []
    for k, symbol in enumerate(SYMBOLS):
        yesterday = [(at(3, "9:30:10"), 20.0 + k, 100.0), (at(3, "15:00:00"), 21.0, 200.0)]
        today = [
            (ts, 20.0 + round(float(rng.normal(0, 0.2)), 2), 100.0 * int(rng.integers(1, 9))) for ts in times(rng, 60)
        ]
        series.append(trades(symbol, [*yesterday, *today]))
        bid = 19.0
        rows = []
        for ts in times(rng, 40):
            bid = round(bid + 0.01 * int(rng.integers(-3, 4)), 2)
            rows.append(
                (ts, bid, round(bid + 0.02, 2), float(rng.integers(1, 4) * 100), float(rng.integers(1, 4) * 100))
            )
        series.append(quotes(symbol, rows))
    return Tape(tuple(series), {symbol: Instrument(symbol) for symbol in SYMBOLS})


TAPE = make_tape()
VIEW = PointInTime(TAPE, [TAPE.instruments[symbol] for symbol in SYMBOLS], calendar())


class Played(Asked):
    """The adapter's market data and queries over the real client, in lockstep with a simulated gateway."""

    def __init__(self, at_each: Callable[[Played], None], *, until: int = END, **settings: Any) -> None:
        gateway_settings = settings.pop("gateway", GatewaySettings(limits=EASY))
        scenario = settings.pop("scenario", None)
        super().__init__(*SYMBOLS, version=0, in_lockstep=True, **settings)
        simulated = start_gateway(
            TAPE,
            lockstep=[1],
            start="2024-06-04T09:29:58",
            end="2024-06-04T09:34:10",
            settings=gateway_settings,
            scenario=scenario,
        )
        self._is_done = False
        with simulated:
            self.gateway = IbGateway()
            self.gateway.connect(simulated.host, simulated.port, 1, 20.0)
            try:
                self._play(at_each, until)
            finally:
                self.gateway.close()

    def is_time(self, ts: int) -> bool:
        """Whether it is so late, for the first time."""
        is_first = self.now == ts and not self._is_done
        self._is_done = self._is_done or is_first
        return is_first

    def _play(self, at_each: Callable[[Played], None], until: int) -> None:
        is_first = True
        for _ in range(20_000):
            records: list[Any] = []
            while not any(isinstance(record, CurrentTime) for record in records):
                records += self.gateway.poll(5.0)
            self.now = max(self.now if not is_first else 0, records[-1].ts_s * NS_PER_S)
            self.tell(*records)
            if is_first or any(getattr(record, "code", 0) == 1101 for record in records):
                is_first = False
                self.market.resubscribe(self.now)
            self.settle()
            at_each(self)
            for command in self.commands():
                self.gateway.send(command)
            if self.now >= until:
                return
            self.gateway.send(AskTime())
        raise AssertionError("the tape has an end")


def watching_all(played: Played) -> None:
    if not played.market.describe():
        for j in range(len(SYMBOLS)):
            played.market.watch(j, played.now)


def series_of(symbol: str, kind: EventKind) -> Series:
    return next(each for each in TAPE.series if each.symbol == symbol and each.kind is kind)


def traded(symbol: str, unit_ns: int) -> list[tuple[int, float, float]]:
    """Today's trades of the tape, their times cut to a unit."""
    found = series_of(symbol, EventKind.TRADE)
    rows = zip(found.ts.tolist(), found.columns[0].tolist(), found.columns[1].tolist(), strict=True)
    return [(ts // unit_ns * unit_ns, price, size) for ts, price, size in rows if BEGIN <= ts < END]


@pytest.mark.parametrize(
    ("tick_by_tick", "source", "unit_ns", "version"),
    [
        (0, TradeSource.RT_VOLUME, NS_PER_MS, 200),
        (3, TradeSource.ALL_LAST, NS_PER_S, 200),
        (0, TradeSource.RT_VOLUME, NS_PER_MS, 157),
        (3, TradeSource.ALL_LAST, NS_PER_S, 157),
    ],
)
def test_every_trade_and_quote_of_the_tape_comes_once_from_either_source(
    tick_by_tick: int, source: TradeSource, unit_ns: int, version: int
) -> None:
    settings = GatewaySettings(limits=EASY, server_version=version)
    played = Played(watching_all, tick_by_tick=tick_by_tick, gateway=settings)
    assert {found[1] for found in played.market.describe().values()} == {source}
    for j, symbol in enumerate(SYMBOLS):
        told = [event for event in played.events if isinstance(event, TradeTick) and event.instrument == j]
        assert [(each.exchange_ts, each.price, each.size) for each in told] == traded(symbol, unit_ns)
        quoted = [event for event in played.events if isinstance(event, QuoteTick) and event.instrument == j]
        series = series_of(symbol, EventKind.QUOTE)
        rows = list(zip(*(column.tolist() for column in series.columns), strict=True))
        changes = [row for k, row in enumerate(rows) if k == 0 or row != rows[k - 1]]
        assert [(each.bid, each.ask, each.bid_size, each.ask_size) for each in quoted] == changes


OUTAGE = """
[[fault]]
kind = "connectivity"
at = "09:31:00"
for = "20s"
data_lost = true
"""


@pytest.mark.parametrize("tick_by_tick", [0, 3])
def test_after_an_outage_that_lost_subscriptions_every_trade_comes_again_and_none_twice(tick_by_tick: int) -> None:
    played = Played(watching_all, tick_by_tick=tick_by_tick, scenario=OUTAGE)
    down, up = at(4, "9:31:00"), at(4, "9:31:21")
    for j, symbol in enumerate(SYMBOLS):
        told = [event for event in played.events if isinstance(event, TradeTick) and event.instrument == j]
        rows = [(each.exchange_ts, each.price) for each in told]
        expected = [(ts, price) for ts, price, _ in traded(symbol, NS_PER_S if tick_by_tick else NS_PER_MS)]
        assert [row for row in rows if row[0] < down] == [row for row in expected if row[0] < down]
        assert [row for row in rows if row[0] >= up] == [row for row in expected if row[0] >= up]
        assert not [row for row in rows if row not in expected]
        assert played.market.is_fresh(j, played.now, 60 * NS_PER_S)


def test_refused_tick_by_tick_lines_fall_back_and_every_trade_still_comes() -> None:
    limits = dataclasses.replace(EASY, tick_by_tick=1)
    played = Played(watching_all, tick_by_tick=3, gateway=GatewaySettings(limits=limits))
    assert [found[1] for found in played.market.describe().values()] == [
        TradeSource.ALL_LAST, TradeSource.RT_VOLUME, TradeSource.RT_VOLUME,
    ]  # fmt: skip
    changed = [event for event in played.events if isinstance(event, DataChanged) and event.instrument == 2]
    assert "10190" in changed[-1].text
    for j, symbol in enumerate(SYMBOLS):
        told = [event.price for event in played.events if isinstance(event, TradeTick) and event.instrument == j]
        assert told == [price for _, price, _ in traded(symbol, 1)]


def test_without_permission_paper_gets_delayed_data_that_say_so_and_live_gets_none() -> None:
    settings = GatewaySettings(limits=EASY, permission=DataPermission.DELAYED)
    until = BEGIN + 20 * NS_PER_S
    paper = Played(watching_all, delayed_allowed=True, gateway=settings, until=until)
    assert {found[0].value for found in paper.market.describe().values()} == {"delayed"}
    live = Played(watching_all, gateway=settings, until=until)
    assert {found[0].value for found in live.market.describe().values()} == {"none"}
    assert not any(isinstance(event, TradeTick | QuoteTick) for event in (*live.events, *paper.events))


def test_bars_are_those_of_the_tape_past_ones_first_and_each_interval_once() -> None:
    def follow(played: Played) -> None:
        if played.is_time(at(4, "9:32:00")):
            for j in range(len(SYMBOLS)):
                played.market.watch_bars(j, MINUTE_NS, 3, played.now)

    played = Played(follow)
    [past] = [event for event in played.events if isinstance(event, PastBars)]
    live = [event for event in played.events if isinstance(event, BarClosed)]
    assert past.failures == ()
    assert {each.ts for each in past.bars} >= {at(4, "9:31:00"), at(4, "9:32:00")}
    assert [each.ts for each in live] == [at(4, "9:33:00")] * 3 + [at(4, "9:34:00")] * 3
    for j, symbol in enumerate(SYMBOLS):
        made = resample(series_of(symbol, EventKind.TRADE), MINUTE_NS, calendar())
        assert made.start is not None
        of_tape = list(zip(made.start.tolist(), made.ts.tolist(), *(c.tolist() for c in made.columns), strict=True))
        told = [each for each in (*past.bars, *live) if each.instrument == j]
        rows = [(e.start, e.ts, e.open, e.high, e.low, e.close, e.volume) for e in told]
        over = [row for row in of_tape if row[1] <= END]
        assert rows == over[-len(rows) :]
        assert len(rows) == 5


def answer(request: Request, version: int = 200) -> Reply:
    """The reply of TWS at QUIET."""

    def ask(played: Played) -> None:
        if played.is_time(QUIET):
            played.queries.put(request, played.now)

    settings = GatewaySettings(limits=EASY, server_version=version)
    played = Played(ask, until=QUIET + 2 * NS_PER_S, gateway=settings)
    [found] = [event.reply for event in played.events if isinstance(event, Answered)]
    assert found.request is request
    return found


@pytest.mark.parametrize("version", [157, 200])
def test_snapshots_are_those_of_a_backtest(version: int) -> None:
    found = answer(SnapshotRequest(SYMBOLS), version)
    expected = {each.symbol: each for each in VIEW.snapshots(range(3), QUIET) if each is not None}
    assert found.missing == ()

    def told(each: Snapshot) -> Snapshot:
        return msgspec.structs.replace(each, ts=0)  # TWS tells the last trade's, in seconds

    assert {name: told(each) for name, each in found.items()} == {name: told(each) for name, each in expected.items()}
    last = {name: [ts for ts, _, _ in traded(name, NS_PER_S) if ts < QUIET][-1] for name in SYMBOLS}
    assert {name: each.ts for name, each in found.items()} == last


@pytest.mark.parametrize(
    ("length", "bar", "version"),
    [("2 D", "1 day", 200), ("2 D", "1 day", 157), ("3 m", "1 m", 200), ("1 D", "5 m", 200)],
)
def test_histories_are_those_of_a_backtest(length: str, bar: str, version: int) -> None:
    request = HistoryRequest(SYMBOLS, duration(length), duration(bar))
    found = answer(request, version)
    expected: dict[str, list[Bar]] = {
        name: VIEW.history(j, request.duration, request.bar, QUIET) for j, name in enumerate(SYMBOLS)
    }
    assert dict(found.items()) == expected


def test_scans_are_those_of_a_backtest() -> None:
    found = answer(ScanRequest(scanner.MOST_ACTIVE.where(price_above=1), 2))
    scan: Scan = found.value
    snapshots = [each for each in VIEW.snapshots(range(3), QUIET) if each is not None]
    ranked = sorted(snapshots, key=lambda each: (-each.volume, each.symbol))
    assert scan.symbols == [each.symbol for each in ranked[:2]]
    assert all(row.con_id > 0 and row.exchange == "SMART" and row.currency == "USD" for row in scan.rows)
