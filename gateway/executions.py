"""Executions of the account: ids, corrections, and which of them a filter asks for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from gateway.order_terms import moment, wire_time
from gateway.protocol.contract import Contract
from gateway.protocol.replies import Commission, Execution
from gateway.protocol.requests import ExecutionFilter
from papertape.core.model import NS_PER_S

DAYS_KEPT = 7
"""TWS answers for at most so many days back."""
MOST_KEPT = 100_000
"""Executions that are remembered; the oldest are forgotten first."""


def exec_id(serial: int, revision: int = 1) -> str:
    """Like ``0000e0d5.6890c1ab.01.02``: the account's number of the execution, and last its revision."""
    return f"{0xE0D5:08x}.{serial:08x}.01.{revision:02d}"


@dataclass(frozen=True, slots=True)
class Fill:
    """An execution as the account keeps it: times in UTC ns, ``signed`` positive for a purchase.

    ``serial`` numbers the account's executions, ``revision`` counts from 1: a correction has the same serial and the
    next revision. A bust is a revision with no quantity.
    """

    serial: int
    revision: int
    ts: int
    instrument: int
    signed: float
    price: float
    fee: float
    realised: float
    currency: str
    order_id: int
    client_id: int
    perm_id: int
    cumulative: float
    average_price: float
    order_ref: str
    liquidity: int

    @property
    def exec_id(self) -> str:
        """Its id; a correction has the same but for the last part."""
        return exec_id(self.serial, self.revision)

    @property
    def previous_id(self) -> str:
        """Id of the revision before it."""
        return exec_id(self.serial, self.revision - 1)

    def execution(self, request: int, contract: Contract, account: str, zone: str, version: int) -> Execution:
        """The message about it."""
        return Execution(
            request=request, order_id=self.order_id, contract=contract, exec_id=self.exec_id,
            time=wire_time(self.ts, zone, version), account=account,
            exchange=contract.primary_exchange or contract.exchange, side="BOT" if self.signed >= 0.0 else "SLD",
            shares=abs(self.signed), price=self.price, perm_id=self.perm_id, client_id=self.client_id,
            cumulative=self.cumulative, average_price=self.average_price, order_ref=self.order_ref,
            liquidity=self.liquidity,
        )  # fmt: skip

    def commission(self) -> Commission:
        """What it cost."""
        return Commission(self.exec_id, self.fee, self.currency, self.realised)


class Executions:
    """All executions that are remembered, in order of their numbers; of each the latest revision."""

    def __init__(self, account: str, zone: str) -> None:
        self._account = account
        self._zone = zone
        self._fills: dict[int, Fill] = {}
        self.last_serial = 0

    def add(self, fill: Fill) -> None:
        """Keep an execution, or a later revision of one."""
        self._fills[fill.serial] = fill
        self.last_serial = max(self.last_serial, fill.serial)
        while len(self._fills) > MOST_KEPT:
            del self._fills[next(iter(self._fills))]

    def revised(self, serial: int, **changes: float) -> Fill:
        """The next revision of an execution, with changes; it is kept."""
        old = self._fills[serial]
        fill = replace(old, revision=old.revision + 1, **changes)  # type: ignore[arg-type]
        self.add(fill)
        return fill

    def get(self, serial: int) -> Fill:
        """The latest revision of an execution."""
        return self._fills[serial]

    def __iter__(self) -> Iterator[Fill]:
        return iter(self._fills.values())

    def matching(self, wanted: ExecutionFilter, wire: Callable[[int], Contract], now: int) -> list[Fill]:
        """What a filter asks for. Without days of its own that is today's, from midnight in TWS's zone."""
        since, days = self._window(wanted, now)
        side = {"BUY": 1, "BOT": 1, "SELL": -1, "SLD": -1, "SSHORT": -1}.get(wanted.side.upper(), 0)
        zone = ZoneInfo(self._zone)
        found: list[Fill] = []
        for fill in self._fills.values():
            contract = wire(fill.instrument)
            day = int(f"{dt.datetime.fromtimestamp(fill.ts // NS_PER_S, zone):%Y%m%d}")
            if (
                fill.ts >= since
                and (not days or day in days)
                and (not wanted.client_id or fill.client_id == wanted.client_id)
                and (not wanted.account or wanted.account == self._account)
                and (not wanted.symbol or wanted.symbol == contract.symbol)
                and (not wanted.type or wanted.type == contract.type)
                and (not wanted.exchange or wanted.exchange in (contract.exchange, contract.primary_exchange))
                and (not side or fill.signed * side > 0.0)
            ):
                found.append(fill)
        return found

    def _window(self, wanted: ExecutionFilter, now: int) -> tuple[int, frozenset[int]]:
        """(earliest time, days or none): days given one by one or as a number of last days replace today."""
        zone = ZoneInfo(self._zone)
        today = dt.datetime.fromtimestamp(now // NS_PER_S, zone).replace(hour=0, minute=0, second=0)
        since = moment(wanted.time, self._zone) if wanted.time else 0
        if wanted.dates:
            return since, frozenset(wanted.dates)
        back = min(max(0, (wanted.last_days or 1) - 1), DAYS_KEPT - 1)
        midnight = today - dt.timedelta(days=back)
        return max(since, int(midnight.timestamp()) * NS_PER_S), frozenset()
