"""Runs inside a client's own environment: what an unmodified client sends, and what it reads from given frames.

    python client_probe.py ibapi|ib_async < work.json > seen.json

Work is ``{"version", "calls": [[method, args]], "payloads": [hex]}``; seen is ``{"sent": [hex], "read": [[callbacks,
fields left over]]}``. Nothing of the client is replaced but its connection, which keeps what would be sent. The list of
a message's fields is watched, so that fields which the client never looked at are seen too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
import json
import logging
import queue
import sys
from collections.abc import Callable, Iterator
from datetime import UTC
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any

MODULES = {
    "ibapi": {
        "Contract": "ibapi.contract",
        "ComboLeg": "ibapi.contract",
        "DeltaNeutralContract": "ibapi.contract",
        "Order": "ibapi.order",
        "OrderComboLeg": "ibapi.order",
        "OrderCancel": "ibapi.order_cancel",
        "TagValue": "ibapi.tag_value",
        "ScannerSubscription": "ibapi.scanner",
        "ExecutionFilter": "ibapi.execution",
        "SoftDollarTier": "ibapi.softdollartier",
    },
    "ib_async": dict.fromkeys(
        (
            "Contract",
            "ComboLeg",
            "DeltaNeutralContract",
            "Order",
            "OrderComboLeg",
            "TagValue",
            "ScannerSubscription",
            "ExecutionFilter",
            "SoftDollarTier",
        ),
        "ib_async",
    ),
}
MODULES["ib_async"]["OrderComboLeg"] = "ib_async.order"
MODULES["ib_async"]["SoftDollarTier"] = "ib_async.objects"


class Connection:
    """Keeps what is sent."""

    def __init__(self, connected: bool) -> None:
        self.sent: list[bytes] = []
        self.connected = connected

    def isConnected(self) -> bool:  # noqa: N802 - the client's name
        return self.connected

    def sendMsg(self, data: bytes) -> int:  # noqa: N802 - the client's name
        self.sent.append(bytes(data))
        return len(data)

    def disconnect(self) -> None:
        self.connected = False


def plain(value: Any) -> Any:
    """A value as JSON has it; objects as their attributes."""
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("ascii", "backslashreplace")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list | tuple | set):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if not hasattr(value, "__dict__"):
        return str(value)
    return {key: plain(each) for key, each in vars(value).items()}


class Maker:
    """Builds a client's own objects from what JSON says of them."""

    def __init__(self, client: str) -> None:
        self.client = client

    def named(self, name: str) -> Any:
        return getattr(importlib.import_module(MODULES[self.client][name]), name)

    def fill(self, made: Any, attributes: dict[str, Any]) -> Any:
        for name, value in attributes.items():
            setattr(made, name, self.attribute(name, value))
        return made

    def attribute(self, name: str, value: Any) -> Any:
        special: dict[str, Callable[[Any], Any]] = {
            "comboLegs": lambda legs: [self.fill(self.named("ComboLeg")(), leg) for leg in legs],
            "deltaNeutralContract": lambda each: self.fill(self.named("DeltaNeutralContract")(), each),
            "orderComboLegs": lambda prices: [self.fill(self.named("OrderComboLeg")(), {"price": p}) for p in prices],
            "softDollarTier": lambda texts: self.named("SoftDollarTier")(*texts),
            "conditions": lambda each: [self.condition(one) for one in each],
            "totalQuantity": lambda number: number if self.client == "ib_async" else Decimal(str(number)),
            "specificDates": lambda dates: dates,
        }
        if name in special:
            return special[name](value)
        return self.pairs(value) if isinstance(value, list) else value

    def pairs(self, values: list[list[str]]) -> list[Any]:
        return [self.named("TagValue")(tag, value) for tag, value in values]

    def condition(self, attributes: dict[str, Any]) -> Any:
        rest = dict(attributes)
        number = rest.pop("type")
        if self.client == "ib_async":
            of = importlib.import_module("ib_async.order").OrderCondition.createClass(number)
            return of(condType=number, **rest)
        made = importlib.import_module("ibapi.order_condition").Create(number)
        return self.fill(made, rest)

    def argument(self, value: Any) -> Any:
        if isinstance(value, list):
            return self.pairs(value)
        if isinstance(value, dict):
            ((name, attributes),) = value.items()
            return self.fill(self.named(name)(), attributes)
        return value


