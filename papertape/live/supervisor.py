"""The account's guard: marks the whole account on every event, trips before the strategy hears of it, judges every order.

It lives on the adapter side, where no strategy can delay it. Its books are the account's, with everything that others
hold and trade there; the strategy's own books are on the other side. Marks, thresholds and limits are those of a
backtest, by the same code.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from brokers.ib.order_entries import DUST
from brokers.ib.registry import Registry
from brokers.marker import Marker, marking_terms
from papertape.core.errors import ConfigError
from papertape.core.guard import Approved, Basis, Guard, GuardSettings, Refused
from papertape.core.ledger import Ledger
from papertape.core.model import NS_PER_S, Side
from papertape.core.orders import OrderRequest
from papertape.core.series import Batch
from papertape.core.state import QUOTE_FRESH_NS, State, Stop
from papertape.core.timers import NEVER, Timers


@dataclass(frozen=True, slots=True)
class Trip:
    """The guard tripped at event ``at`` of a batch (0 where it was no market event), at ``ts`` (UTC ns)."""

    ts: int
    rule: str
    text: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the guard's limits were set to when the run first began: kept over a resume. -inf and 0 are off.

    ``flows`` is what came into the account (or left it) since the run began without a trade, by currency; ``session``
    the open of the session that a daily loss is measured from (UTC ns), 0 for the start of the run.
    """

    floor: float = -math.inf
    peak_fraction: float = 0.0
    guard_peak: float = -math.inf
    start: float = math.nan
    """Net liquidation at the first reconciliation."""
    flows: Mapping[str, float] = field(default_factory=dict)
    session: int = 0


