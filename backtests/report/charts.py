"""The charts of one run's report: each from its record alone, and only where there is something to show.

A run shorter than a day is drawn in money, a longer one in percent.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from backtests.metrics import ROLLING_SESSIONS, SESSIONS_MIN, rolling_sharpe
from backtests.report import series
from backtests.report.clock import Clock
from backtests.report.palette import Role
from backtests.report.plots import (
    Chart,
    Format,
    Height,
    Json,
    LegendEntry,
    Mark,
    Plot,
    add_area,
    add_bars,
    add_hover,
    add_level,
    add_line,
    add_marks,
    add_upright,
    currency_text,
    source,
    time_plot,
    value_plot,
)
from papertape.core.record import RunRecord
from papertape.core.series import F8, I8

CLOCK = "run"
"""Name of the clock of a single run's page."""
CUSTOM_MAX = 12
"""Series from ``record()`` that are drawn; the first ones."""
SYMBOLS_MAX = 40
"""Instruments whose price is drawn; those with the most fills."""
PRICE_POINTS = 24_000
"""Points of all price lines together."""
MARKS = 80
"""Marks of a side on one line; more fills than these are drawn together where they are close."""
MARKS_FREE = 600
"""Marks of a side where they lie anywhere."""

_PER_CENT, _PER_BASIS_POINT = 100.0, 10_000.0
_FAR = 6.0
"""A guard's limit this many times deeper than the deepest drawdown is said, since a line there would flatten the chart."""


@dataclass(frozen=True, slots=True)
class _Side:
    name: str
    plural: str
    mark: Mark
    role: Role


_SIDES = (_Side("BUY", "Buys", Mark.UP, Role.GAIN), _Side("SELL", "Sells", Mark.DOWN, Role.LOSS))


