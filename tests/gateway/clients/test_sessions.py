"""Connections as real clients live through them: an id that is in use, read-only, a restart, orders of old clients."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gateway.protocol.codec import encode_request
from gateway.protocol.handshake import ClientHandshake
from gateway.protocol.requests import StartApi
from gateway.protocol.wire import FrameReader
from gateway.settings import GatewaySettings
from gateway.store import Store
from papertape.core.series import Tape
from tests.gateway.clients.playing import BY_NAME, Heard, codes, follow, interpreter, named, play, start
from tests.gateway.clients.script import ACCOUNT

IN_TEST_RUNS = ("ibapi-10.50", "ibapi-9.81", "ib_async-2.1")
"""Clients that every test run has."""

each_client = pytest.mark.parametrize("name", IN_TEST_RUNS)


def occupy(port: int, client_id: int) -> socket.socket:
    """Connect as that client id, and hear until it is taken."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=10.0)
    shake = ClientHandshake()
    peer.sendall(shake.greeting)
    while not shake.version:
        shake.feed(peer.recv(4_096))
    peer.sendall(encode_request(StartApi(client_id), shake.version))
    reader = FrameReader()
    while not reader.feed(peer.recv(4_096)):
        continue
    return peer


@each_client
def test_a_client_id_that_is_in_use_is_refused_and_disconnected(name: str, tape: Tape, tmp_path: Path) -> None:
    interpreter(BY_NAME[name])
    with start(tape, [1]) as gateway, occupy(gateway.port, 1):
        heard = follow(BY_NAME[name], gateway.port, "visit", tmp_path / "heard.jsonl")
    assert [(each.name, each.arguments[:2]) for each in heard[1]] == [("error", (-1, 326))]


@each_client
def test_a_client_id_that_was_given_back_is_taken(name: str, tape: Tape, tmp_path: Path) -> None:
    interpreter(BY_NAME[name])
    with start(tape, [1]) as gateway:
        occupy(gateway.port, 1).close()
        first, second = (follow(BY_NAME[name], gateway.port, "visit", tmp_path / f"{n}.jsonl") for n in (1, 2))
    assert named(first, "managedAccounts") == named(second, "managedAccounts") == [(ACCOUNT,)]


@each_client
def test_a_read_only_gateway_takes_no_order_and_answers_all_else(name: str, tape: Tape, tmp_path: Path) -> None:
    heard = play(BY_NAME[name], "read only", tape, tmp_path, GatewaySettings(read_only=True))
    assert codes(heard) == [(1, 321), (1, 321), (-1, 321)]
    assert named(heard, "orderStatus") == []
    assert [each.name for each in heard[1] if each.name.endswith("End")] == [
        "openOrderEnd", "positionEnd", "contractDetailsEnd",
    ]  # fmt: skip


def test_what_old_clients_put_in_their_orders_by_default_is_refused_as_tws_does(tape: Tape, tmp_path: Path) -> None:
    heard = play(BY_NAME["ibapi-9.81"], "old flags", tape, tmp_path)
    assert codes(heard) == [(1, 10268), (1, 10269)]


def _restarted(name: str, tape: Tape, folder: Path) -> tuple[Heard, Heard]:
    with Store.open(folder / "account.sqlite", ACCOUNT) as store:
        before = play(BY_NAME[name], "before the restart", tape, folder, store=store)
    with Store.open(folder / "account.sqlite", ACCOUNT) as store:
        return before, play(BY_NAME[name], "after the restart", tape, folder, store=store, begin="09:31:00")


@each_client
def test_after_a_restart_ids_orders_positions_and_executions_go_on(name: str, tape: Tape, tmp_path: Path) -> None:
    before, after = _restarted(name, tape, tmp_path)
    assert named(before, "nextValidId") == [(1,)]
    assert named(after, "nextValidId") == [(4,)]
    perm_ids = {a[0]: a[5] for a in named(before, "orderStatus")}
    opened = named(after, "openOrder")[0]
    assert (opened[0], opened[2]["permId"], opened[2]["orderRef"]) == (2, perm_ids[2], "survives")  # type: ignore[index]
    assert named(after, "position")[0][2:] == (10, named(before, "execDetails")[0][2]["price"] + 0.1)  # type: ignore[index]
    first = named(before, "execDetails")[0][2]["execId"]  # type: ignore[index]
    assert first in [a[2]["execId"] for a in named(after, "execDetails") if a[0] == 601]  # type: ignore[index]
    assert len(named(after, "completedOrder")) == 2
    assert [a[1] for a in named(after, "orderStatus") if a[0] == 2][-1] == "Filled"
    assert [a[1] for a in named(after, "orderStatus") if a[0] == 4][-1] == "Filled"
