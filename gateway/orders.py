"""Orders as TWS takes, shows and remembers them; the exchange behind fills them.

Codes and texts of errors are TWS's (IB.md section 4). What no real TWS has confirmed: the order of messages around a
cancel and a rejection, and how a busted execution is told.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgspec

from gateway import order_faults
from gateway.clients import Client
from gateway.contracts import Contracts, Refused
from gateway.costs import Costs
from gateway.exchange import Exchange, Report
from gateway.executions import Executions, Fill, exec_id
from gateway.order_entries import Entry, Shown
from gateway.order_faults import NO_FAULTS, OrderFaults
from gateway.order_terms import Rejected, Terms, invalid, understand, wire_time
from gateway.protocol import replies, requests
from gateway.protocol.replies import Reply
from gateway.settings import GatewaySettings
from papertape.core.guard import Refused as GuardRefused
from papertape.core.model import NS_PER_S, OrderStatus, OrderType, Side
from papertape.core.state import REASON_TEXT, Reason
from papertape.core.timers import NEVER, Priority

MOST_REMEMBERED = 100_000
"""Orders that are remembered after their end; the oldest are forgotten first."""
FIRST_PERM_ID = 1_206_700_001
LATE_FILL_NS = 5 * NS_PER_S
"""How long an order that was reported cancelled may still fill, where a scenario wants that."""

_READ_ONLY = "The API interface is currently in Read-Only mode."
_STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAIL, OrderType.TRAIL_LIMIT})
_REJECTIONS = frozenset({Reason.NO_CASH, Reason.NO_MARGIN, Reason.WOULD_GO_SHORT, Reason.NOT_TRADABLE, Reason.NO_PRICE})
"""Ends that TWS calls a rejection (201), not a cancel (202)."""


class Memory(Protocol):
    """Where orders and executions are kept over a restart."""

    def keep_order(self, entry: Entry) -> None:
        """An order is new or has changed."""

    def keep_execution(self, fill: Fill) -> None:
        """An execution happened or was revised."""


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
        self.costs = costs
        self.executions = Executions(settings.account, settings.zone)
        self.entries: dict[tuple[int, int], Entry] = {}
        self.next_ids: dict[int, int] = {}
        self.next_perm_id = FIRST_PERM_ID
        self.is_connected = True
        """Whether TWS is connected to the exchange; while it is not, orders wait in TWS."""
        self._clients = clients
        self._faults = faults
        self._memory = memory
        self._told_filled = filled
        self._what_if = what_if
        self._by_number: dict[int, Entry] = {}
        self._held: dict[int, Entry] = {}
        self._groups: dict[object, int] = {}
        self._outage: list[Entry] = []
        self._orders = 0
        self._fills = 0

    # -- telling ------------------------------------------------------------------------------------------------

    def _audience(self, client_id: int) -> list[Client]:
        """Who hears of a client's orders: itself and the master client."""
        ids = dict.fromkeys([client_id, self.settings.master_client])
        return [self._clients[each] for each in ids if each is not None and each in self._clients]

    def _tell(self, entry: Entry, reply: Reply) -> None:
        for client in self._audience(entry.client_id):
            client.send(reply)

    def _error(self, entry: Entry, code: int, text: str, now: int) -> None:
        owner = self._clients.get(entry.client_id)
        if owner is not None:
            owner.error(entry.order_id, code, text, now)

    def _announce(self, entry: Entry) -> None:
        """Tell an order's terms and state."""
        self._tell(entry, entry.open_order(self.settings.account))
        self._tell(entry, entry.status())
        self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        if self._memory is not None:
            self._memory.keep_order(entry)

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
            self._reject(entry, f"Order rejected - reason:{text}", now)
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
        self.entries[entry.key] = entry
        if len(self.entries) > MOST_REMEMBERED:
            self._forget_one()
        return entry

    def _forget_one(self) -> None:
        oldest = next((key for key, each in self.entries.items() if each.is_ended), None)
        if oldest is not None:
            self._by_number.pop(self.entries.pop(oldest).number, None)

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
            self._announce(entry)
            self.exchange.timers.add(entry.good_after, Priority.BROKER, lambda ts: self._good_after(entry, ts))
        elif not self.is_connected:
            self._outage.append(entry)
            self._announce(entry)
        else:
            self._submit(entry, now)

    def _good_after(self, entry: Entry, ts: int) -> None:
        if not entry.is_ended:
            entry.good_after = 0
            self._send_on(entry, ts)

    def _submit(self, entry: Entry, now: int) -> None:
        parent = entry.parent
        if parent is not None and parent.number == 0 and parent.is_ended and not parent.filled:
            self._end(entry, Shown.CANCELLED, now)
            return
        request = msgspec.structs.replace(entry.request, group=entry.group, parent=self._parent_number(entry))
        number = self.exchange.place(request, now, entry.best)
        if isinstance(number, GuardRefused):
            self._reject(entry, f"Order rejected - reason:{number.text}", now)
            return
        entry.number = number
        self._by_number[number] = entry
        if self.exchange.status(number) is OrderStatus.REJECTED:
            return  # the report says why
        self._show_working(entry, now)

    def _show_working(self, entry: Entry, now: int) -> bool:
        """Tell of an order that the exchange has: first PreSubmitted, then Submitted once it can act.

        Returns whether there was anything to tell.
        """
        number, before = entry.number, entry.shown
        if before is not Shown.PRE_SUBMITTED and not entry.request.outside_hours and not self.exchange.is_open(now):
            self._warn_of_hours(entry, now)
        shown = [] if self.settings.submits_directly or before is Shown.PRE_SUBMITTED else [Shown.PRE_SUBMITTED]
        if self.exchange.status(number) is not OrderStatus.PENDING_SUBMIT:
            is_working = not self._why_held(entry) and self._may_act(entry, now)
            if is_working and (entry.request.type is not OrderType.MARKET or self.settings.submits_directly):
                shown.append(Shown.SUBMITTED)
            elif not is_working:
                self._held[number] = entry
                shown = shown or ([Shown.PRE_SUBMITTED] if before is not Shown.PRE_SUBMITTED else [])
        for each in shown:
            entry.shown = each
            entry.why_held = self._why_held(entry) if each is Shown.PRE_SUBMITTED else ""
            self._announce(entry)
        return bool(shown)

    def _may_act(self, entry: Entry, now: int) -> bool:
        """Whether the order may fill at this time of day."""
        return entry.request.outside_hours or self.exchange.is_open(now)

    def _why_held(self, entry: Entry) -> str:
        """TWS's word for why an order does not work yet; empty where it does."""
        words = []
        if self.exchange.is_waiting(entry.number):
            words.append("child")
        if entry.request.type in _STOPS and not self.exchange.is_triggered(entry.number):
            words.append("trigger")
        return ",".join(words)

    def _warn_of_hours(self, entry: Entry, now: int) -> None:
        following = self.exchange.next_open(now)
        if following == NEVER:
            return
        at = dt.datetime.fromtimestamp(following // NS_PER_S, ZoneInfo(self.settings.zone))
        text = (
            f"Order Message:\n{entry.order.action} {entry.order.quantity:g} {entry.contract.symbol}\n"
            f"Warning: your order will not be placed at the exchange until {at:%Y-%m-%d %H:%M:%S} {self.settings.zone}"
        )
        entry.warning = text
        self._error(entry, 399, text, now)

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

    def _cancel(self, entry: Entry, now: int) -> None:
        if entry.number == 0:
            if entry in self._outage:
                self._outage.remove(entry)
            self._end(entry, Shown.CANCELLED, now)
            for child in entry.children:
                if child.number == 0 and not child.is_ended:
                    self._end(child, Shown.CANCELLED, now)
            return
        if entry.shown is Shown.PENDING_CANCEL:
            return
        entry.shown = Shown.PENDING_CANCEL
        self._tell(entry, entry.status())
        if self._faults.fills_after_cancel(entry.perm_id - FIRST_PERM_ID + 1):
            entry.late_fill = True
            self._end(entry, Shown.CANCELLED, now)
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
                entry = self._by_number.get(report.number)
                if entry is not None:
                    self._take(entry, report)
            reports = self.exchange.take()
        if self._held:
            self._look_at_held(now)

    def _take(self, entry: Entry, report: Report) -> None:
        if report.is_fill:
            self._fill(entry, report)
        elif report.status is OrderStatus.REJECTED or report.reason in _REJECTIONS:
            self._reject(entry, f"Order rejected - reason:{REASON_TEXT[report.reason]}", report.ts)
        elif report.status in (OrderStatus.CANCELLED, OrderStatus.EXPIRED):
            self._cancelled(entry, report)
        elif report.status is OrderStatus.FILLED:
            self._end(entry, Shown.FILLED, report.ts)  # changed to what it had filled already
        elif report.status is OrderStatus.PENDING_CANCEL:
            return
        else:
            self._show_again(entry, report.ts)

    def _show_again(self, entry: Entry, ts: int) -> None:
        """The exchange has taken the order, or a change of it."""
        if entry.fills or entry.shown is not Shown.PRE_SUBMITTED or not self._show_working(entry, ts):
            self._announce(entry)

    def _cancelled(self, entry: Entry, report: Report) -> None:
        if entry.late_fill:
            return
        if report.reason is Reason.KILLED:
            self._end(entry, Shown.INACTIVE, report.ts)
            return
        if report.reason is Reason.IMMEDIATE_UNFILLED:
            entry.shown = Shown.PENDING_CANCEL
            self._tell(entry, entry.status())
        self._end(entry, Shown.CANCELLED, report.ts)

    def _reject(self, entry: Entry, text: str, now: int) -> None:
        self._error(entry, 201, text, now)
        self._end(entry, Shown.CANCELLED if entry.fills else Shown.INACTIVE, now, is_told=True)
        self._announce(entry)

    def _end(self, entry: Entry, shown: Shown, now: int, *, is_told: bool = False) -> None:
        """Give an order its last state, and tell it unless the caller does."""
        entry.shown, entry.why_held = shown, ""
        entry.ended = now
        entry.completed_time = wire_time(now, self.settings.zone, entry.version)
        filled = f"Filled Size: {entry.filled:g}"
        entry.completed_status = filled if shown is Shown.FILLED else "Cancelled by Trader"
        self._held.pop(entry.number, None)
        if is_told:
            return
        if shown is Shown.CANCELLED:
            self._error(entry, 202, "Order Canceled - reason:", now)
            self._tell(entry, entry.status())
            self._keep(entry)
        else:
            self._announce(entry)

    def _look_at_held(self, now: int) -> None:
        """Orders that could not act yet: a trigger was reached, a parent has filled, the session has opened."""
        for entry in list(self._held.values()):
            why = self._why_held(entry)
            if not why and self._may_act(entry, now):
                del self._held[entry.number]
                entry.shown, entry.why_held = Shown.SUBMITTED, ""
                self._announce(entry)
            elif why != entry.why_held:
                entry.why_held = why
                self._tell(entry, entry.status())

    def open_session(self, now: int) -> None:
        """The session has opened: orders that waited for it work."""
        self._look_at_held(now)

    def split(self, j: int) -> None:
        """Working orders of an instrument were adjusted for a split: show them as they are now."""
        for number in self.exchange.working(j):
            entry = self._by_number[number]
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
            self._announce(entry)

    # -- fills --------------------------------------------------------------------------------------------------

    def _fill(self, entry: Entry, report: Report) -> None:
        """Tell a fill, in parts where a scenario wants that: execution, order, status, commission."""
        self._fills += 1
        parts = order_faults.parts(report.quantity, report.fee, self._faults.splits(self._fills))
        is_done = report.status is OrderStatus.FILLED
        for k, (quantity, fee) in enumerate(parts):
            fill = self._book(entry, report, quantity, fee)
            for client in self._audience(entry.client_id):
                client.send(
                    fill.execution(-1, entry.contract, self.settings.account, self.settings.zone, client.version)
                )
            if not entry.late_fill:
                is_last = is_done and k == len(parts) - 1
                self._show_filled(entry, report, is_last=is_last)
            self._tell(entry, fill.commission())
            self._told_filled(entry.instrument, report.ts)
            if k == 0:
                self._revise_later(fill, report)
        if entry.group:
            self._show_group(entry, report)

    def _show_filled(self, entry: Entry, report: Report, *, is_last: bool) -> None:
        if is_last:
            self._end(entry, Shown.FILLED, report.ts)
            return
        if entry.shown is not Shown.PENDING_CANCEL:
            entry.shown, entry.why_held = Shown.SUBMITTED, ""
            self._held.pop(entry.number, None)
        self._announce(entry)

    def _book(self, entry: Entry, report: Report, quantity: float, fee: float) -> Fill:
        """Add a fill, or a part of one, to the order, the costs and the executions."""
        j = entry.instrument
        instrument = self.exchange.instruments[j]
        signed = quantity if entry.request.side is Side.BUY else -quantity
        serial = self.executions.last_serial + 1
        realised = self.costs.fill(j, exec_id(serial), signed, report.price, fee)
        entry.filled += quantity
        entry.value += quantity * report.price
        entry.last_price = report.price
        entry.fills += 1
        adds = entry.request.type is OrderType.LIMIT and report.price == entry.request.limit_price
        fill = Fill(
            serial=serial, revision=1, ts=report.ts, instrument=j, signed=signed,
            price=report.price, fee=fee, realised=realised, currency=instrument.currency, order_id=entry.order_id,
            client_id=entry.client_id, perm_id=entry.perm_id, cumulative=entry.filled,
            average_price=entry.average_price, order_ref=entry.order.order_ref, liquidity=1 if adds else 2,
        )  # fmt: skip
        self._add_execution(fill)
        return fill

    def _add_execution(self, fill: Fill) -> None:
        self.executions.add(fill)
        if self._memory is not None:
            self._memory.keep_execution(fill)

    def _show_group(self, entry: Entry, report: Report) -> None:
        """What a fill takes off the other orders of its group; a group of type 1 ends with its first fill."""
        fellows = [each for each in self._by_number.values() if each.group == entry.group and each is not entry]
        for each in fellows:
            if each.is_ended:
                continue
            quantity = float(self.exchange.state.orders["quantity"][each.number - 1]) + each.carried
            if entry.order.oca_type == 1 and report.status is not OrderStatus.FILLED:
                self.exchange.cancel(each.number, report.ts, Reason.GROUP_FILLED)
            elif not self.exchange.status(each.number).is_final and quantity != each.order.quantity:
                each.order = replace(each.order, quantity=quantity)
                self._announce(each)

    def _revise_later(self, fill: Fill, report: Report) -> None:
        """A correction or a bust of an execution, one second later, where a scenario wants one."""
        price = self._faults.corrects(self._fills, fill.price)
        busted = self._faults.busts(self._fills)
        if busted or price == price:
            new_price = 0.0 if busted else price
            self.exchange.timers.add(
                report.ts + NS_PER_S, Priority.BROKER, lambda ts: self._revise(fill.serial, new_price, ts)
            )

    def _revise(self, serial: int, price: float, ts: int) -> None:
        """Correct an execution's price, or bust it (price 0): money, costs and position follow."""
        old = self.executions.get(serial)
        revised = exec_id(serial, old.revision + 1)
        if price == 0.0:
            self.exchange.book_bust(old.instrument, old.signed, old.price, old.fee, ts)
            self.costs.bust(old.exec_id)
            fill = self.executions.revised(serial, signed=0.0, price=0.0, fee=0.0, realised=math.nan)
        else:
            self.exchange.book_correction(old.instrument, old.signed, old.price, price)
            rebuilt = self.costs.correct(old.exec_id, revised, old.signed, price, old.fee)
            fill = self.executions.revised(serial, price=price, realised=rebuilt.realised[revised])
        if self._memory is not None:
            self._memory.keep_execution(fill)
        contract = self.contracts.wire(fill.instrument)
        for client in self._audience(fill.client_id):
            client.send(fill.execution(-1, contract, self.settings.account, self.settings.zone, client.version))
            client.send(fill.commission())
        self._told_filled(fill.instrument, ts)

    # -- starting again -----------------------------------------------------------------------------------------

    def restore(self, entries: Iterable[Entry], fills: Iterable[Fill], next_ids: Mapping[int, int], now: int) -> None:
        """Go on with orders and executions that were remembered: open orders work at the exchange again."""
        for fill in fills:
            self.executions.add(fill)
        self.next_ids.update(next_ids)
        for entry in entries:
            self.entries[entry.key] = entry
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

    def open_orders(self, client: Client, r: requests.OpenOrders, now: int) -> None:
        """The client's own open orders."""
        self._list(client, (each for each in self.entries.values() if each.client_id == client.id))

    def all_open_orders(self, client: Client, r: requests.AllOpenOrders, now: int) -> None:
        """Open orders of all clients."""
        self._list(client, self.entries.values())

    def auto_open_orders(self, client: Client, r: requests.AutoOpenOrders, now: int) -> None:
        """Client 0 owns orders that are placed in TWS itself; nobody places any in this one."""
        if client.id != 0:
            client.error(-1, 327, "Only the default client (i.e 0) can auto bind orders.", now)

    def _list(self, client: Client, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if not entry.is_ended and (entry.number or entry.shown is not Shown.PENDING_SUBMIT):
                client.send(entry.open_order(self.settings.account))
                client.send(entry.status())
        client.send(replies.OpenOrdersEnd())

    def completed_orders(self, client: Client, r: requests.CompletedOrders, now: int) -> None:
        """Orders that have ended."""
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
