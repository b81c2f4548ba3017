"""One tick to many subscribers: written once for all of them, with each one's own request number.

A tick's layout is the same at all server versions from 157 to 226; what differs is how its sizes are counted and
spelled, a :class:`Sizes`, and from 201 on how the message's number is. The bytes are those of the protocol's tables, which is what the tests compare them with; they
are written here directly because these few messages are nearly all that a busy market sends.

Facts: clients of server versions from 159 on get the sizes of US stocks in shares, those before in round lots
(``MIN_SERVER_VER_MARKET_DATA_IN_SHARES`` of the public clients); fractions from 163 on. Ticks of volume are in round
lots up to version 219 (``MIN_SERVER_VER_MARKET_DATA_VOLUMES_IN_SHARES`` is 220; recorded values agree). Not confirmed:
that tick-by-tick sizes are in shares at version 157 and 158, too, as they are here; which volumes are in shares from 220
on, where here all are.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import IntEnum

from gateway.clients import Client
from gateway.protocol.wire import RAW_NUMBERS

SHARES_SINCE = 159
FRACTIONS_SINCE = 163
VOLUMES_IN_SHARES_SINCE = 220

_pack = struct.Struct(">I").pack


class Sizes(IntEnum):
    """How a server version counts and spells the sizes of ticks."""

    LOTS = 0
    WHOLE = 1
    ANY = 2
    VOLUMES = 3
    """As ANY, and volumes are in shares, too."""


def sizes_of(version: int) -> Sizes:
    """The way of a server version."""
    if version < SHARES_SINCE:
        return Sizes.LOTS
    if version < FRACTIONS_SINCE:
        return Sizes.WHOLE
    return Sizes.ANY if version < VOLUMES_IN_SHARES_SINCE else Sizes.VOLUMES


def _quantity(value: float) -> str:
    return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")


_PRICE, _SIZE, _STRING, _GENERIC, _TICK = range(5)
_HEADS = (b"1\x006\0", b"2\x006\0", b"46\x006\0", b"45\x006\0", b"99\0")
"""What comes before the number of the request: the message's own number, and its version where it has one."""
_RAW_HEADS = (_pack(1) + b"6\0", _pack(2) + b"6\0", _pack(46) + b"6\0", _pack(45) + b"6\0", _pack(99))
"""The same from RAW_NUMBERS on."""


class _Group:
    """Clients who share frames: one way of sizes and of messages' numbers, one request number."""

    __slots__ = ("clients", "heads", "request", "sends", "sizes", "starts")

    def __init__(self, sizes: Sizes, heads: tuple[bytes, ...], request: int) -> None:
        self.sizes = sizes
        self.heads = heads
        self.request = request
        self.clients: list[Client] = []
        self.sends: list[Callable[[bytes], None]] = []
        self.starts: tuple[dict[int, bytes], ...] = tuple({} for _ in _HEADS)
        """For each kind of message: length of the tail -> what comes before it, the frame's length included."""

    def add(self, client: Client) -> None:
        self.clients.append(client)
        self.sends.append(client.send_frame)

    def remove(self, client: Client) -> None:
        self.clients.remove(client)
        self.sends = [each.send_frame for each in self.clients]

    def send(self, head: int, tail: bytes) -> None:
        """Send everybody a message."""
        starts, n = self.starts[head], len(tail)
        start = starts.get(n)
        if start is None:
            payload = b"%b%d\0" % (self.heads[head], self.request)
            start = starts[n] = _pack(len(payload) + n) + payload
        frame = start + tail
        for send in self.sends:
            send(frame)


