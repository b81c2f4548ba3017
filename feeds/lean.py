"""Importing LEAN's data: zip files of US equities become papertape's CSV files, once, each resolution a tape.

``DST/<resolution>/`` holds ``trades/``, ``quotes/`` and ``bars/`` (one file a symbol, times in UTC epoch nanoseconds,
bars stamped at their close), ``instruments.csv``, ``tape.json`` and, where prices are raw, ``actions.csv``. What each
line means is in ``lean_format``; factors are in ``lean_factors``.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from feeds.csv_columns import symbol_fault
from feeds.lean_factors import Factors, read_factors
from feeds.lean_format import (
    NS_PER_DAY,
    PRICE_DECIMALS,
    ZONE,
    Scale,
    Table,
    dated_bars,
    dated_table,
    quote_bars,
    quote_ticks,
    trade_bars,
    trade_ticks,
)
from feeds.tape_writer import (
    BAR_HEADER,
    QUOTE_HEADER,
    TRADE_HEADER,
    Manifest,
    write_columns,
    write_file,
    write_manifest,
)
from feeds.timestamps import offset_at, to_utc, zone_table
from papertape.calendar import session_times
from papertape.core.errors import ConfigError, DataError, did_you_mean
from papertape.core.series import F8, I8

_SECOND = 1_000_000_000
INTERVALS_NS = {"tick": 0, "second": _SECOND, "minute": 60 * _SECOND, "hour": 3600 * _SECOND, "daily": NS_PER_DAY}
"""Resolutions, and how long their bars are."""
_EPOCH = date(1970, 1, 1)
_DAY_FILE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})_(trade|quote)\.zip")


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """One file that was written.

    ``dropped`` lines were marked suspicious or had no price, ``merged`` ones are quotes' halves and repeats that
    became part of another row. Times are of the first and last row, UTC ns.
    """

    resolution: str
    kind: str
    symbol: str
    path: Path
    rows: int
    dropped: int
    merged: int
    first_ts: int
    last_ts: int


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import wrote.

    ``without_factors`` are symbols that have no factor file, so that nothing is known of their splits and dividends;
    ``actions`` counts the rows of all actions.csv.
    """

    folder: Path
    files: tuple[ImportedFile, ...]
    actions: int
    without_factors: tuple[str, ...]
    adjusted: bool

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the data are, and what is wanted of them."""

    folder: Path
    adjusted: bool
    compress: bool
    factors: dict[str, Factors]

    def scale(self, symbol: str, day: int) -> Scale:
        """What a day's prices and sizes are to be adjusted by."""
        if not self.adjusted or symbol not in self.factors:
            return Scale()
        return self.factors[symbol].on(day)


def import_lean(
    src: Path | str,
    dst: Path | str,
    *,
    factors: bool = False,
    symbols: Sequence[str] | None = None,
    resolutions: Sequence[str] | None = None,
    compress: bool = False,
    on_file: Callable[[ImportedFile], None] | None = None,
) -> ImportSummary:
    """Turn LEAN's US equity data under ``src`` into tapes under ``dst``, one a resolution.

    ``src`` is LEAN's data folder, or its ``equity`` or ``equity/usa``. With ``factors`` prices are multiplied by split
    and price (dividend) factors, sizes divided by split factors, and no actions are written; without, prices are as
    they were traded, and ``actions.csv`` has the splits and dividends of the days between the first and the last.
    Lines that LEAN marks suspicious are dropped and counted. ``symbols`` and ``resolutions`` (of ``INTERVALS_NS``)
    limit what is read; ``compress`` writes .csv.gz. ``on_file`` hears of each file written.

    A tape appears whole or not at all; a ``dst/<resolution>`` that is there already is refused. Raises ConfigError
    and DataError.
    """
    source = _equity_folder(Path(src))
    found = {name: _by_symbol(source / name) for name in INTERVALS_NS if (source / name).is_dir()}
    wanted = _wanted(found, symbols, resolutions)
    target = Path(dst)
    for name in wanted:
        if (target / name).exists():
            raise ConfigError(f"{target / name} is there already; delete it or choose another folder")
    names = sorted({symbol for by_symbol in wanted.values() for symbol in by_symbol})
    factor_files = {symbol: source / "factor_files" / f"{symbol.lower()}.csv" for symbol in names}
    known = {symbol: read_factors(path) for symbol, path in factor_files.items() if path.is_file()}
    job = _Source(source, factors, compress, known)
    files: list[ImportedFile] = []
    actions = 0
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".lean-") as stage:
            for name, by_symbol in wanted.items():
                folder = Path(stage) / name
                written, rows = _import_resolution(job, name, by_symbol, folder, target / name, on_file)
                files += written
                actions += rows
            for name in wanted:
                os.replace(Path(stage) / name, target / name)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}; choose another folder") from None
    return ImportSummary(target, tuple(files), actions, tuple(s for s in names if s not in known), factors)


