"""How events reach a strategy: one by one, as bars of one time, or as a run that C code drives through its handler."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, repeat
from operator import length_hint
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from papertape.core.model import Bar, EventKind, Quote, Trade
from papertape.core.ports import Handler, Handlers, WakeUp
from papertape.core.series import F8, I8, Batch
from papertape.core.subscriptions import Wakes

if TYPE_CHECKING:
    from papertape.core.session import Session

QUOTE = int(EventKind.QUOTE)
TRADE = int(EventKind.TRADE)
BAR = int(EventKind.BAR)


class HeardEvents:
    """The events of a batch that a strategy hears, ready to be made into objects.

    ``index`` holds their places in the batch, ascending. Only what is heard is turned into Python numbers.
    """

    __slots__ = (
        "_batch",
        "_columns",
        "_handlers",
        "_instruments",
        "_kinds",
        "_previous",
        "_symbols",
        "has_bars",
        "index",
        "times",
        "trades",
    )

    def __init__(self, batch: Batch, wakes: Wakes, symbols: Sequence[str], handlers: Handlers) -> None:
        self._batch = batch
        self._symbols = symbols
        self._handlers = handlers
        self.index: Sequence[int]
        if wakes.is_all:
            self.index = range(len(batch))
            where = np.arange(len(batch))
            price = batch.columns[0]
            self._previous = [wakes.before.price, *price[:-1].tolist()] if batch.kind[0] == TRADE else []
        else:
            where = wakes.index
            self.index = where.tolist()
            self._previous = wakes.previous.tolist()
        n = len(self.index)
        self.trades: list[Trade] = []
        if n == 0:  # most batches of a live feed
            self.has_bars = False
            self._kinds, self._instruments, self.times, self._columns = [], [], [], []
            return
        self._kinds = batch.kind[where].tolist() if len(batch.kind) > 1 else batch.kind.tolist() * n
        self.has_bars = any(kind >= BAR for kind in set(self._kinds))
        many = len(batch.instrument) > 1
        self._instruments = batch.instrument[where].tolist() if many else batch.instrument.tolist() * n
        self.times = batch.ts[where].tolist()
        used = 4 if QUOTE in self._kinds else 2
        self._columns = [column[where].tolist() for column in batch.columns[:used]]
        if batch.uniform and batch.kind[0] == TRADE and not wakes.is_all:  # few, and C makes them three times faster
            symbol = repeat(symbols[batch.instrument[0]])
            self.trades = list(map(Trade, symbol, self.times, *self._columns, self._previous))

    def is_bar(self, k: int) -> bool:
        """Whether the k-th heard event is a bar."""
        return bool(self._kinds[k] >= BAR)

    def event(self, k: int) -> tuple[Handler | None, Trade | Quote, int]:
        """The k-th heard event (a trade or a quote), who hears it, and its time."""
        c = self._columns
        ts = self.times[k]
        symbol = self._symbols[self._instruments[k]]
        if self._kinds[k] == TRADE:
            return self._handlers.trade, Trade(symbol, ts, c[0][k], c[1][k], self._previous[k]), ts
        return self._handlers.quote, Quote(symbol, ts, c[0][k], c[1][k], c[2][k], c[3][k]), ts


def one_event(
    batch: Batch, i: int, wakes: Wakes, symbols: Sequence[str], handlers: Handlers
) -> tuple[Handler | None, Trade | Quote]:
    """The trade or quote at a place of a uniform batch that is heard whole, and who hears it."""
    values = [float(column[i]) for column in batch.columns[:4] if len(column) == len(batch)]
    symbol, ts = symbols[batch.instrument[0]], int(batch.ts[i])
    if batch.kind[0] == TRADE:
        before = float(batch.columns[0][i - 1]) if i else wakes.before.price
        return handlers.trade, Trade(symbol, ts, values[0], values[1], before)
    return handlers.quote, Quote(symbol, ts, *values)


class Bars:
    """All bars that closed at one time, as columns. ``bars[symbol]`` is one of them as a :class:`Bar`.

    ``open, high, low, close, volume`` are float64 arrays in the order of ``symbols``.
    """

    __slots__ = ("_columns", "_instruments", "_names", "_starts", "ts")

    def __init__(
        self, ts: int, names: Sequence[str], instruments: NDArray[np.int32], columns: tuple[F8, ...], starts: I8
    ) -> None:
        self.ts = ts
        self._names = names
        self._instruments = instruments
        self._columns = columns
        self._starts = starts

    @property
    def symbols(self) -> list[str]:
        """Symbols, in the order of the columns."""
        names = self._names
        return [names[j] for j in self._instruments.tolist()]

    @property
    def open(self) -> F8:
        """First prices."""
        return self._columns[0]

    @property
    def high(self) -> F8:
        """Highest prices."""
        return self._columns[1]

    @property
    def low(self) -> F8:
        """Lowest prices."""
        return self._columns[2]

    @property
    def close(self) -> F8:
        """Last prices."""
        return self._columns[3]

    @property
    def volume(self) -> F8:
        """Units traded."""
        return self._columns[4]

    def __len__(self) -> int:
        return len(self._instruments)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self.symbols

    def __getitem__(self, symbol: str) -> Bar:
        return self.at(self.symbols.index(symbol))

    def __iter__(self) -> Iterator[Bar]:
        return (self.at(k) for k in range(len(self)))

    def at(self, k: int) -> Bar:
        """The bar at a place of the columns."""
        o, h, lo, c, v = (float(column[k]) for column in self._columns)
        return Bar(self._names[self._instruments[k]], self.ts, o, h, lo, c, v, int(self._starts[k]))


class BarGroup:
    """Heard bars of one time, applied and waiting for the time to pass."""

    __slots__ = ("_batch", "_members", "ts")

    def __init__(self, ts: int, batch: Batch, members: NDArray[np.int64]) -> None:
        self.ts = ts
        self._batch = batch
        self._members = members

    def join(self, batch: Batch, members: NDArray[np.int64]) -> None:
        """Bars of the same time that came in a later batch."""
        self.keep()
        other = BarGroup(self.ts, batch, members)
        other.keep()
        a, b = self._batch, other._batch
        self._batch = Batch(
            ts=np.concatenate((a.ts, b.ts)),
            kind=np.concatenate((a.kind, b.kind)),
            instrument=np.concatenate((a.instrument, b.instrument)),
            columns=tuple(np.concatenate(pair) for pair in zip(a.columns, b.columns, strict=True)),  # type: ignore[arg-type]
            start=np.concatenate((a.start, b.start)),
            ends=None if a.ends is None or b.ends is None else np.concatenate((a.ends, b.ends)),
        )
        self._members = np.arange(len(self._batch))

    def keep(self) -> None:
        """Copy the bars out of the batch, which is about to go."""
        where = self._members
        batch = self._batch
        n = len(where)
        self._batch = Batch(
            ts=batch.ts[where],
            kind=batch.kind[where] if len(batch.kind) > 1 else np.repeat(batch.kind, n),
            instrument=batch.instrument[where] if len(batch.instrument) > 1 else np.repeat(batch.instrument, n),
            columns=tuple(column[where] for column in batch.columns),  # type: ignore[arg-type]
            start=batch.start[where],
            ends=None if batch.ends is None else batch.ends[where],
        )
        self._members = np.arange(n)

    def wake_ups(self, symbols: Sequence[str], handlers: Handlers) -> Iterator[WakeUp]:
        """``on_bar`` for each in order, then ``on_bars`` once."""
        batch, where = self._batch, self._members
        instruments = batch.instrument[where] if len(batch.instrument) > 1 else np.repeat(batch.instrument, len(where))
        columns = tuple(column[where] for column in batch.columns)
        closed = self.ts if batch.ends is None else int(batch.ends[where[0]])
        bars = Bars(closed, symbols, instruments, columns, batch.start[where])
        if handlers.bar is not None:
            for k in range(len(where)):
                yield handlers.bar, bars.at(k)
        if handlers.bars is not None:
            yield handlers.bars, bars


def past_wake_ups(batch: Batch, wakes: Wakes, symbols: Sequence[str], handlers: Handlers) -> Iterator[WakeUp]:
    """Wake-ups of bars of the past, those of one time as a group."""
    heard = range(len(batch)) if wakes.is_all else wakes.index.tolist()
    for ts, members in groupby(heard, key=batch.ts.tolist().__getitem__):
        yield from BarGroup(ts, batch, np.array(list(members))).wake_ups(symbols, handlers)


def plays_in_runs(batch: Batch, wakes: Wakes, handlers: Handlers) -> bool:
    """Whether a batch's events can be driven through one plain handler in runs."""
    if not wakes.is_all or not batch.uniform:
        return False
    kind = int(batch.kind[0])
    if kind == TRADE:
        handler = handlers.trade
    elif kind == QUOTE:
        handler = handlers.quote
    else:
        handler = None if handlers.bars is not None else handlers.bar
    return handler is not None and not inspect.iscoroutinefunction(handler)


