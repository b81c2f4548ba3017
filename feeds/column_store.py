"""Columns while they are written: in memory, or in files so that they never have to fit into it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]


class ColumnStore(Protocol):
    """Named columns that grow at the end, or that have a length and are written anywhere."""

    def append(self, name: str, values: Column) -> None:
        """Put values behind the column's end; the first ones make it and give it its type."""
        ...

    def create(self, name: str, dtype: str, length: int) -> None:
        """Make a column of a length, to be written in any order."""
        ...

    def write(self, name: str, at: int, values: Column) -> None:
        """Overwrite a stretch of a column."""
        ...

    def read(self, name: str, begin: int, end: int) -> Column:
        """A stretch of a column; to be read only."""
        ...

    def replace(self, name: str, by: str) -> None:
        """Let column ``by`` take the place of ``name``."""
        ...

    def remove(self, name: str) -> None:
        """Forget a column."""
        ...

    def clear(self) -> None:
        """Forget all columns."""
        ...


@dataclass(slots=True, eq=False)
class MemoryColumns:
    """Columns in memory."""

    _parts: dict[str, list[Column]] = field(default_factory=dict)

    def append(self, name: str, values: Column) -> None:
        """See ColumnStore."""
        self._parts.setdefault(name, []).append(values.copy())

    def create(self, name: str, dtype: str, length: int) -> None:
        """See ColumnStore."""
        self._parts[name] = [np.empty(length, dtype=dtype)]

    def write(self, name: str, at: int, values: Column) -> None:
        """See ColumnStore."""
        self.column(name)[at : at + len(values)] = values

    def read(self, name: str, begin: int, end: int) -> Column:
        """See ColumnStore."""
        return self.column(name)[begin:end]

    def replace(self, name: str, by: str) -> None:
        """See ColumnStore."""
        self._parts[name] = self._parts.pop(by)

    def remove(self, name: str) -> None:
        """See ColumnStore."""
        del self._parts[name]

    def clear(self) -> None:
        """See ColumnStore."""
        self._parts.clear()

    def column(self, name: str) -> Column:
        """A whole column."""
        parts = self._parts[name]
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
        return parts[0]

    def columns(self) -> dict[str, Column]:
        """All columns, read-only."""
        for name in self._parts:
            self.column(name).flags.writeable = False
        return {name: self.column(name) for name in self._parts}


class StoreError(Exception):
    """The files of columns could not be written; what they were to hold must go elsewhere."""


@dataclass(slots=True, eq=False)
class _ColumnFile:
    path: Path
    dtype: np.dtype[Any]
    file: BinaryIO
    length: int = 0


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """What a column's file must look like: numpy type, number of values, CRC-32 of its first and last block."""

    dtype: str
    length: int
    check: int


CHECKED_BYTES = 4096


def block_check(file: BinaryIO, size: int) -> int:
    """CRC-32 of a file's first and last ``CHECKED_BYTES``."""
    file.seek(0)
    check = zlib.crc32(file.read(CHECKED_BYTES))
    file.seek(max(0, size - CHECKED_BYTES))
    return zlib.crc32(file.read(CHECKED_BYTES), check)


def _bytes_of(values: Column) -> memoryview:
    """The memory of a contiguous array."""
    return values.data.cast("B") if len(values) else memoryview(b"")


@dataclass(slots=True, eq=False)
class FileColumns:
    """Columns in files of a folder, one a column, values in the machine's order. Raises StoreError on a full disk."""

    folder: Path
    _files: dict[str, _ColumnFile] = field(default_factory=dict)

    def append(self, name: str, values: Column) -> None:
        """See ColumnStore."""
        entry = self._files.get(name) or self._make(name, values.dtype)
        self._put(entry, entry.length, values)
        entry.length += len(values)

    def create(self, name: str, dtype: str, length: int) -> None:
        """See ColumnStore."""
        entry = self._make(name, np.dtype(dtype))
        try:
            entry.file.truncate(length * entry.dtype.itemsize)
        except OSError as error:
            raise StoreError(str(error)) from error
        entry.length = length

    def write(self, name: str, at: int, values: Column) -> None:
        """See ColumnStore."""
        self._put(self._files[name], at, values)

    def read(self, name: str, begin: int, end: int) -> Column:
        """See ColumnStore."""
        entry = self._files[name]
        values = np.empty(min(end, entry.length) - begin, dtype=entry.dtype)
        entry.file.seek(begin * entry.dtype.itemsize)
        view = _bytes_of(values)
        while view:
            count = entry.file.readinto(view)  # type: ignore[attr-defined] # an unbuffered file has it
            if not count:
                raise StoreError(f"{entry.path} is shorter than it was written")
            view = view[count:]
        return values

    def replace(self, name: str, by: str) -> None:
        """See ColumnStore."""
        if name in self._files:
            self.remove(name)
        entry = self._files.pop(by)
        entry.file.close()  # some systems do not rename an open file
        try:
            entry.path = entry.path.rename(self.folder / name)
            entry.file = entry.path.open("r+b", buffering=0)
        except OSError as error:
            raise StoreError(str(error)) from error
        self._files[name] = entry

    def remove(self, name: str) -> None:
        """See ColumnStore."""
        entry = self._files.pop(name)
        entry.file.close()
        entry.path.unlink()

    def clear(self) -> None:
        """See ColumnStore."""
        for name in list(self._files):
            self.remove(name)

    def close(self) -> dict[str, ColumnShape]:
        """Close the files; what each must look like from now on."""
        shapes = {}
        for name, entry in self._files.items():
            size = entry.length * entry.dtype.itemsize
            shapes[name] = ColumnShape(entry.dtype.str, entry.length, block_check(entry.file, size))
            entry.file.close()
        return shapes

    def _make(self, name: str, dtype: np.dtype[Any]) -> _ColumnFile:
        path = self.folder / name
        try:
            file: BinaryIO = path.open("w+b", buffering=0)
        except OSError as error:
            raise StoreError(str(error)) from error
        entry = self._files[name] = _ColumnFile(path, dtype, file)
        return entry

    def _put(self, entry: _ColumnFile, at: int, values: Column) -> None:
        view = _bytes_of(np.ascontiguousarray(values))
        try:
            entry.file.seek(at * entry.dtype.itemsize)
            while view:
                view = view[entry.file.write(view) :]
        except OSError as error:
            raise StoreError(str(error)) from error
