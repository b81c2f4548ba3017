"""Unmodified clients of all versions hear the same from the simulated gateway, value by value."""

from __future__ import annotations

import pytest

from gateway.settings import LAST_SERVER_VERSION
from tests.gateway.clients.comparing import compare
from tests.gateway.clients.conftest import Recorded
from tests.gateway.clients.known_differences import KNOWN
from tests.gateway.clients.playing import BY_NAME, CLIENTS, Heard, at_length, named

NEWEST = BY_NAME["ibapi-10.50"]
OTHERS = [each.name for each in CLIENTS if each is not NEWEST]


def check_agreement(first: Heard, second: Heard) -> None:
    """Fail with what two recordings differ in, if no version explains it."""
    assert len(first[1]) > 1_000
    found = compare(first, second, KNOWN).found
    assert not found, f"{len(found)} differences, first\n" + "\n".join(found[:12])


@pytest.mark.parametrize("name", OTHERS)
def test_a_day_is_the_same_for_every_client(name: str, recorded: Recorded) -> None:
    check_agreement(recorded(NEWEST, "day"), recorded(BY_NAME[name], "day"))


@pytest.mark.parametrize("name", [each.name for each in CLIENTS])
def test_a_client_is_answered_with_the_newest_version_that_both_know(name: str, recorded: Recorded) -> None:
    head, _ = recorded(BY_NAME[name], "hour")
    assert head.server_version == min(BY_NAME[name].newest, LAST_SERVER_VERSION)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("ibapi-10.50", 157),
        at_length("ibapi-10.50", 163),
        at_length("ibapi-10.50", 176),
        ("ib_async-2.1", 157),
        at_length("ib_async-2.1", 163),
        ("ibapi-10.19", 157),
        ("ibapi-10.19", 163),
        ("ibapi-10.30", 176),
        ("ibapi-10.37", 157),
        ("ibapi-10.37", 187),
        ("ibapi-10.46", 163),
    ],
)
def test_an_older_server_version_says_the_same(name: str, version: int, recorded: Recorded) -> None:
    older = recorded(BY_NAME[name], "hour", version)
    assert older[0].server_version == version
    check_agreement(recorded(NEWEST, "hour"), older)


@pytest.mark.parametrize(("name", "other"), [("ibapi-10.50", "ibapi-9.81"), ("ib_async-2.1", "ibapi-9.81")])
def test_at_one_server_version_clients_differ_in_nothing_but_themselves(
    name: str, other: str, recorded: Recorded
) -> None:
    check_agreement(recorded(BY_NAME[name], "hour", 157), recorded(BY_NAME[other], "hour", 157))


@pytest.mark.parametrize(("name", "zoned"), [("ibapi-10.50", True), ("ibapi-9.81", False)])
def test_times_name_their_zone_where_the_version_has_it(name: str, zoned: bool, recorded: Recorded) -> None:
    heard = recorded(BY_NAME[name], "hour")
    times = [str(arguments[2]["time"]) for arguments in named(heard, "execDetails")]  # type: ignore[index]
    assert len(times) > 5
    assert all(time.endswith(" US/Eastern") is zoned and ("  " in time) is not zoned for time in times)


def test_every_known_difference_is_met_by_some_client(recorded: Recorded) -> None:
    newest = recorded(NEWEST, "day")
    pairs = [(newest, recorded(BY_NAME[name], "day")) for name in OTHERS]
    pairs.append((recorded(BY_NAME["ib_async-2.1"], "hour", 157), recorded(BY_NAME["ibapi-9.81"], "hour", 157)))
    met = {each for pair in pairs for each in compare(*pair, KNOWN).met}
    assert [f"{each.callback} {each.field}" for each in KNOWN if each not in met] == []
