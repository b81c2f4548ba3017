"""How a simulated gateway is set up: every knob and its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from brokers.fees import FeeModel
from brokers.sim import FillRules

FIRST_SERVER_VERSION = 157
LAST_SERVER_VERSION = 200
"""Server versions that the layout tables describe completely."""
NEWEST_SERVER_VERSION = 226
"""Above LAST_SERVER_VERSION clients send protobuf, whose message classes the extra ``ib`` brings."""


class DataPermission(Enum):
    """Which market data the account may see, as its subscriptions would have it."""

    LIVE = "live"
    DELAYED = "delayed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Limits:
    """What TWS allows a client (IB.md section 3). Rates count exchange time; 0: there is no such limit."""

    messages_per_s: int = 50
    violations: int = 3
    """Seconds in which that was exceeded before the client is disconnected."""
    market_data_lines: int = 100
    tick_by_tick: int = 3
    scans: int = 10
    scan_rows: int = 50
    history_open: int = 50
    history_requests: int = 60
    """In ``history_window_s``; 0: also the same ones may be repeated at once."""
    history_window_s: int = 600
    history_same_s: int = 15
    working_orders_a_side: int = 20


NO_RATES = Limits(messages_per_s=0, history_requests=0)
"""For lockstep: exchange time stands still while requests are answered, so that rates would refuse what TWS takes."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """A simulated gateway. ``cash`` is per currency, the first one the base currency.

    ``rules`` and ``fees`` are the backtest's: with a margin multiple of 1 the account is a cash account and may not go
    short. ``data`` may name symbols with another permission than ``permission``. ``zone`` is TWS's own time zone.
    ``server_version`` is the newest that the server offers, up to NEWEST_SERVER_VERSION.
    """

    account: str = "DU1234567"
    cash: Mapping[str, float] = field(default_factory=lambda: {"USD": 1_000_000.0})
    fees: FeeModel = field(default_factory=lambda: FeeModel.parse("ib-fixed"))
    rules: FillRules = field(default_factory=lambda: FillRules(margin_multiple=2.0, allow_short=True))
    calendar: str = "XNYS"
    zone: str = "US/Eastern"
    server_version: int = LAST_SERVER_VERSION
    submits_directly: bool = False
    """Whether an order is first shown as Submitted, not as PreSubmitted: both were seen of a real TWS."""
    read_only: bool = False
    read_only_tells_orders: bool = True
    """Whether a read-only API tells open and completed orders: by some users' reports a real TWS answers 321 there, too."""
    master_client: int | None = None
    permission: DataPermission = DataPermission.LIVE
    data: Mapping[str, DataPermission] = field(default_factory=dict)
    delay_s: float = 900.0
    """Age of delayed data."""
    conflate_ms: float | None = None
    """Least exchange time between the ticks of a market data line, some 250 at IB; None: every change is sent."""
    limits: Limits = field(default_factory=Limits)
    synthetic: bool = False


def backtest_settings(
    cash: Mapping[str, float],
    *,
    fees: FeeModel,
    rules: FillRules | None = None,
    calendar: str = "XNYS",
    account: str = "DU1234567",
    limits: Limits = NO_RATES,
    synthetic: bool = False,
) -> GatewaySettings:
    """A paper account as a backtest has it: a cash account that may not go short, unless ``rules`` say otherwise.

    ``cash`` is per currency, the first one the base currency. Without rates, for lockstep; one that is paced by the clock
    takes ``limits=Limits()``.
    """
    return GatewaySettings(
        account=account,
        cash=dict(cash),
        fees=fees,
        rules=rules or FillRules(),
        calendar=calendar,
        limits=limits,
        synthetic=synthetic,
    )
