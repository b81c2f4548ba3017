"""Market data from the user's program: DataFrames, structured arrays and mappings of NumPy arrays become series.

Nothing is copied where the types fit: int64 or datetime64[ns] times, float64 values, contiguous. What the arrays hold
is checked while they are played (``Series.validated`` is False), not here: a look at each value would cost as much as
the play itself. Columns have the names that CSV files have, aliases included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from feeds.bar_bounds import bar_bounds
from feeds.csv_codes import CLOCK, DATE, SYMBOL, TIME
from feeds.csv_columns import Layout, read_header, symbol_fault
from feeds.csv_options import BarStamp
from feeds.csv_validate import GapCounts, daily_times, session_arrays
from feeds.timestamps import LOCAL_MISSING, NS_PER_DAY, offset_at, to_utc, zone_table
from papertape.core.errors import ConfigError, DataError, did_you_mean
from papertape.core.model import NS_PER_S, EventKind, SessionTimes
from papertape.core.series import F8, I8, Series

GAPS_SEEN = 4_096
"""The interval of bars is the most frequent of so many pauses between them: those at the start."""
FIRST_NS, END_NS = 0, 84_371 * NS_PER_DAY  # 1970 to the end of 2200
_EPOCH_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (2**63, 1))
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class ArrayOptions:
    """How arrays are to be understood.

    ``tz`` is the IANA zone of times that name none. ``bar_stamp`` says which end of a bar its time is, and
    ``bar_interval_s`` how long it lasts (inferred where None). ``sessions`` are the exchange's; bars of days (naive
    midnights) get their times from them.
    """

    tz: str | None = None
    bar_stamp: BarStamp | str | None = None
    bar_interval_s: float | None = None
    sessions: SessionTimes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Named columns of one length. ``aware`` are the columns whose datetime64 values are known to be UTC.

    ``label`` is what messages call it.
    """

    label: str
    columns: Mapping[str, NDArray[Any]]
    aware: frozenset[str] = field(default_factory=frozenset)


def array_series(data: object, options: ArrayOptions | None = None) -> tuple[Series, ...]:
    """Series from a program's data.

    ``data`` is a DataFrame or structured array with a symbol column; or a mapping from symbol to a table (DataFrame,
    structured array, or mapping of column name to array) or to several (trades and quotes); or a sequence of all
    these. A :class:`Series` passes through. Times are int64 epochs (s, ms, us or ns, told by their size), datetime64
    or pandas times; naive ones need ``tz``. The order in which sources are named is their rank.

    Raises DataError, with the source's place in ``data``, for what can not be used, ConfigError for options.
    """
    options = options or ArrayOptions()
    result: list[Series] = []
    for rank, (symbol, source, label) in enumerate(_sources(data, None, "data")):
        if isinstance(source, Series):
            result.append(replace(source, rank=rank))
        else:
            result += table_series(_table(source, label), symbol, options, rank)
    if not result:
        raise DataError("holds nothing; give a table for at least one symbol", path="data")
    return tuple(result)


def table_series(table: Table, symbol: str | None, options: ArrayOptions, rank: int = 0) -> Iterator[Series]:
    """The series of one table: of ``symbol``, or of each symbol in its symbol column. Raises DataError."""
    names = list(table.columns)
    layout = read_header(_SEPARATOR.join(names), _SEPARATOR, path=table.label, line_number=0)
    lengths = {len(column) for column in table.columns.values() if column.ndim == 1}
    if len(lengths) != 1 or any(column.ndim != 1 for column in table.columns.values()):
        raise DataError("its columns are not one-dimensional and of one length", path=table.label)
    if lengths == {0}:
        raise DataError("holds no row; leave it out", path=table.label)
    values = tuple(_numbers(table, names[at]) for at in layout.field_of)
    stamps, is_local = _stamps(table, layout, options)
    if layout.has_symbols and symbol is None:
        for name, rows in _groups(table, names[layout.roles.index(SYMBOL)]):
            parts = tuple(column[rows] for column in values)
            yield _series(table, name, layout.kind, stamps[rows], parts, rows, options, rank, is_local=is_local)
    elif symbol is None:
        what = 'has no symbol column; name the symbol, as in {"AAPL": data}'
        raise DataError(what, path=table.label)
    else:
        if fault := symbol_fault(symbol):
            raise DataError(f'"{symbol[:40]}" {fault}', path=table.label)
        yield _series(table, symbol, layout.kind, stamps, values, None, options, rank, is_local=is_local)


