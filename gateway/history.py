"""Historical bars, their updates, five-second bars and head timestamps.

Requests are answered at once. Pacing counts exchange time and holds for bars of every size (TWS itself is soft on bars of
a minute and more). Bars of trades are in shares from server version 175 on and in round lots of US stocks before
(``MIN_SERVER_VER_HMDS_MARKET_DATA_IN_SHARES`` of the public clients). Updates come every five seconds where something
changed, after the events of that second: a bar that ends then is whole, and a trade of that very time is in the next
one, but for the close of a session. Not confirmed: that a five-second bar without trades is sent flat with volume 0,
and how updates are timed.

A tape of bars gives its own bars as five-second bars where these are longer: once each, within five seconds of their
end, and at their end where that is a multiple of five seconds.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.bars import PRICES, BarMaker, BarRow, BarSize, typical_length
from gateway.clients import Client
from gateway.contracts import Contracts, Refused, invalid
from gateway.history_terms import BARS_MAX, SERVICE, Dates, Terms, earlier, first_bar, head_text, read_terms
from gateway.images import known_by
from gateway.market import Market
from gateway.protocol.replies import (
    HeadTimestampReply,
    HistoricalBar,
    HistoricalData,
    HistoricalDataEnd,
    HistoricalDataUpdate,
    RealTimeBar,
)
from gateway.protocol.requests import (
    CancelHeadTimestamp,
    CancelHistoricalBars,
    CancelRealTimeBars,
    HeadTimestamp,
    HistoricalBars,
    RealTimeBars,
)
from gateway.settings import DataPermission, GatewaySettings
from papertape.core.model import NS_PER_S, EventKind

END_SINCE = 196
"""First server version whose bars end with a message of its own."""
SHARES_SINCE = 175
FIVE_NS = 5 * NS_PER_S
FIVE = BarSize(FIVE_NS)
BURST, BURST_NS = 6, 2 * NS_PER_S
"""So many requests for one contract and price within that time are too many."""
_LABELS: Mapping[str, str] = {"TRADES": "Trades", "BID": "Bid", "ASK": "Ask", "MIDPOINT": "Midpoint"}
_WHAT = invalid("What to show field is missing or incorrect.")
PACING = Refused(162, f"{SERVICE}Historical data request pacing violation")
TOO_LONG = Refused(162, f"{SERVICE}Time length exceed max.")
DUPLICATE = Refused(322, "Error processing request.-'co' : cause - Duplicate ticker ID for API historical data query")


@dataclass(slots=True)
class _Kept:
    """A request that is kept up to date, and the last bar that was sent."""

    client: Client
    request: int
    j: int
    terms: Terms
    sent: BarRow | None


@dataclass(frozen=True, slots=True)
class _Live:
    """A subscription to five-second bars."""

    client: Client
    request: int
    j: int
    what: str
    regular: bool


class Pacing:
    """One client's recent requests; bounded by what the limits allow."""

    def __init__(self) -> None:
        self._asked: deque[tuple[int, HistoricalBars]] = deque()

    def take(self, request: HistoricalBars, settings: GatewaySettings, now: int) -> bool:
        """Whether a request keeps to the limits; then it counts."""
        limits, asked = settings.limits, self._asked
        if not limits.history_requests:
            return True
        while asked and asked[0][0] <= now - limits.history_window_s * NS_PER_S:
            asked.popleft()
        same = dataclasses.replace(request, request=0)
        near = (request.contract, request.what)
        if len(asked) >= limits.history_requests:
            return False
        if any(known == same and now - ts < limits.history_same_s * NS_PER_S for ts, known in asked):
            return False
        close = sum((known.contract, known.what) == near for ts, known in reversed(asked) if now - ts < BURST_NS)
        if close >= BURST - 1:
            return False
        asked.append((now, same))
        return True


