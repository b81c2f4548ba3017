"""LEAN's data formats: what the lines of its zip files mean, turned into fixed-point columns.

Times are milliseconds since midnight in New York (or a date), prices are 1/10,000 dollar, lines have no header. In a
tick quote a side of 0 means "nothing about this side in this line": US quotes come as two lines of the same
millisecond, the bid's and the ask's, which together are one update of the national best bid and offer. (That the state
so combined is what QuantConnect's own minute bars of quotes end with was checked on five days of IBM, 2,853 minutes.)

Format: QuantConnect/Lean, ``Common/Data/Market/Tick.cs``, ``TradeBar.cs``, ``QuoteBar.cs`` and ``Data/equity/readme``.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feeds.tape_writer import BLANK
from feeds.timestamps import to_utc, zone_table
from papertape.core.errors import DataError
from papertape.core.series import F8, I8

ZONE = "America/New_York"
PRICE_DECIMALS = 6
MEMBER_BYTES_MAX = 8 * 2**30

NS_PER_DAY = 86_400_000_000_000
_NS_PER_MS = 1_000_000
_UNITS_PER_PRICE = 10 ** (PRICE_DECIMALS - 4)
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """What a day's prices are multiplied and its sizes divided by: 1, or LEAN's factors."""

    price: float = 1.0
    size: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows of one kind. ``columns`` are int64: the time (UTC ns), then prices in 1e-6 dollars, then sizes.

    ``size_decimals`` says in what sizes are. ``dropped`` lines were marked suspicious or had no price at all;
    ``merged`` lines are quotes' halves and repeats that became part of another row.
    """

    columns: list[I8]
    size_decimals: int
    dropped: int = 0
    merged: int = 0


def read_lines(path: Path, width: tuple[int, ...], member: str | None = None) -> Any:
    """The one CSV inside a zip file as a DataFrame of float64 (the first column as text where ``member`` is given).

    ``width`` are the numbers of columns that are fine. Raises DataError for anything that is not such a file.
    """
    import pandas as pd  # an import of seconds that only an importer needs

    try:
        with zipfile.ZipFile(path) as archive:
            names = [info for info in archive.infolist() if info.filename.lower().endswith(".csv")]
            if len(names) != 1:
                raise DataError(f"holds {len(names)} CSV files where LEAN has one", path=str(path))
            if names[0].file_size > MEMBER_BYTES_MAX:
                raise DataError(f"unpacks to more than {MEMBER_BYTES_MAX >> 30} GB", path=str(path))
            content = archive.read(names[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"is not a sound zip file ({error}); fetch it again", path=str(path)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=str(path)) from None
    if not content.strip():
        raise DataError("holds no line", path=str(path))
    try:
        frame = pd.read_csv(io.BytesIO(content), header=None, dtype=str if member else None, low_memory=False)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' own errors are ValueErrors
        raise DataError(f"is not CSV ({str(error).splitlines()[0]})", path=str(path)) from None
    if frame.shape[1] not in width:
        raise DataError(f"has {frame.shape[1]} columns where LEAN has {width[0]}", path=str(path))
    return frame


def numbers(frame: Any, column: int, path: Path, *, blank: bool = False) -> F8:
    """A column as float64. A blank is NaN where ``blank`` allows it; text is refused with its line (DataError)."""
    import pandas as pd

    values: F8 = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values)
    if blank:
        bad &= frame[column].notna().to_numpy()
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        what = f'"{str(frame[column].iloc[row])[:32]}" is not a number (field {column + 1})'
        raise DataError(what, path=str(path), line=row + 1)
    return values


def local_times(day: date, milliseconds: F8, path: Path) -> I8:
    """UTC nanoseconds of milliseconds since midnight in New York."""
    if len(milliseconds) and not (milliseconds.min() >= 0 and milliseconds.max() <= 2 * 86_400_000):
        raise DataError("has times that are not milliseconds of a day", path=str(path))
    midnight = (day - _EPOCH).days * NS_PER_DAY
    ts = midnight + np.rint(milliseconds * _NS_PER_MS).astype(np.int64)
    if to_utc(ts, zone_table(ZONE)) is not None:
        raise DataError("has local times that New York's clocks skipped or showed twice", path=str(path))
    return ts


def prices(values: F8, factor: float = 1.0) -> I8:
    """Prices in 1e-6 dollars; 0 and NaN are ``BLANK``."""
    present = values > 0
    result = np.full(len(values), BLANK, dtype=np.int64)
    result[present] = np.rint(values[present] * _UNITS_PER_PRICE * factor).astype(np.int64)
    return result


def sizes(values: F8) -> tuple[I8, int]:
    """Sizes, and the decimals that they are in: none, or six where there are fractions. NaN is 0."""
    values = np.nan_to_num(values)
    decimals = 0 if bool((values == np.rint(values)).all()) else PRICE_DECIMALS
    return np.rint(values * 10**decimals).astype(np.int64), decimals


def both_sizes(bid: F8, ask: F8) -> tuple[I8, I8, int]:
    """The sizes of both sides with the decimals that both are in."""
    both, decimals = sizes(np.concatenate((bid, ask)))
    return both[: len(bid)], both[len(bid) :], decimals


