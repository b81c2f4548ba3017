"""What a run says of itself, on its way into the journal and back: log, series, guard events, scans, equity, decisions.

None of it is needed to trade on; all of it is needed for the record of a run that was killed and resumed. It is
written every few seconds, and soon after an order: what was said since then is lost with a kill.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

from brokers.ib.broker import IbBroker
from papertape.core.marking import position_value, set_value
from papertape.core.model import NS_PER_S, Note
from papertape.core.session import Session
from papertape.journal import MemoryJournal
from papertape.live.entries import Said

SAY_EVERY_NS = 5 * NS_PER_S
SAY_AFTER_ORDER_NS = NS_PER_S // 4
"""The same while there are orders since: why they were given should outlive the process as they do."""
MOST_AT_ONCE = 5_000
"""Items of each list in one entry; what is more comes with the next."""

_FLOATS = ("peak", "depth", "deep_peak", "deep_trough", "open_last", "open_low", "open_high")
_TIMES = (
    "peak_ts", "deep_peak_ts", "deep_trough_ts", "recovery_ts", "bucket_ns", "bucket_end", "buckets", "open_ts",
)  # fmt: skip
_KEPT_DECISIONS = frozenset({"refused", "reply"})
"""Decisions that are in no other entry: orders, cancels, changes and trips are."""

_REPLAYED = frozenset({"trip", "cancelled", "flattened", "reset"})
"""Guard events that other entries of the journal tell as well."""

T = TypeVar("T")


class Sayings:
    """Collects what is new on the strategy side, and restores it. For the strategy's thread."""

    def __init__(self, session: Session, broker: IbBroker, memory: MemoryJournal) -> None:
        self._session = session
        self._broker = broker
        self._memory = memory
        self._said = dict.fromkeys(("log", "guard", "scans", "daily", "fills", "decisions"), 0)
        self._custom: dict[str, int] = {}
        self._notes: dict[str, Note] = {}
        self._bucket = 0
        self._width = 0
        self._open_ts = 0
        self._at = 0
        self._orders = 0

    # -- into the journal ---------------------------------------------------------------------------------------

    def due(self, now: int) -> bool:
        """Whether it is time to say what is new (``now`` in UTC ns)."""
        orders = len(self._session.desk.book)
        if now - self._at < (SAY_EVERY_NS if orders == self._orders else SAY_AFTER_ORDER_NS):
            return False
        self._at, self._orders = now, orders
        return True

    def collect(self, events: int, began: int) -> Said | None:
        """What is new since the last call, at most so much of it; None where nothing is."""
        log = self._session.log
        account = self._session.state.account[0]
        said = Said(
            log=self._new("log", log.lines),
            custom=self._new_values(),
            guard=self._new("guard", log.guard),
            scans=self._new("scans", log.scans),
            daily=self._new("daily", log.daily),
            notes=self._new_notes(),
            first_bucket=0 if int(account["bucket_ns"]) != self._width else self._bucket,
            buckets=self._new_buckets(),
            marks={name: float(account[name]) for name in _FLOATS},
            times={name: int(account[name]) for name in _TIMES},
            events=events,
            began=began,
            fills=self._new_fills(),
            prices=self._prices(),
            decisions=self._new_decisions(),
        )
        is_marked = int(account["open_ts"]) != self._open_ts
        self._open_ts = int(account["open_ts"])
        lists = (
            said.log, said.custom, said.guard, said.scans, said.daily, said.notes, said.buckets, said.fills,
            said.decisions,
        )  # fmt: skip
        return said if is_marked or any(lists) else None

    def _new(self, name: str, items: Sequence[T]) -> list[T]:
        first = self._said[name]
        found = list(items[first : first + MOST_AT_ONCE])
        self._said[name] = first + len(found)
        return found

    def _new_values(self) -> dict[str, list[tuple[int, float]]]:
        found = {}
        for name, series in self._session.log.custom.items():
            first = self._custom.get(name, 0)
            values = series[first : first + MOST_AT_ONCE]
            if values:
                found[name] = values
                self._custom[name] = first + len(values)
        return found

    def _new_notes(self) -> list[Note]:
        notes = self._session.log.notes
        found = [note for code, note in notes.items() if self._notes.get(code) != note]
        self._notes.update((note.code, note) for note in found)
        return found

    def _new_buckets(self) -> list[tuple[int, float, float, float]]:
        """Rows of the equity series; all of them where the buckets were widened, which changes each."""
        state = self._session.state
        account = state.account[0]
        if int(account["bucket_ns"]) != self._width:
            self._width, self._bucket = int(account["bucket_ns"]), 0
        rows = state.buckets[self._bucket : int(account["buckets"])]
        self._bucket = int(account["buckets"])
        return [(int(x["ts"]), float(x["last"]), float(x["low"]), float(x["high"])) for x in rows]

    def _new_fills(self) -> list[tuple[str, float, float, float]]:
        """What was known of the market when a fill came: extremes since the one before, and equity after it."""
        reports = self._session.state.reports
        booked = self._broker.booked
        first = self._said["fills"]
        found = []
        for exec_id, at in itertools.islice(booked.items(), first, first + MOST_AT_ONCE):
            x = reports[at]
            found.append((exec_id, float(x["low"]), float(x["high"]), float(x["equity"])))
        self._said["fills"] = first + len(found)
        return found

    def _prices(self) -> dict[int, float]:
        records = self._session.state.instruments
        n = len(self._session.symbols)
        return {j: float(records["mark"][j]) for j in range(n) if records["quantity"][j] != 0.0}

    def _new_decisions(self) -> list[list[Any]]:
        lines, behind = self._memory.plain_since(self._said["decisions"], MOST_AT_ONCE, _KEPT_DECISIONS)
        self._said["decisions"] = behind
        return lines

    # -- and back -----------------------------------------------------------------------------------------------

    def restore(self, said: Said) -> None:
        """Take in what was said by a process before this one."""
        log = self._session.log
        log.lines += said.log
        for name, values in said.custom.items():
            log.custom.setdefault(name, []).extend(values)
        known = {(each.kind, each.rule, each.text) for each in log.guard if each.kind in _REPLAYED}
        log.guard += [each for each in said.guard if (each.kind, each.rule, each.text) not in known]
        log.scans += said.scans
        log.daily += said.daily
        log.notes.update((note.code, note) for note in said.notes)
        self._restore_equity(said)
        self._restore_fills(said)
        for line in said.decisions:
            self._memory.write(tuple(line))

    def _restore_equity(self, said: Said) -> None:
        state = self._session.state
        for row, values in enumerate(said.buckets, said.first_bucket):
            state.buckets[row] = values
        account = state.account[0]
        for name, value in {**said.marks, **said.times}.items():
            account[name] = value
        for j, price in said.prices.items():
            record = state.instruments[j]
            if record["quantity"] != 0.0 and price == price:
                record["mark"] = price
                set_value(state.tree, j, position_value(record, price))
        account["equity"] = account["cash"] + state.tree[1]

    def _restore_fills(self, said: Said) -> None:
        booked = self._broker.booked
        for exec_id, low, high, equity in said.fills:
            at = booked.get(exec_id)
            if at is not None:
                x = self._session.state.reports[at]
                x["low"], x["high"], x["equity"] = low, high, equity

    def skip(self) -> None:
        """What is there now was said before: only what comes is new."""
        log = self._session.log
        self._orders = len(self._session.desk.book)
        self._said.update(
            log=len(log.lines), guard=len(log.guard), scans=len(log.scans), daily=len(log.daily),
            fills=len(self._broker.booked), decisions=len(self._memory),
        )  # fmt: skip
        self._custom = {name: len(series) for name, series in log.custom.items()}
        self._notes = dict(log.notes)
        account = self._session.state.account[0]
        self._bucket, self._width = int(account["buckets"]), int(account["bucket_ns"])
        self._open_ts = int(account["open_ts"])
