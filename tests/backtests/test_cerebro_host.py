"""Strategies written for backtrader in a backtest: what they hear, what ends them, what the run knows."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("backtrader", reason="backtrader is not installed: pip install '.[backtrader]'")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install '.[backtrader]'")

import backtrader as bt

from backtests.cerebro_hosted import hosted  # they need both
from papertape import Run, backtest, errors, open_run
from tests.backtests.hosted_runs import MODES, both, fills, flat, plain, played, run, tape
from tests.backtests.hosted_strategies import Crosses, Diary, planned
from tests.strategies.test_sma_cross import MINUTE, OPEN

# -- the same as in plain Cerebro --------------------------------------------------------------------------------------


@both
def test_what_a_strategy_hears_and_fills_is_what_it_hears_and_fills_in_plain_cerebro(preload: bool) -> None:
    """Orders, trades, cash and value, bar by bar; but for the data's status, which plain Cerebro tells of live ones only."""

    class Told(Crosses, Diary):
        def __init__(self) -> None:
            Crosses.__init__(self)
            Diary.__init__(self)

        def next(self) -> None:
            self.note("next", self.data.datetime.datetime(0), self.data.datetime[0], self.cross[0])
            Crosses.next(self)

        def prenext(self) -> None:
            self.note("prenext", len(self))

        def nextstart(self) -> None:
            self.next()

    data = tape(n=200)
    expected = plain(Told, data).said
    found = run(Told, data, parameters={"preload": preload})
    said = [each for each in Told.last.said if each[1] != "data"]
    if not preload:  # orders are heard when they happen, not with the next bar: the minute is that of the bar before
        said, expected = ([each[1:] for each in told if each[1] not in ("next", "cash")] for told in (said, expected))
    assert said == expected
    assert len(fills(found)) > 10


@both
def test_final_cash_and_value_are_those_of_plain_cerebro_with_several_datas(preload: bool) -> None:
    class Rotates(bt.Strategy):
        """Holds what rose most."""

        def __init__(self) -> None:
            self.moves = {data: bt.ind.ROC(data, period=5) for data in self.datas}

        def next(self) -> None:
            best = max(self.datas, key=lambda data: self.moves[data][0])
            for data in self.datas:
                self.order_target_size(data, target=20 if data is best else 0)

    data = tape("AAA", "BBB", "CCC", n=150)
    expected = plain(Rotates, data)
    found = run(Rotates, data, parameters={"preload": preload})
    assert found.record.final_equity == pytest.approx(expected.broker.getvalue(), abs=1e-6)
    assert len(fills(found)) > 20


def test_times_are_the_exchanges_wall_clock_and_a_session_is_the_calendars() -> None:
    class Looks(Diary):
        def next(self) -> None:
            self.note(
                "at",
                self.data.datetime.datetime(0),
                self.datetime.datetime(0),
                self.data.p.sessionstart,
                self.data.p.sessionend,
            )

    run(planned(next=Looks.next), tape(n=2))
    first = dt.datetime(2024, 1, 11, 9, 31)
    assert Diary.last is None
    assert _last(run(Looks, tape(n=2)), Looks).heard("at")[0][1:] == (first, first, dt.time(9, 30), dt.time(16, 0))


def _last(_: Run, strategy: type[Diary]) -> Any:
    return strategy.last


# -- the run -----------------------------------------------------------------------------------------------------------


@both
def test_the_guard_trips_before_the_strategy_hears_and_blocks_it_from_then_on(preload: bool) -> None:
    plan = {2: lambda s: s.give(s.buy(size=500)), 8: lambda s: s.give(s.buy(size=1))}
    bars = flat((6, (100.0, 100.0, 80.0, 81.0)))
    them, found = played(planned(plan), bars, preload, guard={"max_drawdown": 0.05})
    assert found.record.guard_tripped
    assert them.statuses(2)[-1] == "Rejected"


@both
def test_timers_come_at_the_exchanges_time(preload: bool) -> None:
    class Timed(Diary):
        def __init__(self) -> None:
            super().__init__()
            self.add_timer(when=dt.time(9, 35))
            self.add_timer(when=bt.timer.SESSION_START, offset=dt.timedelta(minutes=7))

    run(Timed, tape(n=12), parameters={"preload": preload})
    assert Timed.last.heard("timer") == [("09:35", dt.time(9, 35)), ("09:37", dt.time(9, 37))]


