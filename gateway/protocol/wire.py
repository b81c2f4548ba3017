"""The wire of TWS: frames of NUL-terminated text fields, and how each kind of value is spelled in a field.

A frame is its payload's length (four bytes, big-endian) and the payload. Facts: the public clients' readers and writers,
and what TWS was recorded to send; a spelling that only clients confirm is marked so where it is defined.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from papertape.core.errors import PeerError

FIRST_VERSION = 157
LAST_VERSION = 200
"""Server versions that the layouts describe: everything is text up to 200."""
RAW_NUMBERS = 201
"""First server version whose messages begin with their number in four bytes (big-endian) instead of a field."""
NEWEST_VERSION = 226
"""Last server version that can be spoken. From RAW_NUMBERS on text has the layouts of LAST_VERSION: the public clients
read no text differently there. What they send is more and more protobuf (``gateway.protocol.protobuf``)."""
NUMBER_BYTES = 4
PREFIX_BYTES = 4
REQUEST_BYTES_MAX = 1 << 20
"""Longest frame that is taken from a client; the longest sound request is far below."""
NUMBER_CHARACTERS_MAX = 64
UNSET_INT = "2147483647"
UNSET_FLOAT = "1.7976931348623157E308"
"""How TWS writes a float that is unset; Python clients write the same number with ``e+308``."""
FRACTIONAL_SIZES = 163
"""First server version whose sizes may be fractions: before it clients read them as integers."""

_LARGEST = 1.7976931348623157e308
_UNSET_INTS = frozenset({UNSET_INT, "9223372036854775807"})
_UNSET_QUANTITY = Decimal(2**127 - 1)
_INT = re.compile(r"[+-]?[0-9]{1,19}\Z", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?\Z", re.ASCII)
_INFINITIES = frozenset({"Infinity", "Infinite", "inf"})
_ESCAPE = re.compile(r"\\(?:\\|n|r|t|'|\"|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}|U0010[0-9a-fA-F]{4})")
_ESCAPED = {"\\\\": "\\", "\\n": "\n", "\\r": "\r", "\\t": "\t", "\\'": "'", '\\"': '"'}


class ProtocolError(PeerError):
    """A peer sent what the protocol does not have. ``request`` is the request's number where it was readable, or -1."""

    def __init__(self, what: str, request: int = -1) -> None:
        super().__init__(what)
        self.request = request


def frame(payload: bytes) -> bytes:
    """A whole frame: the length and the payload."""
    return struct.pack(">I", len(payload)) + payload


class FrameReader:
    """Cuts what arrives into payloads. It never holds more than one frame of ``most_bytes`` and what was just fed.

    Raises ProtocolError where a frame announces no bytes or more than ``most_bytes``; nothing can be read after that.
    """

    __slots__ = ("_held", "_most_bytes")

    def __init__(self, most_bytes: int = REQUEST_BYTES_MAX) -> None:
        self._most_bytes = most_bytes
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """All payloads that are complete now, in order."""
        held = self._held
        held += data
        payloads = []
        at = 0
        while len(held) - at >= PREFIX_BYTES:
            (size,) = struct.unpack_from(">I", held, at)
            if not 0 < size <= self._most_bytes:
                raise ProtocolError(f"a frame announces {size} bytes; 1 to {self._most_bytes} are allowed")
            beyond = at + PREFIX_BYTES + size
            if beyond > len(held):
                break
            payloads.append(bytes(held[at + PREFIX_BYTES : beyond]))
            at = beyond
        del held[:at]
        return payloads

    @property
    def waiting(self) -> int:
        """Bytes of a frame that has begun and is not complete."""
        return len(self._held)


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of value is read from a field's text (ValueError where it can not be) and written to it."""

    name: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]


def read_int(text: str) -> int:
    """A plain integer of 64 bits."""
    if _INT.match(text) and -(2**63) <= (value := int(text)) < 2**63:
        return value
    raise ValueError("an integer")


def _int_or(unset: int | None) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        if not text or text in _UNSET_INTS or (len(text) > len(UNSET_INT) and _is_unset_float(text)):
            return unset
        return read_int(text)

    return read


def _is_unset_float(text: str) -> bool:
    return len(text) <= NUMBER_CHARACTERS_MAX and _FLOAT.match(text) is not None and float(text) == _LARGEST


def _float_or(unset: float, infinite: bool = False) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not text or text in _UNSET_INTS:
            return unset
        if infinite and text in _INFINITIES:
            return math.inf
        if len(text) <= NUMBER_CHARACTERS_MAX and _FLOAT.match(text):
            value = float(text)
            if value == _LARGEST:
                return unset
            if math.isfinite(value):
                return value
        raise ValueError("a number")

    return read


def _write_int(value: int | None) -> str:
    return "" if value is None else str(int(value))


def _write_int_or_max(value: int | None) -> str:
    return UNSET_INT if value is None else str(int(value))


def _write_float(unset: str) -> Callable[[float], str]:
    def write(value: float) -> str:
        if value != value:  # NaN is not equal to itself; this is half the price of asking math
            return unset
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return repr(float(value))

    return write


