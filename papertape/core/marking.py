"""Marking: positions to market, equity to its peak and buckets, fills into positions. Compiled, the only copy.

Position values are leaves of a sum tree, so that net liquidation is a function of the current marks alone,
whatever the order and the batches in which they came: that is what makes a run byte-identical under any
batching. For one instrument equity never decreases with its price (or never increases, when short), in
floating point too; :func:`mark_run` uses that to judge a whole block of trades by its lowest and highest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from papertape.core.compiled import compiled
from papertape.core.series import F8, I8
from papertape.core.state import MAX_BUCKETS, QUOTE_FRESH_NS

BLOCK = 256
"""Trades that are judged at once; a block fits the first-level cache."""


@compiled
def set_leaf(tree: F8, leaf: int, value: float) -> None:
    """Set a leaf of the sum tree and the sums above it."""
    tree[leaf] = value
    while leaf > 1:
        leaf >>= 1
        tree[leaf] = tree[2 * leaf] + tree[2 * leaf + 1]


@compiled
def position_value(instrument: Any, price: float) -> float:
    """Value of a position at a price, in base currency; the one formula, so that every path rounds alike."""
    value: float = ((instrument.quantity * price) * instrument.multiplier) * instrument.rate
    return value


@compiled
def mark_price(instrument: Any, ts: int) -> float:
    """Last trade clipped to a fresh bid/ask, else last trade; mid of the quote where nothing was traded yet."""
    last = instrument.last
    if instrument.quote_ts > 0 and ts - instrument.quote_ts <= QUOTE_FRESH_NS:
        bid = instrument.bid
        ask = instrument.ask
        if last != last:
            last = (bid + ask) / 2.0
        elif last < bid:
            last = bid
        elif last > ask:
            last = ask
    if last != last:
        return float(instrument.mark)
    return float(last)


@compiled
def merge_buckets(account: Any, bucket_ts: I8, bucket_last: F8, bucket_low: F8, bucket_high: F8) -> None:
    """Double the bucket width until at most half of the room is used."""
    a = account[0]
    while a.buckets > MAX_BUCKETS // 2:
        a.bucket_ns *= 2
        kept = 0
        for i in range(a.buckets):
            if kept > 0 and bucket_ts[kept - 1] // a.bucket_ns == bucket_ts[i] // a.bucket_ns:
                k = kept - 1
                bucket_low[k] = min(bucket_low[k], bucket_low[i])
                bucket_high[k] = max(bucket_high[k], bucket_high[i])
            else:
                k = kept
                kept += 1
                bucket_low[k] = bucket_low[i]
                bucket_high[k] = bucket_high[i]
            bucket_ts[k] = bucket_ts[i]
            bucket_last[k] = bucket_last[i]
        a.buckets = kept


@compiled
def roll_bucket(
    account: Any, bucket_ts: I8, bucket_last: F8, bucket_low: F8, bucket_high: F8, ts: int, equity: float
) -> None:
    """Close the open bucket and open the one that ``ts`` belongs to, with ``equity`` as its first value."""
    a = account[0]
    if a.open_ts != 0:
        n = a.buckets
        bucket_ts[n] = a.open_ts
        bucket_last[n] = a.open_last
        bucket_low[n] = a.open_low
        bucket_high[n] = a.open_high
        a.buckets = n + 1
        if a.buckets == MAX_BUCKETS:
            merge_buckets(account, bucket_ts, bucket_last, bucket_low, bucket_high)
    a.open_low = equity
    a.open_high = equity
    if a.buckets > 0 and bucket_ts[a.buckets - 1] // a.bucket_ns == ts // a.bucket_ns:
        a.buckets -= 1  # widening made the last closed bucket the open one
        a.open_low = min(equity, bucket_low[a.buckets])
        a.open_high = max(equity, bucket_high[a.buckets])
    a.bucket_end = (ts // a.bucket_ns + 1) * a.bucket_ns


@compiled
def evaluate(
    account: Any, bucket_ts: I8, bucket_last: F8, bucket_low: F8, bucket_high: F8, ts: int, equity: float
) -> None:
    """Take a new value of equity: bucket, peak, deepest drawdown, and the guard's thresholds, strictly below."""
    a = account[0]
    a.equity = equity
    if ts >= a.bucket_end:
        roll_bucket(account, bucket_ts, bucket_last, bucket_low, bucket_high, ts, equity)
    a.open_ts = ts
    a.open_last = equity
    a.open_low = min(a.open_low, equity)
    a.open_high = max(a.open_high, equity)
    if a.recovery_ts == 0 and a.depth < 0.0 and equity >= a.deep_peak:
        a.recovery_ts = ts
    if equity > a.peak:
        a.peak = equity
        a.peak_ts = ts
    else:
        depth = equity / a.peak - 1.0
        if depth < a.depth:
            a.depth = depth
            a.deep_peak = a.peak
            a.deep_peak_ts = a.peak_ts
            a.deep_trough = equity
            a.deep_trough_ts = ts
            a.recovery_ts = 0
    if equity > a.guard_peak:
        a.guard_peak = equity
    if a.tripped == 0 and (equity < a.floor or (a.peak_fraction > 0.0 and equity < a.guard_peak * a.peak_fraction)):
        a.tripped = 1
        a.trip_ts = ts


