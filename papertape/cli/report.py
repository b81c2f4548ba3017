"""``papertape report``: the whole report of one run, on the terminal or as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PAGE_NAME = "report.html"


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, the start or end of its name, or last.")],
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write it as one page that works offline, here.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--open", help=f"Open the page in the browser; without --html it is {PAGE_NAME} in the run.")
    ] = False,
    folder: Annotated[str, typer.Option("--in", metavar="DIR", help="Where runs are kept.")] = "runs",
) -> int:
    """Report on a run: figures, charts and tables, on the terminal or as a page (--html, --open)."""
    from papertape.cli.find_run import opened_to_look_at
    from papertape.cli.text import emit

    opened = opened_to_look_at(run, Path(folder))
    if html is None and not show:
        from papertape.cli.terminal import full_lines

        emit("\n".join(full_lines(opened)))
        return 0
    from backtests.report.document import report_html
    from papertape.cli.pages import open_page, write_page

    assert opened.path is not None, "it was opened from disk"
    page = Path(html) if html is not None else opened.path / PAGE_NAME
    write_page(page, report_html(opened.record, run_name=opened.path.name))
    emit(f"the report is in {page}")
    if show:
        open_page(page)
    return 0
