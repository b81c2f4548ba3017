"""Pages of HTML on disk: written whole or not at all, and opened in the browser."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from papertape.core.errors import ConfigError, UserError


def write_page(path: Path, text: str) -> None:
    """Write a page under its name when all of it is on the disk; an older page of that name is replaced.

    Raises ConfigError where it cannot be written, or where the name is that of a file which is no page.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file, as {path / 'report.html'}")
    partial = None
    try:
        if path.exists() and not _is_page(path):
            raise ConfigError(f"{path} is there already and is no page; name another file, or remove it")
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).chmod(0o666 & ~_umask())
        Path(partial).replace(path)
        partial = None
    except OSError as error:
        raise ConfigError(f"{path}: the page cannot be written ({error.strerror}); name another file") from error
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)


def _is_page(path: Path) -> bool:
    """Whether a file is empty or begins as a page of HTML: what a page may replace."""
    with path.open("rb") as file:
        start = file.read(256).lstrip().lower()
    return not start or start.startswith((b"<!doctype html", b"<html"))


def _umask() -> int:
    """The mask that new files get; a temporary file has none of it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def open_page(path: Path) -> None:
    """Open a page in the user's browser. Raises UserError where there is none."""
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        raise UserError(f"no browser could be started; open {path} yourself")