class Fanout:
    """The subscribers of one stream of one instrument, whose round lot is ``lot`` units; NaN sizes are sent as 0."""

    __slots__ = ("_groups", "_way", "lot")

    def __init__(self, lot: int = 1) -> None:
        self.lot = lot
        self._way: Sizes | None = None
        """The way of sizes that all subscribers have; None where they differ, or where there are none."""
        self._groups: list[_Group] = []

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __len__(self) -> int:
        return sum(len(group.clients) for group in self._groups)

    def add(self, client: Client, request: int) -> Fanout:
        """Subscribe a client."""
        sizes = sizes_of(client.version)
        heads = _RAW_HEADS if client.version >= RAW_NUMBERS else _HEADS
        for group in self._groups:
            if group.sizes is sizes and group.heads is heads and group.request == request:
                group.add(client)
                return self
        self._groups.append(_Group(sizes, heads, request))
        self._groups[-1].add(client)
        self._find_way()
        return self

    def remove(self, client: Client, request: int) -> None:
        """End that."""
        for group in self._groups:
            if group.request == request and client in group.clients:
                group.remove(client)
                if not group.clients:
                    self._groups.remove(group)
                break
        self._find_way()

    def _find_way(self) -> None:
        ways = {group.sizes for group in self._groups}
        self._way = ways.pop() if len(ways) == 1 else None

    def members(self) -> Iterator[tuple[Client, int]]:
        """Each client with its request number."""
        for group in self._groups:
            for client in group.clients:
                yield client, group.request

    def _sized(self, size: float, sizes: Sizes) -> str:
        if size != size:
            return "0"
        if sizes >= Sizes.ANY:
            return _quantity(size)
        return str(math.trunc(size / self.lot if sizes is Sizes.LOTS else size))

    def _send(self, head: int, tail: bytes) -> None:
        """The same to everybody, but for the number of the request."""
        for group in self._groups:
            group.send(head, tail)

    def _send_sized(self, head: int, tail: Callable[[Sizes], str]) -> None:
        """To everybody what his way of sizes makes of it."""
        if self._way is not None:
            self._send(head, tail(self._way).encode())
            return
        tails = [tail(way).encode() for way in Sizes]
        for group in self._groups:
            group.send(head, tails[group.sizes])

    def price(self, kind: int, price: float, size: float = 0.0, mask: int = 0) -> None:
        """A price of tick type ``kind``; its size is in units."""
        way = self._way
        if way is not None:
            self._send(_PRICE, f"{kind}\0{price!r}\0{self._sized(size, way)}\0{mask}\0".encode())
        elif self._groups:
            self._send_sized(_PRICE, lambda way: f"{kind}\0{price!r}\0{self._sized(size, way)}\0{mask}\0")

    def size(self, kind: int, size: float) -> None:
        """A size in units."""
        if self._groups:
            self._send_sized(_SIZE, lambda way: f"{kind}\0{self._sized(size, way)}\0")

    def volume(self, kind: int, units: float) -> None:
        """A session's volume: in round lots below VOLUMES_IN_SHARES_SINCE, without fractions at every version."""
        if self._groups:
            self._send_sized(_SIZE, lambda way: f"{kind}\0{self._volume(units, way)}\0")

    def _volume(self, units: float, way: Sizes) -> int:
        return math.trunc(units if way is Sizes.VOLUMES else units / self.lot)

    def string(self, kind: int, value: str) -> None:
        """A text."""
        if self._groups:
            self._send(_STRING, f"{kind}\0{value}\0".encode())

    def generic(self, kind: int, value: float) -> None:
        """A number."""
        if self._groups:
            self._send(_GENERIC, f"{kind}\0{value!r}\0".encode())

    def trade_summary(self, kind: int, price: float, size: float, ts: int, volume: float, average: float) -> None:
        """RTVolume (48) or RTTrdVolume (77): price;size;ms;volume so far;average price;one market maker.

        Recorded: ``357.36;8344.0000000000000000;1665499045563;197349.0000000000000000;357.30841548;false``. Below
        version 163 sizes are whole. That one market maker filled it is always said.
        """
        if not self._groups:
            return
        ms = ts // 1_000_000

        def tail(way: Sizes) -> str:
            total = self._volume(volume, way)
            if way >= Sizes.ANY:
                sizes = f"{size:.16f};{ms};{total}.0000000000000000"
            else:
                sizes = f"{self._sized(size, way)};{ms};{total}"
            return f"{kind}\0{price!r};{sizes};{average:.8f};true\0"

        self._send_sized(_STRING, tail)

    def trade(self, kind: int, ts: int, price: float, size: float, exchange: str) -> None:
        """Tick by tick: Last (1) or AllLast (2), in whole seconds; the size is in units at every version."""
        if self._groups:
            before = f"{kind}\0{ts // 1_000_000_000}\0{price!r}\0"
            self._send_sized(_TICK, lambda way: f"{before}{self._in_units(size, way)}\x000\0{exchange}\0\0")

    def quote(self, ts: int, bid: float, ask: float, bid_size: float, ask_size: float) -> None:
        """Tick by tick: BidAsk; a side without a price is 0."""
        if not self._groups:
            return
        bid, ask = (0.0 if side != side else side for side in (bid, ask))
        before = f"3\0{ts // 1_000_000_000}\0{bid!r}\0{ask!r}\0"

        def tail(way: Sizes) -> str:
            return f"{before}{self._in_units(bid_size, way)}\0{self._in_units(ask_size, way)}\x000\0"

        self._send_sized(_TICK, tail)

    def middle(self, ts: int, middle: float) -> None:
        """Tick by tick: MidPoint."""
        if self._groups:
            self._send(_TICK, f"4\0{ts // 1_000_000_000}\0{middle!r}\0".encode())

    def _in_units(self, size: float, way: Sizes) -> str:
        """A size that is never counted in lots."""
        return self._sized(size, Sizes.WHOLE if way is Sizes.LOTS else way)
