"""How a strategy is backtested: every knob, its default, and what it means."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from brokers.fees import FeeModel
from brokers.sim import FillRules, parse_slippage
from feeds.playback import ConfirmPolicy
from papertape.core.errors import ConfigError, did_you_mean
from papertape.core.guard import Basis, GuardSettings, Reference
from papertape.core.model import NS_PER_MS, NS_PER_S


class LimitFill(StrEnum):
    """When a resting limit order fills."""

    THROUGH = "through"
    TOUCH = "touch"


class Engine(StrEnum):
    """What matches orders."""

    PAPERTAPE = "papertape"
    BACKTRADER = "backtrader"


@dataclass(frozen=True, slots=True)
class Settings:
    """Configuration of a backtest, as the user gives it (texts are what the command line takes).

    ``cash`` is in ``currency``, the base currency; ``balances`` adds other currencies. ``margin`` is buying power as
    a multiple of net liquidation, 1 is a cash account. ``benchmark`` is a symbol of the tape or a file. ``start`` and
    ``end`` are times or dates (in the calendar's zone where they have none; an end date includes its day).
    ``engine`` matches orders: ours, or ``backtrader``, whose ``analyzers`` can then be named. ``risk_free`` is a rate per
    year. ``seed`` is of the strategy's random numbers, a whole number from 0.
    """

    cash: float = 100_000.0
    currency: str = "USD"
    balances: Mapping[str, float] = field(default_factory=dict)
    fees: str = "ib-fixed"
    slippage: str = "0"
    latency: str = "0ms"
    request_latency: str = "0ms"
    limit_fill: LimitFill = LimitFill.THROUGH
    volume_share: float = 0.0
    margin: float = 1.0
    start: str | None = None
    end: str | None = None
    scans: str = "derived"
    confirm: ConfirmPolicy = ConfirmPolicy.IF_AFFORDABLE
    calendar: str = "XNYS"
    guard: GuardSettings = field(default_factory=GuardSettings)
    risk_free: float = 0.0
    benchmark: str | None = None
    seed: int = 0
    engine: Engine = Engine.PAPERTAPE
    analyzers: Sequence[Any] = ()

    def __post_init__(self) -> None:
        for field_name, kind in (("limit_fill", LimitFill), ("confirm", ConfirmPolicy), ("engine", Engine)):
            object.__setattr__(self, field_name, member(kind, getattr(self, field_name), field_name))
        for name, is_good, need in (
            ("cash", 0.0 < self.cash < float("inf"), "an amount above 0"),
            ("volume_share", 0.0 <= self.volume_share <= 1.0, "a fraction of the volume from 0 (no cap) to 1"),
            ("margin", 1.0 <= self.margin <= 100.0, "a multiple of net liquidation of at least 1"),
            ("risk_free", -1.0 < self.risk_free < 1.0, "a rate per year as 0.03"),
            ("seed", self.seed >= 0, "a whole number from 0"),
            ("currency", _is_currency(self.currency), "a currency's three capital letters, as USD,"),
        ):
            if not is_good:
                raise ConfigError(f"{name}={getattr(self, name)}: {need} is needed")
        object.__setattr__(self, "analyzers", _several(self.analyzers))
        if self.analyzers and self.engine is not Engine.BACKTRADER:
            raise ConfigError("analyzers are backtrader's; they need engine backtrader")
        for currency, amount in self.balances.items():
            if not (_is_currency(currency) and abs(amount) < float("inf")):
                raise ConfigError(f"balances {currency}={amount}: a currency and an amount are needed, as EUR=1000")
            if currency == self.currency:
                raise ConfigError(f"balances {currency}={amount:g}: {currency} is the base currency; say it as cash")

    def fee_model(self) -> FeeModel:
        """The fee model that ``fees`` names."""
        return FeeModel.parse(self.fees)

    def fill_rules(self, *, allow_short: bool) -> FillRules:
        """The parameters of the fill model."""
        price, fraction = parse_slippage(self.slippage)
        return FillRules(
            slippage_price=price,
            slippage_fraction=fraction,
            touch=self.limit_fill is LimitFill.TOUCH,
            volume_share=self.volume_share,
            margin_multiple=self.margin,
            latency_ns=milliseconds(self.latency, "latency"),
            allow_short=allow_short,
        )

    def as_plain(self) -> dict[str, Any]:
        """The settings as JSON-able values, as the run keeps them; of another engine where there is one only."""
        plain = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}
        if self.engine is Engine.PAPERTAPE:
            del plain["engine"], plain["analyzers"]
        else:
            plain["limit_fill"] = str(LimitFill.TOUCH)  # Cerebro's only rule
        return plain


E = TypeVar("E", bound=StrEnum)


def member(kind: type[E], value: str, name: str) -> E:
    """The member of a closed set that a text means. Raises ConfigError."""
    try:
        return kind(value)
    except ValueError:
        raise ConfigError(f'{name}="{value}": one of {", ".join(kind)} is needed') from None


def guard_settings(guard: GuardSettings | Mapping[str, Any] | None) -> GuardSettings:
    """The guard's limits from what a program or the command line says. Raises ConfigError."""
    if not isinstance(guard, GuardSettings):
        known = GuardSettings.__dataclass_fields__
        for name in guard or {}:
            if name not in known:
                raise ConfigError(f'unknown limit of the guard "{name}"{did_you_mean(name, known)}')
        guard = GuardSettings(**(guard or {}))
    symbols = guard.allowed_symbols
    return replace(
        guard,
        basis=member(Basis, guard.basis, "guard basis"),
        reference=member(Reference, guard.reference, "guard reference"),
        allowed_symbols=None if symbols is None else frozenset(symbols),
    )


def _several(given: Any) -> tuple[Any, ...]:
    """One or several, as a tuple."""
    return (given,) if isinstance(given, str | type) else tuple(given)


def _is_currency(text: str) -> bool:
    return re.fullmatch("[A-Z]{3}", text) is not None


def _plain(value: Any) -> Any:
    if isinstance(value, GuardSettings):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [each.__name__ if isinstance(each, type) else str(each) for each in value]
    return str(value) if isinstance(value, StrEnum) else value


def milliseconds(text: str | float, name: str) -> int:
    """Nanoseconds of ``"250ms"``, ``"1.5s"``, ``"40us"`` or a bare number of milliseconds."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|)\s*", str(text))
    if match is None:
        raise ConfigError(f'{name} "{text}": a length of time as 250ms or 1.5s is needed')
    unit = {"us": 1_000, "ms": NS_PER_MS, "s": NS_PER_S, "": NS_PER_MS}[match[2]]
    return round(float(match[1]) * unit)


def moment(text: str | dt.datetime | dt.date, zone: str, *, name: str, is_end: bool = False) -> int:
    """UTC nanoseconds of a date or time; an end date means the last nanosecond of its day."""
    raw = text.isoformat() if isinstance(text, dt.date) else str(text).strip()
    try:
        when = dt.datetime.fromisoformat(raw)
    except ValueError:
        raise ConfigError(f'{name} "{text}": a date or time as 2026-01-05 or 2026-01-05T09:30 is needed') from None
    is_date = len(raw) <= 10
    if when.tzinfo is None:
        if is_date and is_end:
            when += dt.timedelta(days=1)
        when = when.replace(tzinfo=ZoneInfo(zone))
    seconds = when - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    ts = (seconds.days * 86_400 + seconds.seconds) * NS_PER_S + seconds.microseconds * 1_000
    return ts - 1 if is_date and is_end else ts
