"""The numbers of a report: each with one definition, printed beside it on request.

Base series: equity is net liquidation marked at every market event, fees included; the daily series is the last value
before each session's close, its first point the starting equity. What is undefined is ``None`` (shown as n/a), never
0, infinite or -100 %. The functions work on arrays of any length; ``compute_metrics`` hides what is too short to
mean anything: statistics of daily returns below ``SESSIONS_MIN`` sessions, growth by the year below ``DAYS_MIN`` days.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtests.definitions import DEFINITIONS
from papertape.core.record import Columns, RunRecord
from papertape.core.series import F8

SESSIONS_PER_YEAR = 252
DAYS_PER_YEAR = 365.25
SESSIONS_MIN = 20
DAYS_MIN = 30.0
ROLLING_SESSIONS = 60

_NS_PER_DAY = 86_400e9
_NOISE = 1e-14
"""Spread of returns that is rounding: a return is a ratio near 1 less 1, hence exact to some 2e-16 only."""

Number = float | None


def daily_returns(equity: F8) -> F8 | None:
    """Returns between consecutive values, shape (n - 1,); None where a value is not positive: it has no returns."""
    if len(equity) == 0 or not (equity > 0.0).all():
        return None
    return equity[1:] / equity[:-1] - 1.0


def total_return(start: float, end: float) -> Number:
    """Gain from ``start`` to ``end`` as a fraction of ``start``; None where that is not positive."""
    return end / start - 1.0 if start > 0.0 else None


def cagr(start: float, end: float, days: float) -> Number:
    """Growth by the year over ``days`` calendar days, as a fraction; None where nothing is left or no time passed."""
    if not (start > 0.0 and end > 0.0 and days > 0.0):
        return None
    exponent = DAYS_PER_YEAR / days * math.log(end / start)
    return math.expm1(exponent) if exponent < 700.0 else None


def volatility(returns: F8) -> Number:
    """Standard deviation of daily returns (ddof 1) by the year, as a fraction; None below two returns."""
    return float(returns.std(ddof=1)) * math.sqrt(SESSIONS_PER_YEAR) if len(returns) > 1 else None


def sharpe(returns: F8, risk_free: float = 0.0) -> Number:
    """Mean over standard deviation (ddof 1) of excess daily returns, by the year; None where they do not vary.

    ``risk_free`` is a rate per year; a day's is that / 252.
    """
    if len(returns) < 2:
        return None
    excess = returns - risk_free / SESSIONS_PER_YEAR
    spread = float(excess.std(ddof=1))
    return float(excess.mean()) / spread * math.sqrt(SESSIONS_PER_YEAR) if spread > _NOISE else None


def sortino(returns: F8, risk_free: float = 0.0) -> Number:
    """Mean excess daily return over its downside deviation (over all days), by the year; None without a bad day."""
    if len(returns) == 0:
        return None
    excess = returns - risk_free / SESSIONS_PER_YEAR
    below = np.minimum(excess, 0.0)
    downside = math.sqrt(float(below @ below) / len(returns))
    return float(excess.mean()) / downside * math.sqrt(SESSIONS_PER_YEAR) if downside > _NOISE else None


def max_drawdown(equity: F8) -> Number:
    """Deepest fall below the running maximum, a fraction <= 0; None where the first value is not positive."""
    if len(equity) == 0 or not equity[0] > 0.0:
        return None
    return float((equity / np.maximum.accumulate(equity)).min()) - 1.0


def calmar(growth: Number, drawdown: Number) -> Number:
    """CAGR over the depth of the deepest drawdown; None where either is unknown or nothing was ever lost."""
    return growth / abs(drawdown) if growth is not None and drawdown else None


def value_at_risk(returns: F8, level: float = 0.05) -> Number:
    """The return that the worst ``level`` of days fall below (interpolated quantile); a loss is negative."""
    return float(np.quantile(returns, level)) if len(returns) else None


def conditional_value_at_risk(returns: F8, level: float = 0.05) -> Number:
    """Mean of the returns up to the value at risk; a loss is negative.

    They are the 1 + floor(level x (n - 1)) worst days: counted, not compared, for equal returns differ by rounding.
    """
    if len(returns) == 0:
        return None
    count = 1 + int(level * (len(returns) - 1))
    return float(np.partition(returns, count - 1)[:count].mean())


def _moment(returns: F8, power: int) -> Number:
    """Central moment over the same power of the standard deviation (ddof 0); None where returns do not vary."""
    if len(returns) < 2:
        return None
    centred = returns - returns.mean()
    variance = float((centred * centred).mean())
    return float((centred**power).mean()) / variance ** (power / 2) if math.sqrt(variance) > _NOISE else None


def skew(returns: F8) -> Number:
    """Skewness g1: third central moment over the cube of the standard deviation (ddof 0)."""
    return _moment(returns, 3)


def excess_kurtosis(returns: F8) -> Number:
    """Excess kurtosis g2: fourth central moment over the squared variance (ddof 0), less 3."""
    fourth = _moment(returns, 4)
    return None if fourth is None else fourth - 3.0


def beta(returns: F8, benchmark: F8) -> Number:
    """Covariance with the benchmark's daily returns over their variance; None where the benchmark does not vary."""
    if len(returns) < 2:
        return None
    b = benchmark - benchmark.mean()
    variance = float(b @ b)
    return float((returns - returns.mean()) @ b) / variance if _varies(b) else None


