"""Runs as a user reads them: metrics, orders, fills and equity as pandas objects, whatever the mode was.

pandas is imported when the first table is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from papertape.core.errors import DataError
from papertape.core.model import Severity
from papertape.core.record import RunRecord
from papertape.moments import iso_utc
from papertape.store import (
    FILE_NAME,
    is_time,
    load_record,
    manifest_of,
    plain,
    read_manifest,
    run_file,
    save_run,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Run", "iso_utc", "list_runs", "load_record", "open_run", "save_run", "to_json_summary"]

GUARD_EVENTS_SHOWN = 100
"""Guard events that a JSON summary holds at most; the run has all of them."""


def _times(ns: NDArray[Any]) -> pd.DatetimeIndex:
    """Nanoseconds as UTC times; 0, which is a time that has not come, as NaT."""
    import pandas as pd

    values = np.array(ns, dtype=np.int64)
    values[values == 0] = np.iinfo(np.int64).min  # NaT
    return pd.DatetimeIndex(values.view("M8[ns]"), tz="UTC")


def _midnights(days: NDArray[Any]) -> pd.DatetimeIndex:
    """Days since 1970-01-01 as midnights UTC."""
    import pandas as pd

    dates = np.asarray(days, dtype=np.int64).view("M8[D]").astype("M8[ns]")
    return pd.DatetimeIndex(dates, name="date", tz="UTC")


def _frame(columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Columns as a DataFrame; columns of times become UTC times."""
    import pandas as pd

    return pd.DataFrame({name: _times(column) if is_time(name) else column for name, column in columns.items()})


def _stacked(key: str, parts: Mapping[str, Mapping[str, NDArray[Any]]], names: tuple[str, ...]) -> pd.DataFrame:
    """Tables of equal columns below each other, the name of each in a first column ``key``."""
    import pandas as pd

    parts = parts or {"": dict.fromkeys(names, np.empty(0))}
    frames = [_frame(columns).assign(**{key: name}) for name, columns in parts.items()]
    return pd.concat(frames, ignore_index=True)[[key, *names]]


