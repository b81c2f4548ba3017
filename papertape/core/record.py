"""What a run leaves behind, as plain columns: the engine fills it, the run store keeps it, reports read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from papertape.core.model import Note, Scan

ORDER_COLUMNS: Mapping[str, str] = {
    "number": "i8",  # of the order within the run, from 1
    "ts": "i8",  # when it was decided
    "symbol": "O",
    "side": "O",  # BUY or SELL
    "type": "O",  # OrderType's name
    "quantity": "f8",
    "limit_price": "f8",  # NaN where the type has none
    "stop_price": "f8",
    "tif": "O",
    "status": "O",  # OrderStatus's name
    "filled": "f8",
    "average_price": "f8",  # NaN while nothing is filled
    "fee": "f8",
    "arrival_price": "f8",  # mid of a fresh quote, else the last price, when it was decided; NaN unknown
    "ts_final": "i8",  # when it ended; 0 while it works
    "reason": "O",  # why it was rejected or cancelled
    "parent": "i8",  # number of the parent order of a bracket, 0 for none
    "group": "i8",  # one-cancels-other group, 0 for none
    "tag": "O",  # the strategy's own words
}
FILL_COLUMNS: Mapping[str, str] = {
    "ts": "i8",
    "symbol": "O",
    "side": "O",
    "quantity": "f8",
    "price": "f8",
    "fee": "f8",
    "order": "i8",
    "ambiguous": "?",  # resolved against the strategy, see docs/fill-model.md
}
TRADE_COLUMNS: Mapping[str, str] = {
    "symbol": "O",
    "side": "O",  # LONG or SHORT
    "quantity": "f8",
    "entry_ts": "i8",
    "exit_ts": "i8",
    "entry_price": "f8",
    "exit_price": "f8",
    "fees": "f8",
    "pnl": "f8",  # after fees, in the instrument's currency
    "return": "f8",  # pnl / (entry price x quantity x multiplier)
    "mae": "f8",  # worst unrealised P&L while open, <= 0, in currency; NaN where not tracked
    "mfe": "f8",  # best unrealised P&L while open, >= 0
}
POSITION_COLUMNS: Mapping[str, str] = {
    "symbol": "O",
    "currency": "O",
    "quantity": "f8",
    "average_cost": "f8",
    "last_price": "f8",
    "market_value": "f8",
    "unrealised": "f8",
    "realised": "f8",
}

Columns = dict[str, NDArray[Any]]


def empty_columns(layout: Mapping[str, str]) -> Columns:
    """Columns of no rows."""
    return {name: np.empty(0, dtype=dtype) for name, dtype in layout.items()}


class GuardEvent(msgspec.Struct, frozen=True):
    """Something the guard did. ``kind`` is "trip", "refused", "cancelled", "flattened" or "reset"."""

    ts: int
    kind: str
    rule: str
    text: str
    count: int = 1


class Drawdown(msgspec.Struct, frozen=True):
    """The deepest fall of event-level equity below its running maximum.

    ``depth`` is a fraction, <= 0 (-0.05 is five per cent down). Times in ns; ``recovery_ts`` is 0 while
    the peak was not reached again.
    """

    depth: float
    peak_ts: int
    trough_ts: int
    recovery_ts: int
    peak: float
    trough: float


@dataclass(slots=True, eq=False)
class RunRecord:
    """Everything one run leaves.

    ``equity`` holds buckets of event-level equity: columns ``ts`` (time of the bucket's last event),
    ``last``, ``low``, ``high`` (float64, base currency). ``points`` holds exact values at fills, session
    closes, peak and trough: ``ts``, ``equity``. ``daily`` is the last value before each session's close:
    ``date`` (days since 1970-01-01), ``ts``, ``equity``, and ``benchmark``, the benchmark's return since the
    row before (0.01 is one per cent; NaN unknown, or without a benchmark). ``custom`` maps a name given to
    ``record()`` to its ``(ts, value)`` arrays. ``journal`` is the byte-exact list of decisions and fills, one JSON object
    a line. ``settings`` is the configuration as given, JSON-able.
    """

    strategy: str
    mode: str
    start: int
    end: int
    events: int
    currency: str
    starting_equity: float
    final_equity: float
    cash: Mapping[str, float]
    orders: Columns
    fills: Columns
    positions: Columns
    equity: Columns
    points: Columns
    daily: Columns
    drawdown: Drawdown
    time_in_market_ns: int
    trades: Columns = field(default_factory=lambda: empty_columns(TRADE_COLUMNS))
    metrics: dict[str, float | None] = field(default_factory=dict)
    scans: list[Scan] = field(default_factory=list)
    custom: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=dict)
    guard: list[GuardEvent] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    log: list[tuple[int, str]] = field(default_factory=list)
    journal: bytes = b""
    prices: dict[str, Columns] = field(default_factory=dict)
    """Price of each instrument that was traded, in buckets: ``ts``, ``last``, ``low``, ``high``."""
    settings: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    code_hash: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    synthetic: bool = False
    zone: str = "America/New_York"
    elapsed_s: float = 0.0
    guard_tripped: bool = False
