"""Market data of a session with TWS: which lines there are, where trades come from, and whether what comes is fresh.

An instrument that is watched has a line (bid, ask, RTVolume), and while tick-by-tick lines are left one of those, too,
whose trades are then taken. What TWS does not give is said for each instrument (:class:`DataChanged`), never replaced
by something else without a word. Bars are in :mod:`brokers.ib.bars`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from brokers.ib import codes
from brokers.ib.bars import BarLines, BarSettings
from brokers.ib.codes import CodeClass, Farm
from brokers.ib.commands import Command, FollowMarket, FollowTicks, SetMarketDataType, StopMarket, StopTicks
from brokers.ib.ended import EndedIds
from brokers.ib.events import DataChanged, DataKind, Event, TradeSource
from brokers.ib.history_pacing import HistoryLimits, HistoryPacing
from brokers.ib.lines import FIRST_DELAYED, LAST_DELAYED, PRICES, SIZES, Line, LineSettings, Watched
from brokers.ib.lots import HISTORY_SHARES_SINCE, ROUND_LOT, SHARES_SINCE, is_us_stock
from brokers.ib.records import (
    Connected,
    Disconnected,
    ErrorMessage,
    HistoryBar,
    HistoryEnd,
    HistoryUpdate,
    MarketDataType,
    Record,
    SnapshotEnd,
    TickGeneric,
    TickParameters,
    TickPrice,
    TickQuote,
    TickSize,
    TickString,
    TickTrade,
)
from brokers.ib.registry import Registry
from brokers.ib.translate import contract_of
from papertape.core.model import InstrumentType, SessionTimes
from papertape.core.timers import NEVER

LIVE_ONLY, DELAYED_TOO = 1, 3
"""Market data types that are asked for."""
GENERIC_TICKS = "233"
RETRIES = 3
"""How often a line that TWS ended is asked for again."""
_KINDS: Mapping[int, DataKind] = {1: DataKind.LIVE, 2: DataKind.FROZEN, 3: DataKind.DELAYED, 4: DataKind.DELAYED}
_PARTLY = frozenset({10090, 10091})  # codes of lines that lack something and go on
_ONE_SIDED = frozenset({InstrumentType.CASH, InstrumentType.INDEX})
"""Types that have no trades tick by tick at TWS."""


@dataclass(frozen=True, slots=True)
class MarketSettings:
    """What market data are asked for. ``calendar`` says when bars end.

    ``tick_by_tick``: instruments that get tick-by-tick trades, first come first served; 0: all trades from RTVolume. TWS
    allows three with 100 lines. ``delayed_allowed``: take delayed data where there are no live ones (paper; live only
    if told to). In lockstep ``lines.image_s`` and ``bars.grace_s`` are 0.
    """

    calendar: SessionTimes
    tick_by_tick: int = 3
    delayed_allowed: bool = False
    lines: LineSettings = field(default_factory=LineSettings)
    bars: BarSettings = field(default_factory=BarSettings)
    history: HistoryLimits = field(default_factory=HistoryLimits)


class MarketData:
    """Lines of all watched instruments over any number of connections; ``history`` paces histories for others, too."""

    def __init__(
        self,
        settings: MarketSettings,
        registry: Registry,
        send: Callable[[Command], None],
        emit: Callable[[Event], None],
        next_id: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.registry = registry
        self.history = HistoryPacing(send, settings.history)
        self._send = send
        self._emit = emit
        self._next_id = next_id
        self._bars = BarLines(settings.bars, settings.calendar, registry, self.history, send, emit, next_id)
        self._bars.marks = self._is_silent
        self._watched: dict[int, Watched] = {}
        self._requests: dict[int, int] = {}
        self._ended = EndedIds()
        self._is_up = False
        self._version = 0
        self._held: Line | None = None
        self._touched: dict[int, Line] = {}
        """Lines that may have something to say when time passes."""
        self._unsent: list[Line] = []  # their requests wait to be sent
        self._farms_down: set[str] = set()

    # -- what is wanted ---------------------------------------------------------------------------------------

    def watch(self, j: int, now: int) -> None:
        """Deliver an instrument's trades and quotes until given up as often; who comes second is told what is known."""
        found = self._watched.get(j)
        if found is not None:
            found.watchers += 1
            found.line.tell_known()
            return
        watched = self._watched[j] = Watched(self._line(j))
        if self._is_up:
            self._subscribe(watched)

    def unwatch(self, j: int, now: int) -> None:
        """Somebody no longer needs an instrument; after the last one its line ends."""
        watched = self._watched.get(j)
        if watched is None:
            return
        watched.watchers -= 1
        if watched.watchers:
            return
        watched.line.flush(now)
        del self._watched[j]
        self._touched.pop(j, None)
        self._end_line(watched)
        crowded = next((each for each in self._watched.values() if each.is_crowded), None)
        if crowded is not None and self._is_up:
            self._subscribe(crowded)

    def watch_bars(self, j: int, interval_ns: int, warmup: int, now: int) -> None:
        """Deliver bars of an interval, the last ``warmup`` of them that are over first. UserError: TWS has none such."""
        self._bars.watch(j, interval_ns, warmup, now)

    def stop_bars(self, j: int, interval_ns: int, now: int) -> None:
        """No longer deliver them."""
        self._bars.stop(j, interval_ns, now)

    def _is_silent(self, j: int) -> bool:
        """Whether an instrument has had neither trade nor quote since it is watched."""
        watched = self._watched.get(j)
        return watched is None or not (watched.had_events or watched.line.has_events)

    def _line(self, j: int) -> Line:
        unit = ROUND_LOT if 0 < self._version < SHARES_SINCE and is_us_stock(self.registry.instruments[j]) else 1.0
        return Line(j, self._emit, self.settings.lines, size_unit=unit)

    def _subscribe(self, watched: Watched) -> None:
        """Ask for a line, and for tick-by-tick trades while some are left; those first, so that they miss nothing."""
        line = watched.line
        j = line.instrument
        instrument = self.registry.instruments[j]
        contract = contract_of(instrument, self.registry.con_ids[j])
        watched.is_refused = watched.is_crowded = False
        line.source = TradeSource.RT_VOLUME
        has_left = self._tick_lines() < self.settings.tick_by_tick
        if has_left and not watched.no_ticks and instrument.type not in _ONE_SIDED:
            line.source = TradeSource.ALL_LAST
            line.ticks = self._take_id(j)
            self._send(FollowTicks(line.ticks, contract, "AllLast"))
        line.request = self._take_id(j)
        self._send(FollowMarket(line.request, contract, GENERIC_TICKS))
        self._unsent.append(line)

    def sent(self) -> None:
        """All that was to be sent is: in lockstep the images of new lines come before the next marker."""
        for line in self._unsent:
            line.is_asked = True
            self._touched[line.instrument] = line
        self._unsent.clear()

    def _tick_lines(self) -> int:
        return sum(each.line.ticks != 0 for each in self._watched.values())

    def _take_id(self, j: int) -> int:
        found = self._next_id()
        self._requests[found] = j
        return found

    def _forget(self, request_id: int) -> None:
        """A request has ended; what still comes for it means nothing."""
        if self._requests.pop(request_id, None) is not None:
            self._ended.add(request_id)

    def _end_line(self, watched: Watched) -> None:
        line = watched.line
        if line.request and self._is_up:
            self._send(StopMarket(line.request))
        if line.ticks and self._is_up:
            self._send(StopTicks(line.ticks))
        for request_id in (line.request, line.ticks):
            self._forget(request_id)
        line.request = line.ticks = 0

    # -- the connection ---------------------------------------------------------------------------------------

    def resubscribe(self, now: int) -> None:
        """The connection is ready, for the first time or again, or TWS has lost its subscriptions: all lines anew."""
        if self._is_up:
            self._bars.end_all()
            for watched in self._watched.values():
                self._end_line(watched)
        self._is_up = True
        self._send(SetMarketDataType(DELAYED_TOO if self.settings.delayed_allowed else LIVE_ONLY))
        self._farms_down.clear()
        for watched in self._watched.values():
            watched.retries = 0
            self._renew(watched)
        self._bars.resubscribe(now)

    def _renew(self, watched: Watched) -> None:
        """A new line in place of one whose requests mean nothing any more."""
        before = watched.line
        self._forget(before.request)
        self._forget(before.ticks)
        if self._held is before:
            self._held = None
        self._touched.pop(before.instrument, None)
        watched.had_events = watched.had_events or before.has_events
        watched.line = self._line(before.instrument)
        watched.line.received = before.received
        watched.no_ticks = False
        self._subscribe(watched)

    def mark_stale(self, reason: str, now: int) -> None:
        """Nothing fresh comes until a line does."""
        for watched in self._watched.values():
            watched.line.flush(now)
            watched.stale = reason
            self._tell(watched)

    def _connected(self, record: Connected, now: int) -> bool:
        self._version = record.server_version
        shares = record.server_version >= HISTORY_SHARES_SINCE
        self._bars.volume_unit = lambda instrument: 1.0 if shares or not is_us_stock(instrument) else ROUND_LOT
        return False

    def _disconnected(self, record: Disconnected, now: int) -> bool:
        self._lines_are_gone(now)
        return False

    def _lines_are_gone(self, now: int) -> None:
        self._is_up = False
        for watched in self._watched.values():
            watched.line.flush(now)
            self._forget(watched.line.request)
            self._forget(watched.line.ticks)
            watched.line.request = watched.line.ticks = 0
        self._bars.drop()
        self.history.drop()

    # -- records ----------------------------------------------------------------------------------------------

    def receive(self, record: Record, now: int) -> bool:
        """Take in a record; False where it is not (only) for market data."""
        method = _RECEIVERS.get(type(record))
        return method is not None and method(self, record, now)

    def _of(self, request_id: int) -> Watched | None:
        j = self._requests.get(request_id)
        return None if j is None else self._watched.get(j)

    def _known(self, request_id: int) -> bool:
        return request_id in self._ended or request_id in self._requests

    def _heard(self, request_id: int, now: int) -> Line | None:
        """The line that a tick is for; a quote of another one that was being put together is complete."""
        watched = self._of(request_id)
        if watched is None:
            return None
        line = watched.line
        if self._held is not line:
            if self._held is not None:
                self._held.flush(now)
            self._held = line
        self._touched[line.instrument] = line
        if watched.stale:
            watched.stale = ""
            self._tell(watched)
        return line

    def _price(self, record: TickPrice, now: int) -> bool:
        line = self._heard(record.request_id, now) if record.type in PRICES else None
        if line is not None and self._may_be(line, record.type, now):
            line.price(record.type, record.price, now)
        return line is not None or self._known(record.request_id)

    def _size(self, record: TickSize, now: int) -> bool:
        line = self._heard(record.request_id, now) if record.type in SIZES else None
        if line is not None and self._may_be(line, record.type, now):
            line.size(record.type, record.size, now)
        return line is not None or self._known(record.request_id)

    def _text(self, record: TickString, now: int) -> bool:
        if (line := self._heard(record.request_id, now)) is not None:
            line.text(record.type, record.text, now)
        return line is not None or self._known(record.request_id)

    def _may_be(self, line: Line, tick: int, now: int) -> bool:
        """Whether a tick may be used: delayed ones are, where that is allowed, and then the line says so."""
        if not FIRST_DELAYED <= tick <= LAST_DELAYED:
            return True
        if line.kind is not DataKind.DELAYED:
            self._take_kind(self._watched[line.instrument], DataKind.DELAYED, now)
        return bool(line.request)

    def _ignored(self, record: TickGeneric | TickParameters | SnapshotEnd | TickQuote, now: int) -> bool:
        return self._known(record.request_id)

    def _type(self, record: MarketDataType, now: int) -> bool:
        watched = self._of(record.request_id)
        if watched is not None and record.request_id == watched.line.request:
            self._take_kind(watched, _KINDS.get(record.type, DataKind.UNKNOWN), now)
        return self._known(record.request_id)

    def _take_kind(self, watched: Watched, kind: DataKind, now: int) -> None:
        line = watched.line
        line.kind = kind
        if kind is DataKind.DELAYED:
            if not self.settings.delayed_allowed:
                self._refuse(watched, "TWS sends delayed data, which this run does not take")
                return
            self._end_ticks(line)
            line.source = TradeSource.NONE
            watched.text = watched.text or "delayed data: there are quotes, and no trades"
        elif line.source is TradeSource.NONE:
            line.source = TradeSource.RT_VOLUME
        self._tell(watched)

    def _trade(self, record: TickTrade, now: int) -> bool:
        if (line := self._heard(record.request_id, now)) is not None:
            line.tick_trade(record.ts_s, record.price, record.size, now)
        return self._known(record.request_id)

    def _history(self, record: HistoryBar | HistoryEnd | HistoryUpdate, now: int) -> bool:
        return self._bars.receive(record, now)

    # -- errors -----------------------------------------------------------------------------------------------

    def _error(self, record: ErrorMessage, now: int) -> bool:
        kind = codes.classify(record.code, record.text)
        if kind is CodeClass.RESTORED_DATA_LOST:
            self._lines_are_gone(now)
            return False
        self._bars.link_changed(kind, now)
        if kind in (CodeClass.FARM_DOWN, CodeClass.FARM_OK):
            self._farm(record, kind, now)
            return False
        watched = self._of(record.request_id)
        if watched is None:
            return self._bars.fail(record.request_id, kind, record.text, now) or self._known(record.request_id)
        told = f"TWS {record.code}: {record.text}"
        if record.request_id == watched.line.ticks:
            self._tick_error(watched, kind, told, now)
        else:
            self._line_error(watched, kind, told, record.code, now)
        return True

    def _farm(self, record: ErrorMessage, kind: CodeClass, now: int) -> None:
        """A market data farm is lost or found. Which instruments it serves is not told, so all are doubted."""
        if codes.FARMS.get(record.code) not in (Farm.MARKET, Farm.SERVER):
            return
        name = codes.farm_name(record.text)
        if kind is CodeClass.FARM_DOWN:
            self._farms_down.add(name)
            self.mark_stale(record.text, now)
            return
        self._farms_down -= {name, ""}  # TWS's own server, which has no name, is found again with any of them
        if not self._farms_down:
            for watched in self._watched.values():
                if watched.stale:
                    watched.stale = ""
                    self._tell(watched)

    def _tick_error(self, watched: Watched, kind: CodeClass, told: str, now: int) -> None:
        if kind in _GOES_ON or kind is CodeClass.UNKNOWN:
            return
        self._forget(watched.line.ticks)
        self._fall_back(watched, f"trades come from RTVolume, not tick by tick: {told}", now)

    def _fall_back(self, watched: Watched, text: str, now: int) -> None:
        watched.no_ticks = True
        if watched.line.source is TradeSource.ALL_LAST:
            watched.text = text
            watched.line.take_from_rt_volume(now)
            self._tell_known(watched)
        watched.line.ticks = 0

    def _end_ticks(self, line: Line) -> None:
        if line.ticks:
            self._send(StopTicks(line.ticks))
            self._forget(line.ticks)
            line.ticks = 0

    def _line_error(self, watched: Watched, kind: CodeClass, told: str, code: int, now: int) -> None:
        if kind is CodeClass.DATA_DELAYED or code in _PARTLY:
            watched.text = told
            self._tell_known(watched)
        elif kind is CodeClass.DATA_COMPETING:
            watched.line.flush(now)
            watched.stale = told
            self._tell(watched, DataKind.NONE)
        elif kind is CodeClass.DATA_ENDED and watched.retries < RETRIES:
            watched.retries += 1
            self._end_ticks(watched.line)
            self._renew(watched)
        elif kind not in _GOES_ON and kind is not CodeClass.UNKNOWN:
            self._forget(watched.line.request)  # at TWS there is nothing to end
            watched.line.request = 0
            self._refuse(watched, told, is_crowded=kind is CodeClass.LINES)

    def _refuse(self, watched: Watched, text: str, *, is_crowded: bool = False) -> None:
        """The instrument has no data. Without a line it needs no tick-by-tick one either."""
        self._end_line(watched)
        watched.line.kind, watched.line.source = DataKind.NONE, TradeSource.NONE
        watched.is_refused, watched.is_crowded, watched.text = True, is_crowded, text
        self._tell(watched)

    def _tell_known(self, watched: Watched) -> None:
        if watched.line.kind is not DataKind.UNKNOWN:
            self._tell(watched)

    def _tell(self, watched: Watched, kind: DataKind | None = None) -> None:
        """Say what is delivered of an instrument, where that is not what was said last."""
        line = watched.line
        now_told = kind or (DataKind.UNKNOWN if watched.stale else line.kind)
        said = watched.stale or watched.text or f"{now_told} data, trades from {line.source}"
        news = (now_told, line.source, said)
        if news != watched.told:
            watched.told = news
            self._emit(DataChanged(line.instrument, *news))

    # -- time -------------------------------------------------------------------------------------------------

    def pass_time(self, now: int) -> None:
        """All that was read is in, and time has come to ``now``: quotes and images go out, bars that are over close.

        To be called after the records of each read; in lockstep at each marker and nowhere else.
        """
        self._held = None
        for j, line in list(self._touched.items()):
            line.pass_time(now)
            if line.lost_ticks:
                self._end_ticks(line)
                self._fall_back(self._watched[j], "trades come from RTVolume: tick by tick there are none of them", now)
            if line.next_due(NEVER) == NEVER:
                del self._touched[j]
        self._bars.pass_time(now)
        self.history.pass_time(now)

    def next_due(self, now: int) -> int:
        """When :meth:`pass_time` is needed again (UTC ns), if nothing is read before; NEVER where it is not."""
        due = [line.next_due(NEVER) for line in self._touched.values()]
        return min([*due, self._bars.next_due(), self.history.next_due(now)])

    # -- what is known ----------------------------------------------------------------------------------------

    def last_received(self, j: int) -> int:
        """When something last came of an instrument (UTC ns); 0 never."""
        watched = self._watched.get(j)
        return 0 if watched is None else watched.line.received

    def is_fresh(self, j: int, now: int, within_ns: int) -> bool:
        """Whether an instrument's line delivers, and did within ``within_ns``. Frozen data are never fresh."""
        watched = self._watched.get(j)
        if watched is None or watched.stale or watched.is_refused or watched.line.kind is DataKind.FROZEN:
            return False
        return watched.line.received > 0 and now - watched.line.received <= within_ns

    def describe(self) -> dict[str, tuple[DataKind, TradeSource, str]]:
        """Symbol -> kind of data, source of trades, and what was said of it; of all that is watched."""
        return {
            self.registry.symbols[j]: each.told or (each.line.kind, each.line.source, "")
            for j, each in sorted(self._watched.items())
        }


_GOES_ON = frozenset(
    {CodeClass.NOTICE, CodeClass.WARNING, CodeClass.REQUEST_ENDED, CodeClass.SCAN_WARNING, CodeClass.DATA_DELAYED}
)
"""Classes that end no line."""
_RECEIVERS: Mapping[type, Callable[[MarketData, Any, int], bool]] = {
    Connected: MarketData._connected,
    Disconnected: MarketData._disconnected,
    ErrorMessage: MarketData._error,
    TickPrice: MarketData._price,
    TickSize: MarketData._size,
    TickString: MarketData._text,
    TickGeneric: MarketData._ignored,
    TickParameters: MarketData._ignored,
    TickQuote: MarketData._ignored,
    SnapshotEnd: MarketData._ignored,
    MarketDataType: MarketData._type,
    TickTrade: MarketData._trade,
    HistoryBar: MarketData._history,
    HistoryEnd: MarketData._history,
    HistoryUpdate: MarketData._history,
}
