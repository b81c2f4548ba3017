"""Compiled conversion of fields, and of decimal numbers.

Decimal numbers are converted exactly: the result is the double nearest to the written number. A significand below
2^53 with a power of ten up to 22 is one correctly rounded operation (W. D. Clinger, "How to read floating point
numbers accurately", 1990); up to 18 digits and powers in -27..55 follow D. Lemire, "Number parsing at a gigabyte per
second" (2021), sections 5 to 8; anything else is left to Python's ``float``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feeds.csv_codes import (
    BAD_NUMBER,
    BLANK_NUMBER,
    CR,
    DOT,
    FINE,
    LF,
    MINUS,
    PLUS,
    QUOTE,
    SLOW_NUMBER,
    SPACE,
)
from papertape.core.compiled import compiled

_DIGITS_MAX = 18  # significant digits that surely fit an int64
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
def field_end(data: Any, at: int, delimiter: int) -> int:
    """Where the field that begins at ``at`` ends: its delimiter or line end; -1 for a quote that is not closed."""
    if data[at] == QUOTE:
        at += 1
        while True:
            c = data[at]
            if c == QUOTE:
                at += 1
                if data[at] != QUOTE:
                    break
            elif c in (LF, CR):
                return -1
            at += 1
    while data[at] != delimiter and data[at] != LF and data[at] != CR:
        at += 1
    return at


@compiled
def closing(data: Any, at: int, delimiter: int, quoted: bool) -> Any:
    """Position of the field's end when nothing but a closing quote and blanks is left of it, and whether so."""
    if quoted:
        if data[at] != QUOTE:
            return at, False
        at += 1
    while data[at] == SPACE and delimiter != SPACE:
        at += 1
    c = data[at]
    return at, c == delimiter or c == LF or c == CR


@compiled
def opening(data: Any, at: int, delimiter: int) -> Any:
    """Position of the field's first character behind blanks and an opening quote, and whether there was a quote."""
    while data[at] == SPACE and delimiter != SPACE:
        at += 1
    if data[at] == QUOTE:
        return at + 1, True
    return at, False


@compiled
def number(data: Any, at: int, delimiter: int) -> Any:
    """A decimal number: (value, where the field ends, status, whether it has an exponent)."""
    at, quoted = opening(data, at, delimiter)
    negative = data[at] == MINUS
    if negative or data[at] == PLUS:
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
        elif c == DOT and not point:
            point = True
        else:
            break
        at += 1
    if written == 0:
        end, closed = closing(data, at, delimiter, quoted)
        if closed and not point and not negative:
            return np.nan, end, BLANK_NUMBER, False
        return 0.0, at, BAD_NUMBER, False
    exponent = (c | 32) == 101
    if exponent:
        at += 1
        sign = 1
        if data[at] in (PLUS, MINUS):
            sign = -1 if data[at] == MINUS else 1
            at += 1
        power: Any = 0
        first = at
        while 48 <= data[at] <= 57:
            power = min(power * 10 + np.int64(data[at]) - 48, 100_000)
            at += 1
        if at == first:
            return 0.0, at, BAD_NUMBER, False
        q += sign * power
    at, closed = closing(data, at, delimiter, quoted)
    if not closed:
        return 0.0, at, BAD_NUMBER, False
    if digits > _DIGITS_MAX:
        return 0.0, at, SLOW_NUMBER, exponent
    if significand == 0:
        return -0.0 if negative else 0.0, at, FINE, exponent
    value, found = _nearest(significand, q)
    return -value if negative else value, at, FINE if found else SLOW_NUMBER, exponent


@compiled
def plain_number(data: Any, at: int, delimiter: int) -> Any:
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
    if data[here] == DOT:
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
    if count == 0 or count > 15 or not (c == delimiter or c == LF or c == CR):
        return 0.0, -1
    return float(np.int64(significand)) / _EXACT_TENS[places], np.int64(here)


@compiled
def read_number(data: Any, at: int, delimiter: int) -> Any:
    """``(value, end, status)`` of the decimal number at ``data[at]``; ``data`` must go on beyond the field."""
    value, end, status, _ = number(data, at, delimiter)
    return value, end, status
