"""What is recorded of a live session plays back as it was heard, whatever ends the recording."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
    QuoteTick,
    TradeSource,
    TradeTick,
)
from brokers.ib.registry import Registry
from feeds import record_file
from feeds.load import DataOptions, load_tape
from feeds.playback import RecordedFeed
from feeds.record_thread import RecordThread
from feeds.recorder import Recorder
from feeds.reference import read_scans
from papertape.calendar import session_times
from papertape.core.errors import DataError, UserError
from papertape.core.model import NS_PER_S, EventKind, Instrument, Scan, ScanRow, ScanSpec
from papertape.core.requests import Reply, ScanRequest, SnapshotRequest
from papertape.core.series import Tape

ROOT = Path(__file__).resolve().parents[2]
OPEN = 1_717_421_400 * NS_PER_S  # 2024-06-03 09:30 in New York
DAY = 86_400 * NS_PER_S
MINUTE = 60 * NS_PER_S
NAN = math.nan
WITHIN_S = 30.0
SYMBOLS = ("AAA", "BBB", "BRK.B")


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    for symbol in SYMBOLS:
        made.add(Instrument(symbol))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tape"


def trade(instrument: int, at: int, price: float, size: float = 100.0) -> TradeTick:
    return TradeTick(instrument, at // NS_PER_S * NS_PER_S, at, price, size)


def quote(instrument: int, at: int, bid: float, ask: float) -> QuoteTick:
    return QuoteTick(instrument, at, bid, ask, 3.0 if bid == bid else NAN, 4.0 if ask == ask else NAN)


def bar(instrument: int, end: int, close: float, *, seconds: int = 60, is_history: bool = False) -> BarClosed:
    length = seconds * NS_PER_S
    return BarClosed(
        instrument, length, end - length, end, end + 1_500, close, close + 1.0, close - 1.0, close, 500.0, is_history
    )


def record(folder: Path, registry: Registry, events: Sequence[Event], **options: Any) -> Recorder:
    with Recorder(folder, registry, **options) as recorder:
        for event in events:
            recorder.take(event)
    return recorder


def load(folder: Path, **options: Any) -> Tape:
    return load_tape(folder, DataOptions(cache=False, **options))


def played(tape: Tape) -> list[tuple[Any, ...]]:
    """Everything on a tape as it is played: (kind, symbol, time, values)."""
    instruments = [Instrument(symbol) for symbol in sorted(tape.symbols)]
    end = max(int(series.ts[-1]) for series in tape.series)
    feed = RecordedFeed(tape, instruments, session_times("XNYS", OPEN, end), 0, end)
    for j in range(len(instruments)):
        feed.watch(j, 0)
    heard = []
    while (batch := feed.next()) is not None:
        n = len(batch)
        for k in range(n):
            kind = int(batch.kind[k if len(batch.kind) == n else 0])
            symbol = instruments[int(batch.instrument[k if len(batch.instrument) == n else 0])].symbol
            width = {EventKind.TRADE: 2, EventKind.QUOTE: 4}.get(EventKind(kind), 5)
            values = tuple(float(column[k]) for column in batch.columns[:width])
            heard.append((kind, symbol, int(batch.ts[k]), *values))
        feed.consumed(batch, n)
    return heard


def as_heard(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    """Trades and quotes in the order in which they came, as `played` tells them."""
    heard: list[tuple[Any, ...]] = []
    for each in events:
        if isinstance(each, TradeTick):
            heard.append((1, SYMBOLS[each.instrument], each.received_ts, each.price, each.size))
        elif isinstance(each, QuoteTick):
            sizes = (0.0 if math.isnan(size) else size for size in (each.bid_size, each.ask_size))
            heard.append((0, SYMBOLS[each.instrument], each.received_ts, each.bid, each.ask, *sizes))
    return heard


def same(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> bool:
    return repr(one) == repr(other)  # NaN is unlike itself, its name is not


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
    registry = Registry()
    for symbol in SYMBOLS:
        registry.add(Instrument(symbol))
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
    past: list[Event] = [
        bar(0, OPEN - days * DAY + k * MINUTE, 10.0, is_history=True)
        for days in (5, 4, 3)
        for k in range(1, 20)
    ]  # fmt: skip
    record(folder, registry, [*past, bar(0, OPEN + MINUTE, 11.0)])
    again = record(folder, registry, [*past, bar(0, OPEN + MINUTE, 11.0), bar(0, OPEN + 2 * MINUTE, 12.0)])
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


# -- crashes -------------------------------------------------------------------------------------------------------

CRASHING = """
import sys, time
from pathlib import Path
from brokers.ib.events import QuoteTick, TradeTick
from brokers.ib.registry import Registry
from feeds.recorder import Recorder
from feeds.record_thread import RecordThread
from papertape.core.model import Instrument
registry = Registry()
registry.add(Instrument("AAA"))
thread = RecordThread(Recorder(Path(sys.argv[1]), registry), flush_every_s=0.02)
at = 1_717_421_400_000_000_000
for k in range(10_000_000):
    thread.put([TradeTick(0, at, at + k, 100.0 + k % 7, 1.0), QuoteTick(0, at + k, 99.0, 101.0, 1.0, 1.0)])
    if k % 50 == 0:
        time.sleep(0.001)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_recording_loads_and_goes_on(folder: Path, registry: Registry) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CRASHING, str(folder)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        until(lambda: size_of(folder / "trades" / "2024-06-03.csv") > 100_000)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = played(load(folder, on_bad="skip"))
    assert len(before) > 1_000
    assert [each[2] for each in before if each[0] == 1] == [
        OPEN + k for k in range(sum(each[0] == 1 for each in before))
    ]
    last = max(each[2] for each in before)
    record(folder, registry, [trade(0, last + 5, 7.0)])
    assert same(played(load(folder)), [*before, (1, "AAA", last + 5, 7.0, 100.0)])


