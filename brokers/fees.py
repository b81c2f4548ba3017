"""What an order costs: fee models as pure functions of numbers, called from the matching kernel for every fill.

A fee belongs to an *order* and accumulates over its fills: a fill is charged what the order's total rises by
(``fill_fee``), so that a minimum, a maximum or a cap counts once for each order however many fills it takes.

Rounding: no component is rounded. Interactive Brokers reports commissions to a millionth of a dollar, and its
paper fills of 2026-08-25 come out to that precision with unrounded components (a sale of one share at 309.15:
1.00 + 309.15 x 0.0000206 + 0.000195 + 0.000003 = 1.00656649, reported as 1.006566). Brokers that round each
regulatory fee up to a cent charge more than this.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum

import numpy as np

from brokers import fee_tables as tables
from papertape.core.compiled import compiled
from papertape.core.errors import ConfigError, did_you_mean
from papertape.core.model import Note, Severity
from papertape.core.series import F8


class FeeKind(IntEnum):
    """Kind of a fee model; element 0 of its parameter vector."""

    NONE = 0
    PER_SHARE = 1
    PERCENT = 2
    IB_FIXED = 3
    IB_TIERED = 4


# Places in the parameter vector. Plain integers: compiled code freezes them.
_KIND = 0
_PER_SHARE = 1
_MINIMUM = 2
_VALUE_RATE = 3  # percent: the fee; IB: the most that is charged, both as a fraction of the order's value
_CLEARING_PER_SHARE = 4
_CLEARING_MAXIMUM_RATE = 5
_EXCHANGE_REMOVE = 6
_EXCHANGE_ADD = 7
_PASS_THROUGH_RATE = 8
_TIERS = 9  # upper bounds (shares in the month) of the tiers, then their rates
_N_TIERS = 5
MODEL_SIZE = _TIERS + 2 * _N_TIERS

# Places in a row of regulatory rates.
_SEC = 0
_TAF = 1
_TAF_CAP = 2
_CAT = 3
REGULATORY_SIZE = 4


@compiled
def regulatory_fee(rates: F8, shares: float, value: float, side: int) -> float:
    """Fees of the regulators on an order that traded ``shares`` for ``value`` dollars; ``side`` < 0 is a sale.

    SEC section 31 (on value, 15 U.S.C. 78ee) and FINRA's Trading Activity Fee (on shares, capped per trade, FINRA
    By-Laws schedule A section 1) on sales, CAT (on shares, FINRA rule 6897) on both sides.
    """
    fee: float = rates[_CAT] * shares
    if side < 0:
        fee += rates[_SEC] * value + min(rates[_TAF] * shares, rates[_TAF_CAP])
    return fee


@compiled
def tiered_commission(model: F8, shares: float, month_shares: float) -> float:
    """Commission by volume tiers before minimum and maximum: each share pays the rate of the tier it falls in.

    ``month_shares`` are the shares that other orders traded in the month so far. Source: the examples in Interactive
    Brokers' comparison of fixed and tiered pricing.
    """
    commission: float = 0.0
    begin = month_shares
    end = month_shares + shares
    for tier in range(_N_TIERS):
        bound = model[_TIERS + tier]
        rate = model[_TIERS + _N_TIERS + tier]
        if begin < bound:
            commission += rate * (min(end, bound) - begin)
            begin = bound
            if end <= bound:
                break
    return commission


@compiled
def capped(commission: float, minimum: float, maximum: float) -> float:
    """IB's limits of an order: at least ``minimum``, and at most ``maximum`` even where that is the smaller."""
    return min(max(commission, minimum), maximum)


@compiled
def _third_party_fee(model: F8, shares: float, value: float, commission: float, adds_liquidity: bool) -> float:
    """Clearing, exchange and pass-through fees of tiered pricing, in dollars.

    The exchange's fee is per share, or the same number as a fraction of the value where the price is below a dollar.
    """
    clearing = min(model[_CLEARING_PER_SHARE] * shares, model[_CLEARING_MAXIMUM_RATE] * value)
    exchange = (model[_EXCHANGE_ADD] if adds_liquidity else model[_EXCHANGE_REMOVE]) * min(shares, value)
    passed_through = model[_PASS_THROUGH_RATE] * commission
    return float(clearing + exchange + passed_through)


