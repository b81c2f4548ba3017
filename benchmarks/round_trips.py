"""Bare round trips over loopback: an asyncio server that writes 20 bytes and waits for 20 bytes, a client that echoes.

``python -m benchmarks.round_trips COUNT`` prints the seconds that COUNT of them take; what a protocol in rounds can not beat.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import cast

PAYLOAD = b"x" * 20


class Asking(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, count: int, done: asyncio.Future[float]) -> None:
        self._left = count
        self._done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._began = time.perf_counter()
        self._transport.write(PAYLOAD)

    def data_received(self, data: bytes) -> None:
        """An answer: ask again, or end."""
        self._left -= 1
        if self._left:
            self._transport.write(PAYLOAD)
        else:
            self._done.set_result(time.perf_counter() - self._began)
            self._transport.close()


def echo(port: int) -> None:
    """The client's side."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(4096):
            connection.sendall(data)


async def serve(count: int) -> float:
    """Seconds that so many round trips take."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[float] = loop.create_future()
    server = await loop.create_server(lambda: Asking(count, done), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.round_trips", "echo", str(port))
    took = await done
    server.close()
    await client.wait()
    return took


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo(int(sys.argv[2]))
    else:
        sys.stdout.write(f"{asyncio.run(serve(int(sys.argv[1])))}\n")
