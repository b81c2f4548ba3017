"""Clients of a simulated TWS under load, in a process of their own: ``python -m benchmarks.gateway_clients PORT COUNT SYMBOLS TICKS MODE``.

They subscribe to every trade of all symbols and count what comes. With MODE "trade" the first one answers a tick every
now and then with a market order, with "lockstep" all answer each marker. Prints ``ready`` when all have subscribed, and at the end what each received, as a line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time

from gateway.protocol.codec import encode_request
from gateway.protocol.contract import Contract
from gateway.protocol.handshake import ClientHandshake
from gateway.protocol.order import Order
from gateway.protocol.requests import CurrentTime, PlaceOrder, StartApi, TickByTick

VERSION = 200
ANSWER = encode_request(CurrentTime(), VERSION)
ORDER_EVERY_S = 0.02
QUIET_S = 5.0
"""Without a tick for so long a client is done."""


class Counting:
    """One client: counts tick-by-tick trades, and trades itself where it is the first."""

    def __init__(self, client_id: int, symbols: int, mode: str) -> None:
        self.client_id = client_id
        self.mode = mode
        self.symbols = symbols
        self.ticks = 0
        self.markers = 0
        self._rest = b""
        self._next_order = 0.0
        self._orders = 0

    async def connect(self, port: int) -> None:
        """Shake hands and subscribe to everything."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        greeting = ClientHandshake(100, VERSION)
        self.writer.write(greeting.greeting)
        while not greeting.version:
            greeting.feed(await self.reader.read(65536))
        self.writer.write(encode_request(StartApi(self.client_id), VERSION))
        for k in range(self.symbols):
            self.writer.write(encode_request(TickByTick(k, stock(k), "AllLast"), VERSION))
        await self.writer.drain()

    def take(self, data: bytes) -> None:
        """Count whole frames."""
        data = self._rest + data
        at, end, ticks, last = 0, len(data), 0, -1
        while at + 4 <= end:
            beyond = at + 4 + int.from_bytes(data[at : at + 4], "big")
            if beyond > end:
                break
            if data[at + 4 : at + 7] == b"99\0":
                ticks += 1
                last = at
            elif data[at + 4 : at + 7] == b"49\0":
                self.markers += 1
            at = beyond
        self.ticks += ticks
        self._rest = data[at:]
        if self.mode == "trade" and self.client_id == 1 and last >= 0:
            self._trade(data[last + 7 : last + 12])

    def _trade(self, begin: bytes) -> None:
        """Answer the last tick with an order, not too often."""
        now = time.perf_counter()
        if now < self._next_order:
            return
        self._next_order = now + ORDER_EVERY_S
        self._orders += 1
        symbol = int(begin.split(b"\0", 1)[0])
        action = "BUY" if self._orders % 2 else "SELL"
        order = Order(action, 1.0, "MKT", order_ref=str(self.ticks - 1))
        self.writer.write(encode_request(PlaceOrder(self._orders, stock(symbol), order), VERSION))

    async def run(self, expected: int) -> None:
        """Read until all ticks are there, or nothing has come for a while."""
        while self.ticks < expected:
            try:
                data = await asyncio.wait_for(self.reader.read(1 << 20), QUIET_S)
            except (TimeoutError, ConnectionError):  # the server ends with its tape
                break
            if not data:
                break
            self.take(data)
        self.writer.close()


def answer_markers(port: int, symbols: int) -> int:
    """A client in lockstep, with a socket that blocks, to the tape's end; how many ticks it received."""
    counting = Counting(1, symbols, "lockstep")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greeting = ClientHandshake(100, VERSION)
        connection.sendall(greeting.greeting)
        while not greeting.version:
            greeting.feed(connection.recv(65536))
        connection.sendall(encode_request(StartApi(1), VERSION))
        for k in range(symbols):
            connection.sendall(encode_request(TickByTick(k, stock(k), "AllLast"), VERSION))
        say("ready")
        answered = 0
        with contextlib.suppress(ConnectionError):  # the server ends with its tape
            while data := connection.recv(1 << 20):
                counting.take(data)
                while answered < counting.markers:
                    answered += 1
                    connection.sendall(ANSWER)
    return counting.ticks


def say(text: str) -> None:
    """A line for the process that started this one."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def stock(k: int) -> Contract:
    """The kth symbol of the load."""
    return Contract(symbol=f"S{k:02d}", type="STK", exchange="SMART", currency="USD")


async def main(port: int, count: int, symbols: int, expected: int, mode: str) -> None:
    """Connect all, then read."""
    clients = [Counting(k + 1, symbols, mode) for k in range(count)]
    for each in clients:
        await each.connect(port)
    await asyncio.sleep(1.0)  # their subscriptions are there
    say("ready")
    await asyncio.gather(*(each.run(expected) for each in clients))
    say(json.dumps([each.ticks for each in clients]))


if __name__ == "__main__":
    port, count, symbols, expected = map(int, sys.argv[1:5])
    if sys.argv[5] == "lockstep":
        say(json.dumps([answer_markers(port, symbols)]))
    else:
        asyncio.run(main(port, count, symbols, expected, sys.argv[5]))
