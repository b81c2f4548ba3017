"""A small market that is played by a real Tws, and clients whose replies are read back from bytes."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np

from gateway.clients import Client
from gateway.market import Market
from gateway.protocol.codec import decode_reply
from gateway.protocol.contract import Contract
from gateway.protocol.replies import Error, Reply
from gateway.protocol.requests import Request, StartApi
from gateway.settings import GatewaySettings
from gateway.tws import Tws
from papertape.core.model import NS_PER_S, CorporateAction, EventKind, Instrument
from papertape.core.series import Series, Tape

NEW_YORK = ZoneInfo("America/New_York")
Rows = list[tuple[int, float, float]]


def at(day: int, clock: str) -> int:
    """UTC ns of a time in June 2024 in New York, seconds may have a fraction."""
    hour, minute, second = clock.split(":")
    whole = dt.datetime(2024, 6, day, int(hour), int(minute), tzinfo=NEW_YORK)
    return int(whole.timestamp()) * NS_PER_S + round(float(second) * NS_PER_S)


def trades(symbol: str, rows: Rows) -> Series:
    """Trades of (time, price, size)."""
    ts, price, size = zip(*rows, strict=True)
    return Series(symbol, EventKind.TRADE, np.array(ts, np.int64), (np.array(price, float), np.array(size, float)))


def quotes(symbol: str, rows: list[tuple[int, float, float, float, float]]) -> Series:
    """Quotes of (time, bid, ask, bid size, ask size)."""
    ts, *values = zip(*rows, strict=True)
    return Series(symbol, EventKind.QUOTE, np.array(ts, np.int64), tuple(np.array(each, float) for each in values))


def bars(symbol: str, rows: list[tuple[int, int, float, float, float, float, float]]) -> Series:
    """Bars of (start, end, open, high, low, close, volume)."""
    start, end, *values = zip(*rows, strict=True)
    columns = tuple(np.array(each, float) for each in values)
    return Series(symbol, EventKind.BAR, np.array(end, np.int64), columns, start=np.array(start, np.int64))


def stock(symbol: str, **fields: object) -> Contract:
    """A stock as clients name it."""
    given = {"type": "STK", "exchange": "SMART", "currency": "USD", **fields}
    return Contract(symbol=symbol, **given)  # type: ignore[arg-type]


class Played:
    """A Tws over series, from ``start`` (default: the first event) on."""

    def __init__(
        self,
        *series: Series,
        settings: GatewaySettings | None = None,
        start: int | None = None,
        instruments: tuple[Instrument, ...] = (),
        actions: tuple[CorporateAction, ...] = (),
        reference: frozenset[str] = frozenset(),
    ) -> None:
        known = {each.symbol: Instrument(each.symbol) for each in series} | {each.symbol: each for each in instruments}
        tape = Tape(series, known, actions=actions, reference_columns=reference)
        self.tws = Tws(settings or GatewaySettings(), Market(tape, start=start))

    def client(self, version: int = 200, number: int = 1) -> Client:
        """A client that has started."""
        client = self.tws.connect(version)
        self.tws.request(client, StartApi(number))
        client.take()
        return client

    def ask(self, client: Client, request: Request) -> list[Reply]:
        """What a request brings at once."""
        self.tws.request(client, request)
        return self.read(client)

    def play(self, until: int, client: Client) -> list[Reply]:
        """What a client hears until then."""
        self.tws.play(until)
        return self.read(client)

    def read(self, client: Client) -> list[Reply]:
        """All that waits for a client, frames decoded."""
        return [
            decode_reply(reply[4:], client.version) if isinstance(reply, bytes) else reply for reply in client.take()
        ]


def codes(replies: list[Reply]) -> list[int]:
    """Error codes among replies."""
    return [reply.code for reply in replies if isinstance(reply, Error)]
