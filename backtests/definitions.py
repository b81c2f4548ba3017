"""What each metric means and how it is shown: the table behind the help in reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """How a metric is shown."""

    PERCENT = "percent"  # a fraction: 0.05 is shown as 5.00 %
    RATIO = "ratio"
    MONEY = "money"  # in the run's base currency
    COUNT = "count"
    DURATION = "duration"  # seconds


class Better(StrEnum):
    """Which direction of a metric is the better one."""

    HIGHER = "higher"
    LOWER = "lower"
    NONE = "none"


NOT_AVAILABLE = "n/a"


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric: its key in ``compute_metrics``, title, meaning, unit, and which direction is better.

    A drawdown and a loss are negative numbers, hence HIGHER is better for them too.
    """

    key: str
    title: str
    text: str
    unit: Unit
    better: Better = Better.NONE

    def show(self, value: float | None) -> str:
        """The value as a report shows it; n/a where it is undefined."""
        return NOT_AVAILABLE if value is None else _SHOW[self.unit](value)


def _duration(seconds: float) -> str:
    """Seconds in the largest unit that they fill: 42.0 s, 3.5 min, 2.0 h, 1.3 d."""
    for size, name in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} s"


_SHOW = {
    Unit.PERCENT: lambda value: f"{value * 100:z,.2f} %",
    Unit.RATIO: lambda value: f"{value:z,.2f}",
    Unit.MONEY: lambda value: f"{value:z,.2f}",
    Unit.COUNT: lambda value: f"{value:z,.0f}",
    Unit.DURATION: _duration,
}

_P, _R, _M, _C, _D = Unit.PERCENT, Unit.RATIO, Unit.MONEY, Unit.COUNT, Unit.DURATION
_HIGHER, _LOWER = Better.HIGHER, Better.LOWER
_20 = " Not shown below 20 sessions."
_30 = " Not shown below 30 calendar days."

DEFINITIONS: tuple[Definition, ...] = (
    Definition("net_profit", "Net profit", "E_end - E_start, fees included.", _M, _HIGHER),
    Definition("total_return", "Total return", "E_end / E_start - 1.", _P, _HIGHER),
    Definition("cagr", "CAGR", "(E_end / E_start) ^ (365.25 / calendar days) - 1." + _30, _P, _HIGHER),
    Definition(
        "max_drawdown",
        "Max drawdown",
        "Deepest fall of equity below its running maximum, marked at every market event.",
        _P,
        _HIGHER,
    ),
    Definition("max_drawdown_daily", "Max drawdown (daily)", "The same on the daily series only.", _P, _HIGHER),
    Definition("calmar", "Calmar", "CAGR / abs(max drawdown)." + _30, _R, _HIGHER),
    Definition("volatility", "Volatility", "std(daily returns, ddof 1) x sqrt(252)." + _20, _P, _LOWER),
    Definition(
        "sharpe",
        "Sharpe",
        "mean(r - rf) / std(r - rf, ddof 1) x sqrt(252) of daily returns; rf = yearly rate / 252." + _20,
        _R,
        _HIGHER,
    ),
    Definition(
        "sortino",
        "Sortino",
        "mean(r - rf) x 252 / (sqrt(sum(min(r - rf, 0)^2) / N) x sqrt(252)), N = all days." + _20,
        _R,
        _HIGHER,
    ),
    Definition(
        "var_95", "VaR 95 %", "5 % quantile of daily returns, historical; a loss is negative." + _20, _P, _HIGHER
    ),
    Definition("cvar_95", "CVaR 95 %", "Mean of the daily returns up to the VaR." + _20, _P, _HIGHER),
    Definition("skew", "Skew", "Third central moment of daily returns / std(ddof 0)^3." + _20, _R),
    Definition("excess_kurtosis", "Excess kurtosis", "Fourth central moment / std(ddof 0)^4 - 3." + _20, _R),
    Definition("beta", "Beta", "cov / var of daily returns against the benchmark." + _20, _R),
    Definition("alpha", "Alpha", "(mean(r - rf) - beta x mean(b - rf)) x 252." + _20, _P, _HIGHER),
    Definition("correlation", "Correlation", "Pearson's, of daily returns with the benchmark." + _20, _R),
    Definition("trades", "Trades", "Closed lots, matched first in, first out; fees split over lots by quantity.", _C),
    Definition("win_rate", "Win rate", "Trades with a profit after fees / all trades.", _P, _HIGHER),
    Definition("profit_factor", "Profit factor", "Sum of wins / abs(sum of losses).", _R, _HIGHER),
    Definition("expectancy", "Expectancy", "Mean profit of a trade after fees.", _M, _HIGHER),
    Definition("average_win", "Average win", "Mean profit of the winning trades.", _M, _HIGHER),
    Definition("average_loss", "Average loss", "Mean profit of the losing trades (negative).", _M, _HIGHER),
    Definition("payoff", "Payoff", "Average win / abs(average loss).", _R, _HIGHER),
    Definition("best_trade", "Best trade", "Largest profit of a trade after fees.", _M, _HIGHER),
    Definition("worst_trade", "Worst trade", "Smallest profit of a trade after fees.", _M, _HIGHER),
    Definition("average_duration_s", "Average duration", "Mean time from entry to exit.", _D),
    Definition(
        "longest_win_streak", "Longest winning streak", "Most wins in a row, in the order of exits.", _C, _HIGHER
    ),
    Definition(
        "longest_loss_streak", "Longest losing streak", "Most losses in a row, in the order of exits.", _C, _LOWER
    ),
    Definition("average_mae", "Average MAE", "Mean of each trade's worst unrealised profit, before fees.", _M, _HIGHER),
    Definition("average_mfe", "Average MFE", "Mean of each trade's best unrealised profit, before fees.", _M, _HIGHER),
    Definition("exposure", "Exposure", "Share of the time from start to end with a position.", _P),
    Definition("turnover", "Turnover", "Value of all fills, buys and sells / mean of the daily equity.", _R),
    Definition("fees", "Fees", "All fees paid.", _M, _LOWER),
    Definition(
        "slippage",
        "Slippage",
        "Sum of side x (average price - arrival price) x quantity; arrival is the mid, else the last price, at the "
        "decision. Positive is a cost.",
        _M,
        _LOWER,
    ),
    Definition("orders_submitted", "Orders", "All orders that the strategy placed.", _C),
    Definition("orders_filled", "Orders filled", "Orders that filled completely.", _C),
    Definition("orders_partly_filled", "Orders partly filled", "Orders with a fill that never became complete.", _C),
    Definition("orders_cancelled", "Orders cancelled", "Orders that ended cancelled, with or without a fill.", _C),
    Definition("orders_rejected", "Orders rejected", "Orders that were refused.", _C, _LOWER),
    Definition("orders_expired", "Orders expired", "Orders whose time in force ran out.", _C),
    Definition("open_positions", "Open positions", "Instruments held at the end; open lots are not trades.", _C),
)
"""All metrics, in the order of a report."""

DEFINITION_OF: Mapping[str, Definition] = {definition.key: definition for definition in DEFINITIONS}
"""Definition by key."""
