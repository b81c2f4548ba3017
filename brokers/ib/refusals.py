"""What becomes of an order when TWS answers it with an error or a warning, by the class of the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from brokers.ib import codes, commands
from brokers.ib.codes import CodeClass
from brokers.ib.events import Notice
from brokers.ib.order_entries import Entry
from brokers.ib.records import ErrorMessage
from papertape.core.model import OrderStatus

if TYPE_CHECKING:
    from brokers.ib.orders import IbOrders

NEW_IDS_MOST = 5
"""How often an order gets another id because TWS has seen its id before."""
_STATE = re.compile(r"state: *([A-Za-z]+)")
"""What 10148 says of the order that can not be cancelled."""


def take(orders: IbOrders, entry: Entry, record: ErrorMessage) -> None:
    """An error about an order of the run. What is no more than a warning leaves the order as it is."""
    kind = codes.classify(record.code, record.text)
    handle = _HANDLERS.get(kind)
    if handle is not None:
        handle(orders, entry, record)
        return
    entry.text = _text(record)
    orders.emit(Notice(record.code, f"order {entry.number}: {record.text}", kind is CodeClass.UNKNOWN))


def _text(record: ErrorMessage) -> str:
    advice = codes.advice(record.code, record.text)
    return f"{record.code}: {record.text}" + (f" ({advice})" if advice else "")


def _cancelled(orders: IbOrders, entry: Entry, record: ErrorMessage) -> None:
    orders.acknowledge(entry)
    orders.change(entry, OrderStatus.CANCELLED, "" if entry.is_cancelling else _text(record))


def _cancel_refused(orders: IbOrders, entry: Entry, record: ErrorMessage) -> None:
    """The order has ended, or its end is on its way, or TWS does not know it: its text says which, or TWS is asked."""
    if entry.status.is_final:
        return
    match = _STATE.search(record.text)
    state = match[1] if match is not None else ""
    if state == "PendingCancel":
        return
    if state == "Filled":
        orders.claim(entry, entry.request.quantity)
        return
    if state in ("Cancelled", "ApiCancelled"):
        orders.change(entry, OrderStatus.CANCELLED)
        return
    entry.is_cancelling = False
    entry.text = _text(record)
    text = f"order {entry.number} could not be cancelled: {record.text}"
    orders.emit(Notice(record.code, text))
    status = OrderStatus.SUBMITTED if entry.status is OrderStatus.PENDING_CANCEL else entry.status
    orders.change(entry, status, entry.text, is_cancel_refused=True)
    orders.raise_doubt(text)


def _rejected(orders: IbOrders, entry: Entry, record: ErrorMessage) -> None:
    if entry.change is not None and entry.is_acknowledged:
        _change_refused(orders, entry, record)
        return
    orders.acknowledge(entry)
    entry.text = _text(record)
    orders.change(entry, OrderStatus.REJECTED if entry.filled == 0.0 else OrderStatus.CANCELLED, entry.text)


def _request_failed(orders: IbOrders, entry: Entry, record: ErrorMessage) -> None:
    """A request about the order was not valid: the order itself, or with an order that TWS has, what was asked of it."""
    if entry.change is not None or not entry.is_acknowledged:
        _rejected(orders, entry, record)
        return
    text = f"order {entry.number}: {record.text}"
    orders.emit(Notice(record.code, text))
    if not entry.status.is_final:
        orders.raise_doubt(text)


def _change_refused(orders: IbOrders, entry: Entry, record: ErrorMessage) -> None:
    orders.emit(Notice(record.code, f"the change of order {entry.number} was refused: {record.text}"))
    if entry.change is not None:
        orders.drop_change(entry, _text(record))
    orders.ask_open()  # whether it works on at all


def _duplicate_id(orders: IbOrders, entry: Entry, record: ErrorMessage) -> None:
    """TWS has seen the id before, so it did not take the order: it gets another one and is sent again.

    Members of a family name each other by their ids, so one of those is not taken at all; nor is one that was changed
    or cancelled on its way.
    """
    if entry.status.is_final:
        return
    if entry.is_acknowledged or entry.perm_ids:
        text = f"TWS calls the id of order {entry.number} a duplicate, which it knows"
        orders.emit(Notice(record.code, text, halts=True))
    elif entry.is_cancelling:
        _end_untaken(orders, entry, OrderStatus.CANCELLED, "")
    elif entry.request.parent or entry.children or entry.change is not None or entry.new_ids >= NEW_IDS_MOST:
        _end_untaken(orders, entry, OrderStatus.REJECTED, _text(record))
        orders.request(commands.AskIds())
    else:
        text = f"order {entry.number} was given another id: TWS had seen its first one before"
        orders.emit(Notice(record.code, text))
        orders.send_anew(entry)


def _end_untaken(orders: IbOrders, entry: Entry, status: OrderStatus, text: str) -> None:
    """An order that TWS did not take is not given again, and neither are its children."""
    orders.acknowledge(entry)
    entry.text = text
    orders.change(entry, status, text)
    for number in entry.children:
        orders.cancel(number)


_HANDLERS: Mapping[CodeClass, Callable[[IbOrders, Entry, ErrorMessage], None]] = {
    CodeClass.ORDER_CANCELLED: _cancelled,
    CodeClass.DUPLICATE_ORDER_ID: _duplicate_id,
    CodeClass.CANCEL_REFUSED: _cancel_refused,
    CodeClass.ORDER_REJECTED: _rejected,
    CodeClass.REQUEST_FAILED: _request_failed,
    CodeClass.MODIFY_REFUSED: _change_refused,
}
