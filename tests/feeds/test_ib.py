"""The feed of a live run on the strategy side: asks go out, batches come in, answers come later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtests.engine import drive
from brokers.fees import FeeModel
from brokers.ib.asks import Know, Put, Unwatch, UnwatchBars, Watch, WatchBars
from brokers.ib.events import BarClosed, PastBars, QuoteTick, TradeTick
from brokers.ib.intervals import MINUTE_NS
from brokers.ib.registry import Registry
from brokers.sim import FillRules, SimBroker
from feeds.ib import IbFeed, MarketEvent, make_batches, past_batch
from feeds.playback import ConfirmPolicy
from papertape.core.errors import StrategyError
from papertape.core.guard import Guard, GuardSettings
from papertape.core.ledger import Ledger
from papertape.core.model import NS_PER_S, Bar, EventKind, Instrument, InstrumentType, Scan, Trade
from papertape.core.requests import ConfirmRequest, Reply, SnapshotRequest
from papertape.core.session import Session
from papertape.core.state import State
from papertape.journal import MemoryJournal
from strategies.base import Strategy
from tests.brokers.ib.asked import NOW, calendar


def trade(j: int, received: int, price: float = 10.0) -> TradeTick:
    return TradeTick(j, received - 5, received, price, 1.0)


def bar(j: int, end: int, received: int, *, marks: bool = False, close: float = 10.0) -> BarClosed:
    return BarClosed(j, MINUTE_NS, end - MINUTE_NS, end, received, 10.0, 11.0, 9.0, close, 100.0, False, marks)


class Live:
    """A strategy in a session on a live feed, with nobody at the other end."""

    def __init__(self, strategy: Strategy, *symbols: str, **feed: Any) -> None:
        self.registry = Registry()
        for symbol in symbols:
            self.registry.add(Instrument(symbol))
        self.asks: list[Any] = []
        self.strategy = strategy
        self.feed = IbFeed(self.registry, self.asks.append, calendar(), **feed)
        state = State(64, 2)
        ledger = Ledger(state, tuple(self.registry.instruments), ("USD", "CAD"))
        ledger.open({"USD": 1e6}, {"USD": 1.0})
        guard = Guard(GuardSettings(), state, self.registry.instruments, ("USD", "CAD"), allow_short=False)
        guard.arm()
        self.journal = MemoryJournal(state)
        self.session = Session(
            handlers=strategy.handlers(), feed=self.feed, broker=SimBroker(FeeModel.parse("none"), FillRules()),
            guard=guard, ledger=ledger, journal=self.journal, calendar=calendar(),
        )  # fmt: skip
        self.feed.sync = self._sync
        strategy.bind(self.session, symbols)
        self.last = NOW

    def _sync(self) -> None:
        while len(self.session.symbols) < len(self.registry):
            self.session.add_instrument(self.registry.instruments[len(self.session.symbols)])

    def begin(self) -> list[Any]:
        drive(self.session, self.session.begin(NOW))
        return self.taken()

    def taken(self) -> list[Any]:
        found, self.asks[:] = self.asks[:], []
        return found

    def tell(self, *events: MarketEvent) -> None:
        for batch in make_batches(events, self.last):
            self.last = int(batch.ts[-1])
            drive(self.session, self.session.step(batch))

    def answer(self, reply: Reply) -> None:
        drive(self.session, self.session.answered(reply, self.last))


class Hears(Strategy):
    """Writes down what it hears."""

    warmup: int = 0
    bars: str | None = None

    def on_start(self) -> None:
        self.heard: list[Any] = []
        self.groups: list[list[str]] = []
        self.subscribe(self.symbols, bars=self.bars, warmup=self.warmup)

    def on_trade(self, trade: Trade) -> None:
        self.heard.append(trade.price)

    def on_bar(self, bar: Bar) -> None:
        self.heard.append((bar.symbol, (bar.ts - NOW) // MINUTE_NS))

    def on_bars(self, bars: Any) -> None:
        self.groups.append(bars.symbols)


# -- batches --------------------------------------------------------------------------------------------------------


def test_events_become_a_batch_in_the_order_received_with_times_that_never_go_back() -> None:
    quote = QuoteTick(1, NOW - 7, 9.0, 11.0, 1.0, 2.0)
    [batch] = make_batches([trade(0, NOW + 3), quote, trade(1, NOW + 9, 12.0)], NOW)
    assert batch.ts.tolist() == [NOW + 3, NOW + 3, NOW + 9]
    assert batch.kind.tolist() == [EventKind.TRADE, EventKind.QUOTE, EventKind.TRADE]
    assert batch.instrument.tolist() == [0, 1, 1]
    assert [column[1] for column in batch.columns] == [9.0, 11.0, 1.0, 2.0, 0.0]
    assert make_batches([trade(0, NOW - 50)], NOW)[0].ts.tolist() == [NOW]
    assert make_batches([], NOW) == []


def test_an_event_alone_is_what_it_is_among_others() -> None:
    quote = QuoteTick(2, NOW + 1, 9.9, 10.1, 100.0, float("nan"))
    for event in (trade(1, NOW), quote, bar(3, NOW, NOW + 2), bar(0, NOW, NOW + 2, marks=True)):
        [alone] = make_batches([event], 0)
        [among] = make_batches([event, trade(0, NOW + 5)], 0)
        one: Any
        many: Any
        for one, many in zip(alone.events()[:9], among.events()[:9], strict=True):
            assert (one.dtype, len(one)) == (many.dtype, 1)
            np.testing.assert_array_equal(one, many[:1])
        assert alone.ends is not None
        assert among.ends is not None
        assert (alone.ends[0], alone.is_past) == (among.ends[0], False)


def test_bars_of_one_end_share_a_time_that_nothing_else_has() -> None:
    end = NOW + MINUTE_NS
    events: list[MarketEvent] = [
        bar(0, end, end),
        bar(1, end, end),
        bar(0, end + MINUTE_NS, end),
        trade(0, end),
        trade(1, end),
    ]
    [batch] = make_batches(events, NOW)
    assert batch.ts.tolist() == [end, end, end + 1, end + 2, end + 2]
    assert batch.ends is not None
    assert batch.ends.tolist()[:3] == [end, end, end + MINUTE_NS]


def test_bars_are_looked_at_only_where_an_instrument_has_events_of_its_own() -> None:
    [batch] = make_batches([bar(0, NOW, NOW), bar(1, NOW, NOW, marks=True)], NOW)
    assert batch.kind.tolist() == [EventKind.BAR_VIEW, EventKind.BAR]


def test_a_strategy_hears_bars_of_both_kinds_as_a_group_with_their_own_end() -> None:
    live = Live(Hears(), "A", "B")
    live.begin()
    end = NOW + MINUTE_NS
    live.tell(trade(0, NOW + 5), bar(0, end, end + 2 * NS_PER_S), bar(1, end, end + 2 * NS_PER_S, marks=True))
    assert live.strategy.groups == [["A", "B"]], "at once, not when something else comes"  # type: ignore[attr-defined]
    live.tell(trade(0, end + 3 * NS_PER_S, 11.0))
    assert live.strategy.heard == [10.0, ("A", 1), ("B", 1), 11.0]  # type: ignore[attr-defined]
    assert live.strategy.groups == [["A", "B"]]  # type: ignore[attr-defined]
    records = live.session.state.instruments
    assert (float(records["last"][0]), float(records["last"][1])) == (11.0, 10.0)


# -- what is asked --------------------------------------------------------------------------------------------------


def test_subscribing_asks_for_a_definition_once_for_lines_and_for_bars() -> None:
    live = Live(Hears(bars="5m", warmup=20), "A")
    assert live.begin() == [Know(0, Instrument("A")), Watch(0), WatchBars(0, 5 * MINUTE_NS, 20)]
    live.strategy.unsubscribe("A")
    assert live.taken() == [Unwatch(0), UnwatchBars(0, 5 * MINUTE_NS)]


def test_bars_of_no_length_are_of_a_minute_and_another_length_takes_their_place() -> None:
    live = Live(Hears(), "A")
    assert live.begin()[-1] == WatchBars(0, MINUTE_NS, 0)
    live.strategy.subscribe("A", bars="5m")
    assert live.taken() == [UnwatchBars(0, MINUTE_NS), WatchBars(0, 5 * MINUTE_NS, 0)]


def test_bars_that_tws_does_not_have_are_refused_with_those_that_it_has() -> None:
    live = Live(Hears(bars="7m"), "A")
    with pytest.raises(StrategyError, match="bars of A: Interactive Brokers has no bars of 420 s; it has 1 secs"):
        live.begin()


def test_a_symbol_that_the_run_does_not_know_becomes_an_instrument_of_it() -> None:
    live = Live(Hears(), "A", currency="CAD")
    live.begin()
    live.strategy.subscribe("NEW")
    [know, *_] = live.taken()
    assert know == Know(1, Instrument("NEW", InstrumentType.STOCK, "CAD"))
    assert live.session.symbols == ["A", "NEW"]


def test_what_can_not_be_a_symbol_is_refused() -> None:
    live = Live(Hears(), "A")
    live.begin()
    with pytest.raises(StrategyError, match="no instrument"):
        live.strategy.subscribe("no;symbol")


def test_currencies_have_quotes_only() -> None:
    live = Live(Hears())
    j, _ = live.registry.add(Instrument("EURUSD", InstrumentType.CASH))
    assert live.feed.kinds(j) == {EventKind.QUOTE}


# -- past bars ------------------------------------------------------------------------------------------------------


def test_past_bars_are_heard_before_new_ones_and_neither_mark_nor_trade() -> None:
    live = Live(Hears(warmup=2), "A", "B")
    live.begin()
    past = tuple(bar(j, NOW - k * MINUTE_NS, NOW, close=55.0) for k in (1, 0) for j in (0, 1))
    batch = past_batch(PastBars(MINUTE_NS, past))
    assert batch is not None
    drive(live.session, live.session.step(batch))
    assert live.strategy.heard == [("A", -1), ("B", -1), ("A", 0), ("B", 0)]  # type: ignore[attr-defined]
    assert live.strategy.groups == [["A", "B"], ["A", "B"]]  # type: ignore[attr-defined]
    assert np.isnan(live.session.state.instruments["last"][0])
    assert past_batch(PastBars(MINUTE_NS, ())) is None


# -- answers --------------------------------------------------------------------------------------------------------


class Asks(Strategy):
    """Awaits a snapshot at every trade, and says what came."""

    def on_start(self) -> None:
        self.answers: list[Any] = []
        self.subscribe(self.symbols)

    async def on_trade(self, trade: Trade) -> None:
        reply = await self.snapshot([trade.symbol])
        self.answers.append((trade.price, reply.missing))


def test_a_handler_goes_on_when_its_answer_has_come_and_others_meanwhile() -> None:
    live = Live(Asks(), "A")
    live.begin()
    live.tell(trade(0, NOW + 1, 1.0), trade(0, NOW + 2, 2.0))
    first, second = (ask.request for ask in live.taken())
    assert first == second, "equal, and two requests all the same"
    live.answer(Reply(second, {}, ("second",)))
    live.answer(Reply(first, {}, ("first",)))
    assert live.strategy.answers == [(2.0, ("second",)), (1.0, ("first",))]  # type: ignore[attr-defined]
    assert live.journal.encode(["A"]).count(b'"reply"') == 2


def test_an_answer_that_nobody_waits_for_is_noted_and_changes_nothing() -> None:
    live = Live(Asks(), "A")
    live.begin()
    live.tell(trade(0, NOW + 1))
    request = live.taken()[0].request
    for _ in range(2):
        live.answer(Reply(request, {}, ()))
    live.answer(Reply(SnapshotRequest(("A",)), {}, ()))
    assert len(live.strategy.answers) == 1  # type: ignore[attr-defined]
    assert live.session.log.notes["late_answer"].count == 2


def test_what_was_not_answered_at_the_end_is_counted() -> None:
    live = Live(Asks(), "A")
    live.begin()
    live.tell(trade(0, NOW + 1))
    live.strategy.scan("MOST_ACTIVE")
    drive(live.session, live.session.finish(NOW + 2))
    note = live.session.log.notes["unanswered"]
    assert note.text == "2 handler(s) still waited for an answer at the end"


def test_a_scan_is_asked_for_and_heard_when_it_is_answered() -> None:
    class Scans(Strategy):
        def on_start(self) -> None:
            self.found: list[str] = []
            self.scan("MOST_ACTIVE", rows=3)

        def on_scan(self, scan: Scan) -> None:
            self.found = scan.symbols

    live = Live(Scans())
    [put] = live.begin()
    assert isinstance(put, Put)
    live.answer(Reply(put.request, {}, value=Scan("MOST_ACTIVE", NOW, (), "broker")))
    assert len(live.session.log.scans) == 1


def test_requests_that_wait_are_bounded() -> None:
    live = Live(Asks(), "A")
    live.begin()
    live.tell(*(trade(0, NOW + k) for k in range(1000)))
    with pytest.raises(StrategyError, match="1000 requests wait for an answer"):
        live.tell(trade(0, NOW + 1001))


def test_a_history_of_bars_that_tws_does_not_have_is_refused_at_once() -> None:
    class Wants(Strategy):
        async def on_start(self) -> None:
            await self.history(self.symbols, "1 D", "7 m")

    with pytest.raises(StrategyError, match="history: Interactive Brokers has no bars of 420 s"):
        Live(Wants(), "A").begin()


# -- questions ------------------------------------------------------------------------------------------------------


class Confirms(Strategy):
    """Asks before it does anything."""

    def on_start(self) -> None:
        self.said: list[bool] = []
        self.subscribe(self.symbols)

    async def on_trade(self, trade: Trade) -> None:
        self.said.append((await self.confirm("Buy?", trade.price)).value)


@pytest.mark.parametrize(
    ("policy", "said"),
    [(ConfirmPolicy.YES, [True, True]), (ConfirmPolicy.NO, [False] * 2), (ConfirmPolicy.IF_AFFORDABLE, [True, False])],
)
def test_a_policy_answers_at_once(policy: ConfirmPolicy, said: list[bool]) -> None:
    live = Live(Confirms(), "A", confirm=policy)
    live.feed.available = lambda: 100.0
    live.begin()
    live.tell(trade(0, NOW + 1, 50.0), trade(0, NOW + 2, 500.0))
    assert live.strategy.said == said  # type: ignore[attr-defined]


def test_a_person_is_asked_without_anything_waiting_and_no_answer_is_no() -> None:
    questions: list[ConfirmRequest] = []
    live = Live(Confirms(), "A", confirm=None, ask_person=questions.append, confirm_s=30.0)
    live.begin()
    live.tell(trade(0, NOW + 1), trade(0, NOW + 2))
    assert live.strategy.said == []  # type: ignore[attr-defined]
    first, second = questions
    reply = live.feed.answer(second, answer=True)
    assert reply is not None
    live.answer(reply)
    assert live.strategy.said == [True]  # type: ignore[attr-defined]
    assert live.feed.overdue(NOW + 29 * NS_PER_S) == []
    [late] = live.feed.overdue(live.feed.next_due())
    assert late.request is first
    live.answer(late)
    assert live.strategy.said == [True, False]  # type: ignore[attr-defined]
    assert live.feed.answer(first, answer=True) is None, "it is too late"


def test_where_there_is_nobody_to_ask_the_answer_is_no() -> None:
    live = Live(Confirms(), "A", confirm=None)
    live.begin()
    live.tell(trade(0, NOW + 1))
    assert live.strategy.said == [False]  # type: ignore[attr-defined]
