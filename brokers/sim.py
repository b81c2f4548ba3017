"""The simulated broker: takes approved orders into the state's order table, where the kernel matches them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from brokers import matching, order_entry
from brokers.fees import NO_REGULATORY, FeeModel, fill_fee, regulatory_notes, regulatory_rates
from brokers.marker import Marker
from brokers.rules import (
    ALLOW_SHORT,
    MARGIN_MULTIPLE,
    RULES,
    SLIPPAGE_FRACTION,
    SLIPPAGE_PRICE,
    TOUCH,
    VOLUME_SHARE,
)
from papertape.core.compiled import entry_point
from papertape.core.errors import ConfigError
from papertape.core.guard import Approved
from papertape.core.lifecycle import OrderEvent, next_status
from papertape.core.model import Note, OrderStatus, TimeInForce
from papertape.core.series import F8
from papertape.core.state import Reason, Terms
from papertape.core.timers import Priority

# Members by plain names: looking one up on its class is slow in Python 3.11, and these are asked for at every order.
_DAY = TimeInForce.DAY
_OPG = TimeInForce.OPG
_GTD = TimeInForce.GTD
_PENDING_SUBMIT = int(OrderStatus.PENDING_SUBMIT)
_SUBMITTED = int(OrderStatus.SUBMITTED)
_NO_PRICE = math.nan
_PLACED = (0, 0, 0, 1, 0, 0, 1.0, _NO_PRICE, _NO_PRICE, _NO_PRICE, 0, 0, 0, 0, -1, 0, 0)
"""What ``place`` takes, by type."""


@dataclass(frozen=True, slots=True)
class FillRules:
    """How the simulated broker fills.

    ``slippage_price`` is in price units per unit, ``slippage_fraction`` a fraction of the price; both make
    market and stop fills worse. ``touch``: a resting limit fills when just touched (default: it must be traded
    through). ``volume_share`` is the largest part of an event's volume that one event may fill, 0 for no cap.
    ``margin_multiple``: buying power as a multiple of net liquidation; 1 is a cash account.
    """

    slippage_price: float = 0.0
    slippage_fraction: float = 0.0
    touch: bool = False
    volume_share: float = 0.0
    margin_multiple: float = 1.0
    latency_ns: int = 0
    allow_short: bool = False

    def vector(self) -> F8:
        """The parameters as the kernel wants them."""
        out = np.zeros(RULES)
        out[SLIPPAGE_PRICE] = self.slippage_price
        out[SLIPPAGE_FRACTION] = self.slippage_fraction
        out[TOUCH] = float(self.touch)
        out[VOLUME_SHARE] = self.volume_share
        out[MARGIN_MULTIPLE] = self.margin_multiple
        out[ALLOW_SHORT] = float(self.allow_short)
        return out


class SimBroker(Marker):
    """Fills orders from the tape, by the rules of docs/fill-model.md."""

    def __init__(self, fees: FeeModel, rules: FillRules) -> None:
        self.fees = fees
        self.rules = rules
        super().__init__(Terms(fees.vector(), NO_REGULATORY.copy(), np.zeros(1), rules.vector()))
        self._day = dt.date.min
        self._is_doubtful = False
        self._doubtful_days: set[dt.date] = set()
        self._month_of = -1
        self._tomorrow: set[int] = set()
        self._session_close = 0
        self._place: Callable[..., int] = entry_point(order_entry.place, _PLACED)

    # -- orders -------------------------------------------------------------------------------------------------

    def submit(self, approved: Approved, number: int, now: int) -> None:
        """Take an order in. It acts after the latency; an on-open order not before the next open."""
        r = approved.request
        self._commands_left -= 1
        if self._commands_left < 0 or self._places.books.orders is not self._state.orders:
            self._make_room()
        latency = self.rules.latency_ns
        active = now + latency
        tif = r.tif
        if self._is_doubtful:
            self._doubtful_days.add(self._day)
        if tif is _DAY:
            if active >= self._session_close:
                self._tomorrow.add(number)
        elif tif is _OPG:
            active = self._opening_after(active) - 1
        elif tif is _GTD:
            self._timers.add(r.expire_ts, Priority.BROKER, lambda ts: self._end(number, ts, Reason.EXPIRED))
        self._place(
            self._places.address, number - 1, r.instrument, r.side, r.type, tif, r.quantity, r.limit_price,
            r.stop_price, r.trail, r.trail_is_fraction, active, now, r.group, r.parent - 1, r.outside_hours,
            _PENDING_SUBMIT if latency else _SUBMITTED,
        )  # fmt: skip
        if latency:
            self._timers.add(now + latency, Priority.BROKER, lambda ts: self._acknowledge(number, ts))

    def _opening_after(self, ts: int) -> int:
        account = self._state.account[0]
        if ts < account["session_open"]:
            return int(account["session_open"])
        return self._next_open

    def _acknowledge(self, number: int, ts: int) -> None:
        self._make_room()
        order_entry.acknowledge(self._places.address, number - 1, ts)

    def _change(self, number: int, event: OrderEvent) -> bool:
        """Move an order along its lifecycle; False where it has ended already."""
        status = OrderStatus(int(self._state.orders["status"][number - 1]))
        if status.is_final:
            return False
        self._state.orders["status"][number - 1] = int(next_status(status, event))
        return True

    def cancel(self, number: int, now: int, reason: int) -> None:
        """Cancel an order after the latency; it may fill until then."""
        latency = self.rules.latency_ns
        if latency == 0:
            self._end(number, now, Reason(reason))
        elif self._change(number, OrderEvent.CANCEL_SENT):
            self._timers.add(now + latency, Priority.BROKER, lambda ts: self._end(number, ts, Reason(reason)))

    def _end(self, number: int, ts: int, reason: Reason) -> None:
        self._make_room()
        status = OrderStatus.EXPIRED if reason is Reason.EXPIRED else OrderStatus.CANCELLED
        order_entry.finish(self._places.address, number - 1, ts, int(status), int(reason))

    def modify(self, approved: Approved, number: int, now: int) -> None:
        """Replace an order's quantity and prices after the latency; it keeps its place and what it has filled."""

        def take_effect(ts: int) -> None:
            if OrderStatus(int(self._state.orders["status"][number - 1])).is_final:
                return
            self._make_room()
            r = approved.request
            order_entry.amend(self._places.address, number - 1, ts, r.quantity, r.limit_price, r.stop_price, r.trail)

        if self.rules.latency_ns == 0:
            take_effect(now)
        elif self._change(number, OrderEvent.MODIFY_SENT):
            self._timers.add(now + self.rules.latency_ns, Priority.BROKER, take_effect)

    @property
    def notes(self) -> list[Note]:
        """What the reader of the run must know of its fills: fee rates of days on which orders worked that are estimated."""
        return regulatory_notes(sorted(self._doubtful_days))

    def expected_fee(self, side: int, quantity: float, value: float) -> float:
        """Fee of an order that fills at once, of ``value`` in its currency, at today's rates; NaN where value is."""
        t = self._terms
        return float(fill_fee(t.fees, t.regulatory, 0.0, 0.0, quantity, value, t.month[0], side, False))

    # -- the exchange's day ---------------------------------------------------------------------------------------

    def begin_session(self, date: int, session_open: int, session_close: int, next_open: int) -> None:
        """The exchange's next (or present) session: hours, fee rates of its date, month for tiers."""
        account = self._state.account
        account["session_open"] = session_open
        account["session_close"] = session_close
        self._session_close = session_close
        self._next_open = next_open
        day = dt.date(1970, 1, 1) + dt.timedelta(days=date)
        if day.month != self._month_of:
            self._month_of = day.month
            self._terms.month[0] = 0.0
        if self.fees.is_regulated:
            rates = regulatory_rates(day)
            self._terms.regulatory[:] = rates.vector()
            self._day, self._is_doubtful = day, rates.estimated
            if rates.estimated and account["working"][0]:
                self._doubtful_days.add(day)

    def end_session(self, ts: int) -> None:
        """The session closes: on-close orders fill at its last price, day orders that came before the close expire."""
        s = self._state
        if s.account["working"][0] == 0:
            self._tomorrow.clear()
            return
        self._make_room(at_once=True)  # all that works may fill and end at one close
        matching.fill_on_close(self._places.address, ts)
        for number in self._working():
            tif = int(s.orders["tif"][number - 1])
            ends = (tif == TimeInForce.DAY and number not in self._tomorrow) or (
                tif == TimeInForce.OPG and s.orders["active_ts"][number - 1] < ts
            )
            if ends:
                self._end(number, ts, Reason.EXPIRED)
        self._tomorrow.clear()

    def _working(self) -> list[int]:
        s = self._state
        found: list[int] = []
        for head in s.instruments["head"]:
            row = int(head)
            while row >= 0:
                found.append(row + 1)
                row = int(s.orders["next"][row])
        return sorted(found)

    def split(self, instrument: int, ratio: float, ts: int) -> None:
        """Working orders keep their value over a split."""
        order_entry.split_orders(self._places.address, instrument, ratio)


def parse_slippage(text: str) -> tuple[float, float]:
    """``0.01`` is price per unit, ``5bp`` and ``0.05%`` are fractions; returns (price, fraction)."""
    raw = text.strip().lower()
    for ending, unit in (("bps", 1e-4), ("bp", 1e-4), ("%", 1e-2), ("", 1.0)):
        if raw.endswith(ending):
            try:
                value = float(raw[: len(raw) - len(ending)])
            except ValueError:
                break
            if not 0.0 <= value < math.inf:
                break
            return (0.0, value * unit) if ending else (value, 0.0)
    raise ConfigError(f'slippage "{text}": a price per unit as 0.01, or a fraction as 5bp or 0.05% is needed')
