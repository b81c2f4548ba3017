"""Orders: what a strategy asks for, the book of all that it asked, and the handle that it keeps."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from papertape.core.model import OrderStatus, OrderType, Side, TimeInForce
from papertape.core.state import State

_NAN = math.nan


class OrderRequest(msgspec.Struct, frozen=True, gc=False):
    """An order as it was decided. Prices that its type does not use are NaN."""

    instrument: int
    """Index of the instrument within the run."""
    symbol: str
    side: Side
    quantity: float
    """Units to trade, above 0."""
    type: OrderType = OrderType.MARKET
    limit_price: float = _NAN
    stop_price: float = _NAN
    """Trigger of a stop; for a trailing stop-limit the limit's offset beyond the stop, in price."""
    trail: float = _NAN
    """Distance of a trailing stop: in price, or a fraction of the best price where ``trail_is_fraction``."""
    trail_is_fraction: bool = False
    tif: TimeInForce = TimeInForce.DAY
    expire_ts: int = 0
    """When a GTD order ends (UTC ns)."""
    group: int = 0
    """One-cancels-other group; 0 for none."""
    parent: int = 0
    """Number of the order that must fill first; 0 for none."""
    outside_hours: bool = False
    """Whether it may fill outside the regular session."""
    tag: str = ""
    """The strategy's own words, kept with the order."""


class OrderBook:
    """All orders of a run. An order's number is its row in the state's order table plus one."""

    __slots__ = ("_room", "arrival", "decided", "requests", "state")

    def __init__(self, state: State) -> None:
        self.state = state
        self._room = len(state.orders)
        self.requests: list[OrderRequest] = []
        self.decided: list[int] = []
        self.arrival: list[float] = []

    def add(self, request: OrderRequest, now: int, arrival: float) -> int:
        """Note a decided order; returns its number. The order table grows when it is full."""
        self.requests.append(request)
        self.decided.append(now)
        self.arrival.append(arrival)
        number = len(self.requests)
        if number > self._room:
            self._grow()
        return number

    def _grow(self) -> None:
        """Double the order table; whoever keeps a reference to it must take the new one."""
        old = self.state.orders
        new = np.zeros(2 * len(old), old.dtype)
        new[: len(old)] = old
        self.state.orders = new
        self._room = len(new)

    def __len__(self) -> int:
        return len(self.requests)

    def status(self, number: int) -> OrderStatus:
        """Present state of an order."""
        return OrderStatus(int(self.state.orders["status"][number - 1]))

    def working(self, instrument: int | None = None) -> list[int]:
        """Numbers of working orders, of one instrument or of all, oldest first."""
        found: list[int] = []
        heads = self.state.instruments["head"]
        following = self.state.orders["next"]
        wanted = range(len(heads)) if instrument is None else (instrument,)
        for j in wanted:
            row = int(heads[j])
            while row >= 0:
                found.append(row + 1)
                row = int(following[row])
        return sorted(found)


class Order(msgspec.Struct, frozen=True, eq=False):
    """A handle on an order. Its state is read when it is asked for.

    ``number`` counts the run's orders from 1; 0 is an order that the guard refused, which was never sent.
    """

    book: OrderBook
    number: int
    request: OrderRequest
    reason: str = ""
    """Why the guard refused it; empty for an order that was sent."""

    @property
    def symbol(self) -> str:
        """The instrument's symbol."""
        return self.request.symbol

    @property
    def side(self) -> Side:
        """BUY or SELL."""
        return self.request.side

    @property
    def status(self) -> OrderStatus:
        """Present state."""
        return self.book.status(self.number) if self.number else OrderStatus.REJECTED

    @property
    def is_working(self) -> bool:
        """Whether it can still fill."""
        return not self.status.is_final

    @property
    def filled(self) -> float:
        """Quantity filled so far."""
        return float(self.book.state.orders["filled"][self.number - 1]) if self.number else 0.0

    @property
    def average_price(self) -> float:
        """Average price of what was filled; NaN while nothing was."""
        if not self.filled:
            return _NAN
        row = self.book.state.orders[self.number - 1]
        multiplier = self.book.state.instruments["multiplier"][self.request.instrument]
        return float(row["value"] / row["filled"] / multiplier)

    def __repr__(self) -> str:
        r = self.request
        return f"<Order {self.number}: {r.side.name} {r.quantity:g} {r.symbol} {r.type.name} {self.status.name}>"
