"""The journal on disk: what is added comes back the same, is durable when it should be, and what is wrong is said."""

from __future__ import annotations

import math
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.core.errors import DataError, JournalError, UserError
from papertape.live import journal as subject
from papertape.live.journal import (
    APPLICATION_ID,
    FILE_NAME,
    GROUP_S,
    NOTED_MAX,
    SCHEMA_VERSION,
    Entry,
    Journal,
    read_journal,
)
from tests.live.crashing import ROOT, run, run_and_kill
from tests.live.journal_writer import HEADER, expected

TS = 1_772_461_800_123_456_789  # 2026-03-02 14:30 UTC


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.create(path, HEADER) as journal:
        yield journal


def durable(path: Path) -> list[bytes]:
    """Bodies of the entries that another process sees."""
    return [entry.body for entry in read_journal(path)[1]]


# --- what is added ------------------------------------------------------------------------------------------------


def test_what_is_added_comes_back_the_same_and_in_order(path: Path) -> None:
    with Journal.create(path, HEADER) as journal:
        assert journal.note(TS, "status", b'{"a":1}') == 1
        assert journal.commit(TS - 5, "intent", b"\xff\xfe\x00") == 2
        assert journal.note(TS + 1, "fill", b"") == 3
    found = [
        Entry(1, TS, "status", b'{"a":1}'),
        Entry(2, TS - 5, "intent", b"\xff\xfe\x00"),
        Entry(3, TS + 1, "fill", b""),
    ]
    assert read_journal(path) == (HEADER, found)
    assert read_journal(path.parent) == (HEADER, found)
    with Journal.open(path) as journal:
        assert journal.header == HEADER
        assert list(journal.entries()) == found
        assert list(journal.entries(after=2)) == found[2:]
        assert list(journal.entries(after=3)) == []
        assert journal.commit(TS, "intent", b"x") == 4
        assert list(journal.entries(after=3)) == [Entry(4, TS, "intent", b"x")]


