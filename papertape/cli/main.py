"""The ``papertape`` program: its verbs, and how it ends.

Exit status: 0 it worked, 2 the user can mend it (one line on stderr says how), 3 the guard tripped, 130 interrupted.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Annotated

import typer

from papertape.cli import backtest, caches, demo, imports, init, runs, sample, show, strategies
from papertape.cli.failures import UserCodeError
from papertape.cli.text import emit
from papertape.core.errors import UserError, did_you_mean

USER_ERROR = 2
INTERRUPTED = 130
PIPE_CLOSED = 141
TERMINATED = 143

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Backtest a trading strategy on recorded data. The strategy is a Python class, see: papertape init",
)
_VERBS: dict[str, Callable[..., int]] = {
    "backtest": backtest.backtest,
    "show": show.show,
    "runs": runs.runs,
    "strategies": strategies.strategies,
    "init": init.init,
    "sample": sample.sample,
    "cache": caches.cache,
    "demo": demo.demo,
}
for _name, _function in _VERBS.items():
    app.command(_name)(_function)
app.add_typer(imports.app, name="import")


@app.callback()
def _program(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        emit(f"papertape {importlib.metadata.version('papertape')}")
        raise typer.Exit


def spread_data(arguments: Sequence[str]) -> list[str]:
    """``--data A B C`` (what a shell makes of a pattern) as ``--data A --data B --data C``.

    Only where STRATEGY comes first, as in the usage: else the last word could be the strategy.
    """
    if len(arguments) < 3 or arguments[0] != "backtest" or arguments[1].startswith("-"):
        return list(arguments)
    result = list(arguments[:2])
    follows_data = False
    for at, word in enumerate(arguments[2:], 2):
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
        status = app(spread_data(arguments), prog_name="papertape", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except KeyboardInterrupt:
        emit("interrupted; nothing of this run was kept", to_stderr=True)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is flushed at exit goes nowhere
        return PIPE_CLOSED
    except UserCodeError as error:
        emit(str(error), to_stderr=True)
    except UserError as error:
        emit(f"error: {error}", to_stderr=True)
    except typer.TyperException as error:
        say = getattr(error, "format_message", None)
        text = (say() if say is not None else str(error)).replace("Value error, ", "")
        emit(f"error: {' '.join(text.split())}; see papertape {_verb(arguments)}--help", to_stderr=True)
    except MemoryError:
        emit("error: the memory is full; take fewer symbols, days or --workers", to_stderr=True)
    except OSError as error:
        if error.errno is None or error.filename is None:
            raise
        emit(f"error: {error.filename}: {error.strerror}", to_stderr=True)
    return USER_ERROR


def _check_verb(arguments: Sequence[str]) -> None:
    known = (*_VERBS, "import")
    if arguments and not arguments[0].startswith("-") and arguments[0] not in known:
        raise UserError(f'no command "{arguments[0]}"{did_you_mean(arguments[0], known)}')


def _verb(arguments: Sequence[str]) -> str:
    return f"{arguments[0]} " if arguments and arguments[0] in _VERBS else ""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)  # so that what is half-written is removed on the way out


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))