def test_a_timer_that_would_see_a_bar_before_it_is_filled_is_refused_in_one_line() -> None:
    class Cheats(Diary):
        def __init__(self) -> None:
            super().__init__()
            self.add_timer(when=dt.time(9, 35), cheat=True)

    with pytest.raises(errors.StrategyError, match="would fill within a bar that it has seen"):
        run(Cheats)


def test_a_strategy_that_skips_its_run_ends_it() -> None:
    class Skips(Diary):
        def __init__(self) -> None:
            raise bt.errors.StrategySkipError

    assert run(Skips).record.final_equity == 100_000.0


@both
def test_sizers_ask_the_runs_broker(preload: bool) -> None:
    class Half(Diary):
        def __init__(self) -> None:
            super().__init__()
            self.setsizer(bt.sizers.PercentSizer(percents=50, retint=True))

        def next(self) -> None:
            if len(self) == 3:
                self.buy()
            if len(self) == 6:
                self.order_target_percent(target=0.1)

    found = run(Half, tape(bars=flat()), parameters={"preload": preload})
    assert fills(found) == [("BUY", 500.0, 100.0), ("SELL", 400.0, 100.0)]


def test_a_timer_in_another_zone_is_refused_in_one_line() -> None:
    from zoneinfo import ZoneInfo

    class Timed(Diary):
        def __init__(self) -> None:
            super().__init__()
            self.add_timer(when=dt.time(9, 35), tzdata=ZoneInfo("Europe/Paris"))

    with pytest.raises(errors.StrategyError, match=r"times are those of America/New_York"):
        run(Timed)


@both
def test_indicators_are_warm_when_a_run_begins_in_the_middle_of_a_tape(preload: bool) -> None:
    class Warm(Diary):
        def __init__(self) -> None:
            super().__init__()
            self.mean = bt.ind.SMA(period=10)

    data = tape()
    options: dict[str, Any] = {"start": "2024-01-11T10:00:00.5", "parameters": {"preload": preload}}
    run(Warm, data, **options)
    heard = Warm.last
    assert len(heard.heard("prenext")) == 9
    assert heard.heard("nextstart") == [("10:01",)]
    assert heard.mean.array[9] == pytest.approx(np.mean(data["X"]["close"][21:31]))
    statuses = [(minute, status) for minute, _, status in heard.heard("data")]
    assert [status for _, status in statuses] == ["DELAYED", "LIVE"]
    assert statuses[1][0] == "10:01"


@both
def test_no_order_comes_of_bars_of_the_past(preload: bool) -> None:
    strategy = planned({3: lambda s: s.give(s.buy(size=1)), 7: lambda s: s.give(s.buy(size=2))})
    parameters = {"preload": preload, "backfill": 5}
    found = run(strategy, start="2024-01-11T10:00:00.5", parameters=parameters)
    assert strategy.last.statuses(1) == ["Submitted", "Rejected"]
    assert [quantity for _, quantity, _ in fills(found)] == [2.0]


@both
def test_runstop_ends_the_run_in_order(preload: bool) -> None:
    plan = {3: lambda s: s.give(s.buy(size=5)), 6: lambda s: s.env.runstop()}
    them, found = played(planned(plan), flat((9, (50.0, 50.0, 50.0, 50.0))), preload)
    assert them.said[-1] == ("09:36", "stop", 5, 0)
    assert found.record.final_equity == pytest.approx(100_000.0), "what came after is not part of the run"


@both
def test_a_strategy_of_ticks_hears_each_trade(preload: bool) -> None:
    rng = np.random.default_rng(1)
    data = {
        "X": {"ts": OPEN + np.arange(1, 21) * 10**9, "price": rng.normal(100, 1, 20).round(2), "size": np.full(20, 5.0)}
    }
    strategy = planned({4: lambda s: s.give(s.buy(size=1))})
    found = backtest(hosted(strategy), data, parameters={"bars": "ticks", "preload": preload}, fees="none")
    assert len(strategy.last.heard("next")) == 20
    assert strategy.last.data._timeframe == bt.TimeFrame.Ticks
    assert fills(found) == [("BUY", 1.0, data["X"]["price"][4])]


def test_bars_can_be_made_longer_than_the_tapes() -> None:
    strategy = planned({2: lambda s: s.give(s.buy(size=1))})
    found = run(strategy, tape(n=20), parameters={"bars": "5m"})
    them = strategy.last
    assert [minute for minute, *_ in them.heard("next")] == ["09:35", "09:40", "09:45", "09:50"]
    assert (them.data._timeframe, them.data._compression) == (bt.TimeFrame.Minutes, 5)
    assert fills(found) == [("BUY", 1.0, tape(n=20)["X"]["open"][10])]


