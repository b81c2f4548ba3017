"""The broker port of a run in Cerebro: it marks with our kernel and matches nothing; fills are backtrader's.

Orders are kept until Cerebro's next step is about to be shown, so that a family of orders is seen whole.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import NamedTuple

from backtests.cerebro_market import EXEC_TYPES, Market, OrderCosts, Told
from brokers import order_entry, reported
from brokers.fees import FeeModel, regulatory_notes, regulatory_rates
from brokers.marker import Marker, marking_terms
from papertape.core.compiled import entry_point
from papertape.core.errors import ConfigError, PeerError, StrategyError
from papertape.core.guard import Approved
from papertape.core.model import EventKind, Note, OrderStatus, Severity, TimeInForce
from papertape.core.orders import OrderRequest
from papertape.core.series import Batch
from papertape.core.state import Reason, Stop
from papertape.core.timers import NEVER, Priority

_PLACED = (0, 0, 0, 1, 0, 0, 1.0, math.nan, math.nan, math.nan, 0, 0, 0, 0, -1, 0, 0)
"""What ``place`` takes, by type."""
_TIFS = frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD})
_CENT = 0.01
_TOGETHER = "backtrader ends orders of one group or bracket together"


class Kept(NamedTuple):
    """An order on its way to Cerebro. ``reference`` is the last price when it was decided, NaN unknown."""

    number: int
    request: OrderRequest
    now: int
    reference: float


class CerebroBroker(Marker):
    """Orders of a run in Cerebro. ``market`` is set before the run begins."""

    market: Market

    def __init__(self, fees: FeeModel, *, allow_short: bool) -> None:
        super().__init__(marking_terms())
        self.fees = fees
        self.costs = OrderCosts(fees)
        self.texts: dict[int, str] = {}
        """Order number -> why backtrader ended it, where that is not plain."""
        self._allow_short = allow_short
        self._kept: dict[int, Kept] = {}
        self._requests: dict[int, OrderRequest] = {}
        """Orders that have not ended."""
        self._groups: dict[int, list[int]] = {}
        self._asked: dict[int, Reason] = {}
        self._tomorrow: set[int] = set()
        self._session_close = 0
        self._went_short: set[str] = set()
        self._doubtful: set[dt.date] = set()
        self._day = dt.date.min
        self._is_doubtful = False
        self._place: Callable[..., int] = entry_point(order_entry.place, _PLACED)

    # -- orders -------------------------------------------------------------------------------------------------

    def submit(self, approved: Approved, number: int, now: int) -> None:
        """Keep an order for Cerebro's next step. StrategyError for what Cerebro's broker can not do."""
        r = approved.request
        self._refuse(r)
        self._make_room()
        self._place(
            self._places.address, number - 1, r.instrument, r.side, r.type, r.tif, r.quantity, r.limit_price,
            r.stop_price, r.trail, r.trail_is_fraction, NEVER, now, r.group, r.parent - 1, r.outside_hours,
            int(OrderStatus.SUBMITTED),
        )  # fmt: skip
        if self.status(number).is_final:  # a child whose parent has ended
            return
        if r.tif is TimeInForce.DAY and now >= self._session_close:
            self._tomorrow.add(number)
        elif r.tif is TimeInForce.GTD:
            self._timers.add(r.expire_ts, Priority.BROKER, lambda ts: self._end(number, ts, Reason.EXPIRED))
        last = float(self._state.instruments["last"][r.instrument])
        self._kept[number] = Kept(number, r, now, last)
        self._requests[number] = r
        if r.group:
            self._groups.setdefault(r.group, []).append(number)

    def _refuse(self, r: OrderRequest) -> None:
        """StrategyError where backtrader's broker would do something else than what is asked."""
        name = f"{r.side.name} {r.quantity:g} {r.symbol}"
        if r.type not in EXEC_TYPES:
            known = ", ".join(each.name for each in EXEC_TYPES)
            raise StrategyError(f"{name} {r.type.name}: engine backtrader takes {known}; leave out --engine for others")
        if r.tif not in _TIFS:
            known = ", ".join(sorted(each.name for each in _TIFS))
            raise StrategyError(f"{name} {r.tif.name}: engine backtrader takes {known}; leave out --engine for others")
        if r.limit_price <= 0.0 or r.stop_price <= 0.0:
            raise StrategyError(f"{name}: engine backtrader takes a price of 0 or below for none; leave out --engine")
        if r.parent:
            self._refuse_child(r, name)
        elif any(self._waits_for(each) for each in self._groups.get(r.group, ())):
            raise StrategyError(f"{name}: engine backtrader keeps the children of an order in a group of their own")

    def _refuse_child(self, r: OrderRequest, name: str) -> None:
        if self.status(r.parent).is_final:
            return
        if r.parent not in self._kept:
            raise StrategyError(
                f"{name}: engine backtrader takes a child together with its parent, or when that has filled; "
                f"order {r.parent} is at work already"
            )
        if self._requests[r.parent].parent and self._waits_for(r.parent):
            raise StrategyError(f"{name}: engine backtrader has no children of children; order {r.parent} is one")
        siblings = [each for each, kept in self._requests.items() if kept.parent == r.parent]
        if any(not r.group or self._requests[each].group != r.group for each in siblings):
            raise StrategyError(
                f"{name}: engine backtrader ends the children of an order together; give them one group=new_group()"
            )
        if any(each not in siblings for each in self._groups.get(r.group, ())):
            raise StrategyError(f"{name}: engine backtrader keeps the children of an order in a group of their own")

    def _waits_for(self, number: int) -> int:
        """Number of the parent that an order waits for; 0 for none."""
        row = self._state.orders[number - 1]
        return int(row["parent"]) + 1 if row["waiting"] and int(row["status"]) < OrderStatus.FILLED else 0

    def give_kept(self) -> None:
        """Hand what was decided since the last step to Cerebro's broker, parents with their children."""
        if not self._kept:
            return
        families: dict[int, list[Kept]] = {}
        for number, each in self._kept.items():
            if self.status(number).is_final:  # a child, whose parent was taken back
                self._forget(number)
            else:
                families.setdefault(self._waits_for(number) or number, []).append(each)
        self._kept.clear()
        for family in families.values():
            self.market.give(family)

    def cancel(self, number: int, now: int, reason: int) -> None:
        """Cancel an order, at once."""
        self._end(number, now, Reason(reason))

    def _end(self, number: int, ts: int, reason: Reason) -> None:
        if self.status(number).is_final:
            return
        if number in self._kept:
            del self._kept[number]
            self._finish(number, ts, OrderStatus.CANCELLED, reason)
            return
        self._asked[number] = reason
        self.market.cancel(number)
        self.take_told(ts)

    def _finish(self, number: int, ts: int, status: OrderStatus, reason: Reason) -> None:
        """End an order in our table, with the children that wait for it."""
        self._make_room()
        if reason is Reason.EXPIRED:
            status = OrderStatus.EXPIRED
        order_entry.finish(self._places.address, number - 1, ts, int(status), int(reason))
        self._forget(number)

    def _forget(self, number: int) -> None:
        request = self._requests.pop(number, None)
        if request is not None and request.group:
            group = self._groups[request.group]
            group.remove(number)
            if not group:
                del self._groups[request.group]

    def modify(self, approved: Approved, number: int, now: int) -> None:
        """StrategyError: backtrader's broker changes no orders."""
        raise StrategyError(
            f"order {number}: engine backtrader changes no orders; cancel it and give another, or leave out --engine"
        )

    def status(self, number: int) -> OrderStatus:
        """Present state of an order."""
        return OrderStatus(int(self._state.orders["status"][number - 1]))

    # -- from Cerebro -----------------------------------------------------------------------------------------------

    def advance(self, begin: int, end: int, stop_on_report: bool) -> tuple[int, Stop]:
        """Take in what Cerebro's broker did on the events of its step, then mark them."""
        account = self._state.account
        first = int(account["reports"][0])
        taken = self.take_told()
        if taken and self._has_bars:
            account["group_ts"] = (
                self._ts
            )  # judged when the bars of their time are complete, also where nothing is held
        at, why = super().advance(begin, end, stop_on_report)
        if taken and not self._has_bars and why is not Stop.TRIP:
            account["group_ts"] = self._ts  # the kernel passes by what is not held any more
            why = Stop.TRIP if self.close_group() else why
            self._state.reports["equity"][first : first + taken] = account["equity"][0]
        return at, Stop.REPORT if taken and why is Stop.END and stop_on_report else why

    def open_batch(self, batch: Batch) -> None:
        """Make ready to advance over a batch."""
        super().open_batch(batch)
        self._has_bars = bool(batch.kind[0] >= EventKind.BAR)
        self._ts = int(batch.ts[0])

    def take_told(self, ts: int = 0) -> int:
        """Take what was said of orders into the table; returns how many reports that makes.

        Ends are of ``ts``, or of the present step.
        """
        told = self.market.take_told()
        if not told:
            return 0
        before = int(self._state.account["reports"][0])
        self._make_room(at_once=True)
        for each in told:
            if each.quantity > 0.0:
                self._take_fill(each)
            elif self.status(each.number).is_final:  # a child, whose parent's end was said before
                self._forget(each.number)
            else:
                status, reason = self._meaning(each)
                self._finish(each.number, ts or self._ts, status, reason)
        self._reconcile(told)
        return int(self._state.account["reports"][0]) - before

    def _take_fill(self, told: Told) -> None:
        reported.take_fill(self._places.address, told.number - 1, told.quantity, told.price, told.fee, told.ts)
        if self._is_doubtful:
            self._doubtful.add(self._day)
        if self.status(told.number).is_final:
            self._forget(told.number)

    def _meaning(self, told: Told) -> tuple[OrderStatus, Reason]:
        """State and reason of an order that backtrader has ended."""
        number = told.number
        if told.no_cash:
            filled = float(self._state.orders["filled"][number - 1])
            return (OrderStatus.CANCELLED if filled else OrderStatus.REJECTED), Reason.NO_CASH
        if number in self._asked:
            return OrderStatus.CANCELLED, self._asked.pop(number)
        orders = self._state.orders
        group = int(orders["group"][number - 1])
        if group and bool((orders["filled"][orders["group"] == group] > 0.0).any()):
            return OrderStatus.CANCELLED, Reason.GROUP_FILLED
        self.texts[number] = _TOGETHER
        return told.status, Reason.BROKER

    def _reconcile(self, told: list[Told]) -> None:
        """Our books, made of what was reported, must be backtrader's. PeerError where they are not."""
        ours, theirs = float(self._state.cash[0]), self.market.cash
        if not abs(ours - theirs) < _CENT:
            raise PeerError(f"backtrader's broker has {theirs:,.2f} in cash, and its fills make {ours:,.2f}")
        for number in {each.number for each in told if each.quantity > 0.0}:
            j = int(self._state.orders["instrument"][number - 1])
            held, holding = float(self._state.instruments["quantity"][j]), self.market.holding(j)
            symbol = self._instruments[j].symbol
            if not abs(held - holding) < 1e-6:
                raise PeerError(f"backtrader's broker holds {holding:g} {symbol}, and its fills make {held:g}")
            if held < -1e-9 and not self._allow_short:
                self._went_short.add(symbol)

    @property
    def notes(self) -> list[Note]:
        """What the reader of the run must know of its fills."""
        found = [Note("engine", "orders were matched by backtrader's broker; docs/backtrader.md says how it differs")]
        if self._went_short:
            names = ", ".join(sorted(self._went_short))
            text = f"sold short, which the strategy does not allow and backtrader's broker does not prevent: {names}"
            found.append(Note("went_short", text, Severity.WARNING, len(self._went_short)))
        return [*found, *regulatory_notes(sorted(self._doubtful))]

    # -- the exchange's day ---------------------------------------------------------------------------------------

    def begin_session(self, date: int, session_open: int, session_close: int, next_open: int) -> None:
        """The exchange's next (or present) session: hours, and fee rates of its date."""
        account = self._state.account
        account["session_open"] = session_open
        account["session_close"] = self._session_close = session_close
        self._day = dt.date(1970, 1, 1) + dt.timedelta(days=date)
        if self.fees.is_regulated:
            rates = regulatory_rates(self._day)
            self.costs.regulatory[:] = rates.vector()
            self._is_doubtful = rates.estimated

    def end_session(self, ts: int) -> None:
        """The session closes: day orders that came before the close end."""
        over = [
            number
            for number, request in sorted(self._requests.items())
            if request.tif is TimeInForce.DAY and number not in self._tomorrow and not self.status(number).is_final
        ]
        self._asked.update(dict.fromkeys(over, Reason.EXPIRED))  # the first of a group takes the others with it
        for number in over:
            self._end(number, ts, Reason.EXPIRED)
            self._asked.pop(number, None)
        self._tomorrow.clear()

    def split(self, instrument: int, ratio: float, ts: int) -> None:
        """ConfigError where it would matter: backtrader's broker knows no splits."""
        symbol = self._instruments[instrument].symbol
        works = any(each.instrument == instrument for each in self._requests.values())
        if works or self._state.instruments["quantity"][instrument] != 0.0:
            raise ConfigError(
                f"{symbol} splits while it is held or ordered, which backtrader's broker does not know; "
                "end before that with --end, or leave out --engine"
            )
