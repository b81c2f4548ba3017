"""What ends a recording, slows it or is in its way: a kill, a full disk, another program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.ib.events import Event
from brokers.ib.registry import Registry
from feeds import record_file
from feeds.record_thread import RecordThread
from feeds.recorder import Recorder
from papertape.core.errors import DataError, UserError
from tests.feeds.recorded import (
    OPEN,
    WITHIN_S,
    as_heard,
    load,
    new_registry,
    played,
    record,
    same,
    size_of,
    trade,
    until,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def registry() -> Registry:
    return new_registry()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tape"


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
