"""Parquet files as series; needs the extra ``parquet`` (PyArrow)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feeds.csv_columns import symbol_fault, symbol_of_name
from feeds.frames import ArrayOptions, Table, table_series
from papertape.core.errors import ConfigError, DataError
from papertape.core.series import Series

ENDINGS = (".parquet", ".pq")


def is_parquet(path: Path) -> bool:
    """Whether a path is named as a Parquet file."""
    return path.suffix.lower() in ENDINGS


def read_parquet(path: Path | str, options: ArrayOptions | None = None, rank: int = 0) -> tuple[Series, ...]:
    """The series of one Parquet file: of the symbols in its symbol column, or of the one that the file is named after.

    Columns are named as in CSV files. Nothing is copied where a column is one chunk of int64, float64 or
    timestamps without nulls. The values are checked when they are played (``Series.validated`` is False).

    Raises ConfigError where PyArrow is not installed, DataError for a file that can not be used.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigError("Parquet files need PyArrow; install it where papertape is: pip install pyarrow") from None
    path = Path(path)
    if not path.is_file():
        raise DataError("is not a file" if path.exists() else "there is no such file", path=str(path))
    try:
        content = pq.read_table(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"is not a sound Parquet file ({str(error).splitlines()[0]})", path=str(path)) from None
    columns: dict[str, NDArray[Any]] = {}
    aware = set()
    for name, column in zip(content.column_names, content.columns, strict=True):
        if name in columns:
            raise DataError(f'column "{name[:40]}" is there twice; keep one', path=str(path))
        columns[name] = _array(column, pa)
        if pa.types.is_timestamp(column.type) and column.type.tz is not None:
            aware.add(name)  # Arrow keeps aware times in UTC
    table = Table(str(path), columns, frozenset(aware))
    symbol, _ = symbol_of_name(path.stem if is_parquet(path) else path.name)
    has_symbols = bool({"symbol", "ticker", "sym", "instrument"} & {name.strip().lower() for name in columns})
    if not has_symbols and (fault := symbol_fault(symbol)):
        raise DataError(f'its name gives no symbol: "{symbol[:40]}" {fault}', path=str(path))
    return tuple(table_series(table, None if has_symbols else symbol, options or ArrayOptions(), rank))


def _array(column: Any, pa: Any) -> NDArray[Any]:
    """An Arrow column as an array; text becomes objects."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_integer(column.type) and column.null_count:
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy())
