"""Requests that are answered once: snapshots, historical bars, scans, definitions of contracts. Each has a deadline.

What a strategy asks for many instruments is counted one by one; the answer has what came, and names what did not. An
error fails the one request that it is for. No request waits for ever, and none is answered twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from brokers.ib import codes
from brokers.ib.answers import TIMES, VOLUMES, Prices, read_bars
from brokers.ib.codes import CodeClass
from brokers.ib.commands import AskHistory, Command, FollowMarket, StopHistory, StopMarket, StopScan
from brokers.ib.definitions import Definitions
from brokers.ib.ended import EndedIds
from brokers.ib.events import Answered, Event, Notice
from brokers.ib.history_pacing import HistoryPacing
from brokers.ib.lots import HISTORY_SHARES_SINCE, ROUND_LOT, VOLUME_SHARES_SINCE, is_us_stock
from brokers.ib.records import (
    Connected,
    ContractDetails,
    ContractDetailsEnd,
    ErrorMessage,
    HistoryBar,
    HistoryEnd,
    HistoryUpdate,
    MarketDataType,
    NextValidId,
    Record,
    ScannerEnd,
    ScannerRow,
    SnapshotEnd,
    TickGeneric,
    TickParameters,
    TickPrice,
    TickSize,
    TickString,
)
from brokers.ib.registry import Registry
from brokers.ib.scan_rows import take_rows
from brokers.ib.translate import contract_of, history_terms, scan_command
from papertape.core.errors import UserError
from papertape.core.model import NS_PER_S, Bar, Instrument, Scan, SessionTimes
from papertape.core.requests import HistoryRequest, Reply, Request, ScanRequest, SnapshotRequest

GROUPS_MOST = 200
"""Most requests of a strategy that are open at once."""


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """Deadlines (seconds) of what is asked, and how many snapshots may be open at once: each is a line at TWS."""

    snapshot_s: float = 10.0
    history_s: float = 60.0
    scan_s: float = 30.0
    contract_s: float = 10.0
    snapshots: int = 50
    regular_hours: bool = True


@dataclass(slots=True, eq=False)
class _Group:
    """A strategy's request. ``open`` are the symbols that have no answer yet, with their request ids (0: not sent)."""

    request: Request
    asked: int
    deadline: int
    open: dict[str, int]
    found: dict[str, Any] = field(default_factory=dict)
    rows: list[ScannerRow] = field(default_factory=list)
    note: str = ""


@dataclass(slots=True)
class _Part:
    """What one request id is for."""

    group: _Group
    symbol: str
    prices: Prices = field(default_factory=Prices)
    bars: list[HistoryBar] = field(default_factory=list)
    key: tuple[str, str, str] = ("", "", "")


