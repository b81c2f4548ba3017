"""A connection to TWS for those who only look: scans, recordings, the doctor. It never gives an order.

The session is the one that trades (:class:`brokers.ib.session.IbSession`), with its deadlines, pacing, reconnection and
market data. One thread calls :meth:`DataLink.turn` again and again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from brokers.ib.commands import AskTime
from brokers.ib.events import Answered, Event, InstrumentKnown, LinkState, Notice
from brokers.ib.gateway import IbGateway
from brokers.ib.market import MarketSettings
from brokers.ib.records import CurrentTime, Disconnected, ErrorMessage, Record
from brokers.ib.registry import Registry
from brokers.ib.session import IbSession, LinkSettings, Wish
from papertape.calendar import session_times
from papertape.core.errors import ConfigError, PeerError, UserError, did_you_mean
from papertape.core.model import NS_PER_S, Instrument
from papertape.core.requests import Reply, Request
from papertape.live.clock import WallClock
from papertape.live.settings import Address

CONNECT_S = 15.0
SYNCHRONISE_S = 5.0
READY_S = 75.0
"""How long the first connection may take until everything was told."""
ANSWER_S = 75.0
POLL_S = 0.05
DAYS_AFTER = 40
_EPOCH_1990 = 631_152_000 * NS_PER_S


class DataLink:
    """Owns the connection and the session. ``registry`` holds the instruments that were named or scanned."""

    def __init__(
        self,
        address: Address,
        client_id: int,
        *,
        delayed: bool = True,
        tick_lines: int = 3,
        calendar: str = "XNYS",
        speed: float = 1.0,
    ) -> None:
        """Nothing is connected yet. ``speed`` is that of a simulated gateway."""
        self.address = address
        self.client_id = client_id
        self.registry = Registry()
        self.clock = WallClock(speed)
        self.gateway: IbGateway | None = None
        end = time.time_ns() + DAYS_AFTER * 86_400 * NS_PER_S
        self.calendar = session_times(calendar, _EPOCH_1990, end)  # a simulated market may be of any day since
        self._market = MarketSettings(self.calendar, tick_by_tick=tick_lines, delayed_allowed=delayed)
        self.observe: Callable[[Sequence[Event]], None] = lambda happened: None
        """Told of all that has happened, turn by turn."""
        self._waiting: list[Record] = []
        self._said = ""
        self._asked_ns = 0
        self.ib = self._session("")

    def _session(self, account: str) -> IbSession:
        link = LinkSettings(client_id=self.client_id, account=account, allows_live=True, is_read_only=True)
        return IbSession("", self.registry, link, self._market, zone=self.calendar.zone)

    # -- connecting ------------------------------------------------------------------------------------------------

    def open(self, timeout_s: float = READY_S) -> None:
        """Connect and wait until the session is ready. UserError, in one line, where that does not work."""
        deadline = time.monotonic() + timeout_s
        try:
            self._connect()
            while self.ib.state is not LinkState.READY:
                self.turn()
                if self.ib.state is LinkState.FAILED and not self.ib.settings.account and len(self.ib.managed) > 1:
                    self._connect_as(self.ib.managed[0])  # whose account it is does not matter to who only looks
                elif self.ib.state in (LinkState.FAILED, LinkState.DOWN) or time.monotonic() > deadline:
                    raise UserError(f"{self.address}: {self.why_not_ready}")
        except PeerError as error:
            raise UserError(str(error)) from None

    @property
    def why_not_ready(self) -> str:
        """What the session says of itself, and what TWS said last."""
        return "; ".join(dict.fromkeys(filter(None, (self.ib.text, self._said))))

    def _connect_as(self, account: str) -> None:
        self.close()
        self.ib = self._session(account)
        self._connect()

    def _connect(self) -> None:
        gateway = IbGateway()
        try:
            gateway.connect(self.address.host, self.address.port, self.client_id, CONNECT_S)
            self._waiting = self._synchronised(gateway)
        except BaseException:
            gateway.close()
            raise
        self.gateway = gateway
        self.ib.connecting(self.clock.now())

    def _synchronised(self, gateway: IbGateway) -> list[Record]:
        """Set the clock by TWS's before anything is timed by it; what else came meanwhile."""
        asked_ns = time.monotonic_ns()
        gateway.send(AskTime())
        records: list[Record] = []
        deadline = time.monotonic() + SYNCHRONISE_S
        while time.monotonic() < deadline:
            for record in gateway.poll(POLL_S):
                records.append(record)
                if isinstance(record, CurrentTime):
                    self.clock.heard(record.ts_s, asked_ns)
                    return records
                if isinstance(record, Disconnected):
                    return records
        return records

    def close(self) -> None:
        """Close the connection."""
        if self.gateway is not None:
            self.gateway.close()
            self.gateway = None

    # -- going on --------------------------------------------------------------------------------------------------

    def turn(self, poll_s: float = POLL_S) -> list[Event]:
        """Take in what has come, waiting at most so long for it, and do what is due; what happened.

        A lost connection is made again by the session's rules; whoever needs to know looks at the events.
        """
        records, self._waiting = self._waiting, []
        if not records and self.gateway is None:
            time.sleep(poll_s)
        elif not records and self.gateway is not None:
            records = self.gateway.poll(poll_s)
        for record in records:
            self._take(record)
        now = self.clock.now()
        self.ib.pass_time(now)
        if self.ib.wish is Wish.DISCONNECT:
            self._leave(now)
        elif self.ib.wish is Wish.CONNECT and self.ib.state is LinkState.DOWN and self.ib.server_version:
            self._connect_again(now)
        for command in self.ib.take_commands(now):
            if isinstance(command, AskTime):
                self._asked_ns = time.monotonic_ns()
            if self.gateway is not None:
                self.gateway.send(command)
        happened = self.ib.take_events()
        for event in happened:
            if isinstance(event, Notice):
                self._said = event.text
        if happened:
            self.observe(happened)
        return happened

    def _take(self, record: Record) -> None:
        if isinstance(record, CurrentTime):
            self.clock.heard(record.ts_s, self._asked_ns or time.monotonic_ns())
        elif isinstance(record, ErrorMessage):
            self._said = record.text
        elif isinstance(record, Disconnected):
            self.close()
        self.ib.receive(record, self.clock.now())

    def _leave(self, now: int) -> None:
        self.ib.wish = Wish.NOTHING
        self.close()
        if self.ib.state is not LinkState.FAILED:
            self.ib.receive(Disconnected(self.ib.text), now)

    def _connect_again(self, now: int) -> None:
        try:
            self._connect()
        except PeerError as error:
            self.ib.receive(Disconnected(str(error)), now)

    # -- asking ----------------------------------------------------------------------------------------------------

    def wait_for(self, is_done: Callable[[Event], bool], timeout_s: float = ANSWER_S) -> list[Event]:
        """Turns until an event is such a one; what has happened meanwhile. UserError where none is in time."""
        happened: list[Event] = []
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            happened += self.turn()
            if any(map(is_done, happened)):
                return happened
            if self.ib.state is LinkState.FAILED:
                break
        raise UserError(f"{self.address} did not answer: {self.why_not_ready}")

    def ask(self, request: Request) -> tuple[Reply, list[str]]:
        """The answer to a request, and what TWS said meanwhile."""
        self.ib.queries.put(request, self.clock.now())
        happened = self.wait_for(lambda event: isinstance(event, Answered) and event.reply.request is request)
        answers = (event.reply for event in happened if isinstance(event, Answered))
        reply = next(each for each in answers if each.request is request)
        return reply, [event.text for event in happened if isinstance(event, Notice)]

    def define(self, symbols: Sequence[str]) -> list[int]:
        """Have TWS define instruments and return their indices; ConfigError for the first that it does not know."""
        found, waiting = [], set()
        for symbol in symbols:
            j, is_new = self.registry.add(Instrument(symbol))
            found.append(j)
            if is_new:
                waiting.add(j)
                self.ib.queries.know(j, self.registry.instruments[j], 0, self.clock.now())
        while waiting:
            for event in self.wait_for(lambda each: isinstance(each, InstrumentKnown)):
                if not isinstance(event, InstrumentKnown):
                    continue
                waiting.discard(event.instrument)
                if event.failure:
                    symbol = self.registry.symbols[event.instrument]
                    raise ConfigError(f"{symbol}: {event.failure}; check the spelling{_spelled(symbol)}")
        return found


def _spelled(symbol: str) -> str:
    upper = symbol.upper()
    return did_you_mean(symbol, [upper]) if upper != symbol else ""
