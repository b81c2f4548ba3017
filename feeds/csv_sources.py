"""Where CSV bytes come from: which files are meant, what they are packed in, and their bytes in whole lines."""

from __future__ import annotations

import glob
import gzip
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import numpy as np
import zstandard

from feeds.csv_codes import LINE_BYTES_MAX
from papertape.core.errors import DataError
from papertape.core.series import U1

ENDINGS = (".csv", ".csv.gz", ".csv.zst", ".csv.zip", ".csv.txt")
"""What the files of a folder end in that are read; a file that is named itself may be called anything."""
FIRST_PIECE_BYTES = 1 << 18
PIECE_BYTES = 1 << 22

_REFERENCE = ("instruments", "actions", "scans")
_ZSTD_STEP_BYTES = 4096  # a hostile frame unpacks 4 bytes to 128 KB, so what is fed at once must be little


class Packing(Enum):
    """What a file is packed in, told by its first bytes."""

    NONE = b""
    GZIP = b"\x1f\x8b"
    ZSTD = b"\x28\xb5\x2f\xfd"
    ZIP = b"PK"


@dataclass(frozen=True, slots=True)
class Source:
    """One CSV text: a file, or a member of a zip file. ``shown`` is its name in messages."""

    path: Path
    packing: Packing
    member: str = ""
    named: str = ""
    """What its symbol is taken from where it has no column for that."""

    @property
    def shown(self) -> str:
        """The name in messages."""
        return f"{self.path}!{self.member}" if self.member else str(self.path)


def find_sources(paths: Sequence[str | Path]) -> list[Source]:
    """The CSV texts that paths (files, folders, patterns) mean, in that order, each once; folders are sorted.

    Raises DataError for a path that is missing, holds nothing, or is no plain file.
    """
    files: dict[Path, None] = {}
    for path in paths:
        for found in _files_of(Path(path).expanduser()):
            files.setdefault(found)
    return [source for file in files for source in _texts_of(file)]


def _files_of(path: Path) -> list[Path]:
    mode = _mode(path)
    if mode is None:
        if not glob.has_magic(str(path)):
            raise DataError("there is no such file or folder; check the path", path=str(path))
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
        if not matches:
            raise DataError("the pattern matches no file; check the path", path=str(path))
        return [found for match in matches for found in _files_of(match) if not is_reference(found.name)]
    if not stat.S_ISDIR(mode):
        return [path]
    found = []
    for folder, subfolders, names in os.walk(path):
        subfolders.sort()
        found += [Path(folder, name) for name in sorted(names) if name.lower().endswith(ENDINGS)]
    found = [file for file in found if not is_reference(file.name)]
    if not found:
        raise DataError("the folder holds no CSV file; name a folder with .csv, .csv.gz, .csv.zst or .csv.zip files",
                        path=str(path))  # fmt: skip
    return found


def is_reference(name: str) -> bool:
    """Whether a file of this name holds instruments, corporate actions or scans, not market data."""
    stem, _, ending = name.lower().partition(".")
    return ending.startswith("csv") and (stem in _REFERENCE[:2] or stem.startswith(_REFERENCE[2]))


def _mode(path: Path) -> int | None:
    """The file's mode, None where there is none. Raises DataError where it can not be asked for."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise DataError("the link leads nowhere; remove it or mend it", path=str(path)) from None
        return None
    except OSError as error:  # a loop of links, no permission, a name that is too long
        raise DataError(f"cannot be opened ({error.strerror}); check the path", path=str(path)) from None


def _texts_of(file: Path) -> list[Source]:
    mode = _mode(file)
    if mode is None or not stat.S_ISREG(mode):
        raise DataError("not a plain file (a pipe, socket or device); write the data to a file first", path=str(file))
    try:
        with file.open("rb") as opened:
            head = opened.read(4)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); check its permissions", path=str(file)) from None
    packing = next((each for each in Packing if each.value and head.startswith(each.value)), Packing.NONE)
    if packing is not Packing.ZIP:
        return [Source(file, packing, named=file.name)]
    try:
        with zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if _is_text(info)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"the zip file is cut short or damaged ({error}); get it again", path=str(file)) from None
    if not members:
        raise DataError("the zip file holds no .csv file; name one that does", path=str(file))
    if any(info.flag_bits & 1 for info in members):
        raise DataError("the zip file is encrypted; unpack it first", path=str(file))
    alone = len(members) == 1
    return [
        Source(file, packing, info.filename, file.name if alone else info.filename.rpartition("/")[2])
        for info in sorted(members, key=lambda info: info.filename)
    ]


def _is_text(info: zipfile.ZipInfo) -> bool:
    name = info.filename.rpartition("/")[2]
    ours = name.lower().endswith((".csv", ".txt")) and not info.filename.startswith("__MACOSX/")
    return ours and not info.is_dir() and not is_reference(name)


class ByteStream(Protocol):
    """Something that bytes can be read from."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the buffer from its start and return how many bytes came; 0 at the end."""
        ...


