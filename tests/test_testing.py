"""``papertape.testing``: a simulated TWS in a thread, as a context manager and as fixtures of pytest."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gateway.protocol import replies, requests
from gateway.protocol.codec import decode_reply, encode_request
from gateway.protocol.contract import Contract
from gateway.protocol.handshake import ClientHandshake
from gateway.protocol.order import Order
from gateway.protocol.wire import FrameReader
from gateway.settings import GatewaySettings
from papertape.core.errors import ConfigError, PeerError
from papertape.core.model import NS_PER_S
from papertape.testing import SimulatedGateway, start_gateway

pytest_plugins = ["papertape.testing"]

ROOT = Path(__file__).resolve().parents[1]
WITHIN_S = 30.0
START = 1_717_421_400 * NS_PER_S
"""2024-06-03 09:30 in New York."""


def flat() -> dict[str, dict[str, object]]:
    """AAA at 10.00, once a second for a minute."""
    ts = START + np.arange(60, dtype=np.int64) * NS_PER_S
    return {"AAA": {"ts": ts, "price": np.full(60, 10.0), "size": np.full(60, 100.0)}}


def conversation(gateway: SimulatedGateway, *asked: requests.Request, until: type) -> replies.Reply:
    """Connect, ask, and return the first reply of a kind."""
    shake, frames = ClientHandshake(), FrameReader(1 << 24)
    with socket.create_connection((gateway.host, gateway.port), timeout=WITHIN_S) as peer:
        peer.sendall(shake.greeting)
        while not shake.version:
            shake.feed(peer.recv(65_536))
        peer.sendall(b"".join(encode_request(each, shake.version) for each in (requests.StartApi(1), *asked)))
        while True:
            data = peer.recv(65_536)
            assert data, f"the connection ended before a {until.__name__} came"
            for payload in frames.feed(data):
                reply = decode_reply(payload, shake.version)
                if isinstance(reply, until):
                    return reply


def buy(symbol: str) -> requests.PlaceOrder:
    contract = Contract(symbol=symbol, type="STK", exchange="SMART", currency="USD")
    return requests.PlaceOrder(1, contract, Order("BUY", 10.0, "MKT"))


def is_listening(port: int) -> bool:
    with socket.socket() as peer:
        return peer.connect_ex(("127.0.0.1", port)) == 0


def test_the_fixture_is_a_gateway_that_fills_orders(simulated_gateway: SimulatedGateway) -> None:
    assert len(simulated_gateway.symbols) == 3
    assert simulated_gateway.account == "DU1234567"
    fill = conversation(simulated_gateway, buy(simulated_gateway.symbols[0]), until=replies.Execution)
    assert isinstance(fill, replies.Execution)
    assert fill.shares == 10.0
    assert any("connected from" in each.text for each in simulated_gateway.events)


def test_the_factory_starts_several_on_data_of_ones_own(
    simulated_gateway_factory: Callable[..., SimulatedGateway],
) -> None:
    one = simulated_gateway_factory(flat(), speed=20, settings=GatewaySettings(account="DU1"))
    two = simulated_gateway_factory(flat(), scenario='[[fault]]\nkind = "reject"\ntext = "no"')
    assert one.port != two.port
    assert conversation(one, until=replies.ManagedAccountsList) == replies.ManagedAccountsList("DU1")
    fill = conversation(one, buy("AAA"), until=replies.Execution)
    assert isinstance(fill, replies.Execution)
    assert fill.price == 10.0
    conversation(two, buy("AAA"), until=replies.OrderStatus)
    assert any("reject" in each.text for each in two.events)


def test_it_stops_when_its_block_ends() -> None:
    with start_gateway(flat()) as gateway:
        assert is_listening(gateway.port)
    assert not is_listening(gateway.port)
    gateway.stop()
    assert gateway.wait(0.0)


def test_it_can_end_with_its_tape() -> None:
    with start_gateway(flat(), speed="max", hold=False, stop_at_end=True) as gateway:
        assert gateway.wait(WITHIN_S)
    assert any(each.text == "the tape has ended" for each in gateway.events)


def test_a_mistake_is_raised_where_it_is_started() -> None:
    with pytest.raises(ConfigError, match="speed 0:"):
        start_gateway(flat(), speed=0)
    with pytest.raises(ConfigError, match=r"scenario:2: no fault"):
        start_gateway(flat(), scenario='[[fault]]\nkind = "bursts"')
    with start_gateway(flat()) as gateway, pytest.raises(ConfigError, match="is in use"):
        start_gateway(flat(), port=gateway.port)


def test_what_goes_wrong_inside_is_raised_where_it_is_stopped() -> None:
    gateway = start_gateway(flat(), lockstep=[1], deadline_s=0.1)
    with pytest.raises(AssertionError, match="the connection ended"):
        conversation(gateway, requests.CurrentTime(), until=replies.ExecutionsEnd)
    with pytest.raises(PeerError, match="did not answer the marker"):
        gateway.stop()


def test_pytest_finds_the_fixtures_in_a_users_project(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "def test_it(simulated_gateway):\n    assert simulated_gateway.port > 0\n"
        "def test_again(simulated_gateway_factory):\n    assert simulated_gateway_factory().account == 'DU1234567'\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "papertape.testing", "-W", "error"]
    done = subprocess.run(
        [*command, "test_mine.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
