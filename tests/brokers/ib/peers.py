"""A peer on loopback that says what a test tells it to, and keeps what it hears."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from brokers.ib import commands as do
from brokers.ib import compat
from brokers.ib.gateway import IbGateway
from brokers.ib.records import CurrentTime, Record
from gateway.protocol.codec import decode_request, encode_reply
from gateway.protocol.handshake import Handshake
from gateway.protocol.replies import Reply, Time
from gateway.protocol.requests import Request, StartApi
from gateway.protocol.wire import FrameReader

WITHIN_S = 20.0
"""No test waits longer; what does not come by then does not come."""
MARKER = Time(2_000_000_001)
"""What comes last in a delivery."""
VERSIONS = tuple(
    version for version in (157, 163, 166, 176, 187, 194, 200) if version <= compat.load().server_version_max
)
"""Server versions that the installed client speaks; 157 is the newest of 9.81."""


class Peer:
    """Listens on loopback for one client. ``greet`` is its part of the handshake, run in a thread of its own."""

    def __init__(self, version: int = VERSIONS[-1], greet: Callable[[Peer], None] | None = None) -> None:
        self.version = version
        self._frames = FrameReader(1 << 24)
        self._seen: list[Request] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(WITHIN_S)
        self.connection: socket.socket | None = None
        self._greet = greet or Peer.shake
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _serve(self) -> None:
        self.connection, _ = self._listener.accept()
        self.connection.settimeout(WITHIN_S)
        with contextlib.suppress(OSError):  # the client may have gone: that is what some tests are about
            self._greet(self)

    def shake(self) -> None:
        """The handshake of a sound server."""
        assert self.connection is not None
        shake = Handshake(self.version, "20240603 09:30:00 EST")
        while not shake.done:
            answer = shake.feed(self.connection.recv(4096))
            if answer:
                self.connection.sendall(answer)
        self._frames.feed(shake.early)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._thread.join(WITHIN_S)
        assert self.connection is not None
        self.connection.sendall(data)

    def say(self, *replies: Reply) -> None:
        """Send messages."""
        self.write(b"".join(encode_reply(reply, self.version) for reply in replies))

    def hear(self) -> Request:
        """The next request."""
        self._thread.join(WITHIN_S)
        assert self.connection is not None
        while not self._seen:
            data = self.connection.recv(1 << 16)
            assert data, "the client has gone"
            self._seen += [decode_request(payload, self.version) for payload in self._frames.feed(data)]
        return self._seen.pop(0)

    def close(self) -> None:
        """Close the connection to the client."""
        self._thread.join(WITHIN_S)
        if self.connection is not None:
            self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self._thread.join(WITHIN_S)
        if self.connection is not None:
            self.connection.close()


class Pair:
    """A connected gateway and its peer, past the start of the API."""

    def __init__(self, version: int = VERSIONS[-1], *, send_timeout_s: float = WITHIN_S) -> None:
        self.peer = Peer(version)
        self.gateway = IbGateway(send_timeout_s=send_timeout_s)

    def __enter__(self) -> Self:
        self.gateway.connect("127.0.0.1", self.peer.port, 7, WITHIN_S)
        (self.first,) = self.gateway.poll(0)
        assert self.peer.hear() == StartApi(7)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gateway.close()
        self.peer.__exit__(kind, error, trace)

    def carry(self, command: do.Command) -> Request:
        """What the peer reads when a command is sent."""
        assert self.gateway.send(command)
        return self.peer.hear()

    def told(self, *replies: Reply) -> list[Record]:
        """The records that come of messages; with none, what has come of bytes written before."""
        self.peer.say(*replies, MARKER)
        return until(self.gateway, lambda records: records[-1] == CurrentTime(MARKER.seconds))[:-1]


def until(gateway: IbGateway, holds: Callable[[list[Record]], bool]) -> list[Record]:
    """Poll until a condition holds for the records so far."""
    got: list[Record] = []
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        got += gateway.poll(0.5)
        if got and holds(got):
            return got
    raise AssertionError(f"it did not come; what came: {got[-5:]}")


def heard(gateway: IbGateway, count: int) -> list[Record]:
    """Poll until ``count`` records have come; exactly so many are demanded."""
    got = until(gateway, lambda records: len(records) >= count)
    assert len(got) == count, got
    return got
