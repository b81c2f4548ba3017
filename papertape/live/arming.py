"""What stands before a live run: the account typed again by a person, or a file that was armed for this very run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from papertape.core.errors import ConfigError, UserError
from papertape.moments import iso_utc

_KIND = "papertape arming file"


def check_terminal(terminal: TextIO | None = None) -> None:
    """Raise UserError where nobody sits at a terminal who could confirm a live run."""
    if not (terminal or sys.stdin).isatty():
        raise UserError(
            "live trading is confirmed on a terminal, and there is none; arm a file with --write-arm and run with --arm"
        )


def confirm_account(account: str, *, ask: Callable[[str], str] | None = None, terminal: TextIO | None = None) -> None:
    """Have the account's id typed again on a terminal. UserError where it is not, or where there is no terminal."""
    check_terminal(terminal)
    question = f"Live trading with real money in account {account}. Type the account's id to begin: "
    try:
        typed = (ask or input)(question).strip()
    except EOFError:
        typed = ""
    if typed != account:
        raise UserError(
            f'"{typed}" is not {account}; nothing was begun' if typed else "no account typed; nothing was begun"
        )


def write_arm(path: Path, account: str, fingerprint: str) -> None:
    """Arm a file for runs of one configuration on one account. Raises ConfigError where it can not be written."""
    content = {"kind": _KIND, "account": account, "configuration": fingerprint, "armed": iso_utc(time.time_ns())}
    try:
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None


def check_arm(path: Path, account: str, fingerprint: str) -> None:
    """Raise UserError unless the file was armed for this account and this very configuration."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise ConfigError(f"{path}: is no arming file; make one with --write-arm on a terminal")
    if content.get("account") != account:
        raise UserError(f"{path}: was armed for account {content.get('account')}, not for {account}")
    if content.get("configuration") != fingerprint:
        raise UserError(
            f"{path}: was armed for another configuration (strategy, parameters, limits or settings have changed since "
            f"{content.get('armed')}); look at them, and arm it again with --write-arm"
        )
