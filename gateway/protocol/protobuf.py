"""Requests in protobuf, which clients send from server version 201 on: each kind from its own version on.

The message classes are those of the installed ``ibapi``, and only they: they are loaded when a server offers such a
version. Replies stay text, which the public clients take at these versions. No TWS has confirmed what it would answer.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from gateway.protocol.protobuf_layouts import Reader
from gateway.protocol.protobuf_requests import NAMES_ONLY, PROTOBUF_REQUESTS, NamedMessage, ProtobufMessage
from gateway.protocol.requests import Request, Unsupported
from gateway.protocol.wire import FIRST_VERSION, LAST_VERSION, NEWEST_VERSION, ProtocolError
from papertape.core.errors import ConfigError

BYTES_MAX = 256 << 10
"""Longest message that is taken: a hundred times the longest sound order."""
_MESSAGES: Mapping[int, ProtobufMessage | NamedMessage] = {
    **{each.number: each for each in PROTOBUF_REQUESTS},
    **{each.number: each for each in NAMES_ONLY},
}
_REQUEST_FIELDS = ("reqId", "orderId")


def check_server_version(version: int, said: str = "server version") -> None:
    """Raise ConfigError, with one line that says how to go on, unless a server can offer this version here.

    ``said`` is what whoever chose it calls it.
    """
    if not FIRST_VERSION <= version <= NEWEST_VERSION:
        raise ConfigError(f"{said} {version}: {FIRST_VERSION} to {NEWEST_VERSION} can be spoken")
    if version <= LAST_VERSION:
        return
    try:
        _load(version)
    except ImportError as error:
        why = f"the installed ibapi has no {error.name}" if (error.name or "").startswith("ibapi.") else str(error)
    except (TypeError, RuntimeError) as error:  # the classes and the protobuf beside them are of different ages
        why = str(error)
    else:
        return
    raise ConfigError(
        f"{said} {version}: above {LAST_VERSION} the message classes of ibapi are needed; "
        f"pip install '.[ib]', or offer {LAST_VERSION} ({' '.join(why.split())})"
    )


def _load(version: int) -> None:
    from google.protobuf.runtime_version import VersionError

    try:
        for each in _MESSAGES.values():
            if each.since <= version:
                _message_class(each.message)
    except VersionError as error:
        raise RuntimeError(str(error)) from None


@cache
def _message_class(name: str) -> Any:
    import ibapi.protobuf

    return getattr(importlib.import_module(f"{ibapi.protobuf.__name__}.{name}_pb2"), name)


@cache
def _decode_error() -> type[Exception]:
    from google.protobuf.message import DecodeError

    return cast("type[Exception]", DecodeError)


def _unknown_field(message: Any) -> int | None:
    from google.protobuf.unknown_fields import UnknownFieldSet

    fields = UnknownFieldSet(message)
    return fields[0].field_number if len(fields) else None


@cache
def _reader(number: int) -> Reader:
    layout = _MESSAGES[number]
    assert isinstance(layout, ProtobufMessage), "what is known by name only is not read"
    return Reader(layout.of, layout.items, _unknown_field)


def _request_of(message: Any) -> int:
    for name in _REQUEST_FIELDS:
        if name in message.DESCRIPTOR.fields_by_name and message.HasField(name):
            return int(getattr(message, name))
    return -1


def decode(number: int, body: bytes, version: int) -> Request:
    """A client's message, without its number. Raises ProtocolError, with the request's number where there is one."""
    layout = _MESSAGES.get(number)
    if layout is None or version < layout.since:
        raise ProtocolError(f"message {number} is unknown as protobuf at server version {version}")
    name = f"message {number} ({layout.message}) of server version {version}"
    if len(body) > BYTES_MAX:
        raise ProtocolError(f"{name}: {len(body)} bytes; {BYTES_MAX} are allowed")
    message = _message_class(layout.message)()
    try:
        message.ParseFromString(body)
    except _decode_error():
        raise ProtocolError(f"{name}: it is no such protobuf") from None
    request = _request_of(message)
    if isinstance(layout, NamedMessage):
        return Unsupported(number, layout.name, request)
    try:
        return cast("Request", _reader(number).read(message))
    except ProtocolError as error:
        raise ProtocolError(f"{name}: {error}", request) from None
