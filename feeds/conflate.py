"""The tape as a broker's aggregated feed shows it, for a fair comparison of a backtest with live trading.

Interactive Brokers' streaming data for stocks are not every print: several times a second (each 250 ms) a client gets
what is new. Here every interval of ``interval_ns`` that has events becomes one: of trades the last price with the
sizes of all, of quotes the last one, if it differs from the one sent before. It is stamped at the interval's *end*,
when it would be sent: the last price of an interval is not known while the interval lasts. Intervals count from the
UTC epoch; the real phase of a broker's timer is not known.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from papertape.core.compiled import compiled
from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S, EventKind
from papertape.core.series import F8, Series

BROKER_INTERVAL_NS = 250_000_000
"""Interactive Brokers, "Market Data: Live": stocks, futures and others are sent each 250 ms."""


def conflate(series: Series, interval_ns: int = BROKER_INTERVAL_NS) -> Series:
    """Trades or quotes as a feed that sends once per ``interval_ns`` shows them; bars are returned as they are.

    An event in [k x interval, (k + 1) x interval) is part of what is sent at (k + 1) x interval. Volume is kept: the
    sizes sum up to those of the series. ``row`` is that of the last event of each interval.

    Raises ConfigError for an interval that is not positive or longer than a minute.
    """
    if not 0 < interval_ns <= 60 * NS_PER_S:
        raise ConfigError(
            f"data cannot be conflated to {interval_ns / NS_PER_S:g} s; choose more than 0 and up to 60 s"
        )
    if series.kind not in (EventKind.TRADE, EventKind.QUOTE):
        return series
    last = np.empty(count_intervals(series.ts, interval_ns), dtype=np.int64)
    if series.kind is EventKind.TRADE:
        size = np.empty(len(last))
        fill_trades(series.ts, series.columns[1], interval_ns, last, size)
        columns: tuple[F8, ...] = (series.columns[0][last], size)
    else:
        last = last[: fill_quotes(series.ts, series.columns, interval_ns, last)]
        columns = tuple(column[last] for column in series.columns)
    ts = (series.ts[last] // interval_ns + 1) * interval_ns
    row = None if series.row is None else series.row[last]
    return dataclasses.replace(series, ts=ts, columns=columns, row=row)


@compiled
def count_intervals(ts: Any, interval: Any) -> int:
    """Number of intervals that hold events."""
    n = 0
    end = np.int64(-(2**63))
    for i in range(len(ts)):
        if ts[i] >= end:
            n += 1
            end = (ts[i] // interval + 1) * interval
    return n


@compiled
def fill_trades(ts: Any, size: Any, interval: Any, last: Any, total: Any) -> None:
    """Fill ``last`` with the place of each interval's last trade and ``total`` with the sum of its sizes."""
    n = -1
    end = np.int64(-(2**63))
    for i in range(len(ts)):
        if ts[i] >= end:
            n += 1
            total[n] = 0.0
            end = (ts[i] // interval + 1) * interval
        last[n] = i
        total[n] += size[i]


@compiled
def fill_quotes(ts: Any, columns: Any, interval: Any, last: Any) -> int:
    """Fill ``last`` with the places of the quotes that are sent; returns their number."""
    n = 0
    for i in range(len(ts)):
        if i + 1 < len(ts) and ts[i + 1] // interval == ts[i] // interval:
            continue
        is_new = n == 0
        for column in columns:
            before, now = column[last[max(n - 1, 0)] if n > 0 else i], column[i]
            if before != now and not (np.isnan(before) and np.isnan(now)):
                is_new = True
        if is_new:
            last[n] = i
            n += 1
    return n
