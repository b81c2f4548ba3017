"""Which server version both sides speak, and what is refused."""

from __future__ import annotations

import pytest

from gateway.protocol.handshake import ClientHandshake, Handshake
from gateway.protocol.wire import ProtocolError, frame

TIME = "20260710 00:15:46 Central European Standard Time"


def greeting(text: str) -> bytes:
    return b"API\0" + frame(text.encode())


@pytest.mark.parametrize(
    ("said", "offered", "agreed"),
    [
        ("v100..157", 200, 157),
        ("v157..178", 200, 178),
        ("v100..226", 200, 200),
        ("v100..226", 163, 163),
        ("v176", 200, 176),
        ("v200..226", 200, 200),
        ("v100..176 +PACEAPI", 200, 176),
    ],
)
def test_the_newest_version_of_both_is_agreed(said: str, offered: int, agreed: int) -> None:
    server = Handshake(offered, TIME)
    assert server.feed(greeting(said)) == frame(f"{agreed}\0{TIME}\0".encode())
    assert server.version == agreed
    assert server.options == said.partition(" ")[2]


def test_both_ends_agree_byte_by_byte_and_lose_nothing_that_came_early() -> None:
    client = ClientHandshake(100, 176, "+PACEAPI")
    server = Handshake(200, TIME)
    start = frame(b"71\x002\x007\x00\x00")
    sent = b"".join(server.feed(bytes([each])) for each in client.greeting)
    server.feed(start[:3])
    server.feed(start[3:])
    for each in sent + start:
        client.feed(bytes([each]))
    assert (server.version, client.version, client.time) == (176, 176, TIME)
    assert server.early == start
    assert client.early == [start[4:]]


def test_bytes_behind_the_greeting_stay_in_order() -> None:
    server = Handshake(200, TIME)
    server.feed(greeting("v100..200") + b"abc")
    server.feed(b"def")
    assert server.early == b"abcdef"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "not a TWS API client"),
        (b"63\x00", "not a TWS API client"),
        (b"APJ", "not a TWS API client"),
        (b"API\0\xff\xff\xff\xff", "1 to 1024 are allowed"),
        (b"API\0\0\0\0\0", "1 to 1024 are allowed"),
        (greeting("hello"), "a range of versions"),
        (greeting("v100...200"), "a range of versions"),
        (greeting("v" + "9" * 500), "a range of versions"),
        (greeting("v100..156"), "use a newer client"),
        (greeting("v201..226"), "this gateway up to 200"),
        (greeting("v200..199"), "this gateway up to 200"),
    ],
)
def test_what_is_no_client_of_these_versions_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as refused:
        Handshake(200, TIME).feed(data)
    assert "\n" not in str(refused.value)


def test_a_client_refuses_what_is_no_answer() -> None:
    with pytest.raises(ProtocolError, match="no version and time"):
        ClientHandshake().feed(frame(b"hello\0world\0"))
