"""Bars of live instruments: past ones from history, then each as it is over, every interval once.

TWS keeps a history up to date by telling the present bar again and again; it never says that a bar is over. A bar is
when one of a later interval is told, or when its end is past by a grace. Bars of one interval that end at one time go
out together, when each instrument's is over, so that a cross-section is whole; so do the past ones of what was asked for
at one time. After a break the history is asked anew, and what was missed is told late, never twice.

What no real TWS has confirmed: that a history without a bar is kept up to date, and that the last change of a bar comes
within the grace after its end. A change that comes later is counted (``late``) and otherwise ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from brokers.ib.codes import CodeClass
from brokers.ib.commands import AskHistory, Command, StopHistory
from brokers.ib.ended import EndedIds
from brokers.ib.events import BarClosed, Event, PastBars
from brokers.ib.history_pacing import HistoryPacing
from brokers.ib.intervals import DAY_NS, bar_end, bar_start, interval_duration, warm_up_length
from brokers.ib.records import HistoryBar, HistoryEnd, HistoryUpdate
from brokers.ib.registry import Registry
from brokers.ib.translate import bar_text, contract_of, history_terms
from papertape.core.model import NS_PER_S, Instrument, SessionTimes
from papertape.core.requests import Duration
from papertape.core.timers import NEVER

PAST_MOST = 200_000
"""Most bars of one history that are kept until it is complete."""
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class BarSettings:
    """``grace_s``: how long after its end a bar may still change. ``history_s``: how long a history may take to come."""

    grace_s: float = 2.0
    history_s: float = 60.0
    regular_hours: bool = True


@dataclass(frozen=True, slots=True)
class _Bar:
    start: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(slots=True, eq=False)
class _BarLine:
    """Bars of one interval of one instrument. ``last`` is the start of the last bar that is settled: later ones count."""

    instrument: int
    interval_ns: int
    warmup: int
    since: int
    request: int = 0
    deadline: int = NEVER
    attempts: int = 0
    last: int = -1
    has_begun: bool = False
    """Whether past bars are there, or found missing."""
    is_heard: bool = False
    """Whether past bars went out, so that others may."""
    is_told: bool = False
    """Whether the history that was asked for last is complete."""
    told: list[_Bar] = field(default_factory=list)
    """The history that is coming."""
    past: list[BarClosed] = field(default_factory=list)
    failure: str = ""
    waits: bool = False
    """Whether it ended while TWS had lost the exchange, and is asked for again after that."""
    current: _Bar | None = None
    over: dict[int, _Bar] = field(default_factory=dict)
    """Start -> a bar that is over and has not gone out yet."""


class BarLines:
    """All bars that somebody hears. ``volume_unit(instrument)`` is what one of TWS's volumes is worth in units."""

    def __init__(
        self,
        settings: BarSettings,
        calendar: SessionTimes,
        registry: Registry,
        history: HistoryPacing,
        send: Callable[[Command], None],
        emit: Callable[[Event], None],
        next_id: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.calendar = calendar
        self.registry = registry
        self.history = history
        self.volume_unit: Callable[[Instrument], float] = lambda instrument: 1.0
        self.marks: Callable[[int], bool] = lambda j: False
        """Whether an instrument has neither trades nor quotes of its own."""
        self.late = 0
        """Changes of bars that came after they had gone out."""
        self._grace_ns = round(settings.grace_s * NS_PER_S)
        self._send = send
        self._emit = emit
        self._next_id = next_id
        self._lines: dict[tuple[int, int], _BarLine] = {}
        self._requests: dict[int, _BarLine] = {}
        self._ended = EndedIds()
        self._is_up = self._is_lost = False

    # -- what is wanted ---------------------------------------------------------------------------------------

    def watch(self, j: int, interval_ns: int, warmup: int, now: int) -> None:
        """Deliver bars of an interval. Asked for again with a warm-up, past ones are told again."""
        bar_text(interval_duration(interval_ns))
        line = self._lines.get((j, interval_ns))
        if line is not None and not warmup:
            return
        if line is not None:
            self._end(line)
            line.warmup, line.has_begun, line.is_heard, line.last, line.since = warmup, False, False, -1, now
            line.over.clear()
        else:
            line = self._lines[j, interval_ns] = _BarLine(j, interval_ns, warmup, now)
        if self._is_up:
            self._ask(line, now)

    def stop(self, j: int, interval_ns: int, now: int) -> None:
        """No longer deliver them. What is over goes out first."""
        line = self._lines.get((j, interval_ns))
        if line is not None:
            self._release(now)
            del self._lines[j, interval_ns]
            self._end(line)
            self._tell_past(line)

    def end_all(self) -> None:
        """End all requests at TWS; :meth:`resubscribe` asks again."""
        for line in self._lines.values():
            self._end(line)

    def _end(self, line: _BarLine) -> None:
        if line.request and self.history.ended(line.request) and self._is_up:
            self._send(StopHistory(line.request))
        self._forget(line)

    def _forget(self, line: _BarLine) -> None:
        if self._requests.pop(line.request, None) is not None:
            self._ended.add(line.request)
        line.request, line.deadline = 0, NEVER
        line.told.clear()
        line.current = None

    def _ask(self, line: _BarLine, now: int) -> None:
        """Ask for what is missing up to now, and for what comes."""
        length = warm_up_length(line.warmup, line.interval_ns)
        if line.has_begun:
            missed = max(0, now - max(line.last, line.since))
            length = (
                Duration(sessions=2 + missed // DAY_NS) if line.interval_ns >= 60 * NS_PER_S else Duration(ns=missed)
            )
        duration, bar = history_terms(length, interval_duration(line.interval_ns))
        line.request = self._next_id()
        line.is_told = line.waits = False
        line.deadline = now + round(self.settings.history_s * NS_PER_S)
        self._requests[line.request] = line
        contract = contract_of(self.registry.instruments[line.instrument], self.registry.con_ids[line.instrument])
        command = AskHistory(
            line.request, contract, duration, bar, regular_hours=self.settings.regular_hours, keep_up_to_date=True
        )
        if not self.history.put(command, now):
            self._give_up(line, "too many requests for bars wait already", now)

    # -- the connection ---------------------------------------------------------------------------------------

    def drop(self) -> None:
        """The connection has ended, or TWS has lost its subscriptions."""
        self._is_up = self._is_lost = False
        for line in self._lines.values():
            self._forget(line)

    def link_changed(self, kind: CodeClass, now: int) -> None:
        """What TWS ends or refuses while it has lost the exchange is asked for again when that is back."""
        if kind is CodeClass.CONNECTION_LOST:
            self._is_lost = True
        elif kind is CodeClass.RESTORED:
            self._is_lost = False
            for line in self._lines.values():
                if line.waits and self._is_up:
                    line.attempts = 0
                    self._ask(line, now)

    def resubscribe(self, now: int) -> None:
        """Ask for everything (again)."""
        self._is_up, self._is_lost = True, False
        for line in self._lines.values():
            line.attempts = 0
            self._ask(line, now)

    # -- records ----------------------------------------------------------------------------------------------

    def receive(self, record: HistoryBar | HistoryEnd | HistoryUpdate, now: int) -> bool:
        """Take in a record of a history; False where it is not one of these."""
        line = self._requests.get(record.request_id)
        if line is None:
            return record.request_id in self._ended
        if isinstance(record, HistoryEnd):
            self._told(line, now)
            return True
        bar = self._read(line, record)
        if isinstance(record, HistoryUpdate) and line.is_told:
            self._update(line, bar)
        elif len(line.told) < PAST_MOST:
            line.told.append(bar)
        return True

    def _read(self, line: _BarLine, record: HistoryBar | HistoryUpdate) -> _Bar:
        start = bar_start(record.date_text, self.calendar)
        unit = self.volume_unit(self.registry.instruments[line.instrument])
        volume = record.volume * unit if record.volume >= 0 else float("nan")
        end = bar_end(start, line.interval_ns, self.calendar)
        return _Bar(start, end, record.open, record.high, record.low, record.close, volume)

    def _told(self, line: _BarLine, now: int) -> None:
        """The history is complete. What was over when it was asked for is past; what came since closes like any other."""
        bars = sorted({bar.start: bar for bar in line.told}.values(), key=lambda bar: bar.start)
        line.told.clear()
        line.is_told = True
        line.deadline, line.attempts = NEVER, 0
        if not line.has_begun:
            past = [bar for bar in bars if bar.end + self._grace_ns <= line.since]
            line.last = past[-1].start if past else -1
            line.past = [
                self._closed(line, bar, now, is_history=True) for bar in past[max(0, len(past) - line.warmup) :]
            ]
            self._begin(line, "")
        rest = [bar for bar in bars if bar.start > line.last and bar.end + self._grace_ns > line.since]
        line.over.update((bar.start, bar) for bar in rest[:-1])
        line.current = rest[-1] if rest else None

    def _begin(self, line: _BarLine, failure: str) -> None:
        line.has_begun, line.failure = True, failure
        self._tell_past(line)

    def _tell_past(self, one: _BarLine) -> None:
        """Let past bars go out when those of all that was asked for at the same time are there."""
        lines = [
            each for each in self._lines.values() if (each.interval_ns, each.since) == (one.interval_ns, one.since)
        ]
        if not all(line.has_begun for line in lines):
            return
        failures = tuple((line.instrument, line.failure) for line in lines if line.failure)
        bars = sorted((bar for line in lines for bar in line.past), key=lambda bar: bar.ts)
        for line in lines:
            line.is_heard, line.failure = True, ""
            line.past.clear()
        if bars or failures:
            self._emit(PastBars(one.interval_ns, tuple(bars), failures))

    def _update(self, line: _BarLine, bar: _Bar) -> None:
        if bar.start <= line.last:
            self.late += 1
        elif line.current is None or bar.start == line.current.start:
            line.current = bar
        elif bar.start > line.current.start:
            line.over[line.current.start] = line.current
            line.current = bar
        else:
            line.over[bar.start] = bar

    def fail(self, request_id: int, kind: CodeClass, text: str, now: int) -> bool:
        """TWS says something of a request; False where it is not one of these."""
        line = self._requests.get(request_id)
        if line is None:
            return request_id in self._ended
        if kind is CodeClass.NO_DATA:
            self._told(line, now)
        elif kind is CodeClass.PACING:
            self.history.refused(request_id, now)
        elif self._is_lost and kind not in _GOES_ON:
            self.history.ended(request_id)
            self._forget(line)
            line.waits = True
        elif kind is CodeClass.DATA_ENDED and line.attempts < ATTEMPTS:
            self._again(line, now)
        elif kind not in _GOES_ON:
            self._give_up(line, text, now)
        return True

    def _again(self, line: _BarLine, now: int) -> None:
        line.attempts += 1
        self._end(line)
        self._ask(line, now)

    def _give_up(self, line: _BarLine, text: str, now: int) -> None:
        self.history.ended(line.request)
        self._forget(line)
        self._begin(line, text)

    # -- time -------------------------------------------------------------------------------------------------

    def pass_time(self, now: int) -> None:
        """Bars that are over go out; histories that did not come are asked for again, or given up."""
        for line in list(self._lines.values()):
            if now >= line.deadline:
                if self._is_lost:
                    self._end(line)
                    line.waits = True
                elif line.attempts < ATTEMPTS - 1:
                    self._again(line, now)
                else:
                    self._end(line)
                    # what is missing is said, and bars of others no longer wait for it
                    seconds = f"{self.settings.history_s:g} s, {ATTEMPTS} times"
                    self._begin(line, f"TWS did not answer the request for bars within {seconds}")
            current = line.current
            if current is not None and now >= current.end + self._grace_ns:
                line.over[current.start] = current
                line.current = None
        self._release(now)

    def _release(self, now: int) -> None:
        """Let go out what is over, in order of time, each time as a whole."""
        heard = [line for line in self._lines.values() if line.is_heard]
        ends = sorted({(bar.end, line.interval_ns) for line in heard for bar in line.over.values()})
        for end, interval in ends:
            lines = [line for line in heard if line.interval_ns == interval]
            if now < end + self._grace_ns and not all(self._is_past(line, end) for line in lines):
                continue
            for line in sorted(lines, key=lambda line: line.instrument):
                for bar in [bar for bar in line.over.values() if bar.end == end]:
                    del line.over[bar.start]
                    line.last = max(line.last, bar.start)
                    self._emit(self._closed(line, bar, now))

    def _is_past(self, line: _BarLine, end: int) -> bool:
        """Whether nothing more can come of a line for bars that end at ``end``."""
        if not line.request:
            return True
        return line.is_told and line.current is not None and line.current.start >= end

    def _closed(self, line: _BarLine, bar: _Bar, now: int, *, is_history: bool = False) -> BarClosed:
        return BarClosed(
            line.instrument, line.interval_ns, bar.start, bar.end, now, bar.open, bar.high, bar.low, bar.close,
            bar.volume, is_history, self.marks(line.instrument),
        )  # fmt: skip

    def next_due(self) -> int:
        """When :meth:`pass_time` is needed again (UTC ns); NEVER where it is not."""
        due = NEVER
        for line in self._lines.values():
            due = min(due, line.deadline)
            ends = [bar.end for bar in line.over.values()] if line.is_heard else []
            if line.current is not None:
                ends.append(line.current.end)
            due = min([due, *(end + self._grace_ns for end in ends)])
        return due


_GOES_ON = frozenset(
    {CodeClass.NOTICE, CodeClass.WARNING, CodeClass.REQUEST_ENDED, CodeClass.SCAN_WARNING, CodeClass.UNKNOWN}
)
"""Classes that end no request."""
