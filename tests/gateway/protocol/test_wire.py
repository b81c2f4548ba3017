"""Frames, and how values are spelled in fields."""

from __future__ import annotations

import math
import struct

import pytest

from gateway.protocol import wire
from gateway.protocol.wire import FrameReader, Kind, ProtocolError, frame
from gateway.settings import FIRST_SERVER_VERSION, LAST_SERVER_VERSION, NEWEST_SERVER_VERSION


def test_the_gateway_offers_the_versions_that_the_layouts_describe() -> None:
    assert (wire.FIRST_VERSION, wire.LAST_VERSION) == (FIRST_SERVER_VERSION, LAST_SERVER_VERSION)
    assert wire.NEWEST_VERSION == NEWEST_SERVER_VERSION


def test_a_frame_is_its_length_and_its_payload() -> None:
    assert frame(b"49\x001\x00") == b"\x00\x00\x00\x0549\x001\x00"


def test_frames_come_out_whole_however_they_arrive() -> None:
    payloads = [b"49\x001\x00", b"x" * 4096, b"8\x001\x001\x00"]
    stream = b"".join(frame(each) for each in payloads)
    for piece in (1, 3, 4, 5, 4096, len(stream)):
        reader = FrameReader()
        got = [each for at in range(0, len(stream), piece) for each in reader.feed(stream[at : at + piece])]
        assert got == payloads
        assert reader.waiting == 0


@pytest.mark.parametrize("size", [0, 101, 0x47455420, 0xFFFFFFFF])
def test_a_length_that_no_frame_has_is_refused_before_its_bytes_come(size: int) -> None:
    with pytest.raises(ProtocolError, match="1 to 100 are allowed"):
        FrameReader(100).feed(struct.pack(">I", size))


def test_the_longest_frame_is_taken() -> None:
    assert FrameReader(100).feed(frame(b"x" * 100)) == [b"x" * 100]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (wire.INT, "-5", -5),
        (wire.INT, "", 0),
        (wire.INT, "2147483647", 0),
        (wire.ID, "2147483647", 2147483647),
        (wire.OPTIONAL_INT, "", None),
        (wire.OPTIONAL_INT, "2147483647", None),
        (wire.OPTIONAL_INT, "1.7976931348623157e+308", None),
        (wire.OPTIONAL_INT, "7", 7),
        (wire.OPTIONAL_COUNT, "-1", None),
        (wire.FLOAT, "1.7976931348623157E308", math.nan),
        (wire.FLOAT, "1.7976931348623157e+308", math.nan),
        (wire.FLOAT, "2147483647", math.nan),
        (wire.FLOAT, "", math.nan),
        (wire.FLOAT, "309.16", 309.16),
        (wire.FLOAT, "1e-05", 1e-05),
        (wire.AMOUNT, "", 0.0),
        (wire.INFINITE_FLOAT, "Infinity", math.inf),
        (wire.INFINITE_FLOAT, "Infinite", math.inf),
        (wire.QUANTITY, "100", 100.0),
        (wire.QUANTITY, "0.5", 0.5),
        (wire.QUANTITY, "170141183460469231731687303715884105727", math.nan),
        (wire.BOOL, "1", True),
        (wire.BOOL, "", False),
        (wire.BOOL, "0", False),
        (wire.OPTIONAL_BOOL, "", None),
        (wire.OPTIONAL_BOOL, "0", False),
        (wire.FLOAT_OR_ZERO, "0", math.nan),
        (wire.MONEY, "1.7976931348623157E308", ""),
        (wire.ESCAPED, "a\\\\n\\u201cb\\xe9", "a\\n“bé"),
    ],
)
def test_a_field_reads_in_every_spelling_of_its_value(kind: Kind, text: str, value: object) -> None:
    assert repr(kind.read(text)) == repr(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (wire.INT, "1_000"),
        (wire.INT, " 1"),
        (wire.INT, "1.5"),
        (wire.INT, "١"),
        (wire.INT, "9" * 20),
        (wire.INT, "9223372036854775808"),
        (wire.INT, "9" * 100_000),
        (wire.ID, ""),
        (wire.FLOAT, "nan"),
        (wire.FLOAT, "inf"),
        (wire.FLOAT, "Infinity"),
        (wire.FLOAT, "1e999"),
        (wire.FLOAT, "1_0.0"),
        (wire.FLOAT, "0x10"),
        (wire.FLOAT, "1" * 100_000),
        (wire.QUANTITY, "NaN"),
        (wire.QUANTITY, "1e400"),
        (wire.BOOL, "yes"),
    ],
)
def test_what_is_no_such_value_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        kind.read(text)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (wire.FLOAT, 309.16, "309.16"),
        (wire.FLOAT, 0.0, "0.0"),
        (wire.FLOAT, math.nan, ""),
        (wire.FLOAT_MAX, math.nan, "1.7976931348623157E308"),
        (wire.FLOAT_OR_ZERO, math.nan, "0"),
        (wire.INFINITE_FLOAT, math.inf, "Infinity"),
        (wire.NUMBER, 0.0, "0"),
        (wire.NUMBER, 12.5, "12.5"),
        (wire.QUANTITY, 100.0, "100"),
        (wire.QUANTITY, 1e16, "10000000000000000"),
        (wire.QUANTITY, 1e-7, "0.0000001"),
        (wire.QUANTITY, 0.1 + 0.2, "0.30000000000000004"),
        (wire.QUANTITY, -11.5, "-11.5"),
        (wire.QUANTITY, math.nan, ""),
        (wire.WHOLE_SIZE, 100.9, "100"),
        (wire.WHOLE_SIZE, -0.5, "0"),
        (wire.OPTIONAL_INT_MAX, None, "2147483647"),
        (wire.INT_OR_EMPTY, 0, ""),
        (wire.TEXT, "Zürich → \0", "Z\\xfcrich \\u2192  "),
        (wire.ESCAPED, "a\\b", "a\\\\b"),
        (wire.MONEY, "", "1.7976931348623157E308"),
    ],
)
def test_a_value_is_written_so_that_every_client_can_read_it(kind: Kind, value: object, text: str) -> None:
    assert kind.write(value) == text
    assert kind.write(value).isascii()
