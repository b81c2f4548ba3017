"""Against the simulated TWS: a whole small trading session, faults on the way, and the oldest client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from brokers.ib import commands as do
from brokers.ib import compat
from brokers.ib.gateway import IbGateway
from brokers.ib.lots import ROUND_LOT, SHARES_SINCE
from brokers.ib.records import (
    Commission,
    ContractRecord,
    CurrentTime,
    ErrorMessage,
    Execution,
    ManagedAccounts,
    NextValidId,
    OpenOrder,
    OrderRecord,
    OrderState,
    Record,
    TickString,
    TickTrade,
    Undecodable,
)
from brokers.ib.translate import execution_ts, rt_volume, side_of
from feeds.load import load_tape
from papertape.core.model import NS_PER_S, Side
from papertape.core.series import Tape
from papertape.testing import SimulatedGateway, start_gateway
from tests.brokers.ib.peers import WITHIN_S, until

ROOT = Path(__file__).resolve().parents[3]
START = 1_717_421_400 * NS_PER_S
"""2024-06-03 09:30 in New York."""
AAA = ContractRecord(symbol="AAA", type="STK", exchange="SMART", currency="USD")


@pytest.fixture(scope="module")
def tape() -> Tape:
    """AAA at 10.00, ten trades a second for an hour."""
    n = 36_000
    ts = START + np.arange(n, dtype=np.int64) * (NS_PER_S // 10)
    return load_tape({"AAA": {"ts": ts, "price": np.full(n, 10.0), "size": np.full(n, 100.0)}})


def connected(sim: SimulatedGateway, client_id: int = 1) -> IbGateway:
    gateway = IbGateway()
    gateway.connect(sim.host, sim.port, client_id, WITHIN_S)
    return gateway


def of(kind: type[Record], records: list[Record]) -> list[Record]:
    return [record for record in records if isinstance(record, kind)]


@pytest.fixture
def gateway(tape: Tape) -> Iterator[IbGateway]:
    with start_gateway(tape, speed=60) as sim:
        made = connected(sim)
        yield made
        made.close()


def test_an_order_is_placed_filled_and_paid_for_in_records(gateway: IbGateway) -> None:
    start = until(gateway, lambda got: bool(of(NextValidId, got)))
    assert of(ManagedAccounts, start) == [ManagedAccounts(("DU1234567",))]
    order_id = next(record.order_id for record in start if isinstance(record, NextValidId))

    assert gateway.send(do.FollowTicks(1, AAA, "AllLast"))
    assert gateway.send(do.FollowMarket(2, AAA, "233"))
    ticks = until(
        gateway, lambda got: bool(of(TickTrade, got)) and any(r.type == 48 for r in got if isinstance(r, TickString))
    )
    trade = next(record for record in ticks if isinstance(record, TickTrade))
    assert (trade.request_id, trade.price, trade.size) == (1, 10.0, 100.0)
    volume = rt_volume(next(r.text for r in ticks if isinstance(r, TickString) and r.type == 48))
    assert volume is not None
    units = ROUND_LOT if gateway.server_version < SHARES_SINCE else 1.0
    assert (volume.price, volume.size * units) == (10.0, 100.0)

    assert gateway.send(
        do.PlaceOrder(order_id, AAA, OrderRecord("BUY", 7.0, "MKT", account="DU1234567", order_ref="pt-r-1"))
    )
    got = until(gateway, lambda got: bool(of(Commission, got)))
    filled = next(record for record in got if isinstance(record, Execution))
    assert (filled.quantity, filled.price, side_of(filled.side), filled.order_ref) == (7.0, 10.0, Side.BUY, "pt-r-1")
    assert START <= execution_ts(filled.time_text, "US/Eastern") < START + 3_600 * NS_PER_S
    assert [record.status for record in got if isinstance(record, OpenOrder)][-1] == "Filled"
    assert [(r.filled, r.remaining) for r in got if isinstance(r, OrderState)][-1] == (7.0, 0.0)
    paid = next(record for record in got if isinstance(record, Commission))
    assert (paid.exec_id, paid.currency) == (filled.exec_id, "USD")
    assert 0 < paid.commission < 2
    assert not of(Undecodable, start + ticks + got)


@pytest.mark.parametrize(
    "fault",
    [
        'kind = "full-read"\nmessage = "time"\ncount = 3',
        'kind = "stall"\nmessage = "time"\nwall = "50ms"',
        'kind = "drip"\nmessage = "time"\nbytes = 3\nwall = "2ms"',
    ],
    ids=["full read", "stall", "drip"],
)
def test_a_message_arrives_however_its_bytes_come(tape: Tape, fault: str) -> None:
    with start_gateway(tape, scenario=f"[[fault]]\n{fault}\n") as sim:
        gateway = connected(sim)
        until(gateway, lambda got: bool(of(NextValidId, got)))
        for _ in range(4):
            assert gateway.send(do.AskTime())
            got = until(gateway, lambda got: bool(of(CurrentTime, got)))
            assert not of(Undecodable, got)
        gateway.close()


def test_a_client_id_in_use_is_told_and_the_connection_ends(tape: Tape) -> None:
    with start_gateway(tape) as sim:
        first = connected(sim)
        until(first, lambda got: bool(of(NextValidId, got)))
        second = connected(sim)
        got = until(second, lambda got: not second.is_open and len(got) > 1)
        assert [r.code for r in got if isinstance(r, ErrorMessage)] == [326]
        first.close()
        second.close()


def site_packages(client: str, folder: str) -> Path:
    """Where a client of another version is installed; skips where it is not."""
    elsewhere = os.environ.get("PAPERTAPE_CLIENTS")
    environment = Path(elsewhere) / client if elsewhere else ROOT / ".clients" / folder
    found = sorted(environment.glob("lib/python*/site-packages"))
    if not found:
        pytest.skip(f"the client {folder} is not installed: make clients")
    return found[0]


@pytest.mark.skipif("PAPERTAPE_CLIENT_OF_TEST" in os.environ, reason="this is that run")
def test_with_the_oldest_client_requests_records_and_a_session_are_the_same() -> None:
    environment = {
        **os.environ,
        "PAPERTAPE_CLIENT_OF_TEST": "9.81",
        "PYTHONPATH": os.pathsep.join([str(site_packages("v981", "ibapi-9.81")), str(ROOT)]),
    }
    files = [f"tests/brokers/ib/test_{name}.py" for name in ("callbacks", "compat", "gateway_simulated")]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore::SyntaxWarning",
        *files,
    ]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout[-3_000:] + ran.stderr[-1_000:]
    assert " passed" in ran.stdout


@pytest.mark.skipif("PAPERTAPE_CLIENT_OF_TEST" not in os.environ, reason="the client is whichever is installed")
def test_the_client_of_this_run_is_the_one_that_was_asked_for() -> None:
    assert compat.load().version.startswith(os.environ["PAPERTAPE_CLIENT_OF_TEST"])
