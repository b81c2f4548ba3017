"""``papertape import``: data of other programs, once, into files that papertape reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Turn other programs' data into files that papertape reads.")


@app.callback()
def _imports() -> None:
    """Turn other programs' data into files that papertape reads."""


@app.command()
def lean(
    source: Annotated[str, typer.Argument(metavar="SRC", help="LEAN's data folder.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="Where the tapes go, one folder a resolution.")],
    factors: Annotated[
        bool, typer.Option("--factors", help="Adjust by splits and dividends; else prices as they traded.")
    ] = False,
    symbols: Annotated[str | None, typer.Option(metavar="A,B", help="Only these.")] = None,
    resolutions: Annotated[str | None, typer.Option(metavar="tick,minute", help="Only these.")] = None,
    compress: Annotated[bool, typer.Option("--compress", help="Write .csv.gz.")] = False,
) -> int:
    """Import LEAN's zip files of US equities."""
    from feeds.lean import import_lean
    from papertape.cli.text import clean, emit, table

    summary = import_lean(
        Path(source),
        Path(target),
        factors=factors,
        symbols=None if symbols is None else [each.strip() for each in symbols.split(",")],
        resolutions=None if resolutions is None else [each.strip() for each in resolutions.split(",")],
        compress=compress,
    )
    rows = [
        (each.resolution, each.kind, each.symbol, f"{each.rows:,}", f"{each.dropped:,}", f"{each.merged:,}")
        for each in summary.files
    ]
    header = ("resolution", "kind", "symbol", "rows", "dropped", "merged")
    lines = table(header, rows, left=("resolution", "kind", "symbol"))
    prices = "adjusted by factors" if summary.adjusted else f"prices as traded, {summary.actions:,} corporate actions"
    lines.append(f"{summary.rows:,} rows in {clean(summary.folder)}, {prices}")
    if summary.without_factors:
        named = ", ".join(summary.without_factors[:10])
        more = f" and {len(summary.without_factors) - 10} more" if len(summary.without_factors) > 10 else ""
        lines.append(f"no factor file, so splits and dividends are unknown: {named}{more}")
    resolution = summary.files[0].resolution if summary.files else "minute"
    bars = " --set bars=1m" if resolution == "tick" else ""
    lines += ["", f"try: papertape backtest sma_cross --data {Path(target) / resolution}{bars}"]
    emit("\n".join(lines))
    return 0
