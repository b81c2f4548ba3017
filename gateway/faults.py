"""Faults between the simulated TWS and its clients: pure, and the same for the same scenario.

``FaultLayer`` stands between outboxes and sockets: replies and exchange time go in, what is to be done with each
connection comes out. It knows no socket and no clock. What happens to orders is in gateway/planned_faults.py.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gateway.clients import UNSTARTED, Client
from gateway.fault_kinds import ANY, FARMS, RT_VOLUME_NAME, Fault, Kind, armed_ts, fault_line, name_of
from gateway.planned_faults import Counted
from gateway.protocol.replies import Error, NextValidId, Reply
from gateway.scenario import Scenario
from papertape.core.model import NS_PER_MS
from papertape.core.timers import NEVER

HELD_MOST = 10_000
"""Messages that are held back for one client; beyond, its connection is closed."""
FULL_READ = 4_096
"""Bytes of one read of the stock client: a read of exactly so many makes it read on (IB.md section 2)."""
FULL_READ_PAUSE_S = 0.05
LOST_TEXT = "Connectivity between IB and Trader Workstation has been lost."
RESTORED = {
    True: (1101, "Connectivity between IB and Trader Workstation has been restored - data lost."),
    False: (1102, "Connectivity between IB and Trader Workstation has been restored - data maintained."),
}
BUSY_TEXT = "Unable to connect as the client id is already in use. Retry with a unique client id."

MARKET_DATA = frozenset({
    "tick-price", "tick-size", "tick-generic", "tick-string", RT_VOLUME_NAME, "tick-last", "tick-bid-ask", "tick-mid",
    "real-time-bar", "historical-data-update",
})  # fmt: skip
"""What a break between the exchange and TWS loses for good."""
OF_TWS_ITSELF = frozenset({"next-valid-id", "managed-accounts-list", "time", "time-millis", "error"})
"""What TWS answers although the exchange can not be reached; anything else waits. (Not confirmed by a real TWS.)"""


# -- what comes out ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Write nothing for so many seconds of wall time; what follows waits."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Neither read nor write for so many seconds of wall time (0: for ever); the socket stays open."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection."""


Action = Send | Pause | Hang | Close


