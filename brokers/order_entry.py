"""Orders come in, are changed and are withdrawn: the order table's side of a command. Compiled."""

from __future__ import annotations

import numpy as np

from brokers.booking import end_order, mark_ended, release_children, report, settle_orders
from brokers.places import books_at, terms_at
from brokers.pricing import expected_price
from brokers.rules import (
    BUY,
    CANCELLED,
    DUST,
    FILLED,
    MARGIN_MULTIPLE,
    MODIFIED,
    NO_CASH,
    PARENT_ENDED,
    PARTIALLY_FILLED,
    PENDING_CANCEL,
    PENDING_SUBMIT,
    REJECTED,
    SUBMITTED,
    TRAIL_LIMIT,
    Terms,
)
from papertape.core.compiled import compiled
from papertape.core.state import Books


@compiled
def unpayable(books: Books, terms: Terms, row: int) -> bool:
    """Whether a buy, with the buys that work already, is expected to cost more than the cash of its currency."""
    instruments, orders = books.instruments, books.orders
    o = orders[row]
    r = instruments[o.instrument]
    if terms.rules[MARGIN_MULTIPLE] > 1.0 or o.side != BUY:
        return False
    price = expected_price(instruments, o)
    if price != price:
        return False  # unknown: the fill itself is checked
    opening = o.quantity - max(0.0, -r.quantity)
    if opening <= 0.0:
        return False  # it only reduces a short position
    need = opening * price * r.multiplier
    if books.account[0].working > 0:
        for j in range(len(instruments)):
            c = instruments[j].head
            while c >= 0:
                w = orders[c]
                if w.side == BUY and w.status < FILLED and w.waiting == 0 and w.group == 0:
                    each = expected_price(instruments, w)
                    if each == each and instruments[j].currency == r.currency:
                        need += (w.quantity - w.filled) * each * instruments[j].multiplier
                c = w.next
    return bool(need > books.cash[r.currency] + DUST)


@compiled
def place(
    places: int,
    row: int,
    j: int,
    side: int,
    type_: int,
    tif: int,
    quantity: float,
    limit: float,
    stop: float,
    trail: float,
    trail_is_fraction: int,
    active_ts: int,
    now: int,
    group: int,
    parent: int,
    outside_hours: int,
    status: int,
) -> int:
    """Take an order in at the end of its instrument's list; returns its status (REJECTED: with a report).

    A child of a parent that has ended already acts at once for what the parent filled, or is cancelled.
    """
    books, terms = books_at(places), terms_at(places)
    orders = books.orders
    o = orders[row]
    o.instrument = j
    o.side = side
    o.type = type_
    o.tif = tif
    o.quantity = quantity
    o.limit = limit
    o.stop = stop
    o.trail = trail
    o.trail_is_fraction = trail_is_fraction
    o.best = np.nan
    o.active_ts = active_ts
    o.group = group
    o.parent = parent
    o.outside_hours = outside_hours
    o.next = -1
    o.status = status
    o.waiting = 1 if (parent >= 0 and orders[parent].status != FILLED) else 0
    if o.waiting == 1 and orders[parent].status > FILLED:
        if orders[parent].filled == 0.0:
            mark_ended(books, row, now, CANCELLED, PARENT_ENDED)
            return int(o.status)
        o.waiting = 0
        o.quantity = min(quantity, orders[parent].filled)
    if o.waiting == 0 and unpayable(books, terms, row):
        mark_ended(books, row, now, REJECTED, NO_CASH)
        return int(o.status)
    r = books.instruments[j]
    if r.head < 0:
        r.head = row
    else:
        c = r.head
        while orders[c].next >= 0:
            c = orders[c].next
        orders[c].next = row
    books.account[0].working += 1
    settle_orders(books, j)
    return int(o.status)


@compiled
def acknowledge(books: Books, row: int, ts: int) -> None:
    """The broker has the order: report it, unless it has moved on already."""
    if books.orders[row].status == PENDING_SUBMIT:
        books.orders[row].status = SUBMITTED
        report(books, row, ts, 0, 0.0, np.nan, 0.0)


@compiled
def finish(books: Books, row: int, ts: int, status: int, reason: int) -> bool:
    """End a working order at somebody's wish (cancel, expiry), with what hangs on it. False: too late."""
    o = books.orders[row]
    if o.status >= FILLED:
        return False
    end_order(books, row, ts, status, reason)
    settle_orders(books, o.instrument)
    return True


@compiled
def split_orders(books: Books, j: int, ratio: float) -> None:
    """``ratio`` new units for one old: what is left of working orders keeps its value; what filled stays as it was."""
    c = books.instruments[j].head
    while c >= 0:
        o = books.orders[c]
        o.quantity = o.filled + (o.quantity - o.filled) * ratio
        o.limit /= ratio
        o.stop /= ratio
        o.best /= ratio
        if o.trail_is_fraction == 0:
            o.trail /= ratio
        c = o.next
    settle_orders(books, j)


@compiled
def amend(books: Books, row: int, ts: int, quantity: float, limit: float, stop: float, trail: float) -> None:
    """Replace a working order's quantity and prices; one that has filled as much already is done.

    New terms act on later events only. A new price is a new arrival: where it is marketable it gets the market's
    price, not its own.
    """
    o = books.orders[row]
    if o.type == TRAIL_LIMIT and limit != limit:
        limit = o.limit  # set when it was triggered
    if not (same(o.limit, limit) and same(o.stop, stop) and same(o.trail, trail)):
        o.seen = 0
    o.active_ts = max(o.active_ts, ts)
    o.quantity = max(quantity, o.filled)
    o.limit = limit
    o.stop = stop
    o.trail = trail
    if o.status != PENDING_CANCEL:
        o.status = PARTIALLY_FILLED if o.filled > 0.0 else SUBMITTED
    done = o.quantity - o.filled <= DUST
    if done:
        o.status = FILLED
    report(books, row, ts, MODIFIED, 0.0, np.nan, 0.0)
    settle_orders(books, o.instrument)
    if done:
        release_children(books, ts, False)


@compiled
def same(a: float, b: float) -> bool:
    """Whether two prices are equal; unknown equals unknown."""
    return a == b or (a != a and b != b)
