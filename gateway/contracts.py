"""Instruments as TWS describes them, and which of them a client's contract names.

Texts and codes are TWS's, as users quote them; the letters after "request.-" differ from release to release there, too.
What a tape does not say of an instrument (its primary exchange, a future's last trade date) is left empty, and then
whatever a client gives for it fits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.protocol.contract import Contract
from papertape.core.model import Instrument, InstrumentType

SMART = "SMART"
ROUND_LOT = 100
"""Shares in a round lot of a US stock."""

_FIRST_DERIVED = 1_000_000_000
_DERIVED = 2**31 - 1 - _FIRST_DERIVED
"""Contract ids that are made from symbols lie above those that Interactive Brokers has given out so far."""

_CLASS_SHARE = re.compile(r"([A-Z]{1,5})[ ./-]([A-Z]{1,2})")
_PAIR = re.compile(r"([A-Z]{3,5})[./]?([A-Z]{3})")
_OPTION = re.compile(r"([A-Z0-9.]{1,6}) *(\d{6})([CP])(\d{8})")
_FUTURE = re.compile(r"([A-Z0-9]{1,5}?)([FGHJKMNQUVXZ])(\d{1,2})")
_MONTHS = "FGHJKMNQUVXZ"
_NASDAQ = frozenset({"NASDAQ", "ISLAND"})
_STOCK_ROUTES = frozenset(
    {
        SMART, "NASDAQ", "ISLAND", "NYSE", "ARCA", "AMEX", "BATS", "BYX", "EDGEA", "DRCTEDGE", "IEX", "BEX", "PSX", "CHX",
        "NYSENAT", "MEMX", "PEARL", "LTSE", "OVERNIGHT", "IBEOS", "PINK", "VALUE", "IBKRATS",
    }
)  # fmt: skip
_SYNONYMS: Mapping[str, str] = {"ISLAND": "NASDAQ", "CALL": "C", "PUT": "P"}


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is refused: TWS's error code and text."""

    code: int
    text: str


def invalid(cause: str) -> Refused:
    """Error 321, as TWS words what it finds wrong with a request before it looks anything up."""
    return Refused(321, f"Error validating request.-'bW' : cause - {cause}")


UNKNOWN = Refused(200, "No security definition has been found for the request")
NO_TYPE = invalid("Please enter a valid security type")
NO_EXCHANGE = invalid("Please enter exchange")
NO_SYMBOL = invalid("Please enter a local symbol or an underlying symbol")


def ambiguous(symbol: str) -> Refused:
    """Error 200 where several contracts fit."""
    text = f"The contract description specified for {symbol} is ambiguous;\nyou must specify the multiplier or trading class."
    return Refused(200, text)


class Contracts:
    """The instruments of a tape, by their index in it, as contracts."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.instruments = tuple(instruments)
        ids = _contract_ids(self.instruments)
        self._wire = tuple(_describe(each, number) for each, number in zip(self.instruments, ids, strict=True))
        self._by_id: dict[int, list[int]] = {}
        self._by_name: dict[str, list[int]] = {}
        for j, each in enumerate(self._wire):
            self._by_id.setdefault(each.con_id, []).append(j)
            for name in {each.symbol.upper(), each.local_symbol.upper(), self.instruments[j].symbol.upper()}:
                self._by_name.setdefault(name, []).append(j)
        self._us_stock = tuple(
            each.type is InstrumentType.STOCK and each.currency == "USD" for each in self.instruments
        )

    def __len__(self) -> int:
        return len(self._wire)

    def wire(self, j: int) -> Contract:
        """Instrument ``j`` as TWS describes it."""
        return self._wire[j]

    def lot(self, j: int) -> int:
        """Units that TWS counts as one where it counts lots: 100 for stocks in US dollars, else 1."""
        return ROUND_LOT if self._us_stock[j] else 1

    def find(self, contract: Contract) -> list[int]:
        """Instruments that fit, in the tape's order: by contract id, else by whatever other fields are given."""
        if contract.con_id:
            return list(self._by_id.get(contract.con_id, ()))
        if contract.id_type or contract.id:
            return []  # ISIN and the like: a tape knows none
        name = (contract.local_symbol or contract.symbol).strip().upper()
        return [j for j in self._by_name.get(name, ()) if self._fits(contract, j)]

    def one(self, contract: Contract) -> int | Refused:
        """The one instrument that is meant, for requests that need a contract with its exchange."""
        if not contract.con_id:
            if not contract.type:
                return NO_TYPE
            if not contract.symbol and not contract.local_symbol:
                return NO_SYMBOL
        if not contract.exchange:
            return NO_EXCHANGE
        found = self.find(contract)
        if len(found) == 1:
            return found[0]
        return ambiguous(contract.symbol or contract.local_symbol) if found else UNKNOWN

    def _fits(self, asked: Contract, j: int) -> bool:
        known = self._wire[j]
        return (
            _same(asked.type, known.type)
            and (_same(asked.symbol, known.symbol) or _same(asked.symbol, self.instruments[j].symbol))
            and (_same(asked.local_symbol, known.local_symbol) or _same(asked.local_symbol, self.instruments[j].symbol))
            and _same(asked.currency, known.currency)
            and _routes(asked.exchange, known)
            and (not known.primary_exchange or _same(asked.primary_exchange, known.primary_exchange))
            and _same_month(asked.expiry, known.expiry)
            and (not asked.strike or not known.strike or asked.strike == known.strike)
            and (not known.right or asked.right in ("", "?") or _same(asked.right, known.right))
            and (not known.multiplier or _same(asked.multiplier, known.multiplier))
            and (known.type == "STK" or _same(asked.trading_class, known.trading_class))
        )


