"""Settings of paper and live runs: what is refused, and what a run's record says of them."""

from __future__ import annotations

import pytest

from papertape.core.errors import ConfigError
from papertape.core.guard import GuardSettings
from papertape.core.model import Mode
from papertape.live.settings import Address, LiveSettings, TradesFrom


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7497", "127.0.0.1", 7497),
        ("tws.lan:4001", "tws.lan", 4001),
        ("4002", "127.0.0.1", 4002),
        (":7496", "127.0.0.1", 7496),
        ("[::1]:7497", "::1", 7497),
        (" 127.0.0.1:7497 ", "127.0.0.1", 7497),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize("text", ["", "tws", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "a:b", "-1"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"HOST:PORT is needed, as 127\.0\.0\.1:7497, or sim"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("port", "kind"), [(7497, "paper"), (4002, "paper"), (4004, "paper"), (7496, "live"), (4001, "live"), (5000, "")]
)
def test_a_port_hints_at_a_kind_of_account_and_no_more(port: int, kind: str) -> None:
    assert Address("127.0.0.1", port).kind == kind


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": Mode.BACKTEST}, "a live run is paper or live"),
        ({"client_id": -1}, "client id -1"),
        ({"client_id": 2**31}, "client id 2147483648"),
        ({"tick_by_tick": -1}, "tick_by_tick=-1"),
        ({"zone": "Mars/Base"}, 'time zone "Mars/Base" is unknown'),
        ({"zone": "../etc"}, "is unknown"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LiveSettings(**wrong)  # type: ignore[arg-type]


def test_tick_by_tick_lines_are_used_as_trades_are_wanted() -> None:
    assert LiveSettings(tick_by_tick=5).tick_lines == 5
    assert LiveSettings(trades=TradesFrom.RT_VOLUME).tick_lines == 0
    assert LiveSettings(trades=TradesFrom.ALL_LAST).tick_lines > 1_000


def test_limits_are_those_that_were_set() -> None:
    assert LiveSettings().limits() == {}
    guard = GuardSettings(max_drawdown="5%", allowed_symbols="B,A", cash_floor={"USD": 10_000.0})
    assert LiveSettings(guard=guard).limits() == {
        "max_drawdown": "5%", "allowed_symbols": "A B", "cash_floor": "USD=10,000",
    }  # fmt: skip


def test_what_a_backtest_has_too_is_kept_by_the_same_names() -> None:
    settings = LiveSettings(account="DU1", seed=3)
    shared, own = settings.of_a_backtest(), settings.of_the_connection()
    assert shared["seed"] == 3
    assert own["account"] == "DU1"
    assert set(shared) | set(own) | {"mode"} == set(settings.as_plain())
    assert not set(shared) & set(own)
