"""The tapes that benchmarks play: ticks with jumps, and minute bars of many symbols. Both are made from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from papertape.calendar import session_times

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]

SEED = 7
NOISE = 2e-5
JUMPING = 2e-4
"""Part of the ticks that jump, by 5.5 to 8 %, up and down in turn."""
TICK_NS = 2_000_000
SESSION_OPEN = 1_704_292_200_000_000_000
"""2024-01-03 09:30 in New York."""
SYMBOL = "X"
CSV_PIECE = 500_000


@dataclass(frozen=True, slots=True, eq=False)
class Ticks:
    """Trades of one symbol: ``ts`` (UTC ns), ``price``, ``size``, each of shape (n,)."""

    ts: I8
    price: F8
    size: F8

    def __len__(self) -> int:
        return len(self.ts)

    def data(self) -> dict[str, dict[str, I8 | F8]]:
        """As ``papertape.backtest`` takes it."""
        return {SYMBOL: {"ts": self.ts, "price": self.price, "size": self.size}}


def ticks(count: int, *, jumps: int | None = None, interval_ns: int = TICK_NS, digits: int | None = None) -> Ticks:
    """A random walk with jumps, all in one regular session.

    ``jumps`` is by default JUMPING x count. ``digits`` rounds prices to decimals, for those who take no others.
    """
    rng = np.random.default_rng(SEED)
    steps = rng.normal(0.0, NOISE, count)
    number = max(2, round(count * JUMPING)) if jumps is None else jumps
    places = np.sort(rng.choice(np.arange(1, count), size=number, replace=False))
    sizes = rng.uniform(0.055, 0.08, number)
    sizes[1::2] *= -1.0
    steps[places] += np.log1p(sizes)
    price = 100.0 * np.exp(np.cumsum(steps))
    if digits is not None:
        price = np.rint(price * 10.0**digits) / 10.0**digits
    ts = SESSION_OPEN + 1 + np.arange(count, dtype=np.int64) * interval_ns
    return Ticks(ts, price, np.full(count, 100.0))


def write_csv(tape: Ticks, path: Path, digits: int) -> None:
    """Write trades as ``ts,price,size``: epoch nanoseconds, prices with so many decimals, whole sizes."""
    with path.open("w", encoding="ascii") as file:
        file.write("ts,price,size\n")
        for begin in range(0, len(tape), CSV_PIECE):
            piece = slice(begin, begin + CSV_PIECE)
            times, prices, sizes = tape.ts[piece].tolist(), tape.price[piece].tolist(), tape.size[piece].tolist()
            file.writelines(f"{t},{p:.{digits}f},{s:.0f}\n" for t, p, s in zip(times, prices, sizes, strict=True))


BAR_COLUMNS = ("ts", "open", "high", "low", "close", "volume")
MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Minutes:
    """One-minute bars of many symbols over many sessions; every symbol has a bar of every minute.

    ``tables`` maps a symbol to columns named as BAR_COLUMNS, of shape (n,); a bar's ``ts`` is its open. ``bounds``
    (sessions + 1) delimits the sessions within each column, ``close`` is when each ends (UTC ns).
    """

    tables: dict[str, dict[str, I8 | F8]]
    bounds: I8
    close: I8

    def __len__(self) -> int:
        return len(self.tables) * int(self.bounds[-1])

    def columns(self) -> Iterator[I8 | F8]:
        """All columns of all symbols."""
        for table in self.tables.values():
            yield from table.values()


def minutes(symbols: int, sessions: int) -> Minutes:
    """Random walks with a gap at each open, from the first session of 2024 on."""
    rng = np.random.default_rng(SEED)
    calendar = session_times("XNYS", SESSION_OPEN, SESSION_OPEN + sessions * 2 * 86_400_000_000_000)
    first = next(k for k, opening in enumerate(calendar.open) if opening >= SESSION_OPEN)
    opens = np.array(calendar.open[first : first + sessions])
    closes = np.array(calendar.close[first : first + sessions])
    lengths = (closes - opens) // MINUTE_NS
    bounds = np.concatenate(([0], np.cumsum(lengths)))
    n = int(bounds[-1])
    minute = np.arange(n) - np.repeat(bounds[:-1], lengths)
    ts = np.repeat(opens, lengths) + minute * MINUTE_NS
    tables = {}
    for k in range(symbols):
        steps = rng.normal(0.0, 8e-4, n)
        steps[bounds[:-1]] += rng.normal(0.0, 0.015, sessions)
        close = rng.uniform(20.0, 300.0) * np.exp(np.cumsum(steps))
        start = close * np.exp(-rng.normal(0.0, 4e-4, n))
        top = np.maximum(start, close) * (1.0 + rng.uniform(0.0, 4e-4, n))
        bottom = np.minimum(start, close) * (1.0 - rng.uniform(0.0, 4e-4, n))
        volume = np.floor(rng.lognormal(8.0, 0.8, n)) + 1.0
        tables[f"S{k:02d}"] = dict(zip(BAR_COLUMNS, (ts, start, top, bottom, close, volume), strict=True))
    return Minutes(tables, bounds, closes)
