"""Whatever is asked at a time, the answer is the same whether or not the tape goes on after it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.replies import Reply
from gateway.protocol.requests import (
    ContractDetails,
    HeadTimestamp,
    HistoricalBars,
    MarketData,
    MatchingSymbols,
    RealTimeBars,
    Request,
    ScannerSubscription,
    SetMarketDataType,
    TickByTick,
)
from gateway.settings import DataPermission, GatewaySettings
from papertape.core.model import NS_PER_S
from papertape.core.series import Series
from tests.gateway.desk import Desk, stock
from tests.gateway.june import at, quotes, trades

START = at(4, "9:25:00")
BEFORE = START - 10 * NS_PER_S
EVENTS = st.lists(
    st.tuples(st.integers(0, 1_200), st.sampled_from(("AAA", "BBB")), st.booleans(), st.integers(10, 99)),
    min_size=1,
    max_size=40,
)
QUESTIONS: tuple[Request, ...] = (
    MarketData(1, stock("AAA"), "233"),
    MarketData(2, stock("AAA"), snapshot=True),
    TickByTick(3, stock("AAA"), "AllLast"),
    TickByTick(4, stock("AAA"), "BidAsk"),
    RealTimeBars(5, stock("AAA"), 5, "TRADES"),
    HistoricalBars(6, stock("AAA"), "", "1 min", "1 D", what="TRADES", regular_hours=False, keep_up_to_date=True),
    HistoricalBars(7, stock("AAA"), "20300101 00:00:00 US/Eastern", "1 day", "1 M", what="TRADES"),
    HistoricalBars(8, stock("AAA"), "", "5 secs", "1800 S", what="BID", regular_hours=False),
    HeadTimestamp(9, stock("AAA"), True, "TRADES", 1),
    ContractDetails(10, stock("AAA")),
    MatchingSymbols(11, "A"),
    ScannerSubscription(12, code="MOST_ACTIVE"),
    ScannerSubscription(13, code="TOP_OPEN_PERC_GAIN"),
    MarketData(14, stock("BBB")),
)


def series_of(events: list[tuple[int, str, bool, int]]) -> list[Series]:
    """Trades and quotes of two instruments; each has some before, so that the tapes name the same."""
    found: list[Series] = []
    for name in ("AAA", "BBB"):
        old = at(3, "10:00:00")
        own = [(START + s * NS_PER_S, float(p)) for s, symbol, _, p in events if symbol == name]
        traded = [(START + s * NS_PER_S, float(p)) for s, symbol, is_trade, p in events if symbol == name and is_trade]
        quoted = [each for each in own if each not in traded]
        found.append(
            trades(name, [(old, 50.0, 100.0), (BEFORE, 50.0, 10.0), *((ts, price, 10 * price) for ts, price in traded)])
        )
        found.append(quotes(name, [(old, 49.0, 51.0, 1.0, 1.0), *((ts, p, p + 1, p, p) for ts, p in quoted)]))
    return found


def heard(series: list[Series], asked_at: int, until: int) -> list[Reply]:
    """All that a client hears that asks everything at a time."""
    settings = GatewaySettings(data={"BBB": DataPermission.DELAYED}, delay_s=120.0)
    played = Desk(*series, settings=settings, start=BEFORE)
    client = played.client()
    played.play(asked_at, client)
    played.ask(SetMarketDataType(3), client)
    replies = [reply for question in QUESTIONS for reply in played.ask(question, client)]
    return replies + played.play(until, client)


@given(EVENTS, st.integers(0, 1_000), st.integers(0, 200))
def test_what_comes_later_changes_nothing_that_was_said_before(
    events: list[tuple[int, str, bool, int]], asked: int, more: int
):
    events = sorted(events)
    until = asked + more
    known = [event for event in events if event[0] <= until]
    times = (START + asked * NS_PER_S, START + until * NS_PER_S)
    assert heard(series_of(events), *times) == heard(series_of(known), *times)
