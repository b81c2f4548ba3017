"""An order as the wire spells it: every field of placeOrder and openOrder from server version 157 to 200."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """Terms of an order. Unset floats are NaN, unset integers None.

    ``aux_price`` is the stop price of a stop, the trailing amount of a trailing order. Times are text as it came.
    """

    action: str = ""
    quantity: float = 0.0
    type: str = ""
    limit_price: float = math.nan
    aux_price: float = math.nan
    tif: str = "DAY"
    oca_group: str = ""
    oca_type: int = 0
    account: str = ""
    open_close: str = ""
    origin: int = 0
    order_ref: str = ""
    transmit: bool = True
    parent_id: int = 0
    outside_hours: bool = False
    good_after: str = ""
    good_till: str = ""
    trail_stop_price: float = math.nan
    trailing_percent: float = math.nan
    """In percent, as 2.0 for 2 %."""
    limit_offset: float = math.nan
    what_if: bool = False
    cash_quantity: float = math.nan
    algo_strategy: str = ""
