"""The journal of a paper or live run on disk: the memory that it is resumed from, also after kill -9 or a power cut.

One file, ``journal.sqlite``, of rows in the order in which they were added; none is ever changed or removed. ``header``
maps a key to a JSON value, ``entries`` holds a number (from 1, without gaps), a time (INTEGER nanoseconds since
1970-01-01 UTC), a kind and a body, which is TEXT where it is UTF-8; the view ``entries_iso`` shows times as ISO-8601
text. Each row carries a CRC-32 over itself and all before it, so what was cut off, swapped or changed is noticed.

SQLite with a write-ahead log and synchronous EXTRA: a commit is one append to the log and one fdatasync, as with FULL.
While a run has it open two more files belong to it (``-wal``, ``-shm``); closing folds them in, so that a closed journal
is one file. That change, and the one back, goes through a rollback journal: if a power cut brought it back after it was
removed it would undo what came later, so its removal is synced too, which is what EXTRA adds.
On macOS an fsync leaves data in the drive's cache, so ``fullfsync`` asks for more; that costs milliseconds there.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from papertape.core.errors import DataError, JournalError, UserError
from papertape.live.lock import FileLock

FILE_NAME = "journal.sqlite"
APPLICATION_ID = 0x50544A31
"""What SQLite keeps in the file's header to tell whose it is ("PTJ1"); see PRAGMA application_id."""
SCHEMA_VERSION = 1
"""Kept as PRAGMA user_version. What is newer is refused."""

GROUP_S = 0.05
"""How long a noted entry may wait to be durable."""
NOTED_MAX = 1_000
NOTED_BYTES_MAX = 1 << 20
"""Noted entries in memory, and bytes of their bodies; at either they are made durable at once."""
CHECKPOINT_BYTES = 1 << 20
"""The log's size after which a group of notes is followed by a checkpoint, which lets the log begin anew.

A log that is written over again needs no change of its length, which halves the time of its fdatasync.
"""
CHECKPOINT_BYTES_MAX = 4 << 20
"""The size at which an order's commit does not wait for a group of notes to do that."""
BUSY_S = 5.0
"""How long one who reads may hold up what needs the whole file (its opening and closing)."""
WRITE_BUSY_S = 0.5
"""How long another program that writes to the file, which none should, may hold up a commit."""

_FRAME_BYTES = 4_120
"""A page in the log; a commit writes at least one."""
_PAGE_ROWS = 1_000
_SCHEMA = """
CREATE TABLE header (key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE entries (seq INTEGER PRIMARY KEY, ts INTEGER NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL,
    crc INTEGER NOT NULL);
CREATE VIEW entries_iso AS SELECT seq, strftime('%Y-%m-%dT%H:%M:%S', ts / 1000000000, 'unixepoch')
    || printf('.%09dZ', ts % 1000000000) AS ts, kind, body FROM entries;
"""
_INSERT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?)"
_SELECT = "SELECT seq, ts, kind, CAST(body AS BLOB), crc FROM entries"


_DAMAGED = "the journal is damaged ({}); look at the run's orders at the broker, do not resume it, and begin a new run"
_UNREACHABLE = "the journal cannot be read and written here ({}); mend that, and resume the run then"
_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_TROUBLE: Mapping[int, str] = {
    **dict.fromkeys(_IN_USE, "the journal is in use by another program ({}); close that, and resume the run then"),
    sqlite3.SQLITE_FULL: "there is no room on the disk ({}); make some, and resume the run then",
    sqlite3.SQLITE_IOERR: _UNREACHABLE,
    sqlite3.SQLITE_CANTOPEN: _UNREACHABLE,
    sqlite3.SQLITE_READONLY: _UNREACHABLE,
    sqlite3.SQLITE_PERM: _UNREACHABLE,
    sqlite3.SQLITE_NOMEM: _UNREACHABLE,
}
"""SQLite's result code -> what to say of it; what is not here means that the file is not what was written."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A row of the journal: its number, its time (UTC nanoseconds), what it is, and its content."""

    seq: int
    ts: int
    kind: str
    body: bytes


class _DamageError(ValueError):
    """What the file holds is not what was written."""


