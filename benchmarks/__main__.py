"""``python -m benchmarks``: measure rows of the table and write the page."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import (
    against_backtrader,
    against_nautilus,
    backtrader_bridge,
    csv_runs,
    filtered,
    gateway_load,
    kernels,
    looking,
    memory,
    movers,
    paper_flood,
    paper_latency,
    startup,
    unfiltered,
)
from benchmarks.measure import Plan, Row
from benchmarks.page import machine, page

BENCHMARKS: Mapping[str, Callable[[Plan], Iterator[Row]]] = {
    "filtered": filtered.measure,
    "unfiltered": unfiltered.measure,
    "nautilus": against_nautilus.measure,
    "backtrader": against_backtrader.measure,
    "bridge": backtrader_bridge.measure,
    "movers": movers.measure,
    "csv": csv_runs.measure,
    "memory": memory.measure,
    "startup": startup.measure,
    "report": looking.measure_report,
    "compare": looking.measure_compare,
    "gateway": gateway_load.measure,
    "paper": paper_latency.measure,
    "flood": paper_flood.measure,
    "kernels": kernels.measure,
}
"""Name -> the rows that it measures, in the table's order."""
PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print each row when it is there, and write the page; 1 where a bound was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios, measured side by side.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(BENCHMARKS)} (all)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, once: shows that all works, nothing more")
    parser.add_argument("--full", action="store_true", help="also what needs 9 GB of disk")
    parser.add_argument(
        "--folder", type=Path, help="where large files go for the time being (the system's usual place)"
    )
    parser.add_argument(
        "--out", help="the page to write; - for none (default: docs/benchmarks.md where all is measured)"
    )
    given = parser.parse_args(arguments)
    for name in given.names:
        if name not in BENCHMARKS:
            parser.error(f'there is no benchmark "{name}"; known: {", ".join(BENCHMARKS)}')
    names = given.names or list(BENCHMARKS)
    with tempfile.TemporaryDirectory(prefix="papertape-bench-", dir=given.folder) as folder:
        plan = Plan(Path(folder), quick=given.quick, full=given.full)
        rows = measured(names, plan)
    target = given.out or (None if given.quick or given.names else str(PAGE))
    if target not in (None, "-"):
        Path(str(target)).write_text(page(rows, plan), encoding="utf-8")
        say(f"written to {target}")
    missed = [row for row in rows if row.value is not None and row.verdict() == "MISSED"]
    return 1 if missed and not given.quick else 0


def measured(names: Sequence[str], plan: Plan) -> list[Row]:
    """Measure, one after the other, and say what came out."""
    say(machine())
    rows: list[Row] = []
    for name in names:
        for row in BENCHMARKS[name](plan):
            rows.append(row)
            value = "" if row.value is None else f"{row.value:.3g}{row.bound.unit}"
            say(
                f"{name}: {row.what}\n    {value}  [{row.bound.text(row.bound.required)}]  {'' if plan.quick else row.verdict()}"
            )
            for detail in (*map(str, row.sides), row.note):
                if detail:
                    say(f"    {detail}")
    return rows


def say(text: str) -> None:
    """A line on the terminal, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