def _write_number(value: float) -> str:
    """Without a decimal point where none is needed, as TWS writes strikes: ``0``, ``12.5``."""
    if value != value:
        return "0"
    if abs(value) < 1e15 and value == math.floor(value):
        return str(int(value))
    return repr(float(value))


def _write_quantity(value: float) -> str:
    if value != value:
        return ""
    if value == (whole := math.trunc(value)):
        return str(whole)
    return format(Decimal(repr(float(value))), "f")


def _write_whole(value: float) -> str:
    return "" if value != value else str(math.trunc(value))


def _read_quantity(text: str) -> float:
    if not text:
        return math.nan
    if len(text) > NUMBER_CHARACTERS_MAX or not _FLOAT.match(text):
        if text == "-9223372036854775808":
            return math.nan
        raise ValueError("a quantity")
    value = float(text)
    if value == _LARGEST or text in _UNSET_INTS or value == float(_UNSET_QUANTITY):
        return math.nan
    if not math.isfinite(value):
        raise ValueError("a quantity")
    return value


def _read_bool(text: str) -> bool:
    if text in {"1", "true", "True"}:
        return True
    if text in {"", "0", "false", "False"}:
        return False
    return read_int(text) != 0


def _read_optional_bool(text: str) -> bool | None:
    return None if not text or text in _UNSET_INTS else _read_bool(text)


def _write_bool(value: bool | None) -> str:
    return "" if value is None else "1" if value else "0"


def plain(text: str) -> str:
    """ASCII without NUL: other characters as backslash escapes, NUL as a space."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", " ").encode("ascii", "backslashreplace").decode("ascii")


def _write_escaped(text: str) -> str:
    return plain(text.replace("\\", "\\\\"))


def _read_escaped(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        escape = found[0]
        return _ESCAPED.get(escape) or chr(int("0x" + escape[2:], 0))

    return _ESCAPE.sub(character, text) if "\\" in text else text


ID = Kind("number", read_int, str)
"""A number that is always there: of a request, an order, a contract's position in a list."""
INT = Kind("integer", _int_or(0), _write_int)
"""An integer; unset reads as 0."""
OPTIONAL_INT = Kind("integer", _int_or(None), _write_int)
"""An integer or None, which is written as nothing."""
OPTIONAL_COUNT = Kind("count", lambda text: None if text == "-1" else _int_or(None)(text), _write_int)
"""How many, or None: written as nothing, and read from -1 too, which clients send where none was said."""
OPTIONAL_INT_MAX = Kind("integer", _int_or(None), _write_int_or_max)
"""An integer or None, written as 2147483647: where a client would read an empty field as 0."""
INT_OR_EMPTY = Kind("integer", _int_or(0), lambda value: str(value) if value else "")
"""An integer whose 0 is written as nothing."""
FLOAT = Kind("number", _float_or(math.nan), _write_float(""))
"""A number or NaN, which is written as nothing."""
FLOAT_MAX = Kind("number", _float_or(math.nan), _write_float(UNSET_FLOAT))
"""A number or NaN, written as the largest float: where a client would read an empty field as 0."""
FLOAT_OR_ZERO = Kind(
    "number", lambda text: _float_or(math.nan)(text) or math.nan, lambda value: _write_float("0")(value or math.nan)
)
"""A number or NaN, written as 0 and read from it: where TWS was seen to do so and 0 means unset."""
INFINITE_FLOAT = Kind("number", _float_or(math.nan, infinite=True), _write_float(""))
"""A number, infinity (written ``Infinity``) or NaN."""
AMOUNT = Kind("number", _float_or(0.0), _write_float("0.0"))
"""A number; unset reads as 0.0."""
NUMBER = Kind("number", _float_or(0.0), _write_number)
"""A number that is written without a point where it is integral; unset reads as 0.0."""
QUANTITY = Kind("quantity", _read_quantity, _write_quantity)
"""A quantity that may be a fraction at every version; never with an exponent, integral ones without a point."""
WHOLE_SIZE = Kind("size", _read_quantity, _write_whole)
"""A size below FRACTIONAL_SIZES: what is less than one is cut off."""
SIZE = Kind("size", _read_quantity, _write_quantity)
"""A size: WHOLE_SIZE below FRACTIONAL_SIZES, a quantity from there."""
BOOL = Kind("flag", _read_bool, _write_bool)
"""True (1) or False (0; so reads nothing)."""
BOOL_OR_EMPTY = Kind("flag", _read_bool, lambda value: "1" if value else "")
"""The same, False written as nothing."""
OPTIONAL_BOOL = Kind("flag", _read_optional_bool, _write_bool)
"""True, False or None, which is written as nothing."""
MONEY = Kind("text", lambda text: "" if text == UNSET_FLOAT else text, lambda value: plain(value) or UNSET_FLOAT)
"""An amount as text, empty where it is unset, which TWS writes as the largest float."""
TEXT = Kind("text", str, plain)
"""Text that clients take as it is."""
ESCAPED = Kind("text", _read_escaped, _write_escaped)
"""Text in which clients resolve backslash escapes: a backslash is doubled."""
