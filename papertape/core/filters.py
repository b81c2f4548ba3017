"""Filters: conditions on one instrument's own market data, evaluated over whole columns in compiled code.

A filter is part of a subscription's meaning: the strategy hears exactly the events for which it holds, in
every mode. Each is a function of an event and of the event before it of the same instrument and kind, since
the subscription began; the first event has nothing before it and never signals.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from papertape.core.blocks import BLOCK, block_extremes
from papertape.core.compiled import compiled, compiled_in_memory
from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S
from papertape.core.series import F8, I8, NO_BLOCKS, Blocks

Mask = NDArray[np.bool_]
FEW_HITS = 1_024
"""Hits in a batch that there is room for at first."""
_log = logging.getLogger("papertape")


class Before(NamedTuple):
    """The event before the first of a stretch: its time and price; NaN where there was none."""

    ts: int = 0
    price: float = math.nan


NOTHING_BEFORE = Before()


class Filter:
    """A condition; combine with ``&`` and ``|``."""

    __slots__ = ()

    def mask(self, ts: I8, price: F8, before: Before) -> Mask:
        """Where it holds: booleans of shape (n,) for events of one instrument, in order.

        ``price`` is a trade's price, a quote's mid or a bar's close.
        """
        raise AssertionError("a filter says where it holds")

    def hits(self, ts: I8, price: F8, before: Before, blocks: Blocks = NO_BLOCKS) -> NDArray[np.int64]:
        """Where it holds, as indices, ascending. ``blocks`` are those of ``price`` where they are known."""
        return np.flatnonzero(self.mask(ts, price, before))

    def __and__(self, other: Filter) -> Filter:
        return _Both(self, other)

    def __or__(self, other: Filter) -> Filter:
        return _Either(self, other)


class _Both(Filter):
    __slots__ = ("first", "second")

    def __init__(self, first: Filter, second: Filter) -> None:
        self.first = first
        self.second = second

    def mask(self, ts: I8, price: F8, before: Before) -> Mask:
        return self.first.mask(ts, price, before) & self.second.mask(ts, price, before)

    def __repr__(self) -> str:
        return f"({self.first} & {self.second})"


class _Either(_Both):
    __slots__ = ()

    def mask(self, ts: I8, price: F8, before: Before) -> Mask:
        return self.first.mask(ts, price, before) | self.second.mask(ts, price, before)

    def __repr__(self) -> str:
        return f"({self.first} | {self.second})"


@compiled
def _moved(price: F8, before: float, up: float, down: float, out: Mask) -> None:
    rise = 1.0 + up
    fall = 1.0 - down
    out[0] = (price[0] > before * rise) | (price[0] < before * fall)
    now = price[1:]
    previous = price[:-1]
    rest = out[1:]
    for i in range(len(now)):
        rest[i] = (now[i] > previous[i] * rise) | (now[i] < previous[i] * fall)


@compiled
def _moved_hits(price: F8, before: float, up: float, down: float, low: I8, high: I8, out: NDArray[np.int64]) -> int:
    """The same as indices, as many as ``out`` has room for; returns how many there are.

    A block whose highest price is not far enough above its lowest, its predecessor's last counted in, holds none:
    rounding keeps the order of products.
    """
    rise = 1.0 + up
    fall = 1.0 - down
    found = 0
    previous = before
    for begin in range(0, len(price), BLOCK):
        end = min(begin + BLOCK, len(price))
        lowest, highest = block_extremes(low, high, price, begin, end)
        first = previous
        previous = price[end - 1]
        least = min(np.int64(lowest).view(np.float64), first)
        most = max(np.int64(highest).view(np.float64), first)
        if lowest > 0 and most <= least * rise and least >= most * fall:
            continue
        for i in range(begin, end):
            if (price[i] > first * rise) | (price[i] < first * fall):
                if found < len(out):
                    out[found] = i
                found += 1
            first = price[i]
    return found


@compiled
def _crossed(price: F8, before: float, level: float, out: Mask) -> None:
    previous = before
    for i in range(len(price)):
        out[i] = ((previous < level) & (price[i] >= level)) | ((previous > level) & (price[i] <= level))
        previous = price[i]


@compiled
def _changed(price: F8, before: float, out: Mask) -> None:
    previous = before
    for i in range(len(price)):
        out[i] = (price[i] < previous) | (price[i] > previous)
        previous = price[i]


@compiled
def _every(ts: I8, before: int, interval: int, out: Mask) -> None:
    previous = before
    for i in range(len(ts)):
        out[i] = (previous != 0) & (ts[i] // interval != previous // interval)
        previous = ts[i]


class _Moved(Filter):
    __slots__ = ("down", "up")

    def __init__(self, up: float, down: float) -> None:
        self.up = up
        self.down = down

    def mask(self, ts: I8, price: F8, before: Before) -> Mask:
        out = np.empty(len(price), np.bool_)
        _moved(price, before.price, self.up, self.down, out)
        return out

    def hits(self, ts: I8, price: F8, before: Before, blocks: Blocks = NO_BLOCKS) -> NDArray[np.int64]:
        out = np.empty(FEW_HITS, np.int64)
        found = _moved_hits(price, before.price, self.up, self.down, *blocks, out)
        if found > len(out):
            out = np.empty(found, np.int64)
            _moved_hits(price, before.price, self.up, self.down, *blocks, out)
        return out[:found]

    def __repr__(self) -> str:
        return f"moved(up={self.up}, down={self.down})"


class _Crossed(Filter):
    __slots__ = ("level",)

    def __init__(self, level: float) -> None:
        self.level = level

    def mask(self, ts: I8, price: F8, before: Before) -> Mask:
        out = np.empty(len(price), np.bool_)
        _crossed(price, before.price, self.level, out)
        return out

    def __repr__(self) -> str:
        return f"crossed({self.level})"


class _Changed(Filter):
    __slots__ = ()

    def mask(self, ts: I8, price: F8, before: Before) -> Mask:
        out = np.empty(len(price), np.bool_)
        _changed(price, before.price, out)
        return out

    def __repr__(self) -> str:
        return "changed()"


class _Every(Filter):
    __slots__ = ("interval_ns",)

    def __init__(self, interval_ns: int) -> None:
        self.interval_ns = interval_ns

    def mask(self, ts: I8, price: F8, before: Before) -> Mask:
        out = np.empty(len(price), np.bool_)
        _every(ts, before.ts, self.interval_ns, out)
        return out

    def __repr__(self) -> str:
        return f"every({self.interval_ns / NS_PER_S:g})"


class _Custom(Filter):
    """A user's own function of (price, previous price, ts, previous ts), compiled where that is possible."""

    __slots__ = ("_loop", "function", "is_compiled")

    def __init__(self, function: Callable[[float, float, int, int], bool]) -> None:
        self.function = function
        self._loop, self.is_compiled = _compile_loop(function)

    def mask(self, ts: I8, price: F8, before: Before) -> Mask:
        out = np.empty(len(price), np.bool_)
        self._loop(ts, price, before.ts, before.price, out)
        return out

    def __repr__(self) -> str:
        return f"condition({getattr(self.function, '__name__', 'function')})"


