"""One run on disk: a folder with ``run.sqlite``, which any SQLite tool can read.

Every table holds rows in the order in which things happened. Times are INTEGER nanoseconds since 1970-01-01 UTC; each
table with times has a view ``<table>_iso`` that shows them as ISO-8601 text. What is unknown or does not apply is
NULL. ``manifest`` maps a key to a JSON value. A folder is written under a hidden name and renamed when it is complete
and on the disk, so that a folder that has a run's name is a whole run.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from papertape.core.errors import DataError
from papertape.core.model import NS_PER_S, Note, Scan, ScanRow, Severity
from papertape.core.record import (
    FILL_COLUMNS,
    ORDER_COLUMNS,
    POSITION_COLUMNS,
    TRADE_COLUMNS,
    Columns,
    Drawdown,
    GuardEvent,
    RunRecord,
    empty_columns,
)

FILE_NAME = "run.sqlite"
APPLICATION_ID = 0x50545031
"""What SQLite keeps in the file's header to tell whose it is ("PTP1"); see PRAGMA application_id."""
SCHEMA_VERSION = 2
"""Kept as PRAGMA user_version. A reader refuses what is newer than itself, and reads what is older."""

EQUITY_COLUMNS: Mapping[str, str] = {"ts": "i8", "last": "f8", "low": "f8", "high": "f8"}
POINT_COLUMNS: Mapping[str, str] = {"ts": "i8", "equity": "f8"}
DAILY_COLUMNS: Mapping[str, str] = {"date": "i8", "ts": "i8", "equity": "f8", "benchmark": "f8"}

_COLUMN_TABLES: Mapping[str, Mapping[str, str]] = {
    "orders": ORDER_COLUMNS,
    "fills": FILL_COLUMNS,
    "trades": TRADE_COLUMNS,
    "positions": POSITION_COLUMNS,
    "equity": EQUITY_COLUMNS,
    "points": POINT_COLUMNS,
    "daily": DAILY_COLUMNS,
}
"""Table -> layout; a table has the name of the record's field."""
_ADDED: Mapping[str, Mapping[str, int]] = {"daily": {"benchmark": 2}}
"""Table -> column of numbers -> the format that brought it; in a file of an older one it is unknown throughout."""
_OTHER_TABLES: Mapping[str, Mapping[str, str]] = {
    "manifest": {"key": "O", "value": "O"},
    "metrics": {"name": "O", "value": "f8"},
    "scans": {"number": "i8", "ts": "i8", "code": "O", "source": "O", "note": "O"},
    "scan_rows": {"scan": "i8", "rank": "i8", "symbol": "O", "con_id": "i8", "exchange": "O", "currency": "O"},
    "custom": {"name": "O", "ts": "i8", "value": "f8"},
    "prices": {"symbol": "O", **EQUITY_COLUMNS},
    "guard": {"ts": "i8", "kind": "O", "rule": "O", "text": "O", "count": "i8"},
    "notes": {"code": "O", "text": "O", "severity": "O", "count": "i8"},
    "log": {"ts": "i8", "text": "O"},
    "journal": {"line": "O"},
}
_TABLES = {**_COLUMN_TABLES, **_OTHER_TABLES}

_SQL_NAMES = {"order": "order_number", "group": "oco_group"}
"""Our names that are SQL keywords, as columns."""
_SQL_TYPES = {"i8": "INTEGER NOT NULL", "f8": "REAL", "O": "TEXT NOT NULL", "?": "INTEGER NOT NULL"}


class _Manifest(msgspec.Struct):
    """What the manifest of a sound run holds; a number that is not finite is None."""

    strategy: str
    mode: str
    start: int
    end: int
    events: int
    currency: str
    starting_equity: float | None
    final_equity: float | None
    cash: dict[str, float | None]
    time_in_market_ns: int
    settings: dict[str, Any]
    fingerprint: str
    code_hash: str
    versions: dict[str, str]
    synthetic: bool
    zone: str
    elapsed_s: float | None
    guard_tripped: bool
    drawdown: dict[str, float | None]
    custom_names: list[str]
    price_symbols: list[str]
    journal_ends_with_newline: bool


