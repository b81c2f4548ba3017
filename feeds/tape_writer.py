"""Writing a tape: CSV files of fixed-point columns, and ``tape.json``, which says what the files mean.

Prices travel as integers in units of a power of ten, so what is written does not depend on how a machine or a
library prints floating-point numbers.
"""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
from numpy.typing import NDArray

from papertape.core.compiled import compiled
from papertape.core.errors import DataError
from papertape.core.series import I8, U1

MANIFEST = "tape.json"
BLANK = -(2**63)
"""The integer that is written as an empty field."""
DECIMALS_KEPT = 2
"""Trailing zeros beyond so many decimals are left out: 181.5, in units of 1e-4, is written 181.50."""

TRADE_HEADER = ("ts", "price", "size")
QUOTE_HEADER = ("ts", "bid", "ask", "bid_size", "ask_size")
BAR_HEADER = ("ts", "open", "high", "low", "close", "volume")

_ROWS_AT_ONCE = 65_536
_FIELD_BYTES = 24  # sign, 19 digits, point, separator, and room to spare


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What ``tape.json`` says about the files beside it.

    ``bar_stamp`` ("open" or "close") is what a bar's time means; ``bar_ns`` is the bars' interval, 0 where unknown
    or where bars are sessions. ``zone`` is the exchange's. ``derived`` names the folders whose files say nothing
    that other files of the tape do not (bars of the very trades). ``adjusted`` is True where prices are multiplied
    by split and dividend factors. ``seed`` belongs to ``synthetic`` tapes.
    """

    bar_stamp: str = ""
    bar_ns: int = 0
    zone: str = "America/New_York"
    calendar: str = "XNYS"
    synthetic: bool = False
    seed: int | None = None
    adjusted: bool = False
    derived: tuple[str, ...] = ()
    note: str = ""


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's ``tape.json``, None where it has none. Raises DataError where it can not be understood."""
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=str(path)) from None
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"is not a tape's description ({error}); mend or delete it", path=str(path)) from None
    if manifest.bar_stamp not in ("", "open", "close"):
        raise DataError(f'bar_stamp is "{manifest.bar_stamp[:32]}"; say "open" or "close"', path=str(path))
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the folder's ``tape.json``, whole or not at all."""
    write_file(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def write_file(path: Path, content: bytes) -> None:
    """Write a small file, whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def write_columns(
    path: Path, header: Sequence[str], columns: Sequence[I8], decimals: Sequence[int], *, compress: bool = False
) -> int:
    """Write int64 columns of shape (n,) as CSV and return the number of bytes written.

    Column i is in units of 10**-decimals[i]; ``BLANK`` becomes an empty field. With ``compress`` the file is gzip
    (whatever its name). Equal columns give equal bytes on every machine; compressed ones with equal zlib.
    """
    with path.open("wb") as raw:
        if compress:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed:
                _write_rows(packed, header, columns, decimals)
        else:
            _write_rows(raw, header, columns, decimals)
        return raw.seek(0, io.SEEK_END)


def _write_rows(
    file: IO[bytes] | gzip.GzipFile, header: Sequence[str], columns: Sequence[I8], decimals: Sequence[int]
) -> None:
    """Header and rows, a chunk at a time."""
    file.write((",".join(header) + "\n").encode())
    places = np.array(decimals, dtype=np.int64)
    buffer = np.empty(_ROWS_AT_ONCE * len(columns) * _FIELD_BYTES, dtype=np.uint8)
    for begin in range(0, len(columns[0]), _ROWS_AT_ONCE):
        rows = np.ascontiguousarray(
            np.stack([np.asarray(column[begin : begin + _ROWS_AT_ONCE], dtype=np.int64) for column in columns], axis=1)
        )
        file.write(buffer[: format_rows(rows, places, buffer)].data)


@compiled
def format_rows(rows: NDArray[np.int64], decimals: I8, out: U1) -> int:
    """Print rows (n, k) of fixed-point integers as CSV lines into ``out``; returns the number of bytes."""
    at = 0
    digits = np.empty(20, dtype=np.uint8)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            value = rows[i, j]
            if value != BLANK:
                places = decimals[j]
                if value < 0:
                    out[at] = 45  # -
                    at += 1
                    value = -value
                while places > DECIMALS_KEPT and value % 10 == 0:
                    value //= 10
                    places -= 1
                count = 0
                while value > 0 or count <= places:
                    digits[count] = 48 + value % 10
                    value //= 10
                    count += 1
                while count > 0:
                    if count == places:
                        out[at] = 46  # .
                        at += 1
                    count -= 1
                    out[at] = digits[count]
                    at += 1
            out[at] = 44  # ,
            at += 1
        out[at - 1] = 10  # end of line in place of the last comma
    return at
