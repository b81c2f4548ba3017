"""Marking: positions to market, equity to its peak and buckets, fills into positions. Compiled, the only copy.

Position values are leaves of a sum tree, so that net liquidation is a function of the current marks alone,
whatever the order and the batches in which they came: that is what makes a run byte-identical under any
batching. For one instrument equity never decreases with its price (or never increases, when short), in
floating point too; :func:`mark_run` uses that to judge a whole block of trades by its lowest and highest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from papertape.core.blocks import BLOCK, block_extremes
from papertape.core.compiled import compiled
from papertape.core.places import books_at, events_at
from papertape.core.series import F8, I8
from papertape.core.state import MAX_BUCKETS, QUOTE_FRESH_NS, Books


@compiled
def set_value(tree: F8, j: int, value: float) -> None:
    """Set instrument j's value in the sum tree, and the sums above it."""
    leaf = len(tree) // 2 + j
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
def merge_buckets(account: Any, buckets: Any) -> None:
    """Double the bucket width until at most half of the room is used."""
    a = account[0]
    while a.buckets > MAX_BUCKETS // 2:
        a.bucket_ns *= 2
        kept = 0
        for i in range(a.buckets):
            x = buckets[i]
            if kept > 0 and buckets[kept - 1].ts // a.bucket_ns == x.ts // a.bucket_ns:
                y = buckets[kept - 1]
                y.low = min(y.low, x.low)
                y.high = max(y.high, x.high)
            else:
                y = buckets[kept]
                kept += 1
                y.low = x.low
                y.high = x.high
            y.ts = x.ts
            y.last = x.last
        a.buckets = kept


