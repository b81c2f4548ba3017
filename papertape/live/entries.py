"""What the journal of a live run holds, as data: a tagged JSON object an entry.

An order's intent is durable before its bytes leave. Everything that TWS says of orders is an entry too, so that a run
which is resumed comes to where it was by hearing the same again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from brokers.ib.records import (
    Commission,
    CompletedOrder,
    ErrorMessage,
    Execution,
    NextValidId,
    OpenOrder,
    OrderState,
)
from papertape.core.model import Note, Scan
from papertape.core.orders import OrderRequest
from papertape.core.record import GuardEvent

HEARD = (OpenOrder, OrderState, Execution, Commission, CompletedOrder, ErrorMessage, NextValidId)
"""Records that are journaled. Ticks are not: they go to ``--record``."""


class _Entry(msgspec.Struct, frozen=True, tag=True, tag_field="entry"):
    """Base of all entries."""


class Known(_Entry, frozen=True):
    """An instrument got its index, or TWS has said its contract id. Orders and executions refer to it."""

    index: int
    symbol: str
    type: str
    currency: str
    exchange: str
    tick_size: float
    multiplier: float
    con_id: int


class Began(_Entry, frozen=True):
    """The account as it was when the run first began: what its books start from."""

    account: str
    base: str
    cash: dict[str, float]
    rates: dict[str, float]
    positions: dict[int, float]
    """Contract id -> quantity."""
    executions: dict[str, tuple[int, float]]
    """Executions of the day that were there before the run: root -> (revision, signed quantity)."""
    floor: float
    peak_fraction: float
    guard_peak: float
    start: float


class Intended(_Entry, frozen=True):
    """An order that is about to be sent. ``arrival`` is the reference price when it was decided; NaN unknown."""

    number: int
    order_id: int
    order_ref: str
    request: OrderRequest
    decided: int
    arrival: float
    transmit: bool = True
    by_guard: bool = False


class CancelIntended(_Entry, frozen=True):
    """An order's end is about to be asked for."""

    number: int
    reason: int


class ChangeIntended(_Entry, frozen=True):
    """An order's quantity and prices are about to be replaced."""

    number: int
    request: OrderRequest


class Refusal(_Entry, frozen=True):
    """An order was refused on its way to TWS. It has a number, so it is in the run's list of orders."""

    number: int
    rule: str
    text: str
    request: OrderRequest | None = None
    decided: int = 0
    arrival: float = math.nan


class Heard(_Entry, frozen=True):
    """TWS said something of an order."""

    record: OpenOrder | OrderState | Execution | Commission | CompletedOrder | ErrorMessage | NextValidId


class Linked(_Entry, frozen=True):
    """The connection has another state."""

    state: str
    text: str


class Expected(_Entry, frozen=True):
    """What the account was found to hold at a reconciliation: contract id -> quantity."""

    positions: dict[int, float]


class Tripped(_Entry, frozen=True):
    """The guard tripped: it latches until it is reset."""

    rule: str
    text: str


class TripStep(_Entry, frozen=True):
    """A step of what follows a trip: block, cancel, confirm, flatten, disconnect, done; and how it went."""

    step: str
    text: str


class Peak(_Entry, frozen=True):
    """The highest net liquidation so far, which the guard refers to; and the present one."""

    guard_peak: float
    equity: float
    floor: float = -math.inf
    session: int = 0
    """Open of the session that a daily loss is measured from (UTC ns); 0 for the start of the run."""


class Flowed(_Entry, frozen=True):
    """Cash came into the account (negative: left it) without a trade. The guard's books are without it."""

    currency: str
    amount: float


class Halted(_Entry, frozen=True):
    """New orders were stopped: by a person, a mismatch, an error, or something that was not understood. It latches."""

    text: str
    cancels: bool = True
    """Whether what works was to be cancelled."""


class GuardReset(_Entry, frozen=True):
    """A person has reset the guard: what had tripped or halted no longer blocks, and limits are armed anew."""

    text: str


class Armed(_Entry, frozen=True):
    """The guard's limits were set anew from the account, after a reset or at a session's open."""

    floor: float
    peak_fraction: float
    guard_peak: float
    start: float


class Resumed(_Entry, frozen=True):
    """Another process goes on with the run. ``text`` names what is not as it was when the run began."""

    code_hash: str
    text: str = ""


class Said(_Entry, frozen=True):
    """What the run said of itself since the last such entry, so that it is not lost.

    ``log``, ``custom``, ``guard``, ``scans`` and ``daily`` continue the lists of
    :class:`papertape.core.run_log.RunLog`; ``notes`` are those that are new or were counted on. ``buckets`` are rows of
    the equity series from row ``first_bucket`` on, and ``marks`` what of the account record belongs to it.
    """

    log: list[tuple[int, str]] = []
    custom: Mapping[str, list[tuple[int, float]]] = {}
    guard: list[GuardEvent] = []
    scans: list[Scan] = []
    daily: list[tuple[int, int, float]] = []
    notes: list[Note] = []
    first_bucket: int = 0
    buckets: list[tuple[int, float, float, float]] = []
    marks: Mapping[str, float] = {}
    times: Mapping[str, int] = {}
    """Those of ``marks`` that are whole numbers: a float would cut nanoseconds."""
    events: int = 0
    began: int = 0
    """When the strategy first began (UTC ns)."""
    fills: list[tuple[str, float, float, float]] = []
    """(execution id, low, high, equity) as the reports of fills have them."""
    prices: Mapping[int, float] = {}
    """Marks of what the run holds, by instrument."""
    decisions: list[list[Any]] = []
    """Lines of the decision journal that no other entry tells: refusals on the strategy's side, replies."""


class Ended(_Entry, frozen=True):
    """The run has ended in order; orders that still work are named."""

    text: str
    working: list[int]


Entry = (
    Known | Began | Intended | CancelIntended | ChangeIntended | Refusal | Heard | Linked | Expected | Tripped | TripStep
    | Peak | Flowed | Halted | GuardReset | Armed | Resumed | Said | Ended
)  # fmt: skip


_to_json = json.JSONEncoder(separators=(",", ":")).encode


def encode(entry: Entry) -> bytes:
    """An entry as the journal keeps it: JSON in which a number that is unknown is NaN, which strict JSON has no word for."""
    return _to_json(msgspec.to_builtins(entry, str_keys=True)).encode()


def decode(body: bytes) -> Entry:
    """The entry of a body. Raises ValueError where it is none."""
    found: Entry = msgspec.convert(json.loads(body), Entry, str_keys=True)
    return found
