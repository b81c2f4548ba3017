"""What the record of a paper or live run says in words: where its data came from, what is left, why it ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from brokers.ib.account import IbAccount
from brokers.ib.events import DataKind, TradeSource
from papertape.core.model import Note, Severity
from papertape.core.orders import OrderRequest
from papertape.core.run_log import RunLog

NAMED_MOST = 12
"""Symbols that a note names; of more their number is said."""
ACCOUNT_NET_LIQUIDATION = "account_net_liquidation"
ACCOUNT_POSITION_VALUE = "account_position_value"
_SOURCES = {
    TradeSource.ALL_LAST: "trades tick by tick (AllLast)",
    TradeSource.RT_VOLUME: "trades from RTVolume",
    TradeSource.NONE: "no trades",
}
_KINDS: Mapping[DataKind, tuple[str, Severity]] = {
    DataKind.LIVE: ("live market data", Severity.INFO),
    DataKind.FROZEN: ("frozen market data (the market is closed)", Severity.INFO),
    DataKind.DELAYED: ("delayed market data, some 15 minutes old", Severity.WARNING),
    DataKind.NONE: ("no market data", Severity.WARNING),
}


def data_notes(described: Mapping[str, tuple[DataKind, TradeSource, str]], *, delayed: bool) -> list[Note]:
    """Where prices came from, a note for each kind and source. ``described`` is of all symbols that were watched.

    ``delayed``: whether delayed data would have been taken.
    """
    groups: dict[tuple[DataKind, TradeSource], list[str]] = defaultdict(list)
    for symbol, (kind, source, _) in described.items():
        if kind in _KINDS:
            groups[kind, source].append(symbol)
    notes = []
    if not described:
        text = "no instrument was followed: name --symbols, or have the strategy subscribe or scan"
        notes.append(Note("no_data", text, Severity.WARNING))
    if not delayed and any(kind is DataKind.NONE and "elayed" in said for kind, _, said in described.values()):
        text = (
            "live data for the API need a subscription (IB's Client Portal); delayed ones are traded on with --delayed"
        )
        notes.append(Note("delayed_refused", text, Severity.WARNING))
    for (kind, source), symbols in sorted(groups.items()):
        text, severity = _KINDS[kind]
        via = "" if kind is DataKind.NONE else f", {_SOURCES[source]}"
        notes.append(Note(f"data_{kind.value}_{source.value}", f"{text}{via}: {_named(symbols)}", severity))
    return notes


def _named(symbols: list[str]) -> str:
    if len(symbols) <= NAMED_MOST:
        return ", ".join(symbols)
    return f"{', '.join(symbols[:NAMED_MOST])} and {len(symbols) - NAMED_MOST} more"


def note_account(log: RunLog, account: IbAccount) -> None:
    """The account as TWS told of it, whoever traded in it: series of the run beside the strategy's own."""
    for name, values in (
        (ACCOUNT_NET_LIQUIDATION, [(ts, value) for ts, value, _ in account.history if value == value]),
        (ACCOUNT_POSITION_VALUE, [(ts, value) for ts, _, value in account.history if value == value]),
    ):
        if values:
            log.custom[name] = values


def order_text(number: int, request: OrderRequest, filled: float) -> str:
    """An order that works, in words."""
    prices = [f" {price:g}" for price in (request.limit_price, request.stop_price, request.trail) if price == price]
    part = f", {filled:g} filled" if filled else ""
    terms = f"{request.side.name} {request.quantity:g} {request.symbol} {request.type.name}{''.join(prices)}"
    return f"order {number}, {terms}{part}"
