"""A disk whose power can be cut: SQLite's own file layer, with what was written and not yet synced kept apart.

``Disk`` is a VFS of apsw, which brings an SQLite of its own. Where the journal opens its database with a ``connector``,
its own statements run there, one by one. What a disk does with unsynced writes is its own affair: any of them may have
arrived, whole or in part, in sectors of 512 bytes; a removal that is not synced may not have happened.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512
_numbers = itertools.count()


def _nothing(_: str) -> None:
    """What happens before and after an operation: nothing."""


class Disk(apsw.VFS):
    """Real files. ``before`` and ``after`` hear of each change of one, by its kind; ``tear`` makes a write two."""

    def __init__(
        self,
        before: Callable[[str], None] = _nothing,
        after: Callable[[str], None] = _nothing,
        *,
        tear: bool = False,
    ) -> None:
        self.name = f"power-{next(_numbers)}"
        self.before = before
        self.after = after
        self.tear = tear
        self.durable: dict[str, bytes] = {}
        """File -> what would be there whatever happens."""
        self.unsynced: dict[str, list[tuple[int, bytes | None]]] = {}
        """File -> (offset, bytes) of writes, (length, None) of truncations, oldest first."""
        self.removed: dict[str, bytes] = {}
        """File -> what it held when it was removed, where that is not synced."""
        super().__init__(self.name, "", exclude={"xSetSystemCall", "xGetSystemCall", "xNextSystemCall"})

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:  # noqa: N802 - SQLite's name
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        self.before("delete")
        super().xDelete(filename, syncdir)
        self.unsynced.pop(filename, None)
        content = self.durable.pop(filename, None)
        if content is not None and not syncdir:
            self.removed[filename] = content
        self.after("delete")

    def after_a_cut(self, arrived: Callable[[], bool]) -> Iterator[tuple[str, bytes]]:
        """(name, content) of the files that are there after a power cut. ``arrived`` is asked for each sector."""
        for name in sorted({*self.durable, *self.unsynced}):
            content = bytearray(self.durable.get(name, b""))
            is_there = name in self.durable
            for at, data in self.unsynced.get(name, ()):
                if data is None:
                    if arrived():
                        del content[at:]
                    continue
                for begin in range(0, len(data), SECTOR):
                    if arrived():
                        is_there = True
                        _write(content, at + begin, data[begin : begin + SECTOR])
            if is_there:
                yield Path(name).name, bytes(content)
        for name, gone in sorted(self.removed.items()):
            if name not in self.unsynced and not arrived():
                yield Path(name).name, gone


class _File(apsw.VFSFile):
    """A real file that also notes what was done to it since the last sync."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else name
        if self._name is not None and self._name not in disk.unsynced and Path(self._name).exists():
            disk.durable.setdefault(self._name, Path(self._name).read_bytes())
        super().__init__("", name, flags)

    def _note(self, at: int, data: bytes | None) -> None:
        if self._name is not None:
            self._disk.unsynced.setdefault(self._name, []).append((at, data))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.tear:
            super().xWrite(data[: len(data) // 2], offset)
        self._disk.before("write")
        super().xWrite(data, offset)
        self._note(offset, bytes(data))
        self._disk.after("write")

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.before("truncate")
        super().xTruncate(newsize)
        self._note(newsize, None)
        self._disk.after("truncate")

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.before("sync")
        super().xSync(flags)
        if self._name is not None:
            content = bytearray(self._disk.durable.get(self._name, b""))
            for at, data in self._disk.unsynced.pop(self._name, ()):
                if data is None:
                    del content[at:]
                else:
                    _write(content, at, data)
            self._disk.durable[self._name] = bytes(content)
            self._disk.removed.pop(self._name, None)
        self._disk.after("sync")


def _write(content: bytearray, at: int, data: bytes) -> None:
    content.extend(bytes(max(0, at - len(content))))
    content[at : at + len(data)] = data


class _Connection:
    """An apsw connection as Python's own module has it, as far as the journal asks for it."""

    def __init__(self, connection: apsw.Connection, replace: Mapping[str, str]) -> None:
        self._connection = connection
        self._replace = replace

    def execute(self, statement: str, values: Iterable[Any] = ()) -> apsw.Cursor:
        with _as_sqlite3():
            return self._connection.execute(self._replace.get(statement, statement), tuple(values))

    def executemany(self, statement: str, rows: Iterable[Iterable[Any]]) -> None:
        with _as_sqlite3():
            self._connection.executemany(statement, [tuple(row) for row in rows])

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        with suppress(apsw.Error):  # Python's own module does not say either what went wrong in folding in the log
            self._connection.close(True)


_CODES = {
    apsw.BusyError: sqlite3.SQLITE_BUSY,
    apsw.CorruptError: sqlite3.SQLITE_CORRUPT,
    apsw.FullError: sqlite3.SQLITE_FULL,
    apsw.IOError: sqlite3.SQLITE_IOERR,
}


@contextmanager
def _as_sqlite3() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raised = sqlite3.OperationalError(str(error))
        raised.sqlite_errorcode = _CODES.get(type(error), sqlite3.SQLITE_ERROR)
        raise raised from error


def connector(disk: Disk, replace: Mapping[str, str] | None = None) -> Callable[[Path, str], _Connection]:
    """What opens a database on ``disk`` as the journal would. ``replace`` gives other statements for the journal's."""
    flags = {"rw": apsw.SQLITE_OPEN_READWRITE, "rwc": apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE}

    def connect(path: Path, mode: str) -> _Connection:
        return _Connection(apsw.Connection(str(path), flags=flags[mode], vfs=disk.name), replace or {})

    return connect


def fates(random_ones: int, seed: int) -> list[Callable[[], bool]]:
    """What may become of unsynced sectors: none arrives, all do, or some."""
    chance = [random.Random(f"{seed}-{k}") for k in range(random_ones)]
    return [lambda: False, lambda: True, *(lambda each=each: each.random() < 0.5 for each in chance)]
