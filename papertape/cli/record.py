"""``papertape record``: a live market as a tape that a backtest can play."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from papertape.cli.gateway_option import DEFAULT, ClientId, Gateway, Peer
from papertape.core.errors import ConfigError

if TYPE_CHECKING:
    from brokers.ib.events import Event
    from feeds.record_thread import RecordThread
    from feeds.recorder import Recorder
    from papertape.core.model import ScanSpec
    from papertape.live.data_link import DataLink

SCAN_PREFIX = "scan:"
SUMMARY_EVERY_S = 60.0
SHOWN_SYMBOLS = 12
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")

What = Annotated[
    list[str],
    typer.Argument(
        metavar="SYMBOL...|SCAN [FILTER=VALUE]...",
        help="Symbols as AAPL,MSFT; or a scan's code as MOST_ACTIVE (or scan:HALTED): what it finds is recorded.",
    ),
]


def record(
    what: What,
    out: Annotated[str, typer.Option(metavar="DIR", help="New, or an earlier recording to go on with.")],
    rows: Annotated[int, typer.Option(metavar="N", help="How many results of a scan to record.")] = 10,
    bars: Annotated[str | None, typer.Option(metavar="5s,1m", help="Bars to record, too.")] = None,
    for_: Annotated[str | None, typer.Option("--duration", metavar="T", help="As 30s, 10m or 6h.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Exchange time, as 16:00.")] = None,
    rt_volume: Annotated[
        bool, typer.Option("--rt-volume", help="All trades from RTVolume; else tick by tick as far as TWS allows.")
    ] = False,
    gateway: Gateway = DEFAULT,
    client_id: ClientId = 103,
) -> int:
    """Record trades, quotes, bars and scans as they come, to be played by papertape backtest --data DIR.

    Times are those at which data were received, the exchange's own beside them. What is in the files outlives a crash.
    Ends with Ctrl-C, or when the time has come.
    """
    from papertape.cli.gateway_option import chosen_gateway

    wanted = _wanted(what, rows, bars, for_, until)
    with chosen_gateway(gateway) as peer:
        return _record(wanted, Path(out), peer, client_id, tick_lines=0 if rt_volume else 3)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be recorded, and how long: ``length_s`` of wall time, or to ``until``, an exchange's time of day."""

    symbols: tuple[str, ...]
    scan: ScanSpec | None
    rows: int
    bars_ns: tuple[int, ...]
    length_s: float | None
    until: dt.time | None


def _wanted(what: Sequence[str], rows: int, bars: str | None, for_: str | None, until: str | None) -> Wanted:
    """What the arguments mean. Raises ConfigError."""
    from feeds.csv_columns import symbol_fault
    from papertape.cli.scan import ROWS_MAX, scan_spec_of

    words = [word for text in what for word in text.split(",") if word]
    codes = [word for word in words if word.startswith(SCAN_PREFIX) or (word.isupper() and "_" in word)]
    filters = [word for word in words if "=" in word]
    symbols = tuple(dict.fromkeys(word for word in words if word not in codes and word not in filters))
    if not words or (filters and not codes) or len(codes) > 1 or (codes and symbols):
        raise ConfigError("symbols as AAPL,MSFT are needed, or one scan as MOST_ACTIVE with its filters")
    for symbol in symbols:
        if fault := symbol_fault(symbol):
            raise ConfigError(f'"{symbol}" {fault}')
    if not 1 <= rows <= ROWS_MAX:
        raise ConfigError(f"--rows {rows}: 1 to {ROWS_MAX} are needed; TWS gives no more")
    if for_ is not None and until is not None:
        raise ConfigError("--duration and --until: one of them")
    spec = scan_spec_of(codes[0].removeprefix(SCAN_PREFIX), filters, "STK.US.MAJOR") if codes else None
    length_s = None if for_ is None else _nanoseconds("duration", for_) / 1e9
    return Wanted(symbols, spec, rows, _bars(bars), length_s, None if until is None else _time_of_day(until))


def _nanoseconds(name: str, text: str) -> int:
    from papertape.core.requests import duration

    found = duration(text)
    if not found.ns:
        raise ConfigError(f'--{name} "{text}": seconds, minutes or hours are needed, as 30s, 10m or 6h')
    return found.ns


def _bars(text: str | None) -> tuple[int, ...]:
    found = () if text is None else tuple(_nanoseconds("bars", part) for part in text.split(",") if part.strip())
    if any(ns % 1_000_000_000 for ns in found):
        raise ConfigError(f'--bars "{text}": whole seconds are needed, as 5s or 1m')
    return tuple(dict.fromkeys(found))


def _time_of_day(text: str) -> dt.time:
    match = _CLOCK.fullmatch(text.strip())
    try:
        hour, minute, second = (int(part or 0) for part in match.groups()) if match else (24, 0, 0)
        return dt.time(hour, minute, second)
    except ValueError:
        raise ConfigError(f'--until "{text}": an exchange time is needed, as 16:00') from None


