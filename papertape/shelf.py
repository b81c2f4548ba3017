"""The folder in which runs are kept: what is in it, which of them are starred, and how one goes for good.

Only manifests are read, so that hundreds of runs list at once. A star is an empty file beside ``run.sqlite``: what a
run was is never written again.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from papertape.core.errors import DataError
from papertape.file_lock import try_lock
from papertape.store import FILE_NAME, read_manifest, run_file

STAR = "starred"
"""Name of the file that stars a run."""

_RUN_NAME = re.compile(r"(\d{8}T\d{6})Z-.+-[0-9a-f]{6}")
"""What ``store.folder_name`` makes; the first group is when the run was written, in UTC."""
LOCK_FILE = "run.lock"
"""Name of the file that the process which executes a paper or live run holds locked."""
_OF_LIVE_RUNS = (LOCK_FILE, "status.json", "halt.json", "halted.json")
_OURS = frozenset(
    {f"{name}{end}" for name in (FILE_NAME, "journal.sqlite") for end in ("", "-wal", "-shm", "-journal")}
    | {STAR, *_OF_LIVE_RUNS}
)
_OURS_BY_SUFFIX = frozenset({".html", ".csv", ".parquet"})
"""Ends of the names of reports and exports, which may lie in a run's folder."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A run in the folder, as far as its manifest says. ``damage`` says why it cannot be read, else it is empty."""

    path: Path
    manifest: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    is_starred: bool = False
    damage: str = ""

    @property
    def written(self) -> dt.datetime | None:
        """When it was written (UTC, to the second), as its name says; None where the name is another."""
        found = _RUN_NAME.fullmatch(self.path.name)
        try:
            return dt.datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC) if found else None
        except ValueError:
            return None

    @property
    def symbols(self) -> frozenset[str]:
        """Symbols that it traded, and those that it was limited to."""
        asked = self.manifest.get("settings", {}).get("symbols") or ()
        return frozenset({*self.manifest.get("price_symbols", ()), *map(str, asked)})


def kept_runs(folder: Path) -> list[Kept]:
    """What the folder holds, the oldest first by name; a run that cannot be read is there too, with its damage.

    Raises DataError where there is no such folder.
    """
    if not folder.is_dir():
        raise DataError("no such folder of runs", path=str(folder))
    return [_kept(path) for path in sorted(folder.iterdir(), key=lambda path: path.name) if _looks_like_a_run(path)]


def _looks_like_a_run(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return (path / FILE_NAME).exists() or (path.is_dir() and _RUN_NAME.fullmatch(path.name) is not None)


def _kept(path: Path) -> Kept:
    is_starred = (path / STAR).exists()
    try:
        manifest, metrics = read_manifest(path / FILE_NAME)
    except DataError as error:
        what = error.what if (path / FILE_NAME).exists() else f"it holds no {FILE_NAME}"
        return Kept(path, is_starred=is_starred, damage=what)
    return Kept(path, manifest, metrics, is_starred)


def set_star(run: Path, *, starred: bool) -> None:
    """Star a run, or take the star away. Raises DataError where it is no run or its folder cannot be written."""
    folder = run_file(run).parent
    try:
        if starred:
            (folder / STAR).touch()
        else:
            (folder / STAR).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"the star cannot be written ({error.strerror})", path=str(folder)) from error


def deletable(run: Path) -> Path:
    """The folder of a run that may be deleted: a run, sound or damaged, without a star and with nothing else in it.

    Raises DataError, which says why it is not deleted.
    """
    folder = run.parent if run.name == FILE_NAME else run
    if folder.is_symlink():
        raise DataError("not deleted: it is a link; delete what it leads to", path=str(folder))
    if not folder.is_dir() or folder.resolve() == Path.cwd():
        raise DataError("not deleted: not the folder of a run", path=str(folder))
    if _RUN_NAME.fullmatch(folder.name) is None:
        read_manifest(run_file(folder))  # of another name, it must be a run to be deleted as one
    if (folder / STAR).exists():
        raise DataError(f"not deleted: it is starred; papertape runs unstar {folder.name}", path=str(folder))
    if _is_executed(folder):
        raise DataError(f"not deleted: it is being executed; papertape halt {folder.name} stops it", path=str(folder))
    for each in sorted(folder.iterdir()):
        is_ours = each.name in _OURS or each.suffix in _OURS_BY_SUFFIX
        if not is_ours or each.is_dir():
            raise DataError(
                f"not deleted: it holds {each.name}, which is not of the run; move that away", path=str(folder)
            )
    return folder


def _is_executed(folder: Path) -> bool:
    """Whether a process executes the run in a folder now."""
    try:
        with (folder / LOCK_FILE).open("r+b") as file:
            return not try_lock(file)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataError(
            f"not deleted: whether it is being executed is unknown ({error.strerror})", path=str(folder)
        ) from error


def delete_run(run: Path) -> None:
    """Delete a run for good; it is gone from the list at once, or still there whole. Raises DataError."""
    folder = deletable(run)
    doomed = folder.with_name(f".{folder.name}.{secrets.token_hex(3)}.deleted")
    try:
        folder.rename(doomed)
    except OSError as error:
        raise DataError(f"not deleted ({error.strerror})", path=str(folder)) from error
    try:
        shutil.rmtree(doomed)
    except OSError as error:
        raise DataError(
            f"taken off the list, but its files could not be removed ({error.strerror})", path=str(doomed)
        ) from error
