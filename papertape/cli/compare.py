"""``papertape compare``: runs beside each other, and where two of them parted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN RUN...", help="Runs' folders, starts or ends of their names, or last.")
    ],
    base: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run that differences are taken to; the first one without it.")
    ] = None,
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write a page to look at offline.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    tolerance: Annotated[
        float, typer.Option(metavar="SECONDS", help="Orders of two runs decided so far apart can be the same decision.")
    ] = 60.0,
    folder: Annotated[str, typer.Option("--in", metavar="DIR", help="Where runs are kept.")] = "runs",
) -> int:
    """Compare runs: metrics with their differences, what was set differently, and whether it is more than chance.

    Two runs of one strategy that overlap in time are paired too: each decision and fill of one with that of the other.
    """
    from backtests.compare.opening import compare as compare_runs
    from papertape.cli.find_run import find_run
    from papertape.cli.text import clean, emit

    found = [find_run(run, Path(folder)) for run in runs]
    paths = (
        list(dict.fromkeys(path.resolve() for path in found)) if len(found) > 2 else [each.resolve() for each in found]
    )
    number = 0
    if base is not None:
        wanted = find_run(base, Path(folder)).resolve()
        if wanted not in paths:
            paths.insert(0, wanted)
        number = paths.index(wanted)
    comparison = compare_runs(*paths, base=number, tolerance_s=tolerance)
    if html is not None:
        from papertape.cli.pages import write_page

        write_page(Path(html), comparison.to_html())
    if as_json:
        from backtests.compare.plain import comparison_json

        emit(json.dumps(comparison_json(comparison), indent=2, allow_nan=False))
        return 0
    from papertape.cli.comparison_text import comparison_lines

    lines = comparison_lines(comparison)
    if html is not None:
        lines += ["", f"written to {clean(html)}"]
    emit("\n".join(lines))
    return 0
