"""A script for clients: which connection asks what at which exchange time. Data only, the same for every client.

Runs under the interpreter of any client: standard library only. Calls and their arguments are named as in Interactive
Brokers' own client; what differs between its versions is the business of the program that follows the script.
"""

from __future__ import annotations

import datetime as dt
import enum
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

DATE = dt.date(2023, 11, 24)
"""A session that closes at 13:00: a full day in fewer seconds, for in lockstep each of them is waited for."""

ZONE = ZoneInfo("America/New_York")
ACCOUNT = "DU1234567"

STOP_CALL = "disconnect"
"""The call that ends a connection."""
AGAIN_CALL = "reconnect"
"""The call that ends a connection and makes it anew, with the same client id."""


class Then(enum.Enum):
    """What a connection does after a marker."""

    ANSWER = "answer"
    END = "end"
    RECONNECT = "reconnect"


def seconds(clock: str) -> int:
    """Exchange time (s since 1970) of a time of the day in New York."""
    return int(dt.datetime.combine(DATE, dt.time.fromisoformat(clock), ZONE).timestamp())


@dataclass(frozen=True)
class Made:
    """An object of the client's own class ``kind`` with these fields set."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OrderId:
    """The ``n``-th order id, from 0, of what the server said first."""

    n: int


@dataclass(frozen=True)
class Row:
    """At the first marker not before ``at`` (exchange time, s) the connection ``client`` calls this."""

    at: int
    client: int
    call: str
    arguments: tuple[Any, ...]


def row(clock: str, client: int, call: str, *arguments: Any) -> Row:
    """A row of a script, its time as that of the day in New York."""
    return Row(seconds(clock), client, call, arguments)


def stock(symbol: str, **fields: Any) -> Made:
    """A US stock, routed as TWS routes."""
    return Made("Contract", {"symbol": symbol, "secType": "STK", "exchange": "SMART", "currency": "USD", **fields})


def order(action: str, quantity: float, kind: str, tif: str = "DAY", **fields: Any) -> Made:
    """An order."""
    return Made("Order", {"action": action, "totalQuantity": quantity, "orderType": kind, "tif": tif, **fields})


ORDER_FLAGS_OFF = ("eTradeOnly", "firmQuoteOnly")
"""Set by default in orders of old client versions, and refused by TWS since (error 10268)."""

LAST_ARGUMENTS: Mapping[str, Any] = {"manualCancelOrderTime": "", "orderCancel": Made("OrderCancel")}
"""What later versions want for a cancel beside the order -> what says nothing."""


class Player:
    """The part of a script that one connection plays.

    ``classes`` finds the client's class by its name; ``target`` is what has the calls, another one after a reconnect.
    """

    def __init__(self, rows: Iterable[Row], client: int, classes: Callable[[str], type]) -> None:
        self._rows = sorted((each for each in rows if each.client == client), key=lambda each: each.at)
        self._next = 0
        self.target: Any = None
        self._classes = classes
        self.first_order_id: int | None = None

    def due(self, now: int) -> Then:
        """Make all calls that are due at exchange time ``now`` (s)."""
        while self._next < len(self._rows) and self._rows[self._next].at <= now:
            each = self._rows[self._next]
            self._next += 1
            if each.call == STOP_CALL:
                return Then.END
            if each.call == AGAIN_CALL:
                return Then.RECONNECT
            self._call(each)
        return Then.ANSWER

    def _call(self, each: Row) -> None:
        call = getattr(self.target, each.call)
        arguments = [self._build(value) for value in each.arguments]
        wanted = list(inspect.signature(call).parameters)
        if len(wanted) > len(arguments) and wanted[-1] in LAST_ARGUMENTS:
            arguments.append(self._build(LAST_ARGUMENTS[wanted[-1]]))
        call(*arguments)

    def _build(self, value: Any) -> Any:
        if isinstance(value, OrderId):
            if self.first_order_id is None:
                raise ValueError("the script wants an order id before the server gave one")
            return self.first_order_id + value.n
        if isinstance(value, list):
            return [self._build(each) for each in value]
        if not isinstance(value, Made):
            return value
        kind = self._classes(value.kind)
        if issubclass(kind, tuple):
            return kind(**value.fields)
        made = kind()
        if value.kind == "Order":
            for name in ORDER_FLAGS_OFF:
                if hasattr(made, name):
                    setattr(made, name, False)
        for name, each in value.fields.items():
            setattr(made, name, self._build(each))
        return made


def sooner(rows: Iterable[Row], factor: int, begin: str, end: str) -> tuple[Row, ...]:
    """The rows up to ``end``, all ``factor`` times sooner after ``begin``; after the last one every connection ends."""
    first, last = seconds(begin), seconds(end)
    kept = [replace(each, at=first + (each.at - first) // factor) for each in rows if each.at < last]
    ending = max(each.at for each in kept) + 5
    return (*kept, *(Row(ending, client, STOP_CALL, ()) for client in sorted({each.client for each in kept})))
