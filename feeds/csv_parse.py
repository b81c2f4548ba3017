"""Compiled parsing of delimited lines into columns.

One kernel reads whole lines, converts every field that matters and checks each row on its own; what cannot be used
is recorded as an issue (code and place), never silently passed over. Python turns issues into words.

Decimal numbers are converted exactly: the result is the double nearest to the written number. A significand below
2^53 with a power of ten up to 22 is one correctly rounded operation (W. D. Clinger, "How to read floating point
numbers accurately", 1990); up to 18 digits and powers in -27..55 follow D. Lemire, "Number parsing at a gigabyte per
second" (2021), sections 5 to 8; anything else is left to Python's ``float``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from papertape.core.compiled import compiled

# Roles of a column of the file. NUMBER + j is value column j.
SKIP, TIME, DATE, CLOCK, SYMBOL, NUMBER = 0, 1, 2, 3, 4, 5

# What is wrong with a row.
FINE = 0
TOO_FEW_FIELDS = 1
TOO_MANY_FIELDS = 2
BAD_NUMBER = 3
SLOW_NUMBER = 4  # perhaps fine: Python's float decides
BAD_TIME = 5
NO_SUCH_TIME = 6
YEAR_OUT_OF_RANGE = 7
OTHER_TIME_FORM = 8
PRICE_NOT_POSITIVE = 9
NEGATIVE_SIZE = 10
HIGH_BELOW_LOW = 11
OPEN_OUTSIDE = 12
CLOSE_OUTSIDE = 13
UNCLOSED_QUOTE = 14
LONG_LINE = 15
NUL_BYTE = 16
TOO_FINE_TIME = 17
BLANK_NUMBER = 18
EMPTY_QUOTE = 19

# Kinds of rows.
TRADE_ROW, BAR_ROW, QUOTE_ROW = 0, 1, 2

# How times are written.
UNKNOWN_FORM = 0
EPOCH_S, EPOCH_MS, EPOCH_US, EPOCH_NS = 1, 2, 3, 4
NAIVE, AWARE, DATE_ONLY = 5, 6, 7

# Bits of STATE[FLAGS].
SAW_LF, SAW_CRLF, SAW_CR, SAW_EXPONENT, SAW_NON_ASCII, SAW_SLASHED_DATE, SAW_DAY_OVER_12, SAW_CLOCK = (
    1, 2, 4, 8, 16, 32, 64, 128,
)  # fmt: skip

# Places in the state array, which a call continues and updates.
ROWS, ISSUES, LINES, POSITION, FLAGS, SYMBOLS, FORM, BLANK_LINES = 0, 1, 2, 3, 4, 5, 6, 7
STATE_LENGTH = 8

# Columns of the issue array.
CODE, LINE, LINE_AT, FIELD_AT, FIELD, ROW = 0, 1, 2, 3, 4, 5
ISSUE_WIDTH = 6

LINE_BYTES_MAX = 1_000_000
SYMBOL_SLOTS = 65_536
SYMBOLS_MAX = SYMBOL_SLOTS // 2

_LF, _CR, _SPACE, _QUOTE, _PLUS, _MINUS, _DOT, _COLON, _SLASH = 10, 13, 32, 34, 43, 45, 46, 58, 47
_NS_PER_S = 1_000_000_000
_DAY_NS = 86_400 * _NS_PER_S
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_END_NS = 84_371 * _DAY_NS  # 2201-01-01
_DIGITS_MAX = 18  # significant digits that surely fit an int64
_DAYS_BEFORE_MONTH = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], dtype=np.int64)
_DAYS_IN_MONTH = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)
_POWERS = np.array([10**k for k in range(19)], dtype=np.int64)
_EXACT_TENS = np.array([10.0**k for k in range(23)], dtype=np.float64)
_Q_MIN, _Q_MAX = -27, 55
_TWO_MIN = -400
_TWOS = np.array([2.0**k for k in range(_TWO_MIN, 401)], dtype=np.float64)
_LOW_32 = np.uint64(0xFFFFFFFF)
_SHIFT_32 = np.uint64(32)
_U1 = np.uint64(1)
_U2 = np.uint64(2)
_U3 = np.uint64(3)
_U63 = np.uint64(63)
_ZERO, _NINE, _TEN = np.uint64(48), np.uint64(9), np.uint64(10)
_EPOCH_UNIT = np.array([0, _NS_PER_S, 1_000_000, 1_000, 1], dtype=np.int64)
_EPOCH_LEAST = np.array([0, 0, 10**11, 10**14, 10**17], dtype=np.int64)
_EPOCH_END = np.array([0, *(_END_NS // unit for unit in _EPOCH_UNIT[1:].tolist())], dtype=np.int64)


def _powers_of_five() -> NDArray[np.uint64]:
    """128 leading bits of 5^q for q in _Q_MIN.._Q_MAX as (high, low): truncated for q >= 0, rounded up below."""
    table = np.empty((_Q_MAX - _Q_MIN + 1, 2), dtype=np.uint64)
    for q in range(_Q_MIN, _Q_MAX + 1):
        if q >= 0:
            power = 5**q
            shift = 128 - power.bit_length()
            bits = power << shift if shift >= 0 else power >> -shift
        else:
            power = 5**-q
            bits = (1 << (power.bit_length() + 127)) // power + 1
        table[q - _Q_MIN] = bits >> 64, bits & ((1 << 64) - 1)
    return table


_FIVES = _powers_of_five()


@compiled
def _product(a: Any, b: Any) -> Any:
    """The 128-bit product of two uint64 as (high, low)."""
    a_low, a_high = a & _LOW_32, a >> _SHIFT_32
    b_low, b_high = b & _LOW_32, b >> _SHIFT_32
    low = a_low * b_low
    cross = a_high * b_low + (low >> _SHIFT_32)  # at most 2^64 - 2^32: it cannot overflow
    other = a_low * b_high + (cross & _LOW_32)
    high = a_high * b_high + (cross >> _SHIFT_32) + (other >> _SHIFT_32)
    return high, (other << _SHIFT_32) | (low & _LOW_32)


@compiled
def _nearest(significand: Any, q: int) -> Any:
    """The double nearest to significand x 10^q, and whether it could be found here. 0 < significand < 10^18."""
    if significand < 9007199254740992 and -22 <= q <= 22:
        if q < 0:
            return float(significand) / _EXACT_TENS[-q], True
        return float(significand) * _EXACT_TENS[q], True
    if q < _Q_MIN or q > _Q_MAX:
        return 0.0, False
    zeros = 0
    top = significand
    while top < 4611686018427387904:  # 2^62: the highest bit that an int64 has
        top <<= 1
        zeros += 1
    zeros += 1
    w = np.uint64(top) << _U1
    high, low = _product(w, _FIVES[q - _Q_MIN, 0])
    if (high & np.uint64(0x1FF)) == np.uint64(0x1FF):  # the 64 further bits may carry into what is kept
        more, _ = _product(w, _FIVES[q - _Q_MIN, 1])
        low += more
        if more > low:
            high += _U1
    upper = np.int64(high >> _U63)
    shift = np.uint64(upper + 9)
    kept = high >> shift  # 54 bits: the 53 of a double and one to round by
    # A tie exists only where 5^q divides out, which needs -4 <= q <= 23; it goes to the even neighbour.
    if low <= _U1 and -4 <= q <= 23 and (kept & _U3) == _U1 and (kept << shift) == high:
        kept &= ~_U1
    kept += kept & _U1
    kept >>= _U1
    # floor(q x log2(10)) in integers; the exponent of the lowest kept bit.
    two = ((217706 * q) >> 16) + 63 + upper - zeros - 52
    return float(np.int64(kept)) * _TWOS[two - _TWO_MIN], True


@compiled
def _field_end(data: Any, at: int, delimiter: int) -> int:
    """Where the field that begins at ``at`` ends: its delimiter or line end; -1 for a quote that is not closed."""
    if data[at] == _QUOTE:
        at += 1
        while True:
            c = data[at]
            if c == _QUOTE:
                at += 1
                if data[at] != _QUOTE:
                    break
            elif c in (_LF, _CR):
                return -1
            at += 1
    while data[at] != delimiter and data[at] != _LF and data[at] != _CR:
        at += 1
    return at


@compiled
def _closing(data: Any, at: int, delimiter: int, quoted: bool) -> Any:
    """Position of the field's end when nothing but a closing quote and blanks is left of it, and whether so."""
    if quoted:
        if data[at] != _QUOTE:
            return at, False
        at += 1
    while data[at] == _SPACE and delimiter != _SPACE:
        at += 1
    c = data[at]
    return at, c == delimiter or c == _LF or c == _CR


