"""In lockstep the image of a line comes before the marker that follows its request, or there is none."""

from __future__ import annotations

from brokers.ib.commands import FollowMarket
from brokers.ib.events import PriceImage, QuoteTick, TradeTick
from brokers.ib.records import TickPrice, TickSize, TickString
from papertape.core.model import NS_PER_MS, NS_PER_S
from tests.brokers.ib.asked import NOW, Asked


def asked_for(*, at_once: bool) -> tuple[Asked, int]:
    """AAA, asked for; ``at_once``: before this round's time passes, as when TWS has just defined the instrument."""
    asked = Asked(in_lockstep=True, tick_by_tick=0)
    asked.market.watch(0, asked.now)
    if at_once:
        asked.market.pass_time(asked.now)
    request = next(each.request_id for each in asked.commands() if isinstance(each, FollowMarket))
    asked.market.sent()
    return asked, request


def quote(request: int, bid: float) -> list[TickPrice | TickSize]:
    return [
        TickPrice(request, 1, bid), TickSize(request, 0, 3.0), TickPrice(request, 2, bid + 0.1), TickSize(request, 3, 4.0),
    ]  # fmt: skip


def trade(request: int, price: float) -> list[TickPrice | TickSize | TickString]:
    text = f"{price};1;{NOW // NS_PER_MS};1;{price};true"
    second = str(NOW // NS_PER_S)
    return [
        TickPrice(request, 4, price), TickSize(request, 5, 1.0), TickString(request, 45, second),
        TickString(request, 48, text),
    ]  # fmt: skip


def test_without_an_image_the_first_quote_and_trade_are_new() -> None:
    for at_once in (False, True):
        asked, request = asked_for(at_once=at_once)
        asked.market.pass_time(asked.now)  # the marker after the request: nothing was known
        asked.events.clear()
        asked.tell(*quote(request, 9.9), *trade(request, 10.0))
        asked.market.pass_time(asked.now)
        kinds = [type(each) for each in asked.events if isinstance(each, QuoteTick | TradeTick | PriceImage)]
        assert kinds == [QuoteTick, TradeTick]


def test_an_image_before_the_marker_is_none_and_what_comes_after_it_is_new() -> None:
    for at_once in (False, True):
        asked, request = asked_for(at_once=at_once)
        asked.tell(*quote(request, 9.9), *trade(request, 10.0))
        asked.market.pass_time(asked.now)
        kinds = [type(each) for each in asked.events if isinstance(each, QuoteTick | TradeTick | PriceImage)]
        assert kinds == [PriceImage]
        asked.events.clear()
        asked.tell(*quote(request, 9.8), *trade(request, 9.9))
        asked.market.pass_time(asked.now)
        kinds = [type(each) for each in asked.events if isinstance(each, QuoteTick | TradeTick | PriceImage)]
        assert kinds == [QuoteTick, TradeTick]
