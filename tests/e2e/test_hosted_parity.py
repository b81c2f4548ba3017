"""A backtrader strategy trades on the simulated gateway over a socket with the real client as it does in its backtest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("backtrader", reason="backtrader is not installed: pip install '.[backtrader]'")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install '.[backtrader]'")
pytest.importorskip("ibapi", reason="the client of TWS's API is not installed: pip install '.[ib]'")

import backtrader as bt

from backtests.cerebro_hosted import hosted  # they need backtrader
from backtests.settings import Settings
from papertape.core.guard import GuardSettings
from papertape.core.series import Tape
from strategies.base import Strategy
from tests.backtests.hosted_strategies import Crosses, Diary
from tests.e2e.paired import Paired, play_both

DAY = "2024-06-04"


class Family(Diary):
    """A bracket every five bars, orders that cancel each other, ones that rest and ones that can not be."""

    params = (("gap", 0.03),)

    def next(self) -> None:
        self.note("next", self.data.close[0], self.position.size)
        close, n = self.data.close[0], len(self)
        if n % 5 == 1:
            self.buy_bracket(
                size=10, exectype=bt.Order.Market, stopprice=close - self.p.gap, limitprice=close + self.p.gap
            )
        if n % 5 == 3:
            rests = self.buy(size=1, exectype=bt.Order.Limit, price=round(close * 0.99, 2))
            self.buy(size=2, exectype=bt.Order.Stop, price=round(close + 0.02, 2), oco=rests, valid=bt.Order.DAY)
        if n == 4:
            self.buy(size=10**7)
            self.sell(size=500)
        for data in self.datas[1:]:
            self.order_target_size(data, target=n % 3)


class Protects(Diary):
    """Gives its stop when it hears of its fill."""

    def next(self) -> None:
        self.note("next", self.data.close[0], self.position.size)
        if not self.position and len(self) % 2:
            self.entry = self.buy(size=7)

    def notify_order(self, order: Any) -> None:
        super().notify_order(order)
        if order.status == order.Completed and order.isbuy():
            self.sell(size=7, exectype=bt.Order.StopTrail, trailamount=0.02)


def minutes(begin: str, end: str, **settings: Any) -> Settings:
    return Settings(start=f"{DAY}T{begin}", end=f"{DAY}T{end}", **settings)


def both_of(
    theirs: Any, tape: Tape, settings: Settings, out: Path, count: int = 1, **parameters: Any
) -> tuple[Paired, Any, Any]:
    """Both runs, and what their objects noted."""
    made: list[Any] = []

    def make() -> Strategy:
        strategy = hosted(theirs)(**parameters)
        made.append(strategy)
        return strategy

    both = play_both(make, tape, settings, out, symbols=tape.symbols[:count])
    return both, made[0].hosted, made[1].hosted


@pytest.mark.parametrize("theirs", [Family, Protects, Crosses])
def test_orders_and_fills_are_those_of_its_backtest(theirs: Any, sample: Tape, tmp_path: Path) -> None:
    settings = minutes("09:30", "09:52")
    both, tested, traded = both_of(theirs, sample, settings, tmp_path, count=2, bars="1m")
    assert both.parity.is_same, both.shown
    assert both.parity.orders >= 3
    assert both.paper.final_equity == pytest.approx(both.backtest.final_equity, abs=1e-6)
    if theirs is not Crosses:
        assert [each[1:] for each in traded.heard("next")] == [each[1:] for each in tested.heard("next")]
        assert _told(traded) == _told(tested)
        assert [each[1:] for each in traded.heard("trade")] == [each[1:] for each in tested.heard("trade")]


def _told(diary: Any) -> list[Any]:
    """What each order went through, order by order; which of several ends of one moment comes first is the broker's."""
    said: dict[int, list[Any]] = {}
    for _, number, status, size, price, fee in diary.heard("order"):
        ended = "Rejected" if status == "Margin" else status  # what can not be paid, TWS rejects as anything else
        said.setdefault(number, []).append((ended, size, price, round(fee, 6)))
    return sorted(said.items())


def test_one_that_hears_each_trade_is_the_same_too(sample: Tape, tmp_path: Path) -> None:
    both, tested, traded = both_of(Protects, sample, minutes("09:30", "09:31"), tmp_path, bars="ticks")
    assert both.parity.is_same, both.shown
    assert both.parity.orders >= 4
    assert traded.heard("next") == tested.heard("next")


def test_partial_fills_and_a_guard_that_trips_are_the_same(sample: Tape, tmp_path: Path) -> None:
    guard = GuardSettings(max_drawdown=0.00004)
    settings = minutes("09:30", "09:50", volume_share=0.01, guard=guard)
    both, tested, traded = both_of(Family, sample, settings, tmp_path, bars="1m", gap=0.5)
    assert both.parity.is_same, both.shown
    assert both.paper.guard_tripped
    assert "Partial" in {status for _, _, status, *_ in traded.heard("order")}
    assert _told(traded)[-1][1][-1][0] == "Rejected"
    assert len(traded.heard("order")) == len(tested.heard("order"))


def test_backfill_comes_first_and_is_what_it_is_in_the_backtest(sample: Tape, tmp_path: Path) -> None:
    class Warm(Diary):
        def __init__(self) -> None:
            super().__init__()
            self.mean = bt.ind.SMA(period=20)

        def next(self) -> None:
            self.note("next", self.data.datetime.datetime(0), round(self.mean[0], 6))
            if len(self) == 22:
                self.buy(size=1)

    both, tested, traded = both_of(Warm, sample, minutes("10:00:00.5", "10:06"), tmp_path, bars="1m")
    assert both.parity.is_same, both.shown
    assert traded.heard("next") == tested.heard("next") != []
    assert traded.heard("nextstart") == tested.heard("nextstart") == [("10:01",)]
    assert [status for _, _, status in traded.heard("data")] == ["DELAYED", "LIVE"]


def test_runstop_ends_a_paper_run_in_order(sample: Tape, tmp_path: Path) -> None:
    class Stops(Diary):
        def next(self) -> None:
            self.note("next")
            if len(self) == 3:
                self.buy(size=1)
                self.buy(size=1, exectype=bt.Order.Limit, price=1.0)
            if len(self) == 5:
                self.env.runstop()

    both, tested, traded = both_of(Stops, sample, minutes("09:30", "10:00"), tmp_path, bars="1m")
    assert len(traded.heard("next")) == len(tested.heard("next")) == 5
    assert both.paper.fills["price"].tolist() == both.backtest.fills["price"].tolist()
    assert "the strategy ended the run" in " ".join(note.text for note in both.paper.notes)
