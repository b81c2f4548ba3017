"""The memory of a simulated account: one SQLite file, so that a gateway that is started again goes on where it was.

What is put is written at the next :meth:`Store.commit`, all of it or nothing, also when the process is killed on the
way (WAL; after a power failure the last commits may be missing, never a part of one). A file belongs to one account
and to one process at a time. Times are UTC nanoseconds; what is not known is NULL; orders, contracts, executions and
commissions are JSON objects of the fields that are not as their class has them by default, so that fields can be added.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from gateway.protocol.contract import Contract
from gateway.protocol.order import Order
from gateway.protocol.replies import Commission, Execution
from papertape.core.errors import DataError

APPLICATION_ID = 0x50544731
"""What SQLite keeps in the file's header to tell whose it is ("PTG1"); see PRAGMA application_id."""
SCHEMA_VERSION = 1
"""Kept as PRAGMA user_version. What is newer is refused."""


@dataclass(frozen=True, slots=True)
class SavedOrder:
    """An order with its terms and its working state; ``perm_id`` is its identity.

    ``ended_ts`` is 0 while it is open. ``triggered`` and ``best`` (NaN none) are those of a stop or trailing order;
    ``parent_perm_id``, ``reason`` and the times are 0 or empty where there is none. ``completed_time`` and
    ``completed_status`` are as clients see them, ``version`` is the server version at which it was placed.
    """

    perm_id: int
    client_id: int
    order_id: int
    contract: Contract
    order: Order
    status: str
    filled: float = 0.0
    average_price: float = 0.0
    last_price: float = 0.0
    fee: float = 0.0
    placed_ts: int = 0
    ended_ts: int = 0
    parent_perm_id: int = 0
    reason: str = ""
    completed_time: str = ""
    completed_status: str = ""
    version: int = 0
    good_after: int = 0
    triggered: bool = False
    best: float = math.nan


@dataclass(frozen=True, slots=True)
class SavedExecution:
    """A fill with its commission. ``quantity`` is signed, 0 where it was busted and is kept to be shown.

    ``split`` is new units per old of all splits since.
    """

    exec_id: str
    ts: int
    symbol: str
    quantity: float
    price: float
    fee: float
    execution: Execution
    commission: Commission
    split: float = 1.0


@dataclass(frozen=True, slots=True)
class SavedPosition:
    """A position as it is and as its day began.

    ``average_cost`` and ``start_cost`` are per unit, times the multiplier, with commissions; ``average_price`` is per
    unit as the ledger has it, without either. ``mark`` is the last known price (NaN unknown).
    """

    symbol: str
    quantity: float
    average_cost: float
    average_price: float
    mark: float
    start_quantity: float = 0.0
    start_cost: float = 0.0
    start_value: float = 0.0
    start_ts: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """The greatest numbers that were used: of orders over all clients, of permanent ids, of executions."""

    order_id: int = 0
    perm_id: int = 0
    execution: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """All that an account remembers. ``ts`` is the exchange time at which it was so.

    Orders are in the order of their permanent ids, executions and positions in the order in which they came.
    ``next_ids`` is by client id.
    """

    account: str
    ts: int
    counters: Counters = field(default_factory=Counters)
    next_ids: Mapping[int, int] = field(default_factory=dict)
    balances: Mapping[str, float] = field(default_factory=dict)
    positions: tuple[SavedPosition, ...] = ()
    orders: tuple[SavedOrder, ...] = ()
    executions: tuple[SavedExecution, ...] = ()
    day_equity: float = math.nan
    """Net liquidation when the day began, in base currency."""


_SCHEMA = """
CREATE TABLE account (name TEXT PRIMARY KEY, ts INTEGER NOT NULL, order_id INTEGER NOT NULL DEFAULT 0,
    perm_id INTEGER NOT NULL DEFAULT 0, execution INTEGER NOT NULL DEFAULT 0, day_equity REAL);
CREATE TABLE next_ids (client_id INTEGER PRIMARY KEY, next_id INTEGER NOT NULL);
CREATE TABLE balances (currency TEXT PRIMARY KEY, amount REAL);
CREATE TABLE positions (symbol TEXT PRIMARY KEY, quantity REAL, average_cost REAL, average_price REAL, mark REAL,
    start_quantity REAL, start_cost REAL, start_value REAL, start_ts INTEGER NOT NULL);
CREATE TABLE orders (perm_id INTEGER PRIMARY KEY, client_id INTEGER NOT NULL, order_id INTEGER NOT NULL,
    contract TEXT NOT NULL, "order" TEXT NOT NULL, status TEXT NOT NULL, filled REAL, average_price REAL,
    last_price REAL, fee REAL, placed_ts INTEGER NOT NULL, ended_ts INTEGER NOT NULL, parent_perm_id INTEGER NOT NULL,
    reason TEXT NOT NULL, completed_time TEXT NOT NULL, completed_status TEXT NOT NULL, version INTEGER NOT NULL,
    good_after INTEGER NOT NULL, triggered INTEGER NOT NULL, best REAL);
CREATE TABLE executions (number INTEGER PRIMARY KEY, exec_id TEXT NOT NULL UNIQUE, ts INTEGER NOT NULL,
    symbol TEXT NOT NULL, quantity REAL, price REAL, fee REAL, execution TEXT NOT NULL, commission TEXT NOT NULL,
    split REAL);
"""
_JSON: Mapping[str, type] = {"contract": Contract, "order": Order, "execution": Execution, "commission": Commission}
"""Columns that hold JSON, and what of."""

