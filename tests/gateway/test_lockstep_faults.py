"""Faults of a scenario in lockstep: the market waits through them, and the same scenario is heard the same again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from brokers.fees import FeeModel
from feeds.load import load_tape
from gateway.protocol import replies, requests
from gateway.protocol.requests import Request
from gateway.settings import backtest_settings
from papertape.core.model import NS_PER_S
from tests.gateway.served import AAA, START, Served, buy, within

SECONDS = 16
TAPE = load_tape({
    "AAA": {
        "ts": START + np.arange(2 * SECONDS) * NS_PER_S // 2,
        "price": 10.0 + np.arange(2 * SECONDS) / 100.0,
        "size": np.full(2 * SECONDS, 100.0),
    }
})  # fmt: skip
"""AAA from 10.00 on, one cent more every half second."""
SETTINGS = backtest_settings({"USD": 1_000_000.0}, fees=FeeModel.parse("ib-fixed"))
Heard = list[tuple[int, str]]
"""(second, word) of what the client heard; the second is that of the marker behind it."""
SUBSCRIBE = requests.MarketData(7, AAA, "233")


def word(reply: replies.Reply) -> str:
    """A message as a word; empty where no test is about it."""
    match reply:
        case replies.Error(code=code) if code not in (2104, 2106, 2158):
            return f"error {code}"
        case replies.Execution():
            return f"fill {reply.order_id} {reply.exec_id[-8:]} {reply.shares:g} at {reply.price:g}"
        case replies.Commission():
            return f"commission {reply.exec_id[-8:]}"
        case replies.OrderStatus():
            return f"{reply.status} {reply.order_id}"
        case replies.TickString(type=48):
            return f"trade {float(reply.value.split(';')[0]):g}"
    return ""


def heard_of(scenario: str, script: Mapping[int, Sequence[Request]], again: Sequence[Request] = ()) -> Heard:
    """What a client in lockstep hears that asks by second; where it is disconnected it comes back and asks ``again``."""
    heard: Heard = []

    async def play() -> None:
        async with Served(scenario, lockstep=[1], tape=TAPE, settings=SETTINGS) as served:
            peer, todo, second = await served.peer().shake(), dict(script), 0
            peer.ask(requests.StartApi(1))
            read = 0
            first: Sequence[Request] = ()
            while second < SECONDS - 1:
                try:
                    marker = await peer.until(lambda each: isinstance(each, replies.Time))
                except ConnectionResetError:
                    heard.append((second, "disconnected"))
                    peer, read = await served.peer().shake(), 0
                    peer.ask(requests.StartApi(1))
                    first = again
                    continue
                assert isinstance(marker, replies.Time)
                second = marker.seconds - START // NS_PER_S
                heard.extend((second, found) for each in peer.seen[read:] if (found := word(each)))
                read = len(peer.seen)
                peer.ask(*first, *todo.pop(second, ()), requests.CurrentTime())
                first = ()

    within(play)
    return heard


def twice(*arguments: Any) -> Heard:
    """The same twice, which must be heard the same."""
    first = heard_of(*arguments)
    assert first == heard_of(*arguments)
    return first


def fills(heard: Heard) -> list[str]:
    return [text for _, text in heard if text.startswith("fill")]


def test_without_faults_a_market_order_fills_at_the_next_trade() -> None:
    heard = twice("", {3: [buy(1)]})
    assert [each for each in heard if each[1].startswith(("fill", "commission"))] == [
        (3, "fill 1 01.01.01 100 at 10.07"), (3, "commission 01.01.01"),
    ]  # fmt: skip


def test_the_market_waits_for_a_client_that_was_disconnected_and_no_fill_is_lost() -> None:
    again = [requests.Executions(9), requests.OpenOrders()]
    fault = '[[fault]]\nkind = "disconnect"\nafter = "5s"'
    heard = twice(fault, {2: [buy(1, type="LMT", limit_price=10.05), buy(2, type="STP", aux_price=10.16)]}, again)
    assert (4, "disconnected") in heard, "instead of the marker of the fifth second"
    back = heard[heard.index((4, "disconnected")) :]
    assert [each for each in back if "Submitted" in each[1]] == [(5, "Submitted 1"), (5, "PreSubmitted 2")]
    assert fills(heard) == fills(back) == ["fill 2 01.01.01 100 at 10.16"]


@pytest.mark.parametrize(("data_lost", "code"), [("false", 1102), ("true", 1101)])
def test_fills_go_on_while_connectivity_is_lost_and_are_told_with_its_return(data_lost: str, code: int) -> None:
    fault = f'[[fault]]\nkind = "connectivity"\nafter = "4s"\nfor = "4s"\ndata_lost = {data_lost}'
    heard = twice(fault, {2: [SUBSCRIBE, buy(1, type="STP", aux_price=10.12)]})
    told = [(second, text) for second, text in heard if text.startswith(("error 11", "fill", "commission"))]
    assert told == [
        (4, "error 1100"), (8, f"error {code}"), (8, "fill 1 01.01.01 100 at 10.12"), (8, "commission 01.01.01"),
    ]  # fmt: skip
    trades = [second for second, text in heard if text.startswith("trade")]
    assert max(each for each in trades if each < 8) == 4
    assert any(each > 8 for each in trades) is (data_lost == "false"), "lost data means lost subscriptions"


def test_a_fill_may_come_in_parts() -> None:
    heard = twice('[[fault]]\nkind = "partial"\nparts = 3', {3: [buy(1)]})
    assert fills(heard) == [
        "fill 1 01.01.01 33 at 10.07", "fill 1 02.01.01 33 at 10.07", "fill 1 03.01.01 34 at 10.07",
    ]  # fmt: skip
    assert sum(text.startswith("commission") for _, text in heard) == 3


def test_a_commission_may_come_seconds_late() -> None:
    heard = twice('[[fault]]\nkind = "delay"\nmessage = "commission"\nfor = "4s"', {3: [buy(1)]})
    assert [second for second, text in heard if text.startswith(("fill", "commission"))] == [3, 7]


def test_a_late_commission_may_be_dropped() -> None:
    heard = twice('[[fault]]\nkind = "drop"\nmessage = "commission"\nnth = 2', {3: [buy(1)], 5: [buy(2)]})
    assert len(fills(heard)) == 2
    assert sum(text.startswith("commission") for _, text in heard) == 1


@pytest.mark.parametrize(
    ("fault", "corrected"),
    [("correct", "fill 1 01.01.02 100 at 10.06"), ("bust", "fill 1 01.01.02 0 at 0")],
)
def test_an_execution_may_be_corrected_or_busted_a_second_later(fault: str, corrected: str) -> None:
    heard = twice(f'[[fault]]\nkind = "{fault}"', {3: [buy(1)]})
    assert fills(heard) == ["fill 1 01.01.01 100 at 10.07", corrected]


def test_the_executions_of_two_orders_may_change_places() -> None:
    script = {3: [buy(1), buy(2)]}
    plain, swapped = twice("", script), twice(
        '[[fault]]\nkind = "reorder"\nmessage = "execution"\nbehind = "execution"', script
    )  # fmt: skip
    assert [text.split()[1] for text in fills(plain)] == ["1", "2"]
    assert fills(swapped) == fills(plain)[::-1]


def test_one_trade_may_be_skipped_for_one_client_() -> None:
    trades = {}
    for fault in ("", '[[fault]]\nkind = "drop"\nmessage = "rt-volume"\nclient = 1\nnth = 3\nafter = "3s"'):
        heard = twice(fault, {2: [SUBSCRIBE]})
        trades[fault] = [text for _, text in heard if text.startswith("trade")]
    plain, skipped = trades.values()
    assert [each for each in plain if each not in skipped] == ["trade 10.08"]
    assert len(skipped) == len(plain) - 1


def test_a_scenario_that_drops_all_messages_does_not_drop_markers() -> None:
    heard = twice('[[fault]]\nkind = "drop"\nmessage = "any"\ncount = 0', {2: [SUBSCRIBE, buy(1)]})
    assert heard == []


def test_one_tick_by_tick_trade_may_be_skipped() -> None:
    prices = {}
    for fault in ("", '[[fault]]\nkind = "drop"\nmessage = "tick-last"\nnth = 4'):
        seen: list[float] = []

        async def play(fault: str = fault, seen: list[float] = seen) -> None:
            async with Served(fault, lockstep=[1], tape=TAPE, settings=SETTINGS) as served:
                peer = await served.peer().shake()
                peer.ask(requests.StartApi(1), requests.TickByTick(3, AAA, "AllLast"))
                for _ in range(2 * SECONDS):
                    await peer.until(lambda each: isinstance(each, replies.Time))
                    peer.ask(requests.CurrentTime())
                seen += [each.price for each in peer.seen if isinstance(each, replies.TickLast)]

        within(play)
        prices[fault] = seen
    plain, skipped = prices.values()
    assert len(skipped) > 10
    assert plain[:3] == skipped[:3]
    assert plain[4:10] == skipped[3:9]
