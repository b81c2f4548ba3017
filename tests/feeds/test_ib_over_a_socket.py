"""A warmed-up strategy on the simulated gateway, over a real socket in lockstep, trades as its backtest does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtests.run import prepared
from papertape import Run, backtest, open_run
from papertape.core.model import NS_PER_S, Instrument
from papertape.core.series import Tape
from papertape.live.settings import LiveSettings
from papertape.live.simulated import paper_run, paper_settings, serve_tape
from strategies.sma_cross import SmaCross
from tests.gateway.june import at, bars, trades

pytest.importorskip("ibapi")

OPEN = at(4, "9:30:00")
MINUTE = 60 * NS_PER_S
WINDOW: dict[str, Any] = {"start": "2024-06-04T10:00:00.1", "end": "2024-06-04T10:29:59", "cash": 100_000}


def tape_of_trades() -> Tape:
    """An hour of trades that go up and down."""
    rng = np.random.default_rng(3)
    ms = np.sort(rng.choice(np.arange(0, 3_600_000, 250), 800, replace=False))
    price = np.round(100 + 2 * np.sin(np.arange(800) / 25) + rng.normal(0, 0.05, 800), 2)
    rows = [(OPEN + int(k) * 1_000_000, float(p), 500.0) for k, p in zip(ms, price, strict=True)]
    return Tape((trades("AAA", rows),), {"AAA": Instrument("AAA")})


def tape_of_bars() -> Tape:
    """An hour of minute bars of two instruments."""
    series = []
    for k, symbol in enumerate(("AAA", "BBB")):
        close = [round(100 + 3 * math.sin(minute / 3 + k), 2) for minute in range(60)]
        series.append(
            bars(symbol, [(OPEN + m * MINUTE, OPEN + (m + 1) * MINUTE, c, c + 1, c - 1, c, 5000.0) for m, c in enumerate(close)])
        )  # fmt: skip
    return Tape(tuple(series), {symbol: Instrument(symbol) for symbol in ("AAA", "BBB")})


def on_the_gateway(strategy: SmaCross, tape: Tape, out: Path) -> Run:
    simulated, _ = prepared(None, dict(WINDOW))
    settings = paper_settings(LiveSettings())
    with serve_tape(tape, simulated, settings, allow_short=False) as gateway:
        run = paper_run(strategy, tape, gateway, settings, simulated, out=out)
        run.run()
    return open_run(run.folder)


def fills(run: Run) -> list[tuple[int, str, str, float, float]]:
    """Minute since the open, and what was filled."""
    rows = run.fills[["ts", "symbol", "side", "quantity", "price"]].itertuples(index=False, name=None)
    return [((ts.value - OPEN) // MINUTE, symbol, side, quantity, price) for ts, symbol, side, quantity, price in rows]


@pytest.mark.parametrize(("tape", "length"), [(tape_of_trades(), "1m"), (tape_of_bars(), None)], ids=["trades", "bars"])
def test_sma_cross_started_at_ten_trades_as_its_backtest(tape: Tape, length: str | None, tmp_path: Path) -> None:
    expected = fills(backtest(SmaCross(fast=3, slow=7, bars=length), tape, **WINDOW))
    assert len(expected) >= 5
    assert fills(on_the_gateway(SmaCross(fast=3, slow=7, bars=length), tape, tmp_path)) == expected