def _equity_folder(src: Path) -> Path:
    """The folder that holds LEAN's resolutions."""
    for folder in (src, src / "usa", src / "equity" / "usa", src / "data" / "equity" / "usa"):
        if any((folder / name).is_dir() for name in INTERVALS_NS):
            return folder
    what = "holds no LEAN equity data; name the folder with tick, minute or daily in it"
    raise DataError(what, path=str(src))


def _by_symbol(folder: Path) -> dict[str, list[Path]]:
    """Symbol -> its zip files, sorted, of one resolution's folder. Names that can not be symbols are refused."""
    result: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        files = sorted(entry.glob("*.zip")) if entry.is_dir() else [entry] if entry.suffix == ".zip" else []
        symbol = (entry.name if entry.is_dir() else entry.stem).upper()
        if files:
            if fault := symbol_fault(symbol):
                raise DataError(f'"{symbol[:40]}" {fault}', path=str(entry))
            result[symbol] = files
    return result


def _wanted(
    found: dict[str, dict[str, list[Path]]], symbols: Sequence[str] | None, resolutions: Sequence[str] | None
) -> dict[str, dict[str, list[Path]]]:
    """What of the found files is asked for. Raises ConfigError for what is not there."""
    for name in resolutions or ():
        if name not in found:
            raise ConfigError(f'there is no resolution "{name[:32]}"{did_you_mean(name[:32], found)}')
    known = {symbol for by_symbol in found.values() for symbol in by_symbol}
    asked = {symbol.upper() for symbol in symbols} if symbols is not None else known
    for symbol in sorted(asked - known):
        raise ConfigError(f'there is no symbol "{symbol[:32]}"{did_you_mean(symbol[:32], known)}')
    result = {
        name: {symbol: files for symbol, files in by_symbol.items() if symbol in asked}
        for name, by_symbol in found.items()
        if resolutions is None or name in resolutions
    }
    return {name: by_symbol for name, by_symbol in result.items() if by_symbol}


def _import_resolution(
    job: _Source,
    resolution: str,
    by_symbol: dict[str, list[Path]],
    stage: Path,
    final: Path,
    on_file: Callable[[ImportedFile], None] | None,
) -> tuple[list[ImportedFile], int]:
    """Write one resolution's tape to ``stage``, which will be moved to ``final``: (files, rows of actions)."""
    files: list[ImportedFile] = []
    stage.mkdir()
    for symbol, paths in by_symbol.items():
        for kind, tables in _tables(job, resolution, symbol, paths).items():
            if not sum(len(table.columns[0]) for table in tables):
                continue  # all lines were dropped: a file without rows could not be read back
            file = _write(tables, resolution, kind, symbol, stage, final, compress=job.compress)
            files.append(file)
            if on_file is not None:
                on_file(file)
    rows = [f"{symbol},STK,USD,SMART" for symbol in by_symbol]
    write_file(stage / "instruments.csv", ("\n".join(["symbol,type,currency,exchange", *rows]) + "\n").encode())
    actions = [] if job.adjusted else _actions(job, files)
    if actions:
        write_file(stage / "actions.csv", ("\n".join(["date,symbol,kind,value", *actions]) + "\n").encode())
    note = f"imported from LEAN, {'adjusted by factors' if job.adjusted else 'prices as traded'}"
    interval = 0 if resolution == "daily" else INTERVALS_NS[resolution]
    write_manifest(stage, Manifest("close", interval, adjusted=job.adjusted, note=note))
    return files, len(actions)


