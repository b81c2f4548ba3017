"""Whatever clients send, the simulated TWS answers, refuses or ends the connection; it never raises."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from gateway.clients import Client
from gateway.protocol import requests
from gateway.protocol.codec import decode_reply, decode_request, encode_reply, encode_request
from gateway.protocol.contract import Contract
from gateway.protocol.requests import Request
from gateway.protocol.wire import PREFIX_BYTES, ProtocolError
from gateway.settings import Limits
from tests.brokers.tapes import OPEN, S, bars, quotes, trades
from tests.gateway.desk import Desk, order, stock

SEED = int(os.environ.get("GATEWAY_FUZZ_SEED", "20260825"))
"""Rerun with ``GATEWAY_FUZZ_SEED=N pytest tests/gateway/test_fuzz.py``."""
FRAMES = int(os.environ.get("GATEWAY_FUZZ_FRAMES", "100000" if os.environ.get("PAPERTAPE_SOAK") else "10000"))
VERSIONS = (157, 163, 176, 187, 200)
UNLIMITED = Limits(
    messages_per_s=10**9, violations=10**9, market_data_lines=50, tick_by_tick=20, history_requests=10**9,
    history_open=10**6, history_same_s=0,
)  # fmt: skip

NOTHING = b""
ODD_VALUES = (
    NOTHING, b"0", b"-1", b"1", b"2147483647", b"-2147483648", b"9999999999999999999", b"1.7976931348623157e+308", b"nan",
    b"1e400", b"0.01", b"-5.5", b"STK", b"BUY", b"SELL", b"MKT", b"LMT", b"STP", b"TRAIL", b"IOC", b"GTC", b"AAPL", b"MSFT",
    b"20240103 09:30:05 US/Eastern", b"20240103-14:30:05", b"99999999", b"1 D", b"30 S", b"5 mins", b"TRADES", b"AllLast",
    b"\xff\xfe", b"x" * 5000, b"233", b"All", b"$LEDGER:ALL", b"DU1234567", b"MOST_ACTIVE", b"priceAbove=1;",
)  # fmt: skip


def samples() -> list[Request]:
    """A request of every kind, well formed."""
    plain: list[Request] = [
        requests.NextId(), requests.CurrentTime(), requests.ManagedAccounts(), requests.AccountUpdates(True),
        requests.AccountUpdates(False), requests.AccountUpdatesMulti(1), requests.CancelAccountUpdatesMulti(1),
        requests.Positions(), requests.CancelPositions(), requests.PositionsMulti(2), requests.CancelPositionsMulti(2),
        requests.AccountSummary(3, "All", "NetLiquidation,$LEDGER"), requests.CancelAccountSummary(3), requests.Pnl(4),
        requests.CancelPnl(4), requests.PnlSingle(5, con_id=1), requests.CancelPnlSingle(5), requests.ScannerParameters(),
        requests.ScannerSubscription(6, 10, "STK", "STK.US.MAJOR", "MOST_ACTIVE"), requests.CancelScanner(6),
        requests.MarketData(7, stock(), "233"), requests.CancelMarketData(7), requests.SetMarketDataType(3),
        requests.TickByTick(8, stock(), "AllLast"), requests.CancelTickByTick(8),
        requests.HistoricalBars(9, stock(), "", "1 min", "1800 S", True, "TRADES", 1, True),
        requests.CancelHistoricalBars(9), requests.HeadTimestamp(10, stock(), True, "TRADES"),
        requests.RealTimeBars(11, stock("MSFT"), 5, "TRADES"), requests.CancelRealTimeBars(11),
        requests.ContractDetails(12, Contract(symbol="AAPL", type="STK")), requests.MatchingSymbols(13, "A"),
        requests.CancelOrder(3), requests.GlobalCancel(), requests.OpenOrders(), requests.AllOpenOrders(),
        requests.AutoOpenOrders(True), requests.CompletedOrders(), requests.Executions(14), requests.NewsBulletins(True),
        requests.SetLogLevel(5),
    ]  # fmt: skip
    terms = [
        order("BUY", 10), order("SELL", 5, "LMT", limit_price=101.5), order("BUY", 5, "STP", aux_price=103.0),
        order("SELL", 5, "STP LMT", aux_price=99.0, limit_price=98.5, tif="GTC"), order("SELL", 2, "TRAIL", aux_price=1.0),
        order("BUY", 2, "TRAIL LIMIT", trailing_percent=1.0, limit_offset=0.1), order("BUY", 3, "MOC"),
        order("SELL", 3, "LMT", limit_price=102.0, oca_group="g", oca_type=1, tif="IOC"),
        order("BUY", 3, what_if=True), order("SELL", 3, "LMT", limit_price=110.0, parent_id=1, transmit=False),
    ]  # fmt: skip
    return [*plain, *(requests.PlaceOrder(k + 1, stock(), each) for k, each in enumerate(terms))]


def mutated(rng: random.Random, payload: bytes) -> bytes:
    """A message with some fields changed, added or gone."""
    fields = payload[:-1].split(b"\0")
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        k = rng.randrange(1, len(fields)) if len(fields) > 1 else 0
        match rng.randrange(6):
            case 0:
                fields[k : k + 1] = []
            case 1:
                fields.insert(k, rng.choice(ODD_VALUES))
            case _ if k:
                fields[k] = rng.choice(ODD_VALUES) if rng.random() < 0.7 else str(rng.randrange(40)).encode()
            case _:
                pass
        if not fields:
            break
    return b"\0".join(fields) + b"\0"


def a_market() -> tuple[Any, ...]:
    rng = random.Random(3)
    return (
        trades("AAPL", *((k + 1, 100.0 + rng.randint(-300, 300) / 100, 300.0) for k in range(3000))),
        quotes("AAPL", *((k + 1.5, 100.0, 100.02) for k in range(0, 3000, 3))),
        bars("MSFT", *((60 * k, 50.0, 51.0, 49.0, 50.5) for k in range(50))),
    )


@pytest.mark.soak
def test_no_request_however_odd_raises_and_every_answer_can_be_read():
    rng = random.Random(SEED)
    print(f"rerun with GATEWAY_FUZZ_SEED={SEED}")
    desk = Desk(*a_market(), limits=UNLIMITED)
    clients: list[Client] = [desk.client(10 + k, version) for k, version in enumerate(VERSIONS)]
    kinds = samples()
    taken = refused = read = 0
    for n in range(FRAMES):
        client = rng.choice(clients)
        payload = mutated(rng, encode_request(rng.choice(kinds), client.version)[PREFIX_BYTES:])
        try:
            request = decode_request(payload, client.version)
        except ProtocolError:
            refused += 1
        else:
            desk.tws.request(client, request)
            taken += 1
        if n % 20 == 0 and desk.tws.now < OPEN + 2900 * S:
            desk.at((desk.tws.now - OPEN) / S + 1.0)
        for each in clients:
            for reply in each.take():
                frame = reply if isinstance(reply, bytes) else encode_reply(reply, each.version)
                if frame:
                    decode_reply(frame[PREFIX_BYTES:], each.version)
                    read += 1
    assert taken > FRAMES // 3
    assert refused > FRAMES // 20
    assert read > taken


@pytest.mark.parametrize("request_", samples(), ids=lambda each: type(each).__name__)
def test_a_request_of_every_kind_may_come_twice_and_from_a_client_that_is_gone(request_: Request):
    desk = Desk(*a_market())
    desk.at(10)
    for _ in range(2):
        desk.ask(request_)
    desk.tws.disconnect(desk.one)
    desk.tws.play(OPEN + 20 * S)
    assert desk.one.take() == [] or desk.one.closing == ""
