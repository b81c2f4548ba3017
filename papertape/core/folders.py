"""Where papertape keeps what it can make again: compiled kernels, parsed columns.

Nothing in these folders changes a result; deleting them costs time only. ``PAPERTAPE_CACHE`` names another place.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import tempfile
from pathlib import Path

_log = logging.getLogger("papertape")


def _preferred() -> Path:
    """The folder that this platform means for caches (XDG base directory specification 0.8, Apple, Windows)."""
    if named := os.environ.get("PAPERTAPE_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path("~/AppData/Local").expanduser())
    elif sys.platform == "darwin":
        base = str(Path("~/Library/Caches").expanduser())
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):  # the specification has relative ones ignored
            base = str(Path("~/.cache").expanduser())
    return Path(base) / "papertape"


def _is_writable(folder: Path) -> bool:
    """Make the folder where it is missing and try to write in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, RuntimeError):
        return False


def _temporary() -> Path:
    """A folder under the system's temporary one that only this user can write: what is cached there is executed."""
    owner = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"papertape-{owner}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        is_ours = not folder.is_symlink() and (not hasattr(os, "getuid") or status.st_uid == owner)
        if is_ours and not status.st_mode & 0o022:
            return folder
    except OSError as error:
        _log.debug("no cache folder at %s: %s", folder, error)
    return Path(tempfile.mkdtemp(prefix="papertape-"))


@functools.cache
def cache_folder() -> Path:
    """The folder of all caches, made if missing; a temporary one (said once) where the usual one is not writable."""
    try:
        preferred = _preferred()
        usable = _is_writable(preferred)
    except RuntimeError:  # no home at all
        preferred, usable = Path("~/.cache/papertape"), False
    if usable:
        return preferred
    folder = _temporary()
    _log.warning("papertape: cannot write to %s, so caches go to %s; set PAPERTAPE_CACHE to choose", preferred, folder)
    return folder