def alpha(returns: F8, benchmark: F8, risk_free: float = 0.0) -> Number:
    """(mean excess return - beta x mean excess return of the benchmark) x 252, as a fraction."""
    slope = beta(returns, benchmark)
    if slope is None:
        return None
    rate = risk_free / SESSIONS_PER_YEAR
    return (float(returns.mean()) - rate - slope * (float(benchmark.mean()) - rate)) * SESSIONS_PER_YEAR


def correlation(returns: F8, benchmark: F8) -> Number:
    """Pearson's correlation of daily returns; None where either does not vary."""
    if len(returns) < 2:
        return None
    r, b = returns - returns.mean(), benchmark - benchmark.mean()
    if not (_varies(r) and _varies(b)):
        return None
    return min(max(float(r @ b) / math.sqrt(float(r @ r) * float(b @ b)), -1.0), 1.0)


def _varies(centred: F8) -> bool:
    return math.sqrt(float(centred @ centred) / len(centred)) > _NOISE


def rolling_sharpe(returns: F8, window: int = ROLLING_SESSIONS, risk_free: float = 0.0) -> F8:
    """Sharpe ratio of each ``window`` consecutive days at its last day; NaN before the first and where undefined."""
    result = np.full(len(returns), np.nan)
    if window < 2 or len(returns) < window:
        return result
    windows = np.lib.stride_tricks.sliding_window_view(returns - risk_free / SESSIONS_PER_YEAR, window)
    spread = windows.std(axis=1, ddof=1)
    varies = spread > _NOISE
    result[window - 1 :][varies] = windows.mean(axis=1)[varies] / spread[varies] * math.sqrt(SESSIONS_PER_YEAR)
    return result