_NOT_AS_THEY_ARE = {"drawdown", "custom_names", "price_symbols", "journal_ends_with_newline"}
_HEADER_FIELDS = tuple(name for name in _Manifest.__struct_fields__ if name not in _NOT_AS_THEY_ARE)
"""Fields of a record that the manifest holds as they are."""
_FLOAT_FIELDS = ("starting_equity", "final_equity", "elapsed_s")
_DRAWDOWN_FLOATS = ("depth", "peak", "trough")


def is_time(column: str) -> bool:
    """Whether a column of this name holds nanoseconds since 1970-01-01 UTC."""
    return column == "ts" or column.startswith("ts_") or column.endswith("_ts")


def _schema() -> Iterator[str]:
    """The statements that make the tables and their views."""
    for table, layout in _TABLES.items():
        names = {name: _SQL_NAMES.get(name, name) for name in layout}
        keys = {"manifest": " PRIMARY KEY"} if table == "manifest" else {}
        columns = [
            f'"{names[name]}" {_SQL_TYPES[code]}{keys.get(table, "") if name == "key" else ""}'
            for name, code in layout.items()
        ]
        yield f"CREATE TABLE {table} ({', '.join(columns)})"
        if any(map(is_time, layout)) or "date" in layout:
            shown = [f'{_as_text(names[name])} AS "{names[name]}"' for name in layout]
            yield f"CREATE VIEW {table}_iso AS SELECT {', '.join(shown)} FROM {table}"


def _as_text(column: str) -> str:
    """The SQL expression that shows a column to a person; a time of 0 is one that has not come."""
    if column == "date":
        return "date(\"date\" * 86400, 'unixepoch')"
    if not is_time(column):
        return f'"{column}"'
    seconds = f"strftime('%Y-%m-%dT%H:%M:%S', \"{column}\" / {NS_PER_S}, 'unixepoch')"
    return f'CASE WHEN "{column}" <> 0 THEN {seconds} || printf(\'.%09dZ\', "{column}" % {NS_PER_S}) END'


# --- values -------------------------------------------------------------------------------------------------------


def plain(value: object) -> Any:
    """A value as JSON has it: what is not finite becomes None, a number of NumPy a plain one, anything else its text."""
    match value:
        case Enum():
            return value.value if isinstance(value, str) else value.name
        case None | bool() | str():
            return value
        case int() | np.integer():
            return int(value)
        case float() | np.floating():
            return float(value) if math.isfinite(value) else None
        case np.bool_():
            return bool(value)
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case np.ndarray() | list() | tuple() | set() | frozenset():
            return [plain(each) for each in value]
        case msgspec.Struct():
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return str(value)


def _text(value: object) -> str:
    """Text that SQLite can hold: half of a surrogate pair (from an undecodable file name, say) becomes "?"."""
    text = str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


_TO_SQL: Mapping[str, Callable[[Any], list[Any]]] = {
    "i8": lambda column: np.asarray(column, dtype=np.int64).tolist(),
    "f8": lambda column: np.asarray(column, dtype=np.float64).tolist(),  # NaN is NULL to sqlite3
    "?": lambda column: np.asarray(column, dtype=bool).tolist(),
    "O": lambda column: [_text(value) for value in column],
}


