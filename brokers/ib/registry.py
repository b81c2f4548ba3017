"""The instruments of a live run: a list that only grows. What is at an index stays there, on both sides of the queues."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

from papertape.core.errors import UserError
from papertape.core.model import Instrument, InstrumentType

MOST_INSTRUMENTS = 1024
"""Instruments that a live run can use; its arrays are made for so many."""

_USUAL_STEP = Instrument("").tick_size
"""Step of an instrument that none was given for."""


class Registry:
    """Index -> instrument and contract id, symbol -> index. Adding is the only change, and is safe from any thread."""

    def __init__(self, most: int = MOST_INSTRUMENTS) -> None:
        self.instruments: list[Instrument] = []
        self.symbols: list[str] = []
        self.con_ids: list[int] = []
        """What TWS calls each; 0 where it has not said so yet."""
        self.min_ticks: list[float] = []
        """The price step that TWS says each has; NaN where it has not said so yet."""
        self.index: dict[str, int] = {}
        self.most = most
        self.currencies: frozenset[str] = frozenset()
        """Currencies that the run keeps books in; empty: any."""
        self._lock = threading.Lock()

    def add(self, instrument: Instrument, con_id: int = 0) -> tuple[int, bool]:
        """The index of an instrument, and whether it is new. UserError where a run can hold no more, or not this."""
        with self._lock:
            known = self.index.get(instrument.symbol)
            if known is not None:
                if con_id and not self.con_ids[known]:
                    self.con_ids[known] = con_id
                return known, False
            j = len(self.instruments)
            if self.currencies and instrument.currency not in self.currencies:
                raise UserError(f"{instrument.symbol} is in {instrument.currency}, in which this run keeps no books")
            if j >= self.most:
                raise UserError(f"more than {self.most} instruments in one run; follow fewer symbols")
            self.instruments.append(instrument)
            self.symbols.append(instrument.symbol)
            self.con_ids.append(con_id)
            self.min_ticks.append(math.nan)
            self.index[instrument.symbol] = j
            return j, True

    def by_con_id(self, con_id: int) -> int | None:
        """Index of the instrument that TWS calls so; None where the run has none."""
        return self.con_ids.index(con_id) if con_id and con_id in self.con_ids else None

    def define(self, j: int, con_id: int, min_tick: float) -> None:
        """TWS has defined an instrument."""
        with self._lock:
            self.con_ids[j] = self.con_ids[j] or con_id
            self.min_ticks[j] = min_tick

    def price_step(self, j: int) -> float:
        """The price step of an instrument's orders; NaN where it is not known.

        TWS's own, but of a stock never a finer one than was given: TWS names the finest there is, which holds below a
        price of 1 only. What was not given and TWS has not told is unknown for all but stocks.
        """
        given, told = self.instruments[j], self.min_ticks[j]
        if given.type is InstrumentType.STOCK:
            return max(given.tick_size, told) if told > 0.0 else given.tick_size
        if told > 0.0:
            return told
        return given.tick_size if given.tick_size != _USUAL_STEP else math.nan

    def __len__(self) -> int:
        return len(self.instruments)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self.instruments)
