"""A run that is found, watched and halted from another process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from papertape.core.errors import DataError, UserError
from papertape.live.control import (
    ANSWER_FILE,
    HALT_FILE,
    STATUS_FILE,
    Control,
    RunFolderLock,
    ask_to_halt,
    is_alive,
    read_life,
    seen_runs,
    wait_for_answers,
)
from papertape.live.status import DataLine, FillLine, LiveStatus, Log, LogKind, RunState, ScanLine, read_status
from papertape.shelf import LOCK_FILE

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 30.0

TRADES = """
import sys, threading, time
from pathlib import Path
from papertape.live.control import Control, RunFolderLock
from papertape.live.status import LiveStatus, RunState
folder = Path(sys.argv[1])
lock = RunFolderLock(folder)
control = Control(lock)
status = LiveStatus("r", "Stubborn", "paper", "DU1", "127.0.0.1:7497", 1, state=RunState.RUNNING, pid=lock.life.pid)
control.tell(status)
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # a callback that does not return
print("ready", flush=True)
while True:
    halt = control.poll()
    if halt is not None:
        control.answer(halt, "no more orders; cancelling 2", is_done=False)
        control.answer(halt, f"{halt.text()}; 2 orders cancelled", is_done=True)
        print("halted", flush=True)
    time.sleep(0.01)
"""
"""A process that lives as a run does: the thread that owns the connection polls, another one is stuck."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "runs" / "r1").mkdir(parents=True)
    return tmp_path / "runs" / "r1"


@pytest.fixture
def held(folder: Path):
    lock = RunFolderLock(folder)
    yield lock
    lock.release()


def status(**changes: object) -> LiveStatus:
    made = LiveStatus("r1", "Mine", "paper", "DU1", "127.0.0.1:7497", 5, state=RunState.RUNNING)
    return replace(made, **changes)  # type: ignore[arg-type]


def start(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", TRADES, str(folder)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_run_is_halted_from_another_process_while_a_callback_blocks(folder: Path) -> None:
    process = start(folder)
    try:
        (run,) = seen_runs(folder.parent)
        assert run.is_alive
        assert run.life is not None
        assert run.life.pid == process.pid
        assert run.status is not None
        assert run.status.strategy == "Stubborn"
        request = ask_to_halt(run, by="me", why="it is late")
        answer = wait_for_answers({folder: request}, WITHIN_S)[folder]
        assert answer.is_done
        assert answer.text == "halted by me: it is late; 2 orders cancelled"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_run_that_was_killed_is_seen_as_crashed_and_its_folder_can_be_used_again(folder: Path) -> None:
    process = start(folder)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (run,) = seen_runs(folder.parent)
    assert (run.is_alive, run.is_crashed) == (False, True)
    lock = RunFolderLock(folder)
    assert is_alive(folder)
    lock.release()


def test_two_processes_do_not_execute_one_run(held: RunFolderLock, folder: Path) -> None:
    with pytest.raises(UserError, match=f"is being executed by process {os.getpid()} on .*; halt that one first"):
        RunFolderLock(folder, timeout_s=0.05)


def test_a_start_waits_for_whoever_only_looks(folder: Path) -> None:
    first = RunFolderLock(folder)
    threading.Timer(0.1, first.release).start()
    second = RunFolderLock(folder, timeout_s=WITHIN_S)
    assert is_alive(folder)
    second.release()
    assert not is_alive(folder)


def test_a_run_that_ended_in_order_has_not_crashed(held: RunFolderLock, folder: Path) -> None:
    Control(held).tell(status(state=RunState.ENDED), is_last=True)
    held.release()
    (run,) = seen_runs(folder.parent)
    assert (run.is_alive, run.is_crashed, run.damage) == (False, False, "")


def test_a_halt_is_heard_once(held: RunFolderLock, folder: Path) -> None:
    control = Control(held)
    assert control.poll(0.0) is None
    ask_to_halt(seen_runs(folder.parent)[0], by="me", why="")
    halt = control.poll(1.0)
    assert halt is not None
    assert halt.text() == "halted by me"
    assert control.poll(2.0) is None
    ask_to_halt(seen_runs(folder.parent)[0], by="you", why="again")
    again = control.poll(3.0)
    assert again is not None
    assert again.by == "you"


def test_the_folder_is_looked_at_only_so_often(held: RunFolderLock, folder: Path) -> None:
    control = Control(held)
    assert control.poll(10.0) is None
    ask_to_halt(seen_runs(folder.parent)[0], by="me", why="")
    assert control.poll(10.05) is None
    assert control.poll(10.11) is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"{}", b'{"id": 7}', b"[" * 5_000])
def test_a_halt_that_makes_no_sense_halts(held: RunFolderLock, folder: Path, content: bytes) -> None:
    control = Control(held)
    (folder / HALT_FILE).write_bytes(content)
    halt = control.poll(1.0)
    assert halt is not None
    assert halt.by == "a file halt.json"