def _rows(columns: Mapping[str, Any], layout: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
    """The rows of parallel columns, as plain Python values."""
    return zip(*(_TO_SQL[code](columns[name]) for name, code in layout.items()), strict=True)


def manifest_of(record: RunRecord) -> dict[str, Any]:
    """What a run is, without its rows: JSON-able, numbers that are not finite as None."""
    manifest = {name: plain(getattr(record, name)) for name in _HEADER_FIELDS}
    manifest["drawdown"] = plain(record.drawdown)
    return manifest


# --- writing ------------------------------------------------------------------------------------------------------

_ROWS_AT_ONCE = 64


def _insert(database: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Append rows, many with each statement: to begin a statement takes SQLite longer than to add a row to it."""
    width = len(_TABLES[table])
    row = f"({', '.join('?' * width)})"
    values = itertools.chain.from_iterable(rows)
    size = width * _ROWS_AT_ONCE
    while len(piece := list(itertools.islice(values, size))) == size:
        database.execute(f"INSERT INTO {table} VALUES {', '.join([row] * _ROWS_AT_ONCE)}", piece)
    database.executemany(f"INSERT INTO {table} VALUES {row}", zip(*[iter(piece)] * width, strict=True))


def _journal_rows(journal: bytes) -> Iterator[tuple[str | bytes]]:
    """One row a line, without its newline; bytes that are not UTF-8 stay bytes."""
    for line in journal.removesuffix(b"\n").split(b"\n") if journal else ():
        try:
            yield (line.decode("utf-8"),)
        except UnicodeDecodeError:
            yield (line,)


def _write(database: sqlite3.Connection, record: RunRecord) -> None:
    for table, layout in _COLUMN_TABLES.items():
        _insert(database, table, _rows(getattr(record, table), layout))
    for name, (ts, values) in record.custom.items():
        _insert(database, "custom", ((_text(name), *row) for row in zip(ts.tolist(), values.tolist(), strict=True)))
    for symbol, columns in record.prices.items():
        _insert(database, "prices", ((_text(symbol), *row) for row in _rows(columns, EQUITY_COLUMNS)))
    metrics = ((name, None if value is None else float(value)) for name, value in record.metrics.items())
    _insert(database, "metrics", metrics)
    for number, scan in enumerate(record.scans):
        _insert(database, "scans", [(number, scan.ts, _text(scan.code), _text(scan.source), _text(scan.note))])
        rows = ((number, r.rank, _text(r.symbol), r.con_id, _text(r.exchange), _text(r.currency)) for r in scan.rows)
        _insert(database, "scan_rows", rows)
    guard = ((e.ts, _text(e.kind), _text(e.rule), _text(e.text), e.count) for e in record.guard)
    _insert(database, "guard", guard)
    _insert(database, "notes", ((_text(n.code), _text(n.text), n.severity.value, n.count) for n in record.notes))
    _insert(database, "log", ((ts, _text(text)) for ts, text in record.log))
    _insert(database, "journal", _journal_rows(record.journal))
    manifest = manifest_of(record)
    manifest |= {
        "custom_names": [_text(name) for name in record.custom],
        "price_symbols": [_text(symbol) for symbol in record.prices],
        "journal_ends_with_newline": record.journal.endswith(b"\n"),
    }
    _insert(database, "manifest", ((key, json.dumps(value, allow_nan=False)) for key, value in manifest.items()))


def _write_file(path: Path, record: RunRecord) -> None:
    """Write one complete file. Nobody reads it before it has its name, so it needs no log to roll back with."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = MEMORY")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("BEGIN")
        for statement in _schema():
            database.execute(statement)
        _write(database, record)
        database.execute("COMMIT")


def folder_name(strategy: str, mode: str) -> str:
    """A new run's folder: when it was written (UTC), strategy, mode, and six random digits that make it unique."""
    written = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    strategy = re.sub(r"[^A-Za-z0-9_]+", "-", strategy).strip("-")[:60] or "strategy"
    mode = re.sub(r"[^a-z]+", "", mode.lower()) or "run"
    return f"{written}-{strategy}-{mode}-{secrets.token_hex(3)}"


def save_run(record: RunRecord, out: Path | str) -> Path:
    """Write a run as a new folder in ``out`` (made if missing) and return the folder.

    The folder appears when all of it is on the disk. Raises DataError when ``out`` cannot be written.
    """
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        while True:
            name = folder_name(record.strategy, record.mode)
            partial = out / f".{name}.partial"
            partial.mkdir()
            try:
                _write_file(partial / FILE_NAME, record)
                if not (out / name).exists():
                    return partial.rename(out / name)
            finally:
                if partial.exists():
                    shutil.rmtree(partial, ignore_errors=True)
    except (OSError, sqlite3.OperationalError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"the run cannot be written here ({reason}); name another folder", path=str(out)) from error


def save_into(record: RunRecord, folder: Path) -> Path:
    """Write a run into a folder that is its own already (a live run's, with its journal); returns the folder.

    The file appears when all of it is on the disk, and takes the place of one that was there. Raises DataError.
    """
    partial = folder / f".{FILE_NAME}.partial"
    try:
        partial.unlink(missing_ok=True)
        _write_file(partial, record)
        partial.replace(folder / FILE_NAME)
    except (OSError, sqlite3.OperationalError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"the run cannot be written here ({reason})", path=str(folder)) from error
    return folder


# --- reading ------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A run's database, for reading; whatever is wrong with the file becomes a DataError."""
    if not path.is_file():
        raise DataError("no such run", path=str(path))
    try:
        address = f"{path.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            _check_header(database, path)
            yield database
    except (sqlite3.Error, msgspec.MsgspecError, OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"the run is damaged ({reason}); restore it or make it again", path=str(path)) from error


def _check_header(database: sqlite3.Connection, path: Path) -> None:
    foreign = DataError("not a run of papertape; name a run's folder or its run.sqlite", path=str(path))
    try:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise foreign from error
        raise
    if application != APPLICATION_ID:
        raise foreign
    if version > SCHEMA_VERSION:
        what = f"written by a newer papertape (format {version}, this one reads up to {SCHEMA_VERSION}); upgrade it"
        raise DataError(what, path=str(path))


def run_file(path: Path | str) -> Path:
    """The ``run.sqlite`` that a user means by a run's folder or by the file itself; a DataError says what is not so."""
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise DataError("no such run", path=str(path))
        return path
    if (path / FILE_NAME).is_file():
        return path / FILE_NAME
    inside = sorted(file.parent.name for file in path.glob(f"[!.]*/{FILE_NAME}"))
    hint = f"; name one of the {len(inside)} runs in it, the last is {inside[-1]}" if inside else ""
    raise DataError(f"not a run: the folder holds no {FILE_NAME}{hint}", path=str(path))


def _select(database: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    return database.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()


def _columns(rows: Iterable[tuple[Any, ...]], layout: Mapping[str, str]) -> Columns:
    """Columns as the record has them; NULL in a column of floats is NaN.

    Rows are taken one by one into a flat array, so that those of a cursor are gone at once: a list of many of them
    takes half as long again.
    """
    flat = np.fromiter(itertools.chain.from_iterable(rows), dtype=object).reshape(-1, len(layout))
    return {name: flat[:, k].astype(code) for k, (name, code) in enumerate(layout.items())}


def _read_columns(database: sqlite3.Connection, table: str) -> Columns:
    """A table as the record has it, whatever format it was written in."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    layout, added = _COLUMN_TABLES[table], _ADDED.get(table, {})
    had = {name: code for name, code in layout.items() if added.get(name, 0) <= version}
    columns = _columns(database.execute(f"SELECT * FROM {table} ORDER BY rowid"), had)
    rows = len(next(iter(columns.values())))
    return {name: columns[name] if name in columns else np.full(rows, np.nan) for name in layout}


def _grouped(rows: list[tuple[Any, ...]], names: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each name that is their first column, without it."""
    groups: dict[str, list[tuple[Any, ...]]] = {name: [] for name in names}
    for row in rows:
        groups[row[0]].append(row[1:])
    return groups


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def read_manifest(path: Path) -> tuple[dict[str, Any], dict[str, float | None]]:
    """(manifest, metrics) of a run's file, without reading its rows."""
    with _opened(path) as database:
        return _read_header(database)


def _read_header(database: sqlite3.Connection) -> tuple[dict[str, Any], dict[str, float | None]]:
    manifest = {key: json.loads(value) for key, value in _select(database, "manifest")}
    msgspec.convert(manifest, _Manifest)  # raises where something is missing or of another type
    return manifest, dict(_select(database, "metrics"))


def _header_fields(manifest: dict[str, Any]) -> dict[str, Any]:
    """A record's fields that its manifest holds; a number that is None there is NaN."""
    fields: dict[str, Any] = {name: manifest[name] for name in _HEADER_FIELDS}
    fields |= {name: _number(fields[name]) for name in _FLOAT_FIELDS}
    fields["cash"] = {currency: _number(amount) for currency, amount in fields["cash"].items()}
    depths = {name: _number(manifest["drawdown"][name]) for name in _DRAWDOWN_FLOATS}
    fields["drawdown"] = Drawdown(**{**manifest["drawdown"], **depths})
    return fields


def _read_scans(database: sqlite3.Connection) -> list[Scan]:
    rows: dict[int, list[ScanRow]] = {}
    for number, *fields in _select(database, "scan_rows"):
        rows.setdefault(number, []).append(ScanRow(*fields))
    return [
        Scan(code, ts, tuple(rows.get(number, ())), source, note)
        for number, ts, code, source, note in _select(database, "scans")
    ]


def _read_journal(database: sqlite3.Connection, *, newline: bool) -> bytes:
    lines = [line if isinstance(line, bytes) else line.encode() for (line,) in _select(database, "journal")]
    return b"\n".join(lines) + (b"\n" if newline else b"")


def load_outline(path: Path | str, *, points: int) -> RunRecord:
    """Read of a run what a comparison of many needs; ``path`` is its folder or file. Raises DataError.

    It has what the manifest says, metrics, notes and the daily values, and equity in at most ``points`` buckets, made
    of as many stored ones each: time and value of the last, lowest and highest of all. The other tables are empty.
    """
    with _opened(run_file(path)) as database:
        manifest, metrics = _read_header(database)
        fields = _header_fields(manifest)
        fields |= {table: empty_columns(layout) for table, layout in _COLUMN_TABLES.items()}
        fields["equity"] = _read_curve(database, points)
        fields["daily"] = _read_columns(database, "daily")
        return RunRecord(
            **fields,
            metrics=metrics,
            notes=[Note(code, text, Severity(level), n) for code, text, level, n in _select(database, "notes")],
        )


def _read_curve(database: sqlite3.Connection, points: int) -> Columns:
    """Equity in at most ``points`` buckets; SQLite makes them, because a run holds some 20,000 and a list 200 runs."""
    (count,) = database.execute("SELECT count(*) FROM equity").fetchone()
    size = max(1, -(-count // max(1, points)))
    rows = database.execute(
        "SELECT each.ts, each.last, part.low, part.high FROM equity AS each JOIN"
        " (SELECT max(rowid) AS place, min(low) AS low, max(high) AS high FROM equity GROUP BY (rowid - 1) / ?) AS part"
        " ON each.rowid = part.place ORDER BY part.place",
        (size,),
    ).fetchall()
    return _columns(rows, EQUITY_COLUMNS)


def load_record(path: Path | str, *, journal: bool = True) -> RunRecord:
    """Read a run back, exactly as it was saved; ``path`` is its folder or file. Raises DataError.

    Without ``journal`` that is left empty, which spares a reader of a run with many orders a fifth of the time.
    """
    with _opened(run_file(path)) as database:
        manifest, metrics = _read_header(database)
        fields = _header_fields(manifest)
        fields |= {table: _read_columns(database, table) for table in _COLUMN_TABLES}
        given = _grouped(_select(database, "custom"), manifest["custom_names"])
        custom = {name: _columns(rows, {"ts": "i8", "value": "f8"}) for name, rows in given.items()}
        prices = _grouped(_select(database, "prices"), manifest["price_symbols"])
        return RunRecord(
            **fields,
            metrics=metrics,
            scans=_read_scans(database),
            custom={name: (each["ts"], each["value"]) for name, each in custom.items()},
            guard=[GuardEvent(*row) for row in _select(database, "guard")],
            notes=[Note(code, text, Severity(level), n) for code, text, level, n in _select(database, "notes")],
            log=_select(database, "log"),
            journal=_read_journal(database, newline=manifest["journal_ends_with_newline"]) if journal else b"",
            prices={symbol: _columns(rows, EQUITY_COLUMNS) for symbol, rows in prices.items()},
        )
