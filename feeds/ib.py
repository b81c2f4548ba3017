"""The feed of a live run: what the session asks for goes to the adapter, what the adapter tells comes as batches.

The strategy side only. It never waits: what has to be asked of TWS, or of a person, is answered later by
``Session.answered``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from brokers.ib.asks import Ask, Know, Put, Unwatch, UnwatchBars, Watch, WatchBars
from brokers.ib.events import BarClosed, PastBars, QuoteTick, TradeTick
from brokers.ib.intervals import interval_duration
from brokers.ib.registry import Registry
from brokers.ib.translate import bar_text, history_terms
from feeds.playback import ConfirmPolicy
from papertape.core.errors import StrategyError, UserError
from papertape.core.model import NS_PER_S, SYMBOL_PATTERN, EventKind, Instrument, InstrumentType, SessionTimes
from papertape.core.ports import Image
from papertape.core.requests import ConfirmRequest, HistoryRequest, Reply, Request
from papertape.core.series import Batch
from papertape.core.timers import NEVER

OWN_BARS_NS = 60 * NS_PER_S
"""A tape has bars of its own; a live run's are of one minute where a strategy names no length."""
MOST_QUESTIONS = 100
MarketEvent = TradeTick | QuoteTick | BarClosed
_TRADE, _QUOTE = int(EventKind.TRADE), int(EventKind.QUOTE)
_BAR, _BAR_VIEW = int(EventKind.BAR), int(EventKind.BAR_VIEW)
_KINDS = {int(kind): np.array([kind], np.uint8) for kind in EventKind}


@dataclass(slots=True)
class _Question:
    request: ConfirmRequest
    deadline: int


class IbFeed:
    """Market data of a live run, as a session's feed.

    ``post`` takes what is asked of the adapter. ``confirm`` answers a strategy's questions; None: ``ask_person`` takes
    each question and at once returns, and whoever answers calls ``answer(request, yes)`` from the strategy's thread, or
    hands the reply to ``Session.answered`` as he can. Unanswered, a question is answered no after ``confirm_s``:
    :meth:`overdue`.
    """

    def __init__(
        self,
        registry: Registry,
        post: Callable[[Ask], None],
        calendar: SessionTimes,
        *,
        currency: str = "USD",
        confirm: ConfirmPolicy | None = ConfirmPolicy.IF_AFFORDABLE,
        ask_person: Callable[[ConfirmRequest], None] | None = None,
        confirm_s: float = 300.0,
        own_bars_ns: int = OWN_BARS_NS,
    ) -> None:
        self.registry = registry
        self.instruments: Sequence[Instrument] = registry.instruments
        """All that the run knows so far; the list grows."""
        self.calendar = calendar
        self.currency = currency
        self.confirm = confirm
        self.ask_person = ask_person
        self.confirm_s = confirm_s
        self.own_bars_ns = own_bars_ns
        self.available: Callable[[], float] = lambda: math.inf
        """The cash that ``if-affordable`` compares with."""
        self.sync: Callable[[], None] = lambda: None
        """Called when the registry has a new instrument, before anything is asked of it: the session must know it, too."""
        self._post = post
        self._known: set[int] = set()
        self._bars: dict[int, int] = {}
        self._questions: list[_Question] = []

    @property
    def restarts(self) -> bool:
        """What was received stays received, whatever is watched now."""
        return False

    # -- instruments ------------------------------------------------------------------------------------------

    def find(self, symbol: str) -> int | None:
        """Index of a symbol that the run did not know: a stock in the run's currency, which TWS is asked to define.

        None where it can not be a symbol. Whether TWS knows it is told later.
        """
        if not SYMBOL_PATTERN.fullmatch(symbol):
            return None
        j, is_new = self.registry.add(Instrument(symbol, InstrumentType.STOCK, self.currency))
        if is_new:
            self._know(j)
        self.sync()
        return j

    def _know(self, j: int) -> None:
        if j not in self._known:
            self._known.add(j)
            self._post(Know(j, self.registry.instruments[j], self.registry.con_ids[j]))

    # -- market data ------------------------------------------------------------------------------------------

    def watch(self, instrument: int, now: int) -> Image | None:
        """Have trades and quotes delivered. What is known already comes as an image of its own."""
        self._know(instrument)
        self._post(Watch(instrument))
        return None

    def unwatch(self, instrument: int) -> None:
        """No longer have them delivered, nor bars."""
        self._post(Unwatch(instrument))
        self._stop_bars(instrument)

    def _stop_bars(self, instrument: int) -> None:
        interval_ns = self._bars.pop(instrument, None)
        if interval_ns is not None:
            self._post(UnwatchBars(instrument, interval_ns))

    def watch_bars(self, instrument: int, interval_ns: int | None, now: int, warmup: int = 0) -> EventKind | None:
        """Have bars delivered, in place of those of another interval. StrategyError where TWS has no such bars."""
        length = self.own_bars_ns if interval_ns is None else interval_ns
        try:
            bar_text(interval_duration(length))
        except UserError as error:
            raise StrategyError(f"bars of {self.registry.symbols[instrument]}: {error}") from None
        if self._bars.get(instrument, length) != length:
            self._stop_bars(instrument)
        self._bars[instrument] = length
        self._post(WatchBars(instrument, length, warmup))
        return EventKind.BAR_VIEW

    def past_bars(self, instruments: Sequence[int], warmup: int, now: int) -> Batch | None:
        """None: they come later (:func:`past_batch`)."""
        return None

    def kinds(self, instrument: int) -> frozenset[EventKind]:
        """Kinds of market events that an instrument may have; of currencies there are quotes only."""
        if self.registry.instruments[instrument].type is InstrumentType.CASH:
            return frozenset({EventKind.QUOTE})
        return frozenset({EventKind.QUOTE, EventKind.TRADE})

    # -- requests ---------------------------------------------------------------------------------------------

    def ask(self, request: Request, now: int) -> Reply | None:
        """Have a request answered later; questions that a policy decides are answered at once.

        StrategyError where TWS has no bars of the length asked for.
        """
        if isinstance(request, ConfirmRequest):
            return self._confirmed(request, now)
        if isinstance(request, HistoryRequest):
            try:
                history_terms(request.duration, request.bar)
            except UserError as error:
                raise StrategyError(f"history: {error}") from None
        self._post(Put(request))
        return None

    def _confirmed(self, request: ConfirmRequest, now: int) -> Reply | None:
        if self.confirm is not None:
            is_affordable = request.cost <= self.available()
            answer = is_affordable if self.confirm is ConfirmPolicy.IF_AFFORDABLE else self.confirm is ConfirmPolicy.YES
            return confirmation(request, answer=answer)
        if self.ask_person is None or len(self._questions) >= MOST_QUESTIONS:
            return confirmation(request, answer=False)
        self._questions.append(_Question(request, now + round(self.confirm_s * NS_PER_S)))
        self.ask_person(request)
        return None

    def overdue(self, now: int) -> list[Reply]:
        """Questions that nobody answered in time, answered no; to be given to ``Session.answered``."""
        late = [each for each in self._questions if now >= each.deadline]
        self._questions = [each for each in self._questions if now < each.deadline]
        return [confirmation(each.request, answer=False) for each in late]

    def next_due(self) -> int:
        """When :meth:`overdue` is needed (UTC ns); NEVER where no question is open."""
        return min((each.deadline for each in self._questions), default=NEVER)

    @property
    def has_questions(self) -> bool:
        """Whether a person is being asked something."""
        return bool(self._questions)

    def is_open(self, request: ConfirmRequest) -> bool:
        """Whether a question still waits for its answer."""
        return any(each.request is request for each in self._questions)

    def answer(self, request: ConfirmRequest, *, answer: bool) -> Reply | None:
        """The reply to an open question, to be given to ``Session.answered``; None where it is not open any more."""
        if not self.is_open(request):
            return None
        self._questions = [each for each in self._questions if each.request is not request]
        return confirmation(request, answer=answer)


