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
from papertape.core.series import F8


@compiled
def report(
    account: Any, reports: Any, orders: Any, row: int, ts: int, reason: int, quantity: float, price: float, fee: float
) -> Any:
    """Append a report on an order's present state; returns the record, for the fields that only fills have."""
    n = account[0].reports
    account[0].reports = n + 1
    x = reports[n]
    x.ts = ts
    x.order = row
    x.instrument = orders[row].instrument
    x.status = orders[row].status
    x.reason = reason
    x.ambiguous = 0
    x.quantity = quantity
    x.price = price
    x.fee = fee
    x.low = np.nan
    x.high = np.nan
    x.equity = account[0].equity
    return x


@compiled
def mark_ended(account: Any, reports: Any, orders: Any, row: int, ts: int, status: int, reason: int) -> None:
    """Give an order its last state and report it; what hangs on it is the caller's."""
    orders[row].status = status
    report(account, reports, orders, row, ts, reason, 0.0, np.nan, 0.0)


@compiled
def end_order(
    account: Any, instruments: Any, reports: Any, orders: Any, row: int, ts: int, status: int, reason: int
) -> None:
    """End an order that did not fill completely, and let its waiting children know."""
    mark_ended(account, reports, orders, row, ts, status, reason)
    release_children(account, instruments, reports, orders, ts, False)


@compiled
def release_children(account: Any, instruments: Any, reports: Any, orders: Any, ts: int, inside: bool) -> None:
    """Decide on the orders whose parent has ended: they act for what it filled; where that is nothing they end too.

    A child acts on later events; after a fill ``inside`` a bar its stop acts on the rest of that bar as well.
    """
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
                        mark_ended(account, reports, orders, c, ts, CANCELLED, PARENT_ENDED)
                        again = True  # its own children
                c = o.next
            if changed:
                settle_orders(account, instruments, orders, j)


@compiled
def fill_group(account: Any, instruments: Any, reports: Any, orders: Any, row: int, ts: int, quantity: float) -> None:
    """One cancels the other: what filled in one order is taken off its fellows; nothing left ends them."""
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
                    mark_ended(account, reports, orders, c, ts, CANCELLED, GROUP_FILLED)
                    ended = True
            c = o.next
        if changed:
            settle_orders(account, instruments, orders, j)
    if ended:
        release_children(account, instruments, reports, orders, ts, False)


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
def settle_orders(account: Any, instruments: Any, orders: Any, j: int) -> None:
    """After any change: drop ended orders from the instrument's list, and recompute what depends on the list.

    Orders that wait for their parent do not count. The band is the open price interval in which no order of the
    list can act.
    """
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
            account[0].working -= 1
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
def affordable(
    account: Any,
    instruments: Any,
    cash: F8,
    tree: F8,
    leaves: int,
    rules: F8,
    j: int,
    signed: float,
    price: float,
    fee: float,
) -> int:
    """0 where a fill can be paid for, else the reason. What only reduces a position always can."""
    r = instruments[j]
    if rules[ALLOW_SHORT] == 0.0 and signed < 0.0 and r.quantity + signed < -DUST:
        return WOULD_GO_SHORT
    if r.quantity * signed < 0.0 and abs(signed) <= abs(r.quantity):
        return 0
    if r.rate != r.rate:
        return NO_CASH
    multiple = rules[MARGIN_MULTIPLE]
    if multiple <= 1.0 and signed > 0.0 and cash[r.currency] - signed * price * r.multiplier - fee < -DUST:
        return NO_CASH
    gross = 0.0
    for k in range(len(instruments)):
        if k != j:
            gross += abs(tree[leaves + k])
    gross += abs((r.quantity + signed) * price * r.multiplier * r.rate)
    if (multiple > 1.0 or signed < 0.0) and gross > max(multiple, 1.0) * (account[0].equity - fee * r.rate) + DUST:
        return NO_MARGIN
    return 0


@compiled
def execute(
    account: Any,
    instruments: Any,
    cash: F8,
    rates: F8,
    tree: F8,
    leaves: int,
    orders: Any,
    reports: Any,
    model: F8,
    regulatory: F8,
    month: F8,
    rules: F8,
    row: int,
    quantity: float,
    price: float,
    ts: int,
    inside: bool,
    ambiguous: int,
    adds: bool,
) -> None:
    """Fill an order: fee, cash check, books, report, its group and its children. ``inside``: within a bar."""
    o = orders[row]
    j = o.instrument
    r = instruments[j]
    value = quantity * price * r.multiplier
    fee = fill_fee(model, regulatory, o.filled, o.value, quantity, value, month[0], o.side, adds)
    signed = quantity if o.side == BUY else -quantity
    refused = affordable(account, instruments, cash, tree, leaves, rules, j, signed, price, fee)
    if refused != 0:
        status = REJECTED if o.filled == 0.0 else CANCELLED
        end_order(account, instruments, reports, orders, row, ts, status, refused)
        return
    low = r.low
    high = r.high
    if r.quantity == 0.0:
        low = price
        high = price
    apply_fill(account, instruments, cash, rates, tree, leaves, j, signed, price, fee, ts)
    month[0] += quantity
    o.filled += quantity
    o.value += value
    o.fee += fee
    done = o.quantity - o.filled <= DUST
    if done:
        o.status = FILLED
    elif o.status != PENDING_CANCEL and o.status != PENDING_MODIFY:
        o.status = PARTIALLY_FILLED
    x = report(account, reports, orders, row, ts, 0, quantity, price, fee)
    x.ambiguous = ambiguous
    x.low = min(low, price)
    x.high = max(high, price)
    if o.group != 0:
        fill_group(account, instruments, reports, orders, row, ts, quantity)
    if done:
        release_children(account, instruments, reports, orders, ts, inside)
