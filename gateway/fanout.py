"""One tick to many subscribers: written once for all of them, with each one's own request number.

A tick's layout is the same at all server versions from 157 to 200; what differs is how its sizes are counted and
spelled, a :class:`Sizes`. The bytes are those of the protocol's tables, which is what the tests compare them with; they
are written here directly because these few messages are nearly all that a busy market sends.

Facts: clients of server versions from 159 on get the sizes of US stocks in shares, those before in round lots
(``MIN_SERVER_VER_MARKET_DATA_IN_SHARES`` of the public clients); fractions from 163 on. Ticks of volume are in round
lots up to version 219 (``MIN_SERVER_VER_MARKET_DATA_VOLUMES_IN_SHARES`` is 220; recorded values agree). Not confirmed:
that tick-by-tick sizes are in shares at version 157 and 158, too, as they are here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from decimal import Decimal
from enum import IntEnum

from gateway.clients import Client

SHARES_SINCE = 159
FRACTIONS_SINCE = 163

_pack = struct.Struct(">I").pack


class Sizes(IntEnum):
    """How a server version counts and spells the sizes of ticks."""

    LOTS = 0
    WHOLE = 1
    ANY = 2


def sizes_of(version: int) -> Sizes:
    """The way of a server version."""
    if version < SHARES_SINCE:
        return Sizes.LOTS
    return Sizes.WHOLE if version < FRACTIONS_SINCE else Sizes.ANY


def _quantity(value: float) -> str:
    whole = math.trunc(value)
    return str(whole) if value == whole else format(Decimal(repr(value)), "f")


class Fanout:
    """The subscribers of one stream of one instrument, whose round lot is ``lot`` units; NaN sizes are sent as 0."""

    __slots__ = ("_groups", "lot")

    def __init__(self, lot: int = 1) -> None:
        self.lot = lot
        self._groups: list[tuple[Sizes, int, list[Client]]] = []
        """By way of sizes, then by request number: clients that share both share a frame."""

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __len__(self) -> int:
        return sum(len(clients) for _, _, clients in self._groups)

    def add(self, client: Client, request: int) -> Fanout:
        """Subscribe a client."""
        sizes = sizes_of(client.version)
        for known, number, clients in self._groups:
            if (known, number) == (sizes, request):
                clients.append(client)
                return self
        self._groups.append((sizes, request, [client]))
        self._groups.sort(key=lambda group: group[:2])
        return self

    def remove(self, client: Client, request: int) -> None:
        """End that."""
        sizes = sizes_of(client.version)
        for group in self._groups:
            if group[:2] == (sizes, request) and client in group[2]:
                group[2].remove(client)
                if not group[2]:
                    self._groups.remove(group)
                return

    def members(self) -> Iterator[tuple[Client, int]]:
        """Each client with its request number."""
        for _, request, clients in self._groups:
            for client in clients:
                yield client, request

    def _size(self, size: float, sizes: Sizes) -> str:
        if size != size:
            return "0"
        if sizes is Sizes.ANY:
            return _quantity(size)
        return str(math.trunc(size / self.lot if sizes is Sizes.LOTS else size))

    def _send(self, head: bytes, tails: list[bytes]) -> None:
        """To everybody the tail of its way of sizes, or the only one."""
        is_one = len(tails) == 1
        for sizes, request, clients in self._groups:
            payload = b"%b%d\0%b" % (head, request, tails[0] if is_one else tails[sizes])
            frame = _pack(len(payload)) + payload
            for client in clients:
                client.send_frame(frame)

    def _tails(self, before: str, size: float, behind: str) -> list[bytes]:
        """The tails of all ways of sizes between two texts; one, where all subscribers have the same way."""
        ways: Iterable[Sizes] = Sizes
        if self._groups[0][0] is self._groups[-1][0]:
            ways = (self._groups[0][0],)
        return [f"{before}{self._size(size, way)}\0{behind}".encode() for way in ways]

    def price(self, kind: int, price: float, size: float = 0.0, mask: int = 0) -> None:
        """A price of tick type ``kind``; its size is in units."""
        if self._groups:
            self._send(b"1\x006\0", self._tails(f"{kind}\0{price!r}\0", size, f"{mask}\0"))

    def size(self, kind: int, size: float) -> None:
        """A size in units."""
        if self._groups:
            self._send(b"2\x006\0", self._tails(f"{kind}\0", size, ""))

    def volume(self, kind: int, units: float) -> None:
        """A session's volume, which is in round lots at every version."""
        if self._groups:
            self._send(b"2\x006\0", [b"%d\0%d\0" % (kind, math.trunc(units / self.lot))])

    def string(self, kind: int, value: str) -> None:
        """A text."""
        if self._groups:
            self._send(b"46\x006\0", [f"{kind}\0{value}\0".encode()])

    def generic(self, kind: int, value: float) -> None:
        """A number."""
        if self._groups:
            self._send(b"45\x006\0", [f"{kind}\0{value!r}\0".encode()])

    def trade_summary(self, kind: int, price: float, size: float, ts: int, volume: float, average: float) -> None:
        """RTVolume (48) or RTTrdVolume (77): price;size;ms;volume so far in round lots;average price;one market maker.

        Recorded: ``357.36;8344.0000000000000000;1665499045563;197349.0000000000000000;357.30841548;false``. Below
        version 163 sizes are whole. That one market maker filled it is always said.
        """
        if not self._groups:
            return
        tails: list[bytes] = []
        lots = math.trunc(volume / self.lot)
        for sizes in Sizes:
            if sizes is Sizes.ANY:
                shown = f"{size:.16f};{ts // 1_000_000};{lots}.0000000000000000"
            else:
                shown = f"{self._size(size, sizes)};{ts // 1_000_000};{lots}"
            tails.append(f"{kind}\0{price!r};{shown};{average:.8f};true\0".encode())
        self._send(b"46\x006\0", tails)

    def trade(self, kind: int, ts: int, price: float, size: float, exchange: str) -> None:
        """Tick by tick: Last (1) or AllLast (2), in whole seconds; the size is in units at every version."""
        if self._groups:
            before = f"{kind}\0{ts // 1_000_000_000}\0{price!r}\0"
            self._send(b"99\0", self._in_units(before, (size,), f"0\0{exchange}\0\0"))

    def quote(self, ts: int, bid: float, ask: float, bid_size: float, ask_size: float) -> None:
        """Tick by tick: BidAsk; a side without a price is 0."""
        if self._groups:
            bid, ask = (0.0 if side != side else side for side in (bid, ask))
            self._send(
                b"99\0", self._in_units(f"3\0{ts // 1_000_000_000}\0{bid!r}\0{ask!r}\0", (bid_size, ask_size), "0\0")
            )

    def middle(self, ts: int, middle: float) -> None:
        """Tick by tick: MidPoint."""
        if self._groups:
            self._send(b"99\0", [f"4\0{ts // 1_000_000_000}\0{middle!r}\0".encode()])

    def _in_units(self, before: str, values: tuple[float, ...], behind: str) -> list[bytes]:
        known = [0.0 if value != value else value for value in values]
        exact = "\0".join(map(_quantity, known))
        whole = "\0".join(str(math.trunc(value)) for value in known)
        if whole == exact:
            return [f"{before}{whole}\0{behind}".encode()]
        return [f"{before}{each}\0{behind}".encode() for each in (whole, whole, exact)]
