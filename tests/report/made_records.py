"""Records of runs as small as a test needs them, with the metrics that a run of theirs would have."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backtests.metrics import compute_metrics
from papertape.core.model import NS_PER_S, Note, Scan, ScanRow, Severity
from papertape.core.record import (
    FILL_COLUMNS,
    ORDER_COLUMNS,
    POSITION_COLUMNS,
    TRADE_COLUMNS,
    Columns,
    Drawdown,
    GuardEvent,
    RunRecord,
)
from papertape.store import DAILY_COLUMNS, EQUITY_COLUMNS, POINT_COLUMNS

OPEN = 1_717_421_400 * NS_PER_S  # 2024-06-03 09:30 New York, a Monday
DAY = 86_400 * NS_PER_S
MINUTE = 60 * NS_PER_S
CLOSE = OPEN + 390 * MINUTE
FIRST_DATE = 19_877  # 2024-06-03
NAN = math.nan


def columns(layout: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> Columns:
    """Rows as columns of the layout's types."""
    made = {name: np.empty(len(rows), dtype=code) for name, code in layout.items()}
    for number, row in enumerate(rows):
        for name, value in zip(layout, row, strict=True):
            made[name][number] = value
    return made


def order(number: int, ts: int, symbol: str, side: str, quantity: float, **changes: Any) -> tuple[Any, ...]:
    """A row of ORDER_COLUMNS: a market order that filled a minute later at 100."""
    row: dict[str, Any] = dict.fromkeys(ORDER_COLUMNS, 0)
    row |= {
        "number": number, "ts": ts, "symbol": symbol, "side": side, "type": "MARKET", "quantity": quantity,
        "limit_price": NAN, "stop_price": NAN, "tif": "DAY", "status": "FILLED", "filled": quantity,
        "average_price": 100.0, "fee": 1.0, "arrival_price": 99.0, "ts_final": ts + MINUTE, "reason": "", "tag": "",
    }  # fmt: skip
    return tuple((row | changes).values())


