"""Follows a script with Interactive Brokers' own client, of whatever version this interpreter has, and records it.

``python ibapi_day.py PORT SCRIPT RECORDING``: SCRIPT names one of the scripts in ``scripts.py``. The client is used as
it comes: nothing of it is replaced.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import distributions
from typing import Any, TextIO

from tests.gateway.clients.recording import Head, Recorder
from tests.gateway.clients.script import Player, Row, Then
from tests.gateway.clients.scripts import SCRIPTS

DEADLINE_S = 240.0
RETRY_S = 0.1
ID_IN_USE = 326
"""The library's reader sleeps in a read for up to a second after ``disconnect``, and only then is the socket closed:
so long the client id stays in use, as long as that takes is of the wall clock, and the refusals are not recorded."""

# Nothing of the library can be imported by name alone for a type checker: it is another one in each environment.
CLIENT: Any = importlib.import_module("ibapi.client")
WRAPPER: Any = importlib.import_module("ibapi.wrapper")

MODULES = ("contract", "order", "execution", "scanner", "tag_value", "order_cancel")

OWN = frozenset({"connectAck", "connectionClosed", "logAnswer", "winError"})
"""Callbacks that the client makes up itself, in each version at other moments."""


def class_of(name: str) -> type:
    """The library's class of that name."""
    for module in MODULES:
        try:
            found = getattr(importlib.import_module(f"ibapi.{module}"), name, None)
        except ModuleNotFoundError:
            continue
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise LookupError(f"this ibapi has no class {name}")


def release() -> str:
    """Which ibapi it is, as its distribution says."""
    found = [each for each in distributions() if "ibapi" in each.metadata["Name"].replace("_", "-").split("-")]
    return " ".join(f"{each.metadata['Name']} {each.version}" for each in found)


def _recording(name: str, base: Any) -> Callable[..., None]:
    """A callback that writes down what it was called with."""
    signature = inspect.signature(base)

    def callback(self: Any, *arguments: Any, **named: Any) -> None:
        bound = signature.bind(self, *arguments, **named)
        bound.apply_defaults()
        values = dict(list(bound.arguments.items())[1:])
        if name == "error":
            self.heard_error(values)
        else:
            self.heard(name, list(values.values()))

    return callback


class Heard(WRAPPER.EWrapper):  # type: ignore[misc]
    """Records every callback."""

    def heard(self, name: str, arguments: list[Any]) -> None:
        """One callback, its arguments in the library's order."""
        raise AssertionError("the connection records")

    def heard_error(self, values: dict[str, Any]) -> None:
        """An error: its arguments, in all versions' names, in one order."""
        self.heard(
            "error",
            [
                values.get("reqId", values.get("id")),
                values["errorCode"],
                values["errorString"],
                values.get("advancedOrderRejectJson"),
                values.get("errorTime") or None,  # the library says 0 where the server said nothing
            ],
        )


for _name, _base in inspect.getmembers(WRAPPER.EWrapper, inspect.isfunction):
    if not _name.startswith("_") and "proto" not in _name.lower() and _name not in OWN:
        setattr(Heard, _name, _recording(_name, _base))
for _name in OWN:
    setattr(Heard, _name, lambda self, *arguments: None)


class Connection(Heard, CLIENT.EClient):  # type: ignore[misc]
    """One connection: plays its part of the script at the markers, and answers each when its callbacks are through."""

    def __init__(self, client: int, player: Player, recorder: Recorder, at: int = 0, is_again: bool = False) -> None:
        Heard.__init__(self)
        CLIENT.EClient.__init__(self, self)
        self.client = client
        self.recorder = recorder
        self.player = player
        self.at = at
        self.is_again = is_again
        self.then = Then.ANSWER
        self.failure = ""
        player.target = self

    def heard(self, name: str, arguments: list[Any]) -> None:
        if name == "currentTime":
            self.marker(int(arguments[0]))
            return
        if self.is_again and name == "error" and arguments[1] == ID_IN_USE:
            self.then = Then.RECONNECT
            return
        if name == "nextValidId" and self.player.first_order_id is None:
            self.player.first_order_id = int(arguments[0])
        self.recorder.callback(self.at, self.client, name, arguments)

    def marker(self, now: int) -> None:
        """All before this was heard: do what is due, then answer."""
        self.at = now
        try:
            self.then = self.player.due(now)
        except Exception as error:  # noqa: BLE001 - an exception would only end the library's loop, without a word
            self.failure = f"client {self.client} at {now}: {error!r}\n"
            self.then = Then.END
        if self.then is Then.ANSWER:
            self.reqCurrentTime()
        else:
            self.disconnect()


class Complaints(logging.Handler):
    """Errors that the library only logs are heard, too. Of a message that it could not decode it makes a callback."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(logging.ERROR)
        self.recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        """Record it."""
        self.recorder.callback(0, -1, "log", [record.getMessage()])


class LockedFile:
    """A file that several threads write whole lines to."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Write all of it at once."""
        with self._lock:
            return self._file.write(text)


class Seat:
    """One client id: its connection, and the next one where the script makes it anew."""

    def __init__(self, client: int, rows: tuple[Row, ...], recorder: Recorder) -> None:
        self.client = client
        self.recorder = recorder
        self.player = Player(rows, client, class_of)
        self.connection = self._fresh()

    def _fresh(self, at: int = 0, *, is_again: bool = False) -> Connection:
        # The library's queue of messages outlives a connection; a new object has a new one.
        return Connection(self.client, self.player, self.recorder, at, is_again)

    def connect(self, port: int) -> int:
        """Connect; returns the server version."""
        self.connection.connect("127.0.0.1", port, self.client)
        return self.connection.serverVersion() or 0

    def run(self, port: int) -> None:
        """Hear until the script's end, over all connections."""
        self.connection.run()
        while self.connection.then is Then.RECONNECT:
            at = self.connection.at
            self.connection = self._fresh(at, is_again=True)
            time.sleep(RETRY_S)
            self.connect(port)
            self.connection.run()


def main(port: int, script: str, target: str) -> int:
    """Connect all clients of the script, play it, and write down what they hear."""
    rows = SCRIPTS[script]
    watchdog = threading.Timer(DEADLINE_S, lambda: os._exit(3))
    watchdog.daemon = True
    watchdog.start()
    # Each marker goes through two threads; by default a waiting one asks for its turn only after 5 ms.
    sys.setswitchinterval(1e-4)
    with open(target, "w", encoding="utf-8") as file:
        recorder = Recorder(LockedFile(file))
        logging.getLogger("ibapi").addHandler(Complaints(recorder))
        logging.getLogger("ibapi").setLevel(logging.ERROR)
        seats = [Seat(client, rows, recorder) for client in sorted({row.client for row in rows})]
        versions = [seat.connect(port) for seat in seats]
        recorder.head(Head("ibapi", release(), versions[0]))
        threads = [threading.Thread(target=seat.run, args=(port,)) for seat in seats]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    failures = "".join(seat.connection.failure for seat in seats)
    print(failures, end="", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