def _table(rows: list[tuple[Any, ...]], names: tuple[str, ...]) -> pd.DataFrame:
    """Rows as a DataFrame; a column ``ts`` becomes UTC times."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(names))
    if "ts" in names:
        frame["ts"] = _times(np.array([row[names.index("ts")] for row in rows], dtype=np.int64))
    return frame


class Run:
    """What one execution of a strategy left: in memory after ``backtest()``, from disk after ``open_run()``.

    Tables are pandas objects, made when they are asked for. Times are UTC (``datetime64[ns, UTC]``; NaT where there is
    none), money is in the currency of the instrument or, for equity, of the account. Where a number is unknown or
    does not apply it is NaN in a table and None in ``metrics``.
    """

    def __init__(self, record: RunRecord | None = None, *, path: Path | None = None) -> None:
        if record is None and path is None:
            raise TypeError("a Run is made from a record, a path or both")
        self._record = record
        self.path = path
        """The run's folder; None while it is only in memory."""

    # --- the run as a whole

    @property
    def record(self) -> RunRecord:
        """Everything as plain NumPy columns. Raises DataError when the file is damaged."""
        if self._record is None:
            assert self.path is not None  # held by __init__
            self._record = load_record(self.path)
        return self._record

    @functools.cached_property
    def _header(self) -> tuple[dict[str, Any], dict[str, float | None]]:
        if self._record is None and self.path is not None:
            return read_manifest(run_file(self.path))
        return manifest_of(self.record), self.record.metrics

    @property
    def manifest(self) -> dict[str, Any]:
        """What was run: strategy, mode, settings, data fingerprint, package versions; read without the tables."""
        return self._header[0]

    @property
    def metrics(self) -> dict[str, float | None]:
        """Name -> value, None where it is not applicable. Definitions: docs/metrics.md."""
        return self._header[1]

    @property
    def strategy(self) -> str:
        """Name of the strategy."""
        return str(self.manifest["strategy"])

    @property
    def mode(self) -> str:
        """``backtest``, ``paper`` or ``live``."""
        return str(self.manifest["mode"])

    def save(self, out: Path | str = "runs") -> Path:
        """Write the run as a new folder in ``out`` and return that folder. Raises DataError where it cannot."""
        self.path = save_run(self.record, Path(out))
        return self.path

    def __repr__(self) -> str:
        manifest = self.manifest
        span = f"{_day(manifest['start'])}..{_day(manifest['end'])}" if manifest["events"] else "no events"
        name = f"Run({manifest['strategy']}, {manifest['mode']}, {span}, {manifest['events']:,} events"
        equity = [manifest[key] for key in ("starting_equity", "final_equity")]
        shown = " -> ".join("n/a" if value is None else f"{value:,.2f}" for value in equity)
        drawdown = manifest["drawdown"]["depth"]
        fallen = "" if drawdown is None else f", max drawdown {drawdown:.2%}"
        tripped = ", guard tripped" if manifest["guard_tripped"] else ""
        place = f", {str(self.path)!r}" if self.path else ""
        return f"{name}, equity {shown} {manifest['currency']}{fallen}{tripped}{place})"

    def _repr_html_(self) -> str:
        from papertape.run_html import run_html

        return run_html(self.record, "" if self.path is None else str(self.path))

    def to_csv(self, folder: Path | str) -> Path:
        """Write every list of the run as ``<list>.csv`` into a folder, and ``manifest.json``; returns the folder.

        Lists are fills, orders, trades, positions, equity, points, daily, scans, guard, notes, log, metrics, custom,
        prices and returns. Times are ISO-8601 (UTC, to the nanosecond), numbers exact, the unknown empty; a text that
        a spreadsheet would take for a formula gets an apostrophe. Raises DataError where the folder cannot be written.
        """
        from papertape.exports import write_csv

        return write_csv(self.record, Path(folder))

    def to_parquet(self, folder: Path | str) -> Path:
        """The same lists as ``<list>.parquet``; times are UTC timestamps to the nanosecond. Needs PyArrow.

        Raises ConfigError without it, DataError where the folder cannot be written.
        """
        from papertape.exports import write_parquet

        return write_parquet(self.record, Path(folder), self._list_frame)

    def _list_frame(self, name: str) -> pd.DataFrame:
        """One of the lists as a table without an index."""
        import pandas as pd

        record = self.record
        match name:
            case "equity":
                return self.equity_buckets
            case "daily" | "returns":
                return pd.DataFrame(getattr(self, name).reset_index())
            case "custom":
                series = {key: {"ts": ts, "value": values} for key, (ts, values) in record.custom.items()}
                return _stacked("name", series, ("ts", "value"))
            case "prices":
                return _stacked("symbol", record.prices, ("ts", "last", "low", "high"))
            case "metrics":
                values = np.array(list(self.metrics.values()), dtype=np.float64)
                return pd.DataFrame({"name": list(self.metrics), "value": values})
        frame = getattr(self, name)
        assert isinstance(frame, pd.DataFrame), name
        return frame

    # --- its tables

    @functools.cached_property
    def orders(self) -> pd.DataFrame:
        """One row an order, in the order of their numbers. Columns: ``papertape.core.record.ORDER_COLUMNS``."""
        return _frame(self.record.orders)

    @functools.cached_property
    def fills(self) -> pd.DataFrame:
        """One row a fill, in time order: ts, symbol, side, quantity (> 0), price, fee, order, ambiguous."""
        return _frame(self.record.fills)

    @functools.cached_property
    def trades(self) -> pd.DataFrame:
        """One row a closed lot, first in first out: entry, exit, fees, pnl (after fees), return, mae, mfe."""
        return _frame(self.record.trades)

    @functools.cached_property
    def positions(self) -> pd.DataFrame:
        """Positions at the end of the run, one row an instrument."""
        return _frame(self.record.positions)

    @functools.cached_property
    def equity(self) -> pd.Series[float]:
        """Net liquidation over time: the last value of each time bucket. Extremes are in ``equity_buckets``."""
        import pandas as pd

        columns = self.record.equity
        return pd.Series(columns["last"], index=_times(columns["ts"]).rename("ts"), name="equity")

    @functools.cached_property
    def equity_buckets(self) -> pd.DataFrame:
        """Net liquidation in time buckets: ts (of the bucket's last event), last, low, high over all its events."""
        return _frame(self.record.equity)

    @functools.cached_property
    def points(self) -> pd.DataFrame:
        """Exact net liquidation at fills, session closes, peak and trough: ts, equity."""
        return _frame(self.record.points)

    @functools.cached_property
    def daily(self) -> pd.DataFrame:
        """By session's date: ts, equity (the last net liquidation before its close), benchmark (its return since then)."""
        import pandas as pd

        columns = self.record.daily
        dates = pd.DatetimeIndex(np.asarray(columns["date"], dtype=np.int64).view("M8[D]").astype("M8[s]"), name="date")
        return _frame({name: column for name, column in columns.items() if name != "date"}).set_index(dates)

    @functools.cached_property
    def returns(self) -> pd.Series[float]:
        """Daily returns, not cumulated, by session: equity at its close / at the close before (the start) - 1.

        Indexed by the session's date at midnight UTC, as pyfolio wants returns; QuantStats takes it too. NaN where
        equity was not positive.
        """
        import pandas as pd

        from papertape.listing import daily_returns

        dates, returns = daily_returns(self.record)
        return pd.Series(returns, index=_midnights(dates), name="return", dtype=float)

    @functools.cached_property
    def transactions(self) -> pd.DataFrame:
        """Fills as pyfolio wants transactions: amount (sales below zero), price, symbol; indexed by time (UTC)."""
        import pandas as pd

        from papertape.holdings import signed_quantities

        fills = self.record.fills
        columns = {"amount": signed_quantities(self.record), "price": fills["price"], "symbol": fills["symbol"]}
        return pd.DataFrame(columns, index=_times(fills["ts"]).rename("ts"))

    @functools.cached_property
    def positions_daily(self) -> pd.DataFrame:
        """Value of each position and of cash at each session's end, as pyfolio wants positions: symbols, then cash.

        In the account's currency, shorts below zero; indexed as ``returns``. See ``papertape.holdings`` for how exact
        it is. Raises DataError where the run cannot tell (a split on the way, several currencies).
        """
        import pandas as pd

        from papertape.holdings import daily_holdings

        held = daily_holdings(self.record)
        frame = pd.DataFrame(held.values, columns=list(held.symbols), index=_midnights(self.record.daily["date"]))
        return frame.assign(cash=held.cash)

    @functools.cached_property
    def scans(self) -> pd.DataFrame:
        """One row a ranked result; a scan without results has one row without a rank. ``scan`` numbers them from 0."""
        rows: list[tuple[Any, ...]] = []
        for number, scan in enumerate(self.record.scans):
            head = (number, scan.ts, scan.code, scan.source, scan.note)
            rows += [(*head, r.rank, r.symbol, r.con_id, r.exchange, r.currency) for r in scan.rows]
            if not scan.rows:
                rows.append((*head, None, None, None, None, None))
        names = ("scan", "ts", "code", "source", "note", "rank", "symbol", "con_id", "exchange", "currency")
        return _table(rows, names).astype({"rank": "Int64", "con_id": "Int64"})

    @functools.cached_property
    def custom(self) -> dict[str, pd.Series[float]]:
        """Name given to ``record()`` -> its values over time."""
        import pandas as pd

        series = self.record.custom.items()
        return {name: pd.Series(values, index=_times(ts).rename("ts"), name=name) for name, (ts, values) in series}

    @functools.cached_property
    def prices(self) -> dict[str, pd.DataFrame]:
        """Symbol -> its price in time buckets, for the instruments that were traded: ts, last, low, high."""
        return {symbol: _frame(columns) for symbol, columns in self.record.prices.items()}

    @functools.cached_property
    def guard(self) -> pd.DataFrame:
        """What the guard did: ts, kind, rule, text, count."""
        return _table([(e.ts, e.kind, e.rule, e.text, e.count) for e in self.record.guard], _GUARD_COLUMNS)

    @functools.cached_property
    def notes(self) -> pd.DataFrame:
        """What the reader of the run must know: code, text, severity, count."""
        rows: list[tuple[Any, ...]] = [(n.code, n.text, n.severity.value, n.count) for n in self.record.notes]
        return _table(rows, ("code", "text", "severity", "count"))

    @functools.cached_property
    def log(self) -> pd.DataFrame:
        """What the strategy said with ``log()``: ts, text."""
        return _table(list(self.record.log), ("ts", "text"))

    @property
    def journal(self) -> bytes:
        """Decisions and fills, one JSON object a line; equal runs have equal bytes."""
        return self.record.journal


