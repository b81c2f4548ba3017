"""Market data as a client of the simulated TWS gets it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.images import Images
from gateway.protocol.contract import Contract
from gateway.protocol.replies import (
    DataType,
    Error,
    Reply,
    SnapshotEnd,
    TickBidAsk,
    TickGeneric,
    TickLast,
    TickMid,
    TickParameters,
    TickPrice,
    TickSize,
    TickString,
)
from gateway.protocol.requests import (
    CancelMarketData,
    CancelTickByTick,
    MarketData,
    SetMarketDataType,
    TickByTick,
)
from gateway.settings import DataPermission, GatewaySettings, Limits
from papertape.core.model import NS_PER_S, ActionKind, CorporateAction, Instrument
from papertape.core.series import Series
from tests.gateway.desk import Desk, errors, stock
from tests.gateway.june import at, bars, quotes, trades

DAYS = trades(
    "AAA",
    [
        (at(3, "10:00:00"), 50.0, 100.0),
        (at(3, "15:59:00"), 52.0, 300.0),
        (at(4, "9:30:00"), 53.0, 500.0),
        (at(4, "9:30:01"), 51.0, 150.0),
        (at(4, "9:30:01.5"), 51.0, 40.0),
        (at(4, "9:30:02"), 54.0, 200.0),
    ],
)
QUOTES = quotes(
    "AAA",
    [
        (at(4, "9:30:00.5"), 52.9, 53.1, 400.0, 300.0),
        (at(4, "9:30:01.1"), 50.9, 53.1, 400.0, 200.0),
        (at(4, "9:30:03"), 50.9, math.nan, 500.0, math.nan),
    ],
)


def morning(*series: Series, **fields: Any) -> Desk:
    """A Tws that plays from shortly before the open of June 4 on."""
    return Desk(*series, start=at(4, "9:29:55"), **fields)


def ticks(replies: list[Reply]) -> list[tuple[int, float | str, float]]:
    """Price and size ticks as (type, price or size, size), texts as (type, text, 0)."""
    found: list[tuple[int, float | str, float]] = []
    for reply in replies:
        if isinstance(reply, TickPrice):
            found.append((reply.type, reply.price, reply.size))
        elif isinstance(reply, TickSize):
            found.append((reply.type, reply.size, 0.0))
        elif isinstance(reply, TickString):
            found.append((reply.type, reply.value, 0.0))
    return found


def test_a_subscription_begins_with_its_kind_its_parameters_and_an_image():
    played = morning(DAYS, QUOTES)
    client = played.client()
    played.play(at(4, "9:30:01.2"), client)
    replies = played.ask(MarketData(7, stock("AAA")), client)
    assert replies[:2] == [DataType(7, 1), TickParameters(7, 0.01, "9c0001", 3)]
    stamp = str(at(4, "9:30:01") // NS_PER_S)
    assert ticks(replies) == [
        (4, 51.0, 150.0), (45, stamp, 0.0), (6, 53.0, 0.0), (7, 51.0, 0.0), (8, 6.0, 0.0), (9, 52.0, 0.0),
        (14, 53.0, 0.0), (1, 50.9, 400.0), (2, 53.1, 200.0),
    ]  # fmt: skip
    assert replies[-1] == TickGeneric(7, 49, 0.0)


def test_then_come_changes_and_of_a_trade_at_the_same_price_the_size_alone():
    played = morning(DAYS, QUOTES)
    client = played.client()
    played.play(at(4, "9:30:01.2"), client)
    played.ask(MarketData(7, stock("AAA")), client)
    assert ticks(played.play(at(4, "9:30:01.9"), client)) == [(5, 40.0, 0.0)]
    stamp = str(at(4, "9:30:02") // NS_PER_S)
    assert ticks(played.play(at(4, "9:30:02"), client)) == [
        (4, 54.0, 200.0), (45, stamp, 0.0), (8, 8.0, 0.0), (6, 54.0, 0.0),
    ]  # fmt: skip
    assert ticks(played.play(at(4, "9:30:03"), client)) == [(0, 500.0, 0.0), (2, -1.0, 0.0)]


def test_an_old_client_gets_sizes_in_round_lots():
    played = morning(DAYS, QUOTES)
    client = played.client(version=157)
    played.play(at(4, "9:30:01.2"), client)
    found = ticks(played.ask(MarketData(7, stock("AAA")), client))
    assert (4, 51.0, 1.0) in found
    assert (1, 50.9, 4.0) in found
    assert (8, 6.0, 0.0) in found


def test_nothing_of_what_has_not_been_played_is_in_the_image():
    played = Desk(DAYS, start=at(3, "10:00:00"))
    client = played.client()
    replies = played.ask(MarketData(7, stock("AAA")), client)
    assert ticks(replies) == []
    assert [kind for kind, _, _ in ticks(played.play(at(3, "10:00:00"), client))] == [4, 45, 8, 6, 7, 14]


def test_a_new_session_begins_with_the_close_of_the_one_before():
    played = Desk(DAYS, start=None)
    client = played.client()
    played.play(at(3, "15:59:30"), client)
    played.ask(MarketData(7, stock("AAA")), client)
    found = ticks(played.play(at(4, "9:30:00"), client))
    assert found[0] == (9, 52.0, 0.0)
    assert (8, 5.0, 0.0) in found
    assert (14, 53.0, 0.0) in found


def test_the_close_before_a_split_is_in_prices_of_today():
    split = CorporateAction(at(4, "0:00:00"), "AAA", ActionKind.SPLIT, 2.0)
    played = morning(DAYS, actions=(split,))
    client = played.client()
    played.play(at(4, "9:30:00.5"), client)
    assert (9, 26.0, 0.0) in ticks(played.ask(MarketData(7, stock("AAA")), client))


def test_who_watches_over_a_split_sees_prices_of_today():
    split = CorporateAction(at(4, "0:00:00"), "AAA", ActionKind.SPLIT, 2.0)
    series = trades("AAA", [(at(3, "15:59:00"), 52.0, 300.0), (at(4, "9:30:00"), 26.0, 100.0)])
    played = Desk(series, start=at(3, "15:58:00"), actions=(split,))
    client, later = played.client(), played.client(2)
    played.ask(MarketData(7, stock("AAA")), client)
    played.play(at(4, "9:29:00"), client)
    found = ticks(played.ask(MarketData(8, stock("AAA")), later))
    assert found[0] == (4, 26.0, 300.0)
    assert (9, 26.0, 0.0) in found
    assert (5, 100.0, 0.0) in ticks(played.play(at(4, "9:30:00"), client))


def test_a_snapshot_is_an_image_with_an_end_and_then_nothing():
    played = morning(DAYS)
    client = played.client()
    played.play(at(4, "9:30:01"), client)
    replies = played.ask(MarketData(7, stock("AAA"), snapshot=True), client)
    assert replies[-1] == SnapshotEnd(7)
    assert (4, 51.0, 150.0) in ticks(replies)
    assert played.play(at(4, "9:30:10"), client) == []
    assert errors(played.ask(CancelMarketData(7), client)) == [300]


def test_a_snapshot_of_what_was_never_traded_ends_at_once():
    played = morning(DAYS, trades("BBB", [(at(4, "15:00:00"), 1.0, 1.0)]))
    client = played.client()
    played.play(at(4, "9:30:01"), client)
    replies = played.ask(MarketData(7, stock("BBB"), snapshot=True), client)
    assert [type(reply) for reply in replies] == [DataType, TickParameters, SnapshotEnd]


MINUTES = bars(
    "AAA",
    [
        (at(3, "15:58:00"), at(3, "15:59:00"), 8.0, 8.5, 8.0, 8.0, 700.0),
        (at(4, "9:30:00"), at(4, "9:31:00"), 10.0, 12.0, 9.0, 11.0, 1000.0),
        (at(4, "9:31:00"), at(4, "9:32:00"), 11.0, 13.0, 10.0, 11.0, 250.0),
        (at(4, "9:32:00"), at(4, "9:33:00"), 11.0, 11.0, 8.5, 9.5, 300.0),
    ],
)


def seconds(clock: str) -> str:
    """A time of June 4 as ticks of type 45 spell it."""
    return str(at(4, clock) // NS_PER_S)


def test_on_a_tape_of_bars_a_line_begins_with_the_last_close():
    played = morning(MINUTES)
    client = played.client()
    played.play(at(4, "9:31:30"), client)
    found = ticks(played.ask(MarketData(7, stock("AAA")), client))
    assert found == [
        (4, 11.0, 0.0), (45, seconds("9:31:00"), 0.0), (6, 12.0, 0.0), (7, 9.0, 0.0), (8, 10.0, 0.0), (9, 8.0, 0.0),
        (14, 10.0, 0.0),
    ]  # fmt: skip
    assert errors(played.ask(CancelMarketData(7), client)) == []
    assert played.play(at(4, "9:33:00"), client) == []


@pytest.mark.parametrize("conflate_ms", [None, 250.0])
def test_at_the_end_of_each_bar_its_close_is_the_last_price_also_where_it_did_not_move(conflate_ms: float | None):
    played = morning(MINUTES, settings=GatewaySettings(conflate_ms=conflate_ms))
    client = played.client()
    played.ask(MarketData(7, stock("AAA"), "233"), client)
    heard = {clock: ticks(played.play(at(4, clock), client)) for clock in ("9:30:59", "9:31:00", "9:32:00", "9:33:00")}
    assert heard == {
        "9:30:59": [],
        "9:31:00": [
            (4, 11.0, 0.0), (45, seconds("9:31:00"), 0.0), (6, 12.0, 0.0), (7, 9.0, 0.0), (8, 10.0, 0.0),
            (14, 10.0, 0.0),
        ],
        "9:32:00": [(4, 11.0, 0.0), (45, seconds("9:32:00"), 0.0), (6, 13.0, 0.0), (8, 12.0, 0.0)],
        "9:33:00": [(4, 9.5, 0.0), (45, seconds("9:33:00"), 0.0), (7, 8.5, 0.0), (8, 15.0, 0.0)],
    }  # fmt: skip


def test_a_new_session_of_bars_begins_with_a_new_previous_close():
    played = Desk(MINUTES, start=at(3, "15:58:00"))
    client = played.client()
    played.ask(MarketData(7, stock("AAA")), client)
    before = ticks(played.play(at(3, "15:59:00"), client))
    assert [each[:2] for each in before if each[0] in (4, 9)] == [(4, 8.0)]
    after = ticks(played.play(at(4, "9:31:00"), client))
    assert [each[:2] for each in after if each[0] in (4, 9, 14)] == [(4, 11.0), (9, 8.0), (14, 10.0)]


def test_where_there_are_trades_bars_bring_no_ticks_of_their_own():
    both = morning(DAYS, MINUTES)
    alone = morning(DAYS)
    heard = []
    for each in (both, alone):
        client = each.client()
        each.ask(MarketData(7, stock("AAA"), "233"), client)
        heard.append(each.play(at(4, "9:40:00"), client))
    assert heard[0] == heard[1] != []


def test_a_cancelled_subscription_is_silent_and_cancelling_it_again_is_an_error():
    played = morning(DAYS)
    client = played.client()
    played.play(at(4, "9:30:00"), client)
    played.ask(MarketData(7, stock("AAA")), client)
    assert played.ask(CancelMarketData(7), client) == []
    assert played.play(at(4, "9:30:05"), client) == []
    [error] = played.ask(CancelMarketData(7), client)
    assert isinstance(error, Error)
    assert (error.code, error.text) == (300, "Can't find EId with tickerId:7")


def test_a_connection_that_ends_takes_its_subscriptions_with_it():
    played = morning(DAYS)
    client, other = played.client(), played.client(2)
    played.play(at(4, "9:30:00"), client)
    for each in (client, other):
        played.ask(MarketData(7, stock("AAA"), "233"), each)
        played.ask(TickByTick(8, stock("AAA"), "AllLast"), each)
    played.tws.disconnect(client)
    assert played.play(at(4, "9:30:05"), client) == []
    assert played.heard(other) != []
    played.tws.disconnect(other)
    assert not any(played.tws.data.quotes.watched)


def test_trade_summaries_have_every_trade_with_its_milliseconds_and_the_average_price():
    played = morning(DAYS)
    client = played.client()
    played.play(at(4, "9:30:00"), client)
    played.ask(MarketData(7, stock("AAA"), "233,375"), client)
    found = [reply for reply in played.play(at(4, "9:30:01.5"), client) if isinstance(reply, TickString)]
    texts = [reply.value.split(";") for reply in found if reply.type == 48]
    assert [(float(text[0]), float(text[1]), int(text[2])) for text in texts] == [
        (51.0, 150.0, at(4, "9:30:01") // 1_000_000),
        (51.0, 40.0, at(4, "9:30:01.5") // 1_000_000),
    ]
    assert float(texts[-1][4]) == pytest.approx((53.0 * 500 + 51.0 * 190) / 690)
    assert [reply.value for reply in found if reply.type == 77] == [reply.value for reply in found if reply.type == 48]


def test_average_volume_is_sent_to_who_asks_for_it():
    played = morning(DAYS, instruments=(Instrument("AAA", average_volume=1_234_500.0),))
    client = played.client()
    played.play(at(4, "9:30:00"), client)
    assert (21, 12345.0, 0.0) in ticks(played.ask(MarketData(7, stock("AAA"), "165"), client))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (MarketData(7, stock("AAA"), "233,9999"), 321),
        (MarketData(7, stock("AAA"), "233", snapshot=True), 321),
        (MarketData(7, stock("ZZZ")), 200),
        (MarketData(7, stock("AAA", exchange="")), 321),
        (MarketData(6, stock("AAA")), 322),
        (SetMarketDataType(5), 321),
        (TickByTick(7, stock("AAA"), "Everything"), 321),
        (TickByTick(7, stock("ZZZ"), "Last"), 200),
        (TickByTick(7, stock("AAA"), "BidAsk"), 10189),
        (CancelTickByTick(7), 300),
    ],
)
def test_what_is_wrong_is_refused_with_the_code_of_tws(request_: MarketData, code: int):
    played = morning(DAYS)
    client = played.client()
    played.ask(MarketData(6, stock("AAA")), client)
    assert errors(played.ask(request_, client)) == [code]


@pytest.mark.parametrize("generic", ["100,101,106,mdoff", "292:BRFG", "221,232,236", ""])
def test_generic_ticks_that_tws_knows_are_accepted(generic: str):
    played = morning(DAYS)
    client = played.client()
    assert errors(played.ask(MarketData(7, stock("AAA"), generic), client)) == []


def test_lines_are_limited_and_free_again_when_cancelled():
    played = morning(DAYS, settings=GatewaySettings(limits=Limits(market_data_lines=2)))
    client = played.client()
    assert (
        errors(played.ask(MarketData(1, stock("AAA")), client) + played.ask(MarketData(2, stock("AAA")), client)) == []
    )
    assert errors(played.ask(MarketData(3, stock("AAA")), client)) == [101]
    assert errors(played.ask(MarketData(3, stock("AAA"), snapshot=True), client)) == []
    played.ask(CancelMarketData(1), client)
    assert errors(played.ask(MarketData(3, stock("AAA")), client)) == []


# -- kinds of data ----------------------------------------------------------------------------------------------

DELAYED = GatewaySettings(permission=DataPermission.DELAYED, delay_s=60.0)


@pytest.mark.parametrize(
    ("settings", "kind", "code"),
    [
        (GatewaySettings(permission=DataPermission.NONE), 1, 354),
        (GatewaySettings(permission=DataPermission.NONE), 3, 10168),
        (DELAYED, 1, 10089),
        (DELAYED, 2, 10089),
        (GatewaySettings(data={"AAA": DataPermission.NONE}), 1, 354),
    ],
)
def test_without_permission_there_are_no_data(settings: GatewaySettings, kind: int, code: int):
    played = morning(DAYS, settings=settings)
    client = played.client()
    played.ask(SetMarketDataType(kind), client)
    for snapshot in (False, True):
        assert errors(played.ask(MarketData(7, stock("AAA"), snapshot=snapshot), client)) == [code]
    assert played.play(at(4, "9:31:00"), client) == []


def test_delayed_data_are_said_to_be_so_and_are_as_old_as_set():
    played = morning(DAYS, QUOTES, settings=DELAYED)
    client = played.client()
    played.ask(SetMarketDataType(3), client)
    played.play(at(4, "9:31:00"), client)
    replies = played.ask(MarketData(7, stock("AAA")), client)
    assert errors(replies) == [10167]
    assert DataType(7, 3) in replies
    assert (68, 53.0, 500.0) in ticks(replies)
    assert played.play(at(4, "9:31:01"), client) != []
    found = ticks(played.play(at(4, "9:31:01.9"), client))
    assert (68, 54.0, 200.0) not in found
    later = ticks(played.play(at(4, "9:31:04"), client))
    assert (68, 54.0, 200.0) in later
    assert (72, 54.0, 0.0) in later
    assert {kind for kind, _, _ in found + later} <= {66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 88}
    assert errors(played.ask(CancelMarketData(7), client)) == []
    assert played.play(at(4, "9:35:00"), client) == []


def test_who_may_see_live_data_gets_them_whatever_is_asked_for():
    played = morning(DAYS)
    client = played.client()
    played.play(at(4, "9:30:01"), client)
    for kind in (1, 2, 3, 4):
        played.ask(SetMarketDataType(kind), client)
        assert DataType(kind, 1) in played.ask(MarketData(kind, stock("AAA")), client)


def test_frozen_data_are_said_to_be_so_while_the_exchange_is_closed():
    played = Desk(DAYS, start=None)
    client = played.client()
    played.play(at(3, "17:00:00"), client)
    played.ask(SetMarketDataType(2), client)
    replies = played.ask(MarketData(7, stock("AAA")), client)
    assert DataType(7, 2) in replies
    assert (4, 52.0, 300.0) in ticks(replies)


# -- tick by tick -----------------------------------------------------------------------------------------------


def test_every_trade_and_every_quote_goes_out_tick_by_tick():
    played = Desk(DAYS, QUOTES, instruments=(Instrument("AAA", exchange="NYSE"),))
    client = played.client()
    played.play(at(3, "16:00:00"), client)
    for request, kind in enumerate(("Last", "AllLast", "BidAsk", "MidPoint"), 1):
        assert played.ask(TickByTick(request, stock("AAA"), kind), client) == []
    played.ask(TickByTick(5, stock("AAA"), "BidAsk", ignore_size=True), client)
    replies = played.play(at(4, "9:30:03"), client)
    second = at(4, "9:30:01") // NS_PER_S
    all_last = [reply for reply in replies if isinstance(reply, TickLast) and reply.kind == 2]
    assert [(each.price, each.size, each.exchange) for each in all_last] == [
        (53.0, 500.0, "NYSE"), (51.0, 150.0, "NYSE"), (51.0, 40.0, "NYSE"), (54.0, 200.0, "NYSE"),
    ]  # fmt: skip
    assert [
        replace(each, request=2, kind=2) for each in replies if isinstance(each, TickLast) and each.kind == 1
    ] == all_last
    assert [each.time for each in all_last[1:3]] == [second, second]
    assert [each for each in replies if isinstance(each, TickBidAsk) and each.request == 3] == [
        TickBidAsk(3, second - 1, 52.9, 53.1, 400.0, 300.0),
        TickBidAsk(3, second, 50.9, 53.1, 400.0, 200.0),
        TickBidAsk(3, second + 2, 50.9, 0.0, 500.0, 0.0),
    ]
    assert [each.mid for each in replies if isinstance(each, TickMid)] == [(52.9 + 53.1) / 2, (50.9 + 53.1) / 2]
    assert len([each for each in replies if isinstance(each, TickBidAsk) and each.request == 5]) == 3
    for request in (1, 2, 3, 4, 5):
        assert played.ask(CancelTickByTick(request), client) == []
    assert not any(played.tws.data.quotes.watched)


def test_tick_by_tick_is_limited_by_instrument_and_needs_permission():
    series = [trades(name, [(at(4, "10:00:00"), 1.0, 1.0)]) for name in ("AAA", "BBB", "CCC")]
    limits = GatewaySettings(limits=Limits(tick_by_tick=2), data={"CCC": DataPermission.DELAYED})
    played = morning(*series, settings=limits)
    client = played.client()
    assert errors(played.ask(TickByTick(1, stock("CCC"), "Last"), client)) == [10189]
    for request, name in enumerate(("AAA", "AAA", "BBB"), 2):
        assert errors(played.ask(TickByTick(request, stock(name), "AllLast"), client)) == []
    assert errors(played.ask(TickByTick(2, stock("AAA"), "Last"), client)) == [322]
    permitted = morning(*series, settings=GatewaySettings(limits=Limits(tick_by_tick=2)))
    other = permitted.client()
    replies = [permitted.ask(TickByTick(n, stock(name), "Last"), other) for n, name in enumerate(("AAA", "BBB", "CCC"))]
    assert [errors(each) for each in replies] == [[], [], [10190]]


def test_an_instrument_by_its_id_alone_is_the_same():
    played = Desk(DAYS, start=None)
    client = played.client()
    wire = played.tws.contracts.wire(0)
    assert errors(played.ask(MarketData(7, Contract(con_id=wire.con_id, exchange="SMART")), client)) == []
    assert played.play(at(3, "10:00:00"), client) != []


# -- images -----------------------------------------------------------------------------------------------------

EVENTS = st.lists(st.tuples(st.integers(0, 12_000), st.integers(1, 99), st.integers(1, 500)), min_size=1, max_size=40)


@given(EVENTS, st.integers(0, 13_000))
def test_what_was_told_tick_by_tick_is_what_an_image_says_and_what_scans_are_ranked_by(
    rows: list[tuple[int, int, int]], offset: int
):
    start = at(3, "8:00:00")
    series = trades("AAA", [(start + s * NS_PER_S, float(p), float(n)) for s, p, n in sorted(rows)])
    played = Desk(series, start=None)
    client = played.client()
    played.ask(MarketData(7, stock("AAA")), client)
    now = start + offset * NS_PER_S
    if now < played.tws.now:
        return
    told = {kind: value for kind, value, _ in ticks(played.play(now, client))}
    view = played.tws.market.view
    image = Images(view).at(0, now)
    days = view.days(now)
    assert image.last == days.last[0] or math.isnan(days.last[0])
    if days.is_today[0]:
        assert (image.open, image.volume) == (days.open[0], days.volume[0])
        assert image.close == days.previous_close[0] or math.isnan(days.previous_close[0])
        assert (told[4], told[6], told[7], told[14]) == (image.last, image.high, image.low, image.open)
        assert told.get(8, 0.0) == image.volume // 100


def test_ticks_may_be_held_back_and_then_say_what_is_so_in_the_end():
    played = morning(DAYS, QUOTES, settings=GatewaySettings(conflate_ms=1_500.0))
    client = played.client()
    played.play(at(4, "9:29:59"), client)
    played.ask(MarketData(7, stock("AAA"), "233"), client)
    replies = played.play(at(4, "9:30:05"), client)
    assert [kind for kind, _, _ in ticks(replies)].count(48) == 4
    prices = [value for kind, value, _ in ticks(replies) if kind == 4]
    assert prices[0] == 53.0
    assert prices[-1] == 54.0
    assert len(prices) < 4