def longest_streak(flags: NDArray[np.bool_]) -> int:
    """Length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def trade_metrics(trades: Columns) -> dict[str, Number]:
    """Statistics of closed trades (TRADE_COLUMNS, in the order of their exits); a trade of exactly 0 is neither."""
    pnl: F8 = trades["pnl"]
    count = len(pnl)
    if count == 0:
        return {"trades": 0, **dict.fromkeys(_TRADE_KEYS)}
    won, lost = pnl > 0.0, pnl < 0.0
    wins, losses = pnl[won], pnl[lost]
    average_win = float(wins.mean()) if len(wins) else None
    average_loss = float(losses.mean()) if len(losses) else None
    payoff = average_win / -average_loss if average_win is not None and average_loss is not None else None
    return {
        "trades": count,
        "win_rate": len(wins) / count,
        "profit_factor": float(wins.sum()) / -float(losses.sum()) if len(losses) else None,
        "expectancy": float(pnl.mean()),
        "average_win": average_win,
        "average_loss": average_loss,
        "payoff": payoff,
        "best_trade": float(pnl.max()),
        "worst_trade": float(pnl.min()),
        "average_duration_s": float((trades["exit_ts"] - trades["entry_ts"]).mean()) / 1e9,
        "longest_win_streak": longest_streak(won),
        "longest_loss_streak": longest_streak(lost),
        "average_mae": _mean_of_known(trades["mae"]),
        "average_mfe": _mean_of_known(trades["mfe"]),
    }


_TRADE_KEYS = (
    "win_rate", "profit_factor", "expectancy", "average_win", "average_loss", "payoff", "best_trade", "worst_trade",
    "average_duration_s", "longest_win_streak", "longest_loss_streak", "average_mae", "average_mfe",
)  # fmt: skip


def _mean_of_known(values: F8) -> Number:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def slippage(orders: Columns, multipliers: Mapping[str, float] | None = None) -> Number:
    """What fills cost against the price at which their orders were decided, in currency; positive is a cost.

    Sum over orders with fills and a known arrival price of side x (average price - arrival price) x filled x
    multiplier; None where there is no such order.
    """
    filled: F8 = orders["filled"]
    known = (filled > 0.0) & ~np.isnan(orders["arrival_price"])
    if not known.any():
        return None
    sign = np.where(np.asarray(orders["side"] == "BUY", dtype=np.bool_), 1.0, -1.0)
    cost = sign * (orders["average_price"] - orders["arrival_price"]) * filled * _multiplier(orders, multipliers)
    return float(cost[known].sum())


def turnover(fills: Columns, equity: F8, multipliers: Mapping[str, float] | None = None) -> Number:
    """Value of all fills, buys and sells, over the average of the daily equity; None where that is not positive."""
    average = float(equity.mean()) if len(equity) else 0.0
    if not average > 0.0:
        return None
    value = np.abs(fills["quantity"] * fills["price"]) * _multiplier(fills, multipliers)
    return float(value.sum()) / average


def _multiplier(columns: Columns, multipliers: Mapping[str, float] | None) -> Any:
    """Multiplier of each row, or 1.0 where all are."""
    if not multipliers or all(value == 1.0 for value in multipliers.values()):
        return 1.0
    return np.array([multipliers.get(symbol, 1.0) for symbol in columns["symbol"].tolist()])


def activity_metrics(record: RunRecord, equity: F8, multipliers: Mapping[str, float] | None) -> dict[str, Number]:
    """How much was traded and what it cost; ``equity`` is the daily series with its starting point."""
    orders, duration = record.orders, record.end - record.start
    status = Counter(orders["status"].tolist())
    partly = (orders["filled"] > 0.0) & (orders["filled"] < orders["quantity"] * (1.0 - 1e-12))
    return {
        "exposure": record.time_in_market_ns / duration if duration > 0 else None,
        "turnover": turnover(record.fills, equity, multipliers),
        "fees": float(record.fills["fee"].sum()),
        "slippage": slippage(orders, multipliers),
        "orders_submitted": len(orders["status"]),
        "orders_filled": status["FILLED"],
        "orders_partly_filled": int(np.count_nonzero(partly)),
        "orders_cancelled": status["CANCELLED"],
        "orders_rejected": status["REJECTED"],
        "orders_expired": status["EXPIRED"],
        "open_positions": int(np.count_nonzero(record.positions["quantity"])),
    }


_DAILY_KEYS = ("volatility", "sharpe", "sortino", "var_95", "cvar_95", "skew", "excess_kurtosis")
_BENCHMARK_KEYS = ("beta", "alpha", "correlation")


def daily_metrics(returns: F8, risk_free: float, benchmark: F8 | None) -> dict[str, Number]:
    """Statistics of daily returns; those against a benchmark use the days on which it is known (not NaN)."""
    result: dict[str, Number] = {
        "volatility": volatility(returns),
        "sharpe": sharpe(returns, risk_free),
        "sortino": sortino(returns, risk_free),
        "var_95": value_at_risk(returns),
        "cvar_95": conditional_value_at_risk(returns),
        "skew": skew(returns),
        "excess_kurtosis": excess_kurtosis(returns),
        **dict.fromkeys(_BENCHMARK_KEYS),
    }
    if benchmark is not None:
        known = ~np.isnan(benchmark)
        own, other = returns[known], benchmark[known]
        if len(own) >= SESSIONS_MIN:
            result["beta"] = beta(own, other)
            result["alpha"] = alpha(own, other, risk_free)
            result["correlation"] = correlation(own, other)
    return result


def compute_metrics(
    record: RunRecord,
    *,
    risk_free: float = 0.0,
    benchmark: F8 | None = None,
    multipliers: Mapping[str, float] | None = None,
) -> dict[str, Number]:
    """Every metric of ``DEFINITIONS`` for a run, by key; None where it is undefined or the run too short for it.

    ``risk_free`` is a rate per year (0.03 is 3 %). ``benchmark`` holds daily returns, one for each of the run's
    sessions, NaN where unknown. ``multipliers`` maps symbols to units of currency per point of price, 1 where
    absent. Closed trades are taken from ``record.trades``. Raises ValueError where the benchmark's length differs
    from the number of sessions.
    """
    daily: F8 = record.daily["equity"]
    sessions = len(daily)
    if benchmark is not None and len(benchmark) != sessions:
        raise ValueError(f"the benchmark has {len(benchmark)} daily returns for {sessions} sessions")
    equity = np.concatenate(([record.starting_equity], daily))
    days = (record.end - record.start) / _NS_PER_DAY
    growth = cagr(record.starting_equity, record.final_equity, days) if days >= DAYS_MIN else None
    returns = daily_returns(equity) if sessions >= SESSIONS_MIN else None
    result: dict[str, Number] = {
        "net_profit": record.final_equity - record.starting_equity,
        "total_return": total_return(record.starting_equity, record.final_equity),
        "cagr": growth,
        "max_drawdown": record.drawdown.depth,
        "max_drawdown_daily": max_drawdown(equity) if sessions else None,
        "calmar": calmar(growth, record.drawdown.depth),
        **(
            dict.fromkeys(_DAILY_KEYS + _BENCHMARK_KEYS)
            if returns is None
            else daily_metrics(returns, risk_free, benchmark)
        ),
        **trade_metrics(record.trades),
        **activity_metrics(record, equity, multipliers),
    }
    return {each.key: _finite(result[each.key]) for each in DEFINITIONS}


def _finite(value: Number) -> Number:
    return value if value is not None and math.isfinite(value) else None