_GUARD_COLUMNS = ("ts", "kind", "rule", "text", "count")


def _day(ns: int) -> str:
    return iso_utc(ns)[:10]


def open_run(path: Path | str) -> Run:
    """Open a run from disk by its folder or its ``run.sqlite``. Raises DataError where it is none, newer or damaged."""
    file = run_file(path)
    run = Run(path=file.parent if file.name == FILE_NAME else file)
    run.manifest  # noqa: B018  (read now, so that what is wrong is said here)
    return run


def list_runs(folder: Path | str = "runs") -> list[Run]:
    """The runs in a folder, oldest first by name; each is read, and may raise DataError, when it is first looked at."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("no such folder of runs", path=str(folder))
    return [Run(path=file.parent) for file in sorted(folder.glob(f"[!.]*/{FILE_NAME}"))]


def to_json_summary(run: Run) -> dict[str, Any]:
    """A run in one JSON-able object; what is not applicable is None.

    ``start`` and ``end`` are ISO-8601 (UTC), ``orders`` and ``fills`` counts, ``fees`` the sum over fills, ``cash`` the
    amount in the account's currency, ``positions`` symbol -> quantity where it is not zero, ``warnings`` one line each.
    """
    record = run.record
    warnings = [
        note.text if note.count == 1 else f"{note.text} ({note.count:,} times)"
        for note in record.notes
        if note.severity is Severity.WARNING
    ]
    events = [{**plain(event), "ts": iso_utc(event.ts)} for event in record.guard[:GUARD_EVENTS_SHOWN]]
    quantities = zip(record.positions["symbol"].tolist(), record.positions["quantity"].tolist(), strict=True)
    summary = {
        "run": None if run.path is None else str(run.path),
        "strategy": record.strategy,
        "mode": record.mode,
        "start": iso_utc(record.start) if record.events else None,
        "end": iso_utc(record.end) if record.events else None,
        "events": record.events,
        "orders": len(record.orders["number"]),
        "fills": len(record.fills["ts"]),
        "fees": float(np.sum(record.fills["fee"])),
        "starting_equity": record.starting_equity,
        "final_equity": record.final_equity,
        "cash": record.cash.get(record.currency, 0.0),
        "positions": {symbol: quantity for symbol, quantity in quantities if quantity != 0},
        "metrics": record.metrics,
        "guard": {"tripped": record.guard_tripped, "count": len(record.guard), "events": events},
        "warnings": warnings,
        "elapsed_s": record.elapsed_s,
    }
    result: dict[str, Any] = plain(summary)
    return result