@compiled
def _opening(data: Any, at: int, delimiter: int) -> Any:
    """Position of the field's first character behind blanks and an opening quote, and whether there was a quote."""
    while data[at] == _SPACE and delimiter != _SPACE:
        at += 1
    if data[at] == _QUOTE:
        return at + 1, True
    return at, False


@compiled
def _number(data: Any, at: int, delimiter: int) -> Any:
    """A decimal number: (value, where the field ends, status, whether it has an exponent)."""
    at, quoted = _opening(data, at, delimiter)
    negative = data[at] == _MINUS
    if negative or data[at] == _PLUS:
        at += 1
    significand: Any = 0
    digits = 0
    written = 0
    q = 0
    point = False
    while True:
        c = np.int64(data[at])
        d = c - 48
        if 0 <= d <= 9:
            written += 1
            if digits < _DIGITS_MAX:
                significand = significand * 10 + d
            if significand != 0:
                digits += 1
            if point:
                q -= 1
        elif c == _DOT and not point:
            point = True
        else:
            break
        at += 1
    if written == 0:
        end, closed = _closing(data, at, delimiter, quoted)
        if closed and not point and not negative:
            return np.nan, end, BLANK_NUMBER, False
        return 0.0, at, BAD_NUMBER, False
    exponent = (c | 32) == 101
    if exponent:
        at += 1
        sign = 1
        if data[at] in (_PLUS, _MINUS):
            sign = -1 if data[at] == _MINUS else 1
            at += 1
        power: Any = 0
        first = at
        while 48 <= data[at] <= 57:
            power = min(power * 10 + np.int64(data[at]) - 48, 100_000)
            at += 1
        if at == first:
            return 0.0, at, BAD_NUMBER, False
        q += sign * power
    at, closed = _closing(data, at, delimiter, quoted)
    if not closed:
        return 0.0, at, BAD_NUMBER, False
    if digits > _DIGITS_MAX:
        return 0.0, at, SLOW_NUMBER, exponent
    if significand == 0:
        return -0.0 if negative else 0.0, at, FINE, exponent
    value, found = _nearest(significand, q)
    return -value if negative else value, at, FINE if found else SLOW_NUMBER, exponent


