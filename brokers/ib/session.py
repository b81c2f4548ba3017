"""The session with TWS as a state machine: records and time in, commands and events out. It has no socket and no clock.

Whoever owns the connection feeds it what was read, sends what :meth:`IbSession.take_commands` gives, and connects or
disconnects when :attr:`IbSession.wish` says so. Nothing is sent to the market before accounts, positions, open and
completed orders and executions were told and agree with what is expected; after every break the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from brokers.ib import codes, commands, translate
from brokers.ib.account import IbAccount
from brokers.ib.codes import CodeClass
from brokers.ib.commands import Command
from brokers.ib.events import AccountReady, Event, LinkChanged, LinkState, Mismatch, Notice
from brokers.ib.fills import FEE_HOLD_NS
from brokers.ib.link import ABOUT_ORDERS, READ_ONLY, UNTOLD, UNTOLD_OWN, LinkSettings, Step, is_read_only, late_text
from brokers.ib.market import MarketData, MarketSettings
from brokers.ib.orders import IbOrders
from brokers.ib.outbox import Outbox
from brokers.ib.queries import Queries
from brokers.ib.records import (
    NO_REQUEST,
    TICKS,
    AccountEnd,
    CompletedOrdersEnd,
    Connected,
    CurrentTime,
    Disconnected,
    ErrorMessage,
    Execution,
    ExecutionsEnd,
    ManagedAccounts,
    NextValidId,
    OpenOrdersEnd,
    PositionsEnd,
    Record,
    Undecodable,
)
from brokers.ib.registry import Registry
from brokers.ib.times import ZONES_SINCE, unlike_zone
from papertape.core.errors import PeerError, UserError
from papertape.core.model import NS_PER_S
from papertape.core.timers import NEVER

__all__ = ["IbSession", "LinkSettings", "Wish"]

MOST_REQUEST_IDS = 2**31 - 1
LOOKS_MOST = 3
"""How often everything is asked for until what differs counts as a difference: TWS may be in the middle of something."""
LOOK_AGAIN_S = 1.0
DOUBT_EVERY_S = 5.0
"""A doubt is followed up at most so often."""
UNLIKE_S = 2.0
"""How long a position may differ from what executions make of it before everything is asked for."""


class Wish(Enum):
    """What is wanted of the owner of the connection."""

    NOTHING = "nothing"
    CONNECT = "connect"
    DISCONNECT = "disconnect"


class IbSession:
    """One run's session with TWS, over any number of connections."""

    def __init__(
        self,
        run_id: str,
        registry: Registry,
        settings: LinkSettings,
        market: MarketSettings,
        *,
        zone: str = "America/New_York",
    ) -> None:
        self.settings = settings
        self.registry = registry
        self.state = LinkState.DOWN
        self.text = "not connected yet"
        self.since = 0
        self.wish = Wish.CONNECT
        self.account = IbAccount()
        self.events: list[Event] = []
        self.server_version = 0
        self.managed: tuple[str, ...] = ()
        self.is_halted = False
        """Whether a mismatch or something not understood was seen: orders must not be sent any more."""
        self._outbox = Outbox(settings.messages_per_s)
        self._next_id = settings.first_order_id
        self._pending: set[Step] = set()
        self._deadline = NEVER
        self._execution_request = 0
        self._heard = self._beat = self._attempts = 0
        self._down_since = NEVER
        self._retry_at = 0
        self._needs_lines = True
        self._was_ready = False
        self._has_valid_id = False
        self._has_moved = False
        """Whether an execution came while everything was told: cash may be of before it, positions of after."""
        self._was_asked = False
        """Whether this connection was asked for everything before."""
        self._looks = 0
        self._look_again_at = NEVER
        self._doubted_at = -NEVER
        self._unit_ns = round(NS_PER_S * (1.0 if settings.in_lockstep else settings.speed))
        emit = self.events.append
        self.orders = IbOrders(
            run_id, registry, send=self.send, emit=emit, next_id=self.take_id, min_tick=registry.price_step
        )
        self.orders.fills.zone = zone
        self.orders.unit_ns = self._unit_ns
        self.orders.fills.moved = self.account.moved
        self.orders.fills.hold_ns = 1 if settings.in_lockstep else round(FEE_HOLD_NS * settings.speed)
        self.orders.client_id = settings.client_id
        self.market = MarketData(market, registry, send=self.send, emit=emit, next_id=self.take_id)
        self.queries = Queries(
            registry, send=self.send, emit=emit, next_id=self.take_id, calendar=market.calendar,
            history=self.market.history,
        )  # fmt: skip

    # -- what the others use ----------------------------------------------------------------------------------

    def send(self, command: Command) -> None:
        """Have a command sent; what is sent while there is no connection is not, and is asked for again after it."""
        if self._can_send:
            self._outbox.put(command)

    @property
    def _can_send(self) -> bool:
        return self.state not in (LinkState.DOWN, LinkState.CONNECTING, LinkState.FAILED)

    def take_id(self) -> int:
        """A new id: one allocator for orders and requests, because TWS's errors do not say which they mean."""
        found, self._next_id = self._next_id, self._next_id + 1
        if found > MOST_REQUEST_IDS:
            raise PeerError("TWS's ids are used up; reset the API order id sequence in its global configuration")
        return found

    @property
    def is_ready(self) -> bool:
        """Whether orders may be sent."""
        return self.state is LinkState.READY and not self.is_halted

    def take_commands(self, now: int) -> list[Command]:
        """What is to be sent now."""
        found = self._outbox.take(now)
        self.market.sent()
        for command in found:
            if isinstance(command, commands.PlaceOrder):
                self.orders.left(command, now)
        return found

    def take_events(self) -> list[Event]:
        """What has happened since the last call."""
        found = self.events[:]
        self.events.clear()
        return found

    # -- records ----------------------------------------------------------------------------------------------

    def receive(self, record: Record, now: int) -> None:
        """Take in one record."""
        self._heard = self.account.now = now
        try:
            if type(record) in TICKS:
                if not self.market.receive(record, now):
                    self.queries.receive(record, now)
                return
            self._has_moved |= isinstance(record, Execution) and record.request_id == NO_REQUEST
            for part in (self.orders, self.account, self.market, self.queries):
                if part.receive(record, now):
                    break
            own = _RECEIVERS.get(type(record))
            if own is not None:
                own(self, record, now)
        except PeerError as error:  # what it means is not known, so nothing more may be sent on it
            self.is_halted = True
            self.events.append(Notice(0, str(error), halts=True))
        except UserError as error:  # something in the account that papertape does not trade: only its values are known
            self.events.append(Notice(0, str(error)))

    def _connected(self, record: Connected, now: int) -> None:
        self.server_version = record.server_version
        self._deadline = now + self._ns(self.settings.handshake_s)
        self.managed = ()
        self._has_valid_id = self._was_asked = False
        zone = self.orders.fills.zone
        if record.server_version < ZONES_SINCE and (told := unlike_zone(record.time_text, zone, now)):
            self.events.append(
                Notice(0, f"TWS's times are of {told} and are read as of {zone}: --tws-zone names another")
            )
        self._set_state(LinkState.CONNECTING, "handshake done", now)

    def _ns(self, seconds: float) -> int:
        """Nanoseconds of this session's time in so many seconds of the clock."""
        return round(seconds * self._unit_ns)

    def _accounts(self, record: ManagedAccounts, now: int) -> None:
        self.managed = tuple(each for each in record.accounts if each)
        self._begin_where_known(now)

    def _valid_id(self, record: NextValidId, now: int) -> None:
        self._next_id = max(self._next_id, record.order_id)
        self._has_valid_id = True
        self._begin_where_known(now)

    def _begin_where_known(self, now: int) -> None:
        """Connected means that TWS has given an id and its accounts, in whichever order."""
        if self.state is LinkState.CONNECTING and self._has_valid_id and self.managed:
            self._choose_account(now)

    def _choose_account(self, now: int) -> None:
        """Which account is traded, and whether it may be. Raises nothing: a refusal ends the session for good."""
        wanted, before = self.settings.account, self.account.id
        known = ", ".join(self.managed) or "none"
        if before and before not in self.managed:
            self.fail(f"this run trades account {before}, and TWS is now logged in to {known}", now)
        elif wanted and wanted not in self.managed:
            self.fail(
                f"account {wanted} is not among those of this TWS ({known}); name one of them with --account", now
            )
        elif not (wanted or before) and len(self.managed) > 1:
            self.fail(f"this TWS manages several accounts ({known}); name one of them with --account", now)
        else:
            self._take_account(wanted or before or self.managed[0], now)

    def _take_account(self, name: str, now: int) -> None:
        is_paper = translate.is_paper_account(name)
        if not self.settings.allows_live and not is_paper:
            self.fail(f"account {name} is no paper account; paper trades only on those that begin with D", now)
        elif self.settings.port_kind and (self.settings.port_kind == "paper") != is_paper:
            text = f"the port is the usual one of a {self.settings.port_kind} account, and {name} is a"
            kind = "paper" if is_paper else "live"
            self.fail(f"{text} {kind} account; use the port of the one that is meant", now)
        else:
            self.account.id = self.orders.account = name
            self.begin_reconciling("connected", now)

    def begin_reconciling(self, why: str, now: int) -> None:
        """Ask for everything that must be known before orders may be sent (again)."""
        self._set_state(LinkState.RECONCILING, why, now)
        self._looks = 0
        self._look(now)

    def _look(self, now: int) -> None:
        self._looks += 1
        self._look_again_at = NEVER
        self._deadline = now + self._ns(self.settings.reconcile_s)
        self._pending, self._has_moved = set(Step), False
        self.orders.begin_reconciling()
        self.account.begin_reconciling()
        self._execution_request = self.take_id()
        is_again, self._was_asked = self._was_asked, True
        for command in (
            None if self.settings.in_lockstep else commands.AskTime(),
            commands.FollowAccount(self.account.id, subscribe=False) if is_again else None,
            commands.FollowAccount(self.account.id),
            commands.StopPositions() if is_again else None,
            commands.AskPositions(),
            commands.AskOpenOrders(),
            commands.AskCompletedOrders(),
            commands.AskExecutions(self._execution_request, self.account.id),
        ):
            if command is not None:
                self.send(command)

    def _told(self, step: Step, now: int) -> None:
        if step not in self._pending:
            return
        self._pending.discard(step)
        if self.state is LinkState.RECONCILING and not self._pending:
            self._reconcile(now)

    def _executions_end(self, record: ExecutionsEnd, now: int) -> None:
        if record.request_id == self._execution_request:
            self._told(Step.EXECUTIONS, now)

    def _reconcile(self, now: int) -> None:
        self._deadline = NEVER
        is_last = self._looks >= LOOKS_MOST
        differences = self.orders.reconcile(now, is_last=is_last) + self.account.reconcile()
        if (differences or self._has_moved) and not is_last:
            self._look_again_at = now if self.settings.in_lockstep else now + self._ns(LOOK_AGAIN_S)
            return
        if differences:
            self.is_halted = True
            self.account.take_as_told()
            self.events.append(Mismatch(tuple((each.what, each.ours, each.theirs) for each in differences)))
        if self._needs_lines:
            self._needs_lines = False
            self.market.resubscribe(now)
            if not self.settings.in_lockstep:  # for the screen; in lockstep it would only cost rounds
                self.send(commands.FollowPnl(self.take_id(), self.account.id))
        self._attempts = 0
        self._down_since = NEVER
        is_first, self._was_ready = not self._was_ready, True
        self._set_state(LinkState.READY, "positions, orders and executions agree" if not differences else "halted", now)
        self.events.append(AccountReady(is_first))

    def _time(self, record: CurrentTime, now: int) -> None:
        self._beat = now

    def _undecodable(self, record: Undecodable, now: int) -> None:
        self.is_halted = True
        self.events.append(Notice(0, f"TWS said something that could not be read: {record.text}", halts=True))

    def _disconnected(self, record: Disconnected, now: int) -> None:
        unsent = self._outbox.clear()
        if self.state is LinkState.FAILED:
            return
        if self._down_since == NEVER:
            self._down_since = now
        pause = self.settings.backoff_s[min(self._attempts, len(self.settings.backoff_s) - 1)]
        self._attempts += 1
        self._retry_at = now + self._ns(pause)
        self._deadline = self._look_again_at = NEVER
        self._needs_lines = True
        self._set_state(LinkState.DOWN, record.reason, now)
        self.wish = Wish.NOTHING
        self.account.disconnected()
        self.orders.disconnected(now, unsent)
        self.market.mark_stale(record.reason, now)
        self.queries.drop(now)

    # -- errors and notices -----------------------------------------------------------------------------------

    def _error(self, record: ErrorMessage, now: int) -> None:
        kind = codes.classify(record.code, record.text)
        system = _SYSTEM.get(kind)
        if is_read_only(record) and self.state is LinkState.RECONCILING and self._pending & ABOUT_ORDERS:
            self._orders_untold(now)
        elif system is not None:
            system(self, record, now)
        elif self.orders.owns(record.request_id):
            self.orders.refused(record, now)
        elif kind is CodeClass.UNKNOWN:
            self.is_halted = True
            self.events.append(Notice(record.code, f"{record.text} (a code that is in no table)", halts=True))
        elif kind in _TOLD or (record.request_id <= 0 and kind not in _QUIET):
            self.events.append(Notice(record.code, record.text))

    def _lost(self, record: ErrorMessage, now: int) -> None:
        self._set_state(LinkState.LOST, record.text, now)
        self._deadline = self._look_again_at = NEVER
        self.market.mark_stale(record.text, now)

    def _restored(self, record: ErrorMessage, now: int) -> None:
        if self.state in (LinkState.DOWN, LinkState.FAILED):
            return
        if self._was_asked:
            self.begin_reconciling(record.text, now)
        elif self.state is LinkState.LOST:  # it was lost before this connection's account was known
            self._set_state(LinkState.CONNECTING, record.text, now)
            self._deadline = now + self._ns(self.settings.handshake_s)
            self._begin_where_known(now)

    def _data_lost(self, record: ErrorMessage, now: int) -> None:
        self._needs_lines = True
        self._restored(record, now)

    def _id_in_use(self, record: ErrorMessage, now: int) -> None:
        text = f"client id {self.settings.client_id} is in use; close the other program or name another --client-id"
        self._set_state(LinkState.CONNECTING, text, now)
        self.events.append(Notice(record.code, text))

    def _fatal(self, record: ErrorMessage, now: int) -> None:
        self.events.append(Notice(record.code, record.text))
        self.wish = Wish.DISCONNECT

    # -- time -------------------------------------------------------------------------------------------------

    def pass_time(self, now: int) -> None:
        """What is due: deadlines, heartbeats, another attempt to connect."""
        if self.state in (LinkState.DOWN, LinkState.LOST) and self._is_given_up(now):
            self.fail(f"no connection for {self.settings.give_up_s / 3600:g} hours: {self.text}", now)
        elif self.state is LinkState.DOWN:
            if now >= self._retry_at:
                self.wish = Wish.CONNECT
        elif now >= self._deadline:
            self._late(now)
        elif self.state is not LinkState.FAILED:
            self._keep_alive(now)
        if self.orders.pass_time(now):
            self.send(commands.AskExecutions(self.take_id(), self.account.id))
        self._follow_doubts(now)
        self.market.pass_time(now)
        self.queries.pass_time(now, can_send=self._can_send)

    def _late(self, now: int) -> None:
        """TWS has not answered in time. Where orders are all that is missing, a run that gives none goes on."""
        self._deadline = NEVER
        if self.settings.is_read_only and self._pending and self._pending <= ABOUT_ORDERS:
            self._orders_untold(now)
            return
        self.text = late_text(self._pending)
        self.wish = Wish.DISCONNECT

    def _orders_untold(self, now: int) -> None:
        """TWS does not tell orders: then none may be given, and of ours nothing may be concluded."""
        if not self.settings.is_read_only or self.orders.working():
            self.fail(UNTOLD_OWN if self.orders.working() else READ_ONLY, now)
            return
        self.events.append(Notice(0, UNTOLD))
        for step in ABOUT_ORDERS:
            self._told(step, now)

    def _is_given_up(self, now: int) -> bool:
        since = self._down_since if self.state is LinkState.DOWN else self.since
        return since != NEVER and now - since > self._ns(self.settings.give_up_s)

    def _follow_doubts(self, now: int) -> None:
        """What does not go together is asked for anew."""
        if self.state is LinkState.RECONCILING and now >= self._look_again_at:
            self._look(now)
        elif self.state is LinkState.READY and now - self._doubted_at >= self._ns(DOUBT_EVERY_S):
            doubt = self.orders.doubt or self.account.unlike(now, self._ns(UNLIKE_S))
            if doubt:
                self._doubted_at = now
                self.events.append(Notice(0, f"{doubt}; TWS is asked for everything anew"))
                self.begin_reconciling(doubt, now)

    def _keep_alive(self, now: int) -> None:
        s = self.settings
        if s.in_lockstep or self.state is LinkState.CONNECTING:
            return
        if now - self._heard > self._ns(s.silence_s):
            self.text = f"nothing was heard for {s.silence_s:g} s"
            self.wish = Wish.DISCONNECT
        elif now - self._beat > self._ns(s.heartbeat_s):
            self._beat = now
            self.send(commands.AskTime())

    def connecting(self, now: int) -> None:
        """The owner of the connection is at it."""
        self.wish = Wish.NOTHING
        self._heard = self._beat = now
        self._set_state(LinkState.CONNECTING, "connecting", now)

    def fail(self, text: str, now: int) -> None:
        """End for good: no further attempt is made."""
        self._set_state(LinkState.FAILED, text, now)
        self.wish = Wish.DISCONNECT

    def _set_state(self, state: LinkState, text: str, now: int) -> None:
        self.text = text
        if state is not self.state:
            self.state, self.since = state, now
            self.events.append(LinkChanged(state, text))


