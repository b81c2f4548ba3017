"""Columns that are mapped files: giving back the memory of what was played, so that a run is as small as a batch.

The system counts the pages of a mapped file that a process has touched as its memory until it says that it needs them
no more. They stay in the system's own cache, so that reading them again costs little.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from papertape.core.series import Series

_ADVICE = getattr(mmap, "MADV_DONTNEED", None)
"""None where the system knows no such thing; then pages go when memory is short."""


def release(series: Series, begin: int, end: int) -> None:
    """Give back the memory of events [begin, end) of a series that is mapped from the column cache; else do nothing.

    A user's own arrays are left alone, mapped or not: changes of a private mapping would be lost.
    """
    if _ADVICE is None or not series.validated or end <= begin:
        return
    for column in (series.ts, series.start, series.row, *series.columns):
        if column is not None:
            _release(column, begin, end, _ADVICE)


def _release(column: NDArray[Any], begin: int, end: int, advice: int) -> None:
    source = _map_under(column)
    if source is None:
        return
    first = np.frombuffer(source, np.uint8).ctypes.data
    offset = column.ctypes.data - first
    page = mmap.PAGESIZE
    start = -(-(offset + begin * column.itemsize) // page) * page  # whole pages only: the rest belongs to neighbours
    stop = (offset + end * column.itemsize) // page * page
    if stop > start:
        source.madvise(advice, start, stop - start)


def _map_under(column: NDArray[Any]) -> mmap.mmap | None:
    """The mapped file that a column is a view of, None where it is none."""
    base: Any = column
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) and column.flags.c_contiguous else None