@compiled
def _plain_number(data: Any, at: int, delimiter: int) -> Any:
    """The fast lane for ``123.45``, at most 15 digits: (value, where the field ends), -1 where it is anything else.

    Unsigned positions and digits save the kernel a test for each byte, and it spends its time here.
    """
    here = np.uint64(at)
    significand = np.uint64(0)
    digit = np.uint64(data[here]) - _ZERO
    while digit <= _NINE:
        significand = significand * _TEN + digit
        here += _U1
        digit = np.uint64(data[here]) - _ZERO
    count = np.int64(here) - at
    places: Any = 0
    if data[here] == _DOT:
        point = here
        here += _U1
        digit = np.uint64(data[here]) - _ZERO
        while digit <= _NINE:
            significand = significand * _TEN + digit
            here += _U1
            digit = np.uint64(data[here]) - _ZERO
        places = np.int64(here - point) - 1
        count += places
    c = data[here]
    if count == 0 or count > 15 or not (c == delimiter or c == _LF or c == _CR):
        return 0.0, -1
    return float(np.int64(significand)) / _EXACT_TENS[places], np.int64(here)


@compiled
def _plain_epoch(data: Any, at: int, delimiter: int, form: int) -> Any:
    """The fast lane for whole numbers of a known unit: (ns, where the field ends), -1 where it is anything else."""
    here = np.uint64(at)
    value = np.uint64(0)
    digit = np.uint64(data[here]) - _ZERO
    while digit <= _NINE:
        value = value * _TEN + digit
        here += _U1
        digit = np.uint64(data[here]) - _ZERO
    count = np.int64(here) - at
    c = data[here]
    number = np.int64(value)
    fits = 9 <= count <= 19 and _EPOCH_LEAST[form] <= number < _EPOCH_END[form]
    if not fits or not (c == delimiter or c == _LF or c == _CR):
        return 0, -1
    return number * _EPOCH_UNIT[form], np.int64(here)


