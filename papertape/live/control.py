"""How a run in progress is found, watched and halted from another process.

Everything goes through files in the run's own folder: whoever may write there may halt the run, from any terminal,
on any system, without a port that others could reach. The run holds a lock on ``run.lock`` for as long as it lives, so
that a crash needs no clean-up; ``halt.json`` asks it to halt, ``halted.json`` is its answer, ``status.json`` its pulse.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from papertape.core.errors import DataError, UserError
from papertape.file_lock import try_lock
from papertape.live.status import LiveStatus, RunState, read_status, status_bytes
from papertape.shelf import LOCK_FILE

STATUS_FILE = "status.json"
HALT_FILE = "halt.json"
ANSWER_FILE = "halted.json"

LOOK_EVERY_S = 0.1
STATUS_EVERY_S = 1.0
LOCK_TIMEOUT_S = 2.0
"""How long a start waits for a lock: whoever looks whether a run lives holds it for a moment."""
ANSWER_TIMEOUT_S = 5.0
_ASK_EVERY_S = 0.02
_FILE_BYTES_MAX = 65_536


# -- the lock ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Life:
    """One process that executes a run. ``id`` tells it from those before and after it in the same folder."""

    id: str
    pid: int
    host: str
    started_ts: int


class RunFolderLock:
    """Held by the process that executes the run in a folder; gone with it, however it ends."""

    def __init__(self, folder: Path, *, timeout_s: float = LOCK_TIMEOUT_S) -> None:
        """Take the lock. UserError where another process has it, DataError where the folder can not be written."""
        self.folder = folder
        path = folder / LOCK_FILE
        try:
            self._file: BinaryIO = path.open("r+b" if path.exists() else "x+b")
        except FileExistsError:  # made in this moment
            self._file = path.open("r+b")
        except OSError as error:
            raise DataError(f"cannot be written ({error.strerror})", path=str(path)) from None
        deadline = time.monotonic() + timeout_s
        while not try_lock(self._file):
            if time.monotonic() > deadline:
                self._file.close()
                life = read_life(folder)
                who = f"process {life.pid} on {life.host}" if life is not None else "another process"
                raise UserError(f"the run in {folder} is being executed by {who}; halt that one first")
            time.sleep(_ASK_EVERY_S)
        self.life = Life(secrets.token_hex(8), os.getpid(), socket.gethostname(), time.time_ns())
        for name in (HALT_FILE, ANSWER_FILE):
            (folder / name).unlink(missing_ok=True)  # for a life before this one; from here on they are for this one
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(asdict(self.life)).encode() + b"\n")
        self._file.flush()

    def release(self) -> None:
        """Give the lock back."""
        self._file.close()


def read_life(folder: Path) -> Life | None:
    """The last process that executed the run in a folder, None where none is known."""
    given = _read_json(folder / LOCK_FILE)
    try:
        return Life(str(given["id"]), int(given["pid"]), str(given["host"]), int(given["started_ts"]))
    except (KeyError, TypeError, ValueError):
        return None


def is_alive(folder: Path) -> bool:
    """Whether a process executes the run in a folder now. Raises DataError where that can not be found out."""
    path = folder / LOCK_FILE
    try:
        with path.open("r+b" if sys.platform == "win32" else "rb") as file:
            return not try_lock(file)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise DataError(f"cannot be opened ({error.strerror}), so whether the run lives is unknown",
                        path=str(path)) from None  # fmt: skip


def _read_json(path: Path) -> dict[str, Any]:
    """A small JSON object; empty where there is none, or it is none."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_FILE_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises OSError."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


# -- the run's side ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Halt:
    """Somebody wants the run to halt. ``by`` says who, ``why`` in whose words."""

    id: str
    by: str
    why: str

    def text(self) -> str:
        """In one line."""
        return f"halted by {self.by}" + (f": {self.why}" if self.why else "")


