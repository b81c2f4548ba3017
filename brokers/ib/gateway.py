"""The one connection to TWS: a socket, the client's encoder and its decoder, and none of its threads.

Bytes come in through :meth:`IbGateway.poll` and leave through :meth:`IbGateway.send`, both on the one thread that owns the
connection; only :meth:`IbGateway.wake` may be called from elsewhere. What the stock client does wrong with its own
socket, threads and queue can not happen here:

1. One read of 64 KiB a turn, whatever its length: messages of exactly 4096 bytes pass as any other.
2. Resolving, connecting and the handshake have one deadline together.
3. Nothing that the peer sends raises: what can not be read is an Undecodable record.
4. A message of a known number that made no callback was dropped by the client: an Undecodable record, too. (Fields behind
   those that the client reads are not looked at, here as there: a newer TWS may add some.)
5. Connected is a record that only a finished handshake makes; a refusal is an error with a line that says what to do.
6. One object is one connection. Nothing is left over for the next.
"""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from brokers.ib import compat
from brokers.ib.callbacks import RECORDS_MAX, Callbacks
from brokers.ib.codes import NOT_SENT
from brokers.ib.commands import AskTime, Command
from brokers.ib.records import Connected, Disconnected, ErrorMessage, Record, Undecodable
from papertape.core.errors import PapertapeError, PeerError, UserError

READ_BYTES = 1 << 16
FRAME_BYTES_MAX = 0xFFFFFF
"""Longest message, as the public clients have it (``MAX_MSG_LEN``)."""
HELD_BYTES_MAX = FRAME_BYTES_MAX + READ_BYTES
"""Most bytes that wait to be decoded: while a request can not be written, no more is read than this."""
SEND_TIMEOUT_S = 5.0
_PREFIX_BYTES = 4
_EARLY_FRAMES_MAX = 8
"""Messages that may come before the server's version (users have seen news there)."""
_SHOWN_BYTES = 200

_SILENT = frozenset({17, 99})
"""Messages that may make no callback: a history of no bars (from 196), a tick-by-tick message of no type."""
_UNKNOWN_WHERE_EMPTY: Mapping[int, tuple[int, ...]] = {
    1: (3,),
    3: (2, 3, 4, 7),
    7: (12, 13, 14, 15, 16, 17),
    11: (18, 19, 24),
    45: (3,),
    59: (2, 4),
    61: (13, 14),
    94: (1, 2, 3),
    99: (3, 4),
}
"""Message -> places (behind its number) of prices, amounts and quantities. Clients read an empty one as 0, which it is not: it is
handed to them as NaN. The places hold for server versions 157 to 200."""


class _Outbox:
    """What the client takes for its connection: it keeps what is to be written."""

    def __init__(self) -> None:
        self.written = bytearray()

    def isConnected(self) -> bool:  # noqa: N802 - the client's name
        return True

    def sendMsg(self, data: bytes) -> int:  # noqa: N802 - the client's name
        self.written += data
        return len(data)

    def disconnect(self) -> None:
        """Nothing: the socket is not the client's."""


