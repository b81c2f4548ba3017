"""``papertape guard``: what a person may do about a guard that has tripped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class _PlainGroup(TyperGroup):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.rich_markup_mode = None


app = typer.Typer(
    cls=_PlainGroup, help="Look at why a paper or live run gives no more orders, and let it give orders again."
)
Name = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, the start or end of its name, or last.")]
Folder = Annotated[str, typer.Option("--in", metavar="DIR", help="Where runs are kept.")]


@app.callback()
def _group() -> None:
    """Keep ``reset`` a command of its own: alone it would be the group."""


@app.command()
def reset(run: Name, folder: Folder = "runs") -> int:
    """Let a run that tripped or was halted give orders again when it is resumed.

    Asks for the run's name, typed on a terminal. The limits are then measured from the account as it is when the run
    goes on, not from where it began.
    """
    from papertape.cli.text import clean, emit
    from papertape.core.errors import UserError
    from papertape.live.resume import find_resumable, latched, refuse_alive, reset_guard

    found = find_resumable(run, Path(folder))
    name = found.resolve().name
    refuse_alive(found)
    why = latched(found)
    if not why:
        raise UserError(f"{name} is not blocked: its guard has not tripped, and nobody has halted it")
    if not sys.stdin.isatty():
        raise UserError(
            "a guard is reset on a terminal, by a person who types the run's name; there is no terminal here"
        )
    emit(f"{clean(name)} gives no orders: {clean(why)}")
    emit("After a reset its limits are measured from the account as it is when the run goes on.")
    try:
        typed = input("Type the name of the run to reset its guard: ").strip()
    except EOFError:
        typed = ""
    if typed != name:
        raise UserError(f'"{clean(typed)}" is not {name}; nothing was reset')
    reset_guard(found, who=_who())
    emit(f"reset; go on with --resume {clean(name)}")
    return 0


def _who() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for this user
        return "somebody"
