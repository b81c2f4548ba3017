"""Tapes with corporate actions, of arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

from feeds.load import DataOptions, load_tape
from papertape.core.model import CorporateAction
from papertape.core.series import Tape


def with_action(data: dict[str, Any], action: CorporateAction) -> Tape:
    """A tape of minute bars with a corporate action."""
    tape = load_tape(data, DataOptions(bar_stamp="close", bar_interval_s=60))
    return dataclasses.replace(tape, actions=(action,))