def trade_ticks(path: Path, day: date, scale: Scale) -> Table:
    """Trades: time, price, size, and their number within the file (two equal trades are two trades)."""
    frame = read_lines(path, (6,))
    price = prices(numbers(frame, 1, path), scale.price)
    good = (numbers(frame, 5, path) == 0) & (price != BLANK)
    ts = local_times(day, numbers(frame, 0, path), path)
    size, decimals = sizes(numbers(frame, 2, path) / scale.size)
    order = _kept_in_order(ts, good)
    columns = [ts[order], price[order], size[order], order + 1]
    return Table(columns, decimals, dropped=len(good) - len(order))


def quote_ticks(path: Path, day: date, scale: Scale) -> Table:
    """Quotes: time, bid, ask, bid size, ask size: the state after each update that changes it."""
    frame = read_lines(path, (8,))
    bid, ask = (prices(numbers(frame, c, path, blank=True), scale.price) for c in (1, 3))
    good = (numbers(frame, 7, path) == 0) & ((bid != BLANK) | (ask != BLANK))
    ts = local_times(day, numbers(frame, 0, path), path)
    bid_size, ask_size, decimals = both_sizes(*(numbers(frame, c, path, blank=True) / scale.size for c in (2, 4)))
    order = _kept_in_order(ts, good)
    ts, bid, ask, bid_size, ask_size = (column[order] for column in (ts, bid, ask, bid_size, ask_size))
    has_bid, has_ask = bid != BLANK, ask != BLANK
    half = np.zeros(len(ts), dtype=np.bool_)
    half[:-1] = ~has_ask[:-1] & ~has_bid[1:] & (ts[1:] == ts[:-1])  # its other half is the next line
    columns = [
        ts,
        _last_known(bid, has_bid, BLANK),
        _last_known(ask, has_ask, BLANK),
        _last_known(bid_size, has_bid, 0),
        _last_known(ask_size, has_ask, 0),
    ]
    columns = [column[~half] for column in columns]
    changed = np.ones(len(columns[0]), dtype=np.bool_)
    changed[1:] = np.any([column[1:] != column[:-1] for column in columns[1:]], axis=0)
    columns = [column[changed] for column in columns]
    return Table(columns, decimals, dropped=len(good) - len(order), merged=len(order) - len(columns[0]))


def trade_bars(path: Path, day: date, scale: Scale, interval_ns: int) -> Table:
    """Bars of a day: time of the close, open, high, low, close, volume."""
    frame = read_lines(path, (6,))
    return _bars(frame, local_times(day, numbers(frame, 0, path), path) + interval_ns, path, scale)


def quote_bars(path: Path, day: date, scale: Scale, interval_ns: int) -> Table:
    """The quote with which each bar ends, at its end: time, bid, ask, bid size, ask size. A blank side stays blank."""
    frame = read_lines(path, (11,))
    ts = local_times(day, numbers(frame, 0, path), path) + interval_ns
    bid, ask = (prices(numbers(frame, c, path, blank=True), scale.price) for c in (4, 9))
    bid_size, ask_size, decimals = both_sizes(*(numbers(frame, c, path, blank=True) / scale.size for c in (5, 10)))
    order = _kept_in_order(ts, (bid != BLANK) | (ask != BLANK))
    columns = [column[order] for column in (ts, bid, ask, bid_size, ask_size)]
    return Table(columns, decimals, dropped=len(ts) - len(order))


def dated_bars(path: Path) -> tuple[Any, NDArray[np.datetime64]]:
    """The lines of an hourly or daily file and the local start of each bar (datetime64[ns])."""
    import pandas as pd

    frame = read_lines(path, (6,), member="text")
    starts = pd.to_datetime(frame[0], format="%Y%m%d %H:%M", errors="coerce")
    if starts.isna().any():
        row = int(np.flatnonzero(starts.isna())[0])
        what = f'"{str(frame[0].iloc[row])[:32]}" is not a time such as "20131007 00:00"'
        raise DataError(what, path=str(path), line=row + 1)
    return frame, starts.to_numpy().astype("datetime64[ns]")


def dated_table(frame: Any, ts: I8, good: NDArray[np.bool_], path: Path, price: F8, size: F8) -> Table:
    """Bars whose factors differ by row: ``price`` and ``size`` are the factors of each, ``good`` those that are kept."""
    values = [numbers(frame, column, path) for column in range(1, 6)]
    columns = [prices(column * price) for column in values[:4]]
    volume, decimals = sizes(values[4] / size)
    good = good & np.all([column != BLANK for column in columns], axis=0)
    order = _kept_in_order(ts, good)
    return Table([column[order] for column in (ts, *columns, volume)], decimals, dropped=len(ts) - len(order))


def _bars(frame: Any, ts: I8, path: Path, scale: Scale) -> Table:
    """Bars that end at ``ts``."""
    ones = np.ones(len(ts))
    good = np.ones(len(ts), dtype=np.bool_)
    return dated_table(frame, ts, good, path, ones * scale.price, ones * scale.size)


def _kept_in_order(ts: I8, good: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Places of the good rows, in time order and for equal times in the file's."""
    kept = np.flatnonzero(good)
    if len(kept) and bool((np.diff(ts[kept]) < 0).any()):
        kept = kept[np.argsort(ts[kept], kind="stable")]
    return kept


def _last_known(values: I8, present: NDArray[np.bool_], unknown: int) -> I8:
    """Each row's value or the last one before it, ``unknown`` before the first."""
    at = np.maximum.accumulate(np.where(present, np.arange(len(values)), -1))
    return np.where(at >= 0, values[np.maximum(at, 0)], unknown)
