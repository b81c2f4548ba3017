"""A comparison as one JSON-able object."""

from __future__ import annotations

from typing import Any

from backtests.compare.comparison import ComparedRun, Comparison
from backtests.compare.content import warning_texts
from backtests.compare.pairing import Match, Pairing
from backtests.compare.parity import ROWS_MAX, Parity
from papertape.runs import iso_utc
from papertape.store import plain


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Runs in their order with all metrics, differences and inputs; what is unknown or not applicable is None.

    Amounts and differences are unrounded. Lists of values have one for each run.
    """
    found = {
        "base": comparison.runs[comparison.base].name,
        "runs": [_run(run) for run in comparison.runs],
        "metrics": {
            row.definition.key: {
                "values": row.values,
                "differences": row.differences,
                "better": row.definition.better,
                "best": [comparison.runs[number].name for number in row.best],
            }
            for row in comparison.rows
        },
        "inputs_that_differ": {each.key: each.values for each in comparison.differences},
        "warnings": warning_texts(comparison),
        "correlation_of_daily_returns": comparison.correlation.tolist(),
        "pairing": None if comparison.pairing is None else _pairing(comparison.pairing),
        "not_paired_because": comparison.pairing_note or None,
        "row_by_row": None if comparison.parity is None else _parity(comparison.parity),
    }
    result: dict[str, Any] = plain(found)
    return result


def _run(run: ComparedRun) -> dict[str, Any]:
    daily = run.daily_difference
    return {
        "name": run.name,
        "strategy": run.strategy,
        "mode": run.mode,
        "start": iso_utc(run.start),
        "end": iso_utc(run.end),
        "currency": run.currency,
        "sessions": run.sessions,
        "differs_in": run.differs_in,
        "attributable_to": run.attributable_to,
        "daily_difference": None
        if daily is None
        else {
            "mean": daily.mean, "low": daily.low, "high": daily.high, "level": daily.level,
            "sessions": daily.sessions, "block": daily.block,
        },
    }  # fmt: skip


def _pairing(pairing: Pairing) -> dict[str, Any]:
    counts = {
        name: {match.value: pairing.count(table, match) for match in Match}
        for name, table in (("orders", pairing.orders), ("fills", pairing.fills))
    }
    return {
        "first": pairing.a,
        "second": pairing.b,
        "start": iso_utc(pairing.start),
        "end": iso_utc(pairing.end),
        "tolerance_s": pairing.tolerance_s,
        "currency": pairing.currency,
        "profit_first": pairing.profit_a,
        "profit_second": pairing.profit_b,
        "difference": pairing.difference,
        "causes": {cause.value: amount for cause, amount in pairing.causes.items()},
        "by_symbol": {
            symbol: {cause.value: amount for cause, amount in causes.items()}
            for symbol, causes in pairing.by_symbol.items()
        },
        **counts,
        "notes": pairing.notes,
    }


def _parity(parity: Parity) -> dict[str, Any]:
    listed = [
        {"table": each.table, "row": each.row, "value": each.column, "first": each.a, "second": each.b}
        for each in parity.differences[:ROWS_MAX]
    ]
    return {
        "orders": parity.orders,
        "fills": parity.fills,
        "guard_events": parity.guard_events,
        "refusals": parity.refusals,
        "differences": len(parity.differences),
        "first_differences": listed,
    }