@dataclass(frozen=True, slots=True)
class SymbolCharts:
    """An instrument's charts, its price above its position, and how many fills it had."""

    symbol: str
    fills: int
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class RunCharts:
    """Draws the charts of one run; each method gives one, or None where the run has nothing to show in it.

    ``clock`` is that of the page, under the name ``clock_name``. ``is_short``: the run is drawn in money.
    """

    record: RunRecord
    clock: Clock
    is_short: bool
    clock_name: str = CLOCK

    # --- the account

    def equity(self) -> Chart | None:
        """Net liquidation with fills and benchmark; for a short run the profit since its start."""
        record = self.record
        if not len(record.equity["ts"]) or not np.isfinite(record.starting_equity):
            return None
        base = record.starting_equity if self.is_short else 0.0
        ts, values = series.equity_line(record)
        plot = time_plot(self.clock, height=Height.TALL, values=Format.MONEY)
        add_level(plot, record.starting_equity - base, Role.MUTED, dashed=False, alpha=0.5)
        name = "Profit" if self.is_short else "Equity"
        legend = [LegendEntry(name, Role.MAIN, Mark.LINE)]
        benchmark = series.benchmark_line(record)
        if benchmark is not None:
            add_line(plot, self._thin(plot, benchmark[0], benchmark[1] - base), "y", Role.BENCHMARK, dashed=True)
            said = str(record.settings.get("benchmark") or "the benchmark")
            legend.append(LegendEntry(f"the same money in {said}", Role.BENCHMARK, Mark.DASHED))
        line = add_line(plot, self._thin(plot, ts, values - base), "y", Role.MAIN)
        add_hover(plot, [line], {name: f"@y{{{Format.MONEY_EXACT}}} {self._currency}"}, along_line=True)
        legend += self._fills_on_line(plot, ts, values - base)
        what = "Net liquidation less what the run began with" if self.is_short else "Net liquidation"
        note = f"{what}, fees included, marked at every market event. The grey line is where it began."
        return self._chart("equity", name, note, plot, record.currency, legend)

    def _fills_on_line(self, plot: Plot, ts: I8, values: F8) -> list[LegendEntry]:
        legend = []
        for side in _SIDES:
            marks = series.fill_marks(self.record.fills, side.name, self.clock.at, MARKS)
            if not len(marks.ts):
                continue
            at = np.clip(np.searchsorted(ts, marks.ts, "right") - 1, 0, len(ts) - 1)
            data = source(
                plot,
                x=self.clock.at(marks.ts),
                y=values[at],
                n=marks.count,
                quantity=marks.quantity,
                symbols=marks.text,
            )
            drawn = add_marks(plot, data, "y", side.mark, side.role, size=8)
            add_hover(plot, [drawn], {side.plural: "@n", "Units": _units, "Of": "@symbols"})
            legend.append(LegendEntry(side.plural.lower(), side.role, side.mark))
        return legend

    def underwater(self) -> Chart | None:
        """The drawdown over time, with the level at which the guard's loss limit trips."""
        found = series.underwater(self.record)
        if not len(found.ts):
            return None
        values = found.money if self.is_short else found.fraction * _PER_CENT
        shape = Format.MONEY if self.is_short else Format.PERCENT
        unit = self.record.currency if self.is_short else "%"
        plot = time_plot(self.clock, height=Height.MEDIUM, values=shape, base=0.0)
        data = self._thin(plot, found.ts, values)
        add_area(plot, data, "y", Role.LOSS)
        line = add_line(plot, data, "y", Role.LOSS, width=1.2)
        legend = [LegendEntry("below the peak", Role.LOSS, Mark.AREA)]
        exact = f"@y{{{Format.MONEY_EXACT}}} {self._currency if self.is_short else '%'}"
        add_hover(plot, [line], {"Drawdown": exact}, along_line=True)
        floor, far = series.guard_floor(self.record, found.ts), ""
        if floor is not None:
            peak = series.running_peak(self.record, found.ts)
            level = floor - peak if self.is_short else (floor / peak - 1.0) * _PER_CENT
            if level.max() < _FAR * values.min() < 0.0:
                far = f" The guard would trip at {level.max():,.2f} {unit}, far below what is drawn."
            else:
                add_line(plot, self._thin(plot, found.ts, level), "y", Role.WARNING, dashed=True, width=1.4)
                legend.append(LegendEntry("the guard trips below", Role.WARNING, Mark.DASHED))
        note = "How far equity is below its highest value so far, at the worst moment of each stretch of time." + far
        return self._chart("underwater", "Drawdown", note, plot, unit, legend)

    def exposure(self) -> Chart | None:
        """Value of what was held, long above and short below zero."""
        if not len(self.record.fills["ts"]):
            return None
        found = series.exposure(self.record)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = 1.0 if self.is_short else np.where(found.equity > 0.0, _PER_CENT / found.equity, np.nan)
        unit = self.record.currency if self.is_short else "% of equity"
        shape = Format.MONEY if self.is_short else Format.PERCENT
        plot = time_plot(self.clock, height=Height.LOW, values=shape, base=0.0)
        legend, lines = [], []
        for name, values, role in (("long", found.long, Role.MAIN), ("short", found.short, Role.LOSS)):
            if not values.any():
                continue
            scaled = np.nan_to_num(values * scale)
            data = self._steps(plot, found.ts, scaled)
            add_area(plot, data, "y", role)
            lines.append(add_line(plot, data, "y", role, width=1.2))
            legend.append(LegendEntry(name, role, Mark.AREA))
        if not lines:
            return None
        exact = f"@y{{{Format.MONEY_EXACT}}} {self._currency if self.is_short else '%'}"
        add_hover(plot, lines, {"Exposure": exact}, along_line=True)
        note = "Market value of what was held" + ("." if self.is_short else ", as a share of equity.")
        if found.left_out:
            note += f" Without {_named(found.left_out)}: in another currency, or split while held."
        return self._chart("exposure", "Exposure", note, plot, unit, legend)

    # --- what sessions returned

    def distribution(self) -> Chart | None:
        """Daily returns, or for a run of few sessions the profits of its trades, by how often they came."""
        days = series.session_returns(self.record)
        by_trade = self.is_short or len(days.returns) < SESSIONS_MIN
        if by_trade and self._has_many_currencies:
            return None
        values = np.asarray(self.record.trades["pnl"], np.float64) if by_trade else days.returns * _PER_CENT
        values = values[np.isfinite(values)]
        if len(values) < 2:
            return None
        found = series.histogram(values)
        plot = value_plot(
            height=Height.MEDIUM, across=Format.MONEY if by_trade else Format.PERCENT, values=Format.COUNT
        )
        unit = self._currency if by_trade else "%"
        what = "Trades" if by_trade else "Sessions"
        legend = []
        for name, role, here in (
            ("losses", Role.LOSS, found.edges[1:] <= 0.0),
            ("gains", Role.GAIN, found.edges[:-1] >= 0.0),
        ):
            here &= found.count > 0
            if not here.any():
                continue
            left, right = found.edges[:-1][here], found.edges[1:][here]
            bars = source(plot, left=left, right=right, top=found.count[here])
            drawn = add_bars(plot, bars, role)
            rows = {
                what: "@top",
                "From": f"@left{{{Format.MONEY_EXACT}}} {unit}",
                "To": f"@right{{{Format.MONEY_EXACT}}} {unit}",
            }
            add_hover(plot, [drawn], rows, has_time=False)
            legend.append(LegendEntry(name, role, Mark.AREA))
        add_upright(plot, float(values.mean()), Role.INK)
        legend.append(LegendEntry("mean", Role.INK, Mark.DASHED))
        title = "Profit by trade" if by_trade else "Daily returns"
        across = f"profit after fees in {self.record.currency}" if by_trade else "return in %"
        note = f"How many {what.lower()} had which {across}."
        if found.beyond:
            note += f" The outermost bars hold {found.beyond:,} that lie further out."
        return Chart("distribution", title, note, plot, what.lower(), "", tuple(legend))

    def rolling_sharpe(self) -> Chart | None:
        """The Sharpe ratio of the sessions before each session."""
        days = series.session_returns(self.record)
        risk_free = float(self.record.settings.get("risk_free") or 0.0)
        values = rolling_sharpe(days.returns, ROLLING_SESSIONS, risk_free)
        known = np.isfinite(values)
        if np.count_nonzero(known) < 2:
            return None
        plot = time_plot(self.clock, height=Height.MEDIUM, values=Format.NUMBER, base=0.0)
        line = add_line(plot, self._thin(plot, days.ts[known], values[known]), "y", Role.MAIN)
        add_hover(plot, [line], {"Sharpe": "@y{0,0.00}"}, along_line=True)
        whole = self.record.metrics.get("sharpe")
        legend = [LegendEntry(f"{ROLLING_SESSIONS} sessions", Role.MAIN, Mark.LINE)]
        if whole is not None:
            add_level(plot, whole, Role.BENCHMARK)
            legend.append(LegendEntry("the whole run", Role.BENCHMARK, Mark.DASHED))
        note = f"Sharpe ratio of the last {ROLLING_SESSIONS} sessions, by the year: is it a habit or one good month?"
        return self._chart("rolling_sharpe", "Rolling Sharpe", note, plot, "ratio", legend)

    # --- instruments

    def symbols(self) -> tuple[list[SymbolCharts], int]:
        """Charts of the instruments with the most fills, and how many instruments were traded in all."""
        traded = Counter(self.record.fills["symbol"].tolist())
        chosen = traded.most_common(SYMBOLS_MAX)
        points = max(200, min(series.POINTS, PRICE_POINTS // max(len(chosen), 1)))
        return [
            SymbolCharts(symbol, fills, (self._price(k, symbol, points), self._position(k, symbol)))
            for k, (symbol, fills) in enumerate(chosen)
        ], len(traded)

    def _price(self, number: int, symbol: str, points: int) -> Chart:
        fills = self.record.fills
        here = fills["symbol"] == symbol
        kept = self.record.prices.get(symbol)
        has_prices = kept is not None and len(kept["ts"]) > 0
        plot = time_plot(self.clock, height=Height.TALL, values=Format.PRICE)
        legend = []
        ts, price = fills["ts"][here], fills["price"][here]
        if kept is not None and has_prices:
            ts, price = series.bucket_line(kept)
        line = add_line(plot, self._thin(plot, ts, price, points), "y", Role.MAIN, width=1.2, dashed=not has_prices)
        add_hover(plot, [line], {"Price": f"@y{{{Format.PRICE}}}"}, along_line=True)
        legend.append(LegendEntry("price", Role.MAIN, Mark.LINE if has_prices else Mark.DASHED))
        own = {name: column[here] for name, column in fills.items()}
        for side in _SIDES:
            marks = series.fill_marks(own, side.name, self.clock.at, MARKS_FREE // 2)
            if not len(marks.ts):
                continue
            data = source(plot, x=self.clock.at(marks.ts), y=marks.price, n=marks.count, quantity=marks.quantity)
            drawn = add_marks(plot, data, "y", side.mark, side.role)
            rows = {side.plural: "@n", "Units": _units, "Price": f"@y{{{Format.PRICE}}}"}
            add_hover(plot, [drawn], rows)
            legend.append(LegendEntry(side.plural.lower(), side.role, side.mark))
        note = "Price with the run's fills." if has_prices else "The run kept no prices: the line joins its fills."
        return self._chart(f"price-{number}", f"{symbol}: price", note, plot, self._currency_of(symbol), legend)

    def _position(self, number: int, symbol: str) -> Chart:
        steps = series.position_steps(self.record.fills, symbol)
        ts = np.concatenate(([self.record.start], steps.ts, [self.record.end]))
        plot = time_plot(self.clock, height=Height.LOW, values=Format.NUMBER, base=0.0)
        data = self._steps(plot, ts, np.concatenate(([0.0], steps.value, steps.value[-1:])))
        add_area(plot, data, "y", Role.MAIN)
        line = add_line(plot, data, "y", Role.MAIN, width=1.2)
        add_hover(plot, [line], {"Position": _position_shape}, along_line=True)
        note = "Units held, from the fills; short is below zero."
        return self._chart(f"position-{number}", f"{symbol}: position", note, plot, "units", [])

    # --- costs and the strategy's own series

    def slippage(self) -> Chart | None:
        """Each fill's price against the price when its order was decided; a cost is above zero."""
        found = series.fill_slippage(self.record)
        if not len(found.row):
            return None
        in_money = self.is_short and not self._has_many_currencies
        values = found.money if in_money else found.fraction * _PER_BASIS_POINT
        shape = Format.MONEY if in_money else Format.BASIS_POINTS
        unit = self._currency if in_money else "bp"
        plot = time_plot(self.clock, height=Height.MEDIUM, values=shape, base=0.0)
        fills, legend = self.record.fills, []
        for side in _SIDES:
            here = np.flatnonzero(fills["side"][found.row] == side.name)
            if not len(here):
                continue
            here = here[series.thinned(self.clock.at(found.ts[here]), values[here], MARKS_FREE)]
            rows = found.row[here]
            data = source(
                plot,
                x=self.clock.at(found.ts[here]),
                y=values[here],
                symbol=[str(symbol) for symbol in fills["symbol"][rows]],
                quantity=np.asarray(fills["quantity"][rows], np.float64),
                price=np.asarray(fills["price"][rows], np.float64),
            )
            drawn = add_marks(plot, data, "y", side.mark, side.role)
            shown = {side.plural[:-1]: "@symbol", "Units": _units, "Price": f"@price{{{Format.PRICE}}}"}
            add_hover(plot, [drawn], {**shown, "Slippage": f"@y{{0,0.00}} {unit}"})
            legend.append(LegendEntry(side.plural.lower(), side.role, side.mark))
        add_level(plot, float(values.mean()), Role.INK)
        legend.append(LegendEntry("mean", Role.INK, Mark.DASHED))
        note = "Each fill against the mid, else the last price, when its order was decided. Above zero is a cost."
        said = self.record.currency if in_money else "basis points"
        return self._chart("slippage", "Slippage by fill", note, plot, said, legend)

    def custom(self) -> list[Chart]:
        """Series that the strategy recorded itself, the first ``CUSTOM_MAX``."""
        charts = []
        for number, (name, (ts, values)) in enumerate(self.record.custom.items()):
            known = np.isfinite(values)
            if number >= CUSTOM_MAX or not known.any():
                continue
            plot = time_plot(self.clock, height=Height.MEDIUM, values=Format.NUMBER)
            role = Role.SERIES_7
            line = add_line(
                plot, self._thin(plot, ts[known], np.asarray(values[known], np.float64)), "y", role, width=1.3
            )
            add_hover(plot, [line], {"Value": f"@y{{{Format.NUMBER}}}"}, along_line=True)
            note = f"{np.count_nonzero(known):,} values that the strategy recorded."
            charts.append(self._chart(f"custom-{number}", name, note, plot, "", []))
        return charts

    # --- what they share

    def _thin(self, plot: Plot, ts: I8, values: F8, points: int = series.POINTS) -> Json:
        x = self.clock.at(ts)
        keep = series.thinned(x, values, points)
        return source(plot, x=x[keep], y=values[keep])

    def _steps(self, plot: Plot, ts: I8, values: F8) -> Json:
        x = self.clock.at(ts)
        # Thinned before they become corners, so that what is left still goes up and down uprightly.
        keep = series.thinned(x, values, series.POINTS // 2)
        x, values = series.stepped(x[keep], values[keep])
        return source(plot, x=x, y=values)

    def _chart(self, key: str, title: str, note: str, plot: Plot, unit: str, legend: list[LegendEntry]) -> Chart:
        return Chart(key, title, note, plot, unit, self.clock_name, tuple(legend))

    @property
    def _currency(self) -> str:
        return currency_text(self.record.currency)

    def _currency_of(self, symbol: str) -> str:
        columns = self.record.positions
        found = columns["currency"][columns["symbol"] == symbol].tolist()
        return str(found[0]) if found else self.record.currency

    @property
    def _has_many_currencies(self) -> bool:
        return set(self.record.positions["currency"].tolist()) - {self.record.currency} != set()


_units = f"@quantity{{{Format.NUMBER}}}"
_position_shape = f"@y{{{Format.NUMBER}}}"


def _named(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
