"""The account as TWS tells it, brought into the guard's books: at the start, and whenever values are refreshed."""

from __future__ import annotations

import math
from collections.abc import Callable

from brokers.ib.account import IbAccount
from brokers.ib.fills import index_of
from brokers.ib.orders import IbOrders
from brokers.ib.registry import Registry
from papertape.core.errors import UserError
from papertape.core.model import NS_PER_S
from papertape.live import entries
from papertape.live.cash import CashWatch
from papertape.live.supervisor import Supervisor, Thresholds, Trip
from papertape.live.writer import EntryWriter

NOTE_EVERY_NS = 10 * NS_PER_S
"""How often the highest net liquidation is noted, which the guard refers to."""


class AccountBooks:
    """Opens the books and keeps cash and exchange rates in them as they are. ``speed`` is that of a simulated gateway."""

    def __init__(
        self,
        *,
        account: IbAccount,
        orders: IbOrders,
        supervisor: Supervisor,
        registry: Registry,
        writer: EntryWriter,
        say: Callable[[int, str], None],
        is_ready: Callable[[], bool],
        speed: float,
    ) -> None:
        self._account = account
        self._orders = orders
        self._supervisor = supervisor
        self._registry = registry
        self._writer = writer
        self._say = say
        self._is_ready = is_ready
        self._cash = CashWatch(speed)
        self._is_arming_noted = False
        self._noted_at = 0

    def rates(self) -> dict[str, float]:
        """Base currency of the run per unit of each currency."""
        return rates_in(self._supervisor.ledger.base, self._account)

    def begin(self, kept: Thresholds | None, now: int, *, is_resumed: bool = False) -> list[int]:
        """The account is known for the first time in this process: the guard's books begin. Returns what is held.

        Without ``kept`` the limits are armed from the account as it is now.
        """
        account = self._account
        positions: dict[int, tuple[float, float]] = {}
        for con_id, item in account.positions.items():
            try:
                j = index_of(self._registry, item.contract)
            except UserError as error:
                self._say(now, f"{error}; the account's guard does not see what it is worth")
                continue
            told = account.portfolio.get(con_id)
            positions[j] = (item.quantity, told.price if told is not None else math.nan)
        rates = self.rates()
        supervisor = self._supervisor
        supervisor.open(account.cash, rates, positions, now, kept, account.starting_stock_value)
        if not is_resumed:
            set_to = supervisor.thresholds
            held = {con_id: item.quantity for con_id, item in account.positions.items()}
            began = entries.Began(
                account.id, supervisor.ledger.base, account.cash, rates, held, dict(self._orders.known_executions),
                set_to.floor, set_to.peak_fraction, set_to.guard_peak, set_to.start,
            )  # fmt: skip
            self._writer.commit(now, began)
        return list(positions)

    def note_limits(self, now: int, *, at_once: bool) -> None:
        """Journal what the limits were set to, as soon as they are, and every now and then how far they have moved.

        A resume keeps them: a limit must not be lost because net liquidation was not known at the start.
        """
        supervisor = self._supervisor
        if not supervisor.is_armed:
            return
        if not self._is_arming_noted:
            self._is_arming_noted = True
            set_to = supervisor.thresholds
            armed = entries.Armed(set_to.floor, set_to.peak_fraction, set_to.guard_peak, set_to.start)
            self._writer.commit(now, armed)
        if at_once or now - self._noted_at >= NOTE_EVERY_NS:
            self._noted_at = now
            set_to = supervisor.thresholds
            peak = entries.Peak(set_to.guard_peak, supervisor.equity, set_to.floor, set_to.session)
            self._writer.note(now, peak)

    def moved(self, now: int) -> None:
        """An execution or a fee was booked."""
        self._cash.moved(now)

    def look(self, now: int) -> list[Trip]:
        """Exchange rates and cash as TWS tells them now, against the books; the trips that follow from it."""
        supervisor, account = self._supervisor, self._account
        for currency, rate in self.rates().items():
            if currency in supervisor.ledger.currencies and supervisor.rate(currency) != rate == rate:
                supervisor.set_rate(currency, rate)
        trips = [supervisor.check(now)]
        if self._is_ready():
            cash = account.cash
            known = [name for name in cash if name in supervisor.ledger.currencies]
            books = {name: supervisor.cash(name) + supervisor.flows.get(name, 0.0) for name in known}
            for currency, amount in self._cash.look(cash, account.cash_told, books, now):
                self._writer.commit(now, entries.Flowed(currency, amount))
                verb = "came into" if amount > 0.0 else "left"
                self._say(now, f"{abs(amount):,.2f} {currency} {verb} the account without a trade: no profit, no loss")
                trips.append(supervisor.flow(currency, amount, now))
        return [trip for trip in trips if trip is not None]


def rates_in(base: str, account: IbAccount) -> dict[str, float]:
    """Units of ``base`` per unit of each currency; TWS tells them per unit of the account's own base currency. NaN unknown."""
    told = account.rates
    own = account.base or base
    unit = 1.0 if own == base else told.get(base, math.nan)
    rates = {currency: rate / unit for currency, rate in {**told, own: 1.0}.items()}
    return {**rates, base: 1.0}
