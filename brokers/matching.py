"""The fill model: what a resting order does when a trade, a quote or a bar comes. Compiled, the only copy.

Every rule is one line in docs/fill-model.md and one test. Where a bar leaves open what came first, the case
is resolved against the strategy and the report is marked ambiguous.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brokers.fees import fill_fee
from papertape.core.compiled import compiled
from papertape.core.marking import apply_fill
from papertape.core.model import OrderStatus, OrderType, Side, TimeInForce
from papertape.core.series import F8
from papertape.core.state import Reason

MARKET = int(OrderType.MARKET)
LIMIT = int(OrderType.LIMIT)
STOP = int(OrderType.STOP)
STOP_LIMIT = int(OrderType.STOP_LIMIT)
TRAIL = int(OrderType.TRAIL)
TRAIL_LIMIT = int(OrderType.TRAIL_LIMIT)
MARKET_ON_CLOSE = int(OrderType.MARKET_ON_CLOSE)
LIMIT_ON_CLOSE = int(OrderType.LIMIT_ON_CLOSE)
BUY = int(Side.BUY)
IOC = int(TimeInForce.IOC)
FOK = int(TimeInForce.FOK)
OPG = int(TimeInForce.OPG)
FILLED = int(OrderStatus.FILLED)
SUBMITTED = int(OrderStatus.SUBMITTED)
MODIFIED = int(Reason.MODIFIED)
PARTIALLY_FILLED = int(OrderStatus.PARTIALLY_FILLED)
PENDING_CANCEL = int(OrderStatus.PENDING_CANCEL)
PENDING_MODIFY = int(OrderStatus.PENDING_MODIFY)
CANCELLED = int(OrderStatus.CANCELLED)
REJECTED = int(OrderStatus.REJECTED)
GROUP_FILLED = int(Reason.GROUP_FILLED)
IMMEDIATE_UNFILLED = int(Reason.IMMEDIATE_UNFILLED)
KILLED = int(Reason.KILLED)
NO_CASH = int(Reason.NO_CASH)
NO_MARGIN = int(Reason.NO_MARGIN)
WOULD_GO_SHORT = int(Reason.WOULD_GO_SHORT)
NO_PRICE = int(Reason.NO_PRICE)
NOT_TRADABLE = int(Reason.NOT_TRADABLE)
PARENT_ENDED = int(Reason.PARENT_ENDED)
OPENING_MISSED = int(Reason.OPENING_MISSED)

# Where each rule parameter lies in the vector that the kernel is given.
SLIPPAGE_PRICE = 0
SLIPPAGE_FRACTION = 1
TOUCH = 2
VOLUME_SHARE = 3
MARGIN_MULTIPLE = 4
ALLOW_SHORT = 5
RULES = 6

AT_OPEN = 0
INSIDE_STOPS = 1
INSIDE_LIMITS = 2


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
def end_order(account: Any, reports: Any, orders: Any, row: int, ts: int, status: int, reason: int) -> None:
    """End a working order that did not fill completely, and its waiting children with it."""
    orders[row].status = status
    report(account, reports, orders, row, ts, reason, 0.0, np.nan, 0.0)


@compiled
def end_children(
    account: Any, instruments: Any, reports: Any, orders: Any, j: int, row: int, ts: int
) -> None:
    """Cancel the orders that wait for a parent which ended without filling."""
    c = instruments[j].head
    while c >= 0:
        if orders[c].parent == row and orders[c].waiting == 1 and orders[c].status < FILLED:
            end_order(account, reports, orders, c, ts, CANCELLED, PARENT_ENDED)
        c = orders[c].next


@compiled
def fill_group(account: Any, instruments: Any, reports: Any, orders: Any, row: int, ts: int, quantity: float) -> None:
    """One cancels the other: what filled in one order is taken off its fellows; nothing left ends them."""
    group = orders[row].group
    for j in range(len(instruments)):
        c = instruments[j].head
        while c >= 0:
            o = orders[c]
            if c != row and o.group == group and o.status < FILLED:
                o.quantity -= quantity
                if orders[row].status == FILLED or o.quantity - o.filled <= 1e-9:
                    o.quantity += quantity  # the report shows what was ordered
                    end_order(account, reports, orders, c, ts, CANCELLED, GROUP_FILLED)
            c = o.next
        if instruments[j].head >= 0:
            settle_orders(account, instruments, orders, j)


@compiled
def settle_orders(account: Any, instruments: Any, orders: Any, j: int) -> None:
    """After any change: drop ended orders from the instrument's list, and recompute what depends on the list.

    Working quantities count a one-cancels-other group once, at its largest; orders that wait for their
    parent do not count. The band is the open price interval in which no order of the list can act.
    """
    r = instruments[j]
    previous = -1
    c = r.head
    buys = 0.0
    sells = 0.0
    low = -np.inf
    high = np.inf
    while c >= 0:
        o = orders[c]
        following = o.next
        if o.status >= FILLED:
            if previous < 0:
                r.head = following
            else:
                orders[previous].next = following
            account[0].working -= 1
            c = following
            continue
        previous = c
        if o.waiting == 0:
            left = o.quantity - o.filled
            if o.group != 0:
                d = r.head
                while d != c:
                    if orders[d].group == o.group and orders[d].side == o.side and orders[d].status < FILLED:
                        left = max(0.0, left - (orders[d].quantity - orders[d].filled))
                    d = orders[d].next
            if o.side == BUY:
                buys += left
            else:
                sells += left
            below, above = reach(o)
            low = max(low, below)
            high = min(high, above)
        c = following
    r.working_buy = buys
    r.working_sell = sells
    r.band_low = low
    r.band_high = high


@compiled
def reach(o: Any) -> tuple[float, float]:
    """Prices at which an order can act: at or below the first, at or above the second."""
    if o.type == MARKET_ON_CLOSE or o.type == LIMIT_ON_CLOSE:
        return -np.inf, np.inf
    if o.seen == 0 or o.type == MARKET or o.type == TRAIL or o.type == TRAIL_LIMIT:
        return np.inf, -np.inf
    level = o.limit if (o.type == LIMIT or o.triggered == 1) else o.stop
    rises = (o.side == BUY) == (o.type != LIMIT and o.triggered == 0)
    return (-np.inf, level) if rises else (level, np.inf)


@compiled
def wake_children(instruments: Any, orders: Any, j: int, row: int, ts: int, inside: bool) -> None:
    """The parent has filled: its children act on later events; after a fill inside a bar, stops on its rest too."""
    c = instruments[j].head
    while c >= 0:
        o = orders[c]
        if o.parent == row and o.waiting == 1:
            o.waiting = 0
            o.active_ts = max(o.active_ts, ts)
            if inside:
                o.woken_ts = ts
        c = o.next


@compiled
def affordable(
    account: Any, instruments: Any, cash: F8, tree: F8, leaves: int, rules: F8, j: int, signed: float, price: float, fee: float
) -> int:
    """0 where a fill can be paid for, else the reason. What only reduces a position always can."""
    r = instruments[j]
    if r.rate != r.rate:
        return NO_CASH
    if rules[ALLOW_SHORT] == 0.0 and signed < 0.0 and r.quantity + signed < -1e-9:
        return WOULD_GO_SHORT
    reduces = r.quantity * signed < 0.0 and abs(signed) <= abs(r.quantity)
    if reduces:
        return 0
    multiple = rules[MARGIN_MULTIPLE]
    if multiple <= 1.0 and signed > 0.0 and cash[r.currency] - signed * price * r.multiplier - fee < -1e-9:
        return NO_CASH
    gross = 0.0
    for k in range(len(instruments)):
        if k != j:
            gross += abs(tree[leaves + k])
    gross += abs((r.quantity + signed) * price * r.multiplier * r.rate)
    if (multiple > 1.0 or signed < 0.0) and gross > max(multiple, 1.0) * (account[0].equity - fee * r.rate) + 1e-9:
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
        end_order(account, reports, orders, row, ts, status, refused)
        end_children(account, instruments, reports, orders, j, row, ts)
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
    done = o.quantity - o.filled <= 1e-9
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
        wake_children(instruments, orders, j, row, ts, inside)


@compiled
def slipped(rules: F8, side: int, price: float) -> float:
    """A price made worse by the slippage: up for a buy, down for a sell."""
    return price + side * (rules[SLIPPAGE_PRICE] + rules[SLIPPAGE_FRACTION] * abs(price))


@compiled
def trail_stop(o: Any) -> float:
    """Stop price of a trailing order from its best price so far; NaN before its first event."""
    distance = o.trail * o.best if o.trail_is_fraction == 1 else o.trail
    return float(o.best + o.side * distance)


@compiled
def price_at(o: Any, rules: F8, buy_price: float, sell_price: float, touch: bool, stops: bool) -> float:
    """Fill price of an order at a trade (both prices equal) or a quote (ask, bid); NaN for no fill.

    ``touch`` says whether a resting limit fills when just touched; ``stops`` whether this event may trigger
    stops. Changes the order's own memory: seen, triggered, best price.
    """
    price = buy_price if o.side == BUY else sell_price
    nothing = np.nan
    if price != price:
        return nothing
    first = o.seen == 0
    o.seen = 1
    kind = o.type
    if kind == MARKET:
        return slipped(rules, o.side, price)
    if kind == LIMIT or o.triggered == 1:
        if (price - o.limit) * o.side < 0.0 or (touch and price == o.limit):
            if first and kind == LIMIT:
                worse = slipped(rules, o.side, price)
                return min(worse, o.limit) if o.side == BUY else max(worse, o.limit)
            return float(o.limit)
        return nothing
    if not stops:
        return nothing
    if kind == TRAIL or kind == TRAIL_LIMIT:
        stop = trail_stop(o)
        if not ((price - stop) * o.side >= 0.0):
            if o.best != o.best or (price - o.best) * o.side < 0.0:
                o.best = price
            return nothing
        if kind == TRAIL_LIMIT:
            o.triggered = 1
            o.limit = stop + o.side * o.stop
            return nothing
        return slipped(rules, o.side, price)
    if (price - o.stop) * o.side >= 0.0:
        if kind == STOP_LIMIT:
            o.triggered = 1
            return nothing
        return slipped(rules, o.side, price)
    return nothing


@compiled
def price_in_bar(o: Any, rules: F8, open_: float, high: float, low: float, phase: int, woken: bool) -> float:
    """Fill price of an order in a phase of a bar; NaN for no fill.

    At the open act market orders, limits that the open already betters, and stops that it jumped over; inside
    the bar first stops, then limits, so that a bar that holds both resolves against the strategy. ``woken``
    orders became active inside this bar: only their stops act, and not at its open.
    """
    nothing = np.nan
    kind = o.type
    side = o.side
    toward = low if side == BUY else high
    away = high if side == BUY else low
    touch = rules[TOUCH] != 0.0
    if phase == AT_OPEN:
        if woken:
            return nothing
        if kind == MARKET:
            return slipped(rules, side, open_)
        if kind == LIMIT or o.triggered == 1:
            better = (open_ - o.limit) * side < 0.0 or (touch and open_ == o.limit)
            if not better:
                return nothing
            worse = slipped(rules, side, open_)
            return min(worse, o.limit) if side == BUY else max(worse, o.limit)
        stop = trail_stop(o) if (kind == TRAIL or kind == TRAIL_LIMIT) else o.stop
        if (kind == STOP or kind == TRAIL) and (open_ - stop) * side >= 0.0:
            return slipped(rules, side, open_)
        return nothing
    if phase == INSIDE_STOPS:
        if kind == STOP and (away - o.stop) * side >= 0.0:
            return slipped(rules, side, o.stop)
        if kind == TRAIL and (away - trail_stop(o)) * side >= 0.0:
            return slipped(rules, side, trail_stop(o))
        return nothing
    if woken:
        return nothing
    if (kind == LIMIT or o.triggered == 1) and ((toward - o.limit) * side < 0.0 or (touch and toward == o.limit)):
        return float(o.limit)
    return nothing


@compiled
def after_bar(o: Any, high: float, low: float) -> None:
    """What a bar leaves in an order's memory: stop-limits triggered (they act from the next bar), the trail moved."""
    o.seen = 1
    away = high if o.side == BUY else low
    toward = low if o.side == BUY else high
    if o.type == STOP_LIMIT and o.triggered == 0 and (away - o.stop) * o.side >= 0.0:
        o.triggered = 1
    if o.type == TRAIL_LIMIT and o.triggered == 0:
        stop = trail_stop(o)
        if (away - stop) * o.side >= 0.0:
            o.triggered = 1
            o.limit = stop + o.side * o.stop
    if (o.type == TRAIL or o.type == TRAIL_LIMIT) and (o.best != o.best or (toward - o.best) * o.side < 0.0):
        o.best = toward


