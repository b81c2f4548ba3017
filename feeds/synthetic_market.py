"""A made-up stock market, the same to the last byte for the same seed on every machine.

Each company has a price level, a volatility, a market capitalisation and a usual volume, drawn together from
log-normal distributions. Days bring overnight gaps (a few of them large, on large volume), intraday volume is
U-shaped, spreads depend on price and liquidity, prices move in whole cents, and some actively traded companies are
halted for minutes and reopen more than five per cent away.

Only integer arithmetic and the four operations and square root of IEEE 754 are used, on raw output of PCG64: a
library's ``exp``, ``log`` or normal generator may differ in the last bit from one machine or version to the next,
and one bit decides on which side of a cent a price is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from papertape.core.model import NS_PER_S
from papertape.core.series import F8, I8

NS_PER_MINUTE = 60 * NS_PER_S
HALT_MINUTES = 5
"""A pause of the exchanges' limit-up limit-down plan lasts five minutes."""
ACTIVE = 8
"""So many of the most actively traded companies are candidates for halts."""
ACTIVE_PRICE = 12.0
ACTIVE_VOLUME = 1_300_000.0
STRAY = 2.0
"""Factor of its usual price from which on a company is drawn back, so that it stays believable over years."""
MOVER_ACTIVITY = 4.0
"""Days with at least so many times the usual volume are those of large overnight gaps."""

_MASK_16 = np.uint64(0xFFFF)
_LANE_MEAN = 4 * 65_535 / 2
_LANE_DEVIATION = 37_837.2266  # sqrt(4 (65536^2 - 1) / 12)


