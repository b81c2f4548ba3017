"""The column cache: what files were parsed into, so that the next run maps it into memory instead of parsing.

An entry is one folder, named by its key: a hash of the file's absolute path, size, time of change, first and last
block, of the options it was read with and of the format's version. It is written under another name and renamed when
it is whole, its manifest last; an entry that is not what its manifest says counts as absent. Any number of processes
may read and write at the same time. Deleting entries costs time only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from feeds.column_store import Column, ColumnShape, FileColumns, StoreError, block_check
from papertape.core.folders import cache_folder

FORMAT = "columns-1"
"""Version of what is in an entry; a change makes all older entries unreachable."""
LIMIT_BYTES = 20 * 2**30

_MANIFEST = "manifest.json"
_WRITTEN = "written"
"""File of bytes, a number a line: of all entries when they were last looked at, then of what each run wrote since."""
_RUNS_MOST = 1_000
"""After so many lines the entries are looked at anyway: two processes may have lost one another's."""
_KEPT_SHARE = 0.9
"""How much of the limit is kept where entries are removed, so that the next ones need no look."""
_UNFINISHED = "new-"
_ABANDONED_S = 6 * 3600.0
_END_BLOCK_BYTES = 16_384


class _Manifest(msgspec.Struct, frozen=True):
    format: str
    key: str
    source: str
    columns: dict[str, ColumnShape]
    detail: msgspec.Raw


@dataclass(frozen=True, slots=True)
class CachedColumns:
    """An entry that is whole: ``detail`` (JSON) is what its writer said about it, ``columns`` are memory-mapped."""

    detail: bytes
    columns: dict[str, Column]


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One entry as ``papertape cache`` lists it. ``used_ns`` is when it was last used (ns since 1970)."""

    key: str
    source: str
    size_bytes: int
    used_ns: int


def file_key(path: Path, *words: str) -> str:
    """The key of a file's content as read with options (``words``): hex digits. Raises OSError."""
    status = path.stat()
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        digest.update(file.read(_END_BLOCK_BYTES))
        file.seek(max(0, status.st_size - _END_BLOCK_BYTES))
        digest.update(file.read(_END_BLOCK_BYTES))
    return text_key(str(path.absolute()), str(status.st_size), str(status.st_mtime_ns), digest.hexdigest(), *words)


def text_key(*words: str) -> str:
    """The key of whatever the words describe: hex digits."""
    return hashlib.sha256("\0".join((FORMAT, *words)).encode(errors="surrogateescape")).hexdigest()[:40]


class EntryWriter:
    """An entry while it is written: fill ``store``, then ``publish``, or ``discard``."""

    def __init__(self, cache: ColumnCache, key: str, folder: Path) -> None:
        self.store = FileColumns(folder)
        self._cache = cache
        self._key = key
        self._folder = folder

    def publish(self, source: str, detail: bytes) -> CachedColumns:
        """Make the entry visible and return it. Raises StoreError where that fails."""
        try:
            manifest = _Manifest(FORMAT, self._key, source, self.store.close(), msgspec.Raw(detail))
            (self._folder / _MANIFEST).write_bytes(msgspec.json.encode(manifest))
            self._cache.written_bytes += _size(self._folder)
            entry = self._cache.folder / self._key
            try:
                self._folder.rename(entry)
            except OSError:
                # There is one already: another process was faster, or it is damaged and may go.
                found = self._cache.find(self._key)
                if found is not None:
                    self.discard()
                    return found
                shutil.rmtree(entry, ignore_errors=True)
                self._folder.rename(entry)
        except OSError as error:
            self.discard()
            raise StoreError(str(error)) from error
        found = self._cache.find(self._key)
        if found is None:
            raise StoreError("what was written cannot be read back")
        return found

    def discard(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError):
            self.store.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


