"""Our strategies inside backtrader's Cerebro: when things happen, what is refused, what is kept."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from backtests.compare.inputs import input_differences, inputs_of
from backtests.report.content import report_content
from feeds.sample import write_sample
from papertape import Run, backtest, open_run
from papertape.cli.terminal import full_lines
from papertape.core.errors import ConfigError, PeerError, StrategyError, UserError
from papertape.core.guard import GuardSettings
from papertape.core.model import ActionKind, CorporateAction, EventKind, Instrument, Side
from papertape.core.series import Series
from strategies.sma_cross import SmaCross
from strategies.tick_momentum import TickMomentum
from strategies.top_movers import TopMovers
from tests.backtests.two_engines import OPEN, OnBars, OnTrades, S, Scripted, bars, both, ends, fills, run, trades

bt = pytest.importorskip("backtrader", reason="needs the extra backtrader")

DAY = 86_400


# -- when -------------------------------------------------------------------------------------------------------------


def test_an_order_of_the_start_fills_at_the_first_event() -> None:
    for record in both(OnTrades, trades([10.0, 11.0]), {0: lambda s: s.buy("AAA", 2)}):
        assert fills(record) == [(1, 1.0, 2.0, 10.0)]


def test_events_that_backtrader_can_not_tell_apart_keep_their_order_and_their_times() -> None:
    seconds = [1.0, 1.000000001, 1.000000001, 1.000000002, 1.000005, 1.000005]
    script = {k: lambda s: s.buy("AAA", s.heard) for k in range(1, 6)}
    ours, theirs = both(OnTrades, trades([10.0, 11.0, 12.0, 13.0, 14.0, 15.0], at=seconds), script)
    assert fills(theirs) == fills(ours)
    assert [row[3] for row in fills(theirs)] == [11.0, 13.0, 13.0, 14.0]  # never by an event of the same time
    assert theirs.fills["ts"].tolist() == [OPEN + S + ns for ns in (1, 2, 2, 5_000)]


def test_an_order_waits_while_the_exchange_is_closed_unless_it_says_otherwise() -> None:
    market = trades([10.0, 11.0, 12.0, 13.0], at=[-20, -10, 5, 6])
    script = {1: lambda s: [s.buy("AAA", 1), s.buy("AAA", 2, outside_hours=True)]}
    ours, theirs = both(OnTrades, market, script)
    assert sorted(fills(ours)) == sorted(fills(theirs)) == [(1, 5.0, 1.0, 12.0), (2, -10.0, 2.0, 11.0)]


def test_orders_end_by_the_calendar_and_by_their_own_time() -> None:
    script = {
        1: lambda s: [
            s.buy("AAA", 1, limit=5.0),
            s.buy("AAA", 1, limit=5.0, tif="GTC"),
            s.buy("AAA", 1, limit=5.0, tif="GTD", until=OPEN + 2 * S),
        ]
    }
    ours, theirs = both(OnTrades, trades([10.0, 10.0, 5.0, 5.0], at=[1, 2, 3 + DAY, 4 + DAY]), script)
    assert ends(ours) == ends(theirs) == ["EXPIRED", "FILLED", "EXPIRED"]
    assert ours.orders["ts_final"].tolist() == theirs.orders["ts_final"].tolist()


def test_an_order_for_the_day_that_is_given_after_the_close_works_for_the_next_session() -> None:
    close = 6.5 * 3600
    market = trades([10.0, 10.0, 9.0, 5.0], at=[1, close + 5, DAY + 5, 2 * DAY + 5])
    script = {2: lambda s: [s.buy("AAA", 1, limit=9.0), s.buy("AAA", 1, limit=5.0)]}
    ours, theirs = both(OnTrades, market, script)
    assert ends(ours) == ends(theirs) == ["FILLED", "EXPIRED"]
    assert ours.orders["ts_final"].tolist() == theirs.orders["ts_final"].tolist()


def test_a_bar_in_progress_when_an_order_is_decided_does_not_fill_it() -> None:
    slow = bars([(10, 10, 10, 10), (20, 20, 20, 20), (30, 30, 30, 30)], "BBB")
    assert slow.start is not None
    start = slow.start + 30 * S
    late = Series("BBB", EventKind.BAR, start + 60 * S, slow.columns, start=start)
    market = [bars([(1, 1, 1, 1)] * 4), late]
    ours, theirs = both(OnBars, market, {1: lambda s: s.buy("BBB", 1)})  # at 60 s; a bar of BBB is from 30 to 90
    assert fills(ours) == fills(theirs) == [(1, 90.0, 1.0, 20.0)]


def test_a_fill_is_heard_before_the_event_that_made_it_and_can_be_answered() -> None:
    class Answers(OnTrades):
        def on_fill(self, fill: Any) -> None:
            self.made.append((fill.price, self.heard, self.position("AAA").mark))
            if fill.side is Side.BUY:
                self.sell("AAA", fill.quantity)

    for engine in ("papertape", "backtrader"):
        strategy, record = run(Answers, trades([10.0, 11.0, 12.0]), {1: lambda s: s.buy("AAA", 3)}, engine)
        assert fills(record) == [(1, 2.0, 3.0, 11.0), (2, 3.0, 3.0, 12.0)]
        assert [each for each in strategy.made if isinstance(each, tuple)] == [(11.0, 1, 11.0), (12.0, 2, 12.0)]


def test_timers_and_instruments_that_are_watched_later_are_as_in_our_engine() -> None:
    class Later(OnTrades):
        def on_start(self) -> None:
            self.subscribe("AAA")
            self.at("09:31")

        def on_trade(self, trade: Any) -> None:
            self.made.append((trade.symbol, trade.price))

        def on_time(self, time: Any) -> None:
            self.subscribe("BBB")
            self.buy("AAA", 1)

    market = [trades([10.0, 11.0, 12.0], at=[10, 61, 62]), trades([1.0, 2.0, 3.0], "BBB", at=[20, 61.5, 70])]
    made = [run(Later, market, {}, engine) for engine in ("papertape", "backtrader")]
    assert [fills(record) for _, record in made] == [[(1, 61.0, 1.0, 11.0)]] * 2
    heard = [("AAA", 10.0), ("AAA", 11.0), ("BBB", 2.0), ("AAA", 12.0), ("BBB", 3.0)]
    assert [strategy.made for strategy, _ in made] == [heard, heard]


class Hears(OnTrades):
    """Keeps all that it hears, and changes what it hears as it goes."""

    def on_start(self) -> None:
        self.every("20s")
        self.at("09:33", every="day")
        self.subscribe(["AAA", "CCC"], bars="1m")
        self.subscribe("BBB")

    def keep(self, *what: Any) -> None:
        self.made.append((self.now, *map(repr, what), round(self.account.equity, 6), self.position("AAA").quantity))

    def on_trade(self, trade: Any) -> None:
        self.keep("trade", trade)
        self.heard += 1
        if self.heard % 5 == 0:
            self.buy("AAA", 1)
            self.buy("DDD", 2)
        if self.heard % 13 == 0:
            self.unsubscribe("CCC")
        if self.heard % 17 == 0:
            self.subscribe(["CCC", "DDD"], bars="1m")

    def on_bar(self, bar: Any) -> None:
        self.keep("bar", bar)

    async def on_bars(self, bars: Any) -> None:
        found = await self.snapshot(["AAA", "DDD"])
        self.keep("bars", bars.symbols, dict(found.items()))
        self.sell("AAA", self.position("AAA").sellable)

    def on_time(self, time: Any) -> None:
        self.keep("time", time)
        self.buy("CCC", 1, limit=9.5)

    def on_fill(self, fill: Any) -> None:
        self.keep("fill", fill)

    def on_order(self, update: Any) -> None:
        self.keep("order", update)


@pytest.mark.parametrize("seed", range(6))
def test_what_a_strategy_hears_between_fills_is_what_it_hears_in_our_engine(seed: int) -> None:
    rng = random.Random(seed)
    market = []
    for symbol in ("AAA", "CCC", "DDD"):
        seconds = sorted(rng.choice([rng.randint(1, 400), 60 * rng.randint(1, 6)]) for _ in range(60))
        market.append(trades([10 + rng.randint(-2, 2) * 0.25 for _ in seconds], symbol, at=seconds))
    market.append(bars([(10, 11, 9, 10)] * 6, "BBB"))
    made = [run(Hears, market, {}, engine, cash=1e6) for engine in ("papertape", "backtrader")]
    (ours, ours_record), (theirs, theirs_record) = made
    assert fills(theirs_record) == fills(ours_record)
    assert len(ours.made) > 150
    assert theirs.made == ours.made


def test_a_child_given_after_its_parent_has_filled_works_at_once() -> None:
    script = {1: lambda s: s.buy("AAA", 5), 3: lambda s: s.sell("AAA", 5, stop=9.0, parent=s.made[1])}
    ours, theirs = both(OnTrades, trades([10.0, 10.0, 10.0, 9.0]), script)
    assert fills(ours) == fills(theirs) == [(1, 2.0, 5.0, 10.0), (2, 4.0, 5.0, 9.0)]


def test_children_that_are_taken_back_before_cerebro_has_them_end_with_their_parent() -> None:
    def family(s: Scripted) -> None:
        s.cancel(s.bracket("AAA", Side.BUY, 1, stop=9.0, target=11.0).entry)

    ours, theirs = both(OnTrades, trades([10.0, 9.0, 11.0]), {1: family})
    assert ends(ours) == ends(theirs) == ["CANCELLED"] * 3
    assert list(ours.orders["reason"]) == list(theirs.orders["reason"])


# -- the guard, actions, money -----------------------------------------------------------------------------------------


def test_the_guard_trips_cancels_and_flattens_as_in_our_engine() -> None:
    script = {1: lambda s: [s.buy("AAA", 90), s.buy("AAA", 1, limit=1.0)]}
    guard = GuardSettings(max_drawdown=0.1, flatten=True)
    ours, theirs = both(OnTrades, trades([10.0, 10.0, 8.0, 8.0, 8.0]), script, cash=1_000.0, guard=guard)
    assert ends(ours) == ends(theirs) == ["FILLED", "CANCELLED", "FILLED"]
    assert fills(ours) == fills(theirs)
    assert [(each.ts, each.kind) for each in ours.guard] == [(each.ts, each.kind) for each in theirs.guard]
    assert theirs.guard_tripped
    assert ours.drawdown == theirs.drawdown


def test_dividends_are_paid_and_a_split_of_what_is_held_is_refused() -> None:
    market = trades([10.0, 10.0, 10.0], at=[1, 2, DAY])
    script = {1: lambda s: s.buy("AAA", 10)}
    paid = [CorporateAction(OPEN + 9 * 3600 * S, "AAA", ActionKind.DIVIDEND, 0.5)]
    ours, theirs = both(OnTrades, market, script, actions=paid)
    assert ours.cash["USD"] == theirs.cash["USD"] == 100_000 - 100 + 5
    split = [CorporateAction(OPEN + 9 * 3600 * S, "AAA", ActionKind.SPLIT, 2.0)]
    with pytest.raises(ConfigError, match="splits while it is held"):
        run(OnTrades, market, script, "backtrader", actions=split)
    assert fills(run(OnTrades, market, {}, "backtrader", actions=split)[1]) == []


@pytest.mark.parametrize("fees", ["none", "per-share:0.01:1", "percent:0.2", "ib-fixed"])
def test_fees_and_multipliers_cost_what_they_do_in_our_engine(fees: str) -> None:
    market = trades([10.0, 10.0, 11.0, 12.0])
    script = {1: lambda s: s.buy("AAA", 30), 2: lambda s: s.sell("AAA", 10), 3: lambda s: s.sell("AAA", 20)}
    instruments = {"AAA": Instrument("AAA", multiplier=5.0)}
    ours, theirs = both(OnTrades, market, script, fees=fees, instruments=instruments)
    assert theirs.cash["USD"] == pytest.approx(ours.cash["USD"], abs=1e-6)
    assert theirs.fills["fee"] == pytest.approx(ours.fills["fee"], abs=1e-9)
    assert len(fills(theirs)) == 3
    assert theirs.points["ts"].tolist() == ours.points["ts"].tolist()
    assert theirs.points["equity"] == pytest.approx(ours.points["equity"], abs=1e-6)


def test_a_broker_whose_cash_is_not_what_its_fills_make_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from backtests.cerebro_market import TapeCommission

    monkeypatch.setattr(TapeCommission, "getvaluesize", lambda self, size, price: size * price * 2)
    with pytest.raises(PeerError, match=r"has 99,980\.00 in cash, and its fills make 99,990\.00"):
        run(OnTrades, trades([10.0, 10.0]), {1: lambda s: s.buy("AAA", 1)}, "backtrader")


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"latency": "5ms"}, "latency=5ms"),
        ({"slippage": "1bp"}, "slippage=1bp"),
        ({"volume_share": 0.1}, "volume_share"),
        ({"margin": 2.0}, "margin=2.0"),
        ({"balances": {"EUR": 5.0}}, "one currency"),
        ({"fees": "ib-tiered"}, "tiers"),
        ({"currency": "EUR"}, "one currency"),
        ({"analyzers": ["sharpratio"]}, 'did you mean "SharpeRatio"'),
        ({"analyzers": ["sharpe", "SharpeRatio"]}, "named twice"),
    ],
)
def test_settings_that_cerebro_can_not_do_are_refused_in_one_line(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        run(OnTrades, trades([10.0]), {}, "backtrader", instruments={"AAA": Instrument("AAA")}, **options)
    assert "\n" not in str(caught.value)


def test_quotes_and_limits_that_must_be_traded_through_are_refused() -> None:
    quotes = Series("AAA", EventKind.QUOTE, trades([1.0]).ts, tuple(trades([1.0]).columns) * 2)
    with pytest.raises(ConfigError, match="has no quotes"):
        run(OnTrades, quotes, {}, "backtrader")
    with pytest.raises(ConfigError, match="just touched"):
        backtest(OnTrades({}), {"AAA": {}}, engine="backtrader", limit_fill="through")
    with pytest.raises(ConfigError, match="they need engine backtrader"):
        backtest(OnTrades({}), {"AAA": {}}, analyzers=["sharpe"])
    with pytest.raises(ConfigError, match='engine="cerebro"'):
        backtest(OnTrades({}), {"AAA": {}}, engine="cerebro")


def _late_child(s: OnTrades) -> Any:
    return s.sell("AAA", 1, stop=9.0, parent=s.made[1])


def _grandchild(s: OnTrades) -> Any:
    child = s.sell("AAA", 1, stop=9.0, parent=s.buy("AAA", 1))
    return s.buy("AAA", 1, limit=8.0, parent=child)


def _loose_children(s: OnTrades) -> Any:
    entry = s.buy("AAA", 2)
    return [s.sell("AAA", 1, stop=9.0, parent=entry), s.sell("AAA", 1, stop=8.0, parent=entry)]


def _mixed_group(s: OnTrades) -> Any:
    entry, group = s.buy("AAA", 2), s.new_group()
    return [s.sell("AAA", 1, stop=9.0, parent=entry, group=group), s.buy("AAA", 1, limit=8.0, group=group)]


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ({1: lambda s: s.buy("AAA", 1, trail=1.0)}, "takes MARKET, LIMIT, STOP, STOP_LIMIT"),
        ({1: lambda s: s.buy("AAA", 1, on_close=True)}, "takes MARKET, LIMIT, STOP, STOP_LIMIT"),
        ({1: lambda s: s.buy("AAA", 1, tif="IOC")}, "takes DAY, GTC, GTD"),
        ({1: lambda s: s.buy("AAA", 1, limit=0.0)}, "0 or below"),
        ({1: lambda s: s.buy("AAA", 1, limit=5.0), 2: lambda s: s.modify(s.made[1], limit=6.0)}, "changes no orders"),
        ({1: lambda s: s.buy("AAA", 1, limit=5.0), 2: _late_child}, "together with its parent"),
        ({1: _grandchild}, "no children of children"),
        ({1: _loose_children}, "one group"),
        ({1: _mixed_group}, "a group of their own"),
    ],
)
def test_orders_that_cerebro_can_not_do_are_refused_when_they_are_given(script: Any, word: str) -> None:
    market = trades([10.0, 10.0, 10.0])
    run(OnTrades, market, script, "papertape")  # ours can
    with pytest.raises(StrategyError, match=word) as caught:
        run(OnTrades, market, script, "backtrader")
    assert "\n" not in str(caught.value)


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "backtrader" else find(name))
    with pytest.raises(UserError, match=r"pip install '\.\[backtrader\]'"):
        run(OnTrades, trades([10.0]), {}, "backtrader")


# -- what is kept -----------------------------------------------------------------------------------------------------


class Steps(bt.Analyzer):  # type: ignore[misc, name-defined]  # it has no types
    """Numbers, words and values by time."""

    def start(self) -> None:
        self.seen = 0

    def next(self) -> None:
        self.seen += 1

    def get_analysis(self) -> dict[str, Any]:
        day = dt.date(2024, 1, 3)
        return {"steps": self.seen, "deep": {"a": [1, None]}, "word": "no number", "by": {day: 2.5}}


def test_what_analyzers_find_is_kept_reported_and_no_difference_of_runs(tmp_path: Path) -> None:
    market = trades([10.0, 10.0, 11.0])
    script = {1: lambda s: s.buy("AAA", 10), 2: lambda s: s.sell("AAA", 10)}
    analyzers = ["drawdown", "TradeAnalyzer", "timereturn", "sharpe", Steps]
    ours = run(OnTrades, market, script, "papertape")[1]
    run(OnTrades, market, script, "backtrader", analyzers=analyzers)[1]
    strategy, record = run(OnTrades, market, script, "backtrader", analyzers=analyzers)
    assert strategy.has_begun
    Run(record).save(tmp_path)
    kept = open_run(next(iter(tmp_path.iterdir()))).record
    found = kept.metrics
    assert found["backtrader.tradeanalyzer.total.closed"] == 1.0
    assert found["backtrader.tradeanalyzer.pnl.net.total"] == pytest.approx(10.0)
    assert found["backtrader.drawdown.max.moneydown"] == 0.0
    assert found["backtrader.steps.steps"] == 4.0  # the first has no event
    assert (found["backtrader.steps.deep.a.0"], found["backtrader.steps.deep.a.1"]) == (1.0, None)
    ts, values = kept.custom["backtrader.steps.by"]
    assert (ts.tolist(), values.tolist()) == ([1_704_240_000 * S], [2.5])
    assert kept.custom["backtrader.timereturn"][1].tolist() == pytest.approx([10.0 / 100_000.0])
    assert [each.text for each in kept.notes if each.code == "analyzer"] == [
        "the analyzer steps found 1 values that are no numbers or too many; they are not kept"
    ]
    assert kept.settings["engine"] == "backtrader"
    assert kept.settings["analyzers"] == ["drawdown", "TradeAnalyzer", "timereturn", "sharpe", "Steps"]
    assert kept.versions["backtrader"] == bt.__version__
    table = next(each for each in report_content(kept).tables if each.key == "metrics_analyzers")
    assert ["tradeanalyzer.total.closed", "1"] in [[cell.text for cell in row[:2]] for row in table.rows]
    assert any("tradeanalyzer.total.closed" in line for line in full_lines(Run(kept)))
    differing = {each.key for each in input_differences([inputs_of(ours), inputs_of(kept)])}
    assert differing - {"data", "versions.papertape"} == {"engine"}  # arrays have no fingerprint, a checkout no version
    assert "engine" not in ours.settings


def test_a_run_of_our_engine_says_nothing_of_another() -> None:
    record = run(OnTrades, trades([10.0]), {}, "papertape")[1]
    assert not {"engine", "analyzers"} & set(record.settings)
    assert "backtrader" not in record.versions


def test_a_benchmark_leaves_what_analyzers_found() -> None:
    data = {"AAA": {"ts": [OPEN, OPEN + S], "price": [10.0, 11.0], "size": [1.0, 1.0]}}
    made = backtest(OnTrades({}), data, engine="backtrader", analyzers="drawdown", benchmark="AAA")
    assert made.metrics["backtrader.drawdown.max.len"] == 0.0


def test_memory_does_not_grow_with_the_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    from backtests.cerebro_market import Market

    lengths: list[int] = []
    ran = Market.run

    def watched(self: Market) -> Any:
        shell = ran(self)
        lengths.extend(len(line.array) for feed in self.feeds for line in feed.lines)
        return shell

    monkeypatch.setattr(Market, "run", watched)
    run(OnTrades, trades([10.0] * 200), {}, "backtrader")
    assert lengths
    assert max(lengths) <= 2


# -- strategies that come with it, on the sample -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market") / "sample"
    write_sample(folder, symbols=6, days=2, seed=3)
    return folder


@pytest.mark.parametrize(
    ("strategy", "parameters", "data", "window"),
    [
        (TickMomentum, {"scan_at": "09:32", "up": 0.002, "down": 0.002}, "trades", ("2024-06-03", "2024-06-03T09:50")),
        (TopMovers, {"exit_at": "10:04"}, "trades", ("2024-06-04", "2024-06-04T10:06")),
        (SmaCross, {"fast": 3, "slow": 8}, "bars", ("2024-06-03", "2024-06-03T11:00")),
    ],
)
def test_the_strategies_that_come_with_it_fill_alike_on_the_sample(
    sample: Path, strategy: Any, parameters: dict[str, Any], data: str, window: tuple[str, str]
) -> None:
    runs = [
        backtest(
            strategy, sample / data, parameters=parameters, engine=engine, start=window[0], end=window[1],
            limit_fill="touch", scans="derived",
        ).record
        for engine in ("papertape", "backtrader")
    ]  # fmt: skip
    # Fills of one time come by instrument in one engine, by age of the orders in the other.
    ours, theirs = ([sorted(zip(*map(list, record.fills.values()), strict=True))] for record in runs)
    assert ours == theirs
    assert len(ours[0]) >= 2
    assert runs[0].final_equity == pytest.approx(runs[1].final_equity, abs=0.005)


def test_a_run_in_cerebro_is_a_file_that_other_programs_read(sample: Path, tmp_path: Path) -> None:
    made = backtest(
        SmaCross, sample / "bars", engine="backtrader", end="2024-06-03T10:30", out=tmp_path, analyzers=["drawdown"]
    )
    assert made.path is not None
    with contextlib.closing(sqlite3.connect(Path(made.path) / "run.sqlite")) as database:
        rows = dict(database.execute("select name, value from metrics where name like 'backtrader.%'"))
    assert "backtrader.drawdown.max.drawdown" in rows
