"""The column cache: the second run parses nothing, and nothing half-written or outdated is ever used."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import feeds.csv_read
from feeds.cache import CacheEntry, ColumnCache
from feeds.column_store import FileColumns, MemoryColumns, StoreError
from feeds.csv import BarStamp, CsvOptions, Loaded, OnBad, read_csv
from papertape.calendar import session_times
from papertape.core.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
NS = 1_000_000_000


@pytest.fixture
def cache(tmp_path: Path) -> ColumnCache:
    return ColumnCache(tmp_path / "cache")


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return write_tape(tmp_path / "tape" / "AIG.csv", 5000)


def write_tape(file: Path, rows: int, first_price: int = 100) -> Path:
    file.parent.mkdir(exist_ok=True)
    lines = (f"{1704207600000 + i},{first_price + i % 7}.25,{i % 50}" for i in range(rows))
    file.write_text("ts,price,size\n" + "\r\n".join(lines) + "\r\n", newline="")
    return file


def forbid_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*_: object) -> None:
        raise AssertionError("the file was parsed")

    monkeypatch.setattr(feeds.csv_read, "read_text", parsed)


def same(one: Loaded, other: Loaded) -> bool:
    return (
        one.fingerprint == other.fingerprint
        and one.notes == other.notes
        and [(s.symbol, s.kind, s.rank, s.source) for s in one.series]
        == [(s.symbol, s.kind, s.rank, s.source) for s in other.series]
        and all(
            a.ts.tobytes() == b.ts.tobytes()
            and [c.tobytes() for c in a.columns] == [c.tobytes() for c in b.columns]
            and (a.start is None) == (b.start is None)
            and (a.start is None or b.start is None or a.start.tobytes() == b.start.tobytes())
            and (a.row is None) == (b.row is None)
            and (a.row is None or b.row is None or a.row.tobytes() == b.row.tobytes())
            for a, b in zip(one.series, other.series, strict=True)
        )
    )


def is_mapped(column: np.ndarray) -> bool:
    """Whether a column's memory is a mapped file."""
    base: object = column
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def test_the_second_run_parses_nothing_and_gives_the_same_with_its_notes(
    tape: Path, cache: ColumnCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = read_csv([tape], CsvOptions())
    first = read_csv([tape], CsvOptions(), cache=cache)
    forbid_parsing(monkeypatch)
    second = read_csv([tape], CsvOptions(), cache=ColumnCache(cache.folder))
    assert same(plain, first)
    assert same(first, second)
    assert [note.code for note in second.notes] == ["line-ends"]
    assert is_mapped(second.series[0].ts)
    second.series[0].ts[0] = 0
    assert same(first, read_csv([tape], CsvOptions(), cache=ColumnCache(cache.folder))), "the file was written to"


def test_joined_files_symbol_columns_and_bars_come_from_the_cache_too(
    tmp_path: Path, cache: ColumnCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "days"
    folder.mkdir()
    for day in range(3):
        rows = [f"{1704207600 + day * 86400 - 60 * i},{s},1,2,0.5,1.{i},{i}" for i in range(50) for s in ("A", "B")]
        (folder / f"{day}.csv").write_text("\n".join(["ts,symbol,open,high,low,close,volume", *rows]) + "\n")
    options = CsvOptions(bar_stamp=BarStamp.CLOSE)
    plain = read_csv([folder], options)
    assert [len(s) for s in plain.series] == [150, 150]
    assert same(plain, read_csv([folder], options, cache=cache))
    forbid_parsing(monkeypatch)
    second = read_csv([folder], options, cache=ColumnCache(cache.folder))
    assert same(plain, second)
    assert is_mapped(second.series[0].ts)


def test_a_changed_file_is_parsed_again(tape: Path, cache: ColumnCache) -> None:
    before = read_csv([tape], CsvOptions(), cache=cache)
    status = tape.stat()
    write_tape(tape, 5000, first_price=200)
    os.utime(tape, ns=(status.st_atime_ns, status.st_mtime_ns))  # the same size and time: the content tells
    after = read_csv([tape], CsvOptions(), cache=cache)
    assert after.series[0].columns[0][0] == before.series[0].columns[0][0] + 100
    content = bytearray(tape.read_bytes())
    content[content.index(b",200.25") + 1] = ord("9")
    tape.write_bytes(content)
    os.utime(tape, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read_csv([tape], CsvOptions(), cache=cache).series[0].columns[0][0] == 900.25
    write_tape(tape, 4000)
    assert len(read_csv([tape], CsvOptions(), cache=cache).series[0]) == 4000


def test_a_file_that_changes_while_it_is_read_is_refused(tape: Path, cache: ColumnCache) -> None:
    def grow(done: int, total: int) -> None:
        with tape.open("a") as file:
            file.write("1704207700000,1,1\r\n")

    with pytest.raises(DataError, match="changed while it was read"):
        read_csv([tape], CsvOptions(), cache=cache, progress=grow)
    assert cache.entries() == []


def test_other_options_are_another_entry(tape: Path, cache: ColumnCache) -> None:
    read_csv([tape], CsvOptions(), cache=cache)
    read_csv([tape], CsvOptions(on_bad=OnBad.SKIP), cache=cache)
    assert len(cache.entries()) == 2


def test_other_sessions_are_parsed_again_unless_they_are_the_same_where_it_matters(
    tmp_path: Path, cache: ColumnCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "AIG.csv"
    file.write_text("date,open,high,low,close,volume\n2024-01-02,1,1,1,1,1\n2024-01-03,1,1,1,1,1\n")
    new_york = session_times("XNYS", 1704067200 * NS, 1706745600 * NS)
    london = session_times("XLON", 1704067200 * NS, 1706745600 * NS)
    longer = session_times("XNYS", 1672531200 * NS, 1717200000 * NS)
    one = read_csv([file], CsvOptions(sessions=new_york), cache=cache).series[0].ts.tolist()
    two = read_csv([file], CsvOptions(sessions=london), cache=cache).series[0].ts.tolist()
    assert one != two
    assert read_csv([file], CsvOptions(sessions=new_york), cache=cache).series[0].ts.tolist() == one
    forbid_parsing(monkeypatch)
    assert read_csv([file], CsvOptions(sessions=longer), cache=cache).series[0].ts.tolist() == one


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["ts", "price", "manifest.json"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink], ids=["cut", "flipped", "removed"])
def test_a_damaged_entry_is_parsed_again_and_replaced(
    tape: Path, cache: ColumnCache, monkeypatch: pytest.MonkeyPatch, name: str, damage: object
) -> None:
    assert callable(damage)
    whole = read_csv([tape], CsvOptions())
    read_csv([tape], CsvOptions(), cache=cache)
    (entry,) = cache.entries()
    damage(cache.folder / entry.key / name)
    assert same(whole, read_csv([tape], CsvOptions(), cache=ColumnCache(cache.folder)))
    forbid_parsing(monkeypatch)
    assert same(whole, read_csv([tape], CsvOptions(), cache=ColumnCache(cache.folder)))


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


KILLED_HALFWAY = """
import os, signal, sys
from pathlib import Path
from feeds.cache import ColumnCache
from feeds.csv import CsvOptions, read_csv

def die(done, total):
    if done > total / 2:
        os.kill(os.getpid(), signal.SIGKILL)

read_csv([sys.argv[1]], CsvOptions(), cache=ColumnCache(Path(sys.argv[2])), progress=die)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_a_process_killed_while_it_writes_leaves_nothing_that_is_used(
    tmp_path: Path, cache: ColumnCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = write_tape(tmp_path / "tape" / "AIG.csv", 1_000_000)
    process = python(KILLED_HALFWAY, tape, cache.folder)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    left = list(cache.folder.iterdir())
    assert len(left) == 1
    assert (left[0] / "ts").stat().st_size > 0  # it died in the middle of writing
    assert cache.entries() == []
    assert len(read_csv([tape], CsvOptions(), cache=cache).series[0]) == 1_000_000
    assert left[0].exists()  # another process might still be writing it
    old = 1_000_000_000
    for file in (*left[0].iterdir(), left[0]):
        os.utime(file, (old, old))
    write_tape(tape, 10)
    read_csv([tape], CsvOptions(), cache=ColumnCache(cache.folder))
    assert not left[0].exists()
    forbid_parsing(monkeypatch)
    read_csv([tape], CsvOptions(), cache=cache)


AT_ONCE = """
import sys
from pathlib import Path
from feeds.cache import ColumnCache
from feeds.csv import CsvOptions, read_csv
print("ready", flush=True)
sys.stdin.readline()
loaded = read_csv([sys.argv[1]], CsvOptions(), cache=ColumnCache(Path(sys.argv[2])))
print(loaded.fingerprint, int(loaded.series[0].ts.sum()), loaded.notes)
"""


def test_two_processes_at_once_both_get_it_right(tmp_path: Path, cache: ColumnCache) -> None:
    tape = write_tape(tmp_path / "tape" / "AIG.csv", 200_000)
    expected = read_csv([tape], CsvOptions())
    command = [sys.executable, "-c", AT_ONCE, str(tape), str(cache.folder)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert said == [f"{expected.fingerprint} {int(expected.series[0].ts.sum())} {expected.notes}\n"] * 2
    assert len(cache.entries()) == 1
    assert [path.name for path in cache.folder.iterdir() if path.is_dir()] == [cache.entries()[0].key]


def test_a_refused_file_leaves_no_entry(tmp_path: Path, cache: ColumnCache) -> None:
    file = tmp_path / "AIG.csv"
    file.write_text("ts,price,size\n1704207600,1,1\n1704207601,x,1\n")
    with pytest.raises(DataError):
        read_csv([file], CsvOptions(), cache=cache)
    assert list(cache.folder.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said_and_done_without(tmp_path: Path, tape: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    loaded = read_csv([tape], CsvOptions(), cache=ColumnCache(tmp_path / "file" / "cache"))
    assert loaded.series[0].ts.tolist() == read_csv([tape], CsvOptions()).series[0].ts.tolist()
    (note,) = [note for note in loaded.notes if note.code == "cache"]
    assert "cannot be written" in note.text


def test_a_disk_that_fills_while_writing_is_said_and_done_without(
    tape: Path, cache: ColumnCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_csv([tape], CsvOptions())

    def full(self: FileColumns, name: str, values: object) -> None:
        raise StoreError("No space left on device")

    monkeypatch.setattr(FileColumns, "append", full)
    loaded = read_csv([tape], CsvOptions(), cache=cache)
    assert loaded.series[0].ts.tolist() == whole.series[0].ts.tolist()
    assert "No space left" in loaded.notes[-1].text
    assert list(cache.folder.iterdir()) == []


def test_entries_are_listed_and_cleared(tmp_path: Path, tape: Path, cache: ColumnCache) -> None:
    assert cache.entries() == []
    read_csv([tape, write_tape(tmp_path / "IBM.csv", 10)], CsvOptions(), cache=cache)
    entries = {Path(entry.source).name: entry for entry in cache.entries()}
    assert set(entries) == {"AIG.csv", "IBM.csv"}
    assert entries["AIG.csv"].size_bytes > 3 * 8 * 5000
    freed = cache.clear()
    assert freed == sum(entry.size_bytes for entry in entries.values())
    assert cache.entries() == []
    assert not list(cache.folder.iterdir())


def test_beyond_the_limit_the_entries_that_were_used_longest_ago_go(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    files = [write_tape(tmp_path / f"{name}.csv", 1000) for name in ("A", "B", "C")]
    for number, file in enumerate(files[:2]):
        read_csv([file], CsvOptions(), cache=ColumnCache(folder))
        newest: CacheEntry = ColumnCache(folder).entries()[0]
        os.utime(folder / newest.key / "manifest.json", (1000 + number, 1000 + number))
    read_csv([files[0]], CsvOptions(), cache=ColumnCache(folder))  # now B is the one used longest ago
    small = ColumnCache(folder, limit_bytes=60_000)
    read_csv([files[2]], CsvOptions(), cache=small)
    assert {Path(entry.source).stem for entry in small.entries()} == {"A", "C"}


def test_entries_are_looked_at_only_where_the_limit_may_be_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    entries = ColumnCache.entries

    def counted(self: ColumnCache) -> list[CacheEntry]:
        looks.append(1)
        return entries(self)

    monkeypatch.setattr(ColumnCache, "entries", counted)
    folder = tmp_path / "cache"
    for k in range(6):
        read_csv([write_tape(tmp_path / f"{k}.csv", 1000)], CsvOptions(), cache=ColumnCache(folder))
        assert len(looks) == 1, "the first run does not know what there is; the others add what they wrote"
    size = sum(entry.size_bytes for entry in entries(ColumnCache(folder)))
    for k in range(6, 9):
        read_csv([write_tape(tmp_path / f"{k}.csv", 1000)], CsvOptions(), cache=ColumnCache(folder, limit_bytes=size))
    assert len(looks) == 1 + 2, "what was removed left room for one more"
    left = entries(ColumnCache(folder))
    assert sum(entry.size_bytes for entry in left) <= size
    assert {Path(entry.source).stem for entry in left} >= {"7", "8"}
    (folder / "written").write_text("not a number")
    read_csv([write_tape(tmp_path / "9.csv", 1000)], CsvOptions(), cache=ColumnCache(folder))
    assert len(looks) == 1 + 2 + 1


def test_entries_in_use_are_kept_even_beyond_the_limit(tmp_path: Path) -> None:
    files = [write_tape(tmp_path / f"{name}.csv", 1000) for name in ("A", "B", "C")]
    tiny = ColumnCache(tmp_path / "cache", limit_bytes=1)
    loaded = read_csv(files, CsvOptions(), cache=tiny)
    assert len(tiny.entries()) == 3
    assert [int(s.ts[-1]) for s in loaded.series] == [1704207600999 * 1_000_000] * 3


def test_columns_in_files_and_in_memory_behave_alike(tmp_path: Path) -> None:
    for store in (MemoryColumns(), FileColumns(tmp_path)):
        store.append("a", np.arange(3))
        store.append("a", np.arange(3, 5))
        store.create("b", "<f8", 4)
        store.write("b", 1, np.array([1.5, 2.5]))
        assert store.read("a", 1, 5).tolist() == [1, 2, 3, 4]
        assert store.read("b", 1, 3).tolist() == [1.5, 2.5]
        store.replace("a", "b")
        assert store.read("a", 1, 2).tolist() == [1.5]
        store.remove("a")
        assert not list(tmp_path.iterdir())


def test_damage_to_one_run_never_reaches_what_another_has_mapped(tape: Path, cache: ColumnCache) -> None:
    loaded = read_csv([tape], CsvOptions(), cache=cache)
    total = int(loaded.series[0].ts.sum())
    shutil.rmtree(cache.folder)
    assert int(loaded.series[0].ts.sum()) == total