class Journal:
    """An open journal. One thread at a time uses it, one process at a time has it open for writing.

    After a JournalError nothing more is taken: after a failed fsync a second one that succeeds proves nothing.
    """

    def __init__(
        self, path: Path, database: sqlite3.Connection, lock: FileLock, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Go on with an open database; use :meth:`create` and :meth:`open`."""
        self.path = path
        self._database = database
        self._lock = lock
        self._clock = clock
        self._noted: list[tuple[int, int, str, str | bytes, int]] = []
        self._noted_bytes = 0
        self._noted_s = 0.0  # when the oldest of them came
        self._log_bytes = 0  # since the last checkpoint, about
        self._failure = ""
        self.header: Mapping[str, Any]
        """What the run was begun with."""
        self.header, self._seq, self._crc = _check(database)

    # -- opening -----------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, header: Mapping[str, Any], *, clock: Callable[[], float] = time.monotonic) -> Journal:
        """Begin a journal in a folder that exists; ``header`` is of JSON values. It is durable on return.

        The file has its name when it is whole. Raises DataError where there is one already or it cannot be written.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise DataError("there is no such folder; make it first", path=str(path.parent))
        lock = _locked(path)
        try:
            _begin_file(path, header)
            return cls._opened(path, lock, clock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, path: Path, *, clock: Callable[[], float] = time.monotonic) -> Journal:
        """Go on with a journal: all that was durable is there, whatever ended the process that wrote it.

        Raises DataError where it is none, newer or damaged, and UserError where another process writes it.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError("no such journal", path=str(path))
        lock = _locked(path)
        try:
            return cls._opened(path, lock, clock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _opened(cls, path: Path, lock: FileLock, clock: Callable[[], float]) -> Journal:
        with _reported(path):
            database = _connect(path, "rw")
            try:
                _check_format(database, path)
                journal = cls(path, database, lock, clock)
                _make_durable(database, path)
            except BaseException:
                database.close()
                raise
        return journal

    def close(self) -> None:
        """Make durable what was noted, and close the file. Raises JournalError; the file is closed all the same."""
        try:
            if not self._failure:
                self.flush()
                with contextlib.suppress(sqlite3.OperationalError):  # somebody reads: the log stays a file beside
                    self._database.execute("PRAGMA journal_mode = DELETE")
        finally:
            self._failure = self._failure or "it is closed"
            self._database.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._failure:
            self.close()
            return
        self._database.close()
        self._lock.release()

    # -- writing -----------------------------------------------------------------------------------------------------

    def commit(self, ts: int, kind: str, body: bytes) -> int:
        """Add an entry; it is durable on return, and so is all that was noted before. Returns its number.

        Raises JournalError: what the entry is about must then not be done. It may be in the file nevertheless.
        """
        seq = self._add(ts, kind, body)
        self._write(CHECKPOINT_BYTES_MAX)
        return seq

    def note(self, ts: int, kind: str, body: bytes) -> int:
        """Add an entry that is durable within :data:`GROUP_S` where :meth:`flush_due` is called when it is due.

        Returns its number. Raises JournalError where there were too many in memory and they cannot be written.
        """
        seq = self._add(ts, kind, body)
        if len(self._noted) >= NOTED_MAX or self._noted_bytes >= NOTED_BYTES_MAX:
            self.flush()
        return seq

    def due_in_s(self, now_s: float) -> float | None:
        """Seconds until what was noted is due, 0.0 where it is; None where nothing is. ``now_s`` is monotonic."""
        return max(0.0, self._noted_s + GROUP_S - now_s) if self._noted else None

    def flush_due(self, now_s: float) -> bool:
        """Make durable what was noted where it is due; returns whether it was. Raises JournalError."""
        if not self._noted or self._noted_s + GROUP_S > now_s:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Make durable what was noted. Raises JournalError."""
        self._refuse_after_failure()
        if self._noted:
            self._write(CHECKPOINT_BYTES)

    def _add(self, ts: int, kind: str, body: bytes) -> int:
        self._refuse_after_failure()
        assert kind, "an entry is of a kind"
        if not self._noted:
            self._noted_s = self._clock()
        self._seq += 1
        self._crc = _chained(self._crc, self._seq, ts, kind, body)
        self._noted.append((self._seq, ts, kind, _as_stored(body), self._crc))
        self._noted_bytes += len(body)
        return self._seq

    def _refuse_after_failure(self) -> None:
        if self._failure:
            raise JournalError(f"{self.path}: the journal takes nothing more ({self._failure})")

    def _write(self, checkpoint_bytes: int) -> None:
        """Write what was noted, all of it or nothing; a log that has grown to ``checkpoint_bytes`` is then folded in.

        Whatever interrupts this, a signal too, leaves unknown what is in the file, so nothing more is taken.
        """
        database = self._database
        try:
            if len(self._noted) == 1:  # a transaction by itself
                database.execute(_INSERT, self._noted[0])
            else:
                database.execute("BEGIN IMMEDIATE")
                database.executemany(_INSERT, self._noted)
                database.execute("COMMIT")
            self._log_bytes += _FRAME_BYTES + self._noted_bytes
            self._noted.clear()
            self._noted_bytes = 0
            if self._log_bytes >= checkpoint_bytes:
                database.execute("PRAGMA wal_checkpoint(PASSIVE)")
                self._log_bytes = 0
        except BaseException as error:
            self._failure = " ".join(str(error).split()) or type(error).__name__
            with contextlib.suppress(sqlite3.Error):  # it is rolled back already, or the next opening does it
                database.rollback()
            if isinstance(error, sqlite3.Error):
                mend = "close the program that uses it" if _code(error) in _IN_USE else "mend the disk"
                what = f"the journal cannot be written ({self._failure}); trading stops: {mend}, then resume"
                raise JournalError(f"{self.path}: {what}") from error
            raise

    # -- reading -----------------------------------------------------------------------------------------------------

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """The entries with greater numbers that are durable now, in order. Raises DataError."""
        with _reported(self.path):
            (last,) = self._database.execute("SELECT ifnull(max(seq), 0) FROM entries").fetchone()
            while after < last:  # page by page, so that no open statement holds up a checkpoint
                rows = self._database.execute(
                    f"{_SELECT} WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT {_PAGE_ROWS}", (after, last)
                ).fetchall()
                yield from (Entry(*row[:4]) for row in rows)
                after = rows[-1][0] if rows else last


def read_journal(path: Path) -> tuple[dict[str, Any], list[Entry]]:
    """(header, entries) of a journal as it is now, also while another process writes it. ``path`` may be its folder.

    Raises DataError where it is none, newer or damaged.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    if not path.is_file():
        raise DataError("no such journal", path=str(path))
    with _reported(path):
        try:
            return _read(path, "ro")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_READONLY:
                raise
        return _read(path, "rw")  # it was stopped in the middle of its opening or closing, which SQLite now undoes


def _read(path: Path, mode: str) -> tuple[dict[str, Any], list[Entry]]:
    with contextlib.closing(_connect(path, mode)) as database:
        _check_format(database, path)
        database.execute("BEGIN")
        header, crc = _read_header(database)
        return header, [entry for entry, _ in _read_entries(database, crc)]


# --- the file -----------------------------------------------------------------------------------------------------


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a file that exists ("ro", "rw") or make one ("rwc")."""
    address = f"{path.resolve().as_uri()}?mode={mode}"
    # opened where a run is prepared, used by the thread that owns the connection to the broker
    return sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def _locked(path: Path) -> FileLock:
    try:
        lock = FileLock.take(path.with_name(f".{path.stem}.lock"))
    except OSError as error:
        what = f"cannot lock the journal ({error.strerror}); make its folder writable"
        raise DataError(what, path=str(path)) from error
    if lock is None:
        raise UserError(f"{path}: another process goes on with this run; stop it first")
    return lock


def _make_durable(database: sqlite3.Connection, path: Path) -> None:
    """Have every commit on the disk when it returns."""
    database.execute("PRAGMA synchronous = EXTRA")
    database.execute("PRAGMA fullfsync = ON")
    database.execute("PRAGMA checkpoint_fullfsync = ON")
    (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise DataError("this file system cannot hold a journal (no shared memory); name another", path=str(path))
    database.execute(f"PRAGMA busy_timeout = {int(WRITE_BUSY_S * 1_000)}")
    database.execute("PRAGMA wal_autocheckpoint = 0")  # an order's commit seldom waits for one: see _write


def _begin_file(path: Path, header: Mapping[str, Any]) -> None:
    """Make a journal without entries, durable, under its name when it is whole. Raises DataError."""
    if path.exists():
        raise DataError("there is a journal already; resume its run, or begin another one", path=str(path))
    partial = path.with_name(f".{path.name}.partial")
    try:
        for leftover in (partial, *(partial.with_name(partial.name + end) for end in ("-wal", "-shm", "-journal"))):
            leftover.unlink(missing_ok=True)
        _write_new(partial, header)
        partial.replace(path)
        for folder in (path.parent, path.parent.parent):  # the file's name, and that of a folder made for it
            _sync_folder(folder)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        what = f"the journal cannot be written here ({reason}); name another folder"
        raise DataError(what, path=str(path)) from error


def _write_new(path: Path, header: Mapping[str, Any]) -> None:
    """Write a file with a header and no entries, complete and durable."""
    with contextlib.closing(_connect(path, "rwc")) as database:
        database.execute("PRAGMA synchronous = EXTRA")
        database.execute("PRAGMA fullfsync = ON")
        database.execute("BEGIN")
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        for statement in _SCHEMA.strip().split(";\n"):
            database.execute(statement)
        crc = 0
        for key, value in header.items():
            text = json.dumps(value, allow_nan=False)
            crc = _chained_header(crc, key, text)
            database.execute("INSERT INTO header VALUES (?, ?, ?)", (key, text, crc))
        database.execute("COMMIT")


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; Windows has no way to, and needs none."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _as_stored(body: bytes) -> str | bytes:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body


# --- checking -----------------------------------------------------------------------------------------------------


def _chained(crc: int, seq: int, ts: int, kind: str, body: bytes) -> int:
    """The CRC-32 of an entry after what is before it."""
    return zlib.crc32(body, zlib.crc32(f"{seq} {ts} {kind} ".encode(), crc))


def _chained_header(crc: int, key: str, value: str) -> int:
    return zlib.crc32(f"{key} {value} ".encode(), crc)


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Whatever is wrong with the file becomes a DataError."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        code = sqlite3.SQLITE_IOERR if isinstance(error, OSError) else _code(error)
        raise DataError(_TROUBLE.get(code, _DAMAGED).format(reason), path=str(path)) from error


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 where it was Python's module that found something wrong."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _check_format(database: sqlite3.Connection, path: Path) -> None:
    """Raise DataError where the file is no journal, or a newer one."""
    foreign = DataError("not a journal of papertape; name a run's folder or its journal.sqlite", path=str(path))
    try:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if _code(error) == sqlite3.SQLITE_NOTADB:
            raise foreign from error
        raise
    if application != APPLICATION_ID:
        raise foreign
    if version > SCHEMA_VERSION:
        what = f"written by a newer papertape (format {version}, this one reads up to {SCHEMA_VERSION}); upgrade it"
        raise DataError(what, path=str(path))


def _check(database: sqlite3.Connection) -> tuple[dict[str, Any], int, int]:
    """Header, number of the last entry and its CRC of a file that holds what was written, all of it."""
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _DamageError(verdict)
    header, crc = _read_header(database)
    seq = 0
    for entry, chained in _read_entries(database, crc):
        seq, crc = entry.seq, chained
    return header, seq, crc


def _read_header(database: sqlite3.Connection) -> tuple[dict[str, Any], int]:
    header = {}
    crc = 0
    for key, value, stored in database.execute("SELECT key, value, crc FROM header ORDER BY rowid"):
        crc = _chained_header(crc, key, value)
        if crc != stored:
            raise _DamageError(f"its header is not as it was written, at {key}")
        header[key] = json.loads(value)
    return header, crc


def _read_entries(database: sqlite3.Connection, crc: int) -> Iterator[tuple[Entry, int]]:
    """All entries in order with their CRCs, each checked against what is before it."""
    for number, (seq, ts, kind, body, stored) in enumerate(database.execute(f"{_SELECT} ORDER BY seq"), 1):
        crc = _chained(crc, seq, ts, kind, body)
        if seq != number or crc != stored:
            raise _DamageError(f"entry {number} is not as it was written")
        yield Entry(seq, ts, kind, body), crc
