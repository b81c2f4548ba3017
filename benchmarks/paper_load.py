"""Trades and quotes at a steady rate: ``python -m benchmarks.paper_load SYMBOLS RATE SECONDS``.

Every other event is a trade, whose size says when it was sent (ms since the peer began), the others are quotes that each
change the bid. It says its port, waits for a line of input
when the client is there, sends, and prints what was sent as a line of JSON; then it serves on until its input ends.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from benchmarks.paper_peer import PRICE, Desk, Peer

STEP_S = 0.01
START_S = 240.0
CLIENT = 1


def play(symbols: int, rate: int, seconds: int) -> None:
    """Send so many events a second of so many stocks, whatever the client does; at most a little late."""
    desk = Desk(symbols)
    say({"port": desk.port, "now": desk.market.now(), "began_s": desk.market.began_s})
    desk.serve_until(lambda: desk.of(CLIENT, range(symbols)) is not None, START_S, "the client")
    peer = desk.of(CLIENT, range(symbols))
    assert peer is not None, "it is connected"
    desk.serve_for(0.5)
    for j in range(symbols):
        peer.connection.sendall(peer.quote(j, PRICE - 0.05, PRICE + 0.05, 100.0))
    desk.serve_for(1.5)  # what TWS says first of a line is no event: that is over now
    say({"ready": True})
    told = threading.Event()

    def wait_for_line() -> None:
        sys.stdin.readline()
        told.set()

    threading.Thread(target=wait_for_line, daemon=True).start()
    desk.serve_until(told.is_set, START_S, "the beginning")
    trades, quotes, late_s = send(desk, peer, symbols, rate, seconds)
    say({"trades": trades, "quotes": quotes, "late_s": late_s, "orders": len(peer.orders)})
    desk.serve_until(lambda: not peer.is_open, START_S, "the client's end")
    desk.close()


def send(desk: Desk, peer: Peer, symbols: int, rate: int, seconds: int) -> tuple[int, int, float]:
    """(trades, quotes) sent, and by how much the sending fell behind at most (s)."""
    total = rate * seconds
    trades = quotes = sent = 0
    late_s = 0.0
    began = time.perf_counter()
    connection = peer.connection
    while sent < total:
        passed = time.perf_counter() - began
        due = min(total, int(passed * rate) + 1)
        late_s = max(late_s, passed - sent / rate)
        block = bytearray()
        age_ms = round((time.monotonic() - desk.market.began_s) * 1e3, 3)
        for k in range(sent, due):
            nth, is_quote = divmod(k, 2)
            j = nth % symbols
            if is_quote:
                block += peer.quote(j, PRICE - 0.02 - nth // symbols % 3 * 0.01, PRICE + 0.02, 100.0)
                quotes += 1
            else:
                block += peer.trade(j, PRICE + nth // symbols % 5 * 0.01, age_ms)
                trades += 1
        connection.sendall(block)
        sent = due
        desk.serve_for(STEP_S - (time.perf_counter() - began) % STEP_S)
    return trades, quotes, late_s


def say(what: dict[str, Any]) -> None:
    """A line for the process that started this one."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    play(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