def _sources(data: object, symbol: str | None, label: str) -> Iterator[tuple[str | None, Any, str]]:
    """(symbol or None, table, label) of each table in what the user gave."""
    if isinstance(data, Series) or _is_table(data):
        yield symbol, data, label
    elif isinstance(data, Mapping) and symbol is None:
        for name, source in data.items():
            if not isinstance(name, str):
                raise DataError(f"the key {name!r:.40} is not a symbol; use text", path=label)
            yield from _sources(source, name, f'{label}["{name[:40]}"]')
    elif isinstance(data, Sequence) and not isinstance(data, str | bytes):
        for at, source in enumerate(data):
            yield from _sources(source, symbol, f"{label}[{at}]")
    else:
        what = f"is {type(data).__name__}, not a DataFrame, a structured array or a mapping of column name to array"
        raise DataError(what, path=label)


def _is_table(data: object) -> bool:
    """Whether this is one table: a mapping is where its values are columns of numbers."""
    if _is_frame(data) or (isinstance(data, np.ndarray) and data.dtype.names is not None):
        return True
    if not isinstance(data, Mapping) or not data:
        return False
    return all(_is_column(value) for value in data.values())


def _is_column(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.names is None
    if _is_pandas(value):
        return not _is_frame(value)
    return isinstance(value, Sequence) and not isinstance(value, str) and not any(map(_is_source, value[:1]))


def _is_source(value: object) -> bool:
    return isinstance(value, Series | Mapping) or _is_frame(value) or isinstance(value, np.ndarray)


def _is_pandas(data: object) -> bool:
    """Whether it is an object of pandas, told without importing pandas."""
    return type(data).__module__.partition(".")[0] == "pandas"


def _is_frame(data: object) -> TypeGuard[Any]:
    return _is_pandas(data) and hasattr(data, "columns")


def _table(source: Any, label: str) -> Table:
    """A table's columns as arrays."""
    if _is_frame(source):
        return _frame_table(source, label)
    names = source.dtype.names if isinstance(source, np.ndarray) else source
    columns: dict[str, NDArray[Any]] = {}
    aware = set()
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"the column name {name!r:.40} is not text", path=label)
        columns[name], is_aware = _array(source[name])
        if is_aware:
            aware.add(name)
    return Table(label, columns, frozenset(aware))


def _frame_table(frame: Any, label: str) -> Table:
    """A DataFrame's columns, and its index where that holds times or has names."""
    columns: dict[str, NDArray[Any]] = {}
    aware = set()
    levels = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
    named = [
        (level.name if isinstance(level.name, str) else "ts", level)
        for level in levels
        if level.name is not None or level.dtype.kind == "M"
    ]
    for name, column in [*named, *((name, frame[name]) for name in frame.columns)]:
        if not isinstance(name, str):
            raise DataError(f"the column name {name!r:.40} is not text; flatten the columns", path=label)
        if getattr(column, "ndim", 1) != 1:
            raise DataError(f'column "{name[:40]}" is there twice; keep one', path=label)
        if name not in columns:
            columns[name], is_aware = _array(column)
            if is_aware:
                aware.add(name)
    return Table(label, columns, frozenset(aware))


