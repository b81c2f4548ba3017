"""Market scans, ranked by the code that derives the backtest's scans, from what was known at the time.

Results are sent at once and again every 30 seconds of exchange time where they changed. Not confirmed: the unit of the
subscription's own ``marketCapAbove`` and ``marketCapBelow``, which are taken as millions, as the filters of the same name
are; and the texts of errors about codes and filters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from feeds.scans import RANKINGS, ScanSource, evaluate
from gateway.clients import Client
from gateway.contracts import Contracts, Refused, invalid
from gateway.images import known_by
from gateway.market import Market
from gateway.protocol.replies import ScannerData, ScannerRow, ScannerXml
from gateway.protocol.requests import CancelScanner, ScannerParameters, ScannerSubscription
from gateway.settings import GatewaySettings
from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S, InstrumentType, ScanSpec
from papertape.core.requests import ScanRequest
from papertape.core.scanner import FILTERS

REFRESH_NS = 30 * NS_PER_S
SERVICE = "Historical Market Data Service error message:"
NO_ITEMS = Refused(165, "Historical Market Data Service query message:no items retrieved")
DEFAULT_ROWS = 50
LOCATIONS = ("STK.US.MAJOR", "STK.US")
STOCK_TYPES = frozenset({"", "ALL", "STOCK", "CORP"})
"""Kinds of stocks that may be asked for; a tape does not tell them apart."""

DISPLAY: Mapping[str, str] = {
    "MOST_ACTIVE": "Most Active",
    "TOP_PERC_GAIN": "Top % Gainers",
    "TOP_PERC_LOSE": "Top % Losers",
    "TOP_OPEN_PERC_GAIN": "Top % Gainers Since Open",
    "TOP_OPEN_PERC_LOSE": "Top % Losers Since Open",
}
_NAMES: Mapping[str, str] = {theirs: ours for ours, theirs in FILTERS.items()}
_OWN: Mapping[str, str] = {
    "above_price": "price_above",
    "below_price": "price_below",
    "above_volume": "volume_above",
    "market_cap_above": "market_cap_above_1e6",
    "market_cap_below": "market_cap_below_1e6",
}
"""Field of a subscription -> filter."""
_NOT_SIMULATED = (
    "moody_above", "moody_below", "sp_above", "sp_below", "maturity_above", "maturity_below", "coupon_above",
    "coupon_below", "average_option_volume_above", "settings",
)  # fmt: skip


@dataclass(slots=True)
class _Scan:
    client: Client
    request: ScannerSubscription
    scan: ScanRequest
    rows: tuple[ScannerRow, ...]
    sent_ts: int


def _is_set(value: float | str | None) -> bool:
    return not (value is None or value == "" or (isinstance(value, float) and math.isnan(value)))


def read_scan(request: ScannerSubscription, rows_max: int) -> ScanRequest | Refused:
    """What is to be scanned for, or why not."""
    rows = DEFAULT_ROWS if request.rows is None or request.rows == -1 else request.rows
    if not 1 <= rows <= rows_max:
        return invalid(f"Number of rows must be between 1 and {rows_max}")
    if request.instrument not in ("", "STK"):
        return Refused(162, f"{SERVICE}Error: Market Scanner is not configured for {request.instrument}.")
    if request.location not in ("", *LOCATIONS):
        text = "Error: Market Scanner is not configured for one of the chosen locations."
        return Refused(162, f"{SERVICE}{text}")
    if request.code not in RANKINGS:
        return Refused(162, f"{SERVICE}Scanner type with code {request.code} is disabled")
    unknown = [name for name in _NOT_SIMULATED if _is_set(getattr(request, name))]
    if unknown:
        return invalid(f"scanner filter {unknown[0]} is not simulated")
    if request.stock_type.upper() not in STOCK_TYPES:
        return invalid(f"scanner stock type {request.stock_type} is not simulated")
    filters = {ours: float(getattr(request, own)) for own, ours in _OWN.items() if _is_set(getattr(request, own))}
    for pair in filter(None, (part.strip() for part in request.filter_options.split(";"))):
        name, _, text = pair.partition("=")
        if name not in _NAMES:
            return invalid(f"scanner filter {name} is not simulated")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            return invalid(f"scanner filter {name} needs a number")
        filters[_NAMES[name]] = value
    return ScanRequest(ScanSpec(request.code, filters, request.location or LOCATIONS[0]), rows)


class ScannersDesk:
    """Answers requests for scans and refreshes their results."""

    def __init__(self, settings: GatewaySettings, market: Market, contracts: Contracts) -> None:
        self.settings = settings
        self.market = market
        self.contracts = contracts
        self._by_symbol = {each.symbol: j for j, each in enumerate(contracts.instruments)}
        self._scans: dict[tuple[int, int], _Scan] = {}

    def parameters(self, client: Client, request: ScannerParameters, now: int) -> None:
        """Codes and filters that are simulated."""
        client.send(ScannerXml(parameters_xml()))

    def subscribe(self, client: Client, request: ScannerSubscription, now: int) -> None:
        """A scan, now and from now on."""
        scan = self._checked(client, request)
        result = scan if isinstance(scan, Refused) else self._evaluate(scan, now)
        if isinstance(scan, Refused) or isinstance(result, Refused):
            assert isinstance(result, Refused), "what is refused is not evaluated"
            client.error(request.request, result.code, result.text, now)
            return
        self._scans[client.number, request.request] = _Scan(client, request, scan, result, now)
        self._send(client, request.request, result, now)

    def _checked(self, client: Client, request: ScannerSubscription) -> ScanRequest | Refused:
        limits = self.settings.limits
        if (client.number, request.request) in self._scans:
            return Refused(
                322, "Error processing request.-'co' : cause - Duplicate ticker ID for API scanner subscription"
            )
        if sum(number == client.number for number, _ in self._scans) >= limits.scans:
            text = f"Only {limits.scans} simultaneous API scanner subscriptions are allowed."
            return Refused(322, f"Error processing request.-'co' : cause - {text}")
        return read_scan(request, limits.scan_rows)

    def _evaluate(self, scan: ScanRequest, now: int) -> tuple[ScannerRow, ...] | Refused:
        market = self.market
        everything = ScanRequest(scan.spec, len(self.contracts))
        try:
            found = evaluate(market.view, market.tape, ScanSource.DERIVED, everything, known_by(market.next_ts, now))
        except ConfigError as error:  # a filter that the tape has no reference data for
            return Refused(162, f"{SERVICE}{error}")
        members = [self._by_symbol[row.symbol] for row in found.rows]
        stocks = [j for j in members if self.contracts.instruments[j].type is InstrumentType.STOCK]
        return tuple(
            ScannerRow(rank, self.contracts.wire(j), self.contracts.wire(j).trading_class)
            for rank, j in enumerate(stocks[: scan.rows])
        )

    def _send(self, client: Client, request: int, rows: tuple[ScannerRow, ...], now: int) -> None:
        if not rows:
            client.error(request, NO_ITEMS.code, NO_ITEMS.text, now)
        client.send(ScannerData(request, rows))

    def cancel(self, client: Client, request: CancelScanner, now: int) -> None:
        """End a subscription, which TWS confirms with an error."""
        if self._scans.pop((client.number, request.request), None) is None:
            why = Refused(365, f"No scanner subscription found for ticker id:{request.request}")
        else:
            why = Refused(162, f"{SERVICE}API scanner subscription cancelled: {request.request}")
        client.error(request.request, why.code, why.text, now)

    def drop(self, client: Client) -> None:
        """A connection has ended, and its scans with it."""
        for key in [key for key in self._scans if key[0] == client.number]:
            del self._scans[key]

    def second(self, now: int) -> None:
        """A full second of exchange time: results that are old enough are looked up again."""
        for each in self._scans.values():
            if now - each.sent_ts < REFRESH_NS:
                continue
            each.sent_ts = now
            rows = self._evaluate(each.scan, now)
            if not isinstance(rows, Refused) and rows != each.rows:
                each.rows = rows
                self._send(each.client, each.request.request, rows, now)


def parameters_xml() -> str:
    """The scanner's parameters in TWS's form, as far as they are simulated."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>', "<ScanParameterResponse>", "<InstrumentList>", "<Instrument>",
        "<name>US Stocks</name>", "<type>STK</type>", f"<filters>{','.join(map(escape, _NAMES))}</filters>",
        "</Instrument>", "</InstrumentList>", "<LocationTree>",
    ]  # fmt: skip
    for location in LOCATIONS:
        lines += [
            "<Location>", f"<displayName>{location}</displayName>", f"<locationCode>{location}</locationCode>",
            "<instruments>STK</instruments>", "</Location>",
        ]  # fmt: skip
    lines += ["</LocationTree>", "<ScanTypeList>"]
    for code in RANKINGS:
        lines += [
            "<ScanType>", f"<displayName>{escape(DISPLAY[code])}</displayName>", f"<scanCode>{code}</scanCode>",
            "<instruments>STK</instruments>", "</ScanType>",
        ]  # fmt: skip
    lines += ["</ScanTypeList>", "<FilterList>"]
    for name in _NAMES:
        lines += [
            "<SimpleFilter>", f"<id>{name}</id>", "<AbstractField>", f"<code>{name}</code>",
            f"<displayName>{name}</displayName>", "</AbstractField>", "</SimpleFilter>",
        ]  # fmt: skip
    return "\n".join([*lines, "</FilterList>", "</ScanParameterResponse>", ""])


HANDLERS: Mapping[type, Callable[[ScannersDesk, Client, Any, int], None]] = {
    ScannerParameters: ScannersDesk.parameters,
    ScannerSubscription: ScannersDesk.subscribe,
    CancelScanner: ScannersDesk.cancel,
}
