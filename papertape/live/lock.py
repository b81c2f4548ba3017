"""Locks between processes of one user: an account and client id is traded by one of them, a journal written by one.

A lock is an empty SQLite file that is held in an exclusive transaction, which never writes. SQLite asks the kernel for
it (advisory record locks on POSIX, ``LockFileEx`` on Windows), so it is given back when the process ends, however it
ends. The files stay: to delete one would let two processes hold two files of one name. Beside a run's lock a JSON file
says who took it last.

What this does not see: another user, another machine, a process with another state folder. TWS itself refuses a client
id that is in use (error 326).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import urllib.parse
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from papertape.core.errors import ConfigError, DataError, UserError
from papertape.moments import time_text

PATIENCE_S = 0.1
"""How long a lock that is held is asked for: :func:`held_locks` holds each for some microseconds to look at it."""
_RUN_LOCKS = "locks"


class FileLock:
    """A file that this process holds, until it lets go or ends. One thread at a time uses it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def take(cls, path: Path) -> FileLock | None:
        """Hold the file, made if missing; None where another (also of this process) holds it. Raises DataError."""
        try:
            connection = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = MEMORY")  # else a file beside, for a rollback of nothing
                connection.execute("BEGIN EXCLUSIVE")
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            if _is_busy(error):
                return None
            what = f"cannot lock this file ({error}); make its folder writable, or remove it if nothing uses it"
            raise DataError(what, path=str(path)) from error
        return cls(path, connection)

    def release(self) -> None:
        """Let go; again is nothing."""
        self._connection.close()


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Holder(msgspec.Struct, frozen=True):
    """Who trades an account with a client id. ``since`` is UTC nanoseconds, ``run`` the run's name or empty."""

    account: str
    client_id: int
    pid: int
    since: int
    run: str = ""


class RunLock:
    """Held by the one process of a user that trades an account with a client id."""

    def __init__(self, folder: Path, account: str, client_id: int, *, run: str = "") -> None:
        """Take the lock; ``folder`` is the state folder of the user.

        Raises UserError where another process holds it, saying which, and ConfigError where the folder is not writable.
        """
        assert account, "a lock is for an account"
        locks = Path(folder) / _RUN_LOCKS
        self.path = locks / f"{urllib.parse.quote(account, safe='')}-{client_id}.lock"
        self.holder = Holder(account, client_id, os.getpid(), time.time_ns(), run)
        try:
            locks.mkdir(parents=True, exist_ok=True)
            lock = FileLock.take(self.path)
            if lock is None:
                raise UserError(_taken_text(account, client_id, _read_holder(self.path)))
            self._lock = lock
            try:
                _write_holder(self.path, self.holder)
            except BaseException:
                lock.release()
                raise
        except OSError as error:
            what = f"cannot write to {locks} ({error.strerror}), where running processes are known"
            raise ConfigError(f"{what}; set PAPERTAPE_STATE to choose another folder") from error

    def release(self) -> None:
        """Let another process have it; again is nothing."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def _taken_text(account: str, client_id: int, holder: Holder | None) -> str:
    if holder is None:
        who = "another process"
    else:
        who = f"process {holder.pid} since {time_text(holder.since, 'UTC')}"
        who += f" (run {holder.run})" if holder.run else ""
    stop = f"stop it (papertape halt {holder.run})" if holder is not None and holder.run else "stop it"
    return f"account {account} with client id {client_id} is traded by {who}; {stop}, or take another --client-id"


def _holder_path(lock: Path) -> Path:
    return lock.with_suffix(".json")


def _write_holder(lock: Path, holder: Holder) -> None:
    """Say who holds a lock: whole or not at all, for whoever reads it meanwhile."""
    partial = lock.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(holder))
    partial.replace(_holder_path(lock))


def _read_holder(lock: Path) -> Holder | None:
    """Who took a lock last; None where that is not known."""
    try:
        return msgspec.json.decode(_holder_path(lock).read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


def held_locks(folder: Path) -> list[Holder]:
    """Who trades now: the holders of all locks in a state folder that are held by a process that lives."""
    held = (path for path in sorted((Path(folder) / _RUN_LOCKS).glob("*.lock")) if _is_held(path))
    return [holder for path in held if (holder := _read_holder(path)) is not None]


def _is_held(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as connection:
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchall()
        except sqlite3.OperationalError as error:
            return _is_busy(error)
    return False