@compiled
def first_at_or_after(ts: I8, begin: int, end: int, bound: int) -> int:
    """First index in [begin, end) with ``ts[index] >= bound``, else ``end``."""
    while begin < end:
        middle = (begin + end) // 2
        if ts[middle] < bound:
            begin = middle + 1
        else:
            end = middle
    return begin


@compiled
def first_beyond(r: Any, cash: float, price: F8, begin: int, end: int, level: float, above: bool) -> int:
    """First trade in [begin, end) at which equity is at or above (below) a level that it is known to reach."""
    for k in range(begin, end):
        equity = cash + position_value(r, price[k])
        if (equity >= level) if above else (equity <= level):
            return k
    return end - 1


@compiled
def mark_run(
    account: Any,
    instruments: Any,
    tree: F8,
    leaves: int,
    bucket_ts: I8,
    bucket_last: F8,
    bucket_low: F8,
    bucket_high: F8,
    j: int,
    ts: I8,
    price: F8,
    begin: int,
    end: int,
    ahead: bool,
) -> int:
    """Mark trades [begin, end) of the only instrument held, which has no quotes; returns the first not processed.

    Stops early after a trade on which the guard tripped, before one that may touch a working order, and, where
    the run is ``ahead`` on a copy, before one that would merge buckets (they are shared). Prices are compared as the integers of their bit
    patterns, which order positive numbers alike and which the compiler can do four at a time.
    """
    a = account[0]
    r = instruments[j]
    bits = price.view(np.int64)
    i = begin
    while i < end:
        if ahead and ts[i] >= a.bucket_end and a.buckets >= MAX_BUCKETS - 1:
            break
        if r.head >= 0 and not (r.band_low < price[i] < r.band_high):
            break  # before anything is noted of an event that the caller is to play
        stop = min(i + BLOCK, end)
        if ts[i] >= a.bucket_end:
            roll_bucket(
                account, bucket_ts, bucket_last, bucket_low, bucket_high, ts[i], a.cash + position_value(r, price[i])
            )
        if ts[stop - 1] >= a.bucket_end:
            stop = first_at_or_after(ts, i, stop, a.bucket_end)
        block = bits[i:stop]  # a slice: indices that start at 0 let the compiler use vector instructions
        lowest = block[0]
        highest = block[0]
        for k in range(len(block)):
            lowest = min(lowest, block[k])
            highest = max(highest, block[k])
        if lowest < 0:
            break  # a negative price orders the other way; event by event then
        low = np.int64(lowest).view(np.float64)
        high = np.int64(highest).view(np.float64)
        if r.head >= 0 and (low <= r.band_low or high >= r.band_high):
            stop = i
            low = price[i]
            high = price[i]
            while r.band_low < price[stop] < r.band_high:
                low = min(low, price[stop])
                high = max(high, price[stop])
                stop += 1
        a_low = a.cash + position_value(r, low)
        a_high = a.cash + position_value(r, high)
        if a_low > a_high:
            a_low, a_high = a_high, a_low
        is_peak = a_high > a.peak
        is_deeper = a_low / a.peak - 1.0 < a.depth
        recovers = a.recovery_ts == 0 and a.depth < 0.0 and a_high >= a.deep_peak
        is_safe = a.tripped != 0 or not (a_low < a.floor or a_low < max(a_high, a.guard_peak) * a.peak_fraction)
        # In all but the tangled cases the block's extremes say all: where they are is looked for, nothing is replayed.
        if is_safe and not (is_peak and a_low / a_high - 1.0 < a.depth) and not (recovers and is_deeper):
            if recovers:
                a.recovery_ts = ts[first_beyond(r, a.cash, price, i, stop, a.deep_peak, True)]
            if is_peak:
                a.peak = a_high
                a.peak_ts = ts[first_beyond(r, a.cash, price, i, stop, a_high, True)]
            elif is_deeper:
                a.depth = a_low / a.peak - 1.0
                a.deep_peak = a.peak
                a.deep_peak_ts = a.peak_ts
                a.deep_trough = a_low
                a.deep_trough_ts = ts[first_beyond(r, a.cash, price, i, stop, a_low, False)]
                a.recovery_ts = 0
            a.guard_peak = max(a.guard_peak, a_high)
            a.equity = a.cash + position_value(r, price[stop - 1])
            a.open_ts = ts[stop - 1]
            a.open_last = a.equity
            a.open_low = min(a.open_low, a_low)
            a.open_high = max(a.open_high, a_high)
            r.low = min(r.low, low)
            r.high = max(r.high, high)
            i = stop
            continue
        tripped = a.tripped
        while i < stop:
            p = price[i]
            evaluate(account, bucket_ts, bucket_last, bucket_low, bucket_high, ts[i], a.cash + position_value(r, p))
            r.low = min(r.low, p)
            r.high = max(r.high, p)
            i += 1
            if a.tripped != tripped:
                stop = i
                end = i
    if i > begin:
        r.last = price[i - 1]
        r.last_ts = ts[i - 1]
        r.mark = r.last
        a.ts = ts[i - 1]
        set_leaf(tree, leaves + j, position_value(r, r.mark))
    return i


