"""A disk that is full or fails: the journal says so, takes nothing more, and has lost nothing that was durable."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import apsw
import pytest

from papertape.core.errors import DataError, JournalError
from papertape.live import journal as subject
from papertape.live.journal import FILE_NAME, Entry, Journal, read_journal
from tests.live.crashing import ROOT
from tests.live.power import Disk, connector

TS = 1_772_461_800_123_456_789


class Faulty:
    """Fails each operation of a kind from a moment on, as a disk does."""

    def __init__(self, kind: str, error: type[apsw.Error]) -> None:
        self.kind = kind
        self.error = error
        self.fails = False

    def __call__(self, kind: str) -> None:
        if self.fails and kind == self.kind:
            raise self.error("the disk says no")


def failing(monkeypatch: pytest.MonkeyPatch, path: Path, fault: Faulty) -> Journal:
    """A journal with one entry on a disk that has just begun to fail."""
    monkeypatch.setattr(subject, "_connect", connector(Disk(before=fault)))
    journal = Journal.create(path, {})
    journal.commit(TS, "intent", b"before")
    fault.fails = True
    return journal


@pytest.mark.parametrize(
    ("kind", "error"), [("write", apsw.FullError), ("write", apsw.IOError), ("sync", apsw.IOError)]
)
def test_a_commit_on_a_failing_disk_says_that_it_is_not_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, error: type[apsw.Error]
) -> None:
    path = tmp_path / FILE_NAME
    fault = Faulty(kind, error)
    journal = failing(monkeypatch, path, fault)
    with pytest.raises(
        JournalError, match=r"journal\.sqlite: .*cannot be written \(the disk says no\); trading stops: mend"
    ):
        journal.commit(TS, "intent", b"never sent")
    fault.fails = False
    for again in (lambda: journal.commit(TS, "x", b""), lambda: journal.note(TS, "x", b""), journal.flush):
        with pytest.raises(JournalError, match="takes nothing more"):
            again()
    journal.close()
    monkeypatch.undo()
    found = [entry.body for entry in read_journal(path)[1]]
    assert found in ([b"before"], [b"before", b"never sent"])
    with Journal.open(path) as journal:
        assert journal.commit(TS, "intent", b"after") == len(found) + 1


def test_notes_on_a_failing_disk_are_refused_when_they_are_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = failing(monkeypatch, tmp_path / FILE_NAME, Faulty("write", apsw.FullError))
    journal.note(TS, "status", b"a")
    with pytest.raises(JournalError, match="trading stops"):
        journal.flush_due(1e12)
    journal.close()


def test_closing_on_a_failing_disk_says_what_was_not_written_and_frees_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / FILE_NAME
    journal = failing(monkeypatch, path, Faulty("write", apsw.FullError))
    journal.note(TS, "status", b"a")
    with pytest.raises(JournalError, match="trading stops"):
        journal.close()
    monkeypatch.undo()
    with Journal.open(path) as journal:
        assert list(journal.entries()) == [Entry(1, TS, "intent", b"before")]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (apsw.FullError, r"there is no room on the disk \(the disk says no\); make some, and resume the run then$"),
        (apsw.IOError, r"cannot be read and written here \(the disk says no\); mend that, and resume the run then$"),
        (apsw.BusyError, r"in use by another program \(the disk says no\); close that, and resume the run then$"),
    ],
)
def test_what_can_be_mended_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[apsw.Error], said: str
) -> None:
    path = tmp_path / FILE_NAME
    Journal.create(path, {}).close()
    fault = Faulty("write", error)
    fault.fails = True
    with monkeypatch.context() as patch:
        patch.setattr(subject, "_connect", connector(Disk(before=fault)))
        with pytest.raises(DataError, match=said):
            Journal.open(path)
    with Journal.open(path) as journal:
        assert journal.commit(TS, "intent", b"a") == 1


FULL_DISK = """
import resource, sys
from pathlib import Path
from papertape.core.errors import JournalError
from papertape.live.journal import Journal

with Journal.create(Path(sys.argv[1]), {}) as journal:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    try:
        for number in range(1_000):
            print("durable", journal.commit(number, "intent", b"x" * 1_000), flush=True)
    except JournalError as error:
        print(error, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no limit of a file's size")
def test_a_file_that_may_not_grow_ends_the_writing_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(path)],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    *said, last = ended.stdout.splitlines()
    assert last.startswith(f"{path}: the journal cannot be written (")
    assert len(said) > 10
    found = [entry.seq for entry in read_journal(path)[1]]
    assert found in (list(range(1, len(said) + 1)), list(range(1, len(said) + 2)))
