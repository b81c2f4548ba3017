"""Bars of live instruments, against plain records: past ones, then each as it is over, every interval once."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.ib.commands import AskHistory, StopHistory
from brokers.ib.events import BarClosed, PastBars
from brokers.ib.history_pacing import HistoryLimits, HistoryPacing
from brokers.ib.intervals import DAY_NS, HOUR_NS, MINUTE_NS, bar_end, bar_start, warm_up_length
from brokers.ib.records import (
    Connected,
    ContractRecord,
    Disconnected,
    ErrorMessage,
    HistoryBar,
    HistoryEnd,
    HistoryUpdate,
)
from papertape.core.errors import UserError
from papertape.core.model import NS_PER_S
from papertape.core.timers import NEVER
from tests.brokers.ib.asked import NOW, Asked, calendar
from tests.gateway.june import at


def bar(request: int, start: int, close: float = 10.0, volume: float = 100.0, kind: type = HistoryBar) -> Any:
    return kind(request, str(start // NS_PER_S), 10.0, 11.0, 9.0, close, volume, 10.0, 5)


def minutes_to(end: int, count: int) -> list[int]:
    return [end - k * MINUTE_NS for k in range(count, 0, -1)]


def following(*js: int, warmup: int = 0, told: int = 5, **settings: Any) -> tuple[Asked, dict[int, int]]:
    """Minute bars of instruments, asked for ten seconds after ten, with ``told`` past ones and the present one."""
    asked = Asked(**settings)
    asked.now += 10 * NS_PER_S
    for j in js:
        asked.market.watch_bars(j, MINUTE_NS, warmup, asked.now)
    requests = {j: each.request_id for j, each in zip(js, asked.commands()[1:], strict=True)}
    for request in requests.values():
        asked.tell(*(bar(request, start) for start in minutes_to(NOW, told)), bar(request, NOW))
        asked.tell(HistoryEnd(request, "", ""))
    asked.settle()
    return asked, requests


def closed(asked: Asked) -> list[tuple[int, int, float]]:
    """Instrument, start in minutes since ten o'clock, and close, of bars that went out."""
    return [(each.instrument, (each.start - NOW) // MINUTE_NS, each.close) for each in asked.taken(BarClosed)]


def test_bars_are_asked_for_with_the_past_that_a_warm_up_needs_and_kept_up_to_date():
    asked = Asked()
    asked.market.watch_bars(0, MINUTE_NS, 50, asked.now)
    command = asked.commands()[-1]
    assert isinstance(command, AskHistory)
    assert (command.bar, command.what, command.keep_up_to_date, command.end) == ("1 min", "TRADES", True, "")
    days, unit = command.duration.split()
    assert unit == "D"
    assert int(days) >= 2


def test_a_length_that_tws_does_not_have_is_refused_in_one_line():
    with pytest.raises(UserError, match="no bars of 420 s; it has"):
        Asked().market.watch_bars(0, 7 * MINUTE_NS, 0, NOW)


def test_a_warm_up_is_the_last_bars_that_were_over():
    asked, _ = following(0, warmup=3)
    [past] = asked.take()
    assert isinstance(past, PastBars)
    assert [(each.start - NOW) // MINUTE_NS for each in past.bars] == [-3, -2, -1]
    assert all(each.is_history and each.ts == each.start + MINUTE_NS for each in past.bars)


def test_without_a_warm_up_nothing_past_is_told():
    asked, _ = following(0)
    assert asked.take() == []


def test_a_bar_is_over_when_a_later_one_is_told():
    asked, requests = following(0)
    asked.until(59.0)
    asked.tell(bar(requests[0], NOW, 10.7, kind=HistoryUpdate))
    asked.until(60.0)
    asked.tell(bar(requests[0], NOW + MINUTE_NS, 10.8, kind=HistoryUpdate))
    asked.settle()
    [told] = asked.take()
    assert (told.start, told.ts, told.received_ts, told.close) == (NOW, NOW + MINUTE_NS, asked.now, 10.7)
    assert not told.is_history


def test_a_bar_is_over_some_seconds_after_its_end_even_if_nothing_is_told():
    asked, _ = following(0)
    asked.until(61.0)
    assert asked.take() == []
    assert asked.market.next_due(asked.now) == NOW + MINUTE_NS + 2 * NS_PER_S
    asked.wait(1.0)
    assert closed(asked) == [(0, 0, 10.0)]
    asked.wait(300.0)
    assert asked.take() == []


def test_a_last_change_within_the_grace_counts_and_a_later_one_is_counted_as_late():
    asked, requests = following(0)
    asked.until(61.0)
    asked.tell(bar(requests[0], NOW, 10.9, kind=HistoryUpdate))
    asked.wait(1.0)
    assert closed(asked) == [(0, 0, 10.9)]
    asked.tell(bar(requests[0], NOW, 5.0, kind=HistoryUpdate))
    asked.wait(1.0)
    assert asked.take() == []


def test_bars_of_one_end_go_out_together_in_the_order_of_the_instruments():
    asked, requests = following(2, 0, 1)
    asked.until(60.0)
    for j in (1, 2):
        asked.tell(bar(requests[j], NOW + MINUTE_NS, kind=HistoryUpdate))
    asked.settle()
    assert asked.take() == [], "one is not over yet"
    asked.wait(2.0)
    assert [j for j, _, _ in closed(asked)] == [0, 1, 2]


def test_a_cross_section_does_not_wait_when_all_are_over():
    asked, requests = following(0, 1)
    asked.until(60.0)
    for request in requests.values():
        asked.tell(bar(request, NOW + MINUTE_NS, kind=HistoryUpdate))
    asked.settle()
    assert [j for j, _, _ in closed(asked)] == [0, 1]


def test_warm_ups_that_were_asked_for_at_one_time_come_as_one_in_order_of_time():
    asked = Asked()
    asked.now += 10 * NS_PER_S
    for j in (0, 1):
        asked.market.watch_bars(j, MINUTE_NS, 2, asked.now)
    first, second = (each.request_id for each in asked.commands()[1:])
    asked.tell(*(bar(second, start) for start in minutes_to(NOW, 3)), HistoryEnd(second, "", ""))
    asked.wait(1.0)
    assert asked.take() == [], "the other one is not there yet"
    asked.tell(*(bar(first, start) for start in minutes_to(NOW, 3)), HistoryEnd(first, "", ""))
    [past] = asked.take()
    assert [((each.start - NOW) // MINUTE_NS, each.instrument) for each in past.bars] == [
        (-2, 0),
        (-2, 1),
        (-1, 0),
        (-1, 1),
    ]


def test_a_bar_that_ends_while_the_past_is_on_its_way_is_heard_after_it_and_is_no_history():
    asked = Asked()
    asked.now += 58 * NS_PER_S
    asked.market.watch_bars(0, MINUTE_NS, 2, asked.now)
    request = asked.commands()[-1].request_id
    asked.wait(10.0)
    starts = [*minutes_to(NOW, 3), NOW, NOW + MINUTE_NS]
    asked.tell(*(bar(request, start) for start in starts), HistoryEnd(request, "", ""))
    asked.settle()
    past, told = asked.take()
    assert [(each.start - NOW) // MINUTE_NS for each in past.bars] == [-2, -1]
    assert (told.start, told.is_history) == (NOW, False)


def test_after_a_break_what_was_missed_is_told_once_and_late():
    asked, requests = following(0, warmup=2)
    asked.until(62.0)
    assert closed(asked) == [(0, 0, 10.0)]
    asked.tell(Disconnected("gone"), Connected(200, ""))
    asked.wait(180.0)
    asked.market.resubscribe(asked.now)
    again = asked.commands()[-1].request_id
    assert again != requests[0]
    starts = [*minutes_to(NOW, 5), *(NOW + k * MINUTE_NS for k in range(5))]
    asked.tell(*(bar(again, start) for start in starts), HistoryEnd(again, "", ""))
    asked.settle()
    assert closed(asked) == [(0, 1, 10.0), (0, 2, 10.0), (0, 3, 10.0)]
    asked.wait(60.0)
    assert closed(asked) == [(0, 4, 10.0)]


@given(st.lists(st.sampled_from(["update", "next", "wait", "break"]), max_size=25), st.booleans())
def test_whatever_happens_each_interval_is_told_once_in_order_and_none_is_left_out(steps: list[str], in_lockstep: bool):
    asked, requests = following(0, warmup=2, in_lockstep=in_lockstep)
    request, present = requests[0], 0
    told = [(each.start - NOW) // MINUTE_NS for event in asked.take() for each in event.bars]
    for step in steps:
        if step == "update":
            asked.tell(bar(request, NOW + present * MINUTE_NS, kind=HistoryUpdate))
        elif step == "next":
            present += 1
            asked.now = max(asked.now, NOW + present * MINUTE_NS)
            asked.tell(bar(request, NOW + present * MINUTE_NS, kind=HistoryUpdate))
        elif step == "wait":
            asked.now += 20 * NS_PER_S
            present = max(present, (asked.now - NOW) // MINUTE_NS)
            asked.tell(bar(request, NOW + present * MINUTE_NS, kind=HistoryUpdate))
        else:
            asked.tell(Disconnected("gone"), Connected(200, ""))
            asked.now += 90 * NS_PER_S
            asked.market.resubscribe(asked.now)
            asked.wait(15.0)
            request = asked.commands()[-1].request_id
            present = (asked.now - NOW) // MINUTE_NS
            asked.tell(
                *(bar(request, NOW + k * MINUTE_NS) for k in range(-5, present + 1)), HistoryEnd(request, "", "")
            )
        asked.settle()
        told += [start for _, start, _ in closed(asked)]
    asked.wait(120.0)
    told += [start for _, start, _ in closed(asked)]
    assert told == list(range(-2, present + 1))


def test_an_instrument_without_past_bars_is_followed_all_the_same():
    asked = Asked()
    asked.market.watch_bars(0, MINUTE_NS, 5, asked.now)
    request = asked.commands()[-1].request_id
    asked.tell(
        ErrorMessage(
            request, 162, "Historical Market Data Service error message:HMDS query returned no data: AAA@SMART Trades"
        )
    )
    asked.tell(bar(request, NOW, kind=HistoryUpdate))
    asked.until(62.0)
    assert closed(asked) == [(0, 0, 10.0)]


def test_a_refusal_is_told_and_others_no_longer_wait_for_it():
    asked = Asked()
    asked.now += 10 * NS_PER_S
    for j in (0, 1):
        asked.market.watch_bars(j, MINUTE_NS, 1, asked.now)
    first, second = (each.request_id for each in asked.commands()[1:])
    asked.tell(bar(second, NOW - MINUTE_NS), HistoryEnd(second, "", ""))
    asked.tell(
        ErrorMessage(first, 162, "Historical Market Data Service error message:No market data permissions for NYSE STK")
    )
    [past] = asked.take()
    assert [each.instrument for each in past.bars] == [1]
    assert past.failures == (
        (0, "Historical Market Data Service error message:No market data permissions for NYSE STK"),
    )


def test_a_history_that_never_comes_is_asked_for_again_and_then_given_up():
    asked = Asked()
    asked.market.watch_bars(0, MINUTE_NS, 1, asked.now)
    for _ in range(4):
        asked.wait(60.0)
    asks = [type(each) for each in asked.commands()[1:]]
    assert asks == [AskHistory, StopHistory, AskHistory, StopHistory, AskHistory, StopHistory]
    [past] = asked.take()
    assert past.failures[0][0] == 0
    assert "did not answer" in past.failures[0][1]


def test_a_pacing_violation_is_asked_for_again_later():
    asked = Asked()
    asked.market.watch_bars(0, MINUTE_NS, 1, asked.now)
    request = asked.commands()[-1].request_id
    asked.tell(
        ErrorMessage(
            request, 162, "Historical Market Data Service error message:Historical data request pacing violation"
        )
    )
    asked.wait(14.0)
    assert asked.commands() == []
    asked.wait(1.0)
    assert [each.request_id for each in asked.commands()] == [request]


def test_giving_bars_up_ends_the_request():
    asked, requests = following(0)
    asked.market.stop_bars(0, MINUTE_NS, asked.now)
    assert asked.commands() == [StopHistory(requests[0])]
    asked.tell(bar(requests[0], NOW + MINUTE_NS, kind=HistoryUpdate))
    asked.wait(100.0)
    assert asked.take() == []


def test_bars_mark_where_an_instrument_has_neither_trades_nor_quotes():
    asked, _ = following(0)
    asked.until(62.0)
    assert [each.marks for each in asked.taken(BarClosed)] == [True]


def test_servers_before_175_count_volumes_of_us_stocks_in_round_lots():
    asked, _ = following(0, warmup=1, version=157)
    [past] = asked.take()
    assert past.bars[0].volume == 10_000.0


@pytest.mark.parametrize(
    ("start", "interval", "end"),
    [
        ("9:30:00", MINUTE_NS, "9:31:00"), ("15:59:00", MINUTE_NS, "16:00:00"), ("9:30:00", HOUR_NS, "10:00:00"),
        ("15:00:00", HOUR_NS, "16:00:00"), ("9:30:00", DAY_NS, "16:00:00"), ("12:00:00", 4 * HOUR_NS, "16:00:00"),
        ("8:00:00", MINUTE_NS, "8:01:00"),
    ],
)  # fmt: skip
def test_a_bar_is_over_after_its_interval_or_with_its_session(start: str, interval: int, end: str):
    assert bar_end(at(4, start), interval, calendar()) == at(4, end)


def test_a_daily_bar_begins_with_its_session():
    assert bar_start("20240604", calendar()) == at(4, "9:30:00")
    assert bar_start(str(NOW // NS_PER_S), calendar()) == NOW
    assert bar_start("20240608", calendar()) == at(8, "0:00:00"), "a Saturday"


def test_a_warm_up_of_daily_bars_asks_for_one_session_more():
    assert warm_up_length(20, DAY_NS).sessions == 21
    assert warm_up_length(400, MINUTE_NS).sessions == 3
    assert warm_up_length(10, 5 * NS_PER_S).ns == HOUR_NS // 2


# -- pacing ---------------------------------------------------------------------------------------------------------


class Paced:
    """A pacing of which what was sent is kept, with when."""

    def __init__(self, **limits: Any) -> None:
        self.now = NOW
        self.sent: list[tuple[float, int]] = []
        self.pacing = HistoryPacing(self._send, dataclasses.replace(HistoryLimits(), **limits))

    def _send(self, command: Any) -> None:
        self.sent.append(((self.now - NOW) / NS_PER_S, command.request_id))

    def ask(self, request: int, symbol: str, duration: str = "1 D") -> bool:
        return self.pacing.put(AskHistory(request, ContractRecord(symbol=symbol), duration, "1 min"), self.now)

    def run(self) -> list[tuple[float, int]]:
        """Go on until nothing can be sent any more; each is answered at once."""
        while True:
            self.pacing.pass_time(self.now)
            for _, request in self.sent:
                self.pacing.ended(request)
            due = self.pacing.next_due(self.now)
            if due == NEVER:
                return self.sent
            self.now = max(due, self.now)


def test_histories_of_many_contracts_go_at_once():
    paced = Paced()
    for k in range(50):
        paced.ask(k, f"S{k}")
    assert paced.sent == [(0.0, k) for k in range(50)]


def test_no_identical_history_is_asked_for_within_fifteen_seconds():
    paced = Paced()
    paced.ask(1, "AAA")
    paced.ask(2, "AAA")
    assert paced.run() == [(0.0, 1), (15.0, 2)]


def test_fewer_than_six_go_for_one_contract_within_two_seconds():
    paced = Paced()
    for k in range(7):
        paced.ask(k, "AAA", f"{k + 1} D")
    assert [when for when, _ in paced.run()] == [0.0] * 5 + [2.0] * 2


def test_sixty_go_in_ten_minutes():
    paced = Paced()
    for k in range(130):
        paced.ask(k, f"S{k}")
    assert [when for when, _ in paced.run()] == [0.0] * 60 + [600.0] * 60 + [1200.0] * 10


def test_so_many_are_open_at_once_and_an_end_makes_room():
    paced = Paced(open=2)
    for k in range(3):
        paced.ask(k, f"S{k}")
    assert [request for _, request in paced.sent] == [0, 1]
    assert paced.pacing.next_due(paced.now) == NEVER
    paced.pacing.ended(0)
    paced.pacing.pass_time(paced.now)
    assert [request for _, request in paced.sent] == [0, 1, 2]


def test_what_waits_is_bounded():
    paced = Paced(open=0, waiting=2)
    assert [paced.ask(k, "AAA") for k in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    "told", [(10_182, "disconnected"), (162, "Historical Market Data Service error: no connection")]
)
def test_bars_that_end_while_tws_has_lost_the_exchange_are_asked_for_again_when_it_is_back(told: tuple[int, str]):
    asked, requests = following(0)
    for night in range(5):
        asked.tell(ErrorMessage(-1, 1100, "lost"), ErrorMessage(requests[0], *told))
        asked.wait(600.0)
        assert (asked.commands(), asked.taken(PastBars)) == ([], []), night
        asked.tell(ErrorMessage(-1, 1102, "restored, data maintained"))
        asked.settle()
        [again] = asked.commands()
        requests[0] = again.request_id
        asked.tell(bar(requests[0], asked.now - MINUTE_NS), HistoryEnd(requests[0], "", ""))
    assert asked.taken(PastBars) == []


def test_bars_that_are_on_their_way_when_tws_loses_the_exchange_are_not_given_up():
    asked = Asked()
    asked.market.watch_bars(0, MINUTE_NS, 5, asked.now)
    asked.tell(ErrorMessage(-1, 1100, "lost"))
    for _ in range(10):
        asked.wait(61.0)
    assert asked.taken(PastBars) == []
    asked.commands()
    asked.tell(ErrorMessage(-1, 1102, "restored, data maintained"))
    assert [type(each) for each in asked.commands()] == [AskHistory]


def test_live_updates_that_end_now_and_then_are_asked_for_again_each_time():
    asked, requests = following(0)
    for _ in range(6):
        asked.wait(60.0)
        asked.tell(ErrorMessage(requests[0], 10_182, "ended"))
        asked.settle()
        [again] = [each for each in asked.commands() if isinstance(each, AskHistory)]
        requests[0] = again.request_id
        asked.tell(bar(requests[0], asked.now), HistoryEnd(requests[0], "", ""))
    assert asked.taken(PastBars) == []


def test_a_history_that_came_too_soon_goes_before_those_that_wait():
    paced = Paced(open=1)
    paced.ask(1, "AAA")
    paced.ask(2, "BBB")
    paced.pacing.refused(1, paced.now)
    paced.now += 15 * NS_PER_S
    paced.pacing.pass_time(paced.now)
    assert [request for _, request in paced.sent] == [1, 1]
