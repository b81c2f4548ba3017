"""The fill model's prices: what an order gets from a trade, a quote or a bar, and what it remembers of them. Compiled.

Every rule is one line in docs/fill-model.md and one test.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brokers.rules import (
    AT_OPEN,
    BUY,
    INSIDE_LIMITS,
    LIMIT,
    LIMIT_ON_CLOSE,
    MARKET,
    MARKET_ON_CLOSE,
    SLIPPAGE_FRACTION,
    SLIPPAGE_PRICE,
    STOP,
    STOP_LIMIT,
    TOUCH,
    TRAIL,
    TRAIL_LIMIT,
)
from papertape.core.compiled import compiled
from papertape.core.series import F8


@compiled
def slipped(rules: F8, side: int, price: float) -> float:
    """A price made worse by the slippage: up for a buy, down for a sell."""
    return float(price + side * (rules[SLIPPAGE_PRICE] + rules[SLIPPAGE_FRACTION] * abs(price)))


@compiled
def bounded(rules: F8, o: Any, price: float) -> float:
    """What a limit order that is marketable on arrival gets: the price with slippage, never beyond its limit."""
    worse = slipped(rules, o.side, price)
    return float(min(worse, o.limit) if o.side == BUY else max(worse, o.limit))


@compiled
def betters(o: Any, price: float, touch: bool) -> bool:
    """Whether a price is better than an order's limit, or, with ``touch``, equal to it."""
    return bool((price - o.limit) * o.side < 0.0 or (touch and price == o.limit))


@compiled
def trail_stop(o: Any) -> float:
    """Stop price of a trailing order from its best price so far; NaN before its first event."""
    distance = o.trail * o.best if o.trail_is_fraction == 1 else o.trail
    return float(o.best + o.side * distance)


@compiled
def follow(o: Any, price: float) -> None:
    """Move a trailing order's best price."""
    if o.best != o.best or (price - o.best) * o.side < 0.0:
        o.best = price


@compiled
def acts_as_market(o: Any) -> bool:
    """Whether it takes any price: a market order, or a stop that was triggered and is not filled completely."""
    return bool(o.type == MARKET or (o.triggered == 1 and (o.type == STOP or o.type == TRAIL)))


@compiled
def acts_as_limit(o: Any) -> bool:
    """Whether its limit is working: a limit order, or a stop-limit that was triggered."""
    return bool(o.type == LIMIT or (o.triggered == 1 and (o.type == STOP_LIMIT or o.type == TRAIL_LIMIT)))


@compiled
def awaits_trigger(o: Any) -> bool:
    """Whether it is a stop whose price was not reached yet."""
    kind = o.type
    return bool(o.triggered == 0 and (kind == STOP or kind == STOP_LIMIT or kind == TRAIL or kind == TRAIL_LIMIT))


@compiled
def reach(o: Any) -> tuple[float, float]:
    """Prices at which an order can act: at or below the first, at or above the second."""
    if o.type == MARKET_ON_CLOSE or o.type == LIMIT_ON_CLOSE:
        return -np.inf, np.inf
    if o.seen == 0 or acts_as_market(o):
        return np.inf, -np.inf
    if o.triggered == 0 and (o.type == TRAIL or o.type == TRAIL_LIMIT):
        stop = trail_stop(o)
        if stop != stop:
            return np.inf, -np.inf
        return (o.best, stop) if o.side == BUY else (stop, o.best)  # reached, or moved
    resting = acts_as_limit(o)
    level = o.limit if resting else o.stop
    rises = (o.side == BUY) != resting
    return (-np.inf, level) if rises else (level, np.inf)


