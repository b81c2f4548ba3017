"""Top movers on a year of minute bars against adding up the same columns: what is not looked at must cost nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.measure import Bound, Check, Direction, Plan, Row, Timing, side_by_side
from benchmarks.tapes import MINUTE_NS, Minutes, minutes
from papertape import Run, backtest
from strategies.top_movers import TopMovers

BOUND = Bound(Direction.AT_MOST, 25.0, 5.0, " times")
SCAN_MINUTES = 30
TOP = 5
PRICE_ABOVE, VOLUME_ABOVE = 1.0, 10_000.0


def _run(bars: Minutes) -> Run:
    """One decision a day at 10:00, out five minutes before the close; fees as by hand."""
    strategy = TopMovers(
        scan_at="10:00",
        top=TOP,
        price_above=PRICE_ABOVE,
        volume_above=VOLUME_ABOVE,
        market_cap_below_millions=None,
    )
    return backtest(strategy, bars.tables, bar_stamp="open", fees="none")


def _sum(bars: Minutes) -> float:
    return sum(float(np.sum(column)) for column in bars.columns())


def _chosen(bars: Minutes) -> list[tuple[int, str]]:
    """(time of the decision, symbol) of each purchase, found by looking at every symbol's columns directly."""
    names = list(bars.tables)
    bounds = bars.bounds.tolist()
    found: list[tuple[int, str]] = []
    for k in range(1, len(bounds) - 1):  # the first session has no prior close to rank against
        a, b = bounds[k], bounds[k] + SCAN_MINUTES
        ranked = []
        for name in names:
            table = bars.tables[name]
            last, volume = float(table["close"][b - 1]), float(table["volume"][a:b].sum())
            if last > PRICE_ABOVE and volume > VOLUME_ABOVE:
                ranked.append((-(last / float(table["close"][a - 1]) - 1.0), -volume, name))
        rises = {}
        for _, _, name in sorted(ranked)[:TOP]:
            opening, last = float(bars.tables[name]["open"][a]), float(bars.tables[name]["close"][b - 1])
            if last > opening:
                rises[name] = (last - opening, last / opening - 1.0)
        now = int(bars.tables[names[0]]["ts"][b - 1]) + MINUTE_NS
        best = [max(rises, key=lambda name, part=part: rises[name][part]) for part in (0, 1) if rises]  # type: ignore[misc]
        found += [(now, name) for name in dict.fromkeys(best)]
    return found


def _check(run: Run, bars: Minutes) -> None:
    """The purchases are the ones found directly; each fills at the next bar's open; all is sold the same day."""
    fills, orders = run.record.fills, run.record.orders
    is_order, is_fill = orders["side"] == "BUY", fills["side"] == "BUY"
    check = Check("top movers")
    decided = list(zip(orders["ts"][is_order].tolist(), orders["symbol"][is_order].tolist(), strict=True))
    check.equal("decisions", decided, _chosen(bars))
    expected = []
    for ts, name in decided:
        table = bars.tables[name]
        expected.append(float(table["open"][int(np.searchsorted(table["ts"], ts, "left"))]))
    check.equal("prices of purchases", sorted(fills["price"][is_fill].tolist()), sorted(expected))
    signed = np.where(is_fill, -1.0, 1.0) * fills["quantity"] * fills["price"]
    check.equal("cash", run.record.cash["USD"], 100_000.0 + float(signed.sum()), 1e-4)
    check.equal("positions", float(np.abs(run.record.positions["quantity"]).sum()), 0.0)
    check.done()


def measure(plan: Plan) -> Iterator[Row]:
    """Fifty symbols, 252 sessions."""
    bars = minutes(plan.size(50, 6), plan.size(252, 8))
    run = _run(bars)
    _check(run, bars)
    times = side_by_side({"ours": lambda: _run(bars), "theirs": lambda: _sum(bars)}, plan.repeats)
    ours = Timing("backtest()", times["ours"], len(bars))
    theirs = Timing("np.sum", times["theirs"], len(bars))
    what = (
        f"top_movers on {len(bars.tables)} symbols, {len(bars):,} one-minute bars, against np.sum of their six columns"
    )
    note = f"{len(run.record.scans)} scans, {len(run.record.orders['ts'])} orders"
    yield Row(what, BOUND, ours.median / theirs.median, (ours, theirs), note)