@compiled
def can_act(o: Any, regular: bool) -> bool:
    """Whether an order may act on an event of its instrument at all (its time is checked beside)."""
    if o.status >= FILLED or o.waiting == 1 or o.type == MARKET_ON_CLOSE or o.type == LIMIT_ON_CLOSE:
        return False
    return bool(regular or o.outside_hours == 1)


@compiled
def fillable(o: Any, available: float) -> float:
    """Quantity that an order can have of what is available: all, or whole units of it."""
    left = o.quantity - o.filled
    if left <= available:
        return float(left)
    return 0.0 if o.tif == FOK else float(np.floor(available))


@compiled
def end_if_immediate(account: Any, instruments: Any, reports: Any, orders: Any, row: int, ts: int) -> None:
    """End what had one chance only, and did not fill completely on it."""
    o = orders[row]
    if o.status >= FILLED:
        return
    reason = 0
    if o.tif == IOC:
        reason = IMMEDIATE_UNFILLED
    elif o.tif == FOK:
        reason = KILLED
    elif o.tif == OPG:
        reason = OPENING_MISSED
    if reason != 0:
        end_order(account, reports, orders, row, ts, CANCELLED, reason)
        end_children(account, instruments, reports, orders, o.instrument, row, ts)


@compiled
def match_prices(
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
    share = rules[VOLUME_SHARE]
    buyable = share * buy_size if share > 0.0 else np.inf
    sellable = share * sell_size if share > 0.0 else np.inf
    touch = is_quote or rules[TOUCH] != 0.0
    stops = not is_quote or instruments[j].has_trades == 0
    c = instruments[j].head
    while c >= 0:
        o = orders[c]
        if can_act(o, regular) and ts > o.active_ts:
            adds = o.type == LIMIT and o.seen == 1
            price = price_at(o, rules, buy_price, sell_price, touch, stops)
            if price == price:
                quantity = fillable(o, buyable if o.side == BUY else sellable)
                if quantity > 0.0:
                    execute(
                        account, instruments, cash, rates, tree, leaves, orders, reports, model, regulatory, month,
                        rules, c, quantity, price, ts, False, 0, adds,
                    )  # fmt: skip
                    if o.side == BUY or not is_quote:
                        buyable -= quantity
                    if o.side != BUY or not is_quote:
                        sellable -= quantity
            if o.seen == 1:
                end_if_immediate(account, instruments, reports, orders, c, ts)
        c = orders[c].next
    settle_orders(account, instruments, orders, j)


@compiled
def holds_target(instruments: Any, orders: Any, rules: F8, row: int, open_: float, high: float, low: float) -> bool:
    """Whether a limit of the same group would have filled inside the same bar as this stop."""
    o = orders[row]
    if o.group == 0:
        return False
    c = instruments[o.instrument].head
    while c >= 0:
        other = orders[c]
        if c != row and other.group == o.group and other.status < FILLED and other.waiting == 0:
            price = price_in_bar(other, rules, open_, high, low, INSIDE_LIMITS, False)
            if price == price:
                return True
        c = other.next
    return False


@compiled
def match_bar(
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
    j: int,
    start: int,
    ts: int,
    open_: float,
    high: float,
    low: float,
    volume: float,
    regular: bool,
) -> None:
    """Match an instrument's working orders against a bar: its open, then stops inside it, then limits."""
    share = rules[VOLUME_SHARE]
    available = share * volume if share > 0.0 else np.inf
    for phase in range(3):
        c = instruments[j].head
        while c >= 0:
            o = orders[c]
            woken = o.woken_ts == ts
            if can_act(o, regular) and (start >= o.active_ts or woken):
                price = price_in_bar(o, rules, open_, high, low, phase, woken)
                if price == price:
                    inside = phase != AT_OPEN
                    ambiguous = 0
                    if phase == INSIDE_STOPS and (
                        woken or holds_target(instruments, orders, rules, c, open_, high, low)
                    ):
                        ambiguous = 1
                    quantity = fillable(o, available)
                    if quantity > 0.0:
                        execute(
                            account, instruments, cash, rates, tree, leaves, orders, reports, model, regulatory, month,
                            rules, c, quantity, price, ts if inside else start, inside, ambiguous,
                            inside and phase == INSIDE_LIMITS,
                        )  # fmt: skip
                        available -= quantity
                if phase == AT_OPEN:
                    end_if_immediate(account, instruments, reports, orders, c, start)
                if phase == INSIDE_LIMITS and o.status < FILLED and not woken:
                    after_bar(o, high, low)
            c = orders[c].next
    settle_orders(account, instruments, orders, j)


@compiled
def expected_price(instruments: Any, o: Any) -> float:
    """What a buy is expected to cost per unit: its limit or stop, else the last price; NaN unknown."""
    if o.limit == o.limit:
        return float(o.limit)
    if o.type == STOP:
        return float(o.stop)
    r = instruments[o.instrument]
    return float(r.ask) if (r.last != r.last and r.quote_ts > 0) else float(r.last)


@compiled
def unpayable(account: Any, instruments: Any, cash: F8, orders: Any, rules: F8, row: int) -> bool:
    """Whether a buy, with the buys that work already, is expected to cost more than the cash of its currency."""
    o = orders[row]
    r = instruments[o.instrument]
    if rules[MARGIN_MULTIPLE] > 1.0 or o.side != BUY:
        return False
    price = expected_price(instruments, o)
    if price != price:
        return False  # unknown: the fill itself is checked
    need = (o.quantity - max(0.0, -r.quantity)) * price * r.multiplier
    if account[0].working > 0:
        for j in range(len(instruments)):
            c = instruments[j].head
            while c >= 0:
                w = orders[c]
                if w.side == BUY and w.status < FILLED and w.waiting == 0 and w.group == 0:
                    each = expected_price(instruments, w)
                    if each == each and instruments[j].currency == r.currency:
                        need += (w.quantity - w.filled) * each * instruments[j].multiplier
                c = w.next
    return need > cash[r.currency] + 1e-9


@compiled
def place(
    account: Any,
    instruments: Any,
    cash: F8,
    orders: Any,
    reports: Any,
    rules: F8,
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
    """Take an order in at the end of its instrument's list; returns its status (REJECTED: with a report)."""
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
        end_order(account, reports, orders, row, now, CANCELLED, PARENT_ENDED)
        return int(o.status)
    if o.waiting == 0 and unpayable(account, instruments, cash, orders, rules, row):
        end_order(account, reports, orders, row, now, REJECTED, NO_CASH)
        return int(o.status)
    r = instruments[j]
    if r.head < 0:
        r.head = row
    else:
        c = r.head
        while orders[c].next >= 0:
            c = orders[c].next
        orders[c].next = row
    account[0].working += 1
    settle_orders(account, instruments, orders, j)
    return int(o.status)


@compiled
def finish(
    account: Any, instruments: Any, reports: Any, orders: Any, row: int, ts: int, status: int, reason: int
) -> bool:
    """End a working order at somebody's wish (cancel, expiry); its waiting children end with it. False: too late."""
    o = orders[row]
    if o.status >= FILLED:
        return False
    end_order(account, reports, orders, row, ts, status, reason)
    end_children(account, instruments, reports, orders, o.instrument, row, ts)
    settle_orders(account, instruments, orders, o.instrument)
    return True


@compiled
def fill_on_close(
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
    ts: int,
) -> None:
    """The session closes: on-close orders fill at the last price of the session, or end."""
    for j in range(len(instruments)):
        r = instruments[j]
        c = r.head
        touched = False
        while c >= 0:
            o = orders[c]
            on_close = o.type == MARKET_ON_CLOSE or o.type == LIMIT_ON_CLOSE
            if on_close and o.status < FILLED and o.waiting == 0 and o.active_ts < ts:
                price = r.last
                good = r.last_ts >= account[0].session_open and (
                    o.type == MARKET_ON_CLOSE or (price - o.limit) * o.side <= 0.0
                )
                if good:
                    filled_at = slipped(rules, o.side, price) if o.type == MARKET_ON_CLOSE else price
                    execute(
                        account, instruments, cash, rates, tree, leaves, orders, reports, model, regulatory, month,
                        rules, c, o.quantity - o.filled, filled_at, ts, False, 0, False,
                    )  # fmt: skip
                touched = True
            c = orders[c].next
        if touched:
            settle_orders(account, instruments, orders, j)


@compiled
def split_orders(instruments: Any, account: Any, orders: Any, j: int, ratio: float) -> None:
    """``ratio`` new units for one old: working orders keep their value."""
    c = instruments[j].head
    while c >= 0:
        o = orders[c]
        o.quantity = o.filled + (o.quantity - o.filled) * ratio
        o.limit /= ratio
        o.stop /= ratio
        o.best /= ratio
        if o.trail_is_fraction == 0:
            o.trail /= ratio
        c = o.next
    settle_orders(account, instruments, orders, j)


@compiled
def amend(
    account: Any,
    instruments: Any,
    reports: Any,
    orders: Any,
    row: int,
    ts: int,
    quantity: float,
    limit: float,
    stop: float,
    trail: float,
) -> None:
    """Replace a working order's quantity and prices; one that has filled as much already is done."""
    o = orders[row]
    o.quantity = max(quantity, o.filled)
    o.limit = limit
    o.stop = stop
    o.trail = trail
    o.status = PARTIALLY_FILLED if o.filled > 0.0 else SUBMITTED
    if o.quantity - o.filled <= 1e-9:
        o.status = FILLED
    report(account, reports, orders, row, ts, MODIFIED, 0.0, np.nan, 0.0)
    settle_orders(account, instruments, orders, o.instrument)
