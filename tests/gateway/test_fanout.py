"""Ticks that are written once for many subscribers are the bytes of the protocol's tables."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clients import Client
from gateway.fanout import Fanout
from gateway.protocol.codec import encode_reply
from gateway.protocol.replies import (
    Reply,
    TickBidAsk,
    TickGeneric,
    TickLast,
    TickMid,
    TickPrice,
    TickSize,
    TickString,
)

VERSIONS = (157, 158, 159, 162, 163, 176, 200, 201, 219, 220, 226)
PRICES = st.floats(0.0001, 1e6)
SIZES = st.one_of(st.integers(0, 10_000_000).map(float), st.floats(0.0001, 1e6), st.just(math.nan))
NS = 1_000_000_000


def shares(size: float) -> float:
    return 0.0 if math.isnan(size) else size


def sent(tell: Callable[[Fanout], None], lot: int = 100) -> list[tuple[Client, bytes]]:
    """What clients of all versions, each with a request number of its own, are sent."""
    fanout = Fanout(lot)
    clients = [Client(n, version) for n, version in enumerate(VERSIONS)]
    for client in clients:
        fanout.add(client, 100 + client.number)
    tell(fanout)
    return [(client, client.take()[0]) for client in clients]  # type: ignore[misc]


def check(tell: Callable[[Fanout], None], reply: Callable[[int, int], Reply], lot: int = 100) -> None:
    """Every frame is what the protocol's tables make of the reply to (request, version)."""
    for client, frame in sent(tell, lot):
        assert frame == encode_reply(reply(100 + client.number, client.version), client.version)


def counted(size: float, version: int, lot: int = 100) -> float:
    """A size as a version counts it: in lots before 159."""
    return shares(size) / lot if version < 159 else shares(size)


@given(PRICES, SIZES, st.sampled_from([1, 100]))
def test_prices_and_sizes(price: float, size: float, lot: int):
    check(lambda f: f.price(4, price, size, 1), lambda n, v: TickPrice(n, 4, price, counted(size, v, lot), 1), lot)
    check(lambda f: f.size(5, size), lambda n, v: TickSize(n, 5, counted(size, v, lot)), lot)


@given(st.floats(0, 1e12))
def test_volume_is_in_lots_below_version_220(volume: float):
    check(lambda f: f.volume(8, volume), lambda n, v: TickSize(n, 8, math.trunc(volume / (100 if v < 220 else 1))))


@given(PRICES, SIZES, st.integers(0, 2**61))
def test_trades_tick_by_tick(price: float, size: float, ts: int):
    check(
        lambda f: f.trade(2, ts, price, size, "ARCA"),
        lambda n, v: TickLast(n, 2, ts // NS, price, shares(size), 0, "ARCA"),
    )


@given(PRICES, PRICES, SIZES, SIZES, st.integers(0, 2**61))
def test_quotes_tick_by_tick(bid: float, ask: float, bid_size: float, ask_size: float, ts: int):
    check(
        lambda f: f.quote(ts, bid, ask, bid_size, ask_size),
        lambda n, v: TickBidAsk(n, ts // NS, bid, ask, shares(bid_size), shares(ask_size)),
    )
    check(lambda f: f.middle(ts, bid), lambda n, v: TickMid(n, ts // NS, bid))


def test_a_side_without_a_price_is_nothing_tick_by_tick():
    check(lambda f: f.quote(NS, math.nan, 2.0, math.nan, 7.0), lambda n, v: TickBidAsk(n, 1, 0.0, 2.0, 0.0, 7.0))


def test_texts_and_numbers():
    check(lambda f: f.string(45, "1717421400"), lambda n, v: TickString(n, 45, "1717421400"))
    check(lambda f: f.generic(49, 0.0), lambda n, v: TickGeneric(n, 49, 0.0))


def test_a_trade_summary_reads_like_a_recorded_one():
    def told(fanout: Fanout) -> None:
        fanout.trade_summary(48, 357.36, 8344.0, 1665499045563000000, 19734950.0, 357.30841548)

    texts = {client.version: frame.split(b"\0")[-2].decode() for client, frame in sent(told)}
    assert texts[200] == "357.36;8344.0000000000000000;1665499045563;197349.0000000000000000;357.30841548;true"
    assert texts[219] == texts[200]
    assert texts[220] == "357.36;8344.0000000000000000;1665499045563;19734950.0000000000000000;357.30841548;true"
    assert texts[159] == "357.36;8344;1665499045563;197349;357.30841548;true"
    assert texts[157] == "357.36;83;1665499045563;197349;357.30841548;true"


def test_clients_with_one_request_number_get_the_very_same_frame():
    fanout = Fanout()
    first, second = Client(1, 200), Client(2, 178)
    fanout.add(first, 7).add(second, 7)
    fanout.price(4, 10.5, 3.0)
    assert first.outbox[0] is second.outbox[0]


def test_who_was_removed_gets_nothing_more():
    fanout = Fanout()
    first, second = Client(1, 200), Client(2, 157)
    fanout.add(first, 7).add(second, 7).add(second, 8)
    fanout.remove(second, 7)
    fanout.remove(second, 99)
    fanout.size(5, 1.0)
    assert (len(first.take()), len(second.take())) == (1, 1)
    assert sorted((client.number, request) for client, request in fanout.members()) == [(1, 7), (2, 8)]
    fanout.remove(second, 8)
    fanout.remove(first, 7)
    assert not fanout
    fanout.size(5, 1.0)
    assert first.take() == second.take() == []


@pytest.mark.parametrize(
    "tell", [lambda f: f.price(1, 1.0), lambda f: f.trade(1, 0, 1.0, 1.0, ""), lambda f: f.string(45, "")]
)
def test_nobody_is_no_trouble(tell: Callable[[Fanout], None]):
    fanout = Fanout()
    tell(fanout)
    assert len(fanout) == 0