def test_wherever_a_file_is_cut_a_reader_says_so_and_a_recorder_mends_it(folder: Path, registry: Registry) -> None:
    events = [trade(0, OPEN, 10.25), trade(0, OPEN + 1, 11.5)]
    record(folder, registry, events)
    path = folder / "trades" / "2024-06-03.csv"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:cut])
        kept = sum(cut >= sum(map(len, lines[: k + 1])) for k in (1, 2))
        unfinished = whole[:cut].rpartition(b"\n")[2]
        if kept and unfinished.count(b",") == whole.splitlines()[0].count(b","):
            assert same(played(load(folder)), as_heard(events)), "all values were there"
        elif kept and unfinished:
            with pytest.raises(DataError, match="the last row is cut short"):
                load(folder)
            assert same(played(load(folder, on_bad="skip")), as_heard(events[:kept]))
        record(folder, registry, [trade(0, OPEN + 9, 12.0)])
        got = [each[2] - OPEN for each in played(load(folder))]
        assert got == [*range(kept), 9], f"cut at byte {cut}"


def test_a_partial_last_line_is_mended_however_long(folder: Path, registry: Registry) -> None:
    record(folder, registry, [trade(0, OPEN, 10.0)])
    path = folder / "trades" / "2024-06-03.csv"
    with path.open("ab") as file:
        file.write(b"9" * 200_000)
    record(folder, registry, [trade(0, OPEN + 1, 11.0)])
    assert len(played(load(folder))) == 2
    assert '"cut_bytes": 200000' in (folder / "recording.jsonl").read_text()


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


# -- the disk, the folder, the thread ------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing_that_fits_in_memory_and_counts_the_rest(
    folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(folder, registry)
    write = os.write
    is_full = True

    def limited(handle: int, data: Any) -> int:
        if is_full:
            raise OSError(28, "No space left on device")
        return write(handle, bytes(data[:1_000]))  # a slow disk takes a part at a time

    monkeypatch.setattr(os, "write", limited)
    monkeypatch.setattr(record_file, "PENDING_BYTES_MAX", 20_000)
    for k in range(1_000):
        recorder.take(trade(0, OPEN + k, 10.0))
    recorder.flush()
    faults = recorder.faults()
    assert faults["rows lost"] > 100
    assert faults["failed writes"] >= 1
    is_full = False
    recorder.close()
    assert len(played(load(folder))) == 1_000 - faults["rows lost"]
    assert '"rows lost": ' in (folder / "recording.jsonl").read_text()


