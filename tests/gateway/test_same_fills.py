"""The simulated TWS fills like the backtest: one fill model, so the same orders on the same tape end the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.sim import FillRules
from gateway.protocol import requests
from papertape.core.series import Series
from tests.brokers.tapes import CLOSE, OPEN, S, bars, play, quotes, trades
from tests.gateway.desk import Desk, order, stock

Program = list[tuple[int, str, int, dict[str, float | str]]]
"""(second, side, quantity, terms in the strategy's words) of each order."""

_TYPES = {
    frozenset(): "MKT",
    frozenset({"limit"}): "LMT",
    frozenset({"stop"}): "STP",
    frozenset({"stop", "limit"}): "STP LMT",
    frozenset({"trail"}): "TRAIL",
    frozenset({"trail", "limit"}): "TRAIL LIMIT",
}


def wire(side: str, quantity: int, terms: dict[str, float | str]) -> Any:
    """An order in TWS's words."""
    prices = {name for name in terms if name != "tif"}
    kind = _TYPES[frozenset(prices)]
    given: dict[str, Any] = {"tif": terms.get("tif", "DAY")}
    if "limit" in prices:
        given["limit_offset" if kind == "TRAIL LIMIT" else "limit_price"] = terms["limit"]
    if "stop" in prices:
        given["aux_price"] = terms["stop"]
    if "trail" in prices:
        given["aux_price"] = terms["trail"]
    return order(side, quantity, kind, **given)


def backtested(program: Program, series: tuple[Series, ...], rules: FillRules) -> list[tuple[Any, ...]]:
    """(order, second, signed quantity, price, fee) of each fill in a backtest."""
    script: dict[Any, Any] = {}
    for second, side, quantity, terms in program:
        script[second] = _action(side, quantity, terms)
    played = play(
        script, *series, short=rules.allow_short, margin=rules.margin_multiple, volume_share=rules.volume_share,
        fees="ib-fixed",
    )  # fmt: skip
    fees = [round(float(fee), 9) for fee in played.record.fills["fee"]]
    return [(*fill, fee) for fill, fee in zip(played.fills, fees, strict=True)]


def _action(side: str, quantity: int, terms: dict[str, float | str]) -> Any:
    def act(strategy: Any) -> None:
        (strategy.buy if side == "BUY" else strategy.sell)("AAPL", quantity, **terms)

    return act


def simulated(program: Program, series: tuple[Series, ...], rules: FillRules) -> list[tuple[Any, ...]]:
    """The same at the simulated TWS."""
    desk = Desk(*series, rules=rules, fees="ib-fixed")
    for k, (second, side, quantity, terms) in enumerate(program):
        desk.at(second)
        desk.tws.request(desk.one, requests.PlaceOrder(k + 1, stock(), wire(side, quantity, terms)))
    desk.at(CLOSE + 2)
    return [
        (each.order_id, (each.ts - OPEN) / S, each.signed, round(each.price, 9), round(each.fee, 9))
        for each in desk.tws.orders.executions
    ]


cents = st.integers(9_000, 11_000).map(lambda each: each / 100)
terms = st.one_of(
    st.fixed_dictionaries({}),
    st.fixed_dictionaries({"limit": cents}),
    st.fixed_dictionaries({"stop": cents}),
    st.fixed_dictionaries({"stop": cents, "limit": cents}),
    st.fixed_dictionaries({"trail": st.integers(1, 300).map(lambda each: each / 100)}),
    st.fixed_dictionaries({"trail": st.integers(1, 300).map(lambda each: each / 100), "limit": st.just(0.05)}),
)
tifs = st.sampled_from(["DAY", "GTC", "IOC", "FOK"])


@st.composite
def tapes(draw: st.DrawFn, n: int) -> tuple[Series, ...]:
    """Trades, trades with quotes, or bars of one instrument, an event in each of the first seconds (or minutes)."""
    prices = draw(st.lists(cents, min_size=n, max_size=n))
    kind = draw(st.sampled_from(["trades", "both", "bars"]))
    if kind == "bars":
        rows = []
        for k, price in enumerate(prices):
            low, high = sorted((price, draw(cents)))
            close = draw(st.sampled_from([low, high]))
            rows.append((k * 60, price, high, low, close, 300.0))
        return (bars("AAPL", *rows),)
    traded = trades("AAPL", *((k + 1, price, 300.0) for k, price in enumerate(prices)))
    if kind == "trades":
        return (traded,)
    quoted = quotes("AAPL", *((k + 1.5, price - 0.02, price + 0.02) for k, price in enumerate(prices)))
    return (traded, quoted)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Program, tuple[Series, ...], FillRules]:
    n = draw(st.integers(3, 12))
    series = draw(tapes(n))
    stamps = sorted({int((int(ts) - OPEN) // S) for each in series for ts in each.ts if (int(ts) - OPEN) % S == 0})
    seconds = draw(st.lists(st.sampled_from(stamps), min_size=1, max_size=8, unique=True))
    program: Program = []
    for second in sorted(seconds):
        words: dict[str, float | str] = dict(draw(terms))
        words["tif"] = draw(tifs)
        program.append((second, draw(st.sampled_from(["BUY", "SELL"])), draw(st.integers(1, 50)), words))
    rules = FillRules(margin_multiple=50.0, allow_short=True, volume_share=draw(st.sampled_from([0.0, 0.1])))
    return program, series, rules


@settings(max_examples=max(30, settings().max_examples // 2))  # make soak: many more
@given(cases())
def test_orders_fill_at_the_simulated_tws_as_in_the_backtest(case: tuple[Program, tuple[Series, ...], FillRules]):
    program, series, rules = case
    assert simulated(program, series, rules) == backtested(program, series, rules)


@pytest.mark.parametrize("volume_share", [0.0, 0.05])
def test_a_long_program_of_every_kind_of_order_fills_the_same(volume_share: float):
    rng = np.random.default_rng(7)
    n = 600
    prices = np.round(100 + np.cumsum(rng.normal(0, 0.08, n)), 2)
    series = (trades("AAPL", *((k + 1, float(price), 300.0) for k, price in enumerate(prices))),)
    program: Program = []
    for k in range(0, n - 20, 5):
        price = float(prices[k])
        kinds: list[dict[str, float | str]] = [
            {}, {"limit": round(price - 0.1, 2)}, {"stop": round(price + 0.1, 2)}, {"trail": 0.15},
            {"stop": round(price - 0.1, 2), "limit": round(price - 0.3, 2)},
        ]  # fmt: skip
        words = kinds[k // 5 % 5]
        program.append((k + 1, "BUY" if k // 5 % 2 else "SELL", 1 + k % 37, words))
    rules = FillRules(margin_multiple=50.0, allow_short=True, volume_share=volume_share)
    expected = backtested(program, series, rules)
    assert len(expected) > 80
    assert simulated(program, series, rules) == expected