class HistoryDesk:
    """Answers requests for bars, and keeps those up to date that asked for it."""

    def __init__(self, settings: GatewaySettings, market: Market, contracts: Contracts) -> None:
        self.settings = settings
        self.market = market
        self.contracts = contracts
        self.maker = BarMaker(market.view)
        self.dates = Dates(settings.zone)
        self._kept: dict[tuple[int, int], _Kept] = {}
        self._live: dict[tuple[int, int], _Live] = {}
        self._pacing: dict[int, Pacing] = {}
        self._looked = -1
        """Up to when everything was known at the last look at bars."""

    def _known(self, now: int) -> int:
        return known_by(self.market.next_ts, now)

    def _refuse(self, client: Client, request: int, why: Refused, now: int) -> None:
        client.error(request, why.code, why.text, now)

    def _checked(self, client: Client, request: HistoricalBars, now: int) -> tuple[int, Terms] | Refused:
        terms = read_terms(request, now, self.dates.zone)
        if isinstance(terms, Refused):
            return terms
        if (client.number, request.request) in self._kept:
            return DUPLICATE
        j = self.contracts.one(request.contract)
        if isinstance(j, Refused):
            return j
        permission = self.settings.data.get(self.contracts.instruments[j].symbol, self.settings.permission)
        if permission is not DataPermission.LIVE:
            return Refused(162, f"{SERVICE}{self._no_permission(j)}")
        most = self.settings.limits.history_open
        if request.keep_up_to_date and sum(number == client.number for number, _ in self._kept) >= most:
            text = f"Only {most} simultaneous API historical data requests allowed."
            return Refused(322, f"Error processing request.-'co' : cause - {text}")
        end = now if terms.end is None else terms.end
        if (end - earlier(end, terms.span, self.maker.zone)) / terms.size.ns > BARS_MAX:
            return TOO_LONG
        if not self._pacing.setdefault(client.number, Pacing()).take(request, self.settings, now):
            return PACING
        return j, terms

    def _no_permission(self, j: int) -> str:
        wire = self.contracts.wire(j)
        return f"No market data permissions for {wire.primary_exchange or wire.exchange} {wire.type}"

    def bars(self, client: Client, request: HistoricalBars, now: int) -> None:
        """Bars up to an end, which is now at the latest."""
        checked = self._checked(client, request, now)
        if isinstance(checked, Refused):
            self._refuse(client, request.request, checked, now)
            return
        j, terms = checked
        end = now if terms.end is None else min(terms.end, now)
        rows = self._rows(j, terms, end, now)
        if not rows:
            name = f"{request.contract.symbol or self.contracts.wire(j).symbol}@{request.contract.exchange}"
            text = f"HMDS query returned no data: {name} {_LABELS.get(terms.what, terms.what)}"
            self._refuse(client, request.request, Refused(162, f"{SERVICE}{text}"), now)
            if not request.keep_up_to_date or terms.what not in PRICES or not self.maker.has(j, terms.what):
                return
        else:
            begin = earlier(end, terms.span, self.maker.zone)
            start_text, end_text = (self.dates.time(ts, client.version) for ts in (begin, end))
            bars = tuple(self._bar(row, j, terms, client.version) for row in rows)
            client.send(HistoricalData(request.request, start_text, end_text, bars))
            if client.version >= END_SINCE:
                client.send(HistoricalDataEnd(request.request, start_text, end_text))
        if request.keep_up_to_date:
            sent = rows[-1] if rows else None
            self._kept[client.number, request.request] = _Kept(client, request.request, j, terms, sent)

    def _rows(self, j: int, terms: Terms, end: int, now: int) -> list[BarRow]:
        if terms.what not in PRICES:
            return []
        begin = first_bar(self.maker, terms, end)
        known = min(end, self._known(now))
        return self.maker.rows(j, terms.what, terms.size, begin, known, regular=terms.regular)

    def _bar(self, row: BarRow, j: int, terms: Terms, version: int) -> HistoricalBar:
        date = self.dates.bar(row.start, terms.size, terms.date_format, version, self.maker.zone)
        volume = self._volume(row.volume, j, version)
        return HistoricalBar(date, row.open, row.high, row.low, row.close, volume, row.average, row.count)

    def _volume(self, volume: float, j: int, version: int) -> float:
        return volume if version >= SHARES_SINCE or volume < 0.0 else volume // self.contracts.lot(j)

    def cancel_bars(self, client: Client, request: CancelHistoricalBars, now: int) -> None:
        """End updates. A request that was answered has ended by itself."""
        if self._kept.pop((client.number, request.request), None) is None:
            why = Refused(366, f"No historical data query found for ticker id:{request.request}")
        else:
            why = Refused(162, f"{SERVICE}API historical data query cancelled: {request.request}")
        self._refuse(client, request.request, why, now)

    def head(self, client: Client, request: HeadTimestamp, now: int) -> None:
        """When the earliest data of a contract is, of what has happened."""
        what = request.what.upper()
        j = self.contracts.one(request.contract)
        if isinstance(j, Refused):
            self._refuse(client, request.request, j, now)
            return
        first = self.maker.first(j, what, self._known(now)) if what in PRICES else None
        if first is None:
            text = f"{SERVICE}No head time stamp"
            self._refuse(client, request.request, Refused(162, text), now)
        else:
            client.send(HeadTimestampReply(request.request, head_text(first, request.date_format)))

    def cancel_head(self, client: Client, request: CancelHeadTimestamp, now: int) -> None:
        """It was answered already."""

    # -- bars as they end ---------------------------------------------------------------------------------------

    def subscribe(self, client: Client, request: RealTimeBars, now: int) -> None:
        """Bars of five seconds, each as it ends."""
        why = self._refusal(client, request)
        if isinstance(why, Refused):
            self._refuse(client, request.request, why, now)
            return
        live = _Live(client, request.request, why, request.what.upper(), request.regular_hours)
        self._live[client.number, request.request] = live

    def _refusal(self, client: Client, request: RealTimeBars) -> int | Refused:
        if request.what.upper() not in PRICES:
            return _WHAT
        if (client.number, request.request) in self._live:
            return Refused(322, "Error processing request.-'co' : cause - Duplicate ticker id")
        lines = sum(number == client.number for number, _ in self._live)
        if lines >= self.settings.limits.market_data_lines:
            return Refused(101, "Max number of tickers has been reached")
        j = self.contracts.one(request.contract)
        if isinstance(j, Refused):
            return j
        permission = self.settings.data.get(self.contracts.instruments[j].symbol, self.settings.permission)
        if permission is not DataPermission.LIVE:
            return Refused(420, f"Invalid Real-time Query:{self._no_permission(j)}")
        if not self.maker.has(j, request.what.upper()):
            return Refused(420, f"Invalid Real-time Query:{request.what.upper()} is not supported for this contract")
        return j

    def cancel(self, client: Client, request: CancelRealTimeBars, now: int) -> None:
        """End that."""
        if self._live.pop((client.number, request.request), None) is None:
            text = f"Can't find EId with tickerId:{request.request}"
            self._refuse(client, request.request, Refused(300, text), now)

    def drop(self, client: Client) -> None:
        """A connection has ended, and what it asked for with it."""
        self._pacing.pop(client.number, None)
        for key in [key for key in self._kept if key[0] == client.number]:
            del self._kept[key]
        for key in [key for key in self._live if key[0] == client.number]:
            del self._live[key]

    def second(self, now: int) -> None:
        """A full second of exchange time, with its events: every fifth ends bars."""
        if now % FIVE_NS:
            return
        known = self._known(now)
        ended: dict[tuple[int, str, bool], list[tuple[int, BarRow]]] = {}
        for live in self._live.values():
            key = (live.j, live.what, live.regular)
            if key not in ended:
                ended[key] = self._ended(*key, now, known)
            for start, row in ended[key]:
                client = live.client
                volume = self._volume(row.volume, live.j, client.version)
                client.send(
                    RealTimeBar(
                        live.request, start // NS_PER_S, row.open, row.high, row.low, row.close, volume, row.average,
                        row.count,
                    )
                )  # fmt: skip
        for kept in self._kept.values():
            self._update(kept, now, known)
        self._looked = known

    def _ended(self, j: int, what: str, regular: bool, now: int, known: int) -> list[tuple[int, BarRow]]:
        """Bars that end now, with the times that they are said to start at."""
        begin = now - FIVE_NS
        finest = self.market.view.finest(j)
        if what == "TRADES" and finest is not None and finest.kind >= EventKind.BAR:
            length = typical_length(finest)
            if length > FIVE_NS:
                rows = self.maker.rows(j, what, BarSize(length), begin - FIVE_NS - length, known, regular=regular)
                # A bar that ended in between, or was not known at the last look, comes now.
                return [(row.start, row) for row in rows if max(self._looked, begin - FIVE_NS) < row.end <= known]
        if regular and not self.maker.is_regular(begin):
            return []
        rows = [row for row in self.maker.rows(j, what, FIVE, begin, known, regular=False) if row.start < now]
        if rows:
            return [(begin, rows[-1])]
        flat = self._flat(j, what, begin, now)
        return [] if flat is None else [(begin, flat)]

    def _flat(self, j: int, what: str, begin: int, now: int) -> BarRow | None:
        """A bar without events: at the last price, if there was one in the day's session."""
        close = self.maker.last_close(j, what, self.maker.session_begin(1, now, regular=True), begin)
        if close is None:
            return None
        is_traded = what == "TRADES"
        return BarRow(
            begin, now, close, close, close, close, 0.0 if is_traded else -1.0, close if is_traded else -1.0,
            0 if is_traded else -1,
        )  # fmt: skip

    def _update(self, kept: _Kept, now: int, known: int) -> None:
        """Send the bars that began or changed since the last one that was sent."""
        terms, sent = kept.terms, kept.sent
        begin = first_bar(self.maker, terms, now) if sent is None or terms.size.span else sent.start
        rows = self.maker.rows(kept.j, terms.what, terms.size, begin, known, regular=terms.regular)
        for row in rows:
            if sent is not None and (row.start < sent.start or row == dataclasses.replace(sent, end=row.end)):
                continue
            kept.client.send(HistoricalDataUpdate(kept.request, self._bar(row, kept.j, terms, kept.client.version)))
            kept.sent = row


HANDLERS: Mapping[type, Callable[[HistoryDesk, Client, Any, int], None]] = {
    HistoricalBars: HistoryDesk.bars,
    CancelHistoricalBars: HistoryDesk.cancel_bars,
    HeadTimestamp: HistoryDesk.head,
    CancelHeadTimestamp: HistoryDesk.cancel_head,
    RealTimeBars: HistoryDesk.subscribe,
    CancelRealTimeBars: HistoryDesk.cancel,
}
