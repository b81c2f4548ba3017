"""A comparison in a notebook: its tables as plain HTML with no script, in the notebook's own style."""

from __future__ import annotations

from backtests.compare.comparison import Comparison
from backtests.compare.content import differences_table, headline, metrics_table, overview_table, warning_texts
from backtests.compare.pairing_tables import causes_table, counts_text
from backtests.report.page import escaped, joined
from backtests.report.parts import Align, Table, Tone

_STYLES = {Tone.NONE: "", Tone.GOOD: "color:#00806a;", Tone.BAD: "color:#c8500a;", Tone.WARN: "color:#8f5f00;"}


def notebook_html(comparison: Comparison) -> str:
    """The comparison's tables; ``to_html()`` has the curves as well."""
    tables = [overview_table(comparison), metrics_table(comparison), differences_table(comparison)]
    parts = [f"<h3>{escaped(headline(comparison))}</h3>"]
    parts += [f"<p><b>{escaped(text)}</b></p>" for text in warning_texts(comparison)]
    parts += [_table(each) for each in tables]
    if comparison.pairing is not None:
        parts += [_table(causes_table(comparison.pairing)), f"<p>{escaped(counts_text(comparison.pairing))}</p>"]
    return f'<div class="papertape-comparison">{joined(parts)}</div>'


def _table(table: Table) -> str:
    aligns = ["right" if column.align is Align.RIGHT else "left" for column in table.columns]
    head = "".join(
        f'<th style="text-align:{align}" title="{escaped(column.help)}">{escaped(column.title)}</th>'
        for column, align in zip(table.columns, aligns, strict=True)
    )
    rows = joined(
        "<tr>"
        + "".join(
            f'<td style="text-align:{align};{_STYLES[cell.tone]}">{escaped(cell.text)}</td>'
            for cell, align in zip(row, aligns, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    note = f"<p>{escaped(table.note)}</p>" if table.note else ""
    grid = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if table.rows else ""
    return f"<h4>{escaped(table.title)}</h4>{grid}{note}"
