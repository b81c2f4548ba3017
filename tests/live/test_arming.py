"""What stands before live trading: the account typed on a terminal, or a file that was armed for this very run."""

from __future__ import annotations

import io
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from papertape.core.errors import ConfigError, UserError
from papertape.core.guard import GuardSettings
from papertape.core.model import Mode
from papertape.live.arming import check_arm, check_terminal, confirm_account, write_arm
from papertape.live.settings import AtEnd, LiveConfirm, LiveSettings, TradesFrom

SETTINGS = LiveSettings(mode=Mode.LIVE, account="U7654321")
FINGERPRINT = SETTINGS.fingerprint("Jumps", {"up": 0.05}, "c0de")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_account_that_is_typed_again_is_taken() -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return " U7654321 "

    confirm_account("U7654321", ask=ask, terminal=Terminal())
    assert "real money in account U7654321" in asked[0]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("u7654321", '"u7654321" is not U7654321; nothing was begun'),
        ("yes", '"yes" is not U7654321; nothing was begun'),
        ("", "no account typed; nothing was begun"),
    ],
)
def test_anything_else_is_refused(typed: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        confirm_account("U7654321", ask=lambda question: typed, terminal=Terminal())
    assert str(caught.value) == message


def test_a_terminal_that_is_closed_types_nothing() -> None:
    def ask(question: str) -> str:
        raise EOFError

    with pytest.raises(UserError, match="no account typed"):
        confirm_account("U7654321", ask=ask, terminal=Terminal())


def test_without_a_terminal_nothing_is_asked() -> None:
    with pytest.raises(UserError, match="arm a file with --write-arm and run with --arm"):
        check_terminal(io.StringIO())
    with pytest.raises(UserError, match="there is none"):
        confirm_account("U7654321", ask=lambda question: "U7654321", terminal=io.StringIO())


def test_a_file_that_was_armed_for_this_run_is_taken_and_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "arm.json"
    write_arm(path, "U7654321", FINGERPRINT)
    check_arm(path, "U7654321", FINGERPRINT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_for_another_account_is_refused(tmp_path: Path) -> None:
    write_arm(tmp_path / "arm.json", "U1111111", FINGERPRINT)
    with pytest.raises(UserError, match="was armed for account U1111111, not for U7654321"):
        check_arm(tmp_path / "arm.json", "U7654321", FINGERPRINT)


@pytest.mark.parametrize("content", ["", "no json", "[]", json.dumps({"kind": "recipe"}), json.dumps("text")])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "arm.json").write_text(content)
    with pytest.raises(ConfigError, match="is no arming file; make one with --write-arm"):
        check_arm(tmp_path / "arm.json", "U7654321", FINGERPRINT)


def test_a_file_that_is_missing_or_no_text_or_can_not_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no arming file"):
        check_arm(tmp_path / "bytes", "U7654321", FINGERPRINT)
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        check_arm(tmp_path / "none.json", "U7654321", FINGERPRINT)
    with pytest.raises(ConfigError, match="cannot be written"):
        write_arm(tmp_path / "no" / "folder.json", "U7654321", FINGERPRINT)


CHANGED: dict[str, Any] = {
    "account": "U7654322",
    "client_id": 2,
    "calendar": "XLON",
    "guard": GuardSettings(max_drawdown=0.1),
    "confirm": LiveConfirm.YES,
    "confirm_s": 61.0,
    "trades": TradesFrom.RT_VOLUME,
    "tick_by_tick": 5,
    "delayed": not SETTINGS.delayed,
    "is_read_only": True,
    "at_end": AtEnd.KEEP,
    "in_lockstep": True,
    "speed": 2.0,
    "messages_per_s": 10,
    "risk_free": 0.01,
    "seed": 1,
    "zone": "Europe/Zurich",
    "mode": Mode.PAPER,
}


def test_each_setting_is_bound() -> None:
    assert set(CHANGED) == set(LiveSettings.__dataclass_fields__)
    others = {name: replace(SETTINGS, **{name: value}) for name, value in CHANGED.items()}
    same = [name for name, each in others.items() if each.fingerprint("Jumps", {"up": 0.05}, "c0de") == FINGERPRINT]
    assert same == []


def test_each_limit_is_bound() -> None:
    limits: dict[str, Any] = {
        "max_drawdown": 0.1, "basis": "pnl", "reference": "start", "cash_floor": {"USD": 1.0}, "max_order_quantity": 1.0,
        "max_order_value": 1.0, "price_collar": 0.1, "max_position": 1.0, "max_orders_per_minute": 1, "duplicate_s": 1.0,
        "allowed_symbols": "A", "flatten": True, "flatten_confirmed": False, "disconnect": True, "scope": "account",
        "stale_s": 1.0,
    }  # fmt: skip
    assert set(limits) == set(GuardSettings.__dataclass_fields__)
    found = [
        replace(SETTINGS, guard=GuardSettings(**{name: value})).fingerprint("Jumps", {"up": 0.05}, "c0de")
        for name, value in limits.items()
    ]
    assert FINGERPRINT not in found
    assert len(set(found)) == len(limits)


def test_strategy_parameters_and_source_are_bound() -> None:
    assert SETTINGS.fingerprint("Dips", {"up": 0.05}, "c0de") != FINGERPRINT
    assert SETTINGS.fingerprint("Jumps", {"up": 0.06}, "c0de") != FINGERPRINT
    assert SETTINGS.fingerprint("Jumps", {"up": 0.05}, "c0df") != FINGERPRINT
    assert SETTINGS.fingerprint("Jumps", {"up": 0.05}, "c0de") == FINGERPRINT


def test_a_file_for_another_configuration_is_refused_with_what_to_do(tmp_path: Path) -> None:
    write_arm(tmp_path / "arm.json", "U7654321", FINGERPRINT)
    with pytest.raises(UserError, match="another configuration") as caught:
        check_arm(tmp_path / "arm.json", "U7654321", "0" * 12)
    assert "arm it again with --write-arm" in str(caught.value)
