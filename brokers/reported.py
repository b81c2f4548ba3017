"""What a real broker reports of an order, taken into the order table: fills, fees, changes of status. Compiled."""

from __future__ import annotations

import numpy as np

from brokers.booking import release_children, report, settle_orders
from brokers.rules import DUST, FILLED, PARTIALLY_FILLED, PENDING_CANCEL, PENDING_MODIFY
from papertape.core.compiled import compiled
from papertape.core.marking import apply_fill, base_cash
from papertape.core.places import books_at


@compiled
def take_fill(places: int, row: int, quantity: float, price: float, fee: float, ts: int) -> int:
    """Book an execution; returns the row of its report.

    ``fee`` NaN is one that is not known yet: nothing is paid for it until :func:`take_fee`. A fill that crossed a
    cancel on its way is booked too, and completes the order where nothing is left.
    """
    books = books_at(places)
    o = books.orders[row]
    j = o.instrument
    r = books.instruments[j]
    signed = quantity if o.side > 0 else -quantity
    low, high = r.low, r.high
    if r.quantity == 0.0:
        low = price
        high = price
    paid = fee if fee == fee else 0.0
    apply_fill(books, j, signed, price, paid, ts)
    o.filled += quantity
    o.value += quantity * price * r.multiplier
    o.fee += paid
    done = o.quantity - o.filled <= DUST
    if done:
        o.status = FILLED
    elif o.status < FILLED and o.status != PENDING_CANCEL and o.status != PENDING_MODIFY:
        o.status = PARTIALLY_FILLED
    x = report(places, row, ts, 0, quantity, price, fee)
    x.low = min(low, price)
    x.high = max(high, price)
    x.equity = books.account[0].equity
    settle_orders(places, j)
    if done:
        release_children(places, ts, False)
    return int(books.account[0].reports - 1)


@compiled
def take_fee(places: int, at: int, fee: float) -> None:
    """What the execution of report ``at`` cost has come after it (or is another than was said)."""
    books = books_at(places)
    x = books.reports[at]
    before = x.fee if x.fee == x.fee else 0.0
    x.fee = fee
    books.orders[x.order].fee += fee - before
    r = books.instruments[x.instrument]
    r.fees += fee - before
    books.cash[r.currency] -= fee - before
    a = books.account[0]
    a.cash = base_cash(books.cash, books.rates)
    a.equity = a.cash + books.tree[1]


@compiled
def correct_fill(places: int, at: int, quantity: float, price: float, ts: int) -> None:
    """The execution of report ``at`` is replaced: it was of ``quantity`` (0: it never was) at ``price``.

    Quantity, cash and what was paid are made what they would be; the average cost is that of the fills as they came.
    """
    books = books_at(places)
    x = books.reports[at]
    o = books.orders[x.order]
    r = books.instruments[x.instrument]
    sign = 1.0 if o.side > 0 else -1.0
    apply_fill(books, x.instrument, -sign * x.quantity, x.price, 0.0, ts)
    if quantity > 0.0:
        apply_fill(books, x.instrument, sign * quantity, price, 0.0, ts)
    o.filled += quantity - x.quantity
    o.value += (quantity * price - x.quantity * x.price) * r.multiplier
    x.quantity = quantity
    x.price = price
    settle_orders(places, x.instrument)


@compiled
def take_status(places: int, row: int, ts: int, status: int, reason: int) -> None:
    """Give a working order another status that does not end it, and report it."""
    books = books_at(places)
    books.orders[row].status = status
    report(places, row, ts, reason, 0.0, np.nan, 0.0)
