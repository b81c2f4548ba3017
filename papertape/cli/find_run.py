"""From what a person types to a run's folder: a path, the start or the end of its name, or ``last``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from papertape.core.errors import DataError

if TYPE_CHECKING:
    from papertape.runs import Run

LAST = "last"
_JOURNAL = "journal.sqlite"


def find_run(text: str, folder: Path) -> Path:
    """The folder of the run that ``text`` names, by its path or among the runs in ``folder``. Raises DataError."""
    from papertape.store import FILE_NAME

    given = Path(text)
    if given.exists():
        _refuse_unfinished(given)
        return given
    names = sorted(each.parent.name for each in folder.glob(f"[!.]*/{FILE_NAME}")) if folder.is_dir() else []
    unfinished = sorted(each.parent for each in folder.glob(f"[!.]*/{_JOURNAL}")) if text else []
    named = [each for each in unfinished if each.name.startswith(text) or each.name.endswith(f"-{text}")]
    if len(named) == 1:
        _refuse_unfinished(named[0])
    if not names:
        raise DataError(f"no such run, and {folder} holds none; name a run's folder, or --in DIR", path=text)
    if text == LAST:
        # By the file: a folder is as new as the last star or page in it.
        return max(
            (folder / name for name in names), key=lambda path: ((path / FILE_NAME).stat().st_mtime_ns, path.name)
        )
    found = [name for name in names if name.startswith(text) or name.endswith(f"-{text}")]
    if len(found) == 1:
        return folder / found[0]
    if found:
        raise DataError(f"{len(found)} runs in {folder} begin so; name one, as {found[-1]}", path=text)
    raise DataError(f"no such run in {folder}; the last is {names[-1]}", path=text)


def _refuse_unfinished(run: Path) -> None:
    """Raise DataError where a folder has the journal of a paper or live run, and no record of it yet."""
    from papertape.store import FILE_NAME

    if not (run / _JOURNAL).is_file() or (run / FILE_NAME).exists():
        return
    from papertape.live.control import is_alive

    if is_alive(run):
        raise DataError(
            "the run still trades, and has its record when it ends; papertape status shows it", path=str(run)
        )
    raise DataError(
        f"the run ended without saying so: its orders may still work, and its record is not written; go on with it "
        f"(--resume {run.name}), which writes the record of all of it",
        path=str(run),
    )


def opened_to_look_at(text: str, folder: Path) -> Run:
    """The run that ``text`` names, with all of it but its journal: what a report or a list needs. Raises DataError."""
    from papertape.runs import Run
    from papertape.store import FILE_NAME, load_record, run_file

    file = run_file(find_run(text, folder))
    return Run(load_record(file, journal=False), path=file.parent if file.name == FILE_NAME else file)