def _compile_loop(function: Callable[..., Any]) -> tuple[Callable[..., None], bool]:
    """A loop over columns around a user's function: compiled in memory, or in Python where Numba refuses it."""

    def loop_around(rule: Callable[..., Any]) -> Callable[..., None]:
        def loop(ts: I8, price: F8, before_ts: int, before_price: float, out: Mask) -> None:
            previous_ts = before_ts
            previous = before_price
            for i in range(len(price)):
                out[i] = previous_ts != 0 and bool(rule(price[i], previous, ts[i], previous_ts))
                previous_ts = ts[i]
                previous = price[i]

        return loop

    from numba.core.errors import NumbaError

    fast = compiled_in_memory(loop_around(compiled_in_memory(function)))
    try:
        fast(np.array([1, 2]), np.array([1.0, 2.0]), 0, math.nan, np.empty(2, np.bool_))
    except NumbaError as error:
        name = getattr(function, "__name__", "a filter")
        first_line = str(error).strip().splitlines()[0]
        _log.warning("%s can not be compiled (%s); it runs as Python, some 100 times slower", name, first_line)
        return loop_around(function), False
    return fast, True


def _fraction(name: str, value: float) -> float:
    if not (0.0 < value < math.inf):
        raise ConfigError(f"moved({name}={value}): a fraction of the previous price above 0 is needed, as 0.05 for 5 %")
    return float(value)


def moved(up: float, down: float | None = None) -> Filter:
    """Price rose by more than the fraction ``up``, or fell by more than ``down`` (default: the same), at once.

    Against the instrument's previous event: 0.05 is five per cent. Strictly more.
    """
    fall = up if down is None else down
    if fall >= 1.0:
        raise ConfigError(f"moved(down={fall}): a price can not fall by 100 % or more; 0.05 is five per cent")
    return _Moved(_fraction("up", up), _fraction("down", fall))


def crossed(level: float) -> Filter:
    """Price went from one side of ``level`` to the level itself or beyond."""
    if not math.isfinite(level):
        raise ConfigError(f"crossed({level}): a price is needed")
    return _Crossed(float(level))


def changed() -> Filter:
    """Price differs from the previous event's."""
    return _Changed()


def every(seconds: float) -> Filter:
    """The first event in each interval of ``seconds`` (aligned to the epoch) in which there is one, but the first."""
    if not 1e-9 <= seconds < math.inf:
        raise ConfigError(f"every({seconds}): the interval is in seconds and at least a nanosecond")
    return _Every(round(seconds * NS_PER_S))


def condition(function: Callable[[float, float, int, int], bool]) -> Filter:
    """Your own filter: a function of (price, previous price, ts, previous ts) that says whether to be woken.

    It is compiled with Numba where it can be; otherwise it runs as Python, and says so once.
    """
    if len(inspect.signature(function).parameters) != 4:
        raise ConfigError("condition(): the function takes (price, previous_price, ts, previous_ts)")
    return _Custom(function)
