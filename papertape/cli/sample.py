"""``papertape sample``: a generated market to try things on."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from feeds.sample import SampleSummary


def sample(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Missing, empty, or an earlier sample.")],
    symbols: Annotated[int, typer.Option(help="How many companies.")] = 50,
    days: Annotated[int, typer.Option(help="How many sessions.")] = 5,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal bytes.")] = 7,
    start: Annotated[
        str, typer.Option(metavar="DATE", help="The first session is on or after this date.")
    ] = "2024-06-03",
) -> int:
    """Write a synthetic market to try things on.

    Trades, quotes, one-minute bars, instruments and corporate actions of companies that do not exist.
    """
    from papertape.cli.text import emit
    from papertape.core.errors import ConfigError

    try:
        first = dt.date.fromisoformat(start)
    except ValueError:
        raise ConfigError(f'--start "{start}": a date as 2024-06-03 is needed') from None
    emit("\n".join(sample_lines(make_sample(Path(folder), symbols, days, seed, first))))
    return 0


def make_sample(folder: Path, symbols: int, days: int, seed: int, start: dt.date | None = None) -> SampleSummary:
    """Write the sample, with a progress bar."""
    from feeds.sample import DEFAULT_START, write_sample
    from papertape.cli.progress import Bar

    with Bar("writing", "symbols") as bar:
        return write_sample(
            folder,
            symbols=symbols,
            days=days,
            seed=seed,
            start=start or DEFAULT_START,
            on_symbol=lambda done, of: bar.show(done / of, done),
        )


def sample_lines(summary: SampleSummary) -> list[str]:
    """What was written, and what to do with it."""
    from papertape.cli.text import heading, size_text, warn

    halted = len(summary.halts)
    counts = f"{summary.trades:,} trades, {summary.quotes:,} quotes, {summary.bars:,} one-minute bars"
    return [
        f"{heading('Sample')} in {summary.folder}  {warn('SYNTHETIC')}",
        f"  {len(summary.symbols)} companies that do not exist, {summary.dates[0]} to {summary.dates[-1]}",
        f"  {counts}, {size_text(summary.size)}",
        f"  {len(summary.movers)} days on which a company made news, {halted} on which trading was halted",
        "",
        f"try: papertape backtest tick_momentum --data {summary.folder}",
    ]
