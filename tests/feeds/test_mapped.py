"""Mapped columns give their memory back once they are played, and lose nothing by it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from backtests.outcome import _price_buckets
from feeds.mapped import release
from papertape import Strategy, Trade, backtest
from papertape.core.model import EventKind
from papertape.core.series import Series, Tape

N = 4_000_000
OPEN = 1_704_292_200_000_000_000

needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture
def mapped(tmp_path: Path) -> Series:
    """Trades in files, mapped as the column cache maps them."""
    rng = np.random.default_rng(3)
    columns = []
    for name, values in (
        ("ts", OPEN + 1 + np.arange(N, dtype=np.int64) * 1_000_000),
        ("price", 100.0 + rng.normal(0.0, 0.01, N)),
        ("size", np.ones(N)),
    ):
        values.tofile(tmp_path / name)
        columns.append(np.asarray(np.memmap(tmp_path / name, dtype=values.dtype, mode="c")))
    return Series("X", EventKind.TRADE, columns[0], (columns[1], columns[2]))


class Watcher(Strategy):
    """Hears nothing but a jump that never comes, so that everything is played."""

    def on_start(self) -> None:
        self.subscribe(self.symbols)

    def on_trade(self, trade: Trade) -> None:
        if trade.price > 200.0:
            self.buy(trade.symbol, 1)


@needs_proc
def test_released_events_are_no_longer_resident_and_read_the_same(mapped: Series) -> None:
    before = mapped.columns[0].sum()
    touched = resident_bytes()
    release(mapped, 0, N)
    assert touched - resident_bytes() > 0.9 * mapped.columns[0].nbytes
    assert mapped.columns[0].sum() == before


@needs_proc
def test_a_run_over_a_mapped_tape_keeps_little_of_it(mapped: Series) -> None:
    backtest(
        Watcher,
        Tape((dataclasses.replace(mapped, ts=mapped.ts[:1000], columns=tuple(c[:1000] for c in mapped.columns)),), {}),
    )  # compile
    release(mapped, 0, N)
    before = resident_bytes()
    backtest(Watcher, Tape((mapped,), {}))
    assert resident_bytes() - before < 0.7 * (mapped.ts.nbytes + 2 * mapped.columns[0].nbytes)


def test_changes_of_a_users_private_mapping_are_not_lost(mapped: Series) -> None:
    mapped.columns[0][:] = 7.0
    release(dataclasses.replace(mapped, validated=False), 0, N)
    assert (mapped.columns[0] == 7.0).all()


def test_columns_in_memory_and_empty_stretches_are_left_alone(mapped: Series) -> None:
    plain = Series("X", EventKind.TRADE, np.arange(9), (np.ones(9), np.ones(9)))
    release(plain, 0, 9)
    assert plain.ts.tolist() == list(range(9))
    release(mapped, 5, 5)
    assert mapped.ts[0] == OPEN + 1


def test_price_buckets_are_those_of_the_whole_column_at_once(mapped: Series) -> None:
    bounds = np.unique(np.linspace(17, 100_003, 333).astype(np.int64))
    price = mapped.columns[0]
    found = _price_buckets(mapped, bounds)
    for k, (a, b) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        piece = price[a:b]
        expected = (mapped.ts[b - 1], piece[-1], piece.min(), piece.max())
        assert tuple(found[name][k] for name in ("ts", "last", "low", "high")) == expected
