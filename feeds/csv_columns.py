"""What a file's header and name say: kind of data, meaning of each column, symbol, interval."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from feeds.csv_codes import CLOCK, DATE, NUMBER, SKIP, SYMBOL, TIME
from papertape.core.errors import DataError
from papertape.core.model import SYMBOL_PATTERN, EventKind
from papertape.core.series import COLUMNS

_TIME_NAMES = (
    "ts", "timestamp", "datetime", "date_time", "ts_event", "time_stamp", "timestamp_ns", "ts_ns", "sip_timestamp",
    "epoch", "unix", "unixtime",
)  # fmt: skip
_DATE_NAMES = ("date", "day", "trade_date")
_CLOCK_NAMES = ("time", "time_of_day", "trade_time")
_SYMBOL_NAMES = ("symbol", "ticker", "sym", "instrument")
ALIASES: Mapping[EventKind, Mapping[str, tuple[str, ...]]] = {
    EventKind.TRADE: {
        "price": ("price", "last", "last_price", "trade_price", "px"),
        "size": ("size", "qty", "quantity", "volume", "vol", "last_size", "trade_size", "shares"),
    },
    EventKind.QUOTE: {
        "bid": ("bid", "bid_price", "bidprice", "bid_px", "bid_px_00", "best_bid"),
        "ask": ("ask", "ask_price", "askprice", "ask_px", "ask_px_00", "best_ask", "offer"),
        "bid_size": ("bid_size", "bidsize", "bid_sz", "bid_sz_00", "bid_qty", "bid_quantity", "bid_volume"),
        "ask_size": ("ask_size", "asksize", "ask_sz", "ask_sz_00", "ask_qty", "ask_quantity", "ask_volume"),
    },
    EventKind.BAR: {
        "open": ("open", "o"),
        "high": ("high", "h"),
        "low": ("low", "l"),
        "close": ("close", "c", "last"),
        "volume": ("volume", "vol", "v", "size", "qty", "quantity"),
    },
}
"""Value column -> the names that are understood for it, by kind. docs/data-formats.md lists them for users."""
PRICES = {EventKind.TRADE: 1, EventKind.QUOTE: 2, EventKind.BAR: 4}
"""How many of a kind's value columns are prices; sizes follow."""
KIND_WORDS = {EventKind.TRADE: "trades", EventKind.QUOTE: "quotes", EventKind.BAR: "bars"}

