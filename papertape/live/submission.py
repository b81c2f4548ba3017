"""The way of an order to TWS: judged on the whole account, journaled (durable), sent. Nothing else sends orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from brokers.ib import asks, events
from brokers.ib.changes import with_quantity
from brokers.ib.orders import Entry as OrderEntry
from brokers.ib.registry import Registry
from brokers.ib.session import IbSession
from papertape.core.guard import Approved, Refused
from papertape.core.model import NS_PER_S, OrderStatus
from papertape.core.orders import OrderRequest
from papertape.core.state import Reason
from papertape.core.timers import NEVER
from papertape.live import entries
from papertape.live.inbox import Inbox
from papertape.live.supervisor import Supervisor
from papertape.live.writer import EntryWriter


@dataclass(frozen=True, slots=True)
class Decided:
    """An order that was decided: its number, the request, when, and the reference price then (NaN unknown)."""

    number: int
    approved: Approved
    decided: int
    arrival: float


class Submission:
    """Judges, journals and sends. ``refuses`` says why nothing is sent at all now; empty where orders may be sent."""

    def __init__(
        self,
        *,
        ib: IbSession,
        supervisor: Supervisor,
        registry: Registry,
        writer: EntryWriter,
        inbox: Inbox,
        refuses: Callable[[], Refused | None],
        say: Callable[[int, str], None],
        day_end: Callable[[OrderRequest, int], int] = lambda request, decided: NEVER,
    ) -> None:
        self._ib = ib
        self._supervisor = supervisor
        self._registry = registry
        self._writer = writer
        self._inbox = inbox
        self._refuses = refuses
        self.day_end = day_end
        """When an order that was decided at a time (UTC ns) is over for certain."""
        self._say = say

    # -- orders -----------------------------------------------------------------------------------------------

    def submit(self, orders: Sequence[Decided], now: int) -> None:
        """Judge what one wake-up decided; what is approved is journaled and sent, the rest ends here.

        A family is sent whole or not at all: a parent never works without its exits.
        """
        verdicts = self._judge_all(orders, now)
        tops = {each.number: _top(each, orders) for each in orders}
        broken = {tops[number] for number, verdict in verdicts.items() if isinstance(verdict, Refused)}
        approved: list[Decided] = []
        for each in orders:
            verdict = verdicts[each.number]
            if isinstance(verdict, Refused):
                self._refuse(each, verdict, now)
            elif tops[each.number] in broken:
                self._refuse(each, Refused("family", "another order of its family was refused"), now)
            else:
                approved.append(Decided(each.number, verdict, each.decided, each.arrival))
        if approved:
            self.place(approved, now)

    def _judge_all(self, orders: Sequence[Decided], now: int) -> dict[int, Approved | Refused]:
        """Each order is judged with those before it counted as working."""
        verdicts: dict[int, Approved | Refused] = {}
        extra: dict[tuple[int, int], float] = {}
        groups: dict[tuple[int, int, int], float] = {}
        stale = self.stale(now)
        for each in orders:
            request = each.approved.request
            verdict = self._refused_parent(request, verdicts) or self._judge(request, now, extra, stale)
            verdicts[each.number] = verdict
            if isinstance(verdict, Refused) or request.parent:
                continue  # an order that waits for its parent does not count yet
            key = (request.instrument, int(request.side))
            added = request.quantity
            if request.group:  # of a one-cancels-other group only the largest counts
                before = groups.get((*key, request.group), 0.0)
                groups[(*key, request.group)] = max(before, request.quantity)
                added = max(0.0, request.quantity - before)
            extra[key] = extra.get(key, 0.0) + added
        return verdicts

    def _judge(
        self, request: OrderRequest, now: int, extra: dict[tuple[int, int], float], stale: Sequence[str]
    ) -> Approved | Refused:
        refused = self._refuses()
        if refused is not None:
            return refused
        buying, selling = self._ib.orders.working_quantities(request.instrument)
        buying += extra.get((request.instrument, 1), 0.0)
        selling += extra.get((request.instrument, -1), 0.0)
        return self._supervisor.approve(request, now, buying, selling, stale)

    def _refused_parent(self, request: OrderRequest, verdicts: Mapping[int, Approved | Refused]) -> Refused | None:
        if not request.parent or request.parent in verdicts:
            return None
        parent = self._ib.orders.entries.get(request.parent)
        if parent is None or (parent.status.is_final and not parent.filled):
            return Refused("parent", "its parent order has ended without filling")
        return None

    def stale(self, now: int) -> list[str]:
        """Symbols of what the account holds that have no fresh data; in lockstep a tape's data are as fresh as can be."""
        if self._ib.settings.in_lockstep:
            return []
        within = round(self._supervisor.settings.stale_s * NS_PER_S)
        if not within:
            return []
        market = self._ib.market
        return [self._registry.symbols[j] for j in self._supervisor.held if not market.is_fresh(j, now, within)]

    def _refuse(self, order: Decided, refused: Refused, now: int) -> None:
        self._writer.note(now, refusal_of(order, refused.rule, refused.text))
        self._say(now, f"order {order.number} refused ({refused.rule}): {refused.text}")
        self._inbox.put([events.OrderChanged(order.number, OrderStatus.REJECTED, now, refused.text)])

    def place(self, orders: Sequence[Decided], now: int, *, by_guard: bool = False) -> None:
        """Journal what is about to be sent, all of it durable, then send it. Raises JournalError: then nothing is sent."""
        parents = {each.approved.request.parent for each in orders}
        admitted: list[OrderEntry] = []
        for at, each in enumerate(orders):
            request = each.approved.request
            # A family is held at TWS until its last member has come, so that a parent never works without its exits.
            is_held = each.number in parents or any(
                other.approved.request.parent == request.parent and request.parent for other in orders[at + 1 :]
            )
            entry = self._ib.orders.admit(each.number, request, transmit=not is_held)
            entry.day_end = self.day_end(request, each.decided)
            admitted.append(entry)
            intended = entries.Intended(
                each.number, entry.order_id, entry.order_ref, request, each.decided, each.arrival, not is_held, by_guard
            )
            write = self._writer.note if at + 1 < len(orders) else self._writer.commit
            write(now, intended)
        for entry in admitted:
            self._ib.orders.send(entry)

    # -- what works -------------------------------------------------------------------------------------------

    def cancel(self, number: int, reason: Reason, now: int, *, again: bool = False) -> None:
        """Ask for the end of an order, whatever the state of the connection: it is asked for after a break, too."""
        entry = self._ib.orders.entries.get(number)
        if entry is not None and not entry.status.is_final and (again or not entry.is_cancelling):
            self._writer.note(now, entries.CancelIntended(number, int(reason)))
            self._ib.orders.cancel(number, again=again)

    def modify(self, ask: asks.ModifyOrder, now: int) -> None:
        """Judge the change of an order, journal it and ask for it. What is refused leaves the order as it is."""
        entry = self._ib.orders.entries.get(ask.number)
        if entry is None or entry.status.is_final:
            return
        refused = self._refuses()
        if refused is None and entry.is_cancelling:
            refused = Refused("cancelled", "its end was asked for")
        verdict: Approved | Refused = refused if refused is not None else self._judge_change(entry, ask, now)
        if isinstance(verdict, Refused):
            text = f"the change of order {ask.number} was refused ({verdict.rule}): {verdict.text}"
            self._say(now, text)
            self._inbox.put([events.OrderAmended(ask.number, entry.request, now, text)])
            return
        self._writer.commit(now, entries.ChangeIntended(ask.number, verdict.request))
        self._ib.orders.modify(ask.number, verdict.request)

    def _judge_change(self, entry: OrderEntry, ask: asks.ModifyOrder, now: int) -> Approved | Refused:
        request = ask.approved.request
        taken_off = ask.known_quantity - entry.request.quantity
        if request.group and taken_off > 0.0:  # by its group, which the strategy had not heard when it decided
            if request.quantity - taken_off <= entry.filled:
                return Refused("group", "its group has filled what it asks for")
            request = with_quantity(request, request.quantity - taken_off)
        buying, selling = self._ib.orders.working_quantities(request.instrument)
        return self._supervisor.approve_change(
            request, entry.request, now, entry.filled, buying, selling, self.stale(now)
        )


def refusal_of(order: Decided, rule: str, text: str) -> entries.Refusal:
    """The entry of an order that ends on its way."""
    return entries.Refusal(order.number, rule, text, order.approved.request, order.decided, order.arrival)


def _top(order: Decided, orders: Sequence[Decided]) -> int:
    """Number of the head of an order's family, as far as it is decided now."""
    parents = {each.number: each.approved.request.parent for each in orders}
    number = order.number
    while parents.get(number, 0) in parents:
        number = parents[number]
    return number
