"""Numbers that the compiled parser and those who call it agree on."""

from __future__ import annotations

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
ROWS, ISSUES, LINES, POSITION, FLAGS, SYMBOLS, FORM, BLANK_LINES, ROW_FORM = 0, 1, 2, 3, 4, 5, 6, 7, 8
STATE_LENGTH = 9

# Columns of the issue array.
CODE, LINE, LINE_AT, FIELD_AT, FIELD, ROW = 0, 1, 2, 3, 4, 5
ISSUE_WIDTH = 6

LINE_BYTES_MAX = 1_000_000
SYMBOL_SLOTS = 65_536
SYMBOLS_MAX = SYMBOL_SLOTS // 2

# Bytes.
LF, CR, SPACE, QUOTE, PLUS, MINUS, DOT, COLON, SLASH = 10, 13, 32, 34, 43, 45, 46, 58, 47
