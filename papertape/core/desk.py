"""The order desk: takes a strategy's requests past the guard to the broker, and brings back what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from papertape.core.guard import Approved, Guard, Refused
from papertape.core.ledger import Ledger
from papertape.core.model import Fill, OrderStatus, OrderType, OrderUpdate, Side
from papertape.core.orders import OrderBook, OrderRequest
from papertape.core.ports import Broker, Handlers, Journal, WakeUp
from papertape.core.run_log import RunLog
from papertape.core.state import QUOTE_FRESH_NS, REASON_TEXT, Reason
from papertape.core.watching import Watchlist

PAST = "bars of the past are heard to warm up; no order can be given on them"


class Desk:
    """Every order of a run goes through here, in both directions."""

    def __init__(
        self,
        *,
        handlers: Handlers,
        broker: Broker,
        guard: Guard,
        ledger: Ledger,
        journal: Journal,
        watchlist: Watchlist,
        log: RunLog,
    ) -> None:
        self.book = OrderBook(ledger.state)
        self.guard = guard
        self.stop_on_report = bool(handlers.fill or handlers.order or guard.watches_cash)
        """Whether the kernel must stop at every report, because somebody hears of it."""
        self.ready: list[WakeUp] = []
        """Wake-ups that the desk itself made: orders that were refused."""
        self._handlers = handlers
        self._broker = broker
        self._ledger = ledger
        self._state = ledger.state
        self._watchlist = watchlist
        self._log = log
        self._drained = 0
        self._journaled = 0
        self._groups = 0
        # readers of single fields: they are asked at every order
        records = self._state.instruments
        self._last, self._bid, self._ask, self._quote_ts = (
            records[name].item for name in ("last", "bid", "ask", "quote_ts")
        )
        self._count = self._state.account["reports"].item
        self._write, self._write_reports = journal.write, journal.write_reports
        # and functions, which are looked up once
        self._watched, self._approve = watchlist.watched, guard.approve
        self._add, self._submit = self.book.add, broker.submit
        self._working = self._state.account["working"].item
        self.flattens = False
        """Whether a trip still has to close what is held."""
        self.texts: Mapping[int, str] = {}
        """Order number -> why a broker ended it, in words of its own."""
        self.is_past = False
        """Whether the strategy is hearing bars of the past, on which no order can be given."""
        self.past_orders = 0
        """Orders, changes and cancels that it asked for meanwhile."""

    # -- to the broker ------------------------------------------------------------------------------------

    def reference_price(self, j: int, now: int) -> float:
        """Middle of a fresh quote, else the last price; NaN unknown. What an order is compared with on arrival."""
        quoted = self._quote_ts(j)
        if quoted and now - quoted <= QUOTE_FRESH_NS:
            middle = float(self._bid(j) + self._ask(j)) / 2.0
            if middle == middle:
                return middle
        return float(self._last(j))

    def submit(self, request: OrderRequest, now: int) -> tuple[int, str]:
        """Have an order approved and sent; returns its number and, where the guard refused it, 0 and why."""
        if self.is_past:
            self.past_orders += 1
            return 0, PAST
        j = request.instrument
        if j not in self._watched:
            self._watchlist.watch(j, now)
        reference = self.reference_price(j, now) if self._quote_ts(j) else self._last(j)
        approved = self._approve(request, now, reference)
        if isinstance(approved, Refused):
            self._refused(request, approved, now)
            return 0, approved.text
        number = self._send(approved, request, now, reference)
        return number, ""

    def _send(self, approved: Approved, request: OrderRequest, now: int, reference: float) -> int:
        number = self._add(request, now, reference)
        count = self._count(0)
        if count != self._journaled:
            self._write_reports(self._journaled, count)
            self._journaled = count
        self._write(("order", now, number, request))
        self._submit(approved, number, now)
        return number

    def _refused(self, request: OrderRequest, refused: Refused, now: int) -> None:
        self.write_reports()
        self._write(("refused", now, refused.rule, request))
        text = f"{request.side.name} {request.quantity:g} {request.symbol}: {refused.text}"
        self._log.guarded(now, "refused", refused.rule, text)
        if self._handlers.order is not None:
            update = OrderUpdate(
                now, 0, request.symbol, request.side, request.quantity, 0.0, OrderStatus.REJECTED, refused.text
            )
            self.ready.append((self._handlers.order, update))

    def cancel(self, number: int, now: int, reason: Reason = Reason.CANCEL_REQUESTED) -> None:
        """Ask for a working order to be cancelled."""
        if self.is_past:
            self.past_orders += 1
            return
        self.write_reports()
        self._write(("cancel", now, number, REASON_TEXT[reason]))
        self._broker.cancel(number, now, reason)

    def modify(self, number: int, quantity: float | None, limit: float | None, stop: float | None, now: int) -> None:
        """Ask for an order's total quantity or prices to be replaced; the guard judges it as a new order."""
        if self.is_past:
            self.past_orders += 1
            return
        if self.book.status(number).is_final:
            return
        row = self._state.orders[number - 1]  # as it stands: splits and its group may have changed what was asked for
        old = msgspec.structs.replace(
            self.book.requests[number - 1],
            quantity=float(row["quantity"]),
            limit_price=float(row["limit"]),
            stop_price=float(row["stop"]),
            trail=float(row["trail"]),
        )
        given = {"quantity": quantity, "limit_price": limit, "stop_price": stop}
        changes: dict[str, Any] = {name: float(value) for name, value in given.items() if value is not None}
        request = msgspec.structs.replace(old, **changes)
        reference = self.reference_price(request.instrument, now)
        outcome = self.guard.approve_change(request, old, now, reference, float(row["filled"]))
        if isinstance(outcome, Refused):
            self._refused(request, outcome, now)
            return
        self.book.requests[number - 1] = request
        self.write_reports()
        self._write(("modify", now, number, request))
        self._broker.modify(outcome, number, now)

    def new_group(self) -> int:
        """A new number for a one-cancels-other group."""
        self._groups += 1
        return self._groups

    # -- from the broker ------------------------------------------------------------------------------------

    def has_news(self) -> bool:
        """Whether there are reports or refusals that somebody has to hear of."""
        if self.ready:
            return True
        is_listening = self.stop_on_report or self._watchlist.unheard or self.flattens
        return bool(is_listening and self._count(0) != self._drained)

    def write_reports(self) -> None:
        """Journal the reports that came since; before any decision that follows them."""
        count = self._count(0)
        if count != self._journaled:
            self._write_reports(self._journaled, count)
            self._journaled = count

    def hear(self, now: int) -> Iterator[WakeUp]:
        """Let the guard and the strategy hear of new fills and status changes, each in its turn."""
        while self.ready:
            yield self.ready.pop(0)
        if self.flattens and self._working(0) == 0:
            self._flatten(now)
        if self.guard.watches_cash and not self.guard.blocked and self.guard.tripped_rule():
            yield from self.trip(now)
        if not self.stop_on_report:
            first, self._drained = self._drained, int(self._count(0))
            if self._watchlist.unheard:
                for j in set(self._state.reports["instrument"][first : self._drained].tolist()):
                    self._watchlist.release(j)
            return
        while self._drained < int(self._count(0)):
            x = self._state.reports[self._drained]
            self._drained += 1
            self._watchlist.release(int(x["instrument"]))
            if self.guard.watches_cash and not self.guard.blocked and self.guard.tripped_rule():
                yield from self.trip(now)
            yield from self._tell(x)
            while self.ready:
                yield self.ready.pop(0)

    def _tell(self, x: Any) -> Iterator[WakeUp]:
        number = int(x["order"]) + 1
        request = self.book.requests[number - 1]
        ts = int(x["ts"])
        handlers = self._handlers
        if x["quantity"] > 0.0 and handlers.fill is not None:
            quantity, price, fee = float(x["quantity"]), float(x["price"]), float(x["fee"])
            yield handlers.fill, Fill(ts, request.symbol, request.side, quantity, price, fee, number)
        if handlers.order is not None:
            filled = float(self._state.orders["filled"][number - 1])
            reason = REASON_TEXT[Reason(int(x["reason"]))]
            if int(x["reason"]) == Reason.BROKER:
                reason = self.texts.get(number, reason)
            status = OrderStatus(int(x["status"]))
            yield (
                handlers.order,
                OrderUpdate(ts, number, request.symbol, request.side, request.quantity, filled, status, reason),
            )

    def trip(self, now: int) -> Iterator[WakeUp]:
        """The guard tripped: block, cancel what works, flatten if so configured; each step is noted. Latches."""
        guard = self.guard
        if guard.blocked:
            return
        rule = guard.tripped_rule()
        account = self._state.account[0]
        text = f"{rule}: equity {float(account['equity']):,.2f}, cash {float(account['cash']):,.2f}"
        self.flattens = guard.settings.flatten
        yield from self._block(now, rule, text)

    def note_trip(self, now: int, rule: str, text: str) -> Iterator[WakeUp]:
        """A guard elsewhere tripped, which cancels and flattens by itself: block here too, and note it."""
        if not self.guard.blocked:
            self.guard.rule = rule
            yield from self._block(now, rule, text)

    def _block(self, now: int, rule: str, text: str) -> Iterator[WakeUp]:
        self.guard.blocked = True
        self.write_reports()
        self._write(("guard", now, "trip", text))
        self._log.guarded(now, "trip", rule, text)
        for number in self.book.working():
            self.cancel(number, now, Reason.GUARD)
            self._log.guarded(now, "cancelled", rule, f"order {number}")
        yield from self.hear(now)

    def adopt(self, request: OrderRequest, now: int) -> int:
        """Note an order that a guard elsewhere sends to close what is held; returns its number."""
        number = self._add(request, now, self.reference_price(request.instrument, now))
        self.write_reports()
        self._write(("order", now, number, request))
        self._log.guarded(now, "flattened", self.guard.rule, request.symbol)
        return number

    def restore(self, request: OrderRequest, decided: int, arrival: float) -> int:
        """Note an order that was decided by a process before this one, as it was then; returns its number."""
        number = self._add(request, decided, arrival)
        self.write_reports()
        self._write(("order", decided, number, request))
        return number

    def restore_change(self, number: int, request: OrderRequest, now: int) -> None:
        """Note a change that was asked for by a process before this one."""
        self.book.requests[number - 1] = request
        self.write_reports()
        self._write(("modify", now, number, request))

    def continue_groups(self, last: int) -> None:
        """Groups up to ``last`` are in use: new ones come after them."""
        self._groups = max(self._groups, last)

    def note_reset(self, now: int, text: str) -> None:
        """A person has reset the guard: what it had blocked may go on."""
        self.guard.blocked, self.guard.rule = False, ""
        self.write_reports()
        self._write(("guard", now, "reset", text))
        self._log.guarded(now, "reset", "", text)

    def _flatten(self, now: int) -> None:
        """Close what is held, once every cancel has been confirmed: an order still working could fill beside it."""
        self.flattens = False
        guard = self.guard
        for j, position in enumerate(self._ledger.positions):
            if position.quantity:
                side = Side.SELL if position.quantity > 0 else Side.BUY
                quantity = abs(position.quantity)
                request = OrderRequest(j, position.symbol, side, quantity, OrderType.MARKET, tag="guard")
                self._send(guard.approve_flattening(request), request, now, self.reference_price(j, now))
                self._log.guarded(now, "flattened", guard.rule, position.symbol)
