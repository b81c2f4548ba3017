"""Follows a script with ib_async's client, and records it.

``python ib_async_day.py PORT SCRIPT RECORDING``: SCRIPT names one of the scripts in ``scripts.py``. It uses the lower
half of the library (its ``Client``, made to replace Interactive Brokers' own), for there every callback is heard.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from tests.gateway.clients.recording import SIZE_OF_PRICE, Head, Recorder
from tests.gateway.clients.script import Player, Row, Then
from tests.gateway.clients.scripts import SCRIPTS

DEADLINE_S = 240.0
ID_IN_USE = 326
ZONE_OF_TWS = "US/Eastern"

RELEASE = version("ib_async")
LIBRARY: Any = importlib.import_module("ib_async")
CALLBACKS: frozenset[str] = frozenset(
    name for name in dir(importlib.import_module("ib_async.wrapper").Wrapper) if not name.startswith("_")
)
OWN = frozenset({"connectAck", "connectionClosed", "setEventsDone", "tcpDataArrived", "tcpDataProcessed"})
"""What the library calls of itself, without a message of the server."""


def class_of(name: str) -> type:
    """The library's class of that name."""
    return getattr(LIBRARY, name)  # type: ignore[no-any-return]


class Heard:
    """Stands where the library's wrapper would: records every callback that the wrapper has."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # What the decoder asks of it to read times.
        self.defaultTimezone = ZoneInfo("UTC")
        self.ib = SimpleNamespace(TimezoneTWS=ZONE_OF_TWS)

    def __getattr__(self, name: str) -> Any:
        if name == "connectAck":
            return self._connection.agreed
        if name in OWN and not name.startswith("tcp"):
            return lambda *arguments: None
        if name not in CALLBACKS or name in OWN:
            raise AttributeError(name)
        return lambda *arguments: self._connection.heard(name, list(arguments))

    def priceSizeTick(self, number: int, kind: int, price: float, size: float) -> None:  # noqa: N802 - the library's
        """One message, of which the stock client makes two callbacks."""
        self._connection.heard("tickPrice", [number, kind, price, None])
        if kind in SIZE_OF_PRICE:
            self._connection.heard("tickSize", [number, SIZE_OF_PRICE[kind], size])

    def error(self, number: int, code: int, text: str, advanced: str) -> None:
        """An error, its arguments in the order of the recording."""
        self._connection.heard("error", [number, code, text, advanced, None])


class Connection:
    """One connection: plays its part of the script at the markers, and answers each when its callbacks are through."""

    def __init__(self, client: int, player: Player, recorder: Recorder, at: int = 0, is_again: bool = False) -> None:
        self.client = client
        self.recorder = recorder
        self.player = player
        self.at = at
        self.then = Then.ANSWER
        self.failure = ""
        self.is_again = is_again
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.api = LIBRARY.Client(Heard(self))
        self.api.MaxRequests = 0  # its own throttle counts seconds of the wall clock, which here pass by the thousand
        self.api.conn.disconnected += self._end
        player.target = self.api

    def agreed(self) -> None:
        """The server has said its version."""
        if not self.is_again:
            self.recorder.head(Head("ib_async", f"ib_async {RELEASE}", self.api.serverVersion()))

    def _end(self, message: str) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def heard(self, name: str, arguments: list[Any]) -> None:
        """One callback."""
        if name == "currentTime":
            self.marker(int(arguments[0]))
            return
        if self.is_again and name == "error" and arguments[1] == ID_IN_USE:
            self.then = Then.RECONNECT  # the server has not yet seen the end of the connection before
            return
        if name == "nextValidId" and self.player.first_order_id is None:
            self.player.first_order_id = int(arguments[0])
        self.recorder.callback(self.at, self.client, name, arguments)

    def marker(self, now: int) -> None:
        """All before this was heard: do what is due, then answer."""
        self.at = now
        try:
            self.then = self.player.due(now)
        except Exception as error:  # noqa: BLE001 - the library would log an exception and go on without an answer
            self.failure = f"client {self.client} at {now}: {error!r}\n"
            self.then = Then.END
        if self.then is Then.ANSWER:
            self.api.reqCurrentTime()
        else:
            self.api.disconnect()


class Complaints(logging.Handler):
    """The library logs messages that it could not decode, and drops them: here they are heard."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(logging.ERROR)
        self.recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        """Record it, but for the library's own word on how a connection begins and ends."""
        if record.name == "ib_async.client":
            return
        text = record.getMessage() + (f" {record.exc_info[1]!r}" if record.exc_info else "")
        self.recorder.callback(0, -1, "log", [text])


async def follow(client: int, rows: tuple[Row, ...], recorder: Recorder, port: int) -> str:
    """Play one client's part; returns what went wrong."""
    player = Player(rows, client, class_of)
    connection = Connection(client, player, recorder)
    while True:
        # Where the server refuses a client, the library waits for the rest of its deadline: it is not waited for.
        connecting = asyncio.ensure_future(connection.api.connectAsync("127.0.0.1", port, client, timeout=60.0))
        await asyncio.wait({connecting, connection.ended}, return_when=asyncio.FIRST_COMPLETED)
        await connection.ended
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        if connection.then is not Then.RECONNECT:
            return connection.failure
        connection = Connection(client, player, recorder, connection.at, is_again=True)


async def play(port: int, script: str, recorder: Recorder) -> str:
    """All clients of a script; returns what went wrong."""
    rows = SCRIPTS[script]
    parts = [follow(client, rows, recorder, port) for client in sorted({row.client for row in rows})]
    return "".join(await asyncio.wait_for(asyncio.gather(*parts), DEADLINE_S))


def main(port: int, script: str, target: str) -> int:
    """Connect all clients of the script, play it, and write down what they hear."""
    with open(target, "w", encoding="utf-8") as file:
        recorder = Recorder(file)
        logging.getLogger("ib_async").addHandler(Complaints(recorder))
        failures = asyncio.run(play(port, script, recorder))
    print(failures, end="", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
