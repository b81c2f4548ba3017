"""Reading one CSV text into columns: lines are parsed beside the thread that reads, judged and stored in their order."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from feeds import csv_codes as codes
from feeds import csv_order as order
from feeds.column_store import ColumnStore
from feeds.csv_columns import PRICES, Layout, read_header, symbol_fault, symbol_of_name
from feeds.csv_faults import COUNTED_MAX, FIX_ROW, RowFaults, UnusableFileError, describe, shown
from feeds.csv_finish import FileDetail, Findings, finish
from feeds.csv_options import CsvOptions, OnBad
from feeds.csv_parse import row_fault
from feeds.csv_piece import ROW_KIND, Parsed, kept, parse_piece, with_symbols
from feeds.csv_sources import Opened, Packing, Piece, Source, open_source, pieces
from feeds.csv_text import field_begin, field_text, line_at_byte, slow_number
from feeds.timestamps import LOCAL_MISSING, NS_PER_DAY, iso, iso_date, offset_at, to_utc, zone_table
from papertape.core.errors import DataError
from papertape.core.model import NS_PER_S, EventKind
from papertape.core.series import COLUMNS, I8

_WORKERS = 2
_AHEAD = 3  # pieces that are parsed or wait to be: bounds the memory
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_HIGH_LOW = {EventKind.TRADE: (0, 0), EventKind.QUOTE: (0, 1), EventKind.BAR: (2, 1)}
_LINE_END_FLAGS = {b"\n": codes.SAW_LF, b"\r\n": codes.SAW_CRLF, b"\r": codes.SAW_CR, b"": 0}
_LINE_ENDS = ((codes.SAW_LF, "LF"), (codes.SAW_CRLF, "CRLF"), (codes.SAW_CR, "CR"))


class _NotDailyError(Exception):
    """What looked like dates turned out to be times."""


class _Reading:
    """One pass over one text. What is known about it grows piece by piece."""

    def __init__(self, source: Source, options: CsvOptions, store: ColumnStore, *, may_be_daily: bool) -> None:
        self.source = source
        self.options = options
        self.store = store
        self.delimiter = options.delimiter_byte
        self.digest = hashlib.sha256()
        self.faults = RowFaults()
        self.findings = Findings(source.shown)
        self.layout: Layout
        self.form = codes.UNKNOWN_FORM
        self.flags = 0
        self.lines = 0  # lines before the rows that are being judged
        self.piece_line = 1  # number of the piece's first line
        self.rows = 0
        self.first_data_line = 0
        self.may_be_daily = may_be_daily
        self.daily = False
        self.step = 0
        self.minutes_east: int | None = None
        self.names: list[str] = []
        self.code_of: dict[str, int] = {}
        self.order_state = order.new_state(1)

    @property
    def signed(self) -> bool:
        """Whether any price of the file may be zero or negative."""
        return bool(self.options.signed_symbols)

    # ------------------------------------------------------------------------------------------- the header

    def start(self, piece: Piece) -> int:
        """Read what stands before the rows; where the first row begins."""
        head = bytes(piece.data[:4])
        if len(piece.data) == 0:
            raise UnusableFileError("the file is empty; name one with data")
        if head.startswith(_WIDE_MARKS) or head[1:2] == b"\0" or head[:1] == b"\0":
            raise UnusableFileError("the file is UTF-16 or has NUL bytes; save it as UTF-8 text")
        at = 0
        if head.startswith(_BYTE_ORDER_MARK):
            at = len(_BYTE_ORDER_MARK)
            self.findings.add("byte-order-mark", "a byte order mark, passed over")
        while True:
            if at >= len(piece.data):
                raise UnusableFileError("the file has no header; put a line with the column names first")
            line, end = line_at_byte(piece.data, at)
            self.lines += 1
            self.flags |= _LINE_END_FLAGS[bytes(piece.data[at + len(line) : end])]
            if line.strip():
                break
            self.findings.add("blank-lines", "blank lines, passed over")
            at = end
        if b"\0" in line:
            raise UnusableFileError("a NUL byte; the file is damaged or UTF-16: save it as UTF-8 text")
        text = self._text(line, self.lines)
        if text.count('"') % 2:
            raise UnusableFileError("a quote is not closed on its line; fix the line")
        self.layout = read_header(text, chr(self.delimiter), path=self.source.shown, line_number=self.lines)
        self.first_data_line = self.lines + 1
        if self.layout.ignored:
            ignored = ", ".join(shown(name) for name in self.layout.ignored)
            self.findings.add("ignored-columns", f"columns that are not read: {ignored}", len(self.layout.ignored))
        if self.options.delimiter is not None and self.delimiter != ord(","):
            self.findings.add("delimiter", "another delimiter than a comma, as given")
        if self.source.packing is not Packing.NONE:
            self.findings.add("packed", f"{self.source.packing.name.lower()} files, unpacked while reading")
        if not self.layout.has_symbols:
            self._name_symbol(symbol_of_name(self.source.named)[0])
        return end

    def _name_symbol(self, symbol: str) -> None:
        fault = symbol_fault(symbol)
        if fault is not None:
            raise UnusableFileError(
                f'the file\'s name gives the symbol "{shown(symbol)}", which {fault}; rename the file'
            )
        self.names.append(symbol)

    def _text(self, line: bytes, number: int) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError:
            what = "bytes that are not UTF-8; save the file as UTF-8 text"
            raise DataError(what, path=self.source.shown, line=number) from None

    # ------------------------------------------------------------------------------------------- the rows

    def parse(self, piece: Piece, begin: int) -> Parsed:
        """Parse a piece with what is known now; touches nothing that changes."""
        return parse_piece(piece, begin, self.layout, self.form, self.delimiter, signed=self.signed)

    def take(self, parsed: Parsed) -> None:
        """Judge a parsed piece and store its rows."""
        state = parsed.state
        self.flags |= int(state[codes.FLAGS])
        self.form = int(state[codes.FORM])
        if state[codes.FLAGS] & codes.SAW_NON_ASCII:
            self._check_encoding(parsed.piece)
        if state[codes.BLANK_LINES]:
            self.findings.add("blank-lines", "blank lines, passed over", int(state[codes.BLANK_LINES]))
        if self.step == 0:
            self._look_at_form()
        elif self.daily and self.flags & codes.SAW_CLOCK:
            raise _NotDailyError
        parsed = self._without_issues(parsed)
        parsed = self._with_known_symbols(parsed)
        parsed = self._in_utc(parsed)
        if len(parsed.ts):
            parsed = self._in_order(parsed)
        self.faults.settle()
        if self.faults.count >= COUNTED_MAX and self.options.on_bad is OnBad.REFUSE:
            raise self.faults.error(self.source.shown, counted_all=False)
        self.lines += int(state[codes.LINES])
        self.piece_line = self.lines + 1
        self.rows += len(parsed.ts)
        self.store.append("ts", parsed.ts)
        for name, column in zip(COLUMNS[self.layout.kind], parsed.values, strict=True):
            self.store.append(name, column)
        if self.layout.has_symbols:
            self.store.append("symbol", parsed.symbols)

    def _check_encoding(self, piece: Piece) -> None:
        try:
            bytes(piece.data).decode()
        except UnicodeDecodeError as error:
            line = self._line_number(piece, error.start)
            what = "bytes that are not UTF-8; save the file as UTF-8 text"
            raise DataError(what, path=self.source.shown, line=line) from None

    def _line_number(self, piece: Piece, at: int) -> int:
        """The number of the line that holds a byte of the piece that is being judged."""
        before = bytes(piece.data[:at])
        return self.piece_line + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")

    def _look_at_form(self) -> None:
        """Decide, from the first rows, what the times are."""
        if self.form == codes.UNKNOWN_FORM:
            return
        is_bar = self.layout.kind is EventKind.BAR
        calendar_form = self.form in (codes.NAIVE, codes.AWARE, codes.DATE_ONLY)
        self.daily = self.may_be_daily and is_bar and calendar_form and not self.flags & codes.SAW_CLOCK
        if self.form == codes.DATE_ONLY and not is_bar:
            raise UnusableFileError("dates without a time of day; trades and quotes need the time too")
        if self.form == codes.NAIVE and not self.daily and self.options.tz is None:
            raise UnusableFileError("times without an offset; say their zone, as --tz America/New_York")
        if is_bar and not self.daily and self.options.bar_stamp is None:
            raise UnusableFileError("say whether a bar's time is its open or its close: pass --bar-stamp open or close")

    def _place(self, parsed: Parsed, line_at: int, field_at: int) -> tuple[int, int]:
        """(line, column) of a place, both from 1; the column counts characters."""
        column = len(bytes(parsed.piece.data[line_at:field_at]).decode(errors="replace")) + 1
        return self._line_number(parsed.piece, line_at), column

    def _refuse_row(self, parsed: Parsed, line_at: int, field_at: int, what: str) -> None:
        if self.faults.count < COUNTED_MAX:
            line, column = self._place(parsed, line_at, field_at)
        else:
            line, column = 0, 0  # it will not be listed
        self.faults.add(line, column, f"{what}; {FIX_ROW}")

    def _without_issues(self, parsed: Parsed) -> Parsed:
        """Fill in numbers that the kernel left to Python, and drop the rows that can not be used."""
        dropped: list[int] = []
        for issue in parsed.issues.tolist():
            code, line, line_at, field_at, field, row = issue
            text = field_text(parsed.piece.data, field_at, self.delimiter)
            if code == codes.SLOW_NUMBER:
                if row in dropped[-1:]:
                    continue
                value = slow_number(text)
                if value is not None:
                    column = self.layout.roles[field] - codes.NUMBER
                    parsed.values[column, row] = value
                    code, column = row_fault(
                        parsed.values, row, PRICES[self.layout.kind], ROW_KIND[self.layout.kind], self.signed
                    )
                    if code == codes.FINE:
                        continue
                    field = self.layout.field_of[column]
                dropped.append(row)
            line_bytes = line_at_byte(parsed.piece.data, line_at)[0]
            if not line_bytes.strip():
                self.findings.add("blank-lines", "blank lines, passed over")
                continue
            is_last = parsed.piece.cut_short and line_at + len(line_bytes) + 1 == len(parsed.piece.data)
            number = self.lines + line + 1
            try:
                what = describe(
                    code, text, line_bytes.decode(errors="replace"), field, (self.form, row), self.layout,
                    chr(self.delimiter), cut_short=is_last, first_row=number == self.first_data_line,
                )  # fmt: skip
            except UnusableFileError as fault:
                raise DataError(str(fault), path=self.source.shown, line=number) from None
            self._refuse_row(parsed, line_at, field_at, what)
        if not dropped:
            return parsed
        keep = np.ones(len(parsed.ts), dtype=np.bool_)
        keep[dropped] = False
        return kept(parsed, keep)

    def _with_known_symbols(self, parsed: Parsed) -> Parsed:
        """Number the symbols as in the rest of the file; refuse what is none."""
        if not self.layout.has_symbols:
            return self._with_allowed_signs(parsed)
        count = int(parsed.state[codes.SYMBOLS])
        numbers = np.empty(count, dtype=np.int32)
        wrong: dict[int, str] = {}
        for local, (begin, end) in enumerate(parsed.places[:count].tolist()):
            text = bytes(parsed.piece.data[begin:end]).decode(errors="replace").strip().strip('"').strip()
            numbers[local] = self.code_of.get(text, -1)
            if numbers[local] < 0:
                if fault := symbol_fault(text):
                    wrong[local] = f'"{shown(text)}" {fault}'
                else:
                    numbers[local] = self.code_of[text] = len(self.names)
                    self.names.append(text)
        if wrong:
            field = self.layout.roles.index(codes.SYMBOL)
            for row in np.flatnonzero(numbers[parsed.symbols] < 0).tolist():
                line_at = int(parsed.line_at[row])
                field_at = field_begin(parsed.piece.data, line_at, field, self.delimiter)
                self._refuse_row(parsed, line_at, field_at, wrong[int(parsed.symbols[row])])
        numbered = with_symbols(parsed, symbols=numbers[parsed.symbols] if count else parsed.symbols)
        if wrong:
            numbered = kept(numbered, numbered.symbols >= 0)
        if len(self.names) > len(self.order_state[0]):
            self.order_state = order.grown_state(self.order_state, 2 * len(self.names))
        return self._with_allowed_signs(numbered)

    def _with_allowed_signs(self, parsed: Parsed) -> Parsed:
        """Where some symbols may have prices of zero and below, refuse those of the others."""
        if not self.signed:
            return parsed
        may = np.array([name in self.options.signed_symbols for name in self.names], dtype=np.bool_)
        numbers = parsed.symbols if self.layout.has_symbols else np.zeros(len(parsed.ts), dtype=np.int32)
        low = (parsed.values[: PRICES[self.layout.kind]] <= 0.0) & ~may[numbers]
        bad = np.logical_or.reduce(low, axis=0)
        for row in np.flatnonzero(bad).tolist():
            position = self.layout.field_of[int(np.argmax(low[:, row]))]
            line_at = int(parsed.line_at[row])
            field_at = field_begin(parsed.piece.data, line_at, position, self.delimiter)
            text = field_text(parsed.piece.data, field_at, self.delimiter)
            name = self.layout.names[position]
            self._refuse_row(parsed, line_at, field_at, f'price {shown(text)} is not above zero (column "{name}")')
        return kept(parsed, ~bad) if bad.any() else parsed

    def _in_utc(self, parsed: Parsed) -> Parsed:
        """Turn local times into UTC, and dates of daily bars into local midnights."""
        ts = parsed.ts
        if self.form == codes.AWARE and len(ts):
            self._check_offsets(ts, parsed.minutes_east)
            if self.daily:
                ts += parsed.minutes_east.astype(np.int64) * (60 * NS_PER_S)
        if self.form != codes.NAIVE or self.daily or self.options.tz is None:
            return parsed
        wrong = to_utc(ts, zone_table(self.options.tz))
        if wrong is None:
            return parsed
        for row in np.flatnonzero(wrong).tolist():
            local = iso(int(ts[row]))[:-1]
            why = "does not exist" if wrong[row] == LOCAL_MISSING else "exists twice"
            line_at = int(parsed.line_at[row])
            what = f"{local} {why} in {self.options.tz}: the clocks change; give times with an offset"
            self._refuse_row(parsed, line_at, self._time_at(parsed, line_at), what)
        return kept(parsed, ~wrong.astype(np.bool_))

    def _check_offsets(self, ts: I8, minutes_east: NDArray[np.int16]) -> None:
        """Offsets from UTC may differ within a file only as those of one zone do."""
        if self.minutes_east is None:
            self.minutes_east = int(minutes_east[0])
        if (minutes_east == self.minutes_east).all():
            return
        if self.options.tz is None:
            raise UnusableFileError(
                "offsets from UTC are mixed; if they are those of one zone, say it, as --tz America/New_York"
            )
        offsets = offset_at(ts, zone_table(self.options.tz))
        if (offsets != minutes_east.astype(np.int64) * (60 * NS_PER_S)).any():
            raise UnusableFileError(
                f"offsets from UTC are mixed, and not as in {self.options.tz}; write all times in UTC"
            )

    def _time_at(self, parsed: Parsed, line_at: int) -> int:
        role = codes.TIME if codes.TIME in self.layout.roles else codes.DATE
        return field_begin(parsed.piece.data, line_at, self.layout.roles.index(role), self.delimiter)

    def _in_order(self, parsed: Parsed) -> Parsed:
        """Refuse rows out of order and bars that contradict each other; drop repeats; note far prices."""
        if self.step == 0:
            scratch = np.full(max(1, len(self.names)), -1, dtype=np.int64)
            later, earlier = order.count_steps(parsed.ts, parsed.symbols, scratch)
            self.step = -1 if earlier > later else 1
        is_bar = self.layout.kind is EventKind.BAR
        low, high = _HIGH_LOW[self.layout.kind]
        verdicts = np.empty(len(parsed.ts), dtype=np.uint8)
        dropped, far, far_row = order.check_order(
            parsed.piece.data, parsed.line_at, parsed.ts, parsed.symbols, parsed.values, low, high, self.step,
            is_bar, bool(self.layout.ignored), *self.order_state, verdicts,
        )  # fmt: skip
        if far:
            line = self._line_number(parsed.piece, int(parsed.line_at[far_row])) if far_row >= 0 else self.lines
            self.findings.add("far-price", f"prices {order.JUMP:g} times their neighbours (the first in line {line})",
                              far, warning=True)  # fmt: skip
        if not dropped:
            return parsed
        repeats = int((verdicts == order.REPEATED).sum())
        if repeats:
            self.findings.add("repeated-rows", "exact repeats of the row before, dropped", repeats)
        for row in np.flatnonzero(verdicts >= order.OUT_OF_ORDER).tolist():
            moment = iso_date(int(parsed.ts[row]) // NS_PER_DAY) if self.daily else iso(int(parsed.ts[row]))
            what = f"a second, different bar of {moment}"
            if verdicts[row] == order.OUT_OF_ORDER:
                side, ordering = ("before", "") if self.step > 0 else ("after", " of a file that is newest-first")
                what = f"{moment} is {side} the row above{ordering}: out of order"
            line_at = int(parsed.line_at[row])
            self._refuse_row(parsed, line_at, self._time_at(parsed, line_at), what)
        return kept(parsed, verdicts == order.KEEP)

    # ------------------------------------------------------------------------------------------- the end

    def end(self) -> FileDetail:
        """All rows are stored: judge the whole, and bring the columns into their final order."""
        if self.faults.count and self.options.on_bad is OnBad.REFUSE:
            raise self.faults.error(self.source.shown, counted_all=True)
        if self.rows == 0:
            if self.faults.count:
                raise UnusableFileError(
                    f"none of {self.faults.count:,} rows can be used; the first: {self.faults.listed[0][2]}"
                )
            raise UnusableFileError("the file has a header and no rows; name one with data")
        if self.flags & codes.SAW_SLASHED_DATE and not self.flags & codes.SAW_DAY_OVER_12:
            raise UnusableFileError("dates like 01/02/2024 may be month first or day first; write them as YYYY-MM-DD")
        if self.faults.count:
            self.findings.add("skipped-rows", "rows that could not be used, skipped", self.faults.count, warning=True)
        ends = [word for flag, word in _LINE_ENDS if self.flags & flag]
        if ends != ["LF"]:
            self.findings.add("line-ends", f"{' and '.join(ends)} line ends")
        if self.flags & codes.SAW_EXPONENT:
            self.findings.add("scientific-notation", "numbers in scientific notation")
        if self.step < 0:
            self.findings.add("newest-first", "newest-first files, reversed")
        return finish(
            self.store, self.layout.kind, self.names, self.rows, self.findings, self.options,
            reverse=self.step < 0, daily=self.daily, has_symbols=self.layout.has_symbols,
            named_interval_s=symbol_of_name(self.source.named)[1], digest=self.digest.hexdigest(),
        )  # fmt: skip


def read_text(
    source: Source, options: CsvOptions, store: ColumnStore, advance: Callable[[int], None] | None = None
) -> FileDetail:
    """Read one CSV text into ``store``; what its columns hold is in the result.

    ``advance`` is called with the bytes of the file that were read so far. Raises DataError for what can not be used.
    """
    for may_be_daily in (True, False):
        reading = _Reading(source, options, store, may_be_daily=may_be_daily)
        opened = open_source(source, options.unpacked_limit_bytes)
        try:
            _read_all(reading, opened, advance or _ignore)
            return reading.end()
        except _NotDailyError:
            store.clear()
        except UnusableFileError as fault:
            raise DataError(str(fault), path=source.shown) from None
        finally:
            opened.file.close()
    raise AssertionError("the second pass expects times and cannot be surprised by them")


def _ignore(_read: int) -> None:
    """Nobody wants to know."""


def _read_all(reading: _Reading, opened: Opened, advance: Callable[[int], None]) -> None:
    """Parse a text's pieces, two at a time once the form of its times is known, and take them in their order."""
    read = pieces(opened)
    first = _counted(reading, next(read), opened, advance)
    begin = reading.start(first)
    reading.take(reading.parse(first, begin))
    waiting: collections.deque[Future[Parsed]] = collections.deque()
    pool: ThreadPoolExecutor | None = None
    try:
        for piece in read:
            _counted(reading, piece, opened, advance)
            if reading.form == codes.UNKNOWN_FORM:
                reading.take(reading.parse(piece, 0))
                continue
            pool = pool or ThreadPoolExecutor(_WORKERS)
            waiting.append(pool.submit(reading.parse, piece, 0))
            if len(waiting) >= _AHEAD:
                reading.take(waiting.popleft().result())
        while waiting:
            reading.take(waiting.popleft().result())
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _counted(reading: _Reading, piece: Piece, opened: Opened, advance: Callable[[int], None]) -> Piece:
    content = piece.data[:-1] if piece.cut_short else piece.data
    reading.digest.update(content.data)
    advance(opened.packed_read)
    return piece
