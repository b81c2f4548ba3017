"""A lock on an open file that one process at a time can hold, and that goes with the process however it ends."""

from __future__ import annotations

import sys
from typing import IO, Any

_LOCKED_BYTE = 1 << 30
"""Where Windows locks the file: a locked byte can not be read by others, so it is one behind any content."""


def try_lock(file: IO[Any]) -> bool:
    """Lock an open file for this process until it is closed; False where somebody else has it. Never waits."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
