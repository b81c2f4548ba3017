"""Compiled parsing of delimited lines into columns.

One kernel reads whole lines, converts every field that matters and checks each row on its own; what cannot be used
is recorded as an issue (code and place), never silently passed over. Python turns issues into words.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from feeds.csv_codes import (
    AWARE,
    BAR_ROW,
    BLANK_LINES,
    BLANK_NUMBER,
    CLOSE_OUTSIDE,
    CODE,
    CR,
    DATE,
    EMPTY_QUOTE,
    FIELD,
    FIELD_AT,
    FINE,
    FLAGS,
    FORM,
    HIGH_BELOW_LOW,
    ISSUES,
    LF,
    LINE,
    LINE_AT,
    LINE_BYTES_MAX,
    LINES,
    LONG_LINE,
    NAIVE,
    NEGATIVE_SIZE,
    NUL_BYTE,
    NUMBER,
    OPEN_OUTSIDE,
    OTHER_TIME_FORM,
    POSITION,
    PRICE_NOT_POSITIVE,
    QUOTE_ROW,
    ROW,
    ROW_FORM,
    ROWS,
    SAW_CR,
    SAW_CRLF,
    SAW_EXPONENT,
    SAW_LF,
    SAW_NON_ASCII,
    SKIP,
    SLOW_NUMBER,
    SYMBOL,
    SYMBOL_SLOTS,
    SYMBOLS,
    SYMBOLS_MAX,
    TIME,
    TOO_FEW_FIELDS,
    TOO_MANY_FIELDS,
    UNCLOSED_QUOTE,
    UNKNOWN_FORM,
)
from feeds.csv_numbers import field_end, number, plain_number
from feeds.csv_times import part_field, plain_epoch, time_field
from papertape.core.compiled import compiled


@compiled
def row_fault(values: Any, row: int, prices: int, kind: int, signed: bool) -> Any:
    """What is wrong with a row's numbers, and with which value column; (FINE, 0) for nothing.

    ``values`` has shape (columns, rows): ``prices`` prices, then sizes. ``signed`` admits prices of zero and below.
    A quote's blank side arrives as NaN; its blank size becomes 0.
    """
    if kind == QUOTE_ROW:
        if np.isnan(values[0, row]) and np.isnan(values[1, row]):
            return EMPTY_QUOTE, 0
        for j in range(2):
            if np.isnan(values[j + 2, row]):
                if not np.isnan(values[j, row]):
                    return BLANK_NUMBER, j + 2
                values[j + 2, row] = 0.0
    for j in range(values.shape[0]):
        if j < prices:
            if not signed and values[j, row] <= 0.0:
                return PRICE_NOT_POSITIVE, j
        elif values[j, row] < 0.0:
            return NEGATIVE_SIZE, j
    if kind == BAR_ROW:
        high, low = values[1, row], values[2, row]
        if high < low:
            return HIGH_BELOW_LOW, 1
        if values[0, row] > high or values[0, row] < low:
            return OPEN_OUTSIDE, 0
        if values[3, row] > high or values[3, row] < low:
            return CLOSE_OUTSIDE, 3
    return FINE, 0


@compiled
def _symbol_code(data: Any, begin: int, end: int, slots: Any, places: Any, known: int, before: int) -> int:
    """Number of the symbol ``data[begin:end]`` among those of this stretch; ``known`` where it is a new one.

    ``places`` holds each symbol's (begin, end); ``slots`` is an open hash table of numbers, -1 for free;
    ``before`` is the previous row's number, which it most often is.
    """
    length = end - begin
    slot = -1
    code = before
    while True:
        if code >= 0 and places[code, 1] - places[code, 0] == length:
            same = True
            other = places[code, 0]
            for k in range(length):
                if data[other + k] != data[begin + k]:
                    same = False
                    break
            if same:
                return code
        if slot < 0:
            h: Any = np.int64(2166136261)  # FNV-1a
            for k in range(begin, end):
                h = ((h ^ np.int64(data[k])) * 16777619) & 0xFFFFFFFF
            slot = (h ^ (h >> 15)) & (SYMBOL_SLOTS - 1)
        else:
            slot = (slot + 1) & (SYMBOL_SLOTS - 1)
        code = slots[slot]
        if code < 0:
            slots[slot] = known
            places[known, 0] = begin
            places[known, 1] = end
            return known


@compiled
def _number_field(data: Any, at: int, delimiter: int, kind: int, state: Any) -> Any:
    """A value: (value, where the field ends, status)."""
    value, end, status, exponent = number(data, at, delimiter)
    if exponent:
        state[FLAGS] |= SAW_EXPONENT
    if status == BLANK_NUMBER and kind == QUOTE_ROW:
        status = FINE
    return value, end, status


@compiled
def _stamp_field(data: Any, at: int, delimiter: int, minutes_east: Any, row: int, state: Any) -> Any:
    """A time in the form that the file's times have: (ns, where the field ends, status)."""
    form = state[FORM]
    ns, end, status, row_form, east, flags = time_field(data, at, delimiter)
    state[ROW_FORM] = row_form
    if status == FINE:
        state[FLAGS] |= flags
        if form == UNKNOWN_FORM:
            state[FORM] = row_form
        elif row_form != form:
            status = OTHER_TIME_FORM
        if row_form == AWARE:
            minutes_east[row] = east
    return ns, end, status