class Draws:
    """Random numbers of one stream; ``key`` tells the streams of one seed apart."""

    def __init__(self, seed: int, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence((seed, *key)))

    def raw(self, n: int) -> NDArray[np.uint64]:
        """Draw n unsigned 64-bit integers."""
        return self._bits.random_raw(n)

    def uniform(self, n: int) -> F8:
        """Draw n numbers in [0, 1), multiples of 2**-53."""
        return (self.raw(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, n: int) -> F8:
        """Draw n nearly normal numbers, mean 0, deviation 1, within 3.47: sums of four uniform 16-bit integers."""
        raw = self.raw(n)
        total = np.zeros(n, dtype=np.uint64)
        for lane in range(4):
            total += (raw >> np.uint64(16 * lane)) & _MASK_16
        return (total.astype(np.float64) - _LANE_MEAN) / _LANE_DEVIATION

    def below(self, limit: int, n: int) -> I8:
        """Draw n integers in [0, limit), limit up to 2**32."""
        return (((self.raw(n) >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32)).astype(np.int64)

    def number(self) -> float:
        """Draw one number in [0, 1)."""
        return float(self.uniform(1)[0])

    def gauss(self) -> float:
        """Draw one nearly normal number."""
        return float(self.normal(1)[0])

    def between(self, low: float, high: float) -> float:
        """Draw one number in [low, high)."""
        return low + (high - low) * self.number()

    def chosen(self, items: Sequence[int], n: int) -> list[int]:
        """Draw n different items, fewer where there are not so many."""
        left = list(items)
        return [left.pop(int(self.below(len(left), 1)[0])) for _ in range(min(n, len(left)))]


def exponential(x: float) -> float:
    """e**x to about 1e-12, by a Taylor series at x / 1024 and ten squarings."""
    y = x / 1024.0
    result = 1.0 + y * (1.0 + y / 2.0 * (1.0 + y / 3.0 * (1.0 + y / 4.0)))
    for _ in range(10):
        result *= result
    return result


def root(x: float) -> float:
    """Square root, which IEEE 754 defines to the last bit."""
    return float(np.sqrt(x))


@dataclass(frozen=True, slots=True)
class Company:
    """A made-up company. ``price`` in dollars before the first day, ``volatility`` of a day as a fraction."""

    symbol: str
    price: float
    volatility: float
    market_cap: float
    average_volume: float


@dataclass(frozen=True, slots=True)
class Halt:
    """A pause from ``minute`` of the session, after which trading resumes at ``jump`` (0.06 is six per cent up)."""

    minute: int
    jump: float


@dataclass(frozen=True, slots=True)
class DayPlan:
    """What happens to one company on one day, apart from its ordinary fluctuations.

    ``gap`` is the open against the close before as a fraction, ``activity`` the factor on the usual volume.
    ``ratio`` (new shares for one old) and ``dividend`` (dollars a share, after the split) take effect before the open.
    """

    gap: float
    activity: float = 1.0
    halts: tuple[Halt, ...] = ()
    ratio: int = 1
    dividend_cents: int = 0


def drawn_back(price: float, usual: float) -> float:
    """The price that a company's next day starts from: a quarter of the way (of the logarithms) back from too far.

    Within a factor of ``STRAY`` of the usual price it is the price itself.
    """
    bound = min(max(price, usual / STRAY), usual * STRAY)
    return price if bound == price else price * root(root(bound / price))


@dataclass(frozen=True, slots=True, eq=False)
class DayTape:
    """One company's day: prices in cents, times in UTC nanoseconds. A quote precedes each trade that needs one."""

    trade_ts: I8
    price: I8
    size: I8
    quote_ts: I8
    bid: I8
    ask: I8
    bid_size: I8
    ask_size: I8
    last_mid: float
    """Dollars, where the next day starts from."""


def fictional_symbol(index: int) -> str:
    """A pronounceable six-letter symbol; no exchange in the US lists symbols of six letters."""
    vowels, consonants = "AEIOU", "BDFGKLMNPRSTV"
    at = index * 7_919 % (5 * 13 * 5 * 13 * 5)  # coprime to the number of combinations: all differ
    letters = "Z"
    for alphabet in (vowels, consonants, vowels, consonants, vowels):
        at, k = divmod(at, len(alphabet))
        letters += alphabet[k]
    return letters


def companies(seed: int, n: int) -> list[Company]:
    """Make n companies: of each three one is larger and one is smaller than the general run."""
    result = []
    for i in range(n):
        draws = Draws(seed, 1, i)
        size = draws.gauss() + (1.1, -1.0, 0.0)[i % 3]
        price = 26.0 * exponential(0.35 * size + 0.7 * draws.gauss())
        volatility = 0.017 * exponential(-0.22 * size + 0.3 * draws.gauss())
        volume = 1.1e6 * exponential(0.75 * size + 0.6 * draws.gauss())
        result.append(
            Company(
                symbol=fictional_symbol(i),
                price=round(min(max(price, 1.5), 900.0) * 100) / 100,
                volatility=min(max(volatility, 0.006), 0.07),
                market_cap=round(2.0e9 * exponential(1.5 * size + 0.4 * draws.gauss()) / 1e5) * 1e5,
                average_volume=float(round(min(max(volume, 20_000.0), 6.0e7) / 100) * 100),
            )
        )
    return result


def plan_days(seed: int, market: Sequence[Company], minutes: Sequence[int]) -> list[list[DayPlan]]:
    """Plans by day and company; ``minutes`` are the lengths of the sessions."""
    order = sorted(range(len(market)), key=lambda i: -market[i].average_volume)
    busy = [i for i in order if market[i].price >= ACTIVE_PRICE and market[i].average_volume >= ACTIVE_VOLUME]
    active = (busy or order)[:ACTIVE]
    quiet = sorted((i for i in range(len(market)) if i not in active), key=lambda i: market[i].market_cap)
    plans: list[list[DayPlan]] = []
    risen = [1.0] * len(market)  # by news alone
    for day, length in enumerate(minutes):
        draws = Draws(seed, 2, day)
        market_gap = 0.003 * draws.gauss()
        today = [DayPlan(market_gap + 0.35 * c.volatility * draws.gauss()) for c in market]
        leader = draws.chosen(quiet[: (len(quiet) + 2) // 3], 1)
        rest = [i for i in quiet[: len(quiet) * 2 // 3] if i not in leader]
        for rank, i in enumerate(leader + draws.chosen(rest, len(quiet) // 12)):
            size = draws.between(0.07, 0.18) + (draws.between(0.0, 0.3) if rank == 0 else 0.0)
            gap = -0.7 * size if rank and draws.number() < 0.35 else size
            if not 1.0 / STRAY <= risen[i] <= STRAY:
                gap = size if risen[i] < 1.0 else -0.7 * size
            risen[i] *= 1.0 + gap
            today[i] = DayPlan(gap, activity=draws.between(MOVER_ACTIVITY, 12.0))
        for i in draws.chosen(active, (len(active) + 2) // 3):
            today[i] = replace(today[i], activity=draws.between(2.0, 3.0), halts=_halts(draws, length))
        plans.append(today)
    _plan_actions(Draws(seed, 3), market, plans)
    return plans


def _halts(draws: Draws, length: int) -> tuple[Halt, ...]:
    """Two or three halts at least half an hour apart: up then down or the other way round, more than the thresholds."""
    count = 3 if draws.number() < 0.4 else 2
    stretch = (length - 60) // count
    sign = 1.0 if draws.number() < 0.65 else -1.0
    result = []
    for k in range(count):
        minute = 15 + k * stretch + int(draws.below(max(stretch - 30, 1), 1)[0])
        size = draws.between(0.060, 0.085) if sign > 0 else draws.between(0.068, 0.090)
        result.append(Halt(minute, sign * size))
        sign = -sign
    return tuple(result)


def _plan_actions(draws: Draws, market: Sequence[Company], plans: list[list[DayPlan]]) -> None:
    """A split on the third day and dividends on the second and the fourth, where there are such days."""
    by_price = sorted(range(len(market)), key=lambda i: -market[i].price)
    if len(plans) >= 3:
        plans[2][by_price[0]] = replace(plans[2][by_price[0]], ratio=4 if market[by_price[0]].price > 150.0 else 2)
    payers = draws.chosen(by_price[1 : max(2, len(by_price) // 2)], 2)
    for day, i in zip((1, 3), payers, strict=False):
        if day < len(plans):
            cents = max(1, round(market[i].price * draws.between(0.3, 0.9)))
            plans[day][i] = replace(plans[day][i], dividend_cents=cents)


def trade_day(draws: Draws, company: Company, plan: DayPlan, previous: float, opens: int, minutes: int) -> DayTape:
    """One company's day.

    ``previous`` is the last price (dollars) as of before the day's split and dividend, ``opens`` the session's open,
    ``minutes`` its length. The company's price is not used, its volume is on the day's share basis.
    """
    volume = company.average_volume * plan.activity * exponential(0.3 * draws.gauss())
    wanted = 2_000.0 * root(min(plan.activity, 4.0) * company.average_volume / 1.2e6)
    ts = _times(draws, int(min(max(wanted, 80.0), 7_000.0)), opens, minutes, plan.halts)
    n = len(ts)
    start = max((previous / plan.ratio - plan.dividend_cents / 100.0) * (1.0 + plan.gap), 0.5)
    calm = company.volatility * (1.0 + 0.15 * (plan.activity - 1.0)) / root(n)
    steps = 1.0 + calm * draws.normal(n)
    for halt in plan.halts:
        after = int(np.searchsorted(ts, opens + halt.minute * NS_PER_MINUTE))
        if after < n:
            steps[after] = 1.0 + halt.jump
    mid = np.maximum(start * np.cumprod(steps), 0.5)
    spread = _spread(draws, mid, volume, ts - opens)
    bid = np.floor(mid * 100.0 - spread / 2.0 + 0.5).astype(np.int64)
    ask = bid + spread
    buyer = np.cumsum(draws.uniform(n) < 0.35) % 2 == 0
    inside = draws.uniform(n) < 0.12
    price = np.where(inside, (bid + ask) // 2, np.where(buyer, ask, bid))
    size = _sizes(draws, n, volume)
    lots = 100 * (1 + draws.below(12, 2 * n))
    before = np.empty(n, dtype=np.int64)
    before[0] = opens
    before[1:] = ts[:-1]
    quote_ts = ts - np.minimum((ts - before) // 2, 1_000 * (1 + draws.below(900_000, n)))
    new = np.ones(n, dtype=np.bool_)
    new[1:] = (bid[1:] != bid[:-1]) | (ask[1:] != ask[:-1])
    return DayTape(
        ts, price, size, quote_ts[new], bid[new], ask[new], lots[:n][new], lots[n:][new], last_mid=float(mid[-1])
    )


def _times(draws: Draws, n: int, opens: int, minutes: int, halts: Sequence[Halt]) -> I8:
    """About n times of trades: more of them near open and close, none in halts, always one at each session's end."""
    x = (2.0 * np.arange(minutes) + 1.0 - minutes) / minutes
    weight = 1.0 + 1.8 * x * x * x * x + 0.5 * x * x
    weight[:5] *= 1.6
    bounds = np.cumsum((1_000.0 * weight * (0.6 + 0.8 * draws.uniform(minutes))).astype(np.int64))
    minute = np.searchsorted(bounds, draws.below(int(bounds[-1]), n), side="right")
    within = draws.below(60_000_000, n) * 1_000
    ts = opens + minute.astype(np.int64) * NS_PER_MINUTE + within
    length = minutes * NS_PER_MINUTE
    crosses = np.array([opens + 1_000_000 * (20 + int(draws.below(900, 1)[0])), opens + length - 1_000_000])
    ts = np.sort(np.concatenate((ts, crosses)))
    paused = np.zeros(len(ts), dtype=np.bool_)
    for halt in halts:
        begin = opens + halt.minute * NS_PER_MINUTE
        paused |= (ts >= begin) & (ts < begin + HALT_MINUTES * NS_PER_MINUTE)
    result: I8 = ts[~paused]
    return result


def _spread(draws: Draws, mid: F8, volume: float, since_open: I8) -> I8:
    """Spreads in cents, at least one: about 3 basis points for a liquid stock, wider for others and at the open."""
    width = mid * 100.0 * (0.0002 + 0.0004 * root(1.2e6 / volume)) * (0.5 + draws.uniform(len(mid)))
    width = np.where(since_open < 10 * NS_PER_MINUTE, 1.8 * width, width)
    return np.maximum(1, np.floor(width + 0.5)).astype(np.int64)


def _sizes(draws: Draws, n: int, volume: float) -> I8:
    """Shares of each trade, together about ``volume``: skewed, mostly round lots, large in the auctions at open and close."""
    z = draws.normal(n)
    size = np.maximum(1.0, 0.94 * volume / n * z * z)
    size[0], size[-1] = max(1.0, 0.02 * volume), max(1.0, 0.06 * volume)
    shares = np.floor(size).astype(np.int64)
    is_round = (shares >= 100) & (draws.uniform(n) < 0.7)
    return np.where(is_round, shares // 100 * 100, shares)
