"""A run as a person sees it, put together while it runs on a simulated gateway in step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backtests.settings import Settings
from brokers.ib.events import OrderChanged
from feeds.load import DataOptions, load_tape
from papertape import Strategy, Trade
from papertape.core.model import NS_PER_S, OrderStatus
from papertape.core.series import Tape
from papertape.live.assembly import LiveRun
from papertape.live.journal import read_journal
from papertape.live.overview import Overview
from papertape.live.settings import AtEnd, LiveSettings
from papertape.live.simulated import paper_run, paper_settings, serve_tape
from papertape.live.status import LiveStatus, LogKind, RunState
from papertape.moments import time_text
from tests.cli.conftest import write_trades

END = "2024-06-03T09:30:30"


class Buys(Strategy):
    """Buys once, and has an order that rests."""

    def on_start(self) -> None:
        self.subscribe(self.symbols)
        self.given = False

    def on_trade(self, trade: Trade) -> None:
        if not self.given:
            self.given = True
            self.log(f"buying {trade.symbol}")
            self.buy(trade.symbol, 10)
            self.buy(trade.symbol, 5, limit=50.0)


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    folder = tmp_path_factory.mktemp("tape")
    write_trades(folder / "AAA.csv", {20: 0.06})
    return load_tape(folder, DataOptions(cache=False))


def played(
    tape: Tape, out: Path, watch: Callable[[LiveRun, Overview], Callable[[], None]], **settings: object
) -> LiveRun:
    live = paper_settings(LiveSettings(**settings))  # type: ignore[arg-type]
    simulated = Settings(end=END)
    with serve_tape(tape, simulated, live, allow_short=False) as gateway:
        run = paper_run(Buys(), tape, gateway, live, simulated, out=out)
        overview = Overview(run)
        run.parts.adapter.observe = lambda happened, now: overview.heard(happened)
        run.engine.look = watch(run, overview)
        run.run()
    return run


@pytest.fixture(scope="module")
def seen(tape: Tape, tmp_path_factory: pytest.TempPathFactory) -> list[LiveStatus]:
    found: list[LiveStatus] = []

    def watch(run: LiveRun, overview: Overview) -> Callable[[], None]:
        return lambda: found.append(overview.status())

    played(tape, tmp_path_factory.mktemp("runs"), watch)
    return found


def test_it_begins_at_the_exchanges_time_before_anything_is_known(seen: list[LiveStatus]) -> None:
    first = seen[0]
    assert first.state == RunState.STARTING
    assert first.net_liquidation != first.net_liquidation
    assert first.pnl != first.pnl
    assert time_text(first.exchange_ts, first.zone) == "2024-06-03 09:30:00 EDT"


def test_it_shows_what_is_held_what_works_and_what_was_filled(seen: list[LiveStatus]) -> None:
    last = seen[-1]
    (position,), (order,), (fill,) = last.positions, last.orders, last.fills
    assert (position.symbol, position.quantity, position.average_cost, position.mark) == ("AAA", 10.0, 100.0, 106.0)
    assert (order.number, order.symbol, order.quantity, order.terms) == (2, "AAA", 5.0, "LIMIT 50 DAY")
    assert (fill.side, fill.quantity, fill.price, fill.fee) == ("BUY", 10.0, 100.0, 1.0)
    assert (last.orders_given, last.fills_heard) == (2, 1)


def test_the_result_is_the_runs_own_net_of_fees(seen: list[LiveStatus]) -> None:
    assert seen[-1].pnl == pytest.approx(10 * 6.0 - 1.0)
    assert seen[-1].net_liquidation == pytest.approx(100_059.0)
    assert (seen[-1].unrealised, seen[-1].realised, seen[-1].fees) == (60.0, 0.0, 1.0)


def test_a_halt_has_its_time_and_what_was_lost_is_counted(tape: Tape, tmp_path: Path) -> None:
    found: list[LiveStatus] = []

    def watch(run: LiveRun, overview: Overview) -> Callable[[], None]:
        def look() -> None:
            if len(found) == 4:
                run.parts.adapter.halt("enough")
                run.parts.inbox.lost = 3
            found.append(overview.status())

        return look

    played(tape, tmp_path, watch)
    assert (found[3].halt_ts, found[3].data_lost) == (0, 0)
    assert found[-1].halt == "enough"
    assert found[3].exchange_ts <= found[-1].halt_ts <= found[5].exchange_ts
    assert found[-1].data_lost == 3


def test_data_that_are_followed_in_step_are_never_stale(seen: list[LiveStatus]) -> None:
    assert [line.symbol for status in seen for line in status.data if line.is_stale] == []
    assert [(line.symbol, line.kind, line.source) for line in seen[-1].data] == [("AAA", "live", "AllLast")]


def test_events_are_those_of_the_market(seen: list[LiveStatus]) -> None:
    assert seen[-1].events == 31


def test_the_log_is_in_the_order_of_happening(seen: list[LiveStatus]) -> None:
    log = seen[-1].log
    assert [line.ts for line in log] == sorted(line.ts for line in log)
    kinds = [line.kind for line in log]
    assert kinds.index(LogKind.LINK) < kinds.index(LogKind.STRATEGY) < kinds.index(LogKind.FILL)
    assert [line.number for line in log] == list(range(1, len(log) + 1))


def test_an_order_that_tws_ends_is_said_with_its_words(tape: Tape, tmp_path: Path) -> None:
    found: list[LiveStatus] = []

    def watch(run: LiveRun, overview: Overview) -> Callable[[], None]:
        overview.heard([OrderChanged(1, OrderStatus.REJECTED, 5, "201: no"), OrderChanged(2, OrderStatus.SUBMITTED, 6)])
        return lambda: found.append(overview.status())

    played(tape, tmp_path, watch)
    assert [line.text for line in found[-1].log if line.kind == LogKind.ORDER] == ["order 1 rejected: 201: no"]


def test_why_an_order_was_given_is_in_the_journal_soon_after_it(tape: Tape, tmp_path: Path) -> None:
    run = played(tape, tmp_path, lambda run, overview: lambda: None)
    _, rows = read_journal(run.folder)
    ordered = next(each.ts for each in rows if each.kind == "Intended")
    said = next(each.ts for each in rows if each.kind == "Said" and b"buying AAA" in each.body)
    assert said - ordered <= NS_PER_S


def test_a_run_that_ends_says_so_and_what_is_kept_still_works(tape: Tape, tmp_path: Path) -> None:
    overviews: list[Overview] = []

    def watch(run: LiveRun, overview: Overview) -> Callable[[], None]:
        overviews.append(overview)
        return lambda: None

    run = played(tape, tmp_path, watch, at_end=AtEnd.KEEP)
    status = overviews[0].status()
    assert status.state == RunState.ENDING
    assert run.remaining_texts() == ["order 2, BUY 5 AAA LIMIT 50"]