@compiled
def roll_bucket(account: Any, buckets: Any, ts: int, equity: float) -> None:
    """Close the open bucket and open the one that ``ts`` belongs to, with ``equity`` as its first value."""
    a = account[0]
    if a.open_ts != 0:
        x = buckets[a.buckets]
        x.ts = a.open_ts
        x.last = a.open_last
        x.low = a.open_low
        x.high = a.open_high
        a.buckets += 1
        if a.buckets == MAX_BUCKETS:
            merge_buckets(account, buckets)
    a.open_low = equity
    a.open_high = equity
    if a.buckets > 0 and buckets[a.buckets - 1].ts // a.bucket_ns == ts // a.bucket_ns:
        a.buckets -= 1  # widening made the last closed bucket the open one
        a.open_low = min(equity, buckets[a.buckets].low)
        a.open_high = max(equity, buckets[a.buckets].high)
    a.bucket_end = (ts // a.bucket_ns + 1) * a.bucket_ns


@compiled
def take_equity(account: Any, buckets: Any, ts: int, equity: float) -> bool:
    """Take a new value of equity: bucket, peak, deepest drawdown, and the guard's thresholds, strictly below.

    Returns whether the guard tripped on it.
    """
    a = account[0]
    a.equity = equity
    if ts >= a.bucket_end:
        roll_bucket(account, buckets, ts, equity)
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
        return True
    return False


@compiled
def first_at_or_after(ts: I8, begin: int, end: int, bound: int) -> int:
    """First index in [begin, end) with ``ts[index] >= bound``, else ``end``."""
    # Trades come about evenly over so short a time: where the bound lies tells nearly where the index is, which
    # saves most of the probes, each of which may have to wait for memory.
    if end - begin > 8 and ts[begin] < bound <= ts[end - 1]:
        guess = begin + int((bound - ts[begin]) / (ts[end - 1] - ts[begin]) * (end - 1 - begin))
        if ts[max(guess - 2, begin)] < bound:
            begin = max(guess - 2, begin)
        if bound <= ts[min(guess + 2, end - 1)]:
            end = min(guess + 2, end - 1)
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
def before_touching(r: Any, price: F8, begin: int, end: int) -> int:
    """First trade in [begin, end) that may touch one of the instrument's working orders, else ``end``."""
    for k in range(begin, end):
        if not (r.band_low < price[k] < r.band_high):
            return k
    return end


@compiled
def take_block(account: Any, r: Any, ts: I8, price: F8, i: int, stop: int, low: float, high: float) -> bool:
    """Take equity at trades [i, stop) of the only instrument held by their lowest and highest price alone.

    False where those do not say all, because peak, trough, recovery or a threshold meet in the block: then nothing
    is changed, and the trades have to be taken one by one. What was last is the caller's to note.
    """
    a = account[0]
    a_low = a.cash + position_value(r, low)
    a_high = a.cash + position_value(r, high)
    if a_low > a_high:
        a_low, a_high = a_high, a_low
    is_peak = a_high > a.peak
    is_deeper = a_low / a.peak - 1.0 < a.depth
    recovers = a.recovery_ts == 0 and a.depth < 0.0 and a_high >= a.deep_peak
    is_safe = a.tripped != 0 or not (a_low < a.floor or a_low < max(a_high, a.guard_peak) * a.peak_fraction)
    # A trough whose peak is met again in the same block may have recovered in it.
    meets = is_deeper and (recovers or a_high >= a.peak)
    if not is_safe or meets or (is_peak and a_low / a_high - 1.0 < a.depth):
        return False
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
    a.open_low = min(a.open_low, a_low)
    a.open_high = max(a.open_high, a_high)
    r.low = min(r.low, low)
    r.high = max(r.high, high)
    return True


@compiled
def take_last(account: Any, r: Any, ts: int, price: float) -> None:
    """Note the last of the trades that were taken by blocks."""
    a = account[0]
    a.equity = a.cash + position_value(r, price)
    a.open_ts = ts
    a.open_last = a.equity


@compiled
def mark_run(places: int, j: int, begin: int, end: int, ahead: bool) -> int:
    """Mark trades [begin, end) of the only instrument held, which has no quotes; returns the first not processed.

    Stops early after a trade on which the guard tripped, before one that may touch a working order, and, where
    the run is ``ahead`` on a copy, before one that would merge buckets (they are shared).
    """
    books, events = books_at(places), events_at(places)
    account, buckets = books.account, books.buckets
    ts, price = events.ts, events.c0
    lows, highs, last_ts = events.block_low, events.block_high, events.block_ts
    a = account[0]
    r = books.instruments[j]
    tripped = a.tripped
    i = begin
    while i < end and a.tripped == tripped:
        b = i // BLOCK
        stop = min((b + 1) * BLOCK, end)
        is_whole = b < len(lows) and i % BLOCK == 0 and stop - i == BLOCK and last_ts[b] < a.bucket_end
        if not is_whole:  # its times are looked at
            if ts[i] >= a.bucket_end:
                if ahead and a.buckets >= MAX_BUCKETS - 1:
                    break
                if r.head >= 0 and not (r.band_low < price[i] < r.band_high):
                    break  # before anything is noted of an event that the caller is to play
                if i > begin:
                    take_last(account, r, ts[i - 1], price[i - 1])
                roll_bucket(account, buckets, ts[i], a.cash + position_value(r, price[i]))
            if ts[stop - 1] >= a.bucket_end:
                stop = first_at_or_after(ts, i, stop, a.bucket_end)
        lowest, highest = block_extremes(lows, highs, price, i, stop)
        if lowest < 0:
            break  # a negative price orders the other way; event by event then
        low, high = np.int64(lowest).view(np.float64), np.int64(highest).view(np.float64)
        if r.head >= 0 and not (r.band_low < low and high < r.band_high):
            stop = before_touching(r, price, i, stop)
            if stop == i:
                break
            lowest, highest = block_extremes(lows, highs, price, i, stop)
            low, high = np.int64(lowest).view(np.float64), np.int64(highest).view(np.float64)
        if take_block(account, r, ts, price, i, stop, low, high):
            i = stop
            continue
        while i < stop and a.tripped == tripped:
            take_equity(account, buckets, ts[i], a.cash + position_value(r, price[i]))
            r.low = min(r.low, price[i])
            r.high = max(r.high, price[i])
            i += 1
    if i > begin:
        take_last(account, r, ts[i - 1], price[i - 1])
        r.last = price[i - 1]
        r.last_ts = ts[i - 1]
        r.mark = r.last
        a.ts = ts[i - 1]
        set_value(books.tree, j, position_value(r, r.mark))
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
def apply_fill(books: Books, j: int, signed_quantity: float, price: float, fee: float, ts: int) -> None:
    """Book an execution: cash, quantity, average cost, realised P&L, fees, time in the market, and the value.

    Average cost is per unit without fees; closing part of a position realises against it; a fill that
    crosses zero closes all and opens the rest at its own price.
    """
    a = books.account[0]
    r = books.instruments[j]
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
    books.cash[r.currency] -= signed_quantity * price * r.multiplier + fee
    a.cash = base_cash(books.cash, books.rates)
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
    set_value(books.tree, j, 0.0 if new == 0.0 else position_value(r, r.mark))
    a.equity = a.cash + books.tree[1]
