"""The market of the scripted day: a small tape whose prices follow simple waves, so that a script knows what fills.

All prices are whole cents, all sizes whole, since server versions before 163 have whole sizes only. Most events are at
full seconds, which the market goes through anyway: in lockstep each other time is one more that clients answer to.
"""

from __future__ import annotations

import numpy as np

from papertape.core.model import NS_PER_S, EventKind, Instrument
from papertape.core.series import I8, Series, Tape
from tests.gateway.clients.script import seconds

CROWD = tuple(f"S{number:02d}" for number in range(50))
"""Symbols that only scans and snapshots look at."""

WAVE_S = 1_800
"""AAA and BBB rise by one dollar in half of this, and fall back in the other half."""


def wave(ts_s: I8, low: float, half_wave_s: int = WAVE_S // 2) -> I8:
    """A triangular wave from ``low`` to a dollar above it, in cents; at its lowest at the open."""
    phase = (ts_s - seconds("09:30:00")) % (2 * half_wave_s)
    return np.asarray(round(low * 100) + np.minimum(phase, 2 * half_wave_s - phase) * 100 // half_wave_s, np.int64)


def _times(begin: str, end: str, every_s: int, offset_ms: int) -> I8:
    """Times (UTC ns) every so many seconds, each some milliseconds after the full second."""
    return np.arange(seconds(begin), seconds(end), every_s, dtype=np.int64) * NS_PER_S + offset_ms * 1_000_000


def _sizes(count: int, shift: int) -> I8:
    """Sizes of 100 to 900, changing from one to the next."""
    return np.asarray(100 * (1 + (np.arange(count) * 7 + shift) % 9), np.int64)


def trades(symbol: str, low: float, begin: str, end: str, every_s: int, offset_ms: int = 0) -> Series:
    """Trades at the wave."""
    ts = _times(begin, end, every_s, offset_ms)
    price = wave(ts // NS_PER_S, low) / 100.0
    return Series(symbol, EventKind.TRADE, ts, (price, _sizes(len(ts), 1).astype(float)))


def quotes(symbol: str, low: float, begin: str, end: str, every_s: int, offset_ms: int = 0) -> Series:
    """Quotes a cent to each side of the wave."""
    ts = _times(begin, end, every_s, offset_ms)
    middle = wave(ts // NS_PER_S, low)
    bid, ask = (middle - 1) / 100.0, (middle + 1) / 100.0
    return Series(
        symbol, EventKind.QUOTE, ts, (bid, ask, _sizes(len(ts), 2).astype(float), _sizes(len(ts), 5).astype(float))
    )


def minute_bars(symbol: str, low: float, begin: str, end: str) -> Series:
    """Bars of one minute, of the wave; their time is their close."""
    start = _times(begin, end, 60, 0)
    first, last = (wave(start // NS_PER_S + shift, low) / 100.0 for shift in (0, 59))
    columns = (first, np.maximum(first, last), np.minimum(first, last), last, _sizes(len(start), 3).astype(float))
    return Series(symbol, EventKind.BAR, start + 60 * NS_PER_S, columns, start=start)


def day_tape(begin: str = "09:28:00", end: str = "13:05:00") -> Tape:
    """The tape of the day between two times of it (New York)."""
    series = [
        quotes("AAA", 100.0, begin, end, 5),
        trades("AAA", 100.0, begin, end, 4),
        quotes("BBB", 50.0, begin, end, 15),
        trades("BBB", 50.0, begin, end, 60, 270),
        trades("CCC", 20.0, begin, end, 120, 400),
        minute_bars("DDD", 30.0, begin, end),
    ]
    for number, symbol in enumerate(CROWD):
        series.append(quotes(symbol, 10.0 + number, begin, end, 1_800, 10 + number))
        series.append(trades(symbol, 10.0 + number, begin, end, 1_800, 500 + number))
    symbols = dict.fromkeys(each.symbol for each in series)
    instruments = {symbol: Instrument(symbol, con_id=7_001 + k) for k, symbol in enumerate(symbols)}
    return Tape(tuple(series), instruments, fingerprint="scripted day", synthetic=True)
