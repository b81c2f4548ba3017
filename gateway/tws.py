"""The simulated TWS without its sockets: clients, their requests, the market's steps, in exchange time."""

from __future__ import annotations

import bisect
import datetime as dt
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from feeds.rates import rate_at
from gateway import account as account_desk
from gateway import orders as order_desk
from gateway.account import AccountDesk
from gateway.clients import UNSTARTED, Client
from gateway.contracts import Contracts
from gateway.costs import Costs
from gateway.exchange import Exchange
from gateway.margins import what_if
from gateway.market import Market, Step
from gateway.market_desks import MarketDesks
from gateway.memory import AccountMemory
from gateway.order_faults import NO_FAULTS, OrderFaults
from gateway.order_terms import Terms
from gateway.orders import OrderDesk
from gateway.protocol import replies, requests
from gateway.protocol.requests import Request
from gateway.settings import GatewaySettings
from gateway.store import Store
from papertape.core.model import NS_PER_MS, NS_PER_S, EventKind
from papertape.core.timers import NEVER

FARMS: Mapping[int, str] = {
    2104: "Market data farm connection is OK:usfarm",
    2106: "HMDS data farm connection is OK:ushmds",
    2158: "Sec-def data farm connection is OK:secdefil",
}
"""Notices that every client gets at the start."""
_BUSY = "Unable to connect as the client id is already in use. Retry with a unique client id."
_WAKES, _SLEEPS = dt.time(4), dt.time(20)
"""Exchange time between which every second passes one by one on trading days; at other times only what happens."""
MOST_CLIENTS = 32
"""Connections that TWS allows."""

Handle = Callable[[Client, Any, int], None]