@compiled
def price_at(o: Any, rules: F8, buy_price: float, sell_price: float, touch: bool, stops: bool) -> float:
    """Fill price of an order at a trade (both prices equal) or a quote (ask, bid); NaN for no fill.

    ``touch`` says whether a resting limit fills when just touched; ``stops`` whether this event may trigger
    stops. Changes the order's own memory: seen, triggered, best price.
    """
    price = buy_price if o.side == BUY else sell_price
    if price != price:
        return np.nan
    first = o.seen == 0
    o.seen = 1
    if acts_as_market(o):
        return slipped(rules, o.side, price)
    if acts_as_limit(o):
        if not betters(o, price, touch):
            return np.nan
        return bounded(rules, o, price) if first else float(o.limit)
    if not stops:
        return np.nan
    trails = o.type == TRAIL or o.type == TRAIL_LIMIT
    stop = trail_stop(o) if trails else o.stop
    if not ((price - stop) * o.side >= 0.0):
        if trails:
            follow(o, price)
        return np.nan
    o.triggered = 1
    if o.type == STOP or o.type == TRAIL:
        return slipped(rules, o.side, price)
    if trails:
        o.limit = stop + o.side * o.stop
    o.seen = 0  # its limit arrives now: the next event is its first
    return np.nan


@compiled
def price_in_bar(o: Any, rules: F8, open_: float, high: float, low: float, phase: int, woken: bool) -> float:
    """Fill price of an order in a phase of a bar; NaN for no fill.

    At the open act market orders, limits that the open already betters, and stops that it jumped over; inside
    the bar first stops, then limits, so that a bar that holds both resolves against the strategy. ``woken``
    orders became active inside this bar: only their stops act, and not at its open. Changes the order's own
    memory: triggered, best price.
    """
    toward = low if o.side == BUY else high
    away = high if o.side == BUY else low
    touch = rules[TOUCH] != 0.0
    trails = o.type == TRAIL or o.type == TRAIL_LIMIT
    if phase == INSIDE_LIMITS:
        rests = acts_as_limit(o) and not woken
        return float(o.limit) if rests and betters(o, toward, touch) else np.nan
    if phase == AT_OPEN:
        if woken:
            return np.nan
        if acts_as_market(o):
            return slipped(rules, o.side, open_)
        if acts_as_limit(o):
            return bounded(rules, o, open_) if betters(o, open_, touch) else np.nan
        if (o.type == STOP or o.type == TRAIL) and o.triggered == 0:
            stop = trail_stop(o) if trails else o.stop
            if (open_ - stop) * o.side >= 0.0:
                o.triggered = 1
                return slipped(rules, o.side, open_)
        if trails and not ((open_ - trail_stop(o)) * o.side >= 0.0):
            follow(o, open_)  # the open comes before all else in the bar
        return np.nan
    if (o.type == STOP or o.type == TRAIL) and o.triggered == 0:
        stop = trail_stop(o) if trails else o.stop
        if (away - stop) * o.side >= 0.0:
            o.triggered = 1
            return slipped(rules, o.side, stop)
    return np.nan


@compiled
def after_bar(o: Any, high: float, low: float) -> None:
    """What a bar leaves in an order's memory: stop-limits triggered (they act from the next bar), the trail moved."""
    o.seen = 1
    if o.triggered == 1:
        return
    away = high if o.side == BUY else low
    toward = low if o.side == BUY else high
    if o.type == STOP_LIMIT and (away - o.stop) * o.side >= 0.0:
        o.triggered = 1
    if o.type == TRAIL_LIMIT:
        stop = trail_stop(o)
        if (away - stop) * o.side >= 0.0:
            o.triggered = 1
            o.limit = stop + o.side * o.stop
    if o.type == TRAIL or o.type == TRAIL_LIMIT:
        follow(o, toward)


@compiled
def expected_price(instruments: Any, o: Any) -> float:
    """What a buy is expected to cost per unit: its limit, or a stop not reached yet, else the last price; NaN unknown."""
    if o.limit == o.limit:
        return float(o.limit)
    if o.type == STOP and o.triggered == 0:
        return float(o.stop)
    r = instruments[o.instrument]
    return float(r.ask) if (r.last != r.last and r.quote_ts > 0) else float(r.last)