def confirmation(request: ConfirmRequest, *, answer: bool) -> Reply:
    """A reply to a question."""
    return Reply(request, {}, value=answer)


# -- batches ----------------------------------------------------------------------------------------------------


def make_batches(events: Sequence[MarketEvent], after_ts: int) -> list[Batch]:
    """Market events as a batch, in the order in which they were received; times never decrease from ``after_ts`` on.

    An event's time is when it was received. Bars of one end are one group, which has a time of its own: what comes after
    them is later by at least a nanosecond. An empty list of no events.
    """
    if not events:
        return []
    times: list[int] = []
    last, group = after_ts, None
    for event in events:
        ends_now = (event.ts, event.interval_ns) if isinstance(event, BarClosed) else None
        least = last + 1 if group is not None and ends_now != group else last
        last = max(least, event.received_ts)
        times.append(last)
        group = ends_now
    if len(events) == 1:
        return [_single(events[0], last)]
    return [_batch(events, times, is_past=False)]


def _single(event: MarketEvent, ts: int) -> Batch:
    """A batch of one event, which is what an order usually follows: two arrays, and parts of them."""
    kind, row = _row(event)
    start, end = (event.start, event.ts) if isinstance(event, BarClosed) else (0, 0)
    values, whole = np.array(row, np.float64), np.array((ts, start, end), np.int64)
    return Batch(
        ts=whole[:1],
        kind=_KINDS[kind],
        instrument=np.array([event.instrument], np.int32),
        columns=(values[:1], values[1:2], values[2:3], values[3:4], values[4:]),
        start=whole[1:2],
        ends=whole[2:],
    )


def _batch(events: Sequence[MarketEvent], times: list[int], *, is_past: bool) -> Batch:
    """Events with their times as columns. Few arrays are made: a live batch is of a few events, and there are many."""
    kinds, rows = zip(*map(_row, events), strict=True)
    values = np.array([*zip(*rows, strict=True)], np.float64)
    starts = [event.start if isinstance(event, BarClosed) else 0 for event in events]
    ends = [event.ts if isinstance(event, BarClosed) else 0 for event in events]
    whole = np.array((times, starts, ends), np.int64)
    return Batch(
        ts=whole[0],
        kind=np.array(kinds, np.uint8),
        instrument=np.array([event.instrument for event in events], np.int32),
        columns=(values[0], values[1], values[2], values[3], values[4]),
        start=whole[1],
        ends=None if is_past else whole[2],
        is_past=is_past,
    )


def _row(event: MarketEvent) -> tuple[int, tuple[float, float, float, float, float]]:
    """An event's kind, and its values as a batch's columns have them."""
    if isinstance(event, TradeTick):
        return _TRADE, (event.price, event.size, 0.0, 0.0, 0.0)
    if isinstance(event, QuoteTick):
        return _QUOTE, (event.bid, event.ask, event.bid_size, event.ask_size, 0.0)
    return _BAR if event.marks else _BAR_VIEW, (event.open, event.high, event.low, event.close, event.volume)


def past_batch(event: PastBars) -> Batch | None:
    """Bars of the past for ``Session.step``: they are heard, and change nothing else. None where there are none."""
    if not event.bars:
        return None
    return _batch(event.bars, [bar.ts for bar in event.bars], is_past=True)
