"""Messages to bytes and back, at any server version from 157 to 226, all from the layout tables.

Up to 200 all is text. From 201 on messages begin with their number in four bytes, text is laid out as at 200, and
requests may be protobuf. What the server says stays text, which the public clients take at all of these versions.

``decode_request`` and ``encode_reply`` are the server's side, ``encode_request`` and ``decode_reply`` a client's.
Market data that many clients get is encoded once: ``reply_tail`` leaves the request's number out, ``with_request``
puts each client's own in.
"""

from __future__ import annotations

import struct
from functools import cache, lru_cache
from types import ModuleType
from typing import cast

from gateway.protocol.layouts import Cursor, Message, Program
from gateway.protocol.replies import Reply, Time
from gateway.protocol.reply_layouts import REPLIES
from gateway.protocol.request_layouts import BY_NAME_ONLY, REQUESTS
from gateway.protocol.requests import Request, Unsupported
from gateway.protocol.wire import (
    FIRST_VERSION,
    LAST_VERSION,
    NEWEST_VERSION,
    NUMBER_BYTES,
    RAW_NUMBERS,
    ProtocolError,
    frame,
    read_int,
)

REQUEST_FIELDS_MAX = 10_000
"""Most fields of a request: far more than the longest order has, and few enough to cost nothing."""
SHORT_BYTES = 12
_REQUEST_OF = {message.of: message for message in REQUESTS}
_REPLY_OF = {message.of: message for message in REPLIES}
_REQUEST_NUMBERED = {message.number: message for message in REQUESTS}
_REPLIES_NUMBERED = {
    number: tuple(message for message in REPLIES if message.number == number)
    for number in {message.number for message in REPLIES}
}
_NAME_ONLY = {known.number: known for known in BY_NAME_ONLY}


@cache
def _program(message_class: type, version: int) -> Program:
    """Compiled once for each class and version: some 90 of 44, so the cache is bounded by what is asked of it."""
    if not FIRST_VERSION <= version <= NEWEST_VERSION:
        raise ValueError(f"server versions {FIRST_VERSION} to {NEWEST_VERSION} are described, not {version}")
    message = _REQUEST_OF.get(message_class) or _REPLY_OF[message_class]
    return Program(message.of, message.items, min(version, LAST_VERSION))


@cache
def _protobuf() -> ModuleType:
    """Loaded when the first request is protobuf: nobody else needs its message classes."""
    from gateway.protocol import protobuf

    return protobuf


def _raw_number(payload: bytes) -> int:
    if len(payload) < NUMBER_BYTES:
        raise ProtocolError(f"a message begins with its number in four bytes; it has {len(payload)}")
    return int.from_bytes(payload[:NUMBER_BYTES], "big")


def _fields(payload: bytes, version: int) -> tuple[int, list[bytes]]:
    """A message's number and all its fields, of which the number is the first at every version."""
    if version >= RAW_NUMBERS:
        number = _raw_number(payload)
        payload = b"%d\0%b" % (number, payload[NUMBER_BYTES:])
    fields = payload.split(b"\0")
    if len(fields) < 2 or fields.pop():
        raise ProtocolError("a message's fields each end with a NUL")
    text = fields[0].decode("ascii", "replace")
    try:
        return read_int(text), fields
    except ValueError:
        raise ProtocolError(f"a message begins with its number, not {text[:40]!a}") from None


def _number_at(fields: list[bytes], at: int) -> int:
    """The request's number that was sent, -1 where there is none that can be read."""
    try:
        return read_int(fields[at].decode("ascii", "replace")) if 0 < at < len(fields) else -1
    except ValueError:
        return -1


def _read(message: Message, fields: list[bytes], version: int) -> object:
    program = _program(message.of, version)
    cursor = Cursor(fields, 1)
    name = f"message {message.number} ({message.of.__name__}) of server version {version}"
    try:
        read: object = program.read(cursor)
    except ProtocolError as error:
        raise ProtocolError(f"{name}: {error}", _number_at(fields, program.request_at)) from None
    if cursor.at != len(fields):
        raise ProtocolError(
            f"{name}: it ends after {cursor.at} fields, but {len(fields)} came", _number_at(fields, program.request_at)
        )
    return read