@compiled
def order_fee(
    model: F8,
    regulatory: F8,
    order_shares: float,
    order_value: float,
    month_shares: float,
    side: int,
    adds_liquidity: bool,
) -> float:
    """Total fee of an order that has traded ``order_shares`` (>= 0) for ``order_value`` (>= 0, in currency) so far.

    ``model`` is ``FeeModel.vector()``, ``regulatory`` the row of the trade date (``regulatory_vector``, or
    ``NO_REGULATORY`` for instruments that the US regulators do not charge). ``month_shares`` are the shares that
    *other* orders have traded in the month so far (tiers only). ``side`` is +1 for a buy, -1 for a sale.
    ``adds_liquidity`` says that the fill at hand was a resting order's. Never negative, and never less for more
    shares and more value, hence no fill has a negative fee.
    """
    if order_shares <= 0.0:
        return 0.0
    kind = int(model[_KIND])
    if kind == 0:
        return 0.0
    if kind == 1:
        return float(max(model[_MINIMUM], model[_PER_SHARE] * order_shares))
    if kind == 2:
        return float(model[_VALUE_RATE] * order_value)
    maximum = model[_VALUE_RATE] * order_value
    if kind == 3:
        fee = capped(model[_PER_SHARE] * order_shares, model[_MINIMUM], maximum)
    else:
        fee = capped(tiered_commission(model, order_shares, month_shares), model[_MINIMUM], maximum)
        fee += _third_party_fee(model, order_shares, order_value, fee, adds_liquidity)
    return fee + regulatory_fee(regulatory, order_shares, order_value, side)


@compiled
def fill_fee(
    model: F8,
    regulatory: F8,
    shares_before: float,
    value_before: float,
    quantity: float,
    value: float,
    month_shares: float,
    side: int,
    adds_liquidity: bool,
) -> float:
    """Fee of one fill: ``quantity`` shares for ``value``, after ``shares_before`` for ``value_before`` of its order.

    The difference of two order totals at the same rates, month and liquidity flag: those of this fill, because an
    order may rest over a change of rates, or be filled first as a taker and then as a maker. ``month_shares`` are all
    shares traded in the month before this fill, this order's included. Never negative.
    """
    others = max(month_shares - shares_before, 0.0)
    before = order_fee(model, regulatory, shares_before, value_before, others, side, adds_liquidity)
    shares, total = shares_before + quantity, value_before + value
    return max(order_fee(model, regulatory, shares, total, others, side, adds_liquidity) - before, 0.0)


_NAMES = {
    "none": FeeKind.NONE,
    "per-share": FeeKind.PER_SHARE,
    "percent": FeeKind.PERCENT,
    "ib-fixed": FeeKind.IB_FIXED,
    "ib-tiered": FeeKind.IB_TIERED,
}
_FORMS = {
    FeeKind.NONE: "none",
    FeeKind.PER_SHARE: "per-share:X[:MIN]",
    FeeKind.PERCENT: "percent:X",
    FeeKind.IB_FIXED: "ib-fixed",
    FeeKind.IB_TIERED: "ib-tiered",
}
_ARGUMENTS = {FeeKind.PER_SHARE: (1, 2), FeeKind.PERCENT: (1, 1)}
"""Fewest and most numbers that a kind takes; none where it is not named."""

_REGULATORY_TEXT = "SEC section 31 fees and FINRA TAF on sales and CAT on both sides, at the rates of the trade date"


