"""Giving a tape to other processes without reading it again: its columns are mapped from files, not copied.

Columns that are mapped from the column cache stay where they are; others are written once to a folder of ours.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import BytesIO
from mmap import ALLOCATIONGRANULARITY, mmap
from pathlib import Path
from typing import Any

import numpy as np

from papertape.core.series import Tape

_SMALL_BYTES = 4096
_FILE = "tape"


def share(tape: Tape, folder: Path) -> None:
    """Put a tape into an empty folder, for :func:`attach` in any process. Raises OSError."""
    buffer = BytesIO()
    _Sharer(buffer, folder).dump(tape)
    (folder / _FILE).write_bytes(buffer.getvalue())


def attach(folder: Path) -> Tape:
    """The tape that another process of ours put into a folder."""
    tape = pickle.loads((folder / _FILE).read_bytes())  # noqa: S301  (written by our own parent process)
    assert isinstance(tape, Tape), "the folder holds a tape"
    return tape


class _Sharer(pickle.Pickler):
    """Pickles large arrays as the place in a file where they are."""

    def __init__(self, buffer: BytesIO, folder: Path) -> None:
        super().__init__(buffer, protocol=5)
        self._folder = folder
        self._count = 0

    def reducer_override(self, value: Any) -> tuple[Callable[..., Any], tuple[Any, ...]] | Any:
        """Pickle's hook: how to make ``value`` again."""
        if not isinstance(value, np.ndarray) or value.nbytes <= _SMALL_BYTES or value.dtype.hasobject:
            return NotImplemented
        place = _place_in_file(value)
        if place is None:
            path = self._folder / f"{self._count}.bin"
            self._count += 1
            np.ascontiguousarray(value).tofile(path)
            place = (str(path), 0)
        return _mapped, (*place, value.dtype.str, value.shape)


def _place_in_file(array: np.ndarray[Any, Any]) -> tuple[str, int] | None:
    """(file, offset) of an array that is a contiguous stretch of a mapped file, None for any other.

    ``offset`` of a sliced memmap is that of the whole, so the place is computed from addresses.
    """
    if not array.flags.c_contiguous:
        return None
    base: Any = array
    whole = None
    while isinstance(base, np.ndarray):
        whole = base if isinstance(base, np.memmap) and base.filename is not None else whole
        base = base.base
    if whole is None or not isinstance(base, mmap):
        return None
    begin = whole.offset - whole.offset % ALLOCATIONGRANULARITY
    return str(whole.filename), begin + array.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data


def _mapped(path: str, offset: int, dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.memmap(path, dtype=np.dtype(dtype), mode="r", offset=offset, shape=shape)