_T = TypeVar("_T")


class Store:
    """An open memory. Every method may raise DataError where the file cannot be read or written."""

    def __init__(self, path: Path, account: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self.account = account
        self._connection = connection
        self._is_changing = False

    # -- opening ---------------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path | str, account: str) -> Store:
        """Open an account's memory, or make a new one where there is no file (or an empty one).

        Raises DataError where it is no such file, of a newer papertape, of another account, damaged, or in use.
        """
        path = Path(path)
        try:
            # opened where a server is made, used where it runs: never by two threads at once
            connection = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise DataError(
                f"cannot open this memory of an account ({error}); name another file", path=str(path)
            ) from None
        store = cls(path, account, connection)
        try:
            store._prepare()
        except BaseException:
            connection.close()
            raise
        return store

    def _prepare(self) -> None:
        with self._reported("open"):
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # held from the first statement until the end
            ours = self._pragma("application_id")
            version = self._pragma("user_version")
            is_new = not self._all("SELECT 1 FROM sqlite_master LIMIT 1")
            if ours == APPLICATION_ID and version > SCHEMA_VERSION:
                raise DataError(
                    f"this memory of an account is of format {version}, and this papertape knows up to "
                    f"{SCHEMA_VERSION}; update papertape, or name another file",
                    path=str(self.path),
                )
            if ours != APPLICATION_ID and not (is_new and ours == 0):
                raise self._no_store()
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("BEGIN IMMEDIATE")
            if is_new:
                for statement in _SCHEMA.split(";\n"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._connection.execute("COMMIT")
            names = [name for (name,) in self._all("SELECT name FROM account")]
        if names and names != [self.account]:
            raise DataError(
                f"this is the memory of account {names[0]}, not of {self.account}; name another file or that account",
                path=str(self.path),
            )

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _no_store(self) -> DataError:
        return DataError("this is no memory of a simulated account; name another file", path=str(self.path))

    @contextmanager
    def _reported(self, doing: str) -> Iterator[None]:
        """Errors of SQLite, and of what it holds, as one line for the user."""
        try:
            yield
        except sqlite3.Error as error:
            if "locked" in str(error):
                what = "another gateway uses this memory of an account; stop it, or name another file"
            elif "not a database" in str(error):
                raise self._no_store() from None
            else:
                what = f"cannot {doing} this memory of an account ({error}); name another file"
            raise DataError(what, path=str(self.path)) from None
        except (ValueError, msgspec.ValidationError, TypeError) as error:
            raise DataError(
                f"this memory of an account is damaged ({error}); move the file away to start anew", path=str(self.path)
            ) from None

    def close(self) -> None:
        """Close the file; what was not committed is forgotten."""
        with self._reported("close"):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading ---------------------------------------------------------------------------------------------------------

    def _all(self, statement: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement).fetchall()

    def load(self) -> Saved | None:
        """All that was committed (and put since); None where nothing ever was."""
        with self._reported("read"):
            accounts = self._all("SELECT name, ts, order_id, perm_id, execution, day_equity FROM account")
            if not accounts:
                return None
            name, ts, *counters, day_equity = accounts[0]
            return Saved(
                name,
                ts,
                Counters(*counters),
                dict(self._all("SELECT client_id, next_id FROM next_ids ORDER BY client_id")),
                {currency: _number(amount) for currency, amount in self._all("SELECT * FROM balances ORDER BY rowid")},
                tuple(self._rows(SavedPosition, "positions", "rowid")),
                tuple(self._rows(SavedOrder, "orders", "perm_id")),
                tuple(self._rows(SavedExecution, "executions", "number")),
                _number(day_equity),
            )

    def _rows(self, kind: type[_T], table: str, by: str) -> Iterator[_T]:
        names = _columns(kind)
        statement = f"SELECT {_quoted(names)} FROM {table} ORDER BY {by}"  # noqa: S608 - names of this file
        for row in self._all(statement):
            found: dict[str, Any] = {}
            for name, value in zip(names, row, strict=True):
                if name in _JSON:
                    found[name] = msgspec.convert(json.loads(value), _JSON[name])
                else:
                    found[name] = math.nan if value is None else value
            yield msgspec.convert(found, kind, strict=False)

    # -- writing ---------------------------------------------------------------------------------------------------------

    def _change(self, statement: str, values: Iterable[Any] = ()) -> None:
        with self._reported("write"):
            if not self._is_changing:
                self._connection.execute("BEGIN IMMEDIATE")
                self._is_changing = True
            self._connection.execute(statement, tuple(values))

    def _put(self, table: str, key: str, row: Any) -> None:
        names = _columns(type(row))
        marks = ", ".join("?" * len(names))
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name != key)
        values = (_plain_text(getattr(row, name)) if name in _JSON else getattr(row, name) for name in names)
        insert = f"INSERT INTO {table} ({_quoted(names)}) VALUES ({marks})"  # noqa: S608 - names of this file
        self._change(f"{insert} ON CONFLICT ({key}) DO UPDATE SET {changes}", values)

    def put_order(self, order: SavedOrder) -> None:
        """Remember an order, or its new state."""
        self._put("orders", "perm_id", order)

    def put_execution(self, execution: SavedExecution) -> None:
        """Remember a fill; one that has its id is replaced in its place."""
        self._put("executions", "exec_id", execution)

    def remove_execution(self, exec_id: str) -> None:
        """Forget a fill that was busted."""
        self._change("DELETE FROM executions WHERE exec_id = ?", (exec_id,))

    def correct_execution(self, exec_id: str, execution: SavedExecution) -> None:
        """Replace a fill in its place by one with a new id."""
        self._change("UPDATE executions SET exec_id = ? WHERE exec_id = ?", (execution.exec_id, exec_id))
        self.put_execution(execution)

    def put_position(self, position: SavedPosition) -> None:
        """Remember a position, or its new state."""
        self._put("positions", "symbol", position)

    def keep_positions(self, symbols: Collection[str]) -> None:
        """Forget the positions of all other symbols: they are flat, and were not traded today."""
        with self._reported("read"):
            held = [symbol for (symbol,) in self._all("SELECT symbol FROM positions")]
        for symbol in set(held).difference(symbols):
            self._change("DELETE FROM positions WHERE symbol = ?", (symbol,))

    def put_split(self, symbol: str, ratio: float) -> None:
        """Note a split: ``ratio`` new units for one old, for the executions of the instrument so far."""
        self._change("UPDATE executions SET split = split * ? WHERE symbol = ?", (ratio, symbol))

    def put_balance(self, currency: str, amount: float) -> None:
        """Remember the cash of a currency."""
        self._change(
            "INSERT INTO balances VALUES (?, ?) ON CONFLICT (currency) DO UPDATE SET amount = excluded.amount",
            (currency, amount),
        )

    def put_next_id(self, client_id: int, next_id: int) -> None:
        """Remember a client's next order id."""
        self._change(
            "INSERT INTO next_ids VALUES (?, ?) ON CONFLICT (client_id) DO UPDATE SET next_id = excluded.next_id",
            (client_id, next_id),
        )

    def put_counters(self, counters: Counters) -> None:
        """Remember the greatest numbers that were used."""
        self._put_account()
        self._change(
            "UPDATE account SET order_id = ?, perm_id = ?, execution = ?",
            (counters.order_id, counters.perm_id, counters.execution),
        )

    def put_day_equity(self, equity: float) -> None:
        """Remember net liquidation at the begin of the day."""
        self._put_account()
        self._change("UPDATE account SET day_equity = ?", (equity,))

    def _put_account(self) -> None:
        self._change("INSERT INTO account (name, ts) VALUES (?, 0) ON CONFLICT DO NOTHING", (self.account,))

    def forget_before(self, ts: int) -> None:
        """Forget executions, and orders that ended, before a time."""
        self._change("DELETE FROM executions WHERE ts < ?", (ts,))
        self._change("DELETE FROM orders WHERE ended_ts > 0 AND ended_ts < ?", (ts,))

    def commit(self, ts: int) -> None:
        """Make what was put since the last commit last, as of exchange time ``ts``; where nothing was, do nothing."""
        if not self._is_changing:
            return
        self._put_account()
        self._change("UPDATE account SET ts = ?", (ts,))
        with self._reported("write"):
            self._connection.execute("COMMIT")
            self._is_changing = False

    def save(self, saved: Saved) -> None:
        """Replace all by ``saved``, and commit. Its account must be the store's."""
        if saved.account != self.account:
            raise ValueError(f"the memory of {self.account} cannot hold that of {saved.account}")
        for table in ("account", "next_ids", "balances", "positions", "orders", "executions"):
            self._change(f"DELETE FROM {table}")  # noqa: S608 - names of this file
        self.put_counters(saved.counters)
        self.put_day_equity(saved.day_equity)
        for client_id, next_id in saved.next_ids.items():
            self.put_next_id(client_id, next_id)
        for currency, amount in saved.balances.items():
            self.put_balance(currency, amount)
        for position in saved.positions:
            self.put_position(position)
        for order in saved.orders:
            self.put_order(order)
        for execution in saved.executions:
            self.put_execution(execution)
        self.commit(saved.ts)


def _columns(kind: type) -> list[str]:
    return [each.name for each in dataclasses.fields(kind)]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _plain(value: Any) -> Any:
    """A dataclass as the fields that are not as it has them by default; NaN is like NaN."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {}
        for each in dataclasses.fields(value):
            held = getattr(value, each.name)
            is_default = held == each.default or (held != held and each.default != each.default)
            if not is_default or type(held) is not type(each.default):
                found[each.name] = _plain(held)
        return found
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def _plain_text(value: Any) -> str:
    return json.dumps(_plain(value), separators=(",", ":"))
