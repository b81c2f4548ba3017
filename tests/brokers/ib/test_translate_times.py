"""Times as TWS writes them, in every form that it has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.ib.times import bar_ts, connection_zone, execution_ts, time_text
from gateway.order_terms import moment, wire_time
from papertape.core.errors import PeerError
from papertape.core.model import NS_PER_S

ZONES = st.sampled_from(["US/Eastern", "US/Central", "Europe/Berlin", "Asia/Hong_Kong", "UTC"])
SECONDS = st.integers(1_600_000_000, 1_900_000_000)
OPEN = 1_717_421_400 * NS_PER_S
"""2024-06-03 09:30 in New York."""


@pytest.mark.parametrize(
    "text",
    [
        "20240603 09:30:00 US/Eastern",
        "20240603  09:30:00",
        "20240603-13:30:00",
        "20240603 15:30:00 MET",
        "20240603 09:30:00 EST",
    ],
)
def test_every_form_of_a_time_is_the_same_moment(text: str) -> None:
    assert execution_ts(text, "America/New_York") == OPEN


def test_a_time_without_a_zone_is_in_that_of_tws() -> None:
    assert execution_ts("20240603  15:30:00", "Europe/Berlin") == OPEN


@given(SECONDS, ZONES, st.sampled_from([157, 176, 200]))
def test_times_that_the_simulated_tws_writes_are_read(ts_s: int, zone: str, version: int) -> None:
    text = wire_time(ts_s * NS_PER_S, zone, version)
    read = execution_ts(text, zone)
    # the hour that is lived twice can not be told apart, on either side
    assert read == ts_s * NS_PER_S or wire_time(read, zone, version) == text


@given(SECONDS)
def test_times_for_orders_are_read_by_tws_and_never_later_than_meant(ts_s: int) -> None:
    ts = ts_s * NS_PER_S + 999_999_999
    assert moment(time_text(ts), "US/Eastern") == ts_s * NS_PER_S


@pytest.mark.parametrize(
    "text",
    ["", "now", "20240603", "20241303 09:30:00", "20240603 25:30:00", "20240603 09:30:00 Nowhere/At_All", "1717421400"],
)
def test_what_is_no_time_is_the_brokers_fault(text: str) -> None:
    with pytest.raises(PeerError, match=r"TWS (sends the time|names the time zone)"):
        execution_ts(text, "US/Eastern")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1717421400", OPEN),
        ("20240603 09:30:00 US/Eastern", OPEN),
        ("20240603  09:30:00", OPEN),
        ("20240603", OPEN - int(9.5 * 3600) * NS_PER_S),
    ],
)
def test_the_start_of_a_bar_is_read_in_every_form(text: str, expected: int) -> None:
    assert bar_ts(text, "US/Eastern") == expected


def test_the_zone_of_tws_is_the_one_that_its_first_answer_names() -> None:
    assert connection_zone("20240603 09:30:00 EST") == "America/New_York"
    assert connection_zone("20240603 09:30:00 US/Eastern") == "US/Eastern"
    assert connection_zone("20240603 09:30:00") == ""
