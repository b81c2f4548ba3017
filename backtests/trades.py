"""Round trips: fills matched into trades, first in, first out.

A *trade* is a quantity that was bought and later sold (LONG), or sold and later bought (SHORT). Each exit closes the
oldest open lot first; a fill larger than the open position closes it and opens the other side with the rest. A fill's
fee is split over its lots by quantity. What is still open is a lot, not a trade.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from papertape.core.compiled import compiled
from papertape.core.model import ActionKind, CorporateAction
from papertape.core.record import TRADE_COLUMNS, Columns, empty_columns
from papertape.core.series import F8, I8

LOT_COLUMNS: Mapping[str, str] = {
    "symbol": "O",
    "side": "O",  # LONG or SHORT
    "quantity": "f8",  # what is left of the fill
    "entry_ts": "i8",
    "entry_price": "f8",
    "fees": "f8",  # the entry's fee for that quantity
}
"""Layout of open lots."""

_DUST = 1e-12
"""Share of a fill's quantity below which a remainder is rounding, not a position (0.1 + 0.2 - 0.3 is not zero)."""

_SIDES = np.array(["SHORT", "LONG"], dtype=object)


def match_trades(
    fills: Columns,
    multipliers: Mapping[str, float] | None = None,
    *,
    instrument: NDArray[Any] | None = None,
    actions: Sequence[CorporateAction] = (),
    low: F8 | None = None,
    high: F8 | None = None,
) -> Columns:
    """Match fills into trades; columns as in TRADE_COLUMNS, in the order of their exits.

    ``fills`` has columns as in FILL_COLUMNS, in time order. ``multipliers`` maps symbols to units of currency per
    point of price (1 where absent). ``instrument`` (integers >= 0, one for each fill, one number a symbol) saves
    looking at the symbols. ``actions`` are the splits that positions were held through; a trade over a split is
    given in the units of its exit. ``low`` and ``high`` are the extreme prices of each fill's instrument since its
    previous fill, up to and including the fill, in the fill's units: from them come ``mae`` and ``mfe``, before fees,
    which are NaN without.

    Raises ValueError for a side that is neither BUY nor SELL.
    """
    return match_lots(fills, multipliers, instrument=instrument, actions=actions, low=low, high=high)[0]


def match_lots(
    fills: Columns,
    multipliers: Mapping[str, float] | None = None,
    *,
    instrument: NDArray[Any] | None = None,
    actions: Sequence[CorporateAction] = (),
    low: F8 | None = None,
    high: F8 | None = None,
) -> tuple[Columns, Columns]:
    """Match fills into (trades, lots that are still open); see ``match_trades``.

    The lots (LOT_COLUMNS) come by instrument, oldest first, in units after all ``actions``.
    """
    if len(fills["ts"]) == 0:
        return empty_columns(TRADE_COLUMNS), empty_columns(LOT_COLUMNS)
    code, symbols = _codes(fills["symbol"], instrument, needs_symbols=bool(multipliers or actions))
    bought = _bought(fills["side"])
    quantity, price, fee = (_f8(fills[name]) for name in ("quantity", "price", "fee"))
    factor, factor_end = _split_factors(code, symbols, np.asarray(fills["ts"]), actions)
    order = np.argsort(code, kind="stable")
    lows, highs = (price, price) if low is None or high is None else (_f8(low) * factor, _f8(high) * factor)
    matched = _match(order, code, bought, quantity / factor, price * factor, fee, lows, highs)
    entry, exit_, units, fees, lowest, highest = matched[:6]
    by_exit = np.argsort(exit_, kind="stable")
    entry, exit_, units, fees = entry[by_exit], exit_[by_exit], units[by_exit], fees[by_exit]

    multiplier = _multiplier(code, symbols, multipliers)
    is_long = bought[entry]
    sign = np.where(is_long, 1.0, -1.0)
    amount = units * factor[exit_]
    entry_price = price[entry] * factor[entry] / factor[exit_]
    exit_price = price[exit_]
    scale = amount * multiplier[entry]
    pnl = sign * (exit_price - entry_price) * scale - fees
    cost = entry_price * scale
    with np.errstate(divide="ignore", invalid="ignore"):
        returned = np.where(cost > 0.0, pnl / cost, np.nan)
    mae = mfe = np.full(len(entry), np.nan)
    if low is not None and high is not None:
        # Extremes are kept in units of before any split: back to those of the exit.
        below = (lowest[by_exit] / factor[exit_] - entry_price) * scale
        above = (highest[by_exit] / factor[exit_] - entry_price) * scale
        mae = np.minimum(np.where(is_long, below, -above), 0.0)
        mfe = np.maximum(np.where(is_long, above, -below), 0.0)
    ts = fills["ts"]
    trades: Columns = {
        "symbol": fills["symbol"][entry],
        "side": _SIDES[is_long.astype(np.int64)],
        "quantity": amount,
        "entry_ts": ts[entry],
        "exit_ts": ts[exit_],
        "entry_price": entry_price,
        "exit_price": exit_price,
        "fees": fees,
        "pnl": pnl,
        "return": returned,
        "mae": mae,
        "mfe": mfe,
    }
    return trades, _open_lots(fills, matched[6], matched[7], bought, factor, factor_end)


