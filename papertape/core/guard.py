"""The guard: what stands between a strategy and a broker.

Two halves. Before an order: :meth:`Guard.approve` turns a request into :class:`Approved`, the only thing that a
broker accepts, or into :class:`Refused`. On every event: thresholds in the state's account record, which the
kernel checks as it marks, so that a trip is known on the event that crosses, before the strategy hears of it.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from papertape.core.errors import ConfigError, did_you_mean
from papertape.core.model import NS_PER_S, Instrument, OrderType, Side
from papertape.core.orders import OrderRequest
from papertape.core.state import State

_KEY = object()
_BUY = Side.BUY  # by plain names: looking a member up on its class is slow in Python 3.11
_SELL = Side.SELL
RECENT_ORDERS = 10_000
"""Orders that are remembered for the duplicate check before those that are too old are forgotten."""


class Basis(StrEnum):
    """What a loss limit is measured on (DESIGN section 8)."""

    NET_LIQUIDATION = "net_liquidation"
    """Net liquidation below the reference x (1 - d); the reference is the start's or the running maximum."""
    PNL = "pnl"
    """The run's P&L below -d x starting net liquidation."""
    STOCK_VALUE = "stock_value"
    """Starting stock value plus stock P&L below the starting stock value x (1 - d): flows do not count."""
    DAILY_LOSS = "daily_loss"
    """Like PNL, measured from each session's open."""


class Reference(StrEnum):
    """What the net liquidation basis refers to."""

    START = "start"
    PEAK = "peak"


def fraction(value: float | str, name: str) -> float:
    """A loss limit: a number strictly between 0 and 1, or a percentage with its sign, as ``5%``."""
    text = str(value).strip()
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*%", text)
    try:
        number = float(match[1]) / 100.0 if match else float(text)
    except ValueError:
        number = math.nan
    if not 0.0 < number < 1.0:
        raise ConfigError(f"{name}={value}: a fraction between 0 and 1 is needed, as 0.05 or 5%")
    return number


class Scope(StrEnum):
    """Whose orders and positions a trip cancels and closes. Risk is measured on the whole account in any case."""

    RUN = "run"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """Limits; ``None`` is no limit. Money in base currency, quantities in units, fractions in (0, 1)."""

    max_drawdown: float | str | None = None
    basis: Basis = Basis.NET_LIQUIDATION
    reference: Reference = Reference.PEAK
    cash_floor: Mapping[str, float] = field(default_factory=dict)
    """Currency (or BASE) -> amount; cash strictly below it trips."""
    max_order_quantity: float | None = None
    max_order_value: float | None = None
    price_collar: float | str | None = None
    """Largest distance of a limit price from the reference price against us, as a fraction of it."""
    max_position: float | None = None
    """Largest absolute position with working orders filled."""
    max_orders_per_minute: int | None = None
    duplicate_s: float = 0.0
    """An order equal to one within this many seconds is refused; 0 is off."""
    allowed_symbols: frozenset[str] | str | None = None
    """Symbols, or one text with commas between them."""
    flatten: bool = False
    """Whether a trip also closes what is held."""
    flatten_confirmed: bool = True
    """Paper and live: close only when the breach shows at a second price or lasts for half a second; recorded."""
    disconnect: bool = False
    """Paper and live: whether a trip ends the connection when all is cancelled (and closed)."""
    scope: Scope = Scope.RUN
    stale_s: float = 10.0
    """Paper and live: data of what is held that are older block orders that add risk; 0 is off."""

    def __post_init__(self) -> None:
        for name, kind in (("basis", Basis), ("reference", Reference), ("scope", Scope)):
            given = getattr(self, name)
            known = [each.value for each in kind]
            if given not in known:
                raise ConfigError(f'guard {name} "{given}" is unknown{did_you_mean(str(given), known)}')
            object.__setattr__(self, name, kind(given))
        for name in ("max_order_quantity", "max_order_value", "max_position"):
            limit = getattr(self, name)
            if limit is not None and not 0.0 < limit < math.inf:
                raise ConfigError(f"{name}={limit}: an amount above 0 is needed; leave it out for no limit")
        orders = self.max_orders_per_minute
        if orders is not None and not (orders >= 1 and orders == int(orders)):
            raise ConfigError(f"max_orders_per_minute={orders}: a whole number from 1 is needed")
        for name in ("duplicate_s", "stale_s"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}={getattr(self, name)}: a number of seconds is needed, 0 is off")
        for currency, floor in self.cash_floor.items():
            if not abs(floor) < math.inf:
                raise ConfigError(f"cash floor {currency}={floor}: an amount is needed")
        if self.allowed_symbols is not None:
            allowed = self.allowed_symbols
            names = allowed.split(",") if isinstance(allowed, str) else allowed
            object.__setattr__(self, "allowed_symbols", frozenset(name.strip() for name in names))

    def loss_limit(self) -> float | None:
        """``max_drawdown`` as a fraction, checked."""
        return None if self.max_drawdown is None else fraction(self.max_drawdown, "max_drawdown")


