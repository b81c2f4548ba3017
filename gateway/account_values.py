"""The values of an account as TWS names and writes them: rows of key, text and currency, made of the books.

Keys, their order and formats are those of a real paper account (recorded at server version 225): money with two
decimals, the cushion with six, exchange rates with up to seven. TWS has more digits in the column BASE, and sends the
values of segments (``-S``, ``-C``, ``-Z``) and of products that are not simulated besides; those are left out. What is
not known is left out as well, never sent as 0, until it is known.

Futures: the books pay them like stocks. TWS does not, so their cost is counted as cash again here, and their P&L is
``FuturesPNL``; net liquidation is the same. Cash counts as settled at once, and no interest accrues.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.costs import Costs
from gateway.margins import Margins, gross_value, margins, money
from papertape.core.ledger import Ledger
from papertape.core.model import InstrumentType

BASE = "BASE"
"""What TWS calls the column of all currencies, in base currency."""
REG_T = 0.5
"""Regulation T's initial margin, for the two values that refer to it whatever the account's own multiple."""


class Row(NamedTuple):
    """One value: its key, its text, and the currency that it is in (empty: none)."""

    key: str
    value: str
    currency: str


@dataclass(frozen=True, slots=True)
class Holding:
    """A position with its value, in its own currency; NaN is not known.

    ``average_cost`` is per unit, times the multiplier, with commissions; ``realised`` and ``daily`` are the day's.
    ``traded``: whether it had a fill today.
    """

    instrument: int
    type: InstrumentType
    currency: str
    rate: float
    quantity: float
    price: float
    value: float
    average_cost: float
    unrealised: float
    realised: float
    daily: float
    traded: bool


@dataclass(frozen=True, slots=True)
class Ledgers:
    """What an account has in one currency, or in base currency all together; NaN is not known."""

    cash: float
    values: Mapping[InstrumentType, float]
    futures: float
    unrealised: float
    realised: float
    rate: float

    @property
    def net_liquidation(self) -> float:
        """Cash, what positions are worth, and the P&L of futures."""
        return self.cash + math.fsum(self.values.values()) + self.futures


@dataclass(frozen=True, slots=True)
class Figures:
    """All that an account's values are made of. ``held`` ascends by instrument; ``by_currency`` ends with BASE."""

    account: str
    base: str
    held: tuple[Holding, ...]
    by_currency: Mapping[str, Ledgers]
    margins: Margins
    multiple: float
    day_equity: float


def holdings(ledger: Ledger, costs: Costs, members: Sequence[int] | None = None) -> list[Holding]:
    """Positions as they are now; without ``members`` of all instruments that are held or were traded today."""
    ledger.state.settle()
    records = ledger.state.instruments
    marks, rates = records["mark"].item, records["rate"].item  # reading single fields of a record is slow
    found: list[Holding] = []
    for j in costs.known if members is None else members:
        instrument, basis, multiplier = ledger.instruments[j], costs.basis(j), costs.multipliers[j]
        price = marks(j)
        value = basis.value(price, multiplier)
        found.append(
            Holding(
                j,
                instrument.type,
                instrument.currency,
                rates(j),
                basis.quantity,
                price,
                value,
                basis.average_cost,
                basis.unrealised(price, multiplier),
                basis.realised,
                basis.daily(price, multiplier),
                basis.traded,
            )
        )
    return found


def figures(ledger: Ledger, costs: Costs, account: str, multiple: float, day_equity: float) -> Figures:
    """The account as it is now. ``day_equity`` is its net liquidation when the day began (NaN unknown)."""
    held = tuple(holdings(ledger, costs))
    by_currency = {
        name: _in_currency(ledger, held, name, float(ledger.state.rates[c])) for c, name in enumerate(ledger.currencies)
    }
    by_currency[BASE] = _in_base(by_currency.values())
    margin = margins(ledger.account.equity, gross_value(ledger), multiple)
    return Figures(account, ledger.base, held, by_currency, margin, multiple, day_equity)


def in_base(amount: float, rate: float) -> float:
    """An amount in base currency; nothing is nothing even where the rate is not known."""
    return amount * rate if amount != 0.0 else 0.0


def _in_currency(ledger: Ledger, held: Sequence[Holding], currency: str, rate: float) -> Ledgers:
    cash = float(ledger.state.cash[ledger.currencies.index(currency)])
    values = dict.fromkeys(InstrumentType, 0.0)
    futures = 0.0
    own = [each for each in held if each.currency == currency]
    for each in own:
        if each.type is InstrumentType.FUTURE:
            record = ledger.state.instruments[each.instrument]
            cost = float(record["quantity"] * record["average_cost"] * record["multiplier"])
            cash += cost
            futures += each.value - cost
        else:
            values[each.type] += each.value
    unrealised = math.fsum(each.unrealised for each in own)
    return Ledgers(cash, values, futures, unrealised, math.fsum(each.realised for each in own), rate)


