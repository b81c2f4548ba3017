"""What a run's record says of what it held: multipliers, currencies, and the value of each position by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from papertape.core.errors import DataError
from papertape.core.record import RunRecord

F8 = NDArray[np.float64]

_DUST = 1e-9
"""Difference of quantities that is rounding, as a share of all that was traded of the instrument."""


def currency_of(record: RunRecord) -> Mapping[str, str]:
    """Symbol -> the currency it trades in, the account's where the run does not say."""
    known = dict(zip(record.positions["symbol"].tolist(), record.positions["currency"].tolist(), strict=True))
    return defaultdict(lambda: record.currency, known)


def multipliers(record: RunRecord) -> Mapping[str, float]:
    """Symbol -> units of currency per point of price, as the run keeps it in its settings: those that are not 1."""
    found = record.settings.get("multipliers") or {}
    return defaultdict(lambda: 1.0, {str(symbol): float(value) for symbol, value in found.items()})


def signed_quantities(record: RunRecord) -> F8:
    """Quantity of each fill, sales below zero; shape (fills,)."""
    bought = np.asarray(record.fills["side"] == "BUY", dtype=np.bool_)
    return np.asarray(np.where(bought, 1.0, -1.0) * record.fills["quantity"], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class DailyHoldings:
    """Value of positions and cash at the end of each session, in the account's currency.

    ``values`` has shape (sessions, symbols); a row of it and ``cash`` add up to the session's equity.
    """

    symbols: tuple[str, ...]
    values: F8
    cash: F8


def daily_holdings(record: RunRecord) -> DailyHoldings:
    """What was held at the end of each session of ``record.daily``, from the fills and the prices that the run kept.

    A position is valued at the last fill or the last bucket of its price that ended by then, at the end of the run at
    its own last price; cash is the rest of the equity. A bucket is 1/2000 of the instrument's events.

    Raises DataError where the run cannot tell: its fills do not add up to what it held at the end (a split on the
    way, or a position from before it), it kept no prices, or an instrument trades in another currency.
    """
    symbols = tuple(sorted(set(record.fills["symbol"].tolist())))
    close = np.asarray(record.daily["ts"], dtype=np.int64)
    signed, units, currencies = signed_quantities(record), multipliers(record), currency_of(record)
    values = np.zeros((len(close), len(symbols)))
    for k, symbol in enumerate(symbols):
        if currencies[symbol] != record.currency:
            raise DataError(
                f"{symbol} trades in {currencies[symbol]}, and the run keeps exchange rates of its end only; its value in "
                f"{record.currency} by day cannot be told"
            )
        mine = record.fills["symbol"] == symbol
        ts, quantity = record.fills["ts"][mine], np.cumsum(signed[mine])
        _check_end(record, symbol, float(quantity[-1]), float(np.abs(signed[mine]).sum()))
        held = np.concatenate(([0.0], quantity))[np.searchsorted(ts, close, "right")]
        if symbol not in record.prices and held[close < record.end].any():
            raise DataError(
                f"the run kept no prices of {symbol}, which it held overnight; give backtest() a folder, out=, to keep them"
            )
        values[:, k] = np.where(held == 0.0, 0.0, held * _prices(record, symbol, close) * units[symbol])
    cash = np.asarray(record.daily["equity"], dtype=np.float64) - values.sum(axis=1)
    return DailyHoldings(symbols, values, cash)


def _check_end(record: RunRecord, symbol: str, bought: float, traded: float) -> None:
    at = np.flatnonzero(record.positions["symbol"] == symbol)
    held = float(record.positions["quantity"][at[0]]) if len(at) else 0.0
    if abs(bought - held) > _DUST * max(traded, 1.0):
        raise DataError(
            f"the fills of {symbol} add up to {bought:g}, but {held:g} were held at the end (a split, or a position "
            "from before the run); what it held by day cannot be told"
        )


def _prices(record: RunRecord, symbol: str, at: NDArray[np.int64]) -> F8:
    """The last known price of a traded instrument at each time of ``at``; NaN before its first."""
    mine = record.fills["symbol"] == symbol
    known = [(record.fills["ts"][mine], record.fills["price"][mine])]
    if symbol in record.prices:
        known.append((record.prices[symbol]["ts"], record.prices[symbol]["last"]))
    row = np.flatnonzero(record.positions["symbol"] == symbol)
    if len(row) and np.isfinite(record.positions["last_price"][row[0]]):
        known.append((np.array([record.end]), record.positions["last_price"][row[:1]]))
    ts = np.concatenate([np.asarray(each, dtype=np.int64) for each, _ in known])
    order = np.argsort(ts, kind="stable")
    price = np.concatenate([np.asarray(each, dtype=np.float64) for _, each in known])[order]
    return np.concatenate(([np.nan], price))[np.searchsorted(ts[order], at, "right")]
