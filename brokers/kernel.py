"""The kernel: walks events, matches working orders, marks the portfolio and checks the guard's thresholds.

The only implementation of marking and matching. A live session uses it on small batches with an empty order
list (the broker matches there); a backtest on large ones.
"""

from __future__ import annotations

from typing import Any

from brokers.matching import match_bar, match_prices
from papertape.core.compiled import compiled
from papertape.core.marking import evaluate, mark_price, mark_run, position_value, set_leaf
from papertape.core.model import EventKind
from papertape.core.series import F8, I4, I8, U1
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


@compiled
def advance(
    account: Any,
    instruments: Any,
    cash: F8,
    rates: F8,
    tree: F8,
    leaves: int,
    orders: Any,
    reports: Any,
    bucket_ts: I8,
    bucket_last: F8,
    bucket_low: F8,
    bucket_high: F8,
    model: F8,
    regulatory: F8,
    month: F8,
    rules: F8,
    kinds: U1,
    which: I4,
    ts: I8,
    c0: F8,
    c1: F8,
    c2: F8,
    c3: F8,
    c4: F8,
    start: I8,
    begin: int,
    end: int,
    ahead: bool,
    stop_on_report: bool,
) -> int:
    """Process events [begin, end); returns (first index not processed) x STOP_CODES + the reason to stop.

    ``kinds`` and ``which`` (instrument) have one entry where all events share it. Bars of one time are a
    group: they are applied one by one and marked once, when an event with a later time comes (or Python
    closes the group), so that a cross-section is never judged half old and half new. With ``ahead`` the
    state is a copy and the kernel stops before any event that might touch an order.
    """
    a = account[0]
    many_kinds = len(kinds) > 1
    many_instruments = len(which) > 1
    i = begin
    while i < end:
        t = ts[i]
        if a.group_ts != 0 and t > a.group_ts:
            if ahead and a.group_ts >= a.bucket_end and a.buckets >= MAX_BUCKETS - 1:
                return i * STOP_CODES + AHEAD
            tripped = a.tripped
            evaluate(account, bucket_ts, bucket_last, bucket_low, bucket_high, a.group_ts, a.cash + tree[1])
            a.group_ts = 0
            if a.tripped != tripped:
                return i * STOP_CODES + TRIP
        kind = kinds[i] if many_kinds else kinds[0]
        j = which[i] if many_instruments else which[0]
        r = instruments[j]
        if kind == TRADE and not many_kinds and not many_instruments and r.quote_ts == 0:
            if r.head < 0 and r.quantity == 0.0:
                i = end
                r.last = c0[i - 1]
                r.last_ts = ts[i - 1]
                r.mark = r.last
                a.ts = ts[i - 1]
                break
            if r.quantity != 0.0 and a.held == 1:
                tripped = a.tripped
                n = mark_run(
                    account, instruments, tree, leaves, bucket_ts, bucket_last, bucket_low, bucket_high,
                    j, ts, c0, i, end, ahead,
                )  # fmt: skip
                if a.tripped != tripped:
                    return n * STOP_CODES + TRIP
                if n > i:
                    i = n
                    continue
        if ahead and a.buckets >= MAX_BUCKETS - 1:
            return i * STOP_CODES + AHEAD
        a.ts = t
        i += 1
        if kind > BAR:
            continue
        k = i - 1
        if kind == TRADE:
            x0, x1, x2, x3 = c0[k], c1[k], 0.0, 0.0
        else:
            x0, x1, x2, x3 = c0[k], c1[k], c2[k], c3[k]
        before = a.reports
        if r.head >= 0 and reaches(r, kind, x0, x1, x2):
            if ahead:
                return k * STOP_CODES + AHEAD
            if len(reports) - a.reports < 2 * a.working + 8:
                return k * STOP_CODES + FULL
            if kind == BAR:
                regular = start[k] < a.session_close and t > a.session_open
                match_bar(
                    account, instruments, cash, rates, tree, leaves, orders, reports, model, regulatory, month, rules,
                    j, start[k], t, x0, x1, x2, c4[k], regular,
                )  # fmt: skip
            else:
                regular = a.session_open <= t <= a.session_close
                quote = kind == QUOTE
                match_prices(
                    account, instruments, cash, rates, tree, leaves, orders, reports, model, regulatory, month, rules,
                    j, t, x1 if quote else x0, x0, x3 if quote else x1, x2 if quote else x1, quote, regular,
                )  # fmt: skip
        take_prices(r, kind, t, x0, x1, x3)
        r.mark = mark_price(r, t)
        if r.quantity != 0.0 or a.reports != before:
            if r.quantity != 0.0:
                set_leaf(tree, leaves + j, position_value(r, r.mark))
                r.low = min(r.low, r.mark)
                r.high = max(r.high, r.mark)
            if kind == BAR:
                a.group_ts = t
            else:
                tripped = a.tripped
                evaluate(account, bucket_ts, bucket_last, bucket_low, bucket_high, t, a.cash + tree[1])
                for n in range(before, a.reports):
                    reports[n].equity = a.equity
                if a.tripped != tripped:
                    return i * STOP_CODES + TRIP
            if stop_on_report and a.reports != before:
                return i * STOP_CODES + REPORT
    return i * STOP_CODES + END


@compiled
def close_group(account: Any, tree: F8, bucket_ts: I8, bucket_last: F8, bucket_low: F8, bucket_high: F8) -> bool:
    """Mark the bars that are applied but not marked yet; returns whether the guard tripped on them."""
    a = account[0]
    if a.group_ts == 0:
        return False
    tripped = a.tripped
    evaluate(account, bucket_ts, bucket_last, bucket_low, bucket_high, a.group_ts, a.cash + tree[1])
    a.group_ts = 0
    return bool(a.tripped != tripped)