def test_a_halt_of_an_earlier_life_does_not_stop_the_next(folder: Path) -> None:
    first = RunFolderLock(folder)
    ask_to_halt(seen_runs(folder.parent)[0], by="me", why="")
    (folder / ANSWER_FILE).write_text("{}")
    first.release()
    second = RunFolderLock(folder)
    assert Control(second).poll(1.0) is None
    assert not (folder / ANSWER_FILE).exists()
    second.release()


def test_an_answer_to_another_request_is_none(held: RunFolderLock, folder: Path) -> None:
    control = Control(held)
    ask_to_halt(seen_runs(folder.parent)[0], by="me", why="")
    halt = control.poll(1.0)
    assert halt is not None
    control.answer(halt, "no more orders", is_done=True)
    assert wait_for_answers({folder: "other"}, 0.05) == {}
    assert wait_for_answers({folder: halt.id}, 0.05)[folder].text == "no more orders"


def test_an_answer_that_is_not_the_last_word_is_told_when_the_time_is_over(held: RunFolderLock, folder: Path) -> None:
    control = Control(held)
    request = ask_to_halt(seen_runs(folder.parent)[0], by="me", why="")
    halt = control.poll(1.0)
    assert halt is not None
    control.answer(halt, "cancelling", is_done=False)
    answer = wait_for_answers({folder: request}, 0.05)[folder]
    assert (answer.text, answer.is_done) == ("cancelling", False)


def test_the_status_is_written_once_a_second_and_at_the_end(held: RunFolderLock, folder: Path) -> None:
    control = Control(held)
    assert control.tell(status(events=1), 10.0)
    assert not control.tell(status(events=2), 10.9)
    assert control.tell(status(events=3), 11.0)
    found = read_status(folder / STATUS_FILE)
    assert found is not None
    assert found.events == 3
    assert control.tell(status(events=4), 11.1, is_last=True)
    assert [each.name for each in folder.iterdir() if each.name.startswith(".")] == [], "nothing half-written stays"


def test_a_status_comes_back_as_it_was(held: RunFolderLock, folder: Path) -> None:
    log = Log()
    log.add(7, LogKind.FILL, "bought 5 AAA")
    given = status(
        data=(DataLine("AAA", "live", "AllLast", 3),),
        fills=(FillLine(6, "AAA", "BUY", 5.0, 10.5),),
        scan=ScanLine(2, "MOST_ACTIVE", ("AAA", "BBB")),
        pnl=-1.5,
        state=RunState.RUNNING.value,
        log=log.tail(),
    )
    Control(held).tell(given)
    found = read_status(folder / STATUS_FILE)
    assert found is not None
    assert repr(found) == repr(given)  # NaN is unlike itself, its name is not
    assert found.net_liquidation != found.net_liquidation, "what is unknown is unknown, not 0"


def test_a_status_of_a_newer_version_is_read(folder: Path) -> None:
    content = {"run": "r1", "strategy": "S", "mode": "paper", "account": "DU1", "gateway": "h:1", "ts": 1, "mood": 3}
    (folder / STATUS_FILE).write_text(json.dumps(content))
    found = read_status(folder / STATUS_FILE)
    assert found is not None
    assert found.strategy == "S"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b'{"run": 1}', b"\xff", b'{"positions": 3}', b'"x"'])
def test_a_damaged_status_is_one_line_and_hides_no_run(held: RunFolderLock, folder: Path, content: bytes) -> None:
    (folder / STATUS_FILE).write_bytes(content)
    with pytest.raises(DataError, match=r"status\.json: is not the status of a run"):
        read_status(folder / STATUS_FILE)
    (run,) = seen_runs(folder.parent)
    assert run.is_alive
    assert "is not the status of a run" in run.damage


def test_a_disk_that_fails_is_counted_and_stops_nothing(held: RunFolderLock, folder: Path, tmp_path: Path) -> None:
    control = Control(held)
    folder.rename(tmp_path / "gone")
    assert not control.tell(status(), 1.0)
    assert control.poll(1.0) is None
    assert control.failures == 1


def test_a_damaged_lock_file_hides_who_lives_not_that_it_lives(held: RunFolderLock, folder: Path) -> None:
    (folder / LOCK_FILE).write_text("?")
    assert read_life(folder) is None
    assert is_alive(folder)


def test_the_heartbeat_survives_readers_that_look_all_the_time(held: RunFolderLock, folder: Path) -> None:
    control = Control(held)
    is_over = threading.Event()
    seen: list[int] = []

    def look() -> None:
        while not is_over.is_set():
            found = read_status(folder / STATUS_FILE)
            if found is not None:
                seen.append(found.events)

    reader = threading.Thread(target=look)
    reader.start()
    for k in range(200):
        control.tell(status(events=k), float(k), is_last=True)
        time.sleep(0.0005)
    is_over.set()
    reader.join()
    assert seen == sorted(seen)
    assert control.failures == 0