@compiled
def read_number(data: Any, at: int, delimiter: int) -> Any:
    """``(value, end, status)`` of the decimal number at ``data[at]``; ``data`` must go on beyond the field."""
    value, end, status, _ = _number(data, at, delimiter)
    return value, end, status


@compiled
def _days(year: int, month: int, day: int) -> Any:
    """Days since 1970-01-01 in the Gregorian calendar, and FINE, NO_SUCH_TIME or YEAR_OUT_OF_RANGE."""
    if month < 1 or month > 12 or day < 1 or day > _DAYS_IN_MONTH[month]:
        return 0, NO_SUCH_TIME
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month == 2 and day == 29 and not leap:
        return 0, NO_SUCH_TIME
    if year < _FIRST_YEAR or year > _LAST_YEAR:
        return 0, YEAR_OUT_OF_RANGE
    before = year - 1
    leap_days = before // 4 - before // 100 + before // 400 - 477  # 477 leap days before 1970
    days = 365 * (year - 1970) + leap_days + _DAYS_BEFORE_MONTH[month] + day - 1
    if leap and month > 2:
        days += 1
    return days, FINE


@compiled
def _digits(data: Any, at: int) -> Any:
    """The run of decimal digits at ``at``: (value of the first 19, their number)."""
    value = np.int64(0)
    count = 0
    while 48 <= data[at + count] <= 57:
        if count < 19:
            value = value * 10 + np.int64(data[at + count]) - 48
        count += 1
    return value, count


@compiled
def _fraction(data: Any, at: int, unit_ns: int) -> Any:
    """The digits after a point as ns, where one is ``unit_ns`` ns: (ns, number of digits, status)."""
    value, count = _digits(data, at)
    places = 0
    unit = unit_ns
    while unit > 1:
        unit //= 10
        places += 1
    if count == 0:
        return 0, 0, BAD_TIME
    if count > places:
        return 0, count, TOO_FINE_TIME
    return value * _POWERS[places - count], count, FINE


@compiled
def _clock(data: Any, at: int) -> Any:
    """A time of day, ``HH:MM[:SS[.fraction]]`` or ``HHMM[SS]``: (ns since midnight, position behind it, status)."""
    value, count = _digits(data, at)
    at += count
    second = 0
    if count in (1, 2) and data[at] == _COLON:
        hour = value
        minute, count = _digits(data, at + 1)
        if count != 2:
            return 0, at, BAD_TIME
        at += 3
        if data[at] == _COLON:
            second, count = _digits(data, at + 1)
            if count != 2:
                return 0, at, BAD_TIME
            at += 3
    elif count == 4:
        hour, minute = value // 100, value % 100
    elif count == 6:
        hour, minute, second = value // 10_000, value // 100 % 100, value % 100
    else:
        return 0, at, BAD_TIME
    ns = 0
    if data[at] == _DOT:
        ns, count, status = _fraction(data, at + 1, _NS_PER_S)
        if status != FINE:
            return 0, at, status
        at += 1 + count
    if hour > 23 or minute > 59 or second > 59:
        return 0, at, NO_SUCH_TIME
    return ((hour * 60 + minute) * 60 + second) * _NS_PER_S + ns, at, FINE


