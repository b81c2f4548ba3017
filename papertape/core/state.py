"""The state that the compiled kernel walks over, as records: one account, instruments, orders, reports.

Everything the engine knows about money, positions, prices and working orders lives in these arrays. The
kernel changes them event by event; Python reads them through the ledger's and the order book's views.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from papertape.core.series import F8

Records = NDArray[Any]

MAX_BUCKETS = 20_000
"""Most equity buckets that a run keeps; when they are full, neighbours are merged and the width doubles."""
FIRST_BUCKET_NS = 1_000_000_000
QUOTE_FRESH_NS = 10_000_000_000
"""Age beyond which a quote no longer bounds the mark (DESIGN section 8: 10 s)."""

ACCOUNT = np.dtype(
    [
        ("cash", "f8"),  # all currencies, in base currency
        ("equity", "f8"),  # net liquidation at the last mark
        ("peak", "f8"),  # running maximum of equity
        ("peak_ts", "i8"),
        ("depth", "f8"),  # deepest drawdown as a fraction, <= 0
        ("deep_peak", "f8"),
        ("deep_peak_ts", "i8"),
        ("deep_trough", "f8"),
        ("deep_trough_ts", "i8"),
        ("recovery_ts", "i8"),  # when deep_peak was reached again, 0 while it was not
        ("floor", "f8"),  # guard: equity strictly below it trips; -inf is off
        ("peak_fraction", "f8"),  # guard: equity strictly below peak x this trips; 0 is off
        ("guard_peak", "f8"),  # the maximum that peak_fraction refers to
        ("tripped", "i8"),
        ("trip_ts", "i8"),
        ("bucket_ns", "i8"),
        ("bucket_end", "i8"),  # first time that no longer belongs to the open bucket
        ("buckets", "i8"),  # number of closed buckets
        ("open_ts", "i8"),  # the open bucket: time of its last event, 0 while there is none
        ("open_last", "f8"),
        ("open_low", "f8"),
        ("open_high", "f8"),
        ("group_ts", "i8"),  # bars of this time are applied but not marked yet, 0 for none
        ("working", "i8"),  # number of working orders
        ("held", "i8"),  # number of instruments with a position
        ("held_since", "i8"),
        ("held_ns", "i8"),  # time with a position, up to held_since
        ("reports", "i8"),  # number of rows in the report table
        ("session_open", "i8"),
        ("session_close", "i8"),
        ("ts", "i8"),  # time of the last event
    ],
    align=True,
)

INSTRUMENT = np.dtype(
    [
        ("last", "f8"),  # last trade, or close of the last bar; NaN unknown
        ("last_ts", "i8"),
        ("bid", "f8"),
        ("ask", "f8"),
        ("quote_ts", "i8"),
        ("mark", "f8"),
        ("quantity", "f8"),
        ("average_cost", "f8"),  # price per unit, fees not included
        ("realised", "f8"),  # in the instrument's currency, before fees
        ("fees", "f8"),
        ("multiplier", "f8"),
        ("rate", "f8"),  # base currency per unit of the instrument's; NaN unknown
        ("currency", "i8"),  # index of the currency
        ("working_buy", "f8"),  # unfilled quantity of working buys
        ("working_sell", "f8"),
        ("head", "i8"),  # first working order's row, -1 for none
        ("band_low", "f8"),  # no working order can act while the price stays strictly between
        ("band_high", "f8"),
        ("low", "f8"),  # extremes of the mark since the instrument's last fill
        ("high", "f8"),
        ("has_trades", "i8"),  # whether stops are triggered by trades (else by quotes)
    ],
    align=True,
)

ORDER = np.dtype(
    [
        ("instrument", "i8"),
        ("side", "i8"),
        ("type", "i8"),
        ("tif", "i8"),
        ("status", "i8"),
        ("quantity", "f8"),
        ("filled", "f8"),
        ("value", "f8"),  # sum of quantity x price x multiplier over the fills
        ("fee", "f8"),
        ("limit", "f8"),
        ("stop", "f8"),
        ("trail", "f8"),  # distance in price, or a fraction where trail_is_fraction
        ("trail_is_fraction", "i8"),
        ("best", "f8"),  # best price since the trailing order became active
        ("active_ts", "i8"),  # acts on events strictly later than this; bars may open at it
        ("next", "i8"),
        ("group", "i8"),  # one-cancels-other group, 0 for none
        ("parent", "i8"),  # row of the parent that must fill first, -1 for none
        ("waiting", "i8"),  # 1 while the parent has not filled
        ("triggered", "i8"),  # a stop (limit) whose trigger was reached
        ("seen", "i8"),  # an event that it could have acted on has passed
        ("outside_hours", "i8"),
        ("woken_ts", "i8"),  # event time at which the parent filled inside a bar, 0 otherwise
    ],
    align=True,
)

REPORT = np.dtype(
    [
        ("ts", "i8"),
        ("order", "i8"),  # row of the order
        ("instrument", "i8"),
        ("status", "i8"),  # of the order after this
        ("reason", "i8"),  # a Reason
        ("ambiguous", "i8"),
        ("quantity", "f8"),  # 0 where the report is not a fill
        ("price", "f8"),
        ("fee", "f8"),
        ("low", "f8"),  # extremes of the mark since the instrument's fill before this one
        ("high", "f8"),
        ("equity", "f8"),  # just after the fill
    ],
    align=True,
)


BUCKET = np.dtype(
    [
        ("ts", "i8"),  # time of the bucket's last event
        ("last", "f8"),
        ("low", "f8"),
        ("high", "f8"),
    ],
    align=True,
)


class Reason(IntEnum):
    """Why an order ended without filling, or changed state."""

    NONE = 0
    CANCEL_REQUESTED = 1
    GROUP_FILLED = 2
    IMMEDIATE_UNFILLED = 3
    KILLED = 4
    EXPIRED = 5
    NO_CASH = 6
    PARENT_ENDED = 7
    GUARD = 8
    OPENING_MISSED = 9
    NO_MARGIN = 10
    NOT_TRADABLE = 11
    NO_PRICE = 12
    MODIFIED = 13
    BROKER = 14
    SPLIT = 15
    RUN_ENDED = 16
    WOULD_GO_SHORT = 17
    NO_EQUITY = 18


REASON_TEXT: dict[Reason, str] = {
    Reason.NONE: "",
    Reason.CANCEL_REQUESTED: "cancelled on request",
    Reason.GROUP_FILLED: "another order of its group filled",
    Reason.IMMEDIATE_UNFILLED: "immediate-or-cancel: nothing more to fill at once",
    Reason.KILLED: "fill-or-kill: not all could fill at once",
    Reason.EXPIRED: "its time in force ended",
    Reason.NO_CASH: "not enough cash",
    Reason.PARENT_ENDED: "its parent order ended without filling",
    Reason.GUARD: "cancelled by the guard",
    Reason.OPENING_MISSED: "the opening price did not reach it",
    Reason.NO_MARGIN: "it would exceed the margin multiple",
    Reason.NOT_TRADABLE: "the instrument is not tradable",
    Reason.NO_PRICE: "no price is known for the instrument",
    Reason.MODIFIED: "modified on request",
    Reason.BROKER: "by the broker",
    Reason.SPLIT: "adjusted for a split",
    Reason.RUN_ENDED: "the run ended while it was working",
    Reason.WOULD_GO_SHORT: "it would go short",
    Reason.NO_EQUITY: "net liquidation is unknown: an exchange rate is missing",
}


class Stop(IntEnum):
    """Why ``advance`` returned."""

    END = 0
    """All events asked for are processed."""
    REPORT = 1
    """The last event processed produced reports that Python wants to hear of."""
    TRIP = 2
    """The guard tripped on the last event processed (or on the bars before it)."""
    FULL = 3
    """The report table has no room for another event."""
    AHEAD = 4
    """Running ahead stopped before an event that may fill an order, or that needs room."""


def _settled() -> None:
    """Nothing is ahead of the state."""


class Books(NamedTuple):
    """A state's arrays as kernels take them, so that they are one argument.

    ``tree`` sums position values: instrument j's is at ``len(tree) // 2 + j``, the sum of all at 1.
    """

    account: Records
    instruments: Records
    cash: F8
    rates: F8
    tree: F8
    orders: Records
    reports: Records
    buckets: Records


class Terms(NamedTuple):
    """On what terms a simulated broker fills, as its own vectors: fees, regulatory rates, month, rules.

    ``month`` has shape (1,): units traded in this calendar month so far. The others are laid out by the broker.
    """

    fees: F8
    regulatory: F8
    month: F8
    rules: F8


class State:
    """The engine's arrays; see the layouts above and :class:`Books`.

    ``settle()`` brings the marks up to the event that a strategy is hearing; views call it before they read one.
    """

    __slots__ = (*Books._fields, "settle")

    def __init__(self, n_instruments: int, n_currencies: int) -> None:
        self.settle: Callable[[], None] = _settled
        self.account: Records = np.zeros(1, ACCOUNT)
        self.instruments: Records = np.zeros(max(n_instruments, 1), INSTRUMENT)
        self.cash: F8 = np.zeros(max(n_currencies, 1))
        self.rates: F8 = np.full(max(n_currencies, 1), np.nan)
        leaves = 1
        while leaves < max(n_instruments, 1):
            leaves *= 2
        self.tree: F8 = np.zeros(2 * leaves)
        self.orders: Records = np.zeros(1024, ORDER)
        self.reports: Records = np.zeros(4096, REPORT)
        self.buckets: Records = np.zeros(MAX_BUCKETS, BUCKET)
        account = self.account[0]
        account["floor"] = -np.inf
        account["guard_peak"] = -np.inf
        account["bucket_ns"] = FIRST_BUCKET_NS
        instruments = self.instruments
        for name in ("last", "bid", "ask", "mark", "low", "high"):
            instruments[name] = np.nan
        instruments["multiplier"] = 1.0
        instruments["rate"] = np.nan
        instruments["head"] = -1
        instruments["band_low"] = -np.inf
        instruments["band_high"] = np.inf

    def books(self) -> Books:
        """The arrays as they are now. Tables that grow are replaced by larger ones: then ask again."""
        return Books(*(getattr(self, name) for name in Books._fields))

    def ahead(self) -> State:
        """A copy to run ahead on: what marking changes is copied; orders, reports and buckets are shared."""
        other = State.__new__(State)
        for name in State.__slots__:
            setattr(other, name, getattr(self, name))
        other.account = self.account.copy()
        other.instruments = self.instruments.copy()
        other.tree = self.tree.copy()
        return other

    def copy_marks_from(self, other: State) -> None:
        """Take over what marking changed in ``other``; the arrays stay the same objects, so views stay valid."""
        self.account[:] = other.account
        self.instruments[:] = other.instruments
        self.tree[:] = other.tree