class _Zstd:
    """The content of a zstd file, frame after frame. Raises EOFError where the last one is not whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._started = False
        self._ready = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        while not self._ready:
            packed = self._rest() or self._file.read(_ZSTD_STEP_BYTES)
            if not packed:
                if self._started and not self._frame.eof:
                    raise EOFError("its end is missing")
                return 0
            self._started = True
            self._ready = memoryview(self._frame.decompress(packed))
        count = min(len(self._ready), len(buffer))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _rest(self) -> bytes:
        """What was left behind the end of a frame; a new frame begins with it."""
        if not self._frame.eof:
            return b""
        rest = self._frame.unused_data
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._started = False
        return rest


@dataclass(slots=True, eq=False)
class Opened:
    """A source that is being read. ``packed_read`` is how far into the file it got (bytes)."""

    source: Source
    file: BinaryIO
    stream: ByteStream
    limit_bytes: int
    unpacked: int = 0

    @property
    def packed_read(self) -> int:
        """How many bytes of the file itself were read."""
        return self.unpacked if self.source.packing is Packing.NONE else self.file.tell()

    def fill(self, buffer: memoryview) -> int:
        """Fill a buffer as far as there is content; fewer bytes come only at the end."""
        filled = 0
        name = self.source.packing.name.lower()
        try:
            while filled < len(buffer):
                count = self.stream.readinto(buffer[filled:]) or 0
                if count == 0:
                    break
                filled += count
        except EOFError:
            raise DataError(f"the {name} file is cut short; get it again", path=self.source.shown) from None
        except (zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, zstandard.ZstdError) as error:
            raise DataError(f"the {name} file is damaged ({error}); get it again", path=self.source.shown) from None
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror or error})", path=self.source.shown) from None
        self.unpacked += filled
        if self.source.packing is not Packing.NONE and self.unpacked > self.limit_bytes:
            raise DataError(
                f"unpacks to more than {self.limit_bytes:,} bytes; if that is meant, unpack it first or raise the limit",
                path=self.source.shown,
            )
        return filled


def open_source(source: Source, limit_bytes: int) -> Opened:
    """Begin to read a source. The caller closes ``file``. Raises DataError where that can not be."""
    try:
        file = source.path.open("rb", buffering=io.DEFAULT_BUFFER_SIZE if source.packing is not Packing.NONE else 0)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path=source.shown) from None
    stream: ByteStream
    if source.packing is Packing.GZIP:
        stream = gzip.GzipFile(fileobj=file, mode="rb")
    elif source.packing is Packing.ZSTD:
        stream = _Zstd(file)
    elif source.packing is Packing.ZIP:
        try:
            stream = cast(ByteStream, zipfile.ZipFile(file).open(source.member))  # noqa: SIM115 - lives as long as ``file``
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            file.close()
            raise DataError(f"the zip file is damaged ({error}); get it again", path=source.shown) from None
    else:
        stream = cast(ByteStream, file)
    return Opened(source, file, stream, limit_bytes)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Whole lines of a source (uint8). ``cut_short`` says that the source's last line had no end; it has one here."""

    data: U1
    cut_short: bool = False


def pieces(opened: Opened) -> Iterator[Piece]:
    """A source's bytes in whole lines: a small piece first, so that what it is shows early."""
    carry = b""
    size = FIRST_PIECE_BYTES
    while True:
        data = np.empty(len(carry) + size + 1, dtype=np.uint8)
        view = data.data
        view[: len(carry)] = carry
        end = len(carry) + opened.fill(view[len(carry) : -1])
        if end < len(data) - 1:
            cut_short = end > 0 and data[end - 1] not in (10, 13)
            if cut_short:
                data[end] = 10
                end += 1
            yield Piece(data[:end], bool(cut_short))
            return
        cut = _last_line_end(view[:end])
        carry = bytes(view[cut:end])
        if len(carry) > LINE_BYTES_MAX:
            raise DataError(f"a line is longer than {LINE_BYTES_MAX:,} bytes; is this a CSV file?",
                            path=opened.source.shown)  # fmt: skip
        if cut:
            yield Piece(data[:cut])
        size = PIECE_BYTES


def _last_line_end(view: memoryview) -> int:
    """Position behind the last line end; a CR at the very end may be half of CRLF and does not count. 0 for none."""
    for length in (65_536, len(view)):
        tail = bytes(view[-length:])
        found = max(tail.rfind(b"\n"), tail.rfind(b"\r", 0, len(tail) - 1))
        if found >= 0:
            return len(view) - len(tail) + found + 1
    return 0