class Queries:
    """Everything that is asked once, over any number of connections. ``history`` paces all histories of a connection."""

    def __init__(
        self,
        registry: Registry,
        *,
        send: Callable[[Command], None],
        emit: Callable[[Event], None],
        next_id: Callable[[], int],
        calendar: SessionTimes,
        history: HistoryPacing,
        settings: QuerySettings | None = None,
    ) -> None:
        self.registry = registry
        self.settings = settings or QuerySettings()
        self.calendar = calendar
        self.history = history
        self._send = send
        self._emit = emit
        self._next_id = next_id
        self._groups: list[_Group] = []
        self._parts: dict[int, _Part] = {}
        seconds = self.settings.contract_s
        self._definitions = Definitions(registry, send=send, emit=emit, next_id=next_id, deadline_s=seconds)
        self._unsent: list[_Group] = []
        self._snapshots: deque[_Part] = deque()
        self._open_snapshots: set[int] = set()
        self._memory: dict[tuple[str, str, str], tuple[int, list[HistoryBar]]] = {}
        self._ended = EndedIds()
        self._version = 0
        self._is_up = self._may_come_up = False

    # -- asking -----------------------------------------------------------------------------------------------

    def put(self, request: Request, now: int) -> None:
        """Have a request answered by an :class:`Answered`, in time or at its deadline. Confirmations are not asked here."""
        symbols: tuple[str, ...] = ()
        if isinstance(request, SnapshotRequest | HistoryRequest):
            symbols = tuple(dict.fromkeys(request.symbols))
        seconds = {SnapshotRequest: self.settings.snapshot_s, HistoryRequest: self.settings.history_s}
        limit = seconds.get(type(request), self.settings.scan_s)
        group = _Group(request, now, now + round(limit * NS_PER_S), dict.fromkeys(symbols, 0))
        self._groups.append(group)
        if isinstance(request, ScanRequest):
            group.open[""] = 0
        if not group.open or len(self._groups) > GROUPS_MOST:
            group.note = "" if not group.open else "too many requests wait for an answer already"
            self._finish(group, now)
        elif self._is_up:
            self._begin(group, now)
        else:
            self._unsent.append(group)

    def know(self, j: int, definition: Instrument, con_id: int, now: int) -> None:
        """Have TWS define an instrument; answered by one :class:`InstrumentKnown`."""
        self._definitions.put(j, definition, con_id, now)

    def _begin(self, group: _Group, now: int) -> None:
        _ASK_BY[type(group.request)](self, group, now)

    def _new_part(self, group: _Group, symbol: str) -> tuple[int, _Part]:
        request_id = self._next_id()
        part = self._parts[request_id] = _Part(group, symbol)
        group.open[symbol] = request_id
        return request_id, part

    def _ask_snapshots(self, group: _Group, now: int) -> None:
        self._snapshots.extend(_Part(group, symbol) for symbol in group.open)
        self._send_snapshots()

    def _send_snapshots(self) -> None:
        while self._snapshots and len(self._open_snapshots) < self.settings.snapshots:
            waiting = self._snapshots.popleft()
            if waiting.symbol not in waiting.group.open:
                continue
            request_id, _ = self._new_part(waiting.group, waiting.symbol)
            self._open_snapshots.add(request_id)
            j = self.registry.index[waiting.symbol]
            contract = contract_of(self.registry.instruments[j], self.registry.con_ids[j])
            self._send(FollowMarket(request_id, contract, snapshot=True))

    def _ask_bars(self, group: _Group, now: int) -> None:
        request = group.request
        assert isinstance(request, HistoryRequest), "only these ask for bars"
        try:
            duration, bar = history_terms(request.duration, request.bar)
        except UserError as error:
            self._emit(Notice(0, str(error)))
            self._finish(group, now)
            return
        for symbol in list(group.open):
            key = (symbol, duration, bar)
            asked, bars = self._memory.get(key, (0, []))
            if asked and now - asked < self.history.limits.same_s * NS_PER_S:
                group.found[symbol] = self._bars_of(symbol, request, bars, now)  # TWS would refuse the same so soon
                del group.open[symbol]
                continue
            request_id, part = self._new_part(group, symbol)
            part.key = key
            j = self.registry.index[symbol]
            contract = contract_of(self.registry.instruments[j], self.registry.con_ids[j])
            command = AskHistory(request_id, contract, duration, bar, regular_hours=self.settings.regular_hours)
            if not self.history.put(command, now):
                self._fail(request_id, "too many requests for bars wait already", 0, now)
        if not group.open and group in self._groups:
            self._finish(group, now)

    def _ask_scan(self, group: _Group, now: int) -> None:
        request = group.request
        assert isinstance(request, ScanRequest), "only these scan"
        request_id, _ = self._new_part(group, "")
        self._send(scan_command(request.spec, request.rows, request_id))

    # -- records ----------------------------------------------------------------------------------------------

    def receive(self, record: Record, now: int) -> bool:
        """Take in a record; False where it is not (only) for one of these requests."""
        method = _RECEIVERS.get(type(record))
        return method is not None and method(self, record, now)

    def _connected(self, record: Connected, now: int) -> bool:
        self._version = record.server_version
        return False

    def _valid_id(self, record: NextValidId, now: int) -> bool:
        self._may_come_up = True
        return False

    def _price(self, record: TickPrice, now: int) -> bool:
        part = self._parts.get(record.request_id)
        if part is not None and part.prices.take_price(record.type, record.price):
            self._complete_snapshot(record.request_id, part, now)
        return part is not None or record.request_id in self._ended

    def _size(self, record: TickSize, now: int) -> bool:
        part = self._parts.get(record.request_id)
        if part is not None and record.type in VOLUMES:
            in_lots = self._version < VOLUME_SHARES_SINCE and is_us_stock(self._instrument(part.symbol))
            part.prices.volume = record.size * (ROUND_LOT if in_lots else 1.0)
            self._complete_snapshot(record.request_id, part, now)
        return part is not None or record.request_id in self._ended

    def _text(self, record: TickString, now: int) -> bool:
        part = self._parts.get(record.request_id)
        if part is not None and record.type in TIMES and record.text.isdigit():
            part.prices.ts = int(record.text) * NS_PER_S
            self._complete_snapshot(record.request_id, part, now)
        return part is not None or record.request_id in self._ended

    def _complete_snapshot(self, request_id: int, part: _Part, now: int) -> None:
        """TWS may take 11 seconds to say that a snapshot has ended; it has when everything is there."""
        if part.prices.is_complete():
            self._found_snapshot(request_id, now)

    def _snapshot_end(self, record: SnapshotEnd, now: int) -> bool:
        if record.request_id in self._parts:
            self._found_snapshot(record.request_id, now)
            return True
        return record.request_id in self._ended

    def _found_snapshot(self, request_id: int, now: int) -> None:
        part = self._end(request_id)
        self._keep_prices(part, now)
        self._answered(part.group, part.symbol, now)

    def _keep_prices(self, part: _Part, now: int) -> None:
        if part.prices.is_known():
            part.group.found[part.symbol] = part.prices.snapshot(part.symbol, now)

    def _ignored(self, record: TickGeneric | TickParameters | MarketDataType | HistoryUpdate, now: int) -> bool:
        return record.request_id in self._parts or record.request_id in self._ended

    def _bar(self, record: HistoryBar, now: int) -> bool:
        part = self._parts.get(record.request_id)
        if part is not None:
            part.bars.append(record)
        return part is not None or record.request_id in self._ended

    def _bars_end(self, record: HistoryEnd, now: int) -> bool:
        part = self._parts.get(record.request_id)
        if part is None:
            return record.request_id in self._ended
        self._found_bars(record.request_id, now)
        return True

    def _found_bars(self, request_id: int, now: int) -> None:
        part = self._end(request_id)
        request = part.group.request
        assert isinstance(request, HistoryRequest), "only these get bars"
        same_ns = self.history.limits.same_s * NS_PER_S
        self._memory = {key: kept for key, kept in self._memory.items() if now - kept[0] < same_ns}
        self._memory[part.key] = (now, part.bars)
        part.group.found[part.symbol] = self._bars_of(part.symbol, request, part.bars, now)
        self._answered(part.group, part.symbol, now)

    def _bars_of(self, symbol: str, request: HistoryRequest, records: list[HistoryBar], now: int) -> list[Bar]:
        in_lots = self._version < HISTORY_SHARES_SINCE and is_us_stock(self._instrument(symbol))
        return read_bars(symbol, request, records, self.calendar, now, volume_unit=ROUND_LOT if in_lots else 1.0)

    def _instrument(self, symbol: str) -> Instrument:
        return self.registry.instruments[self.registry.index[symbol]]

    def _row(self, record: ScannerRow, now: int) -> bool:
        part = self._parts.get(record.request_id)
        if part is not None:
            part.group.rows.append(record)
        return part is not None or record.request_id in self._ended

    def _scan_end(self, record: ScannerEnd, now: int) -> bool:
        part = self._parts.get(record.request_id)
        if part is None:
            return record.request_id in self._ended
        self._send(StopScan(record.request_id))
        self._end(record.request_id)
        self._answered(part.group, "", now)
        return True

    def _details(self, record: ContractDetails | ContractDetailsEnd, now: int) -> bool:
        return self._definitions.receive(record)

    # -- errors -----------------------------------------------------------------------------------------------

    def _error(self, record: ErrorMessage, now: int) -> bool:
        request_id = record.request_id
        kind = codes.classify(record.code, record.text)
        told = f"TWS {record.code}: {record.text}"
        if self._definitions.owns(request_id):
            if kind not in _GOES_ON:
                self._definitions.fail(request_id, told)
            return True
        part = self._parts.get(request_id)
        if part is None:
            return request_id in self._ended
        if kind is CodeClass.NO_DATA:
            self._nothing(request_id, part, record.text, now)
        elif kind is CodeClass.SCAN_WARNING:
            part.group.note = told
        elif kind is CodeClass.PACING and isinstance(part.group.request, HistoryRequest):
            self.history.refused(request_id, now)
        elif kind not in _GOES_ON:
            self._fail(request_id, told, record.code, now)
        return True

    def _nothing(self, request_id: int, part: _Part, text: str, now: int) -> None:
        """The request was fine, and there is nothing."""
        if isinstance(part.group.request, ScanRequest):
            part.group.note = f"empty: TWS says {text.strip()}"
            self._send(StopScan(request_id))
        self._end(request_id)
        self._answered(part.group, part.symbol, now)

    def _fail(self, request_id: int, text: str, code: int, now: int) -> None:
        """One request failed, and no other."""
        part = self._end(request_id)
        if isinstance(part.group.request, ScanRequest):
            part.group.note = text
        else:
            self._emit(Notice(code, f"{part.symbol}: {text}"))
        self._answered(part.group, part.symbol, now)

    # -- ending -----------------------------------------------------------------------------------------------

    def _end(self, request_id: int) -> _Part:
        part = self._parts.pop(request_id)
        self._ended.add(request_id)
        self.history.ended(request_id)
        if request_id in self._open_snapshots:
            self._open_snapshots.discard(request_id)
            self._send_snapshots()
        return part

    def _answered(self, group: _Group, symbol: str, now: int) -> None:
        group.open.pop(symbol, None)
        if not group.open:
            self._finish(group, now)

    def _finish(self, group: _Group, now: int) -> None:
        """Answer with what there is."""
        self._groups.remove(group)
        request = group.request
        if isinstance(request, ScanRequest):
            rows, note = take_rows(self.registry, group.rows, request.rows)
            text = "; ".join(filter(None, (group.note, note))) or ("" if rows else "empty: no instrument passed")
            reply = Reply(request, {}, value=Scan(request.spec.code, now, rows, "broker", text))
        else:
            symbols = getattr(request, "symbols", ())
            found = {symbol: group.found[symbol] for symbol in symbols if group.found.get(symbol)}
            missing = tuple(dict.fromkeys(symbol for symbol in symbols if symbol not in found))
            reply = Reply(request, found, missing)
        self._emit(Answered(reply))

    def _abandon(self, group: _Group, now: int, why: str) -> None:
        """Its time is over, or the connection: what is not there is missing."""
        stop = _STOP_BY[type(group.request)]
        if why and isinstance(group.request, ScanRequest):
            group.note = why
        waiting, group.open = group.open, {}
        for request_id in waiting.values():
            part = self._parts.get(request_id)
            if part is not None:
                if self._is_up and (stop is not StopHistory or self.history.ended(request_id)):
                    self._send(stop(request_id))
                self._end(request_id)
                self._keep_prices(part, now)
        self._finish(group, now)

    def drop(self, now: int) -> None:
        """The connection has ended: what waits is answered with what is missing; definitions are asked for again."""
        self._is_up = self._may_come_up = False
        sent = [group for group in self._groups if group not in self._unsent]
        self._snapshots.clear()
        for group in sent:
            self._abandon(group, now, "the connection to TWS was lost")
        self._definitions.drop()
        self._memory.clear()

    # -- time -------------------------------------------------------------------------------------------------

    def pass_time(self, now: int, *, can_send: bool = True) -> None:
        """Send what waited for the connection, where something can be sent; answer what is due."""
        if can_send and self._may_come_up and not self._is_up:
            self._is_up = True
            waiting, self._unsent = self._unsent, []
            for group in waiting:
                self._begin(group, now)
            self._definitions.begin(now)
        for group in [group for group in self._groups if now >= group.deadline]:
            if group in self._unsent:
                self._unsent.remove(group)
            self._abandon(group, now, "TWS did not answer in time")
        self._definitions.pass_time(now)
        self.history.pass_time(now)

    def next_due(self, now: int) -> int:
        """When :meth:`pass_time` is needed again (UTC ns); NEVER where it is not."""
        due = [group.deadline for group in self._groups]
        return min([*due, self._definitions.next_due(), self.history.next_due(now)])