_RECEIVERS: Mapping[type, Callable[[IbSession, Any, int], None]] = {
    Connected: IbSession._connected,
    Disconnected: IbSession._disconnected,
    Undecodable: IbSession._undecodable,
    ManagedAccounts: IbSession._accounts,
    NextValidId: IbSession._valid_id,
    CurrentTime: IbSession._time,
    ErrorMessage: IbSession._error,
    AccountEnd: lambda session, record, now: session._told(Step.ACCOUNT, now),
    PositionsEnd: lambda session, record, now: session._told(Step.POSITIONS, now),
    OpenOrdersEnd: lambda session, record, now: session._told(Step.OPEN_ORDERS, now),
    CompletedOrdersEnd: lambda session, record, now: session._told(Step.COMPLETED_ORDERS, now),
    ExecutionsEnd: IbSession._executions_end,
}
_SYSTEM: Mapping[CodeClass, Callable[[IbSession, ErrorMessage, int], None]] = {
    CodeClass.CONNECTION_LOST: IbSession._lost,
    CodeClass.RESTORED: IbSession._restored,
    CodeClass.RESTORED_DATA_LOST: IbSession._data_lost,
    CodeClass.ID_IN_USE: IbSession._id_in_use,
    CodeClass.FATAL: IbSession._fatal,
}
_QUIET = frozenset({CodeClass.NOTICE, CodeClass.FARM_OK, CodeClass.FARM_IDLE, CodeClass.FARM_DOWN})
"""What the data lines say themselves, or nobody needs to hear."""
_TOLD = frozenset({CodeClass.WARNING, CodeClass.PACING})
"""Errors of requests that a person should see as well."""
