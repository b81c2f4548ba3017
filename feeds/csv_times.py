"""Compiled conversion of times: epochs of four units, and dates with and without a time of day and an offset."""

from __future__ import annotations

from typing import Any

import numpy as np

from feeds.csv_codes import (
    AWARE,
    BAD_TIME,
    COLON,
    CR,
    DATE_ONLY,
    DOT,
    EPOCH_MS,
    EPOCH_NS,
    EPOCH_S,
    EPOCH_US,
    FINE,
    LF,
    MINUS,
    NAIVE,
    NO_SUCH_TIME,
    PLUS,
    SAW_CLOCK,
    SAW_DAY_OVER_12,
    SAW_SLASHED_DATE,
    SLASH,
    SPACE,
    TOO_FINE_TIME,
    UNKNOWN_FORM,
    YEAR_OUT_OF_RANGE,
)
from feeds.csv_numbers import closing, opening
from papertape.core.compiled import compiled

_NS_PER_S = 1_000_000_000
_DAY_NS = 86_400 * _NS_PER_S
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_END_NS = 84_371 * _DAY_NS  # 2201-01-01
_DAYS_BEFORE_MONTH = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], dtype=np.int64)
_DAYS_IN_MONTH = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)
_POWERS = np.array([10**k for k in range(19)], dtype=np.int64)
_EPOCH_UNIT = np.array([0, _NS_PER_S, 1_000_000, 1_000, 1, 0, 0, 0], dtype=np.int64)  # by form
_EPOCH_LEAST = np.array([0, 0, 10**11, 10**14, 10**17, 0, 0, 0], dtype=np.int64)
_EPOCH_END = np.array([_END_NS // unit if unit else 0 for unit in _EPOCH_UNIT.tolist()], dtype=np.int64)
_U1 = np.uint64(1)
_ZERO, _NINE, _TEN = np.uint64(48), np.uint64(9), np.uint64(10)


@compiled
def plain_epoch(data: Any, at: int, delimiter: int, form: int) -> Any:
    """The fast lane for whole numbers of a known unit: (ns, where the field ends), -1 where it is anything else.

    Of a form that is no epoch no number fits.
    """
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
    if not fits or not (c == delimiter or c == LF or c == CR):
        return 0, -1
    return number * _EPOCH_UNIT[form], np.int64(here)


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
    if count in (1, 2) and data[at] == COLON:
        hour = value
        minute, count = _digits(data, at + 1)
        if count != 2:
            return 0, at, BAD_TIME
        at += 3
        if data[at] == COLON:
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
    if data[at] == DOT:
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
    if c == SPACE and data[at + 1] in (PLUS, MINUS):
        at += 1
        c = data[at]
    if c in (90, 122):
        return 0, at + 1, FINE, True
    if c not in (PLUS, MINUS):
        return 0, at, FINE, False
    value, count = _digits(data, at + 1)
    at += 1 + count
    hours, minutes = value, 0
    if count == 4:
        hours, minutes = value // 100, value % 100
    elif count == 2:
        if data[at] == COLON:
            minutes, count = _digits(data, at + 1)
            if count != 2:
                return 0, at, BAD_TIME, True
            at += 3
    else:
        return 0, at, BAD_TIME, True
    if hours > 15 or minutes > 59:
        return 0, at, NO_SUCH_TIME, True
    total = hours * 60 + minutes
    return -total if c == MINUS else total, at, FINE, True


@compiled
def _date(data: Any, at: int) -> Any:
    """A date: (days since 1970, position behind it, status, flags). Slashed dates are year first or month first."""
    first, count = _digits(data, at)
    at += count
    if count == 8:
        days, status = _days(first // 10_000, first // 100 % 100, first % 100)
        return days, at, status, 0
    separator = data[at]
    if count not in (1, 2, 4) or (separator != SLASH and (separator != MINUS or count != 4)):
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
    if data[at] == DOT:
        fraction, count, status = _fraction(data, at + 1, unit)
        if status != FINE:
            return 0, at, status, form
        at += 1 + count
        ns += fraction
    return ns, at, FINE if ns < _END_NS else YEAR_OUT_OF_RANGE, form


@compiled
def time_field(data: Any, at: int, delimiter: int) -> Any:
    """A point in time: (ns, where the field ends, status, form, minutes east, flags).

    ns is UTC for epochs and for times with an offset, local otherwise.
    """
    at, quoted = opening(data, at, delimiter)
    value, count = _digits(data, at)
    c = data[at + count]
    is_date = c in (MINUS, SLASH) or (count == 8 and 19700101 <= value <= 22001231)
    if not is_date or count == 0:
        if count == 0:
            return 0, at, BAD_TIME, UNKNOWN_FORM, 0, 0
        ns, at, status, form = _epoch(data, at, value, count)
        if status != FINE and status != YEAR_OUT_OF_RANGE:
            return ns, at, status, form, 0, 0
        at, closed = closing(data, at, delimiter, quoted)
        return ns, at, status if closed else BAD_TIME, form, 0, 0
    days, at, status, flags = _date(data, at)
    if status == BAD_TIME:
        return 0, at, status, UNKNOWN_FORM, 0, 0
    form = DATE_ONLY
    clock = 0
    minutes = 0
    c = data[at]
    if c in (84, 116) or (c == SPACE and 48 <= data[at + 1] <= 57) or (c == MINUS and count == 8):
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
    at, closed = closing(data, at, delimiter, quoted)
    if not closed:
        return 0, at, BAD_TIME, form, 0, 0
    return days * _DAY_NS + clock - minutes * 60 * _NS_PER_S, at, status, form, minutes, flags


@compiled
def part_field(data: Any, at: int, delimiter: int, is_date: bool) -> Any:
    """A date alone or a time of day alone: (ns, where the field ends, status, flags)."""
    at, quoted = opening(data, at, delimiter)
    if is_date:
        days, at, status, flags = _date(data, at)
        ns = days * _DAY_NS
    else:
        ns, at, status = _clock(data, at)
        flags = SAW_CLOCK if ns != 0 else 0
    at, closed = closing(data, at, delimiter, quoted)
    if not closed and status == FINE:
        status = BAD_TIME
    return ns, at, status, flags