@dataclass(frozen=True, slots=True)
class Restart:
    """End all connections and refuse new ones for so many seconds of wall time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LoseExchange:
    """TWS can no longer reach the exchange, which goes on."""


@dataclass(frozen=True, slots=True)
class FindExchange:
    """It can again; with ``data_lost`` all subscriptions to market data have ended."""

    data_lost: bool


ServerAction = Restart | LoseExchange | FindExchange


@dataclass(slots=True)
class Due:
    """What is to be done now: by connection, in order, and by the server as a whole, before that."""

    server: list[ServerAction] = field(default_factory=list)
    by_connection: dict[int, list[Action]] = field(default_factory=dict)


# -- messages ------------------------------------------------------------------------------------------------------

_OF_CONNECTIONS = (Kind.DISCONNECT, Kind.HALF_OPEN, Kind.GARBAGE)
"""Kinds that happen at a time or, where they name a message, instead of or before it."""
_OF_MESSAGES = (Kind.DELAY, Kind.DUPLICATE, Kind.REORDER, Kind.DROP, Kind.STALL, Kind.DRIP, Kind.FULL_READ)
_MARKER = "time"
_NOT_OF_MARKERS = (Kind.DELAY, Kind.DUPLICATE, Kind.REORDER, Kind.DROP)
_OF_THE_SERVER = (Kind.RESTART, Kind.CONNECTIVITY, Kind.FARM, Kind.NOTICE)


class _Line:
    """What is held back for one client."""

    __slots__ = ("client", "during_outage", "held", "waiting")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.held = 0
        """Messages that wait for a time."""
        self.waiting: list[tuple[int, Reply | bytes, str]] = []
        """(entry, message, kind of message that it lets pass)."""
        self.during_outage: list[Reply | bytes] = []

    @property
    def size(self) -> int:
        return self.held + len(self.waiting) + len(self.during_outage)


class FaultLayer:
    """Applies a scenario to what goes to clients. Of one connection, what it returns is to be done in order.

    ``start`` is when the market begins (UTC ns), ``zone`` the exchange's; ``encode(reply, version)`` makes a frame.
    ``name_of(frame, version)`` is the kind of a message that is encoded already. ``marked`` are ids of clients in
    lockstep: their markers always come, once and in their place, for without one the market would stand still.
    ``told(now, text)`` hears of each fault that happens.
    """

    def __init__(
        self,
        scenario: Scenario,
        start: int,
        zone: str,
        encode: Callable[[Reply, int], bytes],
        name_of: Callable[[bytes, int], str],
        *,
        marked: frozenset[int] = frozenset(),
        told: Callable[[int, str], None] = lambda now, text: None,
    ) -> None:
        self._encode = encode
        self._name_of_frame = name_of
        self._marked = marked
        self._told = told
        self._lines: dict[int, _Line] = {}
        self._agenda: list[tuple[int, int, Callable[[int, Due], None]]] = []
        self._entries = itertools.count()
        self._busy: list[Counted] = []
        self._met_by_messages: list[Counted] = []
        self._rngs: dict[int, random.Random] = {}
        self._outages = 0
        self._broken_farms = 0
        for k, fault in enumerate(scenario.faults):
            ts = armed_ts(fault, start, zone)
            self._rngs[id(fault)] = random.Random(f"{scenario.seed}:{k}")  # noqa: S311  # garbage, not a secret
            if fault.kind in _OF_MESSAGES or (fault.kind in _OF_CONNECTIONS and fault.message):
                self._met_by_messages.append(Counted(fault, ts))
            elif fault.kind is Kind.CLIENT_ID_BUSY:
                self._busy.append(Counted(fault, ts))
            elif fault.kind in _OF_CONNECTIONS or fault.kind in _OF_THE_SERVER:
                self._at(ts, _beginning(self, fault))
        self._faults = scenario.faults  # keeps the identities above alive

    def _at(self, ts: int, action: Callable[[int, Due], None]) -> int:
        entry = next(self._entries)
        heapq.heappush(self._agenda, (ts, entry, action))
        return entry

    @property
    def next_ts(self) -> int:
        """When ``due`` has something to do again; NEVER where nothing is waiting."""
        return self._agenda[0][0] if self._agenda else NEVER

    # -- connections ------------------------------------------------------------------------------------------------

    def opened(self, client: Client) -> None:
        """A connection exists."""
        self._lines[client.number] = _Line(client)

    def closed(self, client: Client) -> None:
        """It is gone, and what was held for it is."""
        self._lines.pop(client.number, None)

    def refusal(self, client_id: int, now: int) -> Error | None:
        """The error that a client is refused with when it starts with this id; None where it is welcome."""
        for each in self._busy:
            if each.ts <= now and each.fault.client in (None, client_id) and each.meets_next():
                self._told(now, f"client id {client_id} is said to be in use")
                return Error(-1, 326, BUSY_TEXT, ms=now // NS_PER_MS)
        return None

    # -- messages ---------------------------------------------------------------------------------------------------

    def pass_on(self, client: Client, messages: Iterable[Reply | bytes], now: int) -> list[Action]:
        """What to do with messages for a client at exchange time ``now``."""
        line = self._lines[client.number]
        out: list[Action] = []
        for message in messages:
            name = self._name(message, client.version)
            if self._is_lost(name):
                continue
            if self._outages and name not in OF_TWS_ITSELF:
                line.during_outage.append(message)
            elif self._treat(line, message, name, now, out):
                break
            if self._outages and isinstance(message, NextValidId):
                out.append(self._frame(line, Error(-1, 1100, LOST_TEXT, ms=now // NS_PER_MS)))
        if line.size > HELD_MOST:
            self._told(now, f"{line.size:,} messages are held for client {client.id}: its connection ends")
            out.append(Close())
        return out

    def _name(self, message: Reply | bytes, version: int) -> str:
        return self._name_of_frame(message, version) if isinstance(message, bytes) else name_of(message)

    def _is_lost(self, name: str) -> bool:
        return name in MARKET_DATA and (self._outages > 0 or self._broken_farms > 0)

    def _frame(self, line: _Line, message: Reply | bytes) -> Send:
        return Send(message if isinstance(message, bytes) else self._encode(message, line.client.version))

    def _met(self, line: _Line, message: Reply | bytes, name: str, now: int) -> list[Fault]:
        found = []
        is_marker = name == _MARKER and line.client.id in self._marked
        for each in self._met_by_messages:
            fault = each.fault
            if is_marker and fault.kind in _NOT_OF_MARKERS:
                continue
            if (
                each.ts <= now
                and fault.message in (name, ANY)
                and fault.client in (None, line.client.id)
                and fault.symbol in ("", _symbol(message))
                and each.meets_next()
            ):
                found.append(fault)
        return found

    def _treat(self, line: _Line, message: Reply | bytes, name: str, now: int, out: list[Action]) -> bool:
        """Do to one message what faults demand; True where nothing can follow it."""
        met = self._met(line, message, name, now) if self._met_by_messages else ()
        how: Fault | None = None
        copies = 1
        for fault in met:
            self._told(now, f"{fault_line(fault)} (client {line.client.id})")
            match fault.kind:
                case Kind.DISCONNECT:
                    out.append(Close())
                    return True
                case Kind.HALF_OPEN:
                    out.append(Hang(fault.wall_s))
                case Kind.GARBAGE:
                    out.append(Send(self._garbage(fault)))
                case Kind.DROP:
                    return False
                case Kind.DELAY:
                    self._hold(line, message, name, now + fault.for_ns)
                    return False
                case Kind.REORDER:
                    self._hold_behind(line, message, name, fault.behind, now + fault.for_ns)
                    return False
                case Kind.DUPLICATE:
                    copies += 1
                case _:
                    how = fault
        for _ in range(copies):
            self._emit(line, message, name, out, how)
        return False

    def _emit(self, line: _Line, message: Reply | bytes, name: str, out: list[Action], how: Fault | None) -> None:
        """Write a message, in the way that a fault demands, and then those that were to let it pass."""
        send = self._frame(line, message)
        if not send.data:  # a message that this client's version does not have
            return
        if how is None:
            out.append(send)
        else:
            out += _WRITTEN[how.kind](self, line, send.data, how)
        for entry, held, behind in list(line.waiting):
            if behind in (name, ANY) and _belong_together(held, message):
                line.waiting = [each for each in line.waiting if each[0] != entry]
                self._emit(line, held, self._name(held, line.client.version), out, None)

    def _hold(self, line: _Line, message: Reply | bytes, name: str, until: int) -> None:
        line.held += 1

        def release(now: int, due: Due) -> None:
            if self._lines.get(line.client.number) is line:
                line.held -= 1
                self._release(line, message, name, due)

        self._at(until, release)

    def _hold_behind(self, line: _Line, message: Reply | bytes, name: str, behind: str, until: int) -> None:
        def give_up(now: int, due: Due) -> None:
            if any(each[0] == entry for each in line.waiting) and self._lines.get(line.client.number) is line:
                line.waiting = [each for each in line.waiting if each[0] != entry]
                self._release(line, message, name, due)

        entry = self._at(until, give_up)
        line.waiting.append((entry, message, behind))

    def _release(self, line: _Line, message: Reply | bytes, name: str, due: Due) -> None:
        """A message's time has come; in an outage it goes on waiting."""
        if self._outages and name not in OF_TWS_ITSELF:
            line.during_outage.append(message)
        else:
            self._emit(line, message, name, due.by_connection.setdefault(line.client.number, []), None)

    # -- ways of writing --------------------------------------------------------------------------------------------

    def _garbage(self, fault: Fault) -> bytes:
        return self._rngs[id(fault)].randbytes(fault.size)

    def _stall(self, line: _Line, data: bytes, fault: Fault) -> list[Action]:
        at = min(fault.size or len(data) // 2, len(data) - 1)
        return [Send(data[:at]), Pause(fault.wall_s), Send(data[at:])]

    def _drip(self, line: _Line, data: bytes, fault: Fault) -> list[Action]:
        pieces = [data[at : at + fault.size] for at in range(0, len(data), fault.size)]
        return [action for piece in pieces for action in (Send(piece), Pause(fault.wall_s))]

    def _full_read(self, line: _Line, data: bytes, fault: Fault) -> list[Action]:
        """Writes of exactly 4096 bytes each: the message and a farm's notice that is as long as is needed."""
        data += self._padding(line.client.version, -len(data) % FULL_READ)
        out: list[Action] = [Pause(FULL_READ_PAUSE_S)]
        for at in range(0, len(data), FULL_READ):
            out += [Send(data[at : at + FULL_READ]), Pause(FULL_READ_PAUSE_S)]
        return out

    def _padding(self, version: int, size: int) -> bytes:
        text = FARMS[2103][2]
        bare = len(self._encode(Error(-1, 2104, text), version))
        if size == 0:
            return b""
        if size < bare:
            size += FULL_READ
        return self._encode(Error(-1, 2104, text + " " * (size - bare)), version)

    # -- what happens at a time -------------------------------------------------------------------------------------

    def due(self, now: int) -> Due:
        """What has come up to and at exchange time ``now``."""
        due = Due()
        while self._agenda and self._agenda[0][0] <= now:
            ts, _, action = heapq.heappop(self._agenda)
            action(ts, due)
        return due

    def _tell_all(self, due: Due, code: int, text: str, now: int, client_id: int | None = None) -> None:
        """A notice to every client that has started."""
        for line in self._lines.values():
            if line.client.id != UNSTARTED and client_id in (None, line.client.id):
                send = self._frame(line, Error(-1, code, text, ms=now // NS_PER_MS))
                due.by_connection.setdefault(line.client.number, []).append(send)

    def begin(self, fault: Fault, now: int, due: Due) -> None:
        """A fault that happens at a time happens."""
        self._told(now, fault_line(fault))
        match fault.kind:
            case Kind.RESTART:
                due.server.append(Restart(fault.wall_s))
            case Kind.NOTICE:
                self._tell_all(due, fault.code, fault.text, now, fault.client)
            case Kind.FARM:
                self._broken_farms += fault.code in (2103, 2110)
                self._tell_all(due, fault.code, fault.text or FARMS[fault.code][0], now)
                self._at(now + fault.for_ns, lambda ts, due: self._mend_farm(fault, ts, due))
            case Kind.CONNECTIVITY:
                self._outages += 1
                due.server.append(LoseExchange())
                self._tell_all(due, 1100, LOST_TEXT, now)
                self._at(now + fault.for_ns, lambda ts, due: self._restore(fault, ts, due))
            case _:
                self._break(fault, due)

    def _break(self, fault: Fault, due: Due) -> None:
        """What happens to connections themselves."""
        for line in self._lines.values():
            if fault.client not in (None, line.client.id):
                continue
            actions = due.by_connection.setdefault(line.client.number, [])
            match fault.kind:
                case Kind.DISCONNECT:
                    actions.append(Close())
                case Kind.HALF_OPEN:
                    actions.append(Hang(fault.wall_s))
                case _:
                    actions.append(Send(self._garbage(fault)))

    def _mend_farm(self, fault: Fault, now: int, due: Due) -> None:
        self._broken_farms -= fault.code in (2103, 2110)
        _, code, text = FARMS[fault.code]
        self._told(now, f"farm {code}")
        self._tell_all(due, code, text, now)

    def _restore(self, fault: Fault, now: int, due: Due) -> None:
        """The exchange is found again: the notice, then what waited, in its order."""
        self._outages -= 1
        if self._outages:
            return
        code, text = RESTORED[fault.data_lost]
        self._told(now, f"connectivity {code}")
        due.server.append(FindExchange(fault.data_lost))
        self._tell_all(due, code, text, now)
        for line in self._lines.values():
            waited, line.during_outage = line.during_outage, []
            out = due.by_connection.setdefault(line.client.number, [])
            for message in waited:
                if self._treat(line, message, self._name(message, line.client.version), now, out):
                    break


def _beginning(layer: FaultLayer, fault: Fault) -> Callable[[int, Due], None]:
    return lambda now, due: layer.begin(fault, now, due)


_WRITTEN: Mapping[Kind, Callable[[FaultLayer, _Line, bytes, Fault], list[Action]]] = {
    Kind.STALL: FaultLayer._stall,
    Kind.DRIP: FaultLayer._drip,
    Kind.FULL_READ: FaultLayer._full_read,
}


def _symbol(message: Reply | bytes) -> str:
    return str(getattr(getattr(message, "contract", None), "symbol", ""))


def _belong_together(held: Reply | bytes, passing: Reply | bytes) -> bool:
    """Whether two messages are of one order or execution, where both name one; of a kind, any two are."""
    if type(held) is type(passing):
        return True
    for name in ("order_id", "exec_id"):
        one, other = getattr(held, name, None), getattr(passing, name, None)
        if one is not None and other is not None:
            return bool(one == other)
    return True
