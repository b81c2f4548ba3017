"""Every request and reply, with any values, at every server version: what was written is what is read."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.protocol import requests
from gateway.protocol.codec import (
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    reply_tail,
    with_request,
)
from gateway.protocol.layouts import Field, Message
from gateway.protocol.order import Condition
from gateway.protocol.replies import Reply
from gateway.protocol.reply_layouts import REPLIES
from gateway.protocol.request_layouts import BY_NAME_ONLY, REQUESTS
from gateway.protocol.requests import Request
from gateway.protocol.wire import ESCAPED, FIRST_VERSION, FRACTIONAL_SIZES, LAST_VERSION, SIZE

VERSIONS = range(FIRST_VERSION, LAST_VERSION + 1)
ASCII = st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=12)
INTS = st.integers(-(2**31) + 1, 2**31 - 2)
FLOATS = st.integers(-(10**15), 10**15).map(lambda n: n / 4096) | st.sampled_from([math.nan, 0.1 + 0.2, 1e-5, 1e16])
CONDITIONS = st.builds(
    Condition, st.sampled_from([1, 3, 4, 5, 6, 7]), st.booleans(), st.booleans(), ASCII, INTS, ASCII, INTS, ASCII, ASCII
)
TELLING = {
    "Contract.type": st.sampled_from(["STK", "BAG", "FUND", ""]),
    "Contract.exchange": st.sampled_from(["SMART", "IBKRATS"]),
    "Order.type": st.sampled_from(["LMT", "PEG BENCH", "PEG MID", "PEG BEST", "PEGBENCH", "PEGMID", "PEGBEST"]),
    "Order.compete_offset": FLOATS | st.just(math.inf),
    "TickLast.kind": st.sampled_from([1, 2]),
    "ScannerSubscription.rows": st.none() | st.integers(0, 1_000),
}
"""Fields on whose values other fields depend."""


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    plain = {int: INTS, float: FLOATS, str: ASCII, bool: st.booleans(), type(None): st.none(), Condition: CONDITIONS}
    if kind in plain:
        return plain[kind]
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return objects(kind)
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        if arguments[-1] is Ellipsis:
            return st.lists(values(arguments[0]), max_size=3).map(tuple)
        return st.tuples(*map(values, arguments))
    return st.one_of(*map(values, arguments))


@cache
def objects(of: type) -> st.SearchStrategy[Any]:
    """Objects of a class with any values in all of its fields."""
    hints = typing.get_type_hints(of)
    each = {
        f.name: TELLING.get(f"{of.__name__}.{f.name}", values(hints[f.name]))
        for f in dataclasses.fields(of)  # type: ignore[arg-type] # they are dataclasses all
    }
    return st.builds(of, **each)


def get(message: object, path: str) -> Any:
    for name in path.split("."):
        message = getattr(message, name)
    return message


def check(
    message: Message,
    value: Any,
    version: int,
    encode: Callable[[Any, int], bytes],
    decode: Callable[[bytes, int], Any],
) -> None:
    written = encode(value, version)
    read = decode(written[4:], version)
    assert written[4:].isascii()
    assert encode(read, version) == written
    assert repr(decode(encode(read, version)[4:], version)) == repr(read)
    for item in message.items:
        if isinstance(item, Field) and item.since <= version < item.before and item.kind is not ESCAPED:
            meant = get(value, item.path)
            if item.kind is SIZE and version < FRACTIONAL_SIZES:
                meant = meant if math.isnan(meant) else float(math.trunc(meant))
            if item.kind.read(item.kind.write(meant)) == meant:  # NaN and unset are not equal to themselves
                assert repr(get(read, item.path)) in {repr(meant), repr(item.kind.read(item.kind.write(meant)))}, item


@pytest.mark.hypothesis
@pytest.mark.parametrize("message", REQUESTS, ids=lambda message: message.of.__name__)
@settings(max_examples=6, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_request_reads_as_it_was_written_at_every_version(message: Message, data: st.DataObject) -> None:
    value = data.draw(objects(message.of))
    for version in VERSIONS:
        if version >= message.since:
            check(message, value, version, encode_request, decode_request)


@pytest.mark.hypothesis
@pytest.mark.parametrize("message", REPLIES, ids=lambda message: message.of.__name__)
@settings(max_examples=6, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_reply_reads_as_it_was_written_at_every_version(message: Message, data: st.DataObject) -> None:
    value = data.draw(objects(message.of))
    for version in VERSIONS:
        if version >= message.since:
            check(message, value, version, encode_reply, decode_reply)
            if any(isinstance(item, Field) and item.path == "request" for item in message.items):
                head, tail = reply_tail(value, version)
                assert with_request(head, value.request, tail) == encode_reply(value, version)


def test_every_request_and_reply_has_a_layout() -> None:
    assert {message.of for message in REQUESTS} | {requests.Unsupported} == set(typing.get_args(Request))
    assert {message.of for message in REPLIES} == set(typing.get_args(Reply))


def test_no_two_requests_have_one_number() -> None:
    numbers = [message.number for message in REQUESTS] + [known.number for known in BY_NAME_ONLY]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("known", BY_NAME_ONLY, ids=lambda known: known.name)
def test_a_request_that_is_known_by_name_keeps_its_number(known: Any) -> None:
    request = requests.Unsupported(known.number, known.name, 17 if known.request_at > 0 else -1)
    assert decode_request(encode_request(request, LAST_VERSION)[4:], LAST_VERSION) == request
