"""From what the user names as data to a tape: files of any kind that we read, or arrays of the user's program."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from feeds.cache import ColumnCache
from feeds.conflate import conflate
from feeds.csv import BarStamp, CsvOptions, OnBad, read_csv
from feeds.csv_sources import find_sources
from feeds.frames import ArrayOptions, array_series
from feeds.parquet import is_parquet, read_parquet
from feeds.reference import read_actions, read_instruments, read_scans
from feeds.signed import admit_signed
from feeds.tape_writer import read_manifest
from feeds.timestamps import zone_named
from papertape.calendar import session_times
from papertape.core.errors import ConfigError, did_you_mean
from papertape.core.model import NS_PER_S, CorporateAction, EventKind, Instrument, Note, Scan, SessionTimes
from papertape.core.series import Series, Tape

FINGERPRINT_SAMPLES = 65_536
"""Values of arrays that go into a tape's fingerprint, more or less: each is a read from far-away memory."""
_EPOCH_1990 = 631_152_000 * NS_PER_S


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How data are to be understood; see docs/data-formats.md.

    ``tz`` is the IANA zone of times that name none. ``bar_stamp`` says which end of a bar its time is.
    ``conflate_ns`` shows trades and quotes as a broker's aggregated feed would, at that interval (0: as they are).
    ``scan_file`` holds recorded scans. ``symbols`` keeps only those. ``cache``: keep parsed columns on disk.
    ``signed`` names instruments whose prices may be zero or below.
    """

    tz: str | None = None
    bar_stamp: BarStamp | str | None = None
    bar_interval_s: float | None = None
    signed: Sequence[str] = ()
    on_bad: OnBad | str = OnBad.REFUSE
    delimiter: str | None = None
    conflate_ns: int = 0
    scan_file: str | None = None
    symbols: Sequence[str] = ()
    calendar: str = "XNYS"
    cache: bool = True

    def __post_init__(self) -> None:
        """Raise ConfigError for what can not be meant, also where these data do not need it."""
        if self.tz is not None:
            zone_named(self.tz)
        if self.on_bad not in list(OnBad):
            raise ConfigError(f'on_bad "{self.on_bad}": refuse or skip is needed')
        if self.bar_interval_s is not None and not 0.0 < self.bar_interval_s < float("inf"):
            raise ConfigError(f"bar_interval_s={self.bar_interval_s}: a number of seconds above 0 is needed")


def load_tape(
    data: Any, options: DataOptions | None = None, *, progress: Callable[[int, int], None] | None = None
) -> Tape:
    """Read ``data`` (a path, pattern or list of them; or arrays and DataFrames, see ``feeds.frames``) as a tape.

    ``instruments.csv``, ``actions.csv`` and ``tape.json`` beside the files, or in the folder above them, are read
    with them. Raises DataError and ConfigError with one clear line.
    """
    options = options or DataOptions()
    if isinstance(data, str | os.PathLike):
        data = [data]
    if isinstance(data, list | tuple) and data and all(isinstance(each, str | os.PathLike) for each in data):
        tape = _from_files([Path(each) for each in data], options, progress)
    else:
        tape = _from_arrays(data, options)
    return _finished(tape, options)


def _sessions(options: DataOptions) -> SessionTimes:
    return _sessions_until(options.calendar, dt.datetime.now(dt.UTC).date())


@functools.lru_cache(maxsize=4)
def _sessions_until(calendar: str, day: dt.date) -> SessionTimes:
    """All sessions from 1990 to the end of a day: the same object each time, so that what is made of it is kept too."""
    end = dt.datetime.combine(day, dt.time.max, dt.UTC)
    return session_times(calendar, _EPOCH_1990, int(end.timestamp()) * NS_PER_S)


def _from_files(paths: list[Path], options: DataOptions, progress: Callable[[int, int], None] | None) -> Tape:
    packed = [path for path in paths if is_parquet(path)]
    texts = [path for path in paths if not is_parquet(path)]
    folders = _folders(texts or packed)
    manifest = next((found for folder in folders if (found := read_manifest(folder)) is not None), None)
    stamp = options.bar_stamp or (manifest.bar_stamp if manifest is not None else None)
    series: list[Series] = []
    notes: list[Note] = []
    fingerprint = hashlib.sha256()
    if texts:
        csv_options = CsvOptions(
            tz=options.tz,
            bar_stamp=None if stamp is None else _stamp(stamp),
            bar_interval_s=options.bar_interval_s,
            on_bad=OnBad(options.on_bad),
            delimiter=options.delimiter,
            sessions=_sessions(options),
            signed_symbols=frozenset(options.signed),
        )
        loaded = read_csv(texts, csv_options, cache=ColumnCache() if options.cache else None, progress=progress)
        series += loaded.series
        notes += loaded.notes
        fingerprint.update(loaded.fingerprint.encode())
    for path in packed:
        series += read_parquet(path, _array_options(options))
        fingerprint.update(str(path.stat().st_size).encode())
    instruments, columns = _instruments(folders)
    scans = None if options.scan_file is None else read_scans(Path(options.scan_file), options.tz)
    return Tape(
        series=tuple(series),
        instruments=instruments,
        actions=_actions(folders),
        recorded_scans=scans,
        notes=tuple(notes),
        fingerprint=fingerprint.hexdigest(),
        synthetic=manifest is not None and manifest.synthetic,
        reference_columns=columns,
        sources=tuple(str(path) for path in paths),
    )


def _stamp(text: BarStamp | str) -> BarStamp:
    try:
        return BarStamp(text)
    except ValueError:
        raise ConfigError(f'bar stamp "{text}": open or close is needed') from None


def _folders(paths: list[Path]) -> list[Path]:
    """Folders in which reference data of these paths may lie: those of the files, and the ones above."""
    found: dict[Path, None] = {}
    for source in find_sources(paths):
        folder = source.path.parent
        found.setdefault(folder)
        found.setdefault(folder.parent)
    for path in paths:
        if path.is_dir():
            found.setdefault(path)
    return list(found)


def _instruments(folders: list[Path]) -> tuple[dict[str, Instrument], frozenset[str]]:
    instruments: dict[str, Instrument] = {}
    columns: frozenset[str] = frozenset()
    for folder in folders:
        path = folder / "instruments.csv"
        if path.is_file():
            found, named = read_instruments(path)
            instruments.update(found)
            columns |= named
    return instruments, columns


def _actions(folders: list[Path]) -> tuple[CorporateAction, ...]:
    found: list[CorporateAction] = []
    for folder in folders:
        path = folder / "actions.csv"
        if path.is_file():
            found += read_actions(path)
    return tuple(sorted(found, key=lambda each: (each.ts, each.symbol, each.kind)))


def _array_options(options: DataOptions) -> ArrayOptions:
    return ArrayOptions(options.tz, options.bar_stamp, options.bar_interval_s, _sessions(options))


def _from_arrays(data: Any, options: DataOptions) -> Tape:
    series = array_series(data, _array_options(options))
    digest = hashlib.sha256()
    samples = max(64, min(4_096, FINGERPRINT_SAMPLES // sum(1 + len(each.columns) for each in series)))
    for each in series:
        digest.update(f"{each.symbol}\0{each.kind}\0{len(each)}\0".encode())
        for column in (each.ts, *each.columns):
            step = max(1, len(column) // samples)
            digest.update(column[::step].tobytes())
    scans: tuple[Scan, ...] | None = None
    if options.scan_file is not None:
        scans = read_scans(Path(options.scan_file), options.tz)
    return Tape(series, {}, recorded_scans=scans, fingerprint="arrays:" + digest.hexdigest(), sources=("arrays",))


def _finished(tape: Tape, options: DataOptions) -> Tape:
    """Keep the symbols asked for, let signed prices be, and conflate."""
    series = admit_signed(tape.series, options.signed)
    if options.symbols:
        for name in options.symbols:
            if name not in tape.symbols:
                raise ConfigError(f'the data have no "{name}"{did_you_mean(name, tape.symbols)}')
        series = tuple(each for each in series if each.symbol in options.symbols)
    notes = tape.notes
    if options.conflate_ns:
        series = tuple(
            conflate(each, options.conflate_ns) if each.kind in (EventKind.TRADE, EventKind.QUOTE) else each
            for each in series
        )
        notes += (Note("conflated", f"the tape is conflated to {options.conflate_ns / 1e6:g} ms"),)
    return replace(tape, series=series, notes=notes)