_GOES_ON = frozenset(
    {
        CodeClass.NOTICE, CodeClass.WARNING, CodeClass.REQUEST_ENDED, CodeClass.SCAN_WARNING, CodeClass.DATA_DELAYED,
        CodeClass.UNKNOWN,
    }
)  # fmt: skip
"""Classes that end no request."""
_ASK_BY: Mapping[type, Callable[[Queries, _Group, int], None]] = {
    SnapshotRequest: Queries._ask_snapshots,
    HistoryRequest: Queries._ask_bars,
    ScanRequest: Queries._ask_scan,
}
_STOP_BY: Mapping[type, Callable[[int], Command]] = {
    SnapshotRequest: StopMarket,
    HistoryRequest: StopHistory,
    ScanRequest: StopScan,
}
_RECEIVERS: Mapping[type, Callable[[Queries, Any, int], bool]] = {
    Connected: Queries._connected,
    NextValidId: Queries._valid_id,
    ErrorMessage: Queries._error,
    TickPrice: Queries._price,
    TickSize: Queries._size,
    TickString: Queries._text,
    TickGeneric: Queries._ignored,
    TickParameters: Queries._ignored,
    MarketDataType: Queries._ignored,
    SnapshotEnd: Queries._snapshot_end,
    HistoryBar: Queries._bar,
    HistoryUpdate: Queries._ignored,
    HistoryEnd: Queries._bars_end,
    ScannerRow: Queries._row,
    ScannerEnd: Queries._scan_end,
    ContractDetails: Queries._details,
    ContractDetailsEnd: Queries._details,
}
