"""What is in a journal after its process was killed, its power cut, or its file truncated: all that was said durable."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from papertape.core.errors import DataError
from papertape.live import journal as subject
from papertape.live.journal import FILE_NAME, Journal, read_journal
from tests.live.crashing import KILLED, SOAK, run, run_and_kill
from tests.live.journal_writer import HEADER, expected
from tests.live.power import Disk, connector, fates

pytestmark = pytest.mark.soak

WRITER = "tests.live.journal_writer"


def numbers(said: list[str], what: str) -> list[int]:
    return [int(line.split()[1]) for line in said if line.startswith(what)]


def check(folder: Path, *, durable: int, tried: int) -> int:
    """A journal holds entries 1 to n, each whole and as it was added, none twice; returns n."""
    header, entries = read_journal(folder / FILE_NAME)
    assert header == HEADER
    assert entries == [expected(seq) for seq in range(1, len(entries) + 1)]
    assert durable <= len(entries) <= tried
    return len(entries)


def check_said(folder: Path, said: list[str], before: int = 0) -> int:
    """The same after a process that said so much, and found ``before`` entries; returns how many there are."""
    durable, tried = (max(numbers(said, what), default=before) for what in ("durable", "trying"))
    if not said and not (folder / FILE_NAME).exists():
        return 0  # killed before the file had its name
    return check(folder, durable=durable, tried=max(before, tried))


# --- killed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disk", ["traced", "torn"])
def test_a_process_killed_at_any_step_leaves_what_it_said_was_durable(tmp_path: Path, disk: str) -> None:
    (tmp_path / "whole").mkdir()
    said, status = run(WRITER, [tmp_path / "whole" / FILE_NAME, 15, 0, disk])
    assert status == 0
    (steps,) = numbers(said, "steps")
    chance = random.Random(f"kills of a {disk} writer")
    every = 3 if disk == "torn" else 1  # a third of the steps are writes
    fuses = range(1, steps + 1, every) if SOAK else sorted(chance.sample(range(1, steps + 1), 2))
    for fuse in fuses:
        folder = tmp_path / str(fuse)
        folder.mkdir()
        path = folder / FILE_NAME
        said, status = run(WRITER, [path, 15, fuse, disk])
        assert status == KILLED
        before = check_said(folder, said)
        said, status = run(WRITER, [path, 15, chance.randint(1, steps // 2), disk])  # again, while it goes on
        assert status == KILLED
        check_said(folder, said, before)
        said, status = run(WRITER, [path, 15, 0, disk])
        assert status == 0
        last = max(numbers(said, "durable"))
        assert check(folder, durable=last, tried=last) == last
        assert sorted(file.name for file in folder.iterdir() if file.stat().st_size) == [FILE_NAME]
        shutil.rmtree(folder)


def test_a_process_killed_at_any_time_leaves_what_it_said_was_durable(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    chance = random.Random("kills at any time")
    last = 0
    for _ in range(60 if SOAK else 4):
        lines, seconds = chance.choice([0, 1, 2, 5, 50, 200]), chance.random() * 0.02
        said = run_and_kill(WRITER, [path, 1_000_000, 0, "disk"], after_lines=lines, after_s=seconds)
        last = check_said(tmp_path, said, last)
    with Journal.open(path) as journal:
        entry = expected(last + 1)
        assert journal.commit(entry.ts, entry.kind, entry.body) == last + 1
    check(tmp_path, durable=last + 1, tried=last + 1)


# --- its power cut ------------------------------------------------------------------------------------------------


def cuts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, replace: dict[str, str]
) -> dict[tuple[tuple[str, bytes], ...], int]:
    """A journal is begun, written, closed and opened again on a disk whose power is cut after each change of a file.

    What may be on the disk then -> the number of the last entry that had been said durable, the greatest there was.
    """
    found: dict[tuple[tuple[str, bytes], ...], int] = {}
    durable = 0

    def cut(_: str) -> None:
        for arrived in fates(20 if SOAK else 3, seed=len(found)):
            files = tuple(disk.after_a_cut(arrived))
            found[files] = max(found.get(files, 0), durable)

    disk = Disk(after=cut)
    with monkeypatch.context() as patch:
        patch.setattr(subject, "_connect", connector(disk, replace))
        patch.setattr(subject, "CHECKPOINT_BYTES", 30_000)
        path = folder / FILE_NAME
        for begin in (1, 13):
            with Journal.open(path) if path.exists() else Journal.create(path, HEADER) as journal:
                for seq in range(begin, begin + 12):
                    entry = expected(seq)
                    (journal.commit if entry.kind == "intent" else journal.note)(entry.ts, entry.kind, entry.body)
                    if entry.kind == "intent":
                        durable = seq
                        cut("committed")
                journal.flush()
                durable = begin + 11
                cut("flushed")
    return found


def lost(folder: Path, found: dict[tuple[tuple[str, bytes], ...], int]) -> Iterator[str]:
    """What is wrong with each file that may be there after a cut: entries that are missing, or no journal at all."""
    for number, (files, durable) in enumerate(found.items()):
        again = folder / str(number)
        again.mkdir()
        for name, content in files:
            (again / name).write_bytes(content)
        try:
            if durable or (again / FILE_NAME).exists():
                check(again, durable=durable, tried=24)
        except (AssertionError, DataError) as error:
            yield f"{durable} were durable: {error}"
        shutil.rmtree(again)


def test_a_power_cut_takes_nothing_that_was_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    found = cuts(tmp_path / "run", monkeypatch, {})
    assert len(found) > 150
    assert max(found.values()) == 24
    assert list(lost(tmp_path, found)) == []


@pytest.mark.parametrize("level", ["OFF", "NORMAL", "FULL"])
def test_a_power_cut_takes_what_a_lesser_synchronous_level_calls_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    (tmp_path / "run").mkdir()
    found = cuts(tmp_path / "run", monkeypatch, {"PRAGMA synchronous = EXTRA": f"PRAGMA synchronous = {level}"})
    assert next(lost(tmp_path, found), ""), "the test above would pass whatever the journal did"


def test_a_journal_gets_its_name_when_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    synced: list[tuple[Path, bool, list[str]]] = []
    partial = f".{FILE_NAME}.partial"
    sync_folder: Callable[[Path], None] = subject._sync_folder

    def sync(folder: Path) -> None:
        sync_folder(folder)
        synced.append((folder, (tmp_path / FILE_NAME).exists(), [name for name in disk.unsynced if partial in name]))

    monkeypatch.setattr(subject, "_connect", connector(disk))
    monkeypatch.setattr(subject, "_sync_folder", sync)
    Journal.create(tmp_path / FILE_NAME, HEADER).close()
    assert any(partial in name for name in disk.durable)
    assert synced == [(tmp_path, True, []), (tmp_path.parent, True, [])]


# --- truncated ----------------------------------------------------------------------------------------------------


def copied(folder: Path, to: Path) -> Path:
    """The files of a journal that is open, as they are now: what a kill would leave."""
    to.mkdir()
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):
        shutil.copy(folder / name, to)
    return to


def lengths(begin: int, end: int) -> list[int]:
    """Lengths from ``end`` - 1 down to ``begin``: in a soak every one, else those near the ends and each 37th."""
    return [
        each for each in range(end - 1, begin - 1, -1) if SOAK or each % 37 == 0 or min(end - each, each - begin) < 30
    ]


def test_a_log_truncated_within_its_last_record_holds_all_before_it(tmp_path: Path) -> None:
    with Journal.create(tmp_path / FILE_NAME, HEADER) as journal:
        for seq in range(1, 9):
            entry = expected(seq)
            journal.note(entry.ts, entry.kind, entry.body)
        journal.flush()
        log = tmp_path / f"{FILE_NAME}-wal"
        before = log.stat().st_size
        entry = expected(9)
        journal.commit(entry.ts, entry.kind, entry.body)
        after = log.stat().st_size
        cut = copied(tmp_path, tmp_path / "cut")
    assert check(cut, durable=9, tried=9) == 9
    for length in lengths(before, after):
        with (cut / log.name).open("r+b") as file:
            file.truncate(length)
        assert check(cut, durable=8, tried=8) == 8
    with Journal.open(cut / FILE_NAME) as journal:
        assert journal.commit(entry.ts, entry.kind, entry.body) == 9
    assert check(cut, durable=9, tried=9) == 9


def test_a_closed_journal_truncated_within_its_last_page_is_refused(tmp_path: Path) -> None:
    with Journal.create(tmp_path / FILE_NAME, HEADER) as journal:
        for seq in range(1, 40):
            entry = expected(seq)
            journal.note(entry.ts, entry.kind, entry.body)
    path = tmp_path / FILE_NAME
    size = path.stat().st_size
    for length in lengths(size - 4096, size):
        with path.open("r+b") as file:
            file.truncate(length)
        for attempt in (read_journal, Journal.open):
            with pytest.raises(DataError, match=r"journal\.sqlite: the journal is damaged .* begin a new run$"):
                attempt(path)


def test_a_log_that_is_gone_leaves_what_was_folded_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "CHECKPOINT_BYTES", 1)
    with Journal.create(tmp_path / FILE_NAME, HEADER) as journal:
        for seq in range(1, 9):
            entry = expected(seq)
            (journal.note if seq < 6 else journal.commit)(entry.ts, entry.kind, entry.body)
            if seq == 5:
                journal.flush()
        cut = copied(tmp_path, tmp_path / "cut")
    (cut / f"{FILE_NAME}-wal").unlink()
    assert check(cut, durable=5, tried=8) == 5
