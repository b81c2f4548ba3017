"""The last steps on a text's columns: one stretch a symbol, oldest first, bars with their open and close times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from feeds.column_store import ColumnStore
from feeds.csv_faults import FIX_ROW, UnusableFileError
from feeds.csv_options import BarStamp, CsvOptions, OnBad
from feeds.csv_validate import (
    GapCounts,
    SessionArrays,
    bar_times,
    daily_times,
    long_gaps,
    outside_sessions,
    session_arrays,
)
from feeds.timestamps import NS_PER_DAY, iso, iso_date
from papertape.core.model import NS_PER_S, EventKind
from papertape.core.series import COLUMNS, I8

CHUNK_ROWS = 1 << 20
_WEEKLY_DAYS = 5


class Finding(msgspec.Struct, frozen=True):
    """Something that a text's reader must be told; ``count`` is how often it happened in this text."""

    code: str
    text: str
    count: int = 1
    warning: bool = False


@dataclass(slots=True)
class Findings:
    """What was found while one text was read, in the order in which it was first found."""

    shown: str
    by_code: dict[str, Finding] = field(default_factory=dict)

    def add(self, code: str, text: str, count: int = 1, *, warning: bool = False) -> None:
        """Note something, or that it happened again."""
        before = self.by_code.get(code)
        if before is not None:
            text, count = before.text, count + before.count
        self.by_code[code] = Finding(code, text, count, warning)


class Span(msgspec.Struct, frozen=True):
    """A symbol's rows [begin, end) in the columns."""

    symbol: str
    begin: int
    end: int


class FileDetail(msgspec.Struct, frozen=True):
    """What a text's columns hold: "ts", the kind's value columns, "start" for bars, "row" if there are several symbols.

    ``digest`` is the SHA-256 of the text. ``sessions`` is the digest of the exchange's sessions from ``first_ts`` to
    ``last_ts``, which some of the columns and findings rest on; "" where none were given.
    """

    kind: int
    rows: int
    spans: list[Span]
    findings: list[Finding]
    digest: str
    sessions: str
    first_ts: int
    last_ts: int


def sessions_digest(options: CsvOptions, first_ts: int, last_ts: int) -> str:
    """Digest of the sessions that a text of these times rests on; "" where none are given."""
    return "" if options.sessions is None else session_arrays(options.sessions).digest(first_ts, last_ts)


def finish(
    store: ColumnStore, kind: EventKind, names: list[str], rows: int, findings: Findings, options: CsvOptions, *,
    reverse: bool, daily: bool, has_symbols: bool, named_interval_s: float | None, digest: str,
) -> FileDetail:  # fmt: skip
    """Arrange a text's columns and make what remains to be made. Raises UnusableFileError where that can not be."""
    spans = _arrange(store, kind, names, rows, reverse=reverse, has_symbols=has_symbols)
    sessions = None if options.sessions is None else session_arrays(options.sessions)
    if kind is EventKind.BAR:
        store.create("start", "<i8", rows)
        if daily:
            spans = _finish_daily(store, spans, findings, options, sessions)
        else:
            _finish_bars(store, spans, findings, options, sessions, named_interval_s)
    elif sessions is not None:
        gaps = sum(len(long_gaps(ts, ts, sessions)) for span in spans for ts in _overlapping(store, span))
        _note_gaps(findings, gaps)
    first = min(int(store.read("ts", span.begin, span.begin + 1)[0]) for span in spans)
    last = max(int(store.read("ts", span.end - 1, span.end)[0]) for span in spans)
    return FileDetail(
        int(kind), sum(span.end - span.begin for span in spans), spans, list(findings.by_code.values()), digest,
        sessions_digest(options, first, last), first, last,
    )  # fmt: skip