class Supervisor:
    """Guards one account. ``currencies`` begin with the base currency. ``opens`` are when sessions open (UTC ns).

    Deposits and withdrawals are no profit and no loss: the books, and so net liquidation, are without those since the
    run began. A cash floor is of the cash that there is.
    """

    def __init__(
        self,
        settings: GuardSettings,
        registry: Registry,
        currencies: Sequence[str],
        *,
        allow_short: bool,
        opens: Sequence[int] = (),
    ) -> None:
        self.settings = settings
        self.state = State(registry.most, len(currencies))
        self.ledger = Ledger(self.state, (), currencies)
        self.guard = Guard(settings, self.state, registry.instruments, tuple(currencies), allow_short=allow_short)
        self.start = math.nan
        self.flows: dict[str, float] = {}
        """Currency -> what came in (positive) or left since the run began, without a trade."""
        self.opens = tuple(opens)
        self.session = 0
        """Open of the session that a daily loss is measured from; 0 for the start of the run."""
        self._floors = dict(settings.cash_floor)
        self._registry = registry
        self._marker = Marker(marking_terms())
        self._marker.attach(self.state, Timers(), registry.instruments)
        self._has_begun = False
        self._is_armed = False
        self._kept: Thresholds | None = None
        self._stock_value = 0.0
        self._next_open = NEVER
        self._is_opening = False
        """Whether a session has opened and net liquidation was not known since."""

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
        assert not self._has_begun, "the books are opened once"
        self.flows = dict(kept.flows) if kept is not None else {}
        own = {currency: cash.get(currency, 0.0) - self.flows.get(currency, 0.0) for currency in {*cash, *self.flows}}
        unknown = sorted(name for name, amount in own.items() if amount and name not in self.ledger.currencies)
        if unknown:
            raise ConfigError(f"the account holds cash in {', '.join(unknown)}, in which this run keeps no books")
        self.ledger.open(own, dict(rates))
        for j, (quantity, price) in positions.items():
            if quantity:
                self._hold(j, quantity, price, ts)
        self._remark_all()
        self.state.account["peak"] = self.equity
        self._has_begun = True
        self._kept, self._stock_value = kept, stock_value
        begun = kept.session if kept is not None and kept.session else ts
        self._next_open = next((each for each in self.opens if each > begun), NEVER)
        self.session = kept.session if kept is not None else 0
        self._shift_floors()
        self._arm_where_known()

    def _hold(self, j: int, quantity: float, price: float, ts: int) -> None:
        """The account holds something since before: it costs no cash, and is marked at ``price`` until there is a newer."""
        record = self.state.instruments[j]
        record["quantity"], record["average_cost"] = quantity, price
        record["low"] = record["high"] = price
        account = self.state.account
        account["held"] += 1
        account["held_since"] = ts
        if record["mark"] != record["mark"]:
            self.ledger.note_image(j, price, math.nan, math.nan, ts)
        else:
            self.ledger.note_image(j, math.nan, math.nan, math.nan, ts)

    def _arm_where_known(self) -> None:
        """Set the limits, once net liquidation is known: a limit on what is unknown would never trip."""
        if not self._has_begun or self.equity != self.equity:
            return
        if self._is_armed:
            if self._is_opening:
                self.guard.open_session()
                self._is_opening = False
            return
        self._is_armed = True
        account, kept = self.state.account[0], self._kept
        account["peak"] = account["equity"] = self.equity
        if kept is not None:
            self.start = kept.start
            account["floor"], account["peak_fraction"] = kept.floor, kept.peak_fraction
            account["guard_peak"] = max(kept.guard_peak, float(account["guard_peak"]))
            return
        self.start = self.equity
        if self.settings.basis is Basis.STOCK_VALUE and self._stock_value != self._stock_value:
            raise ConfigError("guard basis stock_value: TWS does not say what the stock is worth; use net_liquidation")
        self.guard.arm(self._stock_value)
        self._is_opening = False

    def _remark_all(self) -> None:
        account = self.state.account
        account["equity"] = account["cash"] + self.state.tree[1]

    @property
    def is_armed(self) -> bool:
        """Whether the limits are set: as soon as net liquidation is known."""
        return self._is_armed

    @property
    def thresholds(self) -> Thresholds:
        """What the limits are set to now."""
        a = self.state.account[0]
        floor, peak_fraction, peak = float(a["floor"]), float(a["peak_fraction"]), float(a["guard_peak"])
        return Thresholds(floor, peak_fraction, peak, self.start, dict(self.flows), self.session)

    @property
    def is_breached(self) -> bool:
        """Whether a limit is crossed now. What is unknown is no breach."""
        if self._is_low():
            return True
        return any(self.cash(name) < floor for name, floor in self.guard.settings.cash_floor.items())

    def _is_low(self) -> bool:
        a = self.state.account[0]
        equity = self.equity
        return bool(equity < a["floor"] or (a["peak_fraction"] > 0.0 and equity < a["guard_peak"] * a["peak_fraction"]))

    @property
    def equity(self) -> float:
        """Net liquidation in base currency: cash plus marks; NaN where something of it is unknown."""
        return float(self.state.account["cash"][0] + self.state.tree[1])

    def cash(self, currency: str) -> float:
        """Cash in a currency, or, for BASE, all of it in base currency."""
        if currency == "BASE":
            return float(self.state.account["cash"][0])
        return float(self.state.cash[self.ledger.currencies.index(currency)])

    def rate(self, currency: str) -> float:
        """Base currency per unit of a currency; NaN unknown."""
        return float(self.state.rates[self.ledger.currencies.index(currency)])

    def quantity(self, j: int) -> float:
        """What the account holds of an instrument."""
        return float(self.state.instruments["quantity"][j])

    @property
    def held(self) -> list[int]:
        """Instruments that the account holds."""
        quantities = self.state.instruments["quantity"][: len(self.ledger.instruments)]
        return [j for j, quantity in enumerate(quantities.tolist()) if quantity != 0.0]

    def fill(self, j: int, signed_quantity: float, price: float, fee: float, ts: int) -> Trip | None:
        """An execution in the account, whoever's; a fee that is not known yet (NaN) is booked when it is.

        Of the limits only cash floors are judged at once. What a position is worth is judged at the next event, as in a
        backtest, which marks on the event that fills: the mark before it is older than the fill. Where nothing is left
        of it no event will, so that is judged now; a new peak only once the fee is known.
        """
        self.sync()
        self.pass_time(ts)  # a session that has opened is measured from before its first fill
        self.ledger.book_fill(j, signed_quantity, price, fee if fee == fee else 0.0, ts)
        if not self.quantity(j):
            return self._mark_closed(ts) if fee == fee else self.check(ts)
        return self._check_cash(ts)

    def pay(self, j: int, amount: float, currency: str, ts: int) -> Trip | None:
        """What an execution cost, in ``currency`` (empty or unknown to the books: the instrument's)."""
        known = currency if currency in self.ledger.currencies else self.ledger.instruments[j].currency
        self.ledger.deposit(known, -amount)
        return self._check_cash(ts) if self.quantity(j) else self._mark_closed(ts)

    def _mark_closed(self, ts: int) -> Trip | None:
        if self._has_begun and self.equity == self.equity:
            self._marker.mark_closed(ts)
        return self.check(ts)

    def _check_cash(self, ts: int) -> Trip | None:
        if self.guard.blocked or not self._has_begun or self.state.account["tripped"][0]:
            return None
        return self._trip(ts, 0) if self.guard.tripped_rule() else None

    def flow(self, currency: str, amount: float, ts: int) -> Trip | None:
        """Cash came into the account (negative: left it) without a trade: no profit and no loss, but a floor may be crossed."""
        self.flows[currency] = self.flows.get(currency, 0.0) + amount
        self._shift_floors()
        return self.check(ts)

    def _shift_floors(self) -> None:
        """Cash floors are of the cash that there is; the books are without what came or left."""
        floors = {}
        for name, floor in self._floors.items():
            if name == "BASE":
                rates = dict(zip(self.ledger.currencies, self.state.rates, strict=True))
                floors[name] = floor - sum(amount * float(rates[each]) for each, amount in self.flows.items())
            else:
                floors[name] = floor - self.flows.get(name, 0.0)
        self.guard.settings = replace(self.guard.settings, cash_floor=floors)

    def note_image(self, j: int, last: float, bid: float, ask: float, ts: int) -> None:
        """Last known prices of an instrument; no event."""
        self.sync()
        self.ledger.note_image(j, last, bid, ask, ts)
        self._remark_all()
        self._arm_where_known()

    def set_rate(self, currency: str, rate: float) -> None:
        """A new exchange rate, base currency per unit."""
        if currency in self.ledger.currencies and currency != self.ledger.base:
            self.ledger.set_rate(currency, rate)
            self._shift_floors()
            self._arm_where_known()

    # -- watching ---------------------------------------------------------------------------------------------

    def mark(self, batch: Batch) -> Trip | None:
        """Mark the account on a batch of events; the trip where a threshold was crossed, with the event's place."""
        self._marker.open_batch(batch)
        i, n, trip = 0, len(batch), None
        while i < n:
            self.pass_time(int(batch.ts[i]))
            end = n if self._next_open > int(batch.ts[n - 1]) else int(np.searchsorted(batch.ts, self._next_open))
            i, why = self._marker.advance(i, end, False)
            if why is Stop.TRIP and trip is None:
                trip = self._trip(int(self.state.account["trip_ts"][0]), max(i - 1, 0))
        if self._marker.close_group() and trip is None:
            trip = self._trip(int(self.state.account["trip_ts"][0]), n - 1)
        self._arm_where_known()
        return trip

    def pass_time(self, now: int) -> bool:
        """Where a trading session has opened by ``now``, the daily loss is measured from there; whether one has."""
        if now < self._next_open:
            return False
        k = bisect.bisect_right(self.opens, now)
        self.session = self.opens[k - 1]
        self._next_open = self.opens[k] if k < len(self.opens) else NEVER
        self._is_opening = True
        self._arm_where_known()
        return True

    def check(self, ts: int) -> Trip | None:
        """The trip where a limit is crossed now, by a fill, a fee or a flow rather than by a price."""
        self._arm_where_known()
        if self.guard.blocked or not self._has_begun:
            return None
        account = self.state.account
        if self._is_low() and not account["tripped"][0]:
            account["tripped"], account["trip_ts"] = 1, ts
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
        if stale and self._adds_risk(request, request.quantity, working_buy, working_sell):
            return _stale(stale)
        return self.guard.approve(request, now, self.reference(j, now))

    def approve_change(
        self,
        request: OrderRequest,
        old: OrderRequest,
        now: int,
        filled: float,
        working_buy: float,
        working_sell: float,
        stale: Sequence[str] = (),
    ) -> Approved | Refused:
        """Judge a changed order by what is left of it. ``working_*`` are those of all orders, the old one among them."""
        j = request.instrument
        record = self.state.instruments[j]
        record["working_buy"], record["working_sell"] = working_buy, working_sell
        more = request.quantity - old.quantity
        if stale and more > 0.0 and self._adds_risk(request, more, working_buy, working_sell):
            return _stale(stale)
        return self.guard.approve_change(request, old, now, self.reference(j, now), filled)

    def _adds_risk(self, request: OrderRequest, quantity: float, working_buy: float, working_sell: float) -> bool:
        """Whether an order is more than what closes the position together with what works on its side."""
        held = self.quantity(request.instrument)
        working = working_buy if request.side is Side.BUY else working_sell
        return held * request.side >= 0.0 or quantity + (0.0 if request.group else working) > abs(held) + DUST

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


def _stale(symbols: Sequence[str]) -> Refused:
    return Refused("stale", f"no fresh data of {', '.join(symbols)}, which is held; nothing that adds risk")
