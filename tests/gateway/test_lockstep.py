"""Lockstep: the market waits for its clients, and what they ask takes effect in an order that does not depend on chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clients import Client
from gateway.lockstep import MOST_PENDING, Lockstep
from gateway.protocol import requests
from gateway.protocol.replies import Execution, OrderStatus, Reply, TickPrice, Time
from gateway.protocol.requests import CurrentTime, MarketData, PlaceOrder, Request, StartApi
from papertape.core.errors import ConfigError, PeerError
from papertape.core.timers import NEVER
from tests.brokers.tapes import OPEN, S, ns, trades
from tests.gateway.desk import VERSION, Desk, fills, order, stock, told

TAPE = trades("AAPL", *((k + 1, 100.0 + k) for k in range(8)))


class Rounds:
    """A Tws in lockstep with some clients, whose answers come in an order of the test's choice."""

    def __init__(self, *ids: int, series: Any = TAPE, **settings: Any) -> None:
        self.desk = Desk(*(series if isinstance(series, list) else [series]), start=ns(0.5), **settings)
        self.desk.tws.disconnect(self.desk.one)
        self.tws = self.desk.tws
        self.lockstep = Lockstep(self.tws, ids)
        self.clients: dict[int, Client] = {}

    def join(self, client_id: int) -> list[Reply]:
        client = self.tws.connect(VERSION)
        self.clients[client_id] = client
        return self.ask(client_id, StartApi(client_id))

    def ask(self, client_id: int, request: Request) -> list[Reply]:
        self.lockstep.request(self.clients[client_id], request)
        return self.heard(client_id)

    def heard(self, client_id: int) -> list[Reply]:
        return self.desk.heard(self.clients[client_id])

    def answer(self, apply_due: Callable[[], bool] = lambda: False, due_ts: int = NEVER) -> None:
        """Everybody answers, and turns are made to the next marker."""
        for each in self.clients:
            self.ask(each, CurrentTime())
        while self.lockstep.is_ready and not self.lockstep.is_over:
            self.lockstep.turn(apply_due, due_ts)

    def second(self) -> float:
        return (self.tws.now - OPEN) / S


