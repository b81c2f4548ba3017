"""``papertape runs``: the runs that are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def runs(
    folder: Annotated[str, typer.Argument(metavar="[DIR]", help="Where runs are kept.")] = "runs",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> int:
    """List the runs in a folder, the oldest first."""
    from backtests.definitions import DEFINITION_OF
    from papertape.cli.text import clean, emit, table
    from papertape.core.errors import DataError
    from papertape.runs import list_runs

    found: list[dict[str, Any]] = []
    damaged = []
    for run in list_runs(Path(folder)):
        assert run.path is not None, "it was found on disk"
        try:
            metrics = run.metrics
        except DataError as error:
            damaged.append(f"left out: {clean(error)}")
            continue
        filled = [metrics.get("orders_filled"), metrics.get("orders_partly_filled")]
        found.append(
            {
                "run": run.path.name,
                "strategy": run.strategy,
                "mode": run.mode,
                "total_return": metrics.get("total_return"),
                "max_drawdown": metrics.get("max_drawdown"),
                "orders_filled": int(sum(each or 0.0 for each in filled)),
                "synthetic": bool(run.manifest["synthetic"]),
                "guard_tripped": bool(run.manifest["guard_tripped"]),
            }
        )
    for line in damaged:
        emit(line, to_stderr=True)
    if as_json:
        emit(json.dumps(found, indent=2, allow_nan=False))
    elif not found:
        emit(f"no runs in {folder}")
    else:
        rows = [
            (
                each["run"][:16] + " " + each["run"].rpartition("-")[2],
                each["strategy"],
                DEFINITION_OF["total_return"].show(each["total_return"]),
                DEFINITION_OF["max_drawdown"].show(each["max_drawdown"]),
                f"{each['orders_filled']:,}",
                " ".join(word for word in ("synthetic", "guard_tripped") if each[word]).replace("_", " "),
            )
            for each in found
        ]
        header = ("written (UTC) and id", "strategy", "return", "drawdown", "filled", "")
        emit("\n".join(table(header, rows, left=("written (UTC) and id", "strategy", ""))))
    return 0
