"""Locks between processes of one user: an account and client id is traded by one of them, a journal written by one.

The kernel holds them (``papertape/file_lock.py``) and gives them back when the process ends, however it ends. The files
stay: to delete one would let two processes hold two files of one name. What a file says is who took it last.

What this does not see: another user, another machine, a process with another state folder. TWS itself refuses a client
id that is in use (error 326).
"""

from __future__ import annotations

import contextlib
import os
import time
import urllib.parse
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from papertape.core.errors import ConfigError, DataError, UserError
from papertape.file_lock import try_lock
from papertape.moments import time_text

PATIENCE_S = 0.1
"""How long a lock that is held is asked for: :func:`held_locks` holds each for some microseconds to look at it."""
_ASK_EVERY_S = 0.005
_RUN_LOCKS = "locks"
_HOLDER_BYTES_MAX = 4_096


class FileLock:
    """A file that this process holds, until it lets go or ends."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file

    @classmethod
    def take(cls, path: Path) -> FileLock | None:
        """Hold a file, made if missing; None where it is held already, also by this process. Raises OSError."""
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        deadline_s = time.monotonic() + PATIENCE_S
        while not try_lock(file):
            if time.monotonic() > deadline_s:
                file.close()
                return None
            time.sleep(_ASK_EVERY_S)
        return cls(path, file)

    def write(self, content: bytes) -> None:
        """Make the file say this."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(content)
        self._file.flush()

    def release(self) -> None:
        """Let go; again is nothing."""
        self._file.close()


class Holder(msgspec.Struct, frozen=True):
    """Who trades an account with a client id. ``since`` is UTC nanoseconds, ``run`` the run's name or empty.

    ``folder`` is the run's own, whole; empty where it is not known.
    """

    account: str
    client_id: int
    pid: int
    since: int
    run: str = ""
    folder: str = ""


class RunLock:
    """Held by the one process of a user that trades an account with a client id."""

    def __init__(self, folder: Path, account: str, client_id: int, *, run: str = "", place: str = "") -> None:
        """Take the lock; ``folder`` is the state folder of the user, ``place`` that of the run.

        Raises UserError where another process holds it, saying which, and ConfigError where the folder is not writable.
        """
        assert account, "a lock is for an account"
        locks = Path(folder) / _RUN_LOCKS
        self.path = locks / f"{urllib.parse.quote(account, safe='')}-{client_id}.lock"
        self.holder = Holder(account, client_id, os.getpid(), time.time_ns(), run, place)
        try:
            locks.mkdir(parents=True, exist_ok=True)
            lock = FileLock.take(self.path)
            if lock is None:
                raise UserError(_taken_text(account, client_id, _read_holder(self.path)))
            self._lock = lock
            try:
                lock.write(msgspec.json.encode(self.holder))
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


def _read_holder(lock: Path) -> Holder | None:
    """Who took a lock last; None where that is not known."""
    try:
        with lock.open("rb") as file:
            return msgspec.json.decode(file.read(_HOLDER_BYTES_MAX), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


def held_locks(folder: Path) -> list[Holder]:
    """Who trades now: the holders of all locks in a state folder that are held by a process that lives.

    One that has not said yet who it is, is left out. Raises DataError where a lock cannot be looked at.
    """
    held = (path for path in sorted((Path(folder) / _RUN_LOCKS).glob("*.lock")) if _is_held(path))
    return [holder for path in held if (holder := _read_holder(path)) is not None]


def _is_held(path: Path) -> bool:
    try:
        with contextlib.closing(path.open("r+b")) as file:
            return not try_lock(file)
    except OSError as error:
        what = f"cannot be opened ({error.strerror}), so whether somebody trades is unknown"
        raise DataError(what, path=str(path)) from error