class ColumnCache:
    """Entries in a folder, the oldest removed where all together exceed ``limit_bytes``.

    ``folder`` is by default "columns" in papertape's cache folder.
    """

    def __init__(self, folder: Path | None = None, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = cache_folder() / "columns" if folder is None else folder
        self.limit_bytes = limit_bytes
        self.written_bytes = 0
        """Bytes of entries that were written here since :meth:`evict`."""
        self._in_use: set[str] = set()
        self._writes = False

    def find(self, key: str) -> CachedColumns | None:
        """The entry of a key, None where there is none that is whole."""
        folder = self.folder / key
        try:
            manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=_Manifest)
            if manifest.format != FORMAT or manifest.key != key:
                return None
            columns = {name: _mapped(folder / name, shape) for name, shape in manifest.columns.items()}
        except (OSError, ValueError, TypeError):  # absent, damaged, or just evicted by another process
            return None
        with contextlib.suppress(OSError):  # a cache that is read-only stays usable
            os.utime(folder / _MANIFEST)
        self._in_use.add(key)
        return CachedColumns(bytes(manifest.detail), columns)

    def forget(self, key: str) -> None:
        """Remove an entry that holds what is not wanted any more."""
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def begin(self, key: str) -> EntryWriter:
        """Start to write an entry. Raises StoreError where the folder can not be written."""
        try:
            if not self._writes:
                self._writes = True
                self.folder.mkdir(parents=True, exist_ok=True)
                self._remove_abandoned()
            return EntryWriter(self, key, Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder)))
        except OSError as error:
            raise StoreError(str(error)) from error

    def entries(self) -> list[CacheEntry]:
        """All entries, the most recently used first."""
        found = []
        for folder in self._folders():
            try:
                manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=_Manifest)
                size = _size(folder)
                used = (folder / _MANIFEST).stat().st_mtime_ns
            except (OSError, ValueError):
                continue  # being removed, or not an entry at all
            if folder.name == manifest.key:
                found.append(CacheEntry(manifest.key, manifest.source, size, used))
        return sorted(found, key=lambda entry: entry.used_ns, reverse=True)

    def clear(self) -> int:
        """Remove all entries, also unfinished ones; how many bytes that freed."""
        freed = 0
        for folder in self._folders():
            with contextlib.suppress(OSError):
                freed += sum(file.stat().st_size for file in folder.iterdir())
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            (self.folder / _WRITTEN).unlink()
        return freed

    def evict(self) -> None:
        """Remove the entries that were used longest ago until the rest fits, sparing those in use here.

        To be called when all is written. It looks at every entry where those that were there at the last look and what
        was written since may exceed the limit together. Nothing is done where nothing was written.
        """
        if not self.written_bytes:
            return
        with contextlib.suppress(OSError):
            with (self.folder / _WRITTEN).open("a+", encoding="ascii") as file:
                file.seek(0)
                lines = file.read().split()
                file.write(f"{self.written_bytes}\n")
            noted = [int(line) for line in lines if line.isdigit()]
            written, self.written_bytes = self.written_bytes, 0
            if 0 < len(noted) < _RUNS_MOST and sum(noted) + written <= self.limit_bytes:
                return
            self._remove_oldest()

    def _remove_oldest(self) -> None:
        entries = self.entries()
        total = sum(entry.size_bytes for entry in entries)
        if total > self.limit_bytes:
            most, total = int(self.limit_bytes * _KEPT_SHARE), 0
            for entry in entries:
                total += entry.size_bytes
                if total > most and entry.key not in self._in_use:
                    shutil.rmtree(self.folder / entry.key, ignore_errors=True)
                    total -= entry.size_bytes
        (self.folder / _WRITTEN).write_text(f"{total}\n", encoding="ascii")

    def _folders(self) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if path.is_dir() and not path.is_symlink()]
        except OSError:
            return []

    def _remove_abandoned(self) -> None:
        """Remove what killed processes left: unfinished entries in which nothing was written for hours."""
        limit = time.time() - _ABANDONED_S
        for folder in self.folder.glob(f"{_UNFINISHED}*"):
            with contextlib.suppress(OSError):
                newest = max([folder.stat().st_mtime, *(file.stat().st_mtime for file in folder.iterdir())])
                if newest < limit:
                    shutil.rmtree(folder, ignore_errors=True)


def _size(folder: Path) -> int:
    """Bytes of a folder's files. Raises OSError."""
    return sum(file.stat().st_size for file in folder.iterdir())


def _mapped(path: Path, shape: ColumnShape) -> Column:
    """A column's file as an array whose changes never reach the file. ValueError where it is not what was written.

    Copy-on-write rather than read-only, and a plain array: compiled code takes each for a type of its own, and would
    be compiled once more for it.
    """
    dtype: np.dtype[Any] = np.dtype(shape.dtype)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != shape.length * dtype.itemsize or block_check(file, size) != shape.check:
            raise ValueError(f"{path} is not what was written")
        if shape.length == 0:
            return np.empty(0, dtype=dtype)
        return np.asarray(np.memmap(file, dtype=dtype, mode="c", shape=(shape.length,)))
