"""What is recorded of a live session plays back as it was heard."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.ib.events import (
    Answered,
    BarClosed,
    DataChanged,
    DataKind,
    Event,
    InstrumentKnown,
    LinkChanged,
    LinkState,
    PastBars,
    QuoteTick,
    TradeSource,
    TradeTick,
)
from brokers.ib.registry import Registry
from feeds.load import DataOptions, load_tape
from feeds.reference import read_scans
from papertape.core.model import NS_PER_S, EventKind, Instrument, Scan, ScanRow, ScanSpec
from papertape.core.requests import Reply, ScanRequest, SnapshotRequest
from tests.feeds.recorded import (
    DAY,
    MINUTE,
    NAN,
    OPEN,
    as_heard,
    bar,
    load,
    new_registry,
    played,
    quote,
    record,
    same,
    trade,
)


@pytest.fixture
def registry() -> Registry:
    return new_registry()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tape"


def test_what_was_recorded_plays_back_event_for_event(folder: Path, registry: Registry) -> None:
    events: list[Event] = []
    for k in range(500):
        at = OPEN + k * 137_000_001
        events.append(trade(k % 3, at, 100.0 + k / 7, 1.0 + k % 5))
        events.append(quote((k + 1) % 3, at + 5_000, 99.9 if k % 11 else NAN, 100.1 + k / 3))
    record(folder, registry, events)
    assert same(played(load(folder)), as_heard(events))


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["trade", "quote"]), st.integers(0, 2), st.sampled_from([0, 0, 0, 1, 7, NS_PER_S, DAY]),
            st.floats(0.0001, 1e6), st.sampled_from([1.0, 100.0, 0.5, NAN]),
        ),
        min_size=1, max_size=40,
    )
)  # fmt: skip
def test_any_order_of_arrival_is_kept(tmp_path_factory: pytest.TempPathFactory, drawn: list[Any]) -> None:
    registry = new_registry()
    at, events = OPEN, []
    for kind, instrument, pause, price, size in drawn:
        at += pause
        is_trade = kind == "trade"
        events.append(
            TradeTick(instrument, at, at, price, 1.0 if size != size else size)
            if is_trade
            else QuoteTick(instrument, at, price, price * 1.01, size, 2.0)
        )
    folder = tmp_path_factory.mktemp("any") / "tape"
    record(folder, registry, events)
    got, wanted = played(load(folder)), as_heard(events)
    assert same([(*each[:2], *each[3:]) for each in got], [(*each[:2], *each[3:]) for each in wanted])
    shifts = [a[2] - b[2] for a, b in zip(got, wanted, strict=True)]
    assert all(0 <= shift < len(events) for shift in shifts), "times are kept but for 1 ns where order needs it"


def test_two_equal_prints_are_two(folder: Path, registry: Registry) -> None:
    record(folder, registry, [trade(0, OPEN, 10.0)] * 3 + [quote(0, OPEN + 5, 9.0, 11.0)] * 2)
    assert len(played(load(folder))) == 5


def test_times_of_whole_seconds_have_not_gone_back(folder: Path, registry: Registry) -> None:
    events = [each for k in range(20) for each in (trade(0, OPEN, 10.0 + k), quote(0, OPEN, 9.0, 11.0 + k))]
    recorder = record(folder, registry, events)
    assert recorder.faults() == {}
    got, wanted = played(load(folder)), as_heard(events)
    assert same([(each[0], *each[3:]) for each in got], [(each[0], *each[3:]) for each in wanted])


def test_a_clock_that_goes_back_is_held_and_counted(folder: Path, registry: Registry) -> None:
    recorder = record(folder, registry, [trade(0, OPEN + 10, 10.0), trade(1, OPEN, 11.0), trade(0, OPEN + 20, 12.0)])
    assert [each[2] - OPEN for each in played(load(folder))] == [10, 10, 20]
    assert recorder.faults() == {"times that went back": 1}


def test_each_exchange_day_has_files_of_its_own(folder: Path, registry: Registry) -> None:
    midnight = 1_717_473_600 * NS_PER_S  # 2024-06-04 00:00 in New York
    events: list[Event] = [trade(0, midnight - 1, 10.0), trade(1, midnight, 11.0), quote(0, midnight + DAY, 9.0, 11.0)]
    record(folder, registry, events)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.csv"))
    assert names == [
        "instruments.csv", "quotes/2024-06-05.csv", "trades/2024-06-03.csv", "trades/2024-06-04.csv",
    ]  # fmt: skip
    assert same(played(load(folder)), as_heard(events))


def test_exchange_times_and_sources_are_kept_beside_the_times_of_receipt(folder: Path, registry: Registry) -> None:
    changed = DataChanged(0, DataKind.DELAYED, TradeSource.RT_VOLUME, "delayed by 15 minutes")
    record(
        folder, registry,
        [trade(1, OPEN + 5, 10.0), changed, TradeTick(0, OPEN - 900 * NS_PER_S, OPEN + 7, 10.5, 3.0)],
        clock=lambda: 77, origin="127.0.0.1:7497",
    )  # fmt: skip
    lines = (folder / "trades" / "2024-06-03.csv").read_text().splitlines()
    assert lines == [
        "ts,symbol,price,size,exchange_ts,source,seq",
        f"{OPEN + 5},BBB,10,100,{OPEN},,0",
        f"{OPEN + 7},AAA,10.5,3,{OPEN - 900 * NS_PER_S},RTVolume/delayed,1",
    ]
    log = [json.loads(line) for line in (folder / "recording.jsonl").read_text().splitlines()]
    assert log == [
        {"ts": 77, "what": "started", "origin": "127.0.0.1:7497"},
        {"ts": 77, "what": "data", "symbol": "AAA", "kind": "delayed", "source": "RTVolume",
         "text": "delayed by 15 minutes"},
        {"ts": 77, "what": "ended", "trades": 2},
    ]  # fmt: skip


def test_bars_are_of_the_time_at_which_they_were_over(folder: Path, registry: Registry) -> None:
    events = [bar(0, OPEN + k * MINUTE, 10.0 + k) for k in (1, 2, 3)] + [bar(1, OPEN + MINUTE, 20.0)]
    record(folder, registry, events)
    tape = load(folder)
    (series,) = [each for each in tape.series if each.symbol == "AAA"]
    assert series.kind is EventKind.BAR
    assert series.ts.tolist() == [OPEN + k * MINUTE for k in (1, 2, 3)]
    assert series.start is not None
    assert series.start.tolist() == [OPEN + k * MINUTE for k in (0, 1, 2)]
    assert [column.tolist() for column in series.columns] == [
        [11.0, 12.0, 13.0], [12.0, 13.0, 14.0], [10.0, 11.0, 12.0], [11.0, 12.0, 13.0], [500.0] * 3,
    ]  # fmt: skip


def test_warm_up_bars_of_many_days_lie_in_their_days_and_are_not_written_twice(
    folder: Path, registry: Registry
) -> None:
    bars = (bar(0, OPEN - days * DAY + k * MINUTE, 10.0, is_history=True) for days in (5, 4, 3) for k in range(1, 20))
    past = PastBars(MINUTE, tuple(bars))
    record(folder, registry, [past, bar(0, OPEN + MINUTE, 11.0)])
    again = record(folder, registry, [past, bar(0, OPEN + MINUTE, 11.0), bar(0, OPEN + 2 * MINUTE, 12.0)])
    assert (again.counts["bars"], again.faults()) == (1, {"bars known already": 58})
    (series,) = load(folder).series
    assert len(series) == 59


def test_more_days_than_may_be_open_are_recorded(folder: Path, registry: Registry) -> None:
    days = [bar(0, OPEN - d * 7 * DAY + k * MINUTE, 10.0) for k in (1, 2) for d in range(60, 0, -1)]
    recorder = record(folder, registry, days)
    assert recorder.counts["bars"] == 120
    assert len(load(folder).series[0]) == 120


def test_bars_of_another_interval_are_there_when_they_are_named(folder: Path, registry: Registry) -> None:
    minutes = [bar(0, OPEN + k * MINUTE, 10.0) for k in range(1, 11)]
    fives = [bar(0, OPEN + k * 5 * MINUTE, 20.0, seconds=300) for k in (1, 2)]
    record(folder, registry, [*minutes, *fives])
    assert len(load(folder).series[0]) == 10
    (series,) = load_tape(folder / "bars" / "2024-06-03_300s.txt", DataOptions(cache=False)).series
    assert (series.symbol, len(series)) == ("AAA", 2)
    record(folder, registry, [bar(0, OPEN + 15 * MINUTE, 20.0, seconds=300)])
    assert len(load(folder).series[0]) == 10, "what is the folder's interval stays so"


def test_what_a_reader_would_refuse_is_not_written_and_counted(folder: Path, registry: Registry) -> None:
    bad: list[Event] = [
        trade(0, OPEN, NAN), trade(0, OPEN, math.inf), quote(0, OPEN, NAN, NAN), bar(0, OPEN + MINUTE, NAN),
        BarClosed(0, NS_PER_S // 2, OPEN, OPEN + 1, OPEN + 1, 1.0, 1.0, 1.0, 1.0, 1.0),
    ]  # fmt: skip
    recorder = record(folder, registry, [*bad, trade(0, OPEN + 1, 10.0)])
    assert recorder.faults() == {"unusable": 5}
    assert len(played(load(folder))) == 1


def test_instruments_are_as_the_broker_defines_them(folder: Path, registry: Registry) -> None:
    known = InstrumentKnown(0, 265598, 0.005, 1.0, "USD", "SMART", "NASDAQ")
    refused = InstrumentKnown(1, 0, 0.0, 0.0, "", "", "", failure="no such contract")
    record(folder, registry, [known, refused, trade(0, OPEN, 10.0), trade(1, OPEN, 11.0)])
    tape = load(folder)
    assert tape.instruments["AAA"] == Instrument("AAA", con_id=265598, tick_size=0.005)
    assert tape.instruments["BBB"] == Instrument("BBB")
    fresh = Registry()
    fresh.add(Instrument("ZZZ"))
    record(folder, fresh, [TradeTick(0, OPEN, OPEN + 9, 5.0, 1.0)])
    assert sorted(load(folder).instruments) == ["AAA", "BBB", "ZZZ"], "those of earlier recordings stay"


def scanned(ts: int, *symbols: str, code: str = "MOST_ACTIVE") -> Answered:
    rows = tuple(ScanRow(k, symbol, 100 + k, "SMART") for k, symbol in enumerate(symbols))
    scan = Scan(code, ts, rows, "broker", "" if rows else "the recorded scan had no results")
    return Answered(Reply(ScanRequest(ScanSpec(code), 5), {}, value=scan))


def test_scans_play_back_as_they_were_received(folder: Path, registry: Registry) -> None:
    first: list[Event] = [
        scanned(OPEN, "BBB", "AAA"),
        scanned(OPEN + 5, code="TOP_PERC_GAIN"),
        Answered(Reply(SnapshotRequest(()), {})),
    ]
    record(folder, registry, first)
    record(folder, registry, [scanned(OPEN + 9, "AAA")])
    scans = read_scans(folder / "scans.csv")
    assert [(scan.code, scan.ts, scan.symbols) for scan in scans] == [
        ("MOST_ACTIVE", OPEN, ["BBB", "AAA"]), ("TOP_PERC_GAIN", OPEN + 5, []), ("MOST_ACTIVE", OPEN + 9, ["AAA"]),
    ]  # fmt: skip
    assert scans[0].rows[0] == ScanRow(0, "BBB", 100, "SMART", "USD")


def test_a_recording_goes_on_where_it_ended(folder: Path, registry: Registry) -> None:
    first: list[Event] = [trade(0, OPEN, 10.0), quote(0, OPEN + 10, 9.0, 11.0)]
    then: list[Event] = [trade(0, OPEN + 20, 12.0), quote(1, OPEN + 30, 9.0, 11.0)]
    record(folder, registry, first)
    record(folder, registry, then)
    assert same(played(load(folder)), as_heard([*first, *then]))


def test_links_and_ends_are_in_its_log(folder: Path, registry: Registry) -> None:
    record(folder, registry, [LinkChanged(LinkState.LOST, "1100")], clock=lambda: 5)
    assert '"what": "link", "state": "lost"' in (folder / "recording.jsonl").read_text()
