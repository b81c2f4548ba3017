"""What the strategy side asks of the adapter side, as data: the only things that cross over in that direction."""

from __future__ import annotations

import math

import msgspec

from papertape.core.guard import Approved
from papertape.core.model import Instrument
from papertape.core.orders import OrderRequest
from papertape.core.requests import Request


class SubmitOrder(msgspec.Struct, frozen=True):
    """Send an order. ``number`` is the run's own; ``arrival`` the reference price when it was decided, NaN unknown."""

    number: int
    approved: Approved
    decided: int
    arrival: float


class NoteEnded(msgspec.Struct, frozen=True):
    """An order was decided that is not sent, because its parent has ended: for the journal, which counts all."""

    number: int
    request: OrderRequest
    decided: int
    arrival: float


class CancelOrder(msgspec.Struct, frozen=True):
    """Ask for the end of an order of the run. ``reason`` is a :class:`papertape.core.state.Reason`."""

    number: int
    reason: int


class ModifyOrder(msgspec.Struct, frozen=True):
    """Replace an order's quantity and prices. ``known_quantity`` is what it was for as the change was decided, NaN unknown."""

    number: int
    approved: Approved
    known_quantity: float = math.nan


class Know(msgspec.Struct, frozen=True):
    """An instrument is used for the first time: have TWS define it. ``con_id`` 0 where it is not known."""

    instrument: int
    definition: Instrument
    con_id: int = 0


class Watch(msgspec.Struct, frozen=True):
    """Deliver an instrument's trades and quotes from now on."""

    instrument: int


class Unwatch(msgspec.Struct, frozen=True):
    """No longer deliver them."""

    instrument: int


class WatchBars(msgspec.Struct, frozen=True):
    """Deliver bars of an interval, the last ``warmup`` of them that are over first (``is_history``)."""

    instrument: int
    interval_ns: int
    warmup: int = 0


class UnwatchBars(msgspec.Struct, frozen=True):
    """No longer deliver bars of an interval."""

    instrument: int
    interval_ns: int


class Put(msgspec.Struct, frozen=True):
    """A request that a strategy awaits, or a scan; answered by :class:`brokers.ib.events.Answered`."""

    request: Request


Ask = SubmitOrder | NoteEnded | CancelOrder | ModifyOrder | Know | Watch | Unwatch | WatchBars | UnwatchBars | Put
