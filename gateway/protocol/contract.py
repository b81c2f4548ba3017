"""What is traded, as the wire spells it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ComboLeg:
    """One leg of a combination (security type BAG)."""

    con_id: int = 0
    ratio: int = 0
    action: str = ""
    exchange: str = ""
    open_close: int = 0
    short_sale_slot: int = 0
    designated_location: str = ""
    exempt_code: int = -1


@dataclass(frozen=True, slots=True)
class DeltaNeutral:
    """The contract that keeps a combination delta neutral."""

    con_id: int = 0
    delta: float = 0.0
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract as a client names it or as TWS describes it; empty and 0 where a message has no such field.

    ``expiry`` is the last trade date or contract month as text.
    """

    con_id: int = 0
    symbol: str = ""
    type: str = ""
    expiry: str = ""
    strike: float = 0.0
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""
    include_expired: bool = False
    id_type: str = ""
    id: str = ""
    issuer_id: str = ""
    legs: tuple[ComboLeg, ...] = ()
    delta_neutral: DeltaNeutral | None = None
    legs_description: str = ""
    """How the server describes a combination's legs."""
