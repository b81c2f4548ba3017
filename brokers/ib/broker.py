"""The broker of the strategy side: hands approved orders on to the adapter, and takes in what came of them.

It marks with the same kernel as a backtest and matches nothing: orders are in the order table, where positions count
what is in flight, with a time of activity that never comes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from brokers import order_entry, reported
from brokers.ib.asks import Ask, CancelOrder, ModifyOrder, NoteEnded, SubmitOrder
from brokers.ib.events import FeeKnown, FillCorrected, OrderAmended, OrderChanged, OrderFilled
from brokers.marker import Marker, marking_terms
from papertape.core.compiled import entry_point
from papertape.core.guard import Approved
from papertape.core.lifecycle import OrderEvent, next_status
from papertape.core.model import OrderStatus, TimeInForce
from papertape.core.orders import OrderRequest
from papertape.core.state import Reason
from papertape.core.timers import NEVER

_PLACED = (0, 0, 0, 1, 0, 0, 1.0, math.nan, math.nan, math.nan, 0, 0, 0, 0, -1, 0, 0)
"""What ``place`` takes, by type."""
_ENDS = {
    OrderStatus.CANCELLED: Reason.BROKER,
    OrderStatus.REJECTED: Reason.BROKER,
    OrderStatus.EXPIRED: Reason.EXPIRED,
}
_WORKS = frozenset({OrderStatus.PENDING_SUBMIT, OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED})


class IbBroker(Marker):
    """Orders of a live run. ``post`` hands an ask to the adapter side; reports come back through ``take``."""

    def __init__(self, post: Callable[[Ask], None]) -> None:
        super().__init__(marking_terms())
        self.texts: dict[int, str] = {}
        """Order number -> what the broker said of it last, in its own words."""
        self.arrival: Callable[[int], float] = lambda number: math.nan
        """The reference price when an order was decided."""
        self._post = post
        self._reasons: dict[int, Reason] = {}
        self._adopted: dict[int, int] = {}
        """Number of an order of the guard's -> its number here."""
        self.booked: dict[str, int] = {}
        """Execution id -> the row of its report."""
        self._ends: dict[int, int] = {}
        """Number of an order for the day, or until a time -> when that ends."""
        self._place: Callable[..., int] = entry_point(order_entry.place, _PLACED)

    # -- to the adapter ---------------------------------------------------------------------------------------

    def submit(self, approved: Approved, number: int, now: int) -> None:
        """Take an order into the table and hand it on."""
        self.place(approved.request, number, now)
        if self.status(number).is_final:  # a child whose parent has ended is ended at once
            self._post(NoteEnded(number, approved.request, now, self.arrival(number)))
        else:
            self._post(SubmitOrder(number, approved, now, self.arrival(number)))

    def adopt(self, request: OrderRequest, number: int, theirs: int, now: int) -> None:
        """Take in an order that the account's guard sends, which knows it by another number."""
        self._adopted[theirs] = number
        self.place(request, number, now)

    def place(self, r: OrderRequest, number: int, now: int) -> None:
        """Take an order into the table, without sending it."""
        self._make_room()
        self._place(
            self._places.address, number - 1, r.instrument, r.side, r.type, r.tif, r.quantity, r.limit_price,
            r.stop_price, r.trail, r.trail_is_fraction, NEVER, now, r.group, r.parent - 1, r.outside_hours,
            int(OrderStatus.PENDING_SUBMIT),
        )  # fmt: skip
        closing = int(self._state.account["session_close"][0])
        if r.tif is TimeInForce.DAY and now < closing:
            self._ends[number] = closing
        elif r.tif is TimeInForce.GTD:
            self._ends[number] = r.expire_ts

    def cancel(self, number: int, now: int, reason: int) -> None:
        """Ask for an order's end; it may fill until that is reported."""
        if number not in self._reasons and self._change(number, OrderEvent.CANCEL_SENT):
            self._reasons[number] = Reason(reason)
            self._post(CancelOrder(number, reason))

    def modify(self, approved: Approved, number: int, now: int) -> None:
        """Ask for an order's quantity and prices to be replaced: it works on its old terms until the broker has done so."""
        if self.begin_change(number):
            self._post(ModifyOrder(number, approved, float(self._state.orders["quantity"][number - 1])))

    def begin_change(self, number: int) -> bool:
        """An order is being changed; False where it has ended."""
        return self._change(number, OrderEvent.MODIFY_SENT)

    def _change(self, number: int, event: OrderEvent) -> bool:
        status = self.status(number)
        if status.is_final:
            return False
        self._state.orders["status"][number - 1] = int(next_status(status, event))
        return True

    def status(self, number: int) -> OrderStatus:
        """Present state of an order."""
        return OrderStatus(int(self._state.orders["status"][number - 1]))

    # -- from the adapter -------------------------------------------------------------------------------------

    def take(self, event: OrderChanged | OrderAmended | OrderFilled | FeeKnown | FillCorrected) -> None:
        """Take in what the broker reported; the session's desk then tells whoever hears of it."""
        self._make_room(at_once=True)
        number = self.number_of(event.number)
        _TAKEN[type(event)](self, event if number == event.number else msgspec.structs.replace(event, number=number))

    def number_of(self, told: int) -> int:
        """The run's number of an order that the adapter side knows by another one: those of the guard's."""
        return self._adopted.get(told, told)

    def _take_fill(self, event: OrderFilled) -> None:
        if event.exec_id in self.booked:
            return
        at = reported.take_fill(
            self._places.address, event.number - 1, event.quantity, event.price, event.fee, event.exchange_ts
        )
        self.booked[event.exec_id] = at
        if event.fee == event.fee:
            self._mark_if_closed(event.number, event.exchange_ts)

    def _mark_if_closed(self, number: int, ts: int) -> None:
        """What is held no more is marked by no event: equity and drawdown would not know what closing it has brought."""
        j = self._state.orders["instrument"][number - 1]
        if not self._state.instruments["quantity"][j]:
            self.mark_closed(ts)

    def _take_fee(self, event: FeeKnown) -> None:
        at = self.booked.get(event.exec_id)
        assert at is not None, "a fee is told after its fill"
        reported.take_fee(self._places.address, at, event.fee)
        self._mark_if_closed(event.number, int(self._state.reports["ts"][at]))

    def _take_correction(self, event: FillCorrected) -> None:
        if event.exec_id in self.booked:
            return
        at = self.booked.pop(event.replaces)
        self.booked[event.exec_id] = at
        reported.correct_fill(self._places.address, at, event.quantity, event.price, self._state.reports["ts"][at])

    def _take_terms(self, event: OrderAmended) -> None:
        """The terms that the order works on: of a change that was taken or refused, or as the broker made them."""
        if event.text:
            self.texts[event.number] = event.text
        if self.status(event.number).is_final:
            return
        r = event.request
        address, row = self._places.address, event.number - 1
        order_entry.amend(address, row, event.ts, r.quantity, r.limit_price, r.stop_price, r.trail)

    def _take_status(self, event: OrderChanged) -> None:
        before = self.status(event.number)
        status = event.status
        if event.text:
            self.texts[event.number] = event.text
        if event.is_cancel_refused:
            self._reasons.pop(event.number, None)
        if before.is_final:
            return
        row = event.number - 1
        if status in _ENDS:
            is_unasked = status is OrderStatus.CANCELLED and event.number not in self._reasons
            if is_unasked and event.ts >= self._ends.get(event.number, NEVER):
                status = OrderStatus.EXPIRED  # TWS calls it a cancel
            reason = self._reasons.get(event.number, _ENDS[status])
            order_entry.finish(self._places.address, row, event.ts, int(status), int(reason))
            return
        if status in _WORKS and event.number in self._reasons:
            status = OrderStatus.PENDING_CANCEL  # asked for, and perhaps still on its way
        if status is before or status is OrderStatus.FILLED:  # fills say that themselves
            return
        if status is OrderStatus.SUBMITTED and before is OrderStatus.PENDING_SUBMIT:
            order_entry.acknowledge(self._places.address, row, event.ts)
        elif not (before is OrderStatus.PENDING_MODIFY and status in _WORKS):  # its terms say when that is over
            reported.take_status(self._places.address, row, event.ts, int(status), 0)

    # -- what only a simulated broker does ----------------------------------------------------------------------

    def begin_session(self, date: int, session_open: int, session_close: int, next_open: int) -> None:
        """The exchange's next (or present) session."""
        self._state.account["session_open"] = session_open
        self._state.account["session_close"] = session_close

    def end_session(self, ts: int) -> None:
        """The session closes: what that ends, the broker reports."""

    def split(self, instrument: int, ratio: float, ts: int) -> None:
        """A split is the broker's to make known, in positions and orders."""


_TAKEN: dict[type, Callable[[IbBroker, Any], None]] = {
    OrderFilled: IbBroker._take_fill,
    FeeKnown: IbBroker._take_fee,
    FillCorrected: IbBroker._take_correction,
    OrderAmended: IbBroker._take_terms,
    OrderChanged: IbBroker._take_status,
}
