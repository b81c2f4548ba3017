"""Charts of a run in characters: equity, drawdown, what came of each period, trade and instrument."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from backtests.report.cells import amount_text, sign_tone
from backtests.report.clock import run_clock
from backtests.report.parts import Tone
from backtests.report.series import underwater
from papertape.cli.graphics import Ink, area, bars, deepest_in_columns, histogram, in_columns, ink_for, sparkline
from papertape.cli.text import INDENT, clean, heading, toned, wrapped
from papertape.core.record import RunRecord
from papertape.holdings import currency_of
from papertape.moments import column_text, time_text

HEIGHT = 5
BARS_SHOWN = 12
SESSIONS_AS_BARS = 12
"""Up to so many sessions each has a bar; more are summed by month."""
TRADES_FOR_HISTOGRAM = 5
BINS = 24
BAR_WIDTH = 44


def chart_lines(record: RunRecord, width: int, ink: Ink | None = None) -> list[str]:
    """Equity as an area, drawdown as a line below it, nights left out; nothing where equity was never marked."""
    ink = ink or ink_for()
    equity = record.equity
    if not len(equity["ts"]):
        return []
    clock, fall = run_clock(record), underwater(record)
    x = clock.at(np.concatenate(([record.start], equity["ts"]))).astype(np.float64)
    last = np.concatenate(([record.starting_equity], equity["last"]))
    highest, lowest = (float(each) for each in (np.fmax.reduce(equity["high"]), np.fmin.reduce(equity["low"])))
    extremes = [
        amount_text(np.fmax(highest, record.starting_equity)),
        amount_text(np.fmin(lowest, record.starting_equity)),
    ]
    deepest = f"{min(record.drawdown.depth, 0.0) * 100:.2f} %"
    margin = max(map(len, [*extremes, deepest]))
    room = width - len(INDENT) - margin - 2
    labels = [extremes[0], *[""] * (HEIGHT - 2), extremes[1]]
    curve = area(in_columns(x, last, clock.end, room), HEIGHT, ink)
    depth = deepest_in_columns(clock.at(fall.ts).astype(np.float64), fall.fraction, clock.end, room)
    return [
        f"{heading('Equity')}, {record.currency}",
        *(f"{INDENT}{label:>{margin}}  {line}".rstrip() for label, line in zip(labels, curve, strict=True)),
        f"{heading('Drawdown')}, the deeper the higher",
        f"{INDENT}{deepest:>{margin}}  {toned(sparkline(-depth, ink).rstrip(), Tone.BAD)}",
        f"{INDENT}{'':>{margin}}  {_axis(record, room)}",
        *wrapped(_fall_text(record)),
    ]


def _axis(record: RunRecord, room: int) -> str:
    """The dates at both ends, or the times where the run is of one session."""
    start, end = (column_text(at, record.zone, 0) for at in (record.start, record.end))
    if len(record.daily["ts"]) > 1:
        start, end = start[:10], end[:10]
    else:
        end = end[11:]
    return f"{start}{end:>{room - len(start)}}"


def _fall_text(record: RunRecord) -> str:
    """The deepest fall in words: how much, from when to when."""
    fall = record.drawdown
    if not fall.depth < 0.0:
        return "equity never fell below its running maximum"
    began, deepest = (time_text(ts, record.zone) for ts in (fall.peak_ts or record.start, fall.trough_ts))
    over = f"recovered {time_text(fall.recovery_ts, record.zone)}" if fall.recovery_ts else "not recovered"
    money = f"{amount_text(fall.trough - fall.peak)} {record.currency}"
    return f"deepest: {money} from {began} to {deepest}, {over}"


def period_lines(record: RunRecord, width: int, ink: Ink | None = None) -> list[str]:
    """Profit of each session, or of each month where they are many; and how the profits of trades are spread."""
    ink = ink or ink_for()
    lines = _periods(record, width, ink)
    pnl = record.trades["pnl"]
    if len(pnl) >= TRADES_FOR_HISTOGRAM:
        title = f"{heading('Profits of trades')}, how many from the worst to the best"
        ends = [amount_text(float(value), signed=True) for value in (pnl.min(), pnl.max())]
        lines += ["", title] if lines else [title]
        lines.append(f"{INDENT}{ends[0]}  {histogram(pnl, BINS, ink)}  {ends[1]}")
    return lines


def _periods(record: RunRecord, width: int, ink: Ink) -> list[str]:
    equity = np.concatenate(([record.starting_equity], record.daily["equity"]))
    if len(equity) < 3:
        return []
    days = record.daily["date"].astype("M8[D]").astype(str).tolist()
    name = "session"
    profits = dict(zip(days, np.diff(equity).tolist(), strict=True))
    if len(days) > SESSIONS_AS_BARS:
        name = "month"
        months: dict[str, float] = defaultdict(float)
        for day, profit in profits.items():
            months[day[:7]] += profit
        profits = months
    shown = list(profits.items())[-BARS_SHOWN:]
    which = f", the last {BARS_SHOWN} of {len(profits):,}" if len(profits) > BARS_SHOWN else ""
    return [f"{heading(f'Profit by {name}')}, {record.currency}{which}", *_bar_lines(shown, width, ink)]


def instrument_lines(record: RunRecord, width: int, ink: Ink | None = None) -> list[str]:
    """Profit of closed trades by instrument, the largest gains and losses; nothing for a single instrument."""
    ink = ink or ink_for()
    profits: dict[str, float] = defaultdict(float)
    for symbol, pnl in zip(record.trades["symbol"].tolist(), record.trades["pnl"].tolist(), strict=True):
        profits[symbol] += pnl
    known = currency_of(record)
    currencies = {known[each] for each in profits}
    if len(profits) < 2 or len(currencies) > 1:
        return []
    largest = sorted(profits.items(), key=lambda each: -abs(each[1]))[:BARS_SHOWN]
    which = f", the {BARS_SHOWN} largest of {len(profits):,}" if len(profits) > BARS_SHOWN else ""
    title = f"{heading('Profit of trades by instrument')}, {currencies.pop()}{which}"
    return [title, *_bar_lines(sorted(largest, key=lambda each: -each[1]), width, ink)]


def _bar_lines(pairs: Sequence[tuple[str, float]], width: int, ink: Ink) -> Iterable[str]:
    names = [clean(name) for name, _ in pairs]
    amounts = [amount_text(value, signed=True) for _, value in pairs]
    label, amount = max(map(len, names)), max(map(len, amounts))
    room = min(BAR_WIDTH, max(10, width - len(INDENT) - label - amount - 4))
    drawn = bars([value for _, value in pairs], room, ink)
    for name, text, bar, (_, value) in zip(names, amounts, drawn, pairs, strict=True):
        yield f"{INDENT}{name:<{label}}  {text:>{amount}}  {toned(bar.rstrip(), sign_tone(value))}"
