"""The synthetic sample: reproducible, labelled, and a market that one could believe."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import defaultdict
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from feeds.sample import SampleSummary, _company_days, minute_bars, write_sample
from feeds.synthetic_market import Draws, companies, drawn_back, exponential, fictional_symbol, plan_days
from feeds.tape_writer import BLANK, read_manifest, write_columns
from papertape.calendar import session_times
from papertape.core.errors import ConfigError, DataError

MINUTE = 60_000_000_000
Rows = NDArray[np.float64]


def digest(folder: Path) -> str:
    content = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return content.hexdigest()


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> SampleSummary:
    return write_sample(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def columns(market: SampleSummary) -> dict[tuple[str, str], dict[str, NDArray[np.int64]]]:
    """(kind, symbol) -> column -> integers, prices in cents."""
    result = {}
    for path in market.folder.glob("*/*.csv"):
        header, *lines = path.read_text().splitlines()
        table = np.array([line.replace(".", "").split(",") for line in lines], dtype=np.int64)
        result[path.parent.name, path.stem] = dict(zip(header.split(","), table.T, strict=True))
    return result


@pytest.fixture(scope="module")
def instruments(market: SampleSummary) -> dict[str, dict[str, str]]:
    with (market.folder / "instruments.csv").open(newline="") as file:
        return {row["symbol"]: row for row in csv.DictReader(file)}


def session(day: date) -> tuple[int, int]:
    noon = (day - date(1970, 1, 1)).days * 86_400_000_000_000 + 17 * 3_600_000_000_000
    times = session_times("XNYS", noon, noon)
    at = times.date.index((day - date(1970, 1, 1)).days)
    return times.open[at], times.close[at]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_sample(tmp_path / name, symbols=4, days=2, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_the_bytes_are_those_of_every_other_machine(tmp_path: Path) -> None:
    write_sample(tmp_path / "pinned", symbols=12, days=4, seed=11)
    assert digest(tmp_path / "pinned") == "699814e217b6d3ef94c3f290cc3dec97e99885f57f4ef54c9a4e7673243b452d"


def test_a_company_does_not_change_when_there_are_more_companies(tmp_path: Path) -> None:
    assert write_sample(tmp_path / "few", symbols=1, days=1).symbols[0] == fictional_symbol(0)
    first = (tmp_path / "few" / "instruments.csv").read_text().splitlines()[1]
    write_sample(tmp_path / "more", symbols=6, days=1)
    assert (tmp_path / "more" / "instruments.csv").read_text().splitlines()[1] == first


def test_the_default_sample_is_of_modest_size_and_its_summary_is_true(
    market: SampleSummary, columns: dict[tuple[str, str], dict[str, NDArray[np.int64]]]
) -> None:
    assert len(market.symbols) == 50
    assert len(market.dates) == 5
    assert market.size < 60_000_000
    assert market.size == sum(path.stat().st_size for path in market.folder.rglob("*") if path.is_file())
    for kind, count in (("trades", market.trades), ("quotes", market.quotes), ("bars", market.bars)):
        assert count == sum(len(c["ts"]) for (name, _), c in columns.items() if name == kind)


def test_it_says_that_it_is_synthetic_to_programs_and_to_people(market: SampleSummary) -> None:
    manifest = read_manifest(market.folder)
    assert manifest is not None
    assert (manifest.synthetic, manifest.seed, manifest.bar_stamp, manifest.bar_ns) == (True, 7, "close", MINUTE)
    assert manifest.derived == ("bars",)
    assert json.loads((market.folder / "tape.json").read_text())["synthetic"] is True
    assert (market.folder / "SYNTHETIC.txt").read_text().startswith("SYNTHETIC DATA")


def test_its_symbols_are_longer_than_those_of_any_us_exchange_and_all_differ() -> None:
    symbols = [fictional_symbol(i) for i in range(2_000)]
    assert len(set(symbols)) == 2_000
    assert all(re.fullmatch("Z[AEIOU][BDFGKLMNPRSTV][AEIOU][BDFGKLMNPRSTV][AEIOU]", symbol) for symbol in symbols)


def test_bars_are_made_of_the_very_trades(
    market: SampleSummary, columns: dict[tuple[str, str], dict[str, NDArray[np.int64]]]
) -> None:
    for symbol in market.symbols[::12]:
        trades, bars = columns["trades", symbol], columns["bars", symbol]
        expected: dict[int, list[int]] = {}
        for ts, price, size in zip(*(trades[name].tolist() for name in ("ts", "price", "size")), strict=True):
            bar = expected.setdefault((ts // MINUTE + 1) * MINUTE, [price, price, price, price, 0])
            bar[1:] = [max(bar[1], price), min(bar[2], price), price, bar[4] + size]
        names = ("ts", "open", "high", "low", "close", "volume")
        assert [list(row) for row in zip(*(bars[name].tolist() for name in names), strict=True)] == [
            [ts, *values] for ts, values in expected.items()
        ]


def test_all_happens_inside_sessions_in_time_order(
    market: SampleSummary, columns: dict[tuple[str, str], dict[str, NDArray[np.int64]]]
) -> None:
    sessions = [session(day) for day in market.dates]
    for (kind, symbol), table in columns.items():
        ts = table["ts"]
        assert np.all(np.diff(ts) >= 0), (kind, symbol)
        end = 1 if kind == "bars" else 0
        inside = sum((ts >= opens) & (ts < closes + end) for opens, closes in sessions)
        assert np.all(inside == 1), (kind, symbol)


def test_a_trade_is_at_or_inside_the_quote_before_it(
    market: SampleSummary, columns: dict[tuple[str, str], dict[str, NDArray[np.int64]]]
) -> None:
    for symbol in market.symbols:
        trades, quotes = columns["trades", symbol], columns["quotes", symbol]
        at = np.searchsorted(quotes["ts"], trades["ts"], side="right") - 1
        assert (at >= 0).all()
        assert (quotes["bid"] < quotes["ask"]).all()
        assert (trades["price"] >= quotes["bid"][at]).all()
        assert (trades["price"] <= quotes["ask"][at]).all()


def test_spreads_are_wider_where_there_is_less_trading(
    market: SampleSummary,
    columns: dict[tuple[str, str], dict[str, NDArray[np.int64]]],
    instruments: dict[str, dict[str, str]],
) -> None:
    dear = [s for s in market.symbols if columns["quotes", s]["bid"].min() > 2_000]
    dear.sort(key=lambda s: float(instruments[s]["average_volume"]))
    widths = [float(np.mean((q["ask"] - q["bid"]) / q["bid"])) for q in (columns["quotes", s] for s in dear)]
    assert np.mean(widths[: len(dear) // 3]) > 1.5 * np.mean(widths[-len(dear) // 3 :])


def test_volume_is_u_shaped_over_the_day(
    market: SampleSummary, columns: dict[tuple[str, str], dict[str, NDArray[np.int64]]]
) -> None:
    volume = np.zeros(13)
    for day in market.dates:
        opens, closes = session(day)
        for symbol in market.symbols:
            bars = columns["bars", symbol]
            today = (bars["ts"] > opens) & (bars["ts"] <= closes)
            np.add.at(volume, (bars["ts"][today] - opens - 1) // (30 * MINUTE), bars["volume"][today])
    assert volume[0] > 1.5 * volume[6]
    assert volume[12] > 1.5 * volume[6]


def test_each_day_an_actively_traded_stock_jumps_up_and_down_beyond_the_tick_momentum_thresholds(
    market: SampleSummary,
    columns: dict[tuple[str, str], dict[str, NDArray[np.int64]]],
    instruments: dict[str, dict[str, str]],
) -> None:
    for day in market.dates:
        opens, closes = session(day)
        ups = downs = 0
        first: dict[str, int] = {}
        for symbol in market.symbols:
            trades = columns["trades", symbol]
            early = (trades["ts"] >= opens) & (trades["ts"] <= opens + 5 * MINUTE)
            if float(instruments[symbol]["average_volume"]) > 1e6 and trades["price"][early][-1] > 1_000:
                first[symbol] = int(trades["size"][early].sum())
        for symbol in sorted(first, key=lambda s: -first[s])[:5]:
            trades = columns["trades", symbol]
            price = trades["price"][(trades["ts"] > opens + 5 * MINUTE) & (trades["ts"] < closes)]
            change = price[1:] / price[:-1] - 1
            ups += int((change > 0.05).sum())
            downs += int((change < -0.06).sum())
        assert ups >= 1, day
        assert downs >= 1, day


def test_a_halt_is_five_minutes_without_trades_or_quotes_and_then_the_jump(
    market: SampleSummary, columns: dict[tuple[str, str], dict[str, NDArray[np.int64]]]
) -> None:
    assert market.halts
    for day, symbol, jumps in market.halts:
        opens, closes = session(day)
        trades, quotes = columns["trades", symbol], columns["quotes", symbol]
        today = (trades["ts"] >= opens) & (trades["ts"] < closes)
        ts, price = trades["ts"][today], trades["price"][today]
        change = price[1:] / price[:-1] - 1
        at = np.flatnonzero(np.abs(change) > 0.05)
        np.testing.assert_allclose(change[at], jumps, atol=0.01)
        for i in at:
            assert ts[i + 1] - ts[i] >= 5 * MINUTE
            between = quotes["ts"][(quotes["ts"] > ts[i]) & (quotes["ts"] < ts[i + 1])]
            assert len(between) <= 1  # the one from which it reopens


def test_each_day_some_small_company_opens_far_above_its_last_close(
    market: SampleSummary,
    columns: dict[tuple[str, str], dict[str, NDArray[np.int64]]],
    instruments: dict[str, dict[str, str]],
) -> None:
    gaps = defaultdict(list)
    for before, day in zip(market.dates[:-1], market.dates[1:], strict=True):
        (_, close), (opens, _) = session(before), session(day)
        for symbol in market.symbols:
            if float(instruments[symbol]["market_cap"]) < 1e9:
                trades = columns["trades", symbol]
                at = np.searchsorted(trades["ts"], opens)
                assert trades["ts"][at - 1] < close
                gaps[day].append(trades["price"][at] / trades["price"][at - 1] - 1)
    assert all(max(changes) > 0.06 for changes in gaps.values())
    assert set(gaps) == set(market.dates[1:])


def test_a_split_divides_the_price_and_a_dividend_is_paid_on_a_day_of_the_tape(
    market: SampleSummary, columns: dict[tuple[str, str], dict[str, NDArray[np.int64]]]
) -> None:
    with (market.folder / "actions.csv").open(newline="") as file:
        actions = list(csv.DictReader(file))
    assert sorted(action["kind"] for action in actions) == ["dividend", "dividend", "split"]
    for action in actions:
        day = date.fromisoformat(action["date"])
        assert day in market.dates[1:]
        if action["kind"] == "split":
            trades = columns["trades", action["symbol"]]
            at = np.searchsorted(trades["ts"], session(day)[0])
            ratio = trades["price"][at - 1] / trades["price"][at]
            assert ratio == pytest.approx(float(action["value"]), rel=0.1)


@pytest.mark.parametrize(("seed", "count"), [(3, 2), (7, 4), (8, 12), (9, 2)])
def test_prices_stay_believable_over_a_thousand_days(seed: int, count: int) -> None:
    market = companies(seed, count)
    days = range(1_000)
    plans = plan_days(seed, market, [390 for _ in days])
    opens = [k * 1_440 * MINUTE for k in days]
    for number, company in enumerate(market[:4]):
        rare = replace(company, average_volume=20_000.0)  # few trades, so that a thousand days take no minute
        tapes = _company_days(seed, number, rare, [plan[number] for plan in plans], opens, [390 for _ in days])
        shares = np.cumprod([plan[number].ratio for plan in plans])
        close = np.array([tape.last_mid for tape in tapes]) * shares / company.price
        for first in range(0, 1_000, 250):
            year = close[first : first + 250]
            assert year.max() / year.min() < 10.0, (company.symbol, first)
        assert 0.2 < close.min() < close.max() < 5.0, company.symbol


def test_days_without_news_are_left_as_they_are_and_strays_come_back_by_a_quarter() -> None:
    assert drawn_back(19.99, 10.0) == 19.99
    assert drawn_back(5.01, 10.0) == 5.01
    assert drawn_back(20.0 * 16.0, 10.0) == pytest.approx(20.0 * 8.0)
    assert drawn_back(5.0 / 16.0, 10.0) == pytest.approx(5.0 / 8.0)


def test_an_early_close_is_kept(tmp_path: Path) -> None:
    summary = write_sample(tmp_path / "s", symbols=2, days=1, start=date(2024, 7, 3))
    assert summary.dates == (date(2024, 7, 3),)
    last = int((tmp_path / "s" / "trades" / f"{summary.symbols[0]}.csv").read_text().splitlines()[-1].split(",")[0])
    assert last == session(date(2024, 7, 3))[1] - 1_000_000
    assert last % (86_400 * 10**9) == 17 * 3_600 * 10**9 - 1_000_000  # 13:00 in New York


def test_one_day_of_one_company_has_no_actions_file(tmp_path: Path) -> None:
    write_sample(tmp_path, symbols=1, days=1)
    assert not (tmp_path / "actions.csv").exists()


def test_an_earlier_sample_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_sample(tmp_path, symbols=6, days=4)
    write_sample(tmp_path, symbols=2, days=1)
    write_sample(tmp_path / "other" / "deeper", symbols=2, days=1)
    names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if "other" not in p.parts}
    other = {p.relative_to(tmp_path / "other/deeper").as_posix() for p in (tmp_path / "other/deeper").rglob("*")}
    assert names == other
    assert "actions.csv" not in names


def test_a_folder_with_anything_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty and not an earlier sample"):
        write_sample(tmp_path, symbols=1, days=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ConfigError, match="is a file"):
        write_sample(tmp_path / "mine.txt", symbols=1, days=1)


def test_a_sample_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path / "s", symbols=3, days=1, on_symbol=stop)
    assert list((tmp_path / "s").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"symbols": 0}, "symbols is 0; choose 1 to 2000"),
        ({"days": 261}, "days is 261; choose 1 to 260"),
        ({"seed": -1}, "seed is -1"),
        ({"start": date(1900, 1, 1)}, "choose a date from 1990"),
    ],
)
def test_counts_out_of_bounds_are_refused(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        write_sample(tmp_path, **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_exponential_agrees_with_the_librarys() -> None:
    for x in np.linspace(-9, 9, 101):
        assert exponential(float(x)) == pytest.approx(float(np.exp(x)), rel=1e-9)


def test_nearly_normal_numbers_have_mean_zero_and_deviation_one() -> None:
    numbers = Draws(1, 2).normal(200_000)
    assert abs(numbers.mean()) < 0.01
    assert numbers.std() == pytest.approx(1.0, abs=0.01)


def test_fixed_point_columns_are_printed_exactly(tmp_path: Path) -> None:
    columns = [np.array(values, dtype=np.int64) for values in ([1, -2, 0, 2**62], [1_815_250, 5, BLANK, -12_345])]
    write_columns(tmp_path / "a.csv", ("n", "price"), columns, (0, 4))
    assert (tmp_path / "a.csv").read_text() == f"n,price\n1,181.525\n-2,0.0005\n0,\n{2**62},-1.2345\n"


def test_a_bar_of_one_trade_has_one_price() -> None:
    one = np.array([90 * 10**9]), np.array([1234]), np.array([7])
    assert [column.tolist() for column in minute_bars(*one)] == [[120 * 10**9], [1234], [1234], [1234], [1234], [7]]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "tape.json: is not a tape's description"), ('{"bar_stamp": "middle"}', 'bar_stamp is "middle"')],
)
def test_a_tape_description_that_can_not_be_understood_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "tape.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path)