def a_record(**changes: Any) -> RunRecord:
    """A run of one session: AAA bought and sold with a profit, <b>BBB</b> bought and still held, one order refused."""
    base: dict[str, Any] = {
        "strategy": "Jumps",
        "mode": "backtest",
        "start": OPEN,
        "end": CLOSE,
        "events": 1_234_567,
        "currency": "USD",
        "starting_equity": 100_000.0,
        "final_equity": 100_097.0,
        "cash": {"USD": 99_097.0},
        "orders": columns(ORDER_COLUMNS, [
            order(1, OPEN + 10 * MINUTE, "AAA", "BUY", 10.0),
            order(2, OPEN + 20 * MINUTE, "AAA", "SELL", 10.0, average_price=110.0, arrival_price=110.5),
            order(3, OPEN + 30 * MINUTE, "<b>BBB</b>", "BUY", 10.0, type="LIMIT", limit_price=100.0),
            order(4, OPEN + 40 * MINUTE, "AAA", "SELL", 5.0, status="REJECTED", filled=0.0, average_price=NAN,
                  reason="it would go short"),
        ]),
        "fills": columns(FILL_COLUMNS, [
            (OPEN + 11 * MINUTE, "AAA", "BUY", 10.0, 100.0, 1.0, 1, False),
            (OPEN + 21 * MINUTE, "AAA", "SELL", 10.0, 110.0, 1.0, 2, False),
            (OPEN + 31 * MINUTE, "<b>BBB</b>", "BUY", 10.0, 100.0, 1.0, 3, True),
        ]),
        "positions": columns(POSITION_COLUMNS, [
            ("AAA", "USD", 0.0, NAN, 110.0, 0.0, 0.0, 98.0), ("<b>BBB</b>", "USD", 10.0, 100.0, 100.0, 1000.0, 0.0, 0.0),
        ]),
        "trades": columns(TRADE_COLUMNS, [
            ("AAA", "LONG", 10.0, OPEN + 11 * MINUTE, OPEN + 21 * MINUTE, 100.0, 110.0, 2.0, 98.0, 0.098, -5.0, 120.0),
        ]),
        "equity": columns(EQUITY_COLUMNS, [
            (OPEN + 11 * MINUTE, 99_999.0, 99_994.0, 99_999.0), (OPEN + 21 * MINUTE, 100_098.0, 99_999.0, 100_119.0),
            (CLOSE, 100_097.0, 100_090.0, 100_098.0),
        ]),
        "points": columns(POINT_COLUMNS, [(OPEN + 11 * MINUTE, 99_999.0)]),
        "daily": columns(DAILY_COLUMNS, [(FIRST_DATE, CLOSE, 100_097.0, NAN)]),
        "drawdown": Drawdown(90.0 / 100_119.0 * -1.0, OPEN + 20 * MINUTE, CLOSE, 0, 100_119.0, 100_029.0),
        "time_in_market_ns": 369 * MINUTE,
        "scans": [
            Scan("MOST_ACTIVE", OPEN + 5 * MINUTE, (ScanRow(0, "CCC"), ScanRow(1, "AAA")), "derived"),
            Scan("MOST_ACTIVE", OPEN + 25 * MINUTE, (ScanRow(0, "AAA"), ScanRow(1, "<b>BBB</b>")), "derived"),
        ],
        "guard": [GuardEvent(OPEN + 50 * MINUTE, "refused", "max_order_quantity", "9 is more than 5", 3)],
        "notes": [
            Note("skipped-rows", "rows that could not be used, skipped (t.csv)", Severity.WARNING, 7),
            Note("something", "something else"),
        ],
        "log": [(OPEN + MINUTE, "hello\x1b[2J")],
        "settings": {
            "cash": 100_000.0, "fees": "per-share:0.1", "fees_text": "0.1 a share.", "benchmark": None,
            "parameters": {"up": 0.05, "symbols": []}, "symbols": [], "sources": ["t.csv"], "calendar": "XNYS",
            "guard": {"max_order_quantity": 5.0, "basis": "net_liquidation", "reference": "peak", "flatten": False},
        },
        "fingerprint": "f00d",
        "code_hash": "c0de",
        "versions": {"python": "3.11"},
        "elapsed_s": 0.5,
    }  # fmt: skip
    record = RunRecord(**(base | changes))
    return record if "metrics" in changes else dataclasses.replace(record, metrics=compute_metrics(record))


def many_sessions(count: int = 40, **changes: Any) -> RunRecord:
    """A run of ``count`` sessions on consecutive days, one trade in each, gains and losses in turn."""
    profits = [(120.0 if k % 3 else -150.0) + k for k in range(count)]
    equity = 100_000.0 + np.cumsum(profits)
    opens, closes = [OPEN + k * DAY for k in range(count)], [CLOSE + k * DAY for k in range(count)]
    trades = [
        ("AAA" if k % 2 else "BBB", "LONG", 10.0, opens[k], closes[k], 100.0, 100.0 + profits[k] / 10, 0.0, profits[k],
         profits[k] / 1000.0, min(profits[k], -1.0), max(profits[k], 1.0))
        for k in range(count)
    ]  # fmt: skip
    peaks = np.maximum.accumulate(np.concatenate(([100_000.0], equity)))[1:]
    depth = equity / peaks - 1.0
    at = int(np.argmin(depth))
    return a_record(**{
        "end": closes[-1],
        "final_equity": float(equity[-1]),
        "trades": columns(TRADE_COLUMNS, trades),
        "equity": columns(EQUITY_COLUMNS, [(closes[k], equity[k], equity[k] - 1.0, equity[k]) for k in range(count)]),
        "daily": columns(DAILY_COLUMNS, [(FIRST_DATE + k, closes[k], equity[k], NAN) for k in range(count)]),
        "drawdown": Drawdown(float(depth[at]), closes[max(at - 1, 0)], closes[at], 0, float(peaks[at]), float(equity[at])),
        **changes,
    })  # fmt: skip