def _arrange(
    store: ColumnStore, kind: EventKind, names: list[str], rows: int, *, reverse: bool, has_symbols: bool
) -> list[Span]:
    """Put each symbol's rows side by side, oldest first."""
    counts = np.array([rows])
    if has_symbols:
        counts = np.zeros(len(names), dtype=np.int64)
        for begin in range(0, rows, CHUNK_ROWS):
            counts += np.bincount(store.read("symbol", begin, min(begin + CHUNK_ROWS, rows)), minlength=len(names))
    ends = np.cumsum(counts)
    spans = [Span(n, int(e - c), int(e)) for n, c, e in zip(names, counts, ends, strict=True) if c]
    if len(spans) > 1 or reverse:
        columns = ["ts", *COLUMNS[kind]]
        for name in columns:
            store.create(f"new-{name}", "<i8" if name == "ts" else "<f8", rows)
        if len(spans) > 1:
            store.create("row", "<i8", rows)
        free = ends - counts
        for begin, end in _chunks(rows, reverse=reverse):
            _place_chunk(store, columns, begin, end, rows, free, several=len(spans) > 1, reverse=reverse)
        for name in columns:
            store.replace(name, f"new-{name}")
    if has_symbols:
        store.remove("symbol")
    return spans


def _chunks(rows: int, *, reverse: bool) -> Iterator[tuple[int, int]]:
    if reverse:
        for end in range(rows, 0, -CHUNK_ROWS):
            yield max(0, end - CHUNK_ROWS), end
    else:
        for begin in range(0, rows, CHUNK_ROWS):
            yield begin, min(begin + CHUNK_ROWS, rows)


def _place_chunk(
    store: ColumnStore, columns: list[str], begin: int, end: int, rows: int, free: I8, *, several: bool, reverse: bool
) -> None:  # fmt: skip
    """Move rows [begin, end) behind what their symbols have so far; ``free`` is each symbol's next place."""
    ordering = np.arange(end - begin)
    if reverse:
        ordering = ordering[::-1]
    stretches = [(0, 0, end - begin)]
    if several:
        codes = store.read("symbol", begin, end)[ordering]
        by_symbol = np.argsort(codes, kind="stable")
        ordering, codes = ordering[by_symbol], codes[by_symbol]
        bounds = np.flatnonzero(np.diff(codes)) + 1
        begins = np.concatenate(([0], bounds))
        stops = np.concatenate((bounds, [len(codes)]))
        stretches = [(int(codes[a]), int(a), int(b)) for a, b in zip(begins, stops, strict=True)]
    for name in columns:
        values = store.read(name, begin, end)[ordering]
        for code, a, b in stretches:
            store.write(f"new-{name}", int(free[code]), values[a:b])
    if several:
        places = ordering + begin
        values = (rows - 1 - places if reverse else places).astype(np.int64)
        for code, a, b in stretches:
            store.write("row", int(free[code]), values[a:b])
    for code, a, b in stretches:
        free[code] += b - a


def _overlapping(store: ColumnStore, span: Span) -> Iterator[I8]:
    """The times of a span in stretches that share a row."""
    for begin in range(span.begin, span.end, CHUNK_ROWS):
        yield store.read("ts", begin, min(begin + CHUNK_ROWS + 1, span.end))


