"""What a fill or an end of an order sets off: reports, cash and margin, books, its group, its children. Compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from brokers.fees import fill_fee
from brokers.pricing import reach
from brokers.rules import (
    ALLOW_SHORT,
    BUY,
    CANCELLED,
    DUST,
    FILLED,
    GROUP_FILLED,
    MARGIN_MULTIPLE,
    NO_CASH,
    NO_EQUITY,
    NO_MARGIN,
    PARENT_ENDED,
    PARTIALLY_FILLED,
    PENDING_CANCEL,
    PENDING_MODIFY,
    REJECTED,
    WOULD_GO_SHORT,
)
from papertape.core.compiled import compiled
from papertape.core.marking import apply_fill
from papertape.core.places import books_at, terms_at


@compiled
def report(places: int, row: int, ts: int, reason: int, quantity: float, price: float, fee: float) -> Any:
    """Append a report on an order's present state; returns the record, for the fields that only fills have."""
    books = books_at(places)
    a = books.account[0]
    x = books.reports[a.reports]
    a.reports += 1
    x.ts = ts
    x.order = row
    x.instrument = books.orders[row].instrument
    x.status = books.orders[row].status
    x.reason = reason
    x.ambiguous = 0
    x.quantity = quantity
    x.price = price
    x.fee = fee
    x.low = np.nan
    x.high = np.nan
    x.equity = a.equity
    return x


@compiled
def mark_ended(places: int, row: int, ts: int, status: int, reason: int) -> None:
    """Give an order its last state and report it; what hangs on it is the caller's."""
    books = books_at(places)
    books.orders[row].status = status
    report(places, row, ts, reason, 0.0, np.nan, 0.0)


@compiled
def end_order(places: int, row: int, ts: int, status: int, reason: int) -> None:
    """End an order that did not fill completely, and let its waiting children know."""
    mark_ended(places, row, ts, status, reason)
    release_children(places, ts, False)


@compiled
def release_children(places: int, ts: int, inside: bool) -> None:
    """Decide on the orders whose parent has ended: they act for what it filled; where that is nothing they end too.

    A child acts on later events; after a fill ``inside`` a bar its stop acts on the rest of that bar as well.
    """
    books = books_at(places)
    instruments, orders = books.instruments, books.orders
    again = True
    while again:
        again = False
        for j in range(len(instruments)):
            changed = False
            c = instruments[j].head
            while c >= 0:
                o = orders[c]
                if o.waiting == 1 and o.status < FILLED and orders[o.parent].status >= FILLED:
                    parent = orders[o.parent]
                    changed = True
                    if parent.filled > 0.0:
                        o.waiting = 0
                        o.active_ts = max(o.active_ts, ts)
                        if inside and parent.instrument == j:
                            o.woken_ts = ts
                        if parent.status != FILLED:
                            o.quantity = min(o.quantity, parent.filled)
                    else:
                        mark_ended(places, c, ts, CANCELLED, PARENT_ENDED)
                        again = True  # its own children
                c = o.next
            if changed:
                settle_orders(places, j)


@compiled
def fill_group(places: int, row: int, ts: int, quantity: float) -> None:
    """One cancels the other: what filled in one order is taken off its fellows; nothing left ends them."""
    books = books_at(places)
    instruments, orders = books.instruments, books.orders
    group = orders[row].group
    ended = False
    for j in range(len(instruments)):
        changed = False
        c = instruments[j].head
        while c >= 0:
            o = orders[c]
            if c != row and o.group == group and o.status < FILLED:
                changed = True
                o.quantity -= quantity
                if orders[row].status == FILLED or o.quantity - o.filled <= DUST:
                    o.quantity += quantity  # the report shows what was ordered
                    mark_ended(places, c, ts, CANCELLED, GROUP_FILLED)
                    ended = True
            c = o.next
        if changed:
            settle_orders(places, j)
    if ended:
        release_children(places, ts, False)


@compiled
def counted(instruments: Any, orders: Any, row: int) -> float:
    """What an order adds to the working quantity: of a one-cancels-other group only its largest counts."""
    o = orders[row]
    left = o.quantity - o.filled
    if o.group == 0:
        return float(left)
    most = 0.0
    d = instruments[o.instrument].head
    while d != row:
        w = orders[d]
        if w.group == o.group and w.side == o.side and w.status < FILLED and w.waiting == 0:
            most = max(most, w.quantity - w.filled)
        d = w.next
    return float(max(0.0, left - most))


