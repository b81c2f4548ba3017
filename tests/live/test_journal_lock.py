"""Locks: an account and client id is traded by one process of a user, for as long as that process lives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from papertape.core.errors import ConfigError, UserError
from papertape.core.folders import state_folder
from papertape.live.lock import Holder, RunLock, held_locks
from tests.live.crashing import ROOT

HOLD = """
import sys, time
from pathlib import Path
from papertape.live.lock import RunLock

lock = RunLock(Path(sys.argv[1]), "DU123", 7, run="20260302-demo")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path):
    """Another process that holds the lock of DU123 with client id 7."""
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


def test_what_another_process_trades_is_refused_and_it_is_named(tmp_path: Path, other: subprocess.Popen) -> None:
    said = (
        rf"^account DU123 with client id 7 is traded by process {other.pid} since \d{{4}}-\d\d-\d\d [\d:.]+ UTC "
        r"\(run 20260302-demo\); stop it \(papertape halt 20260302-demo\), or take another --client-id$"
    )
    with pytest.raises(UserError, match=said):
        RunLock(tmp_path, "DU123", 7)
    with RunLock(tmp_path, "DU123", 8), RunLock(tmp_path, "DU1237", 7), RunLock(tmp_path, "DU12", 37):
        assert [(each.account, each.client_id) for each in held_locks(tmp_path)] == [
            ("DU12", 37), ("DU123", 7), ("DU123", 8), ("DU1237", 7),
        ]  # fmt: skip


def test_a_process_that_is_killed_holds_nothing(tmp_path: Path, other: subprocess.Popen) -> None:
    assert [each.pid for each in held_locks(tmp_path)] == [other.pid]
    other.kill()
    other.wait()
    assert held_locks(tmp_path) == []
    with RunLock(tmp_path, "DU123", 7) as lock:
        assert held_locks(tmp_path) == [lock.holder]
        assert lock.holder.pid == os.getpid()


def test_a_lock_is_held_once_in_a_process_too(tmp_path: Path) -> None:
    lock = RunLock(tmp_path, "DU123", 7)
    for _ in range(2):
        with pytest.raises(UserError, match=rf"traded by process {os.getpid()} since [^(]*; stop it, or take another"):
            RunLock(tmp_path, "DU123", 7)
    lock.release()
    lock.release()
    again = RunLock(tmp_path, "DU123", 7)
    refused = threading.Event()

    def take() -> None:
        with pytest.raises(UserError):
            RunLock(tmp_path, "DU123", 7)
        refused.set()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    assert refused.is_set()
    again.release()


def test_who_looks_at_the_locks_keeps_nobody_from_taking_one(tmp_path: Path) -> None:
    RunLock(tmp_path, "DU123", 7).release()
    stop = threading.Event()
    looking = threading.Thread(target=lambda: [held_locks(tmp_path) for _ in iter(stop.is_set, True)])
    looking.start()
    try:
        for _ in range(50):
            with RunLock(tmp_path, "DU123", 7) as lock:
                assert lock.holder.account == "DU123"
    finally:
        stop.set()
        looking.join()


def test_a_holder_that_is_not_known_is_another_process(tmp_path: Path) -> None:
    with RunLock(tmp_path, "DU123", 7) as lock:
        lock.path.write_text("{", encoding="utf-8")
        with pytest.raises(UserError, match=r"is traded by another process; stop it, or take another --client-id$"):
            RunLock(tmp_path, "DU123", 7)
        assert held_locks(tmp_path) == []
    with RunLock(tmp_path, "DU123", 7) as lock:
        assert held_locks(tmp_path) == [Holder("DU123", 7, os.getpid(), lock.holder.since)]
        assert abs(time.time_ns() - lock.holder.since) < 3_600 * 10**9


@pytest.mark.parametrize("account", ["../../up", "a/b", "U 1", "C:x", "Ü"])
def test_an_account_of_any_name_has_a_lock_of_its_own_in_the_folder(tmp_path: Path, account: str) -> None:
    with RunLock(tmp_path, account, 1) as lock:
        assert lock.path.parent == tmp_path / "locks"
        assert re.fullmatch(r"[A-Za-z0-9._%-]+", lock.path.name)
        assert [each.account for each in held_locks(tmp_path)] == [account]


def test_a_lock_is_one_file_whoever_held_it_before(tmp_path: Path) -> None:
    RunLock(tmp_path, "DU123", 7, run="a-run-of-a-long-name").release()
    with RunLock(tmp_path, "DU123", 7, run="short"):
        assert [each.run for each in held_locks(tmp_path)] == ["short"]
        assert [file.name for file in (tmp_path / "locks").iterdir()] == ["DU123-7.lock"]


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^cannot write to .*locks \(.*\), where .*; set PAPERTAPE_STATE to choose"):
        RunLock(tmp_path / "file", "DU123", 7)
    assert held_locks(tmp_path / "nowhere") == []


def test_the_state_folder_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERTAPE_STATE", str(tmp_path / "here"))
    assert state_folder() == tmp_path / "here"
    assert (tmp_path / "here").is_dir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("PAPERTAPE_STATE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"file, where running processes are known; set PAPERTAPE_STATE to choose$"):
        state_folder()


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="these have places of their own")
def test_the_state_folder_is_that_of_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAPERTAPE_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert state_folder() == tmp_path / "state" / "papertape"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert state_folder() == tmp_path / "home" / ".local" / "state" / "papertape"
