"""Strategies written for backtrader in threads on a simulated gateway with faults: what they are told, what they know."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("backtrader", reason="backtrader is not installed: pip install '.[backtrader]'")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install '.[backtrader]'")
pytest.importorskip("ibapi", reason="the client of TWS's API is not installed: pip install '.[ib]'")

import backtrader as bt

from backtests.cerebro_hosted import hosted  # it needs both
from gateway.settings import DataPermission, GatewaySettings
from papertape.core.model import NS_PER_S, OrderStatus
from papertape.live.assembly import LiveRun, make_run
from papertape.live.preflight import look_at
from papertape.live.settings import Address, LiveSettings
from papertape.testing import start_gateway
from tests.backtests.hosted_strategies import Diary
from tests.live.faulty import Played, play, tape
from tests.live.test_faults import fault


class Trades(Diary):
    """Goes in and out again and again, with an order that rests; on each trade."""

    def next(self) -> None:
        self.note("next", len(self))
        n = len(self)
        if not self.orders:
            self.give(self.buy(size=3, exectype=bt.Order.Limit, price=1.0))
        elif n % 16 == 4:
            self.give(self.buy(size=10))
        elif n % 16 == 12 and self.position:
            self.give(self.close())


def played(
    out: Path, faults: str = "", theirs: Any = Trades, *, bars: str = "ticks", **options: Any
) -> tuple[Played, Any]:
    """A run that is over, and what their object noted. The books of the run, the account and backtrader agree."""
    strategy: Any = hosted(theirs)(bars=bars, allow_short=True)
    strategy.heard = []
    found = play(faults, out, strategy=strategy, **options)
    found.check()
    them = strategy.hosted
    for data in them.datas:
        assert them.broker.getposition(data).size == found.held.get(data._name, 0.0), found.said
    assert them.broker.getcash() == pytest.approx(found.cash, abs=0.01)
    return found, them


def statuses(diary: Any, symbol: str = "AAA") -> list[str]:
    return [status for _, name, status in diary.heard("data") if name == symbol]


def test_a_broken_connection_is_told_and_that_it_is_back(tmp_path: Path) -> None:
    lost = fault("connectivity", at="10:00:08", for_="5s")
    found, them = played(tmp_path, lost)
    assert statuses(them)[:4] == ["LIVE", "CONNBROKEN", "DELAYED", "LIVE"], (them.heard("data"), found.said)
    told = [state for _, _, state in them.heard("store")]
    assert told.index("lost") < told.index("ready")
    assert len(found.refs) >= 3


def test_a_socket_that_closes_is_told_and_executions_meanwhile_are_not_lost(tmp_path: Path) -> None:
    _, them = played(tmp_path, fault("disconnect", message="execution", nth=2), seconds=60.0)
    assert "CONNBROKEN" in statuses(them)
    assert statuses(them)[-1] == "LIVE"
    assert "down" in [state for _, _, state in them.heard("store")]
    assert them.statuses(1)[-1] == "Accepted", "what rests is cancelled when the run ends, after it has heard its last"


def test_a_commission_that_comes_late_is_added_to_order_and_trade(tmp_path: Path) -> None:
    found, them = played(tmp_path, fault("delay", message="commission", for_="12s", nth=1, count=2))
    assert any(fee == 0.0 for _, _, status, _, _, fee in them.heard("order") if status == "Completed")
    fees = found.run.parts.side.session.state.orders["fee"]
    them.broker.follow()  # while the run ended, a fee may have come after the strategy's end
    told = [number for number in range(1, len(them.orders) + 1) if "Completed" in them.statuses(number)]
    assert len(told) > 3
    paid = [them.orders[number - 1].executed.comm for number in told]
    assert paid == pytest.approx([float(fees[number - 1]) for number in told])
    assert sum(each.commission for each in them._trades[them.data][0]) == pytest.approx(sum(paid))


def test_a_halt_cancels_its_orders_and_it_hears_of_it(tmp_path: Path) -> None:
    def look(run: LiveRun) -> None:
        working = run.parts.adapter.ib.orders.working()
        if any(each.status is OrderStatus.SUBMITTED for each in working) and not run.parts.adapter.state.halted:
            run.parts.adapter.halt("by a person")

    _, them = played(tmp_path, look=look)
    assert them.statuses(1)[-1] == "Canceled"
    refused = [number for number in range(2, len(them.orders) + 1) if "Rejected" in them.statuses(number)]
    assert refused
    assert all("halted: by a person" in them.orders[number - 1].info["reason"] for number in refused)


def test_what_tws_refuses_is_rejected_with_its_words(tmp_path: Path) -> None:
    _, them = played(tmp_path, fault("reject", nth=2))
    rejected = [number for number in range(1, len(them.orders) + 1) if "Rejected" in them.statuses(number)]
    assert rejected == [2]
    assert them.orders[1].info["reason"]


def test_a_mistake_in_it_halts_the_run_and_is_raised(tmp_path: Path) -> None:
    class Broken(Trades):
        def notify_order(self, order: Any) -> None:
            raise ZeroDivisionError("a mistake in a strategy")

    with pytest.raises(ZeroDivisionError, match="a mistake in a strategy"):
        played(tmp_path, theirs=Broken)


def test_bars_that_a_break_held_up_come_late_once_and_in_order(tmp_path: Path) -> None:
    class Bars(Diary):
        def next(self) -> None:
            self.note("next", len(self.data), self.data.datetime.datetime(0))

    lost = fault("connectivity", at="10:00:12", for_="14s", data_lost=True)
    _, them = played(tmp_path, lost, Bars, bars="5s", seconds=70.0)
    heard = {number: time for _, number, time in them.heard("next")}  # the other data's bars may come a moment later
    times = [heard[number] for number in sorted(heard)]
    gaps = {(later - earlier).total_seconds() for earlier, later in itertools.pairwise(times)}
    assert gaps == {5.0}, times
    assert len(times) > 8
    said = statuses(them)
    assert said[said.index("CONNBROKEN") :][1] == "DELAYED"
    assert said[-1] == "LIVE"


@pytest.mark.parametrize(
    ("permission", "expected"), [(DataPermission.DELAYED, "DELAYED"), (DataPermission.NONE, "NOTSUBSCRIBED")]
)
def test_delayed_data_and_none_are_told(permission: DataPermission, expected: str, tmp_path: Path) -> None:
    strategy: Any = hosted(Diary)(bars="ticks")
    with start_gateway(tape(), speed=10.0, settings=GatewaySettings(permission=permission)) as gateway:
        where = Address(gateway.host, gateway.port)
        settings = LiveSettings(client_id=3, speed=10.0, delayed=True)
        now = look_at(where, settings).ts
        until = now + 8 * NS_PER_S
        make_run(strategy, settings, where, out=tmp_path, symbols=["AAA"], now=now, until=until, locks=tmp_path).run()
    heard = statuses(strategy.hosted)
    assert heard[0] == expected
    assert "LIVE" not in heard