# -- recording -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Stop:
    """Whether somebody wants it to end."""

    asked: threading.Event = field(default_factory=threading.Event)
    before: dict[signal.Signals, Any] = field(default_factory=dict)

    def __call__(self, number: int, frame: Any) -> None:
        self.asked.set()
        for each, handler in self.before.items():  # a second time ends it at once, as while TWS does not answer
            signal.signal(each, handler)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and a termination set, so that a recording ends in order."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop.asked
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        stop.before[number] = signal.signal(number, stop)
    try:
        yield stop.asked
    finally:
        for number, handler in stop.before.items():
            signal.signal(number, handler)


def _record(wanted: Wanted, folder: Path, peer: Peer, client_id: int, *, tick_lines: int) -> int:
    """Connect, record until the time has come, and say what there is."""
    from feeds.record_thread import RecordThread
    from feeds.recorder import Recorder
    from papertape.cli.text import clean, emit
    from papertape.live.data_link import DataLink

    emit(f"recording from {clean(peer)} to {clean(folder)}")
    link = DataLink(peer.address, client_id, tick_lines=tick_lines)
    recorder = Recorder(
        folder, link.registry, zone=link.calendar.zone, calendar=link.calendar.name, synthetic=peer.is_simulated,
        origin=str(peer.address),
    )  # fmt: skip
    thread = RecordThread(recorder)
    link.observe = thread.put
    try:
        with _stopped_by_signals() as stop:
            link.open()
            symbols = _follow(wanted, link)
            emit(f"following {_listed(symbols)}; Ctrl-C ends it")
            _go_on(wanted, link, thread, recorder, stop)
    finally:
        link.close()
        said = thread.close()
    emit(_counts(recorder))
    for text in said:
        emit(clean(text), to_stderr=True)
    if recorder.counts["trades"] + recorder.counts["quotes"] + recorder.counts["bars"]:
        emit(f"try: papertape backtest STRATEGY --data {clean(folder)}")
    return 2 if thread.failure else 0


def _follow(wanted: Wanted, link: DataLink) -> list[str]:
    """Have TWS define and deliver what is wanted; the symbols."""
    from papertape.cli.text import clean, emit
    from papertape.core.requests import ScanRequest

    symbols: Sequence[str] = wanted.symbols
    if wanted.scan is not None:
        reply, _ = link.ask(ScanRequest(wanted.scan, wanted.rows))
        symbols = reply.value.symbols
        if reply.value.note:
            emit(clean(reply.value.note), to_stderr=True)
        if not symbols:
            raise ConfigError(f"the scan {wanted.scan.code} found nothing to record; name symbols, or other filters")
    now = link.clock.now()
    for j in link.define(symbols):
        link.ib.market.watch(j, now)
        for interval_ns in wanted.bars_ns:
            link.ib.market.watch_bars(j, interval_ns, 0, now)
    return list(symbols)


def _go_on(wanted: Wanted, link: DataLink, thread: RecordThread, recorder: Recorder, stop: threading.Event) -> None:
    """Turns until the time has come, somebody stops it, the disk fails or the connection is given up."""
    from brokers.ib.events import LinkState
    from papertape.cli.text import clean, emit
    from papertape.core.errors import UserError

    began = time.monotonic()
    summed_up = began
    end_ts = None if wanted.until is None else _end_of(wanted.until, link.clock.now(), link.calendar.zone)
    while not stop.is_set():
        for event in link.turn():
            if (line := _line(event, link)) is not None:
                emit(clean(line))
        now = time.monotonic()
        if thread.failure:
            raise UserError(f"the recording has ended: {thread.failure}")
        if link.ib.state is LinkState.FAILED:
            raise UserError(f"{link.address}: {link.why_not_ready}")
        if wanted.length_s is not None and now - began >= wanted.length_s:
            return
        if end_ts is not None and link.clock.now() >= end_ts:
            return
        if now - summed_up >= SUMMARY_EVERY_S:
            summed_up = now
            emit(_counts(recorder))


def _end_of(until: dt.time, now: int, zone: str) -> int:
    """The time of day on the exchange's present day, UTC ns. Raises ConfigError where it has passed."""
    from zoneinfo import ZoneInfo

    local = dt.datetime.fromtimestamp(now / 1e9, ZoneInfo(zone))
    end = dt.datetime.combine(local.date(), until, ZoneInfo(zone))
    if end <= local:
        raise ConfigError(f"--until {until:%H:%M:%S}: it is {local:%H:%M:%S} {local:%Z} already")
    return int(end.timestamp()) * 1_000_000_000


def _line(event: Event, link: DataLink) -> str | None:
    """What a person should see of an event."""
    from brokers.ib.events import DataChanged, LinkChanged, Notice

    match event:
        case DataChanged():
            text = event.text or f"{event.kind.value} data, trades from {event.source.value}"
            return f"{link.registry.symbols[event.instrument]}: {text}"
        case LinkChanged():
            return f"link {event.state.value}: {event.text}"
        case Notice():
            return f"TWS {event.code or ''}: {event.text}".replace(" :", ":")
    return None


def _counts(recorder: Recorder) -> str:
    from feeds.recorder import WRITTEN

    return "recorded " + ", ".join(f"{recorder.counts[name]:,} {name}" for name in WRITTEN)


def _listed(symbols: Sequence[str]) -> str:
    from papertape.cli.text import clean

    more = f" and {len(symbols) - SHOWN_SYMBOLS} more" if len(symbols) > SHOWN_SYMBOLS else ""
    return clean(", ".join(symbols[:SHOWN_SYMBOLS])) + more