def test_a_mistake_in_a_strategy_is_raised_with_its_place() -> None:
    strategy = planned({4: lambda s: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        run(strategy)


def test_what_only_a_simulation_can_be_told_is_refused_in_one_line() -> None:
    with pytest.raises(errors.StrategyError, match=r"broker\.set_cash is for backtrader's own simulation"):
        run(planned({2: lambda s: s.broker.set_cash(1.0)}))


def test_analyzers_of_the_strategys_own_are_in_the_log() -> None:
    class Analysed(Crosses):
        def __init__(self) -> None:
            super().__init__()
            self._addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")

    found = run(Analysed, tape(n=200))
    (line,) = [text for _, text in found.record.log if text.startswith("trades: ")]
    assert "'closed'" in line


def test_a_split_changes_what_the_broker_says_is_held() -> None:
    from papertape.core.model import ActionKind, CorporateAction
    from tests.backtests.hosted_tapes import with_action

    strategy = planned({3: lambda s: s.give(s.buy(size=10))})
    split = CorporateAction(OPEN + 6 * MINUTE + 1, "X", ActionKind.SPLIT, 2.0)
    bars = [(100.0, 100.5, 99.5, 100.0)] * 6 + [(50.0, 50.5, 49.5, 50.0)] * 6
    for preload in MODES.values():
        backtest(hosted(strategy), with_action(tape(bars=bars), split), parameters={"preload": preload}, fees="none")
        assert strategy.last.said[-1][2:] == (20, 0)


# -- parameters --------------------------------------------------------------------------------------------------------


def test_parameters_are_read_by_the_type_of_their_default() -> None:
    host = hosted(Crosses)(fast="5", share="25%", short="true", name="7", limit="2.5", size="1.5")
    values = host.parameter_values
    assert {name: values[name] for name in ("fast", "slow", "size", "short", "name", "limit", "share")} == {
        "fast": 5, "slow": 8, "size": 1.5, "short": True, "name": "7", "limit": 2.5, "share": 0.25,
    }  # fmt: skip
    with pytest.raises(errors.ConfigError, match=r'unknown parameter "fst".*did you mean "fast"'):
        hosted(Crosses)(fst=3)
    with pytest.raises(errors.ConfigError, match="fast='x'"):
        hosted(Crosses)(fast="x")


def test_parameters_that_are_no_words_or_numbers_are_kept_and_read_where_text_can_say_them(tmp_path: Path) -> None:
    class Odd(Diary):
        params = (("average", bt.ind.SMA), ("at", dt.time(9, 35)), ("periods", (3, 5)), ("day", dt.date(2024, 1, 11)))

        def __init__(self) -> None:
            super().__init__()
            self.averages = [self.p.average(period=period) for period in self.p.periods]
            self.add_timer(when=self.p.at)

    found = run(Odd, tape(n=20), parameters={"periods": "2,4", "at": "09:40"}, out=tmp_path)
    assert Odd.last.heard("timer") == [("09:40", dt.time(9, 40))]
    assert Odd.last._minperiods == [4]
    (folder,) = tmp_path.iterdir()
    assert open_run(folder).record.settings["parameters"].keys() == found.record.settings["parameters"].keys()
    assert found.record.settings["parameters"]["average"] == "SMA"
    with pytest.raises(errors.ConfigError, match="can not be set as text"):
        hosted(Odd)(average="EMA")
    with pytest.raises(errors.ConfigError, match="a time as 15:55 is needed"):
        hosted(Odd)(at="noon")


def test_a_parameter_of_theirs_that_is_named_like_the_hosts_stays_theirs() -> None:
    class Clash(bt.Strategy):
        params = (("bars", 7), ("backfill", "all"))

    made = hosted(Clash)
    assert {"bars", "backfill", "papertape_bars", "papertape_backfill", "preload"} <= made.parameters().keys()
    host = made(bars="9", papertape_bars="5m")
    assert (host.bars, host.parameter_values["bars"]) == ("5m", 9)


def test_two_runs_in_one_process_share_nothing_and_are_the_same() -> None:
    first, second = (run(Crosses, tape(n=100)).record for _ in range(2))
    assert first.journal == second.journal
    assert first.strategy == "Crosses"
    assert first.code_hash == second.code_hash != ""
