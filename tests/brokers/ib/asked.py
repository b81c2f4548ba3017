"""Market data and queries with nobody at the other end: what they send and emit is kept."""

from __future__ import annotations

import itertools
from typing import Any

from brokers.ib.bars import BarSettings
from brokers.ib.commands import Command
from brokers.ib.events import Event
from brokers.ib.lines import LineSettings
from brokers.ib.market import MarketData, MarketSettings
from brokers.ib.queries import Queries, QuerySettings
from brokers.ib.records import Connected, NextValidId, Record
from brokers.ib.registry import Registry
from papertape.calendar import session_times
from papertape.core.model import NS_PER_S, Instrument, SessionTimes
from tests.gateway.june import at

NOW = at(4, "10:00:00")


def calendar() -> SessionTimes:
    """The sessions around the first week of June 2024."""
    return session_times("XNYS", at(1, "0:00:00"), at(12, "0:00:00"))


class Asked:
    """MarketData and Queries over some stocks, connected at server version 200 unless told otherwise."""

    def __init__(
        self,
        *symbols: str,
        version: int = 200,
        in_lockstep: bool = False,
        queries: QuerySettings | None = None,
        **settings: Any,
    ) -> None:
        self.registry = Registry()
        for symbol in symbols or ("AAA", "BBB", "CCC", "DDD"):
            self.registry.add(Instrument(symbol))
        self.sent: list[Command] = []
        self.events: list[Event] = []
        ids = itertools.count(1)
        lines = LineSettings(image_s=0.0) if in_lockstep else LineSettings()
        bars = BarSettings(grace_s=0.0) if in_lockstep else BarSettings()
        chosen = MarketSettings(calendar(), lines=lines, bars=bars, **settings)
        send, emit = self.sent.append, self.events.append
        self.market = MarketData(chosen, self.registry, send, emit, lambda: next(ids))
        self.queries = Queries(
            self.registry, send=send, emit=emit, next_id=lambda: next(ids), calendar=chosen.calendar,
            history=self.market.history, settings=queries,
        )  # fmt: skip
        self.now = NOW
        if version:
            self.connect(version)

    def connect(self, version: int = 200) -> None:
        """A connection is made, and ready."""
        self.tell(Connected(version, ""), NextValidId(1))
        self.market.resubscribe(self.now)
        self.settle()

    def tell(self, *records: Record) -> None:
        """TWS says something."""
        for record in records:
            if not self.market.receive(record, self.now):
                self.queries.receive(record, self.now)

    def settle(self) -> None:
        """Nothing more was read."""
        self.market.pass_time(self.now)
        self.queries.pass_time(self.now)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += round(seconds * NS_PER_S)
        self.settle()

    def until(self, seconds: float) -> None:
        """Time comes to so many seconds after ten o'clock."""
        self.now = NOW + round(seconds * NS_PER_S)
        self.settle()

    def take(self) -> list[Any]:
        """Events since the last look."""
        found = self.events[:]
        self.events.clear()
        return found

    def taken(self, *kinds: type) -> list[Any]:
        """Events of some kinds since the last look."""
        return [event for event in self.take() if isinstance(event, kinds)]

    def commands(self) -> list[Any]:
        """Commands since the last look."""
        found = self.sent[:]
        self.sent.clear()
        return found
