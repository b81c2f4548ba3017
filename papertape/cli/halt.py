"""``papertape halt``: stop runs that trade, from any terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from papertape.core.errors import ConfigError, UserError

if TYPE_CHECKING:
    from papertape.live.control import Answer, Seen

Names = Annotated[
    list[str], typer.Argument(metavar="RUN...|all", help="Folder, start or end of its name; all: those that run.")
]


def halt(
    runs: Names,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Kept in the run.")] = "",
    wait_s: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the answer.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    folder: Annotated[str, typer.Option("--in", metavar="DIR", help="Where runs are kept.")] = "runs",
) -> int:
    """Have runs give no more orders and cancel those that work; all means those in other folders, too.

    A halted run goes on watching its positions and its guard. It stops within a second, also while its strategy does
    not return. What it answers is said; exit status 2 where one did not answer.
    """
    from papertape.cli.live_runs import ALL, chosen_runs
    from papertape.cli.text import clean, emit
    from papertape.live.control import seen_runs, wait_for_answers

    if not 0.0 <= wait_s <= 3_600.0:
        raise ConfigError(f"--wait-s {wait_s:g}: a number of seconds from 0 to 3600 is needed")
    place = Path(folder)
    seen = seen_runs(place)
    chosen = chosen_runs(runs, seen, place)
    if ALL in runs:
        chosen += _elsewhere(seen)
    alive = [run for run in chosen if run.is_alive]
    dead = [run for run in chosen if not run.is_alive]
    if not alive:
        raise UserError(_nothing_to_halt(dead, place))
    asked, failed = _ask(alive, reason)
    answers = wait_for_answers(asked, wait_s)
    if as_json:
        emit(json.dumps([_as_plain(run, answers.get(run.folder)) for run in chosen], indent=2))
    else:
        for run in chosen:
            outcome = failed.get(run.folder) or _outcome(run, answers.get(run.folder), wait_s)
            emit(f"{clean(run.name)}: {clean(outcome)}")
    is_sure = all(run.folder in answers for run in alive)
    return 0 if is_sure else 2


def _elsewhere(seen: Sequence[Seen]) -> list[Seen]:
    """Runs of this user at a TWS whose folder is another one: who wants all halted means them too."""
    from papertape.core.folders import state_folder
    from papertape.live.control import seen_elsewhere
    from papertape.live.lock import held_locks

    return seen_elsewhere([Path(each.folder) for each in held_locks(state_folder()) if each.folder], seen)


def _ask(runs: Sequence[Seen], reason: str) -> tuple[dict[Path, str], dict[Path, str]]:
    """Ask each, whatever becomes of the others: folder -> request, and folder -> why it could not be asked."""
    from papertape.core.errors import DataError
    from papertape.live.control import ask_to_halt

    asked: dict[Path, str] = {}
    failed: dict[Path, str] = {}
    for run in runs:
        try:
            asked[run.folder] = ask_to_halt(run, by=_who(), why=reason)
        except DataError as error:
            failed[run.folder] = f"NOT HALTED: {error}, or end it in TWS: it may still trade"
    return asked, failed


def _who() -> str:
    """Who halts: name and machine."""
    import getpass
    import socket

    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without a name, as in a container
        name = "somebody"
    return f"{name}@{socket.gethostname()}"


def _nothing_to_halt(dead: list[Seen], folder: Path) -> str:
    if not dead:
        return f"no run trades in {folder.resolve()}; name the folder of runs with --in DIR"
    names = ", ".join(run.name for run in dead)
    return f"{names}: {'has' if len(dead) == 1 else 'have'} ended, nothing is halted; see papertape status --all"


def _outcome(run: Seen, answer: Answer | None, wait_s: float) -> str:
    if not run.is_alive:
        return "had ended already"
    if answer is None:
        pid = "" if run.life is None else f" (process {run.life.pid} on {run.life.host})"
        return f"NO ANSWER within {wait_s:g} s{pid}; the request stays, but end it in TWS: it may still trade"
    return answer.text if answer.is_done else f"{answer.text} (still at it)"


def _as_plain(run: Seen, answer: Answer | None) -> dict[str, object]:
    return {
        "run": run.name,
        "was_alive": run.is_alive,
        "answered": answer is not None,
        "is_done": answer is not None and answer.is_done,
        "answer": None if answer is None else answer.text,
    }
