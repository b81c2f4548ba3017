"""Returns by month and by day as tables of coloured cells: read by eye, by screen readers, and in print."""

from __future__ import annotations

import numpy as np

from backtests.report.page import escaped, joined
from backtests.report.series import Days, compounded
from papertape.core.series import F8

MONTHS_MIN = 2
DAYS_MIN = 10
YEARS_MAX = 8
"""Years of single days that are shown, the last ones."""
LEVELS = 4
"""Steps of colour on each side of zero."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def month_table(days: Days) -> str:
    """HTML of the returns by month, a row a year; empty for less than two months."""
    months, years = compounded(days, "M"), compounded(days, "Y")
    if len(months) < MONTHS_MIN:
        return ""
    scale = _scale(np.array(list(months.values())))
    head = joined(f'<th scope="col">{name}</th>' for name in (*_MONTHS, "Year"))
    rows = []
    for year, whole in sorted(years.items()):
        cells = [_month_cell(months.get((year - 1970) * 12 + k), scale) for k in range(12)]
        rows.append(f'<tr><th scope="row">{year}</th>{joined(cells)}<td class="whole">{_text(whole)}</td></tr>')
    return (
        '<div class="card wide"><h3>Returns by month</h3><p class="note">In percent, compounded from the sessions of '
        'the month; the colour says how large.</p><div class="scroll heat" tabindex="0" role="region" '
        f'aria-label="Returns by month"><table class="months"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{joined(rows)}</tbody></table></div></div>"
    )


def day_table(days: Days) -> str:
    """HTML of the returns by day, a column a week, a table a year; empty for fewer than ``DAYS_MIN`` sessions."""
    if len(days.date) < DAYS_MIN:
        return ""
    scale = _scale(days.returns)
    years = days.date.astype("M8[D]").astype("M8[Y]").astype(int) + 1970
    shown = np.unique(years)[-YEARS_MAX:].tolist()
    tables = joined(
        _year_table(year, Days(days.date[years == year], days.ts[years == year], days.returns[years == year]), scale)
        for year in shown
    )
    return (
        '<div class="card wide"><h3>Returns by day</h3><p class="note">A column is a week; point at a day for its '
        f"figure. The strongest colours are from {scale * 100:.2f} % on, up or down.</p>"
        f'<div class="scroll heat" tabindex="0" role="region" aria-label="Returns by day">{tables}</div></div>'
    )


def _year_table(year: int, days: Days, scale: float) -> str:
    weekday = (days.date + 3) % 7  # 1970-01-01 was a Thursday
    week = (days.date - weekday - (int(np.datetime64(f"{year}-01-01", "D").astype(int)))) // 7
    week = week - int(week.min())
    cells = {(int(w), int(d)): k for k, (w, d) in enumerate(zip(week, weekday, strict=True))}
    months = days.date.astype("M8[D]").astype("M8[M]").astype(int) % 12
    head, before = [], -1
    for w in range(int(week.max()) + 1):
        here = months[week == w]
        month = int(here[0]) if len(here) else before
        head.append(f"<th>{_MONTHS[month] if month != before else ''}</th>")
        before = month
    rows = []
    for d in range(max(5, int(weekday.max()) + 1)):
        row = [_day_cell(days, cells.get((w, d)), scale) for w in range(int(week.max()) + 1)]
        name = _WEEKDAYS[d]
        rows.append(f'<tr><th scope="row">{name}</th>{"".join(row)}</tr>')
    return (
        f'<table class="days"><caption>{year}</caption><thead><tr><th></th>{"".join(head)}</tr></thead>'
        f"<tbody>{joined(rows)}</tbody></table>"
    )


def _scale(values: F8) -> float:
    """The size from which on a colour is the strongest: the 95 % quantile, so that one odd day does not pale the rest."""
    return float(np.quantile(np.abs(values), 0.95)) if len(values) else 0.0


def _level(value: float, scale: float) -> str:
    """The class of a cell: zero, up1 to up4, down1 to down4."""
    if not value or not scale > 0.0:
        return "zero"
    size = min(LEVELS, 1 + int(abs(value) / scale * LEVELS * 0.999))
    return f"{'up' if value > 0 else 'down'}{size}"


def _text(value: float) -> str:
    rounded = round(value * 100.0, 2) + 0.0
    return escaped(f"{rounded:+.2f}" if rounded else "0.00")


def _month_cell(value: float | None, scale: float) -> str:
    return "<td></td>" if value is None else f'<td class="{_level(value, scale)}">{_text(value)}</td>'


def _day_cell(days: Days, k: int | None, scale: float) -> str:
    if k is None:
        return "<td></td>"
    value = float(days.returns[k])
    said = f"{np.datetime64(int(days.date[k]), 'D')}  {_text(value)} %"
    return f'<td class="{_level(value, scale)}" title="{said}"><span class="unseen">{_text(value)}</span></td>'
