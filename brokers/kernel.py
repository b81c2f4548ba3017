"""The kernel: walks events, matches working orders, marks the portfolio and checks the guard's thresholds.

The only implementation of marking and matching. A live session uses it on small batches with an empty order
list (the broker matches there); a backtest on large ones.
"""

from __future__ import annotations

from typing import Any

from brokers.matching import match_bar, match_prices
from brokers.rules import ROOM_BESIDE, ROOM_PER_ORDER
from papertape.core.compiled import compiled
from papertape.core.marking import mark_price, mark_run, position_value, set_value, take_equity
from papertape.core.model import EventKind
from papertape.core.places import books_at, events_at
from papertape.core.state import MAX_BUCKETS, Stop

QUOTE = int(EventKind.QUOTE)
TRADE = int(EventKind.TRADE)
BAR = int(EventKind.BAR)
END = int(Stop.END)
REPORT = int(Stop.REPORT)
TRIP = int(Stop.TRIP)
FULL = int(Stop.FULL)
AHEAD = int(Stop.AHEAD)

STOP_CODES = 8
"""``advance`` returns index x STOP_CODES + Stop: one integer is cheaper to hand to Python than two."""


@compiled
def reaches(r: Any, kind: int, c0: float, c1: float, c2: float) -> bool:
    """Whether an event may touch one of the instrument's working orders (its band of no action)."""
    if kind == TRADE:
        return not (r.band_low < c0 < r.band_high)
    if kind == QUOTE:
        return bool(c0 <= r.band_low or c1 <= r.band_low or c0 >= r.band_high or c1 >= r.band_high)
    return not (r.band_low < c2 and c1 < r.band_high)


@compiled
def take_prices(r: Any, kind: int, ts: int, c0: float, c1: float, c3: float) -> None:
    """Note an event's prices on its instrument."""
    if kind == TRADE:
        r.last = c0
        r.last_ts = ts
    elif kind == QUOTE:
        r.bid = c0
        r.ask = c1
        r.quote_ts = ts
    else:
        r.last = c3
        r.last_ts = ts
    r.mark = mark_price(r, ts)


@compiled
def pass_by(a: Any, r: Any, ts: int, price: float) -> None:
    """Note the last of the trades of an instrument that is neither held nor ordered, the only one in the batch."""
    r.last = price
    r.last_ts = ts
    r.mark = price
    a.ts = ts


@compiled
def match(places: int, k: int, kind: int, j: int) -> None:
    """Match instrument j's working orders against its event at ``k``."""
    books = books_at(places)
    events = events_at(places)
    a = books.account[0]
    t = events.ts[k]
    c0, c1 = events.c0[k], events.c1[k]
    if kind == BAR:
        start = events.start[k]
        regular = start < a.session_close and t > a.session_open
        match_bar(places, j, start, t, c0, c1, events.c2[k], events.c4[k], regular)
        return
    regular = a.session_open <= t <= a.session_close
    if kind == QUOTE:
        match_prices(places, j, t, c1, c0, events.c3[k], events.c2[k], True, regular)
    else:
        match_prices(places, j, t, c0, c0, c1, c1, False, regular)


@compiled
def advance(places: int, begin: int, end: int, ahead: bool, stop_on_report: bool) -> int:
    """Process events [begin, end); returns (first index not processed) x STOP_CODES + the reason to stop.

    ``places`` is the address of a table of books, terms and events (:mod:`papertape.core.places`).
    Bars of one time are a group: they are applied one by one and marked once, when an event with a later time comes
    (or Python closes the group), so that a cross-section is never judged half old and half new. With ``ahead`` the
    state is a copy and the kernel stops before any event that might touch an order.
    """
    books, events = books_at(places), events_at(places)
    # What every event needs is taken out of the bundles once: handing a bundle on costs more than an event does.
    account, instruments, tree, buckets = books.account, books.instruments, books.tree, books.buckets
    kinds, which, ts = events.kind, events.instrument, events.ts
    c0, c1, c2, c3 = events.c0, events.c1, events.c2, events.c3
    a = account[0]
    many_kinds = len(kinds) > 1
    many_instruments = len(which) > 1
    i = begin
    while i < end:
        t = ts[i]
        if a.group_ts != 0 and t > a.group_ts:
            if ahead and a.group_ts >= a.bucket_end and a.buckets >= MAX_BUCKETS - 1:
                return i * STOP_CODES + AHEAD
            if mark_group(account, buckets, tree[1]):
                return i * STOP_CODES + TRIP
        kind = kinds[i] if many_kinds else kinds[0]
        j = which[i] if many_instruments else which[0]
        r = instruments[j]
        if kind == TRADE and not many_kinds and not many_instruments and r.quote_ts == 0:
            if r.head < 0 and r.quantity == 0.0:
                pass_by(a, r, ts[end - 1], c0[end - 1])
                return end * STOP_CODES + END
            if r.quantity != 0.0 and a.held == 1:
                already = a.tripped
                n = mark_run(places, j, i, end, ahead)
                if a.tripped != already:
                    return n * STOP_CODES + TRIP
                if n > i:
                    i = n
                    continue
        if ahead and a.buckets >= MAX_BUCKETS - 1:
            return i * STOP_CODES + AHEAD
        before = a.reports
        if kind <= BAR:
            x2, x3 = (0.0, 0.0) if kind == TRADE else (c2[i], c3[i])
            if r.head >= 0 and reaches(r, kind, c0[i], c1[i], x2):
                if ahead:
                    return i * STOP_CODES + AHEAD
                if len(books.reports) - a.reports < ROOM_PER_ORDER * a.working + ROOM_BESIDE:
                    return i * STOP_CODES + FULL
                match(places, i, kind, j)
            take_prices(r, kind, t, c0[i], c1[i], x3)
        a.ts = t
        i += 1
        if kind > BAR or (r.quantity == 0.0 and a.reports == before):
            continue
        if r.quantity != 0.0:
            set_value(tree, j, position_value(r, r.mark))
            r.low = min(r.low, r.mark)
            r.high = max(r.high, r.mark)
        if kind == BAR:
            a.group_ts = t
        else:
            tripped = take_equity(account, buckets, t, a.cash + tree[1])
            for n in range(before, a.reports):
                books.reports[n].equity = a.equity
            if tripped:
                return i * STOP_CODES + TRIP
        if stop_on_report and a.reports != before:
            return i * STOP_CODES + REPORT
    return i * STOP_CODES + END


@compiled
def mark_group(account: Any, buckets: Any, value: float) -> bool:
    """Mark the bars that are applied but not marked yet, positions being worth ``value``; whether the guard tripped."""
    a = account[0]
    if a.group_ts == 0:
        return False
    ts = a.group_ts
    a.group_ts = 0
    return take_equity(account, buckets, ts, a.cash + value)
