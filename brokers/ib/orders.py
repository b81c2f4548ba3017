"""The run's orders at TWS: what was sent, what TWS says of it, and what can be known of it after a break.

Identity is the order reference, then the permanent id; order ids are only addresses. Fills come from executions alone
(:mod:`brokers.ib.fills`); statuses are believed about everything else. What TWS does not say is unknown: an order is
never taken for dead because nothing was heard of it, and none is sent twice. What does not go together raises a doubt,
upon which the session asks TWS for everything anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from brokers.ib import changes, commands, refusals, translate
from brokers.ib.commands import Command
from brokers.ib.events import Event, Notice, OrderAmended, OrderChanged
from brokers.ib.fills import Fills, instrument_of_contract
from brokers.ib.order_entries import DUST, Difference, Entry, Fill, Working
from brokers.ib.reconciling import KILLED, ToldOrders, word
from brokers.ib.records import (
    Commission,
    CompletedOrder,
    ErrorMessage,
    Execution,
    OpenOrder,
    OpenOrdersEnd,
    OrderRecord,
    OrderState,
    Record,
)
from brokers.ib.registry import Registry
from papertape.core.model import NS_PER_S, OrderStatus
from papertape.core.orders import OrderRequest
from papertape.core.timers import NEVER

__all__ = ["DUST", "Difference", "Entry", "Fill", "IbOrders", "instrument_of_contract"]

MISSING_FILL_NS = 2 * NS_PER_S
"""How long after a status that tells of fills their executions may be missing before they are asked for."""
SEARCHES_MOST = 5
"""How often they are asked for before new orders stop."""
ROUNDINGS_TOLD = 20
"""Of how many orders it is said that their prices were put on the price step."""
ACKNOWLEDGE_NS = 10 * NS_PER_S
"""How long TWS may say nothing of an order that was sent before it is asked what it knows."""


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
        self.entries: dict[int, Entry] = {}
        self.foreign: dict[int, OpenOrder] = {}
        """Working orders of others in the account, by permanent id, as they were last told."""
        self.doubt = ""
        """Something that does not go together, in words, until the session has asked for everything anew."""
        self.unit_ns = NS_PER_S
        """Nanoseconds of this session's time in a second of the clock: more with a simulated gateway in a hurry."""
        self.fills = Fills(registry, emit=emit, find=self._owner, settle=self.settle)
        self._registry = registry
        self.request = send
        self.emit = emit
        self._next_id = next_id
        self._min_tick = min_tick
        self._working = Working()
        self._by_order_id: dict[int, Entry] = {}
        self._by_perm_id: dict[int, Entry] = {}
        self._searched: dict[int, Entry] = {}
        """Orders of which a status tells fills that have not come."""
        self._unheard: dict[int, Entry] = {}
        """Orders that were sent and of which TWS has said nothing."""
        self.told = ToldOrders()
        self._foreign_told: dict[int, OpenOrder] | None = None
        self._now = 0
        self.roundings: list[str] = []
        """What the price step made of orders' prices, of the first ones."""

    @property
    def now(self) -> int:
        """Time of what was heard last (UTC ns)."""
        return self._now

    @property
    def known_executions(self) -> dict[str, tuple[int, float]]:
        """Root -> (revision, signed quantity) of every execution of the account that was heard."""
        return self.fills.known

    @property
    def positions(self) -> Mapping[int, float]:
        """What the run itself holds, by its executions: instrument -> signed quantity."""
        return self.fills.positions

    # -- towards TWS ------------------------------------------------------------------------------------------

    def admit(self, number: int, request: OrderRequest, *, transmit: bool = True, order_id: int = 0) -> Entry:
        """Give an order its ids and its terms as TWS takes them; nothing is sent yet."""
        assert number not in self.entries, "a number is given once"
        parent = self.entries[request.parent] if request.parent else None
        ref = translate.order_ref(self.run_id, number)
        terms = self._terms(request, ref, parent.order_id if parent is not None else 0, transmit=transmit)
        entry = Entry(number, order_id or self._next_id(), ref, request, terms)
        self.entries[number] = entry
        self._by_order_id[entry.order_id] = entry
        if parent is not None:
            parent.children.append(number)
        self._working.update(entry, parent)
        return entry

    def _terms(self, request: OrderRequest, ref: str, parent_id: int, *, transmit: bool) -> OrderRecord:
        return translate.order_of(
            request,
            account=self.account,
            order_ref=ref,
            parent_id=parent_id,
            oca_group=f"{self.run_id}-{request.group}" if request.group else "",
            transmit=transmit,
            min_tick=self._min_tick(request.instrument),
            zone=self.fills.zone,
            type=self._registry.instruments[request.instrument].type,
        )

    def send(self, entry: Entry) -> None:
        """Send an order that was admitted (and journaled)."""
        assert not entry.is_sent, "an order is sent once"
        entry.is_sent = True
        self._say_rounding(entry.number, entry.request, entry.terms)
        self.request(commands.PlaceOrder(entry.order_id, self._contract(entry), entry.terms))

    def _say_rounding(self, number: int, request: OrderRequest, terms: OrderRecord) -> None:
        """What the price step made of an order's prices is said, of the first ones; then that it goes on."""
        text = translate.rounding(request, terms)
        if text and len(self.roundings) < ROUNDINGS_TOLD:
            self.roundings.append(f"order {number}, {request.symbol}: {text}")
            more = "; from here on this is not said any more" if len(self.roundings) == ROUNDINGS_TOLD else ""
            self.emit(Notice(0, f"order {number}: {text}, the price step of {request.symbol}{more}"))

    def left(self, command: commands.PlaceOrder, now: int) -> None:
        """An order's bytes leave now: from here on TWS may have it."""
        entry = self._by_order_id.get(command.order_id)
        if entry is not None and not entry.is_acknowledged:
            entry.left_at = now
            self._unheard[entry.number] = entry

    def _contract(self, entry: Entry) -> Any:
        j = entry.request.instrument
        return translate.contract_of(self._registry.instruments[j], self._registry.con_ids[j])

    def cancel(self, number: int, *, again: bool = False) -> bool:
        """Ask for an order's end; False where it has ended, or its end was asked for (and it is not to be asked ``again``).

        Where that can not be sent now, or a break may swallow it, it is asked for after the break.
        """
        entry = self.entries.get(number)
        if entry is None or entry.status.is_final or (entry.is_cancelling and not again):
            return False
        entry.is_cancelling = True
        entry.is_cancel_lost = entry.status is OrderStatus.UNKNOWN
        self.request(commands.CancelOrder(entry.order_id))
        return True

    def send_anew(self, entry: Entry) -> None:
        """Send an order that TWS did not take, because it had seen its id before, under another id."""
        assert not entry.is_acknowledged, "an order that TWS has is never sent again"
        del self._by_order_id[entry.order_id]
        entry.order_id = self._next_id()
        entry.new_ids += 1
        self._by_order_id[entry.order_id] = entry
        self.request(commands.PlaceOrder(entry.order_id, self._contract(entry), entry.terms))

    def modify(self, number: int, request: OrderRequest) -> bool:
        """Ask for a working order's quantity and prices to be replaced; False where it has ended.

        It works on its old terms until TWS shows it with others (:class:`OrderAmended`).
        """
        entry = self.entries[number]
        if entry.status.is_final:
            return False
        fresh = self._terms(request, entry.order_ref, entry.terms.parent_id, transmit=True)
        entry.change = (request, fresh)
        self._say_rounding(number, request, fresh)
        self._count(entry)
        self.request(commands.PlaceOrder(entry.order_id, self._contract(entry), fresh))
        return True

    def working(self) -> list[Entry]:
        """Orders that can still fill, oldest first."""
        return list(self._working.entries.values())

    def working_quantities(self, instrument: int) -> tuple[float, float]:
        """(bought, sold) when all of the run's orders in an instrument that work have filled."""
        return self._working.quantities(instrument)

    def owns(self, order_id: int) -> bool:
        """Whether an id is that of one of the run's orders."""
        return order_id in self._by_order_id

    def ask_open(self) -> None:
        """Have all open orders of the account told, also those of others."""
        self._foreign_told = {}
        self.request(commands.AskOpenOrders())

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
                self.emit(Notice(0, f"TWS knows an order {order_ref} of this run that its journal does not", True))
            return entry
        if order_ref:
            return None
        if perm_id in self._by_perm_id:
            return self._by_perm_id[perm_id]
        return self._by_order_id.get(order_id) if client_id == self.client_id and order_id > 0 else None

    def _owner(self, record: Execution) -> Entry | None:
        entry = self._entry_of(record.order_ref, record.perm_id, record.order_id, record.client_id)
        if entry is not None:
            self._note_perm_id(entry, record.perm_id)
            self.acknowledge(entry)
        return entry

    def acknowledge(self, entry: Entry) -> None:
        """TWS has said something of an order: it has it."""
        if not entry.is_acknowledged:
            entry.is_acknowledged = True
            entry.left_at = NEVER
            self._unheard.pop(entry.number, None)

    def _note_perm_id(self, entry: Entry, perm_id: int) -> None:
        if perm_id and perm_id not in entry.perm_ids:
            entry.perm_ids.append(perm_id)
            self._by_perm_id[perm_id] = entry

    def _open_order(self, record: OpenOrder) -> None:
        order = record.order
        entry = self._entry_of(order.order_ref, order.perm_id, record.order_id, order.client_id)
        has_ended = record.status in _ENDED
        if entry is None:
            if self._is_of_account(order.account):
                self._foreign_order(record, has_ended=has_ended)
            return
        self.told.take_open(entry.order_ref, record, has_ended=has_ended)
        self._note_perm_id(entry, order.perm_id)
        if order.client_id == self.client_id and record.order_id > 0 and record.order_id != entry.order_id:
            entry.order_id = record.order_id
            self._by_order_id[record.order_id] = entry
        if entry.is_superseded(order.perm_id):
            return
        if not has_ended:
            changes.compare(self, entry, order)
        self._set_status(entry, record.status, record.warning)

    def _foreign_order(self, record: OpenOrder, *, has_ended: bool) -> None:
        perm_id = record.order.perm_id
        for orders in (self.foreign, self._foreign_told):
            if orders is not None and (has_ended or not perm_id):
                orders.pop(perm_id, None)
            elif orders is not None:
                orders[perm_id] = record

    def _open_orders_end(self, record: OpenOrdersEnd) -> None:
        if self._foreign_told is not None:
            self.foreign, self._foreign_told = self._foreign_told, None

    # -- terms ------------------------------------------------------------------------------------------------

    def amend(self, entry: Entry, request: OrderRequest, text: str = "") -> None:
        """An order works on these terms from now on."""
        entry.request = request
        self.emit(OrderAmended(entry.number, request, self._now, text))
        self.settle(entry)

    def drop_change(self, entry: Entry, text: str) -> None:
        """A change was not taken: the order is as it was."""
        entry.change = None
        self.amend(entry, entry.request, text)

    def end_filled(self, entry: Entry) -> None:
        """TWS calls an order filled and all its executions were heard: it was of what they add up to."""
        entry.change = None
        self.amend(entry, changes.with_quantity(entry.request, entry.filled))

    # -- statuses ---------------------------------------------------------------------------------------------

    def _order_state(self, record: OrderState) -> None:
        entry = self._entry_of("", record.perm_id, record.order_id, record.client_id)
        if entry is None:
            return
        self._note_perm_id(entry, record.perm_id)
        if entry.is_superseded(record.perm_id):
            return
        if record.status == "Filled" and record.filled > 0.0 and not record.remaining > 0.0:
            entry.change = None
            if abs(record.filled - entry.request.quantity) > DUST:  # as far as its group or a change left it
                self.amend(entry, changes.with_quantity(entry.request, record.filled))
        self.claim(entry, record.filled)
        self._set_status(entry, record.status, "")

    def claim(self, entry: Entry, filled: float) -> None:
        """TWS says that so much of an order has filled: executions of it must come, or be asked for."""
        entry.claimed = max(entry.claimed, filled)
        before = entry.busted
        self._look_for_fills(entry)
        if entry.busted != before:
            self.settle(entry)

    def _look_for_fills(self, entry: Entry) -> None:
        entry.busted, entry.presumed = max(0.0, entry.busted - entry.presumed), 0.0
        missing = entry.claimed - entry.filled - entry.busted
        if missing > DUST and entry.has_unheard_bust:
            entry.presumed = missing
            entry.busted += missing
            missing = 0.0
        if missing <= DUST:
            entry.missing_since, entry.searches = NEVER, 0
            self._searched.pop(entry.number, None)
        elif entry.missing_since == NEVER:
            entry.missing_since = self._now
            self._searched[entry.number] = entry

    def _set_status(self, entry: Entry, text: str, words: str) -> None:
        self.acknowledge(entry)
        status = translate.status_of(text, entry.filled, math.nan)
        if status is OrderStatus.FILLED or (status is OrderStatus.PARTIALLY_FILLED and text == "Filled"):
            return  # its executions say so
        if text == "Inactive" and entry.request.tif in KILLED:
            status = OrderStatus.CANCELLED  # so a fill-or-kill ends that could not be filled
        if entry.is_cancelling and status in _WORKS:
            status = OrderStatus.PENDING_CANCEL
        self.change(entry, status, words or entry.text)

    def change(self, entry: Entry, status: OrderStatus, text: str = "", *, is_cancel_refused: bool = False) -> None:
        """TWS says that an order has a status."""
        if entry.status.is_final:
            if not status.is_final and entry.status is not OrderStatus.FILLED:
                self.raise_doubt(
                    f"TWS calls order {entry.number} {word(status)}, which it had called {word(entry.status)}"
                )
            return
        if status is OrderStatus.SUBMITTED and entry.filled > 0.0:
            status = OrderStatus.PARTIALLY_FILLED
        if status is entry.status and not is_cancel_refused:
            return
        if status.is_final and self._ends_filled(entry):
            return
        self._set(entry, status)
        self.emit(OrderChanged(entry.number, status, self._now, text, is_cancel_refused))

    def _ends_filled(self, entry: Entry) -> bool:
        """Tell what waits for its fee, since the order's end must not overtake it; whether that was all of the order."""
        self.fills.tell_held(entry)
        self.settle(entry)
        return entry.status is OrderStatus.FILLED

    def _set(self, entry: Entry, status: OrderStatus) -> None:
        entry.status = status
        if status.is_final:
            entry.change = None
            self._unheard.pop(entry.number, None)
        self._count(entry)

    def _count(self, entry: Entry) -> None:
        self._working.update(entry, self.entries.get(entry.request.parent))
        if entry.status.is_final:
            for number in entry.children:
                self._working.update(self.entries[number], entry)

    def settle(self, entry: Entry) -> None:
        """What the executions so far make of the order's status."""
        self._look_for_fills(entry)
        if entry.change is not None and entry.filled > 0.0 and entry.remaining <= DUST:  # whichever terms it worked on
            entry.change = None
            entry.request = changes.with_quantity(entry.request, entry.filled)
        if entry.filled + entry.busted >= entry.request.quantity - DUST and entry.change is None:
            if not entry.untold:
                entry.status = OrderStatus.FILLED
        elif not entry.status.is_final and entry.filled > 0.0 and entry.status is not OrderStatus.PENDING_CANCEL:
            entry.status = OrderStatus.PARTIALLY_FILLED
        self._count(entry)

    def raise_doubt(self, text: str) -> None:
        """Have everything asked for anew, for a reason in words."""
        self.doubt = self.doubt or text

    def _completed_order(self, record: CompletedOrder) -> None:
        parsed = translate.parse_order_ref(record.order.order_ref)
        if parsed is not None and parsed[0] == self.run_id:
            self.told.completed[record.order.order_ref] = record

    def _execution(self, record: Execution) -> None:
        if self._is_of_account(record.account):
            self.fills.execution(record, self._now)

    def _is_of_account(self, account: str) -> bool:
        """Whether something is of the run's account: a login may have several, and a master client hears of all."""
        return account in ("", self.account) or not self.account

    def _commission(self, record: Commission) -> None:
        self.fills.commission(record)

    def refused(self, record: ErrorMessage, now: int) -> None:
        """An error about one of the run's orders."""
        self._now = now
        entry = self._by_order_id[record.request_id]
        if record.request_id == entry.order_id:
            refusals.take(self, entry, record)
        else:  # an older one of two that carry one reference, or an id that it no longer has
            self.emit(Notice(record.code, f"order {entry.number}, under an older id: {record.text}"))

    # -- time and breaks --------------------------------------------------------------------------------------

    def pass_time(self, now: int) -> bool:
        """What time does: fills no longer wait for fees. True where executions are missing and should be asked for."""
        self._now = now
        self.fills.pass_time(now)
        asks = False
        for entry in list(self._searched.values()):
            if now - entry.missing_since < MISSING_FILL_NS // NS_PER_S * self.unit_ns:
                continue
            entry.missing_since = now
            entry.searches += 1
            asks = True
            if entry.searches == SEARCHES_MOST:
                text = f"order {entry.number}: TWS says that {entry.claimed:g} filled, and tells executions of {entry.filled:g}"
                self.emit(Notice(0, text, halts=True))
        for entry in list(self._unheard.values()):
            if now - entry.left_at > ACKNOWLEDGE_NS // NS_PER_S * self.unit_ns:
                entry.left_at = now
                self.raise_doubt(f"TWS has said nothing of order {entry.number}")
        return asks

    def disconnected(self, now: int, unsent: list[Command]) -> None:
        """The connection has ended: what works is unknown until it is asked for; what had not left never did."""
        self._now = now
        self._foreign_told = None
        self._unheard.clear()
        self.told.disconnected(self, unsent)

    def begin_reconciling(self) -> None:
        """Open and completed orders and executions are asked for anew."""
        self.doubt = ""
        self._foreign_told = {}
        self.told.clear()

    def reconcile(self, now: int, *, is_last: bool = True) -> list[Difference]:
        """All was told: set every order right by it; returns what can not be explained.

        Where not ``is_last``, it will be asked once more: what TWS says nothing of is then only listed.
        """
        self._now = now
        differences = self.told.reconcile(self, is_last=is_last)
        self.doubt = ""
        return differences


_ENDED = frozenset({"Filled", "Cancelled", "ApiCancelled", "Inactive"})
_WORKS = frozenset({OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.PENDING_SUBMIT})
_RECEIVERS: Mapping[type, Callable[[IbOrders, Any], None]] = {
    OpenOrder: IbOrders._open_order,
    OpenOrdersEnd: IbOrders._open_orders_end,
    OrderState: IbOrders._order_state,
    CompletedOrder: IbOrders._completed_order,
    Execution: IbOrders._execution,
    Commission: IbOrders._commission,
}