def test_each_step_ends_with_one_marker_and_the_market_waits_for_its_answer():
    rounds = Rounds(1)
    assert rounds.join(1)[-1] == Time(rounds.tws.now // S)
    assert not rounds.lockstep.is_ready
    rounds.answer()
    assert rounds.second() == 1.0
    assert [each for each in rounds.heard(1) if isinstance(each, Time)] == [Time((OPEN + S) // S)]
    assert not rounds.lockstep.is_ready
    rounds.answer()
    assert rounds.second() == 2.0


def test_seconds_without_events_are_steps_too():
    rounds = Rounds(1, series=trades("AAPL", (1, 100.0), (4.5, 101.0)))
    rounds.join(1)
    seen = []
    for _ in range(5):
        rounds.answer()
        seen.append(rounds.second())
    assert seen == [1.0, 2.0, 3.0, 4.0, 5.0], "that at 4.5 tells it nothing"


def test_the_market_waits_until_every_client_is_there():
    rounds = Rounds(1, 2)
    rounds.join(1)
    rounds.ask(1, CurrentTime())
    assert not rounds.lockstep.is_ready
    assert rounds.lockstep.waiting_for() == [2]
    rounds.join(2)
    rounds.ask(2, CurrentTime())
    assert rounds.lockstep.is_ready


def test_a_round_that_brought_a_request_does_not_let_time_pass():
    rounds = Rounds(1)
    rounds.join(1)
    rounds.answer()
    rounds.heard(1)
    assert rounds.ask(1, PlaceOrder(1, stock(), order("BUY", 10))) == [], "it waits for the round's end"
    before = rounds.second()
    rounds.answer()
    heard = rounds.heard(1)
    assert told(heard) == ["openOrder PreSubmitted", "orderStatus PreSubmitted", "Time"]
    assert rounds.second() == before
    rounds.answer()
    assert fills(rounds.heard(1)) == [(10.0, 101.0)]


def test_requests_take_effect_in_the_order_of_client_id_then_arrival():
    for first, second in ((1, 2), (2, 1)):
        rounds = Rounds(1, 2, series=trades("AAPL", (1, 100.0, 100.0), (2, 101.0, 100.0), (3, 102.0, 100.0)))
        for each in (1, 2):
            rounds.join(each)
        rounds.answer()
        for each in (first, second):
            rounds.ask(each, PlaceOrder(1, stock(), order("BUY", each)))
            rounds.ask(each, PlaceOrder(2, stock(), order("BUY", 10 + each)))
        rounds.answer()
        perm_ids = {key: each.perm_id for key, each in rounds.tws.orders.entries.items()}
        assert sorted(perm_ids, key=perm_ids.__getitem__) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_what_comes_after_an_answer_belongs_to_the_next_round():
    rounds = Rounds(1, 2)
    for each in (1, 2):
        rounds.join(each)
    rounds.answer()
    rounds.ask(1, CurrentTime())
    rounds.ask(1, PlaceOrder(1, stock(), order("BUY", 10)))
    rounds.ask(2, CurrentTime())
    rounds.lockstep.turn()
    assert rounds.second() == 2.0, "nobody had asked for anything when that round ended"
    assert not rounds.tws.orders.entries
    rounds.answer()
    assert rounds.second() == 2.0
    assert len(rounds.tws.orders.entries) == 1


def test_a_second_answer_to_one_marker_is_a_fault_of_the_client():
    rounds = Rounds(1)
    rounds.join(1)
    rounds.ask(1, CurrentTime())
    with pytest.raises(PeerError, match="answered a marker twice"):
        rounds.ask(1, CurrentTime())


def test_a_client_may_not_ask_without_end():
    rounds = Rounds(1)
    rounds.join(1)
    for _ in range(MOST_PENDING):
        rounds.ask(1, requests.NextId())
    with pytest.raises(PeerError, match="more than"):
        rounds.ask(1, requests.NextId())


def test_other_clients_are_served_at_once_and_never_waited_for():
    rounds = Rounds(1)
    rounds.join(1)
    rounds.join(9)
    assert rounds.ask(9, CurrentTime()) == [Time(rounds.tws.now // S)]
    rounds.ask(1, CurrentTime())
    assert rounds.lockstep.is_ready


def test_the_market_waits_for_a_client_that_comes_again():
    rounds = Rounds(1)
    rounds.join(1)
    rounds.answer()
    rounds.tws.disconnect(rounds.clients[1])
    rounds.lockstep.disconnected(rounds.clients[1])
    assert not rounds.lockstep.is_ready
    assert isinstance(rounds.join(1)[-1], Time)
    rounds.answer()
    assert rounds.second() == 2.0


def test_after_the_tape_requests_are_answered_at_once():
    rounds = Rounds(1)
    rounds.join(1)
    while not rounds.lockstep.is_over:
        rounds.answer()
    rounds.heard(1)
    assert rounds.ask(1, CurrentTime()) == [Time(rounds.tws.now // S)]


def test_the_last_marker_has_its_round_too():
    rounds = Rounds(1)
    rounds.join(1)
    while rounds.tws.next_ts != NEVER:
        rounds.answer()
    assert isinstance(rounds.heard(1)[-1], Time)
    assert rounds.ask(1, PlaceOrder(1, stock(), order("BUY", 10, "LMT", limit_price=1.0, tif="GTC"))) == []
    rounds.answer()
    assert told(rounds.heard(1)) == ["error 399", "openOrder PreSubmitted", "orderStatus PreSubmitted", "Time"]
    rounds.answer()
    assert rounds.heard(1) == [], "nothing follows the last answer"
    assert rounds.lockstep.is_over


UNEVEN = trades("AAPL", *((k, 100.0 + k) for k in (1, 1.2, 1.4, 1.6, 2.3, 2.5)))


def test_steps_that_tell_a_client_nothing_pass_without_a_marker_up_to_the_next_second():
    rounds = Rounds(1, series=UNEVEN)
    rounds.join(1)
    seen = []
    for _ in range(3):
        rounds.answer()
        seen.append(rounds.second())
    assert seen == [1.0, 2.0, 3.0]
    assert rounds.lockstep.steps == 5, "what nobody hears between two seconds is one step"
    assert rounds.lockstep.rounds == 3


def test_steps_that_tell_a_client_something_end_with_a_marker_each():
    rounds = Rounds(1, 2, series=UNEVEN)
    for each in (1, 2):
        rounds.join(each)
    rounds.ask(2, MarketData(1, stock()))
    seen = []
    for _ in range(8):
        rounds.answer()
        seen.append(rounds.second())
    assert seen == [0.5, 1.0, 1.2, 1.4, 1.6, 2.0, 2.3, 2.5]


def test_a_fill_of_what_nobody_watches_is_told_with_all_that_happened_at_its_time_and_nothing_later():
    aapl = trades("AAPL", (1, 100.0), (1.2, 101.0), (1.4, 102.0), (1.6, 103.0))
    msft = trades("MSFT", (1, 50.0), (1.3, 51.0), (1.4, 52.0), (1.8, 53.0))
    rounds = Rounds(1, series=[aapl, msft])
    rounds.join(1)
    rounds.answer()
    rounds.ask(1, PlaceOrder(1, stock("AAPL"), order("BUY", 10, "STP", aux_price=102.0)))
    rounds.ask(1, PlaceOrder(2, stock("MSFT"), order("BUY", 10, "STP", aux_price=52.0)))
    rounds.answer()
    rounds.heard(1)
    rounds.answer()
    assert rounds.second() == 1.4
    assert fills(rounds.heard(1)) == [(10.0, 102.0), (10.0, 52.0)]
    assert rounds.tws.next_ts == OPEN + round(1.6 * S)


def test_a_fill_is_told_at_the_step_that_it_happened_at():
    rounds = Rounds(1, series=UNEVEN)
    rounds.join(1)
    rounds.answer()
    rounds.ask(1, PlaceOrder(1, stock(), order("BUY", 10, "LMT", limit_price=101.3)))
    rounds.ask(1, PlaceOrder(2, stock(), order("BUY", 10, "STP", aux_price=101.5)))
    rounds.answer()
    rounds.heard(1)
    rounds.answer()
    assert rounds.second() == 1.2
    assert fills(rounds.heard(1)) == [(10.0, 101.2)]
    rounds.answer()
    assert rounds.second() == 1.6
    assert fills(rounds.heard(1)) == [(10.0, 101.6)]


def test_what_is_due_beside_the_market_comes_before_the_marker_of_its_step():
    rounds = Rounds(1, series=UNEVEN)
    rounds.join(1)
    rounds.answer()
    rounds.heard(1)

    def apply_due() -> bool:
        if is_due := rounds.second() == 1.4:
            rounds.clients[1].error(-1, 2103, "a farm", rounds.tws.now)
        return is_due

    rounds.answer(apply_due, OPEN + round(1.4 * S))
    assert rounds.second() == 1.4
    assert told(rounds.heard(1)) == ["error 2103", "Time"]


@given(
    st.lists(st.integers(1, 6_000), min_size=4, max_size=40, unique=True),
    st.randoms(use_true_random=False),
)
def test_what_a_client_does_comes_to_the_same_with_a_marker_after_every_step(
    thousandths: list[int], rng: random.Random
):
    """It trades both instruments at what it hears of one; most steps are of the other, which it does not watch."""
    rows: dict[str, list[tuple[float, ...]]] = {"AAPL": [], "MSFT": []}
    for k in sorted(thousandths):
        rows[rng.choice(["AAPL", "MSFT", "MSFT"])].append((1 + k / 1000, 100.0 + rng.randint(-3, 3), 30.0))
    series = [trades(name, *each) for name, each in rows.items() if each]
    assert heard_of(series, lambda: False) == heard_of(series, lambda: True, 0)


def heard_of(series: list[Any], apply_due: Callable[[], bool], due_ts: int = NEVER) -> list[str]:
    rounds = Rounds(1, series=series)
    rounds.join(1)
    watched = series[0].symbol
    rounds.ask(1, MarketData(1, stock(watched)))
    told_to: list[str] = []
    next_id = 1
    while rounds.second() < 10.0:
        rounds.answer(apply_due, due_ts)
        heard = rounds.heard(1)
        told_to += [f"{rounds.second()} {each!r}" for each in heard if not isinstance(each, Time)]
        for each in heard:
            if isinstance(each, TickPrice) and each.type == 4 and next_id < 9:
                terms = [order("BUY", 5), order("BUY", 7, "LMT", limit_price=each.price - 1.0), order("SELL", 3)]
                rounds.ask(1, PlaceOrder(next_id, stock(series[next_id % len(series)].symbol), terms[next_id % 3]))
                next_id += 1
    return told_to


@pytest.mark.parametrize("ids", [(), (1, 1)])
def test_lockstep_needs_client_ids_each_once(ids: tuple[int, ...]):
    with pytest.raises(ConfigError, match="each once"):
        Lockstep(Desk(TAPE).tws, ids)


def heard_in(seed: int, chaos: int) -> list[list[str]]:
    """What three clients hear of a day of random orders (by ``seed``), their requests arriving in an order by ``chaos``."""
    rng, shuffled = random.Random(seed), random.Random(chaos)
    rounds = Rounds(1, 2, 3, series=trades("AAPL", *((k + 1, 100.0 + rng.randint(-3, 3), 30.0) for k in range(8))))
    for each in (1, 2, 3):
        rounds.join(each)
    next_id = dict.fromkeys((1, 2, 3), 1)
    told_to: dict[int, list[str]] = {1: [], 2: [], 3: []}
    for _ in range(24):
        asked: list[tuple[int, Request]] = []
        for each in (1, 2, 3):
            for _ in range(rng.randint(0, 2)):
                terms = order(
                    rng.choice(["BUY", "SELL"]), rng.randint(1, 9), "LMT", limit_price=100.0 + rng.randint(-2, 2)
                )
                asked.append((each, PlaceOrder(next_id[each], stock(), terms)))
                next_id[each] += 1
        queues = {each: [request for owner, request in asked if owner == each] for each in (1, 2, 3)}
        while any(queues.values()):
            each = shuffled.choice([each for each, queue in queues.items() if queue])
            rounds.ask(each, queues[each].pop(0))
        answering = [1, 2, 3]
        shuffled.shuffle(answering)
        for each in answering:
            rounds.ask(each, CurrentTime())
        rounds.lockstep.turn()
        for each in (1, 2, 3):
            told_to[each] += [repr(reply) for reply in rounds.heard(each)]
    return [told_to[each] for each in (1, 2, 3)]


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_what_clients_hear_does_not_depend_on_when_their_requests_arrive(seed: int, chaos: int):
    first = heard_in(seed, 0)
    assert any("Execution(" in each or "OrderStatus(" in each for heard in first for each in heard)
    assert first == heard_in(seed, chaos)


def test_the_random_day_has_fills_and_resting_orders():
    heard = [each for client in heard_in(4, 0) for each in client]
    assert any(each.startswith(Execution.__name__) for each in heard)
    assert any(each.startswith(OrderStatus.__name__) and "Submitted" in each for each in heard)
