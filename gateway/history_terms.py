"""What a request for historical bars says, read and checked as TWS does: sizes, durations, dates, texts of refusals."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.bars import PRICES, BarMaker, BarSize, sizes
from gateway.contracts import Refused, invalid
from gateway.protocol.requests import HistoricalBars
from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S

SIZES: Mapping[str, BarSize] = dict(sizes())
_ALSO: Mapping[str, str] = {"1 week": "1W", "1 month": "1M", "1w": "1W", "1m": "1M"}
OTHER_PRICES = frozenset(
    {
        "BID_ASK", "ADJUSTED_LAST", "HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY", "REBATE_RATE", "FEE_RATE",
        "YIELD_BID", "YIELD_ASK", "YIELD_BID_ASK", "YIELD_LAST", "SCHEDULE", "AGGTRADES",
    }
)  # fmt: skip
"""What TWS can show beside ``gateway.bars.PRICES``; of these a tape has nothing."""
SERVICE = "Historical Market Data Service error message:"
ZONE_SINCE = 174
"""First server version whose dates name their zone (``MIN_SERVER_VER_INSTRUMENT_TIMEZONE`` of the public clients)."""
BARS_MAX = 100_000
"""Most bars that one request may span."""

_DURATION = re.compile(r"(\d+) ([SDWMY])")
_MOST: Mapping[str, tuple[int, str]] = {
    "S": (86_400, "Historical data request for greater than 86400 seconds rejected."),
    "D": (365, "Historical data requests for durations longer than 365 days must be made in years."),
    "W": (52, "Historical data request for durations longer than 52 weeks must be made in years."),
    "M": (12, "Historical data request for durations longer than 12 months must be made in years."),
    "Y": (100, "Historical data requested duration is invalid."),
}
_END = re.compile(r"(?:(\d{8})(?: +|(-)))?(\d{1,2}):(\d{2}):(\d{2})(?: +(\S.*))?")
_END_TEXT = (
    "End Date/Time: The date, time, or time-zone entered is invalid.\n"
    "The correct format is yyyymmdd hh:mm:ss xx/xxxx\n"
    "where yyyymmdd and xx/xxxx are optional.\n"
    "E.g.: 20031126 15:59:00 US/Eastern\n\n"
    "Note that there is a space between the date and time, and between the time and time-zone.\n\n"
    "If no date is specified, current date is assumed.\n"
    "If no time-zone is specified, local time-zone is assumed(deprecated).\n\n"
    "You can also provide yyyymmddd-hh:mm:ss time is in UTC.\n"
    "Note that there is a dash between the date and time in UTC notation."
)


@dataclass(frozen=True, slots=True)
class Span:
    """A duration: ``count`` of a unit (S, D, W, M or Y)."""

    count: int
    unit: str


@dataclass(frozen=True, slots=True)
class Terms:
    """A request that is well-formed. ``end`` is UTC ns, or None for now."""

    what: str
    size: BarSize
    span: Span
    end: int | None
    regular: bool
    date_format: int


def read_terms(request: HistoricalBars, now: int, zone: ZoneInfo) -> Terms | Refused:
    """The terms of a request, or what TWS says of it; ``zone`` is where times that name none are in."""
    end = read_end(request.end, now, zone)
    if isinstance(end, Refused):
        return end
    span = read_span(request.duration)
    if isinstance(span, Refused):
        return span
    size = SIZES.get(_ALSO.get(request.bar_size.strip().lower(), request.bar_size.strip()))
    if size is None:
        return invalid(f"Historical data bar size setting is invalid. Legal ones are: {', '.join(SIZES)}")
    what = request.what.upper()
    if what not in PRICES and what not in OTHER_PRICES:
        return invalid("What to show field is missing or incorrect.")
    if request.date_format not in (1, 2, 3):
        return invalid(f"Date formatting selection of {request.date_format} rejected.")
    if request.keep_up_to_date:
        if end is not None:
            return invalid("End date not supported with live updates")
        if what not in PRICES:
            return invalid("Source price not supported with live updates")
        if size.ns < 5 * NS_PER_S:
            return invalid("Bar size is not supported with live updates")
    return Terms(what, size, span, end, request.regular_hours, request.date_format)


def read_span(text: str) -> Span | Refused:
    """A duration as clients write it; a number alone is seconds."""
    text = text.strip()
    if not text:
        return invalid("Historical data request duration not specified.")
    parts = _DURATION.fullmatch(f"{text} S" if text.isdigit() else text.upper())
    if parts is None:
        return invalid(
            "When specifying a unit, historical data request duration format is integer{SPACE}unit (S|D|W|M|Y)."
        )
    count, unit = int(parts[1][:9]), parts[2]
    most, refusal = _MOST[unit]
    if count < (30 if unit == "S" else 1):
        return invalid("Historical data requested duration is invalid.")
    return invalid(refusal) if count > most else Span(count, unit)


def read_end(text: str, now: int, zone: ZoneInfo) -> int | Refused | None:
    """An end as UTC ns; None where it is now."""
    text = text.strip()
    if not text:
        return None
    parts = _END.fullmatch(text)
    if parts is None:
        return Refused(10314, _END_TEXT)
    date, dash, hour, minute, second, named = parts.groups()
    try:
        where: dt.tzinfo = dt.UTC if dash else ZoneInfo(named) if named else zone
        day = dt.datetime.fromtimestamp(now // NS_PER_S, where).date()
        if date:
            day = dt.date(int(date[:4]), int(date[4:6]), int(date[6:]))
        at = dt.datetime.combine(day, dt.time(int(hour), int(minute), int(second)), where)
        return int(at.timestamp()) * NS_PER_S
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):
        return Refused(10314, _END_TEXT)


def earlier(end: int, span: Span, zone: dt.tzinfo) -> int:
    """The time a calendar span before ``end`` (both UTC ns), by the clock of ``zone``."""
    if span.unit == "S":
        return end - span.count * NS_PER_S
    at = dt.datetime.fromtimestamp(end // NS_PER_S, zone)
    if span.unit in "DW":
        day = at.date() - dt.timedelta(days=span.count * (7 if span.unit == "W" else 1))
    else:
        months = at.year * 12 + at.month - 1 - span.count * (12 if span.unit == "Y" else 1)
        day = _clipped(months // 12, months % 12 + 1, at.day)
    return int(dt.datetime.combine(day, at.time(), zone).timestamp()) * NS_PER_S + end % NS_PER_S


def _clipped(year: int, month: int, day: int) -> dt.date:
    """A day, or the last one of its month."""
    following = dt.date(year + month // 12, month % 12 + 1, 1)
    return min(dt.date(year, month, 1) + dt.timedelta(days=day - 1), following - dt.timedelta(days=1))


def first_bar(maker: BarMaker, terms: Terms, end: int) -> int:
    """The time at or after which bars of a request start: of a span in days, the first of as many sessions."""
    if terms.span.unit == "D":
        return maker.session_begin(terms.span.count, end, regular=terms.regular)
    return earlier(end, terms.span, maker.zone)


class Dates:
    """Dates as TWS writes them, by server version and the format that was asked for; ``zone`` is TWS's own.

    Days are dates in every format. From version 174 on times name their zone; before, two spaces divide date and time.
    """

    def __init__(self, zone: str) -> None:
        self.name = zone
        try:
            self.zone = ZoneInfo(zone)
        except (ValueError, ZoneInfoNotFoundError):
            raise ConfigError(f'there is no time zone "{zone[:40]}"; name one as US/Eastern') from None

    def time(self, ts: int, version: int) -> str:
        """A time (UTC ns) in TWS's zone."""
        at = dt.datetime.fromtimestamp(ts // NS_PER_S, self.zone)
        return f"{at:%Y%m%d %H:%M:%S} {self.name}" if version >= ZONE_SINCE else f"{at:%Y%m%d  %H:%M:%S}"

    def bar(self, start: int, size: BarSize, date_format: int, version: int, exchange_zone: dt.tzinfo) -> str:
        """When a bar starts; a bar of a day or more is dated by the exchange's day."""
        if not size.is_intraday:
            return f"{dt.datetime.fromtimestamp(start // NS_PER_S, exchange_zone):%Y%m%d}"
        if date_format == 2:
            return str(start // NS_PER_S)
        text = self.time(start, version)
        return text[4:] if date_format == 3 else text


def head_text(ts: int, date_format: int) -> str:
    """A head timestamp: UTC with a dash, or seconds."""
    if date_format == 2:
        return str(ts // NS_PER_S)
    return f"{dt.datetime.fromtimestamp(ts // NS_PER_S, dt.UTC):%Y%m%d-%H:%M:%S}"