def decode_request(payload: bytes, version: int) -> Request:
    """A client's message. Raises ProtocolError, with the request's number where there is one, if it is none."""
    return _decode_again(payload, version) if len(payload) <= SHORT_BYTES else _decode(payload, version)


@lru_cache(256)
def _decode_again(payload: bytes, version: int) -> Request:
    """Requests are values: a short one, as for the time, which ends each round of lockstep, is read once."""
    return _decode(payload, version)


def _decode(payload: bytes, version: int) -> Request:
    if version >= RAW_NUMBERS and (number := _raw_number(payload)) > LAST_VERSION:
        read = _protobuf().decode(number - LAST_VERSION, payload[NUMBER_BYTES:], version)
        return cast("Request", read)
    if payload.count(0) > REQUEST_FIELDS_MAX:
        raise ProtocolError(f"a request of {payload.count(0)} fields; {REQUEST_FIELDS_MAX} are allowed")
    number, fields = _fields(payload, version)
    message = _REQUEST_NUMBERED.get(number)
    if message is not None and version >= message.since:
        return cast("Request", _read(message, fields, version))
    known = _NAME_ONLY.get(number)
    if known is not None and version >= known.since:
        return Unsupported(number, known.name, _number_at(fields, known.request_at))
    if number > LAST_VERSION:
        raise ProtocolError(f"message {number}: numbers above {LAST_VERSION} are no text messages")
    raise ProtocolError(f"message {number} is unknown at server version {version}")


def encode_request(request: Request, version: int) -> bytes:
    """A client's whole frame, as text at every version. Of a request known by name only: up to its own number."""
    if isinstance(request, Unsupported):
        known = _NAME_ONLY[request.id]
        fields = [str(known.number)] + ["1"] * known.request_at
        if known.request_at > 0:
            fields[known.request_at] = str(request.request)
        return _frame(fields, version)
    return _frame(_texts(_REQUEST_OF[type(request)], request, version), version)


def encode_reply(reply: Reply, version: int) -> bytes:
    """The server's whole frame; empty where the server version has no such message."""
    if type(reply) is Time:
        return _encode_time(reply, version)
    message = _REPLY_OF[type(reply)]
    return _frame(_texts(message, reply, version), version) if version >= message.since else b""


@lru_cache(8)
def _encode_time(reply: Time, version: int) -> bytes:
    """In lockstep the time of a second is told after each of its steps."""
    return _frame(_texts(_REPLY_OF[Time], reply, version), version)


def decode_reply(payload: bytes, version: int) -> Reply:
    """A server's message. Raises ProtocolError if it is none."""
    number, fields = _fields(payload, version)
    for message in _REPLIES_NUMBERED.get(number, ()):
        if message.select is not None:
            at, texts = message.select
            if at >= len(fields) or fields[at].decode("ascii", "replace") not in texts:
                continue
        if version >= message.since:
            return cast("Reply", _read(message, fields, version))
    raise ProtocolError(f"reply {number} is unknown at server version {version}")


def reply_tail(reply: Reply, version: int) -> tuple[bytes, bytes]:
    """A reply without its request's number: what comes before it, and what comes behind."""
    message = _REPLY_OF[type(reply)]
    at = _program(message.of, version).request_at
    if at < 0:
        raise ValueError(f"{message.of.__name__} has no request number to leave out")
    fields = _texts(message, reply, version)
    return _begun(fields[:at], version), _joined(fields[at + 1 :])


def with_request(head: bytes, request: int, tail: bytes) -> bytes:
    """The whole frame of a reply from its two parts, for the client whose request it answers."""
    payload = b"%b%d\0%b" % (head, request, tail)
    return struct.pack(">I", len(payload)) + payload


def _texts(message: Message, value: object, version: int) -> list[str]:
    fields = [str(message.number)]
    _program(message.of, version).write(value, fields)
    return fields


def _joined(fields: list[str]) -> bytes:
    return ("\0".join(fields) + "\0").encode("ascii") if fields else b""


def _begun(fields: list[str], version: int) -> bytes:
    """Fields of which the first is the message's number, as the version writes it."""
    if version < RAW_NUMBERS:
        return _joined(fields)
    return int(fields[0]).to_bytes(NUMBER_BYTES, "big") + _joined(fields[1:])


def _frame(fields: list[str], version: int) -> bytes:
    return frame(_begun(fields, version))
