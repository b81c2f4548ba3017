"""Our orders, instruments, times and lengths as TWS spells them, and TWS's as ours. Pure functions, no state.

Prices leave here as TWS takes them: a price that is no multiple of the price step would be refused (error 110), so it
is put on a step, never in a direction that costs the trader: a limit becomes no worse, a stop triggers no later. What was
changed is to be said (:func:`rounding`).

What a real TWS has not confirmed: that a trailing stop-limit may leave its first stop to TWS, UTC times in good-till
dates of servers before 10.17, and that an Inactive order never works again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import msgspec

from brokers.ib.commands import FollowScan
from brokers.ib.records import NAN, ContractDetails, ContractRecord, OrderRecord
from brokers.ib.times import bar_ts, connection_zone, execution_ts, time_text, zone_named
from papertape.core.errors import ConfigError, PeerError, StrategyError, UserError, did_you_mean
from papertape.core.model import (
    NS_PER_S,
    Instrument,
    InstrumentType,
    OrderStatus,
    OrderType,
    ScanSpec,
    Side,
    TimeInForce,
)
from papertape.core.orders import OrderRequest
from papertape.core.requests import Duration
from papertape.core.scanner import FILTERS

__all__ = [
    "RtVolume", "bar_text", "bar_ts", "connection_zone", "contract_of", "execution_key", "execution_ts", "history_terms",
    "instrument_of", "is_paper_account", "on_step", "order_of", "order_ref", "parse_order_ref", "price_step",
    "read_multiplier", "rounding", "rt_volume", "scan_command", "side_of", "status_of", "time_text", "zone_named",
]  # fmt: skip
SMART = "SMART"
FINE_TICK = 0.0001
"""Price step of stocks below 1 (Regulation NMS, rule 612)."""
GROUP_TYPE = 2
"""A fill is taken off the others of a group, which are cancelled when it is complete, with overfill protection."""
SCAN_ROWS_MAX = 50
"""Most rows that TWS gives to one scan."""

# ------------------------------------------------------------------------------------------------------- contracts

_CLASS_SHARE = re.compile(r"([A-Z]{1,5})[ ./-]([A-Z]{1,2})")
_PAIR = re.compile(r"([A-Z]{3,5})[./]?([A-Z]{3})")
_OPTION = re.compile(r"([A-Z0-9.]{1,6}) *(\d{6}[CP]\d{8})")
_PAIR_EXCHANGES: Mapping[InstrumentType, str] = {
    InstrumentType.CASH: "IDEALPRO",
    InstrumentType.CRYPTO: "PAXOS",
}
"""Where pairs trade that name no exchange of their own."""


def contract_of(instrument: Instrument, con_id: int = 0) -> ContractRecord:
    """An instrument as TWS is asked for it; with ``con_id`` (or the instrument's own) there is no doubt which is meant.

    Stocks are routed by SMART, an exchange that a stock names is its primary one, which settles between
    stocks of one symbol. Class shares are "BRK B" at TWS however they are spelled here. Futures and options go by their
    local symbol (of an option the OCC one, its root filled up to six characters).
    """
    con_id = con_id or instrument.con_id
    kind, symbol = instrument.type, instrument.symbol
    named = "" if instrument.exchange == SMART else instrument.exchange
    if kind is InstrumentType.STOCK:
        parts = _CLASS_SHARE.fullmatch(symbol) if instrument.currency == "USD" else None
        return ContractRecord(
            con_id=con_id, symbol=f"{parts[1]} {parts[2]}" if parts else symbol, type=kind.value, exchange=SMART,
            primary_exchange=named, currency=instrument.currency,
        )  # fmt: skip
    if kind in _PAIR_EXCHANGES:
        parts = _PAIR.fullmatch(symbol)
        base, currency = (parts[1], parts[2]) if parts else (symbol, instrument.currency)
        exchange = named or _PAIR_EXCHANGES[kind]
        return ContractRecord(con_id=con_id, symbol=base, type=kind.value, exchange=exchange, currency=currency)
    if kind is InstrumentType.INDEX:
        return ContractRecord(
            con_id=con_id, symbol=symbol, type=kind.value, exchange=instrument.exchange, currency=instrument.currency
        )
    option = _OPTION.fullmatch(symbol) if kind is InstrumentType.OPTION else None
    local = f"{option[1]:<6}{option[2]}" if option else symbol
    return ContractRecord(
        con_id=con_id, type=kind.value, exchange=instrument.exchange, currency=instrument.currency, local_symbol=local
    )


def instrument_of(details: ContractDetails) -> Instrument:
    """A contract that TWS defined. UserError for what papertape does not trade.

    The symbol is TWS's own; of futures, options and pairs its local symbol, which is the one that names just one.
    """
    contract = details.contract
    try:
        kind = InstrumentType(contract.type)
    except ValueError:
        known = ", ".join(InstrumentType)
        raise UserError(
            f"{contract.symbol or contract.con_id} is of type {contract.type}; papertape trades {known}"
        ) from None
    if details.price_magnifier > 1:
        raise UserError(
            f"{contract.symbol}: its prices are magnified by {details.price_magnifier}, which papertape does not trade"
        )
    multiplier = read_multiplier(contract.multiplier)
    is_stock = kind is InstrumentType.STOCK
    by_local = kind not in (InstrumentType.STOCK, InstrumentType.INDEX)
    usual = _PAIR_EXCHANGES.get(kind)
    exchange = (contract.primary_exchange if is_stock else contract.exchange) or SMART
    return Instrument(
        symbol=(contract.local_symbol if by_local else "") or contract.symbol,
        type=kind,
        currency=contract.currency,
        con_id=contract.con_id,
        exchange=SMART if exchange == usual else exchange,
        tick_size=details.min_tick,
        multiplier=multiplier,
        tradable=kind is not InstrumentType.INDEX,
    )


def read_multiplier(text: str) -> float:
    """Units of currency that a point is worth; empty is 1. PeerError where it is no number above 0."""
    try:
        value = float(text or 1)
    except ValueError:
        value = NAN
    if not (math.isfinite(value) and value > 0):
        raise PeerError(f'TWS gives a contract the multiplier "{text}"')
    return value


# ---------------------------------------------------------------------------------------------------------- orders

_TYPES: Mapping[OrderType, str] = {
    OrderType.MARKET: "MKT",
    OrderType.LIMIT: "LMT",
    OrderType.STOP: "STP",
    OrderType.STOP_LIMIT: "STP LMT",
    OrderType.TRAIL: "TRAIL",
    OrderType.TRAIL_LIMIT: "TRAIL LIMIT",
    OrderType.MARKET_ON_CLOSE: "MOC",
    OrderType.LIMIT_ON_CLOSE: "LOC",
}
_HAS_LIMIT = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_ON_CLOSE})
_HAS_STOP = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
_TRAILS = frozenset({OrderType.TRAIL, OrderType.TRAIL_LIMIT})


def order_of(
    request: OrderRequest,
    *,
    account: str,
    order_ref: str,
    parent_id: int = 0,
    oca_group: str = "",
    transmit: bool = True,
    min_tick: float = NAN,
    zone: str = "",
    type: InstrumentType = InstrumentType.STOCK,  # noqa: A002  # as the instrument names it
) -> OrderRecord:
    """An order as TWS takes it. StrategyError for terms that make no order.

    ``min_tick`` is the instrument's price step; NaN or 0, not known, leaves prices as they are. A limit is put on the
    step that is no worse for the trader (a buy's down, a sell's up), a stop on the one that triggers no later (a buy's
    down, a sell's up), distances of trailing orders on the next shorter one, at least a step. ``zone`` is a zone for
    good-till times; empty writes UTC. They are cut to whole seconds, never later than asked.
    """
    kind, side = request.type, request.side
    if not (math.isfinite(request.quantity) and request.quantity > 0):
        raise StrategyError(f"order for {request.symbol}: quantity {request.quantity:g}; it must be above 0")
    if request.tif is TimeInForce.GTD and request.expire_ts <= 0:
        raise StrategyError(f"order for {request.symbol}: GTD needs a time until which it works")
    up = side is Side.SELL
    limit = _on_step(request, "limit", request.limit_price, min_tick, type, up) if kind in _HAS_LIMIT else NAN
    aux = _on_step(request, "stop", request.stop_price, min_tick, type, up) if kind in _HAS_STOP else NAN
    percent = offset = NAN
    if kind in _TRAILS:
        if not (math.isfinite(request.trail) and request.trail > 0):
            raise StrategyError(f"order for {request.symbol}: a trail of {request.trail:g}; it must be above 0")
        if request.trail_is_fraction:
            percent = round(request.trail * 100.0, 10)
        else:
            aux = max(on_step(request.trail, min_tick, up=False), min_tick if min_tick > 0 else 0.0)
    if kind is OrderType.TRAIL_LIMIT:
        if not math.isfinite(request.stop_price):
            raise StrategyError(f"order for {request.symbol}: a trailing stop-limit needs a limit offset")
        offset = on_step(request.stop_price, min_tick, up=False)
    return OrderRecord(
        action=side.name,
        quantity=request.quantity,
        type=_TYPES[kind],
        limit_price=limit,
        aux_price=aux,
        tif=request.tif.name,
        oca_group=oca_group,
        oca_type=GROUP_TYPE if oca_group else 0,
        account=account,
        order_ref=order_ref,
        transmit=transmit,
        parent_id=parent_id,
        outside_hours=request.outside_hours,
        good_till=time_text(request.expire_ts, zone) if request.tif is TimeInForce.GTD else "",
        trailing_percent=percent,
        limit_offset=offset,
    )


def _on_step(request: OrderRequest, name: str, price: float, min_tick: float, kind: InstrumentType, up: bool) -> float:
    if not math.isfinite(price):
        raise StrategyError(f"order for {request.symbol}: a {request.type.name} order needs a {name} price")
    return on_step(price, price_step(min_tick, price, kind), up=up)


def price_step(min_tick: float, price: float, kind: InstrumentType = InstrumentType.STOCK) -> float:
    """The price step that holds at a price: stocks below 1 have a finer one than TWS says of them."""
    return min(min_tick, FINE_TICK) if kind is InstrumentType.STOCK and abs(price) < 1.0 else min_tick


def on_step(price: float, step: float, *, up: bool) -> float:
    """The next multiple of ``step`` at or above a price (``up``), or at or below it; as it is where the step is unknown.

    A price that misses a multiple by no more than computing with floats may make it is that multiple.
    """
    if not (step > 0 and math.isfinite(step) and math.isfinite(price)):
        return price
    exact = Decimal(repr(float(step)))
    steps = Decimal(repr(float(price))) / exact
    nearest = steps.to_integral_value()
    if abs(steps - nearest) > max(Decimal(1), abs(steps)) * Decimal("1e-9") + Decimal("1e-6"):
        nearest = steps.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)
    return float(nearest * exact)


def rounding(request: OrderRequest, sent: OrderRecord) -> str:
    """What was changed to fit the price step, in words ("limit 10.123 sent as 10.12"); empty where nothing was."""
    is_trail = request.type in _TRAILS
    pairs = (
        ("limit", request.limit_price if request.type in _HAS_LIMIT else NAN, sent.limit_price),
        ("stop", request.stop_price if request.type in _HAS_STOP else NAN, sent.aux_price),
        ("trail", request.trail if is_trail and not request.trail_is_fraction else NAN, sent.aux_price),
        ("limit offset", request.stop_price if is_trail else NAN, sent.limit_offset),
    )
    said = [
        f"{name} {asked:.10g} sent as {got:.10g}"
        for name, asked, got in pairs
        if asked == asked and got == got and not math.isclose(asked, got, rel_tol=1e-9, abs_tol=1e-9)
    ]
    return ", ".join(said)


_STATUSES: Mapping[str, OrderStatus] = {
    "ApiPending": OrderStatus.PENDING_SUBMIT,
    "PendingSubmit": OrderStatus.PENDING_SUBMIT,
    "PreSubmitted": OrderStatus.SUBMITTED,
    "Submitted": OrderStatus.SUBMITTED,
    "PendingCancel": OrderStatus.PENDING_CANCEL,
    "ApiCancelled": OrderStatus.CANCELLED,
    "Cancelled": OrderStatus.CANCELLED,
    "Filled": OrderStatus.FILLED,
    "Inactive": OrderStatus.REJECTED,
}
_WORKING = frozenset({OrderStatus.PENDING_SUBMIT, OrderStatus.SUBMITTED})


def status_of(status_text: str, filled: float, remaining: float) -> OrderStatus:
    """An order's state from TWS's word and quantities (NaN unknown). PeerError for a word that TWS does not have.

    A working order that has filled in part is PARTIALLY_FILLED. "Filled" with something remaining is, too: the order may
    work on. "Inactive" is REJECTED, or CANCELLED where something had filled (a FOK that found nothing is told so as well).
    """
    status = _STATUSES.get(status_text)
    if status is None:
        raise PeerError(f'TWS says that an order is "{status_text}", which is no status that papertape knows')
    if status in _WORKING and filled > 0:
        return OrderStatus.PARTIALLY_FILLED
    if status is OrderStatus.FILLED and remaining > 0:
        return OrderStatus.PARTIALLY_FILLED
    if status is OrderStatus.REJECTED and filled > 0:
        return OrderStatus.CANCELLED
    return status


_SIDES: Mapping[str, Side] = {
    "BOT": Side.BUY, "BUY": Side.BUY, "SLD": Side.SELL, "SELL": Side.SELL, "SSHORT": Side.SELL,
}  # fmt: skip


def side_of(text: str) -> Side:
    """BOT or SLD of executions, BUY, SELL or SSHORT of orders. PeerError for another word."""
    side = _SIDES.get(text)
    if side is None:
        raise PeerError(f'TWS names the side "{text}"; it is BOT or SLD, BUY or SELL')
    return side


_EXECUTION = re.compile(r"(.+)\.(\d+)")


def execution_key(exec_id: str) -> tuple[str, int]:
    """An execution's root and revision: ``0000e0d5.64f3a1b2.01.02`` corrects, and replaces, ``0000e0d5.64f3a1b2.01.01``.

    PeerError where there is no revision: then it can not be known what replaces what.
    """
    match = _EXECUTION.fullmatch(exec_id)
    if match is None:
        raise PeerError(f'TWS names an execution "{exec_id}", which has no revision at its end')
    return match[1], int(match[2])


_RUN_ID = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)
_ORDER_REF = re.compile(r"pt-([A-Za-z0-9_.-]{1,40})-([1-9][0-9]{0,9})", re.ASCII)


def order_ref(run_id: str, number: int) -> str:
    """What an order of a run is marked with: ``pt-RUNID-NUMBER``. ConfigError for a run id with other characters."""
    if not _RUN_ID.fullmatch(run_id):
        raise ConfigError(f'run id "{run_id}": up to 40 letters, digits, "-", "_" and "." can mark its orders')
    assert 0 < number < 10**10, "a run numbers its orders from 1"
    return f"pt-{run_id}-{number}"


def parse_order_ref(text: str) -> tuple[str, int] | None:
    """The run and the number of an order; None for the mark of another program, or of a person."""
    match = _ORDER_REF.fullmatch(text)
    return (match[1], int(match[2])) if match else None


PAPER_PREFIXES = ("DU", "DF", "DI")
"""How ids of paper accounts begin, as published for individuals, advisers and institutions."""


def is_paper_account(account: str) -> bool:
    """Whether an account's id is one of a paper account. An unknown prefix counts as live."""
    return account.startswith(PAPER_PREFIXES)


# ------------------------------------------------------------------------------------------------------ market data


class RtVolume(msgspec.Struct, frozen=True, gc=False):
    """A trade of generic tick 233. ``total`` is the day's volume, ``vwap`` its average price; NaN unknown.

    Sizes are as TWS counts them, which is in round lots of US stocks at old server versions.
    """

    price: float
    size: float
    ts_ms: int
    total: float
    vwap: float


def rt_volume(text: str) -> RtVolume | None:
    """Read ``price;size;ms;total;vwap;single``; None where no trade is in it. PeerError where it is not of that form."""
    parts = text.split(";")
    if len(parts) != 6:
        raise PeerError(f'TWS sends the RTVolume "{text[:80]}", which is not price;size;time;total;VWAP;single')
    if not parts[0] or not parts[1]:
        return None
    try:
        price, size, ts_ms = float(parts[0]), float(parts[1]), int(parts[2])
        total, vwap = (float(part) if part else NAN for part in parts[3:5])
    except ValueError:
        raise PeerError(f'TWS sends the RTVolume "{text[:80]}", which holds no numbers') from None
    if not (math.isfinite(price) and size > 0 and math.isfinite(size)):
        return None
    return RtVolume(price, size, ts_ms, total, vwap)


_BARS: Mapping[int, str] = {
    **{n: f"{n} secs" for n in (1, 5, 10, 15, 30)},
    60: "1 min",
    **{60 * n: f"{n} mins" for n in (2, 3, 5, 10, 15, 20, 30)},
    3600: "1 hour",
    **{3600 * n: f"{n} hours" for n in (2, 3, 4, 8)},
}
"""Seconds -> bar size of TWS."""
_SESSION_BARS: Mapping[int, str] = {1: "1 day", 5: "1W"}
_DAY_S = 86_400
_SECONDS_MIN = 30
"""Shortest duration in seconds that TWS takes."""
_DAYS_MAX = 365
"""Longest duration in days; longer ones are asked for in years."""


def bar_text(bar: Duration) -> str:
    """The bar size as TWS spells it. UserError where TWS has none such."""
    if bar.sessions:
        text = _SESSION_BARS.get(bar.sessions)
    else:
        seconds, rest = divmod(bar.ns, NS_PER_S)
        text = None if rest else "1 day" if seconds == _DAY_S else _BARS.get(seconds)
    if text is None:
        asked = f"{bar.sessions} sessions" if bar.sessions else f"{bar.ns / NS_PER_S:g} s"
        known = ", ".join([*_BARS.values(), *_SESSION_BARS.values()])
        raise UserError(f"Interactive Brokers has no bars of {asked}; it has {known}")
    return text


def history_terms(length: Duration, bar: Duration) -> tuple[str, str]:
    """``(duration, bar size)`` as reqHistoricalData takes them, covering ``length`` up to now: cut off what is too much.

    A length in sessions asks for so many days that they hold the sessions whether TWS counts days of trading or of the
    calendar, weekends and holidays included. UserError where TWS has no such bar.
    """
    size = bar_text(bar)
    if length.sessions:
        return _days_text(-(-length.sessions * 7 // 5) + 4), size
    seconds = -(-length.ns // NS_PER_S)
    if seconds <= _DAY_S and size not in _SESSION_BARS.values():
        return f"{max(_SECONDS_MIN, seconds)} S", size
    return _days_text(-(-seconds // _DAY_S)), size


def _days_text(days: int) -> str:
    return f"{days} D" if days <= _DAYS_MAX else f"{-(-days // _DAYS_MAX)} Y"


def scan_command(spec: ScanSpec, rows: int, request_id: int) -> FollowScan:
    """A scan as TWS is asked for it, its filters as generic filter options. At most 50 rows come, however many are asked.

    ConfigError for a filter that papertape does not have.
    """
    for name in spec.filters:
        if name not in FILTERS:
            raise ConfigError(f'unknown scan filter "{name}"{did_you_mean(name, FILTERS)}')
    options = {FILTERS[name]: _plain(value) for name, value in sorted(spec.filters.items())}
    return FollowScan(
        request_id, code=spec.code, location=spec.location, rows=max(1, min(rows, SCAN_ROWS_MAX)), options=options
    )


def _plain(value: float) -> str:
    """A number without exponent."""
    return str(int(value)) if value == int(value) else format(Decimal(repr(float(value))), "f")
