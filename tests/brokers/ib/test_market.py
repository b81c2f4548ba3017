"""Market data of a session with TWS, against plain records."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.ib.commands import FollowMarket, FollowTicks, SetMarketDataType, StopMarket, StopTicks
from brokers.ib.events import DataChanged, DataKind, PriceImage, QuoteTick, TradeSource, TradeTick
from brokers.ib.records import (
    Connected,
    Disconnected,
    ErrorMessage,
    MarketDataType,
    TickParameters,
    TickPrice,
    TickSize,
    TickString,
    TickTrade,
)
from papertape.core.model import NS_PER_MS, NS_PER_S, Instrument, InstrumentType
from tests.brokers.ib.asked import NOW, Asked

BID, ASK, LAST, BID_SIZE, ASK_SIZE, LAST_SIZE = 1, 2, 4, 0, 3, 5


def price(request: int, kind: int, value: float, size: float) -> tuple[TickPrice, TickSize]:
    """A price as the client hands it on: with the size that came in the same message."""
    sizes = {BID: BID_SIZE, ASK: ASK_SIZE, LAST: LAST_SIZE, 66: 69, 67: 70, 68: 71}
    return TickPrice(request, kind, value), TickSize(request, sizes[kind], size)


def rt_volume(request: int, value: float, size: float, ts: int, total: int = 1000) -> TickString:
    return TickString(request, 48, f"{value};{size};{ts // NS_PER_MS};{total};10.0;true")


def image(request: int, last: float = 10.0, bid: float = 9.9, ask: float = 10.1) -> list[Any]:
    """What a line begins with."""
    return [
        MarketDataType(request, 1), TickParameters(request, 0.01, "9c0001", 3), *price(request, LAST, last, 100.0),
        TickString(request, 45, str(NOW // NS_PER_S - 1)), *price(request, BID, bid, 300.0),
        *price(request, ASK, ask, 400.0),
    ]  # fmt: skip


def watching(*, tick_by_tick: int = 0, **settings: Any) -> tuple[Asked, int]:
    """AAA, of which the image was told; and its request id."""
    asked = Asked(tick_by_tick=tick_by_tick, **settings)
    asked.market.watch(0, asked.now)
    request = next(each.request_id for each in asked.commands() if isinstance(each, FollowMarket))
    asked.tell(*image(request))
    asked.settle()
    asked.wait(1.0)
    return asked, request


def test_a_line_asks_for_rt_volume_and_tick_by_tick_while_some_are_left_first_come_first_served():
    asked = Asked(tick_by_tick=2)
    for j in range(4):
        asked.market.watch(j, asked.now)
    commands = asked.commands()
    assert commands[0] == SetMarketDataType(1)
    assert [each.generic_ticks for each in commands if isinstance(each, FollowMarket)] == ["233"] * 4
    ticks = [each for each in commands if isinstance(each, FollowTicks)]
    assert [(each.contract.symbol, each.type) for each in ticks] == [("AAA", "AllLast"), ("BBB", "AllLast")]


def test_a_tick_by_tick_line_that_is_given_up_goes_to_the_next_instrument():
    asked = Asked(tick_by_tick=1)
    asked.market.watch(0, asked.now)
    asked.market.unwatch(0, asked.now)
    asked.commands()
    asked.market.watch(1, asked.now)
    assert [each.contract.symbol for each in asked.commands() if isinstance(each, FollowTicks)] == ["BBB"]


def test_an_instrument_that_two_watch_has_one_line_that_ends_with_the_last_of_them():
    asked, request = watching()
    asked.take()
    asked.market.watch(0, asked.now)
    assert asked.commands() == []
    assert asked.take() == [PriceImage(0, NOW, 10.0, 9.9, 10.1)], "who comes second knows what the first one does"
    asked.market.unwatch(0, asked.now)
    assert asked.commands() == []
    asked.market.unwatch(0, asked.now)
    assert asked.commands() == [StopMarket(request)]
    asked.market.unwatch(0, asked.now)
    assert asked.commands() == []


def test_first_values_are_an_image_and_neither_trade_nor_quote():
    asked, _ = watching()
    found = [event for event in asked.take() if not isinstance(event, DataChanged)]
    assert found == [PriceImage(0, NOW, 10.0, 9.9, 10.1)]


def test_an_rt_volume_that_repeats_the_image_is_no_trade_and_the_next_one_is():
    asked, request = watching()
    asked.take()
    before = NOW - NS_PER_S
    asked.tell(rt_volume(request, 10.0, 100.0, before))
    asked.settle()
    assert asked.taken(TradeTick) == []
    ts = asked.now - 7 * NS_PER_MS
    asked.tell(*price(request, LAST, 10.2, 50.0), rt_volume(request, 10.2, 50.0, ts))
    assert asked.taken(TradeTick) == [TradeTick(0, ts, asked.now, 10.2, 50.0)]


def test_a_second_trade_like_the_image_within_the_same_second_is_a_trade():
    asked, request = watching()
    asked.take()
    ts = NOW - NS_PER_S + 400 * NS_PER_MS
    asked.tell(TickSize(request, LAST_SIZE, 100.0), rt_volume(request, 10.0, 100.0, ts))
    assert [event.exchange_ts for event in asked.taken(TradeTick)] == [ts]


def test_an_old_rt_volume_before_any_other_value_is_no_trade():
    asked = Asked(tick_by_tick=0)
    asked.market.watch(0, asked.now)
    request = asked.sent[-1].request_id  # type: ignore[union-attr]
    asked.tell(rt_volume(request, 10.0, 100.0, NOW - 3600 * NS_PER_S))
    asked.settle()
    [told] = asked.take()
    assert isinstance(told, PriceImage)
    assert told.last == 10.0
    assert math.isnan(told.bid)


def test_an_rt_volume_without_a_trade_in_it_is_none():
    asked, request = watching()
    asked.take()
    asked.tell(TickString(request, 48, f";;{NOW // NS_PER_MS};1000;10.0;true"))
    assert asked.taken(TradeTick) == []


def test_a_bare_last_price_is_never_a_trade_and_marks_when_none_follows():
    asked, request = watching()
    asked.take()
    asked.tell(*price(request, LAST, 10.5, 100.0))
    asked.settle()
    assert asked.taken(TradeTick, PriceImage) == []
    asked.wait(1.0)
    assert asked.take() == [PriceImage(0, asked.now, 10.5, 9.9, 10.1)]


def test_a_last_price_that_a_trade_follows_is_no_image():
    asked, request = watching()
    asked.take()
    asked.tell(*price(request, LAST, 10.5, 100.0), rt_volume(request, 10.5, 100.0, asked.now))
    asked.wait(2.0)
    assert [type(event) for event in asked.take()] == [TradeTick]


def test_prices_and_sizes_of_one_change_are_one_quote():
    asked, request = watching()
    asked.take()
    asked.tell(*price(request, BID, 9.95, 100.0), *price(request, ASK, 10.05, 200.0))
    asked.settle()
    assert asked.take() == [QuoteTick(0, asked.now, 9.95, 10.05, 100.0, 200.0)]


def test_a_change_of_one_side_only_is_a_quote_too_and_one_without_change_is_none():
    asked, request = watching()
    asked.take()
    asked.tell(TickSize(request, ASK_SIZE, 900.0))
    asked.settle()
    asked.tell(*price(request, BID, 9.9, 300.0))
    asked.settle()
    assert asked.take() == [QuoteTick(0, asked.now, 9.9, 10.1, 300.0, 900.0)]


def test_a_part_out_of_order_begins_the_next_quote():
    asked, request = watching()
    asked.take()
    asked.tell(*price(request, ASK, 10.2, 1.0), *price(request, BID, 9.8, 2.0), *price(request, BID, 9.7, 3.0))
    asked.settle()
    assert [(event.bid, event.ask) for event in asked.take()] == [(9.9, 10.2), (9.8, 10.2), (9.7, 10.2)]


def test_a_trade_goes_behind_the_quote_that_came_before_it_also_of_another_instrument():
    asked, request = watching()
    asked.market.watch(1, asked.now)
    other = asked.sent[-1].request_id  # type: ignore[union-attr]
    asked.tell(*image(other))
    asked.wait(1.0)
    asked.take()
    asked.tell(*price(request, BID, 9.8, 2.0), rt_volume(other, 20.0, 5.0, asked.now))
    found = asked.take()
    assert [(type(event), event.instrument) for event in found] == [(QuoteTick, 0), (TradeTick, 1)]


def test_a_side_without_a_price_is_unknown_not_zero():
    asked, request = watching()
    asked.take()
    asked.tell(*price(request, BID, -1.0, 0.0))
    asked.settle()
    [quote] = asked.take()
    assert math.isnan(quote.bid)
    assert math.isnan(quote.bid_size)
    assert quote.ask == 10.1


def test_in_lockstep_the_marker_ends_the_image_so_that_a_first_quote_later_is_a_quote():
    asked = Asked(tick_by_tick=0, in_lockstep=True)
    asked.market.watch(0, asked.now)
    request = asked.sent[-1].request_id  # type: ignore[union-attr]
    asked.tell(MarketDataType(request, 1), *price(request, LAST, 10.0, 100.0))
    asked.settle()
    asked.take()
    asked.tell(*price(request, BID, 9.9, 300.0), *price(request, ASK, 10.1, 400.0))
    asked.settle()
    assert asked.take() == [QuoteTick(0, asked.now, 9.9, 10.1, 300.0, 400.0)]


@given(
    st.lists(
        st.tuples(st.sampled_from([9.8, 9.9, math.nan]), st.sampled_from([10.1, 10.2]), st.integers(1, 3)), max_size=12
    )
)
def test_the_last_quote_told_is_always_what_the_ticks_add_up_to(rows: list[tuple[float, float, int]]):
    asked, request = watching()
    asked.take()
    last: QuoteTick | None = None
    for bid, ask, size in rows:
        asked.tell(*price(request, BID, -1.0 if math.isnan(bid) else bid, size), *price(request, ASK, ask, size))
        asked.settle()
        told = asked.taken(QuoteTick)
        assert len(told) <= 1
        last = told[0] if told else last
        if last is not None:
            assert last.ask == ask
            assert last.ask_size == size
            assert last.bid == bid or (math.isnan(last.bid) and math.isnan(bid))


def ticking() -> tuple[Asked, int, int]:
    """AAA with tick-by-tick trades; its two request ids, of the line and of the ticks."""
    asked = Asked(tick_by_tick=1)
    asked.market.watch(0, asked.now)
    ticks, line = (each.request_id for each in asked.commands()[1:])
    asked.tell(*image(line))
    asked.wait(1.0)
    asked.take()
    return asked, line, ticks


def trade(request: int, ts: int, value: float = 10.2, size: float = 7.0) -> TickTrade:
    return TickTrade(request, ts // NS_PER_S, value, size, "NYSE", "")


def test_trades_of_all_last_have_whole_seconds_and_rt_volume_beside_them_is_not_counted_twice():
    asked, line, ticks = ticking()
    ts = asked.now
    asked.tell(rt_volume(line, 10.2, 7.0, ts), trade(ticks, ts))
    asked.wait(30.0)
    assert asked.taken(TradeTick) == [TradeTick(0, ts, ts, 10.2, 7.0)]
    assert asked.market.describe()["AAA"][:2] == (DataKind.LIVE, TradeSource.ALL_LAST)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (10190, "Max number of tick-by-tick requests has been reached."),
        (10189, "Failed to request tick-by-tick data.No market data permissions for NYSE STK."),
    ],
)
def test_a_refused_tick_by_tick_line_falls_back_to_rt_volume_and_says_so(code: int, text: str):
    asked, line, ticks = ticking()
    asked.tell(rt_volume(line, 10.2, 7.0, asked.now), ErrorMessage(ticks, code, text))
    told, changed = asked.take()
    assert (told.price, told.size) == (10.2, 7.0)
    assert changed == DataChanged(
        0, DataKind.LIVE, TradeSource.RT_VOLUME, f"trades come from RTVolume, not tick by tick: TWS {code}: {text}"
    )
    asked.tell(rt_volume(line, 10.3, 1.0, asked.now + 1))
    assert [event.price for event in asked.taken(TradeTick)] == [10.3]


def test_tick_by_tick_data_that_never_come_are_given_up_and_no_trade_is_lost():
    asked, line, ticks = ticking()
    asked.tell(rt_volume(line, 10.2, 7.0, asked.now), rt_volume(line, 10.3, 8.0, asked.now))
    asked.wait(4.0)
    assert asked.taken(TradeTick) == []
    asked.wait(2.0)
    assert [event.price for event in asked.taken(TradeTick)] == [10.2, 10.3]
    assert asked.commands() == [StopTicks(ticks)]


def test_tick_by_tick_data_that_stop_are_given_up_too():
    asked, line, ticks = ticking()
    asked.tell(trade(ticks, asked.now))
    asked.wait(10.0)
    asked.tell(rt_volume(line, 11.0, 8.0, asked.now))
    asked.wait(6.0)
    assert [event.price for event in asked.taken(TradeTick)] == [10.2, 11.0]


def test_an_error_of_a_line_says_that_the_instrument_has_no_data():
    asked, line, ticks = ticking()
    asked.tell(ErrorMessage(line, 354, "Requested market data is not subscribed."))
    assert asked.taken(DataChanged) == [
        DataChanged(0, DataKind.NONE, TradeSource.NONE, "TWS 354: Requested market data is not subscribed.")
    ]
    assert asked.commands() == [StopTicks(ticks)]
    assert not asked.market.is_fresh(0, asked.now, 10 * NS_PER_S)


def test_a_line_beyond_the_limit_is_asked_for_again_when_another_ends():
    asked, request = watching()
    asked.market.watch(1, asked.now)
    [other] = [each.request_id for each in asked.commands()]
    asked.tell(ErrorMessage(other, 101, "Max number of tickers has been reached"))
    assert asked.market.describe()["BBB"][0] is DataKind.NONE
    asked.market.unwatch(0, asked.now)
    stop, again = asked.commands()
    assert stop == StopMarket(request)
    assert again.contract.symbol == "BBB"


def test_a_warning_ends_nothing():
    asked, request = watching()
    asked.tell(ErrorMessage(request, 10090, "Part of requested market data is not subscribed."))
    asked.tell(rt_volume(request, 10.7, 1.0, asked.now))
    assert [event.price for event in asked.taken(TradeTick)] == [10.7]
    assert "10090" in asked.market.describe()["AAA"][2]


def test_paper_takes_delayed_quotes_and_says_so_and_makes_no_trades_of_them():
    asked = Asked(delayed_allowed=True, tick_by_tick=1)
    asked.market.watch(0, asked.now)
    kind, ticks, line = asked.commands()
    assert kind == SetMarketDataType(3)
    asked.tell(
        ErrorMessage(line.request_id, 10167, "Displaying delayed market data."), MarketDataType(line.request_id, 3),
        *price(line.request_id, 68, 10.0, 100.0), *price(line.request_id, 66, 9.9, 1.0), *price(line.request_id, 67, 10.1, 1.0),
    )  # fmt: skip
    asked.wait(1.0)
    asked.tell(*price(line.request_id, 66, 9.8, 1.0), *price(line.request_id, 68, 10.1, 100.0))
    asked.settle()
    changed, *found = asked.take()
    assert (changed.kind, changed.source) == (DataKind.DELAYED, TradeSource.NONE)
    assert "10167" in changed.text
    assert [type(event) for event in found] == [PriceImage, QuoteTick, PriceImage]
    assert asked.commands() == [StopTicks(ticks.request_id)]


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_run_that_may_not_take_delayed_data_takes_none(is_announced: bool):
    asked = Asked(tick_by_tick=0)
    asked.market.watch(0, asked.now)
    line = asked.commands()[-1].request_id
    announced = [MarketDataType(line, 3)] if is_announced else []
    asked.tell(*announced, *price(line, 68, 10.0, 100.0), *price(line, 66, 9.9, 1.0))
    asked.wait(1.0)
    [changed] = asked.take()
    assert (changed.kind, changed.source) == (DataKind.NONE, TradeSource.NONE)
    assert asked.commands() == [StopMarket(line)]


def test_a_competing_session_leaves_an_instrument_without_data_until_it_delivers_again():
    asked, request = watching()
    asked.take()
    assert asked.market.is_fresh(0, asked.now, 10 * NS_PER_S)
    asked.tell(ErrorMessage(request, 10197, "No market data during competing live session"))
    assert [event.kind for event in asked.take()] == [DataKind.NONE]
    assert not asked.market.is_fresh(0, asked.now, 10 * NS_PER_S)
    asked.tell(*price(request, BID, 9.7, 1.0))
    assert [event.kind for event in asked.taken(DataChanged)] == [DataKind.LIVE]
    assert asked.market.is_fresh(0, asked.now, 10 * NS_PER_S)


@pytest.mark.parametrize(("down", "found"), [("2103", "2104"), ("2110", "2104")])
def test_a_lost_farm_makes_everything_stale_and_the_socket_stays(down: str, found: str):
    asked, _ = watching()
    asked.take()
    text = "Market data farm connection is broken:usfarm"
    assert not asked.market.receive(ErrorMessage(-1, int(down), text), asked.now)
    assert not asked.market.is_fresh(0, asked.now, 10 * NS_PER_S)
    asked.tell(ErrorMessage(-1, int(found), "Market data farm connection is OK:usfarm"))
    assert [event.kind for event in asked.taken(DataChanged)] == [DataKind.UNKNOWN, DataKind.LIVE]
    assert asked.commands() == []


@pytest.mark.parametrize("code", [2105, 2106, 2107, 2108, 2158])
def test_notices_of_other_farms_and_of_sleep_change_nothing(code: int):
    asked, _ = watching()
    asked.take()
    asked.tell(ErrorMessage(-1, code, "a farm:hmds"))
    assert asked.take() == []
    assert asked.market.is_fresh(0, asked.now, 10 * NS_PER_S)


def test_data_are_fresh_for_as_long_as_asked():
    asked, _ = watching()
    received = asked.market.last_received(0)
    assert received == NOW
    assert asked.market.is_fresh(0, received + 10 * NS_PER_S, 10 * NS_PER_S)
    assert not asked.market.is_fresh(0, received + 10 * NS_PER_S + 1, 10 * NS_PER_S)
    assert not asked.market.is_fresh(3, received, 10 * NS_PER_S)


@pytest.mark.parametrize("is_dropped", [True, False])
def test_after_1101_or_a_reconnection_every_line_is_asked_for_once_and_old_ones_mean_nothing(is_dropped: bool):
    asked, old = watching()
    asked.take()
    asked.tell(Disconnected("gone") if is_dropped else ErrorMessage(-1, 1101, "restored - data lost"))
    asked.market.mark_stale("gone", asked.now)
    if is_dropped:
        asked.tell(Connected(200, ""))
    asked.market.resubscribe(asked.now)
    kind, line = asked.commands()
    assert kind == SetMarketDataType(1)
    assert line.request_id != old
    assert asked.market.receive(rt_volume(old, 99.0, 1.0, asked.now), asked.now), "it is ours, and means nothing"
    asked.tell(*image(line.request_id, last=12.0))
    asked.settle()
    found = asked.take()
    assert [event for event in found if isinstance(event, TradeTick | QuoteTick)] == []
    assert PriceImage(0, asked.now, 12.0, 9.9, 10.1) in found
    assert [event.kind for event in found if isinstance(event, DataChanged)] == [DataKind.UNKNOWN, DataKind.LIVE]


def test_what_is_watched_before_there_is_a_connection_is_asked_for_once_when_there_is():
    asked = Asked(version=0, tick_by_tick=0)
    asked.market.watch(0, asked.now)
    assert asked.commands() == []
    asked.connect()
    assert [type(each) for each in asked.commands()] == [SetMarketDataType, FollowMarket]


def test_being_ready_twice_on_one_connection_ends_the_old_lines_first():
    asked, request = watching()
    asked.market.resubscribe(asked.now)
    stop, _, line = asked.commands()
    assert stop == StopMarket(request)
    assert line.request_id != request


def test_servers_before_159_count_sizes_of_us_stocks_in_round_lots():
    asked, request = watching(version=157)
    asked.take()
    asked.tell(*price(request, BID, 9.8, 2.0), rt_volume(request, 10.0, 3.0, asked.now))
    quote, told = asked.take()
    assert quote.bid_size == 200.0
    assert told.size == 300.0


def test_currencies_have_no_tick_by_tick_trades():
    asked = Asked()
    j, _ = asked.registry.add(Instrument("EURUSD", InstrumentType.CASH))
    asked.market.watch(j, asked.now)
    assert not any(isinstance(each, FollowTicks) for each in asked.commands())


def test_time_is_needed_only_while_something_waits():
    asked, request = watching()
    nothing = asked.market.next_due(asked.now)
    asked.tell(*price(request, LAST, 10.5, 1.0))
    assert asked.market.next_due(asked.now) == asked.now + NS_PER_S
    asked.wait(1.0)
    assert asked.market.next_due(asked.now) == nothing


def test_a_record_of_somebody_else_is_left_to_him():
    asked, _ = watching()
    assert not asked.market.receive(TickPrice(4711, BID, 1.0), asked.now)
    assert not asked.market.receive(ErrorMessage(4711, 200, "no"), asked.now)
