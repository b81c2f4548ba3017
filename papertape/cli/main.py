"""The ``papertape`` program: its verbs, and how it ends.

Exit status: 0 it worked, 2 the user can mend it (one line on stderr says how), 3 the guard tripped, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from papertape.cli import (
    backtest,
    caches,
    compare,
    demo,
    doctor,
    guard,
    halt,
    imports,
    init,
    live,
    paper,
    record,
    report,
    runs,
    sample,
    scan,
    show,
    sim,
    status,
    strategies,
)
from papertape.cli.failures import UserCodeError
from papertape.cli.text import emit
from papertape.core.errors import UserError, did_you_mean

USER_ERROR = 2
INTERRUPTED = 130
PIPE_CLOSED = 141
TERMINATED = 143


class _PlainGroup(TyperGroup):
    """Shows the list of verbs without rich, which takes longer to load than to show."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.rich_markup_mode = None


app = typer.Typer(
    cls=_PlainGroup,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback is a bug of ours, and pages of it hide where
    help="Backtest a trading strategy on recorded data. The strategy is a Python class, see: papertape init",
)
_VERBS: dict[str, Callable[..., int]] = {
    "backtest": backtest.backtest,
    "paper": paper.paper,
    "live": live.live,
    "show": show.show,
    "report": report.report,
    "compare": compare.compare,
    "strategies": strategies.strategies,
    "init": init.init,
    "doctor": doctor.doctor,
    "scan": scan.scan,
    "record": record.record,
    "halt": halt.halt,
    "status": status.status,
    "sim": sim.sim,
    "sample": sample.sample,
    "cache": caches.cache,
    "demo": demo.demo,
}
_GROUPS = ("runs", "import", "guard")
"""Verbs that have commands of their own."""
for _name, _function in _VERBS.items():
    app.command(_name)(_function)
app.add_typer(runs.app, name="runs")
app.add_typer(imports.app, name="import")
app.add_typer(guard.app, name="guard")


def _print_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        try:
            number = importlib.metadata.version("papertape")
        except importlib.metadata.PackageNotFoundError:
            number = "(not installed, run from its source)"
        emit(f"papertape {number}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Where options stand that belong to no verb."""


def spread_data(arguments: Sequence[str]) -> list[str]:
    """``--data A B C`` (what a shell makes of a pattern) as ``--data A --data B --data C``.

    Of a backtest only where STRATEGY comes first, as in the usage: else the last word could be the strategy.
    """
    verb = arguments[0] if arguments else ""
    if verb != "sim" and (len(arguments) < 3 or verb not in ("backtest", "paper") or arguments[1].startswith("-")):
        return list(arguments)
    begin = 1 if verb == "sim" else 2
    result = list(arguments[:begin])
    follows_data = False
    for at, word in enumerate(arguments[begin:], begin):
        if word.startswith("-"):
            follows_data = word == "--data"
        elif follows_data and arguments[at - 1] != "--data":
            result.append("--data")
        result.append(word)
    return result


def run(arguments: Sequence[str]) -> int:
    """Run the program with arguments; returns the exit status. What is no user's mistake is raised."""
    try:
        _check_verb(arguments)
        returned = app(spread_data(arguments) or ["--help"], prog_name="papertape", standalone_mode=False)
        sys.stdout.flush()
        status = returned if isinstance(returned, int) else 0
    except KeyboardInterrupt:  # typer makes a status of it, except while it begins
        status = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is flushed at exit goes nowhere
        return PIPE_CLOSED
    except (UserError, typer.TyperException, MemoryError, OSError) as error:
        text = error_text(error, _verb(arguments))
        if text is None:
            raise
        if text:
            emit(text, to_stderr=True)
        return USER_ERROR
    if status == INTERRUPTED:
        emit("interrupted", to_stderr=True)
    return status


def error_text(error: Exception, verb: str) -> str | None:
    """What to say of an error that the user can mend; empty where help says it already, None for a bug of ours."""
    match error:
        case UserCodeError():
            return str(error)
        case UserError():
            return f"error: {error}"
        case MemoryError():
            return "error: the memory is full; take fewer symbols, days or --workers"
        case OSError():
            return None if error.filename is None else f"error: {error.filename}: {error.strerror}"
    say = getattr(error, "format_message", None)
    text = " ".join((say() if say is not None else str(error)).replace("Value error, ", "").split()).rstrip(".")
    return f"error: {text}; see papertape {verb}--help" if text else ""


def _check_verb(arguments: Sequence[str]) -> None:
    known = (*_VERBS, *_GROUPS)
    if arguments and not arguments[0].startswith("-") and arguments[0] not in known:
        raise UserError(f'no command "{arguments[0]}"{did_you_mean(arguments[0], known)}')


def _verb(arguments: Sequence[str]) -> str:
    return f"{arguments[0]} " if arguments and arguments[0] in (*_VERBS, *_GROUPS) else ""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)  # so that what is half-written is removed on the way out


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))