class Control:
    """The run's ears and pulse: polled by the thread that owns the connection, whatever the strategy does.

    All methods are for that one thread; none raises for a disk that fails.
    """

    def __init__(self, lock: RunFolderLock) -> None:
        folder = lock.folder
        self._halt = folder / HALT_FILE
        self._answer = folder / ANSWER_FILE
        self._status = folder / STATUS_FILE
        self._looked_s = self._wrote_s = float("-inf")
        self._seen: tuple[int, int, int] | None = None
        self._heard: set[str] = set()
        self.failures = 0
        """Files that could not be written."""

    def poll(self, now_s: float | None = None) -> Halt | None:
        """A request to halt that was not heard before. ``now_s`` is a monotonic clock's (default: this machine's).

        Looks at most every ``LOOK_EVERY_S``, and reads only what has changed. A file that is there and makes no sense
        halts too.
        """
        now_s = time.monotonic() if now_s is None else now_s
        if now_s - self._looked_s < LOOK_EVERY_S:
            return None
        self._looked_s = now_s
        try:
            found = self._halt.stat()
        except FileNotFoundError:
            return None
        except OSError:
            self.failures += 1
            return None
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen == self._seen:
            return None
        self._seen = seen
        return self._read(_read_json(self._halt))

    def _read(self, given: dict[str, Any]) -> Halt | None:
        halt = Halt(str(given.get("id", "")), str(given.get("by", f"a file {HALT_FILE}")), str(given.get("why", "")))
        if halt.id in self._heard:
            return None
        self._heard.add(halt.id)
        return halt

    def answer(self, halt: Halt, text: str, *, is_done: bool) -> None:
        """Tell who asked what was done. ``is_done``: nothing more will be said."""
        content = {"id": halt.id, "text": text, "is_done": is_done, "ts": time.time_ns()}
        self._write(self._answer, json.dumps(content).encode() + b"\n")

    def tell(self, status: LiveStatus, now_s: float | None = None, *, is_last: bool = False) -> bool:
        """Write the status where it is time for it, or it is the last one, of a run that has ended; whether it was."""
        if is_last:
            status = replace(status, state=RunState.ENDED.value)
        now_s = time.monotonic() if now_s is None else now_s
        if now_s - self._wrote_s < STATUS_EVERY_S and not is_last:
            return False
        self._wrote_s = now_s
        return self._write(self._status, status_bytes(status))

    def _write(self, path: Path, content: bytes) -> bool:
        try:
            _replace(path, content)
        except OSError:  # a full disk, or on Windows a reader in this moment; the next one may succeed
            self.failures += 1
            return False
        return True


# -- the other side ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """A run of paper or live trading in a folder of runs, as it looks from outside.

    What can not be found out is ``damage``. A run of which it is not known whether it lives counts as alive.
    """

    folder: Path
    is_alive: bool
    life: Life | None
    status: LiveStatus | None
    damage: str = ""

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.name

    @property
    def is_crashed(self) -> bool:
        """Whether it ended without saying so."""
        return not self.is_alive and (self.status is None or self.status.state != RunState.ENDED)


def seen_runs(folder: Path) -> list[Seen]:
    """The runs in a folder that trade or traded, the oldest first by name; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return [_seen(path.parent) for path in sorted(folder.glob(f"[!.]*/{LOCK_FILE}"))]


def seen_elsewhere(folders: Iterable[Path], known: Iterable[Seen]) -> list[Seen]:
    """Runs in ``folders`` that live, or may, and are not among those that are ``known``."""
    places = {each.folder.resolve() for each in known}
    found = [_seen(each) for each in folders if each.resolve() not in places]
    return [each for each in found if each.is_alive]


def _seen(folder: Path) -> Seen:
    damage = ""
    status = None
    lives = True
    try:
        lives = is_alive(folder)
        status = read_status(folder / STATUS_FILE)
    except DataError as error:
        damage = str(error)
    return Seen(folder, lives, read_life(folder), status, damage)


def ask_to_halt(run: Seen, *, by: str, why: str) -> str:
    """Ask a run that lives to halt; the id of the request. Raises DataError where its folder can not be written."""
    request = secrets.token_hex(8)
    content = {"id": request, "by": by, "why": why, "ts": time.time_ns()}
    path = run.folder / HALT_FILE
    try:
        _replace(path, json.dumps(content).encode() + b"\n")
    except OSError as error:
        which = "its process" if run.life is None else f"process {run.life.pid} on {run.life.host}"
        raise DataError(f"the halt cannot be written ({error.strerror}); stop {which}", path=str(path)) from None
    return request


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run said to a request to halt."""

    text: str
    is_done: bool


def answer_to(folder: Path, request: str) -> Answer | None:
    """The run's answer to a request, None while there is none."""
    given = _read_json(folder / ANSWER_FILE)
    if given.get("id") != request:
        return None
    return Answer(str(given.get("text", "")), given.get("is_done") is True)


def wait_for_answers(asked: dict[Path, str], timeout_s: float = ANSWER_TIMEOUT_S) -> dict[Path, Answer]:
    """Answers of runs (folder -> request), each the last word or what was said when the time was over."""
    answers: dict[Path, Answer] = {}
    deadline = time.monotonic() + timeout_s
    while True:
        for folder, request in asked.items():
            if folder not in answers or not answers[folder].is_done:
                found = answer_to(folder, request)
                if found is not None:
                    answers[folder] = found
        is_complete = len(answers) == len(asked) and all(each.is_done for each in answers.values())
        if is_complete or time.monotonic() > deadline:
            return answers
        time.sleep(_ASK_EVERY_S)