class Tws:
    """One TWS with one account. Everything happens when it is called, at exchange time ``now`` (UTC ns).

    Replies are in clients' outboxes afterwards. ``next_ts`` is when the next thing happens in the market: an event, or
    a full second on a trading day; NEVER after the end of the tape and of its last session.
    """

    def __init__(
        self, settings: GatewaySettings, market: Market, store: Store | None = None, *, faults: OrderFaults = NO_FAULTS
    ) -> None:
        self.settings = settings
        self.market = market
        self.now = market.start
        self.contracts = Contracts(market.instruments)
        base = next(iter(settings.cash))
        currencies = dict.fromkeys([*settings.cash, *(each.currency for each in market.instruments)])
        self.exchange = Exchange(
            instruments=market.instruments,
            calendar=market.calendar,
            actions=market.tape.actions,
            cash=settings.cash,
            rates={name: rate_at(market.view, name, base, self.now) for name in currencies},
            fees=settings.fees,
            rules=settings.rules,
            start=self.now,
        )
        self._note_images()
        self.costs = Costs([each.multiplier for each in market.instruments])
        self._connections: dict[int, Client] = {}
        self._started: dict[int, Client] = {}
        self._connected = 0
        self._sent: dict[int, deque[int]] = {}
        self._violations: dict[int, int] = {}
        self.account = AccountDesk(settings, self.exchange.ledger, self.contracts, self.costs)
        self.memory = None
        if store is not None:
            self.memory = AccountMemory(store, settings, self.exchange, self.costs, self.contracts)
        self.orders = OrderDesk(
            settings, self.exchange, self.contracts, self.costs, self._started, faults=faults, memory=self.memory,
            filled=self.account.filled, what_if=self._what_if,
        )  # fmt: skip
        self.data = MarketDesks(settings, market, self.contracts)
        self.exchange.session_opened = self._session_opened
        self.exchange.split = self._split
        self._start_account()
        self._handlers = self._dispatch()
        self._timers = self.exchange.timers
        self._has_bars = any(
            series.kind is EventKind.BAR for j in range(len(market.instruments)) for series in market.view.market(j)
        )
        self._windows = self._waking_hours()
        self._second = self._second_after(self.now)
        self._open_batch: object = None

    def _note_images(self) -> None:
        """Start from what was known of each instrument before the play begins, and what is coming of it."""
        for j in range(len(self.market.instruments)):
            self.exchange.expect(j, {series.kind for series in self.market.view.market(j)})
            image = self.market.view.image(j, self.now - 1)
            if image is not None:
                self.exchange.note_image(j, image.last, image.bid, image.ask, image.ts)

    def _start_account(self) -> None:
        """Begin the day, with what the account remembers where it does."""
        memory = self.memory
        saved = memory.load(self.now) if memory is not None else None
        if memory is None or saved is None:
            self.account.begin_session(self.now)
            return
        split = self.exchange.catch_up(self.market.tape.actions, saved.ts, self.now)
        self._note_images()  # prices that are known now are of after those splits
        if saved.ts < self.exchange.state.account["session_open"][0] <= self.now:
            self.account.begin_session(self.now)
            memory.keep_day(self.now)
        else:
            self.account.resume(saved.day_equity)
        self.orders.restore(memory.entries(saved, self.now), memory.fills(saved), saved.next_ids, self.now)
        self.orders.cancel_all(split, self.now)
        self._commit()

    def _commit(self) -> None:
        """Make what has happened last over a restart."""
        if self.memory is not None:
            self.memory.commit(self.now)

    def _dispatch(self) -> dict[type, Handle]:
        """Request class -> who answers it."""
        found: dict[type, Handle] = {kind: partial(method, self) for kind, method in _HANDLERS.items()}
        tables: list[tuple[Any, Mapping[type, Callable[..., None]]]] = [
            (self.orders, order_desk.HANDLERS),
            (self.account, account_desk.HANDLERS),
            *self.data.tables(),
        ]
        for desk, table in tables:
            for kind, method in table.items():
                assert kind not in found, "one desk answers a request"
                found[kind] = partial(method, desk)
        return found

    # -- time ---------------------------------------------------------------------------------------------------

    def _waking_hours(self) -> list[tuple[int, int]]:
        """Stretches of time (UTC ns) in which seconds pass one by one, ascending, within the play.

        The second after its end is always one of them, so that a client in lockstep hears that the end has come.
        """
        calendar = self.market.calendar
        zone = ZoneInfo(calendar.zone)
        found: list[tuple[int, int]] = []
        for date, closing in zip(calendar.date, calendar.close, strict=True):
            day = dt.date.fromordinal(dt.date(1970, 1, 1).toordinal() + date)
            begin, end = (
                int(dt.datetime.combine(day, clock, zone).timestamp()) * NS_PER_S for clock in (_WAKES, _SLEEPS)
            )
            if begin <= self.market.end <= end:
                end = (max(self.market.end, closing) if self.market.is_whole else self.market.end) + NS_PER_S
            if end > self.market.start and begin <= self.market.end:
                found.append((begin, end))
        after = (self.market.end // NS_PER_S + 1) * NS_PER_S
        return found if found and found[-1][1] > self.market.end else [*found, (after, after)]

    def _second_after(self, ts: int) -> int:
        """The first full second after ``ts`` that passes by itself; NEVER where there is none."""
        following = (ts // NS_PER_S + 1) * NS_PER_S
        k = bisect.bisect_right(self._windows, (following, NEVER)) - 1
        if k >= 0 and following <= self._windows[k][1]:
            return following
        return self._windows[k + 1][0] if k + 1 < len(self._windows) else NEVER

    @property
    def next_ts(self) -> int:
        """Time of the next thing to play; NEVER at the end."""
        return min(self.market.next_ts, self._second)

    def play(self, until: int) -> None:
        """Everything up to exchange time ``until``, that included."""
        while self.next_ts <= until:
            self.play_next()
        if until > self.now:
            self._pass_to(until)

    def play_next(self) -> None:
        """The next second, or the events of the next time."""
        ts, market = self.next_ts, self.market
        assert ts != NEVER, "the tape has ended"
        self._pass_to(ts)
        is_second = ts == self._second
        if is_second:
            self._second = self._second_after(ts)
            self.account.second(ts)
            self.data.second(ts)
        while market.next_ts == ts:
            part = market.next_part(ts)
            assert part is not None, "there is an event at that time"
            self._play_part(part)
        if is_second:
            self.data.second_played(ts)
        if self.memory is not None:
            self.memory.commit(ts)

    def play_unheard(self, before_ts: int) -> bool:
        """Events of instruments that nobody watches, as many as there are before ``before_ts`` and all else that is due.

        They end with one that does something to an order, with all others of its time. Whether there were any. It is the
        same as playing them one after the other, and takes a fraction of the time.
        """
        if self._has_bars or self.orders.board.has_held:
            return False
        due = min(before_ts, self._second, self._timers.due + 1)
        part = self.market.stretch(due, self.data.quotes.watched)
        if part is None:
            return False
        exchange = self.exchange
        if self._open_batch is not part.batch:
            exchange.open_batch(part.batch)
            self._open_batch = part.batch
        if exchange.is_idle:
            exchange.match(part.begin, part.end)
            self.now = self.market.take(part.end)
            return True
        self.now = now = self.market.take(exchange.match_until_report(part.begin, part.end))
        if exchange.has_reports:
            self.orders.settle(now)
            while self.market.next_ts == now and (rest := self.market.next_part(now)) is not None:
                self._play_part(rest)
        self._commit()
        return True

    def _pass_to(self, ts: int) -> None:
        """Time comes to ``ts``: what was due before happens."""
        if self._timers.due < ts or (self._has_bars and self.exchange.is_marking):
            self.exchange.pass_before(ts)
            self.orders.settle(ts)
        if ts > self.now:
            self.now = ts

    def _session_opened(self, ts: int) -> None:
        """A timer just before the open."""
        self.account.begin_session(ts + 1)
        self.orders.open_session(ts + 1)
        if self.memory is not None:
            self.memory.keep_day(ts + 1)

    def _split(self, j: int, ratio: float, ts: int) -> None:
        self.costs.split(j, ratio)
        if self.memory is not None:
            self.memory.keep_split(j, ratio)
        self.orders.split(j)
        self.account.filled(j, ts)

    def _play_part(self, part: Step) -> None:
        """For each event: match it, tell what it filled, then the event itself."""
        exchange, publish, now = self.exchange, self.data.publish, self.now
        if self._open_batch is not part.batch:
            exchange.open_batch(part.batch)
            self._open_batch = part.batch
        if exchange.is_idle:
            exchange.match(part.begin, part.end)
            for k in range(part.begin, part.end):
                publish(part, k, now)
            return
        for k in range(part.begin, part.end):
            exchange.match(k, k + 1)
            self.orders.settle(now)
            publish(part, k, now)

    # -- clients ------------------------------------------------------------------------------------------------

    @property
    def clients(self) -> list[Client]:
        """All that are connected, also before startApi."""
        return list(self._connections.values())

    def connect(self, version: int) -> Client:
        """A connection whose handshake is done."""
        self._connected += 1
        client = Client(self._connected, version)
        self._connections[client.number] = client
        self._sent[client.number] = deque(maxlen=self.settings.limits.messages_per_s)
        if len(self._connections) > MOST_CLIENTS:
            client.closing = "too many clients"
        return client

    def disconnect(self, client: Client) -> None:
        """A connection has ended: subscriptions end with it, orders stay."""
        self._connections.pop(client.number, None)
        self._sent.pop(client.number, None)
        self._violations.pop(client.number, None)
        if self._started.get(client.id) is client:
            del self._started[client.id]
        self.account.drop(client)
        self.data.drop(client)

    def request(self, client: Client, request: Request) -> None:
        """A client asks for something; it takes effect now."""
        if client.closing or client.number not in self._sent:  # what was read of it after its connection had ended
            return
        if not self._in_pace(client):
            return
        handle = self._handlers.get(type(request))
        if isinstance(request, requests.StartApi):
            self._start(client, request)
        elif client.id == UNSTARTED:
            client.error(-1, 504, "Not connected", self.now)
        elif handle is None:
            name = request.name if isinstance(request, requests.Unsupported) else type(request).__name__
            number = getattr(request, "request", -1)
            client.error(number, 321, f"Error validating request.-'bN' : cause - {name} is not simulated", self.now)
        else:
            handle(client, request, self.now)
            self._commit()

    def _in_pace(self, client: Client) -> bool:
        """Whether a message keeps to the rate; one that does not is refused, and too many end the connection."""
        limits, sent, now = self.settings.limits, self._sent[client.number], self.now
        if not limits.messages_per_s or len(sent) < limits.messages_per_s or now - sent[0] >= NS_PER_S:
            sent.append(now)
            return True
        seconds = self._violations.get(client.number, 0) + 1
        self._violations[client.number] = seconds
        text = f"Max rate of messages per second has been exceeded:max={limits.messages_per_s} rec={limits.messages_per_s + 1}"
        client.error(-1, 100, f"{text} ({seconds})", now)
        sent.clear()
        if seconds >= limits.violations:
            client.closing = "it exceeded the rate of messages"
        return False

    def _start(self, client: Client, request: requests.StartApi) -> None:
        if client.id != UNSTARTED:
            return
        if request.client_id in self._started:
            client.error(-1, 326, _BUSY, self.now)
            client.closing = f"client id {request.client_id} is in use"
            return
        client.id = request.client_id
        self._started[client.id] = client
        client.send(replies.ManagedAccountsList(self.settings.account))
        client.send(replies.NextValidId(self.orders.valid_id(client.id)))
        for code, text in FARMS.items():
            client.error(-1, code, text, self.now)

    def notice(self, code: int, text: str) -> None:
        """Tell every client something that belongs to no request."""
        for client in self._started.values():
            client.error(-1, code, text, self.now)

    def _what_if(self, terms: Terms, now: int) -> replies.OrderState:
        """What an order would cost, at its limit or else at the last price."""
        request = terms.request
        price = (
            request.limit_price
            if request.limit_price == request.limit_price
            else self.exchange.last(request.instrument)
        )
        fee = self.exchange.expected_fee(request, price)
        signed = request.quantity * request.side
        return what_if(self.exchange.ledger, request.instrument, signed, price, fee, self.settings.rules)

    # -- what no desk answers -----------------------------------------------------------------------------------

    def _current_time(self, client: Client, request: requests.CurrentTime, now: int) -> None:
        client.send(replies.Time(now // NS_PER_S))

    def _current_millis(self, client: Client, request: requests.CurrentTimeMillis, now: int) -> None:
        client.send(replies.TimeMillis(now // NS_PER_MS))

    def _accounts(self, client: Client, request: requests.ManagedAccounts, now: int) -> None:
        client.send(replies.ManagedAccountsList(self.settings.account))

    def _log_level(self, client: Client, request: requests.SetLogLevel, now: int) -> None:
        """TWS answers nothing."""


_HANDLERS: Mapping[type, Callable[[Tws, Client, Any, int], None]] = {
    requests.CurrentTime: Tws._current_time,
    requests.CurrentTimeMillis: Tws._current_millis,
    requests.ManagedAccounts: Tws._accounts,
    requests.SetLogLevel: Tws._log_level,
}
