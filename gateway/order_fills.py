"""Fills of orders: executions, what they cost and realised, and what a scenario revises afterwards."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from gateway import order_faults
from gateway.costs import Costs
from gateway.exchange import Report
from gateway.executions import Executions, Fill, exec_id
from gateway.order_board import OrderBoard
from gateway.order_entries import Entry, Shown
from gateway.order_faults import OrderFaults
from papertape.core.model import NS_PER_S, OrderStatus, OrderType, Side
from papertape.core.state import Reason
from papertape.core.timers import Priority


class OrderFills:
    """Books and tells fills. ``filled`` is called with the instrument and the time of each, after it was told."""

    def __init__(
        self, board: OrderBoard, costs: Costs, faults: OrderFaults, filled: Callable[[int, int], None]
    ) -> None:
        self.board = board
        self.exchange = board.exchange
        self.costs = costs
        self.executions = Executions(board.settings.account, board.settings.zone)
        self._faults = faults
        self._told_filled = filled
        self._fills = 0

    def take(self, entry: Entry, report: Report) -> None:
        """Tell a fill, in parts where a scenario wants that: execution, order, status, commission."""
        self._fills += 1
        parts = order_faults.parts(report.quantity, report.fee, self._faults.splits(self._fills))
        is_done = report.status is OrderStatus.FILLED
        for k, (quantity, fee) in enumerate(parts):
            fill = self._book(entry, report, quantity, fee)
            for client in self.board.audience(entry.client_id):
                client.send(
                    fill.execution(
                        -1, entry.contract, self.board.settings.account, self.board.settings.zone, client.version
                    )
                )
            if not entry.late_fill:
                is_last = is_done and k == len(parts) - 1
                self._show_filled(entry, report, is_last=is_last)
            self.board.tell(entry, fill.commission())
            self._told_filled(entry.instrument, report.ts)
            if k == 0:
                self._revise_later(fill, report)
        if entry.group:
            self._show_group(entry, report)

    def _show_filled(self, entry: Entry, report: Report, *, is_last: bool) -> None:
        if is_last:
            self.board.end(entry, Shown.FILLED, report.ts)
            return
        if entry.shown is not Shown.PENDING_CANCEL:
            entry.shown, entry.why_held = Shown.SUBMITTED, ""
            self.board.release(entry)
        self.board.announce(entry)

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
        if self.board.memory is not None:
            self.board.memory.keep_execution(fill)

    def _show_group(self, entry: Entry, report: Report) -> None:
        """What a fill takes off the other orders of its group; a group of type 1 ends with its first fill."""
        fellows = [each for each in self.board.by_number.values() if each.group == entry.group and each is not entry]
        for each in fellows:
            if each.is_ended:
                continue
            if entry.order.oca_type == 1 and report.status is not OrderStatus.FILLED:
                self.exchange.cancel(each.number, report.ts, Reason.GROUP_FILLED)
            else:
                self._show_quantity(each)

    def show_children(self, entry: Entry) -> None:
        """An order has ended that did not fill completely: its children are for what it filled."""
        for child in entry.children:
            if child.number and not child.is_ended:
                self._show_quantity(child)

    def _show_quantity(self, entry: Entry) -> None:
        """Tell an order's quantity where the exchange has made it another one."""
        quantity = float(self.exchange.state.orders["quantity"][entry.number - 1]) + entry.carried
        if not self.exchange.status(entry.number).is_final and quantity != entry.order.quantity:
            entry.order = replace(entry.order, quantity=quantity)
            self.board.announce(entry)

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
        if old.exec_id not in (each.exec_id for each in self.costs.fills(old.instrument)):
            return  # a day has begun since, and the day before is settled
        revised = exec_id(serial, old.revision + 1)
        if price == 0.0:
            self.exchange.book_bust(old.instrument, old.signed, old.price, old.fee, ts)
            self.costs.bust(old.exec_id)
            fill = self.executions.revised(serial, signed=0.0, price=0.0, fee=0.0, realised=math.nan)
        else:
            self.exchange.book_correction(old.instrument, old.signed, old.price, price)
            rebuilt = self.costs.correct(old.exec_id, revised, old.signed, price, old.fee)
            fill = self.executions.revised(serial, price=price, realised=rebuilt.realised[revised])
        if self.board.memory is not None:
            self.board.memory.keep_execution(fill)
        contract = self.board.contracts.wire(fill.instrument)
        for client in self.board.audience(fill.client_id):
            client.send(
                fill.execution(-1, contract, self.board.settings.account, self.board.settings.zone, client.version)
            )
            client.send(fill.commission())
        self._told_filled(fill.instrument, ts)