class Approved:
    """A request that a guard approved. Nothing else can make one, and brokers take nothing else."""

    __slots__ = ("request",)

    def __init__(self, request: OrderRequest, key: object) -> None:
        assert key is _KEY, "only a guard approves orders"
        self.request = request


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that a guard refused: which rule, and in words."""

    rule: str
    text: str


class Guard:
    """Approves or refuses orders, and arms the thresholds that the kernel checks."""

    __slots__ = (
        "_allow_short", "_collar", "_currencies", "_held", "_instruments", "_is_plain", "_limits", "_recent", "_selling", "_sent", "_state", "_tripped",
        "blocked", "rule", "settings",
    )  # fmt: skip

    def __init__(
        self,
        settings: GuardSettings,
        state: State,
        instruments: Sequence[Instrument],
        currencies: tuple[str, ...],
        *,
        allow_short: bool,
    ) -> None:
        self.settings = settings
        self._state = state
        self._tripped = state.account["tripped"]
        self._held = state.instruments["quantity"].item
        self._selling = state.instruments["working_sell"].item
        self._instruments = instruments
        self._currencies = currencies
        self._allow_short = allow_short
        self._collar = None if settings.price_collar is None else fraction(settings.price_collar, "price_collar")
        self._limits = (
            settings.max_order_quantity, settings.max_order_value, self._collar, settings.max_position,
            settings.max_orders_per_minute, settings.allowed_symbols, settings.duplicate_s or None,
        ) != (None,) * 7  # fmt: skip
        all_tradable = all(each.tradable for each in instruments)
        self._is_plain = not self._limits and settings.max_drawdown is None and all_tradable
        self._sent: deque[int] = deque(maxlen=settings.max_orders_per_minute or 1)
        self._recent: dict[tuple[object, ...], int] = {}
        self.blocked = False
        self.rule = ""
        unknown = set(settings.cash_floor) - set(currencies) - {"BASE"}
        if unknown:
            raise ConfigError(f"cash floor for {min(unknown)}: the run has only {', '.join(currencies)} and BASE")
        settings.loss_limit()

    def arm(self, stock_value: float = 0.0) -> None:
        """Set the thresholds from the account as it is now. ``stock_value`` is S0 of the stock value basis."""
        account = self._state.account[0]
        for name, floor in self.settings.cash_floor.items():
            if self._cash(name) < floor:
                raise ConfigError(
                    f"cash floor {name}={floor:g}: the account starts below it, with {self._cash(name):g}"
                )
        limit = self.settings.loss_limit()
        if limit is None:
            return
        start = float(account["equity"])
        match self.settings.basis:
            case Basis.NET_LIQUIDATION if self.settings.reference is Reference.PEAK:
                account["peak_fraction"] = 1.0 - limit
                account["guard_peak"] = max(float(account["guard_peak"]), start)
            case Basis.STOCK_VALUE:
                if stock_value <= 0.0:
                    raise ConfigError(
                        "guard basis stock_value: no stock is held at the start, so there is nothing to take a "
                        "fraction of; use basis net_liquidation"
                    )
                account["floor"] = start - stock_value * limit
            case _:
                account["floor"] = start * (1.0 - limit)

    def open_session(self) -> None:
        """A trading session opens: the daily loss is measured from here."""
        if self.settings.basis is Basis.DAILY_LOSS:
            limit = self.settings.loss_limit()
            account = self._state.account[0]
            if limit is not None:
                account["floor"] = float(account["cash"] + self._state.tree[1]) * (1.0 - limit)

    def tripped_rule(self) -> str:
        """Name of the threshold that is crossed now, empty while none is. A trip latches."""
        if self.rule:
            return self.rule
        state = self._state
        if state.account["tripped"][0]:
            self.rule = f"max_drawdown ({self.settings.basis})"
        for name, floor in self.settings.cash_floor.items():
            if self._cash(name) < floor:
                self.rule = f"cash_floor {name}"
        return self.rule

    def _cash(self, currency: str) -> float:
        """Cash in a currency, or, for BASE, all of it in the base currency."""
        state = self._state
        return float(state.account["cash"][0] if currency == "BASE" else state.cash[self._currencies.index(currency)])

    @property
    def watches_cash(self) -> bool:
        """Whether cash must be checked after every fill."""
        return bool(self.settings.cash_floor)

    def approve(self, request: OrderRequest, now: int, reference_price: float) -> Approved | Refused:
        """Check a request against every control. ``reference_price`` is the last known price, NaN where unknown."""
        quantity = request.quantity
        if self._is_plain and not self.blocked and 0.0 < quantity < math.inf:
            # Where no limit is set, nothing can refuse a buy, nor the sale of what is held and not being sold.
            j = request.instrument
            if request.side is _BUY or quantity <= self._held(j) - self._selling(j):
                return Approved(request, _KEY)
        refused = self._refusal(request, now, reference_price)
        return Approved(request, _KEY) if refused is None else refused

    def approve_change(
        self, request: OrderRequest, old: OrderRequest, now: int, reference_price: float, filled: float = 0.0
    ) -> Approved | Refused:
        """Check a changed order by what is left of it. What the old one has reserved is its own to use again.

        ``filled`` is what the order has filled so far; both requests name total quantities.
        """
        record = self._state.instruments[request.instrument]
        name = "working_buy" if request.side is Side.BUY else "working_sell"
        reserved = float(record[name])
        record[name] = max(0.0, reserved - (old.quantity - filled))
        left = request.quantity - filled
        refused: Refused | None = None
        if left > 0.0 or not request.quantity > 0.0 or self.blocked or self._tripped[0]:
            refused = self._refusal(msgspec.structs.replace(request, quantity=left), now, reference_price)
        record[name] = reserved
        return Approved(request, _KEY) if refused is None else refused

    def approve_flattening(self, request: OrderRequest) -> Approved:
        """Approve an order of the guard's own, which closes what is held after a trip."""
        held = float(self._state.instruments["quantity"][request.instrument])
        assert held * request.side < 0.0, "flattening only ever closes"
        assert request.quantity <= abs(held), "flattening only ever closes"
        return Approved(request, _KEY)

    def _refusal(self, request: OrderRequest, now: int, reference: float) -> Refused | None:
        if self.blocked or self._tripped[0]:
            return Refused("tripped", f"the guard tripped ({self.tripped_rule()}); no new orders")
        quantity = request.quantity
        if not 0.0 < quantity < math.inf:
            return Refused("quantity", f"quantity {quantity} is not above 0")
        if request.side is _SELL and not self._allow_short and not request.parent:
            record = self._state.instruments[request.instrument]
            sellable = float(record["quantity"]) - (0.0 if request.group else float(record["working_sell"]))
            if quantity > sellable + 1e-9:
                return Refused(
                    "short",
                    f"selling {quantity:g} {request.symbol} with {max(sellable, 0.0):g} sellable would go short",
                )
        if not self._instruments[request.instrument].tradable:
            return Refused("tradable", f"{request.symbol} is not tradable")
        if self.settings.max_drawdown is not None and math.isnan(self._state.account["equity"][0]):
            return Refused(
                "unknown", "net liquidation is unknown (an exchange rate is missing), so losses have no limit"
            )
        return self._limit_refusal(request, now, reference) if self._limits else None

    def _limit_refusal(self, request: OrderRequest, now: int, reference: float) -> Refused | None:
        s = self.settings
        quantity = request.quantity
        instrument = self._instruments[request.instrument]
        if s.allowed_symbols is not None and request.symbol not in s.allowed_symbols:
            return Refused("allowed_symbols", f"{request.symbol} is not among the allowed symbols")
        if s.max_order_quantity is not None and quantity > s.max_order_quantity:
            return Refused("max_order_quantity", f"{quantity:g} units exceed {s.max_order_quantity:g}")
        record = self._state.instruments[request.instrument]
        if s.max_order_value is not None:
            value = quantity * dearest(request, reference) * instrument.multiplier * float(record["rate"])
            if math.isnan(value):  # an unknown price is no small order
                return Refused("max_order_value", "the order's value is unknown: no price or no exchange rate")
            if value > s.max_order_value:
                return Refused("max_order_value", f"a value of {value:,.2f} exceeds {s.max_order_value:,.2f}")
        if self._collar is not None and request.limit_price == request.limit_price:
            worse = (request.limit_price - reference) * request.side
            if not worse <= self._collar * reference:
                text = f"limit {request.limit_price:g} is too far beyond the reference price {reference:g}"
                return Refused("price_collar", text)
        if s.max_position is not None:
            working = float(record["working_buy"] if request.side is Side.BUY else record["working_sell"])
            after = float(record["quantity"]) + request.side * (working + quantity)
            if abs(after) > s.max_position and abs(after) > abs(float(record["quantity"])):
                return Refused("max_position", f"a position of {after:g} exceeds {s.max_position:g}")
        return self._rate_refusal(request, now)

    def _rate_refusal(self, request: OrderRequest, now: int) -> Refused | None:
        s = self.settings
        sent = self._sent
        window = round(s.duplicate_s * NS_PER_S)
        prices = tuple(p for p in (request.limit_price, request.stop_price, request.trail) if p == p)
        key = (request.instrument, request.side, request.type, request.quantity, prices)
        if window:
            before = self._recent.get(key)
            if before is not None and now - before < window:
                return Refused("duplicate", f"the same order was given {(now - before) / NS_PER_S:g} s before")
        if s.max_orders_per_minute is not None:
            if len(sent) == s.max_orders_per_minute and now - sent[0] < 60 * NS_PER_S:
                return Refused("max_orders_per_minute", f"more than {s.max_orders_per_minute} orders in a minute")
            sent.append(now)
        if window:
            if len(self._recent) >= RECENT_ORDERS:
                self._recent = {each: ts for each, ts in self._recent.items() if now - ts < window}
            self._recent[key] = now
        return None


def dearest(request: OrderRequest, reference: float) -> float:
    """Price that an order may trade at, the worst for its value: a buy's limit, else its stop or the reference.

    A sale trades at its limit or above, so that the higher of limit and reference counts. NaN unknown.
    """
    limit, stop = request.limit_price, request.stop_price
    if limit == limit:
        return limit if request.side is Side.BUY else max(reference, limit)
    if request.type is OrderType.STOP:
        return max(reference, stop)
    return reference