def _array(column: Any) -> tuple[NDArray[Any], bool]:
    """A column as an array, without copying where possible, and whether its times are known to be UTC."""
    if not _is_pandas(column):
        return np.asarray(column), False
    if getattr(column.dtype, "tz", None) is not None:
        times = column.dt if hasattr(column, "dt") else column
        utc = times.tz_convert("UTC")
        return np.asarray((utc.dt if hasattr(utc, "dt") else utc).tz_localize(None).to_numpy()), True
    if column.dtype.kind in "iufb" and not isinstance(column.dtype, np.dtype):  # pandas' nullable and Arrow numbers
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan)), False
    return np.asarray(column.to_numpy()), False


def _numbers(table: Table, name: str) -> F8:
    """A value column as contiguous float64."""
    column = table.columns[name]
    if column.dtype.kind not in "iuf":
        what = f'column "{name[:40]}" holds {column.dtype}, not numbers; convert it to float64'
        raise DataError(what, path=table.label)
    return np.ascontiguousarray(column, dtype=np.float64)


def _stamps(table: Table, layout: Layout, options: ArrayOptions) -> tuple[I8, bool]:
    """The time column as int64 ns, and whether these are still local times (naive ones)."""
    if DATE in layout.roles or CLOCK in layout.roles:
        raise DataError("has its times in two columns; join them in one", path=table.label)
    name = layout.names[layout.roles.index(TIME)]
    column = table.columns[list(table.columns)[layout.roles.index(TIME)]]
    if column.dtype.kind == "M":
        ts = np.ascontiguousarray(column.astype("datetime64[ns]", copy=False)).view(np.int64)
        is_local = list(table.columns)[layout.roles.index(TIME)] not in table.aware
    elif column.dtype.kind in "iu":
        ts = np.ascontiguousarray(column, dtype=np.int64)
        size = max(abs(int(ts[0])), abs(int(ts[-1])))  # the order of times is checked when they are played
        unit = next(unit for limit, unit in _EPOCH_UNITS if size < limit)
        ts, is_local = ts if unit == 1 else ts * unit, False
    else:
        what = f'times in column "{name[:40]}" are {column.dtype}; convert them to int64 ns or with pandas.to_datetime'
        raise DataError(what, path=table.label)
    if not (FIRST_NS <= ts[0] < END_NS and FIRST_NS <= ts[-1] < END_NS):
        raise DataError(f'times in column "{name[:40]}" are not in 1970 to 2200', path=table.label)
    return ts, is_local


def _groups(table: Table, name: str) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """(symbol, its rows in order) for each symbol of a symbol column, in the order in which they first appear."""
    column = table.columns[name]
    symbols, first, codes = np.unique(column.astype(str), return_index=True, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=len(symbols))
    ends = np.cumsum(counts)
    for at in np.argsort(first).tolist():
        symbol = str(symbols[at])
        if fault := symbol_fault(symbol):
            raise DataError(f'"{symbol[:40]}" {fault}', path=table.label, line=int(first[at]) + 1)
        yield symbol, order[ends[at] - counts[at] : ends[at]]


def _series(
    table: Table,
    symbol: str,
    kind: EventKind,
    stamps: I8,
    values: tuple[F8, ...],
    rows: NDArray[np.intp] | None,
    options: ArrayOptions,
    rank: int,
    *,
    is_local: bool,
) -> Series:
    """One symbol's series; newest-first rows are turned round."""
    if stamps[0] > stamps[-1] and bool((np.diff(stamps) < 0).all()):
        stamps = np.ascontiguousarray(stamps[::-1])
        values = tuple(np.ascontiguousarray(column[::-1]) for column in values)
        rows = None if rows is None else rows[::-1]
    start = None
    days = _dates(stamps, options.sessions, is_local=is_local) if kind is EventKind.BAR else None
    if days is not None:
        ts, start = _session_bars(days, options, table.label)
    else:
        ts = _utc(stamps, options.tz, table.label) if is_local else stamps
        if kind is EventKind.BAR:
            ts, start = _interval_bars(ts, options, table.label)
    row = None if rows is None else np.ascontiguousarray(rows, dtype=np.int64)
    return Series(symbol, kind, ts, values, start, row, rank, table.label, validated=False)


