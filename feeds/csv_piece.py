"""Parsing one stretch of lines: what the kernel is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from feeds import csv_codes as codes
from feeds.csv_columns import PRICES, Layout
from feeds.csv_faults import UnusableFileError
from feeds.csv_parse import parse_lines
from feeds.csv_sources import Piece
from papertape.core.model import EventKind
from papertape.core.series import COLUMNS, F8, I8

ROW_KIND = {EventKind.TRADE: codes.TRADE_ROW, EventKind.QUOTE: codes.QUOTE_ROW, EventKind.BAR: codes.BAR_ROW}
_ISSUES_AT_FIRST = 256


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """What the kernel made of a piece."""

    piece: Piece
    ts: I8
    minutes_east: NDArray[np.int16]
    values: F8
    symbols: NDArray[np.int32]
    line_at: NDArray[np.int32]
    places: I8
    issues: I8
    state: I8


def parse_piece(piece: Piece, begin: int, layout: Layout, form: int, delimiter: int, *, signed: bool) -> Parsed:
    """Parse a piece from ``begin`` on with what is known of the file; UnusableFileError for too many symbols."""
    size = len(piece.data) - begin
    needed = sum(role != codes.SKIP for role in layout.roles)
    blank = 2 if layout.kind is EventKind.QUOTE else 0
    # A row has a byte for each separator and each value. Never all rows are used: slices of ``values`` are then laid
    # out in one way, and Numba compiles for that way only.
    rows = size // (len(layout.roles) + needed - blank) + 2
    symbol_rows = rows if layout.has_symbols else 0
    ts = np.empty(rows, dtype=np.int64)
    minutes_east = np.empty(rows, dtype=np.int16)
    values = np.empty((len(COLUMNS[layout.kind]), rows), dtype=np.float64)
    symbols = np.empty(symbol_rows, dtype=np.int32)
    line_at = np.empty(rows, dtype=np.int32)
    slots = np.full(codes.SYMBOL_SLOTS if layout.has_symbols else 0, -1, dtype=np.int32)
    places = np.empty((codes.SYMBOLS_MAX if layout.has_symbols else 0, 2), dtype=np.int64)
    issues = np.empty((_ISSUES_AT_FIRST + len(layout.roles), codes.ISSUE_WIDTH), dtype=np.int64)
    state = np.zeros(codes.STATE_LENGTH, dtype=np.int64)
    state[codes.POSITION], state[codes.FORM] = begin, form
    roles, field_of = np.array(layout.roles, dtype=np.int64), np.array(layout.field_of, dtype=np.int64)
    while True:
        parse_lines(
            piece.data, delimiter, roles, field_of, PRICES[layout.kind], ROW_KIND[layout.kind], signed,
            ts, minutes_east, values, symbols, line_at, slots, places, issues, state,
        )  # fmt: skip
        if state[codes.POSITION] >= len(piece.data):
            break
        if state[codes.SYMBOLS] >= codes.SYMBOLS_MAX:
            raise UnusableFileError(f"more than {codes.SYMBOLS_MAX:,} symbols side by side; split the file")
        issues = np.concatenate((issues, np.empty_like(issues)))
    n = int(state[codes.ROWS])
    return Parsed(
        piece, ts[:n], minutes_east[:n], values[:, :n], symbols[: n if symbol_rows else 0], line_at[:n], places,
        issues[: int(state[codes.ISSUES])], state,
    )  # fmt: skip


def with_symbols(parsed: Parsed, *, symbols: NDArray[np.int32]) -> Parsed:
    """The same rows with other numbers for their symbols."""
    return replace(parsed, symbols=symbols)


def kept(parsed: Parsed, keep: NDArray[np.bool_]) -> Parsed:
    """The rows to keep."""
    count = int(keep.sum())
    values = np.empty((len(parsed.values), count + 1), dtype=np.float64)[:, :count]  # laid out as in parse_piece
    values[:] = parsed.values[:, keep]
    return replace(
        parsed,
        ts=parsed.ts[keep],
        minutes_east=parsed.minutes_east[keep],
        values=values,
        symbols=parsed.symbols[keep] if len(parsed.symbols) else parsed.symbols,
        line_at=parsed.line_at[keep],
    )
