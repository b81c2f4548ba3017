"""Where papertape keeps what is no run: caches, and what running processes tell each other.

Caches can be made again (compiled kernels, parsed columns): nothing in them changes a result, and deleting them costs
time only. ``PAPERTAPE_CACHE`` names another place for them. The state folder holds locks of running processes;
``PAPERTAPE_STATE`` names another place for it.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import tempfile
from pathlib import Path

from papertape.core.errors import ConfigError

_log = logging.getLogger("papertape")


def _preferred() -> Path:
    """The folder that this platform means for caches (XDG base directory specification 0.8, Apple, Windows)."""
    return _platform_folder("PAPERTAPE_CACHE", "Library/Caches", "XDG_CACHE_HOME", ".cache")


def _platform_folder(named_by: str, on_mac: str, xdg: str, elsewhere: str) -> Path:
    """Our folder of one kind: where an environment variable says, or where the platform means such files to be."""
    if named := os.environ.get(named_by):
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path("~/AppData/Local").expanduser())
    elif sys.platform == "darwin":
        base = str(Path("~", on_mac).expanduser())
    else:
        base = os.environ.get(xdg, "")
        if not os.path.isabs(base):  # the specification has relative ones ignored
            base = str(Path("~", elsewhere).expanduser())
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


def state_folder() -> Path:
    """The folder of what running processes tell each other, made if missing; the same for all processes of a user.

    Raises ConfigError where it cannot be written: a second place would hide processes from each other.
    """
    try:
        folder = _platform_folder(
            "PAPERTAPE_STATE", "Library/Application Support", "XDG_STATE_HOME", ".local/state"
        ).absolute()
        usable = _is_writable(folder)
    except RuntimeError:  # no home at all
        folder, usable = Path("~/.local/state/papertape"), False
    if not usable:
        raise ConfigError(f"cannot write to {folder}, where running processes are known; set PAPERTAPE_STATE to choose")
    return folder
