"""How a strategy trades live: every knob of a paper or live run, its default, and what it means."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from brokers.ib.outbox import MESSAGES_PER_S
from papertape.core.errors import ConfigError
from papertape.core.guard import GuardSettings
from papertape.core.model import Mode

PAPER_PORTS = (7497, 4002, 4004)
LIVE_PORTS = (7496, 4001, 4003)
"""What TWS, IB Gateway and the usual containers listen on: a hint only, never a proof of the account's kind."""


class LiveConfirm(StrEnum):
    """Who answers a strategy's questions."""

    ASK = "ask"
    YES = "yes"
    NO = "no"
    IF_AFFORDABLE = "if-affordable"


class AtEnd(StrEnum):
    """What becomes of working orders when a run ends."""

    CANCEL = "cancel"
    KEEP = "keep"


class TradesFrom(StrEnum):
    """Where trades come from: tick by tick as far as TWS allows and RTVolume beyond, or one of them for all."""

    AUTO = "auto"
    ALL_LAST = "alllast"
    RT_VOLUME = "rtvolume"


@dataclass(frozen=True, slots=True)
class Address:
    """Where TWS or IB Gateway listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """``127.0.0.1:7497``, ``host``:port or a port alone. Raises ConfigError."""
        host, colon, port = text.strip().rpartition(":")
        if not colon:
            host = "127.0.0.1"
        host = host.strip("[]") or "127.0.0.1"
        try:
            number = int(port)
        except ValueError:
            number = 0
        if not 0 < number < 65_536:
            raise ConfigError(f'gateway "{text}": HOST:PORT is needed, as 127.0.0.1:7497, or sim')
        return cls(host, number)

    @property
    def kind(self) -> str:
        """What accounts such a port is usual for, paper or live; empty where it says nothing."""
        return "paper" if self.port in PAPER_PORTS else "live" if self.port in LIVE_PORTS else ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Configuration of a paper or live run. ``mode`` is PAPER or LIVE.

    ``account`` empty is the only one that the login manages. ``delayed``: whether delayed data are taken where there
    are no live ones. ``calendar`` names the exchange's. ``client_id`` tells programs at one TWS apart.
    """

    mode: Mode = Mode.PAPER
    account: str = ""
    client_id: int = 1
    calendar: str = "XNYS"
    guard: GuardSettings = field(default_factory=GuardSettings)
    confirm: LiveConfirm = LiveConfirm.IF_AFFORDABLE
    confirm_s: float = 60.0
    """How long a person has for an answer; then it is no."""
    trades: TradesFrom = TradesFrom.AUTO
    tick_by_tick: int = 3
    """Tick-by-tick lines that TWS allows: 3 with 100 market data lines."""
    delayed: bool = True
    is_read_only: bool = False
    at_end: AtEnd = AtEnd.CANCEL
    in_lockstep: bool = False
    speed: float = 1.0
    """Of a simulated gateway that follows the clock."""
    messages_per_s: int = MESSAGES_PER_S
    risk_free: float = 0.0
    seed: int = 0
    zone: str = "US/Eastern"
    """TWS's own time zone, in which it writes times that name none."""

    def __post_init__(self) -> None:
        if self.mode is Mode.BACKTEST:
            raise ConfigError("mode backtest: a live run is paper or live")
        if not 0 <= self.client_id < 2**31:
            raise ConfigError(f"client id {self.client_id}: a whole number from 0 is needed")
        if self.tick_by_tick < 0:
            raise ConfigError(f"tick_by_tick={self.tick_by_tick}: a whole number from 0 is needed")
        try:
            ZoneInfo(self.zone)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ConfigError(f'time zone "{self.zone}" is unknown; name TWS\'s own as US/Eastern') from None

    @property
    def tick_lines(self) -> int:
        """Tick-by-tick lines to use."""
        return {TradesFrom.AUTO: self.tick_by_tick, TradesFrom.RT_VOLUME: 0}.get(self.trades, 1_000_000)

    def as_plain(self) -> dict[str, Any]:
        """The settings as JSON-able values, as the run keeps them."""
        return {each.name: _plain(getattr(self, each.name)) for each in dataclasses.fields(self)}

    def of_a_backtest(self) -> dict[str, Any]:
        """What a backtest has too, by the same names."""
        names = ("calendar", "guard", "confirm", "risk_free", "seed")
        return {name: _plain(getattr(self, name)) for name in names}

    def of_the_connection(self) -> dict[str, Any]:
        """What only a run with a connection has."""
        shared = {"mode", *self.of_a_backtest()}
        return {name: value for name, value in self.as_plain().items() if name not in shared}

    def limits(self) -> dict[str, str]:
        """What of the guard is not as it is by itself, in words: name -> value."""
        usual = GuardSettings()
        found: dict[str, str] = {}
        for each in dataclasses.fields(usual):
            value = getattr(self.guard, each.name)
            if value != getattr(usual, each.name):
                plain = _plain(value)
                found[each.name] = _in_words(plain)
        return found

    def fingerprint(self, strategy: str, parameters: Mapping[str, Any], code_hash: str) -> str:
        """Twelve hex digits that change with anything that a live run was armed for."""
        text = json.dumps([self.as_plain(), strategy, _plain(dict(parameters)), code_hash], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _in_words(plain: Any) -> str:
    if isinstance(plain, dict):
        return " ".join(f"{name}={value:,.10g}" for name, value in plain.items())
    return " ".join(map(str, plain)) if isinstance(plain, list) else str(plain)


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value