def _in_base(all_of_them: Iterable[Ledgers]) -> Ledgers:
    parts = list(all_of_them)

    def total(part: Callable[[Ledgers], float]) -> float:
        return math.fsum(in_base(part(each), each.rate) for each in parts)

    values = {kind: math.fsum(in_base(each.values[kind], each.rate) for each in parts) for kind in InstrumentType}
    return Ledgers(
        total(lambda each: each.cash),
        values,
        total(lambda each: each.futures),
        total(lambda each: each.unrealised),
        total(lambda each: each.realised),
        1.0,
    )


# -- values of the whole account --------------------------------------------------------------------------------------


def _positions(f: Figures) -> float:
    """Gross value of all positions but futures, in base currency."""
    counted = (each for each in f.held if each.type is not InstrumentType.FUTURE)
    return math.fsum(abs(in_base(each.value, each.rate)) for each in counted)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole != 0.0 else math.nan


_TEXTS: Mapping[str, Callable[[Figures], str]] = {
    "AccountCode": lambda f: f.account,
    "AccountReady": lambda f: "true",
    "AccountType": lambda f: "INDIVIDUAL",
    "DayTradesRemaining": lambda f: "-1",  # no limit
    "LookAheadNextChange": lambda f: "0",  # none is ahead
    "NLVAndMarginInReview": lambda f: "false",
    "TradingType-S": lambda f: "STKNOPT",
}
"""Values that are no money."""

_RATIOS: Mapping[str, tuple[Callable[[Figures], float], int]] = {
    "Cushion": (lambda f: _ratio(f.margins.excess, f.margins.equity), 6),
    "Leverage": (lambda f: _ratio(_positions(f), f.margins.equity), 2),
    "Leverage-S": (lambda f: _ratio(_positions(f), f.margins.equity), 2),
}
"""Fractions with their decimals; unknown where they would be divided by nothing."""

_MONEY: Mapping[str, Callable[[Figures], float]] = {
    "AccruedCash": lambda f: 0.0,
    "AccruedDividend": lambda f: 0.0,
    "AvailableFunds": lambda f: f.margins.available,
    "Billable": lambda f: 0.0,
    "BuyingPower": lambda f: max(f.margins.available, 0.0) * max(f.multiple, 1.0),
    "EquityWithLoanValue": lambda f: f.margins.equity,
    "ExcessLiquidity": lambda f: f.margins.excess,
    "FullAvailableFunds": lambda f: f.margins.available,
    "FullExcessLiquidity": lambda f: f.margins.excess,
    "FullInitMarginReq": lambda f: f.margins.initial,
    "FullMaintMarginReq": lambda f: f.margins.maintenance,
    "GrossPositionValue": _positions,
    "Guarantee": lambda f: 0.0,
    "InitMarginReq": lambda f: f.margins.initial,
    "LookAheadAvailableFunds": lambda f: f.margins.available,
    "LookAheadExcessLiquidity": lambda f: f.margins.excess,
    "LookAheadInitMarginReq": lambda f: f.margins.initial,
    "LookAheadMaintMarginReq": lambda f: f.margins.maintenance,
    "MaintMarginReq": lambda f: f.margins.maintenance,
    "NetLiquidation": lambda f: f.margins.equity,
    "NetLiquidationUncertainty": lambda f: 0.0,
    "PostExpirationExcess": lambda f: 0.0,
    "PostExpirationMargin": lambda f: 0.0,
    "PreviousDayEquityWithLoanValue": lambda f: f.day_equity,
    "RegTEquity": lambda f: f.margins.equity,
    "RegTMargin": lambda f: _positions(f) * REG_T,
    "ReqTEquity": lambda f: f.margins.equity,  # so the clients spell it when they ask for a summary
    "ReqTMargin": lambda f: _positions(f) * REG_T,
    "SettledCash": lambda f: f.by_currency[BASE].cash,
    "TotalCashValue": lambda f: f.by_currency[BASE].cash,
}
"""Money in base currency."""

ACCOUNT_KEYS = tuple(sorted({*_TEXTS, *_RATIOS, *_MONEY}))
"""All keys of the whole account, in TWS's order."""
ONLY_IN_SUMMARY = frozenset({"Leverage", "ReqTEquity", "ReqTMargin", "SettledCash"})
"""Keys that account updates do not have (they spell Leverage-S and RegT)."""