def _utc(local: I8, tz: str | None, label: str) -> I8:
    """UTC of naive times."""
    if tz is None:
        raise DataError('times without a zone; pass tz="UTC" or the zone that they are in', path=label)
    if tz == "UTC":
        return local
    ts = local.copy()
    faults = to_utc(ts, zone_table(tz))
    if faults is not None:
        at = int(np.flatnonzero(faults)[0])
        did = "does not exist" if faults[at] == LOCAL_MISSING else "exists twice"
        when = np.datetime64(int(local[at]), "ns")
        raise DataError(f"the local time {when} {did} in {tz}; give times in UTC", path=label, line=at + 1)
    return ts


def _dates(stamps: I8, sessions: SessionTimes | None, *, is_local: bool) -> I8 | None:
    """The dates (days since 1970) that bars' times are, None where they are times of day.

    Dates are midnights, at most one a day: naive ones, ones of the exchange's zone, or UTC ones of an exchange that is
    not open at that time.
    """
    if _are_days(stamps) and (is_local or (sessions is not None and sessions.zone != "UTC")):
        return stamps // NS_PER_DAY
    if not is_local and sessions is not None:
        ends = stamps[[0, -1]] + offset_at(stamps[[0, -1]], zone_table(sessions.zone))
        if sessions.zone != "UTC" and not (ends % NS_PER_DAY).any():
            local = stamps + offset_at(stamps, zone_table(sessions.zone))
            return local // NS_PER_DAY if _are_days(local) else None
    return None


def _are_days(stamps: I8) -> bool:
    """Whether times are midnights, at most one a day."""
    if stamps[0] % NS_PER_DAY or stamps[-1] % NS_PER_DAY:
        return False  # without a look at the rest
    return bool((stamps % NS_PER_DAY == 0).all()) and (len(stamps) == 1 or int(np.diff(stamps).min()) >= NS_PER_DAY)


def _session_bars(days: I8, options: ArrayOptions, label: str) -> tuple[I8, I8]:
    """Closes and opens of the sessions of dates."""
    if options.sessions is None:
        raise DataError("daily bars need the exchange's sessions; pass a calendar", path=label)
    ts, start, found = daily_times(days, session_arrays(options.sessions))
    if not found.all():
        at = int(np.flatnonzero(~found)[0])
        day = np.datetime64(int(days[at]), "D")
        what = f"{day} is no session of {options.sessions.name}; drop the row or pass the calendar of its exchange"
        raise DataError(what, path=label, line=at + 1)
    return ts, start


def _interval_bars(stamps: I8, options: ArrayOptions, label: str) -> tuple[I8, I8]:
    """Closes and opens of bars shorter than a day."""
    stamp = options.bar_stamp
    if stamp is None:
        raise DataError('bars need their stamp; pass bar_stamp="open" or bar_stamp="close"', path=label)
    if stamp not in list(BarStamp):
        raise ConfigError(
            f'bar_stamp is "{str(stamp)[:32]}"{did_you_mean(str(stamp)[:32], [s.value for s in BarStamp])}'
        )
    if options.bar_interval_s is None:
        gaps = GapCounts({})
        gaps.add(stamps[: GAPS_SEEN + 1])
        interval = gaps.most_frequent_ns
    else:
        interval = round(options.bar_interval_s * NS_PER_S)
    if interval is None or interval <= 0:
        what = "the bars' interval cannot be told from their times; pass bar_interval_s"
        raise DataError(what, path=label)
    sessions = None if options.sessions is None else session_arrays(options.sessions)
    return bar_bounds(stamps, interval, BarStamp(stamp), sessions)