class WatchedFields(tuple[bytes, ...]):  # noqa: SLOT001 - of variable size: it can not have any
    """A message's fields that remember how many were looked at one by one."""

    watched: list[Iterator[bytes]] = []  # noqa: RUF012 - the probe is one process with one list

    def __iter__(self) -> Iterator[bytes]:
        iterator = super().__iter__()
        WatchedFields.watched.append(iterator)
        return iterator


def ibapi_seen(work: dict[str, Any]) -> dict[str, Any]:
    client_module = importlib.import_module("ibapi.client")
    wrapper_class = importlib.import_module("ibapi.wrapper").EWrapper
    decoder_class = importlib.import_module("ibapi.decoder").Decoder
    comm = importlib.import_module("ibapi.comm")
    heard: list[Any] = []

    def recorder(name: str) -> Callable[..., None]:
        return lambda self, *args: heard.append([name, plain(args)])

    names = [name for name, _ in inspect.getmembers(wrapper_class, inspect.isfunction) if not name.startswith("_")]
    silent = {"connectionClosed", "connectAck", "logAnswer"}
    wrapper = type("Wrapper", (wrapper_class,), {n: recorder(n) for n in names if n not in silent})()
    maker = Maker("ibapi")

    client = client_module.EClient(wrapper)
    client.conn = connection = Connection(connected=True)
    client.serverVersion_ = work["version"]
    client.clientId = 7
    client.optCapab = ""
    client.setConnState(client.CONNECTED)
    for method, args in work["calls"]:
        getattr(client, method)(*[maker.argument(each) for each in args])
    refused = list(heard)
    heard.clear()

    read_fields = comm.read_fields
    decoder = decoder_class(wrapper, work["version"])
    comm.read_fields = lambda text: WatchedFields(read_fields(text))
    read = []
    for payload in work["payloads"]:
        WatchedFields.watched.clear()
        client = client_module.EClient(wrapper)
        client.conn = Connection(connected=False)
        client.serverVersion_ = work["version"]
        client.decoder = decoder
        client.msg_queue = queue.Queue()
        client.msg_queue.put(bytes.fromhex(payload))
        client.run()
        left = sum(1 for iterator in WatchedFields.watched[:1] for _ in iterator)
        read.append([list(heard), left])
        heard.clear()
    return {"sent": [each.hex() for each in connection.sent], "read": read, "refused": refused}


def ib_async_seen(work: dict[str, Any]) -> dict[str, Any]:
    heard: list[Any] = []

    class Wrapper:
        defaultTimezone = UTC  # noqa: N815 - the client's name
        ib = SimpleNamespace(TimezoneTWS="")

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *args: heard.append([name, plain(args)])

    class Complaints(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(["log", [record.getMessage()]])

    logging.getLogger("ib_async").addHandler(Complaints(logging.ERROR))
    asyncio.set_event_loop(asyncio.new_event_loop())
    client_class = importlib.import_module("ib_async.client").Client
    decoder = importlib.import_module("ib_async.decoder").Decoder(Wrapper(), work["version"])
    maker = Maker("ib_async")
    client = client_class(Wrapper())
    client.conn = connection = Connection(connected=True)
    client.connState = client_class.CONNECTED
    client.MaxRequests = 0
    client._serverVersion = work["version"]
    client.clientId = 7
    for method, args in work["calls"]:
        getattr(client, method)(*[maker.argument(each) for each in args])
    refused = list(heard)
    heard.clear()
    read = []
    for payload in work["payloads"]:
        fields = bytes.fromhex(payload).decode(errors="backslashreplace").split("\0")
        fields.pop()
        decoder.interpret(fields)
        read.append([list(heard), 0])
        heard.clear()
    return {"sent": [each.hex() for each in connection.sent], "read": read, "refused": refused}


if __name__ == "__main__":
    seen = {"ibapi": ibapi_seen, "ib_async": ib_async_seen}[sys.argv[1]](json.load(sys.stdin))
    json.dump(seen, sys.stdout)
