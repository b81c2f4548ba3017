"""The account's guard: marks the whole account on every event, trips before the strategy hears of it, judges every order.

It lives on the adapter side, where no strategy can delay it. Its books are the account's, with everything that others
hold and trade there; the strategy's own books are on the other side. Marks, thresholds and limits are those of a
backtest, by the same code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from brokers.ib.broker import marking_terms
from brokers.ib.registry import Registry
from brokers.marker import Marker
from papertape.core.guard import Approved, Guard, GuardSettings, Refused
from papertape.core.ledger import Ledger
from papertape.core.model import NS_PER_S, Side
from papertape.core.orders import OrderRequest
from papertape.core.series import Batch
from papertape.core.state import QUOTE_FRESH_NS, State, Stop
from papertape.core.timers import Timers


@dataclass(frozen=True, slots=True)
class Trip:
    """The guard tripped at event ``at`` of a batch (0 where it was no market event), at ``ts`` (UTC ns)."""

    ts: int
    rule: str
    text: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the guard's limits were set to when the run first began: kept over a resume. -inf and 0 are off."""

    floor: float = -math.inf
    peak_fraction: float = 0.0
    guard_peak: float = -math.inf
    start: float = math.nan
    """Net liquidation at the first reconciliation."""


class Supervisor:
    """Guards one account. ``currencies`` begin with the base currency."""

    def __init__(
        self, settings: GuardSettings, registry: Registry, currencies: Sequence[str], *, allow_short: bool
    ) -> None:
        self.settings = settings
        self.state = State(registry.most, len(currencies))
        self.ledger = Ledger(self.state, (), currencies)
        known = tuple(currencies)
        floors = {name: floor for name, floor in settings.cash_floor.items() if name in known or name == "BASE"}
        self.guard = Guard(
            replace(settings, cash_floor=floors), self.state, registry.instruments, known, allow_short=allow_short
        )
        self.start = math.nan
        self._registry = registry
        self._marker = Marker(marking_terms())
        self._marker.attach(self.state, Timers(), registry.instruments)
        self._has_begun = False

    # -- the books --------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Keep books on every instrument that the run has come to know."""
        while len(self.ledger.instruments) < len(self._registry):
            self.ledger.add(self._registry.instruments[len(self.ledger.instruments)])

    def open(
        self,
        cash: Mapping[str, float],
        rates: Mapping[str, float],
        positions: Mapping[int, tuple[float, float]],
        ts: int,
        kept: Thresholds | None = None,
        stock_value: float = 0.0,
    ) -> None:
        """Begin from what the account holds: cash by currency, and (quantity, price) by instrument.

        ``kept`` are the thresholds of a run that goes on. Raises ConfigError where a limit can not be armed.
        """
        self.sync()
        self.ledger.open(dict(cash), dict(rates))
        for j, (quantity, price) in positions.items():
            if quantity:
                record = self.state.instruments[j]
                if record["mark"] != record["mark"]:
                    self.ledger.note_image(j, price, math.nan, math.nan, ts)
                self.ledger.book_fill(j, quantity, price, 0.0, ts)
        for currency, amount in cash.items():
            k = self.ledger.currencies.index(currency)
            self.ledger.deposit(currency, amount - float(self.state.cash[k]))
        self._remark_all()
        if self._has_begun:
            return
        self._has_begun = True
        account = self.state.account[0]
        self.start = float(account["equity"])
        account["peak"] = self.start
        if kept is None:
            self.guard.arm(stock_value)
        else:
            self.start = kept.start
            account["floor"], account["peak_fraction"] = kept.floor, kept.peak_fraction
            account["guard_peak"] = max(kept.guard_peak, float(account["guard_peak"]))

    def _remark_all(self) -> None:
        account = self.state.account
        account["equity"] = account["cash"] + self.state.tree[1]

    @property
    def thresholds(self) -> Thresholds:
        """What the limits are set to now."""
        a = self.state.account[0]
        return Thresholds(float(a["floor"]), float(a["peak_fraction"]), float(a["guard_peak"]), self.start)

    @property
    def equity(self) -> float:
        """Net liquidation in base currency: cash plus marks; NaN where something of it is unknown."""
        return float(self.state.account["cash"][0] + self.state.tree[1])

    def cash(self, currency: str) -> float:
        """Cash in a currency, or, for BASE, all of it in base currency."""
        if currency == "BASE":
            return float(self.state.account["cash"][0])
        return float(self.state.cash[self.ledger.currencies.index(currency)])

    def quantity(self, j: int) -> float:
        """What the account holds of an instrument."""
        return float(self.state.instruments["quantity"][j])

    @property
    def held(self) -> list[int]:
        """Instruments that the account holds."""
        n = len(self.ledger.instruments)
        return [j for j in range(n) if self.state.instruments["quantity"][j] != 0.0]

    def fill(self, j: int, signed_quantity: float, price: float, fee: float, ts: int) -> Trip | None:
        """An execution in the account, whoever's; a fee that is not known yet (NaN) is booked when it is."""
        self.sync()
        self.ledger.book_fill(j, signed_quantity, price, fee if fee == fee else 0.0, ts)
        return self.check(ts)

    def pay(self, j: int, amount: float, ts: int) -> Trip | None:
        """A fee that has come after its execution, or the difference that a correction makes (positive: paid)."""
        self.ledger.deposit(self.ledger.instruments[j].currency, -amount)
        return self.check(ts)

    def note_image(self, j: int, last: float, bid: float, ask: float, ts: int) -> None:
        """Last known prices of an instrument; no event."""
        self.sync()
        self.ledger.note_image(j, last, bid, ask, ts)
        self._remark_all()

    def set_rate(self, currency: str, rate: float) -> None:
        """A new exchange rate, base currency per unit."""
        if currency in self.ledger.currencies and currency != self.ledger.base:
            self.ledger.set_rate(currency, rate)

    # -- watching ---------------------------------------------------------------------------------------------

    def mark(self, batch: Batch) -> Trip | None:
        """Mark the account on a batch of events; the trip where a threshold was crossed, with the event's place."""
        self._marker.open_batch(batch)
        i, n, trip = 0, len(batch), None
        while i < n:
            i, why = self._marker.advance(i, n, False)
            if why is Stop.TRIP and trip is None:
                trip = self._trip(int(self.state.account["trip_ts"][0]), max(i - 1, 0))
        if self._marker.close_group() and trip is None:
            trip = self._trip(int(self.state.account["trip_ts"][0]), n - 1)
        return trip

    def check(self, ts: int) -> Trip | None:
        """The trip where a limit is crossed now, by a fill, a fee or a deposit rather than by a price."""
        if self.guard.blocked or not self._has_begun:
            return None
        a = self.state.account[0]
        equity = self.equity
        is_low = equity < a["floor"] or (a["peak_fraction"] > 0.0 and equity < a["guard_peak"] * a["peak_fraction"])
        if is_low and not a["tripped"]:
            a["tripped"], a["trip_ts"] = 1, ts
        return self._trip(ts, 0) if self.guard.tripped_rule() else None

    def _trip(self, ts: int, at: int) -> Trip | None:
        if self.guard.blocked:
            return None
        rule = self.guard.tripped_rule()
        self.guard.blocked = True
        cash = float(self.state.account["cash"][0])
        return Trip(ts, rule, f"{rule}: equity {self.equity:,.2f}, cash {cash:,.2f}", at)

    def block(self, rule: str) -> None:
        """No new orders from now on, for a reason that is no threshold: a halt, a mismatch, a trip before a resume."""
        self.guard.blocked = True
        self.guard.rule = self.guard.rule or rule

    def open_session(self) -> None:
        """A trading session opens: the daily loss is measured from here."""
        self.guard.open_session()

    # -- judging orders ---------------------------------------------------------------------------------------

    def approve(
        self, request: OrderRequest, now: int, working_buy: float, working_sell: float, stale: Sequence[str] = ()
    ) -> Approved | Refused:
        """Judge an order on the account as it is now. ``working_*`` are quantities of the account's other orders.

        ``stale`` names what is held and has no fresh data: then nothing that adds risk is approved.
        """
        self.sync()
        j = request.instrument
        record = self.state.instruments[j]
        record["working_buy"], record["working_sell"] = working_buy, working_sell
        if stale and not self._reduces(request):
            return Refused("stale", f"no fresh data of {', '.join(stale)}, which is held; nothing that adds risk")
        return self.guard.approve(request, now, self.reference(j, now))

    def approve_change(self, request: OrderRequest, old: OrderRequest, now: int, filled: float) -> Approved | Refused:
        """Judge a changed order by what is left of it."""
        return self.guard.approve_change(request, old, now, self.reference(request.instrument, now), filled)

    def _reduces(self, request: OrderRequest) -> bool:
        held = self.quantity(request.instrument)
        return held * request.side < 0.0 and request.quantity <= abs(held)

    def reference(self, j: int, now: int) -> float:
        """Middle of a fresh quote, else the last price while it is fresh; NaN unknown."""
        r = self.state.instruments[j]
        if r["quote_ts"] and now - r["quote_ts"] <= QUOTE_FRESH_NS and r["bid"] == r["bid"] and r["ask"] == r["ask"]:
            return float(r["bid"] + r["ask"]) / 2.0
        limit = self.settings.stale_s * NS_PER_S
        is_fresh = limit == 0.0 or now - int(r["last_ts"]) <= limit
        return float(r["last"]) if is_fresh else math.nan

    def flattening(self, quantities: Mapping[int, float]) -> list[Approved]:
        """Approved market orders that close ``quantities`` (by instrument), as far as the account holds them; by symbol."""
        found = []
        symbols = self._registry.symbols
        for j, quantity in sorted(quantities.items(), key=lambda each: symbols[each[0]]):
            held = self.quantity(j)
            size = min(abs(quantity), abs(held))
            if size > 0.0 and quantity * held > 0.0:
                side = Side.SELL if held > 0.0 else Side.BUY
                request = OrderRequest(j, self._registry.symbols[j], side, size, tag="guard")
                found.append(self.guard.approve_flattening(request))
        return found