_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_PACKED_ENDING = re.compile(r"\.(csv|txt|gz|zst|zip)$", re.IGNORECASE)
_TRAILING_WORD = re.compile(
    r"[_\- ]+(\d+ ?(?:s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?|d|days?)|daily|hourly|minute|second|eod|day"
    r"|trades?|quotes?|bars?|ticks?|ohlcv?|\d{4}-\d\d-\d\d|\d{8})$",
    re.IGNORECASE,
)
_INTERVAL_WORD = re.compile(r"(\d+) ?(s|m|h|d)", re.IGNORECASE)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_NAMED_INTERVALS_S = {"minute": 60, "hourly": 3600, "daily": 86_400, "eod": 86_400, "day": 86_400, "second": 1}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a header says. ``roles`` (of each column) are those of csv_parse; ``names`` are the columns as written."""

    kind: EventKind
    names: tuple[str, ...]
    roles: tuple[int, ...]
    ignored: tuple[str, ...]

    @property
    def has_symbols(self) -> bool:
        """Whether each row names its symbol."""
        return SYMBOL in self.roles

    @property
    def field_of(self) -> tuple[int, ...]:
        """Which column of the file each value column is."""
        return tuple(self.roles.index(NUMBER + j) for j in range(len(COLUMNS[self.kind])))


def split_fields(line: str, delimiter: str) -> list[str]:
    """The fields of one line, without blanks and quotes around them."""
    fields: list[str] = []
    at = 0
    while True:
        if line[at : at + 1] == '"':
            end = line.find('"', at + 1)
            end = len(line) if end < 0 else end
            stop = line.find(delimiter, end)
        else:
            stop = line.find(delimiter, at)
        stop = len(line) if stop < 0 else stop
        fields.append(line[at:stop].strip().strip('"').strip())
        if stop >= len(line):
            return fields
        at = stop + 1


def _canonical(name: str) -> str:
    return re.sub(r"[\s.\-]+", "_", name.strip().strip("<>").lower())


def read_header(line: str, delimiter: str, *, path: str, line_number: int) -> Layout:
    """What a header line says. Raises DataError where it is none, or a column is missing or there twice."""

    def refusal(what: str) -> DataError:
        return DataError(what, path=path, line=line_number)

    written = split_fields(line, delimiter)
    names = [_canonical(name) for name in written]
    known = {alias for columns in ALIASES.values() for aliases in columns.values() for alias in aliases}
    known.update(_TIME_NAMES, _DATE_NAMES, _CLOCK_NAMES, _SYMBOL_NAMES)
    if line.lstrip().startswith("#"):
        raise refusal("a comment line where the header should be; remove it")
    if not known.intersection(names):
        if any(re.match(r"[+-]?\.?\d", name) for name in names):
            raise refusal("no header: the first line is data; put a line with the column names above it")
        for other, option in ((";", ";"), ("\t", "tab"), ("|", "|"), (",", ",")):
            if other != delimiter and len(line.split(other)) > 2:
                raise refusal(f'the columns are not separated by "{delimiter}"; pass --delimiter "{option}"')
        raise refusal("not a header of trades (ts, price, size), quotes or bars; name the columns")
    kind = _kind_of(set(names), refusal)
    roles = [SKIP] * len(names)
    taken: dict[str, str] = {}

    def assign(meaning: str, role: int, aliases: tuple[str, ...]) -> bool:
        for position, name in enumerate(names):
            if name in aliases:
                if meaning in taken:
                    twice = f'column "{written[position]}" is there twice'
                    both = f'"{taken[meaning]}" and "{written[position]}" both mean {meaning}'
                    raise refusal(f"{twice if taken[meaning] == written[position] else both}; keep one of them")
                taken[meaning] = written[position]
                roles[position] = role
        return meaning in taken

    missing = [
        column for j, column in enumerate(COLUMNS[kind]) if not assign(column, NUMBER + j, ALIASES[kind][column])
    ]
    assign("symbol", SYMBOL, _SYMBOL_NAMES)
    if set(_DATE_NAMES) & set(names) and set(_CLOCK_NAMES) & set(names) and not set(_TIME_NAMES) & set(names):
        assign("date", DATE, _DATE_NAMES)
        assign("time of day", CLOCK, _CLOCK_NAMES)
    elif not assign("time", TIME, _TIME_NAMES + _DATE_NAMES + _CLOCK_NAMES):
        missing.insert(0, "ts")
    if missing:
        needed = ", ".join(("ts", *COLUMNS[kind]))
        raise refusal(f'no column "{missing[0]}"; {KIND_WORDS[kind]} need {needed}')
    ignored = tuple(name for name, role in zip(written, roles, strict=True) if role == SKIP)
    return Layout(kind, tuple(written), tuple(roles), ignored)


def _kind_of(names: set[str], refusal: Callable[[str], DataError]) -> EventKind:
    """Which kind of data the columns are."""

    def has(kind: EventKind, column: str) -> bool:
        return bool(names.intersection(ALIASES[kind][column]))

    if sum(has(EventKind.BAR, column) for column in ("open", "high", "low")) >= 2:
        return EventKind.BAR
    quotes = has(EventKind.QUOTE, "bid") or has(EventKind.QUOTE, "ask")
    if quotes and has(EventKind.TRADE, "price"):
        raise refusal("has columns of both trades and quotes; make a file of each")
    return EventKind.QUOTE if quotes else EventKind.TRADE


def symbol_of_name(name: str) -> tuple[str, float | None]:
    """The symbol that a file name stands for, and the interval (s) that it tells of, if any."""
    stem = name
    while ending := _PACKED_ENDING.search(stem):
        stem = stem[: ending.start()]
    interval_s = None
    while (word := _TRAILING_WORD.search(stem)) and word.start() > 0:
        text = word[1].lower()
        if measured := _INTERVAL_WORD.match(text):
            interval_s = float(int(measured[1]) * _UNIT_S[measured[2].lower()])
        interval_s = _NAMED_INTERVALS_S.get(text, interval_s)
        stem = stem[: word.start()]
    return stem.upper(), interval_s


def symbol_fault(symbol: str) -> str | None:
    """Why a text may not be a symbol, None where it may (docs/data-formats.md, "Symbols")."""
    if not SYMBOL_PATTERN.fullmatch(symbol):
        return "is not a symbol: up to 32 of A-Z a-z 0-9 . _ / : - and blank"
    if symbol != symbol.strip():
        return "is not a symbol: it has a blank at an end"
    if ".." in symbol or symbol.startswith(("/", "-")):
        return "is not a symbol: it is a path or a formula"
    if _DEVICE.fullmatch(symbol):
        return "is not a symbol: it is the name of a device"
    return None