@compiled
def _date_or_clock(data: Any, at: int, delimiter: int, is_date: bool, state: Any) -> Any:
    """A date or a time of day, where they have columns of their own: (ns, where the field ends, status)."""
    ns, end, status, flags = part_field(data, at, delimiter, is_date)
    state[FLAGS] |= flags
    state[FORM] = NAIVE
    return ns, end, status


@compiled
def _text_field(data: Any, at: int, delimiter: int, state: Any) -> Any:
    """A field that is text: (where it ends, status)."""
    end = field_end(data, at, delimiter)
    if end < 0:
        return at, UNCLOSED_QUOTE
    for k in range(at, end):
        if data[k] >= 128:
            state[FLAGS] |= SAW_NON_ASCII
        elif data[k] == 0:
            return at, NUL_BYTE
    return end, FINE


@compiled
def _put_issue(issues: Any, code: int, line_at: int, field_at: int, field: int, row: int, state: Any) -> None:
    """Record what is wrong, and where."""
    issue = state[ISSUES]
    issues[issue, CODE], issues[issue, LINE], issues[issue, LINE_AT] = code, state[LINES], line_at
    issues[issue, FIELD_AT], issues[issue, FIELD], issues[issue, ROW] = field_at, field, row
    state[ISSUES] = issue + 1


@compiled
def _next_line(data: Any, at: int, state: Any) -> int:
    """Where the line after the one that holds ``at`` begins."""
    while data[at] != LF and data[at] != CR:
        at += 1
    state[LINES] += 1
    if data[at] == LF:
        state[FLAGS] |= SAW_LF
        return at + 1
    if at + 1 < len(data) and data[at + 1] == LF:
        state[FLAGS] |= SAW_CRLF
        return at + 2
    state[FLAGS] |= SAW_CR
    return at + 1


@compiled
def parse_lines(
    data: Any, delimiter: int, roles: Any, field_of: Any, prices: int, kind: int, signed: bool,
    ts: Any, minutes_east: Any, values: Any, symbols: Any, line_at: Any, slots: Any, places: Any, issues: Any,
    state: Any,
) -> None:  # fmt: skip
    """Parse lines from ``state[POSITION]`` on until ``data`` ends or an output is full.

    ``data`` (uint8) ends with a line end. ``roles`` are those of the file's columns, ``field_of`` says which column
    value j is. Outputs, one entry a row from ``state[ROWS]`` on: ``ts`` (ns), ``minutes_east`` (of times with an
    offset), ``values`` (columns, rows), ``symbols`` (numbers of ``places``), ``line_at`` (where its line begins). A
    row with an issue is not output, except for SLOW_NUMBER: a value to be filled in; of others ROW is the time's form.
    """
    fields, begins = len(roles), np.zeros(len(roles) + 1, dtype=np.int64)
    at, row, symbol = state[POSITION], state[ROWS], -1
    while at < len(data) and row < len(ts) and state[ISSUES] + fields < len(issues) and state[SYMBOLS] < SYMBOLS_MAX:
        begin, first_issue, status, field, stamp = at, state[ISSUES], FINE, 0, 0
        is_blank = data[at] == LF or data[at] == CR
        while field < fields and not is_blank:
            begins[field] = at
            role = roles[field]
            if role >= NUMBER:
                value, at = plain_number(data, at, delimiter)
                if at < 0:
                    value, at, status = _number_field(data, begins[field], delimiter, kind, state)
                values[role - NUMBER, row] = value
                if status == SLOW_NUMBER:
                    _put_issue(issues, SLOW_NUMBER, begin, begins[field], field, row, state)
                    status = FINE
            elif role == TIME:
                stamp, at = plain_epoch(data, at, delimiter, state[FORM])
                if at < 0:
                    stamp, at, status = _stamp_field(data, begins[field], delimiter, minutes_east, row, state)
            elif role == SKIP or role == SYMBOL:
                at, status = _text_field(data, at, delimiter, state)
                if role == SYMBOL and status == FINE:
                    symbol = _symbol_code(data, begins[field], at, slots, places, state[SYMBOLS], symbol)
                    symbols[row] = symbol
                    state[SYMBOLS] = max(state[SYMBOLS], symbol + 1)
            else:
                ns, at, status = _date_or_clock(data, at, delimiter, role == DATE, state)
                stamp += ns
            if status != FINE:
                break
            field += 1
            if data[at] == delimiter:
                at += 1
                begins[field] = at
                if field == fields:
                    status = TOO_MANY_FIELDS
            elif field < fields:
                status = TOO_FEW_FIELDS
                begins[field] = at
                break
        if status == FINE and not is_blank:
            if state[ISSUES] == first_issue:
                status, j = row_fault(values, row, prices, kind, signed)
                field = field_of[j]
            if at - begin > LINE_BYTES_MAX:
                status = LONG_LINE
        if status != FINE:
            state[ISSUES] = first_issue  # a slow number of a row that is refused does not matter
            _put_issue(issues, status, begin, begins[field], field, state[ROW_FORM], state)
            at = begin
        elif is_blank:
            state[BLANK_LINES] += 1
        else:
            ts[row], line_at[row] = stamp, begin
            row += 1
        at = _next_line(data, at, state)
    state[POSITION], state[ROWS] = at, row


# Numba's decorator for all kernels keeps the interpreter lock; this one runs beside the thread that reads the file.
getattr(parse_lines, "targetoptions", {})["nogil"] = True
