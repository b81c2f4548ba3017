"""Snapshots and historical bars as a strategy gets them, from what TWS says. Pure.

The values are those of a backtest: a session's bar begins with its open, the present bar is as of now, and volumes are in
units. Ticks of volume come in round lots below server version 220, so a snapshot's volume is without odd lots there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from brokers.ib.intervals import DAY_NS, bar_end, bar_start, session_of
from brokers.ib.lines import real_price
from brokers.ib.records import NAN, HistoryBar
from papertape.core.model import Bar, SessionTimes
from papertape.core.requests import HistoryRequest, Snapshot

_PRICES: Mapping[int, str] = {1: "bid", 2: "ask", 4: "last", 66: "bid", 67: "ask", 68: "last"}
"""Tick type -> price of a snapshot; 66 and above are of delayed data."""
VOLUMES = frozenset({8, 74})
"""Tick types of the session's volume so far."""
TIMES = frozenset({45, 88})
"""Tick types of the last trade's time."""


class Prices:
    """What has come of a snapshot; NaN and 0 what has not. ``ts`` is the last trade's time in UTC ns."""

    __slots__ = ("ask", "bid", "last", "ts", "volume")

    def __init__(self) -> None:
        self.last = self.bid = self.ask = self.volume = NAN
        self.ts = 0

    def take_price(self, tick: int, price: float) -> bool:
        """Take in a price; whether it is one of a snapshot."""
        name = _PRICES.get(tick)
        if name is None:
            return False
        setattr(self, name, real_price(price))
        return True

    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        values = (self.last, self.bid, self.ask, self.volume)
        return self.ts > 0 and all(value == value for value in values)

    def is_known(self) -> bool:
        """Whether there is any price."""
        return any(value == value for value in (self.last, self.bid, self.ask))

    def snapshot(self, symbol: str, now: int) -> Snapshot:
        """The snapshot; without a trade its time is now."""
        return Snapshot(symbol, self.last, self.bid, self.ask, self.volume, self.ts or now)


def read_bars(
    symbol: str,
    request: HistoryRequest,
    records: Iterable[HistoryBar],
    calendar: SessionTimes,
    now: int,
    *,
    volume_unit: float = 1.0,
) -> list[Bar]:
    """Bars that begin within what was asked for (TWS gives whole days), oldest first; one that is not over ends now.

    ``volume_unit`` is what one of TWS's volumes is worth in units; negative ones are unknown. PeerError for a date that
    can not be read.
    """
    length = request.duration
    begin = now - length.ns
    if length.sessions:
        i = session_of(calendar, now)
        begin = calendar.open[max(0, i - length.sessions + 1)] if i >= 0 else now
    interval = request.bar.ns or DAY_NS * request.bar.sessions
    found: dict[int, Bar] = {}
    for each in records:
        start = bar_start(each.date_text, calendar)
        if begin <= start < now:
            end = min(bar_end(start, interval, calendar), now)
            volume = each.volume * volume_unit if each.volume >= 0.0 else NAN
            found[start] = Bar(symbol, end, each.open, each.high, each.low, each.close, volume, start)
    return [found[start] for start in sorted(found)]
