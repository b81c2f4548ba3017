"""A backtrader store over a papertape run: what strategies written for backtrader hear of the way to the broker.

The run is whoever plays it: a recorded tape, the simulated gateway, TWS. Times in backtrader's lines are the exchange's
wall clock without a zone, as in a file of local times, so that what a strategy compares with ``datetime.time(15, 55)``
means what it says.
"""

from __future__ import annotations

import array
import datetime as dt
import math
from collections.abc import Sequence
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import backtrader as bt
import numpy as np
import pandas as pd

from papertape.core.model import NS_PER_S
from papertape.core.orders import OrderRequest
from papertape.core.series import F8, I8

DAY_NS = 86_400 * NS_PER_S
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()
_SCALES = ((24.0, 3_600 * NS_PER_S), (1_440.0, 60 * NS_PER_S), (86_400.0, NS_PER_S), (86_400e6, 1_000))
"""Parts of a day that backtrader adds up -> how many make one, and their length (ns)."""


class Host(Protocol):
    """The run, as store, broker and data need it."""

    @property
    def now(self) -> int:
        """Time of what is being heard (UTC ns)."""

    def proceed(self) -> None:
        """Let the run go on until it has something to tell."""

    def submit(self, request: OrderRequest) -> tuple[int, str]:
        """Give an order; its number, or 0 and why it was refused."""

    def next_round(self) -> None:
        """Cerebro has come to a new bar."""

    def fee(self, number: int) -> float:
        """What an order has cost so far."""

    def is_accepted(self, number: int) -> bool:
        """Whether the broker has an order already."""

    def cancel(self, number: int) -> None:
        """Ask for an order's end."""

    def new_group(self) -> int:
        """A new one-cancels-other group."""

    def instrument_index(self, symbol: str) -> int:
        """Index of an instrument within the run."""

    def multiplier(self, symbol: str) -> float:
        """Units of currency that one point of price is worth for a quantity of one."""

    def cash(self) -> float:
        """All cash, in base currency."""

    def value(self) -> float:
        """Net liquidation, in base currency."""

    def held(self, symbol: str) -> tuple[float, float]:
        """Signed quantity held and its average cost."""

    def say(self, text: str) -> None:
        """Something for the run's log."""

    def note(self, code: str, text: str) -> None:
        """Something that whoever reads the run should know; once for each code."""


class WallClock:
    """Between UTC nanoseconds and backtrader's numbers: days since year 1, of the exchange's wall clock."""

    def __init__(self, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self._hour = -1
        self._offset_ns = 0

    def number(self, ts: int) -> float:
        """A time as backtrader writes it; to the microsecond, as its own conversion makes it."""
        hour, _ = divmod(ts, 900 * NS_PER_S)  # offsets change at quarters of an hour at most
        if hour != self._hour:
            self._hour = hour
            offset = dt.datetime.fromtimestamp(ts // NS_PER_S, self.zone).utcoffset()
            assert offset is not None, "a zone has an offset"
            self._offset_ns = round(offset.total_seconds()) * NS_PER_S
        day, rest = divmod(ts + self._offset_ns, DAY_NS)
        return math.fsum((_EPOCH_DAY + day, *_parts(rest)))

    def numbers(self, ts: I8) -> F8:
        """The same of many times."""
        local = pd.DatetimeIndex(ts, tz="UTC").tz_convert(self.zone).tz_localize(None).as_unit("ns").asi8
        day, rest = np.divmod(local, DAY_NS)
        times, where = np.unique(rest, return_inverse=True)
        # Rounding a day's fraction does not depend on the day: all days of 1436 to 2869 have one spacing of floats.
        base = float(2**19)
        fractions = np.array([math.fsum((base, *_parts(each))) - base for each in times.tolist()])
        numbers: F8 = (_EPOCH_DAY + day).astype(np.float64) + fractions[where]
        return numbers

    def instant(self, number: float) -> int:
        """UTC nanoseconds of one of backtrader's numbers."""
        return self.of_datetime(bt.num2date(number))

    def of_datetime(self, moment: dt.datetime) -> int:
        """UTC nanoseconds of a datetime; one without a zone is the exchange's wall clock."""
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=self.zone)
        whole = aware.replace(microsecond=0)
        return round(whole.timestamp()) * NS_PER_S + aware.microsecond * 1_000

    def time_of_day(self, ts: int) -> dt.time:
        """The wall clock's time of day."""
        return dt.datetime.fromtimestamp(ts // NS_PER_S, self.zone).time()


def _parts(rest: int) -> list[float]:
    parts = []
    for scale, length in _SCALES:
        count, rest = divmod(rest, length)
        parts.append(count / scale)
    return parts


def plain(quantity: float) -> float:
    """Whole quantities as integers, which is how backtrader's users know them."""
    return int(quantity) if quantity == int(quantity) else quantity


def timeframe_of(interval_ns: int | None) -> tuple[int, int]:
    """Backtrader's timeframe and compression of bars of an interval (None: trades)."""
    if interval_ns is None:
        return bt.TimeFrame.Ticks, 1
    for timeframe, length in (
        (bt.TimeFrame.Days, DAY_NS),
        (bt.TimeFrame.Minutes, 60 * NS_PER_S),
        (bt.TimeFrame.Seconds, NS_PER_S),
    ):
        if interval_ns % length == 0:
            return timeframe, interval_ns // length
    return bt.TimeFrame.MicroSeconds, interval_ns // 1_000


class _EachItsOwn(type(bt.Store)):  # type: ignore[misc]  # backtrader's metaclasses have no types
    """Backtrader keeps one store of a class for a whole process; here each run has its own."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        cls._singleton = None
        made = super().__call__(*args, **kwargs)
        cls._singleton = None
        return made


class PapertapeStore(bt.Store, metaclass=_EachItsOwn):
    """Where a strategy's notifications of the connection come from.

    Cerebro asks it for notifications once a round before it looks for data: that is where it waits for the run.
    """

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host
        self.ended = False
        self.waits = True
        """Whether the run goes on when Cerebro asks for news; not where the bars are known beforehand."""
        self.start()

    def get_notifications(self) -> list[Any]:
        """What is to be told now; while there is nothing to do, the run goes on."""
        if self.waits and not self.ended and not self.has_work():
            self.host.proceed()
        return list(super().get_notifications())

    def has_work(self) -> bool:
        """Whether there is anything that the strategy has not been told."""
        datas: Sequence[Any] = self.datas
        return bool(self.notifs or (self.broker and self.broker.notifs) or any(data.has_work for data in datas))


def lines_of(columns: Sequence[F8]) -> list[array.array[float]]:
    """Columns as backtrader's lines keep them."""
    made = []
    for column in columns:
        line = array.array("d")
        line.frombytes(np.ascontiguousarray(column, np.float64).tobytes())
        made.append(line)
    return made