@dataclass(frozen=True, slots=True)
class FeeModel:
    """A fee model as the user chose it.

    ``per_share`` is in currency per share, ``minimum`` in currency per order, ``value_rate`` a fraction of the order's
    value (0.001 is 0.1 %). Only those that the kind uses are read.
    """

    kind: FeeKind
    per_share: float = 0.0
    minimum: float = 0.0
    value_rate: float = 0.0

    @classmethod
    def parse(cls, text: str) -> FeeModel:
        """The model that ``text`` names: ib-fixed, ib-tiered, per-share:X[:MIN], percent:X (0.1 is 0.1 %) or none.

        Raises ConfigError for an unknown name, a missing or surplus number, or one that is negative or not finite.
        """
        name, *rest = text.strip().split(":")
        kind = _NAMES.get(name.strip().lower())
        if kind is None:
            raise ConfigError(f'fees "{text}" are unknown{did_you_mean(name, _FORMS.values())}')
        fewest, most = _ARGUMENTS.get(kind, (0, 0))
        if not fewest <= len(rest) <= most:
            raise ConfigError(f'fees "{text}" do not have the form {_FORMS[kind]}')
        numbers = [_fee_number(text, word, kind) for word in rest]
        if kind is FeeKind.PER_SHARE:
            return cls(kind, per_share=numbers[0], minimum=numbers[1] if len(numbers) > 1 else 0.0)
        if kind is FeeKind.PERCENT:
            return cls(kind, value_rate=numbers[0] / 100.0)
        if kind is FeeKind.IB_FIXED:
            return cls(kind, tables.IB_FIXED_PER_SHARE, tables.IB_FIXED_MINIMUM, tables.IB_MAXIMUM_RATE)
        if kind is FeeKind.IB_TIERED:
            return cls(kind, 0.0, tables.IB_TIERED_MINIMUM, tables.IB_MAXIMUM_RATE)
        return cls(kind)

    @property
    def is_regulated(self) -> bool:
        """Whether regulatory fees are added, so that the trade date matters."""
        return self.kind in (FeeKind.IB_FIXED, FeeKind.IB_TIERED)

    def vector(self) -> F8:
        """Parameters for ``order_fee``, float64 of shape (MODEL_SIZE,)."""
        model = np.zeros(MODEL_SIZE)
        model[_KIND] = self.kind
        model[_PER_SHARE] = self.per_share
        model[_MINIMUM] = self.minimum
        model[_VALUE_RATE] = self.value_rate
        if self.kind is FeeKind.IB_TIERED:
            model[_CLEARING_PER_SHARE] = tables.IB_CLEARING_PER_SHARE
            model[_CLEARING_MAXIMUM_RATE] = tables.IB_CLEARING_MAXIMUM_RATE
            model[_EXCHANGE_REMOVE] = tables.NASDAQ_REMOVE_PER_SHARE
            model[_PASS_THROUGH_RATE] = tables.IB_PASS_THROUGH_RATE
            bounds, rates = zip(*tables.IB_TIERS, strict=True)
            model[_TIERS : _TIERS + _N_TIERS] = bounds
            model[_TIERS + _N_TIERS :] = rates
        return model

    def describe(self) -> str:
        """A sentence for the report: what is charged, and under which assumptions."""
        if self.kind is FeeKind.NONE:
            return "No fees."
        if self.kind is FeeKind.PER_SHARE:
            least = f", at least {self.minimum:g} an order" if self.minimum else ""
            return f"{self.per_share:g} a share{least}; no regulatory fees."
        if self.kind is FeeKind.PERCENT:
            return f"{self.value_rate * 100:g} % of each order's value; no regulatory fees."
        limits = f"at least ${self.minimum:.2f} and at most {self.value_rate:.0%} of the value for each order"
        if self.kind is FeeKind.IB_FIXED:
            return f"IB fixed pricing: ${self.per_share:g} a share, {limits}, plus {_REGULATORY_TEXT}."
        return (
            f"IB tiered pricing: ${tables.IB_TIERS[0][1]:g} to ${tables.IB_TIERS[-1][1]:g} a share by the volume"
            f" of the month in this run, {limits}, plus clearing ${tables.IB_CLEARING_PER_SHARE:g} a share, NYSE and FINRA"
            f" pass-through fees, and {_REGULATORY_TEXT}. Assumed: every fill is on NASDAQ, removing liquidity costs"
            f" ${tables.NASDAQ_REMOVE_PER_SHARE:g} a share, and adding it costs nothing and earns no rebate."
        )


