"""Series of events at times of June 2024 in New York."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np

from papertape.core.model import NS_PER_S, EventKind
from papertape.core.series import Series

NEW_YORK = ZoneInfo("America/New_York")
Rows = list[tuple[int, float, float]]


def at(day: int, clock: str) -> int:
    """UTC ns of a time in June 2024 in New York, seconds may have a fraction."""
    hour, minute, second = clock.split(":")
    whole = dt.datetime(2024, 6, day, int(hour), int(minute), tzinfo=NEW_YORK)
    return int(whole.timestamp()) * NS_PER_S + round(float(second) * NS_PER_S)


def trades(symbol: str, rows: Rows) -> Series:
    """Trades of (time, price, size)."""
    ts, price, size = zip(*rows, strict=True)
    return Series(symbol, EventKind.TRADE, np.array(ts, np.int64), (np.array(price, float), np.array(size, float)))


def quotes(symbol: str, rows: list[tuple[int, float, float, float, float]]) -> Series:
    """Quotes of (time, bid, ask, bid size, ask size)."""
    ts, *values = zip(*rows, strict=True)
    return Series(symbol, EventKind.QUOTE, np.array(ts, np.int64), tuple(np.array(each, float) for each in values))


def bars(symbol: str, rows: list[tuple[int, int, float, float, float, float, float]]) -> Series:
    """Bars of (start, end, open, high, low, close, volume)."""
    start, end, *values = zip(*rows, strict=True)
    columns = tuple(np.array(each, float) for each in values)
    return Series(symbol, EventKind.BAR, np.array(end, np.int64), columns, start=np.array(start, np.int64))
