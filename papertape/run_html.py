"""A run as a small piece of HTML for a notebook: its headline figures and its equity as a picture. Self-contained."""

from __future__ import annotations

import html
from collections.abc import Iterable

import numpy as np

from papertape.core.model import NS_PER_S
from papertape.core.record import RunRecord
from papertape.moments import time_text

WIDTH, HEIGHT, MARGIN = 560, 120, 90
POINTS = 280
"""Spans of time of which the picture shows the lowest and the highest equity."""

_DAY_NS = 86_400 * NS_PER_S
_LONG = (
    ("total_return", "Total return"), ("cagr", "CAGR"), ("max_drawdown", "Max drawdown"), ("sharpe", "Sharpe"),
    ("trades", "Trades"), ("win_rate", "Win rate"), ("fees", "Fees"),
)  # fmt: skip
_SHORT = (
    ("expectancy", "Expectancy"), ("trades", "Trades"), ("win_rate", "Win rate"), ("max_drawdown", "Max drawdown"),
    ("fees", "Fees"),
)  # fmt: skip
"""Metric and its title, which is that of its definition; nothing by the year of a run shorter than a day."""
_PERCENT = ("total_return", "cagr", "max_drawdown", "win_rate")
_MONEY = ("expectancy", "fees", "net_profit")


def run_html(record: RunRecord, place: str = "") -> str:
    """The piece of HTML; ``place`` is where the run is kept. Every text in it is escaped."""
    figures = "".join(
        f'<div style="white-space:nowrap"><dt style="opacity:.7;font-weight:normal">{_escaped(title)}</dt>'
        f'<dd style="margin:0;font-weight:bold">{_escaped(text)}</dd></div>'
        for title, text in _figures(record)
    )
    warning = "<b>SYNTHETIC TAPE</b> " if record.synthetic else ""
    tripped = "<b>GUARD TRIPPED</b> " if record.guard_tripped else ""
    stored = f'<div style="opacity:.7">{_escaped(place)}</div>' if place else ""
    return (
        '<div style="font-family:system-ui,sans-serif;font-size:13px;font-variant-numeric:tabular-nums">'
        f"<div><b>{_escaped(record.strategy)}</b> {_escaped(record.mode)} {warning}{tripped}</div>"
        f'<div style="opacity:.7">{_escaped(_span(record))}</div>'
        f'<dl style="display:flex;flex-wrap:wrap;gap:4px 22px;margin:6px 0">{figures}</dl>'
        f"{_picture(record)}{stored}</div>"
    )


def _escaped(text: object) -> str:
    return html.escape(str(text), quote=True)


def _span(record: RunRecord) -> str:
    if not record.events:
        return "no events"
    return f"{time_text(record.start, record.zone)} to {time_text(record.end, record.zone)}, {record.events:,} events"


def _figures(record: RunRecord) -> Iterable[tuple[str, str]]:
    yield "Final equity", _shown("net_profit", record.final_equity, record.currency)
    yield "Net profit", _shown("net_profit", record.metrics.get("net_profit"), record.currency)
    for key, title in _SHORT if record.end - record.start < _DAY_NS else _LONG:
        yield title, _shown(key, record.metrics.get(key), record.currency)


def _shown(key: str, value: float | None, currency: str) -> str:
    if value is None or value != value:
        return "n/a"
    if key in _PERCENT:
        return f"{value * 100:z,.2f} %"
    if key in _MONEY:
        return f"{value:z,.2f} {currency}"
    return f"{value:z,.0f}" if key == "trades" else f"{value:z,.2f}"


def _picture(record: RunRecord) -> str:
    """Equity over the marked buckets as an SVG; its extremes are in it, nights take no room. Empty without equity."""
    low, high = (np.asarray(record.equity[name], dtype=np.float64) for name in ("low", "high"))
    known = np.isfinite(low) & np.isfinite(high)
    low = np.concatenate(([record.starting_equity], low[known]))
    high = np.concatenate(([record.starting_equity], high[known]))
    if len(low) < 2 or not np.isfinite(low[0]):
        return ""
    starts = np.unique(np.linspace(0, len(low), min(POINTS, len(low)), endpoint=False).astype(np.int64))
    lows, highs = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    bottom, top = float(lows.min()), float(highs.max())
    scale = (HEIGHT - 8) / ((top - bottom) or 1.0)
    x = starts / max(1, len(low) - 1) * (WIDTH - 4) + 2

    def points(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
        return " ".join(f"{a:.1f},{HEIGHT - 4 - (b - bottom) * scale:.1f}" for a, b in zip(x, values, strict=True))

    start_y = HEIGHT - 4 - (record.starting_equity - bottom) * scale
    label = f"Equity from {bottom:,.2f} to {top:,.2f} {record.currency}"
    band = f"{points(highs)} {' '.join(reversed(points(lows).split(' ')))}"
    return (
        f'<svg role="img" aria-label="{_escaped(label)}" viewBox="0 0 {WIDTH + MARGIN} {HEIGHT}" width="{WIDTH + MARGIN}" '
        f'style="max-width:100%;height:auto" fill="none" stroke="currentColor"><title>{_escaped(label)}</title>'
        f'<path d="M2 {start_y:.1f}H{WIDTH - 2}" stroke-dasharray="2 4" stroke-opacity=".5"/>'
        f'<polygon points="{band}" fill="currentColor" fill-opacity=".25" stroke-width="1" stroke-linejoin="round"/>'
        f'<g fill="currentColor" stroke="none" font-size="11"><text x="{WIDTH + 6}" y="12">{top:,.2f}</text>'
        f'<text x="{WIDTH + 6}" y="{HEIGHT - 2}">{bottom:,.2f}</text></g></svg>'
    )
