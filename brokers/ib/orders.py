"""The run's orders at TWS: what was sent, what TWS says of it, and what can be known of it after a break.

Identity is the order reference, then the permanent id; order ids are only addresses. Fills come from executions alone,
each counted once by its execution id; statuses are believed about everything else. What TWS does not say is unknown:
an order is never taken for dead because nothing was heard of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from brokers.ib import codes, commands, translate
from brokers.ib.codes import CodeClass
from brokers.ib.commands import Command
from brokers.ib.events import (
    Event,
    FeeKnown,
    FillCorrected,
    ForeignFill,
    Notice,
    OrderAmended,
    OrderChanged,
    OrderFilled,
)
from brokers.ib.records import (
    Commission,
    CompletedOrder,
    ContractDetails,
    ContractRecord,
    ErrorMessage,
    Execution,
    OpenOrder,
    OrderRecord,
    OrderState,
    Record,
)
from brokers.ib.registry import Registry
from papertape.core.model import NS_PER_MS, NS_PER_S, Instrument, OrderStatus, TimeInForce
from papertape.core.orders import OrderRequest
from papertape.core.timers import NEVER

FEE_HOLD_NS = 500 * NS_PER_MS
"""How long a fill is kept back for its commission, which TWS sends a moment after it; positions in flight cover it."""
MISSING_FILL_NS = 2 * NS_PER_S
"""How long after a status that tells of fills their executions may be missing before they are asked for."""
MOST_EARLY_FEES = 1_000
DUST = 1e-9


@dataclass(slots=True)
class Fill:
    """An execution of an order of ours, in its latest revision. ``fee`` NaN is not known yet."""

    exec_id: str
    revision: int
    exchange_ts: int
    quantity: float
    price: float
    fee: float = math.nan
    is_told: bool = False
    held_until: int = NEVER


@dataclass(slots=True)
class Entry:
    """An order of the run."""

    number: int
    order_id: int
    order_ref: str
    request: OrderRequest
    terms: OrderRecord
    status: OrderStatus = OrderStatus.PENDING_SUBMIT
    is_sent: bool = False
    is_acknowledged: bool = False
    """Whether TWS has said anything of it."""
    is_cancelling: bool = False
    is_changing: bool = False
    perm_ids: list[int] = field(default_factory=list)
    fills: dict[str, Fill] = field(default_factory=dict)
    """Root of the execution's id -> its latest revision."""
    missing_since: int = NEVER
    text: str = ""
    former: OrderRequest | None = None
    """What it was before its last change, until that is known to have arrived."""
    day_end: int = NEVER
    """When an order for the day is over for certain (UTC ns); NEVER where that is not known."""

    @property
    def filled(self) -> float:
        """Quantity filled so far."""
        return sum(each.quantity for each in self.fills.values())


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that we and the broker do not see alike."""

    what: str
    ours: str
    theirs: str


class IbOrders:
    """All orders of one run. ``min_tick`` gives an instrument's price step; ``zone`` is TWS's own."""

    def __init__(
        self,
        run_id: str,
        registry: Registry,
        *,
        send: Callable[[Command], None],
        emit: Callable[[Event], None],
        next_id: Callable[[], int],
        min_tick: Callable[[int], float],
    ) -> None:
        self.run_id = run_id
        self.account = ""
        self.client_id = 0
        self.zone = "America/New_York"
        self.entries: dict[int, Entry] = {}
        self.open_refs: dict[str, list[OpenOrder]] = {}
        """Open orders told since :meth:`begin_reconciling`, by reference; of others and persons under their permanent id."""
        self.known_executions: dict[str, tuple[int, float]] = {}
        """Root -> (revision, signed quantity) of every execution of the account that was heard, whoever's it was."""
        self.executed: Callable[[int, float], None] = lambda con_id, signed: None
        """Called with a contract's id and by how much an execution (or its correction) moved the account's position."""
        self.foreign: dict[int, OpenOrder] = {}
        """Working orders of others in the account, by permanent id."""
        self._registry = registry
        self._send = send
        self._emit = emit
        self._next_id = next_id
        self._min_tick = min_tick
        self._by_order_id: dict[int, Entry] = {}
        self._by_perm_id: dict[int, Entry] = {}
        self._by_root: dict[str, Entry] = {}
        self._waiting: dict[int, Entry] = {}
        """Orders with a fill that waits for its fee, or with a status that tells of fills not seen yet."""
        self._completed: dict[str, CompletedOrder] = {}
        self._early_fees: dict[str, Commission] = {}
        self._now = 0

    # -- towards TWS ------------------------------------------------------------------------------------------

    def admit(self, number: int, request: OrderRequest, *, transmit: bool = True, order_id: int = 0) -> Entry:
        """Give an order its ids and its terms as TWS takes them; nothing is sent yet."""
        parent = self.entries[request.parent] if request.parent else None
        ref = translate.order_ref(self.run_id, number)
        terms = translate.order_of(
            request,
            account=self.account,
            order_ref=ref,
            parent_id=parent.order_id if parent is not None else 0,
            oca_group=f"{self.run_id}-{request.group}" if request.group else "",
            transmit=transmit,
            min_tick=self._min_tick(request.instrument),
            zone=self.zone,
        )
        entry = Entry(number, order_id or self._next_id(), ref, request, terms)
        self.entries[number] = entry
        self._by_order_id[entry.order_id] = entry
        return entry

    def send(self, entry: Entry) -> None:
        """Send an order that was admitted (and journaled)."""
        assert not entry.is_sent, "an order is sent once"
        entry.is_sent = True
        self._send(commands.PlaceOrder(entry.order_id, self._contract(entry), entry.terms))

    def _contract(self, entry: Entry) -> Any:
        j = entry.request.instrument
        return translate.contract_of(self._registry.instruments[j], self._registry.con_ids[j])

    def cancel(self, number: int) -> bool:
        """Ask for an order's end; False where it has ended, or its end was asked for already."""
        entry = self.entries.get(number)
        if entry is None or entry.status.is_final or entry.is_cancelling:
            return False
        entry.is_cancelling = True
        self._send(commands.CancelOrder(entry.order_id))
        return True

    def modify(self, number: int, request: OrderRequest) -> bool:
        """Replace a working order's quantity and prices; False where it has ended."""
        entry = self.entries[number]
        if entry.status.is_final:
            return False
        fresh = self._terms(request, entry.order_ref, entry.terms.parent_id, entry.terms.oca_group)
        entry.former = entry.former or entry.request
        entry.request, entry.terms, entry.is_changing = request, fresh, True
        self._send(commands.PlaceOrder(entry.order_id, self._contract(entry), fresh))
        return True

    def _terms(self, request: OrderRequest, order_ref: str, parent_id: int, oca_group: str) -> OrderRecord:
        """A changed order's terms as TWS takes them."""
        return translate.order_of(
            request,
            account=self.account,
            order_ref=order_ref,
            parent_id=parent_id,
            oca_group=oca_group,
            transmit=True,
            min_tick=self._min_tick(request.instrument),
            zone=self.zone,
        )

    def working(self) -> list[Entry]:
        """Orders that can still fill, oldest first."""
        return [each for each in self.entries.values() if not each.status.is_final]

    def owns(self, order_id: int) -> bool:
        """Whether an id is that of one of the run's orders."""
        return order_id in self._by_order_id

    # -- from TWS ---------------------------------------------------------------------------------------------

    def receive(self, record: Record, now: int) -> bool:
        """Take in a record; False where it is not about orders."""
        take = _RECEIVERS.get(type(record))
        if take is None:
            return False
        self._now = now
        take(self, record)
        return True

    def _entry_of(self, order_ref: str, perm_id: int, order_id: int, client_id: int) -> Entry | None:
        """The run's order that TWS speaks of: by reference, by permanent id, last by the id that we gave it."""
        parsed = translate.parse_order_ref(order_ref)
        if parsed is not None:
            if parsed[0] != self.run_id:
                return None
            entry = self.entries.get(parsed[1])
            if entry is None:
                self._emit(Notice(0, f"TWS knows an order {order_ref} of this run that its journal does not", True))
            return entry
        if order_ref:
            return None
        if perm_id in self._by_perm_id:
            return self._by_perm_id[perm_id]
        return self._by_order_id.get(order_id) if client_id == self.client_id and order_id > 0 else None

    def _open_order(self, record: OpenOrder) -> None:
        order = record.order
        entry = self._entry_of(order.order_ref, order.perm_id, record.order_id, order.client_id)
        if entry is None:
            if order.perm_id and record.status not in _ENDED:
                self.foreign[order.perm_id] = record
            else:
                self.foreign.pop(order.perm_id, None)
            return
        self.open_refs.setdefault(entry.order_ref, []).append(record)
        self._note_perm_id(entry, order.perm_id)
        self._note_address(entry, record.order_id, order.client_id)
        entry.is_changing = False
        self._set_status(entry, record.status, entry.filled, math.nan, record.warning)

    def _note_perm_id(self, entry: Entry, perm_id: int) -> None:
        if perm_id and perm_id not in entry.perm_ids:
            entry.perm_ids.append(perm_id)
            self._by_perm_id[perm_id] = entry

    def _note_address(self, entry: Entry, order_id: int, client_id: int) -> None:
        """TWS knows it by another id than its journal does, which crashed before it had noted that one."""
        if client_id == self.client_id and order_id > 0 and order_id != entry.order_id:
            if order_id in self._by_order_id:
                return  # a second order of one reference: those are cancelled by themselves
            self._by_order_id.pop(entry.order_id, None)
            entry.order_id = order_id
            self._by_order_id[order_id] = entry

    def _order_state(self, record: OrderState) -> None:
        entry = self._entry_of("", record.perm_id, record.order_id, record.client_id)
        if entry is None:
            return
        self._note_perm_id(entry, record.perm_id)
        if record.filled > entry.filled + DUST and entry.missing_since == NEVER:
            entry.missing_since = self._now
            self._waiting[entry.number] = entry
        self._set_status(entry, record.status, record.filled, record.remaining, "")

    def _set_status(self, entry: Entry, text: str, filled: float, remaining: float, words: str) -> None:
        entry.is_acknowledged = True
        status = translate.status_of(text, filled, remaining)
        if status is OrderStatus.FILLED:
            return  # its executions say so
        if text == "Inactive" and entry.request.tif in _KILLED:
            status = OrderStatus.CANCELLED  # so a fill-or-kill ends that could not be filled
        if status is OrderStatus.SUBMITTED and entry.is_cancelling:
            status = OrderStatus.PENDING_CANCEL
        self._change(entry, status, words or entry.text)

    def _change(self, entry: Entry, status: OrderStatus, text: str = "") -> None:
        if entry.status.is_final:
            if not status.is_final and entry.status is not OrderStatus.FILLED:
                words = f"TWS calls order {entry.number} {status.name} that it had called {entry.status.name}"
                self._emit(Notice(0, words, halts=True))
            return
        if status is OrderStatus.SUBMITTED and entry.filled > 0.0:
            status = OrderStatus.PARTIALLY_FILLED
        if status is entry.status:
            return
        if status.is_final:
            self._tell_held(entry)
        entry.status = status
        self._emit(OrderChanged(entry.number, status, self._now, text))

    def _completed_order(self, record: CompletedOrder) -> None:
        order = record.order
        parsed = translate.parse_order_ref(order.order_ref)
        if parsed is not None and parsed[0] == self.run_id:
            self._completed[order.order_ref] = record

    # -- fills ------------------------------------------------------------------------------------------------

    def _execution(self, record: Execution) -> None:
        root, revision = translate.execution_key(record.exec_id)
        known, quantity = self.known_executions.get(root, (0, 0.0))
        if revision <= known:
            return
        signed = record.quantity * translate.side_of(record.side)
        self.known_executions[root] = (revision, signed)
        self.executed(record.contract.con_id, signed - quantity)
        entry = self._entry_of(record.order_ref, record.perm_id, record.order_id, record.client_id)
        if entry is None:
            self._foreign_fill(record)
            return
        self._note_perm_id(entry, record.perm_id)
        entry.is_acknowledged = True
        ts = translate.execution_ts(record.time_text, self.zone)
        before = entry.fills.get(root)
        early = self._early_fees.pop(record.exec_id, None)
        fee = early.commission if early is not None else math.nan
        fill = Fill(record.exec_id, revision, ts, record.quantity, record.price, fee)
        entry.fills[root] = fill
        self._by_root[root] = entry
        if before is not None:
            self._correct(entry, before, fill)
        elif early is not None:
            self._tell(entry, fill)
        else:
            fill.held_until = self._now + FEE_HOLD_NS
            self._waiting[entry.number] = entry
        self._settle(entry)

    def _correct(self, entry: Entry, before: Fill, fill: Fill) -> None:
        if not before.is_told:
            self._tell(entry, before)
        fill.is_told = True
        self._emit(
            FillCorrected(
                entry.number, fill.exec_id, before.exec_id, fill.quantity, fill.price, before.quantity, before.price
            )
        )
        if fill.fee == fill.fee:
            self._emit(FeeKnown(entry.number, fill.exec_id, fill.fee))
        else:
            fill.fee = before.fee

    def _foreign_fill(self, record: Execution) -> None:
        j = self._registry.by_con_id(record.contract.con_id)
        if j is None:
            j, _ = self._registry.add(instrument_of_contract(record.contract), record.contract.con_id)
        side = translate.side_of(record.side)
        self._emit(ForeignFill(j, record.exec_id, side, record.quantity, record.price, record.order_ref))

    def _commission(self, record: Commission) -> None:
        root, _ = translate.execution_key(record.exec_id)
        entry = self._by_root.get(root)
        fill = entry.fills[root] if entry is not None else None
        if entry is not None and fill is not None and fill.exec_id == record.exec_id:
            self._join_fee(entry, fill, record.commission)
        elif root not in self.known_executions or entry is not None:
            if len(self._early_fees) >= MOST_EARLY_FEES:
                del self._early_fees[next(iter(self._early_fees))]
            self._early_fees[record.exec_id] = record

    def _join_fee(self, entry: Entry, fill: Fill, fee: float) -> None:
        was_known, fill.fee = fill.fee, fee
        if not fill.is_told:
            self._tell(entry, fill)
            self._settle(entry)
        elif was_known != fee:
            self._emit(FeeKnown(entry.number, fill.exec_id, fee))

    def _tell(self, entry: Entry, fill: Fill) -> None:
        fill.is_told = True
        fill.held_until = NEVER
        self._emit(OrderFilled(entry.number, fill.exec_id, fill.exchange_ts, fill.quantity, fill.price, fill.fee))

    def _tell_held(self, entry: Entry) -> None:
        for fill in entry.fills.values():
            if not fill.is_told:
                self._tell(entry, fill)

    def _settle(self, entry: Entry) -> None:
        """What the fills so far make of the order's status."""
        filled = entry.filled
        entry.missing_since = NEVER
        if filled >= entry.request.quantity - DUST:
            if all(each.is_told for each in entry.fills.values()):
                entry.status = OrderStatus.FILLED
        elif not entry.status.is_final and filled > 0.0 and entry.status is not OrderStatus.PENDING_CANCEL:
            entry.status = OrderStatus.PARTIALLY_FILLED

    # -- errors -----------------------------------------------------------------------------------------------

    def refused(self, record: ErrorMessage, now: int) -> None:
        """An error about one of the run's orders."""
        self._now = now
        entry = self._by_order_id[record.request_id]
        kind = codes.classify(record.code, record.text)
        text = f"{record.code}: {record.text}"
        if kind is CodeClass.ORDER_CANCELLED:
            entry.is_acknowledged = True
            self._change(entry, OrderStatus.CANCELLED, "" if entry.is_cancelling else text)
        elif kind is CodeClass.DUPLICATE_ORDER_ID:
            self._give_new_id(entry)
        elif kind is CodeClass.CANCEL_REFUSED:
            entry.is_cancelling = False  # what has become of it is said by its status, or asked for
            entry.text = text
            self._emit(Notice(record.code, f"order {entry.number} could not be cancelled: {record.text}"))
        elif kind in (CodeClass.ORDER_REJECTED, CodeClass.REQUEST_FAILED) and not entry.is_changing:
            entry.is_acknowledged = True
            entry.text = text
            self._change(entry, OrderStatus.REJECTED if entry.filled == 0.0 else OrderStatus.CANCELLED, text)
        elif kind in (CodeClass.ORDER_REJECTED, CodeClass.REQUEST_FAILED, CodeClass.MODIFY_REFUSED):
            entry.is_changing = False  # the order is as it was
            self._emit(Notice(record.code, f"the change of order {entry.number} was refused: {record.text}"))
            self._send(commands.AskOpenOrders())
        else:
            entry.text = text
            self._emit(Notice(record.code, f"order {entry.number}: {record.text}", kind is CodeClass.UNKNOWN))

    def _give_new_id(self, entry: Entry) -> None:
        """TWS has seen the id before, so it did not take the order: it gets another one and is sent again."""
        if entry.is_acknowledged or entry.perm_ids:
            self._emit(Notice(103, f"TWS calls the id of order {entry.number} a duplicate, which it knows", True))
            return
        del self._by_order_id[entry.order_id]
        entry.order_id = self._next_id()
        self._by_order_id[entry.order_id] = entry
        self._emit(Notice(103, f"order {entry.number} was given another id: TWS had seen its first one before"))
        self._send(commands.PlaceOrder(entry.order_id, self._contract(entry), entry.terms))

    # -- time and breaks --------------------------------------------------------------------------------------

    def pass_time(self, now: int) -> bool:
        """What time does: fills no longer wait for fees. True where executions are missing and should be asked for."""
        self._now = now
        asks = False
        for entry in list(self._waiting.values()):
            if now - entry.missing_since >= MISSING_FILL_NS:
                entry.missing_since = now
                asks = True
            held = [each for each in entry.fills.values() if each.held_until != NEVER]
            for fill in held:
                if fill.held_until <= now:
                    self._tell(entry, fill)
                    self._settle(entry)
            if entry.missing_since == NEVER and not held:
                del self._waiting[entry.number]
        return asks

    def disconnected(self, now: int, unsent: list[Command]) -> None:
        """The connection has ended: what works is unknown until it is asked for; what had not left never did."""
        self._now = now
        not_left = {each.order_id for each in unsent if isinstance(each, commands.PlaceOrder)}
        for entry in self.working():
            if entry.order_id in not_left and not entry.is_acknowledged:
                entry.is_sent = False
            if entry.is_cancelling:
                entry.is_cancelling = False
            if entry.status is not OrderStatus.UNKNOWN:
                self._change(entry, OrderStatus.UNKNOWN, "the connection was lost")

    def begin_reconciling(self) -> None:
        """Open and completed orders and executions are asked for anew."""
        self.open_refs.clear()
        self._completed.clear()
        self.foreign.clear()

    def reconcile(self, now: int) -> list[Difference]:
        """All was told: set every order right by it; returns what can not be explained."""
        self._now = now
        differences: list[Difference] = []
        for entry in self.entries.values():
            self._tell_held(entry)
            self._settle(entry)
            self._cancel_doubles(entry)
            self._check_change(entry)
            if not entry.status.is_final and entry.order_ref not in self.open_refs:
                differences += self._reconcile_unseen(entry)
        return differences

    def _check_change(self, entry: Entry) -> None:
        """A change that was asked for before a break either arrived or never will: it is not sent again."""
        former, entry.former = entry.former, None
        told = self.open_refs.get(entry.order_ref)
        if former is None or not told or entry.status.is_final:
            return
        parent, group = entry.terms.parent_id, entry.terms.oca_group
        before = self._terms(former, entry.order_ref, parent, group)
        order = told[-1].order
        if _asked(order) != _asked(entry.terms) and _asked(order) == _asked(before):
            entry.request, entry.terms, entry.is_changing = former, before, False
            self._emit(Notice(0, f"the change of order {entry.number} never reached TWS: it is as it was"))
            self._emit(OrderAmended(entry.number, former, self._now))

    def _cancel_doubles(self, entry: Entry) -> None:
        """Several orders carry one reference (a change that crossed a break): all but the last are cancelled."""
        records = {each.order.perm_id: each for each in self.open_refs.get(entry.order_ref, [])}
        for record in list(records.values())[:-1]:
            self._emit(Notice(0, f"order {entry.number} was there twice; the older one is cancelled", halts=False))
            self._send(commands.CancelOrder(record.order_id))

    def _reconcile_unseen(self, entry: Entry) -> list[Difference]:
        """An order that works, as far as we know, is not open at TWS."""
        done = self._completed.get(entry.order_ref)
        if done is not None:
            status = _COMPLETED.get(done.status, OrderStatus.CANCELLED)
            if status is OrderStatus.FILLED:
                ours = f"{entry.filled:g} of {entry.request.quantity:g} filled"
                return [Difference(f"order {entry.number}", ours, "filled, by executions that it does not tell")]
            self._change(entry, status, done.completed_status)
            return []
        if entry.is_acknowledged and self._now >= entry.day_end:
            # TWS tells ended orders of the present day only. Fills that were not heard would show in the position.
            self._change(entry, OrderStatus.EXPIRED, "its day was over before it was asked for")
            return []
        if entry.is_acknowledged:
            name = f"order {entry.number} ({entry.order_ref})"
            return [Difference(name, entry.status.name.lower().replace("_", " "), "unknown to TWS")]
        # Journaled and perhaps sent, but TWS knows nothing of it, open or ended: it never arrived. It is not sent again.
        self._change(entry, OrderStatus.REJECTED, "it never reached TWS")
        return []


