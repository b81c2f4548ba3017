"""Orders as TWS takes, shows and remembers them; the exchange behind fills them.

Codes and texts of errors are TWS's (IB.md section 4). What no real TWS has confirmed: the order of messages around a
cancel and a rejection, and how a busted execution is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from gateway.clients import Client
from gateway.contracts import Contracts, Refused
from gateway.costs import Costs
from gateway.exchange import Exchange, Report
from gateway.executions import Fill
from gateway.order_board import Memory, OrderBoard
from gateway.order_entries import Entry, Shown
from gateway.order_faults import NO_FAULTS, OrderFaults
from gateway.order_fills import OrderFills
from gateway.order_terms import Rejected, Terms, invalid, understand
from gateway.protocol import replies, requests
from gateway.settings import GatewaySettings
from papertape.core.guard import Refused as GuardRefused
from papertape.core.model import NS_PER_S, OrderStatus
from papertape.core.state import REASON_TEXT, Reason
from papertape.core.timers import Priority

FIRST_PERM_ID = 1_206_700_001
LATE_FILL_NS = 5 * NS_PER_S
"""How long an order that was reported cancelled may still fill, where a scenario wants that."""

_READ_ONLY = "The API interface is currently in Read-Only mode."
_REJECTIONS = frozenset(
    {Reason.NO_CASH, Reason.NO_EQUITY, Reason.NO_MARGIN, Reason.WOULD_GO_SHORT, Reason.NOT_TRADABLE, Reason.NO_PRICE}
)
"""Ends that TWS calls a rejection (201), not a cancel (202)."""


class OrderDesk:
    """Orders of all clients of one account. ``clients`` are those that are connected, by client id."""

    def __init__(
        self,
        settings: GatewaySettings,
        exchange: Exchange,
        contracts: Contracts,
        costs: Costs,
        clients: Mapping[int, Client],
        *,
        faults: OrderFaults = NO_FAULTS,
        memory: Memory | None = None,
        filled: Callable[[int, int], None] = lambda j, now: None,
        what_if: Callable[[Terms, int], replies.OrderState],
    ) -> None:
        self.settings = settings
        self.exchange = exchange
        self.contracts = contracts
        self.board = OrderBoard(settings, exchange, contracts, clients, memory)
        self.fills = OrderFills(self.board, costs, faults, filled)
        self.entries = self.board.entries
        self.executions = self.fills.executions
        self.next_ids: dict[int, int] = {}
        self.next_perm_id = FIRST_PERM_ID
        self.is_connected = True
        """Whether TWS is connected to the exchange; while it is not, orders wait in TWS."""
        self._faults = faults
        self._what_if = what_if
        self._groups: dict[object, int] = {}
        self._outage: list[Entry] = []
        self._orders = 0

    # -- placing ------------------------------------------------------------------------------------------------

    def place(self, client: Client, request: requests.PlaceOrder, now: int) -> None:
        """Place a new order, change a working one, or say what a new one would cost."""
        found = self._checked(client, request, now)
        if isinstance(found, Rejected):
            client.error(request.order_id, found.code, found.text, now)
            return
        j, terms = found
        old = self.entries.get((client.id, request.order_id))
        if old is not None:
            self._modify(client, old, request, terms, now)
            return
        if request.order.what_if:
            self._preview(client, request, j, terms, now)
            return
        entry = self._new_entry(client, request, j, terms)
        self._orders += 1
        text = self._faults.rejects(self._orders, terms.request.symbol)
        if text:
            self.board.reject(entry, f"Order rejected - reason:{text}", now)
        elif request.order.transmit:
            for each in self._family(entry):
                self._send_on(each, now)
        self.settle(now)

    def _checked(self, client: Client, r: requests.PlaceOrder, now: int) -> tuple[int, Terms] | Rejected:
        """Instrument and terms of an order, or why it can not be taken."""
        if self.settings.read_only:
            return invalid("bN", _READ_ONLY)
        old = self.entries.get((client.id, r.order_id))
        if old is not None and old.shown is Shown.FILLED:
            return Rejected(104, "Cannot modify a filled order.")
        if old is None and not r.order.what_if and r.order_id < self.next_ids.get(client.id, 1):
            return Rejected(103, "Duplicate order id")
        if old is not None and old.is_ended:
            return Rejected(103, "Duplicate order id")
        j = self.contracts.one(r.contract)
        if isinstance(j, Refused):
            return Rejected(j.code, j.text)
        if r.order.account not in ("", self.settings.account):
            return invalid("bV", f"Invalid account code '{r.order.account}'.")
        parent = self._parent(client, r)
        if isinstance(parent, Rejected):
            return parent
        instrument = self.exchange.instruments[j]
        if not instrument.tradable:
            return Rejected(201, "Order rejected - reason:No trading permissions.")
        terms = understand(r.order, j, instrument, client.version, self.settings.zone, now)
        if isinstance(terms, Terms) and old is None and self._too_many(terms):
            most = self.settings.limits.working_orders_a_side
            return Rejected(201, f"Order rejected - reason:more than {most} working orders on one side of a contract")
        return terms if isinstance(terms, Rejected) else (j, terms)

    def _parent(self, client: Client, r: requests.PlaceOrder) -> Entry | Rejected | None:
        if not r.order.parent_id:
            return None
        parent = self.entries.get((client.id, r.order.parent_id))
        return parent or Rejected(135, f"Can't find order with id ={r.order.parent_id}")

    def _too_many(self, terms: Terms) -> bool:
        most = self.settings.limits.working_orders_a_side
        numbers = self.exchange.working(terms.request.instrument)
        if len(numbers) < most:
            return False
        sides = (self.exchange.book.requests[number - 1].side for number in numbers)
        return sum(side is terms.request.side for side in sides) >= most

    def _new_entry(self, client: Client, r: requests.PlaceOrder, j: int, terms: Terms) -> Entry:
        parent = self.entries.get((client.id, r.order.parent_id)) if r.order.parent_id else None
        entry = Entry(
            client_id=client.id, order_id=r.order_id, perm_id=self.next_perm_id, instrument=j,
            contract=self.contracts.wire(j), order=r.order, version=client.version, request=terms.request,
            best=terms.best, good_after=terms.good_after, parent=parent, group=self._group(r.order.oca_group, parent),
        )  # fmt: skip
        if parent is not None:
            parent.children.append(entry)
        self.next_perm_id += 1
        self.next_ids[client.id] = r.order_id + 1
        self.board.add(entry)
        return entry

    def _group(self, name: str, parent: Entry | None) -> int:
        """Number of a one-cancels-other group. The children of one parent are a group, as TWS makes them."""
        key: object = name or (parent.key if parent is not None else "")
        if not key:
            return 0
        return self._groups.setdefault(key, len(self._groups) + 1)

    def _family(self, entry: Entry) -> list[Entry]:
        """Orders that are sent on with this one: its parent and the parent's children, as far as they were held."""
        top = entry.parent or entry
        members = [top, *top.children] if entry.parent is not None else [top]
        return [each for each in members if each is entry or (each.number == 0 and not each.is_ended)]

    def _send_on(self, entry: Entry, now: int) -> None:
        """Hand an order to the exchange, or keep it until its time has come."""
        if entry.good_after > now:
            entry.shown = Shown.PRE_SUBMITTED
            self.board.announce(entry)
            self.exchange.timers.add(entry.good_after, Priority.BROKER, lambda ts: self._good_after(entry, ts))
        elif not self.is_connected:
            self._outage.append(entry)
            self.board.announce(entry)
        else:
            self._submit(entry, now)

    def _good_after(self, entry: Entry, ts: int) -> None:
        if not entry.is_ended:
            entry.good_after = 0
            self._send_on(entry, ts)

    def _submit(self, entry: Entry, now: int) -> None:
        parent = entry.parent
        if parent is not None and parent.number == 0 and parent.is_ended and not parent.filled:
            self.board.end(entry, Shown.CANCELLED, now)
            return
        request = msgspec.structs.replace(entry.request, group=entry.group, parent=self._parent_number(entry))
        number = self.exchange.place(request, now, entry.best)
        if isinstance(number, GuardRefused):
            self.board.reject(entry, f"Order rejected - reason:{number.text}", now)
            return
        entry.number = number
        self.board.by_number[number] = entry
        if self.exchange.status(number) is OrderStatus.REJECTED:
            return  # the report says why
        self.board.show_working(entry, now)

    def _preview(self, client: Client, r: requests.PlaceOrder, j: int, terms: Terms, now: int) -> None:
        order = replace(r.order, account=self.settings.account)
        state = self._what_if(terms, now)
        client.send(replies.OpenOrder(r.order_id, client.id, 0, self.contracts.wire(j), order, state))

    # -- changing and cancelling --------------------------------------------------------------------------------

    def _modify(self, client: Client, entry: Entry, r: requests.PlaceOrder, terms: Terms, now: int) -> None:
        new, old = terms.request, entry.request
        if (new.instrument, new.side, new.type, new.tif) != (old.instrument, old.side, old.type, old.tif):
            client.error(r.order_id, 105, "Order being modified does not match original order.", now)
            return
        entry.order = replace(r.order, parent_id=entry.order.parent_id, oca_group=entry.order.oca_group)
        if entry.number == 0:
            entry.request, entry.best, entry.good_after = new, terms.best, terms.good_after
            if r.order.transmit and entry not in self._outage:
                for each in self._family(entry):
                    self._send_on(each, now)
        else:
            left = new.quantity - entry.carried
            changed = msgspec.structs.replace(new, quantity=left, group=old.group, parent=self._parent_number(entry))
            refused = self.exchange.modify(entry.number, changed, now)
            if refused is not None:
                client.error(r.order_id, 201, f"Order rejected - reason:{refused.text}", now)
                return
            entry.request = changed
        self.settle(now)

    def _parent_number(self, entry: Entry) -> int:
        return entry.parent.number if entry.parent is not None else 0

    def cancel(self, client: Client, r: requests.CancelOrder, now: int) -> None:
        """Cancel one of the client's own orders."""
        entry = self.entries.get((client.id, r.order_id))
        if self.settings.read_only:
            found = invalid("bN", _READ_ONLY)
            client.error(r.order_id, found.code, found.text, now)
        elif entry is None:
            client.error(r.order_id, 10147, f"OrderId {r.order_id} that needs to be cancelled is not found.", now)
        elif entry.is_ended:
            text = f"OrderId {r.order_id} that needs to be cancelled cannot be cancelled, state: {entry.shown.value}."
            client.error(r.order_id, 10148, text, now)
        else:
            self._cancel(entry, now)
        self.settle(now)

    def global_cancel(self, client: Client, r: requests.GlobalCancel, now: int) -> None:
        """Cancel every order of the account, whoever placed it."""
        if self.settings.read_only:
            found = invalid("bN", _READ_ONLY)
            client.error(-1, found.code, found.text, now)
            return
        for entry in [each for each in self.entries.values() if not each.is_ended]:
            if not entry.is_ended:
                self._cancel(entry, now)
        self.settle(now)

    def cancel_all(self, instruments: set[int], now: int) -> None:
        """Cancel the open orders of some instruments: terms of before a split mean something else after it."""
        for entry in [each for each in self.entries.values() if each.instrument in instruments]:
            if not entry.is_ended:
                self._cancel(entry, now)
        self.settle(now)

    def _cancel(self, entry: Entry, now: int) -> None:
        if entry.number == 0:
            if entry in self._outage:
                self._outage.remove(entry)
            self.board.end(entry, Shown.CANCELLED, now)
            for child in entry.children:
                if child.number == 0 and not child.is_ended:
                    self.board.end(child, Shown.CANCELLED, now)
            return
        if entry.shown is Shown.PENDING_CANCEL:
            return
        entry.shown = Shown.PENDING_CANCEL
        self.board.tell(entry, entry.status())
        if self._faults.fills_after_cancel(entry.perm_id - FIRST_PERM_ID + 1):
            entry.late_fill = True
            self.board.end(entry, Shown.CANCELLED, now)
            self.exchange.timers.add(
                now + LATE_FILL_NS, Priority.BROKER, lambda ts: self.exchange.cancel(entry.number, ts)
            )
            return
        self.exchange.cancel(entry.number, now)

    # -- what the exchange reports ------------------------------------------------------------------------------

    def settle(self, now: int) -> None:
        """Tell what has happened at the exchange since the last call."""
        reports = self.exchange.take()
        while reports:
            for report in reports:
                entry = self.board.by_number.get(report.number)
                if entry is not None:
                    self._take(entry, report)
            reports = self.exchange.take()
        self.board.look_at_held(now)

    def _take(self, entry: Entry, report: Report) -> None:
        if report.is_fill:
            self.fills.take(entry, report)
        elif report.status is OrderStatus.REJECTED or report.reason in _REJECTIONS:
            self.board.reject(entry, f"Order rejected - reason:{REASON_TEXT[report.reason]}", report.ts)
        elif report.status in (OrderStatus.CANCELLED, OrderStatus.EXPIRED):
            self._cancelled(entry, report)
        elif report.status is OrderStatus.FILLED:
            self.board.end(entry, Shown.FILLED, report.ts)  # changed to what it had filled already
        elif report.status is OrderStatus.PENDING_CANCEL:
            return
        else:
            self._show_again(entry, report.ts)

    def _show_again(self, entry: Entry, ts: int) -> None:
        """The exchange has taken the order, or a change of it."""
        if entry.fills or entry.shown is not Shown.PRE_SUBMITTED or not self.board.show_working(entry, ts):
            self.board.announce(entry)

    def _cancelled(self, entry: Entry, report: Report) -> None:
        if entry.late_fill:
            return
        self.fills.show_children(entry)
        if report.reason is Reason.KILLED:
            self.board.end(entry, Shown.INACTIVE, report.ts)
            return
        if report.reason is Reason.IMMEDIATE_UNFILLED:
            entry.shown = Shown.PENDING_CANCEL
            self.board.tell(entry, entry.status())
        self.board.end(entry, Shown.CANCELLED, report.ts)

    def open_session(self, now: int) -> None:
        """The session has opened: orders that waited for it work."""
        self.board.look_at_held(now)

    def split(self, j: int) -> None:
        """Working orders of an instrument were adjusted for a split: show them as they are now."""
        for number in self.exchange.working(j):
            entry = self.board.by_number[number]
            row = self.exchange.state.orders[number - 1]
            quantity, limit, stop = float(row["quantity"]) + entry.carried, float(row["limit"]), float(row["stop"])
            aux = stop if entry.request.stop_price == entry.request.stop_price else entry.order.aux_price
            entry.order = replace(entry.order, quantity=quantity, limit_price=limit, aux_price=aux)
            entry.request = msgspec.structs.replace(
                entry.request,
                quantity=quantity - entry.carried,
                limit_price=limit,
                stop_price=stop,
                trail=float(row["trail"]),
            )
            self.board.announce(entry)

    # -- starting again -----------------------------------------------------------------------------------------

    def restore(self, entries: Iterable[Entry], fills: Iterable[Fill], next_ids: Mapping[int, int], now: int) -> None:
        """Go on with orders and executions that were remembered: open orders work at the exchange again."""
        for fill in fills:
            self.executions.add(fill)
        self.next_ids.update(next_ids)
        for entry in entries:
            self.board.add(entry)
            self.next_perm_id = max(self.next_perm_id, entry.perm_id + 1)
            if entry.is_ended:
                continue
            entry.group = self._group(entry.order.oca_group, entry.parent)
            was_cancelled = entry.shown is Shown.PENDING_CANCEL
            self._send_on(entry, now)
            if entry.was_triggered and entry.number:
                self.exchange.state.orders["triggered"][entry.number - 1] = 1
            if was_cancelled and not entry.is_ended:
                self._cancel(entry, now)
        self.settle(now)

    # -- asking -------------------------------------------------------------------------------------------------

    def next_id(self, client: Client, r: requests.NextId, now: int) -> None:
        """The lowest order id that the client may use."""
        client.send(replies.NextValidId(self.valid_id(client.id)))

    def valid_id(self, client_id: int) -> int:
        """The same, for the start of a connection."""
        return self._faults.rolled_back(client_id, self.next_ids.get(client_id, 1))

    def _may_tell(self, client: Client, now: int) -> bool:
        """Whether orders are told; else the client hears why not."""
        if self.settings.read_only and not self.settings.read_only_tells_orders:
            found = invalid("bN", _READ_ONLY)
            client.error(-1, found.code, found.text, now)
            return False
        return True

    def open_orders(self, client: Client, r: requests.OpenOrders, now: int) -> None:
        """The client's own open orders."""
        if not self._may_tell(client, now):
            return
        self.board.list_open(client, (each for each in self.entries.values() if each.client_id == client.id))

    def all_open_orders(self, client: Client, r: requests.AllOpenOrders, now: int) -> None:
        """Open orders of all clients."""
        if not self._may_tell(client, now):
            return
        self.board.list_open(client, self.entries.values())

    def auto_open_orders(self, client: Client, r: requests.AutoOpenOrders, now: int) -> None:
        """Client 0 owns orders that are placed in TWS itself; nobody places any in this one."""
        if client.id != 0:
            client.error(-1, 327, "Only the default client (i.e 0) can auto bind orders.", now)

    def completed_orders(self, client: Client, r: requests.CompletedOrders, now: int) -> None:
        """Orders that have ended."""
        if not self._may_tell(client, now):
            return
        for entry in self.entries.values():
            if entry.is_ended:
                client.send(entry.completed(self.settings.account))
        client.send(replies.CompletedOrdersEnd())

    def list_executions(self, client: Client, r: requests.Executions, now: int) -> None:
        """Executions that fit a filter, each with its commission."""
        account, zone = self.settings.account, self.settings.zone
        for fill in self.executions.matching(r.filter, self.contracts.wire, now):
            client.send(fill.execution(r.request, self.contracts.wire(fill.instrument), account, zone, client.version))
            client.send(fill.commission())
        client.send(replies.ExecutionsEnd(r.request))

    # -- the connection of TWS to the exchange ------------------------------------------------------------------

    def connect_exchange(self, now: int) -> None:
        """The exchange can be reached again: orders that waited are sent on."""
        self.is_connected = True
        waiting, self._outage = self._outage, []
        for entry in waiting:
            if not entry.is_ended:
                self._submit(entry, now)
        self.settle(now)

    def disconnect_exchange(self) -> None:
        """The exchange can not be reached: what comes now waits in TWS; what works there goes on."""
        self.is_connected = False


HANDLERS: Mapping[type, Callable[[OrderDesk, Client, Any, int], None]] = {
    requests.PlaceOrder: OrderDesk.place,
    requests.CancelOrder: OrderDesk.cancel,
    requests.GlobalCancel: OrderDesk.global_cancel,
    requests.NextId: OrderDesk.next_id,
    requests.OpenOrders: OrderDesk.open_orders,
    requests.AllOpenOrders: OrderDesk.all_open_orders,
    requests.AutoOpenOrders: OrderDesk.auto_open_orders,
    requests.CompletedOrders: OrderDesk.completed_orders,
    requests.Executions: OrderDesk.list_executions,
}
"""Which method answers which request."""
