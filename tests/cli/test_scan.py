"""``papertape scan``: ranked instruments with their prices, from a simulated TWS."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from brokers.ib.gateway import IbGateway
from feeds.cache import ColumnCache
from papertape.cli import demo
from papertape.testing import SimulatedGateway, start_gateway

if TYPE_CHECKING:
    from tests.cli.conftest import Runner, Said


@pytest.fixture(scope="module")
def gateway() -> Iterator[SimulatedGateway]:
    with start_gateway(speed=10, start="2024-06-03T10:30", hold=False) as started:
        yield started


def scanned(papertape: Runner, gateway: SimulatedGateway, *arguments: str) -> Said:
    return papertape("scan", *arguments, "--gateway", f"{gateway.host}:{gateway.port}")


def test_it_shows_rank_symbol_bid_ask_and_last(papertape: Runner, gateway: SimulatedGateway) -> None:
    said = scanned(papertape, gateway, "MOST_ACTIVE", "price_above=1")
    assert said.status == 0
    assert said.error == f"asking 127.0.0.1:{gateway.port}\n"
    title, header, *rows = said.out.splitlines()
    assert title.startswith("MOST_ACTIVE  2024-06-03 1")
    assert title.endswith(" EDT  3 rows")
    assert header.split() == ["rank", "symbol", "bid", "ask", "last", "volume", "contract"]
    assert sorted(row.split()[1] for row in rows) == sorted(gateway.symbols)
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    volumes = [float(row.split()[5].replace(",", "")) for row in rows]
    assert volumes == sorted(volumes, reverse=True)
    for row in rows:
        bid, ask = (float(cell) for cell in row.split()[2:4])
        assert 0 < bid < ask


def test_json_has_the_same_and_null_for_what_is_unknown(papertape: Runner, gateway: SimulatedGateway) -> None:
    said = scanned(papertape, gateway, "most_active", "--rows", "2", "--no-snapshots", "--json")
    assert (said.status, said.error) == (0, "")
    found = json.loads(said.out)
    assert (found["code"], len(found["rows"]), found["missing"]) == ("MOST_ACTIVE", 2, [])
    assert found["rows"][0]["bid"] is None
    assert found["rows"][0]["con_id"] > 0


def test_filters_are_tws_s(papertape: Runner, gateway: SimulatedGateway) -> None:
    said = scanned(papertape, gateway, "MOST_ACTIVE", "price_above=1_000_000")
    assert said.status == 0
    assert "0 rows" in said.out
    assert "empty: " in said.out


def test_without_snapshots_there_are_ranks_only(papertape: Runner, gateway: SimulatedGateway) -> None:
    said = scanned(papertape, gateway, "MOST_ACTIVE", "--no-snapshots")
    assert said.out.splitlines()[1].split() == ["rank", "symbol", "contract"]


def test_a_code_that_tws_does_not_know_is_told(papertape: Runner, gateway: SimulatedGateway) -> None:
    said = scanned(papertape, gateway, "NO_SUCH_SCAN")
    assert said.status == 0
    assert "0 rows" in said.out
    assert "TWS" in said.out, "what TWS said of it stands below the table"


def test_the_sample_can_be_scanned_without_any_tws(
    papertape: Runner, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SYMBOLS", 3)
    monkeypatch.setattr(demo, "DAYS", 1)
    monkeypatch.setattr(ColumnCache, "evict", lambda cache: None)  # it looks through what all tests have left there
    said = papertape("scan", "MOST_ACTIVE", "--gateway", "sim", "--json")
    assert said.status == 0, said.error
    found = json.loads(said.out)
    assert found["synthetic"] is True
    assert len(found["rows"]) == 3
    assert found["time"].startswith("2024-06-03T14:30:0")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["MOST_ACTIVE", "price_abov=1"], 'unknown scan filter "price_abov"; did you mean "price_above"?'),
        (["MOST_ACTIVE", "price_above=much"], '"price_above=much": a number is needed, as price_above=10000'),
        (["MOST_ACTIVE", "price_above"], "a number is needed"),
        (["MOST_ACTIVE", "price_above=1", "price_above=2"], "price_above is given twice"),
        (["MOST ACTIVE"], 'scan "MOST ACTIVE": a code of TWS is needed'),
        (["MOST_ACTIVE", "--rows", "51"], "--rows 51: 1 to 50 are needed"),
        (["MOST_ACTIVE", "--location", "a b"], '--location "a b": a place of TWS is needed'),
        (["MOST_ACTIVE", "--gateway", "here:there"], 'gateway "here:there": HOST:PORT is needed'),
    ],
)
def test_a_mistake_is_one_line(papertape: Runner, arguments: list[str], text: str) -> None:
    said = papertape("scan", *arguments)
    assert (said.status, said.out) == (2, "")
    assert text in said.error
    assert said.error.count("\n") == 1


def test_a_client_id_in_use_is_one_line(papertape: Runner, gateway: SimulatedGateway) -> None:
    other = IbGateway()
    other.connect(gateway.host, gateway.port, 77, 10.0)
    said = scanned(papertape, gateway, "MOST_ACTIVE", "--client-id", "77")
    other.close()
    assert (said.status, said.out) == (2, "")
    (_, error) = said.error.splitlines()
    assert error.endswith("client id 77 is in use; close the other program or name another --client-id")


def test_no_tws_is_one_line_that_says_what_to_do(papertape: Runner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    said = papertape("scan", "MOST_ACTIVE", "--gateway", f"127.0.0.1:{port}")
    assert (said.status, said.out) == (2, "")
    assert said.error.splitlines()[1] == (
        f"error: nobody listens at 127.0.0.1:{port}; start TWS or IB Gateway, or use --gateway sim"
    )
