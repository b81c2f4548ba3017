"""What a line of market data may say that is none, and lines that TWS ends."""

from __future__ import annotations

import math

import pytest

from brokers.ib.commands import FollowMarket, FollowTicks, StopTicks
from brokers.ib.events import PriceImage, QuoteTick, TradeTick
from brokers.ib.records import Disconnected, ErrorMessage, MarketDataType, TickTrade
from papertape.core.model import NS_PER_S
from tests.brokers.ib.asked import Asked
from tests.brokers.ib.test_market import LAST, price, rt_volume, watching


@pytest.mark.parametrize("nothing", [-1.0, 0.0])
def test_a_price_that_is_none_is_neither_a_trade_nor_a_mark(nothing: float):
    asked, request = watching()
    asked.take()
    asked.tell(*price(request, LAST, nothing, 0.0), rt_volume(request, nothing, 100.0, asked.now))
    asked.wait(2.0)
    assert all(math.isnan(each.last) for each in asked.taken(TradeTick, QuoteTick, PriceImage))


@pytest.mark.parametrize(("value", "size"), [(0.0, 5.0), (-1.0, 5.0), (math.nan, 5.0), (10.0, math.nan)])
def test_a_trade_tick_by_tick_without_a_price_or_a_size_is_none(value: float, size: float):
    asked = Asked()
    asked.market.watch(0, asked.now)
    ticks = next(each.request_id for each in asked.commands() if isinstance(each, FollowTicks))
    second = asked.now // NS_PER_S
    asked.tell(TickTrade(ticks, second, value, size, "ARCA", ""), TickTrade(ticks, second, 10.5, 7.0, "ARCA", ""))
    assert [each.price for each in asked.taken(TradeTick)] == [10.5]


def test_a_line_that_tws_ended_gives_its_tick_by_tick_line_back_before_it_takes_another():
    asked = Asked(tick_by_tick=1)
    asked.market.watch(0, asked.now)
    ticks, line = (each.request_id for each in asked.commands()[1:])
    asked.tell(ErrorMessage(line, 10225, "a bust"))
    stop, again, _ = asked.commands()
    assert stop == StopTicks(ticks)
    assert isinstance(again, FollowTicks)


def test_lines_that_tws_ended_on_earlier_connections_do_not_count_for_this_one():
    asked = Asked(tick_by_tick=0)
    asked.market.watch(0, asked.now)
    for _ in range(5):
        for _ in range(3):
            line = asked.commands()[-1]
            assert isinstance(line, FollowMarket)
            asked.tell(ErrorMessage(line.request_id, 10225, "ended"))
        asked.tell(Disconnected("gone"))
        asked.connect()
    assert "ended" not in asked.market.describe()["AAA"][2]


def test_tws_own_server_is_found_again_with_any_farm():
    asked, _ = watching()
    asked.take()
    asked.tell(
        ErrorMessage(-1, 2110, "Connectivity between TWS and server is broken. It will be restored automatically.")
    )
    assert not asked.market.is_fresh(0, asked.now, 10 * NS_PER_S)
    asked.tell(ErrorMessage(-1, 2104, "Market data farm connection is OK:usfarm"))
    assert asked.market.is_fresh(0, asked.now, 10 * NS_PER_S)


def test_frozen_data_are_never_fresh():
    asked, request = watching()
    asked.tell(MarketDataType(request, 2), *price(request, LAST, 10.5, 100.0))
    assert not asked.market.is_fresh(0, asked.now, 10 * NS_PER_S)
    asked.tell(MarketDataType(request, 1))
    assert asked.market.is_fresh(0, asked.now, 10 * NS_PER_S)


def test_when_something_was_last_heard_is_known_over_a_break():
    asked, _ = watching()
    heard = asked.market.last_received(0)
    assert heard
    asked.tell(Disconnected("gone"))
    asked.wait(60.0)
    asked.connect()
    assert asked.market.last_received(0) == heard


@pytest.mark.parametrize(("ahead_s", "takes_over"), [(0, False), (2, False), (3, True)])
def test_rt_volume_that_is_a_little_ahead_of_all_last_does_not_take_over(ahead_s: int, takes_over: bool):
    asked = Asked(tick_by_tick=1)
    asked.market.watch(0, asked.now)
    ticks, line = (each.request_id for each in asked.commands()[1:])
    asked.wait(2.0)
    second = asked.now // NS_PER_S
    asked.tell(TickTrade(ticks, second, 10.0, 5.0, "ARCA", ""))
    asked.tell(rt_volume(line, 10.0, 5.0, (second + ahead_s) * NS_PER_S))
    asked.take()
    asked.wait(6.0)
    assert bool(asked.taken(TradeTick)) is takes_over