def _same(asked: str, known: str) -> bool:
    """Whether a field that was asked for (empty: none) is what is known."""
    asked = asked.strip().upper()
    return not asked or _SYNONYMS.get(asked, asked) == _SYNONYMS.get(known.upper(), known.upper())


def _same_month(asked: str, known: str) -> bool:
    """Whether days or months agree as far as both are known."""
    length = min(len(asked), len(known))
    return asked[:length] == known[:length]


def _routes(asked: str, known: Contract) -> bool:
    """Whether orders for a contract may be sent to an exchange (empty: any)."""
    asked = asked.strip().upper()
    if not asked or asked in (known.exchange.upper(), known.primary_exchange.upper()):
        return True
    return known.type == "STK" and known.currency == "USD" and asked in _STOCK_ROUTES


def _contract_ids(instruments: Sequence[Instrument]) -> list[int]:
    """Each one's own id, else one that follows from its symbol and depends on no other unless two collide."""
    taken = {each.con_id for each in instruments if each.con_id > 0}
    ids: list[int] = []
    for each in instruments:
        number, attempt = each.con_id, 0
        while number <= 0:
            digest = hashlib.sha256(f"{each.symbol}/{attempt}".encode()).digest()
            made = _FIRST_DERIVED + int.from_bytes(digest[:8], "big") % _DERIVED
            if made not in taken:
                number = made
                taken.add(made)
            attempt += 1
        ids.append(number)
    return ids


def _describe(each: Instrument, con_id: int) -> Contract:
    return _DESCRIBE[each.type](each, con_id)


def _stock(each: Instrument, con_id: int) -> Contract:
    parts = _CLASS_SHARE.fullmatch(each.symbol) if each.currency == "USD" else None
    symbol = f"{parts[1]} {parts[2]}" if parts else each.symbol
    primary = "" if each.exchange == SMART else each.exchange
    return Contract(
        con_id, symbol, "STK", exchange=SMART, primary_exchange=primary, currency=each.currency, local_symbol=symbol,
        trading_class="NMS" if primary in _NASDAQ else symbol,
    )  # fmt: skip


def _pair(each: Instrument, con_id: int) -> Contract:
    """A currency (at IDEALPRO) or a crypto currency (at PAXOS), priced in another currency."""
    parts = _PAIR.fullmatch(each.symbol)
    symbol, currency = (parts[1], parts[2]) if parts else (each.symbol, each.currency)
    usual = "IDEALPRO" if each.type is InstrumentType.CASH else "PAXOS"
    local = f"{symbol}.{currency}"
    return Contract(
        con_id, symbol, each.type.value, exchange=usual if each.exchange == SMART else each.exchange,
        currency=currency, local_symbol=local, trading_class=local if each.type is InstrumentType.CASH else symbol,
    )  # fmt: skip


def _future(each: Instrument, con_id: int) -> Contract:
    """A future by its local symbol (ESZ25). With one digit of the year its month is not known."""
    parts = _FUTURE.fullmatch(each.symbol)
    root, expiry = each.symbol, ""
    if parts:
        root = parts[1]
        if len(parts[3]) == 2:
            expiry = f"20{parts[3]}{_MONTHS.index(parts[2]) + 1:02d}"
    return Contract(
        con_id, root, "FUT", expiry=expiry, multiplier=f"{each.multiplier:g}", exchange=each.exchange,
        currency=each.currency, local_symbol=each.symbol, trading_class=root,
    )  # fmt: skip


def _option(each: Instrument, con_id: int) -> Contract:
    """An option by its OCC symbol (root, yymmdd, C or P, strike in thousandths)."""
    parts = _OPTION.fullmatch(each.symbol)
    root, expiry, right, strike, local = each.symbol, "", "", 0.0, each.symbol
    if parts:
        root, expiry, right, strike = parts[1], f"20{parts[2]}", parts[3], int(parts[4]) / 1000.0
        local = f"{root:<6}{parts[2]}{right}{parts[4]}"
    return Contract(
        con_id, root, "OPT", expiry, strike, right, f"{each.multiplier:g}", each.exchange, currency=each.currency,
        local_symbol=local, trading_class=root,
    )  # fmt: skip


def _index(each: Instrument, con_id: int) -> Contract:
    return Contract(
        con_id, each.symbol, "IND", exchange=each.exchange, currency=each.currency, local_symbol=each.symbol,
        trading_class=each.symbol,
    )  # fmt: skip


_DESCRIBE: Mapping[InstrumentType, Callable[[Instrument, int], Contract]] = {
    InstrumentType.STOCK: _stock,
    InstrumentType.FUTURE: _future,
    InstrumentType.OPTION: _option,
    InstrumentType.CASH: _pair,
    InstrumentType.INDEX: _index,
    InstrumentType.CRYPTO: _pair,
}