@compiled
def base_cash(cash: F8, rates: F8) -> float:
    """All cash in base currency; NaN where a balance has no known rate (unknown is not zero)."""
    total = 0.0
    for c in range(len(cash)):
        if cash[c] != 0.0:
            total += cash[c] * rates[c]
    return total


@compiled
def apply_fill(
    account: Any,
    instruments: Any,
    cash: F8,
    rates: F8,
    tree: F8,
    leaves: int,
    j: int,
    signed_quantity: float,
    price: float,
    fee: float,
    ts: int,
) -> None:
    """Book an execution: cash, quantity, average cost, realised P&L, fees, time in the market, and the leaf.

    Average cost is per unit without fees; closing part of a position realises against it; a fill that
    crosses zero closes all and opens the rest at its own price.
    """
    a = account[0]
    r = instruments[j]
    old = r.quantity
    new = old + signed_quantity
    if abs(new) < 1e-9:
        new = 0.0
    if old == 0.0 or (old > 0.0) == (signed_quantity > 0.0):
        r.average_cost = (r.average_cost * abs(old) + price * abs(signed_quantity)) / abs(new)
    else:
        closed = min(abs(old), abs(signed_quantity))
        direction = 1.0 if old > 0.0 else -1.0
        r.realised += (price - r.average_cost) * closed * direction * r.multiplier
        if new == 0.0:
            r.average_cost = 0.0
        elif (new > 0.0) != (old > 0.0):
            r.average_cost = price
    r.quantity = new
    r.fees += fee
    cash[r.currency] -= signed_quantity * price * r.multiplier + fee
    a.cash = base_cash(cash, rates)
    if old == 0.0 and new != 0.0:
        if a.held == 0:
            a.held_since = ts
        a.held += 1
    elif old != 0.0 and new == 0.0:
        a.held -= 1
        if a.held == 0:
            a.held_ns += ts - a.held_since
    r.low = price
    r.high = price
    if r.mark != r.mark:
        r.mark = price
    set_leaf(tree, leaves + j, 0.0 if new == 0.0 else position_value(r, r.mark))
    a.equity = a.cash + tree[1]