def _finish_daily(
    store: ColumnStore, spans: list[Span], findings: Findings, options: CsvOptions, sessions: SessionArrays | None
) -> list[Span]:
    """Give daily bars the open and close of their sessions; days without one can be dropped."""
    if sessions is None:
        raise UnusableFileError(
            "daily bars get their times from the exchange's sessions; name its calendar, such as XNYS"
        )
    gaps = GapCounts({})
    for span in spans:
        gaps.add(store.read("ts", span.begin, span.end))
    usual_ns = gaps.most_frequent_ns
    if usual_ns is not None and usual_ns >= _WEEKLY_DAYS * NS_PER_DAY:
        raise UnusableFileError("weekly or longer bars are not understood; use daily ones")
    kept: list[Span] = []
    at = skipped = pauses = 0
    names = [name for name in (*COLUMNS[EventKind.BAR], "row") if name != "row" or len(spans) > 1]
    for span in spans:
        days = store.read("ts", span.begin, span.end) // NS_PER_DAY
        ts, start, known = daily_times(days, sessions)
        if not known.all():
            day = iso_date(int(days[np.argmin(known)]))
            if options.on_bad is OnBad.REFUSE:
                count = int((~known).sum())
                more = f" (and {count - 1:,} more such days)" if count > 1 else ""
                raise UnusableFileError(f"{day} is no session of {sessions.name}{more}; {FIX_ROW}")
            skipped += int((~known).sum())
        columns = {name: store.read(name, span.begin, span.end)[known] for name in names}
        columns |= {"ts": ts[known], "start": start[known]}
        size = int(known.sum())
        for name, values in columns.items():
            store.write(name, at, values)
        if size:
            kept.append(Span(span.symbol, at, at + size))
            pauses += len(long_gaps(columns["start"], columns["ts"], sessions))
        at += size
    if not kept:
        raise UnusableFileError(f"none of the days is a session of {sessions.name}; name the right calendar")
    if skipped:
        findings.add("skipped-rows", "rows that could not be used, skipped", skipped, warning=True)
    _note_gaps(findings, pauses)
    return kept


def _finish_bars(
    store: ColumnStore, spans: list[Span], findings: Findings, options: CsvOptions, sessions: SessionArrays | None,
    named_interval_s: float | None,
) -> None:  # fmt: skip
    """Give bars their open and close from their stamps and interval."""
    if options.bar_stamp is None:
        raise UnusableFileError("say whether a bar's time is its open or its close: pass --bar-stamp open or close")
    interval_ns = _interval_ns(store, spans, findings, options, named_interval_s)
    outside = pauses = 0
    first = ""
    for span in spans:
        stamps = store.read("ts", span.begin, span.end).copy()
        ts, start = bar_times(stamps, interval_ns, BarStamp(options.bar_stamp), sessions)
        store.write("ts", span.begin, ts)
        store.write("start", span.begin, start)
        if sessions is not None:
            beyond = outside_sessions(ts, start, sessions)
            if beyond.any() and not outside:
                first = f"{span.symbol} {iso(int(stamps[np.argmax(beyond)]))}"
            outside += int(beyond.sum())
            pauses += len(long_gaps(start, ts, sessions))
    if outside and sessions is not None:
        text = f"bars outside the sessions of {sessions.name} (the first: {first})"
        findings.add("outside-session", text, outside, warning=True)
    _note_gaps(findings, pauses)


def _interval_ns(
    store: ColumnStore, spans: list[Span], findings: Findings, options: CsvOptions, named_interval_s: float | None
) -> int:
    """How long bars last: as given; else the most frequent pause, unless the file's name tells of one that divides it."""
    if options.bar_interval_s is not None:
        if not 0.0 < options.bar_interval_s < np.inf:
            raise UnusableFileError("the interval of bars must be above zero; give seconds")
        return round(options.bar_interval_s * NS_PER_S)
    gaps = GapCounts({})
    for span in spans:
        gaps.add(store.read("ts", span.begin, span.end))
    found_ns = gaps.most_frequent_ns
    named_ns = None if named_interval_s is None else round(named_interval_s * NS_PER_S)
    if found_ns is None:
        if named_ns is None:
            raise UnusableFileError("one bar does not tell how long it lasts; give the interval of bars")
        return named_ns
    if named_ns is not None and found_ns % named_ns == 0:
        return named_ns  # minutes without trades make longer pauses the most frequent in quiet instruments
    if named_ns is not None:
        text = (
            f"the file's name says {named_ns / NS_PER_S:g} s, its bars are {found_ns / NS_PER_S:g} s apart, which holds"
        )
        findings.add("bar-interval", text, warning=True)
    return found_ns


def _note_gaps(findings: Findings, pauses: int) -> None:
    if pauses:
        findings.add("long-gap", "gaps in which a whole session has no event", pauses, warning=True)