class ColumnLists:
    """A window of a uniform batch as Python lists, kept while runs in it are interrupted and taken up again."""

    WINDOW = 4096

    __slots__ = ("_batch", "begin", "columns", "end", "times")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the window."""
        self._batch: Batch | None = None
        self.begin = self.end = 0
        self.times: list[int] = []
        self.columns: list[list[Any]] = []

    def open(self, batch: Batch, i: int) -> None:
        """Have the window hold index ``i``."""
        if self._batch is batch and self.begin <= i < self.end:
            return
        self._batch = batch
        self.begin = i
        self.end = min(len(batch), i + self.WINDOW)
        window = slice(i, self.end)
        used = {TRADE: 2, QUOTE: 4}.get(int(batch.kind[0]), 5)
        self.times = batch.ts[window].tolist()
        self.columns = [column[window].tolist() for column in batch.columns[:used]]
        if used == 5:
            self.columns.append(batch.start[window].tolist())


class EventRun:
    """Events [begin, end) of a uniform batch, heard one after the other without a step of Python in between.

    The handler is driven by C iterators over lists of the columns. Where in the run a call stands is read off
    the list iterator; to stop after the present event, the list that it walks over is emptied.
    """

    __slots__ = (
        "_batch",
        "_begin",
        "_end",
        "_lists",
        "_session",
        "_times",
        "_wakes",
        "_walker",
        "settled",
        "stopped",
        "stopped_at",
    )  # fmt: skip

    def __init__(self, session: Session, batch: Batch, wakes: Wakes, begin: int, end: int, lists: ColumnLists) -> None:
        self._session = session
        self._batch = batch
        self._wakes = wakes
        self._begin = begin
        self._end = end
        self._lists = lists
        self._times: list[int] = []
        self._walker = iter(self._times)
        self.settled = begin
        self.stopped = False
        self.stopped_at = begin

    def play(self, _: None) -> None:
        """Call the handler with every event, in order, until the end or until stopped."""
        batch, lists, handlers = self._batch, self._lists, self._session.handlers
        a, b = self._begin - lists.begin, self._end - lists.begin
        symbol = repeat(self._session.symbols[batch.instrument[0]])
        self._times = lists.times[a:b]
        self._walker = iter(self._times)
        columns = [column[a:b] for column in lists.columns]
        kind = int(batch.kind[0])
        if kind == TRADE:
            before = float(batch.columns[0][self._begin - 1]) if self._begin else self._wakes.before.price
            events: Iterator[Any] = map(Trade, symbol, self._walker, *columns, chain((before,), columns[0]))
            handler = handlers.trade
        elif kind == QUOTE:
            events = map(Quote, symbol, self._walker, *columns)
            handler = handlers.quote
        else:
            events = map(Bar, symbol, self._walker, *columns)
            handler = handlers.bar
        assert handler is not None, "a run has a handler"
        deque(map(handler, events), 0)

    def _at(self) -> int:
        """Index of the event that is being heard (the last one, when the run is over)."""
        if self.stopped:
            return self.stopped_at
        return max(self._begin, self._end - length_hint(self._walker) - 1)

    def now(self) -> int:
        """Time of the event that is being heard."""
        return int(self._batch.ts[self._at()])

    def stop(self) -> None:
        """Hear no event after the present one."""
        if not self.stopped:
            self.stopped_at = self._at()
            self.stopped = True
            self._times.clear()

    def settle(self) -> None:
        """Bring the real state up to the event that is being heard."""
        target = self._at() + 1
        if self.settled < target:
            self.settled, _ = self._session.broker.advance(self.settled, target, False)
            assert self.settled == target, "what was run ahead of can not stop the second time"
            if self._batch.kind[0] >= BAR:
                self._session.broker.close_group()