def _tables(job: _Source, resolution: str, symbol: str, paths: Iterable[Path]) -> dict[str, list[Table]]:
    """Kind -> the symbol's tables in time order."""
    result: dict[str, list[Table]] = {}
    interval = INTERVALS_NS[resolution]
    for path in paths:
        if resolution in ("hour", "daily"):
            result.setdefault("bars", []).append(_dated(job, symbol, path, interval))
            continue
        match = _DAY_FILE.fullmatch(path.name)
        if match is None:
            raise DataError("is not named as 20131007_trade.zip", path=str(path))
        try:
            day = date(int(match[1]), int(match[2]), int(match[3]))
        except ValueError:
            raise DataError("is not named after a date", path=str(path)) from None
        scale = job.scale(symbol, (day - _EPOCH).days)
        is_quote = match[4] == "quote"
        if interval == 0:
            table = quote_ticks(path, day, scale) if is_quote else trade_ticks(path, day, scale)
        else:
            table = (quote_bars if is_quote else trade_bars)(path, day, scale, interval)
        result.setdefault("quotes" if is_quote else "trades" if interval == 0 else "bars", []).append(table)
    return result


def _dated(job: _Source, symbol: str, path: Path, interval: int) -> Table:
    """Hourly or daily bars. Daily ones close with the session of their date; dates without a session are dropped."""
    frame, starts = dated_bars(path)
    local = starts.astype(np.int64)
    days = local // NS_PER_DAY
    if interval == NS_PER_DAY:
        first, last = int(days.min()) * NS_PER_DAY, int(days.max()) * NS_PER_DAY
        sessions = session_times("XNYS", first, last)
        dates = np.array(sessions.date, dtype=np.int64)
        at = np.minimum(np.searchsorted(dates, days), len(dates) - 1)
        ts, good = np.array(sessions.close, dtype=np.int64)[at], dates[at] == days
    else:
        ts = local + interval
        if to_utc(ts, zone_table(ZONE)) is not None:
            raise DataError("has local times that New York's clocks skipped or showed twice", path=str(path))
        good = np.ones(len(ts), dtype=np.bool_)
    scales = {day: job.scale(symbol, day) for day in np.unique(days).tolist()}
    price: F8 = np.array([scales[day].price for day in days.tolist()])
    size: F8 = np.array([scales[day].size for day in days.tolist()])
    return dated_table(frame, ts, good, path, price, size)


def _write(
    tables: Sequence[Table], resolution: str, kind: str, symbol: str, stage: Path, final: Path, *, compress: bool
) -> ImportedFile:
    """Write one symbol's tables of one kind as one file."""
    decimals = max(table.size_decimals for table in tables)
    header, places = {
        "trades": ((*TRADE_HEADER, "sequence"), (0, PRICE_DECIMALS, decimals, 0)),
        "quotes": (QUOTE_HEADER, (0, PRICE_DECIMALS, PRICE_DECIMALS, decimals, decimals)),
        "bars": (BAR_HEADER, (0, *[PRICE_DECIMALS] * 4, decimals)),
    }[kind]
    size_columns = {"trades": (2,), "quotes": (3, 4), "bars": (5,)}[kind]
    columns: list[I8] = [
        np.concatenate(
            [
                table.columns[i] * (10 ** (decimals - table.size_decimals) if i in size_columns else 1)
                for table in tables
            ]
        )
        for i in range(len(header))
    ]
    name = f"{symbol}.csv.gz" if compress else f"{symbol}.csv"
    (stage / kind).mkdir(exist_ok=True)
    write_columns(stage / kind / name, header, columns, places, compress=compress)
    ts = columns[0]
    return ImportedFile(
        resolution,
        kind,
        symbol,
        final / kind / name,
        rows=len(ts),
        dropped=sum(table.dropped for table in tables),
        merged=sum(table.merged for table in tables),
        first_ts=int(ts[0]),
        last_ts=int(ts[-1]),
    )


def _actions(job: _Source, files: Sequence[ImportedFile]) -> list[str]:
    """Rows of actions.csv: what happened to each symbol between its first and last day."""
    rows: list[tuple[date, str]] = []
    zone = zone_table(ZONE)
    for symbol in dict.fromkeys(file.symbol for file in files):
        mine = [file for file in files if file.symbol == symbol]
        if symbol not in job.factors or not mine:
            continue
        ends = np.array([min(file.first_ts for file in mine), max(file.last_ts for file in mine)], dtype=np.int64)
        first, last = ((ends + offset_at(ends, zone)) // NS_PER_DAY).tolist()
        sessions = session_times("XNYS", int(ends[0]), int(ends[1]))
        for day, kind, value in job.factors[symbol].actions(first, last, sessions):
            rows.append((day, f"{day},{symbol},{kind},{value}"))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]
