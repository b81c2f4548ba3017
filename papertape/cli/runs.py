"""``papertape runs``: the runs that are kept, to list, delete and star."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

LIST = "list"


class _ListByDefault(TyperGroup):
    """``papertape runs`` and its options alone list."""

    default = LIST

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.rich_markup_mode = None

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        """Arguments in which the command stands first."""
        if not arguments or (arguments[0] not in self.commands and arguments[0] != "--help"):
            arguments = [self.default, *arguments]
        return super().parse_args(context, arguments)


class ModeName(StrEnum):
    """Modes of a run."""

    BACKTEST = "backtest"
    PAPER = "paper"
    LIVE = "live"


app = typer.Typer(
    cls=_ListByDefault,
    help="List the runs that are kept (papertape runs list --help has the filters), delete and star them.",
)
Names = Annotated[list[str], typer.Argument(metavar="RUN...", help="Folder, start or end of its name, or last.")]
Folder = Annotated[str, typer.Option("--in", metavar="DIR", help="Where runs are kept.")]


def _filter(metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel="Only some of them")


@app.command(LIST)
def list_(
    place: Annotated[
        str | None, typer.Argument(metavar="DIR", help="Where runs are kept; the default is runs.")
    ] = None,
    strategy: Annotated[str | None, _filter("NAME", "Of this strategy.")] = None,
    mode: Annotated[ModeName | None, _filter("MODE", "In this mode: backtest, paper or live.")] = None,
    symbol: Annotated[str | None, _filter("A", "That traded it, or were limited to it.")] = None,
    since: Annotated[str | None, _filter("TIME", "Written since then (UTC), as 2026-01-31, or 12h or 7d ago.")] = None,
    text: Annotated[str | None, _filter("TEXT", "With this in their name, parameters or configuration.")] = None,
    starred: Annotated[
        bool, typer.Option("--starred", help="Starred ones.", rich_help_panel="Only some of them")
    ] = False,
    sort: Annotated[
        str | None, typer.Option(metavar="METRIC", help="Best first by a metric, as sharpe; else oldest first.")
    ] = None,
    folder: Folder = "runs",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with all metrics.")] = False,
) -> int:
    """List the runs in a folder, the oldest first."""
    from papertape.cli.run_list import Filter, as_plain, check_sort, list_lines, selected, since_time, sorted_runs
    from papertape.cli.text import clean, emit
    from papertape.shelf import kept_runs

    check_sort(sort)
    place = folder if place is None else place
    wanted = Filter(strategy, mode, symbol, since_time(since), text, starred)
    kept = kept_runs(Path(place))
    shown = sorted_runs(selected(kept, wanted), sort)
    if as_json:
        emit(json.dumps([as_plain(each) for each in shown], indent=2, allow_nan=False))
    elif not shown:
        emit(f"no runs in {place}" if not kept else f"none of the {len(kept):,} runs in {place} is such a run")
    else:
        emit("\n".join(list_lines(shown, sort, of=len(kept))))
    for each in shown:
        if each.damage:
            emit(f"damaged: {clean(each.path)}: {clean(each.damage)}", to_stderr=True)
    return 0


@app.command()
def delete(
    runs: Names,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    folder: Folder = "runs",
) -> int:
    """Delete runs for good: all that are named, or none where one of them cannot be."""
    from papertape.cli.text import clean, emit
    from papertape.core.errors import ConfigError
    from papertape.shelf import deletable, delete_run

    doomed = [deletable(path) for path in _found(runs, folder)]
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("nobody is there to ask; delete without asking with --yes")
        for path in doomed:
            emit(f"  {clean(path)}", to_stderr=True)
        if not typer.confirm(f"delete {_counted(doomed)} for good?", err=True):
            emit("nothing is deleted")
            return 0
    for path in doomed:
        delete_run(path)
    emit(f"deleted {_counted(doomed)}")
    return 0


@app.command()
def star(runs: Names, folder: Folder = "runs") -> int:
    """Star runs: they are marked in the list, and not deleted."""
    return _set_stars(runs, folder, starred=True)


@app.command()
def unstar(runs: Names, folder: Folder = "runs") -> int:
    """Take the star from runs."""
    return _set_stars(runs, folder, starred=False)


def _set_stars(runs: list[str], folder: str, *, starred: bool) -> int:
    from papertape.cli.text import emit
    from papertape.shelf import set_star
    from papertape.store import run_file

    found = _found(runs, folder)
    for path in found:
        run_file(path)  # all of them are runs before the first is changed
    for path in found:
        set_star(path, starred=starred)
    emit(f"{'starred' if starred else 'took the star from'} {_counted(found)}")
    return 0


def _found(names: list[str], folder: str) -> list[Path]:
    """The folders that names stand for, each once."""
    from papertape.cli.find_run import find_run
    from papertape.store import FILE_NAME

    paths = (find_run(name, Path(folder)) for name in names)
    folders = [path.parent if path.name == FILE_NAME else path for path in paths]
    return list({path.resolve(): path for path in folders}.values())


def _counted(paths: list[Path]) -> str:
    return f"{len(paths):,} run{'s' if len(paths) != 1 else ''}"