@settings(max_examples=settings().max_examples // 3)
@given(
    added=st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.text(st.characters(codec="utf-8"), min_size=1),
            st.binary() | st.text(st.characters(codec="utf-8")).map(str.encode),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_any_bytes_come_back_the_same(tmp_path_factory: pytest.TempPathFactory, added: list) -> None:
    folder = tmp_path_factory.mktemp("any")
    with Journal.create(folder / FILE_NAME, {}) as journal:
        for ts, kind, body, at_once in added:
            (journal.commit if at_once else journal.note)(ts, kind, body)
    wanted = [Entry(seq, ts, kind, body) for seq, (ts, kind, body, _) in enumerate(added, 1)]
    assert read_journal(folder) == ({}, wanted)
    shutil.rmtree(folder)


def test_more_entries_than_a_page_of_them_are_read_once_each(path: Path, journal: Journal) -> None:
    for seq in range(1, 2_502):
        journal.note(seq, "status", b"%d" % seq)
    journal.flush()
    reading = journal.entries(after=1)
    first = next(reading)
    journal.commit(0, "intent", b"added meanwhile")
    assert [first.seq, *(entry.seq for entry in reading)] == list(range(2, 2_502))


def test_any_sqlite_tool_reads_text_and_iso_times(path: Path, journal: Journal) -> None:
    journal.note(TS, "status", '{"text":"Käufer"}'.encode())
    journal.commit(TS + NOTED_MAX, "raw", b"\xff")
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        assert database.execute("SELECT * FROM entries_iso").fetchall() == [
            (1, "2026-03-02T14:30:00.123456789Z", "status", '{"text":"Käufer"}'),
            (2, "2026-03-02T14:30:00.123457789Z", "raw", b"\xff"),
        ]
        assert database.execute("SELECT key, value FROM header ORDER BY rowid LIMIT 1").fetchall() == [
            ("run", '"crashes"')
        ]
        assert database.execute("PRAGMA application_id").fetchall() == [(APPLICATION_ID,)]


def test_a_header_that_is_no_json_is_a_fault_and_leaves_nothing(path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Journal.create(path, {"nan": math.nan})
    assert not path.exists()
    Journal.create(path, {"nan": None}).close()  # what is left of the first attempt is in nobody's way
    assert read_journal(path) == ({"nan": None}, [])


# --- when it is durable -------------------------------------------------------------------------------------------


def test_a_commit_makes_durable_all_that_was_noted_before_it(path: Path, journal: Journal) -> None:
    journal.note(TS, "status", b"a")
    journal.note(TS, "status", b"b")
    assert durable(path) == []
    journal.commit(TS, "intent", b"c")
    assert durable(path) == [b"a", b"b", b"c"]


def test_notes_are_due_a_twentieth_of_a_second_after_the_first_of_them(path: Path) -> None:
    clock = Clock()
    with Journal.create(path, HEADER, clock=clock) as journal:
        assert journal.due_in_s(clock.now_s) is None
        assert not journal.flush_due(clock.now_s)
        journal.note(TS, "status", b"a")
        assert journal.due_in_s(100.0) == pytest.approx(GROUP_S) == pytest.approx(0.05)
        clock.now_s = 100.04
        journal.note(TS, "status", b"b")
        assert journal.due_in_s(100.04) == pytest.approx(0.01)
        assert not journal.flush_due(100.04)
        assert durable(path) == []
        assert journal.due_in_s(100.5) == 0.0
        assert journal.flush_due(100.5)
        assert durable(path) == [b"a", b"b"]
        assert journal.due_in_s(100.5) is None
        clock.now_s = 101.0
        journal.note(TS, "status", b"c")
        assert journal.due_in_s(101.0) == pytest.approx(GROUP_S)


@pytest.mark.parametrize(("body", "count"), [(b"x", NOTED_MAX), (bytes(100_000), 11)])
def test_no_more_than_so_many_notes_are_kept_in_memory(path: Path, journal: Journal, body: bytes, count: int) -> None:
    for _ in range(count - 1):
        journal.note(TS, "status", body)
    assert durable(path) == []
    journal.note(TS, "status", body)
    assert len(durable(path)) == count
    assert journal.due_in_s(0.0) is None


def test_closing_makes_durable_what_was_noted_and_leaves_one_file(path: Path) -> None:
    with Journal.create(path, HEADER) as journal:
        journal.note(TS, "status", b"a")
    assert durable(path) == [b"a"]
    assert sorted(file.name for file in path.parent.iterdir()) == [".journal.lock", FILE_NAME]
    with pytest.raises(JournalError, match="takes nothing more"):
        journal.note(TS, "status", b"b")


def test_the_log_is_folded_in_as_it_grows(path: Path) -> None:
    with Journal.create(path, HEADER) as journal:
        sizes = []
        for _ in range(60):
            journal.commit(TS, "intent", bytes(200_000))
            sizes.append(path.with_name(f"{FILE_NAME}-wal").stat().st_size)
    assert max(sizes) < 8_000_000
    assert len(durable(path)) == 60


def test_it_may_be_begun_by_one_thread_and_used_by_another(path: Path, journal: Journal) -> None:
    thread = threading.Thread(target=journal.commit, args=(TS, "intent", b"a"))
    thread.start()
    thread.join()
    assert durable(path) == [b"a"]


# --- others -------------------------------------------------------------------------------------------------------


def test_a_journal_is_read_while_another_process_writes_it(path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.live.journal_writer", str(path), "400", "0", "disk"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    counts = []
    with child, child.stdout or closing(path.open()):
        while child.poll() is None:
            if path.exists():
                header, entries = read_journal(path)
                assert header == HEADER
                assert entries == [expected(seq) for seq in range(1, len(entries) + 1)]
                counts.append(len(entries))
    assert child.returncode == 0
    assert counts == sorted(counts)
    assert len(durable(path)) == 400


def test_only_one_process_writes_a_journal(path: Path, journal: Journal) -> None:
    journal.commit(TS, "intent", b"a")
    with pytest.raises(UserError, match=r"another process goes on with this run; stop it first$"):
        Journal.open(path)
    said, status = run("tests.live.journal_writer", [path, 1, 0, "disk"])
    assert (said, status) == ([], 1)
    journal.commit(TS, "intent", b"b")
    assert durable(path) == [b"a", b"b"]


def test_a_journal_whose_process_was_killed_is_free(path: Path) -> None:
    run_and_kill("tests.live.journal_writer", [path, 1_000_000, 0, "disk"], after_lines=5, after_s=0.0)
    with Journal.open(path) as journal:
        assert list(journal.entries())[:1] == [expected(1)]


def test_a_reader_leaves_the_log_of_a_killed_process_alone(path: Path) -> None:
    run_and_kill("tests.live.journal_writer", [path, 1_000_000, 0, "disk"], after_lines=5, after_s=0.0)
    log = path.with_name(f"{FILE_NAME}-wal")
    before = (path.read_bytes(), log.read_bytes())
    assert len(durable(path)) > 0
    assert (path.read_bytes(), log.read_bytes()) == before


def test_a_reader_that_stays_does_not_hold_up_who_writes(path: Path, journal: Journal) -> None:
    journal.commit(TS, "intent", b"a")
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as database:
        database.execute("BEGIN")
        assert database.execute("SELECT count(*) FROM entries").fetchone() == (1,)
        for _ in range(30):
            journal.commit(TS, "intent", bytes(200_000))
        assert database.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    assert len(durable(path)) == 31


def test_another_program_that_writes_to_it_ends_the_writing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "WRITE_BUSY_S", 0.01)
    with Journal.create(path, HEADER) as journal, closing(sqlite3.connect(path, isolation_level=None)) as database:
        journal.commit(TS, "intent", b"a")
        database.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            JournalError, match=r"\(database is locked\); trading stops: close the program that uses it"
        ):
            journal.commit(TS, "intent", b"b")
        database.execute("ROLLBACK")
        with pytest.raises(JournalError, match="takes nothing more"):
            journal.commit(TS, "intent", b"b")
    assert durable(path) == [b"a"]


def test_a_journal_is_closed_though_somebody_reads_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "WRITE_BUSY_S", 0.01)
    journal = Journal.create(path, HEADER)
    journal.note(TS, "status", b"a")
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as database:
        database.execute("BEGIN")
        assert database.execute("SELECT count(*) FROM entries").fetchone() == (0,)
        journal.close()
    assert durable(path) == [b"a"]
    with Journal.open(path) as journal:
        assert journal.commit(TS, "intent", b"b") == 2


# --- what is wrong ------------------------------------------------------------------------------------------------


def test_a_journal_that_is_there_is_not_begun_again(path: Path) -> None:
    with Journal.create(path, HEADER) as journal:
        journal.commit(TS, "intent", b"a")
    with pytest.raises(DataError, match=r"journal\.sqlite: there is a journal already; resume its run, or begin"):
        Journal.create(path, {})
    assert read_journal(path) == (HEADER, [Entry(1, TS, "intent", b"a")])


def test_what_is_not_there_is_said(path: Path) -> None:
    for attempt in (Journal.open, read_journal):
        with pytest.raises(DataError, match=r"journal\.sqlite: no such journal$"):
            attempt(path)
    with pytest.raises(DataError, match=r"nowhere: there is no such folder; make it first$"):
        Journal.create(path.parent / "nowhere" / FILE_NAME, {})
    assert list(path.parent.iterdir()) == []
    path.with_name(".journal.lock").mkdir()
    with pytest.raises(DataError, match=r"cannot lock the journal \(.*\); make its folder writable$"):
        Journal.create(path, {})


@pytest.mark.parametrize("content", [b"", b"text that is no database" * 100])
def test_a_foreign_file_is_refused_and_not_touched(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for attempt in (Journal.open, read_journal):
        with pytest.raises(DataError, match=r"not a journal of papertape; name a run's folder or its journal\.sqlite$"):
            attempt(path)
    assert path.read_bytes() == content


def test_a_newer_journal_is_refused(path: Path) -> None:
    Journal.create(path, HEADER).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for attempt in (Journal.open, read_journal):
        with pytest.raises(DataError, match=r"written by a newer papertape \(format 2, this one reads up to 1\)"):
            attempt(path)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET body = 'x' WHERE seq = 2",
        "UPDATE entries SET ts = ts + 1 WHERE seq = 3",
        "UPDATE entries SET kind = 'intent2' WHERE seq = 1",
        "DELETE FROM entries WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 1",
        "UPDATE entries SET seq = seq + 100 WHERE seq = 3",
        "INSERT INTO entries VALUES (4, 1, 'intent', 'invented', 0)",
        "UPDATE entries SET ts = NULL WHERE seq = 2",
        "UPDATE entries SET kind = CAST(x'ff' AS TEXT) WHERE seq = 2",
        "UPDATE header SET value = '1' WHERE key = 'text'",
        "DELETE FROM header WHERE key = 'run'",
        "DROP TABLE entries",
    ],
)
def test_what_was_changed_by_another_hand_is_noticed(path: Path, change: str) -> None:
    with Journal.create(path, HEADER) as journal:
        for body in (b"a", b"b", b"c"):
            journal.commit(TS, "intent", body)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema = ON")  # else NOT NULL would hold
        database.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'entries'")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(change)
    for attempt in (Journal.open, read_journal):
        with pytest.raises(DataError, match=r"the journal is damaged .* do not resume it, and begin a new run$"):
            attempt(path)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed journal of eleven entries."""
    path = tmp_path_factory.mktemp("closed") / FILE_NAME
    with Journal.create(path, HEADER) as journal:
        for seq in range(1, 12):
            entry = expected(seq)
            journal.note(entry.ts, entry.kind, entry.body)
    return path


@given(where=st.floats(0.0, 1.0, exclude_max=True), bits=st.integers(1, 255))
def test_a_byte_that_changed_is_noticed_or_means_nothing(closed: Path, where: float, bits: int) -> None:
    content = bytearray(closed.read_bytes())
    content[int(where * len(content))] ^= bits
    path = closed.with_name("changed.sqlite")
    path.write_bytes(content)
    try:
        found = read_journal(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017 - either may be
    else:
        assert found == (HEADER, [expected(seq) for seq in range(1, 12)])