@compiled
def _zone(data: Any, at: int) -> Any:
    """An offset behind a time: (minutes east, position behind it, status, whether there is one)."""
    c = data[at]
    if c == _SPACE and data[at + 1] in (_PLUS, _MINUS):
        at += 1
        c = data[at]
    if c in (90, 122):
        return 0, at + 1, FINE, True
    if c not in (_PLUS, _MINUS):
        return 0, at, FINE, False
    value, count = _digits(data, at + 1)
    at += 1 + count
    hours, minutes = value, 0
    if count == 4:
        hours, minutes = value // 100, value % 100
    elif count == 2:
        if data[at] == _COLON:
            minutes, count = _digits(data, at + 1)
            if count != 2:
                return 0, at, BAD_TIME, True
            at += 3
    else:
        return 0, at, BAD_TIME, True
    if hours > 15 or minutes > 59:
        return 0, at, NO_SUCH_TIME, True
    total = hours * 60 + minutes
    return -total if c == _MINUS else total, at, FINE, True


@compiled
def _date(data: Any, at: int) -> Any:
    """A date: (days since 1970, position behind it, status, flags). Slashed dates are year first or month first."""
    first, count = _digits(data, at)
    at += count
    if count == 8:
        days, status = _days(first // 10_000, first // 100 % 100, first % 100)
        return days, at, status, 0
    separator = data[at]
    if count not in (1, 2, 4) or (separator != _SLASH and (separator != _MINUS or count != 4)):
        return 0, at, BAD_TIME, 0
    second, count_2 = _digits(data, at + 1)
    at += 1 + count_2
    if count_2 not in (1, 2) or data[at] != separator:
        return 0, at, BAD_TIME, 0
    third, count_3 = _digits(data, at + 1)
    at += 1 + count_3
    if count == 4:
        if count_3 not in (1, 2):
            return 0, at, BAD_TIME, 0
        days, status = _days(first, second, third)
        return days, at, status, 0
    if count_3 != 4:
        return 0, at, BAD_TIME, 0
    days, status = _days(third, first, second)
    flags = SAW_SLASHED_DATE
    if second > 12 and status == FINE:
        flags |= SAW_DAY_OVER_12
    return days, at, status, flags


@compiled
def _epoch(data: Any, at: int, value: int, count: int) -> Any:
    """A number of s, ms, us or ns since 1970, told apart by magnitude: (ns, position behind it, status, form)."""
    form, unit = EPOCH_NS, 1
    if value < 100_000_000_000:
        form, unit = EPOCH_S, _NS_PER_S
    elif value < 100_000_000_000_000:
        form, unit = EPOCH_MS, 1_000_000
    elif value < 100_000_000_000_000_000:
        form, unit = EPOCH_US, 1_000
    at += count
    if count > 19 or value < 0 or value // 1_000 >= _END_NS // unit // 1_000 + 1:
        return 0, at, YEAR_OUT_OF_RANGE, form
    ns = value * unit
    if data[at] == _DOT:
        fraction, count, status = _fraction(data, at + 1, unit)
        if status != FINE:
            return 0, at, status, form
        at += 1 + count
        ns += fraction
    return ns, at, FINE if ns < _END_NS else YEAR_OUT_OF_RANGE, form


@compiled
def _time(data: Any, at: int, delimiter: int) -> Any:
    """A point in time: (ns, where the field ends, status, form, minutes east, flags).

    ns is UTC for epochs and for times with an offset, local otherwise.
    """
    at, quoted = _opening(data, at, delimiter)
    value, count = _digits(data, at)
    c = data[at + count]
    is_date = c in (_MINUS, _SLASH) or (count == 8 and 19700101 <= value <= 22001231)
    if not is_date or count == 0:
        if count == 0:
            return 0, at, BAD_TIME, UNKNOWN_FORM, 0, 0
        ns, at, status, form = _epoch(data, at, value, count)
        if status != FINE and status != YEAR_OUT_OF_RANGE:
            return ns, at, status, form, 0, 0
        at, closed = _closing(data, at, delimiter, quoted)
        return ns, at, status if closed else BAD_TIME, form, 0, 0
    days, at, status, flags = _date(data, at)
    if status == BAD_TIME:
        return 0, at, status, UNKNOWN_FORM, 0, 0
    form = DATE_ONLY
    clock = 0
    minutes = 0
    c = data[at]
    if c in (84, 116) or (c == _SPACE and 48 <= data[at + 1] <= 57) or (c == _MINUS and count == 8):
        clock, at, clock_status = _clock(data, at + 1)
        if clock_status != FINE:
            return 0, at, clock_status, UNKNOWN_FORM, 0, 0
        form = NAIVE
        minutes, at, zone_status, aware = _zone(data, at)
        if zone_status != FINE:
            return 0, at, zone_status, UNKNOWN_FORM, 0, 0
        if aware:
            form = AWARE
        if clock != 0:
            flags |= SAW_CLOCK
    at, closed = _closing(data, at, delimiter, quoted)
    if not closed:
        return 0, at, BAD_TIME, form, 0, 0
    return days * _DAY_NS + clock - minutes * 60 * _NS_PER_S, at, status, form, minutes, flags


@compiled
def _part(data: Any, at: int, delimiter: int, is_date: bool) -> Any:
    """A date alone or a time of day alone: (ns, where the field ends, status, flags)."""
    at, quoted = _opening(data, at, delimiter)
    if is_date:
        days, at, status, flags = _date(data, at)
        ns = days * _DAY_NS
    else:
        ns, at, status = _clock(data, at)
        flags = SAW_CLOCK if ns != 0 else 0
    at, closed = _closing(data, at, delimiter, quoted)
    if not closed and status == FINE:
        status = BAD_TIME
    return ns, at, status, flags


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
def parse_lines(
    data: Any, delimiter: int, roles: Any, field_of: Any, prices: int, kind: int, signed: bool,
    ts: Any, minutes_east: Any, values: Any, symbols: Any, line_at: Any, slots: Any, places: Any, issues: Any,
    state: Any,
) -> None:  # fmt: skip
    """Parse lines from ``state[POSITION]`` on until ``data`` ends or an output is full.

    ``data`` (uint8) ends with a line end. ``roles`` (int64) says what each column of the file is, ``field_of`` which
    column value j is. Outputs, one entry a row from ``state[ROWS]`` on: ``ts`` (int64, ns), ``minutes_east`` (int16,
    of times with an offset), ``values`` (float64, (columns, rows)), ``symbols`` (int32, numbers of ``places``),
    ``line_at`` (int32, where the row's line begins). ``issues`` is int64 (n, ISSUE_WIDTH). A row with an issue is not
    output, except for SLOW_NUMBER, which leaves a value to be filled in; of others ROW holds the form of the time.
    """
    fields = len(roles)
    begins = np.zeros(fields, dtype=np.int64)
    at = state[POSITION]
    row, issue, line, flags = state[ROWS], state[ISSUES], state[LINES], state[FLAGS]
    known, form, blank = state[SYMBOLS], state[FORM], state[BLANK_LINES]
    previous_symbol = -1
    while at < len(data) and row < len(ts) and issue + fields < len(issues) and known < SYMBOLS_MAX:
        begin = at
        first_issue = issue
        status = FINE
        field = 0
        bad_field = 0
        bad_at = at
        stamp = 0
        row_form = UNKNOWN_FORM
        if data[at] == _LF or data[at] == _CR:
            blank += 1
            field = fields
        while field < fields:
            begins[field] = at
            role = roles[field]
            if role >= NUMBER:
                value, end = _plain_number(data, at, delimiter)
                if end < 0:
                    value, end, status, exponent = _number(data, at, delimiter)
                    if exponent:
                        flags |= SAW_EXPONENT
                values[role - NUMBER, row] = value
                if status == SLOW_NUMBER:
                    issues[issue, CODE] = SLOW_NUMBER
                    issues[issue, LINE] = line
                    issues[issue, LINE_AT] = begin
                    issues[issue, FIELD_AT] = at
                    issues[issue, FIELD] = field
                    issues[issue, ROW] = row
                    issue += 1
                    status = FINE
                elif status == BLANK_NUMBER and kind == QUOTE_ROW:
                    status = FINE
            elif role == TIME:
                end = -1
                if EPOCH_S <= form <= EPOCH_NS:
                    stamp, end = _plain_epoch(data, at, delimiter, form)
                if end < 0:
                    stamp, end, status, row_form, east, more = _time(data, at, delimiter)
                    if status == FINE:
                        flags |= more
                        if form == UNKNOWN_FORM:
                            form = row_form
                        if row_form != form:
                            status = OTHER_TIME_FORM
                        if form == AWARE:
                            minutes_east[row] = east
            elif role == SKIP or role == SYMBOL:
                end = _field_end(data, at, delimiter)
                if end < 0:
                    status = UNCLOSED_QUOTE
                else:
                    for k in range(at, end):
                        if data[k] >= 128:
                            flags |= SAW_NON_ASCII
                        elif data[k] == 0:
                            status = NUL_BYTE
                    if role == SYMBOL and status == FINE:
                        symbols[row] = _symbol_code(data, at, end, slots, places, known, previous_symbol)
                        previous_symbol = symbols[row]
                        known = max(known, previous_symbol + 1)
            else:
                ns, end, status, more = _part(data, at, delimiter, role == DATE)
                stamp += ns
                if status == FINE:
                    flags |= more
                    form = NAIVE
            if status != FINE:
                bad_field = field
                bad_at = begins[field]
                break
            at = end
            field += 1
            if field < fields:
                if data[at] != delimiter:
                    status = TOO_FEW_FIELDS
                    bad_field = field
                    bad_at = at
                    break
                at += 1
            elif data[at] == delimiter:
                status = TOO_MANY_FIELDS
                bad_field = field
                bad_at = at + 1
        if status == FINE and at > begin:
            if issue == first_issue:
                status, j = row_fault(values, row, prices, kind, signed)
                bad_field = field_of[j]
                bad_at = begins[bad_field]
            if at - begin > LINE_BYTES_MAX:
                status = LONG_LINE
                bad_at = begin
        if status != FINE:
            issue = first_issue  # a slow number of a row that is refused does not matter
            issues[issue, CODE] = status
            issues[issue, LINE] = line
            issues[issue, LINE_AT] = begin
            issues[issue, FIELD_AT] = bad_at
            issues[issue, FIELD] = bad_field
            issues[issue, ROW] = row_form
            issue += 1
            at = begin
            while data[at] != _LF and data[at] != _CR:
                at += 1
        elif at > begin:
            ts[row] = stamp
            line_at[row] = begin
            row += 1
        if data[at] == _LF:
            flags |= SAW_LF
        elif at + 1 < len(data) and data[at + 1] == _LF:
            flags |= SAW_CRLF
            at += 1
        else:
            flags |= SAW_CR
        at += 1
        line += 1
    state[POSITION] = at
    state[ROWS], state[ISSUES], state[LINES], state[FLAGS] = row, issue, line, flags
    state[SYMBOLS], state[FORM], state[BLANK_LINES] = known, form, blank


# Numba's decorator for all kernels keeps the interpreter lock; this one runs beside the thread that reads the file.
getattr(parse_lines, "targetoptions", {})["nogil"] = True
