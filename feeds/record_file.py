"""One CSV file of a recording: whole lines appended, and what a crash left mended when it is opened again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from papertape.core.errors import DataError

PENDING_BYTES_MAX = 16 << 20
"""Lines that wait for a disk which takes nothing; beyond that they are lost, and counted."""
FLUSH_BYTES = 1 << 16
_TAIL_BYTES = 1 << 16
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class RecordFile:
    """A CSV file that only grows. Its header is written with its first row: a file without rows is never left behind.

    ``rows`` counts them, those of earlier recordings too. ``last_row`` are the fields of the last one when it was opened.
    """

    def __init__(self, path: Path, header: str) -> None:
        """Open a file, new or old, and cut off a line that a crash left unfinished. Raises DataError."""
        self.path = path
        self.lost_rows = self.failed_writes = self.cut_bytes = 0
        self.rows = 0
        self.last_row: list[str] = []
        self._pending = bytearray()
        self._whole = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, _FLAGS, 0o644)
        except OSError as error:
            raise DataError(f"cannot be written ({error.strerror})", path=str(path)) from None
        try:
            self._mend(header)
        except BaseException:
            os.close(self._handle)
            raise

    def _mend(self, header: str) -> None:
        size = os.fstat(self._handle).st_size
        end = size - self._after_last_line(size)
        if end < size:
            os.ftruncate(self._handle, end)
            self.cut_bytes = size - end
        if not end:
            self._pending += f"{header}\n".encode()
            return
        lines = self._lines()
        first = next(lines)
        if first != header:
            raise DataError("has other columns than a recording; record to a new folder", path=str(self.path), line=1)
        last = ""
        for line in lines:
            last = line
            self.rows += 1
        self.last_row = last.split(",") if last else []

    def _after_last_line(self, size: int) -> int:
        """Bytes behind the last line end."""
        behind = 0
        while behind < size:
            length = min(_TAIL_BYTES, size - behind)
            os.lseek(self._handle, size - behind - length, os.SEEK_SET)
            at = os.read(self._handle, length).rfind(b"\n")
            if at >= 0:
                return behind + length - at - 1
            behind += length
        return size

    def _lines(self) -> Iterator[str]:
        with self.path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                yield line.rstrip("\n")

    def read_rows(self) -> Iterator[list[str]]:
        """The fields of the rows that are in the file."""
        lines = self._lines()
        next(lines, None)
        for line in lines:
            yield line.split(",")

    def add(self, line: str) -> None:
        """Append a row, which ends with a line end; it is written at the next flush, or once there are many."""
        if len(self._pending) > PENDING_BYTES_MAX:
            self.lost_rows += 1
            return
        self._pending += line.encode()
        self.rows += 1
        if len(self._pending) - self._whole >= FLUSH_BYTES:
            self.flush()
            self._whole = len(self._pending)

    def flush(self) -> None:
        """Hand what is waiting to the system; what it does not take waits on, in the middle of a line too."""
        self._whole = 0
        if not self.rows:
            return
        try:
            while self._pending:
                written = os.write(self._handle, self._pending)
                del self._pending[:written]
        except OSError:
            self.failed_writes += 1

    def close(self) -> None:
        """Write what is waiting, to the disk itself, and close. What can not be written is counted as lost."""
        self.flush()
        if self._pending:
            self.lost_rows += self._pending.count(b"\n")
            self._pending.clear()
        try:
            if self.rows:
                os.fsync(self._handle)
        except OSError:
            self.failed_writes += 1
        os.close(self._handle)
        if not self.rows:
            self.path.unlink(missing_ok=True)