def _fee_number(text: str, word: str, kind: FeeKind) -> float:
    """``word`` as a finite number, not negative; a percent sign is allowed where percent are meant."""
    if kind is FeeKind.PERCENT:
        word = word.strip().removesuffix("%")
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0.0):
        raise ConfigError(f'fees "{text}": "{word}" is not a number of at least 0; the form is {_FORMS[kind]}')
    return number


@dataclass(frozen=True, slots=True)
class RegulatoryRates:
    """Regulatory fees of one trade date, US stocks.

    ``sec_per_dollar`` of a sale's value, ``taf_per_share`` of a sale up to ``taf_cap`` dollars per trade, and
    ``cat_per_share`` of both sides. ``source`` names where the rates are written. ``estimated`` is True where a
    rate is the nearest known one, or not confirmed by its notice; ``doubt`` then says which and why.
    """

    sec_per_dollar: float
    taf_per_share: float
    taf_cap: float
    cat_per_share: float
    source: str
    estimated: bool = False
    doubt: str = ""

    def vector(self) -> F8:
        """The rates as ``order_fee`` takes them, float64 of shape (REGULATORY_SIZE,)."""
        return np.array([self.sec_per_dollar, self.taf_per_share, self.taf_cap, self.cat_per_share])


NO_REGULATORY: F8 = np.zeros(REGULATORY_SIZE)
"""The row for instruments that pay no US regulatory fees. Not to be written to (a read-only array would be another
type to the compiler, and compile everything that takes it once more)."""


def _row_at(starts: Sequence[date], day: date) -> int:
    """Number of the row in force on ``day``; 0 also for days before the first."""
    return max(bisect.bisect_right(starts, day) - 1, 0)


_SEC_STARTS = [row.effective for row in tables.SEC_ROWS]
_TAF_STARTS = [row.effective for row in tables.TAF_ROWS]
_CAT_STARTS = [row.effective for row in tables.CAT_ROWS]


def regulatory_rates(day: date) -> RegulatoryRates:
    """Rates in force on a trade date; a day that the tables do not cover takes the nearest row and says so."""
    sec = tables.SEC_ROWS[_row_at(_SEC_STARTS, day)]
    taf = tables.TAF_ROWS[_row_at(_TAF_STARTS, day)]
    cat = tables.CAT_ROWS[_row_at(_CAT_STARTS, day)]
    doubts = [
        f"{name} ({rate}, {row.source})"
        for name, rate, row, through in (
            ("SEC fee", f"${sec.per_million:.2f} per million", sec, tables.SEC_KNOWN_THROUGH),
            ("TAF", f"${taf.per_share:f} per share", taf, tables.TAF_KNOWN_THROUGH),
            ("CAT fee", f"${cat.per_share:f} per share", cat, tables.CAT_KNOWN_THROUGH),
        )
        if not row.confirmed or day < row.effective or day > through
    ]
    return RegulatoryRates(
        sec_per_dollar=sec.per_million / 1e6,
        taf_per_share=taf.per_share,
        taf_cap=taf.cap,
        cat_per_share=cat.per_share,
        source=f"SEC: {sec.source}; TAF: {taf.source}; CAT: {cat.source}",
        estimated=bool(doubts),
        doubt=", ".join(doubts),
    )


def regulatory_vector(day: date) -> F8:
    """The row of regulatory rates of a trade date for ``order_fee``, float64 of shape (REGULATORY_SIZE,)."""
    return regulatory_rates(day).vector()


def regulatory_notes(days: Iterable[date]) -> list[Note]:
    """One warning for each rate that had to be estimated; ``count`` is the number of days that it concerns."""
    concerned: dict[str, list[date]] = {}
    for day in days:
        rates = regulatory_rates(day)
        if rates.estimated:
            concerned.setdefault(rates.doubt, []).append(day)
    return [
        Note(
            code="fee-rate-estimated",
            text=f"no confirmed regulatory rate for {_span(dates)}; the nearest known was used: {doubt}",
            severity=Severity.WARNING,
            count=len(dates),
        )
        for doubt, dates in concerned.items()
    ]


def _span(days: Sequence[date]) -> str:
    first, last = min(days), max(days)
    return first.isoformat() if first == last else f"{first.isoformat()} to {last.isoformat()}"
