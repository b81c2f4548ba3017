"""Contract details, symbol search, and news bulletins, of which there are none."""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from gateway.clients import Client
from gateway.contracts import NO_SYMBOL, NO_TYPE, UNKNOWN, Contracts, Refused
from gateway.fanout import SHARES_SINCE
from gateway.market import Market
from gateway.protocol.contract import Contract
from gateway.protocol.replies import ContractDetailsEnd, ContractDetailsRow, SymbolSample, SymbolSamples
from gateway.protocol.requests import CancelNewsBulletins, ContractDetails, MatchingSymbols, NewsBulletins
from gateway.settings import GatewaySettings
from papertape.core.model import NS_PER_S, InstrumentType

ORDER_TYPES = "ACTIVETIM,ALLOC,DAY,FOK,GTC,GTD,HID,IOC,LMT,LOC,MKT,MOC,OCA,OPG,STP,STPLMT,TRAIL,TRAILLMT,WHATIF"
"""What the simulated broker takes, in TWS's words."""
STOCK_EXCHANGES = "SMART,AMEX,NYSE,ARCA,BATS,NASDAQ,IEX"
SAMPLES_MAX = 16
"""Most contracts in the answer to a search, as in recorded ones."""
DAYS_AHEAD = 5
_BEFORE, _AFTER = dt.time(4), dt.time(20)
"""When stocks in the US are traded outside of regular hours."""
_MARKET_RULES: Mapping[InstrumentType, str] = {InstrumentType.STOCK: "26"}


class DefinitionsDesk:
    """Answers what is asked about instruments."""

    def __init__(self, settings: GatewaySettings, market: Market, contracts: Contracts) -> None:
        self.settings = settings
        self.market = market
        self.contracts = contracts
        self._zone = ZoneInfo(market.calendar.zone)

    def details(self, client: Client, request: ContractDetails, now: int) -> None:
        """All contracts that fit, then the end; error 200 where none does."""
        found = self._found(request.contract)
        if isinstance(found, Refused):
            client.error(request.request, found.code, found.text, now)
            return
        for j in found:
            row = self._row(request.request, j, now)
            if client.version < SHARES_SINCE:
                row = replace(row, size_multiplier=self.contracts.lot(j))  # its market data come in lots
            client.send(row)
        client.send(ContractDetailsEnd(request.request))

    def _found(self, contract: Contract) -> list[int] | Refused:
        if not contract.con_id:
            if not contract.type:
                return NO_TYPE
            if not (contract.symbol or contract.local_symbol or contract.id):
                return NO_SYMBOL
        return self.contracts.find(contract) or UNKNOWN

    def _row(self, request: int, j: int, now: int) -> ContractDetailsRow:
        wire, instrument = self.contracts.wire(j), self.contracts.instruments[j]
        is_stock = instrument.type is InstrumentType.STOCK
        is_us_stock = is_stock and instrument.currency == "USD"
        return ContractDetailsRow(
            request,
            wire,
            market_name=wire.trading_class,
            min_tick=instrument.tick_size,
            order_types=ORDER_TYPES,
            valid_exchanges=STOCK_EXCHANGES if is_us_stock else wire.exchange,
            long_name=instrument.symbol,
            contract_month=wire.expiry[:6],
            time_zone=self.settings.zone if self._is_own_zone() else self.market.calendar.zone,
            trading_hours=self._hours(now, around=is_us_stock),
            liquid_hours=self._hours(now, around=False),
            under_symbol=wire.symbol if wire.type in ("OPT", "FUT") else "",
            under_type="STK" if wire.type == "OPT" else "IND" if wire.type == "FUT" else "",
            market_rules=_MARKET_RULES.get(instrument.type, ""),
            real_expiry=wire.expiry,
            stock_type="COMMON" if is_stock else "",
            size_min=0.0001 if is_us_stock else 1.0,
            size_increment=0.0001 if is_us_stock else 1.0,
            size_suggested=100.0 if is_us_stock else 1.0,
        )

    def _is_own_zone(self) -> bool:
        """Whether TWS's zone is another name of the exchange's."""
        at = dt.datetime.fromtimestamp(self.market.start // NS_PER_S, dt.UTC)
        return ZoneInfo(self.settings.zone).utcoffset(at) == self._zone.utcoffset(at)

    def _hours(self, now: int, *, around: bool) -> str:
        """Sessions of today and some days ahead by the calendar, as ``20240603:0930-20240603:1600;20240608:CLOSED``."""
        calendar = self.market.calendar
        today = dt.datetime.fromtimestamp(now // NS_PER_S, self._zone).date()
        epoch = dt.date(1970, 1, 1)
        days: list[str] = []
        for ahead in range(DAYS_AHEAD + 1):
            day = today + dt.timedelta(days=ahead)
            number = (day - epoch).days
            i = bisect.bisect_left(calendar.date, number)
            if i == len(calendar.date) or calendar.date[i] != number:
                days.append(f"{day:%Y%m%d}:CLOSED")
                continue
            opening, close = (
                dt.datetime.fromtimestamp(ts // NS_PER_S, self._zone) for ts in (calendar.open[i], calendar.close[i])
            )
            if around:
                opening, close = (dt.datetime.combine(day, clock, self._zone) for clock in (_BEFORE, _AFTER))
            days.append(f"{opening:%Y%m%d:%H%M}-{close:%Y%m%d:%H%M}")
        return ";".join(days)

    def search(self, client: Client, request: MatchingSymbols, now: int) -> None:
        """Contracts whose symbol begins with the text, exact ones first, then those that hold it."""
        wanted = request.pattern.strip().upper()
        ranked: list[tuple[int, str, int]] = []
        for j in range(len(self.contracts)):
            symbol = self.contracts.wire(j).symbol.upper()
            if wanted and wanted in symbol:
                ranked.append((0 if symbol == wanted else 1 if symbol.startswith(wanted) else 2, symbol, j))
        samples: list[SymbolSample] = []
        for _, _, j in sorted(ranked)[:SAMPLES_MAX]:
            wire = self.contracts.wire(j)
            contract = Contract(
                wire.con_id,
                wire.symbol,
                wire.type,
                primary_exchange=wire.primary_exchange or wire.exchange,
                currency=wire.currency,
            )
            samples.append(SymbolSample(contract, description=self.contracts.instruments[j].symbol))
        client.send(SymbolSamples(request.request, tuple(samples)))

    def bulletins(self, client: Client, request: NewsBulletins, now: int) -> None:
        """Accepted; there is never one."""

    def end_bulletins(self, client: Client, request: CancelNewsBulletins, now: int) -> None:
        """Accepted."""


HANDLERS: Mapping[type, Callable[[DefinitionsDesk, Client, Any, int], None]] = {
    ContractDetails: DefinitionsDesk.details,
    MatchingSymbols: DefinitionsDesk.search,
    NewsBulletins: DefinitionsDesk.bulletins,
    CancelNewsBulletins: DefinitionsDesk.end_bulletins,
}
