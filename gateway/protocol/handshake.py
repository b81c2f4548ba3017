"""The first exchange of a connection, without a socket: which server version both sides speak.

The client begins with ``API``, a NUL and a frame ``v100..176``, its range of server versions (``v100``: one version),
which a blank and connect options may follow. The server answers one frame: the version it chose and its time.
"""

from __future__ import annotations

import re
import struct

from gateway.protocol.wire import FIRST_VERSION, PREFIX_BYTES, FrameReader, ProtocolError, frame

SIGNATURE = b"API\0"
GREETING_BYTES_MAX = 1_024
"""Longest range with options that is taken."""
_RANGE = re.compile(r"v([0-9]{1,9})(?:\.\.([0-9]{1,9}))?(?: (.*))?\Z", re.ASCII | re.DOTALL)


class Handshake:
    """The server's side. Feed it what arrives until it is ``done``; then ``early`` is what came behind the greeting.

    ``server_version`` is the newest that the server offers, ``time`` its clock as text (``20260710 00:15:46 EST``).
    Raises ProtocolError where the greeting is none or the client speaks no version from 157 to the server's.
    """

    __slots__ = ("_held", "_server_version", "_time", "early", "options", "version")

    def __init__(self, server_version: int, time: str) -> None:
        self._server_version = server_version
        self._time = time
        self._held = bytearray()
        self.version = 0
        """What was agreed; 0 until then."""
        self.options = ""
        self.early = b""
        """Bytes behind the greeting: the beginning of the client's frames."""

    @property
    def done(self) -> bool:
        """Whether a version is agreed."""
        return self.version > 0

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; what is to be sent now, alone: clients throw away bytes that come with it."""
        if self.done:
            self.early += data
            return b""
        held = self._held
        held += data
        if not SIGNATURE.startswith(bytes(held[: len(SIGNATURE)])):
            raise ProtocolError("not a TWS API client: a connection begins with API and a NUL")
        begin = len(SIGNATURE) + PREFIX_BYTES
        if len(held) < begin:
            return b""
        (size,) = struct.unpack_from(">I", held, len(SIGNATURE))
        if not 0 < size <= GREETING_BYTES_MAX:
            raise ProtocolError(f"a greeting of {size} bytes; 1 to {GREETING_BYTES_MAX} are allowed")
        if len(held) < begin + size:
            return b""
        self._agree(held[begin : begin + size].decode("latin-1"))
        self.early = bytes(held[begin + size :])
        held.clear()
        return frame(f"{self.version}\0{self._time}\0".encode("ascii", "replace"))

    def _agree(self, greeting: str) -> None:
        found = _RANGE.match(greeting.rstrip("\0"))
        if found is None:
            raise ProtocolError(f"a greeting is a range of versions such as v100..176, not {greeting[:40]!r}")
        first = int(found[1])
        last = int(found[2] or found[1])
        if last < FIRST_VERSION:
            raise ProtocolError(
                f"the client speaks server versions up to {last}; this gateway from {FIRST_VERSION}: use a newer client"
            )
        if not first <= self._server_version or last < first:
            raise ProtocolError(
                f"the client speaks server versions {first} to {last}; this gateway up to {self._server_version}"
            )
        self.version = min(last, self._server_version)
        self.options = found[3] or ""


class ClientHandshake:
    """The client's side: send ``greeting``, then feed what arrives until ``version`` is not 0."""

    __slots__ = ("_reader", "early", "greeting", "time", "version")

    def __init__(self, first: int = 100, last: int = 200, options: str = "") -> None:
        text = f"v{first}..{last}" if first < last else f"v{first}"
        self.greeting = SIGNATURE + frame((f"{text} {options}" if options else text).encode("ascii"))
        self.version = 0
        self.time = ""
        self.early: list[bytes] = []
        """Payloads that came behind the server's answer."""
        self._reader = FrameReader()

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        payloads = self._reader.feed(data)
        if payloads and not self.version:
            fields = payloads.pop(0).split(b"\0")
            if len(fields) != 3 or not fields[0].isdigit() or len(fields[0]) > 9:
                raise ProtocolError("the server's answer is no version and time")
            self.version = int(fields[0])
            self.time = fields[1].decode("ascii", "replace")
        self.early += payloads
