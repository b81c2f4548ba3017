"""The orders of an account on TWS's board: each one's state, and telling it to whoever is to hear it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Protocol
from zoneinfo import ZoneInfo

from gateway.clients import Client
from gateway.contracts import Contracts
from gateway.exchange import Exchange
from gateway.executions import Fill
from gateway.order_entries import Entry, Shown
from gateway.order_terms import wire_time
from gateway.protocol import replies
from gateway.protocol.replies import Reply
from gateway.settings import GatewaySettings
from papertape.core.model import NS_PER_S, OrderStatus, OrderType
from papertape.core.timers import NEVER

MOST_REMEMBERED = 100_000
"""Orders that are remembered after their end; the oldest are forgotten first."""
_STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAIL, OrderType.TRAIL_LIMIT})


class Memory(Protocol):
    """Where orders and executions are kept over a restart."""

    def keep_order(self, entry: Entry) -> None:
        """An order is new or has changed."""

    def keep_execution(self, fill: Fill) -> None:
        """An execution happened or was revised."""


class OrderBoard:
    """Orders by owner and id, and by their number at the exchange. ``clients`` are those connected, by client id."""

    def __init__(
        self,
        settings: GatewaySettings,
        exchange: Exchange,
        contracts: Contracts,
        clients: Mapping[int, Client],
        memory: Memory | None,
    ) -> None:
        self.settings = settings
        self.exchange = exchange
        self.contracts = contracts
        self.memory = memory
        self.entries: dict[tuple[int, int], Entry] = {}
        self.by_number: dict[int, Entry] = {}
        self._clients = clients
        self._held: dict[int, Entry] = {}

    def add(self, entry: Entry) -> None:
        """Put an order on the board; of those that have ended the oldest goes where there are too many."""
        self.entries[entry.key] = entry
        if len(self.entries) > MOST_REMEMBERED:
            oldest = next((key for key, each in self.entries.items() if each.is_ended), None)
            if oldest is not None:
                self.by_number.pop(self.entries.pop(oldest).number, None)

    # -- telling ------------------------------------------------------------------------------------------------

    def audience(self, client_id: int) -> list[Client]:
        """Who hears of a client's orders: itself and the master client."""
        ids = dict.fromkeys([client_id, self.settings.master_client])
        return [self._clients[each] for each in ids if each is not None and each in self._clients]

    def tell(self, entry: Entry, reply: Reply) -> None:
        """Send a message about an order to whoever is to hear of it."""
        for client in self.audience(entry.client_id):
            client.send(reply)

    def error(self, entry: Entry, code: int, text: str, now: int) -> None:
        """Send an error or notice about an order to its owner."""
        owner = self._clients.get(entry.client_id)
        if owner is not None:
            owner.error(entry.order_id, code, text, now)

    def announce(self, entry: Entry) -> None:
        """Tell an order's terms and state."""
        self.tell(entry, entry.open_order(self.settings.account))
        self.tell(entry, entry.status())
        self.keep(entry)

    def keep(self, entry: Entry) -> None:
        """Note an order's change for after a restart."""
        if self.memory is not None:
            self.memory.keep_order(entry)

    def show_working(self, entry: Entry, now: int) -> bool:
        """Tell of an order that the exchange has: first PreSubmitted, then Submitted once it can act.

        Returns whether there was anything to tell.
        """
        number, before = entry.number, entry.shown
        if before is not Shown.PRE_SUBMITTED and not entry.request.outside_hours and not self.exchange.is_open(now):
            self._warn_of_hours(entry, now)
        shown = [] if self.settings.submits_directly or before is Shown.PRE_SUBMITTED else [Shown.PRE_SUBMITTED]
        if self.exchange.status(number) is not OrderStatus.PENDING_SUBMIT:
            is_working = not self.why_held(entry) and self.may_act(entry, now)
            if is_working and (entry.request.type is not OrderType.MARKET or self.settings.submits_directly):
                shown.append(Shown.SUBMITTED)
            elif not is_working:
                self._held[number] = entry
                shown = shown or ([Shown.PRE_SUBMITTED] if before is not Shown.PRE_SUBMITTED else [])
        for each in shown:
            entry.shown = each
            entry.why_held = self.why_held(entry) if each is Shown.PRE_SUBMITTED else ""
            self.announce(entry)
        return bool(shown)

    def may_act(self, entry: Entry, now: int) -> bool:
        """Whether the order may fill at this time of day."""
        return entry.request.outside_hours or self.exchange.is_open(now)

    def why_held(self, entry: Entry) -> str:
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
        self.error(entry, 399, text, now)

    def reject(self, entry: Entry, text: str, now: int) -> None:
        """End an order that is not taken, or can not be filled: error 201, then its last state."""
        self.error(entry, 201, text, now)
        self.end(entry, Shown.CANCELLED if entry.fills else Shown.INACTIVE, now, is_told=True)
        self.announce(entry)

    def end(self, entry: Entry, shown: Shown, now: int, *, is_told: bool = False) -> None:
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
            self.error(entry, 202, "Order Canceled - reason:", now)
            self.tell(entry, entry.status())
            self.keep(entry)
        else:
            self.announce(entry)

    def release(self, entry: Entry) -> None:
        """It has begun to fill: it no longer waits for anything."""
        self._held.pop(entry.number, None)

    @property
    def has_held(self) -> bool:
        """Whether there are orders that can not act yet, so that each event has to be looked at."""
        return bool(self._held)

    def look_at_held(self, now: int) -> None:
        """Orders that could not act yet: a trigger was reached, a parent has filled, the session has opened."""
        for entry in list(self._held.values()):
            why = self.why_held(entry)
            if not why and self.may_act(entry, now):
                del self._held[entry.number]
                entry.shown, entry.why_held = Shown.SUBMITTED, ""
                self.announce(entry)
            elif why != entry.why_held:
                entry.why_held = why
                self.tell(entry, entry.status())

    def list_open(self, client: Client, entries: Iterable[Entry]) -> None:
        """Send a client what is open of some orders, then the end."""
        for entry in entries:
            if not entry.is_ended and (entry.number or entry.shown is not Shown.PENDING_SUBMIT):
                client.send(entry.open_order(self.settings.account))
                client.send(entry.status())
        client.send(replies.OpenOrdersEnd())
