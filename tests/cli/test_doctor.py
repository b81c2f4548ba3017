"""``papertape doctor`` against simulated TWS of every condition: what it finds, and that it gives no order."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from brokers.ib import compat
from brokers.ib.gateway import IbGateway
from gateway.server import What
from gateway.settings import DataPermission, GatewaySettings
from papertape.cli import doctor as verb
from papertape.core.series import Tape
from papertape.live import doctor
from papertape.testing import SimulatedGateway, sample_tape, start_gateway

if TYPE_CHECKING:
    from tests.cli.conftest import Runner, Said

Start = Callable[..., SimulatedGateway]


@pytest.fixture(scope="module")
def tape() -> Tape:
    return sample_tape()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "QUIET_S", 0.05)


@pytest.fixture
def start(tape: Tape, simulated_gateway_factory: Start) -> Start:
    def make(**settings: Any) -> SimulatedGateway:
        return simulated_gateway_factory(
            tape, speed=60, start="2024-06-03T10:30", settings=GatewaySettings(**settings), hold=False
        )

    return make


@pytest.fixture(scope="module")
def sound(tape: Tape) -> Iterator[SimulatedGateway]:
    with start_gateway(tape, speed=60, start="2024-06-03T10:30", hold=False) as gateway:
        yield gateway


def examined(papertape: Runner, gateway: SimulatedGateway, *arguments: str) -> Said:
    where = f"{gateway.host}:{gateway.port}"
    return papertape("doctor", "--gateway", where, "--symbol", gateway.symbols[0], *arguments)


def line(said: Said, what: str) -> str:
    (found,) = [each for each in said.out.splitlines() if re.match(rf"  \w+ +{what}: ", each)]
    return found


def setting_below(said: Said, what: str) -> str:
    lines = said.out.splitlines()
    below = lines[lines.index(line(said, what)) + 1]
    assert below.strip().startswith("-> ")
    return below.strip()


def test_a_sound_tws_is_said_to_be_sound_and_gets_no_order(papertape: Runner, sound: SimulatedGateway) -> None:
    said = examined(papertape, sound)
    assert (said.status, said.error) == (0, "")
    assert re.search(r"ok +versions: server version 200, client 10\.\d+", said.out)
    assert "account: DU1234567 (paper)" in said.out
    assert line(said, "market data").split() == ["ok", "market", "data:", f"{sound.symbols[0]}:", "live"]
    assert re.search(r"ok +orders: TWS takes orders \(a share would cost \d+\.\d\d in fees\); none was given", said.out)
    assert "ok       servers: no data farm is reported as lost" in said.out
    assert "is its market a simulated one?" in line(said, "clock")
    for name in ("Master API client ID", "Bypass Order Precautions for API Orders", "Auto restart",
                 "Download open orders on connection"):  # fmt: skip
        assert f'"{name}"' in said.out
    orders = [each.text for each in sound.events if each.what in (What.ORDER, What.FILL)]
    assert [text for text in orders if not text.startswith("what-if ")] == []


def test_json_has_the_same(papertape: Runner, sound: SimulatedGateway) -> None:
    said = examined(papertape, sound, "--json")
    (found,) = json.loads(said.out)
    assert found["gateway"] == f"{sound.host}:{sound.port}"
    assert {each["what"]: each["level"] for each in found["findings"]}["market data"] == "ok"


def test_read_only_is_told_by_the_setting_that_makes_it_so(papertape: Runner, start: Start) -> None:
    gateway = start(read_only=True)
    said = examined(papertape, gateway)
    assert said.status == 0
    assert "warning  orders: TWS takes none: " in said.out
    assert 'Global Configuration > API > Settings: switch off "Read-Only API"' in setting_below(said, "orders")


def test_delayed_data_are_told_with_where_to_subscribe(papertape: Runner, start: Start) -> None:
    said = examined(papertape, start(permission=DataPermission.DELAYED))
    assert said.status == 0
    assert "delayed by a quarter of an hour; TWS says 10167" in line(said, "market data")
    assert "Client Portal > Settings > Market Data Subscriptions" in setting_below(said, "market data")


def test_no_data_are_told(papertape: Runner, start: Start) -> None:
    said = examined(papertape, start(permission=DataPermission.NONE))
    assert re.search(r"warning +market data: \w+: none; TWS says \d+: ", line(said, "market data"))


def test_a_live_account_is_told(papertape: Runner, start: Start) -> None:
    assert "note     account: U777 (LIVE)" in examined(papertape, start(account="U777")).out


@pytest.mark.parametrize(
    ("account", "names", "warns"),
    [("DU1", "LIVE_PORTS", True), ("DU1", "PAPER_PORTS", False), ("U1", "PAPER_PORTS", True)],
)
def test_a_port_of_another_kind_of_account_is_told(
    papertape: Runner, start: Start, monkeypatch: pytest.MonkeyPatch, account: str, names: str, warns: bool
) -> None:
    gateway = start(account=account)
    monkeypatch.setattr(doctor, names, (gateway.port,))
    said = examined(papertape, gateway)
    assert (f"port: port {gateway.port} is usually that of a" in said.out) is warns
    if warns:
        assert '"Socket port"' in setting_below(said, "port")


def test_an_old_tws_is_to_be_updated(papertape: Runner, start: Start) -> None:
    said = examined(papertape, start(server_version=157))
    assert "warning  versions: server version 157" in said.out
    assert "update TWS" in setting_below(said, "versions")


def test_an_old_client_is_to_be_updated(papertape: Runner, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = start(server_version=157)
    old = msgspec.structs.replace(compat.load(), server_version_max=157)
    monkeypatch.setattr(compat, "load", lambda: old)
    said = examined(papertape, gateway)
    assert "the client is old" in line(said, "versions")
    assert ".[ib]" in setting_below(said, "versions")


def test_a_symbol_that_is_not_known_is_told(papertape: Runner, sound: SimulatedGateway) -> None:
    said = papertape("doctor", "--gateway", f"{sound.host}:{sound.port}", "--symbol", "NOSUCH")
    assert said.status == 0
    assert "NOSUCH is not known: " in line(said, "contract")
    assert "name another one with --symbol" in line(said, "contract")


def test_a_client_id_in_use_is_told(papertape: Runner, sound: SimulatedGateway) -> None:
    other = IbGateway()
    other.connect(sound.host, sound.port, 55, 10.0)
    said = examined(papertape, sound, "--client-id", "55")
    other.close()
    assert said.status == 2
    assert "bad  client id: 55 is in use by another program; name another one with --client-id" in said.out


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_nobody_listening_is_told_with_what_to_switch_on(papertape: Runner) -> None:
    port = free_port()
    said = papertape("doctor", "--gateway", f"127.0.0.1:{port}")
    assert said.status == 2
    assert f"bad  connection: nobody listens at 127.0.0.1:{port}" in said.out
    for name in (
        "Enable ActiveX and Socket Clients",
        "Socket port",
        "Trusted IPs",
        "Allow connections from localhost only",
    ):
        assert f'"{name}"' in said.out


def test_a_tws_that_does_not_answer_is_told(papertape: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = papertape("doctor", "--gateway", f"127.0.0.1:{server.getsockname()[1]}")
    assert said.status == 2
    assert "took the connection and did not answer within 0.2 s" in said.out


def test_a_tws_that_takes_the_connection_and_not_the_client_is_told(
    papertape: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        is_over = threading.Event()

        def shake_hands() -> None:
            connection, _ = server.accept()
            connection.recv(4_096)
            connection.sendall(b"\x00\x00\x00\x1a200\x0020240603 10:30:00 EST\x00")
            is_over.wait(20.0)
            connection.close()

        thread = threading.Thread(target=shake_hands)
        thread.start()
        said = papertape("doctor", "--gateway", f"127.0.0.1:{server.getsockname()[1]}")
        is_over.set()
        thread.join()
    assert said.status == 2, said.out
    assert "TWS took the connection and not the client: nothing more came" in said.out
    assert "it may ask whether to accept the connection" in said.out


def test_without_an_address_it_looks_where_tws_usually_listens(
    papertape: Runner, sound: SimulatedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "PORTS", (free_port(), sound.port))
    said = papertape("doctor", "--symbol", sound.symbols[0])
    assert said.status == 0
    assert said.out.splitlines()[0] == f"127.0.0.1:{sound.port}"


def test_nothing_at_the_usual_ports_is_one_line(papertape: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr(verb, "PORTS", (port,))
    said = papertape("doctor")
    assert (said.status, said.out) == (2, "")
    assert said.error.startswith(f"error: nobody listens on this computer at {port}; start TWS or IB Gateway")
    assert said.error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--gateway", "127.0.0.1:x"], 'gateway "127.0.0.1:x": HOST:PORT is needed'),
        (["--gateway", "127.0.0.1:70000"], "HOST:PORT is needed"),
        (["--client-id", "-1"], "--client-id -1: a whole number from 0 is needed"),
    ],
)
def test_a_mistake_is_one_line(papertape: Runner, arguments: list[str], text: str) -> None:
    said = papertape("doctor", *arguments)
    assert (said.status, said.out) == (2, "")
    assert text in said.error
    assert said.error.count("\n") == 1
