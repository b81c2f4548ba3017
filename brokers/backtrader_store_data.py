"""Market data of a papertape run as backtrader's data feeds: columns that are known whole, or bars and trades as they come."""

from __future__ import annotations

import datetime as dt
from collections import deque

import backtrader as bt
import numpy as np

from brokers.backtrader_store import PapertapeStore, WallClock, lines_of
from papertape.core.model import SessionTimes
from papertape.core.series import F8

Row = tuple[float, float, float, float, float, float]
"""Backtrader's time, open, high, low, close, volume."""
_COLUMNS = ("datetime", "open", "high", "low", "close", "volume")


def session_of(calendar: SessionTimes, clock: WallClock, at: int) -> tuple[dt.time, dt.time]:
    """Wall clock times at which the session at a time, or the next one, opens and closes."""
    k = min(int(np.searchsorted(calendar.close, at)), len(calendar.close) - 1)
    return clock.time_of_day(calendar.open[k]), clock.time_of_day(calendar.close[k])


class _PapertapeData(bt.feed.DataBase):
    """What both kinds have in common. ``dataname`` is the symbol."""

    @property
    def has_work(self) -> bool:
        """Whether Cerebro has to look at it."""
        return False

    def start(self) -> None:
        """Be made known to the store."""
        super().start()
        if self._store is not None:
            self._store.start(data=self)


class RecordedData(_PapertapeData):
    """Bars of a tape, preloaded as columns, so that indicators are computed over all of them at once."""

    columns: tuple[F8, ...] = ()
    """Time, open, high, low, close, volume."""
    past = 0
    """How many of the first are of the time before the run."""

    def preload(self) -> None:
        """Have the lines hold the columns, and stand before the first bar."""
        for name, line in zip(_COLUMNS, lines_of(self.columns), strict=True):
            getattr(self.lines, name).array = line
        empty = np.zeros(len(self.columns[0]))
        self.lines.openinterest.array = lines_of([empty])[0]
        self.home()


class LiveData(_PapertapeData):
    """Bars, or trades, as the run tells of them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: deque[tuple[bool, Row]] = deque()
        """What waits, and whether it is of now rather than of the past."""
        self.ended = False
        self.is_cut = False
        """Whether the connection is not what it should be: what comes meanwhile is not called live."""
        self.is_late = False
        """Whether what the broker delivers is delayed, so that nothing of it is live."""

    @property
    def has_work(self) -> bool:
        """Whether Cerebro has to look at it."""
        return bool(self.rows or self.notifs)

    def islive(self) -> bool:
        """It comes bar by bar."""
        return True

    def haslivedata(self) -> bool:
        """Whether a bar waits."""
        return bool(self.rows)

    def _load(self) -> bool | None:
        """The next bar; None where there is none yet, False where there will be none."""
        if not self.rows:
            return False if self.ended else None
        is_live, row = self.rows.popleft()
        is_live = is_live and not self.is_late and not self.is_cut
        if is_live or self._laststatus == self.LIVE:
            self.put_notification(self.LIVE if is_live else self.DELAYED)
        for name, value in zip(_COLUMNS, row, strict=True):
            getattr(self.lines, name)[0] = value
        self.lines.openinterest[0] = 0.0
        return True


PapertapeStore.DataCls = LiveData