def _open_lots(fills: Columns, opened: I8, left: F8, bought: NDArray[np.bool_], factor: F8, factor_end: F8) -> Columns:
    """Columns of the lots that fills ``opened`` and of which ``left`` units (of before any split) remain."""
    fee_share = left * factor[opened] / fills["quantity"][opened]
    return {
        "symbol": fills["symbol"][opened],
        "side": _SIDES[bought[opened].astype(np.int64)],
        "quantity": left * factor_end[opened],
        "entry_ts": fills["ts"][opened],
        "entry_price": fills["price"][opened] * factor[opened] / factor_end[opened],
        "fees": fills["fee"][opened] * fee_share,
    }


def _f8(values: NDArray[Any]) -> F8:
    """The values as a writable, contiguous float64 array: one type, hence one compilation."""
    return np.require(values, dtype=np.float64, requirements=["C", "W"])


def _codes(
    symbol: NDArray[Any], instrument: NDArray[Any] | None, *, needs_symbols: bool
) -> tuple[I8, Mapping[str, int]]:
    """One integer a symbol for each fill, and (where asked) symbol -> integer."""
    if instrument is None:
        numbers: dict[str, int] = {}
        code = np.fromiter(
            (numbers.setdefault(name, len(numbers)) for name in symbol.tolist()), np.int64, count=len(symbol)
        )
        return code, numbers
    code = np.require(instrument, dtype=np.int64, requirements=["C", "W"])
    if not needs_symbols:
        return code, {}
    _, first = np.unique(code, return_index=True)
    return code, {str(symbol[i]): int(code[i]) for i in first}


def _bought(side: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each fill bought, from "BUY" and "SELL"."""
    bought = np.asarray(side == "BUY", dtype=np.bool_)
    known = bought | np.asarray(side == "SELL", dtype=np.bool_)
    if not known.all():
        odd = side[int(np.argmin(known))]
        raise ValueError(f"a fill's side is {odd!r}, neither BUY nor SELL")
    return bought


def _multiplier(code: I8, symbols: Mapping[str, int], multipliers: Mapping[str, float] | None) -> F8:
    """Multiplier of each fill."""
    result = np.ones(len(code))
    for name, number in symbols.items():
        value = (multipliers or {}).get(name, 1.0)
        if value != 1.0:
            result[code == number] = value
    return result


def _split_factors(
    code: I8, symbols: Mapping[str, int], ts: NDArray[Any], actions: Sequence[CorporateAction]
) -> tuple[F8, F8]:
    """Units at each fill, and units after all splits, for one unit of before any split."""
    factor, factor_end = np.ones(len(code)), np.ones(len(code))
    for action in actions:
        number = symbols.get(action.symbol)
        if action.kind is ActionKind.SPLIT and number is not None:
            here = code == number
            factor[here & (ts >= action.ts)] *= action.value
            factor_end[here] *= action.value
    return factor, factor_end


@compiled
def _match(
    order: I8, code: I8, bought: NDArray[np.bool_], quantity: F8, price: F8, fee: F8, low: F8, high: F8
) -> tuple[I8, I8, F8, F8, F8, F8, I8, F8]:
    """Match fills in ``order`` (sorted by ``code``, then time), lots first in, first out.

    Returns (entry fill, exit fill, quantity, fees, lowest price, highest price) of the trades and (fill, quantity
    left) of the open lots. The extremes are those between entry and exit: as both only move forward within an
    instrument, they are sliding-window extremes, each kept in a monotonic queue, so that the whole takes linear time.
    """
    n = len(order)
    entry, exit_ = np.empty(2 * n, np.int64), np.empty(2 * n, np.int64)
    units, fees = np.empty(2 * n), np.empty(2 * n)
    lowest, highest = np.empty(2 * n), np.empty(2 * n)
    count = 0
    opened, left = np.empty(n, np.int64), np.empty(n)  # open lots: places in ``order``; finished instruments in front
    head = tail = 0
    falls, rises = np.empty(n, np.int64), np.empty(n, np.int64)  # places whose low (high) no later one undercuts
    fall_head = fall_tail = rise_head = rise_tail = 0
    for k in range(n):
        i = order[k]
        if k > 0 and code[i] != code[order[k - 1]]:
            head = tail  # the lots of the instrument before stay where they are
            fall_head, rise_head = fall_tail, rise_tail
        while fall_tail > fall_head and low[order[falls[fall_tail - 1]]] >= low[i]:
            fall_tail -= 1
        falls[fall_tail] = k
        fall_tail += 1
        while rise_tail > rise_head and high[order[rises[rise_tail - 1]]] <= high[i]:
            rise_tail -= 1
        rises[rise_tail] = k
        rise_tail += 1
        rest = quantity[i]
        dust = _DUST * rest
        while rest > dust and head < tail and bought[order[opened[head]]] != bought[i]:
            a = order[opened[head]]
            taken = min(rest, left[head])
            while falls[fall_head] <= opened[head]:
                fall_head += 1
            while rises[rise_head] <= opened[head]:
                rise_head += 1
            entry[count] = a
            exit_[count] = i
            units[count] = taken
            fees[count] = fee[a] * taken / quantity[a] + fee[i] * taken / quantity[i]
            lowest[count] = min(low[order[falls[fall_head]]], price[a], price[i])
            highest[count] = max(high[order[rises[rise_head]]], price[a], price[i])
            count += 1
            rest -= taken
            left[head] -= taken
            if left[head] <= _DUST * quantity[a]:
                left[head] = 0.0
                head += 1
        if rest > dust:
            opened[tail] = k
            left[tail] = rest
            tail += 1
    still = left[:tail] > 0.0
    return (
        entry[:count],
        exit_[:count],
        units[:count],
        fees[:count],
        lowest[:count],
        highest[:count],
        order[opened[:tail][still]],
        left[:tail][still],
    )
