"""A disk whose power can be cut: SQLite's own file layer, with what was written and not yet synced kept apart.

``Disk`` is a VFS of apsw, which brings an SQLite of its own. ``through`` has the journal open its database there, so
that the journal's own statements run, one by one. What a disk does with unsynced writes is its own affair: any of them
may have arrived, in any order, whole or in part, in sectors of 512 bytes.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from papertape.live import journal as subject

SECTOR = 512
_numbers = itertools.count()


def _nothing(_: str) -> None:
    """What happens before and after an operation: nothing."""


class Disk(apsw.VFS):
    """Files below one folder. ``before`` and ``after`` hear of each change of a file, by its kind."""

    def __init__(self, before: Callable[[str], None] = _nothing, after: Callable[[str], None] = _nothing) -> None:
        self.name = f"power-{next(_numbers)}"
        self.before = before
        self.after = after
        self.durable: dict[str, bytes] = {}
        """File -> what would be there whatever happens."""
        self.unsynced: dict[str, list[tuple[int, bytes | None]]] = {}
        """File -> (offset, bytes) of writes, (length, None) of truncations, oldest first."""
        super().__init__(self.name, "", exclude={"xSetSystemCall", "xGetSystemCall", "xNextSystemCall"})

    def knows(self, path: Path) -> None:
        """Take what is in a file now as durable."""
        self.durable[str(path)] = path.read_bytes()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:  # noqa: N802 - SQLite's name
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        self.before("delete")
        super().xDelete(filename, syncdir)
        self.unsynced.pop(filename, None)
        self.durable.pop(filename, None)
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


class _File(apsw.VFSFile):
    """A real file that also notes what was done to it since the last sync."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__("", name, flags)

    def _note(self, at: int, data: bytes | None) -> None:
        if self._name is not None:
            self._disk.unsynced.setdefault(self._name, []).append((at, data))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
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
        self._connection.close(True)


@contextmanager
def _as_sqlite3() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise sqlite3.OperationalError(str(error)) from error


def through(disk: Disk, monkeypatch: pytest.MonkeyPatch, replace: Mapping[str, str] | None = None) -> None:
    """Have the journal open its files on ``disk``. ``replace`` gives another statement for one of the journal's."""
    flags = {"rw": apsw.SQLITE_OPEN_READWRITE, "rwc": apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE}

    def connect(path: Path, mode: str) -> _Connection:
        return _Connection(apsw.Connection(str(path), flags=flags[mode], vfs=disk.name), replace or {})

    monkeypatch.setattr(subject, "_connect", connect)


def fates(random_ones: int, seed: int) -> list[Callable[[], bool]]:
    """What may become of unsynced sectors: none arrives, all do, or some."""
    chance = [random.Random(f"{seed}-{k}") for k in range(random_ones)]
    return [lambda: False, lambda: True, *(lambda each=each: each.random() < 0.5 for each in chance)]
