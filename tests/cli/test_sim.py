"""``papertape sim``: what it says, what it refuses with one line, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.protocol import replies, requests
from gateway.protocol.codec import decode_reply, encode_request
from gateway.protocol.contract import Contract
from gateway.protocol.handshake import ClientHandshake
from gateway.protocol.order import Order
from gateway.protocol.wire import FrameReader
from papertape.cli.main import spread_data

if TYPE_CHECKING:
    from tests.cli.conftest import Runner

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60.0
"""No test waits longer."""

Started = Callable[..., "Running"]


class Running:
    """The program in a process of its own, until it said where it listens."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "papertape", "sim", "--port", "0", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.port = int(self.until("listening").split(" port ")[1].split(",")[0])

    def until(self, text: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if text in line:
                return line
        raise AssertionError(f"{text!r} was not said: {self.lines} {self.end(signal.SIGKILL)}")

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; the exit status and what was said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        rest, error = self.process.communicate(timeout=WITHIN_S)
        self.lines += rest.splitlines()
        return self.process.returncode, error

    def client(self) -> Talk:
        return Talk(self.port)


class Talk:
    """A client of the protocol on a plain socket."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)
        shake = ClientHandshake()
        self._socket.sendall(shake.greeting)
        while not shake.version:
            shake.feed(self._socket.recv(65_536))
        self._version = shake.version
        self._frames = FrameReader(1 << 24)
        self._waiting: list[replies.Reply] = []

    def ask(self, *asked: requests.Request) -> None:
        self._socket.sendall(b"".join(encode_request(each, self._version) for each in asked))

    def until(self, kind: type) -> replies.Reply:
        while True:
            while self._waiting:
                each = self._waiting.pop(0)
                if isinstance(each, kind):
                    return each
            data = self._socket.recv(65_536)
            assert data, f"the connection ended before a {kind.__name__} came"
            self._waiting += [decode_reply(payload, self._version) for payload in self._frames.feed(data)]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def start(here: Path) -> Iterator[Started]:
    """Starts the program on the small tape."""
    started: list[Running] = []

    def run_it(*arguments: str) -> Running:
        started.append(Running(here, "--data", "tape", *arguments))
        return started[-1]

    yield run_it
    for each in started:
        each.end(signal.SIGKILL)


def test_it_says_what_it_plays_and_what_happens_and_ctrl_c_ends_it_in_order(start: Started) -> None:
    running = start("--speed", "20", "--account", "DU777", "--cash", "USD=50000", "--cash", "EUR=1", "--margin", "1")
    client = running.client()
    client.ask(requests.StartApi(4))
    accounts = client.until(replies.ManagedAccountsList)
    assert accounts == replies.ManagedAccountsList("DU777")
    order = Order("BUY", 10.0, "MKT")
    client.ask(requests.PlaceOrder(1, Contract(symbol="AAA", type="STK", exchange="SMART", currency="USD"), order))
    fill = client.until(replies.Execution)
    assert isinstance(fill, replies.Execution)
    client.close()
    running.until("client 4 has left")
    assert running.end() == (0, "")
    text = "\n".join(running.lines)
    assert "account      DU777, USD 50,000.00, EUR 1.00" in text
    assert "tape         2 instruments, 2024-06-03 09:30:00 EDT" in text
    assert "client  client 4 connected from 127.0.0.1:" in text
    assert "order   order 1 of client 4: BUY 10 AAA MKT DAY" in text
    assert f"fill    order 1 of client 4: BOT 10 AAA at {fill.price:g}" in text
    assert running.lines[-1] == "stopped"
    assert "\x1b" not in text, "what is piped is plain"


def test_a_termination_ends_it_in_order_too(start: Started) -> None:
    running = start()
    assert running.end(signal.SIGTERM) == (0, "")
    assert running.lines[-1] == "stopped"


def test_it_can_end_with_the_tape(start: Started) -> None:
    running = start("--speed", "max", "--no-wait", "--stop-at-end")
    rest, _ = running.process.communicate(timeout=WITHIN_S)
    assert running.process.returncode == 0
    assert "the tape has ended" in rest


def test_it_plays_from_start_to_end(start: Started) -> None:
    running = start("--start", "2024-06-03T09:31", "--end", "2024-06-03T09:32")
    assert any("2024-06-03 09:31:00 EDT" in line for line in running.lines)
    assert any("2024-06-03 09:32:00 EDT" in line for line in running.lines)


def test_a_seed_says_how_its_faults_are_had_again(start: Started) -> None:
    running = start("--seed", "5")
    running.until("the same again with --seed 5")
    assert running.end() == (0, "")


def test_the_faults_of_a_seed_can_be_had_as_a_file_that_means_the_same(papertape: Runner, here: Path) -> None:
    drawn = papertape("sim", "--data", "tape", "--seed", "5", "--print-scenario")
    assert drawn.status == 0
    (here / "s.toml").write_text(drawn.out)
    again = papertape("sim", "--data", "tape", "--scenario", "s.toml", "--print-scenario")
    assert again.out == drawn.out
    assert drawn.out.count("[[fault]]") > 5


def test_a_store_lets_the_account_last_over_a_restart(start: Started) -> None:
    running = start("--store", "account.sqlite")
    client = running.client()
    client.ask(requests.StartApi(4))
    contract = Contract(symbol="AAA", type="STK", exchange="SMART", currency="USD")
    client.ask(requests.PlaceOrder(7, contract, Order("BUY", 10.0, "LMT", limit_price=1.0, tif="GTC")))
    client.until(replies.OpenOrder)
    client.close()
    assert running.end()[0] == 0
    again = start("--store", "account.sqlite").client()
    again.ask(requests.StartApi(4))
    assert again.until(replies.NextValidId) == replies.NextValidId(8)
    again.ask(requests.OpenOrders())
    found = again.until(replies.OpenOrder)
    assert isinstance(found, replies.OpenOrder)
    assert (found.order_id, found.order.limit_price) == (7, 1.0)
    again.close()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--speed", "fast"], 'speed "fast": a number as 1 or 10, or max, is needed'),
        (["--speed", "0"], "speed 0: a number from 0.001"),
        (["--speed", "2", "--lockstep", "1"], "lockstep plays as fast as its clients answer"),
        (["--lockstep", "1,x"], '--lockstep "1,x": client ids with commas between them are needed'),
        (["--lockstep", "1,1"], "lockstep needs client ids, each once"),
        (["--port", "70000"], "--port 70000: 0 (a free one) to 65535 is needed"),
        (["--host", "0.0.0.0"], "--host 0.0.0.0 lets others trade in this account; add --expose"),
        (["--host", "example"], '--host "example": an IP address of this machine is needed'),
        (["--server-version", "150"], "--server-version 150: 157 to 226 can be spoken"),
        (["--account", "DU 1"], '--account "DU 1": letters and digits are needed'),
        (["--cash", "much"], '--cash "much": an amount is needed, as 50000 or EUR=50000'),
        (["--cash", "EURO=5"], '--cash "EURO=5": an amount is needed'),
        (["--cash", "1", "--cash", "USD=2"], "--cash USD is given twice; give it once"),
        (["--margin", "0.5"], "margin=0.5: a multiple of net liquidation of at least 1 is needed"),
        (["--permission", "some"], "'some' is not one of 'live', 'delayed', 'none'"),
        (["--fees", "ibfixed"], 'did you mean "ib-fixed"?'),
        (["--latency", "slow"], 'latency "slow"'),
        (["--seed", "-1"], "--seed -1: a whole number from 0 is needed"),
        (["--scenario", "none.toml"], "none.toml: the scenario cannot be read"),
        (["--scenario", "bad.toml"], 'bad.toml:3: bust has no "n"; did you mean "nth"?'),
        (["--start", "2030-01-01"], "the tape has no event between start and end"),
        (["--start", "yesterday"], '--start "yesterday"'),
        (["--calendar", "XNYX"], "XNYX"),
        (["--store", "bad.toml"], "bad.toml: this is no memory of a simulated account"),
        (["--data", "nowhere"], "nowhere: there is no such file or folder"),
        (["--data", ""], 'data "": a path is needed'),
    ],
)
def test_a_mistake_is_one_line(papertape: Runner, here: Path, arguments: list[str], text: str) -> None:
    (here / "bad.toml").write_text('[[fault]]\nkind = "bust"\nn = 2\n')
    said = papertape("sim", "--data", "tape", "--port", "0", *arguments)
    assert said.status == 2, said.out
    assert said.out == ""
    assert said.error.count("\n") == 1, said.error
    assert said.error.startswith("error: ")
    assert text in said.error


def test_a_port_in_use_is_one_line(papertape: Runner) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = papertape("sim", "--data", "tape", "--port", port)
    assert (said.status, said.out) == (2, "")
    assert said.error == f"error: port {port} of 127.0.0.1 is in use; choose another, or 0 for a free one\n"


def test_a_pattern_that_the_shell_has_spread_is_data() -> None:
    assert spread_data(["sim", "--data", "a", "b", "--speed", "max"]) == [
        "sim", "--data", "a", "--data", "b", "--speed", "max",
    ]  # fmt: skip
