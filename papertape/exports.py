"""A run as files of other programs: one table a file, CSV or Parquet, and the manifest as JSON."""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from papertape.core.errors import ConfigError, DataError
from papertape.core.record import RunRecord
from papertape.listing import LISTS, csv_text, list_rows
from papertape.store import manifest_of

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"


def write_csv(record: RunRecord, folder: Path) -> Path:
    """Write each of a run's LISTS as ``<list>.csv`` into a folder; returns the folder. See ``csv_text``."""

    def write(name: str, path: Path) -> None:
        path.write_text(csv_text(list_rows(record, name)) + "\n", encoding="utf-8", newline="\n")

    return _write_all(record, folder, ".csv", write)


def write_parquet(record: RunRecord, folder: Path, frame_of: Callable[[str], pd.DataFrame]) -> Path:
    """Write each of a run's LISTS as ``<list>.parquet`` into a folder; returns the folder.

    ``frame_of`` gives a list as a table. Raises ConfigError without PyArrow.
    """
    try:
        importlib.import_module("pyarrow")  # asked for here, so that nothing is begun without it
    except ImportError:
        raise ConfigError('Parquet files need PyArrow; install it with pip install "papertape[parquet]"') from None

    def write(name: str, path: Path) -> None:
        frame_of(name).to_parquet(path, engine="pyarrow", index=False)

    return _write_all(record, folder, ".parquet", write)


def _write_all(record: RunRecord, folder: Path, suffix: str, write: Callable[[str, Path], None]) -> Path:
    """All lists and the manifest, made beside the folder and moved into it when all of them are whole.

    Files of an earlier export are replaced, others left alone. Raises DataError where the folder cannot be written, or
    where it holds a file of such a name that is of no export.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_others(folder, [*(f"{name}{suffix}" for name in LISTS), MANIFEST])
        partial = Path(tempfile.mkdtemp(prefix=".export-", suffix=".partial", dir=folder))
        try:
            for name in LISTS:
                write(name, partial / f"{name}{suffix}")
            text = json.dumps(manifest_of(record), indent=2, allow_nan=False, ensure_ascii=False)
            (partial / MANIFEST).write_text(text + "\n", encoding="utf-8", newline="\n")
            # The manifest first: it tells the rest from files of the user's.
            for file in sorted(partial.iterdir(), key=lambda file: (file.name != MANIFEST, file.name)):
                file.replace(folder / file.name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        what = f"the run cannot be exported here ({error.strerror or error}); name another folder"
        raise DataError(what, path=str(folder)) from error
    return folder


def _refuse_others(folder: Path, names: list[str]) -> None:
    """Raise DataError where a file that would be replaced is not of an export: trades.csv may be a user's data."""
    found = [name for name in names if (folder / name).exists()]
    if found and not _is_export(folder):
        raise DataError(f"it holds {found[0]}, which is of no export; name another folder", path=str(folder))


def _is_export(folder: Path) -> bool:
    """Whether the folder has the manifest that an export leaves."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"strategy", "fingerprint", "code_hash"} <= manifest.keys()
