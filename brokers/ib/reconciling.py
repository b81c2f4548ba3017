"""What TWS told of the run's orders since it was asked, and what follows from it: after a break, or upon a doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brokers.ib import commands, translate
from brokers.ib.commands import Command
from brokers.ib.events import Notice
from brokers.ib.order_entries import DUST, Difference, Entry
from brokers.ib.records import CompletedOrder, OpenOrder
from papertape.core.model import OrderStatus, TimeInForce
from papertape.core.timers import NEVER

if TYPE_CHECKING:
    from brokers.ib.orders import IbOrders

KILLED = (TimeInForce.FOK, TimeInForce.IOC)
"""Times in force whose unfilled end TWS may call Inactive."""
_COMPLETED = {"Filled": OrderStatus.FILLED, "Inactive": OrderStatus.REJECTED}


class ToldOrders:
    """Open and completed orders of the run, as they were told since they were last asked for."""

    def __init__(self) -> None:
        self.open: dict[str, dict[int, OpenOrder]] = {}
        """Reference -> permanent id -> record."""
        self.completed: dict[str, CompletedOrder] = {}

    def clear(self) -> None:
        """They are asked for anew."""
        self.open.clear()
        self.completed.clear()

    def take_open(self, ref: str, record: OpenOrder, *, has_ended: bool) -> None:
        """An open order was told, or that it is open no more."""
        if not has_ended:
            self.open.setdefault(ref, {})[record.order.perm_id] = record
        elif ref in self.open:
            self.open[ref].pop(record.order.perm_id, None)
            if not self.open[ref]:
                del self.open[ref]

    # -- a break ----------------------------------------------------------------------------------------------

    def disconnected(self, orders: IbOrders, unsent: list[Command]) -> None:
        """Orders that had not left never did; the others are unknown until they are told again."""
        self.clear()
        not_left = {each.order_id for each in unsent if isinstance(each, commands.PlaceOrder)}
        for entry in orders.working():
            is_unsent = entry.order_id in not_left
            if is_unsent and not entry.is_acknowledged and entry.left_at == NEVER:
                _never_left(orders, entry)
                continue
            if is_unsent and entry.change is not None:
                orders.drop_change(entry, "the connection was lost before the change was sent")
            entry.is_cancel_lost = entry.is_cancelling
            orders.change(entry, OrderStatus.UNKNOWN, "the connection was lost")

    # -- all was told -----------------------------------------------------------------------------------------

    def reconcile(self, orders: IbOrders, *, is_last: bool) -> list[Difference]:
        """Set every order right; returns what can not be explained."""
        differences: list[Difference] = []
        for entry in orders.working():
            orders.fills.tell_held(entry)
            orders.settle(entry)
            if entry.status.is_final:
                continue
            told = self.open.get(entry.order_ref)
            if told:
                _go_on(orders, entry, list(told.values()))
            else:
                differences += self._unseen(orders, entry, is_last=is_last)
        return differences + self._still_open(orders, is_last=is_last)

    def _unseen(self, orders: IbOrders, entry: Entry, *, is_last: bool) -> list[Difference]:
        """An order that works, as far as we know, is not open at TWS."""
        name = f"order {entry.number} ({entry.order_ref})"
        done = self.completed.get(entry.order_ref)
        if done is not None:
            if done.filled == done.filled:
                orders.claim(entry, done.filled)
            if entry.status.is_final:
                return []
            status = _COMPLETED.get(done.status, OrderStatus.CANCELLED)
            if status is OrderStatus.FILLED and _is_all_heard(entry, done):
                orders.end_filled(entry)
                return []
            if status is OrderStatus.FILLED or done.filled > entry.filled + entry.busted + DUST:
                ours = f"{entry.filled:g} of {entry.request.quantity:g} filled"
                return [Difference(name, ours, f"{done.status}, by executions that it does not tell")]
            if status is OrderStatus.REJECTED and (entry.filled > 0.0 or entry.request.tif in KILLED):
                status = OrderStatus.CANCELLED
            orders.acknowledge(entry)
            orders.change(entry, status, done.completed_status)
            return []
        if entry.is_acknowledged and orders.now >= entry.day_end:
            # TWS tells ended orders of the present day only. Fills that were not heard would show in the position.
            orders.change(entry, OrderStatus.EXPIRED, "its day was over before TWS was asked about it")
            return []
        if entry.is_acknowledged:
            return [Difference(name, word(entry.status), "unknown to TWS")]
        if not is_last:
            return [Difference(name, "sent", "unknown to TWS")]
        # Journaled and perhaps sent, but TWS knows nothing of it, open or ended: it never arrived. It is not sent again.
        orders.change(entry, OrderStatus.REJECTED, "it never reached TWS")
        return []

    def _still_open(self, orders: IbOrders, *, is_last: bool) -> list[Difference]:
        """Orders that have ended, as far as we know, and work at TWS: they are cancelled."""
        differences = []
        for ref, told in self.open.items():
            parsed = translate.parse_order_ref(ref)
            entry = orders.entries.get(parsed[1]) if parsed is not None else None
            if entry is None or not entry.status.is_final:
                continue
            for record in told.values():
                differences.append(Difference(f"order {entry.number} ({ref})", word(entry.status), record.status))
                if is_last:
                    orders.request(commands.CancelOrder(record.order_id))
        return differences


def _is_all_heard(entry: Entry, done: CompletedOrder) -> bool:
    """Whether the executions of an order that has filled were all told: a change or its group may have made it smaller."""
    whole = done.filled if done.filled == done.filled else entry.request.quantity
    return 0.0 < whole <= entry.filled + DUST


def _never_left(orders: IbOrders, entry: Entry) -> None:
    orders.change(entry, OrderStatus.REJECTED, "the connection was lost before it was sent")
    parent = orders.entries.get(entry.request.parent)
    if parent is not None and not parent.status.is_final:
        parent.is_cancelling = parent.is_cancel_lost = True  # it must not work without its exits


def _go_on(orders: IbOrders, entry: Entry, told: list[OpenOrder]) -> None:
    """An order works at TWS: what was asked of it and may have been lost is asked again, or taken back."""
    last = told[-1].order.perm_id
    if last in entry.perm_ids:
        entry.perm_ids.remove(last)
        entry.perm_ids.append(last)
    for record in told[:-1]:  # a change that crossed a break can leave several orders with one reference
        if record.order_id == told[-1].order_id:
            text = f"order {entry.number} was there twice under one id: both are cancelled"
            entry.is_cancelling = entry.is_cancel_lost = True
        else:
            text = f"order {entry.number} was there twice; the older one is cancelled"
            orders.request(commands.CancelOrder(record.order_id))
        orders.emit(Notice(0, text))
    if entry.change is not None:
        orders.drop_change(entry, "the connection was lost, and the change with it")
    is_heard = not entry.is_cancel_lost and told[-1].status == "PendingCancel"
    if entry.is_cancelling and not is_heard:
        orders.request(commands.CancelOrder(entry.order_id))
    entry.is_cancel_lost = False


def word(status: OrderStatus) -> str:
    """A status in words."""
    return status.name.lower().replace("_", " ")