def account_rows(f: Figures, keys: Iterable[str] = ACCOUNT_KEYS) -> list[Row]:
    """Values of the whole account, in the order of ``keys``; keys that nobody knows have none."""
    rows: list[Row] = []
    for key in keys:
        if key in _TEXTS:
            rows.append(Row(key, _TEXTS[key](f), ""))
        elif key in _RATIOS:
            make, decimals = _RATIOS[key]
            ratio = make(f)
            if math.isfinite(ratio):
                rows.append(Row(key, f"{ratio:.{decimals}f}", ""))
        elif key in _MONEY:
            amount = _MONEY[key](f)
            if math.isfinite(amount):
                rows.append(Row(key, money(amount), f.base))
    return rows


# -- values of each currency -------------------------------------------------------------------------------------------

_LEDGER: Mapping[str, Callable[[Ledgers], float]] = {
    "CashBalance": lambda v: v.cash,
    "TotalCashBalance": lambda v: v.cash,
    "AccruedCash": lambda v: 0.0,
    "StockMarketValue": lambda v: v.values[InstrumentType.STOCK],
    "OptionMarketValue": lambda v: v.values[InstrumentType.OPTION],
    "FutureOptionValue": lambda v: 0.0,
    "FuturesPNL": lambda v: v.futures,
    "NetLiquidationByCurrency": lambda v: v.net_liquidation,
    "UnrealizedPnL": lambda v: v.unrealised,
    "RealizedPnL": lambda v: v.realised,
    "ExchangeRate": lambda v: v.rate,
    "FundValue": lambda v: 0.0,
    "NetDividend": lambda v: 0.0,
    "MutualFundValue": lambda v: 0.0,
    "MoneyMarketFundValue": lambda v: 0.0,
    "CorporateBondValue": lambda v: 0.0,
    "TBondValue": lambda v: 0.0,
    "TBillValue": lambda v: 0.0,
    "WarrantValue": lambda v: 0.0,
    "FxCashBalance": lambda v: v.values[InstrumentType.CASH],
    "IssuerOptionValue": lambda v: 0.0,
    "Cryptocurrency": lambda v: v.values[InstrumentType.CRYPTO],
}
"""Money of one currency, in TWS's order; an index has no value of its own."""


def ledger_rows(f: Figures, currencies: Iterable[str] | None = None) -> list[Row]:
    """Values of each currency, BASE last; of some only where ``currencies`` names them (unknown ones have none)."""
    rows: list[Row] = []
    for name in f.by_currency if currencies is None else currencies:
        if name not in f.by_currency:
            continue
        values = f.by_currency[name]
        rows.append(Row("Currency", name, name))
        for key, make in _LEDGER.items():
            amount = make(values)
            if math.isfinite(amount):
                rows.append(Row(key, _rate(amount) if key == "ExchangeRate" else money(amount), name))
        rows.append(Row("AccountOrGroup", f.account, name))
        rows.append(Row("RealCurrency", name, name))
    return rows


def _rate(rate: float) -> str:
    """At least two decimals, at most seven."""
    text = f"{rate:.7f}".rstrip("0")
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals:0<2}"


# -- selections --------------------------------------------------------------------------------------------------------


def update_rows(f: Figures) -> list[Row]:
    """All values as account updates have them: by key, then by currency."""
    keys = [key for key in ACCOUNT_KEYS if key not in ONLY_IN_SUMMARY]
    return sorted([*account_rows(f, keys), *ledger_rows(f)], key=lambda row: (row.key, row.currency))


def multi_rows(f: Figures, only_ledger: bool) -> list[Row]:
    """All values as updates by request have them: those of the account by key, then each currency's."""
    keys = () if only_ledger else [key for key in ACCOUNT_KEYS if key not in ONLY_IN_SUMMARY]
    return [*account_rows(f, keys), *ledger_rows(f)]


def summary_rows(f: Figures, tags: Sequence[str]) -> list[Row]:
    """The values that a summary asks for, by key; then those of ``$LEDGER`` (BASE), ``$LEDGER:USD``, ``$LEDGER:ALL``."""
    rows = account_rows(f, sorted(set(tags) & set(ACCOUNT_KEYS)))
    asked = {tag.partition(":")[2] or BASE for tag in tags if tag.partition(":")[0] == "$LEDGER"}
    if asked:
        rows += ledger_rows(f, [name for name in f.by_currency if name in asked or "ALL" in asked])
    return rows
