"""The account as TWS tells of it: values per currency, portfolio, positions, P&L, and what of it is expected.

Account values are a cross-check only: TWS refreshes them every three minutes unless a position changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from brokers.ib.order_entries import DUST, Difference
from brokers.ib.records import (
    AccountEnd,
    AccountPnl,
    AccountTime,
    AccountValue,
    ContractRecord,
    PortfolioItem,
    PositionItem,
    PositionsEnd,
    Record,
)

BASE = "BASE"


class IbAccount:
    """One account. Numbers that TWS has not told are NaN.

    ``history`` holds, whenever the portfolio changed, (time, net liquidation, sum of position values), the time being
    that of the record (UTC ns); the first values of a download are not in it.
    """

    MOST_HISTORY = 100_000

    def __init__(self) -> None:
        self.id = ""
        self.values: dict[tuple[str, str], str] = {}
        """(key, currency) -> value as TWS wrote it."""
        self.portfolio: dict[int, PortfolioItem] = {}
        """Contract id -> position with its value."""
        self.positions: dict[int, PositionItem] = {}
        self.time_text = ""
        self.pnl = AccountPnl(0, math.nan, math.nan, math.nan)
        self.is_complete = False
        self.starting_stock_value = math.nan
        """Stock market value at the end of the first complete download."""
        self.history: list[tuple[int, float, float]] = []
        self._expected: dict[int, float] = {}
        self._contracts: dict[int, ContractRecord] = {}
        self._has_expected = False
        self._are_told = False
        self._unlike: dict[int, int] = {}
        """Contracts whose position is not what is expected, and since when."""
        self.cash_told: dict[str, int] = {}
        """Currency -> when TWS last said how much cash there is of it."""
        self.now = 0
        self._known: tuple[str, dict[str, float], dict[str, float]] | None = None
        """Base currency, cash and rates of :attr:`values`, which are asked for much more often than they change."""

    # -- what is known ----------------------------------------------------------------------------------------

    def number(self, key: str, currency: str = "") -> float:
        """A value as a number: of a currency, or (empty) of whichever it was told in."""
        if currency:
            return _number(self.values.get((key, currency), ""))
        found = [value for (name, _), value in self.values.items() if name == key]
        return _number(found[0]) if found else math.nan

    @property
    def base(self) -> str:
        """The base currency: that of net liquidation; empty while unknown."""
        return self._read_values()[0]

    @property
    def cash(self) -> dict[str, float]:
        """Total cash balance by currency; a new dict when something of it changes."""
        return self._read_values()[1]

    @property
    def rates(self) -> dict[str, float]:
        """Base currency per unit of each currency; a new dict when something of it changes."""
        return self._read_values()[2]

    def _read_values(self) -> tuple[str, dict[str, float], dict[str, float]]:
        if self._known is None:
            base = next((currency for key, currency in self.values if key == "NetLiquidation" and currency != BASE), "")
            self._known = base, self._by_currency("TotalCashBalance"), self._by_currency("ExchangeRate")
        return self._known

    def _by_currency(self, wanted: str) -> dict[str, float]:
        return {
            currency: _number(value)
            for (key, currency), value in self.values.items()
            if key == wanted and currency != BASE
        }

    @property
    def net_liquidation(self) -> float:
        """Net liquidation in base currency, as TWS last said."""
        return self.number("NetLiquidation")

    @property
    def stock_value(self) -> float:
        """Sum of position values in base currency; positions in other currencies at TWS's rates."""
        rates = self.rates
        total = 0.0
        for item in self.portfolio.values():
            total += item.value * rates.get(
                item.contract.currency, 1.0 if item.contract.currency == self.base else math.nan
            )
        return total

    # -- from TWS ---------------------------------------------------------------------------------------------

    def receive(self, record: Record, now: int) -> bool:
        """Take in a record; False where it is not about the account."""
        take = _RECEIVERS.get(type(record))
        if take is None:
            return False
        self.now = now
        take(self, record)
        return True

    def _value(self, record: AccountValue) -> None:
        if record.account in ("", self.id):
            self.values[record.key, record.currency] = record.value
            self._known = None
            if record.key == "TotalCashBalance":
                self.cash_told[record.currency] = self.now

    def _portfolio(self, record: PortfolioItem) -> None:
        if record.account not in ("", self.id):
            return
        con_id = record.contract.con_id
        if record.quantity == 0.0:
            self.portfolio.pop(con_id, None)
        else:
            self.portfolio[con_id] = record
        if self.is_complete:
            self._note_history()

    def _note_history(self) -> None:
        if len(self.history) < self.MOST_HISTORY:
            self.history.append((self.now, self.net_liquidation, self.stock_value))

    def _time(self, record: AccountTime) -> None:
        self.time_text = record.text

    def _end(self, record: AccountEnd) -> None:
        if not self.is_complete:
            self.is_complete = True
            self.starting_stock_value = self.stock_value
            self._note_history()

    def _position(self, record: PositionItem) -> None:
        if record.account not in ("", self.id):
            return
        con_id = record.contract.con_id
        self._contracts[con_id] = record.contract
        if record.quantity == 0.0:
            self.positions.pop(con_id, None)
        else:
            self.positions[con_id] = record
        self._compare(con_id)

    def _positions_end(self, record: PositionsEnd) -> None:
        self._are_told = True

    def _pnl(self, record: AccountPnl) -> None:
        self.pnl = record

    # -- what is expected -------------------------------------------------------------------------------------

    def begin_reconciling(self) -> None:
        """Positions are asked for anew: those that are gone are not told."""
        self.positions.clear()
        self._are_told = False
        self._unlike.clear()

    def disconnected(self) -> None:
        """Nothing more is told."""
        self.begin_reconciling()

    def expect(self, quantities: Mapping[int, float]) -> None:
        """What positions are expected to be, by contract id; executions move them from here."""
        self._expected = {con_id: quantity for con_id, quantity in quantities.items() if quantity}
        self._has_expected = True
        self._unlike.clear()

    def take_as_told(self) -> None:
        """What TWS tells is expected from now on: the differences were shown."""
        self.expect({con_id: item.quantity for con_id, item in self.positions.items()})

    def moved(self, con_id: int, signed_quantity: float) -> None:
        """An execution of the account, whoever's: the position is expected to be that much more."""
        quantity = self._expected.get(con_id, 0.0) + signed_quantity
        if abs(quantity) > DUST:
            self._expected[con_id] = quantity
        else:
            self._expected.pop(con_id, None)
        self._compare(con_id)

    def _compare(self, con_id: int) -> None:
        if not (self._has_expected and self._are_told):
            return
        item = self.positions.get(con_id)
        told = item.quantity if item is not None else 0.0
        if not abs(told - self._expected.get(con_id, 0.0)) <= DUST:  # also where TWS tells no quantity
            self._unlike.setdefault(con_id, self.now)
        else:
            self._unlike.pop(con_id, None)

    def unlike(self, now: int, within_ns: int) -> str:
        """A position that has differed for so long from what the executions heard make of it, in words; empty for none."""
        for con_id, since in self._unlike.items():
            if now - since > within_ns:
                return f"the position in {self._name(con_id)} changed without an execution that was told"
        return ""

    def _name(self, con_id: int) -> str:
        contract = self._contracts.get(con_id)
        return contract.symbol if contract is not None else f"contract {con_id}"

    def reconcile(self) -> list[Difference]:
        """All positions were told: those that are not what is expected. The first time they are what is expected."""
        told = {con_id: item.quantity for con_id, item in self.positions.items()}
        if not self._has_expected:
            self.expect(told)
            return []
        differences = []
        for con_id in sorted({*told, *self._expected}):
            ours, theirs = self._expected.get(con_id, 0.0), told.get(con_id, 0.0)
            if not abs(ours - theirs) <= DUST:
                differences.append(Difference(f"position in {self._name(con_id)}", f"{ours:g}", f"{theirs:g}"))
        return differences

    @property
    def expected(self) -> Mapping[int, float]:
        """Contract id -> quantity that the account is expected to hold."""
        return self._expected


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


_RECEIVERS: Mapping[type, Callable[[IbAccount, Any], None]] = {
    AccountValue: IbAccount._value,
    PortfolioItem: IbAccount._portfolio,
    AccountTime: IbAccount._time,
    AccountEnd: IbAccount._end,
    PositionItem: IbAccount._position,
    PositionsEnd: IbAccount._positions_end,
    AccountPnl: IbAccount._pnl,
}
