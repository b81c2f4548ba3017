"""Strategies written for backtrader in a backtest: what they hear, what their orders become, what the run knows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

bt = pytest.importorskip("backtrader", reason="backtrader is not installed: pip install '.[backtrader]'")
pytest.importorskip("greenlet", reason="greenlet is not installed: pip install '.[backtrader]'")

from backtests.cerebro_hosted import hosted  # noqa: E402  # they need both
from papertape import Run, backtest, errors  # noqa: E402
from tests.backtests.hosted_strategies import Crosses, Diary, planned  # noqa: E402
from tests.strategies.test_sma_cross import MINUTE, OPEN  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")
Bars = list[tuple[float, float, float, float]]
MODES = {"all bars at once": True, "bar by bar": False}
both = pytest.mark.parametrize("preload", MODES.values(), ids=MODES.keys())


def tape(*symbols: str, bars: Bars | None = None, n: int = 60, volume: float = 1000.0) -> dict[str, Any]:
    """Minute bars from 9:30 on: given ones, or ones that wander, of each symbol in its own way."""
    data: dict[str, Any] = {}
    for k, symbol in enumerate(symbols or ("X",)):
        if bars is None:
            close = np.round(100.0 + 3.0 * np.sin(np.arange(n) / 3.0 + k) + np.arange(n) * 0.05, 2)
            first = np.concatenate(([close[0]], close[:-1]))
            columns = [first, np.maximum(first, close) + 0.5, np.minimum(first, close) - 0.5, close]
        else:
            columns = [np.array(each, float) for each in zip(*bars, strict=True)]
        names = ("open", "high", "low", "close")
        size = len(columns[0])
        data[symbol] = {
            "ts": OPEN + MINUTE * np.arange(1, size + 1),
            **dict(zip(names, columns, strict=True)),
            "volume": np.full(size, volume),
        }
    return data


def flat(*changed: tuple[int, tuple[float, float, float, float]], n: int = 12) -> Bars:
    """Bars around 100, but for some of them (counted from 1)."""
    bars = [(100.0, 100.5, 99.5, 100.0)] * n
    for k, bar in changed:
        bars[k - 1] = bar
    return bars


def run(strategy: type, data: Any = None, *, parameters: dict[str, Any] | None = None, **options: Any) -> Run:
    given = {"fees": "none", "bar_stamp": "close", "bar_interval_s": 60, **options}
    return backtest(hosted(strategy), tape() if data is None else data, parameters=parameters, **given)


def plain(strategy: type, data: dict[str, Any], *, cash: float = 100_000.0, **parameters: Any) -> Any:
    """The same in a Cerebro of its own; its broker and the strategy."""
    import pandas as pd

    cerebro = bt.Cerebro(stdstats=False)
    for symbol, columns in data.items():
        index = pd.DatetimeIndex(columns["ts"], tz="UTC").tz_convert("America/New_York").tz_localize(None)
        frame = pd.DataFrame({name: columns[name] for name in ("open", "high", "low", "close", "volume")}, index=index)
        feed = bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes)
        cerebro.adddata(feed, name=symbol)
    cerebro.broker.setcash(cash)
    cerebro.addstrategy(strategy, **parameters)
    return cerebro.run()[0]


def fills(found: Run) -> list[tuple[str, float, float]]:
    table = found.record.fills
    columns = (table[name].tolist() for name in ("side", "quantity", "price"))
    return list(zip(*columns, strict=True))


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


# -- orders ------------------------------------------------------------------------------------------------------------


def played(strategy: type[Diary], bars: Bars, preload: bool, **options: Any) -> tuple[Any, Run]:
    parameters = {"preload": preload, "allow_short": options.pop("allow_short", False)}
    found = run(strategy, tape(bars=bars, volume=options.pop("volume", 1000.0)), parameters=parameters, **options)
    return strategy.last, found


@both
@pytest.mark.parametrize(
    ("give", "bar", "price"),
    [
        (lambda s: s.buy(size=5), (101.0, 102.0, 98.0, 100.0), 101.0),
        (lambda s: s.buy(size=5, exectype=bt.Order.Limit, price=99.0), (100.0, 100.5, 98.0, 100.0), 99.0),
        (lambda s: s.buy(size=5, exectype=bt.Order.Stop, price=101.0), (100.0, 102.0, 99.5, 100.0), 101.0),
        (
            lambda s: s.buy(size=5, exectype=bt.Order.StopLimit, price=101.0, plimit=103.0),
            (100.0, 102.0, 99.5, 101.5),
            100.0,  # it works as a limit from the bar after the one that triggered it on
        ),
        (lambda s: s.buy(size=5, exectype=bt.Order.StopTrail, trailamount=1.0), (100.0, 102.0, 100.0, 100.0), 101.0),
    ],
    ids=["market", "limit", "stop", "stop-limit", "trail"],
)
def test_an_order_of_each_type_fills_as_it_says(
    give: Callable[[Any], Any], bar: tuple[float, float, float, float], price: float, preload: bool
) -> None:
    them, found = played(planned({3: lambda s: s.give(give(s))}), flat((4, bar)), preload)
    assert fills(found) == [("BUY", 5.0, price)]
    assert them.statuses(1) == ["Submitted", "Accepted", "Completed"]
    assert them.position.size == 5


@both
def test_a_bracket_is_one_family_whose_second_exit_ends_when_the_first_fills(preload: bool) -> None:
    def give(s: Any) -> None:
        s.give(*s.buy_bracket(size=5, exectype=bt.Order.Market, stopprice=98.0, limitprice=103.0))

    them, found = played(planned({3: give}), flat((6, (102.0, 104.0, 101.0, 103.5))), preload)
    assert fills(found) == [("BUY", 5.0, 100.0), ("SELL", 5.0, 103.0)]
    assert [them.statuses(k)[-1] for k in (1, 2, 3)] == ["Completed", "Canceled", "Completed"]
    parents = found.record.orders["parent"].tolist()
    assert parents == [0, 1, 1]
    assert found.record.orders["group"].tolist()[0] == 0
    assert len(set(found.record.orders["group"].tolist()[1:])) == 1
    assert [each[1:] for each in them.heard("trade")] == [("open", 0.0, 0.0), ("closed", 15.0, 15.0)]


@both
def test_orders_that_name_each_other_with_oco_are_one_group_at_the_broker(preload: bool) -> None:
    def exits(s: Any) -> None:
        stop = s.sell(size=5, exectype=bt.Order.Stop, price=98.0)
        s.give(stop, s.sell(size=5, exectype=bt.Order.Limit, price=103.0, oco=stop))

    plan = {2: lambda s: s.give(s.buy(size=5)), 4: exits}
    them, found = played(planned(plan), flat((7, (98.5, 99.0, 97.0, 98.0))), preload)
    groups = found.record.orders["group"].tolist()
    assert groups[0] == 0
    assert groups[1] == groups[2] > 0
    assert [them.statuses(k)[-1] for k in (1, 2, 3)] == ["Completed", "Completed", "Canceled"]
    assert not [note for note in found.record.notes if note.code == "oco"]


@both
def test_an_oco_that_comes_later_than_its_order_is_kept_by_the_program_which_says_so(preload: bool) -> None:
    plan = {
        2: lambda s: s.give(s.buy(size=5)),
        4: lambda s: s.give(s.sell(size=5, exectype=bt.Order.Stop, price=98.0)),
        5: lambda s: s.give(s.sell(size=5, exectype=bt.Order.Limit, price=103.0, oco=s.orders[1])),
    }
    found_of = planned(plan)
    them, found = played(found_of, flat((7, (98.5, 99.0, 97.0, 98.0))), preload, allow_short=True)
    assert [them.statuses(k)[-1] for k in (1, 2, 3)] == ["Completed", "Completed", "Canceled"]
    assert [note.code for note in found.record.notes].count("oco") == 1


@both
def test_cancelling_one_of_a_group_cancels_the_others_as_in_backtrader(preload: bool) -> None:
    def exits(s: Any) -> None:
        stop = s.sell(size=5, exectype=bt.Order.Stop, price=98.0)
        s.give(stop, s.sell(size=5, exectype=bt.Order.Limit, price=103.0, oco=stop))

    plan = {2: lambda s: s.give(s.buy(size=5)), 4: exits, 6: lambda s: s.cancel(s.orders[1])}
    them, found = played(planned(plan), flat(), preload)
    assert [them.statuses(k)[-1] for k in (2, 3)] == ["Canceled", "Canceled"]
    assert len(fills(found)) == 1


@both
def test_an_order_given_and_cancelled_in_one_callback_is_never_sent(preload: bool) -> None:
    def give(s: Any) -> None:
        s.give(s.buy(size=5, exectype=bt.Order.Limit, price=99.0))
        s.cancel(s.orders[0])

    them, found = played(planned({2: give}), flat(), preload)
    assert them.statuses(1) == ["Submitted", "Canceled"]
    assert len(found.record.orders["ts"]) == 0


@both
def test_a_partial_execution_is_heard_as_one(preload: bool) -> None:
    plan = {2: lambda s: s.give(s.buy(size=150))}
    them, _ = played(planned(plan), flat(), preload, volume=100.0, volume_share=0.5)
    said = [(status, size) for _, _, status, size, *_ in them.heard("order")]
    assert said == [("Submitted", 0), ("Accepted", 0), ("Partial", 50), ("Partial", 100), ("Completed", 150)]


@both
def test_what_the_guard_refuses_is_rejected_with_its_reason(preload: bool) -> None:
    plan = {2: lambda s: s.give(s.buy(size=50)), 3: lambda s: s.give(s.sell(size=1))}
    them, found = played(planned(plan), flat(), preload, guard={"max_order_quantity": 20})
    assert them.statuses(1) == ["Submitted", "Rejected"]
    assert them.statuses(2) == ["Submitted", "Rejected"], "it may not go short unless it is told that it may"
    text = "\n".join(line for _, line in found.record.log)
    assert "BUY 50 X Market" in text
    assert "would go short" in text
    assert "20" in them.orders[0].info["reason"]


@both
def test_an_order_that_can_not_be_paid_is_a_margin_call(preload: bool) -> None:
    them, _ = played(planned({2: lambda s: s.give(s.buy(size=10_000))}), flat(), preload)
    assert them.statuses(1)[-1] == "Margin"


@both
@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"exectype": 7, "price": 1.0}, "Historical orders can not be given"),
        ({"exectype": 5}, "needs trailamount= or trailpercent="),
        ({"valid": dt.datetime(2020, 1, 1)}, "is not after now"),
        ({"orderType": "LIT"}, "orderType= is a field of Interactive Brokers' own"),
        ({"m_outsideRTH": True, "m_lmtPrice": 3.0}, "lmtPrice= is a field"),
        ({"exectype": 2, "price": float("nan")}, "limit price nan is no price"),
    ],
    ids=["historical", "trail without", "past", "field", "field of IbPy", "nan"],
)
def test_what_can_not_be_had_is_rejected_in_one_line(terms: dict[str, Any], words: str, preload: bool) -> None:
    them, found = played(planned({2: lambda s: s.give(s.buy(size=1, **terms))}), flat(), preload)
    assert len(found.record.orders["ts"]) == 0
    assert [line for _, line in found.record.log if words in line], found.record.log
    assert them.orders[0].status == bt.Order.Rejected


@both
def test_lifetimes_are_those_of_valid(preload: bool) -> None:
    limit = {"size": 1, "exectype": bt.Order.Limit, "price": 50.0}

    def give(s: Any) -> None:
        at = s.data.datetime.datetime(0) + dt.timedelta(minutes=2)
        for valid in (None, bt.Order.DAY, 0, dt.timedelta(minutes=3), at, bt.date2num(at), dt.date(2024, 2, 1)):
            s.give(s.buy(**limit, valid=valid))
        s.give(s.buy(size=1, exectype=bt.Order.Close))

    them, found = played(planned({2: give}), flat(), preload)
    assert found.record.orders["tif"].tolist() == ["GTC", "DAY", "DAY", "GTD", "GTD", "GTD", "GTD", "DAY"]
    assert [them.statuses(k)[-1] for k in (4, 5, 6)] == ["Expired"] * 3
    assert them.statuses(1)[-1] == "Accepted"


@both
def test_short_selling_and_reversing_keep_positions_and_trades(preload: bool) -> None:
    plan = {2: lambda s: s.give(s.sell(size=5)), 4: lambda s: s.give(s.buy(size=8))}
    bars = flat((5, (98.0, 98.5, 97.5, 98.0)))
    them, found = played(planned(plan), bars, preload, allow_short=True)
    assert [each[1:] for each in them.heard("trade")] == [("open", 0, 0), ("closed", 10.0, 10.0), ("open", 0, 0)]
    assert them.position.size == 3
    assert found.record.positions["quantity"].tolist() == [3.0]


@both
def test_commissions_are_the_runs(preload: bool) -> None:
    def give(s: Any) -> None:
        s.broker.setcommission(commission=0.5)
        s.give(s.buy(size=300))

    them, found = played(planned({2: give, 4: lambda s: s.give(s.close())}), flat(), preload, fees="per-share:0.01:0")
    assert [each[-1] for each in them.heard("order") if each[2] == "Completed"] == [3.0, 3.0]
    assert them.heard("trade")[-1][1:] == ("closed", 0.0, -6.0)
    assert [note.code for note in found.record.notes].count("commission") == 1


@both
def test_an_order_given_when_another_is_heard_of_takes_effect(preload: bool) -> None:
    def protect(s: Any) -> None:
        s.give(s.sell(size=5, exectype=bt.Order.Stop, price=98.0))

    strategy = planned({2: lambda s: s.give(s.buy(size=5))}, on_status={(1, "Completed"): protect})
    them, found = played(strategy, flat((6, (98.5, 99.0, 97.0, 98.0))), preload)
    assert fills(found) == [("BUY", 5.0, 100.0), ("SELL", 5.0, 98.0)]
    assert them.statuses(2)[-1] == "Completed"


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


def test_a_timer_in_another_zone_is_refused_in_one_line() -> None:
    from zoneinfo import ZoneInfo

    class Timed(Diary):
        def __init__(self) -> None:
            super().__init__()
            self.add_timer(when=dt.time(9, 35), tzdata=ZoneInfo("Europe/Paris"))

    with pytest.raises(errors.StrategyError, match="times are those of America/New_York"):
        run(Timed)


@both
def test_indicators_are_warm_when_a_run_begins_in_the_middle_of_a_tape(preload: bool) -> None:
    class Warm(Diary):
        def __init__(self) -> None:
            super().__init__()
            self.mean = bt.ind.SMA(period=10)

    data = tape()
    options = {"start": "2024-01-11T10:00:00.5", "parameters": {"preload": preload}}
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
    with pytest.raises(errors.StrategyError, match="broker.set_cash is for backtrader's own simulation"):
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
    with pytest.raises(errors.ConfigError, match='unknown parameter "fst".*did you mean "fast"'):
        hosted(Crosses)(fst=3)
    with pytest.raises(errors.ConfigError, match="fast='x'"):
        hosted(Crosses)(fast="x")


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
