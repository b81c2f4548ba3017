"""Unmodified clients hear at server versions above 200, where they send protobuf, what they hear at 200."""

from __future__ import annotations

import pytest

from gateway.protocol.protobuf import check_server_version
from papertape.core.errors import ConfigError
from tests.gateway.clients.comparing import Difference, below, compare
from tests.gateway.clients.conftest import Recorded
from tests.gateway.clients.known_differences import KNOWN, LOT
from tests.gateway.clients.playing import BY_NAME, at_length, codes, named

NEWEST = BY_NAME["ibapi-10.50"]
VOLUMES_IN_SHARES = 220
_VOLUMES = "volumes of US stocks are in shares from server version 220 on, in round lots before"


def volume_in_lots(has: float, lacks: float) -> bool:
    """A volume in shares and the same in round lots."""
    return has == LOT * lacks


def trade_volume_in_lots(has: str, lacks: str) -> bool:
    """The text of generic tick 233, price;size;ms;volume;average;single, with its volume in shares and in lots."""
    mine, yours = has.split(";"), lacks.split(";")
    return float(mine.pop(3)) == LOT * float(yours.pop(3)) and mine == yours


VOLUMES = (
    Difference("tickSize", "2", below(VOLUMES_IN_SHARES), _VOLUMES, volume_in_lots),
    Difference("tickString", "2", below(VOLUMES_IN_SHARES), _VOLUMES, trade_volume_in_lots),
)


@pytest.fixture(scope="module", autouse=True)
def _message_classes() -> None:
    try:
        check_server_version(226)
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("ibapi-10.50", 226),
        at_length("ibapi-10.50", 203),
        at_length("ibapi-10.50", 210),
        ("ibapi-10.37", 203),
        ("ibapi-10.46", 225),
    ],
)
def test_a_session_with_protobuf_hears_what_one_with_text_does(name: str, version: int, recorded: Recorded) -> None:
    text = recorded(NEWEST, "hour")
    heard = recorded(BY_NAME[name], "hour", version)

    found = compare(text, heard, (*KNOWN, *VOLUMES)).found

    assert heard[0].server_version == version
    assert len(heard[1]) > 1_000
    assert not found, f"{len(found)} differences, first\n" + "\n".join(found[:12])


def test_volumes_are_in_shares_at_the_newest_version(recorded: Recorded) -> None:
    compared = compare(recorded(NEWEST, "hour"), recorded(NEWEST, "hour", 226), (*KNOWN, *VOLUMES))
    assert compared.met == set(VOLUMES)


def test_orders_fill_and_are_paid_at_the_newest_version(recorded: Recorded) -> None:
    heard = recorded(NEWEST, "hour", 226)
    filled = [a for a in named(heard, "orderStatus") if a[1] == "Filled"]
    live = {str(a[2]["execId"]) for a in named(heard, "execDetails") if a[0] == -1}  # type: ignore[index]
    paid = {str(a[0]["execId"]) for a in named(heard, "commissionReport")}  # type: ignore[index]
    assert len(filled) > 5
    assert live
    assert live <= paid


@pytest.mark.parametrize(("name", "spoken"), [("ibapi-9.81", 157), ("ib_async-2.1", 178), ("ibapi-10.37", 203)])
def test_an_older_client_speaks_its_own_version_with_a_server_of_the_newest(
    name: str, spoken: int, recorded: Recorded
) -> None:
    heard = recorded(BY_NAME[name], "visit", 226)
    assert heard[0].server_version == spoken
    assert codes(heard) == []
    assert named(heard, "nextValidId") == [(1,)]
