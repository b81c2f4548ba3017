"""The table of reports never overflows, however commands and fills take turns."""

from __future__ import annotations

import numpy as np
import pytest

from backtests.engine import run_tape
from backtests.settings import Settings
from papertape.core.model import EventKind
from papertape.core.series import Series, Tape
from papertape.core.state import State
from strategies.base import Strategy

OPEN = 1_704_292_200_000_000_000  # 2024-01-03 09:30 New York
REFUSALS = 40
ROOM = len(State(1, 1).reports)


class Nibbler(Strategy):
    """An order that fills one unit a trade until the table is nearly full; then orders that nobody can pay."""

    fills: int = 0

    def on_start(self) -> None:
        self.heard = 0
        self.subscribe("X")
        self.buy("X", 1_000_000)

    def on_trade(self, trade):
        self.heard += 1
        if self.heard == self.fills:
            for _ in range(REFUSALS):
                self.buy("X", 100_000_000, limit=trade.price)


@pytest.mark.parametrize("left", [1, 9, 10, 17, 33, 39, 60])
def test_orders_that_are_refused_when_the_table_of_reports_is_nearly_full_are_all_reported(left):
    n = ROOM + 200
    ts = OPEN + np.arange(n) * 1_000_000
    tape = Tape((Series("X", EventKind.TRADE, ts, (np.full(n, 1.0), np.full(n, 100.0))),), {})
    settings = Settings(cash=1_000_000.0, fees="none", volume_share=0.01)
    record = run_tape(Nibbler(fills=ROOM - left), tape, settings)
    rejected = record.orders["status"] == "REJECTED"
    assert rejected.sum() == REFUSALS
    assert set(record.orders["reason"][rejected]) == {"not enough cash"}
    assert len(record.fills["ts"]) == n
    assert record.positions["quantity"].tolist() == [float(n)]
