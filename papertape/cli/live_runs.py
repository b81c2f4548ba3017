"""Runs that trade, as a person names them on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from papertape.core.errors import ConfigError, UserError, did_you_mean
from papertape.live.control import Seen

ALL = "all"


def chosen_runs(names: Sequence[str], seen: Sequence[Seen], folder: Path) -> list[Seen]:
    """The runs that names (whole, a start or an end, a path) mean, each once. Raises UserError with what is nearest.

    The word ``all`` means those that live.
    """
    chosen: dict[Path, Seen] = {}
    for name in names:
        for run in [each for each in seen if each.is_alive] if name == ALL else [_one(name, seen, folder)]:
            chosen[run.folder] = run
    return list(chosen.values())


def _one(name: str, seen: Sequence[Seen], folder: Path) -> Seen:
    if not name.strip():
        raise ConfigError("the name of a run is empty; a variable of the shell may be")
    by_path = [each for each in seen if Path(name).resolve() == each.folder.resolve()]
    found = by_path or [each for each in seen if each.name.startswith(name) or each.name.endswith(f"-{name}")]
    alive = [each for each in found if each.is_alive] or found
    if len(alive) == 1:
        return alive[0]
    if alive:
        raise UserError(f'{len(alive)} runs in {folder} are called "{name}"; name one, as {alive[-1].name}')
    known = [each.name for each in seen if each.is_alive] or [each.name for each in seen]
    if not known:
        raise UserError(f'no run "{name}": none trades in {folder.resolve()}; name the folder of runs with --in DIR')
    ends = {each.rpartition("-")[2]: each for each in known}
    hint = did_you_mean(name, [*known, *ends])
    raise UserError(f'no run "{name}" in {folder}{hint}')
