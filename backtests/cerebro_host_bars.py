"""Bars of a tape that a Cerebro can have all at once, as it does by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brokers.backtrader_store import DAY_NS, WallClock
from feeds.playback import RecordedFeed, bar_interval
from papertape.core.requests import duration
from papertape.core.series import F8, I8
from papertape.core.session import Session

MINUTE_NS = 60_000_000_000
Columns = tuple[F8, ...]
"""Backtrader's time, open, high, low, close, volume."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Each symbol's bars between start and end of the run."""

    columns: Mapping[str, Columns]
    times: Sequence[int]
    """When bars close (UTC ns), each time once: Cerebro's rounds."""
    clock: WallClock

    def put_in_front(self, session: Session, count: int, datas: Mapping[str, Any]) -> int:
        """Give the datas the last ``count`` bars before the run, too. Returns how many times these have."""
        index = {session.instrument_index(symbol): data for symbol, data in datas.items()}
        for j in index:
            session.feed.watch_bars(j, None, session.now)
        batch = session.feed.past_bars(list(index), count, session.now) if count else None
        if batch is None:
            return 0
        for j, data in index.items():
            mine = batch.instrument == j
            past = (self.clock.numbers(batch.ts[mine]), *(column[mine] for column in batch.columns))
            data.past = len(past[0])
            data.columns = tuple(np.concatenate(pair) for pair in zip(past, data.columns, strict=True))
            data.preload()
        return len(np.unique(batch.ts))


def interval_of(session: Session, symbol: str, wanted: str | None) -> int:
    """Length of the bars that a strategy hears (ns): the one wanted, else that of the tape's own, or of TWS's."""
    if wanted is not None:
        return duration(wanted).ns or DAY_NS
    feed = session.feed
    if isinstance(feed, RecordedFeed):
        series = feed.own_bars(session.instrument_index(symbol))
        return MINUTE_NS if series is None else bar_interval(series)
    return int(getattr(feed, "own_bars_ns", MINUTE_NS))


def prepare(session: Session, symbols: Sequence[str], wanted: str | None, clock: WallClock) -> Bars | None:
    """The bars of a tape that has nothing finer than those wanted; None where they have to be told one by one.

    That is so live, where anything happens between two bars, and where the wall clock goes back within the bars.
    """
    feed = session.feed
    if not isinstance(feed, RecordedFeed):
        return None
    columns: dict[str, Columns] = {}
    times: list[I8] = []
    for symbol in symbols:
        series = feed.own_bars(session.instrument_index(symbol))
        if series is None or (wanted is not None and bar_interval(series) != interval_of(session, symbol, wanted)):
            return None
        begin, beyond = np.searchsorted(series.ts, feed.start, "left"), np.searchsorted(series.ts, feed.end, "right")
        times.append(series.ts[begin:beyond])
        columns[symbol] = (clock.numbers(times[-1]), *(column[begin:beyond] for column in series.columns))
    rounds = np.unique(np.concatenate(times))
    numbers = columns[symbols[0]][0] if len(times) == 1 else clock.numbers(rounds)
    if len(numbers) != len(rounds) or not bool(np.all(numbers[1:] > numbers[:-1])):
        return None
    return Bars(columns, rounds.tolist(), clock)
