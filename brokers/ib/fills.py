"""Executions of the account, each counted once: joined to orders and to what they cost, replaced by their corrections.

The account is moved by an execution the moment it is heard, whoever's it is. The strategy is told of one of the run's
own with its fee: kept back for that a little while, and told without where the fee does not come.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from brokers.ib import translate
from brokers.ib.events import Charged, Event, Executed, FeeKnown, FillCorrected, ForeignFill, OrderFilled
from brokers.ib.order_entries import DUST, Entry, Fill
from brokers.ib.records import Commission, ContractDetails, ContractRecord, Execution
from brokers.ib.registry import Registry
from papertape.core.errors import PeerError
from papertape.core.model import NS_PER_MS, Instrument
from papertape.core.timers import NEVER

FEE_HOLD_NS = 500 * NS_PER_MS
"""How long a fill is kept back for its commission, which TWS sends a moment after it; positions in flight cover it."""
MOST_EARLY_FEES = 1_000


class Fills:
    """``find`` names the run's order that an execution belongs to; ``settle`` is told of each order that has filled."""

    def __init__(
        self,
        registry: Registry,
        *,
        emit: Callable[[Event], None],
        find: Callable[[Execution], Entry | None],
        settle: Callable[[Entry], None],
    ) -> None:
        self.zone = "America/New_York"
        self.hold_ns = FEE_HOLD_NS
        self.known: dict[str, tuple[int, float]] = {}
        """Root -> (revision, signed quantity) of every execution of the account that was heard, whoever's it was."""
        self.positions: dict[int, float] = {}
        """Instrument -> what the run's own executions add up to; flat ones are not in it."""
        self.moved: Callable[[int, float], None] = lambda con_id, signed: None
        """Called with a contract's id and by how much an execution (or its correction) moved the account's position."""
        self._registry = registry
        self._emit = emit
        self._find = find
        self._settle = settle
        self._owners: dict[str, Entry] = {}
        self._instruments: dict[str, int] = {}
        self._prices: dict[str, float] = {}
        self._paid: dict[str, float] = {}
        self._early: dict[str, Commission] = {}
        self._held: dict[str, Entry] = {}
        """Roots of executions that wait for their fee."""

    # -- executions -------------------------------------------------------------------------------------------

    def execution(self, record: Execution, now: int) -> None:
        """Take in an execution: a new one, a correction, or one that was told before."""
        root, revision = translate.execution_key(record.exec_id)
        known, before = self.known.get(root, (0, 0.0))
        if revision <= known:
            return
        if not (record.quantity >= 0.0 and (math.isfinite(record.price) or not record.quantity)):
            raise PeerError(f"TWS tells execution {record.exec_id} of {record.quantity:g} at {record.price:g}")
        signed = record.quantity * translate.side_of(record.side)
        ts = translate.execution_ts(record.time_text, self.zone)
        entry = self._find(record)  # from here on nothing of the record can be unreadable
        self.known[root] = (revision, signed)
        self.moved(record.contract.con_id, signed - before)
        j = entry.request.instrument if entry is not None else index_of(self._registry, record.contract)
        self._move(j, root, record, before, signed, entry)
        early = self._early.pop(record.exec_id, None)
        fee = early.commission if early is not None else math.nan
        if entry is None:
            if record.quantity:
                side = translate.side_of(record.side)
                self._emit(ForeignFill(j, record.exec_id, side, record.quantity, record.price, record.order_ref))
        else:
            fill = Fill(record.exec_id, revision, ts, record.quantity, record.price, fee)
            self._add(entry, root, fill, signed - before, now)
        if early is not None:
            self._charge(root, j, early)

    def _move(self, j: int, root: str, record: Execution, before: float, signed: float, entry: Entry | None) -> None:
        number = entry.number if entry is not None else 0
        if before:
            self._emit(Executed(j, record.exec_id, -before, self._prices[root], number))
        if signed:
            self._emit(Executed(j, record.exec_id, signed, record.price, number))
        self._instruments[root] = j
        self._prices[root] = record.price
        if entry is not None:
            held = self.positions.get(j, 0.0) + signed - before
            if abs(held) > DUST:
                self.positions[j] = held
            else:
                self.positions.pop(j, None)

    def _add(self, entry: Entry, root: str, fill: Fill, signed_change: float, now: int) -> None:
        """Count an execution of one of the run's orders."""
        before = entry.fills.get(root)
        entry.fills[root] = fill
        change = signed_change * entry.request.side
        entry.filled = max(0.0, entry.filled + change)
        entry.busted = max(0.0, entry.busted - change) if before is not None else entry.busted
        self._owners[root] = entry
        if before is not None:
            self._correct(entry, root, before, fill)
        else:
            entry.untold += 1
            entry.has_unheard_bust |= not fill.quantity
            if fill.fee == fill.fee:
                self._tell(entry, fill)
            else:
                fill.held_until = now + self.hold_ns
                self._held[root] = entry
        self._settle(entry)

    def _correct(self, entry: Entry, root: str, before: Fill, fill: Fill) -> None:
        if not before.is_told:
            self._held.pop(root, None)
            self._tell(entry, before)
        fill.is_told = True
        self._emit(
            FillCorrected(
                entry.number, fill.exec_id, before.exec_id, fill.quantity, fill.price, before.quantity, before.price
            )
        )
        if fill.fee != fill.fee:
            fill.fee = before.fee  # until TWS says what the correction costs
        elif fill.fee != before.fee:
            self._emit(FeeKnown(entry.number, fill.exec_id, fill.fee))

    # -- what they cost ---------------------------------------------------------------------------------------

    def commission(self, record: Commission) -> None:
        """Join a commission to its execution, which may come after it."""
        if record.commission != record.commission:
            return  # TWS does not know it yet
        root, revision = translate.execution_key(record.exec_id)
        known, _ = self.known.get(root, (0, 0.0))
        if revision > known:
            if len(self._early) >= MOST_EARLY_FEES:
                del self._early[next(iter(self._early))]
            self._early[record.exec_id] = record
            return
        if revision < known:
            return  # of an execution that was corrected since
        if root in self._instruments:
            self._charge(root, self._instruments[root], record)
        entry = self._owners.get(root)
        if entry is not None:
            self._join(entry, root, record.commission)

    def _charge(self, root: str, j: int, record: Commission) -> None:
        difference = record.commission - self._paid.get(root, 0.0)
        if difference:
            self._paid[root] = record.commission
            self._emit(Charged(j, difference, record.currency))

    def _join(self, entry: Entry, root: str, fee: float) -> None:
        fill = entry.fills[root]
        before, fill.fee = fill.fee, fee
        if not fill.is_told:
            self._held.pop(root, None)
            self._tell(entry, fill)
            self._settle(entry)
        elif before != fee:
            self._emit(FeeKnown(entry.number, fill.exec_id, fee))

    def _tell(self, entry: Entry, fill: Fill) -> None:
        fill.is_told = True
        fill.held_until = NEVER
        entry.untold -= 1
        self._emit(OrderFilled(entry.number, fill.exec_id, fill.exchange_ts, fill.quantity, fill.price, fill.fee))

    # -- time -------------------------------------------------------------------------------------------------

    def tell_held(self, entry: Entry) -> None:
        """Tell an order's executions that wait for their fee without it: something comes that must not overtake them."""
        if not entry.untold:
            return
        for root, fill in entry.fills.items():
            if not fill.is_told:
                self._held.pop(root, None)
                self._tell(entry, fill)

    def pass_time(self, now: int) -> None:
        """Fills that have waited long enough for their fee are told without it."""
        for root, entry in list(self._held.items()):
            fill = entry.fills[root]
            if fill.held_until > now:
                return  # they wait equally long, so those behind it came later
            del self._held[root]
            self._tell(entry, fill)
            self._settle(entry)


def instrument_of_contract(contract: ContractRecord) -> Instrument:
    """An instrument of the account that the run does not trade: enough to mark it. UserError for an unknown type."""
    details = ContractDetails(0, contract, "", 0.01, 1, "", "", "", "", "", "")
    return translate.instrument_of(details)


def index_of(registry: Registry, contract: ContractRecord) -> int:
    """The index of a contract of the account, which may be new to the run. UserError for what papertape can not mark.

    Where the run knows another contract by the same symbol, this one goes by its contract id as well.
    """
    j = registry.by_con_id(contract.con_id)
    if j is None:
        instrument = instrument_of_contract(contract)
        j, _ = registry.add(instrument, contract.con_id)
        if registry.con_ids[j] != contract.con_id:
            named = dataclasses.replace(instrument, symbol=f"{instrument.symbol[:18]} {contract.con_id}")
            j, _ = registry.add(named, contract.con_id)
    return j