def instrument_of_contract(contract: ContractRecord) -> Instrument:
    """An instrument of the account that the run does not trade: enough to mark it. UserError for an unknown type."""
    details = ContractDetails(0, contract, "", 0.01, 1, "", "", "", "", "", "")
    return translate.instrument_of(details)


def _asked(terms: OrderRecord) -> tuple[float, float, float]:
    """Quantity, limit and stop price of an order; 0.0 for a price that its type does not use, however TWS writes it."""
    limit = terms.limit_price if terms.type in ("LMT", "STP LMT", "LOC") else 0.0
    return terms.quantity, limit, terms.aux_price if terms.type in ("STP", "STP LMT") else 0.0


_ENDED = frozenset({"Filled", "Cancelled", "ApiCancelled", "Inactive"})
_COMPLETED = {"Filled": OrderStatus.FILLED, "Inactive": OrderStatus.REJECTED}
_KILLED = (TimeInForce.FOK, TimeInForce.IOC)
_RECEIVERS: Mapping[type, Callable[[IbOrders, Any], None]] = {
    OpenOrder: IbOrders._open_order,
    OrderState: IbOrders._order_state,
    CompletedOrder: IbOrders._completed_order,
    Execution: IbOrders._execution,
    Commission: IbOrders._commission,
}
