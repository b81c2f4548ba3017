"""Market events of a live session as a tape that a backtest can play: what ``papertape record`` and ``--record`` write.

    DIR/tape.json           what the files mean
    DIR/instruments.csv     as TWS defines them
    DIR/trades/DATE.csv     ts,symbol,price,size,exchange_ts,source,seq
    DIR/quotes/DATE.csv     ts,symbol,bid,ask,bid_size,ask_size,seq
    DIR/bars/DATE_60s.csv   ts,symbol,open,high,low,close,volume,received_ts,seq
    DIR/scans.csv           as docs/data-formats.md has it
    DIR/recording.jsonl     when it began and ended, which data were delayed, what was lost

A file holds one exchange day and all symbols, so that their order is kept. ``ts`` of trades and quotes is when they were
received, which is the time that the live session knew them at; ``exchange_ts`` is the exchange's own. ``ts`` of a bar is
its end. Columns that a backtest does not need are passed over when the tape is read; ``seq`` makes every row unlike the
one before it, since two equal prints are two.

Lines are written whole, at least once a second; nothing but appending ever touches them. After a crash a file may end
in the middle of a line: a reader refuses that line, and whoever records on in the folder cuts it off.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

from brokers.ib.events import (
    Answered,
    BarClosed,
    DataChanged,
    DataKind,
    Event,
    InstrumentKnown,
    LinkChanged,
    PastBars,
    QuoteTick,
    TradeTick,
)
from brokers.ib.registry import Registry
from feeds.record_file import RecordFile
from feeds.reference import INSTRUMENTS_FILE, read_instruments
from feeds.tape_writer import MANIFEST, Manifest, read_manifest, write_file, write_manifest
from papertape.core.errors import DataError, UserError
from papertape.core.model import NS_PER_S, EventKind, Instrument, Scan
from papertape.core.requests import ScanRequest
from papertape.file_lock import try_lock

TRADES_HEADER = "ts,symbol,price,size,exchange_ts,source,seq"
QUOTES_HEADER = "ts,symbol,bid,ask,bid_size,ask_size,seq"
BARS_HEADER = "ts,symbol,open,high,low,close,volume,received_ts,seq"
SCANS_HEADER = "ts_recv,scan_id,scan_code,location,rank,con_id,symbol,exchange,currency"
INSTRUMENTS_HEADER = "symbol,type,currency,con_id,exchange,tick_size,multiplier,market_cap,average_volume,tradable"
SCANS_FILE = "scans.csv"
LOG_FILE = "recording.jsonl"
LOCK_FILE = ".recording.lock"
OPEN_FILES_MAX = 24
"""Files that are kept open; warm-up bars may be of many days."""
_BAR_FILE = re.compile(r"\d{4}-\d\d-\d\d_(\d+)s\.csv")
_QUOTE, _TRADE = int(EventKind.QUOTE), int(EventKind.TRADE)


class Recorder:
    """Writes market events to a folder. For one thread; :class:`feeds.record_thread.RecordThread` is for those who trade.

    ``registry`` names the instruments of the events. ``origin`` says where they come from. Times of the log are
    ``clock``'s (UTC ns).
    """

    def __init__(
        self,
        folder: Path,
        registry: Registry,
        *,
        zone: str = "America/New_York",
        calendar: str = "XNYS",
        synthetic: bool = False,
        origin: str = "",
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Open a folder, new or of an earlier recording. Raises DataError or UserError where that can not be."""
        self.folder = folder
        self.counts: Counter[str] = Counter()
        """What was written: trades, quotes, bars, scans; and what could not be: see :meth:`faults`."""
        self._registry = registry
        self._zone = ZoneInfo(zone)
        self._clock = clock
        self._files: dict[str, RecordFile] = {}
        self._open: dict[str, None] = {}
        self._sources: dict[int, str] = {}
        self._bar_ends: dict[tuple[str, str], int] = {}
        self._received = self._last_ts = self._last_kind = 0
        self._day_end = 0
        self._day = ""
        self._scan_id = 0
        self._instruments_changed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / LOCK_FILE).open("ab")
        except OSError as error:
            raise DataError(f"cannot be written ({error.strerror})", path=str(folder)) from None
        if not try_lock(self._lock):
            self._lock.close()
            raise UserError(f"{folder} is being recorded to by another process; name another folder")
        try:
            self._begin(Manifest("close", zone=zone, calendar=calendar, synthetic=synthetic), origin)
        except BaseException:
            self._lock.close()
            raise

    def _begin(self, manifest: Manifest, origin: str) -> None:
        known = read_manifest(self.folder)
        if known is None:
            if any(self.folder.rglob("*.csv")):
                raise DataError("holds CSV files that are no recording; name a new folder", path=str(self.folder))
            write_manifest(self.folder, manifest)
        elif not (self.folder / LOG_FILE).is_file() or (known.bar_stamp, known.zone, known.synthetic) != (
            "close",
            manifest.zone,
            manifest.synthetic,
        ):
            raise DataError("is another kind of tape; name a new folder", path=str(self.folder / MANIFEST))
        path = self.folder / INSTRUMENTS_FILE
        self._instruments = dict(read_instruments(path)[0]) if path.is_file() else {}
        self._bar_interval = next(
            (int(found[1]) for each in self.folder.glob("bars/*.csv") if (found := _BAR_FILE.fullmatch(each.name))), 0
        )
        self._log("started", origin=origin)

    # -- what happens ----------------------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """Record an event; those that are no market data are passed over."""
        take = _TAKERS.get(type(event))
        if take is not None:
            take(self, event)

    def _trade(self, event: TradeTick) -> None:
        if not math.isfinite(event.price):
            self.counts["unusable"] += 1
            return
        symbol = self._symbol(event.instrument)
        ts = self._time(event.received_ts, _TRADE)
        file = self._file(f"trades/{self._day_of(ts)}.csv", TRADES_HEADER)
        source = self._sources.get(event.instrument, "")
        file.add(f"{ts},{symbol},{_number(event.price)},{_size(event.size)},{event.exchange_ts},{source},{file.rows}\n")
        self.counts["trades"] += 1

    def _quote(self, event: QuoteTick) -> None:
        has_bid, has_ask = math.isfinite(event.bid), math.isfinite(event.ask)
        if not has_bid and not has_ask:  # a row without either side is none for those who read it
            self.counts["unusable"] += 1
            return
        symbol = self._symbol(event.instrument)
        ts = self._time(event.received_ts, _QUOTE)
        file = self._file(f"quotes/{self._day_of(ts)}.csv", QUOTES_HEADER)
        bid, bid_size = (_number(event.bid), _size(event.bid_size)) if has_bid else ("", "")
        ask, ask_size = (_number(event.ask), _size(event.ask_size)) if has_ask else ("", "")
        file.add(f"{ts},{symbol},{bid},{ask},{bid_size},{ask_size},{file.rows}\n")
        self.counts["quotes"] += 1

    def _bar(self, event: BarClosed) -> None:
        prices = (event.open, event.high, event.low, event.close)
        seconds, rest = divmod(event.interval_ns, NS_PER_S)
        if rest or not seconds or not all(map(math.isfinite, prices)):
            self.counts["unusable"] += 1
            return
        symbol = self._symbol(event.instrument)
        self._bar_interval = self._bar_interval or seconds
        # Bars of one symbol in two intervals can not be one tape: a folder's .txt are read only when they are named.
        ending = "csv" if seconds == self._bar_interval else "txt"
        name = f"bars/{self._local_day(event.ts)}_{seconds}s.{ending}"
        file = self._file(name, BARS_HEADER)
        if event.ts <= self._bar_ends.get((name, symbol), 0):
            self.counts["bars known already"] += 1  # warm-up of a day that was recorded before
            return
        self._bar_ends[name, symbol] = event.ts
        columns = ",".join(map(_number, prices))
        file.add(f"{event.ts},{symbol},{columns},{_size(event.volume)},{event.received_ts},{file.rows}\n")
        self.counts["bars"] += 1

    def _past_bars(self, event: PastBars) -> None:
        for bar in event.bars:
            self._bar(bar)

    def _answered(self, event: Answered) -> None:
        if isinstance(event.reply.request, ScanRequest) and isinstance(event.reply.value, Scan):
            self.take_scan(event.reply.value, event.reply.request.spec.location)

    def take_scan(self, scan: Scan, location: str = "") -> None:
        """Record an evaluation of a scan, one without results too."""
        file = self._file(SCANS_FILE, SCANS_HEADER)
        self._scan_id += 1
        head = f"{scan.ts},{self._scan_id},{scan.code},{location}"
        rows = [f"{row.rank},{row.con_id},{row.symbol},{row.exchange},{row.currency}" for row in scan.rows] or [",,,,"]
        for row in rows:
            file.add(f"{head},{row}\n")
        self.counts["scans"] += 1

    def _known(self, event: InstrumentKnown) -> None:
        given = self._registry.instruments[event.instrument]
        before = self._instruments.get(given.symbol, given)
        if event.failure:
            return
        self._note_instrument(
            Instrument(
                symbol=given.symbol,
                type=given.type,
                currency=event.currency or given.currency,
                con_id=event.con_id,
                exchange=event.exchange or given.exchange,
                tick_size=event.min_tick if event.min_tick > 0.0 else given.tick_size,
                multiplier=event.multiplier if event.multiplier > 0.0 else given.multiplier,
                market_cap=given.market_cap if given.market_cap is not None else before.market_cap,
                average_volume=given.average_volume if given.average_volume is not None else before.average_volume,
                tradable=given.tradable,
            )
        )

    def _data_changed(self, event: DataChanged) -> None:
        delayed = "" if event.kind in (DataKind.LIVE, DataKind.UNKNOWN) else f"/{event.kind.value}"
        self._sources[event.instrument] = f"{event.source.value}{delayed}"
        symbol = self._registry.symbols[event.instrument]
        self._log("data", symbol=symbol, kind=event.kind.value, source=event.source.value, text=event.text)

    def _link_changed(self, event: LinkChanged) -> None:
        self._log("link", state=event.state.value, text=event.text)

    # -- names and times -------------------------------------------------------------------------------------------

    def _symbol(self, instrument: int) -> str:
        symbol = self._registry.symbols[instrument]
        if symbol not in self._instruments:
            self._note_instrument(self._registry.instruments[instrument])
        return symbol

    def _note_instrument(self, instrument: Instrument) -> None:
        if self._instruments.get(instrument.symbol) != instrument:
            self._instruments[instrument.symbol] = instrument
            self._instruments_changed = True

    def _time(self, ts: int, kind: int) -> int:
        """The time to write: never before the one ahead, and later by 1 ns where equal times would change the order.

        At one time a tape plays quotes before trades; a broker's may come the other way round in one packet.
        """
        if ts < self._received:
            self.counts["times that went back"] += 1
        self._received = max(ts, self._received)
        ts = max(ts, self._last_ts)
        if ts == self._last_ts and kind < self._last_kind:
            ts += 1
        self._last_ts, self._last_kind = ts, kind
        return ts

    def _day_of(self, ts: int) -> str:
        """The exchange's date of a time that never falls."""
        if ts >= self._day_end:
            local = dt.datetime.fromtimestamp(ts // NS_PER_S, self._zone)
            midnight = dt.datetime.combine(local.date() + dt.timedelta(days=1), dt.time(), self._zone)
            self._day, self._day_end = local.date().isoformat(), int(midnight.timestamp()) * NS_PER_S
        return self._day

    def _local_day(self, ts: int) -> str:
        """The exchange's date of any time; a bar that ends at midnight is of the day that ends there."""
        return dt.datetime.fromtimestamp((ts - 1) // NS_PER_S, self._zone).date().isoformat()

    # -- files -----------------------------------------------------------------------------------------------------

    def _file(self, name: str, header: str) -> RecordFile:
        """The file of that name, opened at its end."""
        file = self._files.get(name)
        if file is not None:
            return file
        if len(self._files) >= OPEN_FILES_MAX:
            self._close_file(next(iter(self._files)))
        file = RecordFile(self.folder / name, header)
        if file.cut_bytes:
            self._log("mended", file=name, cut_bytes=file.cut_bytes)
        if name == SCANS_FILE:
            self._scan_id = max((int(row[1]) for row in file.read_rows() if row[1].isdigit()), default=0)
        elif header is BARS_HEADER:
            for row in file.read_rows():
                self._bar_ends[name, row[1]] = max(int(row[0]), self._bar_ends.get((name, row[1]), 0))
        elif file.last_row:
            last = int(file.last_row[0])
            if last > self._last_ts:
                self._last_ts, self._last_kind = last, _TRADE
        self._files[name] = file
        return file

    def _close_file(self, name: str) -> None:
        file = self._files.pop(name)
        file.close()
        self.counts["rows lost"] += file.lost_rows
        self.counts["failed writes"] += file.failed_writes
        for key in [key for key in self._bar_ends if key[0] == name]:
            del self._bar_ends[key]

    def flush(self) -> None:
        """Hand everything to the system: from then on it outlives this process. What a full disk refuses is kept."""
        for file in self._files.values():
            file.flush()
        if self._instruments_changed:
            try:
                write_file(self.folder / INSTRUMENTS_FILE, _instruments_text(self._instruments.values()).encode())
                self._instruments_changed = False
            except OSError:
                self.counts["failed writes"] += 1
        today = f"/{self._day}"
        for name in [name for name in self._files if "/" in name and self._day and today not in name]:
            self._close_file(name)

    def faults(self) -> dict[str, int]:
        """What was not recorded as it came: reason -> how often."""
        found = Counter({name: count for name, count in self.counts.items() if name not in WRITTEN})
        for file in self._files.values():
            found["rows lost"] += file.lost_rows
            found["failed writes"] += file.failed_writes
        return {name: count for name, count in found.items() if count}

    def note(self, what: str, **details: Any) -> None:
        """Write a line into the recording's own log."""
        self._log(what, **details)

    def _log(self, what: str, **details: Any) -> None:
        line = json.dumps({"ts": self._clock(), "what": what, **details}) + "\n"
        try:
            with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            self.counts["failed writes"] += 1

    def close(self) -> None:
        """End the recording in order."""
        self.flush()
        for name in list(self._files):
            self._close_file(name)
        self._log("ended", **{name: count for name, count in self.counts.items() if count})
        self._lock.close()

    def __enter__(self) -> Self:
        """It is open already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


WRITTEN = ("trades", "quotes", "bars", "scans")

_TAKERS: dict[type, Callable[[Recorder, Any], None]] = {
    TradeTick: Recorder._trade,
    QuoteTick: Recorder._quote,
    BarClosed: Recorder._bar,
    PastBars: Recorder._past_bars,
    Answered: Recorder._answered,
    InstrumentKnown: Recorder._known,
    DataChanged: Recorder._data_changed,
    LinkChanged: Recorder._link_changed,
}


def _number(value: float) -> str:
    """A number that is read back as the very same."""
    text = repr(float(value))
    return text.removesuffix(".0")


def _size(value: float) -> str:
    """A size; one that is not known, or not meant (-1 of bars without volume), is written as 0, which readers need."""
    return _number(value) if math.isfinite(value) and value > 0.0 else "0"


def _instruments_text(instruments: Iterable[Instrument]) -> str:
    rows = [
        f"{each.symbol},{each.type.value},{each.currency},{each.con_id or ''},{each.exchange},{_number(each.tick_size)},"
        f"{_number(each.multiplier)},{_optional(each.market_cap)},{_optional(each.average_volume)},"
        f"{'true' if each.tradable else 'false'}"
        for each in sorted(instruments, key=lambda each: each.symbol)
    ]
    return "\n".join([INSTRUMENTS_HEADER, *rows, ""])


def _optional(value: float | None) -> str:
    return "" if value is None else _number(value)