class IbGateway:
    """A connection to TWS or IB Gateway. It is made once, connected once and closed once; a new one is a new object."""

    def __init__(self, *, send_timeout_s: float = SEND_TIMEOUT_S, records_max: int = RECORDS_MAX) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.server_version = 0
        """What was agreed; 0 before."""
        self._send_timeout_s = send_timeout_s
        self._api = compat.load()
        self._callbacks = Callbacks(records_max)
        self._outbox = _Outbox()
        self._time_question = b""
        """AskTime as the client writes it, which is always the same: in lockstep each round ends with one."""
        self._client: Any = None
        self._decoder: Any = None
        self._socket: socket.socket | None = None
        self._held = bytearray()
        self._has_unread = False
        """Whether bytes were read while something was written: the next poll must not wait for more."""
        self._reason = ""
        """Why the connection has ended; told once, as the last record."""
        self._is_told = False
        """Whether Disconnected was told."""
        self._is_closed = False
        self._wake_lock = threading.RLock()  # a signal's handler may wake in the middle of either
        self._was_woken = False
        self._is_waking = False
        """Whether a byte waits in the pipe that :meth:`wake` writes to."""
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_in, selectors.EVENT_READ)

    @property
    def client_version(self) -> str:
        """The installed client's version."""
        return self._api.version

    @property
    def is_open(self) -> bool:
        """Whether bytes can still come and go."""
        return self._socket is not None

    # ------------------------------------------------------------------------------------------------- connecting

    def connect(self, host: str, port: int, client_id: int, timeout_s: float) -> None:
        """Connect and start the API: all in ``timeout_s`` together. PeerError, in one line, where that does not work.

        The first record is then Connected. That TWS takes this client shows with its next valid id.
        """
        assert self.server_version == 0, "one object is one connection"
        assert not self._is_closed, "one object is one connection"
        deadline = time.monotonic() + timeout_s
        where = f"{host}:{port}"
        try:
            self._socket = _connected(host, port, deadline, timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            time_text, early = self._shake_hands(where, deadline, timeout_s)
            self._socket.setblocking(False)
        except PapertapeError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise PeerError(f"{where}: the connection broke during the handshake ({error})") from None
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._client = self._api.connected(self._callbacks, self._outbox, self.server_version, client_id)
        self._decoder = self._api.decoder(self._callbacks, self.server_version)
        self._callbacks.add(Connected(self.server_version, time_text))
        for payload in early:
            self._decode(payload)
        self._has_unread = bool(self._held)
        self._client.startApi()
        written, self._outbox.written = self._outbox.written, bytearray()
        if not self._write(written):
            reason = self._reason
            self.close()
            raise PeerError(f"{where}: {reason}")

    def _shake_hands(self, where: str, deadline: float, timeout_s: float) -> tuple[str, list[bytes]]:
        """Agree on a version; TWS's time, and messages that came before it. What comes behind stays held."""
        assert self._socket is not None, "it is connected"
        greeting = f"v{self._api.server_version_min}..{self._api.server_version_max}".encode("ascii")
        hello = b"API\0" + struct.pack(">I", len(greeting)) + greeting
        early: list[bytes] = []
        try:
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(hello)
            self.bytes_out += len(hello)
            while True:
                for payload in self._frames():
                    fields = payload.split(b"\0")
                    if len(fields) == 3 and fields[0].lstrip(b"-").isdigit():
                        self._agree(where, int(fields[0]))
                        return fields[1].decode("ascii", "replace"), early
                    early.append(payload)
                if self._reason or len(early) > _EARLY_FRAMES_MAX:
                    raise PeerError(f"{where} does not speak TWS's protocol; is another program listening there?")
                self._socket.settimeout(_left(deadline))
                data = self._socket.recv(READ_BYTES)
                if not data:
                    raise PeerError(
                        f"{where} closed the connection during the handshake; in TWS, look at Global Configuration > "
                        "API > Settings: is the API enabled, and this computer among the trusted addresses?"
                    )
                self.bytes_in += len(data)
                self._held += data
        except TimeoutError:
            raise PeerError(
                f"{where} took the connection and did not answer within {timeout_s:g} s; in TWS, enable the API (Global "
                "Configuration > API > Settings) and look whether it asks to accept the connection"
            ) from None

    def _agree(self, where: str, version: int) -> None:
        if version < compat.SERVER_VERSION_MIN:
            raise PeerError(
                f"{where} speaks API version {version}, older than {compat.SERVER_VERSION_MIN} (2020); update TWS"
            )
        if version > self._api.server_version_max:
            raise PeerError(
                f"{where} answered with API version {version}, newer than the {self._api.server_version_max} it was offered"
            )
        self.server_version = version

    # ---------------------------------------------------------------------------------------------------- reading

    def poll(self, timeout_s: float) -> list[Record]:
        """Records of what has come, in order; waits at most ``timeout_s`` for something, or for :meth:`wake`.

        Reads at most 64 KiB, so it returns soon even when TWS sends faster than it is heard. The last record of a
        connection is Disconnected; later polls return nothing, after waiting, and once it is closed at once. Never raises
        for what the peer does.
        """
        if self._is_closed:
            return []
        if not (self._callbacks.records or self._has_unread or self._reason):
            self._wait(timeout_s)
        self._has_unread = self._was_woken = False
        for payload in self._frames():
            self._decode(payload)
            if self._callbacks.overflowed:
                self._end("more messages at once than can be held")
                break
        if self._reason and not self._is_told:
            if self._callbacks.overflowed:
                self._callbacks.records.append(Undecodable("records were lost: more came at once than can be held"))
            self._callbacks.records.append(Disconnected(self._reason))
            self._is_told = True
            self._reason = ""
        return self._callbacks.take()

    def wake(self) -> None:
        """Make a poll that waits, or the next one, return at once. From any thread, at any time."""
        with self._wake_lock:
            if not (self._is_closed or self._is_waking):
                self._is_waking = True
                self._wake_out.send(b"\0")  # the only one that is not read yet, so there is room

    def _wait(self, timeout_s: float) -> None:
        if self._was_woken:
            return
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            if key.fileobj is self._wake_in:
                self._drain_wakes()
            else:
                self._read()

    def _drain_wakes(self) -> None:
        self._was_woken = True
        with self._wake_lock:
            self._wake_in.recv(READ_BYTES)
            self._is_waking = False

    def _read(self) -> None:
        """Take what is there, at most READ_BYTES."""
        if self._socket is None:
            return
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(f"the connection broke ({error})")
            return
        if not data:
            self._end("TWS closed the connection" + (" in the middle of a message" if self._held else ""))
            return
        self.bytes_in += len(data)
        self._held += data

    def _frames(self) -> Iterator[bytes]:
        """Cut messages from what is held. One of an impossible length ends the connection: nothing can be read behind it."""
        held, at = self._held, 0
        try:
            while len(held) - at >= _PREFIX_BYTES:
                (size,) = struct.unpack_from(">I", held, at)
                if not 0 < size <= FRAME_BYTES_MAX:
                    self._callbacks.add(
                        Undecodable(f"a message announces {size} bytes; 1 to {FRAME_BYTES_MAX} are allowed")
                    )
                    self._end("TWS sent bytes that make no sense")
                    at = len(held)
                    return
                beyond = at + _PREFIX_BYTES + size
                if beyond > len(held):
                    return
                payload = bytes(held[at + _PREFIX_BYTES : beyond])
                at = beyond
                yield payload
        finally:
            del held[:at]

    def _decode(self, payload: bytes) -> None:
        """Have the client read a message; whatever goes wrong with it becomes an Undecodable record."""
        callbacks = self._callbacks
        before = callbacks.heard
        fields = payload.split(b"\0")
        try:
            number = int(fields[0])
            self._interpret(number, fields, payload)
        except Exception as error:  # noqa: BLE001  # the peer decides what comes, and nothing of it may stop the reading
            why = f"{type(error).__name__}: {error}"
        else:
            if callbacks.heard != before or number in _SILENT:
                return
            why = "the client dropped it, its fields are not as many as it expects"
        callbacks.add(Undecodable(f"a message that can not be read ({why}): {payload[:_SHOWN_BYTES]!r}"))

    def _interpret(self, number: int, fields: list[bytes], payload: bytes) -> None:
        """Hand a message's fields to the client, as its version takes them. Raises whatever the client does."""
        if fields.pop():
            raise ValueError("its last field does not end")
        if number not in self._decoder.msgId2handleInfo:
            raise ValueError("the client knows no such message")
        if b"\0\0" in payload:
            for place in _UNKNOWN_WHERE_EMPTY.get(number, ()):
                if place + 1 < len(fields) and not fields[place + 1]:
                    fields[place + 1] = b"nan"
        if self._api.number_apart:
            self._decoder.interpret(tuple(fields[1:]), number)
        else:
            self._decoder.interpret(tuple(fields))

    # ---------------------------------------------------------------------------------------------------- writing

    def send(self, command: Command) -> bool:
        """Write a request; whether it went out to the last byte.

        False: the connection has ended, now or before, and how much of the request TWS has is not known; a Disconnected
        record follows. A command that the client can not write down (a text that is not ASCII) sends nothing: it is
        answered by an ErrorMessage with the command's id, and True is returned, since the connection is sound.
        """
        if self._socket is None:
            return False
        if self._time_question and type(command) is AskTime:
            return self._write(self._time_question)
        callbacks = self._callbacks
        encode = compat.ENCODE[type(command)]
        callbacks.is_sending = True
        try:
            encode(self._api, self._client, command)
        except Exception as error:  # noqa: BLE001  # old clients let their own errors out
            text = f"{type(error).__name__}: {getattr(error, 'msg', '')}{getattr(error, 'text', error)}"
            callbacks.complaints.append(ErrorMessage(-1, int(getattr(error, "code", NOT_SENT)), text))
        finally:
            callbacks.is_sending = False
        written, self._outbox.written = self._outbox.written, bytearray()
        complaints, callbacks.complaints = callbacks.complaints, []
        if not written or complaints:
            said = complaints[0] if complaints else ErrorMessage(-1, NOT_SENT, "the client wrote nothing")
            callbacks.add(ErrorMessage(compat.id_of(command), said.code, f"not sent: {said.text}"))
            return True
        if type(command) is AskTime:
            self._time_question = bytes(written)
        return self._write(written)

    def _write(self, data: bytes | bytearray) -> bool:
        """Write to the last byte, or end the connection. While TWS takes nothing, what it sends is read and held."""
        connection = self._socket
        assert connection is not None, "it is connected"
        rest = memoryview(data)
        deadline = math.inf
        while True:
            try:
                count = connection.send(rest)
            except (BlockingIOError, InterruptedError):
                count = 0
            except OSError as error:
                self._end(f"the connection broke while a request was written ({error}); its state is unknown")
                return False
            self.bytes_out += count
            rest = rest[count:]
            if not rest:
                return True
            now = time.monotonic()
            deadline = min(deadline, now + self._send_timeout_s)
            if now >= deadline:
                self._end(f"TWS took no request for {self._send_timeout_s:g} s; the state of the last is unknown")
                return False
            if not self._wait_writable(deadline - now):
                return False

    def _wait_writable(self, timeout_s: float) -> bool:
        """Wait until more can be written, meanwhile take what comes, as far as there is room; whether TWS is still there."""
        connection = self._socket
        assert connection is not None, "it is connected"
        has_room = len(self._held) < HELD_BYTES_MAX
        wanted = selectors.EVENT_WRITE | (selectors.EVENT_READ if has_room else 0)
        self._selector.modify(connection, wanted)
        for key, events in self._selector.select(timeout_s):
            if key.fileobj is self._wake_in:
                self._drain_wakes()
            elif events & selectors.EVENT_READ:
                self._has_unread = True
                self._read()
        if self.is_open:
            self._selector.modify(connection, selectors.EVENT_READ)
        return self.is_open

    # ----------------------------------------------------------------------------------------------------- ending

    def _end(self, reason: str) -> None:
        """The connection is over, for a reason that the next poll tells."""
        self._reason = self._reason or reason
        if self._socket is not None:
            with contextlib.suppress(KeyError, ValueError):  # not registered before the handshake is done
                self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Close the connection and give everything back; again is no error. No record follows."""
        self._end("closed")
        with self._wake_lock:
            if not self._is_closed:
                self._is_closed = True
                self._selector.close()
                self._wake_out.close()
                self._wake_in.close()


def _left(deadline: float) -> float:
    """Seconds until a deadline. TimeoutError where it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _connected(host: str, port: int, deadline: float, timeout_s: float) -> socket.socket:
    """A connected socket, from the first address of a name that takes the connection. PeerError where none does."""
    where = f"{host}:{port}"
    last: OSError | None = None
    for family, kind, protocol, _, address in _addresses(host, port, deadline, timeout_s):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_left(deadline))
            connection.connect(address)
        except OSError as error:
            connection.close()
            last = error
        else:
            return connection
    if isinstance(last, ConnectionRefusedError):
        raise PeerError(f"nobody listens at {where}; start TWS or IB Gateway, or use --gateway sim")
    if isinstance(last, TimeoutError):
        raise PeerError(f"{where} can not be reached within {timeout_s:g} s; is a firewall in between?")
    raise PeerError(f"{where} can not be reached ({last})")


def _addresses(host: str, port: int, deadline: float, timeout_s: float) -> list[Any]:
    """A host's addresses. UserError for a name that has none, or a port that is none."""
    if not 0 < port < 65536:
        raise UserError(f"port {port}: 1 to 65535; TWS listens at 7497 (paper) or 7496, IB Gateway at 4002 or 4001")
    found: list[Any] = []
    failure: list[OSError | UnicodeError] = []

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failure.append(error)

    # The system's resolver can not be interrupted, so a thread waits for it that nobody has to wait for.
    thread = threading.Thread(target=look_up, name="resolve", daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if failure:
        raise UserError(f"{host} is no name or address of a computer ({failure[0]}); TWS on this one is 127.0.0.1")
    if not found:
        raise PeerError(f"the name {host} could not be resolved within {timeout_s:g} s")
    return list(found)
