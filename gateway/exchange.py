"""The exchange side of the simulated account: orders are matched by the backtest's own broker and kernel."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from brokers.fees import FeeModel
from brokers.sim import FillRules, SimBroker
from papertape.core.guard import Guard, GuardSettings, Refused
from papertape.core.ledger import Ledger
from papertape.core.model import ActionKind, CorporateAction, EventKind, Instrument, Note, OrderStatus, SessionTimes
from papertape.core.orders import OrderBook, OrderRequest
from papertape.core.series import Batch
from papertape.core.state import Reason, State
from papertape.core.timers import NEVER, Priority, Timers

MOST_ORDERS = 1_000_000
"""Orders of one account before the exchange takes no more: each stays in the table to the end."""
_STATUSES = tuple(OrderStatus)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an order: a fill (``quantity`` above 0) or another change. ``fee`` is positive."""

    ts: int
    number: int
    instrument: int
    status: OrderStatus
    reason: Reason
    quantity: float
    price: float
    fee: float

    @property
    def is_fill(self) -> bool:
        """Whether something was traded."""
        return self.quantity > 0.0


class Exchange:
    """One account at the exchange. Orders are numbered from 1; times are UTC ns; what happened is in ``take()``.

    ``guard`` sets no limits: it is there because nothing else can approve an order, and it refuses a sale that a cash
    account does not hold.
    """

    def __init__(
        self,
        *,
        instruments: Sequence[Instrument],
        calendar: SessionTimes,
        actions: Sequence[CorporateAction],
        cash: Mapping[str, float],
        rates: Mapping[str, float],
        fees: FeeModel,
        rules: FillRules,
        start: int,
    ) -> None:
        self.instruments = tuple(instruments)
        self.calendar = calendar
        currencies = tuple(dict.fromkeys([*cash, *(each.currency for each in instruments)]))
        self.state = State(len(instruments), len(currencies))
        self.ledger = Ledger(self.state, instruments, currencies)
        self.ledger.open(dict(cash), dict(rates))
        self.guard = Guard(GuardSettings(), self.state, self.instruments, currencies, allow_short=rules.allow_short)
        self.rules = rules
        self.timers = Timers()
        self.book = OrderBook(self.state)
        self.broker = SimBroker(fees, rules)
        self.broker.attach(self.state, self.timers, self.instruments)
        self.session_opened: Callable[[int], None] = lambda ts: None
        self.split: Callable[[int, float, int], None] = lambda j, ratio, ts: None
        self._index = {each.symbol: j for j, each in enumerate(instruments)}
        self._session = bisect.bisect_left(calendar.close, start)
        self._enter_session(start)
        for action in actions:
            if action.symbol in self._index and action.ts > start:
                self.timers.add(action.ts - 1, Priority.SESSION, self._effect_of(action))

    # -- the exchange's day -------------------------------------------------------------------------------------

    def _enter_session(self, now: int) -> None:
        i, calendar = self._session, self.calendar
        if i >= len(calendar.close):
            return
        opening, closing = calendar.open[i], calendar.close[i]
        following = calendar.open[i + 1] if i + 1 < len(calendar.open) else NEVER
        self.broker.begin_session(calendar.date[i], opening, closing, following)
        self.timers.add(closing, Priority.SESSION, self._end_session)
        if opening > now:
            self.timers.add(opening - 1, Priority.SESSION, self._open_session)

    def _open_session(self, ts: int) -> None:
        self.session_opened(ts)

    def _end_session(self, ts: int) -> None:
        self.broker.end_session(ts)
        self._session += 1
        self._enter_session(ts)

    def is_open(self, now: int) -> bool:
        """Whether the regular session is on."""
        account = self.state.account[0]
        return bool(account["session_open"] <= now < account["session_close"])

    def next_open(self, now: int) -> int:
        """When the next session opens; NEVER where the calendar ends before."""
        i = bisect.bisect_right(self.calendar.open, now)
        return self.calendar.open[i] if i < len(self.calendar.open) else NEVER

    def _effect_of(self, action: CorporateAction) -> Callable[[int], None]:
        def take_effect(ts: int) -> None:
            j = self._index[action.symbol]
            if action.kind is ActionKind.DIVIDEND:
                amount = self.ledger.positions[j].quantity * action.value * self.instruments[j].multiplier
                if amount:
                    self.ledger.deposit(self.instruments[j].currency, amount)
                return
            self.ledger.split(j, action.value)
            self.broker.split(j, action.value, ts)
            self.split(j, action.value, ts)

        return take_effect

    def catch_up(self, actions: Sequence[CorporateAction], since: int, now: int) -> set[int]:
        """Corporate actions that took effect while nobody was there; returns the instruments that were split."""
        split: set[int] = set()
        for action in actions:
            if action.symbol in self._index and since < action.ts <= now:
                self._effect_of(action)(action.ts)
                if action.kind is ActionKind.SPLIT:
                    split.add(self._index[action.symbol])
        return split

    # -- events -------------------------------------------------------------------------------------------------

    @property
    def is_marking(self) -> bool:
        """Whether bars of a time are applied and wait to be marked together."""
        return int(self.state.account["group_ts"][0]) != 0

    def pass_before(self, ts: int) -> None:
        """Everything that is due strictly before ``ts`` happens: bars of a finished time are marked, timers act."""
        account = self.state.account
        while True:
            group, due = int(account["group_ts"][0]), self.timers.due
            if 0 < group < ts and group <= due:
                self.broker.close_group()
            elif due < ts:
                at, action = self.timers.pop()
                action(at)
            else:
                return

    def open_batch(self, batch: Batch) -> None:
        """Make ready to match events of a batch."""
        self.broker.open_batch(batch)

    def match(self, begin: int, end: int) -> None:
        """Match and mark events [begin, end) of the open batch."""
        while begin < end:
            begin, _ = self.broker.advance(begin, end, False)

    def match_until_report(self, begin: int, end: int) -> int:
        """Match and mark events [begin, end) up to the first that does something to an order; the first one behind it."""
        while begin < end:
            begin, _ = self.broker.advance(begin, end, True)
            if self.has_reports:
                break
        return begin

    @property
    def has_reports(self) -> bool:
        """Whether something happened to orders since :meth:`take`."""
        return int(self.state.account["reports"][0]) != 0

    @property
    def is_idle(self) -> bool:
        """Whether no order works, so that no event can fill anything."""
        return int(self.state.account["working"][0]) == 0

    def take(self) -> list[Report]:
        """What happened to orders since the last call, oldest first."""
        account = self.state.account
        n = int(account["reports"][0])
        if n == 0:
            return []
        rows = self.state.reports[:n].tolist()
        names = self.state.reports.dtype.names
        assert names is not None, "reports are records"
        at = [
            names.index(name) for name in ("ts", "order", "instrument", "status", "reason", "quantity", "price", "fee")
        ]
        account["reports"] = 0
        found: list[Report] = []
        for row in rows:
            ts, order, j, status, reason, quantity, price, fee = (row[k] for k in at)
            found.append(Report(ts, order + 1, j, _STATUSES[status], Reason(reason), quantity, price, fee))
        return found

    # -- orders -------------------------------------------------------------------------------------------------

    def last(self, j: int) -> float:
        """Last price of an instrument, else the middle of its quote; NaN unknown."""
        record = self.state.instruments[j]
        if record["last"] == record["last"]:
            return float(record["last"])
        return float((record["bid"] + record["ask"]) / 2.0) if record["quote_ts"] else math.nan

    def expect(self, j: int, kinds: set[EventKind]) -> None:
        """Which kinds of events an instrument has: where there are trades, quotes do not trigger stops."""
        self.state.instruments["has_trades"][j] = int(EventKind.TRADE in kinds)

    def note_image(self, j: int, last: float, bid: float, ask: float, ts: int) -> None:
        """What was known of an instrument before the play began."""
        self.ledger.note_image(j, last, bid, ask, ts)

    def place(self, request: OrderRequest, now: int, best: float = math.nan) -> int | Refused:
        """Take an order in; its number, or why it was refused. ``best``: what a trailing order starts from."""
        if len(self.book) >= MOST_ORDERS:
            return Refused("orders", "the exchange takes no more orders")
        reference = self.last(request.instrument)
        approved = self.guard.approve(request, now, reference)
        if isinstance(approved, Refused):
            return approved
        number = self.book.add(request, now, reference)
        self.broker.submit(approved, number, now)
        if best == best:
            self.state.orders["best"][number - 1] = best
        return number

    def expected_fee(self, request: OrderRequest, price: float) -> float:
        """What an order would cost in fees if it filled at once at a price (NaN unknown), in its currency."""
        value = request.quantity * price * self.instruments[request.instrument].multiplier
        return self.broker.expected_fee(request.side, request.quantity, value)

    def modify(self, number: int, request: OrderRequest, now: int) -> Refused | None:
        """Replace an order's quantity and prices."""
        old = self.book.requests[number - 1]
        filled = self.filled(number)
        approved = self.guard.approve_change(request, old, now, self.last(request.instrument), filled)
        if isinstance(approved, Refused):
            return approved
        self.book.requests[number - 1] = approved.request
        self.broker.modify(approved, number, now)
        return None

    def cancel(self, number: int, now: int, reason: Reason = Reason.CANCEL_REQUESTED) -> None:
        """Ask for an order's end."""
        self.broker.cancel(number, now, reason)

    def status(self, number: int) -> OrderStatus:
        """Present state of an order."""
        return self.book.status(number)

    def filled(self, number: int) -> float:
        """Quantity filled so far."""
        return float(self.state.orders["filled"][number - 1])

    def is_waiting(self, number: int) -> bool:
        """Whether its parent has not filled yet."""
        return bool(self.state.orders["waiting"][number - 1])

    def is_triggered(self, number: int) -> bool:
        """Whether a stop's price was reached."""
        return bool(self.state.orders["triggered"][number - 1])

    def working(self, j: int) -> list[int]:
        """Numbers of an instrument's working orders, oldest first."""
        return self.book.working(j)

    # -- after the fact -----------------------------------------------------------------------------------------

    def book_correction(self, j: int, signed_quantity: float, old_price: float, new_price: float) -> None:
        """An execution had another price: the difference is paid or received, and the position costs as much more."""
        instrument, position = self.instruments[j], self.ledger.positions[j]
        self.ledger.deposit(instrument.currency, signed_quantity * (old_price - new_price) * instrument.multiplier)
        held = position.quantity
        if held * signed_quantity > 0.0:
            share = min(1.0, abs(signed_quantity / held))
            self.state.instruments["average_cost"][j] += share * (new_price - old_price)

    def book_bust(self, j: int, signed_quantity: float, price: float, fee: float, ts: int) -> None:
        """An execution never was: the opposite is booked, and its fee given back."""
        self.ledger.book_fill(j, -signed_quantity, price, -fee, ts)

    def restore(self, cash: Mapping[str, float], positions: Mapping[str, tuple[float, float]], ts: int) -> None:
        """Start from what an account had: cash per currency, and quantity and average price (no fees) by symbol."""
        for symbol, (quantity, price) in positions.items():
            self.ledger.book_fill(self._index[symbol], quantity, price, 0.0, ts)
        for currency, amount in cash.items():
            k = self.ledger.currencies.index(currency)
            self.ledger.deposit(currency, amount - float(self.state.cash[k]))

    def notes(self) -> list[Note]:
        """What the reader of fills must know."""
        return self.broker.notes
