"""Events of a live session, their recording, and what is played of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from brokers.ib.events import BarClosed, Event, QuoteTick, TradeTick
from brokers.ib.registry import Registry
from feeds.load import DataOptions, load_tape
from feeds.playback import RecordedFeed
from feeds.recorder import Recorder
from papertape.calendar import session_times
from papertape.core.model import NS_PER_S, EventKind, Instrument
from papertape.core.series import Tape

OPEN = 1_717_421_400 * NS_PER_S  # 2024-06-03 09:30 in New York
DAY = 86_400 * NS_PER_S
MINUTE = 60 * NS_PER_S
NAN = math.nan
WITHIN_S = 30.0
SYMBOLS = ("AAA", "BBB", "BRK.B")


def new_registry() -> Registry:
    made = Registry()
    for symbol in SYMBOLS:
        made.add(Instrument(symbol))
    return made


def trade(instrument: int, at: int, price: float, size: float = 100.0) -> TradeTick:
    return TradeTick(instrument, at // NS_PER_S * NS_PER_S, at, price, size)


def quote(instrument: int, at: int, bid: float, ask: float) -> QuoteTick:
    return QuoteTick(instrument, at, bid, ask, 3.0 if bid == bid else NAN, 4.0 if ask == ask else NAN)


def bar(instrument: int, end: int, close: float, *, seconds: int = 60, is_history: bool = False) -> BarClosed:
    length = seconds * NS_PER_S
    return BarClosed(
        instrument, length, end - length, end, end + 1_500, close, close + 1.0, close - 1.0, close, 500.0, is_history
    )


def record(folder: Path, registry: Registry, events: Sequence[Event], **options: Any) -> Recorder:
    with Recorder(folder, registry, **options) as recorder:
        for event in events:
            recorder.take(event)
    return recorder


def load(folder: Path, **options: Any) -> Tape:
    return load_tape(folder, DataOptions(cache=False, **options))


def played(tape: Tape) -> list[tuple[Any, ...]]:
    """Everything on a tape as it is played: (kind, symbol, time, values)."""
    instruments = [Instrument(symbol) for symbol in sorted(tape.symbols)]
    end = max(int(series.ts[-1]) for series in tape.series)
    feed = RecordedFeed(tape, instruments, session_times("XNYS", OPEN, end), 0, end)
    for j in range(len(instruments)):
        feed.watch(j, 0)
    heard = []
    while (batch := feed.next()) is not None:
        n = len(batch)
        for k in range(n):
            kind = int(batch.kind[k if len(batch.kind) == n else 0])
            symbol = instruments[int(batch.instrument[k if len(batch.instrument) == n else 0])].symbol
            width = {EventKind.TRADE: 2, EventKind.QUOTE: 4}.get(EventKind(kind), 5)
            values = tuple(float(column[k]) for column in batch.columns[:width])
            heard.append((kind, symbol, int(batch.ts[k]), *values))
        feed.consumed(batch, n)
    return heard


def as_heard(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    """Trades and quotes in the order in which they came, as `played` tells them."""
    heard: list[tuple[Any, ...]] = []
    for each in events:
        if isinstance(each, TradeTick):
            heard.append((1, SYMBOLS[each.instrument], each.received_ts, each.price, each.size))
        elif isinstance(each, QuoteTick):
            sizes = (0.0 if math.isnan(size) else size for size in (each.bid_size, each.ask_size))
            heard.append((0, SYMBOLS[each.instrument], each.received_ts, each.bid, each.ask, *sizes))
    return heard


def same(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> bool:
    return repr(one) == repr(other)  # NaN is unlike itself, its name is not


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
