"""The fill model: which working orders a trade, a quote, a bar or a close fills, and in what order. Compiled.

The only copy. Every rule is one line in docs/fill-model.md and one test. Where a bar leaves open what came first,
the case is resolved against the strategy and the report is marked ambiguous.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brokers.booking import end_order, execute, settle_orders
from brokers.pricing import acts_as_limit, after_bar, awaits_trigger, betters, price_at, price_in_bar, slipped
from brokers.rules import (
    AT_OPEN,
    BUY,
    CANCELLED,
    EXPIRED,
    FILLED,
    FOK,
    IMMEDIATE_UNFILLED,
    INSIDE_LIMITS,
    INSIDE_STOPS,
    INSIDE_WOKEN,
    IOC,
    KILLED,
    LIMIT,
    LIMIT_ON_CLOSE,
    MARKET_ON_CLOSE,
    OPENING_MISSED,
    OPG,
    TIME_ENDED,
    TOUCH,
    VOLUME_SHARE,
    Terms,
)
from papertape.core.compiled import compiled
from papertape.core.series import F8
from papertape.core.state import Books


@compiled
def can_act(o: Any, regular: bool) -> bool:
    """Whether an order may act on an event of its instrument at all (its time is checked beside)."""
    if o.status >= FILLED or o.waiting == 1 or o.type == MARKET_ON_CLOSE or o.type == LIMIT_ON_CLOSE:
        return False
    return bool(regular or o.outside_hours == 1)


@compiled
def fillable(o: Any, available: float) -> float:
    """Quantity that an order can have of what is available: all, or whole units of it; unknown is nothing."""
    left = o.quantity - o.filled
    if left <= available:
        return float(left)
    if o.tif == FOK or not (available >= 1.0):
        return 0.0
    return float(np.floor(available))


@compiled
def end_if_immediate(books: Books, row: int, ts: int) -> None:
    """End what had one chance only, and did not fill completely on it. A stop's chance comes with its trigger."""
    o = books.orders[row]
    if o.status >= FILLED or awaits_trigger(o):
        return
    reason = 0
    if o.tif == IOC:
        reason = IMMEDIATE_UNFILLED
    elif o.tif == FOK:
        reason = KILLED
    elif o.tif == OPG:
        reason = OPENING_MISSED
    if reason != 0:
        end_order(books, row, ts, CANCELLED, reason)


@compiled
def match_prices(
    books: Books,
    terms: Terms,
    j: int,
    ts: int,
    buy_price: float,
    sell_price: float,
    buy_size: float,
    sell_size: float,
    is_quote: bool,
    regular: bool,
) -> None:
    """Match an instrument's working orders, oldest first, against a trade (both prices equal) or a quote."""
    orders, rules = books.orders, terms.rules
    share = rules[VOLUME_SHARE]
    buyable = share * buy_size if share > 0.0 else np.inf
    sellable = share * sell_size if share > 0.0 else np.inf
    touch = is_quote or rules[TOUCH] != 0.0
    stops = not is_quote or books.instruments[j].has_trades == 0
    c = books.instruments[j].head
    while c >= 0:
        o = orders[c]
        if can_act(o, regular) and ts > o.active_ts:
            adds = o.type == LIMIT and o.seen == 1
            awaited = awaits_trigger(o)
            price = price_at(o, rules, buy_price, sell_price, touch, stops)
            if price == price:
                quantity = fillable(o, buyable if o.side == BUY else sellable)
                if quantity > 0.0:
                    execute(books, terms, c, quantity, price, ts, False, 0, adds)
                    if o.side == BUY or not is_quote:
                        buyable -= quantity
                    if o.side != BUY or not is_quote:
                        sellable -= quantity
            if price == price or (o.seen == 1 and not awaited):
                end_if_immediate(books, c, ts)
        c = orders[c].next
    settle_orders(books, j)


@compiled
def holds_target(books: Books, rules: F8, row: int, open_: float, high: float, low: float) -> bool:
    """Whether a limit of the same group would have filled inside the same bar as this stop."""
    orders = books.orders
    o = orders[row]
    if o.group == 0:
        return False
    c = books.instruments[o.instrument].head
    while c >= 0:
        other = orders[c]
        if c != row and other.group == o.group and other.status < FILLED and other.waiting == 0:
            price = price_in_bar(other, rules, open_, high, low, INSIDE_LIMITS, False)
            if price == price:
                return True
        c = other.next
    return False


@compiled
def leaves_open(books: Books, rules: F8, row: int, open_: float, high: float, low: float, woken: bool) -> bool:
    """Whether a bar does not tell that this stop came first: a target lies in it too, or its parent was a stop.

    After a limit entry the way to the stop led past the entry, so that the order of the two is certain.
    """
    if woken and not acts_as_limit(books.orders[books.orders[row].parent]):
        return True
    return holds_target(books, rules, row, open_, high, low)


@compiled
def match_bar(
    books: Books,
    terms: Terms,
    j: int,
    start: int,
    ts: int,
    open_: float,
    high: float,
    low: float,
    volume: float,
    regular: bool,
) -> None:
    """Match an instrument's working orders against a bar: its open, then stops inside it, limits, woken stops."""
    orders, rules = books.orders, terms.rules
    share = rules[VOLUME_SHARE]
    available = share * volume if share > 0.0 else np.inf
    for phase in range(INSIDE_WOKEN + 1):
        c = books.instruments[j].head
        while c >= 0:
            o = orders[c]
            woken = o.woken_ts == ts
            acts = woken if phase == INSIDE_WOKEN else (woken or start >= o.active_ts)
            if acts and can_act(o, regular):
                price = price_in_bar(o, rules, open_, high, low, phase, woken)
                if price == price:
                    inside = phase != AT_OPEN
                    stop = phase == INSIDE_STOPS or phase == INSIDE_WOKEN
                    ambiguous = stop and leaves_open(books, rules, c, open_, high, low, woken)
                    quantity = fillable(o, available)
                    if quantity > 0.0:
                        adds = phase == INSIDE_LIMITS
                        at = ts if inside else start
                        execute(books, terms, c, quantity, price, at, inside, int(ambiguous), adds)
                        available -= quantity
                    end_if_immediate(books, c, ts if inside else start)
                elif phase == AT_OPEN:
                    end_if_immediate(books, c, start)
                if phase == INSIDE_LIMITS and o.status < FILLED and not woken:
                    after_bar(o, high, low)
            c = orders[c].next
    settle_orders(books, j)


@compiled
def fill_on_close(
    books: Books,
    terms: Terms,
    ts: int,
) -> None:
    """The session closes: on-close orders fill at the last price of the session, or end."""
    instruments, orders, rules = books.instruments, books.orders, terms.rules
    touch = rules[TOUCH] != 0.0
    for j in range(len(instruments)):
        r = instruments[j]
        c = r.head
        touched = False
        while c >= 0:
            o = orders[c]
            on_close = o.type == MARKET_ON_CLOSE or o.type == LIMIT_ON_CLOSE
            if on_close and o.status < FILLED and o.waiting == 0 and o.active_ts < ts:
                touched = True
                known = r.last_ts >= books.account[0].session_open
                if known and (o.type == MARKET_ON_CLOSE or betters(o, r.last, touch)):
                    price = slipped(rules, o.side, r.last) if o.type == MARKET_ON_CLOSE else r.last
                    execute(books, terms, c, o.quantity - o.filled, price, ts, False, 0, False)
                if o.status < FILLED:
                    end_order(books, c, ts, EXPIRED, TIME_ENDED)
            c = orders[c].next
        if touched:
            settle_orders(books, j)
