"""One socket of the simulated TWS: bytes in, frames out, in the ways that faults demand; every queue is bounded."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from gateway.clients import Client
from gateway.faults import Action, Close, Hang, Pause, Send
from gateway.protocol.codec import decode_request
from gateway.protocol.handshake import Handshake
from gateway.protocol.wire import FrameReader, ProtocolError

if TYPE_CHECKING:
    from gateway.server import GatewayServer

EARLY_PAUSE_S = 0.02
"""Between the server's version and what answers bytes that came with the greeting: clients discard what comes with it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one server lets sockets cost. Times are wall time."""

    sockets: int = 64
    """Also those that are no clients yet; TWS itself takes 32 clients."""
    unsent_bytes: int = 4 << 20
    """A client with more unsent bytes does not read, and is dropped."""
    high_bytes: int = 256 << 10
    """Unsent bytes from which a market that is played as fast as possible waits for a client."""
    handshake_s: float = 10.0
    closing_s: float = 2.0
    """How long what is left is tried to be sent to a client that is being disconnected."""
    slow_s: float = 30.0
    """How long the fastest market waits for a client to read before it is dropped."""
    unreadable_frames: int = 10
    """Requests of one client that could not be read before it is disconnected."""


class Connection(asyncio.Protocol):
    """A socket, from its handshake to its end. ``client`` is there once the handshake is done."""

    def __init__(self, server: GatewayServer) -> None:
        self.client: Client | None = None
        self.peer = ""
        self.is_open = False
        self.is_ended = False
        """Whether the server ended it, and said so."""
        self.writable = asyncio.Event()
        """Set while little enough is unsent."""
        self.writable.set()
        self._server = server
        self._bounds = server.bounds
        self._handshake = Handshake(server.tws.settings.server_version, server.time_text())
        self._reader = FrameReader()
        self._actions: deque[Action] = deque()
        self._queued = 0
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_hung = False
        self._is_full = False
        self._unreadable = 0

    # -- asyncio ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if peer else "a socket"
        self._transport.set_write_buffer_limits(high=self._bounds.high_bytes)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_open = True
        if not self._server.opened(self):
            self._transport.abort()
            return
        self._deadline = self._loop.call_later(self._bounds.handshake_s, self._come_too_late)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if not self.is_open or self._transport.is_closing():
            return
        try:
            self._take(data)
        except ProtocolError as error:
            self._refuse(error)
        except Exception as error:  # noqa: BLE001  # a fault of ours: the run ends with it, and not with a hang
            self._server.fail(error)
        else:
            self._server.pump()

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._is_full = True
        self._look_writable()

    def resume_writing(self) -> None:
        """It takes more again."""
        self._is_full = False
        self._look_writable()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        self.is_open = False
        for timer in (self._timer, self._deadline):
            if timer is not None:
                timer.cancel()
        self._timer = None
        self._actions.clear()
        self._queued = 0
        self.writable.set()
        self._server.lost(self)

    # -- reading ------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        if self.client is not None:
            self._take_frames(data)
            return
        answer = self._handshake.feed(data)
        if answer:
            self._transport.write(answer)
        if self._handshake.done:
            if self._deadline is not None:
                self._deadline.cancel()
            self.client = self._server.shaken(self, self._handshake.version)
            if self._handshake.early:
                self.perform([Pause(EARLY_PAUSE_S)])
                self._take_frames(self._handshake.early)

    def _take_frames(self, data: bytes) -> None:
        assert self.client is not None, "frames follow the handshake"
        for payload in self._reader.feed(data):
            if self.client.closing:
                return
            try:
                request = decode_request(payload, self.client.version)
            except ProtocolError as error:
                self._complain(error)
            else:
                self._server.received(self.client, request)

    def _complain(self, error: ProtocolError) -> None:
        """A request can not be read, but where the next one begins is known."""
        assert self.client is not None, "frames follow the handshake"
        self._unreadable += 1
        text = f"Error reading request. {error}"  # 320 as TWS has it; what follows is ours
        self.client.error(error.request, 320, text, self._server.tws.now)
        if self._unreadable >= self._bounds.unreadable_frames:
            self.client.closing = f"{self._unreadable} of its requests could not be read"

    def _refuse(self, error: ProtocolError) -> None:
        """Nothing that follows can be trusted: say why, where the peer can hear it, and close."""
        if self.client is None:
            self.end(f"no handshake: {error}")
            return
        self.client.error(-1, 320, f"Error reading request. {error}", self._server.tws.now)
        self.client.closing = str(error)
        self._server.pump()

    def _come_too_late(self) -> None:
        self.end(f"no handshake within {self._bounds.handshake_s:g} s")

    # -- writing ------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Write bytes behind all that is to be written."""
        if not self.is_open or self._transport.is_closing():
            return
        if self._actions or self._timer is not None:
            self.perform([Send(data)])
            return
        self._transport.write(data)
        self._check_bound()

    def perform(self, actions: Sequence[Action]) -> None:
        """Do things with this connection, one after the other."""
        if not self.is_open or self._transport.is_closing() or self._is_hung_for_ever:
            return
        self._actions.extend(actions)
        self._queued += sum(len(each.data) for each in actions if isinstance(each, Send))
        self._go_on()
        self._check_bound()

    @property
    def _is_hung_for_ever(self) -> bool:
        return self._is_hung and self._timer is None

    def _go_on(self) -> None:
        """Do what can be done now."""
        written: list[bytes] = []
        while self._actions and self._timer is None and not self._is_hung:
            action = self._actions.popleft()
            if isinstance(action, Send):
                written.append(action.data)
                continue
            self._write(written)
            written = []
            match action:
                case Pause(seconds):
                    self._timer = self._loop.call_later(seconds, self._resume)
                case Hang(seconds):
                    self._hang(seconds)
                case Close():
                    self.end("a fault of the scenario")
                    return
        self._write(written)
        self._look_writable()

    def _write(self, pieces: list[bytes]) -> None:
        if pieces:
            data = b"".join(pieces)
            self._queued -= len(data)
            self._transport.write(data)

    def _hang(self, seconds: float) -> None:
        self._is_hung = True
        self._transport.pause_reading()
        if seconds:
            self._timer = self._loop.call_later(seconds, self._resume)
            return
        self._actions.clear()
        self._queued = 0
        self._server.forget(self)

    def _resume(self) -> None:
        self._timer = None
        if self._is_hung:
            self._is_hung = False
            self._transport.resume_reading()
        self._go_on()

    def _look_writable(self) -> None:
        """A market that waits for its clients does not wait for one whose connection hangs: that would be for ever."""
        if (self._is_full or self._timer is not None) and not self._is_hung:
            self.writable.clear()
        else:
            self.writable.set()

    def _check_bound(self) -> None:
        unsent = self._transport.get_write_buffer_size() + self._queued
        if unsent > self._bounds.unsent_bytes:
            self.drop(f"it does not read: {unsent:,} bytes are unsent")

    # -- ending -------------------------------------------------------------------------------------------------

    def end(self, why: str) -> None:
        """Close the connection after what is written was sent, or soon."""
        if self.is_open and not self._transport.is_closing():
            self._server.said_end(self, why)
            self._transport.close()
            self._loop.call_later(self._bounds.closing_s, self._transport.abort)

    def end_after_queue(self, why: str) -> None:
        """The same once all actions were done."""
        if self._actions or self._timer is not None:
            self.perform([Close()])
        else:
            self.end(why)

    def drop(self, why: str) -> None:
        """End the connection at once."""
        if self.is_open:
            self._server.said_end(self, why)
            self._transport.abort()


async def all_writable(connections: Sequence[Connection], slow_s: float, dropped: Callable[[Connection], None]) -> None:
    """Wait until every connection takes more; those that do not within ``slow_s`` are handed to ``dropped``."""
    for each in connections:
        if each.writable.is_set():
            continue
        try:
            async with asyncio.timeout(slow_s):
                await each.writable.wait()
        except TimeoutError:
            dropped(each)