@pytest.fixture
def open_recorder(folder: Path, registry: Registry) -> Iterator[Recorder]:
    with Recorder(folder, registry) as recorder:
        yield recorder


def test_two_do_not_record_to_one_folder(open_recorder: Recorder, registry: Registry) -> None:
    with pytest.raises(UserError, match="is being recorded to by another process; name another folder"):
        Recorder(open_recorder.folder, registry)


def test_a_folder_of_something_else_is_left_alone(folder: Path, registry: Registry, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / "mine.csv").write_text("ts,price,size\n1,2,3\n")
    with pytest.raises(DataError, match="holds CSV files that are no recording; name a new folder"):
        Recorder(folder, registry)
    assert not (folder / "tape.json").exists()
    (folder / "tape.json").write_text('{"bar_stamp": "close"}')
    with pytest.raises(DataError, match="is another kind of tape; name a new folder"):
        Recorder(folder, registry)
    with pytest.raises(DataError, match="cannot be written"):
        Recorder(folder / "mine.csv", registry)
    record(tmp_path / "other", registry, [trade(0, OPEN, 1.0)], synthetic=True)
    with pytest.raises(DataError, match="is another kind of tape"):
        Recorder(tmp_path / "other", registry)


def test_a_file_of_another_layout_is_not_appended_to(folder: Path, registry: Registry) -> None:
    record(folder, registry, [trade(0, OPEN, 1.0)])
    (folder / "trades" / "2024-06-03.csv").write_text("ts,symbol,price\n1,AAA,2\n")
    with Recorder(folder, registry) as recorder, pytest.raises(DataError, match="has other columns than a recording"):
        recorder.take(trade(0, OPEN, 1.0))


def test_the_thread_records_all_that_was_put(folder: Path, registry: Registry) -> None:
    events: list[Event] = [trade(0, OPEN + k, 10.0) for k in range(5_000)]
    thread = RecordThread(Recorder(folder, registry), flush_every_s=0.01)
    for k in range(0, 5_000, 50):
        thread.put(events[k : k + 50])
    assert thread.close() == []
    assert same(played(load(folder)), as_heard(events))


def test_what_is_recorded_is_in_the_files_soon(folder: Path, registry: Registry) -> None:
    thread = RecordThread(Recorder(folder, registry))
    thread.put([trade(0, OPEN, 10.0)])
    until(lambda: size_of(folder / "trades" / "2024-06-03.csv") > 0)
    assert len(played(load(folder))) == 1
    thread.close()


class SlowRecorder(Recorder):
    """A disk that takes one event and then nothing for a while."""

    may_go = threading.Event()

    def take(self, event: Event) -> None:
        self.may_go.wait(WITHIN_S)
        super().take(event)


def test_a_slow_disk_delays_nobody_and_what_it_loses_is_said(folder: Path, registry: Registry) -> None:
    recorder = SlowRecorder(folder, registry)
    thread = RecordThread(recorder, most=100, flush_every_s=0.01)
    thread.put([trade(0, OPEN + k, 10.0) for k in range(1_000)])
    assert thread.dropped >= 890
    (stuck, lost) = thread.close(0.05)
    assert "the disk did not take" in stuck
    assert lost == f"recording: {thread.dropped} events were not recorded"
    recorder.may_go.set()
    assert thread.close() == [lost]
    assert len(played(load(folder))) == 1_000 - thread.dropped


def test_an_error_ends_the_recording_and_is_said(folder: Path, registry: Registry) -> None:
    thread = RecordThread(Recorder(folder, registry), flush_every_s=0.01)
    (folder / "trades").write_text("in the way")
    thread.put([trade(0, OPEN, 10.0)])
    until(lambda: thread.failure != "")
    thread.put([trade(0, OPEN, 10.0)])
    failure, lost, *_ = thread.close()
    assert "cannot be written" in failure
    assert lost == "recording: 1 events were not recorded"