@compiled
def settle_orders(places: int, j: int) -> None:
    """After any change: drop ended orders from the instrument's list, and recompute what depends on the list.

    Orders that wait for their parent do not count. The band is the open price interval in which no order of the
    list can act.
    """
    books = books_at(places)
    instruments, orders = books.instruments, books.orders
    r = instruments[j]
    previous = -1
    c = r.head
    while c >= 0:
        following = orders[c].next
        if orders[c].status >= FILLED:
            if previous < 0:
                r.head = following
            else:
                orders[previous].next = following
            books.account[0].working -= 1
        else:
            previous = c
        c = following
    buys = 0.0
    sells = 0.0
    low = -np.inf
    high = np.inf
    c = r.head
    while c >= 0:
        o = orders[c]
        if o.waiting == 0:
            if o.side == BUY:
                buys += counted(instruments, orders, c)
            else:
                sells += counted(instruments, orders, c)
            below, above = reach(o)
            low = max(low, below)
            high = min(high, above)
        c = o.next
    r.working_buy = buys
    r.working_sell = sells
    r.band_low = low
    r.band_high = high


@compiled
def affordable(places: int, j: int, signed: float, price: float, fee: float) -> int:
    """0 where a fill can be paid for, else the reason. What only reduces a position always can."""
    books = books_at(places)
    terms = terms_at(places)
    r = books.instruments[j]
    rules = terms.rules
    if rules[ALLOW_SHORT] == 0.0 and signed < 0.0 and r.quantity + signed < -DUST:
        return WOULD_GO_SHORT
    if r.quantity * signed < 0.0 and abs(signed) <= abs(r.quantity):
        return 0
    if r.rate != r.rate:
        return NO_CASH
    multiple = rules[MARGIN_MULTIPLE]
    if multiple <= 1.0 and signed > 0.0 and books.cash[r.currency] - signed * price * r.multiplier - fee < -DUST:
        return NO_CASH
    gross = 0.0
    values = books.tree[len(books.tree) // 2 :]
    for k in range(len(books.instruments)):
        if k != j:
            gross += abs(values[k])
    gross += abs((r.quantity + signed) * price * r.multiplier * r.rate)
    if multiple > 1.0 or signed < 0.0:
        left = books.account[0].equity - fee * r.rate
        if left != left:
            return NO_EQUITY
        if gross > max(multiple, 1.0) * left + DUST:
            return NO_MARGIN
    return 0


@compiled
def execute(
    places: int,
    row: int,
    quantity: float,
    price: float,
    ts: int,
    inside: bool,
    ambiguous: int,
    adds: bool,
) -> None:
    """Fill an order: fee, cash check, books, report, its group and its children. ``inside``: within a bar."""
    books = books_at(places)
    terms = terms_at(places)
    o = books.orders[row]
    j = o.instrument
    r = books.instruments[j]
    value = quantity * price * r.multiplier
    fee = fill_fee(terms.fees, terms.regulatory, o.filled, o.value, quantity, value, terms.month[0], o.side, adds)
    signed = quantity if o.side == BUY else -quantity
    refused = affordable(places, j, signed, price, fee)
    if refused != 0:
        end_order(places, row, ts, REJECTED if o.filled == 0.0 else CANCELLED, refused)
        return
    low = r.low
    high = r.high
    if r.quantity == 0.0:
        low = price
        high = price
    apply_fill(books, j, signed, price, fee, ts)
    terms.month[0] += quantity
    o.filled += quantity
    o.value += value
    o.fee += fee
    done = o.quantity - o.filled <= DUST
    if done:
        o.status = FILLED
    elif o.status != PENDING_CANCEL and o.status != PENDING_MODIFY:
        o.status = PARTIALLY_FILLED
    x = report(places, row, ts, 0, quantity, price, fee)
    x.ambiguous = ambiguous
    x.low = min(low, price)
    x.high = max(high, price)
    if o.group != 0:
        fill_group(places, row, ts, quantity)
    if done:
        release_children(places, ts, inside)
